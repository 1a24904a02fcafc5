#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What login and refresh make of the answers in hostile_cases.py. hostile.bats runs it.

  hostile_run.py --work DIR GROUP    runs a group of cases against the service at API_PORT (api_server.py)

Prints what is wrong, a line for each complaint that begins with the case's name, or the number of cases.

Whatever the answer, a failure leaves the cache as it is, byte by byte; stdout is empty; stderr is one line of less
than 700 bytes without a control character, a token or the password; nothing is sent more often than the case says
and nothing anywhere else. Each command has a cache file of its own, so that both run at once.
"""
import argparse
import http.client
import json
import os
import subprocess
import sys
import time
import unicodedata

from hostile_cases import COMMANDS, EMAIL, GROUPS, NEW, OLD, PASSWORD, PORT

PATIENCE_S = 60  # more than any case takes, under valgrind too


class Run:
    """A case, both commands at once."""

    def __init__(self, case):
        self.case, self.complaints = case, []
        self.before = self.cache_text()
        control("reset", {})
        answers = case.answers if isinstance(case.answers, list) else [{**case.answers, "repeat": -1}]
        for command in case.commands:
            control("script", {"endpoint": command, "answers": answers})
        started = [self.start(command) for command in case.commands]
        results = [self.finish(process, command) for process, command in zip(started, case.commands)]
        self.look_at_requests(control("log"))
        for command, result in zip(case.commands, results):
            self.look_at(command, *result)

    def complain(self, command, what):
        self.complaints.append("%s: %s %s" % (self.case.name, command, what))

    def cache_text(self):
        now = int(time.time())
        cache = {"version": 1, "api_url": "http://127.0.0.1:%d/v1" % PORT, "email": EMAIL, "access_token": OLD,
                 "token_type": "bearer", "expires_at": now + 600, "obtained_at": now - 3000, "logged_in_at": now - 3000,
                 "of_others": [1]}
        if self.case.auth_scheme:
            cache["auth_scheme"] = self.case.auth_scheme
        return json.dumps(cache).encode()

    def path(self, command):
        return os.path.join(OPTIONS.work, command + ".json")

    def start(self, command):
        path = self.path(command)
        if os.path.exists(path[:-5] + ".lock"):
            os.unlink(path[:-5] + ".lock")  # it remembers a renewal whose answer was lost
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as cache:
            cache.write(self.before)
        options = ["--password-stdin", *self.case.login_options] if command == "login" else []
        return subprocess.Popen(["servetel-auth", command, "-f", path, *options, *self.case.options],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    @staticmethod
    def finish(process, command):
        try:
            out, err = process.communicate(PASSWORD.encode() + b"\n" if command == "login" else b"", timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        return process.returncode, out, err

    def look_at_requests(self, log):
        for command in self.case.commands:
            count = sum(entry["endpoint"] == command for entry in log)
            if count != self.case.sent[command]:
                self.complain(command, "sent %d requests, not %d" % (count, self.case.sent[command]))
        for entry in log:
            if entry["endpoint"] not in self.case.commands:
                self.complain("", "a request to %s" % entry["path"])

    def look_at(self, command, code, out, err):
        case, printed = self.case, " -- exit %d, stderr: %.700r" % (code, err)
        if code not in case.codes:
            self.complain(command, "exit %d is not %s%s" % (code, " or ".join(map(str, case.codes)), printed))
        if out:
            self.complain(command, "stdout: %.300r" % out)
        self.look_at_text(command, err, printed)
        with open(self.path(command), "rb") as file:
            self.look_at_cache(command, code, file.read())

    def look_at_text(self, command, err, printed):
        case = self.case
        try:
            text = err.decode()
        except UnicodeDecodeError:
            self.complain(command, "stderr is not UTF-8" + printed)
            return
        lines = text.splitlines(keepends=False)
        if not text.endswith("\n") or not all(line.startswith("servetel-auth: ") for line in lines):
            self.complain(command, "stderr has no line of ours" + printed)
        if case.lines and text.count("\n") != case.lines:
            self.complain(command, "stderr is not one line" + printed)
        if any(unicodedata.category(char) == "Cc" for char in text.replace("\n", "")):
            self.complain(command, "stderr has control characters" + printed)
        if len(err) >= case.longest:
            self.complain(command, "stderr has %d bytes%s" % (len(err), printed))
        # refresh is not told the password.
        secrets = [OLD, NEW] + [PASSWORD] * (command == "login")
        for secret in secrets:
            if secret in text or (len(secret) > 80 and secret[-40:] in text):
                self.complain(command, "stderr has a secret" + printed)
        for wanted in case.shows:
            if wanted not in text:
                self.complain(command, "stderr lacks %r%s" % (wanted, printed))
        for unwanted in case.hides:
            if unwanted in text:
                self.complain(command, "stderr has %.60r%s" % (unwanted, printed))

    def look_at_cache(self, command, code, after):
        case = self.case
        if code == 0 and 0 in case.codes:
            token, life_s = case.stored or (NEW, 3600)
            cache = json.loads(after)
            if cache.get("access_token") != token:
                self.complain(command, "stored another token: %.300r" % after)
            elif not -PATIENCE_S <= cache.get("expires_at", 0) - time.time() - life_s <= 1:
                self.complain(command, "stored another life: %.900r" % after)
        elif after != self.before:
            cache = json.loads(after)
            if case.may_note_pause:
                cache.pop("retry_at", None)
                cache.pop("retry_noted_at", None)
            if code == 4 and command == "refresh":  # it is remembered, lest it be sent again
                noted = cache.pop("refused_at", 0)
                if not 0 <= time.time() - noted <= PATIENCE_S:
                    self.complain(command, "a refusal is noted for %s" % noted)
            if cache != json.loads(self.before):
                self.complain(command, "the cache has changed: %.900r" % after)
        left = [name for name in os.listdir(OPTIONS.work) if name.split(".")[0] not in COMMANDS]
        if left:
            self.complain(command, "left behind: %s" % left)


def control(action, value=None):
    """A control call; the service's own mistakes are not to be taken for the program's."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
    if value is None:
        connection.request("GET", "/_test/" + action)
    else:
        connection.request("POST", "/_test/" + action, json.dumps(value))
    reply = connection.getresponse()
    result = json.loads(reply.read())
    connection.close()
    if reply.status != 200:
        sys.exit("%s: %s" % (action, result))
    return result


def main():
    os.umask(0o077)
    complaints, count = [], 0
    for case in GROUPS[OPTIONS.group]():
        count += 1
        complaints += Run(case).complaints
    print("\n".join(complaints) or "%d cases" % count)
    return 1 if complaints else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="hostile answers; see the head of the file")
    parser.add_argument("--work", metavar="DIR", required=True)
    parser.add_argument("group", choices=sorted(GROUPS))
    OPTIONS = parser.parse_args()
    sys.exit(main())
