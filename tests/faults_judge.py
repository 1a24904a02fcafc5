# SPDX-License-Identifier: MIT
"""Whether a promise was broken by a fault of faults.py."""
import collections
import json
import os
import re
import signal
import time

from faults_world import arguments_of, email_of, read_trace

# Failures that mean "again", or "not supported": none of these may be the end of a run.
HARMLESS = ("EINTR", "EOPNOTSUPP")


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
