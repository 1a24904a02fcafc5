#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Takes the snippets out of a document, as a person would paste them.

    snippets.py FILE DIRECTORY

From Markdown, the fenced blocks of sh; from a man page, the displays of its EXAMPLES. Each is written to
DIRECTORY/LINE.sh, LINE being where it begins in the document.
"""
import pathlib
import re
import sys

ROFF = {"-": "-", "e": "\\", "(aq": "'", "(ti": "~", "(ha": "^"}


def unescaped(text):
    return re.sub(r"\\(\(..|.)", lambda escape: ROFF[escape[1]], text)


document, directory = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
text = document.read_text(encoding="utf-8")
if document.suffix == ".md":
    found = [(block.start(1), block[1]) for block in re.finditer(r"^```sh\n(.*?)^```$", text, re.M | re.S)]
else:
    start, end = text.index("\n.Sh EXAMPLES"), text.index("\n.Sh DIAGNOSTICS")
    blocks = re.compile(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", re.M | re.S).finditer(text, start, end)
    found = [(block.start(1), unescaped(block[1])) for block in blocks]
directory.mkdir()
for position, snippet in found:
    line = 1 + text.count("\n", 0, position)
    (directory / ("%04d.sh" % line)).write_text(snippet, encoding="utf-8")
