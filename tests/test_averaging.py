"""The average over an orbit: its formula, exact for any model, and a projection."""

import pytest
import torch
from torch import nn

from gdl_utils.domains import hexagonal_grid, nodes, square_grid, torus
from gdl_utils.equivariance import assert_equivariant, equivariance_errors, relative_error
from gdl_utils.groups import cyclic, dihedral
from gdl_utils.layers import GroupConv, GroupPool, LiftingConv, averaged
from gdl_utils.signals import SignalSpace, regular, sign

D4 = dihedral(4)
IMAGES = SignalSpace(square_grid(6, D4))


def classifier() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3)).double()


def images(n: int = 4, channels: int = 1) -> torch.Tensor:
    return torch.randn(n, channels, 6, 6, dtype=torch.float64)


def test_the_average_is_the_formula():
    model, x = classifier(), images()
    slow = sum(model(IMAGES.act(g, x)) for g in range(8)) / 8
    assert relative_error(averaged(model, IMAGES)(x), slow) <= 1e-12
    without_one = sum(model(IMAGES.act(g, x)) for g in range(7)) / 7
    assert relative_error(averaged(model, IMAGES)(x), without_one) > 1e-3


@pytest.mark.parametrize("fibre", [None, sign(D4), regular(D4)], ids=["trivial", "sign", "regular"])
def test_the_average_of_maps_is_the_formula_and_exact(fibre):
    out = SignalSpace(square_grid(6, D4), fibre)
    channels = out.fibre.size
    conv = nn.Conv2d(
        1, channels, 5, padding=2
    ).double()  # on 3 × 3 no filter changes its sign with each mirror
    model = nn.Sequential(conv, nn.Unflatten(1, (1, *out.fibre.axis)))
    x, made = images(), averaged(model, IMAGES, out)
    slow = sum(out.act(D4.inverse[g], model(IMAGES.act(g, x))) for g in range(8)) / 8
    assert relative_error(made(x), slow) <= 1e-12
    assert_equivariant(made, x, IMAGES, out)
    assert (
        max(equivariance_errors(model, x, IMAGES, out).values()) > 0.1
    )  # the model itself is nothing of the kind


def test_maps_have_to_be_taken_back_by_the_inverse():
    conv, x = nn.Conv2d(1, 1, 3, padding=1).double(), images()
    forward = lambda x: sum(IMAGES.act(g, conv(IMAGES.act(g, x))) for g in range(8)) / 8
    assert max(equivariance_errors(forward, x, IMAGES, IMAGES).values()) > 0.1


@pytest.mark.parametrize(
    ("space", "shape"),
    [
        (SignalSpace(torus(4, cyclic(4))), (2, 3, 4, 4)),
        (SignalSpace(nodes(4)), (5, 2, 4)),
        (SignalSpace(square_grid(4, cyclic(4)), regular(cyclic(4))), (3, 2, 4, 4, 4)),
    ],
    ids=["torus", "nodes", "lifted"],
)
def test_any_finite_group_does(space, shape):
    x = torch.randn(shape, dtype=torch.float64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 5), nn.Tanh()).double()
    assert_equivariant(averaged(model, space), x, space)
    assert max(equivariance_errors(model, x, space).values()) > 0.1


def test_on_a_mask():
    group = cyclic(6)
    space = SignalSpace(hexagonal_grid(5, group))
    x = torch.randn(2, 1, 5, 5, dtype=torch.float64) * torch.from_numpy(space.domain.mask)
    model = nn.Sequential(nn.Flatten(), nn.Linear(25, 3)).double()
    assert_equivariant(averaged(model, space), x, space)


def test_it_is_a_projection():
    model, x = classifier(), images()
    once = averaged(model, IMAGES)
    assert relative_error(averaged(once, IMAGES)(x), once(x)) <= 1e-12
    kernel = square_grid(3, D4)
    equivariant = nn.Sequential(LiftingConv(kernel, 1, 2, padding=1), GroupConv(kernel, 2, 1), GroupPool())
    invariant = nn.Sequential(equivariant, nn.Flatten(1), nn.Linear(16, 16))  # reads a map point by point
    summed = nn.Sequential(equivariant, nn.AdaptiveAvgPool2d(1)).double()
    assert relative_error(averaged(summed, IMAGES)(x), summed(x)) <= 1e-12
    assert relative_error(averaged(invariant.double(), IMAGES)(x), invariant(x)) > 1e-3


def test_it_is_trained_and_stays_exact_with_batch_norm():
    model = averaged(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)),
        IMAGES,
    ).double()
    x, y = images(8), torch.arange(8) % 3
    assert_equivariant(model, x, IMAGES)  # in training mode: statistics are those of whole orbits
    nn.functional.cross_entropy(model(x), y).backward()
    assert all(p.grad.abs().sum() > 0 for p in model.model[0].parameters() if p.ndim > 1)
    assert_equivariant(model.eval(), x, IMAGES)
    alone = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(36, 3)).double()
    each = lambda x: sum(alone(IMAGES.act(g, x)) for g in range(8)) / 8
    before = alone[0].running_mean.clone()
    averaged(alone, IMAGES)(x)
    after_one = alone[0].running_mean - before
    each(x)  # the loop would update the statistics eight times
    assert relative_error(alone[0].running_mean - before, after_one) > 0.5


def test_it_has_the_models_parameters_and_no_more():
    model = classifier()
    assert list(averaged(model, IMAGES).parameters()) == list(model.parameters())
    assert "square grid" in repr(averaged(model, IMAGES, IMAGES))


def test_what_is_refused():
    with pytest.raises(ValueError, match="space_out: belongs to"):
        averaged(classifier(), IMAGES, SignalSpace(square_grid(6, cyclic(4))))
    with pytest.raises(ValueError, match=r"x: got shape \(6, 6\); give \(batch"):
        averaged(classifier(), IMAGES)(torch.zeros(6, 6))
    with pytest.raises(ValueError, match="x: got shape"):
        averaged(classifier(), IMAGES)(torch.zeros(2, 1, 5, 5))
    assert averaged(classifier(), IMAGES)(images()[:, 0]).shape == (4, 3)  # without channels it goes


def test_it_is_exported_with_an_open_batch():
    model = averaged(classifier(), IMAGES)
    x = images(3)
    exported = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("b", min=1, max=64)},))
    assert torch.allclose(exported.module()(x[:2]), model(x[:2]))


def test_a_model_that_gives_no_tensor_is_named():
    class Named(nn.Module):
        def forward(self, x):
            return {"out": x}

    with pytest.raises(TypeError, match="model: gave dict"):
        averaged(Named(), IMAGES)(images())
