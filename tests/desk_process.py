"""Galley with the scripted engine, as a process of its own that a test starts, asks and ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import psutil

from app.environment import ROOT

LIMIT_SECONDS = 60.0
"""After this a process that should have ended is killed, and the test fails for what is missing then."""

SCRIPTED = """
import sys
from app.launch import launch
from app.settings import parse
from app.terminal import write
from tests.scripted_engine import scripted_child
settings = parse(sys.argv[1:])
writing = settings.writing
sys.exit(launch(settings, scripted_child) if writing is None else write(settings, writing, scripted_child))
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """What the process left: its exit code, and all it wrote that was not read before."""

    code: int
    out: str
    err: str


class DeskProcess:
    """One running Galley; leave it with `end` or a signal."""

    def __init__(self, arguments: list[str], environment: dict[str, str], program: list[str]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [*program, *arguments], cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True, encoding="utf-8"
        )
        self._err: list[str] = []
        assert self.process.stderr is not None
        self._stderr = self.process.stderr
        self._reader = threading.Thread(target=lambda: self._err.extend(self._stderr), daemon=True)
        self._reader.start()
        self._watchdog = threading.Timer(LIMIT_SECONDS, self.process.kill)
        self._watchdog.start()

    def line(self) -> str:
        """The next line of stdout; empty when there is none any more."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def events(self) -> Iterator[dict[str, Any]]:
        """stdout as one JSON object per line."""
        while line := self.line():
            yield json.loads(line)

    def family(self) -> list[psutil.Process]:
        """The process and everything it has started."""
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def ended(self) -> Ended:
        """Waits for the end."""
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        code = self.process.wait(LIMIT_SECONDS)
        return Ended(code, out, self.errors())

    def errors(self) -> str:
        """All of stderr, once the process has ended."""
        self._reader.join(LIMIT_SECONDS)
        self._watchdog.cancel()
        return "".join(self._err)

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def close(self) -> None:
        """For a test that failed on the way."""
        if self.process.poll() is None:
            self.process.kill()
        self._watchdog.cancel()


@contextmanager
def running(
    arguments: list[str], environment: dict[str, str], *, program: list[str] | None = None
) -> Iterator[DeskProcess]:
    """program: what to run in place of Galley with the scripted engine."""
    desk = DeskProcess(arguments, environment, program or [sys.executable, "-c", SCRIPTED])
    try:
        yield desk
    finally:
        desk.close()


def folders(tmp_path: Path) -> list[str]:
    """Options that keep everything in the test's own folder. The scripted engine's script lies in its cache."""
    return ["--data-dir", str(tmp_path / "data"), "--cache-dir", str(tmp_path / "cache")]


def get(address: str) -> HTTPResponse:
    answer: HTTPResponse = urllib.request.urlopen(address, timeout=LIMIT_SECONDS)
    return answer


def verb(address: str, name: str, **given: Any) -> dict[str, Any]:
    """One verb of the page's."""
    request = urllib.request.Request(
        f"{address}desk/verb/{name}", json.dumps(given).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=LIMIT_SECONDS) as answer:
        said: dict[str, Any] = json.load(answer)
        return said


def stream(answer: HTTPResponse) -> Iterator[dict[str, Any]]:
    """The events of /desk/events."""
    for line in answer:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))
