"""Rules of the catalogue: an entry names what is there, and its dial holds stops that the model can do."""

from __future__ import annotations

import re

import pytest

from app.environment import ROOT
from model.catalog import CATALOG, SMOLLM2, Entry, UnknownModel, UnknownStop, find
from model.contract import Dial

every_entry = pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.id)


@every_entry
def test_a_model_is_found_by_either_name(entry: Entry) -> None:
    assert find(entry.id) is entry
    assert find(entry.hub) is entry


def test_no_name_means_two_models() -> None:
    names = [name for entry in CATALOG for name in (entry.id, entry.hub)]
    assert len(set(names)) == len(names)


def test_an_unknown_model_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UnknownModel, match=r"^Model 'gpt' is not in the catalogue; choose one of .*smollm2-135m.*\.$"):
        find("gpt")


@every_entry
def test_a_stop_is_found_by_its_name_and_another_is_refused_with_those_there_are(entry: Entry) -> None:
    assert [entry.stop(stop.name) for stop in entry.stops] == list(entry.stops)
    names = ", ".join(stop.name for stop in entry.stops)
    with pytest.raises(UnknownStop, match=rf"^There is no stop 'fast' on the dial; choose one of {names}\.$"):
        entry.stop("fast")


@every_entry
def test_every_stop_is_a_setting_of_its_own_that_the_model_can_do(entry: Entry) -> None:
    assert len({stop.name for stop in entry.stops}) == len({stop.dial for stop in entry.stops}) == len(entry.stops)
    for stop in entry.stops:
        assert stop.dial.block_size in entry.block_sizes
        assert 0.0 < stop.nfe_per_token <= stop.dial.steps + 1  # what a block's steps and its commit cost at worst
        assert stop.nll > 0.0
        assert re.fullmatch(r"[A-Z][^.]*\.", stop.gives)


@every_entry
def test_the_stop_that_a_new_writer_meets_is_checked_by_the_base_model(entry: Entry) -> None:
    assert entry.stop(entry.default_stop).dial.rule == "verified"


def test_the_dial_goes_from_the_base_model_s_own_law_to_an_unchecked_sketch() -> None:
    first, last = SMOLLM2.stops[0], SMOLLM2.stops[-1]
    assert (first.name, first.dial.rule, first.dial.threshold) == ("exact", "verified", 0.0)
    assert (last.name, last.dial.rule != "verified") == ("sketch", True)


@every_entry
def test_what_an_entry_names_can_be_had(entry: Entry) -> None:
    assert entry.licence
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", entry.hub)
    for asset in filter(None, (entry.adapter, entry.head)):
        assert (ROOT / "assets" / asset).is_file()
    if entry.wheel is not None:
        assert re.fullmatch(r"[\w-]+==[\w.]+", entry.wheel.requirement)
        assert re.fullmatch(r"[0-9a-f]{64}", entry.wheel.sha256)
        assert entry.wheel.size > 0


@every_entry
def test_a_model_without_an_adapter_offers_block_size_1_alone(entry: Entry) -> None:
    assert 1 in entry.block_sizes
    assert entry.adapter is not None or entry.block_sizes == (1,)
    for size in entry.block_sizes:
        Dial(size, 1, "verified")
