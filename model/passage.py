"""A passage with holes as tokens: what is read before it, how long each hole is to be, where new words may end.

White space belongs to the word after it, as tokens have it: a space in front of a hole is not read, the first token of
the new words begins with it. Pure; knows nothing of networks and of how words are drawn.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from model.contract import Fill, Piece, count_words
from model.ending import Target
from model.sentences import closes_sentence
from model.tokenizer import TextTokenizer

TOKENS_PER_WORD = 1.3
"""Of a hole of which only the number of words is known."""

LOOKED_AT = 32
"""Tokens of kept text to the right of the last hole that say how well its words fit."""

CHARACTERS = 16 * LOOKED_AT
"""So many characters have that many tokens."""

ALLOWANCE = 0.2
"""Sentences may have so many words more or less than wanted: the more ends there are, the better one of them fits."""

LONG = 80
"""Holes of more words may have several paragraphs."""

_OPENING = frozenset("([{“‘«—–-/")
_BEFORE_WORDS = _OPENING | frozenset("#*_>\"'")
_BEGINS_SENTENCE = re.compile(r"\s*\n|\s*[\"'“‘«*_(#]*[^\W\d_a-zß-öø-ÿ]|\s*[#>*]|$")
_WORD = re.compile(r"\w+(?:['’\-]\w+)*")
_INSIDE_WORDS = frozenset("'’-")


@dataclass(frozen=True, slots=True)
class Hole:
    """One hole, and what its words are to be like.

    lead, trail    white space of its own text, around the words.
    was            the words that stood there, empty where none did; tokens: as they are read there; begins: which of
                   these begin a word.
    words, length  about how many words, and how many tokens these are.
    spaced         the first token begins with a space.
    capital        the first letter is a capital, for a sentence begins with it.
    closes         the last word ends a sentence.
    single         it is one word.
    clear          punctuation follows, so that none stands at its end.
    right          tokens of the kept text up to the next hole, or the first ones of what stands to the right of it.
    """

    lead: str
    trail: str
    was: str
    tokens: tuple[int, ...]
    begins: tuple[bool, ...]
    words: int
    length: int
    spaced: bool
    capital: bool
    closes: bool
    single: bool
    clear: bool
    right: tuple[int, ...]

    @property
    def lines(self) -> bool:
        """Whether it may have line breaks."""
        return "\n" in self.was or self.words > LONG

    @property
    def target(self) -> Target:
        """How many words it may have where it ends a sentence."""
        slack = max(3, round(ALLOWANCE * self.words))
        return Target(self.words, max(1, self.words - slack), self.words + slack)

    @property
    def slack(self) -> int:
        """How many tokens longer or shorter it may be where it does not."""
        return max(1, self.length // 4)

    @property
    def most(self) -> int:
        """No more tokens than this are drawn for it."""
        longest = math.ceil(1.6 * self.target.most) + 8 if self.closes else self.length + max(3, self.slack)
        return longest + 1  # the last one tells whether a word ends with the one before it

    def text(self, words: str) -> str:
        """What takes the place of the hole, white space included."""
        core = words.strip()
        if self.capital:
            core = core[:1].upper() + core[1:]
        return self.lead + core + self.trail

    def ends(self, pieces: Sequence[str]) -> list[int]:
        """After how many of the drawn tokens the hole may end as it is, best first."""
        if self.single:
            return end_of_word(pieces)
        if self.closes:
            ends = [end for end in sentence_ends(pieces) if self.target.allows(_words(pieces, end))]
            return sorted(ends, key=lambda end: self.target.miss(_words(pieces, end)))
        ends = [end for end in word_ends(pieces, clear=self.clear) if abs(end - self.length) <= self.slack]
        return sorted(ends, key=lambda end: abs(end - self.length))

    def stops(self, pieces: Sequence[str]) -> list[int]:
        """After how many of the drawn tokens a full stop could end the hole, which ends a sentence, from the left."""
        return [end for end in word_ends(pieces, clear=True) if self.target.allows(_words(pieces, end))]

    def is_long_enough(self, pieces: Sequence[str]) -> bool:
        """Whether further tokens would not bring a better end."""
        if self.single:
            return len(pieces) > 1 and not _goes_on(pieces[-1])
        if self.closes:
            return count_words("".join(pieces)) > self.target.most
        if self.right:
            return len(pieces) > self.length + self.slack
        return len(pieces) >= self.length and bool(self.ends(pieces))

    def nearest_end(self, pieces: Sequence[str]) -> int | None:
        """The end of a word that is nearest to the wanted length, where there is no better end; None: there is none."""
        ends = [] if self.single else word_ends(pieces, clear=self.clear or self.closes)
        return min(ends, key=lambda end: abs(end - self.length), default=None)

    def masks(self, strength: float, chance: random.Random, costs: Sequence[float] | None = None) -> tuple[bool, ...]:
        """Which of its tokens are masked: a share of them, rounded up. Words are chosen at random, each as a whole.

        costs: of each token; the words with the dearest ones are chosen then.
        """
        words: list[list[int]] = []
        for at, begins in enumerate(self.begins):
            if begins or not words:
                words.append([])
            words[-1].append(at)
        if costs is None:
            chance.shuffle(words)
        else:
            words.sort(key=lambda word: -max(costs[at] for at in word))
        count = math.ceil(strength * len(self.tokens) - 1e-9)  # 0.1 · 30 is a little more than 3
        masked = set([at for word in words for at in word][:count])
        return tuple(at in masked for at in range(len(self.tokens)))


@dataclass(frozen=True, slots=True)
class Passage:
    """left: tokens of the text before the first hole. holes: in order."""

    left: tuple[int, ...]
    holes: tuple[Hole, ...]

    @property
    def reach(self) -> int:
        """No more tokens than this stand after `left`."""
        return sum(max(hole.most, len(hole.tokens)) + len(hole.right) for hole in self.holes)


def lay_out(request: Fill, tokenizer: TextTokenizer) -> Passage:
    """The passage of a request as tokens."""
    holes = [piece for piece in request.pieces if piece.text is None]
    kept = _kept(request)
    spaces = [_spaces(hole, *_beside(kept, holes, at)) for at, hole in enumerate(holes)]
    gaps: list[tuple[tuple[int, ...], bool]] = []  # what is read in front of each hole; whether its words bring a space
    for at, (lead, _) in enumerate(spaces):
        text = (spaces[at - 1][1] if at else "") + kept[at] + lead
        spaced = text.endswith(" ")
        gaps.append((tuple(_encode(text[:-1] if spaced else text, tokenizer)), spaced))
    last = (spaces[-1][1] + kept[-1])[:CHARACTERS]
    rights = [*(tokens for tokens, _ in gaps[1:]), tuple(tokenizer.encode(last)[:LOOKED_AT])]
    found = []
    for at, (hole, (lead, trail)) in enumerate(zip(holes, spaces, strict=True)):
        left, right = _beside(kept, holes, at)
        spaced, core = gaps[at][1], hole.was.strip()
        tokens = tokenizer.encode(" " * spaced + core) if core else []
        words = hole.words or max(1, count_words(core))
        right = trail + right
        clear = bool(right) and not right[0].isspace() and not right[0].isalnum()
        starts = _starts_sentence(left + lead)
        found.append(
            Hole(
                lead=lead,
                trail=trail,
                was=core,
                tokens=tuple(tokens),
                begins=tuple(tokenizer.piece(token)[:1].isspace() for token in tokens),
                words=words,
                length=len(tokens) if tokens and not hole.words else math.ceil(TOKENS_PER_WORD * words),
                spaced=spaced,
                capital=starts and (core[:1].isupper() or not core),
                closes=not clear and (closes_sentence(core) if core else _BEGINS_SENTENCE.match(right) is not None),
                single=_WORD.fullmatch(core) is not None and words == 1,
                clear=clear,
                right=rights[at],
            )
        )
    return Passage(gaps[0][0], tuple(found))


def word_ends(pieces: Sequence[str], *, clear: bool) -> list[int]:
    """After how many tokens a word ends, the last token left out, for nobody knows what comes after it.

    clear: only where no punctuation stands at the end.
    """
    ends = []
    for at in range(1, len(pieces)):
        last, following = pieces[at - 1][-1:], pieces[at]
        if not last or last.isspace() or _goes_on(following):
            continue
        if last.isalnum() or (not clear and following[:1].isspace()):
            ends.append(at)
    return ends


def sentence_ends(pieces: Sequence[str]) -> list[int]:
    """After how many tokens a sentence ends, the last token left out: a quotation mark may come after it."""
    return [
        at
        for at in range(1, len(pieces))
        if pieces[at][:1].isspace() and pieces[at - 1].strip() and closes_sentence("".join(pieces[:at]))
    ]


def end_of_word(pieces: Sequence[str]) -> list[int]:
    """After how many tokens the first word ends; empty where it is no word, or not over yet."""
    for at in range(1, len(pieces)):
        if not _goes_on(pieces[at]):
            return [at] if _WORD.fullmatch("".join(pieces[:at]).strip()) else []
    return []


def _words(pieces: Sequence[str], end: int) -> int:
    return count_words("".join(pieces[:end]))


def _goes_on(piece: str) -> bool:
    """Whether a token goes on with the word before it."""
    return piece[:1].isalnum() or piece[:1] in _INSIDE_WORDS or piece[:1] == "�"


def _kept(request: Fill) -> list[str]:
    """What is kept before, between and after the holes: one text more than there are holes."""
    kept = [request.before]
    for piece in request.pieces:
        if piece.text is None:
            kept.append("")
        else:
            kept[-1] += piece.text
    kept[-1] += request.after
    return kept


def _beside(kept: Sequence[str], holes: Sequence[Piece], at: int) -> tuple[str, str]:
    """What stands to the left of a hole and to its right; where that is another hole, what stood in it."""
    left = kept[at] or (holes[at - 1].was or "…" if at else "")
    right = kept[at + 1] or (holes[at + 1].was or "…" if at + 1 < len(holes) else "")
    return left, right


def _spaces(hole: Piece, left: str, right: str) -> tuple[str, str]:
    """White space at the beginning and the end of what takes a hole's place.

    It is that of what stood there; where nothing stood there, words and paragraphs are kept apart.
    """
    if core := hole.was.strip():
        lead, _, trail = hole.was.partition(core)
        return lead, trail
    apart = left and not left[-1].isspace() and left[-1] not in _OPENING
    gap = left[len(left.rstrip()) :]
    follows = right[:1].isalnum() or right[:1] in _BEFORE_WORDS
    return (" " if apart else ""), (gap if "\n" in gap else " ") if follows else ""


def _starts_sentence(left: str) -> bool:
    gap = left[len(left.rstrip()) :]
    return not left.strip() or "\n" in gap or (bool(gap) and closes_sentence(left[-CHARACTERS:]))


def _encode(text: str, tokenizer: TextTokenizer) -> list[int]:
    """Tokens of a text that a word follows: white space at its end is cut into tokens as it is there."""
    if not text[-1:].isspace():
        return tokenizer.encode(text)
    tokens = tokenizer.encode(text + "a")
    return tokens[:-1] if tokenizer.piece(tokens[-1]) == "a" else tokenizer.encode(text)
