/* The report on a plan: one JSON object, and a text made of it. */
#include "runtime/info.h"

#include "base/check.h"
#include "base/str.h"
#include "runtime/session.h"
#include "runtime/weights.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Which programs smrun opens together, and for what. */
typedef struct ProgramSet {
    const char *name;
    uint32_t programs, optional;        /* the latter where the plan has them */
} ProgramSet;

#define BIT(program) (1u << PLAN_##program)
static const ProgramSet sets[] = {
    { "score", BIT(score), 0 },
    { "train", BIT(train), BIT(eval) },
    { "train --accumulate", BIT(accumulate) | BIT(apply), BIT(eval) },
    { "generate", BIT(generate), 0 },
};

static json_t *sizes_json(const Plan *p, const PlanProgram *g)
{
    json_t *out = json_object();
    for (uint32_t s = 0; s < p->n_symbols; s++)
        json_object_set_new(out, plan_string(p, p->symbols[s].name), json_integer(g->max[s]));
    return out;
}

static json_t *programs_json(const Plan *p)
{
    json_t *out = json_array();
    for (uint32_t i = 0; i < p->n_programs; i++) {
        const PlanProgram *g = &p->programs[i];
        json_array_append_new(out, json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:o}", "name",
            plan_program_name((PlanProgramKind)g->kind), "instructions", (json_int_t)g->n_instrs,
            "barriers_per_run", (json_int_t)g->n_barriers, "pool_bytes", (json_int_t)g->pool_bytes,
            "pool_bound", (json_int_t)g->pool_bound, "largest", sizes_json(p, g)));
    }
    return out;
}

static bool sessions_json(const Plan *p, const InfoOptions *o, json_t *out, Error *err)
{
    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        uint32_t there = 0;
        SessionSize z;
        for (uint32_t k = 0; k < p->n_programs; k++)
            there |= 1u << p->programs[k].kind;
        if ((there & sets[i].programs) != sets[i].programs)
            continue;
        const SessionOptions so = { .n_threads = o->n_threads, .cpu = o->cpu,
                                    .programs = sets[i].programs | (there & sets[i].optional),
                                    .pack = sets[i].programs == BIT(generate) };
        if (!session_size(p, &so, &z, err))
            return false;
        json_array_append_new(out, json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "for", sets[i].name, "bytes",
            (json_int_t)z.total, "params", (json_int_t)z.params, "state", (json_int_t)z.state,
            "inputs", (json_int_t)z.inputs, "pool", (json_int_t)z.pool, "scratch",
            (json_int_t)z.scratch, "instructions", (json_int_t)z.instrs));
    }
    return true;
}

/* ---- for people ------------------------------------------------------------------------------- */

static const char *word(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s ? s : "";
}

static int64_t number(const json_t *j, const char *key)
{
    return json_integer_value(json_object_get(j, key));
}

static void print_programs(Buf *out, const json_t *programs)
{
    size_t i;
    json_t *g, *size;
    const char *name;
    buf_puts(out, "\nprogram      instructions  barriers    pool bytes  largest sizes\n");
    json_array_foreach((json_t *)(uintptr_t)programs, i, g) {
        buf_printf(out, "%-12s %12" PRId64 "  %8" PRId64 "  %12" PRId64 " ", word(g, "name"),
                   number(g, "instructions"), number(g, "barriers_per_run"),
                   number(g, "pool_bytes"));
        json_object_foreach(json_object_get(g, "largest"), name, size)
            buf_printf(out, " %s=%" JSON_INTEGER_FORMAT, name, json_integer_value(size));
        buf_putc(out, '\n');
    }
}

static void print_sessions(Buf *out, const json_t *sessions, int n_threads)
{
    size_t i;
    json_t *s;
    buf_printf(out, "\nmemory, one block for each (bytes; %d thread%s)\n", n_threads,
               n_threads > 1 ? "s" : "");
    buf_puts(out, "session for                total = parameters + state + inputs + pool + scratch + "
                  "bound instructions\n");
    json_array_foreach((json_t *)(uintptr_t)sessions, i, s)
        buf_printf(out, "%-18s %13" PRId64 " = %" PRId64 " + %" PRId64 " + %" PRId64 " + %" PRId64
                   " + %" PRId64 " + %" PRId64 "\n", word(s, "for"), number(s, "bytes"),
                   number(s, "params"), number(s, "state"), number(s, "inputs"),
                   number(s, "pool"), number(s, "scratch"), number(s, "instructions"));
}

static void print_text(Buf *out, const json_t *j, const InfoOptions *o)
{
    char bytes[32];
    str_bytes(bytes, sizeof bytes, (uint64_t)number(j, "parameter_bytes"));
    buf_printf(out, "%s: model %s, %" PRId64 " bytes, compiled by %s\n", o->path,
               word(j, "model"), number(j, "file_bytes"), word(j, "compiler"));
    buf_printf(out, "parameters: %" PRId64 " in %" PRId64 " tensors, %" PRId64 " bytes (%s)\n",
               number(j, "parameters"), number(j, "parameter_tensors"),
               number(j, "parameter_bytes"), bytes);
    if (number(j, "context"))
        buf_printf(out, "context: %" PRId64 " positions\n", number(j, "context"));
    buf_printf(out, "kernels: %s on %s\n", word(j, "isa"), word(j, "cpu"));
    print_programs(out, json_object_get(j, "programs"));
    print_sessions(out, json_object_get(j, "sessions"), o->n_threads);
}

bool info(const Plan *p, const InfoOptions *o, Buf *out, Error *err)
{
    char cpu[128];
    int64_t count, bytes;
    uint32_t n_tensors;
    json_t *sessions = json_array();
    const KernelTable *kernels = kernels_select(o->cpu, err);
    if (!kernels || !sessions_json(p, o, sessions, err)) {
        json_decref(sessions);
        return false;
    }
    cpu_model(cpu, sizeof cpu);
    weights_count(p, &count, &bytes, &n_tensors);
    json_t *j = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:i, s:o, s:o}", "model",
        plan_string(p, p->header->model), "compiler", plan_string(p, p->header->compiler),
        "file_bytes", (json_int_t)p->header->file_bytes, "context", (json_int_t)p->header->context,
        "parameters", (json_int_t)count, "parameter_tensors", (json_int_t)n_tensors,
        "parameter_bytes", (json_int_t)bytes, "isa", isa_name(kernels->isa), "cpu", cpu, "threads",
        o->n_threads, "programs", programs_json(p), "sessions", sessions);
    char *text = j && o->json ? json_dumps(j, JSON_INDENT(2)) : NULL;
    if (text)
        buf_printf(out, "%s\n", text);
    else if (j && !o->json)
        print_text(out, j, o);
    bool ok = j && (text || !o->json) && !out->failed;
    free(text);
    json_decref(j);
    return ok || error_set(err, "%s: out of memory, or a name that is not UTF-8", o->path);
}
