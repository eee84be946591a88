"""A frozen matrix and its product, in the fastest forms that torch has for it on this machine.

Knows nothing of networks. Generating reads every weight once per forward, so bytes per weight and how close a kernel
comes to the memory's speed decide. For 3072 × 576 on two Zen 4 cores (µs at 1 / 4 / 8 / 16 rows; reading the weights
alone takes about 100):

    float32, torch.nn.functional.linear        609 / 889 / 696 / 904
    bfloat16, torch.nn.functional.linear       285 / 330 / 293 / 358
    bfloat16, packed by oneDNN                 161 / 138 / 155 / 211     needs bfloat16 instructions
    float16, packed by FBGEMM                  115 / 123 / 184 / 326     any x86 with AVX2; sums in float32
"""

from __future__ import annotations

import platform

import torch
import torch.nn.functional as F
from torch import Tensor

FEW_ROWS = 4
"""Up to here the float16 form is the faster one."""


class Linear:
    """y = x·Wᵀ for a weight [out, in] that never changes; x and y in the dtype of the weight.

    packed  keep 16-bit copies for a CPU's products, with sums in float32: float16 for few rows, bfloat16 for many, as far
            as this machine has them.
    few     whether products of few rows are common enough to keep the copy that is best for them, too.
    """

    def __init__(self, weight: Tensor, *, packed: bool = False, few: bool = True) -> None:
        packed = packed and weight.device.type == "cpu"
        many = packed and multiplies_bfloat16()
        half = packed and packs_float16() and (few or not many)
        self.many = torch.ops.mkldnn._reorder_linear_weight(weight.bfloat16().contiguous(), 8) if many else None
        self.half = torch.ops.quantized.linear_prepack_fp16(weight.float(), None) if half else None
        self.weight = None if many or half else weight.contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        """x [..., in] → [..., out]."""
        if self.weight is not None:
            return F.linear(x, self.weight)
        if self.many is None or (self.half is not None and x.numel() <= FEW_ROWS * x.shape[-1]):
            few_rows: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self.half)
            return few_rows
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x.bfloat16(), self.many, None, "none", [], "")
        return product.float()


def multiplies_bfloat16() -> bool:
    """Whether this CPU has bfloat16 products."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )


def packs_float16() -> bool:
    """Whether torch was built with FBGEMM and this CPU can run it."""
    return (
        platform.machine().lower() in ("x86_64", "amd64")
        and "fbgemm" in torch.backends.quantized.supported_engines
        and torch.cpu._is_avx2_supported()
    )
