"""About 15 million words of English from Debian's packages, to measure word2vec on.

    make english-text

The packages are fetched with apt-get and read where they lie; nothing is installed. The text is for
measuring alone: its parts have licences of their own, so that it is not to be passed on.
"""

import gzip
import hashlib
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import tyro

from jaxdl.cli.command import main
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.files.atomic import check_output, whole_file

# Tags that do not end a line, and tags whose text is none.
_INLINE = {
    *("a", "abbr", "b", "cite", "code", "em", "i", "kbd", "q", "small", "span", "strong"),
    *("sub", "sup", "tt", "u", "var"),
}
_SILENT = {"head", "script", "style", "nav", "pre", "table"}


class _Paragraphs(HTMLParser):
    """The text of a page, a line for each of its blocks; no code, tables or menus."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._line: list[str] = []
        self._silent = 0

    def _end(self) -> None:
        self.lines.append("".join(self._line))
        self._line = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._silent += tag in _SILENT
        if tag not in _INLINE:
            self._end()

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in _SILENT))
        if tag not in _INLINE:
            self._end()

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._line.append(data)


def _html(data: bytes) -> list[str]:
    page = _Paragraphs()
    page.feed(data.decode(errors="replace"))
    page.close()
    return [*page.lines, "".join(page._line)]


def _paragraphs(data: bytes, between: str = r"\n\s*\n") -> list[str]:
    return re.split(between, data.decode(errors="replace"))


def _fortunes(data: bytes) -> list[str]:
    return _paragraphs(data, r"\n%\n")


def _dictionary(data: bytes) -> list[str]:
    """An entry's head is not indented, its paragraphs are."""
    return _paragraphs(gzip.decompress(data), r"\n(?=\S)|\n\s*\n")


def _glosses(data: bytes) -> list[str]:
    """WordNet: what each synset means, behind the bar."""
    return [line.split(" | ", 1)[1] for line in data.decode().splitlines() if " | " in line]


# Package -> which of its files, and how they are read.
PACKAGES: dict[str, tuple[str, Callable[[bytes], list[str]]]] = {
    "dict-gcide": (r"gcide\.dict\.dz", _dictionary),
    "wordnet-base": (r"wordnet/data\.\w+", _glosses),
    "fortunes": (r"games/fortunes/[\w-]+", _fortunes),
    "fortunes-min": (r"games/fortunes/[\w-]+", _fortunes),
    "anarchism": (r"/html/\w+\.html", _html),
    "linux-doc-6.1": (r"/html/(?!genindex|search).*\.html", _html),
    "python3.11-doc": (r"/html/(?!genindex|search|whatsnew/changelog).*\.html", _html),
    "debian-handbook": (r"/html/en-US/.*\.html", _html),
    "debian-reference-en": (r"/.*\.en\.html", _html),
    "postgresql-doc-15": (r"/html/.*\.html", _html),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """About 15 million words of English from Debian's packages."""

    out: Path = Path("data/english.txt")
    """The text is written here, a paragraph a line, in an order of seed 0."""


def _files(package: Path, wanted: str) -> Iterator[bytes]:
    """The contents of a package's files, in the order of their names."""
    with tempfile.TemporaryFile() as space:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=space, check=True)
        space.seek(0)
        with tarfile.open(fileobj=space) as archive:
            members = [m for m in archive.getmembers() if m.isfile() and re.search(wanted, m.name)]
            for member in sorted(members, key=lambda m: m.name):
                if re.search(wanted + "$", member.name) and (file := archive.extractfile(member)):
                    yield file.read()


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """Without blanks around, and nothing of fewer than three words."""
    for text in texts:
        words = text.split()
        if len(words) > 2:
            yield " ".join(words)


def run(config: Config) -> None:
    """Fetch, read, shuffle, write; says what each package gave, and the text's sha256."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise InputError(f"{tool}: is not here; the text is made on Debian, from its packages")
    check_output(config.out)
    bar, lines = Bar(), list[str]()
    with tempfile.TemporaryDirectory(prefix="jaxdl-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # for apt's own user
        done = subprocess.run(
            ["apt-get", "download", *PACKAGES], cwd=folder, capture_output=True, text=True
        )
        if done.returncode:
            told = " ".join(done.stderr.split())[-300:]
            raise InputError(f"apt-get download: {told}; run apt-get update as root and try again")
        for package, (wanted, read) in PACKAGES.items():
            (file,) = folder.glob(f"{package}_*.deb")
            found = [line for data in _files(file, wanted) for line in _lines(read(data))]
            words = sum(line.count(" ") + 1 for line in found)
            bar.line(f"{file.name}: {words:,} words in {len(found):,} lines")
            lines += found
    # A paragraph that many pages repeat would be learnt by heart.
    lines = [*dict.fromkeys(lines)]
    np.random.default_rng(0).shuffle(lines)
    data = "".join(f"{line}\n" for line in lines).encode()
    config.out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(config.out) as file:
        file.write(data)
    words = sum(line.count(" ") + 1 for line in lines)
    bar.line(f"{config.out}: {words:,} words in {len(lines):,} lines")
    bar.line(f"sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main(lambda: run(tyro.cli(Config, prog="python -m benchmarks.word2vec.english_text")))
