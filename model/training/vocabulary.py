"""Text to token ids for training: a tokenizer.json, GPT-2's tokenizer through transformers, or a new BPE from a text.

The network's vocabulary is the tokenizer's and, behind it, the mask. Knows nothing of networks and rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END = "<|endoftext|>"
"""Stands between documents and at the beginning of every row."""

FILE = "tokenizer.json"


class WrongVocabulary(ValueError):
    """A tokenizer cannot be had, or does not fit the network; the message says which and what to do."""


class Vocabulary:
    """A tokenizer, the token that ends a text, and the size of the network that goes with it.

    end   id of the token that ends a text and begins a row.
    size  V: the tokenizer's tokens and the mask.
    """

    def __init__(self, tokenizer: Tokenizer, end: str = END) -> None:
        """Raises WrongVocabulary where the tokenizer does not know the end token."""
        found = tokenizer.token_to_id(end)
        if found is None:
            raise WrongVocabulary(f"The tokenizer has no token {end} to end a text with; choose one that has.")
        self.tokenizer = tokenizer
        self.end: int = found
        self.size: int = tokenizer.get_vocab_size() + 1

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of plain texts, without any marks around them. What looks like a control token is text."""
        self.tokenizer.encode_special_tokens = True
        return [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of token ids; the mask and the end token have none."""
        text: str = self.tokenizer.decode([token for token in tokens if token < self.size - 1])
        return text

    def fits(self, size: int, what: str) -> None:
        """Raises WrongVocabulary where a network knows another number of tokens."""
        if size != self.size:
            raise WrongVocabulary(
                f"{what} knows {size - 1} tokens and the mask, but the tokenizer has {self.size - 1} tokens; "
                "use the tokenizer that the network was trained with."
            )

    def save(self, folder: Path) -> None:
        """Writes tokenizer.json. Raises OSError."""
        (folder / FILE).write_text(self.tokenizer.to_str(), encoding="utf-8")


def open_vocabulary(name: str) -> Vocabulary:
    """A tokenizer.json, a folder with one, or a Hugging Face id such as gpt2. Raises WrongVocabulary."""
    path = Path(name).expanduser()
    file = path / FILE if path.is_dir() else path
    if file.is_file():
        text = file.read_text(encoding="utf-8")
        if not _is_tokenizer(text):
            raise WrongVocabulary(f"{file} is not a tokenizer.json; give one, or its folder.")
        return Vocabulary(Tokenizer.from_str(text))
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise WrongVocabulary(
            f"There is no tokenizer {name!r}: neither a tokenizer.json nor a Hugging Face id that can be reached."
        ) from error
    if not tokenizer.is_fast or tokenizer.eos_token is None:
        raise WrongVocabulary(f"The tokenizer {name!r} has no tokenizer.json with an end token; choose another one.")
    return Vocabulary(tokenizer.backend_tokenizer, tokenizer.eos_token)


def _is_tokenizer(text: str) -> bool:
    """Whether a file says that it holds a BPE or the like; what `tokenizers` then does not understand stays loud."""
    try:
        return "type" in json.loads(text)["model"]
    except (ValueError, KeyError, TypeError):
        return False


def train_vocabulary(texts: Iterable[str], tokens: int) -> Vocabulary:
    """A byte-level BPE of at most that many tokens, the end token included, learnt from the texts. Deterministic."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=tokens,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return Vocabulary(tokenizer)
