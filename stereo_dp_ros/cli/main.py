"""Entry point of `stereo-dp`: picks a command, and turns bad input into one line and exit code 2."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from stereo_dp_ros import __version__
from stereo_dp_ros.core.errors import StereoDpError

__all__ = ["main"]

# name → module of this package; each module has add_arguments(parser) and run(arguments) -> exit code.
_COMMANDS = {
    "infer": ("infer", "disparity of one pair of image files"),
    "evaluate": ("evaluate", "score a model or SGBM on pairs with ground truth"),
    "models": ("models", "list the models and the runtimes that work here"),
    "build-engine": ("build_engine", "build a TensorRT engine on this machine, and check it before it is used"),
    "bench": ("bench", "time the models beside OpenCV's matchers"),
    "replay": ("replay", "run a model over a bag, or the bag through a node, and report"),
    "make-bag": ("make_bag", "turn a folder of stereo images into a bag"),
    "demo": ("demo", "play two stereo bags through the node and report on what it publishes"),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 where a check failed, 2 for bad input, 130 after Ctrl-C."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")  # it tells of an image of which the error tells too
    arguments = sys.argv[1:] if argv is None else list(argv)
    parser = _Parser(prog="stereo-dp", description="Stereo depth for robots with two cameras.")
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    for name, (module_name, summary) in _COMMANDS.items():
        description = f"{summary[0].upper()}{summary[1:]}."
        subparser = subparsers.add_parser(name, help=summary, description=description)
        if name == chosen:  # the others' libraries need not be loaded
            module = importlib.import_module(f"stereo_dp_ros.cli.{module_name}")
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    parsed = parser.parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except StereoDpError as error:
        print(f"stereo-dp {parsed.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output went away; Python would complain again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
