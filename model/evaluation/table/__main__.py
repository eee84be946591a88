"""`python -m model.evaluation.table --config lab/small.toml`: the systems of the paper, side by side, in one table.

Trains each of them, or goes on where a stopped run was, measures all of them, and writes table.json, table.md and plots
to --out. The same command after a change does only what the change asks for. --dry-run says what would be done.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from model.evaluation.judge import JudgeUnusable
from model.evaluation.options import positive
from model.evaluation.table.comparing import bench, compare, networks, share
from model.evaluation.table.dry import report
from model.evaluation.table.page import markdown
from model.evaluation.table.plan import Plan
from model.evaluation.table.recipes import ways
from model.evaluation.writers import NotPossible
from model.evaluation.writing import default_cache
from model.training.settings import InvalidSetting
from model.training.train import PROBLEMS
from model.weights import WeightsUnavailable

STOPPED = 130
"""As a shell says it of a program that Ctrl+C has stopped."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table. 0: done. 1: stopped by what the last line says. 2: an impossible configuration. 130: Ctrl+C."""
    given = _parser().parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        plan = Plan.read(given.config)
        if given.dry_run:
            ways(plan)
            print("\n".join(report(plan, given.out)))
            return 0
        if given.train_only is not None:
            networks(plan, given.out, only=given.train_only)
            return 0
        judge = bench(given.judge or plan.measures.judge, given.cache_dir or default_cache())
        if given.only is not None:
            share(plan, given.only, given.out, judge)
            return 0
        result = compare(plan, given.out, judge, f"python -m model.evaluation.table --config {given.config}")
    except KeyboardInterrupt:
        print("Stopped; the same command goes on.", file=sys.stderr)
        return STOPPED
    except InvalidSetting as problem:
        print(problem, file=sys.stderr)
        return 2
    except (*PROBLEMS, NotPossible, JudgeUnusable, WeightsUnavailable, OSError) as problem:
        print(problem, file=sys.stderr)
        return 1
    print(markdown(result))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model.evaluation.table", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML file, such as lab/small.toml")
    parser.add_argument("--out", type=Path, default=Path("runs/lab"), help="folder of the run (default: runs/lab)")
    parser.add_argument(
        "--train-only",
        nargs="*",
        metavar="NAME",
        help="measure nothing; train all, or these systems and stages (two commands can share the work)",
    )
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="train and measure these systems and stages alone, and write no table"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained, and what it would need")
    parser.add_argument(
        "--judge", metavar="MODEL", help="a causal model: of the catalogue, a Hugging Face id, a folder"
    )
    parser.add_argument("--cache-dir", type=Path, metavar="FOLDER", help="where model files are kept")
    parser.add_argument("--threads", type=positive, metavar="N", help="CPU threads (default: torch's own choice)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
