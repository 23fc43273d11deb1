"""Do proteins care which strand the file has? And what does the symmetry cost where there is one strand only?

TEAD4 and USF1 bind DNA, which has two strands (ChIP-seq; the file holds what is bound, and from each piece a control is made that keeps
its pairs of neighbouring letters); HNRNPC binds RNA, which has one (iCLIP; a fifth of the pieces are bound, and the file holds the others
too, of which those that are nothing but N are dropped: none of them is bound). ``GDL_DNA`` names the folder with the files.

Six networks with as many parameters, up to 5 %, and as many steps: two convolutions, 15 letters and 5 positions
wide, normalised by batch, then the maximum over the group and over all positions, and one score. "plain" has no group.
"augmented" is the plain one, and sees each sequence from a random side whenever it is seen. "averaged" is the plain one, and answers by
the mean score of both strands, in training and in the test. "reverse complement" has group convolutions. Two have the same with a wrong
group of two: "reversal alone" reverses positions and leaves letters as they are, "complement alone" swaps letters and leaves positions
as they are. Each network is also tested on the mean of its scores for both strands ("auc averaged at test"), whatever it was trained on.

A piece of DNA and its control are on one side of each split: 2,000 sequences are watched, the same for all seeds; of the others 4,000,
drawn by the seed, are tested, and the rest is for training: 500, 2,000 or all of it. Pieces are not split by where they lie: 371 of
TEAD4's 19,357 and 221 of USF1's 25,542 share 40 letters or more with another one, on either strand. RNA is split by chromosome, for pieces
of it overlap: so many chromosomes as have these numbers, so that 3,387 sequences are watched and from 4,002 to 5,889 tested; one with
more than a test needs (11, with 8,852 of 30,000) always trains.

For each protein each arm has the learning rate of six which has the largest AUC on the watched sequences, after 2,000 examples and with
seed 100; with 500 and with all it has the same. A decision is the sign of the score, and "flips" is the share of the decisions on test
sequences that are another on the other strand. Exactness is the change of the scores of eight of them, relative to their size.

"filter" is what a network has learned that respects what it should: for DNA "reverse complement", for RNA "plain", from 2,000 sequences,
with seed 0. It is the filter of the first layer that it misses most: without which (its features are 0) the AUC on the watched sequences is
lowest. "weights" are its 15 × 4 numbers, and "windows" says how often each base stands at each place of it: in each bound sequence that is
watched, where its answer is largest, on whichever strand the network looks.

"letters" is no network: how often each word of three letters is in what is bound; which share of what is bound, and of the rest, has
CACGTG; and the AUC of the longest run of T and of its like, on the sequences that are tested with seed 0.

    GDL_DNA=folder python experiments/binding.py
    GDL_DNA=folder python experiments/binding.py --evaluate FILE --data TEAD4 --arm "reverse complement"

The second trains one network on all that is for training, with seed 0 and its rate, or takes the one that it saved, in a folder .cache
beside the results, and says how it reads another file: FASTA whose titles end in class:0 or class:1, or a table as of the peaks, with
Bound 0 or 1.
"""

import copy
import os
import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from arms import exactness
from runner import Results, arguments, rounded, run_all
from sklearn.metrics import roc_auc_score
from torch import nn

from gdl_utils.blueprint import Blueprint
from gdl_utils.data import binding_sites, clip_sites, one_hot, read_sequences, shuffle_pairs
from gdl_utils.data.strands import read_text
from gdl_utils.domains import Domain, strand
from gdl_utils.groups import cyclic
from gdl_utils.layers import GroupBatchNorm, GroupConv, GroupPool, LiftingConv, averaged
from gdl_utils.representations import Representation, complement
from gdl_utils.signals import SignalSpace
from gdl_utils.training import fit

DATA = ("TEAD4", "USF1", "HNRNPC")
LENGTH = 101
SPLIT = {"watched": 2_000, "test": 4_000}  # at least
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
TUNING = {"examples": 2_000, "seed": 100}  # with which each arm chooses its rate, for each protein
STEPS = {500: 600, 2_000: 600, "all": 4_800}  # by the number of sequences to train with
SEEDS = {500: 10, 2_000: 5, "all": 5}
BATCH = 50
WIDE, DEEP = 15, 5  # letters of the first convolution, positions of the second
PEAKS = "FoldID\tEventID\tseq\tBound"


class Arm(NamedTuple):
    """A network by its kernel and what its group does to a base, and how it is taught."""

    kernel: Callable[[int], Domain]
    fibre: Representation | list
    width: int  # channels, chosen for equal parameters
    way: str = "built in"

    def model(self, length: int = LENGTH) -> nn.Module:
        """The network, for strands of a length; its weights do not depend on it."""
        made = network(self.kernel, self.fibre, self.width)
        return averaged(made, both_strands(length)) if self.way == "average" else made


def both_strands(length: int) -> SignalSpace:
    """Where sequences live, for the group that reads the other strand."""
    return SignalSpace(strand(length, cyclic(2)), complement(cyclic(2)))


def network(kernel: Callable[[int], Domain], fibre: Representation | list, width: int) -> Blueprint:
    """Of 101 letters 87 windows, of these 83."""
    layers = [
        LiftingConv(kernel(WIDE), 1, width, fibre=fibre, bias=False),
        GroupConv(kernel(DEEP), width, width, bias=False),
    ]
    return Blueprint(
        [nn.Sequential(layer, GroupBatchNorm(width)) for layer in layers],
        invariant_pooling=nn.Sequential(GroupPool(1), nn.AdaptiveMaxPool1d(1), nn.Flatten()),
        head=nn.Linear(width, 1),
    )


def arms() -> dict[str, Arm]:
    alone, two = complement(cyclic(1)), complement(cyclic(2))
    still = lambda n: strand(n, cyclic(2), matrices=[[[1]]])  # positions stay
    pair = lambda n: strand(n, cyclic(2))
    return {
        "plain": Arm(strand, alone, 21),
        "augmented": Arm(strand, alone, 21, "random strand"),
        "averaged": Arm(strand, alone, 21, "average"),
        "reverse complement": Arm(pair, two, 16),
        "reversal alone": Arm(pair, [np.eye(4)], 16),
        "complement alone": Arm(still, two, 16),
    }


@lru_cache(maxsize=1)
def dataset(data: str) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Sequences, whether each is bound, and which piece or chromosome, by number, it must not be torn from."""
    if data == "HNRNPC":
        sequences, labels = clip_sites()
        titles, _ = read_sequences(Path(os.environ["GDL_DNA"], "HNRNPC_clip.fa.gz"))
        kept = [i for i, sequence in enumerate(sequences) if set(sequence.upper()) != {"N"}]
        _, chromosomes = np.unique([titles[i].split(",")[0] for i in kept], return_inverse=True)
        return [sequences[i] for i in kept], labels[kept], torch.from_numpy(chromosomes)
    peaks, random = binding_sites(data), Random(0)
    sequences = [sequence for peak in peaks for sequence in (peak, shuffle_pairs(peak, random))]
    numbers = torch.arange(len(sequences))
    return sequences, 1 - numbers % 2, numbers // 2


def drawn(sizes: torch.Tensor, n: int, seed: int) -> torch.Tensor:
    """Pieces or chromosomes at random, just as many as have n sequences; none that has more than a test needs."""
    order = torch.randperm(len(sizes), generator=torch.Generator().manual_seed(seed))
    order = order[(sizes[order] > 0) & (sizes[order] <= SPLIT["test"])]
    return order[: int((sizes[order].cumsum(0) < n).sum()) + 1]


def split(together: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
    """Which sequences are watched, tested and for training; these in a random order."""
    sizes = together.bincount()
    watched = drawn(sizes, SPLIT["watched"], TUNING["seed"])
    sizes[watched] = 0
    tested = drawn(sizes, SPLIT["test"], seed)
    rows = {"watched": torch.isin(together, watched), "test": torch.isin(together, tested)}
    rest = (~rows["watched"] & ~rows["test"]).nonzero()[:, 0]
    order = torch.randperm(len(rest), generator=torch.Generator().manual_seed(seed))
    return {name: which.nonzero()[:, 0] for name, which in rows.items()} | {"train": rest[order]}


@lru_cache(maxsize=1)
def prepared(data: str, seed: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Sequences as signals, and labels, for each part of the split."""
    sequences, labels, together = dataset(data)
    signals = lambda rows: one_hot([sequences[i] for i in rows.tolist()])
    return {name: (signals(rows), labels[rows]) for name, rows in split(together, seed).items()}


def loss(model: nn.Module, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    scores = model(x)[:, 0]
    return nn.functional.binary_cross_entropy_with_logits(scores, label.to(scores))


def either_strand(model: nn.Module, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """The loss of a network that sees each sequence from a random side."""
    behind = torch.rand(len(x)) < 0.5
    other = both_strands(x.shape[-1]).act(1, x)
    return loss(model, torch.where(behind[:, None, None, None], other, x), label)


@torch.no_grad()
def judged(model: nn.Module, x: torch.Tensor, label: torch.Tensor) -> dict[str, float]:
    """How well a network orders sequences, by one strand and by both, and how often it decides otherwise on the other."""
    model, space = copy.deepcopy(model).double().eval(), both_strands(x.shape[-1])
    read = lambda signals: torch.cat([model(some.double())[:, 0] for some in signals.split(500)])
    here, there = read(x), read(space.act(1, x))
    auc = lambda scores: round(float(roc_auc_score(label, scores)), 5)
    flips = ((here > 0) != (there > 0)).double().mean()
    return {"auc": auc(here), "auc averaged at test": auc(here + there), "flips": round(float(flips), 5)}


def taught(
    train: Callable, data: str, arm: str, examples: int | str, seed: int, steps: int, learning_rate: float
) -> tuple[nn.Module, dict]:
    """One network, trained for so many steps or the least number of epochs above it, and what its training has to say."""
    x, label = (t[: None if examples == "all" else examples] for t in prepared(data, seed)["train"])
    if examples not in ("all", len(x)):
        raise SystemExit(f"--examples: got {examples}; {data} has {len(x)} to train with")
    torch.manual_seed(seed)
    kind = arms()[arm]
    model, some = kind.model(), prepared(data, seed)["test"][0][:8]
    before = exactness(model, some, both_strands(LENGTH))
    how = {"epochs": -(-steps // -(-len(x) // BATCH)), "seed": seed, "learning_rate": learning_rate}
    history, seconds = train(model, either_strand if kind.way == "random strand" else loss, (x, label), **how)
    return model, {
        "trained": len(x),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "loss": rounded(history[-1]),
        "exactness": {
            "before": rounded(before),
            "after": rounded(exactness(model, some, both_strands(LENGTH))),
        },
    }


def run(train, data: str, seed: int, **values) -> dict:
    """One network of the table."""
    model, record = taught(train, data, seed=seed, **values)
    watched = judged(model, *prepared(data, seed)["watched"])["auc"]
    return record | {"watched": watched} | judged(model, *prepared(data, seed)["test"])


def most_missed(train, data: str, arm: str, of: str, seed: int, learning_rate: float) -> dict:
    """The filter that a network misses most, and what it answers to."""
    model, _ = taught(train, **values(data, of, TUNING["examples"], seed, learning_rate))
    x, label = prepared(data, seed)["watched"]
    lift, bound = model[0][0], x[label == 1]

    def without(k: int) -> float:
        poorer = copy.deepcopy(model)
        for parameter in poorer[0][1].parameters():  # of the normalisation
            parameter.data[k] = 0
        return judged(poorer, x, label)["auc"]

    left = [without(k) for k in range(lift.out_channels)]
    k = int(np.argmin(left))
    with torch.no_grad():
        largest = lift(bound)[:, k].flatten(1).argmax(1)  # over strands times places
    counts = torch.zeros(4, WIDE)
    for sequence, at in zip(bound[:, 0], largest.tolist(), strict=True):
        other, place = divmod(at, LENGTH - WIDE + 1)
        window = sequence[:, place : place + WIDE]
        counts += window.flip(0, 1) if other else window
    listed = lambda matrix: [[rounded(v) for v in row] for row in matrix.tolist()]
    return {
        "auc": judged(model, x, label)["auc"],
        "auc without": left[k],
        "weights": listed(lift.weight[k].detach().view(4, WIDE)),
        "windows": listed(counts),
    }


def longest(sequence: str, letter: str) -> int:
    return max(map(len, re.findall(f"{letter}+", sequence.upper())), default=0)


def letters(train, data: str, arm: str, seed: int) -> dict:
    """What the letters of the sequences tell without a network: nothing is trained."""
    sequences, labels, together = dataset(data)
    found = Counter(
        "".join(word)
        for sequence, bound in zip(sequences, labels.tolist(), strict=True)
        if bound
        for word in zip(*(sequence.upper()[i:] for i in range(3)), strict=False)
    )
    has = np.array(["CACGTG" in sequence.upper() for sequence in sequences])
    rows = split(together, seed)["test"]
    runs = {letter: np.array([longest(sequences[i], letter) for i in rows.tolist()]) for letter in "TA"}
    longer = {"T": runs["T"], "A": runs["A"], "T or A": np.maximum(runs["T"], runs["A"])}
    return {
        "words": {word: found[word] for word in map("".join, product("ACGT", repeat=3))},
        "CACGTG": {
            name: rounded(has[labels.numpy() == k].mean()) for k, name in ((1, "bound"), (0, "others"))
        },
        "longest run": {name: round(float(roc_auc_score(labels[rows], n)), 5) for name, n in longer.items()},
    }


def best_rate(records: list[dict], data: str, arm: str) -> float:
    """The learning rate with which the arm orders the watched sequences best."""
    tried = [r for r in records if {"data": data, "arm": arm, **TUNING}.items() <= r.items()]
    return max(tried, key=lambda r: r["watched"])["learning_rate"]


def values(data: str, arm: str, examples: int | str, seed: int, rate: float) -> dict:
    return {"data": data, "arm": arm, "examples": examples, "seed": seed} | {
        "steps": STEPS[examples], "learning_rate": rate,
    }  # fmt: skip


def labelled(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences of a file as signals, and their classes."""
    try:
        if read_text("--evaluate", path).startswith(PEAKS):
            lines = read_text("--evaluate", path).split("\n")[1:]
            rows = [line.strip().split("\t") for line in lines if line.strip()]
            pairs = [(row[2], row[3]) if len(row) == 4 else ("", str(row)) for row in rows]
        else:
            titles, sequences = read_sequences(path)
            ends = [re.search(r"class:(.*)$", title) for title in titles]
            pairs = [(s, end[1] if end else "none") for s, end in zip(sequences, ends, strict=True)]
        sequences, classes = zip(*pairs, strict=True)
        if wrong := set(classes) - {"0", "1"}:
            raise ValueError(f"--evaluate: {path} has the class {min(wrong)!r}; each is 0 or 1")
        if len(set(classes)) < 2:
            raise ValueError(f"--evaluate: {path} has sequences of class {classes[0]} only; give both")
        # Between zeros, and at least as long as both layers need.
        length = max(WIDE + DEEP - 1, *map(len, sequences))
        return one_hot(sequences, length), torch.tensor([int(c) for c in classes])
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from error


def evaluate(path: Path, folder: Path, data: str, arm: str, rate: float) -> None:
    """Say how a network, trained on all there is or saved, reads the sequences of a file."""
    x, label = labelled(path)
    saved = folder / ".cache" / f"binding_saved_{data}_{arm}_{rate}.pt".replace(" ", "-")
    # A checkpoint of a training that is done gives back the network.
    train = lambda *parts, **how: (fit(*parts, batch_size=BATCH, checkpoint=saved, **how), None)
    model, _ = taught(train, **values(data, arm, "all", 0, rate))
    fits = arms()[arm].model(x.shape[-1])
    fits.load_state_dict(model.state_dict())
    found = judged(fits, x, label)
    print(f"{data}, {arm}: {len(x)} sequences of {path}, {int(label.sum())} of class 1")
    print(f"AUC {found['auc']:.4f}, and {found['auc averaged at test']:.4f} by the mean of both strands")
    print(f"{found['flips']:.2%} of the decisions flip with the strand")


def main() -> None:
    parser = arguments(__doc__, Path(__file__).with_suffix(".json"))
    sizes = lambda word: word if word == "all" else int(word)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--arms", "--arm", nargs="+", choices=list(arms()), default=list(arms()))
    parser.add_argument("--examples", nargs="+", type=sizes, choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--evaluate", metavar="FILE", type=Path, help="only read this file, by one network")
    args = parser.parse_args()
    if args.evaluate and (len(args.data), len(args.arms)) != (1, 1):
        parser.error("--evaluate: give one of --data and one --arm")
    settings = {"split": SPLIT, "batch_size": BATCH, "rates": list(RATES), "tuning": TUNING}
    results = Results(args.out, settings)
    call = partial(run_all, results, how=args, batch_size=BATCH)
    tuning = [
        values(data, arm, *TUNING.values(), rate) for data, arm, rate in product(args.data, args.arms, RATES)
    ]
    done = call(tuning, run=run)
    if args.evaluate and done:
        (data,), (arm,) = args.data, args.arms
        return evaluate(args.evaluate, args.out.parent, data, arm, best_rate(results.records, data, arm))
    done = done and call([{"data": data, "arm": "letters", "seed": 0} for data in args.data], run=letters)
    respects = {data: "plain" if data == "HNRNPC" else "reverse complement" for data in args.data}
    done = done and call(
        [
            {"data": data, "arm": "filter", "of": of, "seed": 0}
            | {"learning_rate": best_rate(results.records, data, of)}
            for data, of in respects.items()
            if of in args.arms
        ],
        run=most_missed,
    )
    done = done and call(
        [
            values(data, arm, n, seed, best_rate(results.records, data, arm))
            for data, n in product(args.data, args.examples)
            for seed, arm in product(range(SEEDS[n]), args.arms)
        ],
        run=run,
    )
    print("all done" if done else "call again to go on")


if __name__ == "__main__":
    main()
