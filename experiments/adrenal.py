"""AdrenalMNIST3D: is there a mass in the adrenal gland? Networks of equal size that respect different groups, beside numbers of its shape.

All arms have as many parameters, up to 5 %, and take as many steps: a CNN; "augmented", the same, that sees each volume moved by a
random one of the 24 turns of a cube; "averaged", the same, averaged over these turns, in training and in the validation; group
convolutions for O (the turns), Oh (with mirror images), D4 (turns and mirror images in the plane of rows and columns) and D4h (these
and the reversal of depth); "wrong group", O's convolutions where it moves the kernel's points after these have changed places at
random, so that no element but e is a symmetry of the cube; and "O, any rotation", O's that see each volume turned anew by a random
rotation, interpolated trilinearly.

Each arm has the learning rate of two, and then, where it has a group, the maximum or the mean over it, with which it ranks a fifth of
the training split best after learning from the other four fifths, with a seed of its own. "averaged" takes the rate of "augmented",
and "O, any rotation" what O has chosen. Then each learns from all of the training split with five seeds, and is judged on the official
validation split: "AUC" is the share of pairs of one case of each class that are ranked rightly, "interval" what 95 % of 1,000 samples
of the cases, drawn with replacement, give. "losses" are the mean losses of training at each tenth of the epochs. "moves" is the root
mean square of the change of a score when a case is turned, relative to the standard deviation between cases, so that it is 1.41 from
one case to any other: by the other 23 turns of the cube (20 cases, in float64), and by 15° or 30° about a random axis; each case has
its own axes, the same for all arms, and a cubic spline makes its values. "scores" are those of the cases with a mass and of those
without. "averaged at test" is the CNN, or the augmented one, averaged over the turns afterwards.

Without a network: "majority" gives all cases the same score; "mean thickness" is how far a voxel of the gland is from the outside, on
average; "ten shape numbers" no turn by 90° changes. A logistic regression of scikit-learn makes scores of them, fitted on the training split;
between the turns of the cube they are those of where a turned case is at least .5.

    python experiments/adrenal.py
    python experiments/adrenal.py --evaluate FILE.npz --split test --arms O "mean thickness"

The second asks the networks of all seeds, with the rates that the first has chosen, for another file of the official form. It reads
the weights from the folder .cache beside the results, or trains them anew where they are missing.
"""

import copy
import os
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import combinations, product
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from arms import scrambled, with_turns
from four_cubes import random_turns
from runner import Results, arguments, keep, rounded, run_all
from scipy.ndimage import distance_transform_edt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from volumes import Arm, network, scores

from gdl_utils.data import adrenal, turn
from gdl_utils.domains import cubic_grid
from gdl_utils.groups import dihedral, octahedral, prismatic
from gdl_utils.layers import LiftingConv, averaged
from gdl_utils.signals import SignalSpace
from gdl_utils.training import cross_entropy, fit

RATES = (0.003, 0.01)
TUNING_SEED = 100  # with which each arm chooses its rate, and then its pooling
CHOSEN_BY = {"averaged": "augmented", "O, any rotation": "O"}  # arms that take the choice of another one
STEPS, BATCH = 2_250, 16
CASES = 20  # that are turned by all of O
ANGLES = (15, 30)
GROUND = SignalSpace(cubic_grid(28, octahedral()))
NUMBERS = (
    *("voxels", "faces", "voxels over faces", "mean distance to the outside", "its standard deviation", "its maximum"),
    *("shortest axis", "middle axis", "longest axis", "Euler number"),
)  # fmt: skip
BASELINES = {"majority": [], "mean thickness": [3], "ten shape numbers": [*range(10)]}


def arms() -> dict[str, Arm]:
    of = lambda group: lambda n: cubic_grid(n, group)
    CNN, O = (4, 32, 20), (1, 4, 7)  # noqa: E741
    return {
        "CNN": Arm(cubic_grid, CNN),
        "augmented": Arm(cubic_grid, CNN, "turns"),
        "averaged": Arm(cubic_grid, CNN, "average"),
        "O": Arm(of(octahedral()), O),
        "Oh": Arm(of(octahedral(reflections=True)), (1, 4, 3)),
        "D4": Arm(of(dihedral(4)), (3, 8, 9)),
        "D4h": Arm(of(prismatic(4)), (2, 6, 6)),
        "wrong group": Arm(lambda n: scrambled(cubic_grid(n, octahedral())), O),
        "O, any rotation": Arm(of(octahedral()), O, "any rotation"),
    }


def made(arm: str, pooling: str) -> nn.Module:
    kernel, widths, way, _ = arms()[arm]
    lifting = LiftingConv(kernel(4), 1, widths[0], stride=2, padding=1, bias=False)  # 28 → 14
    model = network(kernel(3), widths, lifting, pooling == "mean")
    return averaged(model, GROUND) if way == "average" else model


def with_any_rotation(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The loss on volumes that are each turned anew."""
    still = torch.zeros(len(x), 3, 1)
    places = nn.functional.affine_grid(
        torch.cat([random_turns(len(x)), still], 2), x.shape, align_corners=False
    )
    return cross_entropy(model, nn.functional.grid_sample(x, places, align_corners=False), y)


@lru_cache(maxsize=1)
def prepared() -> tuple[tuple, tuple, tuple, tuple]:
    """Volumes and labels: four fifths of the training split, the other fifth, all of it; the validation split."""
    x, y = adrenal("train")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(TUNING_SEED))
    fifth, others = order[: len(x) // 5], order[len(x) // 5 :]
    return (x[others], y[others]), (x[fifth], y[fifth]), (x, y), adrenal("val")


@lru_cache(maxsize=1)
def turned() -> list[torch.Tensor]:
    """The validation cases, each turned about an axis of its own, for each angle."""
    x, random = prepared()[3][0], torch.Generator().manual_seed(0)
    axes = torch.randn(len(ANGLES), len(x), 3, generator=random).tolist()
    return [
        torch.stack([turn(case, angle, axis) for case, axis in zip(x, some, strict=True)])
        for angle, some in zip(ANGLES, axes, strict=True)
    ]


def moves(read: Callable) -> dict[str, float | None]:
    """How far scores move under each kind of turn, relative to how much they differ between cases."""
    x = prepared()[3][0]
    few, upright = x[:CASES].double(), read(x)
    still = read(few)
    changes = {
        "24 turns": torch.stack([read(GROUND.act(g, few)) - still for g in range(1, len(GROUND.group))])
    }
    changes |= {f"{angle}°": read(other) - upright for angle, other in zip(ANGLES, turned(), strict=True)}
    apart = float(upright.double().std())
    # A reader that gives all cases one score has no difference to compare with.
    return {
        kind: rounded(float(change.double().square().mean().sqrt()) / apart) if apart > 0 else None
        for kind, change in changes.items()
    }


def network_moves(model: nn.Module) -> dict[str, float | None]:
    """Of a network in float32, which reads what is in float64 in float64."""
    exact = copy.deepcopy(model).double()
    return moves(lambda x: scores(exact if x.dtype == torch.float64 else model, x))


def judged(found: np.ndarray, y: np.ndarray) -> dict:
    """AUC with its interval over cases, and accuracy, of scores."""
    ahead = found[:, None] - found[y == 0]
    wins = (ahead > 0) + 0.5 * (ahead == 0)  # of each case over those without a mass
    often = np.random.default_rng(0).multinomial(len(y), np.full(len(y), 1 / len(y)), 1_000)
    sick, well = often * (y == 1), often[:, y == 0]  # how often each is in a sample
    pairs = sick.sum(1) * well.sum(1)
    many = ((sick @ wins) * well).sum(1)[pairs > 0] / pairs[pairs > 0]
    return {
        "AUC": round(float(roc_auc_score(y, found)), 4),
        "interval": [round(float(q), 4) for q in np.quantile(many, (0.025, 0.975))],
        "accuracy": round(float(((found > 0) == y).mean()), 4),
        "scores": [[float(f"{score:.5g}") for score in found[y == label]] for label in (1, 0)],
    }


def learn(
    train, arm: str, pooling: str, seed: int, steps: int, learning_rate: float, model: nn.Module
) -> tuple:
    """Train a network, for so many steps or the least number of epochs above it."""
    x, y = prepared()[0 if seed == TUNING_SEED else 2]
    losses = {"turns": with_turns(GROUND), "any rotation": with_any_rotation}
    loss = losses.get(arms()[arm].way, cross_entropy)
    epochs = -(-steps // -(-len(x) // BATCH))
    return train(model, loss, (x, y), epochs=epochs, seed=seed, learning_rate=learning_rate)


def weights(folder: Path, **values) -> Path:
    return folder / f"adrenal_{'_'.join(map(str, values.values()))}_weights.pt".replace(" ", "-")


def run(train, folder: Path, **values) -> dict:
    """Train one network; judge it by the fifth of the training split, or by the validation split and keep its weights."""
    torch.manual_seed(values["seed"])
    model = made(values["arm"], values["pooling"]).eval()
    choosing = values["seed"] == TUNING_SEED
    before = {} if choosing else network_moves(model)
    torch.manual_seed(values["seed"])
    history, seconds = learn(train, **values, model=model)
    record = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "losses": [rounded(history[k * len(history) // 10 - 1]) for k in range(1, 11)],
    }
    if choosing:
        return record | {"watched": auc(model, *prepared()[1])}
    keep(model.state_dict(), weights(folder, **values))
    x, y = prepared()[3]
    record |= judged(scores(model, x).numpy(), y.numpy())
    record |= {"moves": network_moves(model), "moved untrained": before}
    if arms()[values["arm"]].way == "turns" or values["arm"] == "CNN":
        late = averaged(model, GROUND)
        record["averaged at test"] = judged(scores(late, x).numpy(), y.numpy())["AUC"]
    return record


def auc(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    return round(float(roc_auc_score(y, scores(model, x))), 4)


def euler_number(mask: np.ndarray) -> int:
    """Corners less edges plus faces less voxels, of voxels that touch where they share a corner."""
    padded, total = np.pad(mask, 1), 0
    for axes in (axes for k in range(4) for axes in combinations(range(3), k)):
        cells = padded  # a cell is there if one of the voxels about it is
        for axis in axes:
            first, last = (np.take(cells, np.arange(cells.shape[axis] - 1) + k, axis) for k in (0, 1))
            cells = first | last
        total += (-1) ** (len(axes) + 1) * int(cells.sum())
    return total


def shape_numbers(mask: np.ndarray) -> list[float]:
    """Ten numbers, in voxels, that no turn or mirror image of the cube changes."""
    padded = np.pad(mask, 1)
    voxels = int(mask.sum())
    faces = sum(int((np.diff(padded.astype(np.int8), axis=axis) != 0).sum()) for axis in range(3))
    inside = distance_transform_edt(padded)[padded]
    axes = np.linalg.eigvalsh(np.cov(np.argwhere(mask).T)).clip(min=0) ** 0.5
    thick = inside.mean(), inside.std(), inside.max()
    return [voxels, faces, voxels / faces, *thick, *axes, euler_number(mask)]


def numbers_of(arm: str, x: torch.Tensor) -> np.ndarray:
    return np.array([shape_numbers(mask[0].numpy() >= 0.5) for mask in x])[:, BASELINES[arm]]


@lru_cache(maxsize=1)
def regression(arm: str) -> Pipeline:
    """A baseline that has seen the training split."""
    taught, labels = prepared()[2]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
    return model.fit(numbers_of(arm, taught), labels.numpy())


def without_network(arm: str, x: torch.Tensor) -> np.ndarray:
    """The scores of a baseline."""
    if not BASELINES[arm]:
        share = float(prepared()[2][1].double().mean())
        return np.full(len(x), np.log(share / (1 - share)))
    return regression(arm).decision_function(numbers_of(arm, x))


def run_without_network(train, arm: str, seed: int) -> dict:
    x, y = prepared()[3]
    read = lambda x: torch.from_numpy(without_network(arm, x))
    return judged(read(x).numpy(), y.numpy()) | {"moves": moves(read)}


def best(records: list[dict], arm: str) -> dict:
    """Pooling, steps and learning rate with which the arm ranks the held-out fifth best; of equals the smallest rate."""
    arm = CHOSEN_BY.get(arm, arm)
    tried = [r for r in records if r["arm"] == arm and r["seed"] == TUNING_SEED]
    if not tried:
        raise SystemExit(f"--arms: no rate has been chosen for {arm}; run without --evaluate first")
    chosen = max(tried, key=lambda r: (r["watched"], -r["learning_rate"]))
    return {name: chosen[name] for name in ("pooling", "steps", "learning_rate")}


def evaluate(file: Path, split: str, some: list[str], seeds: int, results: Results, folder: Path) -> None:
    """Print how well the networks of each arm, and the mean of their scores, do on a split of another file."""
    with mock.patch.dict(os.environ, GDL_ADRENAL=str(file)):
        x, y = adrenal(split)
    print(f"{len(x)} cases of {split!r} in {file}, {int(y.sum())} with a mass\n")
    for arm in some:
        if arm in BASELINES:
            found = [without_network(arm, x)]
        else:
            found = [scores(ready(results, folder, arm, seed), x).numpy() for seed in range(seeds)]
        each = [judged(f, y.numpy()) for f in found]
        areas, shares = ([e[name] for e in each] for name in ("AUC", "accuracy"))
        mean = judged(np.mean(found, axis=0), y.numpy())
        low, high = mean["interval"]
        print(
            f"{arm}: AUC {np.mean(areas):.3f} ± {np.std(areas):.3f}, accuracy {np.mean(shares):.3f} ± {np.std(shares):.3f}; "
            f"of the mean of {len(each)}: "
            f"AUC {mean['AUC']:.3f} ({low:.3f} to {high:.3f}), accuracy {mean['accuracy']:.3f}",
            flush=True,
        )


def ready(results: Results, folder: Path, arm: str, seed: int) -> nn.Module:
    """A trained network, from its weights if there are any."""
    chosen = best(results.records, arm)
    values = {"arm": arm, "pooling": chosen.pop("pooling"), "seed": seed, **chosen}
    path = weights(folder, **values)
    torch.manual_seed(seed)
    model = made(arm, values["pooling"]).eval()
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
    else:
        torch.manual_seed(seed)
        learn(partial(fit, batch_size=BATCH), **values, model=model)
        folder.mkdir(exist_ok=True)
        torch.save(model.state_dict(), path)
    return model


def main() -> None:
    parser = arguments(__doc__, Path(__file__).with_suffix(".json"))
    every = [*BASELINES, *arms()]
    parser.add_argument("--arms", "--arm", nargs="+", choices=every, default=every)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--evaluate", type=Path, metavar="FILE.npz", help="another file of the official form")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="of that file")
    args = parser.parse_args()
    settings = {"rates": list(RATES), "tuning seed": TUNING_SEED, "batch_size": BATCH, "numbers": list(NUMBERS)}  # fmt: skip
    results, folder = Results(args.out, settings), args.out.parent / ".cache"
    if args.evaluate:
        evaluate(args.evaluate, args.split, args.arms, args.seeds, results, folder)
        return
    call = partial(run_all, results, how=args, batch_size=BATCH)
    networks = partial(call, run=partial(run, folder=folder))
    values = lambda arm, pooling, seed, steps, learning_rate: {
        "arm": arm, "pooling": pooling, "seed": seed, "steps": steps, "learning_rate": learning_rate,
    }  # fmt: skip
    some = [arm for arm in args.arms if arm not in BASELINES]
    choosing = [arm for arm in arms() if arm in [CHOSEN_BY.get(arm, arm) for arm in some]]
    done = call([{"arm": arm, "seed": 0} for arm in args.arms if arm in BASELINES], run=run_without_network)
    done = done and networks(
        [values(arm, "maximum", TUNING_SEED, args.steps, rate) for arm, rate in product(choosing, RATES)]
    )
    done = done and networks(
        [
            values(arm=arm, seed=TUNING_SEED, **best(results.records, arm) | {"pooling": "mean"})
            for arm in choosing
            if arms()[arm].kernel is not cubic_grid
        ]
    )
    done = done and networks(
        [
            values(arm=arm, seed=seed, **best(results.records, arm))
            for seed, arm in product(range(args.seeds), some)
        ]
    )
    print("all done" if done else "call again to go on")


if __name__ == "__main__":
    main()
