"""Automatic differentiation over NumPy: `Tensor`, `grad`, `no_grad`, and the table of ops."""

from fedlearn.autograd import fused, ops, recurrent
from fedlearn.autograd.check import gradcheck, gradgradcheck
from fedlearn.autograd.derivatives import hessian, hvp, jacobian, jvp, value_and_grad, vjp
from fedlearn.autograd.mode import enable_grad, no_grad, no_replay
from fedlearn.autograd.program import RecordedSteps, recorded_steps
from fedlearn.autograd.tensor import Tensor, grad

__all__ = [
    "RecordedSteps", "Tensor", "enable_grad", "fused", "grad", "gradcheck", "gradgradcheck", "hessian", "hvp",
    "jacobian", "jvp", "no_grad", "no_replay", "ops", "recorded_steps", "recurrent", "value_and_grad", "vjp",
]  # fmt: skip
