"""BD3-LM, and MDLM as its case of one block per row: masked diffusion inside blocks, autoregression between them.

Arriola et al. 2025, sections 3 to 5. Knows nothing of optimisers, data or files.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model import noise
from model.backbones.dit import DiT, DiTConfig
from model.noise import ClippedInterval, mask_within, stratified
from model.training.objectives import TokenLoss, all_but_first, masked_nll, weighted
from model.training.one_pass import noisy_features
from model.training.systems.base import Noised


class BlockDiffusion:
    """Blocks of `config.block_size` tokens; schedule: a name of `noise.SCHEDULES`."""

    exact = False
    clipped = True

    def __init__(self, config: DiTConfig, schedule: str = "linear") -> None:
        self.config = config
        self.schedule = noise.schedule(schedule)

    def noise(self, rows: Tensor, interval: ClippedInterval, generator: torch.Generator) -> Noised:
        """One level per block, stratified over all blocks of the rows; shares of masks kept inside the interval.

        The strata are dealt to the blocks at random: in the published code the first blocks of a batch always have the
        lowest levels. The first token of a row is never masked. Raises ValueError where no share fits the interval.
        """
        batch, length = rows.shape
        blocks = length // self.config.block_size

        def uniform(count: int) -> Tensor:
            return torch.rand(batch, count, generator=generator, dtype=torch.float64)

        dealt = torch.randperm(batch * blocks, generator=generator)
        levels = interval.levels(stratified(uniform(blocks)).flatten()[dealt].view(batch, blocks))
        chance = self.schedule.chance(levels)
        masked = mask_within(chance, interval, uniform(blocks), uniform(length)) & all_but_first(rows)
        return self._noised(rows, masked, chance, self.schedule.weight(levels))

    def loss(self, network: DiT, batch: Noised) -> TokenLoss:
        """The output layer sees masked tokens only; the others cost nothing."""
        masked = batch.noisy == self.config.mask
        features = self._features(network, batch)
        nll = features.new_zeros(masked.shape, dtype=torch.float32)
        logits = network.output_layer(features[masked][None], network.condition(None))[0]
        nll[masked] = masked_nll(logits, batch.clean[masked], self.config.mask)
        return weighted(nll, masked, batch.weight)

    def bound(self, network: DiT, rows: Tensor, counted: Tensor, generator: torch.Generator) -> TokenLoss:
        """The NELBO over the whole range of levels, with t integrated out of the draw.

        k of the n counted tokens of a block are masked, k uniform on 1 … n, and the masked ones weigh n / k: since
        ∫ Bin(k; n, t) / t dt = 1 / k, this has the mean of Σ −log p / t over t in [0, 1] and less variance. With blocks
        of one token it is exact.
        """
        batch, length = rows.shape
        by_block = counted.view(batch, -1, self.config.block_size)
        n = by_block.sum(-1, keepdim=True)  # [B, L / L', 1]
        uniforms = torch.rand(n.shape, generator=generator, dtype=torch.float64)
        k = (uniforms.to(n.device) * n).long() + 1
        order = torch.rand(by_block.shape, generator=generator).to(n.device).masked_fill(~by_block, 2.0)
        rank = order.argsort(-1).argsort(-1)
        masked = ((rank < k) & by_block).view(batch, length)
        loss = self.loss(network, self._noised(rows, masked, (k / n.clamp(min=1)).squeeze(-1), (n / k).squeeze(-1)))
        return TokenLoss(loss.nll, counted)

    def _noised(self, rows: Tensor, masked: Tensor, chance: Tensor, weight: Tensor) -> Noised:
        """chance and weight [B, L / L'], of blocks."""
        spread = self.config.block_size
        noisy = torch.where(masked, self.config.mask, rows)
        level, weight = (each.float().repeat_interleave(spread, dim=1) for each in (chance, weight))
        return Noised(rows, noisy, level, weight)

    def _features(self, network: DiT, batch: Noised) -> Tensor:
        """What the output layer reads at the noisy positions, [B, L, D]."""
        if self.config.block_size < batch.clean.shape[1]:
            return noisy_features(network, batch.noisy, batch.clean)
        x: Tensor = network.vocab_embed(batch.noisy)
        rotary = network.rotary_emb(torch.arange(x.shape[1], device=x.device))
        for block in network.blocks:
            x = block(x, rotary, None, network.condition(None))
        return x
