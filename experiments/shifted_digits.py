"""Who reads a digit that lies somewhere else? Digits in the middle of a torus to learn from, or shifted anew each time.

Two comparisons. *Ends*: the same convolutions at stride 1, and then the maximum or the average over all points, or a dense layer on
places; and a twin with the maximum whose shifts are those of another grid (its pixels are scrambled first). *Strides*: two strides of
two, by max-pooling, blurred, or polyphase; and max-pooling averaged, in training and test, over the 16 shifts that two such strides
tell apart. All have equal steps, and, but for the dense layer, equal numbers of parameters. Each arm's learning rate is the better of
two on digits that no other run sees.

    python experiments/shifted_digits.py

Kill it when you like: called again it skips what is done and goes on with the rest, and loses at most one epoch.
"""

import copy
from functools import lru_cache, partial
from pathlib import Path

import torch
from four_parts import best_rates
from runner import Results, arguments, rounded, run_all
from torch import nn

from gdl_utils.blueprint import Blueprint
from gdl_utils.data import centred, digits
from gdl_utils.domains import torus
from gdl_utils.equivariance import equivariance_errors
from gdl_utils.layers import BlurPool, GlobalPool, PolyphasePool
from gdl_utils.signals import SignalSpace
from gdl_utils.training import accuracy, cross_entropy

SIZE, WIDTH, TRAIN, TEST, VALIDATION = 12, 8, 400, 500, 300
RATES = (0.01, 0.03)
SPACE = SignalSpace(torus(SIZE))


class Maximum(nn.Module):
    """The maximum over all points: (n, channels, rows, columns) -> (n, channels)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.amax((2, 3))


class Dense(nn.Module):
    """The maximum over windows of 2 × 2 at every point of a torus: max-pooling without its stride."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.max_pool2d(nn.functional.pad(x, (0, 1, 0, 1), mode="circular"), 2, stride=1)


class Scrambled(nn.Module):
    """Another order of the pixels, always the same, in front of a model: its shifts are no shifts of the picture."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        order = torch.randperm(SIZE * SIZE, generator=torch.Generator().manual_seed(0))
        self.register_buffer("order", order)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x.flatten(2)[..., self.order].unflatten(2, (SIZE, SIZE)))


class OverSixteen(nn.Module):
    """The mean of a model's answers over 16 shifts. If the model is invariant to shifts by 4, then it is the mean over all."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        copies = [x.roll((i, j), (2, 3)) for i in range(4) for j in range(4)]
        return self.model(torch.cat(copies)).unflatten(0, (16, len(x))).mean(0)


def network(end=Maximum, halve=None) -> Blueprint:
    """Three convolutions on a torus, each normalised; if ``halve`` makes a pooling, two of these, after the first and the second."""
    around = {"padding": 1, "padding_mode": "circular", "bias": False}
    layer = lambda i: nn.Sequential(nn.Conv2d(i, WIDTH, 3, **around), nn.BatchNorm2d(WIDTH))
    return Blueprint(
        [layer(1), layer(WIDTH), layer(WIDTH)],
        local_pooling=None if halve is None else [halve(), halve(), None],
        invariant_pooling=end(),
        head=nn.Linear(WIDTH * SIZE**2 if end is nn.Flatten else WIDTH, 10),
    )


def arms() -> dict:
    """What makes each network, and the loss by which it learns."""
    average = lambda: GlobalPool(2)
    blurred = lambda: nn.Sequential(Dense(), BlurPool(3))
    polyphase = lambda: nn.Sequential(Dense(), PolyphasePool())
    strided = lambda halve: lambda: network(halve=halve)
    highest = lambda: nn.MaxPool2d(2)
    return {
        "global maximum": (network, cross_entropy),
        "global average": (lambda: network(average), cross_entropy),
        "flattened": (lambda: network(nn.Flatten), cross_entropy),
        "flattened, shown shifts": (lambda: network(nn.Flatten), shifted_cross_entropy),
        "wrong group": (lambda: Scrambled(network()), cross_entropy),
        "max-pooling": (strided(highest), cross_entropy),
        "max-pooling, shown shifts": (strided(highest), shifted_cross_entropy),
        "max-pooling, averaged": (lambda: OverSixteen(network(halve=highest)), cross_entropy),
        "blurred": (strided(blurred), cross_entropy),
        "polyphase": (strided(polyphase), cross_entropy),
    }


def shifted(x: torch.Tensor, random: torch.Generator | None = None) -> torch.Tensor:
    """Each picture moved to some place on the torus."""
    steps = torch.randint(SIZE, (len(x), 2), generator=random).tolist()
    return torch.stack([picture.roll(step, (1, 2)) for picture, step in zip(x, steps, strict=True)])


def shifted_cross_entropy(model: nn.Module, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """The loss on digits that are shifted anew each time."""
    return cross_entropy(model, shifted(x), label)


@lru_cache(maxsize=4)
def prepared(seed: int | None) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Training digits and what they are judged on; without a seed those for choosing rates, which no other run is judged on."""
    images, labels = digits(torch.float32)
    images = centred(images, SIZE)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(12345))
    judged, rest = order[:VALIDATION], order[VALIDATION:]
    random = torch.Generator().manual_seed(len(images) if seed is None else seed)
    draw = rest[torch.randperm(len(rest), generator=random)]
    test = judged if seed is None else draw[:TEST]
    train = draw[TEST:][:TRAIN]
    sets = {"train": train, "middle": test}
    sets = {name: (images[rows], labels[rows]) for name, rows in sets.items()}
    return sets | {name: (shifted(images[test], random), labels[test]) for name in ("shifted", "again")}


@torch.no_grad()
def consistency(model: nn.Module, one: torch.Tensor, two: torch.Tensor) -> float:
    """Share of pairs of shifted copies about which a network says the same."""
    return float((model(one).argmax(1) == model(two).argmax(1)).double().mean())


def exactness(model: nn.Module, images: torch.Tensor) -> float:
    """The largest relative error of invariance over a dozen shifts, in float64."""
    model = copy.deepcopy(model).double().eval()
    return max(equivariance_errors(model, images.double(), SPACE, elements=range(1, 144, 13)).values())


def run(train, arm: str, seed: int | None, rate: float, epochs: int) -> dict:
    """Train and test one network."""
    make, loss = arms()[arm]
    sets = prepared(seed)
    torch.manual_seed(0 if seed is None else seed)
    model = make()
    history, seconds = train(model, loss, sets["train"], epochs=epochs, seed=seed or 0, learning_rate=rate)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "loss": rounded(history[-1]),
        "read": {test: round(accuracy(model, *sets[test]), 5) for test in ("middle", "shifted")},
        "consistency": round(consistency(model, sets["shifted"][0], sets["again"][0]), 5),
        "exactness": rounded(exactness(model, sets["middle"][0][:4])),
    }


def main() -> None:
    parser = arguments(__doc__, Path(__file__).with_suffix(".json"))
    parser.add_argument("--epochs", type=int, default=160)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=50)
    args = parser.parse_args()
    options = {"batch_size": args.batch_size}
    settings = {"train": TRAIN, "test": TEST, "validation": VALIDATION, "epochs": args.epochs} | options
    results = Results(args.out, settings)
    go = partial(run_all, results, run=partial(run, epochs=args.epochs), how=args, **options)
    tuned = [arm for arm in arms() if arm != "max-pooling, averaged"]  # which takes that of max-pooling
    go([{"arm": arm, "seed": None, "rate": rate} for arm in tuned for rate in RATES])
    if len(results.records) < len(tuned) * len(RATES):
        return
    rates = best_rates(results.records, lambda arm: "shifted" if "shown" in arm else "middle")
    rates["max-pooling, averaged"] = rates["max-pooling"]
    go([{"arm": a, "seed": s, "rate": rates[a]} for s in range(args.seeds) for a in arms()])


if __name__ == "__main__":
    main()
