"""The irreducible representations of a group, found by computation, and how others are made of them."""

from functools import lru_cache

import numpy as np

from gdl_utils._checks import check_size
from gdl_utils.groups.group import Group, check_group
from gdl_utils.representations.families import sign, trivial
from gdl_utils.representations.representation import COMMUTANT, Representation, kind_of


def irreps(group: Group) -> tuple[Representation, ...]:
    """Return the irreducible representations, of which all others are sums: real, orthogonal, one of each, found by computation.

    Parameters
    ----------
    group : Group
        Any group of up to 406 elements.

    Returns
    -------
    tuple of Representation
        The trivial one first. Of ``cyclic(n)`` number k turns k times, up to n // 2; then, as for all abelian groups, by what the
        first generator does, slow turns first. Of other groups the small ones first, and those of a size in the same way.

    Raises
    ------
    TypeError
        If ``group`` is no Group.
    ValueError
        If it has more than 406 elements: the regular representation holds more than 67 million numbers.

    Notes
    -----
    The coordinates are those in which the last generator's symmetric part is diagonal, where that leaves a choice the one's before
    it: the mirror of ``dihedral(n)`` is diag(1, -1), a cube's turns move its axes.

    Examples
    --------
    >>> from gdl_utils.groups import dihedral
    >>> [r.size for r in irreps(dihedral(4))]
    [1, 1, 1, 1, 2]
    >>> irreps(dihedral(4))[4].matrices[1]
    array([[ 0., -1.],
           [ 1.,  0.]])
    """
    check_group("group", group)
    check_size("group", len(group) ** 3, f"the regular representation of {group.name}")
    return _irreps(group, group.name, group.family, group.labels)


@lru_cache(maxsize=64)
def _irreps(group: Group, *_told: object) -> tuple[Representation, ...]:
    """Find them in the regular representation; ``_told`` tells apart what is equal as a group and has another name."""
    n, product = len(group), group.product
    quotient = product[group.inverse]  # x⁻¹y, what the group leaves alone if it moves x and y
    random, found, dimensions = np.random.default_rng(0), [], 0
    while dimensions < n:  # one round, unless two eigenvalues agree by accident
        # A generic symmetric matrix that commutes with the group: each eigenspace is one irreducible copy.
        weights = random.standard_normal(n)
        values, vectors = np.linalg.eigh((weights + weights[group.inverse])[quotient])
        for space in np.split(vectors, 1 + np.flatnonzero(np.diff(values) > 1e-9 * n), axis=1):
            # What rounding mixed in is gone once the projector is averaged over the group.
            averaged = (space @ space.T)[np.arange(n)[:, None], product].mean(axis=0)[quotient]
            basis = np.linalg.qr(averaged @ space)[0]
            rho = basis[product].transpose(0, 2, 1) @ basis  # Σ_x basis[gx] basis[x]
            character = np.trace(rho, axis1=1, axis2=2)
            kind = kind_of(group, character)
            if kind and not any(np.allclose(character, other, atol=1e-6) for other, _ in found):
                found.append((character, _recognisable(group, rho, rho.shape[1] // COMMUTANT[kind])))
                dimensions += rho.shape[1] ** 2 // COMMUTANT[kind]
    first, mixed = (
        [*group.generators, *range(n)],
        not group.is_abelian,
    )  # of an abelian one the size does not count
    found.sort(key=lambda pair: (mixed * len(pair[1][0]), *(-pair[0][first] / pair[0][0]).round(6)))
    name = "wave" if group.family == "cyclic" else "irrep"
    made = [Representation._known(f"{name} {k}", group, rho) for k, (_, rho) in enumerate(found)]
    if group.family in ("dihedral", "prismatic", "octahedral"):
        signs = sign(group)
        made = [signs if np.array_equal(irrep.matrices, signs.matrices) else irrep for irrep in made]
    return (trivial(group), *made[1:])


def _recognisable(group: Group, rho: np.ndarray, count: int) -> np.ndarray:
    """Choose coordinates: eigenvectors of one element's symmetric part after the other, as far as that tells them apart."""
    blocks = [np.eye(rho.shape[1])]
    for g in (*reversed(group.generators), *range(len(group))):
        if len(blocks) < count:
            parts = [(b, *np.linalg.eigh(-b.T @ (rho[g] + rho[g].T) @ b)) for b in blocks]
            blocks = [
                part
                for b, values, vectors in parts
                for part in np.split(b @ vectors, 1 + np.flatnonzero(np.diff(values) > 1e-6), axis=1)
            ]
    # Signs, and what is left of a choice: where the first coordinate is taken by the first element that takes it there.
    columns = []
    for block in blocks:
        room = block @ block.T
        for g in (0, *group.generators, *range(len(group))):
            image = room @ rho[g] @ blocks[0][:, 0]
            if (length := np.linalg.norm(image)) > 1e-3:
                columns.append(image / length)
                room = room - np.outer(columns[-1], columns[-1])
    basis, triangle = np.linalg.qr(np.stack(columns, axis=1))
    basis = basis * np.sign(np.diagonal(triangle))
    rho = basis.T @ rho @ basis
    return np.where(np.abs(rho - rho.round()) < 1e-13, rho.round() + 0.0, rho)


def decompose(representation: Representation) -> tuple[np.ndarray, tuple[Representation, ...]]:
    """Return coordinates in which a representation is a sum of irreducible ones, and these.

    Parameters
    ----------
    representation : Representation
        Any, of a group of up to 406 elements.

    Returns
    -------
    basis : array of shape (F, F)
        Q, with Q⁻¹ ρ(g) Q = the matrices of ``parts`` along the diagonal; orthogonal if the representation is.
    parts : tuple of Representation
        Those of ``irreps(group)``, in their order, each as often as it is contained.

    Examples
    --------
    >>> from gdl_utils.groups import cyclic
    >>> from gdl_utils.representations import regular
    >>> basis, parts = decompose(regular(cyclic(4)))
    >>> [part.name for part in parts]
    ['trivial', 'wave 1', 'wave 2']
    """
    if not isinstance(representation, Representation):
        raise TypeError(f"representation: got {type(representation).__name__}; a Representation is needed")
    rho = representation.matrices.astype(float)
    stretch = np.linalg.cholesky(np.mean(rho.transpose(0, 2, 1) @ rho, axis=0)).T
    rho = stretch @ rho @ np.linalg.inv(stretch)  # orthogonal
    room, columns, parts = np.eye(representation.size), [], []
    for irrep in irreps(representation.group):
        times = representation.multiplicity(irrep)
        # All maps that commute with the group: Σ_g ρ(g) e_a (irrep(g) e_0)ᵀ, one for each a; shape (F, a, d).
        maps = np.tensordot(rho, irrep.matrices[:, :, 0] / len(rho), (0, 0)) if times else None
        for _ in range(times):
            maps = np.tensordot(room, maps, 1)  # off those that stand
            lengths = np.linalg.norm(maps, axis=(0, 2))
            best = maps[:, (lengths > lengths.max() / 2).argmax()]
            columns.append(best / np.linalg.norm(best[:, 0]))
            room = room - columns[-1] @ columns[-1].T
            parts.append(irrep)
    return np.linalg.solve(stretch, np.concatenate([room[:, :0], *columns], axis=1)), tuple(parts)
