/* SPDX-License-Identifier: MIT */
#include "input/source.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/signals.h"
#include "input/child.h"
#include "scratch.h"
#include "unit.h"

/* Nobody waits for so long; what hangs fails by it. */
#define LONG_MS 60000
#define WHAT "the password on stdin"

static struct buffer text;
static struct error error;

static int64_t later(void)
{
    return clock_monotonic_ms() + LONG_MS;
}

/* As `text` is to be before anything is read. */
static void expect(size_t max)
{
    text = BUFFER(max);
    error = (struct error){0};
}

static void check_error(enum result result, enum result expected, const char *part)
{
    CHECK_INT(error.result, expected);
    if (!CHECK_INT(result, expected) || !CHECK(strstr(error.text, part) != NULL))
        printf("# '%s'\n", error.text);
}

/* ---- what any source must give ---- */

TEST(what_a_password_may_be)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *why; /* NULL: it may */
    } table[] = {
        {"x", 1, NULL},
        {" ", 1, NULL},
        {"a\tb\x01", 4, NULL},
        {"p\xc3\xa4ss", 5, NULL},
        {"\xf0\x9f\x94\x91", 4, NULL},
        {"", 0, "is empty"},
        {"\0", 1, "NUL"},
        {"ab\0cd", 5, "NUL"},
        {"ab\0", 3, "NUL"},
        {"\xff", 1, "UTF-8"},
        {"p\xe4ss", 4, "UTF-8"},
        {"\xc0\xaf", 2, "UTF-8"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        expect(PASSWORD_LENGTH_MAX);
        if (table[i].len > 0)
            CHECK(buffer_append(&text, table[i].bytes, table[i].len));
        if (table[i].why == NULL) {
            CHECK_INT(source_check(&text, WHAT, &error), RESULT_OK);
            CHECK_STR(error.text, "");
        } else {
            check_error(source_check(&text, WHAT, &error), RESULT_LOCAL, table[i].why);
            CHECK(strncmp(error.text, WHAT, strlen(WHAT)) == 0);
        }
        buffer_clear(&text);
    }
}

TEST(how_long_a_password_may_be)
{
    char *bytes = mem_new(PASSWORD_LENGTH_MAX + 2);

    memset(bytes, 'x', PASSWORD_LENGTH_MAX + 1);
    expect(PASSWORD_LENGTH_MAX + 1);
    CHECK(buffer_append(&text, bytes, PASSWORD_LENGTH_MAX));
    CHECK_INT(source_check(&text, WHAT, &error), RESULT_OK);
    CHECK(buffer_append(&text, "x", 1));
    check_error(source_check(&text, WHAT, &error), RESULT_LOCAL, "4096");
    buffer_clear(&text);
    mem_free(bytes);
}

/* ---- a descriptor ---- */

/* The end to read of a pipe that holds this and whose other end is closed. */
static int pipe_with(const char *bytes, size_t len)
{
    int fds[2];

    CHECK(pipe(fds) == 0 && write(fds[1], bytes, len) == (ssize_t)len);
    close(fds[1]);
    return fds[0];
}

TEST(a_line_is_read_and_nothing_after_it)
{
    static const struct {
        const char *bytes, *line, *rest;
    } table[] = {
        {"one\ntwo\n", "one", "two\n"},
        {"one", "one", ""},
        {"one\n", "one", ""},
        {"one\r\ntwo", "one", "two"},
        {"one\r", "one", ""},
        {"o\rne\n", "o\rne", ""},
        {"\ntwo\n", "", "two\n"},
        {"", "", ""},
        {"\r\n", "", ""},
        {" one \n", " one ", ""},
        {"one\n\ntwo", "one", "\ntwo"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int fd = pipe_with(table[i].bytes, strlen(table[i].bytes));
        char rest[16] = "";

        expect(100);
        CHECK_INT(source_read(fd, SOURCE_LINE, WHAT, later(), &text, &error), RESULT_OK);
        CHECK_STR(error.text, "");
        CHECK_STR(buffer_text(&text), table[i].line);
        CHECK(read(fd, rest, sizeof rest - 1) >= 0);
        if (!CHECK_STR(rest, table[i].rest))
            printf("# row %zu\n", i);
        close(fd);
        buffer_clear(&text);
    }
}

TEST(a_nul_in_a_line_is_kept_to_be_found)
{
    int fd = pipe_with("o\0ne\n", 5);

    expect(100);
    CHECK_INT(source_read(fd, SOURCE_LINE, WHAT, later(), &text, &error), RESULT_OK);
    CHECK_INT((long long)text.len, 4);
    check_error(source_check(&text, WHAT, &error), RESULT_LOCAL, "NUL");
    close(fd);
    buffer_clear(&text);
}

TEST(a_line_that_is_too_long_is_refused)
{
    int fd = pipe_with("123456789\n", 10);

    expect(8);
    check_error(source_read(fd, SOURCE_LINE, WHAT, later(), &text, &error), RESULT_LOCAL,
                WHAT " is too long");
    close(fd);
    buffer_clear(&text);
    fd = pipe_with("12345678\n", 9);
    expect(8);
    CHECK_INT(source_read(fd, SOURCE_LINE, WHAT, later(), &text, &error), RESULT_OK);
    close(fd);
    buffer_clear(&text);
}

TEST(all_of_it_is_read)
{
    static char bytes[5000];
    int fd;

    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, "\none\r\n", 6);
    fd = pipe_with(bytes, sizeof bytes);
    expect(sizeof bytes);
    CHECK_INT(source_read(fd, SOURCE_ALL, WHAT, later(), &text, &error), RESULT_OK);
    CHECK_INT((long long)text.len, sizeof bytes);
    CHECK(memcmp(buffer_text(&text), bytes, sizeof bytes) == 0);
    close(fd);
    buffer_clear(&text);
    fd = pipe_with(bytes, sizeof bytes);
    expect(sizeof bytes - 1);
    check_error(source_read(fd, SOURCE_ALL, WHAT, later(), &text, &error), RESULT_USAGE,
                "is too long");
    close(fd);
    buffer_clear(&text);
    fd = pipe_with("", 0);
    expect(10);
    CHECK_INT(source_read(fd, SOURCE_ALL, WHAT, later(), &text, &error), RESULT_OK);
    CHECK_INT((long long)text.len, 0);
    close(fd);
    buffer_clear(&text);
}

TEST(what_does_not_come_is_not_waited_for_for_ever)
{
    int fds[2];

    CHECK(pipe(fds) == 0 && write(fds[1], "on", 2) == 2);
    expect(100);
    check_error(source_read(fds[0], SOURCE_LINE, WHAT, clock_monotonic_ms() + 20, &text, &error),
                RESULT_TEMPORARY, WHAT " did not come in time");
    buffer_clear(&text);
    check_error(source_read(fds[0], SOURCE_ALL, WHAT, clock_monotonic_ms() + 20, &text, &error),
                RESULT_TEMPORARY, "in time");
    buffer_clear(&text);
    close(fds[0]);
    close(fds[1]);
}

TEST(what_has_come_is_read_though_the_time_is_over)
{
    int fd = pipe_with("one\n", 4);

    expect(100);
    CHECK_INT(source_read(fd, SOURCE_LINE, WHAT, clock_monotonic_ms() - 1, &text, &error),
              RESULT_OK);
    CHECK_STR(buffer_text(&text), "one");
    buffer_clear(&text);
    close(fd);
}

TEST(what_cannot_be_read_is_said)
{
    int fd = open("/", O_RDONLY | O_CLOEXEC), closed = dup(fd);

    close(closed);
    expect(100);
    check_error(source_read(fd, SOURCE_LINE, WHAT, later(), &text, &error), RESULT_LOCAL,
                strerror(EISDIR));
    close(fd);
    expect(100); /* as by `<&-` */
    check_error(source_read(closed, SOURCE_ALL, WHAT, later(), &text, &error), RESULT_LOCAL,
                strerror(EBADF));
}

TEST(a_signal_ends_the_wait)
{
    bool by_terminal;
    int fds[2];

    CHECK(pipe(fds) == 0);
    signals_catch();
    raise(SIGTERM);
    expect(100);
    check_error(source_read(fds[0], SOURCE_LINE, WHAT, later(), &text, &error), RESULT_INTERRUPTED,
                "interrupted");
    CHECK_INT(signals_take(&by_terminal), SIGTERM);
    close(fds[0]);
    close(fds[1]);
}

/* ---- a file ---- */

static struct source_file file;

static enum result read_file(const char *path, int64_t deadline_ms)
{
    expect(PASSWORD_LENGTH_MAX);
    file = (struct source_file){true, true};
    return source_read_file(path, deadline_ms, &text, &file, &error);
}

TEST(the_first_line_of_a_file_is_the_password)
{
    scratch_make();
    put(at("pw"), "secret\r\nmore\n");
    CHECK_INT(read_file(at("pw"), later()), RESULT_OK);
    CHECK_STR(buffer_text(&text), "secret");
    CHECK(file.regular && !file.exposed);
    buffer_clear(&text);
    scratch_remove();
}

TEST(a_file_that_others_may_read_is_told)
{
    static const struct {
        mode_t mode;
        bool exposed;
    } table[] = {{0600, false}, {0400, false}, {0640, true}, {0604, true},
                 {0644, true},  {0444, true},  {0620, false}};

    scratch_make();
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        put(at("pw"), "secret");
        chmod(at("pw"), table[i].mode);
        CHECK_INT(read_file(at("pw"), later()), RESULT_OK);
        if (!CHECK(file.exposed == table[i].exposed && file.regular))
            printf("# mode %04o\n", (unsigned)table[i].mode);
        buffer_clear(&text);
        unlink(at("pw"));
    }
    scratch_remove();
}

/* As Kubernetes mounts a Secret. */
TEST(a_file_of_another_that_our_group_may_read_is_as_it_must_be)
{
    if (geteuid() != 0)
        SKIP("only root can give a file away");
    scratch_make();
    put(at("pw"), "secret");
    CHECK(chown(at("pw"), 65534, getegid()) == 0);
    chmod(at("pw"), 0440);
    CHECK_INT(read_file(at("pw"), later()), RESULT_OK);
    CHECK(file.regular && !file.exposed);
    buffer_clear(&text);
    chmod(at("pw"), 0444);
    CHECK_INT(read_file(at("pw"), later()), RESULT_OK);
    CHECK(file.regular && file.exposed);
    buffer_clear(&text);
    scratch_remove();
}

TEST(a_file_that_holds_no_password_is_refused)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *why;
    } table[] = {{"", 0, "is empty"},
                 {"\nsecret\n", 8, "is empty"},
                 {"a\0b\n", 4, "NUL"},
                 {"\xff\n", 2, "UTF-8"}};
    char *long_line = mem_format("%0*d", PASSWORD_LENGTH_MAX + 1, 0);

    scratch_make();
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        put_bytes(at("pw"), table[i].bytes, table[i].len, 0600);
        check_error(read_file(at("pw"), later()), RESULT_LOCAL, table[i].why);
        CHECK(strstr(error.text, at("pw")) != NULL);
        buffer_clear(&text);
    }
    put(at("pw"), long_line);
    check_error(read_file(at("pw"), later()), RESULT_LOCAL, "is too long");
    buffer_clear(&text);
    mem_free(long_line);
    scratch_remove();
}

TEST(a_file_that_is_none_is_refused)
{
    scratch_make();
    check_error(read_file(at("gone"), later()), RESULT_LOCAL, strerror(ENOENT));
    CHECK(strstr(error.text, at("gone")) != NULL);
    CHECK(!file.regular && !file.exposed);
    check_error(read_file(scratch, later()), RESULT_LOCAL, strerror(EISDIR));
    CHECK(!file.regular && !file.exposed);
    scratch_remove();
}

/* `--password-file <(pass show x)` */
TEST(a_pipe_in_place_of_a_file_is_read_once)
{
    int status;
    pid_t pid;

    scratch_make();
    CHECK(mkfifo(at("pw"), 0644) == 0);
    pid = fork();
    if (pid == 0) {
        int fd = open(at("pw"), O_WRONLY | O_CLOEXEC); /* until there is a reader */

        _exit(write(fd, "secret\nmore\n", 12) == 12 ? 0 : 1);
    }
    CHECK_INT(read_file(at("pw"), later()), RESULT_OK);
    CHECK_STR(buffer_text(&text), "secret");
    CHECK(!file.regular && !file.exposed); /* whoever may read it finds nothing there */
    CHECK(waitpid(pid, &status, 0) == pid);
    buffer_clear(&text);
    scratch_remove();
}

TEST(a_pipe_that_nobody_writes_is_not_waited_for_for_ever)
{
    scratch_make();
    CHECK(mkfifo(at("pw"), 0600) == 0);
    check_error(read_file(at("pw"), clock_monotonic_ms() + 20), RESULT_TEMPORARY,
                "did not come in time");
    CHECK(strstr(error.text, at("pw")) != NULL);
    scratch_remove();
}

/* ---- a command ---- */

static enum result run(const char *command, int64_t deadline_ms)
{
    expect(100);
    buffer_put(&text, "what was there before");
    return source_run(command, "the token command", "sales", deadline_ms, &text, &error);
}

TEST(the_first_line_of_a_command_is_what_it_gives)
{
    CHECK_INT(run("echo one; echo two", later()), RESULT_OK);
    CHECK_STR(buffer_text(&text), "one");
    CHECK_STR(error.text, "");
    buffer_clear(&text);
    CHECK_INT(run("true", later()), RESULT_OK); /* whether that will do is for others to say */
    CHECK_STR(buffer_text(&text), "");
    buffer_clear(&text);
    CHECK_INT(run("cat", later()), RESULT_OK); /* its stdin is nobody's */
    CHECK_STR(buffer_text(&text), "");
    buffer_clear(&text);
}

TEST(a_command_that_fails_is_named)
{
    static const struct {
        const char *command, *said;
    } table[] = {
        {"exit 3", "the token command of \'sales\' exited with 3"},
        {"echo one; exit 1", "the token command of \'sales\' exited with 1"},
        {"kill -9 $$", "the token command of \'sales\' died of signal 9"},
        {"head -c 30000 /dev/zero | tr '\\000' x",
         "the token command of \'sales\' printed too long a line"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        check_error(run(table[i].command, later()), RESULT_LOCAL, table[i].said);
        CHECK_STR(buffer_text(&text), "what was there before");
        buffer_clear(&text);
    }
}

TEST(a_command_that_takes_too_long_may_do_better_next_time)
{
    check_error(run("exec sleep 120", clock_monotonic_ms() - 1), RESULT_TEMPORARY,
                "the token command of \'sales\' did not end in time");
    buffer_clear(&text);
}

TEST(a_command_that_a_signal_ends_has_not_failed)
{
    bool by_terminal;

    signals_catch();
    check_error(run("kill -TERM $PPID; exec sleep 120", later()), RESULT_INTERRUPTED,
                "interrupted");
    CHECK_STR(error.text, "interrupted"); /* of the program, not of the command */
    CHECK_INT(signals_take(&by_terminal), SIGTERM);
    buffer_clear(&text);
}
