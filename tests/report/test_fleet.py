"""The fleet's page: clusters by harm, and none without data looks well."""

from __future__ import annotations

from pathlib import Path

from aurora_analysis.report import fleet, history


def finding(
    cluster: str, minutes: float | None, severity: str = "act", error: float = 5.0, **numbers: object
) -> dict:
    """A finding of reader_impact; without minutes, one that could not be estimated."""
    own = {
        "metric": "commit_latency",
        "effect_pct": 12.0,
        "ci_low_pct": 8.0,
        "ci_high_pct": 16.0,
        "coverage": 0.97,
    }
    if minutes is None:
        own |= dict.fromkeys(("effect_pct", "ci_low_pct", "ci_high_pct"))
    else:
        own |= {
            "fleet_minutes": minutes,
            "fleet_minutes_error": error,
            "fleet_limit": 9.0,
            "fleet_limit_stated": 1,
        }
    return {
        "cluster": cluster,
        "topic": "reader_impact",
        "subject": f"{cluster}'s job",
        "severity": severity,
        "numbers": own | numbers,
    }


def document(*findings: dict, **broken: dict) -> dict:
    """The content of a findings.json."""
    names = dict.fromkeys([*(one["cluster"] for one in findings), *broken])
    clusters = [{"cluster": name, "error": "", "no_data": ""} | broken.get(name, {}) for name in names]
    pages = [
        {"cluster": name, "notebook": "reader_impact", "page": f"{name}/reader_impact.html"} for name in names
    ]
    return {"clusters": clusters, "findings": list(findings), "notebooks": pages}


FLEET = document(
    finding("calm", 2.0, "ok"),
    finding("harmed", 400.0),
    finding("noisy", 500.0, "watch", error=400.0),
    finding("calmer", 1.0, "ok"),
    finding("undecided", None, "unknown"),
    empty={"no_data": "empty has no data in this window"},
    broken={"error": "Cannot open metrics"},
)


def test_the_most_harmed_cluster_leads_and_a_noisy_one_does_not():
    """Clusters without an estimate come last, whatever they would have."""
    found = fleet.rows(FLEET)
    assert found[0]["cluster"] == "harmed"
    assert [row["cluster"] for row in found[-3:]] == ["broken", "empty", "undecided"]
    noisy = next(row for row in found if row["cluster"] == "noisy")
    assert noisy["minutes"] < 400 and noisy["low"] < noisy["minutes"] < noisy["high"]
    assert found[0]["workload"] == "harmed's job" and found[0]["effect_pct"] == 12.0


def test_a_cluster_without_data_is_unknown_never_ok():
    """It says why, and shows no minutes, not zero."""
    rows = {row["cluster"]: row for row in fleet.rows(FLEET)}
    assert {rows[name]["severity"] for name in ("broken", "empty", "undecided")} == {"unknown"}
    assert rows["empty"]["note"] == "empty has no data in this window"
    assert rows["broken"]["note"] == "Cannot open metrics"
    assert rows["undecided"]["note"] == fleet.NO_ESTIMATE
    text = fleet.page(fleet.rows(FLEET), {})
    broken = text[text.index(">broken<") :].split("</tr>")[0]
    assert "✕ unknown" in broken and "mark ok" not in broken and "<td>–</td>" in broken


def test_a_findings_severity_outranks_a_missing_estimate():
    """A trial that found harm has no minutes on ordinary days: the row stays red."""
    (row,) = fleet.rows(document(finding("lab", None, "act", effect_pct=140.0)))
    assert (row["severity"], row["minutes"]) == ("act", None)


def test_each_row_opens_its_clusters_report(tmp_path: Path):
    """The page of reader impact where it exists, else the index; a report of one cluster has no such page."""
    whole = FLEET | {"fleet": fleet.rows(FLEET)}
    (tmp_path / "harmed").mkdir()
    (tmp_path / "harmed" / "reader_impact.html").touch()
    fleet.write(tmp_path, whole)
    text = (tmp_path / fleet.PAGE).read_text()
    assert '<a href="harmed/reader_impact.html">harmed</a>' in text
    assert '<a href="index.html">calm</a>' in text
    one = document(finding("calm", 2.0))
    fleet.write(tmp_path / "harmed", one | {"fleet": fleet.rows(one)})
    assert not (tmp_path / "harmed" / fleet.PAGE).exists()


def test_the_archive_has_one_table_of_all_clusters_with_their_weeks(tmp_path: Path):
    """Each cluster's newest report counts; the sparkline shows its severities, oldest first."""
    found: dict[str, dict] = {}
    for week, minutes in (("2026-W45", 2.0), ("2026-W46", 300.0)):
        whole = document(finding("harmed", minutes), finding("calm", 1.0, "ok"))
        run = {"id": week, "timezone": "UTC", "windows": {}}
        spans = {
            "start": f"2026-11-0{week[-1]}T00:00:00Z",
            "end": f"2026-11-1{week[-1]}T00:00:00Z",
            "simulated": "",
        }
        clusters = [one | spans for one in whole["clusters"]]
        notebooks = [one | {"status": "done", "title": "t"} for one in whole["notebooks"]]
        findings = [one | {"notebook": "reader_impact"} for one in whole["findings"]]
        parts = {"run": run, "clusters": clusters, "notebooks": notebooks, "findings": findings}
        found[week] = whole | parts | {"fleet": fleet.rows(whole)}
    text = history.fleet_page(found, tmp_path)
    assert text.index(">harmed<") < text.index(">calm<")
    assert 'href="2026-W46/index.html">harmed' in text and "Oldest first: act, act" in text
    assert history.fleet_page({}, tmp_path) == ""
