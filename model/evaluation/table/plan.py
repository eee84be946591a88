"""What is compared: a TOML file as one frozen value, and the training runs that follow from it.

Knows nothing of how anything is trained or measured.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from model.training.corpora import CORPORA
from model.training.settings import InvalidSetting, Settings, checked

PRETRAIN = "pretrain"
"""The stage with blocks as long as the row, from whose weights MDLM and every BD3-LM go on."""

STAGES = "stages"
"""Folder of the runs that are no system of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What is read. A corpus of `corpora.py`, split by document; or, where `corpus` is empty, what the sources say.

    held_out   share of the documents that no network trains on.
    zero_shot  names of `corpora.py`, or sources.
    """

    corpus: str = ""
    held_out: float = 0.03
    vocabulary: int = 2048
    data: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    tokenizer: str = ""
    zero_shot: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.corpus, *self.zero_shot):
            if name and name not in CORPORA and ":" not in name and "." not in name:
                raise InvalidSetting(f"There is no corpus {name!r}; choose one of {', '.join(CORPORA)}, or a file.")
        if not self.corpus and not (self.data and self.validation and self.tokenizer):
            raise InvalidSetting("[text] needs a corpus, or data, validation and tokenizer.")
        if not 0.0 < self.held_out < 1.0:
            raise InvalidSetting(f"held_out = {self.held_out} is not possible; choose a share above 0, below 1.")
        if self.corpus in self.zero_shot:
            raise InvalidSetting(f"{self.corpus} is trained on; it cannot be read zero-shot, too.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Optimiser steps. Every system has pretrain + finetune of them, however they are shared; a study is short."""

    pretrain: int
    finetune: int
    study: int

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise InvalidSetting(f"[steps] {field.name} is below 1; give 1 or more.")

    @property
    def whole(self) -> int:
        return self.pretrain + self.finetune


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """How much is measured.

    draws      of noise for every row.
    row_draws  the same for held-out rows of systems with one noise level a row (MDLM, SEDD): their bound varies most.
    rows       of every zero-shot text, spread over it.
    samples    texts of each length; lengths: the first is the training length, the second is past it.
    documents  texts that end where they want to; longest: tokens at which they are cut.
    told       labels of the writers whose documents are counted.
    judge      a causal model: a name of the catalogue, a Hugging Face id or a folder.
    batch      rows of one pass.
    variance_rows   of the validation text, over which variances of the loss are taken.
    cache_lengths   tokens of a text at which the memory of its cache is read.
    seed       of all that is drawn here; the trainings have their own.
    """

    draws: int = 2
    row_draws: int = 2
    rows: int = 256
    samples: int = 64
    lengths: tuple[int, ...] = ()
    documents: int = 500
    longest: int = 1024
    told: tuple[str, ...] = ()
    judge: str = "smollm2-135m"
    batch: int = 16
    variance_rows: int = 256
    cache_lengths: tuple[int, ...] = (128, 512, 2048, 8192)
    seed: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Studies:
    """Short fine-tunings whose only difference is the noise: the paper's tables 2 and 8."""

    block_sizes: tuple[int, ...] = ()
    intervals: tuple[tuple[float, float], ...] = ()
    schedules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a dry run reckons with.

    devices    processes of a training run.
    teraflops  that one of them does in training, of 10¹² operations a second: what is reached, not what is advertised.
    gigabytes  of memory of one of them.
    """

    devices: int = 1
    teraflops: float = 0.18
    gigabytes: float = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One comparison. systems: ar, sedd, mdlm, ssd-N, bd3-N, and NAME@SEED for one of them trained once more with other
    random numbers; writers: how each of them writes, by label."""

    title: str
    text: Text
    steps: Steps
    shared: Mapping[str, Any]
    systems: Mapping[str, Mapping[str, Any]]
    writers: Mapping[str, Mapping[str, Any]]
    measures: Measures
    studies: Studies
    machine: Machine

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Raises InvalidSetting, OSError."""
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise InvalidSetting(f"{path} is not TOML ({error}).") from error
        known = ("title", "text", "steps", "shared", "systems", "writers", "measures", "studies", "machine")
        if unknown := [name for name in found if name not in known]:
            raise InvalidSetting(
                f"{path} has a part {unknown[0]!r} that does not exist; choose from {', '.join(known)}."
            )
        if lacking := [name for name in ("title", "text", "steps", "shared", "systems") if name not in found]:
            raise InvalidSetting(f"{path} lacks {', '.join(lacking)}.")
        for name, own in found["systems"].items():
            checked(own, f"{path}, [systems.{name}]")
        return cls(
            title=str(found["title"]),
            text=_part(Text, found["text"], f"{path}, [text]"),
            steps=_part(Steps, found["steps"], f"{path}, [steps]"),
            shared=checked(found["shared"], f"{path}, [shared]"),
            systems=found["systems"],
            writers=found.get("writers", {}),
            measures=_part(Measures, found.get("measures", {}), f"{path}, [measures]"),
            studies=_part(Studies, found.get("studies", {}), f"{path}, [studies]"),
            machine=_part(Machine, found.get("machine", {}), f"{path}, [machine]"),
        )


def _part(kind: type[Any], found: Mapping[str, Any], where: str) -> Any:
    """One part of the file as a value. Raises InvalidSetting for a name or a type that it does not have."""
    hints = get_type_hints(kind)
    for name, value in found.items():
        if name not in hints:
            raise InvalidSetting(f"{where} has a setting {name!r} that does not exist; it may have {', '.join(hints)}.")
        fits = {str: str, int: int, float: int | float}.get(hints[name], list)
        if not isinstance(value, fits) or isinstance(value, bool):
            raise InvalidSetting(f"{where}: {name} = {value!r} is not possible.")
    try:
        return kind(**{name: _frozen(value) for name, value in found.items()})
    except TypeError as error:
        raise InvalidSetting(f"{where} lacks a setting ({error}).") from error


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value


# ----------------------------------------------------------------------------------------------------- training runs


def shape(name: str) -> dict[str, Any]:
    """What a system's name says: its kind, block size, and the seed of its training. Raises InvalidSetting."""
    network, at, seed = name.partition("@")
    kind, _, size = network.partition("-")
    said: dict[str, Any] = {"seed": int(seed)} if seed.isdecimal() else {}
    if bool(at) == bool(said):
        if kind in ("ar", "sedd", "mdlm") and not size:
            return {"system": kind, **said}
        if kind in ("bd3", "ssd") and size.isdecimal() and int(size):
            return {"system": {"bd3": "bd3lm"}.get(kind, kind), "block_size": int(size), **said}
    raise InvalidSetting(
        f"There is no system {name!r}; choose ar, sedd, mdlm, bd3-N or ssd-N with N the block size, and @ with a seed "
        "behind it for the same system once more."
    )


def trainings(plan: Plan, out: Path) -> dict[str, Settings]:
    """All runs, by folder under `out`, in the order in which they are trained. Raises InvalidSetting."""
    first = f"{STAGES}/{PRETRAIN}"
    pretrain = _settings(plan, out, first, system="mdlm", steps=plan.steps.pretrain, search_every=0)
    runs = {}
    for name, own in plan.systems.items():
        said = shape(name)
        if said["system"] in ("mdlm", "bd3lm"):
            said |= {"steps": plan.steps.finetune, "start": _last_step(pretrain)}
        else:
            said |= {"steps": plan.steps.whole}
        if said["system"] != "bd3lm":
            said |= {"search_every": 0}
        runs[name] = _settings(plan, out, name, **{**said, **checked(own, f"[systems.{name}]")})
    for name, interval, schedule, size in studied(plan):
        runs[name] = _settings(
            plan, out, name, system="bd3lm", block_size=size, interval=interval, schedule=schedule, search_every=0,
            steps=plan.steps.study, start=_last_step(pretrain),
        )  # fmt: skip
    begun = any(settings.start == _last_step(pretrain) for settings in runs.values())
    return {first: pretrain, **runs} if begun else runs


WHOLE_RANGE = (0.001, 1.0)


def studied(plan: Plan) -> list[tuple[str, tuple[float, float], str, int]]:
    """The short runs: folder, interval, schedule, block size. Blocks of one token have every token masked or not."""
    found = []
    for size in plan.studies.block_sizes:
        intervals = (WHOLE_RANGE, (1.0, 1.0)) if size == 1 else plan.studies.intervals
        schedules = () if size == 1 else plan.studies.schedules
        for low, high in intervals:
            found.append((f"{STAGES}/bd3-{size}-{low:g}-{high:g}", (low, high), "linear", size))
        for schedule in schedules:
            if schedule != "linear":
                found.append((f"{STAGES}/bd3-{size}-{schedule}", WHOLE_RANGE, schedule, size))
    return found


def _last_step(settings: Settings) -> str:
    """The checkpoint a run ends with: a run from other weights is another run."""
    return str(Path(settings.out) / f"step-{settings.steps:07d}")


def _settings(plan: Plan, out: Path, name: str, **own: Any) -> Settings:
    values = {**text_settings(plan.text, out), "cache": str(out / "tokens"), **plan.shared, **own}
    if values["system"] in ("mdlm", "sedd"):
        values["block_size"] = values.get("length", 1024)
    if values["system"] == "ar":
        values["block_size"] = 1
    return Settings(out=str(out / name), **values)


def text_settings(text: Text, out: Path) -> dict[str, Any]:
    """Where training finds its text."""
    if not text.corpus:
        return {"data": text.data, "validation": text.validation, "tokenizer": text.tokenizer}
    folder = out / "text"
    return {
        "data": (str(folder / "train.jsonl"),),
        "validation": (str(folder / "validation.jsonl"),),
        "tokenizer": str(folder / "tokenizer.json"),
    }
