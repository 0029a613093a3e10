/* The searches that take most of the time, WIDTH bytes at a time. `_scanner_wide.h` includes this once for each width.
 *
 * A load may cross `end`, where the searched text ends, and never `limit`, where the readable buffer ends. FOUND is what
 * a comparison of a VECTOR gives: another one, or with AVX-512 a mask of a bit for each byte.
 */

TARGET INLINE FOUND NAME(equal)(VECTOR v, char c) { return EQUAL(v, SET(c)); }

TARGET INLINE FOUND NAME(within)(VECTOR v, char first, char span) { return AT_MOST(SUBTRACT(v, SET(first)), SET(span)); }

/* As `next_sign`; it may stop earlier, where fewer bytes are left. */
TARGET static const byte *NAME(skip_to_sign)(const byte *at, const byte *limit)
{
    for (; limit - at > WIDTH; at += WIDTH) {
        VECTOR here = LOAD(at), next = LOAD(at + 1);
        FOUND line = AND(NAME(equal)(here, '\n'), OR(NAME(equal)(next, '#'), NAME(equal)(next, 'T')));
        uint64_t found = MASK(OR(line, AND(NAME(equal)(here, '['), NAME(equal)(next, 'Y'))));
        if (found)
            return at + __builtin_ctzll(found);
    }
    return at;
}

/* As `copy_plain`; it may stop earlier, where fewer bytes are left. Up to WIDTH bytes are written behind the copy. */
TARGET static const byte *NAME(copy_until_special)(const byte *at, const byte *end, const byte *limit, unsigned word, byte *o)
{
    for (; at < end && limit - at > WIDTH; at += WIDTH, o += WIDTH) {
        VECTOR v = LOAD(at), next = LOAD(at + 1);
        FOUND digit = NAME(within)(v, '0', 9), letter = NAME(within)(LOWER(v), 'a', 25);
        uint64_t digits = MASK(digit), not_ascii = HIGH(v);
        uint64_t words = MASK(OR(OR(letter, digit), OR(NAME(equal)(v, '$'), NAME(equal)(v, '_')))) | not_ascii;
        /* 0x22 to 0x24: quotation mark, number sign, dollar; 0x27 to 0x29: apostrophe and brackets. */
        FOUND stop = OR(NAME(within)(v, '"', 2), NAME(within)(v, '\'', 2));
        stop = OR(stop, OR(NAME(equal)(v, '@'), NAME(equal)(v, '`')));
        FOUND control = OR(NAME(within)(v, 0, 0x1f), NAME(equal)(v, 0x7f));
        FOUND blank = OR(NAME(within)(v, '\t', 1), NAME(equal)(v, '\r'));
        stop = OR(stop, WITHOUT(control, blank));
        stop = OR(stop, AND(NAME(equal)(v, '-'), NAME(equal)(next, '-')));
        stop = OR(stop, AND(NAME(equal)(v, '/'), NAME(equal)(next, '*')));
        uint64_t found = MASK(stop) | (digits & ~(words << 1 | word));
        STORE(o, v);
        if (found)
            return at + __builtin_ctzll(found);
        word = words >> (WIDTH - 1) & 1;
    }
    return at;
}

/* The classes of the bytes of a block; three bytes behind it are read, too. */
TARGET INLINE void NAME(classify)(const byte *at, Block *b)
{
    *b = (Block){0};
#pragma GCC unroll 4
    for (int shift = 0; shift < BLOCK; shift += WIDTH, at += WIDTH) {
        VECTOR v = LOAD(at);
        FOUND nu = AND(NAME(equal)(LOWER(v), 'n'), NAME(equal)(LOWER(LOAD(at + 1)), 'u'));
        FOUND ll = AND(NAME(equal)(LOWER(LOAD(at + 2)), 'l'), NAME(equal)(LOWER(LOAD(at + 3)), 'l'));
        b->null |= MASK(AND(nu, ll)) << shift;
        b->quote |= MASK(NAME(equal)(v, '\'')) << shift;
        b->escape |= MASK(NAME(equal)(v, '\\')) << shift;
        b->digit |= MASK(NAME(within)(v, '0', 9)) << shift;
        b->comma |= MASK(NAME(equal)(v, ',')) << shift;
        b->blank |= MASK(NAME(equal)(v, ' ')) << shift;
        b->dot |= MASK(NAME(equal)(v, '.')) << shift;
        b->minus |= MASK(NAME(equal)(v, '-')) << shift;
        b->open |= MASK(NAME(equal)(v, '(')) << shift;
        b->close |= MASK(NAME(equal)(v, ')')) << shift;
    }
}

/* Skip the values of a list, or of rows, block by block; return where the first is that is not surely plain. */
TARGET static const byte *NAME(skip_values)(const byte *at, const byte *end, const byte *limit, int escapes, Place *place)
{
    Block block;
    Before before = before_skip(*place);
    Ends ends = {at, 0, 0, 0};
    int is_plain = 1, is_list = *place == IN_LIST;
    for (const byte *here = at; is_plain && limit - here >= BLOCK + 3; here += BLOCK) {
        NAME(classify)(here, &block);
        uint64_t valid = end - here < BLOCK ? BELOW(end - here) : ~UINT64_C(0);
        is_plain = take_block(here, &block, valid, escapes, is_list, &before, &ends);
    }
    return last_end(at, &ends, place);
}

#undef NAME
#undef TARGET
#undef VECTOR
#undef FOUND
#undef WIDTH
#undef LOAD
#undef STORE
#undef SET
#undef LOWER
#undef SUBTRACT
#undef EQUAL
#undef AT_MOST
#undef OR
#undef AND
#undef WITHOUT
#undef MASK
#undef HIGH
