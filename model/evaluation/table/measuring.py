"""Takes every measure of a comparison, in order, and puts them into one result of plain JSON values.

The result is all that table.md and the plots know. Figures are {"value": …, "error": …}, one standard error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from model.evaluation.table import costs, likelihoods, samples, variances
from model.evaluation.table.figure import Figure, as_json, less, of_mean, of_median
from model.evaluation.table.kept import Kept, Values
from model.evaluation.table.networks import Network
from model.evaluation.table.plan import WHOLE_RANGE, Plan, shape, studied
from model.evaluation.table.recipes import Way, ways
from model.evaluation.table.rows import TEXT, columns, rows
from model.evaluation.table.samples import Bench
from model.evaluation.table.texts import licences, source
from model.evaluation.writers import TOGETHER
from model.machine import machine
from model.noise import ClippedInterval
from model.training import clipping
from model.training.data import Source, open_rows, tokenise
from model.training.vocabulary import Vocabulary


def measure(plan: Plan, networks: Mapping[str, Network], out: Path, bench: Bench, command: str, *,
            quiet: bool = False) -> Values:  # fmt: skip
    """The result; networks are all runs of `plan.trainings`, trained. Raises what the measures raise."""
    kept = Kept(out / "measures", quiet=quiet)
    systems = {name: networks[name] for name in plan.systems}
    texts = _texts(plan, networks, out)
    costs_of = {name: _costs(kept, plan, network, texts) for name, network in systems.items()}
    written = [_written(kept, plan, way, networks[way.network], bench) for way in ways(plan)]
    real = _real(kept, plan, next(iter(systems.values())), bench)
    result = {
        "title": plan.title,
        "command": command,
        "machine": machine(),
        "text": _text(plan, costs_of),
        "steps": {"pretrain": plan.steps.pretrain, "finetune": plan.steps.finetune, "study": plan.steps.study},
        "begun": [name for name, network in systems.items() if network.settings.start],
        "lengths": list(plan.measures.lengths),
        "samples": plan.measures.samples,
        "together": TOGETHER,
        "judge": bench.name,
        "columns": columns(plan),
        "rows": rows(plan, systems, costs_of, written, real),
        "order": _order(systems, costs_of),
        "seeds": _seeds(systems, costs_of),
        "clipping": [_clipped(kept, plan, network) for network in _block_networks(systems)],
        "noise": [_studied(kept, plan, networks, *study) for study in studied(plan)],
        "documents": _documents(plan, written, real),
        "passes": _passes(kept, systems),
        "attention": [found for network in _block_networks(systems) for found in _attention(kept, network)],
        "cache": _cache(kept, plan, systems),
        "compression": [_compression(kept, plan, network) for network in _block_networks(systems)],
        "plots": [],
    }
    trained = sum(float(network.state.get("seconds", 0.0)) for network in networks.values())
    return {**result, "training_seconds": round(trained), "seconds": round(trained + kept.seconds)}


def measure_alone(plan: Plan, networks: Mapping[str, Network], out: Path, bench: Bench, *, quiet: bool = False) -> None:
    """Takes what can be measured of these networks alone; `measure` finds it then. Raises what measures raise."""
    kept = Kept(out / "measures", quiet=quiet)
    systems = {name: network for name, network in networks.items() if name in plan.systems}
    for network in systems.values():
        _costs(kept, plan, network, _texts(plan, networks, out))
    for network in _block_networks(systems):
        _clipped(kept, plan, network)
        _compression(kept, plan, network)
    for way in ways(plan):
        if way.network in systems:
            _written(kept, plan, way, networks[way.network], bench)
    for study in studied(plan):
        if study[0] in networks:
            _studied(kept, plan, networks, *study)


# ------------------------------------------------------------------------------------------------------ perplexities


def _texts(plan: Plan, networks: Mapping[str, Network], out: Path) -> dict[str, tuple[str, ...]]:
    """The sources of the texts that are measured, by name; what is held out is the same for every network."""
    held_out = next(iter(networks.values())).settings.validation
    return {"validation": held_out, **{name: (source(name, out / "text"),) for name in plan.text.zero_shot}}


def _costs(kept: Kept, plan: Plan, network: Network, texts: Mapping[str, tuple[str, ...]]) -> dict[str, Values]:
    """What every text costs a network, by the text's name."""
    made = {"corpus": plan.text.corpus, "held_out": plan.text.held_out, "vocabulary": plan.text.vocabulary}
    measures, found = plan.measures, {}
    for text, sources in texts.items():
        one_level = text == "validation" and network.settings.system in ("mdlm", "sedd")
        found[text] = likelihoods.measure(
            kept, network, _file_name(text), sources, rows=None if text == "validation" else measures.rows,
            draws=measures.row_draws if one_level else measures.draws, batch=measures.batch, seed=measures.seed,
            made=made,
        )  # fmt: skip
    return found


def _file_name(text: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in text)


def _order(systems: Mapping[str, Network], found: Mapping[str, Mapping[str, Values]]) -> list[Values]:
    """Neighbours in the paper's order: by how many nats per token the second costs more, on the same rows."""
    pairs = []
    for better, worse in pairwise(_ranked(systems)):
        more = likelihoods.difference(found[worse]["validation"], found[better]["validation"])
        pairs.append({"better": better, "worse": worse, "more": as_json(more)})
    return pairs


def _ranked(systems: Iterable[str]) -> list[str]:
    """Those that the paper puts in order, each once, whatever its seeds."""

    def rank(name: str) -> tuple[int, int]:
        said = shape(name)
        return ("ar", "bd3lm", "mdlm", "sedd").index(said["system"]), said.get("block_size", 0)

    return sorted((name for name in systems if "@" not in name and shape(name)["system"] != "ssd"), key=rank)


def _seeds(systems: Mapping[str, Network], found: Mapping[str, Mapping[str, Values]]) -> Values:
    """Systems that were trained with several seeds: nats per token of held-out text, the seeds being the parts."""
    means: dict[str, Figure | None] = {}
    of = []
    for name in _ranked(systems):
        alike = [other for other in systems if other.partition("@")[0] == name]
        costs = [likelihoods.nats_per_token(found[other]["validation"]) for other in alike]
        values = [cost.value for cost in costs if cost is not None]
        if len(values) > 1:
            means[name] = of_mean(values)
            of.append({"system": name, "values": values, "mean": as_json(means[name])})
    pairs = [
        {"better": better, "worse": worse, "more": as_json(less(means[worse], means[better]))}
        for better, worse in pairwise(means)
    ]
    return {"of": of, "order": pairs}


def _block_networks(systems: Mapping[str, Network]) -> list[Network]:
    return [network for network in systems.values() if network.settings.system == "bd3lm"]


def _clipped(kept: Kept, plan: Plan, network: Network) -> Values:
    """The interval a search chose while training, and what it does to the variance, with random numbers of its own."""
    chosen = (float(network.state["interval"][0]), float(network.state["interval"][1]))
    full, clipped = _variances(kept, plan, network, (WHOLE_RANGE, chosen))
    return {
        "system": network.name,
        "interval": list(chosen),
        "full": as_json(variances.variance(full)),
        "clipped": as_json(variances.variance(clipped)),
        "times_less": as_json(variances.times_less(full, clipped)),
    }


def _studied(
    kept: Kept, plan: Plan, networks: Mapping[str, Network], name: str, interval: tuple[float, float], schedule: str,
    size: int,
) -> Values:  # fmt: skip
    """A short run: its bound over the whole range of levels, and the variance of what it was trained with."""
    network = networks[name]
    found = _costs(kept, plan, network, {"validation": network.settings.validation})["validation"]
    (own,) = _variances(kept, plan, network, (interval,))
    return {
        "block_size": size,
        "interval": list(interval),
        "schedule": schedule,
        "nats": as_json(likelihoods.nats_per_token(found)),
        "perplexity": as_json(likelihoods.perplexity(found)),
        "variance": as_json(variances.variance(own)),
        "is_bound": clipping.is_bound(ClippedInterval(*interval), size, schedule),
    }


def _variances(kept: Kept, plan: Plan, network: Network, intervals: Sequence[tuple[float, float]]) -> list[Values]:
    rows, seed = plan.measures.variance_rows, plan.measures.seed
    return variances.measure(kept, network, intervals, rows=rows, batch=network.settings.micro_batch, seed=seed)


# ------------------------------------------------------------------------------------------------------------- texts


def _written(kept: Kept, plan: Plan, way: Way, network: Network, bench: Bench) -> Values:
    """One way of writing, at every length, and its documents where they are counted."""
    wanted, most = plan.measures, samples.longest(way, network)
    found: Values = {"label": way.label, "network": way.network, "at": {}, "documents": None}
    for length in wanted.lengths:
        if most is not None and length > most:
            continue
        texts = samples.write(kept, way, network, count=wanted.samples, length=length, seed=wanted.seed)
        words = [samples.plain(network.vocabulary, text["tokens"]) for text in texts]
        judged = bench.read(kept, f"{way.label}-{length}", words)
        found["at"][length] = {
            "gen": samples.generative_perplexity(judged),
            "entropy": samples.entropy([text["tokens"] for text in texts]),
            "nfe": samples.nfe(texts),
            "speed": samples.tokens_per_second(texts),
        }
    if way.label in wanted.told:
        cut = min(wanted.longest, most or wanted.longest)
        found["documents"] = samples.write(
            kept, way, network, count=wanted.documents, length=cut, seed=wanted.seed, until_end=True
        )
    return found


def _real(kept: Kept, plan: Plan, network: Network, bench: Bench) -> Values:
    """Held-out text in pieces as long as the samples, and the lengths of the documents that were trained on."""
    vocabulary, settings = network.vocabulary, network.settings
    file = tokenise(Source(settings.validation, settings.column), vocabulary, Path(settings.cache), quiet=True)
    tokens = _tokens(file, vocabulary)
    found: Values = {"at": {}}
    for length in plan.measures.lengths:
        count = min(plan.measures.samples, len(tokens) // length)
        pieces = [tokens[at * len(tokens) // count :][: length - 1] for at in range(count)]
        words = [samples.plain(vocabulary, piece) for piece in pieces]
        judged = bench.read(kept, f"text-{length}", words)
        found["at"][length] = {
            "gen": samples.generative_perplexity(judged), "entropy": samples.entropy(pieces), "nfe": None, "speed": None
        }  # fmt: skip
    data = tokenise(Source(settings.data, settings.column), vocabulary, Path(settings.cache), quiet=True)
    found["documents"] = list(samples.in_documents(_tokens(data, vocabulary), vocabulary.end))
    return found


def _tokens(file: Path, vocabulary: Vocabulary) -> list[int]:
    """All tokens of a tokenised text."""
    rows = open_rows(file, vocabulary, 2)
    tokens: list[int] = np.asarray(rows.tokens).tolist()
    return tokens


def _documents(plan: Plan, written: Sequence[Values], real: Values) -> Values:
    """Length statistics: of texts that end where they want to, and of the text that was trained on."""
    told = [
        {
            "label": one["label"],
            "reasons": samples.reasons(one["documents"]),
            **_lengths([len(text["tokens"]) for text in one["documents"]]),
        }
        for one in written
        if one["documents"] is not None
    ]
    return {
        "edges": list(samples.EDGES),
        "longest": plan.measures.longest,
        "of": [{"label": TEXT, "reasons": {}, **_lengths(real["documents"])}, *told],
    }


def _lengths(lengths: Sequence[int]) -> Values:
    return {
        "count": len(lengths),
        "median": as_json(of_median(lengths)),
        "longest": max(lengths),
        "histogram": samples.histogram(lengths),
    }


# ------------------------------------------------------------------------------------------------------------- costs


def _passes(kept: Kept, systems: Mapping[str, Network]) -> list[Values]:
    blocks = [network for network in _block_networks(systems) if network.settings.block_size > 1]
    found = []
    for network in blocks:
        times = costs.passes(kept, network)
        found.append(
            {
                "system": network.name,
                "two_passes": as_json(costs.times(times, "two_passes")),
                "loop": as_json(costs.times(times, "loop")),
            }
        )
    return found


def _attention(kept: Kept, network: Network) -> list[Values]:
    return [
        {"system": network.name, **times, "times_faster": times["dense"] / times["flex"]}
        for times in costs.attention(kept, network)
    ]


def _cache(kept: Kept, plan: Plan, systems: Mapping[str, Network]) -> Values:
    """Of the largest blocks: all systems of one shape that have a cache need the same."""
    networks = sorted(_block_networks(systems), key=lambda network: network.settings.block_size)
    lengths = plan.measures.cache_lengths
    of = costs.cache_memory(kept, networks[-1], lengths) if networks else []
    return {"lengths": list(lengths), "system": networks[-1].name if networks else "", "of": of}


def _compression(kept: Kept, plan: Plan, network: Network) -> Values:
    wanted = plan.measures
    found = costs.compressed(kept, network, rows=wanted.variance_rows, batch=wanted.batch, seed=wanted.seed)
    return {
        "system": network.name,
        "more": as_json(Figure(found["more"], found["error"])),
        "plain": found["plain"],
        "compressed": found["compressed"],
    }


def _text(plan: Plan, found: Mapping[str, Mapping[str, Values]]) -> Values:
    one = next(iter(found.values()))
    counts = [{"name": text, "tokens": round(sum(costs["tokens"])), "rows": len(costs["tokens"])}
              for text, costs in one.items()]  # fmt: skip
    return {
        "corpus": plan.text.corpus,
        "held_out": plan.text.held_out,
        "vocabulary": plan.text.vocabulary,
        "licences": licences(plan.text),
        "measured": counts,
    }
