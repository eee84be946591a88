"""The README says what is so: figures of the dial, options and files."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from app.environment import ROOT
from model.catalog import CATALOG, Stop

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("stop", CATALOG[0].stops, ids=lambda stop: stop.name)
def test_the_figures_of_every_stop_are_the_catalogues(stop: Stop) -> None:
    line = next(line for line in README.splitlines() if line.startswith(f"| {stop.name} | {stop.dial.block_size}, "))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    leniency = f", leniency {stop.dial.threshold}" if stop.dial.rule == "verified" and stop.dial.threshold else ""
    assert cells[1] == f"{stop.dial.block_size}, {stop.dial.steps}, {stop.dial.rule}{leniency}"
    assert cells[2:] == [f"{stop.nfe_per_token:.2f}", f"{stop.nll:.2f}", stop.gives]


def test_every_model_of_the_catalogue_is_named_with_its_licence() -> None:
    models = README[README.index("## Models") : README.index("## Where the data lies")]
    for entry in CATALOG[1:]:
        line = next(line for line in models.splitlines() if f"`{entry.id}`" in line)
        assert entry.licence in line


def test_every_option_of_run_py_is_named() -> None:
    said = subprocess.run([sys.executable, "run.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    options = set(re.findall(r"--[a-z][a-z-]+", said.stdout)) - {"--help"}
    assert options
    assert [option for option in sorted(options) if f"`{option}" not in README] == []


def test_every_linked_file_is_here() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_file_of_the_engine_and_the_desk_stands_in_the_picture_of_the_house() -> None:
    picture = README[README.index("## The house") :]
    files = [path.name for folder in ("app", "model") for path in sorted((ROOT / folder).glob("[!_]*.py"))]
    assert [name for name in files if name not in picture] == []


def test_the_demonstrations_numbers_are_those_of_its_run() -> None:
    results = json.loads((ROOT / "docs" / "demo" / "results.json").read_text(encoding="utf-8"))
    told = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for stage in results["stages"]:
        size = re.escape(str(stage["block_size"]))
        line = re.search(rf"^\| {size}(?: \(\w+\))? \|.*$", told, re.MULTILINE)
        assert line is not None
        assert f"{stage['nats']:.3f} ± {stage['nats_error']:.3f}" in line[0]
        if "fall" in stage:
            assert f"{stage['fall']:.3f} ± {stage['fall_error']:.3f}" in line[0]
    nats = [stage["nats"] for stage in results["stages"]]
    assert nats == sorted(nats, reverse=True)
