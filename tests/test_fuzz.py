"""Any bytes give a value or one line, nothing else, in bounded memory; what is written reads back.

`make test` runs one round of cases of each, `make fuzz` rounds for an hour.
"""

import csv
import gzip
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from safetensors.numpy import save

from jaxdl.digits.data import read_idx
from jaxdl.fcn.data import decode, matlab, splits, voc
from jaxdl.fcn.weights import files
from jaxdl.files import atomic
from jaxdl.lstm import series
from jaxdl.lstm.data.read import read_series
from jaxdl.training import run_folder
from jaxdl.word2vec import evaluation
from jaxdl.word2vec.data import corpus
from jaxdl.word2vec.dataset import read_vocabulary
from jaxdl.word2vec.vectors import Vectors, load, save_binary, save_npz, save_text
from tests.helpers.bounds import MAT_HEAD, forget_peak, npy, read, tar_header
from tests.helpers.voc_tree import jpeg, label_values, mat, png, write_voc

CASES = 200  # of a round of each test
pytestmark = pytest.mark.fuzz
fuzzed = settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

EDGES = (0, 1, 127, 128, 255, 1 << 15, (1 << 16) - 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes], words: tuple[bytes, ...] = ()) -> bytes:
    """A small file that is good, after a few changes; or any bytes at all."""
    if draw(st.integers(0, 9)) == 9:
        return draw(st.binary(max_size=200))
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        # Half of the changes near the beginning, where heads are.
        last = max(0, len(content) - 1)
        at = draw(st.integers(0, min(40, last)) | st.integers(0, last))
        match draw(st.sampled_from(("byte", "number", "cut", "drop", "insert", "repeat", "swap"))):
            case "byte":
                content[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case "number":
                size = draw(st.sampled_from((2, 4)))
                number = (draw(st.sampled_from(EDGES)) % (1 << 8 * size)).to_bytes(size, "big")
                content[at : at + size] = number if draw(st.booleans()) else number[::-1]
            case "cut":
                del content[at:]
            case "drop":
                del content[at : at + draw(st.integers(1, 40))]
            case "insert":
                content[at:at] = draw(st.sampled_from(words) if words else st.binary(max_size=8))
            case "repeat":
                content[at:at] = content[at : at + draw(st.integers(1, 60))] * draw(
                    st.integers(1, 20)
                )
            case "swap":
                other = draw(st.sampled_from(seeds))
                content[at:] = other[draw(st.integers(0, len(other))) :]
    return bytes(content)


@pytest.fixture(scope="module", autouse=True)
def fresh_peak() -> None:
    forget_peak()


def lines(words: tuple[bytes, ...], between: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Lines of words, as a file that is almost right has them."""
    word = st.sampled_from(words) | st.text(max_size=6).map(lambda t: t.encode("utf-8", "replace"))
    line = st.builds(
        lambda sep, found, end: sep.join(found) + end,
        st.sampled_from(between),
        st.lists(word, min_size=1, max_size=5),
        st.sampled_from((b"\n", b"\r\n", b"")),
    )
    return st.lists(line, max_size=6).map(b"".join)


NUMBER = st.sampled_from(EDGES) | st.integers(0, 5)


def attempt(path: Path, content: bytes, reader: Callable[[Path], Any]) -> Any:
    """What the reader makes of the content; None if it refuses it properly."""
    path.write_bytes(content)
    return read(lambda: reader(path), path)


# --- vectors and weights

FOUND = Vectors(("</s>", "naïve", "bad\udcff", "日本"), np.arange(12, dtype="f4").reshape(4, 3) / 7)


def saved(folder: Path, save: Callable[..., None], suffix: str = "", **options: bool) -> bytes:
    path = folder / f"seed{suffix}"
    save(path, FOUND, **options)
    return path.read_bytes()


@pytest.fixture(scope="module")
def vector_files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    here = tmp_path_factory.mktemp("seeds")
    text, binary = saved(here, save_text), saved(here, save_binary)
    old = saved(here, save_binary, newlines=True)
    arrays = saved(here, save_npz, ".npz")
    bare = text.split(b"\n", 1)[1]  # as GloVe's
    packed = [gzip.compress(content, mtime=0) for content in (text, arrays)]
    return [text, binary, old, arrays, bare, *packed]


NUMBERS = (b"999999999999", b"-1", b"0", b"65536", b"4294967296", b"nan", b"1e39", b"\n", b" ")


@pytest.mark.slow
@fuzzed
@given(data=st.data(), suffix=st.sampled_from((".txt", ".bin", ".npz", ".gz", "")))
def test_vectors(tmp_path: Path, vector_files: list[bytes], data: st.DataObject, suffix: str):
    content = data.draw(damaged(vector_files, NUMBERS))
    found = attempt(tmp_path / f"v{suffix}", content, load)
    if found is None:
        return
    assert np.isfinite(found.table).all()
    # What was read can be written and comes back the same.
    for suffix, write in ((".txt", save_text), (".npz", save_npz)):
        again = tmp_path / f"again{suffix}"
        done = read(lambda write=write, path=again: (write(path, found), True), again)
        if done is None:
            continue  # a word with a newline, as binary may have
        back = load(again)
        assert back.words == found.words
        assert back.table.tobytes() == found.table.tobytes()


def npz(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return out.getvalue()


ARRAY = np.arange(64, dtype="<f4")
PLAIN = npy("<f4", "(64,)", ARRAY.tobytes())
NPZ = [npz(a=PLAIN, b=npy("<f8", "(2, 3)", bytes(48))), npz(a=npy("|O", "(1,)", b"\x80\4N."))]
SAFE = [save({"conv1_1/bias": ARRAY}, {"mean": "[1, 2, 3]"})]


def hdf5() -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.create_dataset("block1_conv1/bias:0", data=ARRAY, compression="gzip")
    return out.getvalue()


def onnx_model() -> bytes:
    tensor = onnx.numpy_helper.from_array(ARRAY, "block1_conv1/conv")
    graph = onnx.GraphProto(initializer=[tensor])
    return onnx.ModelProto(ir_version=8, graph=graph).SerializeToString()


WEIGHTS = {".npz": NPZ, ".safetensors": SAFE, ".h5": [hdf5()], ".onnx": [onnx_model()]}
SHAPES = (b"(1000000000000,)", b"(" * 50, b"'|O'", b"'<U9999999'", b"-1", b"1_0", b"L", b"9" * 30)


def every_array(path: Path) -> dict[str, np.ndarray]:
    with files.open_arrays(path) as (names, get, _):
        return {name: np.asarray(get(name)) for name in names}


@pytest.mark.slow
@fuzzed
@given(data=st.data(), suffix=st.sampled_from([*WEIGHTS]))
def test_weights(tmp_path: Path, data: st.DataObject, suffix: str):
    content = data.draw(damaged(WEIGHTS[suffix], SHAPES))
    if suffix == ".npz" and data.draw(st.booleans()):
        shape = data.draw(st.lists(NUMBER, max_size=5) | st.sampled_from(SHAPES))
        text = f"({','.join(map(str, shape))},)" if isinstance(shape, list) else shape.decode()
        descr = data.draw(st.sampled_from(("<f4", "|O", "<U9999999", ">f8", "|V0", "|u1", "x")))
        content = npz(a=npy(descr, text, data.draw(st.binary(max_size=40))))
    found = attempt(tmp_path / f"w{suffix}", content, every_array)
    for array in (found or {}).values():
        assert array.dtype != object


# --- pictures and archives

PHOTO, LABEL = jpeg(24, 18), png(label_values(24, 18))
PROGRESSIVE = jpeg(20, 33, progressive=True)


def other_formats() -> list[bytes]:
    made = []
    for kind in ("GIF", "BMP", "TIFF", "WEBP", "PPM"):
        out = io.BytesIO()
        Image.new("RGB", (5, 4), (1, 2, 3)).save(out, kind)
        made.append(out.getvalue())
    return made


def with_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    return jpeg(12, 9, exif=exif)


PHOTOS = [PHOTO, LABEL, PROGRESSIVE, png(label_values(9, 9), "RGBA"), with_exif(), *other_formats()]
CHUNKS = (b"\xff\xda", b"\xff\xd9", b"\xff\xc2", b"IDAT", b"\0\0\0\0IEND", b"tRNS", b"Exif\0\0")


@pytest.mark.slow
@fuzzed
@given(content=damaged(PHOTOS, CHUNKS))
def test_photos(tmp_path: Path, content: bytes):
    found = attempt(tmp_path / "x", content, decode.read_photo)
    assert found is None or (found.dtype, found.ndim, found.shape[2]) == (np.uint8, 3, 3)


@fuzzed
@given(content=damaged([PHOTO, PROGRESSIVE, LABEL], CHUNKS))
def test_training_images(content: bytes):
    found = read(lambda: voc.read_image(content, "x.jpg"), "x.jpg")
    assert found is None or found.shape[2] == 3


@pytest.mark.slow
@fuzzed
@given(content=damaged([LABEL, png(label_values(5, 40), "L"), PHOTO], CHUNKS))
def test_labels(content: bytes):
    found = read(lambda: voc.read_label(content, "x.png", 21), "x.png")
    assert found is None or (found.min() >= -1 and found.max() < 21)


def mats() -> list[bytes]:
    import scipy.io

    out = io.BytesIO()
    held = {"GTcls": {"Boundaries": np.zeros((3, 3)), "Segmentation": label_values(6, 5)}}
    scipy.io.savemat(out, held, do_compression=True)
    return [out.getvalue(), mat(label_values(6, 5)), MAT_HEAD]


@pytest.mark.slow
@fuzzed
@given(content=damaged(mats()))
def test_mat_files(content: bytes):
    found = read(lambda: matlab.read_mat(content, "x.mat", 21), "x.mat")
    assert found is None or (found.min() >= -1 and found.max() < 21)


def tars(below: Path) -> list[bytes]:
    """Plain, packed, and with pax headers."""
    import tarfile

    year = write_voc(below)
    (year / "class_names.txt").write_text("".join(f"class {n}\n" for n in range(21)))
    made = []
    for mode, form in (
        ("w", tarfile.GNU_FORMAT),
        ("w:gz", tarfile.GNU_FORMAT),
        ("w", tarfile.PAX_FORMAT),
    ):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=mode, format=form) as tar:  # pyrefly: ignore
            tar.add(year / "ImageSets", "VOC2012/ImageSets")
            tar.add(year / "class_names.txt", f"VOC2012/{'é' * 60}")
            tar.add(year / "class_names.txt", "VOC2012/class_names.txt")
        made.append(out.getvalue())
    return made


@pytest.fixture(scope="module")
def tar_files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return tars(tmp_path_factory.mktemp("seeds"))


@st.composite
def members(draw: st.DrawFn) -> bytes:
    """Headers that claim any type and size, before something of their data."""
    made = b""
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(("VOC/ImageSets/Segmentation/train.txt", "../x", "/x", "x")))
        kind = draw(st.sampled_from((b"0", b"x", b"x", b"g", b"L", b"S", b"2")))
        text = draw(st.sampled_from(PAX) if kind in b"xg" else st.binary(max_size=30))
        size = len(text)
        if draw(st.integers(0, 4)) == 4:
            size = draw(NUMBER | st.integers(-600, 600) | st.sampled_from((1 << 40, -(1 << 70))))
        made += tar_header(name, size, kind) + text + bytes(-len(text) % 512)
    return made + draw(st.sampled_from((bytes(1024), b"", b"\xff" * 512)))


PAX = (b"25 GNU.sparse.size=abcde\n", b"11 size=-5\n", b"19 path=../../etc/x\n", b"a\n", b"")
HEADERS = (
    b"../",
    b"/",
    b"\xff" * 12,
    b"\x80" + b"\0" * 10,
    b"x",
    b"L",
    b"S",
    b"2",
    b"30 size=-5\n",
)


@pytest.mark.slow
@fuzzed
@given(data=st.data())
def test_tars(tmp_path: Path, tar_files: list[bytes], data: st.DataObject):
    content = data.draw(damaged(tar_files, HEADERS) | members())

    def lists(path: Path) -> list[tuple[str, ...]]:
        source = voc.open_voc(path, md5=None, cache_dir=tmp_path / "cache")
        return [source.ids(name) for name in ("train", "val") if source.has_list(name)]

    attempt(tmp_path / "x.tar", content, lists)
    for left in (tmp_path / "cache").glob("*"):
        left.unlink()


# --- text

LINES = [b"a\nb\n", b"# x\n2007_000001\n\n x_4 \n", "é\nb/c\n".encode(), b"\xef\xbb\xbfa\n"]
NAMES = (b"..", b"/", b"../", b"\0", b"\x1b[2J", b"\n", b"#", "\u202e".encode(), b"a" * 300)


@pytest.mark.slow
@fuzzed
@given(content=damaged(LINES, NAMES) | lines((*NAMES, b"a", b"b/c", b" "), (b"", b"/")))
def test_lists(tmp_path: Path, content: bytes):
    found = attempt(tmp_path / "x.txt", content, splits.read_ids)
    for id in found or ():
        place = os.path.normpath(f"/set/JPEGImages/{id}.jpg")
        assert place.startswith("/set/JPEGImages/")
        assert id.isprintable()
    if found:
        (path := tmp_path / "again.txt").write_text("\n".join(found))
        assert splits.read_ids(path) == found


@pytest.mark.slow
@fuzzed
@given(content=damaged([b"background\nred ring\n", b"x\n" * 9], NAMES))
def test_class_names(content: bytes):
    found = read(lambda: voc.parse_classes(content, "class_names.txt"), "class_names.txt")
    assert found is None or 1 <= len(found) <= 255


SERIES = [b"a,b\n1,2\n3,4.5\n", b"1\n2\n3\n", b'"a\nb","c"\n1,2\n', b"\xef\xbb\xbfx\r\n1e5\r\n"]
SERIES += [
    b"d,y\n2000-01-31,1\n2000-02-29,2\n2000-04-30,3\n",
    b"t;y\n01.02.2000 10:00;1,5\n01.02.2000 11:00;2,25\n01.02.2000 12:00;1.000,5\n",
    b"year\tQ\ty\n1999\t3\t1\n1999\t4\t5\n2000\t1\t2\n",
    b"id,d,y\na,1949Q1,1\na,1949Q2,2\nb,1949Q1,3\nb,1949Q2,5\n",
    b"t y\n946684800 1\n946684860 5\n946684980 2\n",
    gzip.compress(b"1\n5\n2\n", mtime=0),
    "d,y\n2000-01,1\n2000-02,5\n2000-03,2\n".encode("utf-16"),
]
CELLS = (
    b",",
    b'"',
    b"\n",
    b"\r",
    b"nan",
    b"inf",
    b"1e400",
    b"1e308",
    b"\0",
    b"-",
    "\u0663".encode(),
)


@pytest.mark.slow
@fuzzed
@given(content=damaged(SERIES, CELLS) | lines((*CELLS, b"1", b"-2.5", b"x"), (b",",)))
@example(content=b"a\n1\n1e308\n")
@example(content=b'a\n"\n')
@example(content=b"\n\n,\n")
def test_series(tmp_path: Path, content: bytes):
    found = attempt(tmp_path / "x.csv", content, read_series)
    if found is None:
        return
    values = found.series.values
    assert values.shape[1] == len(found.series.names)
    scaled = series.learn_scaling(values).apply(values)
    assert np.isfinite(series.to_float32(scaled)).all()


@pytest.mark.slow
@fuzzed
@given(
    values=hnp.arrays(
        np.float64, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.floats(-1e99, 1e99)
    ),
    name=st.text(st.characters(exclude_categories=("Cs",)), max_size=9),
)
def test_series_come_back(tmp_path: Path, values: np.ndarray, name: str):
    names = [f"x{name.strip()}x{n}" for n in range(values.shape[1])]
    with (path := tmp_path / "x.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([names, *(map(repr, line) for line in values.tolist())])
    columns = [str(n + 1) for n in range(len(names))]
    read = read_series(path, column=columns, time="none", decimal="point").series
    assert list(read.names) == names
    np.testing.assert_array_equal(read.values, values)


IDX = [bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (2, 3, 4)) + bytes(24)]
IDX += [bytes([0, 0, 8, 1]) + (5).to_bytes(4, "big") + b"\1\2\3\4\5"]
ZIPPED = [gzip.compress(one, mtime=0) for one in IDX]
HEADS = st.builds(
    lambda shape, more, rest: (
        bytes([0, 0, 8, len(shape) + more]) + b"".join(n.to_bytes(4, "big") for n in shape) + rest
    ),
    st.lists(NUMBER, max_size=5)
    | st.sampled_from((0, 4, 5, 32, 64, 65, 251)).map(lambda n: [1] * n),
    st.sampled_from((0, 0, 0, 1)),
    st.sampled_from((b"x", b"", b"xy")) | st.binary(max_size=9),
)


@pytest.mark.slow
@fuzzed
@given(content=damaged([*IDX, *ZIPPED]) | HEADS, packed=st.booleans())
def test_idx(tmp_path: Path, content: bytes, packed: bool):
    found = attempt(tmp_path / f"x{'.gz' if packed else ''}", content, read_idx)
    assert found is None or (found.size > 0 and found.dtype == np.uint8)


PAIRS = [b"a\tb\t1.5\nb\tc\t2\na\tc\t3\n", b"# x\r\na\tb\t1e3\r\nc\tb\t-2\r\n"]
QUESTIONS = [b": one\na b c d\nb c d a\n: two\nd c b a\n", b": x\na a a a\n"]
JUDGED = (b"\t", b"\n", b"nan", b"1e308", b"-1e308", b": ", b"a b c d", b"\xff", "ß".encode())
WORDS = Vectors(("a", "b", "c", "d"), np.eye(4, 3, dtype=np.float32) + np.float32(0.1))


@pytest.mark.slow
@fuzzed
@given(content=damaged(PAIRS, JUDGED) | lines((*JUDGED, b"a", b"d", b"x", b"1"), (b"\t",)))
def test_word_pairs(tmp_path: Path, content: bytes):
    found = attempt(tmp_path / "x", content, lambda p: evaluation.evaluate_word_pairs(WORDS, p))
    assert found is None or 0 <= found.oov <= 100
    assert found is None or found.pairs >= 2 or np.isnan(found.spearman)


@pytest.mark.slow
@fuzzed
@given(content=damaged(QUESTIONS, JUDGED) | lines((*JUDGED, b"a", b"d", b"x", b":"), (b" ",)))
def test_analogies(tmp_path: Path, content: bytes):
    found = attempt(tmp_path / "x", content, lambda p: evaluation.evaluate_analogies(WORDS, p))
    assert found is None or 0 <= found.total.correct <= found.total.asked


@pytest.mark.slow
@fuzzed
@given(content=damaged([b"a\t9\nb\t5\n", "日本\t3\n".encode()], (b"\t", b"\n", b"-", b"9" * 25)))
def test_vocabularies(tmp_path: Path, content: bytes):
    found = attempt(tmp_path / "vocabulary.txt", content, read_vocabulary)
    if found is not None:
        words, counts = found
        assert len(set(words)) == len(words) == len(counts)
        assert counts.min() > 0


@pytest.mark.slow
@fuzzed
@given(
    content=damaged([b'{"step": 1, "a": 2}\n{"step": 2}\n', b"[]"], (b"[", b"{", b"\n", b"1e999"))
)
def test_metrics(tmp_path: Path, content: bytes):
    for row in attempt(tmp_path / "x", content, run_folder.read_rows) or []:
        assert isinstance(row["step"], int)
    attempt(tmp_path / "x", content, atomic.read_json)


TEXTS = [
    b"the cat's on a mat\nthe dog\n",
    "naïve 日本 e\u0301\n".encode(),
    b"\xef\xbb\xbfa b a b\n",
]
TEXTS += [gzip.compress(TEXTS[0], mtime=0)]


@pytest.mark.slow
@fuzzed
@given(content=damaged(TEXTS, (b"\n", b" ", b"'", b"\xff", b"\xe3\x81", b"\0", b"a" * 1200)))
def test_corpora(tmp_path: Path, content: bytes):
    def encode(path: Path) -> corpus.Corpus:
        return corpus.encode([path], tmp_path / "cache", min_count=1)

    path = tmp_path / "text"
    path.write_bytes(content)
    # Of a text without a word that comes often enough the message names no file.
    found = read(lambda: encode(path), "")
    if found is not None:
        assert found.ids.min() >= 0
        assert found.ids.max() < len(found.words)
        assert found.counts.sum() == len(found.ids) == found.raw_tokens
