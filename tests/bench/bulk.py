# SPDX-License-Identifier: MIT
"""`refresh --all` against a service that takes its time: how many are under way at once, and what one costs.
measure.py tells of it.

The least that a profile costs (renew_floor.c) is measured in turns with it, since most of it is the kernel's
work, on one machine twice what it is on another, and on a busy one twice again.
"""
import collections
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.parse

from report import MB, megabytes, ms, one_in, ratio, say

DELAY_S = 0.1  # slow_api.py's
FSYNC_MS = 5  # slow_fsync.c's
SIZES, JOBS = (10, 100, 400, 1000, 3000), (16, 32)
PROMISED = 400, 32  # profiles, jobs
TURNS = 7  # of three, two that a neighbour disturbs are the median
# For a profile, on a quiet machine: one where the floor takes no more than half of it.
CPU_S = 1e-3
HEAD = ["profiles", "jobs", "wall", "of one after another", "CPU per profile", "connections", "peak memory",
        "open files"]
Bulk = collections.namedtuple("Bulk", "wall cpu connections waiting peak files")  # cpu: for a profile


def row(profiles, jobs, bulk):
    """One after another: the service's delays alone, nothing of our own."""
    return ["%d" % profiles, "%d" % jobs, "%.2f s" % bulk.wall, one_in(bulk.wall / (profiles * DELAY_S)),
            ms(bulk.cpu), "%d" % bulk.connections, megabytes(bulk.peak), "%d" % bulk.files]


def medians(bulks):
    return Bulk(*map(statistics.median, zip(*bulks)))


def make_profiles(world, profiles, name="all"):
    """The environment in which they are all there are."""
    place = "%s-%d" % (name, profiles)
    for index in range(profiles):
        world.file("%s/p%04d.json" % (place, index), world.cached(world.options.slow_api, index))
    return dict(world.env, SERVETEL_AUTH_DIR=os.path.join(world.work, place))


def counts_of(api):
    connection = http.client.HTTPConnection(api.netloc)
    connection.request("GET", "/")
    return json.load(connection.getresponse())


def run(world, argv, env, profiles):
    """Each of so many profiles is renewed once by it."""
    api = urllib.parse.urlsplit(world.options.slow_api)
    counts_of(api)
    start = time.monotonic()
    process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    peak = files = 0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        try:
            files = max(files, len(os.listdir("/proc/%d/fd" % process.pid)))
            with open("/proc/%d/status" % process.pid, encoding="utf-8") as file:
                peak = max([peak] + [1024 * int(kb) for kb in re.findall(r"VmHWM:\s*(\d+)", file.read())])
        except OSError:
            pass  # it has just ended
        time.sleep(0.01)
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    counts = counts_of(api)
    if process.returncode != 0 or counts["requests"] != profiles:
        sys.exit("bench: %s of %d: exit %d, %d requests"
                 % (os.path.basename(argv[0]), profiles, process.returncode, counts["requests"]))
    cpu = (usage.ru_utime + usage.ru_stime) / profiles
    return Bulk(wall, cpu, counts["connections"], counts["most_waiting"], peak, files)


def refresh_all(world, env, profiles, jobs):
    return run(world, [world.program, "refresh", "--all", "--quiet", "--jobs", str(jobs)], env, profiles)


class Floor:
    """Has profiles of its own, as it leaves no cache behind."""

    def __init__(self, world, **variables):
        profiles, jobs = PROMISED
        env = dict(make_profiles(world, profiles, "floor"), **variables)
        port = urllib.parse.urlsplit(world.options.slow_api).port
        self.run = [world, [world.floor("renew_floor"), env["SERVETEL_AUTH_DIR"], str(port), str(jobs)], env, profiles]
        self.cpu = []

    def take_turn(self):
        self.cpu.append(run(*self.run).cpu)

    def targets(self, report, bulks):
        of_floor = statistics.median(bulk.cpu / floor for bulk, floor in zip(bulks, self.cpu))
        report.target("the same, CPU / the least for it", 2.5, 2, of_floor, ratio)
        report.target("the same, CPU per profile", CPU_S, CPU_S / 2, medians(bulks).cpu, ms,
                      is_quiet=statistics.median(self.cpu) <= CPU_S / 2)


def bench(world, report, runs):
    results, floor = {}, Floor(world)
    envs = {profiles: make_profiles(world, profiles) for profiles in SIZES}
    # The small ones are over soon enough to be run more often; in turns again.
    plan = [(profiles, jobs) for profiles in SIZES for jobs in JOBS]
    for turn in range(TURNS if runs >= 50 else 1):
        for profiles, jobs in plan:
            if turn == 0 or turn < 3 and profiles <= PROMISED[0] or (profiles, jobs) == PROMISED:
                say("refresh --all: %d profiles, %d jobs" % (profiles, jobs))
                results.setdefault((profiles, jobs), []).append(refresh_all(world, envs[profiles], profiles, jobs))
            if (profiles, jobs) == PROMISED:
                floor.take_turn()
    told = {key: medians(results[key]) for key in plan}
    report.target("`refresh --all`, %d profiles, %d jobs / one after another" % PROMISED, 1 / 24, 1 / 30,
                  told[PROMISED].wall / (PROMISED[0] * DELAY_S), one_in)
    floor.targets(report, results[PROMISED])
    report.target("CPU per profile, 3,000 / 100 profiles", 1.3, 1.1, told[3000, 32].cpu / told[100, 32].cpu, ratio)
    report.target("`refresh --all`, 3,000 profiles, peak memory", 20 * MB, 14 * MB, told[3000, 32].peak, megabytes)
    report.table("`refresh --all`, %d ms a request" % (1000 * DELAY_S), HEAD,
                 [row(*key, bulk) for key, bulk in told.items()])


def bench_slow_disk(world, report, runs):
    """One that waits for the disk must not hold up the others."""
    profiles, jobs = PROMISED
    slow = {"LD_PRELOAD": world.floor("slow_fsync.so")}
    env, floor, bulks = dict(make_profiles(world, profiles), **slow), Floor(world, **slow), []
    say("refresh --all: %d profiles, %d jobs, a slow disk" % PROMISED)
    for _ in range(TURNS if runs >= 50 else 1):
        bulks.append(refresh_all(world, env, profiles, jobs))
        floor.take_turn()
    bulk = medians(bulks)
    report.target("`refresh --all`, each fsync %d ms longer / one after another" % FSYNC_MS, 1 / 20, 1 / 25,
                  bulk.wall / (profiles * DELAY_S), one_in)
    floor.targets(report, bulks)
    report.table("`refresh --all`, each fsync %d ms longer" % FSYNC_MS, HEAD, [row(profiles, jobs, bulk)])
