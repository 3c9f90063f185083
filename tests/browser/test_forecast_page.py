"""forecast.html in Chromium, opened from a file, with no network: `make test-pages`."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.lstm import saved
from jaxdl.lstm.export import page
from jaxdl.lstm.export.command import export
from jaxdl.lstm.export.program import Program
from jaxdl.lstm.forecast import carry_state
from jaxdl.lstm.model import init_params
from jaxdl.lstm.predict import predict
from jaxdl.lstm.series import Scaling, to_float32
from jaxdl.lstm.transform import Transform
from tests.helpers.forecasters import random_fitted, save
from tests.helpers.opened import opened_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOSTILE = ("<img src=x onerror=document.title='run'>", '</script>, "b" ‮`')
MONTHS = np.arange("2001-01", "2008-07", dtype="datetime64[M]")
ENDS = (MONTHS + np.timedelta64(1, "M")).astype("datetime64[D]") - np.timedelta64(1, "D")
HOURS = np.datetime64("2020-02-27 21:00:00") + 2 * np.arange(90).astype("timedelta64[h]")
WORKDAYS = np.busday_offset(np.datetime64("2021-03-01"), np.arange(90))
KINDS: dict[str, tuple[dict[str, Any], np.ndarray | None]] = {
    "two": ({"columns": 2, "layers": 2, "difference": "seasonal"}, ENDS),
    "gru": ({"cell": "gru", "difference": "first"}, None),
    "plain": ({"difference": "none", "columns": 2, "cell": "gru", "layers": 2}, HOURS),
    "seasons": ({"difference": "seasonal", "period": 7}, WORKDAYS),
    "naive": ({"naive": True}, MONTHS),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A RUN of each kind, with its page and what `jaxdl lstm predict` says of 40 steps."""
    found = {}
    for kind, (options, times) in KINDS.items():
        fitted, values = random_fitted(**options)
        if kind == "seasons":  # logarithms of differences from three seasons
            setup = fitted.setup
            transform = setup.transform._replace(log=True, lag=7, seasons=3)
            scaling = Scaling(*(a / 40 for a in setup.scaling))
            setup = setup._replace(transform=transform, scaling=scaling)
            fitted = fitted._replace(setup=setup)
        folder = tmp_path_factory.mktemp(kind)
        names = HOSTILE[: values.shape[1]] if kind != "gru" else ("1",)  # as of an array
        found[kind] = save(fitted, values, folder / "run", names, times)
        predict(found[kind], horizon=40, out=folder / "next.csv")
        export(found[kind], network=None, format="page", out=folder)
    return found


@pytest.fixture
def tab(browser: Any, runs: dict[str, Path], request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page; afterwards, that it kept to itself. The parameter: its kind, options of the tab."""
    kind, options = getattr(request, "param", ("two", {}))
    file = runs[kind].parent / page.FILE
    with opened_page(browser, file, **options) as tab:
        done(tab, "what was trained on")
        yield tab
        assert tab.locator("img").count() == 0  # no name was run


def done(tab: Any, name: str) -> None:
    """Wait until a series is shown."""
    tab.locator("#status").filter(has_text=name).filter(has_text="Computed").wait_for()


def steps(tab: Any, count: int) -> None:
    tab.locator("#steps").fill(str(count))
    tab.locator("#steps").press("Enter")
    tab.locator("#table tbody tr").nth(count - 1).wait_for(state="attached")


def drop(tab: Any, name: str, text: str) -> None:
    script = """([name, text]) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([text], name, {type: 'text/csv'}));
      document.body.dispatchEvent(new DragEvent('drop', {dataTransfer, bubbles: true}));
    }"""
    tab.evaluate(script, [name, text])


def paste(tab: Any, text: str) -> None:
    tab.locator("#text").fill(text)


def downloaded(tab: Any) -> list[list[str]]:
    with tab.expect_download() as download:
        tab.locator("#save").click()
    assert download.value.suggested_filename == "prediction.csv"
    return rows_of(Path(download.value.path()))


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def refusal(tab: Any) -> str:
    tab.locator("#errors li").first.wait_for()
    assert not tab.locator("#result").is_visible()  # nothing old stays
    return tab.locator("#errors li").first.inner_text()


@pytest.mark.parametrize(
    ("tab", "kind"), [((kind, {}), kind) for kind in KINDS], ids=KINDS, indirect=["tab"]
)
def test_numbers_and_times_are_those_of_predict(tab: Any, kind: str, runs: dict[str, Path]):
    """Of the series inside, and of the same as a file that is dropped."""
    run = runs[kind]
    wanted = rows_of(run.parent / "next.csv")
    steps(tab, 40)
    # A line of names that is a number counts as a value in a file, here as by the command.
    for given in ("inside", "dropped") if kind != "gru" else ("inside",):
        if given == "dropped":
            drop(tab, f"{HOSTILE[0]}.csv", (run / saved.SERIES).read_text())
            done(tab, f"{HOSTILE[0]}.csv: ")
        found = downloaded(tab)
        assert found[0] == wanted[0]
        assert [row[0] for row in found] == [row[0] for row in wanted]
        ours, theirs = (np.array([r[1:] for r in rows[1:]], float) for rows in (found, wanted))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max() / 100)
        cells = tab.locator("#table tbody tr").last.locator("td").all_inner_texts()
        np.testing.assert_allclose(np.array(cells, float), theirs[-1], rtol=1e-3, atol=1e-4)


def test_one_network_carries_its_state(browser: Any, tmp_path: Path):
    """A sine's page: no transform, no band, a series without times."""
    params = init_params(jax.random.key(0), inputs=1, hidden=4, outputs=1)
    scaling, plain = Scaling(np.array([0.1]), np.array([0.7])), Transform(log=False, lag=0)
    one = jax.tree.map(lambda a: np.asarray(a)[None], params)
    given = (["sine"], "4 hidden units", 12, 30, plain, scaling, False, one, 1, None)
    values = np.sin(np.arange(30)[:, None] / 4)
    window = jnp.asarray(to_float32(scaling.apply(values[-12:])))[:, None]
    wanted = scaling.undo(np.asarray(carry_state(params, window, 30)[:, 0]))
    file = tmp_path / page.FILE
    file.write_bytes(page.to_bytes(Program(*given), None))
    tab = browser.new_page()
    tab.goto(file.as_uri())
    assert "Give at least 12 rows." in tab.inner_text("#status")
    assert not tab.locator("#inside").is_visible()
    drop(tab, "waves.csv", "sine\n" + "".join(f"{v}\n" for v in values[:, 0].tolist()))
    done(tab, "waves.csv: 30 rows")
    found = downloaded(tab)
    assert found[0] == ["step", "sine"]
    assert [row[0] for row in found[1:]] == [str(31 + n) for n in range(30)]
    ours = np.array([row[1:] for row in found[1:]], float)
    np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-6)
    assert tab.locator("svg .band").count() == 0
    tab.close()


@pytest.mark.parametrize("tab", [("gru", {})], indirect=True)
def test_files_are_read_or_refused_in_one_line(tab: Any):
    values = [50 + n % 7 for n in range(40)]
    steps(tab, 3)
    days = [f"2024-01-{n:02}" for n in range(1, 32)] + [f"2024-02-{n:02}" for n in range(1, 10)]
    years = [f"{1900 + n}\t{v}" for n, v in enumerate(values)]
    plain = "\n".join(map(str, values))
    turned, wanted = list(zip(days, values, strict=True))[::-1], list[list[str]]()
    for name, text, first in (
        ("plain.csv", plain, "41"),
        ("commas.csv", "\n".join(f"{v},0" for v in values), None),
        ("dates.csv", "\n".join(f"{d},{v}" for d, v in zip(days, values, strict=True)), days[-1]),
        ("newest first.csv", "d;v\n" + "\n".join(f"{d};{v},00" for d, v in turned), days[-1]),
        ("years.csv", "year\tv\n" + "\n".join(years), "1940"),
    ):
        drop(tab, name, text)
        if first is None:
            assert "may be one number or two" in refusal(tab)
            tab.locator("#decimal").select_option("comma")
            done(tab, name)
            tab.locator("#decimal").select_option("auto")
            continue
        done(tab, name)
        found = downloaded(tab)
        wanted = wanted or found
        assert [row[1:] for row in found[1:]] == [row[1:] for row in wanted[1:]]
        if first == days[-1]:
            assert [row[0] for row in found[1:]] == ["2024-02-10", "2024-02-11", "2024-02-12"]
        else:
            assert found[1][0] == first
    lines = [f"{d},{v}" for d, v in zip(days, values, strict=True)]
    for text, message in (
        ("", "no rows"),
        ("5\n6\n7", "3 rows; the forecast needs the last"),
        (
            "\n".join([*lines[:20], *lines[21:]]),
            "rows are missing before line 21 (a step is 1 day)",
        ),
        ("\n".join([*lines, lines[-1]]), "lines 40 and 41 have the same time"),
        ("\n".join([*lines[:9], "2024-01-10,", *lines[10:]]), "line 10: a value is missing"),
        ("\n".join(f"{n},{n * n},{v}" for n, v in enumerate(values)), "Name the columns"),
        (f"v\n{plain}\nfifty", "columns of numbers here: none"),
        ("v\n" + "\n".join(f"{v},500" for v in values), "is the comma decimal"),
        (f"v\n{plain}\n1e300", "1e300 is too large"),
    ):
        paste(tab, text)
        tab.locator("#errors").filter(has_text=message).wait_for()
        assert message in refusal(tab)
    paste(tab, plain)
    done(tab, "what you typed: 40 rows")
    drop(tab, "one.csv", "1\n" + "\n".join(map(str, values)))
    done(tab, "one.csv: 41 rows")  # a number, though a column is called so
    paste(tab, plain)
    done(tab, "what you typed: 40 rows")
    assert downloaded(tab)[1:] == wanted[1:]


@pytest.mark.parametrize("tab", [("seasons", {})], indirect=True)
def test_warnings_and_what_logarithms_cannot_take(tab: Any):
    series = tab.locator("#text").input_value()
    steps(tab, 41)
    notes = tab.locator("#notes")
    assert "41 steps are predicted; the run measured its errors over 8" in notes.inner_text()
    lines = series.strip().splitlines()
    wild = [f"{line.split(',')[0]},{1 + 1e6 * (n % 2)}" for n, line in enumerate(lines)]
    paste(tab, "\n".join(wild[1:]))
    done(tab, "what you typed")
    assert "times as much as those learnt from" in notes.inner_text()
    paste(tab, "\n".join([*lines[:-1], f"{lines[-1].split(',')[0]},-3"]))
    assert "holds values that are not positive" in refusal(tab)
    tab.locator("#inside").click()
    done(tab, "what was trained on")
    assert tab.locator("#errors").is_hidden()


def test_the_slider_the_keyboard_and_the_pointer(tab: Any):
    reached = []
    for _ in range(12):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.id || document.activeElement.tagName"))
    for wanted in ("choose", "inside", "decimal", "text", "slider", "steps", "svg", "save"):
        assert wanted in reached
    tab.locator("#slider").focus()
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#steps").input_value() == "9"
    assert tab.locator("#table tbody tr").count() == 9
    charts, texts = tab.locator("#charts svg"), tab.locator("figcaption span")
    names = tab.locator("figcaption bdi").all_inner_texts()
    assert names == list(HOSTILE)
    charts.nth(1).focus()
    tab.keyboard.press("ArrowRight")
    first = tab.locator("#table tbody tr").first
    time, cells = first.locator("th").inner_text(), first.locator("td").all_inner_texts()
    shown = [f"{time}: {cells[n]} ({cells[n + 1]} to {cells[n + 2]})" for n in (0, 3)]
    assert texts.all_inner_texts() == shown
    tab.keyboard.press("Shift+ArrowLeft")
    assert all(text.endswith("known") for text in texts.all_inner_texts())
    width = charts.nth(0).bounding_box()["width"]
    charts.nth(0).hover(position={"x": width - 12, "y": 40})
    last = tab.locator("#table tbody tr").last.locator("th").inner_text()
    assert all(text.startswith(f"{last}: ") for text in texts.all_inner_texts())


@pytest.mark.parametrize(
    "tab",
    [("two", {"viewport": {"width": 375, "height": 740}}), ("two", {"color_scheme": "dark"})],
    ids=["phone", "dark"],
    indirect=True,
)
def test_a_phone_and_dark_mode(tab: Any, request: pytest.FixtureRequest):
    """Nothing is wider than a phone, no two labels meet; dark has light text."""
    script = """() => {
      const style = getComputedStyle(document.body);
      const ticks = [...document.querySelectorAll('svg .tick')]
        .map((one) => one.getBoundingClientRect());
      const meet = (a, b) => a.left < b.right && b.left < a.right
        && a.top < b.bottom && b.top < a.bottom;
      const met = ticks.some((a, n) => ticks.slice(n + 1).some((b) => meet(a, b)));
      return [document.documentElement.scrollWidth, innerWidth, met, ticks.length,
        style.color, style.backgroundColor];
    }"""
    width, window, met, labels, ink, paper = tab.evaluate(script)
    assert width <= window
    assert labels > 8
    assert not met

    def light(colour: str) -> int:
        return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))

    assert (light(ink) > light(paper)) == ("dark" in request.node.callspec.id)
