#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds the program's help, the man page and the completions of three shells against each other.

    interface_check.py PROGRAM SOURCE_DIR

Each of them says which commands there are, which options each command takes (before a command: "-"),
which of these take an argument, and which values some arguments have. What --help says is what the
others must say: no more, no less. Prints each difference; exits 1 if there is any. A shell that is not
installed is left out.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile


def run(*command):
    """Its output, from a directory without files and a home without profiles."""
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=empty,
                              stdin=subprocess.DEVNULL, env={**os.environ, "HOME": empty})
    if done.returncode or done.stderr:
        sys.exit("%s: %s %s" % (command[0], done.returncode, done.stderr))
    return done.stdout


class Facts:
    """A set of lines such as "show --format takes an argument", for comparison."""

    def __init__(self):
        self.lines = set()

    def command(self, name):
        self.lines.add("command %s" % name)

    def option(self, command, option, has_argument):
        self.lines.add("%s: %s%s" % (command, option, " ARGUMENT" if has_argument else ""))

    def values(self, command, what, values):
        self.lines.add("%s: %s is one of %s" % (command, what, " ".join(sorted(values))))

    def without(self, pattern):
        return {line for line in self.lines if not re.search(pattern, line)}


def from_help(program):
    facts, own, common = Facts(), {}, []
    commands = re.findall(r"^  ([a-z]+) ", run(program, "--help"), re.M)
    for command in commands:
        facts.command(command)
        text = run(program, command, "--help")
        kinds = re.match(r"usage: .*\[OPTION\]\.\.\. ([a-z|]+)$", text, re.M)
        if kinds:
            facts.values(command, "the operand", kinds[1].split("|"))
        if text.split("\n")[0].endswith(" [COMMAND]"):
            facts.values(command, "the operand", commands)
        title = ""
        own[command] = set()
        for line in text.split("\n"):
            title = line if line.endswith(":") and line[0] != " " else title
            match = re.match(r"  (?:(-.),|   ) (--[a-z-]+)(?: (\S+))?(?:  |$)", line)
            if not match:
                continue
            letter, name, argument = match.groups()
            if argument and argument.islower():
                facts.values(command, name, argument.split("|"))
            for option in filter(None, (letter, name)):
                facts.option(command, option, argument)
                if title.startswith("Every command"):
                    facts.option("-", option, argument)
            if title == "Options:":
                own[command].add(name)
    return facts, commands, own


def from_man(path):
    """The sections under COMMANDS; and, by command, the options in the SYNOPSIS."""
    facts, sections, synopsis = Facts(), {}, {}
    text = path.read_text()
    parts = re.split(r"^\.Ss (.*)$", section(text, "COMMANDS"), flags=re.M)
    with_network = re.findall(r"^\.Cm (\S+)", parts[0].split(".Sx Network options")[0], re.M)
    for title, body in zip(parts[1::2], parts[2::2]):
        sections[title] = re.findall(r"^\.It (?:Fl (\w) , )?Fl Fl (\S+)( Ar| Cm)?", body, re.M)
    network, common = sections.pop("Network options"), sections.pop("Common options")
    for command, options in sections.items():
        facts.command(command)
        for letter, name, argument in options + common + (network if command in with_network else []):
            for option in ["--" + name] + (["-" + letter] if letter else []):
                facts.option(command, option, argument)
    for letter, name, argument in common:
        for option in ["--" + name] + (["-" + letter] if letter else []):
            facts.option("-", option, argument)
    for block in re.split(r"^\.Nm$", section(text, "SYNOPSIS"), flags=re.M)[1:]:
        command = re.search(r"^\.Cm (\S+)", block, re.M)
        if command:
            synopsis[command[1]] = set(re.findall(r"Fl Fl ([a-z-]+)", block))
            if re.search(r"Fl e\b", block):
                synopsis[command[1]].add("email")
    return facts, synopsis


def section(text, name):
    return re.search(r"^\.Sh %s\n(.*?)^\.Sh " % name, text, re.M | re.S)[1]


BASH = r"""
. "$1"
offered() { # WORD...: what is offered for the last one
    COMP_WORDS=(servetel-auth "$@") COMP_CWORD=$# COMP_LINE="servetel-auth $*" COMP_POINT=${#COMP_LINE}
    _servetel_auth
    echo "${COMPREPLY[@]}"
}
echo "commands $(offered '')"
for command in - $2; do
    [ "$command" = - ] && words=() || words=("$command")
    for option in $(offered "${words[@]}" --); do
        if _servetel_auth_wants_argument "$option"; then
            echo "argument $command $option $(offered "${words[@]}" "$option" '')"
        else
            echo "flag $command $option"
        fi
    done
    [ "$command" = - ] || [ "$command" = exec ] || echo "operand $command $(offered "$command" '')"
done
for letter in {a..z} {A..Z}; do
    if _servetel_auth_wants_argument "-$letter"; then
        echo "letter -$letter $(_servetel_auth_long "-$letter")"
    fi
done
"""


def from_bash(path, commands):
    facts, letters = Facts(), {}
    output = run("bash", "--norc", "-c", BASH, "bash", str(path), " ".join(commands))
    for kind, *words in map(str.split, output.splitlines()):
        if kind == "commands":
            for name in words:
                facts.command(name)
        elif kind == "letter":
            letters[words[1]] = words[0]
        elif kind == "operand":
            if words[1:]:
                facts.values(words[0], "the operand", words[1:])
        else:
            facts.option(words[0], words[1], kind == "argument")
            if words[2:]:
                facts.values(words[0], words[1], words[2:])
    for line in sorted(facts.lines):
        command, _, option = line.partition(": ")
        if option.endswith(" ARGUMENT") and option.split()[0] in letters:
            facts.option(command, letters[option.split()[0]], True)
    return facts


# _arguments and _describe only print what they were asked.
ZSH = r"""
_arguments() {
    local spec
    if [[ $words[1] == servetel-auth ]]; then
        for spec; do print -r -- "spec - $spec"; done
        words=($command '') state=$wanted_state
    else
        for spec; do print -r -- "spec $command $spec"; done
    fi
}
_describe() { print -rl -- "command "${^${(P)4}} }
wanted_state=command words=(servetel-auth '')
source $1
wanted_state=arguments
for command in ${=2}; do
    words=(servetel-auth $command '')
    _servetel-auth
done
"""


def from_zsh(path, commands):
    facts = Facts()
    for line in run("zsh", "-f", "-c", ZSH, "zsh", str(path), " ".join(commands)).splitlines():
        kind, *rest = line.split(" ", 2)
        if kind == "command":
            facts.command(rest[0].split(":")[0])
            continue
        # (exclusions)--name=[text]:what:action, or -n+[text]:..., or 1:what:action for an operand
        command, spec = rest
        match = re.match(r"(?:\([^)]*\))?(--?[a-zA-Z][a-z-]*)([=+]?)\[", spec)
        values = re.search(r":\(([a-z ]+)\)$", spec)
        if match:
            facts.option(command, match[1], match[2])
        if values:
            facts.values(command, match[1] if match else "the operand", values[1].split())
    return facts


FISH = r"""
source $argv[1]
function offered
    complete --do-complete="$argv" | string replace -r '\t.*' ''
end
printf 'command %s\n' (offered 'servetel-auth ')
set -l with_argument (string split -- ' ' $argv[2])
for command in - $argv[3..]
    set -l line "servetel-auth $command "
    test $command = -; and set line 'servetel-auth '
    for option in (offered $line'--') (offered $line'-' | string match -r '^-[^-]$')
        set -l values
        contains -- $option $with_argument; and set values (offered $line$option' ')
        echo option $command $option $values
    end
    test $command = - -o $command = exec; or echo operand $command (offered $line)
end
"""


def from_fish(path, commands):
    facts = Facts()
    with_argument = set()
    for line in path.read_text().splitlines():
        match = re.search(r" (?:-s (\w) )?-l ([a-z-]+) (-x|-rF)", line)
        if match:
            with_argument |= {"--" + match[2]} | ({"-" + match[1]} if match[1] else set())
    long_ones = " ".join(option for option in with_argument if option.startswith("--"))
    output = run("fish", "--no-config", "-c", FISH, str(path), long_ones, *commands)
    for kind, *words in map(str.split, output.splitlines()):
        if kind == "command":
            facts.command(words[0])
        elif kind == "operand":
            if words[1:]:
                facts.values(words[0], "the operand", words[1:])
        else:
            facts.option(words[0], words[1], words[1] in with_argument)
            if words[2:]:
                facts.values(words[0], words[1], words[2:])
    return facts


def main():
    program, source = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    help_facts, commands, own = from_help(program)
    completions = source / "completions"
    man, synopsis = from_man(source / "man/servetel-auth.1")
    found = {"man page": (man, r" is one of ")}
    # bash offers no letters, but must know those that take an argument.
    found["bash"] = from_bash(completions / "servetel-auth.bash", commands), r": -\w$"
    if shutil.which("zsh"):
        found["zsh"] = from_zsh(completions / "_servetel-auth", commands), r"^$"
    if shutil.which("fish"):
        found["fish"] = from_fish(completions / "servetel-auth.fish", commands), r"^$"
    differences = []
    for name, (facts, ignored) in found.items():
        expected, actual = help_facts.without(ignored), facts.without(ignored)
        differences += ["%s lacks: %s" % (name, line) for line in sorted(expected - actual)]
        differences += ["only %s has: %s" % (name, line) for line in sorted(actual - expected)]
    for command in commands:
        listed = {"--" + name for name in synopsis.get(command, ())}
        for option in sorted(own[command] ^ listed):
            differences.append("SYNOPSIS and --help of %s differ in %s" % (command, option))
    print("\n".join(differences) or "%d facts, the same in --help, %s" % (
        len(help_facts.lines), ", ".join(found)))
    sys.exit(bool(differences))


main()
