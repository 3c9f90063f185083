"""The embedded text: written once, the same each time, prose without mark-up."""

import os
import re
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from jaxdl.errors import InputError
from jaxdl.word2vec.data import docstrings
from jaxdl.word2vec.data.docstrings import paragraphs, write_docstrings

DOCSTRING = """Return the *mean* of ``x``, see :func:`~numpy.mean` and
    :ref:`the guide <guide>` [1]_.

    Parameters
    ----------
    x : array_like, optional
        Values of which the mean is wanted;
        more than one of them.

    Of :math:`a^2` nothing stays, but of `these words <https://a.example/b>`_ they do.

    .. note:: hidden
        A note talks to its readers too.

    .. code-block:: python

        code = never_in_the_text(of_this)

        more_code_after_an_empty_line(of_this)

    Text after the block is read::

        literal = left_out(of_this, as_well)

    Too short.

    ===== =====
    one   two three four five
    ===== =====

    | row | row | row | row | row |

    Examples
    --------
    >>> print("output of examples is no prose")
    output of examples is no prose

    ```
    fenced code is not prose either
    ```
    """

PROSE = [
    "Return the mean of x, see numpy.mean and the guide .",
    "Values of which the mean is wanted; more than one of them.",
    "Of nothing stays, but of these words they do.",
    "A note talks to its readers too.",
    "Text after the block is read::",
]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text of three packages: all of them take 10 s."""
    with pytest.MonkeyPatch.context() as patch:
        some = {name: docstrings.PACKAGES[name] for name in ("numpy", "optax", "rich")}
        patch.setattr(docstrings, "PACKAGES", some)
        patch.setattr(docstrings.sysconfig, "get_paths", lambda: {"stdlib": str(Path(re.__file__))})
        seen: list[tuple[int, int]] = []
        folder = tmp_path_factory.mktemp("docstrings")
        path = write_docstrings(folder / "text", lambda done, files: seen.append((done, files)))
        files = seen[0][1]
        assert seen == sorted(seen)
        assert (len(seen), seen[-1]) == (files, (files, files))
        stat = path.stat()
        assert write_docstrings(path, lambda *done: pytest.fail("read again")) == path
        assert path.stat() == stat
        again = write_docstrings(folder / "again")
        assert again.read_bytes() == path.read_bytes()
    assert sorted(p.name for p in folder.iterdir()) == [
        "again",
        "again.json",
        "text",
        "text.json",
    ]
    return path


def test_mark_up_goes_and_prose_stays():
    assert list(paragraphs(DOCSTRING)) == PROSE


def test_empty_docstrings_have_no_paragraph():
    assert not [*paragraphs(""), *paragraphs(" \n\n ")]


@pytest.mark.slow
def test_the_text_is_prose_a_paragraph_a_line(text: Path):
    lines = text.read_text(encoding="utf-8").split("\n")
    assert lines.pop() == ""
    assert len(lines) == len(set(lines)) > 5_000  # of the packages that there are
    assert not [line for line in lines if line != " ".join(line.split()) or ">>>" in line]
    words = sum(len(line.split()) for line in lines)
    assert words > 100_000
    # One stands in its function, one is given to a method by add_newdoc.
    flat = " ".join(" ".join(lines).split())
    assert "Compute the arithmetic mean along the specified axis." in flat
    assert "Sort an array in-place." in flat


def test_only_docstrings_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text('"""Nobody reads the text of tests here."""')
    (tmp_path / "bad.py").write_text("def broken(:\n")
    (tmp_path / "null.py").write_bytes(b"x = 0\0")
    (tmp_path / "latin.py").write_bytes(
        b'# coding: latin-1\n"""Its declared encoding is \xe9 and no other."""'
    )
    (tmp_path / "code.py").write_text(
        '"""The module speaks first, before others."""\n'
        's = """this is a string and no docstring"""\n'
        '"""And this one stands alone in the code."""\n'
        'pattern = "\\d"\n'  # SyntaxWarning
        "if s:\n"
        "    class A:\n"
        '        """The class inside of an if speaks."""\n'
        "        async def f(self):\n"
        '            """The method of the class speaks too."""\n'
        "try:\n    pass\nexcept ValueError:\n"
        '    def g():\n        """A function in a handler speaks last."""\n'
        'add_newdoc("m", "f", """Given to a function by its name, later.""")\n'
        'add_newdoc("m", "A", ("f", """Given to a method by its name."""))\n'
        "raise SystemExit('this code must not be run')\n"
    )
    (tmp_path / "later.py").write_text('"""The module speaks first, before others."""\n')
    monkeypatch.setattr(docstrings, "PACKAGES", {"no_such_package_here": "no-such-package-here"})
    monkeypatch.setattr(docstrings.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    path = write_docstrings(tmp_path / "out" / "text")
    assert path.read_text(encoding="utf-8").splitlines() == [
        "The module speaks first, before others.",
        "The class inside of an if speaks.",
        "The method of the class speaks too.",
        "A function in a handler speaks last.",
        "Given to a function by its name, later.",
        "Given to a method by its name.",
        "Its declared encoding is é and no other.",
    ]
    note = docstrings.json.loads((tmp_path / "out" / "text.json").read_text())
    assert {k: note[k] for k in ("files", "unparsed", "paragraphs", "words")} == {
        "files": 5,
        "unparsed": 2,
        "paragraphs": 7,
        "words": 50,
    }

    # Another version, another text: written again. So is a text that was cut or was never finished.
    (tmp_path / "bad.py").write_text('"""Now it parses, and it speaks."""')
    monkeypatch.setattr(docstrings.platform, "python_version", lambda: "3.99")
    assert "Now it parses" in write_docstrings(path).read_text(encoding="utf-8")
    for damage in (lambda: path.write_text("cut"), path.unlink, lambda: spoil(path)):
        damage()
        assert "Now it parses" in write_docstrings(path).read_text(encoding="utf-8")

    def stop(done: int, files: int) -> None:
        raise KeyboardInterrupt

    spoil(path)
    with pytest.raises(KeyboardInterrupt):
        write_docstrings(path, stop)
    assert sorted((tmp_path / "out").iterdir()) == [path, note_of(path)]
    assert note_of(path).read_text() == "{}"


def gone(pipe: Connection, files: list[Path]) -> None:
    """A process that ends as one that the kernel killed: it sends two files of its share."""
    for file in files[:2]:
        pipe.send(docstrings._read(file))
    os._exit(9)


@pytest.mark.parametrize("send", [docstrings._send, gone])
def test_two_processes_read_what_one_reads(
    send: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files = [tmp_path / f"{n:02}.py" for n in range(40)]
    for n, file in enumerate(files):
        file.write_text(f'"""The file of number {n} has this to say."""\n' if n % 7 else "def (")
    files.append(tmp_path / "no file")
    alone = list(docstrings._read_all(files))
    assert [done for _, done in alone] == list(range(1, 42))
    monkeypatch.setattr(docstrings, "_MANY", 0)
    monkeypatch.setattr(docstrings, "_send", send)
    shared = list(docstrings._read_all(files))
    assert [texts for texts, _ in shared] == [texts for texts, _ in alone]
    counts = [done for _, done in shared]
    assert counts == sorted(counts)
    assert counts[-1] == 41


def note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def spoil(path: Path) -> None:
    """The note says that the text is ours, and nothing else."""
    note_of(path).write_text("{}")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"^\S*file: cannot be written \(File exists\)[^\n]*$"):
        write_docstrings(tmp_path / "file" / "text")


def test_a_text_of_another_is_not_replaced(tmp_path: Path):
    path = tmp_path / "docstrings.txt"
    path.write_text("mine")
    with pytest.raises(InputError, match=r"docstrings\.txt: is no text of ours; move it away"):
        write_docstrings(path)
    assert path.read_text() == "mine"
