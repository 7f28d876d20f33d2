"""The web page on which one tries models on clips. It needs the extra `m2a[serve]`: Starlette and uvicorn."""

from m2a.app.create import create_app as create_app
from m2a.app.server import serve as serve

__all__ = ["create_app", "serve"]
