"""The training loop: the same numbers after a stop, on two processes, in smaller passes; bad ends leave good files."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from app.environment import ROOT
from model.backbones import published
from model.training import checkpoint, log
from model.training.checkpoint import NotSaved
from model.training.optimiser import KINDS
from model.training.settings import InvalidSetting, parse, read_config
from model.training.train import Diverged, Run, main
from tests.training_tiny import corpus, settings


@pytest.fixture(autouse=True)
def _each_test_has_its_own_accelerator() -> Iterator[None]:
    from accelerate.state import AcceleratorState

    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    corpus(tmp_path)
    return tmp_path


def trained(folder: Path, **other: Any) -> Path:
    return Run(settings(folder, **other), quiet=True).train()


def tensors(step: Path) -> dict[str, torch.Tensor]:
    return {**load_file(step / checkpoint.TENSORS), **load_file(step / published.WEIGHTS)}


def losses(step: Path) -> list[dict[str, Any]]:
    events = log.read(step.parent / log.FILE)
    return [{key: value for key, value in event.items() if key != "tokens_per_second"} for event in events]


@pytest.mark.parametrize("optimiser", KINDS)
def test_a_resumed_run_has_the_numbers_of_an_uninterrupted_one(folder: Path, optimiser: str) -> None:
    given = {"search_every": 2, "search_rows": 8, "optimiser": optimiser}
    whole = trained(folder, out=str(folder / "whole"), **given)
    trained(folder, steps=3, **given)
    resumed = trained(folder, **given)
    assert losses(resumed) == losses(whole)
    theirs = tensors(whole)
    for name, tensor in tensors(resumed).items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("system", ["bd3lm", "mdlm", "sedd", "ar", "ssd"])
def test_every_system_learns_behind_the_one_loop(folder: Path, system: str) -> None:
    size = {"bd3lm": 4, "ssd": 4, "ar": 1}.get(system, 16)
    last = trained(folder, system=system, block_size=size, steps=40, learning_rate=1e-2, evaluate_every=40, dropout=0.0)
    events = [event for event in losses(last) if "loss" in event]
    assert sum(e["loss"] for e in events[-8:]) < sum(e["loss"] for e in events[:8]) - 0.5
    assert "validation" in losses(last)[-1]
    assert published.load(last).network.config.causal == (system == "ar")


def test_the_size_of_a_pass_changes_no_number(folder: Path) -> None:
    one = tensors(trained(folder, dropout=0.0, steps=1, micro_batch=8, out=str(folder / "one")))
    other = tensors(trained(folder, dropout=0.0, steps=1, micro_batch=2, out=str(folder / "other")))
    assert_gradients_agree(one, other)


def assert_gradients_agree(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """After one step the first moment is a tenth of the gradient."""
    names = [name for name in one if name.startswith("exp_avg.")]
    assert any(bool(one[name].any()) for name in names)
    for name in names:
        torch.testing.assert_close(one[name], other[name], rtol=1e-4, atol=1e-7, msg=name)


def test_two_processes_have_the_gradient_of_one(folder: Path) -> None:
    one = tensors(trained(folder, dropout=0.0, steps=1, out=str(folder / "one"), save_every=1))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    values = settings(folder, dropout=0.0, steps=1, out=str(folder / "two"), save_every=1).as_json()
    config = folder / "two.toml"
    config.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items()), encoding="utf-8")
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "model.training.train", "--config", str(config)]
    started = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "ACCELERATE_USE_CPU": "true"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    two = checkpoint.newest(folder / "two")
    assert two is not None
    assert_gradients_agree(one, tensors(two))
    ours, theirs = (losses(step)[0] for step in (folder / "one" / two.name, two))
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    assert ours["validation"] == pytest.approx(theirs["validation"], rel=1e-5)


def test_fine_tuning_begins_with_the_averaged_weights_of_the_first_stage(folder: Path) -> None:
    first = trained(folder, block_size=16, out=str(folder / "first"))
    second = Run(settings(folder, start=str(folder / "first"), out=str(folder / "second")), quiet=True)
    begun = published.load(first).network.state_dict()
    assert all(torch.equal(tensor, begun[name]) for name, tensor in second.network.state_dict().items())
    assert second.network.config.block_size == 4


def test_a_searched_interval_is_used_and_stored(folder: Path) -> None:
    last = trained(folder, search_every=3, search_rows=8)
    state = json.loads((last / checkpoint.STATE).read_text(encoding="utf-8"))
    assert state["interval"] == state["search"]["best"]
    assert published.load(last).interval is not None
    assert published.load(last).interval.low == pytest.approx(state["interval"][0])


def test_a_loss_that_is_no_number_stops_with_step_and_rate_and_keeps_the_checkpoint(folder: Path) -> None:
    kept = trained(folder, steps=3)
    run = Run(settings(folder), quiet=True)
    with torch.no_grad():
        run.network.vocab_embed.embedding.fill_(float("nan"))
    with pytest.raises(Diverged, match=rf"step 4: the loss is nan at a learning rate of 0\.0003; {kept} is kept"):
        run.train()
    assert checkpoint.newest(kept.parent) == kept


def test_a_full_disk_leaves_the_old_checkpoint_intact(folder: Path) -> None:
    kept = trained(folder, steps=3)
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    run = Run(settings(folder), quiet=True)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))  # the system refuses to let a file grow past it
    try:
        with pytest.raises(NotSaved, match=rf"could not be written .*; {kept} is intact\. Make room"):
            run.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
    assert [path.name for path in kept.parent.iterdir() if path.name.endswith(".part")] == []
    assert trained(folder).name == "step-0000006"


def test_a_run_is_not_gone_on_with_under_other_settings(folder: Path) -> None:
    trained(folder, steps=3)
    with pytest.raises(InvalidSetting, match="another learning_rate"):
        trained(folder, learning_rate=1.0)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (["--block-size", "5"], "do not split into blocks of 5"),
        (["--batch", "6"], "does not split into passes of 4 rows"),
        (["--start", "nowhere"], "is neither a folder nor one of the checkpoints"),
        (["--length", "65536"], "give more text or shorter rows"),
        (["--system", "rnn"], "choose one of bd3lm, mdlm, sedd, ar"),
    ],
)
def test_bad_wishes_end_with_one_sentence(
    folder: Path, wrong: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = settings(folder).as_json()
    config = folder / "run.toml"
    config.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items()), encoding="utf-8")
    assert main(["--config", str(config), *wrong]) in (1, 2)
    said = capsys.readouterr().err.strip()
    assert sentence in said
    assert "\n" not in said


def test_a_network_of_another_vocabulary_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(folder, steps=3)
    other = folder / "other"
    corpus(other)
    from model.training.vocabulary import train_vocabulary

    train_vocabulary([(folder / "text.txt").read_text(encoding="utf-8")], 270).save(other)
    values = settings(folder, tokenizer=str(other), start=str(folder / "run"), out=str(folder / "x")).as_json()
    config = folder / "run.toml"
    config.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items()), encoding="utf-8")
    assert main(["--config", str(config)]) == 1
    assert "use the tokenizer that the network was trained with" in capsys.readouterr().err


def test_the_command_line_stands_before_the_file_and_unknown_names_are_refused(tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text('out = "runs/a"\ndata = ["a.txt"]\nsteps = 5\n', encoding="utf-8")
    assert parse(["--config", str(config), "--steps", "7"]).steps == 7
    config.write_text("stpes = 5\n", encoding="utf-8")
    with pytest.raises(InvalidSetting, match="'stpes' that does not exist"):
        read_config(config)


def test_a_resumed_log_forgets_what_came_after_and_draws(tmp_path: Path) -> None:
    first = log.Log(tmp_path, 0)
    for step in (1, 2, 3):
        first.write({"step": step, "loss": 1.0 / step, "validation": 2.0})
    (tmp_path / log.FILE).open("a").write('{"step": 4, "lo')
    second = log.Log(tmp_path, 2)
    assert [event["step"] for event in log.read(second.path)] == [1, 2]
    second.plot()
    drawn = (tmp_path / log.PLOT).read_text(encoding="utf-8")
    assert drawn.startswith("<svg")
    assert drawn.count("<circle") == 2


def test_the_demonstration_runs_from_text_to_table(folder: Path) -> None:
    from model.training.corpora import Corpus
    from model.training.demo import Plan, demonstrate

    documents = {"One": (folder / "text.txt").read_text(encoding="utf-8"), "Two": "the sea was calm and old " * 60}
    package = folder / "out" / "text" / "words_1.deb"
    package.parent.mkdir(parents=True)
    inner = folder / "data.tar.xz"
    import tarfile

    (folder / "words.json").write_text(json.dumps(documents), encoding="utf-8")
    with tarfile.open(inner, "w:xz") as archive:
        archive.add(folder / "words.json", "./words.json")
    body = inner.read_bytes()
    head = f"{'data.tar.xz':<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(body):<10}`\n".encode()
    package.write_bytes(b"!<arch>\n" + head + body)
    shared = settings(folder).as_json()
    mine = {key: shared[key] for key in ("length", "hidden_dim", "n_blocks", "n_heads", "cond_dim", "precision")}
    mine |= {"batch": 8, "micro_batch": 4, "steps": 4, "save_every": 4, "evaluate_every": 4, "validation_rows": 8}
    plan = Plan(
        Corpus("words", "./words.json", "Ours.", lambda files: iter(json.loads(files["./words.json"]).items())),
        ("Two",), 280, (4, 1), 1, 1, mine, {}, {"search_every": 2, "search_rows": 8},
    )  # fmt: skip
    told = demonstrate(plan, folder / "out", "command", quiet=True)
    assert [stage["block_size"] for stage in told["stages"]] == [16, 4, 1]
    assert told == json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))
    shown = (folder / "out" / "table.md").read_text(encoding="utf-8")
    for stage in told["stages"]:
        assert f"{stage['nats']:.4f} ± {stage['nats_error']:.4f}" in shown
    assert demonstrate(plan, folder / "out", "command", quiet=True)["stages"] == told["stages"]
