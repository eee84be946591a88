"""Where a text of a wanted length may end: after a whole sentence, within a few words of what was asked for.

Pure. Knows nothing of networks or of how the tries came about.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.contract import Request, count_words
from model.sentences import LOOKED_AT, closes_sentence, ends_with_a_word, is_no_end, is_said_again

ALLOWANCE = 3
"""A section may be so many percent shorter or longer than wanted."""

PLAUSIBLE = 2.3
"""Nats: where a closing mark has this chance (a tenth) or a better one, the sentence may well be over."""

NATURAL = 2.0
"""Nats that it is worth if the model itself would end the text there."""

SAID_AGAIN = 4.0
"""Nats that it costs if the last sentence says what was said before."""

CLAUSE_MARKS = frozenset((",", ";", ":", "–", "—"))


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
    """One continuation of a text.

    pieces  the text of each token.
    words   that are written in all after each token, those before the try included.
    ended   whether the model ended by itself after the last token.
    nll     of each token, in nats; nan where the weights tell none.
    offers  nats that each closing mark would have cost in place of each token; empty where the weights tell none.
    ends    nats that the end of the text would have cost in place of each token; empty likewise.
    """

    pieces: tuple[str, ...] = ()
    words: tuple[int, ...] = ()
    ended: bool = False
    nll: tuple[float, ...] = ()
    offers: tuple[tuple[float, ...], ...] = ()
    ends: tuple[float, ...] = ()

    def beginning(self, tokens: int) -> Try:
        """Its first tokens; fewer than all of them have not ended."""
        ended = self.ended and tokens >= len(self.pieces)
        return Try(
            self.pieces[:tokens],
            self.words[:tokens],
            ended,
            self.nll[:tokens],
            self.offers[:tokens],
            self.ends[:tokens],
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """A place where try number `row` may end: after its first `tokens` tokens, and a closing mark where one is named.

    words   that are written there in all.
    closer  the closing mark; None where the try closes its sentence by itself.
    cost    nats: how unlikely a sentence ends there; more where it repeats what was said, less where the text may well
            be over, too.
    broken  whether the last line is not one that a text may end with.
    """

    row: int
    tokens: int
    words: int
    closer: str | None = None
    cost: float = 0.0
    broken: bool = False

    @property
    def is_good(self) -> bool:
        return self.cost <= PLAUSIBLE and not self.broken


def target_of(request: Request) -> Target | None:
    """What a request asks for; None where the model ends by itself.

    The allowance is a share of the whole section: what is there already, and what is still to be written.
    """
    if request.words is None:
        return None
    whole = request.words + count_words(request.so_far) + request.earlier
    slack = min(tolerance(whole), max(1, request.words // 2))
    return Target(request.words, max(1, request.words - slack), request.words + slack)


def tolerance(words: int) -> int:
    """How many words a section of so many may have more or fewer."""
    return max(1, words * ALLOWANCE // 100)


# ------------------------------------------------------------------------------------------------------------- places


def sentence_ends(before: str, attempt: Try, row: int, since: int = 0) -> Iterator[Cut]:
    """Every place where the try itself closes a sentence, with token number `since` or a later one.

    before: the text it goes on from.
    """
    for index in range(since, len(attempt.pieces)):
        last = index + 1 == len(attempt.pieces)
        if last and not attempt.ended:
            return  # what comes next may still belong to the sentence, a closing quotation mark for example
        if not last and not attempt.pieces[index + 1][:1].isspace():
            continue
        text = _text(before, attempt, index + 1)
        if attempt.pieces[index].strip() and closes_sentence(text):
            yield Cut(row, index + 1, attempt.words[index], None, _cost(attempt, index, text), is_no_end(text))


def offered_ends(
    before: str, attempt: Try, row: int, target: Target, closers: Sequence[str], since: int = 0
) -> Iterator[Cut]:
    """Every allowed place behind a word, where a closing mark could stand instead of token number `since` or later.

    Of the marks that are plausible there the likeliest that a text may end with, else the likeliest.
    """
    for index in range(max(1, since), len(attempt.offers)):
        words, text = attempt.words[index - 1], _text(before, attempt, index)
        if not target.allows(words) or not ends_with_a_word(text):
            continue
        ranked = sorted(zip(attempt.offers[index], closers, strict=True))
        plausible = [offer for offer in ranked if offer[0] <= PLAUSIBLE] or ranked[:1]
        again = SAID_AGAIN * is_said_again(text)
        cuts = [
            Cut(row, index, words, closer, cost + again, is_no_end(text + closer))
            for cost, closer in plausible
            if closes_sentence(text + closer)
        ]
        yield from sorted(cuts, key=lambda cut: cut.broken)[:1]


def clause_ends(attempt: Try, row: int) -> Iterator[Cut]:
    """Every place in front of a comma or its like, where a full stop could take its place."""
    for index in range(1, len(attempt.pieces)):
        if attempt.pieces[index].strip() in CLAUSE_MARKS:
            yield Cut(row, index, attempt.words[index - 1], ".")


def word_ends(attempt: Try, row: int) -> Iterator[Cut]:
    """Every place between a word and the space after it."""
    for index in range(1, len(attempt.pieces)):
        if attempt.pieces[index][:1].isspace() and attempt.pieces[index - 1][-1:].isalnum():
            yield Cut(row, index, attempt.words[index - 1], ".")


def best_cut(cuts: Sequence[Cut], target: Target) -> Cut | None:
    """Of the allowed places the one with the likeliest end, a broken one only where there is no other.

    None where no place is allowed.
    """
    allowed = [cut for cut in cuts if target.allows(cut.words)]
    return min(allowed, key=lambda cut: (cut.broken, cut.cost, target.miss(cut.words)), default=None)


def nearest_cut(cuts: Sequence[Cut], target: Target) -> Cut | None:
    """The place nearest to the wanted length, allowed or not."""
    return min(cuts, key=lambda cut: target.miss(cut.words), default=None)


def _text(before: str, attempt: Try, tokens: int) -> str:
    return before[-LOOKED_AT:] + "".join(attempt.pieces[:tokens])


def _cost(attempt: Try, index: int, text: str) -> float:
    """Of the end of the text behind token number `index`; where the weights tell none that is nothing."""
    cost = attempt.nll[index] if index < len(attempt.nll) and not math.isnan(attempt.nll[index]) else 0.0
    cost += SAID_AGAIN * is_said_again(text)
    if index + 1 == len(attempt.pieces):
        return cost - NATURAL
    return cost - NATURAL * (math.exp(-attempt.ends[index + 1]) if index + 1 < len(attempt.ends) else 0.0)


# -------------------------------------------------------------------------------------------------------------- words


def words_of(before: str, pieces: Sequence[str]) -> int:
    """Words that the pieces add to a text."""
    tail = last_word(before)
    return count_words(tail + "".join(pieces)) - count_words(tail)


def last_word(text: str) -> str:
    """The end of the text that a piece after it could still change: from the last space on."""
    return text[max(text.rfind(" "), text.rfind("\n")) + 1 :]
