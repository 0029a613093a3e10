"""No message is lost while its target is down, slow or answers 500, and no line has a webhook's secret."""

from __future__ import annotations

import json
import shlex
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from notified import SECRET, Sink

from aurora_analysis.errors import Error
from aurora_analysis.live.alerts import messages, outbox, targets
from aurora_analysis.live.alerts.holds import Hold, State
from aurora_analysis.live.alerts.outbox import Outbox

HOSTILE = "etl<!channel>\x1b[2J`@here`\n"


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink().serving() as found:
        yield found


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Messages are tried again at once."""
    monkeypatch.setattr(outbox, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(outbox, "LONGEST_WAIT_S", 0.02)


def message(number: int, **more: str) -> dict[str, str]:
    return {"id": f"{number:04d}", "headline": f"{HOSTILE} {number}", "text": f"{HOSTILE} {number}", **more}


def target(text: str) -> targets.Target:
    return targets.parse(text, lambda region: None)


def until(holds: Callable[[], bool]) -> None:
    """Wait for the thread, at most five seconds."""
    deadline = time.monotonic() + 5
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert holds()


def ids(sink: Sink) -> list[str]:
    return [json.loads(body)["id"] for body in sink.bodies]


def test_messages_wait_while_the_target_answers_500(tmp_path, sink):
    """Then each arrives once, in order; two lines are reported, without the secret."""
    box = Outbox(tmp_path, [target(sink.url)])
    sink.answer = 500
    for number in range(3):
        box.put(message(number))
    lines: list[str] = []
    until(lambda: bool(lines.extend(box.problems()) or lines))
    assert lines == ["webhook at 127.0.0.1: it answered 500; messages wait, and are sent again"]
    assert box.waiting == 3
    sink.answer = 200
    until(lambda: box.waiting == 0)
    assert box.close(1) == ""
    assert ids(sink) == ["0000", "0001", "0002"]
    assert [one["Idempotency-Key"] for one in sink.headers] == ids(sink)
    assert box.problems() == ["webhook at 127.0.0.1: messages are delivered again"]


@pytest.mark.parametrize("answer", [404, 410, 403, 400])
def test_a_message_that_is_refused_five_times_is_set_aside_until_the_next_watch(tmp_path, sink, answer):
    """Another attempt would change nothing; the line names the file, and the messages behind it are tried as well."""
    sink.answer = answer
    box = Outbox(tmp_path, [target(sink.url)])
    for number in range(2):
        box.put(message(number))
    until(lambda: box.waiting == 0)
    lines = box.problems()
    assert [
        line for line in lines if f"it answered {answer} 5 times in a row: the message is set aside" in line
    ] == lines[1:]
    tried = [json.loads(body)["id"] for body in sink.refused]
    assert len(lines) == 3 and tried == ["0000"] * 5 + ["0001"] * 5
    assert box.close(1) == "" and len(list(tmp_path.rglob("*.json.refused"))) == 2
    sink.answer = 200
    after = Outbox(tmp_path, [target(sink.url)])
    until(lambda: after.sent == 2)
    after.close(1)
    assert ids(sink) == ["0000", "0001"] and not list(tmp_path.rglob("*.refused"))


@pytest.mark.parametrize("answer", [408, 425, 429, 503])
def test_an_answer_about_the_moment_is_never_final(tmp_path, sink, answer):
    """A limit of requests, or a restart, passes."""
    sink.answer = answer
    box = Outbox(tmp_path, [target(sink.url)])
    box.put(message(1))
    until(lambda: len(sink.refused) > 2 * outbox.MOST_REFUSALS)
    assert box.waiting == 1
    sink.answer = 200
    until(lambda: box.waiting == 0)
    assert box.close(1) == ""


def test_messages_outlive_the_watch_while_the_target_is_down(tmp_path):
    """The next watch sends them; the files are readable by their owner only and hold no URL."""
    sink = Sink()
    box = Outbox(tmp_path, [target(sink.url)])
    box.put(message(1))
    left = box.close(0.1)
    assert left.startswith("messages not delivered: 1 for the webhook at 127.0.0.1. They wait in ")
    assert box.problems() == [
        "webhook at 127.0.0.1: it refused the connection; messages wait, and are sent again"
    ]
    (file,) = tmp_path.rglob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET.encode() not in everything and SECRET not in left
    with sink.serving():
        assert Outbox(tmp_path, [target(sink.url)]).close(5) == ""
    assert ids(sink) == ["0001"]


def test_a_slow_target_delays_nobody_and_gets_each_message_once(tmp_path, sink):
    """Putting a message takes no longer than writing it."""
    sink.wait_s = 0.3
    box = Outbox(tmp_path, [target(sink.url)])
    began = time.monotonic()
    for number in range(3):
        box.put(message(number))
    assert time.monotonic() - began < 0.3
    assert box.close(5) == ""
    assert ids(sink) == ["0000", "0001", "0002"]


def test_a_failure_of_any_kind_keeps_the_message_and_the_secret(tmp_path, capfd):
    """Also one that nobody has thought of: the thread goes on."""
    failing = [True]

    def send(message: messages.Message) -> None:
        if failing:
            raise RuntimeError(f"https://x/{SECRET}")

    box = Outbox(tmp_path, [targets.Target("webhook at x", "0", send)])
    box.put(message(1))
    lines: list[str] = []
    until(lambda: bool(lines.extend(box.problems()) or lines))
    assert lines == ["webhook at x: it failed with RuntimeError; messages wait, and are sent again"]
    failing.clear()
    assert box.close(5) == "" and SECRET not in "".join(capfd.readouterr())


def test_a_redirect_is_not_followed(tmp_path, sink):
    """Another host would learn the message, and perhaps the secret."""
    sink.answer, sink.location = 302, sink.url + "/elsewhere"
    box = Outbox(tmp_path, [target(sink.url)])
    box.put(message(1))
    assert "1 for the webhook" in box.close(0.2)
    assert box.problems()[0].startswith("webhook at 127.0.0.1: it answered 302;")


def test_a_message_that_cannot_be_read_is_set_aside(tmp_path, sink):
    """A damaged file, as after a power cut, does not keep the others."""
    one = target(sink.url)
    (tmp_path / one.key).mkdir()
    (tmp_path / one.key / "0-a.json").write_text("")
    box = Outbox(tmp_path, [one])
    box.put(message(2))
    assert box.close(5) == "" and ids(sink) == ["0002"]
    assert [line for line in box.problems() if "0-a.json.unreadable" in line]


def test_two_watches_do_not_share_a_folder(tmp_path, sink):
    """Both would send every message."""
    first = Outbox(tmp_path, [target(sink.url)])
    with pytest.raises(Error, match="Another watch alerts from .*--spool"):
        Outbox(tmp_path, [target(sink.url)])
    first.close(0)
    Outbox(tmp_path, [target(sink.url)]).close(0)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Error, match="Alerts cannot wait in .*: Not a directory. Choose another"):
        Outbox(tmp_path / "file" / "spool", [])


def test_open_alerts_outlive_the_watch(tmp_path):
    """A damaged or foreign file is no reason to fail."""
    box = Outbox(tmp_path, [])
    assert box.load() == State()
    hold = Hold(500, ("session 7 on db-1",), 1.0, 0, 9, 61.0, "session 7")
    box.save(State(holds=(hold, Hold(7, (), 1.0)), alerted={"session 7 on db-1": 61.0}))
    assert box.load() == State(holds=(hold,), alerted={"session 7 on db-1": 61.0})
    for content in ("", "[]", '{"holds": [{}], "alerted": {}}', '{"holds": 3, "alerted": null}'):
        (tmp_path / "open-alerts.json").write_text(content)
        assert box.load() == State()
    box.close(0)


# Targets


def test_a_command_gets_json_on_standard_input_without_a_shell_or_a_password(tmp_path, monkeypatch):
    """A semicolon is an argument; passwords and webhooks are not inherited."""
    monkeypatch.setenv("AURORA_ANALYSIS_PASSWORD", "pw")
    monkeypatch.setenv("AURORA_ANALYSIS_NOTIFY", SECRET)
    script = (
        "import json,os,sys;"
        "print(json.dumps([json.load(sys.stdin)['id'], sys.argv[2:], sorted(os.environ)]), file=open(sys.argv[1], 'w'))"
    )
    (tmp_path / "run.py").write_text(script)
    target(f"exec:{shlex.quote(sys.executable)} {tmp_path}/run.py {tmp_path}/out ; 'a b' $HOME").send(
        message(7)
    )
    received, arguments, variables = json.loads((tmp_path / "out").read_text())
    assert (received, arguments) == ("0007", [";", "a b", "$HOME"])
    assert not {"AURORA_ANALYSIS_PASSWORD", "AURORA_ANALYSIS_NOTIFY"} & set(variables)
    with pytest.raises(targets.DeliveryError, match="exit code 3"):
        target(f"exec:{shlex.quote(sys.executable)} -c 'raise SystemExit(3)'").send(message(1))


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path, monkeypatch):
    """It counts as failed, so that the message is sent again."""
    monkeypatch.setattr(targets, "TIMEOUT_S", 0.3)
    with pytest.raises(targets.DeliveryError, match=r"had not ended after 0\.3 s"):
        target(f"exec:sh -c 'sleep 60 & echo $! > {tmp_path}/pid; wait'").send(message(1))
    child = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    until(lambda: not child.exists() or child.read_text().split()[2] == "Z")


def test_a_file_gets_one_line_per_message(tmp_path):
    to = target(f"file:{tmp_path}/alerts.jsonl")
    for number in range(2):
        to.send(message(number))
    lines = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert [json.loads(one)["id"] for one in lines] == ["0000", "0001"]
    with pytest.raises(targets.DeliveryError, match="No such file"):
        target(f"file:{tmp_path}/none/alerts.jsonl").send(message(1))


class Topics:
    """Stands in for boto3's client of SNS."""

    def __init__(self, region: str) -> None:
        self.region, self.published = region, list[dict[str, str]]()

    def publish(self, **arguments: str) -> None:
        self.published.append(arguments)


def test_sns_gets_a_printable_subject_a_text_and_the_json():
    """SNS refuses a subject above 100 characters, or with others than printable ASCII."""
    clients: list[Topics] = []
    arn = "arn:aws:sns:eu-central-1:123456789012:dba"
    to = targets.parse(arn, lambda region: clients.append(Topics(region)) or clients[-1])
    to.send(message(1, headline=f"{HOSTILE} ü {'x' * 200}"))
    (sent,) = clients[0].published
    assert (clients[0].region, sent["TopicArn"], to.name) == ("eu-central-1", arn, "SNS topic dba")
    assert len(sent["Subject"]) == 100 and sent["Subject"].isascii() and sent["Subject"].isprintable()
    forms = json.loads(sent["Message"])
    assert json.loads(forms["default"])["id"] == "0001" and set(forms) == {"default", "email", "sms"}


def test_nothing_in_a_name_acts_in_slack():
    """No mention, no link; the block is plain text."""
    found = json.loads(messages.as_slack(message(1)))
    assert "<" not in found["text"] and "@here" not in found["text"]
    assert found["blocks"][0]["text"]["type"] == "plain_text"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"https://hooks.slack.com/services/{SECRET}", "webhook at hooks.slack.com"),
        (f"https://user:{SECRET}@relay.example:8443/x", "webhook at relay.example"),
        (f"slack:https://chat.example/hooks/{SECRET}", "webhook at chat.example"),
    ],
)
def test_the_name_of_a_webhook_is_its_host(text, expected):
    assert target(text).name == expected


@pytest.mark.parametrize(
    "text",
    [
        f"hooks.slack.com/{SECRET}",
        f"http://hooks.slack.com/{SECRET}",
        f"https://{SECRET}:port/",
        f"https:///{SECRET}",
        f"slack:{SECRET}",
        f"slack:file:{SECRET}",
        f"ftp://x/{SECRET}",
        f"https://x/{SECRET} y",
        f"https://x/{SECRET}\u00fc",
        f"exec:no-such-program {SECRET}",
        f"exec:sh '{SECRET}",
        "exec:",
        "file:",
        "",
    ],
)
def test_a_wrong_target_is_refused_without_repeating_it(text):
    """The text may be a secret with a typing error."""
    with pytest.raises(Error) as refused:
        target(text)
    assert SECRET not in str(refused.value) and str(refused.value).startswith("--notify")


def test_a_failure_does_not_repeat_the_url(monkeypatch, tmp_path):
    """Whatever the library's own text has."""
    for problem in (
        ValueError(f"bad {SECRET}"),
        OSError(f"no route to {SECRET}"),
        TimeoutError(SECRET),
    ):

        def failing(*_: object, problem: Exception = problem, **__: object) -> None:
            raise problem

        monkeypatch.setattr("urllib.request.OpenerDirector.open", failing)
        with pytest.raises(targets.DeliveryError) as failed:
            target(f"https://x/{SECRET}").send(message(1))
        assert SECRET not in str(failed.value) and failed.value.__suppress_context__
    assert list(Path(tmp_path).iterdir()) == []
