"""Solve for all linear maps that respect a symmetry.

A linear map W from one signal space to another respects a group when it does not matter whether the group acts before it or
after it:

    ρ_out(g) W = W ρ_in(g)   for every g.

These are linear equations for the entries of W, and it is enough to ask the generators; of a group that turns by any angle, the
infinitesimal ones, dρ_out W = W dρ_in. The solutions, called *intertwiners*, form a vector space; ``equivariant_basis`` returns a
basis of it. With it an architecture is found instead of asserted: for the shifts of a circle the basis are the circulant matrices,
which is to say convolutions, and nothing else.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import sparse

from gdl_utils._null_space import null_space
from gdl_utils.groups import Group
from gdl_utils.representations import LieRepresentation, Representation
from gdl_utils.representations.lie import check_closed

__all__ = ["Intertwiners", "equivariant_basis", "intertwiners"]

Acts = Representation | LieRepresentation | Sequence[ArrayLike]
CLEAR = 1e-4  # what does not count as solved should break the equations by more than this
MAX_DENSE = 2**26  # entries of a dense basis, 512 MiB; a larger one comes as a sparse tensor


@dataclass(frozen=True, eq=False)
class Intertwiners:
    """All linear maps that respect a symmetry, and how sure that is.

    Parameters
    ----------
    basis : tensor of shape (dim, n_out, n_in)
        As ``equivariant_basis`` returns it.
    broken : float
        By how much the solutions break an equation at most, next to the size of the matrices: rounding.
    gap : float
        By how much every map of norm 1 that is orthogonal to the solutions breaks them at least, those of all generators together: the
        smallest singular value that does not count as solved. Where all is permutations there is nothing to weigh, and it is infinite.
    by_characters : int or None
        The dimension found in another way, as the mean of χ_out(g) χ_in(g⁻¹); known where the elements of a finite group are: for a ``Representation``, or with ``group``.
    """

    basis: torch.Tensor
    broken: float
    gap: float
    by_characters: int | None

    @property
    def dim(self) -> int:
        """How many there are."""
        return len(self.basis)


def equivariant_basis(rho_in: Acts, rho_out: Acts, *, group: Group | None = None) -> torch.Tensor:
    """Return a basis of all matrices W with ``rho_out[s] @ W == W @ rho_in[s]`` for every generator s.

    Parameters
    ----------
    rho_in : Representation, LieRepresentation, or sequence of arrays of shape (n_in, n_in)
        How the group acts on the input; as arrays, what each of its generators does.
    rho_out : the same, of size n_out
        How it acts on the output; arrays in the same order.
    group : Group, optional
        If given, arrays must be representations of it: its relations are checked.

    Returns
    -------
    tensor of shape (dim, n_out, n_in), float64
        For permutation matrices, the indicators of the orbits of index pairs: matrices of zeros and ones that do not overlap and
        add up to all ones. Where that would take more than 512 MiB, a sparse COO tensor. Otherwise an orthonormal basis.

    Raises
    ------
    TypeError
        If one side is a representation and the other is of another kind.
    ValueError
        If counts, groups or sizes do not fit; a matrix is not square, not real, not finite or not invertible, or no representation of ``group``; the
        brackets of infinitesimal generators differ on both sides; or there are too many unknowns, or dimensions, for matrices that are
        no permutations.

    Warns
    -----
    UserWarning
        If a map that does not count as solved is close to it, as where the matrices are rounded; or another number of them is
        expected from the characters.

    Notes
    -----
    Permutations are solved by counting: the entry W[a, b] must equal W[g·a, g·b], so W is constant on the orbits of pairs, which
    are the connected components of a graph. Otherwise a random symmetric combination of products of the generators leaves, in its
    eigenvectors, only those entries whose eigenvalues agree, and the generators are asked what of these remains, by singular values.
    ``intertwiners`` reports these.
    See Maron et al. (2019), "Invariant and equivariant graph networks", for the permutations of matrices.

    Examples
    --------
    Shifts of four points on a circle. Each solution has one diagonal that wraps round: a convolution with a single tap.

    >>> import numpy as np
    >>> shift = np.roll(np.eye(4), 1, axis=0)
    >>> basis = equivariant_basis([shift], [shift])
    >>> basis.shape
    torch.Size([4, 4, 4])
    >>> basis[1].int()
    tensor([[0, 1, 0, 0],
            [0, 0, 1, 0],
            [0, 0, 0, 1],
            [1, 0, 0, 0]], dtype=torch.int32)
    """
    return intertwiners(rho_in, rho_out, group=group).basis


def intertwiners(rho_in: Acts, rho_out: Acts, *, group: Group | None = None) -> Intertwiners:
    """Solve as ``equivariant_basis`` does, and say how sure it is.

    Parameters
    ----------
    rho_in : Representation, LieRepresentation, or sequence of arrays
        As there.
    rho_out : the same
        As there.
    group : Group, optional
        As there.

    Returns
    -------
    Intertwiners
        The basis, by how much it breaks the equations, how far off every other map is, and the dimension by characters.

    Raises
    ------
    TypeError, ValueError
        As ``equivariant_basis``.

    Examples
    --------
    The cross product is the one bilinear map of two vectors to a vector that all turns of a cube respect:

    >>> from gdl_utils.representations import rotations
    >>> vector = rotations(3)
    >>> found = intertwiners(vector * vector, vector)
    >>> found.dim, found.gap > 0.5
    (1, True)
    """
    before, after, characters = _matrices(rho_in, rho_out, group)
    if _are_permutations(before) and _are_permutations(after):
        found = Intertwiners(basis_of_orbits(before.argmax(1), after.argmax(1)), 0.0, np.inf, characters)
    else:
        basis, broken, gap = null_space(before, after)
        found = Intertwiners(torch.from_numpy(np.ascontiguousarray(basis)), broken, gap, characters)
    if found.gap < CLEAR:
        warnings.warn(
            f"rho_in, rho_out: a map that is not counted breaks the equations by {found.gap:.1e} only, next to the size of the "
            "matrices; are these exact?",
            stacklevel=2,
        )
    if characters not in (None, found.dim):
        warnings.warn(
            f"rho_in, rho_out: {found.dim} solutions were found, and {characters} are expected by characters",
            stacklevel=2,
        )
    return found


def basis_of_orbits(moved_in: np.ndarray, moved_out: np.ndarray) -> torch.Tensor:
    """Return what ``equivariant_basis`` does for permutations, from where generator s sends index i: ``moved[s, i]``."""
    n_in, n_out = moved_in.shape[1], moved_out.shape[1]
    pairs = np.arange(n_out * n_in)
    goes_to = moved_out[:, :, None] * n_in + moved_in[:, None, :]
    edges = sparse.coo_array(
        (np.ones(goes_to.size, dtype=bool), (np.tile(pairs, len(goes_to)), goes_to.ravel())),
        shape=(len(pairs),) * 2,
    )
    dim, orbit = sparse.csgraph.connected_components(edges, directed=False)
    where = torch.from_numpy(np.stack([orbit, *np.divmod(pairs, n_in)]))
    ones = torch.ones(len(pairs), dtype=torch.float64, device="cpu")  # there, whatever the default
    basis = torch.sparse_coo_tensor(where, ones, (dim, n_out, n_in), device="cpu", check_invariants=True)
    return basis.to_dense() if basis.numel() <= MAX_DENSE else basis.coalesce()


def _matrices(rho_in: Acts, rho_out: Acts, group: Group | None) -> tuple[np.ndarray, np.ndarray, int | None]:
    """Return for each generator what it does on both sides, and the number of solutions by characters, if there are any."""
    kinds = [
        next((k for k in (Representation, LieRepresentation) if isinstance(r, k)), None)
        for r in (rho_in, rho_out)
    ]
    if kinds[0] is not kinds[1]:
        raise TypeError(
            f"rho_in, rho_out: got {type(rho_in).__name__} and {type(rho_out).__name__}; give two of a kind"
        )
    if kinds[0] is LieRepresentation:
        rho_in._check_partner(rho_out)
        check_closed((both := rho_in + rho_out).small, both.whole)
        sides = [[*r.small, *r.whole] for r in (rho_in, rho_out)]
        return np.stack(sides[0]), np.stack(sides[1]), None
    if kinds[0] is Representation:
        rho_in._check_partner(rho_out, "rho_out")
        if group not in (None, rho_in.group):
            raise ValueError(f"group: got {group!r}; both sides are of {rho_in.group!r}")
        generators = list(rho_in.group.generators)
        both = [np.asarray(r.matrices[generators], dtype=np.float64) for r in (rho_in, rho_out)]
        return *both, _count(rho_in.matrices, rho_out.matrices, rho_in.group)
    before, after = _as_matrices("rho_in", rho_in), _as_matrices("rho_out", rho_out)
    if len(before) != len(after):
        raise ValueError(f"rho_in, rho_out: got {len(before)} and {len(after)}; give one for each generator")
    if group is None:
        return before, after, None
    full = []
    for name, matrices in (("rho_in", before), ("rho_out", after)):
        try:
            full.append(group.representation(list(matrices)))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return before, after, _count(*full, group)


def _count(before: np.ndarray, after: np.ndarray, group: Group) -> int:
    """Return how many solutions there are: the mean of χ_out(g) χ_in(g⁻¹)."""
    chi_in, chi_out = (np.trace(m, axis1=1, axis2=2).astype(float) for m in (before, after))
    return round(float(np.mean(chi_out * chi_in[group.inverse])))


def _as_matrices(argument: str, matrices: Sequence[ArrayLike]) -> np.ndarray:
    given = [np.asarray(matrix) for matrix in matrices]
    if not given:
        raise ValueError(f"{argument}: got no matrices; give one for each generator")
    shapes = {m.shape for m in given}
    if len(shapes) > 1 or any(m.ndim != 2 or m.shape[0] != m.shape[1] or m.size == 0 for m in given):
        raise ValueError(
            f"{argument}: got shapes {[m.shape for m in given]}; all must be square and of one size"
        )
    stacked = np.stack(given)
    if np.iscomplexobj(stacked) or not np.isfinite(stacked := stacked.astype(np.float64)).all():
        raise ValueError(f"{argument}: has entries that are not finite real numbers")
    if not _are_permutations(stacked):
        for s, m in enumerate(stacked):
            if np.linalg.matrix_rank(m) < len(m):
                raise ValueError(f"{argument}[{s}]: is not invertible, and what a group does can be undone")
    return stacked


def _are_permutations(matrices: np.ndarray) -> bool:
    return bool(
        np.isin(matrices, (0, 1)).all()
        and (matrices.sum(axis=1) == 1).all()
        and (matrices.sum(axis=2) == 1).all()
    )
