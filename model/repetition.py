"""Against going round in circles: what tokens lose by which a run of the text would come again.

A small model that has said a thing twice finds it likelier still a third time. The rule is near the one that other
samplers call DRY ("don't repeat yourself"): the longer a run, the more the token that would make it longer loses. Here
every place counts where the run stood before, so a turn of phrase may come again, and loses more each time that it has:
a text that turns few words over and over is as much of a circle as one that repeats a sentence. Tokens inside of a word
lose nothing: a name that comes again keeps its spelling. Pure functions of token ids; B texts of n tokens, V in the
vocabulary.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

RUN = 1
"""Tokens that may come again without any loss."""

GROWTH = 1.75
"""Times as many nats for every token that the run is longer."""

LONG_WORD = 4
"""Tokens inside of a word after which it is none, but a circle of its own: "foreforefore"."""

LONGEST = 24
"""Tokens past which a run costs no more: by then the loss is beyond any logit."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Nats [m] that m tokens lose, each of a row of a batch; all others lose nothing."""

    rows: Tensor
    tokens: Tensor
    nats: Tensor

    def take_from(self, logits: Tensor) -> None:
        """Changes logits [B, V]."""
        at = (self.rows, self.tokens)
        logits.index_put_(at, logits[at] - self.nats)

    def of(self, ids: Tensor) -> Tensor:
        """What tokens ids [B, K] lose, [B, K]; those of a row are different ones."""
        hits = torch.where(ids[self.rows] == self.tokens[:, None], self.nats[:, None], 0.0)
        return torch.zeros(ids.shape, device=ids.device).index_add_(0, self.rows, hits)


def loss(
    text: Tensor, penalty: float, inner: Collection[int], *, mask: int = -1, padding: Tensor | None = None
) -> Loss | None:
    """What next tokens of texts [B, n] lose; None where none loses any.

    penalty: nats for a token after RUN tokens, for each place where they stood before with that token after them.
    inner: tokens that go on with a word; they lose nothing while the word is short. mask: what stands for no token and
    equals nothing that stands elsewhere. padding [B]: columns at the left that a row does not use.
    """
    unused = [0] * len(text) if padding is None else padding.tolist()
    lost: dict[tuple[int, int], float] = defaultdict(float)
    for row, (tokens, skipped) in enumerate(zip(text.tolist(), unused, strict=True)):
        tokens = tokens[skipped:]
        if not tokens or tokens[-1] == mask:
            continue
        circles = all(token in inner for token in tokens[-LONG_WORD:])
        for at, length in runs(tokens, mask):
            after = tokens[at + 1]
            if length >= RUN and after != mask and (circles or after not in inner):
                lost[row, after] += penalty * GROWTH ** (length - RUN)
    if not lost:
        return None
    rows, found = zip(*lost, strict=True)
    nats = torch.tensor(list(lost.values()), device=text.device)
    return Loss(torch.tensor(rows, device=text.device), torch.tensor(found, device=text.device), nats)


def runs(tokens: Sequence[int], mask: int = -1) -> Iterator[tuple[int, int]]:
    """Places before the last whose token is the last one, and how many tokens up to there stand at the end, too; at
    most LONGEST, none of them the mask. In Python: a text has few such places, and finding them by tensors takes four
    times as long."""
    end = len(tokens) - 1
    at = -1
    for _ in range(tokens.count(tokens[end]) - 1):
        at = tokens.index(tokens[end], at + 1)
        length = 1
        while length < min(LONGEST, at + 1) and tokens[at - length] == tokens[end - length] != mask:
            length += 1
        yield at, length
