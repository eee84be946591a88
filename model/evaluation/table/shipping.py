"""`python -m model.evaluation.table.shipping runs/lab ar bd3-4`: networks of a run for who has not trained any.

Their newest checkpoints go to assets/lab in bfloat16, half the bytes, without what only training needs. The desk's lab
lets them write where no folder of the user's own is given.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.backbones.published import CONFIG, WEIGHTS
from model.training.vocabulary import FILE as TOKENIZER


class NothingToShip(ValueError):
    """A run has no checkpoint; the message is one sentence."""


def ship(run: Path, names: Sequence[str], to: Path) -> None:
    """Writes `to`/NAME/step-NNNNNNN for each name. What was there goes. Raises NothingToShip, OSError."""
    newest = {name: _newest(run / name) for name in names}
    if to.exists():
        shutil.rmtree(to)
    for name, step in newest.items():
        folder = to / name / step.name
        folder.mkdir(parents=True)
        for file in (CONFIG, TOKENIZER):
            shutil.copyfile(step / file, folder / file)
        save_file({key: _low(tensor) for key, tensor in load_file(step / WEIGHTS).items()}, folder / WEIGHTS)


def _newest(run: Path) -> Path:
    steps = sorted(path.parent for path in run.glob(f"step-*/{WEIGHTS}"))
    if not steps:
        raise NothingToShip(f"{run} holds no checkpoint; train it first, or name another one.")
    return steps[-1]


def _low(tensor: Tensor) -> Tensor:
    """In bfloat16, but for single numbers, such as the bounds of an interval."""
    return tensor.to(torch.bfloat16) if tensor.dim() else tensor


def main(arguments: Sequence[str] | None = None) -> int:
    """0: written. 1: not, and the last line says why."""
    parser = argparse.ArgumentParser(prog="python -m model.evaluation.table.shipping", description=__doc__)
    parser.add_argument("run", type=Path, metavar="FOLDER", help="the --out of a comparison")
    parser.add_argument("names", nargs="+", metavar="NAME", help="of the systems, such as ar, mdlm, bd3-4")
    parser.add_argument("--to", type=Path, default=Path("assets/lab"), metavar="FOLDER", help="(default: assets/lab)")
    given = parser.parse_args(arguments)
    try:
        ship(given.run, given.names, given.to)
    except (NothingToShip, SafetensorError, OSError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
