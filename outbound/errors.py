"""Errors of an exchange with another machine."""


class NoAnswer(Exception):
    """The other machine cannot be asked, or its answer is unusable.

    The text names the fault, without any secret or body.
    """
