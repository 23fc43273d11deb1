"""The blueprint and the audit: three symmetries in one frame, a planted plain layer named, shapes read as they are meant."""

import math
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn

from gdl_utils.blueprint import Blueprint
from gdl_utils.domains import cubic_grid, hexagonal_grid, nodes, square_grid, strand, torus
from gdl_utils.equivariance import Audit, audit, equivariance_error, equivariance_errors
from gdl_utils.equivariance.audit import AuditRow
from gdl_utils.figures import audit_chart
from gdl_utils.groups import cyclic, dihedral, octahedral, symmetric
from gdl_utils.intertwiners import equivariant_basis
from gdl_utils.layers import (
    EquivariantLinear,
    FieldBatchNorm,
    FieldDropout,
    FieldNorms,
    Gated,
    GlobalPool,
    GroupBatchNorm,
    GroupConv,
    GroupPool,
    HexagonMask,
    LiftingConv,
    NormReLU,
    spatial,
)
from gdl_utils.representations import Representation, irreps, regular, sign, trivial
from gdl_utils.signals import SignalSpace, complement
from gdl_utils.training import fit

P4 = square_grid(3, cyclic(4))


def shifts_network(mode="circular"):
    conv = lambda i, o: nn.Conv2d(i, o, 3, padding=1, padding_mode=mode)
    pools = [nn.AvgPool2d(2), None]
    return Blueprint(
        [conv(1, 4), conv(4, 8)], local_pooling=pools, invariant_pooling=GlobalPool(2), head=nn.Linear(8, 3)
    )


def p4_network(second=None, pool=None):
    layers = [LiftingConv(P4, 1, 4, padding=1), second or GroupConv(P4, 4, 8, padding=1)]
    pools = [pool or spatial(nn.AvgPool2d(2)), None]
    return Blueprint(
        layers, local_pooling=pools, invariant_pooling=GlobalPool(2, group_axis=True), head=nn.Linear(8, 3)
    )


def sets_network():
    space = SignalSpace(nodes(5))
    rho = [space.matrix(g) for g in space.group.generators]
    basis, fixed = equivariant_basis(rho, rho), equivariant_basis([np.eye(1)] * len(rho), rho)
    layers = [EquivariantLinear(basis, i, 8, bias_basis=fixed) for i in (3, 8)]
    return Blueprint(layers, invariant_pooling=GlobalPool(1), head=nn.Linear(8, 2))


THREE = {
    "shifts": (shifts_network, (2, 1, 8, 8), torus(8)),
    "p4": (p4_network, (2, 1, 8, 8), cyclic(4)),
    "S_n": (sets_network, (2, 3, 5), symmetric(5)),
}


@pytest.mark.parametrize("name", THREE)
def test_three_instances_of_one_blueprint_are_exact_after_every_layer(name):
    make, shape, group = THREE[name]
    report = audit(make().double(), torch.randn(shape, dtype=torch.float64), group)
    assert report.lost_at is None and all(row.error <= 1e-12 for row in report.rows)
    assert [row.name for row in report.rows][-2:] == ["invariant pooling", "head"]
    assert report.rows[-1].reading == "invariant" and report.rows[0].reading != "invariant"
    assert audit(make(), torch.randn(shape), group).lost_at is None  # and once in float32


def test_parts_can_be_taken_out_and_sliced_off():
    model, x = p4_network(), torch.randn(2, 1, 8, 8)
    assert isinstance(model[0], LiftingConv) and isinstance(model[-1], nn.Linear)
    features = model[:-1]
    assert list(dict(features.named_children()))[-1] == "invariant pooling"
    assert torch.equal(model[-1](features(x)), model(x))


def test_a_planted_plain_layer_is_named_as_the_place_of_loss():
    report = audit(
        p4_network(spatial(nn.Conv2d(16, 32, 3, padding=1))).double(),
        torch.randn(2, 1, 8, 8).double(),
        cyclic(4),
    )
    assert report.lost_at == "equivariant 2.module" and "<- lost here" in str(report)
    assert all(row.error <= 1e-12 for row in report.rows[:3]) and report.rows[3].error > 1e-2


@pytest.mark.parametrize(
    ("model", "group", "lost"),
    [
        (lambda: p4_network(pool=spatial(nn.MaxPool2d(3, 2, 1))), cyclic(4), "local pooling 1.module"),
        (lambda: shifts_network("zeros"), torus(8), "equivariant 1"),
        (
            lambda: nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"), nn.Flatten(), nn.Linear(256, 9)
            ),
            torus(8),
            "2",
        ),
    ],
    ids=["a size that does not fit", "borders", "flatten and dense"],
)
def test_what_breaks_a_symmetry_is_found(model, group, lost):
    assert audit(model().double(), torch.randn(2, 1, 8, 8).double(), group).lost_at == lost


def test_a_stride_leaves_the_shifts_that_it_divides_and_the_audit_says_so():
    model, x = shifts_network().double(), torch.randn(2, 1, 8, 8, dtype=torch.float64)
    assert [row.elements for row in audit(model, x, torus(8)).rows] == [64, 64, 16, 16, 16, 16, 16]
    kept = respected(model, x, SignalSpace(torus(8)))
    assert set(kept) == {
        8 * i + j for i in range(0, 8, 2) for j in range(0, 8, 2)
    }  # the even shifts, and no other


def test_the_symmetry_of_a_trained_network_is_a_subgroup():
    group = dihedral(4)
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    kept = respected(p4_network().double(), x, SignalSpace(square_grid(8, group)))
    assert kept == [0, 1, 2, 3]  # of turns and mirror images, the turns
    plain = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).double()
    assert respected(plain, x, SignalSpace(square_grid(8, group))) == [0]


class Times(nn.Module):
    """A factor for each point: it minds where things are, unless all are equal."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


@pytest.mark.parametrize(("n", "pool"), [(28, 7), (27, 9), (33, 11), (35, 7)])
def test_of_a_large_torus_there_are_shifts_to_try_after_every_stride(n, pool):
    x, side = torch.randn(1, 1, n, n, dtype=torch.float64), n // pool
    masked, plain = (
        audit(nn.Sequential(nn.AvgPool2d(pool), Times(factor)).double(), x, torus(n))
        for factor in (torch.rand(side, side, dtype=torch.float64), 2)
    )
    assert masked.lost_at == "1" and masked.rows[0].elements > 1
    assert plain.lost_at is None and plain.rows[-1].elements > 1  # the control


def test_a_reading_that_leaves_the_identity_alone_shows_nothing():
    x = torch.randn(2, 1, 7, dtype=torch.float64)
    assert audit(nn.Linear(7, 1).double(), x, cyclic(7)).lost_at is not None  # not "a cycle of 1"
    mean = audit(nn.AdaptiveAvgPool1d(1), x, cyclic(7))  # the control
    assert mean.lost_at is None and mean.rows[-1].elements == 7


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("factor", [float("nan"), float("inf"), 1])
def test_an_output_that_is_not_finite_counts_as_lost(factor, dtype):
    report = audit(Times(factor), torch.randn(2, 1, 6, 6, dtype=dtype), cyclic(4))
    assert report.lost_at == (None if factor == 1 else "model")  # the control: a factor of 1
    assert factor == 1 or ("inf" in str(report) and audit_chart({"": report}))


@pytest.mark.parametrize(
    ("shape", "group"),
    [((1, 1, 28, 28), torus(28, cyclic(4))), ((1, 1, 7), symmetric(7))],
    ids=["6,272 elements", "5,040 elements"],
)
def test_groups_too_large_for_a_table_are_audited(shape, group):
    x = torch.randn(shape, dtype=torch.float64)
    assert audit(nn.ReLU(), x, group).lost_at is None
    assert audit(Times(torch.rand(shape[-1], dtype=torch.float64)), x, group).lost_at == "model"


def test_on_a_cycle_with_mirrors_the_group_axis_is_read():
    model = LiftingConv(strand(3, cyclic(2)), 1, 4, padding=1, padding_mode="circular").double()
    x, group = torch.randn(1, 1, 6, dtype=torch.float64), dihedral(6)
    row = audit(model, x, group).rows[-1]
    assert row.reading == "cycle of 6, group axis" and row.error <= 1e-12
    plain = nn.Sequential(nn.Conv1d(1, 8, 3, padding=1, padding_mode="circular"), nn.Unflatten(1, (4, 2)))
    assert audit(plain.double(), x, group).rows[-1].error > 0.1  # the control: two filters, no mirror images


def test_a_group_that_the_cubic_grid_knows_moves_volumes():
    x = torch.randn(1, 1, 4, 4, 4, dtype=torch.float64)
    row = audit(nn.ReLU(), x, dihedral(4)).rows[-1]
    assert row.reading == "cubic grid 4×4×4" and row.error <= 1e-12
    assert audit(Times(torch.rand(4, dtype=torch.float64)), x, dihedral(4)).rows[-1].error > 0.1


def respected(model, x, space):
    """The elements under which a model is invariant: the symmetry that it has, by measurement."""
    return [g for g, error in equivariance_errors(model, x, space).items() if error <= 1e-12]


READ = [
    (
        lambda: nn.Sequential(LiftingConv(cubic_grid(3, octahedral()), 1, 2, padding=1), nn.ReLU()),
        octahedral(),
        (1, 1, 4, 4, 4),
        "cubic grid 4×4×4, group axis",
    ),
    (
        lambda: nn.Sequential(LiftingConv(P4, 1, 2).to_conv(), nn.ReLU()),
        cyclic(4),
        (1, 1, 6, 6),
        "square grid 4×4, group in channels",
    ),
    (
        lambda: nn.Sequential(LiftingConv(P4, 1, 2), GroupBatchNorm(2), spatial(GlobalPool(2))),
        cyclic(4),
        (1, 1, 6, 6),
        "group axis alone",
    ),
    (lambda: LiftingConv(P4, 1, 1).to_conv(), cyclic(4), (1, 1, 6, 6), "square grid 4×4, group axis"),
    (
        lambda: nn.Sequential(
            LiftingConv(square_grid(3, cyclic(2)), 1, 2, padding=1, padding_mode="circular"),
            spatial(GlobalPool(2)),
        ),
        torus(6, cyclic(2)),
        (1, 1, 6, 6),
        "group axis alone",
    ),
    (
        lambda: Functional(nn.Identity(), lambda t: t.movedim(1, -1)),
        cyclic(4),
        (1, 3, 6, 6),
        "square grid 6×6, channels last",
    ),
    (lambda: nn.AdaptiveAvgPool2d(1), torus(6), (1, 1, 6, 6), "invariant"),
    (lambda: GlobalPool(1), cyclic(6), (1, 3, 6), "invariant"),
    (lambda: nn.Sequential(nn.Identity(), nn.Flatten()), cyclic(6), (1, 3, 6), "cycle of 6, flattened"),
]


@pytest.mark.parametrize(
    ("model", "group", "shape", "reading"),
    READ,
    ids=["volume", "deployed", "axis", "one channel", "halves", "last", "mean", "at once", "flat"],
)
def test_shapes_are_read_as_they_are_meant(model, group, shape, reading):
    last = audit(model().double(), torch.randn(shape, dtype=torch.float64), group).rows[-1]
    assert last.reading == reading and last.error <= 1e-12
    assert audit(model(), torch.randn(shape), group).rows[-1].reading == reading  # and in float32


def test_a_network_for_one_group_can_be_audited_for_a_larger_and_a_smaller_one():
    network = lambda n: nn.Sequential(
        LiftingConv(square_grid(3, cyclic(n)), 1, 4, padding=1), GlobalPool(2, group_axis=True)
    ).double()
    x = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    assert audit(network(2), x, cyclic(4)).rows[-1].error > 1e-3
    assert audit(network(4), x, cyclic(2)).rows[-1].error <= 1e-12


def test_strands_and_hexagons_are_audited_too():
    group = cyclic(2)
    space = SignalSpace(strand(12, group), complement(group))
    model = nn.Sequential(LiftingConv(strand(5, group), 1, 2, fibre=complement(group)), nn.ReLU()).double()
    assert audit(model, torch.randn(1, 1, 4, 12, dtype=torch.float64), space).lost_at is None
    kernel = hexagonal_grid(3, cyclic(6))
    layers = [LiftingConv(kernel, 1, 2, padding=1), nn.ReLU(), GroupConv(kernel, 2, 2, padding=1)]
    x = HexagonMask()(torch.randn(1, 1, 9, 9, dtype=torch.float64))
    assert (
        audit(nn.Sequential(*layers).double(), x, cyclic(6)).lost_at == "2"
    )  # not masked again after the first
    for outside in (Plus(torch.ones(1)), Functional(nn.Identity(), lambda t: t.movedim(1, -1) + 1)):
        assert audit(outside.double(), x, cyclic(6)).lost_at is None  # outside of the mask nothing counts
    again = nn.Sequential(layers[0], nn.ReLU(), HexagonMask(), layers[2]).double()
    assert audit(again, x, cyclic(6)).lost_at is None


class Attention(nn.Module):
    """Self-attention on (batch, channels, n), with channels last inside, as transformers have them."""

    def __init__(self, channels, n, positions):
        super().__init__()
        self.last, self.first = Transposed(), Transposed()
        self.positions = Plus(torch.randn(n, channels) if positions else torch.zeros(n, channels))
        self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))

    def forward(self, x):
        h = self.positions(self.last(x))
        weights = (self.query(h) @ self.key(h).transpose(1, 2)).softmax(-1)
        return self.first(weights @ self.value(h))


class Transposed(nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)


class Plus(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(value)

    def forward(self, x):
        return x + self.value


def test_a_transformer_is_exact_with_channels_last_and_lost_at_its_positions():
    report = lambda positions: audit(
        Attention(4, 5, positions).double(), torch.randn(2, 4, 5, dtype=torch.float64), symmetric(5)
    )
    found = report(False)
    assert found.lost_at is None and found.rows[0].reading == "5 nodes, channels last"
    assert found.rows[-1].reading == "5 nodes"
    assert report(True).lost_at == "positions"


def test_the_audit_leaves_a_model_and_its_input_as_they_were():
    model = nn.Sequential(LiftingConv(P4, 1, 2), GroupBatchNorm(2), nn.ReLU(inplace=True)).double()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    audit(model, torch.randn(2, 1, 6, 6, dtype=torch.float64), cyclic(4))
    assert model.training and not model[1].training and not model[0]._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    x = torch.randn(2, 1, 6, 6)
    kept = x.clone()
    assert audit(Functional(nn.Identity(), lambda t: t.mul_(2)), x, cyclic(4)).lost_at is None
    assert torch.equal(x, kept)


def test_the_table_names_the_first_layer_that_errs():
    rows = (
        AuditRow("0", "Conv2d", (2, 4, 8, 8), "torus 8×8", 16, 1e-12),
        AuditRow("1", "Plain", (2, 4, 8, 8), "torus 8×8", 4, 0.25),
        AuditRow("head", "Linear", (2,), "invariant", 4, 1.234),
    )
    assert str(Audit(rows, "Z₈²", 1e-12)).splitlines() == [
        "layer  error               output  read as                 kind",
        "0      ≤ 1e-12             4×8×8   torus 8×8; 16 elements  Conv2d",
        "1      0.25  <- lost here  4×8×8   torus 8×8; 4 elements   Plain",
        "head   1.2                 1       invariant               Linear",
    ]
    assert Audit(rows, "Z₈²", 1e-12).lost_at == "1" and Audit(rows[:1], "Z₈²", 1e-12).lost_at is None


def test_the_table_in_a_notebook_says_the_same():
    rows = (
        AuditRow("<0>", "Conv2d", (2, 4, 8, 8), "torus 8×8", 16, 0.25),
        AuditRow("1", "ReLU", (2, 4), "invariant", 16, 0.0),
    )
    html = Audit(rows, "Z₈²", 1e-12)._repr_html_()
    table = [[cell.text for cell in row] for row in ElementTree.fromstring(html).iter("tr")]
    assert table[1] == ["<0>", "0.25  <- lost here", "4×8×8", "torus 8×8; 16 elements", "Conv2d"]
    assert table[0][:2] == ["layer", "error"] and table[2] == ["1", "≤ 1e-12", "4", "invariant", "ReLU"]


def test_the_error_of_a_layer_is_the_measured_one(rng):
    space, model = SignalSpace(square_grid(8, cyclic(4))), Plus(torch.rand(8, 8, generator=rng)).double()
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=rng)
    turns = [lambda t, g=g: space.act(g, t) for g in range(4)]
    worst = pytest.approx(max(equivariance_error(model, x, turn, turn) for turn in turns))
    assert audit(model, x, space).rows == (
        AuditRow("model", "Plus", (2, 1, 8, 8), "square grid 8×8", 4, worst),
    )
    assert audit(model, x, space).group == "C₄" and type(audit(model, x, space).rows[0].error) is float
    assert audit(model, x, space, bound=0.99 * worst.expected).lost_at == "model"
    assert audit(model.half(), x.half(), space, bound=1.01 * worst.expected).lost_at is None


@pytest.mark.parametrize(
    ("group", "shape", "reading", "elements"),
    [
        (cyclic(4), (1, 1, 8, 8), "square grid 8×8", 4),
        (cyclic(2), (1, 1, 5, 5), "square grid 5×5", 2),  # the hexagonal grid knows C₂ too
        (dihedral(3), (1, 1, 1, 1), "hexagonal grid 1×1", 6),
        (cyclic(6), (1, 1, 1, 1), "hexagonal grid 1×1", 6),
        (octahedral(), (1, 1, 4, 4, 4), "cubic grid 4×4×4", 24),
        (cyclic(3), (1, 1, 6), "cycle of 6", 3),
        (dihedral(4), (1, 1, 8), "cycle of 8", 8),
        (symmetric(5), (1, 3, 5), "5 nodes", 120),
        (torus(6), (1, 6, 6), "torus 6×6", 36),
        (SignalSpace(strand(4, cyclic(2))), (1, 3, 4), "strand 4", 2),
    ],
    ids=repr,
)
def test_a_group_moves_the_input_as_its_shape_suggests(group, shape, reading, elements):
    row = audit(nn.Identity(), torch.randn(shape, dtype=torch.float64), group).rows[0]
    assert (row.reading, row.elements, row.error) == (reading, elements, 0)


def test_shifts_and_turns_of_a_torus_are_followed_through_pooling_and_flattening():
    torch.manual_seed(0)
    lift = LiftingConv(square_grid(3, cyclic(2)), 1, 3, padding=1, padding_mode="circular")
    model = nn.Sequential(lift, spatial(nn.AvgPool2d(2)), nn.Flatten(), nn.ReLU()).double()
    rows = audit(model, torch.randn(2, 1, 6, 6, dtype=torch.float64), torus(6, cyclic(2))).rows
    assert all(row.error <= 1e-12 for row in rows)
    assert [(row.reading, row.elements) for row in rows] == [
        ("torus 6×6, group axis", 72),
        ("torus 3×3, group in channels", 18),
        ("torus 3×3, flattened, group in channels", 18),
        ("torus 3×3, flattened, group in channels", 18),
    ]


@pytest.mark.parametrize("axis", [2, 3])
def test_of_a_large_group_enough_is_tried_to_see_one_broken_shift(axis):
    ramp = torch.arange(12.0, dtype=torch.float64).reshape((1, 1, 12, 1) if axis == 2 else (1, 1, 1, 12))
    x = torch.randn(2, 1, 12, 12, dtype=torch.float64)
    report = audit(nn.Sequential(nn.AvgPool2d(1), Plus(ramp)), x, torus(12))
    assert report.lost_at == "1" and 12 < report.rows[0].elements < 144
    pooled = audit(nn.Sequential(nn.AvgPool2d(2), nn.AvgPool2d(2)), x, torus(12))
    assert pooled.lost_at is None and pooled.rows[0].elements > pooled.rows[1].elements > 1


@pytest.mark.parametrize("n", [128, 129, 156])
def test_of_more_than_128_elements_a_dozen_and_what_strides_leave_are_tried(n):
    tried = {*range(0, n, n // 12)} | {d for d in range(1, n) if n % d == 0} if n > 128 else range(n)
    assert audit(nn.Identity(), torch.randn(1, 1, n).double(), cyclic(n)).rows[0].elements == len(tried)


class Functional(nn.Module):
    def __init__(self, layer, function):
        super().__init__()
        self.layer, self.function = layer, function

    def forward(self, x):
        return self.function(self.layer(x))


def test_what_a_model_does_after_its_last_layer_is_audited_too():
    x = torch.randn(2, 1, 6, 6, dtype=torch.float64)
    report = audit(Functional(nn.Identity(), lambda t: t.cumsum(-1)), x, cyclic(4))
    assert [(row.name, row.layer) for row in report.rows] == [("layer", "Identity"), ("output", "Functional")]
    assert report.lost_at == "output"
    assert len(audit(Functional(nn.Identity(), lambda t: t), x, cyclic(4)).rows) == 1
    with pytest.warns(UserWarning, match="the output of output is constant"):
        dead = audit(Functional(nn.Identity(), torch.zeros_like), x, cyclic(4))
    assert dead.lost_at is None and dead.rows[-1].reading == "constant" and math.isnan(dead.rows[-1].error)
    lift = LiftingConv(P4, 1, 1).double()
    assert audit(Functional(lift, lambda t: t[:, 0]), x, cyclic(4)).lost_at is None
    assert audit(Functional(lift, lambda t: t[0, 0]), x, cyclic(4)).lost_at == "output"  # lost the batch
    noisy = Plus(torch.randn(6, 6)).double()  # what is done in place afterwards does not hide it
    assert audit(Functional(noisy, lambda t: t.fill_(1)), x, cyclic(4)).lost_at == "layer"


def test_outputs_that_are_no_tensors_are_passed_over():
    x = torch.randn(2, 6, 6)
    first = audit(Functional(nn.GRU(6, 6, batch_first=True), lambda out: out[0]), x, cyclic(6))
    assert [row.name for row in first.rows] == ["layer[0]", "layer[1]"] and first.lost_at == "layer[0]"
    pair = audit(Functional(nn.ReLU(), lambda t: (t, t)), x, cyclic(6))
    assert [row.name for row in pair.rows] == ["layer"] and pair.lost_at is None
    words = audit(Functional(nn.ReLU(), lambda t: {"maps": t, "kind": "plain", "none": None}), x, cyclic(6))
    assert [row.name for row in words.rows] == ["layer"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Blueprint([]), "equivariant: got no layer"),
        (lambda: Blueprint([nn.Identity()], local_pooling=[]), "local_pooling: got 0 for 1"),
        (lambda: Blueprint([nn.Identity()], head=nn.Identity()), "head: needs invariant_pooling"),
        (lambda: GlobalPool(4), "dimensions: got 4"),
        (lambda: GlobalPool(2)(torch.zeros(2, 3)), r"x: got shape \(2, 3\)"),
        (
            lambda: audit(nn.Linear(5, 1), torch.zeros(2, 1, 8, 6), cyclic(4)),
            r"group: acts on no domain that fits x of shape \(2, 1, 8, 6\)",
        ),
        (lambda: audit(nn.Identity(), torch.zeros(8, 8), torus(8)), r"x: got shape \(8, 8\)"),
        (lambda: audit(nn.Identity(), torch.zeros(2, 1, 6, 6).half(), cyclic(4)), "x: got torch.float16"),
        (lambda: audit(nn.Identity(), torch.zeros(2, 1, 6, 6), cyclic(5)), "group: acts on no domain"),
        (lambda: audit(nn.Identity(), torch.zeros(2, 1, 6, 6), cyclic(1)), "group: C₁ moves nothing"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


PLANES = {
    "p4": (square_grid, cyclic(4), 12),
    "p4m": (square_grid, dihedral(4), 12),
    "p6": (hexagonal_grid, cyclic(6), 11),
    "p6m": (hexagonal_grid, dihedral(6), 11),
}


def plane_network(grid, group, size):
    """Two group convolutions with normalisation; on hexagons masked before the average."""
    kernel = grid(3, group)
    layers = [LiftingConv(kernel, 1, 3), GroupConv(kernel, 3, 3)]
    mask = HexagonMask() if grid is hexagonal_grid else nn.Identity()
    return Blueprint(
        [nn.Sequential(layer, GroupBatchNorm(3)) for layer in layers],
        invariant_pooling=nn.Sequential(mask, GlobalPool(2, group_axis=True)),
        head=nn.Linear(3, 2),
    ).double()


@pytest.mark.parametrize("name", PLANES)
def test_every_plane_group_is_exact_before_training_and_after(name):
    grid, group, size = PLANES[name]
    model, mask = plane_network(grid, group, size), torch.from_numpy(grid(size, group).mask)
    x = torch.randn(20, 1, size, size, dtype=torch.float64) * mask
    y = torch.randn(20, 2, dtype=torch.float64)
    assert audit(model, x[:2], group).lost_at is None
    weights = model[0][0].weight.detach().clone()
    fit(model, lambda m, x, y: (m(x) - y).square().mean(), (x, y), epochs=3)
    assert not torch.equal(model[0][0].weight, weights)
    assert audit(model, x[:2], group).lost_at is None
    forget = lambda layer, inputs, y: y[:, :, [0, 0, *range(2, y.shape[2])]]
    model[2][0].register_forward_hook(forget)  # the control: one element does not turn its filter
    assert audit(model, x[:2], group).lost_at is not None


def test_a_flattened_input_is_read_as_what_it_was_before():
    x, dense = torch.randn(2, 1, 6, 6, dtype=torch.float64), nn.Linear(36, 3)
    report = audit(nn.Sequential(nn.Flatten(), dense).double(), x, cyclic(4))
    assert report.rows[0].reading == "square grid 6×6, flattened"
    assert report.lost_at == "1"  # the dense layer is to blame, not the flattening
    shuffled = Functional(nn.Flatten(), lambda t: t[:, torch.arange(36).roll(1)])
    assert (
        audit(shuffled, x, cyclic(4)).lost_at == "output"
    )  # the control: what is flattened in another order is lost


def test_a_model_without_tensors_is_refused():
    with pytest.raises(TypeError, match="model: puts out no tensor that the audit can find, but str"):
        audit(Wordy(), torch.randn(2, 1, 6, 6), cyclic(4))


class Wordy(nn.Module):
    def forward(self, x):
        return "words"


# What the nonlinearities do to the fibres that layers name.

D4 = dihedral(4)
ARROW = Representation("arrow", D4, D4.representation([[[0, -1], [1, 0]], [[1, 0], [0, -1]]]))
WAVES = sum((wave for wave in irreps(cyclic(8))[1:3]), trivial(cyclic(8)))


class Layer(nn.Module):
    """What stands for a layer that puts out some fibre."""

    def __init__(self, fibre_out, fibre=None, out_channels=3, dimensions=2):
        super().__init__()
        self.fibre_out, self.out_channels, self.dimensions = fibre_out, out_channels, dimensions
        if fibre is not None:
            self.fibre = fibre


class Numbered(nn.Module):
    """A learned number for each entry of the fibre: nothing at first."""

    def __init__(self, size):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(size, 1, 1))

    def forward(self, x):
        return x + self.shift


class Scaled(nn.Module):
    """Divides by a running mean of the norm, and counts its calls."""

    def __init__(self):
        super().__init__()
        self.register_buffer("norm", torch.ones(()))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.training:
            self.norm.lerp_(x.norm() / x.numel() ** 0.5, 0.1)
        return x / self.norm


class InHalf(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x.bfloat16()).to(x.dtype)


class Odd(nn.Sequential):
    def forward(self, x):
        return super().forward(x) - super().forward(-x)


class Around(nn.Sequential):
    """Somebody's own: what it makes of its layer's fibre cannot be told from its parts."""

    def forward(self, x):
        return x.relu()


FITS = {
    "regular, ReLU": (regular(D4), nn.ReLU),
    "regular, in place": (regular(D4), lambda: nn.ReLU(inplace=True)),
    "regular, normalised": (regular(D4), lambda: nn.Sequential(GroupBatchNorm(3), nn.ReLU())),
    "regular, PReLU": (regular(D4), lambda: nn.PReLU(3)),
    "regular, softmax over the group": (regular(D4), lambda: nn.Softmax(2)),
    "regular, softmax over channels": (regular(D4), lambda: nn.Softmax(1)),
    "regular, scripted": (regular(D4), lambda: torch.jit.script(nn.ReLU())),
    "regular, dropout": (regular(D4), lambda: nn.Sequential(nn.Dropout(), nn.ReLU())),
    "regular, pooled": (regular(D4), lambda: nn.Sequential(spatial(nn.MaxPool2d(2)), nn.ReLU())),
    "regular, norms": (regular(D4), lambda: NormReLU(regular(D4), 3)),
    "regular, flat": (regular(D4), lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(4))),
    "trivial, ReLU": (trivial(D4), nn.ReLU),
    "sign, odd": (sign(D4), nn.Tanh),
    "arrow, odd": (ARROW, nn.Softsign),
    "arrow, norms": (ARROW, lambda: nn.Sequential(FieldBatchNorm(ARROW, 3), NormReLU(ARROW, 3))),
    "arrow, gated": (Gated(ARROW).fibre_in, lambda: Gated(ARROW)),
    "arrow, read and bent": (ARROW, lambda: nn.Sequential(FieldNorms(ARROW), nn.BatchNorm2d(3), nn.ReLU())),
    "arrow, scaled": (ARROW, Scaled),
    "arrow, linear": (ARROW, nn.Identity),
    "waves, norms": (WAVES, lambda: NormReLU(WAVES, 3)),
    "waves, dropped": (WAVES, lambda: nn.Sequential(FieldDropout(), NormReLU(WAVES, 3))),
    "waves, in half precision": (WAVES, lambda: InHalf(NormReLU(WAVES, 3))),
    "arrow, means": (ARROW, lambda: spatial(nn.AvgPool2d(3, 2, 1))),
    "arrow, deviations": (ARROW, lambda: spatial(nn.InstanceNorm2d(6))),
    "arrow, a layer and what it is for": (ARROW, lambda: Around(Layer(ARROW))),
    "sign, made odd": (sign(D4), lambda: Odd(nn.ReLU())),
    "regular, the largest entry": (
        regular(D4),
        lambda: nn.Sequential(GroupPool(), nn.BatchNorm2d(3), nn.ReLU()),
    ),
    "waves of strands": (WAVES, lambda: NormReLU(WAVES, 3)),
}
SPOILS = {
    "sign, ReLU": (
        sign(D4),
        nn.ReLU,
        "ReLU does not respect the sign fibre of D₄.*Odd functions, such as nn.Tanh, NormReLU",
    ),
    "arrow, ReLU": (ARROW, nn.ReLU, "ReLU.*arrow.*Odd functions"),
    "arrow, PReLU": (ARROW, lambda: nn.PReLU(3), "PReLU.*fibre_out=regular"),
    "waves, odd": (
        WAVES,
        nn.Tanh,
        r"Tanh does not respect the trivial \+ .* of C₈ .*which (Layer|Block) puts out.*\. NormReLU, Gated",
    ),
    "waves, ReLU": (WAVES, nn.ReLU, "ReLU"),
    "waves, normalised alike": (WAVES, lambda: GroupBatchNorm(3), "GroupBatchNorm"),
    "arrow, a mean that is 0 yet": (
        ARROW,
        lambda: nn.Sequential(GroupBatchNorm(3), nn.Tanh()),
        "GroupBatchNorm",
    ),
    "arrow, softmax over space": (ARROW, lambda: nn.Softmax(-1), "Softmax"),
    "arrow, dropout": (ARROW, lambda: nn.Sequential(nn.Dropout(), nn.ReLU()), "ReLU"),
    "arrow, gated and bent": (Gated(ARROW).fibre_in, lambda: nn.Sequential(Gated(ARROW), nn.ReLU()), "ReLU"),
    "waves, odd from 60 on": (WAVES, lambda: nn.Hardtanh(-60, 60), "Hardtanh"),
    "sign, maxima": (sign(D4), lambda: spatial(nn.MaxPool2d(2)), "spatial"),
    "arrow, maxima": (ARROW, lambda: nn.MaxPool3d((1, 2, 2)), "MaxPool3d"),
    "waves, deviations": (WAVES, lambda: spatial(nn.InstanceNorm2d(15)), "spatial"),
    "arrow, the largest entry": (ARROW, GroupPool, "GroupPool.*FieldNorms"),
    "regular, a number each": (
        regular(D4),
        lambda: Numbered(8),
        "Numbered does not respect the regular fibre.*treats all entries of",
    ),
    "regular, norms of another": (
        regular(D4),
        lambda: NormReLU(ARROW, 3),
        r"NormReLU takes the arrow fibre of D₄ \(axis \(2,\)\), but gets the regular",
    ),
    "arrow, gates missing": (ARROW, lambda: Gated(ARROW), "Gated takes the 1 gate [+] arrow fibre"),
}


@pytest.mark.parametrize("name", FITS)
def test_a_nonlinearity_that_a_fibre_allows_passes_and_nothing_is_touched(name):
    (fibre, make), made = FITS[name], []
    layer = Layer(fibre, dimensions=1 if "strands" in name else 2)
    torch.manual_seed(0)
    numbers = torch.rand(3)
    torch.manual_seed(0)
    layers = [layer, nn.Sequential(Layer(fibre), nn.Identity())]
    Blueprint(layers, nonlinearity=lambda: made.append(make()) or made[-1])
    assert torch.equal(torch.rand(3), numbers)
    fresh = make()
    for one in made:
        assert one.training and type(one) is type(fresh)
        for (key, value), other in zip(one.state_dict().items(), fresh.state_dict().values(), strict=True):
            assert isinstance(value, nn.UninitializedParameter) or torch.equal(value, other), key
        assert getattr(one, "calls", 0) == 0


@pytest.mark.parametrize("name", SPOILS)
def test_a_nonlinearity_that_a_fibre_does_not_allow_is_refused_with_what_would_do(name):
    fibre, make, words = SPOILS[name]
    named = Block(Layer(fibre))
    named.fibre_out, named.out_channels, named.dimensions = fibre, 3, 2
    for layer in (Layer(fibre), nn.Sequential(Layer(fibre), nn.Identity()), named):
        with pytest.raises(ValueError, match=f"(?s)nonlinearity 1: .*{words}"):
            Blueprint([layer], nonlinearity=make)


class Block(nn.Module):
    """A block of somebody's own around a layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer


def test_what_a_block_makes_of_the_fibre_inside_is_not_guessed():
    for block in (
        Block(Layer(ARROW)),
        Around(Layer(ARROW), FieldNorms(ARROW)),
        nn.Sequential(Block(Layer(ARROW))),
    ):
        Blueprint([nn.Sequential(block, Layer(regular(D4), fibre=regular(D4)))])
    block = Block(Layer(ARROW))
    block.fibre_out = trivial(D4)
    Blueprint([block])
    with pytest.raises(
        ValueError, match="equivariant 1: Layer takes the regular"
    ):  # unless it says so itself
        Blueprint([nn.Sequential(block, Layer(regular(D4), fibre=regular(D4)))])


@pytest.mark.parametrize(
    ("fibre", "pooling"),
    [
        (ARROW, lambda: GlobalPool(2, group_axis=True)),
        (ARROW, GroupPool),
        (regular(D4), lambda: spatial(GlobalPool(2))),
    ],
    ids=["mean of the entries", "maximum", "the axis stays"],
)
def test_invariant_pooling_is_measured_too(fibre, pooling):
    with pytest.raises(ValueError, match=r"invariant pooling: .* whether the group acts before it or not"):
        Blueprint([Layer(fibre)], nonlinearity=nn.Identity, invariant_pooling=pooling())
    norms = nn.Sequential(FieldNorms(fibre), GlobalPool(2))
    Blueprint([Layer(fibre)], nonlinearity=nn.Identity, invariant_pooling=norms)  # the control
    Blueprint([Layer(regular(D4))], invariant_pooling=GlobalPool(2, group_axis=True))
    halve = [spatial(nn.AvgPool2d(2))]  # a dense layer on places is somebody's choice
    Blueprint([Layer(regular(D4))], local_pooling=halve, invariant_pooling=nn.Flatten(), head=nn.Identity())


def test_the_trial_is_no_call_of_the_users():
    calls, relu = [], nn.ReLU()
    relu.register_forward_hook(lambda *_: calls.append("after"))
    relu.register_forward_pre_hook(lambda *_: calls.append("before"))
    model = Blueprint([Layer(regular(D4))], nonlinearity=lambda: relu)
    assert not calls
    model[1](torch.zeros(1))
    assert calls == ["before", "after"]


def test_a_part_that_is_no_module_is_named():
    with pytest.raises(TypeError, match=r"nonlinearity: got function as a part.*nn.Module is needed"):
        Blueprint([Layer(ARROW)], nonlinearity=lambda: lambda x: x)
    with pytest.raises(TypeError, match="local pooling: got"):
        Blueprint([nn.Identity()], local_pooling=[torch.relu])


def test_the_error_is_the_measured_one():
    with pytest.raises(ValueError, match=r"difference of (0\.[3-9]|1)\d* \(relative\)"):
        Blueprint([Layer(ARROW)], nonlinearity=nn.ReLU)


def test_layers_are_linked_by_their_fibres():
    odd = {"nonlinearity": nn.Tanh}
    Blueprint([Layer(ARROW), Layer(ARROW, fibre=ARROW)], **odd)
    with pytest.raises(
        ValueError, match=r"equivariant 2: Layer takes the regular fibre of D₄ .*but gets the arrow"
    ):
        Blueprint([Layer(ARROW), Layer(ARROW, fibre=regular(D4))], **odd)
    with pytest.raises(ValueError, match="equivariant 2: Layer takes the 1 gate"):
        Blueprint([Layer(ARROW), Layer(ARROW, fibre=Gated(ARROW).fibre_in)], **odd)
    with pytest.raises(ValueError, match="nonlinearity 2: Gated takes"):
        Blueprint(
            [Layer(Gated(ARROW).fibre_in), Layer(ARROW, fibre=ARROW)], nonlinearity=lambda: Gated(ARROW)
        )
    with pytest.raises(ValueError, match="equivariant 2: Layer takes the sheared"):
        skew = np.array([[1.0, 0.7], [0.0, 1.0]])
        sheared = Representation("sheared", D4, np.linalg.inv(skew) @ ARROW.matrices @ skew)
        Blueprint([Layer(ARROW), Layer(ARROW, fibre=sheared)], **odd)
    # What is not known is not judged: a pooling over the group, a block of one's own; a part of the group may go on.
    pooled = [Layer(regular(D4)), nn.Sequential(GroupPool(), Layer(regular(D4), fibre=trivial(D4)))]
    Blueprint(pooled), Blueprint(pooled, local_pooling=[spatial(nn.AvgPool2d(2)), None])
    Blueprint([Block(Layer(ARROW)), Layer(ARROW, fibre=regular(D4))], **odd)
    Blueprint([Layer(regular(D4)), Layer(trivial(D4), fibre=trivial(D4))], local_pooling=[GroupPool(), None])
    quarter = ARROW.restrict(cyclic(4), [1])
    Blueprint([Layer(ARROW), Layer(quarter, fibre=quarter)], **odd)
    with pytest.raises(ValueError, match="equivariant 2: Layer takes the sheared restricted"):
        other = sheared.restrict(cyclic(4), [1])
        Blueprint([Layer(ARROW), Layer(quarter, fibre=other)], **odd)
    with pytest.raises(ValueError, match="local pooling 1: Numbered does not respect"):
        Blueprint([Layer(ARROW)], local_pooling=[Numbered(2)], **odd)


def test_layers_of_the_package_are_linked_too():
    kernel = square_grid(3, D4)
    lift = lambda out, **how: LiftingConv(kernel, 1, 3, fibre_out=out, **how)
    conv = lambda before, after: GroupConv(kernel, 3, 3, fibre=before, fibre_out=after)
    gated = Gated(ARROW)
    model = Blueprint(
        [nn.Sequential(lift(gated.fibre_in)), conv(ARROW, gated.fibre_in)],
        nonlinearity=lambda: nn.Sequential(FieldBatchNorm(gated.fibre_in, 3), Gated(ARROW)),
        invariant_pooling=nn.Sequential(FieldNorms(ARROW), GlobalPool(2)),
    ).double()
    assert audit(model, torch.randn(2, 1, 9, 9, dtype=torch.float64), D4).rows[-1].error <= 1e-12
    with pytest.raises(ValueError, match=r"nonlinearity 1: ReLU .*which LiftingConv puts out"):
        Blueprint([lift(ARROW)])
    with pytest.raises(ValueError, match="equivariant 2: GroupConv takes the regular"):
        Blueprint([lift(ARROW), GroupConv(kernel, 3, 3)], nonlinearity=nn.Tanh)


def test_modules_without_values_are_not_harmed():
    with torch.device("meta"):
        model = Blueprint([Layer(ARROW)], nonlinearity=lambda: NormReLU(ARROW, 3))
        assert model[1].threshold.is_meta
        with pytest.raises(ValueError, match="ReLU does not respect"):
            Blueprint([Layer(ARROW)])
        with pytest.raises(ValueError, match="NormReLU takes"):
            Blueprint([Layer(sign(D4))], nonlinearity=lambda: NormReLU(ARROW, 3))


def test_a_slice_keeps_a_part_that_comes_twice():
    half = nn.AvgPool2d(2)
    model = Blueprint(
        [nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)], local_pooling=[half, half]
    )
    assert (
        model[:].forward(torch.zeros(1, 1, 8, 8)).shape
        == model(torch.zeros(1, 1, 8, 8)).shape
        == (1, 2, 2, 2)
    )


def test_statistics_over_the_folded_group_axis_are_refused_in_a_sequence_too():
    group = cyclic(4)
    fold = lambda: nn.Sequential(nn.Flatten(1, 2), nn.BatchNorm2d(8), nn.Unflatten(1, (2, 4)))
    lift = LiftingConv(square_grid(3, group), 1, 2)
    with pytest.raises(ValueError, match="does not respect the regular fibre"):
        Blueprint([lift], nonlinearity=fold)
    with pytest.raises(ValueError, match="does not respect the regular fibre"):
        Blueprint([nn.Sequential(lift, *fold())])
    other = GroupConv(square_grid(3, dihedral(4)), 2, 2)
    with pytest.raises(ValueError, match="takes the regular fibre of D₄"):
        Blueprint([lift, nn.Sequential(other, nn.Flatten(1, 2), nn.Unflatten(1, (2, 8)))])
    with pytest.raises(TypeError, match="nonlinearity: got a module"):
        Blueprint([LiftingConv(square_grid(3, group), 1, 2)], nonlinearity=nn.ReLU())
