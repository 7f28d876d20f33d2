"""What a browser asks for, and what is answered.

| address | answers |
|---|---|
| `GET /` | the page |
| `GET /page.css`, `/page.js`, `/icon.svg`, `/examples/N.mp4` | its parts; it has no others |
| `POST /predict?name=clip.mp4`, the file as the body | JSON of an `Analysis`, or `{"error": sentence}` |
| `GET /queue` | `{"waiting": clips in line, the one in hand included, "before": null}` |
| `GET /queue?ticket=ID` | likewise; `before` is how many are before the clip that came with `&ticket=ID` |
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import AsyncGenerator, Sequence
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import anyio
from anyio.to_thread import run_sync
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from m2a.app.analysis import Analysis, Entrant, StoppedError, analyse
from m2a.app.create import PREFIX
from m2a.app.examples import Example
from m2a.app.limits import Limits
from m2a.errors import DataError, M2AError, UnreadableClipError

LINE = 50
"""Clips that may be in line at once: each lies in the temporary folder meanwhile."""
ARRIVING = 50
"""Clips that may be on their way here at once. They are not in line yet: one that stalls keeps no other waiting."""
SILENCE = 60.0
"""Seconds without a byte after which a clip is no longer waited for."""
ARRIVAL = 900.0
"""Seconds after which a clip has to be here."""
TOO_MUCH = 200_000_000
"""Bytes above the limit of a clip's size: who sends more is not listened to any longer."""
LOOKING = 0.25
"""Seconds between two looks whether who gave the clip in hand is still there."""
MAX_TICKET = 64
"""Characters of what a page calls its clip in line."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "Permissions-Policy": "camera=(self), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
"""With the first one the browser itself refuses whatever is not of the page's own address."""
_PARTS = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
_log = logging.getLogger("m2a.app")


class Desk:
    """Where clips are handed in, and everything that the answers need."""

    def __init__(self, *, entrants: Sequence[Entrant], examples: Sequence[Example], limits: Limits) -> None:
        self.entrants = tuple(entrants)
        self.examples = tuple(examples)
        self.limits = limits
        self.arriving = 0
        self.line: list[str] = []
        """Tickets of the clips in line, the one in hand first."""
        self.stopping = threading.Event()
        """Set when the page is stopped: clips in hand are given up then."""
        self._turn = anyio.Lock()
        environment = Environment(
            loader=PackageLoader("m2a.app", "static"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._html = environment.get_template("page.html.j2").render(
            examples=self.examples, entrants=self.entrants, limits=limits
        )

    async def page(self, request: Request) -> Response:
        return HTMLResponse(self._html)

    async def part(self, request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        return Response((files("m2a.app") / "static" / name).read_bytes(), media_type=_PARTS[name])

    async def example(self, request: Request) -> Response:
        number = request.path_params["number"]
        if number >= len(self.examples):
            return _refusal(request, 404, f"There are {len(self.examples)} examples, numbered from 0.")
        return _video(request, self.examples[number].video)

    async def queue(self, request: Request) -> Response:
        ticket = request.query_params.get("ticket")
        before = self.line.index(ticket) if ticket and ticket in self.line else None
        return JSONResponse({"waiting": len(self.line), "before": before})

    async def predict(self, request: Request) -> Response:
        """Takes a clip, waits for its turn, answers. Whatever happens, the clip is deleted."""
        if is_from_elsewhere(request):
            return _refusal(request, 403, "Clips are taken from this page alone, not from those of other sites.")
        if self.arriving >= ARRIVING:
            return _refusal(request, 503, f"{ARRIVING} clips are on their way here already. Try again in a moment.")
        name = shown_name(request.query_params.get("name", ""))
        try:
            with TemporaryDirectory(prefix=PREFIX) as folder:
                path = Path(folder) / "clip"
                self.limits.check_size(name, await self._arrival(request, path))
                if len(self.line) >= LINE:
                    return _refusal(request, 503, f"{LINE} clips are in line already. Try again in a moment.")
                analysis = await self._in_turn(request, path, name)
            return JSONResponse(await run_sync(Analysis.to_dict, analysis))
        except _ArrivalError as error:
            return _refusal(request, error.status, f"{name} {error}")
        except UnreadableClipError as error:
            return _refusal(request, 422, f"{name} cannot be read: {error.reason}. {self.limits.allowed}")
        except DataError as error:
            return _refusal(request, 422, str(error))
        except ClientDisconnect:
            return Response(status_code=499)
        except StoppedError:
            if not self.stopping.is_set():
                return Response(status_code=499)
            return _refusal(request, 503, f"The page is being stopped; {name} was not looked at.")
        except Exception as error:  # the page shows a sentence, the terminal what happened
            _log.exception("%s could not be looked at", name)
            reason = str(error) if isinstance(error, M2AError) else "The terminal where the page was started says why."
            return _refusal(request, 500, f"Something went wrong with {name}, which should not happen. {reason}")

    async def _arrival(self, request: Request, path: Path) -> int:
        """Writes the clip to `path`; returns its length. Raises _ArrivalError when it does not come, StoppedError."""
        self.arriving += 1
        try:
            return await _receive(request, path, self.limits, self.stopping)
        finally:
            self.arriving -= 1

    async def _in_turn(self, request: Request, path: Path, name: str) -> Analysis:
        """Looks at a clip that is here when it is its turn. Raises StoppedError where nobody waits for it any more."""
        ticket = request.query_params.get("ticket", "")[:MAX_TICKET]
        self.line.append(ticket)
        gone = threading.Event()

        def look() -> Analysis | Exception:
            try:
                return analyse(self.entrants, path, name, self.limits, lambda: gone.is_set() or self.stopping.is_set())
            except Exception as error:  # raised again below: a task group would wrap it
                return error

        try:
            async with self._turn:
                if await request.is_disconnected():
                    raise StoppedError
                async with anyio.create_task_group() as group:
                    group.start_soon(_watch, request, gone)
                    outcome = await run_sync(look)
                    group.cancel_scope.cancel()
        finally:
            self.line.remove(ticket)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def _watch(request: Request, gone: threading.Event) -> None:
    while not await request.is_disconnected():
        await anyio.sleep(LOOKING)
    gone.set()


class _ArrivalError(Exception):
    """A clip is not here, and is not waited for any longer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def application(desk: Desk) -> Starlette:
    """The routes to a desk."""
    app = Starlette(
        routes=[
            Route("/", desk.page),
            Route("/predict", desk.predict, methods=["POST"]),
            Route("/queue", desk.queue),
            Route("/examples/{number:int}.mp4", desk.example),
            *(Route(f"/{name}", desk.part) for name in _PARTS),
        ],
        middleware=[Middleware(_WithHeaders)],
    )
    app.state.desk = desk
    return app


def _video(request: Request, content: bytes) -> Response:
    """The video, or the bytes of it that are asked for: some browsers play none that they cannot have in parts."""
    headers, size = {"Accept-Ranges": "bytes"}, len(content)
    asked = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", request.headers.get("range", ""))
    if asked is None or asked.groups() == ("", ""):
        return Response(content, media_type="video/mp4", headers=headers)
    if asked[1]:
        first, last = int(asked[1]), min(int(asked[2] or size), size - 1)
    else:
        first, last = max(0, size - int(asked[2])), size - 1
    if first > last:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Response(content[first : last + 1], status_code=206, media_type="video/mp4", headers=headers)


def is_from_elsewhere(request: Request) -> bool:
    """Whether a browser sent it for the page of another site: it says so itself, and no page can change what it says.
    To addresses without encryption, other than of its own machine, it only names the page's origin. What is not a
    browser says neither."""
    if site := request.headers.get("sec-fetch-site"):
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()


def shown_name(given: str) -> str:
    """A file's name as messages show it: without folders or control characters, and not too long."""
    name = given.replace("\\", "/").rpartition("/")[2]
    name = "".join(letter for letter in name if letter.isprintable()).strip()
    return f"{name[:57]}..." if len(name) > 60 else name or "The clip"


async def _receive(request: Request, path: Path, limits: Limits, stopping: threading.Event) -> int:
    """Writes the body to `path`, up to a little over the limit; returns its length. The rest is read and dropped,
    for a browser shows no answer before it has sent everything.

    Raises _ArrivalError after `SILENCE` without a byte, after `ARRIVAL`, and for a body that is far above the limit or
    a form; StoppedError."""
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise _ArrivalError(415, "came in a form. Send the file itself as the body: curl --data-binary @clip.mp4.")
    limit = limits.max_bytes
    length, end, stream = 0, anyio.current_time() + ARRIVAL, request.stream()
    with path.open("wb") as file:
        while (chunk := await _next(stream, end)) is not None:
            if length <= limit:
                file.write(chunk)
            length += len(chunk)
            if length > limit + TOO_MUCH:
                raise _ArrivalError(413, f"has over {(limit + TOO_MUCH) / 1e6:g} MB. {limits.allowed}")
            if stopping.is_set():
                raise StoppedError
    return length


async def _next(stream: AsyncGenerator[bytes], end: float) -> bytes | None:
    seconds = min(SILENCE, end - anyio.current_time())
    try:
        with anyio.fail_after(seconds):
            return await anext(stream, None)
    except TimeoutError:
        if seconds < SILENCE:
            raise _ArrivalError(408, f"was not here after {ARRIVAL / 60:g} minutes. Send a smaller one.") from None
        raise _ArrivalError(408, f"stopped coming: nothing for {SILENCE:g} seconds. Send it again.") from None


def _refusal(request: Request, status: int, message: str) -> JSONResponse:
    """The page asks for `errors=200`: it shows the message, where the browser would add its own to the console."""
    return JSONResponse({"error": message}, status_code=200 if request.query_params.get("errors") == "200" else status)


class _WithHeaders:
    """Adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)
