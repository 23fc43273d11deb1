"""Real data: small ones that need no download, and MNIST, which is fetched when it is asked for; drawn clocks; images in frames, turned, on hexagons; volumes; a rabbit, and meshes from files."""

from gdl_utils.data.adrenal import adrenal
from gdl_utils.data.binding import binding_sites, clip_sites
from gdl_utils.data.clocks import cuckoo_clock
from gdl_utils.data.digits import digits
from gdl_utils.data.graphs import karate_club, look_alikes, tetracubes
from gdl_utils.data.hexagons import hexagonal
from gdl_utils.data.images import centred, rotate
from gdl_utils.data.mesh_files import read_mesh
from gdl_utils.data.mnist import mnist
from gdl_utils.data.molecules import esol
from gdl_utils.data.penguins import penguins
from gdl_utils.data.planted import planted, shuffle_pairs
from gdl_utils.data.rabbit import hop, rabbit, rabbit_pose
from gdl_utils.data.strands import one_hot, read_sequences, reverse_complement
from gdl_utils.data.volumes import nodules_and_vessels, screws, turn, two_spots

__all__ = [
    "adrenal",
    "binding_sites",
    "centred",
    "clip_sites",
    "cuckoo_clock",
    "digits",
    "esol",
    "hexagonal",
    "hop",
    "karate_club",
    "look_alikes",
    "mnist",
    "nodules_and_vessels",
    "one_hot",
    "penguins",
    "planted",
    "rabbit",
    "rabbit_pose",
    "read_mesh",
    "read_sequences",
    "reverse_complement",
    "rotate",
    "screws",
    "shuffle_pairs",
    "tetracubes",
    "turn",
    "two_spots",
]
