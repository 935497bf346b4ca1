"""What the tests of faults share: the package `faulty` beside this file, and processes that run it."""

from __future__ import annotations

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
