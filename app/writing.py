"""One section that is to be written on: what the model reads for it, what it is asked, and what becomes of the blocks.

A block is in the store before anybody hears that it is locked. Knows nothing of the line, the model process or a page.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict

from app.corrections import Seconds
from app.dialing import key_of, seconds_to_write
from app.draft import Document, Section, count_words
from app.events import DeskEvent, Hub, block_facts, picture
from app.prompt import CHAT_TOKENS, PromptError, Reading, part_for, read_for, read_on
from app.records import NotFound
from app.running import Order, RunningJob
from app.store import Store, StoreError
from app.task import Asked, Ending, Known, Refused, Task
from model import contract
from model.contract import BlockLocked, BlockStep, Dial, Filled, Finished, JobEvent, Request

SENTENCE_WORDS = 10
"""About so many more words has a part, up to the end of its sentence."""

LEAST_WORDS = 10
"""A section that lacks fewer words than this has reached its target."""

Learn = Callable[..., None]
"""Press.learn."""


class WriteTask(Task):
    """Goes on after a section's text.

    words  to write; None: what the section lacks of its target when its turn has come.
    seed   None: a new one.
    """

    kind = "write"

    def __init__(
        self,
        store: Store,
        hub: Hub,
        section: Section,
        *,
        dial: Dial,
        stop_name: str | None,
        words: int | None,
        seed: int | None,
        clock: Callable[[], float],
        learn: Learn,
    ) -> None:
        super().__init__(store, hub, section, dial=dial, stop_name=stop_name, seed=seed)
        self._words, self._clock, self._learn = words, clock, learn
        self._job: RunningJob | None = None

    # ------------------------------------------------------------------------------------------------------ its turn

    def check(self, known: Known) -> None:
        self._order(known)

    def begin(self, known: Known) -> Asked:
        order = self._order(known)
        request = order.request
        # so_far is in the section's history; the rest says all that is needed to write the same again.
        asked = {**asdict(request), "so_far": len(request.so_far), "stop": order.stop_name}
        self._store.start_job(self.id, self.section_id, asked)
        self._job, self._section = RunningJob(order, self._clock()), order.section
        self._tell("running")
        return request

    def _order(self, known: Known) -> Order:
        """The first part, or the next one of a job that is under way. Raises Refused."""
        job = self._job
        try:
            section = self._store.section(self.section_id)
            words = words_wanted(section) if self._words is None else self._words
            if job is not None:
                words = max(1, job.words_left)
            reading = read(self._store, known, section, words)
        except (PromptError, NotFound) as error:
            raise Refused(str(error)) from error
        return order(
            known,
            section,
            reading,
            job=self.id,
            dial=self._dial,
            stop_name=self._stop_name,
            words=words,
            seed=self._seed,
            first_block=0 if job is None else job.next_block,
        )

    def onward(self, known: Callable[[], Known], event: Finished | Filled) -> Asked | None:
        """After a part of the section its next one, asked for as the text stands now. Raises Refused."""
        assert self._job is not None
        if not isinstance(event, Finished) or event.reason != "part" or self.ending is not None:
            return None
        request = self._order(known()).request
        self._job.begin_part(request, event)
        return request

    def again(self) -> Asked:
        assert self._job is not None
        request = self._job.resume(self._clock())
        self._tell("running")
        return request

    def interrupted(self, sentence: str) -> None:
        assert self._job is not None
        self._job.interrupted(self._clock())
        self._tell("running", sentence)

    # --------------------------------------------------------------------------------------------------- what happens

    def hear(self, event: JobEvent) -> bool:
        job = self._job
        assert job is not None
        match event:
            case contract.Reading():
                job.reading = event
                self._publish("reading", done=event.done, total=event.total)
            case BlockStep():
                job.step(event)
                self._publish("step", **picture(event), meter=self._meter())
            case BlockLocked():
                return self._on_locked(job, event)
        return False

    def _on_locked(self, job: RunningJob, event: BlockLocked) -> bool:
        if self.ending is not None and self.ending.state == "failed":
            return False  # the block before it is not in the store
        try:
            index, section = self._store.append_block(self.section_id, job.block(event))
        except NotFound:
            self.ending = deleted("section")
            return False
        except StoreError as error:
            self.ending = Ending("failed", str(error))
            return False
        block = job.lock(event, self._clock())
        self._publish(
            "locked",
            index=index,
            seen_blocks=len(section.blocks),
            revision=section.revision,
            block=block_facts(block),
            meter=self._meter(),
        )
        return True

    def finish(self, event: Finished | Filled) -> Ending:
        job = self._job
        assert job is not None
        assert isinstance(event, Finished)
        if self.ending is not None and (self.ending.sentence or event.reason == "part"):
            return self.ending
        event = job.finish(event)
        order = job.order
        if event.reason == "length" and not job.resumed and order.reckoned is not None:
            self._learn(order.dial_key, predicted=order.reckoned, measured=_measured(event))
        sentence = {
            "length": "",
            "end": f"The model came to an end after {_words(job.words)}; write on for more.",
            "budget": f"There is no more room for this text after {_words(job.words)}; write on for more.",
        }[event.reason]
        return Ending("finished", sentence, event.reason)

    @property
    def complete(self) -> bool:
        return self._job is not None and self._job.complete

    # ------------------------------------------------------------------------------------------------------- telling

    def facts(self) -> DeskEvent:
        job = self._job
        if job is None:
            return super().facts()
        reading = None if job.reading is None else {"done": job.reading.done, "total": job.reading.total}
        step = None if job.newest is None else picture(job.newest)
        return {**super().facts(), "waiting": job.waiting, "reading": reading, "step": step}

    @property
    def _begun(self) -> bool:
        return self._job is not None

    def _stopped(self) -> str:
        return f"Stopped after {_words(self._job.words if self._job else 0)}, which are kept."

    def _about(self) -> DeskEvent:
        if self._job is None:
            return super()._about()
        order = self._job.order
        return {**super()._about(), "stop_name": order.stop_name, "left_out": list(order.left_out)}

    def _meter(self) -> DeskEvent | None:
        return None if self._job is None else self._job.meter(self._clock())


# ------------------------------------------------------------------------------------------- what is read and asked


def words_wanted(section: Section) -> int:
    """What the section lacks of its target. Raises Refused where it has reached it."""
    there = section.words
    if section.target_words - there < LEAST_WORDS and there > 0:
        raise Refused(f"{called(section)} already has its {there} words; raise its target to go on.")
    return section.target_words - there


def read(store: Store, known: Known, section: Section, words: int) -> Reading:
    """What the model reads to write so many words more. Raises PromptError, NotFound."""
    return read_in(store.document(section.document_id), known, section, words)


def read_in(document: Document, known: Known, section: Section, words: int) -> Reading:
    """As `read`, of a document that is at hand. Raises PromptError."""
    budget = room_for_reading(known, words)
    if not known.entry.instructs:
        return read_on(document, section, count=known.count, budget=budget)
    whole, part = section.words + words, known.entry.part_words
    return read_for(document, section, count=known.count, budget=budget, words=whole, part=part)


def room_for_reading(known: Known, words: int) -> int:
    """Tokens that may be read where so many words are to be written."""
    entry, context = known.entry, known.ready.context
    if not entry.instructs:
        return max(1, context - max(entry.block_sizes) - 1)
    room = math.ceil(1.15 * words * entry.tokens_per_word) + 64
    # The longest sections may not fit as a whole; an eighth of the context is always left for the brief.
    return context - min(room, context * 7 // 8)


def order(
    known: Known,
    section: Section,
    reading: Reading,
    *,
    job: str,
    dial: Dial,
    stop_name: str | None,
    words: int,
    seed: int,
    first_block: int = 0,
) -> Order:
    """What the model is asked, with the seconds it should take."""
    entry, ready = known.entry, known.ready
    most = 3 * words + 64
    if not entry.slides:
        most = max(1, min(most, ready.context - reading.tokens))
    request = Request(
        job=job,
        system=reading.system,
        user=reading.user,
        so_far=reading.so_far,
        dial=dial,
        seed=seed,
        words=words,
        max_tokens=most,
        first_block=first_block,
        part=part_for(section.words + words, entry.part_words),
        earlier=max(0, section.words - count_words(reading.so_far)),
    )
    key = key_of(entry, dial, stop_name)
    reckoned = expected = None
    if ready.speeds:
        tokens = readings(known, section, words) * reading.tokens
        reckoned = seconds_to_write(entry, ready, dial, stop_name, prompt_tokens=tokens, words=words)
        expected = known.corrections.corrected(key, reckoned)
    return Order(
        request=request,
        words=words,
        section=section,
        dial_key=key,
        reckoned=reckoned,
        expected=expected,
        tokens_per_word=entry.tokens_per_word,
        left_out=reading.left_out,
    )


def readings(known: Known, section: Section, words: int) -> int:
    """How often the model will read what it is asked, to write so many words more: once for each part."""
    part = part_for(section.words + words, known.entry.part_words)
    return max(1, round(words / (part + SENTENCE_WORDS))) if part else 1


def predicted(
    document: Document, known: Known, section: Section, dial: Dial, stop_name: str | None, words: int | None = None
) -> float | None:
    """Seconds that writing would take. None: nothing to write, or nothing was measured."""
    try:
        words = words_wanted(section) if words is None else words
    except Refused:
        return None
    if not known.ready.speeds or words < 1:
        return None
    try:
        tokens = read_in(document, known, section, words).tokens
    except PromptError:
        tokens = CHAT_TOKENS + known.count(section.text)  # the brief will be written or shortened yet
    tokens *= readings(known, section, words)
    seconds = seconds_to_write(known.entry, known.ready, dial, stop_name, prompt_tokens=tokens, words=words)
    return known.corrections.corrected(key_of(known.entry, dial, stop_name), seconds)


def _measured(event: Finished) -> Seconds:
    reading, ending = event.reading_seconds, event.ending_seconds
    return Seconds(reading, max(0.0, event.seconds - reading - ending), ending)


def called(section: Section) -> str:
    """The section's name at the beginning of a sentence."""
    return f"“{section.title}”" if section.title else "The untitled section"


def deleted(what: str) -> Ending:
    """The end of a job whose place is gone."""
    return Ending("stopped", f"The {what} was deleted while it was being written.")


def _words(count: int) -> str:
    return "1 word" if count == 1 else f"{count} words"
