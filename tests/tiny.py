"""A tiny Llama with random weights, and plain slow twins of the network and of the sampler, without cache or tricks.

The twins are written from the words of ADAPTER.md and of `contract.Rule`, one text at a time, in float64: every forward
reads the whole text anew, W·x and the low-rank B·(A·x) stay apart, a law is a list of tokens and their chances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from model.backbones.llama import Adapter, Llama, LlamaConfig, SamplerHead, weight_shapes
from model.contract import Dial
from model.denoiser import PROPOSALS
from model.sampler import Draws

END = 2
BANNED = (0, 1)
INNER = (7, 14, 18)
"""Tokens that go on with a word: they may come again."""
RARE = (4, 9, 13)
"""Tokens that are not proposed where proposals are checked."""
CONFIG = LlamaConfig(
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    vocab_size=23,
    rope_theta=10_000.0,
    rms_norm_eps=1e-5,
    max_position_embeddings=1024,
)
MASK = CONFIG.vocab_size
QWEN2 = replace(CONFIG, qkv_bias=True)
QWEN3 = replace(CONFIG, head_dim=12, qk_norm=True)
FAMILY = {"llama": CONFIG, "qwen2": QWEN2, "qwen3": QWEN3}
"""One of each kind; the heads of the last are wider than the network."""


@dataclass(frozen=True, slots=True)
class Parts:
    """All numbers of one tiny network: tensors by their published names, adapter and sampler head where it has them."""

    config: LlamaConfig
    weights: dict[str, Tensor]
    adapter: Adapter | None
    head: SamplerHead | None

    def fast(self, **how: object) -> Llama:
        """The engine's network of these numbers."""
        how = {"end": END, "banned": BANNED, "inner": INNER, "block_sizes": (1, 4, 8), **how}
        return Llama(self.config, self.weights, adapter=self.adapter, head=self.head, **how)  # type: ignore[arg-type]

    def plain(self) -> PlainLlama:
        """Its slow twin."""
        return PlainLlama(self)


def parts(
    seed: int, config: LlamaConfig = CONFIG, *, adapter: bool = True, head: bool = True, tied: bool = True
) -> Parts:
    """A network from a seed. Weights are large enough for attention and laws to be neither flat nor certain."""
    stream = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float) -> Tensor:
        return torch.randn(shape, generator=stream) * std

    weights = {}
    shapes = weight_shapes(config) | ({} if tied else {"lm_head.weight": (config.vocab_size, config.hidden_size)})
    for name, shape in shapes.items():
        vector = len(shape) == 1
        mean = 0.0 if name.endswith("bias") else 1.0
        weights[name] = mean + normal(*shape, std=0.2) if vector else normal(*shape, std=1.5 * shape[1] ** -0.5)
    width, q_width, kv_width = config.hidden_size, *(config.head_dim * heads for heads in heads_of(config))
    rank = 3
    sizes = {
        "qkv": (width, q_width + 2 * kv_width),
        "o": (q_width, width),
        "gate_up": (width, 2 * config.intermediate_size),
        "down": (config.intermediate_size, width),
    }
    pairs = {
        f"layers.{i}.{name}": (normal(rank, into, std=into**-0.5), normal(out, rank, std=0.3))
        for i in range(config.num_hidden_layers)
        for name, (into, out) in sizes.items()
    }
    mask_embedding = normal(width, std=0.3)
    correction = SamplerHead(
        w1=normal(2 * width, 2 * width, std=(2 * width) ** -0.5),
        b1=normal(2 * width, std=0.1),
        w2=normal(width, 2 * width, std=(2 * width) ** -0.5),
        b2=normal(width, std=0.1),
    )
    return Parts(
        config,
        weights,
        Adapter(pairs, mask_embedding, 1.5, common_of(config)) if adapter else None,
        correction if head else None,
    )


def passing_by(made: Parts, layer: int) -> Parts:
    """The same network with an adapter that has nothing for one layer."""
    assert made.adapter is not None
    pairs = {name: pair for name, pair in made.adapter.pairs.items() if not name.startswith(f"layers.{layer}.")}
    return replace(made, adapter=replace(made.adapter, pairs=pairs))


def common_of(config: LlamaConfig) -> Tensor:
    """What a tiny adapter proposes."""
    return torch.tensor([token for token in range(config.vocab_size) if token not in RARE], dtype=torch.int32)


def heads_of(config: LlamaConfig) -> tuple[int, int]:
    """Of queries, and of keys."""
    return config.num_attention_heads, config.num_key_value_heads


# ---------------------------------------------------------------------------------------------------- the network

Memory = list[tuple[Tensor, Tensor]]  # per layer the rotated keys and the values [H, n, D] of clean tokens


class PlainLlama:
    """The function of ADAPTER.md for one text, in float64."""

    def __init__(self, parts: Parts) -> None:
        self.config, self.adapter = parts.config, parts.adapter
        self.weights = {name: tensor.double() for name, tensor in parts.weights.items()}
        self.head = parts.head

    def causal(self, text: list[int]) -> Tensor:
        """Next-token logits [n, V] after each token of a text."""
        return self._unembed(self._read(text)[0])

    def noisy(self, text: list[int], block: list[int], open_end: bool = False) -> Tensor:
        """Features [L', D] of the slots of a block that follows a text; slots with the mask id are not decided. With an
        open end the last slot is not there to be seen."""
        before = text[:-1]
        memory = self._read(before)[1]
        noisy = [*text[-1:], *block[: len(block) - open_end]]
        positions = list(range(len(before), len(before) + len(noisy)))
        visible = torch.ones(len(noisy), len(before) + len(noisy), dtype=torch.bool)
        return self._layers(self._embed(noisy), positions, memory, visible, adapted=True)[0][: len(block)]

    def slot_logits(self, features: Tensor, left: int | None) -> Tensor:
        """Logits [V] of a slot with features [D]; left is the token just chosen beside it, or None."""
        if left is not None and self.head is not None:
            w1, b1, w2, b2 = (t.double() for t in (self.head.w1, self.head.b1, self.head.w2, self.head.b2))
            known = self.weights["model.embed_tokens.weight"][left]
            known = known / (known.square().mean() + self.config.rms_norm_eps).sqrt()
            inner = w1 @ torch.cat([features, known]) + b1
            features = features + w2 @ (inner / (1.0 + (-inner).exp())) + b2
        return self._unembed(features)

    def _read(self, text: list[int]) -> tuple[Tensor, Memory]:
        nothing = torch.zeros(self.config.num_key_value_heads, 0, self.config.head_dim, dtype=torch.float64)
        memory = [(nothing, nothing)] * self.config.num_hidden_layers
        n = len(text)
        visible = torch.tensor([[j <= i for j in range(n)] for i in range(n)], dtype=torch.bool).view(n, n)
        return self._layers(self._embed(text), list(range(n)), memory, visible, adapted=False)

    def _embed(self, tokens: list[int]) -> Tensor:
        table = self.weights["model.embed_tokens.weight"]
        mask = torch.zeros(table.shape[1]) if self.adapter is None else self.adapter.mask_embedding
        rows = [mask.double() if token == self.config.vocab_size else table[token] for token in tokens]
        return torch.stack(rows) if rows else table[:0]

    def _unembed(self, features: Tensor) -> Tensor:
        return features @ self.weights.get("lm_head.weight", self.weights["model.embed_tokens.weight"]).T

    def _layers(
        self, x: Tensor, positions: list[int], past: Memory, visible: Tensor, *, adapted: bool
    ) -> tuple[Tensor, Memory]:
        """Features [n, D] through every layer and the final norm, and what these positions leave to later ones."""
        memory: Memory = []
        for i in range(self.config.num_hidden_layers):
            if adapted and self.adapter is not None and f"layers.{i}.qkv" not in self.adapter.pairs:
                memory.append((past[i][0][:, :0], past[i][1][:, :0]))  # passed by
                continue
            h = self._norm(x, f"model.layers.{i}.input_layernorm")
            q, k = (
                rotate(self._queries_or_keys(h, i, name, adapted), positions, self.config.rope_theta) for name in "qk"
            )
            v = self._heads(self._project(h, i, "self_attn.v_proj", adapted))
            memory.append((k, v))
            keys, values = torch.cat([past[i][0], k], dim=1), torch.cat([past[i][1], v], dim=1)
            heads = []
            for head in range(self.config.num_attention_heads):
                shared = head * self.config.num_key_value_heads // self.config.num_attention_heads
                scores = q[head] @ keys[shared].T / math.sqrt(self.config.head_dim)
                chances = torch.where(visible, scores, -math.inf).exp()
                heads.append(chances / chances.sum(1, keepdim=True) @ values[shared])
            x = x + self._project(torch.cat(heads, dim=1), i, "self_attn.o_proj", adapted)
            h = self._norm(x, f"model.layers.{i}.post_attention_layernorm")
            gate, up = (self._project(h, i, f"mlp.{name}_proj", adapted) for name in ("gate", "up"))
            x = x + self._project(gate / (1.0 + (-gate).exp()) * up, i, "mlp.down_proj", adapted)
        return self._norm(x, "model.norm"), memory

    def _queries_or_keys(self, x: Tensor, layer: int, name: str, adapted: bool) -> Tensor:
        """[H, n, D], each normed alone where the network has a norm for them."""
        heads = self._heads(self._project(x, layer, f"self_attn.{name}_proj", adapted))
        if not self.config.qk_norm:
            return heads
        return torch.stack([self._norm(head, f"model.layers.{layer}.self_attn.{name}_norm") for head in heads])

    def _project(self, x: Tensor, layer: int, name: str, adapted: bool) -> Tensor:
        """W·x + b, and scale·B·(A·x) with the rows of B that belong to this projection."""
        y = x @ self.weights[f"model.layers.{layer}.{name}.weight"].T
        y = y + self.weights.get(f"model.layers.{layer}.{name}.bias", torch.zeros(()))
        if not adapted or self.adapter is None:
            return y
        width, hidden = self.config.hidden_size, self.config.intermediate_size
        q_width, kv_width = (self.config.head_dim * heads for heads in heads_of(self.config))
        group, first, last = {
            "self_attn.q_proj": ("qkv", 0, q_width),
            "self_attn.k_proj": ("qkv", q_width, q_width + kv_width),
            "self_attn.v_proj": ("qkv", q_width + kv_width, q_width + 2 * kv_width),
            "self_attn.o_proj": ("o", 0, width),
            "mlp.gate_proj": ("gate_up", 0, hidden),
            "mlp.up_proj": ("gate_up", hidden, 2 * hidden),
            "mlp.down_proj": ("down", 0, width),
        }[name]
        a, b = self.adapter.pairs[f"layers.{layer}.{group}"]
        return y + self.adapter.scale * (x @ a.double().T) @ b[first:last].double().T

    def _heads(self, x: Tensor) -> Tensor:
        return torch.stack(x.split(self.config.head_dim, dim=1))  # [n, H·D] → [H, n, D]

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return (
            x / (x.square().mean(-1, keepdim=True) + self.config.rms_norm_eps).sqrt() * self.weights[f"{name}.weight"]
        )


def rotate(x: Tensor, positions: list[int], theta: float) -> Tensor:
    """Half-split rotary embedding of [H, n, D]: number j of the first half and of the second are one complex number."""
    half = x.shape[-1] // 2
    angles = torch.tensor([[at * theta ** (-j / half) for j in range(half)] for at in positions]).reshape(-1, half)
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(x[0, :, :half]), angles.double())
    return torch.cat([turned.real, turned.imag], dim=-1)


# ---------------------------------------------------------------------------------------------------- the sampler

Law = list[tuple[int, float]]  # tokens and their chances, in the order in which a quantile is looked up


def draw(law: Law, quantile: float) -> int:
    """The token at which the cumulated chances pass the quantile."""
    total = 0.0
    for token, chance in law:
        total += chance
        if total > quantile:
            return token
    raise AssertionError("the chances of a law sum to 1")


def chance_of(law: Law, token: int) -> float:
    return dict(law).get(token, 0.0)


def law_of(logits: Tensor, dial: Dial, order: list[int] | None = None) -> Law:
    """Tempered and cut to the nucleus. Whole laws stand in the given order, or by id; cut ones with the best first."""
    if dial.temperature == 0.0:
        return [(int(logits.argmax()), 1.0)]
    weight = [math.exp(x) for x in ((logits - logits.max()) / dial.temperature).tolist()]
    whole = [(token, weight[token] / sum(weight)) for token in order or range(len(weight))]
    if dial.nucleus == 1.0:
        return whole
    kept: Law = []
    for token, chance in sorted(whole, key=lambda pair: -pair[1]):
        if sum(chance for _, chance in kept) < dial.nucleus:
            kept.append((token, chance))
    mass = sum(chance for _, chance in kept)
    return [(token, chance / mass) for token, chance in kept]


def lost(text: list[int], dial: Dial, vocabulary: int = CONFIG.vocab_size, inner: tuple[int, ...] = INNER) -> Tensor:
    """Nats [V] that the next token of a text loses: every place is looked at where the text's end stood before."""
    nats = torch.zeros(vocabulary)
    spared = () if all(token in inner for token in text[-4:]) else inner
    for at in range(len(text) - 1):
        run = 0
        while run <= at and run < 24 and text[at - run] == text[-1 - run] != MASK:
            run += 1
        if run >= 1 and text[at + 1] != MASK and text[at + 1] not in spared:
            nats[text[at + 1]] += dial.repeat_penalty * 1.75 ** (run - 1)
    return nats


@dataclass
class PlainSampler:
    """Writes one text, block by block, without a cache.

    fresh  whether everything decided has been read: then the first token of a block costs no forward. Under "verified"
           the last token of the prompt is left for the first verification.
    """

    network: PlainLlama
    dial: Dial
    text: list[int]
    may_end: bool = True
    nfe: int = 0
    fresh: bool = True
    nll: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fresh = self.fresh and self.dial.rule != "verified"

    def block(self, size: int, draws: Draws) -> list[int]:
        """The next `size` tokens, with the same uniforms as the engine's sampler."""
        write = self._verified if self.dial.rule == "verified" else self._unverified
        return write(size, draws)

    def _verified(self, size: int, draws: Draws) -> list[int]:
        slots: list[int] = []
        if self.fresh:
            slots.append(self._next(draws))
            self.fresh = False
        most = 0 if self.network.adapter is None else PROPOSALS  # frozen weights alone denoise nothing
        enough = size - most if size >= 4 * (most + 1) else size  # a whole cycle fits, or the block is over
        while len(slots) < enough and END not in slots:
            proposals, laws = self._propose(min(size - len(slots) - 1, most), draws)
            count = len(proposals)
            self.nfe += 1
            after = self.network.causal([*self.text, *proposals])[-count - 1 :]
            read = [[*self.text, *proposals[:slot]] for slot in range(count + 1)]
            targets = [law_of(self._allowed(logits) - lost(text, self.dial), self.dial)
                       for logits, text in zip(after, read, strict=True)]  # fmt: skip
            uniforms = draws.uniform(count)[0].tolist() if count else []
            n = 0
            while n < count and (
                uniforms[n] * (1 - self.dial.threshold)
                < chance_of(targets[n], proposals[n]) / chance_of(laws[n], proposals[n])
            ):
                n += 1
            law = targets[n]
            if n < count:
                over = [(token, max(0.0, chance - chance_of(laws[n], token))) for token, chance in law]
                mass = sum(chance for _, chance in over)
                law = [(token, chance / mass) for token, chance in over]
            for token in [*proposals[:n], draw(law, float(draws.uniform()))]:
                self._append(token)
                slots.append(token)
        return slots

    def _propose(self, count: int, draws: Draws) -> tuple[list[int], list[Law]]:
        known: list[int] = []
        laws: list[Law] = []
        for steps_left in range(self.dial.steps, 0, -1):
            if len(known) == count:
                break
            features = self.network.noisy(self.text, known + [MASK] * (count - len(known)), open_end=True)
            self.nfe += 1
            new = range(len(known), len(known) + math.ceil((count - len(known)) / steps_left))
            for slot in new:
                left = known[-1] if slot > new[0] else None
                laws.append(self._slot_law(features[slot], left, [*self.text, *known], RARE))
                known.append(draw(laws[-1], float(draws.uniform())))
        return known, laws

    def _unverified(self, size: int, draws: Draws) -> list[int]:
        first = self._next(draws)
        block, masked = [MASK] * (size - 1), set(range(size - 1))
        quantiles = draws.uniform(size - 1)[0].tolist()
        for steps_left in range(self.dial.steps, 0, -1):
            if not masked:
                break
            features = self.network.noisy(self.text, block)
            self.nfe += 1
            chosen = self._choose(features, masked, steps_left, draws)
            for slot in sorted(chosen):
                left = block[slot - 1] if slot - 1 in chosen else None
                law = self._slot_law(features[slot], left, [*self.text, *block[:slot]])
                block[slot] = draw(law, quantiles[slot])
            masked -= chosen
        for token in block:
            self._append(token)
        self.nfe += 1  # commit
        return [first, *block]

    def _choose(self, features: Tensor, masked: set[int], steps_left: int, draws: Draws) -> set[int]:
        share = math.ceil(len(masked) / steps_left)
        if self.dial.rule == "first-hitting":
            order = draws.uniform(len(features))[0].tolist()
            return set(sorted(masked, key=lambda slot: -order[slot])[:share])
        sureness = {slot: float(self._allowed(self.network.slot_logits(features[slot], None)).softmax(-1).max())
                    for slot in masked}  # fmt: skip
        ranked = sorted(masked, key=lambda slot: -sureness[slot])
        if self.dial.rule == "threshold" and steps_left > 1:
            return {ranked[0], *(slot for slot in masked if sureness[slot] >= self.dial.threshold)}
        return set(ranked[:share])

    def _next(self, draws: Draws) -> int:
        logits = self._allowed(self.network.causal(self.text)[-1]) - lost(self.text, self.dial)
        token = draw(law_of(logits, self.dial), float(draws.uniform()))
        self._append(token)
        return token

    def _append(self, token: int) -> None:
        logits = self.network.causal(self.text)[-1]
        self.nll.append(float(logits.logsumexp(-1) - logits[token]))
        self.text.append(token)

    def _slot_law(self, features: Tensor, left: int | None, text: list[int], rare: tuple[int, ...] = ()) -> Law:
        order = self._allowed(self.network.slot_logits(features, None)).argsort(descending=True).tolist()
        order = [token for token in order if token not in rare]
        logits = self._allowed(self.network.slot_logits(features, left)) - lost(text, self.dial)
        logits[list(rare)] = -math.inf
        return law_of(logits, self.dial, order)

    def _allowed(self, logits: Tensor) -> Tensor:
        logits = logits.clone()
        logits[[*BANNED, *([] if self.may_end else [END])]] = -math.inf
        return logits
