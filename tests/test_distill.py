"""Rules of the text that the model writes for its own training: prompts apart from the held-out ones, exactly the
network's law whoever stands beside, and a file that a stop loses nothing of."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app import prompt as desk
from app.draft import Block, Document, Section
from model.backbones.llama import Llama
from model.catalog import EXACT, UnknownStop
from model.contract import Dial
from model.denoiser import PROPOSALS
from model.evaluation.benchmark import PROMPTS
from model.tokenizer import ChatTokenizer, TextStream, byte_level_bpe
from model.training import distill
from model.training.distill import KINDS, Distillation, Settings, main, parse
from model.training.distill_rows import Row, RowFile, UnreadableRows, read_rows
from model.training.prompts import (
    CONTEXT_WORDS,
    FIRST,
    LISTS,
    Assignment,
    Drawing,
    Lists,
    UnusableList,
    ending_of,
    following,
    read_lines,
    read_lists,
    second,
    section_task,
)
from model.training.settings import InvalidSetting
from model.training.writing import DIFFERENT, RECENT, TRIES, Law, Wanted, Written, draw, write, write_in_cycles
from model.unmasking import candidates
from tests.tiny import BANNED, CONFIG, END, Parts, lost, parts
from tests.tiny_gguf import CONTROLS, MERGES, vocabulary

LAW = Law(temperature=0.8, nucleus=0.9)


@pytest.fixture(autouse=True)
def _as_the_command_does() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def lists() -> Lists:
    return read_lists()


@pytest.fixture(scope="module")
def held_out() -> tuple[str, ...]:
    return read_lines(LISTS / "held_out.txt")


# ----------------------------------------------------------------------------------------------------- the prompts


def test_there_is_enough_to_draw_from(lists: Lists, held_out: tuple[str, ...]) -> None:
    assert len({form.name for form, _ in lists.pairs}) >= 60
    assert len({topic for _, topic in lists.pairs}) >= 300
    assert len(set(lists.requests)) >= 150
    assert len(set(held_out)) >= 80
    drawing = Drawing(lists, seed=1)
    assert len({drawing.first(number).user for number in range(9500)}) >= 8000


def test_no_training_prompt_is_about_what_a_held_out_one_is_about(lists: Lists, held_out: tuple[str, ...]) -> None:
    """Neither a pair of form and topic nor even a topic alone is shared."""
    told = [line.lower() for line in (*held_out, *PROMPTS)]
    topics = {topic.lower() for _, topic in lists.pairs}
    shared = [(topic, line) for topic in topics for line in told if re.search(rf"\b{re.escape(topic)}\b", line)]
    assert shared == [("rain", line) for line in told if "rain clothes" in line]


def test_no_held_out_prompt_is_a_training_prompt_in_other_words(lists: Lists, held_out: tuple[str, ...]) -> None:
    def words(line: str) -> set[str]:
        return {word for word in re.findall(r"\w+", line.lower()) if len(word) > 3} - {"write", "about", "text"}

    for line in (*held_out, *PROMPTS):
        for request in lists.requests:
            mine, theirs = words(line), words(request)
            assert not mine or len(mine & theirs) <= 0.5 * len(mine | theirs), (line, request)


def test_assignments_follow_from_seed_and_number(lists: Lists) -> None:
    one, same, other = (Drawing(lists, seed) for seed in (1, 1, 2))
    assert [one.first(number) for number in range(50)] == [same.first(number) for number in range(50)]
    assert all(one.first(number).seed != other.first(number).seed for number in range(50))
    assert all("{" not in one.first(number).user for number in range(500))


@pytest.mark.parametrize("words", [59, 60, 200, 260])
@pytest.mark.parametrize("title", ["", "Two Sisters"])
@pytest.mark.parametrize(("part", "brief"), [("", "A letter."), ("Ending", ""), ("Ending", "They meet again.")])
@pytest.mark.parametrize("before", ["", "One. Two three. " * 60, "word " * 300, "A title\n\nThen it rained."])
def test_a_section_is_asked_for_as_the_desk_does(title: str, part: str, brief: str, before: str, words: int) -> None:
    blocks = (Block(before, "writer"),) if before else ()
    sections = (
        Section(1, 1, "", "", 150, "draft", 0, blocks),
        Section(2, 1, part, brief, words, "draft", 0, ()),
    )
    document = Document(1, title, 0, sections, "", "")
    read = desk.read_for(document, sections[1], count=lambda text: len(text.split()), budget=8000)
    task = section_task(title, part, brief, words)
    assert read.user == (following(ending_of(before.strip()), task) if before else task)
    assert (read.system, desk.CONTEXT_WORDS) == (distill.SYSTEM, CONTEXT_WORDS)


def test_a_continuation_begins_with_whole_sentences_of_what_was_written() -> None:
    first = Assignment("section", "Write it.", "", 400, 1, sequel="Write the section after it.")
    text = "The tide rose. Nobody came!\n\n“Why?” she asked. Then it was dark, and the boats lay still. So it en"
    made = {second(first, text, False, seed) for seed in range(40)}
    continued = {one.so_far for one in made if one and one.kind == "continue"}
    assert continued == {
        "The tide rose.",
        "The tide rose. Nobody came!",
        "The tide rose. Nobody came!\n\n“Why?”",
        "The tide rose. Nobody came!\n\n“Why?” she asked.",
    }
    sequels = {one.user for one in made if one and one.kind == "next"}
    assert sequels == {following(text.removesuffix(" So it en"), first.sequel)}
    assert second(replace(first, sequel=""), "no sentence ends here", False, 1) is None


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("topics.txt", "snow\n", "before the first"),
        ("forms.txt", "an essay | weather\n", "name | groups | parts"),
        ("forms.txt", "an essay | wind | Beginning; End\n", "do not exist: wind"),
        ("requests.txt", "# nothing but a remark\n", "is empty"),
    ],
)
def test_a_list_that_is_none_is_refused_in_a_sentence(tmp_path: Path, file: str, content: str, said: str) -> None:
    (tmp_path / "topics.txt").write_text("[weather]\nsnow\n", encoding="utf-8")
    (tmp_path / "forms.txt").write_text("an essay | weather | Beginning; End\n", encoding="utf-8")
    for name in ("requests", "wordings", "briefs", "manners"):
        (tmp_path / f"{name}.txt").write_text("Write {form} about {topic}.\n", encoding="utf-8")
    assert [topic for _, topic in read_lists(tmp_path).pairs] == ["snow"]
    (tmp_path / file).write_text(content, encoding="utf-8")
    with pytest.raises(UnusableList, match=re.escape(said)):
        read_lists(tmp_path)


# ----------------------------------------------------------------------------------------------------- the writing


@pytest.fixture(scope="module")
def tiny() -> Parts:
    return parts(seed=11, adapter=False, head=False)


WANTED = [
    Wanted([5, 17, 9, 20, 3], 40, 1),
    Wanted([4], 25, 2),
    Wanted(list(range(3, 23)) * 2, 3, 3),
    Wanted([11, 12, 13], 40, 4),
    Wanted([11, 12, 13], 40, 5, least=35),
    *(Wanted([7, seed % 20 + 3], 30, seed) for seed in range(6, 26)),
]


def written(network: Llama, wanted: list[Wanted], law: Law = LAW) -> list[Written]:
    finished = [one for some in write(network, wanted, law) for one in some]
    return sorted(finished, key=lambda one: one.index)


def slowly(tiny: Parts, wanted: Wanted, law: Law) -> list[int]:
    """One text, read anew for every token by the plain network, and the law sorted out."""
    plain, text, tokens = tiny.plain(), list(wanted.prompt), list[int]()
    uniforms = torch.rand(wanted.limit, TRIES + 1, generator=torch.Generator().manual_seed(wanted.seed))
    while len(tokens) < wanted.limit and tokens[-1:] != [END]:
        logits = plain.causal(text)[-1] - lost(text, Dial(1, 1, "verified", repeat_penalty=law.repeat_penalty))
        logits[[*BANNED, *([END] if len(tokens) < wanted.least else [])]] = -torch.inf
        probs = torch.softmax(logits / law.temperature, dim=-1)
        nucleus = candidates(logits, law.temperature, law.nucleus)
        kept = set(nucleus.ids[nucleus.probs > 0].tolist())
        for attempt in range(TRIES):
            edges = probs.cumsum(-1)
            token = int((edges > uniforms[len(tokens), attempt] * edges[-1]).nonzero()[0])
            if token in kept:
                break
        else:
            pytest.fail("choose a seed for which the tries suffice")
        tokens.append(token)
        text.append(token)
    return tokens


@pytest.mark.parametrize("penalty", [0.0, 0.8])
def test_a_batch_writes_what_the_plain_network_writes_text_by_text(tiny: Parts, penalty: float) -> None:
    law = replace(LAW, repeat_penalty=penalty)
    together = written(tiny.fast(), WANTED, law)
    assert [list(one.tokens) for one in together] == [slowly(tiny, one, law) for one in WANTED]
    if penalty:
        assert together != written(tiny.fast(), WANTED)
        return
    assert [one.ended for one in together] == [one.tokens[-1] == END for one in together]
    assert {len(one.tokens) for one in together} - {3, 25, 30, 40}, "some end by themselves, so that rows were dropped"
    assert len(together[4].tokens) >= 35


def test_a_text_does_not_depend_on_its_neighbours(tiny: Parts) -> None:
    network = tiny.fast()
    together = written(network, WANTED)
    assert [one.tokens for one in together] == [written(network, [one])[0].tokens for one in WANTED]


def test_a_text_that_goes_round_in_circles_is_left_there(tiny: Parts) -> None:
    """As the likeliest tokens of a small network soon do."""
    (one,) = written(tiny.fast(), [Wanted([5, 17, 9], 900, 1, least=900)], Law(0.0, 1.0))
    different = [len(set(one.tokens[:n][-RECENT:])) for n in range(RECENT, len(one.tokens) + 1)]
    assert len(one.tokens) < 900
    assert [n < DIFFERENT for n in different] == [False] * (len(different) - 1) + [True]


@pytest.mark.parametrize("penalty", [0.0, 0.8])
def test_the_block_sampler_writes_the_same_greedy_texts_and_tells_its_cycles(penalty: float) -> None:
    network = parts(seed=11).fast()  # with an adapter: proposals are refused here and there
    exact = replace(EXACT, temperature=0.0, repeat_penalty=penalty)
    alone = written(network, WANTED, Law(0.0, 1.0, penalty))
    found = list(write_in_cycles(network, WANTED, exact))
    assert [(one.tokens, one.ended) for one in found] == [(one.tokens, one.ended) for one in alone]
    gaps = [set(map(int.__sub__, one.starts[1:], one.starts[:-1])) for one in found]
    assert all(one.starts[0] == 0 and one.starts[-1] < len(one.tokens) for one in found)
    assert set().union(*gaps) == {1, 2, 3, PROPOSALS + 1}


@pytest.mark.parametrize("nucleus", [0.2, 0.9, 1.0])
def test_what_is_drawn_has_the_law_of_the_nucleus(nucleus: float) -> None:
    """Over several groups of the vocabulary; at 0.2 the tries often do not suffice, and the law is sorted out."""
    stream, draws = torch.Generator().manual_seed(3), 8_000
    logits = torch.randn(700, generator=stream) * 3.0
    logits[::3] = -torch.inf
    law = candidates(logits, 0.8, nucleus)
    chances = torch.zeros(700).scatter_(0, law.ids, law.probs)
    tokens = draw(
        logits.expand(draws, -1), torch.rand(draws, TRIES + 1, generator=stream), Law(temperature=0.8, nucleus=nucleus)
    )
    found = torch.bincount(tokens, minlength=700) / draws
    assert bool((found[chances == 0.0] == 0.0).all())
    error = (chances * (1.0 - chances) / draws).sqrt()
    assert bool(((found - chances).abs() <= 5.0 * error + 4.0 / draws).all())


def test_temperature_0_takes_the_likeliest_token() -> None:
    logits = torch.randn(4, 30, generator=torch.Generator().manual_seed(1))
    assert draw(logits, torch.rand(4, TRIES + 1), Law(0.0, 0.9)).tolist() == logits.argmax(-1).tolist()


# --------------------------------------------------------------------------------------------------------- the run


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(byte_level_bpe(vocabulary(), MERGES, CONTROLS).to_str(), encoding="utf-8")
    return ChatTokenizer(path)


@pytest.fixture(scope="module")
def network(tokenizer: ChatTokenizer) -> Llama:
    """Its texts are random bytes, some of which are line breaks: places to go on from."""
    config = replace(CONFIG, vocab_size=tokenizer.size, max_position_embeddings=4096)
    small = parts(5, config, adapter=False, head=False)
    return small.fast(end=tokenizer.end, banned=tokenizer.banned)


def settings(folder: Path, **other: object) -> Settings:
    return Settings(**{"out": str(folder / "rows.jsonl"), "tokens": 4000, "batch": 12, **other})  # type: ignore[arg-type]


Run = Callable[[Settings], dict[int, Row]]


@pytest.fixture(scope="module")
def run(network: Llama, tokenizer: ChatTokenizer, lists: Lists) -> Run:
    """Runs to the end; the rows of the file by their seeds."""

    def run(chosen: Settings) -> dict[int, Row]:
        with RowFile(Path(chosen.out)) as file:
            Distillation(chosen, network, tokenizer, lists, file).run()
        return {row.seed: row for row in read_rows(Path(chosen.out))}

    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, run: Run) -> dict[int, Row]:
    with torch.inference_mode():
        return run(settings(tmp_path_factory.mktemp("whole")))


def test_rows_hold_all_that_training_needs(whole: dict[int, Row], tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    chosen, rows = settings(tmp_path), list(whole.values())
    assert sum(len(row.tokens) for row in rows) >= chosen.tokens
    assert {row.kind for row in rows} <= set(KINDS)
    assert {row.kind for row in rows} & set(FIRST)
    assert {row.kind for row in rows} - set(FIRST)
    for row in rows:
        assert row.prompt_tokens == tokenizer.prompt(distill.SYSTEM, row.prompt) + tokenizer.encode(row.so_far)
        assert row.ended == (row.tokens[-1] == tokenizer.end)
        assert row.text == TextStream(tokenizer).add(row.tokens[: len(row.tokens) - row.ended])
        assert (row.model, row.temperature, row.nucleus) == (chosen.model, chosen.temperature, chosen.nucleus)
        assert bool(row.so_far) == (row.kind == "continue")
        assert len(row.tokens) >= row.least
    written_first = [row.text for row in rows if row.kind in FIRST]
    assert all(any(text.strip().startswith(row.so_far) for text in written_first) for row in rows if row.so_far)


def test_a_run_that_is_gone_on_with_skips_what_is_there(tmp_path: Path, run: Run) -> None:
    few = run(settings(tmp_path, tokens=800))
    path = tmp_path / "rows.jsonl"
    before = path.read_text(encoding="utf-8")
    path.write_text(before + before[:50], encoding="utf-8")  # a row that a crash cut off
    more = run(settings(tmp_path, tokens=1600))
    assert path.read_text(encoding="utf-8").startswith(before)
    assert len(more) == len(path.read_text(encoding="utf-8").splitlines()) > len(few)
    assert run(settings(tmp_path, tokens=1600)) == more


def test_a_row_is_the_same_in_whatever_batch_it_was_written(whole: dict[int, Row], tmp_path: Path, run: Run) -> None:
    others = run(settings(tmp_path, tokens=1500, batch=5))
    shared = [seed for seed in others if seed in whole]
    assert len(shared) > 3
    assert [whole[seed] for seed in shared] == [others[seed] for seed in shared]


def test_a_stop_of_the_dial_writes_with_its_own_settings(tmp_path: Path, run: Run) -> None:
    rows = run(settings(tmp_path, tokens=600, dial="balanced")).values()
    assert {(row.dial, row.temperature, row.nucleus) for row in rows} == {("balanced", 0.6, 0.95)}
    assert all(row.starts == sorted(set(row.starts)) and set(row.starts) <= set(range(len(row.tokens))) for row in rows)
    with pytest.raises(InvalidSetting, match="--dial balanced"):
        run(settings(tmp_path, tokens=900, dial="exact"))
    with pytest.raises(InvalidSetting, match="choose a verified stop"):
        run(settings(tmp_path / "other", model="bd3lm-owt-block_size4", dial="sketch"))
    with pytest.raises(UnknownStop):
        run(settings(tmp_path / "another", dial="hurried"))


def test_rows_of_former_days_were_written_without_a_dial(tmp_path: Path, whole: dict[int, Row]) -> None:
    row = next(iter(whole.values()))
    old = {name: value for name, value in asdict(row).items() if name not in ("dial", "starts")}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(old) + "\n", encoding="utf-8")
    assert list(read_rows(path)) == [row]
    assert (row.dial, row.starts) == ("", [])


def test_texts_drawn_in_another_way_are_not_mixed(tmp_path: Path, run: Run) -> None:
    run(settings(tmp_path, tokens=100))
    with pytest.raises(InvalidSetting, match=r"--temperature 0\.8"):
        run(settings(tmp_path, tokens=200, temperature=1.0))


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text('{"prompt": "Write."}\n', encoding="utf-8")
    with pytest.raises(UnreadableRows, match="Line 1"):
        RowFile(path)
    assert path.read_text(encoding="utf-8") == '{"prompt": "Write."}\n'


# ------------------------------------------------------------------------------------------------ the command line


@pytest.fixture
def command(network: Llama, tokenizer: ChatTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distill, "open_writer", lambda model, adapted: (network, tokenizer))


@pytest.mark.usefixtures("command")
def test_a_stop_keeps_what_is_finished(tmp_path: Path, network: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    forwards, commit = 0, network.commit

    def stopped_at_some_forward(*tokens: object, **how: object) -> Tensor:
        nonlocal forwards
        forwards += 1
        if forwards == 200:
            os.kill(os.getpid(), signal.SIGTERM)
        return commit(*tokens, **how)  # type: ignore[arg-type]

    arguments = ["--out", str(tmp_path / "rows.jsonl"), "--tokens", "3000", "--batch", "12"]
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(network, "commit", stopped_at_some_forward)
    assert main(arguments) == 1
    assert signal.getsignal(signal.SIGTERM) is before
    kept = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert kept
    assert main(arguments) == 0
    assert [row.seed for row in read_rows(tmp_path / "rows.jsonl")][: len(kept)] == [row["seed"] for row in kept]


@pytest.mark.usefixtures("command")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--tokens", "0"], 2, "--tokens 0 is not possible; give 1 or more."),
        (["--nucleus", "0"], 2, "--nucleus 0.0 is not possible"),
        (["--out", "{folder}"], 1, "cannot be used"),
    ],
)
def test_what_cannot_be_is_told_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    given = [argument.format(folder=tmp_path) for argument in arguments]
    assert main(["--out", str(tmp_path / "rows.jsonl"), *given]) == code
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_help_is_a_guide(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    told = capsys.readouterr().out
    assert all(f"--{name}" in told for name in ("out", "tokens", "batch", "seed", "model", "threads", "nucleus"))
