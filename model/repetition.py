"""Against going round in circles: what tokens lose by which a run of the text would come again.

A small model that has said a thing twice finds it likelier still a third time. The rule is near the one that other
samplers call DRY ("don't repeat yourself"): the longer a run, the more the token that would make it longer loses. Here
every place counts where the run stood before, so a turn of phrase may come again, and loses more each time that it has:
a text that turns few words over and over is as much of a circle as one that repeats a sentence. Tokens inside of a word
lose nothing: a name that comes again keeps its spelling. Pure functions of token ids; B texts of n tokens, V in the
vocabulary.
"""

from __future__ import annotations

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
    lengths, after = runs(text), text[:, 1:]
    inside = inner[text.clamp(min=0)]
    spared = inside[:, 1:] & ~inside[:, -LONG_WORD:].all(1, keepdim=True)
    row, at = ((lengths >= RUN) & (after >= 0) & ~spared).nonzero(as_tuple=True)
    if not len(row):
        return None
    nats = penalty * GROWTH ** (lengths[row, at] - RUN).float()
    lost = torch.zeros(len(text), len(inner), device=text.device)
    lost.view(-1).scatter_reduce_(0, row * len(inner) + after[row, at], nats, "sum")
    return lost


def runs(text: Tensor) -> Tensor:
    """How many tokens up to and with place j stand at the end of the text, too: [B, n − 1], at most LONGEST."""
    n = text.shape[1]
    same = text[:, :-1] == text[:, -1:]
    lengths = same.long()
    for back in range(1, min(LONGEST, n - 1)):
        same[:, :back] = False
        same[:, back:] &= text[:, : n - 1 - back] == text[:, n - 1 - back : n - back]
        if not bool(same.any()):
            break
        lengths += same
    return lengths
