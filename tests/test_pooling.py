"""Pooling: the formulas, what they keep exact, the controls that they are not, errors."""

import copy
import inspect
import itertools
import warnings

import pytest
import torch
from torch import nn

from gdl_utils.domains import cubic_grid, hexagonal_grid, square_grid, strand
from gdl_utils.equivariance import assert_equivariant, equivariance_error, relative_error
from gdl_utils.groups import cyclic, dihedral, octahedral
from gdl_utils.layers import (
    BlurPool,
    GlobalPool,
    GroupPool,
    HexagonMask,
    LiftingConv,
    PolyphasePool,
    spatial,
)
from gdl_utils.signals import SignalSpace, regular


@pytest.mark.parametrize("group", [cyclic(4), dihedral(4)], ids=repr)
@pytest.mark.filterwarnings("ignore:size 8 with kernel 3")  # which is the control
def test_pooling_keeps_turns(group):
    lifted, plane = SignalSpace(square_grid(8, group), regular(group)), SignalSpace(square_grid(8, group))
    half = SignalSpace(square_grid(4, group), regular(group))
    x = torch.randn(3, 2, *lifted.shape, dtype=torch.float64)
    assert_equivariant(spatial(nn.AvgPool2d(2)), x, lifted, half)
    assert_equivariant(spatial(nn.MaxPool2d(2)), x, lifted, half)
    assert_equivariant(GroupPool(), x, lifted, plane)
    assert_equivariant(lambda x: GroupPool()(x).mean((-2, -1)), x, lifted)  # and then invariant
    assert_equivariant(GlobalPool(2, group_axis=True), x, lifted)
    mixes = spatial(nn.Conv2d(2 * len(group), 3 * len(group), 1)).double()
    assert mixes(x).shape == (3, 3, len(group), 8, 8)  # the number of channels may change
    # Controls: windows that do not fit; a mean in space alone, the group axis left; channels that mix.
    for wrong, out in (
        (spatial(nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)), half),
        (spatial(GlobalPool(2)), None),
        (mixes, lifted),
    ):
        with pytest.raises(AssertionError):
            assert_equivariant(wrong, x, lifted, out)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_pooling_knows_lifted_signals_from_others(dimensions):
    space = (6, 6, 6)[:dimensions]
    group_pool, x = GroupPool(dimensions), torch.randn(2, 3, 4, *space)
    assert torch.equal(group_pool(x), x.max(2).values)
    assert torch.allclose(GlobalPool(dimensions)(x[:, :, 0]), x[:, :, 0].flatten(2).mean(2))
    assert torch.allclose(GlobalPool(dimensions, group_axis=True)(x), x.flatten(2).mean(2))
    assert torch.allclose(spatial(GlobalPool(dimensions))(x), x.flatten(3).mean(3))  # a group axis that stays
    for call, words in (
        (lambda: group_pool(group_pool(x)), "Was it lifted, and not yet pooled"),  # twice
        (lambda: group_pool(x[:, :, 0]), rf"\(batch, channels, \|G\|, {dimensions} of space\)"),
        (lambda: GlobalPool(dimensions)(x), f"GlobalPool\\({dimensions}, group_axis=True\\) fits"),
        (lambda: GlobalPool(dimensions, group_axis=True)(x[:, :, 0]), "group_axis=False. fits"),
        (lambda: GlobalPool(dimensions)(x[0, :, 0]), "x: got shape"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_a_convolution_that_lost_its_group_axis_is_not_pooled():
    lift = LiftingConv(square_grid(3, cyclic(4)), 1, 8, padding=1)
    x = torch.randn(2, 1, 7, 7)
    with pytest.raises(ValueError, match=r"x: got shape \(2, 32, 7, 7\)"):
        nn.Sequential(lift.to_conv(), GroupPool())(x)
    assert nn.Sequential(lift, GroupPool())(x).shape == (2, 8, 7, 7)  # the control
    assert str(inspect.signature(GroupPool)) == "(dimensions: int = 2)"


def test_the_maximum_over_the_group_shares_its_gradient_among_equals():
    x = torch.tensor([1.0, 3, 3, 0]).view(1, 1, 4, 1, 1).requires_grad_()
    GroupPool()(x).backward()
    assert x.grad.flatten().tolist() == [0, 0.5, 0.5, 0]  # none of two equal elements is preferred


# What windows do: symmetric ones commute with a mirror.


def pools(size, kernel, stride, padding, dilation, ceil_mode):
    options = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    yield nn.MaxPool1d(kernel, dilation=dilation, **options)
    if dilation == 1:
        yield nn.AvgPool1d(kernel, **options)
        yield nn.AvgPool1d(kernel, count_include_pad=False, **options)
    if dilation == 1 and padding == 0:
        yield nn.LPPool1d(2, kernel, stride, ceil_mode)


def warned(layer, x):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer(x)
    return [str(w.message) for w in caught if "turns are not exact" in str(w.message)]


@pytest.mark.filterwarnings("ignore:size")
def test_a_warning_comes_where_windows_do_not_lie_symmetrically():
    choices = itertools.product((5, 6, 7, 8), (1, 2, 3), (1, 2, 3), (0, 1), (1, 2), (False, True))
    seen = {True: 0, False: 0}
    for size, kernel, stride, padding, dilation, ceil_mode in choices:
        one_window = size + 2 * padding - dilation * (kernel - 1) - 1 < stride
        if 2 * padding > kernel or (one_window and dilation > 1):  # whose holes may happen to lie well
            continue
        x = torch.rand(50, 1, 2, size, dtype=torch.float64) + 0.1
        for pool in pools(size, kernel, stride, padding, dilation, ceil_mode):
            layer = spatial(pool)
            messages = warned(layer, x)
            exact = relative_error(layer(x.flip(3)), layer(x).flip(3)) <= 1e-12
            assert exact == (not messages), pool
            seen[exact] += 1
    assert min(seen.values()) > 100


def test_a_window_that_sees_everything_lies_symmetrically():
    x = torch.rand(2, 1, 2, 2, dtype=torch.float64)
    for pool in (nn.MaxPool1d(3, 2, 1), nn.AvgPool1d(3, 2, 1), nn.MaxPool1d(3, 2, ceil_mode=True)):
        assert warned(spatial(pool), x) == []
        assert relative_error(spatial(pool)(x.flip(3)), spatial(pool)(x).flip(3)) <= 1e-12


def test_the_sizes_and_kernels_that_a_warning_names_do_fit():
    [message] = warned(spatial(nn.MaxPool2d(3, 2, 1)), torch.randn(1, 1, 4, 28, 29))
    assert message.startswith("size 28 with kernel 3, padding 1 and stride 2: turns are not exact")
    assert "sizes 27 and 29 fit, or kernels 2 and 4" in message
    for size, kernel in ((27, 3), (29, 3), (28, 2), (28, 4)):
        assert warned(spatial(nn.MaxPool2d(kernel, 2, 1)), torch.randn(1, 1, 4, size, size)) == []
    [message] = warned(spatial(nn.MaxPool1d(2, 2, dilation=2)), torch.randn(1, 1, 2, 8))
    assert "dilation 2" in message and "sizes 7 and 9 fit, or kernels" not in message
    assert warned(spatial(nn.MaxPool2d(3, 2, 1)), torch.randn(1, 1, 1, 28, 28)) == []  # C₁ turns nothing
    assert warned(spatial(nn.MaxPool3d(2, (1, 2, 2))), torch.randn(1, 1, 4, 5, 6, 6)) == []


@pytest.mark.parametrize("size", [5, 8])
@pytest.mark.parametrize("wanted", [3, 4, 7])
def test_adaptive_pooling_keeps_turns_on_every_size(size, wanted):
    group = dihedral(4)
    space, out = (SignalSpace(square_grid(n, group), regular(group)) for n in (size, wanted))
    x = torch.randn(2, 1, *space.shape, dtype=torch.float64)
    for pool in (nn.AdaptiveAvgPool2d(wanted), nn.AdaptiveMaxPool2d(wanted)):
        assert_equivariant(spatial(pool), x, space, out)
    nearest = spatial(
        nn.Upsample(size=(wanted, wanted))
    )  # the control: it rounds down, and not symmetrically
    with pytest.raises(AssertionError):
        assert_equivariant(nearest, x, space, out)


UP = nn.Upsample
RAISED = [
    # module, how much larger, exact for turns, exact for shifts on a torus
    (lambda n: UP(scale_factor=2), 2, True, True),
    (lambda n: UP(scale_factor=3), 3, True, True),
    (lambda n: UP(scale_factor=2, mode="nearest-exact"), 2, True, True),
    (lambda n: UP(scale_factor=2, mode="bilinear"), 2, True, False),
    (lambda n: UP(scale_factor=2, mode="bilinear", align_corners=True), 2, True, False),
    (lambda n: UP(scale_factor=2, mode="bicubic"), 2, True, False),
    (lambda n: nn.ConvTranspose2d(n, n, 2, 2), 2, False, True),  # filters that are not turned
    (lambda n: nn.ConvTranspose2d(n, n, 2, 2, groups=n), 2, False, True),
    (lambda n: nn.ConvTranspose2d(n, n, 4, 2, 1), 2, False, False),
]


@pytest.mark.parametrize("size", [5, 6])
@pytest.mark.parametrize(("make", "factor", "turns", "shifts"), RAISED)
def test_upsampling_is_exact_where_it_is_said_to_be(make, factor, turns, shifts, size):
    group = dihedral(4)
    space, out = (SignalSpace(square_grid(n, group), regular(group)) for n in (size, factor * size))
    x = torch.randn(2, 2, *space.shape, dtype=torch.float64)
    layer = torch.no_grad()(spatial(make(2 * len(group)).double()))
    if turns:
        assert_equivariant(layer, x, space, out)
    else:
        with pytest.raises(AssertionError):
            assert_equivariant(layer, x, space, out)
    error = equivariance_error(layer, x, lambda t: t.roll(1, 3), lambda t: t.roll(factor, 3))
    assert (error <= 1e-12) == shifts and (shifts or error > 1e-2)


def test_upsampling_strands_and_volumes():
    for grid, group, size, mode in (
        (strand, cyclic(2), 6, "linear"),
        (cubic_grid, octahedral(), 3, "trilinear"),
    ):
        space, out = (SignalSpace(grid(n, group), regular(group)) for n in (size, 2 * size))
        x = torch.randn(1, 1, *space.shape, dtype=torch.float64)
        for module in (UP(scale_factor=2), UP(scale_factor=2, mode=mode)):
            assert_equivariant(spatial(module), x, space, out)


def test_blur_pooling_is_its_formula_and_keeps_even_shifts(rng):
    x = torch.randn(2, 3, 8, 6, generator=rng, dtype=torch.float64)
    blurred = sum(
        w * x.roll((i, j), (2, 3)) / 16
        for (i, j), w in zip(
            itertools.product((-1, 0, 1), repeat=2), (1, 2, 1, 2, 4, 2, 1, 2, 1), strict=True
        )
    )
    assert relative_error(BlurPool(3)(x), blurred[..., ::2, ::2]) <= 1e-12
    assert relative_error(BlurPool(2)(x), blurred[..., ::2, ::2]) > 0.1  # the control: another blur
    assert torch.equal(BlurPool(1)(x), x[..., ::2, ::2])  # a plain stride
    for taps in (1, 2, 3, 5):
        y = BlurPool(taps).double()(x)
        moved = BlurPool(taps).double()(x.roll((2, -4), (2, 3)))
        assert relative_error(moved, y.roll((1, -2), (2, 3))) <= 1e-12


def test_the_wider_the_blur_the_nearer_to_odd_shifts(rng):
    x = torch.randn(4, 2, 16, 16, generator=rng, dtype=torch.float64)

    def unlike(taps):
        """How unlike the pooled pictures of x and of x moved by one are, at best."""
        a, b = BlurPool(taps).double()(x), BlurPool(taps).double()(x.roll(1, 3))
        return float(min((b - a.roll(s, 3)).norm() / a.norm() for s in (0, 1)))

    errors = [unlike(taps) for taps in (1, 3, 5, 7)]
    assert errors == sorted(errors, reverse=True) and errors[-1] > 1e-3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_polyphase_pooling_is_invariant_to_every_shift_and_turn_once_pooled(dtype, rng):
    x = torch.randn(4, 3, 8, 8, generator=rng, dtype=dtype)
    network = lambda x, pool: pool(x).relu().square().mean((2, 3))
    moves = [lambda t, s=s: t.roll(s, (2, 3)) for s in itertools.product(range(8), repeat=2)]
    moves += [lambda t, k=k: t.rot90(k, (2, 3)) for k in (1, 2, 3)] + [lambda t: t.flip(3)]
    still = lambda y: y
    bound = 1e-12 if dtype == torch.float64 else 1e-5
    adaptive = [equivariance_error(lambda t: network(t, PolyphasePool()), x, m, still) for m in moves]
    fixed = [equivariance_error(lambda t: network(t, BlurPool(1)), x, m, still) for m in moves]
    assert max(adaptive) <= bound
    assert max(fixed) > 0.1  # the control: always the same grid


def test_polyphase_pooling_takes_one_of_the_four_grids_for_all_channels(rng):
    x = torch.randn(5, 2, 6, 6, generator=rng)
    for x_one, y_one in zip(x, PolyphasePool()(x), strict=True):
        grids = {(i, j): x_one[:, i::2, j::2] for i in (0, 1) for j in (0, 1)}
        chosen = [k for k, grid in grids.items() if torch.equal(grid, y_one)]
        assert chosen == [max(grids, key=lambda k: grids[k].norm())]


SCALES = [
    *[(torch.bfloat16, scale) for scale in (1, 1e-30, 1e37, 3e-39)],
    *[(torch.float16, scale) for scale in (1, 2000, 1e-6, 6e-8)],
    *[(torch.float32, scale) for scale in (1, 1e-30, 1e38, 1e-44)],
    *[(torch.float64, scale) for scale in (1, 1e-200, 1e300, 1e-310)],
]


def by_norm(x):
    """Adaptive polyphase sampling as one would write it: overflows, underflows, and rounds in the order of the values."""
    grids = torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)])
    return grids[grids.flatten(2).norm(dim=2).argmax(0), torch.arange(len(x))]


def kept(pool, x):
    """What values are kept, without the places."""
    return pool(x).flatten(1).sort(1).values


MOVES = [lambda t, s=s: t.roll(s, (2, 3)) for s in ((0, 1), (1, 0), (1, 1), (3, -5))]
MOVES += [lambda t, k=k: t.rot90(k, (2, 3)) for k in (1, 2, 3)] + [lambda t: t.flip(3)]


@pytest.mark.parametrize(("dtype", "scale"), SCALES)
def test_polyphase_pooling_keeps_the_same_values_in_every_type_and_scale(dtype, scale):
    differ = 0
    for shape in ((10, 16, 32, 32), (30, 3, 6, 10), (100, 1, 2, 2), (8, 1, 62, 2)):
        x = (scale * torch.randn(shape, dtype=torch.float64)).to(dtype)
        wanted, naive = kept(PolyphasePool(), x), kept(by_norm, x)
        assert wanted.dtype == dtype
        for move in MOVES:
            assert torch.equal(kept(PolyphasePool(), move(x)), wanted)
            differ += not torch.equal(kept(by_norm, move(x)), naive)
    if scale != 1 or dtype == torch.bfloat16:
        assert differ > 0  # the control: the norm alone


def test_polyphase_pooling_breaks_ties_by_what_a_shift_leaves_alone():
    x = torch.randint(0, 4, (5000, 1, 8, 8)).double()  # norms that are often equal
    y = kept(PolyphasePool(), x)
    assert all(torch.equal(kept(PolyphasePool(), move(x)), y) for move in MOVES)
    naive = kept(by_norm, x)
    assert not all(torch.equal(kept(by_norm, move(x)), naive) for move in MOVES)  # the control
    signs = torch.randint(0, 2, (500, 1, 2, 2)).double() * 2 - 1
    assert all(torch.equal(kept(PolyphasePool(), m(signs)), kept(PolyphasePool(), signs)) for m in MOVES[:3])
    # One row of four, or two pairs: as many ones, and other neighbours. A convolution tells them apart.
    pair = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    pair[0, 0, 0, ::2], pair[0, 0, 1, 1::4], pair[0, 0, 5, 1::4] = 1, 1, 1
    filters = torch.randn(4, 1, 3, 3, dtype=torch.float64)
    wrap = lambda t: nn.functional.pad(t, (1, 1, 1, 1), mode="circular")
    read = lambda pool, t: nn.functional.conv2d(wrap(pool(t)), filters).relu().mean((2, 3))
    error = lambda pool, m: relative_error(read(pool, m(pair)), read(pool, pair))
    assert (
        max(error(PolyphasePool(), m) for m in MOVES[:3]) <= 1e-12 < max(error(by_norm, m) for m in MOVES[:3])
    )


def test_polyphase_pooling_keeps_turns_of_lifted_signals():
    group = dihedral(4)
    space = SignalSpace(square_grid(8, group), regular(group))
    x = torch.randn(3, 2, *space.shape, dtype=torch.float64)
    read = lambda pool: lambda x: spatial(pool)(x).square().sum((2, 3, 4))
    assert_equivariant(read(PolyphasePool()), x, space)
    with pytest.raises(AssertionError):
        assert_equivariant(read(BlurPool(1)), x, space)


def test_polyphase_pooling_of_odd_values():
    x = torch.randn(20, 2, 8, 8)
    x[:, 0, 3, 4] = torch.nan
    assert PolyphasePool()(x).isnan().flatten(1).any(1).all()  # not lost
    y = kept(PolyphasePool(), x).nan_to_num(9)
    assert all(torch.equal(kept(PolyphasePool(), m(x)).nan_to_num(9), y) for m in MOVES[:3])
    assert PolyphasePool()(torch.zeros(2, 1, 4, 4)).abs().max() == 0
    assert PolyphasePool()(torch.zeros(0, 1, 4, 4)).shape == (0, 1, 2, 2)
    x = torch.randn(3, 2, 8, 8, requires_grad=True)
    PolyphasePool()(x).sum().backward()
    assert x.grad.sum() == 3 * 2 * 16 and x.grad.unique().tolist() == [0, 1]


@pytest.mark.parametrize("n", [1, 3, 9, 31])
def test_the_mask_is_the_hexagon(n):
    mask = torch.from_numpy(hexagonal_grid(n).mask)
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool):
        y = HexagonMask()(torch.ones(2, n, n, dtype=dtype))
        assert y.dtype == dtype and torch.equal(y.bool(), mask.expand(2, n, n))
    y = HexagonMask()(torch.full((n, n), torch.nan))
    assert torch.equal(y.isnan(), mask)  # what is outside is 0, whatever it was


@pytest.mark.parametrize("taps", range(1, 8))
def test_the_blur_is_exact_in_every_type(taps):
    blur = BlurPool(taps)
    assert blur.filter.dtype == torch.float32 and blur.filter.sum() == 1
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        assert torch.equal(blur.filter.to(dtype).float(), blur.filter)
        assert blur(torch.ones(2, 3, 8, 8, dtype=dtype)).eq(1).all()
        there_and_back = copy.deepcopy(blur).to(dtype).double()
        assert torch.equal(there_and_back.filter, blur.filter.double())
    with torch.device("meta"):
        empty = BlurPool(taps)
    empty.to_empty(device="cpu").reset_parameters()
    assert torch.equal(empty.filter, blur.filter) and repr(blur) == f"BlurPool({taps})"


LAYERS = {
    "GroupPool": (GroupPool(), (3, 2, 4, 7, 7)),
    "GlobalPool": (GlobalPool(2, group_axis=True), (3, 2, 4, 7, 7)),
    "AvgPool": (spatial(nn.AvgPool2d(2)), (3, 2, 4, 8, 8)),
    "MaxPool that does not fit": (spatial(nn.MaxPool2d(3, 2, 1)), (3, 2, 4, 8, 8)),
    "Upsample": (spatial(UP(scale_factor=2)), (3, 2, 4, 8, 8)),
    "HexagonMask": (HexagonMask(), (3, 2, 7, 7)),
    "BlurPool": (BlurPool(3), (3, 2, 8, 8)),
    "PolyphasePool": (PolyphasePool(), (3, 2, 8, 8)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.filterwarnings("ignore:size 8 with kernel 3")
def test_they_live_with_torch(name):
    layer, shape = LAYERS[name]
    x = torch.randn(shape)
    wanted = layer(x)
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        y = layer(x.to(dtype))
        assert y.dtype == dtype and relative_error(y.float(), wanted) < 0.1
    assert copy.deepcopy(layer).to("meta")(x.to("meta")).shape == wanted.shape
    assert torch.equal(torch.compile(layer, backend="eager", fullgraph=True)(x), wanted)
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(layer, (x,), dynamic_shapes=({0: batch},)).module()
    assert torch.equal(exported(x[:2]), layer(x[:2]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: HexagonMask()(torch.zeros(2, 3, 5)), r"x: got shape \(2, 3, 5\)"),
        (lambda: HexagonMask()(torch.zeros(2, 4, 4)), "n odd"),
        (lambda: GroupPool()(torch.zeros(2, 4)), r"x: got shape \(2, 4\)"),
        (lambda: GroupPool(0), "dimensions: got 0"),
        (lambda: spatial(nn.Identity())(torch.zeros(2, 8, 8)), r"x: got shape \(2, 8, 8\)"),
        (lambda: spatial(nn.AvgPool2d(2))(torch.zeros(2, 4, 8, 8)), r"\|G\|, 2 of space"),
        (lambda: spatial(nn.AdaptiveAvgPool3d(2))(torch.zeros(2, 4, 4, 8, 8)), r"\|G\|, 3 of space"),
        (
            lambda: spatial(nn.Conv2d(8, 6, 1))(torch.zeros(2, 2, 4, 8, 8)),
            r"module: Conv2d made \(2, 6, 8, 8\)",
        ),
        (lambda: spatial(nn.Flatten())(torch.zeros(2, 2, 4, 8, 8)), "module: Flatten made"),
        (lambda: spatial(nn.Flatten(0, 1))(torch.zeros(2, 2, 4, 8, 8)), "module: Flatten made"),
        (lambda: spatial(nn.AvgPool2d(5))(torch.zeros(2, 2, 4, 4, 4)), r"got \(4, 4\) in space, too small"),
        (lambda: BlurPool(0), "taps: got 0"),
        (lambda: BlurPool(3)(torch.ones(1, 1, 5, 6)), "even sides"),
        (lambda: BlurPool(5)(torch.ones(1, 1, 4, 4)), "even sides from 5"),
        (lambda: PolyphasePool()(torch.ones(1, 6, 6)), "batch, channels, height, width"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: spatial(nn.MaxPool2d(2, return_indices=True))(torch.zeros(1, 1, 4, 4, 4)),
            r"module: MaxPool2d gave a tuple; .*return_indices=False",
        ),
        (lambda: spatial(nn.GRU(4, 4))(torch.zeros(1, 1, 4, 4)), "module: GRU gave a tuple"),
        (lambda: PolyphasePool()(torch.ones(1, 1, 4, 4, dtype=torch.complex64)), "x: got torch.complex64"),
        (lambda: BlurPool(3)(torch.ones(1, 1, 4, 4, dtype=torch.int64)), "x: got torch.int64"),
    ],
)
def test_what_is_no_signal_is_named(call, words):
    with pytest.raises(TypeError, match=words):
        call()
