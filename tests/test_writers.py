"""One interface for every system: the samplers' own texts, honest counts, and pictures that grow into the text."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from model.backbones import published
from model.backbones.dit import DiT
from model.backbones.dit_denoiser import DiTDenoiser
from model.block_diffusion import Recipe, SeededDraws, finish
from model.block_diffusion import write as write_blocks
from model.evaluation import writers
from model.evaluation.generation import text_seed
from model.evaluation.writers import DEFAULTS, NotPossible, SampledWriter, writer_for, writer_of
from model.score_sampler import ScoreRecipe, TooLong
from model.simplex_diffusion import SimplexRecipe
from model.training.vocabulary import train_vocabulary
from tests.training_tiny import config, network, text

END = 21
QUICK: dict[str, writers.Recipe] = {
    "ar": Recipe(),
    "sedd": ScoreRecipe(5),
    "mdlm": Recipe(),
    "mdlm-ancestral": Recipe("ancestral", steps=6),
    "ssd": SimplexRecipe(3),
    "bd3lm": Recipe(),
    "bd3lm-adaptive": Recipe("entropy"),
}
PROMPTS = [[END], [1, 2, 3, 4, 5, 6], [5, 6, 7, 8]]


def net(system: str) -> DiT:
    return network(config(system.partition("-")[0]))


def writer(system: str) -> SampledWriter:
    return writer_of(net(system), system, QUICK[system], end=END)


def test_every_system_has_a_name_and_sedd_alone_a_longest_text() -> None:
    names = ["ar", "sedd", "mdlm", "mdlm-ancestral", "ssd-4", "bd3-4", "bd3-4-adaptive"]
    assert [writer(system).name for system in DEFAULTS] == names
    assert {system: writer(system).longest for system in DEFAULTS if writer(system).longest} == {"sedd": 16}
    assert all((writer(system).mask, writer(system).end) == (22, END) for system in DEFAULTS)


@pytest.mark.parametrize("system", DEFAULTS)
def test_texts_have_their_length_without_the_prompt_and_without_masks(system: str) -> None:
    for prompt, sample in zip(PROMPTS, writer(system).write(PROMPTS, 16, 1), strict=True):
        assert len(sample.tokens) == 16 - len(prompt)
        assert sample.reason == "length"
        assert all(0 <= token < 22 for token in sample.tokens)
        assert sample.seconds > 0


@pytest.mark.parametrize("system", [system for system in DEFAULTS if system != "sedd"])
def test_all_but_sedd_write_past_the_training_length(system: str) -> None:
    assert len(writer(system).write([[END]], 50, 1)[0].tokens) == 49


def test_sedd_refuses_more_than_its_training_length() -> None:
    with pytest.raises(TooLong, match="at most 16"):
        writer("sedd").write([[END]], 17, 1)


@pytest.mark.parametrize("system", DEFAULTS)
def test_a_text_depends_on_the_seed_and_its_place_alone(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    together = writer(system).write(PROMPTS, 16, 1)
    monkeypatch.setattr(writers, "TOGETHER", 1)
    alone = writer(system).write(PROMPTS, 16, 1)
    assert [(s.tokens, s.nfe) for s in together] == [(s.tokens, s.nfe) for s in alone]
    assert [s.tokens for s in writer(system).write(PROMPTS, 16, 2)] != [s.tokens for s in alone]


def test_forwards_are_counted_as_the_paper_counts_them() -> None:
    forwards = {system: [sample.nfe for sample in writer(system).write(PROMPTS, 16, 1)] for system in DEFAULTS}
    assert forwards["ar"] == forwards["mdlm"] == forwards["bd3lm"] == [15, 10, 12]  # one for every token written
    assert forwards["sedd"] == [6, 6, 6]  # T and the final one
    assert forwards["ssd"] == [12, 9, 9]  # T for every block that is not known
    assert all(1 <= count <= 6 for count in forwards["mdlm-ancestral"])


def test_what_comes_after_a_texts_end_is_not_its_cost() -> None:
    """Some texts end at once, others do not: an AR text's forwards are its tokens and the end."""
    ended = [s for s in writer("ar").write([[END]] * 24, 60, 3, until_end=True) if s.reason == "end"]
    assert len({sample.nfe for sample in ended}) > 2
    assert all(sample.nfe == len(sample.tokens) + 1 for sample in ended)
    assert all(END not in sample.tokens for sample in ended)


@pytest.mark.parametrize("system", DEFAULTS)
def test_texts_that_end_early_leave_the_others_as_they_are(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text with stop rules is the same text without them, cut before its first end token."""
    prompts, length = [PROMPTS[number % 3] for number in range(8)], 16 if system == "sedd" else 60
    whole = [sample.tokens for sample in writer(system).write(prompts, length, 3)]
    end = max(range(22), key=lambda token: len({text.index(token) for text in whole if token in text}))
    ending = writer_of(net(system), system, QUICK[system], end=end)
    together = ending.write(prompts, length, 3, until_end=True)
    assert [s.tokens for s in together] == [text[: text.index(end)] if end in text else text for text in whole]
    assert len({sample.nfe for sample in together if sample.reason == "end"}) > (0 if system == "sedd" else 1)
    monkeypatch.setattr(writers, "TOGETHER", 1)
    alone = ending.write(prompts, length, 3, until_end=True)
    assert [(s.tokens, s.nfe, s.reason) for s in together] == [(s.tokens, s.nfe, s.reason) for s in alone]


def test_block_sizes_of_writers_are_not_those_of_the_network_they_were_given() -> None:
    made = net("bd3lm")
    writer_of(made, "mdlm", end=END)
    assert writer_of(made, "bd3lm", end=END).name == "bd3-4"


def test_the_texts_are_the_samplers_own() -> None:
    made = net("bd3lm")
    draws = SeededDraws([text_seed(7, number) for number in range(3)])
    texts = finish(write_blocks(DiTDenoiser(made, end=END), PROMPTS, Recipe(), draws, length=20))
    samples = writer_of(made, "bd3lm", end=END).write(PROMPTS, 20, 7)
    assert [prompt + s.tokens for prompt, s in zip(PROMPTS, samples, strict=True)] == [t.tokens for t in texts]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("system", DEFAULTS)
def test_pictures_grow_into_the_text(system: str, prompt: list[int]) -> None:
    length = 16 if system == "sedd" else 40
    seen = list(writer(system).pictures(prompt, length, 5))
    sample = writer(system).write([prompt], length, 5)[0]
    assert (seen[-1].tokens, seen[-1].nfe) == (sample.tokens, sample.nfe)
    assert [picture.nfe for picture in seen] == list(range(1, sample.nfe + 1))
    for old, new in pairwise(seen):
        if system == "ssd":  # a block's slots are drawn anew, finished blocks stay
            done = (len(prompt) + len(old.tokens)) // 4 * 4 - 4 - len(prompt)
            assert old.tokens[: max(0, done)] == new.tokens[: max(0, done)]
        else:
            assert all(was in (22, now) for was, now in zip(old.tokens, new.tokens, strict=False))
            assert len(old.tokens) <= len(new.tokens)


@pytest.mark.parametrize("system", ["ar", "bd3lm"])
def test_a_compressed_cache_is_a_choice(system: str) -> None:
    small = writer_of(net(system), system, end=END, compressed=True)
    assert small.name in ("ar-int8", "bd3-4-int8")
    assert [len(sample.tokens) for sample in small.write(PROMPTS, 50, 1)] == [49, 44, 46]


def test_block_diffusion_writes_in_blocks_of_any_size_and_mdlm_is_one_of_them() -> None:
    assert writer_of(net("bd3lm"), "bd3lm", end=END, block_size=8).name == "bd3-8"
    one = writer_of(net("bd3lm"), "bd3lm", end=END, block_size=16).write(PROMPTS, 16, 1)
    whole = writer_of(net("bd3lm"), "mdlm", end=END).write(PROMPTS, 16, 1)
    four = writer_of(net("bd3lm"), "bd3lm", end=END).write(PROMPTS, 16, 1)
    assert [s.tokens for s in one] == [s.tokens for s in whole] != [s.tokens for s in four]


@pytest.mark.parametrize("system", ["ar", "ssd", "sedd", "bd3lm"])
def test_a_checkpoint_is_opened_with_the_tokenizer_beside_it(system: str, tmp_path: Path) -> None:
    vocabulary = train_vocabulary([text(200)], 280)
    made = network(config(system, vocab_size=vocabulary.size))
    published.save(tmp_path, made)
    vocabulary.save(tmp_path)
    opened = writer_for(tmp_path, system, QUICK[system])
    assert opened.end == vocabulary.end
    kept = writer_of(made, system, QUICK[system], end=vocabulary.end)
    assert [s.tokens for s in opened.write([[opened.end]], 16, 1)] == [
        s.tokens for s in kept.write([[opened.end]], 16, 1)
    ]


@pytest.mark.parametrize(
    ("system", "asked", "other", "sentence"),
    [
        ("ar", "rnn", {}, "no system 'rnn'; choose one of ar, sedd"),
        ("ar", "mdlm", {}, "cannot write as mdlm; it was trained as ar"),
        ("bd3lm", "sedd", {}, "cannot write as sedd; it was trained as bd3lm"),
        ("ssd", "sedd", {}, "trained as ssd"),
        ("mdlm", "mdlm", {"block_size": 4}, "Only block diffusion"),
        ("mdlm", "mdlm", {"compressed": True}, "mdlm keeps no keys and values"),
        ("bd3lm", "bd3lm", {"block_size": 5}, "do not split into blocks of 5"),
        ("sedd", "sedd", {"recipe": Recipe()}, "not written with a Recipe"),
    ],
)
def test_what_does_not_fit_the_network_is_refused_in_a_sentence(
    system: str, asked: str, other: dict[str, object], sentence: str
) -> None:
    with pytest.raises(NotPossible, match=sentence):
        writer_of(net(system), asked, end=END, **other)  # type: ignore[arg-type]


@pytest.mark.parametrize("system", DEFAULTS)
def test_a_length_without_room_after_the_prompt_is_refused(system: str) -> None:
    with pytest.raises(NotPossible, match="no room after a prompt of 6"):
        writer(system).write(PROMPTS, 6, 1)
    with pytest.raises(NotPossible, match="no room after a prompt of 6"):
        next(iter(writer(system).pictures(PROMPTS[1], 6, 1)))
