"""Group convolutions: against a literal transcription of the formula, exactness for every group, controls, errors."""

import copy
import itertools
import warnings
import zlib
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from gdl_utils.domains import (
    Disk,
    cubic_grid,
    cycle,
    disk,
    hexagonal_grid,
    nodes,
    pairs,
    square_grid,
    strand,
    torus,
)
from gdl_utils.domains.grids import CUBE_MATRICES
from gdl_utils.equivariance import assert_equivariant, equivariance_error, relative_error
from gdl_utils.groups import cyclic, dihedral, octahedral, prismatic
from gdl_utils.layers import GroupConv, HexagonMask, LiftingConv
from gdl_utils.representations import Representation, complement, regular, sign, trivial
from gdl_utils.signals import SignalSpace

# Name: (grid, group, kernel, the sizes to try, fibre of the input)
GROUPS = {
    "p4": (square_grid, cyclic(4), 3, (8, 9), trivial),
    "p4, even kernel": (square_grid, cyclic(4), 4, (8, 9), trivial),
    "p4m": (square_grid, dihedral(4), 3, (8, 9), trivial),
    "p4m, sign": (square_grid, dihedral(4), 3, (7, 8), sign),
    "p6": (hexagonal_grid, cyclic(6), 3, (7, 9), trivial),
    "p6m": (hexagonal_grid, dihedral(6), 3, (7, 9), trivial),
    "O": (cubic_grid, octahedral(), 3, (4, 5), trivial),
    "Oh": (cubic_grid, octahedral(reflections=True), 3, (4, 5), trivial),
    "prism": (cubic_grid, prismatic(4), 3, (4, 5), trivial),
    "prism, sign": (partial(cubic_grid, spacing=(1, 1, 3)), prismatic(4), 3, (4, 5), sign),
    "reverse-complement": (strand, cyclic(2), 5, (10, 11), complement),
}


def vector(group):
    """A vector at each point, which turns along: a fibre that is no permutation."""
    quarter = np.array([[0, -1], [1, 0]])
    matrices = [np.linalg.matrix_power(quarter, 4 // group.degree), np.diag([1, -1])]
    return Representation(
        "vector", group, group.representation(matrices[: len(group.generators)]).astype(float)
    )


def sheared(group):
    """The same in a skew basis, where matrices are not orthogonal."""
    skew = np.array([[1.0, 0.7], [0.0, 1.0]])
    return Representation("sheared", group, np.linalg.inv(skew) @ vector(group).matrices @ skew)


def two_layers(grid, group, kernel, fibre, dtype=torch.float64):
    domain, padding = grid(kernel, group), kernel // 2 if kernel % 2 else 1
    lift = LiftingConv(domain, 2, 3, padding=padding, fibre=fibre(group)).to(dtype)
    conv = GroupConv(domain, 3, 2, padding=padding).to(dtype)
    return lift, conv


def masked_network(lift, conv, size_in, size_out, group, grid):
    """Lift, ReLU, convolve; on hexagons what leaves the hexagon is cut off after every layer."""
    middle = torch.from_numpy(grid((size_in + size_out) // 2, group).mask)
    end = torch.from_numpy(grid(size_out, group).mask)
    return lambda x: conv(lift(x).relu() * middle) * end


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", GROUPS)
def test_lift_relu_convolve_is_exact_for_all_elements_and_sizes(name, dtype):
    grid, group, kernel, sizes, fibre = GROUPS[name]
    lift, conv = two_layers(grid, group, kernel, fibre, dtype)
    for size in sizes:
        size_out = (
            size if kernel % 2 else size - 2
        )  # a kernel of 4 with padding 1 takes one away in each layer
        space_in = SignalSpace(grid(size, group), fibre(group))
        space_out = SignalSpace(grid(size_out, group), regular(group))
        x = torch.randn(2, 2, *space_in.shape, dtype=dtype) * torch.from_numpy(space_in.domain.mask)
        network = masked_network(lift, conv, size, size_out, group, grid)
        assert_equivariant(network, x, space_in, space_out)
    # The control: one element forgets to turn its filter.
    forgetful = lambda x: lift(x)[:, :, [0, 0, *range(2, len(group))]]
    with pytest.raises(AssertionError, match="not equivariant"):
        network = masked_network(forgetful, conv, size, size_out, group, grid)
        assert_equivariant(network, x, space_in, space_out, bound=1e-3)


def literally(domain, weight, bias, fibre, x, padding, stride):
    """The formula, one number at a time: y[g](u) = b + Σ_i Σ_v ⟨(g·w_i)(v), x_i(u + v)⟩."""
    group, n = domain.group, domain.shape[0]
    dimensions = len(domain.shape)
    x = nn.functional.pad(x, (padding,) * (2 * dimensions))
    places = np.argwhere(domain.mask)  # entry of the kernel of each point
    sizes = [(s - n) // stride + 1 for s in x.shape[-dimensions:]]
    y = torch.zeros(len(x), len(weight), len(group), *sizes, dtype=x.dtype)
    for g in range(len(group)):
        inverse = group.inverse[g]
        dual = torch.tensor(fibre.matrices[inverse].T).to(x.dtype)  # moves covectors
        for u in itertools.product(*map(range, sizes)):
            total = torch.zeros(len(x), len(weight), dtype=x.dtype)
            for v, place in enumerate(places):
                moved = torch.einsum("ef,oif->oie", dual, weight[..., domain.permutation[inverse, v]])
                at = tuple(stride * a + b for a, b in zip(u, place, strict=True))
                total += torch.einsum("oie,bie->bo", moved, x[(..., *at)])
            y[(slice(None), slice(None), g, *u)] = total + bias
    return y


@pytest.mark.parametrize(
    ("domain", "fibre", "padding", "stride"),
    [
        (square_grid(3, dihedral(4)), trivial, 1, 1),
        (square_grid(2, cyclic(4)), regular, 0, 1),
        (square_grid(3, dihedral(2)), regular, 1, 2),
        (square_grid(3, dihedral(4)), vector, 0, 1),
        (square_grid(3, cyclic(4)), sheared, 0, 1),
        (hexagonal_grid(3, cyclic(6)), regular, 1, 1),
        (hexagonal_grid(3, dihedral(3)), trivial, 1, 2),
        (strand(4, cyclic(2)), complement, 0, 1),
        (cubic_grid(2, octahedral()), trivial, 0, 1),
        (cubic_grid(2, prismatic(4), spacing=(1, 1, 3)), sign, 0, 1),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_layer_is_its_formula_word_for_word(domain, fibre, padding, stride):
    fibre = fibre(domain.group)
    layer = LiftingConv(domain, 2, 3, fibre=fibre, padding=padding, stride=stride).double()
    x = torch.randn(2, 2, *fibre.axis, *(5,) * len(domain.shape), dtype=torch.float64)
    with_fibre = x if fibre.axis else x.unsqueeze(2)
    with torch.no_grad():
        expected = literally(domain, layer.weight, layer.bias, fibre, with_fibre, padding, stride)
        assert (layer(x) - expected).norm() <= 1e-12 * expected.norm()
        # The control: the filters turned the other way round.
        inverse = domain.group.inverse.tolist()
        other = layer(x)[:, :, inverse]
        if inverse != list(range(len(inverse))):
            assert (other - expected).norm() > 1e-3 * expected.norm()


@pytest.mark.parametrize("fibre", [vector, sheared])
@pytest.mark.parametrize("group", [cyclic(4), dihedral(4)], ids=repr)
def test_a_fibre_of_matrices_is_exact_too_and_needs_its_dual(fibre, group):
    layer = LiftingConv(square_grid(3, group), 1, 2, fibre=fibre(group), padding=1).double()
    space, out = (
        SignalSpace(square_grid(6, group), fibre(group)),
        SignalSpace(square_grid(6, group), regular(group)),
    )
    x = torch.randn(1, 1, *space.shape, dtype=torch.float64)
    assert_equivariant(layer, x, space, out)
    if fibre is sheared:  # the control: moved by the fibre's own matrices, the filters are wrong
        dual = Representation("dual", group, fibre(group).matrices[group.inverse].transpose(0, 2, 1))
        wrong = LiftingConv(square_grid(3, group), 1, 2, fibre=dual, padding=1).double()
        with pytest.raises(AssertionError, match="not equivariant"):
            assert_equivariant(wrong, x, space, out)


def on_torus(n, group):
    """Lifted signals on a torus, moved by shifts and by the group: a shift leaves the group axis alone."""
    domain = torus(n, group)
    turns = regular(group).matrices[list(group.generators)]
    return SignalSpace(domain, [np.eye(len(group))] * 2 + list(turns))


@pytest.mark.parametrize(
    ("n", "group"), [(5, cyclic(4)), (6, dihedral(4)), (5, cyclic(6)), (5, dihedral(3))], ids=str
)
def test_on_a_torus_turns_and_shifts_are_exact_together_and_a_radial_mask_keeps_turns_alone(n, group):
    grid = hexagonal_grid if group.degree in (3, 6) else square_grid
    lift = LiftingConv(grid(3, group), 1, 2, padding=1, padding_mode="circular").double()
    conv = GroupConv(grid(3, group), 2, 2, padding=1, padding_mode="circular").double()
    space, lifted = SignalSpace(torus(n, group)), on_torus(n, group)
    network = lambda x: conv(lift(x).relu())
    x = torch.randn(2, 1, n, n, dtype=torch.float64)
    assert_equivariant(network, x, space, lifted, elements=space.group.generators)

    # A function of the distance from the centre, times the output: turns do not see it, shifts do.
    points = torus(n, group).points.astype(float)
    gram = np.array([[1, 0.5], [0.5, 1]]) if grid is hexagonal_grid else np.eye(2)
    radial = torch.from_numpy(np.exp(-np.einsum("ui,ij,uj->u", points, gram, points) / 9)).reshape(n, n)
    if (
        grid is square_grid
    ):  # on a hexagonal torus even the distance wraps, so only the square one has this control
        turns = space.group.generators[2:]
        assert_equivariant(lambda x: radial * network(x), x, space, lifted, elements=turns)
    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(
            lambda x: radial * network(x), x, space, lifted, elements=space.group.generators[:2]
        )


def test_a_hexagon_that_is_not_masked_again_loses_its_turns():
    grid, group = hexagonal_grid, cyclic(6)
    lift, conv = two_layers(grid, group, 3, trivial)
    mask, space = torch.from_numpy(grid(9, group).mask), SignalSpace(grid(9, group))
    x = torch.randn(1, 2, 9, 9, dtype=torch.float64) * mask
    out = SignalSpace(grid(9, group), regular(group))
    again = HexagonMask()
    assert torch.equal(again(conv(x.new_ones(1, 3, 6, 9, 9))), conv(x.new_ones(1, 3, 6, 9, 9)) * mask)
    assert_equivariant(lambda x: again(conv(again(lift(x)))), x, space, out)
    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(lambda x: conv(lift(x)) * mask, x, space, out)


SIZES = [
    # size, kernel, padding, stride, exact: (size + 2·padding - kernel) mod stride = 0
    (28, 3, 1, 2, False),
    (29, 3, 1, 2, True),
    (28, 4, 1, 2, True),
    (28, 2, 0, 2, True),
    (27, 3, 0, 3, True),
    (28, 3, 0, 3, False),
]


@pytest.mark.parametrize(("size", "kernel", "padding", "stride", "exact"), SIZES)
def test_a_stride_keeps_turns_on_the_sizes_that_fit_and_warns_of_others(size, kernel, padding, stride, exact):
    group = cyclic(4)
    layer = LiftingConv(square_grid(kernel, group), 1, 2, padding=padding, stride=stride).double()
    x = torch.randn(1, 1, size, size, dtype=torch.float64)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = layer(x).shape[-1]
    space, lifted = (
        SignalSpace(square_grid(size, group)),
        SignalSpace(square_grid(out, group), regular(group)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        error = equivariance_error(layer, x, lambda t: space.act(1, t), lambda t: lifted.act(1, t))
    if exact:
        assert error <= 1e-12 and not caught
    else:
        assert (
            error > 0.1 and [w.category for w in caught] == [UserWarning] and caught[0].filename == __file__
        )
        fits = [int(s) for s in str(caught[0].message).split("sizes ")[-1].split(" fit")[0].split(" and ")]
        assert all((s + 2 * padding - kernel) % stride == 0 for s in fits) and fits[0] < size < fits[1]


@pytest.mark.parametrize(("size", "exact"), [(9, True), (11, False), (13, True)])
def test_a_stride_on_hexagons_must_sample_the_centre(size, exact):
    group = cyclic(6)
    layer = LiftingConv(hexagonal_grid(3, group), 1, 2, padding=1, stride=2).double()
    mask = torch.from_numpy(hexagonal_grid(size, group).mask)
    x = torch.randn(1, 1, size, size, dtype=torch.float64) * mask
    if not exact:
        with pytest.warns(UserWarning, match="sizes 9 and 13 fit"):
            layer(x)
        return
    out = layer(x).shape[-1]
    end = torch.from_numpy(hexagonal_grid(out, group).mask)
    space, lifted = (
        SignalSpace(hexagonal_grid(size, group)),
        SignalSpace(hexagonal_grid(out, group), regular(group)),
    )
    assert_equivariant(lambda x: layer(x) * end, x, space, lifted)


@pytest.mark.parametrize("mode", ["zeros", "circular"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", GROUPS)
def test_to_conv_gives_what_the_layer_gives_and_does_not_follow_it(name, bias, mode):
    grid, group, kernel, sizes, fibre = GROUPS[name]
    options = {"padding": 1, "padding_mode": mode, "bias": bias}
    lift = LiftingConv(grid(kernel, group), 2, 3, fibre=fibre(group), **options).double().eval()
    conv = GroupConv(grid(kernel, group), 3, 2, **options).double()
    x = torch.randn(2, 2, *SignalSpace(grid(sizes[0], group), fibre(group)).shape, dtype=torch.float64)
    flat = x.flatten(1, 2) if fibre is complement or fibre is sign else x
    with torch.no_grad():
        lifted, plain = lift(x), lift.to_conv()
        assert type(plain) is (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(grid(3).shape) - 1] and not plain.training
        assert relative_error(plain(flat), lifted.flatten(1, 2)) <= 1e-12
        assert relative_error(conv.to_conv()(lifted.flatten(1, 2)), conv(lifted).flatten(1, 2)) <= 1e-12
        for parameter in lift.parameters():
            parameter.mul_(2)  # the layer has no stale cache, and the copy stands on its own
        assert relative_error(lift(x), 2 * lifted) <= 1e-12
        assert relative_error(plain(flat), lifted.flatten(1, 2)) <= 1e-12


def test_parameters_are_those_of_one_filter_and_gradients_reach_all_of_them():
    layer = GroupConv(hexagonal_grid(3, dihedral(6)), 4, 5)
    assert sum(p.numel() for p in layer.parameters()) == 5 * 4 * 12 * 7 + 5
    layer(torch.randn(2, 4, 12, 5, 5)).square().sum().backward()
    assert (layer.weight.grad != 0).all() and (layer.bias.grad != 0).all()
    again = GroupConv(hexagonal_grid(3, dihedral(6)), 4, 5)
    again.load_state_dict(layer.state_dict())
    x = torch.randn(1, 4, 12, 5, 5)
    assert torch.equal(again(x), layer(x)) and set(layer.state_dict()) == {"weight", "bias"}


def test_gradients_are_right():
    layer = LiftingConv(square_grid(3, cyclic(4)), 1, 2, fibre=vector(cyclic(4))).double()
    x = torch.randn(1, 1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, w: torch.func.functional_call(layer, {"weight": w}, (x,)), (x, layer.weight)
    )


P4 = square_grid(3, cyclic(4))
LIFT, CONV = LiftingConv(P4, 2, 3), GroupConv(P4, 3, 2)
BAD_CALLS = [
    (
        lambda: LIFT(torch.zeros(1, 5, 8, 8)),
        ValueError,
        r"x: got 5 channels in shape \(1, 5, 8, 8\); it takes 2",
    ),
    (lambda: LIFT(torch.zeros(2, 8, 8)), ValueError, r"\(batch, channels, 2 of space\) has 4 axes"),
    (
        lambda: CONV(torch.zeros(1, 3, 8, 8)),
        ValueError,
        "has 5 axes, and the one for the group elements seems",
    ),
    (
        lambda: CONV(torch.zeros(1, 3, 8, 8, 8)),
        ValueError,
        "got 8 group elements on axis 2 .* the regular fibre of C₄ has 4",
    ),
    (
        lambda: LIFT(torch.zeros(1, 2, 8, 8).double()),
        TypeError,
        "x: got torch.float64, the layer's weights are torch.float32",
    ),
    (lambda: LIFT(torch.zeros(1, 2, 8, 8).long()), TypeError, "x: got torch.int64"),
    (
        lambda: LIFT(torch.zeros(1, 2, 2, 8)),
        ValueError,
        r"x: got \(2, 8\) in space, too small for kernel 3, padding 0",
    ),
    (lambda: LIFT(np.zeros((1, 2, 8, 8))), TypeError, "x: got ndarray"),
    (lambda: LiftingConv(P4, 0, 3), ValueError, "in_channels: got 0"),
    (lambda: LiftingConv(P4, 1, 2.5), TypeError, "out_channels: got 2.5"),
    (lambda: LiftingConv(P4, 1, 1, stride=0), ValueError, "stride: got 0"),
    (lambda: LiftingConv(P4, 1, 1, padding=-1), ValueError, "padding: got -1"),
    (lambda: LiftingConv(P4, 1, 1, padding_mode="mirror"), ValueError, "padding_mode: got 'mirror'"),
    (lambda: LiftingConv(P4, 1, 1, fibre=regular(cyclic(2))), ValueError, "fibre: belongs to"),
    (
        lambda: LiftingConv(P4, 1, 1, fibre=[np.diag([1, 2])]),
        ValueError,
        "matrices: not a representation of C₄",
    ),
    (
        lambda: LiftingConv(P4, 1, 1, fibre_out=cyclic(4)),
        TypeError,
        r"fibre_out: got Group.* regular\(group\)",
    ),
    (lambda: LiftingConv(P4, 1, 1, fibre_out="regular"), TypeError, "fibre_out: got 'regular'; give a Repr"),
    (lambda: LiftingConv(P4, 1, 1, fibre=regular), TypeError, "fibre: got .* give a Representation"),
    (lambda: LiftingConv(cyclic(4), 1, 1), ValueError, r"domain: got Group\(C₄"),
    (lambda: GroupConv(cyclic(4), 1, 1), ValueError, r"domain: got Group\(C₄"),
]


@pytest.mark.parametrize(("call", "kind", "words"), BAD_CALLS)
def test_bad_input_is_named(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_a_circular_padding_larger_than_the_input_is_refused():
    layer = LiftingConv(square_grid(3, cyclic(4)), 1, 1, padding=4, padding_mode="circular")
    with pytest.raises(ValueError, match="too small for kernel 3, padding 4"):
        layer(torch.zeros(1, 1, 3, 3))


def test_the_layer_says_what_it_is():
    assert "group=C₄, fibre=regular, kernel=square grid 3×3" in repr(CONV)


OPTIONS = {
    "dilation": ({"dilation": 2, "padding": 2}, 9),
    "dilation and stride": ({"dilation": 2, "padding": 1, "stride": 2}, 9),
    "groups": ({"groups": 2, "padding": 1}, 8),
    "same": ({"padding": "same", "dilation": 2}, 8),
    "valid": ({"padding": "valid"}, 8),
    "reflect": ({"padding": 2, "padding_mode": "reflect"}, 8),
    "replicate": ({"padding": 2, "padding_mode": "replicate"}, 8),
    "circular": ({"padding": 1, "padding_mode": "circular"}, 8),
    "a number for each axis": ({"padding": (1, 1), "stride": [2, 2]}, 9),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_of_torch_keep_every_group_and_are_those_of_torch(name):
    options, size = OPTIONS[name]
    for group in (cyclic(4), dihedral(4)):
        lift = LiftingConv(square_grid(3, group), 2, 4, **options).double()
        conv = GroupConv(square_grid(3, group), 4, 2, **options | {"stride": 1}).double()
        x = torch.randn(1, 2, size, size, dtype=torch.float64)
        out = conv(lift(x)).shape[-1]
        space = SignalSpace(square_grid(size, group))
        lifted = SignalSpace(square_grid(out, group), regular(group))
        assert_equivariant(lambda x, lift=lift, conv=conv: conv(lift(x)), x, space, lifted)
        assert relative_error(conv.to_conv()(lift.to_conv()(x)), conv(lift(x)).flatten(1, 2)) <= 1e-12
    plain = lift.to_conv()  # the same options given to torch's own layer
    torchs = nn.Conv2d(2, 32, 3, **options).double()
    torchs.load_state_dict(plain.state_dict())
    assert torch.equal(torchs(x), plain(x))


def test_axes_that_no_element_swaps_may_be_treated_unlike():
    half, mirror = cyclic(2), dihedral(1)  # a mirror leaves the rows alone
    x = torch.randn(1, 1, 8, 11, dtype=torch.float64)
    for group, options in (
        (half, {"stride": (1, 2), "padding": (2, 0)}),
        (half, {"dilation": (1, 2)}),
        (mirror, {"stride": (2, 1), "padding": 1}),
    ):
        layer = LiftingConv(square_grid((3, 5) if group is half else 3, group), 1, 2, **options).double()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            y = layer(x)
        space = SignalSpace(square_grid(x.shape[-2:], group))
        assert_equivariant(layer, x, space, SignalSpace(square_grid(y.shape[-2:], group), regular(group)))
    with pytest.warns(UserWarning, match="size 8 with kernel 3, padding 1 and stride 2"):
        LiftingConv(square_grid(3, half), 1, 2, stride=(2, 1), padding=1).double()(x)  # this turn does not
    for argument in ("stride", "padding", "dilation"):
        with pytest.raises(ValueError, match=rf"{argument}: got \(1, 2\); C₄ swaps axes 1 and 0"):
            LiftingConv(square_grid(3, cyclic(4)), 1, 1, **{argument: (1, 2)})
    with pytest.raises(ValueError, match=r"stride: got \(1, 1, 2\); D₄ₕ swaps axes 2 and 1"):
        LiftingConv(cubic_grid(3, prismatic(4), spacing=(3, 1, 1)), 1, 1, stride=(1, 1, 2))
    deep = LiftingConv(cubic_grid(3, cyclic(4)), 1, 1, stride=(2, 1, 1), padding=(0, 1, 1)).double()
    volume = torch.randn(1, 1, 6, 5, 5, dtype=torch.float64)
    out = SignalSpace(cubic_grid(deep(volume).shape[-3:], cyclic(4)), regular(cyclic(4)))
    assert_equivariant(deep, volume, SignalSpace(cubic_grid((6, 5, 5), cyclic(4))), out)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation"), [(28, 3, 2, 1), (32, 3, 2, 1), (30, 5, 4, 1), (17, 3, 3, 2)]
)
def test_a_stride_that_breaks_names_kernels_that_do_not(size, kernel, stride, dilation):
    named = lambda message: [int(k) for k in message.split("kernels ")[1].split(" and ")]
    options = {"stride": stride, "padding": 1, "dilation": dilation}
    with pytest.warns(UserWarning, match=f"for size {size} kernels") as caught:
        LiftingConv(square_grid(kernel, cyclic(4)), 1, 1, **options)(torch.zeros(1, 1, size, size))
    for k in named(str(caught[0].message)):
        layer = LiftingConv(square_grid(k, cyclic(4)), 1, 1, **options).double()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            out = layer(torch.zeros(1, 1, size, size, dtype=torch.float64)).shape[-1]
        spaces = (
            SignalSpace(square_grid(size, cyclic(4))),
            SignalSpace(square_grid(out, cyclic(4)), regular(cyclic(4))),
        )
        assert_equivariant(layer, torch.randn(1, 1, size, size, dtype=torch.float64), *spaces)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LiftingConv(nodes(5), 1, 1), "whose group does not turn it about a centre"),
        (lambda: LiftingConv(torus(3, cyclic(4)), 1, 1), "whose group does not turn it about a centre"),
        (lambda: LiftingConv(cycle(5, dihedral(5)), 1, 1), "whose group does not turn it about a centre"),
        (lambda: GroupConv(pairs(3), 1, 1), "whose group does not turn it about a centre"),
        (lambda: LiftingConv(P4, 3, 4, groups=2), "groups: got 2, which does not divide 3 and 4"),
        (lambda: LiftingConv(P4, 1, 1, padding="same", stride=2), "padding: 'same' needs stride 1"),
        (
            lambda: LiftingConv(square_grid(4, cyclic(4)), 1, 1, padding="same"),
            "as many points on both sides",
        ),
        (lambda: LiftingConv(P4, 1, 1, padding="full"), "padding: got 'full'"),
        (lambda: LiftingConv(P4, 1, 1, stride=(1, 1, 1)), r"stride: got \(1, 1, 1\)"),
        (lambda: LiftingConv(P4, 1, 1, dilation=True), "dilation: got True"),
        (
            lambda: LiftingConv(hexagonal_grid(3, cyclic(6)), 1, 1, padding=1, padding_mode="reflect"),
            "'zeros', 'circular' are known on this grid",
        ),
        (
            lambda: LiftingConv(P4, 1, 1, padding=5, padding_mode="reflect")(torch.zeros(1, 1, 5, 5)),
            "too small for kernel 3, padding 5",
        ),
    ],
)
def test_options_and_kernels_that_no_turn_keeps_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_missing_axis_is_called_by_its_name():
    dna = LiftingConv(strand(5, cyclic(2)), 1, 2, fibre=complement(cyclic(2)))
    with pytest.raises(ValueError, match="the one for the bases seems to be missing"):
        dna(torch.zeros(1, 1, 20))
    with pytest.raises(ValueError, match="got 3 bases on axis 2"):
        dna(torch.zeros(1, 1, 3, 20))


def test_weights_of_another_group_kernel_or_fibre_are_not_loaded():
    layer = lambda domain, fibre=None: LiftingConv(domain, 1, 4, fibre=fibre)
    saved = layer(square_grid(3, cyclic(4))).state_dict()
    layer(square_grid(3, cyclic(4))).load_state_dict(saved)
    layer(square_grid(3, cyclic(4))).load_state_dict(
        dict(saved)
    )  # what does not say where it is from is taken
    swap = np.array([[0, 1], [1, 0]])
    for other in (
        layer(square_grid(3, dihedral(2))),
        layer(strand(9, cyclic(2))),
        layer(square_grid(3, cyclic(2), matrices=[swap])),
        layer(square_grid(3, cyclic(2))),
    ):
        with pytest.raises(RuntimeError, match="saved from C₄, square grid 3×3, trivial fibre"):
            other.load_state_dict(saved)
    network = nn.Sequential(layer(square_grid(3, cyclic(4))), nn.ReLU())
    with pytest.raises(RuntimeError, match=r"0.weight: saved from D₂"):
        network.load_state_dict(nn.Sequential(layer(square_grid(3, dihedral(2)))).state_dict())


CHANGES = {
    "in place": lambda layer: layer.weight.mul_(2),
    "through .data": lambda layer: layer.weight.data.mul_(2),
    "new .data": lambda layer: setattr(layer.weight, "data", 2 * layer.weight.data),
    "a view": lambda layer: layer.weight.data.view(-1)[3:4].add_(1),
    "through NumPy": lambda layer: np.multiply(a := layer.weight.detach().numpy(), 2, out=a),
    "the bias": lambda layer: layer.bias.data.add_(1),
    "loaded": lambda layer: layer.load_state_dict({k: v + 1 for k, v in layer.state_dict().items()}),
    "a new parameter": lambda layer: setattr(layer, "weight", nn.Parameter(layer.weight + 1)),
    "another type": lambda layer: (layer.weight.data.div_(3), layer.float().double()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_filters_that_are_kept_in_evaluation_are_never_stale(name):
    layer, x = LiftingConv(P4, 1, 2).double().eval(), torch.randn(1, 1, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        before = layer(x)
        assert torch.equal(layer(x), before) and layer._kept is not None
        CHANGES[name](layer)
        after = layer(x)
        assert relative_error(layer.to_conv()(x), after.flatten(1, 2)) <= 1e-12
        assert relative_error(after, before) > 1e-12
        assert relative_error(torch.func.vmap(layer)(torch.stack([x, x]))[1], after) <= 1e-12
    assert layer(x).requires_grad and layer.__getstate__()["_kept"] is None


# Any representation as output


def plane(group):
    """Arrows of the picture's plane, under turns by any angle."""
    c, s = np.cos(2 * np.pi / group.degree), np.sin(2 * np.pi / group.degree)
    matrices = [np.array([[c, -s], [s, c]]), np.diag([1.0, -1.0])]
    return Representation("plane", group, group.representation(matrices[: len(group.generators)]))


def arrow(group):
    """The arrows of a volume."""
    matrices = [np.array(m, dtype=float) for m in CUBE_MATRICES]
    return Representation("arrow", group, group.representation(matrices[: len(group.generators)]))


def minus(group):
    """A number that the first generator turns to its negative."""
    matrices = [[[-1.0]], [[1.0]], [[1.0]]][: len(group.generators)]
    return Representation("minus", group, group.representation(matrices))


CHAINS = {
    "p4": (
        square_grid,
        cyclic(4),
        3,
        6,
        [trivial, regular, vector, minus, vector, sheared, regular, trivial],
    ),
    "p4m": (square_grid, dihedral(4), 4, 7, [trivial, regular, vector, sign, vector, sheared, trivial]),
    "p6": (hexagonal_grid, cyclic(6), 3, 7, [trivial, regular, plane, minus, trivial]),
    "p6m": (hexagonal_grid, dihedral(6), 3, 7, [trivial, regular, sign, regular, plane, plane, trivial]),
    "Oh": (
        cubic_grid,
        octahedral(reflections=True),
        3,
        4,
        [trivial, regular, sign, regular, arrow, arrow, trivial],
    ),
    "strand": (strand, cyclic(2), 5, 11, [complement, regular, minus, complement, trivial]),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", CHAINS)
def test_representations_follow_each_other(name, dtype):
    grid, group, kernel, size, fibres = CHAINS[name]
    x, error = None, {torch.float64: 1e-12, torch.float32: 1e-5}[dtype]
    for before, after in itertools.pairwise(f(group) for f in fibres):
        layer = LiftingConv(grid(kernel, group), 2, 2, fibre=before, fibre_out=after, padding=1).to(dtype)
        space = SignalSpace(grid(size, group), before)
        mask = torch.from_numpy(space.domain.mask)
        x = torch.randn(2, 2, *space.shape, dtype=dtype) if x is None else x
        size = size + 2 - (kernel - 1) if grid is not hexagonal_grid else size
        out = SignalSpace(grid(size, group), after)
        run = lambda x, layer=layer, mask=mask: layer(x) * (mask if grid is hexagonal_grid else 1)
        x = x * mask if grid is hexagonal_grid else x
        y = run(x)
        assert y.shape[1:] == (2, *out.shape) and y.abs().max() > 1e-3
        assert_equivariant(run, x, space, out, bound=error)
        if after.size > 1:  # the control: its entries stretched
            factors = torch.arange(1, after.size + 1).view(-1, *(1,) * layer.dimensions)
            with pytest.raises(AssertionError, match="not equivariant"):
                uneven = lambda x, run=run, factors=factors: factors * run(x)
                assert_equivariant(uneven, x, space, out, bound=1e-3)
        flat = x.flatten(1, 2) if before.axis else x
        expected = layer(x).flatten(1, 2) if after.axis else layer(x)
        assert relative_error(layer.to_conv()(flat), expected) <= error
        x = (y.relu() if after.is_permutation else y).detach()


SOLVED = [
    (square_grid(3, dihedral(4)), regular, vector, 18),
    (square_grid(3, dihedral(4)), vector, sign, 2),
    (square_grid(2, cyclic(4)), sheared, vector, 4),
    (square_grid(3, cyclic(4)), regular, sheared, 18),
    (cubic_grid(3, octahedral(reflections=True)), arrow, arrow, 8),
    (cubic_grid(2, octahedral()), sign, regular, None),
    (strand(4, cyclic(2)), complement, minus, 8),
    (hexagonal_grid(3, dihedral(6)), plane, plane, 3),
    (disk(5, cyclic(12)), plane, plane, None),
]


@pytest.mark.parametrize(
    ("domain", "fibre", "fibre_out", "dim"), SOLVED, ids=lambda given: getattr(given, "__name__", str(given))
)
def test_filters_to_a_representation_are_all_that_the_average_over_the_group_leaves(
    domain, fibre, fibre_out, dim
):
    group = domain.group
    fibre, fibre_out = fibre(group), fibre_out(group)
    layer = LiftingConv(domain, 2, 3, fibre=fibre, fibre_out=fibre_out).double()
    if fibre_out.name == "regular":
        assert layer.weight.shape == (3, 2, fibre.size, len(domain))
        return
    # The average, literally, as a matrix on all filters (F_out, F, points).
    average = 0
    for g in range(len(group)):
        if isinstance(domain, Disk):
            move, pixels = domain.matrices[g], domain.waves.reshape(len(domain), -1)
        else:
            move, pixels = np.zeros((len(domain),) * 2), np.eye(domain.mask.size)[domain.mask.ravel()]
            move[domain.permutation[g], range(len(domain))] = 1
        dual = fibre.matrices[group.inverse[g]].T
        average = average + np.kron(np.kron(fibre_out.matrices[g], dual), move) / len(group)
    basis = (layer._exact["kernels"] @ np.linalg.pinv(pixels)).reshape(layer.weight.shape[2], -1)
    assert len(basis) == round(np.trace(average)) == np.linalg.matrix_rank(average, tol=1e-9)
    assert dim is None or len(basis) == dim
    assert np.abs(basis @ average.T - basis).max() <= 1e-12
    assert np.abs(basis @ basis.T - np.eye(len(basis))).max() <= 1e-12
    weighted = np.einsum("oik,kefx->oeifx", layer.weight.detach(), layer._exact["kernels"])
    assert relative_error(layer.expand(), torch.from_numpy(weighted).view(layer.expand().shape)) <= 1e-12


def test_the_regular_representation_said_aloud_is_the_layer_as_it_was():
    kernel, group = square_grid(3, dihedral(4)), dihedral(4)
    layer, other = GroupConv(kernel, 2, 3), GroupConv(kernel, 2, 3, fibre_out=regular(group))
    assert layer.weight.shape == (3, 2, 8, 9) and layer.bias.shape == (3,) and "fibre_out" not in repr(layer)
    other.load_state_dict(layer.state_dict())
    x = torch.randn(1, 2, 8, 5, 5)
    assert torch.equal(layer(x), other(x))
    # What was saved before there was another output: the checksum of these two tables.
    checksum = zlib.crc32(regular(group).matrices.tobytes(), zlib.crc32(kernel.permutation.tobytes()))
    assert layer.state_dict()._metadata[""]["kind"] == f"D₄, square grid 3×3, regular fibre ({checksum:08x})"
    with pytest.raises(RuntimeError, match="weight: saved from D₄, square grid 3×3, regular fibre to vector"):
        layer.load_state_dict(GroupConv(kernel, 2, 3, fibre_out=vector(group)).state_dict())


def test_a_bias_is_what_the_group_leaves_alone():
    kernel, group = square_grid(3, dihedral(4)), dihedral(4)
    layer = lambda fibre: LiftingConv(kernel, 1, 4, fibre_out=fibre)
    assert layer(vector(group)).bias is None
    assert layer(trivial(group)).bias.shape == (4, 1)
    both = layer(vector(group) + trivial(group) + trivial(group)).double()
    nn.init.zeros_(both.weight)
    y = both(torch.randn(1, 1, 5, 5, dtype=torch.float64))[0, :, :, 0, 0]
    assert both.bias.shape == (4, 2) and y.shape == (4, 4)
    assert y[:, :2].abs().max() <= 1e-12 and torch.linalg.matrix_rank(y[:, 2:]) == 2
    with pytest.raises(
        ValueError, match="fibre_out: no filter on a square grid 1×1 but 0 leads from trivial to"
    ):
        LiftingConv(square_grid(1, group), 1, 1, fibre_out=vector(group))
    with pytest.raises(ValueError, match="fibre_out: belongs to"):
        layer(vector(cyclic(4)))
    with pytest.raises(ValueError, match="matrices: not a representation of D₄"):
        layer([np.eye(2) * 2, np.eye(2)])
    big = octahedral(reflections=True)
    with pytest.raises(ValueError, match="fibre_out: the basis of all equivariant filters would hold"):
        GroupConv(cubic_grid(5, big), 1, 1, fibre_out=regular(big) + trivial(big))


def test_a_field_of_arrows_has_the_size_of_a_regular_one_at_the_start():
    group = octahedral(reflections=True)
    x = torch.randn(4, 3, 48, 5, 5, 5)
    size = lambda **more: float(
        GroupConv(cubic_grid(3, group), 3, 16, **more)(x).square().mean().sqrt().detach()
    )
    assert size(fibre_out=arrow(group)) == pytest.approx(size(), rel=0.1)


@pytest.mark.parametrize("change", [lambda layer: layer.double(), lambda layer: exchange(layer)])
def test_filters_that_are_kept_follow_the_weights_to_another_type(change):
    layer, x = LiftingConv(P4, 1, 2).eval(), torch.randn(1, 1, 6, 6)
    with torch.no_grad():
        layer(x)
        expected = copy.deepcopy(layer).double()(x.double())
        change(layer)
        assert torch.equal(layer(x.double()), expected)


def exchange(layer):
    """New parameters, of equal values and another type, where no method of the layer sees it."""
    for p in layer.parameters():
        p.data = p.data.double()


def test_a_mixed_fibre_keeps_exact_filters_under_autocast():
    layer, x = LiftingConv(P4, 1, 2, fibre=vector(cyclic(4))).eval(), torch.randn(1, 1, 2, 6, 6)
    with torch.no_grad():
        y = copy.deepcopy(layer)(x)
        with torch.autocast("cpu", torch.bfloat16):
            layer(x)
        assert torch.equal(layer(x), y)


def test_the_name_of_a_fibre_decides_nothing():
    layer = lambda name: LiftingConv(
        P4, 1, 2, fibre_out=Representation(name, cyclic(4), vector(cyclic(4)).matrices)
    )
    layer("arrow").load_state_dict(layer("wave").state_dict())
    turned = Representation("wave", cyclic(4), vector(cyclic(4)).matrices[cyclic(4).inverse])
    with pytest.raises(RuntimeError, match="weight: saved from C₄, square grid 3×3, trivial fibre to wave"):
        LiftingConv(P4, 1, 2, fibre_out=turned).load_state_dict(layer("wave").state_dict())


def test_a_hexagonal_kernel_of_one_point_lies_on_hexagons():
    conv = lambda **how: LiftingConv(hexagonal_grid(1, cyclic(6)), 1, 1, **how)
    with pytest.warns(UserWarning, match="not exact"):
        conv(stride=2)(torch.zeros(1, 1, 7, 7))
    with pytest.raises(ValueError, match="padding_mode"):
        conv(padding_mode="reflect")
