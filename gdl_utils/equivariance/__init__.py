"""Measure equivariance: does it matter whether the group acts before a function or after it?

For one function (``equivariance_error``, ``assert_equivariant``), for every element of a group (``respected``), or after every
layer of a model (``audit``).
"""

from gdl_utils.equivariance.audit import Audit, AuditRow, audit
from gdl_utils.equivariance.measure import BOUND, assert_equivariant, equivariance_error, respected

__all__ = ["BOUND", "Audit", "AuditRow", "assert_equivariant", "audit", "equivariance_error", "respected"]
