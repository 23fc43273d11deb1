"""Signals: the action's axioms on random domains and fibres, and the two mistakes that break them."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gdl_utils.domains import cubic_grid, cycle, hexagonal_grid, square_grid, strand, torus
from gdl_utils.equivariance import assert_equivariant, equivariance_errors, relative_error
from gdl_utils.groups import cyclic, dihedral, octahedral, prismatic, symmetric
from gdl_utils.layers import averaged
from gdl_utils.representations import Representation, complement, irreps, regular, sign, trivial
from gdl_utils.signals import SignalSpace


def corners(group):
    """The 2×2 matrices of C_n and D_n as a fibre: a vector at each point, which turns along."""
    angle = 2 * np.pi / group.degree
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Representation(
        "vector", group, group.representation([turn, np.diag([1, -1])][: len(group.generators)])
    )


spaces = st.builds(
    lambda domain, fibre: SignalSpace(domain, fibre(domain.group)),
    st.sampled_from(
        [square_grid(3, dihedral(4)), square_grid(4, cyclic(4)), cycle(6, dihedral(3)), cycle(5)]
    ),
    st.sampled_from([trivial, regular, corners]),
)


def composition_gap(act, group, x, g, h):
    """|g·(h·x) - (gh)·x|, which is 0 for an action."""
    return float((act(g, act(h, x)) - act(group.product[g, h], x)).abs().max())


@settings(max_examples=80, deadline=None)
@given(spaces, st.data())
def test_act_is_a_linear_action(space, data):
    element = st.integers(0, len(space.group) - 1)
    g, h, seed = data.draw(element), data.draw(element), data.draw(st.integers(0, 99))
    x, y = torch.randn(
        2, 3, 2, *space.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    assert composition_gap(space.act, space.group, x, g, h) <= 1e-12
    assert torch.equal(space.act(space.group.identity, x), x)
    assert (space.act(space.group.inverse[g], space.act(g, x)) - x).abs().max() <= 1e-12
    assert (space.act(g, 2 * x - y) - 2 * space.act(g, x) + space.act(g, y)).abs().max() <= 1e-12


def test_forgetting_the_inverse_is_seen_on_a_group_that_is_not_abelian(rng):
    """The control of the axioms: x(g·u) in place of x(g⁻¹·u) is no action, though on C₄ nobody could tell."""

    def act_without_inverse(domain):
        return lambda g, x: x.flatten(-2)[..., domain.permutation[g]].unflatten(-1, domain.shape)

    x = torch.rand(4, 4, dtype=torch.float64, generator=rng)
    gaps = {}
    for group in (cyclic(4), dihedral(4)):
        act = act_without_inverse(square_grid(4, group))
        gaps[group.name] = max(
            composition_gap(act, group, x, g, h) for g in range(len(group)) for h in range(len(group))
        )
    assert gaps["C₄"] == 0 and gaps["D₄"] > 1e-6


def test_the_value_at_a_point_is_found_where_the_group_took_it(rng):
    domain = torus(4, dihedral(4))
    space, x = SignalSpace(domain), torch.rand(4, 4, generator=rng)
    for g in range(len(domain.group)):
        moved = space.act(g, x).flatten()
        for u in range(len(domain)):
            assert moved[domain.permutation[g, u]] == x.flatten()[u]  # (g·x)(g·u) = x(u)


def test_the_regular_fibre_moves_points_and_entries_together(rng):
    group = cyclic(4)
    domain = square_grid(3, group)
    space, x = SignalSpace(domain, regular(group)), torch.rand(2, 4, 3, 3, generator=rng)
    for g in range(4):
        moved = space.act(g, x)
        for h in range(4):
            assert torch.equal(moved[:, group.product[g, h]], torch.rot90(x[:, h], g, dims=(-2, -1)))


@pytest.mark.parametrize("fibre", [trivial, regular, corners])
def test_matrix_is_the_action_and_a_representation(fibre, rng):
    group = dihedral(4)
    space = SignalSpace(square_grid(3, group), fibre(group))
    x = torch.rand(space.shape, dtype=torch.float64, generator=rng)
    for g in range(8):
        assert relative_error(space.matrix(g) @ x.flatten(), space.act(g, x).flatten()) <= 1e-12
        for h in range(8):
            product = space.matrix(group.product[g, h])
            assert relative_error(space.matrix(g) @ space.matrix(h), product) <= 1e-12
    swapped = space.matrix(group.product[4, 1])
    assert relative_error(space.matrix(1) @ space.matrix(4), swapped) > 0.1  # the control: the other order


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bool])
def test_any_dtype_and_any_leading_axes(dtype):
    space = SignalSpace(square_grid(3, cyclic(4)))
    x = torch.arange(54).reshape(2, 3, 3, 3).to(dtype)
    assert torch.equal(space.act(1, x), torch.rot90(x, dims=(-2, -1))) and space.act(1, x).dtype == dtype


def test_whole_numbers_are_moved_by_whole_matrices_and_refused_by_others():
    group = cyclic(4)
    grid, x = square_grid(3, group), torch.arange(18).reshape(2, 3, 3)
    vectors = SignalSpace(grid, corners(group).matrices[[1]].round())
    assert torch.equal(vectors.act(1, x).double(), vectors.act(1, x.double()))
    turned = SignalSpace(grid, [[[0, -1], [1, 0]]])
    skew = SignalSpace(hexagonal_grid(3, cyclic(6)), corners(cyclic(6)))
    mask = torch.from_numpy(skew.domain.mask)
    mirror = SignalSpace(square_grid(3, cyclic(2)), [[[1, 0.5], [0, -1]]])  # one entry is not whole
    for space, signal in ((skew, x * mask), (mirror, x), (turned, x.bool()), (turned, x.to(torch.uint8))):
        with pytest.raises(TypeError, match=f"x: got {signal.dtype}"):
            space.act(1, signal)
        for dtype in (torch.float64, torch.complex128):
            assert space.act(1, signal.to(dtype)).any()  # the control


def test_gradients_pass_through_the_action():
    space = SignalSpace(square_grid(2, cyclic(4)))
    x = torch.rand(2, 2, requires_grad=True)
    (space.act(1, x) * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert torch.equal(x.grad, torch.tensor([[3.0, 1.0], [4.0, 2.0]]))


def test_bad_input_is_named():
    space = SignalSpace(square_grid(3, cyclic(4)), regular(cyclic(4)))
    with pytest.raises(ValueError, match=r"x: got shape \(2, 3, 3\); the last axes of .* are \(4, 3, 3\)"):
        space.act(0, torch.zeros(2, 3, 3))
    with pytest.raises(ValueError, match="last axes"):
        space.act(0, torch.zeros(3))
    with pytest.raises(TypeError, match="x: got ndarray"):
        space.act(0, np.zeros((4, 3, 3)))
    with pytest.raises(IndexError, match="C₄ has no element 4"):
        space.act(4, torch.zeros(4, 3, 3))
    with pytest.raises(IndexError, match="C₄ has no element -1"):
        space.matrix(-1)
    with pytest.raises(TypeError, match="named by its number"):
        space.act(1.0, torch.zeros(4, 3, 3))
    with pytest.raises(ValueError, match="fibre: belongs to"):
        SignalSpace(square_grid(3, cyclic(4)), regular(dihedral(4)))


def test_the_reverse_complement_is_what_the_other_strand_says():
    space = SignalSpace(strand(5, cyclic(2)), complement(cyclic(2)))
    one_hot = lambda word: torch.tensor([[float(base == letter) for letter in word] for base in "ACGT"])
    assert torch.equal(space.act(1, one_hot("AACGT")), one_hot("ACGTT"))
    assert not torch.equal(space.act(1, one_hot("AACGT")), one_hot("TGCAA"))  # the control: reversed alone
    assert np.array_equal(complement(cyclic(1)).matrices, np.eye(4)[None])


def test_a_mirror_turns_the_sign_over_and_a_turn_does_not(rng):
    group, x = dihedral(4), torch.rand(2, 1, 3, 3, generator=rng)
    space = SignalSpace(square_grid(3, group), sign(group))
    assert torch.equal(space.act(1, x), torch.rot90(x, dims=(-2, -1)))
    assert torch.equal(space.act(4, x), -x.flip(-1))


@pytest.mark.parametrize(
    ("fibre", "name"),
    [(trivial, "trivial"), (regular, "regular"), (complement, "complement"), (lambda g: [[[1]]], "matrices")],
)
def test_a_space_says_what_it_holds(fibre, name):
    space = SignalSpace(strand(3, cyclic(2)), fibre(cyclic(2)))
    assert repr(space) == f"SignalSpace(strand 3, {name} fibre of C₂)"
    assert sign(dihedral(2)).name == "sign"


@pytest.mark.parametrize(
    "group", [dihedral(4), prismatic(4), octahedral(reflections=True), octahedral()], ids=repr
)
def test_sign_is_the_determinant_of_what_moves_the_points(group):
    domain = (square_grid if group.family == "dihedral" else cubic_grid)(3, group)
    moved = domain.points[domain.permutation]  # (|G|, points, d)
    determinants = [np.linalg.det(np.linalg.lstsq(domain.points, m)[0]) for m in moved]
    assert np.allclose(sign(group).matrices.ravel(), determinants)


def test_a_fibre_may_be_given_by_matrices_of_the_generators(rng):
    space = SignalSpace(square_grid(4, cyclic(4)), [[[0, -1], [1, 0]]])
    x = torch.rand(3, 2, 4, 4, generator=rng)
    turned = torch.rot90(x, dims=(-2, -1))
    assert torch.equal(space.act(1, x), torch.stack([-turned[:, 1], turned[:, 0]], dim=1))
    with pytest.raises(ValueError, match="not a representation of C₄"):
        SignalSpace(square_grid(4, cyclic(4)), [[[1, 1], [0, 1]]])


@pytest.mark.parametrize("fibre", [trivial, regular])
def test_the_matrix_of_a_masked_space_is_its_action_on_the_points(fibre, rng):
    domain = hexagonal_grid(3, dihedral(6))
    space, mask = SignalSpace(domain, fibre(domain.group)), torch.from_numpy(domain.mask)
    x = torch.rand(space.shape, generator=rng, dtype=torch.float64) * mask
    for g in range(len(domain.group)):
        moved = space.act(g, x)[..., mask].flatten()
        assert relative_error(space.matrix(g) @ x[..., mask].flatten(), moved) <= 1e-12
        assert not space.act(g, x)[..., ~mask].any()


def test_values_off_the_mask_are_refused(rng):
    space = SignalSpace(hexagonal_grid(3, cyclic(6)))
    with pytest.raises(ValueError, match="x: is not 0 outside of the hexagonal grid 3×3's mask"):
        space.act(1, torch.ones(2, 3, 3))
    for group in (cyclic(3), symmetric(2), dihedral(1)):
        with pytest.raises(ValueError, match=f"{group.name}; the complement of a base is an action of C₂"):
            complement(group)
    with pytest.raises(
        ValueError, match="mirror images are known in dihedral, prismatic and octahedral groups"
    ):
        sign(cyclic(4))


def turning(group):
    return [[[0, -1], [1, 0]]]


@pytest.mark.parametrize("g", range(4))
@pytest.mark.parametrize("fibre", [trivial, regular, turning], ids=["trivial", "regular", "vectors"])
def test_infinities_and_nan_move_as_any_number_where_entries_only_move(g, fibre):
    group = cyclic(4)
    space = SignalSpace(square_grid(2, group), fibre(group))
    x = torch.zeros(space.shape)
    x.view(-1)[0], x.view(-1)[1] = torch.inf, torch.nan
    moved = space.act(g, x)
    assert moved.isinf().sum() == moved.isnan().sum() == 1
    assert torch.equal(space.act(group.inverse[g], moved).nan_to_num(7), x.nan_to_num(7))


def test_what_moves_nothing_leaves_all_as_it_is_for_any_fibre():
    c, s = np.cos(np.pi / 2), np.sin(np.pi / 2)
    skew = np.array([[1, 0.7], [0, 1]])
    space = SignalSpace(square_grid(2, cyclic(4)), [np.linalg.inv(skew) @ [[c, -s], [s, c]] @ skew])
    x = torch.full((2, 2, 2), torch.inf)
    assert torch.equal(space.act(0, x), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool])
def test_a_signal_keeps_its_type_under_autocast_too(dtype):
    space = SignalSpace(square_grid(2, cyclic(4)), regular(cyclic(4)))
    x = torch.ones(4, 2, 2, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert space.act(1, x).dtype == dtype
    skewed = SignalSpace(square_grid(2, cyclic(4)), [[[0.0, -2.0], [0.5, 0.0]]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert skewed.act(1, torch.ones(2, 2, 2)).dtype == torch.float32


def test_a_domain_is_taken_as_its_plain_signals():
    grid, x = square_grid(6, cyclic(4)), torch.randn(1, 1, 6, 6, dtype=torch.float64)
    assert assert_equivariant(torch.nn.AvgPool2d(3, 1, 1), x, grid, grid) <= 1e-12
    assert assert_equivariant(lambda x: x.sum(), x, grid) <= 1e-12
    assert set(equivariance_errors(lambda x: x.cumsum(-1), x, grid, grid)) == {0, 1, 2, 3}
    with pytest.raises(TypeError, match="space_in: got Group; give a SignalSpace, or a Domain"):
        equivariance_errors(torch.abs, x, cyclic(4))
    with pytest.raises(TypeError, match="space: got int; give a SignalSpace"):
        averaged(torch.nn.Identity(), 3)
    with pytest.raises(TypeError, match="domain: got Group"):
        SignalSpace(cyclic(4))


@pytest.mark.parametrize(
    "fibre", [trivial, regular, sign, turning], ids=["trivial", "regular", "sign", "vectors"]
)
def test_acting_is_compiled_as_one_graph(fibre):
    group = dihedral(4) if fibre is sign else cyclic(4)
    space = SignalSpace(square_grid(4, group), fibre(group))
    x = torch.randn(2, *space.shape)
    act = torch.compile(lambda x: space.act(3, x), backend="eager", fullgraph=True)
    assert torch.equal(act(x), space.act(3, x))
    both = averaged(torch.nn.Tanh(), space, space)
    compiled = torch.compile(both, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(x), both(x), atol=1e-6)


def test_a_fibre_that_is_none_is_named():
    for fibre in (cyclic(4), "regular", regular):
        with pytest.raises(TypeError, match=r"fibre: got .*; give a Representation, such as regular"):
            SignalSpace(square_grid(3, cyclic(4)), fibre)


def test_a_fibre_of_matrices_acts_on_meta_tensors_and_shared_matrices_are_not_handed_out():
    wave = irreps(cyclic(8))[1].restrict(cyclic(4), [2])
    space, skew = SignalSpace(square_grid(3, cyclic(4)), wave), np.array([[1.0, 0.5], [0.0, 1.0]])
    space = SignalSpace(space.domain, [np.linalg.inv(skew) @ wave.matrices[1] @ skew])
    assert space.act(1, torch.zeros(2, 3, 3, device="meta")).is_meta
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        space.act(1, torch.zeros(2, 3, 3, dtype=torch.float64))


def test_a_fibre_of_one_number_may_do_without_an_axis(rng):
    group = dihedral(4)
    space = SignalSpace(square_grid(2, group), Representation("alone", group, sign(group).matrices, axis=()))
    x = torch.randn(2, 2, generator=rng, dtype=torch.float64)
    for g in range(len(group)):
        assert torch.equal(space.act(g, x).flatten(), torch.as_tensor(space.matrix(g)) @ x.flatten())
