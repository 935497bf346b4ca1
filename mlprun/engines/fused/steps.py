"""One step inside kernels: rows gathered, loss and gradient of a batch, penalties, clipping, the update."""

from __future__ import annotations

import math
from typing import Any

from mlprun.engines.fused import elementwise, encoding, scores
from mlprun.engines.fused import tables as t
from mlprun.engines.fused.compiled import inner, merged
from mlprun.engines.fused.lanes import VECTOR_BYTES
from mlprun.engines.fused.passes import backward, forward
from mlprun.engines.fused.scalars import set_scalars

lose, lose_distribution, update = scores.lose, scores.lose_distribution, elementwise.update
BCE, BCE_WITHOUT_LOG, CROSS_ENTROPY = (
    encoding.code(encoding.LOSSES, name) for name in ("bce", "bce_without_log", "cross_entropy")
)
NO_FIGURE, HIT_OF_ONE, HIT_OF_MANY, R2 = t.NO_FIGURE, t.HIT_OF_ONE, t.HIT_OF_MANY, t.R2


@inner
def gather(
    source: Any, order: Any, shuffled: Any, begin: Any, count: Any, fields: Any, stride: Any, block: Any
) -> None:
    """Rows begin ... begin + count of an order, out of row-major `source`, into feature-major blocks."""
    lanes = VECTOR_BYTES // block.itemsize
    padded = (count + lanes - 1) // lanes * lanes
    for i in range(padded):
        base = i // stride * fields * stride + i % stride
        if i < count:
            row = order[begin + i] if shuffled else begin + i
            for field in range(fields):
                block[base + field * stride] = source[row * fields + field]
        else:
            for field in range(fields):
                block[base + field * stride] = 0


@inner
def block_loss(
    plan: Any,
    numbers: Any,
    layers: Any,
    work: Any,
    rows: Any,
    rows0: Any,
    vectors: Any,
    factor: Any,
    code: Any,
) -> Any:
    """The loss `code` summed over a block's rows; the outputs' delta becomes its slope times `factor`."""
    stride, inputs, outputs = plan[t.STRIDE], plan[t.INPUTS], plan[t.OUTPUTS]
    last = layers[layers.shape[0] - 1]
    mask = rows0 + (inputs + outputs) * stride
    targets = rows0 + inputs * stride
    total = 0.0
    if code == CROSS_ENTROPY:
        total += lose_distribution(
            work,
            last[t.VALUES],
            rows,
            targets,
            stride,
            outputs,
            rows,
            mask,
            work,
            last[t.DELTA],
            vectors,
            factor,
        )
    else:
        for k in range(outputs):
            at = k * stride
            total += lose(
                code, work, last[t.VALUES] + at, rows, targets + at, rows, mask, work, last[t.DELTA] + at,
                vectors, factor, numbers, t.LOSS_OPTION,
            )  # fmt: skip
    if plan[t.CONSTANT_FIELD] > 0:
        constant = rows0 + plan[t.CONSTANT_FIELD] * stride
        lanes = VECTOR_BYTES // work.itemsize
        for i in range(vectors * lanes):
            total += rows[constant + i]
    return total


@inner
def measure(
    plan: Any, numbers: Any, values: Any, work: Any, rows: Any, rows0: Any, count: Any, squares: Any
) -> Any:
    """How many of a block's rows are right; under r2 squared errors of each output are added to `squares`."""
    stride, inputs, outputs, figure = plan[t.STRIDE], plan[t.INPUTS], plan[t.OUTPUTS], plan[t.FIGURE]
    targets, hits = rows0 + inputs * stride, 0.0
    if figure == HIT_OF_ONE:
        border, wanted = numbers[t.OUTPUT_THRESHOLD], numbers[t.TARGET_THRESHOLD]
        for i in range(count):
            hits += (work[values + i] > border) == (rows[targets + i] > wanted)
    elif figure == HIT_OF_MANY:
        truth = rows0 + plan[t.CLASS_FIELD] * stride
        for i in range(count):
            chosen = 0
            for k in range(1, outputs):
                if work[values + k * stride + i] > work[values + chosen * stride + i]:
                    chosen = k
            hits += chosen == rows[truth + i]
    elif figure == R2:
        for k in range(outputs):
            total = 0.0
            for i in range(count):
                error = float(work[values + k * stride + i]) - float(rows[targets + k * stride + i])
                total += error * error
            squares[k] += total
    return hits


@inner
def penalize(layers: Any, numbers: Any, theta: Any, gradient: Any) -> Any:
    """The penalties' value; their gradient is added."""
    l2, l1 = numbers[t.L2], numbers[t.L1]
    squares, sizes = 0.0, 0.0
    twice, once = theta.dtype.type(2 * l2), theta.dtype.type(l1)
    for layer in range(layers.shape[0]):
        begin = layers[layer, t.WEIGHT]
        for i in range(begin, begin + layers[layer, t.DIN] * layers[layer, t.DOUT]):
            w = theta[i]
            squares += w * w
            sizes += abs(w)
            sign = once if w > 0 else (-once if w < 0 else once * 0)
            gradient[i] += twice * w + sign
    return (l2 * squares if l2 > 0 else 0.0) + (l1 * sizes if l1 > 0 else 0.0)


@inner
def clip(numbers: Any, gradient: Any, length: Any) -> None:
    """Shrink the gradient to the largest norm, then each number to the largest size, as torch does."""
    if numbers[t.CLIP_NORM] >= 0:
        squares = 0.0
        for i in range(length):
            squares += gradient[i] * gradient[i]
        share = numbers[t.CLIP_NORM] / (math.sqrt(squares) + 1e-6)
        if not share > 1.0:
            factor = gradient.dtype.type(share)
            for i in range(length):
                gradient[i] *= factor
    if numbers[t.CLIP_VALUE] >= 0:
        bound = gradient.dtype.type(numbers[t.CLIP_VALUE])
        for i in range(length):
            if gradient[i] > bound:
                gradient[i] = bound
            elif gradient[i] < -bound:
                gradient[i] = -bound


@inner
def compact(layers: Any, gradient: Any) -> None:
    """Copy gradients whose rows were padded to lanes to where the parameters stand."""
    for layer in range(layers.shape[0]):
        table = layers[layer]
        if table[t.GRADIENT] != table[t.WEIGHT]:
            for j in range(table[t.DOUT]):
                source, target = (
                    table[t.GRADIENT] + j * table[t.GRADIENT_STRIDE], table[t.WEIGHT] + j * table[t.DIN],
                )  # fmt: skip
                for k in range(table[t.DIN]):
                    gradient[target + k] = gradient[source + k]


@inner
def batch_weight(plan: Any, rows: Any, rows0: Any, count: Any) -> Any:
    """What the mean over a batch divides by."""
    if plan[t.WEIGHT_FIELD] == 0:
        return float(count * plan[t.PER_ROW])
    total, stride, field = 0.0, plan[t.STRIDE], plan[t.WEIGHT_FIELD]
    for i in range(count):
        total += rows[rows0 + (i // stride * plan[t.FIELDS] + field) * stride + i % stride]
    return total


@merged
def step(
    plan: Any, numbers: Any, layers: Any, codes: Any, options: Any, theta: Any, slots: Any, zeros: Any,
    work: Any, rows: Any, count: Any, gradient: Any, scalars: Any, rate: Any, cursor: Any, stands: Any,
    squares: Any, seen: Any, kept: Any, kept0: Any,
) -> None:  # fmt: skip
    """One update from `count` rows in blocks; loss, weight, objective and figure are added to `stands`."""
    lanes = VECTOR_BYTES // work.itemsize
    stride, size = plan[t.STRIDE], plan[t.FIELDS] * plan[t.STRIDE]
    weight = batch_weight(plan, rows, 0, count)
    factor = numbers[t.SCALE] if plan[t.SUMS] == 1 else numbers[t.SCALE] / weight
    code = BCE_WITHOUT_LOG if plan[t.LOSS] == BCE and not seen else plan[t.LOSS]
    gradient[:] = 0
    total = 0.0
    for begin in range(0, count, stride):
        here, rows0 = min(stride, count - begin), begin // stride * size
        vectors = (here + lanes - 1) // lanes
        at = kept0 + begin * plan[t.OUTPUTS] if kept0 >= 0 else -1
        forward(layers, codes, options, theta, zeros, work, rows, rows0, stride, vectors, kept, at, here)
        total += block_loss(plan, numbers, layers, work, rows, rows0, vectors, factor, code)
        if seen:
            values = layers[layers.shape[0] - 1, t.VALUES]
            stands[t.HITS] += measure(plan, numbers, values, work, rows, rows0, here, squares)
        backward(
            layers, options, theta, zeros, work, rows, rows0, stride, vectors, here, gradient, plan[t.TURNED]
        )  # fmt: skip
    if plan[t.COMPACTS] == 1:
        compact(layers, gradient)
    objective = total * factor
    if numbers[t.L2] > 0 or numbers[t.L1] > 0:
        objective += penalize(layers, numbers, theta, gradient)
    clip(numbers, gradient, plan[t.LENGTH])
    cursor[t.STEPS] += 1
    set_scalars(plan[t.FAMILY], numbers, rate, cursor[t.STEPS], stands, scalars)
    update(plan[t.RULE], theta, gradient, slots, plan[t.LENGTH], scalars)
    stands[t.LOSS_SUM] += total
    stands[t.WEIGHT_SUM] += weight
    stands[t.OBJECTIVE_SUM] += objective * count
