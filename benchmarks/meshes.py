"""How fast are the operators of a mesh of 48,000 vertices beside those of two other libraries, and what do they need?

Run by ``make bench``, timed as ``_timing.py`` says: contestants take turns, and what is reported are ratios of neighbouring
times, other ÷ ours (above 1: ours is faster), as median and quartiles. Ours are in Python and check the mesh first; theirs are in C++ and
check less. robust_laplacian flips edges as well, and has no distances. Waves and memory are measured once.
"""

import resource
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import potpourri3d
import robust_laplacian
import trimesh
from _timing import in_turns, seconds, store

from gdl_utils.data import rabbit
from gdl_utils.meshes import (
    Mesh,
    cotangent_laplacian,
    edge_transports,
    eigenfunctions,
    geodesic_distances,
    vertex_gradient,
)

VERTICES, WAVES, ROUNDS = 3000, 128, 7  # of the rabbit before each triangle is cut in four, twice


def finely() -> tuple[np.ndarray, np.ndarray]:
    mesh = rabbit(VERTICES)[0]
    vertices, faces = mesh.vertices, mesh.faces
    for _ in range(2):
        vertices, faces = trimesh.remesh.subdivide(vertices, faces)
    return np.asarray(vertices), np.asarray(faces)


def operators(vertices, faces):
    mesh = Mesh(vertices, faces)
    return cotangent_laplacian(mesh), mesh.vertex_areas


def main(out):
    vertices, faces = finely()
    ours = operators(vertices, faces)
    theirs = potpourri3d.cotan_laplacian(vertices, faces)
    if not abs(ours[0] - theirs).max() <= 1e-6 * abs(theirs).max():
        raise SystemExit("potpourri3d computes something else")
    tasks = {
        "Laplacian and areas": {
            "ours": lambda: operators(vertices, faces),
            "potpourri3d": lambda: (
                potpourri3d.cotan_laplacian(vertices, faces),
                potpourri3d.vertex_areas(vertices, faces),
            ),
            "robust_laplacian": lambda: robust_laplacian.mesh_laplacian(vertices, faces),
        },
        "distances from one vertex": {
            "ours": lambda: geodesic_distances(Mesh(vertices, faces), 0),
            "potpourri3d": lambda: potpourri3d.MeshHeatMethodDistanceSolver(vertices, faces).compute_distance(
                0
            ),
        },
    }
    results = []
    for task, calls in tasks.items():
        took, quartiles = in_turns(task, calls, ROUNDS)
        results.append({"task": task, "ours_ms": round(took, 1), "other ÷ ours": quartiles})
    once = {
        "all operators, s": seconds(
            lambda: (
                operators(vertices, faces),
                edge_transports(Mesh(vertices, faces)),
                vertex_gradient(Mesh(vertices, faces)),
            )
        ),
        f"{WAVES} waves, s": seconds(lambda: eigenfunctions(Mesh(vertices, faces), WAVES)),
        "most memory, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    settings = {"vertices": len(vertices), "faces": len(faces), "rounds": ROUNDS}
    settings["quantiles"] = "lower quartile, median, upper quartile"
    peer = SimpleNamespace(__name__="potpourri3d", __version__=version("potpourri3d"))
    store(out, peer, settings | {"once": once, "results": results})


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".json"))
