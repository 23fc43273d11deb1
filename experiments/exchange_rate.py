"""What is a symmetry worth? How many more examples a plain network would need to read as well, from eight sizes of training sets.

This is the protocol. It was committed before there were any results.

*Data.* MNIST's 60,000 training images. MNIST has a digit's centre of mass half a pixel beside the middle of the frame, from which an
alignment could read by what angle it was turned; so each is shifted until it lies in the middle. Then each is turned by an angle of its
own out of all the circle, the same for every arm, and taken to 14 × 14 pixels by means of four. Training sets have 50, 100, … 6,400
digits, those of one seed are nested; 2,000 more are watched when a rate is chosen, 10,000 others are the test.

*Arms.* All have as many parameters, up to 3 %, three convolutions of 5 × 5, and as many steps with batches of 50.
"plain": a CNN.
"augmented": the same, and each digit is turned anew whenever it is seen, from what it was before it was turned.
"augmented, longer": with four times the steps, which is about the arithmetic of "averaged".
"averaged": the CNN averaged over quarter-turns, in training and in the test.
"aligned": the CNN on pictures turned back by the direction of their heavier side (``frame_averaged`` with orders (1,)).
"aligned, two poses": turned back by both directions of their longer axis (orders (2,)), and averaged.
"p4": quarter-turns built in. "p4, augmented": and digits turned anew.
"C8": eighths of a turn built in, with filters that are waves.
"wrong group": p4 but for where its group of four moves the points of a filter: along the rows in fours, which no turn does.
The augmented ones are judged a second time, averaged at test over 8 turns by multiples of 45°.

*Steps.* 400, or 400 √(n / 400) where that is more. Whether that is enough: twice as many for plain, augmented, p4 and C8, with 400 and
with 6,400 digits, one seed.

*Rates.* Each arm has the one of .001, .003, .01, .03 with which it misreads the fewest watched digits after 400, with a seed that does not
count; "augmented, longer" that of "augmented".

*Stopping.* Five seeds (0 to 4) at all eight sizes. No seed is added, none is left out.

*Estimator.* The error of an arm is taken to be c n^-b: a line through the logarithms of its mean over seeds at the eight sizes, by least
squares. The exchange rate of an arm at n is how many times n digits the plain network needs on its line for the error that the arm
has on its own, at n = 200, 566 (the middle of the sizes) and 1,600. Where the plain network's number is beyond 6,400, this is
extrapolated, and is said to be. Intervals: 2,000 times, eight sizes are drawn out of eight with replacement (again where fewer than three
differ), and at each of them five seeds out of five, the same for all arms; 95 % of what comes.

*Questions.* (1) Is the rate of each arm that knows of turns above 1? (2) Is that of the wrong group below 1, worse than none? (3) Four
positions make four times the data: is the rate of quarter-turns, built in or averaged, 4? (4) Is p4 ahead of its averaged and its
augmented rivals: does the interval of the ratio of their rates leave 1 out? (5) Does the exponent b differ from the plain network's, or
the factor c alone?

*After the protocol.* The arms were shared out to two processes with --arms and files of their own, which were then joined. The errors
bend so much that rates are read a second time without lines (``read_off``).

    python experiments/exchange_rate.py             # an hour and a half on one core; kill it when you like, it goes on
    python experiments/exchange_rate.py --analyse   # prints what the estimator gives
"""

import math
from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from arms import wrong_group
from runner import Results, arguments, rounded, run_all
from torch import nn

from gdl_utils.blueprint import Blueprint
from gdl_utils.data import mnist
from gdl_utils.domains import Disk, Domain, disk, square_grid
from gdl_utils.groups import cyclic
from gdl_utils.layers import (
    GlobalPool,
    GroupBatchNorm,
    GroupConv,
    GroupPool,
    LiftingConv,
    frame_averaged,
    spatial,
)
from gdl_utils.training import accuracy, cross_entropy

SIZES, SEEDS = (50, 100, 200, 400, 800, 1_600, 3_200, 6_400), 5
RATES = (0.001, 0.003, 0.01, 0.03)
TUNING = {"examples": 400, "seed": 100}
SPLIT = (6_400, 2_000, 10_000)  # to train, to watch, to test
BATCH, STEPS, LONGER = 50, 400, 4
PLATEAU = {"arms": ("plain", "augmented", "p4", "C8"), "examples": (400, 6_400), "seed": 0}
LATE = 8  # turns over which the augmented ones are averaged at test
AT, DRAWS = (200, 566, 1_600), 2_000


class Arm(NamedTuple):
    """A kernel, channels for equal parameters, and how pictures come."""

    kernel: Domain | Disk
    widths: tuple[int, ...]
    pictures: str = "as they are"
    steps: int = 1  # times as many


def arms() -> dict[str, Arm]:
    plain, four = square_grid(5), square_grid(5, cyclic(4))
    return {
        "plain": Arm(plain, (8, 14, 16)),
        "augmented": Arm(plain, (8, 14, 16), "turned anew"),
        "augmented, longer": Arm(plain, (8, 14, 16), "turned anew", LONGER),
        "averaged": Arm(plain, (8, 14, 16), "turns"),
        "aligned": Arm(plain, (8, 14, 16), "aligned"),
        "aligned, two poses": Arm(plain, (8, 14, 16), "aligned, two poses"),
        "p4": Arm(four, (4, 7, 8)),
        "p4, augmented": Arm(four, (4, 7, 8), "turned anew"),
        "C8": Arm(disk(5, cyclic(8)), (4, 6, 8)),
        "wrong group": Arm(wrong_group(5), (4, 7, 8)),
    }


class Posed(nn.Module):
    """A network that answers by its mean over the poses in which a picture comes: (n, poses, 28, 28) or (n, poses, 14, 14)."""

    def __init__(self, kernel: Domain | Disk, widths: tuple[int, ...]):
        super().__init__()
        layers = [LiftingConv(kernel, 1, widths[0], padding=2, bias=False)]
        layers += [
            GroupConv(kernel, i, o, padding=2 * (o != widths[-1]), bias=False) for i, o in pairwise(widths)
        ]
        self.network = Blueprint(
            [nn.Sequential(layer, GroupBatchNorm(o)) for layer, o in zip(layers, widths, strict=True)],
            local_pooling=[spatial(nn.AvgPool2d(4, 2, padding=1)), None, None],  # 14 → 7, then 3 pixels
            invariant_pooling=nn.Sequential(GroupPool(), GlobalPool(2)),
            head=nn.Linear(widths[-1], 10),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x.flatten(0, 1)[:, None]).unflatten(0, x.shape[:2]).mean(1)


def turned(pictures: torch.Tensor, degrees: float | torch.Tensor) -> torch.Tensor:
    """Turn pictures (n, 1, 28, 28), each by its own angle; bicubic, what comes from outside is 0.

    The results were made with this; ``gdl_utils.pictures.turned`` has since got another interpolation.
    """
    angle = torch.deg2rad(torch.as_tensor(degrees, dtype=pictures.dtype).expand(len(pictures)))
    cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    matrices = torch.stack([cos, -sin, none, sin, cos, none], 1).view(-1, 2, 3)
    where = nn.functional.affine_grid(matrices, pictures.shape, align_corners=False)
    return nn.functional.grid_sample(pictures, where, mode="bicubic", align_corners=False)


def smaller(pictures: torch.Tensor) -> torch.Tensor:
    return nn.functional.avg_pool2d(pictures, 2)


def poses(pictures: torch.Tensor, how: str, turns: int = 4) -> torch.Tensor:
    """Take pictures (n, 1, 28, 28) to the poses (n, poses, 14, 14) in which a network sees them."""
    if how in ("as they are", "turned anew"):
        return smaller(pictures)
    if how == "turns":
        return smaller(torch.cat([turned(pictures, 360 * k / turns) for k in range(turns)], 1))
    orders = {"aligned": (1,), "aligned, two poses": (2,)}[how]
    angles, _ = frame_averaged(nn.Identity(), orders).frame(pictures)
    back = turned(pictures.repeat_interleave(angles.shape[1], 0), -angles.flatten())
    return smaller(back.view(len(pictures), -1, *pictures.shape[2:]))


@lru_cache(maxsize=1)
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """MNIST's training images (60000, 1, 28, 28), their centres of mass in the middle, and labels."""
    images, labels = mnist()
    images = images.view(-1, 1, 28, 28)
    middle = (torch.arange(28) - 13.5) / 14
    mass = images.sum((1, 2, 3))
    shift = (
        torch.stack([(images.sum(2)[:, 0] * middle).sum(1), (images.sum(3)[:, 0] * middle).sum(1)], 1)
        / mass[:, None]
    )
    maps = torch.cat([torch.eye(2).expand(len(images), 2, 2), shift[:, :, None]], 2)
    where = nn.functional.affine_grid(maps, images.shape, align_corners=False)
    return nn.functional.grid_sample(images, where, mode="bicubic", align_corners=False), labels


@lru_cache(maxsize=1)
def prepared(seed: int) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], torch.Tensor]:
    """Pictures, each turned by its angle, and labels, for each part of the split; and those to train with as they were before."""
    images, labels = digits()
    random = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(images), generator=random)[: sum(SPLIT)]
    angles = 360 * torch.rand(len(rows), generator=random)
    pictures = turned(images[rows], angles)
    return list(zip(pictures.split(SPLIT), labels[rows].split(SPLIT), strict=True)), images[rows[: SPLIT[0]]]


def turned_anew(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The loss of a network that sees each picture turned by a new angle."""
    return cross_entropy(model, smaller(turned(x, 360 * torch.rand(len(x)))), y)


def run(train, arm: str, examples: int, seed: int, steps: int, learning_rate: float) -> dict:
    """Train one network, for so many steps or the least number of epochs above it, and test it."""
    kernel, widths, how, _ = arms()[arm]
    (taught, watched, tested), upright = prepared(seed)
    torch.manual_seed(seed)
    model = Posed(kernel, widths)
    augmented = how == "turned anew"
    x = upright if augmented else poses(taught[0], how)
    history, seconds = train(
        model,
        turned_anew if augmented else cross_entropy,
        (x[:examples], taught[1][:examples]),
        epochs=-(-steps // -(-examples // BATCH)),
        seed=seed,
        learning_rate=learning_rate,
    )
    error = lambda part, how, turns=4: round(1 - accuracy(model, poses(part[0], how, turns), part[1]), 5)
    record = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "loss": rounded(history[-1]),
        "watched": error(watched, how),
        "error": error(tested, how),
    }
    if augmented:
        record["averaged at test"] = error(tested, "turns", LATE)
    return record


def best_rate(records: list[dict], arm: str) -> float:
    """The learning rate with which the arm misreads the fewest of the watched pictures."""
    arm = arm.removesuffix(", longer")
    tried = [r for r in records if {"arm": arm, **TUNING}.items() <= r.items()]
    return min(tried, key=lambda r: r["watched"])["learning_rate"]


def steps(examples: int, times: int = 1) -> int:
    return times * max(STEPS, round(STEPS * math.sqrt(examples / STEPS)))


def error_table(records: list[dict]) -> dict[str, np.ndarray]:
    """Errors of shape (sizes, seeds) for each arm, and, as "…, averaged at test", of those that were averaged late as well."""
    made = {
        (r["arm"], r["examples"], r["seed"]): r
        for r in records
        if r["steps"] == steps(r["examples"], arms()[r["arm"]].steps)
    }
    table = {}
    for arm in arms():
        of_arm = [[made.get((arm, n, seed)) for seed in range(SEEDS)] for n in SIZES]
        if all(all(row) for row in of_arm):
            table[arm] = np.array([[r["error"] for r in row] for row in of_arm])
            if arms()[arm].pictures == "turned anew":
                late = [[r["averaged at test"] for r in row] for row in of_arm]
                table[f"{arm}, averaged at test"] = np.array(late)
    return table


def lines(table: dict[str, np.ndarray], sizes: Sequence[int] | None = None) -> dict[str, tuple[float, float]]:
    """Exponent b and factor c of error = c n^-b for each arm."""
    sizes = range(len(SIZES)) if sizes is None else sizes
    x, fits = np.log([SIZES[i] for i in sizes]), {}
    for arm, errors in table.items():
        slope, level = np.polyfit(x, np.log(errors.mean(1)), 1)
        fits[arm] = -slope, math.exp(level)
    return fits


def rate(fits: dict, arm: str, n: int) -> float:
    """How many times n the plain network needs for the error that the arm has at n."""
    (b, c), (plain_b, plain_c) = fits[arm], fits["plain"]
    return (plain_c / (c * n**-b)) ** (1 / plain_b) / n


def read_off(table: dict[str, np.ndarray], arm: str) -> np.ndarray:
    """The exchange rate of an arm at each size without a line: where the plain network's errors, joined up, come down to the arm's.

    Infinite where that is beyond the sizes.
    """
    plain, error = (np.log(table[name].mean(1)) for name in ("plain", arm))
    return np.exp(np.interp(-error, -plain, np.log(SIZES), right=np.inf)) / SIZES


def bootstrap(table: dict[str, np.ndarray], draws: int = DRAWS, seed: int = 0) -> list[dict]:
    """Lines for so many draws of sizes, and of seeds at each of them, the same for all arms."""
    random, found = np.random.default_rng(seed), []
    while len(found) < draws:
        sizes = random.integers(0, len(SIZES), len(SIZES))
        if len(set(sizes)) >= 3:
            chosen = random.integers(0, SEEDS, (len(SIZES), SEEDS))
            found.append(lines({arm: errors[sizes[:, None], chosen] for arm, errors in table.items()}, sizes))
    return found


def read_off_anew(table: dict[str, np.ndarray], arm: str, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """``read_off`` for so many draws of seeds at each size: (draws, sizes)."""
    random, every = np.random.default_rng(seed), np.arange(len(SIZES))[:, None]
    drawn = (random.integers(0, SEEDS, (len(SIZES), SEEDS)) for _ in range(draws))
    return np.array(
        [read_off({name: table[name][every, chosen] for name in ("plain", arm)}, arm) for chosen in drawn]
    )


def interval(values: list[float]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def analyse(records: list[dict]) -> None:
    """Print the answers to the protocol's questions."""
    table = error_table(records)
    fits, drawn = lines(table), bootstrap(table)
    for arm, errors in table.items():
        low, high = interval([f[arm][0] for f in drawn])
        off = np.abs(np.log(errors.mean(1) / (fits[arm][1] * np.array(SIZES) ** -fits[arm][0]))).max()
        print(
            f"{arm:34} error {errors.mean(1).round(4)}; b {fits[arm][0]:.3f} ({low:.3f} to {high:.3f}), off its line by {math.expm1(off):.0%}"
        )
        for n in AT:
            low, high = interval([rate(f, arm, n) for f in drawn])
            beyond = " (beyond 6,400)" if n * rate(fits, arm, n) > SIZES[-1] else ""
            print(f"    at {n:5}: rate {rate(fits, arm, n):.2f} ({low:.2f} to {high:.2f}){beyond}")
    for one, other in (
        ("p4", "averaged"),
        ("p4", "augmented"),
        ("p4", "augmented, averaged at test"),
        ("p4", "augmented, longer"),
        ("C8", "augmented, longer"),
    ):
        for n in AT:
            low, high = interval([rate(f, one, n) / rate(f, other, n) for f in drawn])
            print(
                f"{one} ÷ {other} at {n}: {rate(fits, one, n) / rate(fits, other, n):.2f} ({low:.2f} to {high:.2f})"
            )
    for arm in table:
        low, high = interval([f[arm][0] - f["plain"][0] for f in drawn])
        print(f"b of {arm} - b of plain: {fits[arm][0] - fits['plain'][0]:+.3f} ({low:+.3f} to {high:+.3f})")


def main() -> None:
    parser = arguments(__doc__, Path(__file__).with_suffix(".json"))
    parser.add_argument("--arms", nargs="+", choices=list(arms()), default=list(arms()))
    parser.add_argument("--analyse", action="store_true", help="only print what the estimator gives")
    args = parser.parse_args()
    settings = {"split": list(SPLIT), "batch_size": BATCH, "rates": list(RATES), "tuning": TUNING}
    settings |= {"sizes": list(SIZES), "seeds": SEEDS, "turns at test": LATE}
    results = Results(args.out, settings)
    if args.analyse:
        return analyse(results.records)
    call = partial(run_all, results, run=run, how=args, batch_size=BATCH)
    values = lambda arm, n, seed, rate, times=1: {
        "arm": arm, "examples": n, "seed": seed, "steps": steps(n, times * arms()[arm].steps), "learning_rate": rate,
    }  # fmt: skip
    to_tune = [arm for arm in args.arms if not arm.endswith(", longer")]
    done = call([values(arm, *TUNING.values(), rate) for arm, rate in product(to_tune, RATES)])
    done = done and call(
        [
            values(arm, n, seed, best_rate(results.records, arm))
            for seed, n, arm in product(range(SEEDS), SIZES, args.arms)
        ]
    )
    done = done and call(
        [
            values(arm, n, PLATEAU["seed"], best_rate(results.records, arm), 2)
            for n, arm in product(PLATEAU["examples"], PLATEAU["arms"])
            if arm in args.arms
        ]
    )
    print("all done" if done else "call again to go on")


if __name__ == "__main__":
    main()
