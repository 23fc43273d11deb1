"""Does a table of cards hold a set? Networks that are told the game's symmetry, or are not, learn it from a few tables.

A card has some attributes with three values each, and three cards make a *set* if in each attribute they are all alike or all different
(the game SET, which has four attributes). Cards are points of F₃ᵈ, sets are its lines, and what keeps sets sets are the affine maps
x → A x + b. Two games: with three attributes, 27 cards and 303,264 maps, tables of seven; and the whole one, 81 cards and 1,965,150,720
maps, tables of twelve, as it is played. Half of the tables hold a set. Networks read which cards lie there and say yes or no. None is told
what a set is.

"derived": what the solver finds for that group, from cards to pairs of cards, back to cards, to cards; normalised by the batch, ReLU; the
mean over cards, a small perceptron. 302 weights.
"wrong group": the same network, for the same group on a deck that was shuffled: cards carry other names, and the maps move those.
"shifts only": the same for the 27 shifts x → x + b, a part of the group: 15,968 weights.
"plain": a perceptron with 16 hidden units twice, 754 weights. "plain, large": with 256, 73,474 weights.
"augmented": a perceptron; whenever a table is seen, it is seen in 16 poses, each moved by a random map.
"averaged": a perceptron; its scores are averaged over 16 random maps, drawn anew each time, in training and in the test.
"…, large": the same with the large one.

As many steps for all. Each has the rate of six that does best on 400 other tables, with a seed that does not count; rates with which it
does not fit its own tables do not count, if there are others; where several do equally well the one tried first counts (.003 to .1 were
tried before the others). Then five seeds, 50, 100 and 400 tables to learn from, 2,000 to test.

In the whole game all learn from 50 tables, and a step of "derived" takes about twenty times as long as one of the large perceptron: it keeps its
rate of the small game, and "augmented, large, as long" has twenty times the steps, at the rate that is best for 1,200.

    python experiments/third_card.py
    python experiments/third_card.py --whole
"""

import math
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import combinations, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from runner import Results, arguments, rounded, run_all
from torch import nn

from gdl_utils import figures
from gdl_utils.intertwiners import basis_of_orbits
from gdl_utils.layers import EquivariantLinear
from gdl_utils.training import accuracy, cross_entropy

RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
TUNING = 100  # the seed with which each arm chooses its rate
STEPS, BATCH, TEST, FITS = 1200, 50, 2_000, 0.99  # fits: right of its own tables
CHANNELS, WIDTH, LARGE, POSES = 6, 16, 256, 16
AS_LONG = 20  # as many times the steps


class Game(NamedTuple):
    attributes: int
    table: int  # cards that lie there
    examples: tuple[int, ...]  # tables to learn from; the rate is chosen with the most


SMALL, WHOLE = Game(3, 7, (50, 100, 400)), Game(4, 12, (50,))


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


def random_maps(n: int, attributes: int) -> torch.Tensor:
    """n of all of them, each as likely, as where they take the cards, (n, 3^attributes)."""
    A = torch.empty(0, attributes, attributes, dtype=torch.long)
    while len(A) < n:
        drawn = torch.randint(3, (2 * n, attributes, attributes))
        A = torch.cat([A, drawn[torch.linalg.det(drawn.double()).round() % 3 != 0]])[:n]
    there = torch.from_numpy(deck(attributes)) @ A.mT + torch.randint(3, (n, 1, attributes))
    return there % 3 @ 3 ** torch.arange(attributes).flip(0)


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
    draw = lambda c, pair: card_marks(deck(3)[c], spot(c), roles[found[:, c, pair].argmax()])
    return ["".join(draw(c, pair) for c in range(27)) for pair in range(26)]


def is_set(cards: np.ndarray) -> np.ndarray:
    """Whether three cards, (…, 3, attributes), make a set: in each attribute the values add up to a multiple of 3."""
    return (cards.sum(-2) % 3 == 0).all(-1)


def tables(
    n: int, seed: int, attributes: int = SMALL.attributes, cards: int = SMALL.table
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tables as zeros and ones, (n, number of cards), and whether there is a set; half of them have one."""
    most = (2, 4, 9, 20)[attributes - 1]  # the largest sets of cards without a set, found by others
    if not 3 <= cards <= most:
        raise ValueError(
            f"cards: got {cards}; of more than {most} some make a set, and fewer than 3 never do"
        )
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


def perceptron(cards: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(cards, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
    )


def moved(x: torch.Tensor) -> torch.Tensor:
    """Each table moved by a map of its own."""
    attributes = round(math.log(x.shape[1], 3))
    return x.gather(1, random_maps(len(x), attributes))


class Averaged(nn.Module):
    """A network whose scores are averaged over random maps, always."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.network(moved(x)) for _ in range(POSES)]).mean(0)


def augmented_loss(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The loss of tables in 16 poses each."""
    return cross_entropy(model, moved(x.repeat(POSES, 1)), y.repeat(POSES))


def shuffled(moves: np.ndarray) -> np.ndarray:
    """The same group on a deck whose cards carry other names."""
    names = np.random.default_rng(0).permutation(moves.shape[1])
    return names[moves[:, np.argsort(names)]]


def shifts(attributes: int) -> np.ndarray:
    one = np.eye(attributes, dtype=int)
    return np.stack([moves_to(one, step) for step in one])


ARMS: dict[str, Callable[[int], nn.Module]] = {  # by the number of attributes
    "derived": lambda d: Derived(generators(d)),
    "wrong group": lambda d: Derived(shuffled(generators(d))),
    "shifts only": lambda d: Derived(shifts(d)),
    "plain": lambda d: perceptron(3**d, WIDTH),
    "plain, large": lambda d: perceptron(3**d, LARGE),
    "augmented": lambda d: perceptron(3**d, WIDTH),
    "augmented, large": lambda d: perceptron(3**d, LARGE),
    "augmented, large, as long": lambda d: perceptron(3**d, LARGE),
    "averaged": lambda d: Averaged(perceptron(3**d, WIDTH)),
    "averaged, large": lambda d: Averaged(perceptron(3**d, LARGE)),
}
IN_THE_WHOLE = ("derived", *[name for name in ARMS if name.endswith(("large", "as long"))])


@lru_cache(maxsize=1)
def test_tables(game: Game) -> tuple[torch.Tensor, torch.Tensor]:
    return tables(TEST, 10_000, game.attributes, game.table)


def run(train, attributes: int, arm: str, examples: int, seed: int, learning_rate: float) -> dict:
    """Train one network, and test it."""
    game = next(g for g in (SMALL, WHOLE) if g.attributes == attributes)
    x, y = tables(examples, seed, *game[:2])
    torch.manual_seed(seed)
    model = ARMS[arm](attributes)
    if arm.endswith("as long"):  # with the same number of epochs, after each of which it is saved
        x, y = x.repeat(AS_LONG, 1), y.repeat(AS_LONG)
    history, seconds = train(
        model,
        augmented_loss if arm.startswith("augmented") else cross_entropy,
        (x, y),
        epochs=STEPS // -(-examples // BATCH),
        seed=seed,
        learning_rate=learning_rate,
    )
    watched = seed == TUNING
    judged = {"watched": tables(400, 20_000, *game[:2])} if watched else {"right": test_tables(game)}
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "loss": rounded(history[-1]),
        "learned": round(accuracy(model, x, y), 4),
        **{name: round(accuracy(model, *some), 4) for name, some in judged.items()},
    }


def best_rate(records: list[dict], game: Game, arm: str) -> float:
    """The learning rate with which the arm does best on the watched tables, of those with which it fits its own, if there are any."""
    arm = arm.removesuffix(", as long")
    tried = [r for r in records if (r["attributes"], r["arm"], r["seed"]) == (game.attributes, arm, TUNING)]
    return max(tried, key=lambda r: (r["learned"] >= FITS, r["watched"]))["learning_rate"]


def main() -> None:
    parser = arguments(__doc__, Path(__file__).with_suffix(".json"))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--whole", action="store_true", help="the game with four attributes")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    settings = {"steps": STEPS, "batch_size": BATCH, "rates": list(RATES), "tuning": TUNING, "test": TEST}
    settings |= {"fits": FITS, "poses": POSES}
    results = Results(args.out, settings)
    call = partial(run_all, results, run=run, how=args, batch_size=BATCH)
    game = WHOLE if args.whole else SMALL
    values = lambda arm, n, seed, rate: {
        "attributes": game.attributes, "arm": arm, "examples": n, "seed": seed, "learning_rate": rate,
    }  # fmt: skip
    arms = [arm for arm in args.arms if (arm in IN_THE_WHOLE if args.whole else not arm.endswith("as long"))]
    tuned = [arm for arm in arms if not arm.endswith("as long") and not (args.whole and arm == "derived")]
    rate = lambda arm: best_rate(results.records, SMALL if arm == "derived" else game, arm)
    done = call([values(arm, game.examples[-1], TUNING, r) for arm, r in product(tuned, RATES)]) and call(
        [values(arm, n, seed, rate(arm)) for n, seed, arm in product(game.examples, range(args.seeds), arms)]
    )
    print("all done" if done else "call again to go on")


if __name__ == "__main__":
    main()
