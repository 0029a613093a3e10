/* What `ingest` keeps: one record per execution, with texts as numbers. */
#ifndef AURORA_SCANNER_RECORDS_H
#define AURORA_SCANNER_RECORDS_H

#include "_scanner_entry.h"
#include "_scanner_tally.h"

typedef struct {
    int64_t started_us, ended_us, thread_id, rows_sent, rows_examined, ordinal;
    double precision_s, query_s, lock_s;
    uint32_t user, host, database, tags, row, is_inferred; /* user, host, database: 0 is none */
} Execution;

#define NOT_COUNTED (-1)

/* Executions that are equal in all that identifies them: log_tables.py, `_Ordinals`. */
typedef struct {
    int64_t ended_us, thread_id;
    double query_s, lock_s;
    uint64_t digest;
    uint32_t generation, count;
} Equal;

enum { EQUAL_SLOTS = 1 << 15, MOST_EQUAL = 20000, HORIZON_US = 10 * MICRO };

typedef struct {
    byte text[LONGEST_NAME];
    size_t size;
    int is_set;
} Name;

typedef struct {
    List executions, extras, digests; /* extras: a line of JSON each; digests: by row */
    Names names, notes;               /* notes: a shape and its comments → the number of their tags */
    List note;                        /* the note that the last scan did not know */
    size_t sql_at, sql_size;          /* where the statement of that note is in the buffer */
    Equal *recent, *older;
    uint32_t recent_generation, older_generation;
    size_t recent_count;
    int64_t since_us;
    Name database, named_by;
    int is_zoned;
} Records;

static void set_name(Name *name, Text text)
{
    name->is_set = text.at != NULL;
    name->size = text.size;
    if (text.size)
        memcpy(name->text, text.at, text.size);
}

static int is_same(const Name *name, Text text)
{
    return name->is_set && text.at && name->size == text.size && memcmp(name->text, text.at, text.size) == 0;
}

static Equal *equal_slot(Equal *slots, uint32_t generation, const Equal *key)
{
    uint64_t bits[2];
    memcpy(bits, &key->query_s, 8);
    memcpy(bits + 1, &key->lock_s, 8);
    uint64_t h = mixed((uint64_t)key->ended_us ^ UINT64_C(0x9E3779B97F4A7C15), key->digest ^ bits[0]);
    h = mixed(h ^ (uint64_t)key->thread_id, bits[1] ^ UINT64_C(0xE7037ED1A0B428DB));
    for (size_t n = h & (EQUAL_SLOTS - 1);; n = (n + 1) & (EQUAL_SLOTS - 1)) {
        Equal *slot = slots + n;
        if (slot->generation != generation
            || (slot->ended_us == key->ended_us && slot->thread_id == key->thread_id && slot->digest == key->digest
                && memcmp(&slot->query_s, &key->query_s, 8) == 0 && memcmp(&slot->lock_s, &key->lock_s, 8) == 0))
            return slot;
    }
}

/* The number of equal executions before this one; -1 without memory. */
static int64_t ordinal_of(Records *r, const Execution *one, uint64_t digest)
{
    Equal key = {one->ended_us, one->thread_id, one->query_s, one->lock_s, digest, 0, 0};
    if (r->recent == NULL || r->older == NULL) {
        if (r->recent == NULL && (r->recent = calloc(EQUAL_SLOTS, sizeof(Equal))) == NULL)
            return -1;
        if ((r->older = calloc(EQUAL_SLOTS, sizeof(Equal))) == NULL)
            return -1;
        r->recent_generation = 2;
        r->older_generation = 1;
    }
    if (one->ended_us < r->since_us || one->ended_us - r->since_us >= HORIZON_US || r->recent_count >= MOST_EQUAL) {
        Equal *older = r->recent;
        r->recent = r->older;
        r->older = older;
        r->older_generation = r->recent_generation++;
        r->recent_count = 0;
        r->since_us = one->ended_us;
    }
    Equal *slot = equal_slot(r->recent, r->recent_generation, &key);
    if (slot->generation != r->recent_generation) {
        const Equal *before = equal_slot(r->older, r->older_generation, &key);
        key.count = before->generation == r->older_generation ? before->count : 0;
        key.generation = r->recent_generation;
        *slot = key;
        r->recent_count++;
    }
    return slot->count++;
}

/* The number of a name; 0 without memory. */
static uint32_t name_of(Records *r, Text name, uint64_t seed)
{
    uint64_t h = hash(name.at, name.size, seed);
    Known *known = find(&r->names, name.at, name.size, h);
    if (known)
        return known->value;
    uint32_t number = (uint32_t)r->names.known.count + 1;
    return add(&r->names, name.at, name.size, h, number) ? number : 0;
}

/* Fill in an execution's names and ordinal, and keep it; 0 without memory. A database without a text is none. */
static int keep(Records *r, Execution *one, Text user, Text host, Text database, uint64_t digest, uint64_t seed)
{
    int64_t ordinal;
    if (!(one->user = name_of(r, user, seed)) || !(one->host = name_of(r, host, seed))
        || (database.at && !(one->database = name_of(r, database, seed)))
        || !make_room(&r->executions, 1, sizeof(Execution)))
        return 0;
    if (one->ended_us != NO_TIME) {
        if ((ordinal = ordinal_of(r, one, digest)) < 0)
            return 0;
        one->ordinal = ordinal;
    }
    ((Execution *)r->executions.items)[r->executions.count++] = *one;
    return 1;
}

/* The schema as Percona Server writes it under log_slow_extra: among the figures. */
static Text schema_of(Text figures)
{
    static const char before[] = " Schema: ", behind[] = " Rows_affected:";
    const byte *at = figures.at, *end = at + figures.size;
    for (; at < end && (at = memchr(at, ' ', (size_t)(end - at))) != NULL; at++)
        if (STARTS(at, end, before)) {
            const byte *first = at + sizeof(before) - 1, *last = first;
            while (last < end && *last != '\n' && !STARTS(last, end, behind))
                last++;
            return (Text){first, (size_t)(last - first)};
        }
    return (Text){NULL, 0};
}

/* The entry's database, its own or the log's latest; `at` is NULL if it has none. */
static Text database_of(Records *r, const Entry *entry, uint32_t *is_inferred)
{
    Text name = entry->database.at ? entry->database : schema_of(entry->figures);
    *is_inferred = 0;
    if (name.at) {
        set_name(&r->database, name);
        set_name(&r->named_by, entry->thread);
    } else if (r->database.size) {
        name = (Text){r->database.text, r->database.size};
        *is_inferred = !is_same(&r->named_by, entry->thread);
    }
    if (name.size == 0)
        return (Text){NULL, 0};
    while (name.size && *name.at == '`') {
        name.at++;
        name.size--;
    }
    while (name.size && name.at[name.size - 1] == '`')
        name.size--;
    return name;
}

static void forget_records(Records *r)
{
    clear(&r->executions);
    clear(&r->extras);
    clear(&r->digests);
    clear(&r->note);
    forget(&r->names);
    forget(&r->notes);
    free(r->recent);
    free(r->older);
    r->recent = r->older = NULL;
}

#endif
