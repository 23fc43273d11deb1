"""A domain: points, and the table of how a group permutes them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gdl_utils.groups import Group


@dataclass(frozen=True, eq=False)
class Domain:
    """Points that a group permutes. Made by the functions of ``gdl_utils.domains``.

    Attributes
    ----------
    name : str
        What it is, for figures and messages.
    group : Group
        The group that acts.
    points : int array of shape (n, d)
        Coordinates of the n points. On grids they are doubled and centred, so that a turn about the centre keeps them
        whole for even sizes too: on a 4×4 grid a coordinate is -3, -1, 1 or 3. (Hexagonal grids have odd sizes only, and
        axial coordinates as they are.)
    shape : tuple of int
        Shape of the tensor axes that a signal has on this domain.
    permutation : int array of shape (len(group), n)
        ``permutation[g, u]`` is the number of the point g·u. Of a large torus it is no array: rows are made when asked for.
    mask : bool array of that shape
        Which entries of the tensor are points, in row-major order; all, but on a hexagonal grid. Elsewhere a signal is 0.
    resize : callable
        ``resize(m)`` is the same kind of domain with m points a side, as pooling makes it (or with sides ``resize((m, k))``); None
        where there is none.
    point_group : Group
        What is left of the group when its translations are divided out: all of it, but for tori and cycles. Element g of the group
        is element g // (number of translations) of this one.
    spacing : tuple of float
        How far neighbouring points are apart along each axis, where a grid was told; else None.

    Raises
    ------
    ValueError
        If the permutations are no action of the group on the points.
    """

    name: str
    group: Group
    points: np.ndarray
    shape: tuple[int, ...]
    permutation: np.ndarray
    mask: np.ndarray | None = None
    resize: Callable[..., "Domain | None"] | None = None
    point_group: Group | None = None
    spacing: tuple[float, ...] | None = None

    def __post_init__(self):
        defaults = {
            "mask": np.ones(self.shape, dtype=bool),
            "resize": self._same_size,
            "point_group": self.group,
        }
        for name, value in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        if self.permutation is not self.group.permutations:
            self._check_action()

    def _check_action(self) -> None:
        """Refuse a table by which the group does not act."""
        table, wanted = np.asarray(self.permutation), (len(self.group), len(self.points))
        if table.shape != wanted:
            raise ValueError(f"permutation: got shape {table.shape}; {wanted} is needed, elements and points")
        action = self.group.action(list(table[list(self.group.generators)]))
        if not np.array_equal(table, action):
            g = int((table != action).any(axis=1).argmax())
            raise ValueError(
                f"permutation: no action of {self.group.name}: row {g}, of {self.group.labels[g]}, is not what the generators' make"
            )

    def _same_size(self, m: int | tuple[int, ...]) -> "Domain | None":
        return self if m in (self.shape, self.shape[0]) else None

    def __len__(self) -> int:
        return len(self.points)

    def __repr__(self) -> str:
        return f"Domain({self.name}, {len(self)} points, moved by {self.group.name})"
