"""An FCN-8s passed on to two new classes with 20 images, beside training from scratch.

    python -m experiments.fcn_finetune       about 12 minutes on 2 CPU cores

First the demo's three stages are trained (experiments/fcn.py). Its FCN-8s then learns moons and
stars: the trunk and the background's scores are passed on, the scores of new classes start at zero.
jaxdl/fcn/README.md has the numbers to expect. The fine-tuning ends in the same bits as
`jaxdl fcn finetune RUN --data NEW`, where the data decides the same epochs and batch.
"""

import dataclasses

from experiments import fcn, start
from jaxdl.cli.progress import Bar
from jaxdl.fcn.config import PRESETS, Config
from jaxdl.fcn.data.scenes import OTHER_CLASSES, write_scenes
from jaxdl.fcn.dataset import Data, open_data, open_source
from jaxdl.fcn.settle import RATES

IMAGES = (20, 100)  # to train on, to test on
CONFIG = dataclasses.replace(
    PRESETS["finetune"],
    stages=(8,),
    width_divisor=8,
    epochs=(60,),
    batch_size=8,
    learning_rate=(RATES["narrow"],),
)
SCRATCH = dataclasses.replace(PRESETS["own"], epochs=(120, 60, 60), batch_size=8)


def experiment(cfg: Config = CONFIG, scratch: Config = SCRATCH, demo: Config = fcn.PRESETS["demo"]):
    """Both ways in folders below ``cfg.out``; returns the mean IU of each."""
    rest = {"seed": cfg.seed, "data_dir": cfg.data_dir}
    fcn.experiment(dataclasses.replace(demo, out=cfg.out / "demo", **rest))
    data = new_classes(cfg)
    tuned = dataclasses.replace(cfg, out=cfg.out / "finetune")
    found = {"finetune": fcn.train_stage(tuned, data, 0, 8, cfg.out / "demo" / "fcn8s")}
    before = None
    for number, stride in enumerate((32, 16, 8)):
        run = dataclasses.replace(scratch, out=cfg.out / "scratch", **rest)
        found["scratch"] = fcn.train_stage(run, data, number, stride, before)
        before = run.out / f"fcn{stride}s"
    Bar().line("mean IU: " + ", ".join(f"{name} {iu:.1%}" for name, iu in found.items()))
    return found


def new_classes(cfg: Config) -> Data:
    """Scenes of moons and stars, of this seed."""
    train, test = IMAGES
    folder = cfg.data_dir / f"moons-and-stars-{cfg.seed}"
    path = write_scenes(folder, train=train, val=test, seed=cfg.seed, classes=OTHER_CLASSES)
    cfg = dataclasses.replace(cfg, data=path)
    return open_data(cfg, *open_source(cfg, Bar()), Bar())


if __name__ == "__main__":
    start(experiment, CONFIG, "jaxdl fcn finetune")
