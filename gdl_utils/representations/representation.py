"""A representation of a finite group: one matrix for each element; sums, products, duals and parts of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from gdl_utils._checks import check_size
from gdl_utils.groups.group import Group, check_group

COMMUTANT = {
    "real": 1,
    "complex": 2,
    "quaternionic": 4,
}  # the dimension of what commutes with an irreducible one


@dataclass(frozen=True, eq=False)
class Representation:
    """A representation of a finite group by real matrices; as the fibre of a signal, how the group acts on the values at a point.

    Made by ``trivial``, ``regular``, ``complement`` and ``sign``, by ``irreps``, from others, or from matrices:
    ``Representation("vector", group, matrices)``.

    Parameters
    ----------
    name : str
        What it is, for figures and messages.
    group : Group
        The group that acts.
    matrices : array of shape (len(group), F, F)
        What each element does to F numbers; a copy is kept, which cannot be written to.
    axis : tuple of int, optional
        The axis that a signal has for it: (F,), the default, or for F = 1 none, (), as for a trivial one.

    Raises
    ------
    TypeError
        If ``group`` is none, or the matrices do not hold real numbers.
    ValueError
        If the matrices are not of that shape, not finite, or no representation of the group; if the axis does not fit.

    Examples
    --------
    Arrows and grey values side by side, under quarter-turns:

    >>> from gdl_utils.groups import cyclic
    >>> from gdl_utils.representations import trivial
    >>> C4 = cyclic(4)
    >>> arrow = Representation("vector", C4, C4.representation([[[0, -1], [1, 0]]]))
    >>> (arrow + trivial(C4)).character
    array([ 3.,  1., -1.,  1.])
    """

    name: str
    group: Group
    matrices: np.ndarray
    axis: tuple[int, ...] | None = None

    def __post_init__(self):
        check_group("group", self.group)
        matrices = np.array(self.matrices)
        if matrices.dtype.kind not in "iufb":
            raise TypeError(f"matrices: got {matrices.dtype}; give real numbers")
        n, size = len(self.group), matrices.shape[-1] if matrices.ndim else 0
        if matrices.shape != (n, size, size) or size == 0:
            raise ValueError(
                f"matrices: got shape {matrices.shape}; one for each element of {self.group.name} is needed, ({n}, F, F) with F ≥ 1"
            )
        if not np.isfinite(matrices).all():
            raise ValueError("matrices: have entries that are not finite")
        if self.axis not in (None, (size,), *[()] * (size == 1)):
            raise ValueError(
                f"axis: got {self.axis!r}; for {size} numbers it is ({size},)" + " or ()" * (size == 1)
            )
        self._keep(matrices)
        if (matrices == 1).all() and self.size == 1:  # of a large torus nothing is listed
            return
        extended = self.group.representation(list(matrices[list(self.group.generators)]))
        gap = np.abs(1 * matrices - extended).max(axis=(1, 2), initial=0)
        if gap.max() > 1e-9 * max(1.0, float(np.abs(extended).max(initial=0))):
            g = int(gap.argmax())
            raise ValueError(
                f"matrices: not a representation of {self.group.name}: that of {self.group.labels[g]} is {gap[g]:.3g} "
                "from what the generators' make"
            )

    def _keep(self, matrices: np.ndarray) -> None:
        matrices.setflags(write=False)  # irreps are shared by all that ask for them
        object.__setattr__(self, "matrices", matrices)
        if self.axis is None:
            object.__setattr__(self, "axis", (self.size,))

    @classmethod
    def _known(cls, name: str, group: Group, matrices: np.ndarray, axis=None) -> "Representation":
        """Return one whose matrices are nobody else's, and right by the way they were made: without the check, which takes long."""
        made = object.__new__(cls)
        for attribute, value in (("name", name), ("group", group), ("axis", axis)):
            object.__setattr__(made, attribute, value)
        made._keep(matrices)
        return made

    def __repr__(self) -> str:
        return f"Representation({self.name} of {self.group.name}, {self.size} numbers)"

    @property
    def size(self) -> int:
        """F, the number of entries at a point."""
        return self.matrices.shape[1]

    @cached_property
    def character(self) -> np.ndarray:
        """The trace of each matrix, shape (len(group),), which is all that does not depend on the choice of coordinates."""
        return np.trace(self.matrices, axis1=1, axis2=2).astype(float)

    @cached_property
    def is_permutation(self) -> bool:
        """Whether each element moves the entries and changes none, as a pointwise nonlinearity asks."""
        return bool(
            np.isin(self.matrices, (0, 1)).all()
            and (self.matrices.sum(axis=1) == 1).all()
            and (self.matrices.sum(axis=2) == 1).all()
        )

    @cached_property
    def kind(self) -> str:
        """Of an irreducible one, what commutes with it, "real", "complex" or "quaternionic" numbers (1, 2 or 4 dimensions).

        Raises
        ------
        ValueError
            If it is reducible: made of smaller ones.
        """
        kind = kind_of(self.group, self.character)
        if kind is None:
            raise ValueError(
                f"kind: {self.name} of {self.group.name} is reducible; decompose says what it is made of"
            )
        return kind

    def multiplicity(self, irrep: "Representation") -> int:
        """Return how often an irreducible one is contained.

        Parameters
        ----------
        irrep : Representation
            An irreducible one of the same group.

        Raises
        ------
        ValueError
            If ``irrep`` is reducible, or of another group.
        """
        self._check_partner(irrep, "irrep")
        return round((self.character @ irrep.character) / len(self.group) / COMMUTANT[irrep.kind])

    @property
    def dual(self) -> "Representation":
        """How the group acts on linear functions of these numbers, ρ(g⁻¹)ᵀ, the same matrices where they are orthogonal."""
        inverse = self.matrices[self.group.inverse]
        name = f"dual of {self.name}"
        return Representation._known(name, self.group, inverse.transpose(0, 2, 1).copy(), self.axis)

    def __add__(self, other: "Representation") -> "Representation":
        """Return the direct sum: the numbers of one, then those of the other."""
        self._check_partner(other)
        total = self.size + other.size
        check_size("other", len(self.group) * total**2, f"the sum of {self.name} and {other.name}")
        matrices = np.zeros((len(self.group), total, total))
        matrices[:, : self.size, : self.size] = self.matrices
        matrices[:, self.size :, self.size :] = other.matrices
        return Representation._known(f"{self.name} + {other.name}", self.group, matrices)

    def __mul__(self, other: "Representation") -> "Representation":
        """Return the tensor product: all products of a number of one and a number of the other, in the order of ``numpy.kron``."""
        self._check_partner(other)
        size = self.size * other.size
        check_size("other", len(self.group) * size**2, f"the product of {self.name} and {other.name}")
        matrices = np.einsum("gab,gcd->gacbd", self.matrices, other.matrices).reshape(-1, size, size)
        names = [f"({r.name})" if " " in r.name else r.name for r in (self, other)]
        return Representation._known(" ⊗ ".join(names), self.group, matrices)

    def restrict(self, subgroup: Group, images: Sequence[int] | None = None) -> "Representation":
        """Return how a part of the group acts on the same numbers.

        Parameters
        ----------
        subgroup : Group
            Permutations that are some of the group's; or, with ``images``, any group.
        images : sequence of int, optional
            For each generator of the subgroup the number of the group's element that it is, as for C_4 in C_8: ``[2]``.

        Raises
        ------
        TypeError, ValueError
            If ``subgroup`` is no Group; if a generator of the subgroup is no permutation of the group's, or ``images`` do not multiply as the subgroup does.

        Examples
        --------
        >>> from gdl_utils.groups import cyclic
        >>> from gdl_utils.representations import regular
        >>> regular(cyclic(8)).restrict(cyclic(4), [2]).character
        array([8., 0., 0., 0.])
        """
        check_group("subgroup", subgroup)
        if images is None:
            moves = [subgroup.permutations[s].tobytes() for s in subgroup.generators]
            number = {p.tobytes(): g for g, p in enumerate(np.asarray(self.group.permutations))}
            if any(move not in number for move in moves):
                raise ValueError(
                    f"subgroup: the permutations of {subgroup.name} are not among those of {self.group.name}; say by images= "
                    "which elements its generators are"
                )
            images = [number[move] for move in moves]
        given = [self.matrices[self.group.check_element(g)] for g in images]
        try:
            matrices = subgroup.representation(given)
        except ValueError as error:
            raise ValueError(
                f"images: {list(images)} make no {subgroup.name} in {self.group.name}; {error}"
            ) from None
        return Representation._known(f"{self.name} restricted", subgroup, matrices, self.axis)

    def _check_partner(self, other: "Representation", argument: str = "other") -> None:
        if not isinstance(other, Representation):
            raise TypeError(f"{argument}: got {type(other).__name__}; a Representation is needed")
        if other.group != self.group:
            raise ValueError(f"{argument}: belongs to {other.group!r}, not to {self.group!r}")


def kind_of(group: Group, character: np.ndarray) -> str | None:
    """Tell the kind by the means of χ(g)² and χ(g²) (Frobenius and Schur); None for a reducible one."""
    means = np.mean(character**2), np.mean(character[np.diagonal(group.product)])
    kinds = {(1, 1): "real", (2, 0): "complex", (4, -2): "quaternionic"}
    return kinds.get(tuple(round(float(m)) for m in means))


def as_representation(
    argument: str, given: Representation | Sequence[ArrayLike], group: Group, owner: str
) -> Representation:
    """Return a representation of the group as it is, and matrices of its generators as one; refuse anything else in words."""
    if not isinstance(given, Representation):
        if isinstance(given, str) or not hasattr(given, "__iter__"):
            raise TypeError(
                f"{argument}: got {given!r}; give a Representation, such as regular(group), or a matrix for each generator"
            )
        return Representation("matrices", group, group.representation(given))
    if given.group != group:
        raise ValueError(f"{argument}: belongs to {given.group!r}, not to the {owner}'s {group!r}")
    return given
