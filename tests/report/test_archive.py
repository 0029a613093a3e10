"""One scheduled command for all clusters: failures are reported, and a repeated week is stored once."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from aurora_analysis import Store, Window
from aurora_analysis.analysis.verdict import Verdict
from aurora_analysis.cli import main
from aurora_analysis.errors import Error
from aurora_analysis.report import build, history, index, record, records, replacement
from aurora_analysis.store import location
from aurora_analysis.tables import TABLES

LOAD = """
from aurora_analysis import Store, Window
from aurora_analysis.analysis.verdict import Verdict
mean = float(Store(store).read("metrics", Window(start, end), cluster=cluster)["value"].mean())
Verdict("load", "the writer", "busy" if mean > limit else "calm", "act" if mean > limit else "ok",
        f"The mean was {mean:.1f}.", {"mean": mean})
"""
DAY = ["--start", "2026-11-09", "--end", "2026-11-10"]


def report(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def rows(store: Store, table: str, cluster: str) -> list[dict]:
    """Return a table's rows without the report's id and run time."""
    found = store.read(table, cluster=cluster)
    return found.drop(columns=["run", "seconds"], errors="ignore").to_dict("records")


def test_one_command_for_all_clusters(store, notebook, tmp_path, monkeypatch):
    """A cluster missing from the store is flagged; the others are reported, recorded, and raise the alarm."""
    settings = tmp_path / "aurora-analysis.toml"
    settings.write_text(
        f"store = {json.dumps(store.location)}\n[clusters.shop]\n[clusters.gone]\n[clusters.toy]\n"
    )
    monkeypatch.chdir(tmp_path)
    options = [
        "--all",
        "--record",
        "--notebook",
        notebook("load", LOAD),
        *DAY,
        "--archive",
        tmp_path / "archive",
    ]
    ran = report(*options, "--fail-on", "act")
    assert ran.exit_code == 1, ran.output
    page = Path(ran.stdout.strip())
    assert page == tmp_path / "archive" / "2026-11-09_2026-11-10-load" / "index.html"
    saved = json.loads((page.parent / records.NAME).read_text())
    assert {one["cluster"]: one["severity"] for one in saved["findings"]} == {"toy": "act", "shop": "ok"}
    assert "gone could not be read:</strong> The store" in page.read_text()
    assert 'aria-label="act: Is load well?"' in (tmp_path / "archive" / "index.html").read_text()
    for finding in saved["findings"]:
        (kept,) = store.read("findings", cluster=finding["cluster"]).to_dict("records")
        assert {name: kept[name] for name in record.TEXTS} == {name: finding[name] for name in record.TEXTS}
        assert json.loads(kept["numbers"]) == finding["numbers"]
    before = [rows(store, table, "toy") for table in record.TABLES]
    again = saved["run"] | {"id": "a later one"}
    record.write(store, saved | {"run": again})
    assert [rows(store, table, "toy") for table in record.TABLES] == before, "a repeated week is there once"
    assert set(store.read("findings", cluster="toy")["run"]) == {"a later one"}
    assert sorted(path.name for path in (tmp_path / "archive").iterdir()) == [
        page.parent.name,
        "fleet.html",
        "index.html",
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--all"], "names no cluster"),
        (["--output", "a", "--archive", "b"], "Use either --output"),
        (["--record"], "The bundled sample is read-only"),
    ],
)
def test_contradicting_options_are_refused_in_one_line(tmp_path, monkeypatch, arguments, says):
    """Exit code 2, before anything runs."""
    monkeypatch.chdir(tmp_path)
    done = report(*arguments)
    assert (done.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert says in done.stderr


def test_a_table_that_cannot_be_read_stops_no_other_cluster(store):
    """A cluster with a lost file is flagged with the reason in one line; without `keep_going` it is an error."""
    (lost,) = (Path(store.location) / "coverage" / "cluster=toy").rglob("*.parquet")
    lost.unlink()
    request = build.Request(store.location, clusters=["toy", "shop"], keep_going=True)
    toy, shop = build._clusters(request, store)
    assert (bool(toy["error"]), shop["error"]) == (True, "")
    with pytest.raises(Error, match=r"\.parquet is missing; restore"):
        build._clusters(build.Request(store.location, clusters=["toy"]), store)


def test_two_reports_at_once_leave_one_whole(tmp_path):
    """Six threads write the same folder ten times each; all files that remain come from one of them."""
    place = tmp_path / "report"

    def put(name: str) -> None:
        for _ in range(10):
            with replacement.built(place) as folder:
                for n in range(5):
                    (folder / f"{n}").write_text(name)

    together = [threading.Thread(target=put, args=(name,)) for name in "abcdef"]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert len({path.read_text() for path in place.iterdir()}) == 1
    assert (len(list(place.iterdir())), [path.name for path in tmp_path.iterdir()]) == (5, ["report"])


def test_a_place_that_cannot_be_taken_keeps_what_was_there(tmp_path, monkeypatch):
    """If the new report cannot be moved into place, the earlier one is restored."""
    place = tmp_path / "report"
    place.mkdir()
    (place / "earlier").touch()
    moved = Path.rename
    monkeypatch.setattr(
        Path, "rename", lambda self, to: _refused() if self.name == "new" else moved(self, to)
    )
    with pytest.raises(Error, match="Other runs wrote"), replacement.built(place):
        pass
    assert [path.name for path in place.iterdir()] == ["earlier"]


def _refused() -> None:
    raise PermissionError(13, "Permission denied")


def test_reports_at_once_are_all_on_the_page(tmp_path):
    """A report that appears while the page is being written is on it."""
    writing, added = history.page, []

    def page(found):
        if not added:
            added.append(_report(tmp_path / "second"))
        return writing(found)

    _report(tmp_path / "first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "page", page)
        text = history.write(tmp_path).read_text()
    assert "first/index.html" in text or "second/index.html" in text
    assert text == writing(records.all_in(tmp_path))


def _report(folder: Path) -> None:
    day = {"start": "2026-11-09T00:00:00Z", "end": f"2026-11-{10 + len(folder.name)}T00:00:00Z"}
    run = {"id": folder.name, "archived": True, "store": "", "versions": {}, "timezone": "UTC"}
    run |= {"parameters": {}, "package_version": "", "git_sha": ""}
    folder.mkdir()
    index.write(folder, index.record(run, [{"cluster": "shop", "error": ""} | day | index.NOTHING], []))


def test_versions_leave_out_what_reports_write(store, notebook):
    """Recording a report changes no version that the next report names."""
    record.write(store, _record(store))
    assert "runs" in store.versions()["shop"]
    opened = build._opened(build.Request(store.location))
    run = build._run(build.Request(store.location), opened, [], [], pd.Timestamp("2026-11-09"))
    assert {name for tables in run["versions"].values() for name in tables} == {"metrics", "coverage"}


def _record(store: Store) -> dict:
    run = {"id": "1", "windows": {"shop": ["2026-11-09", "2026-11-10"]}, "package_version": "", "git_sha": ""}
    page = {"cluster": "shop", "notebook": "load", "status": "done", "error": "", "seconds": 1.0}
    return {
        "run": run | {"versions": store.versions()},
        "notebooks": [page | {"parameters": {}}],
        "findings": [],
    }


def test_a_recorded_report_survives_compaction(store, refill):
    """Compaction keeps the versions that a recorded report read, and deletes versions that no report names."""
    record.write(store, _record(store))
    read = store.versions()["toy"]["metrics"]
    for value in (1.0, 2.0):
        refill(store, value)
    store.compact()
    assert set(store.at({"toy": {"metrics": read}}).read("metrics", cluster="toy")["value"]) == {20.0}
    with pytest.raises(Error, match=r"\.parquet is missing; restore"):
        store.at({"toy": {"metrics": read + 1}}).read("metrics", cluster="toy")


def test_prune_spares_baselines_and_what_reports_read(store, refill):
    """Old days and their coverage are deleted; baselines and versions that a recorded report read are kept."""
    from aurora_analysis.store import baseline

    baseline.save(store, "calm", Window("2026-11-09", "2026-11-10"), cluster="shop")
    assert store.prune(pd.Timestamp("2026-11-09").date()) == dict.fromkeys(["metrics", "coverage"], 0)
    record.write(store, _record(store))
    read = store.versions()
    assert store.prune(pd.Timestamp("2026-11-10").date()) == {"metrics": 24, "coverage": 1}
    assert (len(store.read("metrics", cluster="shop")), store.clusters()) == (24, ["shop"])
    assert len(store.at(read).read("metrics", cluster="toy")) == 24
    assert store.read("metrics", cluster="toy").empty


def test_prune_deletes_what_no_report_recorded(store):
    """A version that only an unrecorded report read is gone with its files."""
    read = store.versions()
    store.prune(pd.Timestamp("2026-11-10").date())
    with pytest.raises(Error, match=r"\.parquet is missing; restore"):
        store.at(read).read("metrics", cluster="toy")


def test_an_older_store_gets_the_headlines(store):
    """A table of findings without the column opens with null headlines; recording adds the column."""
    spec = TABLES["findings"]
    older = dataclasses.replace(spec, columns=tuple(one for one in spec.columns if one.name != "headline"))
    finding = Verdict("load", "x", "so", "ok", "So.", headline="x is so").to_dict()
    saved = _record(store)
    saved["findings"] = [{"cluster": "shop", "notebook": "load", "page": "shop/load.html"} | finding]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TABLES, "findings", older)
        patch.setattr(record, "TEXTS", tuple(name for name in record.TEXTS if name != "headline"))
        record.write(store, saved)
    version = store.versions()["shop"]["findings"]
    (row,) = store.read("findings", cluster="shop").to_dict("records")
    assert (pd.isna(row["headline"]), row["sentence"]) == (True, "So.")
    assert list(row) == spec.column_names()
    assert store.versions()["shop"]["findings"] == version, "reading changes nothing"
    record.write(store, saved)
    assert list(store.read("findings", cluster="shop", columns=["headline"])["headline"]) == ["x is so"]
    earlier = store.at({"shop": {"findings": version}}).read("findings", cluster="shop", columns=["headline"])
    assert earlier["headline"].isna().all()
    newest = store.versions()["shop"]["findings"]
    record.write(store, saved)
    assert store.versions()["shop"]["findings"] == newest, "equal content makes no commit"


def test_findings_are_not_recorded_in_the_sample():
    """If no store is named, nothing is recorded."""
    with pytest.raises(Error, match="sample is read-only"):
        record.check(str(location.sample()))
