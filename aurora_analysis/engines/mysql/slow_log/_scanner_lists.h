/* Lists of values and rows of values, 64 bytes at a time.
 *
 * A block is taken only as far as every byte of it surely belongs to a plain list: whole or decimal numbers with or
 * without a minus, texts in apostrophes, NULL, a comma with at most one blank between them, and rows of at least two of
 * these. Whatever else occurs ends it at the last comma or bracket before, and is read value by value.
 *
 * Each class of bytes is one mask of 64 bits, the first byte being the lowest bit. A shift to the left asks for the byte
 * before. The texts are found as simdjson finds them (Langdale and Lemire, "Parsing Gigabytes of JSON per Second").
 */
#ifndef AURORA_SCANNER_LISTS_H
#define AURORA_SCANNER_LISTS_H

#include "_scanner_bytes.h"

typedef struct {
    uint64_t quote, escape, digit, comma, blank, dot, minus, open, close, n, u, l;
} Block;

/* Where a block begins: behind a value of a list that ends at its bracket; or among rows, behind a row, behind the
 * first value of a row, or behind a later one. */
typedef enum { IN_LIST, BEHIND_ROW, BEHIND_FIRST, BEHIND_LATER } Place;

enum { BLOCK = 64 };

#define BELOW(bit) ((UINT64_C(1) << (bit)) - 1)

/* The bytes that follow a comma, a blank between them skipped. */
INLINE uint64_t behind(uint64_t commas, uint64_t blank)
{
    uint64_t next = commas << 1;
    return (next & ~blank) | (next & blank) << 1;
}

/* How far a block is plain: where its last comma or closing bracket is that ends a value or row; 0 if there is none. */
INLINE unsigned plain_part(const Block *b, uint64_t valid, int escapes, Place *place)
{
    uint64_t inside = b->quote; /* from an opening quote to before its closing one */
    inside ^= inside << 1;
    inside ^= inside << 2;
    inside ^= inside << 4;
    inside ^= inside << 8;
    inside ^= inside << 16;
    inside ^= inside << 32;
    uint64_t text = inside | b->quote, outside = ~text;
    uint64_t digit = b->digit & outside, dot = b->dot & outside, comma = b->comma & outside, blank = b->blank & outside;
    uint64_t minus = b->minus & outside, open = b->open & outside, close = b->close & outside;
    uint64_t null = b->n & b->u >> 1 & b->l >> 2 & b->l >> 3 & outside;
    uint64_t bare = digit | dot | null | null << 1 | null << 2 | null << 3, value = text | bare;

    uint64_t is_behind_row = *place == BEHIND_ROW;
    uint64_t behind_value = value << 1 | !is_behind_row, first = value & ~(value << 1);
    uint64_t between = comma & behind_value, between_rows = comma & (close << 1 | is_behind_row);
    uint64_t next = behind(between, blank), next_row = behind(between_rows, blank);

    uint64_t bad = ~valid | ~(value | comma | blank | minus | open | close);
    bad |= (comma & ~(between | between_rows)) | (close & ~behind_value) | (open ^ next_row);
    bad |= (first & ~(next | open << 1 | minus << 1)) | (minus & ~(next | open << 1)) | (minus << 1 & ~digit);
    bad |= (text & bare << 1) | (bare & text << 1) | (null & value << 1) | (null << 4 & value);
    bad |= dot & ~(digit << 1 & digit >> 1);
    bad |= (digit + (dot << 1)) & dot; /* the carry runs through the digits behind a point to another point */
    if (escapes)
        bad |= b->escape;
    if (*place == IN_LIST) {
        bad |= open | (close & (close - 1)) | (close << 1);
    } else { /* the carry runs from a row's bracket to its first comma, or to its end if it has one value */
        uint64_t within_first = ~(between | close);
        bad |= (within_first + open) & ~within_first & close;
    }

    uint64_t ends = (comma | close) & (bad ? BELOW(__builtin_ctzll(bad)) : ~UINT64_C(0));
    if (ends <= 1)
        return 0;
    unsigned last = 63 - (unsigned)__builtin_clzll(ends);
    if (*place != IN_LIST) {
        uint64_t before = BELOW(last), row = open & before;
        uint64_t of_row = row ? ~BELOW(63 - (unsigned)__builtin_clzll(row)) : ~UINT64_C(0);
        int is_later = (between & before & of_row) || (!row && *place == BEHIND_LATER);
        *place = between_rows >> last & 1 ? BEHIND_ROW : is_later ? BEHIND_LATER : BEHIND_FIRST;
    }
    return last;
}

#endif
