"""The group follows the voxels: which symmetry helps where voxels are cubes, and where they are three times as deep as wide?

Four sets of drawn volumes of 16 × 16 × 16 voxels, each with two classes: two spots that are near or far ("spots, cubic", on voxels of
1 mm, and "spots, squeezed", on voxels of 3 × 1 × 1 mm); a nodule or a piece of a vessel ("nodules"); a left-handed or a right-handed
screw ("screws"). The right group is O, the 24 turns of a cube, and for squeezed voxels D4h, the 16 symmetries of a prism.

All arms have as many parameters, up to 5 %, and take as many steps: a CNN; "augmented", the same, that sees each volume moved by a
random element of the right group; "averaged", the same, averaged over the right group, in training and in the test; group convolutions
for D4h, O and Oh, the group of a cube's turns and mirror images; and for nodules and screws "wrong group", O's convolutions where it
moves the kernel's points after these have changed places at random, so that no element but e is a symmetry of the cube. All take the
maximum over the group and then the mean over space, "O, mean" the mean over both. Oh makes a screw and its mirror image one: it cannot
but guess; "Oh, sign" has a score that a mirror image turns to its negative.

Networks learn from 800 volumes, of nodules from 100 too, and of screws from 24 alone. Each arm has the learning rate of three with
which, for each set of drawn volumes and with another seed, it ranks 400 watched volumes best after learning from the most; "averaged",
which takes the longest, has that of "augmented", and three seeds where the others have five. All are tested on 2,000 others: "accuracy",
and "AUC", the share of pairs of one volume of each class that are ranked rightly. "losses" are the mean losses of training at each
tenth of the epochs: where the last ones differ little, training has come to its end. "averaged at test" is the augmented CNN, averaged
over the right group in the test alone. "exactness" is the largest relative error of invariance under the right group, in float64.

``ceiling`` says how well a function at best tells the spots apart that O leaves alone.

    python experiments/volumes.py
    python experiments/volumes.py --data screws --arms CNN augmented --steps 3000
"""

from collections.abc import Callable
from functools import lru_cache, partial
from itertools import pairwise, permutations, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from arms import exactness, scrambled, with_turns
from runner import Results, arguments, rounded, run_all
from sklearn.metrics import roc_auc_score
from torch import nn

from gdl_utils.blueprint import Blueprint
from gdl_utils.data import nodules_and_vessels, screws, two_spots
from gdl_utils.domains import Domain, cubic_grid
from gdl_utils.groups import Group, octahedral, prismatic
from gdl_utils.layers import GlobalPool, GroupBatchNorm, GroupConv, GroupPool, LiftingConv, averaged, spatial
from gdl_utils.representations import sign
from gdl_utils.signals import SignalSpace
from gdl_utils.training import cross_entropy

SIDE = 16
SQUEEZED = (3, 1, 1)  # mm
DATA = {
    "spots, cubic": two_spots,
    "spots, squeezed": partial(two_spots, spacing=SQUEEZED),
    "nodules": nodules_and_vessels,
    "screws": screws,
}
SPLIT = (800, 400, 2_000)  # to train, to watch, to test
EXAMPLES = {"nodules": (100, 800), "screws": (24,)}  # to train with, where not all
RATES = (0.003, 0.01, 0.03)
TUNING_SEED = 100  # with which each arm chooses its rate
SEEDS = {"averaged": 3}  # that takes 24 times as long as the CNN; the others have five
STEPS, BATCH = 750, 16


def ceiling(spacing: tuple[float, float, float] = SQUEEZED, n: int = 200_000, seed: int = 0) -> dict:
    """How well, at best, does a function that O leaves alone tell two spots 4 to 6 mm apart from two that are 7 to 9 mm apart?

    It knows the vector from one spot to the other in voxels, but not which turn of the cube, of 24, has come before. So it sees each
    class's density as it is on average over these, and does best by its ratio. The density is uniform in length and in direction, and
    signs do not count, so that six orders of the axes are enough. Accuracy and AUC are means over n draws of each class.

    This bounds every function of a volume that O leaves alone if the rest of the volume does not say which axis is which: a spot has to
    look alike along the three axes of voxels, the point between the spots to be spread alike along them, and so the noise. Then a
    volume is no more than the vector, plus what has the same distribution however the vector was turned.
    """
    random, lengths = np.random.default_rng(seed), np.array(spacing, dtype=float)
    aways = 4 + 3 * np.repeat([0, 1], n) + random.uniform(0, 2, 2 * n)  # mm
    directions = random.standard_normal((2 * n, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    in_voxels = aways[:, None] * directions / lengths
    near = far = 0
    for order in permutations(range(3)):
        away = np.linalg.norm(in_voxels[:, order] * lengths, axis=1)
        near = near + ((away >= 4) & (away < 6)) / away**2  # over a shell the density falls as its area grows
        far = far + ((away >= 7) & (away < 9)) / away**2
    chance = far / (near + far)  # of 7 to 9 mm
    labels = np.repeat([0, 1], n)
    return {
        "accuracy": float(np.maximum(chance, 1 - chance).mean()),
        "AUC": float(roc_auc_score(labels, chance)),
    }


def network(kernel: Domain, widths: tuple[int, ...], lifting: LiftingConv, mean: bool = False) -> Blueprint:
    """Lift to 14 voxels each way; then convolutions of 3 × 3 × 3 without padding, on 6 → 4 → 2."""
    halve = nn.Sequential(nn.AvgPool3d(2), nn.AvgPool3d(2, 1))  # is AvgPool3d(4, 2), and takes less time
    layers = [lifting, *(GroupConv(kernel, i, o, bias=False) for i, o in pairwise(widths))]
    end = GlobalPool(3, group_axis=True) if mean else nn.Sequential(GroupPool(3), GlobalPool(3))
    return Blueprint(
        [nn.Sequential(*part) for part in zip(layers, map(GroupBatchNorm, widths), strict=True)],
        local_pooling=[spatial(halve), *[None] * (len(widths) - 1)],
        invariant_pooling=end,
        head=nn.Linear(widths[-1], 2),
    )


def handed(kernel: Domain, widths: tuple[int, ...]) -> nn.Sequential:
    """As the network, but its last features, and so by how much one class is ahead, change sign under a mirror image."""
    lifted, wide, last = widths
    halve = nn.Sequential(nn.AvgPool3d(2), nn.AvgPool3d(2, 1))
    return nn.Sequential(
        LiftingConv(kernel, 1, lifted, bias=False),
        GroupBatchNorm(lifted),
        nn.ReLU(),
        spatial(halve),
        GroupConv(kernel, lifted, wide, bias=False),
        GroupBatchNorm(wide),
        nn.ReLU(),
        GroupConv(kernel, wide, last, bias=False, fibre_out=sign(kernel.group)),
        nn.Tanh(),  # keeps signs
        GlobalPool(3, group_axis=True),
        nn.Linear(last, 2, bias=False),
    )


class Arm(NamedTuple):
    kernel: Callable[[int], Domain]
    widths: tuple[int, ...]  # channels, chosen for equal parameters
    way: str = "built in"  # or "turns", "average", "sign"
    mean: bool = False


def sizes(data: str) -> tuple[int, ...]:
    """How many volumes networks learn from."""
    return EXAMPLES.get(data, SPLIT[:1])


def right_group(data: str) -> Group:
    return prismatic(4) if data == "spots, squeezed" else octahedral()


def arms(data: str) -> dict[str, Arm]:
    of = lambda group: lambda n: cubic_grid(n, group)
    CNN, D4h, O, Oh = (4, 24, 16), (2, 5, 4), (1, 4, 4), (1, 2, 4)  # noqa: E741
    found = {
        "CNN": Arm(cubic_grid, CNN),
        "augmented": Arm(cubic_grid, CNN, "turns"),
        "averaged": Arm(cubic_grid, CNN, "average"),
    }
    if data.startswith("spots"):
        found["D4h"] = Arm(of(prismatic(4)), D4h)
    found["O"] = Arm(of(octahedral()), O)
    if data == "screws":
        found["O, mean"] = Arm(of(octahedral()), O, mean=True)
    if not data.startswith("spots"):
        found["Oh"] = Arm(of(octahedral(reflections=True)), Oh)
        found["wrong group"] = Arm(lambda n: scrambled(cubic_grid(n, octahedral())), O)
    if data == "screws":
        found["Oh, sign"] = Arm(of(octahedral(reflections=True)), (1, 9, 5), "sign")
    return found


def made(data: str, arm: str) -> nn.Module:
    kernel, widths, way, mean = arms(data)[arm]
    if way == "sign":
        return handed(kernel(3), widths)
    model = network(kernel(3), widths, LiftingConv(kernel(3), 1, widths[0], bias=False), mean)
    return averaged(model, ground(data)) if way == "average" else model


def ground(data: str) -> SignalSpace:
    """Where the volumes live, and how the right group moves them."""
    return SignalSpace(cubic_grid(SIDE, right_group(data)))


@lru_cache(maxsize=1)
def prepared(data: str, seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Volumes and labels: to train, to watch, to test."""
    return [DATA[data](n, SIDE, seed=3 * seed + part) for part, n in enumerate(SPLIT)]


@torch.no_grad()
def scores(model: Callable, x: torch.Tensor) -> torch.Tensor:
    """By how much class 1 is ahead, for each volume."""
    answers = torch.cat([model(some) for some in x.split(50)])
    return answers[:, 1] - answers[:, 0]


def judged(model: Callable, x: torch.Tensor, y: torch.Tensor) -> dict:
    found = scores(model, x)
    right = ((found > 0) == y).double().mean()
    return {"accuracy": round(float(right), 5), "AUC": round(float(roc_auc_score(y, found)), 5)}


def run(train, data: str, arm: str, examples: int, seed: int, steps: int, learning_rate: float) -> dict:
    """Train one network, for so many steps or the least number of epochs above it, and test it."""
    (x, y), watched, tested = prepared(data, seed)
    space, some, way = ground(data), tested[0][:2], arms(data)[arm].way
    torch.manual_seed(seed)
    model = made(data, arm)
    before = exactness(model, some, space)
    epochs = -(-steps // -(-examples // BATCH))
    loss = with_turns(space) if way == "turns" else cross_entropy
    how = {"epochs": epochs, "seed": seed, "learning_rate": learning_rate}
    history, seconds = train(model, loss, (x[:examples], y[:examples]), **how)
    record = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "losses": [rounded(history[k * epochs // 10 - 1]) for k in range(1, 11)],
        "watched": judged(model, *watched),
        **judged(model, *tested),
        "exactness": {"before": rounded(before), "after": rounded(exactness(model, some, space))},
    }
    if way == "turns":
        record["averaged at test"] = judged(averaged(model, space), *tested)
    return record


def best_rate(records: list[dict], data: str, arm: str, steps: int) -> float:
    """The learning rate with which the arm ranks the watched volumes best after so many steps; of equals the smallest."""
    tuning = {
        "data": data,
        "arm": "augmented" if arm == "averaged" else arm,
        "seed": TUNING_SEED,
        "steps": steps,
    }
    tried = [r for r in records if tuning.items() <= r.items()]
    return max(tried, key=lambda r: (r["watched"]["AUC"], -r["learning_rate"]))["learning_rate"]


def main() -> None:
    parser = arguments(__doc__, Path(__file__).with_suffix(".json"))
    every = list(dict.fromkeys(arm for data in DATA for arm in arms(data)))
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA))
    parser.add_argument("--arms", nargs="+", choices=every, default=every, help="where a set has them")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    settings = {"side": SIDE, "squeezed": list(SQUEEZED), "split": list(SPLIT), "batch_size": BATCH}
    results = Results(args.out, settings | {"rates": list(RATES), "tuning seed": TUNING_SEED})
    call = partial(run_all, results, run=run, how=args, batch_size=BATCH)
    values = lambda data, arm, n, seed, rate: {
        "data": data, "arm": arm, "examples": n, "seed": seed, "steps": args.steps, "learning_rate": rate,
    }  # fmt: skip
    done = True
    for data in args.data:
        some = [arm for arm in arms(data) if arm in args.arms]
        done = done and call(
            [
                values(data, arm, sizes(data)[-1], TUNING_SEED, rate)
                for arm, rate in product(arms(data), RATES)
                if arm != "averaged" and (arm in some or (arm == "augmented" and "averaged" in some))
            ]
        )
        done = done and call(
            [
                values(data, arm, n, seed, best_rate(results.records, data, arm, args.steps))
                for seed, n, arm in product(range(args.seeds), sizes(data), some)
                if seed < SEEDS.get(arm, args.seeds)
            ]
        )
    print("all done" if done else "call again to go on")


if __name__ == "__main__":
    main()
