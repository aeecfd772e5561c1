"""Fixtures that tests of scenarios share."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def without_pictures(monkeypatch):
    """No pictures, as without the extra `plots`: the picture of a small run takes longer than the run."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
