/* What `digest` counts: the executions by row, and the calls by row, user and host. */
#ifndef AURORA_SCANNER_TALLY_H
#define AURORA_SCANNER_TALLY_H

#include <stdlib.h>

#include "_scanner_bytes.h"

/* A growing array of anything. */
typedef struct {
    void *items;
    size_t count, room;
} List;

/* Make room for `more` further items; 0 if there is no memory. */
static int make_room(List *list, size_t more, size_t size)
{
    size_t room = list->room ? list->room : 8;
    if (list->count + more <= list->room)
        return 1;
    while (room < list->count + more)
        room *= 2;
    void *items = realloc(list->items, room * size);
    if (items == NULL)
        return 0;
    list->items = items;
    list->room = room;
    return 1;
}

static void clear(List *list)
{
    free(list->items);
    *list = (List){NULL, 0, 0};
}

/* Texts → numbers: an open hash table of indices into `entries`, whose texts stand in `bytes`. */
typedef struct {
    uint64_t hash;
    size_t at, size;
    uint32_t value;
} Known;

typedef struct {
    List known, bytes;
    uint32_t *slots; /* index + 1; 0 is free */
    size_t room;
} Names;

static inline uint64_t mixed(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash(const byte *at, size_t size, uint64_t seed)
{
    uint64_t a, b, h = seed ^ (size * UINT64_C(0x9E3779B97F4A7C15));
    for (; size >= 16; at += 16, size -= 16) {
        memcpy(&a, at, 8);
        memcpy(&b, at + 8, 8);
        h = mixed(a ^ UINT64_C(0xA0761D6478BD642F) ^ h, b ^ UINT64_C(0xE7037ED1A0B428DB));
    }
    a = b = 0;
    memcpy(&a, at, size < 8 ? size : 8);
    if (size > 8)
        memcpy(&b, at + 8, size - 8);
    return mixed(a ^ UINT64_C(0xA0761D6478BD642F) ^ h, b ^ UINT64_C(0x8EBC6AF09C88C6E3) ^ h);
}

static Known *find(const Names *names, const byte *at, size_t size, uint64_t key)
{
    if (names->room == 0)
        return NULL;
    for (size_t n = key & (names->room - 1); names->slots[n]; n = (n + 1) & (names->room - 1)) {
        Known *known = (Known *)names->known.items + names->slots[n] - 1;
        if (known->hash == key && known->size == size
            && (size == 0 || memcmp((byte *)names->bytes.items + known->at, at, size) == 0)) /* there may be no bytes */
            return known;
    }
    return NULL;
}

/* Add a text that is not there; 0 if there is no memory. */
static int add(Names *names, const byte *at, size_t size, uint64_t key, uint32_t value)
{
    if (names->known.count * 2 >= names->room) {
        size_t room = names->room ? names->room * 2 : 512;
        uint32_t *slots = calloc(room, sizeof(*slots));
        if (slots == NULL)
            return 0;
        for (size_t i = 0; i < names->known.count; i++) {
            size_t n = ((Known *)names->known.items)[i].hash & (room - 1);
            while (slots[n])
                n = (n + 1) & (room - 1);
            slots[n] = (uint32_t)i + 1;
        }
        free(names->slots);
        names->slots = slots;
        names->room = room;
    }
    if (!make_room(&names->known, 1, sizeof(Known)) || !make_room(&names->bytes, size, 1))
        return 0;
    size_t n = key & (names->room - 1);
    while (names->slots[n])
        n = (n + 1) & (names->room - 1);
    names->slots[n] = (uint32_t)names->known.count + 1;
    ((Known *)names->known.items)[names->known.count++] = (Known){key, names->bytes.count, size, value};
    if (size)
        memcpy((byte *)names->bytes.items + names->bytes.count, at, size);
    names->bytes.count += size;
    return 1;
}

static void forget(Names *names)
{
    clear(&names->known);
    clear(&names->bytes);
    free(names->slots);
    names->slots = NULL;
    names->room = 0;
}

typedef struct {
    List times; /* int64_t [us] */
    int64_t query_us, lock_us, rows_sent, rows_examined;
} Row;

typedef struct {
    uint32_t row, client;
    int64_t calls;
} Pair;

#endif
