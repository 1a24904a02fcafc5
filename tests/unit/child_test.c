/* SPDX-License-Identifier: MIT */
#include "input/child.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/signals.h"
#include "descriptors.h"
#include "scratch.h"
#include "unit.h"

/* Nobody waits for so long; what hangs fails by it. */
#define LONG_MS 60000

static struct buffer line;
static struct error error;

static enum result run_by(const struct child *child, int64_t deadline_ms)
{
    error = (struct error){0};
    line = BUFFER(CHILD_LINE_MAX);
    return child_run(child, deadline_ms, &error);
}

static enum result run(const char *command)
{
    struct child child = {.command = command, .line = &line};

    return run_by(&child, clock_monotonic_ms() + LONG_MS);
}

static enum result run_with(const char *command, const struct buffer *input)
{
    struct child child = {.command = command, .input = input, .line = &line};

    return run_by(&child, clock_monotonic_ms() + LONG_MS);
}

/* ---- what it prints ---- */

TEST(the_first_line_is_kept)
{
    static const struct {
        const char *command, *line;
        size_t len;
    } table[] = {
        {"echo one", "one", 3},
        {"printf one", "one", 3},
        {"echo one; echo two", "one", 3},
        {"printf on; printf e; echo; echo two", "one", 3},
        {"printf 'one\\r\\n'", "one", 3},
        {"printf 'one\\r'", "one", 3},
        {"printf 'o\\rne\\r\\n'", "o\rne", 4},
        {"printf ' one \\n'", " one ", 5},
        {"printf 'o\\000ne\\n'", "o", 4},
        {"true", "", 0},
        {"echo; echo two", "", 0},
        {"printf '\\r\\n'", "", 0},
        {"echo one; head -c 1000000 /dev/zero", "one", 3},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (!CHECK_INT(run(table[i].command), RESULT_OK) ||
            !CHECK_STR(buffer_text(&line), table[i].line) ||
            !CHECK_INT((long long)line.len, (long long)table[i].len))
            printf("# row %zu: '%s'\n", i, error.text);
        CHECK_INT(error.result, RESULT_OK);
        CHECK_STR(error.text, "");
        buffer_clear(&line);
    }
}

TEST(a_line_that_is_too_long_is_a_failure)
{
    static const struct {
        int len;
        enum result result;
    } table[] = {
        {CHILD_LINE_MAX - 1, RESULT_OK},
        {CHILD_LINE_MAX, RESULT_OK},
        {CHILD_LINE_MAX + 1, RESULT_FAILED},
        {1000000, RESULT_FAILED},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *command = mem_format("head -c %d /dev/zero | tr '\\000' x; echo; echo two",
                                   table[i].len);

        CHECK_INT(run(command), table[i].result);
        if (table[i].result == RESULT_OK)
            CHECK_INT((long long)line.len, table[i].len);
        else
            CHECK_STR(error.text, "printed too long a line");
        buffer_clear(&line);
        mem_free(command);
    }
}

/* Only the first: what follows may be as long as it likes. */
TEST(a_long_second_line_is_no_failure)
{
    CHECK_INT(run("echo one; head -c 100000 /dev/zero | tr '\\000' x"), RESULT_OK);
    CHECK_STR(buffer_text(&line), "one");
    buffer_clear(&line);
}

TEST(what_nobody_wants_goes_to_our_stderr)
{
    struct child child = {.command = "echo shown; echo told >&2"};
    int before = dup(STDERR_FILENO), fd;

    scratch_make();
    fd = open(at("stderr"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
    CHECK_INT(run_by(&child, clock_monotonic_ms() + LONG_MS), RESULT_OK);
    dup2(before, STDERR_FILENO);
    CHECK_STR(get(at("stderr")), "shown\ntold\n");
    close(fd);
    close(before);
    scratch_remove();
}

/* ---- how it ends ---- */

TEST(how_it_ended_is_said)
{
    static const struct {
        const char *command, *text;
    } table[] = {
        {"exit 1", "exited with 1"},
        {"exit 255", "exited with 255"},
        {"echo one; exit 3", "exited with 3"},
        {"/nonexistent/command 2>/dev/null", "exited with 127"},
        {"kill -9 $$", "died of signal 9"},
        {"kill -15 $$", "died of signal 15"},
        {"head -c 30000 /dev/zero | tr '\\000' x; exit 3", "exited with 3"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        CHECK_INT(run(table[i].command), RESULT_FAILED);
        CHECK_INT(error.result, RESULT_FAILED);
        CHECK_STR(error.text, table[i].text);
        buffer_clear(&line);
    }
}

TEST(it_is_waited_for_after_it_closed_its_output)
{
    CHECK_INT(run("echo one; exec >/dev/null; sleep 0.1; exit 3"), RESULT_FAILED);
    CHECK_STR(error.text, "exited with 3");
    CHECK_STR(buffer_text(&line), "one");
    buffer_clear(&line);
}

TEST(a_grandchild_that_keeps_the_pipe_open_is_not_waited_for)
{
    CHECK_INT(run("sleep 120 & echo $!"), RESULT_OK);
    if (CHECK(line.len > 0))
        kill(atoi(line.data), SIGKILL);
    buffer_clear(&line);
}

/* ---- what it gets ---- */

TEST(its_stdin_is_what_it_is_given)
{
    struct buffer input = BUFFER(1 << 20);

    buffer_put(&input, "a secret");
    CHECK_INT(run_with("cat", &input), RESULT_OK);
    CHECK_STR(buffer_text(&line), "a secret");
    buffer_clear(&line);
    for (int i = 0; i < 20000; i++) /* more than a pipe holds */
        buffer_put(&input, "0123456789");
    CHECK_INT(run_with("sleep 0.05; test $(wc -c) -eq 200008 && echo all", &input), RESULT_OK);
    CHECK_STR(buffer_text(&line), "all");
    buffer_clear(&line);
    CHECK_INT(run_with("head -c 1 >/dev/null; echo enough", &input), RESULT_OK);
    CHECK_STR(buffer_text(&line), "enough");
    buffer_clear(&line);
    CHECK_INT(run_with("exec <&-; echo none", &input), RESULT_OK);
    CHECK_STR(buffer_text(&line), "none");
    buffer_clear(&line);
    buffer_clear(&input);
    CHECK_INT(run_with("cat; echo empty", &input), RESULT_OK);
    CHECK_STR(buffer_text(&line), "empty");
    buffer_clear(&line);
}

/* `show` inside `while read` must not eat the loop's input. */
TEST(without_one_it_does_not_get_ours)
{
    int fds[2], before = dup(STDIN_FILENO);
    char bytes[8];

    CHECK(pipe(fds) == 0 && write(fds[1], "loop\n", 5) == 5);
    CHECK(dup2(fds[0], STDIN_FILENO) == STDIN_FILENO);
    CHECK_INT(run("read text; echo \"got:$text\""), RESULT_OK);
    CHECK_STR(buffer_text(&line), "got:");
    CHECK_INT(read(STDIN_FILENO, bytes, sizeof bytes), 5);
    dup2(before, STDIN_FILENO);
    close(before);
    close(fds[0]);
    close(fds[1]);
    buffer_clear(&line);
}

TEST(variables_replace_ours_and_join_them)
{
    static const char *const variables[] = {"UNIT_A=new", "UNIT_EMPTY=", "UNIT_C=a=b c", NULL};
    struct child child = {
        .command = "echo \"$UNIT_A,$UNIT_AB,${UNIT_EMPTY-unset},$UNIT_C\"; env | grep -c ^UNIT_A=",
        .environment = variables,
        .line = &line};

    setenv("UNIT_A", "old", 1);
    setenv("UNIT_AB", "kept", 1); /* a name that begins as another does */
    setenv("UNIT_EMPTY", "full", 1);
    CHECK_INT(run_by(&child, clock_monotonic_ms() + LONG_MS), RESULT_OK);
    CHECK_STR(buffer_text(&line), "new,kept,,a=b c");
    CHECK_STR(getenv("UNIT_A"), "old"); /* ours stays as it is */
    buffer_clear(&line);
    CHECK_INT(run("echo \"$UNIT_A\""), RESULT_OK);
    CHECK_STR(buffer_text(&line), "old");
    buffer_clear(&line);
}

TEST(a_variable_that_is_replaced_is_there_once)
{
    static const char *const variables[] = {"UNIT_A=new", NULL};
    char **environment;
    int count = 0;

    setenv("UNIT_A", "old", 1);
    environment = child_environment(variables);
    for (char **e = environment; *e != NULL; e++)
        count += strncmp(*e, "UNIT_A=", 7) == 0;
    CHECK_INT(count, 1);
    mem_free(environment);
    environment = child_environment(NULL);
    count = 0;
    for (char **e = environment; *e != NULL; e++)
        count += strcmp(*e, "UNIT_A=old") == 0;
    CHECK_INT(count, 1);
    mem_free(environment);
}

/* ---- what ends it ---- */

TEST(without_time_it_is_ended)
{
    struct child child = {.command = "exec sleep 120", .line = &line};

    CHECK_INT(run_by(&child, clock_monotonic_ms() - 1), RESULT_TEMPORARY);
    CHECK_INT(error.result, RESULT_TEMPORARY);
    CHECK_STR(error.text, "did not end in time");
    CHECK_INT(run_by(&child, clock_monotonic_ms() + 50), RESULT_TEMPORARY);
    buffer_clear(&line);
}

static bool has_terminal(void)
{
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Whoever has the other end of the pipe open has not ended. */
static bool all_have_ended(int fd)
{
    struct pollfd end = {.fd = fd, .events = POLLIN};
    char byte;

    return poll(&end, 1, 10000) == 1 && read(fd, &byte, 1) == 0;
}

/* A grandchild that has written to descriptor 9 before it was ended. *fd: to see that it was. */
static enum result run_until_ended(const char *command, int64_t ms, int *fd, bool *had_begun)
{
    struct child child = {.command = command, .line = &line};
    enum result result;
    char byte;
    int fds[2];

    if (!CHECK(pipe(fds) == 0 && dup2(fds[1], 9) == 9))
        return RESULT_FAILED;
    close(fds[1]);
    result = run_by(&child, clock_monotonic_ms() + ms);
    close(9);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    *had_begun = read(fds[0], &byte, 1) == 1;
    fcntl(fds[0], F_SETFL, 0);
    *fd = fds[0];
    buffer_clear(&line);
    return result;
}

TEST(without_time_all_of_it_is_ended)
{
    bool had_begun = false;

    if (has_terminal())
        SKIP("at a terminal it stays in our process group");
    /* Longer and longer, until a slow machine has started it. */
    for (int64_t ms = 50; !had_begun && ms < LONG_MS; ms *= 2) {
        int fd = -1;

        CHECK_INT(run_until_ended("(printf x >&9; exec sleep 120) & wait", ms, &fd, &had_begun),
                  RESULT_TEMPORARY);
        CHECK(all_have_ended(fd));
        close(fd);
    }
    CHECK(had_begun);
}

TEST(a_signal_ends_all_of_it)
{
    bool had_begun = false, by_terminal;
    int fd = -1;

    if (has_terminal())
        SKIP("at a terminal it stays in our process group");
    signals_catch();
    CHECK_INT(run_until_ended("(printf x >&9; kill -TERM $PPID; exec sleep 120) & wait", LONG_MS,
                              &fd, &had_begun),
              RESULT_INTERRUPTED);
    CHECK_STR(error.text, "interrupted");
    CHECK(had_begun && all_have_ended(fd));
    CHECK_INT(signals_take(&by_terminal), SIGTERM);
    close(fd);
}

/* ---- what is left ---- */

TEST(no_descriptor_is_left_open)
{
    struct child child = {.command = "exec sleep 120", .line = &line};
    struct buffer input = BUFFER(16);
    int before;

    buffer_put(&input, "secret");
    before = count_fds(NULL);
    CHECK_INT(run_with("cat", &input), RESULT_OK);
    buffer_clear(&line);
    CHECK_INT(run_with("exit 1", &input), RESULT_FAILED);
    child.input = &input;
    CHECK_INT(run_by(&child, clock_monotonic_ms() - 1), RESULT_TEMPORARY);
    CHECK_INT(count_fds(NULL), before);
    buffer_clear(&input);
}

static void limit_fds(rlim_t count)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = count;
    setrlimit(RLIMIT_NOFILE, &limit);
}

TEST(what_cannot_be_started_is_said)
{
    struct buffer input = BUFFER(16);
    int before = count_fds(NULL), next = dup(STDIN_FILENO), fds[2] = {-1, -1};
    struct rlimit limit;

    close(next);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit_fds((rlim_t)next);
    CHECK(pipe(fds) < 0);
    limit_fds(limit.rlim_cur);
    if (fds[0] >= 0)
        SKIP("a pipe that fails says that it has descriptors, as under valgrind");
    for (int spare = 0; spare < 4; spare++) { /* two pipes have four ends */
        limit_fds((rlim_t)next + (rlim_t)spare);
        CHECK_INT(run_with("true", &input), RESULT_FAILED);
        limit_fds(limit.rlim_cur);
        CHECK(strncmp(error.text, "could not be started: ", 22) == 0);
        CHECK_INT(count_fds(NULL), before);
    }
}
