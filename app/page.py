"""The desk in a browser: our own page on Gradio's server.

Turns requests into verbs of the session and its events into a stream; decides nothing about writing. The page itself
is assets/desk.html with its style sheet and scripts; why it is not made of Gradio's components: docs/page-decision.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from gradio import Error, Server
from starlette.concurrency import run_in_threadpool

from app.answers import answer, dumps, refusal
from app.attempts import attempt
from app.doorkeeper import SCOPE, Doorkeeper
from app.events import PICTURES, Subscription
from app.guard import Guard
from app.lab import Lab
from app.lab_routes import lab_routes
from app.session import Session
from app.store import StoreError, StoreUnavailable
from app.transfer_routes import transfer_routes
from app.verbs import VERBS, BadRequest, Fields, Json
from app.verbs.shapes import card_json, state_json
from app.visitors import OWN, Visitors

ASSETS = Path(__file__).resolve().parent.parent / "assets"

MEDIA = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".html": "text/html"}
"""The kinds of file under assets/ that a browser may have."""

PICTURES_PER_SECOND = 16
"""Of the live block, at most: 15 are wanted, and a pause always ends a little late."""

BEAT_SECONDS = 10.0
"""A comment goes out after so much silence, so that a dead connection is noticed on either side."""

POLL_SECONDS = 1.0
MAX_BODY = 16 * 1024 * 1024
MAX_TABS = 200


def build_page(
    visitors: Visitors,
    lab: Lab | None = None,
    *,
    accounts: Mapping[str, str] | None = None,
    shared: bool = False,
    names: Iterable[str] = (),
) -> Server:
    """The server of the page, ready to launch.

    lab: None: one without networks. accounts, shared: how visitors are told apart, see app.doorkeeper.
    names: host names it answers to beside this machine's own; needed behind a proxy on the same machine only.
    """
    space = os.environ.get("SPACE_HOST", "")
    page = Server(title="Galley", docs_url=None, redoc_url=None, openapi_url=None)
    page.add_middleware(Doorkeeper, accounts=accounts, shared=shared, embedded=bool(space))
    page.add_middleware(Guard, names=[*names, *filter(None, [space])], embedded=bool(space))  # asks first
    page.include_router(_files())
    tabs = anyio.CapacityLimiter(MAX_TABS)

    def stream(subscription: Subscription) -> Response:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        events = event_stream(subscription, page.stop_event, tabs)
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    page.include_router(_desk(visitors, stream))
    page.include_router(lab_routes(lab or Lab(None, cache_dir=Path()), _body, stream))
    page.include_router(transfer_routes(lambda request: visitors.session(request.scope[SCOPE])))
    if not shared and not accounts:
        _offer_endpoints(page, visitors.session(OWN))
    return page


def _offer_endpoints(page: Server, session: Session) -> None:
    """Gradio's named endpoints, for programs of the one person whose desk it is."""

    def documents() -> list[dict[str, Any]]:
        """The list of documents."""
        return [card_json(card) for card in session.documents()]

    def section_text(section_id: int) -> str:
        """The text of one section."""
        try:
            return session.section(section_id).text
        except StoreError as error:
            raise Error(str(error), print_exception=False) from error

    page.api(documents, name="documents", queue=False)
    page.api(section_text, name="section_text", queue=False)


def _files() -> APIRouter:
    """The page itself. In front of Gradio's own routes of the same names."""
    files = APIRouter()

    @files.api_route("/", methods=["GET", "HEAD"])
    def desk(request: Request) -> Response:
        return _file("desk.html", request)

    @files.api_route("/lab", methods=["GET", "HEAD"])
    def lab(request: Request) -> Response:
        return _file("lab.html", request)

    @files.get("/assets/{name}")
    def asset(name: str, request: Request) -> Response:
        return _file(name, request)

    @files.get("/favicon.ico")
    def icon(request: Request) -> Response:
        return _file("icon.svg", request)

    return files


def _desk(visitors: Visitors, stream: Callable[[Subscription], Response]) -> APIRouter:
    """What the page asks for. stream: events as an answer, until the server is closed."""
    desk = APIRouter(prefix="/desk")

    def session_of(request: Request) -> Session:
        """Raises StoreUnavailable."""
        return visitors.session(request.scope[SCOPE])

    @desk.get("/state")
    def state(request: Request) -> Response:
        return attempt(lambda: answer(state_json(session_of(request))))

    @desk.get("/events")
    async def events(request: Request) -> Response:
        try:
            session = await run_in_threadpool(session_of, request)
        except StoreUnavailable as error:
            return refusal(503, "StoreUnavailable", str(error))
        return stream(session.subscribe())

    @desk.post("/verb/{name}")
    async def verb(name: str, request: Request) -> Response:
        if name not in VERBS:
            return refusal(404, "NotFound", "The desk has no such verb.")
        try:
            given = Fields(await _body(request))
        except BadRequest as error:
            return refusal(400, "BadRequest", str(error))
        return await run_in_threadpool(attempt, lambda: answer(VERBS[name](session_of(request), given)))

    return desk


# ----------------------------------------------------------------------------------------------------------- events


async def event_stream(
    subscription: Subscription,
    stop: asyncio.Event,
    tabs: anyio.CapacityLimiter,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[str]:
    """The events of one tab. Ends with the server or with the tab, and then frees the subscription.

    After a picture of the live block it waits: newer pictures replace the one that is due meanwhile, all else keeps its
    place, so the last picture always arrives.
    """
    try:
        yield ": open\n\n"
        last_sent = next_picture = clock()
        while not stop.is_set():
            if (pause := next_picture - clock()) > 0:
                await sleep(pause)
            event = await anyio.to_thread.run_sync(subscription.get, POLL_SECONDS, limiter=tabs, abandon_on_cancel=True)
            now = clock()
            if event is not None:
                if event["type"] in PICTURES:
                    next_picture = now + 1 / PICTURES_PER_SECOND
                last_sent = now
                yield f"data: {dumps(event)}\n\n"
            elif now - last_sent >= BEAT_SECONDS:
                last_sent = now
                yield ": beat\n\n"
            elif subscription.closed:
                return
    finally:
        subscription.close()


# ------------------------------------------------------------------------------------------------- bodies and files


async def _body(request: Request) -> Json:
    """The request's JSON object. Raises BadRequest."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            raise BadRequest(f"This is too much at once: at most {MAX_BODY // 2**20} MB are possible.")
    try:
        given = json.loads(bytes(body) or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadRequest("The request is not readable as JSON.") from error
    if not isinstance(given, dict):
        raise BadRequest("The request has to be a JSON object.")
    return given


def _file(name: str, request: Request) -> Response:
    """A file that lies right under assets/, read anew every time: a changed one is seen at the next reload."""
    path = ASSETS / name
    media = MEDIA.get(path.suffix)
    if media is None or path.parent != ASSETS or not path.is_file():
        return refusal(404, "NotFound", "There is nothing at this address.")
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media)
