"""Sweeps: grid and random search over parameters, seeds and folds."""
