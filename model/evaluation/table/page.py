"""A result as Markdown. Knows the result alone: what is not in table.json is not in table.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model.evaluation.table.plots import noise_name

Result = Mapping[str, Any]


def markdown(result: Result, plots: str = "") -> str:
    """All tables and plots. plots: the folder the plots are in, as seen from the page, with a slash at its end."""
    parts = [_head(result), _perplexities(result), _order(result), _seeds(result), _writing(result), _documents(result),
             _clipping(result), _noise(result), _costs(result)]  # fmt: skip
    for name in result["plots"]:
        parts.append([f"![{name.removesuffix('.svg')}]({plots}{name})"])
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def figure(cell: Mapping[str, Any] | None, sign: str = "") -> str:
    """A number and its standard error, to two digits of the latter; a dash where it was not measured."""
    if cell is None:
        return "–"
    value, error = cell["value"], cell["error"]
    if not error:
        return f"{sign}{_rounded(value, 0 if value == int(value) or abs(value) >= 1000 else 1)}"
    places = 0
    while error * 10**places < 1 and places < 6:
        places += 1
    return f"{sign}{_rounded(value, places + 1 if places else 0)} ± {_rounded(error, places + 1 if places else 0)}"


def _rounded(value: float, places: int) -> str:
    return f"{value:.{places}f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _head(result: Result) -> list[str]:
    text, steps = result["text"], result["steps"]
    begun = (
        f"; those of {', '.join(result['begun'])} begin with the same {steps['pretrain']}" if result["begun"] else ""
    )
    measured = ", ".join(f"{one['name']} {one['tokens']} tokens in {one['rows']} rows" for one in text["measured"])
    lines = [
        f"**{result['title']}.** `{result['command']}`: {result['training_seconds'] / 60:.0f} minutes of training and "
        f"{(result['seconds'] - result['training_seconds']) / 60:.0f} of measuring on {result['machine']}. Every "
        f"system has {steps['pretrain'] + steps['finetune']} steps{begun}. ± is one standard error.",
        "",
        f"Measured on: {measured}.",
        "",
    ]
    lines += [f"- {one['name']}: Debian package {one['package']}. {one['licence']}" for one in text["licences"]]
    return lines


def _perplexities(result: Result) -> list[str]:
    names = [column["name"] for column in result["columns"] if column["name"].startswith("perplexity")]
    rows = [row for row in result["rows"] if row["exact"] is not None]
    head = ["system", "parameters", *(name.removeprefix("perplexity on ") for name in names), "minutes of training"]
    cells = [
        [
            row["system"],
            f"{row['parameters'] / 1e6:.1f}M",
            *(figure(row["columns"].get(name), "= " if row["exact"] else "≤ ") for name in names),
            figure(row["columns"]["training"]),
        ]
        for row in rows
    ]
    told = "Perplexity of held-out text, and of texts of another kind. = is exact, ≤ is a bound."
    return [told, "", *_table(head, cells)]


def _order(result: Result) -> list[str]:
    told = "By how many nats per token the second of two neighbours costs more, on the same rows of held-out text:"
    cells = [[f"{one['better']} < {one['worse']}", figure(one["more"])] for one in result["order"]]
    return [told, "", *_table(["order of the paper", "nats per token"], cells)] if cells else []


def _seeds(result: Result) -> list[str]:
    found = result["seeds"]
    told = "Systems trained with several seeds, in nats per token of held-out text; ± is the error of a mean of seeds:"
    cells = [
        [one["system"], ", ".join(f"{value:.3f}" for value in one["values"]), figure(one["mean"])]
        for one in found["of"]
    ]
    order = [f"{one['better']} < {one['worse']} by {figure(one['more'])} nats per token." for one in found["order"]]
    return [told, "", *_table(["system", "each", "mean"], cells), "", *order] if cells else []


def _writing(result: Result) -> list[str]:
    rows = [row for row in result["rows"] if any("tokens" in name for name in row["columns"])]
    if not rows:
        return []
    kinds = ("generative perplexity", "entropy", "NFE", "speed")
    names = [f"{kind}, {length} tokens" for kind in kinds for length in result["lengths"]]
    head = ["", *names]
    cells = [[row["system"], *(figure(row["columns"].get(name)) for name in names)] for row in rows]
    told = (
        f"{result['samples']} texts of each length, {result['together']} side by side. Generative perplexity is under "
        f"{result['judge']}, entropy in nats, speed in tokens a second. A text that is not possible has a dash."
    )
    return [told, "", *_table(head, cells)]


def _documents(result: Result) -> list[str]:
    found = result["documents"]
    if len(found["of"]) < 2:
        return []
    edges = [f"{edge}+" for edge in found["edges"]]
    cells = [
        [
            one["label"],
            str(one["count"]),
            figure(one["median"]),
            str(one["longest"]),
            ", ".join(f"{reason} {count}" for reason, count in one["reasons"].items()) or "–",
            *(str(count) for count in one["histogram"]),
        ]
        for one in found["of"]
    ]
    told = f"Documents that end where they want to, at {found['longest']} tokens at the latest; tokens, and how many."
    return [told, "", *_table(["", "documents", "median", "longest", "ended by", *edges], cells)]


def _clipping(result: Result) -> list[str]:
    cells = [
        [
            one["system"],
            f"U[{one['interval'][0]:g}, {one['interval'][1]:g}]",
            figure(one["full"]),
            figure(one["clipped"]),
            figure(one["times_less"]),
        ]
        for one in result["clipping"]
    ]
    told = "Variance of the mean loss of a block, over the whole range of noise levels and over the interval found:"
    head = ["system", "interval", "U[0, 1]", "interval's", "times less"]
    return [told, "", *_table(head, cells)] if cells else []


def _noise(result: Result) -> list[str]:
    cells = [
        [
            str(one["block_size"]),
            noise_name(one),
            figure(one["perplexity"], "= " if one["block_size"] == 1 else "≤ "),
            figure(one["nats"]),
            figure(one["variance"]),
            "yes" if one["is_bound"] else "no",
        ]
        for one in result["noise"]
    ]
    told = (
        f"Short trainings of {result['steps']['study']} steps from the same weights, whose only difference is the "
        "noise. Perplexity is taken over the whole range, variance over what a network was trained with."
    )
    head = ["L'", "noise", "perplexity", "nats per token", "variance", "its loss is a bound"]
    return [told, "", *_table(head, cells)] if cells else []


def _costs(result: Result) -> list[str]:
    return list(_cost_lines(result))


def _cost_lines(result: Result) -> Iterator[str]:
    if result["passes"]:
        yield "A training step in one pass over x_t ⊕ x_0; its slow twins take so many times as long:"
        yield ""
        cells = [[one["system"], figure(one["two_passes"]), figure(one["loop"])] for one in result["passes"]]
        yield from _table(["system", "two passes", "a loop over blocks"], cells)
        yield ""
    if result["attention"]:
        yield "Attention of one layer under the training mask, forward and backward, in milliseconds:"
        yield ""
        cells = [
            [one["system"], str(one["length"]), f"{one['dense'] * 1e3:.2f}", f"{one['flex'] * 1e3:.2f}",
             f"{one['times_faster']:.1f} ×"]
            for one in result["attention"]
        ]  # fmt: skip
        yield from _table(["system", "tokens of a row", "dense mask", "FlexAttention", "faster"], cells)
        yield ""
    lengths = result["cache"]["lengths"]
    if result["cache"]["of"]:
        yield (
            f"KiB of keys and values of one text of {result['cache']['system']}, by its tokens; as numbers of 32 bits, "
            "and as bytes with a scale; with the network's window, and with a context that holds the whole text:"
        )
        yield ""
        cells = [
            [one["context"], one["numbers"], *(f"{size / 1024:.0f}" for size in one["bytes"])]
            for one in result["cache"]["of"]
        ]
        yield from _table(["context", "cache", *map(str, lengths)], cells)
        yield ""
    if result["compression"]:
        yield "What the cache of bytes costs on held-out text, in nats per token, and saves:"
        yield ""
        cells = [
            [one["system"], figure(one["more"]), f"{one['plain'] / one['compressed']:.2f} × less memory"]
            for one in result["compression"]
        ]
        yield from _table(["system", "costs", "saves"], cells)
