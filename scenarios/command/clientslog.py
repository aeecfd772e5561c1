"""The clients' own log of a run, as the command shows it: whoever simulates a federation is all of its parties."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def first_error(clients_log: Path | None) -> str:
    """The words of the first client that failed, from its name on; "" where none did.

    Control characters, which may be the data's, are escaped.
    """
    if clients_log is None:
        return ""
    with suppress(OSError), open(clients_log, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if " ERROR " in line:
                text = line[line.find("[client") :].rstrip()
                return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return ""
