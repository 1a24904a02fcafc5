/* SPDX-License-Identifier: MIT */
/* logout: removes what is cached, under the lock, so that no renewal under way brings it back. */
#include <strings.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/signals.h"
#include "commands/command.h"
#include "commands/token_file.h"
#include "input/source.h"
#include "store/lock.h"

/* RESULT_NO_TOKEN where nothing was cached. is_one: of --all the count is told, and what was handed
 * to programs by keepers that died is swept at the end: it costs a look at each file. */
static enum result forget(const char *profile, const char *file, bool is_one, struct error *error)
{
    AT_END(cache_close) struct cache cache;
    enum result result = cache_open(&cache, profile, file, error);

    if (result == RESULT_OK)
        result = cache_find(&cache, error);
    if (result == RESULT_OK)
        result = cache_lock_by(&cache, clock_monotonic_ms() + OPTION_TIMEOUT_S * 1000, error);
    if (result == RESULT_OK)
        result = cache_remove(&cache, error);
    if (result == RESULT_OK && is_one)
        msg_note("forgot the token of '%s'", cache.name);
    if (result == RESULT_NO_TOKEN && is_one) {
        OWNED char *meant = cache_meant(&cache);

        msg_note("no token was cached for '%s'%s", cache.name, meant);
    }
    if (is_one || cache_is_linked(&cache))
        token_file_sweep(&cache);
    return result;
}

/* A person is asked; who cannot be must have said so. */
static enum result confirm(size_t count, struct error *error)
{
    AT_END(buffer_clear) struct buffer answer = BUFFER(64);
    OWNED char *prompt = mem_format(
        "Forget %zu profile%s, with what is remembered of passwords? [y/N] ", count,
        count == 1 ? "" : "s");
    enum result result = source_ask(prompt, true, &answer, error);

    if (result == RESULT_USAGE)
        error_set(error, result, "there is no terminal to ask on: give --yes with --all");
    else if (result == RESULT_OK && strncasecmp(buffer_text(&answer), "y", sizeof "y") != 0 &&
             strncasecmp(buffer_text(&answer), "yes", sizeof "yes") != 0)
        result = error_set(error, RESULT_FAILED, "nothing was forgotten");
    return result;
}

static int forget_all(bool asks)
{
    AT_END(cache_list_free) char **names = NULL;
    size_t count, forgotten = 0;
    struct error error;
    enum result worst = cache_list(&names, &count, &error);

    if (worst == RESULT_OK && asks && count > 0)
        worst = confirm(count, &error);
    if (worst != RESULT_OK)
        return command_fail(&error);
    for (size_t i = 0; i < count && !signals_caught(); i++) {
        enum result result = forget(names[i], NULL, false, &error);

        if (result != RESULT_OK && result != RESULT_NO_TOKEN) {
            command_fail(&error);
            worst = result_worse(worst, result);
        }
        forgotten += result == RESULT_OK;
    }
    token_file_sweep_all();
    msg_note("forgot %zu of %zu profile%s", forgotten, count, count == 1 ? "" : "s");
    return result_exit_code(worst);
}

int cmd_logout(const struct options *options)
{
    struct error error;
    enum result result;

    signals_catch();
    if (options->all)
        return forget_all(!options->yes);
    result = forget(command_profile(options), options->file, true, &error);
    return result == RESULT_OK || result == RESULT_NO_TOKEN ? 0 : command_fail(&error);
}
