"""Checks that every attack must pass."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from fedlearn.attacks.base import Attack, Finding, NotReadable
from fedlearn.protocol import PartyView, Transcript
from fedlearn.wording import many


def check_attack(attack: Attack, *views: PartyView) -> None:
    """Raise `AssertionError` unless `attack` reads transcripts as the command expects.

    views: of recorded runs, at least one of which it reads. What it cannot read, an empty transcript too, it refuses by
    `NotReadable`; what it finds can be said in one line and as JSON.
    """
    assert attack.name, "an attack needs a name"
    found = 0
    for view in views:
        try:
            findings = attack.run(view)
        except NotReadable:
            continue
        for finding in findings:
            _check_finding(finding)
            found += 1
    assert found or not views, f"{attack.name} found nothing in any of {many(len(views), 'transcript')}"
    with TemporaryDirectory() as folder:
        Transcript(Path(folder), record=True).close()
        try:
            attack.run(PartyView.load(Path(folder)))
        except NotReadable:
            return
        raise AssertionError(f"{attack.name} did not refuse an empty transcript: raise NotReadable")


def _check_finding(finding: Finding) -> None:
    text = str(finding)
    assert text, f"a {type(finding).__name__} says nothing"
    assert "\n" not in text, f"a {type(finding).__name__} says more than one line: {text!r:.80}"
    json.dumps(finding.to_dict())
