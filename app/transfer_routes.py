"""The addresses at which documents leave the desk as files and come in from files.

    GET  /desk/export/{document}.{md|html|docx|epub|pdf|txt}?section=ID
         the file; a sentence that the writer should read stands percent-encoded in the header Galley-Note
    POST /desk/import?name=FILE, the file as application/octet-stream
         {"document": its outline, "notes": [sentence, …]}

Decides nothing about formats. A refusal is {"error": …, "sentence": …}, as it is from the verbs.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from app.answers import answer, refusal
from app.attempts import attempt
from app.draft import Document
from app.export import FORMATS, export, section_alone
from app.importing import Imported, import_file
from app.session import Session
from app.store import MAX_TARGET_WORDS, NotFound, StoreError
from app.verbs.shapes import outline_json

MAX_FILE = 20 * 2**20

NOTE = "Galley-Note"


def transfer_routes(session_of: Callable[[Request], Session]) -> APIRouter:
    """Both routes. session_of: whose desk a request means."""
    routes = APIRouter(prefix="/desk")

    @routes.get("/export/{name}")
    def file_out(name: str, request: Request, section: str | None = None) -> Response:
        stem, _, ending = name.rpartition(".")
        document_id, section_id = _number(stem), _number(section)
        if ending not in FORMATS or document_id is None or (section is not None and section_id is None):
            return refusal(404, "NotFound", "There is no such document.")
        return attempt(lambda: _exported(session_of(request), document_id, section_id, ending))

    @routes.post("/import")
    async def file_in(request: Request, name: str = "") -> Response:
        content = bytearray()
        async for piece in request.stream():
            content += piece
            if len(content) > MAX_FILE:
                return refusal(
                    413, "BadRequest", f"This file is too large: at most {MAX_FILE // 2**20} MB are possible."
                )
        return await run_in_threadpool(attempt, lambda: _imported(session_of(request), name, bytes(content)))

    return routes


def keep(session: Session, imported: Imported) -> Document:
    """A new document of what has been read from a file. Raises StoreError; then no half of it stays."""
    document = session.create_document(imported.title)
    try:
        for number, part in enumerate(imported.parts):
            target = min(part.target_words, MAX_TARGET_WORDS)
            if number < len(document.sections):
                section = document.sections[number]
                session.change_section(section.id, section.revision, title=part.title, target_words=target)
            else:
                last = document.sections[-1].id
                document = session.add_section(
                    document.id, document.revision, after=last, title=part.title, target_words=target
                )
        for section, part in zip(session.document(document.id).sections, imported.parts, strict=True):
            if part.text:
                session.save_text(section.id, section.revision, 0, part.text, kind="import")
    except StoreError:
        session.delete_document(document.id, session.document(document.id).revision)
        raise
    return session.document(document.id)


def _exported(session: Session, document_id: int, section_id: int | None, ending: str) -> Response:
    document = session.document(document_id)
    if section_id is not None:
        alone = section_alone(document, section_id)
        if alone is None:
            raise NotFound("This section is not in this document any more; look at the document again.")
        document = alone
    file = export(document, ending)
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name)}",
        "Cache-Control": "no-store",
        **({NOTE: quote(file.note)} if file.note else {}),
    }
    return Response(file.content, headers=headers, media_type=file.media_type)


def _imported(session: Session, name: str, content: bytes) -> Response:
    imported = import_file(name, content)
    return answer({"document": outline_json(keep(session, imported)), "notes": list(imported.notes)})


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
