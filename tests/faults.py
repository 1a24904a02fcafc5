#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Kills, interrupts and starves the program at each of its system calls, and looks at what is left.

    faults.py [--all] [--every N] [--jobs N] [--only SCENARIO:CALL:FAULT:N] PROGRAM [GROUP...]

A scenario (refresh, a first login, ...) is run once under strace, to learn its calls from the first touch of
the cache directory to the end. Then it is run again and again, each time with one fault at one call:
  kill     SIGKILL at every call
  signal   SIGTERM, SIGINT, SIGHUP
  error    the calls that can fail, fail: no space, no permission, no descriptor, interrupted, ...
  memory   the n-th allocation of all, the libraries' too, fails, or that and all after it (failing_malloc.c)
The groups default to all four. Without --all the calls inside the dynamic loader, which touch nothing of
ours, are sampled, and so are signals, errors and allocations. --every N takes each Nth of what is left. After each
fault the promise is checked (judge below): the cache is whole and holds the old token or the newest, success means
stored, nothing was sent if the fault came before the request, and the next run works and leaves no litter. Out of
memory is 1 and nothing was given, or 0.

Prints a line for each broken promise, with what to give to --only, and the counts. Exit status 1 if any was
broken. Standard library only; strace must be there.
"""
import argparse
import base64
import collections
import concurrent.futures
import http.client
import json
import os
import queue
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
SIGNALS = ("TERM", "INT", "HUP")
# What a person meets (no space, no permission, too many files, a bad disk), and EINTR, which is no failure.
ERRORS = {
    "open": ("EACCES", "EMFILE", "ENOSPC", "EIO", "EINTR"), "write": ("ENOSPC", "EIO", "EINTR"),
    "fsync": ("EIO", "ENOSPC", "EINTR"), "close": ("EIO", "EINTR"), "rename": ("EACCES", "ENOSPC", "EIO"),
    "ftruncate": ("EIO", "EINTR"),
    "flock": ("ENOLCK", "EIO", "EINTR"), "fchmod": ("EPERM", "EIO"), "chmod": ("EPERM", "EIO"),
    "mkdir": ("EACCES", "ENOSPC"), "unlink": ("EACCES", "EIO"), "read": ("EIO", "EINTR"),
    "socket": ("EMFILE", "EACCES"), "connect": ("EACCES", "EINTR"), "poll": ("ENOMEM", "EINTR"),
    "send": ("EIO", "ECONNRESET", "EINTR"), "recv": ("EIO", "ECONNRESET", "EINTR"),
}
# Architectures differ in which of its names a call has.
FAMILIES = {"openat": "open", "pwrite64": "write", "pwritev": "write", "fdatasync": "fsync", "renameat": "rename",
            "renameat2": "rename", "ftruncate64": "ftruncate", "fchmodat": "chmod", "mkdirat": "mkdir",
            "unlinkat": "unlink", "pread64": "read", "ppoll": "poll", "sendto": "send", "sendmsg": "send",
            "recvfrom": "recv", "recvmsg": "recv"}
# Failures that mean "again", or "not supported": none of these may be the end of a run.
HARMLESS = ("EINTR", "EOPNOTSUPP")

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


# ------------------------------------------------------------------------------------------- which faults

def calls_of(world, scenario):
    """The calls of a run without a fault, each once: (name, number) and whether it is ours."""
    trace = os.path.join(world.home, "trace")
    world.prepare(scenario)
    status, stderr = world.run(arguments_of(scenario), trace, follow=scenario.threads)
    if status != 0:
        raise RuntimeError("%s fails without a fault: %s" % (scenario.name, stderr))
    seen = {}
    calls = read_trace(trace, world.directory)
    loading = False
    for call in calls:
        # The loader and the libraries' own setting up: from the first library to the first socket.
        if re.search(r'"[^"]*\.so[."]|ld\.so\.cache', call.text) and not call.sent_before:
            loading = True
        if call.family == "socket":
            loading = False
        seen.setdefault((call.name, call.number), (call, not loading))
    return [(call, is_ours) for call, is_ours in seen.values() if call.name != "exit_group"]


def faults_of(scenario, calls, groups, everything):
    """(call's name, fault, when) in the order of a run."""
    faults = []
    for index, (call, is_ours) in enumerate(calls):
        ways = []
        if "kill" in groups and (everything or is_worth_a_kill(scenario, call, is_ours, index)):
            ways.append("signal=KILL")
        if "signal" in groups:
            ways += signals_for(scenario, call, is_ours, index, everything)
        if "error" in groups:
            ways += errors_for(scenario, call, is_ours, index, everything)
        faults += [(call.name, way, str(call.number)) for way in ways]
        # And it stays so; but a close that strace keeps from the kernel would leave ends of pipes open.
        if everything and "error" in groups and call.place and call.family in ERRORS and call.family != "close":
            faults.append((call.name, "error=" + ERRORS[call.family][0], "%d+" % call.number))
    return faults


def is_to_pipe(call):
    return call.family == "write" and not re.match(r"[12],", call.text)


def is_worth_a_kill(scenario, call, is_ours, index):
    if scenario.name != "refresh":  # the others differ at the files only
        return call.place is not None
    return is_ours or index % 12 == 0


def signals_for(scenario, call, is_ours, index, everything):
    if everything and is_ours:
        return ["signal=" + name for name in SIGNALS]
    # All around the request: there they decide whether a token is spent.
    if index % 5 == 0 or call.family in ("socket", "connect", "poll", "send", "recv"):
        if everything or (is_ours and scenario.name == "refresh"):
            return ["signal=" + SIGNALS[index % len(SIGNALS)]]
    return []


def errors_for(scenario, call, is_ours, index, everything):
    names = ERRORS.get(call.family, ())
    if not everything and call.place is None:
        names = names[index % len(names):][:1] if names and is_ours and scenario.name == "refresh" else ()
    elif not everything and scenario.name != "refresh":
        names = names[:1]
    # Between threads are pipes, of which neither can fail: strace would keep the call from the kernel, and who
    # reads the other end would wait.
    if scenario.threads and call.place is None and (call.family == "close" or is_to_pipe(call)):
        names = ()
    return ["error=" + name for name in names]


def memory_faults_of(world, scenario, everything):
    """The first loop has each allocation fail alone, the second has all after it fail too."""
    count_file = os.path.join(world.home, "allocations")
    world.prepare(scenario)
    status, stderr = world.run(arguments_of(scenario), memory={"COUNT_ALLOCATIONS": count_file})
    if status != 0:
        raise RuntimeError("%s fails without a fault: %s" % (scenario.name, stderr))
    with open(count_file, encoding="ascii") as file:
        count = int(file.read())
    # Most of them are OpenSSL's, setting itself up; primes, so that no pattern of its is hit again and again.
    alone, together = (1, 7) if everything else (23, 131) if scenario.name == "refresh" else (61, 499)
    return ([("allocation", "memory", str(n)) for n in range(1, count + 1, alone)] +
            [("allocation", "memory", "%d+" % n) for n in range(1, count + 1, together)])


# -------------------------------------------------------------------------------------------------- judging

def judge_memory(world, scenario, number, old):
    """As judge, for an allocation that fails."""
    memory = {"FAIL_ALLOCATION": number.rstrip("+"), **({"FAIL_ALLOCATION_ON": "1"} if number.endswith("+") else {})}
    before = {owner: len(tokens) for owner, tokens in world.tokens().items()}
    status, stderr = world.run(arguments_of(scenario), memory=memory)
    broken = judge_requests(world.requests())
    issued = world.tokens()
    is_kept = {}
    for profile in scenario.profiles:
        more, is_kept[profile] = judge_cache(world, scenario, profile, old.get(profile), issued, status)
        broken += more
    given = any(len(tokens) > before.get(owner, 0) for owner, tokens in issued.items())
    if status not in (0, 1):
        broken.append("status %s" % status)
    if status == 1 and "memory" not in stderr:
        broken.append("does not say that memory was out")
    if given and not scenario.threads and (status != 0 or set(is_kept.values()) != {"newest"}):
        broken.append("a token was given, and it was no success")
    if status == 0:
        broken += judge_litter(world, scenario, None, "memory")
    broken += judge_next_run_once(world, scenario, is_kept)
    if broken:
        broken.append("status %s, said: %s" % (status, stderr.strip()))
    return True, broken


def judge(world, scenario, fault, old):
    """Runs the scenario with the fault. Returns whether the fault happened, and the broken promises."""
    name, what, number = fault
    if what == "memory":
        return judge_memory(world, scenario, number, old)
    trace = os.path.join(world.home, "trace")
    status, stderr = world.run(arguments_of(scenario), trace, "%s:%s:when=%s" % fault, scenario.threads)
    calls = read_trace(trace, world.directory)
    broken = []
    if what.startswith("error="):
        hits = [call for call in calls if call.is_injected]
        # Of a failure that stays, what it did to the file counts.
        hit = next((call for call in hits if call.place == "temp" and call.answered_before), None) or (hits or [None])[0]
    else:
        sent_signal = what[len("signal="):]
        hit = next((call for call in calls if (call.name, str(call.number)) == (name, number)), None)
        expected = -getattr(signal, "SIG" + sent_signal)
        if status not in (expected, 0):
            broken.append("status %s" % status)
        if status == 0 and sent_signal == "KILL":
            hit = None  # the number of polls is a matter of chance
    wait_for_arrival(world, calls)
    log = world.requests()
    issued = world.tokens()
    broken += judge_requests(log)
    if what.startswith("error="):
        broken += judge_error(scenario, hit, what[len("error="):], status, stderr, log)
    is_kept = {}
    for profile in scenario.profiles:
        more, is_kept[profile] = judge_cache(world, scenario, profile, old.get(profile), issued, status)
        broken += more
    if any(len(tokens) > 1 or not scenario.cached for tokens in issued.values()):  # a new one was given
        broken += judge_stored(scenario, hit, what, status, is_kept, stderr)
    broken += judge_litter(world, scenario, hit, what)
    was_cut_off = what.startswith("error=") and hit is not None and hit.family in ("send", "recv", "poll")
    broken += judge_next_run_once(world, scenario, is_kept, was_cut_off)
    if broken:
        broken.append("status %s, said: %s" % (status, stderr.strip()))
    return hit is not None, broken


def wait_for_arrival(world, calls):
    """A request that was sent before the death is with the service, but perhaps not read yet."""
    sent = sum(1 for call in calls if call.family == "send" and (call.result or 0) > 0)
    deadline = time.monotonic() + 20
    while len(world.requests()) < sent and time.monotonic() < deadline:
        time.sleep(0.005)


def judge_requests(log):
    """A refresh is never sent again after it may have arrived, a login neither."""
    sent = collections.Counter()
    for entry in log:
        headers = dict((key.lower(), value) for key, value in entry["headers"])
        sent[entry["endpoint"], headers.get("authorization"), entry["body"]] += 1
    return ["sent %d times: %s" % (times, key[0]) for key, times in sent.items() if times > 1]


def judge_error(scenario, hit, error, status, stderr, log):
    broken = []
    if status is None or not 0 <= status <= 7:
        broken.append("status %s" % status)
    if hit is None:
        return broken
    if status != 0 and not stderr.strip() and not re.match(r"write\(2,", hit.name + "(" + hit.text):
        broken.append("failed without a word")
    if status != 0 and not hit.sent_before and log and not scenario.threads:
        broken.append("%d requests, although it failed before" % len(log))
    if not hit.place or hit.family == "close":
        return broken
    if error in HARMLESS:
        if status != 0:
            broken.append("a harmless failure ended it")
    elif not hit.sent_before and status != 7 and not (hit.place == "dir" and hit.family == "open" and status == 0):
        # (The directory may have been looked through for a name that was meant.)
        broken.append("a failing file system is 7")
    return broken


def judge_cache(world, scenario, profile, old, issued, status):
    """Also returns which token is there: old, newest, or None."""
    path = world.cache(profile)
    if not os.path.lexists(path):
        return (["the cache is gone"] if scenario.cached else
                ["success, and no cache"] if status == 0 else []), None
    mode = os.stat(path).st_mode & 0o7777
    broken = [] if mode == 0o600 else ["mode %o" % mode]
    try:
        with open(path, encoding="utf-8") as file:
            token = json.load(file)["access_token"]
    except (ValueError, KeyError) as error:
        return broken + ["the cache is not whole: %s" % error], None
    owned = next((tokens for tokens in issued.values() if token in tokens), [])
    if not owned:
        return broken + ["a token that was never issued"], None
    is_newest = token == owned[-1] and token != old
    if not is_newest and token != old:
        broken.append("neither the old token nor the newest")
    if status == 0 and not is_newest:
        broken.append("success, and the token is not stored")
    if status == 0 and not world.works(token):
        broken.append("success, and the token does not work")
    return broken, "newest" if is_newest else "old"


def judge_stored(scenario, hit, what, status, is_kept, stderr):
    """What must be in the cache when the fault came after the answer."""
    kinds = set(is_kept.values())
    if hit is None or scenario.threads or what == "signal=KILL":
        return []  # of several profiles, each is at its own point
    if what.startswith("signal="):
        # Nothing is begun when a signal was caught, and the answer is waited for. A person's login may be given up: it
        # costs nothing but another one.
        has_time = scenario.name in ("refresh", "log-in-instead") or (hit.answered_before and hit.family != "send")
        return ["the token was given, and is lost"] if has_time and kinds != {"newest"} else []
    if not hit.answered_before:
        return []
    if hit.place == "temp" and hit.family in ("write", "ftruncate", "rename") and what[6:] not in HARMLESS:
        broken = [] if status == 7 else ["a token that cannot be stored is 7"]
        # After a login, or where another one needs nobody, there is nobody to tell.
        if scenario.name == "refresh" and kinds != {"newest"} and "login" not in stderr:
            broken.append("does not say that a login is needed")
        return broken
    broken = [] if kinds == {"newest"} else ["answered, and the token is not stored"]
    if hit.place in ("temp", "dir") and hit.family == "fsync" and what[6:] not in HARMLESS and status != 7:
        broken.append("perhaps not on the disk, and not 7")
    if hit.place == "temp" and hit.family == "close" and what[6:] not in HARMLESS and status != 7:
        broken.append("close failed, and not 7")
    return broken


def litter(world, scenario):
    names = os.listdir(world.directory) if os.path.isdir(world.directory) else []
    allowed = {profile + end for profile in scenario.profiles for end in (".json", ".lock")}
    return sorted(set(names) - allowed)


def judge_litter(world, scenario, hit, what):
    """Only a dead process may leave a temporary file, or one that could not remove it."""
    left = litter(world, scenario)
    if not left or what == "signal=KILL" or (hit is not None and hit.family == "unlink"):
        return []
    return ["litter: " + " ".join(left)]


def judge_next_run_once(world, scenario, is_kept, was_cut_off=False):
    """The next run knows only what it finds: in a quick round, each kind of it is tried once."""
    found = [scenario.name, repr(is_kept)]
    for directory, _, names in os.walk(world.directory):
        found.append(os.stat(directory).st_mode)
        for name in sorted(names):
            path = os.path.join(directory, name)
            is_cache = name.endswith(".json")  # whose length varies with its times
            found += [name, os.stat(path).st_mode, is_cache or os.path.getsize(path)]
    for profile in scenario.profiles if is_kept else ():
        found.append(can_be_refreshed(world, scenario, profile))
    kind = repr(found)
    if kind in world.tried_kinds:
        return []
    if world.is_quick:
        world.tried_kinds.add(kind)
    return judge_next_run(world, scenario, was_cut_off)


def is_paused(world, profile):
    """An unattended login that may have arrived was not answered: the next one is for later."""
    try:
        with open(world.cache(profile), encoding="utf-8") as file:
            return json.load(file).get("unattended_login") == "failed"
    except (OSError, ValueError):
        return False


def can_be_refreshed(world, scenario, profile):
    try:
        with open(world.cache(profile), encoding="utf-8") as file:
            return scenario.source or world.works(json.load(file)["access_token"])
    except (OSError, ValueError, KeyError):
        return False


def judge_next_run(world, scenario, was_cut_off):
    broken = []
    if os.path.isdir(world.directory) and os.stat(world.directory).st_mode & 0o7777 != 0o700:
        broken.append("the directory's mode is %o" % (os.stat(world.directory).st_mode & 0o7777))
    for profile in scenario.profiles:
        can_refresh = can_be_refreshed(world, scenario, profile)
        waits = was_cut_off and is_paused(world, profile)
        arguments = ["refresh"] if can_refresh else ["login", "--password-stdin", "-e", email_of(profile)]
        status, stderr = world.run(arguments + ["-p", profile])
        if waits:
            if status != 5 or "the last unattended login failed" not in stderr:
                broken.append("a pause is noted, and not kept: status %s, said: %s" % (status, stderr.strip()))
            continue
        if status != 0:
            broken.append("the next %s: status %s, said: %s" % (arguments[0], status, stderr.strip()))
            continue
        with open(world.cache(profile), encoding="utf-8") as file:
            if not world.works(json.load(file)["access_token"]):
                broken.append("the next run's token does not work")
        for path in (world.cache(profile), world.cache(profile)[:-len("json")] + "lock"):
            if os.stat(path).st_mode & 0o7777 != 0o600:
                broken.append("after the next run, %s is not 0600" % os.path.basename(path))
    left = litter(world, scenario)
    return broken + (["litter after the next run: " + " ".join(left)] if left else [])


# ------------------------------------------------------------------------------------------------------ main

def parse_only(text):
    scenario, name, what, number = text.split(":")
    return scenario, (name, what, number)


def plan(world, options):
    """(scenario, fault) pairs."""
    if options.only:
        scenario, fault = parse_only(options.only)
        return [(found, fault) for found in SCENARIOS if found.name == scenario]
    planned = []
    for scenario in SCENARIOS:
        if not options.all and scenario.threads:
            continue
        faults = memory_faults_of(world, scenario, options.all) if "memory" in options.groups else []
        if set(options.groups) != {"memory"}:
            faults += faults_of(scenario, calls_of(world, scenario), options.groups, options.all)
        print("# %s: %d faults" % (scenario.name, len(faults)), flush=True)
        planned += [(scenario, fault) for fault in faults]
    return planned[::options.every]


def build_failing_malloc(directory):
    path = os.path.join(directory, "failing_malloc.so")
    subprocess.run([*os.environ.get("CC", "cc").split(), "-O1", "-shared", "-fPIC", "-o", path,
                    os.path.join(HERE, "failing_malloc.c"), "-ldl"], check=True)
    return path


def main():
    parser = argparse.ArgumentParser(description="see the head of the file")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", metavar="SCENARIO:CALL:FAULT:N")
    parser.add_argument("program")
    parser.add_argument("groups", nargs="*", default=["kill", "signal", "error", "memory"])
    options = parser.parse_args()
    started = time.monotonic()
    worlds = queue.Queue()
    counts = collections.Counter()
    made = []
    failed = 0
    built = tempfile.TemporaryDirectory()
    wants_memory = ":memory:" in options.only if options.only else "memory" in options.groups
    options.failing_malloc = build_failing_malloc(built.name) if wants_memory else None

    def one(scenario, fault):
        world = worlds.get()
        try:
            return judge(world, scenario, fault, world.prepare(scenario))
        finally:
            worlds.put(world)

    try:
        for _ in range(options.jobs):
            made.append(World(options))
            worlds.put(made[-1])
        planned = plan(made[0], options)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            results = pool.map(lambda pair: one(*pair), planned)
            for (scenario, fault), (happened, broken) in zip(planned, results):
                group = "error" if fault[1].startswith("error") else fault[1].replace("signal=", "")
                counts["injected" if happened else "missed"] += 1
                counts[group] += happened
                if broken:
                    failed += 1
                    print("broken: %s:%s:%s:%s" % ((scenario.name,) + fault))
                    print("".join("    %s\n" % line for line in broken), end="", flush=True)
    finally:
        for world in made:
            world.close()
        built.cleanup()
    print("%d faults injected (%s), %d broken promises, %d calls not reached, %d s" %
          (counts["injected"], ", ".join("%s %d" % (name, counts[name]) for name in sorted(counts)
                                         if name not in ("injected", "missed")),
           failed, counts["missed"], time.monotonic() - started))
    return 1 if failed or not counts["injected"] else 0


if __name__ == "__main__":
    sys.exit(main())
