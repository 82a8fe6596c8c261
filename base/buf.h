/* A growing run of bytes on the heap: text being printed, a plan being written. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>

typedef struct Buf {
    char *data;                 /* owned; always followed by a zero byte once anything was added */
    size_t len, cap;
    bool failed;                /* memory ran out; everything since is dropped */
} Buf;

void buf_add(Buf *b, const void *bytes, size_t n);
void buf_puts(Buf *b, const char *s);
void buf_putc(Buf *b, char c);
void buf_printf(Buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(Buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Zero bytes up to a multiple of `align`, a power of two. */
void buf_align(Buf *b, size_t align);
void buf_clear(Buf *b);         /* keeps the memory */
void buf_free(Buf *b);

#endif
