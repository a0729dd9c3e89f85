"""What an exchange with another machine may end in."""


class NoAnswer(Exception):
    """The other machine could not be asked, or its answer is unusable.

    The text names the fault; it holds no secret and no body.
    """
