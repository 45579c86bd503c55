"""How the size of a file is told."""

from __future__ import annotations

import pytest

from metrics.sizes import size_told


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (52_429, "51.2 KiB"),
        (2**20, "1.0 MiB"),
        (3_000_000, "2.9 MiB"),
        (5 * 2**30, "5.0 GiB"),
    ],
)
def test_no_size_is_told_as_none_of_a_unit(count: int, told: str) -> None:
    assert size_told(count) == told
