"""The numbers that kernels read: where they stand. What makes them is layout.py.

A kernel is compiled once for all networks, so everything about a network comes in arrays.
"""

from __future__ import annotations

# fmt: off
# a row of `layers` for each linear layer, offsets into flat arrays
(DIN, DOUT, WEIGHT, BIAS, GRADIENT, GRADIENT_STRIDE, BEFORE, VALUES, SLOPES, DELTA, DERIVATIVE,
 FIRST_ACTIVATION, ACTIVATIONS, TURNS) = range(14)
LAYER = 14

# `plan`: whole numbers of a run
(ROWS, BATCH, STRIDE, FIELDS, SHUFFLED, SEED, INPUTS, OUTPUTS, DEV_ROWS, EVALUATE_EVERY, LOG_EVERY, EPOCHS,
 MAXIMISES, WATCHES_FIGURE, FIGURE, LOSS, SUMS, CLASS_FIELD, WEIGHT_FIELD, CONSTANT_FIELD, RULE, FAMILY,
 PATIENCE, PLATEAU, PLATEAU_PATIENCE, PLATEAU_COOLDOWN, PLATEAU_ABSOLUTE, LENGTH, TURNED, OUTSIDE, COMPACTS,
 PER_ROW) = range(32)
PLAN = 32

# `numbers`: real numbers of a run; the optimizer's options from O0 on
(LR, SCALE, L2, L1, CLIP_NORM, CLIP_VALUE, LOSS_OPTION, OUTPUT_THRESHOLD, TARGET_THRESHOLD, PLATEAU_FACTOR,
 PLATEAU_THRESHOLD, PLATEAU_MIN_LR, PLATEAU_EPS, O0) = range(14)
NUMBERS = 20

# `cursor`: whole numbers of where a run stands
(EPOCH, BATCH_INDEX, STEPS, BEST_EPOCH, HAS_BEST, PLATEAU_HAS_BEST, PLATEAU_BAD, PLATEAU_COOLDOWN_LEFT,
 ROWS_WRITTEN, IMPROVED, DRAWN, UNDEFINED) = range(12)
CURSOR = 12

# `stands`: real numbers of where a run stands
(BEST_VALUE, PLATEAU_SHARE, PLATEAU_BEST, MOMENTUM_PRODUCT, LOSS_SUM, WEIGHT_SUM, OBJECTIVE_SUM, HITS,
 BEST_LOSS, BEST_FIGURE, EPOCH_LOSS, EPOCH_OBJECTIVE, EPOCH_RATE) = range(13)
STANDS = 13

# what is measured beside the loss
NO_FIGURE, HIT_OF_ONE, HIT_OF_MANY, R2 = range(4)

# families of optimizers whose numbers per step are made alike
SGD, ADAM, NADAM, RMSPROP, ADAGRAD, ADADELTA = range(6)

# why a kernel returned
PAUSED, REACHED, FINISHED, OUT_OF_PATIENCE, DIVERGED = range(5)
# fmt: on
