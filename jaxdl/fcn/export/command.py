"""``jaxdl fcn export``: a folder of the model, its card, and an example that runs it; or a page."""

import json
from typing import NamedTuple

from jaxdl.cli.exporting import File, check_folder, need, write_folder
from jaxdl.cli.progress import Bar
from jaxdl.fcn.choices import ExportFormat
from jaxdl.fcn.export import examples, page, safetensors
from jaxdl.fcn.export.card import card
from jaxdl.fcn.options import Export
from jaxdl.fcn.saved import Saved, load, meta_of
from jaxdl.files.results import Results

MODELS: dict[ExportFormat, str] = {
    "safetensors": safetensors.FILE,
    "onnx": "model.onnx",
    "stablehlo": "model.jax",
}
_NEEDS: dict[ExportFormat, str] = {"onnx": "onnx", "stablehlo": "flatbuffers"}


class Exported(NamedTuple):
    """What a format makes of a checkpoint.

    Attributes:
        title: the format, in words.
        files: the model first.
        example: the script.
        facts: of the card: what goes in and comes out.
    """

    title: str
    files: list[File]
    example: str
    facts: list[tuple[str, str]]


def export(options: Export, bar: Bar) -> None:
    """Write the folder; earlier results of this command are replaced, no other files.

    Raises:
        InputError: no checkpoint, a library that is not installed, a layout that the network does
            not have, or the results have no place there.
        TrainingError: the disk is full.
    """
    if options.format in _NEEDS:
        need(options.format, _NEEDS[options.format])
    given = safetensors.find(options.run)
    results = Results("jaxdl fcn export", [] if given is None else [given])
    if options.format == "page":
        results.check(options.out / page.FILE)
        page.export_page(
            options.run, options.out / page.FILE, options.which, results.write, bar.line
        )
        return
    names = [MODELS[options.format], *(["classes.json"] if options.format == "stablehlo" else [])]
    check_folder(results, options.out, names, MODELS.values())
    saved = load(options.run, options.which, bar.line)
    made = _MAKERS[options.format](saved, options)
    about = card(saved, made.title, made.files, made.facts)
    write_folder(results, options.out, made.files, about, made.example)
    name, content, _ = made.files[0]
    if saved.model.compute_dtype is not None and options.format == "onnx":
        bar.line(f"it computes in float32; the network was trained in {saved.model.compute_dtype}")
    what = f"{saved.origin}: FCN-{saved.model.stride}s, {saved.model.num_classes} classes"
    bar.line(f"{what}, {len(content) / 1e6:.3g} MB -> {options.out / name}")


_BYTES = "RGB 0..255, as decoded; the mean is subtracted inside"


def _output(saved: Saved, options: Export) -> tuple[str, str]:
    """What comes out of a graph or a program, for the card."""
    shape = "uint8 (batch, height, width)"
    if options.output != "classes":
        shape = f"float32 (batch, height, width, {saved.model.num_classes})"
    return "output", f"`{options.output}`: {shape}"


def _safetensors(saved: Saved, options: Export) -> Exported:
    name = MODELS["safetensors"]
    if options.layout == "torchvision":
        content = safetensors.torch_bytes(saved.params["trunk"], saved.mean)
        input = "(RGB / 255 - (.485, .456, .406)) / (.229, .224, .225); zeros around it"
        what = "the trunk in the keys and layout of torchvision's vgg16, `features.N`"
        facts = [("input of the trunk", input), ("scores", "left out: torchvision has none")]
        title = "the trunk in torchvision's layout"
        return Exported(title, [File(name, content, what)], examples.TORCHVISION, facts)
    meta = meta_of(saved.model, saved.mean, saved.classes)
    meta["palette"] = saved.colours[: len(saved.classes)].tolist()
    files = [File(name, safetensors.to_bytes(saved.params, meta), "parameters and metadata")]
    facts = [
        ("read again by", "`jaxdl.Segmenter.load`, `jaxdl fcn predict`, `--start-from`"),
        ("kernels", "(height, width, in, out), keys `trunk/conv1_1/kernel` and so on"),
    ]
    return Exported("safetensors", files, examples.SAFETENSORS, facts)


def _onnx(saved: Saved, options: Export) -> Exported:
    from jaxdl.fcn.export import onnx
    from jaxdl.files.onnx_graph import OPSET

    network = saved.model, saved.params, saved.mean
    content = onnx.to_bytes(*network, saved.classes, options.output)
    facts = [
        ("input", f"`images`: uint8 (batch, height, width, 3), any sizes; {_BYTES}"),
        _output(saved, options),
        ("opset", f"{OPSET}; the metadata hold the names of the classes as JSON"),
    ]
    return Exported("ONNX", [File(onnx.FILE, content, "the graph")], examples.ONNX, facts)


def _stablehlo(saved: Saved, options: Export) -> Exported:
    from jaxdl.fcn.export import stablehlo

    size, batch, platforms = options.size, options.batch_size, options.platforms
    network = saved.model, saved.params, saved.mean
    content = stablehlo.to_bytes(
        *network, options.output, batch=batch, size=size, platforms=platforms
    )
    facts = [
        ("input 1", f"images: uint8 ({batch}, {size[0]}, {size[1]}, 3); {_BYTES}"),
        ("input 2", f"sizes: int32 ({batch}, 2): height and width of each image inside"),
        _output(saved, options),
        ("platforms", ", ".join(platforms)),
        ("read by", "`jax.export.deserialize`, of this release of JAX or a later one"),
    ]
    names = json.dumps([*saved.classes], ensure_ascii=False).encode(errors="backslashreplace")
    files = [
        File(stablehlo.FILE, content, "the program, its parameters inside"),
        File("classes.json", names, "the names of the classes"),
    ]
    return Exported("StableHLO by jax.export", files, examples.STABLEHLO, facts)


_MAKERS = {"safetensors": _safetensors, "onnx": _onnx, "stablehlo": _stablehlo}
