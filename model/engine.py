"""The engine of one model: opens it, measures it, and answers a Request or a Fill with events.

Joins tokenizer, network and sampler; decides where blocks end and how a wanted length is met. Remembers what the last
job has read: the next one reads on from where both begin to differ. Knows nothing of documents, processes or the page.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch

from model.backbones.fit import WrongWeights
from model.backbones.load import fastest_precision, open_any
from model.catalog import UnknownModel, entry_for
from model.compiled.build import is_compiled, kernels_can_be
from model.contract import (
    BlockLocked,
    BlockStep,
    Dial,
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
    count_words,
)
from model.denoiser import BlockCache, Denoiser
from model.drawing import Kinds
from model.ending import Target, target_of, words_of
from model.filling import Bench, Filling
from model.finale import ENDING_TOKENS, LAST_WORDS, Finale
from model.kept_speed import Speed, known_or
from model.passage import lay_out
from model.sampler import BlockSampler, Draws, Pictures, Step, block_seed
from model.sentences import closes_sentence
from model.speed import measure, warm_up
from model.tokenizer import TextStream, TextTokenizer, UnusableTokenizer
from model.weights import WeightsUnavailable, locate

Reason = Literal["length", "end", "budget", "part"]

BLOCK_SIZE_1 = Dial(1, 1, "verified")
"""Reads the text around a passage."""

NEW_PART = "\n\n"
"""Behind a part of a text, whose next one the desk then asks for."""

SHORT_BLOCK = 8
"""Tokens: shorter blocks are not worth their while before the end of a text."""


class ModelUnavailable(Exception):
    """The model cannot be had or loaded; the message is one sentence for the writer."""


class Engine:
    """One model in memory. A job may be left at any event; the engine then takes the next request."""

    def __init__(self, network: Denoiser, tokenizer: TextTokenizer, ready: Ready) -> None:
        self._network, self._tokenizer = network, tokenizer
        self._last: BlockCache | None = None  # what the last job has read
        self._exactly = 0  # tokens of it, from the first on, that weights have read which were not rounded
        self._kinds: Kinds | None = None  # takes a moment, and only a Fill needs it
        self.ready = ready

    @classmethod
    def open(
        cls,
        model: str,
        *,
        cache_dir: Path,
        threads: int | None,
        report: Callable[[Preparing], None],
        since: float | None = None,
    ) -> Engine:
        """Finds, loads and measures a model: a catalogue id, its Hugging Face id, or a folder with weights.

        since: time.monotonic() of when the start began, for `Ready.load_seconds`, which leaves fetching out.
        Raises ModelUnavailable.
        """
        began = time.monotonic() if since is None else since
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            asked = time.monotonic()
            files = locate(model, cache_dir, report)
            fetched = time.monotonic()
            entry = entry_for(model)
            if kernels_can_be() and not is_compiled(cache_dir):
                report(Preparing("compile", "The fastest parts are being compiled for this machine, once."))
            precision = fastest_precision(cache_dir)
            report(Preparing("load", "The model is being loaded."))
            network, tokenizer = open_any(entry, files.folder, files.tokenizer, precision)
        except (WeightsUnavailable, UnknownModel, UnusableTokenizer) as error:
            raise ModelUnavailable(str(error)) from error
        except WrongWeights as error:
            raise ModelUnavailable(f"The model cannot be loaded. {error}") from error

        warm_up(network, tokenizer, entry)

        def measured() -> Speed:
            report(Preparing("measure", "The speed of this machine is being measured."))
            return measure(network, tokenizer, entry)

        speed = known_or(measured, model, entry, precision.name, cache_dir)
        ready = Ready(
            model=model,
            tokenizer=str(tokenizer.path),
            context=network.facts.context,
            precision=precision.name,
            threads=torch.get_num_threads(),
            load_seconds=time.monotonic() - began - (fetched - asked),
            speeds=speed.stops,
            ending_tokens=ENDING_TOKENS,
            prefill_tokens_per_second=speed.prefill,
        )
        return cls(network, tokenizer, ready)

    def write(self, request: Request) -> Iterator[JobEvent]:
        """The events of one job. Between two of them at most one network forward passes."""
        began = time.perf_counter()
        prompt, facts = self._prompt(request), self._network.facts
        if len(prompt) >= facts.context and not facts.slides:
            yield Failed(
                request.job, "The brief and the text before it are longer than the model can read; shorten them."
            )
            return
        with torch.inference_mode():
            sampler = BlockSampler(self._network, request.dial, may_end=target_of(request) is None)
            yield from self._reading(request.job, sampler, prompt, request.dial)
            yield from _Job(sampler, self._tokenizer, request, began).events()

    def fill(self, request: Fill) -> Iterator[JobEvent]:
        """The events of one job. Between two of them at most one network forward passes."""
        began = time.perf_counter()
        passage, facts = lay_out(request, self._tokenizer), self._network.facts
        prompt = [*self._tokenizer.prompt(request.system, request.user), *passage.left]
        if len(prompt) + passage.reach > facts.context and not facts.slides:
            yield Failed(
                request.job, "The passage and the text before it are longer than the model can read; choose less of it."
            )
            return
        with torch.inference_mode():
            network = self._network.relaxed() if request.dial.rounds else self._network
            sampler = BlockSampler(self._network, BLOCK_SIZE_1)
            yield from self._reading(request.job, sampler, prompt, request.dial)
            self._kinds = self._kinds or Kinds(self._tokenizer, facts, sampler.cache.tokens.device)
            bench = Bench(network, self._tokenizer, self._kinds, request, passage, sampler.cache)
            filling = Filling(bench)
            for shown in filling.steps():
                slots = slots_of(shown.tokens, shown.sureness, self._tokenizer, facts.mask)
                decided = sum(slot.text is not None for slot in slots)
                yield BlockStep(request.job, 0, slots, filling.nfe, decided, time.perf_counter() - began)
        if filling.candidates:
            yield Filled(request.job, filling.candidates, filling.nfe, time.perf_counter() - began)
        else:
            yield Failed(request.job, "The model found no other words here; try once more, or choose a longer passage.")

    def _reading(self, job: str, sampler: BlockSampler, prompt: list[int], dial: Dial) -> Iterator[Reading]:
        """Reads a prompt into the sampler's cache; what the last job has read of it is taken over. A dial that does not
        round takes over no more than what exact weights have read: a prompt, and the text of another such dial."""
        known = 0
        if self._last is not None and not self._network.facts.slides:
            known = common(self._last.tokens[0, : self._last.size].tolist(), prompt[:-1])
            known = known if dial.rounds else min(known, self._exactly)
            sampler.cache = self._last.beginning(known)
        self._last = sampler.cache
        if not dial.rounds:
            self._exactly = self._network.facts.context
        elif known <= self._exactly:
            self._exactly = len(prompt) - 1  # its last token is read with what the dial writes
        yield Reading(job, known, len(prompt))
        for done in sampler.read(torch.tensor([prompt[known:]], device=sampler.cache.tokens.device)):
            yield Reading(job, known + done, len(prompt))

    def _prompt(self, request: Request) -> list[int]:
        """White space at the end of what a writer left is not read: a model that finds an empty line there takes the
        text for over. A resumed job reads on as it wrote."""
        so_far = request.so_far if request.first_block else request.so_far.rstrip()
        return self._tokenizer.prompt(request.system, request.user) + self._tokenizer.encode(so_far)


class _Job:
    """One text on its way: counts, and the steps from the first block to the last."""

    def __init__(self, sampler: BlockSampler, tokenizer: TextTokenizer, request: Request, began: float) -> None:
        """sampler: has read the prompt. began: time.perf_counter() at the beginning of the job."""
        self._request, self._tokenizer = request, tokenizer
        self._target: Target | None = target_of(request)
        self._sampler, self._facts = sampler, sampler.denoiser.facts
        self._stream = TextStream(tokenizer)
        self._text = request.so_far
        self._at_a_start = not request.so_far or (not request.first_block and not request.so_far[-1:].strip())
        self._block = request.first_block
        self._tokens = self._words = self._nfe = 0
        self._began = began
        self._first_block_seconds = self._ending_seconds = 0.0
        self._reading_seconds = self._seconds()

    def events(self) -> Iterator[JobEvent]:
        reason: Reason | None = None
        while reason is None:
            room = self._room()
            if room < 1:
                reason = "budget"
            elif self._target is not None and self._near_the_end(self._target):
                reason = yield from self._end(self._target, room)
            else:
                reason = yield from self._next_block(self._size(room))
        yield Finished(
            job=self._request.job,
            reason=reason,
            tokens=self._tokens,
            words=self._words,
            seconds=self._seconds(),
            first_block_seconds=self._first_block_seconds,
            nfe=self._nfe,
            blocks=self._block - self._request.first_block,
            reading_seconds=self._reading_seconds,
            ending_seconds=self._ending_seconds,
        )

    # ----------------------------------------------------------------------------------------------------- blocks

    def _next_block(self, size: int) -> Generator[JobEvent, None, Reason | None]:
        """One block of the ordinary kind; returns why the text ends with it, or None."""
        began, nfe, seed = time.perf_counter(), self._sampler.nfe, block_seed(self._request.seed, self._block)
        pictures = Pictures(self._sampler.block(size, Draws([seed])))
        for step in pictures:
            yield self._picture(step)
        tokens, nll = pictures.block.tokens[0].tolist(), pictures.block.nll[0]
        end = tokens.index(self._tokenizer.end) if self._tokenizer.end in tokens else None
        reason: Reason | None = None if end is None else "end"
        more: list[int] = []
        if reason is None and (at := self._end_of_part(tokens)) is not None:
            text = self._text + "".join(map(self._tokenizer.piece, tokens[:at]))
            end, more, reason = at, self._tokenizer.encode(to_new_part(text)), "part"
        forwards = self._sampler.nfe - nfe
        self._nfe += forwards
        yield self._lock([*tokens[:end], *more], float(nll[:end].sum()), seed, forwards, time.perf_counter() - began)
        return reason

    def _end_of_part(self, tokens: list[int]) -> int | None:
        """How many tokens of the next block still belong to this part of the text; None: all of them."""
        part, target = self._request.part, self._target
        if not part or target is None or target.least - self._words < part:
            return None
        pieces = [self._tokenizer.piece(token) for token in tokens]
        there = count_words(self._request.so_far) + self._words
        for at in range(1, len(pieces)):
            text = self._text + "".join(pieces[:at])
            over = closes_sentence(text) or pieces[at].count("\n") > 1
            if over and pieces[at][:1].isspace() and there + words_of(self._text, pieces[:at]) >= part:
                return at
        return None

    def _near_the_end(self, target: Target) -> bool:
        return self._words_before_the_end(target) <= self._shortest

    def _size(self, room: int) -> int:
        """Tokens of the next block. It has at most as many words as tokens, so it does not get past the beginning of
        the end."""
        size = min(self._request.dial.block_size, room)
        if self._target is None or not self._facts.causal:
            return size
        return min(size, max(self._shortest, self._words_before_the_end(self._target)))

    def _words_before_the_end(self, target: Target) -> int:
        return target.least - self._words - LAST_WORDS

    @property
    def _shortest(self) -> int:
        """Tokens of the shortest block for whose sake the end is put off. A network that reads blocks as a whole writes
        none but whole ones."""
        size = self._request.dial.block_size
        return min(size, SHORT_BLOCK) if self._facts.causal else size

    def _end(self, target: Target, room: int) -> Generator[JobEvent, None, Reason]:
        """The last sentences: tried several times, the best cut is locked in."""
        began, request = time.perf_counter(), self._request
        finale = Finale(self._sampler, self._tokenizer, target, seed=request.seed, block=self._block)
        size = request.dial.block_size
        for tokens, confidence in finale.tries(self._text, self._words, room):
            yield BlockStep(
                job=request.job,
                block=self._block,
                slots=self._slots(tokens, confidence, -(-(len(tokens) + 1) // size) * size),
                nfe=self._nfe + finale.nfe,
                tokens=self._tokens + len(tokens),
                seconds=self._seconds(),
                phase="ending",
            )
        end = finale.end
        self._nfe += finale.nfe
        blocks = max(1, -(-len(end.tokens) // size))
        self._ending_seconds = time.perf_counter() - began
        seconds = self._ending_seconds / blocks
        for number in range(blocks):
            part = slice(number * size, (number + 1) * size)
            forwards = finale.nfe // blocks + (number < finale.nfe % blocks)
            nll = None if end.nll is None else sum(end.nll[part])
            yield self._lock(list(end.tokens[part]), nll, end.seed, forwards, seconds)
        return end.reason

    def _lock(self, tokens: list[int], nll: float | None, seed: int, nfe: int, seconds: float) -> BlockLocked:
        text = self._stream.add(tokens)
        if self._at_a_start:
            text = text.lstrip()  # the white space is there already
            self._at_a_start = not text
        self._words += words_of(self._text, [text])
        self._text += text
        self._tokens += len(tokens)
        self._first_block_seconds = self._first_block_seconds or self._seconds()
        self._block += 1
        return BlockLocked(
            job=self._request.job,
            block=self._block - 1,
            text=text,
            tokens=tuple(tokens),
            nll=nll if self._facts.causal else None,
            seed=seed,
            nfe=nfe,
            seconds=seconds,
        )

    # -------------------------------------------------------------------------------------------------- what is so

    def _room(self) -> int:
        """Tokens that may still be written. A window never fills up: its oldest tokens leave."""
        left = self._request.max_tokens - self._tokens
        return left if self._facts.slides else min(left, self._facts.context - self._sampler.cache.decided)

    def _seconds(self) -> float:
        return time.perf_counter() - self._began

    def _picture(self, step: Step) -> BlockStep:
        tokens, confidence = step.tokens[0].tolist(), step.confidence[0].tolist()
        slots = self._slots(tokens, confidence, len(tokens))
        return BlockStep(
            job=self._request.job,
            block=self._block,
            slots=slots,
            nfe=self._sampler.nfe,
            tokens=self._tokens + sum(slot.text is not None for slot in slots),
            seconds=self._seconds(),
        )

    def _slots(self, tokens: list[int], confidence: list[float], size: int) -> tuple[Slot, ...]:
        shown = slots_of(tokens, confidence, self._tokenizer, self._facts.mask)
        return (*shown, *[Slot(None, 0.0)] * (size - len(shown)))


def slots_of(tokens: list[int], confidence: list[float], tokenizer: TextTokenizer, mask: int) -> tuple[Slot, ...]:
    """A picture of some slots."""
    return tuple(
        Slot(None, 0.0) if token == mask else Slot(tokenizer.piece(token), sure)
        for token, sure in zip(tokens, confidence, strict=True)
    )


def to_new_part(text: str) -> str:
    """What of an empty line is missing after a text."""
    return NEW_PART[len(text) - len(text.rstrip("\n")) :]


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """With how many tokens both begin."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
