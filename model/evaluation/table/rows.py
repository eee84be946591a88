"""The main table of a result: its columns, and a row for every system and way of writing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from model.evaluation.table import likelihoods
from model.evaluation.table.figure import Figure, as_json, of_median
from model.evaluation.table.kept import Values
from model.evaluation.table.networks import Network
from model.evaluation.table.plan import PRETRAIN, STAGES, Plan

TEXT = "the text itself"
"""The row of what people wrote: held-out text, measured as the samples are."""


def columns(plan: Plan) -> list[Values]:
    """name, unit, which is better."""
    lower, higher = "lower", "higher"
    columns = [("perplexity", "", lower), *((f"perplexity on {text}", "", lower) for text in plan.text.zero_shot)]
    for length in plan.measures.lengths:
        columns += [
            (f"generative perplexity, {length} tokens", "", lower),
            (f"entropy, {length} tokens", "nats", ""),
            (f"NFE, {length} tokens", "", lower),
            (f"speed, {length} tokens", "tokens/s", higher),
        ]
    columns += [("median document", "tokens", ""), ("longest document", "tokens", ""), ("training", "minutes", lower)]
    return [{"name": name, "unit": unit, "better": better} for name, unit, better in columns]


def rows(
    plan: Plan, systems: Mapping[str, Network], found: Mapping[str, Mapping[str, Values]], written: Sequence[Values],
    real: Values,
) -> list[Values]:  # fmt: skip
    """A row for every system, then for every further way of writing, then for the text that people wrote."""
    by_label = {one["label"]: one for one in written}
    made = []
    for name, network in systems.items():
        cells = {"perplexity": as_json(likelihoods.perplexity(found[name]["validation"]))}
        for text in plan.text.zero_shot:
            cells[f"perplexity on {text}"] = as_json(likelihoods.perplexity(found[name][text]))
        cells |= _texts(by_label[name]) if name in by_label else {}
        cells["training"] = as_json(Figure(_minutes(network)))
        parameters = sum(parameter.numel() for parameter in network.open().parameters())
        exact = bool(found[name]["validation"]["exact"])
        made.append({"system": name, "parameters": parameters, "exact": exact, "columns": cells})
    for one in written:
        if one["label"] not in systems:
            made.append({"system": one["label"], "parameters": None, "exact": None, "columns": _texts(one)})
    own = {key: cell for key, cell in _texts({**real, "documents": None}).items() if cell is not None}
    lengths = real["documents"]
    own |= {"median document": as_json(of_median(lengths)), "longest document": as_json(Figure(max(lengths)))}
    return [*made, {"system": TEXT, "parameters": None, "exact": None, "columns": own}]


def _minutes(network: Network) -> float:
    """Of all its training, the shared part included."""
    seconds = float(network.state.get("seconds", 0.0))
    if network.settings.start:
        before = Path(network.settings.start)
        seconds += float(Network.at(f"{STAGES}/{PRETRAIN}", network.settings, before).state.get("seconds", 0.0))
    return seconds / 60


def _texts(one: Values) -> Values:
    cells: Values = {}
    for length, figures in one["at"].items():
        cells[f"generative perplexity, {length} tokens"] = as_json(figures["gen"])
        cells[f"entropy, {length} tokens"] = as_json(figures["entropy"])
        cells[f"NFE, {length} tokens"] = as_json(figures["nfe"])
        cells[f"speed, {length} tokens"] = as_json(figures["speed"])
    if one["documents"] is not None:
        lengths = [len(text["tokens"]) for text in one["documents"]]
        cells["median document"] = as_json(of_median(lengths))
        cells["longest document"] = as_json(Figure(max(lengths)))
    return cells
