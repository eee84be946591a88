"""Rules of the catalogue: an entry names what is there, and its dial holds stops that the model can do."""

from __future__ import annotations

import re

import pytest

from app.environment import ROOT
from model.catalog import CATALOG, PUBLISHED, SMOLLM2, Entry, UnknownModel, UnknownStop, find
from model.contract import BLOCK_SIZES, Dial

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
        assert stop.dial.rule in entry.rules
        assert 0.0 < stop.nfe_per_token <= stop.dial.steps + 1  # what a block's steps and its commit cost at worst
        assert stop.nll is None or stop.nll > 0.0
        assert re.fullmatch(r"[A-Z][^.]*\.", stop.gives)


@every_entry
def test_the_stop_that_a_new_writer_meets_is_checked_where_that_is_possible(entry: Entry) -> None:
    assert (entry.stop(entry.default_stop).dial.rule == "verified") == entry.verifies == ("verified" in entry.rules)


def test_every_checkpoint_of_the_authors_is_there_and_what_it_cannot_do_is_said() -> None:
    names = ["bd3lm-owt-block_size4", "bd3lm-owt-block_size8", "bd3lm-owt-block_size16"]
    names += ["bd3lm-owt-block_size1024-pretrain", "mdlm-owt", "mdlm-noeos-owt", "sedd-noeos-owt", "ar-noeos-owt"]
    assert [entry.hub for entry in PUBLISHED] == [f"kuleshov-group/{name}" for name in names]
    assert [entry.id for entry in PUBLISHED if entry.verifies] == ["ar-noeos-owt"]
    assert not any(entry.instructs for entry in PUBLISHED)
    assert all(entry.slides and entry.tokenizer == "openai-community/gpt2" for entry in PUBLISHED)
    assert [max(entry.block_sizes) for entry in PUBLISHED] == [4, 8, 16, 32, 32, 32, 32, 32]


@pytest.mark.parametrize("entry", [entry for entry in PUBLISHED if not entry.verifies], ids=lambda entry: entry.id)
def test_an_unverified_stop_costs_its_steps_and_its_commit_and_was_not_measured(entry: Entry) -> None:
    for stop in entry.stops:
        assert stop.nfe_per_token == (stop.dial.steps + (not entry.rereads)) / stop.dial.block_size
        assert stop.nll is None
    assert [stop.name for stop in entry.stops] == ["faithful", "balanced", "sketch"]
    assert entry.stops[0].dial.rule == "first-hitting"
    assert entry.stops[0].dial.steps == entry.stops[0].dial.block_size


def test_the_dial_goes_from_the_base_model_s_own_law_to_a_check_at_a_glance() -> None:
    exact, balanced, sketch = SMOLLM2.stops
    assert [stop.name for stop in SMOLLM2.stops] == ["exact", "balanced", "sketch"]
    assert {stop.dial.rule for stop in SMOLLM2.stops} == {"verified"}
    assert 0.0 == exact.dial.threshold < balanced.dial.threshold < sketch.dial.threshold < 1.0
    assert [stop.dial.rounds for stop in SMOLLM2.stops] == [False, True, True]


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
def test_a_causal_model_without_an_adapter_takes_a_forward_a_token_in_blocks_of_any_size(entry: Entry) -> None:
    assert 1 in entry.block_sizes
    if entry.verifies and entry.adapter is None:
        assert {(stop.dial.rule, stop.nfe_per_token) for stop in entry.stops} == {("verified", 1.0)}
        assert entry.block_sizes == BLOCK_SIZES
    for size in entry.block_sizes:
        Dial(size, 1, "verified")
