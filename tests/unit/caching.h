/* SPDX-License-Identifier: MIT */
/* A cache in a scratch directory, for the tests of its two halves. */
#pragma once

#include <stdlib.h>

#include "scratch.h"
#include "store/cache.h"
#include "unit.h"

#define VALID "{\"version\":1,\"access_token\":\"abc\",\"expires_at\":1800003600}"

static struct cache cache;
static struct profile profile;
static struct error error;

static inline void set_up(void)
{
    scratch_make();
    setenv("SERVETEL_AUTH_DIR", scratch, 1);
    umask(022);
    profile = PROFILE_NONE;
    error = (struct error){0};
}

static inline void tear_down(void)
{
    cache_close(&cache);
    profile_clear(&profile);
    scratch_remove();
    unsetenv("SERVETEL_AUTH_DIR");
    umask(022);
}

static inline void open_cache(void)
{
    CHECK_INT(cache_open(&cache, "default", NULL, &error), RESULT_OK);
}

static inline void check_local(enum result result, const char *because)
{
    if (!CHECK_INT(result, RESULT_LOCAL) || !CHECK(strstr(error.text, because) != NULL))
        printf("# '%s'\n", error.text);
}

#define TEMP at(".default.json.tmp")
