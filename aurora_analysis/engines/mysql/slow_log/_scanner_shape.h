/* A statement → its shape: the text with its literals replaced by marks, and runs of literals and of equal rows by one.
 *
 * The shape holds no policy. `fingerprint.cache` writes each mark as a literal of the same kind and lets the Python
 * lexer read that text once, so only one thing must hold here: the text with the marks has the tokens of the statement,
 * except that lists of values and equal rows, which the lexer merges, may have been merged already. Whatever is not
 * surely a literal is copied as it is, which is always right. Whatever could make the two disagree (a quote that stays
 * open, a version comment, a dollar that may open a quote, a control character) makes the entry a hard one.
 */
#ifndef AURORA_SCANNER_SHAPE_H
#define AURORA_SCANNER_SHAPE_H

#include "_scanner_bytes.h"
#include "_scanner_wide.h"

enum { NUMBER = 1, SINGLE = 2, DOUBLE = 3, MORE = 4, HEXADECIMAL = 5, COMMENT = 6 };
/* The marks. MORE stands for all further values of a list. fingerprint/cache.py has the texts that they stand for. */

enum { DEEPEST = 40, MOST_COMMENTS = 8 };
/* Brackets within brackets: the lexer merges rows up to 50. Comments whose place is kept. */

typedef struct {
    const byte *start, *at, *end, *limit; /* the statement, and the end of the buffer */
    byte *out, *o;                        /* the shape; it has room for the statement and 64 bytes */
    int escapes;                          /* whether a backslash escapes in a string */
    int depth;
    /* The rows behind VALUES: the depth inside a row (0: none), and the latest row that was kept. */
    int row_depth;
    byte *row, *kept, *kept_end;
    Text comments[MOST_COMMENTS];
    int comment_count; /* of all comments */
} Shape;

/* Where a number ends, NULL if it is not surely one: the lexer backtracks where a letter or a dot follows. */
static inline const byte *number_end(const byte *at, const byte *end, const byte *limit, int *mark)
{
    const byte *digits = skip_digits(at, end, limit);
    *mark = NUMBER;
    if (digits < end && !is(*digits, WORD) && *digits != '.')
        return digits;
    if (end - at >= 3 && *at == '0' && (at[1] | 0x20) == 'x' && is(at[2], HEX)) {
        *mark = HEXADECIMAL;
        for (at += 2; at < end && is(*at, HEX); at++)
            ;
    } else if (end - at >= 3 && *at == '0' && (at[1] | 0x20) == 'b' && (at[2] == '0' || at[2] == '1')) {
        *mark = HEXADECIMAL;
        for (at += 2; at < end && (*at == '0' || *at == '1'); at++)
            ;
    } else {
        at = digits;
        if (at < end && *at == '.')
            at = skip_digits(at + 1, end, limit);
        if (at < end && (*at | 0x20) == 'e') {
            at++;
            if (at < end && (*at == '-' || *at == '+'))
                at++;
            if (at >= end || !is(*at, DIGIT))
                return NULL;
            at = skip_digits(at, end, limit);
        }
    }
    return at < end && (is(*at, WORD) || *at == '.') ? NULL : at;
}

/* Where a number that begins with its point ends; `at` is behind the point. */
static const byte *fraction_end(const byte *at, const byte *end, const byte *limit)
{
    int mark;
    const byte *p = skip_digits(at, end, limit);
    if (p < end && *p == '.')
        return NULL;
    return end - at >= 2 && *at == '0' && ((at[1] | 0x20) == 'x' || (at[1] | 0x20) == 'b') ? NULL
                                                                                          : number_end(at, end, limit, &mark);
}

/* Where the literal at `at`, which no word precedes, ends; NULL if there is none, or if it does not end. */
static const byte *value_end(const Shape *s, const byte *at, int *mark)
{
    const byte *end = s->end;
    if (at >= end)
        return NULL;
    if (is(*at, DIGIT))
        return number_end(at, end, s->limit, mark);
    *mark = NUMBER;
    switch (*at) {
    case '.':
        return end - at >= 2 && is(at[1], DIGIT) ? fraction_end(at + 1, end, s->limit) : NULL;
    case '"':
        *mark = DOUBLE;
        return quoted_end(at, end, s->limit, s->escapes);
    case 'n':
    case 'N':
    case 'x':
    case 'X':
    case 'b':
    case 'B':
        if (end - at < 2 || at[1] != '\'')
            return NULL;
        at++; /* fall through */
    case '\'':
        *mark = SINGLE;
        return quoted_end(at, end, s->limit, s->escapes);
    default:
        return NULL;
    }
}

static const byte *null_end(const byte *at, const byte *end)
{
    if (end - at < 4 || (at[0] | 0x20) != 'n' || (at[1] | 0x20) != 'u' || (at[2] | 0x20) != 'l'
        || (at[3] | 0x20) != 'l')
        return NULL;
    return end - at > 4 && (is(at[4], WORD) || at[4] == '.') ? NULL : at + 4;
}

/* Where the value behind a comma or bracket ends: signs belong to it, and NULL is one; NULL if there is none. */
static const byte *item_end(const Shape *s, const byte *at, int *mark)
{
    const byte *first = at, *found;
    while (at < s->end && (*at == '-' || *at == '+')) {
        if (*at == '-' && s->end - at >= 2 && at[1] == '-')
            return NULL; /* it may be a comment */
        at = skip_blanks(at + 1, s->end);
    }
    found = value_end(s, at, mark);
    if (found == NULL && at == first && (found = null_end(at, s->end)))
        *mark = NUMBER;
    return found;
}

enum { FEW = 2 };
/* So many values are taken one by one at the start of a list, and where skipping did not succeed. */

/* Take the further values of a list, and return whether there are any; `more`: some were taken already. */
static int take_more(Shape *s, int more)
{
    int mark;
    Place place = IN_LIST;
    for (int wait = more ? 0 : FEW;; wait--) {
        const byte *at = s->at;
        if (wait <= 0 && at < s->end && *at == ',') {
            s->at = wide.skip_values(at, s->end, s->limit, s->escapes, &place);
            wait = s->at > at ? 0 : FEW;
            at = s->at;
        }
        if (at < s->end && *at != ',')
            at = skip_blanks(at, s->end);
        if (at >= s->end || *at != ',')
            return more;
        at++;
        if (at < s->end && *at == ' ')
            at++;
        at = at < s->end && is(*at, DIGIT) ? number_end(at, s->end, s->limit, &mark)
                                           : item_end(s, skip_blanks(at, s->end), &mark);
        if (at == NULL)
            return more;
        if (!more)
            *s->o++ = MORE;
        more = 1;
        s->at = at;
    }
}

/* The word right before the shape's end, blanks skipped: 'v' for values and value, 'x' where rows must not be merged
 * (in, row, and what a name in back-ticks, a variable or a comment hides), otherwise 0. */
static int word_before(const Shape *s)
{
    const byte *end = s->o, *at;
    size_t size;
    while (end > s->out && is(end[-1], BLANK))
        end--;
    if (end == s->out)
        return 0;
    if (end[-1] == '`' || end[-1] == COMMENT || end[-1] >= 0x80)
        return 'x';
    for (at = end; at > s->out && is(at[-1], WORD); at--)
        if (at[-1] >= 0x80)
            return 'x'; /* such as a blank that does not break */
    size = (size_t)(end - at);
    if (size == 0 || size > 6)
        return 0;
    if (at > s->out && (at[-1] == '@' || at[-1] == '.'))
        return 'x';
    byte word[6] = {0};
    for (size_t n = 0; n < size; n++)
        word[n] = at[n] | 0x20;
    if ((size == 2 && !memcmp(word, "in", 2)) || (size == 3 && !memcmp(word, "row", 3)))
        return 'x';
    return (size == 5 && !memcmp(word, "value", 5)) || (size == 6 && !memcmp(word, "values", 6)) ? 'v' : 0;
}

/* Whether another row follows: a comma and a bracket. If so, take both. */
static int take_next_row(Shape *s)
{
    const byte *at = skip_blanks(s->at, s->end);
    if (at >= s->end || *at != ',')
        return 0;
    at = skip_blanks(at + 1, s->end);
    if (at >= s->end || *at != '(')
        return 0;
    *s->o++ = ',';
    *s->o++ = '(';
    s->at = at + 1;
    s->depth++;
    return 1;
}

enum { ONE = 1, SEVERAL = 2 };
/* The kinds of rows of nothing but values: one value and several. */

/* Take the first value of a row and what follows it in the list; return the row's kind, 0 if it has no such value. */
static int take_values(Shape *s)
{
    int mark;
    const byte *at = item_end(s, skip_blanks(s->at, s->end), &mark);
    if (at == NULL)
        return 0;
    /* One mark for all kinds, so that there are fewer shapes; a word right behind could join a number. */
    *s->o++ = at < s->end && (*at == ',' || *at == ')' || is(*at, BLANK)) ? NUMBER : (byte)mark;
    s->at = at;
    return take_more(s, 0) ? SEVERAL : ONE;
}

/* Skip rows of several values behind a row, and begin the next; return the kind of what is taken of it, 0 for none. */
static int skip_rows(Shape *s)
{
    Place place = BEHIND_ROW;
    if (s->at >= s->end || *s->at != ',')
        return 0;
    s->at = wide.skip_values(s->at, s->end, s->limit, s->escapes, &place);
    if (place == BEHIND_ROW)
        return 0;
    int more = place == BEHIND_LATER;
    *s->o++ = ',';
    *s->o++ = '(';
    *s->o++ = NUMBER;
    if (more)
        *s->o++ = MORE;
    s->depth++;
    return take_more(s, more) ? SEVERAL : ONE;
}

/* Take rows of nothing but values, from behind the first one's bracket: one of each kind is kept. It ends behind them,
 * or inside a row that holds something else. */
static void take_rows(Shape *s, byte *row, int may_merge)
{
    int seen = 0, kind = take_values(s);
    byte *before = row;
    for (;;) {
        if (s->row_depth == s->depth)
            s->row = row;
        const byte *at = skip_blanks(s->at, s->end);
        if (kind == 0 || at >= s->end || *at != ')')
            return;
        *s->o++ = ')';
        s->at = at + 1;
        if (may_merge && (seen & kind)) {
            s->o = before;
        } else if (s->row_depth == s->depth) {
            s->kept = row;
            s->kept_end = s->o;
        }
        s->depth--;
        seen |= may_merge ? kind : 0;
        may_merge = 1;
        before = s->o;
        row = s->o + 1;
        kind = seen & SEVERAL ? skip_rows(s) : 0;
        if (kind)
            continue;
        if (!take_next_row(s)) {
            if (s->row_depth == s->depth + 1)
                s->row_depth = 0;
            return;
        }
        kind = take_values(s);
    }
}

/* Close a bracket. A row behind VALUES that has the same text as the one before it is dropped. */
static void close_bracket(Shape *s)
{
    *s->o++ = ')';
    s->at++;
    s->depth--;
    if (s->row_depth != s->depth + 1)
        return;
    if (s->kept && s->kept_end - s->kept == s->o - s->row
        && memcmp(s->kept, s->row, (size_t)(s->o - s->row)) == 0) {
        s->o = s->kept_end;
    } else {
        s->kept = s->row;
        s->kept_end = s->o;
    }
    byte *row = s->o + 1;
    if (take_next_row(s))
        take_rows(s, row, 1);
    else
        s->row_depth = 0;
}

/* Whether the end of a comment that did not begin stands before a bracket: to the lexer it is a blank. */
static int is_behind_stray_end(const Shape *s)
{
    const byte *last = s->o;
    while (last > s->out && (is(last[-1], BLANK) || last[-1] == COMMENT))
        last--;
    return last - s->out >= 2 && last[-1] == '/' && last[-2] == '*';
}

static int open_bracket(Shape *s)
{
    int word = word_before(s);
    if (++s->depth > DEEPEST || is_behind_stray_end(s))
        return 0;
    if (word == 'v' && s->row_depth == 0) {
        s->row_depth = s->depth;
        s->kept = NULL;
    }
    byte *row = s->o;
    *s->o++ = '(';
    s->at++;
    take_rows(s, row, word != 'x');
    return s->depth <= DEEPEST;
}

/* Copy a word, dots included, that is not surely a number or a variable. */
static int copy_word(Shape *s)
{
    while (s->at < s->end && (is(*s->at, WORD) || *s->at == '.')) {
        if (*s->at == '$' && (s->at == s->start || !is_ascii_word(s->at[-1])))
            return 0;
        *s->o++ = *s->at++;
    }
    return 1;
}

/* Copy a word that may hold a number, as a$.5e does; it is not clear whose sign stands behind an `e`. */
static int copy_number(Shape *s)
{
    if (!copy_word(s))
        return 0;
    return s->at >= s->end || (*s->at != '-' && *s->at != '+') || (s->at[-1] | 0x20) != 'e';
}

/* Whether the sign before `at` may be that of an exponent: a letter that is not ASCII may end a word before a number. */
static int may_be_exponent(const Shape *s, const byte *at)
{
    if (at - s->start < 3 || (at[-1] != '-' && at[-1] != '+') || (at[-2] | 0x20) != 'e')
        return 0;
    for (at -= 2; at > s->start && is(at[-1], WORD); at--)
        if (at[-1] >= 0x80)
            return 1;
    return 0;
}

static int take_number(Shape *s)
{
    const byte *at = s->at;
    byte before = at > s->start ? at[-1] : ' ', earlier = at - s->start > 1 ? at[-2] : ' ';
    int mark = NUMBER;
    const byte *end = before == '.' ? fraction_end(at, s->end, s->limit) : number_end(at, s->end, s->limit, &mark);
    if (end == NULL || before == '@'
        || (before == '.' && (is(earlier, WORD) || earlier == '.' || earlier == '@' || s->o == s->out || s->o[-1] != '.')))
        return copy_number(s);
    if (may_be_exponent(s, before == '.' ? at - 1 : at))
        return 0;
    if (before == '.')
        s->o--;
    *s->o++ = (byte)mark;
    s->at = end;
    take_more(s, 0);
    return 1;
}

static int take_string(Shape *s)
{
    byte quote = *s->at, before = s->at > s->start ? s->at[-1] : ' ';
    const byte *end = quoted_end(s->at, s->end, s->limit, s->escapes);
    if (end == NULL)
        return 0;
    if (quote == '\'' && strchr("nNxXbB", before) && before && s->o > s->out && s->o[-1] == before) {
        byte earlier = s->at - s->start > 1 ? s->at[-2] : ' ';
        int is_adjacent = s->o - s->out > 1 && s->o[-2] == SINGLE;
        if (may_be_exponent(s, s->at - 1))
            return 0;
        if (!is(earlier, WORD) && earlier != '@' && earlier != '.' && !is_adjacent)
            s->o--; /* the prefix is part of the literal */
    }
    *s->o++ = quote == '\'' ? SINGLE : DOUBLE;
    s->at = end;
    if (before != '@')
        take_more(s, 0);
    return 1;
}

/* Copy a name in back-ticks. */
static int take_name(Shape *s)
{
    *s->o++ = *s->at++;
    while (s->at < s->end) {
        byte c = *s->at;
        if (c < 0x20 || c == 0x7f)
            return 0;
        *s->o++ = *s->at++;
        if (c != '`')
            continue;
        if (s->at >= s->end || *s->at != '`')
            return 1;
        *s->o++ = *s->at++;
    }
    return 0;
}

static int take_variable(Shape *s)
{
    *s->o++ = *s->at++;
    if (s->at < s->end && *s->at == '@') {
        *s->o++ = *s->at++;
        if (s->at < s->end && *s->at == '@')
            return 0; /* what a third one begins may be a number with a sign */
    }
    return copy_number(s);
}

static void note_comment(Shape *s, const byte *first)
{
    if (s->comment_count < MOST_COMMENTS)
        s->comments[s->comment_count] = (Text){first, (size_t)(s->at - first)};
    s->comment_count++;
}

static int take_comment(Shape *s)
{
    const byte *at = s->at, *end = s->end, *first = at;
    if (*at == '-') {
        if (end - at < 3 || at[2] >= 0x80 || may_be_exponent(s, at + 1))
            return 0;
        if (!is(at[2], BLANK)) {
            *s->o++ = *s->at++;
            return 1;
        }
    }
    if (*at != '/') {
        s->at = line_end(at, end);
    } else {
        if (STARTS(at + 2, end, "!") || STARTS(at + 2, end, "M!"))
            return 0;
        for (at += 2;; at++) {
            at = end - at >= 2 ? memchr(at, '*', (size_t)(end - at - 1)) : NULL;
            if (at == NULL)
                return 0;
            if (at[1] == '/')
                break;
        }
        s->at = at + 2;
    }
    *s->o++ = COMMENT;
    note_comment(s, first);
    return 1;
}

/* Copy bytes up to the next that needs a look. Up to 64 bytes are written behind the copy, for which `out` has room. */
static void copy_plain(Shape *s)
{
    unsigned word = s->at > s->start && is(s->at[-1], WORD);
    const byte *end = s->end, *at = wide.copy_until_special(s->at, end, s->limit, word, s->o);
    if (at > end)
        at = end;
    s->o += at - s->at;
    for (; at < end; at++) {
        word = at > s->start && is(at[-1], WORD);
        if (is(*at, STOP) || (is(*at, DIGIT) && !word) || (*at == '-' && end - at >= 2 && at[1] == '-')
            || (*at == '/' && end - at >= 2 && at[1] == '*'))
            break;
        *s->o++ = *at;
    }
    s->at = at;
}

/* Take the byte at which `copy_plain` stopped, and all that belongs to it; return 0 if the entry is a hard one. */
static int take_special(Shape *s)
{
    byte c = *s->at;
    if (is(c, DIGIT))
        return take_number(s);
    switch (c) {
    case '(':
        return open_bracket(s);
    case ')':
        if (s->depth == 0)
            return 0;
        close_bracket(s);
        return s->depth <= DEEPEST;
    case '\'':
    case '"':
        return take_string(s);
    case '`':
        return take_name(s);
    case '@':
        return take_variable(s);
    case '#':
    case '-':
    case '/':
        return take_comment(s);
    case '$':
        return copy_number(s);
    default:
        return 0;
    }
}

/* A command of the protocol, which is no statement, is its own shape; to the lexer it is a comment. */
static int take_command(Shape *s)
{
    const byte *first = s->at;
    for (; s->at < s->end; s->at++) {
        if (*s->at < 0x20 || *s->at == 0x7f || *s->at == '\'' || *s->at == '"' || *s->at == '`')
            return 0;
        *s->o++ = *s->at;
    }
    note_comment(s, first);
    return 1;
}

/* Make the shape of a statement in `out`, which has room for it and 64 bytes; return 0 if the entry is a hard one. */
static int make_shape(Shape *s, Text sql, const byte *limit, byte *out, int escapes)
{
    const byte *first = skip_blanks(sql.at, sql.at + sql.size);
    s->start = s->at = sql.at;
    s->end = sql.at + sql.size;
    s->limit = limit;
    s->out = s->o = out;
    s->escapes = escapes;
    s->depth = s->row_depth = s->comment_count = 0;
    s->row = s->kept = s->kept_end = NULL;
    if (STARTS(s->at, s->end, "# administrator command"))
        return take_command(s);
    if (first >= s->end || *first == '#' || *first >= 0x80)
        return 0;
    while (s->at < s->end) {
        copy_plain(s);
        if (s->at < s->end && !take_special(s))
            return 0;
    }
    return 1;
}

#endif
