#!/bin/sh
# SPDX-License-Identifier: MIT
# What the build and the tests need, how to see that it is there, and which package has it.
#
#     tests/deps.sh GROUP...         install what is missing; says and does nothing if nothing is
#     tests/deps.sh --tell GROUP...  only name what is missing; exit 1 if anything is
#
# Proof is a command, a <header> the compiler finds, an /absolute/file, `fuzzer` for clang's
# libFuzzer, or `tsan` for the thread sanitizer of the compiler. `-` stands for a package that the system does not need or does not have: then the
# thing is left out. Only what is missing to compile is an error afterwards: a tool that lacks
# elsewhere is reported by what wants it.

#groups              proof              apt                  dnf                apk               pacman          brew                what
table='
compile              cc                 gcc                  gcc                gcc               gcc             -                   C compiler
compile              <stdio.h>          libc6-dev            glibc-devel        musl-dev          glibc           -                   C library headers
compile              <curl/curl.h>      libcurl4-openssl-dev libcurl-devel      curl-dev          curl            curl                libcurl headers
compile              <cjson/cJSON.h>    libcjson-dev         cjson-devel        cjson-dev         cjson           cjson               cJSON headers
build                pkg-config         pkg-config           pkgconf-pkg-config pkgconf           pkgconf         pkgconf             pkg-config
build                /etc/ssl/certs/ca-certificates.crt ca-certificates - ca-certificates ca-certificates -             certificate authorities
check                bats               bats                 bats               bats              bats            bats-core           bats, runs the tests
check,demo,bench,lint python3           python3              python3            python3           python          python3             Python 3, the API on loopback
check,demo,bench     curl               curl                 curl               curl              curl            curl                curl, uses the token as scripts do
check,demo,bench     openssl            openssl              openssl            openssl           openssl         openssl             openssl, makes certificates
check,long,bench     jq                 jq                   jq                 jq                jq              jq                  jq, reads JSON output
check,long,bench     strace             strace               strace             strace            strace          -                   strace, counts and fails system calls
long                 etcd               etcd-server          etcd               -                 etcd            etcd                etcd, a store for many hosts
long                 etcdctl            etcd-client          etcd               -                 etcd            etcd                etcdctl, talks to it
long                 redis-server         redis-server         redis              redis             redis           redis               redis-server, another
long                 redis-cli            redis-tools          redis              redis             redis           redis               redis-cli, talks to it
long                 /usr/lib/postgresql  postgresql           postgresql-server  postgresql        postgresql      -                   PostgreSQL, another
long                 psql                 postgresql-client    postgresql         postgresql-client postgresql      -                   psql, talks to it
long                 setpriv              util-linux           util-linux         setpriv           util-linux      -                   setpriv, starts it as an ordinary user
long                 promtool             prometheus           -                  -                 prometheus      prometheus          promtool, reads the gauges
long                 prometheus-node-exporter prometheus-node-exporter - -                         -               -                   node_exporter, whose collector reads them
check                tmux               tmux                 tmux               tmux              tmux            tmux                tmux, a terminal to look at
check                ps                 procps               procps-ng          procps            procps-ng       -                   ps, sees argument lists
check                dash               dash                 dash               dash              dash            dash                dash, runs the examples
check                busybox            busybox              busybox            busybox           busybox         -                   busybox, runs the examples
check                http               httpie               httpie             httpie            httpie          httpie              HTTPie, a client with an example
check                wget               wget                 wget               wget              wget            wget                wget, a client with an example
check                /usr/lib/python3/dist-packages/requests python3-requests - - - -                             requests for Python, a client with an example
check                setsid             util-linux           util-linux         util-linux        util-linux      util-linux          setsid, takes the terminal away
check                zsh                zsh                  zsh                zsh               zsh             zsh                 zsh, runs its completions
check                fish               fish                 fish               fish              fish            fish                fish, runs its completions
check                /usr/share/bash-completion/bash_completion bash-completion bash-completion bash-completion bash-completion - bash-completion
check                crontab            cron                 cronie             cronie            cronie          -                   crontab, reads the crontab line
check                systemd-analyze    systemd              systemd            -                 systemd         -                   systemd-analyze, reads the units
check,lint           mandoc             mandoc               mandoc             mandoc            mandoc          mandoc              mandoc, reads the man page
check,lint           groff              groff-base           groff-base         groff             groff           groff               groff, reads the man page
lint                 gcc                gcc                  gcc                gcc               gcc             -                   gcc
lint,fuzz            clang              clang                clang              clang             clang           -                   clang
lint                 clang-format       clang-format         clang-tools-extra  clang-extra-tools clang           clang-format        clang-format
lint                 clang-tidy         clang-tidy           clang-tools-extra  clang-extra-tools clang           -                   clang-tidy
lint                 cppcheck           cppcheck             cppcheck           cppcheck          cppcheck        cppcheck            cppcheck
lint                 shellcheck         shellcheck           ShellCheck         shellcheck        shellcheck      shellcheck          shellcheck
lint                 reuse              reuse                reuse              reuse             reuse           reuse               reuse, reads the licences
fuzz                 fuzzer             libclang-rt-dev      compiler-rt        compiler-rt       compiler-rt     -                   libFuzzer
tsan                 tsan               gcc                  libtsan              -                  gcc             -                   thread sanitizer
coverage             gcovr              gcovr                gcovr              gcovr             gcovr           gcovr               gcovr
valgrind,bench       valgrind           valgrind             valgrind           valgrind          valgrind        -                   valgrind
bench                hyperfine          hyperfine            hyperfine          hyperfine         hyperfine       hyperfine           hyperfine
deb                  dpkg-shlibdeps      dpkg-dev             -                  -                 -               -                   dpkg-shlibdeps, finds what a package depends on
deb                  strip               binutils             binutils           binutils          binutils        -                   strip, for the package
check-deb            debootstrap         debootstrap          -                  -                 -               -                   debootstrap, makes a bare system
check-deb            lintian             lintian              -                  -                 -               -                   lintian, looks at the package
bench                nginx              nginx-light          nginx              nginx             nginx           nginx               nginx, real TLS in front
'

set -eu
PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin # where nginx and crond live is not on everyone's path

is_there()
{
    # shellcheck disable=SC2086 # the compiler may have arguments
    case $1 in
    cc) command -v ${CC:-cc} ;;
    fuzzer) ls "$(clang -print-resource-dir)"/lib/*/libclang_rt.fuzzer* ;;
    tsan) echo 'int main(void) { return 0; }' | ${CC:-cc} -fsanitize=thread -x c -o /dev/null - ;;
    '<'*)
        # shellcheck disable=SC2046,SC2086 # flags are words
        echo "#include $1" | ${CC:-cc} ${CPPFLAGS-} ${CFLAGS-} $(library_cflags "$1") -E - ;;
    /*) test -e "$1" ;;
    *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

library_cflags()
{
    case $1 in
    *curl*) ${PKG_CONFIG:-pkg-config} --cflags libcurl || curl-config --cflags ;;
    *cJSON*) ${PKG_CONFIG:-pkg-config} --cflags libcjson ;;
    esac
}

# Sets missing, a line "proof package what" for each.
find_missing()
{
    missing=
    while read -r groups proof apt dnf apk pacman brew what; do
        for group in $wanted; do
            case ,$groups, in
            *,"$group",*) ;;
            *) continue ;;
            esac
            case $manager in
            apt-get) package=$apt ;;
            dnf) package=$dnf ;;
            apk) package=$apk ;;
            pacman) package=$pacman ;;
            brew) package=$brew ;;
            *) package='?' ;;
            esac
            if [ "$package" != - ] && ! is_there "$proof"; then
                missing="$missing$proof $package $what
"
            fi
            break
        done
    done <<EOT
$table
EOT
}

# Nothing is asked: where sudo wants a password, a person is told what to paste.
can_install()
{
    case $manager in
    none) return 1 ;;
    brew) return 0 ;;
    esac
    [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null
}

as_root()
{
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# The packages given, without questions. What a package manager says is shown only if it fails.
install_packages()
{
    case $manager in
    apt-get)
        set -- as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 \
            -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 install --no-install-recommends "$@" ;;
    dnf) set -- as_root dnf -q -y --setopt=install_weak_deps=False install "$@" ;;
    apk) set -- as_root apk add -q "$@" ;;
    pacman) set -- as_root pacman -Sy --needed --noconfirm "$@" ;;
    brew) set -- brew install -q "$@" ;;
    esac
    said=$("$@" 2>&1 </dev/null) || {
        printf '%s\n' "$said" | tail -n 20 >&2
        return 1
    }
}

# As a person would type it.
install_command()
{
    case $manager in
    apt-get) set -- apt-get install -y --no-install-recommends "$@" ;;
    dnf) set -- dnf install -y "$@" ;;
    apk) set -- apk add "$@" ;;
    pacman) set -- pacman -S --needed "$@" ;;
    brew) set -- brew install "$@" ;;
    esac
    if [ "$manager" = brew ] || [ "$(id -u)" -eq 0 ]; then
        echo "$*"
    elif command -v sudo >/dev/null; then
        echo "sudo $*"
    else
        echo "su -c '$*'"
    fi
}

# What is missing and what it is for; its packages are in $packages.
name_missing()
{
    packages=$(echo "$missing" | awk 'NF && !seen[$2]++ { print $2 }')
    while read -r proof package what; do
        [ -z "$proof" ] || echo "  $what"
    done <<EOT
$missing
EOT
}

# shellcheck disable=SC2086 # a list of words
tell()
{
    echo "missing on this machine, for: $wanted"
    name_missing
    if [ "$manager" != none ]; then
        echo "This installs it:"
        install_command $packages
    fi
} >&2

only_tell=false
if [ "${1-}" = --tell ]; then
    only_tell=true
    shift
fi
wanted=$*

manager=none
for candidate in apt-get dnf apk pacman brew; do
    if command -v $candidate >/dev/null; then
        manager=$candidate
        break
    fi
done

find_missing
[ -n "$missing" ] || exit 0
if $only_tell; then
    tell
    exit 1
fi

if can_install; then
    echo "installing what is missing on this machine, for: $wanted" >&2
    name_missing >&2
    # shellcheck disable=SC2086 # a list of words
    set -- $packages
    install_command "$@" >&2
    case $manager in
    apt-get) as_root apt-get -qq update || echo "apt-get update failed, going on" ;;
    apk) as_root apk update -q || echo "apk update failed, going on" ;;
    esac >&2 </dev/null
    # One package that this system lacks must not keep the others away.
    install_packages "$@" || for package; do
        install_packages "$package" || echo "cannot install $package" >&2
    done
else
    tell
fi

wanted=compile
find_missing
[ -z "$missing" ] || { tell; exit 1; }
