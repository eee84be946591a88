"""Before a writer's first section every kind of forward has been made once, where that is soon done."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.catalog import entry_for
from model.contract import Dial
from model.engine import Engine
from model.finale import ROWS
from model.sampler import BlockSampler
from model.speed import measure, warm_up
from tests.tiny_published import write_checkpoint


@pytest.mark.parametrize("kind", ["ar", "bd3lm", "mdlm"])
def test_every_stop_and_its_ending_are_warm(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_checkpoint(tmp_path, kind)
    entry = entry_for(str(folder))
    engine = Engine.open(str(folder), cache_dir=tmp_path / "no cache", threads=1, report=lambda _: None)
    written: set[tuple[Dial, int]] = set()
    block = BlockSampler.block

    def seen(sampler, size, draws):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        written.add((sampler.dial, sampler.cache.batch))
        return block(sampler, size, draws)

    monkeypatch.setattr(BlockSampler, "block", seen)
    warm_up(engine._network, engine._tokenizer, entry)
    if engine._network.facts.rereads:  # a forward takes a second
        assert written == set()
        return
    assert {dial for dial, rows in written if rows == 1} >= {stop.dial for stop in entry.stops}
    assert {rows for _, rows in written} == {1, ROWS}


def test_every_stop_has_a_price(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "bd3lm")
    entry = entry_for(str(folder))
    engine = Engine.open(str(folder), cache_dir=tmp_path / "no cache", threads=1, report=lambda _: None)
    with torch.inference_mode():
        speed = measure(engine._network, engine._tokenizer, entry)
    assert [stop.stop for stop in speed.stops] == [stop.name for stop in entry.stops]
    assert all(stop.seconds_per_forward > 0.0 and stop.ending_seconds > 0.0 for stop in speed.stops)
    assert speed.prefill > 0.0
