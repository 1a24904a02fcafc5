/* SPDX-License-Identifier: MIT */
#include "base/json.h"

#include <cjson/cJSON.h>
#include <limits.h>
#include <string.h>

#include "base/mem.h"

#define EXACT_MAX 9007199254740992.0 /* doubles hold every whole number up to here */

/* Before main(), and with it before any thread: cJSON sets its hooks in two steps. */
__attribute__((constructor)) static void use_our_memory(void)
{
    static cJSON_Hooks hooks = {mem_new, mem_free};

    cJSON_InitHooks(&hooks);
}

/* As cJSON_IsObject and its kin; but each function of a library that is called anywhere costs every
 * start of the program a symbol to look up, some 700 instructions. */
static bool is_type(const cJSON *item, int type)
{
    return item != NULL && (item->type & 0xff) == type;
}

static bool has_nul(const char *text, size_t len)
{
    static const char hex_digits[] = "0123456789abcdefABCDEF";
    const char *at = text;

    if (strlen(text) != len)
        return true;
    /* Whatever is escaped is not the start of another escape: a pair at a time. */
    while ((at = strchr(at, '\\')) != NULL && at[1] != '\0') {
        if (at[1] == 'u' && (strspn(at + 2, hex_digits) < 4 || strncmp(at + 2, "0000", 4) == 0))
            return true;
        at += 2;
    }
    return false;
}

struct cJSON *json_parse_object(const char *text, size_t len)
{
    cJSON *json;

    if (has_nul(text, len))
        return NULL;
    json = cJSON_ParseWithLengthOpts(text, len + 1, NULL, true);
    if (json != NULL && !is_type(json, cJSON_Object)) {
        cJSON_Delete(json);
        json = NULL;
    }
    return json;
}

/* As cJSON_CreateObject and its kin, in the memory that cJSON was told to use: see is_type. */
static cJSON *new_item(int type)
{
    cJSON *item = mem_new(sizeof *item);

    item->type = type;
    return item;
}

struct cJSON *json_new_object(void)
{
    return new_item(cJSON_Object);
}

void json_delete(struct cJSON **json)
{
    cJSON_Delete(*json);
    *json = NULL;
}

struct cJSON *json_member(const struct cJSON *object, const char *name)
{
    cJSON *item = object == NULL ? NULL : object->child;

    while (item != NULL && strcmp(item->string, name) != 0)
        item = item->next;
    return item;
}

const struct cJSON *json_first(const struct cJSON *object)
{
    return object == NULL ? NULL : object->child;
}

const char *json_as_string(const struct cJSON *item)
{
    return is_type(item, cJSON_String) ? item->valuestring : NULL;
}

bool json_as_integer(const struct cJSON *item, int64_t *value)
{
    if (!is_type(item, cJSON_Number) ||
        !(item->valuedouble >= -EXACT_MAX && item->valuedouble <= EXACT_MAX))
        return false;
    *value = (int64_t)item->valuedouble;
    if ((double)*value > item->valuedouble)
        (*value)--;
    return true;
}

const char *json_string(const struct cJSON *object, const char *name)
{
    return json_as_string(json_member(object, name));
}

bool json_integer(const struct cJSON *object, const char *name, int64_t *value)
{
    return json_as_integer(json_member(object, name), value);
}

bool json_is_true(const struct cJSON *object, const char *name)
{
    return is_type(json_member(object, name), cJSON_True);
}

bool json_is_null(const struct cJSON *object, const char *name)
{
    return json_member(object, name) == NULL || is_type(json_member(object, name), cJSON_NULL);
}

void json_remove(struct cJSON *object, const char *name)
{
    cJSON *item;

    while ((item = json_member(object, name)) != NULL) /* a name may stand there twice */
        cJSON_Delete(cJSON_DetachItemViaPointer(object, item));
}

void json_set_item(struct cJSON *object, const char *name, cJSON *item)
{
    json_remove(object, name);
    item->string = mem_copy(name);
    cJSON_AddItemToArray(object, item);
}

void json_set_string(struct cJSON *object, const char *name, const char *text)
{
    cJSON *item = new_item(text == NULL ? cJSON_NULL : cJSON_String);

    item->valuestring = mem_copy(text);
    json_set_item(object, name, item);
}

void json_set_integer(struct cJSON *object, const char *name, int64_t value)
{
    cJSON *item = new_item(cJSON_Number);

    item->valuedouble = (double)value;
    item->valueint = value > INT_MAX ? INT_MAX : value < INT_MIN ? INT_MIN : (int)value;
    json_set_item(object, name, item);
}

void json_set_bool(struct cJSON *object, const char *name, bool value)
{
    json_set_item(object, name, new_item(value ? cJSON_True : cJSON_False));
}

void json_set_array(struct cJSON *object, const char *name)
{
    json_set_item(object, name, new_item(cJSON_Array));
}

void json_add_to_array(struct cJSON *object, const char *name, struct cJSON *item)
{
    cJSON_AddItemToArray(json_member(object, name), item);
}

#define PRINT_SIZE 2048 /* most of what is printed fits at once; for more, cJSON doubles it */

/* cJSON's sprintf saves the vector registers on the stack, with what was copied last in them. */
static __attribute__((noinline)) void wipe_stack(void)
{
    char below[4096]; /* several times what those calls need */

    mem_wipe(below, sizeof below);
}

char *json_print(const struct cJSON *json, bool in_lines)
{
    char *text = mem_require(cJSON_PrintBuffered(json, PRINT_SIZE, in_lines));

    wipe_stack();
    return text;
}
