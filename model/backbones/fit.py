"""Whether tensors fit a network: by name and by shape, and a sentence that says what does not."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

NAMED = 5
"""Faults that a sentence names; of the others it says how many."""


class WrongWeights(ValueError):
    """Tensors are missing, left over or of another shape than the configuration says."""


def check_fit(expected: Mapping[str, tuple[int, ...]], weights: Mapping[str, Tensor]) -> None:
    """Raises WrongWeights that names what is missing, left over or misshapen."""
    faults = [f"{name} is missing" for name in expected if name not in weights]
    faults += [f"{name} is not part of this network" for name in weights if name not in expected]
    faults += [
        f"{name} is {tuple(weights[name].shape)}, not {shape}"
        for name, shape in expected.items()
        if name in weights and tuple(weights[name].shape) != shape
    ]
    if faults:
        rest = f" and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise WrongWeights(f"These weights do not fit the network: {'; '.join(faults[:NAMED])}{rest}.")
