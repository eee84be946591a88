"""What a comparison would need, without its texts: shapes, memory, operations, hours, noise, and the commands.

Networks have no weights here (torch's "meta" device): a pass says its shapes, operations and what it keeps for the way
back, and computes nothing. Hours are what [machine] says of the speed, no more.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from model import noise, simplex
from model.backbones.dit import DiT, DiTConfig
from model.evaluation.table.plan import Machine, Plan, trainings
from model.noise import ClippedInterval
from model.training.clipping import LEAST_MASS
from model.training.one_pass import noisy_features
from model.training.settings import InvalidSetting, Settings

META = torch.device("meta")

COPIES = 5
"""Of the weights, in float32: themselves, their gradient, two moments, their average."""

BACKWARD = 2
"""Operations of the way back, for one of the way forward."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a training run needs.

    parameters  of the network.
    tokens      that are read in all; operations: for one of them, forward and back.
    gigabytes   on every device: weights with all their copies, and the activations of a pass.
    hours       of all devices together at work.
    """

    parameters: int
    tokens: int
    operations: float
    gigabytes: float
    hours: float


def needs(settings: Settings, vocabulary: int, machine: Machine) -> Needs:
    """vocabulary: tokens, the mask included. Raises InvalidSetting where a step does not split over the devices."""
    if settings.batch % (settings.micro_batch * machine.devices):
        raise InvalidSetting(
            f"A step of {settings.batch} rows does not split into passes of {settings.micro_batch} rows on "
            f"{machine.devices} devices; change batch or micro_batch."
        )
    config = settings.network(vocabulary)
    found = forward_pass(config, settings.micro_batch)
    # what a pass keeps is in the precision of its products; logits and their normalisation are in float32, too
    activations = found.kept * (2 if settings.precision == "bf16" else 4) + 2 * 4 * found.logits
    operations = found.operations * (1 + BACKWARD) / (settings.micro_batch * settings.length)
    tokens = settings.steps * settings.batch * settings.length
    return Needs(
        found.parameters,
        tokens,
        operations,
        (found.parameters * 4 * COPIES + activations) / 1e9,
        tokens * operations / (machine.teraflops * 1e12 * machine.devices) / 3600,
    )


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass forward over some rows: its operations, and how many numbers it keeps for the way back."""

    parameters: int
    operations: int
    kept: int
    logits: int


@lru_cache
def forward_pass(config: DiTConfig, rows: int) -> Pass:
    """Of the training loss, on rows of `config.model_length` tokens. Raises InvalidSetting for logits of a wrong shape.

    Logits are of every token, where training looks at masked ones only.
    """
    with META:
        network = DiT(config)
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        store = tensor.untyped_storage()
        if store._cdata not in weights:
            kept[store._cdata] = tensor.numel()
        return tensor

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
        logits = _logits(network, rows)
    wanted = rows * (config.model_length - int(config.causal)) * config.vocab_size
    if logits.numel() != wanted:
        raise InvalidSetting(f"The network gives logits of {tuple(logits.shape)}, and {wanted} numbers are wanted.")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Pass(parameters, counter.get_total_flops(), sum(kept.values()), logits.numel())


def _logits(network: DiT, count: int) -> Tensor:
    config = network.config
    length = config.model_length
    rows = torch.zeros(count, length, dtype=torch.long, device=META)
    positions = torch.arange(length, device=META)
    if config.simplex:
        blocks = rows.view(-1, config.block_size)
        points = torch.zeros(*blocks.shape, config.mask, device=META)
        return simplex.read(network, blocks, blocks, points, torch.zeros(len(blocks), device=META))
    if config.causal:
        logits: Tensor = network(rows[:, :-1], positions[:-1])
    elif config.cross_attn and config.block_size < length:
        logits = network.output_layer(noisy_features(network, rows, rows), network.condition(None))
    else:
        sigma = torch.zeros(count, device=META) if config.time_conditioning else None
        logits = network(rows, positions, sigma=sigma)
    return logits


def command(settings: Settings, devices: int) -> str:
    """How the run is started by hand; only what differs from the defaults is said."""
    words = ["python", "-m", "model.training.train"]
    if devices > 1:
        words = ["accelerate", "launch", "--num_processes", str(devices), "-m", "model.training.train"]
    for field in fields(settings):
        value = getattr(settings, field.name)
        if value != field.default:
            words += [f"--{field.name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else (value,))]
    return shlex.join(words)


def schedule_line(settings: Settings) -> str:
    """What the noise is, and that its weights are right: ∫ weight · chance dt is nearly 1 over the range."""
    schedule, interval = noise.schedule(settings.schedule), ClippedInterval(*settings.interval)
    mass = noise.mass(settings.schedule)
    ends = schedule.chance(torch.tensor([interval.low, interval.high], dtype=torch.float64)).tolist()
    every = settings.search_every
    found = f"searched for every {every} steps" if every else "fixed"
    return (
        f"noise {settings.schedule}, levels U[{interval.low:g}, {interval.high:g}] ({found}), mask chance "
        f"{ends[0]:.3f} to {ends[1]:.3f}, mass {mass:.3f}{'' if mass > LEAST_MASS else ', so no bound'}; learning rate "
        f"{settings.learning_rate:g} after {settings.warmup} steps"
    )


def report(plan: Plan, out: Path) -> Iterator[str]:
    """Lines of Markdown. Raises InvalidSetting."""
    machine, vocabulary = plan.machine, plan.text.vocabulary + 1
    yield f"**{plan.title}**: {machine.devices} × {machine.gigabytes:g} GB, {machine.teraflops:g} TFLOP/s each."
    yield ""
    yield "| run | L' | parameters | tokens | MFLOP/token | GB of memory | hours |"
    yield "|---|---|---|---|---|---|---|"
    runs, hours = trainings(plan, out), 0.0
    for name, settings in runs.items():
        need = needs(settings, vocabulary, machine)
        hours += need.hours
        fits = "" if need.gigabytes <= machine.gigabytes else ", too much: lower micro_batch"
        yield (
            f"| {name} | {settings.network(vocabulary).block_size} | {need.parameters} | {need.tokens:.3g} "
            f"| {need.operations / 1e6:.0f} | {need.gigabytes:.1f}{fits} | {need.hours:.2f} |"
        )
    yield ""
    yield f"In all {hours:.1f} hours, {hours * machine.devices:.0f} of a device."
    for name, settings in runs.items():
        yield ""
        yield f"{name}: {schedule_line(settings)}"
        yield f"    {command(settings, machine.devices)}"
