#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A loopback HTTP proxy that knows CONNECT, for tests. Python's standard library only.

  proxy_server.py --port-file FILE --log FILE [--mode tunnel|403|407|close] [--to PORT] [--with-parent]

Listens on 127.0.0.1, writes its port to --port-file by rename, ends quietly on SIGTERM. Every request line
(CONNECT or not) is appended to --log with the connection's first line of Proxy-Authorization, if any. Modes:
tunnel (to the host asked for, or with --to always to that port of 127.0.0.1), 403 and 407 (refused; 407 asks
for a login), close (the connection is closed without an answer). Anything but CONNECT is answered 405.
"""
import argparse
import contextlib
import os
import signal
import socket
import socketserver
import threading
import time

REFUSALS = {
    "403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "407": b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"proxy\"\r\n"
           b"Content-Length: 0\r\nConnection: close\r\n\r\n",
    "close": b"",
    "not CONNECT": b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "unreachable": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
}


class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    rbufsize = 0  # nothing that belongs into the tunnel may stay in a buffer

    def handle(self):
        with contextlib.suppress(OSError):
            self.answer()

    def answer(self):
        lines = []
        while True:
            line = self.rfile.readline(65536).decode("iso-8859-1").rstrip("\r\n")
            if not line:
                break
            lines.append(line)
        if not lines:
            return
        self.server.note(lines)
        method, _, rest = lines[0].partition(" ")
        if method != "CONNECT":
            self.wfile.write(REFUSALS["not CONNECT"])
        elif self.server.mode != "tunnel":
            self.wfile.write(REFUSALS[self.server.mode])
        else:
            self.tunnel(rest.split(" ")[0])

    def tunnel(self, target):
        host, _, port = target.rpartition(":")
        address = ("127.0.0.1", self.server.to) if self.server.to else (host.strip("[]"), int(port))
        try:
            upstream = socket.create_connection(address, timeout=10)
        except OSError:
            self.wfile.write(REFUSALS["unreachable"])
            return
        upstream.settimeout(None)
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=copy, args=(upstream, self.connection), daemon=True)
        back.start()
        copy(self.connection, upstream)
        back.join()
        upstream.close()


def copy(source, target):
    with contextlib.suppress(OSError):
        while True:
            data = source.recv(65536)
            if not data:
                break
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class Proxy(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, mode, to, log):
        self.mode, self.to, self.lock = mode, to, threading.Lock()
        self.log = open(log, "a", buffering=1, encoding="utf-8")
        super().__init__(("127.0.0.1", 0), Handler)

    def note(self, lines):
        login = [line for line in lines if line.lower().startswith("proxy-authorization:")]
        with self.lock:
            self.log.write(" ".join(lines[:1] + login[:1]) + "\n")


def end_with_parent():
    """Ends this process when the one that started it is gone, even if that was killed."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description="loopback test proxy; see the head of the file")
    parser.add_argument("--port-file", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--mode", choices=("tunnel", "403", "407", "close"), default="tunnel")
    parser.add_argument("--to", type=int, metavar="PORT")
    parser.add_argument("--with-parent", action="store_true", help="end when the parent process is gone")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    proxy = Proxy(options.mode, options.to, options.log)
    if options.with_parent:
        threading.Thread(target=end_with_parent, daemon=True).start()
    with open(options.port_file + ".new", "w", encoding="ascii") as port_file:
        port_file.write("%d\n" % proxy.server_address[1])
    os.replace(options.port_file + ".new", options.port_file)
    proxy.serve_forever()


if __name__ == "__main__":
    main()
