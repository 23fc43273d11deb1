"""Eight pieces of four cubes, each learned in one position and asked for in all others: what earns the gain, the layer or the group?

All arms have as many parameters, up to 3 %, the same steps, and see the same eight examples. "dense" reads twelve coordinates, plainly,
with each piece turned anew at each step ("turned"), or averaged over the 24 turns of a cube in training and test ("averaged"). "E(n)"
sees distances alone. The twins of the wrong group do the same in a space whose third axis is twice as long: a turn there is no turn
here. Rates: ``--tune`` prints what each rate of the grid gives with seeds, and turns, that are not used later. The best are in
``ARMS``; of equals the smallest.

    python experiments/four_cubes.py
"""

from itertools import product
from pathlib import Path

import numpy as np
import torch
from runner import Results, arguments, rounded, run_all
from torch import nn

from gdl_utils.data import tetracubes
from gdl_utils.domains import Domain
from gdl_utils.groups import octahedral
from gdl_utils.layers import EGNNLayer, averaged
from gdl_utils.signals import SignalSpace
from gdl_utils.training import fit

STRETCH = (1.0, 1.0, 2.0)
GRID = (0.003, 0.01, 0.03, 0.1)
PIECES, NAMES = tetracubes()
LABELS = torch.arange(len(NAMES))


class PieceReader(nn.Module):
    """Two layers that see distances, the mean over the points, eight answers: (batch, 3, 4) -> (batch, 8)."""

    def __init__(self, lengths: tuple[float, ...] = (1.0, 1.0, 1.0)):
        super().__init__()
        self.layers = nn.ModuleList([EGNNLayer(8, hidden=16) for _ in range(2)])
        self.start, self.head = nn.Parameter(torch.randn(8)), nn.Linear(8, 8)
        self.register_buffer("lengths", torch.tensor(lengths))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.transpose(1, 2) * self.lengths
        h = self.start.expand(*x.shape[:-1], 8)
        for layer in self.layers:
            h, x = layer(h, x)
        return self.head(h.mean(-2))


def dense() -> nn.Module:
    """Three layers on twelve coordinates."""
    hidden = [nn.Linear(12, 48), nn.SiLU(), nn.Linear(48, 40), nn.SiLU()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(40, 8))


def turns_of_a_cube(lengths: tuple[float, ...] = (1.0, 1.0, 1.0)) -> SignalSpace:
    """How the 24 turns of a cube move the places of four points, (3, 4), in a space with axes of these lengths."""
    group, scale = octahedral(), np.array(lengths)
    moves = np.tile(np.arange(4), (len(group), 1))  # each point keeps its number
    points = Domain("four points", group, np.arange(4)[:, None], (4,), moves)
    quarter = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]), np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    return SignalSpace(points, [turn * scale / scale[:, None] for turn in quarter])


ARMS = {  # the network, whether it is shown turned pieces, and its rate
    "dense": (dense, False, 0.01),
    "dense, turned": (dense, True, 0.03),
    "dense, averaged": (lambda: averaged(dense(), turns_of_a_cube()), False, 0.01),
    "dense, averaged, wrong group": (lambda: averaged(dense(), turns_of_a_cube(STRETCH)), False, 0.1),
    "E(n)": (PieceReader, False, 0.01),
    "E(n), wrong group": (lambda: PieceReader(STRETCH), False, 0.03),
}


def random_turns(n: int, generator: torch.Generator | None = None) -> torch.Tensor:
    """All turns alike: (n, 3, 3)."""
    q, r = torch.linalg.qr(torch.randn(n, 3, 3, generator=generator))
    q = q * r.diagonal(dim1=1, dim2=2).sign()[:, None]
    return q * torch.linalg.det(q)[:, None, None]


def loss(turned: bool, model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The loss, on pieces as they are or each turned anew."""
    return nn.functional.cross_entropy(model(random_turns(len(x)) @ x if turned else x), y)


def named_rightly(model: nn.Module, seed: int, turns: int = 200) -> torch.Tensor:
    """How often each piece is named rightly, over random turns: (8,)."""
    some = random_turns(turns, torch.Generator().manual_seed(seed))
    x = some[:, None] @ PIECES.float().transpose(1, 2)
    with torch.no_grad():
        return (model(x.flatten(0, 1)).argmax(-1).unflatten(0, (turns, 8)) == LABELS).double().mean(0)


def trained(train, arm: str, seed: int, steps: int, rate: float) -> tuple:
    """A step sees the eight pieces once; ten steps are an epoch."""
    make, turned, _ = ARMS[arm]
    torch.manual_seed(seed)
    model, copies = make(), PIECES.float().transpose(1, 2).repeat(10, 1, 1)
    tensors, options = (copies, LABELS.repeat(10)), {"epochs": steps // 10, "seed": seed}
    history = train(model, lambda *batch: loss(turned, *batch), tensors, learning_rate=rate, **options)
    return model, history


def run(train, arm: str, seed: int, steps: int) -> dict:
    """Train one network and ask it for turned pieces."""
    rate = ARMS[arm][2]
    model, (history, seconds) = trained(train, arm, seed, steps, rate)
    return {
        "rate": rate,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "loss": rounded(history[-1]),
        "named rightly": [round(share, 3) for share in named_rightly(model, 1000 + seed).tolist()],
    }


def tune(arms: list[str], steps: int, seeds: range = range(100, 102)) -> None:
    """Print what each rate gives."""
    for arm, rate in product(arms, GRID):
        train = lambda *args, **options: fit(*args, batch_size=8, **options)
        models = [trained(train, arm, seed, steps, rate)[0] for seed in seeds]
        shares = [named_rightly(model, 2000 + seed).mean() for model, seed in zip(models, seeds, strict=True)]
        print(f"{arm}, rate {rate}: {sum(shares) / len(shares):.3f}", flush=True)


def main() -> None:
    parser = arguments(__doc__, Path(__file__).with_suffix(".json"))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tune", action="store_true", help="print what each rate gives, and stop")
    args = parser.parse_args()
    if args.tune:
        return tune(args.arms, args.steps)
    runs = [
        {"arm": arm, "seed": seed, "steps": args.steps} for seed in range(args.seeds) for arm in args.arms
    ]
    run_all(Results(args.out, {"batch_size": 8}), runs, run, how=args, batch_size=8)


if __name__ == "__main__":
    main()
