"""A frozen matrix and its product, in the fastest forms that torch has for it on this machine.

Knows nothing of networks. Generating reads every weight once per forward, so bytes per weight and how close a kernel
comes to the memory's speed decide. For 3072 × 576 on two Zen 4 cores (µs at 1 / 4 / 5 / 8 / 16 rows; reading 16-bit
weights alone takes about 100):

    bfloat16, torch.nn.functional.linear      285 / 330 / – / 293 / 358
    bfloat16, packed by oneDNN                161 / 138 / 145 / 186 / 257   needs bfloat16 instructions
    float16, packed by FBGEMM                  91 / 119 / 142 / 190 / 338   any x86 with AVX2; sums in float32
    int8, packed by FBGEMM                     71 /  77 /  77 /  94 / 155   rounds what goes in, too: for proposals
"""

from __future__ import annotations

import platform
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

FEW_ROWS = 4
"""Up to here float16 is faster than bfloat16."""


class Linear:
    """y = x·Wᵀ for a weight [out, in] that never changes; x and y in the dtype of the weight.

    packed  keep 16-bit copies for a CPU's products, with sums in float32: float16 for few rows, bfloat16 for many, as
            far as this machine has them.
    rough   keep an int8 copy instead where the machine has such products: half the bytes, at some cost in precision.
    """

    def __init__(self, weight: Tensor, *, packed: bool = False, rough: bool = False) -> None:
        packed = packed and weight.device.type == "cpu"
        fbgemm = packed and has_fbgemm()
        many = packed and multiplies_bfloat16() and not (rough and fbgemm)
        self.int8 = _packed_int8(weight) if fbgemm and rough else None
        self.half = torch.ops.quantized.linear_prepack_fp16(weight.float(), None) if fbgemm and not rough else None
        self.many = torch.ops.mkldnn._reorder_linear_weight(weight.bfloat16().contiguous(), 8) if many else None
        self.weight = None if fbgemm or many else weight.contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        """x [..., in] → [..., out]."""
        product: Tensor
        if self.weight is not None:
            return F.linear(x, self.weight)
        if self.int8 is not None:
            product = torch.ops.quantized.linear_dynamic(x, self.int8, not torch.cpu._is_vnni_supported())
        elif self.many is None or (self.half is not None and x.numel() <= FEW_ROWS * x.shape[-1]):
            product = torch.ops.quantized.linear_dynamic_fp16(x, self.half)
        else:
            product = torch.ops.mkldnn._linear_pointwise(x.bfloat16(), self.many, None, "none", [], "").float()
        return product


def _packed_int8(weight: Tensor) -> Any:
    """One scale for each row, symmetric."""
    weight = weight.float()
    scales = (weight.abs().amax(dim=1) / 127).clamp(min=1e-12)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*quantized tensor creation functions"
        )  # pinned: they are still there
        rows = torch.quantize_per_channel(weight, scales, torch.zeros_like(scales, dtype=torch.long), 0, torch.qint8)
    return torch.ops.quantized.linear_prepack(rows, None)


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
