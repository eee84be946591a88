"""Who is asking: finds a visitor's name for every request, by password or by cookie.

Knows nothing of documents. A desk of one person has neither; one that is shared knows visitors by a random cookie, or
by the names and passwords it was started with.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.answers import refusal
from app.guard import PAGES
from app.visitors import OWN

SCOPE = "galley.visitor"
"""Where the name stands in the scope of a request."""

COOKIE = "galley_visitor"
COOKIE_SECONDS = 400 * 24 * 3600
"""The longest that browsers keep one; every visit of the page begins it anew."""

TOKEN_BYTES = 24
TOKEN_LENGTH = 32

WRONG_PASSWORD_SECONDS = 1.0
"""A wrong password is answered so much later: guessing is slow."""


class Doorkeeper:
    """An ASGI layer in front of the desk.

    accounts  password by name: whoever asks has to know one of them (HTTP's own "Basic" way); empty: nobody is asked.
    shared    without accounts: every browser is a visitor of its own.
    embedded  the page stands in a frame of another site (a Space); a browser keeps cookies apart for each such site.
    """

    def __init__(
        self, app: ASGIApp, accounts: Mapping[str, str] | None = None, shared: bool = False, embedded: bool = False
    ) -> None:
        self._app = app
        self._accounts = dict(accounts or {})
        self._shared = shared
        self._attributes = "SameSite=None; Secure; Partitioned" if embedded else "SameSite=Lax"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._accounts:
            await self._by_password(scope, receive, send)
        elif self._shared:
            await self._by_cookie(scope, receive, send)
        else:
            await self._app({**scope, SCOPE: OWN}, receive, send)

    async def _by_password(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = _credentials(Headers(scope=scope).get("authorization", ""))
        if given is None or not self._right(*given):
            if given is not None:
                await anyio.sleep(WRONG_PASSWORD_SECONDS)
            response = refusal(401, "Refused", "This desk asks for a name and a password.")
            response.headers["WWW-Authenticate"] = _CHALLENGE
            await response(scope, receive, send)
            return
        await self._app({**scope, SCOPE: f"name:{given[0]}"}, receive, send)

    def _right(self, name: str, password: str) -> bool:
        """Takes as long for a name that is not known."""
        wanted = self._accounts.get(name)
        same = hmac.compare_digest((wanted or "").encode(), password.encode())
        return same and wanted is not None

    async def _by_cookie(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = _token(Headers(scope=scope).get("cookie", ""))
        opening = scope["path"] in PAGES
        if token is None and not opening and scope["path"].startswith("/desk/"):
            unknown = "The desk does not know this browser yet; allow its cookie and reload the page."
            await refusal(403, "Refused", unknown)(scope, receive, send)
            return
        token = token or secrets.token_urlsafe(TOKEN_BYTES)

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and opening:
                cookie = f"{COOKIE}={token}; Path=/; HttpOnly; Max-Age={COOKIE_SECONDS}; {self._attributes}"
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self._app({**scope, SCOPE: f"cookie:{token}"}, receive, with_cookie)


_CHALLENGE = 'Basic realm="Galley", charset="UTF-8"'


def _credentials(header: str) -> tuple[str, str] | None:
    """(name, password) of an Authorization header of the Basic kind."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, password) if colon else None


def _token(header: str) -> str | None:
    """The visitor's cookie, if it is one that was made here."""
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    if morsel is None or len(morsel.value) != TOKEN_LENGTH:
        return None
    return morsel.value if all(each.isascii() and (each.isalnum() or each in "-_") for each in morsel.value) else None
