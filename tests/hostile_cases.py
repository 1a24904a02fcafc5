# SPDX-License-Identifier: MIT
"""Answers that nobody wants, by groups, and what login and refresh must make of them: hostile_run.py tries them."""
import base64
import gzip
import json
import os

PORT = int(os.environ["API_PORT"])  # of the service, api_server.py
HEAD = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9"  # in all tokens, and no secret
# The service never sees these as what they are: all its answers are scripted.
OLD = HEAD + ".eyJqdGkiOiJ0aGUgb2xkIG9uZSIsImV4cCI6MX0.b2xkIHNpZ25hdHVyZSwgMjU2IGJpdCBsb25n"
NEW = HEAD + ".eyJqdGkiOiJ0aGUgbmV3IG9uZSJ9.bmV3IHNpZ25hdHVyZSwgMjU2IGJpdCBsb25nIGFzIHdlbGw"
EMAIL, PASSWORD = "you@example.test", "correct horse"
GOOD = {"success": True, "access_token": NEW, "token_type": "bearer", "expires_in": 3600}
GOOD_TEXT = json.dumps(GOOD).encode()
MIB = 1024 * 1024
HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
COMMANDS = ("login", "refresh")
FORM_TWICE = (1, 2)  # a password is never sent again, a token once in the other form

GROUPS = {}


class Case:
    """One answer (for every request), or a list of answers (for the first, the second...)."""

    def __init__(self, name, codes, answers, sent=1, **more):
        self.name, self.answers = name, answers
        self.codes = codes if isinstance(codes, tuple) else (codes,)
        self.sent = dict(zip(COMMANDS, sent if isinstance(sent, tuple) else (sent, sent)))
        self.commands = more.pop("commands", COMMANDS)
        self.options = more.pop("options", [])  # for both
        self.login_options = more.pop("login_options", [])
        self.auth_scheme = more.pop("auth_scheme", None)  # what the cache remembers
        self.shows, self.hides = more.pop("shows", []), more.pop("hides", [])
        self.longest = more.pop("longest", 700)
        self.lines = more.pop("lines", 1)  # None: any number
        self.may_note_pause = more.pop("may_note_pause", False)  # until when not to ask again
        self.stored = more.pop("stored", None)  # success: (token, life in seconds)
        assert not more, more


def group(function):
    GROUPS[function.__name__] = function
    return function


def body(data, **more):
    return {"body_base64": base64.b64encode(data).decode(), **more}


def raw(data):
    return {"raw_base64": base64.b64encode(data).decode()}


def answer(value, status=200):
    return {"status": status, "json": value}


def good(**changes):
    return answer({**GOOD, **changes})


def without(*names, **more):
    return answer({**{name: value for name, value in GOOD.items() if name not in names}, **more})


def accepted(name, token, life_s, answers):
    return Case(name, 0, answers, stored=(token, life_s))


def refusal(name, message, **more):
    return Case(name, 4, answer({"success": False, "message": message}, 401), FORM_TWICE, **more)


# Bodies

@group
def not_an_object():
    for name, data in {
            "empty": b"", "white space": b" \r\n\t", "text": b"It works!", "a number": b"3600", "null": b"null",
            "true": b"true", "an empty object": b"{}", "a list": b"[" + GOOD_TEXT + b"]",
            "a string": json.dumps(NEW).encode(), "the token alone": NEW.encode(),
            "a form": b"success=true&access_token=" + NEW.encode(),
            "XML": b'<?xml version="1.0"?><access_token>%s</access_token>' % NEW.encode()}.items():
        yield Case(name, 6, body(data))
    page = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>\n"
    yield Case("a captive portal's page", 6, body(page, headers={"Content-Type": "text/html"}), hides=["<html"])


@group
def torn_json():
    for name, data in {
            "the last brace is missing": GOOD_TEXT[:-1], "half of it": GOOD_TEXT[:60],
            "garbage behind it": GOOD_TEXT + b" x", "two objects": GOOD_TEXT + GOOD_TEXT,
            "a brace too many": GOOD_TEXT + b"}", "single quotes": GOOD_TEXT.replace(b'"', b"'"),
            "a comma at the end": GOOD_TEXT[:-1] + b",}", "a comment": b"{/* ok */" + GOOD_TEXT[1:],
            "NaN": GOOD_TEXT[:-1] + b',"x":NaN}', "a guard in front": b")]}',\n" + GOOD_TEXT,
            "a callback around it": b"callback(" + GOOD_TEXT + b");",
            "a warning of PHP in front": b"<br />\nWarning: x in y on line 1\n" + GOOD_TEXT}.items():
        yield Case(name, 6, body(data))


@group
def bytes_out_of_place():
    token = b'{"success":true,"access_token":"abc%sdef","expires_in":3600}'
    for name, data in {
            "a NUL in the token": token % b"\0", "a NUL and garbage behind": GOOD_TEXT + b"\0garbage",
            "a NUL and another object behind": GOOD_TEXT + b'\0{"success":false}', "a NUL in front": b"\0" + GOOD_TEXT,
            "NULs": b"\0\0\0\0", "UTF-16": GOOD_TEXT.decode().encode("utf-16-le"), "compressed": gzip.compress(GOOD_TEXT),
            "an invalid byte in the token": token % b"\xff", "an overlong NUL in the token": token % b"\xc0\x80",
            "a line feed in the token": token % b"\n", "noise": bytes(range(256))}.items():
        yield Case(name, 6, body(data))
    yield Case("compressed, and it says so", 6, body(gzip.compress(GOOD_TEXT), headers={"Content-Encoding": "gzip"}))
    yield Case("said to be compressed", 6, body(b"\3\7x", headers={"Content-Encoding": "br"}))


@group
def deep_nesting():
    opened, closed = b"[" * 100000, b"]" * 100000
    yield Case("lists in a member", 6, body(GOOD_TEXT[:-1] + b',"x":' + opened + closed + b"}"))
    yield Case("lists that are never closed", 6, body(opened))
    yield Case("objects", 6, body(b'{"a":' * 100000 + b"1" + b"}" * 100000))
    yield Case("lists for a token", 6, body(b'{"success":true,"access_token":' + opened + closed + b"}"))
    yield Case("lists for a message", 4, body(b'{"message":' + opened + closed + b"}", status=401), FORM_TWICE)


# Members

@group
def token_missing():
    yield Case("missing", 6, without("access_token"))
    for name, value in {"null": None, "a number": 12345, "true": True, "a list": [NEW], "an object": {"token": NEW}}.items():
        yield Case(name, 6, good(access_token=value))
    yield Case("in other letters", 6, without("access_token", Access_Token=NEW))
    yield Case("by another name", 6, without("access_token", token=NEW))
    yield Case("one level down", 6, without("access_token", data={"access_token": NEW}))
    yield Case("nothing but success", 6, answer({"success": True}))


@group
def token_unsafe():
    for name, value in {
            "empty": "", "a blank": " ", "a blank in front": " abc", "a blank behind": "abc ", "a blank inside": "abc def",
            "a scheme": "Bearer abc", "a tab": "abc\tdef", "a line feed": "abc\ndef", "a line feed behind": "abc\n",
            "a header of its own": "abc\r\nX-Injected: 1", "an escape": "abc\x1b[31m", "DEL": "abc\x7f",
            "NUL inside": "abc\0def", "NUL behind": "abc\0", "only NUL": "\0", "C1": "abc\x85def",
            "e acute": "abc\xe9def", "a no-break space": "abc\xa0def", "a zero-width space": "abc\u200bdef",
            "an emoji": "\U0001f600", "half a surrogate": "abc\ud800def", "a character too many": "a" * 16385,
            "much too long": "a" * 900000}.items():
        yield Case(name, 6, good(access_token=value), hides=["aaaaaaaa"])


@group
def success_not_true():
    for value in (False, 0, 1, "true", "false", None, [], {}, ""):
        yield Case(json.dumps(value), 4, good(success=value))
    message = {"success": False, "message": "Token has expired"}
    yield Case("with a message", 4, answer(message), shows=[message["message"]])
    yield Case("in a 201", 4, answer(message, 201), shows=[message["message"]])


@group
def life_unusable():
    for value in (-1, -3600, "-1", 316000000, "316000000", 99999999999999999999, 1e300, "1e300", "soon", "", "3600s", "12 34",
                  True, False, [], [3600], {}, "\0", "0x10", "nan", "inf"):
        yield Case(json.dumps(value), 6, good(expires_in=value))
    for text in (b"1e400", b"-1e400"):
        yield Case(text.decode(), 6, body(GOOD_TEXT.replace(b"3600", text)))


@group
def odd_but_good():
    visible = "".join(map(chr, range(0x21, 0x7f)))
    padded = GOOD_TEXT + b" " * (MIB - len(GOOD_TEXT))
    chunks = b"1\r\n{\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD_TEXT) - 1, GOOD_TEXT[1:])
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    yield accepted("the longest token", "a" * 16384, 3600, good(access_token="a" * 16384))
    yield accepted("the shortest token", "x", 3600, good(access_token="x"))
    yield accepted("every character that a token may have", visible, 3600, good(access_token=visible))
    yield accepted("no success", NEW, 3600, without("success"))
    yield accepted("201", NEW, 3600, answer(GOOD, 201))
    yield accepted("another type of content", NEW, 3600, body(GOOD_TEXT, headers={"Content-Type": "text/html"}))
    yield accepted("white space around", NEW, 3600, body(b"\r\n " + GOOD_TEXT + b"\n\n"))
    yield accepted("exactly 1 MiB", NEW, 3600, body(padded))
    yield accepted("chunks", NEW, 3600, raw(HEADERS + b"Transfer-Encoding: chunked\r\n\r\n" + chunks))
    yield accepted("until the connection ends", NEW, 3600, raw(b"HTTP/1.0 200 OK\r\n\r\n" + GOOD_TEXT))
    yield accepted("hints in front", NEW, 3600, raw(hints + HEADERS + b"\r\n" + GOOD_TEXT))
    yield accepted("token_type MAC", NEW, 3600, good(token_type="MAC"))
    yield accepted("token_type null", NEW, 3600, good(token_type=None))
    yield accepted("no token_type", NEW, 3600, without("token_type"))


@group
def life_taken():
    yield accepted("missing: 60 minutes", NEW, 3600, without("expires_in"))
    for value, life_s in ((None, 3600), (0, 3600), ("0", 3600), (60, 60), ("7200", 7200), (7200.0, 7200),
                          (283824000, 283824000)):
        yield accepted(json.dumps(value), NEW, life_s, good(expires_in=value))


@group
def ambiguous():
    """A parser may take or leave these; none may store what is not there."""
    yield Case("a byte order mark", (0, 6), body(b"\xef\xbb\xbf" + GOOD_TEXT), lines=None)
    yield Case("a member twice", (0, 6), body(GOOD_TEXT[:-1] + b',"access_token":"%s"}' % NEW.encode()), lines=None)


# Sizes

@group
def too_large():
    chunked = HEADERS + b"Transfer-Encoding: chunked\r\n\r\n200000\r\n" + b" " * 2 * MIB
    yield Case("one byte more than 1 MiB", 6, body(GOOD_TEXT + b" " * (MIB + 1 - len(GOOD_TEXT))))
    yield Case("2 MiB of JSON", 6, good(x=" " * 2 * MIB))
    yield Case("endless", 6, {"endless": "body"})
    yield Case("endless, and begins well", 6, {"endless": "body", "json": GOOD})
    yield Case("in a chunk", 6, raw(chunked))
    yield Case("an endless refusal", (4, 6), {"status": 422, "endless": "body"})
    yield Case("announced", (5, 6), raw(HEADERS + b"Content-Length: 9999999999\r\n\r\n{"))
    yield Case("announced beyond all numbers", (5, 6), raw(HEADERS + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n{"))


@group
def headers_without_measure():
    giant = b"x" * 900000
    yield Case("endless headers", 6, {"endless": "headers"})
    yield Case("a giant header", 6, raw(b"HTTP/1.1 200 OK\r\nX: " + giant + b"\r\n\r\n" + GOOD_TEXT), hides=["xxxxxxxx"])
    yield Case("a giant status line", 6, raw(b"HTTP/1.1 200 " + giant + b"\r\n\r\n" + GOOD_TEXT), hides=["xxxxxxxx"])
    yield Case("a header line without end", 6, raw(HEADERS + b"X: " + giant), hides=["xxxxxxxx"])


# Statuses

@group
def refused():
    for status in (400, 401, 403):
        yield Case("%d, empty" % status, 4, {"status": status}, FORM_TWICE)
        yield Case("%d, a page" % status, 4, {"status": status, "body": "<html>no</html>"}, FORM_TWICE, hides=["<html"])
        yield Case("%d, a token" % status, 4, answer(GOOD, status), FORM_TWICE)
    invalid = {"message": "The given data was invalid.", "errors": {"email": ["The email field is required."]}}
    yield Case("422", 4, answer(invalid, 422), shows=["The email field is required."])
    asks = {"status": 401, "headers": {"WWW-Authenticate": ['Basic realm="x"', "NTLM", "Negotiate"]}}
    yield Case("401, and asks for a login", 4, asks, FORM_TWICE)
    yield Case("401, and the form is given", 4, {"status": 401}, options=["--auth-scheme", "raw"])
    yield Case("401, and a form has worked before", 4, {"status": 401}, FORM_TWICE, auth_scheme="raw")


@group
def temporary():
    page = {"body": "<html>Bad Gateway</html>", "headers": {"Content-Type": "text/html"}}
    for status in (408, 425, 429):
        yield Case(str(status), 5, {"status": status})
    # A 500 may be a refusal, so the other form is tried while none is known to work.
    once = {"login_options": ["--retries", "0"]}
    yield Case("500", 5, answer({"message": "Server Error"}, 500), FORM_TWICE, **once)
    yield Case("500, and a form has worked before", 5, {"status": 500}, auth_scheme="raw", **once)
    for status in (501, 502, 503, 504, 505, 506, 507, 508, 509, 510, 511, 520, 529, 599):
        yield Case(str(status), 5, {"status": status, **page}, **once)
    yield Case("503 with a token", 5, answer(GOOD, 503), **once)


@group
def login_repeated():
    """A 5xx on login is: the service has said that it did nothing."""
    once_more = {"login_options": ["--retries", "1"], "commands": ("login",), "sent": 2}
    yield Case("502", 5, {"status": 502}, **once_more)


@group
def other_statuses():
    for status in (204, 205, 304, 402, 404, 405, 406, 407, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 423, 424,
                   426, 428, 431, 451, 499, 600, 700, 999):
        yield Case(str(status), 6, {"status": status})
    yield Case("404 with a token", 6, answer(GOOD, 404))
    yield Case("600 with a token", 6, answer(GOOD, 600))
    part = {"Content-Range": "bytes 0-9/400"}
    yield Case("206 with a part", 6, {"status": 206, "headers": part, "body": GOOD_TEXT[:10].decode()})
    asks = {"Proxy-Authenticate": 'Basic realm="x"'}
    yield Case("407, and asks for a login", 6, {"status": 407, "headers": asks})


@group
def redirects():
    for status in (300, 301, 302, 303, 305, 307, 308):
        yield Case(str(status), 6, {"status": status, "headers": {"Location": "/v1/me"}})
    here = "127.0.0.1:%d" % PORT
    for location in ("http://localhost:%d/v1/auth/login" % PORT, "http://%s/v1/auth/refresh" % here,
                     "https://api.servetel.in/v1/auth/refresh", "//%s/v1/me" % here, "file:///etc/passwd",
                     "http://you:secret@%s/" % here, "", "::", "javascript:alert(1)"):
        yield Case("to '%s'" % location, 6, {"status": 307, "headers": {"Location": location}})
    yield Case("with a token", 6, answer(GOOD, 302))
    yield Case("without Location", 6, {"status": 301})
    yield Case("an escape in Location", 6, raw(b"HTTP/1.1 302 Found\r\nLocation: /\x1b[31m\r\nContent-Length: 0\r\n\r\n"))
    elsewhere = {"Location": "/v1/me", "Refresh": "0; url=/v1/me"}
    yield Case("in the headers of a 200", 6, {"headers": elsewhere, "body": "{}"})


# What is hardly HTTP

@group
def status_lines():
    rest = b"\r\nContent-Length: %d\r\n\r\n%s" % (len(GOOD_TEXT), GOOD_TEXT)
    for line in (b"HTTP/1.1 000 Nothing", b"HTTP/1.1 20 OK", b"HTTP/1.1 abc OK", b"HTTP/1.1 -200 OK",
                 b"HTTP/1.1 0x0c8 OK", b"HTTP/9.9 200 OK", b"HTTP/2 999 OK", b"HTTP 200 OK"):
        yield Case(line.decode(), 6, raw(line + rest))
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n\r\n"
    yield Case("a switch of protocols", (5, 6), raw(upgrade % b"websocket"))
    yield Case("a switch to HTTP/2", (5, 6), raw(upgrade % b"h2c" + b"\0\0\0\4\0\0\0\0\0"))


@group
def not_http():
    for name, data in {
            "the body alone, as in HTTP/0.9": GOOD_TEXT, "a page alone": b"<html>hello</html>",
            "SSH": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "SMTP": b"220 mail.example.test ESMTP\r\n",
            "Redis": b"-ERR unknown command\r\n", "MySQL": b"J\0\0\0\n5.7.33\0\x08\0\0\0abcdefgh\0\xff\xf7",
            "a TLS alert": b"\x15\x03\x01\0\x02\x02\x46", "a TLS handshake": b"\x16\x03\x03\0\x40\x02\0\0\x3c\x03\x03" + b" " * 64,
            "HTTP/2 frames": b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x64\0\4\0\1\0\0\0\5\0\0\x40\0",
            "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "a request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "lines without words": b"\r\n\r\n\r\n", "NULs": b"\0" * 16, "much noise": b"#" * 600000}.items():
        yield Case(name, 6, raw(data))


@group
def framing():
    chunked = HEADERS + b"Transfer-Encoding: chunked\r\n\r\n"
    for name, code, data in (
            ("a length too small", 6, HEADERS + b"Content-Length: 20\r\n\r\n" + GOOD_TEXT),
            ("length 0", 6, HEADERS + b"Content-Length: 0\r\n\r\n" + GOOD_TEXT),
            ("a length too large", 5, HEADERS + b"Content-Length: 5000\r\n\r\n" + GOOD_TEXT),
            ("a negative length", 6, HEADERS + b"Content-Length: -5\r\n\r\n" + GOOD_TEXT),
            ("a length in words", 6, HEADERS + b"Content-Length: many\r\n\r\n" + GOOD_TEXT),
            ("two lengths", (5, 6), HEADERS + b"Content-Length: 20\r\nContent-Length: 5000\r\n\r\n" + GOOD_TEXT),
            ("a negative chunk", (5, 6), chunked + b"-1\r\n" + GOOD_TEXT + b"\r\n0\r\n\r\n"),
            ("a gigantic chunk", (5, 6), chunked + b"f" * 18 + b"\r\n" + GOOD_TEXT + b"\r\n"),
            ("no last chunk", 5, chunked + b"%x\r\n%s\r\n" % (len(GOOD_TEXT), GOOD_TEXT)),
            ("cut in a chunk", 5, chunked + b"1000\r\n" + GOOD_TEXT),
            ("cut in the headers", (5, 6), b"HTTP/1.1 200 OK\r\nContent-Ty"),
            ("cut in the status line", (5, 6), b"HTTP/1.1 2"),
            ("nothing but a hint", 5, b"HTTP/1.1 100 Continue\r\n\r\n")):
        yield Case(name, code, raw(data))
    yield Case("a chunk size that is no number", (5, 6), {"chunked_broken": True, "json": GOOD})


@group
def broken_connections():
    for reset in (False, True):
        how = "reset" if reset else "closed"
        yield Case(how + " without an answer", 5, {"drop": "before", "reset": reset})
        yield Case(how + " after the headers", 5, {"json": GOOD, "drop": "after_headers", "reset": reset})
        yield Case(how + " in the body", 5, {"json": GOOD, "drop": "mid_body", "reset": reset})
        yield Case(how + ", and many tries are allowed", 5, {"drop": "before", "reset": reset}, options=["--retries", "9"])
    yield Case("a refusal cut short", (4, 5), {"status": 422, "json": {"message": "no"}, "drop": "mid_body"})


@group
def broken_when_used_again():
    """The library takes a connection that it used before, and that breaks, for an idle one that had been closed, and
    sends the request again on a new one, unless told otherwise."""
    for reset in (False, True):
        how = "reset" if reset else "closed"
        drop = {"drop": "before", "reset": reset, "repeat": -1}
        yield Case(how + " at the other form", 5, [{"status": 401}, drop], 2, commands=("refresh",))
        yield Case(how + " at the second try", 5, [{"status": 500}, drop], 2, commands=("login",))


@group
def slow():
    # Enough for a busy machine, and for a program under a wrapper (valgrind), to send something.
    patience = {"options": ["--timeout", "4s" if os.environ.get("SERVETEL_AUTH_WRAP") else "2s"]}
    yield Case("no answer", 5, {"hang": True}, **patience)
    yield Case("a late answer", 5, {"delay": 6, "json": GOOD}, **patience)
    yield Case("a byte now and then", 5, {"drip": 0.04, "json": GOOD}, **patience)
    yield Case("a header now and then", 5, {"drip": 0.04, "endless": "headers"}, **patience)


@group
def other_form():
    """The answer to the other form counts when the first was refused."""
    for code, second in ((6, {"body": "<html>"}), (6, {"status": 404}), (6, {"status": 302, "headers": {"Location": "/v1/me"}}),
                         (5, {"status": 503}), (5, {"status": 429}), (5, {"json": GOOD, "drop": "mid_body"}),
                         (4, {"status": 422}), (4, {"status": 403})):
        first = answer({"message": "first"}, 401)
        yield Case(json.dumps(second), code, [first, second], 2, commands=("refresh",))


# Pauses

@group
def pauses():
    for value in ("3600", "86400", "9" * 20, "9" * 40, "-1", "soon", "", "1.5 days", "0x10", "Fri, 31 Dec 2049 23:59:59 GMT",
                  "Fri, 99 Foo 9999 99:99:99 GMT"):
        yield Case("429, Retry-After: %s" % value, 5, {"status": 429, "headers": {"Retry-After": value}}, may_note_pause=True)
    for value in ("3600", "9" * 20, "soon"):
        yield Case("503, Retry-After: %s" % value, 5, {"status": 503, "headers": {"Retry-After": value}},
                   login_options=["--retries", "0"], may_note_pause=True)
    for value in ("9999-12-31 23:59:59", "2049-99-99 99:99:99", "soon", "", {}, [], 1e300, -1, "\0"):
        yield Case("retry_after %s" % json.dumps(value), 5, answer({"retry_after": value}, 429), may_note_pause=True)


@group
def pauses_of_nothing():
    for status in (429, 503):
        yield Case(str(status), 5, {"status": status, "headers": {"Retry-After": "0"}}, 3, options=["--retries", "2"], may_note_pause=True)


# Messages

@group
def terminal_codes():
    for name, text in {
            "colours": "a\x1b[31mvisible\x1b[0m", "the window's title": "\x1b]0;owned\x07visible",
            "a hyperlink": "\x1b]8;;http://x/\x1b\\visible\x1b]8;;\x1b\\", "C1": "\x9b31mvisible\x9d0;x\x9c\x85\x80\x9f",
            "DEL and backspaces": "visible\x7f\b\b\b\x07", "a carriage return": "\rvisible",
            "a forged line": "visible\nservetel-auth: logged in\r\nforged\ttab\x0b\x0c",
            "all of C0": "visible" + "".join(map(chr, range(1, 32))),
            "an escape in letters": "visible \\u001b[31m \\x1b[31m \\033[31m", "a format": "visible %s%n%s%n %999999d"}.items():
        yield refusal(name, text, shows=["visible"])
    yield refusal("NUL", "visi\0ble")
    yield refusal("half a surrogate", "visible \udc00")
    for data in (b"\x9b31m", b"\xff\xfe", b"\xc0\x9b", b"\xe2\x82", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"):
        yield Case("bytes " + data.hex(), 4, body(b'{"message":"visible %s"}' % data, status=401), FORM_TWICE)


@group
def long_messages():
    yield refusal("100 KB", "visible " + "x" * 100000, shows=["visible"], hides=["x" * 301])
    # The cut may not halve a character. 300 of them and our own words are more than 700 bytes.
    yield refusal("two bytes each", "visible" + "\xe9" * 5000, shows=["visible"], hides=["\xe9" * 301], longest=1000)
    yield refusal("two bytes each, shifted by one", "visible." + "\xe9" * 5000, shows=["visible"], longest=1000)
    yield refusal("four bytes each", "visible" + "\U0001f600" * 2000, shows=["visible"], longest=1600)
    yield refusal("only blanks", " " * 100000)
    yield refusal("only line feeds", "\n" * 100000)


@group
def message_is_no_text():
    for value in (None, 7, True, [], ["a", "b"], {}, {"a": {"b": "c"}}, "", " ", "\n"):
        yield refusal(json.dumps(value), value)


@group
def echoes_of_the_token():
    for name, text in {
            "the token": "bad token %s, visible" % OLD, "in brackets": "visible <%s>" % OLD, "nothing else": OLD,
            "the header": "Invalid key=value pair in 'Authorization: Bearer %s', visible" % OLD,
            "several times": OLD + OLD + " visible " + OLD, "the new one": "visible " + NEW,
            "behind a long text": "x" * 100000 + OLD}.items():
        if name == "the new one":  # nobody knows it but by a good answer that was refused
            yield Case(name, 4, good(success=False, message=text), shows=["visible"])
        else:
            yield refusal(name, text)
    yield refusal("most of it, cut by a gateway", "visible: " + OLD[:90], hides=[OLD[37:90]], shows=["visible"])
    yield refusal("the same, with dots", "visible: %s..." % OLD[:90], hides=[OLD[37:90]], shows=["visible"])
    for before in range(292 - len(OLD), 300, 20):
        yield refusal("where the message is cut, after %d" % before, "x" * before + OLD + " more", hides=[OLD[37:60], "eyJ0eXAi"])
    for name, between in {"BEL": "\x07", "DEL": "\x7f", "C1": "\x9b", "ESC": "\x1b", "NUL": "\0"}.items():
        yield refusal("with %s in it" % name, "visible %s%s%s" % (OLD[:-5], between, OLD[-5:]))


@group
def echoes_of_the_password():
    for name, text in {
            "the password": "wrong password '%s', visible" % PASSWORD, "nothing else": PASSWORD,
            "several times": PASSWORD + PASSWORD + " visible " + PASSWORD, "with the token": "%s %s visible" % (OLD, PASSWORD),
            "with BEL in it": "visible correct\x07 horse", "with NUL in it": "visible correct\0 horse",
            "with C1 in it": "visible cor\x9brect horse", "a line feed for its blank": "visible correct\nhorse",
            "a tab for its blank": "visible correct\thorse"}.items():
        yield refusal(name, text, commands=("login",))
    for before in range(286, 302, 2):
        yield refusal("where the message is cut, after %d" % before, "." * before + PASSWORD + " more", commands=("login",),
                      hides=["corre"])


@group
def echoes_elsewhere():
    once = {"login_options": ["--retries", "0"]}
    text = "%s %s %s" % (OLD, NEW, OLD)
    yield Case("a 503", 5, answer({**GOOD, "message": text}, 503), **once)
    yield Case("a 404", 6, answer({"message": "no route for " + OLD}, 404))
    yield Case("success: false", 4, good(success=False, message=text))
    yield Case("the status line", 4, raw(b"HTTP/1.1 401 %s\r\nConnection: close\r\n\r\n" % OLD.encode()), FORM_TWICE)
    yield Case("Location", 6, {"status": 302, "headers": {"Location": "/?token=" + OLD}})
    yield Case("what is not HTTP", 6, raw(OLD.encode() + b"\r\n"))
    yield Case("a broken header", (4, 5, 6), raw(b"HTTP/1.1 422 No\r\n%s\r\nContent-Length: x%s\r\n\r\n{}" % ((OLD.encode(),) * 2)))
    yield Case("a page", 6, body(b"<html>%s</html>" % OLD.encode()))
    yield Case("retry_after", 5, answer({"retry_after": OLD}, 429), may_note_pause=True)
    yield Case("with an unusable life", 6, good(expires_in=-1))
    yield Case("an unusable life", 6, good(expires_in=OLD))
    yield Case("success", 4, good(success=OLD))


@group
def verbose():
    more = {"options": ["--verbose"], "lines": None, "longest": 4000, "shows": ["127.0.0.1"]}
    yield refusal("a refusal", "\x1b[31m%s" % OLD, **more)
    yield Case("headers", 4, raw(b"HTTP/1.1 401 %s\r\nX-Echo: %s\r\n\r\n%s" % ((OLD.encode(),) * 3)), FORM_TWICE, **more)
    yield Case("a token type", 0, good(token_type="\x1b[31m" + NEW), stored=(NEW, 3600), **more)
    yield Case("a page", 6, body(b"<html>\x1b[31m%s</html>" % OLD.encode()), **more)
