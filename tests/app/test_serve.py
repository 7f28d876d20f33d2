"""`m2a serve`: how it starts, what it refuses, and how it ends; and the application inside of another."""

from __future__ import annotations

import importlib
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from parts import LABELS, PATIENCE, tiny_model
from torch import nn

from m2a.app import create_app, serve
from m2a.app.server import FIRST_PORT, is_loopback, listen
from m2a.cli import main
from m2a.errors import ConfigError

pytest.importorskip("starlette", reason="the page needs the extra m2a[serve]")
pages = importlib.import_module("m2a.app.pages")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_order(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever it has come to; `test_page` ends a whole server, with a clip on its way."""
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: signal.raise_signal(number))
    before = signal.getsignal(number)
    serve({"it": tiny_model()}, port=0)
    assert capsys.readouterr().err.splitlines()[-1] == "Stopped."
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("host", "status"), [("0.0.0.0", 200), ("127.0.0.1", 400)])
def test_open_to_other_machines(
    host: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It warns of them, and goes by their names for this machine, which a page for this machine alone refuses."""
    served: list[Any] = []
    monkeypatch.setattr("uvicorn.Server.run", lambda self, **_: served.append(self.config.app))
    serve({"it": tiny_model()}, host=host, port=0)
    warned = "Warning: other machines can reach 0.0.0.0." in capsys.readouterr().err
    assert warned == (host == "0.0.0.0")
    assert ask(served[0], "/", host="this-machine.example")[0] == status


def test_names_of_a_web_server_that_passes_requests_on(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []
    monkeypatch.setattr("uvicorn.Server.run", lambda self, **_: served.append(self.config.app))
    serve({"it": tiny_model()}, port=0, allowed_hosts=["clips.example.org"])
    hosts = ["clips.example.org", "clips.example.org:8443", "localhost", "127.0.0.1:7860", "other.example.org"]
    assert [ask(served[0], "/", host=host)[0] for host in hosts] == [200, 200, 200, 200, 400]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "port is 70000"),
        (["--allowed-host", "https://clips.example.org"], "is no name of a host. Give it without http://"),
        (["--allowed-host", "clips.example.org:8443"], "is no name of a host. Give it without http://"),
        (["--max-seconds", "0"], "max_seconds is 0.0; it must be a number above 0."),
    ],
)
def test_what_is_wrong_is_said_before_the_models_are_read(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--model", "/nowhere/model", *arguments])
    said = " ".join(capsys.readouterr().err.split())
    assert message in said
    assert "Reading" not in said


@pytest.mark.parametrize(
    ("models_given", "message"),
    [
        (("/nowhere/model",), "error: There is no folder /nowhere/model."),
        (("a/b", "a/b"), "error: A model is named twice; name each once with --model."),
        (("runs/a b",), "error: There is no folder runs/a b, and no model on the hub can be called so."),
    ],
)
def test_models_that_are_not_there(
    models_given: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no folder runs, as there is behind the demo
    with pytest.raises(SystemExit) as end:
        main(["serve", *(word for model in models_given for word in ("--model", model))])
    assert end.value.code == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("module", ["starlette", "uvicorn"])
def test_without_the_extra(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    message = rf'The page needs {module}, which is not installed: pip install "starlette>=0.45" "uvicorn>=0.34"'
    with pytest.raises(ConfigError, match=message):
        create_app({"it": tiny_model()})
    with pytest.raises(ConfigError, match=message):
        serve({"it": tiny_model()})


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"Port {port} on 127\.0\.0\.1 is in use\. Name another with --port"):
            serve({"it": tiny_model()}, port=port)


def test_without_a_port_the_first_free_one_is_taken() -> None:
    with listen("127.0.0.1", None) as first, listen("127.0.0.1", None) as second:
        ports = first.getsockname()[1], second.getsockname()[1]
    assert min(ports) >= FIRST_PORT
    assert ports[0] != ports[1]


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none(port: int) -> None:
    with pytest.raises(ConfigError, match=rf"port is {port}; a port is a number from 1 to 65535"):
        listen("127.0.0.1", port)


def test_a_host_that_is_none() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.7 is no address of this machine .* Leave --host out"):
        listen("192.0.2.7", 0)
    with pytest.raises(ConfigError, match=r"The host 'a b' is not known here .* Leave --host out"):
        listen("a b", 0)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
        ("10.0.0.3", False),
    ],
)  # fmt: skip
def test_which_hosts_are_this_machine_alone(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("clip.mp4", "clip.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\films\\a b.mp4", "a b.mp4"),
        ("a\x00\x1b[31m\n.mp4", "a[31m.mp4"),
        ("", "The clip"),
        ("films/", "The clip"),
        (61 * "x", 57 * "x" + "..."),
    ],
)
def test_names_as_they_are_shown(given: str, shown: str) -> None:
    from m2a.app.pages import shown_name

    assert shown_name(given) == shown


def ask(
    app: Any,
    path: str,
    body: bytes | None = None,
    *,
    gone: bool = False,
    stalls: bool = False,
    asked: str = "",
    host: str = "localhost",
    kind: str = "video/mp4",
) -> tuple[int, bytes]:
    """Status and content of one request to an ASGI application; `gone` hangs up once it has been sent, `stalls` sends
    no end, `asked` is a range of bytes."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET" if body is None else "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", host.encode()), (b"range", asked.encode()), (b"content-type", kind.encode())],
    }
    coming = [{"type": "http.request", "body": body or b"", "more_body": stalls}]
    going: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if coming:
            return coming.pop(0)
        if not gone:
            await anyio.sleep_forever()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        going.append(message)

    async def call() -> None:
        await app(scope, receive, send)

    anyio.run(call)
    return going[0]["status"], b"".join(message.get("body", b"") for message in going)


def test_inside_of_another_application(clip: Path) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    app = Starlette(routes=[Mount("/try", create_app({"mine": tiny_model()}, max_megabytes=1))])
    status, html = ask(app, "/try/")
    assert status == 200
    assert b'href="page.css"' in html
    assert b"A clip may have up to 1 MB and 60 s" in html
    status, content = ask(app, "/try/predict?name=a.mp4", clip.read_bytes())
    assert status == 200
    answer = json.loads(content)["answers"][0]
    assert answer["details"] == "mine; sees 3 frames of 32 x 32 pixels"
    assert {guess["label"] for guess in answer["guesses"]} == set(LABELS)


def test_a_clip_that_nobody_waits_for_is_not_looked_at(clip: Path) -> None:
    assert ask(create_app({"it": tiny_model()}), "/predict", clip.read_bytes(), gone=True) == (499, b"")


def test_what_should_not_happen_is_said_and_logged(clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_model()
    app = create_app({"it": model})
    model.head = nn.Linear(7, 3)  # not as wide as the features
    status, content = ask(app, "/predict?name=a.mp4", clip.read_bytes())
    assert status == 500
    assert json.loads(content)["error"] == (
        "Something went wrong with a.mp4, which should not happen. The terminal where the page was started says why."
    )
    assert "a.mp4 could not be looked at" in caplog.text
    assert "Traceback" in caplog.text


def test_a_clip_that_stops_coming_keeps_nobody_waiting(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "SILENCE", 0.02)
    app = create_app({"it": tiny_model()})
    status, content = ask(app, "/predict?name=a.mp4", clip.read_bytes()[:100], stalls=True)
    assert status == 408
    assert json.loads(content)["error"] == "a.mp4 stopped coming: nothing for 0.02 seconds. Send it again."
    monkeypatch.setattr(pages, "SILENCE", PATIENCE)
    lines: list[bytes] = []

    async def receive() -> dict[str, Any]:
        lines.append(await anyio.to_thread.run_sync(lambda: ask(app, "/queue")[1]))
        return {"type": "http.disconnect"}

    async def call() -> None:
        scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": []}
        await app(scope, receive, _drop)

    anyio.run(call)
    assert lines == [b'{"waiting":0,"before":null}']  # while it is on its way
    assert ask(app, "/predict", clip.read_bytes())[0] == 200


def test_a_clip_that_comes_too_slowly(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "ARRIVAL", 0.06)
    status, content = ask(create_app({"it": tiny_model()}), "/predict?name=a.mp4", clip.read_bytes()[:9], stalls=True)
    assert status == 408
    assert json.loads(content)["error"] == "a.mp4 was not here after 0.001 minutes. Send a smaller one."


def test_a_body_without_an_end_is_not_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "TOO_MUCH", 300_000)
    app = create_app({"it": tiny_model()}, max_megabytes=0.1)
    status, content = ask(app, "/predict?name=a.mp4", bytes(400_001), stalls=True)
    assert status == 413
    assert json.loads(content)["error"].startswith("a.mp4 has over 0.4 MB. A clip may have up to 0.1 MB and 60 s")


def test_a_form_is_told_how_clips_are_sent(clip: Path) -> None:
    app = create_app({"it": tiny_model()})
    status, content = ask(app, "/predict", clip.read_bytes(), kind="multipart/form-data; boundary=x")
    assert status == 415
    assert "curl --data-binary @clip.mp4" in json.loads(content)["error"]


def test_a_clip_is_given_up_when_its_page_is_left(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next one is looked at; meanwhile each can ask how many are before it."""
    app = create_app({"it": tiny_model()})
    monkeypatch.setattr(pages, "LOOKING", 0.01)
    places: list[Any] = []
    given_up: list[bool] = []

    def endless(*arguments: Any) -> Any:
        stopped = arguments[-1]
        for ticket in ("first", "second", "none"):
            places.append(json.loads(ask(app, f"/queue?ticket={ticket}")[1]))
        for _ in range(100 * PATIENCE):
            if stopped():
                given_up.append(True)
                raise pages.StoppedError
            time.sleep(0.01)

    monkeypatch.setattr(pages, "analyse", endless)

    async def receive() -> dict[str, Any]:
        if not sent:
            sent.append(True)
            return {"type": "http.request", "body": clip.read_bytes(), "more_body": False}
        if not places:
            await anyio.sleep_forever()
        return {"type": "http.disconnect"}

    sent: list[bool] = []
    going: list[Any] = []

    async def send(message: dict[str, Any]) -> None:
        going.append(message)

    async def call() -> None:
        scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"ticket=first", "headers": []}
        await app(scope, receive, send)

    anyio.run(call)
    assert given_up == [True]
    assert going[0]["status"] == 499
    assert places == [{"waiting": 1, "before": 0}, {"waiting": 1, "before": None}, {"waiting": 1, "before": None}]
    assert ask(app, "/queue")[1] == b'{"waiting":0,"before":null}'


async def _drop(message: dict[str, Any]) -> None:
    pass


@pytest.mark.parametrize("name", ["ARRIVING", "LINE"])
def test_so_many_and_no_more(name: str, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, name, 0)
    status, content = ask(create_app({"it": tiny_model()}), "/predict", clip.read_bytes())
    assert status == 503
    assert json.loads(content)["error"].endswith("already. Try again in a moment.")


@pytest.mark.parametrize("asked", [f"bytes={'9' * 5000}-", f"bytes=-{'9' * 5000}", f"bytes=0-{'9' * 5000}"])
def test_a_range_of_too_many_digits_is_no_range(asked: str) -> None:
    app = create_app({"it": tiny_model()})
    assert ask(app, "/examples/0.mp4", asked=asked) == ask(app, "/examples/0.mp4")
