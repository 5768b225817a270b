"""Runs a rollout: asks the engine what comes next, has the backend do it, and owns clock, lock, probes, journal and cancel."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.core import text
from pipeline.core.cancel import Cancel
from pipeline.core.handoff import HandOff
from pipeline.errors import CancelledError, PipelineError, ToolError
from pipeline.rollout import lease, probes
from pipeline.rollout.backend import Backend, Seen
from pipeline.rollout.engine import FINAL, INTERRUPTIBLE, START, Action, Event, Move, State, step
from pipeline.rollout.journal import Journal

INTERRUPT_BUDGET = 5.0
INTERRUPT_GRACE = 2.0
GLANCE_SECONDS = 10.0
LOCK_MARGIN = 300.0
LOCK_POLL_SECONDS = 1.0

_EVENTS = {Seen.SETTLED: Event.DONE, Seen.LEFTOVER: Event.LEFTOVER, Seen.SWITCHED: Event.SWITCHED}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a rollout ended: its final state, and what did not let it succeed.

    `sick`: what was wrong with the new version. `error`: what else stopped us. `back`: why going back failed. `interrupted`: the
    signal's number, or 0. `previous`, `served`: what was there before, and whether it ran. `log`: the new version's last lines,
    printable. `seconds`: how long it took.
    """

    state: State
    unchanged: bool
    sick: str
    error: PipelineError | None
    back: PipelineError | None
    interrupted: int
    previous: str
    served: bool
    by_hand: str
    log: tuple[str, ...]
    seconds: float


def roll_out(handoff: HandOff, backend: Backend, journal: Journal, cancel: Cancel, say: Callable[[str], None]) -> Ended:
    """Roll out to the end, whatever it is: nothing is raised for a rollout that fails. `say` gets printable lines for people."""
    return _Rollout(handoff, backend, journal, cancel, say).run()


class _Rollout:
    def __init__(self, handoff: HandOff, backend: Backend, journal: Journal, cancel: Cancel, say: Callable[[str], None]) -> None:
        self.handoff, self.backend, self.journal, self.cancel, self.say = handoff, backend, journal, cancel, say
        self.holder = lease.identity()
        self.locked = False
        self.interrupted = 0
        self.sick = ""
        self.error: PipelineError | None = None
        self.back: PipelineError | None = None
        self.log: tuple[str, ...] = ()

    def run(self) -> Ended:
        started, move, event = time.monotonic(), START, Event.DONE
        try:
            while move.state not in FINAL:
                event = self._perform(move)
                move = step(move.state, event)
            self._perform(move)
        finally:
            self._unlock()
        return Ended(
            state=move.state,
            unchanged=event == Event.UNCHANGED,
            sick=self.sick,
            error=self.error,
            back=self.back,
            interrupted=self.interrupted,
            previous=self.backend.previous,
            served=self.backend.served,
            by_hand=self.backend.by_hand(),
            log=self.log,
            seconds=round(time.monotonic() - started, 3),
        )

    def _perform(self, move: Move) -> Event:
        """Every action of a state in turn, until one ends in another event than `done`."""
        for action in move.actions:
            if self.cancel.requested and move.state in INTERRUPTIBLE:
                return self._interrupt()
            self.journal.intent(move.state, action)
            event, detail = self._attempt(move.state, action)
            self.journal.result(move.state, action, event, detail)
            if event != Event.DONE:
                return event
        return Event.DONE

    def _attempt(self, state: State, action: Action) -> tuple[Event, str]:
        try:
            return self._act(action) or Event.DONE, self.sick
        except CancelledError:
            return self._interrupt(), ""
        except PipelineError as error:
            if state in {State.RECOVERING, State.ROLLING_BACK}:
                self.back = error
            else:
                self.error = self.error or error
            return Event.FAILED, str(error)

    def _interrupt(self) -> Event:
        self.interrupted = self.cancel.signal_number
        return Event.INTERRUPTED

    def _act(self, action: Action) -> Event | None:  # noqa: PLR0912 - a table of actions, one call each
        """Do it. None is `done`."""
        backend = self.backend
        match action:
            case Action.CHECK:
                probes.check(self.handoff.probe)
                backend.check()
            case Action.FETCH:
                backend.fetch(self.cancel)
            case Action.COMPARE:
                return self._compare()
            case Action.LOCK:
                self._lock()
            case Action.OBSERVE:
                return self._observe()
            case Action.SETTLE | Action.UNDO:
                backend.settle()
            case Action.SNAPSHOT:
                backend.snapshot()
            case Action.STAGE:
                backend.stage()
            case Action.VERIFY:
                backend.verify()
            case Action.SWITCH:
                return self._switch()
            case Action.PROBE:
                return self._probe()
            case Action.FINISH:
                backend.finish()
            case Action.COLLECT:
                self._collect()
            case Action.RESTORE:
                backend.settle(INTERRUPT_GRACE if self.interrupted else None)
            case Action.PROBE_PREVIOUS:
                return self._probe_previous()
        return None

    def _compare(self) -> Event | None:
        """Whether what is wanted serves already. One good answer is enough: it was found good when it was rolled out.

        While somebody holds the lock, or died with it, what is seen may not last: then it is seen again with the lock in hand.
        """
        if self.backend.observe() != Seen.WANTED or (not self.locked and self.backend.locked()):
            return None
        seconds = min(GLANCE_SECONDS, self.handoff.probe.timeout)
        wrong = probes.until_healthy(self.handoff.probe, self.backend, self.cancel, successes=1, timeout=seconds)
        if not wrong:
            return Event.UNCHANGED
        self.say(f"the wanted version runs, but is not healthy, and is replaced: {wrong}")
        return None

    def _lock(self) -> None:
        """Take the lock, waiting for who has it. A holder that is certainly dead, or over its time, is not waited for."""
        seconds = 2 * (self.handoff.probe.timeout + self.backend.grace) + LOCK_MARGIN
        deadline, told = time.monotonic() + 2 * seconds, False
        while (held := self.backend.lock(self.holder, seconds)) is not None:
            self.cancel.check()
            if lease.gone(held.holder) or held.left <= 0:
                self.backend.break_lock(held)
                continue
            if time.monotonic() > deadline:
                raise ToolError("other rollouts hold the lock all the time", mend="let them end, then deploy again")
            if not told:
                self.say(f"another rollout is at work here; waiting for it, at most {held.left:.0f} s")
                told = True
            self.cancel.wait(LOCK_POLL_SECONDS)
        self.locked = True

    def _unlock(self) -> None:
        if self.locked:
            with contextlib.suppress(ToolError):
                self.backend.unlock(self.holder)

    def _observe(self) -> Event | None:
        seen = self.backend.observe()
        if seen == Seen.WANTED:
            return self._compare()
        if seen == Seen.LEFTOVER:
            self.say("an earlier rollout died halfway here; what it left is settled first")
        elif seen == Seen.SWITCHED:
            self.say("this rollout died after the switch; going on from there")
        return _EVENTS[seen]

    def _switch(self) -> Event | None:
        self.say(f"replacing {text.line(self.backend.previous, 300)}" if self.backend.previous else "starting the first one")
        self.sick = self.backend.switch()
        return Event.FAILED if self.sick else None

    def _probe(self) -> Event | None:
        probe = self.handoff.probe
        self.sick = probes.until_healthy(probe, self.backend, self.cancel, successes=probe.successes, timeout=probe.timeout)
        return Event.FAILED if self.sick else None

    def _collect(self) -> None:
        """The evidence goes with the container, so it is taken first; what cannot be had does not keep us from going back."""
        self.say(f"going back: {self.sick or (self.error.what if self.error else 'interrupted')}")
        with contextlib.suppress(ToolError):
            self.log = tuple(text.line(one, 500) for one in self.backend.log_lines())

    def _probe_previous(self) -> Event | None:
        """What serves again is held to the same probe; after a signal only as long as the budget lasts."""
        if not self.backend.served:
            return None
        probe = self.handoff.probe
        successes, seconds = (1, min(INTERRUPT_BUDGET, probe.timeout)) if self.interrupted else (probe.successes, probe.timeout)
        wrong = probes.until_healthy(probe, self.backend, Cancel(), successes=successes, timeout=seconds)
        if not wrong:
            return None
        self.back = ToolError(f"the previous version was started again, and is not healthy: {wrong}")
        return Event.INTERRUPTED if self.interrupted else Event.FAILED
