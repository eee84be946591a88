"""A judge of writing: what a text costs another causal model, in nats.

Any model that transformers loads as causal, by its Hugging Face id or a folder, with its own tokenizer: the text is cut
into tokens anew, so nats per word can be compared between judges, nats per token only within one. The judge reads the
request first, in its own chat format where it has one, else as a paragraph before the text; only the text is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from model.contract import count_words


class JudgeUnusable(ValueError):
    """The judge cannot be loaded or cannot read so much; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one text costs: nll in nats, over so many of the judge's tokens, and over so many words."""

    nll: float
    tokens: int
    words: int


class Judge:
    """One model in memory, in float32."""

    def __init__(self, name: str) -> None:
        """Raises JudgeUnusable."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(name)
            self._model: Any = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32, use_safetensors=True)
        except (OSError, ValueError, ImportError) as error:
            what = str(error).strip().splitlines() or [type(error).__name__]
            raise JudgeUnusable(f"The judge {name} cannot be loaded ({what[0].rstrip('.:')}).") from error
        self._model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
        self.name = name

    def read(self, request: str, text: str) -> Verdict:
        """What the text costs after the request. Raises JudgeUnusable where both do not fit its context."""
        before, tokens = self._before(request), self._ids(text)
        most = getattr(self._model.config, "max_position_embeddings", None)  # not every architecture has a limit
        if most is not None and len(before) + len(tokens) > most:
            raise JudgeUnusable(
                f"The judge {self.name} reads {most} tokens, and a request with its text has "
                f"{len(before) + len(tokens)}; write fewer with --tokens, or ask another judge."
            )
        return Verdict(self._nll(before, tokens), len(tokens), count_words(text))

    def _nll(self, before: list[int], tokens: list[int]) -> float:
        """−log p of tokens, of which the first follows the last one of `before`; the sum, in nats."""
        if not tokens:
            return 0.0
        ids = torch.tensor([before + tokens], device=self._model.device)
        with torch.inference_mode():
            logits = self._model(ids).logits[0, len(before) - 1 : -1].double()  # [n, V]
        return float(torch.nn.functional.cross_entropy(logits, ids[0, len(before) :], reduction="sum"))

    def _before(self, request: str) -> list[int]:
        if self._tokenizer.chat_template is None:
            ids: list[int] = self._tokenizer(f"{request}\n\n").input_ids  # with the token that begins a text, if any
            return ids
        turn = [{"role": "user", "content": request}]
        return self._ids(self._tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids
        return ids
