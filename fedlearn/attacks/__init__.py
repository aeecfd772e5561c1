"""What a curious party reads out of its own transcript; nothing else is given to an attack.

An attack is a function of a `PartyView` (what one party sent and received in a recorded run) that returns
findings. `ATTACKS` names those that need no more than the view; a game's attack is told its candidates too.
"""

from __future__ import annotations

from fedlearn.registry import Registry

ATTACKS = Registry(
    "attack",
    {
        "changed_rows": (
            "fedlearn.attacks.changed_rows:changed_rows",
            "words of each plain update, and of each opened sum, from the rows that moved",
        ),
    },
)
