"""What crosses the border between the desk and the model process.

Knows nothing of torch, tokens' meaning or storage: frozen values of the standard library only, so that either side can
be replaced (a scripted worker in tests, a remote server) without the other noticing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

Rule = Literal["first-hitting", "confidence", "threshold", "verified"]
"""Which masked slots take their token after a denoising step.

first-hitting  one slot per step, chosen uniformly (BD3-LM's sampler).
confidence     an equal share of the slots per step, most confident first.
threshold      every slot whose token is likelier than `Dial.threshold`, at least one.
verified       the verified prefix: the causal reading of the same weights accepts proposals from the left.
"""

RULES: tuple[Rule, ...] = get_args(Rule)
BLOCK_SIZES = (1, 4, 8, 16, 32)

_WORD = re.compile(r"\w+(?:['’\-]\w+)*")


def count_words(text: str) -> int:
    """What both sides call a word: a run of letters and digits; an apostrophe or hyphen inside does not split one."""
    return len(_WORD.findall(text))


class InvalidSetting(ValueError):
    """A setting is outside what the sampler can do; the message says which and what is allowed."""


@dataclass(frozen=True, slots=True)
class Dial:
    """The quality/speed setting of one piece of text.

    block_size  L', tokens per block, at most: one of BLOCK_SIZES. 1 is the autoregressive model.
    steps       denoising steps per block (verified: per cycle), 1 … block_size.
    rule        the unmasking rule.
    threshold   rule "threshold": the probability from which a slot takes its token, in (0, 1].
                rule "verified": leniency λ in [0, 1). 0 is exact speculative sampling; above 0 a proposal of law q
                passes with chance min(1, p / ((1 − λ)·q)), p the law of the causal reading.
    temperature of sampling, >= 0; 0 is greedy.
    nucleus     smallest probability mass kept, in (0, 1].
    repeat_penalty  nats off the logit of a token by which a run of the text would come again (see repetition.py), from
                0, where nothing is penalised, to 10.
    """

    block_size: int
    steps: int
    rule: Rule
    threshold: float = 0.0
    temperature: float = 0.8
    nucleus: float = 0.95
    repeat_penalty: float = 0.0

    def __post_init__(self) -> None:
        if self.block_size not in BLOCK_SIZES:
            raise InvalidSetting(f"Block size {self.block_size} is not possible; choose one of {BLOCK_SIZES}.")
        if not 1 <= self.steps <= self.block_size:
            raise InvalidSetting(
                f"{self.steps} denoising steps do not fit a block of {self.block_size}; choose 1 to {self.block_size}."
            )
        if self.rule not in RULES:
            raise InvalidSetting(f"Unmasking rule {self.rule!r} is not known; choose one of {', '.join(RULES)}.")
        if not 0.0 <= self.threshold <= 1.0:
            raise InvalidSetting(f"A threshold of {self.threshold} is not possible; choose a value from 0 to 1.")
        if not 0.0 <= self.temperature <= 5.0:
            raise InvalidSetting(f"A temperature of {self.temperature} is not possible; choose a value from 0 to 5.")
        if not 0.0 < self.nucleus <= 1.0:
            raise InvalidSetting(f"A nucleus of {self.nucleus} is not possible; choose a value above 0, at most 1.")
        if not 0.0 <= self.repeat_penalty <= 10.0:
            raise InvalidSetting(
                f"A penalty of {self.repeat_penalty} on repeats is not possible; choose a value from 0 to 10."
            )

    @property
    def rounds(self) -> bool:
        """Whether the text may be read with numbers rounded for speed, a little beside the law that they stand for:
        where that law is not promised.
        """
        return self.rule != "verified" or self.threshold > 0.0


@dataclass(frozen=True, slots=True)
class Request:
    """One job: write the rest of one section.

    job          identifies the job in every event.
    system, user what the model is told: who it is, and what is wanted (plain text; the engine adds the chat format).
                 To a model that only continues text `user` is the text before so_far, and `system` nothing.
    so_far       the section's text up to here: the beginning of the model's answer. May be empty.
    dial, seed   settings; the seed of block b is derived from (seed, b), so a resumed job goes on as it would have.
    words        words still to write (the length target less what so_far has); None: until the model ends by itself.
    max_tokens   never write more tokens than this.
    first_block  number of the first block to write; above 0 when a job is resumed, or goes on with its next part.
    part         words after which a part of the text ends with the next sentence, and the job with it, unless little is
                 left to write; so_far counts. 0: the text is written as a whole.
    earlier      words of the section that stand before so_far.
    """

    job: str
    system: str
    user: str
    so_far: str
    dial: Dial
    seed: int
    words: int | None
    max_tokens: int = 4096
    first_block: int = 0
    part: int = 0
    earlier: int = 0


MOST_CANDIDATES = 8


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a passage: text that is kept as it is, or a hole (text None) that is to be filled.

    words  of a hole: about how many words it is to have; 0: as long as `was`.
    was    of a hole: what stood there. White space around it stays. Empty where nothing stood there.
    """

    text: str | None
    words: int = 0
    was: str = ""

    def __post_init__(self) -> None:
        if self.text is not None and (self.words or self.was):
            raise InvalidSetting("A piece that is kept has no number of words and nothing that stood there.")
        if self.text is None and (self.words < 0 or not (self.words or self.was.strip())):
            raise InvalidSetting("A hole needs the number of words it is to have, or the words that stood there.")


@dataclass(frozen=True, slots=True)
class Fill:
    """One job: other words for the holes of a passage. Everything else stays, character by character.

    job          identifies the job in every event.
    system, user what the model is told, as in Request.
    before       the text to the left of the passage: the beginning of the model's answer.
    pieces       the passage, with one hole at least.
    after        the text to the right of it. May be empty.
    dial, seed   settings; every candidate has a seed of its own, derived from this one.
    candidates   wanted, 1 … MOST_CANDIDATES: different from each other and from what stood there.
    strength     share of a hole's tokens that are masked, in (0, 1]. Below 1 the others stay visible, and each hole
                 keeps its number of tokens.
    weakest      the words that are masked are the least likely ones under the causal reading, not any. Without effect
                 where there is no such reading.
    quick        no more texts than are wanted are drawn, all from the left, and of `after` only the first token ranks
                 them, which costs no forward of its own. Without effect but for one hole at full strength, and where
                 there is no causal reading.
    """

    job: str
    system: str
    user: str
    before: str
    pieces: tuple[Piece, ...]
    after: str
    dial: Dial
    seed: int
    candidates: int
    strength: float = 1.0
    weakest: bool = False
    quick: bool = False

    def __post_init__(self) -> None:
        holes = [piece for piece in self.pieces if piece.text is None]
        if not holes:
            raise InvalidSetting("The passage has no hole; say which of its words are to be replaced.")
        if not 1 <= self.candidates <= MOST_CANDIDATES:
            raise InvalidSetting(f"{self.candidates} candidates are not possible; choose 1 to {MOST_CANDIDATES}.")
        if not 0.0 < self.strength <= 1.0:
            raise InvalidSetting(f"A strength of {self.strength} is not possible; choose a value above 0, at most 1.")
        if self.strength < 1.0 and not all(hole.was.strip() for hole in holes):
            raise InvalidSetting("Only words that stand there can be rewritten in part; choose a strength of 1.")


# ---------------------------------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Preparing:
    """The engine is not ready yet: one stage of getting there ("fetch", "convert", "compile", "load", "measure").

    done and total count bytes (fetch) or are both 0 where a stage has no measure.
    """

    stage: Literal["fetch", "convert", "compile", "load", "measure"]
    sentence: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class StopSpeed:
    """What one named stop costs on this machine.

    seconds_per_forward  of the network, sampling included.
    ending_seconds       for the tries at the last sentences, when a length is wanted.
    """

    stop: str
    seconds_per_forward: float
    ending_seconds: float


@dataclass(frozen=True, slots=True)
class Ready:
    """The engine can write.

    model         its id in the catalogue.
    tokenizer     path of its tokenizer.json: lets the desk count tokens without torch.
    context       tokens that fit its cache, prompt included.
    precision     of the weights: "bfloat16", "float16" or "float32"; with ", compiled" where kernels were compiled.
    threads       CPU threads in use.
    load_seconds  from process start to here, without the time a download took.
    speeds        one entry per named stop, from a short measurement when this machine first had the model.
    ending_tokens  about how many tokens of a section the ending writes.
    prefill_tokens_per_second  how fast it reads.
    """

    model: str
    tokenizer: str
    context: int
    precision: str
    threads: int
    load_seconds: float
    speeds: tuple[StopSpeed, ...]
    ending_tokens: int
    prefill_tokens_per_second: float


@dataclass(frozen=True, slots=True)
class Reading:
    """The prompt is being read into the cache: tokens done of total."""

    job: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot of the block being denoised: its text (None: still masked) and how sure the model is, 0 … 1."""

    text: str | None
    confidence: float


@dataclass(frozen=True, slots=True)
class BlockStep:
    """A picture of the active block after one denoising step. Dropping one loses nothing.

    phase  "denoise": slots of the block itself. "ending": one of several tries at the last sentences.
    """

    job: str
    block: int
    slots: tuple[Slot, ...]
    nfe: int
    tokens: int
    seconds: float
    phase: Literal["denoise", "ending"] = "denoise"


@dataclass(frozen=True, slots=True)
class BlockLocked:
    """The final text of one block. Concatenated after so_far, the texts of a job's blocks are the section.

    tokens   its token ids; text may lag them by an unfinished character, which the next block then begins with.
    nll      summed over its tokens, in nats, under the causal reading of the weights; None where there is none.
    seed     of this block alone.
    nfe      network forwards of this block, its commit included.
    seconds  this block took.
    """

    job: str
    block: int
    text: str
    tokens: tuple[int, ...]
    nll: float | None
    seed: int
    nfe: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The job is done. seconds: generation only, reading of the prompt included; the rest is counted over this job.

    reading_seconds, ending_seconds: of those, for the prompt and for the tries at the last sentences.

    reason  "length": the length target is met. "end": the model ended by itself. "budget": max_tokens or the context
            is used up. "part": a part of the text has ended, and an empty line stands behind it.
    """

    job: str
    reason: Literal["length", "end", "budget", "part"]
    tokens: int
    words: int
    seconds: float
    first_block_seconds: float
    nfe: int
    blocks: int
    reading_seconds: float = 0.0
    ending_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to fill the holes of a passage.

    texts     one for each hole, in order.
    nll       nats per token of the holes and of what is kept to the right of them (32 tokens at most), under the causal
              reading of the weights; None where there is none.
    sureness  of the tokens in the holes, 0 … 1: their probability under the causal reading; where there is none, under
              the law that they were drawn from.
    """

    texts: tuple[str, ...]
    nll: float | None
    sureness: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Filled:
    """The job is done: the candidates, best first; at least one, and fewer than wanted where the model found no more.

    nfe      network forwards, those that read the text before the first hole not counted.
    seconds  reading included.
    """

    job: str
    candidates: tuple[Candidate, ...]
    nfe: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """The job was stopped between two denoising steps; every locked block stays."""

    job: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A job (job None: the engine itself) could not go on; the sentence tells the writer why and what to do."""

    job: str | None
    sentence: str


JobEvent = Reading | BlockStep | BlockLocked | Finished | Filled | Stopped | Failed
Event = Preparing | Ready | JobEvent
