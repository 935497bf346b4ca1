"""The trainer above the engines: new and resumed runs, trained, saved and measured."""

from mlprun.training.recorder import best_from
