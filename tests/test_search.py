"""Rules of search and replace: what is written is found, nothing else is; replacing changes words and nothing else."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.draft import Block, Section, storable
from app.records import Replacing
from app.store import Hit, InvalidValue, NotFound, Store
from app.store.searching import BATCH_CHARS
from tests.quick_store import quick_store
from tests.test_versions import BLOCK, type_in


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "galley.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with contextlib.closing(quick_store(path)) as store:
        yield store


@pytest.fixture
def section(store: Store) -> Section:
    """Its text: "The café by the sea. The sea was calm.", the second sentence by the model."""
    section = store.create_document("The lighthouse").sections[0]
    section = store.change_section(section.id, 0, title="Evening", brief="Describe the harbour.", notes="No storm yet.")
    section = type_in(store, section, "The café by the sea.")
    return store.append_block(section.id, BLOCK)[1]


def found(store: Store, query: str) -> list[int]:
    return [hit.section_id for hit in store.search(query)]


def text_of(hit: Hit) -> str:
    return "".join(text for text, _ in hit.snippet)


# ------------------------------------------------------------------------------------------------------- search


FOUND = """
sea|SEA|cafe|CAFÉ|ca|calm sea|sea calm|"was calm"|"was calm|"sea was" caf|harbour|storm|Evening|s*
evening describe storm calm|sea —|— sea|sea.|the-café|"" sea
"""
NOT_FOUND = """
| |"|""|—|…|lake|sea lake|"calm was"|ea|ca calm lake|lighthouse|title:sea|NOT sea OR|sea NEAR calm|ca sea|🙂 sea
"""


@pytest.mark.parametrize("query", FOUND.strip().replace("\n", "|").split("|"))
def test_all_words_and_phrases_are_found_wherever_they_stand(store: Store, section: Section, query: str) -> None:
    assert found(store, query) == [section.id]


@pytest.mark.parametrize("query", NOT_FOUND.strip().split("|"))
def test_what_is_not_written_is_not_found(store: Store, section: Section, query: str) -> None:
    assert found(store, query) == []


def test_a_hit_tells_where_it_stands(store: Store, section: Section) -> None:
    (hit,) = store.search("sea")
    assert (hit.document_id, hit.section_id) == (section.document_id, section.id)
    assert (hit.document_title, hit.section_title) == ("The lighthouse", "Evening")
    assert (hit.count, hit.start) == (2, 16)
    assert hit.snippet == (
        ("The café by the ", False),
        ("sea", True),
        (". The ", False),
        ("sea", True),
        (" was calm.", False),
    )
    (hit,) = store.search("storm")
    assert (hit.count, hit.start, text_of(hit)) == (1, None, "No storm yet.")


def test_the_snippet_of_a_long_text_is_cut_at_words(store: Store, section: Section) -> None:
    type_in(store, section, "Many words before. " * 50 + "The lamp\n\nwas lit. " + "Many words after. " * 50)
    (hit,) = store.search("lamp")
    shown = text_of(hit)
    assert (shown[0], shown[-1]) == ("…", "…")
    assert "The lamp was lit." in shown
    assert len(shown) < 220
    assert set(shown.strip("…").split()) <= {"Many", "words", "before.", "The", "lamp", "was", "lit.", "after."}


def test_a_long_word_without_end_is_cut_somewhere(store: Store, section: Section) -> None:
    type_in(store, section, "x" * 5000)
    (hit,) = store.search("x")
    assert hit.snippet == (("x" * 140, True), ("…", False))


def test_better_hits_come_first_and_no_more_than_wanted(store: Store, section: Section) -> None:
    document = store.add_section(section.document_id, 0, after=section.id, title="The sea")
    for number in range(5):
        document = store.add_section(document.id, document.revision, after=None, brief=f"{number} miles of sea")
    hits = store.search("sea")
    assert len(hits) == 7
    assert hits[0].section_title == "The sea"
    assert len(store.search("sea", limit=3)) == 3
    assert len(store.search("sea", limit=0)) == 1
    assert len(store.search("sea", limit=10**30)) == 7


def test_a_search_may_be_for_one_document(store: Store, section: Section) -> None:
    other = store.create_document("Other")
    type_in(store, other.sections[0], "Another sea.")
    assert len(store.search("sea")) == 2
    assert [hit.document_id for hit in store.search("sea", document_id=other.id)] == [other.id]
    assert store.search("sea", document_id=10**30) == []


def test_every_change_is_found_at_once(store: Store, section: Section, path: Path) -> None:
    assert found(store, "new") == []
    section = type_in(store, section, section.text + " New words.")
    assert found(store, "new") == [section.id]
    store.append_block(section.id, Block(" And newer.", "model"))
    assert found(store, "newer") == [section.id]
    section = store.change_section(section.id, section.revision, notes="Notable.", brief="", title="")
    assert [found(store, query) for query in ("notable", "harbour", "evening")] == [[section.id], [], []]
    section = store.undo(section.id, section.revision)
    assert found(store, "newer") == []
    card = store.take_snapshot(section.document_id, "S")
    type_in(store, section, "Gone.")
    assert found(store, "sea") == []
    store.restore_snapshot(card.id, store.document(section.document_id).revision)
    assert found(store, "sea") == [section.id]
    with contextlib.closing(Store(path)) as other:
        now = store.section(section.id)
        type_in(other, now, now.text + " By another process.")
    assert found(store, "process") == [section.id]


def test_what_is_deleted_is_not_found_and_what_comes_back_is(store: Store, section: Section) -> None:
    assert found(store, "sea")
    store.delete_section(section.id, section.revision)
    assert found(store, "sea") == []
    document = store.restore_section(section.id)
    assert found(store, "sea") == [section.id]
    store.delete_document(document.id, document.revision)
    assert found(store, "sea") == []
    store.restore_document(document.id)
    assert found(store, "sea") == [section.id]


def test_a_text_that_looks_like_a_mark_is_shown_as_it_is(store: Store, section: Section) -> None:
    text = "<b>sea</b> [sea] \x02sea\x03 \ufffdsea"
    type_in(store, section, text)
    (hit,) = store.search("sea")
    assert (text_of(hit), hit.count) == (text, 4)


def test_more_than_one_batch_is_indexed_before_the_first_answer(store: Store) -> None:
    document = store.create_document("D")
    for number in range(4):
        document = store.add_section(document.id, document.revision, after=None)
        type_in(store, document.sections[0], f"The sea {number}. " + "x" * (BATCH_CHARS // 2))
    assert len(store.search("sea")) == 4


@given(st.text(st.characters()) | st.text('ab"* -()^:+{}\\', max_size=20))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_query_is_an_error(store: Store, section: Section, query: str) -> None:
    store.search(query)


def test_a_very_long_query_is_no_error(store: Store, section: Section) -> None:
    assert found(store, "sea " * 100_000) == [section.id]
    assert found(store, '"' * 100_001) == []


words = st.text(st.sampled_from("aáAbBé"), min_size=1, max_size=3)


def plain(word: str) -> str:
    return word.lower().replace("á", "a").replace("é", "e")


@given(st.lists(words, max_size=6), st.lists(words, min_size=1, max_size=3))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_search_finds_what_looking_through_all_words_finds(store: Store, text: list[str], query: list[str]) -> None:
    section = store.create_document("D").sections[0]
    section = type_in(store, section, " ".join(text))
    *whole, beginning = [plain(word) for word in query]
    there = [plain(word) for word in text]
    expected = all(word in there for word in whole) and any(word.startswith(beginning) for word in there)
    hits = store.search(" ".join(query), document_id=section.document_id)
    assert bool(hits) == expected
    for hit in hits:
        matches = [word in whole or word.startswith(beginning) for word in there]
        assert (hit.count, hit.start) == (sum(matches), len(" ".join([*text[: matches.index(True)], ""])))
        assert [plain(part) for part, matched in hit.snippet if matched] == [
            word for word, match in zip(there, matches, strict=True) if match
        ]


# ------------------------------------------------------------------------------------------------------ replace


def test_a_word_is_replaced_everywhere_in_one_step_for_each_section(store: Store, section: Section) -> None:
    other = store.create_document("Other")
    far = type_in(store, other.sections[0], "No SEA here.")
    near = type_in(store, store.add_section(other.id, 0, after=None).sections[0], "No lake.")
    assert store.replace(Replacing("sea", "lake")) == {section.id: 2, far.id: 1}
    assert store.section(section.id).text == "The café by the lake. The lake was calm."
    assert store.section(far.id).text == "No lake here."
    assert store.section(near.id) == near
    now = store.section(section.id)
    assert [block.author for block in now.blocks] == ["writer", "edited"]
    version = store.versions(section.id)[-1]
    assert (version.kind, version.label) == ("replace", "“sea” → “lake”")
    assert store.undo(section.id, now.revision).blocks == section.blocks
    for document_id in (section.document_id, other.id):
        (card,) = store.snapshots(document_id)
        assert (card.kind, card.name) == ("before replace", "Before “sea” → “lake”")


def test_replacing_keeps_to_its_scope_and_case(store: Store, section: Section) -> None:
    document = store.add_section(section.document_id, 0, after=section.id)
    second = type_in(store, document.sections[1], "The sea, the Sea.")
    other = type_in(store, store.create_document("Other").sections[0], "The sea.")
    assert store.replace(Replacing("The", "A", section_id=second.id, match_case=True)) == {second.id: 1}
    assert store.section(second.id).text == "A sea, the Sea."
    assert store.replace(Replacing("sea", "lake", document_id=document.id, match_case=True)) == {
        section.id: 2,
        second.id: 1,
    }
    assert store.section(second.id).text == "A lake, the Sea."
    assert store.section(other.id) == other


def test_one_place_is_replaced_alone_and_without_a_snapshot(store: Store, section: Section) -> None:
    (spans,) = store.places(Replacing("sea", "lake", section_id=section.id)).values()
    assert [section.text[start:end].lower() for start, end in spans] == ["sea", "sea"]
    (_, (start, end)) = spans
    assert store.replace(Replacing("sea", "lake", section_id=section.id, start=start)) == {section.id: 1}
    assert store.section(section.id).text == section.text[:start] + "lake" + section.text[end:]
    assert store.replace(Replacing("sea", "lake", section_id=section.id, start=start)) == {}
    assert store.snapshots(section.document_id) == []
    with pytest.raises(InvalidValue, match="say which section"):
        store.replace(Replacing("sea", "lake", start=0))


def test_what_stands_there_already_is_not_replaced(store: Store, section: Section) -> None:
    before = store.history(document_id=section.document_id)
    assert store.replace(Replacing("sea", "sea")) == store.places(Replacing("sea", "sea")) == {}
    assert store.replace(Replacing("nowhere", "x")) == {}
    assert store.history(document_id=section.document_id) == before
    assert store.snapshots(section.document_id) == []


def test_replacing_nothing_or_nowhere_is_one_sentence(store: Store, section: Section) -> None:
    with pytest.raises(InvalidValue, match="nothing to look for"):
        store.replace(Replacing("", "x"))
    for number in (0, -1, 999, 10**30):
        with pytest.raises(NotFound):
            store.replace(Replacing("sea", "x", document_id=number))
        with pytest.raises(NotFound):
            store.replace(Replacing("sea", "x", section_id=number))


@given(
    st.lists(st.tuples(st.text("aAb.", max_size=5), st.sampled_from(["writer", "model", "edited"])), max_size=5),
    st.text("aAb.*", min_size=1, max_size=3),
    st.text("aAb\\1.\0", max_size=3),
    st.booleans(),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_replacing_is_literal(
    store: Store, blocks: list[tuple[str, str]], query: str, replacement: str, match_case: bool
) -> None:
    section = store.create_document("D").sections[0]
    for text, author in blocks:
        _, section = store.append_block(section.id, Block(text, author))  # type: ignore[arg-type]
    places = store.places(Replacing(query, replacement, section_id=section.id, match_case=match_case))
    counts = store.replace(Replacing(query, replacement, section_id=section.id, match_case=match_case))
    assert {one: len(spans) for one, spans in places.items()} == counts
    made = store.section(section.id).text
    if match_case:
        assert made == section.text.replace(query, storable(replacement))
    else:
        pattern = re.compile(re.escape(query), re.IGNORECASE)
        assert made == pattern.sub(lambda match: storable(replacement), section.text)
    assert bool(counts) == (made != section.text)
