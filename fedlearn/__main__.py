"""`python -m fedlearn` is the command `fedlearn`."""

from importlib import import_module

# By name: the command stands above the core, which imports nothing from there.
import_module("scenarios.command.main").main()
