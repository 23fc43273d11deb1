"""What is a paper about? Its words, or also whom it cites: Cora, 2,708 papers of seven fields, 140 of which have a label.

Standard split (Yang, Cohen and Salakhutdinov 2016): 20 papers of each field to learn from, 500 to choose by, 1,000 to test. Two
networks have two layers with 16 hidden channels, ReLU, dropout before each, as in Kipf and Welling (2017):

"no edges": a perceptron of a paper's words.
"GCN": the same, and after each layer the mean of what neighbours and oneself say, weighted as there, D^-1/2 (A + I) D^-1/2.

and two readers ask how much of it is learning at all:

"smoothed words": words are averaged over neighbours twice, as by GCN, and a linear classifier reads them (Wu et al. 2019).
"labels spread": no words; labels flow along edges, Y ← α S Y + (1 - α) Y₀, fifty times, with the α of nine that is best on the 500.

What is trained has that rate, decay and dropout of 18 which does best on the 500, with a seed that does not count; then ten seeds. Of
a training the last network counts, not the one that was best on the way.

The file is a .npz with arrays ``edges`` (m, 2), ``labels`` (n,), ``train_idx``, ``val_idx``, ``test_idx``, and the words of papers as a sparse
matrix, ``x_indptr``, ``x_indices``, ``x_data``, ``x_shape``; its public form (Planetoid's) are pickles, which this project does not load, so that
there is no loader. GDL_CORA names it.

    GDL_CORA=cora.npz python experiments/citations.py
"""

import os
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from runner import Results, arguments, rounded, run_all
from scipy import sparse
from torch import nn
from torch.nn import functional as F

from gdl_utils.layers import Adjacency

HIDDEN, EPOCHS, SEEDS, TUNING = 16, 200, 10, 100
RATES, DECAYS, DROPOUTS = (0.003, 0.01, 0.03), (5e-4, 5e-3, 5e-2), (0.5, 0.8)
ALPHAS = [k / 10 for k in range(1, 10)]
NETWORKS = ("no edges", "GCN", "smoothed words")


class Papers(NamedTuple):
    words: torch.Tensor  # (n, words), sparse, rows add up to 1
    smoothed: torch.Tensor  # (n, words), averaged over neighbours twice
    labels: torch.Tensor  # (n,)
    graph: Adjacency  # weighted as in a GCN
    taught: torch.Tensor
    watched: torch.Tensor
    tested: torch.Tensor


def read(path: Path) -> Papers:
    """Papers from a file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            part = {name: file[name] for name in file.files}
        n, width = (int(k) for k in part["x_shape"])
        words = sparse.csr_array(
            tuple(part[f"x_{name}"] for name in ("data", "indices", "indptr")), (n, width)
        )
        words = torch.from_numpy(words.toarray().astype(np.float32))
        edges = torch.from_numpy(part["edges"].astype(np.int64)).T
        split = [torch.from_numpy(part[f"{name}_idx"].astype(np.int64)) for name in ("train", "val", "test")]
        labels = torch.from_numpy(part["labels"].astype(np.int64))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{path}: holds no papers in the form that is described above ({error})") from error
    if len(labels) != n or not all(len(s) and s.max() < n for s in split):
        raise SystemExit(
            f"{path}: has {len(labels)} labels for {n} papers, or a split that is not among them"
        )
    both = torch.cat([edges, edges.flip(0)], 1)
    both = both[:, both[0] != both[1]].unique(dim=1)
    words, graph = F.normalize(words, p=1), Adjacency(both, n).normalised()
    return Papers(words.to_sparse(), graph @ (graph @ words), labels, graph, *split)


@lru_cache(maxsize=1)
def papers() -> Papers:
    path = os.environ.get("GDL_CORA")
    if not path:
        raise SystemExit("GDL_CORA: is not set; it names the file that is described above (--help)")
    return read(Path(path))


class Reader(nn.Module):
    """Two layers, whose papers hear of each other or do not; or one, of smoothed words."""

    def __init__(self, arm: str, words: int, classes: int, dropout: float):
        super().__init__()
        sizes = [(words, classes)] if arm == "smoothed words" else [(words, HIDDEN), (HIDDEN, classes)]
        self.arm, self.layers = arm, nn.ModuleList(nn.Linear(*size) for size in sizes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, data: Papers, rows: torch.Tensor) -> torch.Tensor:
        """Scores of some papers, (len(rows), classes)."""
        first = self.layers[0]
        if self.arm == "smoothed words":
            return first(self.dropout(data.smoothed[rows]))
        heard = (lambda x: data.graph @ x) if self.arm == "GCN" else lambda x: x
        where, seen = data.words.indices(), self.dropout(data.words.values())  # nothing of a zero
        x = torch.sparse.mm(
            torch.sparse_coo_tensor(where, seen, data.words.shape, check_invariants=True), first.weight.T
        )
        x = heard(x + first.bias).relu()
        return heard(self.layers[1](self.dropout(x)))[rows]


def share_right(scores: torch.Tensor, labels: torch.Tensor) -> float:
    return round(float((scores.argmax(1) == labels).double().mean()), 4)


def run(train, arm: str, seed: int, learning_rate: float, decay: float, dropout: float) -> dict:
    """Train one network on all papers at once, and test it."""
    data = papers()
    torch.manual_seed(seed)
    model = Reader(arm, data.words.shape[1], int(data.labels.max()) + 1, dropout)

    def loss(model, rows, labels):
        first = sum(p.square().sum() for p in model.layers[0].parameters())  # of the first layer, as there
        return F.cross_entropy(model(data, rows), labels) + decay / 2 * first

    tensors = data.taught, data.labels[data.taught]
    history, seconds = train(model, loss, tensors, epochs=EPOCHS, seed=seed, learning_rate=learning_rate)
    with torch.no_grad():
        right = lambda rows: share_right(model(data, rows), data.labels[rows])
        judged = {"learned": data.taught, "watched": data.watched, "right": data.tested}
        judged = {name: right(rows) for name, rows in judged.items()}
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "loss": rounded(history[-1]),
    } | judged


def spread(data: Papers, alpha: float) -> torch.Tensor:
    """Labels that flow along edges, (n, classes). Zhou et al. (2004), "Learning with local and global consistency"."""
    known = torch.zeros(len(data.labels), int(data.labels.max()) + 1)
    known[data.taught, data.labels[data.taught]] = 1
    y = known
    for _ in range(50):
        y = alpha * (data.graph @ y) + (1 - alpha) * known
    return y


def labels_spread(train, arm: str, seed: int) -> dict:
    data = papers()
    right = lambda alpha, rows: share_right(spread(data, alpha)[rows], data.labels[rows])
    alpha = max(ALPHAS, key=lambda alpha: right(alpha, data.watched))
    shares = {"watched": right(alpha, data.watched), "right": right(alpha, data.tested)}
    return {"parameters": 0, "alpha": alpha} | shares


def best(records: list[dict], arm: str) -> dict:
    """The settings with which a network does best on the papers that are watched."""
    tried = [r for r in records if r["arm"] == arm and r["seed"] == TUNING]
    found = max(tried, key=lambda r: r["watched"])
    return {key: found[key] for key in ("learning_rate", "decay", "dropout")}


def main() -> None:
    parser = arguments(__doc__, Path(__file__).with_suffix(".json"))
    parser.add_argument("--arms", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    args = parser.parse_args()
    papers()
    results = Results(args.out, {"epochs": EPOCHS, "hidden": HIDDEN, "tuning": TUNING})
    call = partial(run_all, results, how=args, batch_size=10_000)  # all of them in one
    done = call([{"arm": "labels spread", "seed": 0}], run=labels_spread) and call(
        [
            {"arm": arm, "seed": TUNING, "learning_rate": rate, "decay": decay, "dropout": dropout}
            for arm, rate, decay, dropout in product(args.arms, RATES, DECAYS, DROPOUTS)
        ],
        run=run,
    )
    done = done and call(
        [
            {"arm": arm, "seed": seed} | best(results.records, arm)
            for seed, arm in product(range(args.seeds), args.arms)
        ],
        run=run,
    )
    print("all done" if done else "call again to go on")


if __name__ == "__main__":
    main()
