"""`python -m model.evaluation.table.document runs/lab`: puts a result into docs/lab, its tables into docs/lab.md.

--name puts it into another folder of docs, and the document of that name.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from model.evaluation.table.comparing import JSON
from model.evaluation.table.page import markdown

BEGIN, END = "<!-- the table -->", "<!-- the end of the table -->"


class NoMarks(ValueError):
    """A document has no place for the table."""


def placed(document: str, table: str) -> str:
    """The document with the table between its marks. Raises NoMarks."""
    head, mark, rest = document.partition(BEGIN)
    _, other, tail = rest.partition(END)
    if not mark or not other:
        raise NoMarks(f"The document has no {BEGIN} and {END}; write both where the table is to stand.")
    return f"{head}{BEGIN}\n{table.strip()}\n{END}{tail}"


def publish(run: Path, docs: Path, name: str = "lab") -> None:
    """Copies table.json and its plots to docs/NAME, and writes the table into docs/NAME.md. Raises NoMarks, OSError."""
    result = json.loads((run / JSON).read_text(encoding="utf-8"))
    folder, page = docs / name, docs / f"{name}.md"
    text = placed(page.read_text(encoding="utf-8"), markdown(result, f"{folder.name}/"))
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    for file in (JSON, *result["plots"]):
        shutil.copyfile(run / file, folder / file)
    page.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """0: written. 1: not, and the last line says why."""
    parser = argparse.ArgumentParser(prog="python -m model.evaluation.table.document", description=__doc__)
    parser.add_argument("run", type=Path, metavar="FOLDER", help="the --out of a comparison")
    parser.add_argument("--docs", type=Path, default=Path("docs"), metavar="FOLDER", help="folder of the document")
    parser.add_argument("--name", default="lab", help="of the document, and of its folder (default: lab)")
    given = parser.parse_args(arguments)
    try:
        publish(given.run, given.docs, given.name)
    except (NoMarks, OSError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
