"""What every way of filling works with: the network, copies of the cache, random numbers, what may stand where."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.contract import BLOCK_SIZES, Dial, Fill
from model.denoiser import BlockCache, Denoiser
from model.drawing import Kinds, Texts
from model.passage import Hole, Passage
from model.ranking import Ranking
from model.sampler import BlockSampler, Draws
from model.tokenizer import TextTokenizer

BLOCK = 16
"""Slots that are denoised at once, visible ones included: the widest block that the default's adapter has seen."""

WIDEST = BLOCK_SIZES[-1]

BRIDGE = 12
"""Masked slots that are denoised at once; the rest of the block shows what is kept to their right."""

ROWS, WORDS = 8, 16
"""Texts that are drawn where their right side counts; of single words there are more, for they cost little."""

SPARE = 1
"""Texts that are drawn more than wanted, because some may be alike."""

PARTICLES = 4
"""Texts that compete for one candidate where there are several holes: after each, the better half of them goes on."""

HELD = 16384
"""Tokens of all copies of the cache together, where there are more than PARTICLES: they take memory."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture of one of the texts: the tokens in its holes, mask where nothing is decided, and how sure each is."""

    tokens: list[int]
    sureness: list[float]


class Bench:
    """Counts the forwards (nfe) and keeps what was found (ranking).

    cache  of one text: has read what stands before the first hole, all of it but perhaps the last token.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        tokenizer: TextTokenizer,
        kinds: Kinds,
        request: Fill,
        passage: Passage,
        cache: BlockCache,
    ) -> None:
        self.denoiser, self.tokenizer, self.kinds = denoiser, tokenizer, kinds
        self.request, self.passage, self.dial = request, passage, request.dial
        self.cache, self.facts, self.device = cache, denoiser.facts, cache.tokens.device
        left = cache.tokens[0, : cache.decided].tolist() if not self.facts.slides else list(passage.left)
        self.ranking = Ranking(tokenizer, passage, left)
        self.nfe = 0

    @property
    def sees_right(self) -> bool:
        """Whether the weights denoise blocks."""
        return max(self.facts.block_sizes) > 1

    @property
    def _side_by_side(self) -> int:
        """Rows of a batch: memory, and where each forward reads everything anew also time, grow with them."""
        if self.facts.rereads:
            return 1
        return max(PARTICLES, min(WORDS, HELD // max(1, min(self.cache.decided, self.facts.context))))

    def batches(self, count: int, width: int = 1) -> Iterator[range]:
        """0 … count − 1 in parts whose rows fit side by side; each takes `width` rows."""
        size = max(1, self._side_by_side // width)
        for start in range(0, count, size):
            yield range(start, min(start + size, count))

    def copies(self, rows: Sequence[int]) -> BlockCache:
        return self.cache.rows(torch.zeros(len(rows), dtype=torch.long, device=self.device))

    def seed(self, *name: str | int) -> int:
        return random.Random("/".join(map(str, (self.request.seed, *name)))).getrandbits(63)

    def allowed(self, hole: Hole, *, first: bool = False) -> Tensor:
        """Which tokens may stand in a hole, or at its beginning: boolean [V]."""
        kinds = self.kinds
        allowed = kinds.text if hole.lines else kinds.text & ~kinds.lines
        if first:
            allowed = allowed & (kinds.spaced if hole.spaced else kinds.bare)
            if hole.was[:1].isalnum():
                allowed = allowed & kinds.letters
        return allowed

    def begins_well(self, hole: Hole, token: int) -> bool:
        return bool(self.allowed(hole, first=True)[token]) or self.request.strength < 1.0

    def denoise(
        self, cache: BlockCache, draws: Draws, block: Tensor, slots: int, sure: Tensor | None = None
    ) -> Iterator[Shown]:
        """Fills the masked ones of the first slots of a block [B, n]; sure [B, n] gets the chances of the tokens."""
        sampler = BlockSampler(self.denoiser, self._denoising_dial(slots), batch=0, may_end=False)
        sampler.cache = cache
        sure = torch.zeros(block.shape, device=self.device) if sure is None else sure
        masked = block == self.facts.mask
        masked[:, slots:] = False
        for _ in sampler.unmask(block, sure, masked, draws):
            self.nfe += 1
            yield Shown(block[0, :slots].tolist(), sure[0, :slots].tolist())

    def _denoising_dial(self, slots: int) -> Dial:
        """The writer's own rule at its pace; where that verifies, one token a step, the surest first."""
        dial = self.dial
        if dial.rule == "verified":
            return replace(dial, block_size=WIDEST, steps=min(slots, WIDEST), rule="confidence", threshold=0.0)
        steps = -(-slots * dial.steps // dial.block_size)
        return replace(dial, block_size=WIDEST, steps=min(steps, WIDEST))

    def reading(self, texts: Texts) -> Iterator[Shown]:
        for _ in texts.read():
            self.nfe += 1
            read = texts.nll.shape[1]
            yield Shown(texts.tokens[0, :read].tolist(), (-texts.nll[0]).exp().tolist())
