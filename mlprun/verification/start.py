"""Where every course of a config starts: its rows in both precisions, and the torch engine's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlprun import engines
from mlprun.engines import device as devices
from mlprun.errors import UsageError
from mlprun.verification.agreement import DEFINITION
from mlprun.verification.courses import Course, cast, comparable, follow, in_dtype

if TYPE_CHECKING:
    from mlprun.engines import Engine, State
    from mlprun.experiment import Experiment
    from mlprun.schema import Config

DTYPES = ("float32", "float64")


@dataclass(frozen=True, eq=False)
class Start:
    """One config's; make it with `Start.of`."""

    config: Config
    experiments: dict[str, Experiment]
    """by precision"""
    state: State
    """the torch engine's start, in the config's precision"""
    device: str

    @classmethod
    def of(cls, config: Config) -> Start:
        """Rows in both precisions and initial weights. Raises as `Experiment.of` and the initializers do."""
        if not config.training.epochs:
            raise UsageError("training.epochs", "there is no step to compare", "train for one epoch at least")
        config = comparable(config)
        experiments = {dtype: in_dtype(config, dtype) for dtype in DTYPES}
        state = _definition().initial_state(experiments[config.training.dtype])
        return cls(config, experiments, state, devices.resolve(config.device))

    def definition(self, dtype: str, epochs: int) -> Course:
        """The course of the torch engine."""
        return self.follow(_definition(), dtype, epochs)

    def follow(self, engine: Engine, dtype: str, epochs: int) -> Course:
        """The course of an engine in one precision."""
        return follow(engine, self.experiments[dtype], cast(self.state, dtype), epochs, device=self.device)


def _definition() -> Engine:
    return next(engine for engine in engines.every() if engine.name == DEFINITION)
