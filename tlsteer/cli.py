"""The command line: its commands in one application; what is heavy is imported inside commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated

import typer

from tlsteer._version import __version__
from tlsteer.commands._running import called_with, in_flags, told
from tlsteer.commands.compare_runs import compare_runs
from tlsteer.commands.demo import demo
from tlsteer.commands.eval import evaluate
from tlsteer.commands.export import export
from tlsteer.commands.fit import fit
from tlsteer.commands.generate import generate
from tlsteer.commands.import_ import import_
from tlsteer.commands.info import info
from tlsteer.commands.reliability import reliability
from tlsteer.commands.report import report
from tlsteer.commands.serve import serve
from tlsteer.commands.study import study
from tlsteer.commands.sweep import sweep
from tlsteer.commands.ui import ui
from tlsteer.commands.view import view
from tlsteer.errors import TlsteerError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command(context_settings={"ignore_unknown_options": True})(serve)  # what it does not know are vLLM's
for _command in (demo, ui, fit, generate, sweep, reliability, study, report, view, compare_runs, export, info):
    # The settings of a study are options that only the study knows.
    app.command(context_settings={"ignore_unknown_options": _command is study})(told(_command))
app.command("import")(told(import_))
app.command("eval")(told(evaluate))


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; bad input ends it with one line on stderr and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        # Names of files and texts of models may hold what no terminal can show.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    given = sys.argv[1:] if arguments is None else arguments
    try:
        with called_with(given):
            app(arguments)
    except TlsteerError as error:
        print("tlsteer:", in_flags(" ".join(str(error).split()), _flags(given)), file=sys.stderr)
        sys.exit(2)


def _flags(given: Sequence[str]) -> dict[str, str]:
    """The flags of the command that is called, by the name that its function has for them."""
    commands = typer.main.get_group(app).commands
    called = next((commands[word] for word in given if word in commands), None)
    found = {} if called is None else {one.name: one.opts[0] for one in called.params if one.opts[0].startswith("--")}
    return {name: flag for name, flag in found.items() if name} | ({"run_dir": "--output"} if "output" in found else {})


def _show_version(wanted: bool) -> bool:
    if wanted:
        print(f"tlsteer {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _tlsteer(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Steering vectors on TransformerLens, from one example to a measured effect.

    Start with: tlsteer demo
    """
