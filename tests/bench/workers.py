# SPDX-License-Identifier: MIT
"""Workers on one account, whose token another login ends: what each way to answer a 401 costs. measure.py
tells of it; worker.sh is one of them."""
import collections
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
WORKERS, WORK_S, DIES_S = 8, 6, 2
# The last is the one that is promised something.
WAYS = {"`curl \\| jq` logs in": "relogin", "`refresh`": "refresh", "`refresh --rejected-stdin`": "rejected"}
HEAD = ["what is done about a 401", "calls that succeeded", "refused", "refreshes", "logins"]


def ask(api, path, value=None):
    """The test service: its control, or its API as a test uses it, which is not counted."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(api).netloc)
    body = None if value is None else json.dumps(value)
    headers = {"Content-Type": "application/json", "Accept": "application/json", "X-Test": "1"}
    connection.request("GET" if body is None else "POST", path, body, headers)
    return json.load(connection.getresponse())


def work(way, world):
    """The numbers under HEAD."""
    api, place = world.options.api, tempfile.mkdtemp(dir=world.work)
    who = {"email": "you@example.test", "password": "correct horse"}
    with open(os.path.join(place, "login.json"), "w", encoding="utf-8") as file:
        json.dump(who, file)
    ask(api, "/_test/reset", {})
    ask(api, "/_test/config", {"single_session": True})
    env = dict(world.env, API=api, SERVETEL_PROFILE="worker",
               PATH=os.path.dirname(world.program) + ":" + world.env["PATH"])
    subprocess.run(world.login[:-1] + [api], env=env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    start = time.monotonic()
    workers = [subprocess.Popen(["sh", os.path.join(HERE, "worker.sh"), way], cwd=place, env=env,
                                stdin=subprocess.DEVNULL) for _ in range(WORKERS)]
    time.sleep(DIES_S)
    ask(api, "/v1/auth/login", who)
    time.sleep(max(0, start + WORK_S - time.monotonic()))
    open(os.path.join(place, "stop"), "w", encoding="utf-8").close()
    codes = [worker.wait() for worker in workers]
    asked = collections.Counter(entry["endpoint"] for entry in ask(api, "/_test/log"))
    stats = ask(api, "/_test/stats")
    if any(codes) or not stats["me_refused"]:  # whatever does nothing has nothing refused
        sys.exit("bench: workers, %s: exits %s, %s" % (way, set(codes), stats))
    return stats["me_ok"], stats["me_refused"], asked["refresh"], asked["login"] - 1


def bench(world, report, runs):
    """Of each way's runs the worst: how many are refused depends on who is at work when the token dies."""
    rows = []
    for name, way in WAYS.items():
        print("bench: %d workers: %s" % (WORKERS, way), file=sys.stderr, flush=True)
        done = sorted((work(way, world) for _ in range(3 if runs >= 50 else 1)), key=lambda run: run[1])
        rows.append([name] + ["%d" % number for number in done[-1]])
    report.target("%d workers, calls refused per token that died" % WORKERS, WORKERS + 1, WORKERS, done[-1][1], str)
    report.table("A token that another login ends, %d workers, %d s" % (WORKERS, WORK_S), HEAD, rows)
