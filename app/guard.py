"""Who may talk to the page's server, and what a browser may do with its answers.

Knows nothing of documents. A page on another site, or a name that was made to point at this machine, gets a refusal; of
Gradio's own routes only those that its named endpoints need are let through.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.answers import refusal

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors {ancestors}",
    )
)

FILES = "application/octet-stream"
"""How a file comes in. Like JSON and unlike a form, no other page can send it without asking first."""

OWN_ROUTES = ("/assets/", "/desk/")
PAGES = frozenset({"/", "/lab"})
"""What another site may link to."""

OWN_PAGES = PAGES | {"/favicon.ico", "/robots.txt"}
GRADIO_ROUTES = ("/gradio_api/call/", "/gradio_api/queue/", "/gradio_api/heartbeat/", "/gradio_api/info")
GRADIO_PAGES = frozenset({"/config", "/gradio_api/startup-events"})


class Guard:
    """An ASGI layer around the whole server.

    names     host names, without port, under which the page may be asked for over this machine's loopback, beside the
              local ones. A server that was bound to another address on purpose answers to any name.
    embedded  whether Hugging Face's own pages may show it in a frame (a Space).
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = (), embedded: bool = False) -> None:
        self._app = app
        self._names = LOCAL_NAMES | {name.lower() for name in names}
        ancestors = "'self' https://huggingface.co https://*.hf.space" if embedded else "'none'"
        self._headers = {
            "Content-Security-Policy": POLICY.format(ancestors=ancestors),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # there are no web sockets here
        headers = Headers(scope=scope)
        if sentence := self._refusal(scope, headers):
            await self._refuse(refusal(403, "Refused", sentence), scope, receive, send)
            return
        if not _known(scope["path"]):
            nothing = refusal(404, "NotFound", "There is nothing at this address.")
            await self._refuse(nothing, scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, with_headers)

    async def _refuse(self, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        response.headers.update(self._headers)
        await response(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> str | None:
        """Why this request is not answered, in one sentence."""
        host = headers.get("host", "").lower()
        if _over_loopback(scope) and _name(host) not in self._names:
            return "The desk does not answer under this name; open it under the address it printed when it started."
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host:
            return "Another page asked for this; the desk answers to its own page only."
        if headers.get("sec-fetch-site") == "cross-site" and not _opening(scope, headers):
            return "Another page asked for this; the desk answers to its own page only."
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return "The desk only answers to GET and POST."
        taken = FILES if scope["path"] == "/desk/import" else "application/json"
        if scope["method"] == "POST" and headers.get("content-type", "").partition(";")[0].strip() != taken:
            return f"The desk only takes {'JSON' if taken != FILES else f'files as {FILES}'}."
        return None


def _known(path: str) -> bool:
    return path in OWN_PAGES | GRADIO_PAGES or path.startswith(OWN_ROUTES + GRADIO_ROUTES)


def _opening(scope: Scope, headers: Headers) -> bool:
    """Whether somebody follows a link to a page itself, which shows nothing to where the link stood."""
    return scope["path"] in PAGES and headers.get("sec-fetch-mode") == "navigate"


def _over_loopback(scope: Scope) -> bool:
    """Whether the connection came in on this machine's own address, where only this machine's programs are."""
    server = scope.get("server")
    if server is None or server[1] is None:  # a Unix socket
        return True
    try:
        return ipaddress.ip_address(server[0]).is_loopback
    except ValueError:
        return True


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
