"""The digits and the frame round them, MNIST from files of the tests' own, images turned and on hexagons, small graphs."""

import gzip
import importlib
import io
import subprocess
import sys
import tracemalloc
import zipfile

import networkx as nx
import numpy as np
import pooch
import pytest
import torch

from gdl_utils.data import (
    centred,
    cuckoo_clock,
    digits,
    hexagonal,
    karate_club,
    look_alikes,
    mnist,
    penguins,
    rotate,
    tetracubes,
)
from gdl_utils.domains import hexagonal_grid
from gdl_utils.groups import cyclic, dihedral
from gdl_utils.layers import Adjacency
from gdl_utils.signals import SignalSpace


def test_digits_are_the_ones_that_scikit_learn_has():
    images, labels = digits()
    assert images.shape == (1797, 1, 8, 8) and images.dtype == torch.float64
    assert images.min() == 0 and images.max() == 1
    assert torch.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert torch.equal(images * 16, (images * 16).round())
    assert digits(torch.float32)[0].dtype == torch.float32


@pytest.mark.parametrize(("n", "size"), [(8, 8), (8, 24), (3, 7)])
def test_centred_commutes_with_a_quarter_turn_and_loses_no_ink(n, size, rng):
    x = torch.rand(2, 1, n, n, generator=rng)
    frame = centred(x, size)
    assert frame.shape == (2, 1, size, size)
    assert torch.equal(torch.rot90(frame, dims=(-2, -1)), centred(torch.rot90(x, dims=(-2, -1)), size))
    assert torch.allclose(frame.sum((-2, -1)), x.sum((-2, -1)))
    off_centre = torch.nn.functional.pad(x, (0, size - n, 0, size - n))  # the control: in a corner instead
    assert size == n or not torch.equal(torch.rot90(off_centre, dims=(-2, -1)), off_centre)


@pytest.mark.parametrize(
    ("shape", "size", "words"),
    [
        ((8, 8), 6, "size: got 6"),
        ((8, 8), 11, "give an even number from 8"),
        ((3, 3), 4, "odd"),
        ((3, 4), 5, "must be square"),
    ],
)
def test_bad_input_is_named(shape, size, words):
    with pytest.raises(ValueError, match=words):
        centred(torch.zeros(shape), size)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("n", [4, 5, 16])
def test_rotate_agrees_with_exact_quarter_turns_and_keeps_its_centre(n, order, rng):
    x = torch.rand(2, n, n, dtype=torch.float64, generator=rng)
    for i in range(-3, 4):
        assert (rotate(x, 90 * i, order=order) - torch.rot90(x, i, dims=(-2, -1))).abs().max() <= 1e-12
    assert rotate(x, 33, order=order, centre=(1, 2))[:, 1, 2].sub(x[:, 1, 2]).abs().max() <= 1e-12
    assert (
        rotate(x, 33, order=order) - torch.rot90(x, dims=(-2, -1))
    ).norm() > 1e-6  # the control: another angle


def small():
    """Twelve images of the right form, and their labels."""
    random = np.random.default_rng(0)
    return random.integers(0, 256, (12, 28, 28), dtype=np.uint8), random.integers(0, 10, 12, dtype=np.uint8)


def idx(array, axes=None):
    """An array of bytes in MNIST's format."""
    head = bytes([0, 0, 8, array.ndim if axes is None else axes])
    return gzip.compress(head + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes(), mtime=0)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """MNIST's home, replaced by a folder: what is written there is what pooch brings."""
    monkeypatch.delenv("GDL_MNIST", raising=False)

    def retrieve(url, known_hash, fname, path, downloader):
        assert url == "https://ossci-datasets.s3.amazonaws.com/mnist/" + fname and known_hash[:4] == "md5:"
        return str(tmp_path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    images, labels = small()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(idx(images))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    return tmp_path


def test_mnist_reads_what_its_home_has(home):
    images, labels = mnist()
    assert images.shape == (12, 1, 28, 28) and images.dtype == torch.float32 and labels.dtype == torch.int64
    assert np.array_equal((images[:, 0] * 255).round().numpy(), small()[0])
    assert labels.tolist() == small()[1].tolist()
    assert mnist(torch.float64)[0].dtype == torch.float64


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("images-idx3", idx(small()[0])[:2000], "is damaged"),  # half a download
        ("images-idx3", b"<html>not found</html>", "is damaged"),
        ("images-idx3", b"", "is damaged"),
        ("images-idx3", gzip.compress(b"\0\0\x08", mtime=0), "3 bytes"),
        ("images-idx3", idx(small()[0], axes=2), "begin with"),
        ("images-idx3", idx(small()[0][:, :27]), r"\(12, 27, 28\)"),
        ("labels-idx1", idx(small()[1][:5]), r"\(5,\)"),
        ("labels-idx1", idx(small()[1] + 1), "from 0 to 9"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_a_damaged_file_of_mnist_is_named(home, name, content, words):
    (home / f"train-{name}-ubyte.gz").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        mnist()


def test_without_a_network_mnist_says_what_to_do(home, monkeypatch):
    def retrieve(*args, **options):
        raise ConnectionError("no route")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(OSError, match=r"could not be fetched .no route.; .* GDL_MNIST"):
        mnist()


@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_mnist_from_a_local_file(home, monkeypatch, kind):
    there = mnist()
    images, labels = small()
    np.savez_compressed(home / "local.npz", images=images, labels=labels.astype(kind))
    monkeypatch.setenv("GDL_MNIST", str(home / "local.npz"))
    monkeypatch.setattr(pooch, "retrieve", None)  # is not asked
    for here, other in zip(mnist(), there, strict=True):
        assert torch.equal(here, other) and here.dtype == other.dtype


class Planted:
    """What a pickle might do: make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": small()[0]}, "labels"),
        ({"images": small()[0] / 255, "labels": small()[1]}, "float64"),
        ({"images": small()[0].reshape(12, -1), "labels": small()[1]}, r"\(12, 784\)"),
        ({"images": small()[0], "labels": small()[1][:3]}, r"\(3,\)"),
        ({"images": small()[0], "labels": small()[1].astype(float)}, "integers from 0 to 9"),
    ],
)
def test_an_unfitting_local_file_is_named(tmp_path, monkeypatch, arrays, words):
    path = tmp_path / "local.npz"
    np.savez(path, **arrays)
    monkeypatch.setenv("GDL_MNIST", str(path))
    with pytest.raises(ValueError, match=words):
        mnist()


def test_a_damaged_local_file_is_named_and_runs_nothing(tmp_path, monkeypatch):
    path, planted = tmp_path / "local.npz", tmp_path / "planted"
    monkeypatch.setenv("GDL_MNIST", str(path))
    with pytest.raises(FileNotFoundError, match="GDL_MNIST"):
        mnist()
    images, labels = small()
    np.savez(path, images=images, labels=labels)
    whole = path.read_bytes()
    np.save(tmp_path / "array.npy", images)
    for content in (b"", b"nothing", whole[: len(whole) // 2], (tmp_path / "array.npy").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"GDL_MNIST: .* is no .npz"):
            mnist()
    np.savez(path, images=images, labels=np.array([Planted(planted)], dtype=object))
    with pytest.raises(ValueError, match=r"GDL_MNIST: .* is no .npz"):
        mnist()
    assert not planted.exists()


# The module, whose name in the package is that of its function.
reader = importlib.import_module("gdl_utils.data.mnist")


def archive(save):
    """A small file as the readers take it, what is in it, and how it is read."""
    images, labels = np.array([[[0, 7], [0, 0]]], dtype=np.uint8), np.array([5])
    file = io.BytesIO()
    if save is idx:
        return idx(images), [images], lambda path: [reader._read_idx(path, 3)]
    save(file, images=images, labels=labels)
    return file.getvalue(), [images, labels], reader._read_npz


@pytest.mark.parametrize("save", [np.savez_compressed, np.savez, idx], ids=lambda save: save.__name__)
def test_every_flipped_bit_is_refused_in_words_or_harmless(tmp_path, save):
    content, wanted, read = archive(save)
    path, outcomes = tmp_path / "flipped", {"refused": 0, "harmless": 0}
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            arrays = read(path)
        except ValueError as error:  # and nothing else
            assert str(path) in str(error) and ("delete" not in str(error) or save is idx)
            outcomes["refused"] += 1
        else:
            assert all(map(np.array_equal, arrays, wanted))
            outcomes["harmless"] += 1
    assert outcomes["refused"] > outcomes["harmless"] > 50
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="damaged"):
            read(path)
    path.write_bytes(content)  # the control
    assert all(map(np.array_equal, read(path), wanted))


def packed(images, how=zipfile.ZIP_STORED):
    """An archive whose checksums are right, with these bytes for the images."""
    labels, file = io.BytesIO(), io.BytesIO()
    np.save(labels, np.array([5, 5]))
    with zipfile.ZipFile(file, "w", how) as archive:
        archive.writestr("images.npy", images), archive.writestr("labels.npy", labels.getvalue())
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_every_flipped_bit_of_a_header_is_refused_though_the_checksum_is_right(tmp_path):
    content, path = npy(np.zeros((2, 28, 28), dtype=np.uint8)), tmp_path / "local.npz"
    refused = 0
    for bit in range(8 * 128):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(packed(bytes(flipped)))
        try:
            images, _ = reader._read_npz(path)
        except ValueError as error:
            assert "GDL_MNIST" in str(error)
            refused += 1
        else:
            assert images.size == 2 * 28 * 28
    assert refused > 900


@pytest.mark.parametrize(
    "claim", ["(99999999999, 28, 28)", "(2, 99999999999, 28)", "(-2, -28, 28)", "(4294967296, 4294967296)"]
)
def test_an_array_of_a_claimed_size_is_not_made(tmp_path, claim):
    honest = npy(np.zeros((2, 28, 28), dtype=np.uint8))
    content = honest.replace(
        b"(2, 28, 28), }" + b" " * (len(claim) - 11), claim.encode() + b", }"
    )  # as long as before
    assert len(content) == len(honest) and content != honest
    path = tmp_path / "local.npz"
    path.write_bytes(packed(content))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"GDL_MNIST: .* damaged"):
        reader._read_npz(path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    path.write_bytes(packed(honest))  # the control
    assert reader._read_npz(path)[0].shape == (2, 28, 28)


def test_sizes_whose_product_overflows_are_seen(tmp_path):
    path, sizes = tmp_path / "images.gz", np.array([2**31, 2**31, 4], dtype=">u4")  # 2⁶⁴, in 64 bits 0
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + sizes.tobytes()))
    with pytest.raises(ValueError, match="16 bytes that begin"):
        reader._read_idx(path, 3)


def test_other_orders_and_types_of_a_local_file(tmp_path, monkeypatch):
    images, labels = small()
    path = tmp_path / "local.npz"
    monkeypatch.setenv("GDL_MNIST", str(path))
    np.savez(path, images=np.asfortranarray(images), labels=labels.astype(">i8"))
    read, digits = mnist(torch.float64)
    assert np.array_equal((read[:, 0] * 255).round().numpy(), images) and digits.tolist() == labels.tolist()
    path.write_bytes(packed(npy(images[:2]), zipfile.ZIP_BZIP2))
    with pytest.raises(ValueError, match="packed in another way"):
        mnist()
    with pytest.raises(TypeError, match=r"dtype: got torch\.int64"):
        mnist(torch.int64)


def test_what_is_fetched_and_is_not_the_file_is_said(home, monkeypatch):
    def retrieve(*args, **options):
        raise ValueError("MD5 hash does not match")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(ValueError, match=r"train-images.*: https.* did not give the file .*MD5"):
        mnist()


def test_nothing_is_fetched_at_import(tmp_path):
    code = "import socket; socket.socket.connect = None; import gdl_utils.data"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def scene(down, right):
    """Three spots of ink on a disc of radius 1, without any symmetry."""
    spots = [(-0.5, 0.1, 0.25, 1.0), (0.2, 0.5, 0.2, 0.7), (0.3, -0.3, 0.3, 0.9)]
    return sum(
        ink * np.exp(-((down - y) ** 2 + (right - x) ** 2) / (2 * width**2)) for y, x, width, ink in spots
    )


def photographed(pixels, degrees=0.0):
    """The scene, turned counter-clockwise as drawn, on a square of pixels whose inscribed circle has radius 1."""
    side = np.linspace(-1, 1, pixels)
    down, right = np.meshgrid(side, side, indexing="ij")
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return torch.from_numpy(
        scene(cos * down + sin * right, -sin * down + cos * right)
    )  # where each pixel came from


def inside(grid):
    """The grid's points not too near to the border, where the image stops and the spline knows it, and where they lie."""
    step = 4 / (np.sqrt(3) * (grid.shape[0] - 1))
    q, r = np.indices(grid.shape) - grid.shape[0] // 2
    down, right = step * np.sqrt(3) / 2 * q, step * (r + q / 2)
    return grid.mask & (np.hypot(down, right) < 0.8), down, right


# Between pixels at a distance h, bilinear interpolation errs by at most h²/8 times the sum of both second derivatives, which
# for a spot are at most ink/width²: 35 in all. Of the cubic spline's error only the order, h⁴, is known.
@pytest.mark.parametrize(("order", "bound"), [(1, lambda h: 35 * h**2 / 8), (3, lambda h: 35 * h**4)])
def test_hexagonal_reads_a_smooth_image_off_and_better_off_a_finer_one(order, bound):
    grid = hexagonal_grid(17)
    within, down, right = inside(grid)
    errors = []
    for pixels in (32, 64, 128):
        read = hexagonal(photographed(pixels), 17, order=order).numpy()
        assert read.shape == (17, 17) and (read[~grid.mask] == 0).all()
        errors.append(np.abs(read - scene(down, right))[within].max())
    assert all(error < bound(2 / (pixels - 1)) for error, pixels in zip(errors, (32, 64, 128), strict=True))
    assert errors[2] < errors[1] / 3 < errors[0] / 9
    transposed = np.abs(read.T - scene(down, right))[within].max()  # the control: rows and columns mixed up
    assert transposed > 0.1


def test_turning_the_scene_turns_the_hexagons():
    grid = hexagonal_grid(17, cyclic(6))
    space, (within, _, _) = SignalSpace(grid), inside(grid)
    upright, turned = (hexagonal(photographed(64, degrees), 17, order=3) for degrees in (0, 60))
    gap = lambda g: float((space.act(g, upright) - turned).abs()[torch.from_numpy(within)].max())
    assert gap(1) < 1e-4
    assert (
        min(gap(g) for g in (0, 2, 3, 4, 5)) > 0.1
    )  # the control: other turns, the clockwise one among them


def test_the_mirror_of_the_hexagons_is_the_one_documented():
    grid = hexagonal_grid(17, dihedral(6))
    space, (within, down, right) = SignalSpace(grid), inside(grid)
    mirrored = scene(np.sqrt(3) / 2 * right - down / 2, right / 2 + np.sqrt(3) / 2 * down)
    mirror = space.group.generators[1]
    gap = space.act(mirror, hexagonal(photographed(64), 17, order=3)).numpy() - mirrored
    assert np.abs(gap)[within].max() < 1e-4


def test_hexagonal_covers_the_inscribed_circle_and_keeps_stacks_and_types():
    images = torch.ones(2, 3, 9, 12)
    read = hexagonal(images, 9)
    assert read.shape == (2, 3, 9, 9) and read.dtype == torch.float32
    assert torch.equal(read, read[:1, :1].expand_as(read))
    assert (
        read[0, 0, 0, 4:].tolist() == [1.0] * 5
    )  # an edge of the hexagon touches the circle, and the border
    assert hexagonal(images, 9, spacing=1.5)[0, 0, 0].sum() == 0  # the control: beyond it
    assert hexagonal(photographed(33), 1).item() == scene(0, 0)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: hexagonal(x, 4), ValueError, "n: got 4"),
        (lambda x: hexagonal(x[0], 3), ValueError, r"images: got shape \(5,\)"),
        (lambda x: hexagonal(x.long(), 3), TypeError, "images: got torch.int64"),
        (lambda x: hexagonal(x, 3, spacing=0), ValueError, "spacing: got 0"),
        (lambda x: hexagonal(x, 3, order=6), ValueError, "order: got 6"),
        (lambda x: rotate(x, 5, order=7), ValueError, "order: got 7"),
        (lambda x: rotate(x[0], 5), ValueError, r"images: got shape \(5,\)"),
        (lambda x: rotate(x.to(torch.uint8), 5), TypeError, "images: got torch.uint8"),
        (lambda x: rotate(x.half(), 5), TypeError, "images: got torch.float16"),
    ],
)
def test_bad_input_between_pixels_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call(torch.ones(5, 5))


def test_the_second_penguin_is_the_first_one_moved_and_the_third_one_turned():
    scene, bill = penguins()
    assert scene.dtype == bill.dtype == torch.float64 and scene.min() >= 0 and scene.max() <= 1
    cut = lambda picture: picture[2:9, 12:19]
    second, third = scene.roll((-20, -36), (0, 1)), scene[24:, 8:32]
    assert torch.equal(cut(scene), bill) and torch.equal(cut(second), bill) and bill.std() > 0.1
    assert torch.equal(cut(third.rot90(-1)), bill) and not torch.equal(
        cut(third), bill
    )  # the control: not turned


def test_an_empty_stack_stays_empty():
    assert rotate(torch.ones(0, 5, 5), 30).shape == (0, 5, 5)
    assert hexagonal(torch.ones(0, 5, 5), 3).shape == (0, 3, 3)


def test_the_club_is_the_one_of_the_paper():
    edge_index, labels = karate_club()
    assert edge_index.shape == (2, 156) and labels[0] == 0 and labels[33] == 1
    dense = Adjacency(edge_index, 34).dense()
    assert torch.equal(dense, dense.T) and dense.trace() == 0 and dense.max() == 1
    assert dense.sum(1)[[0, 33]].tolist() == [16, 17]


@pytest.mark.parametrize("name", look_alikes())
def test_look_alikes_differ_and_colour_refinement_does_not_see_it(name):
    a, b, n = look_alikes()[name]
    graphs = []
    for edges in (a, b):
        graph = nx.Graph(edges.T.tolist())
        nx.set_node_attributes(graph, "same", "colour")
        assert len(graph) == n
        graphs.append(graph)
    assert not nx.is_isomorphic(*graphs)
    refined = lambda graph: nx.weisfeiler_lehman_graph_hash(graph, node_attr="colour", iterations=n)
    assert refined(graphs[0]) == refined(graphs[1])
    path = nx.path_graph(n)
    nx.set_node_attributes(path, "same", "colour")
    assert refined(path) != refined(graphs[0])  # it does see other differences


def test_tetracubes_are_eight_and_only_the_screws_are_mirror_images():
    points, names = tetracubes()
    assert points.shape == (8, 4, 3) and len(names) == 8
    distances = torch.cdist(points, points).flatten(1).sort(1).values
    same = [(i, j) for i in range(8) for j in range(i) if torch.allclose(distances[i], distances[j])]
    assert same == [(7, 6)]
    volume = lambda p: torch.linalg.det(p[1:] - p[:-1])  # of the three steps along the screw
    assert volume(points[6]) == -volume(points[7]) != 0


def test_parts_of_a_clock_do_not_touch_each_other():
    clock = cuckoo_clock(4, 24, "upright")
    assert clock.shape == (64, 64) and clock.dtype == torch.float64 and 0 <= clock.min() < clock.max() <= 1
    rows = lambda a, b: (a != b).any(1).nonzero().flatten()
    dial = rows(clock, cuckoo_clock(9, 24, "upright"))
    below = rows(clock, cuckoo_clock(4, -24, "upright"))
    assert dial.max() < 38 and below.min() > 40  # hands above, pendulum below
    bare = cuckoo_clock(4, 24, "upright", parts=())
    assert torch.equal(bare, cuckoo_clock(9, -24, "upright", parts=()))
    assert torch.allclose(cuckoo_clock(12, 0, "level"), cuckoo_clock(0, 0, "level"), atol=1e-12)
    wood = lambda grain, start: cuckoo_clock(4, 24, grain, start=start)[36:44, 13:21]
    for grain, step in (("upright", (0, 1)), ("level", (1, 0)), ("chequered", (0, 1))):
        assert torch.equal(wood(grain, 0).roll(step, (0, 1)), wood(grain, 1))
        assert not torch.equal(wood(grain, 0), wood(grain, 1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"grain": "oak"}, "grain: got 'oak'"),
        ({"parts": "hands"}, "parts"),
        ({"parts": ["bird"]}, "parts"),
        ({"start": 2}, "start"),
    ],
)
def test_a_clock_that_cannot_be_drawn_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        cuckoo_clock(**{"hour": 4, "swing": 0, "grain": "upright"} | values)


def test_rotate_is_bilinear_unless_told_and_leaves_no_gradient(rng):
    x = torch.rand(2, 4, 7, generator=rng, requires_grad=True)
    assert not rotate(x, 33).requires_grad and rotate(x, 33).dtype == torch.float32
    assert [order for order in range(6) if torch.equal(rotate(x, 33), rotate(x, 33, order=order))] == [1]
    assert torch.allclose(
        rotate(x, 180), x.detach().flip(-2, -1), atol=1e-6
    )  # a height of 4 and a width of 7
