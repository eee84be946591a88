"""`python -m model.training.demo lab/demo.toml`: the paper's order of block sizes, on a real text, in half an hour.

One network with blocks as long as the row, then one for each block size from its weights, each with the interval of
noise levels that its own search chose. Writes a table with standard errors (table.md, results.json), and each stage's
log. A stage that is done is not done again; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.backbones import published
from model.backbones.dit import DiT
from model.noise import ClippedInterval
from model.training import checkpoint, clipping, log
from model.training.clipping import FULL, Search
from model.training.corpora import AUSTEN, Corpus, fetch
from model.training.data import NoData, Source, open_rows, tokenise
from model.training.likelihood import Likelihood, differ, measure
from model.training.objectives import all_but_first
from model.training.settings import InvalidSetting, Settings, checked
from model.training.systems.base import System
from model.training.systems.choice import system_for
from model.training.train import PROBLEMS, Run
from model.training.vocabulary import Vocabulary, open_vocabulary, train_vocabulary

CORPORA: dict[str, Corpus] = {"austen": AUSTEN}

WHOLE = "whole"
"""Name of the first stage."""

SEED = 1000
"""Of the final measurements; no search has seen its noise."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared: settings of the stages, by name, in order; the text; and how it is measured."""

    corpus: Corpus
    held_out: tuple[str, ...]
    tokens: int
    block_sizes: tuple[int, ...]
    draws: int
    rounds: int
    shared: Mapping[str, Any]
    pretrain: Mapping[str, Any]
    finetune: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Raises InvalidSetting, OSError."""
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
            parts = [checked(found[name], f"{path}, [{name}]") for name in ("shared", "pretrain", "finetune")]
            return cls(
                CORPORA[found["corpus"]],
                tuple(found["validation"]),
                int(found["vocabulary"]),
                tuple(found["block_sizes"]),
                int(found["draws"]),
                int(found["rounds"]),
                *parts,
            )
        except tomllib.TOMLDecodeError as error:
            raise InvalidSetting(f"{path} is not TOML ({error}).") from error
        except KeyError as error:
            raise InvalidSetting(f"{path} lacks, or does not know, {error}.") from error

    def stages(self, out: Path) -> dict[str, Settings]:
        """The whole row first, then each block size from its weights."""
        text = out / "text"
        common = {
            **self.shared,
            "data": (str(text / "train.jsonl"),),
            "validation": (str(text / "validation.jsonl"),),
            "tokenizer": str(text / "tokenizer.json"),
        }
        whole = Settings(**{**common, **self.pretrain, "out": str(out / WHOLE), "block_size": common["length"]})
        blocks = {
            f"block{size}": Settings(
                **{**common, **self.finetune, "out": str(out / f"block{size}"), "start": whole.out, "block_size": size}
            )
            for size in self.block_sizes
        }
        return {WHOLE: whole, **blocks}


def prepare(plan: Plan, out: Path) -> None:
    """Fetches the text, keeps the validation documents apart, and learns the tokenizer from the others."""
    text = out / "text"
    if (text / "tokenizer.json").exists():
        return
    text.mkdir(parents=True, exist_ok=True)
    documents = plan.corpus.documents(fetch(plan.corpus, text))
    if absent := set(plan.held_out) - set(documents):
        raise NoData(f"The corpus has no document {', '.join(sorted(absent))}; it has {', '.join(documents)}.")
    train = {title: words for title, words in documents.items() if title not in plan.held_out}
    for name, titles in (("train", train), ("validation", plan.held_out)):
        lines = "".join(json.dumps({"title": title, "text": documents[title]}) + "\n" for title in titles)
        (text / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    train_vocabulary(train.values(), plan.tokens).save(text)


@dataclass(frozen=True, slots=True)
class Result:
    """One stage on all validation rows. variances: the whole range and the chosen interval; None: one block."""

    block_size: int
    steps: int
    seconds: float
    likelihood: Likelihood
    variances: Search | None


def measured(settings: Settings, plan: Plan) -> Result:
    """Bound and variances of a stage that is done."""
    folder = checkpoint.newest(Path(settings.out))
    assert folder is not None
    facts = json.loads((folder / checkpoint.STATE).read_text(encoding="utf-8"))
    found = published.load(folder)
    network, system = found.network.eval(), system_for(found.network.config)
    rows = _validation_rows(settings, open_vocabulary(settings.tokenizer))
    likelihood = measure(
        lambda some, counted, draws: system.bound(network, some, counted, draws),
        rows,
        all_but_first(rows),
        batch=settings.micro_batch,
        draws=plan.draws,
        seed=SEED,
    )
    chosen = ClippedInterval(*facts["interval"])
    whole = settings.block_size == settings.length
    variances = (
        None if whole else _variances(system, network, rows.repeat(plan.rounds, 1), chosen, settings.micro_batch)
    )
    return Result(settings.block_size, facts["step"], facts["seconds"], likelihood, variances)


def _variances(system: System, network: DiT, rows: Tensor, chosen: ClippedInterval, batch: int) -> Search:
    return clipping.search(
        system, lambda part: system.loss(network, part), rows, batch=batch, seed=SEED, intervals=(FULL, chosen)
    )


def _validation_rows(settings: Settings, vocabulary: Vocabulary) -> Tensor:
    cache = Path(settings.out).parent / "tokens"
    rows = open_rows(tokenise(Source(settings.validation), vocabulary, cache, quiet=True), vocabulary, settings.length)
    return rows.batch(range(len(rows)))


def as_json(results: Sequence[Result], plan: Plan, parameters: int) -> dict[str, Any]:
    """Everything the table says, and what the numbers depend on."""
    stages = []
    for before, result in zip([None, *results], results, strict=False):
        like = result.likelihood
        stage: dict[str, Any] = {
            "block_size": result.block_size,
            "steps": result.steps,
            "minutes": result.seconds / 60,
            "nats": like.mean,
            "nats_error": like.error,
            "perplexity": like.perplexity,
            "perplexity_error": like.perplexity_error,
            "tokens": int(like.tokens.sum()),
            "rows": len(like.tokens),
        }
        if before is not None:
            stage["fall"], stage["fall_error"] = fall(before.likelihood, like)
        if found := result.variances:
            full, chosen = found.measures
            gain, gain_error = differ(full.variances, chosen.variances)
            stage |= {
                "interval": [chosen.interval.low, chosen.interval.high],
                "variance_full": full.variance,
                "variance_full_error": full.variance_error,
                "variance": chosen.variance,
                "variance_error": chosen.variance_error,
                "gain": gain,
                "gain_error": gain_error,
            }
        stages.append(stage)
    return {
        "corpus": plan.corpus.package,
        "licence": plan.corpus.licence,
        "held_out": list(plan.held_out),
        "parameters": parameters,
        "machine": f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "minutes": sum(result.seconds for result in results) / 60,
        "stages": stages,
    }


def fall(before: Likelihood, after: Likelihood) -> tuple[float, float]:
    """By how many nats per token the bound falls on the same rows, and the standard error of that."""
    fallen = Likelihood(before.nats - after.nats, after.tokens)
    return fallen.mean, fallen.error


def table(results: Mapping[str, Any], command: str) -> str:
    """The results as Markdown."""
    stages = results["stages"]
    lines = [
        "# Block sizes on one text",
        "",
        f"`{command}`: {results['minutes']:.0f} minutes of training on {results['machine']}.",
        "",
        f"Text: the Debian package {results['corpus']}, without {', '.join(results['held_out'])}, on which everything "
        f"below is measured ({stages[0]['tokens']} tokens in {stages[0]['rows']} rows). {results['licence']} Network: "
        f"{results['parameters'] / 1e6:.1f}M parameters.",
        "",
        "The NELBO is in nats per token, over the whole range of noise levels; blocks of one token have the exact "
        "likelihood. *Falls by* compares with the row above on the same rows of text. ± is one standard error.",
        "",
        "| block size | steps | minutes | NELBO | falls by | perplexity |",
        "|---|---|---|---|---|---|",
    ]
    for stage in stages:
        falls = f"{stage['fall']:.4f} ± {stage['fall_error']:.4f}" if "fall" in stage else ""
        lines.append(
            f"| {stage['block_size']} | {stage['steps']} | {stage['minutes']:.1f} "
            f"| {stage['nats']:.4f} ± {stage['nats_error']:.4f} | {falls} "
            f"| {'≤' if stage['block_size'] > 1 else '='} {stage['perplexity']:.2f} "
            f"± {stage['perplexity_error']:.2f} |"
        )
    lines += [
        "",
        "Variance of the mean loss of a block, for noise levels from the whole range and from the interval that the "
        "search chose; the same rows and random numbers for both, and none that the search had.",
        "",
        "| block size | interval | variance over U[0, 1] | variance over the interval | less by |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {stage['block_size']} | U[{stage['interval'][0]:g}, {stage['interval'][1]:g}] "
        f"| {stage['variance_full']:.3f} ± {stage['variance_full_error']:.3f} "
        f"| {stage['variance']:.3f} ± {stage['variance_error']:.3f} "
        f"| {stage['gain']:.3f} ± {stage['gain_error']:.3f} |"
        for stage in stages
        if "interval" in stage
    ]
    return "\n".join(lines) + "\n"


def demonstrate(plan: Plan, out: Path, command: str, *, quiet: bool = False) -> dict[str, Any]:
    """Trains what is not trained yet, measures all of it, writes table.md, results.json and the logs' copies."""
    prepare(plan, out)
    stages = plan.stages(out)
    for settings in stages.values():
        Run(settings, quiet=quiet).train()
    results = [measured(settings, plan) for settings in stages.values()]
    last = checkpoint.newest(out / WHOLE)
    assert last is not None
    parameters = sum(parameter.numel() for parameter in published.load(last).network.parameters())
    told = as_json(results, plan, parameters)
    (out / "results.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    (out / "table.md").write_text(table(told, command), encoding="utf-8")
    for name in stages:
        for file in (log.FILE, log.PLOT):
            shutil.copyfile(out / name / file, out / f"{name}.{file}")
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table. 0: done. 1: stopped by what the last line says."""
    parser = argparse.ArgumentParser(prog="python -m model.training.demo", description=__doc__)
    parser.add_argument("plan", type=Path, metavar="PLAN", help="TOML file, such as lab/demo.toml")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of the runs (default: runs/demo)")
    given = parser.parse_args(arguments)
    try:
        told = demonstrate(Plan.read(given.plan), given.out, f"python -m model.training.demo {given.plan}")
    except PROBLEMS as problem:
        print(problem, file=sys.stderr)
        return 1
    print(table(told, f"python -m model.training.demo {given.plan}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
