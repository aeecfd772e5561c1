"""Limits: noise and delta may not be under them."""

SMALLEST_DELTA = 1e-9  # below it the rounding errors of a Fourier transform would count
SMALLEST_NOISE = 0.001  # what is below costs an epsilon of half a million a release
