"""What goes wrong, said in one line: the culprit, what was expected, the next step."""


class Error(Exception):
    """The user can do something about it; the command prints the line and exits with 2."""


class NotEnabled(Error):
    """A service is switched off, or a program is not installed, on this instance or machine."""
