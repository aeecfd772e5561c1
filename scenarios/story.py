"""Shared code of stories that make their own clients, or have none: run folder, progress bar, pictures, claims."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track
from threadpoolctl import threadpool_limits

from aggregator import RunFolder
from aggregator.runfolder import model_sha256
from fedlearn.nn import Module
from scenarios.command import build
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.pictures import Picture, draw

T = TypeVar("T")


@contextmanager
def telling(scenario: str, options: Options, data: dict[str, Any]) -> Iterator[Story]:
    """A story in a run folder of its own. data: what the scenario says of its data set."""
    folder = build.folder(options, scenario, data)
    with keeping(folder):
        yield Story(folder, options)


@contextmanager
def keeping(folder: RunFolder) -> Iterator[None]:
    """Open a story's run folder, and have run.json say how it went if it fails; bad input leaves no folder.

    One BLAS thread meanwhile, as in every pool: a seed gives the same bits.
    """
    # The folder's own transcript stays empty: recorded rounds have folders of their own.
    with folder.opened(), threadpool_limits(1):
        try:
            yield
        except KeyboardInterrupt as interrupt:
            interrupt.__notes__ = ["a story cannot be resumed: run it again"]  # not how to resume a run within it
            raise


class Story:
    """A story on its way, and at its `end` the outcome."""

    def __init__(self, folder: RunFolder, options: Options):
        self._folder = folder
        self.options = options
        self.scenario: str = folder.configuration["scenario"]
        self._began = time.perf_counter()
        self.path = folder.path
        self.shown = bool(options.trackers)  # under --quiet nobody watches

    def steps(self, items: Sequence[T], text: str) -> Iterable[T]:
        """The items, with a bar on standard error while they are worked through."""
        if not self.shown:
            return items
        console = Console(file=sys.stderr)
        return track(items, text, console=console, transient=True, disable=not console.is_terminal)

    def picture(self, name: str, picture: Picture) -> str:
        """A picture in the run folder; the sentence says where, or why there is none."""
        return draw(self._folder.path, name, picture)

    def inner(self, name: str, options: Options) -> RunFolder:
        """A folder inside the story's own for a recorded run with these options."""
        configuration = build.configuration(options, f"{self.scenario}/{name}")
        return RunFolder(self.path / name, configuration, self._folder.data_set, record=True)

    def end(
        self,
        text: str,
        claims: list[Claim],
        metrics: dict[str, float] | None = None,
        model: Module | None = None,
        rounds: int = 0,
        listed: bool = True,
    ) -> Outcome:
        """Keep what came out. text: the last words to the user; model: the one that is worth keeping; rounds: run.

        listed: False where the text says all of the claims, which are then not listed beside it.
        """
        digest = ""
        if model is not None:
            self._folder.write_model(model.state_dict())
            digest = model_sha256(model, self._folder)
        outcome = Outcome(
            self._folder.path, self.options.seed, rounds, metrics or {}, digest,
            seconds=time.perf_counter() - self._began, claims=claims, story=text,
            configuration=self._folder.configuration, listed=listed,
        )  # fmt: skip
        result = {"metrics": outcome.metrics, "model_sha256": digest, "seconds": outcome.seconds}
        self._folder.write_outcome({"state": "done", "claims": {claim.name: claim.value for claim in claims}, **result})
        return outcome
