"""What is each part of the blueprint worth? Upright digits to learn from; upright and turned ones to read.

The network for quarter-turns, the same with one part taken away, and its rivals: plain convolutions, plain ones that are shown turned
digits, plain ones averaged over the turns in training and test, and a twin whose group is no turn of the square. Rivals have as many
parameters, up to 6 %, and all have as many steps. Each arm's learning rate is the best of three on digits that no other run sees.

    python experiments/four_parts.py

Kill it when you like: called again it skips what is done and goes on with the rest, and loses at most one epoch.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import torch
from arms import exactness, wrong_group
from runner import Results, arguments, rounded, run_all
from torch import nn

from gdl_utils.blueprint import Blueprint
from gdl_utils.data import digits
from gdl_utils.domains import Domain, square_grid
from gdl_utils.groups import cyclic
from gdl_utils.layers import GlobalPool, GroupBatchNorm, GroupConv, LiftingConv, averaged, spatial
from gdl_utils.signals import SignalSpace
from gdl_utils.training import accuracy, cross_entropy

TRAIN, TEST, VALIDATION = 400, 500, 300
RATES = (0.01, 0.03, 0.1)
SPACE = SignalSpace(square_grid(8, cyclic(4)))


def network(
    kernel: Domain, width: int, *, bend: bool = True, pool: bool = True, flat: bool = False
) -> Blueprint:
    """Three layers, each normalised; local pooling by two after the first; an average over all, or a dense layer on places."""
    layers = [LiftingConv(kernel, 1, width, padding=1)]
    layers += [GroupConv(kernel, width, width, padding=1) for _ in range(2)]
    places = (16 if pool else 64) * len(kernel.group)
    return Blueprint(
        [nn.Sequential(layer, GroupBatchNorm(width)) for layer in layers],
        nonlinearity=nn.ReLU if bend else nn.Identity,
        local_pooling=[spatial(nn.AvgPool2d(2)) if pool else None, None, None],
        invariant_pooling=nn.Flatten() if flat else GlobalPool(2, group_axis=True),
        head=nn.Linear(width * places if flat else width, 10),
    )


def arms() -> dict:
    """What makes each network, and the loss by which it learns."""
    turning, plain = square_grid(3, cyclic(4)), square_grid(3)
    return {
        "all four parts": (lambda: network(turning, 6), cross_entropy),
        "no nonlinearity": (lambda: network(turning, 6, bend=False), cross_entropy),
        "no local pooling": (lambda: network(turning, 6, pool=False), cross_entropy),
        "flattened": (lambda: network(turning, 6, flat=True), cross_entropy),
        "plain": (lambda: network(plain, 12), cross_entropy),
        "plain, shown turns": (lambda: network(plain, 12), turned_cross_entropy),
        "plain, averaged": (lambda: averaged(network(plain, 12), SPACE), cross_entropy),
        "wrong group": (lambda: network(wrong_group(), 6), cross_entropy),
    }


def turned_cross_entropy(model: nn.Module, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """The loss on digits that are turned anew each time, each by a multiple of 90°."""
    turns = torch.randint(4, (len(x),)).tolist()
    turned = torch.stack([image.rot90(k, (1, 2)) for image, k in zip(x, turns, strict=True)])
    return cross_entropy(model, turned, label)


@lru_cache(maxsize=2)
def prepared(seed: int | None) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Training digits and what they are judged on; without a seed those for choosing rates, which no other run is judged on."""
    images, labels = digits(torch.float32)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(12345))
    judged, rest = order[:VALIDATION], order[VALIDATION:]
    random = torch.Generator().manual_seed(len(images) if seed is None else seed)
    draw = rest[torch.randperm(len(rest), generator=random)]
    train, test = draw[:TRAIN], judged if seed is None else draw[TRAIN:][:TEST]
    turns = torch.randint(1, 4, (len(test),), generator=random).tolist()
    turned = torch.stack([images[i].rot90(k, (1, 2)) for i, k in zip(test, turns, strict=True)])
    return {
        "train": (images[train], labels[train]),
        "upright": (images[test], labels[test]),
        "turned": (turned, labels[test]),
    }


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
        "read": {test: round(accuracy(model, *sets[test]), 5) for test in ("upright", "turned")},
        "exactness": rounded(exactness(model, sets["upright"][0][:8], SPACE)),
    }


def best_rates(records: list[dict], judge: Callable[[str], str]) -> dict[str, float]:
    """Of each arm the rate that read most of the digits for choosing rates, in the test that ``judge`` names; of equals, the lower loss."""
    tried = [record for record in records if record["seed"] is None]
    good = lambda record: (record["read"][judge(record["arm"])], -record["loss"])
    return {
        arm: max((r for r in tried if r["arm"] == arm), key=good)["rate"]
        for arm in dict.fromkeys(r["arm"] for r in tried)
    }


def main() -> None:
    parser = arguments(__doc__, Path(__file__).with_suffix(".json"))
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=50)
    args = parser.parse_args()
    options = {"batch_size": args.batch_size}
    settings = {"train": TRAIN, "test": TEST, "validation": VALIDATION, "epochs": args.epochs} | options
    results = Results(args.out, settings)
    go = partial(run_all, results, run=partial(run, epochs=args.epochs), how=args, **options)
    go([{"arm": arm, "seed": None, "rate": rate} for arm in arms() for rate in RATES])
    if len(results.records) < len(arms()) * len(RATES):
        return
    rates = best_rates(results.records, lambda arm: "upright")
    go([{"arm": a, "seed": s, "rate": rates[a]} for s in range(args.seeds) for a in arms()])


if __name__ == "__main__":
    main()
