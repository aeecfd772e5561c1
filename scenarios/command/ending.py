"""How the command ends: one line on standard error, with --json an object on standard output, and an exit status.

0 done, 2 bad input, 1 failed; 129 and more: a signal. An error that nobody expected is a fault of this program: its
traceback is shown as it is.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import typer

from fedlearn.errors import BadInput, FedlearnError
from scenarios.command.about import flag
from scenarios.command.clientslog import first_error
from scenarios.command.options import ABOUT

BAD_INPUT, FAILED = 2, 1
PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ENAMETOOLONG)
FULL = (errno.ENOSPC, errno.EDQUOT)
UsageError = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")
UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters, and bytes that are no text
TYPED = {  # what messages say of things that are options on the command line
    "resume=True in ": "--resume ", "in the codec": "in --codec",
    "lower the learning rate": "lower --lr",
    "the strategy's max_weight": "max_weight in --strategy",
}  # fmt: skip
NUMBERS = {"int": "a whole number", "float": "a number"}  # by the first word of pydantic's error type
# Names of options as Python has them, in a message: with a value, or not as part of a longer name or of a path.
READING = re.compile(rf"\bReading\(({'|'.join(ABOUT)})=\[?([^()\[\]]*)\]?\)")
WITH_VALUE = re.compile(rf"(?<!\S)(?<!, )({'|'.join(ABOUT)})=([^\s,;:()]+)(?=[\s,;:]|$)")
BEGINNING = re.compile(rf"^({'|'.join(ABOUT)})(?= is )")
PYTHON_NAMES = re.compile(rf"(?<![\w./'-])({'|'.join(name for name in ABOUT if '_' in name)})(?![\w/'.-])")


@dataclass(frozen=True)
class Failure:
    """An error as it is told."""

    kind: str
    message: str
    status: int
    page: str = ""  # several lines that are shown in the place of the message

    def tell(self, as_json: bool) -> None:
        with suppress(OSError):  # a terminal that was closed
            print(self.page or f"fedlearn: {shown(self.message)}", file=sys.stderr)
        with suppress(OSError):  # a full disk, which is what the error may be
            if as_json:
                print(json.dumps({"error": {"type": self.kind, "message": self.message, "status": self.status}}))
            flush_output()


def shown(text: str) -> str:
    """A text in one line of a terminal: what would move its cursor or colour it, or is no text, is spelled out."""
    return UNSHOWN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def failure_of(error: BaseException) -> Failure | None:
    """The line to tell of an error; None for one that only a fault in this program can explain."""
    kind = type(error).__name__
    if isinstance(error, UsageError):
        said = error.format_message().rstrip(".")  # type: ignore[attr-defined]
        if kind == "NoArgsIsHelpError":  # `fedlearn` and `fedlearn keys` alone, of which the help is the message
            return Failure("BadInput", f"no command: `{_typed_so_far(error)} --help` names all", BAD_INPUT, page=said)
        return Failure("BadInput", _no_number(error) or f"{said}{_about_missing(error)}{_hint(error, said)}", BAD_INPUT)
    if isinstance(error, FedlearnError):
        reason = first_error(error.clients_log)
        message = as_typed(str(error)) + (f"; the first of them: {reason}" if reason else "")
        return Failure(kind, message, BAD_INPUT if isinstance(error, BadInput) else FAILED)
    if isinstance(error, MemoryError):
        remedy = "lower --dim, the size of --vocabulary, or --clients"
        return Failure(kind, f"there is not enough memory ({str(error) or 'no details'}): {remedy}", FAILED)
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        if error.errno in PLACE:
            return Failure(kind, f"{where}{error.strerror}: choose another place", BAD_INPUT)
        remedy = ": make room there, or choose another place" if error.errno in FULL else ""
        return Failure(kind, f"{where}{error.strerror}{remedy}", FAILED)
    return None


def _no_number(error: Any) -> str:
    """The message about a number that is none, or beyond a limit: what was given, and what is needed; else ""."""
    details = getattr(error.__cause__, "errors", None)
    if not details:
        return ""
    found = details()[0]
    needed = NUMBERS.get(found["type"].split("_")[0])
    why = f", {needed} is needed" if needed else f": {found['msg'].replace('Input', 'it')}"
    return f"{max(error.param.opts, key=len)} is {found['input']!r}{why}"


def _hint(error: Any, said: str) -> str:
    """The words that name the command whose help says more; "" where none is known."""
    if error.ctx is None:  # the words were not told apart yet
        return ""
    if re.match(r"No such option: -[\d.]", said):
        return ": put -- before what begins with a - and is no option"
    return f": `{_typed_so_far(error)} --help` {'names all' if 'No such command' in said else 'shows what it takes'}"


def _about_missing(error: Any) -> str:
    """The words of its help on a missing argument or option; "" for another error."""
    about = (getattr(error.param, "help", None) or "") if type(error).__name__ == "MissingParameter" else ""
    about = re.sub(r"\s*\[[^]]*\]$", "", about).rstrip(".")
    return f", {about[0].lower()}{about[1:]}" if about else ""


def _typed_so_far(error: Any) -> str:
    """`fedlearn keys`, for an error among the commands of keys."""
    names, context = [], error.ctx
    while context is not None and context.parent is not None:
        names.append(context.info_name)
        context = context.parent
    return " ".join(["fedlearn", *reversed(names)])


def as_typed(message: str) -> str:
    """The message with options named as they are typed: --min-cohort, not min_cohort."""
    for said, typed in TYPED.items():
        message = message.replace(said, typed)
    for pattern in (READING, WITH_VALUE):
        message = pattern.sub(_with_value, message)
    message = BEGINNING.sub(lambda found: flag(found[1]), message)
    return PYTHON_NAMES.sub(lambda found: flag(found[1]), message)


def _with_value(found: re.Match[str]) -> str:
    """`--skip-bad` of `skip_bad=True`, `--encoding NAME` of `encoding=NAME`."""
    return flag(found[1]) if found[2] == "True" else f"{flag(found[1])} {found[2]}"


def flush_output() -> None:
    """Write out what was printed. Where that fails, nothing more is tried at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
