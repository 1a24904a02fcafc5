#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""house.py [DIR]: whether src in DIR, by default this checkout, keeps the order that its main.c describes.

Prints what it finds as a compiler would, and ends 1. It reads text, not C, and relies on clang-format for
that. Tests are no users: what only they call is exported for nobody.
"""
import pathlib
import re
import sys

FLOORS = ["main.c", "commands", "renewal", "service", "store", "input", "base"]  # from the top
FILE_LINES, FUNCTION_LINES = 450, 60  # more is not read at one sitting, not seen at one glance
ALL_LINES = 9749  # whatever the program learns, something else gets shorter

NO_CODE = re.compile(r"""/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|__attribute__\(\(.*?\)\)+""", re.S)
FUNCTION = re.compile(r"^(?!typedef)(\w[^;{}#]*?(\w+)\([^;{}#]*)(?:;|^\{(.*?)^\})", re.M | re.S)
MAP_LINE = re.compile(r"^ \* {5}(?:(\w+)/| {4}(\w+)\b(?:.*? (\w+)\(\))?)", re.M)

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
raw = {path.relative_to(root).as_posix(): path.read_text() for path in root.glob("src/**/*.[ch]")}
code = {file: NO_CODE.sub(lambda gone: "\n" * gone[0].count("\n"), text) for file, text in raw.items()}
found, statics = [], set()
declared, defined = {}, {}  # name -> (header, line); name -> {file: line}


def find(file, line, what):
    found.append(f"{file}:{line}: {what}")


def find_long(file, line, what, length, most):
    if length > most:
        find(file, line, f"{what} {length} lines, more than {most}")


def line_of(match, group=0):
    return 1 + match.string.count("\n", 0, match.start(group))


for file, text in sorted(code.items()):
    for function in FUNCTION.finditer(text):
        head, name, body = function.groups()
        if body is not None:
            defined.setdefault(name, {})[file] = line_of(function, 2)
            statics.update({name} if head.startswith("static") else ())
            find_long(file, line_of(function, 2), f"{name}() has", 1 + body.count("\n"), FUNCTION_LINES)
        elif file.endswith(".h"):
            declared[name] = file, line_of(function, 2)
    for include in re.finditer(r'^#include "(([^/"]*).*)"', raw[file], re.M):
        if include[2] not in FLOORS[FLOORS.index(file.split("/")[1]):]:
            find(file, line_of(include), f"includes {include[1]}, which is on no floor from its own down")
    find_long(file, FILE_LINES + 1, "has", raw[file].count("\n"), FILE_LINES)
find_long("src", 1, "has in all", sum(text.count("\n") for text in raw.values()), ALL_LINES)

unnamed, floor = {file for file in raw if file.endswith(".c") and file != "src/main.c"}, ""
for entry in MAP_LINE.finditer(raw["src/main.c"].partition("\n#include")[0]):
    floor = entry[1] or floor
    module, function = f"src/{floor}/{entry[2]}.c", entry[3]
    if entry[2] and module not in raw:
        find("src/main.c", line_of(entry), f"the map names {module}, which is not there")
    elif function and not (function in declared and module in defined.get(function, ())):
        find("src/main.c", line_of(entry), f"the map names {function}(), which {module} does not export")
    unnamed.discard(module)
for file in sorted(unnamed):
    find("src/main.c", 1, f"the map does not name {file}")

for name, (header, line) in declared.items():
    used = re.compile(rf"(?<![.>\w]){name}\b")  # not as a member
    others = code.keys() - {header, *defined.get(name, ())}
    # What a macro beside it uses, others use through that.
    if len(used.findall(code[header])) == 1 and not any(used.search(code[file]) for file in others):
        find(header, line, f"{name}() is exported for nobody")
for name in sorted(statics):
    for file, line in defined[name].items() if len(defined[name]) > 1 else ():
        find(file, line, f"{name}() is also in {', '.join(sorted(defined[name].keys() - {file}))}")

for what in found:
    print(what)
sys.exit(bool(found))
