"""What the paper's sampler costs on a network of published size with random weights: ratios of one run.

First-hitting sampling with the window of keys and values against its plain twin, which reads the window anew at every
step; and a token late in a long text against one where the window has just become full. What a forward costs depends on
the place in the text alone, not on weights, so both are timed at places spread over the text, in turns.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from model.backbones import masks
from model.backbones.dit import DiT, DiTConfig
from model.backbones.dit_denoiser import DiTDenoiser
from model.block_diffusion import CHUNK, BlockDenoiser, Recipe, SeededDraws, fill
from model.denoiser import BlockCache, Facts

PUBLISHED = DiTConfig(
    vocab_size=50258, hidden_dim=768, n_blocks=12, n_heads=12, cond_dim=128, model_length=1024, block_size=16
)
"""BD3-LM of the paper, 170M parameters, L' = 16."""

TEXT, FULL, LATE = 512, 1024, 4096
"""Tokens of the text that is written with and without cache; where the window is full; and late in a long text."""


class Uncached:
    """The plain twin of DiTDenoiser for one text: no keys are kept, every forward reads the window anew."""

    def __init__(self, network: DiT, *, end: int) -> None:
        config = network.config
        self._network, self._config = network.eval(), config
        self.facts = Facts(
            vocabulary=config.vocab_size - 1,
            mask=config.mask,
            end=end,
            banned=(config.mask,),
            causal=False,
            block_sizes=(config.block_size,),
            context=config.model_length,
        )

    def new_cache(self, batch: int) -> BlockCache:
        """Holds tokens alone."""
        nothing: dict[str, Any] = {"layers": 0, "heads": 1, "width": 1, "limit": 1 << 30, "dtype": torch.float32}
        return BlockCache(batch=batch, device=torch.device("cpu"), **nothing)

    def room(self, cache: BlockCache) -> int:
        """A block of the network's own size."""
        return self._config.block_size

    def commit(self, tokens: Tensor, cache: BlockCache, *, last_only: bool = False) -> Tensor:
        """Clean tokens [B, n], whole blocks of them, are kept."""
        cache.reserve(cache.size + tokens.shape[1])
        cache.extend(tokens)
        return torch.empty(len(tokens), 0, self._config.vocab_size)

    @torch.no_grad()
    def denoise(self, block: Tensor, cache: BlockCache) -> Tensor:
        """Logits [B, L', V] of a block, which is the last one of the window."""
        size = block.shape[1]
        before = cache.tokens[:, max(0, cache.size + size - self._config.model_length) : cache.size]
        tokens = torch.cat([before, block], dim=1)
        length = tokens.shape[1]
        logits: Tensor = self._network(tokens, torch.arange(length), masks.clean(length, size))
        return logits[:, -size:]

    def logits(self, features: Tensor) -> Tensor:
        """They are logits already."""
        return features


@dataclass(frozen=True, slots=True)
class Ratio:
    """Seconds per token of one way and of another, their ratio, and the bound it has to meet."""

    name: str
    seconds: float
    other: float
    bound: str

    @property
    def ratio(self) -> float:
        return self.seconds / self.other

    def row(self) -> dict[str, str | float]:
        """For a table."""
        return {
            "name": self.name,
            "seconds per token": self.seconds,
            "against": self.other,
            "ratio": self.ratio,
            "bound": self.bound,
        }


def rows(
    config: DiTConfig = PUBLISHED, places: int = 4, steps: int = 3, rounds: int = 3
) -> list[dict[str, str | float]]:
    """The two ratios. places: in the text with and without cache; steps: denoised at each; rounds: of the second."""
    network = random_network(config)
    return [cached_against_uncached(network, places, steps).row(), late_against_full(network, rounds).row()]


def random_network(config: DiTConfig, seed: int = 0) -> DiT:
    """Not the zeros that training begins with, so that sampling meets a law with a shape."""
    torch.manual_seed(seed)
    network = DiT(config).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if "adaLN" in name or name.startswith("output_layer.linear"):
            torch.nn.init.normal_(parameter, std=0.02)
    return network


def cached_against_uncached(network: DiT, places: int, steps: int, text: int = TEXT) -> Ratio:
    """A text by first-hitting sampling: how many times as long the plain twin takes."""
    size = network.config.block_size
    lengths = [(2 * place + 1) * (text // size) // (2 * places) * size for place in range(places)]
    plain, cached = Uncached(network, end=0), DiTDenoiser(network, end=0)
    pairs = [
        (_seconds(plain, _text_of(plain, length), steps), _seconds(cached, _text_of(cached, length), steps))
        for length in lengths
    ]
    plain_mean, cached_mean = (fmean(times) for times in zip(*pairs, strict=True))
    return Ratio(f"uncached / cached first-hitting, {text} tokens", plain_mean, cached_mean, "≥ 3")


def late_against_full(network: DiT, rounds: int, full: int = FULL, late: int = LATE) -> Ratio:
    """A token late in a long text against one where the window has just become full: the fastest of some rounds."""
    denoiser = DiTDenoiser(network, end=0)
    caches = [_text_of(denoiser, length) for length in (full, late)]
    steps = network.config.block_size
    times = [[_seconds(denoiser, cache, steps) for cache in caches] for _ in range(rounds)]
    at_full, at_late = (min(column) for column in zip(*times, strict=True))
    return Ratio(f"a token at {late} / at {full} tokens", at_late, at_full, "≤ 1.1")


def _text_of(denoiser: BlockDenoiser, length: int) -> BlockCache:
    """The cache of a random text of so many tokens."""
    cache = denoiser.new_cache(1)
    tokens = torch.randint(0, denoiser.facts.vocabulary, (1, length), generator=torch.Generator().manual_seed(length))
    for chunk in torch.split(tokens, CHUNK, dim=1):
        denoiser.commit(chunk, cache, last_only=True)
    return cache


def _seconds(denoiser: BlockDenoiser, cache: BlockCache, steps: int) -> float:
    """Per token, over the first `steps` tokens of the next block; its commit is shared by all tokens of the block."""
    draws, size = SeededDraws([cache.size]), denoiser.room(cache)
    draws.begin(0)
    block = torch.full((1, size), denoiser.facts.mask)
    began = time.perf_counter()
    for step in islice(fill(denoiser, block, cache, Recipe(), draws), steps):
        block = step.tokens
    denoised = time.perf_counter()
    denoiser.commit(torch.where(block == denoiser.facts.mask, 0, block), cache)
    return (denoised - began) / steps + (time.perf_counter() - denoised) / size


def main() -> None:
    """Prints the ratios."""
    for row in rows():
        print(f"{row['name']:<48} {row['ratio']:.2f}  ({row['bound']})")


if __name__ == "__main__":
    main()
