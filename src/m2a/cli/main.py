"""Dispatch to the verbs, and errors without tracebacks."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from cyclopts import App, ArgumentCollection, CoercionError, CycloptsError, Parameter, UnusedCliTokensError
from rich.console import Console
from rich.text import Text

from m2a.cli.output import SafeConsole
from m2a.ending import DISK_FULL, terminated_in_order
from m2a.errors import M2AError, Terminated


def _version() -> str:
    from importlib.metadata import version  # a tenth of what a start takes

    return version("m2a")


app = App(
    name="m2a",
    help="Give any image backbone a sense of motion: train, evaluate and ship video classifiers.",
    version=_version,
    help_format="plaintext",
    default_parameter=Parameter(consume_multiple=True, negative_iterable=(), json_list=False),  # [x].mp4 is a name
    suppress_keyboard_interrupt=False,  # main says it
)
app.command("m2a.cli.demo:demo", name="demo", help="See it work, from nothing: draw clips, train, compare, report.")
app.command("m2a.cli.train:train", name="train", help="Train a video classifier on your clips.")
app.command("m2a.cli.evaluate:evaluate", name="evaluate", help="Measure a model: top-1, top-5, per class, confusion.")
app.command("m2a.cli.compare:compare", name="compare", help="Compare runs clip by clip: gains, losses, intervals.")
app.command("m2a.cli.report:report", name="report", help="Write the page about a run again, or about several.")
app.command("m2a.cli.predict:predict", name="predict", help="Name the action in videos.")
app.command("m2a.cli.watch:watch", name="watch", help="Name the action in a camera's frames, as they come.")
app.command("m2a.cli.explain:explain", name="explain", help="Show where models look in a video.")
app.command("m2a.cli.serve:serve", name="serve", help="Try models on clips, on a page in the browser.")
app.command("m2a.cli.export:export", name="export", help="Write a model to one file: ONNX, or for torch.")
app.command("m2a.cli.convert:convert", name="convert", help="Make a model of another project's checkpoint.")
app.command("m2a.cli.macs:macs", name="macs", help="Count multiply-adds and parameters.")
app.command("m2a.cli.list:app", name="list", help="List mechanisms and backbones.")
app.command("m2a.cli.paper:app", name="paper", help="Run the rows of the paper's tables, and compare.")
app.command("m2a.cli.data:app", name="data", help="Check, describe, copy and draw data sets.")
app.command("m2a.cli.bench:app", name="bench", help="Measure speed, side by side in one run.")
app.command("m2a.cli.doctor:doctor", name="doctor", help="Check that this installation can do its work.")

_NO_PLACE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
_NO_PLACE |= {errno.ENOENT, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP, errno.ENODEV, errno.EIO, errno.ESTALE}
_CPU_MEMORY = "DefaultCPUAllocator: "  # "can't allocate memory" and "not enough memory", of a plain RuntimeError


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line. Exits with 1 and one message for an `M2AError` or a path that the system refuses, with 2
    for words that it does not know, with 130 when interrupted, with 143 when asked to end by SIGTERM."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")  # names of files may be of another encoding
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    app.config = (_whole_numbers,)
    try:
        if tokens[:1] == ["train"]:
            from m2a.cli.train import option_sources

            app.config = (*option_sources(tokens[1:]), _whole_numbers)
        elif tokens[:2] == ["paper", "run"]:
            from m2a.cli.paper import option_sources as paper_sources

            app.config = (*paper_sources(tokens[2:]), _whole_numbers)
        with terminated_in_order():
            app(tokens, exit_on_error=False)
    except CycloptsError as error:  # the parser has said it
        if isinstance(error, UnusedCliTokensError) and (hint := _repeat_the_option(error, tokens)):
            Console(stderr=True).print(Text(hint), soft_wrap=True, highlight=False)
        sys.exit(2)
    except M2AError as error:
        fail(str(error))
    except KeyboardInterrupt as interrupt:
        fail(f"Interrupted. {interrupt}".strip(), code=130)  # training says how to go on
    except Terminated as end:
        fail(f"Asked to end (SIGTERM). {end}".strip(), code=143)
    except BrokenPipeError:  # the reader of a pipe has enough
        sys.stderr.close()
        sys.exit(0)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        fail(_too_little_memory(error, tokens))
    except OSError as error:
        if not (error.errno in DISK_FULL or (error.errno in _NO_PLACE and error.filename is not None)):
            raise
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        wanted = "with room left" if error.errno in DISK_FULL else "where you may read and write"
        told = " ".join(getattr(error, "__notes__", ())) or f"Name a place {wanted}."  # training says how to go on
        fail(f"{where}{error.strerror}. {told}")
    finally:
        app.config = ()


def _repeat_the_option(error: UnusedCliTokensError, tokens: Sequence[str]) -> str:
    """What to do about a value that may be meant for the option before it, `--option value left`; nothing where there
    is none, or it took no value."""
    left = (error.unused_tokens or [""])[0]
    *earlier, last = ["", *(tokens[: tokens.index(left)] if left in tokens else ())]
    takes_values = not last.startswith("--")
    option = next((token for token in reversed(earlier) if takes_values and token.startswith("--")), "")
    return f"If {left} is another value of {option}, give the option again: {option} {left}." if option else ""


def _whole_numbers(_: App, __: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Refuses a fraction where a whole number is wanted, which the parser would round."""
    for argument in arguments:
        kinds = set(_leaves(argument.hint))
        if int not in kinds or kinds & {float, str}:
            continue
        for token in argument.tokens:
            try:
                is_fraction = not float(token.value).is_integer()
            except ValueError:
                continue  # the parser says what is wrong with it
            if is_fraction:
                raise CoercionError(argument=argument, token=token, target_type=int)


def _leaves(hint: Any) -> Iterator[Any]:
    """The types that a hint is made of: int and None of `int | None`."""
    inner = get_args(hint)
    if not inner:
        yield hint
    for part in inner:
        yield from _leaves(part)


def is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Whether it is about memory, which torch says in its own way."""
    return isinstance(error, MemoryError) or _is_of_gpu(error) or _CPU_MEMORY in str(error)


def _is_of_gpu(error: Exception) -> bool:
    """Who has not loaded torch has not run out of its memory."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)


def _too_little_memory(error: RuntimeError | MemoryError, tokens: Sequence[str]) -> str:
    on_gpu = _is_of_gpu(error)
    said = str(error).partition("\n")[0]
    # what was asked for, what there is
    sizes = ". ".join(said.split(". ")[1:3]).rstrip(". ") if on_gpu else said.partition(_CPU_MEMORY)[2].rstrip(". ")
    ways = "--batch-size smaller, or choose --device cpu, where the command has them"
    if not on_gpu:
        ways = "--batch-size, --size or --workers smaller, where the command has them"
    if tokens[:1] == ["train"] or tokens[:2] == ["paper", "run"]:
        ways = "--batch-size smaller and --accumulate larger by as much, or add --precision bf16-mixed"
    elif tokens[:1] in (["predict"], ["evaluate"]):
        ways = "--batch-size smaller, or add --bf16"
    who = "The GPU" if on_gpu else "This machine"
    return f"{who} has too little memory for this{f' ({sizes})' if sizes else ''}. Make {ways}."


def fail(message: str, code: int = 1) -> None:
    """Says what went wrong on stderr and exits."""
    SafeConsole(stderr=True).print(Text("error: ", style="bold red") + Text(message), soft_wrap=True, highlight=False)
    sys.exit(code)
