"""mlprun from Python, as in a notebook; the commands are made of the same functions.

The examples below follow one another, as the cells of a notebook do.

**Train.** A config is the path of a YAML file, a mapping, or YAML text; further arguments override its
values. The run is saved in a folder below `out`, by default `runs`.

    >>> import mlprun
    >>> run = mlprun.train("dataset: iris", "training.epochs=80", "optimizer.lr=0.5", name="flowers")
    >>> run.status.state, run.status.epochs
    ('finished', 80)

**Look at it.** In a notebook, `run` at the end of a cell shows the result as a table and the loss curve.

    >>> sorted(run.metrics)
    ['baselines', 'best', 'last', 'positive']
    >>> run.metrics["best"]["splits"]["test"]["accuracy"] > 0.8
    True
    >>> run.metrics["baselines"]["majority"]["test"]["accuracy"] < 0.5
    True
    >>> list(run.history)[:3], len(run.history["dev_loss"])
    (['epoch', 'lr', 'train_loss'], 80)
    >>> bool(run.history["train_loss"][-1] < run.history["train_loss"][0])
    True
    >>> run.history.to_frame().shape
    (80, 7)
    >>> run.plot("loss").savefig("loss.png")

The model is a `torch.nn.Module`, which takes rows as they are prepared for it.

    >>> import torch
    >>> isinstance(run.model, torch.nn.Module)
    True
    >>> run.model(torch.from_numpy(run.rows("test").inputs)).shape
    torch.Size([30, 3])

**Your own data.** A data frame of pandas or polars takes the place of `dataset.path`; the config names the
target and says how columns are read. The rows are saved with the run, whose folder may be moved.

    >>> import polars as pl
    >>> houses = pl.DataFrame({
    ...     "rooms": [None, *(k % 5 for k in range(1, 60))],
    ...     "city": ["Bern", "Rome", "Oslo"] * 20,
    ...     "price": [float(100 * (k % 5) + 20 * (k % 3)) for k in range(60)],
    ... })
    >>> config = {
    ...     "dataset": {"target": "price", "missing": "impute"},
    ...     "loss": "mse",
    ...     "architecture": {"hidden": [8]},
    ...     "optimizer": {"name": "adam", "lr": 0.05},
    ...     "training": {"epochs": 100},
    ... }
    >>> prices = mlprun.train(config, data=houses)
    >>> prices.best.preprocessing.input_names
    ('rooms', 'city')

Arrays are a pair (X, y); without `dataset.target` the target is called y.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(90, 2))
    >>> y = np.where(X.sum(axis=1) > 0, "positive", "negative")
    >>> signs = mlprun.train("training: {epochs: 50}", "optimizer.lr=1.0", data=(X, y))

**Predict and evaluate.** Rows are the path of a table, a frame, an array or a list of mappings; answers are
in the units and class names of the table.

    >>> prices.predict([{"rooms": 4, "city": "Bern"}, {"rooms": None, "city": "Rome"}]).shape
    (2,)
    >>> signs.predict([[2.0, 2.0], [-2.0, -2.0]]).tolist()
    ['positive', 'negative']
    >>> signs.classes.tolist(), signs.predict_proba(X).shape
    (['negative', 'positive'], (90, 2))
    >>> bool(signs.evaluate(X, y)["accuracy"] == (signs.predict(X) == y).mean())
    True
    >>> prices.evaluate(houses)["r2"] > 0.8
    True

**Resume, reproduce.** A run that was stopped, or one that is to be longer, continues from its last
checkpoint.

    >>> longer = mlprun.resume(run.path, epochs=100)
    >>> longer.status.epochs, longer.status.extended
    (100, (80,))
    >>> mlprun.reproduce(run.path).equal
    True

**Many runs.** `mlprun.runs` lists those of a folder; conditions are those of `mlprun ls --where`.

    >>> [one.config.name for one in mlprun.runs("runs", where=["dataset=iris", "test_accuracy>0.7"])]
    ['flowers']
    >>> frame = mlprun.runs("runs").to_frame()
    >>> len(frame), "test_accuracy" in frame.columns
    (3, True)
    >>> mlprun.load("runs/latest").config.name
    'config'

**Sweep.** Each value of the grid is trained with several seeds; the trials of a setting are an ensemble.

    >>> swept = mlprun.sweep({
    ...     "base": {"dataset": {"name": "moons", "samples": 200, "seed": 0}, "training": {"epochs": 40}},
    ...     "grid": {"optimizer.lr": [0.01, 1.0]},
    ...     "seeds": 3,
    ... })
    >>> swept.status.state, len(swept.trials), len(swept.rows())
    ('finished', 6, 6)
    >>> sorted({row["optimizer.lr"] for row in swept.rows()})
    [0.01, 1.0]
    >>> ensemble = swept.ensemble()
    >>> len(ensemble.models), ensemble.evaluate()["test"]["accuracy"].ensemble > 0.7
    (3, True)

**Callbacks.** An object with methods of `mlprun.Callback` receives the events of a training and may end it.

    >>> class StopBelow(mlprun.Callback):
    ...     def on_epoch_end(self, run, epoch, metrics):
    ...         if metrics["train_loss"] < 0.5:
    ...             run.request_stop("the loss is below 0.5")
    >>> stopped = mlprun.train("dataset: moons", callbacks=[StopBelow()])
    >>> stopped.status.reason, stopped.status.epochs < 1000
    ('callback: the loss is below 0.5', True)

**Errors.** What can go wrong is in `mlprun.errors`; messages say where, what, and what would work.

    >>> try:
    ...     mlprun.train("dataset: moons", "optimizer.momentun=0.9")
    ... except mlprun.errors.ConfigError as error:
    ...     print(error, error.exit_code)
    optimizer.momentun=0.9: unknown key; did you mean momentum? 2
    >>> mlprun.train(config, data=houses.drop("price"))
    Traceback (most recent call last):
    mlprun.errors.ConfigError: config: dataset.target: ...
    >>> prices.predict([{"rooms": "many", "city": "Bern"}])
    Traceback (most recent call last):
    mlprun.errors.DataError: data:row 1: column 'rooms' is 'many'; expected a number
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlprun.api.runs import (
        Run,
        RunHistory,
        RunList,
        load,
        load_checkpoint,
        load_config,
        reproduce,
        resume,
        train,
        verify,
    )
    from mlprun.api.sweeps import SilentSweep, Sweep, load_definition, load_sweep, sweep
    from mlprun.training.trainer import Callback

__all__ = [
    "Callback",
    "Run",
    "RunHistory",
    "RunList",
    "SilentSweep",
    "Sweep",
    "load",
    "load_checkpoint",
    "load_config",
    "load_definition",
    "load_sweep",
    "reproduce",
    "resume",
    "sweep",
    "train",
    "verify",
]
_MODULES = {
    "training.trainer": ("Callback",),
    "api.sweeps": ("SilentSweep", "Sweep", "load_definition", "load_sweep", "sweep"),
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for: runs load no sweeps, and light commands no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = next((module for module, names in _MODULES.items() if name in names), "api.runs")
    return getattr(importlib.import_module(f"mlprun.{module}"), name)


def __dir__() -> list[str]:
    """Return the names that completion offers."""
    return sorted(__all__)
