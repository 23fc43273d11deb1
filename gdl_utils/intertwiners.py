"""Solve for all linear maps that respect a symmetry.

A linear map W from one signal space to another respects a group when it does not matter whether the group acts before it or
after it:

    ρ_out(g) W = W ρ_in(g)   for every g.

These are linear equations for the entries of W, and it is enough to ask the generators. The solutions, called *intertwiners*,
form a vector space; ``equivariant_basis`` returns a basis of it. With it an architecture is found instead of asserted: for the
shifts of a circle the basis are the circulant matrices, which is to say convolutions, and nothing else.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import sparse

from gdl_utils.groups import Group

__all__ = ["equivariant_basis"]

MAX_UNKNOWNS = 4_096  # without permutations: an eigenvalue problem of this size takes some seconds
MAX_DENSE = 2**26  # entries of a dense basis, 512 MiB; a larger one comes as a sparse tensor


def equivariant_basis(
    rho_in: Sequence[ArrayLike], rho_out: Sequence[ArrayLike], *, group: Group | None = None
) -> torch.Tensor:
    """Return a basis of all matrices W with ``rho_out[s] @ W == W @ rho_in[s]`` for every generator s.

    Parameters
    ----------
    rho_in : sequence of arrays of shape (n_in, n_in)
        What each generator of the group does to the input.
    rho_out : sequence of arrays of shape (n_out, n_out)
        What each does to the output, in the same order.
    group : Group, optional
        If given, the matrices must be representations of it: its relations are checked.

    Returns
    -------
    tensor of shape (dim, n_out, n_in), float64
        For permutation matrices, the indicators of the orbits of index pairs: matrices of zeros and ones that do not overlap and
        add up to all ones. Where that would take more than 512 MiB, a sparse COO tensor. Otherwise an orthonormal basis.

    Raises
    ------
    ValueError
        If the counts differ, a matrix is not square, not finite or not invertible, sizes differ among the generators, the matrices
        are no representations of ``group``, or there are more than 4,096 unknowns without being permutations.

    Notes
    -----
    Permutations are solved by counting: the entry W[a, b] must equal W[g·a, g·b], so W is constant on the orbits of pairs, which
    are the connected components of a graph. Otherwise W is a null vector of the stacked equations
    ``kron(rho_out, I) - kron(I, rho_in.T)``, found by the eigenvectors of their normal matrix. Its eigenvalues are squares, so that equations broken by less than 1e-5 of
    the matrices' size count as solved.
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
    rho_in, rho_out = _as_matrices("rho_in", rho_in), _as_matrices("rho_out", rho_out)
    if len(rho_in) != len(rho_out):
        raise ValueError(
            f"rho_in, rho_out: got {len(rho_in)} and {len(rho_out)}; give one for each generator"
        )
    if group is not None:
        for name, matrices in (("rho_in", rho_in), ("rho_out", rho_out)):
            try:
                group.representation(matrices)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
    if _are_permutations(rho_in) and _are_permutations(rho_out):
        return basis_of_orbits(rho_in.argmax(axis=1), rho_out.argmax(axis=1))
    return _null_space(rho_in, rho_out)


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
    ones = torch.ones(
        len(pairs), dtype=torch.float64, device="cpu"
    )  # a basis is made there, whatever the default
    basis = torch.sparse_coo_tensor(where, ones, (dim, n_out, n_in), device="cpu", check_invariants=True)
    return basis.to_dense() if basis.numel() <= MAX_DENSE else basis.coalesce()


def _null_space(rho_in: np.ndarray, rho_out: np.ndarray) -> torch.Tensor:
    """Return an orthonormal basis of the solutions of ρ_out W - W ρ_in = 0, W flattened row by row."""
    n_in, n_out = rho_in.shape[1], rho_out.shape[1]
    if n_in * n_out > MAX_UNKNOWNS:
        raise ValueError(
            f"rho_in, rho_out: {n_out} × {n_in} = {n_in * n_out:,} unknowns, and up to {MAX_UNKNOWNS:,} are solved for matrices "
            "that are no permutations"
        )
    normal = np.zeros((n_in * n_out,) * 2)
    for before, after in zip(rho_in, rho_out, strict=True):
        equations = np.kron(after, np.eye(n_in)) - np.kron(np.eye(n_out), before.T)
        normal += equations.T @ equations
    values, vectors = np.linalg.eigh(normal)
    # Squares of singular values: what solves the equations is at rounding, what does not is of the size of the matrices.
    dim = int((values <= 1e-10 * max(1.0, values[-1])).sum())
    return torch.from_numpy(np.ascontiguousarray(vectors[:, :dim].T)).reshape(dim, n_out, n_in)


def _as_matrices(argument: str, matrices: Sequence[ArrayLike]) -> np.ndarray:
    given = [np.asarray(matrix, dtype=np.float64) for matrix in matrices]
    if not given:
        raise ValueError(f"{argument}: got no matrices; give one for each generator")
    shapes = {m.shape for m in given}
    if len(shapes) > 1 or any(m.ndim != 2 or m.shape[0] != m.shape[1] or m.size == 0 for m in given):
        raise ValueError(
            f"{argument}: got shapes {[m.shape for m in given]}; all must be square and of one size"
        )
    stacked = np.stack(given)
    if not np.isfinite(stacked).all():
        raise ValueError(f"{argument}: has entries that are not finite")
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
