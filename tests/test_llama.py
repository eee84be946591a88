"""Rules of the Llama backbone: every fast form computes what its plain slow twin does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model import scripting
from model.attention import SHORT
from model.backbones import llama
from model.backbones.fit import WrongWeights
from model.backbones.llama import Llama, check_weights, weight_shapes
from model.backbones.llama_layers import RmsNorm
from model.denoiser import GROWTH, BlockCache, ContextFull
from model.linear import multiplies_4_bits
from tests.on_levels import nearest_on_levels
from tests.tiny import CONFIG, FAMILY, MASK, Parts, PlainLlama, parts, passing_by

FLOAT32 = 1e-4
"""How far float32 may be from the twin's float64, on logits and features of size 1 to 5."""

BLOCKS = [[MASK, MASK, MASK], [MASK, 9, MASK, 4], [7, 8, 9], [MASK], [MASK] * 8]


@pytest.fixture(scope="module", params=[*FAMILY, "a layer passed by"])
def tiny(request: pytest.FixtureRequest) -> Parts:
    if request.param in FAMILY:
        return parts(seed=1, config=FAMILY[request.param])
    return passing_by(parts(seed=1), 0)


@pytest.fixture(scope="module")
def fast(tiny: Parts) -> Llama:
    return tiny.fast()


@pytest.fixture(scope="module")
def plain(tiny: Parts) -> PlainLlama:
    return tiny.plain()


def some_text(n: int, seed: int = 0) -> list[int]:
    return torch.randint(3, CONFIG.vocab_size, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


def rows(*texts: list[int]) -> Tensor:
    return torch.tensor(texts, dtype=torch.long)


def cache_of(network: Llama, *texts: list[int]) -> BlockCache:
    cache = network.new_cache(len(texts))
    network.commit(rows(*texts), cache)
    return cache


def assert_near(found: Tensor, expected: Tensor, tolerance: float = FLOAT32) -> None:
    torch.testing.assert_close(found.double(), expected.double(), rtol=0.0, atol=tolerance)


# --------------------------------------------------------------------------------------------- cached = uncached


def test_clean_text_read_in_pieces_is_clean_text_read_at_once(fast: Llama, plain: PlainLlama) -> None:
    text = some_text(60)
    cache = fast.new_cache(1)
    found = [fast.commit(rows(text[at : at + n]), cache) for at, n in ((0, 7), (7, 1), (8, 30), (38, 22))]
    assert_near(torch.cat(found, dim=1)[0], plain.causal(text))
    assert (cache.size, cache.tokens[0, :60].tolist()) == (60, text)


def test_the_last_logits_alone_are_the_last_of_all(fast: Llama) -> None:
    text = some_text(12)
    whole = fast.commit(rows(text), fast.new_cache(1))
    last = fast.commit(rows(text), fast.new_cache(1), last_only=True)
    assert last.shape == (1, 1, CONFIG.vocab_size)
    assert_near(last, whole[:, -1:])


def test_a_pending_token_is_read_before_what_follows(fast: Llama, plain: PlainLlama) -> None:
    text = some_text(20)
    cache = cache_of(fast, text[:12])
    cache.decide(torch.tensor(text[12:13]))
    found = fast.commit(rows(text[13:]), cache)
    assert_near(found[0], plain.causal(text)[12:])
    cache.decide(torch.tensor([5]))
    assert_near(fast.commit(rows([]), cache)[0], plain.causal([*text, 5])[-1:])
    assert (cache.decided, cache.pending) == (21, False)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("length", [1, 2, 31])
@pytest.mark.parametrize("pending", [False, True])
def test_a_block_after_cached_text_is_the_block_after_the_text(
    fast: Llama, plain: PlainLlama, block: list[int], length: int, pending: bool
) -> None:
    text = some_text(length)
    cache = fast.new_cache(1)
    if pending:
        if length > 1:
            fast.commit(rows(text[:-1]), cache)
        cache.decide(torch.tensor(text[-1:]))
    else:
        fast.commit(rows(text), cache)
    found = fast.denoise(rows(block), cache)
    expected = plain.noisy(text, block)
    assert_near(found[0], expected)
    assert_near(fast.logits(found)[0], torch.stack([plain.slot_logits(slot, None) for slot in expected]))


@pytest.mark.parametrize("block", [[MASK], [MASK, MASK, MASK], [7, 9, MASK]])
def test_with_an_open_end_the_last_slot_is_not_seen(fast: Llama, plain: PlainLlama, block: list[int]) -> None:
    text = some_text(20)
    found = fast.denoise(rows(block), cache_of(fast, text), open_end=True)
    assert_near(found[0], plain.noisy(text, block, open_end=True))
    assert found.shape[1] == len(block)


@pytest.mark.parametrize("length", [GROWTH - 2, GROWTH, GROWTH + 1, SHORT - 3, SHORT + 40])
def test_growth_and_the_long_form_of_attention_change_nothing(fast: Llama, plain: PlainLlama, length: int) -> None:
    text = some_text(length)
    cache = cache_of(fast, text)
    assert_near(fast.denoise(rows(BLOCKS[1]), cache)[0], plain.noisy(text, BLOCKS[1]))
    more = some_text(6, seed=1)
    assert_near(fast.commit(rows(more), cache)[0], plain.causal(text + more)[length:])


@pytest.mark.parametrize("where", [40, 39, 17, 1])
def test_after_a_cut_the_text_goes_on_as_if_the_rest_had_never_been(fast: Llama, plain: PlainLlama, where: int) -> None:
    text, other = some_text(40), some_text(8, seed=2)
    cache = cache_of(fast, text)
    fast.denoise(rows(BLOCKS[0]), cache)
    cache.cut(where)
    assert_near(fast.denoise(rows(BLOCKS[1]), cache)[0], plain.noisy(text[:where], BLOCKS[1]))
    assert_near(fast.commit(rows(other), cache)[0], plain.causal(text[:where] + other)[where:])


@pytest.mark.parametrize("pending", [False, True])
@pytest.mark.parametrize("length", [20, GROWTH - 1])
def test_denoising_never_changes_the_cache(fast: Llama, length: int, pending: bool) -> None:
    cache = cache_of(fast, some_text(length), some_text(length, seed=3))
    if pending:
        cache.decide(torch.tensor([5, 6]))
    decided, size = cache.decided, cache.size
    tokens, layers = cache.tokens[:, :decided].clone(), [layer[..., :size, :].clone() for layer in cache.layers]
    for block in BLOCKS:
        fast.denoise(rows(block, block), cache)
    assert (cache.decided, cache.size, cache.pending) == (decided, size, pending)
    assert torch.equal(cache.tokens[:, :decided], tokens)
    assert all(torch.equal(now[..., :size, :], before) for now, before in zip(cache.layers, layers, strict=True))


# ---------------------------------------------------------------------------------------------- batch = one by one


def test_a_batch_is_its_rows_one_by_one(fast: Llama) -> None:
    texts = [some_text(30, seed) for seed in range(3)]
    blocks = [[MASK, 9, MASK], [MASK, MASK, MASK], [4, MASK, 11]]
    cache = fast.new_cache(3)
    logits, features = fast.commit(rows(*texts), cache), fast.denoise(rows(*blocks), cache)
    for row, (text, block) in enumerate(zip(texts, blocks, strict=True)):
        alone = fast.new_cache(1)
        assert_near(logits[row], fast.commit(rows(text), alone)[0])
        assert_near(features[row], fast.denoise(rows(block), alone)[0])


@pytest.mark.parametrize("longest", [25, SHORT + 150])
def test_a_padded_row_is_the_row_without_padding(fast: Llama, longest: int) -> None:
    texts = [some_text(longest), some_text(9, seed=1), some_text(1, seed=2)]
    cache = fast.new_cache(3)
    cache.padding = torch.tensor([longest - len(text) for text in texts])
    padded = rows(*([0] * (longest - len(text)) + text for text in texts))
    for at in range(0, longest, 256):  # as a sampler reads it: the last piece meets a long cache
        logits = fast.commit(padded[:, at : at + 256], cache, last_only=True)
    block, more = [MASK, 5, MASK], some_text(3, seed=4)
    features = fast.denoise(rows(block, block, block), cache)
    after = fast.commit(rows(more, more, more), cache)
    for row, text in enumerate(texts):
        alone = fast.new_cache(1)
        # its rotary positions are shifted by the padding: only their differences matter
        assert_near(logits[row], fast.commit(rows(text), alone, last_only=True)[0], 2 * FLOAT32)
        assert_near(features[row], fast.denoise(rows(block), alone)[0], 2 * FLOAT32)
        assert_near(after[row], fast.commit(rows(more), alone)[0], 2 * FLOAT32)


def test_copied_rows_go_on_like_their_text(fast: Llama, plain: PlainLlama) -> None:
    texts = [some_text(15, seed) for seed in (5, 6)]
    cache = cache_of(fast, *texts).rows(torch.tensor([1, 0, 1]))
    found = fast.denoise(rows(*[BLOCKS[1]] * 3), cache)
    for row, text in enumerate((texts[1], texts[0], texts[1])):
        assert_near(found[row], plain.noisy(text, BLOCKS[1]))


# ---------------------------------------------------------------------------------------------------- the weights


def test_a_merged_adapter_is_the_low_rank_products(tiny: Parts) -> None:
    # the twin keeps W·x and scale·B·(A·x) apart; without the adapter the block is another one
    text, block = some_text(10), BLOCKS[0]
    bare = replace(tiny, adapter=replace(tiny.adapter, scale=0.0))
    found = {name: p.fast().denoise(rows(block), cache_of(p.fast(), text))[0] for name, p in (("", tiny), ("0", bare))}
    assert_near(found[""], tiny.plain().noisy(text, block))
    assert_near(found["0"], bare.plain().noisy(text, block))
    assert (found[""] - found["0"]).abs().max() > 0.1


def test_noisy_text_passes_by_the_layers_that_the_adapter_has_nothing_for() -> None:
    whole, text, block = parts(seed=1), some_text(10), BLOCKS[0]
    found = [each.fast().denoise(rows(block), cache_of(each.fast(), text)) for each in (whole, passing_by(whole, 1))]
    assert (found[0] - found[1]).abs().max() > 0.1


def test_block_size_1_is_the_causal_model_untouched_by_the_adapter(tiny: Parts) -> None:
    text = some_text(20)
    causal = replace(tiny, adapter=None, head=None).fast()
    assert torch.equal(
        tiny.fast().commit(rows(text), tiny.fast().new_cache(1)), causal.commit(rows(text), causal.new_cache(1))
    )


def test_block_size_1_is_the_published_network(tiny: Parts) -> None:
    """The one twin that is not of this house: the network of the transformers library, with the same weights."""
    import transformers

    kind = "Qwen2" if tiny.config.qkv_bias else "Qwen3" if tiny.config.qk_norm else "Llama"
    names = (
        *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
        *("vocab_size", "rms_norm_eps", "max_position_embeddings", "head_dim"),
    )
    shape = getattr(transformers, f"{kind}Config")(
        **{name: getattr(tiny.config, name) for name in names},
        rope_parameters={"rope_type": "default", "rope_theta": CONFIG.rope_theta},
        tie_word_embeddings=True,
    )
    published = getattr(transformers, f"{kind}ForCausalLM")(shape).eval()
    missing = published.load_state_dict(tiny.weights, strict=False)
    assert (missing.missing_keys, missing.unexpected_keys) == (["lm_head.weight"], [])
    text = some_text(40)
    with torch.no_grad():
        expected = published(rows(text)).logits
    fast = tiny.fast()
    assert_near(fast.commit(rows(text), fast.new_cache(1)), expected)


def test_without_an_adapter_only_block_size_1_is_offered(tiny: Parts) -> None:
    assert tiny.fast().facts.block_sizes == (1, 4, 8)
    assert replace(tiny, adapter=None).fast().facts.block_sizes == (1,)


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_candidates_are_weighed_anew_as_the_sampler_head_says(head: bool, tied: bool) -> None:
    tiny = parts(seed=2, head=head, tied=tied)
    fast, plain = tiny.fast(), tiny.plain()
    text = some_text(10)
    features = fast.denoise(rows(BLOCKS[0]), cache_of(fast, text))
    candidates = torch.tensor([[4, 11, 3], [20, 21, 0]])
    left = torch.tensor([17, 6])
    found = fast.chain(torch.stack([features[0, 1], features[0, 2]]), left, candidates)
    slots = plain.noisy(text, BLOCKS[0])
    for row, slot in enumerate((1, 2)):
        assert_near(found[row], plain.slot_logits(slots[slot], int(left[row]))[candidates[row]])


def test_the_unembedding_is_its_own_matrix_where_there_is_one() -> None:
    untied = parts(seed=3, tied=False)
    fast, text = untied.fast(), some_text(10)
    assert_near(fast.commit(rows(text), fast.new_cache(1))[0], untied.plain().causal(text))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"model.norm.weight": None}, "model.norm.weight is missing"),
        ({"model.layers.1.mlp.up_proj.weight": None}, "model.layers.1.mlp.up_proj.weight is missing"),
        (
            {"model.layers.2.mlp.up_proj.weight": (48, 32)},
            "model.layers.2.mlp.up_proj.weight is not part of this network",
        ),
        ({"model.norm.weight": (31,)}, r"model.norm.weight is \(31,\), not \(32,\)"),
        (
            {"model.layers.0.self_attn.k_proj.weight": (32, 32)},
            r"model.layers.0.self_attn.k_proj.weight is \(32, 32\), not \(16, 32\)",
        ),
        ({"lm_head.weight": (22, 32)}, r"lm_head.weight is \(22, 32\), not \(23, 32\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(change: dict[str, tuple[int, ...] | None], fault: str) -> None:
    tiny = parts(seed=1)
    weights = {name: t for name, t in tiny.weights.items() if change.get(name, ()) is not None}
    weights |= {name: torch.zeros(shape) for name, shape in change.items() if shape is not None}
    with pytest.raises(WrongWeights, match=rf"^These weights do not fit the network: {fault}\.$"):
        replace(tiny, weights=weights).fast()


def test_many_faults_are_told_in_one_sentence() -> None:
    with pytest.raises(WrongWeights, match=rf" is missing and {len(weight_shapes(CONFIG)) - 5} more\.$"):
        check_weights(CONFIG, {})


# ----------------------------------------------------------------------------------------------------- the context


def test_the_context_holds_as_many_tokens_as_it_says_and_not_one_more(tiny: Parts) -> None:
    small = replace(tiny, config=replace(tiny.config, max_position_embeddings=16))
    fast, plain, text = small.fast(), small.plain(), some_text(16)
    assert fast.facts.context == 16
    cache = cache_of(fast, text[:15])
    # a block may be denoised across the edge, a token may not be written there
    assert_near(fast.denoise(rows([MASK] * 32), cache)[0], plain.noisy(text[:15], [MASK] * 32))
    assert_near(fast.commit(rows(text[15:]), cache)[0], plain.causal(text)[15:])
    with pytest.raises(ContextFull, match="longer than the 16 tokens"):
        fast.commit(rows([5]), cache)
    with pytest.raises(ContextFull, match="longer than the 16 tokens"):
        cache.decide(torch.tensor([5]))
    with pytest.raises(ContextFull, match="longer than the 16 tokens"):
        fast.commit(rows(some_text(17)), fast.new_cache(1))
    assert (cache.decided, cache.tokens[0, :16].tolist()) == (16, text)


def test_a_block_needs_a_token_before_it(fast: Llama) -> None:
    with pytest.raises(ValueError, match="one decided token before a block"):
        fast.denoise(rows([MASK]), fast.new_cache(1))


# ------------------------------------------------------------------------------------------------------- precision


@pytest.mark.parametrize(
    "how",
    [{"packed": True}, {"dtype": torch.bfloat16}],
    ids=["16-bit products, float32 activations", "bfloat16 throughout"],
)
@pytest.mark.parametrize("length", [3, 40, SHORT + 40])
def test_sixteen_bits_stay_close_to_float32(tiny: Parts, fast: Llama, how: dict[str, object], length: int) -> None:
    """bfloat16 keeps 8 bits: over two layers the relative error of logits and features stays below 5%; a little more,
    where small queries and keys are normed after rounding."""
    text, rough = some_text(length), tiny.fast(**how)
    exact_cache, rough_cache = fast.new_cache(1), rough.new_cache(1)
    assert rough_cache.dtype == torch.bfloat16
    exact, found = fast.commit(rows(text), exact_cache), rough.commit(rows(text), rough_cache)
    assert found.dtype == torch.float32
    for block in ([MASK], [MASK, 9, MASK, 4]):  # few rows, and more than a few
        exact = torch.cat([exact.flatten(), fast.denoise(rows(block), exact_cache).flatten()])
        found = torch.cat([found.flatten(), rough.denoise(rows(block), rough_cache).float().flatten()])
    assert 0.0 < (found - exact).norm() / exact.norm() < (0.06 if tiny.config.qk_norm else 0.05)


@pytest.mark.parametrize("length", [3, SHORT + 40])
def test_a_scripted_network_is_the_plain_one_bit_for_bit(
    tiny: Parts, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, told = some_text(length), []
    for script in (scripting.scripted, lambda module: module):
        monkeypatch.setattr(llama, "scripted", script)
        network = tiny.fast(packed=True)
        cache = network.new_cache(2)
        told.append([network.commit(rows(text, text[::-1]), cache)])
        for block in ([MASK], [MASK, 9, MASK, 4] * 3):  # few rows, and more than a few
            told[-1] += [features := network.denoise(rows(block, block), cache)]
            told[-1] += [network.chain(features[:, 0], torch.tensor([5, 6]), torch.tensor([[1, 2], [3, 4]]))]
        told[-1] += cache.layers
    assert all(torch.equal(one, other) for one, other in zip(*told, strict=True))


def test_the_relaxed_network_is_near_and_reads_on_from_what_the_exact_one_has_read(tiny: Parts) -> None:
    """int8 keeps 7 bits of weights and activations: over two layers the error of logits stays below 10%."""
    exact = tiny.fast(packed=True)
    relaxed = exact.relaxed()
    assert relaxed.relaxed() is relaxed
    cache = exact.new_cache(1)
    exact.commit(rows(some_text(20)), cache)
    other = cache.rows(torch.zeros(1, dtype=torch.long))
    found, expected = relaxed.commit(rows([3, 4]), other), exact.commit(rows([3, 4]), cache)
    assert (found - expected).norm() / expected.norm() < 0.1
    assert torch.equal(relaxed.denoise(rows([MASK] * 3), cache), exact.denoise(rows([MASK] * 3), cache))
    assert tiny.fast().relaxed().packed is False  # where nothing is packed it is the network itself


@pytest.mark.skipif(not multiplies_4_bits(), reason="this CPU is not fast at such products")
def test_a_network_that_was_published_in_4_bits_is_read_in_4_bits_at_every_stop() -> None:
    made = parts(4, replace(CONFIG, intermediate_size=64))
    weights = {name: nearest_on_levels(each, 4) if "proj" in name else each for name, each in made.weights.items()}
    made = replace(made, weights=weights)
    exact, text = made.fast(packed=True), some_text(30)
    assert exact.relaxed()._clean is exact._clean
    other = parts(4).fast(packed=True)
    assert other.relaxed()._clean is not other._clean
    cache = exact.new_cache(1)
    exact.commit(rows(text[:20]), cache)  # many at once, in 16 bits
    found, expected = exact.commit(rows(text[20:23]), cache)[0], made.plain().causal(text)[20:23]
    assert (found - expected).norm() / expected.norm() < 0.02  # both formats round what goes in to bfloat16


def test_the_norm_of_few_operations_is_the_root_mean_square() -> None:
    x, weight = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0)), torch.linspace(0.5, 2.0, 32)
    for scale in (0.0, 1.0, 1e-3, 1e3):
        expected = scale * x.double() / ((scale * x.double()).square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight
        assert_near(RmsNorm(weight, 1e-5)(scale * x), expected, 1e-5)
    half = RmsNorm(weight, 1e-5)(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert_near(half.float(), RmsNorm(weight, 1e-5)(x), 2e-2)
