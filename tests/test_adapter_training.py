"""Training of the block adapter: the fast pass agrees with the engine's, runs resume exactly, files load back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.backbones.fit import WrongWeights
from model.backbones.llama import Adapter, LlamaConfig, SamplerHead
from model.backbones.load import _adapter, _head
from model.noise import ClippedInterval
from model.training import checkpoint, log
from model.training.adapter import files, rows
from model.training.adapter.blocks import Copy, Noise, draw
from model.training.adapter.loss import Objective, Target, vocabulary_loss
from model.training.adapter.network import FrozenLlama
from model.training.adapter.rows import Written
from model.training.adapter.run import Base, Diverged, Run
from model.training.adapter.settings import Settings, parse
from model.training.adapter.validation import Validation
from model.training.data import NoData
from model.training.likelihood import seeded
from model.training.settings import InvalidSetting
from tests.tiny import BANNED, CONFIG, FAMILY, MASK, Parts, common_of, parts, passing_by

EVERY = torch.arange(CONFIG.vocab_size)

NOISE = Noise((2, 3, 5), (ClippedInterval(0.3, 1.0),) * 3, masked=0.5, decay=0.8, plain=0.3)


def text(seed: int, length: int = 40, start: int = 6) -> Written:
    tokens = torch.randint(2, CONFIG.vocab_size, (length,), generator=torch.Generator().manual_seed(seed))
    return Written(tuple(tokens.tolist()), start)


def frozen(made: Parts) -> FrozenLlama:
    return FrozenLlama(made.config, made.weights, torch.float32, 64)


def trained(made: Parts) -> tuple[dict[str, Tensor], dict[str, Tensor], float]:
    assert made.adapter is not None
    assert made.head is not None
    adapter = {
        f"{name}.{side}": t for name, pair in made.adapter.pairs.items() for side, t in zip("AB", pair, strict=True)
    }
    head = {"W1.weight": made.head.w1, "W1.bias": made.head.b1, "W2.weight": made.head.w2, "W2.bias": made.head.b2}
    return adapter | {"mask_embedding": made.adapter.mask_embedding}, head, made.adapter.scale


def some_copies(row: Written, count: int = 4) -> list[Copy]:
    return [draw(row, NOISE, MASK, seeded(seed)) for seed in range(count)]


@pytest.mark.parametrize(
    "made",
    [*(parts(1, config) for config in FAMILY.values()), parts(1, tied=False), passing_by(parts(1), 0)],
    ids=[*FAMILY, "not tied", "a layer passed by"],
)
def test_the_pass_over_all_blocks_is_the_engines_block_by_block(made: Parts) -> None:
    row = text(2)
    network, engine = frozen(made), made.fast()
    adapter, head, scale = trained(made)
    tokens, copies = torch.tensor(row.tokens), some_copies(row)
    clean = network.read(tokens)
    cache = engine.new_cache(1)
    torch.testing.assert_close(network.logits(clean.features), engine.commit(tokens[None], cache)[0], rtol=0, atol=1e-4)
    features = network.denoise(copies, clean, adapter, scale)
    first = 0
    for copy in copies:
        mine = features[first : first + copy.inputs.numel()].view(*copy.inputs.shape, -1)
        first += copy.inputs.numel()
        for block, start in enumerate(copy.starts.tolist()):
            before = engine.new_cache(1)
            engine.commit(tokens[None, : start - 1], before)
            before.decide(tokens[None, start - 1])
            theirs = engine.denoise(copy.inputs[block : block + 1, 1:], before)[0]
            torch.testing.assert_close(mine[block, :-1], theirs, rtol=0, atol=2e-5)
        told = copy.left >= 0
        chosen = mine.flatten(0, 1)[copy.slot[told]]
        every = torch.arange(CONFIG.vocab_size).expand(len(chosen), -1)
        theirs = engine.chain(chosen, copy.left[told], every)
        ours = network.logits(network.told(chosen, copy.left[told], head))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=4e-5)


def test_a_copy_says_of_every_masked_slot_what_it_predicts() -> None:
    row = text(3)
    kinds = set()
    for copy in some_copies(row, 40):
        wide = copy.size + 1
        for slot, at, left, soft, weight in zip(
            copy.slot.tolist(),
            copy.at.tolist(),
            copy.left.tolist(),
            copy.soft.tolist(),
            copy.weight.tolist(),
            strict=True,
        ):
            block, j = divmod(slot, wide)
            inputs = copy.inputs[block].tolist()
            assert j < copy.size
            assert inputs[j + 1] == MASK
            assert at == int(copy.starts[block]) + j
            assert row.start <= at < len(row.tokens)
            assert inputs[0] == row.tokens[int(copy.starts[block]) - 1]
            assert soft == all(token == MASK for token in inputs[j + 2 :])
            assert weight == pytest.approx(0.8 ** inputs[1 : j + 1].count(MASK))
            if left >= 0:
                assert j > 0
                assert inputs[j] == MASK
                assert left == row.tokens[at - 1]
            kinds.add((j == 0, left >= 0, soft))
        visible = [(b, j) for b, line in enumerate(copy.inputs.tolist()) for j, t in enumerate(line) if t != MASK]
        assert all(copy.inputs[b, j] == row.tokens[int(copy.starts[b]) - 1 + j] for b, j in visible)
        ends = int(copy.starts[-1]) + copy.size
        assert ends >= len(row.tokens)  # the last token is a target of every copy that masks it
    assert len(kinds) == 6


def test_blocks_may_begin_where_the_sampler_began_its_cycles() -> None:
    visited = (6, 7, 10, 14, 15, 16, 17, 21, 25, 27, 31, 32, 36, 39)
    row = replace(text(3), visited=visited)
    sizes = {2: 17, 3: 12, 5: 7}  # blocks that would cover the text
    found = [draw(row, replace(NOISE, visited=1.0), MASK, seeded(seed)) for seed in range(60)]
    assert {start for copy in found for start in copy.starts.tolist()} == set(visited)
    assert all(copy.starts.tolist() == sorted(set(copy.starts.tolist())) for copy in found)
    assert all(len(visited) // 3 <= len(copy.starts) <= sizes[copy.size] for copy in found)
    whole = [draw(row, NOISE, MASK, seeded(seed)) for seed in range(60)]
    assert all((copy.starts.diff() == copy.size).all() for copy in whole)
    half = [draw(row, replace(NOISE, visited=0.5), MASK, seeded(seed)) for seed in range(60)]
    assert 10 < sum(set(copy.starts.tolist()) <= set(visited) for copy in half) < 50


def plain_loss(run: Run, made: Parts, row: Written, copies: list[Copy]) -> Tensor:
    """The loss slot by slot through the engine's network of the same numbers, with torch's own gradient."""
    c, tokens, total = run.network.config, torch.tensor(row.tokens), torch.zeros(())
    engine, weights = made.fast(), made.weights
    laws = engine.commit(tokens[None], engine.new_cache(1))[0].softmax(-1)
    for copy in copies:
        for block, start in enumerate(copy.starts.tolist()):
            features = plain_features(
                c, weights, run.adapter, run.scale, tokens[: start - 1], copy.inputs[block], start
            )
            for i in range(len(copy.slot)):
                at, j = divmod(int(copy.slot[i]), copy.size + 1)
                if at != block:
                    continue
                h, left = features[j], int(copy.left[i])
                if left >= 0:
                    e = weights["model.embed_tokens.weight"][left]
                    e = e / (e.square().mean() + c.rms_norm_eps).sqrt()
                    inner = run.head["W1.weight"] @ torch.cat([h, e]) + run.head["W1.bias"]
                    h = h + run.head["W2.weight"] @ torch.nn.functional.silu(inner) + run.head["W2.bias"]
                log_q = (weights["model.embed_tokens.weight"] @ h / run.settings.temperature).log_softmax(-1)
                p = laws[int(copy.at[i]) - 1].log().div(run.settings.temperature).softmax(-1)
                if not copy.soft[i]:
                    p = torch.nn.functional.one_hot(tokens[copy.at[i]], len(p)).float()
                away, share = 1 - torch.minimum(p, log_q.exp()).sum(), run.settings.acceptance
                total = total + copy.weight[i] * ((1 - share) * -(p * log_q).sum() + share * away)
    return total


def plain_features(
    c: LlamaConfig, weights: dict[str, Tensor], adapter: Any, scale: float, before: Tensor, inputs: Tensor, start: int
) -> Tensor:
    """Features [L' + 1, D] of one block in plain torch, differentiable in the adapter: written anew from ADAPTER.md."""
    from tests.tiny import rotate

    def normed(x: Tensor, name: str) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + c.rms_norm_eps).sqrt() * weights[name]

    clean, n, heads, d = len(before), len(inputs), c.num_attention_heads, c.head_dim
    table = torch.cat([weights["model.embed_tokens.weight"], adapter["mask_embedding"][None]])
    x, positions = table[torch.cat([before, inputs])], list(range(clean + n))
    assert start - 1 == clean
    seen = torch.ones(clean + n, clean + n).tril().bool()
    seen[clean:] = True
    for i in range(c.num_hidden_layers):
        passed_by = f"layers.{i}.qkv.A" not in adapter
        entering = x[clean:]

        def product(x: Tensor, group: str, *names: str, i: int = i, plain: bool = passed_by) -> Tensor:
            w = torch.cat([weights[f"model.layers.{i}.{name}.weight"] for name in names])
            low = 0.0 if plain else scale * adapter[f"layers.{i}.{group}.B"] @ adapter[f"layers.{i}.{group}.A"]
            biases = [weights.get(f"model.layers.{i}.{name}.bias") for name in names]
            bias = torch.cat([each for each in biases if each is not None] or [torch.zeros(1)])
            return torch.cat([x[:clean] @ w.T, x[clean:] @ (w + low).T]) + bias

        y = normed(x, f"model.layers.{i}.input_layernorm.weight")
        qkv = product(y, "qkv", *(f"self_attn.{k}_proj" for k in "qkv")).view(clean + n, -1, d).transpose(0, 1)
        q, k, v = qkv.split([heads, c.num_key_value_heads, c.num_key_value_heads])
        if c.qk_norm:
            q, k = (normed(t, f"model.layers.{i}.self_attn.{name}_norm.weight") for name, t in (("q", q), ("k", k)))
        q, k = (rotate(t.double(), positions, c.rope_theta).float() for t in (q, k))
        k, v = (t.repeat_interleave(heads // c.num_key_value_heads, 0) for t in (k, v))
        shares = (q @ k.mT / d**0.5).masked_fill(~seen, -torch.inf).softmax(-1)
        x = x + product((shares @ v).transpose(0, 1).flatten(1), "o", "self_attn.o_proj")
        y = normed(x, f"model.layers.{i}.post_attention_layernorm.weight")
        gate, up = product(y, "gate_up", "mlp.gate_proj", "mlp.up_proj").chunk(2, -1)
        x = x + product(torch.nn.functional.silu(gate) * up, "down", "mlp.down_proj")
        x = torch.cat([x[:clean], entering]) if passed_by else x
    return normed(x, "model.norm.weight")[clean:]


PLAIN = parts(4)


@pytest.mark.parametrize(
    ("made", "acceptance", "temperature"),
    [
        (parts(4), 0.0, 1.0),
        (parts(4), 0.0, 0.8),
        (parts(4, FAMILY["qwen2"]), 0.7, 1.0),
        (parts(4, FAMILY["qwen3"]), 1.0, 0.8),
        (passing_by(parts(4), 0), 0.5, 1.0),
    ],
)
def test_loss_and_gradient_are_those_of_the_slow_twin(
    tmp_path: Path, made: Parts, acceptance: float, temperature: float
) -> None:
    run = new_run(tmp_path, made, acceptance=acceptance, temperature=temperature, start=str(written(tmp_path, made)))
    row = text(5, length=20)
    copies = some_copies(row, 2)
    ours, _ = run.loss(row, copies)
    grads = torch.autograd.grad(ours, list(run.parameters.values()))
    theirs = plain_loss(run, made, row, copies)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    slow = torch.autograd.grad(theirs, list(run.parameters.values()))
    for name, mine, plain in zip(run.parameters, grads, slow, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-3, atol=2e-5, msg=name)


def test_the_fused_loss_says_what_is_accepted() -> None:
    stream = torch.Generator().manual_seed(1)
    features, table, base = (torch.randn(n, k, generator=stream) for n, k in ((300, 8), (23, 8), (300, 23)))
    target = Target(base, torch.arange(300), torch.zeros(300, dtype=torch.long), torch.ones(300) > 0, torch.ones(300))
    loss, accepted = vocabulary_loss(features, table, target, Objective())
    q = (features @ table.T).softmax(-1)
    torch.testing.assert_close(accepted, torch.minimum(base.softmax(-1), q).sum(-1))
    torch.testing.assert_close(loss, -(base.softmax(-1) * q.log()).sum())


# --------------------------------------------------------------------------------------------------------- the run


def written(folder: Path, made: Parts) -> Path:
    """Adapter and head of a tiny network as files, in float32's nearest bfloat16."""
    adapter, head, scale = trained(made)
    folder.mkdir(parents=True, exist_ok=True)
    origin, common = files.Origin("x", "y", 5), common_of(made.config)
    files.publish(folder, adapter, head, common=common, origin=origin, sizes=(4,), scale=scale, tokens=0, head_tokens=0)
    return folder / files.ADAPTER


def settings(folder: Path, **other: Any) -> Settings:
    plain: dict[str, Any] = {
        "out": str(folder / "run"), "data": ("unread",), "precision": "no", "length": 64, "tokens": 900, "texts": 2,
        "copies": 2, "rank": 4, "warmup": 2, "log_every": 1, "save_every": 300, "validate_every": 400,
        "block_sizes": (3, 5),
    }  # fmt: skip
    return Settings(**{**plain, **other})


def new_run(folder: Path, made: Parts | None = None, **other: Any) -> Run:
    made = made or parts(1, adapter=False, head=False)
    base = Base(made.config, made.weights, BANNED, files.Origin("base.gguf", "0" * 64))
    return Run(settings(folder, **other), base, [text(n) for n in range(7)], [text(8), text(9)], quiet=True)


def events(run: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in event.items() if k != "tokens_per_second"} for event in log.read(run / log.FILE)]


def test_a_resumed_run_has_the_numbers_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = new_run(tmp_path, out=str(tmp_path / "whole")).train()
    stopped = new_run(tmp_path)
    steps = stopped.step

    def step_and_stop() -> tuple[float, float, float]:
        if stopped.progress.step == 2:
            stopped._stop()
        return steps()

    stopped.step = step_and_stop  # type: ignore[method-assign]
    half = stopped.train()
    assert half.name < whole.name
    resumed = new_run(tmp_path).train()
    assert resumed.name == whole.name
    assert events(resumed.parent) == events(whole.parent)
    for name in (checkpoint.TENSORS, files.ADAPTER, files.HEAD):
        ours, theirs = (files.load_file(folder / name) for folder in (resumed, whole))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name


def test_the_loss_falls_and_more_is_accepted(tmp_path: Path) -> None:
    run = new_run(tmp_path, learning_rate=1e-2, tokens=6000, save_every=6000, validate_every=6000)
    last = run.train()
    seen = [event for event in events(last.parent) if "loss" in event]
    assert sum(e["loss"] for e in seen[-5:]) < sum(e["loss"] for e in seen[:5]) - 1.0
    first, *_, final = [event["quality"] for event in events(last.parent) if "quality" in event]
    assert sum(final["told"]) > sum(first["told"]) + 0.5  # of eight slots, Σ min(p, q) each
    assert final["cycle"] > first["cycle"]
    best = json.loads((last.parent / "best" / "quality.json").read_text(encoding="utf-8"))
    assert best["cycle"] == max(first["cycle"], final["cycle"])


def test_what_is_written_loads_and_is_begun_with_again(tmp_path: Path) -> None:
    run = new_run(tmp_path, tokens=300)
    last = run.train()
    adapter, head = _adapter(last / files.ADAPTER, CONFIG), _head(last / files.HEAD, CONFIG)
    assert isinstance(adapter, Adapter)
    assert isinstance(head, SamplerHead)
    made = replace(parts(1), adapter=adapter, head=head)
    row, copies = text(3), some_copies(text(3))
    network = frozen(made)
    ours = run.network.denoise(copies, run.network.read(torch.tensor(row.tokens)), run.adapter, run.scale)
    theirs = network.denoise(copies, network.read(torch.tensor(row.tokens)), *trained(made)[::2])
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.1)
    with files.safe_open(last / files.ADAPTER, framework="pt") as file:
        header = file.metadata()
    assert header == {
        "tokens_trained": str(run.progress.tokens), "block_sizes": "3,5", "scale": "2.0", "base": "base.gguf",
        "base_sha256": "0" * 64, "rank": "4",
    }  # fmt: skip
    again = new_run(tmp_path, out=str(tmp_path / "again"), start=str(last))
    assert all(torch.equal(again.adapter[name].bfloat16(), run.adapter[name].bfloat16()) for name in run.adapter)
    assert all(torch.equal(again.head[name].bfloat16(), run.head[name].bfloat16()) for name in run.head)
    assert again.origin.tokens == run.progress.tokens


def test_some_layers_alone_are_trained_of_what_it_begins_with(tmp_path: Path) -> None:
    whole = new_run(tmp_path, tokens=300).train()
    run = new_run(tmp_path, out=str(tmp_path / "some"), start=str(whole), layers=(1,), tokens=300)
    before = files.load_file(whole / files.ADAPTER)
    assert set(run.adapter) == {name for name in before if name.startswith("layers.1.") or name == "mask_embedding"}
    assert all(torch.equal(run.adapter[name].bfloat16(), before[name]) for name in run.adapter)
    last = run.train()
    assert {name.split(".")[1] for name in _adapter(last / files.ADAPTER, CONFIG).pairs} == {"1"}
    again = new_run(tmp_path, out=str(tmp_path / "again"), start=str(last))
    assert list(again.adapter) == list(run.adapter), "it goes on with the layers of what it begins with"
    with pytest.raises(WrongWeights, match=r"layers\.0\.qkv\.A is missing"):
        new_run(tmp_path, out=str(tmp_path / "more"), start=str(last), layers=(0, 1))


def test_an_adapter_for_more_layers_or_for_none_is_not_begun_with(tmp_path: Path) -> None:
    deeper = written(tmp_path / "deeper", parts(1, replace(CONFIG, num_hidden_layers=3)))
    none = tmp_path / "none" / files.ADAPTER
    none.parent.mkdir()
    files.save_file({"mask_embedding": torch.zeros(CONFIG.hidden_size)}, none, {"rank": "3", "scale": "2.0"})
    for start in (deeper, none):
        with pytest.raises(WrongWeights, match="is not a block adapter for a network of 2 layers"):
            new_run(tmp_path, start=str(start))


@pytest.mark.parametrize("layers", [(2,), (-1, 0), (1, 0), (0, 0)])
def test_layers_that_are_not_there_or_not_in_order_are_refused(tmp_path: Path, layers: tuple[int, ...]) -> None:
    with pytest.raises(InvalidSetting, match="--layers"):
        new_run(tmp_path, layers=layers)


@pytest.mark.parametrize("part", ["adapter", "head"])
def test_one_of_both_can_be_trained_alone(tmp_path: Path, part: str) -> None:
    run = new_run(tmp_path, PLAIN, tokens=200, train=part, start=str(written(tmp_path, PLAIN)))
    before = {name: tensor.detach().clone() for name, tensor in run.parameters.items()}
    run.train()
    for name, tensor in run.parameters.items():
        assert torch.equal(tensor, before[name]) == (name in getattr(run, {"adapter": "head", "head": "adapter"}[part]))
    again = new_run(tmp_path, PLAIN, tokens=200, train=part, start=str(tmp_path))
    assert again.progress.step == run.progress.step > 0


def test_a_loss_that_is_no_number_stops_with_step_and_rate_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    kept = new_run(tmp_path, tokens=300).train()
    run = new_run(tmp_path)
    with torch.no_grad():
        run.adapter["mask_embedding"].fill_(float("nan"))
    with pytest.raises(Diverged, match=rf"the loss is nan at a learning rate of 0\.001; {kept} is kept"):
        run.train()
    assert checkpoint.newest(kept.parent) == kept


def test_a_run_is_not_gone_on_with_under_other_settings(tmp_path: Path) -> None:
    new_run(tmp_path, tokens=300).train()
    with pytest.raises(InvalidSetting, match="another decay"):
        new_run(tmp_path, decay=0.5)


def test_validation_counts_the_engines_acceptance() -> None:
    made, row = parts(6), text(7, length=14, start=6)
    quality = Validation(frozen(made), [row], BANNED, EVERY).measure(*trained(made))
    engine, tokens = made.fast(), torch.tensor(row.tokens)
    laws = engine.commit(tokens[None], engine.new_cache(1))[0].softmax(-1)
    sums = torch.zeros(2, 8)
    for start in range(6, 7):
        before = engine.new_cache(1)
        engine.commit(tokens[None, : start - 1], before)
        before.decide(tokens[None, start - 1])
        features = engine.denoise(torch.full((1, 8), MASK), before)[0]
        for slot in range(8):
            p, q = laws[start + slot - 1], engine.logits(features[slot]).softmax(-1)
            sums[0, slot] += torch.minimum(p, q).sum()
            if slot:
                every = torch.arange(CONFIG.vocab_size)[None]
                left = tokens[None, start + slot - 1]
                q = engine.chain(features[None, slot], left, every)[0].softmax(-1)
            sums[1, slot] += torch.minimum(p, q).sum()
    torch.testing.assert_close(torch.tensor([quality.plain, quality.told]), sums, rtol=0, atol=1e-4)
    assert 1.0 < quality.cycle < 6.0


def test_validation_counts_where_the_sampler_began_its_cycles() -> None:
    made, row = parts(6), text(7, length=30, start=6)
    everywhere, some, nothing = (replace(row, visited=places) for places in (tuple(range(6, 30)), (8, 9, 20), (29,)))
    network, weights = frozen(made), trained(made)
    whole, same, here, none = (
        Validation(network, [each], BANNED, EVERY).measure(*weights) for each in (row, everywhere, some, nothing)
    )
    assert same == whole
    assert here.cycle != whole.cycle
    assert none.told == [0.0] * 8, "no block of 8 begins there and lies within the text"


def test_validation_passes_over_texts_shorter_than_a_block() -> None:
    made = parts(6)
    short, row = text(8, length=9, start=6), text(7, length=30, start=6)
    alone, both = (
        Validation(frozen(made), rows, BANNED, EVERY).measure(*trained(made)) for rows in ([row], [short, row])
    )
    assert alone.told == both.told


# ------------------------------------------------------------------------------------------------------------- data


class Words:
    """Stands for the tokenizer: a letter is a token."""

    end = 2

    def encode(self, text: str) -> list[int]:
        return [ord(letter) - 90 for letter in text]

    def prompt(self, system: str, user: str) -> list[int]:
        return [3, *self.encode(user)]


def test_rows_of_both_kinds_are_read(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    lines = [
        {"prompt": "ab", "text": "cde", "ended": True, "tokens": 4},
        {"prompt_tokens": [5, 6], "tokens": [7, 2], "text": "x\u2028y\x85z"},  # no line ends here
        {"prompt_tokens": [5] * 9, "tokens": [7]},
    ]
    file.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n\n", encoding="utf-8")
    found = rows.read([str(file)], Words(), 23, 5)  # type: ignore[arg-type]
    assert found == [Written((3, 7, 8, 9, 10), 3), Written((5, 6, 7, 2), 2)]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 2, is not JSON"),
        ("[]", "line 2, is no row of names and values"),
        ('{"text": "a"}', "line 2, has neither prompt_tokens and tokens nor prompt and text"),
        ('{"prompt_tokens": [1], "tokens": []}', "line 2, has no prompt or no text"),
        ('{"prompt_tokens": [1], "tokens": [23]}', r"line 2, has a token id outside 0 … 22"),
        ('{"prompt_tokens": [1], "tokens": ["a"]}', "line 2, has tokens that are no whole numbers"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, line: str, sentence: str) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"prompt_tokens": [1], "tokens": [2]}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(NoData, match=sentence):
        rows.read([str(file)], Words(), 23, 64)  # type: ignore[arg-type]


def test_a_text_keeps_its_side_when_the_data_grows() -> None:
    every = [text(seed) for seed in range(200)]
    train, valid = rows.split(every, 0.1, 100)
    assert 5 < len(valid) < 40
    more_train, more_valid = rows.split([*every, *(text(seed) for seed in range(200, 300))], 0.1, 100)
    assert set(valid) <= set(more_valid)
    assert set(train) <= set(more_train)
    with pytest.raises(NoData, match="give more text or another --held-out"):
        rows.split(every, 0.0, 10)


def test_the_tokens_that_are_proposed_are_those_that_were_written_most_often() -> None:
    texts = [Written((1, 1, 1, 20, 9, 9), 3), Written((5, 20, 20, 7), 1)]
    assert rows.common(texts, 23, most=3).tolist() == [7, 9, 20]
    assert rows.common(texts, 23, most=5).tolist() == [0, 1, 7, 9, 20], "and then the first of the vocabulary"
    assert rows.common(texts, 23).tolist() == list(range(23))


def test_wrong_settings_are_refused_in_a_sentence(tmp_path: Path) -> None:
    required = ["--out", str(tmp_path), "--data", "a"]
    assert parse([*required, "--from", "x", "--block-sizes", "4", "8"]).block_sizes == (4, 8)
    for wrong, sentence in (
        (["--decay", "2"], "give 0 … 1"),
        (["--interval", "0.3"], "two numbers"),
        (["--interval", "0.9", "0.3"], "no interval of noise levels"),
        (["--train", "all"], "choose both, adapter, head"),
        (["--copies", "0"], "give 1 or more"),
    ):
        with pytest.raises(InvalidSetting, match=sentence):
            parse([*required, *wrong])
