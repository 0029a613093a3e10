/* Bytes: classes of characters, and searches that take 16 bytes at a time where the processor can.
 *
 * Every search has two ends: `end` is where the searched text ends, `limit` is where the readable buffer ends. A load
 * of 16 bytes may cross the first and never the second.
 */
#ifndef AURORA_SCANNER_BYTES_H
#define AURORA_SCANNER_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

typedef uint8_t byte;

typedef struct {
    const byte *at;
    size_t size;
} Text;

enum { WORD = 1, DIGIT = 2, BLANK = 4, STOP = 8, HEX = 16, MARKS = 32 };
/* WORD: a letter, digit, underscore, dollar, or any byte that is not ASCII, as in the lexer's [\w$]. STOP: bytes at
 * which a statement needs a closer look wherever they stand. MARKS: bytes that are in no plain name. */

static byte CLASS[256];

static void make_classes(void)
{
    for (int c = 0; c < 256; c++) {
        byte is = 0;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c >= 0x80)
            is |= WORD;
        if (c >= '0' && c <= '9')
            is |= WORD | DIGIT | HEX;
        if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
            is |= HEX;
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
            is |= BLANK;
        else if (c < 0x20 || c == 0x7f || (c && strchr("'\"`#@$()", c)))
            is |= STOP;
        if (c < 0x20 || (c && strchr("'\"`#/*", c)))
            is |= MARKS;
        CLASS[c] = is;
    }
}

static inline int is(byte c, int what) { return CLASS[c] & what; }

static inline int is_ascii_word(byte c) { return is(c, WORD) && c < 0x80 && c != '$'; }

#define INLINE static inline __attribute__((always_inline))

INLINE int starts(const byte *at, const byte *end, const char *with, size_t size)
{
    return (size_t)(end - at) >= size && memcmp(at, with, size) == 0;
}
#define STARTS(at, end, with) starts(at, end, with, sizeof(with) - 1)

static inline const byte *line_end(const byte *at, const byte *end)
{
    const byte *found = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    return found ? found : end;
}

static inline const byte *skip_blanks(const byte *at, const byte *end)
{
    while (at < end && is(*at, BLANK))
        at++;
    return at;
}

#if defined(__SSE2__)
static inline __m128i load(const byte *at) { return _mm_loadu_si128((const __m128i *)(const void *)at); }
static inline __m128i equal(__m128i v, char c) { return _mm_cmpeq_epi8(v, _mm_set1_epi8(c)); }
static inline __m128i within(__m128i v, char first, char span)
{
    __m128i from = _mm_sub_epi8(v, _mm_set1_epi8(first));
    return _mm_cmpeq_epi8(_mm_min_epu8(from, _mm_set1_epi8(span)), from);
}
static inline unsigned mask(__m128i v) { return (unsigned)_mm_movemask_epi8(v); }
#endif

/* Whether a text holds nothing that could open a quote or a comment when the whole entry is lexed. */
static int is_plain(const byte *at, const byte *end)
{
    byte before = 0;
#if defined(__SSE2__)
    for (; end - at >= 16; at += 16) {
        __m128i v = load(at), minus = equal(v, '-');
        __m128i odd = _mm_or_si128(within(v, 0, 0x1f), _mm_or_si128(within(v, '"', 1), equal(v, '\'')));
        odd = _mm_or_si128(odd, _mm_or_si128(equal(v, '`'), _mm_or_si128(equal(v, '/'), equal(v, '*'))));
        unsigned minuses = mask(minus);
        if (mask(odd) | (minuses & (minuses << 1 | (before == '-'))))
            return 0;
        before = at[15];
    }
#endif
    for (; at < end; at++) {
        if (is(*at, MARKS) || (*at == '-' && before == '-'))
            return 0;
        before = *at;
    }
    return 1;
}

/* Where digits end. */
static inline const byte *skip_digits(const byte *at, const byte *end, const byte *limit)
{
#if defined(__SSE2__)
    if (limit - at >= 16) {
        unsigned others = ~mask(within(load(at), '0', 9)) & 0xffff;
        if (others) {
            at += __builtin_ctz(others);
            return at < end ? at : end;
        }
    }
#endif
    (void)limit;
    while (at < end && (byte)(*at - '0') <= 9)
        at++;
    return at;
}

/* Where a text in quotes ends, right behind the closing quote; NULL if it does not end. `at` is at the opening one. */
static const byte *any_quoted_end(const byte *at, const byte *end, const byte *limit, int escapes)
{
    const byte quote = *at++;
    (void)limit;
    for (;;) {
#if defined(__SSE2__)
        for (; limit - at >= 16 && at < end; at += 16) {
            __m128i here = load(at);
            unsigned found = mask(_mm_or_si128(equal(here, (char)quote), equal(here, '\\')));
            if (found) {
                at += __builtin_ctz(found);
                break;
            }
        }
#endif
        while (at < end && *at != quote && *at != '\\')
            at++;
        if (at >= end)
            return NULL;
        if (*at == '\\') {
            at += escapes ? 2 : 1;
        } else if (end - at >= 2 && at[1] == quote) {
            at += 2;
        } else {
            return at + 1;
        }
        if (at > end)
            return NULL;
    }
}

/* The same; most texts are short, and hold no quote and no backslash. */
static inline const byte *quoted_end(const byte *at, const byte *end, const byte *limit, int escapes)
{
#if defined(__SSE2__)
    if (limit - at >= 18) {
        __m128i here = load(at + 1);
        unsigned found = mask(_mm_or_si128(equal(here, (char)*at), equal(here, '\\')));
        if (found) {
            const byte *close = at + 1 + __builtin_ctz(found);
            if (close < end && *close == *at && close[1] != *at)
                return close + 1;
        }
    }
#endif
    return any_quoted_end(at, end, limit, escapes);
}

#endif
