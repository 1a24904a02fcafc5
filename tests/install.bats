#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The tarball that `make dist` makes compiles where there is no git; what it builds is hardened; `make install`
# puts each file where it belongs, and `make uninstall` takes all of it away.

load helper

setup_file() {
    # The caller's own flags and places are another matter.
    unset CFLAGS CPPFLAGS LDFLAGS LDLIBS WERROR V DESTDIR PREFIX BINDIR MANDIR BASHCOMPDIR ZSHCOMPDIR FISHCOMPDIR \
        DOCDIR
    umask 022
    copy_sources "$BATS_FILE_TMPDIR/copy"
    # The tarball is unpacked and built once, for all tests.
    make -C "$BATS_FILE_TMPDIR/copy" dist >"$BATS_FILE_TMPDIR/dist.out" 2>&1
    TARBALL="$(echo "$BATS_FILE_TMPDIR"/copy/build/servetel-auth-*.tar.gz)"
    mkdir "$BATS_FILE_TMPDIR/unpacked"
    tar -xzf "$TARBALL" -C "$BATS_FILE_TMPDIR/unpacked"
    SOURCE="$(echo "$BATS_FILE_TMPDIR"/unpacked/*)"
    BUILT="$BATS_FILE_TMPDIR/built"
    make -C "$SOURCE" -j4 BUILD="$BUILT" >"$BATS_FILE_TMPDIR/make.out" 2>&1 ||
        fail_with 'the tarball does not build' "$(cat "$BATS_FILE_TMPDIR/make.out")"
    export TARBALL SOURCE BUILT
}

setup() {
    test_setup
    unset CFLAGS CPPFLAGS LDFLAGS LDLIBS WERROR V DESTDIR PREFIX BINDIR MANDIR BASHCOMPDIR ZSHCOMPDIR FISHCOMPDIR \
        DOCDIR
    ROOT="$BATS_TEST_TMPDIR/the root"
}

# copy_sources DIR: the checkout, but neither its history nor what was built in it.
copy_sources() {
    mkdir "$1"
    tar -cf - -C "$TESTS_DIR/.." --exclude=./.git --exclude=./build --exclude=__pycache__ . | tar -xf - -C "$1"
}

make_here() { make -C "$SOURCE" BUILD="$BUILT" "$@"; }

# files_in DIR: the names of the files, in order.
files_in() { (cd "$1" && find . ! -type d) | sed 's,^\./,,' | LC_ALL=C sort; }

# modes_in DIR: the same, each after its mode.
modes_in() {
    local name
    files_in "$1" | while IFS= read -r name; do
        echo "$(mode_of "$1/$name") $name"
    done
}

# names_in TARBALL: its files, without the directory that all are in.
names_in() { tar -tzf "$1" | sed -n 's,^[^/]*/\(.*[^/]\)$,\1,p' | LC_ALL=C sort; }

# example_lines PREFIX: of each example, in order.
example_lines() { (cd "$TESTS_DIR/../man/examples" && printf "$1%s\n" *); }

INSTALLED='755 usr/bin/servetel-auth
644 usr/share/bash-completion/completions/servetel-auth
'"$(example_lines '644 usr/share/doc/servetel-auth/examples/')"'
644 usr/share/fish/vendor_completions.d/servetel-auth.fish
644 usr/share/man/man1/servetel-auth.1
644 usr/share/man/man7/servetel-auth-hosts.7
644 usr/share/zsh/site-functions/_servetel-auth'

# --------------------------------------------------------------------------------------------------- tarball

@test "the tarball holds the sources, the man page, the completions and the tests, and nothing that was built" {
    local names name
    names="$(names_in "$TARBALL")"
    for name in Makefile LICENSE src/main.c man/servetel-auth.1 completions/_servetel-auth tests/run; do
        grep -Fxq "$name" <<<"$names" || fail_with "not in the tarball: $name" "$names"
    done
    assert_no grep -E '(^|/)(build|__pycache__|\.git)/|\.(o|pyc|gcda)$' <<<"$names"
    assert_equal "$(basename "$SOURCE")" "$(basename "$TARBALL" .tar.gz)"
}

@test "the tarball builds without git, and says its version" {
    [ ! -e "$SOURCE/.git" ]
    capture "$BUILT/servetel-auth" --version
    assert_done
    assert_stdout "$(basename "$SOURCE" | sed 's/\(.*\)-/\1 /')"
    assert_stderr_empty
    assert_equal "$(grep -h '^\.Os' "$SOURCE"/man/*.[17] | sort -u)" ".Os $output" # and so do its pages
}

@test "the same sources give the same program wherever they are built, byte for byte" {
    local other="$BATS_TEST_TMPDIR/another, longer place"
    echo | cc -Werror -ffile-prefix-map=/a=/b -c -x c -o /dev/null - || skip 'the compiler knows no -ffile-prefix-map'
    cp -R "$SOURCE" "$other"
    make -C "$other" -j4 all
    cmp "$BUILT/servetel-auth" "$other/build/servetel-auth"
}

@test "the build warns of nothing and leaves nothing outside its directory" {
    assert_no grep -i warning "$BATS_FILE_TMPDIR/make.out"
    assert_equal "$(files_in "$SOURCE")" "$(names_in "$TARBALL")"
}

@test "the same sources give the same tarball, byte for byte" {
    cp "$TARBALL" "$BATS_TEST_TMPDIR/first.tar.gz"
    make -C "$BATS_FILE_TMPDIR/copy" dist
    cmp "$TARBALL" "$BATS_TEST_TMPDIR/first.tar.gz"
}

@test "a checkout with git gives a tarball with the same files" {
    local checkout="$BATS_TEST_TMPDIR/checkout" name
    command -v git >/dev/null || skip 'git is not installed'
    for name in $(compgen -e GIT_); do
        unset "$name"
    done
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
    cp -R "$SOURCE" "$checkout"
    git -C "$checkout" init -q
    git -C "$checkout" add -A
    git -C "$checkout" -c user.name=test -c user.email=test@example.test commit -q -m test
    make -C "$checkout" dist
    assert_equal "$(names_in "$checkout/build/$(basename "$TARBALL")")" "$(names_in "$TARBALL")"
    # And another checkout the same, byte for byte.
    git clone -q "$checkout" "$BATS_TEST_TMPDIR/clone"
    make -C "$BATS_TEST_TMPDIR/clone" dist
    cmp "$checkout/build/$(basename "$TARBALL")" "$BATS_TEST_TMPDIR/clone/build/$(basename "$TARBALL")"
    cmp "$checkout/build/SHA256SUMS" "$BATS_TEST_TMPDIR/clone/build/SHA256SUMS"
}

@test "SHA256SUMS beside the tarball is of it, and notices a changed byte" {
    command -v sha256sum >/dev/null || skip 'sha256sum is not installed'
    cp "$TARBALL" "$(dirname "$TARBALL")/SHA256SUMS" "$BATS_TEST_TMPDIR"
    cd "$BATS_TEST_TMPDIR"
    capture sha256sum -c SHA256SUMS
    assert_done
    assert_stdout "$(basename "$TARBALL"): OK"
    printf x >>"$(basename "$TARBALL")"
    assert_no sha256sum -c --status SHA256SUMS
}

# --------------------------------------------------------------------------------------------------- install

@test "install puts each file in its place, with its mode, whatever the umask" {
    umask 077
    make_here install DESTDIR="$ROOT" PREFIX=/usr
    assert_equal "$(modes_in "$ROOT")" "$INSTALLED"
    capture find "$ROOT/usr" -type d ! -perm 755
    assert_stdout_empty
}

@test "fish looks where the default install puts its completion, whatever a desktop says" {
    local dir
    command -v fish >/dev/null || skip 'fish is not installed'
    make_here install DESTDIR="$ROOT"
    dir="$(cd "$ROOT" && find . -name servetel-auth.fish)"
    dir="$(dirname "${dir#.}")"
    # shellcheck disable=SC2016 # fish's words
    capture env -u XDG_DATA_DIRS fish -c 'string join \n $fish_complete_path'
    assert_done
    grep -Fxq "$dir" <<<"$output" || fail_with_run "fish does not look into $dir"
    make_here uninstall DESTDIR="$ROOT"
    assert_equal "$(find "$ROOT" -mindepth 1)" ''
}

@test "what is installed is what was built, and runs" {
    make_here install DESTDIR="$ROOT" PREFIX=/usr
    cmp "$ROOT/usr/share/man/man1/servetel-auth.1" "$SOURCE/man/servetel-auth.1"
    cmp "$ROOT/usr/share/man/man7/servetel-auth-hosts.7" "$SOURCE/man/servetel-auth-hosts.7"
    cmp "$ROOT/usr/share/bash-completion/completions/servetel-auth" "$SOURCE/completions/servetel-auth.bash"
    cmp "$ROOT/usr/share/zsh/site-functions/_servetel-auth" "$SOURCE/completions/_servetel-auth"
    cmp "$ROOT/usr/share/fish/vendor_completions.d/servetel-auth.fish" "$SOURCE/completions/servetel-auth.fish"
    diff -r "$ROOT/usr/share/doc/servetel-auth/examples" "$SOURCE/man/examples"
    capture "$ROOT/usr/bin/servetel-auth" --help
    assert_done
    assert_stdout_has 'usage: servetel-auth COMMAND'
    capture "$ROOT/usr/bin/servetel-auth" status
    assert_failed 3
}

@test "install builds nothing that is built, and does not write into the sources" {
    touch "$BATS_TEST_TMPDIR/before"
    make_here install DESTDIR="$ROOT" PREFIX=/usr CFLAGS=-O0
    assert_equal "$(find "$BUILT" -newer "$BATS_TEST_TMPDIR/before")" ''
    assert_equal "$(files_in "$SOURCE")" "$(names_in "$TARBALL")"
}

@test "each place can be chosen" {
    local places=(PREFIX=/opt/s BINDIR=/b MANDIR=/m BASHCOMPDIR=/bash ZSHCOMPDIR=/zsh FISHCOMPDIR=/fish
        DOCDIR=/d)
    make_here install DESTDIR="$ROOT" "${places[@]}"
    assert_equal "$(files_in "$ROOT")" 'b/servetel-auth
bash/servetel-auth
'"$(example_lines d/examples/)"'
fish/servetel-auth.fish
m/man1/servetel-auth.1
m/man7/servetel-auth-hosts.7
zsh/_servetel-auth'
    make_here uninstall DESTDIR="$ROOT" "${places[@]}"
    assert_equal "$(find "$ROOT" -mindepth 1)" ''
}

@test "uninstall leaves nothing, not even directories" {
    make_here install DESTDIR="$ROOT" PREFIX=/usr
    make_here uninstall DESTDIR="$ROOT" PREFIX=/usr
    assert_equal "$(find "$ROOT" -mindepth 1)" ''
    # A second time it has nothing to do, and that is no error.
    make_here uninstall DESTDIR="$ROOT" PREFIX=/usr
}

@test "uninstall leaves what is not its own" {
    make_here install DESTDIR="$ROOT" PREFIX=/usr
    touch "$ROOT/usr/bin/another" "$ROOT/usr/share/man/man1/another.1" "$ROOT/usr/share/doc/servetel-auth/NEWS"
    make_here uninstall DESTDIR="$ROOT" PREFIX=/usr
    assert_equal "$(cd "$ROOT" && find . -type f | LC_ALL=C sort)" './usr/bin/another
./usr/share/doc/servetel-auth/NEWS
./usr/share/man/man1/another.1'
}

# -------------------------------------------------------------------------------------------------- hardening

# elf [READELF OPTION]...: what readelf says of the program; a test without it is skipped.
elf() { readelf -W "$@" "$BUILT/servetel-auth"; }

need_elf() {
    command -v readelf >/dev/null || skip 'readelf is not installed'
    readelf -h "$BUILT/servetel-auth" >/dev/null 2>&1 || skip 'programs are not ELF files here'
}

@test "the program is position-independent, with its tables read-only from the start" {
    need_elf
    capture elf -h
    assert_stdout_has 'DYN ('
    capture elf -l
    assert_stdout_has GNU_RELRO
    [[ "$output" =~ GNU_STACK[^$'\n']*\ RW\  ]] || fail_with_run 'the stack is executable'
    capture elf -d
    [[ "$output" =~ \(FLAGS_1\)[^$'\n']*PIE ]] || fail_with_run 'no PIE flag'
    [[ "$output" =~ \(FLAGS\)[^$'\n']*BIND_NOW || "$output" =~ \(FLAGS_1\)[^$'\n']*NOW ]] ||
        fail_with_run 'symbols are bound late'
}

@test "the program has a stack protector and checked library calls" {
    need_elf
    capture elf --dyn-syms
    assert_stdout_has ' __stack_chk_fail'
    [[ "$(elf -l)" != *ld-musl* ]] || skip 'musl has no checked calls'
    [[ "$output" =~ \ __[a-z]*printf_chk ]] || fail_with_run 'not compiled with _FORTIFY_SOURCE'
    [[ ! "$output" =~ \ (v?sn?printf|strcpy|strcat|gets)(@|$'\n') ]] || fail_with_run 'an unchecked call'
}

@test "the program is linked with libc and cJSON alone, and searches no directory of its own" {
    local needed
    need_elf
    needed="$(elf -d | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | LC_ALL=C sort)"
    # Before 2.34, glibc kept dlopen and threads in libraries of their own.
    needed="$(grep -Ev '^lib(dl|pthread)\.so' <<<"$needed" | tr '\n' ' ')"
    [[ "$needed" =~ ^libc\.[a-z0-9_.-]+\ libcjson\.so\.[0-9]+\ $ ]] || fail_with 'needed libraries' "$needed"
    capture elf -d
    [[ "$output" != *RPATH* && "$output" != *RUNPATH* ]] || fail_with_run 'it has a path of its own'
}
