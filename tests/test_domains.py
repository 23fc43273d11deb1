"""Domains: permutation tables against torch's own turns, flips and rolls; sizes even and odd; errors."""

import tracemalloc

import numpy as np
import pytest
import torch

from gdl_utils.domains import (
    Domain,
    cubic_grid,
    cycle,
    hexagonal_grid,
    nodes,
    pairs,
    square_grid,
    strand,
    torus,
    voxel_group,
)
from gdl_utils.groups import Group, cyclic, dihedral, octahedral, prismatic, symmetric
from gdl_utils.groups.space_group import Rows
from gdl_utils.signals import SignalSpace, regular

DOMAINS = [
    square_grid(4),
    square_grid(3, cyclic(4)),
    square_grid(4, dihedral(4)),
    square_grid(5, cyclic(2)),
    square_grid(4, dihedral(1)),
    square_grid(4, dihedral(2)),
    cycle(6),
    cycle(6, dihedral(3)),
    cycle(7, dihedral(7)),
    torus(4),
    torus(3, cyclic(4)),
    torus(4, dihedral(4)),
    torus(3, cyclic(6)),
    torus(5, dihedral(3)),
    *(
        hexagonal_grid(n, group)
        for n in (1, 3, 5)
        for group in (cyclic(6), dihedral(6), cyclic(3), cyclic(2), dihedral(1))
    ),
    *(
        cubic_grid(n, group)
        for n in (2, 3)
        for group in (octahedral(), octahedral(True), dihedral(4), prismatic(4), cyclic(1))
    ),
    cubic_grid((4, 4, 3), prismatic(4), spacing=(1, 1, 3)),
    cubic_grid((2, 3, 4), prismatic(2), spacing=(3, 2, 1)),
    *(strand(n, group) for n in (1, 4, 5) for group in (cyclic(1), cyclic(2))),
    nodes(4),
    nodes(6, cyclic(6)),
    pairs(3),
]


@pytest.mark.parametrize("domain", DOMAINS, ids=repr)
def test_every_element_permutes_the_points_and_products_compose(domain):
    p, product = domain.permutation, domain.group.product
    assert np.array_equal(np.sort(p, axis=1), np.tile(np.arange(len(domain)), (len(domain.group), 1)))
    for g in range(len(domain.group)):
        assert np.array_equal(p[g][p], p[product[g]])  # g·(h·u) = (gh)·u
    assert domain.mask.shape == domain.shape and domain.mask.sum() == len(domain) == len(domain.points)
    # Different elements do different things, but where there is a single point.
    assert len({row.tobytes() for row in p}) == (len(p) if len(domain) > 1 else 1)
    assert (p[domain.group.identity] == np.arange(len(domain))).all()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8])
def test_the_square_is_turned_as_torch_turns_it(n, rng):
    x = torch.rand(2, n, n, generator=rng)
    act = SignalSpace(square_grid(n, dihedral(4))).act
    for i in range(4):
        assert torch.equal(act(i, x), torch.rot90(x, i, dims=(-2, -1)))
        assert torch.equal(act(4 + i, x), torch.rot90(x.flip(-1), i, dims=(-2, -1)))
    assert torch.equal(SignalSpace(square_grid(n, cyclic(2))).act(1, x), x.flip(-2, -1))


@pytest.mark.parametrize("n", [3, 4, 5])
def test_the_torus_is_rolled_and_turned_as_torch_does_it(n, rng):
    x = torch.rand(n, n, generator=rng)
    act = SignalSpace(torus(n, cyclic(4))).act
    for g in range(4):
        for i in range(n):
            for j in range(n):
                moved = torch.rot90(x, g, dims=(-2, -1)).roll((i, j), (-2, -1))
                assert torch.equal(act((g * n + i) * n + j, x), moved)


def test_the_cycle_is_rolled_and_reversed_as_torch_does_it(rng):
    x = torch.rand(6, generator=rng)
    act = SignalSpace(cycle(6, dihedral(6))).act
    for i in range(6):
        assert torch.equal(act(i, x), x.roll(i))
        assert torch.equal(act(6 + i, x), x.flip(0).roll(1 + i))  # point 0 stays where it is
    assert torch.equal(SignalSpace(cycle(6, cyclic(3))).act(1, x), x.roll(2))  # a third of the way


@pytest.mark.parametrize("n", [3, 4])
def test_torus_groups_have_all_shifts_and_turns(n):
    assert len(torus(n).group) == n**2 and torus(n).group.is_abelian
    assert len(torus(n, dihedral(4)).group) == 8 * n**2 and not torus(n, dihedral(4)).group.is_abelian


def test_an_unknown_action_comes_as_matrices():
    swap_axes = square_grid(3, cyclic(2), matrices=[[[0, 1], [1, 0]]])
    x = torch.arange(9.0).reshape(3, 3)
    assert torch.equal(SignalSpace(swap_axes).act(1, x), x.T)


@pytest.mark.parametrize(
    ("domain", "m", "found"),
    [
        (square_grid(4, dihedral(4)), 3, "square grid 3×3, 9 points, moved by D₄"),
        (square_grid(3, cyclic(2), matrices=[[[0, 1], [1, 0]]]), 2, "square grid 2×2, 4 points, moved by C₂"),
        (cubic_grid(3, octahedral()), 2, "cubic grid 2×2×2, 8 points, moved by O"),
        (cubic_grid((2, 4, 4), prismatic(4)), (3, 6, 6), "cubic grid 3×6×6, 108 points, moved by D₄ₕ"),
        (cubic_grid((2, 4, 4), prismatic(4)), (4, 6, 4), None),
        (hexagonal_grid(5, cyclic(6)), 3, "hexagonal grid 3×3, 7 points, moved by C₆"),
        (hexagonal_grid(5, cyclic(6)), 4, None),  # it would have no point at its centre
        (cycle(6), 3, "cycle of 3, 3 points, moved by C₃"),
        (cycle(6), 12, "cycle of 12, 12 points, moved by C₆"),
        (cycle(6), 4, None),
        (cycle(6, dihedral(6)), 3, "cycle of 3, 3 points, moved by D₃"),
        (cycle(6, cyclic(3)), 9, "cycle of 9, 9 points, moved by C₃"),
        (cycle(6, cyclic(3)), 2, None),  # it has not all shifts
        (torus(6, cyclic(4)), 3, "torus 3×3, 9 points, moved by Z₃² ⋊ C₄"),
        (torus(6, cyclic(4)), 2, "torus 2×2, 4 points, moved by Z₂² ⋊ C₄"),
        (torus(6, cyclic(4)), 4, None),
        (nodes(4), 4, "4 nodes, 4 points, moved by S₄"),
        (nodes(4), 3, None),
    ],
    ids=repr,
)
def test_pooling_makes_a_domain_of_the_same_kind_or_none(domain, m, found):
    assert repr(domain.resize(m)) == (f"Domain({found})" if found else "None")


def test_the_point_group_is_what_is_no_translation():
    assert torus(3, dihedral(4)).point_group == dihedral(4) and len(cycle(6, dihedral(3)).point_group) == 2
    assert square_grid(3, dihedral(4)).point_group == dihedral(4) and nodes(4).point_group == symmetric(4)
    on_torus = torus(3, dihedral(4)).group
    assert (torus(3).group.name, on_torus.name) == ("Z₃²", "Z₃² ⋊ D₄")
    assert [on_torus.labels[g] for g in on_torus.generators] == ["x", "y", "r", "m"]
    assert np.array_equal(on_torus.product[::9, ::9], 9 * dihedral(4).product)


@pytest.mark.parametrize("domain", DOMAINS, ids=repr)
def test_dividing_by_the_translations_respects_products(domain):
    group, point_group = domain.group, domain.point_group
    turn = np.arange(len(group)) // (len(group) // len(point_group))
    assert np.array_equal(turn[group.product], point_group.product[turn[:, None], turn])


@pytest.mark.parametrize(
    ("domain", "points"),
    [
        (square_grid(2), [[-1, -1], [-1, 1], [1, -1], [1, 1]]),
        (strand(3), [[-2], [0], [2]]),
        (hexagonal_grid(3), [[-1, 0], [-1, 1], [0, -1], [0, 0], [0, 1], [1, -1], [1, 0]]),
        (torus(3, cyclic(3)), [[q, r] for q in (-1, 0, 1) for r in (-1, 0, 1)]),
        (cycle(3), [[0], [1], [2]]),
        (nodes(2), [[0], [1]]),
        (pairs(2), [[0, 0], [0, 1], [1, 0], [1, 1]]),
    ],
    ids=repr,
)
def test_points_come_in_the_order_of_the_tensor(domain, points):
    assert np.array_equal(domain.points, points) and domain.mask.dtype == bool


def test_a_size_may_come_as_any_integer():
    size = np.uint8(20)  # whose square is 144 in its own arithmetic
    for make in (square_grid, cycle, torus):
        assert np.array_equal(make(size).permutation, make(20).permutation)
        assert np.array_equal(make(size).points, make(20).points)


def on_the_plane(points):
    """Axial coordinates as points of the plane: q to the right, r at 60° from it."""
    return points @ np.array([[1, 0], [0.5, 3**0.5 / 2]])


def test_a_sixth_turns_the_plane_by_sixty_degrees_and_a_mirror_flips_it():
    domain = hexagonal_grid(5, dihedral(6))
    xy = on_the_plane(domain.points)
    assert np.allclose(np.sort(np.linalg.norm(xy, axis=1))[:7], [0, 1, 1, 1, 1, 1, 1])
    cos, sin = 0.5, 3**0.5 / 2
    r, m = domain.group.generators
    assert np.allclose(xy[domain.permutation[r]], xy @ np.array([[cos, sin], [-sin, cos]]))
    mirrored = xy[domain.permutation[m]]
    assert np.allclose(mirrored @ mirrored.T, xy @ xy.T) and np.isclose(
        np.linalg.det(np.linalg.lstsq(xy, mirrored)[0]), -1
    )
    # The control: the matrix of a quarter-turn is not one of this plane.
    assert not np.allclose(xy[domain.permutation[r]], xy @ np.array([[0, 1], [-1, 0]]))


@pytest.mark.parametrize(("make", "n"), [(square_grid, 4), (hexagonal_grid, 6)])
def test_a_part_of_a_group_moves_the_points_as_it_does_within_the_whole(make, n):
    turns, mirrored = np.split(make(5, dihedral(n)).permutation, 2)
    for k in (k for k in range(1, n + 1) if n % k == 0):
        assert np.array_equal(make(5, cyclic(k)).permutation, turns[:: n // k])
        assert np.array_equal(make(5, dihedral(k)).permutation, np.r_[turns[:: n // k], mirrored[:: n // k]])
    assert make(5).group == cyclic(1)


@pytest.mark.parametrize("n", [3, 5])
def test_a_hexagonal_torus_turns_its_middle_as_the_hexagon_is_turned(n):
    hexagon, whole = hexagonal_grid(n, dihedral(6)), torus(n, dihedral(6))
    inside = np.flatnonzero(hexagon.mask)
    for g in range(12):
        assert np.array_equal(whole.permutation[n * n * g][inside], inside[hexagon.permutation[g]])


@pytest.mark.parametrize("n", [1, 3, 5, 9])
def test_the_hexagon_has_its_number_of_points(n):
    assert len(hexagonal_grid(n)) == (3 * n * n + 1) // 4 == hexagonal_grid(n).mask.sum()


def test_the_cube_is_turned_as_torch_turns_it(rng):
    x = torch.rand(4, 4, 4, generator=rng)
    domain = cubic_grid(4, octahedral(reflections=True))
    act, (r, s, i) = SignalSpace(domain).act, domain.group.generators
    assert torch.equal(act(r, x), torch.rot90(x, dims=(1, 2)))
    assert torch.equal(act(s, x), torch.rot90(x, dims=(0, 1)))
    assert torch.equal(act(i, x), x.flip(0, 1, 2))
    assert torch.equal(SignalSpace(cubic_grid(4, dihedral(4))).act(4, x), x.flip(-1))  # depth is left alone


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_prism_turns_about_the_axis_that_the_spacing_singles_out(axis, rng):
    spacing, (a, b) = [1.0] * 3, ((axis + 1) % 3, (axis + 2) % 3)
    spacing[axis] = 3.0
    domain = cubic_grid(4, prismatic(4), spacing=spacing)
    x, act, (r, m, z) = torch.rand(4, 4, 4, generator=rng), SignalSpace(domain).act, domain.group.generators
    assert torch.equal(act(r, x), torch.rot90(x, dims=(a, b)))
    assert torch.equal(act(m, x), x.flip(b)) and torch.equal(act(z, x), x.flip(axis))
    assert not torch.equal(act(r, x), torch.rot90(x, -1, dims=(a, b)))  # the control: the other way round
    assert domain.spacing == domain.resize(6).spacing == tuple(spacing) and cubic_grid(4).spacing is None
    assert np.array_equal(domain.points, cubic_grid(4).points)  # which stay as they are
    assert np.array_equal(
        domain.resize(6).permutation, cubic_grid(6, prismatic(4), spacing=spacing).permutation
    )


def test_where_no_axis_is_singled_out_the_plane_is_that_of_rows_and_columns():
    half = lambda **how: cubic_grid(3, prismatic(2), **how).permutation
    assert np.array_equal(half(), half(spacing=(3, 2, 1))) and np.array_equal(half(), half(spacing=(2, 2, 2)))
    assert not np.array_equal(half(), half(spacing=(1, 1, 2)))  # the control


@pytest.mark.parametrize(
    ("spacing", "name"),
    [
        ((1, 1, 1), "Oₕ"),
        ((3, 1, 1), "D₄ₕ"),
        ((1, 3, 1), "D₄ₕ"),
        (np.float32([0.7, 0.7, 5]), "D₄ₕ"),
        ((3, 0.7031, 0.70313), "D₄ₕ"),  # one number, rounded in two ways
        ((3, 0.7, 0.703), "D₂ₕ"),
        ((3, 2, 1), "D₂ₕ"),
        ((2, 2), "D₄"),
        ((2, 1), "D₂"),
    ],
)
def test_the_group_of_voxels_is_the_largest_that_respects_them(spacing, name):
    group, make = voxel_group(spacing), square_grid if len(spacing) == 2 else cubic_grid
    assert group.name == name and make(3, group, spacing=spacing).group == group
    # No group of the package is larger and fits: those that do have no more elements.
    known = [f(n) for f in (cyclic, dihedral, prismatic) for n in (1, 2, 4)] + [
        octahedral(),
        octahedral(True),
    ]
    fitting = []
    for other in known:
        try:
            fitting.append(len(make(3, other, spacing=spacing).group))
        except ValueError as error:
            assert f"is {name}, which voxel_group returns" in str(error) or "is not known" in str(error)
    assert max(fitting) == len(group)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: cubic_grid((5, 16, 16), octahedral(), spacing=(3, 1, 1)),
            "group: s of O takes axis 1 to axis 0, along which points are 1 and 3 apart; .* is D₄ₕ, which voxel_group",
        ),
        (
            lambda: cubic_grid(3, prismatic(4), spacing=(3, 2, 1)),
            "r of D₄ₕ takes axis 2 to axis 1, .* 1 and 2 apart",
        ),
        (lambda: square_grid(3, cyclic(4), spacing=(1, 2)), "r of C₄ takes axis 1 to axis 0, .* D₂, which"),
        (
            lambda: square_grid(3, cyclic(2), matrices=[[[0, 1], [1, 0]]], spacing=(1, 2)),
            "r of C₂ takes axis 1 to axis 0",
        ),
        (
            lambda: square_grid(3, spacing=(1, 0)),
            r"spacing: got \(1, 0\); give a positive, finite number for each of 2",
        ),
        (lambda: cubic_grid(3, spacing=(1, 2)), r"spacing: got \(1, 2\); .* each of 3 axes"),
        (lambda: cubic_grid(3, spacing=(1, float("nan"), 1)), "spacing: got"),
        (lambda: cubic_grid(3, spacing="fine"), "spacing: got 'fine'"),
        (lambda: cubic_grid(3, spacing=2.0), "spacing: got 2.0"),
        (lambda: voxel_group((1, 1, float("inf"))), "spacing: got"),
        (lambda: voxel_group(3), "spacing: got 3; give a positive, finite number for each of 3 axes"),
    ],
)
def test_a_group_that_does_not_respect_the_voxels_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_an_adjacency_matrix_is_permuted_on_both_sides(rng):
    group = symmetric(4)
    a, x = torch.rand(4, 4, generator=rng), torch.rand(4, generator=rng)
    for g in range(len(group)):
        P = torch.eye(4)[:, group.permutations[g].copy()]  # P e_i = e_g(i)
        assert torch.equal(SignalSpace(pairs(4)).act(g, a), P @ a @ P.T)
        assert torch.equal(SignalSpace(nodes(4)).act(g, x), P @ x)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: square_grid(3, cyclic(6)), "how C₆ acts on a square grid is not known"),
        (lambda: square_grid(3, symmetric(3)), "how S₃ acts"),
        (lambda: square_grid(3, Group([[1, 0]])), "needs matrices="),
        (
            lambda: square_grid(3, cyclic(3), matrices=[[[0, -1], [1, -1]]]),
            "r of C₃ moves a point of the square grid 3×3",
        ),
        (
            lambda: square_grid(3, cyclic(2), matrices=[[[-1]]]),
            "matrices: got 1×1; points of a square grid 3×3 have 2",
        ),
        (lambda: square_grid(3, cyclic(3), matrices=[[[0, -1], [1, 0]]]), "not a representation of C₃"),
        (lambda: square_grid(0), "n: got 0"),
        (lambda: cycle(0, cyclic(1)), "n: got 0"),
        (lambda: torus(0), "n: got 0"),
        (lambda: nodes(0, cyclic(1)), "n: got 0"),
        (lambda: hexagonal_grid(0), "n: got 0"),
        (lambda: cycle(6, cyclic(4)), "C₄ does not act on a cycle of 6"),
        (lambda: cycle(6, symmetric(3)), "S₃ does not act on a cycle of 6"),
        (lambda: hexagonal_grid(4), "n: got 4; a hexagon with a point at its centre has an odd width"),
        (lambda: hexagonal_grid(3, cyclic(4)), "how C₄ acts on a hexagonal grid is not known"),
        (lambda: hexagonal_grid(3, symmetric(3)), "how S₃ acts on a hexagonal grid is not known"),
        (lambda: strand(5, dihedral(1)), "how D₁ acts on a strand is not known"),
        (lambda: square_grid(3, octahedral()), "how O acts on a square grid is not known"),
        (lambda: cubic_grid(3, cyclic(3)), "how C₃ acts on a cubic grid is not known"),
        (lambda: strand(5, cyclic(4)), "how C₄ acts on a strand is not known"),
        (
            lambda: hexagonal_grid(3, cyclic(4), matrices=[[[0, -1], [1, 0]]]),
            "moves a point of the hexagonal grid 3×3",
        ),
        (lambda: nodes(3, cyclic(4)), "C₄ permutes 4 things, here are 3"),
        (lambda: nodes(9), "too many to list"),
        (lambda: torus(3, symmetric(3)), "how S₃ acts on a square grid is not known"),
        (lambda: torus(2), "at least 3 points a side"),
        (lambda: torus(4, cyclic(3)), "n: got 4; a hexagonal torus has .* an odd side"),
    ],
)
def test_bad_input_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("make", "group"),
    [
        (lambda g: square_grid((4, 7), g), cyclic(2)),
        (lambda g: square_grid((5, 2), g), dihedral(2)),
        (lambda g: cubic_grid((2, 3, 3), g), cyclic(4)),
        (lambda g: cubic_grid((2, 3, 4), g), dihedral(2)),
        (lambda g: torus((3, 5), g), cyclic(1)),
        (lambda g: torus((4, 6), g), dihedral(2)),
    ],
)
def test_sides_may_differ_where_no_element_swaps_them(make, group):
    domain = make(group)
    test_every_element_permutes_the_points_and_products_compose(domain)
    test_dividing_by_the_translations_respects_products(domain)
    x = torch.arange(float(len(domain))).reshape(domain.shape)
    if group.degree > 1:
        r = domain.group.generators[-1 if group.family == "cyclic" else -2]
        turned = x.flip(-1, -2) if group.degree == 2 else torch.rot90(x, dims=(-2, -1))
        assert torch.equal(SignalSpace(domain).act(r, x), turned)


def test_sides_that_a_turn_would_swap_are_refused_and_resized_to_none():
    for make, sides in ((square_grid, (4, 6)), (cubic_grid, (3, 4, 5)), (torus, (4, 6))):
        with pytest.raises(ValueError, match="off the grid"):
            make(sides, cyclic(4))
    assert square_grid(4, cyclic(4)).resize((2, 3)) is None and square_grid(4, cyclic(2)).resize(
        (2, 3)
    ).shape == (2, 3)
    assert torus((6, 9)).resize((1, 3)) is None and torus((6, 12)).resize((3, 6)).shape == (3, 6)
    assert torus((6, 12)).resize((6, 6)).shape == (6, 6) and torus(6, cyclic(4)).resize((6, 3)) is None
    assert torus(6, cyclic(4)).resize(12).shape == (12, 12)  # what is made larger keeps its shifts
    with pytest.raises(ValueError, match=r"n: got \(4, 6, 8\); give one side, or 2"):
        square_grid((4, 6, 8))


def explicit(n, group):
    """The group of a torus, closed from permutations as any other."""
    grid = square_grid(n, group)
    turns = [g for g in grid.group.generators if g != grid.group.identity]
    u = np.arange(n * n).reshape(n, n)
    moves = [np.roll(u, -1, axis=1).ravel(), np.roll(u, -1, axis=0).ravel()]
    return Group([*moves, *grid.permutation[turns]], names=["x", "y", *(grid.group.labels[g] for g in turns)])


@pytest.mark.parametrize("n", [3, 4, 5])
@pytest.mark.parametrize(
    "group", [cyclic(1), cyclic(2), cyclic(4), dihedral(1), dihedral(2), dihedral(4)], ids=repr
)
def test_a_torus_computes_what_closing_its_permutations_lists(n, group):
    computed, listed = torus(n, group).group, explicit(n, group)
    assert computed == listed and listed == computed and computed.generators == listed.generators
    assert computed.labels == listed.labels and computed._words == listed._words
    assert np.array_equal(computed.product, listed.product) and np.array_equal(
        computed.inverse, listed.inverse
    )
    assert computed.times(len(listed) - 1, n) == listed.times(len(listed) - 1, n)
    rows = Rows(computed)  # as those of a large one
    some = np.array([0, len(listed) - 1, n])
    for key in (
        1,
        some,
        slice(2, 5),
        (1, 2),
        (some, some % n),
        (slice(None), 0),
        (some, slice(1, 4)),
        (2, slice(None)),
    ):
        assert np.array_equal(rows[key], listed.permutations[key])
    assert np.array_equal(np.asarray(rows), listed.permutations) and computed != torus(n + 1, group).group


def test_of_a_large_torus_nothing_is_listed(rng):
    domain, x = torus(300, cyclic(4)), torch.rand(300, 300, generator=rng)
    assert isinstance(domain.permutation, Rows) and len(domain.group) == 360_000
    moved = SignalSpace(domain).act((2 * 300 + 7) * 300 + 11, x)
    assert torch.equal(moved, torch.rot90(x, 2).roll((7, 11), (0, 1)))
    with pytest.raises(ValueError, match="are too many at once"):
        domain.permutation[:]
    with pytest.raises(ValueError, match="up to 50,000 are listed"):
        domain.group.representation([np.eye(1)] * 3)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ([[0, 1, 2], [1, 0, 2], [2, 1, 0]], "permutations: not an action of C₃"),
        ([[0, 1, 2], [1, 2, 0], [1, 2, 0]], "no action of C₃: row 2, of r²"),
        ([[0, 1, 2], [1, 1, 0], [2, 0, 1]], "is no permutation"),
        ([[0, 1, 2], [1, 2, 0]], r"permutation: got shape \(2, 3\)"),
    ],
)
def test_a_table_that_is_no_action_is_refused(table, words):
    with pytest.raises(ValueError, match=words):
        Domain("three", cyclic(3), np.arange(3)[:, None], (3,), np.array(table))
    Domain("three", cyclic(3), np.arange(3)[:, None], (3,), np.array([[0, 1, 2], [1, 2, 0], [2, 0, 1]]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: cyclic(20_000), lambda: dihedral(10_000), lambda: Group([np.roll(np.arange(20_000), 1)]),
        lambda: regular(torus(30).group), lambda: SignalSpace(torus(120)).matrix(0), lambda: cycle(9_000),
    ],
)  # fmt: skip
def test_sizes_are_refused_before_they_are_allocated(make):
    tracemalloc.start()  # NumPy tells it what it allocates
    with pytest.raises(ValueError, match=r"would hold [0-9,]+ numbers"):
        make()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**30


@pytest.mark.parametrize(
    "make", [square_grid, hexagonal_grid, cubic_grid, strand, cycle, torus, nodes, pairs]
)
def test_a_group_that_is_none_is_named(make):
    with pytest.raises(TypeError, match="group: got int; a Group is needed"):
        make(5, 4)
