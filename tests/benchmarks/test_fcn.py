"""The FCN benchmark: all that needs no PyTorch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.fcn import __main__ as fcn
from benchmarks.fcn import layers, workload


def small_fcn(out: Path, **given: Any) -> fcn.Config:
    """Ours alone, at 1/16 width."""
    options: Any = {"systems": ("ours",), "batches": (2,), "images": 3}
    options |= {"out": out, "json": out / "rows.json"}
    return fcn.Config(quick=True, **(options | given))


@pytest.mark.smoke
@pytest.mark.slow
def test_the_fcn_benchmark_times_steps_and_predictions(tmp_path: Path, capsys):
    """Each batch once and no more; programs are compiled in the warm-up alone."""
    rows = fcn.run(small_fcn(tmp_path))
    rows += fcn.run(small_fcn(tmp_path, sizes=("voc",), whats=("predict",)))
    written = json.loads((tmp_path / "rows.json").read_text())
    assert [(row["system"], row["width"], row["quick"]) for row in written] == [("ours", 16, True)]
    assert [(row.what, row.size, row.batch) for row in rows] == [
        *[(f"fcn32s {what}", "64", 2) for what in ("step", "predict")],
        ("fcn32s predict", "voc", 2),
    ]
    for row in rows:
        assert row.images_per_s > 0
        assert row.cpu_s > 0
        assert 0 < row.share_of_roof < 1
        assert row.share_done is not None
        # Winograd's products save three quarters at most. Padding and upsampling add some, and n
        # columns at once (n + 2) / 3 times the flops: 16 at a sixteenth of the first layer's width.
        assert 0.25 < row.share_done / row.share_of_roof < 6
        assert row.peak_mb > (row.compiled_mb or 0) > 0
        assert row.compilations == (1 if row.size == "64" else 3)  # canvases
    shown = capsys.readouterr().out
    assert "roof:" in shown
    assert "64, batch 2, 1/16 of the channels: too small" in shown


@pytest.mark.slow
def test_the_stream_has_the_sizes_of_voc():
    sizes = workload.stream_sizes(40)
    assert len(sizes) == 40
    assert {(375, 500), (500, 375), (333, 500), (500, 500)} <= set(sizes)
    assert sizes[:7] == workload.stream_sizes(7)
    batches = workload.on_canvases(workload.draw(sizes[:12]), 4)
    assert sum(int((np.asarray(batch.sizes)[:, 0] > 0).sum()) for batch in batches) == 12
    assert len({batch.images.shape for batch in batches}) <= workload.CANVASES


@pytest.mark.slow
def test_flops_of_a_step_are_three_forward_without_the_images_gradient():
    forward, step = (workload.flops(32, 1, step, [(64, 96)]) for step in (False, True))
    first = 2 * 9 * 3 * 64 * 64 * 96
    assert step == 3 * forward - first
    blocks = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    total, channels = 0, 3
    for n, (features, count) in enumerate(blocks):
        for _ in range(count):
            total += 2 * 9 * channels * features * 64 * 96 // 4**n
            channels = features
    assert total < forward < 1.02 * total  # the scores and the upsampling are small


def test_work_that_is_too_little_is_said_to_be():
    assert workload.too_small("224", 1, 1) == workload.too_small("voc", 1, 1) == ""
    assert workload.too_small("32", 4, 1) == ""  # as many pixels as one of 64x64
    for size, batch, width in (("32", 1, 1), ("voc", 4, 2)):
        assert "too small" in workload.too_small(size, batch, width)


@pytest.mark.slow
def test_layers_are_timed_in_every_direction():
    """conv1_1 has no gradient of its input; the flops are those of the convolutions."""
    found = list(layers.layers(32, 1, 32, budget=0.0))
    convolutions = [timed for timed in found if timed.flops]
    assert len(convolutions) == 13 * 3 - 1
    assert all(timed.best.seconds > 0 for timed in found)
    first = next(timed for timed in convolutions if timed.layer == "conv1_2")
    assert first.flops == 2 * 9 * 2 * 2 * 32 * 32
