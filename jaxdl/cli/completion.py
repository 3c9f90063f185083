"""Shell completion: a script that knows every command, its options and their choices."""

from collections.abc import Mapping
from pathlib import Path

from jaxdl.cli.options import Command, options_of

SHELLS = ("bash", "zsh")
START = {"bash": "", "zsh": "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n"}
SCRIPT = """{start}_jaxdl() {{
    local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}"
    local first="${{COMP_WORDS[1]}}" second="${{COMP_WORDS[2]}}" choices=""
    COMPREPLY=()
    if [[ $COMP_CWORD == 1 ]]; then
        COMPREPLY=($(compgen -W "{names} --help --version --completion" -- "$cur"))
        return
    fi
    case "$COMP_CWORD $first" in
        "2 --completion") choices="{shells}" ;;
{subjects}
    esac
    if [[ -z "$choices" ]]; then
        case "$first $second" in
{commands}
        esac
    fi
    [[ -n "$choices" ]] && COMPREPLY=($(compgen -W "$choices" -- "$cur"))
}}
complete -o default -F _jaxdl jaxdl
"""
CASE = """            "{name}"*) case "$prev" in
{values}
                *) [[ "$cur" == -* ]] && choices="{flags}" ;;
                esac ;;"""


def script(commands: Mapping[str, Command], shell: str) -> str:
    """The text that ``eval "$(jaxdl --completion bash)"`` runs.

    Args:
        commands: by what is typed after `jaxdl`, such as "fcn train".
        shell: one of `SHELLS`.
    """
    subjects: dict[str, list[str]] = {}
    for name in commands:
        subject, *more = name.split()
        subjects.setdefault(subject, []).extend(more)
    cases = []
    for name, command in sorted(commands.items(), key=lambda item: -len(item[0])):
        shown = {each for names in command.groups.values() for each in names}
        options = [o for o in options_of(command.options) if o.name in shown and not o.positional]
        flags = [option.flag for option in options]
        flags += [o.flag.replace("--", "--no-", 1) for o in options if o.kind is bool and o.default]
        flags += ["--help"] + (["--config"] if command.where is not None else [])
        values = [
            f'                {o.flag}) choices="{" ".join(map(str, o.choices))}" ;;'
            for o in options
            if o.choices
        ]
        paths = [o.flag for o in options if o.kind is Path]
        if paths:
            values.append(f"                {'|'.join(paths)}) ;;")
        cases.append(CASE.format(name=name, values="\n".join(values), flags=" ".join(flags)))
    return SCRIPT.format(
        start=START[shell],
        names=" ".join(subjects),
        shells=" ".join(SHELLS),
        subjects="\n".join(
            f'        "2 {subject}") choices="{" ".join(names)} --help" ;;'
            for subject, names in subjects.items()
            if names
        ),
        commands="\n".join(cases),
    )
