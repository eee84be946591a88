"""Rules of the engine: a job is blocks that add up, of the wanted length, the same for the same seed, ended in order.

With a tiny random network, whose words are no language, and with the real model.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.backbones.llama import Llama
from model.backbones.load import FULL, open_model
from model.catalog import SMOLLM2
from model.contract import (
    BlockLocked,
    BlockStep,
    Dial,
    Failed,
    Finished,
    JobEvent,
    Reading,
    Ready,
    Request,
    count_words,
)
from model.engine import Engine, ModelUnavailable, to_new_part
from model.sampler import BlockSampler, Draws, Pictures, block_seed
from model.tokenizer import ChatTokenizer, TextStream, byte_level_bpe
from model.weights import obtain
from tests import tiny
from tests.tiny_gguf import CONTROLS, vocabulary

DIALS = [
    Dial(1, 1, "verified"),
    Dial(8, 1, "verified"),
    Dial(8, 2, "verified", threshold=0.1),
    Dial(4, 4, "threshold", threshold=0.6),
    Dial(8, 2, "confidence"),
    Dial(4, 4, "first-hitting"),
]


class CountedLlama:
    """A network that counts its forwards."""

    def __init__(self, network: Llama) -> None:
        self._network, self.forwards = network, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def relaxed(self) -> CountedLlama:
        return self

    def commit(self, *arguments: Any, **named: Any) -> Tensor:
        self.forwards += 1
        return self._network.commit(*arguments, **named)

    def denoise(self, *arguments: Any, **named: Any) -> Tensor:
        self.forwards += 1
        return self._network.denoise(*arguments, **named)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """With a tiny network that writes letters as they come."""
    path = tmp_path_factory.mktemp("tiny") / "tokenizer.json"
    path.write_text(byte_level_bpe(vocabulary(), (), CONTROLS).to_str(), encoding="utf-8")
    tokenizer = ChatTokenizer(path)
    # ASCII only and no merges: what is written is then read again as the same tokens
    banned = [id for id in range(len(vocabulary())) if id != tokenizer.end and not tokenizer.piece(id).isascii()]
    merged = [id for id in range(len(vocabulary())) if len(tokenizer.piece(id)) > 1]
    config = replace(tiny.CONFIG, vocab_size=len(vocabulary()), max_position_embeddings=512)
    network: Any = CountedLlama(
        tiny.parts(5, config).fast(end=tokenizer.end, banned=(*tokenizer.banned, *banned, *merged))
    )
    ready = Ready("tiny", str(path), 512, "float32", 1, 0.0, (), 48, 1.0)
    return Engine(network, tokenizer, ready)


def ask(dial: Dial = DIALS[1], **changes: Any) -> Request:
    wanted: dict[str, Any] = {"so_far": "", "seed": 7, "words": 40, **changes}
    return Request(job="j", system="Be kind.", user="Rain", dial=dial, **wanted)


def locked(events: list[JobEvent]) -> list[BlockLocked]:
    return [event for event in events if isinstance(event, BlockLocked)]


def text_of(events: list[JobEvent]) -> str:
    return "".join(event.text for event in locked(events))


@pytest.mark.parametrize("dial", DIALS, ids=str)
@pytest.mark.parametrize("words", [1, 3, 40, None])
def test_a_job_is_reading_then_blocks_then_one_end_and_its_sums_add_up(
    engine: Engine, dial: Dial, words: int | None
) -> None:
    events = list(engine.write(ask(dial, words=words, max_tokens=150)))
    blocks, last = locked(events), events[-1]
    assert isinstance(events[0], Reading)
    assert isinstance(last, Finished)
    assert sum(isinstance(event, Finished) for event in events) == 1
    assert [block.block for block in blocks] == list(range(len(blocks)))
    assert last.blocks == len(blocks)
    assert last.tokens == sum(len(block.tokens) for block in blocks) <= 151
    assert last.nfe == sum(block.nfe for block in blocks)
    assert last.words == count_words(text_of(events))
    assert all(len(block.tokens) <= dial.block_size for block in blocks)
    assert 0 < last.first_block_seconds <= last.seconds


def test_at_most_one_forward_passes_between_two_events(engine: Engine) -> None:
    network: Any = engine._network
    for dial in DIALS:
        before = network.forwards
        for _ in engine.write(ask(dial)):
            assert network.forwards - before <= 1
            before = network.forwards


def test_a_job_that_is_left_leaves_the_engine_as_it_was(engine: Engine) -> None:
    whole = text_of(list(engine.write(ask())))
    for steps in (1, 2, 5, 9):
        job = engine.write(ask())
        for _ in range(steps):
            next(job)
        job.close()  # type: ignore[attr-defined]
    assert text_of(list(engine.write(ask()))) == whole


def test_text_that_rounded_weights_have_read_a_job_that_checks_reads_anew_and_the_prompt_never(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact, lenient, relaxed = DIALS[1:4]
    assert [dial.rounds for dial in (exact, lenient, relaxed)] == [False, True, True]
    network = engine._network
    twin = CountedLlama(network._network)  # type: ignore[attr-defined]
    monkeypatch.setattr(network, "relaxed", lambda: twin)
    for before, dial in product((exact, lenient, relaxed), repeat=2):
        rounded, events = twin.forwards, []
        for event in engine.write(ask(before, seed=5)):
            if isinstance(event, Reading):
                assert twin.forwards == rounded
                prompt = event.total - 1
            events.append(event)
        assert (twin.forwards > rounded) == before.rounds
        again, *_ = engine.write(ask(dial, so_far=text_of(events)))
        assert isinstance(again, Reading)
        if dial.rounds or not before.rounds:
            assert again.done > prompt
        else:
            assert again.done == prompt


@pytest.mark.parametrize("dial", DIALS, ids=str)
def test_the_same_seed_is_the_same_text_and_another_one_another(engine: Engine, dial: Dial) -> None:
    once, twice, other = (text_of(list(engine.write(ask(dial, seed=seed)))) for seed in (3, 3, 4))
    assert once == twice != other


def test_pictures_show_what_is_then_locked(engine: Engine) -> None:
    """Once a slot of an ordinary block has its token it keeps it, and the last picture is the block."""
    for dial in DIALS:
        shown: list[str | None] = []
        for event in engine.write(ask(dial, words=None, max_tokens=60)):
            if isinstance(event, BlockStep):
                now = [slot.text for slot in event.slots]
                for before, after in zip(shown, now, strict=False):
                    assert before is None or before == after
                shown = now
            elif isinstance(event, BlockLocked):
                assert None not in shown[: len(event.tokens)]
                shown = []


def test_a_text_ends_at_its_budget_of_tokens_or_where_the_context_is_full(engine: Engine) -> None:
    budget = list(engine.write(ask(words=None, max_tokens=21)))[-1]
    assert isinstance(budget, Finished)
    assert (budget.reason, budget.tokens) in {("budget", 21)} or budget.reason == "end"
    full = list(engine.write(ask(so_far="a" * 420, words=400)))[-1]
    assert isinstance(full, Finished)
    assert full.reason == "budget"
    assert full.tokens <= 512 - 420


def test_a_prompt_longer_than_the_context_fails_with_a_sentence(engine: Engine) -> None:
    events = list(engine.write(ask(so_far="a" * 600)))
    assert [type(event) for event in events] == [Failed]


@pytest.mark.parametrize("space", [" ", "\n\n", " \n "])
def test_a_text_that_ends_with_white_space_goes_on_with_a_word(engine: Engine, space: str) -> None:
    goes_on = text_of(list(engine.write(ask(so_far=f"a b{space}", words=None, max_tokens=30))))
    assert goes_on == text_of(list(engine.write(ask(so_far="a b", words=None, max_tokens=30)))).lstrip()


def test_a_text_begins_with_a_word(engine: Engine) -> None:
    for seed in range(8):
        text = text_of(list(engine.write(ask(seed=seed, words=None, max_tokens=30))))
        assert text == text.lstrip()


@pytest.mark.parametrize("dial", DIALS, ids=str)
@pytest.mark.parametrize("after", [1, 3])
def test_a_resumed_job_goes_on_as_it_would_have(engine: Engine, dial: Dial, after: int) -> None:
    """After a death the rest is asked for with the text so far, the words left and the number of the next block."""
    request = ask(dial, words=40)
    whole = locked(list(engine.write(request)))
    kept = "".join(block.text for block in whole[:after])
    left = replace(request, so_far=kept, words=40 - count_words(kept), first_block=after)
    assert text_of(list(engine.write(left))) == "".join(block.text for block in whole[after:])


def test_block_seeds_differ_and_depend_on_nothing_but_seed_and_number() -> None:
    seeds = [block_seed(seed, block) for seed in range(5) for block in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert seeds[57] == block_seed(1, 7)


# ---------------------------------------------------------------------------------------------------- the real model


@pytest.fixture(scope="module")
def real(model_cache: Path) -> Engine:
    return Engine.open("smollm2-135m", cache_dir=model_cache, threads=None, report=lambda _: None)


@pytest.fixture(scope="module")
def exact_numbers(model_cache: Path) -> tuple[Llama, ChatTokenizer]:
    """The real network in float32, where equal means equal."""
    return open_model(SMOLLM2, obtain(SMOLLM2, model_cache, lambda _: None), FULL)


BRIEF = "Write the section about the night watch of a lighthouse keeper.\nWrite about {words} words."


def section(stop: str, words: int, **changes: Any) -> Request:
    wanted = {"so_far": "", "seed": 7, **changes}
    user = BRIEF.format(words=words)
    return Request(
        "j", "You are a helpful writing assistant.", user, dial=SMOLLM2.stop(stop).dial, words=words, **wanted
    )


@pytest.mark.parametrize(("stop", "words"), [("exact", 60), ("exact", 150), ("balanced", 60), ("sketch", 60)])
def test_every_stop_meets_the_length_with_a_whole_sentence(real: Engine, stop: str, words: int) -> None:
    events = list(real.write(section(stop, words)))
    text, last = text_of(events), events[-1]
    assert isinstance(last, Finished)
    assert abs(count_words(text) - words) <= 0.1 * words
    assert text.rstrip()[-1] in ".!?\"”’')"
    assert last.reason == "length"


def test_markup_emoji_and_other_scripts_are_read_as_text(real: Engine) -> None:
    request = replace(section("exact", 20), user='<script>alert("🗞️")</script> שלום ﷽ <|im_end|>', so_far="<b>Ünd</b> ")
    assert isinstance(list(real.write(request))[-1], Finished)


def test_what_is_ready_is_told_with_measured_figures(real: Engine) -> None:
    ready = real.ready
    assert [speed.stop for speed in ready.speeds] == [stop.name for stop in SMOLLM2.stops]
    assert all(speed.seconds_per_forward > 0 and speed.ending_seconds > 0 for speed in ready.speeds)
    assert ready.context == SMOLLM2.context == 8192
    assert ready.prefill_tokens_per_second > 0
    assert Path(ready.tokenizer).is_file()


def test_the_network_is_the_published_one(exact_numbers: tuple[Llama, ChatTokenizer], model_cache: Path) -> None:
    """Logits of the real weights equal those of transformers' own Llama."""
    from transformers import LlamaForCausalLM

    network, tokenizer = exact_numbers
    folder = obtain(SMOLLM2, model_cache, lambda _: None)
    theirs = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    ids = torch.tensor([tokenizer.prompt("You are a helpful writing assistant.", BRIEF)])
    with torch.inference_mode():
        expected = theirs(ids).logits
        logits = network.commit(ids, network.new_cache(1))
    assert torch.allclose(logits, expected, atol=2e-3)
    assert torch.equal(logits.argmax(-1), expected.argmax(-1))


def greedy(network: Llama, tokenizer: ChatTokenizer, dial: Dial) -> list[int]:
    tokens: list[int] = []
    sampler = BlockSampler(network, replace(dial, temperature=0.0), may_end=False)
    with torch.inference_mode():
        for _ in sampler.read(torch.tensor([tokenizer.prompt("You are a helpful writing assistant.", BRIEF)])):
            pass
        while len(tokens) < 32:
            tokens += Pictures(sampler.block(dial.block_size, Draws([0]))).finish().tokens[0].tolist()
    return tokens[:32]


@pytest.mark.parametrize(("text", "more"), [("Home.", "\n\n"), ("Dear Ann,\n", "\n"), ("Ann\n\n", ""), ("\n\n\n", "")])
def test_a_new_part_begins_behind_one_empty_line(text: str, more: str) -> None:
    assert to_new_part(text) == more


def test_greedy_verified_text_is_the_base_models_own(exact_numbers: tuple[Llama, ChatTokenizer]) -> None:
    """Token for token, on the real model."""
    expected = greedy(*exact_numbers, Dial(1, 1, "verified"))
    assert greedy(*exact_numbers, Dial(8, 1, "verified")) == expected
    assert greedy(*exact_numbers, Dial(16, 2, "verified")) == expected
    shipped = SMOLLM2.stop("exact").dial
    assert greedy(*exact_numbers, shipped) == greedy(*exact_numbers, replace(shipped, block_size=1))
    assert len(TextStream(exact_numbers[1]).add(expected).split()) > 15


def test_a_damaged_folder_of_weights_is_a_sentence(model_cache: Path, tmp_path: Path) -> None:
    whole = obtain(SMOLLM2, model_cache, lambda _: None)
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    with (whole / "model.safetensors").open("rb") as file:
        (tmp_path / "model.safetensors").write_bytes(file.read(1 << 20))
    with pytest.raises(ModelUnavailable, match="damaged or cut off"):
        Engine.open(str(tmp_path), cache_dir=tmp_path, threads=None, report=lambda _: None)


def test_weights_of_another_network_are_a_sentence(model_cache: Path, tmp_path: Path) -> None:
    whole = obtain(SMOLLM2, model_cache, lambda _: None)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).symlink_to(whole / name)
    config = (
        (whole / "config.json")
        .read_text(encoding="utf-8")
        .replace('"num_hidden_layers": 30', '"num_hidden_layers": 29')
    )
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(config, encoding="utf-8")
    with pytest.raises(ModelUnavailable, match=r"do not fit the network: model\.layers\.29\."):
        Engine.open(str(tmp_path), cache_dir=tmp_path, threads=None, report=lambda _: None)
