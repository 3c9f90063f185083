"""``jaxdl lstm export``: a folder of the graph, its card and an example that runs it; or a page."""

from pathlib import Path

from jaxdl.cli.exporting import File, check_folder, need, write_folder
from jaxdl.cli.progress import Bar
from jaxdl.files.results import Results
from jaxdl.lstm.choices import ExportFormat
from jaxdl.lstm.export import page
from jaxdl.lstm.export.card import EXAMPLE, card
from jaxdl.lstm.export.program import read

GRAPH = "model.onnx"


def export(run: Path, *, network: str | None, format: ExportFormat, out: Path) -> None:
    """Write the folder; earlier results of this command are replaced, no other files.

    Args:
        run: folder of a finished run.
        network: best, SIZE or SIZE:SEED; None: what `jaxdl lstm predict` uses.
        format: onnx or page.
        out: the folder.

    Raises:
        InputError: no finished run, no such network, a library that is not installed, or the
            results have no place there.
        TrainingError: the disk is full.
    """
    results, bar = Results("jaxdl lstm export"), Bar()
    if format == "page":
        results.check(out / page.FILE)
        program = read(run, network)
        content = page.to_bytes(program, page.series_of(run, program))
        results.write(out / page.FILE, content)
        bar.line(f"{run}: {program.who} -> {out / page.FILE}, {len(content) / 1e3:.0f} kB")
        return
    need(format, "onnx")
    check_folder(results, out, [GRAPH], ())
    program = read(run, network)
    from jaxdl.files.onnx_graph import OPSET  # onnx may not be installed
    from jaxdl.lstm.export import onnx

    files = [File(GRAPH, onnx.to_bytes(program), "the graph")]
    write_folder(results, out, files, card(run, program, files, OPSET), EXAMPLE)
    bar.line(f"{run}: {program.who} -> {out / GRAPH}")
