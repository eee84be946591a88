"""What the lab's process does with a question: opens networks, lets them write step by step, has their texts read.

Knows nothing of the page or of who asks. Errors that can be foreseen travel as sentences.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from app.lab_process import Answer, Compare, Opened, Picture, Question, Read, Slot, Step, Verdict
from model.backbones.dit_config import WrongConfig
from model.backbones.fit import WrongWeights
from model.backbones.llama import Llama
from model.backbones.load import load_llama
from model.backbones.published import UnknownCheckpoint
from model.catalog import CATALOG
from model.evaluation import writers
from model.evaluation.writers import NotPossible, SampledWriter, in_steps, writer_for
from model.evaluation.writing import causal_nll
from model.tokenizer import ChatTokenizer, PlainTokenizer, UnusableTokenizer
from model.training.checkpoint import tokenizer_of
from model.training.vocabulary import Vocabulary, WrongVocabulary
from model.weights import is_whole

PROBLEMS = (NotPossible, UnknownCheckpoint, WrongConfig, WrongWeights, WrongVocabulary, OSError)

PARAGRAPH = "¶"
"""Shown where a network ends one text and begins the next."""

REPLACED = "\ufffd"
"""What a tokenizer makes of a part of a character."""

MOST_PARTS = 4
"""Bytes of the longest character."""


@dataclass(slots=True)
class Seat:
    """One system at work. seen: its last picture; settled, locked: tokens and text of finished blocks."""

    writer: SampledWriter
    vocabulary: Vocabulary
    pictures: Iterator[writers.Picture]
    seen: list[int]
    nfe: int = 0
    seconds: float = 0.0
    settled: int = 0
    locked: str = ""

    def step(self) -> Picture:
        """One more forward; after the last one the text is done."""
        began = time.perf_counter()
        picture = next(self.pictures, None)
        self.seconds += time.perf_counter() - began
        if picture is None or len(picture.tokens) > len(self.seen):  # blocks are finished one after the other
            self.settled = len(self.seen)
            self.locked = "".join(text or "" for text in spell(self.vocabulary, self.seen, self.writer.mask))
        if picture is not None:
            self.seen, self.nfe = picture.tokens, picture.nfe
        return self._shown(done=picture is None)

    def _shown(self, *, done: bool) -> Picture:
        stays = not self.writer.redrawn
        texts = spell(self.vocabulary, self.seen[self.settled :], self.writer.mask)
        decided = sum(text is not None for text in texts) if stays else 0
        return Picture(
            locked=self.locked,
            slots=tuple(Slot(text, stays) for text in texts),
            tokens=self.settled + decided,
            nfe=self.nfe,
            seconds=self.seconds,
            done=done,
        )


def spell(vocabulary: Vocabulary, tokens: Sequence[int], mask: int) -> list[str | None]:
    """What each token adds to the text; None for a mask. A character's tokens have their text at the last of them."""
    texts: list[str | None] = []
    part: list[int] = []
    for token in tokens:
        if token == mask:
            texts.append(None)
            part = []
        elif token == vocabulary.end:
            texts.append(PARAGRAPH)
            part = []
        else:
            part.append(token)
            text = vocabulary.decode(part)
            whole = not text.endswith(REPLACED) or len(part) == MOST_PARTS
            texts.append(text if whole else "")
            part = [] if whole else part
    return texts


class Judge:
    """The default model with its frozen weights alone: no adapter, float32."""

    def __init__(self, folder: Path) -> None:
        """Raises WrongWeights, UnusableTokenizer."""
        self._tokenizer = PlainTokenizer(folder / "tokenizer.json")  # what is read is no conversation
        self._network: Llama = load_llama(folder, ChatTokenizer(folder / "tokenizer.json"))
        self._context = self._network.facts.context

    def read(self, prompt: str, text: str) -> float | None:
        """Perplexity of the text after the prompt, by its tokens; None where there is no text or too much of it."""
        before, tokens = self._tokenizer.prompt("", prompt), self._tokenizer.encode(text)
        if not tokens or len(before) + len(tokens) > self._context:
            return None
        nll = causal_nll(self._network, before, tokens)
        return math.exp(math.fsum(nll) / len(tokens))


class Bench:
    """Answers one question after the other."""

    def __init__(self, cache_dir: Path, threads: int | None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self._cache = cache_dir
        self._judge: Judge | None = None
        self._prompt = ""
        self._seats: list[Seat | None] = []

    def answer(self, question: Question) -> Answer:
        with torch.inference_mode():
            match question:
                case Compare():
                    return self._compare(question)
                case Step(side):
                    return self._seat(side).step()
                case Read(side):
                    return self._read(self._seat(side))

    def _seat(self, side: int) -> Seat:
        seat = self._seats[side]
        assert seat is not None, "nobody sits on this side"
        return seat

    def _compare(self, asked: Compare) -> Opened:
        self._prompt, self._seats = asked.prompt, []
        problems: list[str | None] = []
        for folder, system in asked.systems:
            try:
                self._seats.append(_seated(folder, system, asked))
                problems.append(None)
            except PROBLEMS as error:
                self._seats.append(None)
                problems.append(f"{folder} cannot be read; look whether it is still there."
                                if isinstance(error, OSError) else str(error))  # fmt: skip
        return Opened(tuple(problems))

    def _read(self, seat: Seat) -> Verdict:
        entry = CATALOG[0]
        folder = self._cache / "models" / entry.id
        try:
            if self._judge is None:
                if not is_whole(folder):
                    return Verdict(
                        None,
                        f"Perplexity is read by {entry.title}, whose weights are not on this machine yet; "
                        "start Galley once without --model.",
                    )
                self._judge = Judge(folder)
        except (WrongWeights, UnusableTokenizer) as error:
            return Verdict(None, str(error))
        text = seat.vocabulary.decode([token for token in seat.seen if token != seat.writer.end])
        perplexity = self._judge.read(self._prompt, text)
        if perplexity is None:
            return Verdict(None, "There is no text, or too much of it, to read a perplexity from.")
        return Verdict(perplexity, None)


def _seated(folder: Path, system: str, asked: Compare) -> Seat:
    """Raises one of PROBLEMS."""
    recipe = None if asked.steps is None else in_steps(system, asked.steps)
    writer, vocabulary = writer_for(folder, system, recipe), tokenizer_of(folder)
    prompt = [vocabulary.end, *vocabulary.encode([asked.prompt])[0]]
    length = len(prompt) + asked.tokens
    if writer.longest is not None and length > writer.longest:
        raise NotPossible(
            f"This system writes at most its training length of {writer.longest} tokens, and this text would have "
            f"{length}, {len(prompt)} of them before it; ask for fewer."
        )
    return Seat(writer, vocabulary, writer.pictures(prompt, length, asked.seed), [])
