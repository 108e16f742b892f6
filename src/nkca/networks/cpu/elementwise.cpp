// The operations between the convolutions of a U-Net, on float or bfloat16 images.
// An image is (positions, channels), channels last. The arithmetic is float. The result for an image does
// not depend on the rest of the batch.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include <omp.h>

namespace {

struct bfloat16 {
    uint16_t bits;
};

inline float load(float x) { return x; }

inline float load(bfloat16 x) {
    uint32_t bits = uint32_t(x.bits) << 16;
    float out;
    std::memcpy(&out, &bits, 4);
    return out;
}

inline void store(float &to, float x) { to = x; }

inline void store(bfloat16 &to, float x) { // round to nearest, ties to even; NaN stays NaN
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    to.bits = uint16_t(x == x ? rounded : 0x7fc0);
}

// Mish. With w = e^h and n = w (w + 2), tanh(softplus(h)) = n / (n + 2), so
//     mish(h) = h n / (n + 2)        mish'(h) = n / (n + 2) + 4 h w (w + 1) / (n + 2)^2
// need one exponential and one division; the formulas are exact, and nothing cancels.

// e^x for x <= 20, with a relative error of 2e-7; about 1e-38 for x < -87. Cody and Waite's range reduction,
// the polynomial of Cephes.
inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    float n = std::rint(x * 1.44269504f);
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t bits = (int32_t(n) + 127) << 23;
    float scale;
    std::memcpy(&scale, &bits, 4);
    return p * scale;
}

inline float mish(float h) {
    float w = exponential(h > 20.0f ? 20.0f : h), n = w * (w + 2.0f);
    return h * (n / (n + 2.0f));
}

// mish'(h); writes mish(h) to `value`.
inline float mish_slope(float h, float &value) {
    float w = exponential(h > 20.0f ? 20.0f : h), n = w * (w + 2.0f), d = 1.0f / (n + 2.0f);
    value = h * n * d;
    return n * d + 4.0f * h * w * (w + 1.0f) * d * d;
}

// GroupNorm and Mish, y = mish(h), h = gamma (x - mean) / deviation + beta; then y + shift or, GATED,
// gate y + skip. `shift_or_gate` has one row of channels for each image or, if GATED, one for all images.

const int64_t BLOCK = 64; // rows summed in float; the sums of blocks are added in double

// How threads share the work: each takes whole images or, where there are fewer images than threads, a part
// of every image. Parts begin at block boundaries, so that the sums of an image do not depend on the batch.
struct ThreadPlan {
    bool splits_images;
    int64_t blocks, parts; // for each image

    ThreadPlan(int64_t images, int64_t rows) {
        int64_t threads = omp_get_max_threads();
        splits_images = images < threads;
        blocks = (rows + BLOCK - 1) / BLOCK;
        parts = splits_images ? std::min(threads, blocks) : 1;
    }

    template <typename Body> void for_rows(int64_t count, Body body) const {
#pragma omp parallel for schedule(static) if (splits_images)
        for (int64_t part = 0; part < parts; part++)
            body(part, blocks * part / parts * BLOCK,
                 std::min(count, blocks * (part + 1) / parts * BLOCK));
    }
};

// The sum over the rows of an image: add(row, sums) adds one row to `width` floats.
template <typename Add>
std::vector<double> sum_rows(const ThreadPlan &plan, int64_t rows, int64_t width, Add add) {
    std::vector<double> total(width * plan.parts);
    plan.for_rows(rows, [&](int64_t part, int64_t first, int64_t end) {
        std::vector<float> sums(width);
        double *into = total.data() + width * part;
        for (int64_t block = first; block < end; block += BLOCK) {
            std::fill(sums.begin(), sums.end(), 0.0f);
            for (int64_t row = block; row < std::min(end, block + BLOCK); row++) add(row, sums.data());
            for (int64_t i = 0; i < width; i++) into[i] += sums[i];
        }
    });
    for (int64_t part = 1; part < plan.parts; part++)
        for (int64_t i = 0; i < width; i++) total[i] += total[width * part + i];
    total.resize(width);
    return total;
}

// For every channel: the sum over the channels of its group, times `factor`.
std::vector<float> group_sums(const double *sums, int64_t channels, int64_t groups, double factor) {
    std::vector<float> out(channels);
    int64_t size = channels / groups;
    for (int64_t g = 0; g < groups; g++) {
        double sum = 0;
        for (int64_t c = g * size; c < (g + 1) * size; c++) sum += sums[c];
        std::fill_n(out.begin() + g * size, size, float(sum * factor));
    }
    return out;
}

template <typename T, bool GATED>
void norm_mish(const T *x_all, const float *gamma, const float *beta, const float *shift_or_gate,
               const T *skip_all, T *y_all, float *mean_all, float *inverse_all, int64_t images,
               int64_t rows, int64_t channels, int64_t groups, float epsilon) {
    ThreadPlan plan(images, rows);
    const int64_t size = rows * channels;
    const double share = double(groups) / size;
#pragma omp parallel for schedule(static) if (!plan.splits_images)
    for (int64_t n = 0; n < images; n++) {
        const T *x = x_all + n * size;
        T *y = y_all + n * size;
        auto sums = sum_rows(plan, rows, channels, [&](int64_t row, float *__restrict s) {
            const T *__restrict from = x + row * channels;
            for (int64_t c = 0; c < channels; c++) s[c] += load(from[c]);
        });
        auto mean = group_sums(sums.data(), channels, groups, share);
        auto squares = sum_rows(plan, rows, channels, [&](int64_t row, float *__restrict s) {
            const T *__restrict from = x + row * channels;
            const float *__restrict m = mean.data();
            for (int64_t c = 0; c < channels; c++) {
                float d = load(from[c]) - m[c];
                s[c] += d * d;
            }
        });
        auto scale = group_sums(squares.data(), channels, groups, share); // the variance
        std::vector<float> operand(channels);
        for (int64_t c = 0; c < channels; c++) {
            float inverse = 1.0f / std::sqrt(scale[c] + epsilon);
            mean_all[n * channels + c] = mean[c];
            inverse_all[n * channels + c] = inverse;
            scale[c] = gamma[c] * inverse;
            operand[c] = shift_or_gate ? shift_or_gate[(GATED ? 0 : n * channels) + c] : 0.0f;
        }
        plan.for_rows(rows, [&](int64_t, int64_t first, int64_t end) {
            const float *__restrict a = scale.data(), *__restrict m = mean.data();
            const float *__restrict b = beta, *__restrict e = operand.data();
            for (int64_t row = first; row < end; row++) {
                const T *__restrict from = x + row * channels;
                const T *__restrict skip = GATED ? skip_all + n * size + row * channels : from;
                T *__restrict to = y + row * channels;
                for (int64_t c = 0; c < channels; c++) {
                    float value = mish((load(from[c]) - m[c]) * a[c] + b[c]);
                    store(to[c], GATED ? value * e[c] + load(skip[c]) : value + e[c]);
                }
            }
        });
    }
}

// With g = dL/dh and xhat = (x - mean) / deviation: dL/dbeta = sum g, dL/dgamma = sum g xhat and
// dL/dx = (gamma g - mean(gamma g) - xhat mean(gamma g xhat)) / deviation. dL/dbeta, dL/dgamma and dL/dshift
// or dL/dgate are written for each image; the caller adds them up.
template <typename T, bool GATED>
void norm_mish_backward(const T *x_all, const T *dy_all, const float *gamma, const float *beta,
                        const float *gate, const float *mean_all, const float *inverse_all, T *dx_all,
                        float *dgamma, float *dbeta, float *dshift_or_gate, int64_t images,
                        int64_t rows, int64_t channels, int64_t groups) {
    ThreadPlan plan(images, rows);
    const int64_t size = rows * channels;
    const double share = double(groups) / size;
#pragma omp parallel for schedule(static) if (!plan.splits_images)
    for (int64_t n = 0; n < images; n++) {
        const T *x = x_all + n * size, *dy = dy_all + n * size;
        T *dx = dx_all + n * size;
        const float *mean = mean_all + n * channels, *inverse = inverse_all + n * channels;
        std::vector<float> scale(channels);
        for (int64_t c = 0; c < channels; c++) scale[c] = gamma[c] * inverse[c];
        auto sums = sum_rows(plan, rows, 3 * channels, [&](int64_t row, float *__restrict s) {
            const T *__restrict from = x + row * channels, *__restrict from_dy = dy + row * channels;
            const float *__restrict a = scale.data(), *__restrict b = beta, *__restrict m = mean;
            const float *__restrict e = gate;
            for (int64_t c = 0; c < channels; c++) {
                float v = load(from[c]) - m[c], d = load(from_dy[c]), value;
                float g = d * mish_slope(v * a[c] + b[c], value);
                if (GATED) g *= e[c];
                s[c] += g;
                s[channels + c] += g * v;
                s[2 * channels + c] += GATED ? d * value : d;
            }
        });
        std::vector<double> weighted(2 * channels);
        for (int64_t c = 0; c < channels; c++) {
            double centred = sums[channels + c] * inverse[c];
            dbeta[n * channels + c] = sums[c];
            dgamma[n * channels + c] = centred;
            dshift_or_gate[n * channels + c] = sums[2 * channels + c];
            weighted[c] = sums[c] * gamma[c];
            weighted[channels + c] = centred * gamma[c];
        }
        auto level = group_sums(weighted.data(), channels, groups, share);
        auto slope = group_sums(weighted.data() + channels, channels, groups, share);
        for (int64_t c = 0; c < channels; c++) { // dx = a g - slope (x - mean) - level
            slope[c] *= inverse[c] * inverse[c];
            level[c] *= inverse[c];
        }
        plan.for_rows(rows, [&](int64_t, int64_t first, int64_t end) {
            const float *__restrict a = scale.data(), *__restrict b = beta, *__restrict m = mean;
            const float *__restrict l = level.data(), *__restrict k = slope.data(), *__restrict e = gate;
            for (int64_t row = first; row < end; row++) {
                const T *__restrict from = x + row * channels, *__restrict from_dy = dy + row * channels;
                T *__restrict to = dx + row * channels;
                for (int64_t c = 0; c < channels; c++) {
                    float v = load(from[c]) - m[c], value;
                    float g = load(from_dy[c]) * mish_slope(v * a[c] + b[c], value);
                    if (GATED) g *= e[c];
                    store(to[c], a[c] * g - k[c] * v - l[c]);
                }
            }
        });
    }
}

// Linear attention. For each image and head, with positions i and D channels in each of q, k and v:
//     s = softmax of k over positions      context = sum over i of s_i v_i^T      out_i = context^T q_i

const int D = 32;
using Matrix = float[D][D];

inline void clear(Matrix &m) { std::memset(m, 0, sizeof(Matrix)); }

inline void transpose(const Matrix &m, Matrix &to) {
    for (int i = 0; i < D; i++)
        for (int j = 0; j < D; j++) to[j][i] = m[i][j];
}

// Load rows of D channels, `stride` numbers apart, as float.
template <typename T> inline void load_rows(const T *from, int64_t stride, int rows, float to[][D]) {
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < D; c++) to[r][c] = load(from[r * stride + c]);
}

template <typename T> inline void store_rows(const float from[][D], int64_t stride, int rows, T *to) {
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < D; c++) store(to[r * stride + c], from[r][c]);
}

const int ROWS = 4; // rows processed together: each load from a matrix serves all of them

typedef float Lanes __attribute__((vector_size(64), aligned(4), may_alias)); // an extension of GCC and Clang
const int LANES_PER_ROW = D / 16; // vectors in a row

inline const Lanes *lanes(const float *row) { return reinterpret_cast<const Lanes *>(row); }
inline Lanes *lanes(float *row) { return reinterpret_cast<Lanes *>(row); }

// sum += a^T b, with ROWS rows in a and b.
inline void add_outer(const float a[ROWS][D], const float b[ROWS][D], Matrix &sum) {
    Lanes right[ROWS][LANES_PER_ROW];
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < LANES_PER_ROW; j++) right[r][j] = lanes(b[r])[j];
    for (int i = 0; i < D; i++)
        for (int j = 0; j < LANES_PER_ROW; j++) {
            Lanes total = lanes(sum[i])[j];
            for (int r = 0; r < ROWS; r++) total += a[r][i] * right[r][j];
            lanes(sum[i])[j] = total;
        }
}

// out = a m, with ROWS rows in a.
inline void multiply(const float a[ROWS][D], const Matrix &m, float out[ROWS][D]) {
    Lanes sum[ROWS][LANES_PER_ROW] = {};
    for (int i = 0; i < D; i++)
        for (int j = 0; j < LANES_PER_ROW; j++) {
            Lanes row = lanes(m[i])[j];
            for (int r = 0; r < ROWS; r++) sum[r][j] += a[r][i] * row;
        }
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < LANES_PER_ROW; j++) lanes(out[r])[j] = sum[r][j];
}

// Call body(first row, number of rows) for ROWS rows at a time, and add() after each BLOCK of rows.
template <typename Body, typename Add> inline void for_row_groups(int64_t rows, Body body, Add add) {
    for (int64_t block = 0; block < rows; block += BLOCK) {
        int64_t end = std::min(rows, block + BLOCK);
        for (int64_t row = block; row < end; row += ROWS) body(row, int(std::min<int64_t>(ROWS, end - row)));
        add();
    }
}

// The numerator e^(k - max_key) of the softmax for each number; zero in rows from `rows` on.
inline void softmax_numerators(float k[ROWS][D], const float *max_key, int rows) {
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < D; c++) k[r][c] = r < rows ? exponential(k[r][c] - max_key[c]) : 0.0f;
}

template <typename T>
void attention(const T *qkv_all, T *out_all, float *context_all, float *max_key_all, float *sum_all,
               int64_t images, int64_t rows, int64_t heads) {
    const int64_t qkv_width = 3 * heads * D, out_width = heads * D;
#pragma omp parallel for schedule(static)
    for (int64_t task = 0; task < images * heads; task++) {
        const int64_t image = task / heads, head = task % heads;
        const T *q = qkv_all + image * rows * qkv_width + head * D, *k = q + out_width, *v = k + out_width;
        T *out = out_all + image * rows * out_width + head * D;
        float *max_key = max_key_all + task * D, *sum = sum_all + task * D;
        for (int c = 0; c < D; c++) max_key[c] = load(k[c]);
        for (int64_t row = 1; row < rows; row++)
            for (int c = 0; c < D; c++) {
                float value = load(k[row * qkv_width + c]);
                max_key[c] = value > max_key[c] || value != value ? value : max_key[c];
            }
        Matrix total, part;
        float part_sum[D] = {};
        clear(total), clear(part);
        std::fill_n(sum, D, 0.0f);
        for_row_groups(
            rows,
            [&](int64_t row, int count) {
                float s[ROWS][D] = {}, values[ROWS][D] = {};
                load_rows(k + row * qkv_width, qkv_width, count, s);
                load_rows(v + row * qkv_width, qkv_width, count, values);
                softmax_numerators(s, max_key, count);
                for (int r = 0; r < ROWS; r++)
                    for (int c = 0; c < D; c++) part_sum[c] += s[r][c];
                add_outer(s, values, part);
            },
            [&]() {
                for (int i = 0; i < D; i++) {
                    sum[i] += part_sum[i], part_sum[i] = 0;
                    for (int j = 0; j < D; j++) total[i][j] += part[i][j];
                }
                clear(part);
            });
        for (int i = 0; i < D; i++)
            for (int j = 0; j < D; j++) total[i][j] /= sum[i];
        std::memcpy(context_all + task * D * D, total, sizeof total);
        for_row_groups(
            rows,
            [&](int64_t row, int count) {
                float queries[ROWS][D] = {}, result[ROWS][D];
                load_rows(q + row * qkv_width, qkv_width, count, queries);
                multiply(queries, total, result);
                store_rows(result, out_width, count, out + row * out_width);
            },
            []() {});
    }
}

// With C' = dL/dcontext = sum of q_i g_i^T, g = dL/dout:
//     dq_i = context g_i      dv_i = C'^T s_i      dk_i = s_i (C' v_i - row sums of context C')
template <typename T>
void attention_backward(const T *qkv_all, const T *dout_all, const float *context_all,
                        const float *max_key_all, const float *sum_all, T *dqkv_all, int64_t images,
                        int64_t rows, int64_t heads) {
    const int64_t qkv_width = 3 * heads * D, out_width = heads * D;
#pragma omp parallel for schedule(static)
    for (int64_t task = 0; task < images * heads; task++) {
        const int64_t image = task / heads, head = task % heads, start = image * rows * qkv_width + head * D;
        const T *q = qkv_all + start, *k = q + out_width, *v = k + out_width;
        const T *dout = dout_all + image * rows * out_width + head * D;
        T *dq = dqkv_all + start, *dk = dq + out_width, *dv = dk + out_width;
        const float *max_key = max_key_all + task * D, *sum = sum_all + task * D;
        Matrix dcontext, part, context, context_t, dcontext_t;
        std::memcpy(context, context_all + task * D * D, sizeof context);
        transpose(context, context_t);
        clear(dcontext), clear(part);
        for_row_groups(
            rows,
            [&](int64_t row, int count) {
                float queries[ROWS][D] = {}, g[ROWS][D] = {};
                load_rows(q + row * qkv_width, qkv_width, count, queries);
                load_rows(dout + row * out_width, out_width, count, g);
                add_outer(queries, g, part);
            },
            [&]() {
                for (int i = 0; i < D; i++)
                    for (int j = 0; j < D; j++) dcontext[i][j] += part[i][j];
                clear(part);
            });
        transpose(dcontext, dcontext_t);
        float correction[D], inverse[D];
        for (int i = 0; i < D; i++) {
            correction[i] = 0, inverse[i] = 1.0f / sum[i];
            for (int j = 0; j < D; j++) correction[i] += context[i][j] * dcontext[i][j];
        }
        for_row_groups(
            rows,
            [&](int64_t row, int count) {
                float g[ROWS][D] = {}, s[ROWS][D] = {}, values[ROWS][D] = {}, result[ROWS][D];
                load_rows(dout + row * out_width, out_width, count, g);
                load_rows(k + row * qkv_width, qkv_width, count, s);
                load_rows(v + row * qkv_width, qkv_width, count, values);
                softmax_numerators(s, max_key, count);
                for (int r = 0; r < ROWS; r++)
                    for (int c = 0; c < D; c++) s[r][c] *= inverse[c];
                multiply(g, context_t, result);
                store_rows(result, qkv_width, count, dq + row * qkv_width);
                multiply(s, dcontext, result);
                store_rows(result, qkv_width, count, dv + row * qkv_width);
                multiply(values, dcontext_t, result);
                for (int r = 0; r < ROWS; r++)
                    for (int c = 0; c < D; c++) result[r][c] = s[r][c] * (result[r][c] - correction[c]);
                store_rows(result, qkv_width, count, dk + row * qkv_width);
            },
            []() {});
    }
}

} // namespace

#define EXPORT(NAME, T)                                                                             \
    extern "C" void norm_mish_##NAME(const T *x, const float *gamma, const float *beta,             \
                                     const float *shift_or_gate, const T *skip, T *y, float *mean,  \
                                     float *inverse, int64_t images, int64_t rows,                  \
                                     int64_t channels, int64_t groups, float epsilon) {             \
        (skip ? norm_mish<T, true> : norm_mish<T, false>)(x, gamma, beta, shift_or_gate, skip, y,   \
                                                          mean, inverse, images, rows, channels,    \
                                                          groups, epsilon);                         \
    }                                                                                               \
    extern "C" void norm_mish_backward_##NAME(                                                      \
        const T *x, const T *dy, const float *gamma, const float *beta, const float *gate,          \
        const float *mean, const float *inverse, T *dx, float *dgamma, float *dbeta,                \
        float *dshift_or_gate, int64_t images, int64_t rows, int64_t channels, int64_t groups) {    \
        (gate ? norm_mish_backward<T, true> : norm_mish_backward<T, false>)(                        \
            x, dy, gamma, beta, gate, mean, inverse, dx, dgamma, dbeta, dshift_or_gate, images,     \
            rows, channels, groups);                                                                \
    }                                                                                               \
    extern "C" void attention_##NAME(const T *qkv, T *out, float *context, float *max_key, float *sum,\
                                     int64_t images, int64_t rows, int64_t heads) {                 \
        attention(qkv, out, context, max_key, sum, images, rows, heads);                            \
    }                                                                                               \
    extern "C" void attention_backward_##NAME(const T *qkv, const T *dout, const float *context,    \
                                              const float *max_key, const float *sum, T *dqkv,      \
                                              int64_t images, int64_t rows, int64_t heads) {        \
        attention_backward(qkv, dout, context, max_key, sum, dqkv, images, rows, heads);            \
    }

EXPORT(float32, float)
EXPORT(bfloat16, bfloat16)
