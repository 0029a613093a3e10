/* The further figures of an entry's header lines as JSON, as `values.py` and Python's json write them.
 *
 * A value is written here only if its form leaves no doubt; otherwise Python reads the entry.
 */
#ifndef AURORA_SCANNER_EXTRAS_H
#define AURORA_SCANNER_EXTRAS_H

#include "_scanner_entry.h"
#include "_scanner_tally.h"

enum { MOST_FIELDS = 64, MOST_DIGITS = 15 };
/* A number of at most 15 significant digits is the shortest text of its double. */

static int is_upper(byte c) { return c >= 'A' && c <= 'Z'; }
static int is_space(byte c) { return is(c, BLANK) || c == '\v' || c == '\f'; }

static byte *put(byte *o, const byte *at, size_t size)
{
    memcpy(o, at, size);
    return o + size;
}

/* Write a text of digits, a point and digits as Python writes that number; NULL if it is not one for sure. */
static byte *put_real(byte *o, Text value, const byte *point)
{
    const byte *at = value.at, *end = at + value.size, *first;
    if (value.size - 1 > MOST_DIGITS || point == at || point + 1 == end)
        return NULL;
    for (const byte *p = at; p < end; p++)
        if (p != point && !is(*p, DIGIT))
            return NULL;
    while (at + 1 < point && *at == '0')
        at++;
    while (end > point + 2 && end[-1] == '0')
        end--;
    for (first = at; first < end && (*first == '0' || *first == '.'); first++)
        ;
    if (first == end || first - point <= 4)
        return put(o, at, (size_t)(end - at));
    if (first - point > 9) /* below 0.0001, Python writes an exponent, which has one digit here */
        return NULL;
    *o++ = *first;
    if (end - first > 1) {
        *o++ = '.';
        o = put(o, first + 1, (size_t)(end - first - 1));
    }
    o = put(o, (const byte *)"e-0", 3);
    *o++ = (byte)('0' + (first - point));
    return o;
}

static int is_no_number(Text value)
{
    static const char *const words[] = {"nan", "inf", "infinity"};
    for (size_t n = 0; n < sizeof(words) / sizeof(*words); n++) {
        size_t size = strlen(words[n]), same = 0;
        while (same < size && same < value.size && (value.at[same] | 0x20) == words[n][same])
            same++;
        if (same == size && size == value.size)
            return 0;
    }
    return 1;
}

/* Write a value; NULL if Python has to. */
static byte *put_value(byte *o, Text value)
{
    const byte *point = memchr(value.at, '.', value.size);
    size_t digits = 0;
    while (digits < value.size && is(value.at[digits], DIGIT))
        digits++;
    if (digits == value.size) {
        if (digits > 18 || (*value.at == '0' && digits > 1))
            return NULL;
        return put(o, value.at, value.size);
    }
    if (digits && point == value.at + digits && memchr(point + 1, '.', (size_t)(value.at + value.size - point - 1)) == NULL)
        return put_real(o, value, point);
    int is_word = (*value.at | 0x20) >= 'a' && (*value.at | 0x20) <= 'z' && is_no_number(value);
    if (!is_word && memchr(value.at, ':', value.size) == NULL)
        return NULL;
    for (size_t n = 0; n < value.size; n++)
        if (value.at[n] <= ' ' || value.at[n] >= 0x7f || value.at[n] == '"' || value.at[n] == '\\')
            return NULL;
    *o++ = '"';
    o = put(o, value.at, value.size);
    *o++ = '"';
    return o;
}

/* Find the next "Name: value" of a line from `*at` on; 0 if there is none. */
static int next_field(const byte **at, const byte *end, Text *name, Text *value)
{
    for (const byte *p = *at; p < end; p++) {
        if (!is_upper(*p))
            continue;
        const byte *last = p + 1;
        while (last < end && is_ascii_word(*last))
            last++;
        if (end - last > 2 && last[0] == ':' && last[1] == ' ' && !is_space(last[2])) {
            *name = (Text){p, (size_t)(last - p)};
            for (p = last + 2; p < end && !is_space(*p); p++)
                ;
            *value = (Text){last + 2, (size_t)(p - last - 2)};
            *at = p;
            return 1;
        }
        p = last - 1;
    }
    return 0;
}

/* Append the figures' JSON, or nothing if there are none, and a line end. 1, 0 if Python has to, -1 without memory. */
static int add_extras(List *out, Text figures)
{
    Text names[MOST_FIELDS], name, value;
    size_t count = 0, before = out->count;
    const byte *at = figures.at, *end = at + figures.size;
    if (!make_room(out, figures.size * 2 + 8, 1))
        return -1;
    byte *o = (byte *)out->items + before;
    for (const byte *last; at < end; at = last + (last < end)) {
        last = line_end(at, end);
        if (STARTS(at, last, "# explain:"))
            continue;
        while (next_field(&at, last, &name, &value)) {
            if (count == MOST_FIELDS)
                return 0;
            for (size_t n = 0; n < count; n++)
                if (names[n].size == name.size && memcmp(names[n].at, name.at, name.size) == 0)
                    return 0; /* Python keeps the last */
            names[count++] = name;
            *o++ = count == 1 ? '{' : ',';
            *o++ = '"';
            o = put(o, name.at, name.size);
            *o++ = '"';
            *o++ = ':';
            if ((o = put_value(o, value)) == NULL)
                return 0;
        }
    }
    if (count)
        *o++ = '}';
    *o++ = '\n';
    out->count = (size_t)(o - (byte *)out->items);
    return 1;
}

#endif
