"""Rules of the page's server, through its own door: files, verbs with their refusals, events, the export."""

from __future__ import annotations

import asyncio
import json
import os
import re
from itertools import pairwise
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from app.events import Hub, Subscription
from app.launch import keep_private, served, usable_port
from app.session import Session
from app.settings import parse
from app.store import Store
from app.visitors import OWN, Visitors

keep_private(os.environ)

from app.page import (  # noqa: E402 (only after gradio has been told to keep quiet)
    ASSETS,
    BEAT_SECONDS,
    MAX_BODY,
    PICTURES_PER_SECOND,
    build_page,
    event_stream,
)

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def session(visitors: Visitors) -> Session:
    return visitors.session(OWN)


@pytest.fixture
def store(visitors: Visitors, session: Session) -> Store:
    """The one that the desk has open."""
    return visitors._open[OWN][0]


@pytest.fixture
def client(visitors: Visitors) -> TestClient:
    return TestClient(build_page(visitors), base_url="http://127.0.0.1:7860")


def ask(client: TestClient, verb: str, **given: Any) -> Any:
    answer = client.post(f"/desk/verb/{verb}", json=given)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client: TestClient, verb: str, status: int, **given: Any) -> dict[str, Any]:
    return sentence_of(client.post(f"/desk/verb/{verb}", json=given), status)


def sentence_of(answer: Any, status: int) -> dict[str, Any]:
    """The answer, which is a refusal with one sentence."""
    assert answer.status_code == status, answer.text
    said: dict[str, Any] = answer.json()
    assert re.fullmatch(r"\S.*\.", said["sentence"])
    assert said["error"]
    return said


# ------------------------------------------------------------------------------------------------------------- files


def test_the_page_and_everything_it_loads_is_there(client: TestClient) -> None:
    seen, wanted = set(), ["/"]
    while wanted:
        address = wanted.pop()
        seen.add(address)
        answer = client.get(address)
        assert answer.status_code == 200, address
        found = re.findall(r"""(?:href|src)="(/[^"#]*)|from "(\./[^"]+)\"""", answer.text)
        names = [page or module.replace("./", "/assets/") for page, module in found]
        wanted += [name for name in names if name not in seen]
    assert {"/assets/page.css", "/assets/desk.js", "/assets/editor.js", "/assets/icon.svg"} <= seen


def test_a_file_that_has_not_changed_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/assets/desk.js")
    again = client.get("/assets/desk.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert client.get("/assets/desk.js", headers={"If-None-Match": '"older"'}).status_code == 200


def test_a_program_may_ask_whether_the_page_is_there(client: TestClient) -> None:
    answer = client.head("/")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "name",
    [
        *("..%2fapp%2fpage.py", "%2e%2e/app/page.py", "..%5capp%5cpage.py", "%2fetc%2fpasswd", "desk.js%00.svg", "."),
        *("screenshots", "screenshots%2fdesk-light.png", "README.md", "none.js", "block-adapter.safetensors", ""),
    ],
)
def test_no_other_file_is_given_out(client: TestClient, name: str) -> None:
    assert (ASSETS / "desk.js").exists()
    assert client.get(f"/assets/{name}").status_code == 404


# ------------------------------------------------------------------------------------------------------------- verbs


def test_a_verb_does_its_work_and_answers_in_json(client: TestClient, session: Session) -> None:
    document = ask(client, "create_document", title="Émigrés 漢字 👩‍🚀")["document"]
    assert document["title"] == "Émigrés 漢字 👩‍🚀"
    assert session.documents()[0].title == document["title"]
    state = client.get("/desk/state")
    assert state.json()["documents"][0]["id"] == document["id"]
    assert state.headers["Cache-Control"] == "no-store"


def test_a_stale_save_is_refused_with_both_texts(client: TestClient) -> None:
    section = ask(client, "create_document", title="T")["document"]["sections"][0]["id"]
    ask(client, "save_text", section_id=section, revision=0, seen_blocks=0, text="Theirs.")
    said = refused(client, "save_text", 409, section_id=section, revision=0, seen_blocks=0, text="Mine.")
    assert (said["error"], said["mine"], said["theirs"]["text"]) == ("StaleRevision", "Mine.", "Theirs.")
    assert said["theirs"]["revision"] == 1


def test_a_stale_title_is_refused_with_the_document_as_it_is(client: TestClient) -> None:
    document = ask(client, "create_document", title="T")["document"]["id"]
    ask(client, "change_document", document_id=document, revision=0, title="Theirs")
    said = refused(client, "change_document", 409, document_id=document, revision=0, title="Mine")
    assert (said["error"], said["mine"], said["theirs"]["title"]) == ("StaleDocument", "Mine", "Theirs")


def test_each_refusal_has_its_own_status(client: TestClient, store: Store) -> None:
    section = ask(client, "create_document", title="")["document"]["sections"][0]["id"]
    assert refused(client, "no_such_verb", 404)["error"] == "NotFound"
    assert refused(client, "section", 404, section_id=99)["error"] == "NotFound"
    assert refused(client, "section", 400, section_id="1")["error"] == "BadRequest"
    target = refused(client, "change_section", 400, section_id=section, revision=0, target_words=0)
    assert target["error"] == "InvalidValue"
    assert refused(client, "write", 400, section_id=section, stop_name="loud")["error"] == "UnknownStop"
    dial = {"block_size": 3, "steps": 1, "rule": "verified", "threshold": 0, "temperature": 1, "nucleus": 1}
    assert refused(client, "write", 400, section_id=section, dial=dial)["error"] == "InvalidSetting"
    assert refused(client, "write", 422, section_id=section, stop_name="exact")["error"] == "Refused"
    store.close()
    assert refused(client, "documents", 503)["error"] == "StoreUnavailable"
    assert sentence_of(client.get("/desk/state"), 503)
    assert sentence_of(client.get("/desk/export/1.md"), 503)


def test_an_error_nobody_foresaw_stays_loud(client: TestClient, session: Session, monkeypatch: Any) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(session, "documents", broken)
    with pytest.raises(ZeroDivisionError):
        client.get("/desk/state")


@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b'"a"', b"null", b"\xff", b'{"a":' * 100_000, b"9" * 5_000])
def test_a_body_that_is_no_json_object_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/desk/verb/documents", content=body, headers=JSON)
    assert sentence_of(answer, 400)["error"] == "BadRequest"


def test_an_empty_body_is_an_empty_object(client: TestClient) -> None:
    assert client.post("/desk/verb/documents", headers=JSON).json() == {"documents": []}


def test_a_huge_body_is_refused(client: TestClient) -> None:
    body = b'{"title": "' + b"x" * MAX_BODY
    said = sentence_of(client.post("/desk/verb/create_document", content=body, headers=JSON), 400)
    assert "16 MB" in said["sentence"]
    assert ask(client, "documents") == {"documents": []}


def test_lone_surrogates_and_zero_bytes_become_signs_that_can_be_kept(client: TestClient) -> None:
    body = rb'{"title": "a\ud800b\u0000c\ud83d\ude00"}'
    answer = client.post("/desk/verb/create_document", content=body, headers=JSON)
    assert answer.json()["document"]["title"] == "a\ufffdb\ufffdc😀"
    again = client.post(
        "/desk/verb/change_section", content=rb'{"status": "\ud800", "section_id": 1, "revision": 0}', headers=JSON
    )
    sentence_of(again, 400)


def test_a_number_that_json_does_not_know_becomes_null(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "predict", lambda *_: float("inf"))
    said = ask(client, "predict", section_id=1)
    assert set(said["stops"].values()) == {None}


# ------------------------------------------------------------------------------------------------------------ export


def test_the_markdown_is_named_after_the_document_and_has_all_its_words(client: TestClient) -> None:
    document = ask(client, "create_document", title='Ä "quoted" / path\r\nX-Evil: 1')["document"]
    ask(client, "save_text", section_id=document["sections"][0]["id"], revision=0, seen_blocks=0, text="Words.")
    answer = client.get(f"/desk/export/{document['id']}.md")
    assert answer.text == '# Ä "quoted" / path X-Evil: 1\n\nWords.\n'
    assert answer.headers["Content-Disposition"].startswith("attachment; filename*=UTF-8''%C3%84%20quoted%20path")
    assert "X-Evil" not in answer.headers
    assert answer.headers["Content-Type"].startswith("text/markdown")


@pytest.mark.parametrize("name", ["1", "2.md", "-1.md", "x.md", "１.md", ".md", f"{10**30}.md", "1.md.md", "..%2f1.md"])
def test_what_is_no_document_is_not_there(client: TestClient, name: str) -> None:
    ask(client, "create_document", title="T")
    assert client.get(f"/desk/export/{name}").status_code == 404


# --------------------------------------------------------------------------------------------------- named endpoints


def call(address: str, name: str, *data: Any) -> str:
    """What Gradio's own way to call an endpoint by name answers."""
    asked = httpx.post(f"{address}gradio_api/call/{name}", json={"data": data})
    return httpx.get(f"{address}gradio_api/call/{name}/{asked.json()['event_id']}", timeout=60).text


def test_other_programs_may_read_documents_by_name_and_reach_nothing_else(visitors: Visitors, session: Session) -> None:
    section = session.create_document("Tides").sections[0]
    session.save_text(section.id, 0, 0, "Words.")
    with served(visitors, parse([]), usable_port("127.0.0.1", 0)) as address:
        assert '"title": "Tides"' in call(address, "documents")
        assert call(address, "section_text", section.id).startswith('event: complete\ndata: ["Words."]')
        missing = call(address, "section_text", 99)
        assert missing.startswith("event: error")
        assert "does not exist any more" in missing
        named = httpx.get(f"{address}gradio_api/info").json()["named_endpoints"]
        assert set(named) == {"/documents", "/section_text"}
        for path in ("gradio_api/upload", "gradio_api/file=/etc/hostname", "gradio_api/proxy=x", "monitoring/x"):
            assert httpx.get(address + path).status_code == 404
        for path in ("assets/%2e%2e/app/page.py", "assets/..%2fapp%2fpage.py", "assets//etc/hostname"):
            assert httpx.get(address + path).status_code in (403, 404)


# ------------------------------------------------------------------------------------------------------------ events


class Timetable(Subscription):
    """Hears each event at its time; the clock runs only while somebody waits, so nobody really does."""

    def __init__(self, events: list[tuple[float, dict[str, Any]]]) -> None:
        super().__init__(lambda subscription: None)
        self.now = 0.0
        self._due = sorted(events, key=lambda event: event[0])

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pass_until(self.now + seconds)

    def pass_until(self, end: float) -> None:
        while self._due and self._due[0][0] <= end:
            self.put(self._due.pop(0)[1])
        self.now = end

    def get(self, timeout: float | None = None) -> dict[str, Any] | None:
        if (event := super().get(0)) is not None or timeout is None:
            return event
        end = self.now + timeout
        self.pass_until(min(end, self._due[0][0]) if self._due else end)
        return super().get(0)


def heard(timetable: Timetable, seconds: float) -> list[tuple[float, str]]:
    """What one tab is sent in so many seconds: (when, what)."""

    async def listen() -> list[tuple[float, str]]:
        stop, pieces = asyncio.Event(), []
        stream = event_stream(timetable, stop, anyio.CapacityLimiter(1), clock=timetable.clock, sleep=timetable.sleep)
        async for piece in stream:
            pieces.append((timetable.now, piece))
            if timetable.now >= seconds:
                stop.set()
        return pieces

    return asyncio.run(listen())


def data(pieces: list[tuple[float, str]]) -> list[tuple[float, dict[str, Any]]]:
    return [(at, json.loads(piece.removeprefix("data: "))) for at, piece in pieces if piece.startswith("data: ")]


EVENTS = st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["step", "step", "step", "locked", "job"])), max_size=200)


@given(EVENTS)
def test_pictures_come_so_many_times_a_second_the_last_one_too_and_nothing_else_is_left_out(
    events: list[tuple[float, str]],
) -> None:
    told = [(at, {"type": kind, "number": number}) for number, (at, kind) in enumerate(sorted(events))]
    got = data(heard(Timetable(told), 5.0))
    steps = [at for at, event in got if event["type"] == "step"]
    assert all(later - earlier >= 1 / PICTURES_PER_SECOND - 1e-9 for earlier, later in pairwise(steps))
    numbers = [event["number"] for _, event in got]
    assert numbers == sorted(numbers)
    assert [event for _, event in got if event["type"] != "step"] == [
        event for _, event in told if event["type"] != "step"
    ]
    pictures = [event["number"] for _, event in told if event["type"] == "step"]
    assert pictures[-1:] == [event["number"] for _, event in got if event["type"] == "step"][-1:]


def test_a_busy_block_is_shown_so_many_times_a_second() -> None:
    told = [(number / 100, {"type": "step", "number": number}) for number in range(300)]
    steps = data(heard(Timetable(told), 4.0))
    assert 3 * PICTURES_PER_SECOND - 1 <= len(steps) <= 3 * PICTURES_PER_SECOND + 2


def test_silence_is_broken_by_a_beat() -> None:
    opened, *beats = heard(Timetable([]), 3.5 * BEAT_SECONDS)
    assert opened == (0.0, ": open\n\n")
    assert beats == [(number * BEAT_SECONDS, ": beat\n\n") for number in (1, 2, 3, 4)]


def test_a_closed_desk_ends_the_stream_after_what_was_told_before() -> None:
    async def listen() -> list[str]:
        hub = Hub()
        subscription = hub.subscribe()
        hub.publish({"type": "job", "left": float("nan")})
        hub.close()
        stream = event_stream(subscription, asyncio.Event(), anyio.CapacityLimiter(1))
        return [piece async for piece in stream]

    assert asyncio.run(listen()) == [": open\n\n", 'data: {"type":"job","left":null}\n\n']


def test_a_tab_that_leaves_is_forgotten() -> None:
    async def leave() -> bool:
        hub = Hub()
        subscription = hub.subscribe()
        stream = event_stream(subscription, asyncio.Event(), anyio.CapacityLimiter(1))
        await anext(stream)
        await stream.aclose()
        return subscription.closed

    assert asyncio.run(leave())
