"""The shape of the published networks, from their config.json, and what it says about how they write.

Standard library only: the desk learns from it what a checkpoint can do, without loading it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

ARCHITECTURES = ("bd3lm", "mdlm", "sedd", "ar")
"""The values of `model_type` in a config.json that this network can be and the desk writes with."""

SIMPLEX = "ssd"
"""That of SSD-LM, which the lab trains beside them; its noise is not made of masks."""


class WrongConfig(ValueError):
    """A configuration lacks a field, or describes a network that this file does not implement."""


@dataclass(frozen=True, slots=True)
class DiTConfig:
    """Shape of the network, under the names of the published config.json.

    vocab_size         number of tokens, the mask token (the last one) included.
    model_length       tokens of a training row; the window of a sampler.
    block_size         L'; model_length where the whole row is one block, 1 where the network is causal.
    adaln              layer norms are modulated by a vector that depends on the noise level σ.
    time_conditioning  that vector knows σ; otherwise σ is 0 for every token and the vector one constant.
    cross_attn         trained on x_t ⊕ x_0 under the mask of masks.py, so clean text is read block by block.
    simplex            reads points of the vocabulary simplex after the block before (SSD-LM, see simplex.py).
    """

    vocab_size: int
    hidden_dim: int
    n_blocks: int
    n_heads: int
    cond_dim: int
    model_length: int
    block_size: int
    dropout: float = 0.1
    adaln: bool = True
    causal: bool = False
    time_conditioning: bool = False
    cross_attn: bool = True
    simplex: bool = False

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_dim", "n_blocks", "n_heads", "cond_dim", "model_length", "block_size"):
            if getattr(self, name) < 1:
                raise WrongConfig(f"{name} is {getattr(self, name)}; a network needs at least 1.")
        if self.hidden_dim % (2 * self.n_heads):
            raise WrongConfig(
                f"{self.hidden_dim} dimensions do not split into {self.n_heads} heads of even width; change either."
            )
        if self.model_length % self.block_size:
            raise WrongConfig(
                f"Rows of {self.model_length} tokens do not split into blocks of {self.block_size}; change one of them."
            )
        if self.causal and self.block_size != 1:
            raise WrongConfig(f"A causal network has blocks of one token, not of {self.block_size}.")
        if not (self.causal or self.cross_attn or self.simplex) and self.block_size != self.model_length:
            raise WrongConfig(
                f"A network that was not trained on x_t ⊕ x_0 has one block of {self.model_length} tokens, "
                f"not blocks of {self.block_size}."
            )

    @property
    def head_dim(self) -> int:
        return self.hidden_dim // self.n_heads

    @property
    def mask(self) -> int:
        """Id of the mask token."""
        return self.vocab_size - 1

    @classmethod
    def from_published(cls, config: Mapping[str, Any]) -> DiTConfig:
        """Reads a published config.json. Raises WrongConfig.

        What a file does not say has the value that the published classes give it.
        """
        kind = config.get("model_type")
        if kind not in (*ARCHITECTURES, SIMPLEX):
            known = ", ".join((*ARCHITECTURES, SIMPLEX))
            raise WrongConfig(f"This checkpoint is of the architecture {kind!r}; this network can be one of {known}.")
        needed = ("vocab_size", "hidden_dim", "n_blocks", "n_heads", "cond_dim", "model_length")
        absent = [name for name in needed if name not in config]
        if absent:
            raise WrongConfig(f"The configuration of this checkpoint lacks {', '.join(absent)}.")
        causal = bool(config.get("causal", kind == "ar"))
        clean_blocks = bool(config.get("cross_attn", kind == "bd3lm")) and not causal
        whole_row = not causal and not clean_blocks and kind != SIMPLEX
        length = int(config["model_length"])
        return cls(
            **{name: int(config[name]) for name in needed},
            block_size=length if whole_row else 1 if causal else int(config.get("block_size", 1)),
            dropout=float(config.get("dropout", 0.1)),
            adaln=bool(config.get("adaln", kind != "ar")),
            causal=causal,
            time_conditioning=kind == SIMPLEX or bool(config.get("time_conditioning", kind == "sedd")),
            cross_attn=clean_blocks,
            simplex=kind == SIMPLEX,
        )

    def to_published(self) -> dict[str, Any]:
        """The fields of a config.json that `from_published` reads back."""
        noisy = SIMPLEX if self.simplex else "sedd" if self.time_conditioning else "mdlm"
        kind = "ar" if self.causal else "bd3lm" if self.cross_attn else noisy
        fields = asdict(self)
        del fields["simplex"]  # the published files do not have it; the kind says it
        return {"model_type": kind, **fields}


def as_the_weights_say(published: Mapping[str, Any], tensors: Iterable[str]) -> Mapping[str, Any]:
    """Where a file does not say whether it is the autoregressive model: of all of them it alone has no modulation.

    tensors: names of the checkpoint's tensors.
    """
    modulated = any("sigma_map" in name or "adaLN" in name for name in tensors)
    if modulated or "causal" in published or "adaln" in published:
        return published
    return {**published, "causal": True, "adaln": False}
