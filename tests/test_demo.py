"""The page and the summary that join the demo's runs."""

import json
from pathlib import Path

import pytest

from jaxdl.demo import Config, run, sections
from jaxdl.errors import InputError
from tests.helpers.untrained import untrained


def leave(folder: Path, summary: dict) -> None:
    """What of a run the joint page needs, at least."""
    folder.mkdir(parents=True)
    record = {"experiment": folder.name, "config": {"seed": 7, "preset": "demo"}}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "summary.json").write_text(json.dumps(summary))


def test_each_run_is_a_section_and_a_key(tmp_path: Path):
    leave(tmp_path / "fcn", {"fcn32s": {"mean_iu": 0.25}})
    leave(tmp_path / "word2vec", {"word2vec": {"loss": 2.5}, "warnings": ["poor"]})
    leave(tmp_path / "lstm", {"lstm_sine": {"seeds": 8}})
    found = run(Config(out=tmp_path))
    assert found["lstm"] == {"seeds": 8}
    assert found == json.loads((tmp_path / "summary.json").read_text())
    assert found["fcn"] == {"fcn32s": {"mean_iu": 0.25}}
    assert found["word2vec"] == {"loss": 2.5, "warnings": ["poor"]}
    page = (tmp_path / "report.html").read_text()
    assert not (tmp_path / "predict.html").exists()  # no network was trained
    assert "predict.html" not in page
    for name in ("fcn", "word2vec", "lstm"):
        title = sections()[name](tmp_path / name).title
        assert page.count(f">{title}<") >= 1
        assert f"{name}.seed" in page


@pytest.mark.slow
def test_networks_get_a_page_that_computes_with_them(tmp_path: Path):
    leave(tmp_path / "fcn", {"fcn32s": {"mean_iu": 0.25}})
    untrained(tmp_path / "fcn" / "fcn32s", ("background", "cat"))
    for _ in range(2):  # it replaces its own
        run(Config(out=tmp_path))
    assert '"FCN-32s"' in (tmp_path / "predict.html").read_text()
    assert '<a href="predict.html">' in (tmp_path / "report.html").read_text()
    (tmp_path / "predict.html").write_text("of somebody else")
    with pytest.raises(InputError, match=r"predict.html: is no result of jaxdl demo"):
        run(Config(out=tmp_path))


def test_a_run_that_is_missing_is_left_out(tmp_path: Path):
    leave(tmp_path / "word2vec", {"word2vec": {"loss": 2.5}})
    assert list(run(Config(out=tmp_path))) == ["word2vec"]
    assert sections()["fcn"](tmp_path / "fcn").title not in (tmp_path / "report.html").read_text()


def test_no_run_at_all_is_one_line(tmp_path: Path):
    with pytest.raises(InputError, match="holds none of fcn, word2vec, lstm"):
        run(Config(out=tmp_path))
