"""A file as a series: what is taken, what is said of it, and what is refused in one line."""

import gzip
import inspect
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxdl.cli.options import options_of
from jaxdl.errors import InputError
from jaxdl.files.atomic import write_json
from jaxdl.lstm import saved
from jaxdl.lstm.command import PREDICT, TRAIN
from jaxdl.lstm.data.read import Read, read_series
from jaxdl.lstm.forecaster import NOT_HERE
from jaxdl.lstm.predict import predict

SERIES = Path(__file__).parents[2] / "fixtures" / "series"
WAVE = [10.0, 11.5, 12.598, 13.0, 12.598, 11.5, 10.0, 8.5]  # the beginning of the fixtures


def written(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "series.csv"
    path.write_bytes(text.encode(encoding))
    return path


def refused(path: Path, **options) -> str:
    with pytest.raises(InputError) as caught:
        read_series(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def told(read: Read) -> str:
    return " | ".join(read.told)


# The same wave of 120 months, written in ways that a program or a person writes it.
WAYS = {
    "date_first.csv": "120 rows of 'level (m)', by 'date': a step is 1 month",
    "descending.csv": "newest first: turned round",
    "gz.csv.gz": "gzip",
    "utf16.csv": "UTF-16",
    "semicolon_decimal_comma.csv": "separated by semicolons; decimal comma",
    "no_header_date.csv": "no line of names: columns have numbers",
    "index_unnamed.csv": "left out: 'column 1' only counts the rows",
}


@pytest.mark.parametrize(("name", "said"), WAYS.items(), ids=WAYS)
def test_the_same_series_however_it_is_written(name: str, said: str):
    read = read_series(SERIES / name)
    assert said in told(read)
    assert len(read.told) <= 2
    assert read.warnings == []
    assert read.series.values.shape == (120, 1)
    np.testing.assert_array_equal(read.series.values[:8, 0], WAVE)
    if name != "index_unnamed.csv":
        assert read.series.times is not None
        assert str(read.series.times[0]) == "2000-01-01"
    again = read_series(SERIES / name, like=read.took)
    np.testing.assert_array_equal(again.series.values, read.series.values)


REFUSED = {
    "gap_pandas.csv": "10 of 210 rows have no value of 'y' (line 102 to line 111); fill them with "
    "--missing interpolate, ffill or seasonal",
    "missing_empty_onecol.csv": "3 of 120 rows have no value of 'level' (line 42 to line 44)",
    "missing_NA.csv": "1 of 120 rows has no value of 'level' (line 42)",
    "long.csv": "column 'id' holds 2 series ('a', 'b'); take one with --id id=a",
    "thousands_unquoted_noheader.csv": "'10,000' may be one number or 2; say --decimal comma or",
    "year_header.csv": "2 columns hold numbers: '2019', '2020'; choose with --column 2019",
}


@pytest.mark.parametrize(("name", "said"), REFUSED.items(), ids=REFUSED)
def test_what_may_be_misread_is_refused_with_the_remedy(name: str, said: str):
    assert said in refused(SERIES / name)


def test_the_remedies_work():
    for name, rows in (("gap_pandas.csv", 210), ("missing_empty_onecol.csv", 120)):
        for how in ("interpolate", "ffill", "seasonal"):
            read = read_series(SERIES / name, missing=how)
            assert len(read.series.values) == rows
            assert np.isfinite(read.series.values).all()
            assert f"filled ({how})" in told(read)
    one, other = (read_series(SERIES / "long.csv", id=f"id={name}").series for name in "ab")
    np.testing.assert_array_equal(one.values[:8, 0], WAVE)
    assert other.values[-1, 0] == 850
    path = SERIES / "thousands_unquoted_noheader.csv"
    np.testing.assert_array_equal(read_series(path, decimal="comma").series.values[:3, 0], WAVE[:3])
    assert read_series(path, decimal="point").series.values[0, 0] == 10_000
    both = read_series(SERIES / "year_header.csv", column=["2020", "1"]).series
    assert both.names == ("2020", "2019")
    np.testing.assert_array_equal(both.values[0], [11, 10])


def test_years_are_times_and_large_numbers_keep_their_digits():
    nile = read_series(SERIES / "nile_100.csv")
    assert "100 rows of 'volume', by 'year': a step is 1 year, from 1871 to 1970" in told(nile)
    offset = read_series(SERIES / "offset_1e9.csv").series.values
    assert np.ptp(offset) == pytest.approx(2, rel=1e-2)


def test_columns_by_name_and_number_in_the_order_asked_for(tmp_path: Path):
    path = written(tmp_path, 'time,"a, b",c\r\nmonday, 1,2e-3\r\n\r\ntuesday,"-1.5",4\r\n')
    read = read_series(path, column=["c", "2"])
    assert read.series.names == ("c", "a, b")
    assert read.series.values.dtype == np.float64
    np.testing.assert_array_equal(read.series.values, [[2e-3, 1], [4, -1.5]])
    assert read.took["column"] == ["c", "a, b"]
    twice = written(tmp_path, "a,a\n1,2\n5,4\n")
    assert read_series(twice, column=["2"]).took["column"] == ["2"]
    assert "2 columns are called 'a'; say --column 1 or 2" in refused(twice, column=["a"])


VALUES = {
    "byte order mark": ("\ufeffa\n1\n5\n2\n", {}),
    "tabs": ("x\ta\nu\t1\nv\t5\nw\t2\n", {}),
    "spaces": ("x   a\nu   1\nv     5\nw  2\n", {}),
    "bars": ("x|a\nu|1\nv|5\nw|2\n", {}),
    "comments": ("# made by hand\na\n1\n# half\n5\n2\n", {}),
    "a separator at the end": ("a;\n1;\n5;\n2;\n", {}),
    "a column that is empty": ("a,b\n1,\n5,\n2,\n", {}),
    "thousands in quotes": ('a,b\nx,"1,000"\ny,"5,000"\nz,"2,000"\n', {"scale": 1000}),
    "thousands of Switzerland": ("a\n1'000.0\n5'000.0\n2'000.0\n", {"scale": 1000}),
    "decimal comma in quotes": ('a,b\nx,"1,0"\ny,"5,0"\nz,"2,0"\n', {}),
    "decimal comma, one column": ("a\n1,0\n5,0\n2,00\n", {}),
    "decimal comma and thousands": ("x;a\nu;1.000,0\nv;5.000,0\nw;2.000,0\n", {"scale": 1000}),
    "minus of a typesetter": ("a\n\u22121\n\u22125\n\u22122\n", {"scale": -1}),
    "more columns without dates": ("n,a\n7,1\n8,5\n9,2\n", {}),
    "a constant beside it": ("k,a\n4,1\n4,5\n4,2\n", {}),
    "no line of names, NA first": ("NA\n1\n5\n2\n", {"missing": "interpolate"}),
}


@pytest.mark.parametrize(("text", "options"), VALUES.values(), ids=VALUES)
def test_forms_of_numbers_and_tables(tmp_path: Path, text: str, options: dict):
    scale = options.pop("scale", 1)
    found = read_series(written(tmp_path, text), **options).series.values
    np.testing.assert_array_equal(found[:, 0], np.multiply([1, 5, 2], scale))


def test_latin_1_is_told(tmp_path: Path):
    read = read_series(written(tmp_path, "pegel (m\u00b2)\n1\n5\n2\n", "latin-1"))
    assert read.series.names == ("pegel (m\u00b2)",)
    assert "Latin-1" in told(read)


# A value of each option that tells how a file is read.
OPTIONS = {"column": ["a"], "time": "t", "id": "w=x", "decimal": "comma", "missing": "ffill"}


def test_an_option_of_the_reader_is_known_wherever_one_must_be(tmp_path: Path):
    """Both commands have it, `predict` passes it on and takes it from the run; arrays have none."""
    parameters = inspect.signature(read_series).parameters.keys()
    names = parameters - {"path", "period", "like"}
    assert names == set(OPTIONS), "give the new one a value here"
    for command in (TRAIN, PREDICT):
        assert names <= {option.name for option in options_of(command.options)}, command.prog
    assert names <= inspect.signature(predict).parameters.keys()
    assert names - {"missing"} <= NOT_HERE  # of a series in memory too
    took = read_series(SERIES / "date_first.csv").took
    assert names == took.keys()
    series = {"columns": ["a"], "reading": OPTIONS}
    write_json(tmp_path / "run.json", {"format": 2, "config": {}, "series": series})
    assert saved.reading_of(tmp_path) == OPTIONS, "`reading_of` must read it from run.json"


BAD = {
    "no such column": (
        "a,b\n1,2\n",
        {"column": ["c"]},
        "no column 'c' for --column; its columns are 'a', 'b'",
    ),
    "a number too high": ("a,b\n1,2\n", {"column": ["3"]}, "no column '3'"),
    "infinite": ("a\n1\n\n3\ninf\n", {}, "line 5, column 'a': 'inf' is not a number"),
    "too large": ("a\n1\n-1e101\n", {}, "'-1e101' is not a number, or not one below 1e+100"),
    "a word": ("a\n1\n2\ntwo\n", {}, "line 4, column 'a': 'two' is not a number"),
    "a word in a column asked for": (
        "a,b\n1,x\n2,y\n",
        {"column": ["b"]},
        "'b' holds no numbers, such as 'x'",
    ),
    "short line": ("a,b\n1,2\n3\n", {"column": ["a"]}, "line 3: 1 values, but there are 2 columns"),
    "only names": ("a,b\n", {}, "holds no step"),
    "nothing": ("", {}, "holds no step"),
    "open quotes": ('a,b\n1,"2\n', {}, "is not CSV"),
    "all missing": ("a,b\nx,\ny,NA\nz,nan\n", {"column": ["b"]}, "column 'b' holds no number"),
    "text alone": ("a\nx\ny\n", {}, "no column holds numbers; 'a' is text"),
    "only an index": ("n\n1\n2\n3\n4\n", {}, "only counts the rows: there is nothing to learn"),
    "only years": ("year,x\n1900,u\n1901,v\n1902,w\n", {}, "no column holds numbers; 'x' is text"),
    "two forms": ('x;a\nu;1,5\nv;"2,000.5"\n', {}, "'1,5' and '2,000.5' have different marks"),
    "open thousands": ("x\ta\nu\t1,500\nv\t900\n", {}, "'1,500' is 1500 or 1.5; say --decimal"),
    "a day that is none": (
        "d,a\n2000-01-30,1\n2000-02-30,5\n2000-03-30,2\n",
        {},
        "line 3, column 'd': '2000-02-30' is no date like the others",
    ),
    "two columns of dates": (
        "x,y,a\n2000-01-01,2000-01-02,1\n2000-01-02,2000-01-03,5\n",
        {},
        "choose one with --time",
    ),
    "no times": ("d,a\nx,1\ny,2\n", {"time": "d"}, "'d' holds no times, such as 'x'"),
    "day or month": (
        "d,a\n01/02/2000,1\n01/03/2000,5\n01/04/2000,2\n",
        {},
        "may have the day or the month first",
    ),
    "double": (
        "d,a\n2000-01-02,1\n2000-01-01,5\n2000-01-02,2\n",
        {},
        "2000-01-02 (line 2 and line 4)",
    ),
    "irregular": (
        "d,a\n2000-01-01,1\n2000-01-02,5\n2000-01-09,2\n2000-03-01,3\n",
        {},
        "--time none",
    ),
    "an unknown series": (
        "i,a\nx,1\ny,2\n",
        {"id": "i=z"},
        "column 'i' has no 'z'; it has 'x', 'y'",
    ),
    "several series": ("i,a\nx,1\ny,2\n", {"id": "i"}, "holds 2 series"),
}


@pytest.mark.parametrize(("text", "options", "said"), BAD.values(), ids=BAD)
def test_what_is_wrong_with_a_file(tmp_path: Path, text: str, options: dict, said: str):
    assert said in refused(written(tmp_path, text), **options)


def test_files_of_other_kinds(tmp_path: Path):
    assert "cannot be read" in refused(tmp_path / "none.csv")
    for content, said in (
        (b"PK\3\4 and more", "Excel workbook; save it as CSV"),
        (b"BZh9", "is packed by bzip2"),
        (gzip.compress(b"a\n1\n")[:-5], "is a damaged gzip file"),
        (b"PAR1", "cannot be read as parquet"),
        (b"a\n\x81\x8d\n", "is no text of a known encoding"),
    ):
        path = tmp_path / "x"
        path.write_bytes(content)
        assert said in refused(path)


def test_parquet_with_times_and_nothing(tmp_path: Path):
    days = np.arange("2000-01-01", "2000-01-11", dtype="datetime64[D]")
    level = pa.array([1.5, None, 2.5, 3, 4, 5, 6, 7, 8, 1])
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"level": level, "__index_level_0__": pa.array(days)}), path)
    assert "1 of 10 rows has no value of 'level' (row 2)" in refused(path)
    series = read_series(path, missing="interpolate").series
    assert series.times is not None
    np.testing.assert_array_equal(series.times, days)
    np.testing.assert_array_equal(series.values[:3, 0], [1.5, 2, 2.5])


def test_what_is_doubtful_is_told(tmp_path: Path):
    text = "a\n" + "".join(f"{n % 7}\n" for n in range(30)) + "-999\n"
    (warning,) = read_series(written(tmp_path, text)).warnings
    assert "-999 stands in 1 rows, far from all others" in warning
    assert "leave the cell empty and use --missing" in warning


def test_an_id_and_a_missing_date_are_read_again(tmp_path: Path):
    """`predict` repeats what training was told."""
    days = np.arange("2000-01-01", "2000-01-21", dtype="datetime64[D]").astype(str).tolist()
    lines = [
        f"{day},{name},{n % 5 + base}"
        for name, base in (("x", 0), ("y", 100))
        for n, day in enumerate(days)
        if n != 7
    ]
    path = written(tmp_path, "\n".join(["day,who,level", *lines]))
    assert "column 'who' holds 2 series" in refused(path)
    assert "1 of 20 times has no row (2000-01-08)" in refused(path, id="who=y")
    first = read_series(path, id="who=y", missing="ffill")
    assert first.took == {
        "column": ["level"],
        "time": "day",
        "id": "who=y",
        "decimal": None,
        "missing": "ffill",
    }
    again = read_series(path, like=first.took).series
    np.testing.assert_array_equal(again.values, first.series.values)
    assert len(again.values) == 20
    assert again.values.min() == 100
