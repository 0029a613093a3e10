"""The front page: most severe findings first, gaps in the data, and the same as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest

from aurora_analysis import Window
from aurora_analysis.analysis.sparkline import Sparkline
from aurora_analysis.analysis.verdict import Verdict
from aurora_analysis.errors import Error
from aurora_analysis.report import index, records
from aurora_analysis.report.runner import Outcome

DAY = Window("2026-11-09", "2026-11-10")
RUN = {
    "archived": False,
    "id": "20261109T000000Z-abcdef",
    "store": "/store",
    "versions": {"shop": {"metrics": 3}},
    "windows": {"shop": ["2026-11-09T00:00:00Z", "2026-11-10T00:00:00Z"]},
    "notebooks": ["load"],
    "timezone": "UTC",
    "parameters": {},
    "package_version": "0.1.0",
    "git_sha": "",
}


def outcome(notebook: str, *severities: str, error: str = "", cluster: str = "shop") -> Outcome:
    recorded = [
        Verdict("load", f"{notebook} {n}", "so", severity, "It was so.")
        for n, severity in enumerate(severities)
    ]
    return Outcome(cluster, notebook, f"Is {notebook} well?", 1.5, error, [one.to_dict() for one in recorded])


def cluster(name: str = "shop", simulated: str = "", **changes: object) -> dict[str, object]:
    row = {"table": "metrics", "instance": None, "source": "a server", "covered": 1.0, "unit": "points"}
    row |= {"expected": 24.0, "received": 24.0, "lost": 0.0, "note": None}
    window = {"start": "2026-11-09T00:00:00Z", "end": "2026-11-10T00:00:00Z"}
    known = {"error": "", "no_data": "", "instances": [], "failovers": []}
    return (
        {"cluster": name, "simulated": simulated, "compressed": "", "coverage": [row | changes]}
        | known
        | window
    )


def fetched(
    start: str, end: str, received: float | None = 12.0, note: str | None = None
) -> dict[str, object]:
    times = {"time": pd.Timestamp(start, tz="UTC"), "end": pd.Timestamp(end, tz="UTC")}
    counts = {"expected": 12.0, "received": received, "lost": 0.0, "unit": "points", "note": note}
    return {"table": "metrics", "source": "a server", "instance": None} | times | counts


def test_findings_are_sorted_by_severity():
    """`unknown` ranks above `ok`; findings of equal severity keep the notebooks' order."""
    recorded = index.record(RUN, [cluster()], [outcome("a", "ok", "unknown"), outcome("b", "act", "ok")])
    assert [finding["subject"] for finding in recorded["findings"]] == ["b 0", "a 1", "a 0", "b 1"]
    assert recorded["findings"][1]["page"] == "shop/a.html#finding-2"


def judged(topic: str, subject: str, severity: str, **numbers: object) -> dict[str, object]:
    level = {"act": "slows", "watch": "blocked", "unknown": "inconclusive"}[severity]
    return Verdict(topic, subject, level, severity, "It was so.", numbers).to_dict()


def test_findings_of_one_severity_are_sorted_by_harm(tmp_path):
    """An hour's effect of 10 % comes before a minute's of 400 %, and both before effects without a figure, in any cluster."""
    found = {
        "brief": [judged("reader_impact", "brief", "act", lost_s=48.0, effect_pct=400.0)],
        "none": [judged("db_load", "none", "act"), judged("undo_log", "few", "watch", growth=10)],
        "long": [judged("reader_impact", "long", "act", lost_s=327.3, effect_pct=10.0)],
        "much": [judged("undo_log", "much", "watch", growth=900)],
    }
    outcomes = [replace(outcome("a", cluster=name), findings=rows) for name, rows in found.items()]
    document = index.record(RUN, [cluster(name) for name in found], outcomes)
    order = ["long", "brief", "none", "much", "few"]
    assert [one["subject"] for one in document["findings"]] == order
    page = index.page(document, tmp_path)
    assert sorted(order, key=lambda name: page.index(f"Verdict for {name}")) == order


def test_the_result_of_a_trial_is_counted_once(tmp_path):
    """Two pages state it; the index and findings.md list and count it once, and findings.json says which repeats which."""
    both = [
        [judged(topic, "etl", "act", source="trial"), judged(topic, "bi", "unknown", source="trial")]
        for topic in ("experiment", "reader_impact")
    ]
    apart = [judged("experiment", "dump", "act", source="trial"), judged("reader_impact", "bi", "act")]
    pages = [
        replace(outcome(name), findings=rows)
        for name, rows in zip(("experiment", "reader_impact", "x"), [*both, apart])
    ]
    document = index.record(RUN, [cluster()], pages)
    index.write(tmp_path, document)
    page, text = ((tmp_path / name).read_text() for name in ("index.html", "findings.md"))
    assert (
        "**3 act, 1 unknown**" in text and text.count("Verdict for etl") == page.count("Verdict for etl") == 1
    )
    repeats = {one["page"]: one["repeats"] for one in document["findings"] if one["repeats"]}
    assert repeats == {
        f"shop/experiment.html#finding-{n}": f"shop/reader_impact.html#finding-{n}" for n in (1, 2)
    }


def test_unknowns_are_grouped_by_the_step_that_would_settle_them(tmp_path):
    """One setting is one line, also across clusters and levels; every finding is linked from it."""
    outcomes = [outcome("a", "unknown", "unknown"), outcome("b", "unknown", "ok")]
    for found, action in zip(
        outcomes[0].findings + outcomes[1].findings, ("Fetch.", "Log.", "Fetch.", "None.")
    ):
        found["action"] = action
    index.write(tmp_path, index.record(RUN, [cluster()], outcomes))
    page = (tmp_path / "index.html").read_text()
    lines = page.split('<ul class="gist"')[1].split("</ul>")[0].split("<li>")[1:]
    assert [("<b>Fetch.</b>" in line, line.count("<a ")) for line in lines] == [
        (False, 1),
        (True, 2),
        (False, 1),
    ]


def test_the_page_links_each_finding(tmp_path):
    """The page shows counts, sentences, links to the evidence, and failed notebooks in red."""
    outcomes = [outcome("a", "act"), outcome("b", error="cell [4] stopped: KeyError")]
    recorded = index.record(RUN, [cluster()], outcomes)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.html").touch()
    index.write(tmp_path, recorded)
    page = (tmp_path / "index.html").read_text()
    assert '<a href="shop/a.html#finding-1">Is a well?</a>' in page
    assert "shop · Is b well? did not finish:</strong> cell [4] stopped: KeyError" in page
    assert '<a href="shop/a.ipynb">' in page
    assert "shop/b.html" not in page, "a page that was not made is not linked"
    assert json.loads((tmp_path / "findings.json").read_text()) == recorded


def test_the_longest_reader_query_and_its_review_are_linked(tmp_path):
    """From the part at a glance, for each cluster whose page has limits; the command is that cluster's."""
    found = [outcome("undo_log", "ok", cluster=name) for name in ("shop", "toy")]
    line = Sparkline("undo_log", "writer", "longest allowed reader query", "min", [1.0, 2.0], mean=1.5)
    found = [replace(one, sparklines=[line.to_dict()]) for one in found]
    for name, text in (("shop", '<section class="cell" id="longest-hold">'), ("toy", "Unknown.")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "undo_log.html").write_text(text)
    page = index.page(index.record(RUN, [cluster(), cluster("toy")], found), tmp_path)
    assert (
        '<a href="shop/undo_log.html#longest-hold">' in page
        and '<a href="shop/undo_log.html#review">' in page
    )
    assert "review --cluster shop --hold 40m" in page
    assert "toy/undo_log.html#review" not in page


def test_simulated_clusters_are_marked(tmp_path):
    """The mark comes from the data, and only the simulated cluster has it."""
    recorded = index.record(
        RUN, [cluster("toy", "simulated, seed 1"), cluster()], [outcome("a", "ok", cluster="toy")]
    )
    page = index.page(recorded, tmp_path)
    assert page.count('<span class="chip">simulated</span>') == 2, "the head and the finding of toy"
    assert "The cluster toy was generated" in page
    assert "The cluster shop was generated" not in page


def test_compressed_clusters_are_marked(tmp_path):
    """The page quotes the coverage's note; data observed in real time are not marked."""
    note = "a real InnoDB server; time compressed 360 times: a day is 240 s of a real server"
    rows = pd.DataFrame({"source": ["compressed", "lab"], "note": [note, "a real InnoDB server"]})
    mark = index.compressed(rows)
    assert mark == "time compressed 360 times: a day is 240 s of a real server"
    assert index.compressed(rows[1:]) == ""
    recorded = index.record(RUN, [cluster() | {"compressed": mark}], [outcome("a", "ok")])
    page = index.page(recorded, tmp_path)
    assert page.count('<span class="chip">compressed</span>') == 2, "the head and the finding"
    assert f"with a compressed clock ({mark})" in page


def test_overlapping_fetches_are_counted_once():
    """Fetches of 0 to 12 and 6 to 18 hours cover three quarters of the day."""
    rows = pd.DataFrame(
        [
            fetched("2026-11-09T06:00", "2026-11-09T18:00", note="late"),
            fetched("2026-11-09", "2026-11-09T12:00"),
        ]
    )
    (row,) = index.coverage(rows, DAY)
    assert row["covered"] == 0.75
    assert (row["expected"], row["received"], row["note"], row["instance"]) == (24.0, 24.0, "late", None)


def test_coverage_outside_the_window_does_not_count():
    """A fetch of three days covers the day once."""
    (row,) = index.coverage(pd.DataFrame([fetched("2026-11-08", "2026-11-11")]), DAY)
    assert row["covered"] == 1.0


def test_an_uncounted_fetch_is_null():
    """Null, not zero."""
    (row,) = index.coverage(pd.DataFrame([fetched("2026-11-09", "2026-11-10", received=None)]), DAY)
    assert row["received"] is None


@pytest.mark.parametrize(
    ("changes", "marked"),
    [({}, False), ({"covered": 0.9999}, True), ({"received": 23.0}, True), ({"lost": 1.0}, True)],
)
def test_incomplete_rows_are_marked(tmp_path, changes, marked):
    """Gaps, shortfalls and losses are highlighted; 99.99 % is not rounded to 100 %."""
    page = index.page(index.record(RUN, [cluster(**changes)], [outcome("a", "ok")]), tmp_path)
    assert ('<tr class="incomplete' in page) == marked
    assert ("99.9 %" in page) == ("covered" in changes)


def test_a_report_records_how_to_run_it_again(tmp_path):
    """The record can be read from the folder or from the file."""
    index.write(tmp_path, index.record(RUN, [cluster()], [outcome("a", "ok")]))
    assert records.recorded(tmp_path) == records.recorded(tmp_path / "findings.json") == RUN


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "was not written by a report"),
        ("hello", "was not written by a report"),
        ('{"kind": "aurora-analysis report", "schema": 99}', "newer aurora-analysis"),
    ],
)
def test_another_file_is_refused(tmp_path, text, says):
    """One line, with the next step."""
    file = tmp_path / "findings.json"
    file.write_text(text)
    with pytest.raises(Error, match=says):
        records.recorded(file)
    with pytest.raises(Error, match="Cannot read"):
        records.recorded(tmp_path / "nowhere.json")


def test_the_five_most_urgent_findings_are_shown_in_full(tmp_path):
    """The sixth urgent finding and the `ok` one are listed below with a link each."""
    recorded = index.record(RUN, [cluster()], [outcome("a", *["watch"] * 6, "ok")])
    page = index.page(recorded, tmp_path)
    assert page.count('<article class="verdict watch"') == 5
    assert [f"#finding-{n}" in page.split("Other findings")[1] for n in (5, 6, 7)] == [False, True, True]
    assert "No material change" not in page


def test_a_calm_week_says_that_nothing_needs_action(tmp_path):
    """The notice is green; unknown findings are mentioned, and not called `ok`."""
    calm = index.page(index.record(RUN, [cluster()], [outcome("a", "ok")]), tmp_path)
    assert "No material change" in calm
    assert "Nothing needs action." in calm
    assert "Unknowns are listed below." not in calm
    assert "Unknowns are listed below." in index.page(
        index.record(RUN, [cluster()], [outcome("a", "ok", "unknown")]), tmp_path
    )


NO_DATA = "the store's data of toy end at 2026-11-09 00:00 UTC"


def test_an_empty_week_is_never_green(tmp_path):
    """The page leads with the cluster without data, in red; nothing is called calm; the exit code is 1."""
    empty = cluster("toy") | {"no_data": f"No data for this week: {NO_DATA}"}
    recorded = index.record(
        RUN, [cluster(), empty], [outcome("a", "ok"), outcome("a", "unknown", cluster="toy")]
    )
    page = index.page(recorded, tmp_path)
    notice = f'<div class="notice failure"><strong>toy. No data for this week: {NO_DATA}.</strong>'
    assert notice.replace("'", "&#39;") in page
    main = page.split("<main>")[1]
    assert main.index("No data for this week") < main.index('<h2 id="findings">')
    assert main.lstrip().startswith('<div class="notice failure">')
    assert "Nothing needs action" not in page
    assert "No material change" not in page
    assert "what was judged" in page
    assert [index.exit_code(recorded, fail_on) for fail_on in (None, "act", "unknown")] == [1, 1, 1]


def test_a_notebook_that_failed_makes_no_week_calm(tmp_path):
    """Its findings might have needed action."""
    recorded = index.record(RUN, [cluster()], [outcome("a", "ok"), outcome("b", error="stopped")])
    assert "Nothing needs action" not in index.page(recorded, tmp_path)


def test_a_week_of_unknowns_has_no_verdict(tmp_path):
    """It is neither green nor called calm."""
    page = index.page(index.record(RUN, [cluster()], [outcome("a", "unknown", "unknown")]), tmp_path)
    assert "<strong>No verdict was possible.</strong> Every finding is unknown." in page
    assert 'class="notice calm"' not in page
    assert "Nothing needs action" not in page


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([("2026-11-09", "2026-11-16", 5.0)], ""),
        ([("2026-11-15", "2026-11-30", 5.0)], ""),
        ([("2026-11-02", "2026-11-16", 5.0)], "the store's data of toy end at 2026-11-16 00:00 UTC"),
        ([("2026-12-07", "2026-12-14", 5.0)], "the store's data of toy begin at 2026-12-07 00:00 UTC"),
        (
            [("2026-11-02", "2026-11-09", 5.0), ("2026-12-07", "2026-12-14", 5.0)],
            "the store's data of toy end at 2026-11-09 00:00 UTC and begin again at 2026-12-07 00:00 UTC",
        ),
        (
            [("2026-11-02", "2026-11-09", 5.0), ("2026-11-16", "2026-11-23", None)],
            "the store's data of toy end at 2026-11-09 00:00 UTC",
        ),
        ([("2026-11-16", "2026-11-23", None)], "the store has no data of toy"),
    ],
)
def test_a_window_without_data_says_where_the_data_are(rows, text):
    """A failed fetch is not data; neither is the list of instances."""
    window = Window("2026-11-16", "2026-11-23") if text else Window("2026-11-09", "2026-11-16")
    settings = fetched("2026-11-01", "2026-12-31") | {"table": "instances"}
    coverage = pd.DataFrame([settings, *(fetched(*row) for row in rows)])
    assert index.no_data(coverage, window, "toy") == (f"No data for this week: {text}" if text else "")


def test_a_window_of_another_length_is_no_week():
    """A day without data is called a window."""
    coverage = pd.DataFrame([fetched("2026-11-02", "2026-11-09")])
    assert index.no_data(coverage, DAY, "toy").startswith(
        "No data for this window: the store's data of toy end"
    )


def test_a_cluster_that_cannot_be_read_is_flagged(tmp_path):
    """The notice is red and has the reason; the exit code is 1."""
    broken = (
        cluster("toy") | index.NOTHING | {"error": "The store has no cluster 'toy'.", "start": "", "end": ""}
    )
    recorded = index.record(RUN, [cluster(), broken], [outcome("a", "act")])
    assert "toy could not be read:</strong> The store has no cluster" in index.page(recorded, tmp_path)
    assert index.exit_code(recorded, "act") == 1


@pytest.mark.parametrize(
    ("severity", "fail_on", "code"),
    [
        ("act", None, 0),
        ("act", "act", 3),
        ("act", "watch", 3),
        ("watch", "act", 0),
        ("watch", "watch", 3),
        ("unknown", None, 0),
        ("unknown", "watch", 0),
        ("unknown", "unknown", 3),
        ("watch", "unknown", 3),
        ("act", "unknown", 3),
        ("ok", "unknown", 0),
    ],
)
def test_the_exit_code_is_an_alarm(severity, fail_on, code):
    """Findings at or above the given severity raise it; from mild to severe: ok, unknown, watch, act."""
    assert index.exit_code(index.record(RUN, [cluster()], [outcome("a", severity)]), fail_on) == code
    trend = Verdict("trend", "a", "so", severity, "It was so for weeks.")
    assert index.exit_code(index.record(RUN, [cluster()], [outcome("a", "ok")]), fail_on, [trend]) == code


def test_instances_show_the_settings_in_force(tmp_path):
    """Roles and settings appear in their order, changed values in order of time, and the failover between."""
    states = pd.DataFrame(
        {
            "instance": ["shop-1", "shop-2", "shop-1", "shop-2"],
            "role": ["writer", "reader", "reader", "writer"],
            "instance_class": "db.r6g.large",
            "engine_version": None,
            "long_query_time_s": [0.5, 0.5, 1.0, 0.5],
            "pi_retention_days": [7.0, 7.0, 7.0, 7.0],
        }
    )
    one, two = index.instances(states)
    assert (one["role"], two["role"]) == ("writer, then reader", "reader, then writer")
    assert (one["long_query_time_s"], two["long_query_time_s"]) == ("0.5, then 1", "0.5")
    assert (one["engine_version"], one["pi_retention_days"]) == ("", "7")
    terms = pd.DataFrame(
        {
            "start": pd.to_datetime(["2026-11-09T00:00:00", "2026-11-09T10:51:20"], utc=True),
            "writer": ["shop-1", "shop-2"],
        }
    )
    (failover,) = index.failovers(terms)
    assert failover == {"time": "2026-11-09T10:51:20Z", "before": "shop-1", "after": "shop-2"}
    page = index.page(
        index.record(RUN, [cluster() | {"instances": [one, two], "failovers": [failover]}], []), tmp_path
    )
    assert "shop-2 replaced shop-1 as the writer at 2026-11-09 10:51:20 UTC" in page


@pytest.mark.parametrize(
    ("engine", "setting"),
    [
        ("aurora-postgresql", "log_min_duration_statement [s]"),
        ("aurora-mysql", "long_query_time [s]"),
        (None, "long_query_time [s]"),
    ],
)
def test_the_logs_limit_has_its_engines_name(engine, setting, tmp_path):
    """PostgreSQL has no long_query_time."""
    states = pd.DataFrame({"instance": ["db-1"], "engine": [engine], **dict.fromkeys(index.FACTS, [None])})
    described = {"instances": index.instances(states), "log_limit": index.log_limit(states)}
    page = index.page(index.record(RUN, [cluster() | described], []), tmp_path)
    assert f">{setting}</th>" in page
    assert ("long_query_time" in page) == (setting == "long_query_time [s]")


def test_a_cluster_that_was_fetched_from_a_simulation_is_simulated():
    """Its sources are AWS services; only the engine version has the mark."""
    coverage = pd.DataFrame({"source": ["cloudwatch", "rds"]})
    engines = pd.DataFrame({"engine_version": ["simulated", None, "simulated"]})
    assert index.simulated(coverage, engines) == "simulated"
    assert index.simulated(coverage, engines.assign(engine_version="8.0.mysql_aurora.3.08.0")) == ""


def test_a_report_about_the_sample_says_so_first(tmp_path):
    """The notice is above every finding; a report about the user's own store has no notice."""
    page = index.page(index.record(RUN | {"sample": True}, [cluster()], [outcome("a", "act")]), tmp_path)
    notice = "This report is about the bundled sample, not about your clusters."
    assert page.index(notice) < page.index('<h2 id="findings">')
    assert notice not in index.page(index.record(RUN | {"sample": False}, [cluster()], []), tmp_path)
    assert notice not in index.page(index.record(RUN, [cluster()], []), tmp_path), (
        "recorded by an older version"
    )


def test_a_heading_is_the_verdicts_headline(tmp_path):
    """So that it cannot be read the wrong way round, in the card and in the list."""
    found = [
        Verdict("load", "snowflake", "blocked", severity, "So.", headline="snowflake blocked purge").to_dict()
        for severity in ("act", "ok")
    ]
    page = index.page(index.record(RUN, [cluster()], [Outcome("shop", "a", "A?", 1.0, "", found)]), tmp_path)
    assert "<h3>shop: snowflake blocked purge</h3>" in page
    assert ">snowflake blocked purge</a>" in page
    assert "snowflake: blocked" not in page


def test_a_card_names_its_statement_and_shows_code_as_code(tmp_path):
    """The text, the digest as a link, the figures of its runs; what stands between backticks stays escaped."""
    digest = "3b560e0ddbe6e8b9"
    runs = {
        "runs": 2,
        "instance": "db-3",
        "total_s": 5760.0,
        "longest_s": 2880.0,
        "last": "Monday",
        "thread": 7,
    }
    verdicts = [
        Verdict("load", "x", "so", "act", "So.", headline="x's `<b>` is so", statement=statement).to_dict()
        for statement in (
            {"digest": digest, "text": "select <b>"} | runs,
            {"digest": digest, "text": "select 1"},
        )
    ]
    for verdict in verdicts:
        found = [Outcome("shop", "a", "A?", 1.0, "", [verdict])]
        page = index.page(index.record(RUN, [cluster()], found), tmp_path)
        assert "<h3>shop: x&#39;s <code>&lt;b&gt;</code> is so</h3>" in page
        assert f'href="shop/statements.html#{digest}"' in page
        assert ("2 runs on db-3, 96 min in all, longest 48 min; last run Monday, thread 7" in page) == (
            "runs" in verdict["statement"]
        )
