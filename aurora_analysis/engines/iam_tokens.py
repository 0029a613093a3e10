"""Log in to a server of either engine with IAM tokens instead of a password."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy


def sign_connections(
    engine: sqlalchemy.Engine, generate: Callable[..., str], port: int, **arguments: object
) -> None:
    """Log in with a fresh IAM token on each new connection; a token is valid for 15 minutes.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Must connect over TLS: the token travels as a clear-text password.
    generate : callable
        boto3's `generate_db_auth_token`, which signs locally and makes no request.
        https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.html
    port : int
        The engine's port, for an address without one.
    **arguments
        Further arguments of the driver.
    """

    def sign(dialect: Any, record: Any, positional: Any, parameters: dict[str, Any]) -> None:
        parameters["password"] = generate(
            DBHostname=parameters["host"], Port=parameters.get("port", port), DBUsername=parameters["user"]
        )
        parameters.update(arguments)

    sqlalchemy.event.listen(engine, "do_connect", sign)
