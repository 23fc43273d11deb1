"""Does a table of cards hold a set? Networks that are told the game's symmetry, or are not, learn it from a few tables.

A card has three attributes with three values each, and three cards make a *set* if in each attribute they are all alike or all different
(the game SET, with one attribute less). Cards are points of F₃³, sets are its lines, and what keeps sets sets are the 303,264 affine
maps x → A x + b. A table has seven cards; half of the tables hold a set. Networks read which cards lie there, 27 numbers, and say yes
or no. None is told what a set is.

"derived": what the solver finds for that group, from cards to pairs of cards, back to cards, to cards; normalised by the batch, ReLU; the
mean over cards, a small perceptron. 302 weights.
"wrong group": the same network, for the same group on a deck that was shuffled: cards carry other names, and the maps move those.
"shifts only": the same for the 27 shifts x → x + b, a part of the group: 15,968 weights.
"all orders": the same for all orders of 27 cards, a group that is too large.
"plain": a perceptron with 754 weights. "plain, large": 6,082.
"augmented": the large one, and each table is moved by a random map whenever it is seen.
"averaged": the large one, its scores averaged over 16 random maps, drawn anew each time, in training and in the test.

As many steps for all. Each has the rate of four that does best on 400 other tables, with a seed that does not count, trained on 400. Then
five seeds, 50, 100 and 400 tables to learn from, 2,000 to test.

What this does not show, as a critic found afterwards with runs of their own: the augmented network is too narrow. With a width of 256 and batches of
800 it learns the game from 50 tables too (about 99 %), for it then sees as many moved tables as the averaged one; that arm is missing. "plain,
large" chose a rate with which it does not always fit its own tables, by a chance of the watched ones. Without the batch norms the derived
network does not train, and they alone do not help a perceptron. It learns tables of one size; shown several, it does all.

The arms were shared out to two processes with --arms and files of their own, which were then joined.

    python experiments/third_card.py
"""

import argparse
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import combinations, product
from pathlib import Path

import numpy as np
import torch
from runner import Results, rounded, run_all
from torch import nn

from gdl_utils import figures
from gdl_utils.intertwiners import basis_of_orbits
from gdl_utils.layers import EquivariantLinear
from gdl_utils.training import accuracy, cross_entropy

RATES = (0.003, 0.01, 0.03, 0.1)
TUNING = {"examples": 400, "seed": 100}  # with which each arm chooses its rate
EXAMPLES, STEPS, BATCH = (50, 100, 400), 1200, 50
ATTRIBUTES, TABLE, TEST, CHANNELS, POSES = 3, 7, 2_000, 6, 16


def deck(attributes: int) -> np.ndarray:
    """All cards, (3^attributes, attributes), with values 0, 1, 2."""
    return np.array(list(product(range(3), repeat=attributes)))


def moves_to(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where x → A x + b takes each card, as numbers of cards."""
    d = len(b)
    return (deck(d) @ np.asarray(A).T + b) % 3 @ 3 ** np.arange(d)[::-1]


def generators(attributes: int) -> np.ndarray:
    """Five maps that make all that keep sets sets: one attribute goes on by one; all change places in a ring, or two do; two of its values
    do; the first attribute is added to the second."""
    one, zero = np.eye(attributes, dtype=int), np.zeros(attributes, dtype=int)
    step, mirror, shear = one[0], one.copy(), one.copy()
    mirror[0, 0], shear[1, 0] = 2, 1
    swap = one[[1, 0, *range(2, attributes)]]
    maps = [(one, step), (np.roll(one, 1, 0), zero), (swap, zero), (mirror, zero), (shear, zero)]
    return np.stack([moves_to(*m) for m in maps])


def random_map(attributes: int, random: np.random.Generator) -> np.ndarray:
    """One of all of them, each as likely."""
    while True:
        A = random.integers(3, size=(attributes, attributes))
        if round(np.linalg.det(A)) % 3:
            return moves_to(A, random.integers(3, size=attributes))


def on_pairs(moves: np.ndarray) -> np.ndarray:
    """What maps of cards do to pairs of cards, in the order of ``combinations``."""
    n = moves.shape[1]
    one, other = np.array(list(combinations(range(n), 2))).T
    number = np.zeros((n, n), dtype=int)
    number[one, other] = number[other, one] = np.arange(len(one))
    return number[moves[:, one], moves[:, other]]


def card_marks(card: np.ndarray, corner: tuple[float, float], role: str) -> str:
    """Draw a card for a player: one, two or three triangles, squares or disks, empty, grey or full."""
    copies, shape, fill = card
    corners = (3, 4, 16)[shape]
    angles = 2 * np.pi * (np.arange(corners) + 0.5 * (shape == 1)) / corners - np.pi / 2
    outline = 5.5 * np.stack([np.cos(angles), np.sin(angles)], 1)
    box = np.array([(0, 0), (48, 0), (48, 26), (0, 26)]) + corner
    marks = [figures.polygon([box], role, filled=0.25 if role in ("signal", "moved") else 0.0)]
    for k in range(copies + 1):
        middle = np.add(corner, (24 + 15 * (k - copies / 2), 13))
        marks.append(figures.polygon([outline + middle], role, filled=(0.0, 0.35, 1.0)[fill]))
    return "".join(marks)


def pair_frames(found: np.ndarray) -> list[str]:
    """Draw all cards for each pair of the first card with another one, each in the role of the solution, (3, 27, 351), that has it."""
    by_count = {2: "signal", 1: "moved", 24: "control"}  # how many cards a solution singles out
    roles = [by_count[int(solution[:, 0].sum())] for solution in found]
    spot = lambda c: (4 + 53 * (c % 9), 4 + 31 * (c // 9))
    draw = lambda c, pair: card_marks(deck(ATTRIBUTES)[c], spot(c), roles[found[:, c, pair].argmax()])
    return ["".join(draw(c, pair) for c in range(27)) for pair in range(26)]


def is_set(cards: np.ndarray) -> np.ndarray:
    """Whether three cards, (…, 3, attributes), make a set: in each attribute the values add up to a multiple of 3."""
    return (cards.sum(-2) % 3 == 0).all(-1)


def tables(
    n: int, seed: int, attributes: int = ATTRIBUTES, cards: int = TABLE
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tables as zeros and ones, (n, number of cards), and whether there is a set; half of them have one."""
    random, all_cards = np.random.default_rng(seed), deck(attributes)
    triples = np.array(list(combinations(range(cards), 3)))
    found = {0: [], 1: []}
    while min(map(len, found.values())) < n // 2:
        table = random.choice(len(all_cards), cards, replace=False)
        found[int(is_set(all_cards[table][triples]).any())].append(table)
    chosen = np.stack([t for pair in zip(found[0][: n // 2], found[1][: n // 2], strict=True) for t in pair])
    x = torch.zeros(len(chosen), len(all_cards)).scatter_(1, torch.from_numpy(chosen), 1.0)
    return x, torch.arange(len(chosen)) % 2


class Derived(nn.Module):
    """Cards → pairs → cards → cards → one answer, for a group that is given by what its generators do to cards."""

    def __init__(self, moves: np.ndarray, channels: int = CHANNELS):
        super().__init__()
        pairs = on_pairs(moves)
        linear = lambda before, after, i: EquivariantLinear(basis_of_orbits(before, after), i, channels)
        self.to_pairs, self.to_cards = linear(moves, pairs, 1), linear(pairs, moves, channels)
        self.on_cards = linear(moves, moves, channels + 1)
        self.normal = nn.ModuleList(nn.BatchNorm1d(channels) for _ in range(3))
        self.head = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, None]  # (batch, 1, cards)
        y = self.normal[0](self.to_pairs(x)).relu()
        y = self.normal[1](self.to_cards(y)).relu()
        y = self.normal[2](self.on_cards(torch.cat([y, x], 1))).relu()
        return self.head(y.mean(-1))


def perceptron(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(3**ATTRIBUTES, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
    )


@lru_cache(maxsize=1)
def some_maps() -> torch.Tensor:
    """A thousand random maps, (1000, 27), to move tables by."""
    random = np.random.default_rng(0)
    return torch.from_numpy(np.stack([random_map(ATTRIBUTES, random) for _ in range(1000)]))


def moved(x: torch.Tensor) -> torch.Tensor:
    """Each table moved by a random map."""
    return x.gather(1, some_maps()[torch.randint(1000, (len(x),))])


class Moved(nn.Module):
    """A network that sees tables moved: in training only, or as the average over several, always."""

    def __init__(self, network: nn.Module, average: bool):
        super().__init__()
        self.network, self.average = network, average

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.average:
            return torch.stack([self.network(moved(x)) for _ in range(POSES)]).mean(0)
        return self.network(moved(x) if self.training else x)


def shuffled(moves: np.ndarray) -> np.ndarray:
    """The same group on a deck whose cards carry other names."""
    names = np.random.default_rng(0).permutation(moves.shape[1])
    return names[moves[:, np.argsort(names)]]


def shifts() -> np.ndarray:
    one = np.eye(ATTRIBUTES, dtype=int)
    return np.stack([moves_to(one, step) for step in one])


def all_orders() -> np.ndarray:
    cards = np.arange(3**ATTRIBUTES)
    return np.stack([np.roll(cards, 1), np.concatenate([[1, 0], cards[2:]])])


ARMS: dict[str, Callable[[], nn.Module]] = {
    "derived": lambda: Derived(generators(ATTRIBUTES)),
    "wrong group": lambda: Derived(shuffled(generators(ATTRIBUTES))),
    "shifts only": lambda: Derived(shifts()),
    "all orders": lambda: Derived(all_orders()),
    "plain": lambda: perceptron(16),
    "plain, large": lambda: perceptron(64),
    "augmented": lambda: Moved(perceptron(64), average=False),
    "averaged": lambda: Moved(perceptron(64), average=True),
}


@lru_cache(maxsize=1)
def test_tables() -> tuple[torch.Tensor, torch.Tensor]:
    return tables(TEST, 10_000)


def run(train, arm: str, examples: int, seed: int, learning_rate: float) -> dict:
    """Train one network, and test it."""
    x, y = tables(examples, seed)
    torch.manual_seed(seed)
    model = ARMS[arm]()
    history, seconds = train(
        model,
        cross_entropy,
        (x, y),
        epochs=STEPS // -(-examples // BATCH),
        seed=seed,
        learning_rate=learning_rate,
    )
    judged = {"watched": tables(400, 20_000)} if seed == TUNING["seed"] else {"right": test_tables()}
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "loss": rounded(history[-1]),
        "learned": round(accuracy(model, x, y), 4),
        **{name: round(accuracy(model, *some), 4) for name, some in judged.items()},
    }


def best_rate(records: list[dict], arm: str) -> float:
    """The learning rate with which the arm does best on the watched tables."""
    tried = [r for r in records if {"arm": arm, **TUNING}.items() <= r.items()]
    return max(tried, key=lambda r: r["watched"])["learning_rate"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after this time; a later call goes on"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    settings = {"steps": STEPS, "batch_size": BATCH, "rates": list(RATES), "tuning": TUNING, "test": TEST}
    results = Results(args.out, settings)
    call = partial(run_all, results, run=run, minutes=args.minutes, batch_size=BATCH)
    values = lambda arm, n, seed, rate: {
        "arm": arm, "examples": n, "seed": seed, "learning_rate": rate,
    }  # fmt: skip
    done = call([values(arm, *TUNING.values(), rate) for arm, rate in product(args.arms, RATES)])
    done = done and call(
        [
            values(arm, n, seed, best_rate(results.records, arm))
            for n, seed, arm in product(EXAMPLES, range(args.seeds), args.arms)
        ]
    )
    print("all done" if done else "call again to go on")


if __name__ == "__main__":
    main()
