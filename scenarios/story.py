"""What stories without parties share: a run folder, one BLAS thread, a bar, pictures, and claims that are kept."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.progress import track
from threadpoolctl import threadpool_limits

from aggregator import RunFolder
from aggregator.runfolder import model_sha256
from fedlearn.errors import BadInput
from fedlearn.nn import Module
from scenarios import pictures
from scenarios.options import Claim, Options, Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")


@contextmanager
def telling(scenario: str, options: Options, data: dict[str, Any]) -> Iterator[Story]:
    """Opens the run folder for a story, and has run.json say how it went if it fails; bad input leaves no folder.

    data: what the scenario says of its data set. One BLAS thread, as in every pool: a seed gives the same bits.
    """
    folder = options.folder(scenario, data)
    folder.begin().close()  # the transcript stays empty: no message passes between parties
    failed: BaseException | None = None
    try:
        with threadpool_limits(1):
            yield Story(folder, options)
    except BaseException as error:
        failed = error
        raise
    finally:
        folder.end()
        if isinstance(failed, BadInput):
            folder.discard()
        elif failed is not None:
            folder.write_outcome({"state": "failed", "reason": f"{type(failed).__name__}: {failed}"})


class Story:
    """A story on its way, and at its `end` the outcome."""

    def __init__(self, folder: RunFolder, options: Options):
        self._folder = folder
        self._options = options
        self._began = time.perf_counter()
        self.path = folder.path
        self.shown = bool(options.trackers)  # under --quiet nobody watches

    def steps(self, items: Sequence[T], text: str) -> Iterable[T]:
        """The items, with a bar on standard error while they are worked through."""
        if not self.shown:
            return items
        console = Console(file=sys.stderr)
        return track(items, text, console=console, transient=True, disable=not console.is_terminal)

    def picture(self, name: str, paint: Callable[[Figure], None], size: tuple[float, float] = (7.0, 4.5)) -> str:
        """A picture in the run folder; the sentence says where, or why there is none."""
        return pictures.draw(self._folder.path, name, paint, size)

    def end(
        self, text: str, claims: list[Claim], metrics: dict[str, float] | None = None, model: Module | None = None
    ) -> Outcome:
        """Keep what came out. text: the last words to the user; model: the one that is worth keeping."""
        digest = ""
        if model is not None:
            self._folder.write_model(model.state_dict())
            digest = model_sha256(model.state_dict())
        outcome = Outcome(
            self._folder.path, self._options.seed, rounds=0, metrics=metrics or {}, model_sha256=digest,
            seconds=time.perf_counter() - self._began, claims=claims, story=text,
        )  # fmt: skip
        kept = {"metrics": outcome.metrics, "model_sha256": digest, "seconds": outcome.seconds}
        self._folder.write_outcome({"state": "done", "claims": {claim.name: claim.value for claim in claims}, **kept})
        return outcome
