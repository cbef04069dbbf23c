"""A wish to stop is heard, and granted only where nothing can be left half done."""

import os
import signal

import pytest

from ownroot.console.stopping import Stopping, StopWished


def wish(number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_step_is_finished_before_the_wish_is_granted(number: signal.Signals) -> None:
    done = []
    with Stopping.on_signals() as stopping:
        wish(number)
        done.append("this step")
        stopping.sleep(30)
        done.append("the next one")
    assert done == ["this step"]


def test_what_may_be_left_is_left_at_once() -> None:
    done = []
    with Stopping.on_signals() as stopping:
        with stopping.at_once():
            wish()
            done.append("what came after")
        done.append("the next step")
    assert done == []


def test_nothing_is_begun_after_the_wish() -> None:
    with Stopping.on_signals() as stopping:
        wish()
        with pytest.raises(StopWished), stopping.at_once():
            pytest.fail("it was begun")


def test_without_a_wish_everything_is_done_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Stopping.on_signals() as stopping:
        with stopping.at_once():
            pass
        stopping.sleep(0)
    assert signal.getsignal(signal.SIGTERM) is before
