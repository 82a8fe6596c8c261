/* Shapes of AMX's tiles (Intel SDM, volume 1, "Programming with Intel AMX"): of palette 1 there are eight, of up
 * to 16 rows of 64 bytes. */
#ifndef RUNTIME_KERNELS_AMX_TILES_H
#define RUNTIME_KERNELS_AMX_TILES_H

#include <stdint.h>

/* What _tile_loadconfig reads.  Constants, since gcc does not know how much is read of it. */
typedef struct TileShapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];                 /* of a row */
    uint8_t rows[16];
} TileShapes;

static const TileShapes whole_tiles = {
    .palette = 1,
    .bytes = { 64, 64, 64, 64, 64, 64, 64, 64 },
    .rows = { 16, 16, 16, 16, 16, 16, 16, 16 },
};

#endif
