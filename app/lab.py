"""The lab: results of the table, and two systems that write to one prompt side by side.

One comparison at a time, in a process of its own, which is started when it is first needed and ended after a while
without work. Before each forward it looks whether the desk is writing, and then waits. Knows nothing of HTTP.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.events import Subscription
from app.lab_networks import SHIPPED_NETWORKS, Network, NoNetworks, networks_in
from app.lab_process import Child, Compare, LabEnded, LabProcess, Opened, Picture, Read, Step, Verdict, lab_child
from app.lab_results import MAKE_ONE, SHIPPED, TABLE, Unreadable, plots_in, read_result

IDLE_SECONDS = 300.0
"""After so long without a comparison the process is ended and its memory free."""

LOOK_SECONDS = 0.5
"""While the desk writes, so often it is looked whether this comparison was stopped."""

STOP_SECONDS = 5.0
"""How long a comparison that was stopped may take to end before a new one is refused."""

MOST_TOKENS = 1024
MOST_STEPS = 1000
"""As many as the paper gives its baselines."""

SEEDS = 2**31
MOST_PROMPT = 2000
"""Characters."""

DeskIdle = Callable[[float], bool]
"""Whether the desk's model has nothing to do; waits for that, at most so many seconds."""


class LabRefused(Exception):
    """A wish that cannot be met; the message is one sentence."""


class Lab:
    """folder: of `--lab`; None: what comes with the repository, its result in `shipped`, its networks in `networks`.

    Every method may be called from any thread.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        cache_dir: Path,
        threads: int | None = None,
        desk_idle: DeskIdle = lambda patience: True,
        child: Child = lab_child,
        shipped: Path = SHIPPED,
        networks: Path = SHIPPED_NETWORKS,
    ) -> None:
        self._folder, self._shipped = folder, shipped
        self._networks = folder or networks
        self._desk_idle = desk_idle
        self._process = LabProcess(cache_dir, threads, child)
        self._lock = threading.Lock()  # over what follows
        self._run: Comparison | None = None
        self._timer: threading.Timer | None = None
        self._closed = False

    def overview(self) -> dict[str, Any]:
        """What the page shows: the result, and who can write. Each has a sentence where it is missing."""
        place = self._place()
        try:
            result, problem = read_result(place), None
        except Unreadable as error:
            result, problem = None, str(error)
        try:
            networks, sentence = [*networks_in(self._networks).values()], None
        except NoNetworks as error:
            networks, sentence = [], str(error)
        return {
            "result": None if result is None else asdict(result),
            "own": place != self._shipped,
            "problem": problem,
            "command": MAKE_ONE,
            "networks": [{"id": n.id, "title": n.title, "longest": n.longest} for n in networks],
            "sentence": sentence,
            "most_tokens": MOST_TOKENS,
            "most_steps": MOST_STEPS,
            "most_prompt": MOST_PROMPT,
        }

    def plot(self, name: str) -> bytes | None:
        """A plot of the result that is shown; None where there is none of that name."""
        file = plots_in(self._place()).get(name)
        try:
            return None if file is None else file.read_bytes()
        except OSError:
            return None

    def begin(
        self, systems: tuple[str, str], prompt: str, tokens: int, *, seed: int | None = None, steps: int | None = None
    ) -> Comparison:
        """Starts a comparison; its `news` tells what happens. Without a seed every one is another. steps: see Compare.

        Raises LabRefused, NoNetworks.
        """
        known = networks_in(self._networks)
        if unknown := [id for id in systems if id not in known]:
            raise LabRefused(
                f"There is no system “{unknown[0]}” here any more; reload the page and choose another one."
            )
        if not 1 <= tokens <= MOST_TOKENS:
            raise LabRefused(f"A length of {tokens} tokens is not possible; choose 1 to {MOST_TOKENS}.")
        if steps is not None and not 1 <= steps <= MOST_STEPS:
            raise LabRefused(f"{steps} denoising steps are not possible; choose 1 to {MOST_STEPS}.")
        if seed is not None and not 0 <= seed < SEEDS:
            raise LabRefused(f"A seed of {seed} is not possible; choose 0 to {SEEDS - 1}, or leave it out.")
        with self._lock:
            before = self._run
        if before is not None and before.stopping and before.thread is not None:
            before.thread.join(STOP_SECONDS)  # who reloads the page finds the lab free
        with self._lock:
            if self._closed:
                raise LabRefused("Galley is being closed; start it again to compare.")
            if self._run is not None:
                raise LabRefused("Another comparison is under way here; wait until it ends, or stop it.")
            if self._timer is not None:
                self._timer.cancel()
            chosen = (known[systems[0]], known[systems[1]])
            run = Comparison(chosen, prompt, tokens, secrets.randbelow(SEEDS) if seed is None else seed, steps)
            self._run = run
        run.thread = threading.Thread(target=self._follow, args=(run,), name="lab", daemon=True)
        run.thread.start()
        return run

    def stop(self, id: str) -> None:
        """Ends a comparison within one forward. One that has ended stays as it is."""
        with self._lock:
            if self._run is not None and secrets.compare_digest(self._run.id.encode(), id.encode()):
                self._run.stop()

    def close(self) -> None:
        """Ends the comparison and the process. A second call does nothing."""
        with self._lock:
            self._closed = True
            run, timer = self._run, self._timer
        if timer is not None:
            timer.cancel()
        if run is not None:
            run.stop()
        self._process.end()
        if run is not None and run.thread is not None:
            run.thread.join()
            self._process.end()  # it may have been asked for once more in between

    def _place(self) -> Path:
        """The folder whose result is shown: that of `--lab` where it has one, else the repository's."""
        if self._folder is not None and (self._folder / TABLE).is_file():
            return self._folder
        return self._shipped

    def _follow(self, run: Comparison) -> None:
        """The comparison's thread."""
        try:
            run.go(self._process, self._desk_idle)
        finally:
            with self._lock:
                self._run = None
                if not self._closed:
                    self._timer = threading.Timer(IDLE_SECONDS, self._rest)
                    self._timer.daemon = True
                    self._timer.start()
            run.news.close()

    def _rest(self) -> None:
        with self._lock:
            if self._run is None:
                self._process.end()


class Comparison:
    """Two systems on one prompt.

    Tells begun (once both are open), step (a picture of both sides), pause (the desk goes first), read (a perplexity)
    and at last over. Where nobody listens any more, it stops.
    """

    def __init__(
        self, systems: tuple[Network, Network], prompt: str, tokens: int, seed: int, steps: int | None = None
    ) -> None:
        self.id = secrets.token_urlsafe(16)
        self.news = Subscription(lambda _: self.stop())
        self.thread: threading.Thread | None = None
        self._systems = systems
        self._prompt, self._tokens, self._seed, self._steps = prompt, tokens, seed, steps
        self._stopped = threading.Event()
        self._pictures: list[Picture | None] = [None, None]

    @property
    def stopping(self) -> bool:
        """Nobody wants more of it."""
        return self._stopped.is_set()

    def stop(self) -> None:
        self._stopped.set()

    def go(self, process: LabProcess, desk_idle: DeskIdle) -> None:
        """From the first question to the last."""
        self._tell("opening", id=self.id, seed=self._seed, sentence="The networks are being opened.")
        try:
            self._go(process, desk_idle)
        except LabEnded as error:
            self._tell("over", state="failed", sentence=str(error))

    def _go(self, process: LabProcess, desk_idle: DeskIdle) -> None:
        if not self._may_go_on(desk_idle):
            return
        systems = tuple((network.folder, network.system) for network in self._systems)
        opened = process.ask(Compare(systems, self._prompt, self._tokens, self._seed, self._steps))
        assert isinstance(opened, Opened)
        self._tell("begun", problems=list(opened.problems))
        working = [side for side, problem in enumerate(opened.problems) if problem is None]
        sides = list(working)
        while working:
            if not self._may_go_on(desk_idle):
                return
            # Whoever has used less time is next, as if each had a machine like this one's half to itself.
            side = min(working, key=self._seconds)
            picture = process.ask(Step(side))
            assert isinstance(picture, Picture)
            self._pictures[side] = picture
            if picture.done:
                working.remove(side)
            self._tell("step", sides=[None if one is None else asdict(one) for one in self._pictures])
        for side in sides:
            if not self._may_go_on(desk_idle):
                return
            verdict = process.ask(Read(side))
            assert isinstance(verdict, Verdict)
            self._tell("read", side=side, **asdict(verdict))
        self._tell("over", state="finished" if sides else "failed", sentence=self._ending(sides))

    def _may_go_on(self, desk_idle: DeskIdle) -> bool:
        """Waits while the desk writes; False where this was stopped, which is then told."""
        paused = False
        while not self._stopped.is_set() and not desk_idle(LOOK_SECONDS if paused else 0.0):
            if not paused:
                self._tell("pause", sentence="The desk is writing and goes first; this goes on after it.")
            paused = True
        if self._stopped.is_set():
            self._tell("over", state="stopped", sentence="Stopped; what was written so far stays until the next start.")
            return False
        if paused:
            self._tell("pause", sentence=None)
        return True

    def _seconds(self, side: int) -> float:
        picture = self._pictures[side]
        return 0.0 if picture is None else picture.seconds

    def _ending(self, sides: list[int]) -> str:
        told = []
        for side in sides:
            picture = self._pictures[side]
            assert picture is not None
            forwards = "forward" if picture.nfe == 1 else "forwards"
            told.append(f"{self._systems[side].title}: {picture.nfe:,} {forwards}, {_time(picture.seconds)}")
        if not told:
            return "Neither system can write this; each side says why."
        return f"{'. '.join(told)}. One text says little about a system; the table is about many."

    def _tell(self, kind: str, **facts: Any) -> None:
        self.news.put({"type": kind, **facts})


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
