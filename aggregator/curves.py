"""The figure of `History.plot`; importing this needs matplotlib (extra `plots`)."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure


class Curves(Figure):
    """A figure that a notebook shows as a picture without being told which backend to use."""

    def _repr_png_(self) -> bytes:
        picture = BytesIO()
        self.savefig(picture, format="png", dpi=100)
        return picture.getvalue()
