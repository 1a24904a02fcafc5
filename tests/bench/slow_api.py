#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A service that is slow and nothing else: each POST gets a new token after --delay seconds.

GET gives, and starts anew, the counts since the last GET: requests, connections, most of them open at once,
most requests waiting at once. On one thread, so that it takes little from whoever is measured.
"""
import argparse
import asyncio
import json
import os
import signal
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from api_server import end_with_parent  # noqa: E402

counts = {}
now = {"open": 0, "waiting": 0}


def start_anew():
    counts.update(requests=0, connections=0, most_open=now["open"], most_waiting=now["waiting"])


class Connection(asyncio.Protocol):
    delay = 0.0
    counted = False  # at its first POST: who asks for the counts is not among them
    transport = None
    received = b""

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exc):
        now["open"] -= self.counted

    def data_received(self, data):
        self.received += data
        if not self.received.endswith(b"\r\n\r\n"):  # a refresh has no body
            return
        is_post = self.received.startswith(b"POST ")
        self.received = b""
        if not is_post:
            self.send(counts)
            start_anew()
            return
        if not self.counted:
            self.counted = True
            counts["connections"] += 1
            now["open"] += 1
            counts["most_open"] = max(counts["most_open"], now["open"])
        counts["requests"] += 1
        now["waiting"] += 1
        counts["most_waiting"] = max(counts["most_waiting"], now["waiting"])
        asyncio.get_running_loop().call_later(self.delay, self.answer)

    def answer(self):
        now["waiting"] -= 1
        self.send({"success": True, "access_token": "eyJ" + os.urandom(150).hex(), "token_type": "bearer",
                   "expires_in": 3600})

    def send(self, answer):
        body = json.dumps(answer).encode()
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                             % (len(body), body))


async def serve(port_file):
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=512)
    with open(port_file + ".new", "w", encoding="ascii") as file:
        file.write("%d\n" % server.sockets[0].getsockname()[1])
    os.replace(port_file + ".new", port_file)
    await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description="slow loopback service; see the head of the file")
    parser.add_argument("--port-file", required=True)
    parser.add_argument("--delay", type=float, default=0.1, metavar="SECONDS")
    parser.add_argument("--with-parent", action="store_true", help="end when the parent process is gone")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if options.with_parent:
        threading.Thread(target=end_with_parent, daemon=True).start()
    Connection.delay = options.delay
    start_anew()
    asyncio.run(serve(options.port_file))


if __name__ == "__main__":
    main()
