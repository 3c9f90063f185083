"""Foreign text made fit to show: in messages, on pages, on terminals."""

_SHOWN = 40  # characters of a word in a message
_SHAPELESS = "\n\t\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # joiners are part of some words


def show(word: str | bytes) -> str:
    """A word for a message: quoted, without odd characters, cut at 40."""
    return repr(word) if len(word) <= _SHOWN else f"{word[:_SHOWN]!r}..."


def visible(text: str) -> str:
    """Text with what has no shape, turns the text around or moves a terminal made visible."""
    return "".join(c if c.isprintable() or c in _SHAPELESS else "\ufffd" for c in text)


def reason(error: BaseException) -> str:
    """What a library says of a file, for a message: one line, without odd characters, not long."""
    text = " ".join(f"{getattr(error, 'strerror', None) or error}".split())
    text = text if len(text) <= 200 else f"{text[:199]}\N{HORIZONTAL ELLIPSIS}"
    return visible(text) or type(error).__name__


def clip(word: str, longest: int = 32) -> str:
    """A word fit to be shown: cut, and what has no shape or turns the text around made visible."""
    cut = word if len(word) <= longest else f"{word[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"
    return visible(cut).replace("\n", " ")
