"""Chat models of the Llama family from a folder: what their files say is computed, with a block adapter or without."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from model.backbones.load import FULL
from model.catalog import ADAPTER, COMMON, GENTLER, HEAD, LARGER, SMOLLM2, UnknownModel, entry_for
from model.contract import BlockLocked, Fill, Filled, Finished, Piece, Request
from model.engine import Engine, ModelUnavailable
from model.shards import INDEX, WHOLE
from model.tokenizer import THOUGHT, THOUGHT_END, ChatTokenizer
from model.training.adapter.__main__ import main as train
from model.training.distill import main as distill
from tests.tiny import FAMILY
from tests.tiny_chat import MARKS, UNUSED, write_adapter, write_chat_model
from tests.tiny_gguf import vocabulary

every_kind = pytest.mark.parametrize("kind", FAMILY)


def opened(folder: Path) -> Engine:
    return Engine.open(str(folder), cache_dir=folder / "cache", threads=1, report=lambda _: None)


def written(engine: Engine, stop: str, **other: Any) -> str:
    """Forty tokens, or up to the end that is drawn before."""
    dial = replace(entry_for(engine.ready.model).stop(stop).dial, **other)
    events = list(engine.write(Request("job", "Be kind.", "Write.", "", dial, 5, None, max_tokens=40)))
    assert isinstance(events[-1], Finished)
    text = "".join(event.text for event in events if isinstance(event, BlockLocked))
    assert text.strip()
    return text


# ---------------------------------------------------------------------------------------------- what the desk offers


@every_kind
def test_without_an_adapter_a_model_writes_token_by_token(tmp_path: Path, kind: str) -> None:
    entry = entry_for(str(write_chat_model(tmp_path, kind)))
    assert (entry.adapter, entry.instructs, entry.verifies) == (None, True, True)
    assert [stop.name for stop in entry.stops] == ["exact", "balanced"]
    assert [stop.dial.rounds for stop in entry.stops] == [False, True]
    assert entry.context == FAMILY[kind].max_position_embeddings


@every_kind
def test_an_adapter_beside_the_weights_gives_the_dial_its_blocks(tmp_path: Path, kind: str) -> None:
    entry = entry_for(str(write_chat_model(tmp_path, kind, adapter=True)))
    assert entry.block_sizes == SMOLLM2.block_sizes
    assert [stop.dial for stop in entry.stops] == [replace(s.dial, repeat_penalty=GENTLER) for s in SMOLLM2.stops]
    assert entry.part_words == entry_for(str(write_chat_model(tmp_path / "alone", kind))).part_words == 0
    assert {stop.nll for stop in entry.stops} == {None}  # nobody has measured this one
    assert (entry.adapter, entry.head) == (str(tmp_path / ADAPTER), str(tmp_path / HEAD))
    (tmp_path / HEAD).unlink()
    assert entry_for(str(tmp_path)).head is None


def test_a_copy_of_the_default_model_has_the_default_adapter(tmp_path: Path) -> None:
    folder = write_chat_model(tmp_path, "llama")
    edit(folder, hidden_size=576, num_hidden_layers=30)
    entry = entry_for(str(folder))
    assert (entry.adapter, entry.head, entry.stops) == (SMOLLM2.adapter, SMOLLM2.head, SMOLLM2.stops)


def test_the_larger_models_of_the_catalogue_write_a_token_a_forward() -> None:
    assert all((entry.instructs, entry.adapter) == (True, None) for entry in LARGER)
    assert {stop.nfe_per_token for entry in LARGER for stop in entry.stops} == {1.0}
    assert all(entry.stop(entry.default_stop).dial.threshold == 0.0 for entry in LARGER)


# --------------------------------------------------------------------------------------------------------- it writes


@every_kind
def test_it_writes_at_every_stop_and_exact_blocks_are_its_own_words(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32, where as many rows at once as one wants are read alike."""
    monkeypatch.setattr("model.engine.fastest_precision", lambda cache_dir: FULL)
    alone, blocks = (write_chat_model(tmp_path / str(adapter), kind, adapter=adapter) for adapter in (False, True))
    engines = [opened(alone), opened(blocks)]
    for engine in engines:
        for stop in engine.ready.speeds:
            written(engine, stop.stop)
    one_by_one, verified = (written(engine, "exact", temperature=0.0, repeat_penalty=0.4) for engine in engines)
    assert one_by_one == verified


@every_kind
def test_a_hole_is_filled_without_an_adapter(tmp_path: Path, kind: str) -> None:
    engine = opened(write_chat_model(tmp_path, kind))
    dial = entry_for(str(tmp_path)).stops[0].dial
    asked = Fill("job", "", "Write.", "One two", (Piece(None, words=2),), " three.", dial, seed=1, candidates=2)
    *_, last = engine.fill(asked)
    assert isinstance(last, Filled)


@every_kind
def test_rows_of_the_table_that_are_no_token_are_never_written(tmp_path: Path, kind: str) -> None:
    engine = opened(write_chat_model(tmp_path, kind))
    banned, known = set(engine._network.facts.banned), ChatTokenizer(tmp_path / "tokenizer.json").size
    assert engine._network.facts.vocabulary == known + UNUSED
    assert set(range(known, known + UNUSED)) <= banned
    assert engine._tokenizer.end not in banned


def test_a_model_that_reasons_answers_at_once_and_writes_no_marks(tmp_path: Path) -> None:
    tokenizer = ChatTokenizer(write_chat_model(tmp_path, "qwen3") / "tokenizer.json")
    marks = {mark: len(vocabulary()) + at for at, mark in enumerate(MARKS)}
    assert set(marks.values()) <= set(tokenizer.banned)
    empty = [marks[THOUGHT], *tokenizer.encode("\n\n"), marks[THOUGHT_END], *tokenizer.encode("\n\n")]
    ids = tokenizer.prompt("Be kind.", f"Say {THOUGHT} and <tool_call>.")
    assert ids[-len(empty) :] == empty
    assert not set(ids[: -len(empty)]) & set(marks.values())  # what a writer types is text


def in_two_parts(folder: Path) -> Path:
    """The weights in two files and their index, as large models are published."""
    weights = load_file(folder / WHOLE)
    names = sorted(weights)
    parts = {f"model-0000{n}-of-00002.safetensors": names[n - 1 :: 2] for n in (1, 2)}
    for file, held in parts.items():
        save_file({name: weights[name] for name in held}, folder / file)
    where = {name: file for file, held in parts.items() for name in held}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}), encoding="utf-8")
    (folder / WHOLE).unlink()
    return folder


def test_weights_in_several_files_are_the_weights_in_one(tmp_path: Path) -> None:
    folder = write_chat_model(tmp_path, "qwen3")
    whole = written(opened(folder), "exact")
    assert written(opened(in_two_parts(folder)), "exact") == whole


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ("{", "cannot be read as an index"),
        ('{"weight_map": 3}', "cannot be read as an index"),
        ('{"weight_map": {"a": "gone.safetensors"}}', "lacks gone.safetensors, which"),
        ('{"weight_map": {"a": "../config.json"}}', "lacks ../config.json, which"),
    ],
)
def test_a_bad_index_is_one_sentence(tmp_path: Path, index: str, says: str) -> None:
    folder = in_two_parts(write_chat_model(tmp_path, "qwen2"))
    (folder / INDEX).write_text(index)
    with pytest.raises(ModelUnavailable, match=says):
        opened(folder)


# --------------------------------------------------------------------------------------------------- it is trained


@every_kind
def test_it_writes_text_for_its_own_adapter_which_is_then_found_beside_it(tmp_path: Path, kind: str) -> None:
    folder, data, run = write_chat_model(tmp_path / "model", kind), str(tmp_path / "rows.jsonl"), str(tmp_path / "run")
    assert distill(["--model", str(folder), "--out", data, "--tokens", "3000", "--batch", "32"]) == 0
    options = ["--model", str(folder), "--data", data, "--out", run, "--tokens", "200", "--precision", "no"]
    assert train([*options, "--rank", "2", "--block-sizes", "3", "--held-out", "0.6"]) == 0
    for name in (ADAPTER, HEAD):
        (folder / name).write_bytes((tmp_path / "run" / "best" / name).read_bytes())
    engine = opened(folder)
    assert engine._network.facts.block_sizes == SMOLLM2.block_sizes
    written(engine, "sketch")


# ------------------------------------------------------------------------------------------------------ what is wrong


def edit(folder: Path, **fields: object) -> None:
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(told | fields))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"rope_scaling": {"rope_type": "llama3", "factor": 32.0}}, "positions of type 'llama3'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "positions of type 'linear'"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6}}, "positions of type 'yarn'"),
        ({"hidden_act": "gelu"}, "the activation 'gelu'"),
        ({"attention_bias": True}, "a bias where the others have none"),
        ({"use_sliding_window": True}, "a sliding window"),
    ],
)
def test_what_is_not_computed_is_refused_instead_of_written_wrong(
    tmp_path: Path, fields: dict[str, object], says: str
) -> None:
    folder = write_chat_model(tmp_path, "qwen2")
    edit(folder, **fields)
    with pytest.raises(ModelUnavailable, match=rf"describes a network with {says}, which Galley does not compute\.$"):
        opened(folder)


def test_positions_are_read_where_either_version_of_transformers_writes_them(tmp_path: Path) -> None:
    texts = []
    for fields in ({"rope_theta": 77.0}, {"rope_theta": None, "rope_parameters": {"rope_theta": 77.0}}):
        folder = write_chat_model(tmp_path, "llama")
        edit(folder, **fields)
        texts.append(written(opened(folder), "exact"))
    other = written(opened(write_chat_model(tmp_path, "llama")), "exact")
    assert texts[0] == texts[1] != other


def other_adapter(folder: Path) -> None:
    from tests.tiny import parts

    write_adapter(folder, parts(1, FAMILY["qwen3"]))


def one_layer_too_many(folder: Path) -> None:
    from tests.tiny import parts

    write_adapter(folder, parts(1, replace(FAMILY["qwen2"], num_hidden_layers=3)))


def part_of_a_layer(folder: Path) -> None:
    tensors = load_file(folder / ADAPTER)
    del tensors["layers.1.o.A"]
    with safe_open(folder / ADAPTER, framework="pt") as file:
        save_file(tensors, folder / ADAPTER, file.metadata())


def unknown_tokens(folder: Path) -> None:
    """That of a network with a larger vocabulary: its tokens would be looked up past the end of the table."""
    tensors = load_file(folder / ADAPTER)
    tensors[COMMON][-1] = 100_000
    with safe_open(folder / ADAPTER, framework="pt") as file:
        save_file(tensors, folder / ADAPTER, file.metadata())


def cut_off(folder: Path) -> None:
    (folder / ADAPTER).write_bytes((folder / ADAPTER).read_bytes()[:-9])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (other_adapter, "does not fit this network"),
        (one_layer_too_many, "is not a block adapter for a network of 2 layers"),
        (part_of_a_layer, "is not a block adapter for a network of 2 layers"),
        (unknown_tokens, "proposes tokens that are not in its vocabulary"),
        (cut_off, "is damaged or cut off"),
    ],
)
def test_an_adapter_that_is_no_use_is_named(tmp_path: Path, spoil: Callable[[Path], None], says: str) -> None:
    folder = write_chat_model(tmp_path, "qwen2", adapter=True)
    spoil(folder)
    with pytest.raises(ModelUnavailable, match=says):
        opened(folder)


def test_another_architecture_is_refused_with_those_that_run(tmp_path: Path) -> None:
    folder = write_chat_model(tmp_path, "llama")
    edit(folder, architectures=["Gemma3ForCausalLM"], model_type="gemma3")
    with pytest.raises(UnknownModel, match=r"describes 'gemma3'; Galley runs LlamaForCausalLM, Qwen2ForCausalLM, "):
        entry_for(str(folder))
