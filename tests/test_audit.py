"""The audit of models as people write them: any output, any input, tokens, branches, residuals, large tori; each with a control."""

import copy
import math
import re
import subprocess
import sys

import pytest
import torch
from torch import nn

from gdl_utils.domains import cubic_grid, cycle, disk, nodes, square_grid, strand, torus, voxel_group
from gdl_utils.equivariance import audit
from gdl_utils.groups import cyclic, dihedral, octahedral
from gdl_utils.layers import (
    Adjacency,
    EGNNLayer,
    FieldNorms,
    GlobalPool,
    GraphConv,
    GroupConv,
    GroupLinear,
    GroupPool,
    LiftingConv,
    NormReLU,
    SetAttention,
    SetLinear,
    averaged,
    spatial,
)
from gdl_utils.representations import Representation, irreps, sign
from gdl_utils.signals import SignalSpace, complement

C4 = cyclic(4)
ROUND = {"padding_mode": "circular"}


@pytest.fixture
def x(rng):
    return torch.randn(2, 1, 7, 7, dtype=torch.float64, generator=rng)


class Model(nn.Module):
    """Parts, and what is done with them."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.parts, self.run = nn.ModuleDict(parts), forward

    def forward(self, *args, **kwargs):
        return self.run(self.parts, *args, **kwargs)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y: y,
        lambda y: {"out": y},
        lambda y: (y, y),
        lambda y: [{"a": (y,)}, None, 3.0],
        lambda y: (y, y.sum()),
    ],
    ids=["tensor", "dict", "tuple", "nested", "two kinds"],
)
def test_a_functional_last_step_is_found_in_an_output_of_any_structure(wrap, x):
    broken = Model(lambda m, x: wrap(m["a"](x).cumsum(-1)), a=nn.AvgPool2d(3, 1, 1))
    assert audit(broken, x, C4).lost_at.startswith("output")
    whole = Model(lambda m, x: wrap(m["a"](x) * 2), a=nn.AvgPool2d(3, 1, 1))
    assert audit(whole, x, C4).lost_at is None


def test_what_is_done_between_two_layers_is_named_and_not_the_layer_behind_it(x):
    conv = lambda: LiftingConv(square_grid(3, C4), 1, 1, padding=1)
    between = Model(lambda m, x: m["b"](m["a"](x).cumsum(-1)), a=nn.ReLU(), b=nn.Tanh())
    found = audit(between, x, C4)
    assert found.lost_at == "input of parts.b"
    assert [row.name for row in found.rows] == ["parts.a", "input of parts.b", "parts.b"]

    class Block(nn.Module):
        def __init__(self, step):
            super().__init__()
            self.conv, self.step = conv(), step

        def forward(self, x):
            return self.step(x) + self.conv(x).amax(2)

    residual = lambda step: nn.Sequential(Block(lambda x: x), Block(step), nn.ReLU()).double()
    assert audit(residual(lambda x: x.cumsum(-1)), x, C4).lost_at == "1"  # the block, not its convolution
    assert audit(residual(lambda x: x / 2), x, C4).lost_at is None


def test_a_path_that_depends_on_the_input_is_matched_by_name_and_the_output_tells():
    x = torch.randn(2, 1, 7, 7, dtype=torch.float64)
    x[0, 0, 0, 0], x[0, 0, 0, -1] = 1, 0
    corner = lambda m, x: m["a"](x) if x[0, 0, 0, 0] > x[0, 0, 0, -1] else m["b"](m["a"](x))
    report = audit(Model(corner, a=nn.ReLU(), b=nn.Tanh()), x, C4)
    assert report.lost_at == "output" and report.rows[0].error <= 1e-12
    total = lambda m, x: (
        m["a"](x) if x.sum() > 0 else m["b"](m["a"](x))
    )  # the control: the group leaves the path alone
    assert audit(Model(total, a=nn.ReLU(), b=nn.Tanh()), x, C4).lost_at is None
    # And where both paths do the same, there is no loss.
    same = lambda m, x: m["a"](x) if x[0, 0, 0, 0] > x[0, 0, 0, -1] else m["b"](x)
    assert audit(Model(same, a=nn.ReLU(), b=nn.ReLU()), x, C4).lost_at is None


class Transformer(nn.Module):
    """Patches as tokens, with or without a class token and positions, attention, a head."""

    def __init__(self, patch=4, channels=24, positions=None, token=False):
        super().__init__()
        self.patches, self.norm = nn.Conv2d(1, channels, patch, patch), nn.LayerNorm(channels)
        self.attend, self.dense = SetAttention(channels, heads=3), nn.Linear(channels, channels)
        self.positions = None if positions is None else nn.Parameter(torch.randn(positions, channels))
        self.token = nn.Parameter(torch.randn(1, 1, channels)) if token else None
        self.head = nn.Linear(channels, 10)

    def forward(self, x):
        h = self.patches(x).flatten(2).transpose(1, 2)
        if self.positions is not None:
            h = h + self.positions
        if self.token is not None:
            h = torch.cat([self.token.expand(len(h), -1, -1), h], 1)
        h = h + self.attend(self.norm(h))
        h = h + self.dense(h).relu()
        return self.head(h[:, 0] if self.token is not None else h.mean(1))


@pytest.mark.parametrize("token", [False, True], ids=["mean", "class token"])
def test_tokens_of_a_patch_model_are_read_as_what_they_are(token, rng):
    x = torch.randn(2, 1, 16, 16, dtype=torch.float64, generator=rng)
    report = audit(Transformer(token=token).double(), x, torus(16))
    assert report.lost_at is None and report.rows[-1].elements == 5  # tried, of 16 that the patches leave
    assert any("one token" in row.reading for row in report.rows) == token
    lost = audit(Transformer(positions=16, token=token).double(), x, torus(16)).lost_at
    assert lost == "input of norm"  # where the positions are added
    # Quarter-turns: a patch's own filter has not that symmetry.
    assert audit(Transformer(token=token).double(), x, C4).lost_at == "patches"


def test_attention_of_torch_is_read_too_and_its_maps_as_pairs(rng):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).double()
    x = torch.randn(2, 5, 8, dtype=torch.float64, generator=rng)
    assert audit(layer, x, nodes(5)).lost_at is None
    with_maps = nn.MultiheadAttention(8, 2, batch_first=True).double()
    report = audit(with_maps, (x, x, x), nodes(5))
    assert report.lost_at is None and report.rows[-1].reading == "pairs of points of 5 nodes"
    masked = lambda m, x: m["a"](x, x, x, attn_mask=torch.ones(5, 5).triu(1).bool())[0]  # causal: an order
    assert audit(Model(masked, a=with_maps), x, nodes(5)).lost_at is not None


def test_sets_graphs_and_layers_with_several_inputs(rng):
    x = torch.randn(2, 5, 3, dtype=torch.float64, generator=rng)
    assert audit(SetLinear(3, 8).double(), x, nodes(5)).lost_at is None
    assert audit(nn.Conv1d(3, 3, 1).double(), x.transpose(1, 2), nodes(5)).lost_at is None
    assert audit(nn.GRU(3, 4, batch_first=True).double(), x, nodes(5)).lost_at is not None
    h, places = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    layer = EGNNLayer(4).double()
    assert audit(layer, (h, places), nodes(5)).lost_at is None
    assert audit(layer, {"h": h, "x": places}, nodes(5)).lost_at is None
    ordered = Model(lambda m, h, x: m["layer"](h.cumsum(0), x), layer=layer)
    assert audit(ordered, (h, places), nodes(5)).lost_at == "input of parts.layer[0]"
    A = Adjacency([[0, 1, 1, 2, 3], [1, 0, 2, 1, 4]], 5)
    assert audit(GraphConv(4, 2).double(), (h, A), nodes(5)).lost_at is None  # the graph is renumbered too
    fixed = Model(lambda m, h: m["conv"](h, A), conv=GraphConv(4, 2))
    assert audit(fixed.double(), h, nodes(5)).lost_at == "parts.conv"


def test_grids_whose_sides_differ(rng):
    draw = lambda *shape: torch.randn(shape, dtype=torch.float64, generator=rng)
    plain = nn.Conv2d(1, 1, 3).double()
    assert audit(plain, draw(1, 1, 6, 9), cyclic(2)).lost_at == "model"
    for group in (cyclic(2), dihedral(2)):
        model = nn.Sequential(
            LiftingConv(square_grid(3, group), 1, 2), nn.ReLU(), nn.Flatten(1, 2), nn.AvgPool2d(2, 2)
        )
        assert audit(model.double(), draw(1, 1, 6, 10), group).lost_at is None
    volume = LiftingConv(cubic_grid(3, C4), 1, 2, padding=1).double()
    assert audit(volume, draw(1, 1, 4, 6, 6), C4).lost_at is None
    assert audit(nn.Conv3d(1, 4, 3).double(), draw(1, 1, 4, 6, 6), C4).lost_at == "model"
    ring = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, **ROUND), nn.AvgPool2d(2), nn.Flatten(2)).double()
    report = audit(ring, draw(1, 1, 6, 12), torus((6, 12)))
    assert report.lost_at is None and report.rows[-1].reading == "torus 3×6, in a row"
    with pytest.raises(ValueError, match="off the grid"):
        audit(plain, draw(1, 1, 6, 9), C4)


def test_constant_outputs_show_nothing_and_are_said_to(x):
    dead = nn.Sequential(LiftingConv(square_grid(3, C4), 1, 2), nn.ReLU(), nn.Flatten(1, 2)).double()
    with torch.no_grad():
        dead[0].bias -= 100
    with pytest.warns(UserWarning, match="is constant"):
        report = audit(dead, x, C4)
    assert (
        report.lost_at is None and report.rows[1].reading == "constant" and math.isnan(report.rows[1].error)
    )
    assert "shows nothing" in str(report)
    bias = Model(
        lambda m, x: m["a"](x) * 0 + torch.arange(7.0).double(), a=nn.ReLU()
    )  # not zero, and no symmetry of its own
    with pytest.warns(UserWarning, match="is constant"):
        assert audit(bias, x, C4).lost_at is None
    added = Model(lambda m, x: m["a"](x) + torch.arange(7.0).double(), a=nn.ReLU())  # the control
    assert audit(added, x, C4).lost_at == "output"


def test_infinities_that_move_along_are_no_loss_and_others_are(x):
    scores = Model(lambda m, x: m["a"](x).masked_fill(x < 0, -math.inf), a=nn.Identity())
    assert audit(scores, x, C4).lost_at is None
    corner = torch.zeros(7, 7).bool()
    corner[0, 0] = True
    fixed = Model(lambda m, x: m["a"](x).masked_fill(corner, -math.inf), a=nn.Identity())
    assert audit(fixed, x, C4).lost_at == "output"


def test_behind_the_loss_the_reading_stays(rng):
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=rng)
    kernel = square_grid(3, C4)
    tail = [m for _ in range(4) for m in (GroupConv(kernel, 2, 2, padding=1), nn.ReLU())]
    model = nn.Sequential(
        LiftingConv(kernel, 1, 2, padding=1), Model(lambda m, x: x.cumsum(-1)), *tail
    ).double()
    report = audit(model, x, C4)
    assert report.lost_at == "1" and len({row.reading for row in report.rows[1:]}) == 1


def test_a_model_that_draws_or_keeps_a_state_is_refused_in_words(x):
    noisy = Model(lambda m, x: m["a"](x) + torch.rand_like(x), a=nn.ReLU())
    with pytest.raises(ValueError, match="other numbers for the same input"):
        audit(noisy, x, C4)
    assert audit(nn.Dropout(0.5), x, C4).lost_at is None  # in evaluation it draws nothing


def test_a_type_that_does_not_fit_the_model_is_named(x):
    with pytest.raises(ValueError, match=r"x: got torch.float64, the model's weights are torch.float32"):
        audit(nn.Conv2d(1, 1, 3), x, C4)
    with pytest.raises(TypeError, match="x: got int; give a tensor"):
        audit(nn.ReLU(), 3, C4)


def test_a_fibre_of_the_input_is_known_in_the_output(rng):
    space = SignalSpace(strand(12, cyclic(2)), complement(cyclic(2)))
    x = torch.randn(2, 1, 4, 12, dtype=torch.float64, generator=rng)
    report = audit(nn.Tanh(), x, space)
    assert report.lost_at is None and report.rows[0].reading == "strand 12, complement fibre"
    ramp = torch.arange(4.0).double()[:, None]
    assert audit(Model(lambda m, x: m["a"](x) + ramp, a=nn.Tanh()), x, space).lost_at == "output"


def test_the_audit_leaves_hooks_modes_and_weights_as_they_were(x):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(inplace=True)).double()
    before, given = copy.deepcopy(model.state_dict()), x.clone()
    audit(model, x, C4)
    assert model.training and not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.equal(x, given) and all(torch.equal(before[k], v) for k, v in model.state_dict().items())


# Its own peak: what getrusage says counts the process that it came from, too.
LARGE = """
import torch
from torch import nn
from gdl_utils.domains import torus
from gdl_utils.equivariance import audit
from gdl_utils.groups import cyclic
torch.manual_seed(0)
conv = nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular").double()
x = torch.randn(1, 1, {n}, {n}, dtype=torch.float64)
shifts, both = audit(nn.Sequential(conv, nn.ReLU()), x, torus({n})), audit(nn.Sequential(conv, nn.ReLU()), x, torus({n}, cyclic(4)))
assert shifts.lost_at is None and both.lost_at == "0"
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of memory is read from /proc")
def test_shifts_and_turns_of_a_large_torus_are_audited_in_little_memory():
    said = subprocess.run(
        [sys.executable, "-c", LARGE.format(n=224)], capture_output=True, text=True, check=True
    )
    assert int(said.stdout) < 1024  # MiB, with torch's own 300


@pytest.mark.parametrize("stride", [2, 3])
def test_what_a_stride_leaves_of_a_cycle_is_followed(stride, rng):
    x = torch.randn(2, 1, 12, dtype=torch.float64, generator=rng)
    report = audit(nn.Conv1d(1, 2, 3, stride, 1, padding_mode="circular").double(), x, cycle(12))
    assert report.lost_at is None and report.rows[0].elements == 12 // stride


def cornered(x):
    x = x.clone()
    x[0, 0, 0, 0], x[0, 0, 0, -1] = 9, 0
    return x


def test_the_last_loss_is_shown_wherever_it_is(x):
    assert audit(nn.Sequential(nn.AvgPool2d((2, 1))), x[..., :6, :6], C4).lost_at == "output"
    strided = nn.Conv2d(1, 2, 3, 2, 1, **ROUND)
    picked = nn.Sequential(strided, nn.AdaptiveMaxPool2d(1)).double()
    assert audit(picked, torch.randn(1, 1, 9, 9, dtype=torch.float64), torus(9)).lost_at is not None
    alike = lambda m, x: (
        m["a"](x) if x[0, 0, 0, 0] > x[0, 0, 0, -1] else m["a"](x).flip(-1) * 2
    )  # the same calls
    assert audit(Model(alike, a=nn.ReLU()), cornered(x), C4).lost_at == "output"


def test_a_part_that_is_called_model_hides_nothing(x):
    class Wrapped(nn.Module):
        def __init__(self, step):
            super().__init__()
            self.model, self.step = nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.ReLU()), step

        def forward(self, x):
            return self.step(self.model(x))

    assert audit(Wrapped(lambda y: y.cumsum(-1)), x, C4).lost_at == "output"
    assert audit(Wrapped(lambda y: 2 * y), x, C4).lost_at is None


def test_an_output_whose_shape_depends_on_where_x_lies_is_lost(x):
    cut = Model(lambda m, x: x[..., : 3 + int(x[0, 0, 0, 0] > x[0, 0, 0, -1])])
    assert audit(cut, cornered(x), C4).lost_at == "output" or audit(cut, cornered(x), C4).lost_at == "model"
    count = Model(
        lambda m, x: x[..., : 3 + int(x.sum() > 1e9)].amax((2, 3))
    )  # of a shape that is always the same
    assert audit(count, cornered(x), C4).lost_at is not None


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y: torch.distributions.Normal(y, 1.0),
        lambda y: y.numpy(),
        lambda y: {y},
        lambda y: y.sum().item(),
        lambda y: None,
    ],
)
def test_an_output_that_cannot_be_looked_into_is_refused(wrap, x):
    with pytest.raises(TypeError, match="model: puts out no tensor that the audit can find"):
        audit(Model(lambda m, x: wrap(m["a"](x).cumsum(-1)), a=nn.AvgPool2d(3, 1, 1)), x, C4)
    with pytest.raises(TypeError, match=r"of layout torch.sparse_coo"):
        audit(Model(lambda m, x: x.to_sparse()), x, C4)
    with pytest.raises(TypeError, match="model: got function"):
        audit(lambda x: x, x, C4)


def test_an_output_that_is_zero_for_one_input_alone_is_not_constant(x):
    compare = Model(lambda m, x: torch.relu(x[:, :, 0, -1] - x[:, :, 0, 0]))
    assert audit(compare, cornered(x.abs()), C4).lost_at is not None


def test_what_is_restored_later_is_no_loss(x):
    """An average over the group, a network for a larger group: layers within are read wrongly, the output holds."""
    plain = nn.Conv2d(1, 1, 3, padding=1).double()
    space = SignalSpace(square_grid(7, C4))
    report = audit(averaged(plain, space, space), x, C4)
    assert report.lost_at is None and report.output_holds
    by_hand = Model(lambda m, x: sum(m["net"](x.rot90(k, (2, 3))).mean((2, 3)) for k in range(4)), net=plain)
    assert audit(by_hand, x, C4).lost_at is None and "restored later" in str(audit(by_hand, x, C4))
    three = Model(lambda m, x: sum(m["net"](x.rot90(k, (2, 3))).amax((2, 3)) for k in range(3)), net=plain)
    assert audit(three, x, C4).lost_at is not None  # the control
    larger = nn.Sequential(LiftingConv(square_grid(3, C4), 1, 3), GroupPool(), nn.Flatten(2)).double()
    assert audit(larger, x, cyclic(2)).lost_at is None


def test_points_that_are_folded_into_the_batch_are_no_loss(rng):
    def forward(m, x):
        flat = m["l"](x).flatten(0, 1)
        return m["bn"](flat).relu().unflatten(0, x.shape[:2]).sum(1)

    x = torch.randn(2, 5, 3, dtype=torch.float64, generator=rng)
    folded = Model(forward, l=nn.Linear(3, 8), bn=nn.BatchNorm1d(8)).double()
    assert audit(folded, x, nodes(5)).lost_at is None
    broken = Model(lambda m, x: forward(m, x.cumsum(1)), l=nn.Linear(3, 8), bn=nn.BatchNorm1d(8)).double()
    assert audit(broken, x, nodes(5)).lost_at is not None


def test_maps_of_attention_with_a_class_token_are_pairs(rng):
    attention, patches = nn.MultiheadAttention(16, 4, batch_first=True), nn.Conv2d(1, 16, 4, 4)

    def forward(m, x):
        tokens = m["p"](x).flatten(2).transpose(1, 2)
        tokens = torch.cat([torch.ones_like(tokens[:, :1]), tokens], 1)
        return m["a"](tokens, tokens, tokens)

    model = Model(forward, p=patches, a=attention).double()
    report = audit(model, torch.randn(2, 1, 16, 16, dtype=torch.float64, generator=rng), torus(16))
    assert report.lost_at is None and "in pairs" in report.rows[-1].reading


def test_what_stands_beside_the_features_moves_along(rng):
    h, places = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    heard = torch.rand(5, 5, generator=rng) > 0.4
    assert audit(EGNNLayer(4).double(), {"h": h, "x": places, "neighbours": heard}, nodes(5)).lost_at is None
    mask = torch.tensor([1, 1, 1, 0, 0]).bool()
    masked = Model(lambda m, x, mask: m["l"](x, mask=mask), l=SetLinear(4, 3)).double()
    assert audit(masked, {"x": h, "mask": mask}, nodes(5)).lost_at is None
    fixed = Model(lambda m, x: m["l"](x, mask=mask), l=SetLinear(4, 3)).double()
    assert audit(fixed, h, nodes(5)).lost_at is not None
    dense = torch.rand(5, 5, dtype=torch.float64, generator=rng)
    gcn = Model(lambda m, x, A: A.sum(1, keepdim=True) * (A @ m["l"](x)), l=nn.Linear(4, 3)).double()
    assert audit(gcn, (h, dense), nodes(5)).lost_at is None
    with pytest.raises(ValueError, match="an edge list does not move along, give an Adjacency"):
        audit(gcn, (h, torch.tensor([[0, 1, 2], [1, 2, 3]])), nodes(5))


def test_a_torus_that_is_made_larger_keeps_its_shifts(rng):
    x = torch.randn(2, 2, 8, 8, dtype=torch.float64, generator=rng)
    up = nn.Upsample(scale_factor=2)
    assert (
        audit(nn.Sequential(up, nn.Conv2d(2, 2, 3, padding=1, **ROUND)).double(), x, torus(8)).lost_at is None
    )
    assert audit(nn.Sequential(up, nn.Conv2d(2, 2, 3, padding=1)).double(), x, torus(8)).lost_at == "1"
    shuffle = nn.Sequential(nn.Conv2d(2, 8, 1), nn.PixelShuffle(2), nn.AvgPool2d(2)).double()
    assert audit(shuffle, x, torus(8)).lost_at is None
    uneven = nn.Conv2d(2, 2, 3, (2, 1), 1, **ROUND).double()
    assert audit(nn.Sequential(uneven, nn.Flatten()), x, torus(8)).lost_at is None


def test_buffers_and_random_numbers_are_left_as_they_were(x):
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("n", torch.zeros(1, dtype=torch.float64))

        def forward(self, x):
            self.n += 1
            return x * 2 + 0 * torch.rand(1)

    model, state = Counts(), torch.get_rng_state()
    assert audit(model, x, C4).lost_at is None
    assert model.n == 0 and torch.equal(torch.get_rng_state(), state)


def test_a_sparse_matrix_that_is_handed_on_inside_is_passed_over(rng):
    """The control of the refusal: only what the model puts out has to be dense."""
    x, A = (
        torch.randn(5, 3, dtype=torch.float64, generator=rng),
        torch.ones(5, 5, dtype=torch.float64).to_sparse(),
    )
    product = Model(lambda m, A, h: A @ h)
    everyone = Model(lambda m, x: m["product"](A, m["l"](x)), l=nn.Linear(3, 2), product=product).double()
    assert audit(everyone, x, nodes(5)).lost_at is None
    chain = torch.eye(5, dtype=torch.float64).roll(1, 0).to_sparse()
    ordered = Model(lambda m, x: m["product"](chain, m["l"](x)), l=nn.Linear(3, 2), product=product).double()
    assert audit(ordered, x, nodes(5)).lost_at is not None


VECTOR = irreps(C4)[1]
C2, D4, O_H = cyclic(2), dihedral(4), octahedral(True)
AXIAL = next(r for r in irreps(O_H) if r.size == 3)


def ending(kernel, fibre, *more, first=None):
    """A network whose output is a field of a fibre."""
    layers = LiftingConv(kernel, 1, 2, padding=1, fibre=first), nn.ReLU()
    return nn.Sequential(*layers, GroupConv(kernel, 2, 2, padding=1, fibre_out=fibre), *more).double()


def turned(group, *more):
    kernel = disk(3, group)
    layers = LiftingConv(kernel, 1, 3, padding=1), nn.ReLU(), GroupConv(kernel, 3, 3, padding=1)
    return nn.Sequential(*layers, *more).double()


OUTPUTS = {
    "vector": (lambda *m: ending(square_grid(3, C4), VECTOR, *m), (7, 7), C4, ", wave 1 fibre"),
    "sign": (lambda *m: ending(square_grid(3, D4), sign(D4), *m), (7, 7), D4, ", sign fibre"),
    "axial": (lambda *m: ending(cubic_grid(3, O_H), AXIAL, *m), (4, 4, 4), O_H, "irrep . fibre"),
    "strand": (
        lambda *m: ending(strand(3, C2), irreps(C2)[1], *m, first=complement(C2)),
        (4, 9),
        SignalSpace(strand(9, C2), complement(C2)),
        "wave 1 fibre",
    ),
    "torus": (
        lambda *m: nn.Sequential(
            LiftingConv(square_grid(3, C4), 1, 2, padding=1, fibre_out=VECTOR, **ROUND), *m
        ),
        (4, 4),
        torus(4, C4),
        "torus 4×4, wave 1 fibre",
    ),
    "C8 under C4": (lambda *m: turned(cyclic(8), *m), (7, 7), C4, "regular restricted fibre"),
    "C8 under C4, folded": (
        lambda *m: turned(cyclic(8), nn.Flatten(1, 2), *m),
        (7, 7),
        C4,
        "regular restricted in channels",
    ),
    "C8 under C4, flat": (
        lambda *m: turned(cyclic(8), nn.Flatten(), *m),
        (7, 7),
        C4,
        "flattened, regular restricted",
    ),
    "C8 under C4, no space": (
        lambda *m: turned(cyclic(8), spatial(GlobalPool(2)), *m),
        (7, 7),
        C4,
        "regular restricted fibre alone",
    ),
    "C8 under C2": (lambda *m: turned(cyclic(8), *m), (7, 7), C2, "regular restricted fibre"),
    "D8 under D4": (lambda *m: turned(dihedral(8), *m), (7, 7), D4, "regular restricted fibre"),
    "D4 under C4": (lambda *m: turned(D4, *m), (7, 7), C4, "regular restricted fibre"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_a_layer_says_of_its_fibre_is_tried_as_the_audited_group_acts_on_it(name, rng):
    make, sides, group, reading = OUTPUTS[name]
    x = torch.randn(2, 1, *sides, dtype=torch.float64, generator=rng)
    report = audit(make().double(), x, group)
    assert report.lost_at is None and all(row.error <= 1e-12 for row in report.rows)
    assert re.search(reading, report.rows[-1].reading)
    last = f"{len(make())}"  # the control: what comes last treats entries unlike each other
    uneven = Model(lambda _, y: y * torch.linspace(0, 1, y[0].numel(), dtype=y.dtype).sin().view(y.shape[1:]))
    assert audit(make(uneven).double(), x, group).lost_at == last


class Ramp(nn.Module):
    def forward(self, x):
        return x * torch.linspace(0, 1, x.shape[-1], dtype=x.dtype)


def test_the_layer_that_minds_positions_is_to_blame_and_none_before_it(x):
    pooled = GlobalPool(2, group_axis=True)
    assert audit(turned(cyclic(8), nn.ReLU(), Ramp(), pooled), x, C4).lost_at == "4"
    assert audit(turned(cyclic(8), nn.ReLU(), pooled), x, C4).lost_at is None
    lift = LiftingConv(square_grid(3, C4), 1, 4, padding=1, fibre_out=VECTOR)
    for bad, lost in (([Ramp()], "2"), ([nn.ReLU()], "2"), ([], None)):
        fields = nn.Sequential(lift, NormReLU(VECTOR, 4), *bad, FieldNorms(VECTOR), GlobalPool(2))
        assert audit(fields.double(), x, C4).lost_at == lost


def test_a_kernel_of_another_group_does_not_hold(x):
    assert audit(turned(cyclic(6)), x, C4).lost_at == "0"
    assert audit(turned(cyclic(6)), x, C2).lost_at is None  # the control: half a turn is three sixths


@pytest.mark.parametrize("tokens", [True, False])
def test_the_group_axis_may_stand_behind_the_channels(tokens, x):
    def forward(m, x, wrong=0):
        y = m["lift"](x)
        y = y.flatten(3).permute(0, 3, 1, 2) if tokens else y.permute(0, 3, 4, 1, 2)
        y = m["mix"](y)
        return m["end"](y * (1 + wrong * torch.rand(y.shape[1:], dtype=y.dtype, generator=torch.Generator())))

    parts = {"lift": LiftingConv(square_grid(3, C4), 1, 3), "mix": GroupLinear(C4, 3, 3), "end": nn.ReLU()}
    report = audit(Model(forward, **parts).double(), x, C4)
    assert report.lost_at is None and all(row.error <= 1e-12 for row in report.rows)
    assert "group axis" in report.rows[1].reading and "channels last" in report.rows[1].reading
    wrong = audit(Model(lambda m, x: forward(m, x, 1), **parts).double(), x, C4)
    assert wrong.lost_at == "input of parts.end"


@pytest.mark.parametrize("size", [1e-22, 1e20])
def test_what_is_lost_among_very_large_and_small_numbers_is_found(size, rng):
    class Slanted(nn.Module):
        def forward(self, x):
            return size * x * torch.linspace(1, 1.01, 4)

    assert audit(Slanted(), torch.rand(2, 1, 4, 4, generator=rng), cyclic(4)).lost_at == "model"


def test_a_buffer_that_is_set_anew_is_left_as_it_was():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("n", torch.zeros(1))

        def forward(self, x):
            self.n = self.n + 1
            return x

    model = Counting()
    buffer = model.n
    audit(model, torch.randn(2, 1, 4, 4), cyclic(4))
    assert model.n is buffer and model.n == 0


def test_a_sign_without_an_axis_of_its_own_is_heard(rng):
    group = dihedral(4)
    alone = Representation("alone", group, sign(group).matrices, axis=())
    model = nn.Sequential(LiftingConv(square_grid(5, group), 1, 2, padding=2, fibre_out=alone), nn.Tanh())
    assert (
        audit(model.double(), torch.randn(2, 1, 6, 6, dtype=torch.float64, generator=rng), group).lost_at
        is None
    )


@pytest.mark.parametrize("group", [cyclic(4), dihedral(4), dihedral(1)], ids=repr)
def test_a_group_network_is_audited_under_shifts_alone(group, rng):
    how = {"padding": 1, "padding_mode": "circular"}
    layers = LiftingConv(square_grid(3, group), 1, 2, **how), GroupConv(square_grid(3, group), 2, 2, **how)
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], GlobalPool(2, group_axis=True)).double()
    x = torch.randn(2, 1, 9, 9, dtype=torch.float64, generator=rng)
    assert audit(model, x, torus(9)).lost_at is None
    assert (
        audit(
            nn.Sequential(*model[:3], nn.Flatten(), nn.Linear(162 * len(group), 2).double()), x, torus(9)
        ).lost_at
        == "4"
    )


def test_shifts_are_followed_to_two_points_a_side(rng):
    conv = lambda i: nn.Conv2d(i, 4, 4, stride=2, padding=1, padding_mode="circular")
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=rng)
    found = audit(nn.Sequential(conv(1), nn.ReLU(), conv(4), pool).double(), x, torus(8))
    assert found.lost_at is None and not any(row.reading == "unknown" for row in found.rows)


def test_a_kernel_as_large_as_the_picture_is_blamed_itself(rng):
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(2, 4, 8),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=rng)
    assert audit(model.double(), x, torus(8)).lost_at == "1"


def test_a_volume_with_its_slices_last_is_refused(rng):
    x = torch.randn(2, 1, 8, 8, 6, generator=rng)
    with pytest.raises(ValueError, match="off the grid"):
        audit(nn.Conv3d(1, 1, 1), x, voxel_group((0.7, 0.7, 3)))


def test_models_of_words_are_audited():
    words = torch.randint(20, (3, 6))
    bag = nn.Sequential(nn.EmbeddingBag(20, 4)).double()
    assert audit(bag, words, nodes(6, cyclic(6)), bound=1e-12).lost_at is None
    from_one = nn.Sequential(Model(lambda m, x: x - 1), bag)
    assert audit(from_one, words.clamp(min=1), nodes(6, cyclic(6)), bound=1e-12).lost_at is None
    flat = nn.Sequential(nn.Embedding(20, 4), nn.Flatten(), nn.Linear(24, 2)).double()
    assert audit(flat, words, nodes(6, cyclic(6)), bound=1e-12).lost_at == "2"


def test_a_scripted_model_cannot_be_listened_to():
    with pytest.raises(TypeError, match=r"model: got \w*Script"):
        audit(torch.jit.script(nn.ReLU()), torch.randn(2, 1, 4, 4), cyclic(4))
