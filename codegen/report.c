/* `smc report`: gathering the facts of a compilation, and the page around them. */
#include "codegen/report_parts.h"

#include "codegen/diff.h"
#include "codegen/show.h"
#include "ir/text.h"
#include "passes/fusion_report.h"

#include <string.h>

enum { MAX_CHANGE = 24 << 10 };         /* bytes of one pass's changes on the page */

struct Report {
    Arena *arena;
    const Graph *model;
    const Sources *sources;
    ReportStrings strings;
    json_t *programs, *changes, *profile;
    Buf text;                           /* of the graph before the pass that runs now */
    Program program;                    /* whose text that is */
};

/* ---- small facts ------------------------------------------------------------------------------ */

json_t *report_string(ReportStrings *s, const char *text)
{
    json_t *known = json_object_get(s->index, text);
    if (known)
        return json_incref(known);
    json_t *number = json_integer((json_int_t)json_array_size(s->list));
    json_array_append_new(s->list, json_string(text));
    json_object_set(s->index, text, number);
    return number;
}

json_t *report_line(Span span)
{
    return json_integer(span.line ? ((json_int_t)span.file << 20) + span.line : 0);
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- passes ----------------------------------------------------------------------------------- */

static void keep_text(Report *r, const Graph *g)
{
    buf_clear(&r->text);
    graph_print(&r->text, g);
}

static json_t *change_json(Report *r, const Buf *now, const char *pass)
{
    Buf diff = { 0 }, brief = { 0 };
    Arena scratch;
    arena_init(&scratch, r->arena->on_out_of_memory);
    graph_diff(&diff, "before", r->text.data, pass, now->data, &scratch);
    if (diff.len)
        report_change(&brief, diff.data, MAX_CHANGE, &scratch);
    json_t *text = json_string(brief.len ? brief.data : "");
    arena_free(&scratch);
    buf_free(&diff);
    buf_free(&brief);
    return text;
}

static void observe(void *arg, const PassInfo *pass, int row, const Graph *g)
{
    Report *r = arg;
    Buf now = { 0 };
    (void)row;
    if (g->program != r->program) {
        keep_text(r, r->model);
        r->program = g->program;
    }
    graph_print(&now, g);
    if (now.failed || r->text.failed) {
        buf_free(&now);
        return;
    }
    const bool changed = now.len != r->text.len || memcmp(now.data, r->text.data, now.len) != 0;
    json_array_append_new(r->changes, json_pack(
        "{s:s, s:s, s:s, s:o}", "program", program_name(g->program), "pass", pass->name, "what",
        pass->what, "change", changed ? change_json(r, &now, pass->name) : json_null()));
    buf_free(&r->text);
    r->text = now;
}

PassObserver report_observer(Report *r)
{
    return (PassObserver){ observe, r };
}

/* ---- the model -------------------------------------------------------------------------------- */

static json_t *storages_json(Report *r)
{
    json_t *out = json_array();
    const int64_t ones[MAX_SYMBOLS] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    for (StorageId i = 0; i < r->model->n_storages; i++) {
        const Storage *s = &r->model->storages[i];
        Buf type = { 0 };
        Dim count;
        int64_t n = 0;
        if (s->class != STORAGE_PARAM)
            continue;
        if (!shape_count(&s->type.shape, &count) || !dim_eval(count, ones, &n))
            n = 0;
        type_print(&type, r->model, &s->type);
        json_array_append_new(out, json_pack("[s, s, I, o]", s->name, type.failed ? "" : type.data,
                                             (json_int_t)n, report_line(s->span)));
        buf_free(&type);
    }
    return out;
}

static json_t *sources_json(const Report *r)
{
    json_t *out = json_array();
    for (uint32_t i = 0; i < r->model->n_files; i++) {
        const char *text = "";
        size_t n = 0;
        for (uint32_t k = 0; k < r->sources->n; k++)
            if (strcmp(r->sources->texts[k].name, r->model->files[i]) == 0) {
                text = r->sources->texts[k].text;
                n = r->sources->texts[k].n;
            }
        json_array_append_new(out, json_pack("{s:s, s:o}", "name", file_name(r->model->files[i]),
                                             "text", json_stringn(text, n)));
    }
    return out;
}

static json_t *reasons_json(void)
{
    json_t *out = json_array();
    for (int i = 0; i < N_FUSION_REASONS; i++)
        json_array_append_new(out, json_pack("[s, s]", fusion_reason_name((FusionReason)i),
                                             fusion_reason_text((FusionReason)i)));
    return out;
}

static json_t *summary_facts(const Summary *s)
{
    Buf text = { 0 };
    summary_json(&text, s);
    json_t *out = text.failed ? NULL : json_loadb(text.data, text.len, 0, NULL);
    buf_free(&text);
    return out;
}

/* ---- the door --------------------------------------------------------------------------------- */

Report *report_new(const Graph *model, const Sources *sources, Arena *arena)
{
    Report *r = arena_array(arena, 1, sizeof *r);
    *r = (Report){ .arena = arena, .model = model, .sources = sources,
                   .strings = { json_array(), json_object() }, .programs = json_array(),
                   .changes = json_array(), .program = PROGRAM_model };
    return r;
}

void report_free(Report *r)
{
    json_decref(r->strings.list);
    json_decref(r->strings.index);
    json_decref(r->programs);
    json_decref(r->changes);
    json_decref(r->profile);
    buf_free(&r->text);
}

void report_add(Report *r, const Graph *g, FusionSet fusions, Arena *scratch)
{
    json_array_append_new(r->programs, report_program(&r->strings, g, fusions, scratch));
}

bool report_profile(Report *r, const char *path, Error *err)
{
    json_error_t at;
    json_t *profile = json_load_file(path, 0, &at);
    if (!profile)
        return error_set(err, "%s:%d: %s", path, at.line, at.text);
    if (!json_is_string(json_object_get(profile, "program"))
        || !json_is_array(json_object_get(profile, "instructions"))
        || !json_is_string(json_object_get(profile, "model"))) {
        json_decref(profile);
        return error_set(err, "%s: not a profile; smrun profile PLAN --json writes one", path);
    }
    const char *model = json_string_value(json_object_get(profile, "model"));
    if (strcmp(model, r->model->name) != 0) {
        error_set(err, "%s: a profile of model %.100s, and this is %s", path, model,
                  r->model->name);
        json_decref(profile);
        return false;
    }
    json_decref(r->profile);
    r->profile = profile;
    return true;
}

bool report_print(Buf *out, const Report *r, const Summary *summary, const char *command)
{
    Report *w = (Report *)r;            /* interning while the storages are listed */
    json_t *facts = json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:O, s:O, s:O, s:O?}", "model", r->model->name, "command",
        command, "sources", sources_json(r), "parameters", storages_json(w), "reasons",
        reasons_json(), "summary", summary_facts(summary), "strings", r->strings.list, "programs",
        r->programs, "changes", r->changes, "profile", r->profile);
    char *json = facts ? json_dumps(facts, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(facts);
    if (json)
        report_page(out, r->model->name, json);
    const bool ok = json && !out->failed;
    free(json);
    return ok;
}
