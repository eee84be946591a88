"""Against going round in circles: what tokens lose by which a run of the text would come again.

A small model that has said a thing twice finds it likelier still a third time. The rule is near the one that other
samplers call DRY ("don't repeat yourself"): the longer a run, the more the token that would make it longer loses. Here
every place counts where the run stood before, so a turn of phrase may come again, and loses more each time that it has:
a text that turns few words over and over is as much of a circle as one that repeats a sentence. Tokens inside of a word
lose nothing: a name that comes again keeps its spelling. Pure functions of token ids; B texts of n tokens, V in the
vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from model.denoiser import Facts

RUN = 1
"""Tokens that may come again without any loss."""

GROWTH = 1.75
"""Times as many nats for every token that the run is longer."""

LONG_WORD = 4
"""Tokens inside of a word after which it is none, but a circle of its own: "foreforefore"."""

LONGEST = 24
"""Tokens past which a run costs no more: by then the loss is beyond any logit."""


def inside_of_words(facts: Facts, device: torch.device) -> Tensor:
    """Which tokens go on with a word, boolean [V]."""
    inner = torch.zeros(facts.vocabulary, dtype=torch.bool, device=device)
    inner[torch.tensor(facts.inner, dtype=torch.long, device=device)] = True
    return inner


def comparable(tokens: Tensor, mask: int, padding: Tensor | None) -> Tensor:
    """Texts [B, n] for `loss`: what is no token, a mask or one of the padding [B] columns at the left, equals nothing
    that stands elsewhere."""
    columns = torch.arange(tokens.shape[1], device=tokens.device)
    nothing = tokens == mask
    if padding is not None:
        nothing |= columns < padding[:, None]
    return torch.where(nothing, -1 - columns, tokens)


def loss(text: Tensor, penalty: float, inner: Tensor) -> Tensor | None:
    """Nats [B, V] that each next token of texts [B, n] loses; None where none loses any.

    penalty: nats for a token after RUN tokens, for each place where they stood before with that token after them. Ids
    below 0 are no tokens. inner [V]: whether a token goes on with a word; it loses nothing while the word is short.
    """
    inside, found = inner[text.clamp(min=0)].tolist(), []
    for row, (tokens, within) in enumerate(zip(text.tolist(), inside, strict=True)):
        circles = all(within[-LONG_WORD:])
        found += [
            (row, tokens[at + 1], penalty * GROWTH ** (length - RUN))
            for at, length in runs(tokens)
            if length >= RUN and tokens[at + 1] >= 0 and (circles or not within[at + 1])
        ]
    if not found:
        return None
    rows, tokens_lost, nats = zip(*found, strict=True)
    lost = torch.zeros(len(text), len(inner))
    lost.index_put_((torch.tensor(rows), torch.tensor(tokens_lost)), torch.tensor(nats), accumulate=True)
    return lost.to(text.device)


def runs(tokens: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Places before the last whose token is the last one, and how many tokens up to there stand at the end, too; at
    most LONGEST. In Python: a text has few such places, and finding them by tensors takes four times as long."""
    end = len(tokens) - 1
    at = -1
    for _ in range(tokens.count(tokens[end]) - 1):
        at = tokens.index(tokens[end], at + 1)
        length = 1
        while length < min(LONGEST, at + 1) and tokens[at - length] == tokens[end - length]:
            length += 1
        yield at, length
