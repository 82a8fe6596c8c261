/* Interning of strings, and the bytes of the file. */
#include "codegen/plan_builder.h"

#include "base/check.h"
#include "base/hash.h"

#include <string.h>

#define COMPILER_VERSION "smc " SMALLMIND_VERSION

void plan_builder_init(PlanBuilder *b, Arena *arena, const char *model)
{
    *b = (PlanBuilder){ .arena = arena, .model = model };
    plan_builder_string(b, "");
}

static void grow_slots(PlanBuilder *b)
{
    uint32_t cap = b->cap_strings ? 2 * b->cap_strings : 256;
    uint32_t *slots = arena_array(b->arena, cap, sizeof *slots);
    for (uint32_t i = 0; i < b->cap_strings; i++) {
        if (!b->string_slots[i])
            continue;
        const char *s = b->strings.data + (b->string_slots[i] - 1);
        uint32_t at = (uint32_t)hash_bytes(s, strlen(s)) & (cap - 1);
        while (slots[at])
            at = (at + 1) & (cap - 1);
        slots[at] = b->string_slots[i];
    }
    b->string_slots = slots;
    b->cap_strings = cap;
}

uint32_t plan_builder_string(PlanBuilder *b, const char *s)
{
    if (2 * b->n_strings >= b->cap_strings)
        grow_slots(b);
    size_t n = strlen(s);
    uint32_t at = (uint32_t)hash_bytes(s, n) & (b->cap_strings - 1);
    for (; b->string_slots[at]; at = (at + 1) & (b->cap_strings - 1))
        if (strcmp(b->strings.data + (b->string_slots[at] - 1), s) == 0)
            return b->string_slots[at] - 1;
    uint32_t offset = (uint32_t)b->strings.len;
    buf_add(&b->strings, s, n + 1);
    b->string_slots[at] = offset + 1;
    b->n_strings++;
    return offset;
}

static PlanTable add_table(Buf *out, const void *records, size_t count, size_t size)
{
    buf_align(out, PLAN_ALIGN);
    PlanTable t = { .offset = out->len, .count = count };
    if (count)
        buf_add(out, records, count * size);
    return t;
}

bool plan_builder_write(PlanBuilder *b, Buf *out)
{
    CHECK(out->len == 0, "a plan is a file of its own");
    PlanHeader h = { .magic = PLAN_MAGIC, .version = PLAN_VERSION, .header_bytes = sizeof h,
                     .context = b->context };
    h.model = plan_builder_string(b, b->model);
    h.compiler = plan_builder_string(b, COMPILER_VERSION);
    h.command = plan_builder_string(b, b->command ? b->command : "");
    h.configs = plan_builder_string(b, b->configs ? b->configs : "");
    buf_add(out, &h, sizeof h);
    h.symbols = add_table(out, b->symbols, b->n_symbols, sizeof *b->symbols);
    h.storages = add_table(out, b->storages, b->n_storages, sizeof *b->storages);
    h.programs = add_table(out, b->programs, b->n_programs, sizeof *b->programs);
    h.outputs = add_table(out, b->outputs, b->n_outputs, sizeof *b->outputs);
    h.instrs = add_table(out, b->instrs, b->n_instrs, sizeof *b->instrs);
    h.operands = add_table(out, b->operands, b->n_operands, sizeof *b->operands);
    h.rows = add_table(out, b->rows, b->n_rows, sizeof *b->rows);
    h.row_consts = add_table(out, b->row_consts, b->n_row_consts, sizeof *b->row_consts);
    h.row_temps = add_table(out, b->row_temps, b->n_row_temps, sizeof *b->row_temps);
    h.row_instrs = add_table(out, b->row_instrs, b->n_row_instrs, sizeof *b->row_instrs);
    h.strings = add_table(out, b->strings.data, b->strings.len, 1);
    if (out->failed || b->strings.failed)
        return false;
    h.file_bytes = out->len;
    memcpy(out->data, &h, sizeof h);
    size_t from = offsetof(PlanHeader, checksum) + sizeof h.checksum;
    h.checksum = hash_bytes(out->data + from, out->len - from);
    memcpy(out->data, &h, sizeof h);
    return true;
}

void plan_builder_free(PlanBuilder *b)
{
    buf_free(&b->strings);
}
