#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A loopback service that answers as Servetel's token API does, and on demand misbehaves.

Python's standard library only. It listens on 127.0.0.1, writes its port to --port-file (by rename, so a
reader never sees half of it) and ends quietly on SIGTERM.

The API, under --prefix (default /v1):
  POST /auth/login    {"email":..., "password":...} -> {"success", "access_token", "token_type", "expires_in"}
  POST /auth/refresh  Authorization: TOKEN (or Bearer TOKEN) -> the same; the old token is spent
  GET  /me            any authenticated call (POST, too): 200 while the token is valid, else 401
Tokens are HS256 JWTs with the claims of PHP's tymon/jwt-auth. login and refresh insist on JSON in Accept
(else 6.6 KB of HTML: login 401, refresh 500, nothing is spent), login on application/json too (else 401).

Control, on the same port, always reachable by plain http, even when the API is TLS:
  POST /_test/config  object, merged into the configuration, whose keys are DEFAULTS in api_service.py
                      and expires_in (replaces the real one, even by null)
  POST /_test/script  {"endpoint":"login|refresh|me|other", "answers":[...]}: what the next requests get,
                      see api_faults.py
  POST /_test/release {"count"}: so many held requests (1) go on, now or when they come
  POST /_test/issue   {"email", "ttl", "age"}: a token without a login. age: first logged in so many seconds
                      ago; ttl: null for a permanent one, below zero for one that has expired
  POST /_test/reset   start-up configuration, no scripts, log, tokens, blacklist, lockouts or statistics
  GET  /_test/log     every API request: n, time, connection, endpoint, method, path, headers (a list of
                      pairs, as received), body, status (null until answered, 0 if never)
  GET  /_test/stats   logins refreshes refused throttled me_ok me_refused connections max_concurrent max_in_flight
                      tls_handshakes (begun) tls_app_bytes (application data received over TLS)
  GET  /_test/tokens  every token issued since the reset, in order
An API request with a header X-Test is a test looking for itself: no script, no latency, not in the log or
the statistics, and the token may stand in Authorization in either form. An unknown configuration or script
key is answered 400, so that a test with a typing error fails.
"""
import argparse
import contextlib
import http.server
import json
import os
import secrets
import signal
import socket
import ssl
import struct
import sys
import threading
import time

sys.dont_write_bytecode = True  # leave no __pycache__ in the source tree
import api_faults  # noqa: E402
from api_faults import Answer  # noqa: E402
from api_service import Request, Service, compact  # noqa: E402


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    entry = None  # the log's, until it is complete
    connection_id = None  # given at the first API request: control connections do not count

    def handle(self):
        with contextlib.ExitStack() as self.while_connected:
            super().handle()

    def handle_one_request(self):
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self.read_body()
        service = self.server.service
        if self.path.startswith("/_test/"):
            return self.send(service.control(self.command, self.path, body))
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        url = "%s://%s%s" % (scheme, self.headers.get("Host", ""), self.path)
        request = Request(self.command, self.path, self.headers, body, url, "X-Test" in self.headers)
        endpoint = service.routes.get(self.path.split("?")[0], ("other",))[0]
        if request.is_test:
            return self.send(service.answer(endpoint, request))
        if self.server.tls and scheme == "http":
            self.close_connection = True
            return self.send(Answer(400, {}, b"The plain HTTP request was sent to HTTPS port"))
        self.count_connection()
        with self.logged(endpoint, request), service.concurrent("in_flight", "max_in_flight"):
            self.serve(endpoint, request)

    def read_body(self):
        """Whole, before the answer: who still sends would meet a closed connection."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def count_connection(self):
        service = self.server.service
        if self.connection_id is None:
            with service.lock:
                service.count("connections")
                self.connection_id = service.stats["connections"]
            self.while_connected.enter_context(service.concurrent("open_connections", "max_concurrent"))

    @contextlib.contextmanager
    def logged(self, endpoint, request):
        """Logs on arrival, so that a test can wait for a request which is never answered."""
        service = self.server.service
        with service.lock:
            self.entry = {"n": len(service.log) + 1, "time": time.time(), "connection": self.connection_id,
                          "endpoint": endpoint, "method": request.method, "path": request.path,
                          "headers": request.headers.items(), "body": request.body.decode("utf-8", "replace"),
                          "status": None}
            service.log.append(self.entry)
        try:
            yield
        finally:
            if self.entry:
                self.note(0)

    def note(self, status):
        """Completes the log's entry; before the answer goes out, so that who has the answer finds it there."""
        with self.server.service.lock:
            self.entry["status"] = status
            if self.server.log_file:
                self.server.log_file.write(compact(self.entry) + "\n")
        self.entry = None

    def serve(self, endpoint, request):
        service = self.server.service
        if service.config["latency"]:
            time.sleep(service.config["latency"])
        script = service.next_script(endpoint)
        if script is None:
            self.send(service.answer(endpoint, request))
            return
        if script.get("hold"):
            service.held.acquire()
        real = service.answer(endpoint, request) if api_faults.is_processed(script) else None
        api_faults.deliver(self, script, real)

    def send(self, answer):
        if self.entry:
            self.note(answer.status)
        self.wfile.write(api_faults.render(answer))

    def log_message(self, *_):
        pass


class CountingSocket(ssl.SSLSocket):
    """Knows how much application data it has received."""
    on_data = None

    def recv_into(self, *args, **kwargs):
        size = super().recv_into(*args, **kwargs)
        if self.on_data and size:
            self.on_data("tls_app_bytes", size)
        return size


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, service, tls, log_file):
        self.service, self.tls, self.log_file = service, tls, log_file
        super().__init__(("127.0.0.1", 0), Handler)

    def server_bind(self):  # without the base class's look-up of the host's name, which may be slow
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address

    def process_request_thread(self, request, client_address):
        try:
            if self.tls and request.recv(1, socket.MSG_PEEK) == b"\x16":  # a TLS record, not plain control
                request = self.tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
                self.shake_hands(request)
            self.finish_request(request, client_address)
        except OSError:
            pass  # the client went away, or TLS failed
        finally:
            self.shutdown_request(request)

    def shake_hands(self, request):
        self.service.count("tls_handshakes")
        request.do_handshake()
        request.on_data = self.service.count

    def shutdown_request(self, request):
        """A socket with SO_LINGER set is one that a script wants reset, so no FIN goes first."""
        with contextlib.suppress(OSError):
            if struct.unpack("ii", request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))[0]:
                return self.close_request(request)
        return super().shutdown_request(request)


def tls_context(cert_and_key, newest):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslsocket_class = CountingSocket
    context.load_cert_chain(*cert_and_key)
    if newest == "1.1":  # today's defaults would not offer it at all
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = getattr(ssl.TLSVersion, "TLSv" + newest.replace(".", "_"))
    return context


def end_with_parent():
    """Ends this process when the one that started it is gone, even if that was killed."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description="loopback test service; see the head of the file")
    parser.add_argument("--port-file", required=True)
    parser.add_argument("--log", metavar="FILE", help="append each request as a line of JSON")
    parser.add_argument("--prefix", default="/v1")
    parser.add_argument("--secret", default=secrets.token_hex(32))
    parser.add_argument("--config", type=json.loads, default={}, metavar="JSON", help="changes to DEFAULTS")
    parser.add_argument("--claims-skew", type=int, default=0, metavar="SECONDS")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--tls-max", choices=("1.1", "1.2", "1.3"), default="1.3")
    parser.add_argument("--with-parent", action="store_true", help="end when the parent process is gone")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    service = Service(options.prefix, options.secret, {"claims_skew": options.claims_skew})
    service.configure(options.config)
    service.overrides.update(options.config)
    tls = tls_context(options.tls, options.tls_max) if options.tls else None
    log_file = open(options.log, "a", buffering=1, encoding="utf-8") if options.log else None
    server = Server(service, tls, log_file)
    if options.with_parent:
        threading.Thread(target=end_with_parent, daemon=True).start()
    with open(options.port_file + ".new", "w", encoding="ascii") as port_file:
        port_file.write("%d\n" % server.server_port)
    os.replace(options.port_file + ".new", options.port_file)
    server.serve_forever()


if __name__ == "__main__":
    main()
