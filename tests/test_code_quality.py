"""The tools that read the code find nothing to say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from app.environment import ROOT


@pytest.mark.parametrize(
    "arguments",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),  # strict, and which files: pyproject.toml
    ],
    ids=" ".join,
)
def test_tool_finds_nothing(arguments: tuple[str, ...]) -> None:
    said = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
