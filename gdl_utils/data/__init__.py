"""Real data: small ones that need no download, and MNIST, which is fetched when it is asked for; drawn clocks; images in frames, turned, on hexagons."""

from gdl_utils.data.clocks import cuckoo_clock
from gdl_utils.data.digits import digits
from gdl_utils.data.graphs import karate_club, look_alikes, tetracubes
from gdl_utils.data.hexagons import hexagonal
from gdl_utils.data.images import centred, rotate
from gdl_utils.data.mnist import mnist
from gdl_utils.data.penguins import penguins

__all__ = [
    "centred",
    "cuckoo_clock",
    "digits",
    "hexagonal",
    "karate_club",
    "look_alikes",
    "mnist",
    "penguins",
    "rotate",
    "tetracubes",
]
