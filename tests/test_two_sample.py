"""The two-sample test: a coin where the data have the symmetry, told where they do not, and no example seen twice."""

import math
from dataclasses import FrozenInstanceError, astuple

import numpy as np
import pytest
import torch
from scipy import stats

from gdl_utils.data import rotate
from gdl_utils.equivariance import TwoSampleTest, two_sample_test
from gdl_utils.pictures import turned


def normal(seed, n=200, features=4):
    """Whose sign may be changed, and nobody will know."""
    return torch.randn(n, features, generator=torch.Generator().manual_seed(seed))


class Keeps:
    """Keeps all that a copy of it is given, and says what it was told to say."""

    def __init__(self, says=lambda x: np.zeros(len(x))):
        self.says, self.fitted = says, False
        self.note = lambda **what: self.__dict__.update(what)  # a copy of it writes here too

    def fit(self, x, y):
        self.fitted = True
        self.note(learnt=x.copy(), labels=y.copy())
        return self

    def predict(self, x):
        assert self.fitted
        self.note(judged=x.copy())
        return self.says(x)


class Partner:
    """Looks for the negative of what it judges among what it has learnt, and says the opposite: it lives on leaks."""

    def fit(self, x, y):
        self.x, self.y = x, y
        return self

    def predict(self, x):
        nearest = np.abs(x[:, None] + self.x[None]).sum(-1).argmin(1)
        return 1 - self.y[nearest]


def leaky(x, change, classifier):
    """The same test without the dealing: each example occurs both ways, and which are judged is drawn afterwards."""
    both = torch.cat([x, change(x)]).numpy()
    label = np.repeat([0.0, 1.0], len(x))
    order = np.random.default_rng(0).permutation(len(both))
    learn, judge = np.array_split(order, 2)
    told = (classifier.fit(both[learn], label[learn]).predict(both[judge]) == label[judge]).sum()
    return stats.binomtest(int(told), len(judge)).proportion_ci(0.95)


SIGN = lambda x: (x[:, 0] < 0).astype(float)
CLASSIFIERS = {"default": lambda: None, "partner": Partner, "sign": lambda: Keeps(SIGN)}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_where_the_data_have_the_symmetry_the_interval_holds_a_half_nearly_always(name):
    seeds = 100 if name != "default" else 60
    results = [
        two_sample_test(normal(seed), torch.neg, classifier=CLASSIFIERS[name](), seed=seed)
        for seed in range(seeds)
    ]
    held = [found.low <= 0.5 <= found.high for found in results]
    assert sum(held) >= 0.9 * seeds
    assert abs(np.mean([found.accuracy for found in results]) - 0.5) < 4 * 0.5 / math.sqrt(100 * seeds)
    assert np.mean([found.p_value <= 0.05 for found in results]) <= 0.12


def test_without_the_dealing_it_would_not():
    """The control: pairs that are shared between learning and judging give the symmetry of the data away."""
    intervals = [leaky(normal(seed), torch.neg, Partner()) for seed in range(20)]
    assert sum(found.low <= 0.5 <= found.high for found in intervals) == 0
    dealt = [two_sample_test(normal(seed), torch.neg, classifier=Partner(), seed=seed) for seed in range(20)]
    assert sum(found.low <= 0.5 <= found.high for found in dealt) >= 16


def test_data_without_the_symmetry_are_told():
    x = normal(0, 400)
    shift = two_sample_test(x + 0.5, torch.neg)
    assert shift.low > 0.5 and shift.p_value < 1e-6
    weak = two_sample_test(x + 0.01, torch.neg)
    assert weak.low < 0.5 < weak.high and weak.p_value > 0.05
    assert two_sample_test(x.abs() + 0.1, torch.neg).accuracy == 1


def test_a_strong_classifier_tells_what_a_linear_one_does_not():
    from sklearn.ensemble import RandomForestClassifier

    x = normal(0, 600, 2)
    x[:, 1] = x[:, 0] + 0.1 * x[:, 1]  # the change makes the sign of the product another one; each mean stays
    change = lambda x: torch.stack([x[:, 0], -x[:, 1]], 1)
    assert two_sample_test(x, change).low < 0.5
    strong = RandomForestClassifier(20, random_state=0)
    assert two_sample_test(x, change, classifier=strong).low > 0.8


def test_pictures_whose_orientation_shows_are_told_and_round_ones_not():
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(200, 1, 7, 7, generator=rng)
    quarter = lambda x: turned(x, 90 * torch.randint(4, (len(x),), generator=rng).float())
    assert two_sample_test(noise, quarter).low <= 0.5
    upright = noise + 3 * torch.linspace(-1, 1, 7)[:, None]  # darker below
    assert two_sample_test(upright, quarter).low > 0.6
    by_hand = two_sample_test(upright, lambda x: rotate(x, 180))
    assert by_hand.accuracy > 0.95


@pytest.mark.parametrize("told", [0, 3, 25, 31, 49, 50])
def test_counts_interval_and_p_value_are_those_of_the_binomial(told):
    """With 100 examples 50 are judged, of which it says the first right."""
    label = np.repeat([0.0, 1.0], 25)
    says = np.where(np.arange(50) < told, label, 1 - label)
    found = two_sample_test(normal(0, 100), torch.neg, classifier=Keeps(lambda x: says))
    low = stats.beta.ppf(0.025, told, 51 - told) if told else 0.0
    high = stats.beta.ppf(0.975, told + 1, 50 - told) if told < 50 else 1.0
    as_well = sum(math.comb(50, k) for k in range(told, 51)) / 2**50
    values = astuple(found)
    assert values == pytest.approx((told / 50, low, high, as_well, 50))
    assert isinstance(found, TwoSampleTest) and [type(v) for v in values] == [float] * 4 + [int]
    with pytest.raises(FrozenInstanceError):
        found.accuracy = 1.0
    wrong = two_sample_test(normal(0, 100), torch.neg, classifier=Keeps(lambda x: 1 - says))
    assert wrong.accuracy == pytest.approx(1 - told / 50) and wrong.low == pytest.approx(1 - high)


@pytest.mark.parametrize("n", [20, 23, 100])
def test_each_example_occurs_once_and_the_change_gets_its_own_part_alone(n):
    x, got = torch.arange(1.0, n + 1)[:, None] * torch.tensor([1.0, 100.0]), []

    def change(part):
        got.append(part.clone())
        return -part

    keeps, quarter = Keeps(), n // 4
    assert two_sample_test(x, change, classifier=keeps).judged == 2 * quarter
    assert [len(part) for part in got] == [quarter] * 2
    assert keeps.learnt.shape == keeps.judged.shape == (2 * quarter, 2)
    assert keeps.labels.tolist() == [0] * quarter + [1] * quarter
    for seen, part in zip((keeps.learnt, keeps.judged), got, strict=True):
        assert (seen[:quarter] > 0).all() and np.array_equal(seen[quarter:], -part.numpy())
    numbers = np.abs(np.concatenate([keeps.learnt, keeps.judged]))[:, 0]
    assert len(set(numbers)) == len(numbers) == 4 * quarter and set(numbers) <= set(range(1, n + 1))
    assert numbers.tolist() != sorted(numbers)  # dealt out, not cut


def test_the_seed_deals_and_the_same_seed_deals_the_same():
    x = normal(0) + 0.2
    first = [two_sample_test(x, torch.neg, seed=seed) for seed in range(4)]
    assert first == [two_sample_test(x, torch.neg, seed=seed) for seed in range(4)]
    assert len({found.accuracy for found in first}) > 1
    state = torch.get_rng_state()
    two_sample_test(x, torch.neg)
    assert torch.equal(torch.get_rng_state(), state)


def test_examples_are_not_written_to_and_may_be_of_any_type_and_shape():
    x = normal(0)
    kept = x.clone()
    expected = two_sample_test(x, torch.neg)
    assert two_sample_test(x, lambda part: part.neg_()) == expected and torch.equal(x, kept)
    assert two_sample_test(x.double(), torch.neg) == expected
    assert two_sample_test(x.view(-1, 2, 1, 2), torch.neg) == expected
    assert two_sample_test(x.clone().requires_grad_(), torch.neg) == expected
    assert two_sample_test(x.T.contiguous().T, torch.neg) == expected
    whole = (10 * x).round().long()
    assert two_sample_test(whole, torch.neg) == two_sample_test(whole.double(), torch.neg)
    assert two_sample_test(x + 1, torch.neg) != expected  # the control


def test_a_pipeline_of_ones_own_learns_from_flattened_examples():
    from sklearn.neighbors import KNeighborsClassifier

    x = (normal(0, 200, 12) + 1).view(-1, 3, 2, 2)
    found = two_sample_test(x, torch.neg, classifier=KNeighborsClassifier(3))
    assert found.low > 0.9
    keeps = Keeps()
    two_sample_test(x, torch.neg, classifier=keeps)
    assert keeps.learnt.shape == (100, 12) and keeps.learnt.dtype == np.float64


def test_what_is_refused():
    x = normal(0, 40)
    with pytest.raises(ValueError, match="x: got 19 examples; give at least 20"):
        two_sample_test(x[:19], torch.neg)
    assert two_sample_test(x[:20], torch.neg).judged == 10
    for change in (lambda part: part[1:], lambda part: part[:, :2], lambda part: part.flatten()):
        with pytest.raises(ValueError, match=r"change: made \(.*\) of \(10, 4\); give as many examples"):
            two_sample_test(x, change)
    for change in (lambda part: part / 0, lambda part: part * math.nan):
        with pytest.raises(ValueError, match="x: is not finite, as it is or changed"):
            two_sample_test(x, change)
    x[3, 2] = math.inf
    with pytest.raises(ValueError, match="x: is not finite"):
        two_sample_test(x, lambda part: part)


def test_examples_may_be_single_numbers():
    x = normal(0)[:, 0]
    found = two_sample_test(x + 0.5, torch.neg)
    assert found == two_sample_test((x + 0.5)[:, None], torch.neg) and found.low > 0.5
    assert two_sample_test(x, torch.neg).low <= 0.5


def test_the_classifier_that_is_given_is_not_fitted():
    from sklearn.exceptions import NotFittedError
    from sklearn.linear_model import LogisticRegression
    from sklearn.utils.validation import check_is_fitted

    x, model, keeps = normal(0) + 1, LogisticRegression(C=0.5), Keeps()
    found = two_sample_test(x, torch.neg, classifier=model)
    assert found.low > 0.9
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    check_is_fitted(model.fit([[0], [1]], [0, 1]))  # the control
    assert two_sample_test(x, torch.neg, classifier=model) == found  # nor does it matter whether it was
    assert model.coef_.shape == (1, 1)
    two_sample_test(x, torch.neg, classifier=keeps)
    assert not keeps.fitted and keeps.learnt.any()


def test_what_is_no_tensor_of_real_numbers_is_refused():
    x = normal(0, 40)
    for wrong, came in ((x.numpy(), "float32"), (x.tolist(), "list"), (x.cfloat(), "torch.complex64")):
        with pytest.raises(TypeError, match=f"x: got {came}; give a tensor of real numbers"):
            two_sample_test(wrong, torch.neg)
    for change in (lambda part: part.numpy(), lambda part: None, lambda part: part.cfloat()):
        with pytest.raises(TypeError, match=r"change: made \w+; give a tensor of real numbers"):
            two_sample_test(x, change)
    with pytest.raises(ValueError, match="x: got 0 examples; give at least 20"):
        two_sample_test(torch.tensor(1.0), torch.neg)


@pytest.mark.parametrize(
    "says",
    [
        lambda x: np.full(len(x), 2), lambda x: np.full(len(x), 0.5), lambda x: np.zeros((len(x), 1)),
        lambda x: np.zeros(len(x) - 1), lambda x: np.full(len(x), "0"), lambda x: np.full(len(x), math.nan),
        lambda x: np.full((len(x), 2), 0.5),
    ],
    ids=["2", "a half", "a column", "one less", "words", "nan", "probabilities"],
)  # fmt: skip
def test_predictions_other_than_0_and_1_for_each_are_refused(says):
    x = normal(0, 40)
    with pytest.raises(
        ValueError, match=r"classifier: predicts .* of shape .*; give one that predicts 0 or 1"
    ):
        two_sample_test(x, torch.neg, classifier=Keeps(says))
    for right in (lambda x: [0] * len(x), lambda x: np.ones(len(x), bool)):
        assert two_sample_test(x, torch.neg, classifier=Keeps(right)).accuracy == 0.5
