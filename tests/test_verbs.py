"""Rules of the page's verbs: every field is checked before anything happens, and every answer is JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.session import Refused, Session
from app.store import MAX_TARGET_WORDS, StaleDocument, StaleRevision, StoreError
from app.verbs import VERBS, BadRequest, Fields, Json
from app.verbs.dial import read_dial
from app.verbs.fields import MAX_BRIEF, MAX_TEXT, MAX_TITLE
from app.verbs.shapes import model_json
from app.visitors import OWN, Visitors
from model.catalog import CATALOG, PUBLISHED, SMOLLM2, Entry, UnknownStop
from model.contract import InvalidSetting

STOP = SMOLLM2.stops[0]
DIAL = asdict(STOP.dial)


@pytest.fixture
def session(visitors: Visitors) -> Session:
    """A desk whose model process has not been started."""
    return visitors.session(OWN)


def ask(session: Session, verb: str, **fields: Any) -> Json:
    answer = VERBS[verb](session, Fields(fields))
    json.dumps(answer)
    return answer


def refusal(session: Session, verb: str, **fields: Any) -> str:
    with pytest.raises(BadRequest) as refused:
        ask(session, verb, **fields)
    sentence = str(refused.value)
    assert sentence.endswith(".")
    return sentence


def outline(session: Session, document_id: int) -> list[str]:
    return [section["title"] for section in ask(session, "document", document_id=document_id)["document"]["sections"]]


# ------------------------------------------------------------------------------------------------------- the journey


def test_a_document_from_its_making_to_its_end(session: Session) -> None:
    document = ask(session, "create_document", title=" Tides ")["document"]
    assert (document["title"], document["revision"], len(document["sections"])) == ("Tides", 0, 1)
    number, first = document["id"], document["sections"][0]["id"]
    renamed = ask(session, "change_document", document_id=number, revision=0, title="Ebb")["document"]
    added = ask(
        session,
        "add_section",
        document_id=number,
        revision=renamed["revision"],
        after=first,
        title="B",
        target_words=90,
    )["document"]
    ahead = ask(session, "add_section", document_id=number, revision=added["revision"], title="A", brief="Rain.")[
        "document"
    ]
    assert outline(session, number) == ["A", "", "B"]
    assert [section["target_words"] for section in ahead["sections"]] == [150, 150, 90]
    moved = ask(session, "move_section", section_id=first, revision=ahead["revision"], position=2)["document"]
    assert outline(session, number) == ["A", "B", ""]
    gone = ask(session, "delete_section", section_id=first, revision=0)["document"]
    assert gone["revision"] > moved["revision"]
    assert outline(session, number) == ["A", "B"]
    assert [card["title"] for card in ask(session, "documents")["documents"]] == ["Ebb"]
    assert ask(session, "delete_document", document_id=number, revision=gone["revision"]) == {"documents": []}


def test_a_text_comes_back_as_it_was_sent_and_says_what_it_covers(session: Session) -> None:
    section = ask(session, "create_document", title="")["document"]["sections"][0]["id"]
    saved = ask(session, "save_text", section_id=section, revision=0, seen_blocks=0, text="One. \ud83d\ude00 \ud800")
    assert (saved["seen"], saved["section"]["words"], "text" in saved["section"]) == (1, 1, False)
    whole = ask(session, "section", section_id=section, seen=0)
    assert whole["section"]["text"] == whole["tail"] == "One. 😀 \ufffd"
    assert ask(session, "section", section_id=section, seen=1)["tail"] == ""
    assert "tail" not in ask(session, "section", section_id=section)


def test_fields_of_a_section_change_one_by_one(session: Session) -> None:
    section = ask(session, "create_document", title="")["document"]["sections"][0]["id"]
    changes = {"title": "Night", "brief": "A storm.", "target_words": 300, "status": "done", "style": "Warm."}
    for revision, (name, value) in enumerate(changes.items()):
        answer = ask(session, "change_section", section_id=section, revision=revision, **{name: value})
        assert answer["section"][name] == value
    assert {name: answer["section"][name] for name in changes} == changes


def test_what_is_read_is_a_section_or_the_whole_document_as_safe_html(session: Session) -> None:
    document = ask(session, "create_document", title="<b>T")["document"]
    section = document["sections"][0]["id"]
    ask(session, "save_text", section_id=section, revision=0, seen_blocks=0, text="<script>x</script>")
    assert ask(session, "read", section_id=section)["html"] == "<p>&lt;script&gt;x&lt;/script&gt;</p>\n"
    assert ask(session, "read", document_id=document["id"])["html"].startswith("<h1>&lt;b&gt;T</h1>")


def test_the_state_holds_what_a_new_page_needs(session: Session) -> None:
    state = ask(session, "state")
    assert (state["engine"]["state"], state["job"], state["documents"]) == ("preparing", None, [])
    assert [stop["name"] for stop in state["model"]["stops"]] == [stop.name for stop in SMOLLM2.stops]
    assert state["model"]["default_stop"] in [stop["name"] for stop in state["model"]["stops"]]


def test_every_model_is_listed_with_what_it_takes_and_how_to_start_with_it(session: Session) -> None:
    listed = ask(session, "models")["models"]
    assert [model["id"] for model in listed] == [entry.id for entry in CATALOG]
    assert [model["id"] for model in listed if model["in_use"]] == [SMOLLM2.id]
    assert listed[0] == {
        "id": "smollm2-135m",
        "title": SMOLLM2.title,
        "licence": "Apache-2.0",
        "in_use": True,
        "fetches": 98_362_432,
        "memory": 2_200_000_000,
        "lying": {"state": "nothing", "bytes": 0},
        "command": "python run.py --model smollm2-135m",
    }


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.id)
def test_the_page_is_told_what_each_model_can_do(entry: Entry) -> None:
    told = json.loads(json.dumps(model_json(entry)))
    assert told["instructs"] == (entry not in PUBLISHED)
    assert ("verified" in told["rules"]) == entry.verifies
    assert told["block_sizes"] == list(entry.block_sizes)
    assert {stop["nll"] is None for stop in told["stops"]} == {entry is not SMOLLM2}


def test_without_a_model_nothing_is_predicted_and_writing_is_refused(session: Session) -> None:
    section = ask(session, "create_document", title="")["document"]["sections"][0]["id"]
    predicted = ask(session, "predict", section_id=section, dial=DIAL)
    assert predicted == {"stops": {stop.name: None for stop in SMOLLM2.stops}, "seconds": None}
    with pytest.raises(Refused, match="not ready yet"):
        ask(session, "write", section_id=section, stop_name=STOP.name)
    assert ask(session, "stop", job="never was") == {}
    assert ask(session, "retry")["engine"]["state"] == "preparing"


def test_what_the_model_would_read_is_answered_where_there_is_nothing_to_read(session: Session) -> None:
    section = ask(session, "create_document", title="Tides")["document"]["sections"][0]
    answer = ask(session, "context", section_id=section["id"])
    assert set(answer) == {"refused"}
    assert answer["refused"].endswith(".")


def test_a_stale_save_carries_both_texts(session: Session) -> None:
    document = ask(session, "create_document", title="T")["document"]
    section = document["sections"][0]["id"]
    ask(session, "save_text", section_id=section, revision=0, seen_blocks=0, text="Theirs.")
    with pytest.raises(StaleRevision) as stale:
        ask(session, "save_text", section_id=section, revision=0, seen_blocks=0, text="Mine.")
    assert (stale.value.mine, stale.value.theirs.text) == ("Mine.", "Theirs.")
    with pytest.raises(StaleDocument):
        ask(session, "change_document", document_id=document["id"], revision=7, title="Mine")


# --------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("value", [None, "1", 1.0, True, [1], {}, 2**63, -(2**63) - 1])
def test_a_whole_number_is_nothing_else(session: Session, value: Any) -> None:
    assert "“document_id” has to be a whole number" in refusal(session, "document", document_id=value)


@pytest.mark.parametrize("value", ["1", True, None, [], 10**400])
def test_a_number_is_nothing_else(session: Session, value: Any) -> None:
    assert "“temperature”" in refusal(session, "write", section_id=1, dial={**DIAL, "temperature": value})


def test_a_setting_of_former_days_penalises_no_repeats() -> None:
    former = {name: value for name, value in DIAL.items() if name != "repeat_penalty"}
    assert read_dial(Fields(former)) == replace(STOP.dial, repeat_penalty=0.0)
    assert read_dial(Fields(DIAL)) == STOP.dial


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 5.1])
def test_a_number_that_cannot_be_is_refused_by_the_dial(session: Session, value: float) -> None:
    with pytest.raises(InvalidSetting, match="temperature"):
        ask(session, "write", section_id=1, dial={**DIAL, "temperature": value})


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("[]", "a list of at most 2,000 fours"),
        ({}, "a list of at most 2,000 fours"),
        ([[0, 0, 0, 0]] * 2001, "a list of at most 2,000 fours"),
        ([[0, 1, 0]], "a list of fours of whole numbers"),
        ([0, 1, 0, 1], "a list of fours of whole numbers"),
        ([[0, 1, 0, "1"]], "“last” has to be a whole number"),
    ],
)
def test_changes_of_a_take_are_fours_of_whole_numbers(session: Session, value: Any, says: str) -> None:
    assert says in refusal(session, "choose_take", take_id=1, index=0, revision=0, changes=value)


@pytest.mark.parametrize("value", [None, 1, True, ["a"], {"a": 1}])
def test_text_is_nothing_else(session: Session, value: Any) -> None:
    assert "“title” has to be text" in refusal(session, "create_document", title=value)


@pytest.mark.parametrize(
    ("verb", "name", "most"),
    [("create_document", "title", MAX_TITLE), ("change_section", "brief", MAX_BRIEF), ("save_text", "text", MAX_TEXT)],
)
def test_text_longer_than_the_desk_can_hold_is_refused(session: Session, verb: str, name: str, most: int) -> None:
    fields = {"section_id": 1, "revision": 0, "seen_blocks": 0, name: "x" * (most + 1)}
    assert f"at most {most:,}" in refusal(session, verb, **fields)


def test_a_status_and_a_stop_are_named_ones(session: Session) -> None:
    for status in ("lost", "\ud800"):
        sentence = refusal(session, "change_section", section_id=1, revision=0, status=status)
        sentence.encode()  # what was asked for can be said again
    with pytest.raises(UnknownStop):
        ask(session, "write", section_id=1, stop_name="loud")


@pytest.mark.parametrize("words", [0, -1, MAX_TARGET_WORDS + 1, 100_000])
def test_a_length_that_is_not_possible_is_refused_by_name(session: Session, words: int) -> None:
    section = ask(session, "create_document", title="")["document"]["sections"][0]["id"]
    with pytest.raises(StoreError, match=f"{words} words is not possible"):
        ask(session, "change_section", section_id=section, revision=0, target_words=words)
    with pytest.raises(Refused, match=f"{words} words cannot"):
        ask(session, "write", section_id=section, stop_name=STOP.name, words=words)


def test_a_dial_is_an_object(session: Session) -> None:
    assert "“dial” has to be an object" in refusal(session, "write", section_id=1, dial="fast")


ANY = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just({}) | st.just([1])
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ("document_id", "section_id", "revision", "seen_blocks", "seen", "position", "after"), ANY | st.just(1)
        ),
        **dict.fromkeys(("title", "brief", "text", "job", "status", "stop_name", "words", "seed", "target_words"), ANY),
        "dial": ANY | st.fixed_dictionaries({name: ANY | st.just(value) for name, value in DIAL.items()}),
    },
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(verb=st.sampled_from(sorted(VERBS)), fields=FIELDS)
def test_whatever_is_sent_is_answered_or_refused_by_name(session: Session, verb: str, fields: Json) -> None:
    try:
        answer = VERBS[verb](session, Fields(fields))
    except (BadRequest, StoreError, Refused, InvalidSetting, UnknownStop) as error:
        str(error).encode()
    else:
        json.dumps(answer)
