#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A door in front of a loopback port, so that a test can take a service away and bring it back. Python's
standard library only.

  gate.py --port-file FILE --to PORT [--with-parent]

Listens on 127.0.0.1, writes its port to --port-file by rename, passes bytes to and from PORT, ends quietly on
SIGTERM. SIGUSR1 shuts it: what is under way is cut off, and connections are refused as if nothing ran there.
SIGUSR2 opens it again, on the same port, which it holds all the while.
"""
import argparse
import os
import selectors
import signal
import socket
import threading
import time


class Gate:
    def __init__(self, to):
        self.to, self.peers, self.selector = to, {}, selectors.DefaultSelector()
        self.socket = self.bind(0)
        self.port = self.socket.getsockname()[1]
        self.is_open = False

    def bind(self, port):
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        return bound

    def open(self):
        if not self.is_open:
            self.socket.listen(128)
            self.selector.register(self.socket, selectors.EVENT_READ, self.accept)
            self.is_open = True

    def shut(self):
        if self.is_open:
            self.selector.unregister(self.socket)
            self.socket.close()
            self.socket = self.bind(self.port)  # bound but not listening: refused, and nobody else's
            self.is_open = False
        for peer in list(self.peers):
            self.drop(peer)

    def accept(self, listener):
        client, _ = listener.accept()
        try:
            service = socket.create_connection(("127.0.0.1", self.to))
        except OSError:
            client.close()
            return
        for one, other in ((client, service), (service, client)):
            self.peers[one] = other
            self.selector.register(one, selectors.EVENT_READ, self.forward)

    def forward(self, source):
        try:
            data = source.recv(65536)
            if data:
                self.peers[source].sendall(data)
                return
        except OSError:
            pass
        self.drop(source)

    def drop(self, peer):
        for one in (peer, self.peers.get(peer)):
            if one in self.peers:
                self.selector.unregister(one)
                del self.peers[one]
                one.close()

    def run(self, signals):
        self.selector.register(signals, selectors.EVENT_READ, self.obey)
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is signals or key.fileobj is self.socket or key.fileobj in self.peers:
                    key.data(key.fileobj)

    def obey(self, signals):
        for number in signals.recv(64):
            if number == signal.SIGUSR1:
                self.shut()
            elif number == signal.SIGUSR2:
                self.open()


def end_with_parent():
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description="see the head of the file")
    parser.add_argument("--port-file", required=True)
    parser.add_argument("--to", required=True, type=int)
    parser.add_argument("--with-parent", action="store_true")
    options = parser.parse_args()
    wakes, wakened = socket.socketpair()
    wakes.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno())
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda *_: None)  # its number arrives on the socket
    gate = Gate(options.to)
    gate.open()
    if options.with_parent:
        threading.Thread(target=end_with_parent, daemon=True).start()
    with open(options.port_file + ".new", "w", encoding="ascii") as port_file:
        port_file.write("%d\n" % gate.port)
    os.replace(options.port_file + ".new", options.port_file)
    gate.run(wakened)


if __name__ == "__main__":
    main()
