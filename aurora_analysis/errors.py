"""Errors for the user: one line with the culprit, what was expected, and the next step."""


def first_line(problem: BaseException) -> str:
    """Return the first line of a problem's text, or its type if it has none."""
    return next(iter(str(problem).splitlines()), type(problem).__name__)


class Error(Exception):
    """An error that the user can fix; a command prints it as one line and exits with 2."""


class NotEnabled(Error):
    """A service is off on this instance, or a program is not installed on this machine."""


class Gone(Error):
    """A file of the store is missing: somebody deleted it, or `store compact` did while an earlier version was read."""


class Unfinished(Error):
    """Something outside did not hold, such as a permission; a command prints it as one line and exits with 1."""


class Lost(Unfinished):
    """Something that all further work needs does not answer: Dask's scheduler, or S3, which holds the store."""
