"""What training minimises: the registry of losses and their base class."""

from __future__ import annotations

from mlprun.parts.losses import classification, distributions, regression
from mlprun.parts.losses.loss import Loss, losses

__all__ = ["Loss", "classification", "distributions", "losses", "regression"]
