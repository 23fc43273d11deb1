"""The groups that the book uses by name, and products of groups."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from gdl_utils._checks import check_positive
from gdl_utils.groups.group import SUBSCRIPTS, Group

__all__ = ["cyclic", "dihedral", "octahedral", "semidirect_product", "symmetric"]

# What the generators of the cube's symmetries do to (depth, row, column): a quarter-turn in the last two, a quarter-turn
# in the first two, and the inversion through the centre.
CUBE_MATRICES = (
    np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
    np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    -np.eye(3, dtype=np.int64),
)


def cyclic(n: int) -> Group:
    """Return C_n (also written Z_n), the turns by multiples of 360°/n; element i is i times the generator ``r``.

    Examples
    --------
    >>> int(cyclic(4).product[1, 3])  # a quarter-turn after three of them is no turn
    0
    """
    n = check_positive("n", n)
    return Group(
        [np.roll(np.arange(n), -1)], names="r", name=f"C{n}".translate(SUBSCRIPTS), family="cyclic", degree=n
    )


def dihedral(n: int) -> Group:
    """Return D_n, the 2n turns and mirror images of a regular n-gon: ``r^i`` is element i, ``r^i m`` is element n + i.

    Examples
    --------
    >>> D4 = dihedral(4)
    >>> r, m = D4.generators
    >>> D4.labels[D4.product[r, m]], D4.labels[D4.product[m, r]]
    ('rm', 'r³m')
    """
    n = check_positive("n", n)
    # Two rings of n points, swapped by the mirror: on one ring D_1 and D_2 would lose elements.
    i = np.arange(n)
    turn = np.r_[(i + 1) % n, n + (i + 1) % n]
    mirror = np.r_[n + -i % n, -i % n]
    return Group([turn, mirror], names="rm", name=f"D{n}".translate(SUBSCRIPTS), family="dihedral", degree=n)


def symmetric(n: int) -> Group:
    """Return S_n, all n! orders of n things, made by swaps of neighbours ``a, b, c, …`` (n from 1 to 8).

    Examples
    --------
    >>> len(symmetric(4)), symmetric(3).is_abelian
    (24, False)
    """
    n = check_positive("n", n)
    if n > 8:
        raise ValueError(
            f"n: the symmetric group of {n} things is too large to list; n may be 1 to 8 (8! = 40,320)"
        )
    swaps = []
    for i in range(n - 1):
        swap = np.arange(n)
        swap[[i, i + 1]] = i + 1, i
        swaps.append(swap)
    return Group(swaps or [np.arange(n)], name=f"S{n}".translate(SUBSCRIPTS), family="symmetric", degree=n)


def octahedral(reflections: bool = False) -> Group:
    """Return O, the 24 turns of a cube, or with ``reflections`` O_h, its 48 turns and mirror images.

    The generators ``r`` and ``s`` are quarter-turns about two axes: in the plane of rows and columns, and in the plane of
    depth and rows. With reflections comes ``i``, the inversion through the centre, which commutes with everything: element
    24 + k is element k inverted.

    Examples
    --------
    >>> len(octahedral()), len(octahedral(reflections=True))
    (24, 48)
    """
    matrices = CUBE_MATRICES if reflections else CUBE_MATRICES[:2]
    faces = np.vstack([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)])
    images = [[faces.tolist().index(face) for face in (faces @ m.T).tolist()] for m in matrices]
    return Group(images, names="rsi"[: len(images)], name="Oₕ" if reflections else "O", family="octahedral")


def semidirect_product(
    normal: Group, group: Group, automorphisms: Sequence[ArrayLike] | None = None, *, name: str | None = None
) -> Group:
    """Return N ⋊ H: pairs (n, h) with (n, h)(n', h') = (n · h(n'), hh'), where each h shuffles the elements of N.

    Parameters
    ----------
    normal, group : Group
        N, which becomes a normal subgroup, and H, which acts on it.
    automorphisms : sequence of int arrays of shape (len(normal),), optional
        For each generator of H, where it sends the elements of N. By default nowhere: the direct product N × H.
    name : str, optional
        By default made from the two names.

    Returns
    -------
    Group
        With len(normal) · len(group) elements; its generators are those of N, then those of H.

    Raises
    ------
    ValueError
        If one of the permutations does not respect the products of N, or they do not compose as H multiplies.

    Examples
    --------
    Moves of a cycle, and its reversal, which turns every move round: the result is dihedral.

    >>> moves, reverse = cyclic(5), cyclic(2)
    >>> G = semidirect_product(moves, reverse, [moves.inverse])
    >>> len(G), G.is_abelian, semidirect_product(moves, reverse).is_abelian
    (10, False, True)
    """
    stays = np.arange(len(normal))
    automorphisms = [stays] * len(group.generators) if automorphisms is None else list(automorphisms)
    group.action(automorphisms)  # they compose as H does, or an error says where not
    for s, moved in enumerate(map(np.asarray, automorphisms)):
        if not np.array_equal(moved[normal.product], normal.product[np.ix_(moved, moved)]):
            raise ValueError(
                f"automorphisms[{s}]: does not respect the products of {normal.name}; h(n·n') must be h(n)·h(n')"
            )
    # N moves its own elements from the left, H shuffles them; H's own points tell its elements apart.
    own = len(stays) + np.arange(group.permutations.shape[1])
    shifts = [np.r_[normal.product[n], own] for n in normal.generators]
    turns = [
        np.r_[moved, len(stays) + group.permutations[h]]
        for moved, h in zip(automorphisms, group.generators, strict=True)
    ]
    names = [normal.labels[n] for n in normal.generators]
    names += [group.labels[h] + "'" * (group.labels[h] in names) for h in group.generators]
    direct = all(np.array_equal(moved, stays) for moved in automorphisms)
    return Group(
        [*shifts, *turns], names=names, name=name or f"{normal.name} {'×' if direct else '⋊'} {group.name}"
    )
