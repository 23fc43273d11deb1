"""The training loop: it learns, it repeats itself, it says what is wrong."""

import pytest
import torch
from torch import nn

from gdl_utils.training import fit


def squared(model, x, y):
    return (model(x) - y).square().mean()


def data(n=90):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x, x @ torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)


def trained(seed=0, start=0, **options):
    torch.manual_seed(start)
    model = nn.Linear(3, 1).double()
    history = fit(model, squared, data(), epochs=30, learning_rate=0.1, seed=seed, **options)
    return model, history


def test_it_learns_and_leaves_the_model_in_evaluation_mode():
    model, history = trained()
    assert len(history) == 30 and history[-1] < 1e-3 * history[0]
    assert not model.training
    assert torch.allclose(model.weight, torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64), atol=0.05)


def test_same_seed_same_numbers_and_another_seed_others():
    assert trained()[1] == trained()[1]
    assert trained(seed=1)[1] != trained()[1]
    assert trained(start=1)[1] != trained()[1]


def test_the_order_is_the_seeds_and_not_the_global_generators():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    fit(nn.Linear(3, 1).double(), squared, data(), epochs=1)
    model_only = nn.Linear(3, 1)  # the same draws again, had fit taken none
    torch.random.set_rng_state(before)
    nn.Linear(3, 1)
    assert torch.equal(nn.Linear(3, 1).weight, model_only.weight)


def test_every_example_is_seen_once_an_epoch_and_the_mean_counts_examples():
    seen = []

    def loss(model, x, y):
        seen.append(x.shape[0])
        return model(x).square().mean() * 0 + len(x)

    history = fit(nn.Linear(3, 1).double(), loss, data(90), epochs=1, batch_size=50)
    assert seen == [50, 40]
    assert history == [pytest.approx((50 * 50 + 40 * 40) / 90)]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: fit(m, squared, (), epochs=1), "tensors: got lengths"),
        (lambda m: fit(m, squared, (torch.ones(3, 3), torch.ones(2, 1)), epochs=1), r"\[3, 2\]"),
        (lambda m: fit(m, squared, data(), epochs=0), "epochs"),
        (lambda m: fit(m, squared, data(), epochs=1, batch_size=0), "batch_size"),
        (lambda m: fit(m, lambda m, x, y: squared(m, x, y) / 0, data(), epochs=1), "loss: is"),
    ],
    ids=["none", "lengths", "epochs", "batch", "not finite"],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(nn.Linear(3, 1).double())
