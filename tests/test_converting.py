"""The programs that convert get nothing but what they are given, and no more than their time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.converting import ConversionError, run_pandoc, run_typst
from app.environment import ROOT

JSON = b'{"pandoc-api-version":[1,23,1],"meta":{},"blocks":[]}'


def test_pandoc_opens_no_other_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    assert b"secret" not in run_pandoc(["--from=rst", "--to=plain"], f".. include:: {secret}".encode())
    made = run_pandoc(["--from=markdown", "--to=html", "--embed-resources", "--standalone"], f"![a]({secret})".encode())
    assert b"c2VjcmV0" not in made


def test_pandoc_does_not_look_into_the_users_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    templates = tmp_path / "pandoc" / "templates"
    templates.mkdir(parents=True)
    (templates / "default.plain").write_text("theirs", encoding="utf-8")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert b"theirs" not in run_pandoc(["--from=json", "--to=plain", "--standalone"], JSON)


@pytest.mark.parametrize(
    "source",
    ['#read("/etc/passwd")', '#read("../../etc/passwd")', '#image("/etc/hostname")', '#include "/etc/passwd"'],
)
def test_typst_opens_no_other_file(source: str) -> None:
    with pytest.raises(ConversionError, match=r"^The conversion did not work: .*\.$"):
        run_typst(source)


def test_a_conversion_has_a_time_limit() -> None:
    with pytest.raises(ConversionError, match=r"stopped after 0 seconds"):
        run_typst("#while true { }", seconds=0.01)
    with pytest.raises(ConversionError, match=r"stopped after 0 seconds"):
        run_pandoc(["--from=json", "--to=docx"], JSON, seconds=0.001)


def test_typst_says_which_letters_have_no_font() -> None:
    pdf, missing = run_typst("a \U000f0000 漢 \u0378", system_fonts=False)
    assert pdf.startswith(b"%PDF")
    assert missing == ["\u0378", "漢", "\U000f0000"]


def test_the_desk_starts_without_looking_for_either() -> None:
    ask = "import app.page, sys; print([name for name in ('pypandoc', 'typst') if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_a_missing_package_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.converting.find_spec", lambda name: None)
    with pytest.raises(ConversionError, match=r"typst.*\.$"):
        run_typst("")
    with pytest.raises(ConversionError, match=r"pypandoc-binary.*\.$"):
        run_pandoc([], b"")
