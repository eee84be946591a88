"""`python -m model.evaluation.generation`: how good and how fast the writing is at every stop of the dial.

The default model answers the same held-out requests at block size 1, at every stop, and at any setting given with
`--dial`; nothing of lab/prompts/held_out.txt is in the training text. All rows answer one request, in turns, before the
next one, in one process: a busy moment of the machine meets all of them, so ratios are fair. No text may end before all
its tokens are written, as on the desk, where a length is wanted.

Intervals are 95%, over requests, which are independent. What is compared to block size 1 is paired: same requests.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import cast

import torch

from model.backbones.load import fastest_precision, open_model
from model.catalog import CATALOG, Entry
from model.contract import Dial, InvalidSetting, Rule
from model.evaluation.figures import Row, summary, table, tokens_per_second
from model.evaluation.judge import Judge, JudgeUnusable, Verdict
from model.evaluation.options import add_options, positive
from model.evaluation.writing import BASELINE, BASELINE_NAME, SYSTEM, Text, Writer, cached, default_cache, say
from model.tokenizer import TextStream, TextTokenizer
from model.training.prompts import LISTS, UnusableList, read_lines
from model.weights import WeightsUnavailable, obtain

HELD_OUT = LISTS / "held_out.txt"


class NotPossible(ValueError):
    """A wish that cannot be measured; the message says why."""


# ----------------------------------------------------------------------------------------------------------- wishes


def settings(entry: Entry, rows: Sequence[str] | None, dials: Sequence[str]) -> dict[str, Dial]:
    """What is measured, by the names of the rows: the wanted ones of the model's own, then further dials.

    Raises NotPossible, InvalidSetting.
    """
    own = {BASELINE_NAME: BASELINE, **{stop.name: stop.dial for stop in entry.stops}}
    if unknown := [name for name in rows or () if name not in own]:
        raise NotPossible(f"There is no row {', '.join(unknown)}; choose from {', '.join(own)}.")
    wanted = {name: dial for name, dial in own.items() if rows is None or name in rows}
    return wanted | {written: parse_dial(written) for written in dials}


def parse_dial(written: str) -> Dial:
    """The setting that is written as L',steps,rule[,key=value…]; the rest is as at block size 1.

    Raises NotPossible, InvalidSetting.
    """
    kinds = {field.name: type(field.default) for field in fields(Dial) if field.default is not MISSING}
    parts = [part.strip() for part in written.split(",")]
    pairs = [part.partition("=")[::2] for part in parts[3:]]
    if unknown := [key for key, _ in pairs if key not in kinds]:
        raise NotPossible(f"A dial has no {', '.join(map(repr, unknown))}; choose from {', '.join(kinds)}.")
    try:
        size, steps, rule = parts[:3]
        given = {key: kinds[key](value) for key, value in pairs}
        return replace(BASELINE, block_size=int(size), steps=int(steps), rule=cast(Rule, rule), **given)
    except InvalidSetting:
        raise
    except ValueError as error:
        raise NotPossible(f"{written!r} is not a dial; write it as in 8,1,verified,threshold=0.1.") from error


def spell(dial: Dial) -> str:
    """A setting as parse_dial reads it."""
    further = [field.name for field in fields(dial) if field.default is not MISSING]
    pairs = [f"{name}={getattr(dial, name)}" for name in further if getattr(dial, name) != getattr(BASELINE, name)]
    return ",".join([str(dial.block_size), str(dial.steps), dial.rule, *pairs])


def read_requests(file: Path, count: int | None) -> tuple[str, ...]:
    """The first lines of a file, or all. Empty ones and those that begin with # do not count. Raises NotPossible."""
    try:
        return read_lines(file)[:count]
    except UnusableList as error:
        raise NotPossible(str(error)) from error
    except UnicodeDecodeError as error:
        raise NotPossible(f"{file} is not text in UTF-8.") from error
    except OSError as error:
        raise NotPossible(f"{file} cannot be read ({error.strerror}).") from error


# ---------------------------------------------------------------------------------------------------------- writing


def in_turns(
    writers: Mapping[str, Writer], prompts: Sequence[list[int]], count: int, seed: int
) -> Iterator[dict[str, Text]]:
    """The texts of all rows to one prompt, then to the next one.

    Before the first, every row answers the longest prompt once: plans of matrix products are made when a shape is new.
    """
    for write in writers.values():
        write(max(prompts, key=len), count, 0)
    for number, prompt in enumerate(prompts):
        yield {name: write(prompt, count, text_seed(seed, number)) for name, write in writers.items()}


def text_seed(seed: int, number: int) -> int:
    """The seed of a text: that of its request, the same in all rows."""
    return random.Random(f"{seed}/{number}").getrandbits(48)


def write_all(
    entry: Entry, folder: Path, dials: Mapping[str, Dial], requests: Sequence[str], count: int, seed: int
) -> tuple[dict[str, list[Text]], TextTokenizer]:
    """The texts of every row, and the tokenizer that reads them. Raises NotPossible."""
    with torch.inference_mode():
        network, tokenizer = open_model(entry, folder, fastest_precision())
        prompts = [tokenizer.prompt(SYSTEM, request) for request in requests]
        if max(map(len, prompts)) + count > network.facts.context:
            raise NotPossible(f"The model holds {network.facts.context} tokens; write fewer than {count}.")
        writers = {name: cached(network, dial) for name, dial in dials.items()}
        texts: dict[str, list[Text]] = {name: [] for name in dials}
        for number, turn in enumerate(in_turns(writers, prompts, count, seed), 1):
            for name, text in turn.items():
                texts[name].append(text)
            so_far = {name: tokens_per_second(texts[name]) for name in dials}
            pace = ", ".join(f"{name} {figure.value:.1f}" for name, figure in so_far.items() if figure)
            say(f"{number} of {len(prompts)} requests; tokens/s: {pace}")
    return texts, tokenizer


def judged(judge: Judge, requests: Sequence[str], texts: Mapping[str, Sequence[str]]) -> dict[str, list[Verdict]]:
    """What the judge says of the texts of every row. Raises JudgeUnusable."""
    verdicts: dict[str, list[Verdict]] = {}
    for name, answers in texts.items():
        say(f"{judge.name} reads {name} …")
        verdicts[name] = [judge.read(request, text) for request, text in zip(requests, answers, strict=True)]
    return verdicts


# ------------------------------------------------------------------------------------------------------ the command


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table, or JSON. 0: measured. 1: not, or without the judge, and a sentence says why."""
    given = _parser().parse_args(arguments)
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    entry = CATALOG[0]
    try:
        dials = settings(entry, given.rows, given.dial)
        requests = read_requests(given.prompts, given.count)
        judge = None if given.judge is None else Judge(given.judge)
        folder = obtain(entry, given.cache_dir or default_cache(), say)
        texts, tokenizer = write_all(entry, folder, dials, requests, given.tokens, given.seed)
    except (NotPossible, InvalidSetting, JudgeUnusable, WeightsUnavailable) as problem:
        print(problem, file=sys.stderr)
        return 1
    plain = {name: [TextStream(tokenizer).add(text.tokens) for text in texts[name]] for name in texts}
    verdicts: Mapping[str, Sequence[Verdict]] = {}
    unread = False
    try:
        verdicts = {} if judge is None else judged(judge, requests, plain)
    except JudgeUnusable as problem:  # what was written is worth a table all the same
        unread = True
        print(problem, file=sys.stderr)
    base = texts.get(BASELINE_NAME)
    rows = [summary(name, spell(dials[name]), texts[name], base, verdicts.get(name, ())) for name in dials]
    samples = {name: list(zip(requests, plain[name], strict=True))[: given.samples] for name in dials}
    print(_json(rows, samples) if given.json else "\n".join([*table(rows), *_to_read(samples)]))
    return int(unread)


Samples = Mapping[str, Sequence[tuple[str, str]]]
"""Requests and what was written, by the names of the rows."""


def _json(rows: Sequence[Row], samples: Samples) -> str:
    out = [row.as_json() for row in rows]
    for row in out:
        if samples[row["name"]]:
            row["samples"] = [{"request": request, "text": text} for request, text in samples[row["name"]]]
    return json.dumps(out, indent=1, ensure_ascii=False)


def _to_read(samples: Samples) -> Iterator[str]:
    for name, pairs in samples.items():
        for request, text in pairs:
            yield f"\n### {name}: {request}\n\n{text}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model.evaluation.generation", description=__doc__)
    parser.add_argument("--json", action="store_true", help="a list of rows as JSON")
    parser.add_argument(
        "--prompts", type=Path, default=HELD_OUT, metavar="FILE", help="one request a line (default: the held-out list)"
    )
    parser.add_argument("--count", type=positive, metavar="N", help="only the first N requests (default: all)")
    parser.add_argument("--tokens", type=positive, default=192, metavar="N", help="of every text (default: 192)")
    parser.add_argument(
        "--rows", nargs="+", metavar="NAME", help=f"only these of the model's own: {BASELINE_NAME!r}, or a stop"
    )
    parser.add_argument(
        "--dial",
        action="append",
        default=[],
        metavar="SETTING",
        help="one row more: L',steps,rule[,key=value…], as in 8,1,verified,threshold=0.1; may be given several times",
    )
    parser.add_argument(
        "--judge", metavar="MODEL", help="another causal model that reads the texts: a Hugging Face id or a folder"
    )
    parser.add_argument("--samples", type=positive, default=0, metavar="N", help="print the first N texts of every row")
    return add_options(parser)


if __name__ == "__main__":
    sys.exit(main())
