/* The header lines of an entry, in the forms in which servers usually write them.
 *
 * `grammar.py` is the authority. An entry is read here only if its lines have the plainest form that the grammar knows;
 * any doubt makes it a hard one, which Python reads.
 */
#ifndef AURORA_SCANNER_ENTRY_H
#define AURORA_SCANNER_ENTRY_H

#include "_scanner_bytes.h"
#include "_scanner_tally.h"

enum { LONGEST_NAME = 255, LONGEST_TIME = 64 };

#define NO_TIME INT64_MIN
#define MICRO 1000000
#define LONGEST_US (INT64_C(366) * 86400 * MICRO) /* scanner.py: LONGEST_S */

enum { QUARTER_S = 900, ROUNDING_S = 1, FURTHEST_S = 15 * 3600 }; /* these and the next two: clock.py */
#define EARLIEST_S INT64_C(946684800)
#define LATEST_S INT64_C(4102444800)

typedef struct {
    Text user, host, thread, figures, timestamp, sql;
    Text database; /* its `at` is NULL if the lines do not name it */
    int64_t query_us, lock_us, rows_sent, rows_examined;
    int64_t *client; /* the number of user and host, NO_CLIENT if it has none yet; NULL if it is not kept */
    int timestamp_is_start;
} Entry;

enum { NO_CLIENT = -1, MOST_CLIENTS = 4096 };

/* What was read of a first line up to its address: most lines begin like an earlier one. */
typedef struct {
    size_t user_at, user_size, host_at, host_size;
    int64_t client;
} Client;

typedef struct {
    Names names; /* the beginning of a line → the place in `found` */
    List found;
    uint64_t seed;
} Clients;

static void forget_clients(Clients *clients)
{
    forget(&clients->names);
    clear(&clients->found);
}

/* Digits → number; they may be at most `most`, and there must be one. */
INLINE int take_digits(const byte **at, const byte *end, int most, int64_t *value)
{
    const byte *first = *at;
    *value = 0;
    while (*at < end && is(**at, DIGIT)) {
        if (*at - first >= most)
            return 0;
        *value = *value * 10 + (*(*at)++ - '0');
    }
    return *at > first;
}

/* Eight digits, the first in the lowest byte → number; -1 if another character is among them. */
INLINE int64_t eight_digits(uint64_t text)
{
    const uint64_t high = UINT64_C(0xF0F0F0F0F0F0F0F0), each_fourth = UINT64_C(0x000000FF000000FF);
    if (((text & high) | ((text + UINT64_C(0x0606060606060606)) & high) >> 4) != UINT64_C(0x3333333333333333))
        return -1;
    text -= UINT64_C(0x3030303030303030);
    text = text * 10 + (text >> 8); /* pairs; then both halves at once: 10^6 and 100, 10^4 and 1 */
    return (int64_t)(((text & each_fourth) * (100 + (UINT64_C(1000000) << 32))
                      + (text >> 16 & each_fourth) * (1 + (UINT64_C(10000) << 32))) >> 32);
}

/* "0.001234", as nearly all durations are → microseconds; -1 if it is not of that form. */
INLINE int64_t usual_seconds(const byte *at, const byte *end)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t text;
    if (end - at > 8 && at[1] == '.' && !is(at[8], DIGIT)) {
        memcpy(&text, at, 8);
        return eight_digits((text & ~UINT64_C(0xFFFF)) | (text & 0xFF) << 8 | '0'); /* without the point */
    }
#endif
    (void)at, (void)end;
    return -1;
}

/* Seconds with at most six decimals → microseconds. */
static int take_seconds(const byte **at, const byte *end, int64_t *us)
{
    int64_t whole, part = 0, unit = MICRO;
    if ((*us = usual_seconds(*at, end)) >= 0) {
        *at += 8;
        return 1;
    }
    if (!take_digits(at, end, 9, &whole))
        return 0;
    if (*at < end && **at == '.')
        for ((*at)++; *at < end && is(**at, DIGIT); (*at)++) {
            if (unit == 1)
                return 0;
            part = part * 10 + (**at - '0');
            unit /= 10;
        }
    *us = whole * MICRO + part * unit;
    return 1;
}

INLINE int take(const byte **at, const byte *end, const char *text, size_t size)
{
    if (!starts(*at, end, text, size))
        return 0;
    *at += size;
    return 1;
}
#define TAKE(at, end, text) take(at, end, text, sizeof(text) - 1)

/* One or more blanks of a line. */
INLINE int take_spaces(const byte **at, const byte *end)
{
    const byte *first = *at;
    while (*at < end && (**at == ' ' || **at == '\t'))
        (*at)++;
    return *at > first;
}

static int is_plain_name(Text name) { return name.size <= LONGEST_NAME && is_plain(name.at, name.at + name.size); }

/* " Id: 1", if it is there, and the rest of the line, which may hold no bracket: "host[1] [10.0.0.1]". */
static int take_thread(const byte *at, const byte *end, Entry *entry)
{
    int64_t id;
    entry->thread = (Text){NULL, 0};
    if (take_spaces(&at, end) && TAKE(&at, end, "Id:")) {
        take_spaces(&at, end);
        const byte *first = at;
        if (!take_digits(&at, end, 17, &id))
            return 0;
        entry->thread = (Text){first, (size_t)(at - first)};
    }
    return at == end || (is_plain(at, end) && memchr(at, '[', (size_t)(end - at)) == NULL);
}

/* "user[login] @ host [address]": where it ends; NULL if the line, which ends at `end`, is not plain. */
static const byte *take_client(const byte *at, const byte *end, Entry *entry)
{
    Text login, address;
    if (!is_plain_name((Text){at, (size_t)(end - at)}))
        return NULL;
    const byte *found = memchr(at, '[', (size_t)(end - at));
    if (found == NULL)
        return NULL;
    entry->user = (Text){at, (size_t)(found - at)};
    at = found + 1;
    if ((found = memchr(at, ']', (size_t)(end - at))) == NULL)
        return NULL;
    login = (Text){at, (size_t)(found - at)};
    if (memchr(login.at, '[', login.size))
        return NULL; /* a name with brackets: "a[b[a[b]" */
    at = found;
    if (!TAKE(&at, end, "] @ "))
        return NULL;
    while (at < end && *at == ' ')
        at++;
    if ((found = memchr(at, '[', (size_t)(end - at))) == NULL)
        return NULL;
    entry->host = (Text){at, (size_t)(found - at)};
    while (entry->host.size && entry->host.at[entry->host.size - 1] == ' ')
        entry->host.size--;
    at = found + 1;
    if ((found = memchr(at, ']', (size_t)(end - at))) == NULL)
        return NULL;
    address = (Text){at, (size_t)(found - at)};
    if (entry->user.size > LONGEST_NAME || login.size > LONGEST_NAME || entry->host.size > LONGEST_NAME
        || address.size > LONGEST_NAME)
        return NULL;
    if (entry->user.size == 0)
        entry->user = login;
    if (entry->host.size == 0)
        entry->host = address;
    return found + 1;
}

/* Where the second closing bracket of a line ends, which is that of the address unless a name has brackets. */
INLINE const byte *brackets_end(const byte *at, const byte *end)
{
    const byte *login = memchr(at, ']', (size_t)(end - at));
    const byte *address = login ? memchr(login + 1, ']', (size_t)(end - login - 1)) : NULL;
    return address ? address + 1 : NULL;
}

/* The rest of the first line, which ends at `end`. What was read of an earlier line with this beginning is taken over. */
static int take_first_line(const byte *at, const byte *end, Clients *clients, Entry *entry)
{
    const byte *last = end - at <= LONGEST_NAME ? brackets_end(at, end) : NULL;
    entry->client = NULL;
    if (last == NULL)
        return (last = take_client(at, end, entry)) != NULL && take_thread(last, end, entry);
    size_t size = (size_t)(last - at);
    uint64_t key = hash(at, size, clients->seed);
    const Known *known = find(&clients->names, at, size, key);
    if (known) {
        Client *client = (Client *)clients->found.items + known->value;
        entry->user = (Text){at + client->user_at, client->user_size};
        entry->host = (Text){at + client->host_at, client->host_size};
        entry->client = &client->client;
        return take_thread(last, end, entry);
    }
    const byte *taken = take_client(at, end, entry);
    if (taken == NULL)
        return 0;
    if (clients->found.count >= MOST_CLIENTS)
        forget_clients(clients);
    if (taken == last && make_room(&clients->found, 1, sizeof(Client))
        && add(&clients->names, at, size, key, (uint32_t)clients->found.count))
        ((Client *)clients->found.items)[clients->found.count++] =
            (Client){(size_t)(entry->user.at - at), entry->user.size, (size_t)(entry->host.at - at), entry->host.size, NO_CLIENT};
    return take_thread(taken, end, entry);
}

/* "# Thread_id: 1  Schema: shop  QC_hit: No": the second line of Percona Server and MariaDB, if there is one. */
static int take_schema(const byte **line, const byte *end, Entry *entry)
{
    const byte *at = *line, *last = line_end(at, end);
    int64_t id;
    entry->timestamp_is_start = 0;
    entry->database = (Text){NULL, 0};
    if (STARTS(at, end, "# Query_time: "))
        return 1;
    if (last == end || !TAKE(&at, last, "# ") || memchr(at, '[', (size_t)(last - at))
        || !is_plain_name((Text){at, (size_t)(last - at)}))
        return 0;
    if (TAKE(&at, last, "Thread_id: ")) {
        const byte *first = at;
        if (!take_digits(&at, last, 17, &id))
            return 0;
        if (entry->thread.at == NULL)
            entry->thread = (Text){first, (size_t)(at - first)};
        while (at < last && *at == ' ')
            at++;
        if (at < last && !STARTS(at, last, "Schema: "))
            return 0;
    }
    if (at < last) {
        if (!TAKE(&at, last, "Schema: "))
            return 0;
        const byte *first = at, *name_end = last;
        while (name_end > first && name_end[-1] == ' ')
            name_end--;
        for (;; at++) { /* the name ends at two blanks and a word with a colon, or at the line's last blanks */
            const byte *word;
            if (last - at < 4 || (at = memchr(at, ' ', (size_t)(last - at - 3))) == NULL)
                break;
            if (at[1] != ' ' || at[2] < 'A' || at[2] > 'Z')
                continue;
            for (word = at + 3; word < last && (is_ascii_word(*word)); word++)
                ;
            if (word < last && *word == ':') {
                name_end = at;
                entry->timestamp_is_start = word - at == 8 && memcmp(at + 2, "QC_hit", 6) == 0;
                break;
            }
        }
        entry->database = (Text){first, (size_t)(name_end - first)};
    }
    *line = last + 1;
    return 1;
}

/* Further lines of figures, as Percona Server, MariaDB and log_slow_extra write them. */
static int take_figures(const byte **line, const byte *end, Entry *entry)
{
    const byte *at = *line;
    while (at < end && (at == *line || (*at == '#' && !STARTS(at, end, "# administrator command")))) {
        const byte *last = line_end(at, end);
        if (last == end || STARTS(at, end, "# Time: ") || STARTS(at, end, "# Query_time: ")
            || STARTS(at, end, "# User@Host: "))
            return 0;
        if (last > at && memchr(at + 1, '#', (size_t)(last - at - 1)))
            return 0;
        at = last + 1;
    }
    entry->figures = (Text){*line, (size_t)(at - *line)};
    *line = at;
    return 1;
}

/* "use shop;" and "SET timestamp=1795429471;", if they are there. */
static int take_settings(const byte **line, const byte *end, Entry *entry)
{
    const byte *at = *line, *last, *first;
    int64_t ignored;
    entry->timestamp = (Text){NULL, 0};
    if (STARTS(at, end, "use ")) {
        last = line_end(at, end);
        if (last == end || last[-1] != ';' || !is_plain_name((Text){at, (size_t)(last - at)}))
            return 0;
        entry->database = (Text){at + 4, (size_t)(last - 1 - at - 4)};
        at = last + 1;
    }
    if (STARTS(at, end, "SET ")) {
        last = line_end(at, end);
        first = memchr(at, ';', (size_t)(last - at));
        if (first == NULL)
            first = last;
        const byte *p = at + 4;
        while (p < first && !STARTS(p, first, "timestamp="))
            p++;
        if (p < first) {
            if (!is_plain_name((Text){at, (size_t)(first - at)}))
                return 0;
            p += sizeof("timestamp=") - 1;
            entry->timestamp.at = p;
            if (!take_digits(&p, first, 10, &ignored))
                return 0;
            entry->timestamp.size = (size_t)(p - entry->timestamp.at);
            if (p < first && *p == '.') {
                p++;
                if (!take_digits(&p, first, 18, &ignored))
                    return 0;
            }
            if (p != first || first + 1 != last || last == end)
                return 0;
            at = last + 1;
        }
    }
    *line = at;
    return 1;
}

/* Read the header lines of the entry in [at, end); `entry->sql` is what follows them. */
static int take_header(const byte *at, const byte *end, Clients *clients, Entry *entry)
{
    const byte *last = line_end(at, end);
    if (last == end || last == at || last[-1] == '\r' || !take_first_line(at, last, clients, entry))
        return 0;
    at = last + 1;
    if (!take_schema(&at, end, entry))
        return 0;
    last = line_end(at, end);
    if (last == end || !TAKE(&at, last, "# Query_time: ") || !take_seconds(&at, last, &entry->query_us)
        || !take_spaces(&at, last) || !TAKE(&at, last, "Lock_time: ")
        || !take_seconds(&at, last, &entry->lock_us) || !take_spaces(&at, last)
        || !TAKE(&at, last, "Rows_sent: ") || !take_digits(&at, last, 17, &entry->rows_sent)
        || !take_spaces(&at, last) || !TAKE(&at, last, "Rows_examined: ")
        || !take_digits(&at, last, 17, &entry->rows_examined))
        return 0;
    if (entry->query_us > LONGEST_US || entry->lock_us > LONGEST_US || (at < last && (*at == '.' || is_ascii_word(*at))))
        return 0;
    if (!take_figures(&at, end, entry) || !take_settings(&at, end, entry))
        return 0;
    if (at >= end || end[-1] != ';')
        return 0;
    entry->sql = (Text){at, (size_t)(end - at)};
    return 1;
}

/* Days from 1970-01-01 to a day of the proleptic Gregorian calendar (H. Hinnant, "chrono-compatible date algorithms"). */
static int64_t days(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int64_t month_length(int64_t year, int64_t month)
{
    static const byte lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return lengths[month - 1] + (month == 2 && is_leap);
}

static int64_t two(const byte *at) { return (at[0] - '0') * 10 + (at[1] - '0'); }

enum { TO_SECOND = sizeof("2026-11-23T10:00:00.") - 1 };

/* The second of the latest time with "Z": consecutive entries often share it. */
typedef struct {
    byte text[TO_SECOND];
    int64_t us; /* NO_TIME if there is none */
} Second;

/* Six decimals and Z behind a second that is known → microseconds since 1970; NO_TIME if it is not that. */
static int64_t same_second_us(const Second *known, Text time)
{
    const byte *at = time.at + TO_SECOND, *end = at + 6;
    int64_t part;
    if (known->us == NO_TIME || time.size != TO_SECOND + 7 || memcmp(time.at, known->text, TO_SECOND) != 0 || *end != 'Z'
        || !take_digits(&at, end, 6, &part) || at != end)
        return NO_TIME;
    return known->us + part;
}

/* A time with a zone, "2026-11-23T10:00:00.500000Z" → microseconds since 1970; NO_TIME if it has another form, and 0 is
 * returned if the calendar or clock has no such time. */
static int zoned_us(Text time, int64_t *us)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd";
    const byte *at = time.at, *end = at + time.size;
    *us = NO_TIME;
    if (time.size < sizeof(form))
        return 1;
    for (size_t n = 0; n < sizeof(form) - 1; n++)
        if (form[n] == 'd' ? !is(at[n], DIGIT) : at[n] != (byte)form[n])
            return 1;
    if (at[0] != '2' || at[1] != '0')
        return 1;
    int64_t year = two(at) * 100 + two(at + 2), month = two(at + 5), day = two(at + 8);
    int64_t hour = two(at + 11), minute = two(at + 14), second = two(at + 17), part = 0, offset = 0;
    at += sizeof(form) - 1;
    if (*at == '.') {
        int64_t unit = MICRO / 10;
        const byte *first = ++at;
        for (; at < end && is(*at, DIGIT); at++, unit /= 10)
            part += (*at - '0') * unit;
        if (at - first > 6)
            return 0;
        if (at == first || at == end)
            return 1;
    }
    if (*at == 'Z' && end - at == 1) {
        ;
    } else if (end - at == 6 && (*at == '+' || *at == '-') && is(at[1], DIGIT) && is(at[2], DIGIT) && at[3] == ':'
               && is(at[4], DIGIT) && is(at[5], DIGIT)) {
        if (two(at + 1) > 23 || two(at + 4) > 59)
            return 0;
        offset = (two(at + 1) * 3600 + two(at + 4) * 60) * (*at == '-' ? -1 : 1);
    } else {
        return 1;
    }
    if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59)
        return 0;
    if (day > month_length(year, month))
        return 0;
    *us = (days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset) * MICRO + part;
    return 1;
}

/* Keep the second of a time in UTC. */
static void note_second(Second *known, Text time, int64_t us)
{
    known->us = NO_TIME;
    if (us == NO_TIME || time.size <= TO_SECOND || time.at[TO_SECOND - 1] != '.' || time.at[time.size - 1] != 'Z')
        return;
    memcpy(known->text, time.at, TO_SECOND);
    known->us = us - us % MICRO; /* after 1970, by the form of the year */
}

/* A time without a zone, "261129  2:50:20" → seconds since 1970, as if it were UTC; NO_TIME if it has another form. */
static int64_t local_s(Text time)
{
    const byte *at = time.at, *end = at + time.size;
    if (time.size < sizeof("261129 2:50:20") - 1 || time.size > sizeof("261129  02:50:20") - 1)
        return NO_TIME;
    for (int n = 0; n < 6; n++)
        if (!is(at[n], DIGIT))
            return NO_TIME;
    int64_t year = 2000 + two(at), month = two(at + 2), day = two(at + 4), hour;
    at += 6;
    if (*at++ != ' ')
        return NO_TIME;
    at += *at == ' ';
    if (!is(*at, DIGIT))
        return NO_TIME;
    hour = *at++ - '0';
    if (is(*at, DIGIT))
        hour = hour * 10 + *at++ - '0';
    if (end - at != 6 || at[0] != ':' || !is(at[1], DIGIT) || !is(at[2], DIGIT) || at[3] != ':' || !is(at[4], DIGIT)
        || !is(at[5], DIGIT))
        return NO_TIME;
    int64_t minute = two(at + 1), second = two(at + 4);
    if (month < 1 || month > 12 || day < 1 || day > month_length(year, month) || hour > 23 || minute > 59 || second > 59)
        return NO_TIME;
    return days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
}

#endif
