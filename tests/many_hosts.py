#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Several hosts share one account through a real etcd, while things are killed and stopped.

    many_hosts.py --api-port PORT --dir DIR [--seconds N]

On PORT of 127.0.0.1 api_server.py must run, with tokens of a few seconds and grace 0, so that whoever uses a
replaced token is refused at once. servetel-auth, etcd and etcdctl are taken from PATH. In DIR:

    etcd        its data, on ports of its own
    refresher1  to 3: homes with copies of one login and a password file; each takes its turn about every second
    reader1 ... homes that know a token command only: `show`, a GET, and on a refusal once more

What is broken meanwhile is in DISTURBANCES. They come in turn until N seconds are over (15: the first three).
DIR/figures tells what happened; DIR/double, starved, recovery and surprises have a line for each thing that must
not have happened. Exit status 1 if there is any.

Where a machine is so slow that renewals run out of time by themselves, that proves nothing: then all is done once
more, in DIR/2 and DIR/3, with tokens that live longer.
"""
import argparse
import base64
import collections
import contextlib
import http.client
import json
import math
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

REFRESHERS, READERS = 3, 20
EMAIL, PASSWORD = "you@example.test", "correct horse"
KEY = "servetel/token"
# Not servetel: etcdctl would take whatever stands below that, the token too, for somebody waiting.
LOCK = "locks/servetel"

# A lock alone is not enough: etcdctl 3.4 also lets in one whose lease ended while it waited. Its key is gone then.
ADOPT = ('test -n "$(etcdctl get --keys-only "$ETCD_LOCK_KEY")" && '
         "etcdctl get --print-value-only " + KEY)
PUBLISH = "etcdctl put %s >/dev/null" % KEY
TOKEN_COMMAND = "etcdctl get --print-value-only " + KEY


class Pace:
    """Seconds. Where a turn takes long, as on a busy machine, all takes longer."""

    def __init__(self, scale):
        self.scale = scale
        self.token = 4 * scale
        self.min_ttl = 2 * scale
        # The lock's turn ends when its lease does, whatever its holder does then. So a renewal must be over in
        # less: the lease was last prolonged up to a third of its life before the turn began.
        self.lease = 4 * scale
        self.timeout = 2 * scale
        self.turn = 10 * scale  # to wait for one
        self.reader_timeout = 3 * scale
        # Before a reader asks again: about what a renewal takes from spending to publication.
        self.reader_pause = 0.5 * scale
        self.stopped = 5 * scale  # longer than the lease
        self.recovery = self.lease + 4 * scale
        self.ordinary_gap = 3 * scale

    def turn_command(self):
        # --foreground: only etcdctl is told to give up, and it does so only while it waits; whoever has a turn
        # ends it. -k: etcdctl waits for ever to unlock at an engine that is gone.
        return ["timeout", "--foreground", "-k", str(2 * self.timeout + 1), str(self.turn),
                "etcdctl", "lock", "--ttl", str(self.lease), LOCK, "--",
                "servetel-auth", "refresh", "-q", "--timeout", "%ds" % self.timeout,
                "--min-ttl", "%ds" % self.min_ttl, "--adopt", ADOPT, "--on-change", PUBLISH]


def measure_scale(environment):
    """A turn takes a third of a second on an idle machine."""
    begin = time.time()
    subprocess.run(["etcdctl", "lock", LOCK, "--", "sh", "-c", TOKEN_COMMAND], env=environment, check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60)
    return max(1, min(5, math.ceil((time.time() - begin) / 0.5)))


def bare(authorization):
    return authorization[7:] if authorization.lower().startswith("bearer ") else authorization


def expiry(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def post(port, path, value=None, timeout=5.0):
    """JSON to and from a server on loopback; a GET if there is no value."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    with contextlib.closing(connection):
        connection.request("GET" if value is None else "POST", path, value and json.dumps(value))
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise OSError("%s: %d %s" % (path, answer.status, body[:200]))
        return json.loads(body)


def wait_for(condition, seconds, what):
    end = time.time() + seconds
    while time.time() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise TimeoutError("%s: not within %d s" % (what, seconds))


def all_processes():
    """(pid, parent's pid, command line) of each."""
    if not os.path.isdir("/proc/self"):
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], stdout=subprocess.PIPE, text=True,
                                 check=True)
        for line in listing.stdout.splitlines():
            pid, parent, command = line.split(None, 2)
            yield int(pid), int(parent), command
        return
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # gone meanwhile
            with open("/proc/%s/stat" % pid, encoding="utf-8", errors="replace") as file:
                parent = int(file.read().rsplit(")", 1)[1].split()[1])
            with open("/proc/%s/cmdline" % pid, encoding="utf-8", errors="replace") as file:
                yield int(pid), parent, file.read().replace("\0", " ")


def descendants(pid):
    """[(pid, command line)] of what pid has started, and so on."""
    children = collections.defaultdict(list)
    for child, parent, command in all_processes():
        children[parent].append((child, command))
    found, parents = [], [pid]
    while parents:
        started = children[parents.pop()]
        found += started
        parents += [child for child, _ in started]
    return found


def kill(pid, number=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Engine:
    """The etcd."""

    def __init__(self, directory):
        self.directory, self.process, self.downs = directory, None, []
        self.port, self.peer_port = free_ports(2)
        os.makedirs(directory)

    def start(self):
        client, peer = ("http://127.0.0.1:%d" % port for port in (self.port, self.peer_port))
        with open(os.path.join(self.directory, "output"), "ab") as output:
            self.process = subprocess.Popen(
                ["etcd", "--data-dir", os.path.join(self.directory, "data"), "--log-level", "error",
                 "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 "--initial-cluster", "default=" + peer],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        wait_for(self.answers, 20, "etcd to answer")
        if self.downs and self.downs[-1][1] is None:
            self.downs[-1][1] = time.time()

    def answers(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            self.published()
            return True
        if self.process.poll() is not None:
            raise OSError("etcd ended: see %s/output" % self.directory)
        return False

    def published(self, timeout=0.5):
        key = base64.b64encode(KEY.encode()).decode()
        found = post(self.port, "/v3/kv/range", {"key": key}, timeout).get("kvs")
        return base64.b64decode(found[0]["value"]).decode() if found else None

    def stop(self):
        self.downs.append([time.time(), None])
        kill(self.process.pid, signal.SIGSTOP)

    def go_on(self):
        kill(self.process.pid, signal.SIGCONT)
        self.downs[-1][1] = time.time()

    def die(self):
        self.downs.append([time.time(), None])
        self.end()

    def end(self):
        if self.process:
            kill(self.process.pid)
            self.process.wait()

    def was_down(self, since, until):
        return any(begin < until and (end or until) > since for begin, end in self.downs)


class Thread(threading.Thread):
    """Does step() until the whole ends. What goes wrong in it is kept."""
    stopping = threading.Event()
    patience_s = 60  # for what is under way, at the end
    crashes = []

    def run(self):
        try:
            while not self.stopping.is_set():
                self.step()
        except Exception as error:  # pylint: disable=broad-except
            self.crashes.append("%s: %r" % (type(self).__name__, error))


class Observer(Thread):
    """Notes when which token was published. Seen is published, perhaps a moment before."""

    def __init__(self, engine):
        super().__init__(daemon=True)
        self.engine, self.seen = engine, []

    def step(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            token = self.engine.published()
            if token and (not self.seen or self.seen[-1][1] != token):
                self.seen.append((time.time(), token))
        time.sleep(0.04)


class Host(Thread):
    def __init__(self, directory, name, environment):
        super().__init__(daemon=True)
        self.home = os.path.join(directory, name)
        os.makedirs(self.home)
        self.environment = {**environment, "HOME": self.home,
                            "SERVETEL_AUTH_DIR": os.path.join(self.home, "auth")}

    def call(self, *command):
        """Exit status, output, what was said."""
        done = subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)
        return done.returncode, done.stdout.strip(), done.stderr.strip()

    def login(self, *options):
        code, _, said = self.call("servetel-auth", "login", "-q", *options)
        if code != 0:
            raise OSError("login: exit status %d: %s" % (code, said))


Turn = collections.namedtuple("Turn", "begin end code said")


class Refresher(Host):
    def __init__(self, directory, number, environment, pace):
        super().__init__(directory, "refresher%d" % number, environment)
        self.process, self.away_until, self.turns = None, 0, []
        self.command = pace.turn_command()
        if number == 1:
            password_file = os.path.join(directory, "password")
            with open(os.open(password_file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
                file.write(PASSWORD + "\n")
            self.login("-e", EMAIL, "--password-file", password_file)
        else:
            shutil.copytree(os.path.join(directory, "refresher1", "auth"), os.path.join(self.home, "auth"))

    def step(self):
        if time.time() < self.away_until:
            return time.sleep(0.05)
        begin = time.time()
        with open(os.path.join(self.home, "said"), "w+", encoding="utf-8") as said:
            # A session of its own: a machine of its own.
            self.process = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.DEVNULL,
                                            stdout=said, stderr=said, start_new_session=True)
            code = self.process.wait()
            self.process = None
            said.seek(0)
            self.turns.append(Turn(begin, time.time(), code, said.read()))
        return time.sleep(random.uniform(0.8, 1.2))

    def runs(self, command):
        process = self.process
        return bool(process) and any(line.startswith(command) for _, line in descendants(process.pid))

    def crash(self, away_s):
        """Like a machine that loses power, for so long. When it did."""
        self.away_until = time.time() + away_s
        process = self.process
        if process is not None:
            parts = descendants(process.pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            for pid, _ in parts:  # commands of servetel-auth have groups of their own
                kill(pid)
        return time.time()


Call = collections.namedtuple("Call", "begin first asked_again end why")  # why: None if it went well


class Reader(Host):
    def __init__(self, directory, number, environment, pace, api_port):
        super().__init__(directory, "reader%d" % number, environment)
        self.pace = pace
        self.api_port, self.connection, self.calls = api_port, None, []
        self.login("--token-command", TOKEN_COMMAND)

    def step(self):
        time.sleep(random.uniform(1, 3))
        begin, asked_again = time.time(), None
        token, why = self.use("show")
        first = token
        if why:
            time.sleep(self.pace.reader_pause)
            asked_again = time.time()
            _, why = self.use("refresh", "-q", "--print")
        self.calls.append(Call(begin, first, asked_again, time.time(), why))

    def use(self, *command):
        """The token that was had, if any, and why it did not do, if so."""
        code, token, said = self.call("servetel-auth", *command, "--timeout", "%ds" % self.pace.reader_timeout)
        if code != 0:
            return None, "exit status %d: %s" % (code, said.splitlines()[-1] if said else "")
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=10)
        self.connection.request("GET", "/v1/me", headers={"Authorization": "Bearer " + token,
                                                         "Accept": "application/json"})
        answer = self.connection.getresponse()
        body = answer.read()
        return token, None if answer.status == 200 else "%d %s" % (answer.status, body.decode())


Disturbance = collections.namedtuple("Disturbance", "name token begin end")  # token: whose renewal was under way


class Story:
    """What is done to the hosts and the engine."""

    def __init__(self, engine, observer, refreshers, pace, api_port):
        self.engine, self.observer, self.refreshers = engine, observer, refreshers
        self.pace, self.api_port = pace, api_port
        self.disturbances = []
        self.is_slow = False  # something took so long that what it was to show is not shown

    def control(self, path, value=None):
        return post(self.api_port, "/_test/" + path, value)

    def calm(self):
        """Waits until all is well again: two tokens published one after the other."""
        count = len(self.observer.seen)
        wait_for(lambda: len(self.observer.seen) >= count + 2, 3 * self.pace.recovery, "two more tokens")

    def refresh_under_way(self, answer):
        """A renewal that has spent its token and gets no, or a late, answer: whose it is, and the token."""
        for _ in range(5):
            before = self.control("stats")["refreshes"]
            self.control("script", {"endpoint": "refresh", "answers": [answer]})
            wait_for(lambda: self.control("stats")["refreshes"] > before, self.pace.recovery, "a renewal")
            # Who was let in although its lease had ended runs too, but not for long.
            hosts = [host for host in self.refreshers if host.runs("servetel-auth")]
            last = [entry for entry in self.control("log") if entry["endpoint"] == "refresh"][-1]
            if len(hosts) == 1 and last["status"] is None:
                return hosts[0], bare(dict(last["headers"])["Authorization"])
            self.is_slow = True
        raise RuntimeError("no renewal was caught under way")

    def add(self, name, token, begin, end=None):
        self.disturbances.append(Disturbance(name, token, begin, end or time.time()))

    def kill_in_request(self):
        host, token = self.refresh_under_way({"hang": True, "process": True})
        begin = host.crash(away_s=1.5 * self.pace.lease)
        self.add("refresher killed in its request", token, begin, begin)

    def stop_engine(self):
        _, token = self.refresh_under_way({"delay": self.pace.timeout * 0.5})
        begin = time.time()
        self.engine.stop()
        time.sleep(self.pace.stopped)
        self.engine.go_on()
        self.add("etcd stopped for %d s" % self.pace.stopped, token, begin)

    def kill_engine(self):
        _, token = self.refresh_under_way({"delay": self.pace.timeout * 0.5})
        begin = time.time()
        self.engine.die()
        time.sleep(1)
        self.engine.start()
        self.add("etcd killed and started again", token, begin)

    def kill_before_publication(self):
        """The answer is stored, the engine stands still, so the token is not published for certain."""
        host, token = self.refresh_under_way({"delay": self.pace.timeout * 0.5})
        self.engine.stop()
        wait_for(lambda: host.runs("etcdctl put"), self.pace.timeout, "the publication to begin")
        begin = host.crash(away_s=0)
        self.engine.go_on()
        self.add("refresher killed between answer and publication", token, begin)

    def run(self, seconds):
        end = time.time() + seconds
        self.calm()
        for number in range(1000):
            action = DISTURBANCES[number % len(DISTURBANCES)]
            if number >= 3 and time.time() > end - 10:
                break
            action(self)
            self.calm()
        time.sleep(max(0, end - time.time()))
        self.turn_that_is_over()

    def turn_that_is_over(self):
        """Who lost the lock on the way sends nothing."""
        host = self.refreshers[0]
        host.away_until = float("inf")  # it is not to keep what a turn of its own has got meanwhile
        wait_for(lambda: host.process is None, self.pace.turn, "a turn to end")
        command = host.command[host.command.index("servetel-auth"):]
        fresh = command.index("--min-ttl")
        del command[fresh:fresh + 2]  # nor what is fresh
        code, _, said = host.call("env", "ETCD_LOCK_KEY=%s/0" % LOCK, *command)
        if code != 5 or "nothing was sent" not in said:
            raise RuntimeError("without the lock: exit status %d: %s" % (code, said))


DISTURBANCES = (Story.kill_in_request, Story.stop_engine, Story.kill_engine, Story.kill_before_publication)


class Verdict:
    """Reads what happened."""

    def __init__(self, story, readers, log, begin, end):
        self.story, self.readers, self.log = story, readers, log
        self.begin, self.end = begin, end
        self.pace = story.pace
        self.turns = [turn for host in story.refreshers for turn in host.turns]
        self.disturbances = list(story.disturbances)
        self.is_slow = story.is_slow
        self.problems = {"double": [], "starved": [], "recovery": [], "surprises": list(Thread.crashes)}
        self.figures, self.troubles = [], []
        self.renewals = collections.defaultdict(list)  # token -> requests
        for entry in log:
            if entry["endpoint"] == "refresh":
                entry["authorization"] = dict(entry["headers"])["Authorization"]
                self.renewals[bare(entry["authorization"])].append(entry)
        self.published = story.observer.seen

    def figure(self, text, *values):
        self.figures.append(text % values)

    def good_until(self, token):
        """When it was sent to be renewed, or its end."""
        sent = self.renewals.get(token)
        return min(sent[0]["time"] if sent else float("inf"), expiry(token))

    def judge(self):
        self.judge_renewals()
        self.judge_gaps()
        self.judge_readers()
        self.judge_turns()

    def judge_renewals(self):
        disturbed = {each.token for each in self.story.disturbances}
        lost = late = 0
        for token, requests in self.renewals.items():
            times = ", ".join("%.2f %s" % (each["time"], each["status"]) for each in requests)
            if sum(each["status"] == 200 for each in requests) > 1:
                self.problems["double"].append("a token was renewed more than once: " + times)
            again = requests[1:]
            if not again:
                continue
            lost += 1
            failed = [turn for turn in self.turns
                      if turn.code != 0 and turn.begin < requests[0]["time"] < turn.end]
            if token not in disturbed and failed:  # out of time: a lost answer, or a failed publication
                late += 1
                self.is_slow = True
                self.disturbances.append(Disturbance("a renewal was out of time", token, failed[0].begin,
                                                     failed[0].end))
            elif token not in disturbed:
                self.problems["double"].append("a token was sent again, though nothing was broken: " + times)
            if len({each["authorization"] for each in again}) < len(again):
                self.problems["double"].append("a spent token was sent again by more than one: " + times)
        logins = [each for each in self.log if each["endpoint"] == "login"]
        extra = len(logins) - 1
        if any(each["status"] != 200 for each in logins) or extra > len(self.disturbances):
            self.problems["surprises"].append("%d logins, with statuses %s" % (
                len(logins), sorted({each["status"] for each in logins})))
        self.figure("%d s, tokens of %d s: %d renewed; %d spent ones sent once more by the next refresher, %d of "
                    "them because this machine was slow; %d logins, the first included", self.end - self.begin,
                    self.pace.token, sum(each[0]["status"] == 200 for each in self.renewals.values()), lost, late,
                    len(logins))

    def judge_gaps(self):
        """While no token that is published is good."""
        gaps, good_until = [], None
        for seen, token in self.published:
            if good_until is not None and seen > good_until:
                gaps.append((good_until, seen))
            good_until = max(good_until or 0, self.good_until(token))
        ordinary = list(gaps)
        for each in self.disturbances:
            after = [seen for seen, token in self.published
                     if seen > each.end and self.good_until(token) > seen]
            took = after[0] - each.end if after else float("inf")
            # Even then a lock that could not be given back is there until its lease ends.
            reach = each.end + max(took, self.pace.lease)
            self.troubles.append((each.begin, reach))
            following = min([other.begin for other in self.disturbances if other.begin > each.begin] + [float("inf")])
            caused = [gap for gap in gaps if gap[0] < reach and each.begin < gap[1] <= following]
            over = max([each.end + took] + [end for _, end in caused]) - each.end
            if over > self.pace.recovery and each.end < self.end - self.pace.recovery:
                self.problems["recovery"].append("%s: %.1f s" % (each.name, over))
            without = sum(end - begin for begin, end in caused)
            ordinary = [gap for gap in ordinary if gap not in caused]
            self.figure("%s: a good token published %s later; none for %.1f s in all", each.name,
                        "%.1f s" % took if after else "no more", without)
        lengths = [end - begin for begin, end in ordinary] or [0]
        if max(lengths) > self.pace.ordinary_gap:
            self.problems["recovery"].append("%.1f s from spending to publication" % max(lengths))
        self.figure("from spending to publication otherwise: median %.2f s, at most %.2f s",
                    statistics.median(lengths), max(lengths))

    def judge_readers(self):
        calls = [call for reader in self.readers for call in reader.calls if call.end < self.end]
        reasons = collections.Counter()
        for call in calls:
            if call.why:
                reasons[self.excuse(call)] += 1
        self.figure("%d readers: %d calls; %d asked again, which helped %d; failed %d%s", len(self.readers),
                    len(calls), sum(call.asked_again is not None for call in calls),
                    sum(call.asked_again is not None and not call.why for call in calls), sum(reasons.values()),
                    "".join("; %s: %d" % each for each in reasons.most_common()))

    def excuse(self, call):
        """Why it could not be helped that a reader failed. If it could, that is a problem."""
        is_down = self.story.engine.was_down(call.begin, call.end)
        if call.first and self.good_until(call.first) > call.end:
            self.problems["starved"].append("refused with a good token of its own: " + call.why)
        could = any(seen < call.asked_again and self.good_until(token) > call.end
                    for seen, token in self.published)
        if could and not is_down:
            self.problems["starved"].append("a good token was published: " + call.why)
        if is_down:
            return "etcd down"
        if any(begin < call.end and end > call.begin for begin, end in self.troubles):
            return "no good token published after a kill or a stop"
        return "no good token published, an ordinary renewal was under way"

    def judge_turns(self):
        codes = collections.Counter(turn.code for turn in self.turns)
        said = collections.Counter()
        for _, _, code, text in self.turns:
            if code not in (0, -signal.SIGKILL):
                lines = [line for line in text.splitlines() if line.startswith("servetel-auth: ")]
                said[lines[-1][15:] if lines else "etcdctl: no turn in time" if code == 124 else text[-200:]] += 1
        self.figure("%d turns; exit statuses %s", len(self.turns),
                    ", ".join("%d: %d" % each for each in sorted(codes.items())))
        for line, count in said.most_common():
            self.figure("%d said: %s", count, line.replace("\n", " "))


def write_lines(path, lines):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


def end_everything(engine, threads):
    Thread.stopping.set()
    for thread in threads:
        if thread.is_alive():
            thread.join(Thread.patience_s)
    for thread in threads:
        if isinstance(thread, Refresher):
            thread.crash(away_s=0)
    engine.end()


def interrupted(*_):
    Thread.patience_s = 0
    sys.exit(143)


def run_once(directory, api_port, seconds, least_scale):
    """The verdict, and the scale it was reached at."""
    os.makedirs(directory, exist_ok=True)
    Thread.stopping.clear()
    Thread.crashes.clear()
    engine = Engine(os.path.join(directory, "etcd"))
    environment = {**os.environ, "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": "http://127.0.0.1:%d" % engine.port,
                   "SERVETEL_API_URL": "http://127.0.0.1:%d/v1" % api_port}
    observer = Observer(engine)
    threads, refreshers, readers = [observer], [], []
    begin = time.time()
    try:
        engine.start()
        scale = max(least_scale, measure_scale(environment))
        story = Story(engine, observer, refreshers, Pace(scale), api_port)
        story.control("reset", {})
        story.control("config", {"ttl": story.pace.token})
        try:
            for number in range(REFRESHERS):
                refreshers.append(Refresher(directory, number + 1, environment, story.pace))
            threads += refreshers
            for thread in threads:
                thread.start()
            wait_for(lambda: observer.seen, 30 * scale, "a token to be published")
            for number in range(READERS):
                readers.append(Reader(directory, number + 1, environment, story.pace, api_port))
            threads += readers
            for reader in readers:
                reader.start()
            begin = time.time()
            story.run(seconds)
        except (OSError, RuntimeError) as error:
            Thread.crashes.append(str(error))
            story.is_slow = True
        end = time.time()
    finally:
        end_everything(engine, threads)
    verdict = Verdict(story, readers, story.control("log"), begin, end)
    verdict.judge()
    return verdict, scale


def main():
    parser = argparse.ArgumentParser(description="several hosts, one account; see the head of the file")
    parser.add_argument("--api-port", type=int, required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--seconds", type=float, default=15)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    scale, figures = 1, []
    for number in (1, 2, 3):
        verdict, scale = run_once(os.path.join(options.dir, str(number)), options.api_port, options.seconds, scale)
        figures += verdict.figures
        has_problems = any(verdict.problems.values())
        if not has_problems or not verdict.is_slow or number == 3:
            break
        figures.append("too slow, once more: %s" % "; ".join(sum(verdict.problems.values(), [])))
        scale *= 2
    write_lines(os.path.join(options.dir, "figures"), figures)
    for name, lines in verdict.problems.items():
        write_lines(os.path.join(options.dir, name), lines)
    sys.exit(has_problems)


if __name__ == "__main__":
    main()
