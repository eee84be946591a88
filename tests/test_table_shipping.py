"""Networks of a run that come with the repository: the same ones, in half the bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.lab_networks import networks_in
from model.backbones import published
from model.evaluation.table.shipping import main
from model.training.checkpoint import tokenizer_of
from tests.tiny_lab import tiny_lab


def test_what_is_shipped_writes_as_it_did_in_half_the_bytes(tmp_path: Path) -> None:
    run, to = tiny_lab(tmp_path / "run"), tmp_path / "assets"
    assert main([str(run), "ar", "bd3-4", "--to", str(to)]) == 0
    shipped, known = networks_in(to), networks_in(run)
    assert shipped.keys() == {"ar", "bd3-4", "bd3-4+adaptive"}
    for name in ("ar", "bd3-4"):
        now, before = shipped[name].folder, known[name].folder
        assert 2 * (now / "model.safetensors").stat().st_size < 1.2 * (before / "model.safetensors").stat().st_size
        assert tokenizer_of(now).size == tokenizer_of(before).size
        weights = published.load(before).network.state_dict()
        for key, tensor in published.load(now).network.state_dict().items():
            torch.testing.assert_close(tensor, weights[key], rtol=2**-8, atol=0)


def test_what_was_shipped_before_is_replaced_as_a_whole(tmp_path: Path) -> None:
    run, to = tiny_lab(tmp_path / "run", "ar", "mdlm"), tmp_path / "assets"
    for name in ("ar", "mdlm"):
        assert main([str(run), name, "--to", str(to)]) == 0
    assert {path.name for path in to.iterdir()} == {"mdlm"}


def test_a_name_without_a_checkpoint_leaves_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, to = tiny_lab(tmp_path / "run", "ar"), tmp_path / "assets"
    assert main([str(run), "ar", "--to", str(to)]) == 0
    assert main([str(run), "ar", "sedd", "--to", str(to)]) == 1
    assert "holds no checkpoint; train it first" in capsys.readouterr().err
    assert {path.name for path in to.iterdir()} == {"ar"}
