// Products of a stack of small matrices, c[z] = a[z] b[z], in one thread.
//
// Every number of c is one chain of fused multiply-adds over p = 0, 1, ..., whatever the tile it falls in: it depends
// neither on how many matrices there are, nor on the others, nor on how wide the registers are of a processor that has
// such an operation. `fused` says whether the target has one.

#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__AVX512F__) || defined(__FMA__)
#include <immintrin.h>
#endif

// A tile of c is ROWS by W registers of LANES columns. With b's W registers it must fit into the register file, and
// be large enough to hide the latency of a multiply-add.
#if defined(__AVX512F__)
constexpr int LANES = 16, WIDEST = 4;
constexpr int rows(int w) { return w == 4 ? 6 : w == 2 ? 12 : 14; }
#else
constexpr int LANES = 8, WIDEST = 2;
constexpr int rows(int w) { return w == 2 ? 6 : 8; }
#endif
typedef float Vector __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float))));
typedef int32_t Lanes __attribute__((vector_size(LANES * sizeof(float))));

// Return x * b + sum in each lane, rounded once. The operation is explicit: left to contraction, a compiler fuses some
// tiles and not others.
static inline Vector multiply_add(float x, Vector b, Vector sum) {
#if defined(__AVX512F__)
    return (Vector)_mm512_fmadd_ps(_mm512_set1_ps(x), (__m512)b, (__m512)sum);
#elif defined(__FMA__)
    return (Vector)_mm256_fmadd_ps(_mm256_set1_ps(x), (__m256)b, (__m256)sum);
#else
    for (int l = 0; l < LANES; l++) sum[l] = __builtin_fmaf(x, b[l], sum[l]);
    return sum;
#endif
}

struct Matrix {
    const float* at;
    int64_t row, column;  // strides, in numbers
};

// Every loop over the sums is unrolled and none takes their address: else GCC keeps them in memory, at half the speed.
template <int R, int W>
static inline void tile(Matrix a, Matrix b, float* c, int64_t c_row, int64_t inner, int columns) {
    Vector sums[R][W] = {};
    for (int64_t p = 0; p < inner; p++) {
        Vector b_row[W];
#pragma GCC unroll 4
        for (int w = 0; w < W; w++) b_row[w] = *(const Vector*)(b.at + p * b.row + w * LANES);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) {
            const float x = a.at[r * a.row + p * a.column];
#pragma GCC unroll 4
            for (int w = 0; w < W; w++) sums[r][w] = multiply_add(x, b_row[w], sums[r][w]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
        float row[W * LANES];
        float* to = columns == W * LANES ? c + r * c_row : row;
#pragma GCC unroll 4
        for (int w = 0; w < W; w++) *(Vector*)(to + w * LANES) = sums[r][w];
        if (columns != W * LANES) memcpy(c + r * c_row, row, columns * sizeof(float));
    }
}

// The rows of c from `first` on, R at a time; what is left over in smaller tiles.
template <int R, int W>
static void panel(Matrix a, Matrix b, float* c, int64_t c_row, int64_t first, int64_t count, int64_t inner, int columns) {
    int64_t i = first;
    for (; i + R <= count; i += R) {
        tile<R, W>({a.at + i * a.row, a.row, a.column}, b, c + i * c_row, c_row, inner, columns);
    }
    if constexpr (R > 1) {
        if (i < count) panel<R / 2, W>(a, b, c, c_row, i, count, inner, columns);
    }
}

#if defined(__GNUC__) && !defined(__clang__)
// Transpose LANES rows of LANES numbers: swap the off-diagonal blocks, each half as large as those before.
static inline void transpose(Vector (&x)[LANES]) {
    for (int half = LANES / 2; half > 0; half /= 2) {
        Lanes upper, lower;
        for (int l = 0; l < LANES; l++) {
            upper[l] = (l & half) ? LANES + l - half : l;
            lower[l] = (l & half) ? LANES + l : l + half;
        }
        for (int i = 0; i < LANES; i++) {
            if (i & half) continue;
            const Vector above = x[i], below = x[i + half];
            x[i] = __builtin_shuffle(above, below, upper);
            x[i + half] = __builtin_shuffle(above, below, lower);
        }
    }
}
#endif

// Copy `columns` columns of b into rows of `width` numbers that lie side by side; the columns beyond are zero.
static void pack(Matrix b, float* packed, int64_t inner, int columns, int width) {
    if (columns < width) memset(packed, 0, inner * width * sizeof(float));
    if (b.column == 1) {
        for (int64_t p = 0; p < inner; p++) memcpy(packed + p * width, b.at + p * b.row, columns * sizeof(float));
        return;
    }
    int64_t done = 0;
#if defined(__GNUC__) && !defined(__clang__)
    if (b.row == 1 && columns % LANES == 0) {  // b is a transposed matrix
        for (; done + LANES <= inner; done += LANES) {
            for (int j = 0; j < columns; j += LANES) {
                Vector x[LANES];
                for (int l = 0; l < LANES; l++) x[l] = *(const Vector*)(b.at + done + (j + l) * b.column);
                transpose(x);
                for (int l = 0; l < LANES; l++) *(Vector*)(packed + (done + l) * width + j) = x[l];
            }
        }
    }
#endif
    for (int64_t p = done; p < inner; p++) {
        for (int j = 0; j < columns; j++) packed[p * width + j] = b.at[p * b.row + j * b.column];
    }
}

template <int W>
static void columns_of(Matrix a, Matrix b, float* c, int64_t m, int64_t inner, int64_t n, int columns) {
    static thread_local std::vector<float> packed;
    if (b.column != 1 || columns != W * LANES) {
        packed.resize(inner * W * LANES);
        pack(b, packed.data(), inner, columns, W * LANES);
        b = {packed.data(), W * LANES, 1};
    }
    panel<rows(W), W>(a, b, c, n, 0, m, inner, columns);
}

// Whether the target multiplies and adds in one operation. Where it does not, a library would do so in software.
extern "C" int fused() {
#if defined(__AVX512F__) || defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__FP_FAST_FMAF)
    return 1;
#else
    return 0;
#endif
}

// a [count, m, inner] and b [count, inner, n], each with its three strides; c [count, m, n] contiguous.
extern "C" void products(const float* a, int64_t a_next, int64_t a_row, int64_t a_column, const float* b, int64_t b_next,
                         int64_t b_row, int64_t b_column, float* c, int64_t count, int64_t m, int64_t inner, int64_t n) {
    for (int64_t z = 0; z < count; z++, a += a_next, b += b_next, c += m * n) {
        const Matrix left = {a, a_row, a_column};
        for (int64_t j = 0; j < n;) {
            const int64_t rest = n - j;
            const Matrix right = {b + j * b_column, b_row, b_column};
            if (WIDEST == 4 && rest > 2 * LANES) {
                const int columns = rest < 4 * LANES ? rest : 4 * LANES;
                columns_of<WIDEST>(left, right, c + j, m, inner, n, columns);
                j += columns;
            } else if (rest > LANES) {
                const int columns = rest < 2 * LANES ? rest : 2 * LANES;
                columns_of<2>(left, right, c + j, m, inner, n, columns);
                j += columns;
            } else {
                columns_of<1>(left, right, c + j, m, inner, n, rest);
                j = n;
            }
        }
    }
}
