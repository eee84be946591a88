"""The edge of a training command: what goes wrong is one sentence and an exit code. Knows no command."""

from __future__ import annotations

import sys
from collections.abc import Callable

from model.training.settings import InvalidSetting


def exit_code(work: Callable[[], object], problems: tuple[type[Exception], ...]) -> int:
    """Does the work, prints what it returns. 0: done. 1: stopped by a problem or the disk. 2: impossible settings."""
    try:
        print(work())
    except InvalidSetting as problem:
        print(problem, file=sys.stderr)
        return 2
    except problems as problem:
        print(problem, file=sys.stderr)
        return 1
    except OSError as problem:
        print(f"{problem.filename or 'A file'} cannot be used ({problem.strerror or problem}).", file=sys.stderr)
        return 1
    return 0
