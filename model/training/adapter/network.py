"""A frozen network of the Llama family that is trained through: clean text read once, then noisy copies with low-rank
weights.

The same function as `model.backbones.llama.Llama` with an adapter (its twin in the tests), for training: many blocks of
one text in one pass, and gradients for the adapter alone. T clean tokens, N noisy inputs, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model.backbones.llama import LlamaConfig, check_weights, layers_of
from model.training.adapter.blocks import Copy
from model.training.adapter.products import Slice, attention, gated, low_rank, norm, read_slice, turn

SLICE = 96
"""Inputs that attend together: fewer hide more, but make more and smaller products."""


@dataclass(frozen=True, slots=True)
class Clean:
    """A text as the frozen weights read it: rotated keys and values [heads, T, d] of every layer, features [T, D]."""

    keys: list[Tensor]
    values: list[Tensor]
    features: Tensor


@dataclass(frozen=True, slots=True)
class _Layer:
    """bias [qkv] and head_norms [heads + kv_heads, d] are None where the network has none."""

    before_attention: Tensor
    before_mlp: Tensor
    qkv: Tensor
    o: Tensor
    gate_up: Tensor
    down: Tensor
    bias: Tensor | None
    head_norms: Tensor | None


class FrozenLlama:
    """Weights under the published names. dtype: of the weights and products; sums and the residual are in float32."""

    def __init__(self, config: LlamaConfig, weights: Mapping[str, Tensor], dtype: torch.dtype, length: int) -> None:
        """length: positions that can occur. Raises WrongWeights."""
        check_weights(config, weights)
        self.config, self.dtype = config, dtype
        self.embedding = weights["model.embed_tokens.weight"].to(dtype)
        self.unembedding = weights.get("lm_head.weight", weights["model.embed_tokens.weight"]).to(dtype)
        self._final = weights["model.norm.weight"].to(dtype)
        self._layers = [self._layer(weights, f"model.layers.{i}") for i in range(config.num_hidden_layers)]
        self._cos, self._sin = (table.to(dtype) for table in _rotary(config, length))

    @torch.no_grad()
    def read(self, tokens: Tensor) -> Clean:
        """A text [T], causally."""
        c, n = self.config, len(tokens)
        x = self.embedding[tokens].float()
        keys, values = [], []
        biases: list[Slice] = []
        for start in range(0, n, SLICE):
            rows = torch.arange(start, min(start + SLICE, n))
            visible = torch.arange(start + len(rows)) <= rows[:, None]
            biases.append(Slice(slice(start, start + len(rows)), start, visible, self._groups, self.dtype))
        for layer in self._layers:
            qkv = self._heads(norm(x, layer.before_attention, c.rms_norm_eps) @ layer.qkv.T, layer)
            qkv = turn(qkv, self._cos[:n], self._sin[:n])
            mine = qkv[:, c.num_attention_heads :].transpose(0, 1).contiguous()
            keys.append(mine[: c.num_key_value_heads])
            values.append(mine[c.num_key_value_heads :])
            heads = [read_slice(qkv, keys[-1], values[-1], part, c.num_key_value_heads)[0] for part in biases]
            x = x + torch.cat(heads) @ layer.o.T
            x = x + gated(norm(x, layer.before_mlp, c.rms_norm_eps) @ layer.gate_up.T) @ layer.down.T
        return Clean(keys, values, norm(x, self._final, c.rms_norm_eps))

    def denoise(self, copies: Sequence[Copy], clean: Clean, adapter: Mapping[str, Tensor], scale: float) -> Tensor:
        """Features [N, D] of all inputs of the copies, one copy after the other. adapter: as in its file, float32; the
        inputs go through those layers that it has weights for."""
        c = self.config
        inputs = torch.cat([copy.inputs.flatten() for copy in copies])
        positions = torch.cat([copy.positions.flatten() for copy in copies])
        slices = self._slices(copies)
        cos, sin = self._cos[positions], self._sin[positions]
        hidden = (inputs == c.vocab_size)[:, None]
        known = self.embedding[inputs.clamp(max=c.vocab_size - 1)].float()
        x = torch.where(hidden, adapter["mask_embedding"], known)
        for i in layers_of(adapter):
            layer = self._layers[i]

            def product(x: Tensor, weight: Tensor, name: str, i: int = i) -> Tensor:
                name = f"layers.{i}.{name}"
                return low_rank(x, weight, adapter[f"{name}.A"], adapter[f"{name}.B"], scale)

            qkv = product(norm(x, layer.before_attention, c.rms_norm_eps), layer.qkv, "qkv")
            qkv = turn(self._heads(qkv, layer), cos, sin)
            heads = attention(qkv, clean.keys[i], clean.values[i], slices, c.num_key_value_heads)
            x = x + product(heads, layer.o, "o")
            both = product(norm(x, layer.before_mlp, c.rms_norm_eps), layer.gate_up, "gate_up")
            x = x + product(gated(both), layer.down, "down")
        return norm(x, self._final, c.rms_norm_eps)

    def told(self, features: Tensor, left: Tensor, head: Mapping[str, Tensor]) -> Tensor:
        """Features [m, D] corrected by the sampler head for the tokens at their left [m]; head: as in its file."""
        known = self.embedding[left].float()
        known = F.rms_norm(known, known.shape[-1:], None, self.config.rms_norm_eps)
        low = {name: tensor.to(self.dtype) for name, tensor in head.items()}
        both = torch.cat([features, known.to(self.dtype)], dim=-1)
        inner = F.silu(F.linear(both, low["W1.weight"], low["W1.bias"]))
        return features + F.linear(inner, low["W2.weight"], low["W2.bias"])

    def logits(self, features: Tensor) -> Tensor:
        """[..., V] in the network's dtype."""
        return features @ self.unembedding.T

    @property
    def _groups(self) -> int:
        return self.config.num_attention_heads // self.config.num_key_value_heads

    def _slices(self, copies: Sequence[Copy]) -> list[Slice]:
        """Each reads the clean columns before the token before its blocks, and its blocks read themselves."""
        found, first = [], 0
        for copy in copies:
            wide, step = copy.size + 1, max(SLICE // (copy.size + 1), 1)
            for at in range(0, len(copy.starts), step):
                starts = copy.starts[at : at + step]
                block = torch.arange(len(starts)).repeat_interleave(wide)
                columns = int(starts[-1]) - 1
                past = torch.arange(columns) < (starts - 1)[block][:, None]
                visible = torch.cat([past, block[:, None] == block], dim=1)
                rows = slice(first, first + len(block))
                found.append(Slice(rows, columns, visible, self._groups, self.dtype))
                first += len(block)
        return found

    def _heads(self, qkv: Tensor, layer: _Layer) -> Tensor:
        """[N, qkv] → [N, heads + 2·kv_heads, d], biased and normed where the network does that."""
        c = self.config
        qkv = (qkv if layer.bias is None else qkv + layer.bias).view(len(qkv), -1, c.head_dim)
        if layer.head_norms is None:
            return qkv
        turned = len(layer.head_norms)
        return torch.cat([norm(qkv[:, :turned].float(), layer.head_norms, c.rms_norm_eps), qkv[:, turned:]], dim=1)

    def _layer(self, weights: Mapping[str, Tensor], prefix: str) -> _Layer:
        c, attention = self.config, ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")

        def fused(*names: str, kind: str = "weight") -> Tensor:
            return torch.cat([weights[f"{prefix}.{name}.{kind}"] for name in names]).to(self.dtype)

        def each(name: str, heads: int) -> Tensor:
            return fused(name).expand(heads, -1)

        norms = None
        if c.qk_norm:
            queries = each("self_attn.q_norm", c.num_attention_heads)
            norms = torch.cat([queries, each("self_attn.k_norm", c.num_key_value_heads)])
        return _Layer(
            before_attention=fused("input_layernorm"),
            before_mlp=fused("post_attention_layernorm"),
            qkv=fused(*attention),
            o=fused("self_attn.o_proj"),
            gate_up=fused("mlp.gate_proj", "mlp.up_proj"),
            down=fused("mlp.down_proj"),
            bias=fused(*attention, kind="bias") if c.qkv_bias else None,
            head_norms=norms,
        )


def _rotary(config: LlamaConfig, length: int) -> tuple[Tensor, Tensor]:
    """cos and sin [length, heads + 2·kv_heads, d] for `turn`: queries are rotated and scaled by d^−½, keys rotated,
    values left as they are."""
    d, heads, kv_heads = config.head_dim, config.num_attention_heads, config.num_key_value_heads
    frequency = config.rope_theta ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angle = torch.outer(torch.arange(length, dtype=torch.float64), frequency)
    cos = torch.cat([angle.cos(), angle.cos()], dim=1)[:, None]
    sin = torch.cat([-angle.sin(), angle.sin()], dim=1)[:, None]
    scale = torch.tensor([d**-0.5] * heads + [1.0] * kv_heads, dtype=torch.float64)[:, None]
    ones = torch.ones(length, kv_heads, d, dtype=torch.float64)
    return torch.cat([cos * scale, ones], dim=1), torch.cat([sin * scale, 0 * ones], dim=1)
