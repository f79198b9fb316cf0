"""What connections that nobody uses cost a caller: thousands are opened, and an honest call is timed beside them.

    python -m benchmarks.idle_connections [--target localhost:9001] [--connections 4000] [--seconds 150]

Half of them greet as HTTP/2 clients do and then fall silent, half say nothing at all. Prints how long `describe` takes
over a connection of before and over a new one, without them and with them, and how many are still open in the end. Of a
service with API keys: HEROSERVE_API_KEY. The limit of open files must allow it.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import statistics
import time

import heroserve

# The client's preface, and an empty SETTINGS frame.
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_CALLS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="localhost:9001")
    parser.add_argument("--connections", type=int, default=4000)
    parser.add_argument("--seconds", type=float, default=150, help="how long to watch them go")
    arguments = parser.parse_args()
    host, _, port = arguments.target.rpartition(":")
    with _client(arguments.target) as client:
        _report("without", client, arguments.target)
        crowd = _crowd(host, int(port), arguments.connections)
        begun = time.monotonic()
        print(f"{len(crowd.get_map())} connections are open")
        _report("with them", client, arguments.target)
        while (spent := time.monotonic() - begun) < arguments.seconds and crowd.get_map():
            _drain(crowd)
            print(f"{spent:5.0f} s: {len(crowd.get_map())} are left", flush=True)
            time.sleep(min(10.0, arguments.seconds))
        _report("at the end", client, arguments.target)


def _client(target: str) -> heroserve.Client:
    retry = heroserve.RetryPolicy(attempts=1)
    return heroserve.Client(target, api_key=os.environ.get("HEROSERVE_API_KEY"), timeout_s=30, retry=retry)


def _report(when: str, client: heroserve.Client, target: str) -> None:
    def again() -> None:
        client.describe()

    def anew() -> None:
        with _client(target) as fresh:
            fresh.describe()

    again()
    for name, call in (("connected", again), ("a new connection", anew)):
        spent = []
        for _ in range(_CALLS):
            begun = time.monotonic()
            call()
            spent.append(1000 * (time.monotonic() - begun))
        print(f"{when}, {name}: p50 {statistics.median(spent):.1f} ms, worst {max(spent):.1f} ms")


def _crowd(host: str, port: int, count: int) -> selectors.BaseSelector:
    crowd = selectors.DefaultSelector()
    for number in range(count):
        connection = socket.create_connection((host, port), timeout=30)
        if number % 2:
            connection.sendall(_GREETING)
        connection.setblocking(False)
        crowd.register(connection, selectors.EVENT_READ)
    return crowd


def _drain(crowd: selectors.BaseSelector) -> None:
    """Take what the service says, and forget who was hung up on."""
    for key, _ in crowd.select(0):
        connection = key.fileobj
        if not isinstance(connection, socket.socket):
            continue
        try:
            ended = not connection.recv(1 << 16)
        except BlockingIOError:
            ended = False
        except ConnectionError:
            ended = True
        if ended:
            crowd.unregister(connection)
            connection.close()


if __name__ == "__main__":
    main()
