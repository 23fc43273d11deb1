"""Volumes: turned in space, against exact turns and drawn blobs; drawn ones, whose lengths and handedness are measured; memory."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from gdl_utils.data import nodules_and_vessels, screws, turn, two_spots
from gdl_utils.domains import cubic_grid, voxel_group
from gdl_utils.equivariance import relative_error
from gdl_utils.groups import cyclic, octahedral, prismatic
from gdl_utils.layers import GlobalPool, GroupConv, GroupPool, LiftingConv
from gdl_utils.signals import SignalSpace

MAKERS = [nodules_and_vessels, two_spots, screws]


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("n", [4, 5])
def test_quarter_turns_are_those_of_the_groups(n, order, rng):
    x = torch.rand(2, n, n, n, dtype=torch.float64, generator=rng)
    group = octahedral()
    act, (r, s) = SignalSpace(cubic_grid(n, group)).act, group.generators
    about = lambda degrees, axis: turn(x, degrees, axis, order=order)
    assert relative_error(about(90, (1, 0, 0)), SignalSpace(cubic_grid(n, cyclic(4))).act(1, x)) <= 1e-12
    assert relative_error(about(90, (2, 0, 0)), act(r, x)) <= 1e-12  # the axis' length is of no matter
    assert relative_error(about(90, (0, 0, 1)), act(s, x)) <= 1e-12
    assert relative_error(about(-90, (0, 0, -1)), act(s, x)) <= 1e-12
    third = group.product[r, s]  # about a diagonal of the cube
    assert relative_error(about(120, (1, -1, 1)), act(third, x)) <= 1e-12
    assert relative_error(about(90, (0, 0, -1)), act(s, x)) > 0.1  # the control: the other way round


def test_other_spacings_are_turned_as_their_group_does_it(rng):
    x = torch.rand(4, 4, 6, dtype=torch.float64, generator=rng)
    group = voxel_group((1, 1, 3))
    act, (r, m, z) = SignalSpace(cubic_grid(x.shape, group, spacing=(1, 1, 3))).act, group.generators
    assert relative_error(turn(x, 90, (0, 0, 1), spacing=(1, 1, 3)), act(r, x)) <= 1e-12
    half = group.product[m, z]  # mirrors rows and columns: half a turn about the depth
    assert relative_error(turn(x, 180, (1, 0, 0), spacing=(1, 1, 3)), act(half, x)) <= 1e-12
    assert relative_error(turn(x, 180, (0, 1, 0), spacing=(1, 1, 3)), act(half, x)) > 0.1  # the control


def blob(sides, sigma, degrees=0.0, axis=(1, 2, 3), spacing=(1, 1, 1)):
    """A Gaussian blob beside the middle, turned by Rodrigues' formula; all lengths in mm."""
    k, at, angle = np.array(axis) / np.linalg.norm(axis), np.array([2.3, -3.1, 1.7]), np.deg2rad(degrees)
    at = at * np.cos(angle) + np.cross(k, at) * np.sin(angle) + k * (k @ at) * (1 - np.cos(angle))
    places = [(np.arange(m) - (m - 1) / 2) * h for m, h in zip(sides, spacing, strict=True)]
    square = sum((p - a) ** 2 for p, a in zip(np.meshgrid(*places, indexing="ij"), at, strict=True))
    return torch.from_numpy(np.exp(-square / (2 * sigma**2)))


@pytest.mark.parametrize(
    ("order", "once", "and_back"),
    [(1, (0.15, 0.042, 0.019), (0.25, 0.077, 0.036)), (3, (0.021, 7e-4, 1.1e-4), (0.028, 1.2e-3, 2.1e-4))],
)
def test_resampling_errs_as_the_docstring_says(order, once, and_back):
    for sigma, there, back in zip((1, 2, 3), once, and_back, strict=True):
        start, end = blob((33,) * 3, sigma), blob((33,) * 3, sigma, 30)
        turned = turn(start, 30, (1, 2, 3), order=order)
        assert relative_error(turned, end) == pytest.approx(there, rel=0.07)
        again = turn(turned, -30, (1, 2, 3), order=order)
        assert relative_error(again, start) == pytest.approx(back, rel=0.07)
        # The controls: the other way round, and about another axis.
        assert relative_error(turn(start, -30, (1, 2, 3), order=order), end) > 0.3
        assert relative_error(turn(start, 30, (3, 2, 1), order=order), end) > 0.3


def test_a_turn_is_one_in_space_and_not_in_voxels():
    sides, spacing, axis = (15, 45, 45), (3, 1, 1), (0, 1, 0)
    start, end = blob(sides, 5, spacing=spacing), blob(sides, 5, 90, axis, spacing)
    assert relative_error(turn(start, 90, axis, spacing=spacing), end) < 0.01
    assert relative_error(turn(start, 90, axis), end) > 0.3  # the control


def test_turn_is_cubic_unless_told_and_keeps_stacks_and_types(rng):
    x = torch.rand(2, 3, 4, 5, 6, generator=rng, requires_grad=True)
    y = turn(x, 20, (1, 1, 0))
    assert y.shape == x.shape and y.dtype == torch.float32 and not y.requires_grad
    assert [k for k in range(6) if torch.equal(y, turn(x, 20, (1, 1, 0), order=k))] == [3]
    assert torch.equal(turn(x[1, 2], 20, (1, 1, 0)), y[1, 2]) and turn(x[:0], 20, (1, 1, 0)).shape[0] == 0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: turn(x.long(), 5, (1, 0, 0)), TypeError, r"volumes: got torch\.int64"),
        (
            lambda x: turn(x[0], 5, (1, 0, 0)),
            ValueError,
            r"volumes: got shape \(5, 5\); a volume has a depth",
        ),
        (
            lambda x: turn(x, 5, (0, 0, 0)),
            ValueError,
            r"axis: got \(0, 0, 0\); give three finite numbers, not all 0",
        ),
        (lambda x: turn(x, 5, (0, 1)), ValueError, "axis: got"),
        (lambda x: turn(x, 5, (0, 1, float("nan"))), ValueError, "axis: got"),
        (lambda x: turn(x, 5, (1, 0, 0), spacing=(1, 1)), ValueError, "spacing: got"),
        (lambda x: turn(x, 5, (1, 0, 0), order=6), ValueError, "order: got 6"),
        (lambda x: screws(0), ValueError, "n: got 0"),
        (lambda x: screws(2.0), TypeError, "n: got 2.0"),
        (lambda x: screws(2, (16, 16)), ValueError, r"size: got \(16, 16\); give one side, or 3"),
        (
            lambda x: screws(2, 15),
            ValueError,
            r"size: got \(15, 15, 15\), .* 14 × 14 × 14 mm; .* needs 14.2 mm",
        ),
        (
            lambda x: two_spots(2, (5, 16, 16), (3, 1, 1)),
            ValueError,
            "span 12 × 15 × 15 mm; .* needs 9 mm and two voxels each way",
        ),
        (lambda x: two_spots(2, (1, 16, 16), (30, 1, 1)), ValueError, "needs 9 mm and two voxels each way"),
        (lambda x: two_spots(2, spacing=(1, 0, 1)), ValueError, "spacing: got"),
        (lambda x: two_spots(2, noise=-1), ValueError, "noise: got -1"),
        (lambda x: nodules_and_vessels(10**6), ValueError, "n: the volumes would hold"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call(torch.ones(5, 5, 5))


@pytest.mark.parametrize("make", MAKERS)
def test_drawn_volumes_come_in_two_classes_from_a_seed(make):
    volumes, labels = make(8, (16, 18, 20), (1, 1.5, 1), seed=3)
    assert volumes.shape == (8, 1, 16, 18, 20) and volumes.dtype == torch.float32
    assert labels.dtype == torch.int64 and labels.bincount().tolist() == [4, 4]
    again, other = make(8, (16, 18, 20), (1, 1.5, 1), seed=3), make(8, (16, 18, 20), (1, 1.5, 1), seed=4)
    assert (
        torch.equal(volumes, again[0])
        and torch.equal(labels, again[1])
        and not torch.equal(volumes, other[0])
    )
    clean, noisy = (make(8, (16, 18, 20), (1, 1.5, 1), seed=3, noise=level)[0] for level in (0, 0.5))
    assert (
        0 <= clean.min() < 0.1
        and 0.5 < clean.max() < 1.2
        and (noisy - clean).std() == pytest.approx(0.5, rel=0.02)
    )


def moments(volume):
    """The middle of the ink, and its covariance, in voxels."""
    places = torch.from_numpy(np.argwhere(np.ones(volume.shape[-3:]))).double()
    weights = volume.flatten().double() / volume.sum()
    middle = weights @ places
    return places - middle, weights, (places - middle).T @ ((places - middle) * weights[:, None])


def test_spots_are_as_far_apart_as_their_class_says_in_any_direction():
    volumes, labels = two_spots(100, 26, noise=0)
    directions = torch.zeros(3, 3, dtype=torch.float64)
    for volume, label in zip(volumes, labels.tolist(), strict=True):
        covariance = moments(volume)[2]  # 1 + d²/4 u uᵀ
        apart = 2 * float(covariance.trace() - 3) ** 0.5
        assert 3.95 + 3 * label < apart < 6.05 + 3 * label
        directions += (covariance - torch.eye(3)) / (covariance.trace() - 3) / len(volumes)
    assert (directions - torch.eye(3) / 3).abs().max() < 0.1


def test_neither_blur_nor_place_of_the_spots_tells_which_axis_is_the_depth():
    volumes, _ = two_spots(200, 16, (3, 1, 1), noise=0)
    two_blobs = 2 * (2 * np.pi) ** 1.5  # of σ = 1 voxel along each axis
    assert volumes.sum((1, 2, 3, 4)).numpy() == pytest.approx(two_blobs, rel=0.03)
    places = torch.from_numpy(np.argwhere(np.ones((16, 16, 16)))).float() - 7.5
    middles = volumes.flatten(1) @ places / volumes.sum((1, 2, 3, 4))[:, None]
    assert 2 < middles.abs().amax() <= 3.1  # voxels
    depth, row, column = middles.std(0).tolist()
    assert 0.75 < row / depth < 1.25 and 0.75 < column / depth < 1.25


def handedness(volume):
    """How much stronger a right-handed wave of the screw's pitch round its main axis is than a left-handed one."""
    places, weights, covariance = moments(volume)
    frame = torch.linalg.eigh(covariance)[1].flip(-1)  # the longest axis first
    frame = frame * torch.linalg.det(frame)  # a right-handed frame
    along, x, y = (places @ frame).T
    wave = lambda sign: (
        (weights * torch.exp(1j * (torch.atan2(y, x) - sign * 2 * np.pi / 7 * along))).sum().abs()
    )
    return float(wave(1) - wave(-1))


def test_a_screw_is_of_its_class_and_its_mirror_image_of_the_other():
    volumes, labels = screws(40, 20, noise=0)
    signs = np.sign([handedness(volume) for volume in volumes])
    assert np.array_equal(signs, 2 * labels.numpy() - 1)
    for axis in (-1, -2, -3):
        assert np.array_equal(np.sign([handedness(volume.flip(axis)) for volume in volumes]), -signs)
    turned = [handedness(turn(volume, 40, (1, 2, 2))) for volume in volumes[:8]]
    assert np.array_equal(np.sign(turned), signs[:8])  # the control: a turn keeps it


def auc(score, labels):
    """How often a volume of class 1 has the higher score, or the lower one, whichever is more."""
    gaps = score[labels == 1][:, None] - score[labels == 0]
    share = float(((gaps > 0) + 0.5 * (gaps == 0)).mean())
    return max(share, 1 - share)


def test_neither_how_much_ink_nor_how_thick_it_is_tells_nodules_from_vessels():
    volumes, labels = nodules_and_vessels(300, noise=0)
    surface = sum(volumes.diff(dim=k).abs().sum((1, 2, 3, 4)) for k in (2, 3, 4))
    ink = volumes.sum((1, 2, 3, 4))
    assert auc(ink.numpy(), labels.numpy()) < 0.7 and auc((ink / surface).numpy(), labels.numpy()) < 0.7
    assert auc(labels.numpy() + 0.0, labels.numpy()) == 1  # the control


@pytest.mark.parametrize(
    ("group", "spacing"),
    [(octahedral(), (1, 1, 1)), (octahedral(True), (1, 1, 1)), (prismatic(4), (3, 1, 1))],
)
def test_a_network_answers_alike_to_all_turned_volumes(group, spacing):
    kernel = cubic_grid(3, group, spacing=spacing)
    net = nn.Sequential(
        LiftingConv(kernel, 1, 3, padding=1), nn.ReLU(), GroupConv(kernel, 3, 4), GroupPool(3), GlobalPool(3)
    ).double()
    x = screws(1, noise=0)[0].double()
    literally = {
        "r": torch.rot90(x, dims=(-2, -1)),
        "s": torch.rot90(x, dims=(-3, -2)),
        "m": x.flip(-1),
        "z": x.flip(-3),
    }
    known = {"O": "rs", "Oₕ": "rsmz", "D₄ₕ": "rmz"}[group.name]
    with torch.no_grad():
        for name, moved in literally.items():
            error = relative_error(net(moved), net(x))
            assert (
                error <= 1e-12 if name in known else error > 1e-6
            )  # those outside of the group are controls


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of memory is read from /proc")
def test_a_volume_of_64_cubed_goes_through_in_little_memory():
    code = """
import torch
from torch import nn
from gdl_utils.domains import cubic_grid
from gdl_utils.groups import octahedral
from gdl_utils.layers import GlobalPool, GroupConv, GroupPool, LiftingConv
kernel = cubic_grid(3, octahedral())
net = nn.Sequential(LiftingConv(kernel, 1, 4, padding=1), nn.ReLU(), GroupConv(kernel, 4, 4, padding=1), GroupPool(3), GlobalPool(3))
with torch.no_grad():
    net(torch.rand(1, 1, 64, 64, 64))
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 100 < int(done.stdout) // 1024 < 1430  # MiB; 1430 are 1.5 GB
