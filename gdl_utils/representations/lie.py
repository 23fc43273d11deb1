"""Representations of groups that turn by any angle: what the generators do, those that are small steps and those that are not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gdl_utils._checks import check_positive

CLOSED = 1e-9  # how far a bracket may lie outside of the span of the generators, next to its size


@dataclass(frozen=True, eq=False)
class LieRepresentation:
    """A representation of a matrix group by real matrices, told by its generators.

    A group of infinitely many elements cannot be listed. But near the identity each is exp(Σ t_i A_i), and products of such make up the
    piece of the group that is connected with it; a finite number of further elements, such as a mirror image, lead to its other
    pieces. So a layer respects the group if it does so for these few matrices.

    Parameters
    ----------
    name : str
        What it is, for messages.
    group : str
        Of which group. Those of one group have the same generators in the same order.
    small : sequence of arrays of shape (F, F)
        The infinitesimal generators: a basis of the group's Lie algebra, dρ.
    whole : sequence of arrays of shape (F, F), optional
        Elements of the group that lead to the pieces that the identity is not in, ρ.

    Raises
    ------
    ValueError
        If there is no matrix, one is not square, not real (in the place of a complex one give ``[[Re, -Im], [Im, Re]]``) or not
        finite, sizes differ, a whole one cannot be undone, or the brackets A_i A_j - A_j A_i do not lie in the span of the small
        ones: then it is no basis of an algebra. Or if a whole one takes a small one, as m A m⁻¹, out of this span.

    Examples
    --------
    The turns of the plane, and a mirror. What is made of two vectors and does not change with them is one thing, their dot product:

    >>> from gdl_utils.intertwiners import intertwiners
    >>> plane = LieRepresentation("vector", "O(2)", [[[0, -1], [1, 0]]], [[[1, 0], [0, -1]]])
    >>> intertwiners(plane * plane, plane.trivial).basis.flatten().round(decimals=3).abs()
    tensor([0.7070, 0.0000, 0.0000, 0.7070], dtype=torch.float64)
    """

    name: str
    group: str
    small: Sequence[ArrayLike]
    whole: Sequence[ArrayLike] = ()

    def __post_init__(self):
        for kind in ("small", "whole"):
            given = [np.asarray(m) for m in getattr(self, kind)]
            if any(m.ndim != 2 or m.shape[0] != m.shape[1] or not m.size for m in given):
                raise ValueError(f"{kind}: got shapes {[m.shape for m in given]}; all must be square")
            if any(np.iscomplexobj(m) or not np.isfinite(m.astype(np.float64)).all() for m in given):
                raise ValueError(f"{kind}: has entries that are not finite real numbers")
            object.__setattr__(self, kind, tuple(m.astype(np.float64) for m in given))
        sizes = {len(m) for m in (*self.small, *self.whole)}
        if len(sizes) != 1:
            raise ValueError(
                f"small, whole: got sizes {sorted(sizes)}; give at least one matrix, all of one size"
            )
        for s, m in enumerate(self.whole):
            if np.linalg.matrix_rank(m) < len(m):
                raise ValueError(f"whole[{s}]: is not invertible, and what a group does can be undone")
        check_closed(self.small, self.whole)

    @classmethod
    def _known(cls, name: str, like: "LieRepresentation", small, whole) -> "LieRepresentation":
        made = object.__new__(cls)
        values = {"name": name, "group": like.group, "small": tuple(small), "whole": tuple(whole)}
        for attribute, value in values.items():
            object.__setattr__(made, attribute, value)
        return made

    def __repr__(self) -> str:
        return f"LieRepresentation({self.name} of {self.group}, {self.size} numbers)"

    @property
    def size(self) -> int:
        """F, how many numbers it acts on."""
        return len((*self.small, *self.whole)[0])

    @property
    def trivial(self) -> "LieRepresentation":
        """One number that the group leaves alone."""
        return LieRepresentation._known(
            "trivial", self, [np.zeros((1, 1)) for _ in self.small], [np.ones((1, 1)) for _ in self.whole]
        )

    @property
    def dual(self) -> "LieRepresentation":
        """How the group acts on linear functions of these numbers."""
        return LieRepresentation._known(
            f"dual of {self.name}", self, [-m.T for m in self.small], [np.linalg.inv(m).T for m in self.whole]
        )

    def __add__(self, other: "LieRepresentation") -> "LieRepresentation":
        """Return the direct sum: the numbers of one, then those of the other."""
        self._check_partner(other)
        below = lambda a, b: np.block([[a, np.zeros((len(a), len(b)))], [np.zeros((len(b), len(a))), b]])
        pairs = zip(self.small, other.small, strict=True), zip(self.whole, other.whole, strict=True)
        name = f"{self.name} + {other.name}"
        return LieRepresentation._known(name, self, *([below(a, b) for a, b in kind] for kind in pairs))

    def __mul__(self, other: "LieRepresentation") -> "LieRepresentation":
        """Return the tensor product: all products of a number of one and a number of the other, in the order of ``numpy.kron``."""
        self._check_partner(other)
        one, two = np.eye(self.size), np.eye(other.size)
        small = [np.kron(a, two) + np.kron(one, b) for a, b in zip(self.small, other.small, strict=True)]
        whole = [np.kron(a, b) for a, b in zip(self.whole, other.whole, strict=True)]
        names = [f"({r.name})" if " " in r.name else r.name for r in (self, other)]
        return LieRepresentation._known(" ⊗ ".join(names), self, small, whole)

    def _check_partner(self, other: "LieRepresentation") -> None:
        if not isinstance(other, LieRepresentation):
            raise TypeError(f"other: got {type(other).__name__}; a LieRepresentation is needed")
        counts = lambda r: (len(r.small), len(r.whole))
        if other.group != self.group or counts(other) != counts(self):
            raise ValueError(f"other: belongs to {other.group}, not to {self.group}, or has other generators")


def check_closed(small: Sequence[np.ndarray], whole: Sequence[np.ndarray] = ()) -> None:
    """Raise a ValueError if brackets of small matrices, or what whole ones make of them, m A m⁻¹, leave their span."""
    if not small:
        return

    def span_of(matrices: list[np.ndarray]) -> np.ndarray:
        """Return an orthonormal basis of their span, which may have fewer dimensions than there are matrices."""
        columns = np.stack([m.ravel() / (np.linalg.norm(m) or 1) for m in matrices], 1)
        basis, sizes, _ = np.linalg.svd(columns, full_matrices=False)
        return basis[:, sizes > CLOSED]

    outside = lambda m, span: np.linalg.norm(m.ravel() - span @ (span.T @ m.ravel()))
    span, moved = span_of(small), [span_of([a @ m for a in small]) for m in whole]
    for i, a in enumerate(small):
        for j, b in enumerate(small[:i]):
            left = outside(a @ b - b @ a, span)
            if left > CLOSED * np.linalg.norm(a) * np.linalg.norm(b):
                raise ValueError(
                    f"small: the bracket of number {j} and number {i} lies {left:.2g} outside of their span; give a basis of the "
                    "whole Lie algebra"
                )
        for s, m in enumerate(whole):  # m A m⁻¹ = B, asked as m A = B m: nothing is divided by
            if outside(m @ a, moved[s]) > CLOSED * np.linalg.norm(a) * np.linalg.norm(m):
                raise ValueError(
                    f"whole[{s}]: takes small[{i}] out of the span of the small ones; it is no element of their group"
                )


def rotations(n: int, *, reflections: bool = False) -> LieRepresentation:
    """Return how the turns of n-dimensional space act on its vectors: SO(n), or O(n) with mirror images.

    Parameters
    ----------
    n : int
        Dimension of the space, 2 or more.
    reflections : bool
        Whether to add the mirror that turns the first coordinate over.

    Raises
    ------
    TypeError, ValueError
        If n is no whole number from 2 upwards.
    """
    if check_positive("n", n) < 2:
        raise ValueError(f"n: got {n}; a space in which one can turn has two dimensions or more")
    unit = lambda i, j: np.outer(np.eye(n)[i], np.eye(n)[j])
    small = [unit(i, j) - unit(j, i) for i in range(n) for j in range(i)]
    mirror = np.diag([-1.0, *[1.0] * (n - 1)])
    return LieRepresentation("vector", f"{'O' if reflections else 'SO'}({n})", small, [mirror] * reflections)


def lorentz() -> LieRepresentation:
    """Return how the Lorentz group acts on (t, x, y, z): O(1, 3), turns, boosts, and the mirrors of time and of space."""
    unit = lambda i, j: np.outer(np.eye(4)[i], np.eye(4)[j])
    small = [unit(i, j) + (1 if j == 0 else -1) * unit(j, i) for i in range(4) for j in range(i)]
    return LieRepresentation(
        "vector", "O(1, 3)", small, [np.diag([-1.0, 1, 1, 1]), np.diag([1.0, -1, -1, -1])]
    )
