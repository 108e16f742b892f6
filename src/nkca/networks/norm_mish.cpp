// GroupNorm, Mish and a shift in one go: y = mish(gamma (x - mean) / deviation + beta) + shift.
//
// Images are (positions, channels), channels last, in float or bfloat16; arithmetic is in float, sums
// over positions end in double. With w = e^h and n = w (w + 2), tanh(softplus(h)) = n / (n + 2), so
//     mish(h) = h n / (n + 2)        mish'(h) = n / (n + 2) + 4 h w (w + 1) / (n + 2)^2
// take one exponential and one division, exactly, and nothing cancels.
//
// Threads share the images or, where there are fewer images than threads, the positions of each image.

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

inline void store(bfloat16 &to, float x) { // to the nearest, ties to even; NaN stays NaN
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    to.bits = uint16_t(x == x ? rounded : 0x7fc0);
}

// e^x for x <= 20, to 2e-7 of itself; below -87 about 1e-38. Cody and Waite's reduction, Cephes' polynomial.
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

inline float mish_slope(float h) {
    float w = exponential(h > 20.0f ? 20.0f : h), n = w * (w + 2.0f), d = 1.0f / (n + 2.0f);
    return n * d + 4.0f * h * w * (w + 1.0f) * d * d;
}

const int64_t BLOCK = 64; // rows that are summed in float

// The threads of this call: between images, or within one. Parts begin where blocks do, so that an image's
// sums do not depend on what else is in the batch.
struct Plan {
    bool within;
    int64_t blocks, parts; // of each image

    Plan(int64_t images, int64_t rows) {
        int64_t threads = omp_get_max_threads();
        within = images < threads;
        blocks = (rows + BLOCK - 1) / BLOCK;
        parts = within ? std::min(threads, blocks) : 1;
    }

    template <typename Body> void rows(int64_t count, Body body) const {
#pragma omp parallel for schedule(static) if (within)
        for (int64_t part = 0; part < parts; part++)
            body(part, blocks * part / parts * BLOCK,
                 std::min(count, blocks * (part + 1) / parts * BLOCK));
    }
};

// Sum over an image's rows: add(row, sums) adds one row to `width` floats.
template <typename Add>
std::vector<double> sum_rows(const Plan &plan, int64_t rows, int64_t width, Add add) {
    std::vector<double> total(width * plan.parts);
    plan.rows(rows, [&](int64_t part, int64_t first, int64_t end) {
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

// The sum over each group's channels, times a factor, for every channel of the group.
std::vector<float> by_group(const double *sums, int64_t channels, int64_t groups, double factor) {
    std::vector<float> out(channels);
    int64_t size = channels / groups;
    for (int64_t g = 0; g < groups; g++) {
        double sum = 0;
        for (int64_t c = g * size; c < (g + 1) * size; c++) sum += sums[c];
        std::fill_n(out.begin() + g * size, size, float(sum * factor));
    }
    return out;
}

template <typename T>
void forward(const T *x_all, const float *gamma, const float *beta, const float *shift_all, T *y_all,
             float *mean_all, float *inverse_all, int64_t images, int64_t rows, int64_t channels,
             int64_t groups, float epsilon) {
    Plan plan(images, rows);
    const int64_t size = rows * channels;
    const double share = double(groups) / size;
#pragma omp parallel for schedule(static) if (!plan.within)
    for (int64_t n = 0; n < images; n++) {
        const T *x = x_all + n * size;
        T *y = y_all + n * size;
        auto sums = sum_rows(plan, rows, channels, [&](int64_t row, float *__restrict s) {
            const T *__restrict from = x + row * channels;
            for (int64_t c = 0; c < channels; c++) s[c] += load(from[c]);
        });
        auto mean = by_group(sums.data(), channels, groups, share);
        auto squares = sum_rows(plan, rows, channels, [&](int64_t row, float *__restrict s) {
            const T *__restrict from = x + row * channels;
            const float *__restrict m = mean.data();
            for (int64_t c = 0; c < channels; c++) {
                float d = load(from[c]) - m[c];
                s[c] += d * d;
            }
        });
        auto scale = by_group(squares.data(), channels, groups, share); // the variance
        std::vector<float> shift(channels);
        for (int64_t c = 0; c < channels; c++) {
            float inverse = 1.0f / std::sqrt(scale[c] + epsilon);
            mean_all[n * channels + c] = mean[c];
            inverse_all[n * channels + c] = inverse;
            scale[c] = gamma[c] * inverse;
            shift[c] = shift_all ? shift_all[n * channels + c] : 0.0f;
        }
        plan.rows(rows, [&](int64_t, int64_t first, int64_t end) {
            const float *__restrict a = scale.data(), *__restrict m = mean.data();
            const float *__restrict b = beta, *__restrict e = shift.data();
            for (int64_t row = first; row < end; row++) {
                const T *__restrict from = x + row * channels;
                T *__restrict to = y + row * channels;
                for (int64_t c = 0; c < channels; c++)
                    store(to[c], mish((load(from[c]) - m[c]) * a[c] + b[c]) + e[c]);
            }
        });
    }
}

// With g = dL/dh and xhat = (x - mean) / deviation: dL/dbeta = sum g, dL/dgamma = sum g xhat (given here
// for each image) and dL/dx = (gamma g - mean(gamma g) - xhat mean(gamma g xhat)) / deviation.
template <typename T>
void backward(const T *x_all, const T *dy_all, const float *gamma, const float *beta,
              const float *mean_all, const float *inverse_all, T *dx_all, float *dgamma, float *dbeta,
              float *dshift, int64_t images, int64_t rows, int64_t channels, int64_t groups) {
    Plan plan(images, rows);
    const int64_t size = rows * channels;
    const double share = double(groups) / size;
#pragma omp parallel for schedule(static) if (!plan.within)
    for (int64_t n = 0; n < images; n++) {
        const T *x = x_all + n * size, *dy = dy_all + n * size;
        T *dx = dx_all + n * size;
        const float *mean = mean_all + n * channels, *inverse = inverse_all + n * channels;
        std::vector<float> scale(channels);
        for (int64_t c = 0; c < channels; c++) scale[c] = gamma[c] * inverse[c];
        auto sums = sum_rows(plan, rows, 3 * channels, [&](int64_t row, float *__restrict s) {
            const T *__restrict from = x + row * channels, *__restrict given = dy + row * channels;
            const float *__restrict a = scale.data(), *__restrict b = beta, *__restrict m = mean;
            for (int64_t c = 0; c < channels; c++) {
                float v = load(from[c]) - m[c], d = load(given[c]);
                float g = d * mish_slope(v * a[c] + b[c]);
                s[c] += g;
                s[channels + c] += g * v;
                s[2 * channels + c] += d;
            }
        });
        std::vector<double> weighted(2 * channels);
        for (int64_t c = 0; c < channels; c++) {
            double centred = sums[channels + c] * inverse[c];
            dbeta[n * channels + c] = sums[c];
            dgamma[n * channels + c] = centred;
            if (dshift) dshift[n * channels + c] = sums[2 * channels + c];
            weighted[c] = sums[c] * gamma[c];
            weighted[channels + c] = centred * gamma[c];
        }
        auto level = by_group(weighted.data(), channels, groups, share);
        auto slope = by_group(weighted.data() + channels, channels, groups, share);
        for (int64_t c = 0; c < channels; c++) { // dx = a g - slope (x - mean) - level
            slope[c] *= inverse[c] * inverse[c];
            level[c] *= inverse[c];
        }
        plan.rows(rows, [&](int64_t, int64_t first, int64_t end) {
            const float *__restrict a = scale.data(), *__restrict b = beta, *__restrict m = mean;
            const float *__restrict l = level.data(), *__restrict k = slope.data();
            for (int64_t row = first; row < end; row++) {
                const T *__restrict from = x + row * channels, *__restrict given = dy + row * channels;
                T *__restrict to = dx + row * channels;
                for (int64_t c = 0; c < channels; c++) {
                    float v = load(from[c]) - m[c];
                    float g = load(given[c]) * mish_slope(v * a[c] + b[c]);
                    store(to[c], a[c] * g - k[c] * v - l[c]);
                }
            }
        });
    }
}

} // namespace

#define EXPORT(NAME, T)                                                                              \
    extern "C" void forward_##NAME(const T *x, const float *gamma, const float *beta,               \
                                   const float *shift, T *y, float *mean, float *inverse,           \
                                   int64_t images, int64_t rows, int64_t channels, int64_t groups,  \
                                   float epsilon) {                                                 \
        forward(x, gamma, beta, shift, y, mean, inverse, images, rows, channels, groups, epsilon);  \
    }                                                                                               \
    extern "C" void backward_##NAME(const T *x, const T *dy, const float *gamma, const float *beta, \
                                    const float *mean, const float *inverse, T *dx, float *dgamma,  \
                                    float *dbeta, float *dshift, int64_t images, int64_t rows,      \
                                    int64_t channels, int64_t groups) {                             \
        backward(x, dy, gamma, beta, mean, inverse, dx, dgamma, dbeta, dshift, images, rows,        \
                 channels, groups);                                                                 \
    }

EXPORT(float32, float)
EXPORT(bfloat16, bfloat16)
