/* Lists of values and rows of values, 64 bytes at a time.
 *
 * Bytes are skipped only as far as each of them surely belongs to a plain list: whole or decimal numbers with or
 * without a minus, texts in apostrophes, NULL, a comma with at most one blank between them, and rows of at least two of
 * these. Whatever else occurs ends this at the last comma or bracket before, and is read value by value.
 *
 * Each class of bytes is one mask of 64 bits, the first byte being the lowest bit. AFTER shifts a mask, so that a byte
 * is compared with the one before it, also across blocks: a rule that is broken shows at the latest at the byte that
 * ends the value. So blocks do not wait for each other's results, which takes half the time. The texts are found as
 * simdjson finds them (Langdale and Lemire, "Parsing Gigabytes of JSON per Second").
 */
#ifndef AURORA_SCANNER_LISTS_H
#define AURORA_SCANNER_LISTS_H

#include "_scanner_bytes.h"

/* null: where NULL begins. */
typedef struct {
    uint64_t quote, escape, digit, comma, blank, dot, minus, open, close, null;
} Block;

/* Where a skip begins: behind a value of a list that ends at its bracket; or among rows, behind a row, behind the first
 * value of a row, or behind a later one. */
typedef enum { IN_LIST, BEHIND_ROW, BEHIND_FIRST, BEHIND_LATER } Place;

/* The masks of the block before, and whether a number's fraction, or the first value of a row, goes on behind it. */
typedef struct {
    uint64_t inside, text, value, dot, minus, null, open, close, between, gap, between_rows, row_gap;
    int in_fraction, in_first;
} Before;

/* The last commas and brackets that end a value or row, in the block at `block`. */
typedef struct {
    const byte *block;
    uint64_t ends, behind_first, between_rows;
} Ends;

enum { BLOCK = 64 };

#define BELOW(bit) ((UINT64_C(1) << (bit)) - 1)
#define AFTER_BY(bytes, mask) (mask << (bytes) | before->mask >> (64 - (bytes)))
#define AFTER(mask) AFTER_BY(1, mask)

static Before before_skip(Place place)
{
    uint64_t last = UINT64_C(1) << 63;
    return place == BEHIND_ROW ? (Before){.close = last} : (Before){.value = last};
}

/* Find the ends of values and rows in a block; return whether it is plain as a whole, and the next one may be, too. */
INLINE int take_block(const byte *at, const Block *b, uint64_t valid, int escapes, int is_list, Before *before, Ends *ends)
{
    uint64_t inside = b->quote; /* from an opening quote to before its closing one */
    inside ^= inside << 1;
    inside ^= inside << 2;
    inside ^= inside << 4;
    inside ^= inside << 8;
    inside ^= inside << 16;
    inside ^= inside << 32;
    inside ^= -(before->inside >> 63);
    uint64_t text = inside | b->quote, outside = ~text, null = b->null & outside;
    uint64_t digit = b->digit & outside, dot = b->dot & outside, minus = b->minus & outside;
    uint64_t comma = b->comma & outside, blank = b->blank & outside, open = b->open & outside, close = b->close & outside;
    uint64_t value = text | digit | dot | minus | null | AFTER(null) | AFTER_BY(2, null) | AFTER_BY(3, null);

    uint64_t behind_value = AFTER(value), between = comma & behind_value, between_rows = comma & AFTER(close);
    uint64_t next = AFTER(between), gap = next & blank, start = (next & ~blank) | AFTER(gap) | AFTER(open);
    uint64_t next_row = AFTER(between_rows), row_gap = next_row & blank, row_start = (next_row & ~blank) | AFTER(row_gap);
    uint64_t first = value & ~behind_value;

    uint64_t bad = ~valid | ~(value | comma | blank | open | close);
    bad |= (comma & ~(between | between_rows)) | (close & ~behind_value) | (open ^ row_start) | (first & ~start);
    bad |= (text ^ AFTER(text)) & value & behind_value;
    bad |= ((minus | null) & behind_value) | (AFTER_BY(4, null) & value) | (dot & ~behind_value);
    bad |= (AFTER(minus) | AFTER(dot)) & ~digit;
    if (escapes)
        bad |= b->escape;
    if (is_list)
        bad |= AFTER(close);
    /* A carry runs through the digits behind a point to another point, and from a row's bracket to its first comma, or
     * to its end if it has one value. */
    unsigned long long fraction, of_first, within_first = ~(between | close);
    int in_fraction = __builtin_uaddll_overflow(digit, AFTER(dot) | (uint64_t)before->in_fraction, &fraction);
    int in_first = __builtin_uaddll_overflow(within_first, open | (uint64_t)before->in_first, &of_first);
    uint64_t behind_first = of_first & ~within_first;
    bad |= (fraction & dot) | (behind_first & close);

    uint64_t found = (comma | close) & (bad ? BELOW(__builtin_ctzll(bad)) : ~UINT64_C(0));
    if (found)
        *ends = (Ends){at, found, behind_first, between_rows};
    *before = (Before){inside, text, value, dot, minus, null, open, close, between, gap, between_rows, row_gap, in_fraction, in_first};
    return bad == 0;
}

/* Where the last value or row ends that was skipped from `at` on, and the place there. */
INLINE const byte *last_end(const byte *at, const Ends *ends, Place *place)
{
    if (ends->ends == 0)
        return at;
    unsigned last = 63 - (unsigned)__builtin_clzll(ends->ends);
    if (ends->block + last == at)
        return at;
    if (*place != IN_LIST)
        *place = ends->between_rows >> last & 1 ? BEHIND_ROW : ends->behind_first >> last & 1 ? BEHIND_FIRST : BEHIND_LATER;
    return ends->block + last;
}

#undef AFTER
#undef AFTER_BY

#endif
