"""Domains without borders: cycles and tori."""

import numpy as np

from gdl_utils._checks import check_positive
from gdl_utils.domains.domain import Domain
from gdl_utils.domains.grids import hexagonal_matrices, square_grid
from gdl_utils.groups import Group, cyclic, dihedral
from gdl_utils.groups.group import SUBSCRIPTS


def cycle(n: int, group: Group | None = None) -> Domain:
    """Return n points on a circle: a periodic sequence.

    Parameters
    ----------
    n : int
        Number of points.
    group : Group, optional
        C_k or D_k with k a divisor of n: ``r`` moves on by n/k points, ``m`` reverses about point 0. By default C_n, all shifts.

    Returns
    -------
    Domain
        With ``shape`` (n,).

    Raises
    ------
    ValueError
        If the group is neither cyclic nor dihedral, or its degree does not divide n.

    Examples
    --------
    >>> cycle(5).permutation[2]
    array([2, 3, 4, 0, 1])
    """
    n = check_positive("n", n)
    group = cyclic(n) if group is None else group
    if group.family not in ("cyclic", "dihedral") or n % group.degree:
        raise ValueError(
            f"group: {group.name} does not act on a cycle of {n}; the cyclic and dihedral groups do whose degree divides {n}"
        )
    i = np.arange(n)
    images = [(i + n // group.degree) % n, -i % n][: len(group.generators)]

    def resize(m: int) -> Domain | None:
        if m % group.degree == 0:
            return cycle(m, group)
        # All shifts of the longer cycle: every so many are shifts of the shorter one.
        return (
            cycle(m, cyclic(m) if group.family == "cyclic" else dihedral(m))
            if group.degree == n and n % m == 0
            else None
        )

    mirrors = dihedral(1) if group.family == "dihedral" else cyclic(1)
    permutation = group.action(images)
    return Domain(f"cycle of {n}", group, i[:, None], (n,), permutation, resize=resize, point_group=mirrors)


def torus(n: int, group: Group | None = None) -> Domain:
    """Return a grid with opposite edges glued, moved by all translations and by a group of turns and mirrors.

    Parameters
    ----------
    n : int
        Side of the grid, at least 3 (on smaller ones a turn can be a translation too).
    group : Group, optional
        A group that ``square_grid`` knows; it acts about the grid's centre. By default C_1: translations alone. C_3, C_6, D_3
        and D_6 turn the n × n axial coordinates of a hexagonal grid, as ``hexagonal_grid`` does, and n is odd then.

    Returns
    -------
    Domain
        With ``shape`` (n, n). Its group has n² · len(group) elements: number ``(g·n + i)·n + j`` first applies element g,
        then moves i rows down and j columns right. Its generators are the moves ``x`` (right) and ``y`` (down), then those of
        ``group``.

    Raises
    ------
    ValueError
        If n is below 3, or even for a group of thirds or sixths, or the group is not known.

    Examples
    --------
    >>> len(torus(5).group), len(torus(5, cyclic(4)).group)
    (25, 100)
    """
    n = check_positive("n", n)
    if n < 3:
        raise ValueError(f"n: got {n}; a torus has at least 3 points a side")
    group = cyclic(1) if group is None else group
    hexagonal = group.family in ("cyclic", "dihedral") and group.degree in (3, 6)
    if hexagonal and n % 2 == 0:
        raise ValueError(f"n: got {n}; a hexagonal torus has a point at its centre, and an odd side")
    grid = _hexagonal_torus(n, group) if hexagonal else square_grid(n, group)
    turns = [g for g in grid.group.generators if g != grid.group.identity]
    u = np.arange(n * n).reshape(n, n)
    right, down = np.roll(u, -1, axis=1), np.roll(u, -1, axis=0)
    both = Group(
        [right.ravel(), down.ravel(), *grid.permutation[turns]],
        names=["x", "y", *(grid.group.labels[g] for g in turns)],
        name=f"Z{n}²".translate(SUBSCRIPTS) + (f" ⋊ {grid.group.name}" if turns else ""),
    )
    resize = lambda m: torus(m, group) if n % m == 0 and m >= 3 else None
    return Domain(
        f"torus {n}×{n}", both, grid.points, (n, n), both.permutations, resize=resize, point_group=group
    )


def _hexagonal_torus(n: int, group: Group) -> Domain:
    """Build the n × n axial coordinates modulo n, turned about the middle one: every point is one of the torus."""
    side = np.arange(n) - n // 2
    points = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    images = []
    for matrix in hexagonal_matrices(group)[: len(group.generators)]:
        q, r = (points @ matrix.T + n // 2).T % n
        images.append(q * n + r)
    return Domain(f"hexagonal torus {n}×{n}", group, points, (n, n), group.action(images))
