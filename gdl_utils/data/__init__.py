"""Real data: small ones that need no download, and MNIST, which is fetched when it is asked for."""

from gdl_utils.data.digits import centred, digits
from gdl_utils.data.graphs import karate_club, look_alikes, tetracubes
from gdl_utils.data.hexagons import hexagonal
from gdl_utils.data.mnist import mnist
from gdl_utils.data.penguins import penguins

__all__ = ["centred", "digits", "hexagonal", "karate_club", "look_alikes", "mnist", "penguins", "tetracubes"]
