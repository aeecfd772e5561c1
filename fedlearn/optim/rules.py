"""The state of adaptive rules, of past gradients, on flat arrays of any shape: written once, for optimizers, for local
training (`strategies/fedavg.py`, one client or a stack of them) and for the server's step (`strategies/fedopt.py`).

Each changes its arrays in place. How the step follows from them is the caller's: PyTorch, the paper of Adam and that of
the server optimizers correct, or do not correct, for the zeros at the start in ways that round differently.
"""

from __future__ import annotations

import numpy as np


def mean_towards(mean: np.ndarray, value: np.ndarray, beta: float) -> None:
    """m = beta m + (1 - beta) value: a mean that forgets."""
    mean *= beta
    mean += (1 - beta) * value


def square_towards(size: np.ndarray, gradient: np.ndarray, beta: float) -> None:
    """v = beta v + (1 - beta) g^2 (RMSprop; Adam, Kingma and Ba 2015)."""
    size *= beta
    size += (1 - beta) * gradient * gradient


def square_by_sign(size: np.ndarray, gradient: np.ndarray, beta: float) -> None:
    """v -= (1 - beta) sign(v - g^2) g^2 (Yogi, Zaheer et al. 2018): by a step of the size of g^2 and no more."""
    square = gradient * gradient
    size -= (1 - beta) * np.sign(size - square) * square


def square_summed(size: np.ndarray, gradient: np.ndarray) -> None:
    """v += g^2 (Adagrad, Duchi et al. 2011): nothing is forgotten."""
    size += gradient * gradient
