"""A worker whose acknowledgments were lost asks for tasks again."""

from collections.abc import Callable
from types import SimpleNamespace
from unittest import mock

import pytest
from kombu import Connection
from kombu.transport.virtual import Channel

from pkiportal.celery import app
from pkiportal.runtime.broker_watch import EVERY, BrokerWatch


class Timer:
    """Remembers its callback."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def call_repeatedly(
        self, seconds: float, call: Callable[..., None], arguments: tuple[object, ...]
    ) -> mock.Mock:
        assert seconds == EVERY
        self.calls.append(lambda: call(*arguments))
        return mock.Mock()


@pytest.fixture
def channel() -> Channel:
    """A channel that hands out one message at a time."""
    channel = Connection("memory://").channel()
    assert isinstance(channel, Channel)
    channel.basic_qos(0, 1, False)
    return channel


def watching(channel: Channel) -> tuple[BrokerWatch, SimpleNamespace]:
    """A watch over a worker with this channel, started."""
    consumer = SimpleNamespace(
        timer=Timer(), task_consumer=SimpleNamespace(channel=channel), app=app
    )
    watch = BrokerWatch(consumer)
    watch.start(consumer)
    return watch, consumer


def test_a_worker_that_holds_only_messages_of_finished_tasks_connects_again(
    channel: Channel,
) -> None:
    _, consumer = watching(channel)
    channel.qos.append(mock.Mock(), "lost")
    (look,) = consumer.timer.calls
    look()
    with pytest.raises(ConnectionError, match="connecting again"):
        look()
    look()


def test_a_worker_that_is_busy_or_free_is_left_alone(channel: Channel) -> None:
    _, consumer = watching(channel)
    (look,) = consumer.timer.calls
    look()
    look()
    channel.qos.append(mock.Mock(), "in hand")
    with mock.patch("celery.worker.state.reserved_requests", {"a task"}):
        look()
        look()
    look()
    channel.qos.ack("in hand")
    look()
    look()


def test_it_ends_with_its_connection(channel: Channel) -> None:
    watch, consumer = watching(channel)
    timer = watch._timer
    watch.stop(consumer)
    watch.stop(consumer)
    timer.cancel.assert_called_once_with()


def test_every_worker_has_it() -> None:
    assert BrokerWatch in app.steps["consumer"]
