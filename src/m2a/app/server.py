"""Serving the page on this machine until it is stopped."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import re
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from m2a.app.create import PREFIX, create_app, require_extra
from m2a.errors import ConfigError

if TYPE_CHECKING:
    from m2a.models import VideoClassifier

FIRST_PORT, LAST_PORT = 7860, 7959
_PATIENCE = 3  # seconds that clips in hand have when the server is stopped


def serve(
    models: Mapping[str, VideoClassifier],
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    max_megabytes: float | int = 50,
    max_seconds: float | int = 60,
    allowed_hosts: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Serves the page until Ctrl-C, SIGTERM or SIGHUP (of a terminal that is closed), and prints its address.

    Args:
        models: by the names that the page gives them, left to right.
        host: the address to listen on. One that other machines reach is warned of: there is no password.
        port: by default the first free one from 7860 on; 0 lets the system choose.
        max_megabytes, max_seconds: what a clip may have.
        allowed_hosts: names under which browsers may ask for it besides this machine's own, such as that of a web
            server of yours which passes requests on: `clips.example.org`. Any, where `host` is open to other machines.
        console: where to print; by default stderr.

    Raises ConfigError for what `create_app` refuses, and when the host or the port cannot be used.
    """
    require_extra()
    for name in allowed_hosts:
        check_host_name(name)
    import uvicorn
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    console = console or Console(stderr=True)
    with _ending_quietly(), listen(host, port) as listening, _matplotlib_kept_out_of_home():
        app = create_app(models, max_megabytes=max_megabytes, max_seconds=max_seconds)
        local = is_loopback(host)
        if local:  # no other site may send this browser here under a name of its own
            hosts = ["localhost", "127.0.0.1", "[::1]", "[", host, *allowed_hosts]  # older ones see "[" of [::1]:7860
            app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
        address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
        if not local:
            console.print(
                f"Warning: other machines can reach {host}. Whoever does can hand in clips: no password, no "
                "encryption. The camera works in browsers on this machine alone.",
                style="yellow",
                highlight=False,
                soft_wrap=True,
            )

        class Server(uvicorn.Server):
            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                app.state.desk.stopping.set()
                logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # that clips are dropped is no failure
                await super().shutdown(sockets)

        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=_PATIENCE
        )
        console.print(Text(f"Open {address}  (Ctrl-C ends it)"), soft_wrap=True)
        Server(config).run(sockets=[listening])
    with suppress(OSError):  # of a terminal that was closed
        console.print("Stopped.")


def check_host_name(name: str) -> None:
    """Raises ConfigError for what is not a host's name alone, or one that begins with `*.`."""
    if not re.fullmatch(r"(?:\*\.)?[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]", name):
        raise ConfigError(
            f"{name!r} is no name of a host. Give it without http:// and without a port: clips.example.org; "
            "*.example.org stands for all below it."
        )


def listen(host: str, port: int | None) -> socket.socket:
    """A socket bound to `host`, at `port` or at the first that is free. Raises ConfigError when there is none."""
    if port is not None and not 0 <= port <= 65535:
        raise ConfigError(f"port is {port}; a port is a number from 1 to 65535, or 0 for any that is free.")
    try:
        found = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"The host {host!r} is not known here ({error}). Leave --host out, or give an address."
        ) from None
    family, _, _, _, place = found[0]
    for number in [port] if port is not None else range(FIRST_PORT, LAST_PORT + 1):
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((place[0], number))
            listening.listen(128)
            return listening
        except OSError as error:
            listening.close()
            if port is None and error.errno == errno.EADDRINUSE:
                continue
            raise ConfigError(_why_not_bound(host, number, error)) from None
    raise ConfigError(f"All ports from {FIRST_PORT} to {LAST_PORT} are in use on {host}. Name another with --port.")


def _why_not_bound(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"Port {port} on {host} is in use. Name another with --port; without it the first free one is taken."
        case errno.EACCES:
            return f"Port {port} on {host} is not for ordinary users. Name one from 1024 on with --port."
        case _:
            return f"{host} is no address of this machine ({error.strerror}). Leave --host out, or give one of its own."


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _matplotlib_kept_out_of_home() -> Iterator[None]:
    """When it is loaded, matplotlib writes settings and a list of fonts into the user's home. The page takes but a
    table of colours from it; meanwhile they go to a temporary folder. A list that is there is used, for making one
    takes long."""
    if "matplotlib" in sys.modules or "MPLCONFIGDIR" in os.environ:
        yield
        return
    with TemporaryDirectory(prefix=PREFIX) as folder:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "matplotlib"
        for fonts in cache.glob("fontlist-*.json"):
            shutil.copy(fonts, folder)
        os.environ["MPLCONFIGDIR"] = folder
        try:
            yield
        finally:
            del os.environ["MPLCONFIGDIR"]


@contextmanager
def _ending_quietly() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP end the block, in order: what it holds open is closed and removed. uvicorn stops at
    the first two as well, and then raises them again. Afterwards the handlers are as they were."""
    if threading.current_thread() is not threading.main_thread():  # who runs us in a thread handles signals
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def hang_up(number: int, frame: FrameType | None) -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # to whoever handles that at the moment

    handlers = {signal.SIGINT: end, signal.SIGTERM: end}
    closed = getattr(signal, "SIGHUP", None)  # not on Windows; ignored under nohup
    if closed is not None and signal.getsignal(closed) is not signal.SIG_IGN:
        handlers[closed] = hang_up
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
