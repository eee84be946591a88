"""Rules of the running job: a resumed one asks for exactly the rest, and the meter counts what was locked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.draft import Section, count_words
from app.running import Order, RunningJob
from model.contract import BlockLocked, BlockStep, Dial, Finished, Reading, Request, Slot

DIAL = Dial(4, 2, "confidence")
SECTION = Section(1, 1, "Night", "A storm.", 40, "draft", 0, ())
REQUEST = Request("job", "system", "user", "So far.", DIAL, 7, words=40, max_tokens=184)


def job(*, words: int = 40, expected: float | None = 12.0, so_far: str = "So far.") -> RunningJob:
    request = replace(REQUEST, words=words, so_far=so_far)
    return RunningJob(Order(request, words, SECTION, "exact", expected, expected, 1.5, ()), now=100.0)


def block(number: int, text: str, *, tokens: int = 4, seconds: float = 0.5) -> BlockLocked:
    return BlockLocked("job", number, text, tuple(range(tokens)), 2.0, 9, 3, seconds)


def step(number: int) -> BlockStep:
    return BlockStep("job", number, (Slot(None, 0.0),) * 4, 1, 0, 0.1)


def finished(**changes: object) -> Finished:
    whole = Finished("job", "length", tokens=8, words=8, seconds=3.0, first_block_seconds=1.2, nfe=11, blocks=2)
    return replace(whole, **changes)  # type: ignore[arg-type]


@given(st.lists(st.text("ab .", min_size=1, max_size=12), max_size=8), st.integers(1, 60))
def test_resuming_asks_for_the_rest_and_nothing_is_lost_or_written_twice(texts: list[str], words: int) -> None:
    running = job(words=words)
    for number, text in enumerate(texts):
        running.lock(block(number, text), now=101.0)
    running.interrupted(now=102.0)
    again = running.resume(now=110.0)
    assert again.so_far == "So far." + "".join(texts)
    assert again.first_block == len(texts)
    assert (again.job, again.seed, again.dial, again.system, again.user) == ("job", 7, DIAL, "system", "user")
    written = count_words(again.so_far) - count_words("So far.")
    assert again.words == max(1, words - written)
    assert again.max_tokens == REQUEST.max_tokens - 4 * len(texts)


def test_a_job_that_died_before_its_first_block_is_asked_for_again_as_it_was() -> None:
    running = job()
    running.step(step(0))
    running.interrupted(now=101.0)
    assert running.newest is None
    assert running.resume(now=102.0) == REQUEST


def test_the_time_without_a_model_process_does_not_count() -> None:
    running = job()
    running.interrupted(now=103.0)
    assert running.elapsed(now=150.0) == 3.0
    running.interrupted(now=160.0)
    running.resume(now=200.0)
    assert running.elapsed(now=204.0) == 7.0


@pytest.mark.parametrize(
    ("texts", "begun", "complete"),
    [
        ((" w" * 38 + ".",), False, True),
        ((" w" * 36 + ".”",), False, True),
        ((" w" * 44 + "!\n",), False, True),
        ((" w" * 38 + ".",), True, False),
        ((" w" * 38 + ",",), False, False),
        ((" w" * 30 + ".",), False, False),
        ((), False, False),
    ],
)
def test_a_job_that_only_lacks_the_word_finished_is_complete(
    texts: tuple[str, ...], begun: bool, complete: bool
) -> None:
    running = job()
    for number, text in enumerate(texts):
        running.lock(block(number, text), now=101.0)
    if begun:
        running.step(step(len(texts)))
    assert running.complete is complete


def test_the_meter_counts_locked_blocks_and_is_steady_after_the_first() -> None:
    running = job()
    assert running.meter(now=102.0) == {
        "tokens": 0,
        "words": 0,
        "target_words": 40,
        "blocks": 0,
        "nfe": 0,
        "nfe_per_token": 0.0,
        "seconds": 2.0,
        "first_block_seconds": None,
        "first_block_tokens_per_second": None,
        "tokens_per_second": None,
        "seconds_left": 10.0,
    }
    running.lock(block(0, " one two three four", seconds=9.0), now=109.0)
    assert running.meter(now=109.0)["tokens_per_second"] is None
    assert running.meter(now=109.0)["first_block_seconds"] == 9.0
    assert running.meter(now=109.0)["first_block_tokens_per_second"] == pytest.approx(4 / 9)
    running.lock(block(1, " five six seven eight", seconds=0.5), now=109.5)
    meter = running.meter(now=110.0)
    assert (meter["tokens"], meter["words"], meter["blocks"], meter["nfe"]) == (8, 8, 2, 6)
    assert meter["nfe_per_token"] == 0.75
    assert meter["tokens_per_second"] == 8.0
    assert meter["seconds_left"] == pytest.approx(32 * 1.5 / 8)
    running.finish(finished())
    meter = running.meter(now=500.0)
    assert (meter["seconds"], meter["first_block_seconds"], meter["nfe"], meter["seconds_left"]) == (3.0, 1.2, 11, 0.0)


def test_time_left_follows_the_texts_own_words_and_never_falls_below_nothing() -> None:
    running = job(expected=None)
    assert running.meter(now=101.0)["seconds_left"] is None
    running.lock(block(0, " w" * 16, tokens=16), now=101.0)
    running.lock(block(1, " w" * 16, tokens=16, seconds=1.0), now=102.0)
    assert running.meter(now=102.0)["seconds_left"] == pytest.approx(8 / 16)
    running.lock(block(2, " w" * 16, tokens=16, seconds=1.0), now=103.0)
    assert running.meter(now=103.0)["seconds_left"] == 0.0
    assert job(expected=1.0).meter(now=200.0)["seconds_left"] == 0.0


def test_a_resumed_job_keeps_its_own_sums_because_the_engine_knows_only_the_rest() -> None:
    running = job()
    running.lock(block(0, " one two"), now=101.0)
    running.interrupted(now=102.0)
    running.resume(now=200.0)
    running.lock(block(1, " three."), now=201.0)
    running.finish(finished(nfe=3, seconds=1.0))
    meter = running.meter(now=201.0)
    assert (meter["nfe"], meter["seconds"], meter["first_block_seconds"], meter["blocks"]) == (6, 3.0, 1.0, 2)


def test_words_split_between_blocks_are_counted_once() -> None:
    running = job(so_far="It is")
    running.lock(block(0, " won"), now=101.0)
    running.lock(block(1, "derful now"), now=102.0)
    assert running.words == 2


def test_what_is_shown_of_a_block_goes_when_it_locks() -> None:
    running = job()
    running.reading = Reading("job", 5, 10)
    running.step(step(0))
    assert running.reading is None
    assert running.newest is not None
    made = running.lock(block(0, " one"), now=101.0)
    assert running.newest is None
    assert (made.text, made.author, made.job, made.dial, made.seed, made.nfe) == (" one", "model", "job", DIAL, 9, 3)


def test_the_parts_of_a_job_are_one_text_and_their_sums_are_added() -> None:
    running = job(words=40)
    running.lock(block(0, " One two three.\n\n"), now=101.0)
    second = replace(REQUEST, so_far="", words=37, first_block=1, user="what comes next")
    running.begin_part(second, finished(reason="part", reading_seconds=0.5))
    assert (running.next_block, running.words_left) == (1, 37)
    running.interrupted(now=102.0)
    assert running.resume(now=103.0) == second
    running.lock(block(1, "Four"), now=104.0)
    again = running.resume(now=105.0)
    assert (again.so_far, again.words, again.first_block, again.user) == ("Four", 36, 2, "what comes next")
    whole = running.finish(finished(reading_seconds=0.25, first_block_seconds=9.0))
    assert (whole.reason, whole.tokens, whole.nfe, whole.seconds) == ("length", 16, 22, 6.0)
    assert (whole.reading_seconds, whole.first_block_seconds) == (0.75, 1.2)
