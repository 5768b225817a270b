"""A waiver: a finding that someone owns, for a reason, until a day."""

from __future__ import annotations

from datetime import date
from fnmatch import fnmatchcase

import msgspec


class Waiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`package` and `path` narrow it; empty means any. `expires` is the last day on which it holds."""

    id: str
    reason: str
    owner: str
    expires: date
    package: str = ""
    path: str = ""

    def matches(self, rule: str, package: str, where: str) -> bool:
        return self.id == rule and (not self.package or self.package == package) and (not self.path or fnmatchcase(where, self.path))
