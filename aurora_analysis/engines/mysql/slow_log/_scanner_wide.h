/* The widest searches that this processor can do, chosen when the module is loaded: 64 bytes with AVX-512, 32 with
 * AVX2, 16 with SSE2, or none. Where they stop, the caller goes on byte by byte.
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
#define FOUND VECTOR
#define WIDTH 16
#define LOAD(at) _mm_loadu_si128((const VECTOR *)(const void *)(at))
#define STORE(at, v) _mm_storeu_si128((VECTOR *)(void *)(at), v)
#define SET _mm_set1_epi8
#define LOWER(v) _mm_or_si128(v, SET(0x20))
#define SUBTRACT _mm_sub_epi8
#define EQUAL _mm_cmpeq_epi8
#define AT_MOST(v, most) EQUAL(_mm_min_epu8(v, most), v)
#define OR _mm_or_si128
#define AND _mm_and_si128
#define WITHOUT(found, without) _mm_andnot_si128(without, found)
#define MASK(found) (uint64_t)(unsigned)_mm_movemask_epi8(found)
#define HIGH MASK
#include "_scanner_simd.h"

#define NAME(name) name##_32
#define TARGET __attribute__((target("avx2,bmi,bmi2")))
#define VECTOR __m256i
#define FOUND VECTOR
#define WIDTH 32
#define LOAD(at) _mm256_loadu_si256((const VECTOR *)(const void *)(at))
#define STORE(at, v) _mm256_storeu_si256((VECTOR *)(void *)(at), v)
#define SET _mm256_set1_epi8
#define LOWER(v) _mm256_or_si256(v, SET(0x20))
#define SUBTRACT _mm256_sub_epi8
#define EQUAL _mm256_cmpeq_epi8
#define AT_MOST(v, most) EQUAL(_mm256_min_epu8(v, most), v)
#define OR _mm256_or_si256
#define AND _mm256_and_si256
#define WITHOUT(found, without) _mm256_andnot_si256(without, found)
#define MASK(found) (uint64_t)(unsigned)_mm256_movemask_epi8(found)
#define HIGH MASK
#include "_scanner_simd.h"

#define NAME(name) name##_64
#define TARGET __attribute__((target("avx512f,avx512bw,bmi,bmi2")))
#define VECTOR __m512i
#define FOUND __mmask64
#define WIDTH 64
#define LOAD(at) _mm512_loadu_si512((const void *)(at))
#define STORE(at, v) _mm512_storeu_si512((void *)(at), v)
#define SET _mm512_set1_epi8
#define LOWER(v) _mm512_or_si512(v, SET(0x20))
#define SUBTRACT _mm512_sub_epi8
#define EQUAL _mm512_cmpeq_epi8_mask
#define AT_MOST _mm512_cmple_epu8_mask
#define OR(one, other) ((one) | (other))
#define AND(one, other) ((one) & (other))
#define WITHOUT(found, without) ((found) & ~(without))
#define MASK(found) (uint64_t)(found)
#define HIGH(v) MASK(_mm512_movepi8_mask(v))
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

enum { WIDEST = 64 };

/* Choose the searches of at most this many bytes; return how many they take at a time. */
static int choose_width(int most)
{
    wide = (Wide){skip_to_sign_1, copy_until_special_1, skip_values_1};
#if defined(__SSE2__)
    __builtin_cpu_init();
    int has_bmi = __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    if (most >= 64 && has_bmi && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) {
        wide = (Wide){skip_to_sign_64, copy_until_special_64, skip_values_64};
        return 64;
    }
    if (most >= 32 && has_bmi && __builtin_cpu_supports("avx2")) {
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
