"""The published transformer as a `Denoiser`: blocks are denoised after a window of cached, committed text.

The window holds L tokens, the block being written included; past it the oldest block leaves first. Three kinds of
network come through the same forward:

    block by block  BD3-LM, L' < L: a committed block is read once, block-causally
    token by token  the autoregressive baseline: L' = 1, a commit yields the next-token logits
    whole row       MDLM, SEDD, BD3-LM with L' = L: one block; clean text is a part of it and is read with it, each time

Knows nothing of text, unmasking rules or files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import noise
from model.attention import attend
from model.backbones.dit import EPS, DiT, DiTConfig
from model.contract import BLOCK_SIZES
from model.denoiser import BlockCache, Facts
from model.linear import Linear


class WindowCache(BlockCache):
    """Keys and values of the last tokens of texts of any length, in a ring of L columns.

    Keys are stored rotated by the position of their token in the text. The published code stores them bare and rotates
    the whole window from 0 at each call; scores depend on differences of positions only, so both give the same numbers,
    and what leaves the window costs nothing.

    exact    read the window anew whenever a block leaves it. Otherwise, as published, the deep layers of later tokens
             still remember what has left.
    start    position of the token in column 0 when the window was last read from its beginning.
    first    position of the oldest token that can be seen.
    pending  decided tokens that do not fill a block yet; they stand in the columns after `size` and are a part of the
             next block.
    """

    def __init__(self, config: DiTConfig, batch: int, *, exact: bool, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(
            layers=config.n_blocks,
            batch=batch,
            heads=config.n_heads,
            width=config.head_dim,
            limit=config.model_length,
            dtype=dtype,
            device=device,
        )
        self.window, self.block, self.exact = config.model_length, config.block_size, exact
        self.start = self.first = 0
        self.pending: int = 0

    @property
    def nbytes(self) -> int:
        """Memory of keys and values."""
        return sum(layer.nbytes for layer in self.layers)

    def column(self, position: int) -> int:
        """Where the token at a position of the text lies."""
        return (position - self.start) % self.window

    def unread(self) -> Tensor:
        """The pending tokens [B, pending]."""
        at = self.column(self.size)
        return self.tokens[:, at : at + self.pending]

    def recent(self, count: int) -> Tensor:
        """The last `count` tokens [B, count] that were read."""
        columns = [self.column(position) for position in range(self.size - count, self.size)]
        return self.tokens[:, columns]

    def extend(self, tokens: Tensor) -> None:
        """Tokens [B, n] have been read: their keys and values lie at the columns from `size` on."""
        at = self.column(self.size)
        self.tokens[:, at : at + tokens.shape[1]] = tokens
        self.size += tokens.shape[1]
        self.first = max(self.first, self.size - self.window + self.block)
        self.pending = 0

    def see(self, layer: int, keys: Tensor, values: Tensor, used: int) -> tuple[Tensor, Tensor]:
        """Keys and values [B, n, H, D] of one layer go to the columns after `size`; those of the first `used` columns,
        [B, H, used, D] each, are what is attended to."""
        at, store = self.column(self.size), self.layers[layer]
        store[0, :, :, at : at + keys.shape[1]] = keys.transpose(1, 2)
        store[1, :, :, at : at + keys.shape[1]] = values.transpose(1, 2)
        return store[0, :, :, :used], store[1, :, :, :used]

    def hold(self, tokens: Tensor) -> None:
        """Tokens [B, n] that do not fill a block are decided and wait to be read."""
        at = self.column(self.size)
        self.reserve(at + self.block)
        self.tokens[:, at : at + tokens.shape[1]] = tokens
        self.pending = tokens.shape[1]

    def decide(self, token: Tensor) -> None:
        """Appends one decided token [B]."""
        if self.pending >= self.block:
            raise ValueError("A block is full already: commit before deciding the next token.")
        self.hold(torch.cat([self.unread(), token[:, None]], dim=1))

    def cut(self, position: int) -> None:
        """Forgets everything from `position` on. Raises ValueError where that has left the window."""
        if position >= self.size:
            if position > self.decided:
                raise ValueError(f"Cannot cut at {position}: the cache holds {self.decided} tokens.")
            self.pending = position - self.size
            return
        whole = position - position % self.block
        if whole < self.first:
            raise ValueError(f"Cannot cut at {position}: the window begins at {self.first}.")
        self.size, self.pending = whole, position - whole

    def restart(self, position: int) -> None:
        """Forgets all keys; the window is read anew from the token at `position` on."""
        self.start = self.first = self.size = position

    def choose(self, rows: Tensor, since: int) -> None:
        """The given rows [B] go on, some of them more than once."""
        self.__dict__.update(self.rows(rows).__dict__)

    def rows(self, index: Tensor) -> Self:
        """A copy that holds the given rows, in that order."""
        copy = object.__new__(type(self))
        copy.__dict__.update(super().rows(index).__dict__)
        return copy


@dataclass(frozen=True, slots=True)
class _Layer:
    qkv: Linear
    out: Linear
    up: Linear
    up_bias: Tensor
    down: Linear
    down_bias: Tensor


@dataclass(frozen=True, slots=True)
class _Norm:
    """A modulated layer norm, and the gate of what comes after it: weight, shift, gate [D] or [B, 1, D]."""

    weight: Tensor
    shift: Tensor | None
    gate: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        width = x.shape[-1:]
        if self.weight.ndim == 1:
            return F.layer_norm(x, width, self.weight, self.shift, EPS)
        normed = F.layer_norm(x, width, None, None, EPS) * self.weight
        return normed if self.shift is None else normed + self.shift

    def add(self, x: Tensor, branch: Tensor) -> Tensor:
        """x + gate · branch."""
        return x + branch if self.gate is None else torch.addcmul(x, self.gate, branch)


@dataclass(frozen=True, slots=True)
class _Modulation:
    """The norms before attention and before the MLP of every layer, and the last one."""

    blocks: list[list[_Norm]]
    last: _Norm


class DiTDenoiser:
    """Speaks `Denoiser`. Takes the weights of a network; the constant modulation is folded into its layer norms.

    A network with time conditioning is told σ = −ln(1 − share of masks in the block).
    """

    def __init__(
        self,
        network: DiT,
        *,
        end: int,
        banned: tuple[int, ...] = (),
        inner: tuple[int, ...] = (),
        exact: bool = False,
        dtype: torch.dtype = torch.float32,
        packed: bool = False,
        device: torch.device | None = None,
    ) -> None:
        """exact: see WindowCache. dtype is that of the activations; packed weights take 16 bits (see `Linear`)."""
        self.config, self.exact, self.dtype, self.packed = network.config, exact, dtype, packed
        self.device = device or torch.device("cpu")
        config = self.config
        self.facts = Facts(
            vocabulary=config.vocab_size - 1,
            mask=config.mask,
            end=end,
            banned=(*banned, config.mask),
            causal=config.causal,
            block_sizes=tuple(size for size in BLOCK_SIZES if size <= config.block_size),
            context=config.model_length,
            slides=True,
            rereads=self._whole_row,
            inner=inner,
        )
        unembedding = self._cast(network.output_layer.linear.weight)
        self._embedding = network.vocab_embed.embedding.detach().to(self.device)
        self._unembedding = Linear(unembedding, packed=packed)
        self._output_rows = unembedding.bfloat16() if packed else unembedding
        self._output_bias = network.output_layer.linear.bias.detach().to(self.device, torch.float32)
        self._layers = [self._layer(block) for block in network.blocks]
        self._network = network if config.time_conditioning else None
        self._constant = None if config.time_conditioning else self._modulation(network, None)
        self._frequencies = network.rotary_emb.inv_freq.to(self.device, torch.float64)

    # ------------------------------------------------------------------------------------------------ the protocol

    def relaxed(self) -> DiTDenoiser:
        """Itself: it has no faster form."""
        return self

    def new_cache(self, batch: int) -> WindowCache:
        """An empty window for `batch` texts."""
        dtype = torch.bfloat16 if self.packed else self.dtype
        return WindowCache(self.config, batch, exact=self.exact, dtype=dtype, device=self.device)

    def room(self, cache: BlockCache) -> int:
        """Slots until the network's own block is full."""
        return self.config.block_size - cache.pending

    def commit(self, tokens: Tensor, cache: BlockCache, *, last_only: bool = False) -> Tensor:
        """Clean tokens [B, n] are decided; whole blocks of them are read into the cache, the rest is pending.

        Returns next-token logits [B, m, V] where the network is causal; m = 0 where it is not.
        """
        window = _own(cache)
        tokens = torch.cat([window.unread(), tokens], dim=1)
        if self._whole_row:
            self._slide(tokens, window)
            return self._output_bias.new_empty(len(tokens), 0, len(self._output_bias))
        whole = tokens.shape[1] - tokens.shape[1] % window.block
        features = self._read(tokens[:, :whole], window)
        window.hold(tokens[:, whole:])
        if not self.config.causal:
            features = features[:, :0]
        return self.logits(features[:, -1:] if last_only else features)

    def denoise(self, block: Tensor, cache: BlockCache, *, open_end: bool = False) -> Tensor:
        """Features [B, n, D] of the next n slots of a block; the slots after them, up to L', are masked.

        Raises ValueError where they do not fit into the block.
        """
        window = _own(cache)
        known, n, slots = window.pending, block.shape[1], window.block
        if known + n > slots:
            raise ValueError(f"{n} slots do not fit: {known} of the block's {slots} are decided.")
        rest = block.new_full((len(block), slots - known - n), self.config.mask)
        noisy = torch.cat([window.unread(), block, rest], dim=1)
        return self._forward(noisy, window)[:, known : known + n]

    def logits(self, features: Tensor) -> Tensor:
        """The network's logits [..., V] in float32; that of the mask token is among them."""
        logits: Tensor = self._unembedding(features).float() + self._output_bias
        return logits

    def guesses(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Of all tokens."""
        logits = self.logits(features)
        return logits, torch.arange(logits.shape[-1], device=logits.device)

    def chain(self, features: Tensor, left: Tensor, candidates: Tensor) -> Tensor:
        """Logits [B, K] of candidate tokens; this network has no correction for the token to the left."""
        rows = self._output_rows[candidates].to(self.dtype)
        return torch.bmm(rows, features[..., None])[..., 0].float() + self._output_bias[candidates]

    # ------------------------------------------------------------------------------------------------ the window

    @property
    def _whole_row(self) -> bool:
        return self.config.block_size == self.config.model_length and not self.config.causal

    def _read(self, tokens: Tensor, cache: WindowCache) -> Tensor:
        """Reads whole blocks [B, n] into the window; features [B, n, D]."""
        keep = cache.window - (0 if self.config.causal else cache.block)  # the features of a causal window are wanted
        count = tokens.shape[1]
        if cache.exact and cache.size + count - cache.start > keep:
            tokens = torch.cat([cache.recent(min(keep, cache.size - cache.start)), tokens], dim=1)
            skipped = max(0, tokens.shape[1] - keep)
            cache.restart(cache.size + count - tokens.shape[1] + skipped)
            tokens = tokens[:, skipped:]
        parts, at = [tokens.new_empty(len(tokens), 0, self.config.hidden_dim, dtype=self.dtype)], 0
        while at < tokens.shape[1]:
            room = max(cache.block, cache.window - (cache.size - cache.start))  # past the window one block at a time
            chunk = tokens[:, at : at + room]
            parts.append(self._forward(chunk, cache))
            cache.extend(chunk)
            at += chunk.shape[1]
        return torch.cat(parts, dim=1)[:, -count:] if count else parts[0]

    def _slide(self, tokens: Tensor, cache: WindowCache) -> None:
        """Where the row is one block its clean tokens wait in it; a full row goes on with its second half (MDLM)."""
        if tokens.shape[1] >= cache.window:
            gone = tokens.shape[1] - cache.window // 2
            cache.restart(cache.size + gone)
            tokens = tokens[:, gone:]
        cache.hold(tokens)

    def _bias(self, cache: WindowCache, n: int) -> Tensor:
        """What n tokens from `cache.size` on read: additive [B or 1, 1, n or 1, T], T the columns in use."""
        end = cache.size + n
        columns = torch.arange(min(end - cache.start, cache.window), device=self.device)
        held = end - 1 - (end - 1 - cache.start - columns) % cache.window  # position of the token in each column
        visible = (held >= cache.first)[None, None]
        if n > cache.block:  # several blocks of clean text
            rows = torch.arange(cache.size, end, device=self.device)
            visible = visible & (held // cache.block <= (rows // cache.block)[:, None])
        if cache.padding is not None:
            visible = visible & (held >= cache.padding[:, None, None])
        hidden = torch.finfo(cache.dtype).min  # not −∞: a padded row sees nothing at all, and must not become nan
        return torch.zeros(visible.shape, dtype=cache.dtype, device=self.device).masked_fill_(~visible, hidden)[:, None]

    # ----------------------------------------------------------------------------------------------- the network

    def _forward(self, tokens: Tensor, cache: WindowCache) -> Tensor:
        """Features [B, n, D] of tokens [B, n] that follow the window; their keys and values go to the next columns."""
        config = self.config
        batch, n = tokens.shape
        bias = self._bias(cache, n)
        used = bias.shape[-1]
        cache.reserve(used)
        cos, sin = self._rotary(cache.size, n)
        norms = self._norms(tokens)
        x = F.embedding(tokens, self._embedding).to(self.dtype)
        for number, (layer, (before, between)) in enumerate(zip(self._layers, norms.blocks, strict=True)):
            qkv = layer.qkv(before(x)).view(batch, n, 3, config.n_heads, config.head_dim)
            qk, values = qkv[:, :, :2], qkv[:, :, 2]
            queries, keys = torch.addcmul(qk * cos, qk.roll(config.head_dim // 2, -1), sin).unbind(2)
            x = before.add(x, layer.out(attend(queries, *cache.see(number, keys, values, used), bias)))
            h = F.gelu(layer.up(between(x)) + layer.up_bias, approximate="tanh")
            x = between.add(x, layer.down(h) + layer.down_bias)
        return norms.last(x)

    def _norms(self, tokens: Tensor) -> _Modulation:
        if self._constant is not None:
            return self._constant
        assert self._network is not None
        share = (tokens == self.config.mask).float().mean(1)
        return self._modulation(self._network, noise.sigma(share))

    def _rotary(self, position: int, n: int) -> tuple[Tensor, Tensor]:
        """cos and sin [n, 2, 1, d] for queries, which come out scaled, and keys: x·cos + roll(x)·sin turns both."""
        positions = torch.arange(position, position + n, dtype=torch.float64, device=self.device)
        angle = torch.outer(positions, self._frequencies)
        cos = torch.cat([angle.cos(), angle.cos()], dim=1)
        sin = torch.cat([-angle.sin(), angle.sin()], dim=1)
        scale = self.config.head_dim**-0.5
        both = torch.stack([torch.stack([scale * t, t], dim=1) for t in (cos, sin)])[:, :, :, None].to(self.dtype)
        return both[0], both[1]

    @torch.no_grad()
    def _modulation(self, network: DiT, sigma: Tensor | None) -> _Modulation:
        """The layer norms at a noise level [B], or at the constant one."""
        condition = network.condition(sigma)
        if condition is not None and sigma is None:
            condition = condition[0, 0]  # [C]

        def norms(module: nn.Module, *names: str) -> list[_Norm]:
            weights = [module.get_parameter(f"{name}.weight") for name in names]
            if condition is None:
                return [_Norm(self._cast(weight), None, None) for weight in weights]
            parts = module.get_submodule("adaLN_modulation")(condition)  # per norm a shift, a scale and perhaps a gate
            modulated = []
            for weight, part in zip(weights, parts.chunk(len(names), dim=-1), strict=True):
                shift, scale, *gate = (self._cast(t) for t in part.split(len(weight), dim=-1))
                modulated.append(_Norm(self._cast(weight) * (1 + scale), shift, gate[0] if gate else None))
            return modulated

        return _Modulation(
            [norms(block, "norm1", "norm2") for block in network.blocks], *norms(network.output_layer, "norm_final")
        )

    def _layer(self, block: nn.Module) -> _Layer:
        def linear(name: str) -> Linear:
            return Linear(self._cast(block.get_parameter(f"{name}.weight")), packed=self.packed)

        up_bias, down_bias = (self._cast(block.get_parameter(f"mlp.{i}.bias")) for i in (0, 2))
        return _Layer(linear("attn_qkv"), linear("attn_out"), linear("mlp.0"), up_bias, linear("mlp.2"), down_bias)

    def _cast(self, tensor: Tensor) -> Tensor:
        return tensor.detach().to(device=self.device, dtype=self.dtype).contiguous()


def _own(cache: BlockCache) -> WindowCache:
    if not isinstance(cache, WindowCache):
        raise TypeError("This cache belongs to another network; take one from new_cache.")
    return cache
