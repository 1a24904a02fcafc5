# SPDX-License-Identifier: MIT
# servetel-auth: GNU make 3.81 or later (`gmake` on the BSDs). `make help` lists the targets.

VERSION = 1.0.0

OS := $(shell uname -s)

# ---- The user's own; anything given here or in the environment comes after the project's flags --

CFLAGS ?= -O2 -g
CPPFLAGS ?=
LDFLAGS ?=
LDLIBS ?=
PKG_CONFIG ?= pkg-config
WERROR ?=# 1: warnings are errors
V ?=# 1: show the commands

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
BASHCOMPDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHCOMPDIR ?= $(PREFIX)/share/zsh/site-functions
# A distribution's fish does not look below /usr/local, but always into its own /etc.
ifeq ($(OS)$(PREFIX)$(wildcard $(PREFIX)/bin/fish),Linux/usr/local)
FISHCOMPDIR ?= /etc/fish/completions
endif
FISHCOMPDIR ?= $(PREFIX)/share/fish/vendor_completions.d
DOCDIR ?= $(PREFIX)/share/doc/servetel-auth

TESTS ?=# for check and its kin: only these files, e.g. TESTS=tests/login.bats
# What takes minutes, and the tests of the tests' own service.
LONG_TESTS = $(wildcard $(patsubst %,tests/%.bats,api_server concurrency exec exec_keep_fresh \
  etcd_hosts exec_signals faults halfyear hostile many_hosts postgresql_hosts redis_hosts secrets \
  status_exporter))
# Where threads run beside each other, are signalled and joined; and what each of them goes through.
TSAN_TESTS = tests/all.bats tests/limits.bats tests/account_guard.bats tests/unit/renew_test.c \
  tests/unit/workers_test.c
FUZZ_SECONDS ?= 10# for each fuzzer
FAULTS_EVERY ?= 1# one in so many of some 7,000
N = 40# mutants
SEED =# of the choice of mutants; without one, another each time
COVERAGE_MIN ?= 97# per cent of the lines; fewer fail

# ---- Files --------------------------------------------------------------------------------------

# The sanitizers, coverage and lint build the same things elsewhere, with other flags.
BUILD = build
SAN =

PROG = $(BUILD)/servetel-auth
OBJ = $(patsubst src/%.c,$(BUILD)/obj/%.o,$(wildcard src/*.c src/*/*.c))
LIB_OBJ = $(filter-out $(BUILD)/obj/main.o,$(OBJ))
UNITS = $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/*_test.c))
FUZZERS = $(patsubst tests/fuzz/%.c,$(BUILD)/%,$(wildcard tests/fuzz/*_fuzz.c))

# ---- What this machine has ----------------------------------------------------------------------

# Asked once, and only when a recipe needs it: `make help` and `make install` ask nothing.
# The command may not contain a comma.
once = $(eval $1 := $(shell $2))$($1)

CURL_CFLAGS = $(call once,CURL_CFLAGS,\
  $(PKG_CONFIG) --cflags libcurl 2>/dev/null || curl-config --cflags 2>/dev/null)
CJSON_CFLAGS = $(call once,CJSON_CFLAGS,$(PKG_CONFIG) --cflags libcjson 2>/dev/null)
CJSON_LIBS = $(call once,CJSON_LIBS,$(PKG_CONFIG) --libs libcjson 2>/dev/null || echo -lcjson)

# libcurl is opened at the first request, not linked: a run that needs no network must not wait for
# the loader to map its thirty libraries. The name to open is what linking would have recorded.
ifeq ($(OS),Darwin)
LIBCURL_SONAME = libcurl.4.dylib
else
LIBCURL_SONAME = $(or $(call once,CURL_SONAME,\
  lib=`$(PKG_CONFIG) --variable=libdir libcurl 2>/dev/null`/libcurl.so; \
  test -e $$lib || lib=`$(CC) -print-file-name=libcurl.so 2>/dev/null`; \
  { readelf -d $$lib || objdump -p $$lib; } 2>/dev/null | \
  sed -n -e 's/.*SONAME.*\[\(.*\)\].*/\1/p' -e 's/^ *SONAME  *//p'),libcurl.so.4)
endif

# Not every compiler and system knows these. The second for its marks where jumps may land, which
# cost nothing where the processor does not look at them.
TRIED_CFLAGS = $(call once,TRIED_CFLAGS,for flag in -fstack-clash-protection -fcf-protection; do \
  $(CC) -Werror $$flag -c -x c -o /dev/null /dev/null 2>/dev/null && echo $$flag; done)

# The same program wherever it is built. Where lines are counted, the counter must find the sources.
ifeq ($(findstring --coverage,$(CFLAGS)),)
MAP_CFLAGS = $(if $(call once,KNOWS_MAP,\
  $(CC) -Werror -ffile-prefix-map=/a=/b -c -x c -o /dev/null /dev/null 2>/dev/null && echo yes),\
  '-ffile-prefix-map=$(subst ','\'',$(CURDIR))=.')
endif

# ---- The project's flags ------------------------------------------------------------------------

# What a row of a table leaves out is zero.
WARNINGS = -Wall -Wextra -Wno-missing-field-initializers -Wshadow -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes \
  -Wold-style-definition -Wundef -Wvla -Wwrite-strings -Wpointer-arith -Wcast-qual \
  -Wimplicit-fallthrough $(if $(filter 1,$(WERROR)),-Werror)

# Without optimisation FORTIFY only warns, sanitizers do its work better, and whoever sets a level
# of their own gets that one.
ifeq ($(SAN)$(findstring -fsanitize,$(CFLAGS))$(findstring _FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS)),)
FORTIFY = $(if $(filter-out -O0,$(filter -O%,$(CFLAGS))),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif
HARDEN_CFLAGS = -fPIE -fstack-protector-strong $(TRIED_CFLAGS)
ifneq ($(OS),Darwin)
HARDEN_LDFLAGS = -pie -Wl,-z,relro,-z,now
AS_NEEDED = -Wl,--as-needed
endif
ifeq ($(OS),Linux)
DL_LIBS = -ldl
# libc first: the loader looks for each symbol in the order of this list, and nearly all are libc's.
# Two hundredths of all that `show` executes.
LIBC_FIRST = -lc
endif

SAN_FLAGS = $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)

# 64-bit file sizes and times on 32-bit systems too: tokens can expire after 2038. Other people's
# headers are system headers, lest they warn.
DEFINES = -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 \
  -DVERSION='"$(VERSION)"' -DLIBCURL_SONAME='"$(LIBCURL_SONAME)"'
INCLUDES = -Isrc $(patsubst -I%,-isystem %,$(CURL_CFLAGS) $(CJSON_CFLAGS))

ALL_CFLAGS = -std=gnu11 -pthread $(DEFINES) $(INCLUDES) $(WARNINGS) $(HARDEN_CFLAGS) $(FORTIFY) \
  $(MAP_CFLAGS) $(SAN_FLAGS) $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pthread $(HARDEN_LDFLAGS) $(AS_NEEDED) $(SAN_FLAGS) $(CFLAGS) $(LDFLAGS)
ALL_LIBS = $(LIBC_FIRST) $(CJSON_LIBS) $(DL_LIBS) $(LDLIBS)

# ---- Building -----------------------------------------------------------------------------------

Q = $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@echo '  $1')
DEPS = CC='$(CC)' PKG_CONFIG='$(PKG_CONFIG)' tests/deps.sh

MAKEFLAGS += --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: all objects units fuzzers FORCE deps demo check check-long faults check-asan \
  check-tsan check-valgrind lint coverage mutants fuzz bench install uninstall dist deb check-deb clean help

all: $(PROG) ## build build/servetel-auth (the default)
objects: $(OBJ)
	@:
units: $(UNITS)
	@:
fuzzers: $(FUZZERS)
	@:

$(PROG): $(OBJ)
	$(call say,LINK $@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(OBJ) $(ALL_LIBS)

$(BUILD)/obj/%.o: src/%.c $(BUILD)/flags
	$(call say,CC $<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/unit/%: tests/unit/%.c $(LIB_OBJ) $(BUILD)/flags
	$(call say,CC $<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d -MT $@ $(ALL_LDFLAGS) -o $@ $< $(LIB_OBJ) $(ALL_LIBS)

$(BUILD)/%_fuzz: tests/fuzz/%_fuzz.c $(LIB_OBJ) $(BUILD)/flags
	$(call say,CC $<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d -MT $@ $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $< \
	  $(LIB_OBJ) $(ALL_LIBS)

# Changes when the flags do, so that what was built with others is built again. Before anything is
# compiled, what is missing is named, and not by the compiler.
$(BUILD)/flags: FORCE
	@mkdir -p $(BUILD)/obj $(BUILD)/unit
	@test -e $@ || $(DEPS) --tell compile
	@printf '%s\n' '$(subst ','\'',$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(ALL_LIBS))' >$@.new
	@if cmp -s $@.new $@; then rm -f $@.new; else mv $@.new $@; fi

-include $(OBJ:.o=.d) $(UNITS:=.d) $(FUZZERS:=.d)

deps: ## install what the build needs and this machine lacks
	@$(DEPS) compile build

# ---- Running and testing ------------------------------------------------------------------------
# Each of these first installs what it lacks, and does not ask the package manager if that is
# nothing. The rest is done by another make, which sees what is there by then.

demo: ## the main job, on an API on this machine's loopback
	@$(DEPS) compile build demo
	@$(MAKE) all
	@SERVETEL_AUTH_BIN_DIR='$(abspath $(BUILD))' tests/demo.sh

PARALLEL = -j$(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)

check: ## run the tests
	@$(DEPS) compile build check
	@$(MAKE) $(PARALLEL) all units
	@tests/run --bin-dir $(BUILD) $(or $(TESTS),\
	  $(filter-out $(LONG_TESTS),$(wildcard tests/unit/*_test.c tests/*.bats)))

check-long: ## run those that take minutes: faults, bad answers, concurrency, half a year, stores for many hosts
	@$(DEPS) compile build check long
	@$(MAKE) $(PARALLEL) all units
	@tests/run --bin-dir $(BUILD) $(or $(TESTS),$(LONG_TESTS))

faults: ## kill, interrupt, fail or starve the program at each system call and allocation, or at one in FAULTS_EVERY
	@$(DEPS) compile build long
	@$(MAKE) all
	@tests/faults.py --all --every $(FAULTS_EVERY) '$(abspath $(PROG))'

check-asan: ## all of them with the address and undefined-behaviour sanitizers
	@$(DEPS) compile build check long
	@$(MAKE) BUILD=build/asan SAN=address,undefined all units
	@ASAN_OPTIONS=exitcode=99:disable_coredump=0 LSAN_OPTIONS=exitcode=99 \
	  UBSAN_OPTIONS=exitcode=99:print_stacktrace=1 TEST_SLOW=1 tests/run --bin-dir build/asan $(TESTS)

# Ignored is only what libraries do by themselves: OpenSSL counts its references by atomics, which the
# sanitizer sees in code that it compiled alone. Older ones do not know the addresses that newer
# kernels choose at random; where the kernel may be asked not to, it is.
check-tsan: ## the renewals of --all, their signals and progress, with the thread sanitizer
	@$(DEPS) compile build check tsan
	@$(MAKE) $(PARALLEL) BUILD=build/tsan SAN=thread all units
	@TSAN_OPTIONS=exitcode=99:halt_on_error=1:ignore_noninstrumented_modules=1 \
	  $$(setarch -R true 2>/dev/null && echo setarch -R) tests/run --bin-dir build/tsan \
	  $(or $(TESTS),$(TSAN_TESTS))

# "Possibly lost" is what is reached from its middle only, as all of mem.c's blocks are.
VALGRIND = valgrind -q --error-exitcode=99 --trace-children=no --vgdb=no --leak-check=full \
  --errors-for-leak-kinds=definite,indirect --show-leak-kinds=definite,indirect \
  $(addprefix --suppressions=$(CURDIR)/,$(wildcard tests/valgrind.supp))

check-valgrind: ## the same under valgrind's memcheck
	@$(DEPS) compile build check long valgrind
	@$(MAKE) all units
	@SERVETEL_AUTH_WRAP='$(VALGRIND)' TEST_SLOW=1 tests/run --bin-dir $(BUILD) $(TESTS)

# Some counts come out as -1, as those of a process that is killed do.
coverage: ## the same, then the share of lines that ran
	@$(DEPS) compile build check long coverage
	@$(MAKE) BUILD=build/coverage CFLAGS='-O0 -g --coverage -fprofile-update=atomic -DCOVERAGE' \
	  LDLIBS='tests/unit/coverage.c -Wl,--wrap=kill,--wrap=_exit' all units
	@find build/coverage -name '*.gcda' -exec rm -f {} +
	@status=0; TEST_SLOW=1 tests/run --bin-dir build/coverage $(TESTS) || status=1; \
	gcovr --root . --filter src/ --gcov-ignore-parse-errors --print-summary \
	  $(addprefix --fail-under-line ,$(COVERAGE_MIN)) build/coverage/obj || status=1; \
	exit $$status

# It builds for itself, as each mutant is built.
mutants: ## N small changes of src, one at a time: which do the tests not notice?
	@$(DEPS) compile build check
	@tests/mutants -n $(N) $(addprefix --seed ,$(SEED))

FUZZ_LIMIT = $(if $(filter 0,$(FUZZ_SECONDS)),-runs=0,-max_total_time=$(FUZZ_SECONDS))

# In a copy of the corpus: what a fuzzer finds stays in build/ until somebody chooses to keep it.
fuzz: ## run each fuzzer for FUZZ_SECONDS
	@$(DEPS) compile build fuzz
	@$(MAKE) BUILD=build/fuzz CC=clang SAN=fuzzer-no-link,address,undefined fuzzers
	@set -e; for source in $(wildcard tests/fuzz/*_fuzz.c); do \
	  name=`basename $$source _fuzz.c`; corpus=build/fuzz/corpus/$$name; log=build/fuzz/$$name.log; \
	  rm -rf $$corpus; mkdir -p $$corpus; \
	  if [ -d tests/fuzz/corpus/$$name ]; then cp tests/fuzz/corpus/$$name/* $$corpus; fi; \
	  build/fuzz/$${name}_fuzz $(FUZZ_LIMIT) -timeout=10 -print_final_stats=1 \
	    -artifact_prefix=build/fuzz/$$name- $$corpus >$$log 2>&1 </dev/null || \
	    { tail -n 100 $$log; echo "fuzz: $$name failed, see $$log"; exit 1; }; \
	  sed -n "s/^stat::number_of_executed_units: */fuzz: $$name: inputs tried: /p" $$log; \
	done

bench: ## measure against the time and size limits
	@$(DEPS) compile build bench
	@$(MAKE) all
	@SERVETEL_AUTH_BIN_DIR='$(abspath $(BUILD))' tests/bench/run

# ---- Lint ---------------------------------------------------------------------------------------

# Not here: sizes of pointers in arrays of them, the order of members (tables are read by people),
# checks of style that clang-format or habit decides, one that wants Annex K, and what 24 * 3600,
# SIG_IGN and a declaration of environ set off. One file at a time: clang-tidy 14 forgets va_start in
# the second. gcc's analyzer takes a block for lost when only what follows its header is kept; leaks
# are the sanitizer's and valgrind's to find.
TIDY_CHECKS = -*, bugprone-*, -bugprone-easily-swappable-parameters, \
  -bugprone-implicit-widening-of-multiplication-result, -bugprone-sizeof-expression, clang-analyzer-*, \
  -clang-analyzer-optin.performance.Padding, \
  -clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling, misc-redundant-expression, \
  misc-unused-parameters, performance-*, -performance-no-int-to-ptr, portability-*, \
  readability-inconsistent-declaration-parameter-name, readability-redundant-*, \
  -readability-redundant-declaration
ANALYZER_CFLAGS = -O2 -fanalyzer -Wno-analyzer-malloc-leak

LINT_C = $(wildcard src/*.[ch] src/*/*.[ch] tests/unit/*.[ch] tests/fuzz/*.[ch] tests/bench/*.c)
LINT_SH = $(wildcard tests/run tests/*.sh tests/*.bash tests/*.bats tests/bench/run tests/bench/*.sh .ci/run \
  completions/servetel-auth.bash man/examples/*.sh)
LINT_MAN = $(wildcard man/*.[17])
LINT_SPDX = $(LINT_C) $(LINT_SH) $(LINT_MAN) $(wildcard tests/*.py tests/*/*.py tests/mutants \
  completions/* Makefile man/examples/*.py tests/bench/nginx.conf.in)

# reuse looks for the text of a licence in LICENSES/ alone: in a copy, LICENSE stands there too. The
# tests' inputs and the dotfiles have their licence from .reuse/dep5.
REUSE_LINT = if command -v reuse >/dev/null; then \
  rm -rf build/lint/reuse && mkdir -p build/lint/reuse/LICENSES && \
  tar -cf - --exclude=__pycache__ $(DIST) | tar -xf - -C build/lint/reuse && \
  cp LICENSE build/lint/reuse/LICENSES/MIT.txt && \
  { (cd build/lint/reuse && reuse --root . lint) >build/lint/reuse.out 2>&1 || \
    { cat build/lint/reuse.out; exit 1; }; }; \
else echo 'lint: no reuse here: licences are not checked'; fi

lint: ## the house's order, formatting, static analysis, warnings of gcc and clang, shell, man page
	@$(DEPS) compile build lint
	@tests/house.py
	@! grep -L 'SPDX-License-Identifier: MIT' $(LINT_SPDX) | grep .
	@$(REUSE_LINT)
	@clang-format --dry-run -Werror $(LINT_C)
	@$(MAKE) -s V=1 WERROR=1 BUILD=build/lint/gcc CC=gcc all units
	@$(MAKE) -s V=1 WERROR=1 BUILD=build/lint/clang CC=clang all units
	@$(MAKE) -s V=1 WERROR=1 BUILD=build/lint/analyzer CC=gcc CFLAGS='$(ANALYZER_CFLAGS)' objects
	@status=0; for file in $(filter %.c,$(LINT_C)); do \
	  clang-tidy --quiet --header-filter='(src|unit)/' --checks='$(TIDY_CHECKS)' \
	    --warnings-as-errors='*' $$file -- -std=gnu11 $(DEFINES) $(INCLUDES) -Itests/unit \
	    2>build/lint/tidy.err || { cat build/lint/tidy.err; status=1; }; \
	done; exit $$status
	@cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --std=c11 \
	  --inline-suppr --suppress=missingIncludeSystem --suppress=preprocessorErrorDirective \
	  -D__GNUC__ $(DEFINES) -Isrc -Itests/unit $(filter %.c,$(LINT_C))
	@shellcheck -x -P SCRIPTDIR $(LINT_SH)
	@$(if $(LINT_MAN),mandoc -Tlint -W warning $(LINT_MAN))
	@$(if $(LINT_MAN),! groff -ww -mandoc -Tutf8 $(LINT_MAN) 2>&1 >/dev/null | grep .)
	@echo 'lint: clean'

# ---- Installing ---------------------------------------------------------------------------------

EXAMPLES = $(wildcard man/examples/*)

# Builds only if nothing is built: packagers install as another user, with other flags around.
install: ## install under DESTDIR and PREFIX
	@test -x $(PROG) || $(MAKE) all
	install -d "$(DESTDIR)$(BINDIR)" "$(DESTDIR)$(MANDIR)/man1" "$(DESTDIR)$(MANDIR)/man7" \
	  "$(DESTDIR)$(BASHCOMPDIR)" "$(DESTDIR)$(ZSHCOMPDIR)" "$(DESTDIR)$(FISHCOMPDIR)" \
	  "$(DESTDIR)$(DOCDIR)/examples"
	install -m 755 $(PROG) "$(DESTDIR)$(BINDIR)/servetel-auth"
	install -m 644 man/servetel-auth.1 "$(DESTDIR)$(MANDIR)/man1/servetel-auth.1"
	install -m 644 man/servetel-auth-hosts.7 "$(DESTDIR)$(MANDIR)/man7/servetel-auth-hosts.7"
	install -m 644 completions/servetel-auth.bash "$(DESTDIR)$(BASHCOMPDIR)/servetel-auth"
	install -m 644 completions/_servetel-auth "$(DESTDIR)$(ZSHCOMPDIR)/_servetel-auth"
	install -m 644 completions/servetel-auth.fish "$(DESTDIR)$(FISHCOMPDIR)/servetel-auth.fish"
	install -m 644 $(EXAMPLES) "$(DESTDIR)$(DOCDIR)/examples"

# Then the directories that install may have made, if nothing else is in them; but not those that
# a system has anyway.
uninstall: ## remove what install installed
	rm -f "$(DESTDIR)$(BINDIR)/servetel-auth" "$(DESTDIR)$(MANDIR)/man1/servetel-auth.1" \
	  "$(DESTDIR)$(MANDIR)/man7/servetel-auth-hosts.7" "$(DESTDIR)$(BASHCOMPDIR)/servetel-auth" \
	  "$(DESTDIR)$(ZSHCOMPDIR)/_servetel-auth" "$(DESTDIR)$(FISHCOMPDIR)/servetel-auth.fish"
	cd "$(DESTDIR)$(DOCDIR)/examples" 2>/dev/null || exit 0; rm -f $(notdir $(EXAMPLES))
	@for dir in "$(BINDIR)" "$(MANDIR)/man1" "$(MANDIR)/man7" "$(BASHCOMPDIR)" "$(ZSHCOMPDIR)" "$(FISHCOMPDIR)" \
	  "$(DOCDIR)/examples"; do \
	  while [ "$$dir" != / ] && [ "$$dir" != . ]; do \
	    case "$(DESTDIR)$$dir" in \
	    /usr | /usr/bin | /usr/share | /usr/share/man | /usr/share/man/man[17] | /usr/share/doc) break ;; \
	    /usr/local | /usr/local/bin | /usr/local/share | /usr/local/share/man) break ;; \
	    /usr/local/share/zsh | /usr/local/share/zsh/site-functions) break ;; \
	    /etc/fish*) if command -v fish >/dev/null; then break; fi ;; \
	    esac; \
	    rmdir "$(DESTDIR)$$dir" 2>/dev/null || break; \
	    dir=`dirname "$$dir"`; \
	  done; \
	done

NAME = servetel-auth-$(VERSION)
DIST = $(wildcard src man tests completions Makefile README.md LICENSE .ci .clang-format \
  .editorconfig .gitignore .reuse)

# The same input gives the same bytes: no names, no time but the commit's, or the Makefile's.
dist: ## build/servetel-auth-VERSION.tar.gz and its SHA256SUMS
	@mkdir -p build
	@if [ -e .git ] && git rev-parse -q --verify HEAD >/dev/null 2>&1; then \
	  git archive --format=tar --prefix=$(NAME)/ HEAD; \
	else \
	  tar -cf - --sort=name --owner=0 --group=0 --numeric-owner --mode=u+rw,go+r,go-w \
	    --mtime=./Makefile --exclude=__pycache__ --transform='s,^,$(NAME)/,' $(DIST); \
	fi >build/$(NAME).tar
	@gzip -9nf build/$(NAME).tar
	@cd build && { sha256sum $(NAME).tar.gz 2>/dev/null || shasum -a 256 $(NAME).tar.gz; } >SHA256SUMS
	@echo build/$(NAME).tar.gz build/SHA256SUMS

# ---- A package for Debian -----------------------------------------------------------------------

DEB_ARCH = $(call once,DEB_ARCHITECTURE,dpkg --print-architecture)
DEB = $(BUILD)/servetel-auth_$(VERSION)_$(DEB_ARCH).deb
DEB_ROOT = $(BUILD)/deb/root
DEB_DOC = $(DEB_ROOT)/usr/share/doc/servetel-auth
DEB_MAINTAINER ?= the servetel-auth authors <servetel-auth@localhost>
# dpkg-shlibdeps finds what the program is linked with, but not what it opens: libcurl, from the
# version on that the program is built against. Other distributions' names for it provide this one.
DEB_OPENED = libcurl4 (>= 7.87)
define DEB_CONTROL
Package: servetel-auth
Version: $(VERSION)
Architecture: $(DEB_ARCH)
Maintainer: $(DEB_MAINTAINER)
Section: utils
Priority: optional
Recommends: ca-certificates
Description: obtain, renew and hand out tokens for Servetel's API
 Logs in to Servetel's cloud telephony API, keeps the token that it gives in a
 file that only its owner can read, renews it in time, and hands it to shells,
 scripts and cron, without ever showing the password or losing a token.
endef
define DEB_COPYRIGHT
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2026 the servetel-auth authors
License: Expat
endef
define DEB_CHANGELOG
servetel-auth ($(VERSION)) unstable; urgency=low

  * As its README tells.

endef
export DEB_CONTROL DEB_COPYRIGHT DEB_CHANGELOG

# The commit's time, or, in what `dist` packed, its Makefile's: the same input gives the same bytes.
deb: ## build/servetel-auth_VERSION_ARCHITECTURE.deb
	@$(DEPS) compile build deb
	@$(MAKE) all
	@umask 022; rm -rf $(BUILD)/deb && mkdir -p $(DEB_ROOT)/DEBIAN $(BUILD)/deb/debian
	@$(MAKE) -s install DESTDIR=$(DEB_ROOT) PREFIX=/usr \
	  ZSHCOMPDIR=/usr/share/zsh/vendor-completions
	@strip --strip-unneeded --remove-section=.comment --remove-section=.note \
	  $(DEB_ROOT)/usr/bin/servetel-auth
	@set -e; umask 022; \
	epoch=$${SOURCE_DATE_EPOCH:-`git log -1 --format=%ct 2>/dev/null || stat -c %Y Makefile`}; \
	export SOURCE_DATE_EPOCH=$$epoch; \
	find $(DEB_ROOT)/usr/share/man -type f -exec gzip -9n {} +; \
	{ printf '%s\n' "$$DEB_CHANGELOG"; \
	  echo " -- $(DEB_MAINTAINER)  `LC_ALL=C date -u -R -d @$$epoch`"; } | \
	  gzip -9n >$(DEB_DOC)/changelog.gz; \
	{ printf '%s\n' "$$DEB_COPYRIGHT"; sed -e '1,4d' -e 's/^$$/./' -e 's/^/ /' LICENSE; } \
	  >$(DEB_DOC)/copyright; \
	printf 'Source: servetel-auth\n\nPackage: servetel-auth\nArchitecture: any\n' >$(BUILD)/deb/debian/control; \
	linked=`cd $(BUILD)/deb && dpkg-shlibdeps -O -eroot/usr/bin/servetel-auth`; \
	{ printf '%s\n' "$$DEB_CONTROL" | sed "/^Section/i Depends: $${linked#*=}, $(DEB_OPENED)"; \
	  find $(DEB_ROOT)/usr -type f -printf '%s\n' | \
	    awk '{ kib += int($$1 / 1024) + 1 } END { print "Installed-Size: " kib }'; } \
	  >$(DEB_ROOT)/DEBIAN/control; \
	(cd $(DEB_ROOT) && find usr -type f | LC_ALL=C sort | xargs md5sum) >$(DEB_ROOT)/DEBIAN/md5sums; \
	dpkg-deb --root-owner-group -Zxz --build $(DEB_ROOT) $(DEB) >/dev/null
	@echo $(DEB)

check-deb: ## install, use and purge that package in a bare system (as root, from the mirror of apt)
	@$(DEPS) compile build check deb check-deb
	@$(MAKE) deb
	@TEST_DEB='$(abspath $(DEB))' TEST_TIMEOUT=1800 tests/run --bin-dir $(BUILD) tests/deb.bats

clean: ## remove build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 16
