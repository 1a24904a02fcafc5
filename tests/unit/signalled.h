/* SPDX-License-Identifier: MIT */
/* Signals that a test sent to itself. */
#pragma once

#include "base/signals.h"

/* What comes next knows nothing of them. */
static inline void forget_signals(void)
{
    bool by_terminal;

    while (signals_take(&by_terminal) != 0)
        continue;
}
