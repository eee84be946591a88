"""Rules of takes: all are kept, one is put where its passage stands now, nothing else is touched."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.draft import Block, Section
from app.store import InvalidValue, NotFound, PassageChanged, StaleRevision, Store, Take, TakeText
from app.store.takes import Exchange, mixed
from tests.quick_store import quick_store

TEXT = "The sea was calm. The old man slept. The sea was black."


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(quick_store(tmp_path / "galley.db")) as store:
        yield store


@pytest.fixture
def section(store: Store) -> Section:
    """Three blocks of the model, one for each sentence."""
    section = store.create_document("D").sections[0]
    for number, text in enumerate(["The sea was calm.", " The old man slept.", " The sea was black."]):
        _, section = store.append_block(section.id, Block(text, "model", (number,), number, nll=1.0, job="first"))
    return section


def offer(store: Store, section: Section, passage: str, *texts: str, start: int | None = None) -> Take:
    start = section.text.index(passage) if start is None else start
    candidates = [TakeText(text, -0.5 * index) for index, text in enumerate(texts)]
    return store.add_take(section.id, "rewrite", start, start + len(passage), passage, candidates, job="j")


def choose(store: Store, take: Take, index: int = 0, changes: Sequence[Exchange] | None = None) -> Section:
    return store.choose_take(take.id, index, store.section(take.section_id).revision, changes)


def test_a_take_changes_nothing_until_it_is_chosen(store: Store, section: Section, tmp_path: Path) -> None:
    take = offer(store, section, "old man", "young girl", "cat")
    assert store.section(section.id) == section
    assert store.takes(section.id) == [store.take(take.id)] == [take]
    assert (take.kind, take.start, take.end, take.before, take.chosen, take.job) == (
        "rewrite",
        22,
        29,
        "old man",
        None,
        "j",
    )
    assert take.candidates == (TakeText("young girl", 0.0), TakeText("cat", -0.5))
    with contextlib.closing(Store(tmp_path / "galley.db")) as other:
        assert other.takes(section.id) == [take]


def test_a_chosen_take_is_a_block_of_the_model_and_one_step_to_undo(store: Store, section: Section) -> None:
    take = offer(store, section, "old man", "young girl", "cat")
    chosen = choose(store, take, 1)
    assert [(block.text, block.author, block.job) for block in chosen.blocks] == [
        ("The sea was calm.", "model", "first"),
        (" The ", "model", "first"),
        ("cat", "model", "j"),
        (" slept.", "model", "first"),
        (" The sea was black.", "model", "first"),
    ]
    assert (chosen.blocks[2].nll, chosen.revision) == (-0.5, section.revision + 1)
    assert (chosen.blocks[0], chosen.blocks[4]) == (section.blocks[0], section.blocks[2])
    assert store.takes(section.id)[0].chosen == 1
    assert [version.kind for version in store.versions(section.id)][-1] == "take"
    assert store.undo(section.id, chosen.revision).blocks == section.blocks


def test_another_candidate_takes_the_place_of_the_one_chosen_before(store: Store, section: Section) -> None:
    take = offer(store, section, "old man", "old man and his dog", "cat")
    assert choose(store, take, 0).text == TEXT.replace("old man", "old man and his dog")
    assert choose(store, take, 1).text == TEXT.replace("old man", "cat")
    assert choose(store, take, 0).text == TEXT.replace("old man", "old man and his dog")
    store.undo(section.id, store.section(section.id).revision)
    store.undo(section.id, store.section(section.id).revision)
    store.undo(section.id, store.section(section.id).revision)
    assert choose(store, take, 1).text == TEXT.replace("old man", "cat")


def test_what_stands_there_already_is_only_noted(store: Store, section: Section) -> None:
    take = offer(store, section, "old man", "old man", "cat")
    assert choose(store, take) == section
    assert store.takes(section.id)[0].chosen == 0


def test_a_passage_is_found_where_it_stands_now(store: Store, section: Section) -> None:
    take = offer(store, section, "old man", "cat")
    store.save_text(section.id, 0, 3, "At night it rained and rained. " + TEXT.replace("slept", "snored all night"))
    assert "The cat snored" in choose(store, take).text


def test_of_two_places_alike_what_stands_around_tells_which(store: Store, section: Section) -> None:
    take = offer(store, section, "The sea", "The lake", start=TEXT.rindex("The sea"))
    store.save_text(section.id, 0, 3, "At night it rained. " + TEXT)
    assert choose(store, take).text == "At night it rained. The sea was calm. The old man slept. The lake was black."


def test_a_passage_that_has_changed_or_stands_twice_is_one_sentence(store: Store, section: Section) -> None:
    take = offer(store, section, "The sea", "The lake", start=TEXT.rindex("The sea"))
    section = store.save_text(
        section.id, 0, 3, "The sky was grey. The sea was calm, the sea; and black was The sea. End."
    )
    with pytest.raises(PassageChanged, match="the take is kept"):
        choose(store, take)
    section = store.save_text(section.id, section.revision, len(section.blocks), "Nothing of it.")
    with pytest.raises(PassageChanged):
        choose(store, take)
    assert store.section(section.id) == section
    assert store.takes(section.id) == [take]


def test_something_filled_in_finds_its_gap_by_what_stands_around_it(store: Store, section: Section) -> None:
    at = TEXT.index(" The old man")
    take = offer(store, section, "", " It was night.", start=at)
    section = store.save_text(section.id, 0, 3, "It began so. " + TEXT)
    assert choose(store, take).text == "It began so. " + TEXT[:at] + " It was night." + TEXT[at:]
    other = offer(store, section, "", " Never.", start=at)
    store.save_text(section.id, store.section(section.id).revision, 0, "")
    store.undo(section.id, store.section(section.id).revision)
    store.save_text(section.id, store.section(section.id).revision, len(store.section(section.id).blocks), "All else.")
    with pytest.raises(PassageChanged):
        choose(store, other)


def test_a_gap_is_that_of_the_text_the_model_was_asked_about(store: Store, section: Section) -> None:
    at = TEXT.index(" The old man")
    store.save_text(section.id, 0, 3, "Typed since. " + TEXT)
    take = store.add_take(section.id, "infill", at, at, "", [TakeText(" It was night.", None)], text=TEXT)
    assert choose(store, take).text == "Typed since. " + TEXT[:at] + " It was night." + TEXT[at:]


def test_the_writers_words_that_stay_at_the_ends_stay_the_writers(store: Store) -> None:
    section = store.create_document("D").sections[0]
    section = store.save_text(section.id, 0, 0, "My own carpet is red. Yes.")
    take = offer(store, section, "My own carpet is red.", "My own cart is not red.")
    assert [(block.text, block.author) for block in choose(store, take).blocks] == [
        ("My own ", "writer"),
        ("cart is not", "model"),
        (" red. Yes.", "writer"),
    ]


def test_an_empty_candidate_takes_the_passage_out(store: Store, section: Section) -> None:
    assert choose(store, offer(store, section, " old", "")).text == TEXT.replace(" old", "")


def test_takes_for_a_section_that_is_gone_or_a_stale_page_are_refused(store: Store, section: Section) -> None:
    take = offer(store, section, "old man", "cat")
    with pytest.raises(StaleRevision):
        store.choose_take(take.id, 0, section.revision + 1)
    assert store.takes(section.id) == [take]
    for index in (-1, 1, 10**30):
        with pytest.raises(InvalidValue, match="choose 0 to 0"):
            store.choose_take(take.id, index, section.revision)
    for number in (0, -1, 999, 10**30):
        with pytest.raises(NotFound):
            store.choose_take(number, 0, 0)
        with pytest.raises(NotFound):
            store.take(number)
        with pytest.raises(NotFound):
            store.takes(number)
        with pytest.raises(NotFound):
            store.add_take(number, "rewrite", 0, 1, "a", [TakeText("b", None)])
    store.delete_section(section.id, section.revision)
    with pytest.raises(NotFound):
        store.choose_take(take.id, 0, section.revision)


@pytest.mark.parametrize(("start", "end", "before"), [(-1, 0, "a"), (3, 2, ""), (0, 3, "ab")])
def test_a_take_without_a_passage_is_refused(store: Store, section: Section, start: int, end: int, before: str) -> None:
    with pytest.raises(InvalidValue):
        store.add_take(section.id, "rewrite", start, end, before, [TakeText("b", None)])
    with pytest.raises(InvalidValue):
        store.add_take(section.id, "rewrite", 0, 3, "The", [])


def test_some_changes_of_a_take_are_one_more_candidate_and_one_step_to_undo(store: Store, section: Section) -> None:
    take = offer(store, section, "The old man slept", "The young dog slept", "A cat purred")
    chosen = choose(store, take, 0, [(8, 11, 10, 13)])  # man → dog, and not old → young
    assert chosen.text == TEXT.replace("old man", "old dog")
    assert [(block.text, block.author, block.job, block.nll) for block in chosen.blocks[1:4]] == [
        (" ", "model", "first", None),
        ("The old dog slept", "edited", "j", None),
        (".", "model", "first", None),
    ]
    assert chosen.revision == section.revision + 1
    kept = store.take(take.id)
    assert kept.candidates == (*take.candidates, TakeText("The old dog slept", None, mixed=True))
    assert kept.chosen == 2
    assert store.undo(section.id, chosen.revision).blocks == section.blocks


def test_a_mixed_candidate_is_one_like_the_others(store: Store, section: Section) -> None:
    take = offer(store, section, "old man", "young dog")
    choose(store, take, 0, [(4, 7, 6, 9)])
    assert choose(store, take, 0).text == TEXT.replace("old man", "young dog")
    assert choose(store, take, 1).text == TEXT.replace("old man", "old dog")
    assert choose(store, take, 0, [(0, 3, 0, 5)]).text == TEXT.replace("old man", "young man")
    assert choose(store, take, 1, [(4, 7, 4, 7)]).text == TEXT.replace("old man", "old dog")
    assert [(one.text, one.mixed) for one in store.take(take.id).candidates] == [
        ("young dog", False),
        ("old dog", True),
        ("young man", True),
    ]


def test_all_changes_of_a_take_are_the_take(store: Store, section: Section) -> None:
    take = offer(store, section, "old man", "young dog", "young dog")
    chosen = choose(store, take, 1, [(0, 3, 0, 5), (4, 7, 6, 9)])
    assert [(block.text, block.author) for block in chosen.blocks[2:3]] == [("young dog", "model")]
    assert store.take(take.id) == replace(take, chosen=1)


def test_the_writers_words_that_stay_around_a_mix_stay_the_writers(store: Store) -> None:
    section = store.create_document("D").sections[0]
    section = store.save_text(section.id, 0, 0, "My own carpet is red. Yes.")
    take = offer(store, section, "My own carpet is red.", "Your own cart is blue.")
    assert [(block.text, block.author) for block in choose(store, take, 0, [(7, 13, 9, 13)]).blocks] == [
        ("My own ", "writer"),
        ("cart", "edited"),
        (" is red. Yes.", "writer"),
    ]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([], "take at least one"),
        ([(0, 0, 0, 0)], "take at least one"),
        ([(0, 8, 0, 5)], "not of this take"),
        ([(0, 3, 0, 10)], "not of this take"),
        ([(-1, 3, 0, 5)], "not of this take"),
        ([(0, 3, -5, 5)], "not of this take"),
        ([(3, 0, 0, 5)], "not of this take"),
        ([(4, 7, 6, 9), (0, 3, 0, 5)], "not of this take"),
        ([(0, 3, 0, 5), (4, 7, 0, 5)], "not of this take"),
        ([(0, 3, 0, 5), (2, 7, 6, 9)], "not of this take"),
        ([(0, 3, 0, 10**30)], "not of this take"),
    ],
)
def test_changes_that_no_page_would_send_are_refused_and_nothing_is_kept(
    store: Store, section: Section, changes: list[Exchange], says: str
) -> None:
    take = offer(store, section, "old man", "young dog")
    with pytest.raises(InvalidValue, match=says):
        choose(store, take, 0, changes)
    assert store.section(section.id) == section
    assert store.takes(section.id) == [take]


def test_takes_from_before_there_were_mixed_ones_are_read(store: Store, section: Section, tmp_path: Path) -> None:
    take = offer(store, section, "old man", "young dog")
    with contextlib.closing(sqlite3.connect(tmp_path / "galley.db")) as rows, rows:
        rows.execute("UPDATE takes SET candidates = ?", ['[["young dog", 0.5]]'])
    assert store.take(take.id).candidates == (TakeText("young dog", 0.5, mixed=False),)


PARTS = st.lists(st.tuples(st.text("ab 🙂\n", max_size=4), st.text("ab 🙂\n", max_size=4), st.booleans()), max_size=8)


@given(PARTS)
def test_what_is_mixed_has_the_new_words_of_the_changes_that_are_taken_and_the_old_ones_of_all_else(
    parts: list[tuple[str, str, bool]],
) -> None:
    before, after = ("".join(part[side] for part in parts) for side in (0, 1))
    changes: list[Exchange] = []
    gone = come = 0
    for old, new, _ in parts:
        changes.append((gone, gone := gone + len(old), come, come := come + len(new)))
    taken = [change for change, (_, _, wanted) in zip(changes, parts, strict=True) if wanted]
    assert mixed(before, after, changes) == after
    assert mixed(before, after, []) == before
    assert mixed(before, after, taken) == "".join(new if wanted else old for old, new, wanted in parts)


@given(st.data())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_take_for_any_passage_changes_that_passage_alone(store: Store, data: st.DataObject) -> None:
    section = store.create_document("D").sections[0]
    for _ in range(data.draw(st.integers(0, 3))):
        author = data.draw(st.sampled_from(["writer", "model", "edited"]))
        _, section = store.append_block(section.id, Block(data.draw(st.text("ab ", max_size=9)), author))
    text = section.text
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    new = data.draw(st.text("ab ", max_size=9))
    take = store.add_take(section.id, "rewrite", start, end, text[start:end], [TakeText(new, None)])
    try:
        chosen = choose(store, take)
    except PassageChanged:
        assert not text.strip() or not text[start:end].strip()
        return
    assert chosen.text == text[:start] + new + text[end:]
