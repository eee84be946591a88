"""This code computes what the authors' code computed, and the comparison would see it if it did not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from app.environment import ROOT
from model.evaluation.goldens import Golden, compare, main

FILES = sorted((ROOT / "tests" / "goldens").glob("*.safetensors"))
GIVEN = ("x0", "xt", "t", "input", "sigma", "sequence", "choice", "uniforms", "u")
"""Last parts of the keys that are inputs of what is compared."""


def copy(path: Path, new: Path, key: str) -> Path:
    """A file in which one value is wrong."""
    with safe_open(path, framework="pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    flat = tensors[key].flatten()
    at = int(flat.float().clamp(min=-1e4).argmax())  # not one that is ruled out
    flat[at] = flat[at] * (1 + 1e-5) + 1e-4 if flat.is_floating_point() else flat[at] - 1
    save_file(tensors, new, header)
    return new


def outputs(path: Path) -> list[str]:
    keys = [key for key in Golden(path).tensors if ".weights/" not in key and key.rpartition("/")[2] not in GIVEN]
    return [key for key in keys if key != "window/tokens"]


def test_there_are_golden_files() -> None:
    assert [path.name for path in FILES] == ["block1.safetensors", "block4.safetensors", "block8.safetensors"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_golden_number_is_met(path: Path) -> None:
    lines = {line.key: line for line in compare(Golden(path))}
    assert sorted(lines) == sorted(outputs(path))
    assert [str(line) for line in lines.values() if not line.holds] == []


@pytest.mark.parametrize("key", outputs(FILES[1]))
def test_a_wrong_number_is_seen(key: str, tmp_path: Path) -> None:
    wrong = copy(FILES[1], tmp_path / "wrong.safetensors", key)
    assert [line.key for line in compare(Golden(wrong)) if not line.holds] == [key]


def test_the_command_prints_a_line_per_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(FILES[0])]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said[1:]] == [line.key for line in compare(Golden(FILES[0]))]
    assert all(line.endswith("yes") for line in said[1:])


def test_the_command_fails_past_the_tolerance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = copy(FILES[0], tmp_path / "wrong.safetensors", "ar/loss")
    assert main([str(FILES[0]), str(wrong)]) == 1
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.endswith("NO")] == ["ar/loss"]


def test_a_file_without_golden_numbers_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    assert main([str(tmp_path / "other.safetensors")]) == 1
    assert main([str(tmp_path / "nowhere.safetensors")]) == 1
    assert capsys.readouterr().err.count("does not hold golden numbers") == 2


def test_weights_that_do_not_fit_the_header_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with safe_open(FILES[0], framework="pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del tensors["ar.weights/backbone.blocks.0.attn_out.weight"]
    save_file(tensors, tmp_path / "less.safetensors", header)
    assert main([str(tmp_path / "less.safetensors")]) == 1
    assert "backbone.blocks.0.attn_out.weight is missing" in capsys.readouterr().err


def test_without_a_file_the_command_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "python -m model.evaluation.goldens FILE" in capsys.readouterr().err
