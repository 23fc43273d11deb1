"""The linear layer on a group axis: against the literal sum and the dense layer, exactness for every kind of group, controls, errors."""

import copy
import io
import json
import pickle
from pathlib import Path

import blocks
import pytest
import torch
from torch import nn
from torch.func import functional_call

from gdl_utils.equivariance import relative_error
from gdl_utils.groups import Group, cyclic, dihedral, octahedral, symmetric
from gdl_utils.intertwiners import equivariant_basis
from gdl_utils.layers import GroupLinear
from gdl_utils.representations import irreps, regular

# i and j of the quaternions, as they multiply 1, i, j, k, -1, -i, -j, -k from the left.
QUATERNIONS = Group([[1, 4, 3, 6, 5, 0, 7, 2], [2, 7, 4, 1, 6, 3, 0, 5]], names="ij", name="Q_8")
# The product of a four-cycle and S_3: its irrep of 4 × 4 is complex. And with the quaternions one of 8 × 8 that is quaternionic.
FOUR_AND_SIX = Group([[1, 2, 3, 0, 4, 5, 6], [0, 1, 2, 3, 5, 4, 6], [0, 1, 2, 3, 4, 6, 5]], name="C_4 × S_3")
QUATERNIONS_AND_SIX = Group(
    [[*p, 8, 9, 10] for p in ([1, 4, 3, 6, 5, 0, 7, 2], [2, 7, 4, 1, 6, 3, 0, 5])]
    + [[*range(8), 9, 8, 10], [*range(8), 8, 10, 9]],
    name="Q_8 × S_3",
)
GROUPS = [cyclic(1), cyclic(2), cyclic(5), cyclic(8), dihedral(4), symmetric(3), octahedral()]
GROUPS += [QUATERNIONS, FOUR_AND_SIX, QUATERNIONS_AND_SIX]
PRODUCTS = [
    1,
    2,
    7,
    11,
    12,
    10,
    64,
    20,
]  # of numbers, by d³ for each real irrep, 3 for a wave, 16 for the quaternions
each = pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)


def made(group, n_in=3, n_out=2, **options):
    torch.manual_seed(0)
    return GroupLinear(group, n_in, n_out, **options)


def literal(layer, x, swapped=False):
    """y[h] = Σ_g x[g] W[g⁻¹h] + b, as it is written; or with hg⁻¹ in the place of g⁻¹h."""
    times, back, n = layer.group.times, layer.group.inverse, len(layer.group)
    step = lambda g, h: times(h, back[g]) if swapped else times(back[g], h)
    sums = [sum(x[..., g] @ layer.weight[step(g, h)] for g in range(n)) for h in range(n)]
    return torch.stack(sums, dim=-1) + layer.bias[:, None]


def moved(group, g, x):
    """(g·x)[h] = x[g⁻¹h]."""
    return x[..., group.product[group.inverse[g]].tolist()]


def worst(group, layer, x):
    return max(
        relative_error(layer(moved(group, g, x)), moved(group, g, layer(x))) for g in range(len(group))
    )


@each
def test_it_is_the_literal_sum_and_the_dense_layer_in_both_memory_formats(group, rng):
    layer = made(group, dtype=torch.float64)
    x = torch.randn(5, 4, 3, len(group), generator=rng, dtype=torch.float64)
    expected = literal(layer, x)
    outermost = x.movedim(-1, 0).contiguous().movedim(0, -1)
    for y in (layer(x), layer(outermost), layer(x.flatten(0, 1)).unflatten(0, (5, 4))):
        assert y.shape == (5, 4, 2, len(group)) and relative_error(y, expected) <= 1e-12
    plain = layer.to_linear()
    assert relative_error(plain(x.flatten(-2)).unflatten(-1, (2, -1)), expected) <= 1e-12
    assert sum(p.numel() for p in layer.parameters()) == 3 * 2 * len(group) + 2
    # The control: the other order is another layer where the group is not abelian, and the same where it is.
    error = relative_error(literal(layer, x, swapped=True), expected)
    assert error <= 1e-12 if group.is_abelian else error > 1e-1


@each
def test_gradients_are_those_of_the_literal_sum(group, rng):
    layer = made(group, dtype=torch.float64)
    x = torch.randn(4, 3, len(group), generator=rng, dtype=torch.float64, requires_grad=True)
    to = torch.randn(4, 2, len(group), generator=rng, dtype=torch.float64)
    found, expected = (
        torch.autograd.grad((y * to).sum(), [x, *layer.parameters()]) for y in (layer(x), literal(layer, x))
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert relative_error(ours, theirs) <= 1e-12


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@each
def test_it_commutes_with_the_group_and_one_untied_weight_does_not(group, dtype, bound, rng):
    layer, x = made(group, dtype=dtype), torch.randn(4, 3, len(group), generator=rng, dtype=dtype)
    plain = layer.to_linear()
    dense = lambda x: plain(x.flatten(-2)).unflatten(-1, (2, -1))
    assert worst(group, layer, x) <= bound and worst(group, dense, x) <= bound
    with torch.no_grad():
        plain.weight[0, 0] += 1
    assert len(group) == 1 or worst(group, dense, x) > 1e-2


@pytest.mark.parametrize("group", [g for g in GROUPS if len(g) <= 24], ids=lambda group: group.name)
def test_there_are_no_other_linear_maps(group):
    """As many parameters as the solver finds maps; and all of these are reached."""
    steps = [regular(group).matrices[g] for g in group.generators]
    basis = equivariant_basis(steps, steps)
    layer, maps = made(group, 1, 1, bias=False, dtype=torch.float64), []
    for k in range(len(group)):
        with torch.no_grad():
            layer.weight.copy_(torch.eye(len(group), dtype=torch.float64)[k][:, None, None])
        maps.append(layer.to_linear().weight.detach())
    assert len(basis) == len(maps) == torch.linalg.matrix_rank(torch.stack(maps).flatten(1))
    spanned = torch.linalg.matrix_rank(torch.cat([basis.flatten(1), torch.stack(maps).flatten(1)]))
    assert spanned == len(basis)


@pytest.mark.parametrize(("group", "number"), list(zip(GROUPS, PRODUCTS, strict=False)), ids=str)
def test_the_number_of_products_is_as_said(group, number):
    assert f"{number} products instead of {len(group) ** 2}" in repr(made(group))
    square = {"real": lambda d: d**3, "complex": lambda d: d**3 // 2, "quaternionic": lambda d: d**3 // 4}
    waves = [(r.kind, r.size) for r in irreps(group)]
    assert sum(3 if wave == ("complex", 2) else square[wave[0]](wave[1]) for wave in waves) == number


def test_kinds_of_irreps_that_are_neither_real_nor_smallest_are_among_the_groups():
    kinds = {(r.kind, r.size) for group in GROUPS for r in irreps(group)}
    assert {("complex", 2), ("complex", 4), ("quaternionic", 4), ("quaternionic", 8), ("real", 3)} <= kinds


def test_it_starts_as_a_dense_layer_of_its_width():
    layer, dense = made(cyclic(8), 64, 64), nn.Linear(512, 512)
    x = torch.randn(200, 64, 8)
    assert 0.95 < layer(x).std() / dense(x.flatten(1)).std() < 1.05
    assert (
        float(layer.weight.detach().abs().max())
        <= 512**-0.5
        < 1.01 * float(layer.weight.detach().abs().max())
    )


def test_bad_input_is_named():
    layer, x = made(cyclic(4)), torch.randn(2, 3, 4)
    for error, words, call in (
        (TypeError, "group: got int", lambda: GroupLinear(4, 3, 2)),
        (ValueError, "in_channels: got 0", lambda: GroupLinear(cyclic(4), 0, 2)),
        (TypeError, "out_channels: got 2.0", lambda: GroupLinear(cyclic(4), 3, 2.0)),
        (ValueError, "out_channels: the weights would hold", lambda: GroupLinear(cyclic(8), 10**6, 10**6)),
        (ValueError, "group: the regular representation", lambda: GroupLinear(cyclic(500), 3, 2)),
        (TypeError, "x: got ndarray", lambda: layer(x.numpy())),
        (ValueError, r"x: got shape \(2, 4, 3\); \(…, 3 channels, 4 group elements\)", lambda: layer(x.mT)),
        (ValueError, r"x: got shape \(4,\)", lambda: layer(x[0, 0])),
        (TypeError, "x: got torch.float64", lambda: layer(x.double())),
    ):
        with pytest.raises(error, match=words):
            call()


@pytest.mark.parametrize("shape", [(3, 8), (0, 3, 8), (2, 5, 3, 8)])
@pytest.mark.parametrize("bias", [True, False])
def test_any_number_of_points_as_a_dense_layer(shape, bias):
    layer, x = made(cyclic(8), bias=bias), torch.randn(shape)
    y = layer(x)
    assert y.shape == (*shape[:-2], 2, 8)
    assert torch.allclose(y, layer.to_linear()(x.flatten(-2)).unflatten(-1, (2, 8)), atol=1e-6)


def test_it_is_a_good_citizen():
    layer, x = made(dihedral(4)), torch.randn(6, 3, 8)
    y = layer(x)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    for other in (
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        torch.load(file, weights_only=False),
    ):
        assert torch.equal(other(x), y)
    fresh = GroupLinear(dihedral(4), 3, 2, device="meta").to_empty(device="cpu")
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh(x), y) and not list(layer.buffers())
    there_and_back = copy.deepcopy(layer).double().half().double()
    there_and_back.load_state_dict(layer.state_dict())
    assert relative_error(there_and_back(x.double()), copy.deepcopy(layer).double()(x.double())) <= 1e-12
    exchanged = {name: p.double() for name, p in layer.named_parameters()}
    assert relative_error(functional_call(layer, exchanged, x.double()), layer.double()(x.double())) <= 1e-12
    layer = layer.float()
    assert relative_error(torch.compile(layer, backend="eager", fullgraph=True)(x), y) <= 1e-6
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim("n", min=2, max=64)},))
    assert torch.allclose(program.module()(x[:3]), y[:3], atol=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = layer(x)
    low.float().sum().backward()
    assert relative_error(low.float(), y) <= 0.1 and layer.weight.grad.dtype == torch.float32
    assert torch.allclose(torch.vmap(layer)(x), y, atol=1e-6)
    assert torch.autograd.gradcheck(layer.double(), (x.double().requires_grad_(),))


@pytest.fixture
def tiny(monkeypatch):
    """The benchmark with one thread, small layers, few rows."""
    settings = {"ROUNDS": 2, "WIDTH": 16, "IN_TURN": 4, "ROWS": (2, 4), "THREADS": (1,)}
    for name, value in settings.items():
        monkeypatch.setattr(blocks, name, value)


def test_the_benchmark_writes_what_is_committed(tmp_path, tiny):
    blocks.main(tmp_path / "out.json")
    written, committed = (
        json.loads(path.read_text(encoding="utf-8"))
        for path in (tmp_path / "out.json", Path(blocks.__file__).with_suffix(".json"))
    )
    assert list(written) == list(committed)
    for row in (*written["results"], *committed["results"]):
        assert list(row) == ["group", "rows", "threads", "ours_ms", "other ÷ ours"] and row["ours_ms"] > 0
        assert list(row["other ÷ ours"]) == ["dense", "group innermost"]
    for low, middle, high in (q for row in committed["results"] for q in row["other ÷ ours"].values()):
        assert 0 < low <= middle <= high
    kinds = {(row["group"], row["rows"], row["threads"]) for row in committed["results"]}
    assert {(group, 1024, 1) for group in blocks.GROUPS} <= kinds


def test_a_dense_layer_that_computes_something_else_is_refused(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(GroupLinear, "to_linear", lambda self: nn.Linear(16, 16))
    with pytest.raises(SystemExit, match="dense computes something else"):
        blocks.main(tmp_path / "out.json")


def test_weights_of_another_group_are_not_loaded():
    saved = made(cyclic(4)).state_dict()
    made(cyclic(4)).load_state_dict(saved)
    made(Group([[1, 2, 3, 0]])).load_state_dict(saved)  # another name
    made(dihedral(2)).load_state_dict(dict(saved))  # as those saved before: it does not say where it is from
    with pytest.raises(RuntimeError, match=r"weight: saved from C₄ .*; this layer is of D₂"):
        made(dihedral(2)).load_state_dict(saved)
