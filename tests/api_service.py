# SPDX-License-Identifier: MIT
"""What the test service knows: users, tokens and their fate, and the control actions. api_server.py puts it
on a socket and documents the interface."""
import base64
import collections
import contextlib
import hashlib
import hmac
import json
import secrets
import threading
import time
import zlib

import api_faults
from api_faults import Answer

DEFAULTS = {
    "users": {"you@example.test": "correct horse"},
    "ttl": 3600,  # seconds a token lives; null: no exp claim
    "refresh_window": 14 * 24 * 3600,  # seconds after the first login in which a token can be renewed
    "grace": 0,  # seconds in which a replaced token can be used again
    "refresh_expired": True,  # an expired token can be renewed
    "keep_iat": True,  # a renewed token keeps the first login's iat
    "single_session": False,  # a login ends the user's older tokens
    "atomic_blacklist": True,  # false: two refreshes at once both succeed
    "header": "both",  # what Authorization may be: library (Bearer TOKEN), raw (TOKEN), both
    "uncaught": False,  # every refusal on refresh is 500 {"message":"Server Error"}
    "lockout": 0,  # so many refused logins lock an account; 0: never
    "count_failures": False,  # login_failed_count in refusals
    "number_of_days_left": None,  # a number: in login answers
    "token_type": "bearer",
    "claims_skew": 0,  # added to the times in the claims: a service whose clock is wrong
    "latency": 0,  # seconds before each API request is processed
    "throttle": None,  # [N, SECONDS]: no more than N API requests in as many seconds, as Laravel counts them
}
OPTIONAL_KEYS = {"expires_in"}  # when set, even to null, it replaces the real expires_in
STATS = ("logins", "refreshes", "refused", "throttled", "me_ok", "me_refused", "connections", "max_concurrent",
         "max_in_flight", "tls_handshakes", "tls_app_bytes")
PRV = "23bd5c8949f600adb39e701c400872db7a5976f7"  # sha1("App\\User"), as the library writes it

Request = collections.namedtuple("Request", "method path headers body url is_test")


class Refused(Exception):
    """The library's exception: its text is the answer's message."""


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def json_answer(status, value, **headers):
    return Answer(status, {"Content-Type": "application/json", **headers}, compact(value).encode())


def wants_json(request):
    return "json" in request.headers.get("Accept", "").lower()


def failure(request, status, body, **headers):
    """A refusal: JSON for those who accept it, else the framework's error page of 6.6 KB."""
    if wants_json(request):
        return json_answer(status, body, **headers)
    page = ('<!DOCTYPE html>\n<html lang="en">\n<head><title>Error %d</title>\n<style>' % status).encode()
    page += b"/*! normalize.css v8.0.1 */ " + b".antialiased{-webkit-font-smoothing:antialiased} " * 140
    return Answer(status, {"Content-Type": "text/html; charset=UTF-8", **headers}, page[:6574] + b"</style></html>")


def json_object(request):
    """The body as an object; None if it is not one or is not declared as JSON."""
    if request.headers.get_content_type() != "application/json":
        return None
    with contextlib.suppress(ValueError):
        value = json.loads(request.body)
        return value if isinstance(value, dict) else None
    return None


class Service:
    """Users, tokens and their fate. Every method may be called from any thread."""

    def __init__(self, prefix, secret, overrides):
        self.prefix, self.secret, self.overrides = prefix, secret.encode(), overrides
        self.routes = {prefix + "/auth/login": ("login", "POST", self.login),
                       prefix + "/auth/refresh": ("refresh", "POST", self.refresh),
                       prefix + "/me": ("me", "GET POST", self.me)}
        self.lock = threading.RLock()
        self.open_connections = self.in_flight = 0
        self.reset()

    def reset(self):
        with self.lock:
            self.config = {**json.loads(json.dumps(DEFAULTS)), **self.overrides}
            self.scripts = {name: collections.deque() for name in ("login", "refresh", "me", "other")}
            self.log, self.stats = [], dict.fromkeys(STATS, 0)
            self.issued = {}  # jti -> the token, its owner and its exact times; the claims have whole seconds
            self.blacklist = {}  # jti -> until when it can still be used
            self.failures = collections.Counter()
            self.attempts, self.window_ends = 0, 0
            self.held = threading.Semaphore(0)  # scripts with "hold" wait for it

    def configure(self, changes):
        unknown = set(changes) - set(DEFAULTS) - OPTIONAL_KEYS
        if unknown:
            raise ValueError("unknown configuration: %s" % ", ".join(sorted(unknown)))
        with self.lock:
            self.config.update(changes)

    def count(self, name, by=1):
        with self.lock:
            self.stats[name] += by

    @contextlib.contextmanager
    def concurrent(self, gauge, peak):
        """Counts what is open now, and the most that ever was."""
        with self.lock:
            setattr(self, gauge, getattr(self, gauge) + 1)
            self.stats[peak] = max(self.stats[peak], getattr(self, gauge))
        try:
            yield
        finally:
            with self.lock:
                setattr(self, gauge, getattr(self, gauge) - 1)

    # Tokens

    def sign(self, text):
        return b64url(hmac.new(self.secret, text.encode(), hashlib.sha256).digest())

    def issue(self, email, url, ttl, first_login=None):
        now = time.time()
        first_login = now if first_login is None else first_login
        expires = None if ttl is None else now + ttl
        starts = now if ttl is None or ttl > 0 else min(first_login, expires)
        skew = self.config["claims_skew"]
        jti = secrets.token_urlsafe(12)
        claims = {"iss": url, "iat": int(first_login) + skew}
        if ttl is not None:
            claims["exp"] = int(now) + ttl + skew
        claims.update(nbf=int(starts) + skew, jti=jti, sub=str(zlib.crc32(email.encode()) % 100000), prv=PRV)
        text = "%s.%s" % (b64url(b'{"typ":"JWT","alg":"HS256"}'), b64url(compact(claims).encode()))
        token = "%s.%s" % (text, self.sign(text))
        with self.lock:
            self.issued[jti] = {"jti": jti, "email": email, "token": token, "first_login": first_login,
                                "expires": expires}
        return token

    def token_answer(self, token, ttl, **more):
        body = {"success": True, "access_token": token, "token_type": self.config["token_type"],
                "expires_in": self.config.get("expires_in", ttl), **more}
        return json_answer(200, body)

    def token_of(self, request):
        values = request.headers.get_all("Authorization", [])
        value = values[0].strip() if len(values) == 1 else ""
        mode = "both" if request.is_test else self.config["header"]
        has_scheme = value[:7].lower() == "bearer "
        if not value or (mode == "library" and not has_scheme):
            raise Refused("Token could not be parsed from the request.")
        return value[7:].strip() if has_scheme and mode != "raw" else value

    def record_of(self, token):
        """What is known about a token that this service signed."""
        head, _, signature = token.rpartition(".")
        if token.count(".") != 2:
            raise Refused("Wrong number of segments")
        if not hmac.compare_digest(self.sign(head).encode(), signature.encode()):
            raise Refused("Token Signature could not be verified.")
        payload = head.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        skew = self.config["claims_skew"]
        signed_before_reset = {"jti": claims["jti"], "email": "", "first_login": claims["iat"] - skew,
                               "expires": claims["exp"] - skew if "exp" in claims else None}
        return self.issued.get(claims["jti"], signed_before_reset)

    def check(self, record, renewing):
        now = time.time()
        expired = record["expires"] is not None and now >= record["expires"]
        if renewing and now > record["first_login"] + self.config["refresh_window"]:
            raise Refused("Token has expired and can no longer be refreshed")
        if expired and not (renewing and self.config["refresh_expired"]):
            raise Refused("Token has expired")
        if now >= self.blacklist.get(record["jti"], float("inf")):
            raise Refused("The token has been blacklisted")

    def spend(self, record):
        self.blacklist.setdefault(record["jti"], time.time() + self.config["grace"])

    def throttle(self):
        """Laravel's: a window opens at the first request and is over so many seconds later; what comes when it is
        full is refused, and does not count."""
        most, seconds = self.config["throttle"]
        now = time.time()
        with self.lock:
            if now >= self.window_ends:
                self.attempts, self.window_ends = 0, now + seconds
            if self.attempts < most:
                self.attempts += 1
                return None
            self.count("throttled")
            wait = {"Retry-After": str(max(0, int(self.window_ends) - int(now))),
                    "X-RateLimit-Limit": str(most), "X-RateLimit-Remaining": "0",
                    "X-RateLimit-Reset": str(int(self.window_ends))}
        return json_answer(429, {"message": "Too Many Attempts."}, **wait)

    # Endpoints

    def answer(self, endpoint, request):
        """What the real service would answer; endpoint is this request's name or "other"."""
        if self.config["throttle"] and not request.is_test:
            refused = self.throttle()
            if refused:
                return refused
        if endpoint == "other":
            message = "The route %s could not be found." % request.path.split("?")[0].lstrip("/")
            return failure(request, 404, {"message": message})
        _, methods, action = self.routes[request.path.split("?")[0]]
        if request.method not in methods.split():
            message = "The %s method is not supported for this route. Supported methods: %s."
            return failure(request, 405, {"message": message % (request.method, methods)}, Allow=methods)
        return action(request)

    def login(self, request):
        if not wants_json(request):
            return failure(request, 401, {})
        body = json_object(request)
        if body is None:
            return self.refuse_login(request, None)
        missing = [name for name in ("email", "password") if not body.get(name)]
        if missing:
            self.count("refused")
            errors = {name: ["The %s field is required." % name] for name in missing}
            return failure(request, 422, {"message": "The given data was invalid.", "errors": errors})
        email, config = str(body["email"]), self.config
        with self.lock:
            if config["lockout"] and self.failures[email] >= config["lockout"]:
                return self.refuse_login(request, email, "Account locked")
            if email not in config["users"] or config["users"][email] != body["password"]:
                return self.refuse_login(request, email)
            self.failures[email] = 0
            if config["single_session"]:
                for record in self.issued.values():
                    if record["email"] == email:
                        self.blacklist.setdefault(record["jti"], 0)
            self.count("logins")
            days = config["number_of_days_left"]
            more = {} if days is None else {"number_of_days_left": days}
            return self.token_answer(self.issue(email, request.url, config["ttl"]), config["ttl"], **more)

    def refuse_login(self, request, email, message="Invalid credentials"):
        with self.lock:
            self.count("refused")
            body = {"success": False, "message": message}
            if email is not None:
                self.failures[email] += 1
            if self.config["count_failures"]:
                body["login_failed_count"] = self.failures[email]
        return failure(request, 401, body)

    def refresh(self, request):
        if not wants_json(request):
            return failure(request, 500, {})
        try:
            with self.lock:
                record = self.record_of(self.token_of(request))
                self.check(record, renewing=True)
                if self.config["atomic_blacklist"]:
                    return self.renew(request, record)
            time.sleep(1)  # long enough for the other one of two racers to pass the check too
            with self.lock:
                return self.renew(request, record)
        except Refused as error:
            self.count("refused")
            if self.config["uncaught"]:
                return failure(request, 500, {"message": "Server Error"})
            return failure(request, 401, {"success": False, "message": str(error)})

    def renew(self, request, record):
        self.spend(record)
        self.count("refreshes")
        first_login = record["first_login"] if self.config["keep_iat"] else None
        token = self.issue(record["email"], request.url, self.config["ttl"], first_login)
        return self.token_answer(token, self.config["ttl"])

    def me(self, request):
        try:
            with self.lock:
                record = self.record_of(self.token_of(request))
                self.check(record, renewing=False)
        except Refused as error:
            self.count("me_refused", 0 if request.is_test else 1)
            return failure(request, 401, {"success": False, "message": str(error)})
        self.count("me_ok", 0 if request.is_test else 1)
        return json_answer(200, {"success": True, "user": record["email"]})

    # Control

    def control(self, method, path, body):
        try:
            value = json.loads(body or "{}")
            with self.lock:
                return json_answer(200, self.control_action(method, path, value))
        except KeyError as error:
            return json_answer(404, {"error": "unknown: %s" % error})
        except (TypeError, ValueError) as error:
            return json_answer(400, {"error": str(error)})

    def control_action(self, method, path, value):
        name = "%s %s" % (method, path)
        if name == "GET /_test/log":
            return self.log
        if name == "GET /_test/stats":
            return self.stats
        if name == "GET /_test/tokens":
            return [record["token"] for record in self.issued.values()]
        if name == "POST /_test/config":
            self.configure(value)
            return self.config
        if name == "POST /_test/script":
            self.scripts[value["endpoint"]].extend(api_faults.checked(value["answers"]))
            return {}
        if name == "POST /_test/reset":
            return self.reset() or {}
        if name == "POST /_test/release":
            self.held.release(value.get("count", 1))
            return {}
        if name == "POST /_test/issue":
            email, ttl = value.get("email", "you@example.test"), value.get("ttl", self.config["ttl"])
            first_login = time.time() - value.get("age", 0)
            return {"access_token": self.issue(email, self.prefix + "/auth/login", ttl, first_login)}
        raise KeyError(name)

    def next_script(self, endpoint):
        with self.lock:
            return api_faults.take(self.scripts[endpoint])
