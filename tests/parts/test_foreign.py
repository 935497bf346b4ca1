"""Names of other libraries lead to ours, and only to names that there are."""

from __future__ import annotations

import pytest

from mlprun import schema
from mlprun.parts import aliases
from mlprun.schema.error_messages import valid_keys


@pytest.mark.parametrize(
    ("word", "kind", "ours"),
    [
        ("SGD", "optimizer", "sgd"),
        ("RMSProp", "optimizer", "rmsprop"),
        ("BCEWithLogitsLoss", "loss", "bce"),
        ("binary_crossentropy", "loss", "bce"),
        ("mse_loss", "loss", "mse"),
        ("L1Loss", "loss", "mae"),
        ("CrossEntropyLoss", "loss", "cross_entropy"),
        ("ReLU", "activation", "relu"),
        ("linear", "activation", "identity"),
        ("acc", "metric", "accuracy"),
        ("auc", "metric", "roc_auc"),
        ("mean_squared_error", "metric", "mse"),
        ("StepLR", "schedule", "step"),
        ("CosineAnnealingLR", "schedule", "cosine"),
        ("ReduceLROnPlateau", "schedule", "reduce_on_plateau"),
        ("xavier_uniform", "initializer", "xavier"),
        ("make_moons", "dataset", "moons"),
        ("load_iris", "dataset", "iris"),
        ("csv", "dataset", "table"),
    ],
)
def test_what_others_call_a_part_is_understood(word: str, kind: str, ours: str) -> None:
    names = [registry.names() for registry in schema.registries() if registry.kind == kind]
    assert aliases.closest_name(word, names[0]) == ours


def test_a_name_of_ours_is_never_taken_for_another() -> None:
    for registry in schema.registries():
        for name in registry.names():
            assert aliases.closest_name(name, registry.names()) in (name, "sparseadam")


def test_words_lead_to_names_and_keys_that_there_are() -> None:
    known = {name for registry in schema.registries() for name in registry.names()}
    assert set(aliases.NAMES) <= known
    sections = ("dataset", "optimizer", "architecture", "training", "best", "penalty")
    data = {section: {} for section in sections} | {"dataset": {"name": "moons", "split": {}}}
    for key in aliases.KEYS:
        *above, last = key.split(".") if key != "dev" else ("dataset", "split", "dev")
        assert last in valid_keys(tuple(above), data), key


def test_no_word_leads_two_ways() -> None:
    words = [word for theirs in aliases.KEYS.values() for word in theirs.split()]
    assert len(words) == len(set(words))
