"""Rules of the lab: what a folder holds, one comparison at a time, the desk first, and an end with a sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.environment import ROOT
from app.lab import Comparison, Lab, LabRefused
from app.lab_networks import SHIPPED_NETWORKS, NoNetworks, networks_in
from app.lab_process import Answer, Compare, LabEnded, LabProcess, Opened, Question, Read, Step, lab_child
from app.lab_results import Cell, Unreadable, plots_in, read_result
from app.settings import parse
from app.visitors import OWN, Visitors
from tests.scripted_lab import ScriptedBench, hold, release, scripted_lab, scripted_lab_child, table
from tests.test_worker import wait_until_gone
from tests.tiny_lab import tiny_lab

PATIENCE = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return scripted_lab(tmp_path / "run")


@pytest.fixture
def lab(tmp_path: Path, folder: Path) -> Iterator[Lab]:
    with closing(Lab(folder, cache_dir=tmp_path / "cache", child=scripted_lab_child, shipped=tmp_path)) as lab:
        yield lab


def heard(run: Comparison, until: str = "over") -> list[dict[str, Any]]:
    """Everything up to the first event of that kind."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] != until:
        event = run.news.get(PATIENCE)
        assert event is not None, events
        events.append(event)
    return events


def one_sentence(text: str) -> bool:
    return text.endswith(".") and ". " not in text


# ---------------------------------------------------------------------------------------------------------- networks


def test_systems_are_named_by_what_their_checkpoints_say_in_the_papers_order(folder: Path) -> None:
    found = networks_in(folder)
    assert [(network.id, network.title, network.system, network.longest) for network in found.values()] == [
        ("ar", "Autoregressive", "ar", None),
        ("bd3-16", "Block diffusion, blocks of 16", "bd3lm", None),
        ("bd3-4", "Block diffusion, blocks of 4", "bd3lm", None),
        ("bd3-16+adaptive", "Block diffusion, blocks of 16, adaptive", "bd3lm-adaptive", None),
        ("bd3-4+adaptive", "Block diffusion, blocks of 4, adaptive", "bd3lm-adaptive", None),
        ("ssd", "SSD-LM, blocks of 32", "ssd", None),
        ("mdlm", "MDLM", "mdlm", None),
        ("mdlm+ancestral", "MDLM, ancestral", "mdlm-ancestral", None),
        ("sedd", "SEDD", "sedd", 128),
    ]


def test_the_newest_whole_checkpoint_is_the_one(folder: Path) -> None:
    steps = folder / "ar"
    for step, files in (("step-0000200", ("config.json", "model.safetensors")), ("step-0000300", ("config.json",))):
        (steps / step).mkdir()
        for name in files:
            (steps / step / name).write_bytes((steps / "step-0000100" / name).read_bytes())
    assert networks_in(folder)["ar"].folder == steps / "step-0000200"


def test_two_runs_of_one_kind_are_told_apart_by_their_folders(folder: Path) -> None:
    (folder / "mdlm").rename(folder / "mdlm-long")
    scripted_lab(folder, "mdlm", result=False)
    assert {n.title for n in networks_in(folder).values() if n.system == "mdlm"} == {"MDLM (mdlm)", "MDLM (mdlm-long)"}


@pytest.mark.parametrize("broken", ["", "[]", "{", '{"model_type": "gpt"}', '{"model_type": "ar", "vocab_size": "x"}'])
def test_a_checkpoint_that_cannot_be_read_is_left_out(folder: Path, broken: str) -> None:
    (folder / "ar" / "step-0000100" / "config.json").write_text(broken, encoding="utf-8")
    assert "ar" not in networks_in(folder)


def test_no_such_folder_and_an_empty_one_are_told_apart(tmp_path: Path) -> None:
    told = []
    for place in (tmp_path / "none", tmp_path):
        with pytest.raises(NoNetworks) as refused:
            networks_in(place)
        told.append(str(refused.value))
    assert all(map(one_sentence, told))
    assert "--lab FOLDER" in told[0]
    assert "does not exist" in told[0]
    assert "no trained network yet" in told[1]


def test_without_a_folder_the_networks_of_the_repository_write(tmp_path: Path, folder: Path) -> None:
    known = {one["id"] for one in Lab(None, cache_dir=tmp_path, networks=folder).overview()["networks"]}
    assert known == networks_in(folder).keys()
    own = scripted_lab(tmp_path / "own", "ar")
    assert [one["id"] for one in Lab(own, cache_dir=tmp_path, networks=folder).overview()["networks"]] == ["ar"]


def test_the_repository_has_networks_of_several_kinds() -> None:
    assert {"ar", "bd3lm", "mdlm", "sedd"} <= {network.system for network in networks_in(SHIPPED_NETWORKS).values()}


def test_the_folder_is_an_option_and_may_come_to_be_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parse([], {}).lab is None
    assert parse(["--lab", str(tmp_path / "later")], {}).lab == tmp_path / "later"
    assert parse([], {"GALLEY_LAB": str(tmp_path)}).lab == tmp_path
    with pytest.raises(SystemExit):
        parse(["--lab", __file__], {})
    assert "is a file" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------------- results


def test_a_result_is_read_with_its_errors_and_gaps(folder: Path) -> None:
    result = read_result(folder)
    assert result is not None
    assert [column.better for column in result.columns] == ["lower", "lower", "higher", ""]
    assert (result.rows[0].system, result.rows[0].cells[0]) == ("Autoregressive", Cell(24.31, 0.21))
    assert result.rows[1].cells[0] == Cell(27.95, 0.24, bound=True)
    assert not any(cell.bound for row in result.rows for cell in row.cells[1:])
    assert result.rows[-1].cells[1] == Cell(None, None)
    assert result.plots == ("nelbo-variance.svg",)


def test_only_plots_that_lie_beside_the_table_are_named(folder: Path) -> None:
    (folder.parent / "outside.svg").write_text("<svg/>", encoding="utf-8")
    (folder / "notes.txt").write_text("x", encoding="utf-8")
    names = ["../outside.svg", str(folder.parent / "outside.svg"), "notes.txt", "none.svg", "nelbo-variance.svg"]
    (folder / "table.json").write_text(json.dumps({**table(), "plots": names}), encoding="utf-8")
    result = read_result(folder)
    assert result is not None
    assert result.plots == ("nelbo-variance.svg",)
    assert set(plots_in(folder)) == {"nelbo-variance.svg"}


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"rows": 1, "columns": []}', '{"rows": [{}], "columns": []}', "[" * 100_000,
     '{"rows": [], "columns": [{"name": 5}]}', '{"rows": [{"system": "a", "columns": []}], "columns": [{"name": "b"}]}',
     '{"rows": [{"system": "a", "columns": {"b": {"value": "1"}}}], "columns": [{"name": "b"}]}'],
)  # fmt: skip
def test_what_is_no_table_is_refused_in_a_sentence(folder: Path, lab: Lab, content: str) -> None:
    (folder / "table.json").write_text(content, encoding="utf-8")
    with pytest.raises(Unreadable) as refused:
        read_result(folder)
    overview = lab.overview()
    assert overview["problem"] == str(refused.value)
    assert str(refused.value).endswith("make it again.")


def test_numbers_that_are_none_are_shown_as_gaps(folder: Path) -> None:
    content = json.dumps(table()).replace("24.31", "NaN").replace("0.21", "Infinity")
    (folder / "table.json").write_text(content, encoding="utf-8")
    result = read_result(folder)
    assert result is not None
    assert result.rows[0].cells[0] == Cell(None, None)


def test_the_folders_own_result_goes_before_the_repositorys(tmp_path: Path, folder: Path) -> None:
    shipped = scripted_lab(tmp_path / "shipped", "ar")
    (shipped / "only-here.svg").write_text("<svg/>", encoding="utf-8")
    here = Lab(folder, cache_dir=tmp_path, shipped=shipped)
    assert here.overview()["own"]
    assert here.plot("only-here.svg") is None
    (folder / "table.json").unlink()
    assert not here.overview()["own"]
    assert here.overview()["result"] is not None
    assert here.plot("only-here.svg") == b"<svg/>"


def test_without_any_result_the_command_is_told(tmp_path: Path) -> None:
    overview = Lab(None, cache_dir=tmp_path, shipped=tmp_path / "none", networks=tmp_path / "none").overview()
    assert (overview["result"], overview["problem"], overview["networks"]) == (None, None, [])
    assert overview["command"].startswith("python -m model.evaluation.table")
    assert one_sentence(overview["sentence"])


# ------------------------------------------------------------------------------------------------------- comparisons


class Told:
    """A process that answers by itself, and remembers what it was asked."""

    def __init__(self, answer: Callable[[Question], Answer]) -> None:
        self.asked: list[Question] = []
        self._answer = answer

    def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        return self._answer(question)


def comparison(folder: Path, first: str, second: str, tokens: int = 8) -> Comparison:
    known = networks_in(folder)
    return Comparison((known[first], known[second]), "Ice", tokens, 7)


def test_both_sides_write_are_read_and_end_with_a_sentence(tmp_path: Path, folder: Path) -> None:
    run, process = comparison(folder, "bd3-4", "mdlm"), Told(ScriptedBench(tmp_path).answer)
    run.go(process, lambda patience: True)  # type: ignore[arg-type]
    events = heard(run)
    assert [event["type"] for event in events] == ["opening", "begun", "step", "read", "read", "over"]
    step = events[2]
    assert [(side["tokens"], side["done"], side["slots"]) for side in step["sides"]] == [(8, True, ())] * 2
    assert step["sides"][0]["locked"] == step["sides"][1]["locked"]
    assert [event["perplexity"] for event in events[3:5]] == [112.5, 113.5]
    assert events[-1]["state"] == "finished"
    assert "MDLM: 8 forwards, 0.16 s." in events[-1]["sentence"]


def test_whoever_has_used_less_time_is_next(tmp_path: Path, folder: Path) -> None:
    run, process = comparison(folder, "bd3-4", "mdlm"), Told(ScriptedBench(tmp_path).answer)
    run.go(process, lambda patience: True)  # type: ignore[arg-type]
    sides = [question.side for question in process.asked if isinstance(question, Step)]
    assert sides[:6] == [0, 1] * 3


def test_the_desk_goes_first(tmp_path: Path, folder: Path) -> None:
    """While it is not idle nothing is asked of the process."""
    process = Told(ScriptedBench(tmp_path).answer)
    run, waits = comparison(folder, "ar", "mdlm"), iter([True, True, False, False, True])
    asked: list[int] = []

    def idle(patience: float) -> bool:
        asked.append(len(process.asked))
        return next(waits, True)

    run.go(process, idle)  # type: ignore[arg-type]
    pauses = [event["sentence"] for event in heard(run) if event["type"] == "pause"]
    assert asked[2:5] == [2, 2, 2]
    assert pauses[1] is None
    assert "goes first" in pauses[0]


def test_a_desk_is_idle_when_no_job_is_under_way(visitors: Visitors) -> None:
    assert visitors.press.idle()
    session = visitors.session(OWN)
    section = session.create_document("T").sections[0].id
    session.change_section(section, 0, brief="Ice.")
    with closing(session.subscribe()) as news:
        visitors.press.start()
        while session.engine()["state"] != "ready":
            news.get(PATIENCE)
        stop = session.entry.stop(session.entry.default_stop)
        session.write(section, dial=stop.dial, stop_name=stop.name, seed=1)
        seen = visitors.press.idle()  # the job may be over already, on a fast machine
        assert visitors.press.idle(PATIENCE)
        assert not seen or session.job() is None


def test_one_side_that_cannot_write_leaves_the_other_alone(tmp_path: Path, folder: Path) -> None:
    run, process = comparison(folder, "sedd", "ar", 65), Told(ScriptedBench(tmp_path).answer)
    run.go(process, lambda patience: True)  # type: ignore[arg-type]
    events = heard(run)
    assert events[1]["problems"][1] is None
    assert "training length" in events[1]["problems"][0]
    assert {question.side for question in process.asked if isinstance(question, Step | Read)} == {1}
    assert "SEDD" not in events[-1]["sentence"]


def test_two_sides_that_cannot_write_end_it_at_once(tmp_path: Path, folder: Path) -> None:
    run, process = comparison(folder, "sedd", "sedd", 65), Told(ScriptedBench(tmp_path).answer)
    run.go(process, lambda patience: True)  # type: ignore[arg-type]
    assert heard(run)[-1]["state"] == "failed"
    assert len(process.asked) == 1


def test_stop_ends_it_within_a_forward_and_the_next_one_begins(tmp_path: Path, lab: Lab) -> None:
    hold(tmp_path / "cache", 10)
    first = lab.begin(("bd3-4", "mdlm"), "", 32)
    heard(first, "step")
    lab.stop("another")
    with pytest.raises(LabRefused, match="under way"):
        lab.begin(("ar", "mdlm"), "", 32)
    lab.stop(first.id)
    assert heard(first)[-1]["state"] == "stopped"
    release(tmp_path / "cache")
    second = lab.begin(("ar", "mdlm"), "", 8)
    assert heard(second)[-1]["state"] == "finished"
    assert second.news.get(PATIENCE) is None
    assert second.news.closed


def test_a_comparison_that_nobody_follows_any_more_stops(tmp_path: Path, lab: Lab) -> None:
    hold(tmp_path / "cache", 10)
    left = lab.begin(("bd3-4", "mdlm"), "", 32)
    heard(left, "step")
    left.news.close()
    release(tmp_path / "cache")
    assert heard(lab.begin(("ar", "mdlm"), "", 8))[-1]["state"] == "finished"


@pytest.mark.parametrize(
    ("systems", "wish", "says"),
    [
        (("ar", "none"), {"tokens": 8}, "“none”"),
        (("../ar", "ar"), {"tokens": 8}, "“../ar”"),
        (("ar", "mdlm"), {"tokens": 0}, "1 to"),
        (("ar", "mdlm"), {"tokens": 5000}, "1 to"),
        (("ar", "mdlm"), {"tokens": 8, "steps": 0}, "1 to 1000"),
        (("ar", "mdlm"), {"tokens": 8, "steps": 1001}, "1 to 1000"),
        (("ar", "mdlm"), {"tokens": 8, "seed": -1}, "0 to"),
        (("ar", "mdlm"), {"tokens": 8, "seed": 2**31}, "0 to"),
    ],
)
def test_what_is_not_possible_is_refused(lab: Lab, systems: tuple[str, str], wish: dict[str, int], says: str) -> None:
    with pytest.raises(LabRefused, match=says) as refused:
        lab.begin(systems, "", **wish)
    assert one_sentence(str(refused.value))


def test_a_lab_that_is_closed_begins_nothing(lab: Lab) -> None:
    lab.close()
    lab.close()
    with pytest.raises(LabRefused, match="being closed"):
        lab.begin(("ar", "mdlm"), "", 8)


# ------------------------------------------------------------------------------------------------------- the process


@pytest.fixture
def process(tmp_path: Path) -> Iterator[LabProcess]:
    process = LabProcess(tmp_path, None, scripted_lab_child)
    yield process
    process.end()


def begin(folder: Path, prompt: str = "") -> Compare:
    return Compare(((networks_in(folder)["ar"].folder, "ar"),), prompt, 4, 1)


def test_the_process_starts_when_it_is_asked_and_ends_when_told(folder: Path, process: LabProcess) -> None:
    assert process.pid is None
    assert process.ask(begin(folder)) == Opened((None,))
    assert process.pid is not None
    process.end()
    assert process.pid is None
    process.end()


def test_a_process_that_was_killed_is_told_in_a_sentence_and_started_anew(folder: Path, process: LabProcess) -> None:
    process.ask(begin(folder))
    pid = process.pid
    assert pid is not None
    os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    with pytest.raises(LabEnded, match=r"ended unexpectedly \((signal 9|exit code \d+)\)"):
        process.ask(Step(0))
    assert process.ask(begin(folder)) == Opened((None,))


ORPHAN = """
import sys, threading
from pathlib import Path
from app.lab_process import Compare, LabProcess
from tests.scripted_lab import scripted_lab_child
if __name__ == "__main__":
    process = LabProcess(Path(sys.argv[1]), None, scripted_lab_child)
    process.ask(Compare((), "", 1, 1))
    print(process.pid, flush=True)
    threading.Event().wait()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_the_process_does_not_outlive_a_desk_that_was_killed(tmp_path: Path) -> None:
    program = tmp_path / "desk.py"
    program.write_text(ORPHAN, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    desk = subprocess.Popen([sys.executable, str(program), str(tmp_path)], env=environment, stdout=subprocess.PIPE)
    with desk:
        assert desk.stdout is not None
        child = int(desk.stdout.readline())
        desk.kill()
    wait_until_gone(child)


def test_a_comparison_whose_process_dies_says_so(lab: Lab) -> None:
    over = heard(lab.begin(("ar", "mdlm"), "crash", 8))[-1]
    assert over["state"] == "failed"
    assert "exit code 3" in over["sentence"]
    assert heard(lab.begin(("ar", "mdlm"), "", 8))[-1]["state"] == "finished"


def test_real_networks_write_in_a_process_of_their_own(tmp_path: Path) -> None:
    folder = tiny_lab(tmp_path / "run", "bd3-4", "mdlm")
    with closing(Lab(folder, cache_dir=tmp_path / "cache", threads=1, child=lab_child)) as lab:
        events = heard(lab.begin(("bd3-4", "mdlm"), "the sea", 10, seed=1))
    *_, over = events
    last = [event for event in events if event["type"] == "step"][-1]
    assert [(side["done"], side["tokens"], side["nfe"] >= 10) for side in last["sides"]] == [(True, 10, True)] * 2
    verdicts = [event for event in events if event["type"] == "read"]
    assert all(
        event["perplexity"] is None and "weights are not on this machine" in event["problem"] for event in verdicts
    )
    assert over["state"] == "finished"
