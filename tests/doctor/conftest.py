"""A healthy GPU host for each test."""

import pytest

from tests.helpers.machine import Machine


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)
