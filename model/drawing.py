"""Texts that are drawn side by side from one cache, token by token, and what the tokens of a vocabulary are as text.

Knows nothing of passages, events and of which text is the better one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from model.denoiser import BlockCache, Denoiser, Facts
from model.sampler import CHUNK, Draws
from model.tokenizer import TextTokenizer
from model.unmasking import candidates


class Kinds:
    """What the tokens of a vocabulary are as a part of text: boolean [V] each.

    text     not a control token.
    lines    with a line break.
    spaced   a space and something after it: begins a word. bare: begins without white space.
    letters  begins with a letter or digit, a space before it or not.
    """

    def __init__(self, tokenizer: TextTokenizer, facts: Facts, device: torch.device) -> None:
        pieces = [tokenizer.piece(token) for token in range(facts.vocabulary)]
        controls = {*facts.banned, facts.end, *tokenizer.banned}

        def those(flags: Iterable[bool]) -> Tensor:
            return torch.tensor(list(flags), device=device)

        self.text = those(piece != "" and token not in controls for token, piece in enumerate(pieces))
        self.lines = those("\n" in piece or "\r" in piece for piece in pieces)
        self.spaced = those(piece[:1] == " " and piece[1:2].strip() != "" for piece in pieces)
        self.bare = those(piece[:1].strip() != "" for piece in pieces)
        self.letters = those(piece.removeprefix(" ")[:1].isalnum() for piece in pieces)


class Texts:
    """B texts that go on from one cache, each with a random stream of its own.

    tokens [B, n] were added; nll [B, m] is that of the first m of them, which have been read. ahead [B, V]: logits of
    what follows these.
    """

    def __init__(self, denoiser: Denoiser, cache: BlockCache, ahead: Tensor, seeds: Sequence[int]) -> None:
        """cache: of B rows, everything in it read. ahead [1, V] is the same for all."""
        self._denoiser, self.cache, self.draws, self._since = denoiser, cache, Draws(seeds), cache.size
        self.ahead = ahead.expand(len(seeds), -1)
        self.tokens = torch.zeros(len(seeds), 0, dtype=torch.long, device=ahead.device)
        self.nll = torch.zeros(len(seeds), 0, device=ahead.device)

    def draw(self, allowed: Tensor, temperature: float, nucleus: float) -> Tensor:
        """Tokens [B, 1], of those that are allowed [V], for what follows when all is read."""
        law = candidates(only(self.ahead, allowed), temperature, nucleus)
        return law.draw(self.draws.uniform().to(self.ahead.device))[:, None]

    def add(self, tokens: Tensor) -> None:
        """Tokens [B, n] are decided."""
        self.tokens = torch.cat([self.tokens, tokens], dim=1)

    def read(self) -> Iterator[None]:
        """Reads what was added, CHUNK tokens of all texts together at once; yields after each forward."""
        step = max(1, CHUNK // len(self.tokens))
        while (done := self.nll.shape[1]) < self.tokens.shape[1]:
            chunk = self.tokens[:, done : done + step]
            logits = self._denoiser.commit(chunk, self.cache)
            self.nll = torch.cat([self.nll, nll_of(torch.cat([self.ahead[:, None], logits[:, :-1]], 1), chunk)], dim=1)
            self.ahead = logits[:, -1]
            yield

    def keep(self, rows: Tensor) -> None:
        """The given rows [B] go on, all of them read, some of them more than once; streams stay where they are."""
        self.cache.choose(rows, self._since)
        self.tokens, self.nll, self.ahead = self.tokens[rows], self.nll[rows], self.ahead[rows]


def only(logits: Tensor, allowed: Tensor) -> Tensor:
    """Logits [..., V'] without the tokens that are not allowed [V]; a network may have more logits than tokens."""
    rest = logits.shape[-1] - len(allowed)
    return logits.masked_fill(~torch.nn.functional.pad(allowed, (0, rest)), -torch.inf)


def different(logits: Tensor, count: int, temperature: float, stream: torch.Generator) -> Tensor:
    """`count` tokens, no two alike, drawn one after the other without replacement from logits [V], best chance first.

    The largest of log p / temperature + Gumbel noise (Kool et al. 2019); at temperature 0 the likeliest.
    """
    uniform = torch.rand(logits.shape, generator=stream, dtype=torch.float64).clamp_(min=1e-12)
    noise = -torch.log(-torch.log(uniform)).to(logits.device)
    scores = logits.double() + temperature * noise
    return scores.topk(min(count, int(torch.isfinite(logits).sum()))).indices


def nll_of(logits: Tensor, tokens: Tensor) -> Tensor:
    """−log p of tokens [...] under logits [..., V], in nats."""
    return torch.logsumexp(logits, dim=-1) - logits.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
