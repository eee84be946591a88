"""A Llama's layers by the compiled kernels: few rows here, many by torch, which is ahead from some dozens on.

Knows nothing of weights' names, adapters and files.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from model.backbones.llama_layers import LayerShape, LayerWeights
from model.compiled.kernels import CompiledLayer, CompiledLayers, CompiledProduct, Kernels
from model.compiled.tiles import taking_turns
from model.levels import GROUP, Levels, fits_tiles, nearest_levels, on_levels

FEW = 32
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
    kernels: Kernels, shape: LayerShape, layers: Iterable[LayerWeights], after: Tensor, *, rough: bool
) -> CompiledLayers | None:
    """Layers whose weights lie on 4-bit levels; rough: or on the nearest ones, which costs a proposer 3% of what it
    gives and saves a third of its time. None where they lie on none, or are of a kind that the kernels do not compute.
    """
    if shape.head_dim % HEAD_PART or shape.head_dim > WIDEST_HEAD or after.shape[0] % GROUP:
        return None
    made = []
    for layer in layers:
        if layer.qkv_bias is not None or layer.qk_norm is not None or layer.down.shape[1] % GROUP:
            return None
        parts = []
        for weight in (layer.qkv, layer.out, taking_turns(*layer.gate_up.chunk(2)), layer.down):
            found = _levels(weight, rough)
            if found is None:
                return None
            parts.append(CompiledProduct(kernels, found, exact=not rough))
        made.append(CompiledLayer(layer.before_attention.float(), layer.before_mlp.float(), *parts))
    return CompiledLayers(
        kernels, made, after.float(), heads=shape.heads, kv_heads=shape.kv_heads, head_dim=shape.head_dim,
        eps=shape.eps, exact=not rough,
    )  # fmt: skip


def _levels(weight: Tensor, rough: bool) -> Levels | None:
    if rough:
        return nearest_levels(weight, 4) if fits_tiles(weight) else None
    return on_levels(weight, 4)
