"""What the model is asked to write when it writes its own training text: drawn from the lists in lab/prompts.

Pure; without torch. Knows nothing of tokens, networks and files of rows. An assignment depends on its number
and the seed alone, so a run that was stopped goes on with the ones it has not had. Asking for a section has the desk's
own words (a test compares them with app.prompt, which may not be imported here).
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from model import asking
from model.contract import count_words

Kind = Literal["request", "section", "next", "continue"]
"""request   as people ask by themselves.
section   as the desk asks for a section.
next      the same, after the end of a section that the model wrote.
continue  any of the above, with the beginning of what the model wrote for it.
"""

FIRST: tuple[Kind, ...] = ("request", "section")
"""Kinds that need no earlier text."""

LISTS = Path(__file__).resolve().parents[2] / "lab" / "prompts"

SYSTEM = "You are a helpful writing assistant."

WORDS = (40, 60, 80, 100, 120, 150, 150, 150, 150, 200, 200, 200, 250, 300, 400, 500)
"""Lengths asked for; the desk's default is 150."""

SHORT, LONG = 400, 700
"""Most tokens of a text whose length was not asked for: the usual, and one in LONG_ONE_IN."""

LONG_ONE_IN = 10

CONTINUED = 320
"""Most tokens of a continuation."""

CONTEXT_WORDS = 120
"""How much of the section before is read, as on the desk."""

SENTENCE_START = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+|\n+")

_SMALL_WORDS = {"a", "an", "and", "as", "at", "by", "for", "from", "has", "in", "of", "on", "or", "that", "the", "to"}
"""Not capitalised inside a title."""


class UnusableList(ValueError):
    """A list of prompts cannot be read as one; the message says which line and why."""


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of text: its name with article, the groups of topics that suit it, names of its sections in order."""

    name: str
    groups: tuple[str, ...]
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists of lab/prompts: pairs are all forms with all topics that suit them."""

    pairs: tuple[tuple[Form, str], ...]
    requests: tuple[str, ...]
    wordings: tuple[str, ...]
    briefs: tuple[str, ...]
    manners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    """One text to write.

    so_far  the beginning of the answer, which is given. May be empty.
    limit   most tokens to write.
    least   tokens before which the text may not end: where a length is wanted, the desk does not let it end early.
    seed    of its random numbers; no two assignments of a run share it.
    words   asked for; 0: no length was.
    sequel  how the desk would ask for the section after this one; empty where there is none.
    """

    kind: Kind
    user: str
    so_far: str
    limit: int
    seed: int
    least: int = 0
    words: int = 0
    sequel: str = ""


def derived(*key: int | str) -> int:
    """A number below 2⁵³ (JSON keeps it exactly) from whatever names it."""
    name = "\0".join(map(str, key)).encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") >> 11


# ------------------------------------------------------------------------------------------------------- the lists


def read_lists(folder: Path = LISTS) -> Lists:
    """Raises UnusableList, OSError."""
    topics = _topics(folder / "topics.txt")
    forms = [_form(line, topics) for line in read_lines(folder / "forms.txt")]
    return Lists(
        pairs=tuple((form, topic) for form in forms for group in form.groups for topic in topics[group]),
        requests=read_lines(folder / "requests.txt"),
        wordings=read_lines(folder / "wordings.txt"),
        briefs=read_lines(folder / "briefs.txt"),
        manners=read_lines(folder / "manners.txt"),
    )


def read_lines(path: Path) -> tuple[str, ...]:
    """The lines of a list, without empty ones and remarks. Raises UnusableList where there is none, OSError."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    kept = tuple(line for line in lines if line and not line.startswith("#"))
    if not kept:
        raise UnusableList(f"{path} is empty.")
    return kept


def _topics(path: Path) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for line in read_lines(path):
        if line.startswith("["):
            groups[line.strip("[]")] = group = []
        elif not groups:
            raise UnusableList(f"{path}: {line!r} stands before the first [group].")
        else:
            group.append(line)
    return groups


def _form(line: str, topics: dict[str, list[str]]) -> Form:
    try:
        name, groups, parts = (field.strip() for field in line.split("|"))
    except ValueError as error:
        raise UnusableList(f"A form is written as name | groups | parts, but there is {line!r}.") from error
    form = Form(name, tuple(groups.split()), tuple(part.strip() for part in parts.split(";")))
    if unknown := [group for group in form.groups if group not in topics]:
        raise UnusableList(f"The form {name!r} names groups of topics that do not exist: {', '.join(unknown)}.")
    return form


# ------------------------------------------------------------------------------------------------- the first round


class Drawing:
    """Assignments that need no earlier text, by number."""

    def __init__(self, lists: Lists, seed: int) -> None:
        self._lists, self._seed = lists, seed
        self._pairs = list(lists.pairs)
        random.Random(derived(seed, "pairs")).shuffle(self._pairs)

    def first(self, number: int) -> Assignment:
        """A pair of form and topic comes a second time only after all others have had their turn."""
        seed = derived(self._seed, "first", number)
        draw = random.Random(seed)
        form, topic = self._pairs[number % len(self._pairs)]
        chance = draw.random()
        if chance < 0.12:
            return Assignment("request", draw.choice(self._lists.requests), "", _usual_limit(draw), seed)
        if chance < 0.16:
            words = draw.choice(WORDS)
            user = section_task("", "", draw.choice(self._lists.requests), words)
            return Assignment("section", user, "", limit_for(words), seed, _least(words, draw), words)
        if chance < 0.42:
            return self._request(form, topic, draw, seed)
        return self._section(form, topic, draw, seed)

    def _request(self, form: Form, topic: str, draw: random.Random, seed: int) -> Assignment:
        wording, words = draw.choice(self._lists.wordings), draw.choice(WORDS)
        user = self._filled(wording, form, topic, draw, part=draw.choice(form.parts), words=str(words))
        return Assignment("request", user, "", limit_for(words) if "{words}" in wording else _usual_limit(draw), seed)

    def _section(self, form: Form, topic: str, draw: random.Random, seed: int) -> Assignment:
        """As a writer fills in the desk's fields, some of which stay empty."""
        number, words = draw.randrange(len(form.parts)), draw.choice(WORDS)
        title = draw.choice([_capital(topic), _capital(topic), _title_case(topic), _capital(topic), ""])
        named = draw.random() < 0.85
        briefs = [self._brief(form, topic, draw) if not named or draw.random() < 0.85 else "" for _ in range(2)]
        parts = [*form.parts, ""] if named else [""] * (len(form.parts) + 1)
        sequel = ""
        if number + 1 < len(form.parts):
            sequel = section_task(title, parts[number + 1], briefs[1], words)
        user = section_task(title, parts[number], briefs[0], words)
        return Assignment("section", user, "", limit_for(words), seed, _least(words, draw), words, sequel)

    def _brief(self, form: Form, topic: str, draw: random.Random) -> str:
        return _capital(self._filled(draw.choice(self._lists.briefs), form, topic, draw))

    def _filled(self, wording: str, form: Form, topic: str, draw: random.Random, **more: str) -> str:
        return wording.format(form=form.name, topic=topic, manner=draw.choice(self._lists.manners), **more)


def section_task(title: str, part: str, brief: str, words: int, before: str = "") -> str:
    """How the desk asks for a section: `part` of the document `title`, after a section that ends with `before`."""
    wanted = asking.task(title, part, brief, words)
    return following(before, wanted) if before else wanted


def following(before: str, task: str) -> str:
    """A task for which the model reads the end of the section before."""
    return f"This was written before:\n\n{before}\n\n{task}"


def limit_for(words: int) -> int:
    """Most tokens of a text of so many words: room for a third more, in steps of 64, so that batches end together."""
    return min(LONG, max(160, -(-round(1.75 * words) // 64) * 64))


def _least(words: int, draw: random.Random) -> int:
    """For one text in two: as many tokens as words are wanted, which is about three quarters of it."""
    return max(0, min(words, CONTINUED // 2)) if draw.random() < 0.5 else 0


def _usual_limit(draw: random.Random) -> int:
    return LONG if draw.randrange(LONG_ONE_IN) == 0 else SHORT


# ------------------------------------------------------------------------------------------------ the second round


def second(first: Assignment, text: str, ended: bool, seed: int) -> Assignment | None:
    """An assignment that goes on from what was written for `first`; None where the text has no sentence to cut at."""
    draw = random.Random(seed)
    whole = text.rstrip() if ended else _whole_sentences(text)
    ending = ending_of(whole.strip())
    if first.sequel and ending and draw.random() < 0.5:
        user, limit = following(ending, first.sequel), min(first.limit, CONTINUED)
        return Assignment("next", user, "", limit, seed, _least(first.words, draw), first.words)
    cuts = [start for start in _starts(text) if 0.1 * len(text) <= start <= 0.85 * len(text)]
    if not cuts:
        return None
    so_far = text[: draw.choice(cuts)].strip()
    if not so_far:
        return None
    least = _least(first.words - count_words(so_far), draw)
    return Assignment("continue", first.user, so_far, min(first.limit, CONTINUED), seed, least, first.words)


def ending_of(text: str) -> str:
    """The longest end of at most CONTEXT_WORDS words that starts with a sentence; with a word where there is none."""
    borders = (0, *_starts(text)), (match.end() for match in re.finditer(r"\s+", text))
    for start in chain(*borders):
        if 0 < count_words(text[start:]) <= CONTEXT_WORDS:
            return text[start:]
    return ""


def _whole_sentences(text: str) -> str:
    """A text that was cut off, without the sentence it was cut off in."""
    starts = _starts(text)
    return text[: starts[-1]].rstrip() if starts else ""


def _starts(text: str) -> list[int]:
    return [match.end() for match in SENTENCE_START.finditer(text)]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _title_case(text: str) -> str:
    return _capital(" ".join(word if word in _SMALL_WORDS else _capital(word) for word in text.split(" ")))
