"""Serves the desk as a page until the writer ends it.

Decides how Galley listens, and that nobody outside hears of it; knows nothing of what is on the page.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator, MutableMapping
from contextlib import closing, contextmanager

from app.desk import opened
from app.events import Hub
from app.lab import Lab
from app.lab_process import Child as LabChild
from app.lab_process import lab_child
from app.press import Press
from app.progress import Progress
from app.settings import Settings
from app.stopping import stopped_by_signals
from app.store import StoreError
from app.visitors import Visitors
from app.worker import Child, child_main

GRACE_SECONDS = 1.0
"""How long requests that would not end by themselves may take to be cut off."""


class CannotListen(Exception):
    """The address cannot be used; the message is one sentence that says what to do."""


def launch(settings: Settings, child: Child = child_main) -> int:
    """Runs the desk until Ctrl+C, SIGTERM or the end of the terminal. Returns the exit code.

    child: what runs in the model process.
    """
    keep_private(os.environ)
    try:
        with stopped_by_signals():
            port = usable_port(settings.host, settings.port)
            with opened(settings, child) as visitors, served(visitors, settings, port) as address:
                print(f"Galley is ready at {address}", flush=True)
                if settings.shared:
                    print("Every browser that comes here has documents of its own.", file=sys.stderr)
                if settings.browser:
                    open_browser(address)
                follow(visitors.press)
    except KeyboardInterrupt:
        return 0
    except (CannotListen, StoreError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def keep_private(environment: MutableMapping[str, str]) -> None:
    """No library reports home, and local requests go round a proxy. To be called before gradio is imported."""
    environment["GRADIO_ANALYTICS_ENABLED"] = "False"
    environment["HF_HUB_DISABLE_TELEMETRY"] = "1"
    environment["DO_NOT_TRACK"] = "1"
    direct = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(
        dict.fromkeys([*filter(None, direct.split(",")), "127.0.0.1", "localhost", "::1"])
    )


def usable_port(host: str, port: int) -> int:
    """The port itself, or a free one for 0. Raises CannotListen."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name != "nt":  # there it would let two programs share one port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        raise CannotListen(_why(error, host, port)) from error


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use; start Galley with another --port, or with --port 0 for any free one."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Port {port} is not for ordinary users; start Galley with a --port above 1023, or with --port 0."
    return f"This machine has no address {host!r} to listen on; leave out --host, or give one it has."


@contextmanager
def served(visitors: Visitors, settings: Settings, port: int, child: LabChild = lab_child) -> Iterator[str]:
    """The address of the page, which answers. Raises CannotListen where the port was lost in between.

    child: what runs in the lab's process.
    """
    from app.page import build_page

    host = settings.host
    idle = visitors.press.idle
    lab = Lab(settings.lab, cache_dir=settings.cache, threads=settings.threads, desk_idle=idle, child=child)
    page = build_page(visitors, lab, accounts=dict(settings.accounts), shared=settings.shared)
    try:
        try:
            _, address, _ = page.launch(
                server_name=f"[{host}]" if ":" in host.strip("[]") else host,
                server_port=port,
                prevent_thread_lock=True,
                quiet=True,
                inbrowser=False,
                share=False,
                ssr_mode=False,
                run_history=False,
                enable_monitoring=False,
                mcp_server=False,
                pwa=False,
                _frontend=False,  # no look at the page through whatever proxy is set; ours follows
            )
        except OSError as error:
            raise CannotListen(_why(OSError(errno.EADDRINUSE, ""), host, port)) from error
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with contextlib.suppress(urllib.error.HTTPError), direct.open(address, timeout=30) as answer:
            answer.read()  # or an answer that asks for a password
        yield address
    finally:
        _close(page)
        lab.close()


def _close(page: object) -> None:
    blocks = getattr(page, "blocks", None)
    server = getattr(blocks, "server", None)
    if blocks is None or server is None:
        return
    blocks.close(verbose=False)  # tells the event streams too, and waits a few seconds
    server.force_exit = True
    server.thread.join(GRACE_SECONDS)


def open_browser(address: str) -> None:
    """Shows the page, where there is a screen: in a bare terminal a text browser would take the terminal over."""
    if sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(address)


def follow(press: Press) -> None:
    """Shows the model's way to readiness, now and after every restart; until an exception ends it."""
    hub = Hub()
    press.join(hub.publish)
    with closing(hub.subscribe()) as news, closing(Progress()) as progress:
        progress.show(press.engine())
        while not news.closed:
            event = news.get(timeout=1.0)
            if event is not None:
                progress.show(event)
