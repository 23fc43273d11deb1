"""How a kernel meets a grid: stride, padding and dilation, and on which sizes they keep the turns of a group."""

import warnings
from collections.abc import Sequence

import numpy as np

from gdl_utils.domains import Disk, Domain

MODES = ("zeros", "circular", "reflect", "replicate")


class Geometry:
    """Stride, padding and dilation of a kernel that a group turns, checked against each other; one of each for every axis.

    Parameters
    ----------
    domain : Domain or Disk
        The kernel: a centred grid, or a disk.
    stride, padding, dilation, padding_mode
        As for ``LiftingConv``.

    Raises
    ------
    ValueError
        If the domain is no centred grid, an argument is none that is known, or axes that the group swaps are treated unlike.
    """

    def __init__(
        self,
        domain: Domain | Disk,
        stride: int | Sequence[int],
        padding: int | Sequence[int] | str,
        dilation: int | Sequence[int],
        padding_mode: str,
    ):
        if not isinstance(domain, Domain | Disk) or len(domain.shape) not in (1, 2, 3):
            raise ValueError(f"domain: got {domain!r}; a kernel is a grid with one to three axes")
        matrices = linear_action(domain)
        if matrices is None:
            raise ValueError(
                f"domain: got {domain!r}, whose group does not turn it about a centre; square_grid, cubic_grid, strand, "
                "hexagonal_grid and disk make kernels"
            )
        self.kernel = domain.shape
        wide = isinstance(domain, Domain) and domain.resize((3,) * len(domain.shape))
        self.hexagonal = isinstance(domain, Domain) and not (wide or domain).mask.all()  # 1×1 has no corner
        self.stride, self.dilation = self._each("stride", stride, 1), self._each("dilation", dilation, 1)
        if padding_mode not in MODES[: 2 if self.hexagonal else 4]:
            allowed = ", ".join(map(repr, MODES[: 2 if self.hexagonal else 4]))
            raise ValueError(f"padding_mode: got {padding_mode!r}; {allowed} are known on this grid")
        self.padding_mode = padding_mode
        self.reach = tuple(d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True))
        if padding == "same":
            if max(self.stride) > 1 or any(reach % 2 for reach in self.reach):
                raise ValueError(
                    f"padding: 'same' needs stride 1 and as many points on both sides of the kernel's centre; got stride "
                    f"{self.stride}, kernel {self.kernel}, dilation {self.dilation}"
                )
            padding = [reach // 2 for reach in self.reach]
        self.padding = self._each("padding", 0 if padding == "valid" else padding, 0)
        # Which axes the group mirrors or swaps: there the samples of a stride must lie symmetrically.
        self.turned = [
            bool((matrices[:, a] != np.eye(len(self.kernel))[a]).any()) for a in range(len(self.kernel))
        ]
        for a, b in zip(*np.nonzero((matrices != 0).any(axis=0)), strict=True):
            for name in ("stride", "padding", "dilation"):
                values = getattr(self, name)
                if values[a] != values[b]:
                    raise ValueError(
                        f"{name}: got {values}; {domain.group.name} swaps axes {b} and {a}, so give them one"
                    )

    def _each(self, argument: str, given: int | Sequence[int], least: int) -> tuple[int, ...]:
        """Return one number for each axis."""
        values = given if isinstance(given, tuple | list) else (given,) * len(self.kernel)
        whole = all(
            isinstance(v, int | np.integer) and not isinstance(v, bool) and v >= least for v in values
        )
        if len(values) != len(self.kernel) or not whole:
            raise ValueError(
                f"{argument}: got {given!r}; give a whole number from {least} upwards, or {len(self.kernel)} of them"
            )
        return tuple(map(int, values))

    def check(self, space: tuple[int, ...]) -> None:
        """Refuse sizes that are too small, and warn of those on which a turn cannot be exact."""
        room = [n + 2 * p - reach - 1 for n, p, reach in zip(space, self.padding, self.reach, strict=True)]
        most = {"circular": 0, "reflect": -1}.get(self.padding_mode)
        if min(room) < 0 or (
            most is not None and any(p > n + most for n, p in zip(space, self.padding, strict=True))
        ):
            dilation = f", dilation {_short(self.dilation)}" * (max(self.dilation) > 1)
            raise ValueError(
                f"x: got {space} in space, too small for kernel {_short(self.kernel)}, padding {_short(self.padding)}{dilation}"
            )
        for a, n in enumerate(space):
            step = self.stride[a] * (2 if self.hexagonal else 1)
            rest = room[a] % step
            if rest and self.turned[a] and self.stride[a] > 1:
                dilation, kernel = self.dilation[a], self.kernel[a]
                fits = [
                    k
                    for k in range(max(1, kernel - step), kernel + step + 1)
                    if not (room[a] + dilation * (kernel - k)) % step
                ]
                kernels = " and ".join(str(k) for k in fits if not self.hexagonal or k % 2)
                warnings.warn(
                    f"size {n} with kernel {kernel}, padding {self.padding[a]} and stride {self.stride[a]}: turns are not exact, "
                    f"for the samples do not lie symmetrically; sizes {n - rest} and {n - rest + step} fit"
                    + f", or for size {n} kernels {kernels}"
                    * bool(kernels),
                    stacklevel=6,  # past torch's own two, to the line that calls the layer
                )
                return

    def __str__(self) -> str:
        dilation = f"dilation={_short(self.dilation)}, " * (max(self.dilation) > 1)
        return f"stride={_short(self.stride)}, padding={_short(self.padding)}, {dilation}padding_mode={self.padding_mode!r}"


def linear_action(domain: Domain | Disk) -> np.ndarray | None:
    """Return the matrices by which a group turns a kernel about its centre, shape (len(group), d, d); None where it does not."""
    if isinstance(domain, Disk):
        return domain.plane
    # The smallest grid on which a matrix can be read off: a kernel of one point is turned by any.
    wide = domain.resize(tuple(max(3, side) for side in domain.shape)) or domain
    points, moved = wide.points, wide.points[wide.permutation]
    if len(wide.group) > 1 and (points.sum(axis=0) != 0).any():
        return None
    matrices = np.stack([np.linalg.lstsq(points, there, rcond=None)[0].T.round() for there in moved])
    return matrices if np.array_equal(points @ matrices.transpose(0, 2, 1), moved) else None


def _short(values: tuple[int, ...]) -> int | tuple[int, ...]:
    return values[0] if len(set(values)) == 1 else values
