"""Options that several evaluation commands have."""

from __future__ import annotations

import argparse
from pathlib import Path


def positive(text: str) -> int:
    """A whole number of 1 or more, for argparse."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return int(text)


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The seed, and how the machine is to be used."""
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="same seed, same texts (default: 1)")
    parser.add_argument("--threads", type=positive, metavar="N", help="CPU threads (default: torch's own choice)")
    parser.add_argument("--cache-dir", type=Path, metavar="FOLDER", help="where model files are kept")
    return parser
