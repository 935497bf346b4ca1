"""Architectures: the networks that a config can name."""

from mlprun.parts.architectures.architecture import (
    Architecture,
    Embedding,
    Layer,
    OutputLayer,
    architectures,
)
from mlprun.parts.architectures.mlp import Mlp
from mlprun.parts.architectures.rnn import Rnn
