"""A planted word: what does it buy to know that there are two strands, where the word is its own reverse complement and where not?

Half of the sequences of 40 letters have the word, on a random strand; the others have its letters in another order. A network has 24
filters of one convolution, a ReLU, the maximum over all positions, and for the reverse complement over both strands, and one score; all
have as many weights. "plain" has no group; "augmented" is the plain one, and sees each sequence from a random side whenever it is seen;
"averaged" answers by the mean of both strands, in training and in the test; "sorted" is the plain one, and sees of each sequence the
strand that comes first in the dictionary; "reverse complement" has the group convolution. For plain and augmented the mean of both
strands in the test alone is there too. Numbers are the AUC on 600 other sequences.

The filters are as wide as the word, 8 letters, or 12, and then also with four empty letters at both ends: filters that are not padded
cannot reach the ends of a sequence with all their letters. Networks learn from 50 sequences or from 10, in 60 steps, with one rate.

    python experiments/planted_words.py
"""

from itertools import product
from pathlib import Path

import torch
from binding import both_strands, either_strand, loss
from runner import Results, arguments, run_all
from sklearn.metrics import roc_auc_score
from torch import nn

from gdl_utils.data import one_hot, planted, reverse_complement
from gdl_utils.domains import strand
from gdl_utils.groups import cyclic
from gdl_utils.layers import GroupPool, LiftingConv, averaged
from gdl_utils.representations import complement
from gdl_utils.training import fit

WORDS = ("ACATTCCA", "TCACGTGA")  # the second one is its own reverse complement
LENGTH, FILTERS, STEPS, RATE, TEST = 40, 24, 60, 0.03, 600
FORMS = {"filters of 8": (8, 0), "filters of 12": (12, 0), "filters of 12, empty ends": (12, 4)}
CASES = [*product(FORMS, (10, 50))]
ARMS = ("plain", "augmented", "averaged", "sorted", "reverse complement")
SEEDS = 20


def made(arm: str, width: int, length: int) -> nn.Module:
    group = cyclic(2 if arm == "reverse complement" else 1)
    model = nn.Sequential(
        LiftingConv(strand(width, group), 1, FILTERS, fibre=complement(group)),
        nn.ReLU(),
        GroupPool(1),
        nn.AdaptiveMaxPool1d(1),
        nn.Flatten(),
        nn.Linear(FILTERS, 1),
    )
    return averaged(model, both_strands(length)) if arm == "averaged" else model


def chosen_strand(sequence: str) -> str:
    return min(sequence, reverse_complement(sequence))


def run(train, word: str, form: str, examples: int, seed: int) -> dict:
    """All networks, taught by the same sequences."""
    width, empty = FORMS[form]
    length, found = LENGTH + 2 * empty, {}
    known, label = planted(examples, word, length=LENGTH, seed=seed)
    new, truth = planted(TEST, word, length=LENGTH, seed=10_000 + seed)
    for arm in ARMS:
        rule = chosen_strand if arm == "sorted" else str
        x, tested = (one_hot(list(map(rule, some)), length) for some in (known, new))
        torch.manual_seed(seed)
        model = made(arm, width, length)
        how = {"epochs": STEPS, "batch_size": examples, "learning_rate": RATE, "seed": seed}
        fit(model, either_strand if arm == "augmented" else loss, (x, label), **how)
        with torch.no_grad():
            here, there = model(tested), model(both_strands(length).act(1, tested))
        auc = lambda scores: round(float(roc_auc_score(truth, scores[:, 0])), 5)
        found[arm] = auc(here)
        if arm in ("plain", "augmented"):
            found[f"{arm}, averaged at test"] = auc(here + there)
    return found


def main() -> None:
    parser = arguments(__doc__, Path(__file__).with_suffix(".json"))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    args = parser.parse_args()
    settings = {"length": LENGTH, "filters": FILTERS, "steps": STEPS, "rate": RATE, "test": TEST}
    runs = [
        {"word": word, "form": form, "examples": n, "seed": seed}
        for seed in range(args.seeds)
        for word in WORDS
        for form, n in CASES
    ]
    done = run_all(Results(args.out, settings), runs, run=run, how=args)
    print("all done" if done else "call again to go on")


if __name__ == "__main__":
    main()
