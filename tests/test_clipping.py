"""The search for the interval of least variance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model.noise import SCHEDULES, ClippedInterval
from model.training.clipping import FULL, Measure, Search, grid, is_bound, search
from model.training.share import Share
from model.training.systems.block_diffusion import BlockDiffusion
from tests.training_tiny import config, network, rows

GOLDENS = sorted((Path(__file__).parent / "goldens").glob("block*.safetensors"))


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_the_grid_is_the_published_one(path: Path) -> None:
    ours = torch.tensor([(one.low, one.high) for one in grid(int(path.stem.removeprefix("block")))])
    torch.testing.assert_close(ours.double(), load_file(path)["clip_grid"], rtol=0, atol=1e-6)


def test_only_the_whole_range_and_blocks_of_one_token_give_a_bound() -> None:
    assert [interval for interval in grid(4) if is_bound(interval, 4)] == [FULL]
    assert all(is_bound(interval, 1) for interval in grid(1))
    assert [name for name in SCHEDULES if not is_bound(FULL, 4, name)] == ["square-root"]


def found(block: int, share: Share | None = None) -> Search:
    system = BlockDiffusion(config(block_size=block))
    net = network(system.config)
    more = {} if share is None else {"share": share}
    return search(system, lambda batch: system.loss(net, batch), rows(48), batch=12, seed=3, **more)


def test_with_one_token_to_a_block_masking_everything_has_the_least_variance() -> None:
    assert found(1).best.interval == ClippedInterval(1.0, 1.0)


def test_the_best_interval_has_less_variance_than_the_whole_range_and_says_that_it_is_no_bound() -> None:
    outcome = found(4)
    assert outcome.best.variance < outcome.full.variance
    assert len(outcome.measures) == 36
    assert "no bound" in outcome.sentence
    told = json.loads(json.dumps(outcome.as_json()))
    assert told["best"] == [outcome.best.interval.low, outcome.best.interval.high]
    assert told["is_bound"] is False


def test_processes_that_share_a_search_find_what_one_finds() -> None:
    parts: list[torch.Tensor] = []

    def collect(tensor: torch.Tensor) -> torch.Tensor:
        parts.append(tensor)
        return tensor

    for number in range(2):
        found(4, Share(number, 2, collect))
    whole = found(4)
    variances = torch.tensor([one.variances for one in whole.measures], dtype=torch.float64)
    torch.testing.assert_close(sum(parts)[:, :, 0], variances)


def test_errors_are_those_of_the_mean_over_batches() -> None:
    measure = Measure(FULL, (1.0, 2.0, 3.0), (2.0, 2.0, 2.0))
    assert measure.variance == 2.0
    assert measure.variance_error == pytest.approx(1 / 3**0.5)
    assert measure.mean_error == 0.0
