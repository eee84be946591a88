"""Runs the programs that convert: pandoc for Word files and e-books, typst for PDF.

Each runs as a process of its own with nothing to read but what it is given, for a minute at most. Knows nothing of
documents. Neither program is looked for, imported or started before the first conversion.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

SECONDS = 60.0
"""A conversion takes no longer."""

PANDOC_MEMORY = "2G"
"""Of pandoc's heap: far above what the longest novel needs."""

AT_ONCE = 2
"""Conversions at the same time; others wait."""

_turns = threading.BoundedSemaphore(AT_ONCE)


class ConversionError(Exception):
    """A file could not be made or read; the message is one sentence for the writer."""


def run_pandoc(arguments: Sequence[str], given: bytes, *, seconds: float = SECONDS) -> bytes:
    """What pandoc makes of the bytes. It can neither open other files nor the network. Raises ConversionError."""
    with tempfile.TemporaryDirectory(prefix="galley-") as folder:
        # No data folder of the user's: a template in there would change what comes out.
        limits = ["--sandbox", f"--data-dir={folder}", "+RTS", f"-M{PANDOC_MEMORY}", "-RTS"]
        return _run([str(_pandoc()), *limits, *arguments, "--output=-"], given, folder, seconds)[0]


def run_typst(source: str, *, system_fonts: bool = True, seconds: float = SECONDS) -> tuple[bytes, list[str]]:
    """The PDF that typst makes of its source, and the characters for which no font was found, in their order.

    Fonts that come with typst are taken first; system_fonts: those of this machine help out. Raises ConversionError.
    """
    if find_spec("typst") is None:
        raise ConversionError("PDF files need the Python package typst; install what requirements.txt names.")
    with tempfile.TemporaryDirectory(prefix="galley-") as folder:
        # -P: the modules beside the script are not to be imported by their bare names
        command = [sys.executable, "-P", str(Path(__file__).parent / "formats" / "typst_child.py"), folder]
        pdf, said = _run(command + ["--own-fonts"] * (not system_fonts), source.encode(), folder, seconds)
    missing: list[str] = json.loads(said.splitlines()[-1])
    return pdf, missing


def _pandoc() -> Path:
    """The one out of the package, whatever else is installed: its version decides how a file comes out."""
    package = find_spec("pypandoc")
    for name in ("pandoc.exe", "pandoc"):
        if package and package.origin and (path := Path(package.origin).parent / "files" / name).exists():
            return path
    raise ConversionError("Word files and e-books need the Python package pypandoc-binary; install requirements.txt.")


def _run(command: list[str], given: bytes, folder: str, seconds: float) -> tuple[bytes, str]:
    """(stdout, stderr)."""
    environment = {**os.environ, "PYTHONUTF8": "1"}
    with _turns:
        try:
            done = subprocess.run(
                command, input=given, capture_output=True, check=False, timeout=seconds, cwd=folder, env=environment
            )
        except subprocess.TimeoutExpired as error:
            raise ConversionError(
                f"The conversion was stopped after {seconds:.0f} seconds; try it with one section."
            ) from error
        except OSError as error:
            raise ConversionError(f"The program that converts could not be started: {error.strerror}.") from error
    said = done.stderr.decode("utf-8", "replace")
    if done.returncode:
        lines = said.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise ConversionError(f"The conversion did not work: {lines[-1].strip().rstrip('.')}.")
    return done.stdout, said
