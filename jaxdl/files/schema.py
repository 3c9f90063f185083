"""What a JSON file must hold, and the one reader of files that are damaged or foreign."""

from pathlib import Path
from typing import Any

from jaxdl.errors import InputError
from jaxdl.files.atomic import read_json

# A type; [schema] (a list of such); (schema, ...) (one of them; None is null); {"name": schema}
# (an object that has it; "name?": if it has it, {str: schema}: any other name). Other names are
# free. A float may be written as a whole number.
Schema = Any

_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def fault(value: Any, schema: Schema, at: str = "it") -> str | None:
    """What is wrong with a value, in words that begin with its place; None if it fits."""
    if isinstance(schema, tuple):
        faults = [fault(value, one, at) for one in schema]
        return None if None in faults else faults[0]
    if schema is None:
        return None if value is None else f"{at} is not null"
    if isinstance(schema, type):
        taken = (int, float) if schema is float else schema
        fits = isinstance(value, taken) and (schema is bool or not isinstance(value, bool))
        return None if fits else f"{at} is not {_NAMES[schema]}"
    if not isinstance(value, type(schema)):
        return f"{at} is not {_NAMES[type(schema)]}"
    if isinstance(schema, list):
        inner = [(f"{at}[{n}]", each, schema[0]) for n, each in enumerate(value)]
    else:
        before = "" if at == "it" else f"{at}."
        named = {name.rstrip("?"): one for name, one in schema.items() if name is not str}
        for name in (name for name in schema if name is not str and not name.endswith("?")):
            if name not in value:
                return f"{before}{name} is missing"
        known = {k: named.get(k, schema.get(str)) for k in value if k in named or str in schema}
        inner = [(f"{before}{name}", value[name], one) for name, one in known.items()]
    return next((text for place, each, one in inner if (text := fault(each, one, place))), None)


def read(path: Path, schema: Schema, remedy: str = "") -> Any:
    """The content of a JSON file that must hold what the schema says.

    Raises:
        InputError: it cannot be read, or holds something else; ends in the remedy.
    """
    end = remedy and f"; {remedy}"
    try:
        found = read_json(path)
    except InputError as error:
        raise InputError(f"{error}{end}") from error
    if text := fault(found, schema):
        raise InputError(f"{path}: is damaged ({text}){end}")
    return found
