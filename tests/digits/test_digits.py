"""The digits check: IDX and TFDS files, batches, training to its mark, resuming, errors."""

import gzip
import io
import itertools
import json
import re
import signal
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxdl.cli import progress
from jaxdl.digits import config, task
from jaxdl.digits.command import run
from jaxdl.digits.data import FASHION, Pictures, open_digits, read_idx
from jaxdl.digits.model import LeNet
from jaxdl.digits.train import SAMPLES, doubts
from jaxdl.errors import InputError, TrainingError
from jaxdl.training import checkpoint
from tests.devices.test_mesh import free_port
from tests.helpers.processes import Warm, finish, stop_at

MODULE = "jaxdl digits"


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return head + array.astype(np.uint8).tobytes()


def pictures(count: int, side: int = 8, seed: int = 0) -> Pictures:
    """Ten classes of noise around one bright pixel each."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count).astype(np.uint8)
    images = rng.integers(0, 60, (count, side, side)).astype(np.uint8)
    images[np.arange(count), labels % side, labels // side] = 255
    return Pictures(images, labels)


@pytest.fixture
def folder(tmp_path):
    """Four IDX files, one of them gzipped, one with a dot in its name."""
    home = tmp_path / "mnist"
    home.mkdir()
    train, test = pictures(200), pictures(50, seed=1)
    (home / "train-images-idx3-ubyte").write_bytes(idx(train.images))
    (home / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(train.labels)))
    (home / "t10k-images.idx3-ubyte").write_bytes(b"")
    (home / "t10k-images-idx3-ubyte").write_bytes(idx(test.images))
    (home / "t10k-labels-idx1.ubyte").write_bytes(idx(test.labels))
    return home


def test_idx_files_are_read_as_they_were_written(folder):
    data, (train, test) = open_digits(folder), (pictures(200), pictures(50, seed=1))
    for part, whole in ((data.train, train), (data.test, test)):
        np.testing.assert_array_equal(part.images, whole.images)
        np.testing.assert_array_equal(part.labels, whole.labels)
    assert data.classes == tuple("0123456789")
    fashion = folder.rename(folder.with_name("fashion-mnist"))
    assert open_digits(fashion).classes == FASHION


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not an IDX file"),
        (b"\x89PNG\r\n", "is not an IDX file"),
        (idx(np.zeros((3, 4)))[:-1], r"holds 11 bytes, its head says \(3, 4\)"),
        (idx(np.zeros((3, 4))) + b"x", "holds 13 bytes"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12 + b"x", "holds 1 bytes"),
        (bytes([0, 0, 13, 1]) + b"\0" * 8, "is not an IDX file of bytes"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, content, said):
    path = tmp_path / "damaged"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        read_idx(path)
    assert str(path) in str(error.value)


def test_a_gzip_of_zeros_stops_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxdl.digits.data.MOST", 1 << 20)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(1 << 24)))
    with pytest.raises(InputError, match="holds more than 1 MiB"):
        read_idx(path)
    path.write_bytes(gzip.compress(idx(np.zeros((3, 4))))[:-9])
    with pytest.raises(InputError, match="cannot be read"):
        read_idx(path)


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("train-labels-idx1-ubyte.gz", None, "has no train-labels-idx1-ubyte"),
        ("t10k-labels-idx1.ubyte", np.zeros(49), "49 labels for 50 pictures"),
        ("t10k-labels-idx1.ubyte", np.full(50, 10), "has the label 10"),
        ("t10k-images-idx3-ubyte", np.zeros((50, 9, 9)), "8 x 8 to train on and 9 x 9 to test on"),
        ("t10k-images-idx3-ubyte", np.zeros(50), "expected"),
    ],
)
def test_folders_that_cannot_be_used_are_refused(folder, name, array, said):
    path = folder / name
    path.unlink()
    if array is not None:
        path.write_bytes(idx(array))
    with pytest.raises(InputError, match=said):
        open_digits(folder)


class _Set(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """What TFDS's mnist looks like when prepared."""

    VERSION = tfds.core.Version("1.0.0")
    code_path = None

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(8, 8, 1)),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        parts = {"train": pictures(40), "test": pictures(20, seed=1)}
        return {side: self._generate_examples(part) for side, part in parts.items()}

    def _generate_examples(self, part):
        for n, (image, label) in enumerate(zip(*part, strict=True)):
            png = io.BytesIO()  # as bytes: TFDS would encode an array with TensorFlow
            Image.fromarray(image).save(png, "PNG")
            yield n, {"image": io.BytesIO(png.getvalue()), "label": int(label)}


def test_a_prepared_tfds_set_is_read(tmp_path):
    builder = _Set(data_dir=str(tmp_path), file_format="array_record")
    builder.download_and_prepare()
    data = open_digits(Path(builder.data_dir))

    def pairs(part):
        return sorted((i.tobytes(), int(n)) for i, n in zip(*part, strict=True))

    assert pairs(data.train) == pairs(pictures(40))
    assert pairs(data.test) == pairs(pictures(20, seed=1))


@pytest.mark.parametrize("spoil", ["info", "records", "format"])
def test_a_prepared_set_that_cannot_be_read_is_named(tmp_path, spoil):
    builder = _Set(data_dir=str(tmp_path), file_format="array_record")
    builder.download_and_prepare()
    folder = Path(builder.data_dir)
    info = folder / "dataset_info.json"
    if spoil == "info":
        info.write_text("{}")
    elif spoil == "records":
        next(folder.glob("*test*array_record*")).unlink()
    else:
        info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(InputError, match="array_record") as error:
        open_digits(folder)
    assert str(folder) in str(error.value)


def test_batches_are_a_permutation_and_begin_anywhere():
    part = pictures(50)
    part = part._replace(images=np.arange(50, dtype=np.uint8)[:, None, None].repeat(8, 1))
    first = list(itertools.islice(task.batches(part, 8, seed=3, first=0), 18))
    for epoch in range(3):
        seen = np.concatenate([b.images[:, 0, 0] for b in first[6 * epoch : 6 * epoch + 6]])
        assert len(set(seen.tolist())) == 48
    for n in (5, 6, 13):
        later = next(task.batches(part, 8, seed=3, first=n))
        np.testing.assert_array_equal(later.images, first[n].images)
    other = next(task.batches(part, 8, seed=4, first=0))
    assert not np.array_equal(other.images, first[0].images)


@pytest.mark.slow
def test_evaluation_counts_every_picture_once():
    """In batches that do not divide it, as one by one in NumPy."""
    part, model = pictures(53), LeNet()
    params = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))["params"]
    found = task.make_evaluate(model)(params, part, 8)
    logits = np.asarray(task.scores(model, params, part.images), np.float64)
    norm = np.log(np.exp(logits).sum(1))
    losses = norm - logits[np.arange(53), part.labels]
    assert found["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert found["accuracy"] == pytest.approx((logits.argmax(1) == part.labels).mean())
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (part.labels, logits.argmax(1)), 1)
    np.testing.assert_array_equal(found["confusion"], confusion)


@pytest.mark.slow
def test_the_embedded_digits_reach_the_mark(tmp_path):
    out = tmp_path / "run"
    done = finish(MODULE, "--out", str(out), "--at-least", "97")
    assert done.returncode == 0, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["digits"]["accuracy"] >= 0.97
    page = (out / "report.html").read_text()
    assert page.count("<figcaption>") == SAMPLES
    assert "test accuracy, %" in page
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert np.sum(rows[-1]["test"]["confusion"]) == 359
    with pytest.raises(TrainingError, match=r"below --at-least 99\.9 %"):
        run(config.Config(out=out, at_least=99.9), progress.Bar())


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, folder):
    """And on two devices, and in two processes, to the same within rounding.

    With programs that are compiled again; tests of other experiments resume with kept ones.

    (`tests.helpers.processes.environment` names one cache for all processes.)
    """
    words = ["--data", str(folder), "--epochs", "4", "--batch-size", "40"]
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert finish(MODULE, *words, "--out", str(straight), fresh=True).returncode == 0
    again = [*words, "--out", str(stopped)]
    status, errors = stop_at(MODULE, "epoch 2/4", signal.SIGTERM, *again)
    assert (status, "run the same command to resume" in errors) == (143, True)
    script = (Path(__file__).parents[2] / "containers/image-test.sh").read_text()
    (waited_for,) = re.findall(r'grep -q "(.*)" "\$WORK/again\.log"', script)
    assert waited_for in finish(MODULE, *again, "--no-compile-cache").stdout

    def rows(home):
        lines = (home / "metrics.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]

    def params(home):
        return checkpoint.load_params(home / "checkpoints")[0]

    assert rows(stopped) == rows(straight)
    jax.tree.map(np.testing.assert_array_equal, params(stopped), params(straight))

    address = f"127.0.0.1:{free_port()}"
    among = ["--mesh", "data=2", "--coordinator", address, "--processes", "2"]
    home = tmp_path / "processes"
    pair = [
        Warm(MODULE, *words, *among, "--process-id", str(k), "--out", str(home), devices=1)
        for k in (0, 1)
    ]
    home = tmp_path / "devices"
    one = Warm(MODULE, *words, "--mesh", "data=2", "--out", str(home), devices=2)
    for process in (*pair, one):
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    for name in ("devices", "processes"):
        for row, want in zip(rows(tmp_path / name), rows(straight), strict=True):
            assert row["train"]["loss"] == pytest.approx(want["train"]["loss"], rel=1e-5)
            assert row["test"]["loss"] == pytest.approx(want["test"]["loss"], rel=1e-5)


@pytest.mark.slow
def test_other_pictures_under_the_old_names_are_refused(tmp_path, folder):
    """Finished or not."""
    cfg = config.Config(data=folder, out=tmp_path / "run", epochs=1, batch_size=16)
    run(cfg, progress.Bar())
    path = folder / "t10k-labels-idx1.ubyte"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(InputError, match=f"{path.name} holds another content, and held the"):
            run(cfg, progress.Bar())
        (cfg.out / "summary.json").unlink(missing_ok=True)


def test_a_network_that_names_one_class_is_no_good_result():
    assert doubts([[0, 3], [0, 4]])
    assert not doubts([[3, 0], [0, 4]])


def test_the_embedded_digits_are_scikit_learns():
    """They are read from its file, as the package takes a second to import."""
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    ours = open_digits(None)
    assert (len(ours.test.images), len(ours.train.images)) == (359, 1438)

    def counted(images: np.ndarray, labels: np.ndarray) -> list[bytes]:
        pictures = np.rint(images * 255 / 16).astype(np.uint8)
        return sorted(p.tobytes() + bytes([n]) for p, n in zip(pictures, labels, strict=True))

    images = np.concatenate([ours.train.images, ours.test.images])
    labels = np.concatenate([ours.train.labels, ours.test.labels])
    own = sorted(p.tobytes() + bytes([n]) for p, n in zip(images, labels, strict=True))
    assert own == counted(found.images, found.target)
