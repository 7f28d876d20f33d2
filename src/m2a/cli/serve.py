"""`m2a serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def serve(
    *,
    model: Annotated[tuple[str, ...], Parameter(negative=())],
    host: str = "127.0.0.1",
    port: int | None = None,
    max_megabytes: float = 50,
    max_seconds: float = 60,
    allowed_host: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    image_weights: Path | None = None,
    device: str | None = None,
) -> None:
    """Try models on a page in the browser: drop a clip, or record one with the camera.

    It shows the likeliest labels, where in the picture the evidence lies, and how long the network took; of several
    models side by side. Everything happens on this machine.

    Parameters
    ----------
    model:
        A folder that m2a train wrote (RUN, RUN/model, RUN/adapter), or owner/name on the hub. Repeat it to compare.
    host:
        The address to listen on. 0.0.0.0 lets other machines in; there is no password.
    port:
        By default the first free one from 7860 on.
    max_megabytes:
        Largest clip that is taken.
    max_seconds:
        Longest clip that is taken.
    allowed_host:
        A name under which browsers may ask for the page, of a web server that passes requests on. Repeat it for more.
    image_weights:
        For an adapter: the image checkpoint it was trained beside, when it is not where it was.
    device:
        cpu, cuda, ...; by default cuda where there is one.
    """
    from m2a.app import serve as serve_page
    from m2a.app.create import require_extra
    from m2a.app.server import check_host_name, listen
    from m2a.cli.output import CONSOLE
    from m2a.errors import ConfigError

    require_extra()  # before the models are read
    if len(set(model)) < len(model):
        raise ConfigError("A model is named twice; name each once with --model.")
    from m2a.app.limits import Limits
    from m2a.models import load_several
    from m2a.models.device import pick_device

    Limits(max_megabytes=max_megabytes, max_seconds=max_seconds)  # what is wrong is said before the models are read
    listen(host, port).close()
    for name in allowed_host:
        check_host_name(name)
    place = pick_device(device)
    CONSOLE.print("Reading the models ...")
    loaded = load_several(model, image_weights=image_weights)
    networks = {name: one.to(place) for name, one in zip(model, loaded, strict=True)}
    serve_page(
        networks,
        host=host,
        port=port,
        max_megabytes=max_megabytes,
        max_seconds=max_seconds,
        allowed_hosts=allowed_host,
        console=CONSOLE,
    )
