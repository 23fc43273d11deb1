"""Normalisation and pooling: their formulas, what they keep exact, the controls that they are not, errors."""

import itertools

import pytest
import torch
from torch import nn

from gdl_utils.domains import square_grid
from gdl_utils.equivariance import assert_equivariant, equivariance_error, relative_error
from gdl_utils.groups import cyclic, dihedral
from gdl_utils.layers import BlurPool, GroupBatchNorm, GroupPool, HexagonMask, PolyphasePool, spatial
from gdl_utils.signals import SignalSpace, regular


@pytest.mark.parametrize("group", [cyclic(4), dihedral(4)], ids=repr)
def test_pooling_and_normalising_keep_turns(group):
    lifted, plane = SignalSpace(square_grid(8, group), regular(group)), SignalSpace(square_grid(8, group))
    half = SignalSpace(square_grid(4, group), regular(group))
    x = torch.randn(3, 2, *lifted.shape, dtype=torch.float64)
    norm = GroupBatchNorm(2).double()
    norm(x + 3), norm.eval()
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    for layer in (norm, norm.train(), norm.eval()):
        assert_equivariant(layer, x, lifted, lifted)
    assert_equivariant(spatial(nn.AvgPool2d(2)), x, lifted, half)
    assert_equivariant(spatial(nn.MaxPool2d(2)), x, lifted, half)
    assert_equivariant(GroupPool(), x, lifted, plane)
    assert_equivariant(lambda x: GroupPool()(x).mean((-2, -1)), x, lifted)  # and then invariant
    mixes = spatial(nn.Conv2d(2 * len(group), 3 * len(group), 1)).double()
    assert mixes(x).shape == (3, 3, len(group), 8, 8)  # the number of channels may change
    # Controls: statistics of each group element on its own; windows that do not fit; a mean in space alone.
    apart = nn.BatchNorm2d(2 * len(group)).double()
    nn.init.normal_(apart.weight)
    for wrong, out in (
        (lambda x: apart(x.flatten(1, 2)).view_as(x), lifted),
        (spatial(nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)), half),
        (lambda x: x.mean((-2, -1)), None),
        (mixes, lifted),
    ):
        with pytest.raises(AssertionError):
            assert_equivariant(wrong, x, lifted, out)


def test_batch_statistics_are_shared_over_the_group():
    x = torch.randn(4, 3, 8, 5, 5) + torch.arange(4.0).reshape(
        4, 1, 1, 1, 1
    )  # images of different brightness
    norm = GroupBatchNorm(3)
    y = norm(x)
    assert torch.allclose(norm.running_mean, 0.1 * x.mean((0, 2, 3, 4)), atol=1e-5)
    assert not torch.allclose(y.mean((1, 2, 3, 4)), torch.zeros(4), atol=0.1)  # not each image on its own
    assert torch.allclose(y.mean((0, 2, 3, 4)), torch.zeros(3), atol=1e-6)
    assert torch.allclose(y.var((0, 2, 3, 4), correction=0), torch.ones(3), atol=1e-4)
    assert not torch.allclose(y.mean((0, 3, 4)), torch.zeros(3, 8), atol=1e-3)


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


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: GroupBatchNorm(3)(torch.zeros(2, 4, 4, 5, 5)),
            r"give \(batch, 3, \|G\|, \*space\)",
        ),
        (lambda: HexagonMask()(torch.zeros(2, 3, 5)), r"x: got shape \(2, 3, 5\)"),
        (lambda: HexagonMask()(torch.zeros(2, 4, 4)), "n odd"),
        (lambda: GroupPool()(torch.zeros(2, 4)), r"x: got shape \(2, 4\)"),
        (lambda: spatial(nn.AvgPool2d(2))(torch.zeros(2, 8, 8)), r"x: got shape \(2, 8, 8\)"),
        (lambda: BlurPool(0), "taps: got 0"),
        (lambda: BlurPool(3)(torch.ones(1, 1, 5, 6)), "even sides"),
        (lambda: BlurPool(5)(torch.ones(1, 1, 4, 4)), "even sides from 5"),
        (lambda: PolyphasePool()(torch.ones(1, 6, 6)), "batch, channels, height, width"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
