"""How many seconds a piece of text will take at a setting of the dial, on this machine.

Pure sums over measured figures: the catalogue's (NFE per token of each stop), those of this machine (seconds per
forward of each stop). How far off they are is learned elsewhere.
"""

from __future__ import annotations

import json
import math

from app.corrections import Key, Seconds
from model.catalog import Entry, Stop, UnknownStop
from model.contract import Dial, InvalidSetting, Ready

FORWARD_OVERHEAD_TOKENS = 30
"""A forward of n tokens costs as much as n + this many parts: one of 16 tokens 1.5 times one of a single token."""


def key_of(entry: Entry, dial: Dial, stop_name: str | None) -> Key:
    """The stop's name while the dial stands there; temperature and nucleus may differ, they cost nothing."""
    stop = _named(entry, dial, stop_name)
    return stop.name if stop else dial


def kept_dial(entry: Entry, text: str | None) -> tuple[Dial, str | None] | None:
    """(setting, name of the stop) that was kept with a document or section as JSON: {"stop"} or {"dial"}.

    None: nothing was kept, or it was set for a model that has other stops, block sizes or rules.
    """
    try:
        kept = json.loads(text or "null")
        if not isinstance(kept, dict):
            return None
        if "stop" in kept:
            return entry.stop(str(kept["stop"])).dial, str(kept["stop"])
        dial = Dial(**kept["dial"])
    except (ValueError, TypeError, KeyError, UnknownStop, InvalidSetting):
        return None
    return (dial, None) if dial.block_size in entry.block_sizes and dial.rule in entry.rules else None


def tokens_for(entry: Entry, words: int) -> int:
    """Tokens that this many words take, on average."""
    return math.ceil(words * entry.tokens_per_word)


def seconds_to_write(
    entry: Entry, ready: Ready, dial: Dial, stop_name: str | None, *, prompt_tokens: int, words: int
) -> Seconds:
    """For reading the prompt and writing the words, before any correction. ready.speeds must not be empty."""
    reading = prompt_tokens / ready.prefill_tokens_per_second if ready.prefill_tokens_per_second > 0 else 0.0
    tokens = tokens_for(entry, words)
    at_the_end = min(tokens, ready.ending_tokens)
    forwards = (tokens - at_the_end) * forwards_per_token(entry, dial, stop_name)
    return Seconds(
        reading=reading,
        text=forwards * seconds_per_forward(entry, ready, dial, stop_name),
        ending=at_the_end * _ending_seconds_per_token(entry, ready, dial, stop_name),
    )


def forwards_per_token(entry: Entry, dial: Dial, stop_name: str | None) -> float:
    """NFE per token: measured for a named stop, else reckoned from the settings and the nearest stop of its rule."""
    if stop := _named(entry, dial, stop_name):
        return stop.nfe_per_token
    if dial.block_size == 1 and entry.verifies:
        return 1.0
    alike = _nearest([stop for stop in entry.stops if stop.dial.rule == dial.rule], dial)
    if dial.rule == "verified":
        return alike.nfe_per_token if alike else 1.0
    most = _most_forwards(entry, dial)
    if dial.rule == "threshold" and alike:
        # Sure blocks need fewer steps than they may take; how many fewer was measured at the stop.
        return most * min(1.0, alike.nfe_per_token / _most_forwards(entry, alike.dial))
    return most


def seconds_per_forward(entry: Entry, ready: Ready, dial: Dial, stop_name: str | None) -> float:
    """Measured on this machine for a named stop, else scaled from the nearest one by the width of a forward."""
    measured = {speed.stop: speed.seconds_per_forward for speed in ready.speeds}
    stop = _named(entry, dial, stop_name)
    if stop and stop.name in measured:
        return measured[stop.name]
    near = _nearest([stop for stop in entry.stops if stop.name in measured], dial)
    if near is None:
        return max(measured.values())
    return measured[near.name] * _width(dial) / _width(near.dial)


def _ending_seconds_per_token(entry: Entry, ready: Ready, dial: Dial, stop_name: str | None) -> float:
    """Of the last sentences, which are tried several times: measured at the named stop or the nearest one."""
    measured = {speed.stop: speed.ending_seconds for speed in ready.speeds}
    stop = _named(entry, dial, stop_name) or _nearest([stop for stop in entry.stops if stop.name in measured], dial)
    seconds = measured[stop.name] if stop and stop.name in measured else max(measured.values())
    return seconds / ready.ending_tokens


def _named(entry: Entry, dial: Dial, stop_name: str | None) -> Stop | None:
    for stop in entry.stops:
        if stop.name == stop_name and _shape(stop.dial) == _shape(dial):
            return stop
    return None


def _shape(dial: Dial) -> tuple[int, int, str, float]:
    return dial.block_size, dial.steps, dial.rule, dial.threshold


def _nearest(stops: list[Stop], dial: Dial) -> Stop | None:
    """The stop most like the dial: same rule first, then the nearest block size, threshold and steps."""
    return min(
        stops,
        key=lambda stop: (
            stop.dial.rule != dial.rule,
            abs(math.log2(stop.dial.block_size / dial.block_size)),
            abs(stop.dial.threshold - dial.threshold),
            abs(stop.dial.steps - dial.steps),
        ),
        default=None,
    )


def _most_forwards(entry: Entry, dial: Dial) -> float:
    """Per token, of an unverified block: its denoising steps and the commit."""
    slots = dial.block_size - (1 if entry.verifies else 0)  # the causal reading knows the first one without a step
    return (min(dial.steps, slots) + (0 if entry.rereads else 1)) / dial.block_size


def _width(dial: Dial) -> int:
    return FORWARD_OVERHEAD_TOKENS + dial.block_size
