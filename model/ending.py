"""Where a text of a wanted length may end: after a whole sentence, as near to the wanted number of words as can be.

Pure. Knows nothing of networks or of how the tries came about.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.contract import Request, count_words

ALLOWANCE = 0.1
"""A section may be this much shorter or longer than wanted."""

NATURAL = 0.5
"""Where the model itself would end, the distance to the wanted length counts only so much."""

CLAUSE_MARKS = frozenset((",", ";", ":", "–", "—"))

_CLOSED = re.compile(r"[.!?…。！？][\"'”’»)\]*_]*$")
_NO_SENTENCE = re.compile(
    r"(?:^|[\s(\"“])(?:Mr|Mrs|Ms|Dr|Prof|St|Mt|Jr|Sr|No|vs|etc|e\.g|i\.e|[A-Z]|\d{1,3})\.$|(?:\.\.\.|…)$"
)


@dataclass(frozen=True, slots=True)
class Target:
    """Words still to write: the wanted number and the range that is allowed."""

    wanted: int
    least: int
    most: int

    def miss(self, words: int) -> int:
        """How far a number of words is from the wanted one."""
        return abs(words - self.wanted)

    def allows(self, words: int) -> bool:
        return self.least <= words <= self.most


@dataclass(frozen=True, slots=True)
class Try:
    """One continuation: the text of each token, and whether the model ended by itself after the last one."""

    pieces: tuple[str, ...]
    ended: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """The first `tokens` tokens of try number `row`, which hold `words` words more than the text before."""

    row: int
    tokens: int
    words: int
    natural: bool


def target_of(request: Request) -> Target | None:
    """What a request asks for; None where the model ends by itself.

    The allowance is a share of the whole section: what is there already, and what is still to be written.
    """
    if request.words is None:
        return None
    whole = request.words + count_words(request.so_far)
    slack = min(math.floor(ALLOWANCE * whole), max(1, request.words // 2))
    return Target(request.words, max(1, request.words - slack), request.words + slack)


def closes_sentence(text: str) -> bool:
    """Whether a sentence is over at the end of the text; an abbreviation, a list's number or an ellipsis is no end."""
    end = text.rstrip()
    return _CLOSED.search(end) is not None and _NO_SENTENCE.search(end[-12:]) is None


def sentence_ends(before: str, attempt: Try, row: int, written: int) -> Iterator[Cut]:
    """Every place where the try may be cut. before: the text it goes on from, which has `written` words."""
    tail = last_word(before)
    surplus = count_words(tail)
    text = tail
    for index, piece in enumerate(attempt.pieces):
        text += piece
        last = index + 1 == len(attempt.pieces)
        if last and not attempt.ended:
            return  # what comes next may still belong to the sentence, a closing quotation mark for example
        if not last and not attempt.pieces[index + 1][:1].isspace():
            continue
        if piece.strip() and closes_sentence(text):
            yield Cut(row, index + 1, written + count_words(text) - surplus, last)


def clause_ends(before: str, attempt: Try, row: int, written: int) -> Iterator[Cut]:
    """Every place in front of a comma or its like, where a full stop could take its place."""
    for index in range(1, len(attempt.pieces)):
        if attempt.pieces[index].strip() in CLAUSE_MARKS:
            yield Cut(row, index, written + words_of(before, attempt.pieces[:index]), False)


def word_ends(before: str, attempt: Try, row: int, written: int) -> Iterator[Cut]:
    """Every place between a word and the space after it."""
    for index in range(1, len(attempt.pieces)):
        if attempt.pieces[index][:1].isspace() and attempt.pieces[index - 1][-1:].isalnum():
            yield Cut(row, index, written + words_of(before, attempt.pieces[:index]), False)


def best_cut(cuts: Sequence[Cut], target: Target) -> Cut | None:
    """The allowed place nearest to the wanted length; None where no place is allowed."""
    allowed = [cut for cut in cuts if target.allows(cut.words)]
    return min(allowed, key=lambda cut: target.miss(cut.words) * (NATURAL if cut.natural else 1.0), default=None)


def nearest_cut(cuts: Sequence[Cut], target: Target) -> Cut | None:
    """The place nearest to the wanted length, allowed or not."""
    return min(cuts, key=lambda cut: target.miss(cut.words), default=None)


def words_of(before: str, pieces: Sequence[str]) -> int:
    """Words that the pieces add to a text."""
    tail = last_word(before)
    return count_words(tail + "".join(pieces)) - count_words(tail)


def last_word(text: str) -> str:
    """The end of the text that a piece after it could still change: from the last space on."""
    return text[max(text.rfind(" "), text.rfind("\n")) + 1 :]
