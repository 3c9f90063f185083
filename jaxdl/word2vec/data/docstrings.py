"""The embedded text: docstrings of the standard library and of packages that jaxdl installs.

Read with `ast` from the source files, so that nothing is imported. About 1.6 million words, with
no download. The same versions give the same bytes; no other source of English is on each machine.
"""

import ast
import contextlib
import gc
import hashlib
import importlib.metadata
import importlib.util
import inspect
import json
import os
import platform
import re
import sysconfig
import warnings
from collections.abc import Callable, Generator, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from jaxdl.errors import InputError, writing
from jaxdl.files.atomic import check_output, write_bytes, write_json
from jaxdl.files.locks import one_at_a_time

# Import name -> distribution, of jaxdl's dependencies that have much to say.
PACKAGES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "jax": "jax",
    "flax": "flax",
    "optax": "optax",
    "matplotlib": "matplotlib",
    "orbax": "orbax-checkpoint",
    "grain": "grain",
    "PIL": "pillow",
    "rich": "rich",
    "tensorflow_datasets": "tensorflow-datasets",
}

_FORMAT = 1  # raise it when the cleaning changes: an older text is then written again
_SKIP = frozenset(  # folders: tests, and what is no part of the package
    ("test", "tests", "testing", "_test", "idlelib", "lib2to3", "site-packages", "dist-packages")
)
_MANY = 1000  # files, from which on two processes read them
_SHORTEST = 4  # words in a paragraph; shorter ones are labels

_WORD = re.compile(r"[^\W\d_]{2,}")
_RULE = re.compile(r"\s*([-=~^*#+\"'`_.])\1{2,}\s*")  # a heading's underline
_FIELD = r"\*{0,2}[\w.]+(, \*{0,2}[\w.]+)* : \S.*"  # numpydoc's `name : type`
_LABEL = re.compile(rf"{_RULE.pattern}|\s*({_FIELD}|\|.*|\+[-=].*)")  # and rows of tables
_DIRECTIVE = re.compile(r"\s*\.\.(\s|$)")
_TALKS = re.compile(
    r"\s*\.\. *(note|warning|tip|hint|important|caution|attention|rubric|see-?also)"
)
_MARKUP = (  # (what, put instead), in this order
    (re.compile(r":(?:math|cite\w*|eq|footcite\w*|doi|arxiv|gh|issue):`[^`]*`"), " "),
    (re.compile(r":[\w:+.-]+:`([^`<]+?)\s*<[^`>]*>`"), r"\1"),  # :ref:`title <target>`
    (re.compile(r":[\w:+.-]+:`[~!]?([^`]*)`"), r"\1"),  # :func:`~numpy.sum`
    (re.compile(r"`([^`<]*)<[^`>]*>`__?"), r"\1"),  # `title <address>`_
    (re.compile(r"\[([^]]*)\]\([^)]*\)"), r"\1"),  # [title](address)
    (re.compile(r"\b(?:https?|ftp)://\S+|\S+@\S+\.\w+"), " "),
    (re.compile(r"\[[\w#*]+\]_|\|[\w ]+\|_?"), " "),  # [1]_, |name|
    (re.compile(r"\$[^$]*\$|\\\w+"), " "),  # formulas
    (re.compile(r"^(\s*):(param|type|return|returns|rtype|raises|keyword)\b[^:]*:"), r"\1"),
)


def write_docstrings(path: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write the text to `path`, a paragraph a line in UTF-8, and return `path`.

    Done once: `<path>.json` beside it remembers the versions of Python and of `PACKAGES` (those
    that are installed) and what was counted, and a call that finds them as they are returns at
    once. `progress` gets (files done, all files). Paragraphs that came before are left out;
    files that do not parse are counted (`unparsed`) and skipped. A killed call leaves no text
    that passes for finished. Raises as `writing` if `path` cannot be written, InputError if a file
    is there without that note: it is not ours to replace.
    """
    note = path.with_name(f"{path.name}.json")
    key = json.dumps([_FORMAT, platform.python_version(), _versions()])
    if _is_done(path, note, key):
        return path
    with one_at_a_time(path.parent):
        if _is_done(path, note, key):  # another process may have written it while we waited
            return path
        for place in (path, note):
            check_output(place)
        if path.exists() and not note.exists():
            raise InputError(
                f"{path}: is no text of ours; move it away, or name another --data-dir"
            )
        # One name for all calls, so that a file left by a killed process is overwritten.
        part = path.with_name(f".{path.name}.part")
        part.unlink(missing_ok=True)
        try:
            counts = _write(part, progress)
            size = part.stat().st_size
            write_bytes(note, b"{}\n")  # the text is ours, and the note says nothing about it yet
            part.replace(path)
            write_json(note, {"key": key, "bytes": size, **counts})
        except OSError:
            with writing(path):
                raise
        finally:
            part.unlink(missing_ok=True)
    return path


def paragraphs(docstring: str) -> Iterator[str]:
    """The prose of a docstring, one paragraph at a time in one line, without its mark-up.

    Left out: examples (`>>>`, literal and code blocks), formulas, tables, headings, numpydoc's
    `name : type` lines, addresses, and what has fewer than four words.
    """
    gathered: list[str] = []
    for line in [*_prose(inspect.cleandoc(docstring).splitlines()), ""]:
        if line.strip():
            gathered.append(line.strip())
            continue
        text = " ".join(gathered)
        gathered = []
        for pattern, instead in _MARKUP:
            text = pattern.sub(instead, text)
        text = " ".join(text.replace("`", "").replace("*", "").split())
        words = _WORD.findall(text)
        if len(words) >= _SHORTEST and 2 * sum(map(len, words)) > len(text):
            yield text


def _prose(lines: list[str]) -> Iterator[str]:
    """Lines that are prose; an empty line ends a paragraph."""
    block: int | None = None  # the indentation that a block to leave out has to exceed
    example = False  # inside of `>>>` lines and what they print
    fenced = False
    for line, below in zip(lines, [*lines[1:], ""], strict=False):
        indent = len(line) - len(line.lstrip())
        if line.lstrip().startswith("```"):
            fenced = not fenced
            yield ""
        elif not line.strip():
            example = False
            yield ""
        elif fenced or example or (block is not None and indent > block):
            continue
        elif line.lstrip().startswith((">>>", "$ ", "In [")):
            example = True
            yield ""
        else:
            block = None
            if _DIRECTIVE.match(line):
                if not _TALKS.match(line):
                    block = indent
                yield ""
            elif _LABEL.fullmatch(line) or _RULE.fullmatch(below):
                yield ""
            else:
                if line.rstrip().endswith("::"):
                    block = indent
                yield line
                if block is not None:
                    yield ""


def _docstrings(tree: ast.Module) -> Iterator[str]:
    """Of modules, classes and functions, and what `add_newdoc` and its kin are given, in order."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        body = getattr(node, "body", None)
        documented = isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        )
        match node:
            case ast.Expr(value=ast.Call(func=function, args=[*_, last])):
                name = getattr(function, "attr", None) or getattr(function, "id", "")
                texts = last.elts if isinstance(last, ast.Tuple) else [last]
                for text in texts if "doc" in name else []:
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        yield text.value
        if isinstance(body, list):
            match body:
                case [ast.Expr(value=ast.Constant(value=str(text))), *_] if documented:
                    yield text
            after = [*getattr(node, "handlers", ()), *getattr(node, "orelse", ())]
            waiting += reversed([*body, *after, *getattr(node, "finalbody", ())])


def _sources() -> list[Path]:
    """Python files of the standard library, then of each package, sorted in each."""
    roots = [Path(sysconfig.get_paths()["stdlib"])]
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)  # of a top-level name: finds it, imports nothing
        if spec is not None:
            roots += [Path(place) for place in spec.submodule_search_locations or ()]
    files: list[Path] = []
    for root in roots:
        found = []
        for folder, below, names in os.walk(root):
            below[:] = [name for name in below if name not in _SKIP and name.isidentifier()]
            found += [Path(folder, name) for name in names if name.endswith(".py")]
        files += sorted(found, key=lambda file: file.relative_to(root).parts)
    return files


def _read(file: Path) -> list[str] | None:
    """The paragraphs of a file's docstrings; None if it does not parse."""
    collects = gc.isenabled()
    gc.disable()  # it would look for cycles among a tree's many objects for a sixth of the time
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of others' code, such as "\d" in a string
            tree = ast.parse(file.read_bytes())
        return [text for doc in _docstrings(tree) for text in paragraphs(doc)]
    except (SyntaxError, ValueError, RecursionError, OSError):
        return None
    finally:
        if collects:
            gc.enable()


def _send(pipe: Connection, files: list[Path]) -> None:
    with contextlib.suppress(OSError):  # the process that writes has gone
        for file in files:
            pipe.send(_read(file))


def _read_all(files: list[Path]) -> Generator[tuple[list[str] | None, int]]:
    """`_read` of each file in order, and how many are read; two processes take turns at many."""
    if len(files) < _MANY or (os.cpu_count() or 1) == 1:
        yield from ((_read(file), n) for n, file in enumerate(files, 1))
        return
    from jaxdl.devices.worker import started

    # The other process starts late, and the standard library, which comes first, has few words.
    alone = len(files) // 10
    own, theirs = [*files[:alone], *files[alone::2]], files[alone + 1 :: 2]
    told: dict[Path, list[str] | None] = {}
    coming, done = iter(theirs), 0
    with started(_send, None, theirs) as (pipe, _):

        def receive() -> None:
            texts = pipe.recv()
            told[next(coming)] = texts

        for file in own:
            told[file] = _read(file)
            with contextlib.suppress(EOFError, OSError):  # what it leaves is read below
                while pipe.poll():  # a full pipe would make it wait
                    receive()
            while done < len(files) and files[done] in told:
                yield told[files[done]], len(told)
                done += 1
        for file in files[done:]:
            while file not in told:
                try:
                    receive()
                except (EOFError, OSError):  # it was killed, for memory perhaps
                    told[file] = _read(file)
            yield told[file], len(told)


def _write(part: Path, progress: Callable[[int, int], None] | None) -> dict[str, int]:
    """Write the text to `part`; how many files, files that do not parse, paragraphs, words."""
    seen: set[bytes] = set()
    unparsed = words = 0
    files = _sources()
    opened = part.open("w", encoding="utf-8", newline="\n")
    with opened as out, contextlib.closing(_read_all(files)) as read:
        for texts, done in read:
            if texts is None:
                unparsed += 1
            for text in texts or ():
                mark = hashlib.blake2b(text.encode(), digest_size=16).digest()
                if mark not in seen:
                    seen.add(mark)
                    words += len(text.split())
                    out.write(text + "\n")
            if progress is not None:
                progress(done, len(files))
    return {"files": len(files), "unparsed": unparsed, "paragraphs": len(seen), "words": words}


def _versions() -> dict[str, str]:
    found = {}
    for name, distribution in PACKAGES.items():
        try:
            found[name] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue  # then the text has one package less
    return found


def _is_done(path: Path, note: Path, key: str) -> bool:
    try:
        kept = json.loads(note.read_bytes())
        return kept["key"] == key and kept["bytes"] == path.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return False
