"""Compares this code with golden numbers of the published implementation: `python -m model.evaluation.goldens FILE…`.

A file holds the weights of a tiny network, inputs, and what the authors' code made of them (tests/goldens/README.md).
All sizes are read from its header. One line per key: the largest difference, what is tolerated, and whether it holds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.backbones import masks
from model.backbones.dit import DiT, DiTConfig, WrongConfig
from model.backbones.dit_denoiser import DiTDenoiser
from model.backbones.fit import WrongWeights
from model.backbones.published import BOUNDS, PREFIX, check_weights
from model.block_diffusion import Recipe, finish, write
from model.noise import subs_log_probs
from model.training import objectives
from model.training.clipping import grid
from model.training.objectives import TokenLoss

LOGITS, LOSSES, GRID, EXACT = 1e-5, 1e-6, 1e-7, 0.0
"""Absolute; relative to the largest value; the grid's rounding to float32; not at all."""

RULED_OUT = -1e5
"""What the published code adds −10⁶ to is −∞ here."""


class NoGolden(ValueError):
    """A file does not hold golden numbers."""


@dataclass(frozen=True, slots=True)
class Line:
    """One compared key."""

    key: str
    difference: float
    tolerated: float

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerated

    def __str__(self) -> str:
        return f"{self.key:<32} {self.difference:.2e}  ≤ {self.tolerated:.0e}  {'yes' if self.holds else 'NO'}"


class Golden:
    """One file: its tensors, and the networks that its weights make."""

    def __init__(self, path: Path) -> None:
        """Raises NoGolden, and WrongConfig or WrongWeights where weights and header do not fit each other."""
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                self.tensors: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            self.config = DiTConfig(
                vocab_size=int(header["vocab_size"]),
                hidden_dim=int(header["hidden_dim"]),
                n_blocks=int(header["n_blocks"]),
                n_heads=int(header["n_heads"]),
                cond_dim=int(header["cond_dim"]),
                model_length=int(header["model_length"]),
                block_size=int(header["block_size"]),
            )
            self.mask, self.bos, self.nucleus = (
                int(header["mask_id"]),
                int(header["bos_id"]),
                float(header["nucleus_p"]),
            )
        except (OSError, SafetensorError, KeyError) as error:
            raise NoGolden(f"{path} does not hold golden numbers ({error}).") from error
        length = self.config.model_length
        whole = replace(self.config, block_size=length, cross_attn=False)
        self._configs = {
            "bd3lm": self.config,
            "mdlm": whole,
            "sedd": replace(whole, time_conditioning=True),
            "ar": replace(whole, block_size=1, causal=True, adaln=False),
        }

    def network(self, name: str) -> DiT:
        """The network of "bd3lm", "mdlm", "sedd" or "ar"."""
        config, prefix = self._configs[name], f"{name}.weights/"
        weights = {key.removeprefix(prefix): t for key, t in self.tensors.items() if key.startswith(prefix)}
        weights = {key: tensor for key, tensor in weights.items() if key not in BOUNDS}
        check_weights(config, weights)
        network = DiT(config).eval()
        network.load_state_dict({key.removeprefix(PREFIX): tensor for key, tensor in weights.items()})
        return network


class RecordedDraws:
    """The choices [steps] and uniforms [steps, L', V] of a recorded run, for one text."""

    def __init__(self, choices: Tensor, uniforms: Tensor) -> None:
        self._choices, self._uniforms, self._step = choices.tolist(), uniforms, 0

    def begin(self, block: int) -> None:
        """Nothing: the run was recorded as one."""

    def keep(self, rows: Sequence[int]) -> None:
        """Nothing: it is one text."""

    def slots(self, masked: Tensor) -> Tensor:
        """The masked slot that was chosen gets the largest number."""
        at = masked[0].nonzero()[self._choices[self._step], 0]
        return torch.zeros(masked.shape, dtype=torch.float64).index_fill_(1, at, 1.0)

    def tokens(self, chosen: Tensor, vocabulary: int) -> Tensor:
        """Those of the chosen slot."""
        self._step += 1
        return self._uniforms[self._step - 1][chosen[0]]


@torch.no_grad()
def compare(golden: Golden) -> Iterator[Line]:
    """Every key of the file that this code can compute."""
    parts: Sequence[Callable[[Golden], Iterator[tuple[str, Tensor]]]] = (
        _mask, _block_diffusion, _exact_nll, _window, _cached, _first_hitting, _mdlm, _sedd, _ar, _clip_grid,
    )  # fmt: skip
    for part in parts:
        for key, ours in part(golden):
            if key in golden.tensors:
                yield Line(key, *_difference(key, ours, golden.tensors[key]))


def _difference(key: str, ours: Tensor, theirs: Tensor) -> tuple[float, float]:
    """The largest difference of one key, and what is tolerated there."""
    name = key.rpartition("/")[2]
    if ours.shape != theirs.shape:
        return float("inf"), EXACT
    if name in ("tokens", "block_mask", "token_mask"):
        return float((ours != theirs).sum()), EXACT
    ours, theirs = ours.double(), theirs.double()
    if name == "subs_log_probs":
        if not torch.equal(ours.isneginf(), theirs < RULED_OUT):
            return float("inf"), LOGITS
        ours, theirs = ours.masked_fill(ours.isneginf(), 0.0), theirs.masked_fill(theirs < RULED_OUT, 0.0)
    largest = (ours - theirs).abs().nan_to_num(nan=torch.inf).max()
    if name in ("loss", "nll_per_token"):
        return float(largest / theirs.abs().max()), LOSSES
    return float(largest), GRID if name == "clip_grid" else LOGITS


# ------------------------------------------------------------------------------------------------- what we compute


def _mask(golden: Golden) -> Iterator[tuple[str, Tensor]]:
    yield "block_mask", masks.dense(golden.config.model_length, golden.config.block_size)


def _noisy_logits(golden: Golden, network: DiT, noisy: Tensor) -> Tensor:
    """Logits [B, L, V] at the noisy positions of x_t ⊕ x_0."""
    length, block = golden.config.model_length, golden.config.block_size
    both = torch.cat([noisy, golden.tensors["x0"]], dim=1)
    logits: Tensor = network(both, masks.positions(length), masks.dense(length, block))
    return logits[:, :length]


def _block_diffusion(golden: Golden) -> Iterator[tuple[str, Tensor]]:
    network, given = golden.network("bd3lm"), golden.tensors
    for run in ("bd3lm.full", "bd3lm.clipped"):
        if f"{run}/xt" not in given:
            continue
        noisy = given[f"{run}/xt"]
        logits = _noisy_logits(golden, network, noisy)
        yield f"{run}/logits", logits
        yield f"{run}/subs_log_probs", subs_log_probs(logits, noisy, golden.mask)
        loss = objectives.block_diffusion(logits, given["x0"], noisy, given[f"{run}/t"], golden.mask)
        yield from _loss(run, loss)


def _exact_nll(golden: Golden) -> Iterator[tuple[str, Tensor]]:
    if "bd3lm.exact_nll/loss" in golden.tensors:
        clean = golden.tensors["x0"]
        noisy = torch.full_like(clean, golden.mask)
        noisy[:, 0] = clean[:, 0]
        logits = _noisy_logits(golden, golden.network("bd3lm"), noisy)
        yield from _loss("bd3lm.exact_nll", objectives.exact_nll(logits, clean, golden.mask))


def _denoiser(golden: Golden) -> DiTDenoiser:
    return DiTDenoiser(golden.network("bd3lm"), end=golden.bos)


def _window(golden: Golden) -> Iterator[tuple[str, Tensor]]:
    if "window/tokens" in golden.tensors:
        tokens, denoiser = golden.tensors["window/tokens"], _denoiser(golden)
        cache, block = denoiser.new_cache(len(tokens)), golden.config.block_size
        denoiser.commit(tokens[:, :-block], cache)
        yield "window/logits", denoiser.logits(denoiser.denoise(tokens[:, -block:], cache))


def _cached(golden: Golden) -> Iterator[tuple[str, Tensor]]:
    """Every row: an all-masked block after so many committed ones, before and after the window is full."""
    if "cached/sequence" in golden.tensors:
        denoiser = _denoiser(golden)
        cache, rows = denoiser.new_cache(1), []
        for block in torch.split(golden.tensors["cached/sequence"], golden.config.block_size, dim=1):
            rows.append(denoiser.logits(denoiser.denoise(torch.full_like(block, golden.mask), cache))[0])
            denoiser.commit(block, cache)
        yield "cached/masked_block_logits", torch.stack(rows)


def _first_hitting(golden: Golden) -> Iterator[tuple[str, Tensor]]:
    given = golden.tensors
    if "first_hitting/tokens" in given:
        draws = RecordedDraws(given["first_hitting/choice"], given["first_hitting/uniforms"])
        recipe, length = Recipe("first-hitting", nucleus=golden.nucleus), given["first_hitting/tokens"].shape[1]
        text = finish(write(_denoiser(golden), [[golden.bos]], recipe, draws, length=length))[0]
        yield "first_hitting/tokens", torch.tensor([text.tokens])


def _mdlm(golden: Golden) -> Iterator[tuple[str, Tensor]]:
    given = golden.tensors
    if "mdlm/input" in given:
        noisy = given["mdlm/input"]
        logits = golden.network("mdlm")(noisy, torch.arange(noisy.shape[1]))
        yield "mdlm/logits", logits
        yield from _loss("mdlm", objectives.block_diffusion(logits, given["x0"], noisy, given["mdlm/t"], golden.mask))


def _sedd(golden: Golden) -> Iterator[tuple[str, Tensor]]:
    given = golden.tensors
    if "sedd/input" in given:
        noisy = given["sedd/input"]
        logits = golden.network("sedd")(noisy, torch.arange(noisy.shape[1]), None, given["sedd/sigma"])
        yield "sedd/logits", logits
        yield from _loss("sedd", objectives.score_entropy(logits, given["x0"], noisy, given["sedd/t"], golden.mask))


def _ar(golden: Golden) -> Iterator[tuple[str, Tensor]]:
    given = golden.tensors
    if "ar/input" in given:
        logits = golden.network("ar")(given["ar/input"], torch.arange(given["ar/input"].shape[1]))
        yield "ar/logits", logits
        loss = objectives.autoregressive(logits, given["x0"], golden.mask)
        yield from _loss("ar", TokenLoss(loss.nll[:, 1:], loss.counted[:, 1:]))


def _clip_grid(golden: Golden) -> Iterator[tuple[str, Tensor]]:
    intervals = grid(golden.config.block_size)
    yield "clip_grid", torch.tensor([(interval.low, interval.high) for interval in intervals], dtype=torch.float64)


def _loss(run: str, loss: TokenLoss) -> Iterator[tuple[str, Tensor]]:
    yield f"{run}/nll_per_token", loss.nll
    yield f"{run}/token_mask", loss.counted
    yield f"{run}/loss", loss.mean[None]


def main(paths: Sequence[str]) -> int:
    """Prints the comparison of every file. 0: everything holds; 1: not; 2: no file is given."""
    if not paths:
        print("Give one or more golden files: python -m model.evaluation.goldens FILE…", file=sys.stderr)
        return 2
    holds = True
    for path in paths:
        print(path)
        try:
            for line in compare(Golden(Path(path))):
                print(f"  {line}", flush=True)
                holds &= line.holds
        except (NoGolden, WrongConfig, WrongWeights) as error:
            print(f"  {error}", file=sys.stderr)
            holds = False
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
