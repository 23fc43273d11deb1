"""Normalisation and dropout on a group axis: their formulas, what they keep exact, the controls that they are not, errors."""

import copy
import inspect

import pytest
import torch
from torch import nn

from gdl_utils.domains import cubic_grid, square_grid, strand
from gdl_utils.equivariance import assert_equivariant, equivariance_error, relative_error
from gdl_utils.groups import cyclic, dihedral, octahedral
from gdl_utils.layers import GroupBatchNorm as exported
from gdl_utils.layers.normalisation import FieldDropout, GroupBatchNorm, GroupLayerNorm
from gdl_utils.signals import SignalSpace, regular

GRIDS = {
    "p4": (square_grid(6, cyclic(4)), 2),
    "p4m": (square_grid(7, dihedral(4)), 2),
    "O": (cubic_grid(3, octahedral()), 3),
    "RC": (strand(6, cyclic(2)), 1),
}


def lifted(name):
    """The space of lifted signals, how many axes space has, and some signals with channels that differ."""
    grid, dimensions = GRIDS[name]
    space = SignalSpace(grid, regular(grid.group))
    x = torch.randn(4, 3, *space.shape, dtype=torch.float64) + 1
    return space, dimensions, x * torch.tensor([1.0, 3, 5]).view(3, *[1] * (1 + dimensions))


def drawn(layer):
    """The layer in double precision, with weights that are not all alike."""
    for parameter in layer.double().parameters():
        nn.init.normal_(parameter)
    return layer


@pytest.mark.parametrize("name", GRIDS)
def test_batch_norm_keeps_the_group_and_shifts(name):
    space, dimensions, x = lifted(name)
    norm = drawn(GroupBatchNorm(3))
    norm(x + 3), norm.eval()
    for layer in (norm, norm.train(), norm.eval()):
        assert_equivariant(layer, x, space, space)
        roll = lambda t: t.roll(1, -1)
        assert equivariance_error(layer, x, roll, roll) <= 1e-12
    # The control: statistics of each group element on its own.
    apart = drawn([nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d][dimensions - 1](3 * len(space.group)))
    with pytest.raises(AssertionError):
        assert_equivariant(lambda x: apart(x.flatten(1, 2)).view_as(x), x, space, space)


def test_batch_statistics_are_shared_over_the_group():
    x = torch.randn(4, 3, 8, 5, 5) + torch.arange(4.0).view(4, 1, 1, 1, 1)  # images of different brightness
    norm = GroupBatchNorm(3)
    y = norm(x)
    assert torch.allclose(norm.running_mean, 0.1 * x.mean((0, 2, 3, 4)), atol=1e-5)
    assert not torch.allclose(y.mean((1, 2, 3, 4)), torch.zeros(4), atol=0.1)  # not each image on its own
    assert torch.allclose(y.mean((0, 2, 3, 4)), torch.zeros(3), atol=1e-6)
    assert torch.allclose(y.var((0, 2, 3, 4), correction=0), torch.ones(3), atol=1e-4)
    assert not torch.allclose(y.mean((0, 3, 4)), torch.zeros(3, 8), atol=1e-3)


def test_batch_norm_has_torchs_constructor_and_takes_any_layout():
    assert exported is GroupBatchNorm
    assert inspect.signature(GroupBatchNorm) == inspect.signature(nn.BatchNorm1d)
    norm, x = GroupBatchNorm(3).double(), torch.randn(2, 3, 4, 5, 5, dtype=torch.float64)
    for other in (x.transpose(2, 4), x.to(memory_format=torch.channels_last_3d), x.mT, x.transpose(0, 1)[:3]):
        if other.shape[1] == 3:
            assert relative_error(norm(other), norm(other.clone().contiguous())) <= 1e-12


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_layer_norm_keeps_the_group_and_shifts(name, dtype):
    space, dimensions, x = lifted(name)
    norm, x = drawn(GroupLayerNorm(3, dimensions)).to(dtype), x.to(dtype)
    assert_equivariant(norm, x, space, space)
    roll = lambda t: t.roll(1, -1)
    assert equivariance_error(norm, x, roll, roll) <= {torch.float64: 1e-12, torch.float32: 1e-5}[dtype]
    # The control: a weight for each channel and group element, as torch's own would have.
    size = 3 * len(space.group)
    apart = drawn(nn.LayerNorm(size)).to(dtype)
    with pytest.raises(AssertionError):
        wrong = lambda x: apart(x.flatten(1, 2).movedim(1, -1)).movedim(-1, 1).view_as(x)
        assert_equivariant(wrong, x, space, space)


def test_layer_norm_is_its_formula_at_each_point():
    x = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64) * torch.rand(2, 1, 1, 5, 6) + 2
    norm = drawn(GroupLayerNorm(3))
    wanted = torch.empty_like(x)
    for b in range(2):
        for i in range(5):
            for j in range(6):
                here = x[b, :, :, i, j]
                here = (here - here.mean()) / (here.var(correction=0) + 1e-5).sqrt()
                wanted[b, :, :, i, j] = norm.weight[:, None] * here + norm.bias[:, None]
    assert relative_error(norm(x), wanted) <= 1e-12
    assert (
        relative_error(nn.functional.layer_norm(x, (5, 6)), wanted) > 0.1
    )  # the control: over space instead
    assert torch.equal(norm(x[:1]), norm(x)[:1]) and torch.equal(norm.eval()(x), norm.train()(x))
    plain = GroupLayerNorm(3, elementwise_affine=False).double()
    assert not list(plain.parameters()) and relative_error(plain(x).std((1, 2)), torch.ones(2, 5, 6)) < 0.1
    assert GroupLayerNorm(3, bias=False).bias is None
    assert GroupLayerNorm(3, dtype=torch.float64).weight.dtype == torch.float64
    norm(x).square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in norm.parameters())


@pytest.mark.parametrize("name", GRIDS)
def test_dropout_of_fields_keeps_the_group_for_every_draw(name):
    space, _, x = lifted(name)
    layer = FieldDropout(0.5)

    def same_draw(module, x):
        torch.manual_seed(5)
        return module(x)

    assert_equivariant(lambda x: same_draw(layer, x), x, space, space)
    roll = lambda t: t.roll(1, -1)
    assert equivariance_error(lambda x: same_draw(layer, x), x, roll, roll) == 0
    # Controls: entries on their own, group elements on their own; that another draw is another result.
    for wrong in (nn.Dropout(0.5), lambda x: FieldDropout(0.5)(x.flatten(1, 2)).view_as(x)):
        with pytest.raises(AssertionError):
            assert_equivariant(lambda x, wrong=wrong: same_draw(wrong, x), x, space, space)
    assert not torch.equal(layer(x), layer(x)) and layer.eval()(x) is x


def test_dropout_of_fields_drops_whole_channels_and_keeps_the_mean():
    x = torch.ones(400, 50, 2, 3, 3)
    y = FieldDropout(0.2)(x)
    fields = y.flatten(2)
    assert torch.equal(fields.amin(2), fields.amax(2)) and set(fields.unique().tolist()) == {0, 1.25}
    assert abs(float(y.mean()) - 1) < 0.02  # 20,000 fields: the error's standard deviation is 0.0035
    assert not (fields[:, :, 0] == 0).all(0).any()  # each example has its own
    assert torch.equal(FieldDropout(0)(x), x) and FieldDropout(1)(x).abs().max() == 0
    assert FieldDropout()(torch.ones(2, 3, 8)).shape == (2, 3, 8)


LAYERS = {"batch": GroupBatchNorm(3), "layer": GroupLayerNorm(3), "dropout": FieldDropout(0.5)}


@pytest.mark.parametrize("name", LAYERS)
def test_they_live_with_torch(name):
    x = torch.randn(2, 3, 4, 5, 5)
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        y = copy.deepcopy(LAYERS[name]).to(dtype)(x.to(dtype))
        assert y.dtype == dtype and y.isfinite().all()
    assert copy.deepcopy(LAYERS[name]).to("meta")(x.to("meta")).shape == x.shape
    for kind in (torch.float32, torch.bfloat16):  # a convolution before it gives the second
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert copy.deepcopy(LAYERS[name])(x.to(kind)).isfinite().all()
    layer = copy.deepcopy(LAYERS[name]).eval()
    assert torch.equal(torch.compile(layer, backend="eager", fullgraph=True)(x), layer(x))


def test_a_layer_made_without_memory_begins_as_any_other():
    with torch.device("meta"):
        empty = GroupLayerNorm(4)
    empty.to_empty(device="cpu").reset_parameters()
    assert torch.equal(empty.weight, torch.ones(4)) and torch.equal(empty.bias, torch.zeros(4))
    assert "4, 2, eps=1e-05" in repr(empty) and "p=0.3" in repr(FieldDropout(0.3))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: GroupBatchNorm(3)(torch.zeros(2, 4, 4, 5, 5)),
            ValueError,
            r"give \(batch, 3, \|G\|, \*space\)",
        ),
        (lambda: GroupBatchNorm(3)(torch.zeros(2, 3)), ValueError, r"x: got shape \(2, 3\)"),
        (
            lambda: GroupLayerNorm(3)(torch.zeros(2, 3, 5, 5)),
            ValueError,
            r"\(batch, 3, \|G\|, 2 of space\)",
        ),
        (
            lambda: GroupLayerNorm(3)(torch.zeros(2, 4, 4, 5, 5)),
            ValueError,
            r"x: got shape \(2, 4, 4, 5, 5\)",
        ),
        (lambda: GroupLayerNorm(3, 1)(torch.zeros(2, 3, 4, 5, 5)), ValueError, "1 of space"),
        (lambda: GroupLayerNorm(0), ValueError, "channels: got 0"),
        (lambda: GroupLayerNorm(2.0), TypeError, "channels: got 2.0"),
        (lambda: GroupLayerNorm(3, 4), ValueError, "dimensions: got 4"),
        (lambda: FieldDropout(1.5), ValueError, "p: got 1.5"),
        (lambda: FieldDropout(float("nan")), ValueError, "p: got nan"),
        (lambda: FieldDropout()(torch.zeros(2, 3)), ValueError, r"x: got shape \(2, 3\)"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
