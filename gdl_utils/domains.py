"""Domains Ω: points, and how a group permutes them.

A domain is where a signal lives: the pixels of an image, the positions of a sequence. All that the rest of the
package asks of it is one table, ``permutation[g, u]``: the point to which element g sends point u.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gdl_utils.groups import SUBSCRIPTS, Group, check_positive, cyclic

__all__ = ["Domain", "cycle", "square_grid", "torus"]


@dataclass(frozen=True, eq=False)
class Domain:
    """Points that a group permutes. Made by the functions of this module.

    Attributes
    ----------
    name : str
        What it is, for figures and messages.
    group : Group
        The group that acts.
    points : int array of shape (n, d)
        Coordinates of the n points. On grids they are doubled and centred, so that a turn about the centre keeps them
        whole for even sizes too: on a 4×4 grid a coordinate is -3, -1, 1 or 3.
    shape : tuple of int
        Shape of the tensor axes that a signal has on this domain; its entries in row-major order are the points.
    permutation : int array of shape (len(group), n)
        ``permutation[g, u]`` is the number of the point g·u.
    """

    name: str
    group: Group
    points: np.ndarray
    shape: tuple[int, ...]
    permutation: np.ndarray

    def __len__(self) -> int:
        return len(self.points)

    def __repr__(self) -> str:
        return f"Domain({self.name}, {len(self)} points, moved by {self.group.name})"


def square_grid(n: int, group: Group | None = None, *, matrices: Sequence[ArrayLike] | None = None) -> Domain:
    """Return the n × n grid, which a group turns and mirrors about its centre.

    Parameters
    ----------
    n : int
        Side of the grid, even or odd.
    group : Group, optional
        C_1, C_2 or C_4 (``r`` turns counter-clockwise as the grid is drawn, rows downwards), D_1, D_2 or D_4 (``m`` swaps left
        and right), or any group together with ``matrices``. By default C_1, which moves nothing.
    matrices : sequence of int arrays of shape (2, 2), optional
        What each generator of the group does to (row, column), measured from the centre.

    Returns
    -------
    Domain
        With ``shape`` (n, n).

    Raises
    ------
    ValueError
        If the group's action is not known here and no matrices are given, or the grid is not mapped to itself.

    Examples
    --------
    A quarter-turn takes the top right corner of a 3 × 3 grid (point 2) to the top left (point 0):

    >>> int(square_grid(3, cyclic(4)).permutation[1, 2])
    0
    """
    n = check_positive("n", n)
    group = cyclic(1) if group is None else group
    if matrices is None:
        if group.family not in ("cyclic", "dihedral") or 4 % group.degree:
            raise ValueError(
                f"group: how {group.name} acts on a square grid is not known; C₁, C₂, C₄, D₁, D₂ and D₄ are, "
                "any other needs matrices=, one for each generator"
            )
        quarter, mirror = np.array([[0, -1], [1, 0]]), np.diag([1, -1])
        matrices = [np.linalg.matrix_power(quarter, 4 // group.degree), mirror][: len(group.generators)]
    side = 2 * np.arange(n) - (n - 1)
    points = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    name = f"square grid {n}×{n}"
    return Domain(name, group, points, (n, n), _permute(name, points, group, matrices))


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
    return Domain(f"cycle of {n}", group, i[:, None], (n,), group.action(images))


def torus(n: int, group: Group | None = None) -> Domain:
    """Return the n × n grid with opposite edges glued, moved by all translations and by a group of turns and mirrors.

    Parameters
    ----------
    n : int
        Side of the grid, at least 3 (on smaller ones a turn can be a translation too).
    group : Group, optional
        A group that ``square_grid`` knows; it acts about the grid's centre. By default C_1: translations alone.

    Returns
    -------
    Domain
        With ``shape`` (n, n). Its group has n² · len(group) elements: number ``(g·n + i)·n + j`` first applies element g,
        then moves i rows down and j columns right. Its generators are the moves ``x`` (right) and ``y`` (down), then those of
        ``group``.

    Raises
    ------
    ValueError
        If n is below 3, or ``square_grid`` does not know the group.

    Examples
    --------
    >>> len(torus(5).group), len(torus(5, cyclic(4)).group)
    (25, 100)
    """
    n = check_positive("n", n)
    if n < 3:
        raise ValueError(f"n: got {n}; a torus has at least 3 points a side")
    grid = square_grid(n, group)
    turns = [g for g in grid.group.generators if g != grid.group.identity]
    u = np.arange(n * n).reshape(n, n)
    right, down = np.roll(u, -1, axis=1), np.roll(u, -1, axis=0)
    both = Group(
        [right.ravel(), down.ravel(), *grid.permutation[turns]],
        names=["x", "y", *(grid.group.labels[g] for g in turns)],
        name=f"Z{n}²".translate(SUBSCRIPTS) + (f" ⋊ {grid.group.name}" if turns else ""),
    )
    return Domain(f"torus {n}×{n}", both, grid.points, (n, n), both.permutations)


def _permute(name: str, points: np.ndarray, group: Group, matrices: Sequence[ArrayLike]) -> np.ndarray:
    """Return the permutation table of a linear action on the points, or refuse one that leaves them."""
    rho = group.representation(matrices)
    if rho.shape[1] != points.shape[1]:
        raise ValueError(
            f"matrices: got {rho.shape[1]}×{rho.shape[1]}; the points of a {name} have {points.shape[1]} coordinates"
        )
    number = {tuple(point): u for u, point in enumerate(points.tolist())}
    table = np.empty((len(group), len(points)), dtype=np.int64)
    for g in range(len(group)):
        moved = points @ rho[g].T
        try:
            table[g] = [number[tuple(point)] for point in moved.tolist()]
        except KeyError as lost:
            raise ValueError(
                f"group: {group.labels[g]} of {group.name} moves a point of the {name} to {lost}, off the grid"
            ) from None
    return table
