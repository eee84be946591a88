"""One way to ask every system of the paper for texts: which network, which sampler, what it costs.

The way of a text is `checkpoint → writer → samples` (or pictures, for somebody who watches). A writer knows token ids
only; what they mean as text is the business of the tokenizer beside the checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch

from model import block_diffusion, score_sampler, simplex_diffusion
from model.backbones import published
from model.backbones.compressed_cache import CompressedDenoiser
from model.backbones.dit import DiT, DiTConfig
from model.backbones.dit_denoiser import DiTDenoiser
from model.block_diffusion import Reason, SeededDraws, Step, Text
from model.evaluation.generation import text_seed
from model.score_sampler import ScoreRecipe
from model.simplex_diffusion import NormalDraws, SimplexRecipe
from model.training.checkpoint import locate, tokenizer_of

TOGETHER = 8
"""Texts that are written side by side."""

Recipe = block_diffusion.Recipe | ScoreRecipe | SimplexRecipe


class NotPossible(ValueError):
    """A network cannot be written with in the way that was asked for; the message says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One text.

    tokens   what was written: without the prompt, and without the end token.
    nfe      forwards of the network that this text alone would have taken; commits are not counted, as in the paper.
    seconds  its share of the time its batch took.
    reason   why it ends: it has its length, the end token came, or its entropy fell too low.
    """

    tokens: list[int]
    nfe: int
    seconds: float
    reason: Reason


@dataclass(frozen=True, slots=True)
class Picture:
    """A text that is being written: its tokens after the prompt, masks where nothing is decided; forwards so far."""

    tokens: list[int]
    nfe: int


class Writer(Protocol):
    """A network and the sampler that goes with it."""

    @property
    def name(self) -> str:
        """ "ar", "sedd", "mdlm", "mdlm-ancestral", "ssd-25", "bd3-16", "bd3-16-adaptive", "bd3-16-int8", …"""

    @property
    def longest(self) -> int | None:
        """Tokens of the longest text it can write, prompt included; None: no limit."""

    @property
    def mask(self) -> int:
        """The id that stands for what is not decided."""

    @property
    def end(self) -> int:
        """The token that ends a text, and begins one where there is no other prompt."""

    def write(
        self, prompts: Sequence[Sequence[int]], length: int, seed: int, *, until_end: bool = False
    ) -> list[Sample]:
        """A text after every prompt, which holds one token at least: the end token, where there is nothing to continue.

        length counts all tokens of a text, those of its prompt included, as the paper counts them. The text of a prompt
        depends on the seed and its place in the list, not on its neighbours. until_end: the paper's stop rules hold,
        and length is the most. Raises ValueError for a length that is not possible.
        """

    def pictures(self, prompt: Sequence[int], length: int, seed: int) -> Iterator[Picture]:
        """One text, the same as `write` gives to a single prompt, step by step."""


Job = Generator[Step, None, list[Text]]


@dataclass(frozen=True, slots=True)
class SampledWriter:
    """A `Writer` over any of the three samplers.

    begin     (prompts, seeds, length, until_end) to a job that yields pictures of the block in work, [B, n], and ends
              with the texts.
    redrawn   steps of a block in which every slot is drawn anew; 0: what is decided stays, and a block without masks is
              finished.
    """

    name: str
    longest: int | None
    mask: int
    end: int
    begin: Callable[[Sequence[Sequence[int]], Sequence[int], int, bool], Job]
    redrawn: int = 0

    def write(
        self, prompts: Sequence[Sequence[int]], length: int, seed: int, *, until_end: bool = False
    ) -> list[Sample]:
        """See Writer. TOGETHER texts at once."""
        _check(prompts, length)
        samples: list[Sample] = []
        for at in range(0, len(prompts), TOGETHER):
            batch = prompts[at : at + TOGETHER]
            seeds = [text_seed(seed, number) for number in range(at, at + len(batch))]
            began = time.perf_counter()
            texts = block_diffusion.finish(self.begin(batch, seeds, length, until_end))
            share = (time.perf_counter() - began) / len(batch)
            for prompt, text in zip(batch, texts, strict=True):
                last = -1 if text.reason == "end" else None
                samples.append(Sample(text.tokens[len(prompt) : last], text.nfe, share, text.reason))
        return samples

    def pictures(self, prompt: Sequence[int], length: int, seed: int) -> Iterator[Picture]:
        """See Writer."""
        _check([prompt], length)
        done: list[int] | None = None
        for step in self.begin([prompt], [text_seed(seed, 0)], length, False):
            block = step.tokens[0].tolist()
            if done is None:  # blocks are aligned to the beginning of the text
                done = list(prompt[: len(prompt) - len(prompt) % len(block)])
            yield Picture((done + block)[len(prompt) : length], step.nfe)
            finished = step.nfe % self.redrawn == 0 if self.redrawn else self.mask not in block
            if finished:
                done += block


def _check(prompts: Sequence[Sequence[int]], length: int) -> None:
    """Raises NotPossible."""
    longest = max(map(len, prompts), default=0)
    if length <= longest:
        raise NotPossible(f"A text of {length} tokens has no room after a prompt of {longest}; ask for more.")


DEFAULTS: dict[str, Recipe] = {
    "ar": block_diffusion.Recipe(),
    "sedd": ScoreRecipe(),
    "mdlm": block_diffusion.Recipe(),
    "mdlm-ancestral": block_diffusion.Recipe("ancestral", steps=1000),
    "ssd": SimplexRecipe(),
    "bd3lm": block_diffusion.Recipe(),
    "bd3lm-adaptive": block_diffusion.Recipe("entropy"),
}
"""The systems that can write, and how each does as published; the last one is past the paper."""


def in_steps(system: str, steps: int) -> Recipe | None:
    """The system's own recipe in so many denoising steps, of a block or of the text, which are as coarse as they are
    few; None where as many forwards are taken as there are tokens, whatever is wished."""
    recipe = DEFAULTS.get(system)
    if isinstance(recipe, block_diffusion.Recipe) and recipe.rule != "ancestral":
        return None
    return recipe and replace(recipe, steps=steps)


def writer_for(
    network_folder: Path,
    system: str,
    recipe: Recipe | None = None,
    *,
    block_size: int | None = None,
    compressed: bool = False,
    device: torch.device | None = None,
) -> SampledWriter:
    """The writer of a run or a checkpoint: `system` is a name of DEFAULTS, `recipe` how it writes.

    block_size: other blocks than those the network was trained with; block diffusion only. compressed: a cache of
    bytes, where there is one. Raises NotPossible, UnknownCheckpoint, WrongConfig, WrongWeights, WrongVocabulary.
    """
    where = locate(str(network_folder))
    network = published.load(where).network
    end = tokenizer_of(where).end
    return writer_of(network, system, recipe, end=end, block_size=block_size, compressed=compressed, device=device)


def writer_of(
    network: DiT,
    system: str,
    recipe: Recipe | None = None,
    *,
    end: int,
    block_size: int | None = None,
    compressed: bool = False,
    device: torch.device | None = None,
) -> SampledWriter:
    """The writer of a network in memory; end is its end token. Raises NotPossible."""
    if system not in DEFAULTS:
        raise NotPossible(f"There is no system {system!r}; choose one of {', '.join(DEFAULTS)}.")
    _check_kind(network.config, system)
    blocks = system.startswith("bd3lm")
    if block_size is not None and not blocks:
        raise NotPossible("Only block diffusion networks have a block size to choose; leave it out.")
    if compressed and not (blocks or system == "ar"):
        raise NotPossible(f"{system} keeps no keys and values that could be compressed; leave that out.")
    recipe = recipe or DEFAULTS[system]
    if type(recipe) is not type(DEFAULTS[system]):
        raise NotPossible(f"{system} is not written with a {type(recipe).__name__}; give it another recipe.")
    place = device or torch.device("cpu")
    network = network.eval().requires_grad_(False).to(place)
    match recipe:
        case ScoreRecipe():
            return _score(network, system, recipe, end, place)
        case SimplexRecipe():
            return _simplex(network, system, recipe, end)
        case _:
            denoiser = (CompressedDenoiser if compressed else DiTDenoiser)(
                _in_blocks(network, system, block_size), end=end, device=place
            )
            return _blocks(denoiser, system, recipe)


def _check_kind(config: DiTConfig, system: str) -> None:
    """Raises NotPossible where the network was not trained as that system. MDLM is block diffusion with one block."""
    kinds = ["bd3lm", "bd3lm-adaptive", "mdlm", "mdlm-ancestral"]
    if config.causal or config.simplex or config.time_conditioning:
        kinds = ["ar" if config.causal else "ssd" if config.simplex else "sedd"]
    if system not in kinds:
        raise NotPossible(f"This network cannot write as {system}; it was trained as {kinds[0]}.")


def _in_blocks(network: DiT, system: str, block_size: int | None) -> DiT:
    """The network with the block size it is to write with. Raises NotPossible."""
    config = network.config
    if not config.causal:
        whole = config.model_length
        size = block_size or config.block_size if system.startswith("bd3lm") else whole
        if size < 1 or whole % size:
            raise NotPossible(f"Rows of {whole} tokens do not split into blocks of {size}; choose a divisor.")
        network = copy(network)  # the weights are shared; whoever gave it keeps its block size
        network.config = replace(config, block_size=size, cross_attn=size < whole)
    return network


def _blocks(denoiser: DiTDenoiser, system: str, recipe: block_diffusion.Recipe) -> SampledWriter:
    config = denoiser.config
    name = system.replace("bd3lm", f"bd3-{config.block_size}")
    if isinstance(denoiser, CompressedDenoiser):
        name += "-int8"

    def begin(prompts: Sequence[Sequence[int]], seeds: Sequence[int], length: int, until_end: bool) -> Job:
        draws = SeededDraws(seeds)
        return block_diffusion.write(denoiser, prompts, recipe, draws, length=length, stop=until_end)

    return SampledWriter(name, None, config.mask, denoiser.facts.end, begin)


def _score(network: DiT, system: str, recipe: ScoreRecipe, end: int, device: torch.device) -> SampledWriter:
    def begin(prompts: Sequence[Sequence[int]], seeds: Sequence[int], length: int, until_end: bool) -> Job:
        draws = SeededDraws(seeds)
        return score_sampler.write(
            network, prompts, recipe, draws, length=length, end=end, stop=until_end, device=device
        )

    return SampledWriter(system, network.config.model_length, network.config.mask, end, begin)


def _simplex(network: DiT, system: str, recipe: SimplexRecipe, end: int) -> SampledWriter:
    def begin(prompts: Sequence[Sequence[int]], seeds: Sequence[int], length: int, until_end: bool) -> Job:
        draws = NormalDraws(seeds)
        return simplex_diffusion.write(network, prompts, recipe, draws, length=length, end=end, stop=until_end)

    name = f"{system}-{network.config.block_size}"
    return SampledWriter(name, None, network.config.mask, end, begin, redrawn=recipe.steps)
