"""Test set-up: one thread, so that floats are the same on every machine; seeded random signals."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def rng() -> torch.Generator:
    """A random generator with a fixed seed."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def seed():
    """Torch's own random numbers begin anew in each test."""
    torch.manual_seed(0)
