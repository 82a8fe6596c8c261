/* The characters by which byte-level tokenizers write bytes: what prints in Latin-1 stands for
 * itself, the other 68 bytes are U+0100 and following, in order. */
#include "runtime/tokenizer/parts.h"

#include "runtime/tokenizer/unicode.h"

const uint16_t byte_level_code[256] = {
#define X16(b) b, b + 1, b + 2, b + 3, b + 4, b + 5, b + 6, b + 7, b + 8, b + 9, b + 10, b + 11, \
               b + 12, b + 13, b + 14, b + 15
    X16(0x100), X16(0x110), 0x120,
    0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f,
    X16(0x30), X16(0x40), X16(0x50), X16(0x60),
    0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x7d, 0x7e, 0x121,
    X16(0x122), X16(0x132), 0x142,
    0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0x143, 0xae, 0xaf,
    X16(0xb0), X16(0xc0), X16(0xd0), X16(0xe0), X16(0xf0),
#undef X16
};

void byte_level_put(Buf *out, const char *bytes, size_t n)
{
    char block[256];
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t c = byte_level_code[(uint8_t)bytes[i]];
        if (used + 2 > sizeof block) {
            buf_add(out, block, used);
            used = 0;
        }
        if (c < 0x80) {
            block[used++] = (char)c;
        } else {
            block[used++] = (char)(0xc0 | c >> 6);
            block[used++] = (char)(0x80 | (c & 0x3f));
        }
    }
    buf_add(out, block, used);
}

int byte_level_byte(uint32_t code)
{
    if (code < 0x100)
        return byte_level_code[code] == code ? (int)code : -1;
    if (code <= 0x120)
        return (int)code - 0x100;
    if (code <= 0x142)
        return (int)code - 0x121 + 0x7f;
    return code == 0x143 ? 0xad : -1;
}
