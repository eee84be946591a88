"""`python -m model.training.distill`: the base model writes the text that its block adapter is trained on.

Two rounds: texts from the lists of prompts, then continuations of those. Every text's prompt and random numbers follow
from the seed, so a stopped run goes on with the texts it has not written. Knows nothing of how the text is used.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from itertools import count, islice
from pathlib import Path

import torch
from tqdm import tqdm  # type: ignore[import-untyped]

from model.backbones.fit import WrongWeights
from model.backbones.load import fastest_precision, load_llama, open_model
from model.catalog import CATALOG, UnknownModel, UnknownStop, entry_for
from model.contract import Dial, Preparing
from model.denoiser import Denoiser
from model.tokenizer import ChatTokenizer, TextStream, UnusableTokenizer
from model.training.command import exit_code
from model.training.distill_rows import Row, RowFile, UnreadableRows
from model.training.prompts import (
    FIRST,
    SYSTEM,
    Assignment,
    Drawing,
    Lists,
    UnusableList,
    derived,
    read_lists,
    second,
)
from model.training.settings import InvalidSetting
from model.training.writing import Law, Wanted, Written, write, write_in_cycles
from model.weights import WeightsUnavailable, locate

FIRST_SHARE = 0.6
"""Of all tokens, in the first round; the second reads more for each token it writes."""

WINDOW = 8
"""Batches' worth of assignments that are sorted by length together."""

EXPECTED = 256
"""Tokens a text is reckoned with, where the last batches are made no larger than needed."""

VARIATIONS = 3
"""Times that one text of the first round is gone on from, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A run: the file, the tokens that shall be in it, texts written at once, and how they are drawn.

    threads  0: torch's choice.
    dial     a stop of the model's dial: its block adapter writes, checked by the base model. "": that writes alone.
    """

    out: str
    tokens: int = 1_500_000
    batch: int = 128
    seed: int = 1
    model: str = CATALOG[0].id
    threads: int = 0
    temperature: float = 0.8
    nucleus: float = 0.95
    penalty: float = 0.0
    dial: str = ""

    def __post_init__(self) -> None:
        for name in ("tokens", "batch"):
            if getattr(self, name) < 1:
                raise InvalidSetting(f"--{name} {getattr(self, name)} is not possible; give 1 or more.")
        if self.threads < 0:
            raise InvalidSetting(f"--threads {self.threads} is not possible; give 1 or more.")
        if not 0.0 <= self.temperature <= 5.0:
            raise InvalidSetting(f"--temperature {self.temperature} is not possible; choose a value from 0 to 5.")
        if not 0.0 < self.nucleus <= 1.0:
            raise InvalidSetting(f"--nucleus {self.nucleus} is not possible; choose a value above 0, at most 1.")
        if not 0.0 <= self.penalty <= 10.0:
            raise InvalidSetting(f"--penalty {self.penalty} is not possible; choose a value from 0 to 10.")


class Distillation:
    """One run: assignments go to the network in batches, finished texts to the file."""

    def __init__(
        self, settings: Settings, network: Denoiser, tokenizer: ChatTokenizer, lists: Lists, file: RowFile
    ) -> None:
        """Raises InvalidSetting where the file's rows were drawn in another way, UnknownStop."""
        self._dial = entry_for(settings.model).stop(settings.dial).dial if settings.dial else None
        if self._dial is not None:
            if self._dial.rule != "verified":
                raise InvalidSetting(f"--dial {settings.dial} has no cycles to learn from; choose a verified stop.")
            dial = self._dial
            settings = replace(
                settings, temperature=dial.temperature, nucleus=dial.nucleus, penalty=dial.repeat_penalty
            )
        self._settings, self._network, self._tokenizer, self._file = settings, network, tokenizer, file
        self._drawing = Drawing(lists, settings.seed)
        for name in ("model", "temperature", "nucleus", "penalty", "dial"):
            if other := {getattr(row, name) for row in file.rows.values()} - {getattr(settings, name)}:
                raise InvalidSetting(
                    f"{file.path} holds texts with --{name} {', '.join(map(str, sorted(other)))}; "
                    "choose another --out, or what it had."
                )
        self._bar = _Bar(settings.tokens, self._done)

    def run(self) -> None:
        """Writes until the file holds as many tokens as wanted, and the texts that were begun by then. Raises OSError.

        Where the first round left nothing to go on from, it goes on itself.
        """
        with self._bar, torch.inference_mode():
            self._round(self._first(), FIRST, FIRST_SHARE)
            self._round(self._second(), KINDS, 1.0)
            self._round(self._first(), KINDS, 1.0)

    @property
    def _done(self) -> int:
        return self._file.tokens(KINDS)

    def _first(self) -> Iterator[Assignment]:
        return map(self._drawing.first, count())

    def _second(self) -> Iterator[Assignment]:
        """Texts of the file gone on from, in the order of their numbers, once all of them before any twice."""
        written = {seed: row for seed, row in self._file.rows.items() if row.kind in FIRST}
        # the file may hold rows of another seed, whose numbers are not looked for
        numbers = range(2 * len(written) + WINDOW * self._settings.batch)
        sources = [(number, first) for number in numbers if (first := self._drawing.first(number)).seed in written]
        for variation in range(VARIATIONS):
            for number, first in sources:
                row = written[first.seed]
                seed = derived(self._settings.seed, "second", number, variation)
                if assignment := second(first, row.text, row.ended, seed):
                    yield assignment

    def _round(self, assignments: Iterable[Assignment], kinds: tuple[str, ...], share: float) -> None:
        """Works off assignments until rows of these kinds hold their share of the tokens, or there are none left."""
        new = (assignment for assignment in assignments if assignment.seed not in self._file.rows)
        wanted = share * self._settings.tokens
        while (missing := wanted - self._file.tokens(kinds)) > 0:
            texts = min(WINDOW * self._settings.batch, 1 + int(missing) // EXPECTED)
            window = list(islice(new, texts))
            if not window:
                return
            for batch in self._batches(window):
                if self._file.tokens(kinds) >= wanted:
                    return
                self._write(batch)

    def _batches(self, window: Sequence[Assignment]) -> list[list[tuple[Assignment, list[int]]]]:
        """Assignments of similar length together, with their tokens; in any order, so that no length comes first."""
        read = [(assignment, self._read(assignment)) for assignment in window]
        read.sort(key=lambda one: (one[0].limit, len(one[1])))
        size = self._settings.batch
        batches = [read[at : at + size] for at in range(0, len(read), size)]
        random.Random(window[0].seed).shuffle(batches)
        return batches

    def _read(self, assignment: Assignment) -> list[int]:
        return self._tokenizer.prompt(SYSTEM, assignment.user) + self._tokenizer.encode(assignment.so_far)

    def _write(self, batch: Sequence[tuple[Assignment, list[int]]]) -> None:
        wanted = [Wanted(prompt, assignment.limit, assignment.seed, assignment.least) for assignment, prompt in batch]
        job = self._side_by_side(wanted) if self._dial is None else self._in_cycles(wanted, self._dial)
        for written in job:
            self._file.append(self._row(*batch[written.index], written))
        self._bar.told()

    def _side_by_side(self, wanted: Sequence[Wanted]) -> Iterator[Written]:
        settings, going = self._settings, len(wanted)
        law = Law(settings.temperature, settings.nucleus, settings.penalty)
        for finished in write(self._network, wanted, law):
            self._bar.update(going)
            going -= len(finished)
            yield from finished

    def _in_cycles(self, wanted: Sequence[Wanted], dial: Dial) -> Iterator[Written]:
        for written in write_in_cycles(self._network, wanted, dial):
            self._bar.update(len(written.tokens))
            yield written

    def _row(self, assignment: Assignment, prompt: list[int], written: Written) -> Row:
        text = written.tokens[:-1] if written.ended else written.tokens
        return Row(
            prompt=assignment.user,
            so_far=assignment.so_far,
            text=TextStream(self._tokenizer).add(text),
            tokens=list(written.tokens),
            ended=written.ended,
            temperature=self._settings.temperature,
            nucleus=self._settings.nucleus,
            penalty=self._settings.penalty,
            seed=assignment.seed,
            model=self._settings.model,
            prompt_tokens=prompt,
            kind=assignment.kind,
            least=assignment.least,
            dial=self._settings.dial,
            starts=list(written.starts),
        )


KINDS = (*FIRST, "next", "continue")


class _Bar:
    """Progress in tokens: a bar on a terminal, elsewhere a line after every batch."""

    def __init__(self, total: int, done: int) -> None:
        self._total, self._before, self._done, self._began = total, done, done, time.perf_counter()
        self._bar = tqdm(initial=done, total=total, unit="tok", unit_scale=True, smoothing=0.05, disable=None)

    def update(self, tokens: int) -> None:
        self._done += tokens
        self._bar.update(tokens)

    def told(self) -> None:
        """A batch is done."""
        if self._bar.disable:
            speed = (self._done - self._before) / (time.perf_counter() - self._began)
            left = max(0, self._total - self._done) / speed / 60
            print(
                f"{self._done:,} of {self._total:,} tokens, {speed:,.0f} a second, {left:.0f} minutes left",
                file=sys.stderr,
                flush=True,
            )

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *raised: object) -> None:
        self._bar.close()


# ------------------------------------------------------------------------------------------------ the command line

GUIDE = """\
Lets the base model write the text that its block adapter is trained on, without any outside data.

  python -m model.training.distill --out runs/writing.jsonl

The prompts are drawn from the lists in lab/prompts: requests as people make them, and sections as the desk asks for
them. About six tenths of the tokens answer those; the rest goes on from what was written then, as the next section or
from the middle of one.

Texts are appended to the file as they are finished. Ctrl+C stops it, and the same command goes on where it was; a
larger --tokens adds to a file. Same seed, same prompts; the texts are the same up to the last bits of a product, which
depend on the batch.

A row is a line of JSON: prompt, so_far (the given beginning of the answer), text, tokens (of the text, with the end
token if it came), ended, temperature, nucleus, penalty, seed, model, prompt_tokens (all that was read), kind, and least
(tokens before which the text might not end, as on the desk where a length is wanted). With --dial also dial, and
starts: the places in tokens where the block sampler began a cycle, for the second stage of training (--visited there).
"""

HELP = {
    "out": "file to write or to go on with (JSON lines)",
    "tokens": "tokens that the file shall hold",
    "batch": "texts written at once; each takes 10 to 40 MB of memory",
    "seed": "same seed, same prompts",
    "model": "id in the catalogue, or a folder with a model; its block adapter is used with --dial only",
    "threads": "of the CPU; 0: torch's choice",
    "temperature": "of sampling; 0 takes the likeliest token",
    "nucleus": "smallest probability mass that is drawn from",
    "penalty": "nats that a token loses where a repeat would go on; the dial's is 0.8",
    "dial": "a verified stop of the dial, with its temperature, nucleus and penalty: the block adapter writes and the "
    "base model checks, one text at a time; the rows say where cycles began",
}


def parse(arguments: Sequence[str]) -> Settings:
    """Settings from the command line. Raises InvalidSetting."""
    parser = argparse.ArgumentParser(
        prog="python -m model.training.distill",
        description=GUIDE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    for field in fields(Settings):
        kind = {"int": int, "float": float}.get(str(field.type), str)
        needed = field.default is MISSING
        told = HELP[field.name]
        if not needed and field.default != "":
            told += f" (default: {field.default})"
        parser.add_argument(f"--{field.name}", type=kind, metavar=kind.__name__.upper(), help=told, required=needed)
    return Settings(**vars(parser.parse_args(arguments)))


def open_writer(model: str, adapted: bool) -> tuple[Denoiser, ChatTokenizer]:
    """A model of the catalogue or of a folder, with or without its block adapter, in this machine's fastest precision.

    Raises UnknownModel, WeightsUnavailable, WrongWeights, UnusableTokenizer.
    """
    from platformdirs import user_cache_path

    entry = entry_for(model)
    folder = locate(model, user_cache_path("galley", appauthor=False), _say).folder
    if adapted:
        return open_model(entry, folder, fastest_precision())
    tokenizer = ChatTokenizer(folder / "tokenizer.json")
    return load_llama(folder, tokenizer, precision=fastest_precision()), tokenizer


def _say(stage: Preparing) -> None:
    print(stage.sentence, file=sys.stderr)


PROBLEMS = (
    UnknownModel,
    UnknownStop,
    WeightsUnavailable,
    WrongWeights,
    UnusableTokenizer,
    UnusableList,
    UnreadableRows,
)
"""What is told in one sentence at the edge."""


def distill(settings: Settings) -> str:
    """Writes until the file holds as many tokens as wanted; says what it holds. Raises PROBLEMS, OSError."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    lists = read_lists()
    with RowFile(Path(settings.out)) as file:
        network, tokenizer = open_writer(settings.model, bool(settings.dial))
        Distillation(settings, network, tokenizer, lists, file).run()
        return f"{file.path}: {len(file.rows):,} texts, {file.tokens(KINDS):,} tokens"


def main(arguments: Sequence[str] | None = None) -> int:
    """0: the file holds as many tokens as wanted. 1: stopped by what the last line says. 2: impossible settings."""
    given = sys.argv[1:] if arguments is None else arguments
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops as Ctrl+C does
    try:
        return exit_code(lambda: distill(parse(given)), PROBLEMS)
    except KeyboardInterrupt:
        print("Stopped. Finished texts are kept; the same command goes on.", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
