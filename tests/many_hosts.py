#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Several hosts share one account through a real etcd of three nodes, while things are killed and stopped.

    many_hosts.py --recipe FILE --api-port PORT --dir DIR [--seconds N]

FILE is the recipe as it is installed. On PORT of 127.0.0.1 api_server.py must run, with tokens of a few seconds and
grace 0, so that whoever uses a replaced token is refused at once. servetel-auth, etcd and etcdctl are taken from PATH.
In DIR:

    etcd        its data, on ports of its own
    refresher1  to 3: homes with copies of one login and a password command; each takes its turn about every second
    reader1 ... homes that know a token command only: `show`, a GET, and on a refusal once more

What is broken meanwhile is in DISTURBANCES. They come in turn until each has come and N seconds are over.
DIR/figures tells what happened; DIR/double, starved, recovery and surprises have a line for each thing that must
not have happened. Exit status 1 if there is any.

Where a machine is so slow that renewals run out of time by themselves, that proves nothing: then all is done once
more, in DIR/2, with tokens that live longer.
"""
import argparse
import os
import signal
import sys
import time

sys.dont_write_bytecode = True  # leave no __pycache__ in the source tree
from many_hosts_verdict import Disturbance, Verdict  # noqa: E402
from many_hosts_world import (KEY, LOCK, READERS, Engine, Observer, Pace, Reader, Refresher, Thread,  # noqa: E402
                              bare, measure_scale, post, wait_for)

REFRESHERS = 3


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
            hosts = [host for host in self.refreshers if host.runs("servetel-auth refresh")]
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
        _, token = self.refresh_under_way({"delay": self.pace.timeout * 0.3})
        begin = time.time()
        self.engine.stop()
        time.sleep(self.pace.stopped)
        self.engine.go_on()
        self.add("all of etcd stopped for %d s" % self.pace.stopped, token, begin)

    def kill_engine(self):
        _, token = self.refresh_under_way({"delay": self.pace.timeout * 0.3})
        begin = time.time()
        self.engine.die()
        time.sleep(1)
        self.engine.start()
        self.add("all of etcd killed and started again", token, begin)

    def kill_leader(self):
        """The answer comes while a new one is chosen, and with it the publication."""
        _, token = self.refresh_under_way({"delay": self.pace.timeout * 0.3})
        begin = time.time()
        self.engine.kill_leader()
        self.add("etcd's leader killed", token, begin)

    def stop_host(self):
        """Longer than its lease: the others take over, and it finds out that its turn is over."""
        host, token = self.refresh_under_way({"delay": self.pace.timeout * 0.3})
        begin = time.time()
        host.signal(signal.SIGSTOP)
        self.add("refresher stopped for %d s" % self.pace.stopped, token, begin, begin)
        time.sleep(self.pace.stopped)
        host.signal(signal.SIGCONT)

    def kill_before_publication(self):
        """The answer is stored, the engine stands still, so the token is not published for certain."""
        host, token = self.refresh_under_way({"delay": self.pace.timeout * 0.3})
        self.engine.stop()
        wait_for(lambda: host.runs("etcd.sh publish"), self.pace.timeout, "the publication to begin")
        begin = host.crash(away_s=0)
        self.engine.go_on()
        self.add("refresher killed between answer and publication", token, begin)

    def run(self, seconds):
        end = time.time() + seconds
        self.calm()
        for number in range(1000):
            action = DISTURBANCES[number % len(DISTURBANCES)]
            if number >= len(DISTURBANCES) and time.time() > end - 10:
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
        code, said, _ = host.call("env", "ETCD_LOCK_KEY=%s/0" % LOCK, "TURN_MIN_TTL=1h", *self.pace.command("locked", "60"))
        if code != 0 or "nothing was sent" not in said or said.splitlines()[-1] != "5":
            raise RuntimeError("without the lock: exit status %d: %s" % (code, said))


DISTURBANCES = (Story.kill_in_request, Story.kill_leader, Story.stop_host, Story.kill_before_publication,
                Story.stop_engine, Story.kill_engine)


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


def run_once(directory, recipe, api_port, seconds, least_scale):
    """The verdict, and the scale it was reached at."""
    os.makedirs(directory, exist_ok=True)
    Thread.stopping.clear()
    Thread.crashes.clear()
    engine = Engine(os.path.join(directory, "etcd"))
    environment = {**os.environ, "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": engine.endpoints,
                   "SERVETEL_API_URL": "http://127.0.0.1:%d/v1" % api_port}
    observer = Observer(engine)
    threads, refreshers, readers = [observer], [], []
    begin = time.time()
    try:
        engine.start()
        scale = max(least_scale, measure_scale(environment))
        story = Story(engine, observer, refreshers, Pace(scale, recipe), api_port)
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
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--api-port", type=int, required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--seconds", type=float, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    scale, figures = 1, []
    for number in (1, 2):
        verdict, scale = run_once(os.path.join(options.dir, str(number)), options.recipe, options.api_port,
                                  options.seconds, scale)
        figures += verdict.figures
        has_problems = any(verdict.problems.values())
        if not has_problems or not verdict.is_slow or number == 2:
            break
        figures.append("too slow, once more: %s" % "; ".join(sum(verdict.problems.values(), [])))
        scale += 1
    write_lines(os.path.join(options.dir, "figures"), figures)
    for name, lines in verdict.problems.items():
        write_lines(os.path.join(options.dir, name), lines)
    sys.exit(has_problems)


if __name__ == "__main__":
    main()
