"""The rollout as a pure state machine: from a state and an event to the next state and what to do there.

Where the design has one road this has the same one, and two side roads. RECOVERING: a rollout that died is settled before a new
one begins. SUSPENDED: left halfway on purpose, for the next run, which finishes or goes back. Nothing leads out of going back
but its end, and no state is entered twice, so every rollout ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    PREFLIGHT = "preflight"
    LOCKED = "locked"
    RECOVERING = "recovering"
    SNAPSHOT = "snapshot"
    BACKUP = "backup"
    STAGING = "staging"
    VERIFYING = "verifying"
    SWITCHING = "switching"
    BAKING = "baking"
    DRAINING = "draining"
    SUCCEEDED = "succeeded"
    ROLLING_BACK = "rolling-back"
    ROLLED_BACK = "rolled-back"
    ROLLBACK_FAILED = "rollback-failed"
    SUSPENDED = "suspended"
    FAILED = "failed"


class Event(StrEnum):
    """`done`: every action of the state was. `unchanged`: what is wanted serves already. `leftover`: a rollout died before us;
    `switched`: it was this very one, and what is wanted was started. `failed`, `interrupted`: as they say."""

    DONE = "done"
    UNCHANGED = "unchanged"
    LEFTOVER = "leftover"
    SWITCHED = "switched"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Action(StrEnum):
    CHECK = "check"
    FETCH = "fetch"
    COMPARE = "compare"
    LOCK = "lock"
    OBSERVE = "observe"
    SETTLE = "settle"
    SNAPSHOT = "snapshot"
    STAGE = "stage"
    VERIFY = "verify"
    SWITCH = "switch"
    PROBE = "probe"
    FINISH = "finish"
    COLLECT = "collect"
    RESTORE = "restore"
    PROBE_PREVIOUS = "probe-previous"
    UNDO = "undo"


@dataclass(frozen=True, slots=True)
class Move:
    state: State
    actions: tuple[Action, ...] = ()


START = Move(State.PREFLIGHT, (Action.CHECK, Action.FETCH, Action.COMPARE))
FINAL = frozenset({State.SUCCEEDED, State.ROLLED_BACK, State.ROLLBACK_FAILED, State.SUSPENDED, State.FAILED})
# Here a cancel is a reason to stop; elsewhere the rollout carries on to its end.
INTERRUPTIBLE = frozenset(
    {State.PREFLIGHT, State.LOCKED, State.SNAPSHOT, State.BACKUP, State.STAGING, State.VERIFYING, State.SWITCHING, State.BAKING}
)

_LOCKED = Move(State.LOCKED, (Action.LOCK, Action.OBSERVE))
_RECOVERING = Move(State.RECOVERING, (Action.SETTLE, Action.COMPARE))
_SNAPSHOT = Move(State.SNAPSHOT, (Action.SNAPSHOT,))
_BACKUP = Move(State.BACKUP)
_STAGING = Move(State.STAGING, (Action.STAGE,))
_VERIFYING = Move(State.VERIFYING, (Action.VERIFY,))
_SWITCHING = Move(State.SWITCHING, (Action.SWITCH,))
_BAKING = Move(State.BAKING, (Action.PROBE,))
_DRAINING = Move(State.DRAINING, (Action.FINISH,))
_SUCCEEDED = Move(State.SUCCEEDED)
_ROLLING_BACK = Move(State.ROLLING_BACK, (Action.COLLECT, Action.RESTORE, Action.PROBE_PREVIOUS))
_ROLLED_BACK = Move(State.ROLLED_BACK)
_ROLLBACK_FAILED = Move(State.ROLLBACK_FAILED)
_SUSPENDED = Move(State.SUSPENDED)
_FAILED = Move(State.FAILED)
_UNDONE = Move(State.FAILED, (Action.UNDO,))

TABLE: dict[State, dict[Event, Move]] = {
    State.PREFLIGHT: {Event.DONE: _LOCKED, Event.UNCHANGED: _SUCCEEDED, Event.FAILED: _FAILED, Event.INTERRUPTED: _FAILED},
    State.LOCKED: {
        Event.DONE: _SNAPSHOT,
        Event.UNCHANGED: _SUCCEEDED,
        Event.LEFTOVER: _RECOVERING,
        Event.SWITCHED: _BAKING,
        Event.FAILED: _FAILED,
        Event.INTERRUPTED: _FAILED,
    },
    State.RECOVERING: {
        Event.DONE: _SNAPSHOT,
        Event.UNCHANGED: _SUCCEEDED,
        Event.FAILED: _ROLLBACK_FAILED,
        Event.INTERRUPTED: _FAILED,
    },
    State.SNAPSHOT: {Event.DONE: _BACKUP, Event.FAILED: _FAILED, Event.INTERRUPTED: _FAILED},
    State.BACKUP: {Event.DONE: _STAGING, Event.FAILED: _FAILED, Event.INTERRUPTED: _FAILED},
    State.STAGING: {Event.DONE: _VERIFYING, Event.FAILED: _UNDONE, Event.INTERRUPTED: _UNDONE},
    State.VERIFYING: {Event.DONE: _SWITCHING, Event.FAILED: _UNDONE, Event.INTERRUPTED: _UNDONE},
    # A signal comes before the switch, or waits for its end: half a switch is nowhere to stop.
    State.SWITCHING: {Event.DONE: _BAKING, Event.FAILED: _ROLLING_BACK, Event.INTERRUPTED: _UNDONE},
    State.BAKING: {Event.DONE: _DRAINING, Event.FAILED: _ROLLING_BACK, Event.INTERRUPTED: _ROLLING_BACK},
    State.DRAINING: {Event.DONE: _SUCCEEDED, Event.FAILED: _SUSPENDED},
    State.ROLLING_BACK: {Event.DONE: _ROLLED_BACK, Event.FAILED: _ROLLBACK_FAILED, Event.INTERRUPTED: _SUSPENDED},
}


def step(state: State, event: Event) -> Move:
    """The next move. A final state has none, and not every event can come in every state: `KeyError` is a bug of the caller."""
    return TABLE[state][event]
