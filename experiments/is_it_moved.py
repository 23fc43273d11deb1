"""Is the symmetry in the data? Whether a classifier can tell examples that were moved from those that were not.

Digits of scikit-learn, shapes of adrenal glands (``GDL_ADRENAL``), pieces of DNA that TEAD4 or USF1 binds and of RNA to which HNRNPC
binds (``GDL_DNA`` names the folder). Half of them are moved, each by a random element of a group other than the identity, or all by the
same one; half of both are to learn from, half to judge by (``two_sample_test``), for five ways of dealing them out. For pictures and
volumes the classifier is a support vector machine with a Gaussian kernel on pixels; for strands logistic regression on how often each
word of four letters occurs.

"turned before" is the control: digits and glands that had all been moved at random before. "clearest angle": by what angle an image of
MNIST is turned (``GDL_MNIST``), as told from the direction of its first moment about the middle of the frame: the length of the mean
unit vector over 6,000 upright images of all digits, 1 where all have the same direction; as the images are, and shifted so that their
centre of mass lies in the middle.

    python experiments/is_it_moved.py
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import exchange_rate
import numpy as np
import torch
from runner import Results, rounded
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from gdl_utils.data import adrenal, binding_sites, clip_sites, digits, mnist, one_hot
from gdl_utils.domains import cubic_grid, square_grid
from gdl_utils.equivariance import two_sample_test
from gdl_utils.groups import cyclic, octahedral
from gdl_utils.signals import SignalSpace

SEEDS, WORD, UPRIGHT = 5, 4, 6_000


def by_elements(space: SignalSpace, x: torch.Tensor, first: int = 1) -> torch.Tensor:
    """Move each example by a random element of a group, from the first on (0 is the identity)."""
    elements = torch.randint(first, len(space.group), (len(x),)).tolist()
    return torch.stack([space.act(g, one) for g, one in zip(elements, x, strict=True)])


def words(x: np.ndarray) -> np.ndarray:
    """Count words of letters in strands (n, 4 · length) of which each position is one letter; those with an N are left out."""
    letters = x.reshape(len(x), 4, -1)
    known, code = letters.max(1) == 1, letters.argmax(1)
    long = code.shape[1] - WORD + 1
    number = sum(4**k * code[:, k : k + long] for k in range(WORD))
    whole = np.logical_and.reduce([known[:, k : k + long] for k in range(WORD)])
    return np.stack(
        [np.bincount(row[use], minlength=4**WORD) for row, use in zip(number, whole, strict=True)]
    )


@lru_cache(maxsize=1)
def examples(data: str) -> torch.Tensor:
    if data == "digits":
        return digits()[0]
    if data == "glands":
        return adrenal("train")[0]
    if data.startswith("DNA"):
        return one_hot(binding_sites(data.split()[1]))
    sequences, bound = clip_sites()
    return one_hot([s for s, label in zip(sequences, bound, strict=True) if label and set(s) <= set("ACGT")])


def changes() -> dict[tuple[str, str], Callable]:
    """What is done to which data."""
    squares = SignalSpace(square_grid(8, cyclic(4)))
    cubes = SignalSpace(cubic_grid(28, octahedral()))
    turn, cube = (lambda x: by_elements(squares, x)), (lambda x: by_elements(cubes, x))
    found = {("digits", "turned by quarters"): turn, ("digits", "turned before"): turn}
    found |= {
        ("digits", "mirrored"): lambda x: x.flip(-1),
        ("digits", "shifted by a pixel"): lambda x: x.roll(1, -1),
    }
    found |= {("glands", "turned as a cube"): cube, ("glands", "turned before"): cube}
    found |= {("glands", "mirrored"): lambda x: x.flip(-1)}
    for data in ("DNA, TEAD4", "DNA, USF1", "RNA, HNRNPC"):
        # A, C, G, T: the complement is the reverse order of the letters
        found |= {
            (data, "reverse complement"): lambda x: x.flip(-1, -2),
            (data, "reversal alone"): lambda x: x.flip(-1),
        }
        found |= {(data, "complement alone"): lambda x: x.flip(-2)}
    return found


def run(data: str, change: str, seed: int) -> dict:
    """Deal out, change, learn and judge once."""
    torch.manual_seed(seed)
    move, x = changes()[data, change], examples(data)
    if change == "turned before":
        space = SignalSpace(square_grid(8, cyclic(4)) if data == "digits" else cubic_grid(28, octahedral()))
        x = by_elements(space, x, first=0)
    counts = FunctionTransformer(words)
    strands = make_pipeline(counts, StandardScaler(), LogisticRegression(max_iter=1000))
    test = two_sample_test(x, move, classifier=strands if "NA" in data else SVC(), seed=seed)
    return asdict(test) | {name: rounded(value) for name, value in asdict(test).items() if name != "judged"}


def clearest_angle() -> dict:
    """How much of its angle an image of MNIST gives away, as it is and with its centre of mass in the middle."""
    as_it_is, in_the_middle = mnist()[0].view(-1, 28, 28)[:UPRIGHT], exchange_rate.digits()[0][:UPRIGHT, 0]
    place = torch.arange(28) - 13.5
    found = {}
    for name, x in (("as it is", as_it_is), ("centred", in_the_middle)):
        moment = torch.complex((x.sum(1) * place).sum(1), -(x.sum(2) * place).sum(1))
        found[name] = rounded(float((moment / moment.abs()).mean().abs()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    results = Results(args.out, {"seeds": SEEDS, "letters of a word": WORD, "upright": UPRIGHT})
    for data, change in changes():
        for seed in range(SEEDS):
            values = {"data": data, "change": change, "seed": seed}
            if not results.has(values):
                results.add(values | run(**values))
        print(
            data,
            change,
            [r["accuracy"] for r in results.records if r["data"] == data and r["change"] == change],
        )
    values = {"data": "MNIST", "change": "clearest angle", "seed": None}
    if not results.has(values):
        results.add(values | clearest_angle())
    print("all done")


if __name__ == "__main__":
    main()
