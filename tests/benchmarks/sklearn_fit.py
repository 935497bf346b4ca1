"""How much faster the estimators of mlprun.sklearn fit than scikit-learn's own, in the same process.

    OMP_NUM_THREADS=1 python tests/benchmarks/sklearn_fit.py [--rounds 7]

Both sides have the same parameters and start weights; the kernels are loaded before. The two take turns, so
that a busy machine slows both.
"""

import argparse
import statistics
import time
import warnings

from sklearn import neural_network
from sklearn.datasets import load_digits, make_moons
from sklearn.exceptions import ConvergenceWarning

import mlprun.sklearn

DIGITS = load_digits(return_X_y=True)
WORKLOADS = {
    "digits, (64, 64), 100 epochs, batch 200": (
        DIGITS,
        {"hidden_layer_sizes": (64, 64), "max_iter": 100, "batch_size": 200, "n_iter_no_change": 100},
    ),
    "moons, 1000 rows, (16, 16), 200 epochs": (
        make_moons(1000, noise=0.2, random_state=0),
        {"hidden_layer_sizes": (16, 16), "n_iter_no_change": 200},
    ),
    "moons, 1000 rows, (16, 16), defaults": (
        make_moons(1000, noise=0.2, random_state=0),
        {"hidden_layer_sizes": (16, 16)},
    ),
}


def seconds(estimator, data) -> float:
    """Return how long a fit takes."""
    start = time.perf_counter()
    estimator.fit(*data)
    return time.perf_counter() - start


def main() -> None:
    """Print milliseconds per fit of both sides, medians, and the median of the ratios of a turn."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"{'workload':42} {'dtype':8} {'scikit-learn':>12} {'mlprun':>8} {'ratio':>6}   (ms)")
    for name, (data, options) in WORKLOADS.items():
        for dtype in ("float32", "float64"):
            ours = mlprun.sklearn.MLPClassifier(dtype=dtype, random_state=0, **options)
            theirs = neural_network.MLPClassifier(random_state=0, **options)
            seconds(ours, data)
            turns = [(seconds(theirs, data), seconds(ours, data)) for _ in range(rounds)]
            first, second = (1e3 * statistics.median(turn[side] for turn in turns) for side in (0, 1))
            ratio = statistics.median(one / other for one, other in turns)
            print(f"{name:42} {dtype:8} {first:12.1f} {second:8.1f} {ratio:6.1f}")


if __name__ == "__main__":
    main()
