"""Rules of the door: this machine and the page's own requests come in, all else gets one sentence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from app.guard import Guard

HERE = "http://127.0.0.1:7860"
JSON = {"Content-Type": "application/json"}


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    """What stands behind the guard."""
    await PlainTextResponse("inside")(scope, receive, send)


def client(address: str = HERE, **options: Any) -> TestClient:
    """A program on this machine, or on another one where the address is that of a network card."""
    return TestClient(Guard(inside, **options), base_url=address)


def refusal(answer: Any, status: int = 403) -> str:
    assert answer.status_code == status, answer.text
    sentence: str = answer.json()["sentence"]
    assert sentence.endswith(".")
    return sentence


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "127.0.0.1", "localhost:7860", "LOCALHOST", "[::1]:7860", "[::1]"])
def test_this_machines_names_come_in(host: str) -> None:
    assert client().get("/", headers={"Host": host}).text == "inside"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example", "[::2]", ""]
)
def test_a_name_that_was_made_to_point_here_does_not(host: str) -> None:
    assert "this name" in refusal(client().get("/", headers={"Host": host}))
    assert "this name" in refusal(client("http://[::1]:7860").get("/", headers={"Host": host}))


def test_a_further_name_can_be_allowed() -> None:
    allowed = client(names=["Desk.example"])
    assert allowed.get("/", headers={"Host": "desk.example:443"}).text == "inside"
    refusal(allowed.get("/", headers={"Host": "other.example"}))


def test_a_server_bound_to_a_network_on_purpose_answers_to_any_name_there() -> None:
    assert client("http://192.0.2.5:7860").get("/", headers={"Host": "desk.lan"}).text == "inside"


def test_a_unix_socket_counts_as_this_machine() -> None:
    answers: list[Any] = []

    async def ask() -> None:
        async def send(message: Any) -> None:
            answers.append(message)

        scope = {"type": "http", "method": "GET", "path": "/", "server": ("/run/galley", None), "headers": []}
        await Guard(inside)(scope, None, send)  # type: ignore[arg-type]

    asyncio.run(ask())
    assert answers[0]["status"] == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://127.0.0.1", "http://127.0.0.1:1", "null", "", "http://localhost:7860"]
)
def test_another_origin_is_refused_whatever_it_asks_for(origin: str) -> None:
    headers = {"Origin": origin, **JSON}
    assert "own page only" in refusal(client().post("/desk/verb/stop", headers=headers))
    assert "own page only" in refusal(client().get("/desk/state", headers=headers))


def test_the_pages_own_origin_comes_in_under_each_of_its_names() -> None:
    for host in ("127.0.0.1:7860", "localhost:7860", "[::1]:7860"):
        headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin", **JSON}
        assert client().post("/desk/verb/stop", headers=headers, json={}).text == "inside"


def test_another_site_may_link_to_the_page_but_not_load_from_it() -> None:
    cross = {"Sec-Fetch-Site": "cross-site"}
    assert client().get("/", headers={**cross, "Sec-Fetch-Mode": "navigate"}).text == "inside"
    refusal(client().get("/", headers={**cross, "Sec-Fetch-Mode": "no-cors"}))
    refusal(client().get("/desk/state", headers={**cross, "Sec-Fetch-Mode": "navigate"}))
    refusal(client().get("/assets/desk.js", headers={**cross, "Sec-Fetch-Mode": "no-cors"}))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_no_other_method_is_answered(method: str) -> None:
    assert "GET and POST" in refusal(client().request(method, "/"))


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
def test_a_form_of_another_page_cannot_post(kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    assert "JSON" in refusal(client().post("/desk/verb/stop", headers=headers, content=b"{}"))


def test_json_may_name_its_characters() -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert client().post("/desk/verb/stop", headers=headers, content=b"{}").text == "inside"


@pytest.mark.parametrize("path", ["/", "/favicon.ico", "/assets/x", "/desk/x", "/gradio_api/call/x", "/config"])
def test_known_addresses_come_in(path: str) -> None:
    assert client().get(path).text == "inside"


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/upload", "/gradio_api/file=/etc/passwd", "/gradio_api/proxy=x", "/login", "/monitoring", "/desk"],
)
def test_no_other_route_of_gradio_is_there(path: str) -> None:
    assert "nothing at this address" in refusal(client().get(path), 404)


def test_every_answer_forbids_what_the_page_does_not_need() -> None:
    for answer in (client().get("/"), client().get("/none"), client().get("/", headers={"Host": "evil.example"})):
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_a_space_may_be_shown_in_hugging_faces_frame() -> None:
    policy = client(embedded=True).get("/").headers["Content-Security-Policy"]
    assert "frame-ancestors 'self' https://huggingface.co https://*.hf.space" in policy


def test_there_are_no_web_sockets() -> None:
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("a web socket came in")

    asyncio.run(Guard(never)({"type": "websocket", "path": "/desk/events"}, None, None))  # type: ignore[arg-type]


def test_starting_and_stopping_goes_through() -> None:
    heard: list[str] = []

    async def life(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(scope["type"])

    asyncio.run(Guard(life)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert heard == ["lifespan"]
