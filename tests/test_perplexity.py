"""Perplexity: every token once, sums before the division, an error beside the mean."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.backbones import published
from model.backbones.dit import DiT
from model.evaluation.perplexity import NotPossible, likelihood, main, sliding, system_with
from model.training.data import NoData
from model.training.likelihood import Likelihood
from model.training.objectives import all_but_first
from model.training.systems.choice import SYSTEMS, system_for
from tests.training_tiny import CONFIG, config, corpus, network, rows, text


@given(length=st.integers(2, 12), known=st.integers(1, 60), data=st.data())
def test_sliding_rows_count_every_token_once_and_in_its_place(length: int, known: int, data: st.DataObject) -> None:
    tokens = torch.arange(known)
    if known < length - 1:
        with pytest.raises(NoData, match="give more text"):
            sliding(tokens, length, 1, -1)
        return
    stride = data.draw(st.integers(1, length - 1))
    made, counted = sliding(tokens, length, stride, -1)
    assert made[counted].tolist() == list(range(known))
    assert bool((made[:, 0] == -1).all())
    assert not bool(counted[:, 0].any())


@pytest.mark.parametrize("name", ["bd3lm", "mdlm", "ar"])
def test_a_uniform_model_scores_the_vocabulary_size(name: str) -> None:
    shape = config(name)  # a new network's output layer is zero
    found = likelihood(system_for(shape), DiT(shape), rows(6), all_but_first(rows(6)))
    assert found.perplexity == pytest.approx(CONFIG.vocab_size - 1, rel=1e-5)
    assert found.perplexity_error == pytest.approx(0.0, abs=1e-4)


def test_a_uniform_sedd_scores_the_vocabulary_size_within_its_error() -> None:
    shape, clean = config("sedd"), rows(512)
    found = likelihood(system_for(shape), DiT(shape), clean, all_but_first(clean), batch=128, draws=8)
    assert abs(found.mean - math.log(CONFIG.vocab_size - 1)) < 4 * found.error


@pytest.mark.parametrize("name", SYSTEMS)
def test_batches_and_draws_do_not_change_the_sum(name: str) -> None:
    system = system_for(config(name))
    net, clean = network(system.config), rows(6)
    one = likelihood(system, net, clean, all_but_first(clean), batch=6)
    assert one.nats.shape == (6,)
    if system.exact:
        torch.testing.assert_close(likelihood(system, net, clean, all_but_first(clean), batch=1).nats, one.nats)
    again = likelihood(system, net, clean, all_but_first(clean), batch=6)
    assert torch.equal(one.nats, again.nats)


def test_context_of_sliding_rows_stays_clean_and_uncounted() -> None:
    """With blocks of one token, rows that slide by one give each token its L − 2 predecessors, as a plain loop does."""
    system = system_for(config(block_size=1))
    net, tokens = network(system.config), rows(1, 24)[0]
    made, counted = sliding(tokens, 16, 1, CONFIG.mask - 1)
    found = likelihood(system, net, made, counted)
    last = [likelihood(system, net, row[None], all_but_first(row[None])) for row in made]
    single = [likelihood(system, net, row[None], (torch.arange(16) == 15)[None]) for row in made[1:]]
    plain = float(last[0].nats.sum() + sum(one.nats.sum() for one in single))
    assert float(found.nats.sum()) == pytest.approx(plain, rel=1e-5)


def test_the_error_is_that_of_a_ratio_of_sums() -> None:
    draws = torch.Generator().manual_seed(1)
    tokens = torch.randint(5, 50, (400,), generator=draws).double()
    means = []
    for _ in range(300):
        means.append(Likelihood(tokens * 2 + torch.randn(400, generator=draws) * tokens, tokens).mean)
    one = Likelihood(tokens * 2 + torch.randn(400, generator=draws) * tokens, tokens)
    assert one.error == pytest.approx(float(torch.tensor(means).std()), rel=0.2)
    assert math.isinf(Likelihood(tokens[:1], tokens[:1]).error)


def test_an_autoregressive_network_has_no_block_size() -> None:
    with pytest.raises(NotPossible, match="leave --block-size out"):
        system_with(network(config("ar")), 4)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint with its tokenizer, and a text."""
    from model.training.vocabulary import open_vocabulary

    corpus(tmp_path)
    size = open_vocabulary(str(tmp_path)).size
    published.save(tmp_path, network(config(vocab_size=size)))
    return tmp_path


def test_the_command_says_whether_it_is_a_bound(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = saved / "other.txt"
    file.write_text(text(60, seed=9), encoding="utf-8")
    assert main([str(saved), str(file), "--json"]) == 0
    bound = json.loads(capsys.readouterr().out)
    assert main([str(saved), str(file), "--json", "--block-size", "1"]) == 0
    exact = json.loads(capsys.readouterr().out)
    assert (bound["exact"], exact["exact"]) == (False, True)
    assert bound["tokens"] == exact["tokens"] > 60
    assert main([str(saved), str(file)]) == 0
    assert "perplexity ≤" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere", "text.txt"], "is neither a folder nor one of the checkpoints"),
        (["", "short.txt"], "give more text"),
        (["", "none.txt"], "cannot be read"),
        (["", "text.txt", "--block-size", "3"], "choose a divisor"),
        (["", "text.txt", "--tokenizer", "wrong"], "use the tokenizer that the network was trained with"),
    ],
)
def test_bad_input_is_told_in_a_sentence(
    saved: Path,
    arguments: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from model.training.vocabulary import train_vocabulary

    monkeypatch.chdir(saved)
    (saved / "short.txt").write_text("the", encoding="utf-8")
    (saved / "wrong").mkdir()
    train_vocabulary([text(50)], 260).save(saved / "wrong")
    assert main([arguments[0] or str(saved), *arguments[1:]]) == 1
    assert sentence in capsys.readouterr().err
