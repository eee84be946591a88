"""Sees to the Python environment: finds what requirements.txt asks for, or installs it in .venv and goes on in there.

Standard library only, and knows nothing of the desk or the model. Used by run.py and by the test runner.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"


class EnvironmentProblem(Exception):
    """The environment could not be made; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One pinned line of a requirements file."""

    name: str
    version: str


def enter(requirements: str, arguments: Sequence[str]) -> None:
    """Returns where this interpreter has what the file in the project's folder asks for.

    Otherwise makes .venv and starts `arguments` again inside it. On a Hugging Face Space the platform has installed the
    file already. Exits with one sentence where the environment cannot be made.
    """
    if "SPACE_ID" in os.environ:
        return
    wanted = missing(read_requirements(ROOT / requirements))
    if not wanted:
        return
    try:
        python = make_environment(ROOT / requirements, ENVIRONMENT, wanted)
        if Path(sys.prefix).resolve() != ENVIRONMENT.resolve():
            go_on_with([str(python), *arguments])
    except EnvironmentProblem as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("Interrupted; the same command goes on where it stopped.")


def read_requirements(path: Path) -> list[Requirement]:
    """The pinned lines of the file and of the files it includes, in order."""
    requirements = []
    for file in _with_included(path):
        for line in file.read_text(encoding="utf-8").splitlines():
            name, pinned, version = line.partition("#")[0].strip().partition("==")
            if pinned:
                requirements.append(Requirement(name, version))
    return requirements


def missing(requirements: Sequence[Requirement]) -> list[str]:
    """What this interpreter lacks or has in a version older than the pinned one. A newer version is let pass."""
    lacking = []
    for requirement in requirements:
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            lacking.append(requirement.name)
            continue
        if _release(found) < _release(requirement.version):
            lacking.append(f"{requirement.name} {requirement.version} (here is {found})")
    return lacking


def make_environment(requirements: Path, folder: Path, wanted: Sequence[str] = ()) -> Path:
    """The Python of an environment that has the requirements; makes or repairs it where needed, with visible progress.

    What is installed and fits is kept, so an environment that already holds another build of torch keeps it.
    Raises EnvironmentProblem.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    files = list(_with_included(requirements))
    if python.exists() and all(_stamp(folder, file).exists() for file in files):
        stamped = {file: _stamp(folder, file).read_text(encoding="ascii", errors="replace") for file in files}
        if all(stamped[file] == _fingerprint(file) for file in files):
            return python

    _say(f"Preparing {folder} (missing here: {', '.join(wanted)})." if wanted else f"Preparing {folder}.")
    if not _runs(python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"):
        _make_empty(folder)
    elif not _runs(python, "-m", "pip", "--version"):
        _run([str(python), "-m", "ensurepip", "--upgrade"], f"pip could not be added to {folder}; delete that folder")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install"]
    newer_pip = [f"{r.name}=={r.version}" for r in read_requirements(requirements) if r.name == "pip"]
    sentence = (
        "The requirements could not be installed (pip's own last lines stand above); "
        "if this machine is offline, connect it (what has been installed stays)"
    )
    if newer_pip:  # first, because a recent one goes on with a download that broke off
        _run([*pip, *newer_pip], sentence)
    _run([*pip, "-r", str(requirements)], sentence)
    for file in files:
        _stamp(folder, file).write_text(_fingerprint(file), encoding="ascii")
    return python


def go_on_with(command: list[str]) -> NoReturn:
    """Continues as this command: in the same process where the system can do that, else as its parent."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "nt":
        os.execv(command[0], command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the child as well, which knows how to stop
    sys.exit(subprocess.run(command, check=False).returncode)


def _with_included(path: Path) -> Iterator[Path]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            yield from _with_included(path.parent / line.removeprefix("-r ").strip())
    yield path


def _release(version: str) -> tuple[int, ...]:
    """(2, 13, 0) of "2.13.0+cpu" or "2.13.0rc1"."""
    numbers = []
    for part in version.partition("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def _make_empty(folder: Path) -> None:
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        raise EnvironmentProblem(
            "This Python cannot make a virtual environment; install its venv package "
            "(Debian and Ubuntu: apt install python3-venv) and give the same command again."
        )
    _run(
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        f"The virtual environment could not be made in {folder}; see that the folder can be written to",
    )


def _run(command: list[str], sentence: str) -> None:
    """With its output on stderr: stdout is what the program answers. Raises EnvironmentProblem where it fails."""
    if subprocess.run(command, check=False, stdout=2).returncode:
        raise EnvironmentProblem(f"{sentence}, and give the same command again.")


def _runs(python: Path, *arguments: str) -> bool:
    if not python.exists():
        return False
    quiet = subprocess.DEVNULL
    return subprocess.run([python, *arguments], stdout=quiet, stderr=quiet, check=False).returncode == 0


def _stamp(folder: Path, file: Path) -> Path:
    """Says, inside the environment, which state of the requirements file has been installed to the end."""
    return folder / f"{file.stem}.installed"


def _fingerprint(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
