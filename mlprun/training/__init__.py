"""The loop above an engine: new runs and resumed ones, trained, saved and measured. It knows no engine."""

from mlprun.training.loop import Reporter
from mlprun.training.recorded import record_of, trained_config
from mlprun.training.reproducing import Reproduction, reproduce
from mlprun.training.resuming import resume
from mlprun.training.run import Ended, start

__all__ = ["Ended", "Reporter", "Reproduction", "record_of", "reproduce", "resume", "start", "trained_config"]
