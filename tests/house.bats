#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The check of the house's order: says nothing of a small house that is in order, and finds each thing that is not.

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    mkdir -p src/commands src/store src/base
    cat >src/main.c <<'EOT'
/* A house.
 *
 *     commands/           a command each
 *         show            cmd_show()       prints it
 *         command         command_print()  what they share
 *     store/
 *         cache           cache_read()     the file
 *     base/
 *         text            text_cut()       short
 */
#include "commands/command.h"

int main(void)
{
    return cmd_show();
}
EOT
    printf 'int cmd_show(void);\nvoid command_print(const char *text);\n' >src/commands/command.h
    cat >src/commands/show.c <<'EOT'
#include "commands/command.h"
#include "store/cache.h"

int cmd_show(void)
{
    command_print(cache_read());
    return 0;
}
EOT
    cat >src/commands/command.c <<'EOT'
#include "commands/command.h"

static void put(const char *text)
{
}

void command_print(const char *text)
{
    put(text);
}
EOT
    printf 'const char *cache_read(void);\n' >src/store/cache.h
    cat >src/store/cache.c <<'EOT'
#include "store/cache.h"

#include "base/text.h"

const char *cache_read(void)
{
    return text_cut("text");
}
EOT
    printf '/* Cuts; see cache_read(). */\nconst char *text_cut(const char *text)\n    __attribute__((nonnull(1)));\n' \
        >src/base/text.h
    printf '#include "base/text.h"\n\nconst char *text_cut(const char *text)\n{\n    return text;\n}\n' >src/base/text.c
}

# lines COUNT: as many, of no meaning.
lines() { yes '    ;' | head -n "$1"; }

# assert_finds LINE...: these things, and no other.
assert_finds() {
    capture "$TESTS_DIR/house.py" .
    assert_status 1
    assert_stdout "$(printf '%s\n' "$@")"
    assert_stderr_empty
}

# Files with as many lines as there may be in all.
fill() {
    local file=0 rest
    all=$(sed -n 's/^ALL_LINES = \([0-9]*\).*/\1/p' "$TESTS_DIR/house.py")
    while rest=$((all - $(cat src/*.c src/*/*.[ch] | wc -l))) && [ "$rest" -gt 440 ]; do
        lines 440 >"src/base/more$file.h"
        file=$((file + 1))
    done
    lines "$rest" >src/base/z.h
}

@test "of a house in order nothing is said" {
    capture "$TESTS_DIR/house.py" .
    assert_status 0
    assert_stdout_empty
    assert_stderr_empty
}

@test "an include of a floor above is found, and one of no floor" {
    printf '#include <time.h>\n#include "commands/command.h"\n#include "cache.h"\n' >>src/store/cache.c
    assert_finds 'src/store/cache.c:10: includes commands/command.h, which is on no floor from its own down' \
        'src/store/cache.c:11: includes cache.h, which is on no floor from its own down'
}

@test "a module that the map does not name is found, under another floor too" {
    mv src/base/text.c src/store/text.c
    touch src/base/clock.c
    assert_finds 'src/main.c:9: the map names src/base/text.c, which is not there' \
        'src/main.c:1: the map does not name src/base/clock.c' \
        'src/main.c:1: the map does not name src/store/text.c'
}

@test "an entry that the module does not define, or that no header declares, is found" {
    sed -i -e 's/cmd_show() /command_print() /' -e 's/command_print()  what/put()  what/' src/main.c
    assert_finds 'src/main.c:4: the map names command_print(), which src/commands/show.c does not export' \
        'src/main.c:5: the map names put(), which src/commands/command.c does not export'
}

@test "a file of 451 lines is found, one of 450 is not" {
    lines $((450 - 6)) >>src/base/text.c
    capture "$TESTS_DIR/house.py" .
    assert_status 0
    assert_stdout_empty
    lines 1 >>src/base/text.c
    assert_finds 'src/base/text.c:451: has 451 lines, more than 450'
}

@test "a function of 61 lines is found, one of 60 is not" {
    { printf 'static int all(int a,\n               int b)\n{\n' && lines 58 && echo '}'; } >>src/base/text.c
    capture "$TESTS_DIR/house.py" .
    assert_status 0
    assert_stdout_empty
    sed -i '$i\    ;' src/base/text.c
    assert_finds 'src/base/text.c:7: all() has 61 lines, more than 60'
}

@test "a line in all more than there may be is found" {
    fill
    capture "$TESTS_DIR/house.py" .
    assert_status 0
    assert_stdout_empty
    lines 1 >>src/base/z.h
    assert_finds "src:1: has in all $((all + 1)) lines, more than $all"
}

@test "a function that only its own file, a comment, a text and a member name is exported for nobody" {
    printf 'void text_clean(char *text);\n' >>src/base/text.h
    printf 'void text_clean(char *text)\n{\n    text_clean(text);\n}\n' >>src/base/text.c
    printf '/* text_clean() */\nconst char *name = "text_clean" + a.text_clean + b->text_clean;\n' >>src/store/cache.c
    assert_finds 'src/base/text.h:4: text_clean() is exported for nobody'
}

@test "a function that a macro beside it hands out is not" {
    printf '#define text_clean(text) text_clean_all(text, 0)\nvoid text_clean_all(char *text, int flags);\n' \
        >>src/base/text.h
    capture "$TESTS_DIR/house.py" .
    assert_status 0
    assert_stdout_empty
}

@test "a static function's name that is in another file too is found in both" {
    printf '\nstatic int put(void)\n{\n    return 0;\n}\n' >>src/base/text.c
    assert_finds 'src/base/text.c:8: put() is also in src/commands/command.c' \
        'src/commands/command.c:3: put() is also in src/base/text.c'
}
