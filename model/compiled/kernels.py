"""The compiled kernels as functions of tensors: a product, and the layers of a Llama over a cache.

Knows nothing of weights' names; a cache is to it the list of its tensors.
"""

from __future__ import annotations

import copy
import ctypes
import math
import time
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_float, c_int32, c_long, c_void_p
from dataclasses import dataclass

import torch
from torch import Tensor

from model.compiled.tiles import in_tiles
from model.levels import Levels


class _Product(Structure):
    pass


_Product._fields_ = [
    ("data", c_void_p), ("into", c_int32), ("out", c_int32), ("bits", c_int32),
    ("down", POINTER(_Product)), ("up", POINTER(_Product)),
]  # fmt: skip


class _Layer(Structure):
    _fields_ = [
        ("before_attention", c_void_p), ("before_mlp", c_void_p),
        ("qkv", _Product), ("out", _Product), ("gate_up", _Product), ("down", _Product),
    ]  # fmt: skip


class _Network(Structure):
    _fields_ = [
        ("layers", POINTER(_Layer)), ("after", c_void_p),
        *((name, c_int32) for name in ("count", "width", "inner", "heads", "kv_heads", "head_dim", "exact")),
        ("eps", c_float),
    ]  # fmt: skip


ROUNDS = 5
"""Forwards of which the fastest counts, where something is chosen by time."""


class Kernels:
    """The library of kernels.c, with the types of its functions.

    asking  for weights some way ahead of their use. Which is faster, by a tenth and more, depends on the processor:
            some look ahead themselves, and are only kept from it. It changes no result.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.asking = True
        self.product, self.layers = library.galley_product, library.galley_layers
        self.product_scratch, self.layers_scratch = library.galley_product_scratch, library.galley_layers_scratch
        self.product.restype = self.layers.restype = None
        self.product_scratch.restype = self.layers_scratch.restype = c_long


class CompiledProduct:
    """y = x·Wᵀ for a weight on levels. exact: x is rounded to 16 bits, which is next to nothing, instead of 8."""

    def __init__(self, kernels: Kernels, weight: Levels, *, exact: bool) -> None:
        self._kernels, self._exact = kernels, exact
        self._tiles = in_tiles(weight)
        self.out, self.into = weight.levels.shape
        self.parts = _Product(self._tiles.data_ptr(), self.into, self.out, weight.bits)
        self._adapter: tuple[CompiledProduct, CompiledProduct] | None = None

    def adapted(self, down: CompiledProduct, up: CompiledProduct) -> CompiledProduct:
        """The same weight plus up·down, as a part of layers; down [rank, in], up [out, rank], rank a multiple of 32."""
        twin = copy.copy(self)
        twin._adapter = (down, up)
        twin.parts = _Product.from_buffer_copy(self.parts)
        twin.parts.down, twin.parts.up = ctypes.pointer(down.parts), ctypes.pointer(up.parts)
        return twin

    def rounded(self) -> CompiledProduct:
        """The same weight, for x in 8 bits."""
        twin = copy.copy(self)
        twin._exact = False
        return twin

    def __call__(self, x: Tensor) -> Tensor:
        """x [..., in] → [..., out], float32."""
        flat = x.reshape(-1, self.into).float().contiguous()
        y = torch.empty(len(flat), self.out)
        threads, rows = torch.get_num_threads(), len(flat)
        if rows == 0:
            return y.view(*x.shape[:-1], self.out)
        scratch = _room(self._kernels.product_scratch(ctypes.byref(self.parts), rows, threads))
        self._kernels.product(
            ctypes.byref(self.parts), int(self._exact), int(self._kernels.asking), rows, _at(flat), _at(y),
            _at(scratch), threads,
        )  # fmt: skip
        return y.view(*x.shape[:-1], self.out)


@dataclass(frozen=True, slots=True)
class CompiledLayer:
    """Weights of a layer; gate and up of `gate_up` take turns, tile by tile. Norms [D] in float32."""

    before_attention: Tensor
    before_mlp: Tensor
    qkv: CompiledProduct
    out: CompiledProduct
    gate_up: CompiledProduct
    down: CompiledProduct


class CompiledLayers:
    """`Layers` of few rows: the same call. exact: what is multiplied is rounded to 16 bits instead of 8."""

    def __init__(
        self, kernels: Kernels, layers: Sequence[CompiledLayer], after: Tensor, *, heads: int, kv_heads: int,
        head_dim: int, eps: float, exact: bool,
    ) -> None:  # fmt: skip
        """after: weight [D] of the norm behind the last layer."""
        self._kernels, self.layers, self._after = kernels, tuple(layers), after
        first = layers[0]
        each = (
            _Layer(
                _at(layer.before_attention), _at(layer.before_mlp),
                layer.qkv.parts, layer.out.parts, layer.gate_up.parts, layer.down.parts,
            )
            for layer in layers
        )  # fmt: skip
        self._network = _Network(
            (_Layer * len(layers))(*each), _at(after), len(layers), first.qkv.into, first.down.into, heads, kv_heads,
            head_dim, int(exact), eps,
        )  # fmt: skip

    def adapted(self, layers: Sequence[CompiledLayer]) -> CompiledLayers:
        """These instead, for rows in 8 bits."""
        was = self._network
        return CompiledLayers(
            self._kernels, layers, self._after, heads=was.heads, kv_heads=was.kv_heads, head_dim=was.head_dim,
            eps=was.eps, exact=False,
        )  # fmt: skip

    def rounded(self) -> CompiledLayers:
        """The same weights, for rows in 8 bits."""
        twin = copy.copy(self)
        twin._network = _Network.from_buffer_copy(self._network)
        twin._network.exact = 0
        return twin

    def __call__(self, x: Tensor, turns: Tensor, bias: Tensor, stores: list[Tensor], at: int) -> Tensor:
        """x [B, n, D] → the same shape, float32; turns, bias, stores, at: as `Layers` takes them."""
        batch, n, _ = x.shape
        columns, threads, capacity = at + n, torch.get_num_threads(), stores[0].shape[3]
        x = x.to(torch.float32, copy=True).contiguous()
        turned = torch.view_as_real(turns).float().contiguous()
        hidden = bias[:, 0, : n if bias.shape[2] > 1 else 1, :columns].float().contiguous()  # the same for every head
        scratch = _room(self._kernels.layers_scratch(ctypes.byref(self._network), batch * n, columns, threads))
        self._kernels.layers(
            ctypes.byref(self._network), int(self._kernels.asking), batch, n, _at(x), _at(turned), _at(hidden),
            hidden.shape[0], hidden.shape[1], (c_void_p * len(stores))(*(store.data_ptr() for store in stores)),
            c_long(capacity), at, _at(scratch), threads,
        )  # fmt: skip
        return x

    def choose_asking(self) -> None:
        """Sets whether these kernels ask ahead for all that they multiply to what is faster here, with one row."""
        net, times = self._network, {True: math.inf, False: math.inf}
        turns = torch.ones(1, net.heads + 2 * net.kv_heads, net.head_dim // 2, dtype=torch.complex64)
        store = torch.zeros(2, 1, net.kv_heads, 1, net.head_dim, dtype=torch.bfloat16)
        x, bias = torch.ones(1, 1, net.width), torch.zeros(1, 1, 1, 1)
        for asking in (True, False) * ROUNDS:
            self._kernels.asking = asking
            began = time.perf_counter()
            self(x, turns, bias, [store] * net.count, 0)
            times[asking] = min(times[asking], time.perf_counter() - began)
        self._kernels.asking = times[True] < times[False]


def _at(tensor: Tensor) -> c_void_p:
    return c_void_p(tensor.data_ptr())


def _room(count: int) -> Tensor:
    return torch.empty(count, dtype=torch.uint8)
