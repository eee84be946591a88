"""How much of a block is written at once, from the entropy that the network leaves in each slot: pure functions.

Past the paper, which fixes both. The block size: the next stretch of slots is the longest one whose mean entropy is low
enough, so predictable text is written in long stretches. The steps: a forward decides as many slots as their entropies
allow. Slots that are drawn together are drawn as if independent; their joint law is off by no more than Σ H − max H
nats, in the sense of the Kullback-Leibler divergence, and the budget bounds that (Ben-Hamu et al. 2025).

Knows nothing of networks, caches or text. B rows, n slots.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def entropies(log_probs: Tensor) -> Tensor:
    """In nats, [...], of laws [..., V] given as log-probabilities."""
    nats: Tensor = torch.special.entr(log_probs.exp()).sum(-1)
    return nats


def stretch(edge: Tensor, entropy: Tensor, masked: Tensor, sizes: Sequence[int], limit: float) -> Tensor:
    """Where the stretch in work ends, [B]: the slots before it may be decided now.

    edge [B] is where it ended before; while masked slots are left before it, it stays. Then a new stretch begins at the
    first masked slot: the longest of `sizes` over whose masked slots the mean entropy [B, n] is at most `limit`, and
    the shortest where none is. A row without masks keeps its edge.
    """
    slots = torch.arange(masked.shape[1], device=masked.device)
    first = torch.where(masked, slots, masked.shape[1]).amin(-1)  # [B]
    longest = first + min(sizes)
    for size in sorted(sizes)[1:]:
        inside = masked & (slots < (first + size)[:, None])
        mean = (entropy * inside).sum(-1) / inside.sum(-1).clamp(min=1)
        longest = torch.where(mean <= limit, first + size, longest)
    done = ~(masked & (slots < edge[:, None])).any(-1)
    return torch.where(done & masked.any(-1), longest, edge)


def within(entropy: Tensor, masked: Tensor, budget: float) -> Tensor:
    """The masked slots [B, n] to decide together: from the surest on, while Σ H − max H stays within the budget.

    Of every row at least the surest one, however little the budget.
    """
    ranked, order = torch.where(masked, entropy, torch.inf).sort(dim=-1, stable=True)
    others = F.pad(ranked.cumsum(-1)[..., :-1], (1, 0))  # Σ H of those before, which is Σ H − max H of those up to here
    fits = torch.isfinite(ranked) & (others <= budget)
    return torch.zeros_like(masked).scatter_(-1, order, fits)
