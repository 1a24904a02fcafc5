#include "json.h"

#include <cjson/cJSON.h>
#include <string.h>

#include "secret.h"

/* Doubles hold every whole number up to here. */
#define EXACT_MAX 9007199254740992.0

static void use_secret_memory(void)
{
    static cJSON_Hooks hooks = {secret_malloc, secret_free};

    cJSON_InitHooks(&hooks);
}

static bool has_nul(const char *text, size_t len)
{
    const char *end = text + len, *at = text;

    if (memchr(text, '\0', len) != NULL)
        return true;
    /* Whatever is escaped is not the start of another escape: a pair at a time. */
    while ((at = memchr(at, '\\', (size_t)(end - at))) != NULL) {
        if (end - at >= 6 && memcmp(at, "\\u0000", 6) == 0)
            return true;
        if (end - at < 2)
            break;
        at += 2;
    }
    return false;
}

struct cJSON *json_parse_object(const char *text, size_t len)
{
    cJSON *json;

    if (has_nul(text, len))
        return NULL;
    use_secret_memory();
    json = cJSON_ParseWithLengthOpts(text, len + 1, NULL, true);
    if (json != NULL && !cJSON_IsObject(json)) {
        cJSON_Delete(json);
        json = NULL;
    }
    return json;
}

struct cJSON *json_new_object(void)
{
    use_secret_memory();
    return secret_require(cJSON_CreateObject());
}

void json_delete(struct cJSON *json)
{
    cJSON_Delete(json);
}

const struct cJSON *json_member(const struct cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

bool json_has(const struct cJSON *object, const char *name)
{
    return json_member(object, name) != NULL;
}

const char *json_string(const struct cJSON *object, const char *name)
{
    const cJSON *member = json_member(object, name);

    return member != NULL && (member->type & 0xff) == cJSON_String ? member->valuestring : NULL;
}

bool json_integer(const struct cJSON *object, const char *name, int64_t *value)
{
    const cJSON *member = json_member(object, name);

    if (!cJSON_IsNumber(member) ||
        !(member->valuedouble >= -EXACT_MAX && member->valuedouble <= EXACT_MAX))
        return false;
    *value = (int64_t)member->valuedouble;
    if ((double)*value > member->valuedouble)
        (*value)--;
    return true;
}

bool json_is_true(const struct cJSON *object, const char *name)
{
    return cJSON_IsTrue(json_member(object, name));
}

bool json_is_null(const struct cJSON *object, const char *name)
{
    return cJSON_IsNull(json_member(object, name));
}

static void set(struct cJSON *object, const char *name, cJSON *item)
{
    secret_require(item);
    if (json_has(object, name))
        cJSON_ReplaceItemInObjectCaseSensitive(object, name, item);
    else
        cJSON_AddItemToObject(object, name, item);
}

void json_set_string(struct cJSON *object, const char *name, const char *text)
{
    if (text == NULL)
        json_remove(object, name);
    else
        set(object, name, cJSON_CreateString(text));
}

void json_set_integer(struct cJSON *object, const char *name, int64_t value)
{
    set(object, name, cJSON_CreateNumber((double)value));
}

void json_set_bool(struct cJSON *object, const char *name, bool value)
{
    set(object, name, cJSON_CreateBool(value));
}

void json_set_null(struct cJSON *object, const char *name)
{
    set(object, name, cJSON_CreateNull());
}

void json_set_object(struct cJSON *object, const char *name, struct cJSON *item)
{
    set(object, name, item);
}

void json_remove(struct cJSON *object, const char *name)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
}

void json_set_array(struct cJSON *object, const char *name)
{
    set(object, name, cJSON_CreateArray());
}

void json_add_to_array(struct cJSON *object, const char *name, struct cJSON *item)
{
    cJSON *array = cJSON_GetObjectItemCaseSensitive(object, name);

    if (array == NULL)
        array = secret_require(cJSON_AddArrayToObject(object, name));
    cJSON_AddItemToArray(array, item);
}

char *json_print(const struct cJSON *json)
{
    return secret_require(cJSON_Print(json));
}

char *json_print_line(const struct cJSON *json)
{
    return secret_require(cJSON_PrintUnformatted(json));
}
