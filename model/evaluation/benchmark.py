"""`python -m model.evaluation.benchmark`: what every way of writing costs on this machine, and what it gives.

On the default model, the same prompts and as many tokens each: block size 1, every stop of the dial, the engine without
a cache (the first tokens of one text only), and transformers' own `generate` on the same weights in the same precision.
Each row has a process of its own, one after the other, so that its peak of memory is its own. `--context` prints what a
block costs after more and more text, `--engine` the ratios of the published network: cached against uncached sampling,
late tokens against early ones, one training pass against two and against a loop over blocks.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from model.backbones.llama import Llama
from model.backbones.load import FULL, fastest_precision, open_model
from model.catalog import CATALOG, Entry
from model.evaluation.writing import BASELINE, BASELINE_NAME, SYSTEM, Text, Writer, cached, default_cache, repeated, say
from model.sampler import BlockSampler, Draws, Pictures
from model.tokenizer import ChatTokenizer
from model.weights import WeightsUnavailable, obtain

PROMPTS = (
    "Write a story about a lighthouse keeper who finds a message in a bottle.",
    "Write an article about how bees find their way home.",
    "Write a letter to a friend about moving to a small town.",
    "Write a report on the water supply of a mountain village.",
    "Write a speech for the opening of a public library.",
    "Write a manual for keeping a wooden boat in good order.",
    "Write an essay on why people walk.",
    "Write a story about two sisters who inherit a bakery.",
    "Write an article about the history of the printing press.",
    "Write a letter of complaint about a train that never comes on time.",
    "Write a report about a dig at an old harbour.",
    "Write a short guide to writing a good diary.",
)

PADDED = 128
UNCACHED_TOKENS = 32

CONTEXTS = (256, 512, 1024, 2048)


@dataclass(frozen=True, slots=True)
class Row:
    """One way of writing, over all prompts.

    tokens_per_second  while writing, the reading of the prompt not counted.
    first_block_seconds  from the prompt to the first finished block, mean over the prompts.
    nfe_per_token      network forwards per token, commits included.
    nll, nll_error     of the text under the causal reading of the weights, nats per token, and its standard error.
    repeated_4grams    share of runs of four tokens that stood in the same text before.
    peak_memory_mb     of the process, the network's loading included; None where the system does not tell.
    """

    name: str
    tokens_per_second: float
    first_block_seconds: float
    nfe_per_token: float
    nll: float
    nll_error: float
    repeated_4grams: float
    tokens: int
    peak_memory_mb: float | None


# ------------------------------------------------------------------------------------------------- ways of writing


def uncached(denoiser: Llama) -> Writer:
    """Block size 1 without a cache: the whole text goes through the network for every token.

    Padded at the left to the next multiple of PADDED, so that most products have a shape that was planned before.
    """

    def write(prompt: list[int], count: int, seed: int) -> Text:
        tokens: list[int] = []
        nll: list[float] = []
        first, began = 0.0, time.perf_counter()
        while len(tokens) < count:
            sampler = BlockSampler(denoiser, BASELINE, may_end=False)
            text = prompt + tokens
            padding = -len(text) % PADDED
            for _ in sampler.read(torch.tensor([[0] * padding + text]), torch.tensor([padding])):
                pass
            block = Pictures(sampler.block(1, Draws([seed + len(tokens)]))).finish()
            tokens += block.tokens[0].tolist()
            nll += block.nll[0].tolist()
            first = first or time.perf_counter() - began
        return Text(tokens, nll, count, time.perf_counter() - began, first)

    return write


def by_transformers(folder: Path, dtype: torch.dtype) -> Writer:
    """`generate` with its cache, sampling as the engine does."""
    from transformers import LlamaForCausalLM
    from transformers.generation.streamers import BaseStreamer

    model = LlamaForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    model.eval()

    class Clock(BaseStreamer):  # type: ignore[misc]
        """When the first new token came: it is told of the prompt first."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def put(self, value: Any) -> None:
            self.times.append(time.perf_counter())

        def end(self) -> None:
            pass

    def write(prompt: list[int], count: int, seed: int) -> Text:
        torch.manual_seed(seed)
        clock, ids, began = Clock(), torch.tensor([prompt]), time.perf_counter()
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=BASELINE.temperature,
            top_p=BASELINE.nucleus,
            top_k=0,
            min_new_tokens=count,
            max_new_tokens=count,
            pad_token_id=0,
            streamer=clock,
        )
        end = time.perf_counter()
        logits = model(out).logits[0, len(prompt) - 1 : -1].float()
        nll = torch.nn.functional.cross_entropy(logits, out[0, len(prompt) :], reduction="none")
        # The first token comes with the reading of the prompt; the other forwards are timed.
        seconds = (end - clock.times[1]) * count / (count - 1)
        return Text(out[0, len(prompt) :].tolist(), nll.tolist(), count, seconds, clock.times[1] - began)

    return write


# ---------------------------------------------------------------------------------------------------------- rows


def row(name: str, folder: Path, prompts: Sequence[str], count: int, threads: int | None) -> Row:
    """Measures one way of writing; to be run in a process of its own."""
    if threads is not None:
        torch.set_num_threads(threads)
    entry = CATALOG[0]
    precision = fastest_precision()
    with torch.inference_mode():
        if name == "transformers":
            tokenizer = ChatTokenizer(folder / "tokenizer.json")
            writer = by_transformers(folder, torch.bfloat16 if precision is not FULL else torch.float32)
        else:
            denoiser, tokenizer = open_model(entry, folder, precision)
            if name == "uncached":
                writer = uncached(denoiser)
            else:
                writer = cached(denoiser, BASELINE if name == BASELINE_NAME else entry.stop(name).dial)
        ids = [tokenizer.prompt(SYSTEM, prompt) for prompt in prompts]
        writer(ids[0], 16, 0)  # plans of the products are made in the first forwards
        if name == "uncached":  # so slow that the beginning of one text must do
            ids, count = ids[:1], min(count, UNCACHED_TOKENS)
        texts = [writer(prompt, count, 1000 * number) for number, prompt in enumerate(ids)]
    return summary(name, texts)


def summary(name: str, texts: Sequence[Text]) -> Row:
    """Sums and counts first, one division at the end. The standard error is over texts, which are independent."""
    tokens = sum(len(text.tokens) for text in texts)
    nll = sum(sum(text.nll) for text in texts) / tokens
    means = [sum(text.nll) / len(text.nll) for text in texts]
    spread = sum((mean - nll) ** 2 for mean in means) / max(len(means) - 1, 1)
    return Row(
        name=name,
        tokens_per_second=tokens / sum(text.seconds for text in texts),
        first_block_seconds=sum(text.first_block_seconds for text in texts) / len(texts),
        nfe_per_token=sum(text.nfe for text in texts) / tokens,
        nll=nll,
        nll_error=math.sqrt(spread / len(means)) if len(means) > 1 else math.nan,
        repeated_4grams=repeated(texts),
        tokens=tokens,
        peak_memory_mb=peak_memory_mb(),
    )


def peak_memory_mb() -> float | None:
    """Of this process."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / (1 << 10)


def names(entry: Entry) -> list[str]:
    """Rows in the order they are measured."""
    return [BASELINE_NAME, *(stop.name for stop in entry.stops), "uncached", "transformers"]


def context_costs(folder: Path, threads: int | None) -> dict[int, float]:
    """Seconds of one block at the default stop after so many tokens of context, the least of several."""
    if threads is not None:
        torch.set_num_threads(threads)
    entry = CATALOG[0]
    dial = entry.stop(entry.default_stop).dial
    with torch.inference_mode():
        denoiser, tokenizer = open_model(entry, folder, fastest_precision())
        text = tokenizer.encode(" ".join(PROMPTS) * 20)
        samplers = {}
        for context in CONTEXTS:
            samplers[context] = BlockSampler(denoiser, dial, may_end=False)
            for _ in samplers[context].read(torch.tensor([text[:context]])):
                pass
        # In turns, so that a busy moment of the machine meets all of them; the same draws for all.
        seconds: dict[int, list[float]] = {context: [] for context in CONTEXTS}
        for turn in range(12):
            for context, reader in samplers.items():
                sampler = reader.fork(torch.zeros(1, dtype=torch.long))
                began = time.perf_counter()
                for _ in sampler.block(dial.block_size, Draws([turn])):
                    pass
                seconds[context].append((time.perf_counter() - began) / sampler.nfe)
    return {context: min(times) for context, times in seconds.items()}


def engine_rows() -> list[dict[str, Any]]:
    """Ratios of the published network with random weights: name, ratio, and the bound it should keep."""
    from model.evaluation import engine_speed, training_speed

    training = training_speed.measure()
    return [
        *engine_speed.rows(),
        {"name": "one training pass / two", "ratio": training.one_pass / training.two_passes, "bound": "≤ 0.8"},
        {"name": "loop over blocks / one training pass", "ratio": training.loop / training.one_pass, "bound": "≥ 4"},
    ]


def _ratio_line(row: dict[str, Any]) -> str:
    return f"{row['name']:<48} {row['ratio']:.2f}  ({row['bound']})"


# ------------------------------------------------------------------------------------------------------- the command


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    given = _parser().parse_args(arguments)
    if given.engine:
        ratios = _alone(engine_rows)
        print(json.dumps(ratios, indent=1) if given.json else "\n".join(map(_ratio_line, ratios)))
        return 0
    try:
        folder = obtain(CATALOG[0], given.cache_dir or default_cache(), say)
    except WeightsUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    wanted = given.rows or names(CATALOG[0])
    if unknown := set(wanted) - set(names(CATALOG[0])):
        print(
            f"There is no row {', '.join(sorted(unknown))}; choose from {', '.join(names(CATALOG[0]))}.",
            file=sys.stderr,
        )
        return 2
    if given.context:
        costs = _alone(partial(context_costs, folder, given.threads))
        print(json.dumps(costs) if given.json else _context_table(costs))
        return 0
    measure = partial(row, folder=folder, prompts=PROMPTS[: given.prompts], count=given.tokens, threads=given.threads)
    rows = []
    for name in wanted:
        say(f"measuring {name} …")
        rows.append(_alone(partial(measure, name)))
        say(json.dumps(asdict(rows[-1])))
    print(json.dumps([asdict(one) for one in rows], indent=1) if given.json else "\n".join(_table(rows)))
    return 0


def _alone(task: Callable[[], Any]) -> Any:
    """In a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(task).result()


def _table(rows: Sequence[Row]) -> Iterator[str]:
    base = next((one.tokens_per_second for one in rows if one.name == BASELINE_NAME), None)
    yield "| | tokens/s | to block size 1 | first block, s | NFE per token | NLL, nats/token | repeated 4-grams | MB |"
    yield "|---|---|---|---|---|---|---|---|"
    for one in rows:
        ratio = f"{one.tokens_per_second / base:.2f} ×" if base else "–"
        memory = "–" if one.peak_memory_mb is None else f"{one.peak_memory_mb:.0f}"
        yield (
            f"| {one.name} | {one.tokens_per_second:.1f} | {ratio} | {one.first_block_seconds:.2f} | "
            f"{one.nfe_per_token:.2f} | {one.nll:.2f} ± {one.nll_error:.2f} | {one.repeated_4grams:.3f} | {memory} |"
        )


def _context_table(costs: dict[int, float]) -> str:
    least = costs[CONTEXTS[0]]
    lines = [f"| {context} | {1000 * cost:.1f} | {cost / least:.2f} × |" for context, cost in costs.items()]
    return "\n".join(("| tokens of context | ms a forward | |", "|---|---|---|", *lines))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model.evaluation.benchmark", description=__doc__)
    parser.add_argument("--json", action="store_true", help="a list of rows as JSON")
    parser.add_argument("--prompts", type=int, default=3, metavar="N", help="how many prompts (default: 3, at most 12)")
    parser.add_argument("--tokens", type=int, default=256, metavar="N", help="tokens to write to each (default: 256)")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="these rows only")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: torch's own choice)")
    parser.add_argument("--cache-dir", type=Path, metavar="FOLDER", help="where model files are kept")
    parser.add_argument(
        "--context", action="store_true", help="what a block costs after more and more context, instead"
    )
    parser.add_argument("--engine", action="store_true", help="ratios of the published network, instead")
    return parser


if __name__ == "__main__":
    sys.exit(main())
