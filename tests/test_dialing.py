"""Rules of the prediction: measured figures at a named stop, sensible ones between."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dialing import (
    forwards_per_token,
    key_of,
    seconds_per_forward,
    seconds_to_write,
    tokens_for,
)
from model.catalog import Entry, Stop
from model.contract import BLOCK_SIZES, RULES, Dial, Ready, StopSpeed

ENTRY = Entry(
    id="tiny",
    title="Tiny",
    licence="Apache-2.0",
    hub="",
    wheel=None,
    adapter=None,
    head=None,
    context=8192,
    block_sizes=BLOCK_SIZES,
    tokens_per_word=1.5,
    stops=(
        Stop("exact", Dial(8, 1, "verified"), "", nfe_per_token=0.8, nll=1.0),
        Stop("quick", Dial(4, 4, "threshold", threshold=0.6), "", nfe_per_token=0.75, nll=2.0),
        Stop("sketch", Dial(16, 2, "confidence"), "", nfe_per_token=0.2, nll=3.0),
    ),
    default_stop="exact",
)

READY = Ready(
    model="tiny",
    tokenizer="",
    context=8192,
    precision="float32",
    threads=2,
    load_seconds=1.0,
    speeds=(StopSpeed("exact", 0.04, 2.0), StopSpeed("quick", 0.03, 1.5), StopSpeed("sketch", 0.05, 1.0)),
    ending_tokens=50,
    prefill_tokens_per_second=500.0,
)

dials = st.builds(
    lambda size, steps, rule, threshold: Dial(size, min(steps, size), rule, threshold),
    st.sampled_from(BLOCK_SIZES),
    st.integers(1, 32),
    st.sampled_from(RULES),
    st.floats(0, 1),
)


def seconds(dial: Dial, name: str | None, *, prompt: int = 100, words: int = 150) -> float:
    return seconds_to_write(ENTRY, READY, dial, name, prompt_tokens=prompt, words=words).total


def test_a_named_stop_is_reckoned_from_what_was_measured_there() -> None:
    exact = ENTRY.stop("exact")
    assert tokens_for(ENTRY, 150) == 225
    assert seconds(exact.dial, "exact") == pytest.approx(100 / 500 + (225 - 50) * 0.8 * 0.04 + 2.0)


def test_temperature_and_nucleus_do_not_make_another_stop_of_it() -> None:
    dial = replace(ENTRY.stop("sketch").dial, temperature=0.0, nucleus=0.5)
    assert key_of(ENTRY, dial, "sketch") == "sketch"
    assert seconds(dial, "sketch") == seconds(ENTRY.stop("sketch").dial, "sketch")


def test_a_dial_that_left_its_stop_is_a_setting_of_its_own() -> None:
    dial = replace(ENTRY.stop("sketch").dial, steps=8)
    assert key_of(ENTRY, dial, "sketch") == dial
    assert key_of(ENTRY, dial, None) == dial
    assert key_of(ENTRY, dial, "no such stop") == dial
    assert forwards_per_token(ENTRY, dial, "sketch") == pytest.approx(9 / 16)


def test_block_size_one_is_one_forward_a_token() -> None:
    for rule in RULES:
        assert forwards_per_token(ENTRY, Dial(1, 1, rule), None) == 1.0


def test_an_unverified_block_costs_its_steps_and_its_commit() -> None:
    assert forwards_per_token(ENTRY, Dial(16, 4, "confidence"), None) == pytest.approx(5 / 16)
    assert forwards_per_token(ENTRY, Dial(8, 8, "first-hitting"), None) == pytest.approx(8 / 8)


def test_where_nothing_is_read_causally_every_slot_needs_a_step_and_a_token_its_commit() -> None:
    base = replace(ENTRY, verifies=False, stops=ENTRY.stops[1:])
    assert forwards_per_token(base, Dial(8, 8, "first-hitting"), None) == pytest.approx(9 / 8)
    assert forwards_per_token(base, Dial(1, 1, "confidence"), None) == pytest.approx(2.0)


def test_sure_blocks_need_fewer_steps_in_the_measure_of_the_nearest_threshold_stop() -> None:
    assert forwards_per_token(ENTRY, Dial(4, 4, "threshold", threshold=0.6), None) == pytest.approx(0.75)
    assert forwards_per_token(ENTRY, Dial(8, 8, "threshold", threshold=0.6), None) == pytest.approx(0.75)


def test_verified_settings_take_the_nearest_verified_stops_figure() -> None:
    assert forwards_per_token(ENTRY, Dial(16, 2, "verified", threshold=0.3), None) == 0.8
    unverified = replace(ENTRY, stops=ENTRY.stops[1:])
    assert forwards_per_token(unverified, Dial(16, 2, "verified"), None) == 1.0


def test_a_wider_block_costs_more_a_forward_but_less_than_its_width() -> None:
    narrow = seconds_per_forward(ENTRY, READY, Dial(8, 1, "confidence"), None)
    wide = seconds_per_forward(ENTRY, READY, Dial(32, 1, "confidence"), None)
    assert narrow < wide < 4 * narrow


def test_a_stop_that_was_not_measured_borrows_from_the_nearest_one() -> None:
    ready = replace(READY, speeds=READY.speeds[:1])
    assert seconds_per_forward(ENTRY, ready, Dial(8, 1, "confidence"), None) == pytest.approx(0.04)
    assert seconds_per_forward(ENTRY, ready, ENTRY.stop("sketch").dial, "sketch") > 0.04
    assert seconds_per_forward(
        ENTRY, replace(READY, speeds=(StopSpeed("other", 0.07, 1.0),)), Dial(8, 1, "verified"), None
    )


@given(dials, st.sampled_from([None, "exact", "quick", "sketch"]), st.integers(0, 8000), st.integers(1, 4999))
def test_every_setting_has_a_finite_prediction_that_grows_with_words_and_prompt(
    dial: Dial, name: str | None, prompt: int, words: int
) -> None:
    now = seconds(dial, name, prompt=prompt, words=words)
    assert 0 < now < 1e6
    assert seconds(dial, name, prompt=prompt, words=words + 1) > now
    assert seconds(dial, name, prompt=prompt + 1, words=words) > now
