"""A machine's speed is measured once for each model and way of multiplying, and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.catalog import find
from model.contract import StopSpeed
from model.kept_speed import Speed, known_or

ENTRY = find("smollm2-135m")
SPEED = Speed((StopSpeed("exact", 0.0125, 0.75), StopSpeed("sketch", 0.01, 0.5)), 900.0)


class Measuring:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Speed:
        self.times += 1
        return SPEED


def test_what_was_measured_once_is_known_from_then_on(tmp_path: Path) -> None:
    measuring = Measuring()
    for _ in range(3):
        assert known_or(measuring, "smollm2-135m", ENTRY, "bfloat16", tmp_path) == SPEED
    assert measuring.times == 1


def test_another_model_or_precision_is_measured_itself(tmp_path: Path) -> None:
    measuring = Measuring()
    for model, precision in (("smollm2-135m", "bfloat16"), ("smollm2-135m", "float32"), ("other", "float32")):
        known_or(measuring, model, ENTRY, precision, tmp_path)
    assert measuring.times == 3


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"stops": [{"stop": "exact"}], "prefill": 1}', "\udcff"])
def test_a_damaged_file_is_measured_again_and_made_whole(tmp_path: Path, damage: str) -> None:
    measuring = Measuring()
    known_or(measuring, "smollm2-135m", ENTRY, "bfloat16", tmp_path)
    (file,) = (tmp_path / "speed").iterdir()
    file.write_bytes(damage.encode("utf-8", "surrogateescape"))
    for _ in range(2):
        assert known_or(measuring, "smollm2-135m", ENTRY, "bfloat16", tmp_path) == SPEED
    assert measuring.times == 2


def test_where_nothing_can_be_kept_it_is_measured_each_time(tmp_path: Path) -> None:
    (tmp_path / "speed").write_text("a file where the folder should be")
    measuring = Measuring()
    for _ in range(2):
        assert known_or(measuring, "smollm2-135m", ENTRY, "bfloat16", tmp_path) == SPEED
    assert measuring.times == 2
