"""The parties of a session, by number."""

from __future__ import annotations

# Clients are 0, 1, 2...; everybody else has a negative number.
AGGREGATOR = -1
EVERYBODY = -2
FIRST_OPENER = -16  # key holder or trustees: -16, -17, ...
FIRST_WORKER = -(1 << 20)  # workers of a pool, that add their clients' updates: downwards from here
ClientId = int  # a client's number, 0 or more


def is_opener(party: int) -> bool:
    """True if a party is the key holder or a trustee."""
    return FIRST_WORKER < party <= FIRST_OPENER


def client_name(client: int) -> str:
    """The name of a client that was given none, in texts, logs and names of files: `client-3`."""
    return f"client-{client}"


def party_name(party: int) -> str:
    """The name of a party in texts and logs: as in the transcript, but for clients."""
    return client_name(party) if party >= 0 else transcript_name(party)


def transcript_name(party: int) -> str:
    """The name under which a party stands in the transcript: `client:3`, `opener:0`."""
    if party >= 0:
        return f"client:{party}"
    if party <= FIRST_WORKER:
        return f"worker:{FIRST_WORKER - party}"
    if party <= FIRST_OPENER:
        return f"opener:{FIRST_OPENER - party}"
    return {AGGREGATOR: "aggregator", EVERYBODY: "everybody"}[party]
