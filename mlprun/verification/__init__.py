"""Whether implementations of an experiment agree, whether gradients are right, and which trap it is."""

from mlprun.verification.agreement import Difference, Pair
from mlprun.verification.courses import Course
from mlprun.verification.held import Held
from mlprun.verification.slopes import LIMIT, Check
from mlprun.verification.traps import Explanation, Trap
from mlprun.verification.verified import Verification, verify

__all__ = [
    "LIMIT",
    "Check",
    "Course",
    "Difference",
    "Explanation",
    "Held",
    "Pair",
    "Trap",
    "Verification",
    "verify",
]
