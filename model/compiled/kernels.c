/* The layers of a Llama over a cache, and products with weights in 4 and 8 bits, for few rows.

   Writing reads every weight once a forward, so bytes decide, and then how many rows share what was read. Weights lie
   in the order in which they are read: tiles of 16 outputs; in each of them groups of 32 inputs; in each of these the
   levels of 4 inputs of all 16 outputs side by side, then the scales. What goes in is rounded to whole numbers, with a
   scale for each group: of 16 bits where it is `exact`, which takes two products with 8 bits, else of 8. Sums of a
   group are whole, and groups are added up in one order: what comes out of a row does not depend on how many others
   there are, bit for bit.

   build.py compiles this, kernels.py calls it, tiles.py makes the tiles. The plain twin is llama_layers.py in
   model/backbones. For GCC or Clang on x86-64 with AVX2 and F16C; AVX-512 and VNNI are used where they are. */

#include <immintrin.h>
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <string.h>

enum {
    LANES = 16,   /* outputs of a tile, numbers of a vector */
    GROUP = 32,   /* inputs on one scale */
    ROWS = 4,     /* rows that go through tiles together: their sums fill the registers */
    AHEAD = 8192, /* bytes: weights so far ahead are asked for while others are multiplied, where that is wanted */
    HEADS = 3,    /* queries that are attended to together */
    COLUMNS = 64, /* and columns of the cache: keys and values that a thread reads once for all rows of a text */
    WIDEST = 256, /* numbers of a head, at most */
};

#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
typedef int8_t vb __attribute__((vector_size(16)));

/* x W' + (x down') up', the latter where there is an adapter. */
typedef struct product {
    const uint8_t *data;
    int32_t in, out, bits; /* in is a multiple of GROUP, out of LANES; bits are 4 or 8 */
    const struct product *down, *up;
} product;

typedef struct {
    const float *before_attention, *before_mlp;
    product qkv, o, gate_up, down; /* in gate_up a tile of gate takes turns with one of up */
} layer;

typedef struct {
    const layer *layers;
    const float *after;
    int32_t count, width, inner, heads, kv_heads, head_dim, exact;
    float eps;
} network;

/* Rows as whole numbers, 256 high + low or high alone: high, low [rows, in]; scales, sums [rows, in / GROUP], what one
   stands for in a group, and what the group adds up to. */
typedef struct {
    int8_t *high, *low;
    float *scales, *sums;
} rounded;

/* ------------------------------------------------------------------------------------------------------- vectors */

INLINE vf load(const float *p) {
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store(float *p, vf v) { memcpy(p, &v, sizeof v); }

INLINE vf larger(vf a, vf b) {
    const vi first = a > b;
    return (vf)(((vi)a & first) | ((vi)b & ~first));
}

INLINE float total(vf v) {
    float lanes[LANES];
    store(lanes, v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

INLINE float highest(vf v) {
    float lanes[LANES];
    store(lanes, v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
    return lanes[0];
}

/* The sum of each of 16 vectors: in every step two become one, half of whose lanes belong to either. */
INLINE vf totals(vf *v) {
    const vi even = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30}, odd = even + 1;
    for (int count = LANES / 2; count; count /= 2)
        for (int i = 0; i < count; i++)
            v[i] = __builtin_shuffle(v[2 * i], v[2 * i + 1], even) + __builtin_shuffle(v[2 * i], v[2 * i + 1], odd);
    return v[0];
}

/* Numbers of less than 2^22 to the nearest whole one: 1.5 * 2^23 leaves no bits for a fraction. */
INLINE vi nearest(vf x) { return (vi)(x + 12582912.0f) - 0x4b400000; }

/* exp of -87 ... 88, of what is beyond as of these; to 2 units in the last place (Cephes' expf: 2^n, and a polynomial
   for the rest). */
INLINE vf exponential(vf x) {
    const vf least = (vf){0} - 87.0f, most = (vf){0} + 88.0f;
    x = larger(x, least);
    x = -larger(-x, -most);
    const vi whole = nearest(x * 1.44269504f);
    const vf n = __builtin_convertvector(whole, vf), r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vf y = 1.9875691500e-4f * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    return (vf)((vi)y + (whole << 23));
}

INLINE vf from_float16(const uint8_t *p) {
#ifdef __AVX512F__
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
#else
    union {
        vf v;
        __m256 half[2];
    } whole;
    whole.half[0] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
    whole.half[1] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 16)));
    return whole.v;
#endif
}

/* 32 numbers in bfloat16: those at even places, and those at odd ones. */
INLINE void from_bfloat16(const uint16_t *p, vf *even, vf *odd) {
    vi both;
    memcpy(&both, p, sizeof both);
    *even = (vf)(both << 16);
    *odd = (vf)(both & ((vi){0} + (int32_t)0xffff0000));
}

INLINE uint16_t to_bfloat16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16); /* to the nearest, ties to even */
}

/* ------------------------------------------------------------------------------------------------------- threads */

/* This thread's share of `count` things. */
#define SHARE(count, from, to)                                                                      \
    const int from = (int)((long)(count) * omp_get_thread_num() / omp_get_num_threads());           \
    const int to = (int)((long)(count) * (omp_get_thread_num() + 1) / omp_get_num_threads())

INLINE long aligned(long bytes) { return (bytes + 63) / 64 * 64; }

/* ------------------------------------------------------------------------------------------------------ products */

/* Bytes that `rows` rows take as whole numbers. */
INLINE long rounded_bytes(int rows, int in) {
    return 2 * aligned((long)rows * in) + 2 * aligned((long)rows * (in / GROUP) * 4);
}

static rounded rounded_at(uint8_t *scratch, int rows, int in) {
    rounded x;
    x.high = (int8_t *)scratch;
    x.low = x.high + aligned((long)rows * in);
    x.scales = (float *)(x.low + aligned((long)rows * in));
    x.sums = x.scales + aligned((long)rows * (in / GROUP) * 4) / 4;
    return x;
}

/* Rows x [rows, in] as whole numbers, each after its RMS norm with weight `norm` if there is one. */
static void round_rows(const float *x, const float *norm, float eps, int rows, int in, int exact, rounded *to) {
    const float most = exact ? 127.0f * 256.0f : 127.0f;
    for (int row = 0; row < rows; row++, x += in) {
        float factor = 1.0f;
        if (norm) {
            vf squares = {0};
            for (int i = 0; i < in; i += LANES) squares += load(x + i) * load(x + i);
            factor = 1.0f / sqrtf(total(squares) / (float)in + eps);
        }
        for (int at = 0; at < in; at += GROUP) {
            vf part[2], peaks = {0}, sum = {0};
            for (int k = 0; k < 2; k++) {
                part[k] = load(x + at + k * LANES);
                if (norm) part[k] *= factor * load(norm + at + k * LANES);
                peaks = larger(peaks, larger(part[k], -part[k]));
            }
            const float peak = highest(peaks), up = peak > 0 ? most / peak : 0;
            for (int k = 0; k < 2; k++) {
                const vi whole = nearest(part[k] * up), upper = exact ? (whole + 128) >> 8 : whole;
                const vb high = __builtin_convertvector(upper, vb);
                memcpy(to->high + (long)row * in + at + k * LANES, &high, sizeof high);
                if (exact) {
                    const vb low = __builtin_convertvector(whole - (upper << 8), vb);
                    memcpy(to->low + (long)row * in + at + k * LANES, &low, sizeof low);
                }
                sum += __builtin_convertvector(whole, vf);
            }
            const long group = (long)row * (in / GROUP) + at / GROUP;
            to->scales[group] = peak / most;
            to->sums[group] = total(sum) * (peak / most);
        }
    }
}

/* sum + levels * inputs, for each output: 4 levels of 0 ... 255, or 0 ... 15 if `small`, and the same 4 inputs. */
INLINE vi dot(vi sum, vi levels, const int8_t *inputs, int small) {
    int32_t four;
    memcpy(&four, inputs, sizeof four);
#ifdef __AVX512VNNI__
    (void)small;
    return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)levels, _mm512_set1_epi32(four));
#else
    union {
        vi v;
        __m256i half[2];
    } s = {sum}, w = {levels};
    const __m256i x = _mm256_set1_epi32(four), ones = _mm256_set1_epi16(1), nibble = _mm256_set1_epi8(15);
    for (int i = 0; i < 2; i++) {
        /* Two products of 8 bits do not fit the 16 in which they are added: levels are taken 4 bits at a time. */
        const __m256i lower = small ? w.half[i] : _mm256_and_si256(w.half[i], nibble);
        s.half[i] = _mm256_add_epi32(s.half[i], _mm256_madd_epi16(_mm256_maddubs_epi16(lower, x), ones));
        if (!small) {
            const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(w.half[i], 4), nibble);
            const __m256i part = _mm256_madd_epi16(_mm256_maddubs_epi16(upper, x), ones);
            s.half[i] = _mm256_add_epi32(s.half[i], _mm256_slli_epi32(part, 4));
        }
    }
    return s.v;
#endif
}

INLINE long tile_bytes(int in, int bits) {
    return (long)(in / GROUP) * (bits == 4 ? LANES * GROUP / 2 + 2 * LANES * 2 : LANES * GROUP + LANES * 2);
}

/* `tiles` tiles that lie side by side, `rows` rows from `first` on, added to y [tiles, ROWS, 16]. Two tiles at once
   share what is loaded of the rows, and twice as many sums are on their way while each waits for its last product.
   `asking`: for weights further on, meanwhile; else that is left to the processor. */
INLINE void multiply(const uint8_t *w, int in, const rounded *x, int first, int rows, int tiles, int bits, int exact,
                     int asking, vf *y) {
    const vi nibble = (vi){0} + 0x0f0f0f0f;
    const long apart = tile_bytes(in, bits);
    const int step_in = bits == 4 ? 8 : 4; /* inputs whose levels one vector holds */
    for (int at = 0; at < in; at += GROUP) {
        vi high[2 * ROWS], low[2 * ROWS];
        for (int i = 0; i < tiles * ROWS; i++) high[i] = low[i] = (vi){0};
        for (int k = 0; k < GROUP; k += step_in, w += sizeof(vi)) {
            vi levels[2][2]; /* of a tile: the first four inputs, and the next four */
            for (int t = 0; t < tiles; t++) {
                memcpy(&levels[t][0], w + t * apart, sizeof levels[t][0]);
                if (asking) __builtin_prefetch(w + t * apart + AHEAD);
                if (bits == 4) {
                    levels[t][1] = (levels[t][0] >> 4) & nibble;
                    levels[t][0] &= nibble;
                }
            }
            for (int r = 0; r < rows; r++)
                for (int part = 0; part < step_in / 4; part++) {
                    const long here = (long)(first + r) * in + at + k + 4 * part;
                    for (int t = 0; t < tiles; t++) {
                        vi *sum = &high[t * ROWS + r];
                        *sum = dot(*sum, levels[t][part], x->high + here, bits == 4);
                    }
                    for (int t = 0; exact && t < tiles; t++) {
                        vi *sum = &low[t * ROWS + r];
                        *sum = dot(*sum, levels[t][part], x->low + here, bits == 4);
                    }
                }
        }
        for (int t = 0; t < tiles; t++) {
            const uint8_t *scales = w + t * apart;
            const vf step = from_float16(scales);
            const vf lowest = bits == 4 ? from_float16(scales + LANES * 2) : -128.0f * step;
            for (int r = 0; r < rows; r++) {
                const long group = (long)(first + r) * (in / GROUP) + at / GROUP;
                const vi whole = exact ? (high[t * ROWS + r] << 8) + low[t * ROWS + r] : high[t * ROWS + r];
                y[t * ROWS + r] += step * (__builtin_convertvector(whole, vf) * x->scales[group]);
                y[t * ROWS + r] += lowest * x->sums[group];
            }
        }
        w += bits == 4 ? 2 * LANES * 2 : LANES * 2;
    }
}

typedef void (*multiplier)(const uint8_t *w, int in, const rounded *x, int first, vf *y);

#define MULTIPLIER(rows, tiles, bits, exact, asking)                                                            \
    static void multiply_##rows##_##tiles##_##bits##_##exact##_##asking(const uint8_t *w, int in, const rounded *x, \
                                                                        int first, vf *y) {                     \
        multiply(w, in, x, first, rows, tiles, bits, exact, asking, y);                                         \
    }
#define FOR_ROWS(tiles, bits, exact, asking)                                                                    \
    MULTIPLIER(1, tiles, bits, exact, asking) MULTIPLIER(2, tiles, bits, exact, asking)                         \
    MULTIPLIER(3, tiles, bits, exact, asking) MULTIPLIER(4, tiles, bits, exact, asking)
#define FOR_EACH(bits, exact)                                                                                   \
    FOR_ROWS(1, bits, exact, 0) FOR_ROWS(2, bits, exact, 0) FOR_ROWS(1, bits, exact, 1) FOR_ROWS(2, bits, exact, 1)
FOR_EACH(4, 0) FOR_EACH(4, 1) FOR_EACH(8, 0) FOR_EACH(8, 1)

#define BY_ROWS(tiles, bits, exact, asking)                                                                     \
    {multiply_1_##tiles##_##bits##_##exact##_##asking, multiply_2_##tiles##_##bits##_##exact##_##asking,        \
     multiply_3_##tiles##_##bits##_##exact##_##asking, multiply_4_##tiles##_##bits##_##exact##_##asking}
#define BY_TILES(bits, exact, asking) {BY_ROWS(1, bits, exact, asking), BY_ROWS(2, bits, exact, asking)}
static const multiplier multipliers[2][2][2][2][ROWS] = {
    {{BY_TILES(4, 0, 0), BY_TILES(4, 1, 0)}, {BY_TILES(8, 0, 0), BY_TILES(8, 1, 0)}},
    {{BY_TILES(4, 0, 1), BY_TILES(4, 1, 1)}, {BY_TILES(8, 0, 1), BY_TILES(8, 1, 1)}},
};

/* Adds to y [tiles, ROWS, 16] what the tiles t ... t + tiles make of a few rows. */
INLINE void add_tiles(const product *p, int t, int tiles, const rounded *x, int first, int rows, int exact, int asking,
                      vf *y) {
    const uint8_t *const w = p->data + t * tile_bytes(p->in, p->bits);
    multipliers[asking][p->bits == 8][exact][tiles - 1][rows - 1](w, p->in, x, first, y);
}

/* Bytes for what comes out of `down`. */
INLINE long lowered_bytes(const product *p, int rows) {
    return p->down ? rounded_bytes(rows, p->down->out) + aligned((long)rows * p->down->out * 4) : 0;
}

/* What `up` takes: x down', rounded. Every thread computes all of it for itself. */
static rounded lowered(const product *p, const rounded *x, int rows, int exact, int asking, uint8_t *scratch) {
    rounded to = {0};
    if (!p->down) return to;
    const int rank = p->down->out;
    float *const low = (float *)(scratch + rounded_bytes(rows, rank));
    for (int t = 0; t < rank / LANES; t += 2)
        for (int first = 0; first < rows; first += ROWS) {
            const int some = rows - first < ROWS ? rows - first : ROWS;
            vf sums[2 * ROWS] = {{0}};
            add_tiles(p->down, t, 2, x, first, some, exact, asking, sums);
            for (int i = 0; i < 2; i++)
                for (int r = 0; r < some; r++) store(low + (long)(first + r) * rank + (t + i) * LANES, sums[i * ROWS + r]);
        }
    to = rounded_at(scratch, rows, rank);
    round_rows(low, 0, 0, rows, rank, exact, &to);
    return to;
}

/* This thread's share of a product: for every few rows of every two tiles of it, `sums` [tiles, ROWS, 16] of the rows
   first ... first + some and the tiles t ... t + tiles, and the statement that follows. `step`: tiles that are not torn
   apart. */
#define FOR_SHARE(p, x, low, rows, exact, asking, step)                                                       \
    SHARE((p)->out / LANES / (step), share_from, share_to);                                                   \
    for (int t = share_from * (step), tiles; t < share_to * (step); t += tiles)                               \
        for (int first = (tiles = share_to * (step) - t < 2 ? 1 : 2, 0), some; first < (rows); first += some) \
            if (some = (rows) - first < ROWS ? (rows) - first : ROWS, memset(sums, 0, sizeof sums),           \
                add_tiles(p, t, tiles, x, first, some, exact, asking, sums),                                  \
                (p)->up ? add_tiles((p)->up, t, tiles, low, first, some, exact, asking, sums) : (void)0, 1)

/* Bytes of scratch for galley_product. */
long galley_product_scratch(const product *p, int rows, int threads) {
    return threads * rounded_bytes(rows, p->in) + 64;
}

/* y [rows, out] = x [rows, in] W', without an adapter. */
void galley_product(const product *p, int exact, int asking, int rows, const float *x, float *y, uint8_t *scratch,
                    int threads) {
    scratch = (uint8_t *)aligned((long)scratch);
#pragma omp parallel num_threads(threads)
    {
        rounded mine = rounded_at(scratch + omp_get_thread_num() * rounded_bytes(rows, p->in), rows, p->in);
        vf sums[2 * ROWS];
        round_rows(x, 0, 0, rows, p->in, exact, &mine);
        FOR_SHARE(p, &mine, &mine, rows, exact, asking, 1) {
            for (int i = 0; i < tiles; i++)
                for (int r = 0; r < some; r++)
                    store(y + (long)(first + r) * p->out + (t + i) * LANES, sums[i * ROWS + r]);
        }
    }
}

/* ----------------------------------------------------------------------------------------------------- attention */

/* A head [d] of queries in the order in which from_bfloat16 gives keys: of every 32 numbers those at even places first. */
INLINE void halved(float *head, int d) {
    float whole[32];
    for (int at = 0; at < d; at += 32) {
        memcpy(whole, head + at, sizeof whole);
        for (int i = 0; i < 32; i++) head[at + i % 2 * LANES + i / 2] = whole[i];
    }
}

/* What a query has seen of some columns: the sum of exp(score - top) over them, and behind it [d] that of values. */
typedef struct {
    float top, sum;
} glimpse;

INLINE long glimpse_floats(int d) { return LANES + d; } /* values begin where vectors do */

/* `count` queries of a row that share keys and values [columns, d] in bfloat16, at most COLUMNS of them: their glimpses
   of q K' + bias. q [count, d], in halves as `halved` makes them; seen: `count` glimpses, `apart_by` floats from one to
   the next, their values in halves too. */
INLINE void attend(const float *q, int count, const uint16_t *keys, const uint16_t *values, const float *bias,
                   int columns, int d, float *seen, long apart_by) {
    enum { wide = COLUMNS };
    const int parts = d / 32, whole = (columns + LANES - 1) / LANES * LANES;
    float scores[HEADS * wide];
    for (int t = 0; t < whole; t += LANES) {
        vf sums[HEADS][LANES];
        float hidden[LANES];
        for (int k = 0; k < LANES; k++) {
            const int column = t + k < columns ? t + k : columns - 1;
            vf key[WIDEST / LANES];
            hidden[k] = t + k < columns ? bias[column] : -3e38f;
            for (int i = 0; i < parts; i++) from_bfloat16(keys + (long)column * d + i * 32, &key[2 * i], &key[2 * i + 1]);
            for (int h = 0; h < count; h++) {
                vf sum = {0};
                for (int i = 0; i < 2 * parts; i++) sum += key[i] * load(q + h * d + i * LANES);
                sums[h][k] = sum;
            }
        }
        for (int h = 0; h < count; h++) store(scores + h * wide + t, totals(sums[h]) + load(hidden));
    }
    for (int h = 0; h < count; h++) {
        float *mine = scores + h * wide;
        vf peaks = load(mine), sum = {0};
        for (int t = LANES; t < whole; t += LANES) peaks = larger(peaks, load(mine + t));
        const float peak = highest(peaks);
        for (int t = 0; t < whole; t += LANES) {
            const vf chance = exponential(load(mine + t) - peak);
            store(mine + t, chance);
            sum += chance;
        }
        const glimpse found = {peak, total(sum)};
        memcpy(seen + h * apart_by, &found, sizeof found);
    }
    /* 64 numbers of a value at a time: as many sums as registers, and enough of them not to wait for each other. */
    for (int at = 0; at < parts; at += 2) {
        const int few = parts - at < 2 ? 1 : 2;
        vf sums[HEADS][4];
        for (int h = 0; h < count; h++)
            for (int i = 0; i < 4; i++) sums[h][i] = (vf){0};
        for (int t = 0; t < columns; t++) {
            vf value[4];
            for (int i = 0; i < few; i++)
                from_bfloat16(values + (long)t * d + (at + i) * 32, &value[2 * i], &value[2 * i + 1]);
            for (int h = 0; h < count; h++)
                for (int i = 0; i < 2 * few; i++) sums[h][i] += scores[h * wide + t] * value[i];
        }
        for (int h = 0; h < count; h++)
            for (int i = 0; i < 2 * few; i++) store(seen + h * apart_by + LANES + at * 32 + i * LANES, sums[h][i]);
    }
}

/* Softmax over all columns of the values, out [d], from the glimpses of `count` parts of them. A part of which nothing is
   to be seen has a top so low that it adds exactly nothing: a row does not depend on how many columns follow it. */
INLINE void put_together(const float *seen, int count, long apart_by, int d, float *out) {
    float top = -INFINITY, sum = 0;
    for (int i = 0; i < count; i++) top = seen[i * apart_by] > top ? seen[i * apart_by] : top;
    for (int k = 0; k < d; k += LANES) store(out + k, (vf){0});
    for (int i = 0; i < count; i++) {
        const float *const part = seen + i * apart_by;
        if (part[0] < top - 80.0f) continue;
        const float weight = exponential((vf){0} + (part[0] - top))[0];
        sum += weight * part[1];
        for (int k = 0; k < d; k += LANES) store(out + k, load(out + k) + weight * load(part + LANES + k));
    }
    for (int at = 0; at < d; at += 32) {
        float halves[32];
        memcpy(halves, out + at, sizeof halves);
        for (int i = 0; i < 32; i++) out[at + i] = halves[i % 2 * LANES + i / 2] * (1.0f / sum);
    }
}

/* -------------------------------------------------------------------------------------------------------- layers */

INLINE int widest(const network *net) {
    const int queries = net->heads * net->head_dim, most = net->width > net->inner ? net->width : net->inner;
    return most > queries ? most : queries;
}

/* Bytes that one thread keeps to itself: rounded rows, what they have seen, and rows for an adapter. */
INLINE long own_bytes(const network *net, int rows) {
    return rounded_bytes(rows, widest(net)) + aligned((long)rows * net->heads * net->head_dim * 4) +
           lowered_bytes(&net->layers[0].qkv, rows);
}

INLINE int parts_of(int columns) { return (columns + COLUMNS - 1) / COLUMNS; }

/* Bytes of scratch for galley_layers, whose rows see so many columns. */
long galley_layers_scratch(const network *net, int rows, int columns, int threads) {
    const long qkv = (long)rows * (net->heads + 2 * net->kv_heads) * net->head_dim * 4;
    const long glimpses = (long)rows * net->heads * parts_of(columns) * glimpse_floats(net->head_dim) * 4;
    return aligned(qkv) + aligned(glimpses) + aligned((long)rows * net->inner * 4) + threads * own_bytes(net, rows) + 64;
}

/* A head [d] of queries, keys or values, turned by `turn` [d / 2], complex. */
INLINE void rotate(float *head, const float *turn, int d) {
    for (int i = 0; i < d; i += 2) {
        const float re = head[i], im = head[i + 1];
        head[i] = re * turn[i] - im * turn[i + 1];
        head[i + 1] = re * turn[i + 1] + im * turn[i];
    }
}

/* x [batch, n, width] becomes the features after the last norm. turns [n, heads + 2 kv_heads, head_dim / 2], complex;
   bias [biases, bias_rows, at + n], where either may be 1 for all; stores [2, batch, kv_heads, capacity, head_dim] of
   each layer, whose columns at ... at + n are written. */
void galley_layers(const network *net, int asking, int batch, int n, float *x, const float *turns, const float *bias,
                   int biases, int bias_rows, uint16_t *const *stores, long capacity, int at, uint8_t *scratch,
                   int threads) {
    const int rows = batch * n, d = net->head_dim, kv = net->kv_heads, group = net->heads / kv, columns = at + n;
    const int slots = net->heads + 2 * kv, queries = net->heads * d, width = net->width, exact = net->exact;
    scratch = (uint8_t *)aligned((long)scratch);
    float *const qkv = (float *)scratch;                                       /* [rows, slots, d] */
    float *const seen = qkv + aligned((long)rows * slots * d * 4) / 4;         /* [rows, heads, parts] glimpses */
    const int parts = parts_of(columns);
    const long each = glimpse_floats(d), glimpses = (long)rows * net->heads * parts * each;
    float *const inner = seen + aligned(glimpses * 4) / 4;                     /* [rows, inner] */
    uint8_t *const own = (uint8_t *)(inner + aligned((long)rows * net->inner * 4) / 4);
#pragma omp parallel num_threads(threads)
    {
        uint8_t *const mine = own + omp_get_thread_num() * own_bytes(net, rows);
        float *const heard = (float *)(mine + rounded_bytes(rows, widest(net))); /* [rows, heads, d] */
        uint8_t *const below = mine + own_bytes(net, rows) - lowered_bytes(&net->layers[0].qkv, rows);
        vf sums[2 * ROWS];
        for (int number = 0; number < net->count; number++) {
            const layer *const now = &net->layers[number];
            uint16_t *const keys = stores[number], *const values = keys + (long)batch * kv * capacity * d;
            /* Every thread rounds all rows for itself: it takes less time than to wait for each other. */
            {
                rounded in = rounded_at(mine, rows, width);
                round_rows(x, now->before_attention, net->eps, rows, width, exact, &in);
                const rounded low = lowered(&now->qkv, &in, rows, exact, asking, below);
                FOR_SHARE(&now->qkv, &in, &low, rows, exact, asking, 1) {
                    for (int i = 0; i < tiles; i++)
                        for (int r = 0; r < some; r++)
                            store(qkv + (long)(first + r) * slots * d + (t + i) * LANES, sums[i * ROWS + r]);
                }
            }
#pragma omp barrier
            {
                SHARE(rows * slots, from, to);
                for (int k = from; k < to; k++) {
                    const int row = k / slots, kept = k % slots - net->heads;
                    float *const head = qkv + (long)k * d;
                    rotate(head, turns + ((long)(row % n) * slots + k % slots) * d, d);
                    if (kept < 0) {
                        halved(head, d);
                        continue;
                    }
                    const long column = ((long)(row / n) * kv + kept % kv) * capacity + at + row % n;
                    uint16_t *const place = (kept < kv ? keys : values) + column * d;
                    for (int i = 0; i < d; i++) place[i] = to_bfloat16(head[i]);
                }
            }
#pragma omp barrier
            {
                SHARE(batch * kv * parts, from, to);
                for (int k = from; k < to; k++) {
                    const int part = k % parts, which = k / parts % kv, text = k / parts / kv, first = part * COLUMNS;
                    const int some_columns = columns - first < COLUMNS ? columns - first : COLUMNS;
                    const long there = (((long)text * kv + which) * capacity + first) * d;
                    for (int row = text * n; row < (text + 1) * n; row++) {
                        const long line = (biases > 1 ? (long)text * bias_rows : 0) + (bias_rows > 1 ? row % n : 0);
                        const float *const hidden = bias + line * columns + first;
                        for (int h = 0, some; h < group; h += some) {
                            some = group - h < HEADS ? group - h : HEADS;
                            const int query = which * group + h;
                            const float *const q = qkv + ((long)row * slots + query) * d;
                            float *const to_here = seen + (((long)row * net->heads + query) * parts + part) * each;
                            if (some == 3 && d == 64)
                                attend(q, 3, keys + there, values + there, hidden, some_columns, 64, to_here, parts * each);
                            else
                                attend(q, some, keys + there, values + there, hidden, some_columns, d, to_here, parts * each);
                        }
                    }
                }
            }
#pragma omp barrier
            {
                rounded in = rounded_at(mine, rows, queries);
                for (int k = 0; k < rows * net->heads; k++)
                    put_together(seen + (long)k * parts * each, parts, each, d, heard + (long)k * d);
                round_rows(heard, 0, 0, rows, queries, exact, &in);
                const rounded low = lowered(&now->o, &in, rows, exact, asking, below);
                FOR_SHARE(&now->o, &in, &low, rows, exact, asking, 1) {
                    for (int i = 0; i < tiles; i++)
                        for (int r = 0; r < some; r++) {
                            float *const sum = x + (long)(first + r) * width + (t + i) * LANES;
                            store(sum, load(sum) + sums[i * ROWS + r]);
                        }
                }
            }
#pragma omp barrier
            {
                rounded in = rounded_at(mine, rows, width);
                round_rows(x, now->before_mlp, net->eps, rows, width, exact, &in);
                const rounded low = lowered(&now->gate_up, &in, rows, exact, asking, below);
                FOR_SHARE(&now->gate_up, &in, &low, rows, exact, asking, 2) {
                    for (int r = 0; r < some; r++) {
                        const vf gate = sums[r], up = sums[ROWS + r];
                        store(inner + (long)(first + r) * net->inner + t / 2 * LANES, gate / (1 + exponential(-gate)) * up);
                    }
                }
            }
#pragma omp barrier
            {
                rounded in = rounded_at(mine, rows, net->inner);
                round_rows(inner, 0, 0, rows, net->inner, exact, &in);
                const rounded low = lowered(&now->down, &in, rows, exact, asking, below);
                FOR_SHARE(&now->down, &in, &low, rows, exact, asking, 1) {
                    for (int i = 0; i < tiles; i++)
                        for (int r = 0; r < some; r++) {
                            float *const sum = x + (long)(first + r) * width + (t + i) * LANES;
                            store(sum, load(sum) + sums[i * ROWS + r]);
                        }
                }
            }
#pragma omp barrier
        }
        SHARE(rows, from, to);
        for (int row = from; row < to; row++) {
            float *const features = x + (long)row * width;
            vf squares = {0};
            for (int i = 0; i < width; i += LANES) squares += load(features + i) * load(features + i);
            const float factor = 1.0f / sqrtf(total(squares) / (float)width + net->eps);
            for (int i = 0; i < width; i += LANES)
                store(features + i, load(features + i) * factor * load(net->after + i));
        }
    }
}
