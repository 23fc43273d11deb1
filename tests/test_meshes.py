"""Meshes, against slow transcriptions and what is known of spheres, tori and the plane; and the convolution that no choice of frames changes."""

import copy
import io

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay
from scipy.spatial.transform import Rotation
from torch import nn

from gdl_utils.equivariance import relative_error
from gdl_utils.groups import cyclic
from gdl_utils.layers import GaugeConv, NormReLU
from gdl_utils.meshes import (
    Mesh,
    cotangent_laplacian,
    edge_transports,
    eigenfunctions,
    geodesic_distances,
    gradient,
    heat,
    holonomy,
    mend,
    vertex_frames,
    vertex_gradient,
)
from gdl_utils.representations import irreps

# Meshes


def icosphere(subdivisions):
    """A sphere of radius 1: an icosahedron whose triangles are cut in four, again and again."""
    g = (1 + 5**0.5) / 2
    corners = [(a, b * g, 0) for a in (-1, 1) for b in (-1, 1)]
    vertices = np.array([np.roll(c, k) for k in range(3) for c in corners]) / np.hypot(1, g)
    near = lambda i, j: np.isclose(np.linalg.norm(vertices[i] - vertices[j]), 2 / np.hypot(1, g))
    faces = [
        (i, j, k)
        for i in range(12)
        for j in range(i)
        for k in range(j)
        if near(i, j) and near(j, k) and near(i, k)
    ]
    mesh = mend(vertices, faces)[0]
    for _ in range(subdivisions):
        vertices, n = mesh.vertices, len(mesh.vertices)
        at = {tuple(edge): n + k for k, edge in enumerate(mesh.edges.tolist())}
        middles = vertices[mesh.edges].mean(1)
        between = lambda i, j, at=at: at[min(i, j), max(i, j)]
        faces = []
        for a, b, c in mesh.faces.tolist():
            x, y, z = between(b, c), between(a, c), between(a, b)
            faces += [(a, z, y), (b, x, z), (c, y, x), (x, y, z)]
        middles /= np.linalg.norm(middles, axis=1, keepdims=True)
        mesh = Mesh(np.concatenate([vertices, middles]), faces)
    return mesh


def grid(rows, columns, closed=(False, False), place=None):
    """A rectangle of triangles, closed to a tube or a torus; ``place(u, v)`` puts its points."""
    index = lambda i, j: (i % rows) * columns + j % columns
    cells = [(i, j) for i in range(rows - (not closed[0])) for j in range(columns - (not closed[1]))]
    faces = [
        t
        for i, j in cells
        for t in (
            (index(i, j), index(i + 1, j), index(i + 1, j + 1)),
            (index(i, j), index(i + 1, j + 1), index(i, j + 1)),
        )
    ]
    place = place or (lambda u, v: (u, v, 0.0))
    points = [place(i / rows, j / columns) for i in range(rows) for j in range(columns)]
    return Mesh(np.array(points), faces)


def torus():
    def place(u, v):
        a, b = 2 * np.pi * u, 2 * np.pi * v
        return (1 + 0.4 * np.cos(b)) * np.cos(a), (1 + 0.4 * np.cos(b)) * np.sin(a), 0.4 * np.sin(b)

    return grid(24, 12, (True, True), place)


def plane(n=80, seed=0):
    """A flat patch of random triangles, tilted in space."""
    points = np.random.default_rng(seed).random((n, 2))
    flat = np.concatenate([points, np.zeros((n, 1))], 1)
    mesh = mend(flat, Delaunay(points).simplices)[0]
    return mesh.moved(mesh.vertices @ Rotation.random(rng=seed).as_matrix().T)


def bumpy(seed=0):
    """A sphere with noise, some of whose triangles are obtuse."""
    mesh = icosphere(2)
    return mesh.moved(mesh.vertices + 0.05 * np.random.default_rng(seed).standard_normal(mesh.vertices.shape))


def two(mesh, other):
    """Two meshes as one of two pieces."""
    return Mesh(
        np.concatenate([mesh.vertices, other.vertices + 5]),
        np.concatenate([mesh.faces, other.faces + len(mesh.vertices)]),
    )


SURFACES = {"sphere": icosphere(2), "torus": torus(), "plane": plane(), "bumpy": bumpy()}
SURFACES["two pieces"] = two(icosphere(1), plane(40))
surfaces = pytest.mark.parametrize("mesh", SURFACES.values(), ids=SURFACES)
TETRAHEDRON = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)
SIDES = [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]

# What a mesh is


@pytest.mark.parametrize(
    "vertices, faces, error, words",
    [
        (TETRAHEDRON[:, :2], SIDES, ValueError, r"vertices: got shape \(4, 2\); give \(V, 3\)"),
        (TETRAHEDRON > 0, SIDES, TypeError, "vertices: got bool"),
        (TETRAHEDRON, np.array(SIDES) * 1.0, TypeError, "faces: got float64"),
        (TETRAHEDRON, [[0, 1, 2, 3]], ValueError, r"faces: got shape \(1, 4\)"),
        (TETRAHEDRON, np.zeros((0, 3), int), ValueError, "faces: got none"),
        (TETRAHEDRON * np.nan, SIDES, ValueError, "vertices: 4 of 4 are not finite"),
        (TETRAHEDRON, [[0, 1, 4]], ValueError, "corners from 0 to 4; there are vertices 0 to 3"),
        (TETRAHEDRON, [[-1, 1, 2]], ValueError, "corners from -1 to 2"),
        (TETRAHEDRON, SIDES[:1], ValueError, "vertices: 1 of 4 are in no triangle"),
        (TETRAHEDRON, [*SIDES, [0, 0, 1]], ValueError, "faces: 1 of 5 have no area"),
        (TETRAHEDRON, [[0, 1, 2], [1, 0, 3], [0, 1, 3]], ValueError, "from vertex 0 to 1 has 3 triangles"),
        (TETRAHEDRON, [*SIDES[:3], [1, 3, 2]], ValueError, "at 3 edges two triangles run the same way"),
    ],
)
def test_what_is_no_surface_is_refused_in_words(vertices, faces, error, words):
    with pytest.raises(error, match=words):
        Mesh(vertices, faces)


def test_a_mesh_knows_its_parts():
    mesh = SURFACES["two pieces"]
    assert sorted(np.unique(mesh.components).tolist()) == [0, 1]
    assert mesh.euler_characteristic == 2 + 1
    assert mesh.on_boundary[mesh.components == 0].sum() == 0 < mesh.on_boundary.sum()
    assert np.isclose(mesh.vertex_areas.sum(), mesh.areas.sum())
    assert np.allclose(mesh.angles.sum(1), np.pi)
    inside = mesh.twins >= 0
    assert (mesh.half_edges[mesh.twins[inside]] == mesh.half_edges[inside][:, ::-1]).all()
    sphere = SURFACES["sphere"]
    assert ((sphere.normals * sphere.vertices[sphere.faces].mean(1)).sum(1) > 0.9).all(), "outwards"
    with pytest.raises(ValueError, match=r"vertices: got shape \(3, 3\); this mesh has"):
        sphere.moved(np.eye(3))


def test_a_mesh_is_its_own_and_cannot_be_changed():
    corners, faces = TETRAHEDRON.copy(), np.array(SIDES)
    mesh = Mesh(corners, faces)
    corners += 1
    faces[:] = 0
    assert (mesh.vertices == TETRAHEDRON).all() and (mesh.faces == SIDES).all()
    for array in (mesh.vertices, mesh.faces):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_what_is_safe_is_mended_and_said():
    cube = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    # As an STL file has it: every polygon with corners of its own; one turned over, one double, and a point that nobody uses.
    corners = np.concatenate([*(cube[list(q)] for q in quads), [[9, 9, 9]]])
    polygons = [list(range(4 * k, 4 * k + 4)) for k in range(6)]
    polygons[3] = polygons[3][::-1]
    mesh, done = mend(corners, [*polygons, [0, 1, 2], [0, 1, 1]])
    assert (len(mesh.vertices), len(mesh.faces), mesh.euler_characteristic) == (8, 12, 2)
    assert np.isclose(mesh.areas.sum(), 6) and not mesh.on_boundary.any()
    assert ((mesh.vertices[mesh.faces].mean(1) - 0.5) * mesh.normals).sum(1).min() > 0, "outwards"
    for words in ("6 polygons split", "16 vertices in the place", "1 triangle without area"):
        assert any(words in sentence for sentence in done), done
    assert any("that occurred twice dropped" in s for s in done) and any(
        "1 vertex without" in s for s in done
    )
    assert any("turned to be seen from the same side" in s for s in done)
    again, nothing = mend(mesh.vertices, mesh.faces)
    assert nothing == () and (again.faces == mesh.faces).all()


def test_each_piece_is_turned_by_itself():
    mesh = two(icosphere(1), icosphere(1))
    faces = mesh.faces.copy()
    rng = np.random.default_rng(0)
    over = rng.random(len(faces)) < 0.3
    faces[over] = faces[over, ::-1]
    mended, done = mend(mesh.vertices, faces)
    assert done == (f"{over.sum()} triangles turned to be seen from the same side",)
    centre = np.where(mended.vertices[mended.faces[:, 0]].sum(1, keepdims=True) > 5, 5.0, 0.0)
    assert ((mended.vertices[mended.faces].mean(1) - centre) * mended.normals).sum(1).min() > 0.9


def test_of_an_open_piece_the_first_triangle_stays():
    square = np.array([[0, 0, -5], [1, 0, -5], [1, 1, -5], [0, 1, -5]], dtype=float)
    mesh, done = mend(square, [[0, 1, 2], [0, 3, 2]])
    assert done == ("1 triangle turned to be seen from the same side",)
    assert (mesh.normals[:, 2] == 1).all()


def test_what_is_not_safe_is_not_mended():
    angle = 2 * np.pi * np.arange(5) / 5
    pentagon = np.stack([np.cos(angle), np.sin(angle), np.sin(2 * angle)], 1)
    with pytest.raises(ValueError, match="one side only, as Möbius' band"):
        mend(pentagon, [(k, (k + 1) % 5, (k + 2) % 5) for k in range(5)])
    with pytest.raises(ValueError, match="from vertex 0 to 1 has 3 triangles"):
        mend(np.concatenate([TETRAHEDRON, [[0, 0, -1]]]), [[0, 1, 2], [0, 1, 3], [0, 1, 4]])
    with pytest.raises(ValueError, match="got one with 2 corners; a polygon has three or more"):
        mend(TETRAHEDRON, [[0, 1]])
    with pytest.raises(ValueError, match="none is left with an area"):
        mend(TETRAHEDRON, [[0, 1, 1]])


# The Laplacian


@surfaces
def test_the_laplacian_is_its_formula(mesh):
    n = len(mesh.vertices)
    slow = np.zeros((n, n))
    for face in mesh.faces:
        for a, b, c in (face, np.roll(face, 1), np.roll(face, 2)):
            u, v = mesh.vertices[b] - mesh.vertices[a], mesh.vertices[c] - mesh.vertices[a]
            w = u @ v / np.linalg.norm(np.cross(u, v)) / 2
            slow[[b, c], [c, b]] -= w
            slow[[b, c], [b, c]] += w
    found = cotangent_laplacian(mesh).toarray()
    assert np.abs(found - slow).max() <= 1e-10 * np.abs(slow).max()
    assert (found == found.T).all() and np.abs(found.sum(1)).max() <= 1e-12 * np.abs(slow).max()
    of_slopes = gradient(mesh).T @ (np.repeat(mesh.areas, 3)[:, None] * gradient(mesh).toarray())
    assert np.abs(of_slopes - slow).max() <= 1e-10 * np.abs(slow).max()


def test_a_flat_interior_has_no_curvature_and_slopes_are_right():
    mesh = plane()
    inner = ~mesh.on_boundary
    assert inner.sum() > 30
    assert np.abs((cotangent_laplacian(mesh) @ mesh.vertices)[inner]).max() <= 1e-12
    assert np.abs(mesh.angle_defects[inner]).max() <= 1e-12
    normal = mesh.normals[0]
    direction = np.cross(normal, [1.0, 2.0, 3.0])
    slopes = (gradient(mesh) @ (mesh.vertices @ direction)).reshape(-1, 3)
    assert np.abs(slopes - direction).max() <= 1e-10


def test_waves_of_the_sphere():
    errors = []
    wanted = np.repeat([2.0, 6, 12, 20], [3, 5, 7, 9])
    for subdivisions in (2, 3, 4):
        mesh = icosphere(subdivisions)
        values, waves = eigenfunctions(mesh, 25)
        assert values[0] <= 1e-9
        errors.append(np.abs(values[1:] / wanted - 1).max())
        assert np.abs(waves.T @ (mesh.vertex_areas[:, None] * waves) - np.eye(25)).max() <= 1e-10
        rest = cotangent_laplacian(mesh) @ waves - mesh.vertex_areas[:, None] * waves * values
        assert np.abs(rest).max() <= 1e-9
        assert (waves.max(0) >= -waves.min(0)).all(), "the largest is positive"
    assert errors[2] < 0.01 and errors[0] > 3 * errors[1] > 9 * errors[2]
    # The mean curvature of the sphere is 1 in the mean: L x = 2 H n, weighted by the areas.
    pull = cotangent_laplacian(mesh) @ mesh.vertices
    assert np.isclose((pull * mesh.vertices).sum() / mesh.vertex_areas.sum(), 2, rtol=0.003)
    assert np.abs(np.cross(pull, mesh.vertices)).max() <= 0.01 * np.linalg.norm(pull, axis=1).max()


@pytest.mark.parametrize("subdivisions", [2, 3])
@pytest.mark.parametrize("k", [9, 16, 25, 30, 36])
def test_no_wave_is_missed_where_several_have_one_value(subdivisions, k):
    """On spheres of several sizes, against all eigenvalues of the dense matrix."""
    mesh = icosphere(subdivisions)
    mesh = mesh.moved(mesh.vertices * 1.7)
    root = np.sqrt(mesh.vertex_areas)
    dense = np.linalg.eigvalsh(cotangent_laplacian(mesh).toarray() / root / root[:, None])
    assert np.abs(eigenfunctions(mesh, k)[0] - dense[:k]).max() < 1e-9 * dense[k]


def test_each_piece_has_a_wave_that_is_constant():
    values, _ = eigenfunctions(two(icosphere(1), plane(40)), 4)
    assert (values[:2] <= 1e-9).all() and values[2] > 0.1
    with pytest.raises(ValueError, match=r"k: got 42; this mesh has 42 vertices"):
        eigenfunctions(icosphere(1), 42)


def test_waves_without_slope_have_the_value_zero_exactly():
    assert (eigenfunctions(two(two(icosphere(1), torus()), plane(40)), 5)[0] == 0).sum() == 3


def test_thin_triangles_give_nothing_infinite():
    mesh = plane(30)
    vertices = np.concatenate([mesh.vertices, mesh.vertices[mesh.faces[0]].mean(0)[None]])
    a, b, c = mesh.faces[0]
    thin = vertices.copy()
    thin[-1] = (thin[a] + thin[b]) / 2 + 1e-9 * (thin[c] - thin[a])  # all but on the side from a to b
    made = Mesh(thin, np.concatenate([mesh.faces[1:], [[a, b, 30], [b, c, 30], [c, a, 30]]]))
    found = cotangent_laplacian(made)
    assert np.isfinite(found.data).all() and np.abs(found.sum(1)).max() <= 1e-9 * np.abs(found.data).max()
    assert np.abs(found.data).max() < 1e5, "cotangents without the mending are near 1e9"
    values, _ = eigenfunctions(made, 5)
    whole, _ = eigenfunctions(mesh, 5)
    assert np.allclose(values, whole, rtol=0.2, atol=1e-6)


# What a bend leaves alone


def fold(degrees, turned=True):
    """A strip of paper with a fold across it."""
    mesh = grid(9, 5)
    x, y, _ = mesh.vertices.T
    beyond, a = np.maximum(x - x[20], 0), np.radians(degrees)
    folded = np.stack([np.minimum(x, x[20]) + beyond * np.cos(a), y, beyond * np.sin(a)], 1)
    return mesh, mesh.moved(folded @ Rotation.random(rng=1).as_matrix().T + 3 if turned else folded)


@pytest.mark.parametrize("degrees", [0, 40, 100])
def test_a_bend_that_keeps_lengths_changes_nothing_within(degrees):
    flat, bent = fold(degrees)
    assert np.abs(flat.edge_lengths - bent.edge_lengths).max() <= 1e-12
    assert np.abs((cotangent_laplacian(flat) - cotangent_laplacian(bent)).toarray()).max() <= 1e-10
    assert np.abs(flat.angle_defects - bent.angle_defects).max() <= 1e-10
    assert np.abs(eigenfunctions(flat, 9)[0] - eigenfunctions(bent, 9)[0]).max() <= 1e-8
    assert np.abs(geodesic_distances(flat, 0) - geodesic_distances(bent, 0)).max() <= 1e-9
    for one, other in zip(edge_transports(flat), edge_transports(bent), strict=True):
        assert np.abs(one - other).max() <= 1e-10
    straight = np.linalg.norm(bent.vertices - bent.vertices[0], axis=1)
    before = np.linalg.norm(flat.vertices - flat.vertices[0], axis=1)
    assert np.isclose(straight, before).all() == (degrees == 0)


# Heat and distances


@surfaces
def test_heat_is_its_equation_and_is_kept(mesh):
    u = np.random.default_rng(0).random((len(mesh.vertices), 2))
    areas = mesh.vertex_areas[:, None]
    for time in (1e-3, 1.0):
        later = heat(mesh, u, time)
        slow = np.linalg.solve(
            np.diag(mesh.vertex_areas) + time * cotangent_laplacian(mesh).toarray(), areas * u
        )
        assert np.abs(later - slow).max() <= 1e-10
        assert np.allclose((areas * later).sum(0), (areas * u).sum(0))
        assert np.abs(heat(mesh, u[:, 0], time) - later[:, 0]).max() <= 1e-12
    assert np.allclose(heat(mesh, np.ones(len(u)), 1.0), 1)


def test_what_is_no_temperature_or_time_or_source_is_refused():
    mesh = icosphere(1)
    with pytest.raises(ValueError, match=r"u: got shape \(3,\); give \(42,\)"):
        heat(mesh, np.ones(3), 1.0)
    with pytest.raises(TypeError, match="u: got complex128; give real numbers"):
        heat(mesh, np.ones(42) * 1j, 1.0)
    for time in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="time: got"):
            heat(mesh, np.ones(42), time)
    for sources in ([], 42, -1, [0.5]):
        with pytest.raises(ValueError, match="sources: got"):
            geodesic_distances(mesh, sources)


def test_distances_on_the_sphere():
    errors = []
    for subdivisions in (2, 3, 4):
        mesh = icosphere(subdivisions)
        exact = np.arccos(np.clip(mesh.vertices @ mesh.vertices[0], -1, 1))
        errors.append(np.abs(geodesic_distances(mesh, 0) - exact).max() / np.pi)
    assert errors[2] < 0.02 and errors[0] > 1.5 * errors[1] > 2 * errors[2]


def test_only_sources_are_at_no_distance():
    assert np.flatnonzero(geodesic_distances(SURFACES["plane"], [0, 1, 2]) == 0).tolist() == [0, 1, 2]


def test_distances_are_in_the_unit_of_the_vertices():
    mesh = bumpy()
    large = geodesic_distances(mesh.moved(1000 * mesh.vertices), 0)
    assert np.allclose(large, 1000 * geodesic_distances(mesh, 0))


def test_distances_of_pieces_and_of_several_sources():
    mesh = two(icosphere(3), icosphere(3))
    found = geodesic_distances(mesh, 0)
    assert np.isfinite(found).sum() == 642 and found[0] == 0
    far = int(found[:642].argmax())
    several = geodesic_distances(mesh, [0, far])
    assert several[far] == 0 and several[:642].max() < 0.6 * found[:642].max()
    assert np.isfinite(geodesic_distances(mesh, [0, 700])).all()


# Vectors


@surfaces
def test_gauss_and_bonnet(mesh):
    assert abs(mesh.angle_defects.sum() - 2 * np.pi * mesh.euler_characteristic) <= 1e-10


def test_normals_at_vertices_are_means_by_area():
    mesh, wanted = bumpy(), 0
    for corner in range(3):
        at = np.eye(len(mesh.vertices))[mesh.faces[:, corner]]
        wanted = wanted + at.T @ (mesh.areas[:, None] * mesh.normals)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert np.abs(vertex_frames(mesh)[:, 2] - wanted).max() <= 1e-12


@surfaces
def test_there_and_back_is_as_before(mesh):
    (i, j), _, r = edge_transports(mesh)
    assert len(i) == 2 * len(mesh.edges)
    back = {(a, b): k for k, (a, b) in enumerate(zip(i, j, strict=True))}
    round_trip = r + r[[back[b, a] for a, b in zip(i, j, strict=True)]]
    assert np.abs(np.exp(1j * round_trip) - 1).max() <= 1e-12
    frames = vertex_frames(mesh)
    assert np.abs(frames @ frames.transpose(0, 2, 1) - np.eye(3)).max() <= 1e-12
    assert np.allclose(np.linalg.det(frames), 1)


def test_in_the_plane_a_vector_stays_what_it_is():
    mesh = plane()
    (i, j), there, r = edge_transports(mesh)
    frames = vertex_frames(mesh)
    in_space = lambda at, angle: (
        np.cos(angle)[:, None] * frames[at, 0] + np.sin(angle)[:, None] * frames[at, 1]
    )
    along = mesh.vertices[j] - mesh.vertices[i]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    inner = ~mesh.on_boundary[i]
    assert np.abs(in_space(i, there) - along)[inner].max() <= 1e-10
    a = np.random.default_rng(0).uniform(0, 6, len(i))
    both = inner & ~mesh.on_boundary[j]
    assert both.sum() > 50
    assert np.abs(in_space(i, a) - in_space(j, a + r))[both].max() <= 1e-10


@surfaces
def test_a_slope_is_the_one_that_fits(mesh):
    (i, j), there, _ = edge_transports(mesh)
    u = np.random.default_rng(0).standard_normal(len(mesh.vertices))
    found = vertex_gradient(mesh) @ u
    for vertex in range(0, len(u), 5):
        e = np.flatnonzero(i == vertex)
        length = np.linalg.norm(mesh.vertices[j[e]] - mesh.vertices[vertex], axis=1)
        along = length[:, None] * np.stack([np.cos(there[e]), np.sin(there[e])], 1)
        fit = np.linalg.lstsq(along, u[j[e]] - u[vertex])[0]
        assert abs(found[vertex] - complex(*fit)) <= 1e-9 * np.abs(fit).max()
    assert np.abs(vertex_gradient(mesh) @ np.ones(len(u))).max() <= 1e-10


def test_slopes_in_the_plane_on_the_sphere_and_after_a_bend():
    mesh, direction = plane(), np.array([1.0, -2.0, 0.5])
    frames, inner = vertex_frames(mesh), ~mesh.on_boundary
    slope = vertex_gradient(mesh) @ (mesh.vertices @ direction)
    exact = frames[:, 0] @ direction + 1j * (frames[:, 1] @ direction)
    assert np.abs(slope - exact)[inner].max() <= 1e-9
    errors = []
    for subdivisions in (2, 3, 4):
        sphere = icosphere(subdivisions)
        frames, up = vertex_frames(sphere), np.array([0, 0, 1.0])
        slope = vertex_gradient(sphere) @ sphere.vertices[:, 2]
        errors.append(np.abs(slope - (frames[:, 0] @ up + 1j * (frames[:, 1] @ up))).max())
    assert errors[2] < 0.01 and errors[0] > 1.7 * errors[1] > 1.7**2 * errors[2], "of first order: they halve"
    flat, bent = fold(70)
    assert abs(vertex_gradient(flat) - vertex_gradient(bent)).max() <= 1e-9


def round_vertex(mesh, vertex):
    """The triangles round an inner vertex, in order."""
    side = int(np.flatnonzero(mesh.half_edges[:, 0] == vertex)[0])
    path = []
    while side // 3 not in path:
        path.append(side // 3)
        side = int(mesh.twins[3 * (side // 3) + (side + 2) % 3])
    return path


@pytest.mark.parametrize("name", ["sphere", "torus", "bumpy", "plane"])
def test_a_vector_carried_round_a_vertex_is_turned_by_its_defect(name):
    mesh = SURFACES[name]
    for vertex in np.flatnonzero(~mesh.on_boundary)[::7]:
        path = round_vertex(mesh, vertex)
        for way in (path, path[3:] + path[:3]):
            assert abs(holonomy(mesh, way) - mesh.angle_defects[vertex]) <= 1e-12
        assert abs(holonomy(mesh, path[::-1]) + mesh.angle_defects[vertex]) <= 1e-12


def test_round_two_vertices_by_the_sum_of_both():
    mesh = bumpy()
    a, b = mesh.edges[100]
    one, other = round_vertex(mesh, a), round_vertex(mesh, b)
    common = set(one) & set(other)
    assert len(common) == 2
    # Round both: along a's triangles from one common triangle to the other, and back along b's.
    start = next(k for k, f in enumerate(one) if f in common and one[(k + 1) % len(one)] not in common)
    first = one[start:] + one[:start]
    first = first[: next(k for k, f in enumerate(first) if k and f in common) + 1]
    k = other.index(first[-1])
    second = other[k:] + other[:k]
    second = second[: second.index(first[0])]
    path = first + second[1:]
    assert abs(holonomy(mesh, path) - mesh.angle_defects[[a, b]].sum()) <= 1e-12


def test_what_is_no_way_is_refused():
    mesh = icosphere(1)
    with pytest.raises(ValueError, match="path: got 2 triangles"):
        holonomy(mesh, [0, 1])
    f = int(mesh.faces.shape[0] - 1)
    with pytest.raises(ValueError, match="have no common edge"):
        holonomy(mesh, [0, f, f // 2])
    with pytest.raises(ValueError, match="normals add up to 0; there is no side"):
        vertex_frames(Mesh(TETRAHEDRON[:3], [[0, 1, 2], [0, 2, 1]]))
    sliver = Mesh(np.array([[0, 0, 0], [1, 0, 0], [0.5, 1e-7, 0]]), [[0, 1, 2]])
    with pytest.raises(ValueError, match=r"the edges at vertex \d lie in one line; there is no slope"):
        vertex_gradient(sliver)
    # An hourglass: two triangles that meet in a point.
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [-1, 0, 0], [-1, -1, 0]], dtype=float)
    hourglass = Mesh(points, [[0, 1, 2], [0, 3, 4]])
    assert np.isfinite(eigenfunctions(hourglass, 3)[0]).all()
    with pytest.raises(ValueError, match="at vertex 0 several fans of triangles meet"):
        edge_transports(hourglass)


# Gauges


connected = pytest.mark.parametrize("mesh", [SURFACES[name] for name in ("bumpy", "torus", "plane")])
orders = pytest.mark.parametrize("orders", [(0, 0), (0, 2), (2, 0), (1, 1), (1, 3), (3, 2)], ids=str)


def transports(mesh):
    return [torch.as_tensor(a) for a in edge_transports(mesh)]


def turned(x, angle):
    """Order m of each field, as a complex number, times exp(i m angle): a transcription."""
    y = x.clone()
    for m in range(1, x.shape[-1] // 2 + 1):
        z = (
            torch.complex(x[..., 2 * m - 1], x[..., 2 * m])
            * torch.polar(torch.ones_like(angle), m * angle)[:, None]
        )
        y[..., 2 * m - 1], y[..., 2 * m] = z.real, z.imag
    return y


def in_other_frames(x, pairs, there, turn, seed=0):
    """The same field when the frame of each vertex is turned by an angle of its own."""
    by = 2 * torch.pi * torch.rand(len(x), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    i, j = pairs
    return by, (turned(x, -by), pairs, there - by[i], turn + by[i] - by[j])


def made(fields, out, seed=0, **options):
    torch.manual_seed(seed)
    layer = GaugeConv(2, 3, in_orders=fields, out_orders=out, **options).double()
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    return layer


@connected
@orders
def test_no_choice_of_frames_matters(mesh, orders):
    layer = made(*orders)
    x = torch.randn(len(mesh.vertices), 2, 2 * orders[0] + 1, dtype=torch.float64)
    there = transports(mesh)
    by, other = in_other_frames(x, *there)
    error = relative_error(layer(*other), turned(layer(x, *there), -by))
    assert error <= 1e-12


@connected
def test_a_network_with_a_nonlinearity_that_is_allowed_ends_in_scalars_that_are_invariant(mesh):
    torch.manual_seed(0)
    there = transports(mesh)
    fibre = sum(irreps(cyclic(5))[1:], irreps(cyclic(5))[0])
    layers = [made(0, 2), NormReLU(fibre, 3).double(), GaugeConv(3, 2, in_orders=2, out_orders=0).double()]

    def network(x, pairs, there, turn, act):
        return layers[2](act(layers[0](x, pairs, there, turn)), pairs, there, turn)

    x = torch.randn(len(mesh.vertices), 2, 1, dtype=torch.float64)
    _, other = in_other_frames(x, *there)
    assert relative_error(network(*other, layers[1]), network(x, *there, layers[1])) <= 1e-12
    assert relative_error(network(*other, torch.relu), network(x, *there, torch.relu)) > 1e-2


@pytest.mark.parametrize("what", ["turn", "there"])
def test_without_transport_or_direction_the_frames_show(what):
    mesh = SURFACES["bumpy"]
    layer, (pairs, there, turn) = made(1, 1), transports(mesh)
    x = torch.randn(len(mesh.vertices), 2, 3, dtype=torch.float64)
    by, (y, _, new_there, new_turn) = in_other_frames(x, pairs, there, turn)
    if what == "turn":  # a naive filter: numbers of another frame are taken as if they were of one's own
        naive, after = layer(x, pairs, there, 0 * turn), layer(y, pairs, new_there, 0 * turn)
    else:
        naive, after = layer(x, pairs, 0 * there, turn), layer(y, pairs, 0 * there, new_turn)
    assert relative_error(after, turned(naive, -by)) > 0.1


@orders
def test_it_is_its_formula(orders):
    mesh, (n, m) = SURFACES["plane"], orders
    layer, (pairs, there, turn) = made(n, m), transports(mesh)
    x = torch.randn(len(mesh.vertices), 2, 2 * n + 1, dtype=torch.float64)
    slow = torch.zeros(len(x), 3, 2 * m + 1, dtype=torch.float64)
    for p, (i, j) in enumerate(pairs.T.tolist()):
        carried = turned(x[j : j + 1], -turn[p : p + 1])  # from j to i
        aligned = turned(carried, -there[p : p + 1])
        said = torch.einsum("omcn,cn->om", layer.weight, aligned[0])
        slow[i] += turned(said[None], there[p : p + 1])[0] / (pairs[0] == i).sum()
    slow[..., 0] += layer.bias + x[..., 0] @ layer.own[0, 0].T
    for k in range(1, min(n, m) + 1):
        z = torch.complex(x[..., 2 * k - 1], x[..., 2 * k]) @ torch.complex(*layer.own[:, k]).T
        slow[..., 2 * k - 1] += z.real
        slow[..., 2 * k] += z.imag
    assert relative_error(layer(x, pairs, there, turn), slow) <= 1e-12


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("m", [0, 1, 2])
def test_a_vertex_uses_all_maps_that_commute_with_turns_and_a_neighbour_any(n, m):
    layer = GaugeConv(1, 1, in_orders=n, out_orders=m, bias=False)
    assert layer.weight.numel() == (2 * n + 1) * (2 * m + 1)
    used = layer.own.numel() - 1  # the imaginary part for scalars is not
    assert used == 1 + 2 * min(n, m)


def test_it_lives_with_torch():
    mesh = SURFACES["torus"]
    layer, there = made(1, 1), transports(mesh)
    x = torch.randn(len(mesh.vertices), 2, 3, dtype=torch.float64, requires_grad=True)
    layer(x, *there).square().sum().backward()
    assert x.grad.abs().sum() > 0 and all(p.grad is not None for p in layer.parameters())
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = made(1, 1, seed=1)
    other.load_state_dict(torch.load(file))
    assert torch.equal(other(x, *there), layer(x, *there))
    assert torch.equal(copy.deepcopy(layer)(x, *there), layer(x, *there))
    single = copy.deepcopy(layer).float()(x.detach().float(), *there)
    assert single.dtype == torch.float32 and relative_error(single.double(), layer(x, *there)) <= 1e-5
    assert GaugeConv(1, 1, in_orders=0, out_orders=0, device="meta").weight.is_meta
    assert str(layer) == "GaugeConv(2 fields to order 1, 3 to order 1)"


def test_what_does_not_fit_is_refused_in_words():
    layer, there = made(1, 1), transports(SURFACES["torus"])
    with pytest.raises(ValueError, match=r"x: got shape \(288, 2, 5\); this layer needs \(V, 2, 3\)"):
        layer(torch.zeros(288, 2, 5), *there)
    with pytest.raises(TypeError, match=r"x: got torch.int64; give real numbers"):
        layer(torch.zeros(288, 2, 3, dtype=torch.long), *there)
    with pytest.raises(ValueError, match="in_channels: got 0"):
        GaugeConv(0, 1, in_orders=0, out_orders=0)
    with pytest.raises(ValueError, match="out_orders: got -1; give a whole number from 0 upwards"):
        GaugeConv(1, 1, in_orders=0, out_orders=-1)
    with pytest.raises(TypeError, match=r"in_orders: got 1\.5; give a whole number"):
        GaugeConv(1, 1, in_orders=1.5, out_orders=0)
    with pytest.raises(TypeError, match="in_orders: got True; give a whole number"):
        GaugeConv(1, 1, in_orders=True, out_orders=0)
    with pytest.raises(
        ValueError, match=r"pairs, there, turn: got shapes \(\(2, 1728\), \(1728,\), \(1727,\)\)"
    ):
        layer(torch.zeros(288, 2, 3, dtype=torch.float64), *there[:2], there[2][1:])


def test_weights_begin_with_a_variance_of_one_over_the_inputs():
    layer = GaugeConv(40, 50, in_orders=2, out_orders=1)
    assert layer.weight.var().item() == pytest.approx(1 / 200, rel=0.05)
    assert layer.own.var().item() == pytest.approx(1 / 80, rel=0.1) and not layer.bias.any()


def test_vertices_without_neighbours_keep_their_own():
    layer = made(1, 1)
    none = torch.zeros(2, 0, dtype=torch.long), torch.zeros(0), torch.zeros(0)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    assert torch.isfinite(layer(x, *none)).all() and not np.allclose(layer(x, *none).detach(), 0)
