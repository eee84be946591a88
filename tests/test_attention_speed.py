"""The dense mask against FlexAttention: both are timed under the same mask; how fast they are, a GPU has to say."""

from __future__ import annotations

import pytest
import torch

from model.backbones.dit import DiTConfig
from model.evaluation import attention_speed
from model.evaluation.attention_speed import Speed, measure

CONFIG = DiTConfig(vocab_size=23, hidden_dim=24, n_blocks=2, n_heads=2, cond_dim=6, model_length=16, block_size=4)
CPU = torch.device("cpu")

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


def test_both_ways_take_time_and_the_first_rounds_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 90.0, 80.0, 70.0, 3.0, 2.0, 5.0, 1.0])  # dense and flex in turns
    monkeypatch.setattr(attention_speed, "_seconds", lambda way, device: (way(), next(clock))[1])
    assert measure(CONFIG, 16, rows=2, rounds=2, device=CPU, dtype=torch.float32) == Speed(16, 3.0, 1.0)


def test_both_ways_attend_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs: list[torch.Tensor] = []
    monkeypatch.setattr(attention_speed, "_seconds", lambda way, device: (outputs.append(way()), 1.0)[1])
    measure(CONFIG, 16, rows=2, rounds=0, device=CPU, dtype=torch.float32)
    dense, flexible = outputs[:2]
    torch.testing.assert_close(dense, flexible, atol=1e-5, rtol=0)
    assert dense.shape == (2, 2, 32, 12)
