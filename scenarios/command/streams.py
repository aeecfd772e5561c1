"""Standard input, output and error as the command needs them: open, whoever started it, and able to print any text."""

from __future__ import annotations

import io
import os
import sys

STREAMS = {"stdin": "r", "stdout": "w", "stderr": "w"}  # in order of their descriptors, 0 to 2


def prepare_streams() -> None:
    """Stand in for streams that this process was started without, as some services are; nothing comes of those.

    A file or pipe that is opened later would else have their numbers, and what somebody prints would go there. What a
    stream's encoding has no letters for is spelled out, as Python does on standard error.
    """
    for number, (name, mode) in enumerate(STREAMS.items()):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(_nothing_at(number), mode, encoding="utf-8", closefd=False))  # noqa: SIM115
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _nothing_at(number: int) -> int:
    """A descriptor of /dev/null: this number where it is free."""
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        os.fstat(number)  # itself, or something that was opened since
    except OSError:
        os.dup2(nothing, number)
        os.close(nothing)
        return number
    return nothing
