"""Architectures: the networks that a config can name."""

from mlprun.parts.architectures.architecture import Architecture, architectures
from mlprun.parts.architectures.layers import Embedding, Layer, OutputLayer
from mlprun.parts.architectures.mlp import Mlp
from mlprun.parts.architectures.rnn import Rnn

__all__ = ["Architecture", "Embedding", "Layer", "Mlp", "OutputLayer", "Rnn", "architectures"]
