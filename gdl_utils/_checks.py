"""What several modules ask of their arguments."""

import numpy as np

MAX_NUMBERS = 2**26  # 512 MiB in double precision; what is larger is a mistake more often than a wish


def check_positive(argument: str, n: int, least: int = 1) -> int:
    """Return n as an int, or raise a TypeError or ValueError that names the argument."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise TypeError(f"{argument}: got {n!r}; give a whole number")
    if n < least:
        raise ValueError(f"{argument}: got {n}; give a whole number from {least} upwards")
    return int(n)


def check_size(argument: str, numbers: int, what: str, most: int = MAX_NUMBERS) -> None:
    """Raise a ValueError that names the argument if something would hold too many numbers, before it is allocated."""
    if numbers > most:
        raise ValueError(
            f"{argument}: {what} would hold {numbers:,} numbers, {numbers / 2**27:.3g} GiB in double precision; "
            f"up to {most:,} are made"
        )


def check_real(x) -> None:
    """Raise a TypeError if a tensor does not hold real floating-point numbers."""
    if not x.is_floating_point():
        raise TypeError(f"x: got {x.dtype}; give real numbers, in a floating type")
