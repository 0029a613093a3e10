"""`watch --notify` on a real server: one alert and one end for the holder, none for its innocent neighbours."""

from __future__ import annotations

import json
import threading

import pytest
from click.testing import CliRunner
from live_server import written_to
from notified import SECRET, Sink

from aurora_analysis.cli import alerts, main
from aurora_analysis.cli.options import StoreOptions
from aurora_analysis.store import Store

pytestmark = pytest.mark.real


def test_a_holder_is_alerted_about_once_and_its_end_too(real_server, tmp_path, monkeypatch):
    """The webhook's URL is in the environment, and nowhere in what is printed or stored."""
    arguments = [
        "watch", "--writer", f"mysql://root@/?unix_socket={real_server.socket}", "--store", str(tmp_path / "store"),
        "--every", "1s", "--for", "8.9s", "--alert-after", "2s", "--spool", str(tmp_path / "spool"),
        "--notify", f"file:{tmp_path}/alerts.jsonl", "--cluster", "shop",
    ]  # fmt: skip
    with (
        Sink().serving() as sink,
        real_server.connect("etl") as innocent,
        real_server.connect("etl") as session,
    ):
        monkeypatch.setenv("AURORA_ANALYSIS_NOTIFY", sink.url)
        with innocent.cursor() as cursor:
            cursor.execute("BEGIN")
        with session.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT COUNT(*) FROM trial.stock")
            cursor.fetchall()
        ending = threading.Timer(4.5, session.rollback)
        ending.start()
        with written_to(real_server):
            done = CliRunner().invoke(main, arguments)
        ending.join()
        thread = session.thread_id()
    assert done.exit_code == 0, done.output
    sent = [json.loads(body) for body in sink.bodies]
    assert [one["event"] for one in sent] == ["holder past limit", "holder ended"]
    assert [one["session"] for one in sent[0]["sessions"]] == [thread]
    assert sent[0]["sessions"][0]["end_statement"] == f"KILL {thread};"
    assert (sent[0]["limit_basis"], sent[0]["slowdown"]) == ("as --alert-after sets it", None)
    assert [json.loads(line) for line in (tmp_path / "alerts.jsonl").read_text().splitlines()] == sent
    events = Store(tmp_path / "store").read("events", cluster="shop")
    assert (events["category"] == "alert").sum() == 2 and "shop: session" in done.output
    written = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET not in done.output + written


def test_without_a_known_limit_a_plain_one_is_used_and_said(real_server, tmp_path):
    """On standard error, once; figures are served at the same time."""
    arguments = [
        "watch", "--writer", f"mysql://root@/?unix_socket={real_server.socket}", "--store", str(tmp_path),
        "--every", "1s", "--for", "0.9s", "--spool", str(tmp_path / "spool"), "--notify", "exec:false",
        "--prometheus", "127.0.0.1:0",
    ]  # fmt: skip
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "alerts after 10 min, because the store shows no limit (" in done.stderr
    assert done.stderr.count("Set it with --alert-after.") == 1


def test_an_analysis_that_fails_does_not_end_the_watch(monkeypatch):
    """The plain limit is used, and the reason is said."""

    def failing(*_: object, **__: object) -> None:
        raise ValueError("singular matrix")

    monkeypatch.setattr(Store, "span", failing)
    monkeypatch.setattr(StoreOptions, "to_write", lambda self: "store")
    answer, reason = alerts._learned(StoreOptions("store", ""), "shop")
    assert answer is None and reason == "the limit could not be learned from the store (ValueError)"
