"""The figures of one way of writing, from its texts: every one a ratio of sums over texts, with its 95% interval.

Pure. Knows nothing of how the texts came about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from model.evaluation.intervals import Estimate, difference, quotient, ratio
from model.evaluation.judge import Verdict
from model.evaluation.writing import Text, runs

PLAIN = ("name", "dial", "texts", "tokens")
"""Fields of a row that are no figures."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way of writing, over all requests. A figure is None where there is nothing to count.

    dial                as `--dial` takes it.
    tokens_per_second   of writing: the reading of the prompt is not counted.
    to_block_size_1     tokens_per_second divided by that of block size 1.
    nfe_per_token       network forwards per token, commits included, those that read the prompt not.
    tokens_per_cycle    tokens written per verifying forward.
    nll                 of each token under the frozen model's causal reading, at temperature 1 over the whole
                        vocabulary; nats per token.
    nll_difference      nll less that of block size 1.
    repeated_4grams     share of runs of four tokens that stood in the same text before.
    repeated_4grams_difference  that less the one of block size 1.
    distinct_2          different runs of two tokens within each text / all its runs of two. Pooled: texts are summed
                        above and below the line, as everywhere.
    words_kept          share of the proposed tokens that verification kept; None where none is proposed to it. Those
                        after the first one refused count as not kept; what the verifier adds itself does not count.
    judge_nll_per_token, judge_nll_per_word  of the text under the judge, in nats; see judge.py.
    """

    name: str
    dial: str
    texts: int
    tokens: int
    tokens_per_second: Estimate | None
    to_block_size_1: Estimate | None
    nfe_per_token: Estimate | None
    tokens_per_cycle: Estimate | None
    nll: Estimate | None
    nll_difference: Estimate | None
    repeated_4grams: Estimate | None
    repeated_4grams_difference: Estimate | None
    distinct_2: Estimate | None
    words_kept: Estimate | None
    judge_nll_per_token: Estimate | None
    judge_nll_per_word: Estimate | None

    def as_json(self) -> dict[str, Any]:
        """Every figure as a number, and beside it `…_interval`: [low, high]. Null where there is none."""
        out: dict[str, Any] = {name: getattr(self, name) for name in PLAIN}
        for name in (field.name for field in fields(self) if field.name not in PLAIN):
            figure: Estimate | None = getattr(self, name)
            out[name] = None if figure is None else figure.value
            out[f"{name}_interval"] = None if figure is None else figure.interval
        return out


def summary(
    name: str,
    dial: str,
    texts: Sequence[Text],
    base: Sequence[Text] | None = None,
    verdicts: Sequence[Verdict] = (),
) -> Row:
    """One row. base: the texts of block size 1 to the same requests; verdicts: a judge's, where there is one."""
    tokens = [len(text.tokens) for text in texts]
    bigrams = [runs(text.tokens, 2) for text in texts]
    judged = [verdict.nll for verdict in verdicts]
    pace, nll, again = tokens_per_second(texts), nll_per_token(texts), repeated_4grams(texts)
    base_pace, base_nll, base_again = (
        None if base is None else figure(base) for figure in (tokens_per_second, nll_per_token, repeated_4grams)
    )
    return Row(
        name=name,
        dial=dial,
        texts=len(texts),
        tokens=sum(tokens),
        tokens_per_second=pace,
        to_block_size_1=quotient(pace, base_pace) if pace and base_pace else None,
        nfe_per_token=ratio([text.nfe for text in texts], tokens),
        tokens_per_cycle=ratio(tokens, [text.cycles for text in texts]),
        nll=nll,
        nll_difference=difference(nll, base_nll) if nll and base_nll else None,
        repeated_4grams=again,
        repeated_4grams_difference=difference(again, base_again) if again and base_again else None,
        distinct_2=ratio([different for _, different in bigrams], [count for count, _ in bigrams]),
        words_kept=ratio([text.kept for text in texts], [text.proposed for text in texts]),
        judge_nll_per_token=ratio(judged, [verdict.tokens for verdict in verdicts]),
        judge_nll_per_word=ratio(judged, [verdict.words for verdict in verdicts]),
    )


def tokens_per_second(texts: Sequence[Text]) -> Estimate | None:
    """Of writing."""
    return ratio([len(text.tokens) for text in texts], [text.seconds for text in texts])


def nll_per_token(texts: Sequence[Text]) -> Estimate | None:
    """In nats."""
    return ratio([sum(text.nll) for text in texts], [len(text.tokens) for text in texts])


def repeated_4grams(texts: Sequence[Text]) -> Estimate | None:
    """Share of runs of four tokens that stood in the same text before."""
    counts = [runs(text.tokens, 4) for text in texts]
    return ratio([count - different for count, different in counts], [count for count, _ in counts])


# ------------------------------------------------------------------------------------------------------- the table

COLUMNS = (
    ("tokens/s", "tokens_per_second", 1),
    ("to block size 1, ×", "to_block_size_1", 2),
    ("NFE/token", "nfe_per_token", 2),
    ("tokens/cycle", "tokens_per_cycle", 2),
    ("NLL, nats/token", "nll", 2),
    ("less that of block size 1", "nll_difference", 2),
    ("repeated 4-grams", "repeated_4grams", 3),
    ("less those of block size 1", "repeated_4grams_difference", 3),
    ("distinct-2", "distinct_2", 3),
    ("words kept", "words_kept", 2),
    ("judge, nats/token", "judge_nll_per_token", 2),
    ("judge, nats/word", "judge_nll_per_word", 2),
)
"""What stands above a column, the figure, its decimals."""


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Lines of Markdown; figures ± half their intervals, columns without any left out."""
    shown = [column for column in COLUMNS if any(getattr(row, column[1]) is not None for row in rows)]
    yield "| | " + " | ".join(head for head, _, _ in shown) + " |"
    yield "|---" * (len(shown) + 1) + "|"
    for row in rows:
        yield " | ".join([f"| {row.name}", *(_cell(getattr(row, name), places) for _, name, places in shown)]) + " |"


def _cell(figure: Estimate | None, places: int) -> str:
    if figure is None:
        return "–"
    margin = "" if figure.margin is None else f" ± {figure.margin:.{places}f}"
    return f"{figure.value:.{places}f}{margin}"
