"""Turned by any angle: which network reads rotated digits best, and what does each do when a digit is turned round the circle?

Six networks with as many parameters, up to 5 %, and as many steps: a CNN; the same averaged over quarter-turns, in training and in the
test; group convolutions for C₄ on pixels (p4); for C₈ and for C₁₆, whose filters are waves on rings; and the network that Weiler and
Cesa (2019), "General E(2)-equivariant steerable CNNs", compare their symmetries in, with C₁₆: six convolutions with kernels of 7, 5, 5,
5, 5 and 5 pixels, batch normalisation, ELU, maxima over 2 × 2 pixels after the second and the fourth, over the group and over space
at the end, and a dense layer before the last. It was rebuilt after the authors' code (QUVA-Lab/e2cnn_experiments on GitHub) from this
package's layers. Its widths, 16, 24, 32, 32, 48 and 64, are made an eighth or so, that it has no more parameters than the others; so its
error here is not the paper's. Nor is the split: training, watched and test images come out of MNIST's 60,000 training images.

As in the published rotated MNIST, each image has one angle, and is seen under this one whenever it is seen. Networks learn from 1,000 or
from 10,000 images; 2,000 more are watched (with the 10,000 they make the 12,000 of rotated MNIST), and all are tested on 10,000
others. For each size, each arm has the learning rate of three that misreads the fewest of the watched images, with another seed. 500
digits of the test set, upright, are turned round the circle in steps of 11.25°: how many are misread, and how far the scores move from
those at 0°, relative to these. Seconds are those of one core, for training alone, without what an interruption threw away.

    python experiments/any_angle.py
    python experiments/any_angle.py --long C8 --widen 2 --epochs 60   # one run of a wider network on 12,000 images

The long run sees each image turned by a new random angle whenever it is seen. Its curve is of 2,000 images that belong to no other set.
"""

import argparse
import time
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import accumulate, pairwise, product
from pathlib import Path
from typing import NamedTuple

import torch
from error_against_time import turned_anew
from rotated_digits import dataset, exactness, grid
from runner import Results, rounded, run_all
from torch import nn

from gdl_utils.blueprint import Blueprint
from gdl_utils.data import rotate
from gdl_utils.domains import Domain, disk, square_grid
from gdl_utils.groups import cyclic
from gdl_utils.layers import GlobalPool, GroupBatchNorm, GroupConv, GroupPool, LiftingConv, averaged, spatial
from gdl_utils.training import accuracy, cross_entropy

RATES = (0.003, 0.01, 0.03)
TUNING = 100  # the seed with which each arm chooses its rate
SPLIT = (10_000, 2_000, 10_000, 2_000)  # to train, to watch, to test, and for the curve of the long run
STEPS = {1_000: 400, 10_000: 1_200}  # by the number of images to train with
BATCH, CURVE, CIRCLE = 50, 500, 500  # images in a batch, on a curve's point, turned round the circle
ANGLES = [11.25 * k for k in range(32)]
QUARTERS = grid("mnist", cyclic(4))


def network(kernel: Callable[[int], Domain], widths: tuple[int, ...]) -> Blueprint:
    """Convolutions of 5 × 5, the first two pooled by two at once: 28 → 14 → 7 pixels, and then as many as there are widths."""
    of_five = kernel(5)
    layers = [LiftingConv(of_five, 1, widths[0], padding=2, bias=False)]
    layers += [GroupConv(of_five, i, o, padding=2, bias=False) for i, o in pairwise(widths)]
    halve = [spatial(nn.AvgPool2d(2))] * 2 + [nn.Identity()] * (len(widths) - 2)
    parts = zip(layers, halve, map(GroupBatchNorm, widths), strict=True)
    return Blueprint(
        [nn.Sequential(*part) for part in parts],
        invariant_pooling=nn.Sequential(GroupPool(), GlobalPool(2)),
        head=nn.Linear(widths[-1], 10),
    )


def weiler_cesa(kernel: Callable[[int], Domain], widths: tuple[int, ...]) -> Blueprint:
    """Six convolutions, 28 → 24 → 12 → 6 → 2 pixels."""
    layers = [LiftingConv(kernel(7), 1, widths[0], padding=1, bias=False)]
    layers += [GroupConv(kernel(5), i, o, padding=2, bias=False) for i, o in pairwise(widths[:-1])]
    last = GroupConv(kernel(5), *widths[-2:], bias=False)
    halve = lambda: spatial(nn.MaxPool2d(2))
    return Blueprint(
        [nn.Sequential(layer, GroupBatchNorm(layer.out_channels)) for layer in layers]
        + [nn.Sequential(last, GroupPool(), GroupBatchNorm(widths[-1]))],
        nonlinearity=nn.ELU,
        local_pooling=[None, halve(), None, halve(), None, None],
        invariant_pooling=nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()),
        head=nn.Sequential(
            nn.Linear(widths[-1], widths[-1]), nn.BatchNorm1d(widths[-1]), nn.ELU(), nn.Linear(widths[-1], 10)
        ),
    )


class Arm(NamedTuple):
    kernel: Callable[[int], Domain]
    widths: tuple[int, ...]  # channels, chosen for equal parameters
    make: Callable = network
    average: bool = False

    def model(self, widen: float = 1) -> nn.Module:
        """The network, with so many times the channels."""
        made = self.make(self.kernel, tuple(round(widen * width) for width in self.widths))
        return averaged(made, QUARTERS) if self.average else made


def arms() -> dict[str, Arm]:
    pixels = lambda order: lambda n: square_grid(n, cyclic(order))
    waves = lambda order: lambda n: disk(n, cyclic(order))
    return {
        "CNN": Arm(pixels(1), (12, 20, 20, 24)),
        "averaged CNN": Arm(pixels(1), (12, 20, 20, 24), average=True),
        "p4": Arm(pixels(4), (6, 10, 10, 12)),
        "C8": Arm(waves(8), (6, 8, 9, 13)),
        "C16": Arm(waves(16), (4, 6, 6, 10)),
        "E(2)-CNN": Arm(waves(16), (2, 3, 4, 4, 6, 10), weiler_cesa),
    }


@lru_cache(maxsize=1)
def prepared(seed: int) -> tuple[list, torch.Tensor]:
    """Images, each turned by one angle, and labels, for each part of the split; and some test images at each angle of the circle."""
    images, labels = dataset("mnist")
    random = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(images), generator=random)[: sum(SPLIT)]
    angles = 360 * torch.rand(len(images), generator=random)
    turned = torch.stack([rotate(images[i], float(angles[i]), order=3) for i in rows])
    upright = images[rows.split(SPLIT)[2][:CIRCLE]]
    circle = torch.stack([rotate(upright, angle, order=3) for angle in ANGLES])
    return list(zip(turned.split(SPLIT), labels[rows].split(SPLIT), strict=True)), circle


@torch.no_grad()
def round_the_circle(model: nn.Module, circle: torch.Tensor, labels: torch.Tensor) -> dict:
    """For each angle the share that is misread, and the mean change of an image's scores, relative to those at 0°."""
    scores = torch.stack([model(images) for images in circle])
    errors = (scores.argmax(2) != labels).double().mean(1)
    changes = ((scores - scores[0]).norm(dim=2) / scores[0].norm(dim=1)).mean(1)
    return {"error": [round(e, 4) for e in errors.tolist()], "change": [rounded(c) for c in changes.tolist()]}


def trained_and_tested(train, model: nn.Module, seed: int, sets: list, curve: tuple, loss, **options) -> dict:
    """Train a network on the first of three sets, and note its error on the way; judge it by the others."""
    circle, clock = prepared(seed)[1], [time.process_time(), time.perf_counter()]
    (x, y), watched, tested = sets

    def note(model, loss):
        took = [time.process_time() - clock[0], time.perf_counter() - clock[1]]
        error = 1 - accuracy(model, *curve)
        clock[:] = time.process_time(), time.perf_counter()
        return [loss, *took, error]

    before = exactness(model, tested[0][:8], QUARTERS)
    clock[:] = time.process_time(), time.perf_counter()
    history, _ = train(model, loss, (x, y), seed=seed, each_epoch=note, **options)
    losses, seconds, wall, errors = zip(*history, strict=True)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(sum(seconds), 1),
        "seconds by the clock": round(sum(wall), 1),
        "loss": rounded(losses[-1]),
        "curve": [[round(s, 1), round(e, 5)] for s, e in zip(accumulate(seconds), errors, strict=True)],
        "watched": round(1 - accuracy(model, *watched), 5),
        "error": round(1 - accuracy(model, *tested), 5),
        "exactness": {
            "before": rounded(before),
            "after": rounded(exactness(model, tested[0][:8], QUARTERS)),
        },
        "circle": round_the_circle(model, circle, tested[1][:CIRCLE]),
    }


def run(train, arm: str, examples: int, seed: int, steps: int, learning_rate: float) -> dict:
    """One network of the table, for so many steps or the least number of epochs above it."""
    (x, y), watched, tested, _ = prepared(seed)[0]
    torch.manual_seed(seed)
    epochs = -(-steps // -(-examples // BATCH))
    curve = watched[0][:CURVE], watched[1][:CURVE]
    sets = [(x[:examples], y[:examples]), watched, tested]
    how = {"epochs": epochs, "learning_rate": learning_rate}
    return trained_and_tested(train, arms()[arm].model(), seed, sets, curve, cross_entropy, **how)


def run_long(train, arm: str, widen: float, seed: int, epochs: int, learning_rate: float) -> dict:
    """One wider network, on the training and the watched images, turned anew."""
    taught, watched, tested, others = prepared(seed)[0]
    torch.manual_seed(seed)
    sets = [tuple(map(torch.cat, zip(taught, watched, strict=True))), others, tested]
    loss = lambda model, x, y: nn.functional.cross_entropy(model(turned_anew(x)), y, label_smoothing=0.05)
    how = {"epochs": epochs, "learning_rate": learning_rate}
    return trained_and_tested(train, arms()[arm].model(widen), seed, sets, others, loss, **how)


def best_rate(records: list[dict], arm: str, examples: int) -> float:
    """The learning rate with which the arm misreads the fewest of the watched images."""
    wanted = {"arm": arm, "examples": examples, "seed": TUNING}
    return min((r for r in records if wanted.items() <= r.items()), key=lambda r: r["watched"])["learning_rate"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arms", nargs="+", choices=list(arms()), default=list(arms()))
    parser.add_argument("--examples", nargs="+", type=int, choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after this time; a later call goes on"
    )
    parser.add_argument("--long", metavar="ARM", choices=list(arms()), help="only the long run of this arm")
    parser.add_argument("--widen", type=float, default=2, help="in the long run: so many times the channels")
    parser.add_argument("--epochs", type=int, default=60, help="in the long run")
    parser.add_argument("--rate", type=float, default=0.01, help="in the long run")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("any_angle.json"))
    args = parser.parse_args()
    settings = {"split": list(SPLIT), "batch_size": BATCH, "rates": list(RATES), "angles": ANGLES}
    results = Results(args.out, settings)
    call = partial(run_all, results, minutes=args.minutes, batch_size=BATCH)
    if args.long:
        one = {"arm": args.long, "widen": args.widen, "seed": 0, "epochs": args.epochs, "learning_rate": args.rate}
        done = call([one], run=run_long)
    else:
        values = lambda arm, n, seed, rate: {
            "arm": arm, "examples": n, "seed": seed, "steps": STEPS[n], "learning_rate": rate,
        }  # fmt: skip
        done = all(
            call([values(arm, n, TUNING, rate) for arm, rate in product(args.arms, RATES)], run=run)
            and call(
                [
                    values(arm, n, seed, best_rate(results.records, arm, n))
                    for seed, arm in product(range(args.seeds), args.arms)
                ],
                run=run,
            )
            for n in args.examples
        )
    print("all done" if done else "call again to go on")


if __name__ == "__main__":
    main()
