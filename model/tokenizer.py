"""Text to token ids and back: byte-level BPE from a tokenizer.json; the chat format, or plain text for a base model.

Knows nothing of networks. Whatever a writer types is text, also where it looks like a control token.
"""

from __future__ import annotations

import codecs
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

TURN, END = "<|im_start|>", "<|im_end|>"
"""The marks around every turn of a conversation; the second one also ends the model's answer."""


THOUGHT, THOUGHT_END = "<think>", "</think>"
"""Around what a model that reasons writes before its answer."""

TEXT_END = "<|endoftext|>"
"""Ends a text of GPT-2's tokenizer, and begins the next one."""


_MARK = re.compile(r"<[^<>\s]+>")


class UnusableTokenizer(ValueError):
    """The tokenizer is not of the kind this module reads; the message says what is missing."""


class TextTokenizer(ABC):
    """A tokenizer and how a model is asked in its tokens.

    end     id of the token that ends what the model writes.
    banned  control tokens that have no place in it.
    inner   tokens that go on with a word, or with a character.
    """

    def __init__(self, path: Path, end: str, lacking: str) -> None:
        """lacking: what is said of a file without the end token. Raises UnusableTokenizer, OSError."""
        try:
            text = path.read_text(encoding="utf-8")
            published: dict[str, Any] = json.loads(text)
            for token in published["added_tokens"]:
                # Marks for tools, thoughts and code are not special where they are published, but they are no text.
                token["special"] = token["special"] or _MARK.fullmatch(token["content"]) is not None
            controls = [token["id"] for token in published["added_tokens"] if token["special"]]
        except (ValueError, KeyError, TypeError) as error:
            raise UnusableTokenizer(f"{path.name} cannot be read as a tokenizer ({error}).") from error
        self._check(path, published)
        self._tokenizer = Tokenizer.from_str(json.dumps(published))
        self._tokenizer.encode_special_tokens = True
        self.path, self.end = path, self._id(end, lacking)
        self.banned = tuple(id for id in controls if id != self.end)
        self._bytes = [_bytes_of(self._tokenizer.id_to_token(id)) for id in range(self.size)]
        self.inner = tuple(id for id in range(self.size) if id not in controls and _goes_on(self.piece(id)))

    @abstractmethod
    def prompt(self, system: str, user: str) -> list[int]:
        """What is read before the text that is to be written."""

    def _check(self, path: Path, published: dict[str, Any]) -> None:  # noqa: B027 (most kinds will do)
        """Raises UnusableTokenizer where a tokenizer.json is of another kind."""

    def _id(self, token: str, lacking: str) -> int:
        found: int | None = self._tokenizer.token_to_id(token)
        if found is None:
            raise UnusableTokenizer(lacking)
        return found

    @property
    def size(self) -> int:
        """Number of its tokens."""
        count: int = self._tokenizer.get_vocab_size()
        return count

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def piece(self, token: int) -> str:
        """The text of one token; U+FFFD for a part of a character, empty for an id that is no text."""
        return self._bytes_of(token).decode("utf-8", "replace")

    def _bytes_of(self, token: int) -> bytes:
        return self._bytes[token] if 0 <= token < len(self._bytes) else b""


class ChatTokenizer(TextTokenizer):
    """The tokenizer of a model that was trained on conversations in the format of `prompt`."""

    def __init__(self, path: Path) -> None:
        """Raises UnusableTokenizer, OSError."""
        lacking = f"{path.name} has no tokens {TURN} and {END}: not a model for this chat format."
        super().__init__(path, END, lacking)
        self._turn = self._id(TURN, lacking)
        self._thought: list[int] = []
        for mark in (THOUGHT, THOUGHT_END):
            if (id := self._tokenizer.token_to_id(mark)) is not None:
                self._thought += [id, *self.encode("\n\n")]

    def prompt(self, system: str, user: str) -> list[int]:
        """A conversation up to where the model's answer begins; a model that reasons is given an empty thought."""
        ids: list[int] = []
        for role, content in (("system", system), ("user", user)):
            ids += [self._turn, *self.encode(f"{role}\n{content}"), self.end, *self.encode("\n")]
        return [*ids, self._turn, *self.encode("assistant\n"), *self._thought]


class PlainTokenizer(TextTokenizer):
    """GPT-2's tokenizer, or one of its kind: for a model that continues text and reads nothing else."""

    def __init__(self, path: Path) -> None:
        """Raises UnusableTokenizer, OSError."""
        super().__init__(path, TEXT_END, f"{path.name} has no token {TEXT_END}, which begins and ends a text.")

    def prompt(self, system: str, user: str) -> list[int]:
        """The beginning of a text: the token that stands before it, and the text before; there is no `system`."""
        return [self.end, *self.encode(user)]

    def _check(self, path: Path, published: dict[str, Any]) -> None:
        """Other kinds would lose the spaces between words."""
        kinds = {"model": "BPE", "decoder": "ByteLevel"}
        parts = {name: published.get(name) for name in kinds}
        if any(not isinstance(part, dict) or part.get("type") != kinds[name] for name, part in parts.items()):
            raise UnusableTokenizer(f"{path.name} is not a byte-level BPE as GPT-2's is; these models need one.")


def _goes_on(piece: str) -> bool:
    """Whether a token goes on with a word as far as its own text tells."""
    return piece[:1].isalnum() or piece[:1] in ("'", "’", "\ufffd")


class TextStream:
    """The text of tokens that come one after the other; a character whose bytes are not all there yet is held back."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, tokens: Iterable[int]) -> str:
        """The text that these tokens complete."""
        return self._decoder.decode(b"".join(self._tokenizer._bytes_of(token) for token in tokens))

    def fork(self) -> TextStream:
        """An independent stream that goes on from here."""
        twin = TextStream(self._tokenizer)
        twin._decoder.setstate(self._decoder.getstate())
        return twin


def byte_level_bpe(tokens: Sequence[str], merges: Sequence[str], controls: Iterable[str]) -> Tokenizer:
    """The tokenizer of the SmolLM family: single digits, then GPT-2's byte-level BPE. merges are "left right"."""
    vocabulary = {token: id for id, token in enumerate(tokens)}
    pairs = [(left, right) for left, right in (merge.split(" ") for merge in merges)]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(control, special=True, normalized=False) for control in controls])
    return tokenizer


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable character for every byte: itself where it is printable, else the next one from U+0100 on."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(0x100) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(0x100 + rank): byte for rank, byte in enumerate(hidden)}


_BYTE_OF = _byte_alphabet()


def _bytes_of(token: str | None) -> bytes:
    if token is None:
        return b""
    if all(character in _BYTE_OF for character in token):
        return bytes(_BYTE_OF[character] for character in token)
    return token.encode()
