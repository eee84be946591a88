"""`python -m tests [arguments for pytest]`: the whole suite, on a fresh machine too."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

if sys.version_info < (3, 11):  # noqa: UP036 (an older Python is exactly who this line speaks to)
    sys.exit("Galley needs Python 3.11 or newer, and this is Python " + sys.version.split()[0] + ".")

from app.environment import ROOT, enter, go_on_with
from tests.chromium import NoChromium, see_to_it


def need_browser(arguments: Sequence[str]) -> bool:
    """Whether these arguments for pytest let it come to the page's tests."""
    if any(argument.startswith("--ignore=tests/browser") for argument in arguments):
        return False
    named = places(arguments)
    return not named or any("browser" in name or (ROOT / name).is_dir() for name in named)


def places(arguments: Sequence[str]) -> list[str]:
    """The files, folders and tests among arguments for pytest."""
    return [argument for argument in arguments if (ROOT / argument.partition("::")[0]).exists()]


PROCESSES = "3"
"""One more than cores: browser tests wait for a page, and tests that kill wait for processes."""


def side_by_side(arguments: Sequence[str]) -> list[str]:
    """Options with which the whole suite runs in several processes, a file in one of them; a part of it runs in one.

    In the order of their names: long files with few tests would come last otherwise, when nothing else is left.
    """
    return [] if places(arguments) else ["-n", PROCESSES, "--dist", "loadfile", "--no-loadscope-reorder"]


def main(arguments: Sequence[str]) -> NoReturn:
    """Ends with pytest's exit code."""
    enter("requirements-dev.txt", ["-m", "tests", *arguments])
    if need_browser(arguments):
        try:
            see_to_it()
        except NoChromium as problem:
            sys.exit(str(problem))
    os.chdir(ROOT)
    options = side_by_side(arguments)
    if options:
        os.environ["OMP_NUM_THREADS"] = "1"  # there are as many processes as cores already
    go_on_with([sys.executable, "-m", "pytest", *options, *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
