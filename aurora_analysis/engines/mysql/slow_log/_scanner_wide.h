/* The widest searches that this processor can do, chosen when the module is loaded: 32 bytes with AVX2, 16 with SSE2, or
 * none. Where they stop, the caller goes on byte by byte.
 */
#ifndef AURORA_SCANNER_WIDE_H
#define AURORA_SCANNER_WIDE_H

#include "_scanner_lists.h"

typedef struct {
    const byte *(*skip_to_sign)(const byte *at, const byte *limit);
    const byte *(*copy_until_special)(const byte *at, const byte *end, const byte *limit, unsigned word, byte *o);
    const byte *(*skip_values)(const byte *at, const byte *end, const byte *limit, int escapes, Place *place);
} Wide;

#if defined(__SSE2__)

#define NAME(name) name##_16
#define TARGET
#define VECTOR __m128i
#define WIDTH 16
#define LOAD(at) _mm_loadu_si128((const VECTOR *)(const void *)(at))
#define STORE(at, v) _mm_storeu_si128((VECTOR *)(void *)(at), v)
#define SET _mm_set1_epi8
#define EQUAL _mm_cmpeq_epi8
#define SUBTRACT _mm_sub_epi8
#define MINIMUM _mm_min_epu8
#define OR _mm_or_si128
#define AND _mm_and_si128
#define WITHOUT(v, without) _mm_andnot_si128(without, v)
#define MASK(v) (unsigned)_mm_movemask_epi8(v)
#include "_scanner_simd.h"

#define NAME(name) name##_32
#define TARGET __attribute__((target("avx2,bmi,bmi2")))
#define VECTOR __m256i
#define WIDTH 32
#define LOAD(at) _mm256_loadu_si256((const VECTOR *)(const void *)(at))
#define STORE(at, v) _mm256_storeu_si256((VECTOR *)(void *)(at), v)
#define SET _mm256_set1_epi8
#define EQUAL _mm256_cmpeq_epi8
#define SUBTRACT _mm256_sub_epi8
#define MINIMUM _mm256_min_epu8
#define OR _mm256_or_si256
#define AND _mm256_and_si256
#define WITHOUT(v, without) _mm256_andnot_si256(without, v)
#define MASK(v) (unsigned)_mm256_movemask_epi8(v)
#include "_scanner_simd.h"

#endif

static const byte *skip_to_sign_1(const byte *at, const byte *limit)
{
    (void)limit;
    return at;
}

static const byte *copy_until_special_1(const byte *at, const byte *end, const byte *limit, unsigned word, byte *o)
{
    (void)end, (void)limit, (void)word, (void)o;
    return at;
}

static const byte *skip_values_1(const byte *at, const byte *end, const byte *limit, int escapes, Place *place)
{
    (void)end, (void)limit, (void)escapes, (void)place;
    return at;
}

static Wide wide = {skip_to_sign_1, copy_until_special_1, skip_values_1};
/* The processor's choice. */

enum { WIDEST = 32 };

/* Choose the searches of at most this many bytes; return how many they take at a time. */
static int choose_width(int most)
{
    wide = (Wide){skip_to_sign_1, copy_until_special_1, skip_values_1};
#if defined(__SSE2__)
    __builtin_cpu_init();
    if (most >= 32 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")) {
        wide = (Wide){skip_to_sign_32, copy_until_special_32, skip_values_32};
        return 32;
    }
    if (most >= 16) {
        wide = (Wide){skip_to_sign_16, copy_until_special_16, skip_values_16};
        return 16;
    }
#endif
    (void)most;
    return 1;
}

/* The next "\n#", "\nT" or "[Y" from `at` on, which begins a header line, a banner's last line, or the marker. */
static const byte *next_sign(const byte *at, const byte *limit)
{
    for (at = wide.skip_to_sign(at, limit); limit - at >= 2; at++)
        if ((at[0] == '\n' && (at[1] == '#' || at[1] == 'T')) || (at[0] == '[' && at[1] == 'Y'))
            return at;
    return limit;
}

#endif
