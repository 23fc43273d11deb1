"""From which size on is it faster to convolve by multiplying in the Fourier domain?

Run by ``make bench``. Circular convolution of 16 images of 64 × 64 pixels with filters of k × k, one channel to one and 16 to 16:
directly, as torch does it, and by the fast Fourier transform, which does not care how wide the filter is. Both give the same numbers,
on one thread: with two on two cores, times are of waiting and not of work.
What is reported is direct ÷ FFT (above 1: the FFT is faster), as median and quartiles of neighbouring times, for the forward pass.
"""

from functools import partial
from pathlib import Path

import torch
from _timing import in_turns, store
from torch import nn

ROUNDS = 20
BATCH, SIZE = 16, 64
CHANNELS, TAPS = (1, 16), (3, 5, 9, 17, 33)


def direct(x, w):
    """Slide the filters over the wrapped images."""
    return nn.functional.conv2d(nn.functional.pad(x, (w.shape[-1] // 2,) * 4, mode="circular"), w)


def by_fft(x, w):
    """Transform both, multiply, and transform back. The conjugate, since a layer does not mirror its filters."""
    middle = [-(w.shape[-1] // 2)] * 2
    wide = nn.functional.pad(w, (0, x.shape[-1] - w.shape[-1]) * 2).roll(middle, (2, 3))
    product = torch.einsum("bihw,oihw->bohw", torch.fft.rfft2(x), torch.fft.rfft2(wide).conj())
    return torch.fft.irfft2(product, x.shape[2:])


def main(out):
    torch.manual_seed(0)
    results, before = [], torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        for channels in CHANNELS:
            x = torch.randn(BATCH, channels, SIZE, SIZE)
            for k in TAPS:
                w = torch.randn(channels, channels, k, k)
                calls = {"ours": partial(by_fft, x, w), "direct": partial(direct, x, w)}
                ms, quartiles = in_turns(f"{channels} → {channels}, {k} × {k}", calls, ROUNDS)
                row = {"channels": channels, "taps": k, "ours_ms": round(ms, 3), "other ÷ ours": quartiles}
                results.append(row)
    torch.set_num_threads(before)
    settings = {"batch": BATCH, "threads": 1, "size": SIZE, "rounds": ROUNDS}
    settings["quantiles"] = "lower quartile, median, upper quartile"
    store(out, torch, settings | {"results": results})


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".json"))
