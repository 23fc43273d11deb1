"""Real data: small ones that need no download, and MNIST, which is fetched when it is asked for."""

from gdl_utils.data.digits import centred, digits
from gdl_utils.data.hexagons import hexagonal
from gdl_utils.data.mnist import mnist

__all__ = ["centred", "digits", "hexagonal", "mnist"]
