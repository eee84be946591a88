"""The verbs a writer has: edit documents, write a section, stop; and the news of what comes of them.

Joins store, worker and prompt. A block is in the store before anybody hears that it is locked. Knows nothing of the
page or the terminal that calls it, and nothing of the network.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from app.dialing import Corrections, key_of, seconds_to_write
from app.draft import Card, Document, Section, Status
from app.events import Hub, Subscription, block_facts, changed, picture
from app.prompt import CHAT_TOKENS, PromptError, Reading, read_for, read_on
from app.records import HistoryRow, NotFound
from app.running import Ending, Order, RunningJob
from app.store import MAX_TARGET_WORDS, Store, StoreError
from app.worker import Died, Worker, WorkerEvent
from model import contract
from model.catalog import Entry
from model.contract import BlockLocked, BlockStep, Dial, Failed, Finished, JobEvent, Preparing, Ready, Request, Stopped

__all__ = ["Refused", "Session", "Subscription"]

LEAST_WORDS = 10
"""A section that lacks fewer words than this has reached its target."""

DEATHS = 2
"""Deaths of the model process in a row, without a locked block between, that end a job."""

CLOSE_SECONDS = 3.0
"""How long closing waits for the running job to stop."""

MAX_SEED = 2**63 - 1

Count = Callable[[str], int]


class Refused(Exception):
    """The desk does not do this now; the message is one sentence for the writer."""


class Session:
    """One desk. Every verb may be called from any thread; verbs raise what the store raises, and Refused.

    entry  the model's facts in the catalogue: its dial, its licence.
    """

    def __init__(
        self,
        store: Store,
        entry: Entry,
        make_worker: Callable[[Callable[[WorkerEvent], None]], Worker],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.entry = entry
        self._store = store
        self._clock = clock
        self._hub = Hub()
        self._lock = threading.RLock()  # over what follows; taken before the store's lock, never after
        self._idle = threading.Condition(self._lock)
        self._engine = self._engine_facts("preparing", "The model process is being started.")
        self._ready: Ready | None = None
        self._count: Count | None = None
        self._job: RunningJob | None = None
        self._corrections = Corrections()
        self._closing = False
        self._worker = make_worker(self._on_event)

    def start(self) -> None:
        """Puts away what an earlier run left unfinished and starts the model process."""
        for row in self._store.unfinished_jobs():
            self._store.end_job(row.job, "stopped", {"sentence": "Galley ended while this was being written."})
        self._worker.start()

    def restart(self) -> None:
        """Tries again to get a model after it failed. Does nothing where there is one or one is on its way."""
        with self._lock:
            if self._engine["state"] != "failed" or self._closing:
                return
            self._set_engine("preparing", "The model process is being started.")
        self._worker.start()

    def close(self) -> None:
        """Stops the running job, ends the model process and every subscription. The store stays open."""
        with self._lock:
            self._closing = True
            if self._job is not None:
                self._end(self._job, Ending("stopped", "Galley was closed; what is written so far is kept."))
            self._idle.wait_for(lambda: self._job is None, CLOSE_SECONDS)
        self._worker.close()
        with self._lock:
            if self._job is not None:
                self._conclude(self._job, "stopped", "Galley was closed; what is written so far is kept.")
        self._hub.close()

    def subscribe(self) -> Subscription:
        """Hears every event from now on; events are described at the functions of app.events and in the README."""
        return self._hub.subscribe()

    def engine(self) -> dict[str, Any]:
        """The model's state, "preparing", "ready" or "failed", with a sentence; facts are None until it is ready."""
        with self._lock:
            return dict(self._engine)

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

    def rename_document(self, document_id: int, revision: int, title: str) -> Document:
        return self._tell_document(self._store.rename_document(document_id, revision, title))

    def delete_document(self, document_id: int, revision: int) -> None:
        """A job that writes in it is stopped."""
        self._store.delete_document(document_id, revision)
        self._hub.publish(changed(document_id, None, revision + 1, deleted=True))
        self._leave(lambda order: order.section.document_id == document_id, "document")

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

    def change_section(
        self,
        section_id: int,
        revision: int,
        *,
        title: str | None = None,
        brief: str | None = None,
        target_words: int | None = None,
        status: Status | None = None,
    ) -> Section:
        return self._tell_section(
            self._store.change_section(
                section_id, revision, title=title, brief=brief, target_words=target_words, status=status
            )
        )

    def delete_section(self, section_id: int, revision: int) -> Document:
        """A job that writes it is stopped."""
        document = self._tell_document(self._store.delete_section(section_id, revision))
        self._leave(lambda order: order.section.id == section_id, "section")
        return document

    def move_section(self, section_id: int, revision: int, position: int) -> Document:
        return self._tell_document(self._store.move_section(section_id, revision, position))

    def save_text(self, section_id: int, revision: int, seen_blocks: int, text: str) -> Section:
        """See Store.save_text. A job that writes this section goes on with the text it has read."""
        return self._tell_section(self._store.save_text(section_id, revision, seen_blocks, text))

    def _tell_document(self, document: Document) -> Document:
        self._hub.publish(changed(document.id, None, document.revision))
        return document

    def _tell_section(self, section: Section) -> Section:
        self._hub.publish(changed(section.document_id, section.id, section.revision))
        return section

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
        """Goes on after the section's text; returns the job's id at once.

        words  to write now; None: what the section lacks of its target. seed None: a new one.
        Raises Refused and what the store raises.
        """
        if words is not None and not 1 <= words <= MAX_TARGET_WORDS:
            raise Refused(f"{words} words cannot be written at once; choose 1 to {MAX_TARGET_WORDS}.")
        if seed is not None and not 0 <= seed <= MAX_SEED:
            raise Refused(f"A seed of {seed} is not possible; choose 0 to {MAX_SEED}.")
        if dial.block_size not in self.entry.block_sizes:
            sizes = ", ".join(map(str, self.entry.block_sizes))
            raise Refused(f"This model does not write blocks of {dial.block_size} tokens; choose one of {sizes}.")
        if dial.rule not in self.entry.rules:
            raise Refused(
                f"This model does not know the rule {dial.rule}; choose one of {', '.join(self.entry.rules)}."
            )
        with self._lock:
            ready, count = self._expect_ready()
            self._expect_idle()
            section = self._store.section(section_id)
            wanted = self._words_wanted(section, words)
            try:
                reading = self._read(section, wanted, ready, count)
            except PromptError as error:
                raise Refused(str(error)) from error
            order = self._order(section, reading, ready, dial, stop_name, wanted, seed)
            request = order.request
            # so_far is in the section's history; the rest says all that is needed to write the same again.
            asked = {**asdict(request), "so_far": len(request.so_far), "stop": order.stop_name}
            self._store.start_job(request.job, section_id, asked)
            self._job = RunningJob(order, self._clock())
            self._tell_job(self._job, "running", "")
            self._worker.submit(request)
            return request.job

    def stop(self, job: str) -> None:
        """Stops a job within one denoising step; its end is told by a "job" event. One that has ended stays so."""
        with self._lock:
            if self._job is not None and self._job.id == job:
                self._end(self._job, Ending("stopped"))

    def job(self) -> dict[str, Any] | None:
        """The running job, for a page that opens now.

        step: the block being denoised as in a "step" event, or None. reading: {done, total} while the prompt is read.
        """
        with self._lock:
            job = self._job
            if job is None:
                return None
            step, reading = job.newest, job.reading
            return {
                **self._job_facts(job),
                "section_title": job.order.section.title,
                "state": "running",
                "waiting": job.waiting,
                "stopping": job.ending is not None,
                "reading": None if reading is None else {"done": reading.done, "total": reading.total},
                "step": None if step is None else picture(step),
            }

    def predict(self, section_id: int, dial: Dial, stop_name: str | None, words: int | None = None) -> float | None:
        """Seconds that `write` with these arguments would take. None: no model yet, or nothing to write."""
        with self._lock:
            ready, count, corrections = self._ready, self._count, self._corrections
        section = self._store.section(section_id)
        try:
            words = self._words_wanted(section, words)
        except Refused:
            return None
        if ready is None or count is None or not ready.speeds or words < 1:
            return None
        try:
            tokens = self._read(section, words, ready, count).tokens
        except PromptError:
            tokens = CHAT_TOKENS + count(section.text)  # the brief will be written or shortened yet
        seconds = seconds_to_write(self.entry, ready, dial, stop_name, prompt_tokens=tokens, words=words)
        return seconds * corrections.factor(key_of(self.entry, dial, stop_name))

    def _expect_ready(self) -> tuple[Ready, Count]:
        if self._closing:
            raise Refused("Galley is being closed; start it again to write.")
        if self._engine["state"] == "failed":
            raise Refused(self._engine["sentence"])
        if self._ready is None or self._count is None:
            raise Refused("The model is not ready yet; write as soon as it is.")
        return self._ready, self._count

    def _expect_idle(self) -> None:
        if self._job is not None:
            raise Refused(f"{_called(self._job.order.section)} is being written; stop it or wait until it is finished.")

    def _words_wanted(self, section: Section, words: int | None) -> int:
        if words is not None:
            return words
        there = section.words
        if section.target_words - there < LEAST_WORDS and there > 0:
            raise Refused(f"{_called(section)} already has its {there} words; raise its target to go on.")
        return section.target_words - there

    def _read(self, section: Section, words: int, ready: Ready, count: Count) -> Reading:
        """What the model reads. Raises PromptError."""
        document = self._store.document(section.document_id)
        if not self.entry.instructs:
            budget = max(1, ready.context - max(self.entry.block_sizes) - 1)
            return read_on(document, section, count=count, budget=budget)
        room = math.ceil(1.15 * words * self.entry.tokens_per_word) + 64
        # The longest sections may not fit as a whole; an eighth of the context is always left for the brief.
        budget = ready.context - min(room, ready.context * 7 // 8)
        return read_for(document, section, count=count, budget=budget, words=section.words + words)

    def _order(
        self,
        section: Section,
        reading: Reading,
        ready: Ready,
        dial: Dial,
        stop_name: str | None,
        words: int,
        seed: int | None,
    ) -> Order:
        most = 3 * words + 64
        if not self.entry.slides:
            most = max(1, min(most, ready.context - reading.tokens))
        request = Request(
            job=uuid.uuid4().hex,
            system=reading.system,
            user=reading.user,
            so_far=reading.so_far,
            dial=dial,
            seed=secrets.randbits(32) if seed is None else seed,
            words=words,
            max_tokens=most,
        )
        key = key_of(self.entry, dial, stop_name)
        reckoned = expected = None
        if ready.speeds:
            reckoned = seconds_to_write(self.entry, ready, dial, stop_name, prompt_tokens=reading.tokens, words=words)
            expected = reckoned * self._corrections.factor(key)
        return Order(
            request=request,
            words=words,
            section=section,
            dial_key=key,
            reckoned=reckoned,
            expected=expected,
            tokens_per_word=self.entry.tokens_per_word,
            left_out=reading.left_out,
        )

    # ------------------------------------------------------------------------------------- what the worker tells

    def _on_event(self, event: WorkerEvent) -> None:
        with self._lock:
            match event:
                case Preparing():
                    self._set_engine("preparing", event.sentence, stage=event.stage, done=event.done, total=event.total)
                case Ready():
                    self._on_ready(event)
                case Died():
                    self._on_death()
                case Failed(job=None):
                    self._on_engine_failed(event.sentence)
                case _:
                    if self._job is not None and event.job == self._job.id:
                        self._on_job_event(self._job, event)

    def _on_ready(self, ready: Ready) -> None:
        self._ready, self._count = ready, _token_counter(Path(ready.tokenizer))
        plural = "" if ready.threads == 1 else "s"
        self._set_engine(
            "ready",
            f"{self.entry.title} is ready ({ready.precision}, {ready.threads} thread{plural}, "
            f"loaded in {ready.load_seconds:.1f} s).",
            context=ready.context,
            precision=ready.precision,
            threads=ready.threads,
            load_seconds=ready.load_seconds,
        )
        if self._job is not None and self._job.waiting:
            self._worker.submit(self._job.resume(self._clock()))
            self._tell_job(self._job, "running", "")

    def _on_engine_failed(self, sentence: str) -> None:
        self._ready = None
        self._set_engine("failed", sentence)
        if self._job is not None:
            self._conclude_as(self._job, Ending("failed", sentence))

    def _on_death(self) -> None:
        job, self._ready = self._job, None
        self._set_engine("preparing", "The model process ended unexpectedly and is being started again.")
        if job is None:
            return
        if job.ending is not None:
            self._conclude_as(job, job.ending)
        elif job.complete:
            self._conclude(job, "finished", "", reason="length")
        elif job.died(self._clock()) >= DEATHS:
            self._conclude(
                job,
                "failed",
                f"The model process ended unexpectedly {DEATHS} times in a row; what is written so far is kept, "
                "write on to try again.",
            )
        else:
            self._tell_job(job, "running", "The model process ended unexpectedly; writing goes on when it is back.")

    def _on_job_event(self, job: RunningJob, event: JobEvent) -> None:
        match event:
            case contract.Reading():
                job.reading = event
                self._hub.publish({"type": "reading", **_place(job), "done": event.done, "total": event.total})
            case BlockStep():
                job.step(event)
                meter = job.meter(self._clock())
                self._hub.publish({"type": "step", **_place(job), **picture(event), "meter": meter})
            case BlockLocked():
                self._on_locked(job, event)
            case Finished():
                self._on_finished(job, event)
            case Stopped():
                self._conclude_as(job, job.ending or Ending("stopped"))
            case Failed():
                self._conclude_as(job, Ending("failed", event.sentence))

    def _on_locked(self, job: RunningJob, event: BlockLocked) -> None:
        if job.ending is not None and job.ending.state == "failed":
            return  # the block before it is not in the store
        try:
            index, section = self._store.append_block(job.order.section.id, job.block(event))
        except NotFound:
            self._end(job, _deleted("section"))
            return
        except StoreError as error:
            self._end(job, Ending("failed", str(error)))
            return
        block = job.lock(event, self._clock())
        self._hub.publish(
            {
                "type": "locked",
                **_place(job),
                "index": index,
                "seen_blocks": len(section.blocks),
                "revision": section.revision,
                "block": block_facts(block),
                "meter": job.meter(self._clock()),
            }
        )

    def _on_finished(self, job: RunningJob, event: Finished) -> None:
        if job.ending is not None and job.ending.sentence:
            self._conclude_as(job, job.ending)
            return
        job.finish(event)
        order = job.order
        if event.reason == "length" and not job.resumed and order.reckoned is not None:
            self._corrections = self._corrections.learned(
                order.dial_key, predicted=order.reckoned, measured=event.seconds
            )
        sentence = {
            "length": "",
            "end": f"The model came to an end after {_words(job.words)}; write on for more.",
            "budget": f"There is no more room for this text after {_words(job.words)}; write on for more.",
        }[event.reason]
        self._conclude(job, "finished", sentence, reason=event.reason)

    # ------------------------------------------------------------------------------------------------------ endings

    def _leave(self, concerned: Callable[[Order], bool], what: str) -> None:
        """Stops the job if its place has been deleted."""
        with self._lock:
            if self._job is not None and concerned(self._job.order):
                self._end(self._job, _deleted(what))

    def _end(self, job: RunningJob, ending: Ending) -> None:
        """Asks the model to let go of a job; the first reason given stays, but for a plain stop."""
        if job.ending is None or not job.ending.sentence:
            job.ending = ending
        if job.waiting:
            self._conclude_as(job, job.ending)
        else:
            self._worker.stop(job.id)

    def _conclude_as(self, job: RunningJob, ending: Ending) -> None:
        self._conclude(job, ending.state, ending.sentence or f"Stopped after {_words(job.words)}, which are kept.")

    def _conclude(
        self,
        job: RunningJob,
        state: Literal["finished", "stopped", "failed"],
        sentence: str,
        reason: str | None = None,
    ) -> None:
        """The job is over: noted in the store, told to everyone."""
        facts = {"sentence": sentence, "reason": reason, "meter": job.meter(self._clock())}
        # A store that does not take this note has been the end of the job already; the next start puts it right.
        with contextlib.suppress(StoreError):
            self._store.end_job(job.id, state, facts)
        self._tell_job(job, state, sentence, reason)
        self._job = None
        self._idle.notify_all()

    # ------------------------------------------------------------------------------------------------------- telling

    def _tell_job(self, job: RunningJob, state: str, sentence: str, reason: str | None = None) -> None:
        facts = {"type": "job", **self._job_facts(job), "state": state, "sentence": sentence, "reason": reason}
        self._hub.publish(facts)

    def _job_facts(self, job: RunningJob) -> dict[str, Any]:
        order = job.order
        return {
            **_place(job),
            "document_id": order.section.document_id,
            "dial": asdict(order.request.dial),
            "stop_name": order.stop_name,
            "seed": str(order.request.seed),
            "left_out": list(order.left_out),
            "meter": job.meter(self._clock()),
        }

    def _set_engine(self, state: str, sentence: str, **facts: Any) -> None:
        self._engine = self._engine_facts(state, sentence, **facts)
        self._hub.publish({"type": "engine", **self._engine})

    def _engine_facts(self, state: str, sentence: str, **facts: Any) -> dict[str, Any]:
        unknown = {"context": None, "precision": None, "threads": None, "load_seconds": None}
        progress = {"stage": None, "done": 0, "total": 0}
        names = {"model": self.entry.id, "title": self.entry.title}
        return {"state": state, "sentence": sentence, **progress, **names, **unknown, **facts}


def _place(job: RunningJob) -> dict[str, Any]:
    return {"job": job.id, "section_id": job.order.section.id}


def _called(section: Section) -> str:
    return f"“{section.title}”" if section.title else "The untitled section"


def _words(count: int) -> str:
    return "1 word" if count == 1 else f"{count} words"


def _deleted(what: str) -> Ending:
    return Ending("stopped", f"The {what} was deleted while it was being written.")


def _token_counter(path: Path) -> Count:
    """Counts tokens of plain text; what looks like a control token in it is text, too. Raises OSError.

    Remembers the last texts, because the same section is counted again for every stop of the dial.
    """
    tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    tokenizer.encode_special_tokens = True

    @lru_cache(maxsize=64)
    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count
