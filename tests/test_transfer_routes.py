"""Documents leave the desk as files and come in from files, through its own door."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import unquote

import pytest
from starlette.testclient import TestClient

from app.export import FORMATS
from app.importing import Imported, Part
from app.launch import keep_private
from app.session import Session
from app.store import MAX_TARGET_WORDS, StoreUnavailable
from app.visitors import OWN, Visitors

keep_private(os.environ)

from app.page import build_page  # noqa: E402 (only after gradio has been told to keep quiet)
from app.transfer_routes import MAX_FILE, keep  # noqa: E402

FILE = {"Content-Type": "application/octet-stream"}
WORD_FILE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.fixture
def session(visitors: Visitors) -> Session:
    return visitors.session(OWN)


@pytest.fixture
def client(visitors: Visitors) -> TestClient:
    return TestClient(build_page(visitors), base_url="http://127.0.0.1:7860")


@pytest.fixture
def document_id(session: Session) -> int:
    """Two sections, of which the first has a title."""
    document = session.create_document("Tides & Ebbs")
    first = document.sections[0]
    session.change_section(first.id, 0, title="Dusk")
    session.save_text(first.id, 1, 0, "The *sun* sank.")
    document = session.add_section(document.id, document.revision, after=first.id)
    session.save_text(document.sections[1].id, 0, 0, "Fog 漢 \U000f0000.")
    return document.id


def sentence(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    said: str = answer.json()["sentence"]
    assert said.endswith(".")
    return said


def bring(client: TestClient, name: str, content: bytes) -> Any:
    return client.post("/desk/import", params={"name": name}, content=content, headers=FILE)


@pytest.mark.parametrize("ending", list(FORMATS))
def test_a_document_leaves_in_every_format_under_its_name(client: TestClient, document_id: int, ending: str) -> None:
    answer = client.get(f"/desk/export/{document_id}.{ending}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == FORMATS[ending].media_type
    named = f"attachment; filename*=UTF-8''Tides%20%26%20Ebbs.{ending}"
    assert answer.headers["Content-Disposition"] == named
    assert answer.headers["Cache-Control"] == "no-store"
    note = unquote(answer.headers.get("Galley-Note", ""))
    assert ("\U000f0000" in note) == (ending == "pdf")


def test_one_section_leaves_alone(client: TestClient, session: Session, document_id: int) -> None:
    first, second = session.document(document_id).sections
    alone = client.get(f"/desk/export/{document_id}.md", params={"section": first.id})
    assert alone.text == "# Dusk\n\nThe *sun* sank.\n"
    assert alone.headers["Content-Disposition"].endswith("''Dusk.md")
    assert client.get(f"/desk/export/{document_id}.txt?section={second.id}").text.startswith("Tides & Ebbs\n\nFog")


@pytest.mark.parametrize(
    "asked", ["1.doc", "1.md?section=99", "1.md?section=x", "1.md?section=", "1.exe", "x.pdf", "1.PDF"]
)
def test_what_is_not_there_is_refused(client: TestClient, document_id: int, asked: str) -> None:
    assert document_id == 1
    sentence(client.get(f"/desk/export/{asked}"), 404)


def test_a_file_becomes_a_document_with_its_sections(client: TestClient, session: Session) -> None:
    text = f"# The Lamp\n\nFirst.\n\n## One\n\n{' '.join(['word'] * 163)}\n\n## Two\n\n### Deep\n\nend"
    answer = bring(client, "lamp.md", text.encode())
    assert answer.status_code == 200
    assert answer.json()["notes"] == []
    outline = answer.json()["document"]
    assert [(part["title"], part["target_words"]) for part in outline["sections"]] == [
        ("", 150),
        ("One", 170),
        ("Two", 150),
    ]
    document = session.document(outline["id"])
    assert document.title == "The Lamp"
    assert [section.text for section in document.sections] == ["First.", " ".join(["word"] * 163), "### Deep\n\nend"]
    assert session.versions(document.sections[0].id)[-1].kind == "import"


def test_what_leaves_comes_back(client: TestClient, session: Session, document_id: int) -> None:
    before = [(section.title, section.text) for section in session.document(document_id).sections]
    for ending in ("md", "docx"):
        file = client.get(f"/desk/export/{document_id}.{ending}").content
        back = bring(client, f"x.{ending}", file).json()["document"]
        assert back["title"] == "Tides & Ebbs"
        (section,) = session.document(back["id"]).sections
        assert (section.title, section.text.split()) == ("Dusk", f"{before[0][1]} {before[1][1]}".split())


def test_a_note_of_the_file_is_handed_on(client: TestClient) -> None:
    answer = bring(client, "é.txt", "café".encode("cp1252"))
    assert answer.json()["document"]["title"] == "é"
    assert "cp1252" in answer.json()["notes"][0]


def test_a_file_that_cannot_be_read_is_refused_and_leaves_nothing(client: TestClient, session: Session) -> None:
    assert "password" in sentence(bring(client, "x.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), 422)
    assert "20 MB" in sentence(bring(client, "x.txt", b"a" * (MAX_FILE + 1)), 413)
    assert session.documents() == []


def test_half_a_document_does_not_stay(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("The disk is full.")

    monkeypatch.setattr(session, "save_text", full)
    with pytest.raises(StoreUnavailable, match="The disk is full"):
        keep(session, Imported("T", (Part("A", "a"), Part("B", "b"))))
    assert session.documents() == []


def test_a_target_is_never_more_than_the_desk_takes(client: TestClient) -> None:
    answer = bring(client, "x.txt", b"word " * (MAX_TARGET_WORDS + 1000))
    assert answer.json()["document"]["sections"][0]["target_words"] == MAX_TARGET_WORDS


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json"},
        {},
        {**FILE, "Origin": "http://evil.example"},
        {**FILE, "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_no_other_page_can_put_a_file_on_the_desk(
    client: TestClient, session: Session, headers: dict[str, str]
) -> None:
    sentence(client.post("/desk/import?name=x.txt", content=b"a", headers=headers), 403)
    sentence(client.post("/desk/verb/documents", content=b"{}", headers=FILE), 403)
    assert session.documents() == []
