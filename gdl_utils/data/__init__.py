"""Small real data that needs no download."""

from gdl_utils.data.digits import centred, digits

__all__ = ["centred", "digits"]
