"""Rules of models that only continue text: folders in the published format write on the desk, whatever their kind.

Tiny networks with random weights, through the engine, and through run.py with nothing scripted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from app.dialing import forwards_per_token
from app.store import Store
from model.backbones.load import FULL
from model.catalog import Entry, UnknownModel, entry_for
from model.contract import BlockLocked, Dial, Failed, Finished, JobEvent, Preparing, Reading, Request, count_words
from model.engine import Engine, ModelUnavailable
from tests.conftest import Offline
from tests.desk_process import running
from tests.tiny_published import WINDOW, write_checkpoint

SYSTEMS = ("bd3lm", "mdlm", "sedd", "ar")


class Opened:
    """An engine and the facts that the desk has of its model."""

    def __init__(self, folder: Path) -> None:
        self.entry: Entry = entry_for(str(folder))
        self.engine = Engine.open(str(folder), cache_dir=folder / "no cache", threads=1, report=lambda _: None)

    def write(self, stop: str | None = None, **changes: object) -> list[JobEvent]:
        dial = self.entry.stop(stop or self.entry.default_stop).dial
        asked: dict[str, object] = {"user": "Night\n\n", "so_far": "the sea", "dial": dial, "seed": 7, "words": 40}
        return list(self.engine.write(Request("j", "", **{**asked, **changes})))  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=SYSTEMS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    return Opened(write_checkpoint(tmp_path_factory.mktemp(request.param), request.param))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "checkpoint")


def locked(events: list[JobEvent]) -> list[BlockLocked]:
    return [event for event in events if isinstance(event, BlockLocked)]


def text_of(events: list[JobEvent]) -> str:
    return "".join(block.text for block in locked(events))


# ------------------------------------------------------------------------------------------------------- the engine


def test_every_stop_writes_blocks_that_add_up_to_the_wanted_length(opened: Opened) -> None:
    for stop in opened.entry.stops:
        events = opened.write(stop.name)
        blocks, last = locked(events), events[-1]
        assert isinstance(last, Finished)
        assert last.reason == "length"
        assert abs(last.words - 40) <= 4
        assert text_of(events)[-1] == "."
        assert last.tokens == sum(len(block.tokens) for block in blocks)
        assert last.nfe == sum(block.nfe for block in blocks)
        assert all(len(block.tokens) <= stop.dial.block_size for block in blocks)
        assert last.words == count_words("the sea" + text_of(events)) - 2


def test_a_part_ends_with_its_sentence_and_an_empty_line(opened: Opened) -> None:
    events = opened.write(words=400, part=20)
    text, last = text_of(events), events[-1]
    assert isinstance(last, Finished)
    assert last.reason == "part"
    assert text.endswith(".\n\n")
    assert last.words == count_words("the sea" + text) - 2
    assert count_words("the sea" + text) >= 20
    if "." in text[:-3]:  # where the sentence before it ended the part was not long enough
        assert count_words("the sea" + text[: text.rindex(".", 0, -3)]) < 20
    assert last.tokens == sum(len(block.tokens) for block in locked(events))
    rest = opened.write(words=400 - last.words, so_far="", part=20, earlier=last.words, first_block=last.blocks)
    assert isinstance(rest[-1], Finished)
    assert rest[-1].reason == "part"
    assert text_of(rest) != text
    assert text_of(rest) == text_of(rest).lstrip()


def test_the_last_part_is_written_to_the_wanted_length_of_the_whole(opened: Opened) -> None:
    last = opened.write(words=30, part=20, earlier=300)[-1]
    assert isinstance(last, Finished)
    assert last.reason == "length"
    assert abs(last.words - 30) <= 10  # three of a hundred of all the words


def test_only_a_causal_network_tells_an_nll(opened: Opened) -> None:
    nlls = [block.nll for block in locked(opened.write())]
    if opened.entry.verifies:
        assert all(nll is not None and 0 < nll < 100 for nll in nlls[:-1])
    else:
        assert set(nlls) == {None}


def test_a_text_grows_past_the_window_and_so_may_what_is_read(opened: Opened) -> None:
    events = opened.write("sketch" if not opened.entry.verifies else None, so_far="the old sea " * WINDOW, words=150)
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "length"
    assert events[-1].tokens > WINDOW
    assert max(event.total for event in events if isinstance(event, Reading)) > 2 * WINDOW
    assert not any(isinstance(event, Failed) for event in events)


def test_the_budget_of_tokens_ends_a_text_and_a_model_may_end_by_itself(opened: Opened) -> None:
    last = opened.write(words=None, max_tokens=21)[-1]
    assert isinstance(last, Finished)
    assert (last.reason, last.tokens) == ("budget", 21) or (last.reason == "end" and last.tokens < 21)


def test_a_text_may_begin_with_nothing_at_all(opened: Opened) -> None:
    text = text_of(opened.write(user="", so_far="", words=12))
    assert count_words(text) >= 10
    assert text == text.lstrip()


def test_the_same_seed_is_the_same_text_and_a_job_goes_on_after_a_death(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32, where text that is read anew at once is the text that was read block by block."""
    monkeypatch.setattr("model.engine.fastest_precision", lambda cache_dir: FULL)
    opened = Opened(Path(opened.entry.id))
    dial = Dial(min(8, max(opened.entry.block_sizes)), 1, "verified" if opened.entry.verifies else "confidence")
    whole = locked(opened.write(dial=dial, words=48))
    assert [block.text for block in locked(opened.write(dial=dial, words=48))] == [block.text for block in whole]
    assert text_of(opened.write(dial=dial, words=48, seed=8)) != text_of(list(whole))
    for after in (1, 2):  # before the last sentences are tried
        kept = "".join(block.text for block in whole[:after])
        rest = opened.write(dial=dial, so_far=f"the sea{kept}", words=48 - count_words(kept), first_block=after)
        assert text_of(rest) == "".join(block.text for block in whole[after:])


def test_the_speed_of_every_stop_is_measured(opened: Opened) -> None:
    ready = opened.engine.ready
    assert [speed.stop for speed in ready.speeds] == [stop.name for stop in opened.entry.stops]
    assert all(speed.seconds_per_forward > 0 and speed.ending_seconds > 0 for speed in ready.speeds)
    assert (ready.context, ready.prefill_tokens_per_second > 0) == (WINDOW, True)


def test_nfe_of_a_stop_is_what_blocks_cost(tmp_path: Path) -> None:
    """Of whole blocks: the prompt, with the token before it, fills one."""
    opened = Opened(write_checkpoint(tmp_path, "bd3lm", 8))
    so_far = " the sea" * 3 + " was"
    assert len(opened.engine._prompt(Request("j", "", "", so_far, Dial(8, 8, "confidence"), 1, None))) == 8
    for stop in opened.entry.stops:
        first = locked(opened.write(stop.name, user="", so_far=so_far, words=60))[0]
        assert first.nfe / len(first.tokens) == stop.nfe_per_token
        assert forwards_per_token(opened.entry, replace(stop.dial, threshold=0.5), None) == stop.nfe_per_token


# --------------------------------------------------------------------------------------------- what config.json says


@pytest.mark.parametrize(
    ("system", "block", "sizes", "verifies"),
    [
        ("bd3lm", 4, (1, 4), False),
        ("bd3lm", 16, (1, 4, 8, 16), False),
        ("bd3lm", 2, (1,), False),
        ("bd3lm", 64, (1, 4, 8, 16, 32), False),
        ("mdlm", 4, (1, 4, 8, 16, 32), False),
        ("sedd", 4, (1, 4, 8, 16, 32), False),
        ("ar", 4, (1, 4, 8, 16, 32), True),
    ],
)
def test_the_desk_offers_what_the_network_can_do(
    tmp_path: Path, system: str, block: int, sizes: tuple[int, ...], verifies: bool
) -> None:
    entry = entry_for(str(write_checkpoint(tmp_path, system, block, window=128)))
    assert (entry.block_sizes, entry.verifies, entry.instructs, entry.slides) == (sizes, verifies, False, True)
    assert ("verified" in entry.rules) == verifies
    assert all(stop.dial.block_size in sizes and stop.dial.rule in entry.rules for stop in entry.stops)
    assert {stop.nll for stop in entry.stops} == {None}


def test_the_autoregressive_model_is_known_by_its_weights_where_nothing_is_said(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "ar")
    told = json.loads((tmp_path / "config.json").read_text())
    silent = {name: told[name] for name in told if name not in ("causal", "adaln", "cross_attn", "block_size")}
    (tmp_path / "config.json").write_text(json.dumps(silent | {"model_type": "bd3lm"}))
    assert Opened(tmp_path).entry.verifies


# ------------------------------------------------------------------------------------------------------ what is wrong


def edit_config(folder: Path, **fields: object) -> None:
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(told | fields))


def another_architecture(folder: Path) -> None:
    edit_config(folder, model_type="gpt2", architectures=["GPT2LMHeadModel"])


def a_field_is_missing(folder: Path) -> None:
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({name: told[name] for name in told if name != "hidden_dim"}))


def no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def a_number_is_none(folder: Path) -> None:
    edit_config(folder, vocab_size="many")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            another_architecture,
            r"'gpt2'; Galley runs LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, bd3lm, mdlm, sedd, ar",
        ),
        (a_field_is_missing, r"lacks hidden_dim"),
        (no_json, r"config.json cannot be read"),
        (a_number_is_none, r"does not describe a network"),
    ],
)
def test_a_configuration_that_galley_cannot_run_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], says: str
) -> None:
    from app.settings import parse

    spoil(folder)
    with pytest.raises(UnknownModel, match=says):
        entry_for(str(folder))
    with pytest.raises(ModelUnavailable, match=says):
        Engine.open(str(folder), cache_dir=folder, threads=1, report=lambda _: None)
    with pytest.raises(SystemExit) as refused:
        parse(["--model", str(folder)], {})
    said = capsys.readouterr().err
    assert (refused.value.code, said.count("\n"), said.endswith(".\n")) == (2, 1, True)


def refusal(folder: Path) -> str:
    """Why the engine does not open a folder: one sentence."""
    with pytest.raises(ModelUnavailable) as refused:
        Engine.open(str(folder), cache_dir=folder / "cache", threads=1, report=lambda _: None)
    assert str(refused.value).endswith(".")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_tokenizer_of_another_size_is_named_with_both_sizes(folder: Path, tmp_path: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    for name in ("vocab_embed.embedding", "output_layer.linear.weight", "output_layer.linear.bias"):
        weights[f"backbone.{name}"] = weights[f"backbone.{name}"][:-7].clone()
    size = len(weights["backbone.vocab_embed.embedding"])
    save_file(weights, folder / "model.safetensors")
    edit_config(folder, vocab_size=size)
    said = refusal(folder)
    assert f"knows {size - 1} tokens and the mask, but tokenizer.json has {size + 6} tokens" in said


def test_a_tokenizer_of_another_kind_is_refused(folder: Path) -> None:
    small = Tokenizer(models.WordLevel({"the": 0, "?": 1}, unk_token="?"))
    small.pre_tokenizer = pre_tokenizers.Whitespace()
    small.save(str(folder / "tokenizer.json"))
    assert "not a byte-level BPE" in refusal(folder)


def test_a_tokenizer_without_an_end_is_refused(folder: Path) -> None:
    whole = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(whole.replace("<|endoftext|>", "<|stop|>"), encoding="utf-8")
    assert "has no token <|endoftext|>" in refusal(folder)


def test_weights_that_do_not_fit_are_named(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["backbone.blocks.1.norm2.weight"]
    save_file(weights, folder / "model.safetensors")
    assert "backbone.blocks.1.norm2.weight is missing" in refusal(folder)


def test_the_folder_of_a_training_run_is_told_which_step_to_give(folder: Path, tmp_path: Path) -> None:
    for step in (10, 20):
        write_checkpoint(tmp_path / "run" / f"step-{step:07d}")
    assert refusal(tmp_path / "run").endswith("give a step of it: " + str(tmp_path / "run" / "step-0000020") + ".")


def test_a_folder_without_a_tokenizer_has_gpt2s_fetched_once_into_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    gpt2 = (folder / "tokenizer.json").read_bytes()

    def download(repository: str, name: str, *, local_dir: Path, tqdm_class: type) -> str:
        asked.append((repository, name))
        (local_dir / name).write_bytes(gpt2)
        return str(local_dir / name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    (folder / "tokenizer.json").unlink()
    told: list[Preparing] = []
    for _ in range(2):
        engine = Engine.open(str(folder), cache_dir=tmp_path / "cache", threads=1, report=told.append)
    assert asked == [("openai-community/gpt2", "tokenizer.json")]
    assert [event.stage for event in told].count("fetch") == 1
    assert Path(engine.ready.tokenizer) == tmp_path / "cache" / "models" / "gpt2" / "tokenizer.json"
    assert not (folder / "tokenizer.json").exists()


def test_without_a_network_a_folder_without_a_tokenizer_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (folder / "tokenizer.json").unlink()
    said = refusal(folder)
    assert "lacks tokenizer.json" in said
    assert "put the tokenizer the model was trained with into the folder" in said


# ------------------------------------------------------------------------------------------------------ the terminal


def test_run_py_continues_the_opening_words_to_the_wanted_length(
    folder: Path, tmp_path: Path, offline: Offline
) -> None:
    places = ["--data-dir", str(tmp_path / "data"), "--cache-dir", str(tmp_path / "cache"), "--model", str(folder)]
    opening = ["write", "the keeper read an old book", "--words", "60", "--seed", "7"]
    with running([*places, *opening], offline.environment, program=[sys.executable, "run.py"]) as desk:
        end = desk.ended()
    store = Store(tmp_path / "data" / "galley.db")
    document = store.document(store.documents()[0].id)
    store.close()
    section = document.sections[0]
    assert end.code == 0, end.err
    assert end.out == section.text + "\n"
    assert section.text.startswith("the keeper read an old book ")
    assert (document.title, section.brief) == ("the keeper read an old book", "")
    assert abs(section.words - 60) <= 6
    assert section.blocks[0].author == "writer"
    assert {block.nll for block in section.blocks} == {None}
    assert "does not read briefs" in end.err
    assert offline.tries() == []
