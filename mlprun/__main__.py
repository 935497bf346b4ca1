"""`python -m mlprun` is `mlprun`."""

import sys

from mlprun.cli import main

sys.exit(main())
