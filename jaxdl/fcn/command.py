"""Fully convolutional networks on PASCAL VOC: fcn32s, then fcn16s from its checkpoint, then fcn8s.

    python -m experiments.fcn --preset demo                        embedded scenes, about 4 minutes
    python -m experiments.fcn --voc VOCtrainval_11-May-2012.tar --weights vgg16.safetensors
    python -m experiments.fcn predict --checkpoint runs/demo/fcn photo.jpg
    python -m experiments.fcn --mesh data=8 --batch-size 16 --voc ...   eight devices; README, hosts

Presets, and what to expect of them:

- demo: seven classes of drawn scenes, a trunk of 1/8 width from a random start. On 2 CPU cores:
  mean IU 40.7 (32s), 60.4 (16s), 81.1 % (8s), the mean of seeds 0, 1, 2; 3.5 minutes each.
- voc: the seed's run: its 4:1 split of VOC2012's 2,913 images, one image at a time, from VGG-16's
  ImageNet weights. The seed reports the mean per-image pixel accuracy: just under 92 % (32s), about
  94 % (16s). It does not give its learning rate. Ours, 1e-4, took the loss on two VOC photos from
  14 to 0.34 in 30 steps, where 1e-3 did not settle (Chainer's default is 1e-2).
- paper: SBD train, tested on seg11valid, the heavy-momentum recipe of the papers' code with its
  sum loss (rates 1e-10, 1e-12, 1e-14, decay 5e-4) as a mean loss over 187,500 pixels. The papers'
  code reports mean IU 63.63, 65.01, 65.51 % (with fc6 and fc7, which we leave out as the seed).
  voc and paper have not been run by us: they take days on a CPU.
"""

from collections.abc import Sequence
from typing import Any

from jax.sharding import Mesh

from jaxdl.cli.command import main, parse
from jaxdl.cli.compiling import started
from jaxdl.cli.launch import train_everywhere
from jaxdl.cli.progress import Bar
from jaxdl.devices import cpu_memory
from jaxdl.fcn.config import FREE, PRESETS, Config, check
from jaxdl.fcn.train import run_stages


def run(cfg: Config, bar: Bar) -> dict:
    """Train the stages (or go on with them); returns and writes the summary (process 0 alone)."""
    check(cfg)
    names = [f"fcn{stride}s" for stride in cfg.stages]

    def train(config: dict[str, Any], record: dict[str, Any] | None, mesh: Mesh | None) -> dict:
        return run_stages(cfg, config, record, mesh, bar)

    summary = train_everywhere(cfg, bar, train, free=FREE, parts=names)
    if not summary:
        return {}
    for name in names:
        bar.line(
            "{name}: mean IU {mean_iu:.1%}, pixel accuracy {pixel_accuracy:.1%}, mean image "
            "accuracy {mean_image_accuracy:.1%}, {seconds:.0f} s".format(name=name, **summary[name])
        )
    bar.line(f"report: {cfg.out / 'report.html'}")
    bar.warn(summary.get("warnings", ()))
    return summary


def command(name: str, words: Sequence[str]) -> None:
    """``jaxdl fcn NAME WORDS``: train, predict or plan."""
    cpu_memory.start()
    prog = f"jaxdl fcn {name}"
    if name == "predict":
        from jaxdl.fcn import predict

        main(lambda: predict.predict(words, prog))
    elif name == "plan":
        from jaxdl.fcn import plan_command  # what only plans is imported when asked for

        main(lambda: plan_command.run(words, prog, Config, PRESETS))
    else:
        main(lambda: run(started(parse(Config, PRESETS, words, prog)), Bar()))
