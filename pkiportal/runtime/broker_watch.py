"""Reconnects a worker to the broker when it is idle but takes no tasks.

When the broker dies while every process of a worker is busy, the acknowledgments of their tasks
fail. Celery logs that and goes on, but still counts those tasks as unacknowledged: it asks for no
others, and as it asks for nothing, it never notices that its connection is dead. Without this step
the worker would wait until an operator restarts it.
"""

from typing import Any, Final

from celery import bootsteps
from celery.worker import state
from celery.worker.consumer.tasks import Tasks

#: Seconds between two checks. Two in a row must find the worker stuck: a task may just be arriving
#: or leaving.
EVERY: Final = 5.0


class BrokerWatch(bootsteps.StartStopStep):
    """Checks regularly, and reports a stuck worker to Celery as a lost connection.

    Celery can repair a lost connection.
    """

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        self._timer: Any = None
        self._was_stuck = False
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        """Start with a fresh connection."""
        self._was_stuck = False
        self._timer = consumer.timer.call_repeatedly(EVERY, self.look, (consumer,))

    def stop(self, consumer: Any) -> None:
        """Stop before the connection is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self, consumer: Any) -> None:
        """Raise ConnectionError when the worker was stuck twice in a row."""
        is_stuck = (
            not state.reserved_requests and not consumer.task_consumer.channel.qos.can_consume()
        )
        if is_stuck and self._was_stuck:
            self._was_stuck = False
            raise ConnectionError("acknowledgments were lost with the broker: connecting again")
        self._was_stuck = is_stuck
