"""The page as it is served: what goes over the wire, and what a person sees in a real browser."""

from __future__ import annotations

import base64
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import av
import pytest
from parts import LABELS, PATIENCE, Server, write_clip

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

pytest.importorskip("starlette", reason="the page needs the extra m2a[serve]")
pytestmark = pytest.mark.xdist_group("page")  # one server for all, where tests are sent to processes by group
TIMEOUT = 1000 * PATIENCE


@pytest.fixture(scope="module")
def server(models: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    arguments = [word for folder in models for word in ("--model", folder)]
    server = Server(tmp_path_factory.mktemp("server"), *arguments, "--max-megabytes", "0.5", "--max-seconds", "20")
    yield server
    with socket.create_connection((server.host, server.port), timeout=PATIENCE) as half:  # a clip on its way
        half.sendall(b"POST /predict?name=a.mp4 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf of it")
        server.wait_for(lambda: any(path.name == "clip" for path in server.left))
        assert server.stop(signal.SIGINT) == 0, server.said  # by Ctrl-C
    assert server.left == []
    assert server.said.splitlines()[-1] == "Stopped."
    assert "Traceback" not in server.said


@pytest.fixture
def page(server: Server, chromium: Browser) -> Iterator[Page]:
    """The page in a fresh window. At the end: no other host was asked for anything, and the console is clean."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, permissions=["camera"])
    page = context.new_page()
    page.set_default_timeout(TIMEOUT)
    asked: list[str] = []
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    page.on("request", lambda request: asked.append(request.url))

    def fail(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # by the page itself, of a clip that is cancelled
            complaints.append(f"{request.url}: {request.failure}")

    page.on("requestfailed", fail)
    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(server.address)
    yield page
    context.close()
    hosts = {urlsplit(url.removeprefix("blob:")).netloc for url in asked if not url.startswith("data:")}
    assert hosts == {f"127.0.0.1:{server.port}"}
    assert complaints == []


def wait_for_videos(page: Page, count: int) -> None:
    """Until `count` videos of a result have a picture and move."""
    page.wait_for_selector("#result:not([hidden])")
    page.wait_for_function(
        """count => {
            const videos = [...document.querySelectorAll('#columns video')];
            return videos.length === count && videos.every(video => video.videoWidth > 0 && video.currentTime > 0);
        }""",
        arg=count,
    )
    times = [video.evaluate("video => video.currentTime") for video in page.query_selector_all("#columns video")]
    page.wait_for_function(
        """times => {
            const videos = [...document.querySelectorAll('#columns video')];
            return videos.every((video, k) => video.currentTime !== times[k]);
        }""",
        arg=times,
    )


def test_a_clip_of_ones_own(page: Page, clip: Path) -> None:
    page.set_input_files("#file", clip)
    wait_for_videos(page, 3)
    assert page.inner_text("#result-title") == clip.name
    assert page.locator("#columns h3").all_inner_texts() == [
        "The clip",
        "resnet10t, mechanism none",
        "resnet10t, mechanism m2a",
    ]
    answers = page.locator("article.answer")
    assert answers.count() == 2
    for k in range(2):
        rows = answers.nth(k).locator(".guesses li")
        assert rows.count() == len(LABELS)
        shares = [float(text.removesuffix("%")) for text in rows.locator("b").all_inner_texts()]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(100, abs=0.2)
        assert re.fullmatch(
            r"The network took [\d.]+ ms for the clip\.", answers.nth(k).locator(".latency").inner_text()
        )
        first = rows.nth(0).locator("span").inner_text()
        assert answers.nth(k).locator(".caption").inner_text() == f"Evidence for “{first}”"
    assert re.search(r"Reading and decoding took [\d.]+ ms", page.locator("article.clip").inner_text())
    page.click("#pause")
    assert page.evaluate("[...document.querySelectorAll('#columns video')].every(video => video.paused)")


def test_an_example(page: Page) -> None:
    assert page.locator(".example").all_inner_texts() == list(LABELS)
    page.locator(".example").nth(1).click()
    wait_for_videos(page, 3)
    assert page.inner_text("#result-title") == f"Example: {LABELS[1]}"
    assert page.get_by_text("✓ what it shows").count() == 2


def test_a_file_dropped_on_the_page(page: Page, clip: Path) -> None:
    content = base64.b64encode(clip.read_bytes()).decode()
    page.evaluate(
        """content => {
            const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
            const dropped = new DataTransfer();
            dropped.items.add(new File([bytes], "dropped.mp4"));
            const options = {dataTransfer: dropped, bubbles: true, cancelable: true};
            document.body.dispatchEvent(new DragEvent("drop", options));
        }""",
        content,
    )
    wait_for_videos(page, 3)
    assert page.inner_text("#result-title") == "dropped.mp4"


def test_a_recording(page: Page) -> None:
    page.click("#camera-open")
    page.wait_for_function("() => document.getElementById('preview').videoWidth > 0")
    page.click("#record")
    wait_for_videos(page, 3)
    assert page.inner_text("#result-title") == "Your recording"
    page.click("#camera-close")
    assert page.is_visible("#camera-open")


def test_a_file_given_during_a_recording_is_not_replaced_by_it(page: Page, clip: Path) -> None:
    page.click("#camera-open")
    page.wait_for_function("() => document.getElementById('preview').videoWidth > 0")
    page.click("#record")
    page.set_input_files("#file", clip)
    wait_for_videos(page, 3)
    page.wait_for_function("() => !document.getElementById('record').disabled")
    page.wait_for_timeout(300)
    assert page.inner_text("#result-title") == clip.name
    assert page.inner_text("#record") == "Record 3 seconds"


def test_what_does_not_concern_the_clip_leaves_its_result(page: Page) -> None:
    page.locator(".example").nth(1).click()
    wait_for_videos(page, 3)
    page.evaluate(
        """() => {
            const dropped = new DataTransfer();
            for (const name of ["one.mp4", "two.mp4"]) dropped.items.add(new File([name], name));
            const options = {dataTransfer: dropped, bubbles: true, cancelable: true};
            document.body.dispatchEvent(new DragEvent("drop", options));
        }"""
    )
    assert page.inner_text("#notice") == "2 files were dropped. Give one clip at a time."
    assert page.is_visible("#result")
    page.locator(".example").nth(0).click()
    page.wait_for_selector("#notice", state="hidden")
    wait_for_videos(page, 3)


def test_a_clip_that_is_cancelled(page: Page, clip: Path) -> None:
    page.route("**/predict?*", lambda _: None)  # it is not answered
    page.set_input_files("#file", clip)
    page.wait_for_function("() => document.getElementById('status').textContent.startsWith('Sending')")
    page.click("#cancel")
    assert page.is_hidden("#waiting")
    assert page.is_hidden("#error")
    page.unroute("**/predict?*")
    page.set_input_files("#file", clip)
    wait_for_videos(page, 3)


def test_files_that_are_refused(page: Page, clip: Path, tmp_path: Path) -> None:
    def give(path: Path) -> str:
        page.set_input_files("#file", path)
        page.wait_for_selector("#error:not([hidden])")
        assert page.is_hidden("#waiting")
        assert page.is_hidden("#result")
        return page.inner_text("#error")

    (tmp_path / "notes <b>.txt").write_text("hello there")
    assert re.match(
        r"notes <b>\.txt cannot be read: this is not a video.* A clip may have up to", give(tmp_path / "notes <b>.txt")
    )
    (tmp_path / "large.mp4").write_bytes(bytes(600_000))
    assert re.match(r"large\.mp4 has 0\.6 MB\. A clip may have up to 0\.5 MB and 20 s", give(tmp_path / "large.mp4"))
    (tmp_path / "empty.mp4").touch()
    assert re.match(r"empty\.mp4 is empty \(0 bytes\)", give(tmp_path / "empty.mp4"))
    assert re.match(r"long\.mp4 lasts 21 s", give(write_clip(tmp_path / "long.mp4", num_frames=210)))
    page.set_input_files("#file", clip)
    wait_for_videos(page, 3)
    assert page.is_hidden("#error")


def test_on_a_phone_and_in_the_dark(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    page.locator(".example").nth(0).click()
    wait_for_videos(page, 3)
    boxes = [article.bounding_box() for article in page.query_selector_all("#columns article")]
    assert len({box["x"] for box in boxes if box}) == 1  # one above the other
    tops = [page.locator(f"article.{kind}").first.bounding_box() for kind in ("answer", "clip")]
    assert tops[0]["y"] < tops[1]["y"]  # what the models say comes first, and the labels before the picture
    first = page.locator("article.answer").first
    assert first.locator(".guesses").bounding_box()["y"] < first.locator("video").bounding_box()["y"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"


def test_the_page_names_no_address_outside(server: Server) -> None:
    _, headers, html = server.get("/")
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    parts = set(re.findall(r'(?:src|href)="([^"]+)"', html.decode()))
    assert {"page.css", "page.js", "icon.svg", "examples/0.mp4"} <= parts
    for part in parts:
        status, _, content = server.get(f"/{part}")
        assert status == 200
        if not part.endswith(".mp4"):
            assert (
                re.findall(r"(?:https?:|[\"'(])//[^\s\"']+", content.decode().replace("http://www.w3.org/2000/svg", ""))
                == []
            )
    assert re.findall(r"(?:https?:)?//[\w.-]+", html.decode()) == []


def test_twenty_at_once(server: Server, clip: Path) -> None:
    content = clip.read_bytes()
    with ThreadPoolExecutor(20) as people:
        answers = list(people.map(lambda k: server.predict(content, f"{k}.mp4"), range(20)))
    assert [status for status, _ in answers] == [200] * 20
    assert [answer["name"] for _, answer in answers] == [f"{k}.mp4" for k in range(20)]
    assert server.get("/queue")[2] == b'{"waiting":0,"before":null}'


@pytest.mark.parametrize(
    ("asked", "part"), [("bytes=0-1", slice(0, 2)), ("bytes=5-", slice(5, None)), ("bytes=-7", slice(-7, None))]
)
def test_examples_come_in_parts(server: Server, asked: str, part: slice) -> None:
    """Safari plays no video that it cannot have so."""
    whole = server.get("/examples/0.mp4")[2]
    status, _, body = server.get("/examples/0.mp4", Range=asked)
    assert (status, body) == (206, whole[part])
    assert server.get("/examples/0.mp4", Range=f"bytes={len(whole)}-")[0] == 416


def test_what_a_program_gets(server: Server, clip: Path) -> None:
    status, answer = server.predict(clip.read_bytes(), r"C:\films\a.mp4")
    assert status == 200
    assert answer["name"] == "a.mp4"
    for part in (answer, *answer["answers"]):
        with av.open(BytesIO(base64.b64decode(part["video"]))) as container:
            assert container.streams.video[0].codec_context.name == "h264"
            assert container.streams.video[0].frames == 13
    status, answer = server.predict(b"hello", "../a\x00.mp4")
    assert status == 422
    assert answer["error"].startswith("a.mp4 cannot be read: this is not a video")
    status, answer = server.predict(bytes(3_000_000))
    assert status == 422
    assert answer["error"].startswith("clip.mp4 has 3 MB. A clip may have up to 0.5 MB")
    status, answer = server.predict(b"", "")
    assert answer["error"].startswith("The clip is empty")
    status, _, content = server.get("/examples/17.mp4")
    assert (status, content) == (404, b'{"error":"There are 3 examples, numbered from 0."}')


def test_other_sites_cannot_send_a_browser_here_under_their_name(server: Server) -> None:
    assert "other machines can reach" not in server.said
    assert server.get("/", Host="elsewhere.example")[0] == 400
    assert server.get("/", Host=f"localhost:{server.port}")[0] == 200


def test_no_file_is_kept(server: Server, clip: Path) -> None:
    assert server.predict(clip.read_bytes())[0] == 200
    assert server.predict(b"hello")[0] == 422
    server.wait_for(lambda: server.get("/queue")[2] == b'{"waiting":0,"before":null}')
    assert [path for path in server.left if path.is_file() and not path.name.startswith("fontlist")] == []
    assert "Traceback" not in server.said


def test_pages_of_other_sites_are_refused(server: Server, clip: Path) -> None:
    """A browser tells whose page asks, of itself; curl and other programs tell nothing."""
    here = f"127.0.0.1:{server.port}"
    for foreign in (
        {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Origin": f"http://{here}"},
        {"Origin": "https://evil.example"},
        {"Origin": f"http://evil.example:{server.port}"},
        {"Origin": "null"},
    ):
        status, answer = server.predict(clip.read_bytes(), **foreign)
        assert (status, list(answer)) == (403, ["error"]), foreign
    for own in ({"Origin": f"http://{here}"}, {"Origin": f"http://{here}", "Sec_Fetch_Site": "same-origin"}):
        assert server.predict(b"hello", **own)[0] == 422
    assert server.predict(b"hello", Sec_Fetch_Site="none")[0] == 422
