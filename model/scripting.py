"""A module without Python between its operations: on a CPU a third of a small network's forward is Python.

TorchScript is on its way out of torch, and the version is pinned. Of what takes its place, torch.compile needs a C++
compiler on the writer's machine, and torch.export has no interpreter but Python's.
"""

from __future__ import annotations

import sys
import warnings

import torch
from torch import nn


def scripted(module: nn.Module) -> nn.Module:
    """The same function, faster; the module itself where Python is too new for TorchScript."""
    if sys.version_info >= (3, 14):
        return module
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.script.* is deprecated", category=DeprecationWarning)
        made: nn.Module = torch.jit.script(module)
    return made
