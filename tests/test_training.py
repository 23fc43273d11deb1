"""The training loop: it learns, it repeats itself, it goes on after an interruption, it says what is wrong."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gdl_utils._checkpoints import save
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


def test_the_learning_rate_falls_to_zero_along_a_cosine():
    model, weights = nn.Linear(1, 1, bias=False).double(), []

    def loss(model, x):  # of slope 1, so that Adam's steps are as long as the learning rate
        weights.append(model.weight.item())
        return model.weight.sum()

    fit(model, loss, (torch.ones(3, 1),), epochs=4, batch_size=2, learning_rate=0.1)
    steps = -np.diff([*weights, model.weight.item()])
    assert steps == pytest.approx(0.05 * (1 + np.cos(np.pi * np.arange(8) / 8)), rel=1e-6)


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
    assert torch.equal(again[0].weight, whole[0].weight) and not again.training


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


def test_a_share_is_counted_without_gradients():
    def model(x):
        assert not torch.is_grad_enabled()
        return x

    assert accuracy(model, torch.eye(3), torch.arange(3)) == 1 and torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("scores", "label", "words"),
    [
        (lambda x: x, lambda y: y[:, None], r"label: got torch.int64, shape \(1201, 1\)"),
        (lambda x: x, lambda y: y[:, None, None].expand(-1, 3, 3), r"label: .*shape \(1201, 3, 3\)"),
        (lambda x: x, lambda y: y.double(), "label: got torch.float64"),
        (lambda x: x[:, :1], lambda y: y, r"model: gives shape \(500, 1\) for 500"),
        (lambda x: x[:, 0], lambda y: y, r"model: gives shape \(500,\)"),
        (lambda x: x[..., None, None], lambda y: y, r"model: gives shape \(500, 4, 1, 1\)"),
        (lambda x: x[:1], lambda y: y, r"model: gives shape \(1, 4\) for 500"),
        (lambda x: x.log(), lambda y: y, "scores that are not finite"),
    ],
)
def test_no_share_is_given_of_scores_and_labels_that_do_not_fit(rng, scores, label, words):
    x, y = torch.randn(1201, 4, generator=rng), torch.randint(4, (1201,), generator=rng)
    assert 0 <= accuracy(lambda x: x, x, y) <= 1  # the control
    with pytest.raises(ValueError, match=words):
        accuracy(scores, x, label(y))


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
        ({"tensors": [t.flip(0) for t in data()]}, r"checksum of tensor 0 \d+, not \d+"),
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
    with pytest.raises(ValueError, match=f"checkpoint: .*{words}.*move it away"):
        fit(**options | change)


def test_a_save_that_is_cut_short_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    save(path, {"epochs": 1})

    def cut(state, file):
        Path(file).write_bytes(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(torch, "save", cut)
        save(path, {"epochs": 2})
    assert torch.load(path, weights_only=True) == {"epochs": 1}


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
    words = {b"": "cannot be read", whole[: len(whole) // 2]: "cannot be read", b"no file": "cannot be read"}
    for content, word in (words | {bytes(flipped): "is damaged"}).items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"checkpoint: .* {word}.*; move it away"):
            train()
    for content in ({"model": {}}, [1, 2], Planted(planted)):
        torch.save(content, path)
        with pytest.raises(ValueError, match=r"checkpoint: .* was not written by fit.*; move it away"):
            train()
    assert not planted.exists()
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("words", "no tensors")
    with pytest.raises(ValueError, match="cannot be read as one of fit"):
        train()
    path.unlink()
    train()  # the control: without it all is well


def test_a_file_that_may_be_good_is_not_called_damaged(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    train = lambda **more: fit(nn.Linear(3, 1).double(), squared, data(), epochs=2, checkpoint=path, **more)
    path.mkdir()
    with pytest.raises(ValueError, match="is a folder; name a file"):
        train()
    path.rmdir()
    train()
    whole = path.read_bytes()

    def fails(*args, **options):
        raise PermissionError("not yours")

    with monkeypatch.context() as patch, pytest.raises(PermissionError, match="not yours"):
        patch.setattr(torch, "load", fails)
        train()
    assert path.read_bytes() == whole
    torch.save({"settings": {}, "history": [np.float64(1)]}, path)  # a good file of somebody else's
    with pytest.raises(ValueError, match="was not written by fit"):
        train()


@pytest.mark.parametrize(
    "noted", [np.float64(1), np.arange(3), [1, {"a": np.float32(2)}], {np.int64(1): 2}, Path("x"), lambda: 1]
)
def test_what_a_checkpoint_could_not_give_back_is_refused_when_it_is_noted(tmp_path, noted):
    train = lambda **more: fit(
        nn.Linear(3, 1).double(), squared, data(), epochs=2, each_epoch=lambda *_: noted, **more
    )
    with pytest.raises(TypeError, match=r"each_epoch: noted .*; a checkpoint keeps"):
        train(checkpoint=tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())
    assert len(train()) == 2  # the control: nothing has to be given back


@pytest.mark.parametrize("noted", [1.5, None, (1, "a", True), {"a": [1, 2]}, {1}, "words"])
def test_what_was_noted_comes_back_as_it_was(tmp_path, noted):
    train = lambda: fit(
        *(nn.Linear(3, 1).double(), squared, data()),
        **{"epochs": 2, "checkpoint": tmp_path / "model.pt", "each_epoch": lambda *_: noted},
    )
    first, again = train(), train()
    assert first == again == [noted, noted] and type(again[0]) is type(noted)


def test_checksums_are_of_every_type_and_of_the_values_in_their_order(tmp_path):
    for dtype in (torch.bfloat16, torch.float16, torch.bool, torch.uint8, torch.complex64):
        x = torch.arange(12).reshape(4, 3).to(dtype)
        loss = lambda m, x, y: squared(m, torch.ones(len(x), 3).double(), y)
        path = tmp_path / f"{dtype}.pt"
        train = lambda x, path=path, loss=loss: fit(
            nn.Linear(3, 1).double(), loss, (x, torch.ones(4, 1)), epochs=1, checkpoint=path
        )
        assert train(x) == train(x.T.contiguous().T)
        with pytest.raises(ValueError, match="checksum of tensor 0"):
            train(x.flip(0))


def test_a_column_of_a_table_may_be_a_tensor_of_a_checkpointed_training(tmp_path):
    x, _ = data()
    loss = lambda model, x, y: squared(model, x, y[:, None])
    train = lambda y: fit(nn.Linear(3, 1).double(), loss, (x, y), epochs=1, checkpoint=tmp_path / "model.pt")
    assert train(x[:, 0]) == train(x[:, 0].clone())


def test_a_last_batch_of_one(tmp_path):
    normed = lambda: nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1)).double()
    with pytest.raises(ValueError, match="batch_size: 89 leaves a last batch of one"):
        fit(normed(), squared, data(), epochs=1, batch_size=89)
    fit(normed(), squared, data(), epochs=1, batch_size=45)  # the controls
    fit(nn.Linear(3, 1).double(), squared, data(), epochs=1, batch_size=89)

    def own(model, x, y):
        raise ValueError("words of the loss itself")

    with pytest.raises(ValueError, match="words of the loss itself"):
        fit(normed(), own, data(), epochs=1, batch_size=89)
    with pytest.raises(ValueError, match=r"^Expected more than 1 value"):  # of a loss that takes one of many
        fit(normed(), lambda m, x, y: squared(m, x[:1], y[:1]), data(), epochs=1, batch_size=45)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: fit(m, squared, [t.numpy() for t in data()], epochs=1), "tensors: number 0 is a ndarray"),
        (lambda m: fit(m, lambda m, x: m(x).mean(), data()[0], epochs=1), "tensors: got one tensor"),
        (lambda m: fit(m, lambda m, x, y: 1.0, data(), epochs=1), "loss: gives a float"),
    ],
    ids=["arrays", "one tensor", "a float"],
)
def test_a_wrong_type_is_named(call, words):
    with pytest.raises(TypeError, match=words):
        call(nn.Linear(3, 1).double())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: fit(nn.LazyLinear(1), squared, data(), epochs=1), "model: LazyLinear has lazy layers"),
        (
            lambda m: fit(nn.Sequential(m, nn.LazyLinear(1)), squared, data(), epochs=1),
            "model: Sequential has lazy layers",
        ),
        (lambda m: fit(m, lambda m, x, y: (m(x) - y) ** 2, data(), epochs=1), r"loss: gives shape \(50, 1\)"),
        (lambda m: fit(m, squared, (), epochs=1), "tensors: got lengths"),
        (lambda m: fit(m, squared, (torch.ones(3, 3), torch.ones(2, 1)), epochs=1), r"\[3, 2\]"),
        (lambda m: fit(nn.Identity(), squared, data(), epochs=1), "model: Identity has no parameters"),
        (lambda m: fit(m, squared, data(), epochs=0), "epochs"),
        (lambda m: fit(m, squared, data(), epochs=1, batch_size=0), "batch_size"),
        (lambda m: fit(m, lambda m, x, y: squared(m, x, y) / 0, data(), epochs=1), "loss: is"),
    ],
    ids=["lazy", "partly lazy", "vector", "none", "lengths", "parameters", "epochs", "batch", "not finite"],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(nn.Linear(3, 1).double())


def test_labels_beyond_the_classes_and_a_frozen_model_are_named():
    x = torch.eye(3)
    for label in (torch.tensor([0, 1, 3]), torch.tensor([0, -100, 1])):
        with pytest.raises(ValueError, match=r"label: has .* the scores are of classes 0 to 2"):
            accuracy(nn.Identity(), x, label)
    with pytest.raises(ValueError, match="model: Linear is frozen"):
        fit(nn.Linear(3, 3).requires_grad_(False), cross_entropy, (x, torch.arange(3)), epochs=1)


def test_a_model_of_which_a_part_is_frozen_is_trained():
    frozen = nn.Linear(3, 3).double().requires_grad_(False)
    model, before = nn.Sequential(frozen, nn.Linear(3, 1).double()), frozen.weight.clone()
    history = fit(model, squared, data(), epochs=3, learning_rate=0.1)
    assert history[-1] < history[0] and torch.equal(frozen.weight, before)


def test_numbers_of_numpy_are_numbers(tmp_path):
    x, path = torch.arange(8.0)[:, None], tmp_path / "run.pt"
    loss = lambda model, x: (model(x) - 2 * x).square().mean()
    numbers = {
        "epochs": np.int64(3),
        "batch_size": np.int64(2),
        "seed": np.int64(5),
        "learning_rate": np.float64(0.1),
    }
    found = []
    for how in ({key: n.item() for key, n in numbers.items()}, numbers, numbers):
        torch.manual_seed(0)
        found.append(fit(nn.Linear(1, 1), loss, (x,), checkpoint=path, **how))
    assert found[0] == found[1] == found[2]
