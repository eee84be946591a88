"""Texts that the networks write, and what is counted in them: forwards, seconds, entropy, length, nats under a judge.

Texts are written and kept in portions, so a stopped run loses one of them. All begin with the end token alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from model.block_diffusion import unigram_entropy
from model.evaluation.generation import text_seed
from model.evaluation.judge import Judge
from model.evaluation.table.figure import Figure, of_exponential, of_mean, of_ratio
from model.evaluation.table.kept import Kept, Values
from model.evaluation.table.networks import Network
from model.evaluation.table.recipes import Way
from model.evaluation.writers import TOGETHER, SampledWriter
from model.training.vocabulary import Vocabulary

PORTION = 8 * TOGETHER


def write(
    kept: Kept, way: Way, network: Network, *, count: int, length: int, seed: int, until_end: bool = False
) -> list[Values]:
    """So many texts of a length, prompt included; until_end: the most, and they end where they want to.

    Each has tokens, nfe, seconds and reason, as `writers.Sample`. None where the writer cannot write so much.
    """
    written: list[Values] = []
    writer: SampledWriter | None = None
    kind = "documents" if until_end else "samples"
    for portion, at in enumerate(range(0, count, PORTION)):
        some = min(PORTION, count - at)

        def take(some: int = some, portion: int = portion) -> Values:
            nonlocal writer
            writer = writer or way.open(network)
            prompts = [[writer.end]] * some
            texts = writer.write(prompts, length, text_seed(seed, portion), until_end=until_end)
            return {"texts": [{"tokens": text.tokens, "nfe": text.nfe, "seconds": text.seconds, "reason": text.reason}
                              for text in texts]}  # fmt: skip

        depends = {
            "weights": network.digest, "way": way.described(), "count": some, "length": length,
            "seed": [seed, portion], "together": TOGETHER,
        }  # fmt: skip
        written += kept.get(f"{kind}/{way.label}-{length}/{portion:03}", depends, take)["texts"]
    return written


def longest(way: Way, network: Network) -> int | None:
    """Tokens of the longest text it can write."""
    return network.settings.length if way.way == "sedd" else None


# ----------------------------------------------------------------------------------------------------------- figures


def nfe(texts: Sequence[Values]) -> Figure | None:
    """Forwards for a text."""
    return of_mean([text["nfe"] for text in texts])


def tokens_per_second(texts: Sequence[Values]) -> Figure | None:
    """Of TOGETHER texts side by side; what was written side by side is one part."""
    batches = [texts[at : at + TOGETHER] for at in range(0, len(texts), TOGETHER)]
    return of_ratio(
        [sum(len(text["tokens"]) for text in batch) for batch in batches],
        [sum(text["seconds"] for text in batch) for batch in batches],
    )


def entropy(texts: Sequence[Sequence[int]]) -> Figure | None:
    """Of the unigrams of a text, in nats; the mean over the texts."""
    return of_mean([unigram_entropy(tokens) for tokens in texts])


def plain(vocabulary: Vocabulary, tokens: Sequence[int]) -> str:
    """The words of a text; an empty line where one document ends and another begins."""
    documents: list[list[int]] = [[]]
    for token in tokens:
        if token == vocabulary.end:
            documents.append([])
        else:
            documents[-1].append(token)
    return "\n\n".join(vocabulary.decode(document).strip() for document in documents if document)


class Bench:
    """A judge who is called when there is something to read, and not before.

    name: what it is called in the table. opened: gives the judge; raises JudgeUnusable, WeightsUnavailable.
    """

    def __init__(self, name: str, opened: Callable[[], Judge]) -> None:
        self.name = name
        self._opened = opened
        self._judge: Judge | None = None

    def read(self, kept: Kept, label: str, texts: Sequence[str]) -> Values:
        """nats and tokens, of the judge's own, of every text."""

        def take() -> Values:
            self._judge = judge = self._judge or self._opened()
            verdicts = [judge.read_alone(text) for text in texts]
            return {"nats": [round(verdict.nll, 3) for verdict in verdicts],
                    "tokens": [verdict.tokens for verdict in verdicts]}  # fmt: skip

        return kept.get(f"judged/{label}", {"judge": self.name, "texts": list(texts)}, take)


def generative_perplexity(found: Values) -> Figure | None:
    """exp of nats over tokens, all texts together."""
    return of_exponential(of_ratio(found["nats"], found["tokens"]))


# ----------------------------------------------------------------------------------------------------------- lengths

EDGES = (0, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
"""Of the histogram's classes, in tokens."""


def histogram(lengths: Sequence[int]) -> list[int]:
    """How many lengths are in each class: from its edge up to the next one; the last class has no end."""
    classes = Counter(sum(length >= edge for edge in EDGES) - 1 for length in lengths)
    return [classes[at] for at in range(len(EDGES))]


def reasons(texts: Sequence[Values]) -> dict[str, int]:
    """How many texts ended for each reason."""
    return dict(sorted(Counter(str(text["reason"]) for text in texts).items()))


def in_documents(tokens: Sequence[int], end: int) -> Iterator[int]:
    """Lengths of the documents of a tokenised text, end tokens left out."""
    length = 0
    for token in tokens:
        if token == end:
            yield length
            length = 0
        else:
            length += 1
