"""Spectra: transforms against their formulas, what a move leaves alone and what it does not, recovery, errors."""

import itertools

import numpy as np
import pytest
import torch

from gdl_utils.groups import Group, cyclic, dihedral, octahedral, symmetric
from gdl_utils.representations import irreps
from gdl_utils.spectra import (
    bispectrum,
    fourier_transform,
    inverse_fourier_transform,
    power_spectrum,
    signal_from_bispectrum,
)

QUATERNIONS = Group([[1, 2, 3, 0, 5, 6, 7, 4], [4, 7, 6, 5, 2, 1, 0, 3]], name="Q₈")
GROUPS = {
    **{f"C{n}": cyclic(n) for n in (*range(1, 17), 64)},
    **{f"D{n}": dihedral(n) for n in (*range(1, 9), 16)},
    **{"S3": symmetric(3), "S4": symmetric(4), "S5": symmetric(5)},
    **{"O": octahedral(), "Oh": octahedral(reflections=True), "Q8": QUATERNIONS},
    "A4": Group([[1, 2, 0, 3], [0, 2, 3, 1]]),
    "C3 x S3": Group([[1, 2, 0, 3, 4, 5], [0, 1, 2, 4, 3, 5], [0, 1, 2, 3, 5, 4]]),
}
everywhere = pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
small = pytest.mark.parametrize(
    "group", [GROUPS[n] for n in ("C1", "C2", "C5", "D3", "D4", "Q8", "A4", "S4")]
)


def signal(group, *batch, dtype=torch.float64):
    return torch.randn(*batch, len(group), dtype=dtype)


def moved(f, g, group):
    """(g·f)(h) = f(g⁻¹h)."""
    return f[..., torch.tensor(group.product[group.inverse[g]])]


def moved_from_the_right(f, g, group):
    """h ↦ f(hg)."""
    return f[..., torch.tensor(group.product[:, g])]


def gap(one, other):
    """The largest difference of two lists of tensors, relative to the largest entry."""
    pairs = list(zip(one, other, strict=True))
    return float(max((a - b).abs().max() for a, b in pairs) / max(b.abs().max() for _, b in pairs))


@everywhere
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_transform_is_the_sum_and_the_inverse_undoes_it(group, dtype, bound):
    f = signal(group, 3, dtype=dtype)
    transform = fourier_transform(f, group)
    literally = [
        sum(f[:, g, None, None].double() * torch.tensor(rho.matrices[g]) for g in range(len(group)))
        for rho in irreps(group)
    ]
    assert gap(transform, literally) <= bound and all(part.dtype == dtype for part in transform)
    assert gap([inverse_fourier_transform(transform, group)], [f]) <= bound
    assert gap(fourier_transform(f[0], group), [part[0] for part in transform]) <= bound
    if len(group) > 1:  # the control: without the last
        transform[-1] = 0 * transform[-1]
        assert gap([inverse_fourier_transform(transform, group)], [f]) > 1e-2


@small
def test_a_convolution_is_a_product_of_matrices_and_of_scalars_it_is_not(group):
    f, h, n = signal(group), signal(group), len(group)
    convolved = torch.zeros(n, dtype=torch.float64)
    for g, u in itertools.product(range(n), repeat=2):
        convolved[g] += f[u] * h[group.product[group.inverse[u], g]]
    f_hat, h_hat = fourier_transform(f, group), fourier_transform(h, group)
    of_products = inverse_fourier_transform([a @ b for a, b in zip(f_hat, h_hat, strict=True)], group)
    assert gap([of_products], [convolved]) <= 1e-12
    # The controls: products entry by entry, of the traces alone, and in the other order.
    if not group.is_abelian:
        scalar = lambda a: torch.eye(len(a), dtype=a.dtype) * a.trace() / len(a)
        for wrong in (lambda a, b: a * b, lambda a, b: scalar(a) @ scalar(b), lambda a, b: b @ a):
            parts = [wrong(a, b) for a, b in zip(f_hat, h_hat, strict=True)]
            assert gap([inverse_fourier_transform(parts, group)], [convolved]) >= 1e-1


@small
def test_a_move_is_a_factor_from_the_left_and_the_spectra_do_not_see_it(group):
    f = signal(group, 2)
    transform, power, whole = fourier_transform(f, group), power_spectrum(f, group), bispectrum(f, group)
    power_seen, bispectrum_seen = [], []
    for g in range(len(group)):
        after = moved(f, g, group)
        by_matrix = [
            torch.tensor(rho.matrices[g]) @ part for rho, part in zip(irreps(group), transform, strict=True)
        ]
        assert gap(fourier_transform(after, group), by_matrix) <= 1e-12
        assert gap(power_spectrum(after, group), power) <= 1e-12
        assert gap(bispectrum(after, group).values(), whole.values()) <= 1e-12
        other = moved_from_the_right(f, g, group)
        power_seen.append(gap(power_spectrum(other, group), power))
        bispectrum_seen.append(gap(bispectrum(other, group).values(), whole.values()))
    # The control. Matrices of quaternions are orthogonal but for a factor, so that their power spectrum sees neither move.
    assert max(power_seen) <= 1e-12 if group.is_abelian or group is QUATERNIONS else max(power_seen) > 1e-2
    assert max(bispectrum_seen) <= 1e-12 if group.is_abelian else max(bispectrum_seen) > 1e-2


@pytest.mark.parametrize("group", [cyclic(5), dihedral(4), QUATERNIONS, symmetric(3)])
def test_the_bispectrum_is_its_formula(group):
    f, rho = signal(group), [r.matrices for r in irreps(group)]
    transform = [part.numpy() for part in fourier_transform(f, group)]
    found = bispectrum(f, group)
    assert list(found) == list(itertools.combinations_with_replacement(range(len(rho)), 2))
    for (j, k), matrix in found.items():
        of_product = sum(float(f[g]) * np.kron(rho[j][g], rho[k][g]) for g in range(len(group)))
        literally = torch.tensor(np.kron(transform[j], transform[k]).T @ of_product)
        assert gap([matrix], [literally]) <= 1e-12
    assert torch.equal(bispectrum(f, group, [(1, 0)])[1, 0], found[0, 1])  # where one is a scalar


@pytest.mark.parametrize("group", [cyclic(6), cyclic(7), dihedral(3), dihedral(5)])
def test_two_signals_with_one_power_spectrum_are_told_apart(group):
    """Each wave is turned by an angle of its own: no move of the group does that."""
    f = signal(group)
    parts = fourier_transform(f, group)
    for k, part in enumerate(parts):
        if part.shape[-1] == 2:
            c, s = np.cos(k + 0.4), np.sin(k + 0.4)
            parts[k] = torch.tensor([[c, -s], [s, c]]) @ part
    twin = inverse_fourier_transform(parts, group)
    assert gap(power_spectrum(twin, group), power_spectrum(f, group)) <= 1e-12
    assert min(gap([moved(f, g, group)], [twin]) for g in range(len(group))) > 1e-2
    assert gap(bispectrum(twin, group).values(), bispectrum(f, group).values()) > 1e-2


# Recovery


def gap_up_to_shift(found, f):
    n = f.shape[-1]
    shifted = torch.stack([found.roll(s, -1) for s in range(n)])
    return float(((shifted - f).abs().amax(-1).amin(0) / f.abs().amax(-1)).max())


@pytest.mark.parametrize("n", [*range(1, 17), 31, 63, 64])
def test_a_signal_is_recovered_up_to_a_shift(n):
    group, f = cyclic(n), signal(cyclic(n), 4, 5)
    selective = [(0, 0), *((1, k) for k in range(1, n // 2 + 1))]
    found = signal_from_bispectrum(bispectrum(f, group, selective), group)
    assert found.shape == f.shape and gap_up_to_shift(found, f) <= 1e-10
    if n in (5, 6):
        assert gap_up_to_shift(signal_from_bispectrum(bispectrum(f, group), group), f) <= 1e-10
    if n > 2:  # the control: what another signal left
        assert gap_up_to_shift(found, signal(group, 4, 5)) > 1e-2


def test_a_signal_in_single_precision_and_one_of_a_dot():
    group, f = cyclic(8), signal(cyclic(8), dtype=torch.float32)
    assert gap_up_to_shift(signal_from_bispectrum(bispectrum(f, group), group), f) <= 1e-4
    dot = torch.eye(9, dtype=torch.float64)[3]
    assert gap_up_to_shift(signal_from_bispectrum(bispectrum(dot, cyclic(9)), cyclic(9)), dot) <= 1e-12


@pytest.mark.parametrize(
    ("f", "message"),
    [
        ([1.0, -1.0, 2.0, -2.0], r"wave 0 of the signal is 0 or nearly so.*add a constant"),
        ([1.1, -1.2, 2.3, -2.2], "wave 0"),
        ([0.0, 0.0, 0.0], "wave 0"),
        ([1.0, 1.0, 1.0], "wave 1"),
        ([1.0, 2.0, 1.0, 2.0], "wave 1"),
        ([2.0, 1.0, 1.0, 2.0], "wave 2"),
    ],
)
def test_a_wave_that_is_missing_is_named(f, message):
    f, group = torch.tensor(f, dtype=torch.float64), cyclic(len(f))
    with pytest.raises(ValueError, match=message):
        signal_from_bispectrum(bispectrum(f, group), group)
    several = torch.stack([torch.arange(len(f), dtype=torch.float64) ** 2 + 1, f])
    with pytest.raises(ValueError, match=message):
        signal_from_bispectrum(bispectrum(several, group), group)


# Torch, and errors


def test_gradients_pass_and_all_compiles():
    group, f = dihedral(3), signal(dihedral(3), 2).requires_grad_()
    for function in (power_spectrum, lambda f, g: list(bispectrum(f, g).values()), fourier_transform):
        assert torch.autograd.gradcheck(lambda f, function=function: tuple(function(f, group)), f)
        compiled = torch.compile(
            lambda f, function=function: function(f, group), fullgraph=True, backend="eager"
        )
        assert gap(compiled(f.detach()), function(f.detach(), group)) <= 1e-12
    shift = lambda f: signal_from_bispectrum(bispectrum(f, cyclic(5)), cyclic(5)).square().sum()
    assert torch.autograd.gradcheck(shift, signal(cyclic(5)).requires_grad_())


def test_bad_input_is_named():
    group, f = dihedral(4), torch.zeros(8)
    for function in (fourier_transform, power_spectrum, bispectrum):
        with pytest.raises(TypeError, match=r"f: got torch.int64; a tensor of real floating-point numbers"):
            function(f.long(), group)
        with pytest.raises(TypeError, match=r"f: got torch.complex64"):
            function(f.to(torch.complex64), group)
        with pytest.raises(TypeError, match="f: got list"):
            function([0.0] * 8, group)
        with pytest.raises(ValueError, match=r"f: got shape \(8,\); for D₃ the last of it is \(6,\)"):
            function(f, dihedral(3))
        with pytest.raises(ValueError, match="f: has entries that are not finite"):
            function(f / 0, group)
        with pytest.raises(TypeError, match="group: got int"):
            function(f, 4)
    for pairs in ([(0, 5)], [(-1, 0)], [(0, 1, 2)], [(0.5, 1)], [(0.0, 1)], [1]):
        with pytest.raises(ValueError, match="pairs: got"):
            bispectrum(f, group, pairs)
    with pytest.raises(ValueError, match=r"pairs: the bispectrum of 28 pairs would hold"):
        bispectrum(torch.zeros(1, device="meta").expand(100_000, 120), symmetric(5))
    parts = fourier_transform(f, group)
    with pytest.raises(ValueError, match="coefficients: got 4; D₄ has 5"):
        inverse_fourier_transform(parts[:4], group)
    with pytest.raises(ValueError, match=r"coefficients\[4\]: got shape \(1, 1\)"):
        inverse_fourier_transform([*parts[:4], parts[0]], group)


def test_bad_bispectra_are_named():
    f = torch.rand(6)
    with pytest.raises(ValueError, match="group: got D₃; signals are recovered on cyclic groups"):
        signal_from_bispectrum(bispectrum(f, dihedral(3)), dihedral(3))
    with pytest.raises(
        ValueError, match=r"the pair \(1, 2\) is missing; needed are \[\(0, 0\), \(1, 1\), \(1, 2\)\]"
    ):
        signal_from_bispectrum(bispectrum(f, cyclic(6), [(0, 0), (1, 1)]), cyclic(6))
    with pytest.raises(ValueError, match=r"bispectrum\[\(1, 1\)\]: got shape \(4, 4\); for C₂"):
        signal_from_bispectrum(bispectrum(f, cyclic(6)), cyclic(2))


def test_spectra_of_each_example_by_vmap_and_their_derivatives():
    group, f = cyclic(5), signal(cyclic(5), 3)
    back = lambda f: signal_from_bispectrum(bispectrum(f, group), group)
    for function in (back, lambda f: bispectrum(f, group)[1, 1], lambda f: fourier_transform(f, group)[1]):
        each = torch.stack([function(one) for one in f])
        assert gap([torch.func.vmap(function)(f)], [each]) <= 1e-12
        derived = torch.func.vmap(torch.func.jacrev(function))(f)
        assert gap([derived], [torch.stack([torch.func.jacrev(function)(one) for one in f])]) <= 1e-12


def test_nothing_gives_nothing_and_half_precision_is_computed_in_single():
    group = cyclic(8)
    assert signal_from_bispectrum(bispectrum(torch.zeros(0, 8), group), group).shape == (0, 8)
    f = torch.tensor([1.0, 0.0, 2.0, 0.5, 0.0, 0.0, 0.25, 0.0])
    for dtype, bound in ((torch.float16, 0.01), (torch.bfloat16, 0.1)):
        found = signal_from_bispectrum(bispectrum(f.to(dtype), group), group)
        assert found.dtype == dtype and gap_up_to_shift(found.float(), f) <= bound


def test_a_bispectrum_is_exported_for_any_batch():
    class Bispectrum(torch.nn.Module):
        def forward(self, f):
            return bispectrum(f, dihedral(4))[4, 4]

    f, some = torch.randn(3, 8), ({0: torch.export.Dim("batch")},)
    exported = torch.export.export(Bispectrum(), (f,), dynamic_shapes=some).module()
    f = torch.randn(5, 8)
    assert torch.allclose(exported(f), bispectrum(f, dihedral(4))[4, 4])


def test_coefficients_that_are_unlike_are_named():
    group = cyclic(4)
    parts = fourier_transform(torch.randn(3, 4), group)
    assert inverse_fourier_transform(iter(parts), group).shape == (3, 4)
    with pytest.raises(ValueError, match=r"coefficients\[1\]: got torch.float64 .*first is torch.float32"):
        inverse_fourier_transform([parts[0], parts[1].double(), parts[2]], group)
    with pytest.raises(ValueError, match=r"coefficients\[2\]: got .* \(1, 1, 1\); the first .* \(3, 1, 1\)"):
        inverse_fourier_transform([*parts[:2], parts[2][:1]], group)
    with pytest.raises(TypeError, match="group: got Representation; a Group is needed"):
        signal_from_bispectrum({}, irreps(group)[1])
