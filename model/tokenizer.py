"""Text to token ids and back: byte-level BPE from a tokenizer.json, and the chat format of the default model.

Knows nothing of networks. Whatever a writer types is text, also where it looks like a control token.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

TURN, END = "<|im_start|>", "<|im_end|>"
"""The marks around every turn of a conversation; the second one also ends the model's answer."""


class UnusableTokenizer(ValueError):
    """The tokenizer is not of the kind this module reads; the message says what is missing."""


class ChatTokenizer:
    """The tokenizer of a model that was trained on conversations in the format of `prompt`.

    end     id of the token that ends an answer.
    banned  control tokens that have no place in an answer.
    """

    def __init__(self, path: Path) -> None:
        """Raises UnusableTokenizer, OSError."""
        try:
            text = path.read_text(encoding="utf-8")
            controls = [token["id"] for token in json.loads(text)["added_tokens"] if token["special"]]
        except (ValueError, KeyError, TypeError) as error:
            raise UnusableTokenizer(f"{path.name} cannot be read as a tokenizer ({error}).") from error
        self._tokenizer = Tokenizer.from_str(text)
        self._tokenizer.encode_special_tokens = True
        end, turn = self._tokenizer.token_to_id(END), self._tokenizer.token_to_id(TURN)
        if end is None or turn is None:
            raise UnusableTokenizer(f"{path.name} has no tokens {TURN} and {END}: not a model for this chat format.")
        self.path, self.end, self._turn = path, end, turn
        self.banned = tuple(id for id in controls if id != end)
        self._bytes = [_bytes_of(self._tokenizer.id_to_token(id)) for id in range(self._tokenizer.get_vocab_size())]

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def prompt(self, system: str, user: str) -> list[int]:
        """A conversation up to where the model's answer begins."""
        ids: list[int] = []
        for role, content in (("system", system), ("user", user)):
            ids += [self._turn, *self.encode(f"{role}\n{content}"), self.end, *self.encode("\n")]
        return [*ids, self._turn, *self.encode("assistant\n")]

    def piece(self, token: int) -> str:
        """The text of one token; U+FFFD for a part of a character, empty for an id that is no text."""
        return self._bytes_of(token).decode("utf-8", "replace")

    def _bytes_of(self, token: int) -> bytes:
        return self._bytes[token] if 0 <= token < len(self._bytes) else b""


class TextStream:
    """The text of tokens that come one after the other; a character whose bytes are not all there yet is held back."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
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
