"""What every test has: settings of hypothesis, and a home of its own in place of the user's folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from app.environment import ROOT
from app.press import Press
from app.settings import parse
from app.store import Store
from app.visitors import Visitors
from app.worker import Worker, WorkerEvent
from model.catalog import CATALOG, SMOLLM2
from tests.scripted_engine import scripted_child

# No deadline: on a shared machine the time one example takes says nothing about the code.
settings.register_profile("galley", deadline=None, print_blob=True)
settings.load_profile("galley")


@pytest.fixture(autouse=True)
def _documents_of_the_user_are_out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Model files may stay where they are: they are fetched once and only read."""
    for name in [name for name in os.environ if name.startswith("GALLEY_") and name != "GALLEY_CACHE_DIR"]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setenv("GALLEY_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store in a new file."""
    store = Store(tmp_path / "data" / "galley.db")
    yield store
    store.close()


@pytest.fixture
def visitors(tmp_path: Path) -> Iterator[Visitors]:
    """A desk whose model process has not been started."""

    def make_worker(on_event: Callable[[WorkerEvent], None]) -> Worker:
        return Worker("scripted", cache_dir=tmp_path, threads=None, on_event=on_event, child=scripted_child)

    press = Press(SMOLLM2, make_worker, cache_dir=tmp_path)
    with closing(press), closing(Visitors(tmp_path / "data" / "galley.db", press)) as everybody:
        yield everybody


@pytest.fixture(scope="session")
def model_cache() -> Path:
    """The user's own cache folder with the default model in it; the first test that asks fetches it."""
    from model.weights import obtain

    cache = parse([]).cache
    obtain(CATALOG[0], cache, lambda preparing: None)
    return cache


@dataclass(frozen=True, slots=True)
class Offline:
    """Environment of a Python process that has no network but its own machine, and what it tried all the same."""

    environment: dict[str, str]
    log: Path

    def tries(self) -> list[str]:
        """What the process and its children asked of the outside."""
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []


@pytest.fixture
def offline(tmp_path: Path) -> Offline:
    """See tests/offline."""
    log = tmp_path / "outside.log"
    path = os.pathsep.join(filter(None, [str(ROOT / "tests" / "offline"), os.environ.get("PYTHONPATH")]))
    return Offline({**os.environ, "PYTHONPATH": path, "GALLEY_OUTSIDE": str(log)}, log)
