"""Other words for the holes of a passage: drawn several times side by side, ranked by how well the text goes on.

Words are drawn in two ways. From the left, each token by the causal reading of all before it. And denoised: masked
slots and what is kept around them in one block, which is seen in both directions. Either way the causal reading ranks
them, by the likelihood of the new words and of the kept ones to their right. A network that has no such reading
denoises all of them.

Works on copies of the cache. Knows nothing of events and of how a passage was cut into tokens.
"""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.contract import BLOCK_SIZES, Candidate, Dial, Fill
from model.denoiser import BlockCache, Denoiser
from model.drawing import Kinds, Texts, different, only
from model.passage import LOOKED_AT, Hole, Passage
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

ENDS = 2
"""Ends that are tried of each text."""

PLAUSIBLE = 2.3
"""Nats: where a full stop has this chance (a tenth) or a better one, a sentence may be closed with it."""

PARTICLES = 4
"""Texts that compete for one candidate where there are several holes: after each, the better half of them goes on."""

HELD = 16384
"""Tokens of all copies of the cache together, where there are more than PARTICLES: they take memory."""

BETWEEN = 1000
"""Numbers of the texts that are denoised start here, so that they differ from those of the others."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture of one of the texts: the tokens in its holes, mask where nothing is decided, and how sure each is."""

    tokens: list[int]
    sureness: list[float]


@dataclass(frozen=True, slots=True)
class _Span:
    """Tokens for one hole, from text number `row`; nll: of each, as far as it is known.

    join: nll of the first kept token to the right after them, where it was drawn for.
    """

    row: int
    tokens: tuple[int, ...]
    nll: tuple[float, ...] = ()
    join: tuple[float, ...] = ()


class Filling:
    """`steps` is to be exhausted; `candidates` are there then, best first, and nfe counts the forwards.

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
        self._denoiser, self._tokenizer, self._kinds = denoiser, tokenizer, kinds
        self._request, self._passage, self._dial = request, passage, request.dial
        self._cache, self._facts, self._device = cache, denoiser.facts, cache.tokens.device
        self._costs: list[list[float]] | None = None  # of what stood in each hole, where the weakest of it is to go
        left = cache.tokens[0, : cache.decided].tolist() if not self._facts.slides else list(passage.left)
        self._ranking = Ranking(tokenizer, passage, left)
        self.nfe = 0
        self.candidates: tuple[Candidate, ...] = ()

    def steps(self) -> Iterator[Shown]:
        """Yields a picture after each forward."""
        holes = self._passage.holes
        if not self._facts.causal:
            yield from self._denoise_all()
        else:
            nothing = torch.zeros(1, 0, dtype=torch.long, device=self._device)
            ahead = self._denoiser.commit(nothing, self._cache)[:, -1]  # reads the last token before the hole
            self.nfe += 1
            yield Shown([], [])
            if self._request.weakest and self._request.strength < 1.0:
                yield from self._weigh(ahead)
            if len(holes) == 1 and self._request.strength == 1.0:
                yield from self._fill_one(holes[0], ahead)
            else:
                yield from self._fill_all(ahead)
            if not any(
                self._ranking.best(self._request.candidates, known=self._facts.causal)
            ):  # nothing seems as likely here as what stood there
                yield from self._fill_all(ahead, others=True)
        self.candidates = self._best()

    def _best(self) -> tuple[Candidate, ...]:
        return tuple(self._ranking.best(self._request.candidates, known=self._facts.causal))

    def _weigh(self, ahead: Tensor) -> Iterator[Shown]:
        """Reads the passage as it stands: −log p of each token that stood in a hole."""
        texts = Texts(self._denoiser, self._copies([0]), ahead, [0])
        cells = [token for hole in self._passage.holes for token in (*hole.tokens, *hole.right)]
        texts.add(torch.tensor([cells], device=self._device))
        yield from self._reading(texts)
        nll, self._costs = iter(texts.nll[0].tolist()), []
        for hole in self._passage.holes:
            self._costs.append([next(nll) for _ in hole.tokens])
            for _ in hole.right:
                next(nll)

    # ---------------------------------------------------------------------------------------------------- one hole

    def _fill_one(self, hole: Hole, ahead: Tensor) -> Iterator[Shown]:
        """With as many tokens as suit."""
        spans = yield from self._from_the_left(hole, ahead)
        if self._request.quick or not hole.right:  # everything is known already
            for span in spans:
                self._ranking.add(span.row, [span.tokens], span.nll + span.join, span.nll)
            return
        if self._sees_right and hole.length <= BRIDGE:
            spans += yield from self._between(hole, ahead)
        yield from self._rank(hole, spans, ahead)

    def _from_the_left(self, hole: Hole, ahead: Tensor) -> Generator[Shown, None, list[_Span]]:
        """Texts that go on as they like; each may end at several places."""
        count = self._request.candidates + SPARE
        if hole.right and not self._request.quick:
            count = max(WORDS if hole.single else ROWS, count)
        allowed, first = self._allowed(hole), self._allowed(hole, first=True)
        begin: list[int] = []
        if hole.single:  # or many of them would be the same word
            stream = torch.Generator().manual_seed(self._seed("words"))
            begin = different(only(ahead[0], first), count, self._dial.temperature, stream).tolist()
            count = len(begin)
        stop = self._tokenizer.encode(".")[0]
        spans: list[_Span] = []
        for rows in self._batches(count):
            texts = Texts(self._denoiser, self._copies(rows), ahead, [self._seed("left", row) for row in rows])
            stops: list[Tensor] = []  # nll of a full stop in place of each token
            joins: list[Tensor] = []  # and of the first token to the right
            pieces: list[list[str]] = [[] for _ in rows]
            while True:
                drawn = texts.draw(allowed if stops else first, self._dial.temperature, self._dial.nucleus)
                if begin and not stops:
                    drawn = torch.tensor([begin[row] for row in rows], device=self._device)[:, None]
                costs = -texts.ahead.log_softmax(-1)
                stops.append(costs[:, stop])
                joins += [costs[:, token] for token in hole.right[:1]]
                texts.add(drawn)
                for text, token in zip(pieces, drawn[:, 0].tolist(), strict=True):
                    if not hole.is_long_enough(text):  # else it only waits for the others
                        text.append(self._tokenizer.piece(token))
                if len(stops) == hole.most or all(hole.is_long_enough(text) for text in pieces):
                    break
                yield from self._reading(texts)
            for at, row in enumerate(rows):
                tokens, nll = texts.tokens[at].tolist(), texts.nll[at].tolist()
                closing, joining = ([float(column[at]) for column in columns] for columns in (stops, joins))
                spans += self._ended(hole, row, tokens, nll, pieces[at], closing, joining)
        return spans

    def _ended(
        self,
        hole: Hole,
        row: int,
        tokens: list[int],
        nll: list[float],
        pieces: list[str],
        closing: list[float],
        joining: list[float],
    ) -> list[_Span]:
        """What a text gives for the hole: cut at a good end, or at the least bad one."""

        def cut(end: int) -> _Span:
            return _Span(row, tuple(tokens[:end]), tuple(nll[:end]), tuple(joining[end : end + 1]))

        ends = hole.ends(pieces)
        if self._request.quick and joining:
            ends.sort(key=lambda end: joining[end])
        spans = [cut(end) for end in ends]
        if hole.closes:
            stops = sorted(hole.stops(pieces), key=lambda end: closing[end])
            good = [end for end in stops if closing[end] <= PLAUSIBLE or (not spans and end == stops[0])]
            closed = [self._closed(row, tokens, nll, end, closing) for end in good]
            spans += [span for span in closed if all(span.tokens != other.tokens for other in spans)]
        end = None if spans else hole.nearest_end(pieces)
        if end is not None and hole.closes:
            spans.append(self._closed(row, tokens, nll, end, closing))
        elif end is not None:
            spans.append(cut(end))
        return spans[:ENDS]

    def _closed(self, row: int, tokens: list[int], nll: list[float], end: int, closing: list[float]) -> _Span:
        stop = self._tokenizer.encode(".")[0]
        return _Span(row, (*tokens[:end], stop), (*nll[:end], closing[end]))

    def _between(self, hole: Hole, ahead: Tensor) -> Generator[Shown, None, list[_Span]]:
        """Texts of one length, denoised with what is kept to the right in view."""
        cells = [self._facts.mask] * hole.length + list(hole.right[: BLOCK - hole.length])
        spans: list[_Span] = []
        for rows in self._batches(max(2, min(ROWS, 2 * BLOCK // hole.length))):  # a long hole takes more forwards
            texts = Texts(self._denoiser, self._copies(rows), ahead, [self._seed("between", row) for row in rows])
            block = torch.tensor([cells] * len(rows), device=self._device)
            yield from self._denoise(texts.cache, texts.draws, block, hole.length)
            for row, tokens in zip(rows, block[:, : hole.length].tolist(), strict=True):
                if self._begins_well(hole, tokens[0]):
                    spans.append(_Span(BETWEEN + row, tuple(tokens)))
        return spans

    def _rank(self, hole: Hole, spans: Sequence[_Span], ahead: Tensor) -> Iterator[Shown]:
        """Reads every span with what is kept to its right."""
        right = list(hole.right[:LOOKED_AT])
        others = {span.tokens: span for span in reversed(spans) if span.tokens != hole.tokens}
        ordered = sorted(others.values(), key=lambda span: len(span.tokens))
        for rows in self._batches(len(ordered)):
            some = [ordered[row] for row in rows]
            lines = [[*span.tokens, *right] for span in some]
            padded = [line + [right[-1]] * (len(lines[-1]) - len(line)) for line in lines]
            texts = Texts(self._denoiser, self._copies(rows), ahead, rows)
            texts.add(torch.tensor(padded, device=self._device))
            yield from self._reading(texts)
            for span, line, nll in zip(some, lines, texts.nll.tolist(), strict=True):
                self._ranking.add(span.row, [span.tokens], nll[: len(line)], nll[: len(span.tokens)])

    # ------------------------------------------------------------------------------------------------ several holes

    def _fill_all(self, ahead: Tensor, *, others: bool = False) -> Iterator[Shown]:
        """Each with a given number of tokens: so all texts keep step, and can be chosen from after each hole.

        others: no token may be the one that stood in its place.
        """
        cells, owners, stood = self._cells()
        families = self._request.candidates + SPARE
        for group in self._batches(families, PARTICLES):
            seeds = [self._seed("family", family, at) for family in group for at in range(PARTICLES)]
            texts = Texts(self._denoiser, self._copies(seeds), ahead, seeds)
            done = 0
            for start, stop in _runs(cells, owners, self._facts.mask):
                texts.add(torch.tensor([cells[done:start]] * len(seeds), dtype=torch.long, device=self._device))
                yield from self._reading(texts)
                if done:
                    texts.keep(_better_half(texts.nll.sum(1)))
                yield from self._fill_run(texts, cells, owners, start, stop, stood if others else ())
                done = stop
            texts.add(torch.tensor([cells[done:]] * len(seeds), dtype=torch.long, device=self._device))
            yield from self._reading(texts)
            for row, (tokens, nll) in enumerate(zip(texts.tokens.tolist(), texts.nll.tolist(), strict=True)):
                parts = [
                    [token for token, owner in zip(tokens, owners, strict=True) if owner == number]
                    for number in range(len(self._passage.holes))
                ]
                counted = [cost for cost, near in zip(nll, _near(owners), strict=True) if near]
                own = [cost for cost, owner in zip(nll, owners, strict=True) if owner >= 0]
                self._ranking.add(group[row // PARTICLES], parts, counted, own)

    def _fill_run(
        self, texts: Texts, cells: Sequence[int], owners: Sequence[int], start: int, stop: int, barred: Sequence[int]
    ) -> Iterator[Shown]:
        """Masked slots in a row: half of the texts draw them from the left, the others denoise the last of them.

        barred: for every cell a token that it must not have, or none; empty where there are none.
        """
        hole = self._passage.holes[owners[start]]
        allowed = self._allowed(hole)
        begins_hole = start == 0 or owners[start] != owners[start - 1]
        denoised = torch.arange(len(texts.tokens), device=self._device) % PARTICLES < PARTICLES // 2
        denoised &= self._sees_right
        bridge = max(start, stop - BRIDGE)
        block = texts.tokens[:, :0]
        for slot in range(start, stop):
            yield from self._reading(texts)
            if slot == bridge and bool(denoised.any()):
                block = torch.tensor([cells[bridge : bridge + BLOCK]] * len(texts.tokens), device=self._device)
                yield from self._denoise(texts.cache, texts.draws, block, stop - bridge)
            now = self._allowed(hole, first=True) if begins_hole and slot == start else allowed
            if barred and barred[slot] >= 0:
                now = now.index_fill(0, torch.tensor(barred[slot], device=self._device), False)
            drawn = texts.draw(now, self._dial.temperature, self._dial.nucleus)
            if slot >= bridge and block.shape[1]:
                found = block[:, slot - bridge, None]
                drawn = torch.where(denoised[:, None] & now[found], found, drawn)
            texts.add(drawn)

    def _cells(self) -> tuple[list[int], list[int], list[int]]:
        """The passage from the first hole on, mask where a token is wanted; whose each token is, −1: kept; and which
        token stood in its place, −1: nobody knows."""
        cells: list[int] = []
        owners: list[int] = []
        stood: list[int] = []
        mask = self._facts.mask
        for number, hole in enumerate(self._passage.holes):
            slots = [mask] * hole.length
            if self._request.strength < 1.0:
                stream = random.Random(self._seed("masks", number))
                masks = hole.masks(self._request.strength, stream, self._costs[number] if self._costs else None)
                slots = [mask if masked else token for masked, token in zip(masks, hole.tokens, strict=True)]
            cells += [*slots, *hole.right]
            owners += [number] * len(slots) + [-1] * len(hole.right)
            known = list(hole.tokens) if len(hole.tokens) == len(slots) else [-1] * len(slots)
            stood += known + [-1] * len(hole.right)
        return cells, owners, stood

    # --------------------------------------------------------------------------------------- without a causal reading

    def _denoise_all(self) -> Iterator[Shown]:
        """Block after block of the network's own; what is kept is seen where it is in the same block."""
        cells, owners, _ = self._cells()
        last = max(at for at, cell in enumerate(cells) if cell == self._facts.mask) + 1
        for rows in self._batches(self._request.candidates + SPARE):
            cache, draws = self._copies(rows), Draws([self._seed("denoised", row) for row in rows])
            tokens = torch.tensor([cells] * len(rows), device=self._device)
            sureness = torch.ones(tokens.shape, device=self._device)
            done = 0
            while done < last:
                block = tokens[:, done : done + self._denoiser.room(cache)]  # a view
                size = block.shape[1]
                sure = sureness[:, done : done + size]
                yield from self._denoise(cache, draws, block, size, sure)
                done += size
                if done < last:
                    read = cache.size
                    self._denoiser.commit(block, cache)
                    self.nfe += cache.size > read and not self._facts.rereads  # else there was nothing to compute
                    yield Shown(tokens[0, :done].tolist(), sureness[0, :done].tolist())
            for row, line, chances in zip(rows, tokens.tolist(), sureness.tolist(), strict=True):
                found = list(zip(line, owners, chances, strict=True))
                parts = [[token for token, owner, _ in found if owner == n] for n in range(len(self._passage.holes))]
                fits = all(
                    self._begins_well(hole, part[0]) for hole, part in zip(self._passage.holes, parts, strict=True)
                )
                own = [-math.log(max(chance, 1e-9)) for _, owner, chance in found if owner >= 0]
                self._ranking.add(row, parts, own, own, misfit=not fits)

    # ---------------------------------------------------------------------------------------------------- what is so

    @property
    def _sees_right(self) -> bool:
        """Whether the weights denoise blocks."""
        return max(self._facts.block_sizes) > 1

    @property
    def _side_by_side(self) -> int:
        """Rows of a batch: memory, and where each forward reads everything anew also time, grow with them."""
        if self._facts.rereads:
            return 1
        return max(PARTICLES, min(WORDS, HELD // max(1, min(self._cache.decided, self._facts.context))))

    def _batches(self, count: int, width: int = 1) -> Iterator[range]:
        """0 … count − 1 in parts whose rows fit side by side; each takes `width` rows."""
        size = max(1, self._side_by_side // width)
        for start in range(0, count, size):
            yield range(start, min(start + size, count))

    def _copies(self, rows: Sequence[int]) -> BlockCache:
        return self._cache.rows(torch.zeros(len(rows), dtype=torch.long, device=self._device))

    def _seed(self, *name: str | int) -> int:
        return random.Random("/".join(map(str, (self._request.seed, *name)))).getrandbits(63)

    def _allowed(self, hole: Hole, *, first: bool = False) -> Tensor:
        """Which tokens may stand in a hole, or at its beginning: boolean [V]."""
        kinds = self._kinds
        allowed = kinds.text if hole.lines else kinds.text & ~kinds.lines
        if first:
            allowed = allowed & (kinds.spaced if hole.spaced else kinds.bare)
            if hole.was[:1].isalnum():
                allowed = allowed & kinds.letters
        return allowed

    def _begins_well(self, hole: Hole, token: int) -> bool:
        return bool(self._allowed(hole, first=True)[token]) or self._request.strength < 1.0

    def _denoise(
        self, cache: BlockCache, draws: Draws, block: Tensor, slots: int, sure: Tensor | None = None
    ) -> Iterator[Shown]:
        """Fills the masked ones of the first slots of a block [B, n]; sure [B, n] gets the chances of the tokens."""
        sampler = BlockSampler(self._denoiser, self._denoising_dial(slots), batch=0, may_end=False)
        sampler.cache = cache
        sure = torch.zeros(block.shape, device=self._device) if sure is None else sure
        masked = block == self._facts.mask
        masked[:, slots:] = False
        for _ in sampler.unmask(block, sure, masked, draws):
            self.nfe += 1
            yield Shown(block[0, :slots].tolist(), sure[0, :slots].tolist())

    def _denoising_dial(self, slots: int) -> Dial:
        """The writer's own rule at its pace; where that verifies, one token a step, the surest first."""
        dial = self._dial
        if dial.rule == "verified":
            return replace(dial, block_size=WIDEST, steps=min(slots, WIDEST), rule="confidence", threshold=0.0)
        steps = -(-slots * dial.steps // dial.block_size)
        return replace(dial, block_size=WIDEST, steps=min(steps, WIDEST))

    def _reading(self, texts: Texts) -> Iterator[Shown]:
        for _ in texts.read():
            self.nfe += 1
            read = texts.nll.shape[1]
            yield Shown(texts.tokens[0, :read].tolist(), (-texts.nll[0]).exp().tolist())


def _runs(cells: Sequence[int], owners: Sequence[int], mask: int) -> list[tuple[int, int]]:
    """Masked cells in a row that belong to the same hole: from, to."""
    runs: list[tuple[int, int]] = []
    for at, cell in enumerate(cells):
        if cell != mask:
            continue
        if runs and runs[-1][1] == at and owners[at] == owners[at - 1]:
            runs[-1] = (runs[-1][0], at + 1)
        else:
            runs.append((at, at + 1))
    return runs


def _near(owners: Sequence[int]) -> list[bool]:
    """Which cells belong to a hole, or are kept and among the next ones to its right."""
    near, left = [], 0
    for owner in owners:
        left = LOOKED_AT if owner >= 0 else left - 1
        near.append(owner >= 0 or left >= 0)
    return near


def _better_half(costs: Tensor) -> Tensor:
    """Rows [B] that go on: of each family of PARTICLES the better half, twice over."""
    order = costs.view(-1, PARTICLES).argsort(dim=1, stable=True)[:, : PARTICLES // 2]
    first = torch.arange(0, len(costs), PARTICLES, device=costs.device)[:, None]
    return (order + first).repeat(1, 2).flatten()
