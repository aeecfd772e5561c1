"""All that the server side takes by name and that is no class of its own package: samplers, schedules, networks.

Nothing heavy is imported here: `fedlearn list` reads it.
"""

from __future__ import annotations

from fedlearn.registry import Registry

SAMPLERS = Registry(
    "sampler",
    {
        "uniform": ("fedlearn.sampling:Uniform", "as many as --cohort says, all equally likely"),
        "poisson": ("fedlearn.sampling:Poisson", "each client by itself with probability cohort / clients"),
        "rotation": ("fedlearn.sampling:Rotation", "in turns: each client once in clients / cohort rounds"),
        "weighted": ("fedlearn.weighted:Weighted", "by numbers of examples, or the weights in weighted:FILE"),
        "availability": ("fedlearn.availability:Availability", "of those awake, by the trace in a FILE or diurnal=N"),
    },
    "fedlearn.sampling:Sampler",
)

SCHEDULES = Registry(
    "schedule",
    {
        "cosine": ("fedlearn.optim.lr_scheduler:CosineAnnealingLR", "down along half a cosine, by default to the end"),
        "step": ("fedlearn.optim.lr_scheduler:StepLR", "times gamma every step_size rounds"),
        "exponential": ("fedlearn.optim.lr_scheduler:ExponentialLR", "times gamma every round"),
        "linear": ("fedlearn.optim.lr_scheduler:LinearLR", "from start_factor to end_factor in total_iters: a warm-up"),
        "polynomial": ("fedlearn.optim.lr_scheduler:PolynomialLR", "down to 0 as a power, by default to the end"),
        "restarts": ("fedlearn.optim.lr_scheduler:CosineAnnealingWarmRestarts", "cosines of T_0 rounds, ever again"),
    },
)

# Round figures to start from, not a survey.
NETWORKS = Registry(
    "network",
    {
        "data-centre": ("aggregator.costs:DATA_CENTRE", "10 Gbit both ways, 0.5 ms, all as fast as here"),
        "home": ("aggregator.costs:HOME", "20 Mbit up, 100 Mbit down, 10 ms, e^0.3 = 1.3 times slower (median)"),
        "4g": ("aggregator.costs:MOBILE", "10 Mbit up, 30 Mbit down, 25 ms, e^1 = 2.7 times slower (median)"),
    },
)
