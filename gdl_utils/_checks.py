"""What several modules ask of their arguments."""

import numpy as np


def check_positive(argument: str, n: int) -> int:
    """Return n as an int, or raise a TypeError or ValueError that names the argument."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise TypeError(f"{argument}: got {n!r}; give a whole number")
    if n < 1:
        raise ValueError(f"{argument}: got {n}; give a whole number from 1 upwards")
    return int(n)
