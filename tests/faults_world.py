# SPDX-License-Identifier: MIT
"""The place where faults.py lets the program run: a service, a home, and what strace saw."""
import base64
import collections
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

STRACE = shutil.which("strace")
HERE = os.path.dirname(os.path.abspath(__file__))
PASSWORD = "correct horse"
# Architectures differ in which of its names a call has.
FAMILIES = {"openat": "open", "pwrite64": "write", "pwritev": "write", "fdatasync": "fsync", "renameat": "rename",
            "renameat2": "rename", "ftruncate64": "ftruncate", "fchmodat": "chmod", "mkdirat": "mkdir",
            "unlinkat": "unlink", "pread64": "read", "ppoll": "poll", "sendto": "send", "sendmsg": "send",
            "recvfrom": "recv", "recvmsg": "recv"}
Scenario = collections.namedtuple("Scenario", "name arguments profiles cached source threads config")
SCENARIOS = [
    Scenario("refresh", ["refresh"], ["default"], True, False, False, {}),
    Scenario("first-login", ["login", "--password-stdin", "-e"], ["default"], False, False, False, {}),
    Scenario("login-again", ["login", "--password-stdin", "-e"], ["default"], True, False, False, {}),
    Scenario("log-in-instead", ["refresh"], ["default"], True, True, False, {"refresh_window": 0}),
    Scenario("refresh-all", ["refresh", "--all"], ["a", "b", "c"], True, False, True, {}),
]


def email_of(profile):
    return profile + "@example.test"


class Call:
    """A line of strace's: the call, which of its name it is, and which of our files it is about."""

    def __init__(self, name, text, number):
        self.name, self.text, self.number = name, text, number
        self.family = FAMILIES.get(name, name)
        self.place = None  # cache, lock, temp, dir; None: not ours
        self.sent_before, self.answered_before = 0, False  # requests; the last of them
        result = re.search(r"\) += (-?\d+)", text)
        self.result = int(result.group(1)) if result else None
        self.is_injected = "(INJECTED)" in text


def read_trace(path, directory):
    """The calls from the first touch of the directory on."""
    calls, numbers, places, sent, answered = [], collections.Counter(), {}, 0, False
    earlier = None  # how often each call was made before
    with open(path, encoding="utf-8", errors="replace") as trace:
        for line in trace:
            match = re.match(r"(?:(\d+) +)?(\w+)\((.*)", line)
            if not match:
                continue
            thread, name, text = match.groups()
            numbers[thread, name] += 1
            if earlier is None and directory in text:
                earlier = collections.Counter({key[1]: count - (key[1] == name) for key, count in numbers.items()})
            # A thread counts anew, and a fault by its number would come before all this.
            if earlier is None or numbers[thread, name] <= earlier[name]:
                continue
            call = Call(name, text, numbers[thread, name])
            call.sent_before, call.answered_before = sent, answered
            done = call.result is not None and call.result >= 0
            named = re.findall(r'"%s([^"]*)"' % re.escape(directory), text)
            if named:
                call.place = ("dir" if named[0] in ("", "/") else "cache" if named[0].endswith(".json") else
                              "lock" if named[0].endswith(".lock") else "temp")
                if call.family == "open" and done:
                    places[call.result] = call.place
            elif re.match(r"\d+[,)]", text):
                fd = int(re.match(r"\d+", text).group())
                call.place = places.get(fd)
                if call.family == "close":
                    places.pop(fd, None)
            calls.append(call)
            # Of several threads, one's call may come to its end in a later line.
            if call.family == "send" and (done or text.endswith("<unfinished ...>")):
                sent, answered = sent + 1, False  # there may be several requests
            answered = answered or (done and sent and call.family == "recv")
    return calls


class World:
    """A service and a home of its own: one for each thread."""

    def __init__(self, options):
        self.program = os.path.abspath(options.program)
        self.is_quick, self.tried_kinds = not options.all, set()
        self.failing_malloc = options.failing_malloc
        self.home = tempfile.mkdtemp(prefix="faults.")
        self.directory = os.path.join(self.home, ".servetel-auth")
        self.password_file = os.path.join(self.home, "password")
        with open(self.password_file, "w", encoding="ascii", opener=private) as file:
            file.write(PASSWORD + "\n")
        users = {email_of(name): PASSWORD for scenario in SCENARIOS for name in scenario.profiles}
        port_file = os.path.join(self.home, "port")
        self.server = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "api_server.py"), "--port-file", port_file, "--with-parent",
             "--config", json.dumps({"users": users})], stdin=subprocess.DEVNULL)
        while not os.path.exists(port_file):
            if self.server.poll() is not None:
                raise RuntimeError("the server did not start")
            time.sleep(0.02)
        with open(port_file, encoding="ascii") as file:
            self.port = int(file.read())
        self.control = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        # An exact environment: nothing of the caller's settings. A sanitizer cannot look for leaks in a
        # process that is traced.
        # Elsewhere than all others: what a build for coverage writes when it is killed spoils the file.
        self.environment = {"GCOV_PREFIX": self.home,
                            "HOME": self.home, "PATH": "/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C",
                            "SERVETEL_API_URL": "http://127.0.0.1:%d/v1" % self.port,
                            "ASAN_OPTIONS": "exitcode=99:detect_leaks=0", "UBSAN_OPTIONS": "exitcode=99"}

    def close(self):
        self.control.close()
        self.server.terminate()
        self.server.wait()
        shutil.rmtree(self.home)

    def ask(self, method, path, value=None, headers=None):
        body = None if value is None else json.dumps(value)
        self.control.request(method, path, body, headers or {})
        answer = self.control.getresponse()
        return answer.status, json.loads(answer.read())

    def works(self, token):
        return self.ask("GET", "/v1/me", headers={"X-Test": "1", "Authorization": token})[0] == 200

    def tokens(self):
        """All that were issued, oldest first, for each owner."""
        issued = collections.defaultdict(list)
        for token in self.ask("GET", "/_test/tokens")[1]:
            issued[owner_of(token)].append(token)
        return issued

    def requests(self):
        """What the service has been asked, all of it answered or given up."""
        deadline = time.monotonic() + 20
        while True:
            log = self.ask("GET", "/_test/log")[1]
            if all(entry["status"] is not None for entry in log) or time.monotonic() > deadline:
                return log
            time.sleep(0.005)

    def prepare(self, scenario):
        """Returns the old token of each profile."""
        self.ask("POST", "/_test/reset", {})
        if scenario.config:
            self.ask("POST", "/_test/config", scenario.config)
        shutil.rmtree(self.directory, ignore_errors=True)
        if not scenario.cached:
            return {}
        os.mkdir(self.directory, 0o700)
        old = {}
        for name in scenario.profiles:
            # An earlier login than any that is to come: times in tokens are whole seconds.
            wish = {"email": email_of(name), "age": 60}
            old[name] = self.ask("POST", "/_test/issue", wish)[1]["access_token"]
            now = int(time.time())
            profile = {"version": 1, "api_url": self.environment["SERVETEL_API_URL"], "email": email_of(name),
                       "access_token": old[name], "token_type": "bearer", "expires_at": now + 3600,
                       "obtained_at": now, "logged_in_at": now}
            if scenario.source:
                profile["password_file"] = self.password_file
            with open(self.cache(name), "w", encoding="ascii", opener=private) as file:
                json.dump(profile, file)
        return old

    def cache(self, name):
        return os.path.join(self.directory, name + ".json")

    def run(self, arguments, trace=None, injection=None, follow=False, memory=None):
        """Status (as Python gives it: -9 for SIGKILL) and stderr. memory: variables for failing_malloc.c."""
        environment = self.environment if not memory else {**self.environment, "LD_PRELOAD": self.failing_malloc, **memory}
        command = [self.program, arguments[0], "--timeout", "60", *arguments[1:]]
        if trace:
            command = [STRACE, *(["-f"] if follow else []), "-s", "4096", "-o", trace,
                       *(["-e", "inject=" + injection] if injection else []), "--", *command]
        # A session of its own: what hangs is ended with the tracer, and ^C's signal is only ours to send.
        process = subprocess.Popen(command, env=environment, cwd=self.home, stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        try:
            _, stderr = process.communicate((PASSWORD + "\n").encode(), timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None, "no end within 60 s"
        return process.returncode, stderr.decode("utf-8", "replace")


def private(path, flags):
    return os.open(path, flags, 0o600)


def owner_of(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"]


def arguments_of(scenario, profile=None):
    arguments = list(scenario.arguments)
    return arguments + [email_of(profile or scenario.profiles[0])] if "login" in arguments else arguments
