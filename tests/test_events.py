"""Rules of the news: pictures may be missed, nothing else; order stays; nobody waits for anybody."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.draft import Block
from app.events import PICTURES, DeskEvent, Hub, Subscription, block_facts, changed, picture
from model.contract import BlockStep, Dial, Slot

PATIENCE = 60.0


def everything(subscription: Subscription) -> list[DeskEvent]:
    heard = []
    while (event := subscription.get(0)) is not None:
        heard.append(event)
    return heard


KINDS = ["step", "step", "trying", "reading", "locked", "job", "hear"]


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 9))))
def test_at_most_one_picture_of_a_type_waits_and_nothing_else_is_ever_dropped(script: list[tuple[str, int]]) -> None:
    hub = Hub()
    subscription = hub.subscribe()
    said: list[tuple[str, int, int]] = []
    heard: list[tuple[str, int, int]] = []

    def hear(event: DeskEvent | None) -> None:
        if event is not None:
            heard.append((event["type"], event["value"], event["number"]))

    for number, (kind, value) in enumerate(script):
        if kind == "hear":
            hear(subscription.get(0))
        else:
            hub.publish({"type": kind, "value": value, "number": number})
            said.append((kind, value, number))
    rest = everything(subscription)
    assert max(Counter(event["type"] for event in rest if event["type"] in PICTURES).values(), default=0) <= 1
    for event in rest:
        hear(event)
    assert [event for event in heard if event[0] not in PICTURES] == [
        event for event in said if event[0] not in PICTURES
    ]
    assert [number for *_, number in heard] == sorted(number for *_, number in heard)
    for kind in PICTURES:
        assert [event for event in said if event[0] == kind][-1:] == [event for event in heard if event[0] == kind][-1:]


def test_every_listener_hears_everything_from_its_own_beginning() -> None:
    hub = Hub()
    early = hub.subscribe()
    hub.publish({"type": "job", "number": 1})
    late = hub.subscribe()
    hub.publish({"type": "job", "number": 2})
    assert [event["number"] for event in everything(early)] == [1, 2]
    assert [event["number"] for event in everything(late)] == [2]


def test_one_who_left_hears_nothing_more_and_the_others_go_on() -> None:
    hub = Hub()
    gone, there = hub.subscribe(), hub.subscribe()
    gone.close()
    gone.close()
    hub.publish({"type": "job"})
    assert gone.closed
    assert everything(gone) == []
    assert len(everything(there)) == 1
    assert not there.closed


def test_what_was_told_before_the_end_can_still_be_fetched() -> None:
    hub = Hub()
    subscription = hub.subscribe()
    hub.publish({"type": "job"})
    hub.close()
    assert subscription.closed
    assert subscription.get(PATIENCE) == {"type": "job"}
    assert subscription.get(PATIENCE) is None
    assert hub.subscribe().closed
    hub.publish({"type": "job"})


@pytest.mark.parametrize("wake", ["event", "close"])
def test_a_waiting_listener_is_woken(wake: str) -> None:
    hub = Hub()
    subscription = hub.subscribe()
    heard: list[Any] = []
    waiting = threading.Thread(target=lambda: heard.append(subscription.get()))
    waiting.start()
    if wake == "event":
        hub.publish({"type": "job"})
    else:
        subscription.close()
    waiting.join(PATIENCE)
    assert heard == [{"type": "job"} if wake == "event" else None]


def test_shapes_are_json_and_keep_all_64_bits_of_a_seed() -> None:
    block = Block(" Words.", "model", (1, 2), 2**64 - 1, Dial(4, 2, "confidence"), 2.5, 3, 0.1, "job")
    facts = json.loads(json.dumps(block_facts(block)))
    assert (facts["seed"], facts["tokens"], facts["dial"]["block_size"]) == (str(2**64 - 1), 2, 4)
    assert json.loads(json.dumps(block_facts(Block("Mine.", "writer"))))["seed"] is None
    step = BlockStep("job", 3, (Slot(" a", 0.5), Slot(None, 0.0)), 1, 1, 0.1)
    assert json.loads(json.dumps(picture(step))) == {
        "block": 3,
        "phase": "denoise",
        "slots": [{"text": " a", "confidence": 0.5}, {"text": None, "confidence": 0.0}],
    }
    assert changed(1, None, 2, deleted=True)["deleted"]
