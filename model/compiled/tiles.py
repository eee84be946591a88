"""Weights on levels in the order in which the kernels read them: tiles, as kernels.c says."""

from __future__ import annotations

import torch
from torch import Tensor

from model.levels import GROUP, TILE, Levels


def in_tiles(levels: Levels) -> Tensor:
    """Bytes, tile after tile, in memory that begins at a multiple of 64."""
    out, into = levels.levels.shape
    tiles, groups = out // TILE, into // GROUP

    def scales(values: Tensor) -> Tensor:
        return values.half().view(tiles, TILE, groups).mT.contiguous().view(torch.uint8)

    if levels.bits == 4:
        two = levels.levels.view(tiles, TILE, groups, 4, 2, 4).permute(0, 2, 3, 4, 1, 5)  # 4 inputs, and the next 4
        whole = (two[:, :, :, 0] | two[:, :, :, 1] << 4).reshape(tiles, groups, -1)
        parts = [whole, scales(levels.step), scales(levels.lowest)]
    else:
        whole = levels.levels.view(tiles, TILE, groups, 8, 4).permute(0, 2, 3, 1, 4).reshape(tiles, groups, -1)
        parts = [whole, scales(levels.step)]
    return aligned(torch.cat(parts, dim=-1).flatten())


def taking_turns(first: Tensor, second: Tensor) -> Tensor:
    """Rows of two weights [out, in], a tile of the one after a tile of the other: [2 · out, in]."""
    pairs = torch.stack([first.view(-1, TILE, first.shape[1]), second.view(-1, TILE, second.shape[1])], dim=1)
    return pairs.reshape(-1, first.shape[1])


def aligned(data: Tensor) -> Tensor:
    """A copy of bytes [n] that begins at a multiple of 64, and after which 64 may be read."""
    room = torch.zeros(len(data) + 128, dtype=torch.uint8)
    start = -room.data_ptr() % 64
    room[start : start + len(data)] = data
    return room[start : start + len(data)]
