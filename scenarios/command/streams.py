"""Standard input, output and error as the command needs them: always open, and able to print any text."""

from __future__ import annotations

import io
import os
import sys

STREAMS = {"stdin": "r", "stdout": "w", "stderr": "w"}  # in order of their descriptors, 0 to 2


def prepare_streams() -> None:
    """Open the null device for each stream that this process was started without, as some services are.

    Otherwise a file or pipe that is opened later would get the stream's number, and what is printed would go there.
    Letters that a stream's encoding does not have are spelled out, as Python does on standard error.
    """
    for number, (name, mode) in enumerate(STREAMS.items()):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(_nothing_at(number), mode, encoding="utf-8", closefd=False))  # noqa: SIM115
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _nothing_at(number: int) -> int:
    """A descriptor of the null device: this number where it is free."""
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        os.fstat(number)  # the descriptor just opened, or one that something else opened before
    except OSError:
        os.dup2(nothing, number)
        os.close(nothing)
        return number
    return nothing
