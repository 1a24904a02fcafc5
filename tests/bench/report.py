# SPDX-License-Identifier: MIT
"""What the benches tell, and in what form."""
import os
import sys

MB = 1e6


def say(text):
    print("bench: " + text, file=sys.stderr, flush=True)


class Report:
    def __init__(self):
        self.targets, self.tables, self.failed = [], [], False
        self.load = os.getloadavg()[0]  # before there is ours

    def target(self, what, must, aim, value, form, is_quiet=True):
        """Everything measured is better the smaller it is; time itself only where nobody else takes it."""
        passed = value <= must
        self.failed = self.failed or (is_quiet and not passed)
        self.targets.append([what, form(must), form(aim) if aim is not None else "", "**%s**" % form(value),
                             "yes" if passed else "**no**" if is_quiet else "not quiet"])

    def table(self, title, head, rows):
        self.tables.append("### %s\n\n%s" % (title, markdown(head, rows)))

    def text(self, machine, turns, roots_are_named):
        parts = ["Measured by `make bench` on %s. Each ratio is the median of %d turns' ratios." % (machine, turns)]
        if self.load > os.cpu_count() / 2:
            parts.append("The machine was busy (load %.1f): wall times are not to be relied on." % self.load)
        if roots_are_named:
            parts.append("No mount namespace could be had: the test root was named in SSL_CERT_DIR.")
        parts.append(markdown(["", "must", "aim", "measured", "met"], self.targets))
        return "\n\n".join(parts + self.tables) + "\n"


def markdown(head, rows):
    lines = [head, ["---"] + ["--:"] * (len(head) - 1)] + rows
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ms(seconds):
    return "%.2f ms" % (1e3 * seconds) if seconds < 0.01 else "%.1f ms" % (1e3 * seconds)


def megabytes(size):
    return "%.2f MB" % (size / MB) if size < 10 * MB else "%.1f MB" % (size / MB)


def ratio(value):
    return "%.3f" % value if value < 0.2 else "%.2f" % value


def one_in(value):
    return "1/%.1f" % (1 / value)


def count(value):
    return "%d" % value
