// 3 x 3 convolutions, padding 1, of channels-last images, by Winograd's minimal filtering.
// F(2 x 2, 3 x 3) (Lavin and Gray 2016, arXiv 1509.09308) needs 16 multiplications for four results, not 36.
// Images are float, or bfloat16 where the processor has bfloat16 dot products; weights are float.
//
// The output is cut into tiles of 2 x 2 results, each computed from 4 x 4 numbers d of the image. For each
// pair of channels, with weights g and results y:
//     U = G g G^T    V = B^T d B    M = sum over channels of U V, elementwise    y = A^T M A
// so each of the 16 places of a tile is one matrix product: (tiles, channels in) (channels in, channels out).
// In float the rounding error is that of a few more additions. For bfloat16 images U and V are rounded to
// bfloat16 and summed in float; the gradient of the weights is float throughout. The numbers of a tile do
// not depend on the rest of the batch. Numbers of channels are multiples of LANES.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>

#include <omp.h>

#if defined(__AVX512BF16__) && !defined(__AMX_BF16__) // with AMX, oneDNN is faster
#include <immintrin.h>
#define BFLOAT16_PRODUCTS
#endif

namespace {

#if defined(__AVX512F__)
#define BYTES 64
const int ROWS = 6, WIDE = 4; // block of a product that fits into the registers
#elif defined(__AVX__)
#define BYTES 32
const int ROWS = 6, WIDE = 2;
#else
#define BYTES 16
const int ROWS = 6, WIDE = 2;
#endif
const int LANES = BYTES / 4, PLACES = 16;
typedef float Lanes __attribute__((vector_size(BYTES))); // an extension of GCC and Clang
typedef float Memory __attribute__((vector_size(BYTES), aligned(4), may_alias));

inline Lanes load(const float *from) { return *reinterpret_cast<const Memory *>(from); }
inline void store(float *to, Lanes x) { *reinterpret_cast<Memory *>(to) = x; }

// One step of a sum over channels: one channel in a float, or two of bfloat16 in a Pair.
template <typename T> struct ChannelStep {
    using Numbers = float;
    static const int COUNT = 1;
};

inline Lanes add_product(Lanes sum, float a, Lanes b) { return sum + a * b; }

#ifdef BFLOAT16_PRODUCTS
struct bfloat16 {
    uint16_t bits;
};

struct Pair {
    uint32_t bits;
};

template <> struct ChannelStep<bfloat16> {
    using Numbers = Pair;
    static const int COUNT = 2;
};

inline Lanes add_product(Lanes sum, Pair a, Lanes b) {
    float both; // only its bits matter: they are broadcast as those of a float
    std::memcpy(&both, &a, 4);
    return Lanes(_mm512_dpbf16_ps(__m512(sum), __m512bh(_mm512_set1_ps(both)), __m512bh(b)));
}

inline Lanes load(const bfloat16 *from) {
    __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
    return Lanes(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

inline void store(bfloat16 *to, Lanes x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), __m256i(_mm512_cvtneps_pbh(__m512(x))));
}

inline void store_steps(Pair *to, const Lanes x[2]) {
    __m512i low = _mm512_cvtepu16_epi32(__m256i(_mm512_cvtneps_pbh(__m512(x[0]))));
    __m512i high = _mm512_cvtepu16_epi32(__m256i(_mm512_cvtneps_pbh(__m512(x[1]))));
    _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}
#endif

inline void store_steps(float *to, const Lanes x[1]) { store(to, x[0]); }

template <typename T> std::unique_ptr<T[]> array(int64_t count) {
    return std::unique_ptr<T[]>(new T[count]);
}

template <typename T> std::unique_ptr<T[]> zero_array(int64_t count) {
    return std::unique_ptr<T[]>(new T[count]());
}

inline int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// out (R, V LANES) = sum over k of a[r][k] b[k], or += if `add`
template <int R, int V, typename N>
void product(const N *a, int64_t a_row, int64_t a_step, const N *b, int64_t b_step, float *out,
             int64_t out_row, int64_t steps, bool add) {
    Lanes sum[R][V];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) sum[r][v] = add ? load(out + r * out_row + v * LANES) : Lanes{};
    for (int64_t k = 0; k < steps; k++) {
        Lanes right[V];
        for (int v = 0; v < V; v++)
            right[v] = load(reinterpret_cast<const float *>(b + k * b_step + v * LANES));
        for (int r = 0; r < R; r++)
            for (int v = 0; v < V; v++)
                sum[r][v] = add_product(sum[r][v], a[r * a_row + k * a_step], right[v]);
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) store(out + r * out_row + v * LANES, sum[r][v]);
}

// The same for any even number of rows and any number of LANES up to WIDE.
template <int V, typename N>
void product_rows(int64_t rows, const N *a, int64_t a_row, int64_t a_step, const N *b, int64_t b_step,
                  float *out, int64_t out_row, int64_t steps, bool add) {
    int64_t r = 0;
    for (; r + ROWS <= rows; r += ROWS)
        product<ROWS, V>(a + r * a_row, a_row, a_step, b, b_step, out + r * out_row, out_row, steps, add);
    for (; r < rows; r += 2)
        product<2, V>(a + r * a_row, a_row, a_step, b, b_step, out + r * out_row, out_row, steps, add);
}

template <typename N>
void product_of_width(int64_t wide, int64_t rows, const N *a, int64_t a_row, int64_t a_step, const N *b,
                      int64_t b_step, float *out, int64_t out_row, int64_t steps, bool add) {
    auto run = wide == 1   ? product_rows<1, N>
               : wide == 2 ? product_rows<2, N>
               : wide == 3 ? product_rows<WIDE < 3 ? 1 : 3, N>
                           : product_rows<WIDE < 4 ? 1 : 4, N>;
    run(rows, a, a_row, a_step, b, b_step, out, out_row, steps, add);
}

struct Tiles {
    int64_t images, height, width, down, across, count;

    Tiles(int64_t images, int64_t height, int64_t width)
        : images(images), height(height), width(width), down((height + 1) / 2),
          across((width + 1) / 2), count(images * down * across) {}

    // Pointers to the SIDE x SIDE numbers of tile `index` in a map; `first` is their offset from the tile's
    // own corner. Beyond the edge of the map they are `outside`.
    template <int SIDE, typename T>
    void find(int64_t index, int64_t first, T *map, int64_t channels, T *outside, T *place[SIDE][SIDE]) const {
        int64_t x = index % across * 2 + first, y = index / across % down * 2 + first;
        T *image = map + index / (across * down) * height * width * channels;
        for (int64_t i = 0; i < SIDE; i++)
            for (int64_t j = 0; j < SIDE; j++) {
                bool inside = y + i >= 0 && y + i < height && x + j >= 0 && x + j < width;
                place[i][j] = inside ? image + ((y + i) * width + x + j) * channels : outside;
            }
    }
};

// V = B^T d B of one tile; place p is written to `to + p * stride`.
template <typename T, typename To>
void transform_image_tile(const Tiles &tiles, int64_t index, const T *image, int64_t channels, const T *zeros,
                          To *to, int64_t stride) {
    const T *d[4][4];
    tiles.find<4>(index, -1, image, channels, zeros, d);
    for (int64_t c = 0; c < channels; c += LANES) {
        Lanes t[4][4];
        for (int j = 0; j < 4; j++) {
            Lanes d0 = load(d[0][j] + c), d1 = load(d[1][j] + c), d2 = load(d[2][j] + c);
            t[0][j] = d0 - d2, t[1][j] = d1 + d2, t[2][j] = d2 - d1, t[3][j] = d1 - load(d[3][j] + c);
        }
        for (int i = 0; i < 4; i++) {
            To *row = to + 4 * i * stride + c;
            store(row, t[i][0] - t[i][2]);
            store(row + stride, t[i][1] + t[i][2]);
            store(row + 2 * stride, t[i][2] - t[i][1]);
            store(row + 3 * stride, t[i][1] - t[i][3]);
        }
    }
}

// A dy A^T of one tile of the output's gradient.
template <typename T>
void transform_gradient_tile(const Tiles &tiles, int64_t index, const T *gradient, int64_t channels,
                             const T *zeros, float *to, int64_t stride) {
    const T *y[2][2];
    tiles.find<2>(index, 0, gradient, channels, zeros, y);
    for (int64_t c = 0; c < channels; c += LANES) {
        Lanes t[4][2];
        for (int j = 0; j < 2; j++) {
            Lanes y0 = load(y[0][j] + c), y1 = load(y[1][j] + c);
            t[0][j] = y0, t[1][j] = y0 + y1, t[2][j] = y0 - y1, t[3][j] = -y1;
        }
        for (int i = 0; i < 4; i++) {
            float *row = to + 4 * i * stride + c;
            store(row, t[i][0]);
            store(row + stride, t[i][0] + t[i][1]);
            store(row + 2 * stride, t[i][0] - t[i][1]);
            store(row + 3 * stride, -t[i][1]);
        }
    }
}

// y = A^T M A + bias of one tile; place p of M is at `from + p * stride`.
template <typename T>
void transform_result_tile(const Tiles &tiles, int64_t index, const float *from, int64_t stride,
                           const float *bias, T *map, int64_t channels, T *discarded) {
    T *y[2][2];
    tiles.find<2>(index, 0, map, channels, discarded, y);
    for (int64_t c = 0; c < channels; c += LANES) {
        Lanes t[2][4], b = bias ? load(bias + c) : Lanes{};
        for (int j = 0; j < 4; j++) {
            const float *m = from + j * stride + c;
            Lanes m1 = load(m + 4 * stride), m2 = load(m + 8 * stride);
            t[0][j] = load(m) + m1 + m2, t[1][j] = m1 - m2 - load(m + 12 * stride);
        }
        for (int i = 0; i < 2; i++) {
            store(y[i][0] + c, t[i][0] + t[i][1] + t[i][2] + b);
            store(y[i][1] + c, t[i][1] - t[i][2] - t[i][3] + b);
        }
    }
}

// U = G g G^T of LANES kernels of nine numbers; `flipped` rotates them by 180 degrees.
inline void transform_weight(const float *g, int64_t stride, bool flipped, Lanes u[PLACES]) {
    Lanes t[4][3];
    for (int j = 0; j < 3; j++) {
        Lanes w[3];
        for (int i = 0; i < 3; i++) w[i] = load(g + (flipped ? 8 - (3 * i + j) : 3 * i + j) * stride);
        t[0][j] = w[0], t[3][j] = w[2];
        t[1][j] = 0.5f * (w[0] + w[1] + w[2]), t[2][j] = 0.5f * (w[0] - w[1] + w[2]);
    }
    for (int i = 0; i < 4; i++) {
        u[4 * i] = t[i][0], u[4 * i + 3] = t[i][2];
        u[4 * i + 1] = 0.5f * (t[i][0] + t[i][1] + t[i][2]);
        u[4 * i + 2] = 0.5f * (t[i][0] - t[i][1] + t[i][2]);
    }
}

// The transpose of `transform_weight`: G^T dU G.
inline void transform_weight_transposed(const float *du, int64_t stride, float *to, int64_t step) {
    Lanes t[3][4];
    for (int j = 0; j < 4; j++) {
        Lanes u1 = load(du + (4 + j) * stride), u2 = load(du + (8 + j) * stride);
        t[0][j] = load(du + j * stride) + 0.5f * (u1 + u2), t[1][j] = 0.5f * (u1 - u2);
        t[2][j] = 0.5f * (u1 + u2) + load(du + (12 + j) * stride);
    }
    for (int i = 0; i < 3; i++) {
        store(to + 3 * i * step, t[i][0] + 0.5f * (t[i][1] + t[i][2]));
        store(to + (3 * i + 1) * step, 0.5f * (t[i][1] - t[i][2]));
        store(to + (3 * i + 2) * step, 0.5f * (t[i][1] + t[i][2]) + t[i][3]);
    }
}

const int PANEL = WIDE * LANES; // output channels of one product

// Offset of output channel `out` of place p in U, which is laid out as places, panels of output channels,
// steps of input channels, channels of the panel.
inline int64_t panel_offset(int64_t p, int64_t out, int64_t step, int64_t outs, int64_t steps) {
    int64_t first = out / PANEL * PANEL, wide = std::min<int64_t>(PANEL, outs - first);
    return p * steps * outs + first * steps + step * wide + out - first;
}

// U of weights (outs, 3, 3, ins).
template <typename T>
void transform_weights_forward(const float *weight, int64_t outs, int64_t ins,
                               typename ChannelStep<T>::Numbers *u_all) {
    const int EACH = ChannelStep<T>::COUNT;
#pragma omp parallel for schedule(static)
    for (int64_t out = 0; out < outs; out += LANES)
        for (int64_t in = 0; in < ins; in += LANES) {
            float block[LANES][PLACES][LANES];
            for (int o = 0; o < LANES; o++) {
                Lanes u[PLACES];
                transform_weight(weight + (out + o) * 9 * ins + in, ins, false, u);
                for (int p = 0; p < PLACES; p++) store(block[o][p], u[p]);
            }
            for (int p = 0; p < PLACES; p++)
                for (int i = 0; i < LANES; i += EACH) {
                    Lanes transposed[EACH];
                    for (int e = 0; e < EACH; e++)
                        for (int o = 0; o < LANES; o++) transposed[e][o] = block[o][p][i + e];
                    store_steps(u_all + panel_offset(p, out, (in + i) / EACH, outs, ins / EACH), transposed);
                }
        }
}

// U of weights (ins, 3, 3, outs), for the convolution of the backward pass.
template <typename T>
void transform_weights_backward(const float *weight, int64_t outs, int64_t ins,
                                typename ChannelStep<T>::Numbers *u_all) {
    const int EACH = ChannelStep<T>::COUNT;
#pragma omp parallel for schedule(static)
    for (int64_t in = 0; in < ins; in += EACH)
        for (int64_t out = 0; out < outs; out += LANES) {
            Lanes u[EACH][PLACES];
            for (int e = 0; e < EACH; e++)
                transform_weight(weight + (in + e) * 9 * outs + out, outs, true, u[e]);
            for (int p = 0; p < PLACES; p++) {
                Lanes both[EACH];
                for (int e = 0; e < EACH; e++) both[e] = u[e][p];
                store_steps(u_all + panel_offset(p, out, in / EACH, outs, ins / EACH), both);
            }
        }
}

// Tiles processed together: few enough for the caches, and equally many for each thread.
int64_t tiles_at_once(int64_t count, int64_t most) {
    int64_t each = (count + omp_get_max_threads() - 1) / omp_get_max_threads();
    int64_t turns = (each + most - 1) / most;
    return round_up((each + turns - 1) / turns, ROWS);
}

template <typename T>
void convolve(const T *x, const typename ChannelStep<T>::Numbers *u, const float *bias, T *y, int64_t images,
              int64_t height, int64_t width, int64_t ins, int64_t outs) {
    using Numbers = typename ChannelStep<T>::Numbers;
    const Tiles tiles(images, height, width);
    const int64_t chunk = tiles_at_once(tiles.count, ins * outs < 1 << 17 ? 48 : 96);
    const int64_t steps = ins / ChannelStep<T>::COUNT;
    const auto zeros = zero_array<T>(ins);
#pragma omp parallel
    {
        auto v = zero_array<T>(PLACES * chunk * ins);
        auto m = array<float>(PLACES * chunk * outs);
        auto discarded = array<T>(outs);
#pragma omp for schedule(static)
        for (int64_t first = 0; first < tiles.count; first += chunk) {
            const int64_t here = std::min(chunk, tiles.count - first);
            for (int64_t t = 0; t < here; t++)
                transform_image_tile(tiles, first + t, x, ins, zeros.get(), v.get() + t * ins, chunk * ins);
            for (int64_t p = 0; p < PLACES; p++)
                for (int64_t out = 0; out < outs; out += PANEL) {
                    const int64_t wide = std::min<int64_t>(PANEL, outs - out);
                    const T *a = v.get() + p * chunk * ins;
                    product_of_width(wide / LANES, round_up(here, 2),
                                     reinterpret_cast<const Numbers *>(a), steps, 1,
                                     u + panel_offset(p, out, 0, outs, steps), wide,
                                     m.get() + p * chunk * outs + out, outs, steps, false);
                }
            for (int64_t t = 0; t < here; t++)
                transform_result_tile(tiles, first + t, m.get() + t * outs, chunk * outs, bias, y, outs,
                                      discarded.get());
        }
    }
}

// The sum over tiles of (A dy A^T) (B^T d B)^T for each place; at most `most` tiles at a time.
template <typename T> struct WeightGradientSum {
    const Tiles &tiles;
    const T *x, *dy, *zeros;
    const int64_t ins, outs, most;
    const int64_t panels = (ins + PANEL - 1) / PANEL, tasks = PLACES * panels;

    void transform(int64_t first, int64_t t, float *v, float *m) const {
        transform_image_tile(tiles, first + t, x, ins, zeros, v + t * ins, most * ins);
        transform_gradient_tile(tiles, first + t, dy, outs, zeros, m + t * outs, most * outs);
    }

    void multiply(int64_t task, int64_t here, const float *v, const float *m, float *du, bool add) const {
        const int64_t p = task / panels, in = task % panels * PANEL;
        product_of_width(std::min<int64_t>(PANEL, ins - in) / LANES, outs, m + p * most * outs, 1, outs,
                         v + p * most * ins + in, ins, du + p * outs * ins + in, ins, here, add);
    }
};

// dL/dweight (outs, 3, 3, ins) = G^T dU G. Where dU is small, each thread sums its own tiles into its own
// copy; otherwise all threads take the same tiles and share the products.
template <typename T>
void gradient_of_weight(const T *x, const T *dy, float *dweight, int64_t images, int64_t height,
                        int64_t width, int64_t ins, int64_t outs) {
    const Tiles tiles(images, height, width);
    const int64_t size = PLACES * outs * ins, threads = omp_get_max_threads();
    const bool per_thread = size <= 1 << 16; // fits into the second-level cache with the tiles
    const int64_t most = per_thread ? 64 : 256, tile_size = PLACES * most;
    const auto zeros = zero_array<T>(std::max(ins, outs));
    const WeightGradientSum<T> sum{tiles, x, dy, zeros.get(), ins, outs, most};
    auto du = per_thread ? zero_array<float>(size * threads) : array<float>(size);
    auto v_all = array<float>(tile_size * ins * (per_thread ? threads : 1));
    auto m_all = array<float>(tile_size * outs * (per_thread ? threads : 1));
#pragma omp parallel num_threads(threads)
    {
        const int64_t thread = per_thread ? omp_get_thread_num() : 0;
        float *v = v_all.get() + thread * tile_size * ins;
        float *m = m_all.get() + thread * tile_size * outs;
        if (per_thread) {
#pragma omp for schedule(static)
            for (int64_t first = 0; first < tiles.count; first += most) {
                const int64_t here = std::min(most, tiles.count - first);
                for (int64_t t = 0; t < here; t++) sum.transform(first, t, v, m);
                for (int64_t task = 0; task < sum.tasks; task++)
                    sum.multiply(task, here, v, m, du.get() + thread * size, true);
            }
        } else {
            for (int64_t first = 0; first < tiles.count; first += most) {
                const int64_t here = std::min(most, tiles.count - first);
#pragma omp for schedule(static)
                for (int64_t t = 0; t < here; t++) sum.transform(first, t, v, m);
#pragma omp for schedule(static)
                for (int64_t task = 0; task < sum.tasks; task++)
                    sum.multiply(task, here, v, m, du.get(), first > 0);
            }
        }
#pragma omp for schedule(static)
        for (int64_t out = 0; out < outs; out++)
            for (int64_t in = 0; in < ins; in += LANES) {
                float *from = du.get() + out * ins + in;
                for (int64_t other = 1; per_thread && other < threads; other++)
                    for (int64_t p = 0; p < PLACES; p++) {
                        float *to = from + p * outs * ins;
                        store(to, load(to) + load(to + other * size));
                    }
                transform_weight_transposed(from, outs * ins, dweight + out * 9 * ins + in, ins);
            }
    }
}

template <typename T>
void forward(const T *x, const float *weight, const float *bias, T *y, int64_t images, int64_t height,
             int64_t width, int64_t ins, int64_t outs) {
    auto u = array<typename ChannelStep<T>::Numbers>(PLACES * ins * outs / ChannelStep<T>::COUNT);
    transform_weights_forward<T>(weight, outs, ins, u.get());
    convolve(x, u.get(), bias, y, images, height, width, ins, outs);
}

template <typename T>
void backward(const T *x, const float *weight, const T *dy, T *dx, float *dweight, int64_t images,
              int64_t height, int64_t width, int64_t ins, int64_t outs) {
    gradient_of_weight(x, dy, dweight, images, height, width, ins, outs);
    auto u = array<typename ChannelStep<T>::Numbers>(PLACES * ins * outs / ChannelStep<T>::COUNT);
    transform_weights_backward<T>(weight, ins, outs, u.get());
    convolve(dy, u.get(), nullptr, dx, images, height, width, outs, ins);
}

} // namespace

#define EXPORT(NAME, T)                                                                               \
    extern "C" void winograd_##NAME(const T *x, const float *weight, const float *bias, T *y,         \
                                    int64_t images, int64_t height, int64_t width, int64_t ins,       \
                                    int64_t outs) {                                                   \
        forward(x, weight, bias, y, images, height, width, ins, outs);                                \
    }                                                                                                 \
    extern "C" void winograd_backward_##NAME(const T *x, const float *weight, const T *dy, T *dx,     \
                                             float *dweight, int64_t images, int64_t height,          \
                                             int64_t width, int64_t ins, int64_t outs) {              \
        backward(x, weight, dy, dx, dweight, images, height, width, ins, outs);                       \
    }

EXPORT(float32, float)
#ifdef BFLOAT16_PRODUCTS
EXPORT(bfloat16, bfloat16)
#endif
