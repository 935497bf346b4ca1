"""What other libraries call the parts and keys of a config: used in messages only, never accepted.

Words are compared in lower case, without `_` and `-`, and without the endings that PyTorch's classes have.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


NAMES: Final = {
    # datasets
    "table": "csv file dataframe pandas tabular custom",
    # activations and initializers
    "identity": "linear none",
    "logistic": "sigm",
    "truncated_normal": "truncnormal",
    "xavier": "xavieruniform xaviernormal glorotuniform glorotnormal",
    "kaiming": "kaiminguniform kaimingnormal heuniform henormal",
    "normal": "randomnormal gaussian",
    "uniform": "randomuniform",
    # losses and metrics
    "bce": "bcewithlogits binarycrossentropy logloss logistic binary",
    "cross_entropy": "categoricalcrossentropy sparsecategoricalcrossentropy softmaxcrossentropy ce xent",
    "mse": "meansquarederror squarederror l2 quadratic",
    "mae": "meanabsoluteerror l1 absoluteerror",
    "kl_div": "kld kldivergence kullbackleiblerdivergence",
    "accuracy": "acc accuracyscore categoricalaccuracy binaryaccuracy",
    "f1": "f1score fscore",
    "r2": "r2score rsquared",
    "rmse": "rootmeansquarederror",
    "roc_auc": "auc auroc rocaucscore",
    "average_precision": "ap prauc auprc averageprecisionscore",
    # schedules
    "cosine": "cosineannealing cosinedecay",
    "cosine_restarts": "cosineannealingwarmrestarts cosinedecayrestarts",
    "polynomial": "polynomialdecay poly",
}
KEYS: Final = {
    "architecture": "model network net arch",
    "dataset": "data datamodule",
    "loss": "criterion objective lossfn lossfunction",
    "penalty": "regularization regularizer regularisation",
    "training": "trainer fit",
    "early_stopping": "callbacks earlystop",
    "device": "accelerator",
    "dev": "val valid validation",
    "optimizer.lr": "learningrate learningrateinit stepsize eta",
    "training.epochs": "maxepochs numepochs nepochs maxiter iterations nsteps steps",
    "training.batch_size": "minibatch minibatchsize",
    "training.seed": "randomstate randomseed rngseed manualseed",
    "training.dtype": "precision floattype",
    "training.clip_norm": "gradientclipval gradclip maxgradnorm clipgradnorm clipnorm",
    "architecture.hidden": "hiddenlayersizes hiddensizes hiddenunits hiddendim hiddenlayers neurons",
    "architecture.activation": "nonlinearity activationfunction",
    "architecture.dropout": "dropoutrate pdrop",
    "best.metric": "monitor",
    "dataset.split": "validationsplit testsize valsize validationfraction testsplit",
    "dataset.samples": "nsamples numsamples",
    "penalty.l2": "alpha l2reg weightpenalty",
}
_ENDINGS = re.compile("(loss|lr|activation|optimizer)$")
_OURS = re.compile("^(make|load|val|valid|validation)_")


def closest_name(word: str, known: Sequence[str]) -> str | None:
    """The known name that a word probably means: by its letters, by another library's use, by likeness."""
    for form in _forms(word):
        by_letters = {_letters(name): name for name in reversed(known)}
        if form in by_letters:
            return by_letters[form]
        for ours, theirs in NAMES.items():
            if form in theirs.split() and ours in known:
                return ours
    for form in (word, word.lower()):
        for near in difflib.get_close_matches(form, known, n=1, cutoff=0.6):
            return near
    return None


def closest_key(key: str, section: str) -> str | None:
    """The key that another library's word for it means, without the section when it stands there already."""
    letters = _letters(key)
    for ours, theirs in KEYS.items():
        if letters in theirs.split():
            return ours.removeprefix(f"{section}.") if section else ours
    return None


def _letters(word: str) -> str:
    return re.sub("[_ -]", "", word).lower()


def _forms(word: str) -> Iterator[str]:
    """A word's letters, and those without what other libraries put before or behind a name."""
    whole = _letters(word)
    yield whole
    yield _ENDINGS.sub("", whole)
    start = _OURS.match(word)
    if start is not None:
        rest = word[start.end() :]
        yield _letters(rest if start[1] in ("make", "load") else f"dev_{rest}")
