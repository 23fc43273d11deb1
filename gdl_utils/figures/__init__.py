"""One look for the whole book: colours by role, diagrams and charts that chapters share, the player."""

from gdl_utils.figures.diagrams import (
    audit_chart,
    cayley_table,
    commuting_diagram,
    error_chart,
    part_by_part,
    show_hexagons,
    show_image,
)
from gdl_utils.figures.logos import information, logo
from gdl_utils.figures.molecules import molecule_marks
from gdl_utils.figures.player import Player, pixels, polygon, segment, text
from gdl_utils.figures.style import ROLES, use_book_style
from gdl_utils.figures.surfaces import show_surface, surface_marks
from gdl_utils.figures.tables import as_table
from gdl_utils.figures.weights import show_weights, weights_as_text

__all__ = [
    "ROLES",
    "Player",
    "as_table",
    "audit_chart",
    "cayley_table",
    "commuting_diagram",
    "error_chart",
    "information",
    "logo",
    "molecule_marks",
    "part_by_part",
    "pixels",
    "polygon",
    "segment",
    "show_hexagons",
    "show_image",
    "show_surface",
    "show_weights",
    "surface_marks",
    "text",
    "use_book_style",
    "weights_as_text",
]
