"""What a group convolution multiplies its weights with, in exact numbers: how the filters that the group ties together hang on them."""

import numpy as np

from gdl_utils._checks import check_size
from gdl_utils.domains import Disk, Domain
from gdl_utils.representations import Representation, regular


def is_regular(fibre: Representation) -> bool:
    """Tell whether a representation is the regular one, entry by entry."""
    return fibre.size == len(fibre.group) and np.array_equal(fibre.matrices, regular(fibre.group).matrices)


def tables(
    domain: Domain | Disk, fibre: Representation, fibre_out: Representation, in_channels: int
) -> dict[str, np.ndarray]:
    """Return what makes filters of weights.

    For a regular output it is ``index``, and ``mixing`` where the fibre is no permutation, ``waves`` on a disk. The index runs over
    (g, channel, fibre, kernel entry) and points into a filter's (channel, fibre, point); with mixing matrices, which have made a copy for
    each g, into its (channel, g, fibre, point). On a disk its last axis are coefficients, which stay where they are: what the group does
    to them is in the waves, (g, coefficient, pixel). For another output it is ``kernels`` (dim, F_out, F, pixel), all that are
    equivariant, and ``still`` (number, F_out), the vectors that the group leaves alone.
    """
    group, size, points = domain.group, fibre.size, len(domain)
    # The filter meets the input in a scalar product, so it moves by the dual of the fibre, ρ(g⁻¹)ᵀ; where ρ is orthogonal,
    # as for all permutations, that is ρ(g).
    dual = np.ascontiguousarray(fibre.matrices[group.inverse].transpose(0, 2, 1))
    if not is_regular(fibre_out):
        alone = np.ones((len(group), 1, 1))
        kernels = invariants(fibre_out.matrices, dual, _on_kernel(domain))
        if not len(kernels):
            raise ValueError(
                f"fibre_out: no filter on a {domain.name} but 0 leads from {fibre.name} to {fibre_out.name}"
            )
        return {
            "kernels": kernels @ _pixels(domain),
            "still": invariants(fibre_out.matrices, alone, alone)[..., 0, 0],
        }
    found = {} if fibre.is_permutation else {"mixing": dual.astype(float)}
    g, i, f, u = np.ogrid[: len(group), :in_channels, :size, :points]
    came_from = u if isinstance(domain, Disk) else np.argsort(domain.permutation, axis=1)[g, u]  # g⁻¹·u
    if fibre.is_permutation:
        index = (i * size + dual.argmax(axis=2)[g, f]) * points + came_from
    else:
        index = ((i * len(group) + g) * size + f) * points + came_from
    if isinstance(domain, Disk):
        found["waves"] = domain.matrices.transpose(0, 2, 1) @ _pixels(domain)
    elif not domain.mask.all():
        copies = 1 if fibre.is_permutation else len(group)
        full = np.full((*index.shape[:3], domain.mask.size), in_channels * copies * size * points)
        full[..., np.flatnonzero(domain.mask)] = index
        index = full
    return found | {"index": index.ravel()}


def invariants(*actions: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of the tensors of three axes that the group leaves alone, shape (dim, *sizes).

    Products of three random vectors, averaged over the group, span them; there are as many as the characters say (the mean of their product),
    and twice as many are drawn, with a seed of its own, so that the best of them are far from dependent on each other.
    """
    sizes = [a.shape[1] for a in actions]
    dim = round(np.prod([np.trace(a, axis1=1, axis2=2) for a in actions], axis=0).mean())
    check_size("fibre_out", 2 * dim * int(np.prod(sizes)), "the basis of all equivariant filters")
    if dim == 0:
        return np.zeros((0, *sizes))
    draw = np.random.default_rng(0)
    first, second, third = (a @ draw.standard_normal((a.shape[1], 2 * dim)) for a in actions)
    pairs = np.einsum("gak,gbk->kabg", first, second).reshape(2 * dim, -1, len(first))
    averaged = (pairs @ third.transpose(2, 0, 1)).reshape(2 * dim, -1).T
    squares, found = (part[..., -dim:] for part in np.linalg.eigh(averaged.T @ averaged))
    found = found * np.sign(found.sum(axis=0)) / np.sqrt(squares)
    return (averaged @ found).T.reshape(dim, *sizes)


def _on_kernel(domain: Domain | Disk) -> np.ndarray:
    """Return what each element does to a filter's numbers, shape (len(group), points, points)."""
    if isinstance(domain, Disk):
        return domain.matrices
    return np.eye(len(domain))[np.argsort(domain.permutation, axis=1)]


def _pixels(domain: Domain | Disk) -> np.ndarray:
    """Return what each of a filter's numbers is on the kernel's pixels, shape (points, pixels)."""
    if isinstance(domain, Disk):
        return domain.waves.reshape(len(domain), -1)
    return np.eye(domain.mask.size)[np.flatnonzero(domain.mask)]
