"""The archive's page: every window of every cluster, newest first, and the trend of each topic."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from aurora_analysis.analysis.verdict import Verdict
from aurora_analysis.cli.options import StoreOptions, WindowOptions
from aurora_analysis.cli.report import ReportOptions, _request
from aurora_analysis.report import build, history, index, records
from aurora_analysis.report.runner import Outcome
from aurora_analysis.store import Store

WEEKS = {
    "2026-W45": ("2026-11-02T00:00:00Z", "2026-11-09T00:00:00Z"),
    "2026-W46": ("2026-11-09T00:00:00Z", "2026-11-16T00:00:00Z"),
}


def recorded(
    week: str, run_id: str, *outcomes: tuple[str, str], clusters: tuple[str, ...] = ("shop",)
) -> dict:
    """Return the record of a week's report with one finding per notebook."""
    start, end = WEEKS[week]
    run = {"id": run_id, "timezone": "UTC", "windows": {name: [start, end] for name in clusters}}
    seen = [{"cluster": name, "start": start, "end": end, "error": ""} | index.NOTHING for name in clusters]
    found = [outcome(name, notebook, severity) for name in clusters for notebook, severity in outcomes]
    return index.record(run, seen, found)


def outcome(cluster: str, notebook: str, severity: str) -> Outcome:
    if severity == "failed":
        return Outcome(cluster, notebook, f"{notebook}?", 1.0, "stopped")
    verdict = Verdict(notebook, "x", "so", severity, "So.")
    return Outcome(cluster, notebook, f"{notebook}?", 1.0, "", [verdict.to_dict()])


def fortnights(*effects_pct: float, printed: str = "commit_latency") -> dict[str, dict]:
    """Weekly reports of `reader_impact`, every second week so that no day is compared twice.

    The interval that they print is adjusted for other workloads; the estimate beside it is not. All of them know the
    commit latency; `printed` is the latency that they print.
    """
    found = {}
    for n, effect in enumerate(effects_pct):
        start = datetime(2026, 6, 1, tzinfo=UTC) + timedelta(days=14 * n)
        bounds = [f"{day:%Y-%m-%dT%H:%M:%SZ}" for day in (start, start + timedelta(days=7))]
        numbers = {"metric": printed, "source": "days", "basis": "typical", "complete": 1}
        numbers |= {"effect_pct": effect, "ci_low_pct": effect - 9, "ci_high_pct": effect + 9}
        for metric in {"commit_latency", printed}:
            numbers |= {f"{metric}_log_effect": float(np.log1p(effect / 100)), f"{metric}_log_error": 0.0215}
            numbers |= {f"{metric}_df": 9.0}
        verdict = Verdict("reader_impact", "snowflake", "inconclusive", "unknown", "So.", numbers)
        seen = {"cluster": "shop", "start": bounds[0], "end": bounds[1], "error": ""} | index.NOTHING
        run = {"id": str(n), "timezone": "UTC", "windows": {"shop": bounds}}
        outcome = Outcome("shop", "reader_impact", "?", 1.0, "", [verdict.to_dict()])
        found[f"report-{n:02}"] = index.record(run, [seen], [outcome])
    return found


def test_the_page_pools_what_single_weeks_leave_open():
    """Eight inconclusive reports of about +4 % are one line with severity and sentence; two reports are none."""
    page = history.page(fortnights(4.0, 5.0, 3.0, 4.5, 3.5, 4.0, 5.0, 3.0))
    assert "Over 8 windows, snowflake slows the writer a little, by 4 %." in page
    assert "95 % confidence interval +" in page
    assert "across weeks" not in history.page(fortnights(4.0, 5.0))


def test_weeks_are_pooled_whichever_latency_they_print():
    """Two of six reports print another latency because it looked worse; their commit latency counts all the same."""
    found = fortnights(*[4.0] * 6) | {
        name: document
        for name, document in fortnights(*[4.0] * 6, printed="dml_latency").items()
        if name in ("report-01", "report-04")
    }
    (verdict,) = history.across_weeks(found, "shop")
    assert verdict.numbers["windows"] == 6
    assert "commit latency" in verdict.sentence


def test_a_trend_of_a_workload_that_still_runs_is_one_of_the_newest_report(tmp_path):
    """Five reports that are inconclusive alone; a report that no longer judges the workload does not carry its trend."""
    found = fortnights(*[9.0] * 6)
    for name, document in found.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / records.NAME).write_text(json.dumps(document))
    newest = found["report-05"]
    assert {one["severity"] for one in newest["findings"]} == {"unknown"}
    trends = history.trends_of(tmp_path, newest)
    assert [(one.subject, one.severity) for one in trends] == [("snowflake", "act")]
    assert index.exit_code(newest, "act", trends) == 3
    assert history.trends_of(tmp_path, newest | {"findings": []}) == ()


def of_cluster(cluster: str, pools: dict[str, str], *effects_pct: float) -> dict[str, dict]:
    """Reports as `fortnights`, but of another cluster and with the pools of the settings."""
    text = json.dumps(fortnights(*effects_pct)).replace('"shop"', f'"{cluster}"')
    found = {f"{cluster}-{name}": document for name, document in json.loads(text).items()}
    return {name: one | {"run": one["run"] | {"pools": pools}} for name, one in found.items()}


def test_clusters_of_one_pool_are_pooled_on_the_page_and_raise_its_alarm(tmp_path):
    """Four clusters of a pool, two reports each; without the settings' pool there is no such line."""
    pools = {f"shop-{n}": "shops" for n in range(4)}
    found = {}
    for name in pools:
        found |= of_cluster(name, pools, 9.0, 9.5)
    page = history.page(found)
    assert "Over 8 windows of 4 clusters, snowflake slows the writer by 9.2" in page
    for name, document in found.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / records.NAME).write_text(json.dumps(document))
    (one,) = history.trends_of(tmp_path, found["shop-2-report-01"])
    assert (one.subject, one.severity, one.numbers["clusters"]) == ("snowflake", "act", 4)
    elsewhere = found["shop-2-report-01"] | {"findings": []}
    assert history.trends_of(tmp_path, elsewhere) == ()
    alone = {name: one | {"run": one["run"] | {"pools": {}}} for name, one in found.items()}
    assert "of one pool" not in history.page(alone)


def test_the_pools_of_the_settings_are_in_the_record_of_a_report(tmp_path):
    """The archive's page reads them from the newest record, because it has no settings of its own."""
    settings = tmp_path / "aurora-analysis.toml"
    settings.write_text('[clusters.shop]\npool = "shops"\n[clusters.crm]\nidentifier = "crm-prod"\n')
    chosen = ReportOptions((), False, (), (), None, "", "", False, None, None, 600.0, "html", "")
    request = _request(
        StoreOptions(str(tmp_path), str(settings)), WindowOptions("", False, "", "", ""), chosen
    )
    run = build._run(request, Store(tmp_path), [], [], datetime(2026, 6, 1, tzinfo=UTC))
    assert run["pools"] == {"shop": "shops"}


def test_reports_that_share_days_are_pooled_once():
    """`reader_impact` compares two weeks, so of weekly reports every second one is new."""
    found = fortnights(*[4.0] * 6)
    weekly = {
        name: document | {"clusters": [document["clusters"][0] | _moved(n)]}
        for n, (name, document) in enumerate(found.items())
    }
    (verdict,) = history.across_weeks(weekly, "shop")
    assert verdict.numbers["windows"] == 3


def _moved(n: int) -> dict[str, str]:
    start = datetime(2026, 6, 1, tzinfo=UTC) + timedelta(days=7 * n)
    return {"start": f"{start:%Y-%m-%dT%H:%M:%SZ}", "end": f"{start + timedelta(days=7):%Y-%m-%dT%H:%M:%SZ}"}


def test_windows_are_sorted_newest_first():
    """Each row has the severity of each notebook and a link to its page."""
    rows = history.weeks(
        {"b": recorded("2026-W45", "1", ("load", "ok")), "a": recorded("2026-W46", "2", ("load", "act"))}
    )
    assert [(row["start"][:10], row["topics"]) for row in rows] == [
        ("2026-11-09", {"load": "act"}),
        ("2026-11-02", {"load": "ok"}),
    ]
    assert (rows[0]["href"], rows[0]["hrefs"]["load"]) == ("a/index.html", "a/shop/load.html")


def test_a_later_run_replaces_an_earlier_one():
    """A week that was reported twice has one row; notebooks that the later run omitted keep their severity."""
    whole = recorded("2026-W46", "1", ("load", "ok"), ("undo", "watch"))
    again = recorded("2026-W46", "2", ("load", "act"))
    (row,) = history.weeks({"2026-W46": whole, "2026-W46-load": again})
    assert row["topics"] == {"load": "act", "undo": "watch"}
    assert row["hrefs"] == {"load": "2026-W46-load/shop/load.html", "undo": "2026-W46/shop/undo.html"}


def test_a_week_without_data_is_marked():
    """The mark is red and next to the window; an older findings.json does not record whether there were data."""
    empty, older = recorded("2026-W46", "2", ("load", "unknown")), recorded("2026-W45", "1", ("load", "ok"))
    empty["clusters"][0]["no_data"] = "No data for this week"
    del older["clusters"][0]["no_data"]
    page = history.page({"a": empty, "b": older})
    assert page.count('<span class="mark act">✕ no data</span>') == 1


@pytest.mark.parametrize(
    ("severities", "word"),
    [
        (["act"], "new"),
        (["ok", "act"], "worse"),
        (["act", "watch"], "better"),
        (["ok", "ok"], "as before"),
        (["unknown", "ok"], "unknown"),
        (["ok", "failed"], "unknown"),
        (["ok", ""], "not run"),
        (["ok", "", "ok"], "new"),
    ],
)
def test_a_trend_in_a_word(severities, word):
    """A change from or to `unknown` is neither better nor worse."""
    assert history.word(severities) == word


def test_a_sparkline_can_be_heard():
    """A screen reader reads the severities; `unknown` interrupts the line."""
    drawn = history.sparkline(["ok", "act", "unknown", "ok"])
    assert 'aria-label="Oldest first: ok, act, unknown, ok"' in drawn
    assert drawn.count("<circle") == 4
    assert len(re.findall("M", drawn)) == 1, "only the first two are joined"


def test_names_are_escaped():
    """A cluster's name is escaped everywhere on the page."""
    page = history.page({"a": recorded("2026-W46", "1", ("load", "ok"), clusters=("<b>x</b>",))})
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page


def test_unreadable_reports_are_skipped(tmp_path):
    """Folders of other programs and truncated records are skipped."""
    for folder, text in {"photos": "{}", "cut": '{"kind": "aurora'}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / records.NAME).write_text(text)
    assert "archive has no report yet" in history.write(tmp_path).read_text()
    (tmp_path / "2026-W46").mkdir()
    index.write(tmp_path / "2026-W46", recorded("2026-W46", "1", ("load", "watch")) | PAGE)
    page = history.write(tmp_path).read_text()
    assert '<a href="2026-W46/shop/load.html" aria-label="watch: load?">' in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-W46", "cut", "index.html", "photos"]


RUN = {"archived": True, "store": "", "parameters": {}, "versions": {}, "package_version": "", "git_sha": ""}
PAGE = {"run": RUN | recorded("2026-W46", "1")["run"]}


@pytest.mark.parametrize(
    ("bounds", "timezone", "name"),
    [
        (("2026-11-09", "2026-11-16"), "UTC", "2026-W46"),
        (("2026-11-08T23:00Z", "2026-11-15T23:00Z"), "Europe/Berlin", "2026-W46"),
        (("2026-11-08T23:00Z", "2026-11-15T23:00Z"), "UTC", "2026-11-08_2026-11-15"),
        (("2026-11-09", "2026-11-10"), "UTC", "2026-11-09_2026-11-10"),
    ],
)
def test_a_report_is_named_after_its_window(bounds, timezone, name):
    """A whole week in the reader's time zone is named after the week."""
    assert history.span({"id": "1", "timezone": timezone, "windows": {"shop": bounds}}) == name


def test_many_weeks_stay_small():
    """Each week of a two-year archive takes less than a thousandth of the size allowed for one report."""
    weeks = {f"w{n}": recorded("2026-W46", str(n), ("load", "ok"), ("undo", "act")) for n in range(104)}
    for n, record in enumerate(weeks.values()):
        for cluster in record["clusters"]:
            cluster["start"], cluster["end"] = f"{1900 + n}-01-01T00:00:00Z", f"{1900 + n}-01-08T00:00:00Z"
    assert len(history.page(weeks)) < 104 * 3_000
