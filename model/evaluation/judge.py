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

END = "<|endoftext|>"
"""What most vocabularies call the token between two documents."""


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
        self._fits(len(before) + len(tokens), "a request with its text")
        return Verdict(self._nll(before, tokens), len(tokens), count_words(text))

    def read_alone(self, text: str) -> Verdict:
        """What the text costs with nothing before it but the token that begins one.

        Its first token is not counted where the judge has no such token. Raises JudgeUnusable.
        """
        tokens = self._ids(text)
        begin = self._begin()
        if begin is None:
            before, counted = tokens[:1], tokens[1:]
        else:
            before, counted = [begin], tokens
        self._fits(len(before) + len(counted), "a text")
        return Verdict(self._nll(before, counted), len(counted), count_words(text))

    def _begin(self) -> int | None:
        """The token that stands between documents: what a chat model calls so may be its mark of a turn."""
        known: dict[str, int] = self._tokenizer.get_vocab()
        begin: int | None = known.get(END, self._tokenizer.bos_token_id)
        if begin is None:
            begin = self._tokenizer.eos_token_id
        return begin

    def _fits(self, tokens: int, what: str) -> None:
        most = getattr(self._model.config, "max_position_embeddings", None)  # not every architecture has a limit
        if most is not None and tokens > most:
            raise JudgeUnusable(
                f"The judge {self.name} reads {most} tokens, and {what} has {tokens}; write fewer with --tokens, "
                "or ask another judge."
            )

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
