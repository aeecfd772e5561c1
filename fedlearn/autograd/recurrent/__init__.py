"""Recurrent layers over whole sequences, each one fused op, and the plan by which they compute."""

from fedlearn.autograd.kernel_plan import KernelPlan, current, use
from fedlearn.autograd.recurrent.choosing import choose, measure
from fedlearn.autograd.recurrent.gru import gru
from fedlearn.autograd.recurrent.lstm import lstm
from fedlearn.autograd.recurrent.rnn import rnn

__all__ = ["KernelPlan", "choose", "current", "gru", "lstm", "measure", "rnn", "use"]
