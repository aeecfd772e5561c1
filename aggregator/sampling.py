"""Which clients take part in a round: `SAMPLERS` names samplers; what one is stands in `fedlearn.sampling`."""

from __future__ import annotations

from aggregator.named import SAMPLERS as SAMPLERS
from fedlearn.sampling import Poisson as Poisson
from fedlearn.sampling import Sampler as Sampler
from fedlearn.sampling import Uniform as Uniform
from fedlearn.weighted import Weighted as Weighted
