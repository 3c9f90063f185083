"""The exceptions that a user is meant to read: each message is one line, and names the remedy.

Command lines print the message alone, without a traceback, and exit with `EXIT_STATUS`.
"""

import signal


class InputError(ValueError):
    """Bad input: the message names the file, the value and the remedy. Exit status 2."""


class TrainingError(RuntimeError):
    """Training cannot go on, for example a loss that is not finite. Exit status 3."""


class Stopped(Exception):
    """SIGTERM or Ctrl-C: the state was saved. Exit status 143."""


EXIT_STATUS = {InputError: 2, TrainingError: 3, Stopped: 128 + signal.SIGTERM}
