# SPDX-License-Identifier: MIT
"""Answers as bytes on the wire, and the scripted ways of spoiling them, for api_server.py.

A script is a list of answers for the next requests to an endpoint; {} is the real answer. The keys of one:
  status, headers, json | body | body_base64
                    the answer itself. A header's value may be a list (sent once for each) or null (left out)
  merge, omit       members to put into, or names to take out of, the real answer's JSON
  process           true: do the real operation (spend the token!) and then deliver this. false: do not.
                    Without it, the operation is done unless the answer is given (status, json, body, raw,
                    hang, endless, drop "before"), so {"delay":1} or {"drop":"mid_body"} spoil the real answer
  hold              true: neither operation nor answer before /_test/release
  delay             seconds between operation and answer
  drip              seconds for each byte sent
  drop              "before": close without an answer; "no_answer_processed": the same after the operation, a
                    lost answer; "after_headers"; "mid_body": after half of the body
  reset             true: end the connection with a RST in place of a FIN
  close             true: Connection: close after a whole answer
  raw | raw_base64  exactly these bytes, then the end of the connection
  chunked_broken    true: the body in chunks, with a broken chunk size half-way
  endless           true or "body": a body that does not end; "headers": header lines that do not
  hang              true: no answer until the client goes away
  repeat            this answer for so many requests; -1: for all
"""
import base64
import collections
import http
import json
import socket
import struct
import time
from email.utils import formatdate

Answer = collections.namedtuple("Answer", "status headers body")

KEYS = {"status", "headers", "json", "body", "body_base64", "merge", "omit", "process", "hold", "delay", "drip",
        "drop", "reset", "close", "raw", "raw_base64", "chunked_broken", "endless", "hang", "repeat"}
DROPS = {None, "before", "no_answer_processed", "after_headers", "mid_body"}
GIVES_ANSWER = {"status", "json", "body", "body_base64", "raw", "raw_base64", "hang", "endless"}


def checked(answers):
    for answer in answers:
        unknown = set(answer) - KEYS
        if unknown or answer.get("drop") not in DROPS:
            raise ValueError("not a script: %s" % json.dumps(answer))
    return answers


def take(queue):
    """The next request's answer, or None when there is no script (any more)."""
    if not queue:
        return None
    left = queue[0].get("repeat", 1)
    if left > 1:
        queue[0] = {**queue[0], "repeat": left - 1}
    return queue[0] if left != 1 and left != 0 else queue.popleft()


def is_processed(script):
    implied = not GIVES_ANSWER & set(script) and script.get("drop") != "before"
    return script.get("process", implied)


def render_head(status, headers):
    """The status line and the headers, each named once: later ones replace the defaults."""
    merged = {"server": ("Server", "nginx"), "date": ("Date", formatdate(usegmt=True)),
              "cache-control": ("Cache-Control", "no-cache, private")}
    merged.update({name.lower(): (name, value) for name, value in headers.items()})
    try:
        reason = http.HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"
    lines = ["HTTP/1.1 %d %s" % (status, reason)]
    for name, value in merged.values():
        values = value if isinstance(value, list) else [value]
        lines += ["%s: %s" % (name, item) for item in values if item is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def render(answer):
    return render_head(answer.status, {"Content-Length": len(answer.body), **answer.headers}) + answer.body


def compose(script, real):
    """The scripted answer; what the script does not say comes from the real one."""
    status, headers, body = real or Answer(200, {"Content-Type": "application/json"}, b'{"success":true}')
    if "json" in script:
        headers, body = {"Content-Type": "application/json"}, json.dumps(script["json"]).encode()
    elif "body" in script:
        body = script["body"].encode()
    elif "body_base64" in script:
        body = base64.b64decode(script["body_base64"])
    elif "status" in script and not script.get("process"):
        body = b""
    if "merge" in script or "omit" in script:
        members = {**json.loads(body), **script.get("merge", {})}
        body = json.dumps({k: v for k, v in members.items() if k not in script.get("omit", [])}).encode()
    return Answer(script.get("status", status), {**headers, **script.get("headers", {})}, body)


def deliver(handler, script, real):
    """Sends what the script wants. A status that goes out is noted in the log first."""
    time.sleep(script.get("delay", 0))
    if script.get("hang"):
        while handler.rfile.read(1):
            pass
    if script.get("reset"):
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Only a whole answer leaves the connection usable.
    whole = not any(key in script for key in ("hang", "reset", "close", "drop", "raw", "raw_base64",
                                              "endless", "chunked_broken"))
    handler.close_connection = handler.close_connection or not whole
    if script.get("hang") or script.get("drop") in ("before", "no_answer_processed"):
        return
    if "raw" in script or "raw_base64" in script:
        raw = script["raw"].encode() if "raw" in script else base64.b64decode(script["raw_base64"])
        handler.note(0)
        send(handler, raw, script)
        return
    answer = compose(script, real)
    handler.note(answer.status)
    if script.get("endless"):
        send_endless(handler, answer, script)
    elif script.get("chunked_broken"):
        send(handler, render_broken_chunks(answer), script)
    else:
        send(handler, cut(answer, script), script)


def send(handler, data, script):
    drip = script.get("drip", 0)
    step = 1 if drip else len(data) or 1
    for start in range(0, len(data), step):
        handler.wfile.write(data[start:start + step])
        time.sleep(drip)


def cut(answer, script):
    if script.get("close"):
        answer.headers["Connection"] = "close"
    whole = render(answer)
    kept = {"after_headers": 0, "mid_body": len(answer.body) // 2}.get(script.get("drop"), len(answer.body))
    return whole[:len(whole) - len(answer.body) + kept]


def render_broken_chunks(answer):
    head = render_head(answer.status, {**answer.headers, "Transfer-Encoding": "chunked"})
    half = answer.body[:len(answer.body) // 2]
    return head + b"%x\r\n%s\r\nnot a size\r\n" % (len(half), half)


def send_endless(handler, answer, script):
    """Goes on until the client has had enough and the write fails."""
    head = render_head(answer.status, {**answer.headers, "Connection": "close"})
    in_headers = script["endless"] == "headers"
    send(handler, head[:-2] if in_headers else head + answer.body, script)
    filler = b"X-Filler: " + b"x" * 1000 + b"\r\n" if in_headers else b" " * 16384
    while True:
        send(handler, filler, script)
