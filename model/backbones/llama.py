"""The Llama family (Llama, SmolLM, Qwen 2 and 3) as a block diffusion model: frozen causal weights, and a block adapter
where there is one.

Clean text is read by the frozen weights, causally: block size 1 and the cache are exactly the base model. Noisy
positions are read by the adapted weights W + scale·B·A, in both directions, by all layers or some, and keep the
one-position shift: the features of slot j are read at the position before it. At load the adapter is merged into a
second set of weights, or kept beside the first where kernels were compiled.

Knows nothing of text, sampling or files.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from model.attention import as_bias, block_mask, causal_mask
from model.backbones.fit import check_fit
from model.backbones.llama_compiled import ByRows, adapted_layers, compiled_layers, compiled_product
from model.backbones.llama_layers import Correction, Layer, LayerPairs, Layers, LayerShape, LayerWeights, RmsNorm
from model.compiled.kernels import CompiledLayers, CompiledProduct, Kernels
from model.denoiser import PROPOSALS, ROOM, BlockCache, Facts
from model.linear import Linear, has_fbgemm
from model.scripting import scripted

COMPILED_PROPOSALS = 2
"""Compiled kernels have made a row that is read exactly dear beside the weights: with 3 "exact" is a sixth slower."""

Network = nn.Module | CompiledLayers | ByRows
"""Layers over a cache."""

Output = Linear | CompiledProduct
"""Features → logits."""


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """Shape of the network, under the names of the published config.json, and what its kinds differ in.

    qkv_bias  queries, keys and values have a bias (Qwen 2).
    qk_norm   every query and key is normed before it is turned (Qwen 3).
    """

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    rope_theta: float
    rms_norm_eps: float
    max_position_embeddings: int
    qkv_bias: bool = False
    qk_norm: bool = False

    @property
    def query_width(self) -> int:
        """Numbers in the queries of a token."""
        return self.num_attention_heads * self.head_dim

    @property
    def key_width(self) -> int:
        """Numbers in the keys of a token, and in its values."""
        return self.num_key_value_heads * self.head_dim


@dataclass(frozen=True, slots=True)
class Adapter:
    """A block adapter: low-rank pairs by name ("layers.3.qkv" → A [r, in], B [out, r]) and the mask embedding [D].

    Noisy positions go through the layers that it has pairs for, and past the others.

    common  the tokens [P] that are proposed where proposals are checked; None: all.
    """

    pairs: Mapping[str, tuple[Tensor, Tensor]]
    mask_embedding: Tensor
    scale: float
    common: Tensor | None = None


@dataclass(frozen=True, slots=True)
class SamplerHead:
    """Corrects the features of a slot for the token chosen to its left: W1 [2D, 2D], W2 [D, 2D], with biases."""

    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor


class Llama:
    """Speaks `Denoiser`. Weights are under the published names (`model.layers.0.self_attn.q_proj.weight`, …)."""

    def __init__(
        self,
        config: LlamaConfig,
        weights: Mapping[str, Tensor],
        *,
        end: int,
        banned: tuple[int, ...] = (),
        inner: tuple[int, ...] = (),
        block_sizes: tuple[int, ...] = (1,),
        adapter: Adapter | None = None,
        head: SamplerHead | None = None,
        dtype: torch.dtype = torch.float32,
        packed: bool = False,
        device: torch.device | None = None,
        kernels: Kernels | None = None,
    ) -> None:
        """dtype is that of the activations; packed weights take 16 bits and are used by a CPU only (see `Linear`).
        kernels: multiply few rows where weights are packed and were published on levels."""
        self.config, self.dtype, self.packed = config, dtype, packed
        self.device = device or torch.device("cpu")
        check_weights(config, weights)
        # First, because making them takes more memory than they keep, which is free for the weights then.
        self._turns = rotary_table(config).to(self.device)
        self.facts = Facts(
            vocabulary=config.vocab_size,
            mask=config.vocab_size,
            end=end,
            banned=banned,
            inner=inner,
            causal=True,
            block_sizes=block_sizes if adapter is not None else (1,),
            context=config.max_position_embeddings,
        )
        embedding = weights["model.embed_tokens.weight"].to(self.device)
        mask_row = torch.zeros_like(embedding[0]) if adapter is None else adapter.mask_embedding.to(embedding)
        self._embedding = torch.cat([embedding, mask_row[None]])  # [V + 1, D] as stored; the last row is the mask token
        self._output_rows = (
            weights["lm_head.weight"].to(self.device) if "lm_head.weight" in weights else self._embedding
        )
        self._kernels = kernels if packed and self.device.type == "cpu" else None
        every_row = self._output_rows[: config.vocab_size]
        self._unembedding = self._output(every_row, rough=False)
        every = torch.arange(config.vocab_size)
        common = every if adapter is None or adapter.common is None else adapter.common.long()
        self._common = common.to(self.device)
        self._common_output = self._unembedding
        if len(common) < config.vocab_size:
            self._common_output = self._output(self._output_rows[self._common], rough=True)
        rough_output: Output | None = None  # made now, while the layers do not take their memory yet
        if isinstance(self._unembedding, CompiledProduct):
            rough_output = self._unembedding.rounded()
        elif packed and has_fbgemm():
            rough_output = self._output(every_row, rough=True)
        self._clean = self._network(weights, None, rough=False)
        self._noisy = self._clean if adapter is None else self._adapted(weights, adapter)
        self._noisy_layers = range(config.num_hidden_layers) if adapter is None else layers_of(adapter.pairs)
        if isinstance(self._clean, ByRows):
            self._clean.few.choose_asking()
            self.facts = replace(self.facts, proposals=COMPILED_PROPOSALS)
        self._head = None if head is None else self._correction(head)
        self._relaxed = self if rough_output is None else self._rounded(weights, rough_output)

    # ------------------------------------------------------------------------------------------------ the protocol

    def relaxed(self) -> Llama:
        """With an output in int8 where this machine has such products, and clean weights, too, unless those are in 4
        bits already: KL .01 and .02 nats a token from the law."""
        return self._relaxed

    def new_cache(self, batch: int) -> BlockCache:
        """An empty cache for `batch` texts."""
        return BlockCache(
            layers=self.config.num_hidden_layers,
            batch=batch,
            heads=self.config.num_key_value_heads,
            width=self.config.head_dim,
            limit=self.config.max_position_embeddings,
            dtype=torch.bfloat16 if self.packed else self.dtype,
            device=self.device,
        )

    def room(self, cache: BlockCache) -> int:
        """A block may begin anywhere; the positions past the context bound its length."""
        return ROOM - 1

    def commit(self, tokens: Tensor, cache: BlockCache, *, last_only: bool = False) -> Tensor:
        """Reads the pending token and tokens [B, n] causally into the cache; returns their next-token logits."""
        if cache.pending:
            tokens = torch.cat([cache.tokens[:, cache.size : cache.size + 1], tokens], dim=1)
        n = tokens.shape[1]
        cache.reserve(cache.size + n)
        mask = causal_mask(cache.size, n, cache.capacity, self.device)
        x = self._forward(self._clean, tokens, cache.size, mask, cache, cache.layers)
        cache.extend(tokens)
        return self.logits(x[:, -1:] if last_only else x)

    def denoise(self, block: Tensor, cache: BlockCache, *, open_end: bool = False) -> Tensor:
        """Features [B, L', D] of the slots of a block [B, L'] that may hold the mask token. The cache stays.

        Each is read at the position before its slot, so that the last slot's own is seen by others, but not read: with
        an open end it is left out. Of what the default model proposes as many pass (2.85 tokens a cycle either way).
        """
        if cache.decided == 0:
            raise ValueError("A shifted network needs one decided token before a block.")
        first = cache.decided - 1  # position of the last decided token, which predicts slot 0
        count = block.shape[1]
        noisy = torch.cat([cache.tokens[:, first : first + 1], block[:, : count - open_end]], dim=1)
        n = noisy.shape[1]
        cache.reserve(cache.size, scratch=n)
        mask = block_mask(first, cache.size, n, cache.capacity, self.device)
        stores = [cache.layers[layer] for layer in self._noisy_layers]
        return self._forward(self._noisy, noisy, first, mask, cache, stores)[:, :count]

    def logits(self, features: Tensor) -> Tensor:
        """Logits [..., V] in float32."""
        logits: Tensor = self._unembedding(features).float()
        return logits

    def guesses(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [..., P] in float32 of the adapter's common tokens [P]."""
        return self._common_output(features).float(), self._common

    def chain(self, features: Tensor, left: Tensor, candidates: Tensor) -> Tensor:
        """Logits [B, K] of candidate tokens, corrected for the token to the left where there is a sampler head."""
        if self._head is not None:
            features = self._head(features, self._embedding[left].to(self.dtype))
        return torch.bmm(self._output_rows[candidates].to(self.dtype), features[..., None])[..., 0].float()

    # ------------------------------------------------------------------------------------------------- the network

    def _forward(
        self, layers: Network, tokens: Tensor, position: int, mask: Tensor, cache: BlockCache, stores: list[Tensor]
    ) -> Tensor:
        """Features [B, n, D] of tokens [B, n] from `position` on; their keys and values go to scratch columns of the
        layers' stores."""
        c = self.config
        bias = as_bias(mask, cache.padding, c.num_attention_heads // c.num_key_value_heads, cache.dtype)
        turns = head_turns(c, self._turns[position : position + tokens.shape[1]])
        x: Tensor = layers(self._embedding[tokens].to(self.dtype), turns, bias, stores, cache.size)
        return x

    def _rounded(self, weights: Mapping[str, Tensor], output: Output) -> Llama:
        """A network that shares everything with this one but its output, and its clean weights where int8 is faster."""
        twin = copy.copy(self)
        if isinstance(self._clean, ByRows):
            twin._clean, twin.facts = self._clean.rounded(), replace(self.facts, proposals=PROPOSALS)
        elif not self._in_four_bits:
            twin._clean = self._network(weights, None, rough=True)
        twin._unembedding = output
        if twin._common_output is self._unembedding:
            twin._common_output = output
        twin._relaxed = twin
        return twin

    def _scripted(self, module: nn.Module) -> nn.Module:
        """Without Python between the operations, where they are fast enough for it to count."""
        return scripted(module) if self.packed else module

    def _output(self, rows: Tensor, *, rough: bool) -> Output:
        """Unembedding with rows [V', D]."""
        if self._kernels is not None and (made := compiled_product(self._kernels, rows, rough=rough)) is not None:
            return made
        return Linear(self._cast(rows), packed=self.packed, rough=rough)

    def _network(self, weights: Mapping[str, Tensor], adapter: Adapter | None, *, rough: bool) -> Network:
        """All layers, or with an adapter merged in those that it is for."""
        numbers = range(self.config.num_hidden_layers) if adapter is None else layers_of(adapter.pairs)

        def each() -> Iterator[LayerWeights]:  # anew for every form, so that they are never there all at once
            return (layer_weights(self.config, weights, i, adapter) for i in numbers)

        norm, few = weights["model.norm.weight"], None
        if self._kernels is not None and not rough:
            few = compiled_layers(self._kernels, self._shape, each(), norm)
        layers = Layers([self._layer(layer, rough, few is None) for layer in each()], self._norm(norm))
        if not rough:
            products = [part for part in layers.modules() if isinstance(part, Linear)]
            self._in_four_bits = few is not None or all(part.four is not None for part in products)
        return self._scripted(layers) if few is None else ByRows(few, layers)

    def _adapted(self, weights: Mapping[str, Tensor], adapter: Adapter) -> Network:
        """The adapter's layers with it: merged in, or beside the compiled ones."""
        if self._kernels is None or not isinstance(self._clean, ByRows):
            return self._network(weights, adapter, rough=True)
        pairs = {layer: layer_pairs(self.config, adapter, layer) for layer in layers_of(adapter.pairs)}
        return adapted_layers(self._kernels, self._clean.few, pairs)

    def _correction(self, head: SamplerHead) -> nn.Module:
        first, second = self._output(head.w1, rough=True), self._output(head.w2, rough=True)
        made = Correction(first, self._cast(head.b1), second, self._cast(head.b2), self.config.rms_norm_eps)
        return made if isinstance(first, CompiledProduct) else self._scripted(made)

    @property
    def _shape(self) -> LayerShape:
        c = self.config
        return LayerShape(c.num_attention_heads, c.num_key_value_heads, c.head_dim, c.rms_norm_eps)

    def _layer(self, weights: LayerWeights, rough: bool, few: bool) -> Layer:
        qkv, out, gate_up, down = (
            Linear(self._cast(weight), packed=self.packed, rough=rough, few=few)
            for weight in (weights.qkv, weights.out, weights.gate_up, weights.down)
        )
        return Layer(
            before_attention=self._norm(weights.before_attention),
            before_mlp=self._norm(weights.before_mlp),
            qkv=qkv,
            out=out,
            gate_up=gate_up,
            down=down,
            shape=self._shape,
            qkv_bias=None if weights.qkv_bias is None else weights.qkv_bias.to(self.device),
            qk_norm=None if weights.qk_norm is None else self._norm(weights.qk_norm),
        )

    def _norm(self, weight: Tensor) -> RmsNorm:
        return RmsNorm(weight.to(self.device), self.config.rms_norm_eps)

    def _cast(self, tensor: Tensor) -> Tensor:
        return tensor.to(device=self.device, dtype=self.dtype).contiguous()


def layer_weights(
    config: LlamaConfig, weights: Mapping[str, Tensor], index: int, adapter: Adapter | None
) -> LayerWeights:
    """Those of a layer, fused, in the order of `in_pairs`, with an adapter merged in; float32."""
    c, prefix = config, f"model.layers.{index}"
    attention = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]
    bias = None

    def fused(name: str, parts: list[str]) -> Tensor:
        weight = torch.cat([weights[f"{prefix}.{part}.weight"] for part in parts]).float()
        if adapter is not None:
            a, b = adapter.pairs[f"layers.{index}.{name}"]
            weight = weight + adapter.scale * (b.float() @ a.float())
        return weight

    if c.qkv_bias:
        column = torch.cat([weights[f"{prefix}.{part}.bias"] for part in attention])[:, None]
        bias = in_order(c, column.float()).flatten()
    return LayerWeights(
        before_attention=weights[f"{prefix}.input_layernorm.weight"],
        before_mlp=weights[f"{prefix}.post_attention_layernorm.weight"],
        qkv=in_order(c, fused("qkv", attention)),
        out=fused("o", ["self_attn.o_proj"]),
        gate_up=fused("gate_up", ["mlp.gate_proj", "mlp.up_proj"]),
        down=fused("down", ["mlp.down_proj"]),
        qkv_bias=bias,
        qk_norm=head_norms(c, weights, f"{prefix}.self_attn") if c.qk_norm else None,
    )


def layers_of(names: Iterable[str]) -> tuple[int, ...]:
    """The numbers in names like "layers.3.qkv", in order: the layers that an adapter has weights for."""
    numbers = (name.split(".")[1] for name in names if name.startswith("layers."))
    return tuple(sorted({int(number) for number in numbers if number.isdecimal()}))


def layer_pairs(config: LlamaConfig, adapter: Adapter, index: int) -> LayerPairs:
    """What the adapter adds to a layer, for weights in the order that `layer_weights` gives them."""
    qkv, out, gate_up, down = (
        (a.float(), adapter.scale * b.float())
        for a, b in (adapter.pairs[f"layers.{index}.{name}"] for name in projections(config))
    )
    return LayerPairs((qkv[0], in_order(config, qkv[1])), out, gate_up, down)


def in_order(config: LlamaConfig, qkv: Tensor) -> Tensor:
    """Rows of queries, keys and values, the former two in the order of `in_pairs`."""
    q, k, v = torch.split(qkv, [config.query_width, config.key_width, config.key_width])
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    return torch.cat([in_pairs(q, heads), in_pairs(k, kv_heads), v])


def rotary_table(config: LlamaConfig) -> Tensor:
    """Turns [context + a block, head_dim/2] of every position, complex."""
    d = config.head_dim
    frequency = config.rope_theta ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angle = torch.outer(torch.arange(config.max_position_embeddings + ROOM, dtype=torch.float64), frequency)
    return torch.polar(torch.ones_like(angle), angle).to(torch.complex64)


def head_turns(config: LlamaConfig, turns: Tensor) -> Tensor:
    """Turns [n, d/2] of n positions → [n, heads + 2·kv_heads, d/2]: one product treats q, k and v at once.

    Queries come out rotated and scaled by head_dim^−½, keys rotated, values as they were.
    """
    n, half = turns.shape
    queries = (turns * config.head_dim**-0.5)[:, None].expand(n, config.num_attention_heads, half)
    keys = turns[:, None].expand(n, config.num_key_value_heads, half)
    return torch.cat([queries, keys, torch.ones_like(keys)], dim=1)


def head_norms(config: LlamaConfig, weights: Mapping[str, Tensor], prefix: str) -> Tensor:
    """Weights [heads + kv_heads, d] of the norm of every query and key, in the order of `in_pairs`."""
    counts = {"q_norm": config.num_attention_heads, "k_norm": config.num_key_value_heads}
    rows = (in_pairs(weights[f"{prefix}.{name}.weight"][:, None], 1).T.expand(n, -1) for name, n in counts.items())
    return torch.cat(list(rows))


def in_pairs(rows: Tensor, heads: int) -> Tensor:
    """Rows [heads·d, in] of queries or keys in the order that `view_as_complex` needs.

    Published weights rotate dimension i with i + d/2; here both stand side by side. Products of queries with keys do
    not change.
    """
    width = rows.shape[-1]
    return rows.view(heads, 2, -1, width).transpose(1, 2).reshape(-1, width)


def weight_shapes(config: LlamaConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor a checkpoint must hold. `lm_head.weight` may come in addition; without it the embedding is tied."""
    width, q_width, kv_width = config.hidden_size, config.query_width, config.key_width
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config.vocab_size, width),
        "model.norm.weight": (width,),
    }
    for i in range(config.num_hidden_layers):
        prefix = f"model.layers.{i}"
        shapes |= {
            f"{prefix}.input_layernorm.weight": (width,),
            f"{prefix}.post_attention_layernorm.weight": (width,),
            f"{prefix}.self_attn.q_proj.weight": (q_width, width),
            f"{prefix}.self_attn.k_proj.weight": (kv_width, width),
            f"{prefix}.self_attn.v_proj.weight": (kv_width, width),
            f"{prefix}.self_attn.o_proj.weight": (width, q_width),
            f"{prefix}.mlp.gate_proj.weight": (config.intermediate_size, width),
            f"{prefix}.mlp.up_proj.weight": (config.intermediate_size, width),
            f"{prefix}.mlp.down_proj.weight": (width, config.intermediate_size),
        }
        if config.qkv_bias:
            biases = {"q_proj": q_width, "k_proj": kv_width, "v_proj": kv_width}
            shapes |= {f"{prefix}.self_attn.{name}.bias": (out,) for name, out in biases.items()}
        if config.qk_norm:
            shapes |= {f"{prefix}.self_attn.{name}.weight": (config.head_dim,) for name in ("q_norm", "k_norm")}
    return shapes


def projections(config: LlamaConfig) -> dict[str, tuple[int, int]]:
    """Shape [out, in] of the fused projections of a layer, on which an adapter acts."""
    width, inner = config.hidden_size, config.intermediate_size
    return {
        "qkv": (config.query_width + 2 * config.key_width, width),
        "o": (width, config.query_width),
        "gate_up": (2 * inner, width),
        "down": (width, inner),
    }


def check_weights(config: LlamaConfig, weights: Mapping[str, Tensor]) -> None:
    """Raises WrongWeights that names what is missing, left over or misshapen."""
    expected = weight_shapes(config)
    if "lm_head.weight" in weights:
        expected["lm_head.weight"] = expected["model.embed_tokens.weight"]
    check_fit(expected, weights)
