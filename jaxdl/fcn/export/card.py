"""The card (README.md) of an exported FCN: what goes in, what comes out, where it came from."""

from collections.abc import Sequence

from jaxdl.cli.exporting import File, code, file_table, table
from jaxdl.fcn.saved import Saved
from jaxdl.training.transfer import by_name

_ALIGN = {
    "exact": "pixel centre over pixel centre",
    "center": "the middle of the transposed convolution, as Chainer of 2016 crops",
}


def card(saved: Saved, title: str, files: Sequence[File], facts: Sequence[tuple[str, str]]) -> str:
    """The page, as Markdown.

    Args:
        saved: the checkpoint that was exported.
        title: the format, in words.
        files: of the folder.
        facts: what goes in and comes out, each with its name.
    """
    model = saved.model
    count = sum(leaf.size for leaf in by_name(saved.params).values())
    mean = ", ".join(f"{value:g}" for value in saved.mean)
    rows = [
        ("network", f"FCN-{model.stride}s on VGG-16's convolutions (no fc6 and fc7)"),
        ("parameters", f"{count:,}, float32; channels are VGG-16's over {model.width}"),
        ("alignment of the upsampling", f"{model.align}: {_ALIGN[model.align]}"),
        ("mean, subtracted from RGB 0..255", mean),
        ("checkpoint", code(saved.origin)),
        *facts,
    ]
    lines = [
        "---",
        "library_name: jaxdl",
        "pipeline_tag: image-segmentation",
        "---",
        "",
        f"# FCN-{model.stride}s of {model.num_classes} classes: {title}",
        "",
        "Written by `jaxdl fcn export`. `python example.py photo.jpg` runs it.",
        "",
        *file_table(files),
        "",
        *table("", "", rows),
        "",
        *table("class", "name", [(str(n), code(name)) for n, name in enumerate(saved.classes)]),
        "",
        "What it was trained on and how well it does are in the run's own report: add them here "
        "before you pass it on.",
    ]
    return "\n".join(lines) + "\n"
