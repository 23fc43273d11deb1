"""The measure itself: what it finds exact, what it finds broken, what it refuses to judge."""

import math

import pytest
import torch

from gdl_utils.domains import square_grid, torus
from gdl_utils.equivariance import (
    assert_equivariant,
    equivariance_error,
    equivariance_errors,
    relative_error,
)
from gdl_utils.groups import cyclic, dihedral
from gdl_utils.signals import SignalSpace

SPACE = SignalSpace(torus(6, dihedral(4)))


def blur(x):
    """Average over the four neighbours on the torus: respects shifts, turns and mirror images."""
    return sum(x.roll(step, axis) for step in (1, -1) for axis in (-2, -1)) / 4


def slope(x):
    """Difference to the right-hand neighbour: the same detector in one direction only."""
    return x - x.roll(1, -1)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_a_symmetric_stencil_passes_and_a_one_sided_one_fails_by_far(dtype, bound, rng):
    x = torch.randn(2, 6, 6, dtype=dtype, generator=rng)
    assert assert_equivariant(blur, x, SPACE, SPACE) <= bound
    with pytest.raises(AssertionError, match=rf"not equivariant: .* of Z₆² ⋊ D₄ \(allowed: {bound:g}\)"):
        assert_equivariant(slope, x, SPACE, SPACE)
    turn = lambda t: SPACE.act(36, t)
    assert equivariance_error(slope, x, turn, turn) > 0.1


def test_shifts_alone_do_not_see_what_turns_see(rng):
    x = torch.randn(6, 6, dtype=torch.float64, generator=rng)
    assert assert_equivariant(slope, x, SPACE, SPACE, elements=range(36)) <= 1e-12
    with pytest.raises(AssertionError, match="for g = r"):
        assert_equivariant(slope, x, SPACE, SPACE, elements=[36])


def test_turns_alone_do_not_see_what_shifts_see(rng):
    x = torch.randn(6, 6, dtype=torch.float64, generator=rng)
    u = torch.arange(6) - 2.5
    mask = torch.exp(-(u[:, None] ** 2 + u**2) / 8)
    masked = lambda x: mask * blur(x)
    assert assert_equivariant(masked, x, SPACE, SPACE, elements=range(0, 288, 36)) <= 1e-12
    with pytest.raises(AssertionError):
        assert_equivariant(masked, x, SPACE, SPACE, elements=[1])


def test_invariance_is_the_case_without_an_output_space(rng):
    x = torch.randn(2, 6, 6, dtype=torch.float64, generator=rng)
    assert assert_equivariant(lambda x: blur(x).square().mean((-2, -1)), x, SPACE) <= 1e-12
    with pytest.raises(AssertionError, match=r"not invariant: \|f\(g·x\) - f\(x\)\|"):
        assert_equivariant(lambda x: x[..., 0, 0], x, SPACE)


def test_errors_of_all_elements_are_those_of_each_and_f_of_x_is_computed_once(rng):
    x, calls = torch.randn(2, 6, 6, dtype=torch.float64, generator=rng), []
    noted = lambda t: calls.append(t) or slope(t)
    errors = equivariance_errors(noted, x, SPACE, SPACE, elements=(1, 36, 40))
    assert len(calls) == 1 + 3 and list(errors) == [1, 36, 40]
    for g, error in errors.items():
        act = lambda t, g=g: SPACE.act(g, t)
        assert error == equivariance_error(slope, x, act, act)
    assert errors[1] <= 1e-12 < 0.1 < errors[36]  # the control: a turn is another thing than a shift
    assert len(equivariance_errors(blur, x, SPACE, SPACE)) == len(SPACE.group)


def test_the_relative_error_is_that_of_the_norms(rng):
    y, wanted = torch.randn(2, 4, 5, dtype=torch.float64, generator=rng)
    expected = ((y - wanted) ** 2).sum() ** 0.5 / (wanted**2).sum() ** 0.5
    assert abs(relative_error(y, wanted) - float(expected)) <= 1e-12
    assert relative_error(wanted, y) != relative_error(y, wanted)  # relative to what is wanted
    assert relative_error(y.clone().requires_grad_(), y) == 0


def test_generators_find_what_all_elements_find(rng):
    x = torch.randn(6, 6, dtype=torch.float64, generator=rng)
    with pytest.raises(AssertionError):
        assert_equivariant(slope, x, SPACE, SPACE, elements=SPACE.group.generators)


def test_tuples_and_dicts_go_in_and_come_out(rng):
    x, y = torch.randn(2, 6, 6, dtype=torch.float64, generator=rng)
    both = lambda t: tuple(SPACE.act(40, s) for s in t)
    assert equivariance_error(lambda a, b: (blur(a), a * b), (x, y), both, both) <= 1e-12
    named = lambda t: {k: SPACE.act(40, s) for k, s in t.items()}
    swapped = lambda a, b: {"b": blur(b), "a": a}
    assert equivariance_error(swapped, {"a": x, "b": y}, named, named) <= 1e-12
    backwards = lambda t: {k: SPACE.act(40, t[k]) for k in reversed(t)}
    assert equivariance_error(swapped, {"a": x, "b": y}, named, backwards) <= 1e-12
    assert equivariance_error(lambda a, b: (blur(a), slope(b)), (x, y), both, both) > 1e-6


def test_complex_and_integer_outputs_are_measured(rng):
    x = torch.randn(6, 6, dtype=torch.float64, generator=rng)
    shift = lambda t: t.roll(1, -1)
    phase = torch.exp(-2j * torch.pi * torch.arange(6, dtype=torch.float64) / 6)
    assert equivariance_error(torch.fft.fft2, x, shift, lambda y: y * phase) <= 1e-12
    assert equivariance_error(lambda x: (x > 0).long(), x, shift, shift) == 0
    assert equivariance_error(lambda x: (x > 0).long(), x, shift, lambda y: y) > 0.1


def test_the_error_is_a_norm_of_the_difference_over_the_norm_of_the_output(rng):
    x, stay = torch.randn(6, 6, dtype=torch.float64, generator=rng), lambda t: t
    assert equivariance_error(lambda t: 5 * t, x.requires_grad_(), stay, lambda y: 3 * y) == pytest.approx(2)
    sides = lambda t: [{"a": 3 * t / t.norm()}, (4 * t / t.norm(),)]  # of all together: 3² + 4² = 5²
    assert equivariance_error(sides, x, stay, lambda y: [y[0], (0 * y[1][0],)]) == pytest.approx(4 / 5)


def test_the_largest_error_is_returned_and_the_bound_is_what_it_is_held_against(rng):
    x = torch.randn(6, 6, dtype=torch.float64, generator=rng)
    act = lambda g: lambda t: SPACE.act(g, t)
    errors = [equivariance_error(slope, x, act(g), act(g)) for g in range(len(SPACE.group))]
    worst = max(errors)
    assert assert_equivariant(slope, x, SPACE, SPACE, bound=worst) == worst > errors[36] > 0.1
    with pytest.raises(AssertionError, match=f"for g = {SPACE.group.labels[errors.index(worst)]} of"):
        assert_equivariant(slope, x, SPACE, SPACE, bound=worst * 0.999)
    assert assert_equivariant(blur, x.half(), SPACE, SPACE, bound=0.01) < 0.01  # has no bound of its own


def test_what_a_function_respects_is_found_up_to_the_bound(rng):
    x = torch.randn(6, 6, dtype=torch.float64, generator=rng)
    noise = torch.randn(6, 6, dtype=torch.float64, generator=rng)
    kept = lambda f, out, bound: [g for g, e in equivariance_errors(f, x, SPACE, out).items() if e <= bound]
    slightly = lambda size: lambda t: t + size * noise * t.norm() / noise.norm()
    assert kept(torch.square, SPACE, 0.0) == list(range(288))  # to the last bit
    assert kept(slightly(1e-8), SPACE, 1e-6) == list(range(288)) and kept(slightly(1e-5), SPACE, 1e-6) == [0]
    rows = lambda t: t.sum(-1)  # which shifts along the rows leave alone, and the mirror of the columns
    assert kept(rows, None, 1e-12) == [*range(6), *range(144, 150)]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x, s: equivariance_error(lambda t: 0 * t, x, s, s), ValueError, r"\|f\(x\)\| = 0"),
        (lambda x, s: equivariance_error(lambda t: t / 0, x, s, s), ValueError, "finite, non-zero"),
        *(
            (lambda x, s, f=f: equivariance_error(lambda t: f(t, t is x), x, s, s), ValueError, "non-zero")
            for f in (lambda t, first: t if first else t * torch.nan, lambda t, first: t / 0 if first else t)
        ),
        (
            lambda x, s: equivariance_error(lambda t: t / (t[0, 0] == x[0, 0]), x, s, s),  # at g·x alone
            ValueError,
            "finite, non-zero",
        ),
        (
            lambda x, s: equivariance_error(lambda t: t, x, s, lambda y: y[:2]),
            ValueError,
            r"f\(g·x\) has shapes",
        ),
        (lambda x, s: equivariance_error(lambda t: 3, x, s, lambda y: y), TypeError, "gave a int"),
        (lambda x, s: assert_equivariant(blur, x.long(), SPACE, SPACE), ValueError, "x: got torch.int64"),
        (
            lambda x, s: assert_equivariant(blur, x, SPACE, SPACE, elements=iter([])),
            ValueError,
            "elements: got none",
        ),
        (
            lambda x, s: assert_equivariant(blur, x, SPACE, SignalSpace(square_grid(6, cyclic(4)))),
            ValueError,
            "space_out: belongs to",
        ),
        (lambda x, s: relative_error(x, x[:1]), ValueError, "y, wanted: got shapes"),  # would be broadcast
        (lambda x, s: relative_error(x, 0 * x), ValueError, "wanted: .* must not be zero"),
        (lambda x, s: relative_error(x / 0, x), ValueError, "finite"),
    ],
)
def test_bad_input_is_named(call, error, words, rng):
    x = torch.randn(6, 6, dtype=torch.float64, generator=rng)
    with pytest.raises(error, match=words):
        call(x, lambda t: SPACE.act(1, t))


@pytest.mark.parametrize("size", [1e-25, 1.0, 1e25])
def test_squares_do_not_overflow_nor_vanish_in_single_precision(size):
    wanted, grid = size * torch.ones(2), square_grid(4, cyclic(4))
    assert relative_error(size * torch.tensor([1.0, 1.001]), wanted) == pytest.approx(
        0.001 / 2**0.5, rel=1e-3
    )
    slanted = lambda x: size * x * torch.tensor([1.0, 1, 1, 1.01])
    errors = equivariance_errors(slanted, torch.ones(1, 1, 4, 4), grid, grid)
    assert errors[2] == pytest.approx(0.007, rel=0.02)


def test_large_whole_numbers_keep_their_last_digit():
    corner = torch.zeros(1, 1, 4, 4)
    corner[..., 0, 0] = 1
    count = lambda x: 2**24 + x[..., 0, 0].long()
    errors = equivariance_errors(count, corner, square_grid(4, cyclic(4)))
    assert errors[1] == pytest.approx(2**-24, rel=1e-3)


def test_a_bound_that_is_no_number_lets_nothing_pass():
    with pytest.raises(AssertionError):
        assert_equivariant(blur, torch.ones(1, *SPACE.shape), SPACE, SPACE, bound=math.nan)
