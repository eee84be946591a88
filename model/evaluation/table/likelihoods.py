"""What texts cost the networks: nats of every row, and the differences of two networks on the same rows.

A measure keeps the sums of every row, so that any two of them can be compared in pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from model.evaluation.perplexity import is_exact, likelihood
from model.evaluation.table.figure import Figure, less, of_exponential, of_ratio
from model.evaluation.table.kept import Kept, Values
from model.evaluation.table.networks import Network, place
from model.training.objectives import all_but_first


def measure(
    kept: Kept, network: Network, text: str, sources: tuple[str, ...], *, rows: int | None, draws: int, batch: int,
    seed: int, made: Mapping[str, Any],
) -> Values:  # fmt: skip
    """nats and tokens of every row of a text, and whether they are exact. made: what the text was made from."""

    def take() -> Values:
        chosen = network.rows(sources, rows)
        opened = network.open()
        system = network.system(opened)
        found = likelihood(
            system, opened, chosen, all_but_first(chosen), batch=batch, draws=draws, seed=seed, device=place(),
            bf16=network.bf16,
        )  # fmt: skip
        return {"nats": _rounded(found.nats), "tokens": found.tokens.tolist(), "exact": is_exact(system)}

    depends = {"weights": network.digest, "rows": rows, "draws": draws, "batch": batch, "seed": seed, "made": made}
    return kept.get(f"likelihood/{network.name}/{text}", depends, take)


def _rounded(values: torch.Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]


def nats_per_token(found: Values) -> Figure | None:
    """Rows are the independent parts of the text."""
    return of_ratio(found["nats"], found["tokens"])


def perplexity(found: Values) -> Figure | None:
    """A bound on it, where the measure is not exact."""
    return of_exponential(nats_per_token(found))


def difference(one: Values, other: Values) -> Figure | None:
    """Nats per token of one less those of the other; paired where both read the same rows."""
    if one["tokens"] == other["tokens"]:
        return of_ratio([a - b for a, b in zip(one["nats"], other["nats"], strict=True)], one["tokens"])
    return less(nats_per_token(one), nats_per_token(other))
