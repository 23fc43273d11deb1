"""The training loop: it learns, it repeats itself, it goes on after an interruption, it says what is wrong."""

import pytest
import torch
from torch import nn

from gdl_utils.training import accuracy, cross_entropy, fit


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


def noisy(start=0):
    """A model with all that a resumed training has to bring back: running statistics, and random numbers on the way."""
    torch.manual_seed(start)
    return nn.Sequential(
        nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1)
    ).double()


def interrupted_at(batch):
    """The loss, which fails at its n-th call (two calls are an epoch)."""
    calls = iter(range(batch))

    def loss(model, x, y):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return squared(model, x, y)

    return loss


@pytest.mark.parametrize("batch", [1, 7, 12], ids=["in epoch 1", "in epoch 4", "in the last"])
def test_a_resumed_training_is_bit_identical(tmp_path, batch):
    options = {"epochs": 6, "learning_rate": 0.1, "seed": 3}
    whole = noisy()
    history = fit(whole, squared, data(), **options)
    path = tmp_path / "new folder" / "model.pt"
    with pytest.raises(KeyboardInterrupt):
        fit(noisy(), interrupted_at(batch - 1), data(), checkpoint=path, **options)
    resumed = noisy(start=1)  # of its own numbers nothing may be left
    if batch == 1:  # nothing was saved: a start from the beginning
        resumed = noisy()
    seen = []

    def loss(model, x, y):
        seen.append(len(x))
        return squared(model, x, y)

    assert fit(resumed, loss, data(), checkpoint=path, **options) == history
    assert len(seen) == 12 - 2 * ((batch - 1) // 2)  # what was saved is not trained again
    assert whole.state_dict().keys() == resumed.state_dict().keys()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert not resumed.training
    assert [file.name for file in path.parent.iterdir()] == ["model.pt"]
    again = noisy(start=2)  # and when all is done, it is read and not trained
    assert fit(again, interrupted_at(0), data(), checkpoint=path, **options) == history
    assert torch.equal(again[0].weight, whole[0].weight)


def test_without_the_random_numbers_a_resumed_training_differs(tmp_path, monkeypatch):
    """The control: forget one part of the checkpoint, and the numbers change."""
    options = {"epochs": 6, "learning_rate": 0.1, "checkpoint": tmp_path / "model.pt"}
    with pytest.raises(KeyboardInterrupt):
        fit(noisy(), interrupted_at(6), data(), **options)
    monkeypatch.setattr(torch, "set_rng_state", lambda state: None)
    assert fit(noisy(start=1), squared, data(), **options) != fit(noisy(), squared, data(), epochs=6, learning_rate=0.1)  # fmt: skip


def test_what_is_noted_after_each_epoch_survives_an_interruption(tmp_path):
    x, y = data()
    note = lambda model, loss: [loss, model.training, float(squared(model, x, y).detach())]
    options = {"epochs": 6, "learning_rate": 0.1, "each_epoch": note}
    whole = noisy()
    noted = fit(whole, squared, data(), **options)
    assert [loss for loss, _, _ in noted] == fit(noisy(), squared, data(), epochs=6, learning_rate=0.1)
    assert not any(training for _, training, _ in noted)
    assert noted[-1][2] == float(squared(whole, x, y).detach())  # of the model as it is after the epoch
    with pytest.raises(KeyboardInterrupt):
        fit(noisy(), interrupted_at(6), data(), checkpoint=tmp_path / "model.pt", **options)
    assert fit(noisy(start=1), squared, data(), checkpoint=tmp_path / "model.pt", **options) == noted
    assert fit(noisy(start=1), squared, data(), **options) != noted  # the control


def test_cross_entropy_and_accuracy_are_their_formulas(rng):
    scores, label = torch.randn(1201, 4, generator=rng), torch.randint(4, (1201,), generator=rng)
    model = lambda x: 2 * x
    expected = -(2 * scores).log_softmax(1)[torch.arange(1201), label].mean()
    torch.testing.assert_close(cross_entropy(model, scores, label), expected)
    right = sum(int(row.argmax()) == int(k) for row, k in zip(scores, label, strict=True))
    assert accuracy(model, scores, label) == right / 1201
    assert accuracy(lambda x: -x, scores, label) != right / 1201  # the control: the lowest score
    for x, y in ((scores, label[1:]), (scores[:0], label[:0])):
        with pytest.raises(ValueError, match="x, label: got"):
            accuracy(model, x, y)


def test_a_classifier_learns_by_cross_entropy():
    x, _ = data()
    label = (x[:, 0] > 0).long()
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    before = accuracy(model, x, label)
    fit(model, cross_entropy, (x, label), epochs=20, learning_rate=0.1)
    assert accuracy(model, x, label) > max(before, 0.9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "seed 0, not 1"),
        ({"epochs": 3}, "epochs 2, not 3"),
        ({"batch_size": 10}, "batch_size 50, not 10"),
        ({"learning_rate": 0.5}, "learning_rate"),
        ({"tensors": data(80)}, "number of examples 90, not 80"),
        ({"model": nn.Linear(3, 1)}, "model's weight torch.float64 .* not torch.float32"),
        ({"model": nn.Linear(3, 1, bias=False).double()}, "model's bias .* not None"),
        ({"model": nn.Sequential(nn.Linear(3, 1)).double()}, "model's 0.weight None, not"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, change, words):
    options = {"model": nn.Linear(3, 1).double(), "loss": squared, "tensors": data(), "epochs": 2}
    options["checkpoint"] = tmp_path / "model.pt"
    fit(**options)
    with pytest.raises(ValueError, match=f"checkpoint: .*{words}.*delete it"):
        fit(**options | change)


class Planted:
    """What a file with a pickle might do: make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_damaged_checkpoint_is_refused_and_runs_nothing(tmp_path):
    path, planted = tmp_path / "model.pt", tmp_path / "planted"
    train = lambda: fit(nn.Linear(3, 1).double(), squared, data(), epochs=2, checkpoint=path)
    train()
    whole = path.read_bytes()
    weight = torch.load(path, weights_only=True)["model"]["weight"].numpy().tobytes()
    flipped = bytearray(whole)
    flipped[whole.index(weight)] ^= 1  # one bit of one weight
    for content in (b"", whole[: len(whole) // 2], b"no file of torch's", bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"checkpoint: .* is damaged; delete it"):
            train()
    for content in ({"model": {}}, [1, 2], Planted(planted)):
        torch.save(content, path)
        with pytest.raises(ValueError, match=r"checkpoint: .* is damaged; delete it"):
            train()
    assert not planted.exists()
    path.unlink()
    train()  # the control: without it all is well


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: fit(m, squared, (), epochs=1), "tensors: got lengths"),
        (lambda m: fit(m, squared, (torch.ones(3, 3), torch.ones(2, 1)), epochs=1), r"\[3, 2\]"),
        (lambda m: fit(nn.Identity(), squared, data(), epochs=1), "model: Identity has no parameters"),
        (lambda m: fit(m, squared, data(), epochs=0), "epochs"),
        (lambda m: fit(m, squared, data(), epochs=1, batch_size=0), "batch_size"),
        (lambda m: fit(m, lambda m, x, y: squared(m, x, y) / 0, data(), epochs=1), "loss: is"),
    ],
    ids=["none", "lengths", "parameters", "epochs", "batch", "not finite"],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(nn.Linear(3, 1).double())
