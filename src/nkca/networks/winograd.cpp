// 3 x 3 convolutions, padding 1, of float images in channels-last memory, by Winograd's minimal filtering
// F(2 x 2, 3 x 3) (Lavin and Gray 2016, arXiv 1509.09308): 16 multiplications for four results, not 36.
//
// A map is cut into tiles of 2 x 2 results, each from 4 x 4 numbers d of the image. For each pair of channels,
// with weights g and results y:
//     U = G g G^T    V = B^T d B    M = sum over channels of U V, number by number    y = A^T M A
// so that each of the 16 places is a matrix product of its own: (tiles, channels in) (channels in, out).
// Rounding is that of a few more additions than the plain sum's. A tile's numbers do not depend on what else
// is in the batch. Channels are multiples of LANES.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>

#include <omp.h>

namespace {

#if defined(__AVX512F__)
#define BYTES 64
const int ROWS = 6, WIDE = 4; // of a product at once: what the registers hold
#elif defined(__AVX__)
#define BYTES 32
const int ROWS = 6, WIDE = 2;
#else
#define BYTES 16
const int ROWS = 6, WIDE = 2;
#endif
const int LANES = BYTES / 4, PLACES = 16;
typedef float Lanes __attribute__((vector_size(BYTES), aligned(4), may_alias)); // of GCC and Clang

inline Lanes get(const float *from) { return *reinterpret_cast<const Lanes *>(from); }
inline void put(float *to, Lanes x) { *reinterpret_cast<Lanes *>(to) = x; }

using Floats = std::unique_ptr<float[]>;
inline Floats floats(int64_t count) { return Floats(new float[count]); }

inline int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// out (R, V LANES) = or += the sum over k of a[r][k] b[k]
template <int R, int V>
void product(const float *a, int64_t a_row, int64_t a_step, const float *b, int64_t b_step, float *out,
             int64_t out_row, int64_t steps, bool add) {
    Lanes sum[R][V];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) sum[r][v] = add ? get(out + r * out_row + v * LANES) : Lanes{};
    for (int64_t k = 0; k < steps; k++) {
        Lanes right[V];
        for (int v = 0; v < V; v++) right[v] = get(b + k * b_step + v * LANES);
        for (int r = 0; r < R; r++)
            for (int v = 0; v < V; v++) sum[r][v] += a[r * a_row + k * a_step] * right[v];
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) put(out + r * out_row + v * LANES, sum[r][v]);
}

// The same for any even number of rows and any number of LANES up to WIDE.
template <int V, typename... Rest>
void product_rows(int64_t rows, const float *a, int64_t a_row, int64_t a_step, const float *b,
                  int64_t b_step, float *out, int64_t out_row, int64_t steps, bool add) {
    int64_t r = 0;
    for (; r + ROWS <= rows; r += ROWS)
        product<ROWS, V>(a + r * a_row, a_row, a_step, b, b_step, out + r * out_row, out_row, steps, add);
    for (; r < rows; r += 2)
        product<2, V>(a + r * a_row, a_row, a_step, b, b_step, out + r * out_row, out_row, steps, add);
}

void product_any(int64_t wide, int64_t rows, const float *a, int64_t a_row, int64_t a_step, const float *b,
                 int64_t b_step, float *out, int64_t out_row, int64_t steps, bool add) {
    auto run = wide == 1   ? product_rows<1>
               : wide == 2 ? product_rows<2>
               : wide == 3 ? product_rows<WIDE < 3 ? 1 : 3>
                           : product_rows<WIDE < 4 ? 1 : 4>;
    run(rows, a, a_row, a_step, b, b_step, out, out_row, steps, add);
}

struct Tiles {
    int64_t images, height, width, down, across, count;

    Tiles(int64_t images, int64_t height, int64_t width)
        : images(images), height(height), width(width), down((height + 1) / 2),
          across((width + 1) / 2), count(images * down * across) {}

    // Where tile `index` has its SIDE x SIDE numbers in a map, from `first` before its own place on; beyond
    // the map's edge: `outside`.
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

// V = B^T d B of one tile; place p goes to to + p * stride.
void tile_of_image(const Tiles &tiles, int64_t index, const float *image, int64_t channels,
                   const float *zeros, float *to, int64_t stride) {
    const float *d[4][4];
    tiles.find<4>(index, -1, image, channels, zeros, d);
    for (int64_t c = 0; c < channels; c += LANES) {
        Lanes t[4][4];
        for (int j = 0; j < 4; j++) {
            Lanes d0 = get(d[0][j] + c), d1 = get(d[1][j] + c), d2 = get(d[2][j] + c);
            t[0][j] = d0 - d2, t[1][j] = d1 + d2, t[2][j] = d2 - d1, t[3][j] = d1 - get(d[3][j] + c);
        }
        for (int i = 0; i < 4; i++) {
            float *row = to + 4 * i * stride + c;
            put(row, t[i][0] - t[i][2]);
            put(row + stride, t[i][1] + t[i][2]);
            put(row + 2 * stride, t[i][2] - t[i][1]);
            put(row + 3 * stride, t[i][1] - t[i][3]);
        }
    }
}

// A dy A^T of one tile of gradients.
void tile_of_gradient(const Tiles &tiles, int64_t index, const float *gradient, int64_t channels,
                      const float *zeros, float *to, int64_t stride) {
    const float *y[2][2];
    tiles.find<2>(index, 0, gradient, channels, zeros, y);
    for (int64_t c = 0; c < channels; c += LANES) {
        Lanes t[4][2];
        for (int j = 0; j < 2; j++) {
            Lanes y0 = get(y[0][j] + c), y1 = get(y[1][j] + c);
            t[0][j] = y0, t[1][j] = y0 + y1, t[2][j] = y0 - y1, t[3][j] = -y1;
        }
        for (int i = 0; i < 4; i++) {
            float *row = to + 4 * i * stride + c;
            put(row, t[i][0]);
            put(row + stride, t[i][0] + t[i][1]);
            put(row + 2 * stride, t[i][0] - t[i][1]);
            put(row + 3 * stride, -t[i][1]);
        }
    }
}

// y = A^T M A + bias of one tile; place p of M is at from + p * stride.
void tile_of_result(const Tiles &tiles, int64_t index, const float *from, int64_t stride,
                    const float *bias, float *map, int64_t channels, float *nowhere) {
    float *y[2][2];
    tiles.find<2>(index, 0, map, channels, nowhere, y);
    for (int64_t c = 0; c < channels; c += LANES) {
        Lanes t[2][4], b = bias ? get(bias + c) : Lanes{};
        for (int j = 0; j < 4; j++) {
            const float *m = from + j * stride + c;
            Lanes m1 = get(m + 4 * stride), m2 = get(m + 8 * stride);
            t[0][j] = get(m) + m1 + m2, t[1][j] = m1 - m2 - get(m + 12 * stride);
        }
        for (int i = 0; i < 2; i++) {
            put(y[i][0] + c, t[i][0] + t[i][1] + t[i][2] + b);
            put(y[i][1] + c, t[i][1] - t[i][2] - t[i][3] + b);
        }
    }
}

// U = G g G^T of LANES weights, nine numbers each; `flipped` turns the kernel by half a turn.
inline void spread(const float *g, int64_t stride, bool flipped, Lanes u[PLACES]) {
    Lanes t[4][3];
    for (int j = 0; j < 3; j++) {
        Lanes w[3];
        for (int i = 0; i < 3; i++) w[i] = get(g + (flipped ? 8 - (3 * i + j) : 3 * i + j) * stride);
        t[0][j] = w[0], t[3][j] = w[2];
        t[1][j] = 0.5f * (w[0] + w[1] + w[2]), t[2][j] = 0.5f * (w[0] - w[1] + w[2]);
    }
    for (int i = 0; i < 4; i++) {
        u[4 * i] = t[i][0], u[4 * i + 3] = t[i][2];
        u[4 * i + 1] = 0.5f * (t[i][0] + t[i][1] + t[i][2]);
        u[4 * i + 2] = 0.5f * (t[i][0] - t[i][1] + t[i][2]);
    }
}

const int PANEL = WIDE * LANES; // channels out of a product

// Where channel `out` of place p begins in U: places, panels of channels out, channels in, the panel's own.
inline int64_t in_panels(int64_t p, int64_t out, int64_t in, int64_t outs, int64_t ins) {
    int64_t first = out / PANEL * PANEL, wide = std::min<int64_t>(PANEL, outs - first);
    return p * ins * outs + first * ins + in * wide + out - first;
}

// Weights (outs, 3, 3, ins) to U.
void spread_forward(const float *weight, int64_t outs, int64_t ins, float *u_all) {
#pragma omp parallel for schedule(static)
    for (int64_t out = 0; out < outs; out += LANES)
        for (int64_t in = 0; in < ins; in += LANES) {
            float block[LANES][PLACES][LANES];
            for (int o = 0; o < LANES; o++) {
                Lanes u[PLACES];
                spread(weight + (out + o) * 9 * ins + in, ins, false, u);
                for (int p = 0; p < PLACES; p++) put(block[o][p], u[p]);
            }
            for (int p = 0; p < PLACES; p++)
                for (int i = 0; i < LANES; i++) {
                    Lanes turned;
                    for (int o = 0; o < LANES; o++) turned[o] = block[o][p][i];
                    put(u_all + in_panels(p, out, in + i, outs, ins), turned);
                }
        }
}

// Weights (ins, 3, 3, outs) to U of the convolution that takes gradients back.
void spread_backward(const float *weight, int64_t outs, int64_t ins, float *u_all) {
#pragma omp parallel for schedule(static)
    for (int64_t in = 0; in < ins; in++)
        for (int64_t out = 0; out < outs; out += LANES) {
            Lanes u[PLACES];
            spread(weight + in * 9 * outs + out, outs, true, u);
            for (int p = 0; p < PLACES; p++) put(u_all + in_panels(p, out, in, outs, ins), u[p]);
        }
}

// Tiles at once: few enough for the caches, and as many for each thread.
int64_t tiles_at_once(int64_t count, int64_t most) {
    int64_t each = (count + omp_get_max_threads() - 1) / omp_get_max_threads();
    int64_t turns = (each + most - 1) / most;
    return up((each + turns - 1) / turns, ROWS);
}

void convolve(const float *x, const float *u, const float *bias, float *y, int64_t images, int64_t height,
              int64_t width, int64_t ins, int64_t outs) {
    const Tiles tiles(images, height, width);
    const int64_t some = tiles_at_once(tiles.count, ins * outs < 1 << 17 ? 48 : 96);
    const auto zeros = floats(ins);
    std::fill_n(zeros.get(), ins, 0.0f);
#pragma omp parallel
    {
        auto v = floats(PLACES * some * ins), m = floats(PLACES * some * outs), nowhere = floats(outs);
        std::fill_n(v.get(), PLACES * some * ins, 0.0f);
#pragma omp for schedule(static)
        for (int64_t first = 0; first < tiles.count; first += some) {
            const int64_t here = std::min(some, tiles.count - first);
            for (int64_t t = 0; t < here; t++)
                tile_of_image(tiles, first + t, x, ins, zeros.get(), v.get() + t * ins, some * ins);
            for (int64_t p = 0; p < PLACES; p++)
                for (int64_t out = 0; out < outs; out += PANEL) {
                    const int64_t wide = std::min<int64_t>(PANEL, outs - out);
                    product_any(wide / LANES, up(here, 2), v.get() + p * some * ins, ins, 1,
                                u + in_panels(p, out, 0, outs, ins), wide,
                                m.get() + p * some * outs + out, outs, ins, false);
                }
            for (int64_t t = 0; t < here; t++)
                tile_of_result(tiles, first + t, m.get() + t * outs, some * outs, bias, y, outs,
                               nowhere.get());
        }
    }
}

const int64_t CHUNK = 256; // tiles at once, for all threads together

// dL/dweight (outs, 3, 3, ins) = G^T dU G, dU the sum over tiles of (A dy A^T) (B^T d B)^T, place by place.
void gradient_of_weight(const float *x, const float *dy, float *dweight, int64_t images, int64_t height,
                        int64_t width, int64_t ins, int64_t outs) {
    const Tiles tiles(images, height, width);
    auto du = floats(PLACES * outs * ins), v = floats(PLACES * CHUNK * ins), m = floats(PLACES * CHUNK * outs);
    const auto zeros = floats(std::max(ins, outs));
    std::fill_n(zeros.get(), std::max(ins, outs), 0.0f);
    const int64_t panels = (ins + PANEL - 1) / PANEL;
#pragma omp parallel
    {
        for (int64_t first = 0; first < tiles.count; first += CHUNK) {
            const int64_t here = std::min(CHUNK, tiles.count - first);
#pragma omp for schedule(static)
            for (int64_t t = 0; t < here; t++) {
                tile_of_image(tiles, first + t, x, ins, zeros.get(), v.get() + t * ins, CHUNK * ins);
                tile_of_gradient(tiles, first + t, dy, outs, zeros.get(), m.get() + t * outs, CHUNK * outs);
            }
#pragma omp for schedule(static)
            for (int64_t task = 0; task < PLACES * panels; task++) {
                const int64_t p = task / panels, in = task % panels * PANEL;
                product_any(std::min<int64_t>(PANEL, ins - in) / LANES, outs,
                            m.get() + p * CHUNK * outs, 1, outs, v.get() + p * CHUNK * ins + in, ins,
                            du.get() + p * outs * ins + in, ins, here, first > 0);
            }
        }
#pragma omp for schedule(static)
        for (int64_t out = 0; out < outs; out++)
            for (int64_t in = 0; in < ins; in += LANES) {
                Lanes t[3][4];
                const float *from = du.get() + out * ins + in;
                const int64_t stride = outs * ins;
                for (int j = 0; j < 4; j++) {
                    Lanes u1 = get(from + (4 + j) * stride), u2 = get(from + (8 + j) * stride);
                    t[0][j] = get(from + j * stride) + 0.5f * (u1 + u2), t[1][j] = 0.5f * (u1 - u2);
                    t[2][j] = 0.5f * (u1 + u2) + get(from + (12 + j) * stride);
                }
                float *to = dweight + out * 9 * ins + in;
                for (int i = 0; i < 3; i++) {
                    put(to + 3 * i * ins, t[i][0] + 0.5f * (t[i][1] + t[i][2]));
                    put(to + (3 * i + 1) * ins, 0.5f * (t[i][1] - t[i][2]));
                    put(to + (3 * i + 2) * ins, 0.5f * (t[i][1] + t[i][2]) + t[i][3]);
                }
            }
    }
}

} // namespace

extern "C" void winograd_float32(const float *x, const float *weight, const float *bias, float *y,
                                 int64_t images, int64_t height, int64_t width, int64_t ins, int64_t outs) {
    auto u = floats(PLACES * ins * outs);
    spread_forward(weight, outs, ins, u.get());
    convolve(x, u.get(), bias, y, images, height, width, ins, outs);
}

extern "C" void winograd_backward_float32(const float *x, const float *weight, const float *dy, float *dx,
                                          float *dweight, int64_t images, int64_t height, int64_t width,
                                          int64_t ins, int64_t outs) {
    {
        auto u = floats(PLACES * ins * outs);
        spread_backward(weight, ins, outs, u.get());
        convolve(dy, u.get(), nullptr, dx, images, height, width, outs, ins);
    }
    gradient_of_weight(x, dy, dweight, images, height, width, ins, outs);
}
