"""A finite group: elements, generators, product table.

A finite group is written as a set of permutations (Cayley's theorem says that each can be): element ``g`` moves
point ``i`` to ``g[i]``, and the product ``gh`` means *first h, then g*, as for functions. Everything else in the
package, from the turn of an image to a group convolution, only needs the numbers of the elements and who times
whom is what.
"""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from gdl_utils._checks import check_size
from gdl_utils.groups.closure import as_permutation, close, label

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
MAX_TABLE = 2_000  # a product table of this many elements takes 32 MB


class Group:
    """A finite group, made of all products of its generators.

    Elements are numbered ``0 … len(group) - 1``. The numbering starts with the powers of the first generator; then
    come their products with the second generator, and so on (so ``cyclic(n)`` numbers the turns by their angle, and
    ``dihedral(n)`` has the turns first and the mirrored turns after them).

    Parameters
    ----------
    generators : sequence of permutations, each of shape (k,)
        ``generators[s][i]`` is where generator ``s`` sends point ``i``. At least one.
    names : sequence of str, optional
        One short name for each generator, all different; elements are named by the products they are: ``"r²m"``. By default
        ``a, b, c, d, f, …``.
    name : str, optional
        Name of the group, for figures and messages.
    family : str, optional
        ``"cyclic"``, ``"dihedral"`` or ``"prismatic"`` where the first generator is the turn by 360°/``degree``, the second the
        mirror and the third the reversal of depth, ``"octahedral"`` where they are those of a cube, so that a domain knows how the
        group moves its points. Otherwise left out.
    degree : int, optional
        The ``n`` of the family.

    Attributes
    ----------
    name, family, degree
        As given.
    permutations : int array of shape (len(group), k)
        The elements; read-only.
    generators : tuple of int
        The elements' numbers of the generators, in the order in which they were given.
    labels : tuple of str
        A name for each element; the identity is ``"e"``.
    identity : int
        The number of the element that moves nothing; always 0.

    Raises
    ------
    TypeError
        If a generator does not hold integers.
    ValueError
        If there is no generator, a generator is no permutation, they act on different numbers of points, names are
        missing or not unique, or the group has more than 50,000 elements, or its table more than 33 million entries.

    Examples
    --------
    The turns of a square, from one quarter-turn of its corners:

    >>> turns = Group([[1, 2, 3, 0]], names="r")
    >>> len(turns), turns.labels
    (4, ('e', 'r', 'r²', 'r³'))

    Two swaps of neighbours make all six orders of three things:

    >>> len(Group([[1, 0, 2], [0, 2, 1]]))
    6
    """

    def __init__(
        self,
        generators: Sequence[ArrayLike],
        *,
        names: Sequence[str] | None = None,
        name: str = "G",
        family: str | None = None,
        degree: int | None = None,
    ):
        given = [as_permutation("generators", s, p) for s, p in enumerate(generators)]
        if not given:
            raise ValueError("generators: got none; give at least one permutation, be it the identity")
        if len({len(p) for p in given}) > 1:
            raise ValueError(f"generators: they act on {[len(p) for p in given]} points; give one number")
        default = [chr(ord("a") + s + (s > 3)) for s in range(len(given))]  # "e" is the identity
        names = default if names is None else list(names)
        if len(names) != len(given):
            raise ValueError(f"names: got {len(names)} for {len(given)} generators; give one each")
        if len({"e", *names}) <= len(names):
            raise ValueError(f"names: got {names}; they must differ, and none may be the identity's, 'e'")

        self.name, self.family, self.degree = name, family, degree
        self.permutations, words = close(given)
        self.permutations.setflags(write=False)
        self._words = tuple(words)
        self._index = {p.tobytes(): g for g, p in enumerate(self.permutations)}
        self.identity = 0
        self.generators = tuple(self._index[p.tobytes()] for p in given)
        self.labels = tuple(label(word, names) for word in words)

    def __len__(self) -> int:
        return len(self.permutations)

    def __eq__(self, other: object) -> bool:
        """Two groups are equal when they hold the same permutations under the same numbers, made by the same generators."""
        if not isinstance(other, Group):
            return NotImplemented
        return self.generators == other.generators and np.array_equal(self.permutations, other.permutations)

    def __hash__(self) -> int:
        return hash((self.generators, self.permutations.shape))

    def __repr__(self) -> str:
        return f"Group({self.name}, {len(self)} elements)"

    def check_element(self, g: int) -> int:
        """Return ``g`` as an int, or raise an IndexError (TypeError) that says which numbers the group has."""
        if isinstance(g, bool) or not isinstance(g, int | np.integer):
            raise TypeError(f"g: got {g!r}; an element is named by its number, from 0 to {len(self) - 1}")
        if not 0 <= g < len(self):
            raise IndexError(f"g: {self.name} has no element {g}; its elements are 0 to {len(self) - 1}")
        return int(g)

    def times(self, g: int, h: int) -> int:
        """Return the number of the element "first h, then g", as ``product[g, h]`` does, in a group of any size."""
        g, h = self.check_element(g), self.check_element(h)
        return self._index[self.permutations[g][self.permutations[h]].tobytes()]

    @cached_property
    def product(self) -> np.ndarray:
        """``product[g, h]`` is the number of the element "first h, then g"; shape (len, len), made when first asked for.

        Raises
        ------
        ValueError
            If the group has more than 2,000 elements; ``times`` multiplies two of them.
        """
        if len(self) > MAX_TABLE:
            raise ValueError(
                f"product: {self.name} has {len(self):,} elements, and tables are made up to {MAX_TABLE:,}; "
                "times(g, h) multiplies two of them"
            )
        by_generator = [self._times_from_left(s) for s in self.generators]
        table = self._extend(by_generator, np.arange(len(self)), lambda g, s: g[s])  # (gs)x = g(sx)
        table.setflags(write=False)
        return table

    @cached_property
    def inverse(self) -> np.ndarray:
        """``inverse[g]`` is the number of the element that undoes g; shape (len,)."""
        undone = np.argsort(self.permutations, axis=1)
        inverse = np.array([self._index[p.tobytes()] for p in undone])
        inverse.setflags(write=False)
        return inverse

    @cached_property
    def is_abelian(self) -> bool:
        """Whether the order never matters, gh = hg for all pairs (it is enough to ask the generators)."""
        some = self.permutations[list(self.generators)]
        return all(np.array_equal(p[q], q[p]) for p in some for q in some)

    def action(self, permutations: Sequence[ArrayLike]) -> np.ndarray:
        """Extend one permutation for each generator to a permutation for every element: an action on n points.

        Parameters
        ----------
        permutations : sequence of int arrays, each of shape (n,)
            Where each generator sends the points ``0 … n - 1``, in the order of the generators.

        Returns
        -------
        int array of shape (len(group), n)
            ``moved[g, u]`` is the point g·u, with (gh)·u = g·(h·u).

        Raises
        ------
        ValueError
            If the count or the sizes are wrong, or the permutations do not compose as the group multiplies.

        Examples
        --------
        Six seats at a round table; the generator of C_3 moves everybody on by two:

        >>> from gdl_utils.groups import cyclic
        >>> cyclic(3).action([[2, 3, 4, 5, 0, 1]])[2]
        array([4, 5, 0, 1, 2, 3])
        """
        given = [as_permutation("permutations", s, p) for s, p in enumerate(permutations)]
        self._check_images("permutations", given)
        check_size("permutations", len(self) * len(given[0]), f"one for each of {len(self):,} elements")
        moved = self._extend(given, np.arange(len(given[0])), lambda g, s: g[s])
        for s, p in zip(self.generators, given, strict=True):
            self._check_products(
                "permutations", "an action", s, np.abs(p[moved] - moved[self._times_from_left(s)])
            )
        return moved

    def representation(self, matrices: Sequence[ArrayLike]) -> np.ndarray:
        """Extend one matrix for each generator to a matrix for every element: a representation.

        Parameters
        ----------
        matrices : sequence of arrays, each of shape (n, n)
            One for each generator, in the same order.

        Returns
        -------
        array of shape (len(group), n, n)
            ``rho[g]``, with ``rho[gh] = rho[g] @ rho[h]`` for all g and h.

        Raises
        ------
        ValueError
            If the count or the shapes are wrong, or the matrices do not multiply as the group does: then no such ``rho`` exists.

        Examples
        --------
        >>> from gdl_utils.groups import cyclic
        >>> quarter_turn = [[0, -1], [1, 0]]
        >>> cyclic(4).representation([quarter_turn])[2]
        array([[-1,  0],
               [ 0, -1]])
        >>> cyclic(3).representation([quarter_turn])
        Traceback (most recent call last):
            ...
        ValueError: matrices: not a representation of C₃: those of r · r² and of e differ by 1
        """
        given = [np.asarray(m) for m in matrices]
        if any(m.ndim != 2 or m.shape[0] != m.shape[1] for m in given):
            raise ValueError(f"matrices: got shapes {[m.shape for m in given]}; all must be square")
        self._check_images("matrices", given)
        check_size("matrices", len(self) * given[0].size, f"one for each of {len(self):,} elements")
        rho = self._extend(given, np.eye(len(given[0]), dtype=np.result_type(*given)), np.matmul)
        scale = float(np.abs(rho).max())  # 1 or more, since the identity is among them
        for s, matrix in zip(self.generators, given, strict=True):
            gap = np.abs(1 * (matrix @ rho) - rho[self._times_from_left(s)])
            self._check_products("matrices", "a representation", s, gap.max(axis=2), 1e-9 * scale)
        return rho

    def _extend(self, images: list[np.ndarray], identity: np.ndarray, multiply: Callable) -> np.ndarray:
        """Multiply the generators' images along each element's word; a word's beginning is a word itself, seen before."""
        number = {word: g for g, word in enumerate(self._words)}
        out = np.empty((len(self), *identity.shape), dtype=np.result_type(identity, *images))
        out[0] = identity
        for g, word in enumerate(self._words[1:], start=1):
            out[g] = multiply(out[number[word[:-1]]], images[word[-1]])
        return out

    def _check_images(self, argument: str, images: list[np.ndarray]) -> None:
        if len(images) != len(self.generators):
            raise ValueError(
                f"{argument}: got {len(images)}; {self.name} has {len(self.generators)} generators"
            )
        if len({m.shape for m in images}) > 1:
            raise ValueError(f"{argument}: got shapes {[m.shape for m in images]}; all must have the same")

    def _check_products(
        self, argument: str, kind: str, s: int, gap: np.ndarray, allowed: float = 0.0
    ) -> None:
        """Refuse images that differ on an edge g → sg of the Cayley graph; agreeing on all edges is agreeing on all products."""
        gap = gap.max(axis=1)
        if not gap.max() <= allowed:
            g = int(gap.argmax())
            target = self.labels[self._times_from_left(s)[g]]
            raise ValueError(
                f"{argument}: not {kind} of {self.name}: those of {self.labels[s]} · {self.labels[g]} "
                f"and of {target} differ by {gap.max():.3g}"
            )

    def _times_from_left(self, s: int) -> np.ndarray:
        """Return the number of ``s·g`` for every g; shape (len,)."""
        products = self.permutations[s][self.permutations]  # (|G|, k): first g, then s
        return np.array([self._index[p.tobytes()] for p in products])


def check_group(argument: str, group: Group) -> Group:
    """Return the group, or raise a TypeError that names the argument if it is none."""
    if not isinstance(group, Group):
        raise TypeError(f"{argument}: got {type(group).__name__}; a Group is needed")
    return group
