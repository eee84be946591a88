"""Rules of the end of a text: whole sentences, the likeliest end of those whose length is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.contract import Dial, Request, count_words
from model.ending import (
    NATURAL,
    PLAUSIBLE,
    SAID_AGAIN,
    Cut,
    Target,
    Try,
    best_cut,
    clause_ends,
    last_word,
    nearest_cut,
    offered_ends,
    sentence_ends,
    target_of,
    tolerance,
    word_ends,
    words_of,
)
from model.sentences import closes_sentence, is_no_end

ANY = Target(wanted=10, least=1, most=1000)


def pieces(text: str) -> tuple[str, ...]:
    """Tokens as a tokenizer makes them: a word with the space before it, every other character alone."""
    out: list[str] = []
    for character in text:
        if out and character.isalnum() and (out[-1][-1:].isalnum() or out[-1] == " "):
            out[-1] += character
        else:
            out.append(character)
    return tuple(out)


def attempt(text: str, *, before: str = "", written: int = 0, ended: bool = False, **told: object) -> Try:
    cut = pieces(text)
    words = tuple(written + words_of(before, cut[: count + 1]) for count in range(len(cut)))
    return Try(cut, words, ended, **told)  # type: ignore[arg-type]


def told(before: str, one: Try, cuts: Sequence[Cut]) -> list[tuple[str, int]]:
    return [("".join(one.pieces[: cut.tokens]) + (cut.closer or ""), cut.words) for cut in cuts]


def cuts(text: str, *, before: str = "", written: int = 0, ended: bool = False) -> list[tuple[str, int]]:
    one = attempt(text, before=before, written=written, ended=ended)
    return told(before, one, list(sentence_ends(before, one, 0)))


def test_a_sentence_ends_where_the_next_one_begins() -> None:
    assert cuts("It rained. He left. And") == [("It rained.", 2), ("It rained. He left.", 4)]
    assert cuts('"Go." He left') == [('"Go."', 1)]
    assert cuts("Pi is 3.14 or so. Yes") == [("Pi is 3.14 or so.", 6)]


def test_the_last_sentence_counts_only_if_the_model_ended_there() -> None:
    assert cuts("It rained.") == []
    assert cuts("It rained.", ended=True) == [("It rained.", 2)]
    assert cuts("It rained. He", ended=True) == [("It rained.", 2)]


def test_words_are_counted_on_from_the_text_before() -> None:
    assert cuts("ness fell. Now", before="The dark", written=2) == [("ness fell.", 3)]


@given(text=st.text('ab .,"\n', max_size=20), since=st.integers(0, 20))
def test_a_try_that_is_looked_at_bit_by_bit_has_the_same_ends(text: str, since: int) -> None:
    whole = attempt(text)
    since = min(since, len(whole.pieces))
    part = Try(whole.pieces[:since], whole.words[:since])
    seen = [*sentence_ends("", part, 0), *sentence_ends("", whole, 0, max(0, since - 1))]
    assert seen == list(sentence_ends("", whole, 0))


@given(before=st.text("ab '-.\n", max_size=12), after=st.text("ab '-.\n", max_size=12))
def test_words_of_a_piece_are_what_it_adds_to_the_whole_text(before: str, after: str) -> None:
    assert words_of(before, [after]) == count_words(before + after) - count_words(before)
    assert before.endswith(last_word(before))


# ------------------------------------------------------------------------------------------------------------ offers


CLOSERS = (".", '."', "!")


def offered(text: str, offers: dict[int, tuple[float, ...]], *, before: str = "", target: Target = ANY) -> list[Cut]:
    """With closing marks offered in place of the tokens named, and nowhere else."""
    count = len(pieces(text))
    one = attempt(text, before=before, offers=tuple(offers.get(at, (99.0,) * 3) for at in range(count)))
    return [cut for cut in offered_ends(before, one, 0, target, CLOSERS) if cut.cost < 99.0]


def test_a_sentence_may_be_closed_where_the_model_finds_a_mark_plausible() -> None:
    [cut] = offered("He left at once", {2: (0.3, 9.0, 4.0)})
    assert cut == Cut(0, 2, 2, ".", 0.3)
    assert cut.is_good


def test_a_quotation_is_closed_with_the_mark_that_closes_it() -> None:
    [cut] = offered(' "It rained all day', {4: (0.3, 1.2, 4.0)})
    assert (cut.closer, cut.cost, cut.broken) == ('."', 1.2, False)
    [cut] = offered(' "It rained all day', {4: (0.3, PLAUSIBLE + 1.0, 4.0)})
    assert (cut.closer, cut.broken) == (".", True)


@pytest.mark.parametrize(
    ("text", "at"), [("He met Mr Smith", 3), ("It cost 3 pounds", 3), ("see a.com now", 4), ("Yes, sir", 2)]
)
def test_no_sentence_ends_where_a_point_may_mean_something_else(text: str, at: int) -> None:
    assert not offered(text, {at: (0.1, 9.0, 9.0)})


def test_an_offer_outside_the_allowed_length_is_none() -> None:
    assert not offered("He left at once", {2: (0.3, 9.0, 9.0)}, target=Target(10, 3, 12))
    assert not offered("He left at once and ran", {4: (0.3, 9.0, 9.0)}, target=Target(1, 1, 3))


def test_a_sentence_that_says_the_same_again_costs_more() -> None:
    [again] = offered("The sea was calm and", {4: (0.3, 9.0, 9.0)}, before="The sea was calm. ")
    assert again.cost == 0.3 + SAID_AGAIN
    assert not again.is_good


@given(
    text=st.text('ab .,"(\n', max_size=16),
    before=st.sampled_from(["", "It was. ", 'He said "', "- "]),
    nats=st.lists(st.tuples(*[st.floats(0.0, 9.0)] * 3), min_size=16, max_size=16),
)
def test_whatever_is_offered_closes_a_sentence_and_is_broken_only_where_no_plausible_mark_helps(
    text: str, before: str, nats: list[tuple[float, ...]]
) -> None:
    one = attempt(text, before=before, offers=tuple(nats[: len(pieces(text))]))
    for cut in offered_ends(before, one, 0, ANY, CLOSERS):
        kept = before + "".join(one.pieces[: cut.tokens])
        assert cut.closer is not None
        assert closes_sentence(kept + cut.closer)
        assert cut.words == one.words[cut.tokens - 1]
        assert cut.broken == is_no_end(kept + cut.closer)
        for closer, cost in zip(CLOSERS, one.offers[cut.tokens], strict=True):
            if cost <= PLAUSIBLE and cut.broken:
                assert is_no_end(kept + closer) or not closes_sentence(kept + closer)


# -------------------------------------------------------------------------------------------------------- the choice


def test_an_end_costs_its_mark_and_less_where_the_text_may_be_over() -> None:
    text = "It rained. He"
    count = len(pieces(text))
    [plain] = sentence_ends("", attempt(text, nll=(1.0,) * count), 0)
    [over] = sentence_ends("", attempt(text, nll=(1.0,) * count, ends=(0.0,) * count), 0)
    [ended] = sentence_ends("", attempt("It rained.", ended=True, nll=(1.0,) * 4), 0)
    [unknown] = sentence_ends("", attempt(text, nll=(math.nan,) * count), 0)
    assert (plain.cost, over.cost, ended.cost, unknown.cost) == (1.0, 1.0 - NATURAL, 1.0 - NATURAL, 0.0)


CUTS = st.builds(
    Cut,
    st.integers(0, 3),
    st.integers(1, 9),
    st.integers(1, 30),
    st.sampled_from([None, "."]),
    st.floats(-2.0, 9.0),
    st.booleans(),
)


@given(cuts=st.lists(CUTS, max_size=12), wanted=st.integers(1, 25), slack=st.integers(0, 5))
def test_the_best_cut_is_allowed_sound_if_one_is_and_then_the_likeliest(
    cuts: list[Cut], wanted: int, slack: int
) -> None:
    target = Target(wanted, max(1, wanted - slack), wanted + slack)
    best, allowed = best_cut(cuts, target), [cut for cut in cuts if target.allows(cut.words)]
    assert (best is None) == (not allowed)
    if best is not None:
        assert best in allowed
        assert best.broken == all(cut.broken for cut in allowed)
        assert best.cost == min(cut.cost for cut in allowed if cut.broken == best.broken)


def test_the_nearest_cut_need_not_be_allowed() -> None:
    near, far = Cut(0, 5, 97), Cut(1, 9, 112)
    assert nearest_cut([far, near], ANY) is near
    assert nearest_cut([], ANY) is None


def test_where_no_sentence_ends_a_clause_or_a_word_can() -> None:
    one = attempt("he went on, and on")
    assert told("", one, list(clause_ends(one, 0))) == [("he went on.", 3)]
    assert [cut.words for cut in word_ends(one, 0)] == [1, 2, 4]


# -------------------------------------------------------------------------------------------------------- the target


def request(words: int | None, so_far: str = "") -> Request:
    return Request("job", "", "", so_far, Dial(8, 1, "verified"), 7, words)


@given(words=st.integers(1, 5000), there=st.integers(0, 500))
def test_the_allowance_is_a_small_share_of_the_whole_section_but_a_word_in_any_case(words: int, there: int) -> None:
    target = target_of(request(words, "word " * there))
    assert target is not None
    assert target.wanted == words
    assert 1 <= target.least <= words <= target.most
    assert target.most - words <= max(1, 0.03 * (words + there))
    assert tolerance(words) == max(1, math.floor(round(0.03 * words, 9)))


def test_without_a_wanted_length_there_is_no_target() -> None:
    assert target_of(request(None)) is None
