"""A space group: all translations of a torus, and what turns and mirrors it."""

from functools import cached_property

import numpy as np

from gdl_utils.groups.closure import MAX_ELEMENTS, label
from gdl_utils.groups.group import Group

MAX_ROWS = (
    2**22
)  # entries: a table up to this size is an array, 32 MiB; of a larger one rows are made when asked for


class SpaceGroup(Group):
    """The translations of a torus and a point group that keeps it, Z_h × Z_w ⋊ H; made by ``domains.torus``.

    Element ``(t·h + i)·w + j`` first applies element t of the point group, then moves i rows down and j columns right. Products are
    computed, and of a large torus nothing is listed: ``permutations[g]`` makes a row when it is asked for.

    Parameters
    ----------
    sides : (int, int)
        Height h and width w, both at least 3.
    point_group : Group
        H.
    turns : int array of shape (len(point_group), h·w)
        Where its elements send the points of the torus, in row-major order.
    name : str
        Name of the group, for figures and messages.

    Attributes
    ----------
    point_group
        As given. The other attributes are those of ``Group``; generators are the moves ``x`` (right) and ``y`` (down), then those of
        the point group that move something.
    """

    def __init__(self, sides: tuple[int, int], point_group: Group, turns: np.ndarray, name: str):
        self.sides, self.point_group, self._turns = sides, point_group, turns
        self.name, self.family, self.degree, self.identity = name, None, None, 0
        self._moving = [t for t in point_group.generators if t != point_group.identity]
        shifts = sides[0] * sides[1]
        self.generators = (1, sides[1], *(t * shifts for t in self._moving))
        # What a turn does to a shift: where it takes the point that is so far from point 0, seen from where it takes point 0.
        (i, j), height, width = np.divmod(turns, sides[1]), *sides
        self._turned = (i - i[:, :1]) % height * width + (j - j[:, :1]) % width

    def __len__(self) -> int:
        return self._turns.size

    def __eq__(self, other: object) -> bool:
        """Two groups are equal when they hold the same permutations under the same numbers, made by the same generators."""
        if isinstance(other, SpaceGroup):
            same = self.sides == other.sides and self.point_group == other.point_group
            return same and np.array_equal(self._turns, other._turns)
        return super().__eq__(other) if self._turns.shape[1] * len(self) <= MAX_ROWS else NotImplemented

    __hash__ = Group.__hash__

    @cached_property
    def permutations(self) -> "np.ndarray | Rows":
        """The elements, shape (len(group), h·w): an array, or of a large torus ``Rows``."""
        rows = Rows(self)
        if rows.shape[0] * rows.shape[1] > MAX_ROWS:
            return rows
        table = rows[:]
        table.setflags(write=False)
        return table

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """A name for each element, the product of generators that it is."""
        turns = ["", *self.point_group.labels[1:]]
        moves = [label((0,) * j + (1,) * i, ["x", "y"]) for i, j in np.ndindex(*self.sides)]
        moves[0] = ""
        return ("e", *[move + turn for turn in turns for move in moves][1:])

    @cached_property
    def inverse(self) -> np.ndarray:
        """``inverse[g]`` is the number of the element that undoes g; shape (len,)."""
        turn, shift = np.divmod(np.arange(len(self)), self._turns.shape[1])
        back = self.point_group.inverse[turn]
        inverse = back * self._turns.shape[1] + self._minus(self._turned[back, shift])
        inverse.setflags(write=False)
        return inverse

    def times(self, g: int, h: int) -> int:
        """Return the number of the element "first h, then g"."""
        return int(self._multiply(self.check_element(g), self.check_element(h)))

    @cached_property
    def _words(self) -> tuple[tuple[int, ...], ...]:
        """Each element as a product of generators; only what makes a matrix or a permutation for every element needs them."""
        if len(self) > MAX_ELEMENTS:
            raise ValueError(
                f"group: {self.name} has {len(self):,} elements, and up to {MAX_ELEMENTS:,} are listed"
            )
        number = {s: 2 + k for k, s in enumerate(self._moving)}
        letters = [number.get(s) for s in self.point_group.generators]
        turns = [tuple(letters[s] for s in word) for word in self.point_group._words]
        return tuple(
            (0,) * j + (1,) * i + turn
            for turn in turns
            for i in range(self.sides[0])
            for j in range(self.sides[1])
        )

    def _multiply(self, g: np.ndarray, h: np.ndarray) -> np.ndarray:
        """Multiply numbers of elements: g's shift, and h's as g's turn has turned it."""
        shifts = self._turns.shape[1]
        (turn, shift), (then, other) = np.divmod(g, shifts), np.divmod(h, shifts)
        return self.point_group.product[turn, then] * shifts + self._plus(shift, self._turned[turn, other])

    def _times_from_left(self, s: int) -> np.ndarray:
        return self._multiply(s, np.arange(len(self)))

    def _plus(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        (height, width), (i, j), (k, m) = self.sides, np.divmod(u, self.sides[1]), np.divmod(v, self.sides[1])
        return (i + k) % height * width + (j + m) % width

    def _minus(self, u: np.ndarray) -> np.ndarray:
        (height, width), (i, j) = self.sides, np.divmod(u, self.sides[1])
        return -i % height * width + -j % width


class Rows:
    """The permutations of a space group, indexed as an array of shape (elements, points), made when asked for."""

    def __init__(self, group: SpaceGroup):
        self.group, self.shape, self.ndim = group, (len(group), group._turns.shape[1]), 2

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key) -> np.ndarray:
        """Return ``permutations[g]``, ``permutations[g, u]``, with numbers, slices or arrays in the place of both."""
        key = key if isinstance(key, tuple) else (key, slice(None))
        g, u = (np.arange(size)[k] for size, k in zip(self.shape, key, strict=True))
        if any(isinstance(k, slice) for k in key):
            g = g.reshape(*g.shape, *(1,) * u.ndim)
        if (entries := np.broadcast(g, u).size) > 64 * MAX_ROWS:
            raise ValueError(
                f"permutations: {entries:,} of {self.group.name} are too many at once; ask for some rows"
            )
        turn, shift = np.divmod(g, self.shape[1])
        return self.group._plus(self.group._turns[turn, u], shift)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:].astype(dtype or np.int64, copy=False)
