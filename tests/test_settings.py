"""The command line and the environment, read through the public door."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.settings import Settings, parse
from model.catalog import CATALOG


def parsed(*arguments: str, **environment: str) -> Settings:
    return parse(arguments, environment)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str, **environment: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        parsed(*arguments, **environment)
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.endswith(".\n")
    assert printed.err.count("\n") == 1
    return printed.err


def test_without_options_the_desk_listens_on_this_machine_only() -> None:
    settings = parsed()
    assert (settings.host, settings.port, settings.browser, settings.threads) == ("127.0.0.1", 7860, True, None)
    assert settings.entry is CATALOG[0]
    assert settings.writing is None


def test_default_folders_are_the_users_own_and_named_after_galley() -> None:
    settings = parsed()
    assert settings.database.parent.name == "galley"
    assert settings.cache.name.lower() in {"galley", "cache"}


def test_an_option_goes_before_its_environment_variable(tmp_path: Path) -> None:
    assert parsed(GALLEY_PORT="81", GALLEY_CACHE_DIR=str(tmp_path)).port == 81
    assert parsed("--port", "82", GALLEY_PORT="81").port == 82
    assert parsed(GALLEY_CACHE_DIR=str(tmp_path)).cache == tmp_path


def test_a_space_listens_on_every_address_and_opens_no_browser() -> None:
    settings = parsed(SPACE_ID="someone/galley")
    assert (settings.host, settings.browser) == ("0.0.0.0", False)


def test_a_data_dir_holds_the_database(tmp_path: Path) -> None:
    assert parsed("--data-dir", str(tmp_path)).database.parent == tmp_path


def test_the_model_may_be_named_by_its_hugging_face_id() -> None:
    assert parsed("--model", CATALOG[0].hub).model == CATALOG[0].id


def test_the_model_may_be_a_folder(tmp_path: Path) -> None:
    settings = parsed("--model", str(tmp_path))
    assert settings.model == settings.entry.id == str(tmp_path.resolve())


def test_write_takes_shared_options_before_and_behind_its_name(tmp_path: Path) -> None:
    before = parsed("--data-dir", str(tmp_path), "write", "Rain")
    behind = parsed("write", "Rain", "--data-dir", str(tmp_path))
    assert before == behind
    assert before.data_dir == tmp_path


def test_models_are_listed_for_the_options_before_and_behind_the_command(tmp_path: Path) -> None:
    before = parsed("--model", "mdlm-owt", "--cache-dir", str(tmp_path), "models")
    assert before == parsed("models", "--model", "mdlm-owt", "--cache-dir", str(tmp_path))
    assert (before.listing, before.model, before.cache) == (True, "mdlm-owt", tmp_path)
    assert not parsed("--model", "mdlm-owt").listing


def test_write_reads_all_its_options() -> None:
    line = ["write", " Rain ", "--words", "90", "--dial", "exact", "--seed", "7", "--title", "Weather", "--json"]
    writing = parsed(*line).writing
    assert writing is not None
    assert (writing.brief, writing.words, writing.dial, writing.seed) == ("Rain", 90, "exact", 7)
    assert (writing.title, writing.json) == ("Weather", True)


@given(port=st.integers(0, 65535), threads=st.integers(1, 1024))
def test_every_possible_number_is_taken_as_it_is(port: int, threads: int) -> None:
    settings = parsed("--port", str(port), "--threads", str(threads))
    assert (settings.port, settings.threads) == (port, threads)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "65536"], "--port 65536"),
        (["--port", "-1"], "--port"),
        (["--port", "http"], "--port http"),
        (["--threads", "0"], "--threads 0"),
        (["--model", "gpt-9"], "gpt-9"),
        (["--data-dir", __file__], "is a file"),
        (["--colour"], "--help"),
        (["read"], "--help"),
        (["write"], "--help"),
        (["write", ""], "brief is empty"),
        (["write", " \n"], "brief is empty"),
        (["write", "Rain", "--words", "0"], "--words 0"),
        (["write", "Rain", "--words", "100000"], "5000"),
        (["write", "Rain", "--seed", "x"], "--seed x"),
        (["write", "Rain", "--dial", "loud"], "exact"),
    ],
)
def test_a_bad_value_is_answered_with_one_sentence_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert says in refusal(capsys, *arguments)


def test_a_bad_environment_variable_is_answered_like_a_bad_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--port x" in refusal(capsys, GALLEY_PORT="x")


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parsed("--help")
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for option in (
        "--host",
        "--port",
        "--data-dir",
        "--model",
        "--no-browser",
        "--threads",
        "--cache-dir",
        "write",
        "models",
    ):
        assert option in text
