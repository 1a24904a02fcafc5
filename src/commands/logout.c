/* SPDX-License-Identifier: MIT */
/* logout: removes what is cached, under the lock, so that no renewal under way brings it back. */
#include "base/clock.h"
#include "base/msg.h"
#include "base/signals.h"
#include "commands/command.h"
#include "commands/token_file.h"
#include "store/lock.h"

/* sweeps: what was handed to programs by keepers that died, too; it costs a look at each file. */
static enum result forget(const char *profile, const char *file, bool sweeps, struct error *error)
{
    struct cache cache;
    enum result result = cache_open(&cache, profile, file, error);

    if (result == RESULT_OK)
        result = cache_find(&cache, error);
    if (result == RESULT_OK)
        result = cache_lock_by(&cache, clock_monotonic_ms() + OPTION_TIMEOUT_S * 1000, error);
    if (result == RESULT_OK)
        result = cache_remove(&cache, error);
    if (result == RESULT_OK)
        msg_note("forgot the token of '%s'", cache.name);
    else if (result == RESULT_NO_TOKEN)
        msg_note("no token was cached for '%s'", cache.name);
    if (sweeps || cache_is_linked(&cache))
        token_file_sweep(&cache);
    cache_close(&cache);
    return result == RESULT_NO_TOKEN ? RESULT_OK : result;
}

static int forget_all(void)
{
    enum result worst = RESULT_OK;
    struct error error;
    size_t count;
    char **names;

    if (cache_list(&names, &count, &error) != RESULT_OK)
        worst = error.result;
    for (size_t i = 0; i < count; i++) {
        struct error one;
        enum result result = forget(names[i], NULL, false, &one);

        if (result != RESULT_OK)
            msg_error("%s", one.text);
        worst = result_worse(worst, result);
        mem_free(names[i]);
    }
    mem_free(names);
    token_file_sweep_all();
    if (count == 0 && worst != RESULT_OK)
        msg_error("%s", error.text);
    return result_exit_code(worst);
}

int cmd_logout(const struct options *options)
{
    struct error error;

    signals_catch();
    if (options->all && (options->profile_is_flag || options->file_is_flag))
        return command_misuse("--all goes with neither --profile nor --file");
    if (options->all)
        return forget_all();
    if (forget(command_profile(options), options->file, true, &error) != RESULT_OK)
        return command_fail(&error);
    return 0;
}
