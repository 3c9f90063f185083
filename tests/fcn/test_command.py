"""The FCN experiment as its user runs it: in processes of its own, on a tiny demo."""

import dataclasses
import json
import re
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from jaxdl.cli.command import parse
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError, Skipped
from jaxdl.fcn import evaluate_command
from jaxdl.fcn.checks import check
from jaxdl.fcn.command import EVALUATE, TRAIN, run
from jaxdl.fcn.compare_command import compare
from jaxdl.fcn.config import PRESETS, Config, for_each_stage
from jaxdl.fcn.data.scenes import SCENE_CLASSES, write_scenes
from jaxdl.fcn.inputs import name_results
from jaxdl.fcn.predict import predict
from jaxdl.fcn.stages import find
from jaxdl.fcn.start import first_start
from jaxdl.training import checkpoint
from jaxdl.training.opening import MADE
from jaxdl.training.run_folder import read_rows
from jaxdl.training.steps import newest_sums
from tests.helpers import processes

# One worker runs the file: the straight run is made once.
pytestmark = [pytest.mark.xdist_group("experiments"), pytest.mark.slow]

STAGES = ("fcn32s", "fcn16s", "fcn8s")
TINY = (
    *("--preset", "demo", "--scenes", "12", "6", "--width-divisor", "32", "--epochs", "2"),
    *("--batch-size", "4", "--canvases", "1", "--samples", "2", "--warmup", "2"),
)


finish = partial(processes.finish, "jaxdl fcn train", flags=processes.QUICK)
predict_images = partial(processes.finish, "jaxdl fcn predict", flags=processes.QUICK)
stop_at = partial(processes.stop_at, "jaxdl fcn train", flags=processes.QUICK)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("runs") / "straight"
    done = finish(*TINY, "--out", str(out), "--data-dir", str(data), fresh=True)
    assert done.returncode == 0, done.stderr
    return out


def results(out: Path) -> Any:
    """Everything that a run computed, without its clock: parameters of each stage, and metrics."""
    clock = ("images_per_s", "seconds")
    rows = {
        stage: [
            {k: v for k, v in row.items() if k not in clock}
            for row in read_rows(out / stage / "metrics.jsonl")
        ]
        for stage in STAGES
    }
    params = {stage: checkpoint.load_params(out / stage / "checkpoints")[0] for stage in STAGES}
    summary = json.loads((out / "summary.json").read_text())
    figures = {s: {k: v for k, v in summary[s].items() if k != "seconds"} for s in STAGES}
    return params, (rows, figures, summary["warnings"])


def assert_same_run(one: Path, other: Path) -> None:
    (params, rest), (params_other, rest_other) = results(one), results(other)
    jax.tree.map(np.testing.assert_array_equal, params, params_other)
    assert rest == rest_other


def test_a_run_leaves_what_it_promises(straight: Path):
    summary = json.loads((straight / "summary.json").read_text())
    keys = {"mean_iu", "pixel_accuracy", "mean_image_accuracy", "seconds"}
    assert all(MADE.fullmatch(path.name) for path in straight.iterdir())
    warnings = summary.pop("warnings")
    assert {stage: set(line) for stage, line in summary.items()} == dict.fromkeys(STAGES, keys)
    assert all(0 <= line["mean_iu"] <= 1 for line in summary.values())
    ids = {s: (straight / "splits" / f"{s}.txt").read_text().split() for s in ("train", "test")}
    assert (len(ids["train"]), len(ids["test"])) == (12, 6)
    record = json.loads((straight / "run.json").read_text())
    assert record["classes"] == list(SCENE_CLASSES)
    moved = json.loads((straight / "fcn16s" / "transfer.json").read_text())
    assert sorted(moved["initialized"]) == ["score_pool4/bias", "score_pool4/kernel"]
    assert len(moved["loaded"]) == 28
    assert moved["loss"] > 0
    assert 0 < moved["multipliers"]["score_pool4"] <= 1
    page = (straight / "report.html").read_text()
    assert "FCN-8s" in page
    assert page.count("<li>fcn") == 2 * len(warnings)  # in the summary too
    assert page.count("data:image/jpeg;base64,") == 2 + 6  # the samples, the worst
    assert page.count("data:image/png;base64,") >= 2 * (2 * len(STAGES) + 1)
    for stage in STAGES:
        assert [row["epoch"] for row in read_rows(straight / stage / "metrics.jsonl")] == [1, 2]
        assert list((straight / stage / "tensorboard").iterdir())
        accuracy = json.loads((straight / stage / "samples" / "accuracy.json").read_text())
        for name, share in accuracy.items():
            with Image.open(straight / "samples" / f"{name}_truth.png") as file:
                truth = np.asarray(file)
            with Image.open(straight / stage / "samples" / f"{name}.png") as file:
                right = np.asarray(file) == truth
            assert share == pytest.approx(right[truth != 255].mean())


def test_a_stage_starts_from_the_checkpoint_before_it(straight: Path):
    """The first loss of fcn16s is near fcn32s' last, far below that of a random start."""
    first = {s: read_rows(straight / s / "metrics.jsonl")[0]["train"]["loss"] for s in STAGES}
    last = {s: read_rows(straight / s / "metrics.jsonl")[-1]["train"]["loss"] for s in STAGES}
    assert first["fcn16s"] < (first["fcn32s"] + last["fcn32s"]) / 2
    assert first["fcn8s"] < (first["fcn32s"] + last["fcn16s"]) / 2


def test_a_run_stopped_in_each_stage_ends_in_the_same_bits(
    straight: Path, data: Path, tmp_path: Path
):
    """Killed in an epoch of the first, at the start of the second, told to end in the last."""
    arguments = (*TINY, "--out", str(tmp_path / "run"), "--data-dir", str(data))
    for line in ("fcn32s epoch 2/2", "fcn16s starts from"):
        returned, errors = stop_at(line, signal.SIGKILL, *arguments)
        assert returned == -signal.SIGKILL, (line, errors)
    returned, errors = stop_at("fcn8s epoch 1/2", signal.SIGTERM, *arguments)
    assert returned == 143, errors
    assert "run the same command to resume" in errors
    assert not (tmp_path / "run" / "fcn8s" / "samples").exists()
    done = finish(*arguments)
    assert done.returncode == 0, done.stderr
    assert_same_run(straight, tmp_path / "run")


def test_a_stage_that_ends_early_stays_ended(data: Path, tmp_path: Path):
    """At a rate of next to nothing no epoch is better than the first; killed in the next stage.

    With the options of the loss and the rates that no other run here has.
    """
    out = tmp_path / "run"
    arguments = (
        *(*TINY, "--out", str(out), "--data-dir", str(data), "--stages", "32", "16"),
        *("--epochs", "5", "--early-stop", "1", "--learning-rate", "1e-9"),
        *("--head-learning-rate", "2e-9", "--schedule", "poly", "--dice", "0.5"),
        *("--class-weights", "auto"),
    )
    returned, errors = stop_at("fcn16s starts from", signal.SIGKILL, *arguments)
    assert returned == -signal.SIGKILL, errors
    saved = newest_sums(out / "fcn32s" / "checkpoints")[0].read_bytes()
    done = finish(*arguments)
    assert done.returncode == 0, done.stderr
    assert "fcn16s: ends at step 6 of 15: no better mean_iu" in done.stdout
    for stage in STAGES[:2]:
        rows = read_rows(out / stage / "metrics.jsonl")
        assert [(row["epoch"], row["step"]) for row in rows] == [(1, 3), (2, 6)]
        assert checkpoint.steps(out / stage / "checkpoints")[-1] == 6
        assert json.loads((out / "summary.json").read_text())[stage]["mean_iu"] >= 0
    assert newest_sums(out / "fcn32s" / "checkpoints")[0].read_bytes() == saved
    weights = json.loads((out / "run.json").read_text())["class_weights"]
    assert list(weights) == list(SCENE_CLASSES)
    assert weights["background"] < 1 < max(weights.values())
    page = (out / "report.html").read_text()
    shown = re.search("Class weights of the training loss: (.*?)</p>", page)
    assert shown
    assert f"</bdi> {weights['background']:.3f}" in shown[1]
    assert "finished already" in finish(*arguments).stdout


def test_a_finished_run_is_not_trained_again(straight: Path, data: Path):
    files = [p for p in straight.rglob("*") if p.is_file()]
    before = {p: p.stat().st_mtime_ns for p in files}
    done = finish(*TINY, "--out", str(straight), "--data-dir", str(data))
    assert done.returncode == 0
    assert "finished already" in done.stdout
    assert {p: p.stat().st_mtime_ns for p in straight.rglob("*") if p.is_file()} == before


def test_another_configuration_is_refused_with_the_difference(straight: Path, data: Path):
    done = finish(*TINY, "--out", str(straight), "--data-dir", str(data), "--momentum", "0.5")
    assert done.returncode == 2
    assert "momentum: 0.9 -> 0.5" in done.stderr
    assert done.stderr.count("\n") == 1
    again = finish(*TINY, "--out", str(straight), "--data-dir", str(data), "--no-resume")
    assert again.returncode == 2
    assert "holds a run" in again.stderr


def test_predict_writes_classes_and_overlays_of_any_size(straight: Path, tmp_path: Path):
    rng = np.random.default_rng(0)
    names = []
    for name, size in (("wide", (40, 101)), ("tall", (130, 17))):
        names.append(str(tmp_path / f"{name}.png"))
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(names[-1])
    out = tmp_path / "out"
    done = predict_images(str(straight), *names, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "FCN-8s, 7 classes" in done.stdout
    with Image.open(out / "wide_classes.png") as classes:
        assert (classes.mode, classes.size) == ("P", (101, 40))
        assert np.asarray(classes).max() < 7
    with Image.open(out / "tall_overlay.png") as overlay:
        assert (overlay.mode, overlay.size) == ("RGB", (17, 130))
    bad = predict_images(str(straight), str(straight / "run.json"))
    assert bad.returncode == 2
    assert "run.json: not a readable image" in bad.stderr


def test_predict_goes_through_a_folder_and_names_what_it_skips(
    straight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Folders are kept, two of one stem keep their suffixes, probabilities are the classes'."""
    rng, photos, out = np.random.default_rng(0), tmp_path / "photos", tmp_path / "out"
    for name in ("a.png", "a.jpg", "deep/b.PNG"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 256, (40, 101, 3), dtype=np.uint8)
        Image.fromarray(image).save(photos / name)
    (photos / "c.jpg").write_text("no picture")
    (photos / ".DS_Store").write_text("")
    with pytest.raises(Skipped, match=r"^1 of 4 images were skipped$"):
        predict(straight, [photos], probabilities="npz", out=out)
    shown = capsys.readouterr().out
    assert f"skipped: {photos / 'c.jpg'}: not a readable image" in shown
    assert "3 images in" in shown
    assert len(list(out.rglob("*_overlay.png"))) == 3
    with np.load(out / "deep/b.PNG_probabilities.npz") as found:
        chances, names = found["probabilities"], found["names"].tolist()
    assert (chances.shape, names) == ((40, 101, 7), list(SCENE_CLASSES))
    np.testing.assert_allclose(chances.astype(np.float32).sum(-1), 1, atol=5e-3)
    with Image.open(out / "deep/b.PNG_classes.png") as classes:
        shown_classes = np.asarray(classes)
    best = np.take_along_axis(chances, shown_classes[..., None].astype(int), -1)[..., 0]
    assert (best >= chances.max(-1) - 1e-3).all()


def test_results_are_named_apart(tmp_path: Path):
    for name in ("x/a.png", "y/a.png", "x/b.jpg", "x/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    x, y = tmp_path / "x", tmp_path / "y"
    assert list(name_results([x / "a.png"])) == ["a"]
    assert list(name_results([x / "b.png", x / "b.jpg"])) == ["b.png", "b.jpg"]
    assert list(name_results([x / "a.png", y / "a.png"])) == ["x_a.png", "y_a.png"]
    with pytest.raises(InputError, match="two images are called"):
        name_results([x / "a.png", x / "a.png"])


def test_predict_replaces_no_input(straight: Path, tmp_path: Path):
    names = [tmp_path / "a.png", tmp_path / "a_classes.png"]
    for name in names:
        Image.new("RGB", (20, 20)).save(name)
    before = names[1].read_bytes()
    with pytest.raises(InputError, match=r"a_classes\.png: is an input, which its output would"):
        predict(straight, names, which="latest", out=tmp_path)
    assert names[1].read_bytes() == before


def test_an_evaluation_is_what_training_found(straight: Path, data: Path, tmp_path: Path):
    """On the run's own test images; on all of them it says that most were trained on."""
    words = [str(straight / "fcn16s"), "--which", "latest", "--out", str(tmp_path / "out")]
    words += ["--data-dir", str(data)]
    found = evaluate_command.run(parse(EVALUATE, words), None, Bar())
    row = read_rows(straight / "fcn16s" / "metrics.jsonl")[-1]
    assert found["step"] == row["step"]
    for name, value in row["test"].items():
        assert found[name] == pytest.approx(value, rel=1e-5), name
    assert found["images"] == 6
    every = evaluate_command.run(parse(EVALUATE, [*words, "--side", "all"]), None, Bar())
    assert every["images"] == 18
    assert every["warnings"][-1].startswith("12 of the 18 images are what this run was trained on")
    compare([straight], out=tmp_path / "page.html")
    assert "<td>fcn16s</td>" in (tmp_path / "page.html").read_text()


def test_the_snippets_of_the_page_run(
    straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As they stand, in a folder with the run and the photo that they name."""
    page = (processes.ROOT / "jaxdl/fcn/README.md").read_text()
    section = page.split("## In Python\n")[1].split("\n## ")[0]
    loaded, trained = re.findall(r"```python\n(.*?)```", section, re.S)
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "fcn").symlink_to(straight)
    photo = next((straight / "samples").glob("*.jpg"))
    shutil.copy(photo, tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(loaded, names)
    with Image.open(photo) as image:
        assert names["found"].classes.shape == (image.height, image.width)
        assert names["overlay"].shape == (image.height, image.width, 3)
    assert names["found"].names == SCENE_CLASSES
    assert names["segmenter"].model.stride == 8
    exec(trained, names)
    assert find(tmp_path / "runs" / "squares").parent.name == "fcn32s"


def test_a_start_of_another_width_is_refused(straight: Path):
    """The scores' biases would fit, and a training from scratch would pass for a fine-tuning."""
    cfg = dataclasses.replace(PRESETS["demo"], width_divisor=16, start_from=straight)
    with pytest.raises(InputError, match=r"run.*FCN of --width-divisor 32, this one of 16.*use"):
        first_start(cfg, Bar())
    begin, _ = first_start(dataclasses.replace(cfg, width_divisor=32), Bar())
    assert begin.saved is not None
    assert begin.mean == begin.saved.mean


def test_void_and_bad_input_stop_before_training(tmp_path: Path):
    """A label value outside the classes, found in the experiment: one line, nothing trained."""
    devkit = write_scenes(tmp_path / "scenes", train=4, val=2, seed=0)
    label = devkit / "VOC2012" / "SegmentationClass" / "scene_0002.png"
    with Image.open(label) as image:
        pixels = np.array(image)
    pixels[0, 0] = 9
    broken = Image.fromarray(pixels)
    broken.putpalette(list(range(256)) * 3)
    broken.save(label)
    done = finish(
        *TINY,
        "--data",
        str(devkit),
        "--out",
        str(tmp_path / "run"),
        "--data-dir",
        str(tmp_path / "d"),
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "scene_0002.png" in done.stderr
    assert "9" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": (1, 2)}, "--epochs"),
        ({"learning_rate": (0.1, 0.2)}, "--learning-rate"),
        ({"stages": (8, 32, 16)}, "--stages"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"weights": Path("vgg16.npz")}, "--weights vgg16.npz"),
        ({"preset": "voc"}, "--data is missing"),
    ],
)
def test_configurations_that_cannot_be_trained_are_refused(changes: dict, message: str):
    with pytest.raises(InputError, match=message):
        check(dataclasses.replace(PRESETS["demo"], **changes))


def test_presets_are_sound():
    for name, preset in PRESETS.items():
        assert preset.preset == name
        assert isinstance(preset, Config)
        if name not in ("demo", "finetune"):  # which a checkpoint completes
            preset_with_data = type(preset)(
                **{f: getattr(preset, f) for f in preset.__dataclass_fields__ if f != "data"},
                data=Path("VOCdevkit"),
            )
            check(preset_with_data)


def test_a_non_finite_loss_names_the_step_and_the_images(tmp_path: Path, data: Path):
    """A real divergence: an absurd learning rate."""
    done = finish(
        *TINY,
        *("--learning-rate", "1e9", "1", "1", "--clip-norm", "None"),
        *("--out", str(tmp_path / "run"), "--data-dir", str(data)),
    )
    assert done.returncode == 3, done.stderr
    assert "at step" in done.stderr
    assert "scene_" in done.stderr


def test_fewer_stages_take_what_the_preset_gives_for_their_strides():
    demo = PRESETS["demo"]
    cfg = for_each_stage(dataclasses.replace(demo, stages=(16, 8)))
    assert cfg.epochs == demo.epochs[1:]
    assert cfg.learning_rate == demo.learning_rate[1:]
    with pytest.raises(InputError, match="--epochs 3 4 5: give one value, or 2"):
        for_each_stage(dataclasses.replace(demo, stages=(16, 8), epochs=(3, 4, 5)))


def test_a_frozen_trunk_stays_what_it_was_and_the_scores_learn(
    straight: Path, data: Path, tmp_path: Path
):
    words = [*TINY, "--data-dir", str(data), "--out", str(tmp_path / "run"), "--stages", "16"]
    words += ["--start-from", str(straight / "fcn32s"), "--freeze", "trunk", "--epochs", "1"]
    run(parse(TRAIN, [*words, "--learning-rate", "0.05"]), Bar())
    folders = (straight / "fcn32s", tmp_path / "run" / "fcn16s")
    before, after = (checkpoint.load_params(f / "checkpoints")[0] for f in folders)
    jax.tree.map(np.testing.assert_array_equal, after["trunk"], before["trunk"])
    assert not np.array_equal(after["score_pool5"]["kernel"], before["score_pool5"]["kernel"])
