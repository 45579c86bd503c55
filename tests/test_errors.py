"""What messages of errors are made of."""

from __future__ import annotations

from benchmark.errors import some


def test_a_message_names_the_first_few_and_counts_the_rest() -> None:
    assert some(iter("abcde")) == "a, b, c and 2 more"
    assert some(["a is missing", "b, c are left over"], most=1, between="; ") == "a is missing and 1 more"
    assert some([1, 2, 3]) == "1, 2, 3" and some([]) == ""
