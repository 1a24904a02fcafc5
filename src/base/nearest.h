/* SPDX-License-Identifier: MIT */
/* Did you mean: of some names the one that is nearest to what was typed. */
#ifndef NEAREST_H
#define NEAREST_H

/* names: ended by NULL. NULL if none is near. */
const char *nearest(const char *typed, const char *const *names);

#endif
