#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a program on a terminal of its own, as a shell would, and plays the person at the keyboard.

    pty_run.py [--timeout SECONDS] STEP... -- PROGRAM ARG...

The steps, in order:
  expect:TEXT   waits until TEXT has appeared on the screen, after what the last expect found
  type:TEXT     types it; \\n is Return, \\x03 ^C, \\x1a ^Z, and so on
  echo:off|on   the terminal's echo must be so now
  silent        waits until the echo is off
  restored      the terminal's settings must be those from before the program now
  run:COMMAND   runs sh -c COMMAND elsewhere, PROGRAM being the program's pid, and waits for it; its failure is
                this step's
  signal:NAME   sends the program a signal: TERM, HUP, ...
  stopped       waits until the program is stopped, and takes the terminal back
  continue      what a shell's fg does

Prints what was on the screen. Its exit status is the program's, 128+N if signal N ended it, 124 when that
took too long (10 seconds), and 125 when a step failed or the program left the terminal's settings changed.
Python's standard library only.
"""
import argparse
import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import time

# What an interactive shell gives its programs, whatever this one was started with.
DEFAULT_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE, signal.SIGTSTP,
                   signal.SIGTTIN, signal.SIGTTOU)


class StepFailed(Exception):
    pass


def shell(terminal, program, report, orders):
    """The session's leader: without a parent in its own session the program could not be stopped by ^Z."""
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(terminal, fd)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it hands the terminal over from the background
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        for number in DEFAULT_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        os.environ.setdefault("TERM", "xterm")  # a test that wants another one says so
        try:
            os.execvp(program[0], program)
        except OSError as error:
            print("%s: %s" % (program[0], error), file=sys.stderr, flush=True)
            os._exit(127)
    with contextlib.suppress(OSError):  # whichever of the two is first
        os.setpgid(pid, pid)
    os.write(report, b"pid %d\n" % pid)
    while True:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            break
        os.tcsetpgrp(0, os.getpgrp())
        os.write(report, b"stopped\n")
        if not os.read(orders, 1):
            os._exit(1)
        os.tcsetpgrp(0, pid)
        os.kill(-pid, signal.SIGCONT)
    code = os.waitstatus_to_exitcode(status)
    os.write(report, b"ended %d\n" % (code if code >= 0 else 128 - code))
    os.read(orders, 1)  # the session stays until its terminal has been looked at
    os._exit(0)


class Player:
    def __init__(self, program, timeout):
        self.deadline = time.monotonic() + timeout
        self.screen, self.seen = b"", 0
        self.reports, self.pid, self.status, self.stops = b"", None, None, 0
        self.master, self.terminal = os.openpty()
        self.before = self.settings()
        self.report_end, report = os.pipe()
        orders, self.order_end = os.pipe()
        self.leader = os.fork()
        if self.leader == 0:
            os.close(self.master)
            os.close(self.order_end)
            shell(self.terminal, program, report, orders)
        os.close(report)
        os.close(orders)
        self.wait_for(lambda: self.pid)

    def settings(self):
        return termios.tcgetattr(self.terminal)

    def read_some(self, seconds):
        ready, _, _ = select.select([self.master, self.report_end], [], [], seconds)
        if self.master in ready:
            self.screen += os.read(self.master, 65536)
        if self.report_end in ready:
            self.reports += os.read(self.report_end, 4096)
            *lines, self.reports = self.reports.split(b"\n")
            for line in lines:
                self.take_report(*line.decode().split())
        return bool(ready)

    def take_report(self, what, number=0):
        if what == "pid":
            self.pid = int(number)
        elif what == "stopped":
            self.stops += 1
        else:
            self.status = int(number)

    def wait_for(self, condition):
        while not condition():
            if time.monotonic() > self.deadline:
                raise TimeoutError
            self.read_some(0.05)

    def found(self, text):
        place = self.screen.find(text, self.seen)
        if place < 0 and self.status is not None and not self.read_some(0.2):
            raise StepFailed("the program has ended without %r" % text.decode())
        if place >= 0:
            self.seen = place + len(text)
        return place >= 0

    def play(self, step):
        name, _, value = step.partition(":")
        text = value.encode().decode("unicode_escape").encode("latin-1")
        if name == "expect":
            self.wait_for(lambda: self.found(value.encode()))
        elif name == "type":
            os.write(self.master, text)
        elif name == "echo":
            if bool(self.settings()[3] & termios.ECHO) != (value == "on"):
                raise StepFailed("echo is not %s" % value)
        elif name == "silent":
            self.wait_for(lambda: not self.settings()[3] & termios.ECHO)
        elif name == "restored":
            if self.settings() != self.before:
                raise StepFailed("the terminal's settings are not those from before")
        elif name == "run":
            environment = dict(os.environ, PROGRAM=str(self.pid))
            if subprocess.run(["sh", "-c", value], stdin=subprocess.DEVNULL, env=environment).returncode:
                raise StepFailed("failed: %s" % value)
        elif name == "signal":
            os.kill(self.pid, getattr(signal, "SIG" + value))
        elif name == "stopped":
            self.wait_for(lambda: self.stops)
            self.stops -= 1
        elif name == "continue":
            os.write(self.order_end, b"c")
        else:
            raise StepFailed("no such step")

    def finish(self):
        self.wait_for(lambda: self.status is not None)
        while self.read_some(0.05):
            pass
        self.play("restored")

    def end(self):
        """Nothing that was started stays behind."""
        os.close(self.order_end)
        if self.status is None and self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.leader, 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--timeout", type=float, default=10)
    arguments = sys.argv[1:]
    split = arguments.index("--")
    options, steps = parser.parse_known_args(arguments[:split])
    player, step = Player(arguments[split + 1:], options.timeout), "start"
    try:
        for step in steps:
            player.play(step)
        step = "end"
        player.finish()
        status = player.status
    except TimeoutError:
        print("pty_run.py: too long: %s" % step, file=sys.stderr)
        status = 124
    except StepFailed as error:
        print("pty_run.py: %s: %s" % (step, error), file=sys.stderr)
        status = 125
    player.end()
    sys.stdout.buffer.write(player.screen.replace(b"\r\n", b"\n"))
    return status


if __name__ == "__main__":
    sys.exit(main())
