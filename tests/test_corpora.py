"""Texts out of Debian packages: what each reader takes from its files, and what it leaves out."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.training import corpora
from model.training.corpora import AUSTEN, CORPORA, FOLDOC, fetch
from model.training.corpus_readers import DIGITS, dictionary, manual, novels, pages
from model.training.data import NoData
from tests.tiny_deb import make_deb


def written(number: int) -> str:
    """A number as the index of a dict dictionary has it."""
    letters = {value: letter for letter, value in DIGITS.items()}
    return (written(number // 64) if number >= 64 else "") + letters[number % 64]


def dict_files(articles: list[tuple[list[str], str]]) -> dict[str, bytes]:
    """A dictionary of (headwords, article)."""
    body, lines = b"", []
    for headwords, article in articles:
        data = article.encode()
        lines += [f"{word}\t{written(len(body))}\t{written(len(data))}\n" for word in headwords]
        body += data
    return {"./x.index": "".join(sorted(lines)).encode(), "./x.dict.dz": gzip.compress(body)}


def test_an_article_is_read_once_however_many_headwords_lead_to_it() -> None:
    files = dict_files(
        [
            (["00-database-info"], "Free to copy.\n"),
            (["tea", "a cup of tea"], "tea\n\n   <drink> Leaves in\n   hot {water}.\n\n   See {cup}.\n"),
            (["water"], "water\n\n   Wet – very.\n"),
        ]
    )
    assert dict(dictionary(files)) == {
        "tea": "tea\n\n<drink> Leaves in hot water.\n\nSee cup.\n",
        "water": "water\n\nWet – very.\n",
    }


@given(st.lists(st.text(st.characters(codec="utf-8", categories=["L", "P", "Zs"]), min_size=1), min_size=1))
def test_no_article_is_lost_or_cut(texts: list[str]) -> None:
    """However long: numbers of the index have as many digits as they need."""
    bodies = [f"head {number}\n\n{text * 50}" for number, text in enumerate(texts)]
    read = dict(dictionary(dict_files([([f"w{number}"], body) for number, body in enumerate(bodies)])))
    for number, body in enumerate(bodies):
        words = body.replace("{", "").replace("}", "").split()
        assert read[f"head {number}"].split() == words


def test_a_manual_begins_with_its_first_chapter_and_has_no_rules_under_its_titles() -> None:
    text = (
        "The Manual\n\n* 1. Scope\n\n1. Scope\n********\n\nThis manual\nsays.\n\n1.1. More\n=========\n\nMore.\n\n"
        "2. End\n******\n\nOver.\n"
    )
    assert dict(manual({"./m.txt.gz": gzip.compress(text.encode())})) == {
        "1. Scope": "1. Scope\n\nThis manual says.\n\n1.1. More\n\nMore.\n",
        "2. End": "2. End\n\nOver.\n",
    }


def test_a_page_is_its_visible_text_in_paragraphs() -> None:
    page = (
        "<html><head><title>T</title><style>p {}</style></head><body><h1>Why</h1>"
        "<p>One <b>bold</b>\nword &amp; more.</p>"
        "<ul><li>first<li>second</ul><script>no()</script>End</body></html>"
    )
    assert dict(pages({"./html/a.html": page.encode()})) == {
        "a.html": "Why\n\nOne bold word & more.\n\nfirst\n\nsecond\n\nEnd\n"
    }


def r_strings(lines: list[str]) -> bytes:
    """A character vector in R's format, compressed as its data bases are."""
    data = b"X\n" + struct.pack(">III", 3, 0, 0) + struct.pack(">I", 5) + b"UTF-8" + struct.pack(">II", 16, len(lines))
    for line in lines:
        data += struct.pack(">II", 0x40009, len(line.encode())) + line.encode()
    return struct.pack(">I", len(data)) + zlib.compress(data)


def test_novels_are_read_out_of_a_package(tmp_path: Path) -> None:
    data = r_strings(["EMMA", "", "She was", "clever."]) + r_strings(["PERSUASION", "", "Sir Walter –"])
    assert dict(novels({"./Rdata.rdb": data}))["Emma"] == "EMMA\n\nShe was clever.\n"
    package = make_deb(tmp_path, AUSTEN.package, {"./other": b"no", AUSTEN.member: data})
    assert AUSTEN.documents(package)["Persuasion"] == "PERSUASION\n\nSir Walter –\n"


def test_a_package_that_is_another_one_is_refused(tmp_path: Path) -> None:
    package = make_deb(tmp_path, "other", {"./readme": b"no"})
    with pytest.raises(NoData, match=r"other_1\.deb holds no \./usr/share/dictd/foldoc"):
        FOLDOC.documents(package)
    half = make_deb(tmp_path, "half", {"./usr/share/dictd/foldoc.index": b""})
    with pytest.raises(NoData, match="holds no dictionary"):
        FOLDOC.documents(half)


def test_a_package_that_is_there_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora.shutil, "which", lambda _: None)
    package = make_deb(tmp_path, FOLDOC.package, dict_files([(["a"], "a\n")]))
    assert fetch(FOLDOC, tmp_path) == package
    with pytest.raises(NoData, match="There is no apt-get here; put the Debian package dict-devil into"):
        fetch(replace(FOLDOC, package="dict-devil"), tmp_path)


def test_every_corpus_says_its_licence() -> None:
    for corpus in CORPORA.values():
        assert "licen" in corpus.licence.lower() or "public domain" in corpus.licence
