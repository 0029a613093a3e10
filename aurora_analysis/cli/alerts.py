"""Options and set-up of the alerts and exports of `watch`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aurora_analysis.cli import connections, options, output, state
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    from aurora_analysis.analysis import limits
    from aurora_analysis.cli.options import StoreOptions
    from aurora_analysis.live.alerts.alerting import Alerting
    from aurora_analysis.live.alerts.holds import Limit, LimitAt
    from aurora_analysis.live.status import PurgeStatus
    from aurora_analysis.live.watch import Watch

VARIABLE = "AURORA_ANALYSIS_NOTIFY"
"""Environment variable with one target, to keep a webhook's URL off the command line and out of settings files."""

WITHOUT_MODEL_S = 600.0
"""Limit if the store shows none [s]: an assumption, which every message states."""

LEARN_DAYS = 28
"""Number of the store's newest days from which limits are learned."""

PATIENCE_S = 10.0
"""Time for sending messages at the end of a watch [s]; the next watch sends the rest."""


@dataclass(frozen=True)
class AlertOptions:
    """Targets of alerts and figures, and the limits at which to alert."""

    notify: tuple[str, ...] = ()
    alert_after_s: float | None = None
    cooldown_s: float = 1800.0
    spool: Path | None = None
    prometheus: str = ""
    otlp: str = ""

    @property
    def targets(self) -> list[str]:
        """The targets of the options, then the one of the environment."""
        return [*self.notify, *filter(None, [os.environ.get(VARIABLE, "").strip()])]


OPTIONS = options.together(
    "alerts",
    AlertOptions,
    click.option(
        "--notify",
        multiple=True,
        metavar="TARGET",
        help="Alert when a holder outlasts its limit, and when it has ended: https://… posts JSON, slack:https://… posts Slack's form, "
        "arn:aws:sns:… publishes, file:PATH appends lines, exec:PROGRAM ARGUMENT… gets JSON on standard input, without a "
        f"shell. Repeat for several. A webhook's URL is a secret: pass it in {VARIABLE}.",
    ),
    click.option(
        "--alert-after",
        "alert_after_s",
        type=options.Duration(),
        show_default="the lower end of the store's own limit for a slowdown of 10 %; 10m if the store shows none",
        help="Alert when a holder has blocked cleanup for this long.",
    ),
    click.option(
        "--cooldown",
        "cooldown_s",
        type=options.Duration(),
        default="30m",
        show_default=True,
        help="Shortest time between two alerts about the same session.",
    ),
    click.option(
        "--spool",
        type=click.Path(path_type=Path),
        show_default="a folder of the cluster in STATE_DIRECTORY, XDG_STATE_HOME or ~/.local/state",
        help="Folder in which messages wait while a target is down.",
    ),
    click.option(
        "--prometheus",
        default="",
        metavar="HOST:PORT",
        help="Serve the metrics to Prometheus at this address, such as 127.0.0.1:9187.",
    ),
    click.option(
        "--otlp",
        default="",
        metavar="URL",
        help="Send the metrics to an OpenTelemetry collector over HTTP; needs aurora-analysis[otlp].",
    ),
)


Observe = Callable[[list[str], "PurgeStatus"], None]


@contextmanager
def observing(
    chosen: AlertOptions, store_options: StoreOptions, watching: Watch, cluster: str, show: Observe
) -> Iterator[tuple[Observe, list[str]]]:
    """Alert and export while the block runs.

    Yields
    ------
    tuple of callable and list of str
        The callback for each sample, which calls `show`; and problems at the end, filled when the block is left.
    """
    from aurora_analysis.live import exported

    problems: list[str] = []
    latest = exported.Snapshot(cluster)
    with ExitStack() as stack:
        alerting = _alerting(chosen, store_options, cluster) if chosen.targets else None
        if alerting:
            stack.callback(lambda: problems.extend(filter(None, [alerting.outbox.close(PATIENCE_S)])))
        if chosen.prometheus:
            stack.callback(exported.serve(chosen.prometheus, lambda: latest))
        if chosen.otlp:
            stack.callback(exported.push(chosen.otlp, lambda: latest))

        def observe(events: list[str], status: PurgeStatus) -> None:
            nonlocal latest
            sample = watching.samples[-1]
            for line in alerting.observe(status, sample) if alerting else ():
                watching.record_event(None, "alert", line)
            latest = latest.after(status, sample, **_counts(alerting))
            show([*events, *watching.new_events()], status)

        yield observe, problems


def _counts(alerting: Alerting | None) -> dict[str, int]:
    if alerting is None:
        return {}
    return {
        "alerts": alerting.alerts,
        "open_alerts": alerting.open,
        "waiting": alerting.outbox.waiting,
    }


def _alerting(chosen: AlertOptions, store_options: StoreOptions, cluster: str) -> Alerting:
    from aurora_analysis.live.alerts import targets
    from aurora_analysis.live.alerts.alerting import Alerting, Rules
    from aurora_analysis.live.alerts.outbox import Outbox

    parsed = [targets.parse(one, connections.sns_client) for one in chosen.targets]
    outbox = Outbox(chosen.spool or state.folder("alerts", cluster), parsed)
    limit_at = _limit_at(chosen, store_options, cluster)
    return Alerting(cluster, Rules(limit_at, chosen.cooldown_s), outbox)


def _limit_at(chosen: AlertOptions, store_options: StoreOptions, cluster: str) -> LimitAt:
    """Return limits from the option, else from the store, else a fixed time; print which one on standard error."""
    from aurora_analysis.live.alerts.holds import Limit

    if chosen.alert_after_s is not None:
        limit = Limit(chosen.alert_after_s, "as --alert-after sets it")
        return lambda _: limit
    output.notes()(f"Learning the limits of {cluster} from the store.")
    answer, reason = _learned(store_options, cluster)
    if answer is None or answer.holds.empty:
        limit = Limit(WITHOUT_MODEL_S, f"a plain default, because {reason}")
        output.echo(
            f"aurora-analysis: alerts after {WITHOUT_MODEL_S / 60:g} min, because {reason}. Set it with --alert-after.",
            err=True,
        )
        return lambda _: limit
    return lambda since: _limit(answer, since)


def _limit(answer: limits.Answer, since: float) -> Limit:
    """Return the limit of a hold that began at a time: the lower end of the prediction interval for the slowdown."""
    from aurora_analysis.analysis import limits
    from aurora_analysis.live.alerts.holds import Limit, Slowdown

    found = limits.at_time(answer, datetime.fromtimestamp(since, UTC))
    if found is None:
        return Limit(WITHOUT_MODEL_S, "a plain default, because the store shows no limit for this hour")
    low_end = "the earliest time at which the writer may be"
    if found.low_minutes > found.most_minutes:
        low_end = "twice the longest recorded hold, beyond which nothing is known of the writer being"
    basis = f"{low_end} {found.objective_pct:g} % slower, learned from {found.holds} recorded holds"
    times = (60 * one for one in (found.minutes, found.low_minutes, found.high_minutes))
    return Limit(60 * found.alert_after_min, basis, Slowdown(found.objective_pct, *times))


def _learned(store_options: StoreOptions, cluster: str) -> tuple[limits.Answer | None, str]:
    """Return the limits that the store shows, or the reason why it shows none, as the second half of a sentence."""
    from aurora_analysis import observe
    from aurora_analysis.analysis import limits
    from aurora_analysis.store import Store
    from aurora_analysis.window import Window

    store = Store(store_options.to_write())
    try:
        whole = store.span(cluster)
        window = Window(max(whole.start, whole.end - timedelta(days=LEARN_DAYS)), whole.end)
        answer = limits.answer(observe(store, window, cluster), store_options.config().groups)
    except Error as problem:
        reason = str(problem).split(":")[0].rstrip(".")
        return None, f"the store shows no limit ({reason[:1].lower()}{reason[1:]})"
    except Exception as problem:  # whatever an analysis fails with, the servers must be watched
        return None, f"the limit could not be learned from the store ({type(problem).__name__})"
    return answer, answer.reason
