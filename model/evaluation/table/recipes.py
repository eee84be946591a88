"""From a line of [writers] to a writer: which network, which sampler, how it goes about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, cast

from model.evaluation.table.networks import Network, place
from model.evaluation.table.plan import Plan, shape
from model.evaluation.writers import DEFAULTS, Recipe, SampledWriter, writer_of
from model.training.settings import InvalidSetting

OWN = ("network", "way", "block_size", "compressed")
"""What a line of [writers] may say beside the fields of the recipe."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of writing. label: its name in the table; network: whose; way: a name of `writers.DEFAULTS`."""

    label: str
    network: str
    way: str
    recipe: Recipe
    block_size: int | None = None
    compressed: bool = False

    def open(self, network: Network) -> SampledWriter:
        """Raises NotPossible."""
        return writer_of(
            network.open(), self.way, self.recipe, end=network.vocabulary.end, block_size=self.block_size,
            compressed=self.compressed, device=place(),
        )  # fmt: skip

    def described(self) -> dict[str, Any]:
        """All that its texts depend on beside the weights."""
        recipe = {field.name: getattr(self.recipe, field.name) for field in fields(self.recipe)}
        return {"way": self.way, "block_size": self.block_size, "compressed": self.compressed, **recipe}


def ways(plan: Plan) -> list[Way]:
    """Raises InvalidSetting."""
    return [_way(plan, label, given) for label, given in plan.writers.items()]


def _way(plan: Plan, label: str, given: Mapping[str, Any]) -> Way:
    where, name = f"[writers.{label}]", given.get("network", label)
    if name not in plan.systems:
        raise InvalidSetting(f"{where} writes with {name!r}, which is no system here; give network = one of [systems].")
    way = given.get("way", shape(name)["system"])
    if way not in DEFAULTS:
        raise InvalidSetting(f"{where}: there is no way {way!r}; choose one of {', '.join(DEFAULTS)}.")
    rest = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items() if key not in OWN}
    try:
        recipe: Recipe = replace(cast("Any", DEFAULTS[way]), **rest)
    except (TypeError, ValueError) as error:
        raise InvalidSetting(f"{where} is not possible ({error}).") from error
    return Way(label, name, way, recipe, given.get("block_size"), bool(given.get("compressed", False)))
