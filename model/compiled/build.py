"""Compiles the kernels for this machine, once, and loads them: writing gets about three times as fast.

Where there is no compiler, or a processor that they are not written for, there are none, and torch does the work.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("kernels.c")

FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "-w", "-lm")
"""OpenMP's threads are torch's own: both find the library that torch has brought along."""

COMPILERS = ("cc", "gcc", "clang")
"""Looked for in this order, unless the environment names another one as CC."""

PATIENCE = 120
"""Seconds after which a compiler is given up."""

FOLDER = "kernels"


def kernels_can_be() -> bool:
    """Whether they are written for this machine, which has a compiler and nothing faster."""
    return (
        not torch.cuda.is_available()
        and sys.platform == "linux"
        and platform.machine().lower() in ("x86_64", "amd64")
        and torch.cpu._is_avx2_supported()
        and _compiler() is not None
    )


def is_compiled(cache_dir: Path) -> bool:
    """Whether they need not be compiled any more."""
    return _file(cache_dir).is_file()


def compiled(cache_dir: Path) -> ctypes.CDLL | None:
    """The kernels, compiled into the cache folder where they are not there yet; None where they cannot be had.

    What lies there is loaded only if it belongs to this user and nobody else may write it.
    """
    if not kernels_can_be():
        return None
    file = _file(cache_dir)
    try:
        if not (file.is_file() and _is_ours(file)):
            _compile(file)
        return ctypes.CDLL(str(file))
    except (OSError, subprocess.SubprocessError):
        return None  # no room, no right to write, or a compiler that cannot do it


def _compiler() -> str | None:
    names = (named,) if (named := os.environ.get("CC")) else COMPILERS
    return next((found for name in names if (found := shutil.which(name))), None)


def _file(cache_dir: Path) -> Path:
    """Named by everything that it is made of: source, flags, compiler and processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    processor = "\n".join(dict.fromkeys(line for line in lines if line.startswith(("model name", "flags"))))
    made_of = (SOURCE.read_text(encoding="utf-8"), *FLAGS, str(_compiler()), processor)
    return cache_dir / FOLDER / f"{hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]}.so"


def _is_ours(file: Path) -> bool:
    there = file.stat()
    return there.st_uid == os.getuid() and not there.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _compile(file: Path) -> None:
    """Raises OSError, subprocess.SubprocessError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".new-") as folder:
        new = Path(folder) / file.name
        command = [str(_compiler()), str(SOURCE), "-o", str(new), *FLAGS]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
        new.chmod(0o700)
        new.replace(file)
