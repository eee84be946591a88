"""How one measurement is shared among the processes of a run. Knows nothing of what is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor


def _itself(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True, slots=True)
class Share:
    """This process's part: every `count`-th piece from `number` on. total: sums a tensor over all processes."""

    number: int = 0
    count: int = 1
    total: Callable[[Tensor], Tensor] = _itself

    def of(self, pieces: int) -> Iterator[int]:
        """Numbers of the pieces that fall to this process."""
        return iter(range(self.number, pieces, self.count))


ALONE = Share()
