"""Rules of the lab's own process, asked directly: the writers' texts, honest counts, and text for every token."""

from __future__ import annotations

import math
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from app.lab_bench import PARAGRAPH, Bench, Judge, spell
from app.lab_process import Compare, Opened, Picture, Read, Step, Verdict
from model.evaluation.writers import writer_for
from model.training.checkpoint import tokenizer_of
from model.training.vocabulary import Vocabulary, train_vocabulary
from tests.tiny_lab import RUNS, tiny_lab
from tests.training_tiny import text

PROMPT = "the sea"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lab(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return train_vocabulary([text(200)], 300)


def checkpoint(folder: Path, run: str) -> Path:
    return folder / run / "step-0000006"


def written(bench: Bench, side: int = 0) -> list[Picture]:
    """All pictures of a side, up to the last."""
    pictures: list[Picture] = []
    while not pictures or not pictures[-1].done:
        picture = bench.answer(Step(side))
        assert isinstance(picture, Picture)
        pictures.append(picture)
    return pictures


@pytest.mark.parametrize("run", [run for run in RUNS if run not in ("sedd", "ssd")])
def test_the_text_is_the_writers_own(folder: Path, tmp_path: Path, run: str) -> None:
    where, system = checkpoint(folder, run), RUNS[run][0]
    bench = Bench(tmp_path, None)
    assert bench.answer(Compare(((where, system),), PROMPT, 20, 5)) == Opened((None,))
    pictures = written(bench)
    vocabulary = tokenizer_of(where)
    prompt = [vocabulary.end, *vocabulary.encode([PROMPT])[0]]
    sample = writer_for(where, system).write([prompt], len(prompt) + 20, 5)[0]
    last = pictures[-1]
    assert last.locked == "".join(piece or "" for piece in spell(vocabulary, sample.tokens, vocabulary.size - 1))
    assert (last.tokens, last.nfe, last.slots) == (20, sample.nfe, ())
    for before, after in pairwise(pictures):
        assert after.locked.startswith(before.locked)
        assert (after.tokens, after.seconds) >= (before.tokens, before.seconds)


def test_blocks_are_locked_one_after_the_other(folder: Path, tmp_path: Path) -> None:
    bench = Bench(tmp_path, None)
    bench.answer(Compare(((checkpoint(folder, "bd3-4"), "bd3lm"),), "", 11, 5))
    sizes = [len(picture.slots) for picture in written(bench)]
    assert sizes == [3] * 3 + [4] * 8 + [0]  # the first block holds the token before the text


@pytest.mark.parametrize(
    ("run", "system", "forwards"), [("sedd", "sedd", 4), ("mdlm", "mdlm-ancestral", 3), ("bd3-4", "bd3lm", 15)]
)
def test_steps_are_those_of_the_samplers_that_have_any(
    folder: Path, tmp_path: Path, run: str, system: str, forwards: int
) -> None:
    bench = Bench(tmp_path, None)
    bench.answer(Compare(((checkpoint(folder, run), system),), "", 12, 5, steps=3))
    assert written(bench)[-1].nfe == forwards  # SEDD's last one denoises; blocks of four are written as a whole


def test_slots_that_are_drawn_anew_are_not_sure(folder: Path, tmp_path: Path) -> None:
    bench = Bench(tmp_path, None)
    bench.answer(Compare(((checkpoint(folder, "ssd"), "ssd"),), "", 7, 5, steps=3))
    pictures = written(bench)
    assert [picture.tokens for picture in pictures] == [0] * 3 + [3] * 3 + [7]
    assert not any(slot.sure for picture in pictures for slot in picture.slots)


def test_sedd_says_that_it_cannot_pass_its_training_length(folder: Path, tmp_path: Path) -> None:
    systems = ((checkpoint(folder, "sedd"), "sedd"), (checkpoint(folder, "ar"), "ar"))
    bench = Bench(tmp_path, None)
    opened = bench.answer(Compare(systems, "", 16, 5))
    assert isinstance(opened, Opened)
    assert opened.problems[0] == (
        "This system writes at most its training length of 16 tokens, and this text would have 17, 1 of them before "
        "it; ask for fewer."
    )
    assert opened.problems[1] is None
    assert written(bench, 1)[-1].tokens == 16
    assert bench.answer(Compare(systems, "", 15, 5)) == Opened((None, None))


@pytest.mark.parametrize("break_it", ["gone", "empty", "other"])
def test_what_cannot_be_opened_is_told_in_a_sentence(folder: Path, tmp_path: Path, break_it: str) -> None:
    where = tmp_path / "mdlm"
    shutil.copytree(checkpoint(folder, "mdlm"), where)
    if break_it == "gone":
        shutil.rmtree(where)
    if break_it == "empty":
        (where / "model.safetensors").write_bytes(b"")
    opened = Bench(tmp_path, None).answer(Compare(((where, "sedd" if break_it == "other" else "mdlm"),), "", 4, 5))
    assert isinstance(opened, Opened)
    (problem,) = opened.problems
    assert problem is not None
    assert problem.endswith(".")


def test_every_token_has_text_and_a_character_comes_with_its_last_byte(vocabulary: Vocabulary) -> None:
    (tokens,) = vocabulary.encode(["the sea 漢 é"])
    mask = vocabulary.size - 1
    assert "".join(piece or "" for piece in spell(vocabulary, tokens, mask)) == "the sea 漢 é"
    assert spell(vocabulary, [mask, vocabulary.end], mask) == [None, PARAGRAPH]
    (han,) = vocabulary.encode(["漢"])
    assert spell(vocabulary, han, mask) == ["", "", "漢"]
    assert spell(vocabulary, [*han[:2], mask, han[2]], mask)[2] is None


def test_without_the_default_models_weights_there_is_a_sentence_in_place_of_a_perplexity(
    folder: Path, tmp_path: Path
) -> None:
    bench = Bench(tmp_path, None)
    bench.answer(Compare(((checkpoint(folder, "ar"), "ar"),), PROMPT, 4, 5))
    written(bench)
    verdict = bench.answer(Read(0))
    assert isinstance(verdict, Verdict)
    assert verdict.perplexity is None
    assert verdict.problem is not None
    assert "not on this machine yet" in verdict.problem


def test_the_default_model_finds_english_likelier_than_the_same_words_backwards(model_cache: Path) -> None:
    judge = Judge(model_cache / "models" / "smollm2-135m")
    said = " He lit the lamp and waited for the boats to come home."
    with torch.inference_mode():
        forwards = judge.read("The keeper climbed the stairs.", said)
        backwards = judge.read("The keeper climbed the stairs.", " ".join(reversed(said.split())))
        nothing = judge.read("The keeper climbed the stairs.", "")
    assert forwards is not None
    assert backwards is not None
    assert nothing is None
    assert 1 < forwards < 60 < backwards < math.inf
