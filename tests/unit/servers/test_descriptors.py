from __future__ import annotations

import pytest

from flexipy.servers.descriptors import connection_limits


@pytest.mark.parametrize(
    ("wanted", "descriptors", "expected"),
    [
        (10_000, 1_048_576, (10_000, 4096)),
        (10_000, 20_000, (10_000, 4096)),
        (10_000, -1, (10_000, 4096)),
        (100, 4096, (100, 960)),
        (10_000, 1024, (576, 192)),
        (10_000, 100, (48, 16)),
    ],
)
def test_connections_fit_into_the_descriptors(wanted: int, descriptors: int, expected: tuple[int, int]) -> None:
    assert connection_limits(wanted, descriptors) == expected
