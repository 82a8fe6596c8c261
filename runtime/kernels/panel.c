/* Moving the bits of blocks into panels and out of them. */
#include "runtime/kernels/panel.h"

#include "base/blocks.h"
#include "base/check.h"

#include <string.h>

enum { R = PANEL_ROWS };

/* Where the parts of a type's block lie: offsets in ggml's block. */
typedef struct Parts {
    int scales, n_scales;       /* f16 numbers, each becoming a row of 16 */
    int extra, n_extra;         /* bytes, each becoming a row of 16 */
    int fifth, n_fifth;         /* bytes of fifth bits */
    int high, n_high;           /* bytes that become vectors of the region `high` */
    int low, n_low;
} Parts;

static Parts parts_of(DType t)
{
    switch (t) {
    case DTYPE_q8_0: return (Parts){ .n_scales = 1, .low = 2, .n_low = 32 };
    case DTYPE_q4_0: return (Parts){ .n_scales = 1, .low = 2, .n_low = 16 };
    case DTYPE_q4_1: return (Parts){ .n_scales = 2, .low = 4, .n_low = 16 };
    case DTYPE_q5_0: return (Parts){ .n_scales = 1, .fifth = 2, .n_fifth = 4, .low = 6, .n_low = 16 };
    case DTYPE_q5_1: return (Parts){ .n_scales = 2, .fifth = 4, .n_fifth = 4, .low = 8, .n_low = 16 };
    case DTYPE_q4_k: return (Parts){ .n_scales = 2, .extra = 4, .n_extra = 12, .low = 16, .n_low = 128 };
    case DTYPE_q5_k:
        return (Parts){ .n_scales = 2, .extra = 4, .n_extra = 12, .fifth = 16, .n_fifth = 32,
                        .low = 48, .n_low = 128 };
    case DTYPE_q6_k:
        return (Parts){ .scales = 208, .n_scales = 1, .extra = 192, .n_extra = 16, .high = 128, .n_high = 64,
                        .low = 0, .n_low = 128 };
    case DTYPE_f32: case DTYPE_i32: case DTYPE_bool: case DTYPE_bf16: case DTYPE_f16: case N_DTYPES:
        break;
    }
    CHECK(false, "%s has no panels", dtype_name(t));
    return (Parts){ 0 };
}

PanelShape panel_shape(DType t)
{
    Parts p = parts_of(t);
    return (PanelShape){ .head = (size_t)(R * (2 * p.n_scales + p.n_extra)),
                         .high = (size_t)(R * (p.n_fifth + p.n_high)), .low = (size_t)(R * p.n_low) };
}

bool panel_bytes(DType t, int64_t rows, int64_t k, int64_t *out)
{
    int64_t padded;
    return rows >= 0 && i64_add(rows, R - 1, &padded) && dtype_bytes(t, padded / R * R, k, out);
}

/* One walk over a block serves both directions: each byte has its place there and in the panel. */
static void move_byte(uint8_t *panel, uint8_t *block, bool pack)
{
    *(pack ? panel : block) = *(pack ? block : panel);
}

/* Four bytes at a time; `flip` changes their top bits (q8_0). */
static void move_vectors(int n, uint8_t *panel, int r, uint8_t *block, bool pack, uint32_t flip)
{
    for (int j = 0; j < n; j += 4) {
        uint8_t *ours = panel + j * R + 4 * r, *theirs = block + j;
        uint32_t four;
        memcpy(&four, pack ? theirs : ours, sizeof four);
        four ^= flip;
        memcpy(pack ? ours : theirs, &four, sizeof four);
    }
}

/* Number i's fifth bit: in blocks of 32 bit i of the four bytes, in those of 256 bit i / 32 of byte i % 32. */
static void move_fifths(int n_bytes, uint8_t *panel, int r, uint8_t *block, bool pack)
{
    for (int i = 0; i < 8 * n_bytes; i++) {
        uint8_t *theirs = block + (n_bytes == 4 ? i / 8 : i % 32);
        int their_bit = n_bytes == 4 ? i % 8 : i / 32, our_bit = 4 * r + i % 4;
        uint8_t *ours = panel + i / 4 * 8 + our_bit / 8;
        if (pack)
            *ours = (uint8_t)(*ours | (*theirs >> their_bit & 1) << our_bit % 8);
        else
            *theirs = (uint8_t)(*theirs | (*ours >> our_bit % 8 & 1) << their_bit);
    }
}

/* Row r's block number `at` between its place in a panel and `block`; the target is zero before. */
static void move_block(DType t, const Parts *p, const PanelShape *s, int64_t n_blocks, uint8_t *panel,
                       int64_t at, int r, uint8_t *block, bool pack)
{
    uint8_t *head = panel + (size_t)at * s->head;
    uint8_t *high = panel + (size_t)n_blocks * s->head + (size_t)at * s->high;
    uint8_t *low = panel + (size_t)n_blocks * (s->head + s->high) + (size_t)at * s->low;
    for (int i = 0; i < 2 * p->n_scales; i++)
        move_byte(head + i / 2 * (2 * R) + 2 * r + i % 2, block + p->scales + i, pack);
    for (int i = 0; i < p->n_extra; i++)
        move_byte(head + 2 * R * p->n_scales + i * R + r, block + p->extra + i, pack);
    move_fifths(p->n_fifth, high, r, block + p->fifth, pack);
    move_vectors(p->n_high, high, r, block + p->high, pack, 0);
    move_vectors(p->n_low, low, r, block + p->low, pack, t == DTYPE_q8_0 ? 0x80808080 : 0);
}

static void move_panels(DType t, int64_t rows, int64_t k, uint8_t *data, uint8_t *temp, bool pack)
{
    const Parts p = parts_of(t);
    const PanelShape s = panel_shape(t);
    size_t bytes = dtype_block_bytes(t), row = (size_t)(k / dtype_block(t)) * bytes;
    int64_t n_blocks = k / dtype_block(t);
    for (int64_t first = 0; first < rows; first += R, data += R * row) {
        int64_t n = rows - first < R ? rows - first : R;
        memcpy(temp, data, R * row);
        memset(data, 0, R * row);
        for (int r = 0; r < n; r++)
            for (int64_t at = 0; at < n_blocks; at++) {
                uint8_t *block = (pack ? temp : data) + (size_t)r * row + (size_t)at * bytes;
                move_block(t, &p, &s, n_blocks, pack ? data : temp, at, r, block, pack);
            }
    }
}

void panel_pack(DType t, int64_t rows, int64_t k, void *data, void *temp)
{
    move_panels(t, rows, k, data, temp, true);
}

void panel_unpack(DType t, int64_t rows, int64_t k, void *data, void *temp)
{
    move_panels(t, rows, k, data, temp, false);
}

void panel_decode_row(DType t, int64_t k, const void *data, int64_t r, float *dst)
{
    const Parts p = parts_of(t);
    const PanelShape s = panel_shape(t);
    size_t bytes = dtype_block_bytes(t);
    int64_t n_blocks = k / dtype_block(t);
    /* Only read: the walk is the one that writes panels. */
    uint8_t *panel = (uint8_t *)(uintptr_t)data + (size_t)(r / R * R) * (size_t)n_blocks * bytes;
    for (int64_t at = 0; at < n_blocks; at++) {
        uint8_t block[BLOCK_MOST] = { 0 };
        move_block(t, &p, &s, n_blocks, panel, at, (int)(r % R), block, false);
        blocks_decode(t, (size_t)dtype_block(t), block, dst + at * dtype_block(t));
    }
}
