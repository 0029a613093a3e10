"""`review`: what a reader query that has not run yet would do to the writer."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aurora_analysis.cli import options, output, review_page
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    from aurora_analysis.cli.options import StoreOptions, WindowOptions
    from aurora_analysis.store import Store
    from aurora_analysis.window import Window

LONGEST_S = 7 * 86_400
"""Longest hold that is reviewed [s]: the week then begins again."""

LEARN_DAYS = 28
"""Default window: at most so many days, up to the newest data."""


class Objective(options.NumberType):
    """A slowdown such as 10, 10% or +10%; its value is in per cent."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the slowdown [%], or fail with a usage error."""
        if isinstance(value, float):
            return value
        try:
            percent = float(value.strip().removeprefix("+").removesuffix("%"))
        except ValueError:
            percent = 0.0
        if not 0 < percent <= 1000:
            self.fail(f"{value!r} is not a slowdown: write it as +10%, above 0 and at most 1000.", param, ctx)
        return percent


@dataclass(frozen=True)
class ReviewOptions:
    """The query, and how the answer is printed."""

    hold_s: float | None
    duration_s: float | None
    sql: Path | None
    at: str
    objective_pct: float
    form: str
    output: Path | None


@click.command(
    short_help="Predict what a planned reader query would do to the writer.",
    epilog=options.exit_codes(
        three="the whole prediction interval of the slowdown does not lie within --objective, or nothing can be predicted"
    ),
)
@options.cluster(required=True)
@options.STORE
@options.WINDOW
@options.together(
    "chosen",
    ReviewOptions,
    click.option("--hold", "hold_s", type=options.Duration(), help="How long the query holds its read view, as 40m or 6h."),
    click.option(
        "--duration",
        "duration_s",
        type=options.Duration(),
        help="How long the statement of --sql runs; it holds its view meanwhile [default: its longest logged run].",
    ),
    click.option(
        "--sql", type=click.Path(path_type=Path), help="File with the one SELECT under review; - reads standard input."
    ),
    click.option(
        "--at",
        default="",
        help="Start in --timezone, as 'Mon 09:00' [default: the hour of the week at which it does most harm].",
    ),
    click.option(
        "--objective",
        "objective_pct",
        type=Objective(),
        default="+10%",
        show_default=True,
        help="Slowdown of the writer's commits that is not to be exceeded.",
    ),
    click.option(
        "--format",
        "form",
        type=click.Choice(["md", "html", "json"]),
        default="md",
        show_default=True,
        help="md: Markdown; html: one self-contained page; json: one document.",
    ),
    click.option("--output", type=click.Path(path_type=Path), help="File for the page [default: standard output]."),
)  # fmt: skip
def review(cluster: str, store_options: StoreOptions, span: WindowOptions, chosen: ReviewOptions) -> None:
    """Predict what a planned reader query would do to the writer, and compare alternatives.

    The page has the history list reached, the slowdown meanwhile, the time to drain, the safest hours, and the same
    query in chunks, at READ COMMITTED, at another hour and on a clone, each with its 95 % prediction interval. It learns
    from the store: by default from the newest 28 days.
    """
    from aurora_analysis import observe
    from aurora_analysis.analysis import limits
    from aurora_analysis.analysis.limits import rates
    from aurora_analysis.printable import json_line
    from aurora_analysis.store import Store

    start = rates.minute_of_week(chosen.at) if chosen.at else None
    text = _text(chosen.sql)
    store = Store(store_options.to_read())
    window = _window(store, cluster, span)
    reviewed = statement(store, window, cluster, text) if text else None
    hold_s = _hold(chosen, reviewed)
    answer = limits.answer(
        observe(store, window, cluster),
        store_options.config().groups,
        limits.Options(span.timezone or "UTC", objective_pct=chosen.objective_pct),
    )
    found = limits.review(answer, limits.Request(hold_s / 60, start, chosen.objective_pct))
    timezone = span.timezone or "UTC"
    document = review_page.document(found, cluster, window, reviewed, timezone)
    made = {"json": json_line, "html": review_page.html, "md": review_page.markdown}[chosen.form](document)
    if chosen.output is None:
        output.echo(made)
    else:
        _write(chosen.output, made)
    sys.exit(0 if found.level == "within the objective" else 3)


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(f"{page}\n", encoding="utf-8")
    except OSError as problem:
        raise Error(f"{path} cannot be written: {problem.strerror}.") from None
    output.echo(path)


def _hold(chosen: ReviewOptions, reviewed: dict[str, Any] | None) -> float:
    """Length of the hold [s]."""
    if chosen.hold_s and (chosen.duration_s or chosen.sql):
        raise Error("Give either --hold, or --sql with --duration.")
    if chosen.duration_s and not chosen.sql:
        raise Error("--duration is that of the statement in --sql; without a statement, give --hold.")
    hold = chosen.hold_s or chosen.duration_s
    if hold is None and reviewed is None:
        raise Error("Give --hold, such as --hold 40m; or --sql with a file.")
    if hold is None and reviewed is not None:
        hold = reviewed["longest_s"]
        if not hold:
            raise Error(
                f"The store has no logged run of this statement (digest {reviewed['digest']}), so its duration is not "
                "known: give --duration, such as --duration 40m."
            )
    assert hold is not None
    if hold > LONGEST_S:
        raise Error(
            f"A hold of {hold / 86_400:.3g} days is longer than a week, which is the longest that is reviewed."
        )
    return hold


def _text(path: Path | None) -> str:
    """SQL of a file or of standard input; empty without one."""
    if path is None:
        return ""
    if str(path) == "-":
        from aurora_analysis.sources import log_files

        raw = log_files.stdin().read()
    else:
        try:
            raw = path.read_bytes()
        except OSError as problem:
            raise Error(f"{path} cannot be read: {problem.strerror}.") from None
    text = raw.decode("utf-8", "replace").strip()
    if not text:
        raise Error(f"{path} is empty: it must have the one SELECT under review.")
    return text


def _window(store: Store, cluster: str, span: WindowOptions) -> Window:
    """The window of the options, else the newest days of the cluster."""
    from datetime import timedelta

    from aurora_analysis.window import Window

    given = span.window()
    if given:
        return given
    whole = store.span(cluster)
    return Window(max(whole.start, whole.end - timedelta(days=LEARN_DAYS)), whole.end)


def statement(store: Store, window: Window, cluster: str, text: str) -> dict[str, Any]:
    """Digest and text of the SELECT, and its logged runs in the window.

    Raises
    ------
    Error
        If the text is not one SELECT.
    """
    from aurora_analysis import engines
    from aurora_analysis.engines.sql_mode import DEFAULT_MODE

    found_in = engines.module("mysql", "fingerprint")
    parts = [part for part in found_in.split(text, DEFAULT_MODE) if part.strip().strip(";").strip()]
    if len(parts) != 1:
        raise Error(f"--sql must have one statement, and it has {len(parts)}.")
    one = found_in.statement(parts[0], DEFAULT_MODE)
    verb = one.fingerprint.lstrip("( ").split(" ", 1)[0].lower()
    if verb not in ("select", "with", "table", "values"):
        raise Error(f"--sql has a statement that begins with {verb.upper()!r}: a reader runs only SELECT.")
    columns = ["digest", "query_time_s"]
    runs = store.read("slow_queries", window, cluster=cluster, columns=columns, where={"digest": one.digest})
    return {
        "digest": one.digest,
        "text": one.fingerprint,
        "runs": len(runs),
        "longest_s": float(runs["query_time_s"].max()) if len(runs) else None,
    }
