#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Presses TAB in a shell, in a terminal, and looks at what comes.

    press_tab.py SHELL [ARG...] <STEPS

The shell's prompt must be "> ". STEPS are lines of words, quoted as for sh:

    offers TYPED WORD...     after TAB, each word is in the list below the prompt
    completes TYPED LINE     after TAB, the line is exactly this
    adds_nothing TYPED...    after TAB, the line is what it was, for each
    runs COMMAND             no TAB: the shell runs the command

The terminal is tmux's, driven through one connection (tmux -C). Ends 0 if all is as told; else prints the
screen. It ends what it has started.
"""
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time

PATIENCE = 60  # seconds; only a failure takes so long


class Terminal:
    def __init__(self, directory, command):
        environment = {name: value for name, value in os.environ.items() if name != "TMUX"}
        self.client = subprocess.Popen(
            ["tmux", "-C", "-u", "-S", os.path.join(directory, "tmux"), "-f", "/dev/null",
             "new-session", "-c", os.environ["HOME"], "--", *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, errors="replace")
        self.lines_begun = 0
        self.answer()
        self.ask("refresh-client -C 150x50")
        self.ask("set-option -g destroy-unattached on")  # should this program be killed
        self.pids = [int(pid) for pid in self.ask("display-message -p '#{pid} #{pane_pid}'")[0].split()]

    def answer(self):
        """The lines between %begin and %end; notifications around them are not looked at."""
        end, lines = None, []
        for line in self.client.stdout:
            line = line.rstrip("\n")
            if end is None:
                if line.startswith("%begin "):
                    end = line[len("%begin "):]
            elif line in ("%end " + end, "%error " + end):
                if line.startswith("%error"):
                    sys.exit("tmux: %s" % lines)
                return lines
            else:
                lines.append(line)
        sys.exit("tmux has ended")

    def ask(self, command):
        self.client.stdin.write(command + "\n")
        self.client.stdin.flush()
        return self.answer()

    def type(self, text, *keys):
        assert "'" not in text
        self.ask("send-keys -l '%s'" % text)
        for key in keys:
            self.ask("send-keys " + key)

    def screen(self):
        return [line.rstrip(" ") for line in self.ask("capture-pane -p")]

    def wait_for(self, what, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition(self.screen()):
            if time.monotonic() > deadline:
                sys.exit("not on the screen: %s\n%s" % (what, "\n".join(self.screen()).rstrip()))
            time.sleep(0.01)

    def new_line(self):
        """An empty screen with a prompt on it."""
        self.lines_begun += 1
        ready = "ready %d" % self.lines_begun
        self.ask("send-keys C-e C-u")
        self.type("clear; echo " + ready, "Enter")
        self.wait_for("a prompt", lambda screen: screen[:2] == [ready, ">"])

    def close(self):
        self.client.communicate()  # nobody looks at it any more: tmux ends, the shell is hung up
        for pid in self.pids:
            deadline = time.monotonic() + 5
            while is_running(pid):
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.01)


def is_running(pid):
    """A zombie is not: whoever has adopted it may take its time."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], stdout=subprocess.PIPE, check=False).stdout
    return state.strip() [:1] not in (b"", b"Z")


def offers(terminal, typed, *words):
    def are_listed(screen):
        listed = " ".join(screen).partition("> " + typed.rstrip())[2]
        return set(listed.split()).issuperset(words)

    terminal.type(typed, "Tab")
    terminal.wait_for("the words %s" % " ".join(words), are_listed)


def completes(terminal, typed, line):
    # The # shows where the line ends, and that TAB has been dealt with.
    terminal.type(typed, "Tab")
    terminal.type("#")
    terminal.wait_for("the line > %s#" % line, lambda screen: "> %s#" % line in screen)


def adds_nothing(terminal, *lines):
    for line in lines:
        completes(terminal, line, line)
        if line != lines[-1]:
            terminal.new_line()


def runs(terminal, command):
    terminal.type(command, "Enter")


STEPS = {"offers": offers, "completes": completes, "adds_nothing": adds_nothing, "runs": runs}


def main():
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:  # a socket's path must be short
        terminal = Terminal(directory, sys.argv[1:])
        with contextlib.closing(terminal):
            for line in sys.stdin:
                step = shlex.split(line, comments=line.startswith("#"))
                if step:
                    terminal.new_line()
                    STEPS[step[0]](terminal, *step[1:])


main()
