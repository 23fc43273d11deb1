"""What the experiments on published data came to, read from their records: a line for each task.

A network is told the symmetry, or the graph, "by layers"; it is told the same "otherwise", by averages over the group, by moved examples,
or by numbers that were made along edges and a linear reader sees; it is told "nothing"; it is told something "wrong"; and there is a
reader with "no network". What stands in a column is the name of an arm of the script. Of each the records of all seeds count but the
one with which rates were chosen.

"gains" pairs experiments with what ``is_it_moved.py`` has found: whether moved examples can be told in these data, and how many times as
large the error is without the group in the layers.

    python experiments/summary.py
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

HERE = Path(__file__).parent
COLUMNS = ("by layers", "otherwise", "nothing", "wrong", "no network")
TUNING = 100  # the seed of the choice of rates, in all scripts
STRANDS = ("reverse complement", "averaged", "plain", "reversal alone", "")
BONDS = ("bonds of kinds", "fingerprint", "atoms alone", "wrong bonds", "descriptors")
CHANGES = ("reverse complement", "reversal alone", "complement alone")


class Task(NamedTuple):
    """A script, what it counts (``error`` or ``right``, in %, ``AUC``, ``rmse``), which of its records, and the arm of each column."""

    script: str
    counts: str
    where: dict
    arms: tuple[str, ...]
    sizes: tuple = ()  # numbers of examples that it has records of
    size: str = "examples"  # what they are called there

    def at(self, n: int | str) -> "Task":
        """The same task with so many examples."""
        return self._replace(where=self.where | {self.size: n})


TASKS = {
    "digits at any angle, % misread": Task(
        *("any_angle", "error", {"examples": 10_000}),
        *(("C8", "averaged CNN", "CNN", "", ""), (1_000, 10_000)),
    ),
    "a mass in the gland, AUC": Task(
        "adrenal", "AUC", {}, ("O", "averaged", "CNN", "wrong group", "ten shape numbers")
    ),
    "DNA that is bound, AUC": Task(
        "binding", "auc", {"data": "TEAD4", "examples": 2_000}, STRANDS, (500, 2_000, "all")
    ),
    "RNA that is bound, AUC": Task(
        "binding", "auc", {"data": "HNRNPC", "examples": 2_000}, STRANDS, (500, 2_000, "all")
    ),
    "fields of papers, % right": Task(
        "citations", "right", {}, ("GCN", "smoothed words", "no edges", "", "labels spread")
    ),
    "solubility, error": Task(
        *("solubility", "rmse", {"split": "random", "molecules": "all"}),
        *(BONDS, (50, 100, 200, 400, "all"), "molecules"),
    ),
    "solubility, other rings, error": Task(
        "solubility", "rmse", {"split": "scaffold", "molecules": "all"}, BONDS
    ),
}


@lru_cache
def noted(script: str) -> list[dict]:
    """The records of a script."""
    return json.loads((HERE / f"{script}.json").read_text(encoding="utf-8"))["records"]


def runs(task: Task, arm: str) -> list[dict]:
    """The records of an arm that count, one for each seed."""
    wanted = task.where | {"arm": arm}
    found = [r for r in noted(task.script) if wanted.items() <= r.items() and r.get("seed", 0) < TUNING]
    if len({r["seed"] for r in found}) < len(found):
        raise ValueError(f"where: {wanted} leaves several records of a seed in {task.script}.json; say more")
    return sorted(found, key=lambda r: r["seed"])


def of_seeds(task: Task, arm: str) -> np.ndarray:
    """What was counted, for each seed."""
    found = [r[task.counts] for r in runs(task, arm)]
    found = np.array([r["test"] if isinstance(r, dict) else r for r in found])
    return 100 * found if task.counts in ("error", "right") else found


def as_text(x: np.ndarray) -> str:
    """Mean, and standard deviation over seeds."""
    digits = 1 if x.mean() > 10 else 2 if x.mean() > 1 else 3
    spread = f" ± {x.std(ddof=1):.{digits}f}" if len(x) > 1 else ""
    return f"{x.mean():.{digits}f}{spread}"


class Gain(NamedTuple):
    """Data, a group, a number of examples; how often moved ones are told, in %; untold error ÷ told, for each seed."""

    data: str
    change: str
    examples: int
    told: float
    ratios: np.ndarray


def gains() -> list[Gain]:
    """All pairs of an experiment and a question to its data."""
    asked = {}
    for r in noted("is_it_moved"):
        if "accuracy" in r:
            asked.setdefault((r["data"], r["change"]), []).append(100 * r["accuracy"])
    found = []
    for change, training, tested in (
        ("turned before", "rotated", "turned"),
        ("turned by quarters", "upright", "upright"),
    ):
        for n in (100, 1_000):
            where = {"training": training, "examples": n, "steps": 400}
            task = Task("rotated_digits_digits", "error", where, ())
            plain, told = (np.array([r["error"][tested] for r in runs(task, arm)]) for arm in ("CNN", "p4"))
            found.append(Gain("digits", change, n, np.mean(asked["digits", change]), plain / told))
    for data in ("DNA, TEAD4", "DNA, USF1", "RNA, HNRNPC"):
        for change in CHANGES:
            for n in (500, 2_000, "all"):
                task = Task("binding", "auc", {"data": data.split()[1], "examples": n}, ())
                plain, told = (1 - of_seeds(task, arm) for arm in ("plain", change))
                number = runs(task, "plain")[0]["trained"]
                found.append(Gain(data, change, number, np.mean(asked[data, change]), plain / told))
    plain, told = (1 - of_seeds(TASKS["a mass in the gland, AUC"], arm) for arm in ("CNN", "O"))
    cube = np.mean(asked["glands", "turned as a cube"])
    return [*found, Gain("glands", "turned as a cube", 1_188, cube, plain / told)]


def main() -> None:
    for name, task in TASKS.items():
        print(name)
        for column, arm in zip(COLUMNS, task.arms, strict=True):
            if arm:
                print(f"    {column:11} {as_text(of_seeds(task, arm)):16} {arm}")
    for gain in gains():
        ratio = np.exp(np.log(gain.ratios).mean())
        print(
            f"{gain.data}, {gain.change}, {gain.examples:,}: told {gain.told:.0f} %, untold ÷ told {ratio:.2f}"
        )


if __name__ == "__main__":
    main()
