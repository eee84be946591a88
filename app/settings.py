"""What the command line and the environment ask for, checked once and frozen.

Standard library until a default folder is asked for, so that --help and a wrong option answer before anything is
installed. Knows nothing of what the settings are used for.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import NoReturn

from model.catalog import CATALOG, Entry, UnknownModel, UnknownStop, entry_of, find

DATABASE = "galley.db"


@dataclass(frozen=True, slots=True)
class Writing:
    """One section written in the terminal.

    title  of the new document; empty: the brief's first words.
    words  the length target.
    seed   None: a new one.
    json   one JSON line per event in place of plain text.
    """

    brief: str
    words: int
    dial: str
    seed: int | None
    title: str
    json: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """data_dir, cache_dir None: the user's own folders. port 0: any free one. threads None: the engine's choice.

    model     what the worker opens: the id of `entry`, or the path of a local folder with weights.
    accounts  (name, password) of those who may use the desk, each with documents of their own; empty: no password.
    shared    without accounts: every browser has documents of its own.
    listing   the models are to be listed.
    lab       the folder of a table run, whose networks the page /lab lets write; None: those of the repository.
    """

    host: str
    port: int
    data_dir: Path | None
    cache_dir: Path | None
    model: str
    entry: Entry
    browser: bool
    threads: int | None
    accounts: tuple[tuple[str, str], ...] = ()
    shared: bool = False
    lab: Path | None = None
    listing: bool = False
    writing: Writing | None = None

    @property
    def database(self) -> Path:
        """The file with the documents."""
        if self.data_dir is not None:
            return self.data_dir / DATABASE
        from platformdirs import user_data_path

        return user_data_path("galley", appauthor=False) / DATABASE

    @property
    def cache(self) -> Path:
        """The folder with what can be fetched again: model files."""
        if self.cache_dir is not None:
            return self.cache_dir
        from platformdirs import user_cache_path

        return user_cache_path("galley", appauthor=False)


class InvalidOption(ValueError):
    """An option has a value Galley cannot work with; the message says which one and what is possible."""


def parse(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this start. A value that is not possible ends the program with one sentence and exit code 2."""
    try:
        return _settings(vars(_parser().parse_args(arguments)), environment)
    except (InvalidOption, UnknownModel, UnknownStop) as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def _settings(given: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    def value(name: str, default: str = "") -> str:
        """The option, else its environment variable, else the default."""
        option = given.get(name)
        return environment.get(f"GALLEY_{name.upper()}", default) if option is None else str(option)

    on_a_space = "SPACE_ID" in environment
    model, entry = _model(value("model", CATALOG[0].id))
    threads = value("threads")
    host = value("host", "0.0.0.0" if on_a_space else "127.0.0.1")
    accounts = _accounts(given.get("auth") or environment.get("GALLEY_AUTH", "").split())
    settings = Settings(
        host=host,
        port=_number("--port", value("port", "7860"), 0, 65535),
        data_dir=_folder("--data-dir", value("data_dir")),
        cache_dir=_folder("--cache-dir", value("cache_dir")),
        model=model,
        entry=entry,
        browser=not given.get("no_browser") and not on_a_space,
        threads=_number("--threads", threads, 1, 1024) if threads else None,
        accounts=accounts,
        shared=not accounts and (bool(given.get("shared")) or on_a_space or not _only_here(host)),
        lab=_folder("--lab", value("lab")),
        listing=given["command"] == "models",
    )
    return replace(settings, writing=_writing(given, entry)) if given["command"] == "write" else settings


def _writing(given: Mapping[str, object], entry: Entry) -> Writing:
    dial = str(given["dial"] or entry.default_stop)
    brief, seed = str(given["brief"]).strip(), given["seed"]
    entry.stop(dial)
    if not brief:
        raise InvalidOption("The brief is empty; say in a few words what the section is about.")
    return Writing(
        brief=brief,
        words=_number("--words", str(given["words"]), 1, 5000),
        dial=dial,
        seed=None if seed is None else _number("--seed", str(seed), 0, 2**31 - 1),
        title=str(given["title"]).strip(),
        json=bool(given["json"]),
    )


def _model(name: str) -> tuple[str, Entry]:
    """What the worker opens, and the facts about it: the catalogue's, or what a folder's config.json says."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        entry = entry_of(folder.resolve())
        return entry.id, entry
    try:
        entry = find(name)
    except UnknownModel as error:
        raise UnknownModel(f"{str(error).removesuffix('.')}, or give a folder with weights.") from None
    return entry.id, entry


def _folder(option: str, value: str) -> Path | None:
    if not value:
        return None
    folder = Path(value).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise InvalidOption(f"{option} {value} is a file; give a folder.")
    return folder


def _accounts(given: object) -> tuple[tuple[str, str], ...]:
    assert isinstance(given, list)
    accounts = {}
    for account in map(str, given):
        name, colon, password = account.partition(":")
        if not (name and colon and password):
            raise InvalidOption("--auth takes a name and a password with a colon between, such as --auth ada:secret.")
        accounts[name] = password
    return tuple(accounts.items())


def _only_here(host: str) -> bool:
    """Whether nobody but this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _number(option: str, value: str, least: int, most: int) -> int:
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise InvalidOption(f"{option} {value} is not possible; give a whole number from {least} to {most}.")
    return number


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"These arguments do not fit together ({message}); see python run.py --help.", file=sys.stderr)
        sys.exit(2)


def _parser() -> argparse.ArgumentParser:
    shared = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    # SUPPRESS: `write` must not put its defaults over what stood before it on the line.
    shared.add_argument("--data-dir", metavar="FOLDER", help="where documents are kept (default: your data folder)")
    shared.add_argument("--cache-dir", metavar="FOLDER", help="where model files are kept (default: your cache folder)")
    shared.add_argument(
        "--model",
        metavar="MODEL",
        help=f"{', '.join(entry.id for entry in CATALOG)} (default: {CATALOG[0].id}), its Hugging Face id, "
        "or a folder with config.json, tokenizer.json and weights; those of the paper only continue text",
    )
    shared.add_argument("--threads", metavar="N", help="CPU threads the model may use (default: all cores)")

    parser = _Parser(
        prog="python run.py",
        parents=[shared],
        description="Galley: a writing desk on block diffusion language models, on this machine alone.",
        epilog="Each option may also stand in the environment: GALLEY_HOST, GALLEY_PORT, GALLEY_DATA_DIR, …",
    )
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1, this machine only)")
    parser.add_argument("--port", metavar="N", help="port to listen on (default: 7860; 0: any free one)")
    parser.add_argument(
        "--auth",
        metavar="NAME:PASSWORD",
        action="append",
        help="ask for this name and password; may be given more than once, each name has its own documents; "
        "GALLEY_AUTH keeps it out of the list of processes",
    )
    parser.add_argument(
        "--shared",
        action="store_true",
        help="every browser has its own documents (so it is by itself where others can reach the address)",
    )
    parser.add_argument(
        "--lab",
        metavar="FOLDER",
        help="networks of your own, trained by python -m model.evaluation.table, for the page /lab",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open the page in a browser")

    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    listing = "Lists the models: licence, size, and what of them is on the disk."
    commands.add_parser("models", parents=[shared], help="list the models that there are", description=listing)
    writing = commands.add_parser(
        "write", parents=[shared], help="write one section in the terminal", description="Writes one section."
    )
    writing.add_argument(
        "brief",
        metavar="BRIEF",
        help="what the section is about; for a model that only continues text, the opening words",
    )
    writing.add_argument("--words", metavar="N", default="150", help="how long it becomes (default: 150)")
    writing.add_argument("--dial", metavar="STOP", help=f"{_stops()}; a model has some of these (default: its own)")
    writing.add_argument("--seed", metavar="N", help="same seed, same settings, same text (default: a new one)")
    writing.add_argument("--title", default="", help="title of its document (default: the brief's first words)")
    writing.add_argument("--json", action="store_true", help="one JSON line per event")
    return parser


def _stops() -> str:
    return ", ".join(dict.fromkeys(stop.name for entry in CATALOG for stop in entry.stops))
