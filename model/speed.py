"""How fast this machine is with a loaded network: a short measurement for the predictions of the dial.

Knows nothing of requests or of how predictions are made.
"""

from __future__ import annotations

import time

import torch

from model.catalog import Entry
from model.contract import StopSpeed
from model.denoiser import Denoiser
from model.finale import ENDING_TOKENS, WIDE, ending_dial, tries_side_by_side
from model.kept_speed import Speed
from model.sampler import BlockSampler, Draws, Pictures
from model.tokenizer import TextTokenizer

TEXT = (
    "The harbour lay quiet under a pale sky. An old keeper lit his lamp and counted the boats that had come home "
    "before the storm. He knew each of them by its sound, and by the way its crew spoke of the water. "
)
REPEATS = 5
"""Copies of the text that are read: the context of a short section."""

FORWARDS = 32
"""Network forwards that are timed at each stop."""

WARM = 4
"""Tokens after which the plans for a stop are made."""

PATIENCE = 2.0
"""Seconds after which a network whose every forward reads the whole window has been timed long enough."""


def warm_up(denoiser: Denoiser, tokenizer: TextTokenizer, entry: Entry) -> None:
    """The first products of a shape and the first runs of a script are slow, since plans are made: at the start rather
    than in the first section, which would take half as long again. Nothing where every forward reads the whole window.
    """
    if denoiser.facts.rereads:
        return
    prompt = _prompt(denoiser, tokenizer, TEXT)
    with torch.inference_mode():
        reader = _read(denoiser, entry, prompt)
        for stop in entry.stops:
            one = reader.fork(torch.zeros(1, dtype=torch.long), stop.dial)
            ending = ending_dial(stop.dial, denoiser.facts)
            rows = tries_side_by_side(denoiser.facts)
            for sampler in (one, one.fork(torch.zeros(rows, dtype=torch.long), ending)):
                size = min(WARM, sampler.dial.block_size)
                for _ in range(WARM // size):
                    Pictures(sampler.block(size, Draws(range(sampler.cache.batch)))).finish()


def measure(denoiser: Denoiser, tokenizer: TextTokenizer, entry: Entry) -> Speed:
    """The cost of every named stop, and of reading; of a network that is warm."""
    prompt = _prompt(denoiser, tokenizer, TEXT * REPEATS)
    with torch.inference_mode():
        _read(denoiser, entry, prompt)  # longer than what has warmed the network: plans for its shapes are made
        began = time.perf_counter()
        reader = _read(denoiser, entry, prompt)
        prefill = prompt.shape[1] / (time.perf_counter() - began)
        speeds = []
        for stop in entry.stops:
            one = reader.fork(torch.zeros(1, dtype=torch.long), stop.dial)
            rows = tries_side_by_side(denoiser.facts, slack=WIDE)  # as in a section of more than a hundred words
            several = one.fork(torch.zeros(rows, dtype=torch.long), ending_dial(stop.dial, denoiser.facts))
            seconds, _ = _cost(one, 1)
            forward, tokens = _cost(several, rows)
            speeds.append(StopSpeed(stop.name, seconds, forward / tokens * ENDING_TOKENS))
    return Speed(tuple(speeds), prefill)


def _prompt(denoiser: Denoiser, tokenizer: TextTokenizer, text: str) -> torch.Tensor:
    """[1, n]; of a small context no more than half."""
    return torch.tensor([tokenizer.prompt(TEXT, text)[: denoiser.facts.context // 2]])


def _read(denoiser: Denoiser, entry: Entry, prompt: torch.Tensor) -> BlockSampler:
    sampler = BlockSampler(denoiser, entry.stop(entry.default_stop).dial, may_end=False)
    for _ in sampler.read(prompt.to(sampler.cache.tokens.device)):
        pass
    return sampler


def _cost(sampler: BlockSampler, rows: int) -> tuple[float, float]:
    """Seconds per forward and tokens per forward (of one row), after a warm-up block."""
    draws = Draws(range(rows))
    _write(sampler, draws, time.perf_counter())
    began, nfe, tokens = time.perf_counter(), sampler.nfe, 0
    until = began + PATIENCE
    while sampler.nfe < nfe + FORWARDS and not _is_slow(sampler, until):
        tokens += _write(sampler, draws, until)
    forwards = sampler.nfe - nfe
    return (time.perf_counter() - began) / forwards, tokens / forwards


def _write(sampler: BlockSampler, draws: Draws, until: float) -> int:
    """Tokens of one more block; of a slow one only what is there when the time is up."""
    pictures = Pictures(sampler.block(sampler.dial.block_size, draws))
    for step in pictures:
        if _is_slow(sampler, until):
            return int((step.tokens[0] != sampler.denoiser.facts.mask).sum())
    return pictures.block.tokens.shape[1]


def _is_slow(sampler: BlockSampler, until: float) -> bool:
    """Such a block may be left before its end: its denoising steps change no cache."""
    return sampler.denoiser.facts.rereads and time.perf_counter() > until
