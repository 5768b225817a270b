"""The state machine: every road ends, and none leads out of going back but its end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.rollout.engine import FINAL, INTERRUPTIBLE, START, TABLE, Action, Event, Move, State, step


def reach(state: State) -> set[State]:
    """Every state that can come after `state`."""
    after = {move.state for move in TABLE.get(state, {}).values()}
    return after.union(*map(reach, after)) if after else after


def test_the_straight_road_is_the_designs() -> None:
    road, move = [START.state], START
    while move.state not in FINAL:
        move = step(move.state, Event.DONE)
        road.append(move.state)
    names = "preflight locked snapshot backup staging verifying switching baking draining succeeded"
    assert [str(one) for one in road] == names.split()


def test_only_final_states_have_no_way_on() -> None:
    assert set(State) - set(TABLE) == FINAL
    assert {START.state, *reach(START.state)} == set(State)


@given(st.sampled_from(sorted(TABLE)), st.lists(st.integers(0, 5), min_size=len(State), max_size=len(State)))
def test_every_path_from_every_state_ends(state: State, choices: list[int]) -> None:
    seen = {state}
    for choice in choices:
        if state in FINAL:
            return
        events = sorted(TABLE[state])
        state = step(state, events[choice % len(events)]).state
        assert state not in seen
        seen.add(state)
    assert state in FINAL


def test_a_rollback_is_never_itself_rolled_back() -> None:
    assert reach(State.ROLLING_BACK) == {State.ROLLED_BACK, State.ROLLBACK_FAILED, State.SUSPENDED}


def test_what_was_found_good_is_never_taken_back() -> None:
    assert State.ROLLING_BACK not in reach(State.DRAINING)


def test_failed_means_the_old_version_was_not_touched() -> None:
    touched = {State.SWITCHING: {Event.FAILED}, State.BAKING: set(Event), State.DRAINING: set(Event), State.ROLLING_BACK: set(Event)}
    for state, events in TABLE.items():
        for event, move in events.items():
            assert move.state != State.FAILED or event not in touched.get(state, set())


def test_every_state_knows_what_to_do_when_its_actions_fail() -> None:
    assert all(Event.FAILED in events for events in TABLE.values())


def test_every_interruptible_state_knows_what_an_interrupt_means() -> None:
    assert all(Event.INTERRUPTED in TABLE[state] for state in INTERRUPTIBLE)
    assert Event.INTERRUPTED not in TABLE[State.DRAINING]


def test_only_the_switch_and_what_follows_touch_what_serves() -> None:
    moves = [START, *(move for events in TABLE.values() for move in events.values())]
    places = {action: {move.state for move in moves if action in move.actions} for action in Action}
    assert places[Action.SWITCH] == {State.SWITCHING}
    assert places[Action.FINISH] == {State.DRAINING}
    assert places[Action.RESTORE] == {State.ROLLING_BACK}
    assert all(places.values())


def test_what_was_staged_is_undone() -> None:
    for state in (State.STAGING, State.VERIFYING):
        assert step(state, Event.FAILED) == step(state, Event.INTERRUPTED) == Move(State.FAILED, (Action.UNDO,))
