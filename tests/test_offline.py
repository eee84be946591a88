"""The guard that the other tests trust: it lets through this machine, and writes down everything else."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import Offline

TRY = """
import socket, urllib.request
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
def reach(what):
    try:
        what()
    except OSError as error:
        return "refused"
    return "reached"
outside = [
    lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.2", 53)),
    lambda: urllib.request.urlopen("http://galley.invalid/", timeout=1),
]
print(*[reach(what) for what in outside])
"""


def test_only_this_machine_is_reached_and_every_other_try_is_written_down(offline: Offline) -> None:
    command = [
        sys.executable,
        "-c",
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {TRY!r}], check=True)",
    ]
    said = subprocess.run(command, env=offline.environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["refused"] * 3
    assert [line.split()[1] for line in offline.tries()] == ["192.0.2.1", "192.0.2.2", "galley.invalid"]
