"""The one command: what a Python of any age is told, and how .venv is made, kept, repaired and entered.

Real virtual environments and a real pip; what they install is a wheel made here, so nothing is fetched.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from app import environment
from app.environment import ROOT, EnvironmentProblem, Requirement, make_environment, missing, read_requirements
from tests.__main__ import need_browser


def make_wheel(folder: Path, version: str) -> Path:
    """A package `galley_probe` with nothing in it but its version."""
    folder.mkdir(exist_ok=True)
    info = f"galley_probe-{version}.dist-info"
    wheel = folder / f"galley_probe-{version}-py3-none-any.whl"
    files = {
        "galley_probe.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: galley-probe\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: galley\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place pip finds anything in."""
    folder = tmp_path / "wheels"
    make_wheel(folder, "1.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def version_in(python: Path) -> str:
    question = [str(python), "-c", "import galley_probe; print(galley_probe.VERSION)"]
    return subprocess.run(question, capture_output=True, text=True, check=True).stdout.strip()


def test_an_old_python_is_told_what_is_needed() -> None:
    pretend = "import sys, runpy; sys.version_info = (3, 10, 1); runpy.run_path('run.py', run_name='__main__')"
    told = subprocess.run([sys.executable, "-c", pretend], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert told.stderr.startswith("Galley needs Python 3.11 or newer")
    assert told.stderr.count("\n") == 1


def test_run_py_can_be_read_by_a_python_of_any_age() -> None:
    source = (ROOT / "run.py").read_text(encoding="ascii")
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Match, ast.Starred, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        assert not isinstance(node, newer), f"line {getattr(node, 'lineno', '?')}"
        if isinstance(node, ast.FunctionDef):
            assert node.returns is None


def test_importing_run_py_does_nothing() -> None:
    """The model process imports it under another name."""
    ask = "import run, sys; print(sorted(m for m in sys.modules if m.split('.')[0] in ('app', 'gradio', 'torch')))"
    said = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_every_requirement_is_pinned_and_here() -> None:
    requirements = read_requirements(ROOT / "requirements-dev.txt")
    lines = [
        line
        for file in ("requirements.txt", "requirements-train.txt", "requirements-dev.txt")
        for line in (ROOT / file).read_text(encoding="utf-8").splitlines()
        if line and not line.startswith(("#", "-r"))
    ]
    assert len(requirements) == len(lines)
    assert Requirement("torch", "2.13.0") in requirements
    assert missing(requirements) == []


def test_absent_and_older_packages_are_missing_and_newer_ones_are_not() -> None:
    here = metadata.version("pytest")
    assert missing([Requirement("pytest", here), Requirement("pytest", "0.1")]) == []
    assert missing([Requirement("galley-nowhere", "1.0")]) == ["galley-nowhere"]
    assert here in missing([Requirement("pytest", "9999.0")])[0]


def test_a_space_starts_in_the_environment_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "someone/galley")
    environment.enter("no such file", [])


def test_an_environment_is_made_once_kept_and_repaired(
    tmp_path: Path, wheels: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    requirements, folder = tmp_path / "requirements.txt", tmp_path / "env"
    requirements.write_text("galley-probe==1.0\n", encoding="utf-8")

    python = make_environment(requirements, folder, ["galley-probe"])
    assert version_in(python) == "1.0"
    said = capfd.readouterr()
    assert ("galley-probe" in said.err, said.out) == (True, ""), "pip is seen, and stdout is what the program answers"

    assert make_environment(requirements, folder) == python
    assert capfd.readouterr() == ("", ""), "the next start runs nothing"

    # A start that broke off while packages were installed: no stamp, and half of one package.
    (folder / "requirements.installed").unlink()
    (next(folder.rglob("galley_probe.py"))).unlink()
    shutil.rmtree(next(folder.rglob("galley_probe-1.0.dist-info")))
    assert version_in(make_environment(requirements, folder)) == "1.0"

    # A newer Galley asks for a newer package, and there is no way to get it.
    requirements.write_text("galley-probe==2.0\n", encoding="utf-8")
    with pytest.raises(EnvironmentProblem, match=r"offline, connect it .* the same command again\.$"):
        make_environment(requirements, folder)
    make_wheel(wheels, "2.0")
    assert version_in(make_environment(requirements, folder)) == "2.0"

    # The Python it was made with is gone.
    python.unlink()
    assert version_in(make_environment(requirements, folder)) == "2.0"


def test_another_build_of_the_same_version_is_kept(tmp_path: Path, wheels: Path) -> None:
    requirements, folder = tmp_path / "requirements.txt", tmp_path / "env"
    requirements.write_text("# torch in real life\ngalley-probe==1.0\n", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    subprocess.run([str(python), "-m", "pip", "install", "-q", str(make_wheel(wheels, "1.0+gpu"))], check=True)
    assert version_in(make_environment(requirements, folder)) == "1.0+gpu"


def test_a_python_without_venv_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    (tmp_path / "requirements.txt").write_text("galley-probe==1.0\n", encoding="utf-8")
    with pytest.raises(EnvironmentProblem, match="python3-venv"):
        make_environment(tmp_path / "requirements.txt", tmp_path / "env")
    assert not (tmp_path / "env").exists()


def test_run_py_goes_on_inside_the_environment_with_all_arguments(tmp_path: Path, wheels: Path) -> None:
    """A copy of the project whose one requirement is the wheel and whose desk only says where it runs."""
    for file in ("run.py", "app/__init__.py", "app/environment.py", "app/settings.py", "model/__init__.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "model" / "backbones").mkdir()
    for file in ("contract.py", "catalog.py", "backbones/__init__.py", "backbones/dit_config.py"):
        shutil.copy(ROOT / "model" / file, tmp_path / "model" / file)
    (tmp_path / "requirements.txt").write_text("galley-probe==1.0\n", encoding="utf-8")
    (tmp_path / "app" / "launch.py").write_text(
        "import sys\ndef launch(settings):\n    print(sys.prefix, settings.port)\n    return 3\n", encoding="utf-8"
    )
    command = [sys.executable, "run.py", "--port", "4321"]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (first.returncode, first.stdout.splitlines()[-1]) == (3, f"{tmp_path / '.venv'} 4321"), first.stderr
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (second.returncode, second.stdout, second.stderr) == (3, f"{tmp_path / '.venv'} 4321\n", "")


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        ([], True),
        (["-x"], True),
        (["tests"], True),
        (["tests/browser"], True),
        (["tests/test_run.py"], False),
        (["tests/test_run.py::test_importing_run_py_does_nothing", "-x"], False),
        (["--ignore=tests/browser"], False),
    ],
)
def test_chromium_is_seen_to_where_the_pages_tests_would_run(arguments: list[str], needed: bool) -> None:
    assert need_browser(arguments) is needed


@pytest.mark.skipif(os.name == "nt", reason="apt-get is a Unix program")
@pytest.mark.parametrize("apt_brings_it", [True, False])
def test_chromium_comes_from_apt_get_or_one_sentence_says_what_to_do(tmp_path: Path, apt_brings_it: bool) -> None:
    """A machine with nothing on its PATH but these programs."""
    programs = {
        "sudo": '#!/bin/sh\nshift\nexec "$@"\n',
        "true": "#!/bin/sh\n",
        "apt-get": '#!/bin/sh\n[ "$1" = update ] || { : > "$HOME/bin/chromium"; /bin/chmod +x "$HOME/bin/chromium"; }\n'
        if apt_brings_it
        else "#!/bin/sh\nexit 100\n",
    }
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text, encoding="ascii")
        (tmp_path / "bin" / name).chmod(0o755)
    ask = "from tests.chromium import *\ntry: print(see_to_it())\nexcept NoChromium as problem: print(problem)"
    bare = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, env=bare, capture_output=True, text=True, check=True)
    answer = said.stdout.splitlines()[-1]
    if apt_brings_it:
        assert answer == str(tmp_path / "bin" / "chromium")
    else:
        assert "--ignore=tests/browser" in answer
