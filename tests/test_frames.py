"""Frames: the formula, exact under quarter-turns for any model, continuous with several orders and not with one."""

import cmath
import copy
import io
import math
import pickle
from itertools import pairwise

import pytest
import torch
from torch import nn

from gdl_utils.domains import square_grid
from gdl_utils.equivariance import assert_equivariant, equivariance_errors, relative_error
from gdl_utils.groups import cyclic
from gdl_utils.layers import frame_averaged
from gdl_utils.pictures import turned

C4 = cyclic(4)
ORDERS = [(1,), (2,), (1, 2, 3), (3, 1), (4,), (5, 2)]
orders = pytest.mark.parametrize("orders", ORDERS, ids=str)


def network(side=7, channels=1, outputs=3):
    conv = nn.Conv2d(channels, 4, 3)
    return nn.Sequential(
        conv, nn.ReLU(), nn.Flatten(), nn.Linear(4 * (side - 2) ** 2, 8), nn.Tanh(), nn.Linear(8, outputs)
    ).double()


def pictures(n=3, channels=1, side=7):
    return torch.randn(n, channels, side, side, dtype=torch.float64)


def moment(picture, m):
    """Σ ink · r³ · exp(i m angle) of one picture (channels, height, width), pixel for pixel."""
    _, height, width = picture.shape
    z = 0
    for row in range(height):
        for column in range(width):
            place = complex(column - (width - 1) / 2, (height - 1) / 2 - row)
            z += (
                float(picture[:, row, column].sum())
                * abs(place) ** 3
                * cmath.exp(1j * m * cmath.phase(place))
            )
    return z


def slow(model, x, orders):
    answers = []
    for picture in x:
        total, weights = 0, 0
        for m in orders:
            z = moment(picture, m)
            for k in range(m):
                angle = (cmath.phase(z) + 2 * math.pi * k) / m
                total = total + abs(z) * model(turned(picture[None], -math.degrees(angle)))[0] / m
            weights += abs(z)
        answers.append(total / weights)
    return torch.stack(answers)


@orders
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 7, 7), (3, 6, 6), (2, 5, 8)])
def test_it_is_the_formula(orders, channels, height, width):
    x = torch.randn(2, channels, height, width, dtype=torch.float64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, 4), nn.Tanh()).double()
    made = frame_averaged(model, orders)(x)
    assert relative_error(made, slow(model, x, orders)) <= 1e-12
    assert relative_error(made, slow(model, x, (6,))) > 1e-3 and relative_error(made, model(x)) > 1e-3


@orders
@pytest.mark.parametrize("side", [6, 7])
def test_any_network_is_invariant_to_quarter_turns(orders, side):
    x, model = pictures(side=side), network(side)
    assert_equivariant(frame_averaged(model, orders), x, square_grid(side, C4))
    assert max(equivariance_errors(model, x, square_grid(side, C4)).values()) > 0.1
    fixed = lambda x: model(turned(x, 20))  # turned, but by no angle of its own
    assert max(equivariance_errors(fixed, x, square_grid(side, C4)).values()) > 0.1


def test_it_is_exact_in_single_precision_too():
    model = network().float()
    assert_equivariant(frame_averaged(model), pictures().float(), square_grid(7, C4))
    assert max(equivariance_errors(model, pictures().float(), square_grid(7, C4)).values()) > 0.1


def blob(degrees, n=33):
    """Two spots of different weight, drawn anew at an angle."""
    row, column = torch.meshgrid(*[torch.arange(n).double() - (n - 1) / 2] * 2, indexing="ij")
    picture = 0
    for ink, place in ((1, 7 + 2j), (0.6, -3 + 4j), (0.8, 1 - 6j)):
        at = place * cmath.exp(1j * math.radians(degrees))
        picture = picture + ink * torch.exp(-((column - at.real) ** 2 + (-row - at.imag) ** 2) / 8)
    return picture[None, None]


def test_the_angles_turn_with_the_picture_by_any_angle():
    frame = frame_averaged(nn.Identity()).frame
    angles, weights = frame(torch.cat([blob(0), blob(37)]))
    gap = angles[1] - angles[0] - 37
    for m, start in ((1, 0), (2, 1), (3, 3)):  # up to a 1/m-th of a turn, by which the poses change places
        off = gap[start : start + m] / (360 / m)
        assert (off - off.round()).abs().max() < 1e-3
        mirror = (angles[1] + angles[0] - 37)[start : start + m] / (360 / m)  # the control
        assert (mirror - mirror.round()).abs().max() > 0.01
    assert relative_error(weights[1], weights[0]) < 1e-3
    assert (weights.sum(1) - 1).abs().max() <= 1e-12


@pytest.mark.parametrize("orders", [(1,), (2,), (1, 2, 3)], ids=str)
def test_what_other_turns_change_is_what_reading_off_makes_up(orders):
    model = nn.Sequential(nn.Flatten(), nn.Linear(33 * 33, 5)).double()
    plain = relative_error(model(blob(37)), model(blob(0)))
    framed = frame_averaged(model, orders)
    assert relative_error(framed(blob(37)), framed(blob(0))) < 0.1 < 0.3 < plain


def jumps(orders, start, direction):
    """How far the answer moves across the middle of a line, for steps that shrink by ten each."""
    model = frame_averaged(network(), orders)
    with torch.no_grad():
        ends = [[model(start + sign * step * direction) for sign in (-1, 1)] for step in (1e-2, 1e-3, 1e-4)]
    return [relative_error(*pair) for pair in ends]


def without(x, m):
    """A picture without its m-th moment: what carries it is taken out."""
    row, column = torch.meshgrid(*[torch.arange(7).double() - 3] * 2, indexing="ij")
    angle, cubed = torch.atan2(-row, column), torch.hypot(row, column) ** 3
    for wave in (cubed * (m * angle).cos(), cubed * (m * angle).sin()):
        x = x - (x * wave).sum() / wave.square().sum() * wave
    return x


@pytest.mark.parametrize("order", [1, 2, 3])
def test_one_order_jumps_where_its_moment_is_zero_and_three_do_not(order):
    x, direction = without(3 * pictures(1), order), pictures(1)
    before, after = (moment((x + s * 1e-3 * direction)[0], order) for s in (-1, 1))
    assert abs(cmath.phase(before / -after)) < 1e-6  # the line goes through 0 and out on the other side
    alone = jumps((order,), x, direction)
    assert min(alone) > 0.02 and alone[2] == pytest.approx(alone[1], rel=0.1)  # however small the step
    together = jumps((1, 2, 3), x, direction)
    assert together[2] < alone[2] / 100
    for large, small in pairwise(together):
        assert large / small == pytest.approx(10, rel=0.2)


def test_a_constant_background_adds_nothing_to_orders_that_are_no_multiple_of_four():
    x, frame = pictures(2), frame_averaged(nn.Identity(), (1, 2, 3)).frame
    assert relative_error(frame(x + 5)[0].cos(), frame(x)[0].cos()) <= 1e-10
    four = frame_averaged(nn.Identity(), (4,)).frame
    assert relative_error(four(x + 5)[0], four(x)[0]) > 0.01


def test_the_moment_is_not_that_of_the_centre_of_mass():
    """A picture whose centre of mass is its middle has a first direction still."""
    x = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    x[0, 0, 4, 7], x[0, 0, 4, 3] = 1, 3  # 3 · 1 to the right, 1 · 3 to the left
    assert (x[0, 0].sum(0) @ (torch.arange(9).double() - 4)).abs() <= 1e-12
    angles, _ = frame_averaged(nn.Identity(), (1,)).frame(x)
    assert angles.item() == pytest.approx(0, abs=1e-9)  # 27 to the right, 3 to the left
    x[0, 0, 4, 3] = 60
    assert abs(frame_averaged(nn.Identity(), (1,)).frame(x)[0].item()) == pytest.approx(180)


def test_gradients_are_those_of_the_answer_and_reach_the_model():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(25, 2)).double()
    x = pictures(2, side=5).requires_grad_()
    assert torch.autograd.gradcheck(frame_averaged(linear), x)
    model = frame_averaged(network())
    nn.functional.cross_entropy(model(pictures(6)), torch.arange(6) % 3).backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
    assert not any(p.grad is not None for p in network().parameters())


@orders
@pytest.mark.parametrize("upstream", [lambda x: 0 * x, lambda x: x], ids=["empty", "not empty"])
def test_what_learns_in_front_of_it_gets_finite_gradients(orders, upstream):
    first = nn.Conv2d(1, 1, 3, padding=1, bias=False).double()
    x = upstream(torch.cat([pictures(1), torch.zeros(1, 1, 7, 7).double()]))
    made = frame_averaged(network(), orders)(first(x))
    made.square().sum().backward()
    assert made.isfinite().all() and first.weight.grad.isfinite().all()
    assert bool(first.weight.grad.any()) == bool(x.any())


def test_an_empty_picture_is_answered_by_the_mean_over_its_poses():
    model, x = network(), torch.zeros(2, 1, 7, 7, dtype=torch.float64)
    assert relative_error(frame_averaged(model)(x), model(x)) <= 1e-12
    _, weights = frame_averaged(model).frame(x)
    assert (weights - 1 / 6).abs().max() <= 1e-12


def test_it_learns_what_the_bare_model_does_not_see_under_turns():
    torch.manual_seed(0)
    x, model = pictures(16), frame_averaged(nn.Sequential(nn.Flatten(), nn.Linear(49, 16), nn.ReLU(), nn.Linear(16, 2)).double())  # fmt: skip
    y = torch.arange(16) % 2
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(25):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    turn = x.rot90(1, (2, 3))
    right = lambda model, x: (model(x).argmax(1) == y).double().mean()
    assert right(model, turn) == right(model, x) > 0.8
    assert right(model.model, turn) < right(model, turn)


@orders
def test_each_picture_is_answered_for_itself(orders):
    x, model = pictures(4), frame_averaged(network(), orders)
    alone = torch.cat([model(picture[None]) for picture in x])
    assert model(x[:1]).shape == (1, 3) and relative_error(model(x), alone) <= 1e-12
    assert relative_error(model(x), alone.flip(0)) > 0.01


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4)], ids=str)
def test_what_the_model_says_may_have_any_axes(shape):
    class Says(nn.Module):
        def forward(self, x):
            numbers = x.flatten(1).cumsum(1)[:, : max(1, math.prod(shape))]
            return numbers.reshape(len(x), *shape)

    x = pictures()
    made = frame_averaged(Says())(x)
    assert made.shape == (3, *shape) and relative_error(made, slow(Says(), x, (1, 2, 3))) <= 1e-12


def test_batch_norm_sees_all_poses_at_once_and_evaluation_is_exact():
    model = frame_averaged(nn.Sequential(nn.BatchNorm2d(1), network()).double())
    x = pictures(6)
    assert_equivariant(model, x, square_grid(7, C4))  # in training mode
    assert int(model.model[0].num_batches_tracked) == 1 + 4
    assert_equivariant(model.eval(), x, square_grid(7, C4))
    assert max(equivariance_errors(model.model, x, square_grid(7, C4)).values()) > 0.1


def test_it_is_copied_pickled_saved_and_loaded():
    model, x = frame_averaged(network(), (1, 3)), pictures()
    y = model(x)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in (
        copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.load(file, weights_only=False)
    ):  # fmt: skip
        assert torch.equal(other(x), y) and other.orders == (1, 3)
    torch.manual_seed(7)
    fresh = frame_averaged(network(), (1, 3))
    assert relative_error(fresh(x), y) > 0.01
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(x), y)
    assert list(model.state_dict()) == [f"model.{key}" for key in model.model.state_dict()]
    assert list(model.parameters()) == list(model.model.parameters()) and "orders=(1, 3)" in repr(model)


def test_it_goes_through_another_type_and_back():
    model, x = frame_averaged(network()).eval(), pictures()
    there_and_back = copy.deepcopy(model).float()
    assert there_and_back(x.float()).dtype == torch.float32
    assert relative_error(there_and_back.double()(x), copy.deepcopy(model).float().double()(x)) <= 1e-12


def test_an_input_is_not_written_to_whatever_the_model_does():
    x = pictures()
    kept = x.clone()
    frame_averaged(nn.Sequential(nn.ReLU(inplace=True), nn.Flatten()))(x)
    assert torch.equal(x, kept)


def test_what_is_refused():
    for wrong in ((), (1, 1), (2, 1, 2)):
        with pytest.raises(ValueError, match=r"orders: got \(.*\); give different ones, at least one"):
            frame_averaged(network(), wrong)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=rf"orders: got {wrong}; give a whole number from 1 upwards"):
            frame_averaged(network(), (2, wrong))
    for wrong in ((1.0, 2.0), (1.5,), (True,), "12"):
        with pytest.raises(TypeError, match=rf"orders: got {wrong[0]!r}; give a whole number"):
            frame_averaged(network(), wrong)
    for wrong in (3, None, {1, 2}):
        with pytest.raises(TypeError, match=rf"orders: got {wrong}; give several, such as \(1, 2, 3\)"):
            frame_averaged(network(), wrong)
    assert frame_averaged(network(), [2, 1]).orders == (2, 1)
    for wrong in (pictures()[0], pictures()[:, None], torch.zeros(7)):
        with pytest.raises(ValueError, match=r"x: got shape .*; give \(n, channels, height, width\)"):
            frame_averaged(network())(wrong)
    with pytest.raises(TypeError, match=r"x: got torch.int64; give real numbers, in a floating type"):
        frame_averaged(network())(pictures().long())


@orders
def test_a_batch_of_none_has_no_answers(orders):
    model = frame_averaged(network(), orders)
    x = pictures(0).requires_grad_()
    assert model(x).shape == (0, 3) and model(pictures(1)).shape == (1, 3)
    model(x).sum().backward()
    assert x.grad.shape == x.shape and not any(p.grad.any() for p in model.parameters())


@orders
@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e20])
def test_ink_of_any_size_gives_the_same_angles_and_finite_gradients(orders, scale):
    plain, linear = pictures().float(), nn.Sequential(nn.Flatten(), nn.Linear(49, 2))
    x, model = (scale * plain).requires_grad_(), frame_averaged(linear, orders)
    for got, expected in zip(model.frame(x), model.frame(plain), strict=True):
        assert relative_error(got, expected) <= 1e-5
    model(x).sum().backward()
    assert x.grad.isfinite().all() and x.grad.any()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("orders", [(1,), (2,), (1, 2, 3), (3, 1), (5, 2)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_picture_without_direction_is_taken_as_it_lies(orders, dtype):
    """What quarter-turns leave alone has rounding for a moment, and rounding points nowhere."""
    some = pictures(1, side=6)
    x = sum(some.rot90(k, (2, 3)) for k in range(4)) / 4
    frame = frame_averaged(nn.Identity(), orders).frame
    starts = [sum(orders[:i]) for i in range(len(orders))]
    angles, weights = frame(x.to(dtype))
    assert not angles[0, starts].any() and (weights.sum(1) - 1).abs() <= 1e-6
    alike = torch.tensor([1 / sum(orders)] * sum(orders)).to(weights)
    assert (weights - alike).abs().max() <= 1e-6
    angles, weights = frame((x + 0.01 * some).to(dtype))  # the control
    assert angles[0, starts].all()
    assert len(orders) == 1 or (weights - alike).abs().max() > 1e-3


def test_autocast_leaves_quarter_turns_exact():
    model, x = frame_averaged(nn.Flatten()), pictures().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert relative_error(model(x.rot90(1, (2, 3))), model(x)) <= 1e-5
        assert relative_error(model.model(x.rot90(1, (2, 3))), model(x)) > 0.1


def test_it_is_exported_with_an_open_batch():
    model = frame_averaged(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    x = torch.rand(3, 1, 8, 8)
    exported = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("b", min=1, max=64)},))
    assert torch.allclose(exported.module()(x[:2]), model(x[:2]), atol=1e-5)
