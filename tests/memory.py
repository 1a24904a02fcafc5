#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a program, stops it at its very end, and looks for secrets in its memory.

    memory.py --port PORT --secret-file FILE [--call NAME] -- PROGRAM ARG...

Secrets are the words of FILE, every token that the test service on PORT has issued by then, and each of their
pieces of 16 bytes: a part shows that there was a copy. Standard input, output and error are the
program's. strace holds it at exit_group (or another call, NAME) and makes its prctl() do nothing: that one
hides the memory from all but root. Every mapping that it can write is read: heap, stack, libraries' data.

Prints for each place where something was found, on standard error, which secret, and whose memory it is. Exit
status: the program's own; 99 when secrets were found, 98 when the memory could not be looked at. Standard
library only; strace must be there.
"""
import argparse
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

PIECE = 16
FOUND, FAILED = 99, 98
# A sanitizer's shadow is terabytes of address space, and none of the program's memory.
LARGEST_MAPPING = 1 << 30


def issued_tokens(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/_test/tokens")
    tokens = json.loads(connection.getresponse().read())
    connection.close()
    return [token.encode() for token in tokens]


def pieces_of(secret):
    return {secret[i:i + PIECE] for i in range(len(secret) - PIECE + 1)}


def pieces_to_find(options):
    """piece -> what it is a piece of. A secret is longer than one."""
    with open(options.secret_file, "rb") as file:
        secrets = [("the password", word) for word in file.read().split()]
    secrets += [("a token", token) for token in issued_tokens(options.port)]
    return {piece: kind for kind, secret in secrets for piece in pieces_of(secret)}


def start(options, directory):
    """Returns strace's process and the program's pid once that is at the call."""
    trace, pid_file = os.path.join(directory, "trace"), os.path.join(directory, "pid")
    # exec keeps the pid, and strace tells it only where it follows children, which would be held too.
    launch = ["sh", "-c", 'echo $$ >"$0"; exec "$@"', pid_file, *options.program]
    # An hour: it is ended as soon as its memory has been read.
    tracer = subprocess.Popen(["strace", "-o", trace, "-e", "trace=prctl," + options.call,
                               "-e", "inject=prctl:retval=0", "-e", "inject=%s:delay_enter=3600s" % options.call,
                               "--", *launch])
    deadline = time.monotonic() + 120
    while True:
        with open(trace, "a+", encoding="utf-8", errors="replace") as file:
            file.seek(0)
            text = file.read()
        if re.search(r"^%s\(" % options.call, text, re.M) or tracer.poll() is not None or time.monotonic() > deadline:
            break
        time.sleep(0.005)
    with open(pid_file, encoding="ascii") as file:
        pid = int(file.read())
    match = re.search(r"^%s\(([^)]*)" % options.call, text, re.M)
    return tracer, pid, match and match.group(1)


def mappings(pid):
    with open("/proc/%d/maps" % pid, encoding="utf-8", errors="replace") as maps:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)", line)
            begin, end = int(match.group(1), 16), int(match.group(2), 16)
            if match.group(3).startswith("rw") and end - begin <= LARGEST_MAPPING:
                yield begin, end, match.group(4) or "anonymous"


def find_pieces(data, named):
    """(offset, kind) of each run of pieces. Secrets are visible text, and little of the memory is."""
    for text in re.finditer(rb"[\x21-\x7e]{%d,}" % PIECE, data):
        last = None
        for i in range(text.start(), text.end() - PIECE + 1):
            kind = named.get(data[i:i + PIECE])
            if kind and kind != last:
                yield i, kind
            last = kind


def search(pid, named):
    """(address, mapping, kind, surrounding bytes) of what was found, and how much was read."""
    found, size = [], 0
    with open("/proc/%d/mem" % pid, "rb", buffering=0) as memory:
        for begin, end, name in mappings(pid):
            memory.seek(begin)
            data = memory.read(end - begin)
            size += len(data)
            for offset, kind in find_pieces(data, named):
                around = data[max(0, offset - 32):offset + 3 * PIECE]
                found.append((begin + offset, name, kind, around))
    return found, size


def main():
    parser = argparse.ArgumentParser(description="see the head of the file")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--secret-file", required=True)
    parser.add_argument("--call", default="exit_group")
    split = sys.argv.index("--")
    options = parser.parse_args(sys.argv[1:split])
    options.program = sys.argv[split + 1:]
    with tempfile.TemporaryDirectory() as directory:
        tracer, pid, stopped_with = start(options, directory)
        if stopped_with is None:
            print("memory.py: no %s, status %s" % (options.call, tracer.poll()), file=sys.stderr)
            tracer.kill()
            return FAILED
        try:
            found, size = search(pid, pieces_to_find(options))
        finally:
            tracer.kill()  # it would sit out the delay
            tracer.wait()
            with contextlib.suppress(ProcessLookupError):  # let go of, it ends by itself
                os.kill(pid, signal.SIGKILL)
    for address, name, kind, around in found:
        print("memory.py: of %s at %#x in %s: %r" % (kind, address, name, around), file=sys.stderr)
    if size < 100000:  # libc's data alone is more
        print("memory.py: only %d bytes could be read" % size, file=sys.stderr)
        return FAILED
    if found:
        return FOUND
    return int(stopped_with) if options.call == "exit_group" else 0


if __name__ == "__main__":
    sys.exit(main())
