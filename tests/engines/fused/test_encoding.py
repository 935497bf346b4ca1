"""What parts mean to the kernels is looked up once, and never for another part."""

from __future__ import annotations

from mlprun.engines.fused import encoding
from mlprun.parts.losses import losses
from mlprun.parts.optimizers import optimizers


def test_equal_parts_are_asked_for_once_and_others_for_themselves():
    asked = []

    @encoding.once
    def rate(part):
        asked.append(part)
        return part.lr

    sgd = optimizers["sgd"]
    assert [rate(sgd(lr=lr)) for lr in (0.5, 0.25, 0.5)] == [0.5, 0.25, 0.5]
    assert len(asked) == 2


def test_a_part_that_has_no_hash_is_asked_for_each_time():
    assert encoding.once(lambda part: len(part))([1, 2]) == 2


def test_options_change_the_rule_and_the_loss_of_a_part():
    sgd, smooth = optimizers["sgd"], losses["smooth_l1"]
    assert [encoding.rule(sgd(momentum=value)) for value in (0.0, 0.9, 0.0)] == ["sgd", "momentum", "sgd"]
    assert [encoding.loss(smooth(beta=value)) for value in (0.0, 0.5)] == [("mae", 0.0), ("smooth_l1", 0.5)]
