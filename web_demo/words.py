"""What went wrong, in a sentence for people, without the server's paths."""

from __future__ import annotations

import re
import sys
import traceback
from pathlib import Path

from eraser.errors import (
    Cancelled,
    DamagedWeights,
    EraserError,
    MissingExtra,
    MissingWeights,
    OutputError,
    ServiceError,
    TooBusy,
)

NOT_READY = (
    "This engine is not set up on the server. Choose another one under Advanced, or leave the choice to the page."
)
DEFECT = "Something went wrong on the server, and nothing was changed. Try again; its log says what it was."


def explain(error: BaseException, hidden: Path, *more: tuple[str, str]) -> str:
    """One sentence or two. hidden: a folder of which nothing is said but the names of files in it; more: (path, name)
    of others. What no person could have caused is logged."""
    if isinstance(error, Cancelled):
        return "Stopped. Nothing was changed."
    if isinstance(error, TooBusy):
        return "Many people are waiting just now. Try again in a minute."
    if isinstance(error, MissingExtra | MissingWeights | DamagedWeights):
        print(f"web page: {error}", file=sys.stderr)  # whoever runs the server can do something about it
        return NOT_READY
    if isinstance(error, EraserError) and not (isinstance(error, ServiceError) and "defect" in error.hint):
        return sentence(error, hidden, *more)
    traceback.print_exception(error)
    if isinstance(error, OSError):
        return "The server's disk would not take it. Try again later."
    return DEFECT


def sentence(error: EraserError, hidden: Path, *more: tuple[str, str]) -> str:
    """The message and the hint, as sentences."""
    inside = re.compile(re.escape(str(hidden)) + r"(?:(?:[/\\][^/\\\s'\"]+)*[/\\])?")

    def clean(text: str) -> str:
        for path, name in more:
            text = text.replace(path, name)
        return inside.sub("", text)

    message, hint = clean(error.message), clean(error.hint)
    # a file's name stays as it is
    named = message[:1] != error.message[:1] or any(name and message.startswith(name) for _, name in more)
    text = f"{message}." if named else f"{message[:1].upper()}{message[1:]}."
    return f"{text} {hint[:1].upper()}{hint[1:]}." if hint else text


def disk_full(error: OSError) -> OutputError:
    """For an OSError that came while pictures were kept."""
    return OutputError(
        f"the server could not keep the picture ({error.strerror or type(error).__name__})",
        hint="its disk may be full: try again later",
    )
