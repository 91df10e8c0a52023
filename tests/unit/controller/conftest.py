"""The simulated switches that most tests of the controller's decisions use."""

from __future__ import annotations

import pytest

from tests.support.flowtable import Fabric, one_switch, tree_of_three


@pytest.fixture
def one() -> Fabric:
    return one_switch()


@pytest.fixture
def tree() -> Fabric:
    return tree_of_three()
