"""Which files hold the weights of a model folder: model.safetensors, or the parts that an index beside it names.

Standard library only.
"""

from __future__ import annotations

import json
from pathlib import Path

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"


class BadIndex(ValueError):
    """The index cannot be read, or names files that are no part of the folder; the message says which."""


def weight_files(folder: Path) -> list[Path]:
    """The files, in order; the whole one's name where there is no index. Raises BadIndex, OSError."""
    index = folder / INDEX
    if (folder / WHOLE).is_file() or not index.is_file():
        return [folder / WHOLE]
    try:
        names = sorted({str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadIndex(f"{index} cannot be read as an index of weights ({error}); fetch it again.") from error
    if lacking := [name for name in names if Path(name).name != name or not (folder / name).is_file()]:
        raise BadIndex(f"The folder {folder} lacks {', '.join(lacking)}, which {INDEX} names; fetch them again.")
    return [folder / name for name in names]
