"""A Llama's layers by the compiled kernels: few rows here, many by torch, which is ahead from some dozens on.

Knows nothing of weights' names and of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from model.backbones.llama_layers import LayerPairs, LayerShape, LayerWeights
from model.compiled.kernels import CompiledLayer, CompiledLayers, CompiledProduct, Kernels
from model.compiled.tiles import taking_turns
from model.levels import GROUP, fits_tiles, nearest_levels, on_levels

FEW = 24
"""Rows, up to which kernels that read weights in 4 bits are faster than torch with 16."""

HEAD_PART, WIDEST_HEAD = 32, 256
"""Of the numbers of a head the kernels take so many at once, and no more than that in all."""


class ByRows:
    """The same layers twice: `few` is called with up to FEW rows, `many` with more."""

    def __init__(self, few: CompiledLayers, many: nn.Module) -> None:
        self.few, self.many = few, many

    def rounded(self) -> ByRows:
        """Few rows are rounded to 8 bits."""
        return ByRows(self.few.rounded(), self.many)

    def __call__(self, x: Tensor, turns: Tensor, bias: Tensor, stores: list[Tensor], at: int) -> Tensor:
        """x [B, n, D], and what `Layers` takes."""
        layers = self.few if x.shape[0] * x.shape[1] <= FEW else self.many
        y: Tensor = layers(x, turns, bias, stores, at)
        return y


def compiled_product(kernels: Kernels, weight: Tensor, *, rough: bool) -> CompiledProduct | None:
    """A product with a weight that lies on 8-bit levels; rough: or with the nearest ones. None where it cannot be."""
    found = nearest_levels(weight, 8) if rough and fits_tiles(weight) else on_levels(weight, 8)
    return None if found is None else CompiledProduct(kernels, found, exact=not rough)


def compiled_layers(
    kernels: Kernels, shape: LayerShape, layers: Iterable[LayerWeights], after: Tensor
) -> CompiledLayers | None:
    """Layers whose weights lie on 4-bit levels. None where they lie on none, or are of a kind that is not computed."""
    if shape.head_dim % HEAD_PART or shape.head_dim > WIDEST_HEAD or after.shape[0] % GROUP:
        return None
    made = []
    for layer in layers:
        if layer.qkv_bias is not None or layer.qk_norm is not None or layer.down.shape[1] % GROUP:
            return None
        parts = []
        for weight in (layer.qkv, layer.out, taking_turns(*layer.gate_up.chunk(2)), layer.down):
            found = on_levels(weight, 4)
            if found is None:
                return None
            parts.append(CompiledProduct(kernels, found, exact=True))
        made.append(CompiledLayer(layer.before_attention.float(), layer.before_mlp.float(), *parts))
    return CompiledLayers(
        kernels, made, after.float(), heads=shape.heads, kv_heads=shape.kv_heads, head_dim=shape.head_dim,
        eps=shape.eps, exact=True,
    )  # fmt: skip


def adapted_layers(kernels: Kernels, clean: CompiledLayers, pairs: Mapping[int, LayerPairs]) -> CompiledLayers:
    """The layers that there are pairs for, with these, which stay apart: merged in, they would make a second set of
    weights, twice the bytes that writing has to read. They are kept in 4 bits, and rows are rounded to 8."""

    largest = max(a.shape[0] for of in pairs.values() for a, _ in (of.qkv, of.out, of.gate_up, of.down))
    rank = largest + -largest % GROUP  # the same for all: the kernels make room for one

    def pair(product: CompiledProduct, a: Tensor, b: Tensor) -> CompiledProduct:
        padding = rank - a.shape[0]
        down, up = F.pad(a, (0, 0, 0, padding)), F.pad(b, (0, padding))
        return product.adapted(*(CompiledProduct(kernels, nearest_levels(each, 4), exact=False) for each in (down, up)))

    made = []
    for number, of in pairs.items():
        layer = clean.layers[number]
        gate_up = (of.gate_up[0], taking_turns(*of.gate_up[1].chunk(2)))
        made.append(
            CompiledLayer(
                layer.before_attention,
                layer.before_mlp,
                pair(layer.qkv, *of.qkv),
                pair(layer.out, *of.out),
                pair(layer.gate_up, *gate_up),
                pair(layer.down, *of.down),
            )
        )
    return clean.adapted(made)
