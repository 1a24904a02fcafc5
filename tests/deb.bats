#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The Debian package that `make deb` makes: what is in it, and that it is installed, used and purged in a bare system.
# Only `make check-deb` runs these: it has made the package, and the bare system comes from the mirror that apt uses.

load helper

setup_file() {
    [ -z "${TEST_DEB:-}" ] || server_start
    export BARE="$BATS_FILE_TMPDIR/bare"
}

teardown_file() { [ -z "${SERVER_PID:-}" ] || server_stop; }

setup() {
    [ -n "${TEST_DEB:-}" ] || skip 'make check-deb runs these'
    test_setup
}

teardown() { test_teardown; }

field() { dpkg-deb -f "$TEST_DEB" "$1"; }

# bare COMMAND...: in the bare system, in an environment as a login gives it; the service is on the same loopback.
bare() {
    chroot "$BARE" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
        SERVETEL_API_URL="$API" "$@"
}

# needs_bare: makes the bare system, once for all tests.
needs_bare() {
    local place
    [ "$(id -u)" = 0 ] || skip 'only root can make a bare system'
    [ ! -e "$BARE.log" ] || { [ -e "$BARE/etc/debian_version" ] && return; }
    # shellcheck disable=SC2016 # apt-get's own
    read -r -a place < <(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages')
    debootstrap --variant=minbase "${place[0]}" "$BARE" "${place[1]}" >"$BARE.log" 2>&1 ||
        fail_with 'no bare system' "$(tail -n 5 "$BARE.log")"
}

@test "the package depends on what the program opens and is linked with, and lintian has nothing to say" {
    assert_equal "$(field Package) $(field Version)" "$(servetel-auth version)"
    assert_equal "$(field Architecture)" "$(dpkg --print-architecture)"
    [[ "$(field Depends)" =~ ^libc6\ \(\>=\ [0-9.]+\),\ libcjson1\ \(\>=\ [0-9.]+\),\ libcurl4\ \(\>=\ 7\.85\)$ ]] ||
        fail_with 'Depends' "$(field Depends)"
    # A true address is for whoever publishes it.
    capture lintian --allow-root --fail-on error,warning --suppress-tags \
        bogus-mail-host,bogus-mail-host-in-debian-changelog "$TEST_DEB"
    assert_done
    assert_stdout_empty
}

@test "the package holds the program, man page, completions and licence, root's and readable, and their sums" {
    capture dpkg-deb -c "$TEST_DEB"
    assert_done
    [ "$(awk '{ print $2 }' <<<"$output" | sort -u)" = root/root ] || fail_with_run 'whose are they?'
    [ "$(awk '{ print $1 }' <<<"$output" | sort -u | tr '\n' ' ')" = '-rw-r--r-- -rwxr-xr-x drwxr-xr-x ' ] ||
        fail_with_run 'modes'
    for name in usr/bin/servetel-auth usr/share/man/man1/servetel-auth.1.gz \
        usr/share/man/man7/servetel-auth-hosts.7.gz \
        usr/share/doc/servetel-auth/{copyright,changelog.gz} \
        usr/share/bash-completion/completions/servetel-auth usr/share/zsh/vendor-completions/_servetel-auth \
        usr/share/fish/vendor_completions.d/servetel-auth.fish; do
        [[ "$output" == *" ./$name"* ]] || fail_with_run "not in it: $name"
    done
    mkdir unpacked
    dpkg-deb -R "$TEST_DEB" unpacked
    (cd unpacked && find usr -type f -exec md5sum {} + | sort) >sums
    sort unpacked/DEBIAN/md5sums | cmp - sums
    gzip -dc unpacked/usr/share/man/man1/servetel-auth.1.gz | cmp - "$TESTS_DIR/../man/servetel-auth.1"
    grep -q '^License: Expat' unpacked/usr/share/doc/servetel-auth/copyright
    grep -q 'THE SOFTWARE IS PROVIDED' unpacked/usr/share/doc/servetel-auth/copyright
}

@test "the same sources give the same package, byte for byte, wherever, whenever and by whomever" {
    local copy
    for copy in one 'the other one'; do
        mkdir "$copy"
        tar -cf - -C "$TESTS_DIR/.." --exclude=./.git --exclude=./build --exclude=__pycache__ . | tar -xf - -C "$copy"
    done
    (umask 077 && SOURCE_DATE_EPOCH=1700000000 make -C one deb >made 2>&1) || fail_with 'make deb' "$(cat made)"
    (TZ=Asia/Kolkata SOURCE_DATE_EPOCH=1700000000 make -C 'the other one' deb >made 2>&1) ||
        fail_with 'make deb' "$(cat made)"
    cmp one/build/*.deb 'the other one'/build/*.deb
    [[ "$(dpkg-deb -c one/build/*.deb | awk '{ print $4 }' | sort -u)" == 2023-11-14 ]]
}

@test "in a bare system apt-get installs the package with its libraries, it does its job, and purges it" {
    needs_bare
    cp "$TEST_DEB" "$BARE/servetel-auth.deb"
    bare apt-get -qq update >"$BARE.log" 2>&1
    bare apt-get -qq install -y --no-install-recommends /servetel-auth.deb >"$BARE.log" 2>&1 ||
        fail_with 'not installed' "$(tail "$BARE.log")"
    capture bare dpkg -V servetel-auth
    assert_done
    assert_stdout_empty
    capture bare servetel-auth version
    assert_done
    capture bare servetel-auth login -e "$EMAIL" --password-stdin <<<"$PW"
    assert_done
    assert_stderr_has "logged in to 127.0.0.1:$API_PORT"
    capture bare servetel-auth show
    assert_done
    token_works "$output"
    capture bare servetel-auth refresh --print
    assert_done
    token_works "$output"
    capture bare servetel-auth schedule cron
    assert_stdout_has ' /usr/bin/servetel-auth refresh '
    bare dpkg --purge servetel-auth >"$BARE.log" 2>&1
    # What is left is the user's own.
    capture find "$BARE" -xdev -iname '*servetel*' ! -path "$BARE/root/.servetel-auth*" ! -name servetel-auth.deb
    assert_stdout_empty
    capture bare dpkg -s servetel-auth
    [ "$status" != 0 ]
}
