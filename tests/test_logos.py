"""Logos: bits of known columns, and letters where they belong, in colours that read."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdl_utils.figures import information, logo
from gdl_utils.figures.style import INK, ROLES


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def boxes(ax):
    """Where the letters stand: left, right, bottom and top of each."""
    return [patch.get_path().get_extents().extents[[0, 2, 1, 3]].tolist() for patch in ax.patches]


def test_bits_of_known_columns():
    counts = np.array([[4, 1, 2, 1], [0, 1, 2, 1], [0, 1, 0, 2], [0, 1, 0, 4]])
    bits = information(counts).sum(0)
    of_last = 2 + (2 * math.log2(1 / 8) + 2 * math.log2(1 / 4) + 4 * math.log2(1 / 2)) / 8
    assert np.allclose(bits, [2, 0, 1, of_last], rtol=0, atol=1e-15)
    assert information(counts)[:, 2].tolist() == [0.5, 0.5, 0, 0]
    assert np.array_equal(information(counts / 8), information(counts))
    assert information([[3], [0]]).tolist() == [[1], [0]]  # two letters


@given(counts=st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any))
def test_bits_are_shared_by_frequency_and_lie_between_none_and_two(counts):
    heights = information(np.array(counts)[:, None])[:, 0]
    assert -1e-12 <= heights.sum() <= 2 + 1e-12
    assert np.allclose(heights, heights.sum() * np.array(counts) / sum(counts), rtol=0, atol=1e-12)


def test_letters_are_stacked_by_size_and_negative_ones_hang_upside_down(ax):
    logo(ax, np.array([[1.0, 0], [2, 0], [-3, 0], [-0.5, 2]]))
    found = sorted(box[2:] for box in boxes(ax) if box[0] < 0.5)
    assert np.allclose(found, [[-3.5, -0.5], [-0.5, 0], [0, 1], [1, 3]], rtol=0, atol=1e-12)
    (second,) = [box for box in boxes(ax) if box[0] > 0.5]
    assert np.allclose(second, [0.53, 1.47, 0, 2], rtol=0, atol=1e-12)
    bottom, top = ax.get_ylim()
    assert bottom < -3.5 and top > 3 and ax.get_xlim() == (-0.6, 1.6)


def test_a_letter_below_is_the_one_above_turned_over(ax):
    logo(ax, [[2, -2], [0, 0], [0, 0], [0, 0]])
    above, below = (patch.get_path().vertices for patch in ax.patches)
    assert np.allclose(above[:, 1], -below[:, 1]) and not np.allclose(above[:, 1], below[:, 1] + 2)


def test_letters_have_the_books_colours_and_differ_in_shape(ax):
    logo(ax, np.eye(4))
    colours = [patch.get_facecolor() for patch in ax.patches]
    palette = {
        plt.matplotlib.colors.to_rgba(role["color"]) for role in ROLES.values()
    }  # read on paper and in dark mode
    assert len(set(colours)) == 4 and set(colours) <= palette
    assert len({len(patch.get_path().vertices) for patch in ax.patches}) == 4
    logo(ax, [[1], [1]], letters="UL")
    assert ax.patches[4].get_facecolor() == colours[3]
    assert ax.patches[5].get_facecolor() == plt.matplotlib.colors.to_rgba(INK)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda ax: logo(ax, np.zeros((3, 5))), "heights: got 3 rows for 4 letters, 'ACGT'"),
        (lambda ax: logo(ax, np.zeros(4)), r"heights: got shape \(4,\)"),
        (lambda ax: logo(ax, np.zeros((4, 0))), r"heights: got shape \(4, 0\)"),
        (lambda ax: logo(ax, np.full((4, 2), np.nan)), "heights: has numbers that are not finite"),
        (lambda ax: information([[1, 0], [1, 0]]), "counts: has negative numbers, or a column of zeros"),
        (lambda ax: information([[1], [-1]]), "counts: has negative numbers"),
        (lambda ax: information([1, 2]), r"counts: got shape \(2,\)"),
    ],
)
def test_bad_input_is_named(ax, call, words):
    with pytest.raises(ValueError, match=words):
        call(ax)
