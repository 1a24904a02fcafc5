# SPDX-License-Identifier: MIT
"""The hosts of many_hosts.py, their etcd of three nodes, and who watches."""
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
import subprocess
import threading
import time

READERS = 20
EMAIL, PASSWORD = "you@example.test", "correct horse"
KEY = "servetel/token/default"
LOCK = "locks/servetel/auth"  # after the last part of the hosts' SERVETEL_AUTH_DIR


class Pace:
    """Seconds. Where a turn takes long, as on a busy machine, all takes longer."""

    def __init__(self, scale, recipe):
        self.scale, self.recipe = scale, recipe
        self.token = 6 * scale
        self.timeout = 3 * scale
        self.lease = 6 * scale
        self.turn = 15 * scale  # to wait for one
        self.reader_timeout = 3 * scale
        # Before a reader asks again: about what a renewal takes from spending to publication.
        self.reader_pause = 0.5 * scale
        self.stopped = 8 * scale  # longer than the lease
        self.recovery = self.lease + 6 * scale
        self.ordinary_gap = 3 * scale

    def settings(self):
        """For the recipe. All that it may bear is told."""
        return {"TURN_TIMEOUT": str(self.timeout), "TURN_TTL": str(self.lease), "TURN_WAIT": str(self.turn),
                "TURN_MIN_TTL": "%ds" % (3 * self.scale), "TURN_COMPLAIN_BELOW": "1d",
                "ETCD_TIMEOUT": str(self.scale)}

    def command(self, *words):
        return ["sh", self.recipe, *words]


def measure_scale(environment):
    """Half of what a turn has in it takes a third of a second on an idle machine."""
    begin = time.time()
    subprocess.run(["etcdctl", "lock", "locks/measured", "--", "sh", "-c", "etcdctl get " + KEY], env=environment,
                   check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60)
    return max(1, min(2, math.ceil((time.time() - begin) / 0.5)))


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


class Node:
    """One etcd of the three."""

    def __init__(self, directory, name, port, peer_port):
        self.directory, self.name, self.port = directory, name, port
        self.peer = "http://127.0.0.1:%d" % peer_port
        self.process = None

    def start(self, cluster):
        client = "http://127.0.0.1:%d" % self.port
        with open(os.path.join(self.directory, self.name + ".output"), "ab") as output:
            self.process = subprocess.Popen(
                ["etcd", "--name", self.name, "--data-dir", os.path.join(self.directory, self.name),
                 "--log-level", "error", "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer,
                 "--initial-cluster", cluster],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def end(self):
        if self.process:
            kill(self.process.pid)
            self.process.wait()

    def leads(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            status = post(self.port, "/v3/maintenance/status", {}, 0.5)
            return status["leader"] == status["header"]["member_id"]
        return False


class Engine:
    """The three."""

    def __init__(self, directory):
        self.directory, self.downs = directory, []
        os.makedirs(directory)
        ports = free_ports(6)
        self.nodes = [Node(directory, "node%d" % number, ports[number], ports[3 + number]) for number in range(3)]
        self.cluster = ",".join("%s=%s" % (node.name, node.peer) for node in self.nodes)
        self.endpoints = ",".join("http://127.0.0.1:%d" % node.port for node in self.nodes)

    def start(self):
        for node in self.nodes:
            if not node.process or node.process.poll() is not None:
                node.start(self.cluster)
        self.wait()

    def wait(self):
        wait_for(self.answers, 30, "etcd to answer")
        if self.downs and self.downs[-1][1] is None:
            self.downs[-1][1] = time.time()

    def answers(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            self.published()
            return True
        return False

    def published(self):
        """By the first node that can tell, which needs a leader."""
        key = base64.b64encode(KEY.encode()).decode()
        for node in self.nodes:
            with contextlib.suppress(OSError, http.client.HTTPException):
                found = post(node.port, "/v3/kv/range", {"key": key}, 0.5).get("kvs")
                return base64.b64decode(found[0]["value"]).decode() if found else None
        raise OSError("no node of etcd answers: see %s" % self.directory)

    def signal(self, number):
        for node in self.nodes:
            kill(node.process.pid, number)

    def stop(self):
        self.downs.append([time.time(), None])
        self.signal(signal.SIGSTOP)

    def go_on(self):
        self.signal(signal.SIGCONT)
        self.wait()

    def die(self):
        self.downs.append([time.time(), None])
        self.end()

    def kill_leader(self):
        """Returns when there is another one. The one that was killed is started again."""
        leader = wait_for(lambda: [node for node in self.nodes if node.leads()], 30, "a leader")[0]
        self.downs.append([time.time(), None])
        leader.end()
        self.wait()
        leader.start(self.cluster)

    def end(self):
        for node in self.nodes:
            node.end()

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
        super().__init__(directory, "refresher%d" % number, {**environment, **pace.settings()})
        self.process, self.away_until, self.turns = None, 0, []
        self.command = pace.command("turn")
        if number == 1:
            password_file = os.path.join(directory, "password")
            with open(os.open(password_file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
                file.write(PASSWORD + "\n")
            self.login("-e", EMAIL, "--password-command",
                       "sh '%s' password default '%s'" % (pace.recipe, password_file))
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
        return bool(process) and any(command in line for _, line in descendants(process.pid))

    def signal(self, number):
        """To all that runs there; the commands of servetel-auth have groups of their own."""
        process = self.process
        if process is not None:
            parts = descendants(process.pid)
            kill(process.pid, number)
            for pid, _ in parts:
                kill(pid, number)

    def crash(self, away_s):
        """Like a machine that loses power, for so long. When it did."""
        self.away_until = time.time() + away_s
        self.signal(signal.SIGSTOP)  # so that nothing is started meanwhile
        self.signal(signal.SIGKILL)
        return time.time()


Call = collections.namedtuple("Call", "begin first asked_again end why")  # why: None if it went well


class Reader(Host):
    def __init__(self, directory, number, environment, pace, api_port):
        super().__init__(directory, "reader%d" % number, environment)
        self.pace = pace
        self.api_port, self.connection, self.calls = api_port, None, []
        self.login("--token-command", "sh '%s' get default" % pace.recipe)

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
