"""What is a whole sentence, and what is wrong with one that ends a text: pure questions about text."""

from __future__ import annotations

import re

CLOSERS = (
    *(mark + rest for mark in ".!?" for rest in ("", '"', "”", "'", "’", ")", "*", "**", '")', "”)")),
    *(mark + rest for mark in "。！？" for rest in ("", "」", "”")),
)
"""What a sentence may be closed with, the plain full stop first."""

RUN = 4
"""Words in a row that a good sentence does not have in common with the text before it."""

LOOKED_AT = 4000
"""Characters at the end of a text that are looked at."""

_CLOSED = re.compile(r"[.!?…。！？][\"'”’»」)\]*_]*$")
_NO_SENTENCE = re.compile(
    r"(?:^|[\s(\"“])(?:Mr|Mrs|Ms|Dr|Prof|St|Mt|Jr|Sr|No|vs|etc|e\.g|i\.e|[A-Z]|\d{1,3})\.$|(?:\.\.\.|…)$"
)
_BORDER = re.compile(r"[.!?…][\"'”’»)\]*_]*\s+|[。！？][」”’)]*|\n")
_ENDS_WITH_A_WORD = re.compile(r"(?:^|[\s(\"“‘'*_—–\-。、！？「])[^\W\d_]+(?:['’][^\W\d_]+)*[*_)\]]*$")
_HEADING = re.compile(r"\s*(?:#{1,6}\s|(?:\*\*[^*]*\*\*|__[^_]*__)\W*$)")
_MARKER = re.compile(r"\s*(?:[-*+•]|\(?(?:\d+|[A-Za-z]|[ivxIVX]+)[.)])(?:\s+|$)")
_PAIRS = (("“", "”"), ("«", "»"), ("「", "」"), ("(", ")"), ("[", "]"))
_WORD = re.compile(r"\w+")


def closes_sentence(text: str) -> bool:
    """Whether a sentence is over at the end of the text; an abbreviation, a list's number or an ellipsis is no end."""
    end = text[-64:].rstrip()
    return _CLOSED.search(end) is not None and _NO_SENTENCE.search(end[-12:]) is None


def ends_with_a_word(text: str) -> bool:
    """Whether a closing mark could come next: behind letters; behind digits or a part of a name it may mean a point."""
    return _ENDS_WITH_A_WORD.search(text[-64:]) is not None


def is_no_end(text: str) -> bool:
    """Whether the last line is a heading or has no words, or leaves a quotation, a bracket or an emphasis open."""
    end = text[-LOOKED_AT:].rstrip()
    line = end[end.rfind("\n") + 1 :]
    body = line[marker.end() :] if (marker := _MARKER.match(line)) else line
    odd = (body.count("**"), body.replace("**", "").count("*"), body.count('"'), body.count("`"))
    return (
        _HEADING.match(line) is not None
        or _WORD.search(body) is None
        or any(count % 2 for count in odd)
        or any(body.count(left) > body.count(right) for left, right in _PAIRS)
    )


def is_said_again(text: str) -> bool:
    """Whether at least half of the last sentence stood in the text before, or it goes round in circles."""
    text = text[-LOOKED_AT:].rstrip()
    start = max((border.end() for border in _BORDER.finditer(text) if border.end() < len(text)), default=0)
    words, before = _WORD.findall(text[start:].lower()), _WORD.findall(text[:start].lower())
    if len(words) < RUN:
        return words == before[len(before) - len(words) :]
    seen = set(_runs(before))
    again = 0
    for run in _runs(words):
        again += run in seen
        seen.add(run)
    return 2 * again >= len(words) - RUN + 1


def _runs(words: list[str]) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + RUN]) for at in range(len(words) - RUN + 1)]
