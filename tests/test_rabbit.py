"""The rabbit: one surface in whatever triangles, that moves at its joints and nowhere else."""

import numpy as np
import pytest

from gdl_utils.data import hop, rabbit, rabbit_pose
from gdl_utils.data.rabbit import PARTS, _from_surface

JOINTS = ("ears", "neck", "forelegs", "hind_legs", "back")


@pytest.fixture(scope="module")
def meshed():
    return rabbit(1000)


@pytest.mark.parametrize(("n", "seed"), [(500, 0), (501, 7), (1000, 1), (3000, 2)])
def test_it_is_one_closed_surface_in_even_triangles(n, seed):
    mesh, parts = rabbit(n, seed=seed)
    assert (len(mesh.vertices), mesh.euler_characteristic, mesh.components.max()) == (n, 2, 0)
    assert np.abs(_from_surface(mesh.vertices)[0]).max() < 1e-6
    volume = np.einsum("fi,fi,f->", mesh.vertices[mesh.faces[:, 0]], mesh.normals, mesh.areas) / 3
    assert volume > 1  # its triangles are seen from outside
    lengths = mesh.edge_lengths
    assert lengths.max() < 3 * lengths.mean()
    assert np.rad2deg(np.quantile(mesh.angles.min(1), 0.05)) > 15
    assert np.bincount(parts, minlength=len(PARTS)).min() > n / 60


def test_the_same_again_and_another_one():
    one, again, other = rabbit(600, seed=3)[0], rabbit(600, seed=3)[0], rabbit(600, seed=4)[0]
    assert np.array_equal(one.vertices, again.vertices) and np.array_equal(one.faces, again.faces)
    assert not np.array_equal(one.vertices, other.vertices)


def test_left_and_right_are_alike(meshed):
    mesh, parts = meshed
    mirrored = mesh.vertices * [-1, 1, 1]
    assert np.abs(_from_surface(mirrored)[0]).max() < 1e-6
    assert np.array_equal(_from_surface(mirrored)[1], parts)
    for where, part in (((0.25, 0.7, 1.5), "ears"), ((0, 1.3, 0.5), "head"), ((0, -1.15, 0.25), "tail")):
        assert PARTS[_from_surface(np.array([where], dtype=float))[1][0]] == part


def test_at_rest_nothing_moves(meshed):
    vertices = meshed[0].vertices
    assert np.abs(rabbit_pose(vertices) - vertices).max() < 1e-15


@pytest.mark.parametrize(
    ("joint", "moves"),
    [
        ("ears", {"ears"}),
        ("neck", {"ears", "head"}),
        ("forelegs", {"forelegs"}),
        ("hind_legs", {"hind legs"}),
    ],
)
def test_a_joint_moves_what_hangs_on_it_and_little_else(meshed, joint, moves):
    mesh, parts = meshed
    far = np.linalg.norm(rabbit_pose(mesh.vertices, **{joint: 50}) - mesh.vertices, axis=1)
    hangs = np.isin(parts, [PARTS.index(part) for part in moves])
    assert far[hangs].max() > 0.15
    body = parts == PARTS.index("body")
    assert np.mean(far[body] < 1e-12) > (0.6 if joint == "neck" else 0.95)


@pytest.mark.parametrize("joint", JOINTS)
def test_beyond_a_joint_all_is_moved_rigidly(meshed, joint):
    """Distances between the ends of the limbs' points do not change."""
    mesh, _ = meshed
    x, y, z = mesh.vertices.T
    beyond = {
        "ears": (z > 1.72) & (x > 0), "neck": (z > 0.55) & (y > 0.9), "forelegs": (z < -0.65) & (y > 0.2),
        "hind_legs": (z < -0.65) & (y < 0), "back": y > 0.45,
    }[joint]  # fmt: skip
    before = mesh.vertices[beyond]
    after = rabbit_pose(mesh.vertices, **{joint: 70})[beyond]
    spans = lambda p: np.linalg.norm(p[:, None] - p[None], axis=2)
    assert len(before) > 5 and np.abs(after - before).max() > 0.1
    assert np.abs(spans(after) - spans(before)).max() < 1e-12


def test_an_ear_on_its_middle_line_keeps_its_length():
    """Points in a row along the bend: chords are those of an arc, which is as long as the row."""
    row = np.stack([np.full(200, 0.2), np.full(200, 0.77), np.linspace(0.86, 1.7, 200)], 1)
    for degrees in (1e-9, 40, -90):
        moved = rabbit_pose(row, ears=degrees)
        length = np.linalg.norm(np.diff(moved, axis=0), axis=1).sum()
        assert abs(length - 0.84) < 1e-4
        assert abs(moved[-1, 1] - row[-1, 1]) > 0.2 or degrees == 1e-9
    assert rabbit_pose(row, ears=40)[-1, 1] < 0.77  # backwards


def test_each_ear_may_be_bent_by_itself(meshed):
    vertices = meshed[0].vertices
    far = np.linalg.norm(rabbit_pose(vertices, ears=(0, 60)) - vertices, axis=1)
    assert far[vertices[:, 0] < 0].max() < 1e-14 and far[vertices[:, 0] > 0].max() > 0.3


def test_muscles_make_the_belly_longer_and_thinner(meshed):
    mesh, _ = meshed
    longer = mesh.moved(rabbit_pose(mesh.vertices, stretch=0.3))
    volume = lambda m: np.einsum("fi,fi,f->", m.vertices[m.faces[:, 0]], m.normals, m.areas) / 3
    assert abs(volume(longer) / volume(mesh) - 1) < 0.01
    assert np.ptp(longer.vertices[:, 1]) - np.ptp(mesh.vertices[:, 1]) == pytest.approx(0.8 * 0.3 / 2)


def test_a_hop_is_a_circle_of_poses(meshed):
    vertices = meshed[0].vertices
    assert np.abs(rabbit_pose(vertices, **hop(0)) - rabbit_pose(vertices, **hop(1))).max() < 1e-12
    assert np.abs(rabbit_pose(vertices, **hop(0)) - rabbit_pose(vertices, **hop(0.5))).max() > 0.3


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: rabbit(100), ValueError, "500 to 3,000"),
        (lambda: rabbit(1000.0), TypeError, "whole number"),
        (lambda: rabbit_pose(np.zeros((3, 2))), ValueError, r"\(V, 3\)"),
        (lambda: rabbit_pose(np.zeros((3, 3)), neck=200), ValueError, "neck: got 200"),
        (lambda: rabbit_pose(np.zeros((3, 3)), ears=(0, np.nan)), ValueError, "ears: got"),
        (lambda: rabbit_pose(np.zeros((3, 3)), stretch=2), ValueError, "stretch: got 2"),
    ],
)
def test_what_is_no_rabbit_is_refused_in_words(call, error, words):
    with pytest.raises(error, match=words):
        call()
