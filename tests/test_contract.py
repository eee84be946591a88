"""Rules of what crosses the process border: frozen values that survive the journey, and settings checked where they are
made."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from math import inf, nan
from multiprocessing.reduction import ForkingPickler
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.contract import BLOCK_SIZES, RULES, Dial, Event, InvalidSetting, JobEvent, Request

DIAL = Dial(8, 2, "verified")
BORDER = (*get_args(Event), Request)
"""Everything that is sent from one process to the other."""

dials = st.builds(
    lambda size, steps, *others: Dial(size, min(steps, size), *others),
    st.sampled_from(BLOCK_SIZES),
    st.integers(1, max(BLOCK_SIZES)),
    st.sampled_from(RULES),
    st.floats(0, 1),
    st.floats(0, 5),
    st.floats(0, 1, exclude_min=True),
)


def any_of(kind: type) -> st.SearchStrategy[Any]:
    """A value with every field of its declared type."""
    given = {field.name: ... for field in fields(kind)}
    return st.builds(kind, **given | ({"dial": dials} if "dial" in given else {}))


@pytest.mark.parametrize("kind", BORDER, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=15)
def test_everything_arrives_as_it_was_sent(kind: type, data: st.DataObject) -> None:
    sent = data.draw(any_of(kind))
    arrived = ForkingPickler.loads(bytes(ForkingPickler.dumps(sent)))  # as multiprocessing's own connections do
    assert type(arrived) is kind
    assert repr(arrived) == repr(sent)  # a nan is not equal to itself


@pytest.mark.parametrize("kind", [*BORDER, Dial], ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=3)
def test_nothing_that_was_sent_can_be_changed(kind: type, data: st.DataObject) -> None:
    value = data.draw(dials if kind is Dial else any_of(kind))
    with pytest.raises(FrozenInstanceError):
        setattr(value, fields(kind)[0].name, None)


def test_every_event_of_a_job_says_which_job() -> None:
    assert [kind.__name__ for kind in get_args(JobEvent) if fields(kind)[0].name != "job"] == []


@given(dials)
def test_a_dial_within_its_bounds_can_be_made_and_made_again(dial: Dial) -> None:
    assert replace(dial) == dial


@pytest.mark.parametrize("size", BLOCK_SIZES)
def test_steps_go_from_one_to_the_block_size(size: int) -> None:
    assert [Dial(size, steps, "confidence").steps for steps in range(1, size + 1)] == list(range(1, size + 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block_size": 2}, "Block size 2 is not possible; choose one of (1, 4, 8, 16, 32)."),
        ({"block_size": 0}, "Block size 0 is not possible; choose one of (1, 4, 8, 16, 32)."),
        ({"block_size": 64}, "Block size 64 is not possible; choose one of (1, 4, 8, 16, 32)."),
        ({"steps": 0}, "0 denoising steps do not fit a block of 8; choose 1 to 8."),
        ({"steps": 9}, "9 denoising steps do not fit a block of 8; choose 1 to 8."),
        ({"block_size": 1}, "2 denoising steps do not fit a block of 1; choose 1 to 1."),
        (
            {"rule": "entropy"},
            "Unmasking rule 'entropy' is not known; choose one of first-hitting, confidence, threshold, verified.",
        ),
        ({"threshold": -0.1}, "A threshold of -0.1 is not possible; choose a value from 0 to 1."),
        ({"threshold": 1.1}, "A threshold of 1.1 is not possible; choose a value from 0 to 1."),
        ({"threshold": nan}, "A threshold of nan is not possible; choose a value from 0 to 1."),
        ({"temperature": -1.0}, "A temperature of -1.0 is not possible; choose a value from 0 to 5."),
        ({"temperature": inf}, "A temperature of inf is not possible; choose a value from 0 to 5."),
        ({"temperature": nan}, "A temperature of nan is not possible; choose a value from 0 to 5."),
        ({"nucleus": 0.0}, "A nucleus of 0.0 is not possible; choose a value above 0, at most 1."),
        ({"nucleus": 1.01}, "A nucleus of 1.01 is not possible; choose a value above 0, at most 1."),
        ({"repeat_penalty": -0.1}, "A penalty of -0.1 on repeats is not possible; choose a value from 0 to 10."),
        ({"repeat_penalty": nan}, "A penalty of nan on repeats is not possible; choose a value from 0 to 10."),
        ({"nucleus": nan}, "A nucleus of nan is not possible; choose a value above 0, at most 1."),
    ],
    ids=lambda part: ",".join(f"{name}={value}" for name, value in part.items()) if isinstance(part, dict) else "",
)
def test_a_dial_that_cannot_be_is_refused_with_a_sentence(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        replace(DIAL, **change)
    assert str(caught.value) == message
