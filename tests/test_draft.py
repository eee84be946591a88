"""Rules of the pure edits: the text is always the writer's, and origins survive outside of what was changed."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.draft import (
    SURE_CHARS,
    Block,
    Document,
    Section,
    changed_blocks,
    count_words,
    covered,
    join,
    one_line,
    put_span,
    put_text,
    replace_text,
    shared_prefix,
    shared_suffix,
    span,
    storable,
    words_more,
)
from model.contract import Dial

DIAL = Dial(8, 2, "threshold", 0.5)


def model(text: str, **more: object) -> Block:
    facts = {"tokens": (1, 2, 3), "seed": 7, "dial": DIAL, "nll": 1.5, "nfe": 3, "seconds": 0.2, "job": "j"}
    return Block(text, "model", **{**facts, **more})  # type: ignore[arg-type]


def writer(text: str) -> Block:
    return Block(text, "writer")


def edited(text: str) -> Block:
    return Block(text, "edited", seed=7, dial=DIAL, nfe=3, seconds=0.2, job="j")


# Few letters, so that prefixes, suffixes and repeats meet in every possible way.
letters = st.text("ab ", max_size=6)
long_letters = st.text("abc ", min_size=SURE_CHARS, max_size=14)
a_block = st.builds(model, letters | long_letters) | st.builds(writer, letters) | st.builds(edited, letters)
some_blocks = st.lists(a_block, max_size=7).map(tuple)
any_text = st.text() | st.text("ab ", max_size=30)


@st.composite
def an_edit(draw: st.DrawFn) -> tuple[tuple[Block, ...], int, int, str]:
    """Blocks and what a writer does to their text: the characters from start to stop become `put`."""
    blocks = draw(some_blocks)
    length = len(join(blocks))
    start = draw(st.integers(0, length))
    stop = draw(st.integers(start, length))
    return blocks, start, stop, draw(letters)


@given(some_blocks, any_text)
def test_the_text_is_always_what_the_writer_made_of_it(blocks: tuple[Block, ...], text: str) -> None:
    made = replace_text(blocks, text)
    assert join(made) == text
    assert all(block.text or block in blocks for block in made), "made an empty block"


@given(an_edit())
@example(((model("aaaa"), model("aaaa")), 4, 4, "aaaa"))
@example(((writer("a"), model("b"), writer("c")), 1, 2, ""))
def test_blocks_outside_the_changed_span_stay_the_same_objects(
    edit: tuple[tuple[Block, ...], int, int, str],
) -> None:
    blocks, start, stop, put = edit
    old = join(blocks)
    new = old[:start] + put + old[stop:]
    made = replace_text(blocks, new)
    first, last, _, _ = changed_blocks(blocks, new)
    # A writer's block beside the change takes in the writer's new words; all others are untouched.
    left = first - 1 if first and blocks[first - 1].author == "writer" else first
    right = last + 1 if last < len(blocks) and blocks[last].author == "writer" else last
    assert all(a is b for a, b in zip(blocks[:left], made, strict=False))
    kept = blocks[right:]
    assert len(made) >= left + len(kept)
    assert all(a is b for a, b in zip(kept, made[len(made) - len(kept) :], strict=True))


@given(an_edit())
def test_what_is_marked_as_the_models_was_the_models_before_and_a_writers_text_stays_a_writers(
    edit: tuple[tuple[Block, ...], int, int, str],
) -> None:
    blocks, start, stop, put = edit
    old = join(blocks)
    made = replace_text(blocks, old[:start] + put + old[stop:])
    assert all(block in blocks for block in made if block.author == "model")
    if all(block.author == "writer" for block in blocks):
        assert all(block.author == "writer" for block in made)


@given(some_blocks)
def test_an_edit_that_changes_nothing_returns_the_same_blocks(blocks: tuple[Block, ...]) -> None:
    made = replace_text(blocks, join(blocks))
    assert len(made) == len(blocks)
    assert all(a is b for a, b in zip(made, blocks, strict=True))


def test_typing_at_the_end_makes_one_writers_block_not_one_for_each_key() -> None:
    blocks: tuple[Block, ...] = (model("Once upon"),)
    for length in range(1, 12):
        blocks = replace_text(blocks, "Once upon" + " a time, so"[:length])
    assert blocks == (model("Once upon"), writer(" a time, so"))


def test_words_put_between_two_blocks_of_the_model_are_the_writers() -> None:
    blocks = (model("The sea"), model(" was calm."))
    assert replace_text(blocks, "The sea, black as ink, was calm.") == (
        model("The sea"),
        writer(", black as ink,"),
        model(" was calm."),
    )


def test_a_change_inside_a_block_of_the_model_makes_it_edited_and_keeps_how_it_was_written() -> None:
    blocks = (model("The sea"), model(" was calm.", seed=9), model(" He slept."))
    left, middle, right = replace_text(blocks, "The sea was not calm. He slept.")
    assert (left, right) == (blocks[0], blocks[2])
    assert middle == Block(" was not calm.", "edited", seed=9, dial=DIAL, nfe=3, seconds=0.2, job="j")


def test_a_cut_across_two_blocks_leaves_both_their_origins() -> None:
    blocks = (model("one two", seed=1), model(" three four", seed=2))
    made = replace_text(blocks, "one four")
    assert [(block.text, block.author, block.seed) for block in made] == [("one ", "edited", 1), ("four", "edited", 2)]


def test_a_long_text_of_the_writer_stays_the_writers_when_the_change_reaches_into_the_models() -> None:
    blocks = (writer("My own long words. "), model("And its words."))
    made = replace_text(blocks, "My own long thoughts; its words.")
    assert [(block.text, block.author) for block in made] == [
        ("My own long thoughts;", "writer"),
        (" its words.", "edited"),
    ]


def test_a_block_written_over_as_a_whole_is_the_writers() -> None:
    assert replace_text((model("abc"), model("def"), model("ghi")), "abcXYZghi") == (
        model("abc"),
        writer("XYZ"),
        model("ghi"),
    )


def test_deleting_everything_leaves_no_blocks() -> None:
    assert replace_text((model("abc"), writer("def")), "") == ()


def test_deleting_the_block_between_two_of_the_writer_joins_them() -> None:
    assert replace_text((writer("a"), model("bbb"), writer("c")), "ac") == (writer("ac"),)


def test_blocks_between_two_changes_in_one_save_keep_their_origin() -> None:
    blocks = tuple(model(f" This is sentence {number}.", seed=number) for number in range(200))
    text = join(blocks).replace("sentence 3.", "line 3.").replace("sentence 180.", "line 180.")
    made = replace_text(blocks, text)
    assert join(made) == text
    assert {block.seed for block in made if block.author == "model"} == set(range(200)) - {3, 180}
    assert [block.seed for block in made if block.author == "edited"] == [3, 180]


def test_a_block_that_now_stands_twice_between_two_changes_is_not_guessed() -> None:
    (made,) = replace_text((model("said the cat"),), "I said the cat and said the cat too")
    assert made.author == "writer"


def test_replacing_a_word_everywhere_edits_only_the_blocks_it_stands_in() -> None:
    blocks = tuple(model(f" Number {number} is {'odd' if number % 2 else 'even'}.") for number in range(300))
    made = replace_text(blocks, join(blocks).replace("odd", "uneven"))
    assert len(made) == 300
    assert [block.author for block in made] == ["model", "edited"] * 150


@st.composite
def a_span(draw: st.DrawFn) -> tuple[tuple[Block, ...], int, int]:
    blocks = draw(some_blocks)
    start = draw(st.integers(0, len(join(blocks))))
    return blocks, start, draw(st.integers(start, len(join(blocks))))


def outside(blocks: tuple[Block, ...], start: int, end: int) -> tuple[list[Block], list[Block]]:
    """The blocks that lie as a whole before the span, and those that lie behind it."""
    left, right, place = [], [], 0
    for block in blocks:
        stop = place + len(block.text)
        if stop <= start:
            left.append(block)
        elif place >= end:
            right.append(block)
        place = stop
    return left, right


@given(a_span(), some_blocks)
def test_blocks_put_over_a_span_leave_all_others_the_same_objects(
    place: tuple[tuple[Block, ...], int, int], new: tuple[Block, ...]
) -> None:
    blocks, start, end = place
    made = put_span(blocks, start, end, new)
    text = join(blocks)
    assert join(made) == text[:start] + join(new) + text[end:]
    left, right = outside(blocks, start, end)
    assert all(a is b for a, b in zip(left, made, strict=False))
    assert all(a is b for a, b in zip(reversed(right), reversed(made), strict=False))
    assert len(made) >= len(left) + len(right)
    written = [block for block in new if block.author != "writer"]
    assert [block for block in made if any(block is one for one in written)] == written


def test_a_block_that_is_cut_keeps_its_author_and_origin_on_both_sides() -> None:
    left, put, right = put_span((model("The sea was calm."),), 8, 11, (model("lay", seed=9),))
    assert (left.text, put.text, right.text) == ("The sea ", "lay", " calm.")
    for piece in (left, right):
        assert piece == Block(piece.text, "model", seed=7, dial=DIAL, nfe=3, seconds=0.2, job="j")


def test_a_passage_of_the_writer_goes_on_on_both_sides_of_a_block() -> None:
    made = put_span((writer("one two three"),), 4, 7, (model("2"),))
    assert made == (writer("one "), model("2"), writer(" three"))
    assert put_span(made, 4, 5, (writer("two"),)) == (writer("one "), writer("two"), writer(" three"))
    assert put_span((writer("one two three"),), 3, 7, ()) == (writer("one three"),)


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (2, 1), (0, 4), (4, 4)])
def test_a_span_outside_of_the_text_is_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="characters"):
        put_span((writer("abc"),), start, end, ())


@given(some_blocks, st.text("ab ", min_size=1, max_size=3), letters)
def test_words_replaced_everywhere_change_only_the_blocks_they_stand_in(
    blocks: tuple[Block, ...], old: str, new: str
) -> None:
    text = join(blocks)
    spans = [found.span() for found in re.finditer(re.escape(old), text)]
    made = put_text(blocks, spans, new)
    assert join(made) == text.replace(old, new)
    place = 0
    for block in blocks:
        stop = place + len(block.text)
        if not any(start < stop and end > place for start, end in spans):
            assert any(block is other for other in made)
        place = stop
    assert all(block in blocks for block in made if block.author == "model")


def test_words_replaced_belong_to_the_block_in_which_they_begin() -> None:
    blocks = (writer("my se"), model("a and my sea"), writer("."))
    made = put_text(blocks, [(3, 6), (14, 17)], "lake")
    assert [(block.text, block.author) for block in made] == [
        ("my lake", "writer"),
        (" and my lake", "edited"),
        (".", "writer"),
    ]


@given(an_edit())
def test_a_span_is_the_least_that_changed(edit: tuple[tuple[Block, ...], int, int, str]) -> None:
    blocks, start, stop, put = edit
    old = join(blocks)
    new = old[:start] + put + old[stop:]
    place, before, after = span(old, new)
    assert old[:place] + after + old[place + len(before) :] == new
    assert old[place : place + len(before)] == before
    assert len(before) <= stop - start
    assert len(after) <= len(put)


@given(st.text("ab -'’\n"), st.data(), st.text("ab -'’\n", max_size=8))
def test_words_are_counted_on_as_if_they_were_counted_anew(text: str, data: st.DataObject, new: str) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    more = words_more(text, start, end, new)
    assert more == count_words(text[:start] + new + text[end:]) - count_words(text)


@given(some_blocks, some_blocks, any_text)
def test_after_a_save_an_editor_learns_which_blocks_its_text_stands_for(
    seen: tuple[Block, ...], later: tuple[Block, ...], text: str
) -> None:
    blocks = (*replace_text(seen, text), *(block for block in later if block.text))
    assert join(blocks[: covered(blocks, text)]) == text


@given(st.text("ab", max_size=20), st.text("ab", max_size=20))
def test_shared_ends_are_as_long_as_counted_one_by_one(a: str, b: str) -> None:
    left = 0
    while left < min(len(a), len(b)) and a[left] == b[left]:
        left += 1
    right = 0
    while right < min(len(a), len(b)) - left and a[-1 - right] == b[-1 - right]:
        right += 1
    assert shared_prefix(a, b) == left
    assert shared_suffix(a, b, min(len(a), len(b)) - left) == right


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        (" … — !", 0),
        ("One two.", 2),
        ("It's a well-known dog’s life", 5),
        ("snake_case 3.14", 3),
        ("rock-'n'-roll", 3),
        ("été straße 東京 שלום عالم", 5),
        ("<b>bold</b>", 3),
        ("🙂 smile 🙂", 1),
    ],
)
def test_words_are_counted_alike_everywhere(text: str, words: int) -> None:
    assert count_words(text) == words


@given(st.text(st.characters()))
def test_what_can_be_stored_stays_as_it_is(text: str) -> None:
    encodable = re.sub("[\0\ud800-\udfff]", "x", text)
    assert storable(encodable) == encodable


@given(st.text(st.characters() | st.sampled_from(["\0", "\ud83d", "\ude00", "\ud800"])))
def test_everything_becomes_storable_without_a_character_lost(text: str) -> None:
    made = storable(text)
    assert len(made.encode("utf-16-le")) == len(text.encode("utf-16-le", "surrogatepass"))
    assert "\0" not in made
    assert storable(made) == made


def test_two_surrogates_that_belong_together_become_their_character() -> None:
    assert storable("a\ud83d\ude00b\ud83d") == "a😀b\ufffd"


@given(st.text())
def test_a_title_is_one_line_with_the_same_words(title: str) -> None:
    line = one_line(title)
    assert len(line.splitlines()) <= 1
    assert line.split() == storable(title).split()


def test_a_section_has_the_text_and_words_of_its_blocks() -> None:
    section = Section(1, 1, "T", "", 100, "draft", 0, (model("Half a wo"), model("rd more.")))
    assert section.text == "Half a word more."
    assert section.words == 4
    assert Document(1, "D", 0, (section,), "", "").sections[0].text == section.text
