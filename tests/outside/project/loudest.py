"""How far each update moves the model: whoever moves it furthest has the rarest data, or means no good."""

from dataclasses import dataclass

import numpy as np

from fedlearn.attacks.base import Finding
from fedlearn.attacks.each import EachVector


@dataclass(frozen=True, eq=False)
class Norm(Finding):
    norm: float

    def summary(self):
        return f"moves the model by {self.norm:.3g}"


class Loudest(EachVector[Norm]):
    """A finding for each plain update and each opened sum."""

    def read(self, observed, vector):
        return Norm(self.name, vector.about, vector.round, float(np.linalg.norm(observed.mean(vector))))
