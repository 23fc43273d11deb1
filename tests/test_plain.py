"""A whole network made plain: the same function, of torch's own layers, on networks as people write them."""

import pytest
import torch
from torch import nn

from gdl_utils.blueprint import Blueprint
from gdl_utils.domains import cubic_grid, hexagonal_grid, square_grid, strand
from gdl_utils.equivariance import relative_error
from gdl_utils.groups import cyclic, dihedral, octahedral
from gdl_utils.layers import (
    Gated,
    GlobalPool,
    GroupBatchNorm,
    GroupConv,
    GroupLinear,
    GroupPool,
    HexagonMask,
    LiftingConv,
    spatial,
    to_plain,
)
from gdl_utils.representations import irreps, trivial
from gdl_utils.signals import complement

C2, C4, C6, D4 = cyclic(2), cyclic(4), cyclic(6), dihedral(4)


class Residual(nn.Module):
    """A block with a shortcut, and a layer that it uses twice."""

    def __init__(self, kernel, channels):
        super().__init__()
        self.conv = GroupConv(kernel, channels, channels, padding=1)
        self.norm, self.act = GroupBatchNorm(channels), nn.ReLU()

    def forward(self, x):
        return self.act(x + self.norm(self.conv(self.act(self.norm(self.conv(x))))))


def images():
    kernel = square_grid(3, D4)
    pool = spatial(nn.MaxPool2d(2))
    return nn.Sequential(
        LiftingConv(kernel, 1, 4, padding=1), GroupBatchNorm(4), nn.ReLU(), pool, Residual(kernel, 4),
        GroupConv(kernel, 4, 6, groups=2, dilation=2, padding=2, bias=False), GroupPool(), GlobalPool(2), nn.Linear(6, 3),
    )  # fmt: skip


def strands():
    kernel = strand(5, C2)
    return nn.Sequential(
        LiftingConv(kernel, 1, 3, fibre=complement(C2)),
        nn.ReLU(),
        GroupConv(kernel, 3, 2),
        GroupPool(1),
        nn.Tanh(),
    )


def volumes():
    kernel = cubic_grid(3, octahedral())
    return nn.Sequential(LiftingConv(kernel, 1, 2, padding="same"), nn.ReLU(), GlobalPool(3, group_axis=True))


def hexagons():
    kernel = hexagonal_grid(3, C6)
    return nn.Sequential(
        LiftingConv(kernel, 1, 2, padding=1), HexagonMask(), GroupConv(kernel, 2, 2), GroupPool()
    )


def blueprint():
    kernel = square_grid(3, C4)
    return Blueprint(
        [LiftingConv(kernel, 1, 2), GroupConv(kernel, 2, 2)],
        invariant_pooling=GlobalPool(2, group_axis=True),
        head=nn.Linear(2, 2),
    )


SHAPES = {
    images: (2, 1, 12, 12),
    strands: (2, 1, 4, 20),
    volumes: (2, 1, 6, 6, 6),
    hexagons: (2, 1, 9, 9),
    blueprint: (2, 1, 9, 9),
}
OURS = LiftingConv | GroupBatchNorm | GroupPool | GlobalPool | spatial


@pytest.mark.parametrize("make", SHAPES, ids=lambda make: make.__name__)
def test_a_plain_network_is_the_same_function_and_no_longer_follows(make):
    model = make().double()
    model(torch.randn(SHAPES[make], dtype=torch.float64))  # so that running means are not zero
    model.eval()
    x = torch.randn(SHAPES[make], dtype=torch.float64)
    with torch.no_grad():
        plain, y = to_plain(model), model(x)
        assert relative_error(plain(x), y) <= 1e-12 and not plain.training
        assert not any(isinstance(m, OURS) for m in plain.modules())
        assert any(isinstance(m, OURS) for m in model.modules())  # the model is as it was
        for p in model.parameters():
            p.mul_(1.5)
        assert relative_error(model(x), y) > 1e-3 and relative_error(plain(x), y) <= 1e-12


def test_a_plain_network_trains_as_any_and_then_its_turns_are_gone():
    model = images().double()
    plain, x = to_plain(model), torch.randn(4, 1, 12, 12, dtype=torch.float64)
    assert plain.training and sum(p.numel() for p in plain.parameters()) > 4 * sum(
        p.numel() for p in model.parameters()
    )
    assert relative_error(plain(x), model(x)) <= 1e-12  # with the statistics of the batch too
    optimizer = torch.optim.SGD(plain.parameters(), 0.1)
    plain(x).square().sum().backward()
    optimizer.step()
    plain.eval()
    assert relative_error(plain(x.rot90(1, (2, 3))), plain(x)) > 1e-6
    assert relative_error(model.eval()(x.rot90(1, (2, 3))), model(x)) <= 1e-12


def test_a_layer_that_is_used_twice_stays_one():
    conv = GroupConv(square_grid(3, C4), 2, 2, padding=1)
    plain = to_plain(nn.Sequential(conv, nn.ReLU(), conv))
    assert plain[0] is plain[2]


def test_what_no_single_size_explains_stays():
    kernel, wave = square_grid(3, C4), irreps(C4)[1]
    gated, pool = Gated(trivial(C4) + wave), spatial(nn.AvgPool2d(2))
    lift = LiftingConv(kernel, 1, 4, padding=1, fibre_out=gated.fibre_in)
    to_two = LiftingConv(square_grid(3, D4), 1, 1, padding=1)
    for model, shape in (
        (pool, (1, 2, 4, 6, 6)),
        (nn.Sequential(lift, gated, pool), (1, 1, 6, 6)),
        (nn.Sequential(pool, LiftingConv(kernel, 1, 2, fibre=wave)), (1, 1, 2, 6, 6)),
        (
            nn.Sequential(GroupConv(kernel, 1, 2), pool, GroupConv(kernel, 2, 1, fibre_out=wave)),
            (1, 1, 4, 12, 12),
        ),
        (nn.Sequential(LiftingConv(kernel, 1, 1, padding=1), GroupPool(), to_two, GroupPool()), (1, 1, 6, 6)),
    ):
        x = torch.randn(shape)
        plain = to_plain(model)
        assert plain(x).shape == model(x).shape and torch.allclose(plain(x), model(x), atol=1e-6)
        assert not any(isinstance(module, LiftingConv | GroupPool) for module in plain.modules())
    assert isinstance(to_plain(nn.Linear(2, 2)), nn.Linear)


class Half(GroupPool):
    def forward(self, x):
        return x.mean(2)


class LiftAndRectify(LiftingConv):
    def forward(self, x):
        return super().forward(x).relu()


def test_what_does_something_of_its_own_is_copied():
    x = torch.randn(2, 1, 9, 9)
    hooked = LiftingConv(square_grid(3, C4), 1, 2)
    hooked.register_forward_hook(lambda module, args, output: 2 * output)
    for model in (
        nn.Sequential(LiftAndRectify(square_grid(3, C4), 1, 2), GroupPool()),
        nn.Sequential(LiftingConv(square_grid(3, C4), 1, 2), Half()),
        nn.Sequential(hooked, GroupPool()),
    ):
        assert torch.allclose(to_plain(model)(x), model(x), atol=1e-6)


@pytest.mark.parametrize("trained", [True, False])
def test_a_frozen_layer_stays_frozen(trained):
    group = cyclic(4)
    layers = LiftingConv(square_grid(3, group), 1, 2), GroupLinear(group, 2, 3)
    for layer in layers:
        plain = to_plain(layer.requires_grad_(trained))
        assert [p.requires_grad for p in plain.parameters()] == [trained] * 2
