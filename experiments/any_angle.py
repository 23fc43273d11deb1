"""Turned by any angle: which network reads rotated digits best, and what does each do when a digit is turned round the circle?

Seven networks with as many parameters, up to 5 %, and as many steps: a CNN; the same averaged over quarter-turns, in training and in the
test; group convolutions for C₄ on pixels (p4); for C₄, C₈ and C₁₆ with filters that are waves on rings; and "E(2)-CNN", in which Weiler and
Cesa (2019), "General E(2)-equivariant steerable CNNs", compare groups, with C₁₆: six convolutions with kernels of 7, 5, 5, 5, 5 and 5
pixels, batch normalisation, ELU, the maximum over 2 × 2 pixels after the second and the fourth, over the group and over space at the
end, and a dense layer before the last. It was rebuilt with the layers of this package after the authors' code (on GitHub
QUVA-Lab/e2cnn_experiments), with about an eighth of their 16, 24, 32, 32, 48 and 64 channels, so that it is no larger than the others.

Training, watched and test images come out of MNIST's 60,000 training images, and training is short: no error here can be compared with
a published one. As in the published rotated MNIST each image has one angle, and whenever it is seen it is seen under this one.
Networks learn from 1,000 or from 10,000 images; 2,000 more are watched (10,000 and 2,000 are the 12,000 of rotated MNIST), and all are
tested on 10,000 others. Each arm has the learning rate of four with which, after 1,000 images and with another seed, it misreads the
fewest of the watched ones. A curve has the error on the first 1,000 of these after each epoch. 500 digits of the test set, upright, are
turned round the circle in steps of 11.25°: how many are misread, and how far the scores move from those at 0°, relative to their size.
Seconds are those of one core for training alone, without what an interruption threw away.

    python experiments/any_angle.py
    python experiments/any_angle.py --long C8 --widths 6,10,24,48 --epochs 45
    python experiments/any_angle.py --long p4 --widths 8,16,24,48 --epochs 50 --all-images
    python experiments/any_angle.py --long p4 --widths 10,20,32,96 --epochs 28 --all-images

A long run is of one wider network on 12,000 images, or on all 48,000 that neither the test nor its curve takes, and has a file of its
own. Whenever one of them is seen, it is turned anew by a random angle, made up to a tenth larger or smaller in height and in width, and
moved by up to a pixel.
Its curve is of 2,000 images that belong to no other set; its seconds are those of all cores. "averaged at test" is its error when its
scores are averaged over an image turned by 0, 22.5, 45 and 67.5°: of one that respects quarter-turns, over 16 turns.
"""

import time
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import accumulate, pairwise, product
from pathlib import Path
from typing import NamedTuple

import torch
from arms import exactness
from rotated_digits import dataset, grid
from runner import Results, arguments, rounded, run_all
from torch import nn

from gdl_utils.blueprint import Blueprint
from gdl_utils.data import rotate
from gdl_utils.domains import Disk, Domain, disk, square_grid
from gdl_utils.groups import cyclic
from gdl_utils.layers import GlobalPool, GroupBatchNorm, GroupConv, GroupPool, LiftingConv, averaged, spatial
from gdl_utils.training import accuracy, cross_entropy

RATES = (0.001, 0.003, 0.01, 0.03)
TUNING = {"examples": 1_000, "seed": 100}  # with which each arm chooses its rate
SPLIT = (10_000, 2_000, 10_000, 2_000)  # to train, to watch, to test, and for the curve of the long run
STEPS = {1_000: 400, 10_000: 1_200}  # by the number of images to train with
BATCH, CURVE, CIRCLE = 50, 1_000, 500  # images in a batch, on a curve's point, turned round the circle
ANGLES = [11.25 * k for k in range(32)]
# With the quarter-turns that a network respects these make the 16 turns of an average in the test.
BETWEEN = [0.0, 22.5, 45.0, 67.5]
QUARTERS = grid("mnist", cyclic(4))


def network(kernel: Callable[[int], Domain | Disk], widths: tuple[int, ...]) -> Blueprint:
    """Convolutions of 5 × 5, the first two pooled and the last without padding: 28 → 14 → 7 → … → 3 pixels."""
    of_five = kernel(5)
    layers = [LiftingConv(of_five, 1, widths[0], padding=2, bias=False)]
    layers += [GroupConv(of_five, i, o, padding=2, bias=False) for i, o in pairwise(widths[:-1])]
    layers += [GroupConv(of_five, *widths[-2:], bias=False)]
    # Windows of 4 × 4 that overlap: with 2 × 2 the features of an untrained C₈ move half as far again under a turn by 45°.
    halve = lambda: spatial(nn.AvgPool2d(4, 2, padding=1))
    return Blueprint(
        [nn.Sequential(*part) for part in zip(layers, map(GroupBatchNorm, widths), strict=True)],
        local_pooling=[halve(), halve(), *[None] * (len(widths) - 2)],
        invariant_pooling=nn.Sequential(GroupPool(), GlobalPool(2)),
        head=nn.Linear(widths[-1], 10),
    )


def weiler_cesa(kernel: Callable[[int], Domain | Disk], widths: tuple[int, ...]) -> Blueprint:
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
    kernel: Callable[[int], Domain | Disk]
    widths: tuple[int, ...]  # channels, chosen for equal parameters
    make: Callable = network
    average: bool = False

    def model(self, widths: tuple[int, ...] | None = None) -> nn.Module:
        """The network, or a wider one."""
        made = self.make(self.kernel, widths or self.widths)
        return averaged(made, QUARTERS) if self.average else made


def arms() -> dict[str, Arm]:
    pixels = lambda order: lambda n: square_grid(n, cyclic(order))
    waves = lambda order: lambda n: disk(n, cyclic(order))
    return {
        "CNN": Arm(pixels(1), (12, 20, 20, 24)),
        "averaged CNN": Arm(pixels(1), (12, 20, 20, 24), average=True),
        "p4": Arm(pixels(4), (6, 10, 10, 12)),
        "C4, waves": Arm(waves(4), (8, 12, 13, 17)),
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


def moved_anew(images: torch.Tensor) -> torch.Tensor:
    """Images under an affine map each, drawn anew: any angle, a tenth in height and in width, a pixel in either direction."""
    n, pixel = len(images), 2 / images.shape[-1]
    angle, between = 2 * torch.pi * torch.rand(n), lambda *shape: 2 * torch.rand(n, *shape) - 1
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(n, 2, 2)
    matrix = torch.diag_embed(1 + 0.1 * between(2)) @ turn
    maps = torch.cat([matrix, pixel * between(2, 1)], 2)
    where = nn.functional.affine_grid(maps, images.shape, align_corners=False)
    return nn.functional.grid_sample(images, where, mode="bicubic", align_corners=False)


def run_long(train, arm: str, widths: str, images: int, seed: int, epochs: int, learning_rate: float) -> dict:
    """One wider network, on the training and the watched images and those in no part of the split, turned anew."""
    taught, watched, tested, others = prepared(seed)[0]
    digits, labels = dataset("mnist")
    rest = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))[sum(SPLIT) :]
    joined = zip(taught, watched, (digits[rest], labels[rest]), strict=True)
    sets = [tuple(torch.cat(part)[:images] for part in joined), others, tested]
    torch.manual_seed(seed)

    def loss(model, x, y):
        return nn.functional.cross_entropy(model(moved_anew(x)), y, label_smoothing=0.05)

    how = {"epochs": epochs, "learning_rate": learning_rate}
    model = arms()[arm].model(tuple(map(int, widths.split(","))))
    record = trained_and_tested(train, model, seed, sets, others, loss, **how)
    late = lambda x: torch.stack([model(rotate(x, angle, order=3)) for angle in BETWEEN]).mean(0)
    return record | {"averaged at test": round(1 - accuracy(late, *tested), 5)}


def best_rate(records: list[dict], arm: str) -> float:
    """The learning rate with which the arm misreads the fewest of the watched images."""
    tried = [r for r in records if {"arm": arm, **TUNING}.items() <= r.items()]
    return min(tried, key=lambda r: r["watched"])["learning_rate"]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--arms", nargs="+", choices=list(arms()), default=list(arms()))
    parser.add_argument("--examples", nargs="+", type=int, choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--long", metavar="ARM", choices=list(arms()), help="only the long run of this arm")
    parser.add_argument("--widths", default="6,10,24,48", help="of the long run's convolutions")
    parser.add_argument("--all-images", action="store_true", help="48,000 in the long run, not 12,000")
    parser.add_argument("--epochs", type=int, default=50, help="in the long run")
    parser.add_argument("--rate", type=float, default=0.01, help="in the long run")
    args = parser.parse_args()
    settings = {"split": list(SPLIT), "batch_size": BATCH, "rates": list(RATES), "tuning": TUNING}
    settings |= {"circle": CIRCLE, "angles": ANGLES}
    out = args.out or Path(__file__).with_name(f"any_angle{'_long' * bool(args.long)}.json")
    results = Results(out, settings)
    call = partial(run_all, results, how=args, batch_size=BATCH)
    if args.long:
        images = 48_000 if args.all_images else sum(SPLIT[:2])
        one = {"arm": args.long, "widths": args.widths, "images": images, "seed": 0}
        one |= {"epochs": args.epochs, "learning_rate": args.rate}
        done = call([one], run=run_long)
    else:
        values = lambda arm, n, seed, rate: {
            "arm": arm, "examples": n, "seed": seed, "steps": STEPS[n], "learning_rate": rate,
        }  # fmt: skip
        done = call([values(arm, *TUNING.values(), rate) for arm, rate in product(args.arms, RATES)], run=run)
        done = done and call(
            [
                values(arm, n, seed, best_rate(results.records, arm))
                for n, seed, arm in product(args.examples, range(args.seeds), args.arms)
            ],
            run=run,
        )
    print("all done" if done else "call again to go on")


if __name__ == "__main__":
    main()
