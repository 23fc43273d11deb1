"""Small graphs and point clouds that need no download: a karate club, graphs that look alike, and pieces of four cubes."""

import networkx as nx
import torch


def karate_club() -> tuple[torch.Tensor, torch.Tensor]:
    """Return who met whom outside a karate club, and on which side each of the 34 members was when it split.

    Returns
    -------
    edge_index : int64 tensor of shape (2, 156)
        78 friendships, each both ways.
    labels : int64 tensor of shape (34,)
        0 for those who stayed with the teacher (member 0), 1 for those who went with the officer (member 33).

    Notes
    -----
    Zachary (1977), "An information flow model for conflict and fission in small groups", as networkx includes it.

    Examples
    --------
    >>> edge_index, labels = karate_club()
    >>> labels.bincount()
    tensor([17, 17])
    """
    club = nx.karate_club_graph()
    sides = [club.nodes[i]["club"] == "Officer" for i in range(len(club))]
    return _edge_index(club), torch.tensor(sides, dtype=torch.int64)


def look_alikes() -> dict[str, tuple[torch.Tensor, torch.Tensor, int]]:
    """Return pairs of graphs that are not the same, and that colour refinement (1-WL) cannot tell apart.

    Returns
    -------
    dict of str to (edge_index, edge_index, n)
        Two graphs of n nodes each: a hexagon and two triangles; two hexagons that share an edge and two pentagons joined by one
        (the bonds of decalin and bicyclopentyl); a cycle of ten with chords, and another; and the two strongly regular graphs of
        16 nodes with 6 neighbours each, the rook's graph and Shrikhande's, at which even pairs of nodes all look alike.

    Examples
    --------
    >>> {name: n for name, (_, _, n) in look_alikes().items()}
    {'hexagon, two triangles': 6, 'decalin, bicyclopentyl': 10, 'two rings with chords': 10, 'rook, Shrikhande': 16}
    """
    decalin = [*zip(range(10), [*range(1, 10), 0], strict=True), (0, 5)]
    pentagon = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]
    bicyclopentyl = [*pentagon, *((a + 5, b + 5) for a, b in pentagon), (0, 5)]
    steps = [(0, 1), (1, 0), (1, 1)]  # to three of six neighbours on a torus of 4 × 4
    torus = [
        (4 * i + j, 4 * ((i + a) % 4) + (j + b) % 4) for i in range(4) for j in range(4) for a, b in steps
    ]
    pairs = {
        "hexagon, two triangles": (nx.cycle_graph(6), nx.disjoint_union(*2 * [nx.cycle_graph(3)])),
        "decalin, bicyclopentyl": (nx.Graph(decalin), nx.Graph(bicyclopentyl)),
        "two rings with chords": (nx.circulant_graph(10, [1, 2]), nx.circulant_graph(10, [1, 4])),
        "rook, Shrikhande": (
            nx.convert_node_labels_to_integers(nx.line_graph(nx.complete_bipartite_graph(4, 4))),
            nx.Graph(torus),
        ),
    }
    return {name: (_edge_index(a), _edge_index(b), len(a)) for name, (a, b) in pairs.items()}


def tetracubes() -> tuple[torch.Tensor, list[str]]:
    """Return the eight pieces that can be made of four unit cubes, as the cubes' centres.

    Returns
    -------
    points : float64 tensor of shape (8, 4, 3)
        Centres of the cubes; those of each piece have their mean in the origin.
    names : list of str
        The last two are mirror images of each other, and no turn makes one the other.

    Examples
    --------
    >>> points, names = tetracubes()
    >>> names
    ['I', 'O', 'L', 'T', 'S', 'tripod', 'right screw', 'left screw']
    """
    pieces = {
        "I": [(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0)],
        "O": [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)],
        "L": [(0, 0, 0), (1, 0, 0), (2, 0, 0), (2, 1, 0)],
        "T": [(0, 0, 0), (1, 0, 0), (2, 0, 0), (1, 1, 0)],
        "S": [(0, 0, 0), (1, 0, 0), (1, 1, 0), (2, 1, 0)],
        "tripod": [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)],
        "right screw": [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)],
        "left screw": [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, -1)],
    }
    points = torch.tensor(list(pieces.values()), dtype=torch.float64)
    return points - points.mean(1, keepdim=True), list(pieces)


def _edge_index(graph: nx.Graph) -> torch.Tensor:
    """List each edge both ways, by number of the node that it leads to."""
    both = sorted((b, a) for edge in graph.edges for a, b in (edge, edge[::-1]))
    return torch.tensor(both, dtype=torch.int64).T.flip(0).contiguous()
