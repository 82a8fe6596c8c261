/* Limits that graphs, plans and kernels share. */
#ifndef BASE_SHAPE_H
#define BASE_SHAPE_H

enum {
    MAX_RANK = 6,       /* axes of a tensor */
    MAX_SYMBOLS = 8,    /* named sizes (B, T, ...) of a program */
    N_PARTIALS = 256,   /* fixed grid of a two-stage sum, so that its bits never depend on threads */
};

#endif
