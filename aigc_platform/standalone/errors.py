"""What can go wrong around starting and stopping the stack."""


class StandaloneError(Exception):
    """The stack cannot start or go on; the message is one sentence for the person at the terminal."""
