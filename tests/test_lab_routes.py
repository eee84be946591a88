"""Rules of the lab's addresses: behind the desk's guard, JSON and images only, and no path but those that are there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.lab import Lab
from app.launch import keep_private
from app.visitors import Visitors
from tests.scripted_lab import scripted_lab, scripted_lab_child

keep_private(os.environ)

from app.page import build_page  # noqa: E402 (only after gradio has been told to keep quiet)

HERE = "http://127.0.0.1:7860"
RUN = {"first": "bd3-4", "second": "mdlm", "prompt": "", "tokens": 8}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    folder = scripted_lab(tmp_path / "run")
    (tmp_path / "outside.svg").write_text("<svg/>", encoding="utf-8")
    with closing(Lab(folder, cache_dir=tmp_path / "cache", child=scripted_lab_child)) as lab:
        yield lab


@pytest.fixture
def client(visitors: Visitors, lab: Lab) -> TestClient:
    return TestClient(build_page(visitors, lab), base_url=HERE)


def sentence_of(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    sentence: str = answer.json()["sentence"]
    assert sentence.endswith(".")
    return sentence


def test_the_page_is_there_and_the_desk_leads_to_it_and_back(client: TestClient) -> None:
    assert client.get("/lab").status_code == 200
    assert client.head("/lab").status_code == 200
    assert 'href="/lab"' in client.get("/").text
    assert 'href="/"' in client.get("/lab").text


def test_the_overview_holds_result_and_systems(client: TestClient) -> None:
    answer = client.get("/desk/lab")
    assert answer.headers["Cache-Control"] == "no-store"
    found = answer.json()
    assert found["result"]["rows"][0] == {
        "system": "Autoregressive",
        "parameters": 6_100_000,
        "cells": [
            {"value": v, "error": e, "bound": False}
            for v, e in ((24.31, 0.21), (88.2, 1.9), (412.0, 3.1), (4.87, 0.02))
        ],
    }
    assert found["networks"][0] == {"id": "ar", "title": "Autoregressive", "longest": None}


def test_a_plot_is_an_image_that_can_run_nothing(client: TestClient) -> None:
    answer = client.get("/desk/lab/plot/nelbo-variance.svg")
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "name",
    ["none.svg", "table.json", "..%2foutside.svg", "%2e%2e/outside.svg", "..%5coutside.svg", "%2fetc%2fpasswd", ""],
)
def test_no_other_file_is_given_out(client: TestClient, tmp_path: Path, name: str) -> None:
    assert (tmp_path / "outside.svg").exists()
    assert client.get(f"/desk/lab/plot/{name}").status_code == 404


def test_a_link_as_a_plot_leads_nowhere_else_by_name(client: TestClient, tmp_path: Path) -> None:
    assert client.get(f"/desk/lab/plot/{tmp_path / 'outside.svg'}").status_code == 404


def test_a_comparison_is_a_stream_of_events(client: TestClient) -> None:
    answer = client.post("/desk/lab/run", json=RUN)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    events = [
        json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line.startswith("data: ")
    ]
    assert [event["type"] for event in events if event["type"] != "step"] == [
        "opening",
        "begun",
        "read",
        "read",
        "over",
    ]
    last = [event for event in events if event["type"] == "step"][-1]
    assert [side["tokens"] for side in last["sides"]] == [8, 8]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"first": "../run"}, 422), ({"first": None}, 400), ({"first": "x" * 1000}, 400), ({"tokens": "8"}, 400),
        ({"tokens": 8.5}, 400), ({"tokens": 10**9}, 422), ({"tokens": True}, 400), ({"prompt": 5}, 400),
        ({"prompt": "x" * 2001}, 400), ({"seed": "x"}, 400),
    ],
)  # fmt: skip
def test_a_wish_that_is_none_is_refused(client: TestClient, change: dict[str, Any], status: int) -> None:
    sentence_of(client.post("/desk/lab/run", json={**RUN, **change}), status)


def test_a_prompt_that_is_no_text_does_no_harm(client: TestClient) -> None:
    body = json.dumps({**RUN, "prompt": "a\ud800b\0"}).encode()
    answer = client.post("/desk/lab/run", content=body, headers={"Content-Type": "application/json"})
    assert '"state":"finished"' in answer.text


def test_a_folder_that_is_gone_is_told(visitors: Visitors, tmp_path: Path) -> None:
    client = TestClient(build_page(visitors, Lab(tmp_path / "gone", cache_dir=tmp_path)), base_url=HERE)
    assert "does not exist" in sentence_of(client.post("/desk/lab/run", json=RUN), 422)
    assert "does not exist" in client.get("/desk/lab").json()["sentence"]


def test_stopping_what_is_not_there_is_no_error(client: TestClient) -> None:
    assert client.post("/desk/lab/stop", json={"id": "Ünknown"}).json() == {}
    sentence_of(client.post("/desk/lab/stop", json={}), 400)


def test_every_address_of_the_lab_is_behind_the_guard(client: TestClient) -> None:
    foreign = {"Origin": "http://evil.example"}
    for path in ("/lab", "/desk/lab", "/desk/lab/plot/nelbo-variance.svg"):
        sentence_of(client.get(path, headers=foreign), 403)
        sentence_of(client.get(path, headers={"Host": "evil.example"}), 403)
        policy = client.get(path).headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
    for path in ("/desk/lab/run", "/desk/lab/stop"):
        sentence_of(client.post(path, json=RUN, headers=foreign), 403)
        sentence_of(client.post(path, content=b"{}", headers={"Content-Type": "text/plain"}), 403)
    cross = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/lab", headers=cross).status_code == 200
    sentence_of(client.get("/desk/lab", headers=cross), 403)


def test_a_shared_desk_gives_its_cookie_at_the_labs_door_too(visitors: Visitors, lab: Lab) -> None:
    client = TestClient(build_page(visitors, lab, shared=True), base_url=HERE)
    sentence_of(client.get("/desk/lab"), 403)
    assert "galley_visitor" in client.get("/lab").headers["set-cookie"]
    assert client.get("/desk/lab").status_code == 200


def test_with_accounts_the_lab_asks_for_a_password(visitors: Visitors, lab: Lab) -> None:
    client = TestClient(build_page(visitors, lab, accounts={"ada": "secret"}), base_url=HERE)
    assert client.get("/lab").status_code == client.get("/desk/lab").status_code == 401
    assert client.get("/desk/lab", auth=("ada", "secret")).status_code == 200
