# ruff: noqa: E501 -- a table is read best with one case in a line
import pytest

from mlprun import schema
from mlprun.errors import ConfigError, DataError, UsageError


@pytest.fixture
def refusal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def refusal(text, *overrides):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(ConfigError) as caught:
            schema.load("c.yaml", overrides)
        return [problem.partition("\n")[0] for problem in caught.value.problems]

    return refusal


# what stands after `dataset: xor` in the second line, and the problem
LINES = [
    ("optimizer: {momentun: 0.9}", "2:13: optimizer.momentun: unknown key; did you mean momentum?"),
    ("optimiser: sgd", "2:1: optimiser: unknown key; did you mean optimizer?"),
    ("lr: 0.1", "2:1: lr: unknown key; did you mean optimizer.lr?"),
    ("epochs: 3", "2:1: epochs: unknown key; did you mean training.epochs or checkpoint.epochs?"),
    ("seed: 3", "2:1: seed: unknown key; did you mean dataset.seed or training.seed?"),
    ("model: {}", "2:1: model: unknown key; did you mean architecture?"),
    ("max_epochs: 3", "2:1: max_epochs: unknown key; did you mean training.epochs?"),
    ("training: {max_epochs: 3}", "2:12: training.max_epochs: unknown key; did you mean epochs?"),
    ("optimizer: {learning_rate: 3}", "2:13: optimizer.learning_rate: unknown key; did you mean lr?"),
    ("best: {metric: val_accuracy}", "2:16: best.metric: no such dev metric is logged; did you mean dev_accuracy?"),
    ("hidden: [3]", "2:1: hidden: unknown key; did you mean architecture.hidden?"),
    ("best: {foo: 1}", "2:8: best.foo: unknown key; expected one of metric, mode"),
    ("loss: bec", "2:7: loss: unknown loss 'bec'; did you mean bce?"),
    ("loss: {name: bec}", "2:14: loss.name: unknown loss 'bec'; did you mean bce?"),
    ("loss: {scale: 2}", "2:7: loss: expected a loss: a name or a mapping with 'name'"),
    ("loss: {name: bce, bce: 3}", "2:19: loss.bce: unknown key; expected one of name, reduction, scale, class_weights"),
    ("loss: 3", "2:7: loss: expected a loss: a name or a mapping with 'name'"),
    ("loss: {name: bce, scale: '0.1'}", "2:26: loss.scale: expected a number, got the string '0.1'"),
    ("loss: {name: bce, scale: abc}", "2:26: loss.scale: expected a number, got the string 'abc'"),
    ("loss: {name: bce, reduction: max}", "2:30: loss.reduction: expected mean or sum, got the string 'max'"),
    ("optimizer: {lr: -1}", "2:17: optimizer.lr: must be greater than 0, got -1"),
    ("optimizer: {lr: .inf}", "2:17: optimizer.lr: expected a finite number, got inf"),
    ("optimizer: {lr: true}", "2:17: optimizer.lr: expected a number, got true"),
    ("optimizer: {lr: }", "2:17: optimizer.lr: expected a number, got null; give a value, or remove the key"),
    ("optimizer: {name: adam, betas: [0.9]}", "2:25: optimizer.betas.1: is missing; it has no default"),
    ("optimizer: {name: adam, betas: [0.9, 1]}", "2:38: optimizer.betas.1: must be less than 1, got 1"),
    ("training: {epochs: 1e3}", "2:20: training.epochs: expected a whole number, got 1000.0; write 1000"),
    ("training: {epochs: 0.5}", "2:20: training.epochs: expected a whole number, got 0.5"),
    ("training: {epochs: [1]}", "2:20: training.epochs: expected a whole number, got a list"),
    ("training: {batch_size: ful}", "2:24: training.batch_size: expected a whole number or full, got the string 'ful'"),
    ("training: {batch_size: 0}", "2:24: training.batch_size: must be greater than 0 or full, got 0"),
    ("training: {seed: 4294967296}", "2:18: training.seed: must be less than 4294967296, got 4294967296"),
    ("training: {shuffle: yes}", "2:21: training.shuffle: expected true or false, got the string 'yes'"),
    ("training: 3", "2:11: training: expected a mapping, got 3; its keys are epochs, batch_size, accumulate, shuffle, seed, dtype, threads, evaluate_every, log_every, report_every, clip_norm, clip_value, average"),
    ("penalty: {l3: 1}", "2:11: penalty.l3: unknown key; expected one of divide_by_rows, l2, l1"),
    ("architecture: {hidden: 5}", "2:24: architecture.hidden: expected a list, got 5; put it in brackets"),
    ("architecture: {hidden: [5, x]}", "2:28: architecture.hidden.1: expected a whole number, got the string 'x'"),
    ("architecture: {layers: [{unit: 3}]}", "2:26: architecture.layers.0.unit: unknown key; did you mean units?"),
    ("architecture: {activation: rleu}", "2:28: architecture.activation: unknown activation 'rleu'; did you mean relu?"),
    ("architecture: {activation: [relu, {name: tahn}]}", "2:42: architecture.activation.1.name: unknown activation 'tahn'; did you mean tanh?"),
    ("architecture: {init: {name: normal, st: 1}}", "2:37: architecture.init.st: unknown key; did you mean std?"),
    ("architecture: {init: {weight: {name: normal, st: 1}}}", "2:46: architecture.init.weight.st: unknown key; did you mean std?"),
    ("architecture: {init: nromal}", "2:22: architecture.init: unknown initializer 'nromal'; did you mean normal?"),
    ("architecture: {embedding: {vocabulary: 3}}", "2:16: architecture.embedding.dim: is missing; it has no default"),
    ("metrics: accuracy", "2:10: metrics: expected a list, got the string 'accuracy'; put it in brackets"),
    ("metrics: [accurcy]", "2:11: metrics.0: unknown metric 'accurcy'; did you mean accuracy?"),
    ("device: gpu", "2:9: device: expected cpu, cuda, cuda:N (such as cuda:1) or auto, got the string 'gpu'"),
    ("device: mps", "2:9: device: expected cpu, cuda, cuda:N (such as cuda:1) or auto, got the string 'mps'; use cpu"),
    ("device: 'cuda:'", "2:9: device: expected cpu, cuda, cuda:N (such as cuda:1) or auto, got the string 'cuda:'"),
    ("engine: fast", "2:9: engine: expected auto, torch, fused or scratch, got the string 'fast'"),
    ("name: a/b", "2:7: name: must be 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit, got the string 'a/b'"),
    ("extend: x.py", "2:9: extend: expected a list, got the string 'x.py'; put it in brackets"),
    ("snapshots: [0, -1]", "2:16: snapshots.1: must be at least 0, got -1"),
    ("checkpoint: {seconds: 0}", "2:23: checkpoint.seconds: must be greater than 0, got 0"),
    ("early_stopping: 5", "2:17: early_stopping: expected a mapping, got 5; its keys are patience, min_delta"),
    ("optimizer: {lr: " + "9" * 400 + "}", "2:17: optimizer.lr: has too many digits; write a smaller number"),
    ("training: {seed: 9223372036854775808}", "2:18: training.seed: expected a whole number, got 9.223372036854776e+18"),
    ("training: {seed: 1e10}", "2:18: training.seed: expected a whole number, got 10000000000.0; write 10000000000"),
    ("training: {seed: 3.0}", "2:18: training.seed: expected a whole number, got 3.0; write 3"),
    ("training: {batch_size: 1e30}", "2:24: training.batch_size: expected a whole number or full, got 1e+30"),
    ("snapshots: [1e30]", "2:13: snapshots.0: expected a whole number, got 1e+30"),
    ("zzz: 1", None),
]  # fmt: skip


@pytest.mark.parametrize(("line", "problem"), LINES)
def test_a_wrong_value_is_one_line_in_words(refusal, line, problem):
    found = refusal(f"dataset: xor\n{line}\n")
    if problem is None:
        (only,) = found
        assert only.startswith("c.yaml:2:1: zzz: unknown key; expected one of name, extend, dataset, ")
    else:
        wanted = f"c.yaml:{problem}"
        assert wanted in found
        # a key that is missing and one that is unknown are two problems
        assert len(found) == 1 or "unknown key" in wanted


HINTS = [
    ("architecture: {hidden: 5}", "put it in brackets", "architecture: {hidden: [5]}"),
    ("metrics: accuracy", "put it in brackets", "metrics: [accuracy]"),
    ("snapshots: 3", "put it in brackets", "snapshots: [3]"),
    ("training: {seed: 1.0}", "write 1", "training: {seed: 1}"),
    ("name: 007", "quote it", "name: '007'"),
    ("name: true", "quote it (on the command line: KEY=\"'VALUE'\")", "name: 'true'"),
    ("training: {batch_size: '1.5'}", None, None),
    ("optimizer: {lr: true}", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("line", "hint", "followed"), HINTS)
def test_a_hint_that_is_followed_is_accepted(refusal, line, hint, followed, tmp_path):
    (problem,) = refusal(f"dataset: xor\n{line}\n")
    assert (";" in problem) is (hint is not None)
    if hint is not None:
        assert problem.endswith(hint) or "quote" in hint
        (tmp_path / "c.yaml").write_text(f"dataset: xor\n{followed}\n")
        schema.load("c.yaml")


@pytest.mark.parametrize("line", ["target: 2021", "target: [2021]", "features: 7", "features: [1, a]"])
def test_names_that_read_as_numbers_are_to_be_quoted(refusal, line):
    target = "" if line.startswith("target") else ", target: y"
    found = refusal(f"dataset: {{name: table, path: none.csv, {line}{target}}}\n")
    assert "; quote it" in found[0] or found[0].endswith("; put it in brackets")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("balance", "expected balanced, a mapping or a list, got the string 'balance'"),
        ("{setos: 2}", "there is no class 'setos'; did you mean setosa?"),
        ("[1, 2]", "2 class weights for 3 classes; give 3, one for each class"),
    ],
)
def test_class_weights_are_balanced_a_mapping_or_a_list(refusal, weights, message):
    (problem,) = refusal(f"dataset: iris\nloss: {{name: cross_entropy, class_weights: {weights}}}\n")
    assert problem == f"c.yaml:2:44: loss.class_weights: {message}"


def test_a_weight_of_a_class_is_positive(refusal):
    (problem,) = refusal('dataset: moons\nloss: {name: bce, class_weights: {"1": 0}}\n')
    assert problem == "c.yaml:2:40: loss.class_weights.1: must be greater than 0, got 0"


def test_a_url_keeps_its_slashes_and_is_to_be_downloaded(refusal, tmp_path):
    (problem,) = refusal("base: https://x.org//a.yaml\n")
    assert "https://x.org//a.yaml is a URL; download it" in problem
    (tmp_path / "d.yaml").write_text("dataset: {name: table, path: 'https://x.org//t.csv', target: y}\n")
    with pytest.raises(DataError, match=r"^https://x\.org//t\.csv: is a URL; download it and give the path"):
        schema.load("d.yaml")
    with pytest.raises(UsageError, match=r"^https://x\.org/c\.yaml: .*; download it and give the path"):
        schema.load("https://x.org/c.yaml")


SPLITS = [
    ("{train: abc}", "1:39: dataset.split.train: expected a number, got the string 'abc'"),
    ("{train: 1.5}", "1:39: dataset.split.train: must be less than 1, got 1.5"),
    ("{train: -1}", "1:39: dataset.split.train: must be at least 0, got -1"),
    ("{dev: {fresh: 0}}", "1:45: dataset.split.dev.fresh: must be greater than 0, got 0"),
    ("{dev: {frsh: 9}}", "1:38: dataset.split.dev.frsh: unknown key; did you mean fresh?"),
    ("{dev: [1]}", "1:37: dataset.split.dev: expected a number or a mapping, got a list"),
    ("sme", "1:31: dataset.split: expected same or a mapping, got the string 'sme'"),
]


@pytest.mark.parametrize(("split", "problem"), SPLITS)
def test_the_forms_of_a_split_are_told_as_one(refusal, split, problem):
    assert f"c.yaml:{problem}" in refusal(f"dataset: {{name: moons, split: {split}}}\n")


def test_a_missing_dataset_is_told(refusal):
    assert refusal("loss: bce\n") == ["c.yaml:1:1: dataset: is missing; it has no default"]


def test_every_problem_is_told_in_the_order_of_the_file(refusal):
    found = refusal(
        "training: {epochs: x}\nloss: bec\noptimizer: {lr: 0, momentun: 1}\nfoo: 1\ndataset: xor\n",
        "engine=fast",
        "loss.scale=-1",
    )
    places = [problem.split(": ")[0] for problem in found]
    assert places == [
        "c.yaml:1:20",
        "c.yaml:2:7",
        "c.yaml:3:17",
        "c.yaml:3:20",
        "c.yaml:4:1",
        "engine=fast",
        "loss.scale=-1",
    ]


def test_an_error_in_an_override_names_the_override(refusal):
    assert refusal("dataset: xor\n", "optimizer.momentun=0.9", "training={epochs: x}") == [
        "optimizer.momentun=0.9: unknown key; did you mean momentum?",
        "training={epochs: x}: training.epochs: expected a whole number, got the string 'x'",
    ]


def test_values_that_steer_terminals_are_escaped(refusal):
    (found,) = refusal('dataset: xor\nloss: "\\e[31m\\u202e"\n')
    assert "'\\x1b[31m\\u202e'" in found


def test_endless_problems_end(refusal):
    found = refusal("dataset: xor\nmetrics: [" + ", ".join(["zzz"] * 500) + "]\n")
    assert len(found) == 101
    assert found[-1] == "c.yaml: more problems follow; correct these first"
