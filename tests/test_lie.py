"""Lie derivatives: against derivatives written out by hand, zero where nothing is lost, along fibres, and through any model."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import pad

from gdl_utils.domains import disk
from gdl_utils.equivariance import LieDerivatives, lie, lie_derivatives
from gdl_utils.groups import cyclic, dihedral
from gdl_utils.layers import GlobalPool, GroupConv, GroupPool, LiftingConv
from gdl_utils.pictures import brightened, contrasted, recoloured, sheared, shifted, tilted, turned
from gdl_utils.representations import irreps, sign

A = -0.5  # of the cubic convolution that pictures.py reads with
SAME = lambda y, amount: y
GEOMETRY = [turned, shifted, sheared, tilted]
moves = pytest.mark.parametrize("change", GEOMETRY, ids=lambda f: f.__name__)


class Model(nn.Module):
    """Parts, and what is done with them."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.parts, self.run = nn.ModuleDict(parts), forward

    def forward(self, x):
        return self.run(self.parts, x)


def picture(n=2, channels=1, side=6, margin=4):
    """Noise within an empty margin, so that nothing leaves the frame."""
    return pad(torch.rand(n, channels, side, side, dtype=torch.float64), (margin,) * 4)


def smooth(n=21, sigma=2.5, scale=1.0):
    row, column = torch.meshgrid(*[torch.arange(n).double() - (n - 1) / 2] * 2, indexing="ij")
    spots = ((1, 3, -2), (-0.7, -3, 1), (0.8, 0, 4))
    away = lambda x, y: (column - scale * x) ** 2 + (row - scale * y) ** 2
    drawn = [a * torch.exp(-away(x, y) / (2 * sigma**2)) for a, x, y in spots]
    return sum(drawn)[None, None]


def ring(y):
    """The mean of each map along its edge, pixel for pixel, as a map."""
    height, width = y.shape[-2:]
    edge = [
        (i, j) for i in range(height) for j in range(width) if i in (0, height - 1) or j in (0, width - 1)
    ]
    mean = sum(y[..., i, j] for i, j in edge) / len(edge)
    return mean[..., None, None].expand(y.shape)


def last(model, x, change, change_out=None):
    return lie_derivatives(model, x, change, change_out).rows[-1].error


def test_a_linear_model_of_shifted_pictures_errs_by_the_derivative_of_the_interpolation():
    height, width = 5, 7
    x, weight = 2 + torch.randn(2, 1, height, width).double(), torch.randn(3, height * width).double()
    slope = torch.zeros_like(x)  # per pixel, to the right: what stands left of a pixel comes in
    inside = x - ring(x)  # a picture goes on beyond its edge at its mean along the edge
    for i in range(height):
        for j in range(width):
            left = inside[:, :, i, j - 1] if j > 0 else 0
            right = inside[:, :, i, j + 1] if j < width - 1 else 0
            slope[:, :, i, j] = A * (right - left)
    dense = nn.Linear(height * width, 3, bias=False).double()
    dense.weight.data = weight
    model = nn.Sequential(nn.Flatten(), dense)
    by_hand = (width * slope.flatten(1) @ weight.T).norm() / (x.flatten(1) @ weight.T).norm()
    assert last(model, x, shifted) == pytest.approx(by_hand.item(), rel=1e-4)  # by a step
    assert last(model, x.flip(2), shifted) != pytest.approx(by_hand.item(), rel=1e-3)
    if_empty_outside = last(model, x, lambda y, amount: shifted(y, amount), SAME)  # the control
    assert if_empty_outside != pytest.approx(by_hand.item(), rel=1e-3)


def test_light_changes_a_linear_model_by_its_sums():
    x, dense = torch.randn(2, 1, 4, 4).double(), nn.Linear(16, 3).double().requires_grad_(False)
    model = nn.Sequential(nn.Flatten(), dense)
    sums = dense.weight.sum(1).expand(2, 3)
    assert last(model, x, brightened, SAME) == pytest.approx(float(sums.norm() / model(x).norm()), rel=1e-6)
    off = (x - x.mean((1, 2, 3), keepdim=True)).flatten(1) @ dense.weight.T
    assert last(model, x, contrasted, SAME) == pytest.approx(float(off.norm() / model(x).norm()), rel=1e-6)


@moves
def test_what_is_done_to_each_pixel_alone_loses_nothing_and_a_bias_is_no_loss(change):
    pointwise = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Identity(), nn.Conv2d(3, 2, 1)).double()
    rows = lie_derivatives(pointwise, picture(channels=2), change).rows
    assert [row.reading for row in rows] == ["map"] * 3 and max(row.error for row in rows) <= 1e-8
    ramp = Model(lambda m, x: m["conv"](x) * torch.linspace(0.5, 1.5, 14).double(), conv=nn.Conv2d(2, 3, 1))
    assert last(ramp.double(), picture(channels=2), change) > 1e-3 or change is tilted
    column = torch.linspace(0.5, 1.5, 14).double()[:, None]
    ramp.run = lambda m, x: m["conv"](x) * column
    assert last(ramp, picture(channels=2), change) > 1e-3 or change is shifted


def test_a_padded_convolution_and_a_mean_do_not_mind_shifts_and_do_turns():
    conv = lambda channels: nn.Conv2d(channels, 4, 3, padding=1, bias=False)
    model, x = nn.Sequential(conv(1), conv(4), nn.AvgPool2d(14)).double(), picture()
    rows = lie_derivatives(model, x, shifted).rows
    assert max(row.error for row in rows) <= 1e-7
    turns = lie_derivatives(model, x, turned).rows
    assert min(row.error for row in turns[:2]) > 1e-3
    edge = torch.rand(
        2, 1, 14, 14
    ).double()  # where there is no margin the mean minds, for something comes in
    assert last(nn.AvgPool2d(14), edge, shifted) > 0.05


def test_a_nonlinearity_errs_between_the_pixels():
    blunt, relu = nn.Identity(), nn.ReLU()
    x = picture() - pad(torch.full((1, 1, 6, 6), 0.5).double(), (4,) * 4)
    assert last(blunt, x, shifted) <= 1e-9 and last(relu, x, shifted) > 0.01


@pytest.mark.parametrize("degrees", [1e-3, -1e-3])
def test_it_is_what_a_small_turn_does(degrees):
    x = smooth()
    dense = nn.Sequential(nn.Flatten(), nn.Linear(441, 5)).double().requires_grad_(False)
    conv = nn.Conv2d(1, 3, 3, padding=1, bias=False).double().requires_grad_(False)
    ratio = lambda y, wanted, of: float((y - wanted).norm() / of.norm()) / abs(degrees)
    on = lambda y: turned(y - ring(y), degrees) + ring(y)
    turn = on(x)
    y = dense(x)
    assert last(dense, x, turned) == pytest.approx(ratio(dense(turn), y, y), rel=1e-3)
    y = conv(x)
    assert last(conv, x, turned) == pytest.approx(ratio(conv(turn), on(y), y), rel=1e-3)
    assert last(conv, x, turned) != pytest.approx(ratio(conv(turn), y, y), rel=0.05)  # had it not to turn


def lifted(group, fibre=None):
    return LiftingConv(disk(5, group, frequencies=[0, 2, 2]), 1, 2, padding=2, fibre_out=fibre).double()


FIBRES = {
    "C8": (cyclic(8), None),
    "D8": (dihedral(8), None),
    "C16": (cyclic(16), None),
    "C8, a vector": (cyclic(8), irreps(cyclic(8))[1]),
    "D8, a vector": (dihedral(8), next(rho for rho in irreps(dihedral(8)) if rho.size == 2)),
    "C8, a wave of 2": (cyclic(8), irreps(cyclic(8))[2]),
}


@pytest.mark.parametrize("name", FIBRES)
def test_a_fibre_turns_along_and_not_the_other_way_round(name, monkeypatch):
    model, x, generator, errors = lifted(*FIBRES[name]), smooth(), lie._per_degree, {}
    for factor in (1, 0, -1, 0.5, 1.5):
        monkeypatch.setattr(lie, "_per_degree", lambda fibre, factor=factor: factor * generator(fibre))
        (row,) = lie_derivatives(model, x, turned).rows
        assert row.reading == f"map, {model.fibre_out.name} fibre"
        errors[factor] = row.error
    assert errors[1] < min(errors[0], errors[-1] / 2, 2 * errors[0.5], 2 * errors[1.5]) / 5
    other = lambda y, amount: turned(y, amount)  # of another change nothing is known
    (row,) = lie_derivatives(model, x, other).rows
    assert row.reading == "map" and row.error == pytest.approx(errors[0], rel=1e-9)
    for change_out in (other, turned):  # nor where another is asked for
        (row,) = lie_derivatives(model, x, turned, change_out).rows
        assert row.reading == "map" and row.error > 3 * errors[1]


class Gradient(nn.Module):
    """By central differences, to the right and upwards: a field of vectors, whose fibre is said to be this."""

    def __init__(self, fibre):
        super().__init__()
        self.fibre_out = fibre

    def forward(self, x):
        x = pad(x, (1,) * 4)
        right, up = x[..., 1:-1, 2:] - x[..., 1:-1, :-2], x[..., :-2, 1:-1] - x[..., 2:, 1:-1]
        return torch.stack([right, up], 2)


@pytest.mark.parametrize("group", [cyclic(5), cyclic(8), dihedral(8)], ids=lambda g: g.name)
def test_a_layer_with_which_nothing_is_wrong_errs_the_less_the_finer_the_pixels(group):
    """Gradients turn as vectors: what is left is of second order in the pixels; with the wrong fibre, or none, all of it stays."""
    vector, *others = (rho for rho in irreps(group) if rho.size == 2)
    true, wrong, none = (
        [last(Gradient(f), smooth(n, 1.6 * n / 21, n / 21), turned) for n in (41, 81)]
        for f in (vector, others[0], None)
    )
    assert true[0] < 1e-3 and true[0] / true[1] == pytest.approx(4, rel=0.15)
    assert wrong == pytest.approx([math.pi / 180] * 2, rel=0.05)  # radians per degree, once too often
    assert none == pytest.approx([math.pi / 180] * 2, rel=0.05)


@pytest.mark.parametrize("group", [cyclic(5), cyclic(8), dihedral(8)], ids=lambda g: g.name)
def test_the_generator_makes_the_matrix_of_a_turn_but_for_signs(group):
    for rho in irreps(group):
        generator = lie._per_degree(rho)
        power = torch.linalg.matrix_exp(generator * 360 / group.degree)
        matrix = torch.from_numpy(rho.matrices[group.generators[0]].copy()).double()
        assert generator.dtype == torch.float64 and (generator + generator.T).abs().max() <= 1e-12
        if (matrix == -1).all():  # which has no generator
            assert not generator.any()
        else:
            assert (power - matrix).abs().max() <= 1e-9
            assert rho.size == 1 or (power.T - matrix).abs().max() > 0.1
    assert not lie._per_degree(sign(dihedral(8))).any()


def test_c8_with_a_disk_errs_less_than_a_dense_layer_and_pooling_forgets_the_fibre():
    kernel = disk(5, cyclic(8), frequencies=[0, 2, 2])
    layers = lifted(cyclic(8)), GroupConv(kernel, 2, 2, padding=2).double(), GroupPool(), GlobalPool(2)
    rows = lie_derivatives(nn.Sequential(*layers), smooth(), turned).rows
    assert [row.reading for row in rows] == ["map, regular fibre"] * 2 + ["map", "no place"]
    dense = nn.Sequential(nn.Flatten(), nn.Linear(441, 16)).double()
    assert 4 * rows[-1].error < last(dense, smooth(), turned)


def test_features_that_do_not_notice_light_are_said_to_and_others_not():
    x = torch.rand(2, 3, 5, 5).double()
    centred = Model(lambda m, x: x - x.mean((2, 3), keepdim=True))
    assert last(centred, x, brightened, SAME) <= 1e-9
    grey = Model(lambda m, x: x.mean(1, keepdim=True))
    assert last(grey, x, recoloured, SAME) <= 1e-9
    number = math.sqrt(x.numel()) / x.norm().item()
    assert last(nn.Identity(), x, brightened, SAME) == pytest.approx(number, rel=1e-6)
    assert last(nn.Identity(), x, recoloured, SAME) > 1e-3
    assert last(nn.Identity(), x, brightened) <= 1e-9  # taken to change as pictures do, it does all right
    assert last(centred, x, brightened) == pytest.approx(math.sqrt(x.numel()) / centred(x).norm().item())


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.ReLU(), nn.Flatten())
    model.double()[1].eval()
    before, x, state = copy.deepcopy(model.state_dict()), picture(), torch.get_rng_state()
    kept = x.clone()
    report = lie_derivatives(model, x, turned)
    assert [m.training for m in model] == [True, False, True, True, True] and model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(x, kept) and torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    model.eval()  # dropout was off: the numbers are those of evaluation
    assert [row.error for row in lie_derivatives(model, x, turned).rows] == [r.error for r in report.rows]
    noisy = Model(lambda m, x: nn.functional.dropout(x, 0.5))  # the control, which draws in evaluation too
    with pytest.raises(
        ValueError, match="model: model gives other numbers for the same input; it draws some"
    ):
        lie_derivatives(noisy, x, turned)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_flattened_map_is_read_as_one_still():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(392, 3)).double()
    conv, flat, dense = lie_derivatives(model, picture(), turned).rows
    assert (conv.reading, flat.reading, dense.reading) == ("map", "map, flattened", "no place")
    assert flat.error == pytest.approx(conv.error, rel=1e-9) and dense.error > 1e-3
    order = torch.randperm(392)
    shuffled = nn.Sequential(model[0], Model(lambda m, x: x.flatten(1)[:, order]))
    assert last(shuffled, picture(), turned) > 2 * flat.error  # the control: no longer where it was


def test_models_of_odd_outputs_have_a_row_for_each():
    x, conv = picture(), nn.Conv2d(1, 1, 3, padding=1).double()
    rows = lie_derivatives(nn.Sequential(conv, nn.ReLU(), conv), x, turned).rows
    assert [row.name for row in rows] == ["0", "1", "0"]  # shared: once for each call
    memory = nn.LSTM(14, 3, batch_first=True).double()
    rows = lie_derivatives(Model(lambda m, x: m["a"](x[:, 0]), a=memory), x, turned).rows
    assert len(rows) == 3 and {row.reading for row in rows} == {"no place"}
    named = Model(lambda m, x: {"map": m["a"](x), "sum": x.sum((1, 2, 3))}, a=conv)
    rows = lie_derivatives(named, x, turned).rows
    assert [row.reading for row in rows] == ["map", "no place"] and rows[-1].name == "output['sum']"

    def tokens(m, x):
        h = m["patches"](x).flatten(2).transpose(1, 2)
        return m["head"](m["attend"](h, h, h)[0].mean(1))

    parts = {"patches": nn.Conv2d(1, 8, 7, 7), "attend": nn.MultiheadAttention(8, 2, batch_first=True)}
    transformer = Model(tokens, **parts, head=nn.Linear(8, 3)).double()
    rows = lie_derivatives(transformer, x, turned).rows
    assert rows[0].reading == "map" and rows[-1].shape == (2, 3) and rows[-1].error > 0
    scalar = lie_derivatives(Model(lambda m, x: x.sum()), x, turned).rows
    assert scalar[0].shape == () and "1" in str(lie_derivatives(Model(lambda m, x: x.sum()), x, turned))


def test_outputs_that_are_zero_show_nothing():
    dead = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten()).double()
    assert "shows nothing" not in str(lie_derivatives(dead, picture(), turned))
    with torch.no_grad():
        dead[0].bias -= 100
    report = lie_derivatives(dead, picture(), turned)
    assert [math.isnan(row.error) for row in report.rows] == [False, True, True]
    assert str(report).count("shows nothing") == 2


def test_it_is_shown_as_a_table():
    report = lie_derivatives(nn.Conv2d(1, 2, 3, padding=1).double(), picture(), sheared)
    assert isinstance(report, LieDerivatives) and report.change == "sheared"
    head, line = str(report).splitlines()
    assert head.split("  ")[0] == "layer" and "error per unit of sheared" in head
    assert "2×14×14" in line and line.endswith("Conv2d")
    assert "<table" in report._repr_html_()
    assert lie_derivatives(nn.Identity(), picture(), lambda x, t: turned(x, t)).change == "<lambda>"


def test_each_of_several_pictures_counts():
    x, model = picture(3), nn.Conv2d(1, 2, 3, padding=1, bias=False).double()
    errors = [last(model, x[i : i + 1], turned) for i in range(3)]
    sizes = [model(x[i : i + 1]).norm().item() for i in range(3)]
    together = math.hypot(*(e * s for e, s in zip(errors, sizes, strict=True))) / math.hypot(*sizes)
    assert last(model, x, turned) == pytest.approx(together, rel=1e-6)


def test_what_is_refused():
    model, x = nn.Identity(), picture()
    with pytest.raises(TypeError, match=r"model: got function; give an nn\.Module"):
        lie_derivatives(lambda x: x, x, turned)
    with pytest.raises(TypeError, match="model: puts out no tensor"):
        lie_derivatives(Model(lambda m, x: None), x, turned)
    with pytest.raises(ValueError, match=r"x: got torch.float32, \(2, 1, 14, 14\); give float64 pictures"):
        lie_derivatives(model, x.float(), turned)
    with pytest.raises(ValueError, match=r"x: got torch.float64, \(1, 14, 14\); give float64 pictures"):
        lie_derivatives(model, x[0], turned)
    assert lie_derivatives(model, x, turned).rows
    for change in (
        lambda y, amount: y[..., 1:],
        lambda y, amount: 2 * y,
        lambda y, amount: brightened(y, amount + 1e-3),
    ):
        with pytest.raises(
            ValueError, match="change: with amount 0 it must leave pictures, and their shape, as"
        ):
            lie_derivatives(model, x, change, SAME)


def test_a_model_in_single_precision_is_refused_in_words():
    model, x = nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1)), picture()
    with pytest.raises(ValueError, match=r"model: its weights are torch.float32; convert it by model.double"):
        lie_derivatives(model, x, turned)
    assert lie_derivatives(model.double(), x, turned).rows


@moves
def test_a_picture_that_is_the_same_everywhere_stays_so(change):
    ones = torch.ones(2, 3, 7, 9).double()
    for model in (nn.Identity(), nn.Sequential(nn.Flatten())):
        (row,) = lie_derivatives(model, ones, change).rows
        assert row.error == 0 and row.reading.startswith("map")
    assert last(nn.Flatten(), ones, change, SAME) > 1e-3  # the control: what comes in from outside is 0


def test_a_layer_that_works_in_place_leaves_the_input_and_the_numbers_alone():
    x = picture() - 0.3
    kept, conv = x.clone(), nn.Conv2d(1, 2, 3, padding=1).double()
    inplace, plain = (
        nn.Sequential(nn.ReLU(inplace=how), conv, nn.ReLU(inplace=how)) for how in (True, False)
    )
    rows = lie_derivatives(inplace, x, turned).rows
    assert torch.equal(x, kept)
    assert [row.error for row in rows] == [row.error for row in lie_derivatives(plain, x, turned).rows]
    inplace(x)
    assert not torch.equal(x, kept)  # the control: it does work in place


def test_an_input_that_is_flattened_at_once_is_read_as_a_map():
    x = picture()
    flat, dense = lie_derivatives(nn.Sequential(nn.Flatten(), nn.Linear(196, 3)).double(), x, turned).rows
    assert (flat.reading, dense.reading) == ("map, flattened", "no place")
    assert flat.error == 0 and dense.error > 1e-3


def test_outputs_that_are_whole_numbers_have_no_row():
    pool = nn.MaxPool2d(2, return_indices=True)
    rows = lie_derivatives(Model(lambda m, x: m["a"](x)[0], a=pool), picture(), turned).rows
    (value,) = lie_derivatives(Model(lambda m, x: m["a"](x), a=nn.MaxPool2d(2)), picture(), turned).rows
    assert [row.shape for row in rows] == [(2, 1, 7, 7)] == [value.shape]
    (row,) = lie_derivatives(pool, picture(), turned).rows
    assert row.reading == "map" and row.error > 1e-3


def test_an_output_of_size_0_shows_nothing():
    rows = lie_derivatives(
        Model(lambda m, x: {"none": x[:, :0].flatten(1), "some": x}), picture(), turned
    ).rows
    assert [math.isnan(row.error) for row in rows] == [True, False]
