"""``jaxdl fcn compare``: what it shows of runs, and what it says where they do not compare."""

import json
from pathlib import Path
from typing import Any

import pytest

from jaxdl.errors import InputError
from jaxdl.fcn.compare import differing_options, notes_of, read_run, shared_classes
from jaxdl.fcn.compare_command import class_rows, compare, stage_rows
from jaxdl.files.atomic import write_json
from tests.helpers.voc_tree import write


def recorded(
    folder: Path,
    classes: tuple[str, ...] = ("ground", "tree", "car"),
    tested: str = "a\nb\n",
    **config: Any,
) -> Path:
    """A finished run of two stages, as it records itself."""
    own = {"stages": [32, 8], "learning_rate": [0.1, 0.05], "momentum": 0.9, "out": str(folder)}
    record = {"config": own | config, "classes": classes, "splits": {"train": 5, "test": 2}}
    write_json(folder / "run.json", record | {"finished": {"at": "", "summary": ""}})
    write(folder / "splits/test.txt", tested)
    for stage, ius in (("fcn32s", (0.4, 0.3)), ("fcn8s", (0.5, 0.6))):
        rows = []
        for n, iu in enumerate(ius, 1):
            each = [iu - 0.1, *[iu + 0.05] * (len(classes) - 1)]
            test = {"mean_iu": iu, "pixel_accuracy": 0.9, "per_class_iu": each}
            rows.append({"step": n, "epoch": n, "seconds": 1.5, "test": test})
        write(folder / stage / "metrics.jsonl", "".join(f"{json.dumps(r)}\n" for r in rows))
    return folder


def test_stages_are_shown_beside_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    a, b = recorded(tmp_path / "a"), recorded(tmp_path / "<b>", momentum=0.99)
    compare([a, b / "fcn8s"], out=tmp_path / "page.html")
    shown = capsys.readouterr().out
    assert "momentum: 0.9 | 0.99" in shown
    assert "out:" not in shown
    assert "WARNING" not in shown
    row = ["1", "fcn32s", "3", "5+2", "2", "0.1", "30.0", "40.0", "90.0", "\N{EN DASH}", "3"]
    run = read_run(a)
    assert stage_rows(1, run, [])[0][:-1] == row
    assert stage_rows(2, read_run(b / "fcn8s"), [])[0][1:8:4] == ["fcn8s", "0.05"]
    assert class_rows([run])[0] == ["ground", "20.0", "50.0"]
    page = (tmp_path / "page.html").read_text()
    assert page.count("<td>fcn8s</td>") == 2
    assert page.count("<td>fcn32s</td>") == 1
    assert "<b>" not in page
    assert "run 2" in page[page.index("<svg") : page.index("</svg")]
    compare([a], out=tmp_path / "page.html")  # its own page is replaced
    with pytest.raises(InputError, match="is named twice"):
        compare([a, tmp_path / "a/../a"], out=tmp_path / "page.html")


def test_what_does_not_compare_is_said(tmp_path: Path):
    a = read_run(recorded(tmp_path / "a"))
    b = read_run(recorded(tmp_path / "b", ("ground", "car", "bus"), "c\n"))
    c = read_run(recorded(tmp_path / "c", ("ground", "bus")))
    assert notes_of([a, a]) == []
    classes, images = notes_of([a, b])
    assert "they share 2 (ground, car)" in classes
    assert "were tested on different images" in images
    assert stage_rows(1, a, shared_classes([a, b]))[0][-1] == "27.5"  # of 0.2 and 0.35
    assert shared_classes([a, c]) == []
    assert "share no class but the background" in notes_of([a, c])[0]
    assert differing_options([a, b]) == {}


def test_what_a_run_says_against_itself_is_repeated(tmp_path: Path):
    run = recorded(tmp_path / "a")
    write_json(run / "summary.json", {"warnings": ["fcn32s: is worse", "fcn8s: too", "labels"]})
    assert read_run(run).notes == ["fcn32s: is worse", "fcn8s: too", "labels"]
    assert read_run(run / "fcn8s").notes == ["fcn8s: too", "labels"]
    record = json.loads((run / "run.json").read_text())
    del record["finished"]
    write_json(run / "run.json", record)
    assert "has not finished" in read_run(run).notes[0]
    rows = (run / "fcn8s/metrics.jsonl").read_text()
    write(run / "fcn8s/metrics.jsonl", rows.replace("0.65", "0.0"))
    assert read_run(run / "fcn8s").notes[0].startswith("fcn8s: none of the classes but ground")


def test_what_is_no_run_is_one_line(tmp_path: Path):
    with pytest.raises(InputError, match=r"has no run\.json; name a run folder"):
        read_run(tmp_path)
    run = recorded(tmp_path / "a")
    with pytest.raises(InputError, match="no stage of FCNs has trained"):
        read_run(run / "fcn16s")
    write(run / "fcn8s/metrics.jsonl", '{"step": 1, "epoch": 1, "test": {}}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl, line 1: is damaged \(test\.mean_iu"):
        read_run(run)
