"""What things cost: a training step in one pass and in two, the memory of a cache, and a cache of bytes in nats."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

import torch

from model.backbones.compressed_cache import CompressedDenoiser
from model.backbones.dit_denoiser import DiTDenoiser
from model.block_diffusion import CHUNK
from model.evaluation import attention_speed, compression, training_speed
from model.evaluation.table.figure import Figure, of_mean
from model.evaluation.table.kept import Kept, Values
from model.evaluation.table.networks import Network, place

ROUNDS = 6
"""Of the training step's timing; the first one warms up and is left out."""

LENGTHS = (512, 1024, 2048, 4096)
"""Tokens of the rows under whose training mask attention is timed; 1,024 are the paper's."""


def passes(kept: Kept, network: Network) -> Values:
    """Seconds of a training step in one pass, in two, and in a loop over blocks, for each round; on random weights."""

    def take() -> Values:
        rows = network.settings.micro_batch
        config = network.open().config
        found = [training_speed.measure(config, rows=rows, rounds=1) for _ in range(ROUNDS)][1:]
        return {
            "one_pass": [speed.one_pass for speed in found],
            "two_passes": [speed.two_passes for speed in found],
            "loop": [speed.loop for speed in found],
        }

    depends = {"network": network.digest, "rounds": ROUNDS, "threads": torch.get_num_threads()}
    return kept.get(f"passes/{network.name}", depends, take)


def times(found: Values, slower: str) -> Figure | None:
    """How many times as long the slower way takes as one pass; the mean over the rounds."""
    return of_mean([slow / one for slow, one in zip(found[slower], found["one_pass"], strict=True)])


def attention(kept: Kept, network: Network) -> list[Values]:
    """Seconds of attention under the training mask, dense and by FlexAttention, for rows of LENGTHS tokens.

    Nothing where there is no GPU: FlexAttention is compiled for one, and slower than a dense mask elsewhere.
    """
    if place().type != "cuda":
        return []

    def take() -> Values:
        config, rows = network.open().config, network.settings.micro_batch
        found = [
            attention_speed.measure(config, length, rows=rows, rounds=ROUNDS, device=place()) for length in LENGTHS
        ]
        return {"of": [{"length": one.length, "dense": one.dense, "flex": one.flex} for one in found]}

    depends = {"network": network.digest, "rounds": ROUNDS, "lengths": LENGTHS, "device": torch.cuda.get_device_name()}
    of: list[Values] = kept.get(f"attention/{network.name}", depends, take)["of"]
    return of


def cache_memory(kept: Kept, network: Network, lengths: Sequence[int]) -> list[Values]:
    """Bytes of keys and values after so many tokens of one text: plain, and as bytes with a scale; with the network's
    window, and with a context that holds the longest of these texts."""

    def take() -> Values:
        opened = network.open().cpu()
        size = opened.config.block_size
        unlimited = copy(opened)  # the weights are shared
        unlimited.config = replace(opened.config, model_length=-(-max(lengths) // size) * size)
        return {
            "of": [
                {"context": context, "numbers": numbers, "bytes": _bytes(denoiser(one, end=0), lengths)}
                for context, one in (("window", opened), ("whole text", unlimited))
                for numbers, denoiser in (("float32", DiTDenoiser), ("int8", CompressedDenoiser))
            ]
        }

    depends = {"weights": network.digest, "lengths": lengths}
    of: list[Values] = kept.get(f"cache/{network.name}", depends, take)["of"]
    return of


def _bytes(denoiser: DiTDenoiser, lengths: Sequence[int]) -> list[int]:
    cache, found, known = denoiser.new_cache(1), list[int](), 0
    size = denoiser.config.block_size
    most = max(CHUNK, size) // size * size
    for length in lengths:
        while known < length:
            chunk = min(most, -(-(length - known) // size) * size)
            denoiser.commit(torch.zeros((1, chunk), dtype=torch.long), cache, last_only=True)
            known += chunk
        found.append(cache.nbytes)
    return found


def compressed(kept: Kept, network: Network, *, rows: int, batch: int, seed: int) -> Values:
    """What a cache of bytes costs in nats per token, paired, and saves in memory."""

    def take() -> Values:
        chosen = network.rows(network.settings.validation, rows)
        found = compression.measure(network.open().cpu(), chosen, batch=batch, seed=seed)
        return {
            "nats": found.nats, "more": found.more, "error": found.error, "plain": found.plain,
            "compressed": found.compressed,
        }  # fmt: skip

    depends = {"weights": network.digest, "rows": rows, "batch": batch, "seed": seed}
    return kept.get(f"compressed/{network.name}", depends, take)
