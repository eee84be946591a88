"""Who is asking: two browsers never have one desk, a name needs its password, and nobody's cookie can be guessed."""

from __future__ import annotations

import base64
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import app.doorkeeper
from app.doorkeeper import COOKIE, TOKEN_LENGTH
from app.visitors import MOST_OPEN, OWN, Visitors

ADDRESS = "http://127.0.0.1:7860"


def browser(visitors: Visitors, *, secure: bool = False, **how: Any) -> TestClient:
    from app.page import build_page

    address = ADDRESS.replace("http:", "https:") if secure else ADDRESS
    return TestClient(build_page(visitors, **how), base_url=address)


def titles(client: TestClient) -> list[str]:
    answer = client.post("/desk/verb/documents", json={})
    assert answer.status_code == 200, answer.text
    return [card["title"] for card in answer.json()["documents"]]


def add(client: TestClient, title: str) -> dict[str, Any]:
    document: dict[str, Any] = client.post("/desk/verb/create_document", json={"title": title}).json()["document"]
    return document


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_a_desk_of_one_person_asks_nobody(visitors: Visitors) -> None:
    client = browser(visitors)
    add(client, "Mine")
    assert not client.cookies
    assert titles(browser(visitors)) == ["Mine"]
    assert [card.title for card in visitors.session(OWN).documents()] == ["Mine"]


def test_two_browsers_never_see_each_others_documents(visitors: Visitors) -> None:
    one, two = browser(visitors, shared=True), browser(visitors, shared=True)
    one.get("/"), two.get("/")
    theirs = add(one, "Of the first")
    assert (titles(one), titles(two)) == (["Of the first"], [])
    number, section = theirs["id"], theirs["sections"][0]["id"]
    for verb, given in {
        "document": {"document_id": number},
        "section": {"section_id": section},
        "save_text": {"section_id": section, "revision": 0, "seen_blocks": 0, "text": "Mine now."},
        "versions": {"section_id": section},
    }.items():
        assert two.post(f"/desk/verb/{verb}", json=given).status_code == 404 or not _any(two, verb, given)
    assert two.get(f"/desk/export/{number}.md").status_code == 404
    assert titles(one) == ["Of the first"]


def _any(client: TestClient, verb: str, given: dict[str, Any]) -> bool:
    return any(client.post(f"/desk/verb/{verb}", json=given).json().values())


def test_a_browser_is_known_again_and_the_cookie_is_nobody_elses_business(visitors: Visitors) -> None:
    client = browser(visitors, shared=True)
    cookie = client.get("/").headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    add(client, "Mine")
    again = browser(visitors, shared=True)
    again.cookies.set(COOKIE, client.cookies[COOKIE])
    assert titles(again) == ["Mine"]
    assert len(client.cookies[COOKIE]) == TOKEN_LENGTH
    assert client.cookies[COOKIE] not in str(list(visitors._database.parent.rglob("*")))


def test_in_the_frame_of_a_space_cookies_are_kept_apart(visitors: Visitors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_HOST", "somebody-galley.hf.space")
    cookie = browser(visitors, shared=True).get("/").headers["set-cookie"]
    assert {"SameSite=None", "Secure", "Partitioned"} <= set(cookie.split("; "))


@pytest.mark.parametrize("token", [None, "", "short", "../" * 11, "é" * TOKEN_LENGTH, "a" * (TOKEN_LENGTH + 1)])
def test_without_a_cookie_of_ours_there_is_no_desk(visitors: Visitors, token: str | None) -> None:
    client = browser(visitors, shared=True)
    headers = {} if token is None else {"Cookie": f"{COOKIE}={token}".encode("utf-8", "surrogateescape")}
    answer = client.post("/desk/verb/documents", json={}, headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 403
    assert answer.json()["sentence"].endswith(".")
    assert client.get("/assets/desk.js").status_code == 200


def test_a_name_opens_its_own_desk_with_its_password_only(visitors: Visitors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.doorkeeper, "WRONG_PASSWORD_SECONDS", 0.0)
    client = browser(visitors, accounts={"ada": "engine", "zoë": "pass:word ö"})
    for headers in (
        {},
        basic("ada", "wrong"),
        basic("nobody", ""),
        basic("nobody", "engine"),
        {"Authorization": "Bearer engine"},
        {"Authorization": "Basic %%%"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()},
    ):
        answer = client.get("/", headers=headers)
        assert answer.status_code == 401, headers
        assert answer.headers["www-authenticate"].startswith("Basic ")
    ada, zoe = basic("ada", "engine"), basic("zoë", "pass:word ö")
    assert client.get("/", headers=ada).status_code == 200
    assert client.post("/desk/verb/create_document", json={"title": "A"}, headers=ada).status_code == 200
    assert client.post("/desk/verb/documents", json={}, headers=ada).json()["documents"][0]["title"] == "A"
    assert client.post("/desk/verb/documents", json={}, headers=zoe).json()["documents"] == []


def test_a_desk_that_is_never_closed_is_backed_up_every_day(visitors: Visitors, tmp_path: Path) -> None:
    now = [datetime(2030, 1, 9, 23, 59, tzinfo=UTC)]
    with closing(Visitors(tmp_path / "own" / "galley.db", visitors.press, lambda: now[0])) as desks:
        for days in (0, 0, 1, 1, 2):
            now[0] = datetime(2030, 1, 9 + days, 23, 59, tzinfo=UTC)
            desks.session(OWN).create_document("Of the day")
        desks.session(OWN)
    made = sorted(path.name for path in (tmp_path / "own" / "backups").iterdir())
    assert made == [f"galley-2030-01-{day}.db" for day in ("09", "10", "11")]


def test_desks_that_nobody_uses_are_closed_and_open_again(visitors: Visitors) -> None:
    visitors.session("first").create_document("Kept")
    listening = visitors.session("second").subscribe()
    for number in range(MOST_OPEN + 3):
        visitors.session(f"visitor {number}")
    assert len(visitors._open) <= MOST_OPEN
    assert not listening.closed
    assert [card.title for card in visitors.session("first").documents()] == ["Kept"]
