"""The disk: exact under quarter-turns, nearly so under others on smooth images, its algebra exact under all of them."""

import copy
import itertools
import pickle
import warnings

import numpy as np
import pytest
import torch
from scipy import ndimage

from gdl_utils.domains import disk, square_grid
from gdl_utils.equivariance import assert_equivariant, audit, relative_error
from gdl_utils.groups import cyclic, dihedral, octahedral
from gdl_utils.layers import GroupConv, LiftingConv, spatial, to_plain
from gdl_utils.representations import Representation, regular, sign, trivial
from gdl_utils.signals import SignalSpace


def turning(group, k):
    """Two numbers that turn k times as fast as the picture, and are mirrored with it; for k = 0 one that stays."""
    if k == 0:
        return trivial(group)
    c, s = np.cos(2 * np.pi * k / group.degree), np.sin(2 * np.pi * k / group.degree)
    matrices = [np.array([[c, -s], [s, c]]), np.diag([-1.0, 1.0])]
    return Representation(f"frequency {k}", group, group.representation(matrices[: len(group.generators)]))


def frequencies(n):
    """The frequency of each of the disk's coefficients."""
    radii = np.arange((n - 1) % 2, n, 2) / 2
    return np.array([m for r in radii for m in range(int(2 * r) + 1) for _ in range(2 if m else 1)])


@pytest.mark.parametrize("n", [2, 3, 4, 5, 7])
def test_each_wave_says_how_often_it_turns(n):
    assert np.array_equal(disk(n, dihedral(8)).frequencies, frequencies(n))


def test_the_audit_refuses_a_kernel_of_waves_in_words():
    with pytest.raises(TypeError, match=r"group: got Disk\(disk 5×5, 15 waves, turned by C₈\); give a Group"):
        audit(torch.nn.Identity(), torch.randn(1, 1, 5, 5), disk(5, cyclic(8)))


# How far a turn is from exact


def blobs(centres, heights, sigma, n):
    """Sums of Gaussians on the n × n pixels about the origin; centres are complex numbers, the imaginary axis upwards."""
    row, column = np.mgrid[:n, :n] - (n - 1) / 2
    away = np.abs((column - 1j * row) - centres[..., None, None])
    return np.einsum("ib,ibxy->ixy", heights, np.exp(-(away**2) / (2 * sigma**2)))


def error_of_turns(filters, n, sigma, generator):
    """How far the responses to images that were sampled anew, turned by 360°/N, are from the turned responses to the images.

    ``filters`` (N, out, n, n) stand in all N positions; the image is seen at the pixel in its middle.
    """
    order, images, per_image = len(filters), 100, 12
    sides = generator.uniform(-3 * sigma, 3 * sigma, (2, images, per_image))
    centres, heights = sides[0] + 1j * sides[1], generator.standard_normal((images, per_image))
    respond = lambda at: np.einsum("goxy,ixy->goi", filters, blobs(at, heights, sigma, n))
    before, after = respond(centres), respond(centres * np.exp(2j * np.pi / order))
    after = np.roll(after, -1, axis=0)  # position g was position g - 1
    return np.linalg.norm(after - before) / np.linalg.norm(before)


def random_filters(n, order, seed, top=2):
    """Filters of a layer in all positions, (order, out, n, n), with frequencies up to a highest; one of them has that alone."""
    torch.manual_seed(seed)
    layer = LiftingConv(disk(n, cyclic(order)), 1, 8, bias=False).double()
    with torch.no_grad():
        layer.weight *= torch.from_numpy(frequencies(n) <= top)
        layer.weight[0] *= torch.from_numpy(frequencies(n) == top)
        return layer.expand().view(8, order, n, n).transpose(0, 1).numpy()


def bilinear(filters):
    """The control: the filters in their first position, turned by interpolating between pixels."""
    angles = 360 / len(filters) * np.arange(len(filters))
    turn = lambda image, angle: ndimage.rotate(image, angle, reshape=False, order=1)
    return np.stack([np.stack([turn(image, angle) for image in filters[0]]) for angle in angles])


@pytest.mark.parametrize("order", [8, 16])
@pytest.mark.parametrize("n", [3, 4, 5, 7])
def test_a_turn_that_pixels_do_not_know_is_nearly_exact_on_smooth_images(n, order):
    error = lambda filters, seed: error_of_turns(filters, n, 5, np.random.default_rng(seed))
    waves = [random_filters(n, order, seed) for seed in range(5)]
    ours = [error(filters, seed) for seed, filters in enumerate(waves)]
    assert np.mean(ours) <= 0.0002 and max(ours) <= 0.0003  # 0.00001 for n = 5 and 7
    # The controls: the same filters, and such as have a number of their own on each pixel, turned by interpolation.
    assert min(error(bilinear(filters), seed) for seed, filters in enumerate(waves)) > 0.05
    noise = np.random.default_rng(0).standard_normal((5, order, 8, n, n))
    assert np.mean([error(bilinear(filters), seed) for seed, filters in enumerate(noise)]) > 0.2


def test_the_error_falls_with_a_power_of_the_images_smoothness_and_all_frequencies_have_it():
    for n, power in ((3, 4), (5, 5), (7, 6)):
        for top in (2, n - 1):
            means = [
                np.mean(
                    [
                        error_of_turns(random_filters(n, 8, seed, top), n, sigma, np.random.default_rng(seed))
                        for seed in range(5)
                    ]
                )
                for sigma in (2, 4, 8)
            ]
            assert means[0] < 0.01 and means[0] / means[1] > 2 ** (power - 1)
            assert means[1] / means[2] == pytest.approx(2**power, rel=0.2)


def sampled(n):
    """Gaussian rings times cosines and sines, one number at a time, and the frequency and the part of each."""
    for ring in range((n + 1) // 2):
        radius = ring + ((n - 1) % 2) / 2
        for m in range(int(2 * radius) + 1):
            wave = np.zeros((n, n), dtype=complex)
            for i, j in itertools.product(range(n), range(n)):
                x, y = j - (n - 1) / 2, (n - 1) / 2 - i
                r, angle = np.hypot(x, y), np.arctan2(y, x)
                if r <= n / 2 and (r > 0 or m == 0):
                    wave[i, j] = np.exp(-((r - radius) ** 2) / (2 * 0.6**2)) * np.exp(1j * m * angle)
            yield m, wave


@pytest.mark.parametrize("n", [3, 4, 5, 7])
def test_waves_are_sampled_ones_less_what_answers_to_other_frequencies(n):
    kernel, at = disk(n, cyclic(8)), 0
    assert len(kernel) == {3: 6, 4: 10, 5: 15, 7: 28}[n]
    row, column = np.mgrid[:n, :n] - (n - 1) / 2
    z = column - 1j * row
    inside = np.abs(z) <= n / 2
    assert np.abs(kernel.waves[:, ~inside]).max(initial=0) <= 1e-12
    for m, wave in sampled(n):
        ours = kernel.waves[at] + (1j * kernel.waves[at + 1] if m else 0)
        others = [
            z**a * z.conj() ** b * inside for a in range(10) for b in range(10 - a)
            if a + b <= (n + 3) // 2 and a - b != m
        ]  # fmt: skip
        assert np.abs(np.einsum("kxy,xy->k", np.conj(others), ours)).max() <= 1e-10
        taken = np.stack([wave.ravel(), *[p.ravel() for p in others]], axis=1)
        combination, *_ = np.linalg.lstsq(taken, ours.ravel(), rcond=None)
        assert np.abs(taken @ combination - ours.ravel()).max() <= 1e-10 and combination[0].real > 0.1
        assert np.linalg.norm(ours) == pytest.approx(np.sqrt(2) if m else 1)
        at += 2 if m else 1
    assert at == len(kernel)


# Exact


def turned(x, quarters, mirrored):
    return torch.rot90(x.flip(-1) if mirrored else x, quarters, (-2, -1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("n", [3, 4, 5])
@pytest.mark.parametrize("group", [cyclic(4), dihedral(4)], ids=repr)
def test_quarter_turns_and_mirrors_are_those_of_the_square_grid(group, n, dtype):
    lift = LiftingConv(disk(n, group), 2, 3, padding=1).to(dtype)
    conv = GroupConv(disk(n, group), 3, 2, padding=1).to(dtype)
    network = lambda x: conv(lift(x).relu())
    x = torch.randn(2, 2, 9, 9, dtype=dtype)
    out = SignalSpace(square_grid(network(x).shape[-1], group), regular(group))
    assert_equivariant(network, x, SignalSpace(square_grid(9, group)), out)
    with pytest.raises(AssertionError, match="not equivariant"):  # the control: all in the first position
        same = lambda x: network(x)[:, :, [0] * len(group)]
        assert_equivariant(same, x, SignalSpace(square_grid(9, group)), out, bound=1e-3)


@pytest.mark.parametrize("group", [cyclic(8), cyclic(12), dihedral(8)], ids=repr)
def test_finer_groups_have_exact_quarter_turns_and_nothing_else_is(group):
    lift, x = LiftingConv(disk(5, group), 1, 2, stride=2).double(), torch.randn(1, 1, 11, 11).double()
    eighth = group.degree // 4
    for g in range(len(group)):
        quarters, mirrored = (g % group.degree) / eighth, g >= group.degree
        expected = turned(lift(x), int(quarters), mirrored)[:, :, group.product[group.inverse[g]].copy()]
        error = relative_error(lift(turned(x, int(quarters), mirrored)), expected)
        assert error <= 1e-12 if quarters == int(quarters) else error > 0.05


FIELDS = {
    "C₈, regular": (cyclic(8), regular, regular),
    "D₈, lifting": (dihedral(8), trivial, regular),
    "C₅, arrows": (cyclic(5), lambda g: turning(g, 1), regular),
    "C₁₂, arrows to faster ones": (cyclic(12), lambda g: turning(g, 1), lambda g: turning(g, 2)),
    "D₁₆, regular to arrows": (dihedral(16), regular, lambda g: turning(g, 1) + trivial(g)),
    "D₃, sign": (dihedral(3), sign, sign),
}


def literally(layer):
    """W[g] = g·w one matrix at a time: the coefficients, the fibre, then the waves."""
    kernel, group, fibre = layer.domain, layer.group, layer.fibre
    weight, out = layer.weight.detach().numpy(), []
    for g in range(len(group)):
        dual = fibre.matrices[group.inverse[g]].T
        moved = np.einsum("ef,oifp,qp->oieq", dual, weight, kernel.matrices[g])
        out.append(np.einsum("oieq,qxy->oiexy", moved, kernel.waves))
    return np.stack(out, axis=1).reshape(-1, weight.shape[1] * fibre.size, *kernel.shape)


@pytest.mark.parametrize("name", FIELDS)
def test_filters_move_as_the_group_says_under_every_angle(name):
    group, fibre, fibre_out = FIELDS[name]
    kernel, fibre, fibre_out = disk(5, group), fibre(group), fibre_out(group)
    layer = LiftingConv(kernel, 2, 3, fibre=fibre, fibre_out=fibre_out).double()
    filters = layer.expand().detach().numpy()
    if fibre_out.name == "regular":
        assert np.abs(filters - literally(layer)).max() <= 1e-12 * np.abs(filters).max()
    # Coefficients in waves: kappa[e, f] = rho_out(g) (g·kappa) rho_in(g)^-1 for all g.
    flat = kernel.waves.reshape(len(kernel), -1)
    coefficients = filters.reshape(3, fibre_out.size, 2, fibre.size, -1) @ np.linalg.pinv(flat)
    moved = lambda g, matrices: np.einsum(
        "ab,ob...->oa...", fibre_out.matrices[g],
        np.einsum("oeifp,fd,qp->oeidq", coefficients, fibre.matrices[group.inverse[g]], matrices[g]),
    )  # fmt: skip
    largest = np.abs(coefficients).max()
    for g in range(len(group)):
        assert np.abs(moved(g, kernel.matrices) - coefficients).max() <= 1e-12 * largest
    if fibre_out.name != "sign":  # the control: waves that are turned the other way
        wrong = kernel.matrices[group.inverse]
        assert np.abs(moved(group.generators[0], wrong) - coefficients).max() > 1e-2 * largest


# Any angle: fields that a circle turns


def closed_formulas(n, m, m_out):
    """All kernels from frequency m to m_out that every turn respects, K(phi) = R(m_out phi) A R(-m phi), in waves; A is any matrix."""
    rings, found = {}, []
    for p, frequency in enumerate(frequencies(n)):  # a ring begins with its 0
        ring = rings.setdefault((frequencies(n)[: p + 1] == 0).sum(), {})
        ring.setdefault(frequency, p)
    rotation = lambda k, phi: np.array(
        [[np.cos(k * phi), -np.sin(k * phi)], [np.sin(k * phi), np.cos(k * phi)]]
    )
    phi = np.arange(64) * 2 * np.pi / 64
    size, size_out = (2 if m else 1), (2 if m_out else 1)
    for a, b in itertools.product(range(size_out), range(size)):
        A = np.zeros((2, 2))
        A[a, b] = 1
        K = np.stack([rotation(m_out, t) @ A @ rotation(-m, t) for t in phi], axis=-1)[:size_out, :size]
        for ring in rings.values():
            for k in {abs(m_out - m), m_out + m}:  # A has a part of each, and they are kernels alone
                if k in ring:
                    row = np.zeros((size_out, size, len(frequencies(n))))
                    row[..., ring[k]] = (K * np.cos(k * phi)).mean(axis=-1) * (2 if k else 1)
                    if k:
                        row[..., ring[k] + 1] = (K * np.sin(k * phi)).mean(axis=-1) * 2
                    found.append(row.ravel())
    return np.stack(found)


def kernels_of(layer):
    """The basis of a layer's kernels, in waves: (dim, F_out · F · P)."""
    coefficients = layer._exact["kernels"] @ np.linalg.pinv(layer.domain.waves.reshape(len(layer.domain), -1))
    return coefficients.reshape(len(coefficients), -1)


@pytest.mark.parametrize(("m", "m_out"), list(itertools.product(range(4), range(4))))
def test_with_many_turns_kernels_are_the_closed_formulas_of_the_circle_and_with_few_there_are_more(m, m_out):
    layer = lambda group: LiftingConv(
        disk(5, group), 1, 1, fibre=turning(group, m), fibre_out=turning(group, m_out)
    )
    ours, formulas = kernels_of(layer(cyclic(32))), closed_formulas(5, m, m_out)
    assert np.abs(ours @ ours.T - np.eye(len(ours))).max() <= 1e-12
    assert np.linalg.matrix_rank(formulas, tol=1e-9) == len(ours)
    assert np.abs(formulas - formulas @ ours.T @ ours).max() <= 1e-10
    assert len(kernels_of(layer(cyclic(4)))) > len(ours)  # frequency k is k - 4 to a quarter-turn
    mirrored = kernels_of(layer(dihedral(32)))  # of O(2): those that a mirror respects too
    assert 0 < len(mirrored) < len(ours) or m == m_out == 0
    assert np.abs(mirrored - mirrored @ ours.T @ ours).max() <= 1e-10


def test_a_sum_of_irreps_is_one_layer_and_a_network_of_such_keeps_quarter_turns():
    group = cyclic(32)
    field = trivial(group) + turning(group, 1) + turning(group, 2)
    kernel, quarter = disk(5, group), 8
    network = torch.nn.Sequential(
        LiftingConv(kernel, 1, 4, fibre_out=field, padding=2),
        GroupConv(kernel, 4, 4, fibre=field, fibre_out=field, padding=2),
        GroupConv(kernel, 4, 2, fibre=field, fibre_out=turning(group, 1), padding=2, bias=False),
    ).double()
    assert network[1].bias.shape == (4, 1)
    x = torch.randn(2, 1, 9, 9).double()
    rho = torch.tensor(turning(group, 1).matrices[quarter])
    expected = torch.einsum("ef,bcfxy->bcexy", rho, torch.rot90(network(x), 1, (-2, -1)))
    assert relative_error(network(torch.rot90(x, 1, (-2, -1))), expected) <= 1e-12
    assert relative_error(network(torch.rot90(x, 1, (-2, -1))), torch.rot90(network(x), 1, (-2, -1))) > 0.1


# What aliases, and what is refused


def test_a_frequency_that_pixels_cannot_tell_from_lower_ones_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(2, 16):
            disk(n, cyclic(8))  # the default never does
        assert len(disk(5, cyclic(8), frequencies=[0, 3, 7])) == 1 + 7 + 15
    with pytest.warns(UserWarning, match="4 aliases on the ring of radius 1; on 5×5 pixels 9.%") as caught:
        kernel = disk(5, cyclic(8), frequencies=[0, 4, 4])
    assert [w.filename for w in caught] == [__file__]
    # The other way to see it: the cosine is there, the sine is nearly not.
    cosine, sine = np.linalg.norm(kernel.waves[[8, 9]], axis=(1, 2))
    assert sine < 0.5 * cosine
    with pytest.warns(UserWarning, match="8 aliases on the ring of radius 2"):
        disk(5, cyclic(8), frequencies=[0, 2, 8])


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: disk(1, cyclic(8)), ValueError, "n: got 1; a disk has at least 2"),
        (lambda: disk(2.5, cyclic(8)), TypeError, "n: got 2.5"),
        (lambda: disk(5, octahedral()), ValueError, "group: got .*O.* cyclic and dihedral groups"),
        (lambda: disk(5, 8), ValueError, "group: got 8"),
        (lambda: disk(5, cyclic(8), frequencies=[0, 2]), ValueError, "a whole number for each of 3 rings"),
        (lambda: disk(5, cyclic(8), frequencies=[1, 2, 4]), ValueError, "the centre's 0"),
        (lambda: disk(5, cyclic(8), frequencies=3), ValueError, "frequencies: got 3; .* 3 rings"),
        (lambda: disk(4, cyclic(8), frequencies=[1, -2]), ValueError, r"frequencies: got \[1, -2\]"),
        (
            lambda: disk(3, cyclic(8), frequencies=[0, 3]),
            ValueError,
            "got 3 on the ring of radius 1; .* nothing",
        ),
        (lambda: disk(51, cyclic(200)), ValueError, "n: what C₂₀₀ does to a disk would hold"),
        (lambda: SignalSpace(disk(5, cyclic(8))), TypeError, "domain: got Disk"),
        (
            lambda: assert_equivariant(None, torch.zeros(5, 5), disk(5, cyclic(4))),
            TypeError,
            "space_in: got Disk",
        ),
        (
            lambda: LiftingConv(disk(5, cyclic(8)), 1, 1, padding=(1, 2)),
            ValueError,
            "padding: got .* C₈ swaps axes",
        ),
        (
            lambda: LiftingConv(disk(5, cyclic(8)), 1, 1, fibre_out=sign(dihedral(4))),
            ValueError,
            "fibre_out: belongs to",
        ),
    ],
)
def test_bad_input_is_named(make, kind, words):
    with pytest.raises(kind, match=words):
        make()


# A layer like any other


def test_weights_of_another_disk_are_not_loaded():
    layer = lambda n=5, order=8, **more: LiftingConv(disk(n, cyclic(order), **more), 1, 2)
    saved = layer().state_dict()
    layer().load_state_dict(saved)
    for other in (
        layer(order=16),
        layer(frequencies=[0, 1, 5]),
        LiftingConv(square_grid(5, cyclic(4)), 1, 2),
    ):
        with pytest.raises(RuntimeError, match="weight: saved from C₈, disk 5×5, trivial fibre"):
            other.load_state_dict(saved)
    to_field = lambda k: LiftingConv(disk(5, cyclic(8)), 1, 2, fibre_out=turning(cyclic(8), k), bias=False)
    to_field(1).load_state_dict(to_field(1).state_dict())
    with pytest.raises(RuntimeError, match="trivial fibre to frequency 1"):
        to_field(3).load_state_dict(to_field(1).state_dict())


def test_outputs_are_as_large_as_those_of_a_kernel_of_pixels():
    x = torch.randn(8, 4, 21, 21)
    size = lambda kernel, **more: float(LiftingConv(kernel, 4, 64, **more)(x).square().mean().sqrt().detach())
    group = cyclic(8)
    for n in (3, 4, 5, 7):
        pixels = size(square_grid(n, cyclic(4)))
        field = trivial(group) + turning(group, 1)
        assert size(disk(n, group)) == pytest.approx(pixels, rel=0.15)
        assert size(disk(n, group), fibre_out=field) == pytest.approx(pixels, rel=0.15)


MADE = {
    "regular": lambda: GroupConv(disk(5, cyclic(8)), 2, 3, padding=2, groups=1),
    "groups": lambda: GroupConv(disk(3, cyclic(8)), 2, 4, padding="same", dilation=2, groups=2),
    "fields": lambda: GroupConv(
        disk(5, cyclic(8)), 2, 3, fibre_out=turning(cyclic(8), 1), padding_mode="reflect"
    ),
    "to grey": lambda: GroupConv(disk(4, cyclic(8)), 2, 3, fibre_out=trivial(cyclic(8))),
}


@pytest.mark.parametrize("name", MADE)
def test_the_layer_lives_with_torch(name):
    layer, x = MADE[name]().eval(), torch.randn(2, 2, 8, 9, 9)
    with torch.no_grad():
        y = layer(x)
        assert relative_error(layer.to_conv()(x.flatten(1, 2)), y.flatten(1, -3)) <= 1e-5
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert torch.equal(other(x), y)
        there_and_back = copy.deepcopy(layer).bfloat16().float()
        there_and_back.load_state_dict(layer.state_dict())
        assert torch.equal(there_and_back(x), y)
        compiled = torch.compile(layer, backend="eager", fullgraph=True)(x)
        assert relative_error(compiled, y) <= 1e-6
        assert not any(b.dtype == torch.float64 for b in layer.buffers())
    with torch.device("meta"):
        empty = MADE[name]()
    assert empty(x.to("meta")).shape == y.shape
    empty.load_state_dict(layer.state_dict(), assign=True)
    assert relative_error(empty(x), y) <= 1e-6
    layer.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = layer(x).float().square().mean()
    loss.backward()
    assert all(p.grad.isfinite().all() and (p.grad != 0).any() for p in layer.parameters())


def test_a_network_of_fields_is_made_plain():
    group = cyclic(16)
    field, kernel = trivial(group) + turning(group, 1), disk(3, group)
    network = torch.nn.Sequential(
        LiftingConv(kernel, 1, 4, fibre_out=field), spatial(torch.nn.AvgPool2d(2)),
        GroupConv(kernel, 4, 3, fibre=field, fibre_out=trivial(group)), torch.nn.ReLU(),
    ).double()  # fmt: skip
    x = torch.randn(2, 1, 10, 10, dtype=torch.float64)
    plain = to_plain(network)
    assert network(x).shape == (2, 3, 2, 2) and relative_error(plain(x), network(x)) <= 1e-12
    assert not any(isinstance(module, LiftingConv) for module in plain.modules())


@pytest.mark.parametrize("name", MADE)
def test_filters_kept_under_autocast_are_exact_without(name):
    torch.compiler.reset()  # other tests compile the same code, and a limit counts all
    layer, x = MADE[name]().eval(), torch.randn(2, 2, 8, 9, 9)
    with torch.no_grad():
        y = copy.deepcopy(layer)(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16
            plain = layer.to_conv()
            compiled = torch.compile(layer, backend="eager", fullgraph=True)(x)
        assert torch.equal(layer(x), y) and compiled.dtype == torch.bfloat16
        assert all(p.dtype == torch.float32 for p in plain.parameters())
        assert relative_error(plain(x.flatten(1, 2)), y.flatten(1, -3)) <= 1e-5
