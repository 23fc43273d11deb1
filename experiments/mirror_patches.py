"""Symmetry that costs less than nothing: does a network that respects the mirror train faster than its plain twin, and read as well?

A network on patches of 4 × 4 pixels, of four layers that are 512 wide: attention of 8 heads, whose values are the features themselves,
then two pointwise layers. Its features are 256 signals on the group of the mirror, C_2: a mirrored picture gives the mirrored features,
with the two entries of each swapped. So pointwise layers are ``GroupLinear``, scores of the attention sum over both entries, and each
patch's place has the mirror image of the other entry's. The plain twin has the same width and dense layers; another is narrower, with as many parameters.
A mirrored digit is another sign, or none: the features respect the mirror, the readout, a linear layer on what is averaged over the
patches, sees both entries of each and so which way round a digit stands.

What is timed is a training step, Adam's included; the networks take turns, batch by batch. Each arm's rate is the best of three on
digits that no other run sees. With ``--data mnist`` images come from MNIST's training set only, split here.

    python experiments/mirror_patches.py
    python experiments/mirror_patches.py --data mnist

Kill it when you like: called again it skips what is done and goes on with the rest, and loses at most one epoch.
"""

import copy
import statistics
import time
from functools import lru_cache, partial
from pathlib import Path

import torch
from four_parts import best_rates
from runner import Results, arguments, rounded, run_all
from torch import nn
from torch.nn import functional as F

from gdl_utils.data import digits, mnist
from gdl_utils.equivariance import relative_error
from gdl_utils.groups import cyclic
from gdl_utils.layers import GroupLinear
from gdl_utils.training import accuracy, cross_entropy

PATCH, LAYERS, HEADS, ROUNDS = 4, 4, 8, 30
RATES = (0.0003, 0.001, 0.003)
ARMS = {"mirror": (512, True), "plain": (512, False), "plain, as many parameters": (368, False)}
DATA = {  # images to train with, to test, to choose the rate, in a batch; and epochs
    "digits": (1000, 497, 300, 200, 30),
    "mnist": (2000, 2000, 1000, 50, 6),
}


class OnMirror(nn.Module):
    """A ``GroupLinear`` for the mirror on features with the group's axis first, as they lie in memory."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.layer = GroupLinear(cyclic(2), n_in, n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.movedim(0, -1)).movedim(-1, 0)


class Layer(nn.Module):
    """Attend to other patches, then mix the channels at each. Takes and gives (|G|, batch, patches, channels)."""

    def __init__(self, channels: int, mirror: bool):
        super().__init__()
        pointwise = OnMirror if mirror else nn.Linear
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.ask = pointwise(channels, 2 * HEADS * (channels // HEADS // 4))
        self.mix = nn.Sequential(pointwise(channels, channels), nn.GELU(), pointwise(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norms[0](x)
        # (batch, heads, patches, numbers): a score sums over the group's axis too, so it is the same for both and their mirror images.
        asked, wanted, told = (
            part.unflatten(-1, (HEADS, -1)).permute(1, 3, 2, 0, 4).flatten(-2)
            for part in (*self.ask(y).chunk(2, dim=-1), y)
        )
        heard = F.scaled_dot_product_attention(asked, wanted, told)
        x = x + heard.unflatten(-1, (len(x), -1)).permute(3, 0, 2, 1, 4).flatten(-2)
        return x + self.mix(self.norms[1](x))


class Patches(nn.Module):
    """The network, on images of side × side patches."""

    def __init__(self, width: int, mirror: bool, side: int):
        super().__init__()
        self.order = 2 if mirror else 1
        channels = width // self.order
        self.lift = nn.Linear(PATCH**2, channels)
        self.places = nn.Parameter(0.02 * torch.randn(side, side, channels))
        self.layers = nn.Sequential(*(Layer(channels, mirror) for _ in range(LAYERS)))
        self.norm, self.readout = nn.LayerNorm(channels), nn.Linear(width, 10)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Of images (batch, 1, pixels, pixels) make features (|G|, batch, rows, columns, channels)."""
        side = len(self.places)
        patches = x[:, 0].unflatten(2, (-1, PATCH)).unflatten(1, (-1, PATCH)).transpose(2, 3)
        patches = torch.stack([patches, patches.flip(-1)][: self.order]).flatten(-2)
        places = torch.stack([self.places, self.places.flip(1)][: self.order])
        x = (self.lift(patches) + places[:, None]).flatten(2, 3)
        return self.norm(self.layers(x)).unflatten(2, (side, side))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.readout(self.features(x).mean((2, 3)).movedim(0, 1).flatten(1))


def network(arm: str, data: str) -> Patches:
    width, mirror = ARMS[arm]
    return Patches(width, mirror, {"digits": 8, "mnist": 28}[data] // PATCH)


def exactness(model: Patches, x: torch.Tensor) -> float:
    """How far the features of mirrored images are from the mirrored features, in float64; a plain network's first half of the channels is
    taken for one entry of the group's axis, the rest for the other."""
    model, x = copy.deepcopy(model).double(), x.double()
    split = lambda y: y if model.order == 2 else torch.stack(y[0].chunk(2, dim=-1))
    with torch.no_grad():
        y, of_mirrored = (split(model.features(image)) for image in (x, x.flip(3)))
    return relative_error(of_mirrored, y.flip(0, 3))


@lru_cache(maxsize=2)
def prepared(data: str, seed: int | None) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Training digits and what they are judged on; without a seed those for choosing rates, which no other run is judged on."""
    images, labels = digits(torch.float32) if data == "digits" else mnist()
    n, n_test, n_held_out, *_ = DATA[data]
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(12345))
    judged, rest = order[:n_held_out], order[n_held_out:]
    random = torch.Generator().manual_seed(len(images) if seed is None else seed)
    draw = rest[torch.randperm(len(rest), generator=random)]
    train, test = draw[:n], judged if seed is None else draw[n:][:n_test]
    return {"train": (images[train], labels[train]), "test": (images[test], labels[test])}


def run(train, arm: str, seed: int | None, rate: float, epochs: int, data: str) -> dict:
    """Train and test one network."""
    sets = prepared(data, seed)
    torch.manual_seed(0 if seed is None else seed)
    model = network(arm, data)
    before = exactness(model, sets["test"][0][:8])
    history, seconds = train(
        model, cross_entropy, sets["train"], epochs=epochs, seed=seed or 0, learning_rate=rate
    )
    with torch.no_grad():
        read = accuracy(model, *sets["test"])
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "loss": rounded(history[-1]),
        "read": {"upright": round(read, 5)},
        "exactness": {
            "before": rounded(before),
            "after": rounded(exactness(model, sets["test"][0][:8])),
        },
    }


def times(train, arm: str, seed: int, data: str) -> dict:
    """Time a training step of each network, in turns: the median in ms, and quartiles of other ÷ mirror, round by round."""
    torch.manual_seed(seed)
    batch = [t[: DATA[data][3]] for t in prepared(data, 0)["train"]]
    models = {arm: network(arm, data) for arm in ARMS}
    optimizers = {arm: torch.optim.Adam(m.parameters(), foreach=True) for arm, m in models.items()}
    took = {arm: [] for arm in ARMS}
    for turn in range(ROUNDS + 3):
        for arm, model in models.items():
            start = time.perf_counter()
            optimizers[arm].zero_grad()
            cross_entropy(model, *batch).backward()
            optimizers[arm].step()
            if turn >= 3:  # the first rounds warm up
                took[arm].append(time.perf_counter() - start)
    quotients = {
        a: [s / t for s, t in zip(took[a], took["mirror"], strict=True)] for a in ARMS if a != "mirror"
    }
    return {
        "threads": torch.get_num_threads(),
        "ms": {arm: rounded(1000 * statistics.median(t)) for arm, t in took.items()},
        "other ÷ mirror": {
            a: [round(q, 3) for q in statistics.quantiles(s, n=4)] for a, s in quotients.items()
        },
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", choices=list(DATA), default="digits")
    parser.add_argument(
        "--epochs", type=int, help=f"by default {', '.join(f'{DATA[d][4]} for {d}' for d in DATA)}"
    )
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    epochs = args.epochs or DATA[args.data][4]
    sizes = dict(zip(("train", "test", "held out", "batch_size"), DATA[args.data][:4], strict=True))
    results = Results(
        args.out or Path(__file__).with_name(f"mirror_patches_{args.data}.json"),
        {"data": args.data, "epochs": epochs} | sizes,
    )
    go = partial(run_all, results, how=args, batch_size=sizes["batch_size"])
    train = partial(run, epochs=epochs, data=args.data)
    tuning = [{"arm": arm, "seed": None, "rate": rate} for rate in RATES for arm in ARMS]
    done = go([{"arm": "a step of each", "seed": 0}], partial(times, data=args.data)) and go(tuning, train)
    if done:
        rates = best_rates([r for r in results.records if "rate" in r], lambda arm: "upright")
        done = go([{"arm": a, "seed": s, "rate": rates[a]} for s in range(args.seeds) for a in ARMS], train)
    print("all done" if done else "call again to go on")


if __name__ == "__main__":
    main()
