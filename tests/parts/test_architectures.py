"""Architectures against plain PyTorch: a seed gives the same network, the same arrays the same outputs."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save
from sklearn.datasets import make_classification
from torch import nn

from mlprun.errors import UsageError
from mlprun.parts.architectures import Architecture, Mlp, Rnn, architectures
from mlprun.parts.data import DatasetInfo
from mlprun.parts.network import Dropout, LayerSummary, Network, layer_table

NUMBERS = DatasetInfo(rows=10, inputs=2, classes=("0", "1"))
SYMBOLS = DatasetInfo(rows=10, inputs=4, classes=None, tokens=5)


def mlp(**options: object) -> Mlp:
    return Mlp.model_validate({"outputs": 1, "output_activation": "logistic", **options})


def rnn(**options: object) -> Rnn:
    return Rnn.model_validate({"outputs": 5, "output_activation": "identity", **options})


def built(architecture: Architecture, inputs: int, seed: int = 1, **options: object) -> Network:
    torch.manual_seed(seed)
    return architecture.build(inputs, **options)


EXAMPLES = {
    "mlp": (mlp(), 3),
    "logistic regression": (mlp(hidden=()), 3),
    "deep": (mlp(hidden=(5, 4, 3), bias=False, activation=("relu", "tanh"), dropout=0.5), 2),
    "linear": (mlp(hidden=(3, 2), activation="identity", output_activation="identity"), 2),
    "mixed": (
        mlp(
            layers=(
                {"units": 6, "norm": "batch", "dropout": 0.25},
                {"units": 4, "bias": False, "activation": "gelu"},
                {"units": 3, "norm": "layer", "init": "orthogonal"},
            ),
            output={"bias": False},
            embedding={
                "vocabulary": 5,
                "dim": 3,
                "activation": "tanh",
                "init": {"name": "normal", "std": 0.1},
            },
        ),
        4,
    ),
    "residual": (mlp(hidden=(4, 4, 3, 3), norm="layer", dropout=0.1, residual=True), 4),
    "rnn": (rnn(), 4),
    "rnn of symbols": (rnn(hidden=6, embedding={"vocabulary": 5, "dim": 3}, activation="logistic"), 4),
    "rnn without bias": (rnn(bias=False, init="xavier"), 4),
}
CASES = pytest.mark.parametrize(("architecture", "inputs"), EXAMPLES.values(), ids=EXAMPLES)


def rows_for(architecture: Architecture, inputs: int, count: int = 7) -> torch.Tensor:
    if architecture.vocabulary is None:
        return torch.randn(count, inputs)
    return torch.randint(architecture.vocabulary, (count, inputs))


def test_every_architecture_has_an_example():
    assert {type(architecture) for architecture, _ in EXAMPLES.values()} == set(architectures)


def test_a_seed_gives_the_digits_that_plain_pytorch_prints():
    rows, _ = make_classification(100, 5, n_informative=3, random_state=101)
    network = built(mlp(hidden=(8, 4)), 5, seed=997552708)
    with torch.no_grad():
        first = network(torch.tensor(rows, dtype=torch.float32))[:10, 0]
    expected = [0.5926, 0.5854, 0.5369, 0.5802, 0.5905, 0.6010, 0.5723, 0.5842, 0.5971, 0.5883]
    assert first.tolist() == pytest.approx(expected, rel=0, abs=5.1e-5)


def test_a_seed_gives_the_weights_and_outputs_of_a_plain_sequential_to_the_bit():
    network = built(mlp(hidden=(8, 4), activation="tanh"), 5, seed=7)
    torch.manual_seed(7)
    linears = [nn.Linear(5, 8), nn.Linear(8, 4), nn.Linear(4, 1)]
    plain = nn.Sequential(linears[0], nn.Tanh(), linears[1], nn.Tanh(), linears[2], nn.Sigmoid())
    for ours, theirs in zip(network.layers, linears, strict=True):
        assert torch.equal(ours.weight, theirs.weight)
        assert torch.equal(ours.bias, theirs.bias)
    rows = torch.randn(50, 5)
    assert torch.equal(network(rows), plain(rows))
    assert torch.equal(network.preactivation(rows), plain[:-1](rows))


def test_an_embedding_is_drawn_first_as_in_a_plain_script():
    network = built(mlp(hidden=(4,), embedding={"vocabulary": 5, "dim": 3}), 2, seed=3)
    torch.manual_seed(3)
    table, first, last = nn.Embedding(5, 3), nn.Linear(6, 4), nn.Linear(4, 1)
    plain = nn.Sequential(table, nn.Flatten(), first, nn.ReLU(), last, nn.Sigmoid())
    rows = torch.tensor([[0, 4], [2, 2], [1, 3]])
    assert torch.equal(network(rows), plain(rows))


def test_norm_stands_before_activation_and_dropout_after_it():
    network = built(mlp(layers=({"units": 4, "norm": "layer", "dropout": 0.5, "activation": "tanh"},)), 2)
    (dropout,) = network.dropouts
    dropout.keep = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    rows = torch.randn(6, 2)
    hidden = torch.tanh(nn.functional.layer_norm(network.layers[0](rows), (4,)))
    expected = network.layers[1](hidden * torch.tensor([2.0, 0.0, 2.0, 0.0]))
    torch.testing.assert_close(network.preactivation(rows), expected)
    dropout.keep = None
    torch.testing.assert_close(network.preactivation(rows), network.layers[1](hidden))


def test_batch_norm_is_that_of_torch_and_needs_two_rows():
    architecture = mlp(hidden=(4,), norm="batch", activation="identity")
    network = built(architecture, 2)
    rows = torch.randn(6, 2)
    plain = nn.BatchNorm1d(4)
    expected = network.layers[1](plain(network.layers[0](rows)))
    assert torch.equal(network.preactivation(rows), expected)
    assert torch.equal(network.norms["0"].running_mean, plain.running_mean)
    assert (architecture.smallest_batch, mlp(norm="layer").smallest_batch, rnn().smallest_batch) == (2, 1, 1)


def test_the_cell_is_torch_rnn_cell_to_the_bit():
    network = built(rnn(hidden=6, embedding={"vocabulary": 5, "dim": 3}), 4)
    cell = nn.RNNCell(3, 6)
    with torch.no_grad():
        cell.weight_ih.copy_(network.cell.input.weight)
        cell.weight_hh.copy_(network.cell.hidden.weight)
        cell.bias_ih.copy_(network.cell.input.bias)
        cell.bias_hh.copy_(network.cell.hidden.bias)
    rows = torch.randint(5, (9, 4))
    state = None
    for step in range(4):
        state = cell(network.embedding(rows[:, step]), state)
    assert torch.equal(network.preactivation(rows), network.cell.output(state))


def test_a_recurrent_network_reads_numbers_one_by_one():
    network = built(rnn(hidden=3, activation="logistic"), 4, dtype="float64")
    rows = torch.randn(2, 4, dtype=torch.float64)
    values = {name: value.detach().numpy() for name, value in network.named_parameters()}
    state = np.zeros((2, 3))
    for step in range(4):
        into = rows[:, step : step + 1].numpy() @ values["cell.input.weight"].T + values["cell.input.bias"]
        over = state @ values["cell.hidden.weight"].T + values["cell.hidden.bias"]
        state = 1 / (1 + np.exp(-(into + over)))
    expected = state @ values["cell.output.weight"].T + values["cell.output.bias"]
    np.testing.assert_allclose(network(rows).detach().numpy(), expected, rtol=1e-13)


def test_each_layer_takes_its_own_initializer_and_the_others_the_shared_one():
    architecture = mlp(
        layers=(
            {"units": 400, "init": {"name": "normal", "std": 0.125}},
            {"units": 300, "init": {"bias": {"name": "constant", "value": 0.1}}},
            {"units": 200},
        ),
        init={"weight": {"name": "normal", "std": 2}, "bias": "zeros"},
        output={"init": {"name": "normal", "std": 0.25}},
    )
    network = built(architecture, 300, dtype="float64")
    spreads = [layer.weight.std().item() for layer in network.layers]
    assert spreads[0] == pytest.approx(0.125, rel=0.02)
    assert spreads[1] == pytest.approx(1 / math.sqrt(3 * 400), rel=0.02)  # a layer's own init is all of it
    assert spreads[2] == pytest.approx(2, rel=0.02)
    assert spreads[3] == pytest.approx(0.25, rel=0.2)
    assert network.layers[1].bias.unique().tolist() == [0.1]
    assert network.layers[2].bias.abs().max() == 0
    assert network.layers[3].bias.item() != 0


def test_named_initializers_draw_in_module_order_after_pytorch_s_own():
    network = built(mlp(hidden=(4,), init={"weight": "xavier", "bias": "normal"}), 3, seed=11)
    torch.manual_seed(11)
    expected = [nn.Linear(3, 4), nn.Linear(4, 1)]
    for layer in expected:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.normal_(layer.bias)
    assert [torch.equal(a.weight, b.weight) for a, b in zip(network.layers, expected, strict=True)] == [
        True
    ] * 2
    assert [torch.equal(a.bias, b.bias) for a, b in zip(network.layers, expected, strict=True)] == [True] * 2


@CASES
def test_float64_starts_from_the_draws_of_float32(architecture, inputs):
    single, double = built(architecture, inputs), built(architecture, inputs, dtype="float64")
    for (name, value), other in zip(single.named_parameters(), double.parameters(), strict=True):
        assert other.dtype == torch.float64, name
        assert torch.equal(value.double(), other), name


def test_values_by_name_train_to_the_printed_losses_in_float64():
    start = {
        "layers.0.weight": (
            (0.7415917408091613, 1.3335453816218967),
            (1.5529137219128164, -0.8427240538292873),
            (-2.268328201180374, 1.9699244478698945),
        ),
        "layers.0.bias": (0, 0, 0),
        "layers.1.weight": ((-0.08427783957672566, 0.33525227296672727, 0.11761108335747647),),
        "layers.1.bias": (0,),
    }
    architecture = mlp(
        hidden=(3,),
        activation="identity",
        output_activation="identity",
        init={"name": "values", "parameters": start},
    )
    network = built(architecture, 2, dtype="float64")
    rows = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64)
    targets = torch.tensor([[0], [1], [0], [1]], dtype=torch.float64)
    losses = []
    for _ in range(10):
        loss = (network(rows) - targets).square().sum()
        losses.append(loss.item())
        network.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.05 * parameter.grad
    printed = [2.33428272, 0.06743796, 0.0521849, 0.04079507, 0.03184365]
    printed += [0.02479336, 0.01925443, 0.01491699, 0.01153118, 0.00889602]
    assert losses == pytest.approx(printed, rel=0, abs=5.1e-9)


@CASES
def test_a_file_of_the_network_s_own_tensors_restores_it(architecture, inputs, tmp_path):
    first = built(architecture, inputs, seed=1, dtype="float64")
    path = tmp_path / "start.safetensors"
    path.write_bytes(save({f"model.{name}": value for name, value in first.state_dict().items()}))
    again = type(architecture).model_validate(
        architecture.model_dump() | {"init": {"name": "file", "path": str(path)}}
    )
    second = built(again, inputs, seed=2, dtype="float64")
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_values_that_do_not_fit_are_refused_before_and_while_building():
    given = {"layers.0.weight": ((1, 2),), "layers.2.bias": (1,), "layers.1.bias": (0,)}
    architecture = mlp(hidden=(3,), init={"name": "values", "parameters": given})
    for message in (
        "layers.0.weight has shape [1, 2] where the network has [3, 2]",
        "layers.2.bias is not a parameter of this network (did you mean layers.",
    ):
        assert message in (architecture.unsupported_reason(NUMBERS) or "")
        with pytest.raises(UsageError) as caught:
            architecture.build(2)
        assert message in str(caught.value)


def test_values_that_may_fit_an_encoded_table_are_not_refused_before_it_is_read():
    for width, refused in ((1, True), (2, False), (5, False)):
        given = {"layers.0.weight": ((0.5,) * width,) * 3, "layers.1.bias": (0,)}
        architecture = mlp(hidden=(3,), init={"name": "values", "parameters": given})
        assert (architecture.unsupported_reason(NUMBERS) is not None) == refused


@CASES
def test_the_shapes_known_without_torch_are_those_of_the_module(architecture, inputs):
    network = built(architecture, inputs)
    expected = {name: tuple(value.shape) for name, value in network.named_parameters()}
    assert list(architecture.shapes(inputs).items()) == list(expected.items())


@CASES
def test_penalties_apply_to_matrices_and_embeddings_only(architecture, inputs):
    network = built(architecture, inputs)
    names = {id(value): name for name, value in network.named_parameters()}
    expected = [n for n in names.values() if n.endswith(".weight") and not n.startswith("norms.")]
    assert [names[id(weight)] for weight in network.weights()] == expected
    assert network.embedding_tables() == {name for name in expected if name.startswith("embedding.")}


@CASES
def test_a_copy_stands_on_its_own(architecture, inputs):
    network = built(architecture, inputs).eval()
    other = copy.deepcopy(network)
    rows = rows_for(architecture, inputs)
    before = network(rows)
    assert torch.equal(other(rows), before)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert torch.equal(network(rows), before)
    assert not torch.equal(other(rows), before)


@CASES
def test_every_parameter_gets_a_gradient_and_outputs_have_their_shape(architecture, inputs):
    network = built(architecture, inputs)
    outputs = network(rows_for(architecture, inputs))
    assert outputs.shape == (7, architecture.outputs)
    outputs.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("make", [mlp, rnn])
@pytest.mark.parametrize("sparse", [False, True])
def test_embedding_gradients_are_sparse_only_when_asked_for(make, sparse):
    network = built(make(embedding={"vocabulary": 5, "dim": 3}), 4, sparse=sparse)
    network(torch.zeros(2, 4, dtype=torch.int64)).sum().backward()
    assert network.embedding.weight.grad.is_sparse == sparse


def test_dropout_layers_are_listed_in_order():
    network = built(EXAMPLES["deep"][0], 2)
    assert [(layer.width, layer.probability) for layer in network.dropouts] == [(5, 0.5), (4, 0.5), (3, 0.5)]
    assert all(isinstance(layer, Dropout) for layer in network.dropouts)


def test_the_summary_names_every_layer_and_counts_its_parameters():
    assert layer_table(built(mlp(hidden=(8, 4)), 5), 5) == [
        LayerSummary("layers.0", "linear 5 -> 8", (8,), 48),
        LayerSummary("activations.0", "relu", (8,), 0),
        LayerSummary("layers.1", "linear 8 -> 4", (4,), 36),
        LayerSummary("activations.1", "relu", (4,), 0),
        LayerSummary("layers.2", "linear 4 -> 1", (1,), 5),
        LayerSummary("output_activation", "logistic", (1,), 0),
    ]
    architecture, inputs = EXAMPLES["mixed"]
    kinds = {row.name: (row.kind, row.shape) for row in layer_table(built(architecture, inputs), inputs)}
    assert kinds["embedding"] == ("embedding of 5 in 3", (4, 3))
    assert kinds["embedding_activation"] == ("tanh", (12,))
    assert kinds["norms.0"] == ("batch norm", (6,))
    assert kinds["dropout.0"] == ("dropout 0.25", (6,))
    assert kinds["layers.1"] == ("linear 6 -> 4, no bias", (4,))
    assert kinds["activations.1"] == ("gelu", (4,))


def test_a_residual_layer_adds_its_input_to_its_output():
    """The first layer adds nothing, even with as many inputs as units, nor does one of another width."""
    network = built(mlp(hidden=(3, 3, 2), activation="tanh", residual=True), 3)
    rows = rows_for(mlp(), 3)
    first, second, third, last = network.layers
    h = first(rows).tanh()
    h = h + second(h).tanh()
    torch.testing.assert_close(network.preactivation(rows), last(third(h).tanh()))
    table = {row.name: row.kind for row in layer_table(network, 3)}
    assert list(table)[3:6] == ["activations.1", "residual.1", "layers.2"]
    assert table["residual.1"] == "plus the input of layers.1"


@CASES
def test_an_architecture_describes_its_module_without_building_it(architecture, inputs):
    network = built(architecture, inputs)
    assert architecture.is_built_in
    assert architecture.layer_summaries(inputs) == layer_table(network, inputs)
    described = architecture.shapes(inputs) | architecture.buffers
    assert described == {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


@CASES
def test_the_summary_counts_every_parameter(architecture, inputs):
    network = built(architecture, inputs)
    counted = sum(row.parameters for row in layer_table(network, inputs))
    assert counted == sum(parameter.numel() for parameter in network.parameters())


def test_the_summary_of_a_user_s_network_lists_its_layers():
    class Mine(Network):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
            self.output_activation = nn.Identity()

    assert [(row.name, row.kind) for row in layer_table(Mine(), 2)] == [
        ("one.0", "linear 2 -> 3"),
        ("one.1", "tanh"),
    ]


@pytest.mark.parametrize(
    ("architecture", "info", "message"),
    [
        (mlp(), NUMBERS, None),
        (rnn(), NUMBERS, None),
        (mlp(embedding={"vocabulary": 5, "dim": 2}), SYMBOLS, None),
        (mlp(embedding={"vocabulary": 5, "dim": 2}), NUMBERS, "remove architecture.embedding"),
        (rnn(embedding={"vocabulary": 5, "dim": 2}), NUMBERS, "remove architecture.embedding"),
        (mlp(), SYMBOLS, None),
        (rnn(), SYMBOLS, None),
        (rnn(embedding={"vocabulary": 4, "dim": 2}), SYMBOLS, "set it to 5"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_what_would_work(architecture, info, message):
    reason = architecture.unsupported_reason(info)
    assert (reason is None) == (message is None)
    assert message is None or message in (reason or "")


def test_hidden_defaults_only_where_nothing_is_said():
    assert mlp().hidden == (8,)
    assert mlp(hidden=()).hidden == ()
    assert mlp(layers=()).hidden is None
    assert [layer.units for layer in mlp(layers=({"units": 3},)).hidden_layers] == [3]


@CASES
def test_an_architecture_survives_a_round_trip(architecture, inputs):
    assert type(architecture).model_validate(architecture.model_dump()) == architecture


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": (3,), "layers": ({"units": 3},)}, "keep one of them"),
        ({"hidden": (0,)}, "greater than 0"),
        ({"hidden": (2.5,)}, "valid integer"),
        ({"dropout": 1.0}, "less than 1"),
        ({"norm": "group"}, "'none', 'batch' or 'layer'"),
        ({"activation": "softmax"}, "output_activation"),
        ({"layers": ({"units": 3, "activation": ("relu", "log_softmax")},)}, "output_activation"),
        ({"layers": ({"units": 3, "init": "values"},)}, "architecture.init"),
        ({"embedding": {"vocabulary": 5}}, "Field required"),
        ({"embeding": {}}, "Extra inputs"),
    ],
)
def test_a_mistake_is_refused(options, message):
    with pytest.raises(ValidationError, match=message) as caught:
        mlp(**options)
    assert caught.value.error_count() == 1
