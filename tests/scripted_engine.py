"""An engine without a network: the same events as the real one, words that depend on the seed alone, and a script.

The script is a small file that a test changes while the engine runs: hold in the middle of a block, go on, refuse to
open, break. So a test decides what happens when, and never has to sleep.

    script = Script(folder)
    worker = Worker("scripted", cache_dir=folder, threads=None, on_event=..., child=scripted_child)
    script.hold(block=2)        # every picture of block 2 and later repeats until …
    script.release()
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer, models, pre_tokenizers

from app.draft import count_words
from app.worker import Writer, serve
from model.catalog import SMOLLM2
from model.contract import (
    BlockLocked,
    BlockStep,
    Candidate,
    Failed,
    Fill,
    Filled,
    Finished,
    JobEvent,
    Preparing,
    Reading,
    Ready,
    Request,
    Slot,
    StopSpeed,
)

WORDS = (
    *("the", "harbour", "lay", "quiet", "under", "a", "pale", "sky", "and", "nobody", "spoke", "of", "storm"),
    *("old", "keeper", "lit", "his", "lamp", "while", "slow", "water", "moved", "against", "stone", "until", "dawn"),
)

SENTENCE_WORDS = 9

SECONDS_PER_FORWARD = 0.02
"""What the engine claims; it takes no time but the script's pace."""

ENDING_TOKENS, ENDING_SECONDS = 8, 0.04
"""Claimed, too."""

FILL_FORWARDS = 12
"""Claimed for every passage that is filled."""

READ_AT_ONCE = 256

SLOTS = 8
"""Most slots of its blocks, whatever the dial says: a test's section then has several of them."""

REPEAT_SECONDS = 0.005
"""While it is held, the engine sends the same picture again and again, so that it hears when it is told to stop."""


@dataclass(frozen=True, slots=True)
class Lines:
    """What stands in the script.

    hold          (block, step): stay at that picture and at every later one. A passage that is filled is block 0.
    hold_opening  do not get ready.
    unavailable   refuse to open, with this sentence.
    break_opening, break_block  raise an unexpected error when opening, when beginning this block.
    fail_block    end the job with an orderly Failed before this block.
    end_after     the model ends by itself after so many words.
    pace          seconds per picture, for a person to watch.
    words         what the text is made of.
    context       tokens that fit.
    """

    hold: tuple[int, int] | None = None
    hold_opening: bool = False
    unavailable: str | None = None
    break_opening: bool = False
    break_block: int | None = None
    fail_block: int | None = None
    end_after: int | None = None
    pace: float = 0.0
    words: tuple[str, ...] = WORDS
    context: int = 8192


class Script:
    """The script in a folder, for both sides: a test changes it, the engine reads it between any two events."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "script.json"

    def read(self) -> Lines:
        try:
            stored: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Lines()
        hold = stored.pop("hold")
        return Lines(**{**stored, "words": tuple(stored["words"])}, hold=None if hold is None else (hold[0], hold[1]))

    def change(self, **changes: Any) -> None:
        """Changes fields of Lines; the others stay."""
        lines = replace(self.read(), **changes)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(asdict(lines)), encoding="utf-8")
        os.replace(new, self._path)

    def hold(self, block: int, step: int = 1) -> None:
        """Steps count from 1; a block's locking comes after its last step."""
        self.change(hold=(block, step))

    def release(self) -> None:
        self.change(hold=None)


class ScriptedEngine:
    """Writes words without meaning, ends with a full stop when the words asked for are there."""

    def __init__(self, folder: Path, threads: int | None) -> None:
        self._script = Script(folder)
        self.ready = Ready(
            model="scripted",
            tokenizer=str(write_tokenizer(folder)),
            context=self._script.read().context,
            precision="float32",
            threads=threads or 2,
            load_seconds=0.25,
            speeds=tuple(StopSpeed(stop.name, SECONDS_PER_FORWARD, ENDING_SECONDS) for stop in SMOLLM2.stops),
            ending_tokens=ENDING_TOKENS,
            prefill_tokens_per_second=1e6,
        )

    def write(self, request: Request) -> Iterator[JobEvent]:
        job, size = request.job, min(request.dial.block_size, SLOTS)
        total = len((request.system + request.user + request.so_far).split())
        for done in range(READ_AT_ONCE, total + READ_AT_ONCE, READ_AT_ONCE):
            yield Reading(job, min(done, total), total)
        tokens, text, nfe, block = 0, "", 0, request.first_block
        first_block_seconds = 0.0
        reason: Literal["length", "end", "budget", "part"] | None = None
        while reason is None:
            lines = self._script.read()
            if block == lines.fail_block:
                yield Failed(job, "The scripted engine was told to fail here; tell it something else.")
                return
            if block == lines.break_block:
                raise RuntimeError("the scripted engine was told to break here")
            texts: list[str] = []
            while len(texts) < size and reason is None:
                texts.append(word_at(request, block * size + len(texts), lines.words))
                written = count_words(text + "".join(texts))
                if request.words is not None and written >= request.words:
                    reason = "length"
                elif request.part and request.words is not None and request.words - written >= request.part:
                    if count_words(request.so_far + text + "".join(texts)) >= request.part:
                        reason = "part"
                elif lines.end_after is not None and written >= lines.end_after:
                    reason = "end"
                elif tokens + len(texts) >= request.max_tokens:
                    reason = "budget"
            if reason is not None:
                texts[-1] = texts[-1].rstrip(".") + "." + ("\n\n" if reason == "part" else "")
            forwards = 0
            for slots in pictures(request, block, texts):
                forwards += 1
                step = BlockStep(
                    job=job,
                    block=block,
                    slots=slots,
                    nfe=nfe + forwards,
                    tokens=tokens + sum(slot.text is not None for slot in slots),
                    seconds=(nfe + forwards) * SECONDS_PER_FORWARD,
                    phase="denoise" if reason is None else "ending",
                )
                yield step
                while self._holds(block, forwards):
                    yield step
            forwards += 1
            nfe += forwards
            tokens += len(texts)
            text += "".join(texts)
            first_block_seconds = first_block_seconds or nfe * SECONDS_PER_FORWARD
            yield BlockLocked(
                job=job,
                block=block,
                text="".join(texts),
                tokens=tuple(1 + WORDS.index(word) if (word := _bare(text)) in WORDS else 0 for text in texts),
                nll=1.25 * len(texts),
                seed=random.Random(f"{request.seed}/{block}").getrandbits(64),
                nfe=forwards,
                seconds=forwards * SECONDS_PER_FORWARD,
            )
            block += 1
        yield Finished(
            job=job,
            reason=reason,
            tokens=tokens,
            words=count_words(text),
            seconds=nfe * SECONDS_PER_FORWARD,
            first_block_seconds=first_block_seconds,
            nfe=nfe,
            blocks=block - request.first_block,
            ending_seconds=forwards * SECONDS_PER_FORWARD if reason == "length" else 0.0,
        )

    def fill(self, request: Fill) -> Iterator[JobEvent]:
        """Half of the first candidate, all of it, and then all of them."""
        job, lines = request.job, self._script.read()
        total = len((request.system + request.user + request.before).split())
        yield Reading(job, total, total)
        if lines.fail_block == 0:
            yield Failed(job, "The scripted engine was told to fail here; tell it something else.")
            return
        if lines.break_block == 0:
            raise RuntimeError("the scripted engine was told to break here")
        candidates = fillings(request, lines.words)
        texts = [word for text in candidates[0].texts for word in re.findall(r"\s*\S+", text)]
        for number, shown in enumerate((len(texts) // 2, len(texts)), 1):
            slots = tuple(Slot(text, 0.5) if at < shown else Slot(None, 0.0) for at, text in enumerate(texts))
            step = BlockStep(job, 0, slots, nfe=number, tokens=shown, seconds=number * SECONDS_PER_FORWARD)
            yield step
            while self._holds(0, number):
                yield step
        yield Filled(job, candidates, nfe=FILL_FORWARDS, seconds=FILL_FORWARDS * SECONDS_PER_FORWARD)

    def _holds(self, block: int, step: int) -> bool:
        """Waits as long as the script's pace says; whether the same picture is to come again."""
        lines = self._script.read()
        held = lines.hold is not None and (block, step) >= lines.hold
        time.sleep(REPEAT_SECONDS if held else lines.pace)
        return held


def _bare(text: str) -> str:
    return text.strip(" .").lower()


def word_at(request: Request, place: int, words: tuple[str, ...]) -> str:
    """The token at a place of the whole text, counted from the job's first block: the same however often it resumes."""
    word = random.Random(f"{request.seed}/{place}").choice(words)
    begins = place % SENTENCE_WORDS == 0 and (place > 0 or not request.so_far or request.so_far.rstrip()[-1:] in ".!?")
    if begins:
        word = word[:1].upper() + word[1:]
    if place % SENTENCE_WORDS == SENTENCE_WORDS - 1:
        word += "."
    return word if place == 0 and (not request.so_far or request.so_far[-1:].isspace()) else " " + word


def pictures(request: Request, block: int, texts: list[str]) -> Iterator[tuple[Slot, ...]]:
    """The block after each denoising step: verified from the left, else the slots fill in any order."""
    verified = request.dial.rule == "verified"
    steps = max(1, len(texts) // 3) if verified else min(request.dial.steps, len(texts))
    chance = random.Random(f"{request.seed}/{block}/order")
    order = list(range(len(texts)))
    if not verified:
        chance.shuffle(order)
    sure = [0.3 + 0.7 * chance.random() for _ in texts]
    for step in range(1, steps + 1):
        shown = set(order[: len(texts) * step // steps])
        yield tuple(Slot(text, sure[index]) if index in shown else Slot(None, 0.0) for index, text in enumerate(texts))


def whole_text(request: Request, words: tuple[str, ...] = WORDS) -> str:
    """What an engine that is never disturbed makes of a request with single words and a length target."""
    assert request.words is not None
    texts = [word_at(request, place, words) for place in range(request.words)]
    return "".join(texts).rstrip(".") + "."


def fillings(request: Fill, words: tuple[str, ...] = WORDS) -> tuple[Candidate, ...]:
    """The candidates of a request: as many as it wants, all different, as long as what stood there or as it says."""
    found: dict[tuple[str, ...], Candidate] = {}
    stood_there = tuple(piece.was for piece in request.pieces if piece.text is None)
    for number in range(10 * request.candidates):
        texts = tuple(
            _filling(request, at, random.Random(f"{request.seed}/{number}/{at}"), words)
            for at, piece in enumerate(request.pieces)
            if piece.text is None
        )
        if texts != stood_there and texts not in found:
            tokens = sum(len(text.split()) for text in texts)
            found[texts] = Candidate(texts, nll=1.0 + len(found) / 8, sureness=(0.5,) * tokens)
        if len(found) == request.candidates:
            break
    return tuple(found.values())


def _filling(request: Fill, at: int, chance: random.Random, words: tuple[str, ...]) -> str:
    """Other words for the hole at a place of the passage; below full strength only some of them are others."""
    hole = request.pieces[at]
    left = request.before + "".join(piece.text or piece.was for piece in request.pieces[:at])
    right = "".join(piece.text or piece.was for piece in request.pieces[at + 1 :]) + request.after
    was = hole.was.split()
    new = [chance.choice(words) for _ in range(hole.words or len(was))]
    if request.strength < 1.0:
        others = chance.sample(range(len(was)), math.ceil(request.strength * len(was)))
        new = [word if place in others else was[place] for place, word in enumerate(new)]
    if hole.was:
        lead, trail = hole.was[: -len(hole.was.lstrip())], hole.was[len(hole.was.rstrip()) :]
        begins = was[0][:1].isupper()
        return lead + " ".join([new[0].capitalize() if begins else new[0], *new[1:]]) + trail
    lead = " " if left and not left[-1].isspace() else ""
    trail = " " if right and not right[0].isspace() else ""
    return f"{lead}{' '.join(new).capitalize()}.{trail}"


def write_tokenizer(folder: Path) -> Path:
    """A real tokenizer.json: one token for every word and every run of punctuation."""
    path = folder / "tokenizer.json"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(
        models.WordLevel({"[UNK]": 0, **{word: 1 + index for index, word in enumerate(WORDS)}}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path))
    return path


def scripted_child(connection: Connection, model: str, cache_dir: Path, threads: int | None) -> None:
    """The model process with the scripted engine; its script lies in the cache folder."""
    script = Script(cache_dir)

    def open_engine(report: Callable[[Preparing], None]) -> Writer | Failed:
        report(Preparing("fetch", "The model is being fetched.", 50, 100))
        while script.read().hold_opening:
            time.sleep(REPEAT_SECONDS)
        lines = script.read()
        if lines.break_opening:
            raise RuntimeError("the scripted engine was told to break while opening")
        if lines.unavailable is not None:
            return Failed(None, lines.unavailable)
        report(Preparing("fetch", "The model is being fetched.", 100, 100))
        report(Preparing("load", "The model is being loaded."))
        report(Preparing("measure", "The speed of this machine is being measured."))
        return ScriptedEngine(cache_dir, threads)

    serve(connection, open_engine)
