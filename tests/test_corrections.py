"""Rules of what finished jobs teach: a part at a time, the newest one most, and it is there after the next start."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.corrections import FARTHEST, LEAST, WIDEST, Corrections, Key, Learning, Part, Seconds
from model.contract import Dial, Ready, StopSpeed

READY = Ready(
    model="tiny/model",
    tokenizer="",
    context=8192,
    precision="float32",
    threads=2,
    load_seconds=1.0,
    speeds=(StopSpeed("exact", 0.04, 2.0), StopSpeed("sketch", 0.05, 1.0)),
    ending_tokens=50,
    prefill_tokens_per_second=500.0,
)
HAND_MADE = Dial(16, 2, "confidence")
PREDICTED = Seconds(1.0, 10.0, 2.0)

some_seconds = st.floats(0, 1e6)


def after(*measured: Seconds, key: Key = "exact", predicted: Seconds = PREDICTED) -> Corrections:
    corrections = Corrections()
    for one in measured:
        corrections = corrections.learned(key, predicted=predicted, measured=one)
    return corrections


def text(seconds: float) -> Seconds:
    return Seconds(0.0, seconds, 0.0)


@given(st.floats(0.01, 1000), st.floats(0.3, 3.0), st.floats(0.3, 3.0), st.integers(1, 30))
def test_a_machine_that_is_steadily_off_is_learned_and_stays_learned(
    predicted: float, writing: float, ending: float, jobs: int
) -> None:
    reckoned = Seconds(0.5, predicted, 2.0)
    corrections = after(*[Seconds(9.0, writing * predicted, ending * 2.0)] * jobs, predicted=reckoned)
    assert corrections.corrected("exact", reckoned) == pytest.approx(writing * (0.5 + predicted) + ending * 2.0)


@pytest.mark.parametrize("off", [0.1, 12.0])
def test_a_machine_that_was_busy_when_it_was_measured_is_known_after_a_few_sections(off: float) -> None:
    missed = [abs(after(*[text(10 * off)] * jobs).factor("exact", "text") / off - 1) for jobs in range(1, 6)]
    assert missed == sorted(missed, reverse=True)
    assert missed[-1] < 0.1


def test_the_text_and_its_ending_are_learned_apart() -> None:
    corrections = after(Seconds(1.0, 20.0, 1.0))
    assert corrections.corrected("exact", Seconds(0.0, 100.0, 0.0)) == pytest.approx(200.0)
    assert corrections.corrected("exact", Seconds(0.0, 0.0, 100.0)) == pytest.approx(50.0)


def test_a_stop_that_has_not_written_is_off_by_what_the_others_are() -> None:
    corrections = after(text(20.0)).learned("sketch", predicted=PREDICTED, measured=text(5.0))
    assert after(text(20.0)).factor("balanced", "text") == pytest.approx(2.0)
    assert corrections.factor("balanced", "text") == pytest.approx(1.0)
    assert corrections.factor("sketch", "text") == pytest.approx(0.5)
    assert corrections.factor("balanced", "ending") == 1.0


@given(st.lists(st.tuples(some_seconds, some_seconds)))
def test_no_job_however_odd_moves_a_prediction_out_of_bounds(jobs: list[tuple[float, float]]) -> None:
    corrections = Corrections()
    for predicted, measured in jobs:
        corrections = corrections.learned("exact", predicted=text(predicted), measured=text(measured))
        assert 1 / FARTHEST <= corrections.factor("exact", "text") <= FARTHEST


@pytest.mark.parametrize("seconds", [1e-3, 1e5])
def test_one_job_moves_a_prediction_by_no_more_than_four_times(seconds: float) -> None:
    for jobs in ([], [text(10)] * 3, [text(40)] * 3):
        before, now = after(*jobs), after(*jobs, text(seconds))
        assert LEAST <= now.factor("exact", "text") / before.factor("exact", "text") <= WIDEST


def test_the_newest_job_counts_but_not_alone() -> None:
    assert 1.0 < after(text(10), text(20)).factor("exact", "text") < 2.0
    assert after(*[text(10)] * 40, text(20)).factor("exact", "text") == pytest.approx(2.0**0.25, rel=0.01)


def test_a_long_job_counts_for_more_than_a_short_one() -> None:
    short = after(text(10)).learned("exact", predicted=text(1), measured=text(2))
    long = after(text(10)).learned("exact", predicted=text(50), measured=text(100))
    assert short.factor("exact", "text") < 1.1
    assert long.factor("exact", "text") > 1.7


def test_a_job_of_twice_the_time_and_one_of_half_of_it_cancel_out() -> None:
    factor = after(*[text(20), text(5)] * 40).factor("exact", "text")
    assert math.sqrt(0.5) < factor < math.sqrt(2.0)


# --------------------------------------------------------------------------------------------------------------- kept


def learnt(folder: Path | None, ready: Ready = READY) -> Learning:
    learning = Learning(folder)
    learning.begin(ready)
    return learning


def factors(learning: Learning, part: Part = "text") -> tuple[float, float]:
    return learning.corrections.factor("exact", part), learning.corrections.factor(HAND_MADE, part)


def test_what_was_learned_is_there_after_the_next_start(tmp_path: Path) -> None:
    first = learnt(tmp_path)
    first.learn("exact", predicted=PREDICTED, measured=Seconds(1.0, 15.0, 1.0))
    first.learn(HAND_MADE, predicted=PREDICTED, measured=Seconds(1.0, 30.0, 1.0))
    assert factors(first) == (pytest.approx(1.5), pytest.approx(3.0))
    again = learnt(tmp_path)
    assert factors(again) == (pytest.approx(1.5), pytest.approx(1.5)), "a setting made by hand is of one sitting"
    assert factors(again, "ending")[0] == pytest.approx(0.5)


def test_a_model_process_that_is_started_again_finds_what_was_learned(tmp_path: Path) -> None:
    for folder in (tmp_path, None):
        learning = learnt(folder)
        learning.learn(HAND_MADE, predicted=PREDICTED, measured=text(30.0))
        learning.begin(replace(READY, load_seconds=2.0))
        assert factors(learning)[1] == pytest.approx(3.0)


@pytest.mark.parametrize(
    "other",
    [
        replace(READY, model="other"),
        replace(READY, threads=1),
        replace(READY, speeds=(StopSpeed("exact", 0.03, 2.0), READY.speeds[1])),
    ],
)
def test_with_other_measured_speeds_nothing_is_known(tmp_path: Path, other: Ready) -> None:
    learnt(tmp_path).learn("exact", predicted=PREDICTED, measured=text(15.0))
    assert factors(learnt(tmp_path, other)) == (1.0, 1.0)


@pytest.mark.parametrize("broken", ["", "[]", "{}", '{"of": 1, "factors": 2}', "\x00", "factors", "1e9", "-1"])
def test_a_file_that_makes_no_sense_is_no_file(tmp_path: Path, broken: str) -> None:
    learnt(tmp_path).learn("exact", predicted=PREDICTED, measured=text(15.0))
    (file,) = (tmp_path / "speed").iterdir()
    whole = file.read_text(encoding="utf-8")
    replaced = {
        "factors": whole.replace("1.5", '"much"'),
        "1e9": whole.replace("1.5", "1e9"),
        "-1": whole.replace("10.0", "-1.0"),
    }
    file.write_text(replaced.get(broken, broken), encoding="utf-8")
    assert factors(learnt(tmp_path)) == (1.0, 1.0)
    file.write_text(whole, encoding="utf-8")
    assert factors(learnt(tmp_path))[0] == pytest.approx(1.5)


def test_a_folder_that_cannot_be_written_to_keeps_nothing_and_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / "speed").write_text("a file where the folder should be", encoding="utf-8")
    learning = learnt(tmp_path)
    learning.learn("exact", predicted=PREDICTED, measured=text(15.0))
    assert factors(learning)[0] == pytest.approx(1.5)
