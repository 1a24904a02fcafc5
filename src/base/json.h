/* SPDX-License-Identifier: MIT */
/* cJSON with its traps closed. The only module that knows cJSON's functions.
 *
 * - Every allocation goes through mem.h, so a deleted tree is a wiped one.
 * - A text is refused whole if it holds a NUL, raw, as \u0000 or as a \u without its four digits
 *   (which cJSON reads as 0): cJSON would cut the string there, and a token would be accepted that
 *   is not what was sent.
 * - Nothing may follow the value but white space.
 * - Numbers are read from the double with a range check (valueint saturates at 2^31-1).
 * - Names are matched with their case. */
#pragma once

#include "base/result.h"

struct cJSON;

/* An object, or NULL when the text is anything else. text[len] must be NUL. */
struct cJSON *json_parse_object(const char *text, size_t len);
struct cJSON *json_new_object(void);
/* With it goes what was set in it; *json may be NULL. */
void json_delete(struct cJSON **json);

/* The member itself, NULL when absent, or where there is no object; likewise below. */
struct cJSON *json_member(const struct cJSON *object, const char *name);
/* NULL when absent or not a string. */
const char *json_string(const struct cJSON *object, const char *name);
/* False when absent, no number, or beyond +-2^53 (doubles'). Fractions are cut downwards. */
bool json_integer(const struct cJSON *object, const char *name, int64_t *value);
/* The same of an item itself, which may be NULL. */
const char *json_as_string(const struct cJSON *item);
bool json_as_integer(const struct cJSON *item, int64_t *value);
/* The first item of an object or an array; NULL where there is none. */
const struct cJSON *json_first(const struct cJSON *object);
bool json_is_true(const struct cJSON *object, const char *name);
bool json_is_null(const struct cJSON *object, const char *name); /* or absent */

/* Sets or replaces a member; a NULL text is JSON's null. */
void json_set_string(struct cJSON *object, const char *name, const char *text);
void json_set_integer(struct cJSON *object, const char *name, int64_t value);
void json_set_bool(struct cJSON *object, const char *name, bool value);
void json_remove(struct cJSON *object, const char *name);
/* item then belongs to the object; likewise below. */
void json_set_item(struct cJSON *object, const char *name, struct cJSON *item);
/* An empty array. */
void json_set_array(struct cJSON *object, const char *name);
/* Appends item to the array object[name]. */
void json_add_to_array(struct cJSON *object, const char *name, struct cJSON *item);

/* The text, on one line or a line for each member, in wiped memory: mem_free() it. */
char *json_print(const struct cJSON *json, bool in_lines);
