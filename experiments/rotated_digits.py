"""What does a symmetry bring? Digits, upright and turned, for networks of equal size that respect different groups.

All have as many parameters, up to 5 %, and take as many steps. Some differ in their kernel: which points it has, and how a group moves
them. "wrong group" is p4 but for where its C₄ moves the points, which no turn of the image does: what it gains on the CNN is not the
symmetry's. "hexagonal CNN" is p6 without its group: what it gains on the CNN is the grid's. Others are the CNN, and get the symmetry
in another way: "CNN with turns" sees each image turned at random by an element of the group, "averaged CNN" answers by the mean over
all of them, in training and in the test. What a group convolution gains on that is its own and not the group's.

Each arm has the learning rate that read held-out images of its training best, for other seeds than those that count.

    python experiments/rotated_digits.py                             # scikit-learn's digits
    python experiments/rotated_digits.py --data mnist --examples 100 1000

Kill it when you like: called again it skips what is done and goes on with the rest, and loses at most one epoch.
"""

from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
from arms import exactness, with_turns, wrong_group
from runner import Results, arguments, rounded, run_all
from torch import nn

from gdl_utils.blueprint import Blueprint
from gdl_utils.data import centred, digits, hexagonal, mnist, rotate
from gdl_utils.domains import Domain, hexagonal_grid, square_grid
from gdl_utils.groups import Group, cyclic, dihedral
from gdl_utils.layers import (
    GlobalPool,
    GroupBatchNorm,
    GroupConv,
    HexagonMask,
    LiftingConv,
    averaged,
    spatial,
)
from gdl_utils.signals import SignalSpace
from gdl_utils.training import accuracy, cross_entropy

FRAME = {"digits": 12, "mnist": 28}  # 8 × 8 pixels in 12 × 12: turned by any angle, no ink is lost
LAYERS = {"digits": 3, "mnist": 4}
TEST = {"digits": 797, "mnist": 2_000}
RATES = (0.003, 0.01, 0.03)
BATCH = 50
HELD_OUT = 300  # images on which a learning rate is chosen, after so many steps with so many examples and another seed
TUNING = {"training": "rotated", "steps": 400, "seed": 100}
TUNED_WITH = {"digits": 300, "mnist": 1000}
TRAININGS, TESTS = ("upright", "rotated"), ("upright", "turned", "any angle")


class Arm(NamedTuple):
    """How a network respects its group: by its kernel ("built in", where one moves it), by turned examples, or by an average."""

    kernel: Domain
    width: int  # channels, chosen for equal parameters
    group: Group  # whose exactness is measured
    way: str = "built in"


def arms() -> dict[str, Arm]:
    plain, hexagons = square_grid(3), hexagonal_grid(3)
    return {
        "CNN": Arm(plain, 28, cyclic(4)),
        "CNN with turns": Arm(plain, 28, cyclic(4), "turns"),
        "averaged CNN": Arm(plain, 28, cyclic(4), "average"),
        "p4": Arm(square_grid(3, cyclic(4)), 14, cyclic(4)),
        "wrong group": Arm(wrong_group(), 14, cyclic(4)),
        "p4m": Arm(square_grid(3, dihedral(4)), 10, dihedral(4)),
        "averaged CNN, with mirrors": Arm(plain, 28, dihedral(4), "average"),
        "hexagonal CNN": Arm(hexagons, 31, cyclic(6)),
        "averaged hexagonal CNN": Arm(hexagons, 31, cyclic(6), "average"),
        "p6": Arm(hexagonal_grid(3, cyclic(6)), 13, cyclic(6)),
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
    test, others = order[: TEST[data]], order[TEST[data] :]
    train, held_out = others[:n], others[n:][:HELD_OUT]
    if len(train) < n:
        raise SystemExit(f"--examples: got {n}; beside {TEST[data]} for the test there are {len(train)}")
    read = (lambda x: hexagonal(x, FRAME[data] + 1, order=3)) if hexagons else (lambda x: x)
    turn = lambda i: rotate(images[i], float(angles[i]), order=3)
    turned = lambda rows: read(torch.stack([turn(i) for i in rows]) if len(rows) else images[:0])
    upright = read(images[test])
    space = grid(data, cyclic(6) if hexagons else cyclic(4))
    by_turns = torch.randint(len(space.group), (len(test),), generator=random).tolist()
    exactly_turned = torch.stack([space.act(g, x) for g, x in zip(by_turns, upright, strict=True)])
    return {
        "train upright": (read(images[train]), labels[train]),
        "train rotated": (turned(train), labels[train]),
        "held out upright": (read(images[held_out]), labels[held_out]),
        "held out rotated": (turned(held_out), labels[held_out]),
        "upright": (upright, labels[test]),
        "turned": (exactly_turned, labels[test]),  # by multiples of 60° for hexagons, of 90° for squares
        "any angle": (turned(test), labels[test]),
    }


def grid(data: str, group) -> SignalSpace:
    """Where the images live, for a group of sixths of a turn or of quarters."""
    hexagons = group.degree % 3 == 0
    return SignalSpace((hexagonal_grid if hexagons else square_grid)(FRAME[data] + hexagons, group))


def run(
    train, data: str, arm: str, training: str, examples: int, seed: int, steps: int, learning_rate: float
) -> dict:
    """Train one network, for so many steps or the least number of epochs above it, and test it."""
    kernel, width, group, way = arms()[arm]
    hexagons = not kernel.mask.all()
    sets = prepared(data, examples, seed, hexagons)
    space, some = grid(data, group), sets["upright"][0][:8]
    torch.manual_seed(seed)
    model = network(kernel, width, LAYERS[data])
    model = averaged(model, space) if way == "average" else model
    loss = with_turns(space) if way == "turns" else cross_entropy
    before = exactness(model, some, space)
    epochs = -(-steps // -(-examples // BATCH))
    images = sets[f"train {training}"]
    history, seconds = train(model, loss, images, epochs=epochs, seed=seed, learning_rate=learning_rate)
    held_out = sets[f"held out {training}"]
    record = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "loss": rounded(history[-1]),
        "held out": round(1 - accuracy(model, *held_out), 5) if len(held_out[1]) else None,
        "error": {test: round(1 - accuracy(model, *sets[test]), 5) for test in TESTS},
        "exactness": {"before": rounded(before), "after": rounded(exactness(model, some, space))},
    }
    if len(kernel.group) == 1 and way != "average":
        late = averaged(
            model, space
        )  # a model that was trained without the group, averaged in the test alone
        record["averaged late"] = {test: round(1 - accuracy(late, *sets[test]), 5) for test in TESTS[1:]}
    return record


def best_rate(records: list[dict], arm: str) -> float:
    """The learning rate with which the arm misreads the fewest held-out images."""
    tried = [r for r in records if {"arm": arm, **TUNING}.items() <= r.items()]
    return min(tried, key=lambda r: r["held out"])["learning_rate"]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", choices=list(FRAME), default="digits")
    parser.add_argument("--arms", nargs="+", choices=list(arms()), default=list(arms()))
    parser.add_argument("--training", nargs="+", choices=TRAININGS, default=TRAININGS)
    parser.add_argument("--examples", nargs="+", type=int, default=[100, 300, 1000])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    results = Results(
        args.out or Path(__file__).with_name(f"rotated_digits_{args.data}.json"),
        {"data": args.data, "frame": FRAME[args.data], "test examples": TEST[args.data], "batch_size": BATCH}
        | {
            "tuning": TUNING | {"examples": TUNED_WITH[args.data], "held out": HELD_OUT, "rates": list(RATES)}
        },
    )
    call = partial(run_all, results, run=partial(run, data=args.data), how=args, batch_size=BATCH)
    tuning = [
        {"arm": arm, "examples": TUNED_WITH[args.data], "learning_rate": rate, **TUNING}
        for arm, rate in product(args.arms, RATES)
    ]
    done = call(tuning) and call(
        [
            {"arm": arm, "training": training, "examples": n, "seed": seed, "steps": args.steps}
            | {"learning_rate": best_rate(results.records, arm)}
            for n, seed, training, arm in product(args.examples, range(args.seeds), args.training, args.arms)
        ]
    )
    print("all done" if done else "call again to go on")


if __name__ == "__main__":
    main()
