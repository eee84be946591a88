"""Rules of the table of writing: sums before the division, intervals over texts, rows in turns, wishes refused in one
sentence, a judge that counts the text and nothing else. How fast anything is, is measured by the command itself."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from model.backbones.load import read_config
from model.catalog import ADAPTER, SMOLLM2, Entry
from model.contract import Dial, InvalidSetting, count_words
from model.evaluation import generation
from model.evaluation.figures import summary, table
from model.evaluation.generation import (
    HELD_OUT,
    NotPossible,
    in_turns,
    main,
    parse_dial,
    read_requests,
    settings,
    spell,
    text_seed,
)
from model.evaluation.intervals import Estimate, difference, quotient, ratio, student
from model.evaluation.judge import Judge, JudgeUnusable, Verdict
from model.evaluation.writing import BASELINE, BASELINE_NAME, Text, cached, repeated, runs
from model.gguf_file import convert
from model.tokenizer import byte_level_bpe
from tests import tiny
from tests.tiny import parts
from tests.tiny_chat import write_adapter
from tests.tiny_gguf import CONTROLS, vocabulary, write_tiny_gguf

FIGURES = (
    "tokens_per_second", "to_block_size_1", "nfe_per_token", "tokens_per_cycle", "nll", "nll_difference",
    "repeated_4grams", "repeated_4grams_difference", "distinct_2", "words_kept", "judge_nll_per_token",
    "judge_nll_per_word",
)  # fmt: skip


def sure(figure: Estimate | None) -> Estimate:
    assert figure is not None
    return figure


# -------------------------------------------------------------------------------------------------------- intervals


@pytest.mark.parametrize(
    ("freedom", "t"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (10, 2.2281), (59, 2.0010), (87, 1.9876), (120, 1.9799)]
)
def test_students_t_is_the_printed_one(freedom: int, t: float) -> None:
    assert student(freedom) == pytest.approx(t, abs=5e-5)


def test_a_ratio_of_two_texts_by_hand() -> None:
    figure = sure(ratio([1.0, 3.0], [1.0, 1.0]))
    assert (figure.value, figure.moves) == (2.0, (-0.5, 0.5))
    assert figure.margin == pytest.approx(12.7062, abs=1e-4)  # the standard error of 1 and 3 is 1
    long_counts_for_more = sure(ratio([1.0, 9.0], [1.0, 3.0]))
    assert long_counts_for_more.value == 2.5
    assert long_counts_for_more.moves == (-0.375, 0.375)


def test_one_text_has_no_interval_and_nothing_to_count_no_figure() -> None:
    assert sure(ratio([3.0], [2.0])).interval is None
    assert ratio([0, 0], [0, 0]) is None
    assert ratio([], []) is None


def numbers(count: int, seed: int) -> tuple[list[float], list[float]]:
    """What stands above and below the line, of texts of unequal length."""
    stream = random.Random(seed)
    below = [float(stream.randint(60, 140)) for _ in range(count)]
    return [x * stream.gauss(1.4, 0.3) for x in below], below


def jackknife(figure: Callable[[Sequence[int]], float], count: int) -> float:
    """The standard error of a figure by leaving out one text after the other."""
    without = [figure([j for j in range(count) if j != i]) for i in range(count)]
    return math.sqrt((count - 1) / count * sum((value - statistics.fmean(without)) ** 2 for value in without))


def test_with_equal_lengths_the_interval_is_that_of_a_mean() -> None:
    values = numbers(30, 1)[0]
    figure = sure(ratio(values, [7.0] * 30))
    error = statistics.stdev(value / 7.0 for value in values) / math.sqrt(30)
    assert figure.interval == pytest.approx((figure.value - 2.0452 * error, figure.value + 2.0452 * error), abs=1e-4)


def test_with_unequal_lengths_it_is_that_of_leaving_out_one_text_after_the_other() -> None:
    (above, below), (more, under) = numbers(80, 2), numbers(80, 3)

    def plain(of: Sequence[int], y: Sequence[float] = above, x: Sequence[float] = below) -> float:
        return sum(y[i] for i in of) / sum(x[i] for i in of)

    def other(of: Sequence[int]) -> float:
        return plain(of, more, under)

    one, two = sure(ratio(above, below)), sure(ratio(more, under))
    for figure, twin in (
        (one, plain),
        (difference(one, two), lambda of: plain(of) - other(of)),
        (quotient(one, two), lambda of: plain(of) / other(of)),
    ):
        assert figure.value == pytest.approx(twin(range(80)))
        assert figure.margin == pytest.approx(student(79) * jackknife(twin, 80), rel=0.03)


def test_the_interval_holds_the_truth_19_times_in_20() -> None:
    hits = 0
    for seed in range(600):
        low, high = sure(ratio(*numbers(12, seed))).interval or (math.nan, math.nan)
        hits += low <= 1.4 <= high
    assert 0.925 <= hits / 600 <= 0.97


def test_what_moves_both_figures_alike_does_not_widen_their_comparison() -> None:
    above, below = numbers(10, 4)
    one, twice = sure(ratio(above, below)), sure(ratio([2.0 * y for y in above], below))
    assert one.margin is not None
    assert one.margin > 0.01
    assert quotient(twice, one).value == pytest.approx(2.0)
    assert quotient(twice, one).margin == pytest.approx(0.0, abs=1e-12)
    assert difference(one, one).interval == (0.0, 0.0)


# ---------------------------------------------------------------------------------------------------------- figures

ONE = Text([1, 2, 3, 4, 1, 2, 3, 4], [0.5] * 8, nfe=8, seconds=2.0, first_block_seconds=0.1)
TWO = Text([5, 6, 7, 8], [1.0] * 4, nfe=4, seconds=1.0, first_block_seconds=0.1)
FAST = Text([1, 2, 3, 4, 5, 6, 7, 8], [0.75] * 8, 6, 1.0, 0.1, cycles=3, proposed=10, kept=5)
FASTER = Text([5, 6, 5, 6], [2.0] * 4, 2, 0.5, 0.1, cycles=1, proposed=5, kept=3)


def test_the_figures_of_two_texts_by_hand() -> None:
    row = summary("fast", "8,1,verified", [FAST, FASTER], [ONE, TWO])
    assert (row.texts, row.tokens) == (2, 12)
    values = {name: value for name, value in row.as_json().items() if name in FIGURES}
    assert values == {
        "tokens_per_second": 12 / 1.5,
        "to_block_size_1": 2.0,
        "nfe_per_token": 8 / 12,
        "tokens_per_cycle": 12 / 4,
        "nll": pytest.approx(14.0 / 12),
        "nll_difference": pytest.approx(14.0 / 12 - 8.0 / 12),
        "repeated_4grams": 0.0,
        "repeated_4grams_difference": pytest.approx(-1 / 6),  # 1 2 3 4 comes twice among 5 + 1 runs of four
        "distinct_2": 9 / 10,  # 7 of 7, and 2 of 3
        "words_kept": 8 / 15,
        "judge_nll_per_token": None,
        "judge_nll_per_word": None,
    }


def test_a_row_is_compared_with_itself_without_doubt() -> None:
    row = summary(BASELINE_NAME, "1,1,verified", [ONE, TWO], [ONE, TWO])
    assert sure(row.to_block_size_1).interval == (1.0, 1.0)
    assert sure(row.nll_difference).interval == (0.0, 0.0)
    assert row.words_kept is row.tokens_per_cycle is None


def test_a_judge_is_counted_in_its_own_tokens_and_in_words() -> None:
    row = summary("fast", "", [FAST, FASTER], verdicts=[Verdict(30.0, 10, 6), Verdict(10.0, 6, 2)])
    assert sure(row.judge_nll_per_token).value == 40 / 16
    assert sure(row.judge_nll_per_word).value == 40 / 8
    assert row.to_block_size_1 is None


def test_runs_are_counted_within_a_text() -> None:
    assert runs([1, 2, 1, 2, 1], 2) == (4, 2)
    assert runs([1], 2) == (0, 0)
    assert repeated([ONE, TWO]) == pytest.approx(1 / 6)
    assert repeated([Text([], [], 0, 0.0, 0.0)]) == 1.0


def test_the_table_has_a_dash_where_there_is_no_figure_and_no_column_without_any() -> None:
    rows = [
        summary(BASELINE_NAME, "1,1,verified", [ONE, TWO], [ONE, TWO]),
        summary("fast", "8,1,verified", [FAST, FASTER], [ONE, TWO]),
    ]
    head, _, base, fast = ([cell.strip() for cell in line.strip("|").split("|")] for line in table(rows))
    assert "judge, nats/token" not in head
    assert base[head.index("words kept")] == "–"
    assert fast[head.index("words kept")].startswith("0.53 ± ")
    assert [len(line) for line in (base, fast)] == [len(head)] * 2
    assert " ± " not in "".join(table([summary("one", "", [ONE])]))


# ----------------------------------------------------------------------------------------------------------- wishes


@pytest.mark.parametrize(
    "written",
    ["1,1,verified", "8,2,verified,threshold=0.1", "4,4,threshold,threshold=0.6,temperature=0.5,nucleus=1.0"],
)
def test_a_dial_is_spelled_as_it_is_read(written: str) -> None:
    assert spell(parse_dial(written)) == written


def test_a_dial_has_what_is_not_said_from_block_size_1() -> None:
    assert parse_dial("8, 2, verified, threshold=.1") == replace(BASELINE, block_size=8, steps=2, threshold=0.1)
    stops = {spell(stop.dial): stop.dial for stop in SMOLLM2.stops}
    assert {written: parse_dial(written) for written in stops} == stops


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("8,1", "write it as in 8,1,verified,threshold=0.1"),
        ("eight,1,verified", "write it as in"),
        ("8,1,verified,threshold", "write it as in"),
        ("8,1,verified,speed=3", "no 'speed'; choose from threshold"),
        ("7,1,verified", "Block size 7 is not possible"),
        ("8,1,magic", "rule 'magic' is not known"),
        ("8,1,verified,threshold=nan", "threshold of nan"),
    ],
)
def test_what_is_no_dial_is_refused_in_one_sentence(written: str, said: str) -> None:
    with pytest.raises((NotPossible, InvalidSetting)) as refusal:
        parse_dial(written)
    assert said in str(refusal.value)


def test_rows_are_block_size_1_the_stops_and_further_dials() -> None:
    stops = [stop.name for stop in SMOLLM2.stops]
    assert list(settings(SMOLLM2, None, [])) == [BASELINE_NAME, *stops]
    assert settings(SMOLLM2, [BASELINE_NAME], ["8,2,verified"]) == {
        BASELINE_NAME: BASELINE, "8,2,verified": replace(BASELINE, block_size=8, steps=2),
    }  # fmt: skip
    with pytest.raises(NotPossible, match="no row fast; choose from block size 1, exact"):
        settings(SMOLLM2, ["exact", "fast"], [])


def test_requests_are_lines(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("Write of rain.\n\n# a remark\n  Write of snow.  \nWrite of hail.\n", encoding="utf-8")
    assert read_requests(file, None) == ("Write of rain.", "Write of snow.", "Write of hail.")
    assert read_requests(file, 2) == ("Write of rain.", "Write of snow.")
    assert len(set(read_requests(HELD_OUT, None))) >= 60


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), (b"# only this\n", "is empty"), (b"\xff\xfe", "not text in UTF-8")]
)
def test_a_file_without_requests_is_refused_in_one_sentence(
    content: bytes | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.txt"
    if content is not None:
        file.write_bytes(content)
    assert main(["--prompts", str(file)]) == 1
    complaint = capsys.readouterr().err
    assert said in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (["--rows", "fast"], "There is no row fast; choose from block size 1, exact, balanced, sketch."),
        (["--dial", "3,1,verified"], "Block size 3 is not possible"),
        (["--judge", "/no/such/judge"], "The judge /no/such/judge cannot be loaded"),
    ],
)
def test_a_wish_is_refused_before_anything_is_written(
    wish: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(wish) == 1
    complaint = capsys.readouterr().err
    assert said in complaint
    assert complaint.count("\n") == 1


# ---------------------------------------------------------------------------------------------------------- writing


def test_all_rows_answer_one_request_before_the_next_one() -> None:
    calls: list[tuple[str, int, int, int]] = []

    def writer(name: str) -> generation.Writer:
        def write(prompt: list[int], count: int, seed: int) -> Text:
            calls.append((name, len(prompt), count, seed))
            return Text([len(calls)], [0.0], 1, 1.0, 1.0)

        return write

    turns = list(in_turns({"a": writer("a"), "b": writer("b")}, [[1], [1, 2, 3], [1, 2]], 5, seed=9))
    first, second, third = (text_seed(9, number) for number in range(3))
    assert calls == [
        ("a", 3, 5, 0), ("b", 3, 5, 0),  # warming up on the longest
        ("a", 1, 5, first), ("b", 1, 5, first),
        ("a", 3, 5, second), ("b", 3, 5, second),
        ("a", 2, 5, third), ("b", 2, 5, third),
    ]  # fmt: skip
    assert [[turn[name].tokens for name in turn] for turn in turns] == [[[3], [4]], [[5], [6]], [[7], [8]]]
    assert len({first, second, third, text_seed(8, 0)}) == 4


@pytest.mark.parametrize(
    "dial",
    [BASELINE, Dial(8, 1, "verified"), Dial(8, 2, "verified", threshold=0.1), Dial(4, 2, "confidence")],
    ids=spell,
)
def test_a_written_text_knows_what_it_cost(dial: Dial) -> None:
    parts, prompt = tiny.parts(11), [5, 9, 4, 7, 3]
    with torch.inference_mode():
        text = cached(parts.fast(), dial)(prompt, 21, 3)
    assert len(text.tokens) == len(text.nll) == 21
    logits = parts.plain().causal([*prompt, *text.tokens])[len(prompt) - 1 : -1]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(text.tokens), reduction="none")
    assert text.nll == pytest.approx(expected.tolist(), abs=1e-4)
    if dial.rule == "verified":
        assert text.kept + text.cycles == len(text.tokens)  # the verifier adds one a cycle
        assert text.kept <= text.proposed <= 7 * text.cycles
        assert text.cycles <= text.nfe <= text.cycles * (1 + dial.steps)
    else:
        assert text.cycles == text.proposed == text.kept == 0


@pytest.fixture(scope="module")
def entry(folder: Path) -> Entry:
    return replace(SMOLLM2, id="tiny", adapter=str(folder / ADAPTER), head=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a tiny network and its block adapter."""
    made = tmp_path_factory.mktemp("tiny")
    write_tiny_gguf(made / "tiny.gguf", seed=5)
    converted = convert(made / "tiny.gguf")
    converted.tensors["model.norm.weight"] *= 0.1  # so that it does not write the same letter for ever
    (made / "config.json").write_text(json.dumps(converted.config), encoding="utf-8")
    (made / "tokenizer.json").write_text(converted.tokenizer, encoding="utf-8")
    save_file(converted.tensors, made / "model.safetensors")
    write_adapter(made, parts(5, read_config(made / "config.json")))
    return made


@pytest.fixture
def measured(
    entry: Entry, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What the command prints, with the tiny network in place of the default one."""
    monkeypatch.setattr(generation, "CATALOG", (entry,))
    monkeypatch.setattr(generation, "obtain", lambda *_: folder)

    def run(*arguments: str, code: int = 0) -> str:
        assert main(["--count", "2", "--tokens", "24", *arguments]) == code
        return capsys.readouterr().out

    return run


def test_the_command_prints_every_row_with_its_figures_and_intervals(measured: Callable[..., str]) -> None:
    rows = json.loads(measured("--json", "--dial", "8,2,verified,threshold=0.1", "--dial", "4,1,confidence"))
    names = [BASELINE_NAME, *(stop.name for stop in SMOLLM2.stops), "8,2,verified,threshold=0.1", "4,1,confidence"]
    assert [row["name"] for row in rows] == names
    for row in rows:
        assert set(row) == {"name", "dial", "texts", "tokens", *FIGURES, *(f"{name}_interval" for name in FIGURES)}
        assert (row["texts"], row["tokens"]) == (2, 48)
        for name in ("tokens_per_second", "nfe_per_token", "nll", "repeated_4grams", "distinct_2"):
            low, high = row[f"{name}_interval"]
            assert low <= row[name] <= high
        assert row["judge_nll_per_word"] is row["judge_nll_per_word_interval"] is None
    by_name = {row["name"]: row for row in rows}
    base, exact, unchecked = (by_name[name] for name in (BASELINE_NAME, "exact", "4,1,confidence"))
    assert (base["nfe_per_token"], base["tokens_per_cycle"], base["words_kept"]) == (1.0, 1.0, None)
    assert (base["to_block_size_1"], base["nll_difference"]) == (1.0, 0.0)
    assert exact["tokens_per_cycle"] >= 1.0
    assert exact["dial"] == spell(SMOLLM2.stop("exact").dial)
    assert 0.0 <= exact["words_kept"] <= 1.0
    assert unchecked["tokens_per_cycle"] is unchecked["words_kept"] is None


def test_same_seed_same_texts(measured: Callable[..., str]) -> None:
    def samples(*arguments: str) -> list[Any]:
        (row,) = json.loads(measured("--json", "--rows", "exact", "--samples", "2", *arguments))
        pairs: list[Any] = row["samples"]
        return pairs

    first = samples("--seed", "4")
    assert first == samples("--seed", "4") != samples("--seed", "5")
    assert [pair["request"] for pair in first] == list(read_requests(HELD_OUT, 2))
    assert all(pair["text"] for pair in first)


def test_samples_come_after_the_table(measured: Callable[..., str]) -> None:
    printed = measured("--rows", "exact", "--samples", "1").split("\n")
    assert printed[0].startswith("| | tokens/s | NFE/token |")  # nothing to compare with
    assert printed[2].startswith("| exact | ")
    assert printed[4] == f"### exact: {read_requests(HELD_OUT, 1)[0]}"


def test_more_tokens_than_the_model_holds_are_refused(
    measured: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--count", "1", "--tokens", "600"]) == 1
    assert capsys.readouterr().err == "The model holds 512 tokens; write fewer than 600.\n"


# ------------------------------------------------------------------------------------------------------------ judge


def save_judge(folder: Path, *, uniform: bool = False, window: int = 512, template: str | None = None) -> str:
    """A tiny causal model in transformers' own format, with a tokenizer of single bytes."""
    tokens = vocabulary()
    torch.manual_seed(3)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokens), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=window, initializer_range=0.4,
        )
    )  # fmt: skip
    if uniform:
        torch.nn.init.zeros_(model.lm_head.weight)
    model.save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_level_bpe(tokens, (), CONTROLS))
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return str(folder)


def plain_nll(folder: str, before: str, text: str) -> float:
    """Byte by byte, every time from the beginning."""
    model, alphabet = LlamaForCausalLM.from_pretrained(folder), PreTrainedTokenizerFast.from_pretrained(folder)
    ids, known = alphabet(text).input_ids, alphabet(before).input_ids
    nats = 0.0
    with torch.inference_mode():
        for token in ids:
            nats -= float(model(torch.tensor([known])).logits[0, -1].double().log_softmax(-1)[token])
            known = [*known, token]
    return nats


def test_a_judge_counts_the_text_after_its_request(tmp_path: Path) -> None:
    name = save_judge(tmp_path)
    verdict = Judge(name).read("Write of rain.", "It's wet – very.")
    assert (verdict.tokens, verdict.words) == (18, 3)  # a dash has three bytes
    assert verdict.nll == pytest.approx(plain_nll(name, "Write of rain.\n\n", "It's wet – very."), rel=1e-5)


def test_a_judge_with_a_chat_format_is_asked_in_it(tmp_path: Path) -> None:
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    template += "{% if add_generation_prompt %}>>{% endif %}"
    name = save_judge(tmp_path, template=template)
    expected = plain_nll(name, "<user>Write of rain.>>", "Wet.")
    assert Judge(name).read("Write of rain.", "Wet.").nll == pytest.approx(expected, rel=1e-5)
    assert expected != pytest.approx(plain_nll(name, "Write of rain.\n\n", "Wet."), rel=1e-3)


def test_no_text_costs_nothing(tmp_path: Path) -> None:
    assert Judge(save_judge(tmp_path)).read("Write of rain.", "") == Verdict(0.0, 0, 0)


def test_an_indifferent_judge_pays_the_vocabulary_for_every_token(measured: Callable[..., str], tmp_path: Path) -> None:
    name = save_judge(tmp_path, uniform=True)
    (row,) = json.loads(measured("--json", "--rows", "exact", "--samples", "2", "--judge", name))
    nats = math.log(len(vocabulary()))
    texts = [pair["text"] for pair in row["samples"]]
    letters, words = sum(len(text.encode()) for text in texts), sum(map(count_words, texts))
    assert row["judge_nll_per_token"] == pytest.approx(nats)
    assert row["judge_nll_per_word"] == pytest.approx(nats * letters / words)
    assert "judge, nats/word" in measured("--rows", "exact", "--judge", name)


def test_a_judge_who_cannot_read_so_much_costs_no_table(
    measured: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = save_judge(tmp_path, window=16)
    with pytest.raises(JudgeUnusable, match="reads 16 tokens, and a request with its text has"):
        Judge(name).read("Write of rain.", "Wet.")
    (row,) = json.loads(measured("--json", "--rows", "exact", "--judge", name, code=1))
    assert row["nll"] > 0.0
    assert row["judge_nll_per_token"] is None


def test_a_judge_of_pickled_weights_is_not_opened(tmp_path: Path) -> None:
    name = save_judge(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(JudgeUnusable, match=r"cannot be loaded \("):
        Judge(name)
