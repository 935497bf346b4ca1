"""Statistics over seeds and settings: summaries, comparisons, correlations, and tables of all trials.

Everything reads the results that `mlprun.sweeps` stores; nothing here trains. Importing the package is cheap.
"""
