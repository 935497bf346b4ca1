"""What pydantic cannot see: combinations across sections that cannot work, each with the reason.

A check names the sections it reads and runs when those are valid, whatever else is wrong; one that reads data
runs when the facts of the dataset are known.
"""

from mlprun.schema.checks import optimization, rows, size, targets
from mlprun.schema.checks.check import CHECKS, check
from mlprun.schema.checks.rows import too_short

__all__ = ["CHECKS", "check", "optimization", "rows", "size", "targets", "too_short"]
