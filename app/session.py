"""The verbs a writer has: edit documents, write and revise sections, stop; and the news of what comes of them.

One session is one visitor: joins their store with the press that all visitors share. Knows nothing of the page or the
terminal that calls it, and nothing of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack

from app.dialing import kept_dial
from app.draft import Card, Document, Section, join, shared_prefix
from app.events import Hub, Subscription, changed
from app.models import Model, models
from app.passages import BadPassage, Kind, passage
from app.press import Press
from app.prompt import PromptError, Reading
from app.records import DocumentFields, EditKind, Exchange, HistoryRow, Replacing, SectionFields
from app.revising import ReviseTask
from app.store import MAX_TARGET_WORDS, Deleted, Hit, Snapshot, SnapshotCard, Store, Take, Version
from app.task import Ending, Refused, Task
from app.writing import LEAST_WORDS, WriteTask, called, deleted, predicted, read, room_for_reading, words_wanted
from model.contract import Dial

__all__ = ["Refused", "Session", "Subscription"]

CLOSE_SECONDS = 3.0
"""How long closing waits for the running job to stop."""

MAX_SEED = 2**63 - 1


class Session:
    """One visitor's desk. Every verb may be called from any thread; verbs raise what the store raises, and Refused."""

    def __init__(self, store: Store, press: Press) -> None:
        """Puts away what an earlier run left unfinished."""
        self.entry = press.entry
        self._store = store
        self._press = press
        self._hub = Hub()
        for row in store.unfinished_jobs():
            store.end_job(row.job, "stopped", {"sentence": "Galley ended while this was being written."})
        press.join(self._hub.publish)

    def restart(self) -> None:
        """Tries again to get a model after it failed."""
        self._press.restart()

    def close(self) -> None:
        """Ends the visitor's jobs and every subscription. The store stays open."""
        self._press.leave(self._hub.publish)
        ending = Ending("stopped", "Galley was closed; what is written so far is kept.")
        self._press.end_all(self._hub, ending, CLOSE_SECONDS)
        self._hub.close()

    @property
    def in_use(self) -> bool:
        """Somebody listens, or a job is under way or waits."""
        return bool(len(self._hub) or self._press.tasks(self._hub))

    def subscribe(self) -> Subscription:
        """Hears every event from now on; events are described at the functions of app.events and in the README."""
        return self._hub.subscribe()

    def engine(self) -> dict[str, Any]:
        """The model's state, "preparing", "ready" or "failed", with a sentence; facts are None until it is ready."""
        return self._press.engine()

    def models(self) -> list[Model]:
        """Those that the desk could be started with, and what of each is on the disk now."""
        cache_dir = self._press.cache_dir
        return [] if cache_dir is None else models(self.entry, cache_dir)

    # ---------------------------------------------------------------------------------------------------- documents

    def documents(self) -> list[Card]:
        return self._store.documents()

    def document(self, document_id: int) -> Document:
        return self._store.document(document_id)

    def section(self, section_id: int) -> Section:
        return self._store.section(section_id)

    def history(self, *, section_id: int | None = None, document_id: int | None = None) -> list[HistoryRow]:
        return self._store.history(section_id=section_id, document_id=document_id)

    def create_document(self, title: str) -> Document:
        return self._tell_document(self._store.create_document(title))

    def change_document(self, document_id: int, revision: int, **given: Unpack[DocumentFields]) -> Document:
        """dial: as app.dialing.kept_dial reads it."""
        return self._tell_document(self._store.change_document(document_id, revision, **given))

    def delete_document(self, document_id: int, revision: int) -> None:
        """A job that writes in it is stopped."""
        self._store.delete_document(document_id, revision)
        self._hub.publish(changed(document_id, None, revision + 1, deleted=True))
        self._end(lambda task: task.document_id == document_id, deleted("document"))

    def add_section(
        self,
        document_id: int,
        revision: int,
        *,
        after: int | None,
        title: str = "",
        brief: str = "",
        target_words: int = 150,
    ) -> Document:
        return self._tell_document(
            self._store.add_section(
                document_id, revision, after=after, title=title, brief=brief, target_words=target_words
            )
        )

    def change_section(self, section_id: int, revision: int, **given: Unpack[SectionFields]) -> Section:
        """dial: as app.dialing.kept_dial reads it."""
        return self._tell_section(self._store.change_section(section_id, revision, **given))

    def delete_section(self, section_id: int, revision: int) -> Document:
        """A job that writes it is stopped."""
        document = self._tell_document(self._store.delete_section(section_id, revision))
        self._end(lambda task: task.section_id == section_id, deleted("section"))
        return document

    def restore_document(self, document_id: int) -> Document:
        return self._tell_document(self._store.restore_document(document_id))

    def restore_section(self, section_id: int) -> Document:
        return self._tell_document(self._store.restore_section(section_id))

    def deleted(self, document_id: int | None = None) -> list[Deleted]:
        """What can be brought back."""
        return self._store.deleted(document_id)

    def move_section(self, section_id: int, revision: int, position: int) -> Document:
        return self._tell_document(self._store.move_section(section_id, revision, position))

    def save_text(
        self, section_id: int, revision: int, seen_blocks: int, text: str, *, kind: EditKind = "typing"
    ) -> Section:
        """See Store.save_text. A job that writes this section goes on with the text it has read."""
        return self._tell_section(self._store.save_text(section_id, revision, seen_blocks, text, kind=kind))

    def _tell_document(self, document: Document) -> Document:
        self._hub.publish(changed(document.id, None, document.revision))
        return document

    def _tell_section(self, section: Section) -> Section:
        self._hub.publish(changed(section.document_id, section.id, section.revision))
        return section

    # ------------------------------------------------------------------------------------------------------ history

    def versions(self, section_id: int) -> list[Version]:
        return self._store.versions(section_id)

    def version_text(self, section_id: int, version_id: int) -> str:
        return self._store.version_text(section_id, version_id)

    def undo(self, section_id: int, revision: int) -> tuple[Section, int]:
        """(the section as it was before its last change, where in its text that was); the same for all four below."""
        return self._stepped(section_id, lambda: self._store.undo(section_id, revision))

    def redo(self, section_id: int, revision: int, version_id: int | None = None) -> tuple[Section, int]:
        return self._stepped(section_id, lambda: self._store.redo(section_id, revision, version_id))

    def go_to(self, section_id: int, revision: int, version_id: int) -> tuple[Section, int]:
        return self._stepped(section_id, lambda: self._store.go_to(section_id, revision, version_id))

    def rewind(self, section_id: int, revision: int, block: int) -> tuple[Section, int]:
        """Takes out the block with this number and all that follow."""

        def rewound() -> Section:
            section = self._store.section(section_id)
            if not 0 <= block < len(section.blocks):
                raise Refused("This block is not in the text any more; look at the blocks again.")
            kept = join(section.blocks[:block])
            return self._store.save_text(section_id, revision, len(section.blocks), kept, kind="deleted blocks")

        return self._stepped(section_id, rewound)

    def takes(self, section_id: int) -> list[Take]:
        return self._store.takes(section_id)

    def choose_take(
        self, take_id: int, index: int, revision: int, changes: Sequence[Exchange] | None = None
    ) -> tuple[Section, int]:
        section_id = self._store.take(take_id).section_id
        return self._stepped(section_id, lambda: self._store.choose_take(take_id, index, revision, changes))

    def _stepped(self, section_id: int, step: Callable[[], Section]) -> tuple[Section, int]:
        before = self._store.section(section_id).text
        section = self._tell_section(step())
        return section, shared_prefix(before, section.text)

    def snapshots(self, document_id: int) -> list[SnapshotCard]:
        return self._store.snapshots(document_id)

    def snapshot(self, snapshot_id: int) -> Snapshot:
        return self._store.snapshot(snapshot_id)

    def take_snapshot(self, document_id: int, name: str) -> SnapshotCard:
        return self._store.take_snapshot(document_id, name)

    def restore_snapshot(self, snapshot_id: int, revision: int) -> Document:
        """A job that writes in the document goes on behind what is there then."""
        document = self._tell_document(self._store.restore_snapshot(snapshot_id, revision))
        for section in document.sections:
            self._tell_section(section)
        return document

    # ------------------------------------------------------------------------------------------------------ finding

    def search(self, query: str) -> list[Hit]:
        return self._store.search(query)

    def places(self, wanted: Replacing) -> dict[int, list[tuple[int, int]]]:
        """Where `replace` would put something else, by section."""
        return self._store.places(wanted)

    def replace(self, wanted: Replacing) -> dict[int, int]:
        """How many places were changed, by section."""
        counts = self._store.replace(wanted)
        for changed_id in counts:
            self._tell_section(self._store.section(changed_id))
        return counts

    # ------------------------------------------------------------------------------------------------------ writing

    def write(
        self,
        section_id: int,
        *,
        dial: Dial,
        stop_name: str | None = None,
        words: int | None = None,
        seed: int | None = None,
    ) -> str:
        """Goes on after the section's text, now or when its turn has come; returns the job's id at once.

        words  to write; None: what the section lacks of its target. seed None: a new one.
        Raises Refused and what the store raises.
        """
        if words is not None and not 1 <= words <= MAX_TARGET_WORDS:
            raise Refused(f"{words} words cannot be written at once; choose 1 to {MAX_TARGET_WORDS}.")
        self._check(dial, seed)
        with self._press.still():
            self._press.known()
            section = self._store.section(section_id)
            self._expect_free(section)
            task = WriteTask(
                self._store,
                self._hub,
                section,
                dial=dial,
                stop_name=stop_name,
                words=words,
                seed=seed,
                clock=self._press.clock,
                learn=self._press.learn,
            )
            self._press.submit(task)
            return task.id

    def write_all(self, document_id: int, *, dial: Dial, stop_name: str | None = None) -> list[str]:
        """Writes every section that has not reached its target, one after the other; returns the jobs' ids.

        A section's own dial goes before the document's, and that before the one given.
        Sections without title and brief, those that are done and those being written are left out.
        Raises Refused where nothing is left.
        """
        self._check(dial, None)
        jobs = []
        with self._press.still():
            self._press.known()
            document = self._store.document(document_id)
            busy = {task.section_id for task in self._press.tasks(self._hub)}
            for section in document.sections:
                if section.id not in busy and self._is_to_be_written(section):
                    chosen, name = self._dial_of(document, section, (dial, stop_name))
                    jobs.append(self.write(section.id, dial=chosen, stop_name=name))
        if not jobs:
            raise Refused(
                "There is nothing to write: every section has its words, is done, or has neither a title nor a brief."
            )
        return jobs

    def revise(
        self,
        section_id: int,
        revision: int,
        kind: Kind,
        start: int,
        end: int,
        *,
        dial: Dial,
        stop_name: str | None = None,
        words: int = 0,
        strength: float = 1.0,
        pins: Sequence[tuple[int, int]] = (),
        seed: int | None = None,
    ) -> str:
        """Makes takes for a passage of the section as it was at that revision; returns the job's id at once.

        See app.passages. Raises Refused and what the store raises.
        """
        self._check(dial, seed)
        if not 0.0 < strength <= 1.0:
            raise Refused(f"A strength of {strength} is not possible; choose more than 0, up to 1.")
        section = self._store.section(section_id)
        if section.revision != revision:
            raise Refused("The text was changed since; look at the passage again and repeat.")
        try:
            part = passage(section, kind, start, end, words=words, strength=strength, pins=pins)
        except BadPassage as error:
            raise Refused(str(error)) from error
        task = ReviseTask(
            self._store,
            self._hub,
            section,
            part,
            dial=dial,
            stop_name=stop_name,
            seed=seed,
        )
        self._press.submit(task)
        return task.id

    def stop(self, job: str) -> None:
        """Stops a job within one denoising step, or takes it out of the line; its end is told by a "job" event."""
        if any(task.id == job for task in self._press.tasks(self._hub)):
            self._press.stop(job)

    def job(self) -> dict[str, Any] | None:
        """The visitor's first job, under way or the next in the line, for a page that opens now."""
        with self._press.still():
            tasks = self._press.tasks(self._hub)
            return tasks[0].facts() if tasks else None

    def waiting(self) -> list[dict[str, Any]]:
        """The visitor's other jobs, in the order of their turns."""
        with self._press.still():
            return [task.facts() for task in self._press.tasks(self._hub)[1:]]

    def predict(self, section_id: int, dial: Dial, stop_name: str | None, words: int | None = None) -> float | None:
        """Seconds that `write` with these arguments would take. None: no model yet, or nothing to write."""
        section = self._store.section(section_id)
        try:
            known = self._press.known()
        except Refused:
            return None
        return predicted(self._store.document(section.document_id), known, section, dial, stop_name, words)

    def predict_all(self, document_id: int, asked: Sequence[tuple[Dial, str | None]]) -> list[float | None]:
        """Seconds that `write_all` would take with each of these dials. None: no model yet, or nothing to write."""
        document = self._store.document(document_id)
        try:
            known = self._press.known()
        except Refused:
            return [None] * len(asked)
        lacking = [section for section in document.sections if self._is_to_be_written(section)]
        sums = []
        for dial in asked:
            each = [predicted(document, known, section, *self._dial_of(document, section, dial)) for section in lacking]
            sums.append(sum(seconds for seconds in each if seconds is not None) or None)
        return sums

    def context(self, section_id: int) -> tuple[Reading, int]:
        """(what the model would read to write on, tokens it could read). Raises Refused where it cannot be asked."""
        section, known = self._store.section(section_id), self._press.known()
        words = max(LEAST_WORDS, section.target_words - section.words)
        try:
            return read(self._store, known, section, words), room_for_reading(known, words)
        except PromptError as error:
            raise Refused(str(error)) from error

    def _check(self, dial: Dial, seed: int | None) -> None:
        """Whether this model can be asked for it. Raises Refused."""
        if seed is not None and not 0 <= seed <= MAX_SEED:
            raise Refused(f"A seed of {seed} is not possible; choose 0 to {MAX_SEED}.")
        if dial.block_size not in self.entry.block_sizes:
            sizes = ", ".join(map(str, self.entry.block_sizes))
            raise Refused(f"This model does not write blocks of {dial.block_size} tokens; choose one of {sizes}.")
        if dial.rule not in self.entry.rules:
            raise Refused(
                f"This model does not know the rule {dial.rule}; choose one of {', '.join(self.entry.rules)}."
            )

    def _expect_free(self, section: Section) -> None:
        for task in self._press.tasks(self._hub):
            if task.section_id == section.id and task.kind == "write":
                raise Refused(f"{called(section)} is being written; stop it or wait until it is finished.")

    def _dial_of(self, document: Document, section: Section, asked: tuple[Dial, str | None]) -> tuple[Dial, str | None]:
        """The setting in force for a section where several are written."""
        return kept_dial(self.entry, section.dial_json) or kept_dial(self.entry, document.dial_json) or asked

    def _is_to_be_written(self, section: Section) -> bool:
        if section.status == "done":
            return False
        if self.entry.instructs and not (section.title.strip() or section.brief.strip()):
            return False
        try:
            words_wanted(section)
        except Refused:
            return False
        return True

    def _end(self, concerned: Callable[[Task], bool], ending: Ending) -> None:
        """Ends the jobs whose place has been deleted."""
        for task in self._press.tasks(self._hub):
            if concerned(task):
                self._press.stop(task.id, ending)
