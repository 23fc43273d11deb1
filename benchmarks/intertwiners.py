"""How long does it take to find all layers that respect a group, beside EMLP (Finzi, Welling and Wilson 2021)?

Run by ``make bench``, timed as ``_timing.py`` says: both take turns, and what is reported are ratios of neighbouring times, other ÷ ours
(above 1: ours is faster). EMLP compiles what it computes for each group that is made, which is part of its time, as it is for whoever
asks once; its store of solutions is emptied before each turn. The two large ones are ours alone: seconds, once.
"""

import os
import resource
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from _timing import in_turns, seconds, store
from scipy.linalg import block_diag

from gdl_utils.intertwiners import intertwiners
from gdl_utils.representations import lorentz, rotations

ROUNDS = 5


def cube_moves():
    """The six quarter-turns of the faces of Rubik's cube as permutation matrices of its 48 stickers."""
    places = [p for p in product((-2, -1, 0, 1, 2), repeat=3) if sorted(map(abs, p))[1:] in ([0, 2], [1, 2])]
    stickers = [p for p in places if [abs(c) for c in p].count(2) == 1 and sum(map(abs, p)) > 2]
    matrices = []
    for axis, side in product(range(3), (-1, 1)):
        one, other = (k for k in range(3) if k != axis)
        moved = np.zeros((48, 48))
        for i, p in enumerate(stickers):
            to = list(p)
            if p[axis] * side >= 1:
                to[one], to[other] = -p[other], p[one]
            moved[stickers.index(tuple(to)), i] = 1
        matrices.append(moved)
    return matrices


def power(g, k):
    """What g does to all products of k numbers."""
    return np.kron(g, power(g, k - 1)) if k else np.eye(1)


def orders_of_five(*powers):
    """What the generators of S₅ do to a sum of tensor powers of five numbers, T(k)."""
    natural = [np.eye(5)[:, np.roll(range(5), 1)], np.eye(5)[:, [1, 0, 2, 3, 4]]]
    return [block_diag(*(power(g, k) for k in powers)) for g in natural]


def contestants():
    """Return for each name how many layers there are, ours, and EMLP's."""
    from emlp.groups import Group, Lorentz, S
    from emlp.reps import T, V

    class Cube(Group):
        def __init__(self):  # with our moves: EMLP's own take any two corner stickers to any other two
            self.discrete_generators = np.stack(cube_moves())
            super().__init__()

    event, cube = lorentz(), cube_moves()
    before, after = orders_of_five(*[1] * 10, *[2] * 5), orders_of_five(0, 0, 0, 2)
    return {
        "O(1, 3): a vector → T(2, 1)": (
            3,
            lambda: intertwiners(event, event * event * event.dual),
            lambda: V(Lorentz()) >> T(2, 1)(Lorentz()),
        ),
        "Rubik's cube: 48 stickers → 48": (
            9,
            lambda: intertwiners(cube, cube),
            lambda: V(Cube()) >> V(Cube()),
        ),
        "S_5: 10 T(1) + 5 T(2) → 3 T(0) + T(2)": (
            185,
            lambda: intertwiners(before, after),
            lambda: (10 * T(1) + 5 * T(2))(S(5)) >> (3 * T(0) + T(2))(S(5)),
        ),
    }


def solved_by_emlp(make):
    from emlp.reps.representation import Rep

    Rep.solcache.clear()
    return make().equivariant_basis()


def main(out):
    os.environ["TQDM_DISABLE"] = "1"
    results = []
    for name, (expected, ours, theirs) in contestants().items():
        dim = ours().dim
        assert dim == expected == solved_by_emlp(theirs).shape[1], name
        calls = {"ours": ours, "EMLP": partial(solved_by_emlp, theirs)}
        took, quartiles = in_turns(name, calls, ROUNDS)
        results.append({"layer": name, "dim": dim, "ours_ms": round(took, 1), "other ÷ ours": quartiles})
    order = np.random.default_rng(0).permutation(3163)
    shift, arrow = np.roll(np.arange(3163), 1), rotations(3)
    moves = [np.eye(3163, dtype=np.float32)[:, m] for m in (order, shift)]
    two, three = arrow * arrow, arrow * arrow * arrow
    wide = three * arrow + three + three + two + two + arrow
    once = {
        "10,004,569 unknowns, permutations, s": seconds(lambda: intertwiners(moves, moves)),
        f"{wide.size**2:,} unknowns, SO(3), s": seconds(lambda: intertwiners(wide, wide)),
        "most memory, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    peer = SimpleNamespace(__name__="emlp", __version__=version("emlp"))
    settings = {"rounds": ROUNDS, "quantiles": "lower quartile, median, upper quartile"}
    store(out, peer, settings | {"once": once, "results": results})
    print(once)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".json"))
