"""Rules of the compiled kernels: they compute what their plain twins do, a row at a time or many, on any processor that
they are written for; and where they cannot be had, nothing is missed."""

from __future__ import annotations

import ctypes
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.backbones.llama import Llama
from model.backbones.llama_compiled import FEW, ByRows
from model.compiled import build
from model.compiled.build import compiled, is_compiled, kernels_can_be
from model.compiled.kernels import CompiledLayers, CompiledProduct, Kernels
from model.contract import Preparing
from model.denoiser import BlockCache
from model.engine import Engine
from model.levels import nearest_levels, on_levels
from tests.on_levels import in_eight_bits, in_four_bits, nearest_on_levels
from tests.tiny import CONFIG, Parts, parts, passing_by
from tests.tiny_chat import write_chat_model

needs_a_compiler = pytest.mark.skipif(not kernels_can_be(), reason="no compiler here, or another processor")

SETS = {
    "this processor": ("-march=native",),
    "AVX2 alone": ("-mavx2", "-mfma", "-mf16c"),
    "AVX-512 without VNNI": ("-march=x86-64-v4",),
}


@pytest.fixture(scope="session", params=SETS)
def kernels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    if request.param.startswith("AVX-512") and torch.backends.cpu.get_cpu_capability() != "AVX512":
        pytest.skip("this processor has none")
    with pytest.MonkeyPatch.context() as patch:
        flags = [flag for flag in build.FLAGS if flag != "-march=native"]
        patch.setattr(build, "FLAGS", (*SETS[request.param], *flags))
        library = compiled(tmp_path_factory.mktemp("kernels"))
    assert library is not None, "there is a compiler, and it cannot compile them"
    return Kernels(library)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------------- products


@needs_a_compiler
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("rows", [(0,), (1,), (2,), (3,), (4,), (2, 3), (41,)])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_product_keeps_to_the_rounding_of_what_goes_in(
    kernels: Kernels, bits: int, rows: tuple[int, ...], threads: int, threads_of_torch: None
) -> None:
    torch.set_num_threads(threads)
    x, weight = random(*rows, 96), in_four_bits(80, 96) if bits == 4 else in_eight_bits(80, 96)  # 5 tiles, 3 groups
    levels = on_levels(weight, bits)
    assert levels is not None
    expected, scale = x.double() @ weight.double().T, x.double().abs() @ weight.double().abs().T
    largest = x.unflatten(-1, (-1, 32)).abs().amax(-1).double() if x.numel() else x
    for exact, whole in ((True, 127 * 256), (False, 127)):
        found = CompiledProduct(kernels, levels, exact=exact)(x)
        assert (found.shape, found.dtype) == ((*rows, 80), torch.float32)
        if not x.numel():
            continue
        # half a whole number for every input, were all of them to add up; scales of weights are in float16
        step = largest.repeat_interleave(32, -1) / whole
        bound = 0.5 * step @ weight.double().abs().T + 2**-10 * scale + 1e-5
        assert bool(((found.double() - expected).abs() <= bound).all())


@needs_a_compiler
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("exact", [True, False])
def test_a_row_does_not_depend_on_the_others(kernels: Kernels, bits: int, exact: bool) -> None:
    """So a text that is checked is the text that is written token by token."""
    x, product = random(11, 64), CompiledProduct(kernels, nearest_levels(random(48, 64, seed=1), bits), exact=exact)
    together = product(x)
    assert torch.equal(together, torch.cat([product(row[None]) for row in x]))
    assert torch.equal(together[2:7], product(x[2:7]))


@needs_a_compiler
def test_what_is_zero_or_large_stays_so(kernels: Kernels) -> None:
    weight = in_eight_bits(16, 64)
    product, x = CompiledProduct(kernels, nearest_levels(weight, 8), exact=True), torch.zeros(2, 64)
    assert torch.equal(product(x), torch.zeros(2, 16))
    x[0], x[1] = 1e20, torch.linspace(-1e-20, 1e-20, 64)
    error = product(x).double() - x.double() @ weight.double().T
    assert bool((error.abs() < 1e-3 * (x.double().abs() @ weight.double().abs().T)).all())


# --------------------------------------------------------------------------------------------------------- layers

SHAPES = {
    "three queries a key": replace(
        CONFIG, hidden_size=64, intermediate_size=96, num_attention_heads=6, num_key_value_heads=2, head_dim=32,
        vocab_size=48,
    ),
    "heads of 64": replace(
        CONFIG, hidden_size=96, intermediate_size=64, num_attention_heads=3, num_key_value_heads=1, head_dim=64,
        vocab_size=48,
    ),
    "four queries a key, two at a time": replace(
        CONFIG, hidden_size=32, intermediate_size=32, num_attention_heads=8, num_key_value_heads=2, head_dim=32,
        vocab_size=48,
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=SHAPES)
def tiny(request: pytest.FixtureRequest) -> Parts:
    """A network whose weights lie on levels, and so do its output and its adapter, of rank 32, which for one of them
    has nothing for a layer."""
    made = parts(3, SHAPES[request.param])
    if request.param == "heads of 64":
        made = passing_by(made, 0)
    weights = {
        name: nearest_on_levels(each, 4 if "proj" in name else 8) if each.ndim == 2 else each
        for name, each in made.weights.items()
    }
    assert made.adapter is not None
    pairs = {
        name: (
            nearest_on_levels(F.pad(a, (0, 0, 0, 32 - len(a))), 4),
            nearest_on_levels(F.pad(b, (0, 32 - b.shape[1])), 4),
        )
        for name, (a, b) in made.adapter.pairs.items()
    }
    return replace(made, weights=weights, adapter=replace(made.adapter, pairs=pairs))


@pytest.fixture
def fast(tiny: Parts, kernels: Kernels) -> Llama:
    network = tiny.fast(packed=True, kernels=kernels)
    assert isinstance(network._clean, ByRows)
    assert isinstance(network._noisy, CompiledLayers)
    assert isinstance(network._unembedding, CompiledProduct)
    return network


def some_text(n: int, seed: int = 0) -> list[int]:
    return torch.randint(3, 48, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


def rows(*texts: list[int]) -> Tensor:
    return torch.tensor(texts, dtype=torch.long)


def cache_of(network: Llama, *texts: list[int]) -> BlockCache:
    cache = network.new_cache(len(texts))
    for at in range(0, len(texts[0]), FEW // len(texts)):  # few at a time
        network.commit(rows(*(text[at : at + FEW // len(texts)] for text in texts)), cache)
    return cache


def off(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


@needs_a_compiler
@pytest.mark.parametrize("length", [1, 15, 16, 17, 61, 140])
def test_text_is_read_like_by_the_plain_network(fast: Llama, tiny: Parts, length: int) -> None:
    text = some_text(length + 3)
    cache = cache_of(fast, text[:length])
    found = fast.commit(rows(text[length:]), cache)[0]
    assert off(found, tiny.plain().causal(text)[length:]) < 0.02  # keys and values are in bfloat16


@needs_a_compiler
@pytest.mark.parametrize("block", [[48, 48, 48], [48, 9, 48, 4], [48], [48] * 8])
def test_a_block_is_denoised_nearly_like_by_the_plain_network(fast: Llama, tiny: Parts, block: list[int]) -> None:
    text = some_text(20)
    cache = cache_of(fast, text)
    kept = [layer[:, :, :, :20].clone() for layer in cache.layers]
    found = fast.denoise(rows(block), cache)
    assert off(found[0], tiny.plain().noisy(text, block)) < 0.08  # rows have 8 bits
    assert all(torch.equal(layer[:, :, :, :20], before) for layer, before in zip(cache.layers, kept, strict=True))


@needs_a_compiler
@pytest.mark.parametrize("before", [20, 59, 127], ids="{} columns before".format)
def test_tokens_read_at_once_are_tokens_read_one_by_one_bit_for_bit(fast: Llama, before: int) -> None:
    text = some_text(before + 10)
    one_by_one, at_once = cache_of(fast, text[:before]), cache_of(fast, text[:before])
    single = torch.cat([fast.commit(rows([token]), one_by_one) for token in text[before:]], dim=1)
    assert torch.equal(single, fast.commit(rows(text[before:]), at_once))
    for one, other in zip(one_by_one.layers, at_once.layers, strict=True):
        assert torch.equal(one[..., : len(text), :], other[..., : len(text), :])


@needs_a_compiler
def test_weights_that_are_asked_for_ahead_are_the_same_weights(fast: Llama, kernels: Kernels) -> None:
    cache, found = cache_of(fast, some_text(20)), []
    for asking in (True, False):
        kernels.asking = asking
        found.append(fast.denoise(rows([48, 48, 48]), cache))
        found.append(fast.logits(found[-1]))
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[3])


@needs_a_compiler
def test_a_batch_is_its_rows_and_padding_is_not_seen(fast: Llama) -> None:
    texts = [some_text(12), some_text(12, seed=1)]
    cache = cache_of(fast, *texts)
    both = fast.denoise(rows([48, 48], [48, 7]), cache)
    for row, block in enumerate(([48, 48], [48, 7])):
        assert torch.equal(both[row], fast.denoise(rows(block), cache_of(fast, texts[row]))[0])
    padded = fast.new_cache(2)
    padded.padding = torch.tensor([0, 5])
    fast.commit(rows(texts[0], [3] * 5 + texts[1][:7]), padded)
    found = fast.commit(rows([5], [5]), padded)
    alone = fast.commit(rows([5]), cache_of(fast, texts[0]))
    assert off(found[0], alone[0]) < 1e-3
    assert off(fast.commit(rows([6], [6]), padded)[1], found[1]) > 1e-2


@needs_a_compiler
def test_few_rows_and_many_read_the_same_text(fast: Llama, tiny: Parts) -> None:
    text = some_text(FEW + 9)
    cache = fast.new_cache(1)
    many = fast.commit(rows(text), cache)[0]  # by torch
    assert off(many, tiny.plain().causal(text)) < 0.05
    few = fast.commit(rows([4, 5]), cache)[0]
    assert off(few, tiny.plain().causal([*text, 4, 5])[-2:]) < 0.05


@needs_a_compiler
def test_the_relaxed_network_rounds_more_and_reads_on(fast: Llama, tiny: Parts) -> None:
    text = some_text(20)
    expected, relaxed = tiny.plain().causal([*text, 4, 5])[-2:], fast.relaxed()
    exact = off(fast.commit(rows([4, 5]), cache_of(fast, text))[0], expected)
    rounded = off(relaxed.commit(rows([4, 5]), cache_of(fast, text))[0], expected)
    assert exact < rounded < 0.1
    assert relaxed.relaxed() is relaxed


@needs_a_compiler
def test_the_sampler_head_has_8_bits(fast: Llama, tiny: Parts) -> None:
    features, left = random(2, tiny.config.hidden_size), torch.tensor([5, 9])
    ids = torch.arange(48).expand(2, -1)
    found = fast.chain(features, left, ids)
    for row in range(2):
        expected = tiny.plain().slot_logits(features[row].double(), int(left[row]))[ids[row]]
        assert off(found[row], expected) < 0.03


@needs_a_compiler
def test_networks_of_other_kinds_are_left_to_torch(kernels: Kernels, tiny: Parts) -> None:
    other = parts(3, tiny.config).fast(packed=True, kernels=kernels)
    assert not isinstance(other._clean, ByRows), "its weights lie on no levels"
    assert tiny.adapter is not None
    ranks = {name: 20 if name.endswith("qkv") else 44 for name in tiny.adapter.pairs}
    wide = {name: (torch.cat([a, a]), torch.cat([b, b], dim=1)) for name, (a, b) in tiny.adapter.pairs.items()}
    odd = {name: (a[: ranks[name]], b[:, : ranks[name]]) for name, (a, b) in wide.items()}
    whole = {name: (F.pad(a, (0, 0, 0, 64 - len(a))), F.pad(b, (0, 64 - len(a)))) for name, (a, b) in odd.items()}
    found = [
        replace(tiny, adapter=replace(tiny.adapter, pairs=pairs)).fast(packed=True, kernels=kernels)
        for pairs in (odd, whole)
    ]
    first, second = (network.denoise(rows([48, 48]), cache_of(network, some_text(9))) for network in found)
    assert torch.equal(first, second), "an adapter of another rank is filled up with nothing"
    small = parts(3).fast(packed=True, kernels=kernels)
    assert not isinstance(small._noisy, CompiledLayers), "its heads are too narrow"
    assert not isinstance(tiny.fast(kernels=kernels)._clean, ByRows), "nothing is packed: the plain one is wanted"


# ------------------------------------------------------------------------------------------------------- building


@pytest.fixture
def threads_of_torch() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled without making them fast."""
    monkeypatch.setattr(build, "FLAGS", ("-O0", *(flag for flag in build.FLAGS if flag != "-O3")))


@needs_a_compiler
@pytest.mark.usefixtures("quickly")
def test_they_are_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_compiled(tmp_path)
    assert isinstance(compiled(tmp_path), ctypes.CDLL)
    assert is_compiled(tmp_path)
    assert [path.suffix for path in (tmp_path / build.FOLDER).iterdir()] == [".so"], "nothing else is left"
    monkeypatch.setattr(build, "_compile", lambda file: pytest.fail("they are there already"))
    assert isinstance(compiled(tmp_path), ctypes.CDLL)


@needs_a_compiler
@pytest.mark.usefixtures("quickly", "threads_of_torch")
def test_the_first_start_says_that_it_compiles_and_the_next_one_does_not(tmp_path: Path) -> None:
    folder = str(write_chat_model(tmp_path / "model", "llama"))

    def stages() -> list[str]:
        said: list[Preparing] = []
        Engine.open(folder, cache_dir=tmp_path / "cache", threads=None, report=said.append)
        return [each.stage for each in said]

    first, second = stages(), stages()
    assert "compile" in first
    assert [stage for stage in first if stage not in ("compile", "measure")] == second


@needs_a_compiler
@pytest.mark.usefixtures("quickly")
def test_what_others_may_write_is_not_loaded_but_made_anew(tmp_path: Path) -> None:
    file = build._file(tmp_path)
    file.parent.mkdir()
    file.write_bytes(b"not a library")
    file.chmod(0o722)
    assert isinstance(compiled(tmp_path), ctypes.CDLL)
    assert not file.stat().st_mode & stat.S_IWOTH


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_without_a_compiler_that_can_there_are_none(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler)
    assert compiled(tmp_path) is None
    assert not list(tmp_path.glob("*/*"))


@needs_a_compiler
def test_where_nothing_can_be_kept_there_are_none(tmp_path: Path) -> None:
    (tmp_path / build.FOLDER).write_text("a file stands where the folder would be")
    assert compiled(tmp_path) is None
