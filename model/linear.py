"""A frozen matrix and its product, in the fastest forms that torch has for it on this machine.

Knows nothing of networks. Generating reads every weight once per forward, so bytes per weight and how close a kernel
comes to the memory's speed decide. All products of 30 layers of 576 dimensions (106M weights) on two Zen 4 cores, ms at
1 / 4 / 8 / 16 / 32 rows; reading 16-bit weights alone takes 4.1:

    4 bits, packed by torch          3.0 / 3.8 / 6.5 / 11.6 / 21.4   for weights that were published so; needs AVX-512
    float16, packed by FBGEMM        5.2 / 6.9 / 7.1 / 11.2 / 19.2   any x86 with AVX2; sums in float32
    bfloat16, packed by oneDNN       5.4 / 6.9 / 6.9 /  8.6 / 12.4   needs bfloat16 instructions; far ahead at many rows
    int8, packed by FBGEMM           3.3 / 4.0 / 4.8 /  7.0 /    –   rounds what goes in, too: for proposals
"""

from __future__ import annotations

import platform
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.levels import GROUP, on_levels

FEW_ROWS = 6
"""Up to here float16 is as fast as bfloat16, and eight times as precise."""

FEW_IN_FOUR_BITS = 8
"""Up to here 4 bits are fastest."""


class Linear(nn.Module):
    """y = x·Wᵀ for a weight [out, in] that never changes; x in the dtype of the weight.

    packed  keep 16-bit copies for a CPU's products, with sums in float32: float16 for few rows, bfloat16 for many, as
            far as this machine has them. x may be float32 or bfloat16; y is bfloat16 where such products made it.
            Weights that were published in 4 bits go back to these for few rows: the same numbers in a quarter of the
            bytes, but for scales and x, which are rounded to bfloat16.
    rough   keep an int8 copy instead where the machine has such products: half the bytes, at some cost in precision.
            One scale rounds all rows of x. Rows brought to the same height before would cost .7 to 1 ms a forward, and
            the default model proposes and reads no better (Σ min(p, q) .832 and .831; KL .020 and .021 nats).
    few     False: nothing is kept for few rows alone, which something else multiplies.
    """

    def __init__(self, weight: Tensor, *, packed: bool = False, rough: bool = False, few: bool = True) -> None:
        super().__init__()
        packed = packed and weight.device.type == "cpu"
        fbgemm = packed and has_fbgemm()
        many = packed and multiplies_bfloat16() and not (rough and fbgemm)
        self.four, self.scales, self.group = None, None, GROUP
        if packed and not rough and few and multiplies_4_bits() and (levels := four_bits(weight)) is not None:
            self.four, self.scales = torch.ops.aten._convert_weight_to_int4pack_for_cpu(levels[0], 1), levels[1]
            fbgemm = fbgemm and not many
        if not few:
            fbgemm = fbgemm and not many
        self.int8 = _packed_int8(weight) if fbgemm and rough else None
        self.fp16 = torch.ops.quantized.linear_prepack_fp16(weight.float(), None) if fbgemm and not rough else None
        self.many = torch.ops.mkldnn._reorder_linear_weight(weight.bfloat16().contiguous(), 8) if many else None
        self.weight = None if fbgemm or many else weight.contiguous()
        self.few = (FEW_ROWS if self.four is None else FEW_IN_FOUR_BITS) * weight.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] → [..., out]."""
        if self.weight is not None:
            return F.linear(x, self.weight)
        if self.four is not None and x.numel() <= self.few:
            flat = x.reshape(-1, x.shape[-1]).to(torch.bfloat16)
            exact: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(flat, self.four, self.group, self.scales)
            return exact.view(x.shape[:-1] + exact.shape[-1:])  # both are lists in TorchScript
        if self.int8 is not None:
            rounded: Tensor = torch.ops.quantized.linear_dynamic(x.float(), self.int8, False)
            return rounded
        if self.many is None or (self.fp16 is not None and x.numel() <= self.few):
            fine: Tensor = torch.ops.quantized.linear_dynamic_fp16(x.float(), self.fp16)
            return fine
        none = torch.jit.annotate(list[int | float | complex | None], [])  # type: ignore[no-untyped-call]
        wide: Tensor = torch.ops.mkldnn._linear_pointwise(x.to(torch.bfloat16), self.many, None, "none", none, "")
        return wide


def _packed_int8(weight: Tensor) -> Any:
    """One scale for each row, symmetric.

    Without VNNI two products of 8 bits are summed in 16, where they do not fit: there weights have 7 bits. (Rounding
    what goes in to 7 bits instead, as torch offers to do, puts the default model .19 nats a token off, not .04.)
    """
    weight = weight.float()
    limit = 127 if torch.cpu._is_vnni_supported() else 63
    scales = (weight.abs().amax(dim=1) / limit).clamp(min=1e-12)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*quantized tensor creation functions"
        )  # pinned: they are still there
        rows = torch.quantize_per_channel(weight, scales, torch.zeros_like(scales, dtype=torch.long), 0, torch.qint8)
    return torch.ops.quantized.linear_prepack(rows, None)


def four_bits(weight: Tensor) -> tuple[Tensor, Tensor] | None:
    """A weight [out, in] as 4-bit levels (int32, [out, in]) and for each GROUP of a row a step and the value of level
    8 (bfloat16, [in / GROUP, out, 2]). None where its numbers do not lie on such levels."""
    found = on_levels(weight, 4)
    if found is None:
        return None
    scales = torch.stack([found.step, found.lowest + 8 * found.step], dim=-1).transpose(0, 1)
    return found.levels.int(), scales.to(torch.bfloat16).contiguous()


def multiplies_4_bits() -> bool:
    """Whether this CPU is fast at products with 4-bit weights: with AVX2 alone they take longer than in 16 bits."""
    return has_fbgemm() and torch.backends.cpu.get_cpu_capability() == "AVX512"


def multiplies_bfloat16() -> bool:
    """Whether this CPU has bfloat16 products."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )


def has_fbgemm() -> bool:
    """Whether torch was built with FBGEMM and this CPU can run it."""
    return (
        platform.machine().lower() in ("x86_64", "amd64")
        and "fbgemm" in torch.backends.quantized.supported_engines
        and torch.cpu._is_avx2_supported()
    )
