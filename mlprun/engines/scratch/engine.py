"""Chapter 4: a config as layers, losses and an optimizer of the chapters before: a network that learns."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mlprun.engines.capabilities import MLP, NETWORK, Capabilities, entry, function_options
from mlprun.engines.scratch.functions import ACTIVATIONS, LOSSES, absolute, weighted_sum
from mlprun.engines.scratch.network import OPTIMIZERS, Embedding, Layer, Linear, RNNCell, Sequential, clipped
from mlprun.engines.scratch.network import Slots as ParameterSlots
from mlprun.engines.scratch.tensor import Array, Tensor
from mlprun.parts.activations import each
from mlprun.parts.architectures import Rnn
from mlprun.parts.losses import Loss

PENALTIES: dict[str, Callable[[Tensor], Tensor]] = {"l2": lambda w: w * w, "l1": absolute}
CAPABILITIES = Capabilities(
    lacks="it lacks",
    architectures={"mlp": (*MLP, "embedding"), "rnn": (*NETWORK, "embedding")},
    activation=function_options(ACTIVATIONS),
    loss=function_options(LOSSES),
    optimizer=function_options(OPTIMIZERS),
    dtypes=("float64",),
    computes_metrics=True,
    names={"activation": ACTIVATIONS, "loss": LOSSES, "optimizer": OPTIMIZERS},
)


def activation(parts: Any) -> Layer:
    """One activation, or several side by side whose results are summed."""
    first, *others = (entry(ACTIVATIONS, part) for part in each(parts))
    return lambda z: sum((other(z) for other in others), first(z))


def residual(layer: Layer) -> Layer:
    """Y = X + f(X), so that the gradient has a way around f."""
    return lambda rows: rows + layer(rows)


def network(architecture: Any, p: dict[str, Tensor]) -> Layer:
    """The layers before the output activation, of tensors that go by torch's names."""

    def linear(name: str) -> Linear:
        return Linear(p[f"{name}.weight"], p.get(f"{name}.bias"))

    table, inner, read = architecture.embedding, activation(architecture.activation), Sequential(Tensor)
    if table is not None:
        read = Sequential(Embedding(p["embedding.weight"]), activation(table.activation))
    if isinstance(architecture, Rnn):
        cell = RNNCell(linear("cell.input"), linear("cell.hidden"), linear("cell.output"), inner)
        return lambda rows: cell.unroll([read(column if table else column[:, None]) for column in rows.T])
    layers: list[Layer] = [read, lambda values: values.reshape(len(values.data), -1)]  # symbols side by side
    for number, layer in enumerate(architecture.hidden_layers):
        block = Sequential(linear(f"layers.{number}"), activation(layer.activation))
        layers.append(residual(block) if architecture.skips[number] else block)
    return Sequential(*layers, linear(f"layers.{len(architecture.hidden_layers)}"))


Slots = dict[str, ParameterSlots]
"""what the optimizer remembers, by parameter name"""


class LossAndGradients(NamedTuple):
    """A batch after the forward and the backward pass."""

    logits: Array
    """[B, K] values before the output activation"""
    loss: float
    """with the config's reduction and scale"""
    objective: float
    """the loss and its penalties: what was differentiated"""
    gradients: dict[str, Array]
    """of the objective, by parameter name, logits clipping"""


class Learner:
    """The network of a config and its optimizer. A step replaces arrays and never writes to them."""

    def __init__(self, config: Any, model: Mapping[str, Array], slots: Slots) -> None:
        self.config, self.model, self.slots = config, dict(model), slots
        self.activate = activation(config.architecture.output_activation)
        self.rules = config.optimizer.update_rules(config.freeze, model)

    def logits(self, inputs: Array) -> Array:
        return network(self.config.architecture, self.tensors(requires_grad=False))(inputs).data

    def tensors(self, *, requires_grad: bool) -> dict[str, Tensor]:
        return {name: Tensor(array, requires_grad=requires_grad) for name, array in self.model.items()}

    def summed(self, loss: Loss, logits: Tensor, targets: Array, weights: Any = None) -> Tensor:
        """A loss before it is averaged, of the values before the output activation or after it."""
        values = logits if loss.activation else self.activate(logits)
        return weighted_sum(entry(LOSSES, loss)(values, targets), weights)

    def differentiate(self, inputs: Array, targets: Array, weights: Any = None) -> LossAndGradients:
        """Forward through the network, the loss and the penalties, then all the way back."""
        tensors, loss = self.tensors(requires_grad=True), self.config.loss
        logits = network(self.config.architecture, tensors)(inputs)
        total = self.summed(loss, logits, targets, weights)
        divisor = 1.0 if loss.reduction == "sum" else loss.weight(targets, weights) or 1.0
        scaled = objective = total / divisor * loss.scale
        rows = self.config.penalty.divisor(loss, targets, weights)
        for penalty in self.config.penalties:
            for weight in (tensor for name, tensor in tensors.items() if name.endswith("weight")):
                objective = objective + PENALTIES[penalty.name](weight).sum() * (penalty.coefficient / rows)
        objective.backward()
        gradients = {name: tensor.grad for name, tensor in tensors.items()}
        return LossAndGradients(logits.data, float(scaled.data), float(objective.data), gradients)

    def step(self, gradients: dict[str, Array], rate: float) -> None:
        rule, training = entry(OPTIMIZERS, self.config.optimizer), self.config.training
        trained = {name: gradients[name] for name in self.rules}
        for name, g in clipped(trained, training.clip_norm, training.clip_value).items():
            factor, decay = self.rules[name]
            own = {} if decay is None else {"weight_decay": decay}
            slots = self.slots.setdefault(name, {})
            self.model[name] = rule(self.model[name], g, slots, rate * factor, **own)
