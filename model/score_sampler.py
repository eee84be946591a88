"""The analytic sampler of SEDD for absorbing noise, and its final denoising step: rows of one fixed length.

The network's scores s_y are ratios of probabilities: a masked slot's token being y to its still being masked. From
noise σ to less noise σ − Δ it takes the token y with chance (e^Δ − 1) s_y and stays masked otherwise, which is exact
where the scores do not change on the way. After T steps a little noise is left, and the last step takes it all away.

Source: Lou et al. 2024, section 4.2 and appendix B, and the published code. A slot's tokens are cut to their nucleus
apart from its chance to take one at all; the published comparison cuts the two together. Knows token ids only.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from model import noise
from model.backbones.dit_config import DiTConfig
from model.block_diffusion import Draws, Step, Text, ending, nucleus, race

HIGHEST, LOWEST = 1 - noise.EPS, noise.EPS
"""Mask chances between which the network was trained; the first step begins with the one, the last with the other."""


class TooLong(ValueError):
    """The text would be longer than the rows that the network was trained on."""


@dataclass(frozen=True, slots=True)
class ScoreRecipe:
    """How a row is denoised.

    steps    T, each one forward; the final denoising step is one more.
    nucleus  tokens are kept while their cumulated probability is ≤ nucleus; 1 keeps all.
    """

    steps: int = 1000
    nucleus: float = 0.99

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"A text cannot be written in {self.steps} steps; choose at least 1.")
        if not 0.0 < self.nucleus <= 1.0:
            raise ValueError("The nucleus is a probability; choose a value above 0, at most 1.")


class ScoreNetwork(Protocol):
    """What the sampler asks of a network; a DiT with time conditioning."""

    @property
    def config(self) -> DiTConfig:
        """Its shape."""

    def __call__(self, tokens: Tensor, positions: Tensor, mask: None = None, sigma: Tensor | None = None) -> Tensor:
        """Logits [B, L, V] of tokens [B, L] at total noise σ [B]."""


def log_scores(logits: Tensor, level: float, mask: int) -> Tensor:
    """log s_y [..., V] of masked slots at mask chance `level`, from logits [..., V]; float64. The mask has none: −∞.

    As in training: logits are log-scores up to log(e^σ − 1) + log(V − 1), e^σ = 1 / (1 − level).
    """
    only_mask = torch.arange(logits.shape[-1], device=logits.device) == mask
    return logits.double().masked_fill(only_mask, -torch.inf) - math.log(level / (1 - level) * (logits.shape[-1] - 1))


def chances(logits: Tensor, level: float, less: float, mask: int) -> Tensor:
    """Chance [..., V] that a masked slot takes each token on the way from mask chance `level` to `less`.

    (e^Δ − 1) s_y. What is missing to 1 is the chance to stay masked; inexact scores may exceed 1 and are scaled down.
    """
    step = (level - less) / (1 - level)  # e^Δ − 1, Δ = ln((1 − less) / (1 − level))
    taken = log_scores(logits, level, mask).exp() * step
    return taken / taken.sum(-1, keepdim=True).clamp(min=1.0)


def write(
    network: ScoreNetwork,
    prompts: Sequence[Sequence[int]],
    recipe: ScoreRecipe,
    draws: Draws,
    *,
    length: int,
    end: int,
    stop: bool = False,
    device: torch.device | None = None,
) -> Generator[Step, None, list[Text]]:
    """Continues every prompt, which holds one token at least, to `length` tokens, prompt included.

    The network always denoises a whole row [B, L], the only length it knows; a shorter text is its beginning. Yields a
    picture of the rows after every step. stop: a text is cut after the first `end` it writes, and where its entropy is
    too low. device: the network's; None: the CPU. Raises TooLong.
    """
    window, mask = network.config.model_length, network.config.mask
    if not prompts or not all(prompts):
        raise ValueError("Every text needs a first token; give the BOS token where there is nothing to continue.")
    if max(length, *map(len, prompts)) > window:
        raise TooLong(f"This network writes rows of {window} tokens and no more; ask for at most {window}.")
    rows = torch.tensor([[*prompt, *[mask] * (window - len(prompt))] for prompt in prompts], device=device)
    draws.begin(0)
    last = yield from denoise(network, rows, recipe, draws)
    texts = []
    for prompt, row in zip(prompts, last.tokens.tolist(), strict=True):
        text = ending(row[:length], len(prompt), length, end if stop else None, last.nfe)
        assert text is not None  # it has its length
        texts.append(text)
    return texts


def denoise(network: ScoreNetwork, rows: Tensor, recipe: ScoreRecipe, draws: Draws) -> Generator[Step, None, Step]:
    """Takes all masks out of rows [B, L]: T analytic steps and the final one. The generator's value is the last step.

    The network is told how much noise there is, so it is asked anew even where a step has changed nothing.
    """
    mask = network.config.mask
    positions = torch.arange(rows.shape[1], device=rows.device)
    levels = torch.linspace(HIGHEST, LOWEST, recipe.steps + 1, dtype=torch.float64).tolist()
    for number, (level, less) in enumerate(zip(levels, [*levels[1:], 0.0], strict=True)):
        sigma = noise.sigma(torch.full((len(rows),), level, device=rows.device))
        with torch.no_grad():
            logits = network(rows, positions, sigma=sigma)
        masked = rows == mask
        taken = chances(logits[masked], level, less, mask)  # [N, V]
        if number == recipe.steps:
            chosen = masked
        else:
            chance = torch.zeros(rows.shape, dtype=taken.dtype, device=rows.device)
            chosen = masked & (draws.slots(masked) < chance.masked_scatter(masked, taken.sum(-1)))
        if bool(chosen.any()):
            law = taken[chosen[masked]]
            law = nucleus(law / law.sum(-1, keepdim=True), recipe.nucleus)
            rows = rows.masked_scatter(chosen, race(law, draws.tokens(chosen, law.shape[-1])))
        yield Step(rows, number + 1)
    return Step(rows, recipe.steps + 1)
