"""One participant, and where participants come from."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np

from fedlearn.checked import REAL, refuse_masked
from fedlearn.datasets.examples import Arrays, Examples
from fedlearn.errors import BadInput
from fedlearn.protocol import ClientId, client_name
from fedlearn.showing import facts
from fedlearn.training.stacks import StackedViews
from fedlearn.wording import many

if TYPE_CHECKING:
    from clients.behaviours.base import Behaviour

log = logging.getLogger(__name__)


@dataclass
class Client:
    """One participant: its name (for people who read logs) and its private examples.

    data: `Examples`, or a pair (X, y) of arrays, of which `Arrays` are made. behaviour: what it does where it is
    malicious; None for an honest client. Raises `BadInput` for other data.
    """

    name: str
    data: Examples
    behaviour: Behaviour | None = None

    def __post_init__(self) -> None:
        if isinstance(self.data, (list, tuple)) and len(self.data) == 2:
            self.data = _of_pair(self.name, self.data)
        if isinstance(self.data, np.ndarray) or not (hasattr(self.data, "take") and hasattr(self.data, "__len__")):
            kind = type(self.data).__name__
            raise BadInput(f"{self.name}: its data are a {kind}; give examples, or a pair (X, y) of arrays")

    def __repr__(self) -> str:
        """Its name and how many examples it has, never what they are: this ends up in logs and notebooks."""
        malicious = "" if self.behaviour is None else f", malicious: {type(self.behaviour).__name__}"
        return f"<Client {self.name}: {many(len(self.data), 'example')}{malicious}>"

    def _repr_html_(self) -> str:
        """The same as a small table."""
        behaviour = None if self.behaviour is None else type(self.behaviour).__name__
        kind = type(self.data).__name__
        return facts(f"Client {self.name}", {"examples": len(self.data), "kept as": kind, "malicious": behaviour})


class ClientSource(Protocol):
    """The clients of a federation by number, 0 to len - 1: a list, or something that makes a client when it is sampled.

    Must be picklable: worker processes are given the source whole, of a list only their share.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, number: ClientId, /) -> Client: ...


@runtime_checkable
class SideBySide(Protocol):
    """A source of clients who are all honest, and that has the examples of many in one piece: simulations are quicker.

    together: the examples of these clients stacked, as `fedlearn.training.stacks.stack` gives those of `self[number]`;
    None where they cannot be stacked.
    """

    def together(self, numbers: Sequence[ClientId], /) -> StackedViews | None: ...


def as_clients(given: Any) -> ClientSource:
    """The clients that a pool is given: a list of `Client`s or pairs (X, y), a dict of them by name, a `ClientSource`.

    A pair in a list is a client named client-0, client-1... by its place. Raises `BadInput` for anything else.
    """
    if isinstance(given, Mapping) and given:
        _check_columns({str(name): data for name, data in given.items()})
        return [Client(str(name), data) for name, data in given.items()]
    if isinstance(given, tuple) and len(given) == 2 and all(hasattr(each, "shape") for each in given):
        raise BadInput("clients are one pair (X, y), which is one client: give a list of pairs, as [(X, y), ...]")
    if isinstance(given, list | tuple):
        _check_columns({client_name(number): client for number, client in enumerate(given)})
        found = [_as_client(number, client) for number, client in enumerate(given)]
        _tell_shared_names(found)
        return found
    if not _makes_clients(given):
        wanted = "a list of Client(name, data) or of pairs (X, y), a dict of pairs by name, or a pool"
        what = f"{given!r:.80}" if isinstance(given, str | Mapping | type | NoneType) else f"a {type(given).__name__}"
        raise BadInput(f"clients are {what}; give {wanted}")
    return cast(ClientSource, given)


def _makes_clients(given: Any) -> bool:
    """True if it has clients by number; tables and data sets have rows or columns there."""
    if isinstance(given, Mapping | str | bytes | np.ndarray | type):
        return False
    if not (hasattr(given, "__len__") and hasattr(given, "__getitem__")):
        return False
    try:
        return not len(given) or isinstance(given[0], Client)
    except (LookupError, TypeError):
        return False


def _check_columns(given: Mapping[str, Any]) -> None:
    """Raise `BadInput` for tables whose columns are not the same in one order: arrays made of them have no names."""
    pairs = {name: pair for name, pair in given.items() if isinstance(pair, list | tuple) and len(pair) == 2}
    tables = {name: list(pair[0].columns) for name, pair in pairs.items() if hasattr(pair[0], "columns")}
    first = next(iter(tables), "")
    for name, columns in tables.items():
        if columns != tables[first]:
            raise BadInput(f"the columns of {name} are not those of {first} in their order: give all the same columns")


def _tell_shared_names(clients: Sequence[Client]) -> None:
    """Warn of names that several have: a run tells clients apart by number, but its logs say names."""
    for name, times in Counter(str(client.name) for client in clients).most_common(1):
        if times > 1:
            log.warning(
                "%s are named %s: logs cannot tell them apart; give each a name of its own",
                many(times, "client"),
                name,
            )


def _as_client(number: ClientId, given: Any) -> Client:
    if isinstance(given, Client):
        return given
    if not (isinstance(given, list | tuple) and len(given) == 2):
        raise BadInput(
            f"{client_name(number)} is a {type(given).__name__}; give Client(name, data), or a pair (X, y) of arrays"
        )
    name = client_name(number)
    return Client(name, _of_pair(name, given))


def _of_pair(name: str, pair: Any) -> Arrays:
    features = _as_array(f"{name}: its features", pair[0])
    targets = _as_array(f"{name}: its targets", pair[1])
    try:
        return Arrays(features, targets)
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None


def _as_array(what: str, values: Any) -> np.ndarray:
    """An array with an axis of examples; real numbers as float32, in which models compute.

    Errors name shapes and types only: they end up in logs, where no example may stand.
    """
    refuse_masked(what, values)
    if hasattr(values, "toarray"):
        raise BadInput(f"{what} are a sparse matrix, whose zeros are not there: give its toarray()")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise BadInput(f"{what} make no array: {error}; all must have one shape") from None
    if array.ndim == 0 or array.dtype.kind not in REAL:
        kind = f"{type(values).__name__} of type {array.dtype} and shape {array.shape}"
        remedy = ": cast it with astype(float)" if array.dtype == object and array.ndim else ""
        raise BadInput(f"{what} are a {kind}; give arrays of numbers, an example for each row{remedy}")
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):  # to infinity, which local training reports
        return np.asarray(array, np.float32)


def log_name(clients: object, number: ClientId) -> str:
    """The one name of a client in logs: its own, where clients are at hand; else its number's."""
    at_hand = isinstance(clients, list | dict) and type(clients).__module__ == "builtins"
    return str(clients[number].name) if at_hand else client_name(number)  # type: ignore[index]
