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
fault the promise is checked (faults_judge.py): the cache is whole and holds the old token or the newest, success means
stored, nothing was sent if the fault came before the request, and the next run works and leaves no litter. Out of
memory is 1 and nothing was given, or 0.

Prints a line for each broken promise, with what to give to --only, and the counts. Exit status 1 if any was
broken. Standard library only; strace must be there.
"""
import argparse
import collections
import concurrent.futures
import os
import queue
import re
import subprocess
import sys
import tempfile
import time

from faults_judge import judge
from faults_world import HERE, SCENARIOS, World, arguments_of, read_trace

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
