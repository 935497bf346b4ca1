"""mlprun from Python, as in a notebook; the commands are made of the same functions.

run = mlprun.train("configs/moons.yaml", "optimizer.lr=0.1")
run.history["dev_loss"], run.figures, run.model, run.plot()
"""

from mlprun.api.run import Run, load, load_checkpoint
from mlprun.api.sweeps import Sweep, load_definition, load_sweep, sweep
from mlprun.api.training import Silent, SilentSweep, load_config, reproduce, resume, train, verify

__all__ = [
    "Run",
    "Silent",
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
