"""The digits, and the frame round them."""

import pytest
import torch

from gdl_utils.data import centred, digits


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
