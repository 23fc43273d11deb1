"""Layers on surfaces that know lengths along them: neither where in space a surface lies, nor how it was cut into triangles."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from gdl_utils._checks import check_positive, check_real
from gdl_utils.layers.adjacency import Adjacency
from gdl_utils.meshes import Mesh, edge_transports, eigenfunctions, vertex_gradient


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
    slope : pair of Adjacency
        Real and imaginary part of the slope of a function at each vertex, in its frame, as ``vertex_gradient`` gives it.
    transports : tuple of tensors of shape (2, P), (P,) and (P,)
        What ``edge_transports`` gives, for ``GaugeConv``.
    """

    areas: torch.Tensor
    values: torch.Tensor
    waves: torch.Tensor
    slope: tuple[Adjacency, Adjacency]
    transports: tuple[torch.Tensor, torch.Tensor, torch.Tensor]

    @classmethod
    def of(cls, mesh: Mesh, k: int = 64, *, dtype: torch.dtype = torch.float32) -> "Surface":
        """Compute all of it, in double precision, and round it once.

        Parameters
        ----------
        mesh : Mesh
            The surface, with more than k vertices.
        k : int
            How many waves. What is finer than they are does not spread.
        dtype : torch.dtype
            Of the tensors.

        Raises
        ------
        TypeError, ValueError
            As ``eigenfunctions`` and ``edge_transports``.
        """
        mesh = mesh.moved(mesh.vertices / np.sqrt(mesh.areas.sum()))
        values, waves = eigenfunctions(mesh, k)
        slope = vertex_gradient(mesh).tocoo()
        edges = torch.from_numpy(np.stack([slope.col, slope.row]).astype(np.int64))
        slopes = (Adjacency(edges, len(waves), part).to(dtype) for part in (slope.data.real, slope.data.imag))
        pairs, *angles = edge_transports(mesh)
        areas, values, waves, *angles = (
            torch.from_numpy(a).to(dtype) for a in (mesh.vertex_areas, values, waves, *angles)
        )
        return cls(areas, values, waves, tuple(slopes), (torch.from_numpy(pairs), *angles))

    def to(self, device: torch.device | str) -> "Surface":
        """Give the same on another device."""
        tensors = (t.to(device) for t in (self.areas, self.values, self.waves))
        pairs = tuple(tuple(part.to(device) for part in parts) for parts in (self.slope, self.transports))
        return Surface(*tensors, *pairs)

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
        left = self.waves**2 @ torch.exp(-self.values[:, None] * times.to(self.values))
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
    Takes and gives ``(V, channels)``. Computed with the surface's waves; what is finer is dropped.

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
        p, q = (part @ spread * (self.diffusion.log_time / 2).exp() for part in surface.slope)
        products = p * (self.real(p) - self.imaginary(q)) + q * (self.imaginary(p) + self.real(q))
        return x + self.mix(torch.cat([x, spread, products.tanh()], 1))


def check_on(surface: Surface, x: torch.Tensor, channels: int) -> None:
    """Refuse in words a signal that does not lie on a surface, or has other channels."""
    if not isinstance(surface, Surface):
        raise TypeError(f"surface: got {type(surface).__name__}; give a Surface, as Surface.of(mesh)")
    if tuple(x.shape) != (len(surface.areas), channels):
        raise ValueError(f"x: got shape {tuple(x.shape)}; this needs ({len(surface.areas)}, {channels})")
    check_real(x)
