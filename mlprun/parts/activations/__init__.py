"""Activation functions, and parallel activations whose results are summed."""

from mlprun.parts.activations import distributions, rectifiers, sigmoids
from mlprun.parts.activations.activation import (
    Activation,
    ActivationField,
    HiddenActivation,
    OneActivation,
    activations,
    build_activation,
    each,
)
from mlprun.parts.activations.rectifiers import Relu
from mlprun.parts.activations.sigmoids import Identity, Logistic, Tanh

__all__ = [
    "Activation",
    "ActivationField",
    "HiddenActivation",
    "Identity",
    "Logistic",
    "OneActivation",
    "Relu",
    "Tanh",
    "activations",
    "build_activation",
    "distributions",
    "each",
    "rectifiers",
    "sigmoids",
]
