"""The demo scenes are a real VOC tree, the same for the same seed, with clean outlines."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxdl.errors import InputError
from jaxdl.fcn.data import voc
from jaxdl.fcn.data.scenes import SCENE_CLASSES, make_scene, write_scenes
from jaxdl.fcn.data.source import check_files
from jaxdl.fcn.data.splits import official_split

TRAIN, VAL = 30, 10


@pytest.fixture(scope="module")
def devkit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("demo") / "scenes", train=TRAIN, val=VAL, seed=0)


@pytest.fixture(scope="module")
def pairs(devkit: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Image and label (void -1) of each scene, read as VOC's are."""
    source = voc.open_voc(devkit)
    return {
        id: (
            voc.read_image(source.image(id), source.image_name(id)),
            source.read_label(id, len(source.classes)),
        )
        for id in source.ids("trainval")
    }


def contents(root: Path) -> dict[str, bytes]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def times(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def small(root: Path, *, train: int = 2, val: int = 1, seed: int = 3, progress=None) -> Path:
    return write_scenes(root, train=train, val=val, seed=seed, progress=progress)


def test_tree_is_read_as_voc(devkit: Path):
    source = voc.open_voc(devkit)
    split = official_split(source)
    assert (len(split.train), len(split.test)) == (TRAIN, VAL)
    assert source.ids("trainval") == split.train + split.test
    assert source.classes == SCENE_CLASSES
    assert len(SCENE_CLASSES) >= 7
    check_files(source, source.ids("trainval"))


def test_labels_are_palette_pngs(devkit: Path):
    """Classes and 255 only, in VOC's colours, so that any viewer shows them as VOC's."""
    for path in sorted((devkit / "VOC2012" / "SegmentationClass").glob("*.png")):
        with Image.open(path) as image:
            assert image.mode == "P"
            values, colours = np.asarray(image), np.array(image.getpalette())
        assert set(np.unique(values)) <= {*range(len(SCENE_CLASSES)), 255}
        used = np.unique(values)
        np.testing.assert_array_equal(colours.reshape(-1, 3)[used], voc.palette()[used])


def test_image_and_label_have_one_size_and_sizes_vary(pairs):
    sizes = {label.shape for _, label in pairs.values()}
    for image, label in pairs.values():
        assert image.shape == (*label.shape, 3)
        assert all(88 <= side <= 128 for side in label.shape)
    assert len(sizes) > 20
    assert any(h > w for h, w in sizes)
    assert any(h < w for h, w in sizes)


def test_every_class_is_in_train_and_in_test(pairs):
    for ids in (list(pairs)[:TRAIN], list(pairs)[TRAIN:]):
        present = np.unique(np.concatenate([pairs[id][1].ravel() for id in ids]))
        np.testing.assert_array_equal(present, np.arange(-1, len(SCENE_CLASSES)))


def test_void_lies_between_an_object_and_all_else(pairs):
    """Pixels that touch, corners too, are of one class, or one of them is void."""
    for id, (_, label) in pairs.items():
        h, w = label.shape
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
            a = label[: h - dy, max(0, -dx) : w - max(0, dx)]
            b = label[dy:, max(0, dx) : w - max(0, -dx)]
            assert not ((a != b) & (a >= 0) & (b >= 0)).any(), (id, dy, dx)


def test_rims_are_thin(pairs):
    """Most of a scene can be scored: void is a rim, not a class."""
    share = np.mean([(label < 0).mean() for _, label in pairs.values()])
    assert 0.01 < share < 0.15


def test_some_objects_are_thinner_than_a_score_and_some_are_cut(pairs):
    """Poles reach no 9x9 square of their own; objects run out of the frame."""
    pole, cut = SCENE_CLASSES.index("pole"), 0
    for _, label in pairs.values():
        mask = np.pad(label == pole, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
        squares = mask[9:, 9:] - mask[:-9, 9:] - mask[9:, :-9] + mask[:-9, :-9]
        assert squares.max() < 81
        edge = np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]])
        cut += (edge > 0).any()
    assert cut > len(pairs) / 2


def test_objects_are_seen_in_the_picture(pairs):
    """An object's colour is not the ground's beside it: the label lies where the picture has it.

    Across a rim the picture changes more than it does across the same rim moved elsewhere."""
    at, elsewhere = [], []
    for image, label in pairs.values():
        steps = np.abs(np.diff(image.astype(int), axis=1)).sum(-1)
        rim = (label < 0)[:, 1:]
        at.append(steps[rim].mean())
        elsewhere.append(steps[np.roll(rim, (label.shape[0] // 2, label.shape[1] // 2), (0, 1))])
    assert np.mean(at) > 1.5 * np.mean(np.concatenate(elsewhere))


def test_ground_is_textured(pairs):
    """No scene's background is one colour."""
    for image, label in pairs.values():
        assert image[label == 0].std(0).min() > 4


def test_same_seed_same_bytes(tmp_path: Path):
    first, again, other = (
        contents(small(tmp_path / name, seed=seed)) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert first == again
    assert first.keys() == other.keys()
    pictures = [name for name in first if name.endswith((".jpg", ".png"))]
    assert len(pictures) == 6
    assert all(first[name] != other[name] for name in pictures)
    assert len({first[name] for name in pictures}) == 6


def test_scene_does_not_depend_on_how_many_are_written(tmp_path: Path):
    few, more = (
        contents(small(tmp_path / str(n), train=n) / "VOC2012" / "JPEGImages") for n in (1, 3)
    )
    assert len(few) < len(more)
    assert few.items() <= more.items()


def test_second_call_writes_nothing(tmp_path: Path):
    devkit = small(tmp_path / "scenes")
    before, calls = times(tmp_path), []
    again = small(tmp_path / "scenes", progress=lambda done, of: calls.append(done))
    assert again == devkit
    assert times(tmp_path) == before
    assert not calls


@pytest.mark.parametrize("change", [{"train": 3}, {"val": 2}, {"seed": 4}])
def test_other_scenes_replace_the_tree(tmp_path: Path, change: dict):
    devkit = small(tmp_path / "scenes")
    (devkit / "VOC2012" / "JPEGImages" / "left.jpg").write_bytes(b"")
    small(tmp_path / "scenes", **change)
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]
    assert contents(tmp_path / "scenes") == contents(small(tmp_path / "new", **change).parent)


def test_progress_counts_every_scene(tmp_path: Path):
    calls: list[tuple[int, int]] = []
    small(tmp_path / "scenes", progress=lambda done, of: calls.append((done, of)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


class Interrupted(Exception):
    pass


def stop_at_two(done: int, of: int) -> None:
    if done == 2:
        raise Interrupted


def test_interrupted_writing_leaves_nothing(tmp_path: Path):
    root = tmp_path / "below" / "scenes"
    with pytest.raises(Interrupted):
        small(root, progress=stop_at_two)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
    small(root)
    assert contents(root) == contents(small(tmp_path / "straight").parent)


def test_interrupted_replacement_leaves_the_old_tree(tmp_path: Path):
    root = tmp_path / "scenes"
    small(root)
    before = contents(tmp_path)
    with pytest.raises(Interrupted):
        small(root, seed=4, progress=stop_at_two)
    assert contents(tmp_path) == before
    small(root, seed=4)
    assert contents(tmp_path) != before


def test_tree_without_its_pictures_is_written_again(tmp_path: Path):
    root = tmp_path / "scenes"
    small(root)
    before = contents(root)
    (root / "VOCdevkit").rename(tmp_path / "moved")
    small(root)
    assert contents(root) == before


@pytest.mark.parametrize("name", ["photos/mine.jpg", "photos"])
def test_what_is_not_scenes_is_never_deleted(tmp_path: Path, name: str):
    """A folder with something else in it, or a file."""
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"photos: not a folder of scenes; .*choose another"):
        small(tmp_path / "photos")
    assert contents(tmp_path) == {name: b"mine"}


def test_empty_folder_is_filled(tmp_path: Path):
    (tmp_path / "scenes").mkdir()
    assert small(tmp_path / "scenes").is_dir()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 300), (200, 40)])
def test_a_scene_of_any_size(height: int, width: int):
    picture, label = make_scene(np.random.default_rng(0), height, width)
    assert (picture.shape, label.shape) == ((height, width, 3), (height, width))
