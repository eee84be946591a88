"""The comparison by one command: its configuration, its measures, what is kept, and the whole way at a tiny size."""

from __future__ import annotations

import json
import math
import shutil
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.environment import ROOT
from app.lab_networks import networks_in
from app.lab_results import read_result
from model.backbones.dit import DiT
from model.contract import count_words
from model.evaluation.judge import Judge, Verdict
from model.evaluation.table import comparing, dry, figure, kept, likelihoods, plan, plots, samples, svg, texts, training
from model.evaluation.table.__main__ import main
from model.evaluation.table.page import figure as shown_figure
from model.evaluation.table.page import markdown
from model.evaluation.table.plan import Plan, Steps, Text, studied, trainings
from model.evaluation.table.recipes import ways
from model.training import corpora
from model.training.corpora import Corpus
from model.training.settings import InvalidSetting
from tests.test_generation import plain_nll, save_judge
from tests.tiny_deb import make_deb
from tests.training_tiny import text

TINY = """
title = "Tiny"
[text]
corpus = "words"
held_out = 0.3
vocabulary = 280
zero_shot = ["ships"]
[steps]
pretrain = 4
finetune = 2
study = 2
[shared]
length = 16
hidden_dim = 24
n_blocks = 2
n_heads = 2
cond_dim = 8
batch = 4
micro_batch = 2
warmup = 2
precision = "no"
log_every = 1
evaluate_every = 2
validation_rows = 4
save_every = 2
search_every = 2
search_rows = 4
[systems]
ar = {}
bd3-4 = {}
bd3-1 = {}
mdlm = {}
ssd-5 = { length = 15 }
sedd = {}
"sedd@2" = {}
[writers]
ar = {}
bd3-4 = {}
bd3-4-adaptive = { network = "bd3-4", way = "bd3lm-adaptive", budget = 50.0 }
bd3-4-int8 = { network = "bd3-4", compressed = true }
ssd-5 = { steps = 2 }
sedd = { steps = 3 }
[measures]
draws = 1
rows = 6
samples = 3
lengths = [16, 24]
documents = 4
longest = 20
told = ["bd3-4", "sedd"]
batch = 4
variance_rows = 6
cache_lengths = [16, 160, 320]
[studies]
block_sizes = [4, 1]
intervals = [[0.001, 1.0], [0.5, 1.0]]
schedules = ["cosine"]
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Plan, Path]]:
    """The plan, and a folder with the packages of its texts."""
    folder = tmp_path_factory.mktemp("table")
    (folder / "tiny.toml").write_text(TINY, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("words", "ships"):
            documents = {f"{name} {n}": text(60, seed=n) for n in range(12)}
            make_deb(folder / "out" / "text", name, {"./all.json": json.dumps(documents).encode()})
            read = lambda files: iter(json.loads(files["./all.json"]).items())  # noqa: E731
            patch.setitem(corpora.CORPORA, name, Corpus(name, "./all.json", "Ours.", read))
        yield Plan.read(folder / "tiny.toml"), folder / "out"


class Indifferent:
    """A judge to whom every word costs two nats."""

    def read_alone(self, words: str) -> Verdict:
        return Verdict(2.0 * count_words(words), count_words(words), count_words(words))


def bench() -> samples.Bench:
    return samples.Bench("indifferent", lambda: Indifferent())  # type: ignore[arg-type, return-value]


@pytest.fixture(scope="module")
def compared(tiny: tuple[Plan, Path]) -> tuple[dict[str, Any], Path]:
    """The result of the whole way, which is stopped twice and gone on with."""
    tiny_plan, out = tiny
    with pytest.MonkeyPatch.context() as patch:
        saved = training.Run.save

        def stop(run: training.Run, seconds: float) -> Path:
            path = saved(run, seconds)
            if run.folder.name == "bd3-4":
                raise KeyboardInterrupt
            return path

        patch.setattr(training.Run, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            comparing.compare(tiny_plan, out, bench(), "command", quiet=True)
    assert (out / "ar").exists()
    assert not (out / "sedd").exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            comparing.compare(tiny_plan, out, bench(), "command", quiet=True)
    assert list((out / "measures" / "likelihood").iterdir())
    return comparing.compare(tiny_plan, out, bench(), "command", quiet=True), out


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


# ----------------------------------------------------------------------------------------------------- configuration


def test_every_system_has_the_same_steps_and_blocks_of_its_name(tiny: tuple[Plan, Path]) -> None:
    tiny_plan, out = tiny
    runs = trainings(tiny_plan, out)
    assert [name for name in runs if "/" not in name] == ["ar", "bd3-4", "bd3-1", "mdlm", "ssd-5", "sedd", "sedd@2"]
    for name, settings in runs.items():
        if "/" in name:
            continue
        begun = runs["stages/pretrain"] if settings.start else None
        assert settings.steps + (begun.steps if begun else 0) == 6
        assert settings.start == ("" if begun is None else f"{begun.out}/step-0000004")
        assert bool(begun) == (settings.system in ("mdlm", "bd3lm"))
        assert bool(settings.search_every) == (settings.system == "bd3lm")
    sizes = {name: settings.network(281).block_size for name, settings in runs.items() if "/" not in name}
    assert sizes == {"ar": 1, "bd3-4": 4, "bd3-1": 1, "mdlm": 16, "ssd-5": 5, "sedd": 16, "sedd@2": 16}
    assert replace(runs["sedd@2"], seed=1, out="") == replace(runs["sedd"], out="")
    assert runs["sedd@2"].seed == 2


def test_the_studies_differ_in_their_noise_alone(tiny: tuple[Plan, Path]) -> None:
    tiny_plan, out = tiny
    runs = trainings(tiny_plan, out)
    found = {(size, interval, schedule) for _, interval, schedule, size in studied(tiny_plan)}
    assert found == {
        (4, (0.001, 1.0), "linear"), (4, (0.5, 1.0), "linear"), (4, (0.001, 1.0), "cosine"),
        (1, (0.001, 1.0), "linear"), (1, (1.0, 1.0), "linear"),
    }  # fmt: skip
    plain = [
        replace(runs[name], out="", interval=(0.1, 1.0), schedule="linear")
        for name, _, _, size in studied(tiny_plan)
        if size == 4
    ]
    assert plain[0] == plain[1] == plain[2]
    assert {(runs[name].interval, runs[name].schedule) for name, _, _, size in studied(tiny_plan) if size == 4} == {
        (interval, schedule) for size, interval, schedule in found if size == 4
    }


def _look_through(file: Path, out: Path) -> None:
    other = Plan.read(file)
    trainings(other, out)
    ways(other)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('corpus = "words"', 'corpus = "novels"', "There is no corpus 'novels'"),
        ('zero_shot = ["ships"]', 'zero_shot = ["words"]', "words is trained on"),
        ("held_out = 0.3", "held_out = 1.5", "held_out = 1.5 is not possible"),
        ("pretrain = 4", 'pretrain = "4"', "pretrain = '4' is not possible"),
        ("pretrain = 4", "pretrain = 0", "pretrain is below 1"),
        ("pretrain = 4\n", "", "lacks a setting"),
        ("[writers]", "[things]\n[writers]", "part 'things' that does not exist"),
        ('sedd = {}\n"', 'sed = {}\n"', "There is no system 'sed'"),
        ("sedd@2", "sedd@two", "There is no system 'sedd@two'"),
        ("bd3-4 = {}\nbd3-1", "bd3-0 = {}\nbd3-1", "There is no system 'bd3-0'"),
        ("ssd-5 = { length = 15 }", "ssd-5 = {}", "do not split into blocks of 5"),
        ("ssd-5 = { steps = 2 }", "ssd-5 = { budget = 2 }", r"\[writers.ssd-5\] is not possible"),
        ("ssd-5 = { steps = 2 }", "ssd-4 = { steps = 2 }", "'ssd-4', which is no system here"),
        ("ar = {}\nbd3-4 = {}\nbd3-4-ad", 'ar = { way = "no" }\nbd3-4-ad', "there is no way 'no'"),
        ("draws = 1", "draw = 1", "'draw' that does not exist"),
        ('title = "Tiny"', "title", "is not TOML"),
        ('title = "Tiny"', "", "lacks title"),
        ("log_every = 1", "log_evry = 1", "'log_evry' that does not exist"),
    ],
)
def test_what_is_not_possible_is_said_before_anything_is_done(
    tiny: tuple[Plan, Path], tmp_path: Path, old: str, new: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert TINY.count(old) == 1
    file = tmp_path / "other.toml"
    file.write_text(TINY.replace(old, new), encoding="utf-8")
    with pytest.raises(InvalidSetting, match=says):
        _look_through(file, tmp_path)
    assert main(["--config", str(file), "--out", str(tmp_path / "out")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_is_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "none.toml")]) == 1
    assert "none.toml" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("model.evaluation.table.__main__.compare", interrupted)
    assert main(["--config", str(ROOT / "lab" / "small.toml")]) == 130
    assert capsys.readouterr().err == "Stopped; the same command goes on.\n"


# ------------------------------------------------------------------------------------------------------------- texts


def test_documents_are_kept_apart_by_their_titles(compared: tuple[dict[str, Any], Path]) -> None:
    _, out = compared
    titles = {
        name: {json.loads(line)["title"] for line in (out / "text" / f"{name}.jsonl").read_text().splitlines()}
        for name in ("train", "validation", "ships")
    }
    assert titles["train"] | titles["validation"] == {f"words {n}" for n in range(12)}
    assert titles["train"]
    assert titles["validation"]
    assert not titles["train"] & titles["validation"]
    assert titles["ships"] == {f"ships {n}" for n in range(12)}


@given(st.text(), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_document_that_is_held_out_stays_so_with_a_larger_share(title: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert not texts.is_held_out(title, low) or texts.is_held_out(title, high)


def test_a_share_of_documents_is_about_that_share() -> None:
    held_out = sum(texts.is_held_out(f"document {n}", 0.03) for n in range(20_000))
    assert held_out == pytest.approx(600, abs=5 * math.sqrt(600))


def test_a_folder_with_other_texts_is_refused(compared: tuple[dict[str, Any], Path], tiny: tuple[Plan, Path]) -> None:
    with pytest.raises(InvalidSetting, match="holds other texts"):
        texts.prepare(replace(tiny[0].text, vocabulary=290), compared[1] / "text")


def test_a_folder_with_another_run_is_refused(compared: tuple[dict[str, Any], Path], tiny: tuple[Plan, Path]) -> None:
    settings = trainings(tiny[0], compared[1])["ar"]
    with pytest.raises(InvalidSetting, match="holds a run with another learning_rate"):
        training.train("ar", replace(settings, learning_rate=1.0))
    longer = replace(tiny[0], steps=Steps(pretrain=5, finetune=2, study=2))
    with pytest.raises(InvalidSetting, match="holds a run with another start"):
        training.train("bd3-4", trainings(longer, compared[1])["bd3-4"])


# -------------------------------------------------------------------------------------------------------------- kept


def test_a_measure_is_taken_once_and_again_when_what_it_depends_on_changes(tmp_path: Path) -> None:
    taken: list[int] = []

    def take() -> dict[str, Any]:
        taken.append(len(taken))
        return {"number": len(taken), "pair": (1, 2)}

    measures = kept.Kept(tmp_path, quiet=True)
    assert measures.get("a/b", {"seed": 1}, take) == {"number": 1, "pair": [1, 2]}
    assert measures.get("a/b", {"seed": 1}, take) == {"number": 1, "pair": [1, 2]}
    assert kept.Kept(tmp_path, quiet=True).get("a/b", {"seed": 1}, take)["number"] == 1
    assert measures.get("a/b", {"seed": 2}, take)["number"] == 2
    (tmp_path / "a" / "b.json").write_text('{"depends": {"seed"', encoding="utf-8")
    assert measures.get("a/b", {"seed": 2}, take)["number"] == 3
    (tmp_path / "a" / "b.json").write_text("[]", encoding="utf-8")
    assert measures.get("a/b", {"seed": 2}, take)["number"] == 4
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.json"]


def test_a_measure_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        kept.Kept(tmp_path, quiet=True).get("a", {}, interrupted)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


# ----------------------------------------------------------------------------------------------------------- figures


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30))
def test_a_mean_has_the_usual_standard_error(values: list[float]) -> None:
    found = figure.of_mean(values)
    assert found is not None
    assert found.error is not None
    assert found.value == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert found.error == pytest.approx(statistics.stdev(values) / math.sqrt(len(values)), abs=1e-9)


def test_nothing_has_no_figure_and_one_part_no_error() -> None:
    assert figure.of_mean([]) is figure.of_median([]) is None
    alone = figure.of_mean([3.0])
    assert alone == figure.Figure(3.0, None)
    assert figure.of_exponential(alone) == figure.Figure(math.exp(3.0), None)
    assert figure.Figure(1.0, math.inf).as_json() == {"value": 1.0, "error": None}


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60))
def test_a_median_is_the_median(values: list[int]) -> None:
    found = figure.of_median(values)
    assert found is not None
    assert found.value == statistics.median(values)


def test_a_medians_error_is_that_of_many_samples() -> None:
    """Of 400 uniforms: √(1/4) / √400 / density 1."""
    stream = torch.Generator().manual_seed(1)
    errors = [figure.of_median(torch.rand(400, generator=stream).tolist()).error for _ in range(50)]  # type: ignore[union-attr]
    assert statistics.fmean(errors) == pytest.approx(0.025, rel=0.1)  # type: ignore[type-var]


@given(st.lists(st.integers(0, 20_000), max_size=40))
def test_every_length_is_in_one_class_of_the_histogram(lengths: list[int]) -> None:
    counts = samples.histogram(lengths)
    assert sum(counts) == len(lengths)
    for at, edge in enumerate(samples.EDGES):
        assert sum(counts[at:]) == sum(length >= edge for length in lengths)


def test_lengths_of_documents_leave_the_end_token_out() -> None:
    assert list(samples.in_documents([5, 6, 0, 7, 0, 0, 8], end=0)) == [2, 1, 0]


def test_a_difference_is_paired_on_the_same_rows_and_only_there() -> None:
    one = {"nats": [10.0, 20.0, 30.0], "tokens": [10.0, 10.0, 10.0]}
    other = {"nats": [9.0, 19.0, 29.0], "tokens": [10.0, 10.0, 10.0]}
    paired = likelihoods.difference(one, other)
    assert paired is not None
    assert (paired.value, paired.error) == (pytest.approx(0.1), pytest.approx(0.0))
    apart = likelihoods.difference(one, {**other, "tokens": [11.0, 10.0, 10.0]})
    assert apart is not None
    assert apart.error is not None
    assert apart.error > 0.5


def test_a_judge_reads_a_text_alone(tmp_path: Path) -> None:
    """After the token between documents where it has one; else the first token is given."""
    name = save_judge(tmp_path)
    judge = Judge(name)
    vocabulary = judge._tokenizer.get_vocab()
    verdict = judge.read_alone("Wet.")
    if "<|endoftext|>" in vocabulary:
        assert (verdict.tokens, verdict.nll) == (4, pytest.approx(plain_nll(name, "<|endoftext|>", "Wet."), rel=1e-5))
    else:
        assert (verdict.tokens, verdict.nll) == (3, pytest.approx(plain_nll(name, "W", "et."), rel=1e-5))


# ----------------------------------------------------------------------------------------------------- the whole way


def test_a_stopped_comparison_goes_on_and_is_not_done_twice(
    compared: tuple[dict[str, Any], Path], tiny: tuple[Plan, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    result, out = compared
    before = {name: (out / name).read_bytes() for name in ("table.json", "table.md", *result["plots"])}
    monkeypatch.setattr(training, "Run", interrupted)
    monkeypatch.setattr(kept.time, "perf_counter", interrupted)  # a measure is timed when it is taken
    again = comparing.compare(tiny[0], out, bench(), "command", quiet=True)
    assert again == result == json.loads(before["table.json"])
    assert before == {name: (out / name).read_bytes() for name in before}


def test_a_part_of_the_work_can_be_left_to_another_command(
    compared: tuple[dict[str, Any], Path], tiny: tuple[Plan, Path]
) -> None:
    _, out = compared
    measures, whole = out / "measures", out / "whole"
    measures.rename(whole)
    study = studied(tiny[0])[0][0]
    try:
        comparing.share(tiny[0], ["bd3-4", study], out, bench(), quiet=True)
        taken = {path.relative_to(measures): _depends(path) for path in measures.rglob("*.json")}
        assert taken == {path: _depends(whole / path) for path in taken}
        for measure in ("likelihood", "samples", "judged", "variance", "compressed"):
            paths = {path.relative_to(whole) for path in (whole / measure).rglob("*.json")}
            ours = {path for path in paths if path.parts[1].startswith("bd3-4")}
            assert ours
            assert ours <= taken.keys()
    finally:
        shutil.rmtree(measures)
        whole.rename(measures)


def _depends(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))["depends"]


def test_every_system_is_measured_on_every_text(compared: tuple[dict[str, Any], Path]) -> None:
    result, _ = compared
    rows = {row["system"]: row for row in result["rows"]}
    for name in ("ar", "bd3-4", "bd3-1", "mdlm", "ssd-5", "sedd"):
        for column in ("perplexity", "perplexity on ships"):
            cell = rows[name]["columns"][column]
            assert cell["value"] > 1
            assert cell["error"] > 0
        assert rows[name]["exact"] == (name in ("ar", "bd3-1"))
        assert rows[name]["parameters"] > 10_000
    assert {one["name"]: one["tokens"] for one in result["text"]["measured"]}.keys() == {"validation", "ships"}
    assert [(one["better"], one["worse"]) for one in result["order"]] == [
        ("ar", "bd3-1"), ("bd3-1", "bd3-4"), ("bd3-4", "mdlm"), ("mdlm", "sedd")
    ]  # fmt: skip


def test_the_perplexity_is_that_of_the_command_for_one_network(
    compared: tuple[dict[str, Any], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    from model.evaluation.perplexity import main as one

    result, out = compared
    cell = next(row for row in result["rows"] if row["system"] == "ar")["columns"]["perplexity"]
    assert one([str(out / "ar"), str(out / "text" / "validation.jsonl"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["perplexity"] == pytest.approx(cell["value"], rel=0.02)  # whose last row ends with the text


def test_sedd_cannot_pass_its_rows_and_block_diffusion_can(compared: tuple[dict[str, Any], Path]) -> None:
    result, _ = compared
    rows = {row["system"]: row["columns"] for row in result["rows"]}
    kinds = ("generative perplexity", "entropy", "NFE", "speed")
    for label in ("ar", "bd3-4", "bd3-4-adaptive", "bd3-4-int8", "ssd-5"):
        assert all(rows[label][f"{kind}, {length} tokens"]["value"] > 0 for kind in kinds for length in (16, 24))
    assert all(f"{kind}, 16 tokens" in rows["sedd"] and f"{kind}, 24 tokens" not in rows["sedd"] for kind in kinds)
    assert rows["bd3-4"]["NFE, 24 tokens"]["value"] == 23  # one a token, but for the first, which is given
    assert rows["bd3-4-adaptive"]["NFE, 24 tokens"]["value"] < 12  # with so large a budget
    assert rows["sedd"]["NFE, 16 tokens"]["value"] == 4
    assert rows["ar"]["generative perplexity, 16 tokens"]["value"] == pytest.approx(math.exp(2))
    documents = {one["label"]: one for one in result["documents"]["of"]}
    assert documents["sedd"]["longest"] <= 15 < documents["bd3-4"]["longest"] <= 19
    for one in documents.values():
        assert sum(one["histogram"]) == one["count"]
    assert sum(documents["bd3-4"]["reasons"].values()) == documents["bd3-4"]["count"] == 4


def test_the_noise_is_measured_for_every_study(compared: tuple[dict[str, Any], Path]) -> None:
    result, _ = compared
    found = {(one["block_size"], plots.noise_name(one)): one for one in result["noise"]}
    assert found.keys() == {(4, "U[0, 1]"), (4, "U[0.5, 1]"), (4, "cosine"), (1, "U[0, 1]"), (1, "all masked")}
    assert found[1, "all masked"]["variance"]["value"] < found[1, "U[0, 1]"]["variance"]["value"]
    assert found[4, "U[0.5, 1]"]["variance"]["value"] < found[4, "U[0, 1]"]["variance"]["value"]
    assert [one["is_bound"] for one in found.values()] == [True, False, True, True, True]
    (four, one) = result["clipping"]
    assert (four["system"], one["system"]) == ("bd3-4", "bd3-1")
    assert one["interval"] in ([0.001, 1.0], [1.0, 1.0])
    assert four["times_less"]["value"] == pytest.approx(four["full"]["value"] / four["clipped"]["value"])


def test_seeds_are_the_parts_of_a_mean_and_stand_in_no_order(compared: tuple[dict[str, Any], Path]) -> None:
    result, out = compared
    (pair,) = result["seeds"]["of"]
    costs = [
        json.loads((out / "measures" / "likelihood" / name / "validation.json").read_text())
        for name in ("sedd", "sedd@2")
    ]
    values = [sum(cost["values"]["nats"]) / sum(cost["values"]["tokens"]) for cost in costs]
    assert (pair["system"], pair["values"]) == ("sedd", pytest.approx(values))
    assert pair["mean"]["value"] == pytest.approx(statistics.fmean(values))
    assert pair["mean"]["error"] == pytest.approx(abs(values[0] - values[1]) / 2)
    assert [one["worse"] for one in result["order"]] == ["bd3-1", "bd3-4", "mdlm", "sedd"]
    assert result["seeds"]["order"] == []  # nothing else was trained twice
    other = {"better": "mdlm", "worse": "sedd", "more": {"value": 0.25, "error": 0.1}}
    told = markdown({**result, "seeds": {"of": [pair], "order": [other]}})
    assert "mdlm < sedd by 0.25 ± 0.10 nats per token." in told.splitlines()


def test_a_caches_memory_stays_with_a_window_and_grows_with_the_text_without(
    compared: tuple[dict[str, Any], Path],
) -> None:
    found = {(one["context"], one["numbers"]): one["bytes"] for one in compared[0]["cache"]["of"]}
    window, whole = found["window", "float32"], found["whole text", "float32"]
    assert window[0] == window[1] == window[2] == whole[0] < whole[1] < whole[2]
    assert all(small < plain for plain, small in zip(whole, found["whole text", "int8"], strict=True))
    (four,) = [one for one in compared[0]["compression"] if one["system"] == "bd3-4"]
    assert four["compressed"] < four["plain"]
    assert abs(four["more"]["value"]) < 0.1


def test_the_page_shows_all_numbers_and_the_desk_reads_the_result(compared: tuple[dict[str, Any], Path]) -> None:
    result, out = compared
    page = (out / "table.md").read_text(encoding="utf-8")
    assert page == markdown(result)
    for row in result["rows"]:
        lines = [line for line in page.splitlines() if line.startswith(f"| {row['system']} |")]
        for name, cell in row["columns"].items():
            if cell is not None and name != "longest document":
                assert any(f" {shown_figure(cell)} |" in line for line in lines), (row["system"], name)
    shown = read_result(out)
    assert shown is not None
    assert [row.system for row in shown.rows] == [row["system"] for row in result["rows"]]
    assert shown.plots == tuple(result["plots"])
    assert {"ar", "bd3-4", "mdlm", "ssd-5", "sedd"} <= networks_in(out).keys()


def test_attention_is_timed_where_there_is_a_gpu_and_shown_then(compared: tuple[dict[str, Any], Path]) -> None:
    result, _ = compared
    assert (result["attention"] == []) == (not torch.cuda.is_available())
    timed = {"system": "bd3-4", "length": 1024, "dense": 0.0042, "flex": 0.0021, "times_faster": 2.0}
    assert "| bd3-4 | 1024 | 4.20 | 2.10 | 2.0 × |" in markdown({**result, "attention": [timed]}).splitlines()


def test_every_plot_is_a_picture(compared: tuple[dict[str, Any], Path]) -> None:
    result, out = compared
    assert len(result["plots"]) == 8
    for name in result["plots"]:
        root = ElementTree.fromstring((out / name).read_text(encoding="utf-8"))
        assert any(child.tag.endswith(("circle", "rect", "polyline")) for child in root.iter())


# ------------------------------------------------------------------------------------------------- pictures and words


def test_a_figure_is_rounded_to_two_digits_of_its_error() -> None:
    shown = shown_figure
    assert shown({"value": 31.2341, "error": 0.0412}) == "31.234 ± 0.041"
    assert shown({"value": 31.2345, "error": 0.412}, "≤ ") == "≤ 31.23 ± 0.41"
    assert shown({"value": 3123.45, "error": 41.2}) == "3123 ± 41"
    assert shown({"value": 127.0, "error": 0.0}) == "127"
    assert shown({"value": 1.25, "error": None}) == "1.2"
    assert shown(None) == "–"


@given(st.floats(0.001, 1e5), st.floats(1.01, 1e4), st.booleans())
def test_ticks_lie_on_their_axis_and_there_are_some(low: float, ratio: float, log: bool) -> None:
    axis = svg.Axis(low, low * ratio, log)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 24
    assert all(-1e-6 <= axis.share(tick) <= 1 + 1e-6 for tick in ticks)
    assert (axis.share(axis.low), axis.share(axis.high)) == (pytest.approx(0), pytest.approx(1))


def test_a_plot_of_nothing_and_of_one_point_is_a_picture() -> None:
    for drawn in (svg.lines("T", "x", []), svg.dots("T", ["a"], [svg.Series("s", ((0, 1.0, None),))], log=True),
                  svg.lines("T", "x", [svg.Series("<s>", ((1, 1.0, 2.0),))], log_y=True)):  # fmt: skip
        ElementTree.fromstring(drawn)


# ----------------------------------------------------------------------------------------------------------- dry runs


@pytest.mark.parametrize("name", ["tiny_table", "small", "paper", "paper_lm1b"])
def test_every_configuration_is_possible(name: str) -> None:
    read = Plan.read(ROOT / "lab" / f"{name}.toml")
    assert len(read.text.zero_shot) >= 3
    assert set(read.measures.told) <= set(read.writers)
    assert len(ways(read)) == len(read.writers)
    assert read.measures.lengths[0] <= read.shared["length"] < read.measures.lengths[1]
    assert {"ar", "sedd", "mdlm", "bd3-16", "bd3-8", "bd3-4"} <= set(read.systems)
    assert any(system.startswith("ssd-") for system in read.systems)


def test_mdlm_and_sedd_differ_in_their_loss_alone_where_seeds_are_compared(tmp_path: Path) -> None:
    small, seeds = (trainings(Plan.read(ROOT / "lab" / f"{name}.toml"), tmp_path) for name in ("small", "seeds"))
    assert list(seeds) == ["mdlm", "mdlm@2", "mdlm@3", "mdlm@4", "sedd", "sedd@2", "sedd@3", "sedd@4"]
    assert seeds["sedd"] == replace(small["sedd"], search_rows=seeds["sedd"].search_rows)
    for name, settings in seeds.items():
        as_sedd = replace(settings, system="sedd", out=seeds["sedd"].out, seed=seeds["sedd"].seed)
        assert as_sedd == seeds["sedd"], name


def test_the_paper_size_is_the_published_one_and_fits_its_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(ROOT / "lab" / "paper.toml"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "too much" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("| bd3-16 |")]
    assert line.split("|")[3].strip() == "169627218"
    assert "accelerate launch --num_processes 8 -m model.training.train --out runs/lab/bd3-16 --data openweb" in said
    assert "mass 0.999" in said


@pytest.mark.parametrize("system", ["ar", "bd3-4", "mdlm", "ssd-5", "sedd"])
def test_a_dry_run_counts_what_the_network_is(tiny: tuple[Plan, Path], system: str) -> None:
    settings = trainings(tiny[0], tiny[1])[system]
    need = dry.needs(settings, 281, tiny[0].machine)
    assert need.parameters == sum(parameter.numel() for parameter in DiT(settings.network(281)).parameters())
    assert need.tokens == settings.steps * 4 * settings.length
    assert need.operations > 3 * (need.parameters - 281 * 24)  # of its products, six a token
    more = dry.needs(replace(settings, micro_batch=4), 281, tiny[0].machine)
    assert more.gigabytes > need.gigabytes
    assert more.operations == pytest.approx(need.operations, rel=0.01)  # the noise level is read once a pass


def test_a_step_that_does_not_split_over_the_devices_is_refused(tiny: tuple[Plan, Path]) -> None:
    settings = trainings(tiny[0], tiny[1])["ar"]
    with pytest.raises(InvalidSetting, match="does not split into passes of 2 rows on 8 devices"):
        dry.needs(settings, 281, plan.Machine(devices=8))


def test_the_command_of_a_dry_run_is_that_run(tiny: tuple[Plan, Path]) -> None:
    import shlex

    from model.training.settings import parse

    for settings in trainings(tiny[0], tiny[1]).values():
        words = shlex.split(dry.command(settings, 1))
        assert words[:3] == ["python", "-m", "model.training.train"]
        assert parse(words[3:]) == settings


def test_text_from_files_needs_all_of_them() -> None:
    assert Text(data=("a.txt",), validation=("b.txt",), tokenizer="gpt2").corpus == ""
    with pytest.raises(InvalidSetting, match="needs a corpus, or data, validation and tokenizer"):
        Text(data=("a.txt",))
