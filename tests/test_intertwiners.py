"""The solver: known dimensions, the character formula on random groups, what the book recognises in the answers, errors."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gdl_utils.domains import cycle, hexagonal_grid, nodes, pairs, square_grid, strand, torus
from gdl_utils.domains.grids import CUBE_MATRICES
from gdl_utils.equivariance import equivariance_error, relative_error
from gdl_utils.groups import Group, cyclic, dihedral, octahedral
from gdl_utils.intertwiners import equivariant_basis, intertwiners
from gdl_utils.layers import EquivariantLinear, LiftingConv
from gdl_utils.representations import rotations
from gdl_utils.signals import SignalSpace, complement, regular


def rho(space):
    return [space.matrix(g) for g in space.group.generators]


def scalar(space):
    return [np.eye(1)] * len(space.group.generators)


def commute(basis, rho_in, rho_out):
    """Largest |ρ_out W - W ρ_in| over the basis and the generators."""
    return max(
        float((torch.as_tensor(b) @ W - W @ torch.as_tensor(a)).abs().max())
        for a, b in zip(rho_in, rho_out, strict=True)
        for W in basis
    )


CIRCLE, SQUARE, FOUR, PAIRS = (
    SignalSpace(domain) for domain in (cycle(7), square_grid(3, cyclic(4)), nodes(4), pairs(4))
)
VECTORS = SignalSpace(square_grid(3, cyclic(4)), [[[0, -1], [1, 0]]])


@pytest.mark.parametrize(
    ("space_in", "space_out", "dim"),
    [
        (CIRCLE, CIRCLE, 7),  # the circulants
        (FOUR, FOUR, 2),  # Deep Sets: each, and all
        (PAIRS, PAIRS, 15),  # Maron et al. 2019
        (PAIRS, FOUR, 5),
        (SQUARE, SQUARE, 21),
        (VECTORS, VECTORS, 82),
    ],
    ids=repr,
)
def test_dimensions_that_are_known(space_in, space_out, dim):
    a, b = rho(space_in), rho(space_out)
    basis = equivariant_basis(a, b, group=space_in.group)
    assert basis.shape == (dim, len(b[0]), len(a[0])) and basis.dtype == torch.float64
    assert commute(basis, a, b) <= 1e-12
    assert torch.linalg.matrix_rank(basis.flatten(1)) == dim
    assert commute(torch.randn_like(basis), a, b) > 1e-2  # the control: any other matrix does not commute


def test_invariants_of_matrices_are_two():
    assert len(equivariant_basis(rho(PAIRS), scalar(PAIRS))) == 2  # the sum of the diagonal, and of the rest


groups = (
    st.integers(2, 4)
    .flatmap(lambda k: st.lists(st.permutations(range(k)), min_size=1, max_size=2))
    .map(Group)
)


@settings(max_examples=40, deadline=None)
@given(groups, st.booleans(), st.integers(0, 1000))
def test_dimension_is_the_scalar_product_of_characters(group, twisted, seed):
    permuting = SignalSpace(nodes(group.permutations.shape[1], group))
    a, b = rho(permuting), rho(SignalSpace(pairs(group.permutations.shape[1], group)))
    if twisted:  # another basis, in which nothing is a permutation, nor orthogonal
        noise = np.random.default_rng(seed).normal(size=a[0].shape)
        T = np.linalg.qr(noise)[0] @ (np.eye(len(noise)) + 0.2 * np.triu(noise, 1))
        a = [T @ m.numpy() @ np.linalg.inv(T) for m in a]
    characters = [np.trace(group.representation(list(map(np.asarray, m))), axis1=1, axis2=2) for m in (a, b)]
    basis = equivariant_basis(a, b, group=group)
    assert len(basis) == round(float((characters[0] * characters[1]).mean()))
    assert len(equivariant_basis(b, a)) == len(basis)
    assert commute(basis, a, b) <= (
        1e-10 if twisted else 1e-12
    )  # a basis that is not orthogonal costs digits


def test_orbits_and_eigenvectors_find_the_same_space():
    a = rho(SQUARE)
    T = torch.linalg.qr(torch.randn(9, 9, dtype=torch.float64)).Q  # in another basis nothing is a permutation
    twisted = equivariant_basis([T @ m @ T.T for m in a], [T @ m @ T.T for m in a])
    by_orbits, by_vectors = equivariant_basis(a, a).flatten(1), (T.T @ twisted @ T).flatten(1)
    assert by_orbits.unique().numel() == 2 < by_vectors.unique().numel()
    assert torch.linalg.matrix_rank(torch.cat([by_orbits, by_vectors])) == len(by_orbits) == len(by_vectors)
    gram = by_vectors @ by_vectors.T
    assert relative_error(gram, torch.eye(len(gram), dtype=torch.float64)) <= 1e-12  # orthonormal
    other = torch.cat([by_orbits, torch.randn(1, 81, dtype=torch.float64)])
    assert torch.linalg.matrix_rank(other) == len(by_orbits) + 1  # the control


def test_indicators_do_not_overlap_and_cover_everything():
    basis = equivariant_basis(rho(PAIRS), rho(PAIRS))
    assert torch.equal(basis.sum(0), torch.ones(16, 16, dtype=torch.float64)) and basis.unique().tolist() == [
        0,
        1,
    ]


@pytest.mark.parametrize(("angle", "factor"), [(2 * np.pi / 50_000, 1), (1.0, 1e6)])
def test_a_small_turn_is_told_from_none_and_large_entries_from_rounding(angle, factor):
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    a = [factor * axes @ turn @ axes.T]
    basis = equivariant_basis(a, a)
    assert (
        len(basis) == 3 and commute(basis, a, a) <= 1e-10 * factor
    )  # W may stretch the axis, stretch and turn the rest


def test_rows_and_columns_that_add_up_to_one_make_no_permutation():
    m = np.array([[0.0, 2, -1], [1, 0, 0], [0, -1, 2]])  # three eigenvalues
    basis = equivariant_basis([m], [m])
    assert len(basis) == 3 and commute(basis, [m], [m]) <= 1e-12


def in_span(matrix, basis):
    """Relative distance of a matrix from the span of a basis."""
    columns = basis.flatten(1).T
    solution = torch.linalg.lstsq(columns, matrix.flatten()[:, None]).solution
    return float((columns @ solution - matrix.flatten()[:, None]).norm() / matrix.norm())


def as_matrix(layer, n_in):
    unit = torch.eye(n_in.numel(), dtype=torch.float64).reshape(-1, 1, *n_in)
    with torch.no_grad():
        return layer(unit).flatten(1).T


def test_shifts_with_turns_give_the_lifting_convolution_and_nothing_else():
    n, group = 3, cyclic(4)
    space = SignalSpace(torus(n, group))
    lifted = SignalSpace(torus(n, group), [np.eye(4)] * 2 + [regular(group).matrices[1]])
    basis = equivariant_basis(rho(space), rho(lifted), group=space.group)
    assert len(basis) == 9  # one for each tap of a 3 × 3 filter
    options = {"padding": 1, "bias": False}
    layer = LiftingConv(square_grid(3, group), 1, 1, padding_mode="circular", **options).double()
    assert in_span(as_matrix(layer, torch.Size([n, n])), basis) <= 1e-12
    zeros = LiftingConv(square_grid(3, group), 1, 1, **options).double()
    assert in_span(as_matrix(zeros, torch.Size([n, n])), basis) > 0.1  # the control: borders break the shifts


def test_a_strand_gives_the_sharing_of_reverse_complement_layers():
    n, group = 6, cyclic(2)
    fibre = complement(group)
    space, out = SignalSpace(strand(n, group), fibre), SignalSpace(strand(n, group), regular(group))
    assert (
        len(equivariant_basis(rho(space), rho(out))) == 4 * n * n
    )  # half of (2n)(4n): one filter determines the other
    layer = LiftingConv(strand(3, group), 1, 1, fibre=fibre, padding=1, bias=False).double()
    assert in_span(as_matrix(layer, torch.Size([4, n])), equivariant_basis(rho(space), rho(out))) <= 1e-12


@pytest.mark.parametrize(
    ("group", "matrices", "dim"),
    [
        (octahedral(), CUBE_MATRICES[:2], 1),  # the cross product
        (octahedral(reflections=True), CUBE_MATRICES, 0),  # which a mirror turns round
        (dihedral(4), ([[0, -1], [1, 0]], [[1, 0], [0, -1]]), 0),
    ],
    ids=repr,
)
def test_bilinear_products_of_vectors(group, matrices, dim):
    matrices = [np.asarray(m, dtype=float) for m in matrices]
    basis = equivariant_basis([np.kron(m, m) for m in matrices], matrices, group=group)
    assert len(basis) == dim
    if dim:
        u, v = torch.randn(2, 3, dtype=torch.float64)
        product = basis[0] @ torch.kron(u, v)
        cross = torch.linalg.cross(u, v)
        assert 1 - float((product @ cross).abs() / product.norm() / cross.norm()) <= 1e-12


def test_six_hundred_thousand_unknowns_come_as_a_sparse_tensor():
    space = SignalSpace(square_grid(28, cyclic(4)))
    basis = equivariant_basis(rho(space), rho(space))
    assert basis.is_coalesced() and basis.shape == (784**2 // 4, 784, 784) and basis._nnz() == 784**2


def test_a_basis_of_more_than_half_a_gibibyte_is_sparse():
    n = 407  # the least whose basis of n matrices has more than 2²⁶ entries
    shift = np.roll(np.eye(n), 1, axis=0)
    assert equivariant_basis([shift], [shift]).is_sparse and (n - 1) ** 3 * 8 <= 2**29 < n**3 * 8


def test_the_layer_of_a_basis_is_equivariant_and_a_free_bias_is_not():
    a = rho(FOUR)
    basis, fixed = equivariant_basis(a, a), equivariant_basis(scalar(FOUR), a)
    layer = EquivariantLinear(basis, 2, 3, bias_basis=fixed).double()
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(5, 2, 4, dtype=torch.float64)
    moved = lambda g: (layer(FOUR.act(g, x)) - FOUR.act(g, layer(x))).norm() / layer(x).norm()
    assert max(float(moved(g).detach()) for g in range(24)) <= 1e-12
    free = EquivariantLinear(basis, 2, 3, bias_basis=torch.eye(4)[..., None]).double()
    torch.nn.init.normal_(free.bias)
    assert float((free(FOUR.act(1, x)) - FOUR.act(1, free(x))).norm().detach()) > 1e-2
    with pytest.raises(ValueError, match=r"its last axes must be \(2, 4\)"):
        layer(torch.zeros(5, 3, 4, dtype=torch.float64))


def hexagons(basis_type=torch.float64, **options):
    """Return a layer on a basis of irrational numbers, and what says how far a layer is from equivariant."""
    cos, sin = 0.5, np.sqrt(3) / 2
    space = SignalSpace(hexagonal_grid(3, cyclic(6)), [[[cos, -sin], [sin, cos]]])
    basis, matrix = equivariant_basis(rho(space), rho(space)), space.matrix(1)
    act, x = lambda t: t @ matrix.T, torch.randn(5, 1, 14, dtype=torch.float64)
    layer = EquivariantLinear(basis.to(basis_type), 1, 1, **options)
    return layer, lambda layer: equivariance_error(layer, x, act, act)


def through_a_file(layer):
    torch.save(layer, file := io.BytesIO())
    file.seek(0)
    return torch.load(file, weights_only=False)


def exchanged(layer):
    layer.weight = torch.nn.Parameter(layer.weight.detach().double())
    return layer


@pytest.mark.parametrize(
    "way",
    [
        lambda layer: layer.double(),
        lambda layer: layer.float().double(),
        lambda layer: torch.nn.Sequential(layer).half().bfloat16().double()[0],
        lambda layer: copy.deepcopy(layer.float()).double(),
        lambda layer: pickle.loads(pickle.dumps(layer.float())).double(),
        lambda layer: through_a_file(layer.half()).double(),
        lambda layer: layer.to("meta").to_empty(device="cpu").double(),
        exchanged,
    ],
)
def test_a_layer_is_exact_in_double_whatever_it_went_through(way):
    layer, error = hexagons()
    layer = way(layer)
    layer.reset_parameters()
    assert error(layer) <= 1e-12
    rounded, error = hexagons(torch.float32)  # the control
    assert error(rounded.double()) > 1e-9


def test_a_layer_in_single_precision_has_no_tensor_in_double_but_the_basis_on_the_cpu():
    layer, _ = hexagons()
    assert list(layer.buffers()) == [] and {p.dtype for p in layer.parameters()} == {torch.float32}
    assert layer.basis.dtype == torch.float64 and {b.dtype for b in layer._cast.values()} == {torch.float32}
    there = layer.to("meta")
    assert {b.device.type for b in there._cast.values()} == {"meta"} and there.basis.device.type == "cpu"
    made_there, _ = hexagons(device="meta", dtype=torch.half)
    assert made_there.weight.is_meta and made_there.weight.dtype == torch.half
    with torch.device("meta"):
        fixed = equivariant_basis(rho(FOUR), rho(FOUR))
        empty = EquivariantLinear(fixed, 1, 1)
    assert fixed.device.type == "cpu" and empty.weight.is_meta
    empty.to_empty(device="cpu").reset_parameters()
    assert empty(torch.ones(1, 4)).isfinite().all()


def test_what_is_done_to_a_basis_afterwards_changes_nothing():
    a, x = rho(FOUR), torch.randn(2, 1, 4)
    basis, fixed = equivariant_basis(a, a), equivariant_basis(scalar(FOUR), a)
    layer = EquivariantLinear(basis, 1, 1, bias_basis=fixed)
    before = layer(x)
    for b in (basis, fixed, layer.basis, layer.bias_basis, layer.state_dict()["basis"]):
        b.mul_(2)
    assert torch.equal(layer(x), before) and torch.equal(layer.double().float()(x), before)
    assert not torch.equal(EquivariantLinear(basis, 1, 1)(x), before)  # the control


def test_a_checkpoint_carries_its_basis():
    layer, error = hexagons()
    turned = torch.linalg.qr(torch.randn(len(layer.basis), len(layer.basis), dtype=torch.float64)).Q
    other = EquivariantLinear(torch.tensordot(turned, layer.basis, 1), 1, 1)  # as another machine solves it
    x = torch.randn(5, 1, 14)
    assert relative_error(other(x), layer(x)) > 0.1  # the control
    for saved in (
        layer.state_dict(),
        {"0.basis": layer.basis, "0.weight": layer.weight},
    ):  # as it was saved before, too
        whole = {"0." + key.removeprefix("0."): value for key, value in saved.items()}
        model = torch.nn.Sequential(copy.deepcopy(other))
        assert str(model.load_state_dict(whole)) == "<All keys matched successfully>"
        assert relative_error(model[0](x), layer(x)) <= 1e-6 and error(model.double()) <= 1e-12
    single = {key: value.float() for key, value in layer.state_dict().items()}
    layer.load_state_dict(single)
    assert error(layer.double()) <= 1e-12  # its own basis, rounded, does not replace the exact one
    with pytest.raises(RuntimeError, match=r'Missing key.*"basis"'):
        layer.load_state_dict({"weight": layer.weight})
    assert layer.load_state_dict({"weight": layer.weight}, strict=False).missing_keys == ["basis"]
    with pytest.raises(RuntimeError, match=r"basis: got shape \(1, 2, 2\); it must be \(\d+, 14, 14\)"):
        layer.load_state_dict({"weight": layer.weight, "basis": torch.ones(1, 2, 2)})
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"bias_basis"'):
        layer.load_state_dict(layer.state_dict() | {"bias_basis": torch.ones(1, 14)})


def test_weights_that_are_assigned_in_another_type_are_met_by_the_exact_basis():
    layer, error = hexagons()
    double = copy.deepcopy(layer).double()
    layer.load_state_dict(double.state_dict(), assign=True)
    assert layer.weight.dtype == torch.float64 and error(layer) <= 1e-12
    layer, _ = hexagons()
    call = lambda x: torch.func.functional_call(layer, dict(double.named_parameters()), (x,))
    assert error(call) <= 1e-12


def test_the_layer_is_compiled_and_exported_and_runs_under_autocast():
    a = rho(FOUR)
    basis, fixed = equivariant_basis(a, a), equivariant_basis(scalar(FOUR), a)
    layer, x = EquivariantLinear(basis, 2, 3, bias_basis=fixed), torch.randn(5, 2, 4)
    torch._dynamo.reset()
    assert relative_error(torch.compile(layer, backend="eager", fullgraph=True)(x), layer(x)) <= 1e-6
    exported = torch.export.export(
        layer, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=2, max=99)},)
    )
    assert relative_error(exported.module()(x.repeat(3, 1, 1)), layer(x).repeat(3, 1, 1)) <= 1e-6
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert 1e-6 < relative_error(layer(x).float(), layer.double()(x.double()).float()) < 0.05
    assert relative_error(layer.half()(x.half()).double(), layer.double()(x.double())) < 0.01


BAD = [
    (lambda: equivariant_basis([np.eye(2)], [np.eye(2)] * 2), "got 1 and 2;"),
    (lambda: equivariant_basis([], [np.eye(2)]), "rho_in: got no matrices"),
    (lambda: equivariant_basis([np.ones((2, 3))], [np.eye(2)]), "rho_in: got shapes .* all must be square"),
    (lambda: equivariant_basis([np.eye(0)], [np.eye(2)]), "rho_in: got shapes"),
    (lambda: equivariant_basis([np.eye(2)], [np.diag([1, 0])]), r"rho_out\[0\]: is not invertible"),
    (lambda: equivariant_basis([np.eye(3)[[0, 1, 1]]], [np.eye(3)]), r"rho_in\[0\]: is not invertible"),
    (lambda: equivariant_basis([np.eye(3)[:, [0, 1, 1]]], [np.eye(3)]), r"rho_in\[0\]: is not invertible"),
    (lambda: equivariant_basis([np.eye(2), np.eye(3)], [np.eye(2)] * 2), "rho_in: got shapes .* of one size"),
    (lambda: equivariant_basis([np.ones((2, 2, 1))], [np.eye(2)]), "rho_in: got shapes .* must be square"),
    (lambda: equivariant_basis([np.diag([1, np.nan])], [np.eye(2)]), "rho_in: has entries that are not"),
    (
        lambda: equivariant_basis([np.eye(2)], [np.diag([1, 2])], group=cyclic(2)),
        "rho_out: matrices: not a representation of C₂",
    ),
    (
        lambda: equivariant_basis([np.diag([1, 2])], [np.eye(2)], group=cyclic(2)),
        "rho_in: matrices: not a representation of C₂",
    ),
    (lambda: equivariant_basis([2 * np.eye(200)], [2 * np.eye(201)]), "201 × 200 = 40,200 unknowns"),
    (lambda: EquivariantLinear(torch.zeros(0, 2, 2), 1, 1), "basis: got shape"),
    (
        lambda: EquivariantLinear(torch.ones(1, 2, 2), 1, 1, bias_basis=torch.ones(1, 3, 1)),
        "bias_basis: got shape",
    ),
]


@pytest.mark.parametrize(("call", "words"), BAD)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("n", [12, 21])  # solved at once, and in two steps
def test_the_gap_is_the_smallest_singular_value_that_is_none(n):
    for seed in range(3):
        random = np.random.default_rng(seed)
        turn = np.linalg.qr(random.standard_normal((n, n)))[0]
        moves = [turn @ np.eye(n)[:, random.permutation(n)] @ turn.T for _ in range(2)]
        found = intertwiners(moves, moves)
        equations = [np.kron(m, np.eye(n)) - np.kron(np.eye(n), m.T) for m in moves]
        values = np.linalg.svd(np.concatenate(equations), compute_uv=False)
        assert found.dim == (values < 1e-9).sum()
        assert found.gap == pytest.approx(values[values > 1e-9].min(), rel=1e-5)


def test_the_gap_is_that_of_all_generators_and_not_of_one_after_the_other():
    arrow = rotations(3)
    found = intertwiners(arrow * arrow * arrow, arrow * arrow * arrow)
    assert found.dim == 15 and found.gap == pytest.approx(np.sqrt(2) / 3, rel=1e-6)


def test_the_gap_where_all_maps_are_solutions_or_none_is():
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((21, 21)))[0]
    for n in (12, 21):
        everything = intertwiners([2 * np.eye(n)], [2 * np.eye(n)])
        assert everything.dim == n * n and everything.gap == np.inf
        mirror = turn[:n, :n] if n == 21 else np.linalg.qr(turn[:n, :n])[0]
        nothing = intertwiners([mirror @ np.diag([-1.0] + [1.0] * (n - 1)) @ mirror.T], [-2 * np.eye(n)])
        assert nothing.dim == 0 and nothing.gap == pytest.approx(0.5, rel=1e-6)


def test_complex_matrices_are_refused_and_keep_no_real_part():
    third = np.exp(2j * np.pi / 3)
    with pytest.raises(ValueError, match="real"):
        intertwiners([[[third]]], [[[third.conjugate()]]])
