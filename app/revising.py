"""A passage that is to be written anew: what the model is asked, and the takes that come of it.

Nothing changes in the text: takes are kept in the store, and the writer chooses. Knows nothing of the line, the model
process or a page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

from app.draft import Block, Section
from app.events import DeskEvent, Hub, picture, take_facts
from app.passages import Passage
from app.prompt import PromptError, end_that_fits, read_for, read_on
from app.records import NotFound
from app.store import Store, StoreError, TakeText
from app.task import Asked, Ending, Known, Refused, Task
from model import contract
from model.contract import BlockStep, Dial, Fill, Filled, Finished, JobEvent

AFTER_TOKENS = 64
"""Of the text to the right so much is looked at."""

ROOM_TOKENS = 64
"""Kept free beside the passage."""


class ReviseTask(Task):
    """Takes for one passage of a section as it was when it was asked for."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        section: Section,
        passage: Passage,
        *,
        dial: Dial,
        stop_name: str | None,
        seed: int | None,
    ) -> None:
        super().__init__(store, hub, section, dial=dial, stop_name=stop_name, seed=seed)
        self.kind = passage.kind
        self._passage = passage
        self._fill: Fill | None = None
        self._waiting = False

    # ------------------------------------------------------------------------------------------------------ its turn

    def check(self, known: Known) -> None:
        self._asked(known)

    def begin(self, known: Known) -> Asked:
        self._fill = self._asked(known)
        where = {"kind": self.kind, "start": self._passage.start, "end": self._passage.end}
        asked = {**where, "dial": asdict(self._dial), "stop": self._stop_name, "seed": self._seed}
        self._store.start_job(self.id, self.section_id, asked)
        self._tell("running")
        return self._fill

    def _asked(self, known: Known) -> Fill:
        """Raises Refused."""
        passage, entry, count = self._passage, known.entry, known.count
        read_to = replace(self._section, blocks=(Block(passage.before, "writer"),) if passage.before else ())
        after = beginning_that_fits(passage.after, count, AFTER_TOKENS)
        own = count("".join(piece.text or piece.was for piece in passage.pieces))
        own += sum(piece.words for piece in passage.pieces) * 2
        budget = known.ready.context - 2 * own - AFTER_TOKENS - ROOM_TOKENS
        try:
            document = self._store.document(self.document_id)
            if budget < ROOM_TOKENS:
                raise Refused("The passage is longer than the model can read; select less of it.")
            if entry.instructs:
                words, part = self._section.target_words, entry.part_words
                reading = read_for(document, read_to, count=count, budget=budget, words=words, part=part)
            else:
                reading = read_on(document, read_to, count=count, budget=budget)
        except (PromptError, NotFound) as error:
            raise Refused(str(error)) from error
        user = reading.user
        if passage.kind == "infill" and entry.instructs and after.strip():
            user += f"\nFurther on, the section goes on like this:\n\n{after.strip()}"
        return Fill(
            job=self.id,
            system=reading.system,
            user=user,
            before=reading.so_far,
            pieces=passage.pieces,
            after=after,
            dial=self._dial,
            seed=self._seed,
            candidates=passage.candidates,
            strength=passage.strength,
            weakest=passage.weakest,
            quick=passage.quick,
        )

    def again(self) -> Asked:
        assert self._fill is not None
        self._waiting = False
        self._tell("running")
        return self._fill

    def interrupted(self, sentence: str) -> None:
        self._waiting = True
        self._tell("running", sentence)

    # --------------------------------------------------------------------------------------------------- what happens

    def hear(self, event: JobEvent) -> bool:
        match event:
            case contract.Reading():
                self._publish("reading", done=event.done, total=event.total)
            case BlockStep():
                self._publish("trying", **picture(event))
        return False

    def finish(self, event: Finished | Filled) -> Ending:
        assert isinstance(event, Filled)
        if self.ending is not None and self.ending.sentence:
            return self.ending
        passage = self._passage
        texts = [TakeText("".join(self._filled(candidate.texts)), candidate.nll) for candidate in event.candidates]
        if not texts:
            return Ending("finished", "The model found nothing else for this passage; try again, or change more of it.")
        before = self._section.text[passage.start : passage.end]
        try:
            take = self._store.add_take(
                self.section_id,
                passage.kind,
                passage.start,
                passage.end,
                before,
                texts,
                job=self.id,
                text=self._section.text,
            )
        except StoreError as error:
            return Ending("failed", str(error))
        self._publish("takes", take=take_facts(take))
        return Ending("finished", reason="takes")

    def _filled(self, holes: tuple[str, ...]) -> list[str]:
        left = iter(holes)
        return [next(left) if piece.text is None else piece.text for piece in self._passage.pieces]

    @property
    def complete(self) -> bool:
        return False

    # ------------------------------------------------------------------------------------------------------- telling

    def facts(self) -> DeskEvent:
        return {**super().facts(), "waiting": self._waiting}

    @property
    def _begun(self) -> bool:
        return self._fill is not None

    def _stopped(self) -> str:
        return "Stopped; the text stays as it was."

    def _about(self) -> DeskEvent:
        return {**super()._about(), "start": self._passage.start, "end": self._passage.end}


def beginning_that_fits(text: str, size: Callable[[str], int], room: int) -> str:
    """The longest beginning of `text` that ends with a word and whose size is at most `room`."""
    turned = end_that_fits(text[: 16 * room][::-1], lambda end: size(end[::-1]), room)
    return turned[::-1]
