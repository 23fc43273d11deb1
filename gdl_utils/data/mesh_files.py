"""Meshes of the reader's own, from files."""

from pathlib import Path

import numpy as np

from gdl_utils.meshes import Mesh, mend


def read_mesh(path: str | Path) -> tuple[Mesh, tuple[str, ...]]:
    """Read a mesh from a file, OFF and OBJ by lines of our own and the rest with trimesh, and mend it.

    Parameters
    ----------
    path : str or Path
        A file in one of the formats of trimesh that hold surfaces: OFF, OBJ, PLY, STL, GLB and others. A scene of several parts is read as one
        mesh; colours, textures and normals are left out. Polygons of OFF and OBJ files may be concave; those of other formats are
        split by trimesh, and have to be convex.

    Returns
    -------
    tuple of Mesh and tuple of str
        As ``mend``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If its format is none that trimesh knows, it cannot be read, or has no triangles; or as ``mend``.
    """
    import trimesh  # only who reads a file waits for it

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path: there is no file {str(path)!r}")
    known = trimesh.available_formats()
    if path.suffix.lower().lstrip(".") not in known:
        raise ValueError(
            f"path: {path.name!r} is in no format that trimesh reads; these are {', '.join(sorted(known))}"
        )
    try:
        if path.suffix.lower() in (".off", ".obj"):
            read = _off if path.suffix.lower() == ".off" else _obj
            vertices, faces = read(path.read_text(encoding="utf-8", errors="replace"))
            found = None
        else:
            found = trimesh.load_mesh(path, process=False)
    except Exception as error:  # each format fails in its own way
        raise ValueError(
            f"path: {path.name!r} cannot be read ({type(error).__name__}: {error}); is it what its name says?"
        ) from error
    if found is not None:
        vertices, faces = np.asarray(found.vertices), getattr(found, "faces", np.empty((0, 3)))
    announced = getattr(found, "metadata", {}).get("_ply_raw", {}).get("face", {}).get("length", 1)
    if len(faces) < max(1, announced):
        n = len(faces) or "no"
        raise ValueError(f"path: {path.name!r} has {n} triangles; it holds points or lines, or is cut short")
    return mend(vertices, faces)


def _off(text: str) -> tuple[np.ndarray, list[list[int]]]:
    """Read vertices and polygons of an OFF file; what follows them on a line are colours."""
    lines = [line.split("#")[0].split() for line in text.splitlines()]
    lines = [words for words in lines if words]
    if not lines or not lines[0][0].endswith("OFF"):
        raise ValueError("its first word is not OFF")
    lines[0] = lines[0][1:]
    v, f = map(int, (lines.pop(0) or lines.pop(0))[:2])
    if len(lines) < v + f:
        raise ValueError(f"{v} vertices and {f} faces were announced, and {len(lines)} lines follow")
    faces = [[int(c) for c in words[1 : 1 + int(words[0])]] for words in lines[v : v + f]]
    return np.array([[float(x) for x in words[:3]] for words in lines[:v]]), faces


def _obj(text: str) -> tuple[np.ndarray, list[list[int]]]:
    """Read vertices and polygons of an OBJ file: numbers begin with 1, negative ones count from the last vertex."""
    vertices, faces = [], []
    for line in text.replace("\\\n", " ").splitlines():
        kind, *words = line.split("#")[0].split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in words[:3]])
        elif kind == "f":
            numbers = [int(word.split("/")[0]) for word in words]
            faces.append([k - 1 if k > 0 else len(vertices) + k for k in numbers])
    return np.array(vertices).reshape(-1, 3), faces
