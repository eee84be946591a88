"""Real texts that come in Debian packages, so that anybody can train on the same words: where, and under which licence.

A package is read as an archive and nothing in it is run. Knows nothing of tokens.
"""

from __future__ import annotations

import io
import lzma
import shutil
import struct
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from model.training.data import NoData


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents in a file of a Debian package. read: from that file's bytes to (title, text), in order."""

    package: str
    member: str
    licence: str
    read: Callable[[bytes], Iterator[tuple[str, str]]]

    def documents(self, package: Path) -> dict[str, str]:
        """Text by title, from a package file. Raises NoData where it is not that package."""
        return dict(self.read(_member(package, self.member)))


def fetch(corpus: Corpus, folder: Path) -> Path:
    """The package file, downloaded into the folder by apt where it is not there yet. Nothing is installed.

    Raises NoData where apt is missing or cannot reach the package.
    """
    found = sorted(folder.glob(f"{corpus.package}_*.deb"))
    if found:
        return found[-1]
    apt = shutil.which("apt-get")
    if apt is None:
        raise NoData(
            f"There is no apt-get here; put the Debian package {corpus.package} into {folder} and start again."
        )
    folder.mkdir(parents=True, exist_ok=True)
    said = subprocess.run([apt, "download", corpus.package], cwd=folder, capture_output=True, text=True, check=False)
    found = sorted(folder.glob(f"{corpus.package}_*.deb"))
    if said.returncode or not found:
        reason = (said.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NoData(f"apt-get could not download {corpus.package} ({reason}); run apt-get update and try again.")
    return found[-1]


def _member(package: Path, name: str) -> bytes:
    """One file of a .deb: an ar archive with a tar archive, data.tar.xz, in it."""
    raw, at = package.read_bytes(), 8
    while at < len(raw):
        size = int(raw[at + 48 : at + 58])
        if raw[at : at + 16].startswith(b"data.tar"):
            with tarfile.open(fileobj=io.BytesIO(raw[at + 60 : at + 60 + size])) as files:
                if name in files.getnames() and (file := files.extractfile(name)):
                    return file.read()
        at += 60 + size + size % 2
    raise NoData(f"{package} holds no {name}; it is another package, or another version of it.")


def _novels(data: bytes) -> Iterator[tuple[str, str]]:
    """Every character vector of an R data base, its lines joined to paragraphs; the first line is the title."""
    at = 0
    while at < len(data):
        unpack = zlib.decompressobj() if data[at + 4] == ord("x") else lzma.LZMADecompressor()
        whole = unpack.decompress(data[at + 4 + (data[at + 4] == ord("Z")) :])
        at = len(data) - len(unpack.unused_data)
        lines = list(_strings(whole))
        yield lines[0].strip().title(), _paragraphs(lines)


def _strings(values: bytes) -> Iterator[str]:
    """The strings of an R character vector in R's XDR format, version 3: a header, then length and bytes of each."""
    encoding = struct.unpack(">I", values[14:18])[0]
    at = 18 + encoding
    kind, count = struct.unpack(">II", values[at : at + 8])
    if kind & 0xFF != 16:
        raise NoData("The package holds R data of another kind than text; it is another version of it.")
    at += 8
    for _ in range(count):
        size = struct.unpack(">I", values[at + 4 : at + 8])[0]
        yield values[at + 8 : at + 8 + size].decode("utf-8")
        at += 8 + size


def _paragraphs(lines: list[str]) -> str:
    text = "\n".join(line.rstrip() for line in lines)
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n") if part.strip()) + "\n"


AUSTEN = Corpus(
    package="r-cran-janeaustenr",
    member="./usr/lib/R/site-library/janeaustenr/data/Rdata.rdb",
    licence="Jane Austen's six novels (1811-1818) are in the public domain; the package is under the MIT licence.",
    read=_novels,
)
"""3.9 million characters of prose in six documents. Fiction, one author, one period: perplexities are low."""
