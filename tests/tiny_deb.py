"""A Debian package with files of our own, as `corpora` reads it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path


def make_deb(folder: Path, package: str, files: Mapping[str, bytes]) -> Path:
    """package_1.deb in the folder, with these files by path."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:xz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{package}_1.deb"
    parts = {"debian-binary": b"2.0\n", "data.tar.xz": inner.getvalue()}
    made.write_bytes(b"!<arch>\n" + b"".join(_part(name, data) for name, data in parts.items()))
    return made


def _part(name: str, data: bytes) -> bytes:
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
    return head + data + b"\n" * (len(data) % 2)
