"""`python -m model.training.train`: one training loop for every system, from one CPU to many GPUs.

The way of a step is `rows → noise → loss → gradient → weights → average`. Noise is drawn for the whole step from its
number and the seed, so neither a resumed run, nor the number of processes, nor the size of a pass changes a number.
Knows nothing of what a system's loss is.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from torch import Tensor, nn
from tqdm import tqdm  # type: ignore[import-untyped]

from model.backbones import published
from model.backbones.dit import DiT, WrongConfig
from model.backbones.fit import WrongWeights
from model.backbones.published import UnknownCheckpoint
from model.noise import ClippedInterval
from model.training import checkpoint, clipping
from model.training.average import Average
from model.training.checkpoint import NotSaved, Progress
from model.training.command import exit_code
from model.training.data import NoData, Order, Rows, Source, open_rows, tokenise
from model.training.likelihood import Likelihood, measure, seeded
from model.training.log import Log
from model.training.objectives import TokenLoss, all_but_first
from model.training.optimiser import Optimiser
from model.training.settings import InvalidSetting, Settings, changed, parse
from model.training.share import Share
from model.training.systems.base import Noised, System
from model.training.systems.choice import system_for
from model.training.vocabulary import Vocabulary, WrongVocabulary, open_vocabulary

NOISE, VALIDATION, SEARCH, DROPOUT = range(4)
"""What random numbers are drawn for: each has its own."""


class Diverged(RuntimeError):
    """The loss or its gradient is no number any more."""


class Loss(nn.Module):
    """The network and its loss as one module: what is wrapped for several processes and for mixed precision."""

    def __init__(self, network: DiT, system: System) -> None:
        super().__init__()
        self.network = network
        self._system = system

    def forward(self, batch: Noised) -> Tensor:
        """Nats of all counted tokens of the rows."""
        return self._system.loss(self.network, batch).total


@dataclass(frozen=True, slots=True)
class Texts:
    """What a run reads."""

    vocabulary: Vocabulary
    train: Rows
    validation: Rows


class Run:
    """One training run: its network, average and optimiser, and the step it has reached."""

    def __init__(self, settings: Settings, *, quiet: bool = False) -> None:
        """Begins, or goes on from the newest checkpoint in the folder.

        Raises InvalidSetting, NoData, WrongVocabulary, UnknownCheckpoint, WrongConfig, WrongWeights, OSError.
        """
        self.settings, self.quiet = settings, quiet
        self.folder = Path(settings.out)
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision=settings.precision)
        _check_passes(settings, self.accelerator.num_processes)
        with self.accelerator.main_process_first():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.texts = _open_texts(settings, quiet=quiet or not self.accelerator.is_main_process)
        self.system = system_for(settings.network(self.texts.vocabulary.size), settings.schedule)
        torch.manual_seed(settings.seed)
        network = _new_network(self.system, settings, self.texts.vocabulary).to(self.accelerator.device)
        self.network, self.average = network, Average(network, settings.average)
        self.optimiser = Optimiser(
            dict(network.named_parameters()), _inner_matrices(network) if settings.optimiser == "muon" else ()
        )
        last = checkpoint.newest(self.folder)
        if last is None:
            self.progress = Progress(0, ClippedInterval(*settings.interval), {"settings": settings.as_json()})
        else:
            self.progress = checkpoint.resume(last, network, self.average, self.optimiser)
            if other := changed(self.progress.facts["settings"], settings):
                raise InvalidSetting(
                    f"{self.folder} holds a run with another {', '.join(other)}; choose another --out, or what it had."
                )
        self.loss = self.accelerator.prepare_model(Loss(network, self.system))
        self.share = Share(self.accelerator.process_index, self.accelerator.num_processes, self._total)

    # ---------------------------------------------------------------------------------------------------- the loop

    def train(self) -> Path:
        """Trains until the last step; the newest checkpoint. Raises Diverged, NotSaved, OSError."""
        settings, main = self.settings, self.accelerator.is_main_process
        log = Log(self.folder, self.progress.step) if main else None
        order = Order(len(self.texts.train), settings.batch, settings.seed)
        bar = tqdm(
            initial=self.progress.step, total=settings.steps, unit="step", disable=self.quiet or not main or None
        )
        began, seen, before = time.perf_counter(), 0, float(self.progress.facts.get("seconds", 0.0))
        with bar:
            while self.progress.step < settings.steps:
                loss, norm = self.step(order.step(self.progress.step))
                now = self.progress.step
                seen += settings.batch * (settings.length - 1)
                bar.update()
                event: dict[str, Any] = {"step": now}
                if self._due(settings.log_every):
                    speed = seen / (time.perf_counter() - began)
                    event |= {
                        "loss": loss,
                        "norm": norm,
                        "rate": self._rate(now - 1),
                        "tokens_per_second": round(speed),
                    }
                    bar.set_postfix_str(f"{loss:.3f} nats")
                if settings.search_every and self.system.clipped and now % settings.search_every == 0:
                    event |= {"search": self.search()}
                if self._due(settings.evaluate_every):
                    found = self.validate()
                    event |= {"validation": found.mean, "validation_error": found.error}
                if log and len(event) > 1:
                    log.write(event)
                if self._due(settings.save_every) and main:
                    self.save(before + time.perf_counter() - began)
        if log:
            log.plot()
        self.accelerator.wait_for_everyone()
        last = checkpoint.newest(self.folder)
        assert last is not None
        return last

    def step(self, numbers: Sequence[int]) -> tuple[float, float]:
        """One step on the rows of these numbers: nats per token, and the norm of the gradient. Raises Diverged."""
        settings, step = self.settings, self.progress.step
        rows = self.texts.train.batch(numbers)
        batch = self.system.noise(rows, self.progress.interval, seeded(settings.seed, NOISE, step))
        tokens = int(all_but_first(rows).sum())
        torch.manual_seed(seeded(settings.seed, DROPOUT, step, self.share.number).initial_seed())
        self.loss.train()
        self.optimiser.zero_grad()
        total = torch.zeros((), device=self.accelerator.device)
        passes = list(self.share.of(len(numbers) // settings.micro_batch))
        for number in passes:
            part = batch.rows(slice(number * settings.micro_batch, (number + 1) * settings.micro_batch))
            alone = nullcontext() if number == passes[-1] else self.accelerator.no_sync(self.loss)
            with alone:
                nats = self.loss(part.to(self.accelerator.device))
                # gradients of the processes are averaged, and the mean is over the tokens of all of them
                self.accelerator.backward(nats * (self.share.count / tokens))
            total += nats.detach()
        loss = float(self._total(total)) / tokens
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise Diverged(self._diverged(loss))
        self.optimiser.step(self._rate(step))
        self.average.update(self.network)
        self.progress = replace(self.progress, step=step + 1)
        return loss, norm

    def validate(self) -> Likelihood:
        """The bound of the averaged weights on the validation rows; the same noise every time."""
        rows = self._validation(self.settings.validation_rows)

        def bound(some: Tensor, counted: Tensor, generator: torch.Generator) -> TokenLoss:
            device = self.accelerator.device
            with self.accelerator.autocast():
                return self.system.bound(self.average.network, some.to(device), counted.to(device), generator)

        seed = seeded(self.settings.seed, VALIDATION).initial_seed()
        return measure(
            bound, rows, all_but_first(rows), batch=self.settings.micro_batch, draws=1, seed=seed, share=self.share
        )

    def search(self) -> dict[str, Any]:
        """Chooses the interval of noise levels anew; what was found, as JSON values."""

        def loss(batch: Noised) -> TokenLoss:
            with self.accelerator.autocast():
                return self.system.loss(self.average.network, batch.to(self.accelerator.device))

        found = clipping.search(
            self.system,
            loss,
            self._validation(self.settings.search_rows),
            batch=self.settings.micro_batch,
            seed=seeded(self.settings.seed, SEARCH, self.progress.step).initial_seed(),
            share=self.share,
        )
        told = found.as_json()
        self.progress = replace(
            self.progress, interval=found.best.interval, facts={**self.progress.facts, "search": told}
        )
        return told

    def save(self, seconds: float) -> Path:
        """seconds: that the run has taken so far, over all its parts. Raises NotSaved."""
        facts = {**self.progress.facts, "settings": self.settings.as_json(), "seconds": round(seconds, 1)}
        progress = replace(self.progress, facts=facts)
        return checkpoint.save(
            self.folder,
            progress,
            self.network,
            self.average,
            self.optimiser,
            self.texts.vocabulary,
            keep=self.settings.keep,
        )

    def _due(self, every: int) -> bool:
        return self.progress.step % every == 0 or self.progress.step == self.settings.steps

    def _rate(self, step: int) -> float:
        return self.settings.learning_rate * min(1.0, (step + 1) / max(self.settings.warmup, 1))

    def _validation(self, most: int) -> Tensor:
        return self.texts.validation.batch(range(min(most, len(self.texts.validation))))

    def _total(self, tensor: Tensor) -> Tensor:
        summed: Tensor = self.accelerator.reduce(tensor.to(self.accelerator.device), "sum")
        return summed.to(tensor.device)

    def _diverged(self, loss: float) -> str:
        last = checkpoint.newest(self.folder)
        kept = f"{last} is kept" if last else "there is no checkpoint yet"
        return (
            f"Training stopped at step {self.progress.step + 1}: the loss is {loss} at a learning rate of "
            f"{self._rate(self.progress.step):.3g}; {kept}. Try a lower --learning-rate or a longer --warmup."
        )


def _check_passes(settings: Settings, processes: int) -> None:
    if settings.batch % (settings.micro_batch * processes):
        raise InvalidSetting(
            f"A step of {settings.batch} rows does not split into passes of {settings.micro_batch} rows on {processes} "
            "processes; change --batch or --micro-batch."
        )


def _open_texts(settings: Settings, *, quiet: bool) -> Texts:
    vocabulary = open_vocabulary(settings.tokenizer)
    cache = Path(settings.cache) if settings.cache else Path(settings.out).parent / "tokens"

    def rows(names: tuple[str, ...]) -> Rows:
        file = tokenise(Source(names, settings.column), vocabulary, cache, quiet=quiet)
        return open_rows(file, vocabulary, settings.length)

    train = rows(settings.data)
    if settings.validation:
        return Texts(vocabulary, train, rows(settings.validation))
    return Texts(vocabulary, *train.split())


def _new_network(system: System, settings: Settings, vocabulary: Vocabulary) -> DiT:
    """A new network, or one with the averaged weights of another run, which may have had another block size."""
    if not settings.start:
        return DiT(system.config)
    begun = published.load(checkpoint.locate(settings.start)).network
    vocabulary.fits(begun.config.vocab_size, settings.start)
    network = DiT(system.config)
    try:
        network.load_state_dict(begun.state_dict())
    except RuntimeError as error:
        raise WrongWeights(f"The weights of {settings.start} are of a network of another shape ({error}).") from error
    return network


def _inner_matrices(network: DiT) -> set[str]:
    """Names of the weights that turn features into features: no embedding, no output, nothing that modulates norms."""
    return {
        name
        for name, parameter in network.named_parameters()
        if name.startswith("blocks.") and parameter.ndim == 2 and "adaLN" not in name
    }


PROBLEMS = (
    InvalidSetting, NoData, WrongVocabulary, UnknownCheckpoint, WrongConfig, WrongWeights, NotSaved, Diverged,
)  # fmt: skip
"""What is told in one sentence at the edge."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0: trained to the last step. 1: stopped by what the last line says. 2: the settings are not possible."""
    given = sys.argv[1:] if arguments is None else arguments
    return exit_code(lambda: Run(parse(given)).train(), PROBLEMS)


if __name__ == "__main__":
    sys.exit(main())
