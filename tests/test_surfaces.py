"""Layers on surfaces, against slow transcriptions; what moves them and what does not; pictures of surfaces."""

import copy
import io
import pickle
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gdl_utils.data import rabbit, rabbit_pose
from gdl_utils.equivariance import relative_error
from gdl_utils.figures import show_surface, surface_marks
from gdl_utils.layers import Diffusion, DiffusionBlock, GaugeConv, Surface
from gdl_utils.meshes import Mesh, cotangent_laplacian, edge_transports, eigenfunctions, vertex_gradient

K = 40


@pytest.fixture(scope="module")
def mesh():
    return rabbit(500)[0]


@pytest.fixture(scope="module")
def surface(mesh):
    return Surface.of(mesh, K, dtype=torch.float64)


@pytest.fixture
def block():
    torch.manual_seed(0)
    return DiffusionBlock(6, dtype=torch.float64)


def signal(n, channels=6):
    return torch.randn(n, channels, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def turned_frames(surface, angle):
    """The same surface with each frame turned by an angle of its own, as its slopes tell."""
    turn = torch.polar(torch.ones_like(angle), -angle)[surface.pairs[0]]
    return replace(surface, slope=torch.view_as_real(torch.view_as_complex(surface.slope) * turn))


def dense(surface):
    """The map to the slopes as a complex matrix."""
    (i, j), weight = surface.pairs, torch.view_as_complex(surface.slope)
    matrix = torch.zeros(len(surface.areas), len(surface.areas), dtype=torch.complex128)
    matrix.index_put_((i, j), weight, accumulate=True)
    return matrix.index_put_((i, i), -weight, accumulate=True)


def test_what_a_surface_holds(mesh, surface):
    one = mesh.moved(mesh.vertices / np.sqrt(mesh.areas.sum()))
    assert abs(surface.areas.sum() - 1) < 1e-14
    waves, areas = surface.waves, surface.areas[:, None]
    assert (waves.T @ (areas * waves) - torch.eye(K)).abs().max() < 1e-10
    left = torch.from_numpy(cotangent_laplacian(one) @ waves.numpy())
    assert relative_error(left, areas * waves * surface.values) < 1e-9
    assert relative_error(dense(surface), torch.from_numpy(vertex_gradient(one).toarray())) < 1e-13
    x = signal(500)
    slopes = torch.complex(*surface.slopes(x))
    assert relative_error(slopes, dense(surface) @ x.to(torch.complex128)) < 1e-12
    for found, wanted in zip(surface.transports, edge_transports(one), strict=True):
        assert torch.equal(found, torch.from_numpy(wanted))


def test_diffusion_is_its_formula(surface):
    layer, x = Diffusion(6, dtype=torch.float64), signal(500)
    slow = torch.zeros_like(x)
    for c, k in np.ndindex(6, K):
        wave, time = surface.waves[:, k], float(layer.log_time[c].detach().exp())
        slow[:, c] += wave * torch.exp(-surface.values[k] * time) * (surface.areas * wave * x[:, c]).sum()
    assert relative_error(layer(x, surface), slow) < 1e-13
    assert layer.log_time.exp()[[0, -1]].tolist() == pytest.approx([1e-3, 1e-1])


def test_a_block_is_its_formula(surface, block):
    x = signal(500)
    spread = block.diffusion(x, surface)
    slope = dense(surface) @ spread.to(torch.complex128)
    slope = slope * block.diffusion.log_time.exp().sqrt()
    matrix = torch.complex(block.real.weight, block.imaginary.weight)
    products = torch.stack([(slope[:, i].conj() * (slope @ matrix[i])).real for i in range(6)], 1)
    slow = x + block.mix(torch.cat([x, spread, products.tanh()], 1))
    assert relative_error(block(x, surface), slow) < 1e-12


def test_heat_keeps_its_mean_and_in_the_end_is_even(surface):
    x = signal(500, 2)
    layer = Diffusion(2, dtype=torch.float64)
    assert relative_error(surface.mean(layer(x, surface)), surface.mean(x)) < 1e-12
    torch.nn.init.constant_(layer.log_time, 5)
    assert relative_error(layer(x, surface), surface.mean(x).expand(500, 2)) < 1e-12


def test_isometries_and_size_change_nothing(mesh, surface, block):
    turn = Rotation.random(random_state=0).as_matrix()
    moved = Surface.of(mesh.moved(3 * mesh.vertices @ turn.T + 5), K, dtype=torch.float64)
    x, times = signal(500), torch.tensor([0.01, 0.1])
    assert relative_error(block(x, moved), block(x, surface)) < 1e-9
    assert relative_error(moved.heat_signature(times), surface.heat_signature(times)) < 1e-9


def test_the_order_of_vertices_goes_through(mesh, surface, block):
    order = np.random.default_rng(0).permutation(500)
    back = np.argsort(order)
    shuffled = Surface.of(Mesh(mesh.vertices[order], back[mesh.faces]), K, dtype=torch.float64)
    x = signal(500)
    assert relative_error(block(x[order], shuffled), block(x, surface)[order]) < 1e-9


def test_frames_do_not_matter_unless_slopes_are_used_as_they_are(surface, block):
    angle = 6 * torch.rand(500, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    other, x = turned_frames(surface, angle), signal(500)
    assert relative_error(block(x, other), block(x, surface)) < 1e-13
    assert relative_error(other.slopes(x)[0], surface.slopes(x)[0]) > 0.1


def test_a_bend_of_space_that_changes_lengths_is_seen(mesh, surface, block):
    bent = Surface.of(mesh.moved(rabbit_pose(mesh.vertices, back=30)), K, dtype=torch.float64)
    x = signal(500)
    assert relative_error(block(x, bent), block(x, surface)) > 1e-3


def test_a_mirror_image_differs_by_the_imaginary_part_alone(mesh, surface, block):
    mirrored = Surface.of(Mesh(mesh.vertices * [-1, 1, 1], mesh.faces[:, ::-1]), K, dtype=torch.float64)
    x = surface.waves[:, 1:7]
    assert relative_error(block(x, mirrored), block(x, surface)) > 1e-3
    torch.nn.init.zeros_(block.imaginary.weight)
    assert relative_error(block(x, mirrored), block(x, surface)) < 1e-9


def test_other_triangles_give_nearly_the_same():
    """Heat from the same place on two meshings: closer with more vertices."""

    def left(n, seed):
        mesh = rabbit(n, seed=seed)[0]
        surface = Surface.of(mesh, 30, dtype=torch.float64)
        x = torch.from_numpy(np.exp(-((mesh.vertices - [0, 0, 0.4]) ** 2).sum(1)))[:, None]
        layer = Diffusion(1, dtype=torch.float64)
        nearest = np.array([np.argmin(((mesh.vertices - p) ** 2).sum(1)) for p in places])
        return layer(x, surface)[nearest]

    places = rabbit(500, seed=9)[0].vertices[::5]
    coarse, fine = (relative_error(left(n, 1), left(n, 2)) for n in (500, 2000))
    assert fine < 0.7 * coarse < 0.05


def test_it_lives_with_torch(surface, block):
    x = signal(500).requires_grad_()
    few = [torch.randn(500, 2, dtype=torch.float64).requires_grad_()]
    small = DiffusionBlock(2, dtype=torch.float64)
    loss = small(few[0], surface).square().sum()
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in small.parameters())
    file = io.BytesIO()
    torch.save(block, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert torch.equal(again(x, surface), block(x, surface))
    assert torch.equal(copy.deepcopy(block)(x, surface), block(x, surface))
    single = Surface.of(rabbit(500)[0], K)
    assert relative_error(copy.deepcopy(block).float()(x.float(), single), block(x, surface)) < 1e-4
    there = pickle.loads(pickle.dumps(single)).to("cpu")
    assert torch.equal(there.waves, single.waves) and torch.equal(there.pairs, single.pairs)
    meta = DiffusionBlock(6, device="meta")(x.float().to("meta"), single.to("meta"))
    assert meta.shape == (500, 6)


@pytest.mark.parametrize("what", ["block", "gauge"])
def test_it_is_compiled_whole_and_for_every_size(what):
    torch.manual_seed(0)
    network = DiffusionBlock(3) if what == "block" else GaugeConv(3, 3, in_orders=0, out_orders=0)
    call = lambda x, s: network(x, s) if what == "block" else network(x[..., None], *s.transports)[..., 0]
    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, dynamic=True, backend="aot_eager")
    for n in (500, 600):
        surface, x = Surface.of(rabbit(n)[0], 12), torch.randn(n, 3)
        assert relative_error(compiled(x, surface), call(x, surface)) < 1e-5


def test_a_gauge_layer_is_exported_with_sizes_that_change():
    layer = GaugeConv(2, 2, in_orders=1, out_orders=1)
    one, other = (Surface.of(rabbit(n)[0], 4) for n in (500, 600))
    V, P = torch.export.Dim("V"), torch.export.Dim("P")
    shapes = ({0: V}, {1: P}, {0: P}, {0: P})
    exported = torch.export.export(layer, (torch.randn(500, 2, 3), *one.transports), dynamic_shapes=shapes)
    x = torch.randn(600, 2, 3)
    assert relative_error(exported.module()(x, *other.transports), layer(x, *other.transports)) < 1e-6


def test_pieces_need_a_wave_each():
    whole = rabbit(500)[0]
    two = Mesh(
        np.concatenate([whole.vertices, whole.vertices + 5]), np.concatenate([whole.faces, whole.faces + 500])
    )
    surface = Surface.of(two, 20, dtype=torch.float64)
    ones = torch.ones(1000, 2, dtype=torch.float64)
    assert relative_error(Diffusion(2, dtype=torch.float64)(ones, surface), ones) < 1e-12
    with pytest.raises(ValueError, match="k: got 1; this mesh has 2 pieces"):
        Surface.of(two, 1)


def test_the_unit_of_length_does_not_matter():
    mesh = rabbit(500)[0]
    values = eigenfunctions(mesh, 20)[0]
    for unit in (1e-12, 1e-6, 1e6):
        there = mesh.moved(mesh.vertices * unit)
        others, same = eigenfunctions(there, 20)
        assert np.abs(others[1:] * unit**2 / values[1:] - 1).max() < 1e-8
        assert np.abs(same.T @ (there.vertex_areas[:, None] * same) - np.eye(20)).max() < 1e-8


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda s: Diffusion(0), ValueError, "channels: got 0"),
        (lambda s: Diffusion(2)(torch.zeros(3, 2), s), ValueError, r"needs \(500, 2\)"),
        (lambda s: Diffusion(2)(torch.zeros(500, 2), 3), TypeError, "surface: got int"),
        (lambda s: Diffusion(2)(torch.zeros(500, 2).long(), s), TypeError, "x: got torch.int64"),
        (lambda s: DiffusionBlock(2)(torch.zeros(500, 3), s), ValueError, r"needs \(500, 2\)"),
        (lambda s: Surface.of(rabbit(500)[0], 500), ValueError, "k: got 500"),
        (lambda s: Surface.of("rabbit"), TypeError, "mesh: got str"),
        (lambda s: s.to(torch.float32), TypeError, "for another type give Surface.of"),
        (lambda s: Diffusion(2)(torch.zeros(500, 2), s), TypeError, "the surface is in torch.float64"),
        (lambda s: Diffusion(2)(np.zeros((500, 2)), s), TypeError, "x: got ndarray"),
        (lambda s: s.heat_signature([-1.0]), ValueError, "from 0 upwards"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(surface, call, error, words):
    with pytest.raises(error, match=words):
        call(surface)


# Pictures


def test_a_closed_surface_hides_what_lies_behind(mesh):
    """Of a box seen from the front, only the front: two triangles, in its place and with its strength."""
    corners = np.array([(x, y, z) for x in (0, 1) for y in (0, 2) for z in (0, 1)], dtype=float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    box = Mesh(corners, [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    marks = surface_marks(box, 1.0, view=(0, 0), scale=10, origin=(5, 20))
    assert marks.count("<path") == 2 and marks.count("Z") == 2  # one for both triangles, one for the outline
    assert ".signal-7{" in marks and "M5 20" in marks
    _, ax = plt.subplots()
    show_surface(ax, box, 0.0, view=(0, 0))
    triangles, outline = ax.collections
    assert len(triangles.get_paths()) == 2 and np.allclose(triangles.get_facecolors()[:, :3], 1)
    assert len(outline.get_segments()) == 4
    plt.close()


def test_an_open_surface_has_two_sides_to_see():
    sheet = Mesh(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float), [[0, 1, 2]])
    assert all("Z" in surface_marks(sheet, view=(angle, 0)) for angle in (0, 180))


def test_each_triangle_may_have_its_role(mesh):
    roles = ["moved" if x > 0 else "signal" for x in mesh.vertices[mesh.faces[:, 0], 0]]
    marks = surface_marks(mesh, role=roles, view=(90, 0))
    assert 'class="moved-7"' in marks and 'class="signal-7"' in marks


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strength": np.zeros(3)}, "strength: got shape"),
        ({"role": ["signal"]}, "role: got 1"),
        ({"role": "ink"}, "ink is for lines"),
        ({"role": "sky"}, "role: got 'sky'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(mesh, options, words):
    with pytest.raises(ValueError, match=words):
        surface_marks(mesh, **options)
