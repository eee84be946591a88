"""With this folder on PYTHONPATH a Python process, and each one it starts, has no network but its own machine.

Every try to reach further is written to the file named in GALLEY_OUTSIDE and answered as if no cable were plugged in.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Callable
from typing import Any

LOCAL_NAMES = ("", "localhost", "0.0.0.0", "::", None)


def is_local(host: object) -> bool:
    """Whether the name or address is of this machine, without asking anyone."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(str(host).partition("%")[0]).is_loopback
    except ValueError:
        return False


def refuse(host: object, what: str) -> None:
    """Writes down the try and fails it."""
    with open(os.environ["GALLEY_OUTSIDE"], "a", encoding="utf-8") as file:
        file.write(f"{what} {host}\n")
    raise OSError(errno.ENETUNREACH, f"No network in this test: {what} {host}")


def guarded_method(name: str) -> None:
    original: Callable[..., Any] = getattr(socket.socket, name)

    def method(self: socket.socket, *arguments: Any) -> Any:
        address = arguments[-1]
        if self.family in (socket.AF_INET, socket.AF_INET6) and not is_local(address[0]):
            refuse(address[0], name)
        return original(self, *arguments)

    setattr(socket.socket, name, method)


def guarded_function(name: str) -> None:
    original: Callable[..., Any] = getattr(socket, name)

    def function(host: object, *arguments: Any, **named: Any) -> Any:
        if not is_local(host):
            refuse(host, name)
        return original(host, *arguments, **named)

    setattr(socket, name, function)


if "GALLEY_OUTSIDE" in os.environ:
    for method_name in ("connect", "connect_ex", "sendto"):
        guarded_method(method_name)
    for function_name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        guarded_function(function_name)
