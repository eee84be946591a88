"""The sampler of SSD-LM: texts of any length, a block of L' tokens after the block before, T steps each.

A block begins as pure noise. In every step the network says what the clean tokens are, one of each slot's nucleus is
drawn, and its corner of the simplex, with less noise than before, is what the next step sees: the published projection
"sampling". At the last step no noise is left, and what was drawn is the text.

Source: Han et al. 2023, section 3.3 and algorithm 2, and the published code. Knows token ids only.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model import simplex
from model.backbones.dit import DiT
from model.block_diffusion import SeededDraws, Step, Text, ending
from model.unmasking import candidates


@dataclass(frozen=True, slots=True)
class SimplexRecipe:
    """How a block is denoised.

    steps    T per block, each one forward.
    nucleus  tokens are drawn from the smallest set whose probability reaches this.
    """

    steps: int = 1000
    nucleus: float = 0.95

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"A block cannot be written in {self.steps} steps; choose at least 1.")
        if not 0.0 < self.nucleus <= 1.0:
            raise ValueError("The nucleus is a probability; choose a value above 0, at most 1.")


class NormalDraws(SeededDraws):
    """The same streams, with normal numbers."""

    def normals(self, slots: int, vocabulary: int) -> Tensor:
        """[B, n, V − 1]."""
        return torch.stack([torch.randn(slots, vocabulary, generator=stream) for stream in self._streams])


def write(
    network: DiT,
    prompts: Sequence[Sequence[int]],
    recipe: SimplexRecipe,
    draws: NormalDraws,
    *,
    length: int,
    end: int,
    stop: bool = False,
) -> Generator[Step, None, list[Text]]:
    """Continues every prompt, which holds one token at least.

    Yields a picture [B, L'] after every step, of the texts that have not ended: what was drawn, the given tokens of the
    prompt among it. length counts the tokens of a text, prompt included. stop: a text also ends with the first `end` it
    writes, and where its entropy falls too low.
    """
    if not prompts or not all(prompts):
        raise ValueError("Every text needs a first token; give the BOS token where there is nothing to continue.")
    texts = [list(prompt) for prompt in prompts]
    ended: dict[int, Text] = {}
    nfe = number = 0
    while True:
        going = [at for at in range(len(texts)) if at not in ended]
        before, given = _around(network, [texts[at] for at in going])
        draws.begin(number)
        last = yield from denoise(network, before, given, recipe, draws, nfe)
        nfe, number = last.nfe, number + 1
        for row, at in enumerate(going):
            start = len(texts[at]) - len(texts[at]) % given.shape[1]
            texts[at][start:] = last.tokens[row].tolist()
            found = ending(texts[at], len(prompts[at]), length, end if stop else None, nfe)
            if found is not None:
                ended[at] = found
        if len(ended) == len(texts):
            return [ended[at] for at in range(len(texts))]
        draws.keep([row for row, at in enumerate(going) if at not in ended])


def _around(network: DiT, texts: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """The last whole block of every text, and what is known of the next one, [B, L'] each; blocks are aligned to the
    beginning of the text, before which there are masks."""
    size, mask = network.config.block_size, network.config.mask
    starts = [len(text) - len(text) % size for text in texts]
    before = [text[start - size : start] if start else [mask] * size for text, start in zip(texts, starts, strict=True)]
    given = [[*text[start:], *[mask] * size][:size] for text, start in zip(texts, starts, strict=True)]
    device = network.vocab_embed.embedding.device
    return torch.tensor(before, device=device), torch.tensor(given, device=device)


def denoise(
    network: DiT, before: Tensor, given: Tensor, recipe: SimplexRecipe, draws: NormalDraws, nfe: int = 0
) -> Generator[Step, None, Step]:
    """One block [B, L'] from noise to text, after the block before [B, L']; what is no mask in `given` is kept.

    The generator's value is the last step.
    """
    device, mask = given.device, network.config.mask
    open_slots = given == mask
    points = simplex.ONE_HOT * draws.normals(given.shape[1], mask).to(device)
    tokens = given
    for left in range(recipe.steps, 0, -1):
        level, less = (points.new_full((len(given),), at / recipe.steps) for at in (left, left - 1))
        with torch.no_grad():
            logits = simplex.read(network, before, given, points, level)[..., :mask].double()
        drawn = candidates(logits, 1.0, recipe.nucleus).draw(draws.slots(open_slots))
        tokens = torch.where(open_slots, drawn, given)
        nfe += 1
        yield Step(tokens, nfe)
        noise = draws.normals(given.shape[1], mask).to(device)
        points = simplex.diffuse(simplex.corners(tokens, mask), less[:, None], noise)
    return Step(tokens, nfe)
