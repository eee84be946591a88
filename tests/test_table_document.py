"""What docs/lab.md tells of the small run is what docs/lab/table.json says, number by number."""

from __future__ import annotations

import json
import math
import re
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest

from app.environment import ROOT
from model.evaluation.table.document import BEGIN, END, main
from model.evaluation.table.page import figure, markdown

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


def cell(system: str, column: str) -> float:
    (row,) = [row for row in RESULT["rows"] if row["system"] == system]
    value: float = row["columns"][column]["value"]
    return value


def behind(better: str, worse: str) -> float:
    return math.log(cell(worse, "perplexity") / cell(better, "perplexity"))


def less(label: str, kind: str) -> str:
    """By how many per cent, at both lengths, a way of writing has less of something than blocks of 16."""
    columns = [f"{kind}, {length} tokens" for length in RESULT["lengths"]]
    shares = sorted(100 - 100 * cell(label, column) / cell("bd3-16", column) for column in columns)
    return f"{shares[0]:.0f} to {shares[-1]:.0f}%"


def test_the_sentences_have_the_numbers_of_the_result() -> None:
    """A result that is replaced takes the sentences about it along."""
    told = " ".join(PAGE[: PAGE.index(BEGIN)].split())
    assert f"AR to MDLM {behind('ar', 'mdlm'):.1f} nats" in told
    assert f"AR to BD3-4 {behind('ar', 'bd3-4'):.2f}, there".replace(" 0.", " .") in told
    assert f"is {behind('ar', 'bd3-1'):.2f} nats behind AR" in told
    *steps, last = RESULT["order"]
    assert "every step at least eight standard errors wide" in told
    assert min(step["more"]["value"] / step["more"]["error"] for step in steps) > 8
    assert f"({figure(last['more'])} nats".replace("(-", "(−") in told
    texts = [name for name in RESULT["rows"][0]["columns"] if name.startswith("perplexity on ")]
    assert len(texts) == 4
    assert sum(cell("sedd", text) < cell("mdlm", text) for text in texts) == 3
    assert "of the four other texts SEDD is ahead on three" in told
    assert f"{less('bd3-16-adaptive', 'NFE')} fewer forwards" in told
    for label in ("bd3-16-adaptive", "bd3-16-int8"):
        assert f"{less(label, 'speed')} slower" in told
    saved = sorted(100 - 100 / one["two_passes"]["value"] for one in RESULT["passes"])
    assert f"saves {saved[0]:.0f} to {saved[-1]:.0f}%" in told
    found = {one["system"]: one["interval"] for one in RESULT["clipping"]}
    assert "The search finds U[0.45, 0.95] for blocks of 4 and 8 and U[0.5, 1] for 16" in told
    assert (found["bd3-4"], found["bd3-8"], found["bd3-16"]) == ([0.45, 0.95], [0.45, 0.95], [0.5, 1.0])


def test_what_seeds_do_is_told_as_it_was_measured() -> None:
    page = (ROOT / "docs" / "lab-seeds.md").read_text(encoding="utf-8")
    result: dict[str, Any] = json.loads((ROOT / "docs" / "lab-seeds" / "table.json").read_text(encoding="utf-8"))
    assert page[page.index(BEGIN) + len(BEGIN) : page.index(END)].strip() == markdown(result, "lab-seeds/").strip()
    assert all((ROOT / "docs" / "lab-seeds" / name).exists() for name in result["plots"])
    said, told = (" ".join(text.split()) for text in (page[: page.index(BEGIN)], PAGE[: PAGE.index(BEGIN)]))
    (order,) = result["seeds"]["order"]
    assert f"MDLM is ahead of SEDD by {figure(order['more'])} nats" in said
    assert f"MDLM is ahead by {figure(order['more'])}." in told
    mdlm, sedd = result["seeds"]["of"]
    apart, other = statistics.stdev(mdlm["values"]), statistics.stdev(sedd["values"])
    assert f"Seeds move MDLM by {apart:.3f} nats a token (standard deviation), SEDD by {other:.3f}" in said
    assert f"they moved MDLM by {apart:.3f} and SEDD by {other:.3f} nats" in told
    anew = math.log(cell("mdlm", "perplexity"))
    assert min(anew - value for value in mdlm["values"]) > 0
    below = (anew - mdlm["mean"]["value"]) / apart
    assert (
        f"it has {anew:.3f} nats in the lab's table, more than each of the four ({mdlm['mean']['value']:.3f} in" in said
    )
    assert f"{below:.1f} standard deviations below" in said
    sixteen = math.log(cell("bd3-16", "perplexity"))
    assert f"ahead of the best of these all the same ({sixteen:.3f})" in said
    assert sixteen < min(mdlm["values"])


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
