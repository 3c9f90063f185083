"""What a bar of progress leaves where there is no terminal."""

from jaxdl.cli.progress import Bar


def test_no_bar_is_drawn_into_a_pipe_if_colours_are_forced(monkeypatch, capsys):
    """Jupyter sets FORCE_COLOR for the commands of a cell."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    bar = Bar()
    assert bar.console.is_terminal  # so rich says
    with bar.task("reading") as progress:
        progress(1, 2)
        bar.line("a line")
    assert capsys.readouterr().out == "a line\n"
