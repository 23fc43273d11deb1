"""Meshes from files of all kinds, as others write them: read right, or refused in words. And two libraries that measure the same."""

import warnings

import numpy as np
import potpourri3d
import pytest
import robust_laplacian
import trimesh

from gdl_utils.data import rabbit, read_mesh
from gdl_utils.meshes import (
    Mesh,
    cotangent_laplacian,
    edge_transports,
    geodesic_distances,
    mend,
)

CORNERS = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
PLY = (
    "ply\nformat ascii 1.0\nelement vertex {v}\nproperty float x\nproperty float y\nproperty float z\n"
    "element face {f}\nproperty list uchar int vertex_indices\nend_header\n"
)


def lines(rows):
    return "".join(" ".join(map(str, row)) + "\n" for row in rows)


def off(corners, faces, head="OFF\n"):
    return f"{head}{len(corners)} {len(faces)} 0\n{lines(corners)}{lines((len(f), *f) for f in faces)}"


def obj(corners, faces, first=1):
    return lines(("v", *c) for c in corners) + lines(("f", *(k + first for k in f)) for f in faces)


def ply(corners, faces):
    return PLY.format(v=len(corners), f=len(faces)) + lines(corners) + lines((len(f), *f) for f in faces)


def with_pictures(corners, faces):
    """An OBJ whose corners have places in a picture, and a material that is not there."""
    named = lines(("f", *(f"{k + 1}/{n + 1}" for n, k in enumerate(f))) for f in faces)
    places = lines(("vt", *c) for c in [(0, 0), (1, 0), (1, 1), (0, 1)])
    return "mtllib none.mtl\nusemtl none\n" + lines(("v", *c) for c in corners) + places + named


CUBES = {
    "quads.off": off(CORNERS, QUADS),
    "comments.off": off(CORNERS, QUADS, head="OFF # a cube\n# of six sides\n\n"),
    "quads.obj": obj(CORNERS, QUADS),
    "pictures.obj": with_pictures(CORNERS, QUADS),
    "one line.off": off(CORNERS, QUADS, head="OFF "),
    "colours.off": off([(*c, 255, 0, 0, 9) for c in CORNERS], QUADS, head="COFF\n"),
    "colours of faces.off": off(CORNERS, QUADS).replace("\n", " 7 0 2\n").replace("OFF 7 0 2", "OFF"),
    "colours.obj": obj([(*c, 1, 0, 0.5) for c in CORNERS], QUADS),
    "from the last.obj": obj(CORNERS, QUADS, first=-8),
    "continued.obj": obj(CORNERS, QUADS).replace("f 1 2 4 3", "f 1 2 \\\n4 3"),
    "quads.ply": ply(CORNERS, QUADS),
    "turned.ply": ply(CORNERS, [QUADS[0][::-1], *QUADS[1:]]),
    "loose.off": off([*CORNERS, (9, 9, 9)], QUADS),
    "double.off": off(CORNERS, [*QUADS, QUADS[0], (0, 0, 1)]),
}


@pytest.mark.parametrize("name", CUBES)
def test_a_cube_is_a_cube_however_it_is_written(tmp_path, name):
    (tmp_path / name).write_text(CUBES[name])
    mesh, _ = read_mesh(tmp_path / name)
    assert (len(mesh.vertices), len(mesh.faces), mesh.euler_characteristic) == (8, 12, 2)
    assert mesh.areas.sum() == pytest.approx(6)
    assert np.einsum(
        "fi,fi,f->", mesh.vertices[mesh.faces[:, 0]], mesh.normals, mesh.areas
    ) / 3 == pytest.approx(1)


@pytest.mark.parametrize("kind", ["stl", "stl_ascii", "off", "ply", "obj", "glb"])
def test_a_sphere_comes_back_from_each_format(tmp_path, kind):
    sphere = trimesh.creation.icosphere(2)
    path = tmp_path / ("SPHERE." + kind.upper().replace("STL_ASCII", "STL"))
    sphere.export(path, file_type=kind)
    mesh, done = read_mesh(str(path))
    assert (len(mesh.vertices), len(mesh.faces), mesh.euler_characteristic) == (162, 320, 2)
    assert mesh.areas.sum() == pytest.approx(sphere.area, rel=1e-6)
    assert ("798 vertices in the place of another made one with it" in done) == ("stl" in kind)


def test_a_remark_in_another_encoding_is_no_fault(tmp_path):
    (tmp_path / "cube.obj").write_bytes(("# Würfel\n" + obj(CORNERS, QUADS)).encode("latin-1"))
    assert read_mesh(tmp_path / "cube.obj")[0].euler_characteristic == 2


def test_several_objects_are_pieces_of_one_mesh(tmp_path):
    other = [(x + 5, y, z) for x, y, z in CORNERS]
    (tmp_path / "two.obj").write_text(
        "o one\n" + obj(CORNERS, QUADS) + "o two\n" + obj(other, QUADS, first=9)
    )
    mesh, _ = read_mesh(tmp_path / "two.obj")
    assert (mesh.components.max(), mesh.euler_characteristic) == (1, 4)


def test_a_hole_is_a_boundary(tmp_path):
    (tmp_path / "open.off").write_text(off(CORNERS, QUADS[1:]))
    mesh, done = read_mesh(tmp_path / "open.off")
    assert mesh.on_boundary.sum() == 4 and mesh.euler_characteristic == 1
    assert done == ("5 polygons split into triangles",)


L_SHAPE = [(2, 1), (1, 1), (1, 2), (0, 2), (0, 0), (2, 0)]


@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("kind", ["off", "obj"])
@pytest.mark.parametrize("back", [False, True])
def test_polygons_need_not_be_convex(tmp_path, first, kind, back):
    """A prism over an L, whatever corner comes first."""
    corners = [(x, y, z) for z in (0, 3) for x, y in L_SHAPE[first:] + L_SHAPE[:first]]
    faces = [tuple(range(6))[::-1], tuple(range(6, 12))]
    faces += [(k, (k + 1) % 6, (k + 1) % 6 + 6, k + 6) for k in range(6)]
    faces = [face[::-1] for face in faces] if back else faces
    path = tmp_path / f"prism.{kind.upper() if back else kind}"
    path.write_text({"off": off, "obj": obj}[kind](corners, faces))
    mesh, done = read_mesh(path)
    assert mesh.areas.sum() == pytest.approx(2 * 3 + 8 * 3) and mesh.euler_characteristic == 2
    assert "8 polygons split into triangles" in done


@pytest.mark.parametrize("first", range(5))
def test_a_corner_in_the_middle_of_an_edge_leaves_no_slit(first):
    faces = [(0, 8, 1, 3, 2), (0, 4, 5, 1, 8), *(quad for quad in QUADS if not {0, 1} <= {*quad})]
    faces = [face[first:] + face[:first] for face in faces]
    mesh, done = mend(np.array([*CORNERS, (0, 0, 0.5)]), faces)
    assert (len(mesh.vertices), mesh.euler_characteristic, mesh.on_boundary.any()) == (9, 2, False)
    assert done == ("6 polygons split into triangles",)


def test_corners_in_the_middle_of_edges_leave_no_slit_in_a_box_that_was_turned():
    random = np.random.default_rng(0)
    t = np.arange(4) / 4
    ring = np.concatenate(
        [np.stack(pair, 1) for pair in ((t, 0 * t), (0 * t + 1, t), (1 - t, 0 * t + 1), (0 * t, 1 - t))]
    )
    corners = np.concatenate([np.column_stack([ring, 0 * ring[:, 0] + z]) for z in (1, 0)])
    sides = [(16 + k, 16 + (k + 1) % 16, (k + 1) % 16, k) for k in range(16)]
    for shift in (0, 1, 100, 1e4):
        turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
        mesh, _ = mend(corners @ turn.T + shift, [[*range(16)], [*range(31, 15, -1)], *sides])
        assert (len(mesh.vertices), mesh.euler_characteristic, mesh.on_boundary.any()) == (32, 2, False)


@pytest.mark.parametrize("face", [[0, 1, 2, 1, 3, 4], [1, 2, 1, 3, 4, 0], [4, 0, 1, 2, 1, 3]])
def test_an_edge_that_is_gone_out_and_back_is_none(face):
    corners = np.array([(0, 0, 0), (1, 0, 0), (2, 0, 0), (1, 1, 0), (0, 1, 0)], dtype=float)
    assert mend(corners, [face])[0].areas.sum() == pytest.approx(1)


def test_a_polygon_that_crosses_itself_is_split_somehow():
    bow = np.array([(0, 0, 0), (1, 1, 0), (1, 0, 0), (0, 1, 0)], dtype=float)
    assert len(mend(bow, [[0, 1, 2, 3]])[0].faces) == 2


def test_where_objects_touch_they_stay_apart():
    for shift, merged in (((1, 0, 0), False), ((1, 1, 0), False), ((1, 1, 1), True)):
        corners = np.array([*CORNERS, *(np.add(c, shift) for c in CORNERS)], dtype=float)
        mesh, done = mend(corners, [*QUADS, *(tuple(k + 8 for k in q) for q in QUADS)])
        assert (mesh.components.max(), mesh.euler_characteristic, len(mesh.vertices)) == (1, 4, 16)
        words = "1 vertex added where fans" if merged else "left apart, for an edge would have had more"
        assert any(words in sentence for sentence in done), done
        edge_transports(mesh)


def test_triangles_without_area_do_not_count_at_an_edge_before_it_is_joined():
    fins = [[(0, 0, 0), (1, 0, 0), apex] for apex in ((0, 1, 0), (0, -1, 0), (0, 0, 1))]
    corners = np.array([*np.concatenate(fins), (0.5, 0, 0), (0, -1, -1)])
    mesh, done = mend(corners, [(0, 1, 2), (3, 4, 5), (6, 7, 8), (1, 0, 10), (0, 1, 9)])
    assert len(mesh.faces) == 4 and "left apart, for an edge would have had more" in done[0]


def test_pinches_are_undone_when_triangles_are_missing():
    whole = rabbit(600)[0]
    kept = np.random.default_rng(0).random(len(whole.faces)) > 0.15
    mesh, done = mend(whole.vertices, whole.faces[kept])
    assert any("added where fans of triangles met" in sentence for sentence in done)
    assert mesh.areas.sum() == pytest.approx(whole.areas[kept].sum())
    edge_transports(mesh)


def test_vertices_that_are_nearly_one_are_said():
    sphere = trimesh.creation.icosphere(1)
    corners = np.array(sphere.vertices)[sphere.faces].reshape(-1, 3)
    corners += 1e-8 * np.random.default_rng(0).standard_normal(corners.shape)
    _, done = mend(corners, np.arange(len(corners)).reshape(-1, 3))
    assert any("nearly in one place left apart" in sentence for sentence in done)


def test_on_a_flat_mesh_too_and_not_those_in_one_place():
    triangle = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0)], dtype=float)
    other = np.array([(0, 1e-9, 0), (1, 1 + 1e-9, 0), (0, 1, 0)])
    _, done = mend(np.concatenate([triangle, other]), [(0, 1, 2), (3, 4, 5)])
    assert done == ("2 pairs of boundary vertices nearly in one place left apart",)
    fins = [[(0, 0, 0), (1, 0, 0), apex] for apex in ((0, 1, 0), (0, -1, 0), (0, 0, 1))]
    _, (words,) = mend(np.concatenate(fins), np.arange(9).reshape(3, 3))
    assert "left apart, for an edge would have had more" in words


def test_a_hollow_stays_hollow_and_what_is_inside_out_is_turned():
    inner, outer = (trimesh.creation.icosphere(1, radius=r) for r in (0.5, 1))
    n = len(outer.vertices)
    corners = np.concatenate([outer.vertices, inner.vertices])
    hollow = np.concatenate([outer.faces, inner.faces[:, ::-1] + n])
    volume = lambda m: np.einsum("fi,fi,f->", m.vertices[m.faces[:, 0]], m.normals, m.areas) / 3
    mesh, done = mend(corners, hollow)
    assert done == () and volume(mesh) == pytest.approx(outer.volume - inner.volume)
    mesh, done = mend(corners, hollow[:, ::-1])
    assert len(done) == 1 and volume(mesh) == pytest.approx(outer.volume - inner.volume)


STL = trimesh.creation.icosphere(2).export(file_type="stl")
BROKEN = {
    "nan.ply": (ply([("nan", 0, 0), *CORNERS[1:]], QUADS), "vertices: 1 of 8 are not finite"),
    "points.ply": (ply(CORNERS, []), "has no triangles"),
    "line.obj": ("v 0 0 0\nv 1 0 0\nl 1 2\n", "has no triangles"),
    "far.obj": (obj(CORNERS, [(0, 1, 99)]), "corners from 0 to 99; there are vertices 0 to 7"),
    "empty.off": ("", "cannot be read"),
    "cut.off": (off(CORNERS, QUADS)[:60], "8 vertices and 6 faces were announced, and 9 lines follow"),
    "cut.stl": (STL[:3000], "has no triangles; it holds points or lines, or is cut short"),
    "words.stl": ("hello", "has no triangles"),
    "words.txt": ("hello", "in no format that trimesh reads; these are .*off, ply, stl"),
    "fin.off": (off([*CORNERS, (0, 2, 0.5)], [*QUADS, (0, 1, 8)]), "has 3 triangles"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_surface_is_refused_in_words(tmp_path, name):
    content, words = BROKEN[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=words):
            read_mesh(tmp_path / name)


def test_a_file_that_is_not_there_is_said():
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_mesh("none.off")


# What others measure


@pytest.fixture(scope="module", params=["rabbit", "open"])
def mesh(request):
    whole = rabbit(1500)[0]
    if request.param == "rabbit":
        return whole
    kept = whole.faces[whole.vertices[whole.faces[:, 0], 0] > 0]
    used, faces = np.unique(kept, return_inverse=True)
    return Mesh(whole.vertices[used], faces.reshape(-1, 3))


def test_the_laplacian_and_areas_are_those_of_another_library(mesh):
    theirs = potpourri3d.cotan_laplacian(mesh.vertices, mesh.faces)
    assert np.abs((theirs - cotangent_laplacian(mesh)).toarray()).max() < 1e-10
    assert np.abs(potpourri3d.vertex_areas(mesh.vertices, mesh.faces) - mesh.vertex_areas).max() < 1e-14
    control = mesh.moved(mesh.vertices * [1, 1, 1.01])
    assert np.abs((theirs - cotangent_laplacian(control)).toarray()).max() > 1e-3


def test_where_all_is_delaunay_the_robust_laplacian_is_ours():
    """Theirs flips edges until opposite angles sum to less than π, and has nothing to flip on a sphere of even triangles."""
    sphere = trimesh.creation.icosphere(3)
    ours = cotangent_laplacian(Mesh(np.array(sphere.vertices), np.array(sphere.faces)))
    theirs, _ = robust_laplacian.mesh_laplacian(
        np.array(sphere.vertices), np.array(sphere.faces), mollify_factor=0
    )
    assert np.abs((theirs - ours).toarray()).max() < 1e-10


def test_distances_are_near_those_of_another_library(mesh):
    solver = potpourri3d.MeshHeatMethodDistanceSolver(mesh.vertices, mesh.faces)
    ours, theirs = geodesic_distances(mesh, 0), solver.compute_distance(0)
    assert np.abs(ours - theirs).max() < 0.02 * theirs.max()
    straight = np.linalg.norm(mesh.vertices - mesh.vertices[0], axis=1)
    assert np.abs(straight - theirs).max() > 0.1 * theirs.max()


def test_a_text_of_ply_that_is_cut_short_is_refused(tmp_path):
    head = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    head += "element face 4\nproperty list uchar int vertex_indices\nend_header\n"
    corners, faces = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n", ["3 0 2 1\n", "3 0 1 3\n", "3 0 3 2\n", "3 1 2 3\n"]
    path = tmp_path / "tetrahedron.ply"
    path.write_text(head + corners + "".join(faces))
    assert len(read_mesh(path)[0].faces) == 4
    path.write_text(head + corners + "".join(faces[:2]))
    with pytest.raises(ValueError, match="cut short"):
        read_mesh(path)
