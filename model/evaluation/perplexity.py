"""`python -m model.evaluation.perplexity CHECKPOINT TEXT`: what a text costs a network, with its standard error.

For diffusion models it is a bound on the perplexity, for the autoregressive model and for blocks of one token the exact
one. Rows slide over the text, and every token is counted once. Sums and counts up to the last line, one division.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from model.backbones import published
from model.backbones.dit import DiT, WrongConfig
from model.backbones.fit import WrongWeights
from model.backbones.published import UnknownCheckpoint
from model.training.checkpoint import locate, tokenizer_of
from model.training.data import NoData, Source, open_rows, tokenise
from model.training.likelihood import Likelihood, measure
from model.training.objectives import TokenLoss
from model.training.systems.base import System
from model.training.systems.choice import system_for
from model.training.vocabulary import Vocabulary, WrongVocabulary, open_vocabulary


class NotPossible(ValueError):
    """A wish that does not fit the network; the message says why."""


def sliding(tokens: Tensor, length: int, stride: int, end: int) -> tuple[Tensor, Tensor]:
    """Rows [R, L] over a text [T] and which of their tokens are counted, [R, L]: each token of the text once.

    A row is the end token and L − 1 tokens of the text; the next one begins `stride` tokens later, and counts only what
    is new. The last one ends with the text. Raises NoData for a text shorter than a row, NotPossible for the stride.
    """
    body, known = length - 1, len(tokens)
    if not 1 <= stride <= body:
        raise NotPossible(f"A stride of {stride} is not possible with rows of {length} tokens; choose 1 to {body}.")
    if known < body:
        raise NoData(f"The text has {known} tokens, and a row needs {body}; give more text.")
    starts = [*range(0, known - body, stride), known - body]
    ends = torch.tensor([start + body for start in starts])
    new = ends.diff(prepend=torch.tensor([0]))  # [R] tokens, at the end of each row
    rows = torch.stack([tokens[start : start + body] for start in starts])
    rows = torch.cat([torch.full((len(starts), 1), end, dtype=torch.long), rows], dim=1)
    return rows, torch.arange(length) >= length - new[:, None]


def likelihood(
    system: System,
    network: DiT,
    rows: Tensor,
    counted: Tensor,
    *,
    batch: int = 8,
    draws: int = 1,
    seed: int = 1,
    device: torch.device | None = None,
    bf16: bool = False,
) -> Likelihood:
    """What rows [R, L] cost under a network: the bound of its system, the mean of several draws of noise."""
    place = device or torch.device("cpu")
    network = network.to(place).eval()

    def bound(some: Tensor, count: Tensor, generator: torch.Generator) -> TokenLoss:
        with torch.autocast(place.type, torch.bfloat16) if bf16 else nullcontext():
            return system.bound(network, some.to(place), count.to(place), generator)

    return measure(bound, rows, counted, batch=batch, draws=1 if is_exact(system) else draws, seed=seed)


def system_with(network: DiT, block_size: int | None) -> System:
    """The network's system, with another block size where one is given. Raises NotPossible."""
    config = network.config
    if block_size is None or block_size == config.block_size:
        return system_for(config)
    if config.causal or config.time_conditioning:
        raise NotPossible("Only block diffusion networks have a block size; leave --block-size out.")
    if config.model_length % block_size:
        raise NotPossible(
            f"Rows of {config.model_length} tokens do not split into blocks of {block_size}; choose a divisor."
        )
    network.config = replace(config, block_size=block_size, cross_attn=True)
    return system_for(network.config)


def is_exact(system: System) -> bool:
    """Whether the perplexity is exact rather than a bound."""
    return system.exact or (system.clipped and system.config.block_size == 1)


def read_text(names: Sequence[str], column: str, vocabulary: Vocabulary) -> Tensor:
    """All tokens of a text, an end token behind every document. Raises NoData."""
    with TemporaryDirectory() as folder:
        file = tokenise(Source(tuple(names), column), vocabulary, Path(folder), quiet=True)
        rows = open_rows(file, vocabulary, 2)
        return torch.from_numpy(np.asarray(rows.tokens).astype(np.int64))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one line, or JSON. 0: measured. 1: not, and the last line says why."""
    given = _parser().parse_args(arguments)
    try:
        where = locate(given.checkpoint)
        network = published.load(where).network
        system = system_with(network, given.block_size)
        vocabulary = open_vocabulary(given.tokenizer) if given.tokenizer else tokenizer_of(where)
        vocabulary.fits(network.config.vocab_size, given.checkpoint)
        length = network.config.model_length
        text = read_text(given.text, given.column, vocabulary)
        rows, counted = sliding(text, length, length - 1 if given.stride is None else given.stride, vocabulary.end)
        found = likelihood(
            system,
            network,
            rows[: given.rows],
            counted[: given.rows],
            batch=given.batch,
            draws=given.draws,
            seed=given.seed,
            device=torch.device("cuda") if torch.cuda.is_available() else None,
            bf16=given.bf16,
        )
    except (NotPossible, NoData, UnknownCheckpoint, WrongConfig, WrongWeights, WrongVocabulary) as problem:
        print(problem, file=sys.stderr)
        return 1
    exact = is_exact(system)
    if given.json:
        print(
            json.dumps(
                {
                    "perplexity": found.perplexity,
                    "perplexity_error": found.perplexity_error,
                    "nats_per_token": found.mean,
                    "nats_per_token_error": found.error,
                    "tokens": int(found.tokens.sum()),
                    "rows": len(found.tokens),
                    "block_size": system.config.block_size,
                    "exact": exact,
                }
            )
        )
    else:
        print(
            f"perplexity {'=' if exact else '≤'} {found.perplexity:.2f} ± {found.perplexity_error:.2f}   "
            f"{found.mean:.4f} ± {found.error:.4f} nats per token   "
            f"{int(found.tokens.sum())} tokens in {len(found.tokens)} rows, blocks of {system.config.block_size}"
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model.evaluation.perplexity", description=__doc__)
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="a run, one of its steps, or a published Hugging Face id"
    )
    parser.add_argument("text", metavar="TEXT", nargs="+", help="text, Parquet, JSON lines or CSV files, or hub:NAME")
    parser.add_argument("--column", default="text", help="column that holds the text (default: text)")
    parser.add_argument("--tokenizer", help="tokenizer.json or Hugging Face id (default: the checkpoint's)")
    parser.add_argument("--block-size", type=int, metavar="N", help="L' (default: the network's); 1 is exact")
    parser.add_argument(
        "--stride", type=int, metavar="N", help="tokens between two rows (default: rows do not overlap)"
    )
    parser.add_argument("--draws", type=int, default=1, metavar="N", help="draws of noise for every row (default: 1)")
    parser.add_argument("--rows", type=int, metavar="N", help="measure only the first rows")
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="rows of one pass (default: 8)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="same seed, same numbers (default: 1)")
    parser.add_argument("--bf16", action="store_true", help="products in bfloat16: faster, less exact")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
