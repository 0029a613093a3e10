"""Are there storms of new connections, refused logins or idle transactions, and which client causes them?

Opening a connection costs the server a thread, a login and a handshake. A burst of them competes with statements for CPU, and
clients without a pool pay the price for each statement. A burst is judged by the instance's own ordinary minutes of that hour.

The modules: `attempts` finds storms, `causes` explains them, `clients` shows how each client uses its connections, `failover`
finds the custom endpoints that a failover would bring to the writer, `verdicts` judges each instance, and `answer` gathers the verdicts and their frames.
"""

from aurora_analysis.analysis.connections.answer import Answer, answer
from aurora_analysis.analysis.connections.attempts import StormRules, storms, with_ordinary
from aurora_analysis.analysis.connections.causes import kills, restarts, with_causes, with_clients
from aurora_analysis.analysis.connections.clients import habits, idle_transactions, uses
from aurora_analysis.analysis.connections.failover import endpoint_history, failover_verdicts
from aurora_analysis.analysis.connections.verdicts import (
    METRICS,
    Thresholds,
    idle_verdicts,
    kill_verdicts,
    verdicts,
)

__all__ = [
    "METRICS",
    "Answer",
    "StormRules",
    "Thresholds",
    "answer",
    "endpoint_history",
    "failover_verdicts",
    "habits",
    "idle_transactions",
    "idle_verdicts",
    "kill_verdicts",
    "kills",
    "restarts",
    "storms",
    "uses",
    "verdicts",
    "with_causes",
    "with_clients",
    "with_ordinary",
]
