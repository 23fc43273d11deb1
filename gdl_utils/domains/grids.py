"""Grids in one, two and three dimensions, which a group turns and mirrors about their centre."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from gdl_utils._checks import check_positive, check_size
from gdl_utils.domains.domain import Domain
from gdl_utils.domains.voxels import as_spacing, check_respects, main_axis
from gdl_utils.groups import Group, cyclic
from gdl_utils.groups.group import check_group

# What the generators of the cube's symmetries do to (depth, row, column): a quarter-turn in the last two, a quarter-turn
# in the first two, and the inversion through the centre.
CUBE_MATRICES = (
    np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
    np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    -np.eye(3, dtype=np.int64),
)


def square_grid(
    n: int | tuple[int, int],
    group: Group | None = None,
    *,
    matrices: Sequence[ArrayLike] | None = None,
    spacing: tuple[float, float] | None = None,
) -> Domain:
    """Return the n × n grid, which a group turns and mirrors about its centre.

    Parameters
    ----------
    n : int or (int, int)
        Side of the grid, even or odd, or its height and width. Where these differ, no quarter-turn maps it to itself.
    group : Group, optional
        C_1, C_2 or C_4 (``r`` turns counter-clockwise as the grid is drawn, rows downwards), D_1, D_2 or D_4 (``m`` swaps left
        and right), or any group together with ``matrices``. By default C_1, which moves nothing.
    matrices : sequence of int arrays of shape (2, 2), optional
        What each generator of the group does to (row, column), measured from the centre.
    spacing : (float, float), optional
        How far neighbouring points are apart along each axis, in any unit: a group that takes an axis to one of another spacing
        is refused, for its turns would be none of what the pixels show. The points stay as they are.

    Returns
    -------
    Domain
        With ``shape`` (height, width).

    Raises
    ------
    ValueError
        If the group's action is not known here and no matrices are given, the grid is not mapped to itself, or the spacing is not
        positive and finite, or not the same along axes that the group swaps (see ``voxel_group``).

    Examples
    --------
    A quarter-turn takes the top right corner of a 3 × 3 grid (point 2) to the top left (point 0):

    >>> int(square_grid(3, cyclic(4)).permutation[1, 2])
    0
    """
    return _grid(
        "square grid", n, 2, group, matrices, _square_matrices, "C₁, C₂, C₄, D₁, D₂ and D₄", spacing=spacing
    )


def cubic_grid(
    n: int | tuple[int, int, int],
    group: Group | None = None,
    *,
    matrices: Sequence[ArrayLike] | None = None,
    spacing: tuple[float, float, float] | None = None,
) -> Domain:
    """Return the n × n × n grid, which a group turns and mirrors about its centre.

    It knows O and O_h, the groups that ``square_grid`` knows, which move rows and columns and leave the depth alone, and D_1h, D_2h
    and D_4h, which reverse it too (``z``). Where the spacing is alike along two axes and singles out the third, those in the plane
    turn about that one: with (1, 1, 3) about the columns' axis, from depth to rows, and ``m`` mirrors the rows. The medical formats
    order axes in their own ways, and ``spacing`` goes with the axes of the tensor.

    Errors are those of ``square_grid``, and the ``shape`` is (depth, height, width).

    Parameters
    ----------
    n : int or (int, int, int)
        Side of the grid, or depth, height and width.
    group : Group, optional
        One that it knows, or any together with ``matrices``; by default C_1, which moves nothing.
    matrices : sequence of int arrays of shape (3, 3), optional
        What each generator does to (depth, row, column), measured from the centre.
    spacing : (float, float, float), optional
        How far neighbouring points are apart along each axis, as for ``square_grid``.

    Examples
    --------
    >>> from gdl_utils.groups import octahedral, prismatic
    >>> cubic_grid(3, octahedral())
    Domain(cubic grid 3×3×3, 27 points, moved by O)
    >>> cubic_grid(3, prismatic(4), spacing=(3, 1, 1))
    Domain(cubic grid 3×3×3, 27 points, moved by D₄ₕ)
    """
    spacing = spacing if spacing is None else as_spacing(spacing, 3)
    standard = partial(_cubic_matrices, axis=main_axis(spacing))
    known = "O, Oₕ, C₁, C₂, C₄, D₁, D₂, D₄, D₁ₕ, D₂ₕ and D₄ₕ"
    return _grid("cubic grid", n, 3, group, matrices, standard, known, spacing=spacing)


def strand(n: int, group: Group | None = None, *, matrices: Sequence[ArrayLike] | None = None) -> Domain:
    """Return n positions in a row, such as those of a piece of DNA, which C_2 reads backwards.

    It knows C_1 and C_2. Errors are those of ``square_grid``, and the ``shape`` is (n,).

    Parameters
    ----------
    n : int
        How many positions.
    group : Group, optional
        One that it knows, or any together with ``matrices``; by default C_1, which moves nothing.
    matrices : sequence of [[1]] or [[-1]], optional
        Whether each generator reads the row backwards.

    Examples
    --------
    >>> strand(5, cyclic(2)).permutation[1]
    array([4, 3, 2, 1, 0])
    """
    return _grid("strand", n, 1, group, matrices, _strand_matrices, "C₁ and C₂")


def hexagonal_grid(
    n: int, group: Group | None = None, *, matrices: Sequence[ArrayLike] | None = None
) -> Domain:
    """Return the points of a hexagonal grid within a hexagon, which a group turns and mirrors about its centre.

    A point has axial coordinates (q, r), both from -(n-1)/2 to (n-1)/2, and lies in the hexagon if q + r does so too. A sixth
    of a turn takes (q, r) to (-r, q + r), a mirror to (r, q). In a tensor q counts rows and r columns, and two corners are empty.

    It knows C_1, C_2, C_3 and C_6, D_1, D_2, D_3 and D_6. Errors are those of ``square_grid``. The ``shape`` is (n, n), and the
    ``mask`` says which of its entries are the (3n² + 1)/4 points.

    Parameters
    ----------
    n : int
        Width of the hexagon, odd; the 7 points of ``hexagonal_grid(3)`` are a point and its neighbours.
    group : Group, optional
        One that it knows, or any together with ``matrices``; by default C_1, which moves nothing.
    matrices : sequence of int arrays of shape (2, 2), optional
        What each generator does to (q, r).

    Examples
    --------
    >>> hexagonal_grid(3, cyclic(6)).mask.astype(int)
    array([[0, 1, 1],
           [1, 1, 1],
           [1, 1, 0]])
    """
    if check_positive("n", n) % 2 == 0:
        raise ValueError(f"n: got {n}; a hexagon with a point at its centre has an odd width")
    known = "C₁, C₂, C₃, C₆, D₁, D₂, D₃ and D₆"
    return _grid("hexagonal grid", n, 2, group, matrices, hexagonal_matrices, known, hexagon=True)


def _square_matrices(group: Group) -> list[np.ndarray] | None:
    """Return what the generators do to (row, column), or None where that is not known."""
    if group.family not in ("cyclic", "dihedral") or 4 % group.degree:
        return None
    return [np.linalg.matrix_power([[0, -1], [1, 0]], 4 // group.degree), np.diag([1, -1])]


def _cubic_matrices(group: Group, axis: int) -> list[np.ndarray] | None:
    if group.family == "octahedral":
        return list(CUBE_MATRICES)
    if group.family not in ("cyclic", "dihedral", "prismatic") or 4 % group.degree:
        return None
    turn = np.linalg.matrix_power(CUBE_MATRICES[0], 4 // group.degree)
    # About the depth; about another axis all three are renamed in their cycle, which keeps a right-handed turn one.
    return [np.roll(m, axis, (0, 1)) for m in (turn, np.diag([1, 1, -1]), np.diag([-1, 1, 1]))]


def hexagonal_matrices(group: Group) -> list[np.ndarray] | None:
    """Return what the generators do to (q, r), or None where that is not known."""
    if group.family not in ("cyclic", "dihedral") or 6 % group.degree:
        return None
    return [np.linalg.matrix_power([[0, -1], [1, 1]], 6 // group.degree), np.array([[0, 1], [1, 0]])]


def _strand_matrices(group: Group) -> list[np.ndarray] | None:
    known = group.family == "cyclic" and group.degree in (1, 2)
    return [np.array([[-1 if group.degree == 2 else 1]])] if known else None


def as_sides(n: int | Sequence[int], dimensions: int, argument: str = "n") -> tuple[int, ...]:
    """Return the sides of a grid, given as one number for all or as one for each axis."""
    if not isinstance(n, Sequence):
        return (check_positive(argument, n),) * dimensions
    if len(n) != dimensions:
        raise ValueError(f"{argument}: got {tuple(n)}; give one side, or {dimensions}")
    return tuple(check_positive(argument, side) for side in n)


def _grid(
    kind: str,
    n: int | Sequence[int],
    dimensions: int,
    group: Group | None,
    matrices: Sequence[ArrayLike] | None,
    standard: Callable,
    known: str,
    *,
    hexagon: bool = False,
    spacing: ArrayLike | None = None,
) -> Domain:
    """Build a centred grid of n points a side, and the permutation table of a linear action on it."""
    shape = as_sides(n, dimensions)
    group = check_group("group", cyclic(1) if group is None else group)
    if matrices is None:
        matrices = standard(group)
        if matrices is None:
            raise ValueError(
                f"group: how {group.name} acts on a {kind} is not known; {known} are, "
                "any other needs matrices=, one for each generator"
            )
        matrices = matrices[: len(group.generators)]
    spacing = spacing if spacing is None else as_spacing(spacing, dimensions)
    check_size("n", len(group) * math.prod(shape), "where each element sends each point")
    sides = [np.arange(m) - m // 2 if hexagon else 2 * np.arange(m) - (m - 1) for m in shape]
    points = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, dimensions)
    name = f"{kind} {'×'.join(map(str, shape))}"
    inside = np.abs(points.sum(axis=1)) <= shape[0] // 2 if hexagon else np.ones(len(points), dtype=bool)
    points, inside = points[inside], inside.reshape(shape)
    permutation = _permute(name, points, group, matrices, inside, hexagon, spacing)
    resize = partial(
        _other_grid,
        kind=kind,
        dimensions=dimensions,
        group=group,
        matrices=matrices,
        hexagon=hexagon,
        spacing=spacing,
    )
    return Domain(name, group, points, shape, permutation, inside, resize, spacing=spacing)


def _other_grid(n: int | Sequence[int], *, dimensions: int, hexagon: bool, **how) -> Domain | None:
    """Build such a grid of another size; None where there is none that the group maps to itself."""
    shape = as_sides(n, dimensions)
    if hexagon and (shape[0] % 2 == 0 or len(set(shape)) > 1):
        return None
    # A group that swaps axes of one length needs them to stay so.
    swaps = [np.abs(np.asarray(m)) > 0 for m in how["matrices"]]
    if not hexagon and any(shape[a] != shape[b] for m in swaps for a, b in zip(*np.nonzero(m), strict=True)):
        return None
    return _grid(n=shape, dimensions=dimensions, hexagon=hexagon, standard=None, known="", **how)


def _permute(
    name: str,
    points: np.ndarray,
    group: Group,
    matrices: Sequence[ArrayLike],
    inside: np.ndarray,
    hexagon: bool,
    spacing: tuple[float, ...] | None,
) -> np.ndarray:
    """Return the permutation table of a linear action on the points, or refuse one that leaves them."""
    rho = group.representation(matrices)
    if rho.shape[1] != points.shape[1]:
        raise ValueError(
            f"matrices: got {rho.shape[1]}×{rho.shape[1]}; points of a {name} have {points.shape[1]} axes"
        )
    if spacing:
        check_respects(group, rho, spacing)
    sides = np.array(inside.shape)
    number = np.full(inside.shape, -1)
    number[inside] = np.arange(len(points))
    # Where coordinates begin, and how far one is from the next: they are doubled, but on hexagons.
    first, step = (-(sides // 2), 1) if hexagon else (1 - sides, 2)
    table = np.empty((len(group), len(points)), dtype=np.int64)
    for g in range(len(group)):
        moved = points @ rho[g].T
        place, rest = np.divmod(moved - first, step)
        off = (place < 0).any(axis=1) | (place >= inside.shape).any(axis=1) | (rest != 0).any(axis=1)
        table[g] = number[tuple(np.where(off[:, None], 0, place).astype(np.int64).T)]
        off |= table[g] < 0
        if off.any():
            lost = tuple(moved[off.argmax()].tolist())
            raise ValueError(
                f"group: {group.labels[g]} of {group.name} moves a point of the {name} to {lost}, off the grid"
            )
    return table
