"""Domains without borders: cycles and tori."""

from functools import partial

import numpy as np

from gdl_utils._checks import check_positive, check_size
from gdl_utils.domains.domain import Domain
from gdl_utils.domains.grids import as_sides, hexagonal_matrices, square_grid
from gdl_utils.groups import Group, cyclic, dihedral
from gdl_utils.groups.group import SUBSCRIPTS, check_group
from gdl_utils.groups.space_group import SpaceGroup


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
    group = check_group("group", cyclic(n) if group is None else group)
    if group.family not in ("cyclic", "dihedral") or n % group.degree:
        raise ValueError(
            f"group: {group.name} does not act on a cycle of {n}; the cyclic and dihedral groups do whose degree divides {n}"
        )
    i = np.arange(n)
    images = [(i + n // group.degree) % n, -i % n][: len(group.generators)]
    resize = partial(_other_cycle, n=n, group=group)
    mirrors = dihedral(1) if group.family == "dihedral" else cyclic(1)
    permutation = group.action(images)
    return Domain(f"cycle of {n}", group, i[:, None], (n,), permutation, resize=resize, point_group=mirrors)


def _other_cycle(m: int | tuple[int], *, n: int, group: Group) -> Domain | None:
    (m,) = as_sides(m, 1)
    if m % group.degree == 0:
        return cycle(m, group)
    # All shifts of the longer cycle: every so many are shifts of the shorter one.
    shifts = cyclic if group.family == "cyclic" else dihedral
    return cycle(m, shifts(m)) if group.degree == n and n % m == 0 else None


def torus(n: int | tuple[int, int], group: Group | None = None) -> Domain:
    """Return a grid with opposite edges glued, moved by all translations and by a group of turns and mirrors.

    Parameters
    ----------
    n : int or (int, int)
        Side of the grid, or height and width; at least 3 (on smaller ones a turn can be a translation too).
    group : Group, optional
        A group that ``square_grid`` knows on such sides; it acts about the grid's centre. By default C_1: translations alone. C_3,
        C_6, D_3 and D_6 turn the n × n axial coordinates of a hexagonal grid, as ``hexagonal_grid`` does, and n is odd then.

    Returns
    -------
    Domain
        With ``shape`` (height, width). Its group has height · width · len(group) elements: number ``(g·height + i)·width + j`` first
        applies element g, then moves i rows down and j columns right. Its generators are the moves ``x`` (right) and ``y`` (down),
        then those of ``group``.

    Raises
    ------
    ValueError
        If a side is below 3, or even for a group of thirds or sixths, or the group is not known.

    Examples
    --------
    >>> len(torus(5).group), len(torus(5, cyclic(4)).group)
    (25, 100)
    """
    if min(as_sides(n, 2)) < 3:
        raise ValueError(f"n: got {n}; a torus has at least 3 points a side")
    return _torus(n, check_group("group", cyclic(1) if group is None else group))


def _torus(n: int | tuple[int, int], group: Group) -> Domain:
    """Build a torus; of 2 points a side, as pooling leaves, some elements of the group may do the same."""
    sides = as_sides(n, 2)
    check_size("n", 4 * len(group) * sides[0] * sides[1], "what its group needs")
    hexagonal = group.family in ("cyclic", "dihedral") and group.degree in (3, 6)
    if hexagonal and (sides[0] % 2 == 0 or sides[0] != sides[1]):
        raise ValueError(
            f"n: got {n}; a hexagonal torus has a point at its centre, and an odd side, the same both ways"
        )
    grid = _hexagonal_torus(sides[0], group) if hexagonal else square_grid(sides, group)
    name = (f"Z{sides[0]}²" if sides[0] == sides[1] else f"Z{sides[0]}×Z{sides[1]}").translate(SUBSCRIPTS)
    name += f" ⋊ {grid.group.name}" if len(grid.group) > 1 else ""
    both = SpaceGroup(sides, grid.group, grid.permutation, name)
    return Domain(
        f"torus {sides[0]}×{sides[1]}", both, grid.points, sides, both.permutations,
        resize=partial(_other_torus, sides=sides, group=group), point_group=group,
    )  # fmt: skip


def _other_torus(m: int | tuple[int, int], *, sides: tuple[int, int], group: Group) -> Domain | None:
    """Build a torus some of whose shifts are those of another, a smaller one or a larger; None where there is none."""
    other, degree = as_sides(m, 2), group.degree
    fits = all((n % k == 0 or k % n == 0) and k > 1 for n, k in zip(sides, other, strict=True))
    turns = other[0] == other[1] and (degree == 4 or other[0] % 2)  # it swaps sides; hexagons have odd ones
    return _torus(other, group) if fits and (degree < 3 or turns) else None


def _hexagonal_torus(n: int, group: Group) -> Domain:
    """Build the n × n axial coordinates modulo n, turned about the middle one: every point is one of the torus."""
    side = np.arange(n) - n // 2
    points = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    images = []
    for matrix in hexagonal_matrices(group)[: len(group.generators)]:
        q, r = (points @ matrix.T + n // 2).T % n
        images.append(q * n + r)
    return Domain(f"hexagonal torus {n}×{n}", group, points, (n, n), group.action(images))
