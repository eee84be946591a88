"""Rules of filling: only holes change, white space stays, candidates are different, ranked by the causal reading, and
the same for the same seed; what was read before is not read again.

With tiny random networks that write whole words, and with the published kinds of network.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import replace
from difflib import SequenceMatcher
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.backbones import published
from model.backbones.dit_denoiser import DiTDenoiser
from model.backbones.llama import Llama
from model.backbones.load import FULL, open_published
from model.contract import (
    BlockStep,
    Candidate,
    Dial,
    Failed,
    Fill,
    Filled,
    InvalidSetting,
    JobEvent,
    Piece,
    Reading,
    Ready,
    Request,
    count_words,
)
from model.drawing import Kinds, different
from model.engine import Engine, common
from model.filling import Bench, Filling
from model.filling.one_hole import ended
from model.passage import LOOKED_AT, Hole, lay_out
from model.ranking import Ranking
from model.tokenizer import ChatTokenizer, PlainTokenizer, byte_level_bpe
from tests import tiny
from tests.test_engine import CountedLlama, text_of
from tests.tiny_gguf import CONTROLS
from tests.tiny_gguf import vocabulary as byte_tokens
from tests.tiny_published import write_checkpoint

WORDS = ("the", "old", "sea", "lay", "calm", "lamp", "Anna", "stone", "dawn", "keeper", "quiet", "water")
DIALS = [
    Dial(8, 1, "verified"),
    Dial(8, 2, "verified", threshold=0.1),
    Dial(4, 4, "threshold", threshold=0.6),
    Dial(8, 2, "confidence"),
    Dial(4, 4, "first-hitting"),
]
DIAL = DIALS[0]


def hole(was: str = "", words: int = 0) -> Piece:
    return Piece(None, words, was)


def ask(*pieces: Piece | str, **changes: Any) -> Fill:
    """A request; text among the pieces is kept."""
    wanted: dict[str, Any] = {"before": "the sea lay calm. ", "after": "", "dial": DIAL, "seed": 5, "candidates": 3}
    passage = tuple(Piece(piece) if isinstance(piece, str) else piece for piece in pieces)
    return Fill("j", "Be kind.", "Rain", pieces=passage, **{**wanted, **changes})


def filled(events: list[JobEvent]) -> Filled:
    last = events[-1]
    assert isinstance(last, Filled), last
    return last


def candidates(engine: Engine, request: Fill) -> tuple[Candidate, ...]:
    return filled(list(engine.fill(request))).candidates


def texts(engine: Engine, request: Fill) -> list[tuple[str, ...]]:
    return [candidate.texts for candidate in candidates(engine, request)]


# ------------------------------------------------------------------------------------------------- a tiny engine


def word_tokens() -> tuple[list[str], list[str]]:
    """A vocabulary in which every word is one token, with a space before it and without; and its merges."""
    tokens, merges = byte_tokens(), ["Ġ t", "h e", "Ġt he"]
    for word in WORDS:
        steps = [("t", "he")] if word == "the" else [(word[:at], word[at]) for at in range(1, len(word))]
        for left, right in [*steps, *([] if word == "the" else [("Ġ", word)])]:
            if left + right not in tokens:
                tokens.append(left + right)
                merges.append(f"{left} {right}")
    return tokens, merges


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    path = tmp_path_factory.mktemp("words") / "tokenizer.json"
    path.write_text(byte_level_bpe(*word_tokens(), CONTROLS).to_str(), encoding="utf-8")
    return ChatTokenizer(path)


@pytest.fixture(scope="module")
def parts(tokenizer: ChatTokenizer) -> tiny.Parts:
    return tiny.parts(5, replace(tiny.CONFIG, vocab_size=tokenizer.size, max_position_embeddings=512))


@pytest.fixture(scope="module")
def make(tokenizer: ChatTokenizer, parts: tiny.Parts) -> Callable[[], Engine]:
    """An engine that has read nothing yet. Its network writes whole words, full stops and commas.

    Few words without a space, or it would write them in one.
    """
    written = {*(f" {word}" for word in WORDS), "Anna", "old", ".", ","}
    banned = [id for id in range(tokenizer.size) if id != tokenizer.end and tokenizer.piece(id) not in written]
    network: Any = CountedLlama(
        parts.fast(end=tokenizer.end, banned=(*tokenizer.banned, *banned), block_sizes=(1, 4, 8, 16))
    )
    ready = Ready("tiny", str(tokenizer.path), 512, "float32", 1, 0.0, (), 48, 1.0)
    return lambda: Engine(network, tokenizer, ready)


@pytest.fixture(scope="module")
def engine(make: Callable[[], Engine]) -> Engine:
    return make()


def test_the_tiny_vocabulary_has_a_token_for_every_word(tokenizer: ChatTokenizer) -> None:
    text = "".join(f" {word}" for word in WORDS)
    assert [tokenizer.piece(token) for token in tokenizer.encode(text)] == [f" {word}" for word in WORDS]
    assert [tokenizer.piece(token) for token in tokenizer.encode("Anna,\nsea.")] == ["Anna", ",", "\n", "sea", "."]


# ------------------------------------------------------------------------------------------------------- requests


@pytest.mark.parametrize(
    ("make_it", "sentence"),
    [
        (lambda: ask("the sea"), "The passage has no hole; say which of its words are to be replaced."),
        (lambda: ask(), "The passage has no hole; say which of its words are to be replaced."),
        (lambda: ask(hole("sea"), candidates=0), "0 candidates are not possible; choose 1 to 8."),
        (lambda: ask(hole("sea"), candidates=9), "9 candidates are not possible; choose 1 to 8."),
        (
            lambda: ask(hole("sea"), strength=0.0),
            "A strength of 0.0 is not possible; choose a value above 0, at most 1.",
        ),
        (
            lambda: ask(hole("sea"), strength=1.1),
            "A strength of 1.1 is not possible; choose a value above 0, at most 1.",
        ),
        (
            lambda: ask(hole("sea"), strength=math.nan),
            "A strength of nan is not possible; choose a value above 0, at most 1.",
        ),
        (
            lambda: ask(hole("sea"), hole(words=3), strength=0.5),
            "Only words that stand there can be rewritten in part; choose a strength of 1.",
        ),
        (lambda: hole(), "A hole needs the number of words it is to have, or the words that stood there."),
        (lambda: hole("  \n"), "A hole needs the number of words it is to have, or the words that stood there."),
        (lambda: hole("sea", -1), "A hole needs the number of words it is to have, or the words that stood there."),
        (
            lambda: Piece("sea", words=2),
            "A piece that is kept has no number of words and nothing that stood there.",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_sentence(make_it: Callable[[], object], sentence: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        make_it()
    assert str(caught.value) == sentence


def test_a_request_and_its_answer_arrive_as_they_were_sent() -> None:
    for sent in (ask("a ", hole("b"), "c", strength=0.5), Filled("j", (Candidate(("b",), None, (0.5,)),), 3, 0.5)):
        assert ForkingPickler.loads(bytes(ForkingPickler.dumps(sent))) == sent


def test_a_passage_that_does_not_fit_fails_with_a_sentence(engine: Engine) -> None:
    for request in (
        ask(hole("sea"), before="sea " * 600),
        ask("sea " * 600, hole("sea")),
        ask(hole(words=400)),
        ask(hole("sea " * 600), strength=0.5),
    ):
        events = list(engine.fill(request))
        assert [type(event) for event in events] == [Failed]


# -------------------------------------------------------------------------------------------------------- the layout


def one(tokenizer: ChatTokenizer, before: str, was: str, after: str, words: int = 0) -> Hole:
    return lay_out(ask(hole(was, words), before=before, after=after), tokenizer).holes[0]


@pytest.mark.parametrize(
    ("before", "was", "after", "words", "gives"),
    [
        ("the ", "old sea", " lay", 0, "_"),
        ("the", " old sea ", "lay", 0, " _ "),
        ("the ", "old\n\nsea\n", "lay", 0, "_\n"),
        ("sea.", "", "the sea", 9, " _ "),
        ("sea. ", "", "the sea", 9, "_ "),
        ("sea.", "", " the sea", 9, " _"),
        ("sea.", "", "", 9, " _"),
        ("", "", "the sea", 9, "_ "),
        ("sea.\n\n", "", "the sea", 9, "_\n\n"),
        ("sea.", "", "\n\nthe sea", 9, " _"),
        ("sea (", "", ") lay", 2, "_"),
        ("the sea", "", ", calm", 2, " _"),
    ],
)
def test_white_space_around_new_words_is_that_of_the_old_ones_or_keeps_words_apart(
    tokenizer: ChatTokenizer, before: str, was: str, after: str, words: int, gives: str
) -> None:
    assert one(tokenizer, before, was, after, words).text(" _ ") == gives


def test_a_space_is_read_with_the_word_after_it(tokenizer: ChatTokenizer) -> None:
    def pieces(tokens: tuple[int, ...]) -> list[str]:
        return [tokenizer.piece(token) for token in tokens]

    passage = lay_out(
        ask("the old ", hole("sea"), " lay ", hole("calm "), "stone", before="", after=". dawn"), tokenizer
    )
    first, second = passage.holes
    assert pieces(passage.left) == ["the", " old"]
    assert (first.spaced, pieces(first.tokens), pieces(first.right)) == (True, [" sea"], [" lay"])
    assert (second.spaced, pieces(second.tokens)) == (True, [" calm"])
    assert pieces(second.right) == [" stone", ".", " dawn"]
    after_lines = lay_out(ask(hole("sea"), before="calm.\n\n"), tokenizer)
    assert pieces(after_lines.left) == ["calm", ".", "\n", "\n"]
    assert not after_lines.holes[0].spaced
    long = lay_out(ask(hole("sea"), after=" sea" * 100), tokenizer)
    assert len(long.holes[0].right) == LOOKED_AT


@pytest.mark.parametrize(
    ("before", "was", "after", "capital", "closes", "single"),
    [
        ("the ", "sea", " lay calm.", False, False, True),
        ("the sea lay. ", "The sea", " lay calm.", True, False, False),
        ("the sea lay. ", "the sea", " lay calm.", False, False, False),
        ("", "Anna", " lay.", True, False, True),
        ("the ", "Anna", " lay.", False, False, True),
        ("sea.\n", "Old", " sea", True, False, True),
        ("the ", "sea lay calm.", " Anna", False, True, False),
        ("the ", "sea lay calm.", "", False, True, False),
        ("the ", "sea lay calm.", "”", False, False, False),
        ("Dr. ", "Anna", " lay", False, False, True),
    ],
)
def test_sentences_begin_and_end_where_they_did(
    tokenizer: ChatTokenizer, before: str, was: str, after: str, capital: bool, closes: bool, single: bool
) -> None:
    found = one(tokenizer, before, was, after)
    assert (found.capital, found.closes, found.single) == (capital, closes, single)
    assert found.text("sea") == ("Sea" if capital else "sea")


@pytest.mark.parametrize(
    ("after", "closes"),
    [("", True), ("Anna lay.", True), (" Anna lay.", True), ("\n\nsea", True), ("“Old", True), ("old", False),
     (", old", False), (" and old", False), ("Ärger", True), ("# sea", True)],
)  # fmt: skip
def test_an_infill_ends_a_sentence_where_the_next_one_begins(
    tokenizer: ChatTokenizer, after: str, closes: bool
) -> None:
    assert one(tokenizer, "sea.", "", after, 9).closes == closes


def test_words_end_where_the_next_token_begins_another(tokenizer: ChatTokenizer) -> None:
    plain = replace(one(tokenizer, "the ", "old sea", " lay"), length=3)
    assert plain.ends([" a", " b", "c", ",", " d", " e"]) == [3, 4]
    assert replace(plain, clear=True).ends([" a", " b", "c", ",", " d", " e"]) == [3]
    assert replace(plain, single=True).ends([" a", "b", "’", "s", " c"]) == [4]
    assert replace(plain, single=True).ends([" a", "b", "c"]) == []
    assert replace(plain, single=True).ends([",", " b"]) == []
    closing = replace(plain, closes=True, words=3)
    assert closing.ends([" a", " b", ".", " c", " d", "."]) == [3]
    assert closing.ends([" a", " b", ".", "”", " c"]) == [4]
    assert closing.stops([" a", " b", ".", " c", ",", " d"]) == [1, 2, 4]


@given(st.floats(0.01, 1.0), st.integers(0, 2**32), st.text("ab c.", min_size=1, max_size=30))
def test_a_strength_masks_its_share_of_the_tokens_and_a_higher_one_the_same_and_more(
    strength: float, seed: int, was: str
) -> None:
    begins = tuple(character == " " for character in was)
    some = Hole("", "", was, tuple(range(len(was))), begins, 1, len(was), False, False, False, False, False, ())
    masks = some.masks(strength, random.Random(seed))
    assert sum(masks) == math.ceil(round(strength * len(was), 6))
    more = some.masks(1.0, random.Random(seed))
    assert all(more)
    half = some.masks(strength / 2, random.Random(seed))
    assert all(masked for masked, before in zip(masks, half, strict=True) if before)


def test_the_weakest_words_are_those_with_the_dearest_token(tokenizer: ChatTokenizer) -> None:
    begins = (True, True, False, True)
    some = Hole("", "", "", (1, 2, 3, 4), begins, 1, 4, False, False, False, False, False, ())
    assert some.masks(0.5, random.Random(1), [3.0, 0.1, 9.0, 1.0]) == (False, True, True, False)
    assert some.masks(0.25, random.Random(1), [3.0, 0.1, 0.2, 1.0]) == (True, False, False, False)


def test_only_the_words_that_the_causal_reading_finds_least_likely_change(
    engine: Engine, tokenizer: ChatTokenizer
) -> None:
    """Whatever the seed, the same words are weak."""
    was = "the old sea lay calm quiet water lay stone dawn"
    changed: set[int] = set()
    for seed in (5, 6):
        for (text,) in texts(engine, ask(hole(was), strength=0.2, weakest=True, seed=seed)):
            pairs = zip(tokenizer.encode(" " + was), tokenizer.encode(" " + text), strict=True)
            changed |= {at for at, (old, new) in enumerate(pairs) if old != new}
    assert 1 <= len(changed) <= 2


# ------------------------------------------------------------------------------------------------------------- jobs

PASSAGES = {
    "re-roll": ask(hole("the old sea lay calm ")),
    "re-roll in the middle": ask(hole("the old sea lay calm"), after=" water, dawn", quick=True),
    "one word": ask("the ", hole("old"), " sea lay.", candidates=6),
    "infill": ask(hole(words=12), before="the sea lay calm.", after="Anna lay quiet."),
    "no sentence": ask("the ", hole("old sea lay"), " calm water."),
    "weak words": ask("the ", hole("old"), " sea lay ", hole("calm"), " water ", hole("quiet"), "."),
    "pin": ask(hole("the lamp of "), "Anna", hole(" lay quiet.")),
    "polish": ask(hole("the old sea lay calm, quiet water lay stone"), strength=0.4, after=" dawn."),
    "weakest": ask(hole("the old sea lay calm, quiet water lay stone"), strength=0.4, weakest=True, after=" dawn."),
    "long": ask(hole("the old sea lay calm " * 6), after="Anna lay."),
    "long, in part": ask(hole("the old sea lay calm " * 6), after="Anna lay.", strength=0.8),
    "at the very beginning": ask(hole("Anna lay calm."), before="", after=" the sea"),
    "side by side": ask(hole("the old "), hole("sea "), "lay"),
}
every_passage = pytest.mark.parametrize("request_", PASSAGES.values(), ids=PASSAGES.keys())


def check(request: Fill, found: tuple[Candidate, ...], controls: set[str]) -> None:
    """What holds for the candidates of any request."""
    holes = [piece for piece in request.pieces if piece.text is None]
    stood_there = tuple(piece.was for piece in holes)
    assert 1 <= len(found) <= request.candidates
    assert len({candidate.texts for candidate in found} | {stood_there}) == len(found) + 1
    for candidate in found:
        assert len(candidate.texts) == len(holes)
        assert all(0.0 <= sure <= 1.0 for sure in candidate.sureness)
        for text, piece in zip(candidate.texts, holes, strict=True):
            assert text.strip()
            assert not any(control in text for control in controls)
            if core := piece.was.strip():
                lead, _, trail = piece.was.partition(core)
                assert text == lead + text.strip() + trail


@every_passage
def test_a_job_is_reading_then_pictures_then_candidates_best_first(
    engine: Engine, tokenizer: ChatTokenizer, request_: Fill
) -> None:
    for dial in DIALS:
        events = list(engine.fill(replace(request_, dial=dial)))
        last = filled(events)
        kinds = [type(event) for event in events[:-1]]
        assert kinds == [Reading] * kinds.count(Reading) + [BlockStep] * kinds.count(BlockStep)
        assert kinds[0] is Reading
        assert last.nfe == kinds.count(BlockStep)
        check(request_, last.candidates, {*CONTROLS})
        assert last.candidates == tuple(sorted(last.candidates, key=lambda one: one.nll or 0.0))


@every_passage
def test_at_most_one_forward_passes_between_two_events(engine: Engine, request_: Fill) -> None:
    network: Any = engine._network
    before = network.forwards
    for _ in engine.fill(request_):
        assert network.forwards - before <= 1
        before = network.forwards


@every_passage
def test_the_same_seed_is_the_same_answer_and_another_one_another(make: Callable[[], Engine], request_: Fill) -> None:
    once, twice, other = (texts(make(), replace(request_, seed=seed)) for seed in (3, 3, 4))
    assert once == twice != other


pieces = st.one_of(
    st.builds(Piece, st.sampled_from([" the ", "Anna", ", ", ". ", "\n\n", " “", "sea lay calm. The old"])),
    st.builds(hole, st.sampled_from(["sea", " the old ", "Anna lay.", "the sea lay calm, quiet\n", "ß☃"])),
    st.builds(hole, st.just(""), st.integers(1, 9)),
)


@given(
    passage=st.lists(pieces, min_size=1, max_size=5).filter(lambda some: any(piece.text is None for piece in some)),
    before=st.sampled_from(["", "the sea", "the sea. ", "sea\n\n", "Anna (", "☃ "]),
    after=st.sampled_from(["", " lay calm.", "Anna lay.", "\n\nThe sea", ", calm", "☃"]),
    dial=st.sampled_from(DIALS),
    strength=st.sampled_from([1.0, 0.5]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25)
def test_only_holes_change_whatever_the_passage(
    make: Callable[[], Engine], passage: list[Piece], before: str, after: str, dial: Dial, strength: float, seed: int
) -> None:
    if any(piece.text is None and not piece.was for piece in passage):
        strength = 1.0
    request = ask(*passage, before=before, after=after, dial=dial, strength=strength, seed=seed)
    last = list(make().fill(request))[-1]
    if not isinstance(last, Failed):  # the tiny network knows few words, and may find no others
        check(request, filled([last]).candidates, {*CONTROLS})


def test_alternatives_for_a_word_are_single_words_that_begin_like_it(engine: Engine) -> None:
    found = texts(engine, ask("the ", hole("old"), " sea lay.", candidates=8))
    assert len(found) == 8
    assert all(text.isalpha() and text != "old" for (text,) in found)
    capital = texts(engine, ask(hole("Old"), " sea lay.", candidates=4))
    assert all(text[0].isupper() for (text,) in capital)


def test_an_infill_has_about_the_wanted_words_and_ends_its_sentence(engine: Engine) -> None:
    for words, seed in itertools.product((5, 12, 30), range(3)):
        request = ask(hole(words=words), before="the sea lay calm.", after="Anna lay quiet.", seed=seed)
        for (text,) in texts(engine, request):
            assert text.strip()[-1] == "."
            assert abs(count_words(text) - words) <= max(3, 0.2 * words)


def test_an_answer_without_anything_new_fails_with_a_sentence(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ranking, "best", lambda self, *_, **__: iter(()))
    last = list(engine.fill(ask(hole("the old sea"))))[-1]
    assert isinstance(last, Failed)
    assert last.job == "j"


def test_greedy_words_are_the_likeliest_and_never_those_that_stood_there(engine: Engine) -> None:
    greedy = ask("the ", hole("sea"), " lay", dial=replace(DIAL, temperature=0.0), candidates=2)
    first, second = texts(engine, greedy)
    assert texts(engine, replace(greedy, pieces=(Piece("the "), hole(first[0]), Piece(" lay"))))[0] == second


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_words_that_are_the_likeliest_get_others_all_the_same(engine: Engine, strength: float) -> None:
    """A greedy answer put in the place of what stood there, again and again, would soon stand there already."""
    was = "old sea"
    for _ in range(6):
        request = ask("the ", hole(was), " lay", dial=replace(DIAL, temperature=0.0), strength=strength, candidates=1)
        ((text,),) = texts(engine, request)
        assert text != was
        was = text


@pytest.mark.parametrize("quick", [False, True])
def test_the_text_to_the_right_has_its_say(engine: Engine, quick: bool) -> None:
    """The ranking depends on it, and so do denoised words; those from the left do not."""
    rights = (" lay calm.", " stone, dawn Anna")
    found = [
        [texts(engine, ask("the ", hole("old sea lay"), right, seed=seed, quick=quick)) for seed in range(4)]
        for right in rights
    ]
    assert found[0] != found[1]


def test_a_block_in_the_middle_is_written_again_for_the_price_of_writing_it(
    make: Callable[[], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each text that is wanted, and one to spare, every token is read once; what stands around it is not."""
    request = ask(hole("the old sea lay calm"), before="the sea lay calm. " * 20, after=" water, dawn" * 20, quick=True)
    engine = make()
    texts(engine, request)  # what stands before it is read now
    network: Any = engine._network
    commit, read = network.commit, list[int]()

    def counted(tokens: Any, *others: Any, **named: Any) -> Any:
        read.append(tokens.numel())
        return commit(tokens, *others, **named)

    monkeypatch.setattr(network, "commit", counted)
    before = network.forwards
    nfe = filled(list(engine.fill(replace(request, seed=6)))).nfe
    most = lay_out(request, engine._tokenizer).holes[0].most
    assert nfe == network.forwards - before == len(read) <= most
    assert sum(read) <= 1 + 4 * (most - 1)


def test_a_quick_text_ends_where_what_follows_joins_best(engine: Engine) -> None:
    made = filling(engine, ask(hole("the old sea lay"), after=" water", quick=True))
    (some,) = made._bench.passage.holes
    pieces = [" the", " sea", " lay", " old", " dawn", " lamp"]
    assert some.ends(pieces) == [4, 3, 5]
    closing, joining = [9.0] * 6, [0.0, 0.0, 2.0, 3.0, 4.0, 1.0]
    spans = ended(made._bench, some, 0, [1, 2, 3, 4, 5, 6], [0.5] * 6, pieces, closing, joining)
    assert [(span.tokens, span.join) for span in spans] == [((1, 2, 3, 4, 5), (1.0,)), ((1, 2, 3), (3.0,))]


# -------------------------------------------------------------------------------------------------------- plain twins


def filling(engine: Engine, request: Fill) -> Filling:
    """A finished one, beside the engine's own."""
    passage = lay_out(request, engine._tokenizer)
    tokens = [*engine._tokenizer.prompt(request.system, request.user), *passage.left]
    with torch.inference_mode():
        cache = engine._network.new_cache(1)
        engine._network.commit(torch.tensor([tokens[:-1]]), cache)
        cache.decide(torch.tensor(tokens[-1:]))
        kinds = Kinds(engine._tokenizer, engine._network.facts, torch.device("cpu"))
        made = Filling(Bench(engine._network, engine._tokenizer, kinds, request, passage, cache))
        for _ in made.steps():
            pass
    return made


@every_passage
def test_a_batch_gives_what_one_text_after_the_other_gives(
    engine: Engine, request_: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    batched = candidates(engine, request_)
    monkeypatch.setattr(Bench, "_side_by_side", 1)
    one_by_one = candidates(engine, request_)
    assert [candidate.texts for candidate in one_by_one] == [candidate.texts for candidate in batched]
    assert [one.nll for one in one_by_one] == pytest.approx([one.nll for one in batched], abs=1e-4)


@every_passage
def test_candidates_are_ranked_by_the_nll_that_the_plain_network_gives_them(
    engine: Engine, parts: tiny.Parts, tokenizer: ChatTokenizer, request_: Fill
) -> None:
    """Nats per token of holes and of at most 32 kept tokens to the right of each, of the first one alone where it is to
    be quick; sureness is the chance of a token."""
    made = filling(engine, request_)
    passage = lay_out(request_, tokenizer)
    prompt = [*tokenizer.prompt(request_.system, request_.user), *passage.left]
    for found in made._bench.ranking._found[:6]:
        line, counted, own = [*prompt], [], []
        for part, hole_ in zip(found.tokens, passage.holes, strict=True):
            own += range(len(line), len(line) + len(part))
            line += part
            looked_at = 1 if request_.quick else LOOKED_AT
            counted += range(len(line), len(line) + min(looked_at, len(hole_.right)))
            line += hole_.right
        logits = parts.plain().causal(line)
        nll = [0.0, *(float(logits[at - 1].logsumexp(-1) - logits[at - 1, line[at]]) for at in range(1, len(line)))]
        assert found.nll == pytest.approx(fmean(nll[at] for at in [*own, *counted]), abs=1e-4)
        assert found.sureness == pytest.approx([math.exp(-nll[at]) for at in own], abs=1e-4)


def test_different_tokens_are_drawn_without_replacement() -> None:
    """The first one by its chance, each further one by its chance among those that are left."""
    logits = torch.tensor([0.5, 0.3, 0.2, 0.0]).log()
    pairs = [tuple(different(logits, 2, 1.0, torch.Generator().manual_seed(seed)).tolist()) for seed in range(4000)]
    for pair, chance in {(0, 1): 0.5 * 0.6, (1, 0): 0.3 * 5 / 7, (2, 1): 0.2 * 3 / 8}.items():
        assert pairs.count(pair) / 4000 == pytest.approx(chance, abs=0.03)
    assert different(logits, 9, 0.0, torch.Generator()).tolist() == [0, 1, 2]


# ----------------------------------------------------------------------------------------------------------- strength


def distance(one: str, other: str) -> float:
    """Share of the words that differ."""
    return 1.0 - SequenceMatcher(None, one.split(), other.split(), autojunk=False).ratio()


def test_the_stronger_the_more_words_are_others(engine: Engine, tokenizer: ChatTokenizer) -> None:
    was = "the old sea lay calm quiet water lay stone dawn Anna lamp keeper lay calm sea"
    means = []
    for strength in (0.1, 0.25, 0.5, 0.75, 1.0):
        found = [
            text
            for seed in range(6)
            for (text,) in texts(engine, ask(hole(was), after=" dawn.", strength=strength, seed=seed))
        ]
        if strength < 1.0:
            old = tokenizer.encode(" " + was)
            new = [tokenizer.encode(" " + text) for text in found]
            assert max(sum(a != b for a, b in zip(old, one, strict=True)) for one in new) <= math.ceil(strength * 16)
        means.append(fmean(distance(was, text) for text in found))
    assert means == sorted(means)
    assert means[0] > 0.0
    assert means[-1] > 2 * means[0]


# ------------------------------------------------------------------------------------------------- what was read before


def write(before: str, **changes: Any) -> Request:
    wanted: dict[str, Any] = {"dial": DIAL, "seed": 5, "words": 12, **changes}
    return Request("w", "Be kind.", "Rain", before, **wanted)


def readings(events: list[JobEvent]) -> list[tuple[int, int]]:
    return [(event.done, event.total) for event in events if isinstance(event, Reading)]


def test_a_second_job_reads_only_what_is_new(make: Callable[[], Engine], tokenizer: ChatTokenizer) -> None:
    engine, text = make(), "the old sea lay calm. " * 30
    whole = readings(list(engine.fill(ask(hole("sea"), before=text))))
    total = whole[0][1]
    assert whole[0][0] == 0
    assert total > 150
    assert readings(list(engine.fill(ask(hole("sea"), before=text, seed=6)))) == [(total - 1, total), (total, total)]
    longer = readings(list(engine.fill(ask(hole("sea"), before=text + "Anna lay calm. "))))
    assert longer[0] == (total, total + 4)
    shorter = readings(list(engine.fill(ask(hole("sea"), before=text[: len(text) // 2]))))
    assert shorter[0][0] == shorter[0][1] - 1
    other = readings(list(engine.fill(replace(ask(hole("sea"), before=text), user="Snow"))))
    assert 0 < other[0][0] < 30


def test_what_was_written_is_not_read_again(make: Callable[[], Engine]) -> None:
    engine = make()
    text = text_of(list(engine.write(write("Anna", words=None, max_tokens=40))))
    again = readings(list(engine.fill(ask(hole("sea"), before=f"Anna{text} "))))
    assert again[0][0] > again[0][1] - 12


@pytest.mark.parametrize("dial", [DIALS[1], DIALS[3]], ids=str)
def test_jobs_give_what_they_would_give_alone(make: Callable[[], Engine], dial: Dial) -> None:
    """Whatever was read before, and wherever the job before was left."""
    jobs: list[Request | Fill] = [
        write("the old sea", dial=dial),
        write("the old sea lay", dial=dial),
        ask("the ", hole("old"), " sea", dial=dial),
        ask(hole("lay calm"), before="the old sea ", after=".", dial=dial),
        write("the old", dial=dial, seed=9),
        write("the old", dial=dial, seed=9),
        write("Anna", dial=dial),
    ]

    def run(engine: Engine, job: Request | Fill) -> object:
        if isinstance(job, Request):
            return text_of(list(engine.write(job)))
        return texts(engine, job)

    alone = [run(make(), job) for job in jobs]
    engine = make()
    assert [run(engine, job) for job in jobs] == alone
    for steps, (job, answer) in zip((1, 2, 3, 5, 8, 13, 21), zip(jobs, alone, strict=True), strict=True):
        left = engine.fill(ask(hole("old sea lay"), before="the ", after=" calm.", dial=dial))
        for _ in itertools.islice(left, steps):
            pass
        assert run(engine, job) == answer


def test_a_copy_of_the_beginning_is_as_if_nothing_else_had_been_read(parts: tiny.Parts) -> None:
    network: Llama = parts.fast()
    tokens = torch.randint(3, 200, (1, 300), generator=torch.Generator().manual_seed(1))
    whole, begun = network.new_cache(1), network.new_cache(1)
    network.commit(tokens, whole)
    whole.decide(tokens[:, 0])
    network.commit(tokens[:, :100], begun)
    copy = whole.beginning(100)
    assert (copy.size, copy.pending, copy.capacity) == (begun.size, begun.pending, begun.capacity)
    assert torch.equal(copy.tokens[:, :100], begun.tokens[:, :100])
    for here, there in zip(copy.layers, begun.layers, strict=True):
        torch.testing.assert_close(here[..., :100, :], there[..., :100, :], atol=1e-5, rtol=0)
    copy.layers[0].zero_()
    assert float(whole.layers[0].abs().max()) > 0
    for position in (-1, 301):
        with pytest.raises(ValueError, match=f"Cannot begin with {position} tokens"):
            whole.beginning(position)


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_what_two_texts_have_in_common_at_their_beginning(one: list[int], other: list[int]) -> None:
    count = common(one, other)
    assert one[:count] == other[:count]
    assert one[count : count + 1] != other[count : count + 1] or count == len(one) == len(other)


# ---------------------------------------------------------------------------------------------- networks of each kind


@pytest.mark.parametrize("kind", [("bd3lm", 8), ("mdlm", 96), ("ar", 1)], ids=lambda kind: kind[0])
@pytest.mark.parametrize("length", [4, 300], ids=["short text", "longer than the window"])
def test_the_published_networks_fill_passages_too(tmp_path: Path, kind: tuple[str, int], length: int) -> None:
    folder = write_checkpoint(tmp_path / "model", *kind)
    network, tokenizer = open_published(folder, folder / "tokenizer.json", FULL)
    engine = Engine(network, tokenizer, Ready("tiny", str(tokenizer.path), 96, "float32", 1, 0.0, (), 48, 1.0))
    size = min(8, kind[1])
    dial = Dial(size, size, "verified" if network.facts.causal else "first-hitting", temperature=1.0)
    for name in ("one word", "weak words", "pin", "polish", "no sentence"):
        before = "a sea " * length
        request = replace(PASSAGES[name], dial=dial, before=before)
        for _ in range(2):  # a window is read anew
            events = list(engine.fill(request))
            assert readings(events)[0][0] == 0
            found = filled(events).candidates
            check(request, found, {"<|endoftext|>"})
            assert all((one.nll is None) == (not network.facts.causal) for one in found)
        assert texts(engine, request) == [one.texts for one in found]


def test_kept_words_are_seen_where_they_are_in_the_same_block(tmp_path: Path) -> None:
    """In a whole row what stands to the right changes the words; where blocks end with the hole it does not."""
    for system, size, differs in (("mdlm", 96, True), ("bd3lm", 1, False)):
        folder = write_checkpoint(tmp_path / system, system, size)
        network = published.load(folder).network
        for name, parameter in network.named_parameters():
            if "adaLN" in name or name == "output_layer.linear.weight":
                torch.nn.init.normal_(parameter, std=0.3)
        tokenizer = PlainTokenizer(folder / "tokenizer.json")
        denoiser = DiTDenoiser(network, end=tokenizer.end, banned=tokenizer.banned)
        engine = Engine(denoiser, tokenizer, Ready("tiny", str(tokenizer.path), 96, "float32", 1, 0.0, (), 48, 1.0))
        dial = Dial(size if size == 1 else 8, 1, "first-hitting", temperature=1.0)
        hidden = ask("a ", hole("sea lay calm"), " b sea.", dial=dial, candidates=8)
        other = replace(hidden, pieces=(*hidden.pieces[:-1], Piece(" zzz qqq xxx")))
        assert (texts(engine, hidden) != texts(engine, other)) == differs
