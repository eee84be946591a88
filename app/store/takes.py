"""Takes: what the model offered for a passage, kept for ever, and put in the passage's place when one is chosen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import Any

from app.draft import Block, Section, put_span, shared_prefix, storable
from app.records import Exchange, InvalidValue, NotFound, PassageChanged, Take, TakeText
from app.store.text import change_text
from app.store.transaction import Transaction, Verbs, possible
from app.store.tree import Change

AROUND_CHARS = 40
"""On either side of a passage so much is noted, to find it again."""

Around = tuple[str, str] | None
"""What stood left and right of a passage; None: not known."""


class TakeVerbs(Verbs):
    def add_take(
        self,
        section_id: int,
        kind: str,
        start: int,
        end: int,
        before: str,
        candidates: Sequence[TakeText],
        *,
        job: str | None = None,
        text: str | None = None,
    ) -> Take:
        """Keeps what the model offered for the characters start … end, where `before` stood. Changes no text.

        text  the section's whole text when the model was asked; None: as it is now. Where the passage is not a word's
              length or stands twice, it is found again by what stands around it in here.
        Raises NotFound, InvalidValue.
        """
        before = storable(before)
        if not candidates or not 0 <= start <= end or end - start != len(before):
            raise InvalidValue("A take needs a passage and at least one text for it; ask the model again.")
        offered = tuple(TakeText(storable(candidate.text), candidate.nll) for candidate in candidates)
        with self._writing() as tx:
            section = tx.section(section_id)
            whole = section.text if text is None else storable(text)
            around = (whole[max(0, start - AROUND_CHARS) : start], whole[end : end + AROUND_CHARS])
            row = {"section_id": section_id, "at": tx.at, "kind": kind, "start": start, "stop": end, "before": before}
            about = {
                "around": json.dumps(around if whole[start:end] == before else None),
                "candidates": _candidates_json(offered),
                "job": job,
            }
            take_id = tx.insert("takes", {**row, **about})
            return Take(take_id, section_id, tx.at, kind, start, end, before, offered, None, job)

    def takes(self, section_id: int) -> list[Take]:
        """All takes of a section, the first one first. Raises NotFound."""
        with self._reading() as tx:
            tx.section(section_id)
            return [take for take, _ in _read(tx, "section_id = ?", section_id)]

    def take(self, take_id: int) -> Take:
        """Raises NotFound."""
        with self._reading() as tx:
            return _found(tx, take_id)[0]

    def choose_take(
        self, take_id: int, index: int, revision: int, changes: Sequence[Exchange] | None = None
    ) -> Section:
        """Puts a candidate in the place of the passage, or of the candidate that was chosen before.

        The passage is where it was, or where alone it stands now. The writer's words with which both begin or end stay
        the writer's; the rest is a block of the model, an edited one where the candidate is mixed.
        revision: the section's.
        changes: of the candidate only these are taken, and all else is as it was in the passage; they are in order.
        What comes of it is one more candidate. None: all of it is taken.
        Raises NotFound, InvalidValue, PassageChanged, StaleRevision.
        """
        with self._writing() as tx:
            take, around = _found(tx, take_id)
            if not 0 <= index < len(take.candidates):
                raise InvalidValue(f"This take has no candidate {index}; choose 0 to {len(take.candidates) - 1}.")
            section = tx.section(take.section_id)
            tx.expect_section(section, revision)
            candidates = take.candidates
            if changes is not None:
                candidates, index = _with_mix(take, index, changes)
            candidate = candidates[index]
            start, end = _place_of(take, around, section.text)
            chosen = [index, _candidates_json(candidates), take_id]
            tx.db.execute("UPDATE takes SET chosen = ?, candidates = ? WHERE id = ?", chosen)
            if section.text[start:end] == candidate.text:
                return section
            blocks = _put(section, start, end, candidate, take.job)
            about = {"take": take_id, "candidate": index}
            return change_text(tx, section, blocks, Change("take"), "take chosen", about)


def mixed(before: str, candidate: str, changes: Iterable[Exchange]) -> str:
    """The passage with some changes taken from a candidate. Raises InvalidValue where they do not fit the texts."""
    parts, at, reached = [], 0, 0
    for start, end, first, last in changes:
        if not (at <= start <= end <= len(before) and reached <= first <= last <= len(candidate)):
            raise InvalidValue("These changes are not of this take; look at the take again and choose anew.")
        parts += [before[at:start], candidate[first:last]]
        at, reached = end, last
    return "".join(parts) + before[at:]


def _with_mix(take: Take, index: int, changes: Sequence[Exchange]) -> tuple[tuple[TakeText, ...], int]:
    """The take's candidates with the one that these changes make, and where that stands among them."""
    text = mixed(take.before, take.candidates[index].text, changes)
    if text == take.before:
        raise InvalidValue("Every change is left as it was; take at least one, or keep the old words.")
    # The candidate itself is the first to be asked: it may be all of it that is taken.
    for known in (index, *range(len(take.candidates))):
        if take.candidates[known].text == text:
            return take.candidates, known
    return (*take.candidates, TakeText(text, None, mixed=True)), len(take.candidates)


def _found(tx: Transaction, take_id: int) -> tuple[Take, Around]:
    """Raises NotFound."""
    found = _read(tx, "id = ?", take_id) if possible(take_id) else []
    if not found:
        raise NotFound("This take was never here; look at the section's takes again.")
    return found[0]


def _read(tx: Transaction, where: str, value: int) -> list[tuple[Take, Around]]:
    rows = tx.db.execute(
        "SELECT id, section_id, at, kind, start, stop, before, candidates, chosen, job, around "
        f"FROM takes WHERE {where} ORDER BY id",
        [value],
    ).fetchall()
    return [(_take(row), _around(row[-1])) for row in rows]


def _take(row: tuple[Any, ...]) -> Take:
    *place, candidates, chosen, job, _ = row
    texts = tuple(TakeText(*one) for one in json.loads(candidates))
    return Take(*(*place, texts, chosen, job))


def _candidates_json(candidates: Iterable[TakeText]) -> str:
    return json.dumps([astuple(candidate) for candidate in candidates], ensure_ascii=False)


def _around(text: str) -> Around:
    left_right = json.loads(text)
    return None if left_right is None else (left_right[0], left_right[1])


def _place_of(take: Take, around: Around, text: str) -> tuple[int, int]:
    """Where the passage stands in the section's text now: (start, end). Raises PassageChanged.

    Looks first for what stood around it, at its old place and then anywhere; then for the passage alone.
    """
    standing = {take.before} if take.chosen is None else {take.before, take.candidates[take.chosen].text}
    # The longer one first: it may begin with the shorter one.
    passages = sorted(standing, key=len, reverse=True)
    for left, right in [around, ("", "")] if around else [("", "")]:
        known = [passage for passage in passages if left or right or passage.strip()]
        for passage in known:
            if text.startswith(left + passage + right, take.start - len(left)):
                return take.start, take.start + len(passage)
        for passage in known:
            whole = left + passage + right
            at = text.find(whole)
            if at >= 0 and text.find(whole, at + 1) < 0:
                return at + len(left), at + len(left) + len(passage)
    raise PassageChanged(
        "The passage that this take was written for has changed since; the take is kept, but has no place any more."
    )


def _put(section: Section, start: int, end: int, candidate: TakeText, job: str | None) -> tuple[Block, ...]:
    old, new = section.text[start:end], candidate.text
    first, last = _writers(section.blocks, start, end)
    left = _shared_words(old, new, first)
    right = _shared_words(old[::-1], new[::-1], min(last, len(old) - left, len(new) - left))
    text = new[left : len(new) - right]
    blocks = [Block(text, "edited" if candidate.mixed else "model", nll=candidate.nll, job=job)] if text else []
    return put_span(section.blocks, start + left, end - right, blocks)


def _writers(blocks: Iterable[Block], start: int, end: int) -> tuple[int, int]:
    """How many characters at the beginning and at the end of the span are in writer's blocks without a break."""
    first, last, place, only = 0, 0, 0, True
    for block in blocks:
        inside = min(place + len(block.text), end) - max(place, start)
        place += len(block.text)
        if inside <= 0:
            continue
        if block.author == "writer":
            last += inside
            first += inside if only else 0
        else:
            last, only = 0, False
    return first, last


def _shared_words(a: str, b: str, most: int) -> int:
    """Characters of the longest beginning of both texts that ends inside a word of neither, at most `most`."""
    length = min(shared_prefix(a, b), most)
    while _inside_a_word(a, length) or _inside_a_word(b, length):
        length -= 1
    return length


def _inside_a_word(text: str, place: int) -> bool:
    return 0 < place < len(text) and not text[place - 1].isspace() and not text[place].isspace()
