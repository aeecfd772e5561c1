"""A pool whose worker 1 is sent a signal right before a call that comes before rounds."""

from __future__ import annotations

import os


class StruckBefore:
    """Mixed into a pool with workers. before: the call. number: of the signal."""

    before: str
    number: int

    def strike(self, call):
        if call == self.before:
            os.kill(self.process_ids[1], self.number)

    def enrol(self, session):
        self.strike("enrol")
        return super().enrol(session)

    def start(self, *plan):
        self.strike("start")
        super().start(*plan)

    def remember(self, *memory):
        self.strike("remember")
        super().remember(*memory)
