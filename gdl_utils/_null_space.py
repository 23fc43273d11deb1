"""Matrices W with B W = W A for pairs of matrices A and B: the numerics of ``intertwiners``."""

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

SOLVED = 1e-9  # equations broken by no more than this, next to the size of the matrices, count as solved
DOUBTFUL = 1e-2  # and up to this are looked at again, all equations together
NEAR = 1e-4  # eigenvalues that differ by no more may agree
MAX_UNKNOWNS = 40_000
MAX_ENTRIES = 2**27  # of the coordinates of what a first step leaves, 1 GiB


def null_space(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return an orthonormal basis of the solutions of B W - W A = 0, by how much it breaks them, and what breaks them least."""
    n_in, n_out = before.shape[1], after.shape[1]
    if n_in * n_out > MAX_UNKNOWNS:
        raise ValueError(
            f"rho_in, rho_out: {n_out} × {n_in} = {n_in * n_out:,} unknowns, and up to {MAX_UNKNOWNS:,} are solved for matrices "
            "that are no permutations"
        )
    size = lambda m: np.linalg.norm(m, 2)
    scales = [max(size(a), size(b)) or 1.0 for a, b in zip(before, after, strict=True)]
    pairs = [(a / s, b / s) for a, b, s in zip(before, after, scales, strict=True)]
    found, gap = _first(pairs, n_in, n_out)
    kept, broken, doubtful = np.eye(len(found)), 0.0, []  # what solves all so far, in terms of ``found``
    for k, (a, b) in enumerate(pairs):
        if not len(kept):
            break
        some = np.tensordot(kept, found, 1) if k else found
        left = (b @ some - some @ a).reshape(len(some), n_in * n_out)
        _, values, vectors = np.linalg.svd(np.linalg.qr(left.T, mode="r"))
        solved = values <= SOLVED
        doubtful.append(vectors[~solved & (values <= DOUBTFUL)] @ kept)
        kept, broken = vectors[solved] @ kept, max(broken, values[solved].max(initial=0))
    solutions = np.tensordot(kept, found, 1)
    gap = _gap(pairs, solutions) if gap is None else gap
    if doubtful and len(near := np.concatenate(doubtful)):  # told more exactly than by Lanczos' method
        near = np.tensordot(near, found, 1)
        equations = [(b @ near - near @ a).reshape(len(near), n_in * n_out) for a, b in pairs]
        gap = min(gap, np.linalg.svd(np.concatenate(equations, 1), compute_uv=False).min())
    return solutions, float(broken), float(gap)


def _gap(pairs: list, solutions: np.ndarray) -> float:
    """Return what breaks all equations together least, of all that is orthogonal to the solutions: by Lanczos' method."""
    dim, unknowns = len(solutions), int(np.prod(solutions.shape[1:]))
    flat, top = solutions.reshape(dim, unknowns), 4.0 * len(pairs)  # no square is above
    if dim == unknowns:
        return np.inf

    def turned_over(v: np.ndarray) -> np.ndarray:
        v = v - flat.T @ (flat @ v)
        w, total = v.reshape(solutions.shape[1:]), 0.0
        for a, b in pairs:
            left = b @ w - w @ a
            total = total + b.T @ left - left @ a.T
        out = top * v - total.ravel()
        return out - flat.T @ (flat @ out)

    start = np.random.default_rng(0).standard_normal(unknowns)
    operator = LinearOperator((unknowns,) * 2, matvec=turned_over, dtype=np.float64)
    (value,) = eigsh(operator, k=1, which="LA", v0=start, tol=1e-8, return_eigenvectors=False)
    return float(np.sqrt(max(0.0, top - value)))


def _first(pairs: list, n_in: int, n_out: int) -> tuple[np.ndarray, float | None]:
    """Return an orthonormal basis of a space in which all solutions lie, and what breaks the equations least outside of it, if known."""
    unknowns, kept = n_in * n_out, all(_keeps_transposes(a, b) for a, b in pairs)
    if unknowns <= 400 or not kept:
        if unknowns > 4_096:
            raise ValueError(
                f"rho_in, rho_out: {unknowns:,} unknowns, and up to 4,096 are solved where a generator is neither orthogonal, nor symmetric, "
                "nor antisymmetric, on both sides; in coordinates in which the group keeps lengths they are orthogonal"
            )
        return _from_all(pairs, n_in, n_out)
    # What commutes with the generators commutes with their products, and here with the transposes: so with a symmetric matrix made of
    # these at random, and leaves in its eigenvectors only entries whose eigenvalues agree.
    (x, v), (y, u) = (np.linalg.eigh(m) for m in _at_random(pairs))
    out, into = np.nonzero(np.abs(y[:, None] - x[None]) <= NEAR * max(np.abs(x).max(), np.abs(y).max()))
    if len(out) * unknowns > MAX_ENTRIES:
        raise ValueError(
            f"rho_in, rho_out: of {unknowns:,} unknowns {len(out):,} are left after a first step, and their coordinates would take more "
            "than 1 GiB"
        )
    return np.einsum("ak,bk->kab", u[:, out], v[:, into]), None


def _keeps_transposes(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether W A = B W implies W Aᵀ = Bᵀ W, since both matrices are orthogonal up to a factor, symmetric or antisymmetric."""
    near = lambda m, n: np.abs(m - n).max() <= 1e-9
    unit = lambda m: near(m @ m.T, np.eye(len(m)) * (m[0] @ m[0]))
    same = abs(a[0] @ a[0] - b[0] @ b[0]) <= 1e-9
    return (unit(a) and unit(b) and same) or any(near(a, s * a.T) and near(b, s * b.T) for s in (1, -1))


def _at_random(pairs: list) -> tuple[np.ndarray, np.ndarray]:
    """Return a random symmetric combination of products of the generators, the same on both sides."""
    random, total = np.random.default_rng(0), None
    for _ in range(12):
        word = random.integers(len(pairs), size=random.integers(1, 6))
        weight = random.standard_normal()
        product = [np.eye(len(m)) for m in pairs[0]]
        for k in word:
            product = [m @ p for m, p in zip(pairs[k], product, strict=True)]
        both = [weight * (p + p.T) for p in product]
        total = both if total is None else [t + m for t, m in zip(total, both, strict=True)]
    return tuple(total)


def _from_all(pairs: list, n_in: int, n_out: int) -> tuple[np.ndarray, float]:
    """Do the same by the eigenvectors of the normal matrix of all equations."""
    normal = np.zeros((n_in * n_out,) * 2)
    for a, b in pairs:
        equations = np.kron(b, np.eye(n_in)) - np.kron(np.eye(n_out), a.T)
        normal += equations.T @ equations
    values, vectors = np.linalg.eigh(normal)
    near = values <= NEAR**2  # squares of singular values, known to the root of the precision
    return vectors[:, near].T.reshape(-1, n_out, n_in), float(np.sqrt(values[~near].min(initial=np.inf)))
