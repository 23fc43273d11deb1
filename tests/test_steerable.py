"""Layers on fibres that are no permutations: exact for the group and for any angle, against loops, beside a pointwise ReLU; errors."""

import copy
import io
import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from gdl_utils.domains.grids import CUBE_MATRICES
from gdl_utils.equivariance import relative_error
from gdl_utils.groups import cyclic, dihedral, octahedral
from gdl_utils.layers import CircularMask, FieldBatchNorm, FieldNorms, Gated, NormReLU
from gdl_utils.representations import Representation, regular, sign, trivial

D4, OH, TURN = dihedral(4), octahedral(reflections=True), np.array([[0.0, -1.0], [1.0, 0.0]])


def wave(group, k):
    """The cosine and sine of frequency k, whose plane an n-th of a turn takes k n-ths round."""
    angle = 2 * np.pi * k / len(group)
    matrices = group.representation([np.cos(angle) * np.eye(2) + np.sin(angle) * TURN])
    return Representation(f"wave {k}", group, matrices)


def waves(n, *frequencies):
    return sum((wave(cyclic(n), k) for k in frequencies), trivial(cyclic(n)))


def shuffled(fibre, order):
    """The same in another order, so that parts do not lie side by side."""
    return Representation("shuffled", fibre.group, fibre.matrices[:, order][:, :, order])


VECTOR = Representation("vector", D4, D4.representation([TURN, np.diag([1.0, -1.0])]))
IN_SPACE = Representation("vector", OH, OH.representation(list(CUBE_MATRICES)).astype(float))
WAVES = waves(32, 1, 2, 5)
MIXED = shuffled(VECTOR + trivial(D4) + sign(D4) + trivial(D4) + VECTOR, [5, 0, 2, 3, 1, 4, 6])
FIBRES = {
    "C₈, waves": waves(8, 1, 2, 3),
    "C₃₂, waves": WAVES,
    "D₄, vector": VECTOR,
    "O_h, vector": IN_SPACE,
    "D₄, sign": sign(D4),
    "D₄, shuffled": MIXED,
    "D₄, regular": regular(D4),
    "D₄, trivial": trivial(D4),
}
each_fibre = pytest.mark.parametrize("fibre", FIBRES.values(), ids=FIBRES)


def trained(layer, channels=3):
    """The layer with parameters and statistics as training may leave them."""
    with torch.no_grad():
        for p in [*layer.parameters(), *layer.buffers()]:
            if p.is_floating_point():
                p.uniform_(0.2, 0.9)
    return layer.double().eval()


def layers_on(fibre):
    """Name: (layer, what comes in, what goes out)."""
    gated = Gated(fibre)
    return {
        "NormReLU": (trained(NormReLU(fibre, 3)), fibre, fibre),
        "Gated": (gated, gated.fibre_in, gated.fibre_out),
        "FieldNorms": (FieldNorms(fibre), fibre, None),
        "FieldBatchNorm": (trained(FieldBatchNorm(fibre, 3)), fibre, fibre),
        "FieldBatchNorm, training": (FieldBatchNorm(fibre, 3).double(), fibre, fibre),
    }


def signals(fibre, batch=4, channels=3, space=(4, 4), dtype=torch.float64):
    return torch.randn(batch, channels, *fibre.axis, *space, dtype=dtype)


def mixed(matrix, x, fibre):
    """What a matrix makes of a signal; without a fibre, nothing."""
    if fibre is None or not fibre.axis:
        return x
    return torch.einsum("ef,bcf...->bce...", torch.tensor(matrix, dtype=x.dtype), x)


@each_fibre
def test_all_layers_respect_their_group_exactly(fibre):
    for layer, before, after in layers_on(fibre).values():
        x = signals(before)
        for g in range(len(fibre.group)):
            moved = layer(mixed(before.matrices[g], x, before))
            wanted = mixed(fibre.matrices[g], layer(x), after)
            assert relative_error(moved, wanted) <= 1e-12
    layer, x = NormReLU(fibre, 3), signals(fibre, dtype=torch.float32)
    assert all(
        relative_error(layer(mixed(m, x, fibre)), mixed(m, layer(x), fibre)) <= 1e-5 for m in fibre.matrices
    )


@pytest.mark.parametrize("theta", [0.1, 1.0, math.sqrt(2), 3.0])
def test_waves_may_turn_by_any_angle(theta):
    plane = lambda k: math.cos(k * theta) * np.eye(2) + math.sin(k * theta) * TURN
    turn = np.eye(7)
    for i, k in enumerate((1, 2, 5)):
        turn[2 * i + 1 : 2 * i + 3, 2 * i + 1 : 2 * i + 3] = plane(k)
    for name, (layer, before, after) in layers_on(WAVES).items():
        x, all_of_it = signals(before), np.eye(before.size)
        all_of_it[-7:, -7:] = turn
        assert relative_error(layer(mixed(all_of_it, x, before)), mixed(turn, layer(x), after)) <= 1e-12, name
    x = signals(WAVES)  # the control: entry by entry
    assert relative_error(mixed(turn, x, WAVES).relu(), mixed(turn, x.relu(), WAVES)) > 1e-1


@pytest.mark.parametrize("name", [name for name in FIBRES if name not in ("D₄, regular", "D₄, trivial")])
def test_a_pointwise_relu_spoils_these_fibres(name):
    fibre, x = FIBRES[name], signals(FIBRES[name])
    errors = [relative_error(mixed(m, x, fibre).relu(), mixed(m, x.relu(), fibre)) for m in fibre.matrices]
    assert max(errors) > 1e-1


def parts_of(fibre):
    """Which entries are reached from which, one step at a time."""
    left, parts = set(range(fibre.size)), []
    while left:
        part, new = set(), {min(left)}
        while new:
            part |= new
            new = {
                j
                for i in part
                for j in range(fibre.size)
                for m in fibre.matrices
                if abs(m[i, j]) + abs(m[j, i]) > 1e-9
            } - part
        parts.append(sorted(part))
        left -= part
    return parts


def literally(kind, layer, fibre, x):
    """Each layer, number by number."""
    parts = parts_of(fibre)
    still = [len(p) == 1 and np.allclose(fibre.matrices[:, p[0], p[0]], 1) for p in parts]
    order = [p for p, s in zip(parts, still, strict=True) if not s]
    scalars = [p[0] for p, s in zip(parts, still, strict=True) if s]
    y = torch.zeros(*x.shape[:2], len(parts) if kind is FieldNorms else fibre.size, *x.shape[3:]).double()
    for b, c, *u in itertools.product(*map(range, (*x.shape[:2], *x.shape[3:]))):
        value = x[(b, c, slice(None), *u)].tolist()
        gates, field = value[: -fibre.size], value[-fibre.size :]
        for t, f in enumerate(scalars):
            v = field[f]
            if kind is FieldBatchNorm:
                norm, i = layer.trivial, c * len(scalars) + t
                v = (v - norm.running_mean[i]) / math.sqrt(norm.running_var[i] + 1e-5)
                y[(b, c, f, *u)] = v * norm.weight[i] + norm.bias[i]
            else:
                y[(b, c, t if kind is FieldNorms else f, *u)] = v if kind is FieldNorms else max(v, 0.0)
        for k, part in enumerate(order):
            n = math.hypot(*(field[f] for f in part))
            if kind is FieldNorms:
                y[(b, c, len(scalars) + k, *u)] = n
                continue
            factor = {
                NormReLU: lambda n=n, c=c, k=k: max(0, n - abs(float(layer.threshold[c, k]))) / n,
                Gated: lambda k=k, gates=gates: 1 / (1 + math.exp(-gates[k])),
                FieldBatchNorm: lambda c=c, k=k: (
                    float(layer.weight[c, k]) / math.sqrt(float(layer.running_square[c, k]) + 1e-5)
                ),
            }[kind]()
            for f in part:
                y[(b, c, f, *u)] = field[f] * factor
    return y.flatten(1, 2) if kind is FieldNorms else y


@pytest.mark.parametrize("fibre", [WAVES, MIXED, sign(D4), regular(D4)], ids=lambda f: f.name)
def test_the_layers_are_their_formulas_word_for_word(fibre):
    for name in ("NormReLU", "Gated", "FieldNorms", "FieldBatchNorm"):
        layer, before, _ = layers_on(fibre)[name]
        x = signals(before, 2, 3, (2,))
        with torch.no_grad():
            assert relative_error(layer(x), literally(type(layer), layer, fibre, x)) <= 1e-12


def test_a_regular_fibre_is_one_part_and_gates_go_before():
    assert NormReLU(regular(D4), 2).turned == [list(range(8))] and NormReLU(trivial(D4), 2).turned == []
    assert torch.equal(NormReLU(VECTOR, 2).threshold, torch.full((2, 1), 0.1))
    assert NormReLU(MIXED, 2).scalars == [2, 5] and NormReLU(MIXED, 2).turned == [[0, 6], [1, 4], [3]]
    gated = Gated(MIXED)
    assert gated.fibre_in.size == 10 and np.array_equal(gated.fibre_in.matrices[:, 3:, 3:], MIXED.matrices)
    assert gated.fibre_in.name == "3 gates + shuffled" and gated.fibre_out is MIXED
    assert Gated(trivial(D4)).fibre_in.axis == ()
    x = signals(trivial(D4))
    assert torch.equal(Gated(trivial(D4))(x), x.relu()) and torch.equal(FieldNorms(trivial(D4))(x), x)


def test_parts_are_found_along_chains_and_in_triangles():
    """Eight entries, of which the first and the last meet by way of those between; and two, of which one moves the other."""
    four, arrows = dihedral(2), np.zeros((3, 8))
    arrows[0, :4], arrows[1, 2:6], arrows[2, 4:] = (1, 1, 1, 1), (1, -1, 1, 1), (1, -1, 1, 1)
    one, two, three = (np.outer(v, v) / 4 for v in arrows)
    rest = np.eye(8) - one - two - three
    chain = four.representation([one - two + three - rest, one + two - three - rest])
    assert NormReLU(Representation("chain", four, chain), 1).turned == [list(range(8))]
    triangle = Representation("triangle", cyclic(2), cyclic(2).representation([[[1, 1], [0, -1]]]))
    assert Gated(triangle).turned == [[0, 1]]


def test_batch_statistics_are_those_of_torch_and_mean_squares():
    layer, x = FieldBatchNorm(MIXED, 3).double(), 3 * signals(MIXED) + 1
    plain = nn.BatchNorm2d(6).double()
    for _ in range(3):
        y, wanted = layer(x), plain(x[:, :, [2, 5]].flatten(1, 2)).view(4, 3, 2, 4, 4)
        assert torch.equal(y[:, :, [2, 5]], wanted)
    for k, part in enumerate([[0, 6], [1, 4], [3]]):
        square = x[:, :, part].square().mean((0, 2, 3, 4))
        wanted = x[:, :, part] * (square + 1e-5).rsqrt().view(3, 1, 1, 1)
        assert relative_error(y[:, :, part], wanted) <= 1e-12
        assert relative_error(layer.running_square[:, k], 0.9**3 + (1 - 0.9**3) * square) <= 1e-12
    after = copy.deepcopy(layer).eval()
    assert relative_error(after(x), y) > 1e-2 and torch.equal(after(x), after(x))
    assert not FieldBatchNorm(VECTOR, 3).state_dict().keys() & {"trivial.weight"}
    wave_off = copy.deepcopy(layer).train()  # the control: a mean, once subtracted, is in some direction
    shifted = lambda x: x - x.mean((0, 3, 4), keepdim=True)
    turn = lambda x: mixed(MIXED.matrices[1], x, MIXED)
    assert relative_error(wave_off(turn(x)), turn(wave_off(x))) <= 1e-12
    assert relative_error(shifted(turn(x)).relu(), turn(shifted(x).relu())) > 1e-1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_norms_of_any_scale_and_the_gradient_at_zero(dtype):
    fibre, tiny, most = waves(8, 1), torch.finfo(dtype).tiny, torch.finfo(dtype).max
    layer, x = NormReLU(fibre, 1).to(dtype), torch.tensor([0.5, 0.3, -0.4], dtype=dtype).view(1, 1, 3)
    nn.init.zeros_(layer.threshold)
    for scale in (1.0, most / 2, 4 * tiny):
        assert torch.allclose(
            layer(x * scale) / scale, x, rtol=2e-2 if torch.finfo(dtype).bits == 16 else 1e-6
        )
        assert torch.allclose(FieldNorms(fibre)(x * scale) / scale, x.new_tensor([[0.5, 0.5]]), rtol=2e-2)
    nn.init.constant_(layer.threshold, 0.3)
    for value in (0.0, tiny / 8, tiny, 1e-3, most / 2):
        at = torch.full((1, 1, 3), value, dtype=dtype, requires_grad=True)
        for one in (layer, FieldNorms(fibre), FieldBatchNorm(fibre, 1).to(dtype).eval()):
            y = one(at)
            if y.isfinite().all():
                (y.double().sum() * 1e-3).backward()
                assert at.grad.isfinite().all() and all(
                    p.grad.isfinite().all() for p in one.parameters() if p.grad is not None
                )
    if dtype == torch.float64:
        field = torch.zeros(1, 1, 3, dtype=dtype, requires_grad=True)
        layer(field).sum().backward()
        assert torch.equal(field.grad, torch.zeros(1, 1, 3, dtype=dtype))


def test_a_part_that_is_zero_but_for_rounding_stays_so():
    layer, x = NormReLU(VECTOR, 1).double(), 1e-17 * signals(VECTOR, channels=1)
    assert layer(x).abs().max() == 0
    nn.init.constant_(layer.threshold, -0.3)  # its absolute value counts: no norm is raised from nothing
    assert layer(x).abs().max() == 0


@pytest.mark.parametrize("fibre", [WAVES, MIXED, regular(D4)], ids=lambda f: f.name)
def test_gradients(fibre):
    for name in ("NormReLU", "Gated", "FieldNorms", "FieldBatchNorm", "FieldBatchNorm, training"):
        layer, before, _ = layers_on(fibre)[name]
        x = signals(before, 2, 3, (2,)).requires_grad_()
        with torch.no_grad():  # no norm at its threshold
            x += x.sign()
        assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(
        trained(NormReLU(VECTOR, 1)), (2 + torch.rand(1, 1, 2).double()).requires_grad_()
    )


def rotated(x, angle):
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = torch.tensor([[[cos, -sin, 0], [sin, cos, 0]]], dtype=x.dtype).expand(len(x), -1, -1)
    grid = nn.functional.affine_grid(matrix, x.shape, align_corners=False)
    return nn.functional.grid_sample(x, grid, align_corners=False)


def smooth(n, sigma):
    t = torch.arange(-4 * sigma, 4 * sigma + 1).double()
    bell = torch.exp(-((t / sigma) ** 2) / 2)
    x = torch.randn(20, 1, n + 8 * sigma, n + 8 * sigma).double()
    x = nn.functional.conv2d(nn.functional.conv2d(x, bell.view(1, 1, 1, -1)), bell.view(1, 1, -1, 1))
    return x / x.std()


def pooled(x):
    """Slope of a smoothed image, averaged: what no turn changes, but for pixels."""
    t = torch.arange(-3, 4).double()
    bell = torch.exp(-(t[:, None] ** 2 + t**2) / 2)
    slopes = nn.functional.conv2d(x, torch.stack([bell * t, bell * t[:, None]])[:, None], padding=3)
    return FieldNorms(VECTOR)(slopes.unsqueeze(1)).mean((2, 3))


@pytest.mark.parametrize("n", [28, 29])
def test_the_circular_mask_keeps_corners_from_coming_in(n):
    mask, x = CircularMask(), smooth(n, 5)
    turned, side = rotated(x, math.pi / 4), torch.arange(n) - (n - 1) / 2
    hard = (side.square() + side[:, None].square() <= ((n - 1) / 2) ** 2).double()
    error = lambda cut: relative_error(pooled(cut(turned)), pooled(cut(x)))
    assert error(mask) < error(lambda x: x * hard) < error(lambda x: x) / 2
    moves = [lambda x, k=k: x.rot90(k, (2, 3)) for k in range(4)] + [lambda x: x.flip(3), lambda x: x.mT]
    assert all(torch.equal(mask(move(x)), move(mask(x))) for move in moves)
    weights = mask(torch.ones(n, n).double())
    literal = [[min(1, max(0, (n - 1) / 2 - math.hypot(a, b))) for b in side.tolist()] for a in side.tolist()]
    assert relative_error(weights, torch.tensor(literal, dtype=torch.float64)) <= 1e-12
    assert mask(torch.ones(2, 300, 300, dtype=torch.bfloat16)).dtype == torch.bfloat16


SKEW = np.array([[1.0, 0.7], [0.0, 1.0]])
SHEARED = Representation("sheared", D4, np.linalg.inv(SKEW) @ VECTOR.matrices @ SKEW)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: NormReLU(trivial(D4) + SHEARED, 2),
            r"fibre: .*sheared of D₄.* entries \[1, 2\].*decompose of",
        ),
        (lambda: FieldNorms(SHEARED), "does not keep the norm"),
        (lambda: FieldBatchNorm(SHEARED, 1), "does not keep the norm"),
        (lambda: NormReLU(D4, 2), "fibre: got Group; a Representation"),
        (lambda: NormReLU(VECTOR, 0), "channels: got 0"),
        (lambda: FieldBatchNorm(VECTOR, 2.0), "channels: got 2.0"),
        (
            lambda: NormReLU(VECTOR, 2)(torch.zeros(1, 2, 3, 4, 4)),
            r"x: got shape .*needs \(batch, 2, 2, \*space\)",
        ),
        (lambda: NormReLU(VECTOR, 2)(torch.zeros(1, 3, 2, 4, 4)), r"needs \(batch, 2, 2, \*space\)"),
        (
            lambda: Gated(VECTOR)(torch.zeros(1, 2, 2, 4)),
            r"1 gate \+ vector.*needs \(batch, channels, 3, \*space\)",
        ),
        (lambda: FieldNorms(VECTOR)(torch.zeros(2)), r"x: got shape \(2,\)"),
        (lambda: FieldNorms(VECTOR)(torch.zeros(1, 2, 2, 4).int()), "x: got torch.int32; give real numbers"),
        (lambda: FieldBatchNorm(VECTOR, 2)(torch.zeros(1, 2, 2, 4).cfloat()), "x: got torch.complex64"),
        (lambda: CircularMask()(torch.zeros(1, 4, 5)), r"x: got shape \(1, 4, 5\); \(…, n, n\)"),
        (lambda: CircularMask()(torch.ones(1, 2, 2)), r"x: got shape \(1, 2, 2\); .* n ≥ 3"),
        (lambda: CircularMask()(torch.ones(1, 1)), "n ≥ 3"),
        (lambda: CircularMask()(torch.zeros(4, 4).long()), "x: got torch.int64"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call()


def test_gates_respect_a_fibre_that_keeps_no_norm():
    gated, x = Gated(SHEARED), signals(Gated(SHEARED).fibre_in)
    for g in range(8):
        moved = gated(mixed(gated.fibre_in.matrices[g], x, gated.fibre_in))
        assert relative_error(moved, mixed(SHEARED.matrices[g], gated(x), SHEARED)) <= 1e-12


@pytest.mark.parametrize(
    "name", ["NormReLU", "Gated", "FieldNorms", "FieldBatchNorm", "FieldBatchNorm, training"]
)
def test_they_live_with_torch(name):
    layer, before, _ = layers_on(MIXED)[name]
    x = signals(before)
    fresh = copy.deepcopy(layer)
    kept, y = fresh.state_dict(), layer(x)
    assert torch.equal(copy.deepcopy(fresh)(x), y) and torch.equal(pickle.loads(pickle.dumps(fresh))(x), y)
    file = io.BytesIO()
    torch.save(kept, file), file.seek(0)
    again = copy.deepcopy(fresh).to("meta").to_empty(device="cpu")
    again.load_state_dict(torch.load(file))
    assert torch.equal(again(x), y)
    assert all(t.dtype != torch.float64 for t in copy.deepcopy(fresh).float().buffers())
    for dtype, bound in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)):
        low = copy.deepcopy(fresh).to(dtype)(x.to(dtype))
        assert low.dtype == dtype and relative_error(low.double(), y) <= bound
    with torch.autocast("cpu", torch.bfloat16):
        assert copy.deepcopy(fresh).float()(x.bfloat16()).dtype == torch.bfloat16


def test_they_compile_in_one_piece_and_are_exported():
    fibre = shuffled(VECTOR + trivial(D4), [0, 2, 1])
    layers = [Gated(fibre), NormReLU(fibre, 3), FieldBatchNorm(fibre, 3), FieldNorms(fibre), CircularMask()]
    network, x = nn.Sequential(*layers).double(), signals(Gated(fibre).fibre_in)
    compiled = torch.compile(copy.deepcopy(network), fullgraph=True, backend="eager")
    assert relative_error(compiled(x), network(x)) <= 1e-12
    size = torch.export.Dim("size")
    some = ({0: torch.export.Dim("batch"), 3: size, 4: size},)
    exported = torch.export.export(network.eval(), (x,), dynamic_shapes=some).module()
    x = signals(Gated(fibre).fibre_in, batch=7, space=(6, 6))
    assert relative_error(exported(x), network(x)) <= 1e-12


@pytest.mark.parametrize("fibre", [VECTOR, trivial(D4) + VECTOR], ids=repr)
def test_an_empty_batch_changes_no_statistics(fibre):
    layer = FieldBatchNorm(fibre, 3)
    before = copy.deepcopy(layer.state_dict())
    for mode in (True, False):
        assert layer.train(mode)(torch.zeros(0, 3, fibre.size, 4, 4)).shape == (0, 3, fibre.size, 4, 4)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mean_squares_are_kept_in_single_precision(dtype):
    wide = FieldBatchNorm(VECTOR, 3)
    wide.running_square.fill_(90_001.0)
    for low in (copy.deepcopy(wide).to(dtype), FieldBatchNorm(VECTOR, 3, dtype=dtype)):
        low.load_state_dict(wide.state_dict())
        assert low.weight.dtype == dtype and low.running_square.dtype == torch.float32
        x = 300 * torch.randn(64, 3, 2, 4, 4).to(dtype)
        y = low.train()(x)
        assert (
            y.dtype == dtype
            and 0.8 < low.running_square.min() / 90_000 < low.running_square.max() / 90_000 < 1.2
        )
        assert relative_error(low.eval()(x).float(), y.float()) < 0.2
    assert torch.equal(copy.deepcopy(wide).to(dtype).float().running_square, wide.running_square)
    assert copy.deepcopy(wide).double().running_square.dtype == torch.float64
    assert copy.deepcopy(wide).to("meta").running_square.is_meta


@pytest.mark.parametrize("make", [NormReLU, FieldBatchNorm])
def test_weights_of_another_fibre_are_not_loaded_and_a_name_is_none(make):
    layer = lambda fibre: make(fibre, 2)
    saved = layer(wave(cyclic(8), 1)).state_dict()
    layer(wave(cyclic(8), 1)).load_state_dict(saved)
    layer(Representation("arrow", wave(cyclic(8), 1).group, wave(cyclic(8), 1).matrices)).load_state_dict(
        saved
    )
    layer(wave(cyclic(8), 3)).load_state_dict(
        dict(saved)
    )  # as those saved before: it does not say where it is from
    for other in (
        layer(wave(cyclic(8), 3)),
        layer(wave(cyclic(16), 1)),
        nn.Sequential(layer(wave(cyclic(8), 2))),
    ):
        state = (
            saved
            if not isinstance(other, nn.Sequential)
            else nn.Sequential(layer(wave(cyclic(8), 1))).state_dict()
        )
        with pytest.raises(RuntimeError, match="saved from C₈, wave 1 fibre"):
            other.load_state_dict(state)
