#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures in the world that run has made; see there. Prints tables and writes them to bench.md.

Whatever is compared is run in turns, a few runs each, and a ratio is the median of the turns' ratios: what
drifts, drifts for both. Wall and CPU are hyperfine's, without a shell; instructions are callgrind's.
"""
import argparse
import http.client
import json
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import time
import urllib.parse

sys.dont_write_bytecode = True  # leave no __pycache__ in the source tree
import bulk  # noqa: E402
import workers  # noqa: E402
from report import MB, Report, count, megabytes, ms, ratio, say  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
STALE_SHOWS = 200
ROUNDS = 15
PYTHON_SCRIPT = """
import json, sys, urllib.request
request = urllib.request.Request(sys.argv[1], b"", {"Authorization": sys.argv[2], "Accept": "application/json"})
print(json.load(urllib.request.urlopen(request))["access_token"])
"""

median = statistics.median


def checked(argv, env, **options):
    """Whatever fails would be fast: a figure counts only when the work was done."""
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit("bench: %s: exit %d\n%s%s" % (shlex.join(argv), done.returncode, done.stdout, done.stderr))
    return done


# ------------------------------------------------------------------------------------------------ measures

class Sample:
    """Of one command: a list of wall times and the mean CPU time, for each turn."""

    def __init__(self):
        self.wall, self.cpu = [], []

    def wall_s(self):
        return median(time for turn in self.wall for time in turn)

    def cpu_s(self):
        return median(self.cpu)


def wall_ratio(a, b):
    return median(median(x) / median(y) for x, y in zip(a.wall, b.wall))


def cpu_ratio(a, b):
    return median(x / y for x, y in zip(a.cpu, b.cpu))


def in_turns(commands, runs, world):
    """commands: name -> argv. Returns name -> Sample."""
    samples = {name: Sample() for name in commands}
    rounds = min(ROUNDS, runs)
    names = list(commands)
    export = os.path.join(world.work, "hyperfine.json")
    for turn in range(rounds):
        names = names[1:] + names[:1]  # nobody is always the one after the slowest
        checked(["hyperfine", "-N", "--style", "none", "--warmup", "1", "--runs", str(-(-runs // rounds)),
                 "--export-json", export] + [shlex.join(commands[name]) for name in names], world.env)
        with open(export, encoding="utf-8") as file:
            for name, result in zip(names, json.load(file)["results"]):
                samples[name].wall.append(result["times"])
                samples[name].cpu.append(result["user"] + result["system"])
    return samples


def without_shell(sample, shell):
    """What a pipeline takes in a script that runs anyway: less what starting a shell takes."""
    less = Sample()
    less.wall = [[time - median(base) for time in turn] for turn, base in zip(sample.wall, shell.wall)]
    less.cpu = [time - base for time, base in zip(sample.cpu, shell.cpu)]
    return less


def instructions(argv, world):
    done = checked(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"] + argv, world.env)
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def peak_bytes(argv, world):
    peaks = [int(checked([world.floor("peak")] + argv, world.env).stderr.split()[-1]) for _ in range(9)]
    return 1024 * median(peaks)


# --------------------------------------------------------------------------------------------- what is run

class World:
    def __init__(self, options):
        self.options, self.work = options, options.work
        self.program = os.path.join(options.bin_dir, "servetel-auth")
        self.home = os.path.join(self.work, "home")
        self.cache = os.path.join(self.home, ".servetel-auth", "default.json")
        os.makedirs(self.home)
        # No other variable: nothing of the caller's may make a difference.
        self.env = {"HOME": self.home, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        if options.roots:
            # curl and Python look there besides, ours instead: as they do with the system's directory.
            self.env["SSL_CERT_DIR"] = options.roots
        self.login = [self.program, "login", "-e", "you@example.test", "--password-file",
                      self.file("password", "correct horse\n"), "--api-url", options.tls_api]
        self.refresh = [self.program, "refresh"]
        self.show = [self.program, "show"]

    def floor(self, name):
        return os.path.join(self.work, "floors", name)

    def file(self, name, text):
        path = os.path.join(self.work, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
            file.write(text)
        return path

    def cached(self, api, index=0, lasts_s=5):
        """A cache file's text, as login leaves it: a token of an hour that lasts so many seconds more."""
        now = int(time.time())
        return json.dumps({
            "version": 1, "api_url": api, "email": "you%d@example.test" % index,
            "access_token": "eyJ%0300d" % index, "token_type": "bearer", "auth_scheme": "raw",
            "expires_at": now + lasts_s, "obtained_at": now + lasts_s - 3600,
            "logged_in_at": now + lasts_s - 3600})


def machine(world):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    curl = checked(["curl", "--version"], world.env).stdout.split()
    libraries = [word.replace("/", " ") for word in curl if word.startswith(("libcurl/", "OpenSSL/"))]
    filesystem = checked(["stat", "-f", "-c", "%T", world.work], world.env).stdout.strip()
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = platform.system()
    return ", ".join([model[1] if model else platform.machine(), "%d cores" % os.cpu_count(), system,
                      "kernel " + platform.release(), filesystem] + libraries)


def compared(samples, counted, peaks, base):
    """Rows, each with its ratios to the command that is named base."""
    rows = []
    for name, sample in samples.items():
        row = [name, ms(sample.wall_s()), ratio(wall_ratio(sample, samples[base])), ms(sample.cpu_s()),
               ratio(cpu_ratio(sample, samples[base]))]
        number = counted.get(name)
        row += ["%.3f M" % (number / 1e6), ratio(number / counted[base])] if number else ["", ""]
        rows.append(row + [megabytes(peaks[name]) if name in peaks else ""])
    return ["", "wall", "of " + base, "CPU", "of " + base, "instructions", "of " + base, "peak memory"], rows


# ---------------------------------------------------------------------------------------------- the figures

def bench_show(world, report, runs):
    commands = {"`show`": world.show, "`cat`": ["cat", world.cache],
                "`jq -r .access_token`": ["jq", "-r", ".access_token", world.cache],
                "empty C program": [world.floor("empty")]}
    say("show: %d runs of each of %d" % (runs, len(commands)))
    samples = in_turns(commands, runs, world)
    counted = {name: instructions(argv, world) for name, argv in commands.items()}
    peaks = {name: peak_bytes(argv, world) for name, argv in commands.items()}
    report.target("`show` / `cat`, wall", 1.0, 0.85, wall_ratio(samples["`show`"], samples["`cat`"]), ratio)
    report.target("`show` / `cat`, instructions", 1.0, 0.87, counted["`show`"] / counted["`cat`"], ratio)
    report.target("`show`, peak memory", 2.0 * MB, 1.6 * MB, peaks["`show`"], megabytes)
    report.table("A valid token, read", *compared(samples, counted, peaks, "`cat`"))


def bench_requests(world, report, runs):
    runs = -(-runs // 3)
    with open(world.cache, encoding="utf-8") as file:
        token = json.load(file)["access_token"]
    refresh_url, login_url = world.options.tls_api + "/auth/refresh", world.options.tls_api + "/auth/login"
    curl = ["curl", "-sS", "-f", "-H", "accept: application/json", "-d", ""]
    refresh_curl = curl + ["-H", "content-type:", "-H", "Authorization: " + token, refresh_url]
    body = world.file("login.json", json.dumps({"email": "you@example.test", "password": "correct horse"}))
    login_curl = curl[:-1] + ["@" + body, "-H", "content-type: application/json", login_url]
    answer = world.file("answer.json", checked(refresh_curl, world.env).stdout)
    piped = "`refresh`: `curl \\| jq`"
    commands = {
        "`refresh`": world.refresh,
        "`refresh`: `curl`": refresh_curl,
        piped: ["sh", "-c", shlex.join(refresh_curl) + " | jq -r .access_token"],
        "`refresh`: Python": [sys.executable, "-c", PYTHON_SCRIPT, refresh_url, token],
        "libcurl, linked, no file": [world.floor("curl_floor"), refresh_url, token],
        "the same, roots looked up": [world.floor("curl_floor"), refresh_url, token,
                                      world.options.roots or "/etc/ssl/certs"],
        "`login`": world.login,
        "`login`: `curl`": login_curl,
        "shell": ["sh", "-c", ":"],
    }
    if world.options.roots:
        del commands["libcurl, linked, no file"]  # libcurl itself does not read SSL_CERT_DIR
    say("requests: %d runs of each of %d" % (runs, len(commands)))
    samples = in_turns(commands, runs, world)
    samples[piped] = without_shell(samples[piped], samples.pop("shell"))
    say("requests: instructions")
    slow = (piped, "shell", "`refresh`: Python")
    counted = {name: instructions(argv, world) for name, argv in commands.items() if name not in slow}
    counted[piped] = counted["`refresh`: `curl`"] + instructions(["jq", "-r", ".access_token", answer], world)
    peaks = {name: peak_bytes(argv, world) for name, argv in commands.items() if name not in (piped, "shell")}
    wanted = samples["`refresh`"]
    report.target("`refresh` / `curl`, wall", 0.62, 0.52, wall_ratio(wanted, samples["`refresh`: `curl`"]), ratio)
    report.target("`login` / `curl`, wall", 0.62, 0.52,
                  wall_ratio(samples["`login`"], samples["`login`: `curl`"]), ratio)
    report.target("`refresh` / `curl \\| jq`, wall", 0.47, 0.41, wall_ratio(wanted, samples[piped]), ratio)
    report.target("`refresh` / `curl`, instructions", 0.135, 0.12,
                  counted["`refresh`"] / counted["`refresh`: `curl`"], ratio)
    report.target("`refresh`, peak memory", 13 * MB, 11 * MB, peaks["`refresh`"], megabytes)
    report.table("A request over TLS", *compared(samples, counted, peaks, "`refresh`: `curl`"))


def api_refreshes(world):
    url = urllib.parse.urlsplit(world.options.api)
    connection = http.client.HTTPConnection(url.netloc)
    connection.request("GET", "/_test/stats")
    return json.load(connection.getresponse())["refreshes"]


def show_at_once(world, processes, lasts_s, is_rejected):
    """So many at once on one token that lasts so long, or that the API rejected for all of them: seconds until the
    last has one, and requests sent."""
    path = os.path.join(world.home, ".servetel-auth", "stale.json")
    with open(path, encoding="utf-8") as file:
        cache = json.load(file)
    cache["expires_at"] = int(time.time()) + lasts_s
    cache["obtained_at"] = cache["expires_at"] - 3600
    world.file(path, json.dumps(cache))
    command = [world.program, "refresh", "--quiet", "--print", "--rejected-stdin"] if is_rejected else world.show
    rejected = world.file("rejected", cache["access_token"] + "\n" if is_rejected else "")
    before = api_refreshes(world)
    start = time.monotonic()
    shows = []
    for _ in range(processes):
        with open(rejected, encoding="utf-8") as file:
            shows.append(subprocess.Popen(command + ["-p", "stale"], env=world.env, stdin=file, stdout=subprocess.PIPE))
    codes = [show.wait() for show in shows]
    wall = time.monotonic() - start
    tokens = {show.stdout.read() for show in shows}
    for show in shows:
        show.stdout.close()
    sent = api_refreshes(world) - before
    is_old = tokens == {cache["access_token"].encode() + b"\n"}
    if any(codes) or len(tokens) != 1 or is_old != (sent == 0):
        sys.exit("bench: %d shows: exits %s, %d tokens, %d requests" % (processes, set(codes), len(tokens), sent))
    return wall, sent


def bench_stale(world, report, runs):
    say("%d processes, one stale token, and one that was rejected" % STALE_SHOWS)
    checked([world.program, "login", "-p", "stale", "-e", "you@example.test", "--password-file",
             os.path.join(world.work, "password"), "--api-url", world.options.api], world.env)
    rows = []
    for processes, token, lasts_s in ((1, "stale", 5), (STALE_SHOWS, "valid", 3600), (STALE_SHOWS, "stale", 5),
                                      (1, "rejected", 3600), (STALE_SHOWS, "rejected", 3600)):
        runs_of = [show_at_once(world, processes, lasts_s, token == "rejected")
                   for _ in range(5 if runs >= 50 else 1)]
        requests = max(sent for _, sent in runs_of)
        rows.append(["%d, %s" % (processes, token), "%d" % requests, ms(median(wall for wall, _ in runs_of))])
        if processes == STALE_SHOWS and token != "valid":
            report.target("%d processes, one %s token, requests" % (STALE_SHOWS, token), 1, 1, requests, count)
    report.table("`show`, and `refresh --rejected-stdin`, of one token",
                 ["at once", "requests", "until the last has its token"], rows)


BENCHES = {"show": bench_show, "requests": bench_requests, "all": bulk.bench, "slow_disk": bulk.bench_slow_disk,
           "stale": bench_stale, "refused": workers.bench}


def main():
    parser = argparse.ArgumentParser(description="called by run; see there")
    parser.add_argument("--bin-dir", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--tls-api", required=True)
    parser.add_argument("--slow-api", required=True)
    parser.add_argument("--api", required=True)
    parser.add_argument("--roots", metavar="DIR", help="named in SSL_CERT_DIR")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--soft", action="store_true")
    parser.add_argument("--only", nargs="+", choices=BENCHES, default=BENCHES)
    options = parser.parse_args()
    world, report = World(options), Report()
    checked(world.login, world.env)
    for name, bench in BENCHES.items():
        if name in options.only:
            bench(world, report, options.runs)
    text = report.text(machine(world), min(ROUNDS, options.runs), bool(options.roots))
    print(text, end="")
    with open(os.path.join(options.bin_dir, "bench.md"), "w", encoding="utf-8") as file:
        file.write(text)
    sys.exit(report.failed and not options.soft)


if __name__ == "__main__":
    main()
