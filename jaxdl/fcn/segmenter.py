"""An FCN as a Python object: train it on arrays or files, predict, evaluate, save.

It holds parameters and what a checkpoint says of them; each method is one call of public functions.
Nothing is printed unless asked, and nothing of the process is changed.
"""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.fcn.arguments import config_of
from jaxdl.fcn.checks import check_training
from jaxdl.fcn.choices import Align
from jaxdl.fcn.config import Config
from jaxdl.fcn.data import voc
from jaxdl.fcn.data.arrays import join, pair_up, to_image
from jaxdl.fcn.data.batches import BatchSource, choose_canvases, read_ahead
from jaxdl.fcn.data.masks import MaskRule
from jaxdl.fcn.data.splits import Split, random_split
from jaxdl.fcn.dataset import Data, arrange, open_data, open_source
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.own import fit
from jaxdl.fcn.saved import Saved, Which, load, meta_of
from jaxdl.fcn.start import VGG_MEAN, Start, first_start
from jaxdl.fcn.task import make_batch_probabilities, make_evaluate
from jaxdl.fcn.train import SCORE, train_stages
from jaxdl.report.pictures import overlay
from jaxdl.training import checkpoint
from jaxdl.training.run_folder import read_rows

BATCH = 8  # images of one canvas that are predicted at once


class Prediction(NamedTuple):
    """What the network says of one image.

    Attributes:
        classes: of each pixel, uint8 (h, w).
        probabilities: of each pixel and class, float32 (h, w, c).
        names: of the classes.
        image: that was segmented, uint8 (h, w, 3).
        colours: of the classes, uint8 (256, 3).
    """

    classes: UInt8[np.ndarray, "h w"]
    probabilities: Float[np.ndarray, "h w c"]
    names: tuple[str, ...]
    image: UInt8[np.ndarray, "h w 3"]
    colours: UInt8[np.ndarray, "256 3"]

    def overlay(self) -> UInt8[np.ndarray, "h w 3"]:
        """The image with the classes in colour; see `jaxdl.report.pictures.overlay`."""
        return overlay(self.image, self.classes, self.colours)


class Segmenter:
    """Train an FCN on images and masks, and predict with it.

    Args:
        classes: their names, in the order of the masks' numbers, the background first.
        weights: file of VGG-16's ImageNet weights; None: the trunk starts at random.
        stages: strides to train one after another; by default 32, 16 and 8 but for those that are
            too coarse for the images.
        width_divisor: divides VGG-16's channels; None: 1 with weights, 8 without.
        align: alignment of the upsampling.

    Attributes:
        model: the network of the last stage; None before `fit` or `load`.
        params: its parameters.
        mean: colour that is subtracted, RGB.
        history: of the last `fit`: the rows of metrics of each stage, by its name.
        warnings: of the last `fit`: reasons not to take its result for a good one.
    """

    def __init__(
        self,
        classes: Sequence[str] = (),
        *,
        weights: str | Path | None = None,
        stages: Sequence[int] = (),
        width_divisor: int | None = None,
        align: Align = "exact",
    ) -> None:
        self.classes = tuple(classes)
        if len(set(self.classes)) != len(self.classes) or isinstance(classes, str):
            raise InputError(f"classes {classes!r}: give a list of names, each once")
        self.model: FCN | None = None
        self.params: Any = None
        self.mean: tuple[float, ...] = VGG_MEAN
        self.colours = voc.palette()
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.warnings: list[str] = []
        self._start: dict[str, Any] = {"stages": tuple(stages), "align": align}
        if weights is not None:
            self._start["weights"] = Path(weights)
        if width_divisor is not None:
            self._start["width_divisor"] = width_divisor

    @classmethod
    def load(cls, run: str | Path, which: Which = "best") -> "Segmenter":
        """Of a run of a command, a stage, one step, or what `save` wrote: `jaxdl.fcn.saved.load`.

        Raises:
            InputError: it holds no checkpoint of an FCN.
        """
        found = cls()
        found._take(load(Path(run), which, lambda line: None))
        return found

    def fit(
        self,
        images: Any,
        masks: Sequence[Any] | None = None,
        *,
        validation: Any = None,
        epochs: int | Sequence[int] | None = None,
        seed: int = 0,
        progress: bool = False,
        **options: Any,
    ) -> "Segmenter":
        """Train; from the present parameters if there are some. It ends in the command's bits.

        Args:
            images: arrays uint8 (h, w, 3), Pillow's pictures or paths, of any sizes. Or one path:
                what the command's --data takes.
            masks: arrays (h, w) of class numbers, 255 where void; or paths.
            validation: what is tested on after each epoch, and picks the best: a pair (images,
                masks), or a share of the images. None: a fifth of them.
            epochs: of each stage; None: the data decides.
            seed: of the start, the split and the order.
            progress: print what the command prints.
            **options: fields of `jaxdl.fcn.config.Config`, such as learning_rate, batch_size,
                freeze, mask_values, class_weights.

        Calls `jaxdl.fcn.train.train_stages`.

        Raises:
            InputError: an option or data that cannot be trained with.
        """
        bar = Bar() if progress else _silent()
        with tempfile.TemporaryDirectory(prefix="jaxdl-") as folder:
            given = {"data_dir": Path(folder) / "data", **options, "epochs": epochs, "seed": seed}
            whole = isinstance(images, (str, Path))
            given |= {"data": Path(images)} if whole else {}
            cfg = config_of(self.classes, self._start if self.model is None else self.model, given)
            cfg = dataclasses.replace(cfg, out=Path(folder) / "run", samples=1)
            if whole:
                data = open_data(cfg, *open_source(cfg, bar), bar)
            else:
                data = self._arrays(cfg, images, masks, validation, bar)
            start = self._begin(cfg, bar)
            cfg = fit(cfg, data, bar)
            self.warnings, self.history = list(data.warnings), {}
            for name, _, doubts in train_stages(cfg, data, start, None, bar):
                self.warnings += doubts
                self.history[name] = read_rows(cfg.out / name / "metrics.jsonl")
            self._take(load(cfg.out / f"fcn{cfg.stages[-1]}s", say=bar.line))
        return self

    def predict(self, images: Any, *, scale: float | int | None = None) -> Any:
        """The classes of an image, or of each of a list; sizes may be mixed.

        Args:
            images: a path, Pillow's picture or an array (h, w, 3), uint8 or floating point from 0
                to 255; or a list of them.
            scale: what floating point numbers are multiplied by: 255 if they are from 0 to 1.

        Calls `jaxdl.fcn.task.make_batch_probabilities`: batches of one canvas, exact for each size.

        Returns:
            A `Prediction`, or a list of them.

        Raises:
            InputError: not a picture; floating point numbers within 0 to 1 without `scale`.
        """
        model, many = self._trained(), isinstance(images, (list, tuple))
        pictures = [
            to_image(image, f"image {n}" if many else "the image", scale)
            for n, image in enumerate(images if many else [images])
        ]
        call = make_batch_probabilities(model, jnp.asarray(self.mean, jnp.float32), BATCH)
        found = [
            Prediction(
                chances.argmax(-1).astype(np.uint8), chances, self.classes, image, self.colours
            )
            for image, chances in zip(pictures, call(self.params, pictures), strict=True)
        ]
        return found if many else found[0]

    def evaluate(self, images: Sequence[Any], masks: Sequence[Any], **rule: Any) -> dict[str, Any]:
        """Metrics over labelled images (`jaxdl.fcn.metrics.compute_metrics`).

        Args:
            images: as of `fit`.
            masks: as of `fit`.
            **rule: of `jaxdl.fcn.data.masks.MaskRule`, for masks that are files: values=(0, 255).

        Calls `jaxdl.fcn.task.make_evaluate`.
        """
        model = self._trained()
        pairs = pair_up(images, masks, len(self.classes), MaskRule(**rule))
        canvases = choose_canvases(pairs.sizes, 3)
        source = BatchSource(pairs, range(len(pairs)), canvases, BATCH, seed=None)
        call = make_evaluate(model, jnp.asarray(self.mean, jnp.float32))
        return call(self.params, read_ahead(source))

    def save(self, run: str | Path) -> None:
        """Write a folder that the commands read as a RUN, and `load` too.

        Raises:
            InputError: the folder holds something already, or cannot be written.
        """
        model, folder = self._trained(), Path(run)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder}: holds something already; name another folder")
        meta = meta_of(model, self.mean, self.classes) | {"score": SCORE._asdict(), "step": 1}
        steps = folder / f"fcn{model.stride}s" / "checkpoints"
        with checkpoint.open_manager(steps, SCORE, lambda line: None) as manager:
            state = {"step": jnp.ones((), jnp.int32), "params": self.params}
            checkpoint.save(manager, 1, state, meta, None)

    def _trained(self) -> FCN:
        if self.model is None:
            raise InputError("the Segmenter has no parameters: fit it, or use Segmenter.load")
        return self.model

    def _take(self, saved: Saved) -> None:
        self.model, self.params, self.mean = saved.model, saved.params, saved.mean
        self.classes, self.colours = saved.classes, saved.colours

    def _begin(self, cfg: Config, bar: Bar) -> Start:
        if self.model is None:
            return first_start(cfg, bar)[0]
        params = jax.tree.map(np.asarray, self.params)
        rest = (self.mean, self.classes, self.colours, Path(), "its own parameters")
        return Start(Saved(self.model, params, *rest), None, self.mean)

    def _arrays(self, cfg: Config, images: Any, masks: Any, validation: Any, bar: Bar) -> Data:
        """The pairs in memory, split."""
        if masks is None:
            raise InputError("fit: give masks too, or the path of a data set as the command does")
        rule = MaskRule(values=cfg.mask_values) if cfg.mask_values else MaskRule()
        count = len(self.classes)
        if isinstance(validation, (int, float)):
            cfg = dataclasses.replace(cfg, test_share=float(validation))
            check_training(cfg)
        if validation is None or isinstance(validation, (int, float)):
            pairs = pair_up(images, masks, count, rule)
            split = random_split(pairs.ids, cfg.seed, cfg.test_share, False)
        else:
            own = pair_up(images, masks, count, rule)
            pairs = join(own, pair_up(validation[0], validation[1], count, rule))
            split = Split(pairs.ids[: len(own)], pairs.ids[len(own) :])
        return arrange(cfg, self.classes, split, pairs, lambda id: f"mask {int(id)}", bar)


def _silent() -> Bar:
    bar = Bar()
    bar.console.quiet = True
    return bar
