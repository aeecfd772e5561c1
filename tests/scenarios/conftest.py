"""What tests of scenarios share."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def without_pictures(monkeypatch):
    """As where the extra `plots` is not installed: a small run takes less time than the picture of its learning."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
