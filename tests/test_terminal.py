"""`write` in the terminal, as a process: its text, its JSON lines, its refusals and its end."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from app.store import Store
from app.terminal import first_words
from tests.conftest import Offline
from tests.desk_process import folders, running
from tests.scripted_engine import Script

Events = list[dict[str, Any]]


def write_json(tmp_path: Path, offline: Offline, *arguments: str) -> tuple[int, Events, str]:
    with running([*folders(tmp_path), "write", *arguments, "--json"], offline.environment) as desk:
        events = list(desk.events())
        end = desk.ended()
    return end.code, events, end.err


def kept(tmp_path: Path, section_id: int) -> str:
    store = Store(tmp_path / "data" / "galley.db")
    text = store.section(section_id).text
    store.close()
    return text


def test_json_tells_every_event_and_last_what_it_cost(tmp_path: Path, offline: Offline) -> None:
    code, events, err = write_json(tmp_path, offline, "Rain on the pier", "--words", "60", "--seed", "7")
    kinds = [event["event"] for event in events]
    assert (code, err) == (0, "")
    assert [kind for kind in dict.fromkeys(kinds) if kind != "step"] == [
        "preparing", "ready", "running", "reading", "locked", "finished",
    ]  # fmt: skip
    last = events[-1]
    for key in ("tokens", "words", "seconds", "first_block_seconds", "nfe", "blocks", "load_seconds"):
        assert last[key] > 0, key
    assert (last["words"], last["reason"]) == (60, "length")
    locked = [event for event in events if event["event"] == "locked"]
    assert last["blocks"] == len(locked)
    assert last["text"] == "".join(event["block"]["text"] for event in locked) == kept(tmp_path, last["section"])
    assert offline.tries() == []


def test_the_real_model_writes_a_section_without_the_network(
    tmp_path: Path, offline: Offline, model_cache: Path
) -> None:
    """Everything as a writer has it, from run.py to the weights; only the way outside is blocked."""
    places = ["--data-dir", str(tmp_path / "data"), "--cache-dir", str(model_cache)]
    brief = ["write", "A letter from a lighthouse keeper about the weather.", "--words", "60", "--seed", "7", "--json"]
    with running([*places, *brief], offline.environment, program=[sys.executable, "run.py"]) as desk:
        events = list(desk.events())
        end = desk.ended()
    last = events[-1]
    assert (end.code, last["event"]) == (0, "finished"), end.err
    assert 54 <= last["words"] <= 66
    assert last["text"].rstrip()[-1] in '.!?"”'
    assert last["text"] == kept(tmp_path, last["section"])
    assert last["blocks"] == sum(event["event"] == "locked" for event in events) > 1
    assert last["nfe"] > 0
    assert offline.tries() == []


def test_plain_output_is_the_text_alone_and_the_account_goes_to_stderr(tmp_path: Path, offline: Offline) -> None:
    arguments = [*folders(tmp_path), "write", "Rain on the pier", "--words", "60", "--title", "Weather"]
    with running(arguments, offline.environment) as desk:
        end = desk.ended()
    store = Store(tmp_path / "data" / "galley.db")
    card = store.documents()[0]
    section = store.document(card.id).sections[0]
    store.close()
    assert end.code == 0
    assert end.out == section.text + "\n"
    assert (card.title, section.brief, section.target_words) == ("Weather", "Rain on the pier", 60)
    assert "60 words" in end.err


def test_same_seed_same_text(tmp_path: Path, offline: Offline) -> None:
    texts = [
        write_json(tmp_path / name, offline, "Rain", "--words", "40", "--seed", "11")[1][-1]["text"] for name in "ab"
    ]
    assert texts[0] == texts[1]


def test_ctrl_c_keeps_what_was_locked(tmp_path: Path, offline: Offline) -> None:
    Script(tmp_path / "cache").hold(block=2)
    with running([*folders(tmp_path), "write", "Rain", "--words", "80", "--json"], offline.environment) as desk:
        locked = ""
        for event in desk.events():
            if event["event"] == "locked":
                locked += event["block"]["text"]
            if event["event"] == "step" and event["block"] == 2:
                break
        desk.interrupt(signal.SIGINT)
        rest = list(desk.events())
        end = desk.ended()
    assert end.code == 130
    assert "Traceback" not in end.err
    assert rest[-1]["event"] == "stopped"
    assert locked
    assert kept(tmp_path, rest[-1]["section"]) == locked


def test_no_model_is_one_sentence_and_leaves_no_document(tmp_path: Path, offline: Offline) -> None:
    Script(tmp_path / "cache").change(unavailable="There is no model here; connect the network.")
    code, events, _ = write_json(tmp_path, offline, "Rain")
    assert code == 1
    assert events[-1] == {"event": "failed", "sentence": "There is no model here; connect the network."}
    store = Store(tmp_path / "data" / "galley.db")
    assert store.documents() == []
    store.close()


def test_a_job_that_fails_says_why_and_keeps_what_was_locked(tmp_path: Path, offline: Offline) -> None:
    Script(tmp_path / "cache").change(fail_block=2)
    code, events, _ = write_json(tmp_path, offline, "Rain", "--words", "80")
    last = events[-1]
    assert (code, last["event"], last["blocks"]) == (1, "failed", 2)
    assert last["sentence"].endswith(".")
    assert last["text"] == kept(tmp_path, last["section"]) != ""


def test_a_brief_that_does_not_fit_is_refused_and_leaves_no_document(tmp_path: Path, offline: Offline) -> None:
    Script(tmp_path / "cache").change(context=600)
    code, events, _ = write_json(tmp_path, offline, "rain " * 2000, "--words", "50")
    assert (code, events[-1]["event"]) == (2, "failed")
    store = Store(tmp_path / "data" / "galley.db")
    assert store.documents() == []
    store.close()


def test_a_damaged_database_is_one_sentence(tmp_path: Path, offline: Offline) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "galley.db").write_bytes(b"no database at all " * 200)
    with running([*folders(tmp_path), "write", "Rain"], offline.environment) as desk:
        end = desk.ended()
    assert (end.code, end.out, end.err.count("\n")) == (1, "", 1)


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path, offline: Offline) -> None:
    Script(tmp_path / "cache").hold(block=1)
    with running([*folders(tmp_path), "write", "Rain", "--json"], offline.environment) as desk:
        for event in desk.events():
            if event["event"] == "locked":
                break
        assert desk.process.stdout is not None
        desk.process.stdout.close()
        Script(tmp_path / "cache").release()
        assert desk.process.wait(60) == 1
        assert "Traceback" not in desk.errors()


@pytest.mark.parametrize(
    ("brief", "title"),
    [("Rain", "Rain"), ("a b c d e f", "a b c d e f"), ("a b\nc d e f g", "a b c d e f …")],
)
def test_a_document_without_a_title_is_called_by_its_first_words(brief: str, title: str) -> None:
    assert first_words(brief) == title
