"""What `torch.compile` has to know of mechanisms: they are applied by hooks, at which it does not look by default.

It keeps a graph for each class of network, with conditions on what it saw, and takes it for the next network of the
class that meets them. By default none of them is on hooks (`torch._dynamo.config.skip_nnmodule_hook_guards`), so that
the graph of a bare network would be taken for the same network with mechanisms: it would run, and train, without them.
"""

from __future__ import annotations

import torch
import torch._dynamo.config


def guard_hooks() -> None:
    """Has graphs depend on hooks from here on, for all networks of the process. Those that were made before are dropped
    once, and made again when they are needed."""
    config = torch._dynamo.config
    if getattr(config, "skip_nnmodule_hook_guards", False):
        config.skip_nnmodule_hook_guards = False
        torch.compiler.reset()
