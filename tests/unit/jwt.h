/* SPDX-License-Identifier: MIT */
/* Made-up JWTs for tests: a payload of one's choice, no signature that anybody would accept. */
#pragma once

#include <string.h>

#include "base/mem.h"

/* base64url (RFC 4648, 5) without padding, as JWTs have it; to mem_free. */
static inline char *jwt_encode(const char *text, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *encoded = mem_new(len / 3 * 4 + 5);
    size_t out = 0;

    for (size_t i = 0; i < len; i += 3) {
        size_t bytes = len - i < 3 ? len - i : 3;
        unsigned bits = (unsigned)(unsigned char)text[i] << 16;

        if (bytes > 1)
            bits |= (unsigned)(unsigned char)text[i + 1] << 8;
        if (bytes > 2)
            bits |= (unsigned)(unsigned char)text[i + 2];
        for (size_t digit = 0; digit <= bytes; digit++)
            encoded[out++] = digits[bits >> (18 - 6 * digit) & 63];
    }
    return encoded;
}

/* "HEADER.PAYLOAD.SIGNATURE"; to mem_free. */
static inline char *jwt_of(const char *payload)
{
    static const char header[] = "{\"typ\":\"JWT\",\"alg\":\"HS256\"}";
    char *head = jwt_encode(header, strlen(header));
    char *body = jwt_encode(payload, strlen(payload));
    char *token = mem_format("%s.%s.c2lnbmF0dXJl", head, body);

    mem_free(head);
    mem_free(body);
    return token;
}
