"""What does a symmetry bring? Digits, upright and turned, for networks of equal size that respect different groups.

The arms differ in their kernel alone: which points it has, and how a group moves them. All have as many parameters, up to 5 %, and
are trained alike. "wrong group" is p4 but for where its C₄ moves the points, which no turn of the image does: what it gains on the
CNN is not the symmetry's. "hexagonal CNN" is p6 without its group: what it gains on the CNN is the grid's.

    python experiments/rotated_digits.py                             # scikit-learn's digits
    python experiments/rotated_digits.py --data mnist --examples 1000 --epochs 60

Kill it when you like: called again it skips what is done and goes on with the rest, and loses at most one epoch.
"""

import argparse
import copy
from functools import lru_cache, partial
from itertools import product
from pathlib import Path

import torch
from runner import Results, rounded, run_all
from torch import nn

from gdl_utils.blueprint import Blueprint
from gdl_utils.data import centred, digits, hexagonal, mnist, rotate
from gdl_utils.domains import Domain, hexagonal_grid, square_grid
from gdl_utils.equivariance import equivariance_errors
from gdl_utils.groups import cyclic, dihedral
from gdl_utils.layers import GlobalPool, GroupBatchNorm, GroupConv, HexagonMask, LiftingConv, spatial
from gdl_utils.signals import SignalSpace
from gdl_utils.training import accuracy, cross_entropy

FRAME = {"digits": 12, "mnist": 28}  # 8 × 8 pixels in 12 × 12: turned by any angle, no ink is lost
LAYERS = {"digits": 3, "mnist": 4}
TEST = {"digits": 797, "mnist": 10_000}
TRAININGS, TESTS = ("upright", "rotated"), ("upright", "turned", "any angle")


def wrong_group() -> Domain:
    """A kernel of 3 × 3 points that C₄ moves as freely as p4's, the centre alone and the others in two rings of four.

    But the rings go along the rows, and no element but e is a turn or mirror of the square.
    """
    right = square_grid(3)
    moves = cyclic(4).action([[1, 2, 3, 0, 4, 6, 7, 8, 5]])
    return Domain("scrambled square grid 3×3", cyclic(4), right.points, right.shape, moves)


def arms() -> dict:
    """The kernel, its number of channels (chosen for equal parameters), and the group whose exactness is measured."""
    return {
        "CNN": (square_grid(3), 28, cyclic(4)),
        "p4": (square_grid(3, cyclic(4)), 14, cyclic(4)),
        "p4m": (square_grid(3, dihedral(4)), 10, dihedral(4)),
        "wrong group": (wrong_group(), 14, cyclic(4)),
        "hexagonal CNN": (hexagonal_grid(3), 31, cyclic(6)),
        "p6": (hexagonal_grid(3, cyclic(6)), 13, cyclic(6)),
    }


class HexagonalPool(nn.Module):
    """The mean over each second point and its six neighbours: on hexagons what ``AvgPool2d(2)`` is on squares."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        two_corners = x[..., :-2:2, :-2:2] + x[..., 2::2, 2::2]  # of nine points, in axial coordinates
        return (9 * nn.functional.avg_pool2d(x, 3, stride=2) - two_corners) / 7


def network(kernel: Domain, width: int, layers: int) -> Blueprint:
    """Convolutions of 3 × 3 (or 7 points) without padding, each normalised, with one pooling by two after the first.

    Hexagons are masked at the end only, for no point of the smaller hexagon has looked beyond the larger.
    """
    hexagons = not kernel.mask.all()
    deeper = [GroupConv(kernel, width, width) for _ in range(layers - 1)]
    pool = GlobalPool(2, group_axis=True)
    return Blueprint(
        [LiftingConv(kernel, 1, width), *deeper],
        nonlinearity=lambda: nn.Sequential(GroupBatchNorm(width), nn.ReLU()),
        local_pooling=[spatial(HexagonalPool() if hexagons else nn.AvgPool2d(2)), *[None] * len(deeper)],
        invariant_pooling=nn.Sequential(HexagonMask(), pool) if hexagons else pool,
        head=nn.Linear(width, 10),
    )


@lru_cache(maxsize=1)
def dataset(data: str) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = digits(torch.float32) if data == "digits" else mnist()
    return centred(images, FRAME[data]), labels


@lru_cache(maxsize=4)
def prepared(data: str, n: int, seed: int, hexagons: bool) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Training sets by setting, and test sets by how they are turned. Each image has one angle, the same for all arms."""
    images, labels = dataset(data)
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=random)
    angles = 360 * torch.rand(len(images), generator=random)
    test, train = order[: TEST[data]], order[TEST[data] :][:n]
    if len(train) < n:
        raise SystemExit(f"--examples: got {n}; beside {TEST[data]} for the test there are {len(train)}")
    read = (lambda x: hexagonal(x, FRAME[data] + 1, order=3)) if hexagons else (lambda x: x)
    turned = lambda rows: read(torch.stack([rotate(images[i], float(angles[i]), order=3) for i in rows]))
    upright = read(images[test])
    space = grid(data, cyclic(6) if hexagons else cyclic(4))
    by_turns = torch.randint(len(space.group), (len(test),), generator=random).tolist()
    exactly_turned = torch.stack([space.act(g, x) for g, x in zip(by_turns, upright, strict=True)])
    return {
        "train upright": (read(images[train]), labels[train]),
        "train rotated": (turned(train), labels[train]),
        "upright": (upright, labels[test]),
        "turned": (exactly_turned, labels[test]),  # by multiples of 60° for hexagons, of 90° for squares
        "any angle": (turned(test), labels[test]),
    }


def grid(data: str, group) -> SignalSpace:
    """Where the images live, for a group of sixths of a turn or of quarters."""
    hexagons = group.degree % 3 == 0
    return SignalSpace((hexagonal_grid if hexagons else square_grid)(FRAME[data] + hexagons, group))


def exactness(model: nn.Module, images: torch.Tensor, space: SignalSpace) -> float:
    """The largest relative error of invariance, in float64."""
    model = copy.deepcopy(model).double().eval()
    return max(equivariance_errors(model, images.double(), space).values())


def run(train, data: str, arm: str, training: str, examples: int, seed: int, epochs: int) -> dict:
    """Train and test one network."""
    kernel, width, group = arms()[arm]
    sets = prepared(data, examples, seed, not kernel.mask.all())
    space, some = grid(data, group), sets["upright"][0][:8]
    torch.manual_seed(seed)
    model = network(kernel, width, LAYERS[data])
    before = exactness(model, some, space)
    history, seconds = train(model, cross_entropy, sets[f"train {training}"], epochs=epochs, seed=seed)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "loss": rounded(history[-1]),
        "error": {test: round(1 - accuracy(model, *sets[test]), 5) for test in TESTS},
        "exactness": {"before": rounded(before), "after": rounded(exactness(model, some, space))},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=list(FRAME), default="digits")
    parser.add_argument("--arms", nargs="+", choices=list(arms()), default=list(arms()))
    parser.add_argument("--training", nargs="+", choices=TRAININGS, default=TRAININGS)
    parser.add_argument("--examples", nargs="+", type=int, default=[100, 300, 1000])
    parser.add_argument(
        "--epochs", nargs="+", type=int, default=[150, 80, 50], help="one for each of --examples"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--learning-rate", type=float, default=1e-2)
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after this time; a later call goes on"
    )
    parser.add_argument("--out", type=Path, help="by default experiments/rotated_digits_DATA.json")
    args = parser.parse_args()
    out = args.out or Path(__file__).with_name(f"rotated_digits_{args.data}.json")
    if len(args.epochs) != len(args.examples):
        parser.error(f"--epochs: got {len(args.epochs)} numbers for {len(args.examples)} of --examples")
    settings = {"data": args.data, "frame": FRAME[args.data], "test examples": TEST[args.data]}
    options = {"batch_size": args.batch_size, "learning_rate": args.learning_rate}
    runs = [
        {"arm": arm, "training": training, "examples": n, "seed": seed, "epochs": many}
        for n, many in zip(args.examples, args.epochs, strict=True)
        for seed, training, arm in product(range(args.seeds), args.training, args.arms)
    ]
    run_all(
        Results(out, settings | options), runs, partial(run, data=args.data), minutes=args.minutes, **options
    )


if __name__ == "__main__":
    main()
