"""What a rollout backend can do: it observes, plans and acts; it never sleeps, prints or decides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pipeline.core.cancel import Cancel


class Seen(StrEnum):
    """What stands at the target. `settled`: one version or none, nothing half done. `wanted`: settled, and it is the wanted one.
    `switched`: this rollout started the wanted one in place of the old one and died. `leftover`: anything else half done."""

    SETTLED = "settled"
    WANTED = "wanted"
    SWITCHED = "switched"
    LEFTOVER = "leftover"


@dataclass(frozen=True, slots=True)
class Lease:
    """A lock that somebody holds; `left`: the seconds until it may be taken over, by the target's clock."""

    id: str
    holder: str
    left: float


class Backend(Protocol):
    """Every method raises `ToolError` when the target fails or does not answer; each may be repeated at any time."""

    grace: float
    """Seconds that what serves now is given to stop."""
    previous: str
    """The image of what is to be replaced, for people; empty where there is nothing."""
    served: bool
    """Whether that ran before the switch, and so has to run again after going back."""

    def check(self) -> None:
        """Refuse, with `UsageError`, what cannot be rolled out; nothing is touched."""

    def fetch(self, cancel: Cancel) -> None:
        """Bring the image to the target; what serves is not touched."""

    def observe(self) -> Seen: ...

    def locked(self) -> bool:
        """Whether somebody holds the lock, or left it behind."""

    def lock(self, holder: str, seconds: float) -> Lease | None:
        """Take the target's lock for at most `seconds`, or say who has it."""

    def break_lock(self, lease: Lease) -> None:
        """Remove this very lease, and no later one."""

    def unlock(self, holder: str) -> None: ...

    def snapshot(self) -> None:
        """Read what serves now, and plan its successor. Raises `UsageError`."""

    def stage(self) -> None:
        """Make the successor ready beside what serves."""

    def verify(self) -> None:
        """What was staged is what is wanted."""

    def switch(self) -> str:
        """Put the successor in the old one's place; what is wrong with it when it cannot start, else empty."""

    def trouble(self) -> str:
        """Why the successor (or, without one, what serves) does not run; empty when it runs."""

    def begin(self, argv: tuple[str, ...]) -> str:
        """Start a program inside it; the handle for `ended`."""

    def ended(self, handle: str) -> int | None:
        """The program's exit code, None while it runs."""

    def finish(self) -> None:
        """The successor is good: it takes the old one's name, and the old one goes."""

    def log_lines(self) -> tuple[str, ...]:
        """The last lines the successor wrote, without known secrets, else raw."""

    def by_hand(self) -> str:
        """What a person can do when going back failed, as one sentence in the imperative."""

    def settle(self, grace: float | None = None) -> None:
        """End what is half done: a successor not found good goes and the old one serves as before, one found good stays."""
