"""What is known of the job that is being written: its blocks so far, what is left of it, and the meter.

Pure but for remembering: knows nothing of the worker, the store or the clock, which is handed in where time matters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.corrections import Key, Seconds
from app.draft import Block, Section, count_words
from model.contract import BlockLocked, BlockStep, Finished, Reading, Request

ALLOWANCE = 0.1
"""A section may be this much shorter or longer than asked for."""

FEW_WORDS = 20
"""Fewer words than this do not tell yet how many tokens a word takes in this text."""

_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’»)\]]*\s*$")


@dataclass(frozen=True, slots=True)
class Order:
    """What the writer asked for.

    dial_key  what corrections of the prediction belong to.
    reckoned  what was predicted without correction; expected: seconds with it. None where nothing was measured.
    left_out  sentences about what the model does not read.
    """

    request: Request
    words: int
    section: Section
    dial_key: Key
    reckoned: Seconds | None
    expected: float | None
    tokens_per_word: float
    left_out: tuple[str, ...]

    @property
    def stop_name(self) -> str | None:
        """The stop at which the dial stands; None for a setting made by hand."""
        return self.dial_key if isinstance(self.dial_key, str) else None


class RunningJob:
    """One job from its request to its end. Times `now` are seconds of any steady clock.

    newest   the block being denoised, while there is one.
    reading  how far the prompt is read, until the first block.
    waiting  for a new model process.
    resumed  by a new model process, after one has died.
    """

    def __init__(self, order: Order, now: float) -> None:
        self.order = order
        self._request, self._first = order.request, 0  # of the part under way; the number of blocks before it
        self._parts: list[Finished] = []
        self.id = order.request.job
        self.newest: BlockStep | None = None
        self.reading: Reading | None = None
        self.waiting = False
        self.resumed = False
        self.words = 0
        self._words_before = count_words(order.request.so_far)
        self._locked: list[BlockLocked] = []
        self._since = now  # when this attempt began
        self._earlier = 0.0  # seconds of attempts before it
        self._first_block_seconds: float | None = None
        self._nfe = 0
        self._seconds: float | None = None  # all of them, once the engine has told

    # ------------------------------------------------------------------------------------------------ what happens

    def step(self, event: BlockStep) -> None:
        self.newest, self.reading = event, None

    def lock(self, event: BlockLocked, now: float) -> Block:
        """Takes in a finished block; returns it as the section's next block."""
        self.newest = self.reading = None
        self._locked.append(event)
        self._nfe += event.nfe
        if self._first_block_seconds is None:
            self._first_block_seconds = self.elapsed(now)
        self.words = count_words(self.order.request.so_far + self.text) - self._words_before
        return self.block(event)

    def block(self, event: BlockLocked) -> Block:
        """The event as a block of the section."""
        return Block(
            text=event.text,
            author="model",
            tokens=event.tokens,
            seed=event.seed,
            dial=self.order.request.dial,
            nll=event.nll,
            nfe=event.nfe,
            seconds=event.seconds,
            job=self.id,
        )

    def interrupted(self, now: float) -> None:
        """The model process is gone, and with it the block it was at."""
        if not self.waiting:
            self._earlier = self.elapsed(now)
        self.newest = self.reading = None
        self.waiting = self.resumed = True

    def resume(self, now: float) -> Request:
        """What to ask a new model process for: the rest of the text, from the last locked block on."""
        self.waiting = False
        self._since = now
        request, written = self._request, self._locked[self._first :]
        if not written:
            return request
        return replace(
            request,
            so_far=request.so_far + "".join(block.text for block in written),
            words=max(1, self.words_left),
            max_tokens=max(1, request.max_tokens - sum(len(block.tokens) for block in written)),
            first_block=self.next_block,
        )

    def begin_part(self, request: Request, event: Finished) -> None:
        """The part before is finished, as the event says, and the next one has been asked for."""
        self._request, self._first = request, len(self._locked)
        self._parts.append(event)

    def finish(self, event: Finished) -> Finished:
        """Takes over the engine's own sums, which know the forwards and seconds of what was tried and thrown away;
        returns them for all parts together."""
        self.newest = self.reading = None
        whole = added([*self._parts, event])
        if not self.resumed:
            self._nfe, self._seconds = whole.nfe, whole.seconds
            self._first_block_seconds = whole.first_block_seconds
        return whole

    # --------------------------------------------------------------------------------------------------- what is so

    @property
    def text(self) -> str:
        """Written by this job so far."""
        return "".join([block.text for block in self._locked])

    @property
    def tokens(self) -> int:
        return sum(len(block.tokens) for block in self._locked)

    @property
    def next_block(self) -> int:
        """Its number."""
        return self._locked[-1].block + 1 if self._locked else 0

    @property
    def words_left(self) -> int:
        return self.order.words - self.words

    @property
    def complete(self) -> bool:
        """Long enough, at the end of a sentence and no block begun: only the word that it is finished is missing."""
        long_enough = self.words_left <= ALLOWANCE * self.order.words
        return long_enough and self.newest is None and _SENTENCE_END.search(self.text) is not None

    def elapsed(self, now: float) -> float:
        """Seconds of writing, reading of the prompt included, without those spent waiting for a model process."""
        if self._seconds is not None:
            return self._seconds
        return self._earlier if self.waiting else self._earlier + now - self._since

    def meter(self, now: float) -> dict[str, Any]:
        """Counts over the locked blocks of this job.

        first_block_seconds, first_block_tokens_per_second, tokens_per_second (after the first block) and seconds_left
        are None while unknown.
        """
        tokens, later = self.tokens, self._locked[1:]
        later_seconds = sum(block.seconds for block in later)
        speed = sum(len(block.tokens) for block in later) / later_seconds if later_seconds > 0 else None
        return {
            "tokens": tokens,
            "words": self.words,
            "target_words": self.order.words,
            "blocks": len(self._locked),
            "nfe": self._nfe,
            "nfe_per_token": self._nfe / tokens if tokens else 0.0,
            "seconds": self.elapsed(now),
            "first_block_seconds": self._first_block_seconds,
            "first_block_tokens_per_second": self._first_speed(),
            "tokens_per_second": speed,
            "seconds_left": self._seconds_left(now, tokens, speed),
        }

    def _first_speed(self) -> float | None:
        return len(self._locked[0].tokens) / self._first_block_seconds if self._first_block_seconds else None

    def _seconds_left(self, now: float, tokens: int, speed: float | None) -> float | None:
        if self._seconds is not None:
            return 0.0
        if speed is None:
            return None if self.order.expected is None else max(0.0, self.order.expected - self.elapsed(now))
        per_word = tokens / self.words if self.words >= FEW_WORDS else self.order.tokens_per_word
        return max(0, self.words_left) * per_word / speed


def added(parts: Sequence[Finished]) -> Finished:
    """The sums of several parts of a job, which ends as the last of them does."""

    def total(name: str) -> Any:
        return sum(getattr(part, name) for part in parts)

    return replace(
        parts[-1],
        tokens=total("tokens"),
        words=total("words"),
        seconds=total("seconds"),
        first_block_seconds=parts[0].first_block_seconds,
        nfe=total("nfe"),
        blocks=total("blocks"),
        reading_seconds=total("reading_seconds"),
        ending_seconds=total("ending_seconds"),
    )
