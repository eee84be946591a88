"""Rules of checkpoints: the published format is read, without remote code, and what does not fit is named."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
from safetensors.torch import load_file, save_file
from torch import Tensor

from app.environment import ROOT
from model.backbones import published
from model.backbones.dit import DiTConfig, WrongConfig
from model.backbones.fit import WrongWeights
from model.backbones.published import Checkpoint, UnknownCheckpoint, load, save
from model.evaluation.engine_speed import random_network
from model.evaluation.goldens import Golden
from model.noise import ClippedInterval

GOLDEN = ROOT / "tests" / "goldens" / "block4.safetensors"
CONFIG = DiTConfig(vocab_size=23, hidden_dim=24, n_blocks=2, n_heads=2, cond_dim=6, model_length=12, block_size=4)
WHOLE = replace(CONFIG, block_size=12, cross_attn=False)
AR = replace(CONFIG, block_size=1, cross_attn=False, causal=True, adaln=False)


def no_hub(name: str, file: str) -> str:
    raise AssertionError("nothing is to be fetched")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint as the authors publish it: their names, their fields."""
    golden = Golden(GOLDEN)
    weights = {key.removeprefix("bd3lm.weights/"): t for key, t in golden.tensors.items() if "bd3lm.weights/" in key}
    fields = {"architectures": ["BD3LM"], "attn_backend": "sdpa", "var_min": True, "torch_dtype": "float32"}
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(golden.config.to_published() | fields))
    return tmp_path


def change(folder: Path, edit: Callable[[dict[str, Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors")


# ---------------------------------------------------------------------------------------------------------- reading


def test_a_published_checkpoint_is_the_network_that_it_holds(folder: Path) -> None:
    golden, checkpoint = Golden(GOLDEN), load(folder, no_hub)
    assert checkpoint.network.config == golden.config
    there = golden.network("bd3lm").state_dict()
    assert all(torch.equal(tensor, there[name]) for name, tensor in checkpoint.network.state_dict().items())
    assert checkpoint.interval == ClippedInterval(*torch.tensor([0.001, 1.0]).tolist())
    assert {tensor.dtype for tensor in checkpoint.network.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("config", [CONFIG, WHOLE, replace(WHOLE, time_conditioning=True), AR])
@pytest.mark.parametrize("interval", [None, ClippedInterval(0.25, 0.75)])
def test_what_is_saved_is_loaded(tmp_path: Path, config: DiTConfig, interval: ClippedInterval | None) -> None:
    network = random_network(config)
    save(tmp_path / "new" / "folder", network, interval)
    back = load(tmp_path / "new" / "folder", no_hub)
    assert (back.network.config, back.interval) == (config, interval)
    assert all(torch.equal(t, network.state_dict()[name]) for name, t in back.network.state_dict().items())


def test_weights_without_modulation_are_the_autoregressive_model_where_nothing_is_said(tmp_path: Path) -> None:
    save(tmp_path, random_network(AR))
    fields = json.loads((tmp_path / "config.json").read_text())
    silent = {k: v for k, v in fields.items() if k not in ("causal", "adaln", "cross_attn", "block_size")}
    (tmp_path / "config.json").write_text(json.dumps(silent | {"model_type": "bd3lm"}))
    assert load(tmp_path, no_hub).network.config == AR


@pytest.mark.parametrize("name", published.PUBLISHED)
def test_a_hub_id_is_fetched_file_by_file(folder: Path, name: str) -> None:
    asked: list[tuple[str, str]] = []

    def hub(repository: str, file: str) -> str:
        asked.append((repository, file))
        return str(folder / file)

    assert isinstance(load(name, hub), Checkpoint)
    assert asked == [(name, "config.json"), (name, "model.safetensors")]


# ------------------------------------------------------------------------------------------------------ what is wrong


def test_missing_extra_and_misshapen_keys_are_named(folder: Path) -> None:
    def edit(weights: dict[str, Tensor]) -> None:
        del weights["backbone.blocks.1.norm2.weight"]
        weights["backbone.blocks.2.norm1.weight"] = torch.ones(3)
        weights["backbone.output_layer.linear.bias"] = torch.ones(7)

    change(folder, edit)
    with pytest.raises(WrongWeights) as found:
        load(folder, no_hub)
    assert "backbone.blocks.1.norm2.weight is missing" in str(found.value)
    assert "backbone.blocks.2.norm1.weight is not part of this network" in str(found.value)
    assert "backbone.output_layer.linear.bias is (7,), not (51,)" in str(found.value)


def test_a_vocabulary_of_another_size_is_named(folder: Path) -> None:
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(fields | {"vocab_size": 50258}))
    with pytest.raises(WrongWeights, match=r"vocab_embed.embedding is \(51, \d+\), not \(50258, \d+\)"):
        load(folder, no_hub)


def test_many_faults_are_counted(folder: Path) -> None:
    change(folder, lambda weights: [weights.pop(name) for name in list(weights) if "mlp" in name])
    with pytest.raises(WrongWeights, match=r"is missing.* and \d+ more"):
        load(folder, no_hub)


def test_a_cut_off_file_is_said_to_be_damaged(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WrongWeights, match="damaged or cut off"):
        load(folder, no_hub)


@pytest.mark.parametrize("text", ["{", "[]", '"bd3lm"'])
def test_a_configuration_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(WrongConfig, match="fetch it again"):
        load(folder, no_hub)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownCheckpoint, match=r"config.json and model.safetensors is missing"):
        load(tmp_path, no_hub)


def test_an_unknown_name_is_refused_without_asking_the_hub() -> None:
    with pytest.raises(UnknownCheckpoint, match=r"neither a folder nor one of .*bd3lm-owt-block_size4"):
        load("kuleshov-group/bd3lm-owt-block_size5", no_hub)


@pytest.mark.parametrize("error", [LocalEntryNotFoundError("no connection"), OfflineModeIsEnabled("offline mode")])
def test_a_hub_that_does_not_answer_is_a_sentence(error: Exception) -> None:
    def hub(repository: str, file: str) -> str:
        raise error

    with pytest.raises(UnknownCheckpoint, match=r"mdlm-owt could not be fetched .*; connect, or give a folder"):
        load("kuleshov-group/mdlm-owt", hub)


def test_an_error_nobody_expected_stays_loud(folder: Path) -> None:
    def hub(repository: str, file: str) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        load("kuleshov-group/mdlm-owt", hub)


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = random_network(CONFIG, seed=1)
    save(tmp_path, old)

    def full(tensors: dict[str, Tensor], path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(published, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, random_network(CONFIG, seed=2))
    there = load(tmp_path, no_hub).network.state_dict()
    assert all(torch.equal(tensor, there[name]) for name, tensor in old.state_dict().items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


# -------------------------------------------------------------------------------------------------------- tokenizer


def test_a_tokenizer_beside_the_weights_is_taken(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    small = Tokenizer(models.WordLevel({"the": 0, "sea": 1, "?": 2}, unk_token="?"))
    small.pre_tokenizer = pre_tokenizers.Whitespace()
    small.save(str(tmp_path / "tokenizer.json"))
    assert published.tokenizer(tmp_path)("the sea")["input_ids"] == [0, 1]


def test_without_a_connection_the_tokenizer_is_asked_for_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    def offline(name: str) -> None:
        raise OSError(f"cannot reach the hub for {name}")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", offline)
    with pytest.raises(UnknownCheckpoint, match="gpt2 could not be fetched"):
        published.tokenizer(tmp_path)
