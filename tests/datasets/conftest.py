from __future__ import annotations

from collections.abc import Callable

import pytest

from fedlearn.datasets import DATASETS


@pytest.fixture
def real() -> Callable[[str], None]:
    """Skips a test on a named data set whose file is not there, and says how to get it."""

    def need(name: str) -> None:
        try:
            DATASETS.load(name).read()
        except ValueError as error:
            pytest.skip(str(error))

    return need
