"""What a waiver covers."""

from __future__ import annotations

from datetime import date

import pytest

from pipeline.core.waiver import Waiver

DAY = date(2027, 1, 1)


@pytest.mark.parametrize(
    ("waiver", "covers"),
    [
        (Waiver("CVE-1", "r", "o", DAY), True),
        (Waiver("CVE-2", "r", "o", DAY), False),
        (Waiver("cve-1", "r", "o", DAY), False),
        (Waiver("CVE-1", "r", "o", DAY, package="openssl"), True),
        (Waiver("CVE-1", "r", "o", DAY, package="open*"), False),
        (Waiver("CVE-1", "r", "o", DAY, path="/usr/lib/*"), True),
        (Waiver("CVE-1", "r", "o", DAY, path="/usr"), False),
        (Waiver("CVE-1", "r", "o", DAY, package="openssl", path="/opt/*"), False),
    ],
)
def test_every_part_that_is_given_must_match(waiver: Waiver, covers: bool) -> None:
    assert waiver.matches("CVE-1", "openssl", "/usr/lib/libssl.so") is covers


def test_a_package_is_not_waived_where_none_is_named() -> None:
    assert not Waiver("CVE-1", "r", "o", DAY, package="openssl").matches("CVE-1", "", "/usr/lib/libssl.so")
