"""Automatic differentiation over NumPy: `Tensor`, `grad`, `no_grad`, and the table of ops."""

from fedlearn.autograd import fused, ops, recurrent
from fedlearn.autograd.check import gradcheck, gradgradcheck
from fedlearn.autograd.mode import no_grad
from fedlearn.autograd.tensor import Tensor, grad

__all__ = ["Tensor", "fused", "grad", "gradcheck", "gradgradcheck", "no_grad", "ops", "recurrent"]
