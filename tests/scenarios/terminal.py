"""The command at a terminal of its own, for tests."""

from __future__ import annotations

import os
import pty
import select
import sys
import termios
import time


class Terminal:
    """The command at a terminal of its own."""

    def __init__(self, *arguments: str):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [sys.executable, "-m", "scenarios.command.main", *arguments])
        self.said = b""

    def wait_for(self, text: bytes, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while text not in self.said:
            assert time.monotonic() < end, self.said
            if select.select([self.terminal], [], [], 0.1)[0]:
                self.said += os.read(self.terminal, 4096)

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.terminal)[3] & termios.ECHO)

    def status(self) -> int:
        while True:
            try:
                data = os.read(self.terminal, 4096)
            except OSError:  # Linux says so that nobody has the other end any more
                break
            if not data:
                break
            self.said += data
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
