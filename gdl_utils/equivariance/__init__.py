"""Measure equivariance: does it matter whether the group acts before a function or after it?

For one element of a group (``equivariance_error``), for all of them (``equivariance_errors``, ``assert_equivariant``), or after
every layer of a model (``audit``).
"""

from gdl_utils.equivariance.audit import Audit, audit
from gdl_utils.equivariance.measure import (
    assert_equivariant,
    equivariance_error,
    equivariance_errors,
    relative_error,
)

__all__ = [
    "Audit",
    "assert_equivariant",
    "audit",
    "equivariance_error",
    "equivariance_errors",
    "relative_error",
]
