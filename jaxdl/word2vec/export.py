"""``jaxdl word2vec export``: vectors in the format that another tool reads, or a page of them."""

from pathlib import Path
from typing import Literal

from jaxdl.cli.progress import Bar
from jaxdl.files.results import Results
from jaxdl.files.text import visible
from jaxdl.word2vec import words_page
from jaxdl.word2vec.keyed_vectors import path_of
from jaxdl.word2vec.vectors import Vectors, load, save_binary, save_npz, save_text

Form = Literal["text", "binary", "npz", "projector", "page"]
NAMES: dict[Form, str] = {
    "text": "vectors.txt",
    "binary": "vectors.bin",
    "npz": "vectors.npz",
    "projector": "projector",
    "page": "words",
}
_SAVERS = {"text": save_text, "binary": save_binary, "npz": save_npz}


def export(run: Path, form: Form, out: Path | None) -> None:
    """Write vectors; earlier results of this command are replaced, no other file.

    Args:
        run: run folder, or a file of vectors in any format of `jaxdl.word2vec.vector_files`.
        form: of the result. The projector is TensorBoard's: a folder of vectors.tsv and
            metadata.tsv; the page, words.html in a folder, looks words up in a browser.
        out: where it goes; by default `NAMES` in the present folder.

    Raises:
        InputError: the vectors cannot be read, or the result has no place there.
        TrainingError: the disk is full.
    """
    place = Path(NAMES[form]) if out is None else out
    tsv = (place / "vectors.tsv", place / "metadata.tsv")
    given = path_of(run)
    results = Results("jaxdl word2vec export", [given])
    page = (place / words_page.FILE,)
    for path in {"projector": tsv, "page": page}.get(form, (place,)):
        results.check(path)
    if form == "page":
        words_page.export_page(given, *page, results.write, Bar().line)
        return
    found = load(given)
    if form == "projector":
        _write_projector(results, found, *tsv)
    else:
        _SAVERS[form](place, found, opened=results.file)
    count, width = found.table.shape
    Bar().line(f"{count:,} words of {width} numbers: {place}")


def _write_projector(results: Results, found: Vectors, vectors: Path, metadata: Path) -> None:
    """Numbers between tabs, and a word a line: a file of one column has no header."""
    with results.file(vectors) as file:
        for row in found.table:
            file.write(("\t".join(map(str, row)) + "\n").encode())
    with results.file(metadata) as file:
        for word in found.words:
            file.write((" ".join(visible(word).split()) + "\n").encode())
