"""Spectra: signals on a finite group as sums of its waves, and what of them no move of the group changes.

The group's waves are the entries of its irreducible representations ρ; the transform of f is one matrix for each of them,
f̂(ρ) = Σ_g f(g) ρ(g). A convolution becomes a product of matrices, and a move of the signal, (g·f)(h) = f(g⁻¹h), a factor from
the left: f̂ becomes ρ(g) f̂. What is made so that this factor cancels is invariant: f̂ᵀ f̂, which forgets how the waves lie to each
other, and the bispectrum, which does not.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from gdl_utils._checks import check_size
from gdl_utils.groups.group import Group, check_group
from gdl_utils.representations import irreps
from gdl_utils.representations.representation import COMMUTANT

__all__ = [
    "bispectrum",
    "fourier_transform",
    "inverse_fourier_transform",
    "power_spectrum",
    "signal_from_bispectrum",
]


def fourier_transform(f: torch.Tensor, group: Group) -> list[torch.Tensor]:
    """Return the Fourier transform of signals on a group: f̂(ρ) = Σ_g f(g) ρ(g), for each ρ of ``irreps(group)``.

    The transform of (f ∗ h)(g) = Σ_u f(u) h(u⁻¹g) is the product of the matrices, f̂ ĥ.

    Parameters
    ----------
    f : tensor of shape (…, len(group))
        Signals, of real floating-point numbers.
    group : Group
        Up to 406 elements.

    Returns
    -------
    list of tensors of shape (…, d, d)

    Raises
    ------
    TypeError, ValueError
        If ``f`` is no tensor of real floating-point numbers, of another length, or not finite; if the group is too large.

    Examples
    --------
    >>> from gdl_utils.groups import cyclic
    >>> constant, wave, alternating = fourier_transform(torch.tensor([1.0, 2.0, 3.0, 5.0]), cyclic(4))
    >>> wave
    tensor([[-2.,  3.],
            [-3., -2.]])
    """
    sizes, _, table = _waves(group)
    _check("f", f, (len(group),), group)
    return _in_matrices(f @ table.to(f), sizes)


def inverse_fourier_transform(coefficients: Sequence[torch.Tensor], group: Group) -> torch.Tensor:
    """Return the signals that have these Fourier transforms: ``f(g) = 1/|G| Σ_ρ d/e tr(f̂(ρ) ρ(g)⁻¹)``.

    Here d is the size of ρ, and e = 1, 2, 4 for a real, complex, quaternionic one.

    Parameters
    ----------
    coefficients : sequence of tensors of shape (…, d, d)
        One for each of ``irreps(group)``. Of a complex or quaternionic one what no signal has is left out.
    group : Group
        Up to 406 elements.

    Returns
    -------
    tensor of shape (…, len(group))

    Raises
    ------
    TypeError, ValueError
        If their number, a type or a shape is wrong, or not that of the others, or they are not finite.
    """
    (sizes, weights, table), coefficients = _waves(group), list(coefficients)
    if len(coefficients) != len(sizes):
        raise ValueError(
            f"coefficients: got {len(coefficients)}; {group.name} has {len(sizes)} irreducible ones"
        )
    for k, (d, given) in enumerate(zip(sizes, coefficients, strict=True)):
        _check(f"coefficients[{k}]", given, (d, d), group, coefficients[0])
    weighted = [w * given.flatten(-2) for w, given in zip(weights, coefficients, strict=True)]
    return torch.cat(weighted, dim=-1) @ table.to(weighted[0]).mT


def power_spectrum(f: torch.Tensor, group: Group) -> list[torch.Tensor]:
    """Return f̂(ρ)ᵀ f̂(ρ) for each ρ of ``irreps(group)``: the same for f and all (g·f)(h) = f(g⁻¹h).

    Parameters
    ----------
    f : tensor of shape (…, len(group))
        Signals, of real floating-point numbers.
    group : Group
        Up to 406 elements.

    Returns
    -------
    list of tensors of shape (…, d, d)
        For a cyclic group the squares of lengths, on the diagonal.

    Raises
    ------
    TypeError, ValueError
        As ``fourier_transform``.
    """
    return [part.mT @ part for part in fourier_transform(f, group)]


def bispectrum(
    f: torch.Tensor, group: Group, pairs: Iterable[tuple[int, int]] | None = None
) -> dict[tuple[int, int], torch.Tensor]:
    """Return (f̂(ρ) ⊗ f̂(σ))ᵀ f̂(ρ ⊗ σ) for pairs of irreducible representations: the same for f and all (g·f)(h) = f(g⁻¹h).

    It holds how the waves lie to each other, which the power spectrum forgets (Kakarala 2009).

    Parameters
    ----------
    f : tensor of shape (…, len(group))
        Signals, of real floating-point numbers.
    group : Group
        Up to 406 elements.
    pairs : pairs of int, optional
        Which of ``irreps(group)``; by default all (j, k) with j ≤ k.

    Returns
    -------
    dict of tensors of shape (…, d_j d_k, d_j d_k)
        For each pair (j, k), in the order of ``numpy.kron``.

    Raises
    ------
    TypeError, ValueError
        As ``fourier_transform``; if a pair names none, or all would hold more than 67 million numbers.

    Examples
    --------
    >>> from gdl_utils.groups import cyclic
    >>> f = torch.tensor([1.0, 2.0, 3.0, 5.0])
    >>> bispectrum(f, cyclic(4), [(0, 1)])[0, 1]  # 11 · (2² + 3²)
    tensor([[143.,   0.],
            [  0., 143.]])
    """
    coefficients, (sizes, _, table) = fourier_transform(f, group), _waves(group)
    rho, count = _in_matrices(table.to(f), sizes), len(sizes)
    if pairs is None:
        pairs = [(j, k) for j in range(count) for k in range(j, count)]
    pairs = list(pairs)
    known = {(j, k) for j in range(count) for k in range(count)}
    for pair in pairs:
        if not isinstance(pair, tuple | list) or tuple(pair) not in known or float in map(type, pair):
            raise ValueError(
                f"pairs: got {pair!r}; give two whole numbers, {group.name} has the irreducible ones 0 to {count - 1}"
            )
    numbers = sum((sizes[j] * sizes[k]) ** 2 for j, k in pairs)
    if not torch.compiler.is_compiling():  # sizes may be symbols there
        check_size("pairs", numbers * f[..., 0].numel(), f"the bispectrum of {len(pairs):,} pairs")
    result = {}
    for j, k in pairs:
        of_product = torch.tensordot(f, _kron(rho[j], rho[k]), 1)
        result[j, k] = _kron(coefficients[j], coefficients[k]).mT @ of_product
    return result


def signal_from_bispectrum(bispectrum: Mapping[tuple[int, int], torch.Tensor], group: Group) -> torch.Tensor:
    """Return a signal on a cyclic group that has this bispectrum: the one it was made of, up to a shift.

    Wave k + 1 follows from wave k and wave 1; how far wave 1 is shifted is told by closing the circle, up to a step of the group.

    Parameters
    ----------
    bispectrum : dict of tensors
        As ``bispectrum`` gives it. Used are the pairs (0, 0) and (1, k) for 1 ≤ k ≤ (n - 1) // 2, for n = 2 (1, 1).
    group : Group
        ``cyclic(n)``.

    Returns
    -------
    tensor of shape (…, n)
        Computed in single precision at least.

    Raises
    ------
    TypeError, ValueError
        If the group is none, or not cyclic, a pair is missing, or a coefficient that others follow from is nearly 0.

    Examples
    --------
    >>> from gdl_utils.groups import cyclic
    >>> f = torch.tensor([1.0, 2.0, 3.0, 5.0], dtype=torch.float64)
    >>> signal_from_bispectrum(bispectrum(f, cyclic(4)), cyclic(4)).sort().values.numpy().round(9)
    array([1., 2., 3., 5.])
    """
    check_group("group", group)
    if group.family != "cyclic":
        raise ValueError(f"group: got {group.name}; signals are recovered on cyclic groups")
    n = group.degree
    needed = [(0, 0), *((1, k) for k in range(1, (n + 1) // 2 if n > 2 else n))]
    for pair in needed:
        if pair not in bispectrum:
            raise ValueError(f"bispectrum: the pair {pair} is missing; needed are {needed}")
        size = (4, 4) if n > 2 and any(pair) else (1, 1)
        _check(f"bispectrum[{pair}]", bispectrum[pair], size, group, bispectrum[0, 0])
    dtype = bispectrum[0, 0].dtype
    wide = torch.promote_types(dtype, torch.float32)
    cubed, *products = (bispectrum[pair][..., 0].to(wide) for pair in needed)
    cubed = cubed[..., 0]
    if cubed.numel() == 0:  # what torch.fft refuses
        return cubed.new_zeros((*cubed.shape, n), dtype=dtype)
    waves = [torch.complex(cubed.sign() * cubed.abs() ** (1 / 3), torch.zeros_like(cubed))]
    # Two waves make one of the sum of their frequencies and one of the difference, which of (1, 1) is |f̂₁|² f̂₀.
    if n > 1:
        waves.append((products[0][..., [0, -1][: n - 1]].sum(dim=-1) / waves[0]).sqrt())  # as if not shifted
    for m in products if n > 2 else []:
        total = torch.complex(m[..., 0] - m[..., 3], m[..., 1] + m[..., 2])
        waves.append(total / (waves[1] * waves[-1]).conj())
    sizes = torch.stack(waves[: n // 2 + 1]).detach().abs()
    largest = (
        sizes[:2].amax(dim=0).maximum(sizes.cummax(dim=0).values)
    )  # so far: what follows a 0 means nothing
    small = ~(sizes > torch.finfo(dtype).eps ** 0.4 * largest)
    if n > 1 and _seen(small.any()):
        k = int(small.nonzero()[:, 0].min())
        raise ValueError(
            f"bispectrum: wave {k} of the signal is 0 or nearly so, and others follow from it"
            + (" (add a constant to the signal)" if k == 0 else "")
        )
    k = torch.arange(n // 2 + 1, device=cubed.device)
    shift = -(waves[n // 2].angle() + waves[-1].angle()) / n  # waves a and b with a + b = n are conjugates
    spectrum = torch.stack(waves[: n // 2 + 1], dim=-1) * torch.exp(1j * shift[..., None] * k)
    return torch.fft.irfft(spectrum.conj(), n=n).to(dtype)


@torch.compiler.assume_constant_result
def _waves(group: Group) -> tuple[list[int], list[float], torch.Tensor]:
    """Return the sizes of the irreducible representations, their d/e/|G|, and all their entries, shape (len(group), Σ d²)."""
    parts, n = irreps(group), len(group)
    table = np.concatenate([part.matrices.reshape(n, -1) for part in parts], axis=1)
    weights = [part.size / COMMUTANT[part.kind] / n for part in parts]
    return [part.size for part in parts], weights, torch.from_numpy(table)


def _in_matrices(entries: torch.Tensor, sizes: list[int]) -> list[torch.Tensor]:
    pieces = entries.split([d * d for d in sizes], dim=-1)
    return [piece.unflatten(-1, (d, d)) for piece, d in zip(pieces, sizes, strict=True)]


def _kron(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the products of all entries of two stacks of matrices, in the order of ``numpy.kron``."""
    return (a[..., :, None, :, None] * b[..., None, :, None, :]).flatten(-4, -3).flatten(-2)


def _seen(fact: torch.Tensor) -> bool:
    """Whether something holds, where values can be looked at."""
    if torch.compiler.is_compiling() or fact.is_meta:
        return False
    try:
        return bool(fact)
    except RuntimeError:  # under vmap
        return False


def _check(
    argument: str, given: torch.Tensor, shape: tuple[int, ...], group: Group, first: torch.Tensor = None
) -> None:
    """Refuse what is no tensor of finite real numbers whose last axes are those, and the others as of the first."""
    if not isinstance(given, torch.Tensor) or not given.dtype.is_floating_point:
        kind = given.dtype if isinstance(given, torch.Tensor) else type(given).__name__
        raise TypeError(f"{argument}: got {kind}; a tensor of real floating-point numbers is needed")
    if tuple(given.shape[-len(shape) :]) != shape:
        raise ValueError(
            f"{argument}: got shape {tuple(given.shape)}; for {group.name} the last of it is {shape}"
        )
    if first is not None and (given.dtype, given.shape[: -len(shape)]) != (first.dtype, first.shape[:-2]):
        raise ValueError(
            f"{argument}: got {given.dtype} of shape {tuple(given.shape)}; the first is {first.dtype} of {tuple(first.shape)}"
        )
    if _seen(~given.isfinite().all()):
        raise ValueError(f"{argument}: has entries that are not finite")
