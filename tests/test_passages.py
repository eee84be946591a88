"""Rules of what an action is about: whole words, the model's blocks, every character of the passage in some piece."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.draft import Block, Section
from app.passages import KINDS, MOST_WORDS, BadPassage, Kind, Passage, passage
from model.contract import Piece


def section(*blocks: str | Block) -> Section:
    made = tuple(block if isinstance(block, Block) else Block(block, "model", tokens=(1, 2)) for block in blocks)
    return Section(1, 1, "A title", "", 100, "draft", 0, made)


def said(passage: Passage) -> str:
    """The passage as it stands now, holes and all."""
    return "".join(piece.was if piece.text is None else piece.text for piece in passage.pieces)


def holes(passage: Passage) -> list[str]:
    return [piece.was for piece in passage.pieces if piece.text is None]


TEXT = section("The storm came ", "over the old ", "harbour at night.")


def test_a_selection_grows_to_whole_words() -> None:
    found = passage(TEXT, "rewrite", 6, 13, strength=0.5)
    assert (found.before, holes(found), found.after) == ("The ", ["storm came"], " over the old harbour at night.")
    assert (found.start, found.end, found.strength) == (4, 14, 0.5)


def test_a_block_is_written_again_to_fit_what_follows_it() -> None:
    found = passage(TEXT, "reroll", 17, 17)
    assert (found.before, holes(found), found.after) == ("The storm came ", ["over the old"], " harbour at night.")
    assert found.quick
    assert not passage(TEXT, "rewrite", 15, 27).quick


def test_a_block_that_ends_inside_a_word_takes_the_word() -> None:
    found = passage(section("The light", "house stood."), "reroll", 2, 2)
    assert holes(found) == ["The lighthouse"]


def test_at_the_end_of_the_text_the_last_block_is_meant() -> None:
    assert holes(passage(TEXT, "reroll", len(TEXT.text), len(TEXT.text))) == ["harbour at night."]


def test_weak_words_are_looked_for_in_the_selection_or_else_in_the_block() -> None:
    block, chosen = passage(TEXT, "fix", 17, 17), passage(TEXT, "fix", 4, 19)
    assert (holes(block), holes(chosen)) == (["over the old"], ["storm came over"])
    assert block.weakest
    assert 0 < block.strength < 1


def test_a_seam_is_the_words_on_both_sides_of_the_nearest_border() -> None:
    assert holes(passage(TEXT, "seam", 16, 16)) == ["The storm came over the old harbour"]


def test_one_word_has_alternatives() -> None:
    found = passage(TEXT, "alternatives", 6, 6)
    assert (holes(found), found.after[:5]) == (["storm"], " came")


def test_pins_stay_where_they_are() -> None:
    found = passage(TEXT, "pins", 0, 31, pins=[(4, 9), (20, 23)])
    assert found.pieces == (
        Piece(None, was="The"),
        Piece(" storm"),
        Piece(None, was=" came over"),
        Piece(" the"),
        Piece(None, was=" old harbour"),
    )


@pytest.mark.parametrize(
    ("text", "place", "before", "pieces", "after"),
    [
        ("One.\n\nTwo.", 5, "One.", ("\n\n", None, "\n\n"), "Two."),
        ("One. Two.", 4, "One.", (" ", None, " "), "Two."),
        ("Two.", 0, "", (None, " "), "Two."),
        ("One.\n", 5, "One.", ("\n\n", None), ""),
    ],
)
def test_what_is_filled_in_is_a_paragraph_between_paragraphs_and_a_sentence_between_sentences(
    text: str, place: int, before: str, pieces: tuple[str | None, ...], after: str
) -> None:
    found = passage(section(text), "infill", place, place, words=20)
    assert (found.before, tuple(piece.text for piece in found.pieces), found.after) == (before, pieces, after)
    assert [piece.words for piece in found.pieces if piece.text is None] == [20]


def test_the_words_for_what_cannot_be_done() -> None:
    yours = section(Block("My own words.", "writer"))
    whole = len(TEXT.text)
    bad: list[tuple[Section, Kind, int, int, dict[str, int]]] = [
        (TEXT, "rewrite", 5, 99, {}),
        (TEXT, "rewrite", 9, 4, {}),
        (TEXT, "alternatives", 0, 14, {}),
        (TEXT, "infill", 0, 9, {"words": 9}),
        (TEXT, "infill", 3, 3, {}),
        (section(""), "infill", 0, 0, {"words": 9}),
        (section("  "), "rewrite", 1, 1, {}),
        (yours, "reroll", 3, 3, {}),
        (section("One piece."), "seam", 3, 3, {}),
        (section("word " * (MOST_WORDS + 1)), "rewrite", 0, 5 * MOST_WORDS + 5, {}),
    ]
    for where, kind, start, end, more in bad:
        with pytest.raises(BadPassage) as refused:
            passage(where, kind, start, end, **more)  # type: ignore[arg-type]
        assert str(refused.value).endswith("."), refused.value
    with pytest.raises(BadPassage, match="kept"):
        passage(TEXT, "pins", 0, whole, pins=[(0, whole)])
    with pytest.raises(BadPassage, match="outside"):
        passage(TEXT, "pins", 0, 9, pins=[(12, 14)])


BLOCKS = st.lists(st.text("ab .\n", min_size=1, max_size=9), min_size=1, max_size=6)


@given(BLOCKS, st.sampled_from(KINDS), st.data())
def test_a_passage_is_all_there_and_nothing_around_it_is_touched(
    texts: Sequence[str], kind: Kind, data: st.DataObject
) -> None:
    text = "".join(texts)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    pin = data.draw(st.integers(start, end))
    try:
        found = passage(section(*texts), kind, start, end, words=5, strength=0.5, pins=[(pin, pin)])
    except BadPassage:
        return
    assert any(piece.text is None for piece in found.pieces)
    assert found.before == text[: found.start]
    if kind == "infill":
        assert not text[found.start : found.end].strip()
        assert found.after == text[found.end :]
    else:
        assert said(found) == text[found.start : found.end]
        assert found.after == text[found.end :]
        for edge in (found.start, found.end):
            assert edge in (0, len(text)) or text[edge - 1].isspace() or text[edge].isspace()
