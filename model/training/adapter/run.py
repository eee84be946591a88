"""The training loop of a block adapter: text → clean pass → noisy copies → loss → gradient → weights, and its stops.

Texts, copies and noise of a step depend on its number and the seed alone, so a resumed run has the same numbers.
"""

from __future__ import annotations

import json
import math
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm  # type: ignore[import-untyped]

from model.backbones.llama import LlamaConfig
from model.catalog import ADAPTER, HEAD
from model.training import checkpoint
from model.training.adapter import blocks, files, rows
from model.training.adapter.blocks import Copy
from model.training.adapter.files import Origin, Parameters
from model.training.adapter.loss import Target, vocabulary_loss
from model.training.adapter.network import FrozenLlama
from model.training.adapter.rows import Written
from model.training.adapter.settings import Settings, changed
from model.training.adapter.validation import Quality, Validation
from model.training.data import Order
from model.training.likelihood import seeded
from model.training.log import Log
from model.training.optimiser import Optimiser
from model.training.settings import InvalidSetting

NEW, NOISE = range(2)
"""What random numbers are drawn for: each has its own."""

BEST = "best"


class Diverged(RuntimeError):
    """The loss or its gradient is no number any more."""


@dataclass(frozen=True, slots=True)
class Base:
    """The frozen model: its shape, weights, token ids that are never sampled, and its name for the header."""

    config: LlamaConfig
    weights: dict[str, Tensor]
    banned: tuple[int, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is. tokens: slots trained; best: most tokens per cycle so far."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best: float = 0.0


class Run:
    """One training run: what it trains, its optimiser, and where it is."""

    def __init__(
        self, settings: Settings, base: Base, train: Sequence[Written], valid: Sequence[Written], *, quiet: bool = False
    ) -> None:
        """Begins, or goes on from the newest checkpoint in the folder. Raises InvalidSetting, WrongWeights, OSError."""
        self.settings, self.quiet, self.train_rows = settings, quiet, train
        self.folder = Path(settings.out).expanduser()
        self.folder.mkdir(parents=True, exist_ok=True)
        dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
        room = settings.length + max(*settings.block_sizes, 8) + 1
        self.network = FrozenLlama(base.config, base.weights, dtype, room)
        self.common = rows.common(train, base.config.vocab_size)
        self.validation = Validation(self.network, valid, base.banned, self.common)
        self.adapter, self.head, self.scale, self.origin = _begin(settings, base)
        for name, part in (("adapter", self.adapter), ("head", self.head)):
            for parameter in part.values():
                parameter.requires_grad_(settings.train in ("both", name))
        self.parameters = {**self.adapter, **self.head}
        self.trained = {name: parameter for name, parameter in self.parameters.items() if parameter.requires_grad}
        self.optimiser = Optimiser(self.trained, betas=(0.9, 0.99))
        self.progress = Progress()
        last = checkpoint.newest(self.folder)
        if last is not None:
            facts = files.resume(last, self.parameters, self.optimiser)
            if other := changed(facts["settings"], settings):
                raise InvalidSetting(
                    f"{self.folder} holds a run with another {', '.join(other)}; choose another --out, or what it had."
                )
            self.progress = Progress(facts["step"], facts["tokens"], facts["seconds"], facts["best"])
            self.origin, self.scale = Origin(**facts["origin"]), facts["scale"]
        self._order = Order(len(train), settings.texts, settings.seed)
        self._stopped = False

    # ---------------------------------------------------------------------------------------------------- the loop

    def train(self) -> Path:
        """Trains until the last token or until it is stopped; the newest checkpoint. Raises Diverged, NotSaved."""
        settings = self.settings
        log = Log(self.folder, self.progress.step)
        bar = tqdm(
            initial=self.progress.tokens, total=settings.tokens, unit="tok", unit_scale=True, disable=self.quiet or None
        )
        began, before = time.perf_counter(), self.progress
        spent, read, saved = 0.0, 0, before.tokens
        with bar, _told_to_stop(self._stop):
            if before.step == 0:
                self._validate(log, bar)
            while self.progress.tokens < settings.tokens and not self._stopped:
                at, clock = self.progress, time.perf_counter()
                loss, norm, accepted = self.step()
                now = self.progress
                spent, read = spent + time.perf_counter() - clock, read + now.tokens - at.tokens
                bar.update(now.tokens - at.tokens)
                bar.set_postfix_str(f"{loss:.3f} nats, {read / spent:.0f} tok/s")
                if now.step % settings.log_every == 0:
                    log.write(
                        {
                            "step": now.step,
                            "tokens": now.tokens,
                            "loss": loss,
                            "norm": norm,
                            "accepted": round(accepted, 4),
                            "rate": self.rate(),
                            "tokens_per_second": round(read / spent, 1),
                        }
                    )
                    spent, read = 0.0, 0
                seconds = time.perf_counter() - began
                self.progress = replace(now, seconds=before.seconds + seconds)
                ended = now.tokens >= settings.tokens
                self._stopped |= 0.0 < settings.minutes * 60 <= seconds
                if ended or now.tokens // settings.validate_every > at.tokens // settings.validate_every:
                    self._validate(log, bar)
                if ended or self._stopped or now.tokens - saved >= settings.save_every:
                    self.save()
                    saved = now.tokens
        log.plot()
        return checkpoint.newest(self.folder) or self.save()

    def step(self) -> tuple[float, float, float]:
        """One step: loss and acceptance of the mean slot, the gradient's norm between them. Raises Diverged."""
        settings, step = self.settings, self.progress.step
        noise, mask = settings.noise(), self.network.config.vocab_size
        work: list[tuple[Written, list[Copy]]] = []
        for place, number in enumerate(self._order.step(step)):
            text, generator = self.train_rows[number], seeded(settings.seed, NOISE, step, place)
            work.append((text, [blocks.draw(text, noise, mask, generator) for _ in range(settings.copies)]))
        weight = sum(float(copy.weight.sum()) for _, copies in work for copy in copies)
        slots = sum(blocks.count(copies) for _, copies in work)
        self.optimiser.zero_grad()
        loss, accepted = 0.0, 0.0
        for text, copies in work:
            total, passed = self.loss(text, copies)
            (total / weight).backward()  # type: ignore[no-untyped-call]
            loss, accepted = loss + float(total.detach()) / weight, accepted + float(passed.sum()) / slots
        norm = float(torch.nn.utils.clip_grad_norm_(self.trained.values(), settings.clip))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise Diverged(self._diverged(loss))
        self.optimiser.step(self.rate())
        self.progress = replace(self.progress, step=step + 1, tokens=self.progress.tokens + slots)
        return loss, norm, accepted

    def loss(self, text: Written, copies: Sequence[Copy]) -> tuple[Tensor, Tensor]:
        """Σ weight · loss over the slots of noisy copies of a text, and the acceptance Σ min(p, q) of each slot."""
        tokens = torch.tensor(text.tokens)
        clean = self.network.read(tokens)
        features = self.network.denoise(copies, clean, self.adapter, self.scale)
        sizes = [copy.inputs.numel() for copy in copies]
        firsts = [sum(sizes[:number]) for number in range(len(sizes))]
        slot = torch.cat([copy.slot + first for copy, first in zip(copies, firsts, strict=True)])
        at, left = torch.cat([copy.at for copy in copies]), torch.cat([copy.left for copy in copies])
        told, plain = (left >= 0).nonzero()[:, 0], (left < 0).nonzero()[:, 0]
        chosen = torch.cat([self.network.told(features[slot[told]], left[told], self.head), features[slot[plain]]])
        order = torch.cat([told, plain])
        target = Target(
            logits=self.network.logits(clean.features[text.start - 1 : -1]),
            row=at[order] - text.start,
            label=tokens[at[order]],
            soft=torch.cat([copy.soft for copy in copies])[order],
            weight=torch.cat([copy.weight for copy in copies])[order],
        )
        return vocabulary_loss(chosen, self.network.unembedding, target, self.settings.objective())

    def rate(self) -> float:
        """The learning rate of the next step: grows, stays, and falls to 0 with the last token."""
        settings, now = self.settings, self.progress
        grown = min(1.0, (now.step + 1) / max(settings.warmup, 1))
        left = max(settings.tokens - now.tokens, 0) / max(settings.anneal * settings.tokens, 1)
        return settings.learning_rate * grown * min(1.0, left)

    def validate(self) -> Quality:
        """Quality of what is trained, as it would be published but for rounding."""
        return self.validation.measure(self.adapter, self.head, self.scale)

    def save(self) -> Path:
        """Writes a checkpoint. Raises NotSaved."""
        facts = {
            "step": self.progress.step,
            "tokens": self.progress.tokens,
            "seconds": round(self.progress.seconds, 1),
            "best": self.progress.best,
            "scale": self.scale,
            "origin": asdict(self.origin),
            "settings": self.settings.as_json(),
        }  # fmt: skip

        def fill(part: Path) -> None:
            self._publish(part)
            files.save_state(part, self.parameters, self.optimiser, facts)

        return checkpoint.write(self.folder, self.progress.step, fill, keep=self.settings.keep)

    # ------------------------------------------------------------------------------------------------------ pieces

    def _validate(self, log: Log, bar: Any) -> None:
        found = self.validate()
        now = self.progress
        told = {"step": now.step, "tokens": now.tokens, "validation": sum(found.cross_entropy[:5]) / 5}
        log.write({**told, "quality": found.as_json()})
        if not self.quiet:
            bar.write(f"{now.tokens} tokens\n{found.table()}")
        if found.cycle > now.best:
            self.progress = replace(now, best=found.cycle)
            part = self.folder / f".{BEST}.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            self._publish(part)
            (part / "quality.json").write_text(
                json.dumps({"tokens": now.tokens, **found.as_json()}, indent=1) + "\n", encoding="utf-8"
            )
            shutil.rmtree(self.folder / BEST, ignore_errors=True)
            part.rename(self.folder / BEST)

    def _publish(self, folder: Path) -> None:
        settings, tokens = self.settings, self.progress.tokens
        files.publish(
            folder,
            self.adapter,
            self.head,
            common=self.common,
            origin=self.origin,
            sizes=settings.block_sizes,
            scale=self.scale,
            tokens=0 if settings.train == "head" else tokens,
            head_tokens=0 if settings.train == "adapter" else tokens,
        )

    def _stop(self) -> None:
        self._stopped = True

    def _diverged(self, loss: float) -> str:
        last = checkpoint.newest(self.folder)
        kept = f"{last} is kept" if last else "there is no checkpoint yet"
        return (
            f"Training stopped at step {self.progress.step + 1}: the loss is {loss} at a learning rate of "
            f"{self.rate():.3g}; {kept}. Try a lower --learning-rate or a longer --warmup."
        )


def _begin(settings: Settings, base: Base) -> tuple[Parameters, Parameters, float, Origin]:
    """Adapter, head, scale and origin that a run begins with: those of --from, or new ones."""
    generator, config = seeded(settings.seed, NEW), base.config
    scale, origin = settings.scale, base.origin
    every = tuple(range(config.num_hidden_layers))
    layers = settings.layers or every
    if not set(layers) <= set(every):
        raise InvalidSetting(f"--layers takes numbers of 0 … {every[-1]}, the layers of this model.")
    adapter = files.new_adapter(config, settings.rank, layers, base.weights["model.embed_tokens.weight"], generator)
    head = files.new_head(config.hidden_size, generator)
    if settings.start:
        path = Path(settings.start).expanduser()
        path = path / ADAPTER if path.is_dir() else path
        rank, scale = files.rank_and_scale(path)
        layers = settings.layers or files.layers_in(path, len(every))
        adapter, header = files.read(path, files.adapter_shapes(config, rank, layers))
        origin = replace(origin, tokens=int(header.get("tokens_trained", 0)))
        if path.with_name(HEAD).is_file():
            head, header = files.read(path.with_name(HEAD), files.head_shapes(config.hidden_size))
            origin = replace(origin, head_tokens=int(header.get("slots_trained", 0)))
    return _trained(adapter), _trained(head), scale, origin


def _trained(tensors: dict[str, Tensor]) -> Parameters:
    return {name: torch.nn.Parameter(tensor) for name, tensor in tensors.items()}


@contextmanager
def _told_to_stop(stop: Any) -> Iterator[None]:
    """Within, Ctrl+C and SIGTERM call `stop`."""

    def handle(number: int, frame: FrameType | None) -> None:
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
