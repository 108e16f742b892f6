// GroupNorm and Mish of float or bfloat16 images, y = mish(h), h = gamma (x - mean) / deviation + beta; then
// y + shift or, GATED, gate y + skip. `shift_or_gate` has one row of channels for each image or, if GATED, one
// for all images. An image is (positions, channels), channels last. The arithmetic is float. The result for an
// image does not depend on the rest of the batch. Nothing is allocated here, so nothing can fail: the caller
// gives memory to work in, `Scratch`.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

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

const int64_t BLOCK = 64; // rows summed in float; the sums of blocks are added in double

// How threads share the work: each takes whole images or, where there are fewer images than threads, one of
// `parts` of every image. Parts begin at block boundaries, so that the sums of an image do not depend on the
// batch.
struct ThreadPlan {
    int64_t rows, blocks, parts; // of each image

    ThreadPlan(int64_t rows, int64_t parts) : rows(rows), blocks((rows + BLOCK - 1) / BLOCK), parts(parts) {}

    bool splits_images() const { return parts > 1; }

    template <typename Body> void for_rows(Body body) const {
#pragma omp parallel for schedule(static) if (splits_images())
        for (int64_t part = 0; part < parts; part++)
            body(part, blocks * part / parts * BLOCK, std::min(rows, blocks * (part + 1) / parts * BLOCK));
    }
};

// Memory for one image: 3 * parts + 3 rows of channels, once in double and once in float.
struct Scratch {
    double *sums, *weighted;            // 3 * parts rows, 2 rows
    float *part_sums, *scale, *a, *b;   // 3 * parts rows, then a row each

    Scratch(double *doubles, float *floats, int64_t image, int64_t channels, int64_t parts) {
        const int64_t size = (3 * parts + 3) * channels, sums_size = 3 * parts * channels;
        sums = doubles + image * size, weighted = sums + sums_size;
        part_sums = floats + image * size, scale = part_sums + sums_size;
        a = scale + channels, b = a + channels;
    }
};

// The sum over the rows of an image, `width` numbers at scratch.sums: add(row, sums) adds one row to floats.
template <typename Add> void sum_rows(const ThreadPlan &plan, const Scratch &scratch, int64_t width, Add add) {
    double *total = scratch.sums;
    std::fill_n(total, width * plan.parts, 0.0);
    plan.for_rows([&](int64_t part, int64_t first, int64_t end) {
        float *sums = scratch.part_sums + width * part;
        double *into = total + width * part;
        for (int64_t block = first; block < end; block += BLOCK) {
            std::fill_n(sums, width, 0.0f);
            for (int64_t row = block; row < std::min(end, block + BLOCK); row++) add(row, sums);
            for (int64_t i = 0; i < width; i++) into[i] += sums[i];
        }
    });
    for (int64_t part = 1; part < plan.parts; part++)
        for (int64_t i = 0; i < width; i++) total[i] += total[width * part + i];
}

// For every channel: the sum over the channels of its group, times `factor`.
void group_sums(const double *sums, int64_t channels, int64_t groups, double factor, float *out) {
    int64_t size = channels / groups;
    for (int64_t g = 0; g < groups; g++) {
        double sum = 0;
        for (int64_t c = g * size; c < (g + 1) * size; c++) sum += sums[c];
        std::fill_n(out + g * size, size, float(sum * factor));
    }
}

template <typename T, bool GATED>
void norm_mish(const T *x_all, const float *gamma, const float *beta, const float *shift_or_gate,
               const T *skip_all, T *y_all, float *mean_all, float *inverse_all, double *doubles,
               float *floats, int64_t images, int64_t rows, int64_t channels, int64_t groups, int64_t parts,
               float epsilon) {
    const ThreadPlan plan(rows, parts);
    const int64_t size = rows * channels;
    const double share = double(groups) / size;
#pragma omp parallel for schedule(static) if (!plan.splits_images())
    for (int64_t n = 0; n < images; n++) {
        const Scratch scratch(doubles, floats, n, channels, parts);
        const T *x = x_all + n * size;
        T *y = y_all + n * size;
        float *mean = mean_all + n * channels, *inverse = inverse_all + n * channels;
        sum_rows(plan, scratch, channels, [&](int64_t row, float *__restrict s) {
            const T *__restrict from = x + row * channels;
            for (int64_t c = 0; c < channels; c++) s[c] += load(from[c]);
        });
        group_sums(scratch.sums, channels, groups, share, mean);
        sum_rows(plan, scratch, channels, [&](int64_t row, float *__restrict s) {
            const T *__restrict from = x + row * channels;
            const float *__restrict m = mean;
            for (int64_t c = 0; c < channels; c++) {
                float d = load(from[c]) - m[c];
                s[c] += d * d;
            }
        });
        float *scale = scratch.scale, *operand = scratch.a;
        group_sums(scratch.sums, channels, groups, share, inverse); // the variance
        for (int64_t c = 0; c < channels; c++) {
            inverse[c] = 1.0f / std::sqrt(inverse[c] + epsilon);
            scale[c] = gamma[c] * inverse[c];
            operand[c] = shift_or_gate ? shift_or_gate[(GATED ? 0 : n * channels) + c] : 0.0f;
        }
        plan.for_rows([&](int64_t, int64_t first, int64_t end) {
            const float *__restrict a = scale, *__restrict m = mean, *__restrict b = beta;
            const float *__restrict e = operand;
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
                        float *dgamma, float *dbeta, float *dshift_or_gate, double *doubles, float *floats,
                        int64_t images, int64_t rows, int64_t channels, int64_t groups, int64_t parts) {
    const ThreadPlan plan(rows, parts);
    const int64_t size = rows * channels;
    const double share = double(groups) / size;
#pragma omp parallel for schedule(static) if (!plan.splits_images())
    for (int64_t n = 0; n < images; n++) {
        const Scratch scratch(doubles, floats, n, channels, parts);
        const T *x = x_all + n * size, *dy = dy_all + n * size;
        T *dx = dx_all + n * size;
        const float *mean = mean_all + n * channels, *inverse = inverse_all + n * channels;
        float *scale = scratch.scale, *level = scratch.a, *slope = scratch.b;
        for (int64_t c = 0; c < channels; c++) scale[c] = gamma[c] * inverse[c];
        sum_rows(plan, scratch, 3 * channels, [&](int64_t row, float *__restrict s) {
            const T *__restrict from = x + row * channels, *__restrict from_dy = dy + row * channels;
            const float *__restrict a = scale, *__restrict b = beta, *__restrict m = mean;
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
        const double *sums = scratch.sums;
        double *weighted = scratch.weighted;
        for (int64_t c = 0; c < channels; c++) {
            double centred = sums[channels + c] * inverse[c];
            dbeta[n * channels + c] = sums[c];
            dgamma[n * channels + c] = centred;
            dshift_or_gate[n * channels + c] = sums[2 * channels + c];
            weighted[c] = sums[c] * gamma[c];
            weighted[channels + c] = centred * gamma[c];
        }
        group_sums(weighted, channels, groups, share, level);
        group_sums(weighted + channels, channels, groups, share, slope);
        for (int64_t c = 0; c < channels; c++) { // dx = a g - slope (x - mean) - level
            slope[c] *= inverse[c] * inverse[c];
            level[c] *= inverse[c];
        }
        plan.for_rows([&](int64_t, int64_t first, int64_t end) {
            const float *__restrict a = scale, *__restrict b = beta, *__restrict m = mean;
            const float *__restrict l = level, *__restrict k = slope, *__restrict e = gate;
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

} // namespace

#define EXPORT(NAME, T)                                                                             \
    extern "C" void norm_mish_##NAME(const T *x, const float *gamma, const float *beta,             \
                                     const float *shift_or_gate, const T *skip, T *y, float *mean,  \
                                     float *inverse, double *doubles, float *floats, int64_t images,\
                                     int64_t rows, int64_t channels, int64_t groups, int64_t parts, \
                                     float epsilon) {                                               \
        (skip ? norm_mish<T, true> : norm_mish<T, false>)(x, gamma, beta, shift_or_gate, skip, y,   \
                                                          mean, inverse, doubles, floats, images,   \
                                                          rows, channels, groups, parts, epsilon);  \
    }                                                                                               \
    extern "C" void norm_mish_backward_##NAME(                                                      \
        const T *x, const T *dy, const float *gamma, const float *beta, const float *gate,          \
        const float *mean, const float *inverse, T *dx, float *dgamma, float *dbeta,                \
        float *dshift_or_gate, double *doubles, float *floats, int64_t images, int64_t rows,        \
        int64_t channels, int64_t groups, int64_t parts) {                                          \
        (gate ? norm_mish_backward<T, true> : norm_mish_backward<T, false>)(                        \
            x, dy, gamma, beta, gate, mean, inverse, dx, dgamma, dbeta, dshift_or_gate, doubles,    \
            floats, images, rows, channels, groups, parts);                                         \
    }

EXPORT(float32, float)
EXPORT(bfloat16, bfloat16)
