"""Rules of the tries at the last words: the best end of all that were offered is taken, whatever was drawn.

With tiny networks, which write words and full stops at random: a Llama, and three in the published format, of which one
reads text causally, one denoises blocks, one its whole window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.catalog import entry_for
from model.contract import Dial, count_words
from model.denoiser import Denoiser, Facts
from model.ending import Target, best_cut
from model.engine import Engine
from model.finale import (
    AGAIN_WORDS,
    LONG_TEXT,
    ROUNDS,
    WIDE,
    Finale,
    _Round,
    closing_tokens,
    ending_dial,
    goes_back,
    tries_side_by_side,
)
from model.sampler import BlockSampler
from model.sentences import CLOSERS, closes_sentence
from model.tokenizer import TextTokenizer
from tests.tiny import CONFIG, parts
from tests.tiny_published import write_checkpoint

BEFORE = "the old sea was"


class Watched(Finale):
    """Keeps the rounds that it chose from."""

    rounds: Sequence[_Round] = ()

    def _best_of(self, rounds):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        self.rounds = rounds
        return super()._best_of(rounds)


@dataclass(frozen=True, slots=True)
class Writer:
    """A network, and the setting it has on the desk."""

    network: Denoiser
    tokenizer: TextTokenizer
    dial: Dial

    def sampler(self) -> BlockSampler:
        """Has read the text before."""
        sampler = BlockSampler(self.network, self.dial, may_end=False)
        for _ in sampler.read(torch.tensor([self.tokenizer.prompt("", BEFORE)])):
            pass
        return sampler

    def end(self, target: Target, seed: int = 7, room: int = 80) -> Watched:
        finale = Watched(self.sampler(), self.tokenizer, target, seed=seed, block=3)
        for _ in finale.tries(BEFORE, 0, room):
            pass
        return finale

    def text(self, tokens: Sequence[int]) -> str:
        return "".join(self.tokenizer.piece(token) for token in tokens)


@pytest.fixture(scope="module", params=["llama", "ar", "bd3lm", "mdlm"])
def writer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Writer:
    kind = "ar" if request.param == "llama" else request.param
    folder = write_checkpoint(tmp_path_factory.mktemp(request.param), kind)
    entry = entry_for(str(folder))
    engine = Engine.open(str(folder), cache_dir=folder / "no cache", threads=1, report=lambda _: None)
    tokenizer = engine._tokenizer
    if request.param == "llama":
        network = parts(5, replace(CONFIG, vocab_size=tokenizer.size)).fast(
            end=tokenizer.end, banned=tokenizer.banned, inner=tokenizer.inner
        )
        return Writer(network, tokenizer, Dial(8, 1, "verified"))
    return Writer(engine._network, tokenizer, entry.stop(entry.default_stop).dial)


@pytest.fixture(autouse=True)
def _as_the_engine_does() -> Iterator[None]:
    with torch.inference_mode():
        yield


def around(wanted: int, slack: int) -> Target:
    return Target(wanted, max(1, wanted - slack), wanted + slack)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("target", [around(1, 0), around(9, 1), around(17, 1), around(14, 6)], ids=str)
def test_the_best_of_all_cuts_is_taken(writer: Writer, target: Target, seed: int) -> None:
    with torch.inference_mode():
        finale = writer.end(target, seed)
    end, cuts = finale.end, [(attempt, cut) for attempt in finale.rounds for cut in attempt.cuts]
    best = best_cut([cut for _, cut in cuts], target)
    assert end.reason == "length"
    if best is None:  # a full stop was put behind a word of some try
        assert writer.text(end.tokens[-1:]) == "."
        return
    attempt = next(attempt for attempt, cut in cuts if cut is best)
    closer = writer.tokenizer.encode(best.closer) if best.closer else []
    assert list(end.tokens) == [*attempt.tokens[best.row, : best.tokens].tolist(), *closer]
    assert end.seed == attempt.seeds[best.row]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("target", [around(5, 1), around(12, 1), around(14, 6)], ids=str)
def test_the_text_has_the_allowed_length_and_ends_on_a_whole_sentence(
    writer: Writer, target: Target, seed: int
) -> None:
    text = BEFORE + writer.text(writer.end(target, seed).end.tokens)
    assert target.allows(count_words(text) - count_words(BEFORE))
    assert closes_sentence(text)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), room=st.integers(1, 24), wanted=st.integers(1, 30))
def test_the_end_never_has_more_tokens_than_there_is_room_for(
    writer: Writer, seed: int, room: int, wanted: int
) -> None:
    with torch.inference_mode():
        finale = writer.end(around(wanted, 1), seed, room)
    end = finale.end
    assert len(end.tokens) <= room
    assert writer.tokenizer.end not in end.tokens
    if end.reason == "budget":
        assert not any(best_cut(found.cuts, around(wanted, 1)) for found in finale.rounds)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("target", [around(1, 0), around(14, 6)], ids=str)
def test_what_an_end_costs_is_told_to_the_last_token(writer: Writer, target: Target, seed: int) -> None:
    """A closing mark included that no try has drawn: a plain reading of the text says the same."""
    end = writer.end(target, seed).end
    if not writer.network.facts.causal:
        assert end.nll is None
        return
    prompt, cache = writer.tokenizer.prompt("", BEFORE), writer.network.new_cache(1)
    logits = writer.network.commit(torch.tensor([[*prompt, *end.tokens]]), cache)[0, len(prompt) - 1 : -1]
    nll = -logits.log_softmax(-1).gather(-1, torch.tensor(end.tokens)[:, None])[:, 0]
    assert end.nll == pytest.approx(nll.tolist(), abs=5e-3)  # of half precision


def test_a_further_round_is_written_only_where_no_good_end_was_found(writer: Writer) -> None:
    for seed in range(6):
        target = around(9, 1)
        rounds = writer.end(target, seed).rounds
        good = [(best := best_cut(attempt.cuts, target)) is not None and best.is_good for attempt in rounds]
        assert not any(good[:-1])
        assert good[-1] or len(rounds) == ROUNDS


def test_a_later_round_leaves_the_first_one_s_tries_where_tokens_can_be_taken_back(writer: Writer) -> None:
    several = [rounds for seed in range(6) if len(rounds := writer.end(around(17, 0), seed).rounds) > 1]
    assert several, "no seed needed a second round"
    for rounds in several:
        for number, later in enumerate(rounds[1:], 1):
            kept = rounds[0].shared(17 - AGAIN_WORDS * number) if goes_back(writer.network.facts) else 0
            assert later.tokens[:, :kept].equal(rounds[0].tokens[:, :kept])
            assert not later.tokens[:, kept:].equal(rounds[0].tokens[:, kept : later.tokens.shape[1]])
            assert kept or number > 1 or not goes_back(writer.network.facts)


def test_the_text_that_is_there_stays_as_it_was_and_the_same_seed_ends_it_alike(writer: Writer) -> None:
    sampler = writer.sampler()
    decided, tokens = sampler.cache.decided, sampler.cache.tokens.clone()
    ends = []
    for _ in range(2):
        finale = Finale(sampler, writer.tokenizer, around(9, 1), seed=1, block=2)
        for _ in finale.tries(BEFORE, 0, 80):
            pass
        ends.append(finale.end)
    assert ends[0] == ends[1]
    assert (sampler.cache.decided, sampler.nfe) == (decided, 0)
    assert torch.equal(sampler.cache.tokens, tokens)


def test_a_picture_comes_after_every_forward(writer: Writer) -> None:
    finale = Finale(writer.sampler(), writer.tokenizer, around(9, 1), seed=1, block=2)
    counts = [finale.nfe for _ in finale.tries(BEFORE, 0, 80)]
    assert all(later - earlier <= 1 for earlier, later in pairwise(counts))
    assert counts[-1] == finale.nfe > 0


def facts(**changes: bool) -> Facts:
    return Facts(10, 10, 2, (0,), changes.pop("causal", True), (1, 8), 4096, **changes)


def test_where_a_try_has_many_places_to_end_or_much_to_copy_there_are_fewer() -> None:
    most = tries_side_by_side(facts())
    assert tries_side_by_side(facts(), slack=WIDE) == tries_side_by_side(facts(), LONG_TEXT + 1) == most // 2
    assert tries_side_by_side(facts(slides=True), LONG_TEXT + 1) == most
    assert tries_side_by_side(facts(rereads=True), slack=WIDE) == 1


def test_later_rounds_are_livelier_and_verified_where_they_can_be() -> None:
    for dial in (Dial(8, 2, "verified", threshold=0.1), Dial(4, 1, "confidence", temperature=0.0)):
        tries = [ending_dial(dial, facts(), number) for number in range(ROUNDS)]
        assert all((one.block_size, one.rule, one.threshold) == (1, "verified", 0.0) for one in tries)
        assert len({one.temperature for one in tries}) == ROUNDS
        assert ending_dial(dial, facts(causal=False)).block_size == dial.block_size
    assert ending_dial(Dial(1, 1, "verified", temperature=5.0), facts(), 2).temperature == 5.0


def test_closing_marks_are_those_that_are_one_token_and_may_be_written(writer: Writer) -> None:
    found = closing_tokens(writer.tokenizer, writer.network.facts)
    assert found["."] == writer.tokenizer.encode(".")[0]
    assert set(found) <= set(CLOSERS)
    assert all(writer.tokenizer.piece(token) == closer for closer, token in found.items())
