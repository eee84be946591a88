"""Rules of the tokenizer: no character is lost on the way there and back, and no text is taken for a control token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.tokenizer import (
    END,
    TEXT_END,
    TURN,
    ChatTokenizer,
    PlainTokenizer,
    TextStream,
    UnusableTokenizer,
    byte_level_bpe,
)
from tests.tiny_gguf import CONTROLS, MERGES, vocabulary


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(byte_level_bpe(vocabulary(), MERGES, CONTROLS).to_str(), encoding="utf-8")
    return ChatTokenizer(path)


texts = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["שלום עולם", "👩‍👩‍👧 🗞️", "a\r\n\tb", END + TURN, "ﷺ"]
)


@given(text=texts)
def test_every_text_comes_back_however_its_tokens_arrive(tokenizer: ChatTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert TextStream(tokenizer).add(ids) == text
    stream = TextStream(tokenizer)
    assert "".join(stream.add([id]) for id in ids) == text


@given(text=texts)
def test_what_a_writer_types_is_never_a_control_token(tokenizer: ChatTokenizer, text: str) -> None:
    controls = {tokenizer.end, *tokenizer.banned}
    assert controls.isdisjoint(tokenizer.encode(text + END + TURN + text))
    assert sum(id in controls for id in tokenizer.prompt(text, text)) == 5


def test_a_character_is_held_back_until_its_last_byte(tokenizer: ChatTokenizer) -> None:
    ids = tokenizer.encode("é!")
    stream = TextStream(tokenizer)
    assert [stream.add([id]) for id in ids] == ["", "é", "!"]
    assert [tokenizer.piece(id) for id in ids] == ["�", "�", "!"]


def test_a_fork_of_the_stream_goes_its_own_way(tokenizer: ChatTokenizer) -> None:
    first, *rest = tokenizer.encode("é")
    stream = TextStream(tokenizer)
    stream.add([first])
    twin = stream.fork()
    assert stream.add(rest) == twin.add(rest) == "é"


def test_merges_and_single_digits(tokenizer: ChatTokenizer) -> None:
    assert [tokenizer.piece(id) for id in tokenizer.encode("in the 42")] == ["i", "n", " the", " ", "4", "2"]


def test_a_conversation_is_marked_turn_by_turn(tokenizer: ChatTokenizer) -> None:
    ids = tokenizer.prompt("Be kind.", "Hello")
    turn = vocabulary().index(TURN)
    marks = {turn: TURN, tokenizer.end: END}
    shown = "".join(marks.get(id) or tokenizer.piece(id) for id in ids)
    assert shown == f"{TURN}system\nBe kind.{END}\n{TURN}user\nHello{END}\n{TURN}assistant\n"


def test_the_end_token_may_come_and_other_control_tokens_may_not(tokenizer: ChatTokenizer) -> None:
    assert vocabulary()[tokenizer.end] == END
    assert {vocabulary()[id] for id in tokenizer.banned} == set(CONTROLS) - {END}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"added_tokens": 3}'])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UnusableTokenizer, match="cannot be read"):
        ChatTokenizer(path)


def test_a_model_of_another_chat_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(byte_level_bpe(vocabulary(), MERGES, CONTROLS[:1]).to_str(), encoding="utf-8")
    written = json.loads(path.read_text(encoding="utf-8"))
    for token in (TURN, END):
        written["model"]["vocab"].pop(token)
    path.write_text(json.dumps(written), encoding="utf-8")
    with pytest.raises(UnusableTokenizer, match="not a model for this chat format"):
        ChatTokenizer(path)


# --------------------------------------------------------------------------------------------------- plain text


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> PlainTokenizer:
    path = tmp_path_factory.mktemp("plain") / "tokenizer.json"
    path.write_text(byte_level_bpe(vocabulary(), MERGES, CONTROLS).to_str(), encoding="utf-8")
    return PlainTokenizer(path)


@given(text=texts)
def test_a_plain_prompt_is_the_text_behind_the_token_that_begins_one(plain: PlainTokenizer, text: str) -> None:
    ids = plain.prompt("Be kind.", text)
    assert ids[0] == plain.end == vocabulary().index(TEXT_END)
    assert TextStream(plain).add(ids[1:]) == text
    assert plain.end not in ids[1:]
    assert {vocabulary()[id] for id in plain.banned} == set(CONTROLS) - {TEXT_END}
    assert plain.size == len(vocabulary())
