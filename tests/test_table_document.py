"""What docs/lab.md tells of the small run is what docs/lab/table.json says, number by number."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from app.environment import ROOT
from model.evaluation.table.document import BEGIN, END, main
from model.evaluation.table.page import markdown

PAGE = (ROOT / "docs" / "lab.md").read_text(encoding="utf-8")
RESULT: dict[str, Any] = json.loads((ROOT / "docs" / "lab" / "table.json").read_text(encoding="utf-8"))


def test_the_tables_of_the_page_are_the_results() -> None:
    shown = PAGE[PAGE.index(BEGIN) + len(BEGIN) : PAGE.index(END)]
    assert shown.strip() == markdown(RESULT, "lab/").strip()


def test_every_plot_is_here() -> None:
    assert RESULT["plots"]
    for name in RESULT["plots"]:
        assert (ROOT / "docs" / "lab" / name).read_text(encoding="utf-8").startswith("<svg")


def test_every_number_of_the_main_table_has_its_standard_error() -> None:
    """But for what is counted once: the longest document and the minutes of training."""
    for row in RESULT["rows"]:
        for name, cell in row["columns"].items():
            alone = name in ("longest document", "training")
            assert cell is None or alone == (cell["error"] is None) or "speed" in name, (row["system"], name)


def test_the_result_says_how_it_came_about_and_names_no_place() -> None:
    assert re.fullmatch(r"python -m model\.evaluation\.table --config lab/\w+\.toml", RESULT["command"])
    assert "cores" in RESULT["machine"]
    assert RESULT["seconds"] > RESULT["training_seconds"] > 0
    assert not re.search(r"/(home|tmp|work|root|Users)/", json.dumps(RESULT))
    assert all(one["licence"] for one in RESULT["text"]["licences"])
    assert len(RESULT["text"]["measured"]) >= 4  # held-out text, and three others


def test_a_result_is_put_between_the_marks_and_nothing_else_changes(tmp_path: Path) -> None:
    docs, run = tmp_path / "docs", tmp_path / "run"
    shutil.copytree(ROOT / "docs" / "lab", run)
    (docs / "lab").mkdir(parents=True)
    (docs / "lab" / "old.svg").write_text("<svg/>", encoding="utf-8")
    (docs / "lab.md").write_text(f"before\n{BEGIN}\nanother table\n{END}\nafter\n", encoding="utf-8")
    assert main([str(run), "--docs", str(docs)]) == 0
    told = (docs / "lab.md").read_text(encoding="utf-8")
    assert told == f"before\n{BEGIN}\n{markdown(RESULT, 'lab/').strip()}\n{END}\nafter\n"
    assert {path.name for path in (docs / "lab").iterdir()} == {"table.json", *RESULT["plots"]}
    (docs / "other.md").write_text(f"{BEGIN}\n{END}", encoding="utf-8")
    assert main([str(run), "--docs", str(docs), "--name", "other"]) == 0
    assert (docs / "other.md").read_text(encoding="utf-8") == f"{BEGIN}\n{markdown(RESULT, 'other/').strip()}\n{END}"


def test_a_document_without_marks_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lab.md").write_text(f"nothing {BEGIN}", encoding="utf-8")
    assert main([str(ROOT / "docs" / "lab"), "--docs", str(tmp_path)]) == 1
    assert "write both where the table is to stand" in capsys.readouterr().err
    assert (tmp_path / "lab.md").read_text(encoding="utf-8") == f"nothing {BEGIN}"
