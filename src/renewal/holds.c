/* SPDX-License-Identifier: MIT */
#include "renewal/holds.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/url.h"

struct hold {
    char *api_url;
    int64_t until_ms;
    struct hold *next;
};

/* Of all of them: it is held for a moment. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int64_t holds_note(struct holds *holds, const char *api_url, int64_t until_ms)
{
    struct hold *hold;

    pthread_mutex_lock(&lock);
    hold = holds->last;
    while (hold != NULL && !url_same_host(hold->api_url, api_url))
        hold = hold->next;
    if (hold == NULL) {
        hold = mem_new(sizeof *hold);
        *hold = (struct hold){.api_url = mem_copy(api_url), .next = holds->last};
        holds->last = hold;
    }
    if (until_ms > hold->until_ms)
        hold->until_ms = until_ms;
    until_ms = hold->until_ms;
    pthread_mutex_unlock(&lock);
    return until_ms;
}

int64_t holds_left_ms(struct holds *holds, const char *api_url)
{
    int64_t left_ms = holds_note(holds, api_url, 0) - clock_monotonic_ms();

    return left_ms < 0 ? 0 : left_ms;
}

void holds_clear(struct holds *holds)
{
    while (holds->last != NULL) {
        struct hold *hold = holds->last;

        holds->last = hold->next;
        mem_free(hold->api_url);
        mem_free(hold);
    }
}
