"""A text as an evaluation sees it: written by the engine to one prompt, with what it cost; shares of repeated runs.

Shared by the commands that measure writing. Knows nothing of rows, tables and intervals.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F

from model.catalog import SMOLLM2
from model.contract import Dial, Preparing
from model.denoiser import Denoiser
from model.sampler import CHUNK, BlockSampler, Draws, Pictures

SYSTEM = "You are a helpful writing assistant."

BASELINE_NAME = "block size 1"

BASELINE = replace(SMOLLM2.stop("exact").dial, block_size=1)
"""The autoregressive model, with temperature, nucleus and penalty of the exact stop, which has the same law."""


@dataclass(frozen=True, slots=True)
class Text:
    """What one prompt gave. seconds: of writing; nll: of each token, in nats.

    cycles, proposed, kept  under the rule "verified": verifying forwards, tokens proposed to them, and kept by them.
    """

    tokens: list[int]
    nll: list[float]
    nfe: int
    seconds: float
    first_block_seconds: float
    cycles: int = 0
    proposed: int = 0
    kept: int = 0


Writer = Callable[[list[int], int, int], Text]
"""From (prompt, tokens to write, seed)."""


def cached(denoiser: Denoiser, dial: Dial) -> Writer:
    """The engine's own way. No text ends before all its tokens are written."""

    def write(prompt: list[int], count: int, seed: int) -> Text:
        sampler = BlockSampler(denoiser, dial, may_end=False)
        tokens: list[int] = []
        began = time.perf_counter()
        for _ in sampler.read(torch.tensor([prompt], device=sampler.cache.tokens.device)):
            pass
        read = time.perf_counter()
        first = 0.0
        while len(tokens) < count:
            steps = sampler.block(min(dial.block_size, count - len(tokens)), Draws([seed + len(tokens)]))
            block = Pictures(steps).finish()
            tokens += block.tokens[0].tolist()
            first = first or time.perf_counter() - began
        seconds = time.perf_counter() - read
        nll = causal_nll(denoiser, prompt, tokens)
        return Text(tokens, nll, sampler.nfe, seconds, first, len(sampler.starts), sampler.proposed, sampler.kept)

    return write


def causal_nll(denoiser: Denoiser, prompt: Sequence[int], tokens: Sequence[int]) -> list[float]:
    """−log p of each token after the prompt by the causal reading, in nats; nan where there is none. The setting's own
    reading may have rounded weights."""
    cache = denoiser.new_cache(1)
    nll: list[float] = []
    for at in range(0, len(tokens) if denoiser.facts.causal else 0, CHUNK):
        some = list(tokens[at : at + CHUNK])
        read = [*prompt, *some[:-1]] if at == 0 else [tokens[at - 1], *some[:-1]]
        logits = denoiser.commit(torch.tensor([read], device=cache.tokens.device), cache)[0, -len(some) :]
        nll += F.cross_entropy(logits, torch.tensor(some, device=logits.device), reduction="none").tolist()
    return nll or [math.nan] * len(tokens)


def runs(tokens: Sequence[int], n: int) -> tuple[int, int]:
    """How many runs of n tokens a text has, and how many different ones."""
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return len(grams), len(set(grams))


def repeated(texts: Sequence[Text], n: int = 4) -> float:
    """Share of n-grams of tokens that stood in the same text before."""
    counts = [runs(text.tokens, n) for text in texts]
    return 1.0 - sum(different for _, different in counts) / max(sum(count for count, _ in counts), 1)


def default_cache() -> Path:
    """Where the desk keeps the model files, too."""
    from platformdirs import user_cache_path

    return user_cache_path("galley", appauthor=False)


def say(what: str | Preparing) -> None:
    """To the terminal, beside what the command prints."""
    print(what if isinstance(what, str) else what.sentence, file=sys.stderr, flush=True)
