"""A two-sample test: does a change of the data show? If it does, the symmetry is not the data's."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

LEAST = 20  # examples: with fewer no classifier learns, and no interval says anything


@dataclass(frozen=True)
class TwoSampleTest:
    """How well a classifier tells changed examples from untouched ones, on examples that it has not seen.

    Attributes
    ----------
    accuracy : float
        Share of the judged examples that it told right; a coin has .5.
    low, high : float
        Ends of the exact (Clopper-Pearson) 95 % interval, over examples that might have been judged; not over classifiers or ways of
        dealing.
    p_value : float
        How often a coin would do as well or better.
    judged : int
        How many examples were judged.
    """

    accuracy: float
    low: float
    high: float
    p_value: float
    judged: int


def two_sample_test(
    x: torch.Tensor, change: Callable, *, classifier: Any = None, seed: int = 0
) -> TwoSampleTest:
    """Ask whether a classifier can tell changed examples from untouched ones.

    If the data have a symmetry, as many examples come one way as the other, and nobody can tell whether one was moved: the accuracy is
    that of a coin. A classifier that can tell proves that the data do not have it. One that cannot proves nothing, for another might.

    The examples are dealt out at random into four equal parts: half of them are to learn from, half to be judged, and of each the half
    is changed. So no example occurs twice, changed and untouched, and none is seen before it is judged.

    Parameters
    ----------
    x : tensor of shape (n, …)
        Examples that do not depend on each other: of two copies of one, one could be learned from and the other judged. n is at least
        20; what is left over when n is divided by four is not used.
    change : callable
        ``change(examples)`` gives as many, of the same shape: moved by random elements of a group, or otherwise. What it draws comes
        from its own generator.
    classifier : scikit-learn classifier, optional
        A copy of it learns from flattened examples by ``fit``, and tells by ``predict``; by default logistic regression on
        standardised numbers. Give the strongest that you have.
    seed : int
        Of the dealing.

    Returns
    -------
    TwoSampleTest

    Raises
    ------
    TypeError
        If x or what the change gives is no tensor of real numbers.
    ValueError
        If there are fewer than 20 examples, they are not finite, the change gives another shape, or the classifier predicts something
        else than the labels 0 and 1.

    Notes
    -----
    The classifier two-sample test of Lopez-Paz and Oquab (2017). To change the seed, and to take the mean over several, is to be less
    dependent on the dealing; their intervals do not add up, for the examples are the same.

    Examples
    --------
    Normal numbers may change their sign, and nobody will know; numbers from 0 to 1 may not.

    >>> x = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    >>> two_sample_test(x, torch.neg).low < 0.5
    True
    >>> two_sample_test(torch.sigmoid(x), torch.neg).accuracy
    1.0
    """
    from scipy.stats import binomtest  # these take long to import, and an audit needs none
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if not isinstance(x, torch.Tensor) or x.is_complex():
        raise TypeError(f"x: got {getattr(x, 'dtype', type(x).__name__)}; give a tensor of real numbers")
    if x.ndim == 0 or len(x) < LEAST:
        raise ValueError(f"x: got {len(x) if x.ndim else 0} examples; give at least {LEAST}")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(int(seed))).to(x.device)
    parts = [x[rows] for rows in order[: len(x) // 4 * 4].chunk(4)]
    for i in (1, 3):
        changed = change(parts[i])
        if not isinstance(changed, torch.Tensor) or changed.is_complex():
            raise TypeError(f"change: made {type(changed).__name__}; give a tensor of real numbers")
        if changed.shape != parts[i].shape:
            raise ValueError(
                f"change: made {tuple(changed.shape)} of {tuple(parts[i].shape)}; give as many examples of the same shape"
            )
        parts[i] = changed
    flat = [part.detach().cpu().reshape(len(part), -1).double() for part in parts]
    if not all(part.isfinite().all() for part in flat):
        raise ValueError("x: is not finite, as it is or changed")
    label = np.repeat([0, 1], len(flat[0]))
    learn, judge = torch.cat(flat[:2]).numpy(), torch.cat(flat[2:]).numpy()
    made = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier = made if classifier is None else deepcopy(classifier)
    classifier.fit(learn, label)
    said = np.asarray(classifier.predict(judge))
    if said.shape != label.shape or not np.isin(said, (0, 1)).all():
        raise ValueError(
            f"classifier: predicts {said.ravel()[:3]} of shape {said.shape}; give one that predicts 0 or 1 for each"
        )
    told = int((said == label).sum())
    interval = binomtest(told, len(label)).proportion_ci(0.95)
    better = binomtest(told, len(label), alternative="greater").pvalue
    return TwoSampleTest(
        told / len(label), float(interval.low), float(interval.high), float(better), len(label)
    )
