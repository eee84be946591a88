"""Text to rows: every kind of file, once tokenised, and what is said about a bad one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.training.data import HUB, NoData, Order, Rows, Source, open_rows, tokenise
from model.training.vocabulary import FILE, Vocabulary, WrongVocabulary, open_vocabulary, train_vocabulary

TEXTS = ["The sea was calm.\n\nThe light burned.", "A second text, <|endoftext|> and all."]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return train_vocabulary(TEXTS, 300)


def write(folder: Path, ending: str) -> list[str]:
    """The two texts as files of a kind."""
    if ending == "txt":
        for at, text in enumerate(TEXTS):
            (folder / f"{at}.txt").write_text(text, encoding="utf-8")
        return [str(folder / "0.txt"), str(folder / "1.txt")]
    file = folder / f"texts.{ending}"
    if ending == "parquet":
        pandas = pytest.importorskip("pandas")
        pandas.DataFrame({"text": TEXTS}).to_parquet(file)
    elif ending == "csv":
        pandas = pytest.importorskip("pandas")
        pandas.DataFrame({"text": TEXTS}).to_csv(file, index=False)
    else:
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), encoding="utf-8")
    return [str(file)]


@pytest.mark.parametrize("ending", ["txt", "parquet", "jsonl", "csv"])
def test_every_kind_of_file_gives_the_same_documents(tmp_path: Path, ending: str) -> None:
    assert list(Source(tuple(write(tmp_path, ending))).documents()) == TEXTS


def stream(vocabulary: Vocabulary) -> list[int]:
    return [token for ids in vocabulary.encode(TEXTS) for token in (*ids, vocabulary.end)]


def opened(folder: Path, vocabulary: Vocabulary, length: int) -> Rows:
    return open_rows(tokenise(Source(tuple(write(folder, "txt"))), vocabulary, folder, quiet=True), vocabulary, length)


def test_rows_begin_with_the_end_token_and_are_the_text_in_order(tmp_path: Path, vocabulary: Vocabulary) -> None:
    rows = opened(tmp_path, vocabulary, 8)
    batch = rows.batch(range(len(rows)))
    whole = stream(vocabulary)
    assert batch[:, 0].tolist() == [vocabulary.end] * len(rows)
    assert batch[:, 1:].flatten().tolist() == whole[: len(whole) // 7 * 7]


def test_text_that_looks_like_a_control_token_is_text(vocabulary: Vocabulary) -> None:
    assert vocabulary.end not in vocabulary.encode(TEXTS)[1]
    assert [vocabulary.decode(ids) for ids in vocabulary.encode(TEXTS)] == TEXTS


def test_a_source_is_tokenised_once_and_again_when_it_changes(tmp_path: Path, vocabulary: Vocabulary) -> None:
    source = Source(tuple(write(tmp_path, "jsonl")))
    first = tokenise(source, vocabulary, tmp_path, quiet=True)
    written = first.stat().st_mtime_ns
    assert tokenise(source, vocabulary, tmp_path, quiet=True) == first
    assert first.stat().st_mtime_ns == written
    assert tokenise(source, train_vocabulary(TEXTS, 280), tmp_path, quiet=True) != first
    (tmp_path / "texts.jsonl").write_text(json.dumps({"text": "Another."}) + "\n", encoding="utf-8")
    assert tokenise(source, vocabulary, tmp_path, quiet=True) != first


def test_a_text_that_cannot_be_tokenised_leaves_no_half_file(tmp_path: Path, vocabulary: Vocabulary) -> None:
    names = write(tmp_path, "jsonl")
    cache = tmp_path / "cache"
    with pytest.raises(NoData, match="no column 'body'; choose one of text"):
        tokenise(Source(tuple(names), "body"), vocabulary, cache, quiet=True)
    assert list(cache.iterdir()) == []


def test_bad_sources_are_named_in_a_sentence(tmp_path: Path, vocabulary: Vocabulary) -> None:
    with pytest.raises(NoData, match="cannot be read"):
        Source((str(tmp_path / "none.txt"),)).describe()
    (tmp_path / "a.pdf").write_text("x", encoding="utf-8")
    with pytest.raises(NoData, match="no known kind"):
        list(Source((str(tmp_path / "a.pdf"),)).documents())
    with pytest.raises(NoData, match=r"a row needs 1023; give more text or shorter rows"):
        opened(tmp_path, vocabulary, 1024)
    assert Source((f"{HUB}some/set",)).describe() == ["text", "hub:some/set"]


def test_the_last_rows_validate(tmp_path: Path, vocabulary: Vocabulary) -> None:
    rows = opened(tmp_path, vocabulary, 4)
    train, validation = rows.split(0.25)
    assert len(train) + len(validation) == len(rows)
    assert validation.batch([0]).tolist() == rows.batch([len(train)]).tolist()


def test_every_epoch_reads_every_row_once_in_its_own_order() -> None:
    order = Order(10, 4, seed=1)
    read = [row for step in range(5) for row in order.step(step)]
    assert sorted(read[:10]) == sorted(read[10:]) == list(range(10))
    assert read[:10] != read[10:]
    assert Order(10, 4, seed=1).step(3) == order.step(3)


def test_a_tokenizer_is_found_in_its_folder_and_a_wrong_one_is_named(tmp_path: Path, vocabulary: Vocabulary) -> None:
    vocabulary.save(tmp_path)
    assert open_vocabulary(str(tmp_path)).size == vocabulary.size
    (tmp_path / FILE).write_text("{}", encoding="utf-8")
    with pytest.raises(WrongVocabulary, match=r"is not a tokenizer\.json"):
        open_vocabulary(str(tmp_path))
    with pytest.raises(WrongVocabulary, match="use the tokenizer that the network was trained with"):
        vocabulary.fits(vocabulary.size + 1, "The network")
