"""What moves the weights: AdamW, or Muon for the matrices inside a network and AdamW for all the rest.

Muon makes the step of a matrix orthogonal, so that directions which few gradients point to move as fast as the others
(K. Jordan 2024; torch.optim.Muon). A masked language model finds out that a token depends on its neighbours in such
directions, and much sooner so. Knows nothing of what the parameters are of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor
from torch.optim import AdamW, Muon

KINDS = ("adamw", "muon")


class Optimiser:
    """One rate for all parameters: the step of a Muon matrix is as large as AdamW's would be (J. Liu et al. 2025)."""

    def __init__(
        self,
        parameters: Mapping[str, torch.nn.Parameter],
        matrices: Collection[str] = (),
        *,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        """parameters: those that are trained, by name. matrices: the names of those [out, in] that Muon moves."""
        self._names: dict[Tensor, str] = {parameter: name for name, parameter in parameters.items()}
        inner = [parameter for name, parameter in parameters.items() if name in matrices]
        outer = [parameter for name, parameter in parameters.items() if name not in matrices]
        self._parts: list[tuple[AdamW | Muon, tuple[str, ...]]] = []
        if outer:
            self._parts.append((AdamW(outer, betas=betas, weight_decay=0.0), ("exp_avg", "exp_avg_sq")))
        if inner:
            muon = Muon(inner, weight_decay=0.0, momentum=0.95, adjust_lr_fn="match_rms_adamw")
            self._parts.append((muon, ("momentum_buffer",)))

    def zero_grad(self) -> None:
        for part, _ in self._parts:
            part.zero_grad(set_to_none=True)

    def step(self, rate: float) -> None:
        """rate: the learning rate of this step."""
        for part, _ in self._parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()

    def tensors(self) -> dict[str, Tensor]:
        """What going on with the run needs, by `moment.parameter`; nothing before the first step."""
        return {
            f"{moment}.{self._names[parameter]}": state[moment].cpu().contiguous()
            for part, moments in self._parts
            for parameter, state in part.state.items()
            for moment in moments
        }

    def resume(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Goes on from `tensors` of an optimiser that had made so many steps. Raises KeyError where one is missing."""
        for part, moments in self._parts:
            named = [self._names[parameter] for group in part.param_groups for parameter in group["params"]]
            whole = part.state_dict()
            whole["state"] = {
                at: {moment: tensors[f"{moment}.{name}"] for moment in moments} for at, name in enumerate(named)
            }
            if isinstance(part, AdamW):
                for state in whole["state"].values():
                    state["step"] = torch.tensor(float(step))
            part.load_state_dict(whole)
