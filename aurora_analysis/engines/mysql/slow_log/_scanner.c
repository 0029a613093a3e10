/* The compiled twin of `scanner` and of the shapes of `fingerprint.cache`: the counts of `digest`, the rows of `ingest`.
 *
 * A Scanner takes the plain entries of a log, which are nearly all, and stops at the others, which Python reads. It
 * holds no policy: Python names the row of each new shape, and what makes an entry plain is never more than what
 * `grammar` and `pieces` read in the same way. It keeps to the limited API of Python 3.11.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "_scanner_entry.h"
#include "_scanner_extras.h"
#include "_scanner_records.h"
#include "_scanner_shape.h"
#include "_scanner_tally.h"

/* Why a scan stopped. */
enum { ENDED, HARD, NEW_SHAPE, NEW_TAGS, FULL, NO_MEMORY };

enum { SHAPES_BYTES = 8 * 1024 * 1024 };
/* The shapes are forgotten when their texts take more, so that a log of ever new statements cannot grow them. */

static const char SEPARATOR[] = "\n# User@Host: ", TIME[] = "\n# Time: ", MARKER[] = "[Your log message was truncated]";

typedef struct {
    byte text[LONGEST_TIME];
    size_t size;
    int is_set;
} Time;

typedef struct {
    PyObject_HEAD
    int is_busy, escapes, is_recording; /* it counts executions, or records each */
    uint64_t seed;
    const byte *buffer;
    /* The log's state at the next entry. */
    Time time, logged, recent;
    int64_t local_s, zone_s; /* of `logged`, and the server's zone; NO_TIME if unknown */
    Second second;
    /* The executions to count. */
    int is_limited, has_user;
    int64_t since_us, until_us;
    List user;
    /* The shape that the last scan did not know. */
    byte *shape;
    size_t shape_room, shape_size;
    uint64_t shape_hash;
    Names shapes, clients;
    Clients lines; /* numbers of `clients` by the beginning of a line */
    /* The counts. */
    List rows, pairs, client_texts; /* client_texts: sizes of the users, by client */
    uint32_t *slots;
    size_t room, most_pairs;
    int64_t events, held, first_us, last_us;
    int has_ends;
    Records records;
} Scanner;

typedef struct {
    const byte *text_end, *end; /* where the entry's text ends, and where the next entry begins */
    const byte *line;           /* the last line end before a line that looks like a header's; NULL if there is none */
    Text time;                  /* the time of the next entry; its `at` is NULL if the log does not give it here */
    const byte *banner;         /* the last line of the banner behind the text; NULL if there is none */
    int is_hard;
} Piece;

/* The start of the line before the one that starts at `line`; NULL if that is not behind `start`. */
static const byte *line_before(const byte *line, const byte *start)
{
    if (line <= start)
        return NULL;
    for (line--; line > start && line[-1] != '\n'; line--)
        ;
    return line > start ? line : NULL;
}

/* The line end before a banner whose last line is at `last`: the three lines of a server that opens its log; NULL if
 * they do not stand between a semicolon and `end`, or if they hold anything that could be read in another way. */
static const byte *banner_start(const byte *start, const byte *last, const byte *end)
{
    static const char *const words[] = {"Time", "Id", "Command", "Argument"};
    const byte *at = last, *second = line_before(last, start), *first = second ? line_before(second, start) : NULL;
    if (first == NULL || first - start < 2 || first[-2] != ';')
        return NULL;
    for (size_t n = 0; n < sizeof(words) / sizeof(*words); n++)
        if ((n && !take_spaces(&at, end)) || !take(&at, end, words[n], strlen(words[n])))
            return NULL;
    const byte *title = second - sizeof("started with:");
    if (at != end || title < first || !STARTS(title, end, "started with:\n"))
        return NULL;
    int has_version = 0;
    for (at = first; at < end; at++) {
        if (strchr("*\\\r", *at) || (is(*at, STOP) && *at != '(' && *at != ')'))
            return NULL;
        has_version |= at < title && STARTS(at, title, ", Version: ");
    }
    return has_version ? first - 1 : NULL;
}

/* Find the end of the entry that begins at `at`; return 0 if it is not in the buffer. */
static int take_piece(const byte *at, const byte *limit, Piece *piece)
{
    const byte *time = NULL;
    *piece = (Piece){NULL, NULL, NULL, {NULL, 0}, NULL, 0};
    for (const byte *sign = at;; sign++) {
        sign = next_sign(sign, limit);
        if (limit - sign < (ptrdiff_t)sizeof(SEPARATOR) - 1)
            return 0;
        if (*sign == '[') {
            piece->is_hard |= STARTS(sign, limit, MARKER);
        } else if (sign[1] == 'T') {
            if (STARTS(sign + 1, limit, "Time ") || STARTS(sign + 1, limit, "Time\t")) {
                piece->is_hard |= piece->banner != NULL;
                piece->banner = sign + 1;
            }
        } else if (STARTS(sign, limit, SEPARATOR)) {
            piece->text_end = sign;
            piece->end = sign + sizeof(SEPARATOR) - 1;
            break;
        } else if (STARTS(sign, limit, "\n# ")) {
            int is_time = STARTS(sign, limit, TIME);
            piece->line = !is_time ? sign : time ? time : piece->line;
            time = is_time ? sign : time;
        }
    }
    if (time && piece->line > time) {
        piece->is_hard = 1; /* another line follows the time */
    } else if (time) {
        const byte *text = time + sizeof(TIME) - 1, *last = piece->text_end;
        while (last > text && (is(last[-1], BLANK) || last[-1] == '\v' || last[-1] == '\f'))
            last--;
        piece->time = (Text){text, (size_t)(last - text)};
        piece->text_end = time;
        piece->is_hard |= piece->time.size > LONGEST_TIME || memchr(text, '\n', piece->time.size)
                          || memchr(text, '#', piece->time.size);
    }
    if (piece->banner && !piece->is_hard) {
        const byte *start = banner_start(at, piece->banner, piece->text_end), *line = line_end(at, piece->text_end);
        piece->is_hard = start == NULL || line == at || is(line[-1], BLANK); /* `pieces` removes such blanks */
        piece->text_end = start ? start : piece->text_end;
    }
    return 1;
}

static void set_time(Time *time, Text text)
{
    time->is_set = text.at != NULL;
    time->size = text.size;
    if (text.size)
        memcpy(time->text, text.at, text.size);
}

/* When an execution ended, and how exact that is [s]; 0 if Python has to find out. */
static int ended_us(Scanner *s, const Entry *entry, int64_t *us, double *precision_s)
{
    const byte *at = entry->timestamp.at;
    *precision_s = 1e-6;
    if (s->time.is_set) {
        Text time = {s->time.text, s->time.size};
        if ((*us = same_second_us(&s->second, time)) == NO_TIME) {
            if (!zoned_us(time, us))
                return 0;
            note_second(&s->second, time, *us);
        }
        if (*us != NO_TIME) {
            s->records.is_zoned = 1;
            return 1;
        }
    } else {
        const byte *p = entry->figures.at, *end = p + entry->figures.size;
        while (p < end && (p = memchr(p, 'E', (size_t)(end - p))) != NULL) {
            if (STARTS(p, end, "End: "))
                return 0;
            p++;
        }
    }
    *us = NO_TIME;
    if (at == NULL)
        return 1;
    if (!take_digits(&at, at + entry->timestamp.size, 10, us))
        return 0;
    *us = *us * MICRO + (entry->timestamp_is_start ? entry->query_us : 0);
    *precision_s = 1.0;
    if (!entry->timestamp_is_start && s->records.is_zoned)
        *precision_s += (double)entry->query_us / MICRO;
    return 1;
}

/* What an entry shows of the server's clock: `clock.py` is the authority. */
typedef struct {
    Text recent; /* its `at` is NULL if the entry shows nothing */
    int64_t zone_s;
} Shown;

/* Whether an entry's time without a zone, `ahead_s` ahead of its `SET timestamp`, may show the server's zone. */
static int shows_zone(int64_t ahead_s, int64_t query_us, int is_timed, Shown *shown)
{
    int64_t over_s = ahead_s % QUARTER_S + (ahead_s % QUARTER_S < 0 ? QUARTER_S : 0);
    if (over_s <= ROUNDING_S)
        shown->zone_s = ahead_s - over_s;
    else if (QUARTER_S - over_s <= ROUNDING_S)
        shown->zone_s = ahead_s - over_s + QUARTER_S;
    return !is_timed || (over_s - ROUNDING_S) * MICRO <= query_us || QUARTER_S - over_s <= ROUNDING_S;
}

/* Whether `SET timestamp` is the server's own for sure; `clock.py` decides the others. */
static int is_servers(const Scanner *s, const Entry *entry, Shown *shown)
{
    Text timestamp = entry->timestamp, first = {timestamp.at, timestamp.size < 5 ? timestamp.size : 5};
    int64_t local = s->time.is_set ? local_s((Text){s->time.text, s->time.size}) : s->local_s, at;
    *shown = (Shown){{NULL, 0}, s->zone_s};
    if (first.at == NULL)
        return 1;
    if (local == NO_TIME && s->recent.is_set && first.size == s->recent.size
        && memcmp(first.at, s->recent.text, first.size) == 0)
        return 1;
    if (!take_digits(&timestamp.at, timestamp.at + timestamp.size, 10, &at))
        return 0;
    shown->recent = first;
    if (local == NO_TIME)
        return at >= EARLIEST_S && at < LATEST_S;
    int64_t ahead_s = local - at;
    if (((ahead_s < 0 ? -ahead_s : ahead_s) - FURTHEST_S) * MICRO > entry->query_us)
        return 0;
    if (s->zone_s == NO_TIME)
        return shows_zone(ahead_s, entry->query_us, s->time.is_set, shown);
    int64_t later_s = s->zone_s - ahead_s;
    return later_s <= ROUNDING_S && -(later_s + ROUNDING_S) * MICRO <= entry->query_us;
}

static void log_time(Scanner *s, const Time *time)
{
    s->logged = *time;
    s->local_s = time->is_set ? local_s((Text){time->text, time->size}) : NO_TIME;
}

/* A server that opens its log names every database again, and may have another time zone. */
static void begin_log(Scanner *s)
{
    s->zone_s = NO_TIME;
    s->records.database.is_set = s->records.named_by.is_set = 0;
    s->records.database.size = s->records.named_by.size = 0;
}

static int is_selected(const Scanner *s, const Entry *entry, int64_t us)
{
    if (s->has_user
        && (entry->user.size != s->user.count || memcmp(entry->user.at, s->user.items, entry->user.size) != 0))
        return 0;
    return !s->is_limited || (us != NO_TIME && s->since_us <= us && us < s->until_us);
}

enum { CLIENT_BYTES = 4 + 2 * LONGEST_NAME };

/* The number of a user at a host; -1 if there is no memory. */
static int64_t client_of(Scanner *s, Text user, Text host)
{
    byte key[CLIENT_BYTES];
    uint32_t size = (uint32_t)user.size;
    memcpy(key, &size, 4);
    if (user.size)
        memcpy(key + 4, user.at, user.size);
    if (host.size)
        memcpy(key + 4 + user.size, host.at, host.size);
    size_t length = 4 + user.size + host.size;
    uint64_t h = hash(key, length, s->seed);
    Known *known = find(&s->clients, key, length, h);
    if (known)
        return known->value;
    size_t client = s->clients.known.count;
    return add(&s->clients, key, length, h, (uint32_t)client) ? (int64_t)client : -1;
}

static size_t slot_of(const Scanner *s, uint32_t row, uint32_t client)
{
    size_t n = mixed((uint64_t)row << 32 | client, UINT64_C(0x9E3779B97F4A7C15) ^ s->seed) & (s->room - 1);
    while (s->slots[n]) {
        Pair *pair = (Pair *)s->pairs.items + s->slots[n] - 1;
        if (pair->row == row && pair->client == client)
            break;
        n = (n + 1) & (s->room - 1);
    }
    return n;
}

/* Find the calls of a row by a client, or begin to count them; *found is NULL where there is no room or memory. */
static int pair_of(Scanner *s, uint32_t row, const Entry *entry, Pair **found)
{
    *found = NULL;
    if (s->clients.known.count > s->most_pairs)
        return FULL;
    int64_t client = entry->client && *entry->client != NO_CLIENT ? *entry->client : client_of(s, entry->user, entry->host);
    if (client < 0)
        return NO_MEMORY;
    if (entry->client)
        *entry->client = client;
    if (s->pairs.count * 2 >= s->room) {
        size_t room = s->room ? s->room * 2 : 512;
        uint32_t *slots = calloc(room, sizeof(*slots));
        if (slots == NULL)
            return NO_MEMORY;
        free(s->slots);
        s->slots = slots;
        s->room = room;
        for (size_t i = 0; i < s->pairs.count; i++) {
            Pair *pair = (Pair *)s->pairs.items + i;
            s->slots[slot_of(s, pair->row, pair->client)] = (uint32_t)i + 1;
        }
    }
    size_t n = slot_of(s, row, (uint32_t)client);
    if (s->slots[n] == 0) {
        if (s->pairs.count >= s->most_pairs)
            return FULL;
        if (!make_room(&s->pairs, 1, sizeof(Pair)))
            return NO_MEMORY;
        ((Pair *)s->pairs.items)[s->pairs.count++] = (Pair){row, (uint32_t)client, 0};
        s->slots[n] = (uint32_t)s->pairs.count;
    }
    *found = (Pair *)s->pairs.items + s->slots[n] - 1;
    return ENDED;
}

static void note_ended(Scanner *s, int64_t us)
{
    if (!s->has_ends)
        s->first_us = us;
    s->last_us = us;
    s->has_ends = 1;
}

/* Count an execution; a reason to stop if that is impossible now. */
static int count_entry(Scanner *s, const Entry *entry, const Known *known, int64_t us)
{
    Pair *pair;
    int64_t query, lock, sent, examined;
    Row *row = (Row *)s->rows.items + known->value;
    if (__builtin_add_overflow(row->query_us, entry->query_us, &query)
        || __builtin_add_overflow(row->lock_us, entry->lock_us, &lock)
        || __builtin_add_overflow(row->rows_sent, entry->rows_sent, &sent)
        || __builtin_add_overflow(row->rows_examined, entry->rows_examined, &examined))
        return FULL;
    if (!make_room(&row->times, 1, sizeof(int64_t)))
        return NO_MEMORY;
    int reason = pair_of(s, known->value, entry, &pair);
    if (reason != ENDED)
        return reason;
    pair->calls++;
    row->query_us = query;
    row->lock_us = lock;
    row->rows_sent = sent;
    row->rows_examined = examined;
    ((int64_t *)row->times.items)[row->times.count++] = entry->query_us;
    s->held++;
    note_ended(s, us);
    return ENDED;
}

/* Find the number of the tags in a statement's comments; a reason to stop if that is impossible.
 *
 * The tags depend on the comments and on their place among the tokens, which the shape gives if a word comes first: a
 * shape does not distinguish NULL, which is a word, from other values.
 */
static int find_tags(Scanner *s, const Entry *entry, const Shape *shape, const Known *known, uint32_t *tags)
{
    Records *r = &s->records;
    uint32_t number = (uint32_t)(known - (Known *)s->shapes.known.items);
    const byte *first = shape->out;
    size_t size = sizeof(number);
    *tags = 0;
    if (shape->comment_count == 0)
        return ENDED;
    while (first < shape->o && (*first == COMMENT || is(*first, BLANK)))
        first++;
    int is_command = *shape->out == '#';
    if (shape->comment_count > MOST_COMMENTS
        || (!is_command && (first == shape->o || !is_ascii_word(*first) || is(*first, DIGIT))))
        return HARD;
    for (int n = 0; n < shape->comment_count; n++)
        size += sizeof(size_t) + shape->comments[n].size;
    r->note.count = 0;
    if (!make_room(&r->note, size, 1))
        return NO_MEMORY;
    byte *o = r->note.items;
    o = put(o, (const byte *)&number, sizeof(number));
    for (int n = 0; n < shape->comment_count; n++) {
        o = put(o, (const byte *)&shape->comments[n].size, sizeof(size_t));
        o = put(o, shape->comments[n].at, shape->comments[n].size);
    }
    r->note.count = size;
    const Known *found = find(&r->notes, r->note.items, size, hash(r->note.items, size, s->seed));
    if (found) {
        *tags = found->value;
        return ENDED;
    }
    r->sql_at = (size_t)(entry->sql.at - s->buffer);
    r->sql_size = entry->sql.size;
    return NEW_TAGS;
}

/* Record an execution; a reason to stop if that is impossible now. */
static int record_entry(Scanner *s, const Entry *entry, const Shape *shape, const Known *known, int64_t us, double precision_s)
{
    Records *r = &s->records;
    Execution one = {0};
    uint64_t digest = ((uint64_t *)r->digests.items)[known->value];
    if (us == NO_TIME || (entry->database.at == NULL && schema_of(entry->figures).size > LONGEST_NAME))
        return HARD;
    int reason = find_tags(s, entry, shape, known, &one.tags);
    if (reason != ENDED)
        return reason;
    int is_added = add_extras(&r->extras, entry->figures);
    if (is_added <= 0)
        return is_added ? NO_MEMORY : HARD;
    for (size_t n = 0; n < entry->thread.size; n++)
        one.thread_id = one.thread_id * 10 + (entry->thread.at[n] - '0');
    one.ended_us = us;
    one.started_us = us - entry->query_us;
    one.precision_s = precision_s;
    one.query_s = (double)entry->query_us / MICRO;
    one.lock_s = (double)entry->lock_us / MICRO;
    one.rows_sent = entry->rows_sent;
    one.rows_examined = entry->rows_examined;
    one.row = known->value;
    Text database = database_of(r, entry, &one.is_inferred);
    return keep(r, &one, entry->user, entry->host, database, digest, s->seed) ? ENDED : NO_MEMORY;
}

/* Take entries from `*at` on, as long as they are plain and known; return why it stopped. */
static int scan(Scanner *s, const byte **at, const byte *limit)
{
    Piece piece;
    Entry entry;
    int64_t us;
    double precision_s;
    Shown shown;
    while (take_piece(*at, limit, &piece)) {
        if (piece.is_hard || !take_header(*at, piece.text_end, &s->lines, &entry)
            || (piece.line && piece.line >= entry.sql.at) || !ended_us(s, &entry, &us, &precision_s))
            return HARD;
        if (!is_servers(s, &entry, &shown))
            return HARD;
        if (s->shape_room < entry.sql.size + 64) {
            byte *shape = realloc(s->shape, entry.sql.size * 2 + 4096);
            if (shape == NULL)
                return NO_MEMORY;
            s->shape = shape;
            s->shape_room = entry.sql.size * 2 + 4096;
        }
        Shape shape; /* without an initial value: its comments are many bytes */
        if (!make_shape(&shape, entry.sql, limit, s->shape, s->escapes))
            return HARD;
        if (is_selected(s, &entry, us)) {
            size_t size = (size_t)(shape.o - shape.out);
            uint64_t h = hash(s->shape, size, s->seed);
            const Known *known = find(&s->shapes, s->shape, size, h);
            if (known == NULL) {
                s->shape_size = size;
                s->shape_hash = h;
                return NEW_SHAPE;
            }
            int reason = s->is_recording ? record_entry(s, &entry, &shape, known, us, precision_s)
                                         : count_entry(s, &entry, known, us);
            if (reason != ENDED)
                return reason;
        }
        s->events++;
        if (s->time.is_set)
            log_time(s, &s->time);
        if (shown.recent.at)
            set_time(&s->recent, shown.recent);
        s->zone_s = shown.zone_s;
        if (piece.banner)
            begin_log(s);
        set_time(&s->time, piece.time);
        *at = piece.end;
    }
    return ENDED;
}

/* The module, as Python sees it. */

static int is_free(Scanner *s)
{
    if (s->is_busy)
        PyErr_SetString(PyExc_RuntimeError, "the scanner is scanning in another thread");
    return !s->is_busy;
}

static PyObject *scanner_scan(Scanner *s, PyObject *arguments)
{
    Py_buffer buffer;
    Py_ssize_t start;
    if (!is_free(s) || !PyArg_ParseTuple(arguments, "y*n", &buffer, &start))
        return NULL;
    if (start < 0 || start > buffer.len) {
        PyBuffer_Release(&buffer);
        PyErr_SetString(PyExc_ValueError, "start is outside the buffer");
        return NULL;
    }
    const byte *at = (const byte *)buffer.buf + start;
    int reason;
    s->is_busy = 1;
    s->events = 0;
    s->buffer = buffer.buf;
    Py_BEGIN_ALLOW_THREADS
    reason = scan(s, &at, (const byte *)buffer.buf + buffer.len);
    Py_END_ALLOW_THREADS
    s->is_busy = 0;
    Py_ssize_t stopped = at - (const byte *)buffer.buf;
    PyBuffer_Release(&buffer);
    if (reason == NO_MEMORY)
        return PyErr_NoMemory();
    return Py_BuildValue("niL", stopped, reason, (long long)s->events);
}

static PyObject *scanner_shape(Scanner *s, PyObject *Py_UNUSED(ignored))
{
    return is_free(s) ? PyBytes_FromStringAndSize((const char *)s->shape, (Py_ssize_t)s->shape_size) : NULL;
}

enum { MOST_ROWS = 1 << 24 };

/* Have all rows up to this one; 0 and an exception if that is impossible. */
static int make_rows(Scanner *s, unsigned long row)
{
    if (row >= MOST_ROWS) {
        PyErr_SetString(PyExc_ValueError, "there is no such row");
        return 0;
    }
    if (!make_room(&s->rows, row + 1 > s->rows.count ? row + 1 - s->rows.count : 0, sizeof(Row))) {
        PyErr_NoMemory();
        return 0;
    }
    for (; s->rows.count <= row; s->rows.count++)
        ((Row *)s->rows.items)[s->rows.count] = (Row){{NULL, 0, 0}, 0, 0, 0, 0};
    return 1;
}

/* Note a row's digest. */
static int set_digest(Scanner *s, unsigned long row, unsigned long long digest)
{
    List *digests = &s->records.digests;
    if (!make_room(digests, row + 1 > digests->count ? row + 1 - digests->count : 0, sizeof(uint64_t))) {
        PyErr_NoMemory();
        return 0;
    }
    for (; digests->count <= row; digests->count++)
        ((uint64_t *)digests->items)[digests->count] = 0;
    ((uint64_t *)digests->items)[row] = digest;
    return 1;
}

static PyObject *scanner_learn(Scanner *s, PyObject *arguments)
{
    unsigned long row;
    unsigned long long digest = 0;
    if (!is_free(s) || !PyArg_ParseTuple(arguments, "k|K", &row, &digest))
        return NULL;
    if (s->shapes.bytes.count > SHAPES_BYTES) {
        forget(&s->shapes);
        forget(&s->records.notes);
    }
    if (!make_rows(s, row) || (s->is_recording && !set_digest(s, row, digest)))
        return NULL;
    if (!add(&s->shapes, s->shape, s->shape_size, s->shape_hash, (uint32_t)row))
        return PyErr_NoMemory();
    s->shape_size = 0;
    s->shape_hash = hash(s->shape, 0, s->seed);
    Py_RETURN_NONE;
}

static PyObject *scanner_count(Scanner *s, PyObject *arguments)
{
    unsigned long row;
    const char *user, *host;
    Py_ssize_t user_size, host_size;
    PyObject *us;
    Pair *pair;
    if (!is_free(s) || !PyArg_ParseTuple(arguments, "ky#y#O", &row, &user, &user_size, &host, &host_size, &us))
        return NULL;
    if (user_size > LONGEST_NAME || host_size > LONGEST_NAME) {
        PyErr_SetString(PyExc_ValueError, "a user or host is too long");
        return NULL;
    }
    int64_t ended = us == Py_None ? NO_TIME : (int64_t)PyLong_AsLongLong(us);
    if (PyErr_Occurred())
        return NULL;
    if (!make_rows(s, row))
        return NULL;
    Entry entry = {.user = {(const byte *)user, (size_t)user_size}, .host = {(const byte *)host, (size_t)host_size}};
    int reason = pair_of(s, (uint32_t)row, &entry, &pair);
    if (reason == NO_MEMORY)
        return PyErr_NoMemory();
    if (reason == FULL)
        Py_RETURN_FALSE;
    pair->calls++;
    note_ended(s, ended);
    Py_RETURN_TRUE;
}

static PyObject *scanner_statement(Scanner *s, PyObject *Py_UNUSED(ignored))
{
    return is_free(s) ? Py_BuildValue("nn", (Py_ssize_t)s->records.sql_at,
                                      (Py_ssize_t)(s->records.sql_at + s->records.sql_size))
                      : NULL;
}

static PyObject *scanner_learn_tags(Scanner *s, PyObject *arguments)
{
    unsigned int tags;
    Records *r = &s->records;
    if (!is_free(s) || !PyArg_ParseTuple(arguments, "I", &tags))
        return NULL;
    if (r->note.count
        && !add(&r->notes, r->note.items, r->note.count, hash(r->note.items, r->note.count, s->seed), tags))
        return PyErr_NoMemory();
    r->note.count = 0;
    Py_RETURN_NONE;
}

/* Record an execution that Python read. */
static PyObject *scanner_append(Scanner *s, PyObject *arguments)
{
    unsigned long row;
    unsigned long long digest;
    const char *user, *host, *database, *extras;
    Py_ssize_t user_size, host_size, database_size, extras_size;
    long long started, ended, thread, sent, examined;
    int is_inferred;
    Execution one = {0};
    Records *r = &s->records;
    if (!is_free(s)
        || !PyArg_ParseTuple(arguments, "(kKI)(s#s#z#p)(LLd)(LddLL)s#", &row, &digest, &one.tags, &user, &user_size, &host,
                             &host_size, &database, &database_size, &is_inferred, &started, &ended, &one.precision_s,
                             &thread, &one.query_s, &one.lock_s, &sent, &examined, &extras, &extras_size)
        || !make_rows(s, row) || !set_digest(s, row, digest))
        return NULL;
    one.started_us = started;
    one.ended_us = ended;
    one.thread_id = thread;
    one.rows_sent = sent;
    one.rows_examined = examined;
    one.row = (uint32_t)row;
    one.is_inferred = (uint32_t)is_inferred;
    if (!make_room(&r->extras, (size_t)extras_size + 1, 1)
        || !keep(r, &one, (Text){(const byte *)user, (size_t)user_size}, (Text){(const byte *)host, (size_t)host_size},
                 (Text){(const byte *)database, database ? (size_t)database_size : 0}, digest, s->seed))
        return PyErr_NoMemory();
    byte *o = put((byte *)r->extras.items + r->extras.count, (const byte *)extras, (size_t)extras_size);
    *o = '\n';
    r->extras.count += (size_t)extras_size + 1;
    Py_RETURN_NONE;
}

static int append(PyObject *list, PyObject *item)
{
    int failed = item == NULL || PyList_Append(list, item) < 0;
    Py_XDECREF(item);
    return !failed;
}

static void clear_counts(Scanner *s)
{
    for (size_t n = 0; n < s->rows.count; n++) {
        Row *row = (Row *)s->rows.items + n;
        clear(&row->times);
        *row = (Row){{NULL, 0, 0}, 0, 0, 0, 0};
    }
    clear(&s->pairs);
    free(s->slots);
    s->slots = NULL;
    s->room = 0;
    s->held = 0;
    forget(&s->clients);
    forget_clients(&s->lines);
}

static PyObject *scanner_take(Scanner *s, PyObject *Py_UNUSED(ignored))
{
    if (!is_free(s))
        return NULL;
    PyObject *rows = PyList_New(0), *pairs = PyList_New(0);
    int is_made = rows && pairs;
    for (size_t n = 0; is_made && n < s->rows.count; n++) {
        Row *row = (Row *)s->rows.items + n;
        if (row->times.count)
            is_made = append(rows, Py_BuildValue("nLLLLy#", (Py_ssize_t)n, (long long)row->query_us,
                                                 (long long)row->lock_us, (long long)row->rows_sent,
                                                 (long long)row->rows_examined, (const char *)row->times.items,
                                                 (Py_ssize_t)(row->times.count * sizeof(int64_t))));
    }
    for (size_t n = 0; is_made && n < s->pairs.count; n++) {
        Pair *pair = (Pair *)s->pairs.items + n;
        Known *known = (Known *)s->clients.known.items + pair->client;
        const byte *key = (const byte *)s->clients.bytes.items + known->at;
        uint32_t user;
        memcpy(&user, key, 4);
        is_made = append(pairs, Py_BuildValue("ny#y#L", (Py_ssize_t)pair->row, (const char *)key + 4, (Py_ssize_t)user,
                                              (const char *)key + 4 + user, (Py_ssize_t)(known->size - 4 - user),
                                              (long long)pair->calls));
    }
    if (is_made) {
        clear_counts(s);
        return Py_BuildValue("NN", rows, pairs);
    }
    Py_XDECREF(rows);
    Py_XDECREF(pairs);
    return NULL;
}

/* A field of all executions, one after the other. */
static PyObject *column(const List *executions, size_t offset, size_t size)
{
    PyObject *made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(executions->count * size));
    if (made == NULL)
        return NULL;
    byte *o = (byte *)PyBytes_AsString(made);
    const byte *from = (const byte *)executions->items + offset;
    for (size_t n = 0; n < executions->count; n++, from += sizeof(Execution), o += size)
        memcpy(o, from, size);
    return made;
}
#define COLUMN(field) column(&r->executions, offsetof(Execution, field), sizeof(((Execution *)0)->field))

static PyObject *name_list(const Names *names)
{
    PyObject *list = PyList_New(0);
    int is_made = list && append(list, Py_NewRef(Py_None));
    for (size_t n = 0; is_made && n < names->known.count; n++) {
        const Known *known = (Known *)names->known.items + n;
        is_made = append(list, PyBytes_FromStringAndSize((const char *)names->bytes.items + known->at, (Py_ssize_t)known->size));
    }
    if (is_made)
        return list;
    Py_XDECREF(list);
    return NULL;
}

/* When the executions of each row ended, in the order of the rows' first execution: row, first, last. */
static PyObject *span_list(const Records *r)
{
    typedef struct {
        int64_t first_us, last_us;
        uint32_t row;
    } Span;
    PyObject *list = PyList_New(0);
    uint32_t *place = calloc(r->digests.count + 1, sizeof(*place));
    List spans = {NULL, 0, 0};
    int is_made = list && place;
    for (size_t n = 0; is_made && n < r->executions.count; n++) {
        const Execution *one = (Execution *)r->executions.items + n;
        if (place[one->row] == 0) {
            if (!(is_made = make_room(&spans, 1, sizeof(Span))))
                break;
            ((Span *)spans.items)[spans.count++] = (Span){one->ended_us, one->ended_us, one->row};
            place[one->row] = (uint32_t)spans.count;
        }
        Span *span = (Span *)spans.items + place[one->row] - 1;
        span->first_us = one->ended_us < span->first_us ? one->ended_us : span->first_us;
        span->last_us = one->ended_us > span->last_us ? one->ended_us : span->last_us;
    }
    if (!is_made && !PyErr_Occurred())
        PyErr_NoMemory();
    for (size_t n = 0; is_made && n < spans.count; n++) {
        const Span *span = (Span *)spans.items + n;
        is_made = append(list, Py_BuildValue("kLL", (unsigned long)span->row, (long long)span->first_us, (long long)span->last_us));
    }
    free(place);
    clear(&spans);
    if (is_made)
        return list;
    Py_XDECREF(list);
    return NULL;
}

static PyObject *scanner_take_records(Scanner *s, PyObject *Py_UNUSED(ignored))
{
    Records *r = &s->records;
    if (!is_free(s))
        return NULL;
    PyObject *made = Py_BuildValue(
        "{sNsNsNsNsNsNsNsNsNsNsNsNsNsNsNsNsN}", "names", name_list(&r->names), "started_us", COLUMN(started_us), "ended_us",
        COLUMN(ended_us), "thread_id", COLUMN(thread_id), "rows_sent", COLUMN(rows_sent), "rows_examined",
        COLUMN(rows_examined), "ordinal", COLUMN(ordinal), "precision_s", COLUMN(precision_s), "query_s", COLUMN(query_s),
        "lock_s", COLUMN(lock_s), "user", COLUMN(user), "host", COLUMN(host), "database", COLUMN(database), "is_inferred",
        COLUMN(is_inferred), "tags", COLUMN(tags), "row", COLUMN(row), "extras",
        PyBytes_FromStringAndSize(r->extras.items, (Py_ssize_t)r->extras.count));
    PyObject *spans = made ? span_list(r) : NULL;
    if (spans == NULL || PyDict_SetItemString(made, "spans", spans) < 0) {
        Py_XDECREF(spans);
        Py_XDECREF(made);
        return NULL;
    }
    Py_DECREF(spans);
    r->executions.count = r->extras.count = 0;
    forget(&r->names);
    return made;
}

static PyObject *scanner_drop_last(Scanner *s, PyObject *Py_UNUSED(ignored))
{
    Records *r = &s->records;
    if (!is_free(s))
        return NULL;
    if (r->executions.count) {
        const byte *extras = r->extras.items;
        r->executions.count--;
        do
            r->extras.count--;
        while (r->extras.count && extras[r->extras.count - 1] != '\n');
    }
    Py_RETURN_NONE;
}

static PyObject *scanner_forget(Scanner *s, PyObject *Py_UNUSED(ignored))
{
    if (!is_free(s))
        return NULL;
    forget(&s->shapes);
    forget(&s->records.notes);
    clear(&s->records.digests);
    Py_RETURN_NONE;
}

static PyObject *moment(int64_t us) { return us == NO_TIME ? Py_NewRef(Py_None) : PyLong_FromLongLong(us); }

static PyObject *scanner_ends(Scanner *s, PyObject *Py_UNUSED(ignored))
{
    if (!is_free(s))
        return NULL;
    if (!s->has_ends)
        return Py_BuildValue("OO", Py_None, Py_None);
    return Py_BuildValue("NN", moment(s->first_us), moment(s->last_us));
}

static PyObject *text_of(int is_set, const byte *text, size_t size)
{
    return is_set ? PyBytes_FromStringAndSize((const char *)text, (Py_ssize_t)size) : Py_NewRef(Py_None);
}
#define TEXT_OF(text_or_name) text_of((text_or_name).is_set, (text_or_name).text, (text_or_name).size)

static PyObject *scanner_state(Scanner *s, PyObject *Py_UNUSED(ignored))
{
    const Records *r = &s->records;
    return is_free(s) ? Py_BuildValue("(NNNNN)(NNN)", TEXT_OF(s->time), TEXT_OF(s->logged), TEXT_OF(s->recent), moment(s->local_s),
                                      moment(s->zone_s), TEXT_OF(r->database), TEXT_OF(r->named_by), PyBool_FromLong(r->is_zoned))
                      : NULL;
}

static PyObject *scanner_resume(Scanner *s, PyObject *arguments)
{
    enum { TIMES = 3, TEXTS = 5 };
    const char *text[TEXTS];
    Py_ssize_t size[TEXTS];
    int is_zoned;
    Time *time[TIMES] = {&s->time, &s->logged, &s->recent};
    Name *name[TEXTS - TIMES] = {&s->records.database, &s->records.named_by};
    PyObject *zone;
    if (!is_free(s)
        || !PyArg_ParseTuple(arguments, "(z#z#z#O)(z#z#p)", &text[0], &size[0], &text[1], &size[1], &text[2], &size[2], &zone,
                             &text[3], &size[3], &text[4], &size[4], &is_zoned))
        return NULL;
    int64_t zone_s = zone == Py_None ? NO_TIME : PyLong_AsLongLong(zone);
    if (zone_s == -1 && PyErr_Occurred())
        return NULL;
    for (int n = 0; n < TEXTS; n++)
        if (text[n] && size[n] > (n < TIMES ? LONGEST_TIME : LONGEST_NAME))
            Py_RETURN_FALSE;
    for (int n = 0; n < TEXTS; n++) {
        Text given = {(const byte *)text[n], text[n] ? (size_t)size[n] : 0};
        if (n < TIMES)
            set_time(time[n], given);
        else
            set_name(name[n - TIMES], given);
    }
    log_time(s, &s->logged);
    s->zone_s = zone_s;
    s->records.is_zoned = is_zoned;
    Py_RETURN_TRUE;
}

static PyObject *scanner_recorded(Scanner *s, void *Py_UNUSED(ignored))
{
    return PyLong_FromSize_t(s->records.executions.count);
}

static PyObject *scanner_held(Scanner *s, void *Py_UNUSED(ignored)) { return PyLong_FromLongLong(s->held); }

static int scanner_init(Scanner *s, PyObject *arguments, PyObject *names)
{
    static char *keywords[] = {"backslash_escapes", "most_pairs", "since_us", "until_us", "user", "record", NULL};
    PyObject *since = Py_None, *until = Py_None;
    const char *user = NULL;
    Py_ssize_t user_size = 0, most_pairs;
    if (!is_free(s)
        || !PyArg_ParseTupleAndKeywords(arguments, names, "pn|OOz#p", keywords, &s->escapes, &most_pairs, &since, &until,
                                        &user, &user_size, &s->is_recording))
        return -1;
    if (most_pairs < 1 || most_pairs > 10000000) {
        PyErr_SetString(PyExc_ValueError, "most_pairs must be between 1 and 10 million");
        return -1;
    }
    s->second.us = NO_TIME;
    s->most_pairs = (size_t)most_pairs;
    s->is_limited = since != Py_None || until != Py_None;
    s->since_us = since == Py_None ? 0 : (int64_t)PyLong_AsLongLong(since);
    s->until_us = until == Py_None ? INT64_MAX : (int64_t)PyLong_AsLongLong(until);
    if (PyErr_Occurred())
        return -1;
    s->has_user = user != NULL;
    clear(&s->user);
    if (user_size) {
        if (!make_room(&s->user, (size_t)user_size, 1)) {
            PyErr_NoMemory();
            return -1;
        }
        memcpy(s->user.items, user, (size_t)user_size);
        s->user.count = (size_t)user_size;
    }
    PyObject *salt = PyUnicode_FromString("aurora_analysis");
    s->seed = salt ? (uint64_t)PyObject_Hash(salt) : 0; /* differs between processes, unless PYTHONHASHSEED is set */
    Py_XDECREF(salt);
    s->lines.seed = s->seed;
    return PyErr_Occurred() ? -1 : 0;
}

static void scanner_dealloc(Scanner *s)
{
    PyTypeObject *type = Py_TYPE((PyObject *)s);
    clear_counts(s);
    clear(&s->rows);
    clear(&s->user);
    forget(&s->shapes);
    forget_records(&s->records);
    free(s->shape);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(s);
    Py_DECREF((PyObject *)type);
}

static PyMethodDef scanner_methods[] = {
    {"scan", (PyCFunction)scanner_scan, METH_VARARGS,
     "scan(buffer, start)\n--\n\nTake plain entries; return where and why it stopped, and how many were taken."},
    {"shape", (PyCFunction)scanner_shape, METH_NOARGS, "shape()\n--\n\nReturn the shape that stopped the last scan."},
    {"learn", (PyCFunction)scanner_learn, METH_VARARGS,
     "learn(row, digest=0)\n--\n\nName the row of that shape, and its digest as a number."},
    {"statement", (PyCFunction)scanner_statement, METH_NOARGS,
     "statement()\n--\n\nReturn the ends of the statement with the comments that stopped the last scan."},
    {"learn_tags", (PyCFunction)scanner_learn_tags, METH_VARARGS,
     "learn_tags(number)\n--\n\nName the tags of those comments; 0 is none."},
    {"append", (PyCFunction)scanner_append, METH_VARARGS,
     "append(statement, session, times, figures, extras)\n--\n\nRecord an execution that Python read."},
    {"take_records", (PyCFunction)scanner_take_records, METH_NOARGS,
     "take_records()\n--\n\nReturn the recorded executions as columns, and begin again with none."},
    {"drop_last", (PyCFunction)scanner_drop_last, METH_NOARGS, "drop_last()\n--\n\nDrop the last recorded execution."},
    {"forget", (PyCFunction)scanner_forget, METH_NOARGS, "forget()\n--\n\nForget all shapes and comments."},
    {"count", (PyCFunction)scanner_count, METH_VARARGS,
     "count(row, user, host, ended_us)\n--\n\nCount a call that Python read; False if `take` must come first."},
    {"take", (PyCFunction)scanner_take, METH_NOARGS,
     "take()\n--\n\nReturn the counts by row, and the calls by row, user and host; and begin again at 0."},
    {"ends", (PyCFunction)scanner_ends, METH_NOARGS, "ends()\n--\n\nReturn when the first and last execution ended."},
    {"state", (PyCFunction)scanner_state, METH_NOARGS,
     "state()\n--\n\nReturn the log's times (next entry's, latest, recent, local_s, zone_s), and its session (database, "
     "named_by, is_zoned)."},
    {"resume", (PyCFunction)scanner_resume, METH_VARARGS,
     "resume(times, session)\n--\n\nContinue from that state, times without local_s; False if a text is too long for that."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef scanner_attributes[] = {
    {"recorded", (getter)scanner_recorded, NULL, "Number of executions that wait for `take_records`.", NULL},
    {"held", (getter)scanner_held, NULL, "Number of query times that wait for `take`.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot scanner_slots[] = {
    {Py_tp_doc, "Counts the plain entries of a slow log."},
    {Py_tp_new, (void *)PyType_GenericNew},
    {Py_tp_init, (void *)scanner_init},
    {Py_tp_dealloc, (void *)scanner_dealloc},
    {Py_tp_methods, scanner_methods},
    {Py_tp_getset, scanner_attributes},
    {0, NULL},
};

static PyType_Spec scanner_spec = {
    .name = "aurora_analysis.engines.mysql.slow_log._scanner.Scanner",
    .basicsize = sizeof(Scanner),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = scanner_slots,
};

enum { RADIX_BITS = 11, RADIX = 1 << RADIX_BITS };

/* Sort numbers of 0 and more: digit by digit, the lowest first. */
static int sort_numbers(uint64_t *numbers, size_t count)
{
    uint64_t *from = numbers, *to = malloc(count * sizeof(*to) + 1), largest = 0;
    size_t *starts = malloc(RADIX * sizeof(*starts));
    if (to == NULL || starts == NULL) {
        free(to);
        free(starts);
        return 0;
    }
    for (size_t n = 0; n < count; n++)
        largest |= numbers[n];
    for (int shift = 0; shift < 64 && largest >> shift; shift += RADIX_BITS) {
        size_t sum = 0;
        memset(starts, 0, RADIX * sizeof(*starts));
        for (size_t n = 0; n < count; n++)
            starts[from[n] >> shift & (RADIX - 1)]++;
        for (size_t digit = 0; digit < RADIX; digit++) {
            size_t here = starts[digit];
            starts[digit] = sum;
            sum += here;
        }
        for (size_t n = 0; n < count; n++)
            to[starts[from[n] >> shift & (RADIX - 1)]++] = from[n];
        uint64_t *swapped = from;
        from = to;
        to = swapped;
    }
    if (from != numbers)
        memcpy(numbers, from, count * sizeof(*numbers));
    free(from != numbers ? from : to);
    free(starts);
    return 1;
}

static PyObject *module_sort(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    Py_buffer buffer;
    if (!PyArg_ParseTuple(arguments, "w*", &buffer))
        return NULL;
    int is_sorted = buffer.len < 16 || sort_numbers(buffer.buf, (size_t)buffer.len / sizeof(uint64_t));
    PyBuffer_Release(&buffer);
    if (!is_sorted)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *module_shape(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    Py_buffer sql;
    int escapes;
    if (!PyArg_ParseTuple(arguments, "y*p", &sql, &escapes))
        return NULL;
    byte *out = malloc((size_t)sql.len + 64);
    if (out == NULL) {
        PyBuffer_Release(&sql);
        return PyErr_NoMemory();
    }
    Text text = {sql.buf, (size_t)sql.len};
    Shape shape;
    PyObject *made = make_shape(&shape, text, text.at + text.size, out, escapes) ? PyBytes_FromStringAndSize((const char *)out, shape.o - out) : Py_NewRef(Py_None);
    free(out);
    PyBuffer_Release(&sql);
    return made;
}

static PyObject *module_width(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    int most;
    return PyArg_ParseTuple(arguments, "i", &most) ? PyLong_FromLong(choose_width(most)) : NULL;
}

static PyMethodDef module_methods[] = {
    {"shape", module_shape, METH_VARARGS,
     "shape(sql, backslash_escapes)\n--\n\nReturn a statement's shape; None if Python has to make it."},
    {"sort", module_sort, METH_VARARGS, "sort(numbers)\n--\n\nSort an array('q') of numbers of 0 and more, in place."},
    {"width", module_width, METH_VARARGS,
     "width(most)\n--\n\nSearch at most this many bytes at a time from now on; return how many the processor does."},
    {NULL, NULL, 0, NULL},
};

static int module_exec(PyObject *module)
{
    make_classes();
    choose_width(WIDEST);
    PyObject *type = PyType_FromModuleAndSpec(module, &scanner_spec, NULL);
    if (type == NULL)
        return -1;
    int failed = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return failed || PyModule_AddIntConstant(module, "ENDED", ENDED) < 0
                   || PyModule_AddIntConstant(module, "HARD", HARD) < 0
                   || PyModule_AddIntConstant(module, "NEW_SHAPE", NEW_SHAPE) < 0
                   || PyModule_AddIntConstant(module, "NEW_TAGS", NEW_TAGS) < 0
                   || PyModule_AddIntConstant(module, "FULL", FULL) < 0
               ? -1
               : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, (void *)module_exec}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_scanner",
    .m_doc = "The compiled scanner of the slow log.",
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__scanner(void) { return PyModuleDef_Init(&module); }
