"""Layers on surfaces that know lengths along them: neither where in space a surface lies, nor how it was cut into triangles."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import nn

from gdl_utils._checks import check_positive, check_real
from gdl_utils.meshes import Mesh, edge_transports, eigenfunctions
from gdl_utils.meshes.transport import slopes_along


@dataclass(frozen=True, eq=False)
class Surface:
    """What layers need of a mesh, as tensors; made by ``Surface.of``, once for each mesh.

    Lengths are those of the surface scaled to an area of 1: so a larger one of the same shape is the same.

    Parameters
    ----------
    areas : tensor of shape (V,)
        The share of the area that belongs to each vertex; together 1.
    values : tensor of shape (k,)
        The λ of its slowest waves, the eigenfunctions of the Laplacian.
    waves : tensor of shape (V, k)
        These waves, with a mean square of 1 over the area.
    pairs : tensor of shape (2, P)
        Pairs (i, j) of neighbours, both ways.
    there, turn : tensors of shape (P,)
        At which angle j lies, seen from i, and by how much an arrow's angle grows from i to j: with the pairs what ``edge_transports`` gives.
    slope : tensor of shape (P, 2)
        Real and imaginary part of the weight that x_j - x_i has in the slope of x at i, as ``vertex_gradient`` gives it.
    """

    areas: torch.Tensor
    values: torch.Tensor
    waves: torch.Tensor
    pairs: torch.Tensor
    there: torch.Tensor
    turn: torch.Tensor
    slope: torch.Tensor

    @classmethod
    def of(cls, mesh: Mesh, k: int | None = None, *, dtype: torch.dtype = torch.float32) -> "Surface":
        """Compute all of it, in double precision, and round it once.

        Parameters
        ----------
        mesh : Mesh
            The surface, with more than k vertices.
        k : int, optional
            How many waves, by default 64, or one less than there are vertices. What is finer than they are does not spread. Some
            seconds for 10,000 vertices, and some more with k.
        dtype : torch.dtype
            Of the tensors.

        Raises
        ------
        TypeError, ValueError
            If this is no mesh, or k is less than the number of its pieces, each of which has a wave that is constant; or as
            ``eigenfunctions`` and ``edge_transports``.
        """
        if not isinstance(mesh, Mesh):
            raise TypeError(f"mesh: got {type(mesh).__name__}; give a Mesh, such as mend(vertices, faces)[0]")
        k = min(64, len(mesh.vertices) - 1) if k is None else check_positive("k", k)
        pieces = int(mesh.components.max()) + 1
        if k < pieces:
            raise ValueError(
                f"k: got {k}; this mesh has {pieces} pieces, and needs a wave for each, at least"
            )
        mesh = mesh.moved(mesh.vertices / np.sqrt(mesh.areas.sum()))
        values, waves = eigenfunctions(mesh, k)
        pairs, there, turn = edge_transports(mesh)
        weight = slopes_along(mesh, pairs, there)
        floats = (mesh.vertex_areas, values, waves, there, turn, np.stack([weight.real, weight.imag], 1))
        areas, values, waves, there, turn, slope = (torch.from_numpy(a).to(dtype) for a in floats)
        return cls(areas, values, waves, torch.from_numpy(pairs), there, turn, slope)

    def __repr__(self) -> str:
        return f"Surface({len(self.areas):,} vertices, {len(self.values)} waves, {self.areas.dtype})"

    def to(self, device: torch.device | str) -> "Surface":
        """Give the same on another device. For another type of numbers make it anew, ``Surface.of(mesh, dtype=…)``."""
        if isinstance(device, torch.dtype):
            raise TypeError(f"device: got {device}; for another type give Surface.of(mesh, dtype={device})")
        return Surface(*(getattr(self, field.name).to(device) for field in fields(self)))

    @property
    def transports(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What ``GaugeConv`` takes beside its fields, namely pairs, there and turn."""
        return self.pairs, self.there, self.turn

    def slopes(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the slope of each channel at each vertex, in the vertex's own axes: two tensors of shape (V, channels)."""
        i, j = self.pairs
        growth = x[j] - x[i]
        summed = lambda part: torch.zeros_like(x).index_add(0, i, part[:, None] * growth)
        return summed(self.slope[:, 0]), summed(self.slope[:, 1])

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        """Average over the area, (V, channels) -> (channels,): the same for all meshings of a surface, nearly."""
        return self.areas.to(x.dtype) @ x

    def heat_signature(self, times: torch.Tensor) -> torch.Tensor:
        """Say how much of the heat that is put on a vertex is still there after some times, (V, times): what the surface is like around it.

        Relative to the mean over the surface. Isometries change nothing, left and right are the same (Sun, Ovsjanikov and Guibas 2009).

        Parameters
        ----------
        times : tensor of shape (times,)
            In units of the area: 0.001 sees details, 0.1 a large part of the surface.
        """
        times = torch.as_tensor(times).to(self.values)
        if times.ndim != 1 or not (times >= 0).all():
            raise ValueError(f"times: got {times.tolist()}; give a row of numbers from 0 upwards")
        left = self.waves**2 @ torch.exp(-self.values[:, None] * times)
        return left / self.mean(left)


class Diffusion(nn.Module):
    """Let each channel spread over the surface as heat does, for a time of its own, which is learned.

    Respects isometries, whatever they do in space, and changes of size. It is linear; with time it goes from the vertex to the whole
    surface. Another meshing of the same surface gives the same, as far as its waves are the same.

    Parameters
    ----------
    channels : int
        How many.
    device, dtype : optional
        Of the times.

    Attributes
    ----------
    log_time : parameter of shape (channels,)
        Logarithms of the times, in units of the area; they begin at times from 0.001 to 0.1.

    Raises
    ------
    TypeError, ValueError
        If ``channels`` is no positive whole number; in ``forward``, if the input does not fit.

    Notes
    -----
    Takes and gives ``(V, channels)``. Computed with the surface's waves; what is finer is dropped. Of two pieces of one shape some may
    leak from one to the other, where the last wave is one of several that belong together.

    Sharp, Attaiki, Crane and Ovsjanikov (2022), "DiffusionNet: discretization agnostic learning on surfaces".
    """

    def __init__(self, channels: int, *, device=None, dtype=None):
        super().__init__()
        self.channels = check_positive("channels", channels)
        self.log_time = nn.Parameter(torch.empty(channels, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Spread the times evenly over the range, by factors."""
        with torch.no_grad():
            self.log_time.copy_(torch.linspace(np.log(1e-3), np.log(1e-1), self.channels))

    def forward(self, x: torch.Tensor, surface: Surface) -> torch.Tensor:
        """Let x spread.

        Parameters
        ----------
        x : tensor of shape (V, channels)
            The signal.
        surface : Surface
            On which it lies.
        """
        check_on(surface, x, self.channels)
        coefficients = surface.waves.T @ (surface.areas[:, None] * x)  # (k, channels)
        return surface.waves @ (torch.exp(-surface.values[:, None] * self.log_time.exp()) * coefficients)

    def extra_repr(self) -> str:
        """Say how many channels."""
        return f"{self.channels}"


class DiffusionBlock(nn.Module):
    """Spread, look at the slopes, and mix at each vertex: what a network on surfaces is made of.

    Respects isometries that keep the surface's orientation, for any choice of frames: of slopes only products are used, Re(conj(g) A g)
    with a learned complex matrix A, in which a turn of the frame cancels. The imaginary part of A sees which way round a surface is; a
    mirror image differs in it.

    Parameters
    ----------
    channels : int
        In and out.
    device, dtype : optional
        Of the weights.

    Raises
    ------
    TypeError, ValueError
        As ``Diffusion``.

    Notes
    -----
    Takes and gives ``(V, channels)``: x + MLP(x, spread x, products of slopes), where a slope is taken over the distance that heat goes
    in the channel's time.

    Sharp, Attaiki, Crane and Ovsjanikov (2022).

    Examples
    --------
    >>> corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)
    >>> surface = Surface.of(Mesh(corners, [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]), k=3)
    >>> DiffusionBlock(8)(torch.randn(4, 8), surface).shape
    torch.Size([4, 8])
    """

    def __init__(self, channels: int, *, device=None, dtype=None):
        super().__init__()
        made = {"device": device, "dtype": dtype}
        self.diffusion = Diffusion(channels, **made)
        self.real = nn.Linear(channels, channels, bias=False, **made)
        self.imaginary = nn.Linear(channels, channels, bias=False, **made)
        self.mix = nn.Sequential(
            nn.Linear(3 * channels, channels, **made), nn.ReLU(), nn.Linear(channels, channels, **made)
        )

    def forward(self, x: torch.Tensor, surface: Surface) -> torch.Tensor:
        """Return x and what the block adds to it.

        Parameters
        ----------
        x : tensor of shape (V, channels)
            The signal.
        surface : Surface
            On which it lies.
        """
        spread = self.diffusion(x, surface)
        p, q = (part * (self.diffusion.log_time / 2).exp() for part in surface.slopes(spread))
        products = p * (self.real(p) - self.imaginary(q)) + q * (self.imaginary(p) + self.real(q))
        return x + self.mix(torch.cat([x, spread, products.tanh()], 1))


def check_on(surface: Surface, x: torch.Tensor, channels: int) -> None:
    """Refuse in words a signal that does not lie on a surface, or has other channels."""
    if not isinstance(surface, Surface):
        raise TypeError(f"surface: got {type(surface).__name__}; give a Surface, as Surface.of(mesh)")
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"x: got {type(x).__name__}; give a tensor")
    if torch.compiler.is_compiling():
        return  # sizes stay open
    if tuple(x.shape) != (len(surface.areas), channels):
        raise ValueError(f"x: got shape {tuple(x.shape)}; this needs ({len(surface.areas)}, {channels})")
    check_real(x)
    if x.dtype != surface.areas.dtype and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(
            f"x: got {x.dtype}, and the surface is in {surface.areas.dtype}; Surface.of(mesh, dtype=…) makes one of another type"
        )
