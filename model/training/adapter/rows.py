"""Text that the base model wrote itself, as token ids: JSON Lines rows in, `Written` out, some of them held out.

Knows nothing of networks and noise.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.tokenizer import ChatTokenizer
from model.training.data import NoData

SYSTEM = "You are a helpful writing assistant."
"""The system line of rows that hold texts and no token ids: the desk's."""

COMMON = 16_384
"""Tokens that are worth proposing: what a small model writes, three times over. A third of the largest product."""

TEMPERATURE = 0.8
"""Of texts whose rows do not tell."""


@dataclass(frozen=True, slots=True)
class Written:
    """One text: tokens, of which those from `start` on were written by the model and the others are its prompt.

    temperature  it was drawn at.
    visited  places at which the block sampler began a cycle when it wrote the text, in order; none where it did not.
    """

    tokens: tuple[int, ...]
    start: int
    temperature: float = TEMPERATURE
    visited: tuple[int, ...] = ()

    @property
    def is_held_out_below(self) -> float:
        """A number in [0, 1) that depends on the prompt alone, so that a text keeps its side when the data grows."""
        digest = hashlib.sha256(json.dumps(self.tokens[: self.start]).encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48


def read(files: Sequence[str], tokenizer: ChatTokenizer, vocabulary: int, length: int) -> list[Written]:
    """Every row of the files, cut after `length` tokens. Raises NoData that names the row that cannot be used.

    A row has prompt_tokens and tokens (ids, the end token among them where it came), or prompt and text; and starts,
    where the block sampler wrote it. A text whose prompt alone is longer than `length` is left out.
    """
    found: list[Written] = []
    for name in files:
        for where, row in _rows(name):
            prompt, written = _ids(row, tokenizer, where)
            if not prompt or not written:
                raise NoData(f"{where} has no prompt or no text; remove the line.")
            worst = max(*prompt, *written, 0)
            if worst >= vocabulary or min(*prompt, *written, 0) < 0:
                raise NoData(f"{where} has a token id outside 0 … {vocabulary - 1}; it is of another model.")
            if len(prompt) < length:
                tokens = tuple([*prompt, *written][:length])
                places = [len(prompt) + start for start in row.get("starts", ())]
                visited = tuple(place for place in places if place < len(tokens))
                found.append(Written(tokens, len(prompt), row.get("temperature", TEMPERATURE), visited))
    return found


def split(rows: Sequence[Written], held_out: float, most: int) -> tuple[list[Written], list[Written]]:
    """Rows to train on, and at most `most` of those to validate with. Raises NoData where one of them is empty."""
    train = [row for row in rows if row.is_held_out_below >= held_out]
    valid = [row for row in rows if row.is_held_out_below < held_out]
    if not train or not valid:
        raise NoData(
            f"{len(rows)} rows leave {len(train)} to train on and {len(valid)} to validate with; give more text or "
            "another --held-out."
        )
    return train, sorted(valid, key=lambda row: row.is_held_out_below)[:most]


def common(texts: Sequence[Written], vocabulary: int, most: int = COMMON) -> Tensor:
    """Ids [P], in order, of the tokens that were written most often; where there are fewer, the vocabulary's first."""
    counts = Counter(token for text in texts for token in text.tokens[text.start :])
    found = dict.fromkeys([*(token for token, _ in counts.most_common(most)), *range(vocabulary)])
    return torch.tensor(sorted(list(found)[:most]), dtype=torch.int32)


def _rows(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        lines = Path(name).read_text(encoding="utf-8").split("\n")  # other line ends stand in texts
    except (OSError, UnicodeDecodeError) as error:
        raise NoData(f"{name} cannot be read ({error}).") from error
    for number, line in enumerate(lines, 1):
        where = f"{name}, line {number},"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise NoData(f"{where} is not JSON ({error}).") from error
        if not isinstance(row, dict):
            raise NoData(f"{where} is no row of names and values.")
        yield where, row


def _ids(row: dict[str, Any], tokenizer: ChatTokenizer, where: str) -> tuple[list[int], list[int]]:
    prompt, written = row.get("prompt_tokens"), row.get("tokens")
    if isinstance(prompt, list) and isinstance(written, list):
        if not all(isinstance(id, int) for id in (*prompt, *written)):
            raise NoData(f"{where} has tokens that are no whole numbers.")
        return prompt, written
    if not isinstance(row.get("prompt"), str) or not isinstance(row.get("text"), str):
        raise NoData(f"{where} has neither prompt_tokens and tokens nor prompt and text.")
    end = [tokenizer.end] if row.get("ended") else []
    return tokenizer.prompt(SYSTEM, row["prompt"]), [*tokenizer.encode(row["text"]), *end]
