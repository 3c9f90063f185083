"""The page of the findings: each question, its verdict, its numbers and its picture."""

from pathlib import Path
from typing import Any

from markupsafe import escape
from matplotlib.figure import Figure

from experiments.findings.finding import Finding, Part
from jaxdl.files.atomic import whole_file, write_json
from jaxdl.report.page import Section, write_page
from jaxdl.report.plots import svg_element


def table(columns: list[str], rows: list[list[str]]) -> str:
    """An HTML table; the first column names the row."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        '<div class="scroll"><table class="numbers results">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def checks_of(finding: Finding) -> list[list[str]]:
    """A row for each number that the rule asks for."""
    return [
        [check.name, check.found.text(check.digits), f"> {check.threshold:g}", check.verdict]
        for check in finding.checks
    ]


def section(finding: Finding, picture: str) -> Section:
    """A finding on the page."""
    columns = ["number", "mean [95 % interval]", "must be", "verdict"]
    count = finding.checks[0].found.count
    return Section(
        finding.question,
        f"<p><strong>{finding.verdict.capitalize()}</strong>, {count} seeds. Rule: "
        f"{escape(finding.rule)}</p>{table(columns, checks_of(finding))}"
        f"{table(finding.columns, finding.rows)}"
        f'<div class="scroll"><div class="plot">{picture}</div></div>',
    )


def write(
    out: Path, measured: list[tuple[Part, list[dict[str, Any]], float]], record: dict[str, Any]
) -> list[Finding]:
    """findings.json, a PNG of each part and report.html; the findings.

    Args:
        out: the folder.
        measured: each part, its numbers of each seed, and the seconds that they took.
        record: of the run, for the end of the page.
    """
    findings, sections, found = [], [], []
    for part, rows, seconds in measured:
        figure = Figure(figsize=(9, part.height), layout="constrained")
        part.draw(rows, figure)
        with whole_file(out / f"{part.name}.png") as file:
            figure.savefig(file, format="png", dpi=120, facecolor="white")
        for number, finding in enumerate(part.judge(rows)):
            picture = svg_element(figure, finding.question) if not number else ""
            sections.append(section(finding, picture))
            found.append({"part": part.name, "seconds": seconds, **finding.as_json()})
            findings.append(finding)
    write_json(out / "findings.json", found)
    write_page(out / "report.html", "The posts' findings, measured again", sections, record)
    return findings
