"""Pictures that are turned, shifted, sheared, tilted and lit otherwise: against loops over pixels, with directions, gradients and errors."""

import cmath
import math

import pytest
import torch

from gdl_utils.data import rotate
from gdl_utils.equivariance import relative_error
from gdl_utils.pictures import brightened, contrasted, recoloured, sheared, shifted, tilted, turned

A = -0.5  # of the cubic convolution that pictures.py reads with
MOVES = {turned: (25.0, -140.0), shifted: (0.13, -0.3), sheared: (0.4, -0.7), tilted: (0.3, -0.55)}
LIGHTS = {brightened: (0.3, -0.2), contrasted: (0.5, -1.3), recoloured: (70.0, -200.0)}
ALL = {**MOVES, **LIGHTS}
moves = pytest.mark.parametrize("change", MOVES, ids=lambda f: f.__name__)
changes = pytest.mark.parametrize("change", ALL, ids=lambda f: f.__name__)


def pictures(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype)


def each(amounts):
    return torch.tensor(amounts, dtype=torch.float64)


def keys(t):
    """The kernel of Keys (1981)."""
    t = abs(t)
    if t <= 1:
        return (A + 2) * t**3 - (A + 3) * t**2 + 1
    return A * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


def came_from(change, x, y, width, amount):
    """Where a point (x, y) of the new picture was, in pixels from the middle, y downwards."""
    if change is turned:  # back, which is clockwise
        z = complex(x, -y) * cmath.exp(-1j * math.radians(amount))
        return z.real, -z.imag
    if change is shifted:
        return x - amount * width, y
    return x + amount * y, y  # sheared: a row y below the middle went to the left by that


def slow(change, picture, amount):
    """Read one picture (…, height, width) off, pixel for pixel."""
    height, width = picture.shape[-2:]
    half = max(height, width) / 2
    new = torch.zeros_like(picture)
    for row in range(height):
        for column in range(width):
            x, y = column - (width - 1) / 2, row - (height - 1) / 2
            if change is tilted:  # (x, y) / (1 - tilt · y) solved for what stands there
                y0 = (y / half) / (1 + amount * y / half)
                x, y = x * (1 - amount * y0), y0 * half
            else:
                x, y = came_from(change, x, y, width, amount)
            x, y = x + (width - 1) / 2, y + (height - 1) / 2
            for i in range(max(0, math.floor(y) - 1), min(height, math.floor(y) + 3)):
                for j in range(max(0, math.floor(x) - 1), min(width, math.floor(x) + 3)):
                    new[..., row, column] += keys(y - i) * keys(x - j) * picture[..., i, j]
    return new


@moves
@pytest.mark.parametrize("shape", [(5, 5), (4, 7), (6, 3)], ids=str)
def test_each_move_is_its_formula_pixel_for_pixel(change, shape):
    x, amounts = pictures(2, 3, *shape), MOVES[change]
    literal = torch.stack([slow(change, picture, a) for picture, a in zip(x, amounts, strict=True)])
    made = change(x, each(amounts))
    assert relative_error(made, literal) <= 1e-12
    assert relative_error(change(x, each(amounts[::-1])), literal) > 0.1
    assert relative_error(change(x, -each(amounts)), literal) > 0.1  # the other way round


@changes
def test_each_picture_has_its_own_amount_or_all_have_one(change):
    x, amounts = pictures(2, 3, 4, 5), ALL[change]
    alone = torch.cat([change(x[i : i + 1], amounts[i]) for i in range(2)])
    assert relative_error(change(x, each(amounts)), alone) <= 1e-12
    assert relative_error(change(x, amounts[0]), alone) > 0.1
    same = torch.full((2,), amounts[0], dtype=torch.float64)
    for one in (amounts[0], torch.tensor(amounts[0]), same, [amounts[0]] * 2, same.numpy()):
        assert relative_error(change(x, one), change(x, same)) <= 1e-6  # one was rounded to float32


@pytest.mark.parametrize(
    "change", [f for f in ALL if f is not recoloured], ids=lambda f: f.__name__
)  # which needs its channels
def test_axes_between_are_carried_along_and_may_be_none(change):
    x, amounts = pictures(2, 3, 2, 4, 5), each(ALL[change])
    flat = change(x.flatten(1, 2), amounts)
    assert change(x, amounts).shape == x.shape
    assert relative_error(change(x, amounts), flat.view_as(x)) <= 1e-12
    assert relative_error(change(x[:, 0, 0], amounts), change(x[:, :1, 0], amounts)[:, 0]) <= 1e-12
    if change is not contrasted:  # whose mean is that of all channels
        assert relative_error(change(x[:, 0], amounts), change(x, amounts)[:, 0]) <= 1e-12


@changes
def test_amount_0_leaves_a_picture_as_it_is(change):
    for shape in ((2, 3, 5, 5), (2, 3, 4, 7), (1, 3, 1, 1)):
        x = pictures(*shape)
        assert relative_error(change(x, 0), x) <= 1e-12
        if shape[-1] > 1 or change in LIGHTS:  # one pixel alone is its own middle
            assert relative_error(change(x, ALL[change][0]), x) > 0.01


@pytest.mark.parametrize("side", [1, 2, 5, 8])
@pytest.mark.parametrize("quarters", [1, 2, 3, -1, 4, 7])
def test_quarter_turns_of_a_square_are_exact(side, quarters):
    x = pictures(2, 2, side, side)
    assert relative_error(turned(x, 90 * quarters), x.rot90(quarters, (2, 3))) <= 1e-12
    if side > 1:
        assert relative_error(turned(x, 90 * quarters + 1), x.rot90(quarters, (2, 3))) > 1e-3
        assert relative_error(turned(x, 90 * quarters), x.rot90(quarters + 1, (2, 3))) > 0.1


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (6, 6)], ids=str)
@pytest.mark.parametrize("pixels", [1, 3, -2, 8, 20])
def test_shifts_by_whole_pixels_are_exact_and_what_comes_in_is_0(shape, pixels):
    x, width = pictures(2, 1, *shape), shape[1]
    literal = torch.zeros_like(x)
    for column in range(width):
        if 0 <= column - pixels < width:
            literal[..., column] = x[..., column - pixels]
    assert (shifted(x, pixels / width) - literal).norm() <= 1e-12 * x.norm()
    assert (shifted(x, pixels / shape[0]) - literal).norm() > 0.1 or shape[0] == width or not literal.any()


def test_a_half_turn_of_a_picture_that_is_no_square_is_exact():
    x = pictures(2, 1, 4, 7)
    assert relative_error(turned(x, 180), x.flip(2, 3)) <= 1e-12
    assert relative_error(turned(x, 180), x.flip(3)) > 0.1


def test_a_shear_by_whole_pixels_moves_rows_that_are_higher_to_the_right():
    x = pictures(1, 1, 5, 9)
    literal = torch.zeros_like(x)
    for row in range(5):
        for column in range(9):
            if 0 <= column - 2 * (2 - row) < 9:
                literal[..., row, column] = x[..., row, column - 2 * (2 - row)]
    assert relative_error(sheared(x, 2), literal) <= 1e-12
    assert relative_error(sheared(x, -2), literal) > 0.1


def spot(sigma, place, n=41):
    """A Gaussian about a complex number, the imaginary axis upwards, in pixels from the middle."""
    row, column = torch.meshgrid(*[torch.arange(n).double() - (n - 1) / 2] * 2, indexing="ij")
    away = (column - place.real) ** 2 + (-row - place.imag) ** 2
    return torch.exp(-away / (2 * sigma**2))[None]


@pytest.mark.parametrize(
    ("sigma", "away", "cubic", "spline"), [(1, 5, 4.7, 1.6), (2, 6, 0.43, 0.05), (3, 9, 0.11, 0.02)]
)
def test_spots_are_turned_as_well_as_the_notes_say_and_counter_clockwise(sigma, away, cubic, spline):
    before, after = (spot(sigma, away * cmath.exp(1j * math.radians(a))) for a in (0, 30))
    percent = lambda picture: 100 * relative_error(picture, after)
    assert float(f"{percent(turned(before, 30)):.2g}") == cubic
    assert round(percent(rotate(before, 30, order=3)), 2 if spline < 1 else 1) == spline
    assert percent(turned(before, -30)) > 50 and percent(before) > 50
    assert relative_error(turned(before, 30), rotate(before, 30, order=3)) < 0.04


def test_there_and_back_is_nearly_as_before():
    x = spot(3, 4 + 3j)
    for change, amount in ((turned, 25.0), (shifted, 0.07), (sheared, 0.3)):
        assert relative_error(change(change(x, amount), -amount), x) < 0.02
        assert relative_error(change(change(x, amount), amount), x) > 0.3


def test_what_is_tilted_is_smaller_above_and_larger_below():
    above, below, middle = (spot(1.5, place, 31) for place in (8j, -8j, 0j))
    for picture, factor in ((above, 1 / (1 + 0.3 * 16 / 31)), (below, 1 / (1 - 0.3 * 16 / 31)), (middle, 1)):
        seen = tilted(picture, 0.3)
        width = lambda p: (p.sum(1).double() @ (torch.arange(31).double() - 15) ** 2 / p.sum()).sqrt().item()
        assert width(seen) / width(picture) == pytest.approx(factor, abs=0.03)
    assert tilted(above, 0.3).sum() < above.sum() < tilted(above, -0.3).sum()


def test_straight_lines_stay_straight_when_tilted():
    n, tilt = 41, 0.3
    row, column = torch.meshgrid(*[torch.arange(n).double() - 20] * 2, indexing="ij")
    inner = torch.arange(8, 33)

    def bend(picture):  # how far the middle of the line is from the nearest straight one, in pixels
        middle = ((picture[0] * column).sum(1) / picture[0].sum(1))[inner, None]
        straight = torch.stack([torch.ones(len(inner)).double(), inner.double()], 1)
        fit = straight @ torch.linalg.lstsq(straight, middle).solution
        assert fit[-1] - fit[0] > 5  # it slants
        return (middle - fit).abs().max().item()

    line = torch.exp(-((column - 0.3 * row - 2) ** 2) / 8)[None]
    bent = torch.exp(-((column - 0.3 * row - 2 + 4 * (row / 20) ** 2) ** 2) / 8)[None]  # the control
    assert bend(tilted(line, tilt)) < 0.05 and bend(tilted(bent, tilt)) > 0.3


def test_light_is_added_and_contrast_multiplied_pixel_for_pixel():
    x, amounts = pictures(2, 3, 2, 4), (0.3, -1.7)
    light, contrast = torch.zeros_like(x), torch.zeros_like(x)
    for i, amount in enumerate(amounts):
        numbers = x[i].flatten().tolist()
        mean = sum(numbers) / len(numbers)
        light[i] = torch.tensor([v + amount for v in numbers]).view(3, 2, 4)
        contrast[i] = torch.tensor([mean + (1 + amount) * (v - mean) for v in numbers]).view(3, 2, 4)
    amounts = torch.tensor(amounts)
    assert relative_error(brightened(x, amounts), light) <= 1e-6
    assert relative_error(contrasted(x, amounts), contrast) <= 1e-6
    assert relative_error(contrasted(x, amounts), light) > 0.1


def test_contrast_keeps_the_mean_and_minus_1_leaves_nothing_else():
    x = pictures(2, 3, 5, 4)
    mean = x.mean((1, 2, 3))
    grey = contrasted(x, -1)
    assert (grey - mean.view(-1, 1, 1, 1)).abs().max() <= 1e-12
    assert (contrasted(x, 0.7).mean((1, 2, 3)) - mean).abs().max() <= 1e-12
    assert (brightened(x, 0.7).mean((1, 2, 3)) - mean).abs().max() > 0.1
    middle = mean.view(-1, 1, 1, 1)
    assert relative_error(contrasted(x, -2) - middle, middle - x) <= 1e-12  # dark and light change places


def test_colours_are_turned_about_the_axis_of_greys_by_rodrigues_formula():
    x, degrees = pictures(2, 3, 2, 3), (40.0, -75.0)
    k = torch.ones(3).double() / 3**0.5
    for i, angle in enumerate(map(math.radians, degrees)):
        literal = torch.zeros_like(x[i])
        for row in range(2):
            for column in range(3):
                v = x[i, :, row, column]
                turn = v * math.cos(angle) + torch.linalg.cross(k, v) * math.sin(angle)
                literal[:, row, column] = turn + k * (k @ v) * (1 - math.cos(angle))
        assert relative_error(recoloured(x, each(degrees))[i], literal) <= 1e-12
        assert relative_error(recoloured(x, -each(degrees))[i], literal) > 0.1


def test_colours_keep_sum_and_norm_and_their_angles_add():
    x, y = pictures(2, 3, 4, 5), recoloured
    assert (y(x, 50).sum(1) - x.sum(1)).abs().max() <= 1e-12
    assert (y(x, 50).norm(dim=1) - x.norm(dim=1)).abs().max() <= 1e-12
    assert (contrasted(x, 0.5).norm(dim=1) - x.norm(dim=1)).abs().max() > 0.1
    assert relative_error(y(y(x, 50), 30), y(x, 80)) <= 1e-12
    assert relative_error(y(y(x, 50), -30), y(x, 80)) > 0.1
    assert relative_error(y(x, 360), x) <= 1e-12
    assert relative_error(y(x, 120), x.roll(1, 1)) <= 1e-12  # red to green, green to blue, blue to red
    assert relative_error(y(x, 120), x.roll(-1, 1)) > 0.1
    grey = x[:, :1].expand(-1, 3, -1, -1)
    assert relative_error(y(grey, 77), grey) <= 1e-12


@changes
def test_gradients_in_pictures_and_amounts_are_right(change):
    x = pictures(2, 3, 3, 4).requires_grad_()
    amounts = torch.tensor(ALL[change], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(change, (x, amounts))
    one = torch.tensor(ALL[change][0], requires_grad=True)  # of another type than the pictures
    change(x, one).square().sum().backward()
    assert one.grad.abs() > 1e-6 or change is recoloured  # which keeps the sum of squares


@changes
@pytest.mark.parametrize(
    ("dtype", "bound"),
    [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.float16, 0.05), (torch.bfloat16, 0.3)],
    ids=str,
)
def test_the_type_is_kept(change, dtype, bound):
    x = pictures(2, 3, 6, 6)
    amounts = each(ALL[change])
    for amount in (amounts, amounts.to(dtype)):
        made = change(x.to(dtype), amount)
        assert made.dtype == dtype and made.shape == x.shape
        assert relative_error(made.double(), change(x, amounts)) <= bound


@changes
def test_neither_pictures_nor_amounts_are_written_to_and_memory_may_lie_as_it_likes(change):
    x, amounts = pictures(2, 3, 4, 5), each(ALL[change])
    kept, kept_amounts, made = x.clone(), amounts.clone(), change(x, amounts)
    assert torch.equal(x, kept) and torch.equal(amounts, kept_amounts)
    last = x.to(memory_format=torch.channels_last)
    mirrored = x.flip(3).contiguous().flip(3)
    strided = x.transpose(2, 3).contiguous().transpose(2, 3)
    for other in (last, mirrored, strided, x.repeat(1, 1, 2, 1)[:, :, :4]):
        assert relative_error(change(other, amounts), made) <= 1e-12


def test_what_is_far_out_of_the_frame_is_0_and_nothing_breaks():
    for dtype in (torch.float64, torch.float32):
        x = pictures(1, 1, 6, 6, dtype=dtype)
        assert shifted(x, 1e30).abs().max() == 0 and shifted(x, -1.5).abs().max() == 0
        assert sheared(x, 1e9).isfinite().all() and tilted(x, 0.9999).isfinite().all()
        assert shifted(x, 0.1).abs().max() > 0


NAMES = {turned: "degrees", shifted: "share", sheared: "slope", tilted: "tilt"} | {
    brightened: "amount", contrasted: "amount", recoloured: "degrees"
}  # fmt: skip


@changes
def test_what_is_refused(change):
    x, name = pictures(2, 3, 4, 4), NAMES[change]
    for wrong, came in ((x.long(), "torch.int64"), (x > 0, "torch.bool"), (x.cfloat(), "torch.complex64")):
        with pytest.raises(TypeError, match=f"images: got {came}; give a tensor in floating point"):
            change(wrong, 0.1)
    with pytest.raises(TypeError, match="images: got ndarray; give a tensor"):
        change(x.numpy(), 0.1)
    for wrong in (x[0, 0], x[:0], x[..., :0]):
        with pytest.raises(ValueError, match=r"images: got shape \(.*\); give \(n, …, height, width\)"):
            change(wrong, 0.1)
    for wrong in (torch.zeros(3), torch.zeros(1), torch.zeros(2, 1), [0.1] * 5):
        with pytest.raises(ValueError, match=rf"{name}: got shape .* for 2 pictures; give one or one each"):
            change(x, wrong)
    for wrong in (math.nan, math.inf, torch.tensor([0.1, math.nan])):
        with pytest.raises(ValueError, match=f"{name}: is not finite"):
            change(x, wrong)
    assert change(x, 0.1).shape == x.shape  # the control


def test_a_tilt_of_1_and_pictures_without_three_colours_are_refused():
    x = pictures(2, 3, 4, 4)
    for wrong in (1, -1, 1.5, torch.tensor([0.0, -1.0])):
        with pytest.raises(ValueError, match=r"tilt: got .* in size; give tilts between -1 and 1"):
            tilted(x, wrong)
    assert tilted(x, torch.tensor([0.99, -0.99])).isfinite().all()
    for wrong in (x[:, :1], x[:, 0], x[:, :, None], pictures(2, 4, 3, 3)):
        with pytest.raises(ValueError, match=r"images: got shape .*; colours need \(n, 3, height, width\)"):
            recoloured(wrong, 30)


def test_autocast_takes_nothing_from_quarter_turns():
    x = pictures(2, 3, 28, 28, dtype=torch.float32)
    for kind in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=kind):
            made = turned(x, 90)
            assert (x[0, 0] @ x[0, 0]).dtype == kind  # the control: it is on
        assert made.dtype == torch.float32 and relative_error(made, x.rot90(1, (2, 3))) <= 1e-6


def torch_turned(images, degrees):
    """What torch's own bicubic makes of it, with a = -3/4."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    back = torch.tensor([[[cos, -sin, 0], [sin, cos, 0]]], dtype=images.dtype)
    grid = torch.nn.functional.affine_grid(back, (1, 1, *images.shape[-2:]), align_corners=False)
    return torch.nn.functional.grid_sample(images[None], grid, mode="bicubic", align_corners=False)[0]


def test_the_tangent_of_a_turn_is_what_a_spot_does_that_is_drawn_turned():
    step, place, spots = 1e-3, 6 + 3j, {}
    for amount in (-step, 0, step):
        spots[amount] = spot(4, place * cmath.exp(1j * math.radians(amount)))
    drawn = (spots[step] - spots[-step]) / (2 * step)
    slope = lambda change: (change(spots[0], step) - change(spots[0], -step)) / (2 * step)
    assert relative_error(slope(turned), drawn) < 0.03 and relative_error(-slope(turned), drawn) > 1
    assert relative_error(slope(torch_turned), drawn) > 0.4  # the control
    none, one = torch.zeros(1).double(), torch.ones(1).double()
    _, tangent = torch.autograd.functional.jvp(lambda amount: turned(spots[0], amount), none, one)
    assert relative_error(tangent, slope(turned)) < 1e-3


def test_a_million_quarter_turns_are_none_in_single_precision():
    x = pictures(2, 1, 28, 28, dtype=torch.float32)
    for degrees in (9e7, 90_000_000, torch.tensor(9e7), torch.full((2,), -9e7)):
        assert relative_error(turned(x, degrees), x) <= 1e-6
    assert relative_error(turned(x, 9e7 + 90), x.rot90(1, (2, 3))) <= 1e-6
    assert relative_error(turned(x, 9e7 + 90), x) > 0.1
    colours = pictures(2, 3, 4, 4, dtype=torch.float32)
    assert relative_error(recoloured(colours, 120e6), colours.roll(int(1e6) % 3, 1)) <= 1e-6
