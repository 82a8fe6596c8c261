/* The graphs between the passes, as text. */
#include "codegen/dump.h"

#include "codegen/diff.h"
#include "ir/text.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>

static void write_file(Dump *d, const char *name, const char *end, const Buf *text)
{
    char path[4096], file[160];
    snprintf(file, sizeof file, "%s.%s", name, end);
    d->failed = d->failed || !path_join(path, sizeof path, d->dir, file, &d->err)
        || !file_replace(path, text->data, text->len, &d->err);
}

static void write_change(Dump *d, const char *name, const Buf *text)
{
    Buf diff = { 0 };
    Arena scratch;
    arena_init(&scratch, d->arena->on_out_of_memory);
    graph_diff(&diff, d->last_name, d->last.data, name, text->data, &scratch);
    write_file(d, name, "smir", text);
    if (diff.len)
        write_file(d, name, "diff", &diff);
    buf_free(&diff);
    arena_free(&scratch);
}

static void keep(Buf *to, const Buf *from)
{
    buf_clear(to);
    buf_add(to, from->data, from->len);
}

static void begin_program(Dump *d, Program program)
{
    keep(&d->last, &d->model);
    snprintf(d->last_name, sizeof d->last_name, "model");
    d->program = program;
}

void dump_begin(Dump *d, const Graph *model)
{
    graph_print(&d->model, model);
    begin_program(d, PROGRAM_model);
    if (d->dir && !d->model.failed)
        write_file(d, "model", "smir", &d->model);
}

void dump_after(void *arg, const PassInfo *pass, int row, const Graph *g)
{
    Dump *d = arg;
    Buf text = { 0 };
    char name[sizeof d->last_name];
    graph_print(&text, g);
    if (g->program != d->program)
        begin_program(d, g->program);
    if (d->after && strcmp(d->after, pass->name) == 0)
        keep(&d->kept, &text);
    const bool changed = text.len != d->last.len
        || memcmp(text.data, d->last.data, text.len) != 0;
    snprintf(name, sizeof name, "%s.%02d.%s", program_name(g->program), row, pass->name);
    if (d->dir && changed && !text.failed && !d->last.failed)
        write_change(d, name, &text);
    snprintf(d->last_name, sizeof d->last_name, "%s", name);
    buf_free(&d->last);
    d->last = text;
}

void dump_end(Dump *d)
{
    buf_free(&d->kept);
    buf_free(&d->model);
    buf_free(&d->last);
}
