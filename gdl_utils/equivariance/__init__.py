"""Measure equivariance: does it matter whether the group acts before a function or after it?

For one element of a group (``equivariance_error``), for all of them (``equivariance_errors``, ``assert_equivariant``), or after
every layer of a model (``audit``). For the smallest turn of all, layer by layer (``lie_derivatives``). And of data: does it show that
they were moved (``two_sample_test``)?
"""

from gdl_utils.equivariance.audit import Audit, audit
from gdl_utils.equivariance.lie import LieDerivatives, lie_derivatives
from gdl_utils.equivariance.measure import (
    assert_equivariant,
    equivariance_error,
    equivariance_errors,
    relative_error,
)
from gdl_utils.equivariance.two_sample import TwoSampleTest, two_sample_test

__all__ = [
    "Audit",
    "LieDerivatives",
    "TwoSampleTest",
    "assert_equivariant",
    "audit",
    "equivariance_error",
    "equivariance_errors",
    "lie_derivatives",
    "relative_error",
    "two_sample_test",
]
