"""Living with torch: pickle and spawned workers, autocast, compile, export, the meta device, vmap, hooks, DDP."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from gdl_utils.domains import cubic_grid, cycle, hexagonal_grid, nodes, pairs, square_grid, strand, torus
from gdl_utils.equivariance import relative_error
from gdl_utils.groups import cyclic, dihedral, octahedral
from gdl_utils.layers import (
    Adjacency,
    BlurPool,
    EGNNLayer,
    GlobalPool,
    GraphConv,
    GroupBatchNorm,
    GroupConv,
    GroupPool,
    HexagonMask,
    LiftingConv,
    PairLinear,
    PolyphasePool,
    SetAttention,
    SetLinear,
    averaged,
    frame_averaged,
    spatial,
)
from gdl_utils.signals import SignalSpace, complement, regular

C2, C4 = cyclic(2), cyclic(4)
K = square_grid(3, C4)
A = Adjacency([[0, 1, 1, 2], [1, 0, 2, 1]], 3).normalised()
draw = torch.randn


def network():
    return nn.Sequential(
        LiftingConv(K, 1, 4, padding=1), GroupBatchNorm(4), nn.ReLU(), spatial(nn.AvgPool2d(2)),
        GroupConv(K, 4, 4, padding=1, groups=2), GroupPool(), GlobalPool(2), nn.Linear(4, 3),
    )  # fmt: skip


class OnGraph(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = GraphConv(2, 4), GraphConv(4, 2)

    def forward(self, x):
        return self.second(self.first(x, A).relu(), A)


MODELS = {
    "images": (network, (2, 1, 8, 8)),
    "hexagons": (
        lambda: nn.Sequential(LiftingConv(hexagonal_grid(3, dihedral(6)), 1, 2, padding=1), HexagonMask()),
        (2, 1, 9, 9),
    ),
    "volumes": (lambda: LiftingConv(cubic_grid(3, octahedral()), 1, 2, padding="same"), (1, 1, 6, 6, 6)),
    "strands": (lambda: LiftingConv(strand(5, C2), 1, 2, fibre=complement(C2)), (1, 1, 4, 12)),
    "vectors": (  # a fibre that is no permutation
        lambda: LiftingConv(K, 1, 2, fibre=[[[0, -1], [1, 0]]]),
        (1, 1, 2, 6, 6),
    ),
    "sets": (lambda: nn.Sequential(SetLinear(3, 4), nn.ReLU(), SetAttention(4, 2)), (2, 5, 3)),
    "pairs": (lambda: PairLinear(4, 1, 2), (2, 1, 4, 4)),
    "graphs": (OnGraph, (3, 2)),
    "averaged": (
        lambda: averaged(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), square_grid(6, C4)),
        (2, 1, 6, 6),
    ),
    "framed": (
        lambda: frame_averaged(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), GlobalPool(2), nn.Linear(4, 3))),
        (2, 1, 6, 6),
    ),
    "polyphase": (lambda: nn.Sequential(PolyphasePool(), BlurPool()), (2, 1, 8, 8)),
}
each = pytest.mark.parametrize("name", MODELS)


def made(name):
    make, shape = MODELS[name]
    torch.manual_seed(0)
    return make(), draw(shape)


@each
def test_a_model_is_copied_pickled_and_saved_whole(name):
    model, x = made(name)
    y = model.eval()(x)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in (
        copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.load(file, weights_only=False)
    ):  # fmt: skip
        assert torch.equal(other(x), y)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    fresh = MODELS[name][0]().eval()
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(fresh(x), y)


@each
def test_a_model_goes_through_another_type_and_back_unharmed(name):
    """What is exact is kept exactly: only the weights are rounded."""
    model, x = made(name)
    there_and_back = copy.deepcopy(model).double().float().double().eval()
    assert relative_error(there_and_back(x.double()), model.double().eval()(x.double())) <= 1e-12
    assert not any(b.dtype == torch.float64 for b in copy.deepcopy(model).float().buffers())


@each
def test_a_model_is_compiled_as_one_graph(name):
    model, x = made(name)
    model.eval()
    y = torch.compile(model, backend="eager", fullgraph=True)(x)
    assert relative_error(y, model(x)) <= 1e-6


@pytest.mark.parametrize(
    "name", [name for name in MODELS if name not in ("graphs", "pairs", "polyphase", "averaged")]
)
def test_a_model_is_exported_with_a_size_that_changes(name):
    model, x = made(name)
    model.eval()
    axes = {"sets": [1], "strands": [3], "images": [2, 3], "vectors": [3, 4]}.get(name)
    axes = list(range(2, x.ndim)) if axes is None else axes
    sizes = (
        {a: torch.export.Dim(f"n{a}", min=2 if name == "sets" else 6, max=64) for a in axes}
        if name != "hexagons"
        else {}
    )
    program = torch.export.export(model, (x,), dynamic_shapes=(sizes,))
    shape = [13 if a in sizes else n for a, n in enumerate(x.shape)]
    other = draw(shape)
    assert relative_error(program.module()(other), model(other)) <= 1e-6


@each
def test_autocast_runs_and_gradients_come_back_in_the_weights_own_type(name):
    model, x = made(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model(x)
    assert relative_error(y.float(), model(x)) <= 0.1
    if list(model.parameters()):
        y.float().sum().backward()
        assert all(p.grad is None or p.grad.dtype == torch.float32 for p in model.parameters())


def test_a_lower_precision_without_autocast_is_named():
    with pytest.raises(TypeError, match=r"x: got torch.bfloat16, the layer's weights are torch.float32"):
        LiftingConv(K, 1, 1)(draw(1, 1, 5, 5).bfloat16())
    assert LiftingConv(K, 1, 1).bfloat16()(draw(1, 1, 5, 5).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["images", "hexagons", "volumes", "strands", "vectors", "sets", "pairs"])
def test_the_meta_device_makes_a_model_without_memory_that_is_filled_later(name):
    model, x = made(name)
    with torch.device("meta"):
        empty = MODELS[name][0]()
    assert all(p.is_meta for p in empty.parameters())
    assert empty(x.to("meta")).shape == model(x).shape
    empty.load_state_dict(model.state_dict(), assign=True)
    assert relative_error(empty.eval()(x), model.eval()(x)) <= 1e-6
    with torch.device("meta"):
        empty = MODELS[name][0]()
    empty.to_empty(device="cpu")
    for module in empty.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    assert empty(x).isfinite().all()


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch has no rule for attention
@each
def test_vmap_over_examples_gives_what_a_loop_gives(name):
    model, x = made(name)
    model.eval()
    several = torch.stack([x, 2 * x, x.flip(0)])
    slow = torch.stack([model(one) for one in several])
    assert relative_error(vmap(model)(several), slow) <= 1e-5


def test_an_ensemble_of_layers_is_run_as_one():
    models, x = [LiftingConv(K, 1, 2) for _ in range(3)], draw(1, 1, 6, 6)
    parameters, buffers = stack_module_state(models)
    run = lambda p, b: functional_call(models[0], (p, b), (x,))
    slow = torch.stack([model(x) for model in models])
    assert relative_error(vmap(run)(parameters, buffers), slow) <= 1e-6


def test_hooks_and_parametrisations_see_the_layer():
    layer, seen = LiftingConv(K, 1, 2), []
    layer.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    layer.register_full_backward_hook(lambda module, grad_in, grad_out: seen.append(grad_out[0].shape))
    layer(draw(1, 1, 5, 5, requires_grad=True)).sum().backward()
    assert seen == [(1, 2, 4, 3, 3)] * 2
    normed = nn.utils.parametrizations.weight_norm(LiftingConv(K, 1, 2))
    assert normed(draw(1, 1, 5, 5)).shape == (1, 2, 4, 3, 3)


@pytest.mark.parametrize(
    "thing",
    [
        cyclic(4), octahedral(True), square_grid((4, 6), C2), hexagonal_grid(5, dihedral(6)), cubic_grid(3, C4), strand(5, C2),
        torus(6, C4), torus((6, 9)), torus(40, C4), cycle(6), nodes(4), pairs(3), SignalSpace(K, regular(C4)), A,
    ],
    ids=repr,
)  # fmt: skip
def test_groups_domains_spaces_and_graphs_are_pickled(thing):
    again = pickle.loads(pickle.dumps(thing))
    assert repr(again) == repr(thing) and repr(copy.deepcopy(thing)) == repr(thing)
    if hasattr(thing, "resize"):
        assert repr(again.resize(again.shape)) == repr(thing.resize(thing.shape))
    if hasattr(thing, "group"):
        assert again.group == thing.group


class Digits(torch.utils.data.Dataset):
    """What holds a domain and a space, and moves an example in a worker."""

    def __init__(self):
        self.space = SignalSpace(torus(6, C4))

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return self.space.act(37 + i, torch.arange(36.0).reshape(6, 6))


def test_a_spawned_worker_gets_domains_and_spaces():
    loader = torch.utils.data.DataLoader(
        Digits(), batch_size=2, num_workers=1, multiprocessing_context="spawn"
    )
    assert torch.equal(torch.cat(list(loader)), torch.stack([Digits()[i] for i in range(4)]))


def test_ddp_of_one_process_trains_a_network(tmp_path):
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        model = nn.parallel.DistributedDataParallel(network())
        model(draw(2, 1, 8, 8)).sum().backward()
        assert all(p.grad is not None for p in model.parameters())
    finally:
        torch.distributed.destroy_process_group()


def test_positions_and_features_are_compiled_too():
    layer, h, x = EGNNLayer(4), draw(5, 4), draw(5, 3)
    got, expected = torch.compile(layer, backend="eager", fullgraph=True)(h, x), layer(h, x)
    assert all(relative_error(g, e) <= 1e-6 for g, e in zip(got, expected, strict=True))
