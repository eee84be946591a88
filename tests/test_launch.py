"""The desk as a process: ready, private, and ended in good order by whatever ends it."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

import psutil
import pytest

from app.launch import CannotListen, keep_private, launch, usable_port
from app.settings import parse
from app.store import Store
from tests.conftest import Offline
from tests.desk_process import LIMIT_SECONDS, DeskProcess, folders, get, running, stream, verb
from tests.scripted_engine import Script, scripted_child

READY = "Galley is ready at "
ENDINGS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def address_of(desk: DeskProcess) -> str:
    line = desk.line()
    assert line.startswith(READY), line + desk.ended().err
    return line.removeprefix(READY).strip()


def expect_gone(family: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(family, timeout=LIMIT_SECONDS)
    assert alive == []


@pytest.mark.parametrize("number", ENDINGS)
def test_the_desk_answers_asks_nobody_outside_and_ends_without_an_orphan(
    number: signal.Signals, tmp_path: Path, offline: Offline
) -> None:
    with running([*folders(tmp_path), "--port", "0"], offline.environment) as desk:
        address = address_of(desk)
        assert b"<html" in get(address).read()
        events = stream(get(f"{address}desk/events"))  # a tab that stays open must not keep the desk from ending
        while json.load(get(f"{address}desk/state"))["engine"]["state"] != "ready":
            next(events)
        family = desk.family()
        assert len(family) > 1, "the model process"
        desk.interrupt(number)
        end = desk.ended()
        assert (end.code, end.out) == (0, "")
        assert "Traceback" not in end.err
        assert "is ready (" in end.err, "the terminal is told about the model"
        expect_gone(family)
    assert offline.tries() == []


def write_until(address: str, locked: int) -> int:
    """Has a section written until so many blocks are locked; its id."""
    with get(f"{address}desk/events") as tab:
        news = stream(tab)
        while json.load(get(f"{address}desk/state"))["engine"]["state"] != "ready":
            next(news)
        section = verb(address, "create_document", title="Tides")["document"]["sections"][0]
        changed = verb(address, "change_section", section_id=section["id"], revision=section["revision"], brief="Rain")
        verb(address, "write", section_id=changed["section"]["id"], stop_name="exact", words=200, seed=7)
        for event in news:
            locked -= event["type"] == "locked"
            if locked == 0:
                break
    return int(section["id"])


def test_ended_in_the_middle_of_a_section_it_keeps_every_locked_block(tmp_path: Path, offline: Offline) -> None:
    Script(tmp_path / "cache").hold(block=3)
    with running([*folders(tmp_path), "--port", "0"], offline.environment) as desk:
        section_id = write_until(address_of(desk), locked=3)
        family = desk.family()
        desk.interrupt(signal.SIGTERM)
        assert desk.ended().code == 0
        expect_gone(family)
    store = Store(tmp_path / "data" / "galley.db")
    assert [block.author for block in store.section(section_id).blocks] == ["model"] * 3
    assert [job.state for job in store.jobs(section_id)] == ["stopped"]
    store.close()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no way to freeze a process")
def test_a_second_ctrl_c_ends_at_once_whatever_hangs(tmp_path: Path, offline: Offline) -> None:
    with running([*folders(tmp_path), "--port", "0"], offline.environment) as desk:
        address = address_of(desk)
        with get(f"{address}desk/events") as tab:
            news = stream(tab)
            while json.load(get(f"{address}desk/state"))["engine"]["state"] != "ready":
                next(news)
        others = desk.family()[1:]
        model = max(others, key=lambda process: process.memory_info().rss)
        model.suspend()  # it cannot even hear that it is to end
        try:
            desk.interrupt()
            wait_until_closed(address)
            desk.interrupt()
            assert desk.ended().code == 128 + signal.SIGINT
        finally:
            model.resume()
        expect_gone(others)


def wait_until_closed(address: str) -> None:
    """Until nobody listens there any more: the first Ctrl+C has been heard."""
    host, _, port = address.removeprefix("http://").rstrip("/").partition(":")
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=LIMIT_SECONDS).close()
        except (ConnectionRefusedError, ConnectionResetError):  # reset: it was closing just as we knocked
            return


# ----------------------------------------------------------------------------------------------- what cannot be done


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one sentence of a start that did not come about."""
    assert launch(parse(["--no-browser", *arguments], {}), scripted_child) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.endswith(".\n")
    assert printed.err.count("\n") == 1
    return printed.err


def test_a_port_in_use_is_named_with_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        said = refused(capsys, *folders(tmp_path), "--port", port)
    assert port in said
    assert "--port 0" in said
    assert not (tmp_path / "data").exists(), "nothing was begun"


def test_a_damaged_database_is_named_and_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = tmp_path / "data" / "galley.db"
    database.parent.mkdir()
    database.write_bytes(b"no database at all " * 200)
    before = database.read_bytes()
    assert str(database) in refused(capsys, *folders(tmp_path), "--port", "0")
    assert database.read_bytes() == before


def test_a_host_that_is_not_this_machines_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "192.0.2.7" in refused(capsys, *folders(tmp_path), "--host", "192.0.2.7")


def test_port_0_is_any_free_port_and_another_port_is_itself() -> None:
    port = usable_port("127.0.0.1", 0)
    assert port > 0
    assert usable_port("127.0.0.1", port) == port
    with socket.create_server(("127.0.0.1", port)), pytest.raises(CannotListen, match=f"Port {port} is in use"):
        usable_port("127.0.0.1", port)


def test_local_requests_go_round_a_proxy_and_what_was_exempt_stays_so() -> None:
    environment = {"NO_PROXY": "intranet,localhost"}
    keep_private(environment)
    assert environment["no_proxy"] == environment["NO_PROXY"] == "intranet,localhost,127.0.0.1,::1"
    assert environment["GRADIO_ANALYTICS_ENABLED"] == "False"
