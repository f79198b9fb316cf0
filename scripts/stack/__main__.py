"""Redis and both services on this machine, each a process of its own.

python -m scripts.stack demo          one question about one picture, then everything stops
python -m scripts.stack up            stays up until Ctrl-C
python -m scripts.stack attach URL    the same with the language model in the vLLM at URL, which runs already
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path

from scripts.stack.ending import Ending
from scripts.stack.hold import Hold
from scripts.stack.page import page
from scripts.stack.paths import PICTURE, QUESTION, ROOT
from scripts.stack.ports import Ports
from scripts.stack.running import running
from scripts.stack.screen import Screen
from scripts.stack.servers import silent
from scripts.stack.shell import Shell
from scripts.stack.stack import StackError
from services.common.settings import SettingError
from services.common.shown import assigned
from services.llm.engines.remote.urls import VARIABLE as URLS
from services.llm.engines.remote.urls import base_urls

ENGINE = "HEROSERVE_ENGINE"


def show(command: list[str], shell: Shell, screen: Screen) -> None:
    """Run one of our commands as a user would, and show it."""
    screen.say(f"\n$ {shlex.join(command)}")
    program = str(Path(sys.executable).parent / command[0])
    subprocess.run([program, *command[1:]], cwd=ROOT, env=shell.variables, check=True)


def demo(ending: Ending, screen: Screen, shell: Shell) -> None:
    with running(Ports.free(), ending, screen) as stack:
        llm, encoder = f"localhost:{stack.ports.llm}", f"localhost:{stack.ports.encoder}"
        ask = ["heroserve", "ask", PICTURE]
        options = ["--retention", "0.2", "--max-tokens", "32", "--target", llm]
        show([*ask, QUESTION, *options], shell, screen)
        screen.say("\nThe picture is ranked and cached now: another question finds it there.")
        show([*ask, "what characters are on the black cross and the green square?", *options], shell, screen)
        show(["heroserve", "encode", PICTURE, QUESTION, "--encoder-target", encoder], shell, screen)
        screen.say()


def up(ending: Ending, screen: Screen, shell: Shell) -> None:
    hold = Hold()
    ports = Ports.choose(hold)
    for what, usual, port in ports.moved():
        if what != "redis" or not shell.cache_url:
            screen.say(f"port {usual} is taken: this stack's {what} is on {port}")
    with running(ports, ending, screen) as stack:
        screen.say(f"\n{page(stack, shell)}")
        try:
            while True:
                stack.check()
                time.sleep(0.3)
        except SystemExit:
            screen.say()
            # That is how it is meant to end.
            if ending.number != signal.SIGINT:
                raise


def attach(urls: list[str], environ: MutableMapping[str, str]) -> None:
    """Have what is started next ask these servers, as if the shell had said so.

    Raises:
        SettingError: the shell says otherwise.
    """
    for name, value in ((ENGINE, "vllm-remote"), (URLS, ",".join(urls))):
        if environ.get(name, "").strip() not in ("", value):
            raise SettingError(f"{assigned(name, environ[name])}: attach sets it to {value!r}; unset it")
        environ[name] = value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=["demo", "up", "attach"])
    parser.add_argument("urls", nargs="*", metavar="URL", help="of attach: http://HOST:PORT of a vLLM, or of several")
    options = parser.parse_args()
    command = options.command
    if (command == "attach") != bool(options.urls):
        parser.error("attach takes URLs, http://HOST:PORT, and the others take none")
    urls = [url for argument in options.urls for url in argument.split(",")]
    try:
        base_urls(urls)
    except ValueError as error:
        told = assigned("URL", " ".join(urls))
        print(f"{command} failed: {told}: {error}", file=sys.stderr)
        sys.exit(2)
    ending = Ending()
    ending.install()
    try:
        if command == "attach":
            attach(urls, os.environ)
        shell, screen = Shell.read(os.environ), Screen()
        for line in silent(base_urls(urls)) if command == "attach" else []:
            screen.say(line)
        {"demo": demo, "up": up, "attach": up}[command](ending, screen, shell)
    except (SettingError, StackError, OSError) as error:
        sys.exit(f"{command} failed: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{command} failed: the command above ended with status {error.returncode}")


if __name__ == "__main__":
    main()
