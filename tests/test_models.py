"""The list of models, and the table that `python run.py models` prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.environment import ROOT
from app.listing import size, table
from app.models import models
from model.catalog import CATALOG, SMOLLM2, entry_of, find


def test_a_folder_of_ones_own_comes_first_and_is_all_there(tmp_path: Path) -> None:
    folder = tmp_path / "my model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(10))
    first, *others = models(entry_of(folder), tmp_path)
    assert (first.in_use, first.entry.title, first.memory, first.entry.fetches) == (True, "my model", None, 0)
    assert (first.lying.state, first.lying.bytes) == ("whole", 10)
    assert first.command == f"python run.py --model '{folder}'"
    assert [model.entry for model in others] == list(CATALOG)
    assert not any(model.in_use for model in others)


def test_what_is_fetched_and_what_it_takes_are_the_catalogues() -> None:
    assert SMOLLM2.wheel is not None
    assert SMOLLM2.fetches == SMOLLM2.wheel.size
    assert find("qwen2.5-1.5b").fetches == 3_100_000_000
    assert all(entry.memory_mb * 10**6 > entry.fetches > 0 for entry in CATALOG)


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, "1 MB"), (98_362_432, "98 MB"), (999_400_000, "999 MB"), (10**9, "1.0 GB"), (3_450_000_000, "3.5 GB")],
)
def test_bytes_are_said_in_few_figures(count: int, said: str) -> None:
    assert size(count) == said


def test_columns_stand_one_below_the_other() -> None:
    assert list(table([("a", "bcd", "e"), ("fg", "h", "")])) == ["a   bcd  e", "fg  h"]


def test_the_command_prints_every_model_and_marks_the_one_that_would_start(tmp_path: Path) -> None:
    line = [sys.executable, "run.py", "models", "--model", "mdlm-owt", "--cache-dir", str(tmp_path)]
    folder = tmp_path / "models" / "mdlm-owt"
    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).write_bytes(bytes(2_000_000))
    sums = {"format": 1, "config.json": "", "tokenizer.json": "", "model.safetensors": ""}
    (folder / "sums.json").write_text(json.dumps(sums), encoding="utf-8")
    (tmp_path / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(bytes(5_000_000))
    said = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    assert (said.returncode, said.stderr) == (0, "")
    rows = [row.split() for row in said.stdout.splitlines()[1 : 1 + len(CATALOG)]]
    assert [row[1] for row in rows if row[0] == "*"] == ["mdlm-owt"]
    by_name = {row[row[0] == "*"]: " ".join(row) for row in rows}
    assert list(by_name) == [entry.id for entry in CATALOG]
    assert "* mdlm-owt Apache-2.0 700 MB 2.0 GB whole, 6 MB MDLM" in by_name["mdlm-owt"]
    assert "98 MB 2.2 GB partly, 5 MB" in by_name["smollm2-135m"]
    assert "3.1 GB 12.4 GB no Qwen2.5" in by_name["qwen2.5-1.5b"]
    assert "python run.py --model NAME" in said.stdout
