"""Which network reads rotated digits best after the same time? 12,000 rotated digits of MNIST, three networks.

A CNN, the same averaged over quarter-turns in training and in the test, and a p4 network, with as many parameters. Each is trained on
10,000 images, with each image turned by a new random angle whenever it is seen, and watched on 2,000 more; at the end all are tested
on 10,000 others. Each has its own number of epochs, so that all take as long, and so a schedule of its own: the learning rate falls to
zero when the time is over, from the best of three, which each arm chooses with another split. The split and the angles are made here,
out of MNIST's 60,000 training images: this is not the published test set of rotated MNIST, and errors cannot be compared with those
on it. Seconds are those of one core, without what an interruption threw away.

    python experiments/error_against_time.py
"""

import math
import time
from functools import partial
from itertools import accumulate, pairwise, product
from pathlib import Path

import torch
from arms import exactness
from rotated_digits import dataset, grid
from runner import Results, arguments, rounded, run_all
from torch import nn

from gdl_utils.blueprint import Blueprint
from gdl_utils.data import rotate
from gdl_utils.domains import square_grid
from gdl_utils.groups import cyclic
from gdl_utils.layers import GlobalPool, GroupBatchNorm, GroupConv, GroupPool, LiftingConv, averaged, spatial
from gdl_utils.training import accuracy

RATES = (0.003, 0.01, 0.03)
TUNING = 100  # the seed with which each arm chooses its rate, by the images that are watched
SPLIT = (10_000, 2_000, 10_000)
ARMS = {  # order of the group, channels, whether to average
    "p4": (4, (16, 16, 24, 24, 32), False),
    "CNN": (1, (32, 32, 48, 48, 64), False),
    "averaged CNN": (1, (32, 32, 48, 48, 64), True),
}
# That take as long, about two minutes; the results hold the seconds.
EPOCHS = {"p4": 3, "CNN": 7, "averaged CNN": 2}


def network(order: int, widths: tuple[int, ...]) -> Blueprint:
    """Five convolutions, pooled by two after the first and the third: 28 → 24 → 12 → 6 pixels, all sizes that fit."""
    first, then = square_grid(5, cyclic(order)), square_grid(3, cyclic(order))
    layers = [LiftingConv(first, 1, widths[0], bias=False)]
    layers += [GroupConv(then, i, o, padding=1, bias=False) for i, o in pairwise(widths)]
    halve = lambda: spatial(nn.AvgPool2d(2))
    return Blueprint(
        [nn.Sequential(layer, GroupBatchNorm(o)) for layer, o in zip(layers, widths, strict=True)],
        local_pooling=[halve(), None, halve(), None, None],
        invariant_pooling=nn.Sequential(GroupPool(), GlobalPool(2)),
        head=nn.Linear(widths[-1], 10),
    )


def turned_anew(x: torch.Tensor) -> torch.Tensor:
    """Each image turned by a random angle; bilinear, what comes from outside is 0."""
    angle = 2 * math.pi * torch.rand(len(x))
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros(len(x))
    matrices = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
    return nn.functional.grid_sample(
        x, nn.functional.affine_grid(matrices, x.shape, align_corners=False), align_corners=False
    )


def split(seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Images, each turned by one angle, and labels: to train, to watch, to test."""
    images, labels = dataset("mnist")
    random = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(images), generator=random)[: sum(SPLIT)]
    angles = 360 * torch.rand(len(images), generator=random)
    turned = torch.stack([rotate(images[i], float(angles[i]), order=3) for i in rows])
    return list(zip(turned.split(SPLIT), labels[rows].split(SPLIT), strict=True))


def run(train, arm: str, seed: int, epochs: int, learning_rate: float) -> dict:
    """Train one network, note its error on the way, and test it."""
    (x, y), watched, tested = split(seed)
    order, widths, average = ARMS[arm]
    torch.manual_seed(seed)
    model, space = network(order, widths), grid("mnist", cyclic(4))
    model = averaged(model, space) if average else model
    before, clock = exactness(model, tested[0][:8], space), time.process_time()

    def loss(model, x, y):
        return nn.functional.cross_entropy(model(turned_anew(x)), y, label_smoothing=0.05)

    def note(model, loss):
        nonlocal clock
        since, clock = clock, time.process_time()
        return [loss, clock - since, 1 - accuracy(model, *watched)]

    history, seconds = train(
        model, loss, (x, y), epochs=epochs, seed=seed, learning_rate=learning_rate, each_epoch=note
    )
    losses, took, errors = zip(*history, strict=True)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "loss": rounded(losses[-1]),
        "seconds and error, watched": [
            [round(seconds), round(error, 5)] for seconds, error in zip(accumulate(took), errors, strict=True)
        ],
        "error": round(1 - accuracy(model, *tested), 5),
        "exactness": {
            "before": rounded(before),
            "after": rounded(exactness(model, tested[0][:8], space)),
        },
    }


def best_rate(records: list[dict], arm: str) -> float:
    """The learning rate with which the arm misreads the fewest of the watched images in the end."""
    tried = [r for r in records if r["arm"] == arm and r["seed"] == TUNING]
    return min(tried, key=lambda r: r["seconds and error, watched"][-1][1])["learning_rate"]


def main() -> None:
    parser = arguments(__doc__, Path(__file__).with_suffix(".json"))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--times", type=int, default=1, help="so many times as long")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    results = Results(args.out, {"split": list(SPLIT), "batch_size": 50, "rates": list(RATES)})
    call = partial(run_all, results, run=run, how=args, batch_size=50)
    values = lambda arm, seed, rate: {
        "arm": arm,
        "seed": seed,
        "epochs": args.times * EPOCHS[arm],
        "learning_rate": rate,
    }
    done = call([values(arm, TUNING, rate) for arm, rate in product(args.arms, RATES)]) and call(
        [
            values(arm, seed, best_rate(results.records, arm))
            for seed, arm in product(range(args.seeds), args.arms)
        ]
    )
    print("all done" if done else "call again to go on")


if __name__ == "__main__":
    main()
