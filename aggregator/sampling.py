"""Which clients take part in a round: `SAMPLERS` names samplers; what one is stands in `fedlearn.sampling`."""

from __future__ import annotations

from fedlearn.registry import Registry
from fedlearn.sampling import Poisson as Poisson
from fedlearn.sampling import Sampler as Sampler
from fedlearn.sampling import Uniform as Uniform
from fedlearn.weighted import Weighted as Weighted

SAMPLERS = Registry(
    "sampler",
    {
        "uniform": ("fedlearn.sampling:Uniform", "as many as --cohort says, all equally likely"),
        "poisson": ("fedlearn.sampling:Poisson", "each client by itself with probability cohort / clients"),
        "weighted": ("fedlearn.weighted:Weighted", "by numbers of examples, or the weights in weighted:FILE"),
        "availability": ("fedlearn.availability:Availability", "of those awake, by the trace in a FILE or diurnal=N"),
    },
)
