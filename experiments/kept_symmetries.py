"""What do trained classifiers keep of the shifts, and what is it worth? Digits on a torus, where every shift is a permutation.

All arms have the same two convolutions of 16 channels, and are trained on the same digits in place with as many steps; those that have
not finished then are trained once more with four times the steps, at the same rate. Those that pool have 2,650 parameters; those that
flatten have a dense layer over all points instead of one over channels, and 25,530. Each arm's learning rate is the one of four that
reads most of 200 validation digits, for a seed that is not used again; these digits are moved as the arm's training digits are.

"shuffled first" is the circular network with its pixels brought into a fixed random order before: it shares its weights along a
group that is not that of the shifts (the wrong-group twin). "averaged over the shifts" is the mean over all 144 in training and in
test. It needs no 144 runs: the convolutions are equivariant, so it is the network whose dense layer has the mean of its weights over
all points.

    python experiments/kept_symmetries.py

Kill it when you like: called again it skips what is done and goes on with the rest.
"""

from functools import lru_cache, partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from runner import Results, arguments, rounded, run_all
from shifted_digits import Maximum, Scrambled
from torch import nn

from gdl_utils.data import centred, digits
from gdl_utils.domains import torus
from gdl_utils.groups import dihedral
from gdl_utils.signals import SignalSpace
from gdl_utils.training import accuracy, cross_entropy

SIDE, WIDTH, CLASSES, BATCH = 12, 16, 10, 50
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
D4 = dihedral(4)
# 1,152 elements: number 144 k + 12 i + j is turn or mirror k after a shift by (i, j).
GROUND = SignalSpace(torus(SIDE, D4))


class DenseAveraged(nn.Linear):
    """A dense layer over all points and channels, averaged over the shifts of its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight.unflatten(1, (-1, SIDE**2)).mean(2)
        return nn.functional.linear(x.flatten(2).sum(2), weight, self.bias)


def convolutions(padding_mode: str = "circular") -> list:
    """Two convolutions; the second one looks two pixels far."""
    first = nn.Conv2d(1, WIDTH, 3, padding=1, padding_mode=padding_mode)
    second = nn.Conv2d(WIDTH, WIDTH, 3, padding=2, dilation=2, padding_mode=padding_mode)
    return [first, nn.ReLU(), second, nn.ReLU()]


def network(arm: str) -> nn.Module:
    pooled = lambda: [nn.Conv2d(WIDTH, CLASSES, 1), Maximum()]
    inputs = WIDTH * SIDE**2
    return {
        "circular": lambda: nn.Sequential(*convolutions(), *pooled()),
        "zeros at the border": lambda: nn.Sequential(*convolutions("zeros"), *pooled()),
        "shuffled first": lambda: Scrambled(nn.Sequential(*convolutions(), *pooled())),
        "flattened": lambda: nn.Sequential(*convolutions(), nn.Flatten(), nn.Linear(inputs, CLASSES)),
        "flattened, averaged over the shifts": lambda: nn.Sequential(
            *convolutions(), DenseAveraged(inputs, CLASSES)
        ),
    }[arm.removesuffix(LONGER).removesuffix(" + shifts")]()


ARMS = (
    "circular",
    "zeros at the border",
    "shuffled first",
    "flattened",
    "flattened + shifts",
    "flattened, averaged over the shifts",
)
SLOW, LONGER = (*ARMS[1:3], *ARMS[4:]), ", four times the steps"


def moved(x: torch.Tensor, turns: bool, shifts: bool, rng: torch.Generator) -> torch.Tensor:
    """Each picture turned or mirrored, and shifted, at random."""
    k = torch.randint(8 if turns else 1, (len(x),), generator=rng)
    i, j = torch.randint(SIDE if shifts else 1, (2, len(x)), generator=rng)
    return torch.stack([GROUND.act(int(g), p) for g, p in zip(144 * k + 12 * i + j, x, strict=True)])


def rolled(x: torch.Tensor) -> torch.Tensor:
    """Each picture shifted at random, quickly."""
    i, j = torch.randint(SIDE, (2, len(x), 1, 1))
    rows = (torch.arange(SIDE)[:, None] + i) % SIDE
    columns = (torch.arange(SIDE) + j) % SIDE
    return x[torch.arange(len(x))[:, None, None], 0, rows, columns][:, None]


def loss_of(arm: str):
    if "+ shifts" in arm:
        return lambda model, x, label: cross_entropy(model, rolled(x), label)
    return cross_entropy


@lru_cache(maxsize=2)
def prepared(seed: int, examples: int) -> dict:
    """Digits to train, to choose the rate by, and to test: in place, shifted, and turned or mirrored as well."""
    images, labels = digits(torch.float32)
    images, rng = centred(images, SIDE), torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=rng)
    train, validation, test = order[:examples], order[800:1000], order[1000:]
    x, y = images[test], labels[test]
    sets = {"train": (images[train], labels[train]), "validation": (images[validation], labels[validation])}
    sets |= {"in place": (x, y), "shifted": (moved(x, False, True, rng), y)}
    return sets | {"turned": (moved(x, True, True, rng), y)}


@lru_cache(maxsize=2)
def everywhere(seed: int | None, examples: int) -> torch.Tensor:
    """All 1,152 images of pictures, (1152, n, 1, 12, 12): of four test digits, or of one of random numbers."""
    if seed is None:
        x = torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    else:
        x = prepared(seed, examples)["in place"][0][:4]
    return torch.stack([GROUND.act(g, x.double()) for g in range(len(GROUND.group))])


@torch.no_grad()
def changes(model: nn.Module, pictures: torch.Tensor) -> np.ndarray:
    """Relative change of the scores for each element, in float64: (8, 144)."""
    scores = model(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2])
    return ((scores - scores[0]).norm(dim=(1, 2)) / scores[0].norm()).view(8, -1).numpy()


def kept(model: nn.Module, seed: int, examples: int) -> dict:
    """How many of the 1,152 leave the scores alone; the median change of those of digits by shifts, and by turns and mirrors."""
    model = model.double()
    count = int((changes(model, everywhere(None, examples)) <= 1e-12).sum())
    on_digits = changes(model, everywhere(seed, examples))
    medians = {"shifts": np.median(on_digits[0, 1:]), "turns": np.median(on_digits[1:, 0])}
    return {"kept": count, "change": {name: rounded(float(v)) for name, v in medians.items()}}


def run(train, phase: str, arm: str, rate: float, seed: int, epochs: int, examples: int) -> dict:
    sets = prepared(seed, examples)
    torch.manual_seed(seed)
    model = network(arm)
    epochs *= 4 if arm.endswith(LONGER) else 1
    history, seconds = train(model, loss_of(arm), sets["train"], epochs=epochs, seed=seed, learning_rate=rate)
    record = {"parameters": sum(p.numel() for p in model.parameters()), "seconds": seconds}
    record |= {"steps": epochs * -(-examples // BATCH), "loss": rounded(history[-1])}
    if phase == "rate":
        x, y = sets["validation"]
        x = moved(x, False, "+ shifts" in arm, torch.Generator().manual_seed(seed))
        return record | {"read": {"validation": accuracy(model, x, y)}}
    read = {name: round(accuracy(model, *sets[name]), 4) for name in ("in place", "shifted", "turned")}
    return record | {"read": read} | kept(model, seed, examples)


def best_rate(results: Results, arm: str) -> float:
    tried = [r for r in results.records if r["phase"] == "rate" and r["arm"] == arm.removesuffix(LONGER)]
    return max(tried, key=lambda r: r["read"]["validation"])["rate"]


def main() -> None:
    parser = arguments(__doc__, Path(__file__).with_suffix(".json"))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--examples", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    settings = {"frame": SIDE, "examples": args.examples, "epochs": args.epochs, "batch_size": BATCH}
    results = Results(args.out, settings)
    go = partial(run, epochs=args.epochs, examples=args.examples)
    all_of = partial(run_all, results, run=go, how=args, batch_size=BATCH)
    all_of(
        [
            {"phase": "rate", "arm": arm, "rate": rate, "seed": seed}
            for arm, rate, seed in product(args.arms, RATES, [100])
        ]
    )
    if not all(
        results.has({"phase": "rate", "arm": arm, "rate": rate}) for arm in args.arms for rate in RATES
    ):
        return
    all_of(
        [
            {"phase": "test", "arm": arm, "rate": best_rate(results, arm), "seed": seed}
            for seed, arm in product(
                range(args.seeds), args.arms + [arm + LONGER for arm in args.arms if arm in SLOW]
            )
        ]
    )


if __name__ == "__main__":
    main()
