/* llama2.c's and llm.c's .bin files: written here, number by number, imported, and compared with the
 * same weights as the hub publishes them, and with what those programs make of the files.
 *
 * The two programs differ in nothing but where the pairs of a head lie and whether a matrix is read
 * along its rows, so their logits differ by the order of some sums of floats at most. */
#include "tests/e2e/family.h"

#include "base/blocks.h"
#include "base/file.h"
#include "runtime/heap.h"
#include "runtime/hub/bin_file.h"
#include "runtime/hub/import.h"
#include "runtime/hub/weights_index.h"
#include "runtime/safetensors.h"
#include "runtime/session.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { WIDTH = 32, HIDDEN = 48, LAYERS = 2, HEADS = 4, KV_HEADS = 2, VOCAB = 50, CONTEXT = 24, GROUP = 16,
       HEAD = WIDTH / HEADS, TABLE = 64, MAX_TENSORS = 64 };

static const double tolerance = 1e-5;

/* ---- the same weights twice -------------------------------------------------------------------- */

/* A model as it grows: the hub's tensors, and the bytes of the .bin. */
typedef struct Model {
    Buf bin;
    SafeEntry entry[MAX_TENSORS];
    uint32_t n;
    uint32_t drawn;
    bool bf16, grouped;
} Model;

/* From -1/4 to 1/4 in steps that bf16 holds. */
static float draw(Model *m)
{
    m->drawn = m->drawn * 1664525 + 1013904223;
    return (float)((int)(m->drawn >> 26) - 32) / 128;
}

static void add_i32(Buf *out, int32_t v)
{
    buf_add(out, (const char *)&v, sizeof v);
}

static void add_float(const Model *m, Buf *out, float v)
{
    uint16_t narrow;
    if (m->bf16)
        assert_true(blocks_encode(DTYPE_bf16, 1, &v, &narrow, NULL));
    buf_add(out, m->bf16 ? (const char *)&narrow : (const char *)&v, m->bf16 ? 2 : 4);
}

/* How the hub has a tensor of the .bin. */
typedef enum Turn { SAME, TURNED, PAIRED } Turn;

static size_t hub_place(Turn turn, int64_t rows, int64_t columns, int64_t r, int64_t c)
{
    const int64_t half = HEAD / 2, in_head = r % HEAD, first = r - in_head;
    const int64_t unpaired = first + in_head / 2 + (in_head % 2) * half;
    return (size_t)(turn == TURNED ? c * rows + r : turn == PAIRED ? unpaired * columns + c : r * columns + c);
}

/* i8 and the scales behind them; what they stand for goes back to x. */
static void add_grouped(Model *m, float *x, int64_t n)
{
    Buf scales = { 0 };
    for (int64_t g = 0; g < n; g += GROUP) {
        const float scale = 1.0f / 256;
        for (int64_t i = g; i < g + GROUP; i++) {
            const int8_t q = (int8_t)lrintf(x[i] / scale);
            x[i] = (float)q * scale;
            buf_add(&m->bin, (const char *)&q, 1);
        }
        buf_add(&scales, (const char *)&scale, sizeof scale);
    }
    buf_add(&m->bin, scales.data, scales.len);
    buf_free(&scales);
}

/* Draws rows x columns (columns 0: a vector around 1) into both. */
static void add_tensor(Model *m, const char *name, int64_t rows, int64_t columns, Turn turn)
{
    const int64_t width = columns ? columns : 1;
    float *x = calloc((size_t)(rows * width), sizeof *x), *hub = calloc((size_t)(rows * width), sizeof *hub);
    assert_true(x && hub && m->n < MAX_TENSORS);
    for (int64_t i = 0; i < rows * width; i++)
        x[i] = draw(m) + (columns ? 0 : 1);
    if (m->grouped && columns)
        add_grouped(m, x, rows * width);
    else
        for (int64_t i = 0; i < rows * width; i++)
            add_float(m, &m->bin, x[i]);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < width; c++)
            hub[hub_place(turn, rows, width, r, c)] = x[r * width + c];
    free(x);
    m->entry[m->n] = (SafeEntry){ .name = strdup(name), .type = DTYPE_f32, .rank = columns ? 2 : 1,
                                  .data = hub, .dim = { rows, columns } };
    if (turn == TURNED) {
        m->entry[m->n].dim[0] = columns;
        m->entry[m->n].dim[1] = rows;
    }
    m->n++;
}

/* One of each layer. */
static void add_layers(Model *m, const char *format, int64_t rows, int64_t columns, Turn turn)
{
    for (int i = 0; i < LAYERS; i++) {
        char name[128];
        const char *mark = strchr(format, '#');
        snprintf(name, sizeof name, "%.*s%d%s", (int)(mark - format), format, i, mark + 1);
        add_tensor(m, name, rows, columns, turn);
    }
}

static void save(Model *m, const char *folder, const char *bin, const char *config)
{
    char dir[FAMILY_PATH], path[FAMILY_PATH];
    Error err;
    family_path(dir, family_root, folder);
    assert_true(file_make_dirs(dir, &err));
    family_path(path, dir, "model.safetensors");
    assert_true(safetensors_write(path, m->entry, m->n, &err));
    family_path(path, dir, "config.json");
    assert_true(file_replace(path, config, strlen(config), &err));
    family_path(path, family_root, bin);
    assert_true(file_replace(path, m->bin.data, m->bin.len, &err));
}

static void free_model(Model *m)
{
    for (uint32_t i = 0; i < m->n; i++) {
        free((void *)(uintptr_t)m->entry[i].name);
        free((void *)(uintptr_t)m->entry[i].data);
    }
    buf_free(&m->bin);
}

/* ---- a llama2.c file --------------------------------------------------------------------------- */

static void add_llama_header(Model *m, int version, bool shared)
{
    const int32_t numbers[] = { WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS,
                                version == 0 && !shared ? -VOCAB : VOCAB, CONTEXT };
    if (version > 0) {
        add_i32(&m->bin, 0x616b3432);
        add_i32(&m->bin, version);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        add_i32(&m->bin, numbers[i]);
    if (version > 0)
        buf_add(&m->bin, shared ? "\1" : "\0", 1);
    if (version == 2)
        add_i32(&m->bin, GROUP);
    while (version > 0 && m->bin.len < 256)
        buf_add(&m->bin, "\0", 1);
}

#define L "model.layers.#."

static void add_attention(Model *m)
{
    add_layers(m, L "self_attn.q_proj.weight", WIDTH, WIDTH, PAIRED);
    add_layers(m, L "self_attn.k_proj.weight", HEAD * KV_HEADS, WIDTH, PAIRED);
    add_layers(m, L "self_attn.v_proj.weight", HEAD * KV_HEADS, WIDTH, SAME);
    add_layers(m, L "self_attn.o_proj.weight", WIDTH, WIDTH, SAME);
}

static void add_mlp(Model *m)
{
    add_layers(m, L "mlp.gate_proj.weight", HIDDEN, WIDTH, SAME);
    add_layers(m, L "mlp.down_proj.weight", WIDTH, HIDDEN, SAME);
    add_layers(m, L "mlp.up_proj.weight", HIDDEN, WIDTH, SAME);
}

static void make_llama(Model *m, int version, bool shared, const char *folder, const char *bin)
{
    char config[1024];
    *m = (Model){ .drawn = (uint32_t)version + 1, .grouped = version == 2 };
    add_llama_header(m, version, shared);
    if (version == 0)
        add_tensor(m, "model.embed_tokens.weight", VOCAB, WIDTH, SAME);
    add_layers(m, L "input_layernorm.weight", WIDTH, 0, SAME);
    if (version == 0)
        add_attention(m);
    add_layers(m, L "post_attention_layernorm.weight", WIDTH, 0, SAME);
    if (version == 0)
        add_mlp(m);
    add_tensor(m, "model.norm.weight", WIDTH, 0, SAME);
    for (int i = 0; version == 0 && i < 2 * CONTEXT * HEAD / 2; i++)
        add_float(m, &m->bin, 7);
    if (version > 0) {
        add_tensor(m, "model.embed_tokens.weight", VOCAB, WIDTH, SAME);
        add_attention(m);
        add_mlp(m);
    }
    if (!shared)
        add_tensor(m, "lm_head.weight", VOCAB, WIDTH, SAME);
    snprintf(config, sizeof config, "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": %d, "
             "\"intermediate_size\": %d, \"num_hidden_layers\": %d, \"num_attention_heads\": %d, "
             "\"num_key_value_heads\": %d, \"max_position_embeddings\": %d, \"rms_norm_eps\": 1e-5, "
             "\"tie_word_embeddings\": %s}", WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS, CONTEXT,
             shared ? "true" : "false");
    save(m, folder, bin, config);
}

/* ---- an llm.c file ----------------------------------------------------------------------------- */

static void make_gpt2(Model *m, bool bf16, const char *folder, const char *bin)
{
    char config[512];
    const int32_t numbers[] = { 20240326, bf16 ? 5 : 3, CONTEXT, VOCAB, LAYERS, HEADS, WIDTH, TABLE };
    *m = (Model){ .drawn = 9, .bf16 = bf16 };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        add_i32(&m->bin, numbers[i]);
    while (m->bin.len < 1024)
        add_i32(&m->bin, 0);
    add_tensor(m, "wte.weight", VOCAB, WIDTH, SAME);
    for (int i = VOCAB * WIDTH; i < TABLE * WIDTH; i++)
        add_float(m, &m->bin, 7);
    add_tensor(m, "wpe.weight", CONTEXT, WIDTH, SAME);
    add_layers(m, "h.#.ln_1.weight", WIDTH, 0, SAME);
    add_layers(m, "h.#.ln_1.bias", WIDTH, 0, SAME);
    add_layers(m, "h.#.attn.c_attn.weight", 3 * WIDTH, WIDTH, TURNED);
    add_layers(m, "h.#.attn.c_attn.bias", 3 * WIDTH, 0, SAME);
    add_layers(m, "h.#.attn.c_proj.weight", WIDTH, WIDTH, TURNED);
    add_layers(m, "h.#.attn.c_proj.bias", WIDTH, 0, SAME);
    add_layers(m, "h.#.ln_2.weight", WIDTH, 0, SAME);
    add_layers(m, "h.#.ln_2.bias", WIDTH, 0, SAME);
    add_layers(m, "h.#.mlp.c_fc.weight", 4 * WIDTH, WIDTH, TURNED);
    add_layers(m, "h.#.mlp.c_fc.bias", 4 * WIDTH, 0, SAME);
    add_layers(m, "h.#.mlp.c_proj.weight", WIDTH, 4 * WIDTH, TURNED);
    add_layers(m, "h.#.mlp.c_proj.bias", WIDTH, 0, SAME);
    add_tensor(m, "ln_f.weight", WIDTH, 0, SAME);
    add_tensor(m, "ln_f.bias", WIDTH, 0, SAME);
    snprintf(config, sizeof config, "{\"architectures\": [\"GPT2LMHeadModel\"], \"n_embd\": %d, \"n_layer\": %d, "
             "\"n_head\": %d, \"n_positions\": %d, \"layer_norm_epsilon\": 1e-5, "
             "\"activation_function\": \"gelu_new\"}", WIDTH, LAYERS, HEADS, CONTEXT);
    save(m, folder, bin, config);
}

/* ---- both run ---------------------------------------------------------------------------------- */

static void logits_of(const char *name, float out[CONTEXT * VOCAB])
{
    char source[FAMILY_PATH], dir[FAMILY_PATH], imported[64], path[FAMILY_PATH];
    ImportResult r;
    Buf faults = { 0 };
    Plan plan;
    Operand o;
    Error err;
    snprintf(imported, sizeof imported, "%s.imported", name);
    family_path(source, family_root, name);
    family_path(dir, family_root, imported);
    if (!import_model(source, dir, &(ImportOptions){ 0 }, &r, &faults, &err))
        fail_msg("%s\n%s", err.text, faults.len ? faults.data : "");
    assert_int_equal(r.context, CONTEXT);
    family_path(path, dir, "model.smp");
    assert_true(plan_open(path, &plan, &err));
    Session *s = family_score(&plan, dir, 1, CONTEXT);
    int32_t *ids = session_storage_named(s, "tokens");
    for (int i = 0; i < CONTEXT; i++)
        ids[i] = (7 * i * i + 3) % VOCAB;
    session_run(s, PLAN_score);
    assert_true(session_output(s, PLAN_score, "logits", &o));
    for (int t = 0; t < CONTEXT; t++)
        for (int v = 0; v < VOCAB; v++)
            out[t * VOCAB + v] = ((const float *)o.data)[t * o.stride[1] + v * o.stride[2]];
    session_close(s);
    plan_close(&plan);
    buf_free(&faults);
}

static void check_same(const char *folder, const char *bin, double bound)
{
    static float want[CONTEXT * VOCAB], got[CONTEXT * VOCAB];
    double largest = 0, worst = 0;
    logits_of(folder, want);
    logits_of(bin, got);
    for (int i = 0; i < CONTEXT * VOCAB; i++) {
        largest = fmax(largest, fabs((double)want[i]));
        worst = fmax(worst, isnan(got[i]) ? INFINITY : fabs((double)want[i] - (double)got[i]));
    }
    if (!(worst <= bound * largest) || !(largest > 0.1))
        fail_msg("%s: logits are off by %.3g, largest %.3g", bin, worst, largest);
}

static void llama_files(void **state)
{
    (void)state;
    for (int version = 0; version < 3; version++)
        for (int shared = 0; shared < 2; shared++) {
            char folder[64], bin[64];
            Model m;
            snprintf(folder, sizeof folder, "llama%d%d", version, shared);
            snprintf(bin, sizeof bin, "llama%d%d.bin", version, shared);
            make_llama(&m, version, shared, folder, bin);
            check_same(folder, bin, tolerance);
            free_model(&m);
        }
}

/* Matrices of bf16 stay bf16 in the plan, and their products round activations to it as well: eight bits
 * where f32 has 24. */
static void gpt2_files(void **state)
{
    Model m;
    (void)state;
    make_gpt2(&m, false, "gpt2", "gpt2.bin");
    check_same("gpt2", "gpt2.bin", tolerance);
    free_model(&m);
    make_gpt2(&m, true, "gpt2_bf16", "gpt2_bf16.bin");
    check_same("gpt2_bf16", "gpt2_bf16.bin", 0x1p-6);
    free_model(&m);
}

/* ---- the programs that the files are of ---------------------------------------------------------- */

/* Their own logits of the same files, by tests/reference/make_bin.py. */
static void check_program(const json_t *reference, const char *name, double bound)
{
    static float got[CONTEXT * VOCAB];
    char bin[64];
    const json_t *rows = json_object_get(reference, "rows"), *logits = json_object_get(reference, name);
    double largest = 0, worst = 0;
    snprintf(bin, sizeof bin, "%s.bin", name);
    logits_of(bin, got);
    for (size_t r = 0; r < json_array_size(rows); r++)
        for (size_t v = 0; v < VOCAB; v++) {
            const json_int_t t = json_integer_value(json_array_get(rows, r));
            const double want = json_number_value(json_array_get(json_array_get(logits, r), v));
            largest = fmax(largest, fabs(want));
            worst = fmax(worst, fabs(want - (double)got[t * VOCAB + (json_int_t)v]));
        }
    if (!(worst <= bound * largest) || !(largest > 0.1))
        fail_msg("%s: logits are off by %.3g, largest %.3g", bin, worst, largest);
    print_message("%s: off by %.2g of the largest\n", bin, worst / largest);
}

/* Where weights are bytes llama2.c rounds what meets them to seven bits and a sign as well; here the weights
 * become floats. */
static void own_programs(void **state)
{
    static const char *const llamas[] = { "llama00", "llama01", "llama20", "llama21" };
    json_t *reference = json_load_file(SOURCE_DIR "/tests/reference/bin.json", 0, NULL);
    Model m;
    (void)state;
    assert_non_null(reference);
    for (size_t i = 0; i < sizeof llamas / sizeof *llamas; i++) {
        char bin[64];
        const int version = llamas[i][5] - '0';
        snprintf(bin, sizeof bin, "%s.bin", llamas[i]);
        make_llama(&m, version, llamas[i][6] == '1', llamas[i], bin);
        check_program(reference, llamas[i], version == 0 ? tolerance : 0x1p-5);
        free_model(&m);
    }
    make_gpt2(&m, false, "gpt2", "gpt2.bin");
    check_program(reference, "gpt2", tolerance);
    free_model(&m);
    json_decref(reference);
}

/* ---- what is refused --------------------------------------------------------------------------- */

static void refuse(const Model *m, size_t n, const char *why)
{
    BinFile b;
    Error err = { "" };
    uint8_t *copy = malloc(n + 1);      /* a read behind its end is seen */
    assert_non_null(copy);
    memcpy(copy, m->bin.data, n);
    if (bin_file_parse(copy, n, &b, &err))
        fail_msg("accepted; expected \"%s\"", why);
    if (!strstr(err.text, why))
        fail_msg("expected \"%s\" in: %s", why, err.text);
    bin_file_close(&b);
    free(copy);
}

static void refuse_number(Model *m, size_t at, int32_t v, const char *why)
{
    int32_t was;
    memcpy(&was, m->bin.data + at, sizeof was);
    memcpy(m->bin.data + at, &v, sizeof v);
    refuse(m, m->bin.len, why);
    memcpy(m->bin.data + at, &was, sizeof was);
}

static void bad_files(void **state)
{
    Model m;
    (void)state;
    make_llama(&m, 2, true, "bad", "bad.bin");
    refuse(&m, 0, "ends within its header of 28");
    refuse(&m, 255, "ends within its header of 256");
    refuse(&m, m.bin.len - 1, "the header asks for");
    refuse_number(&m, 4, 3, "version 3 of llama2.c");
    refuse_number(&m, 8, 0, "the width is 0");
    refuse_number(&m, 12, -1, "the hidden width is -1");
    refuse_number(&m, 16, 1001, "number of layers is 1001");
    refuse_number(&m, 16, 1000, "the header asks for");
    refuse_number(&m, 20, 5, "5 heads do not divide");
    refuse_number(&m, 24, 3, "3 key/value heads");
    refuse_number(&m, 28, INT32_MIN, "the vocabulary is -2147483648");
    refuse_number(&m, 32, INT32_MAX, "the context is");
    refuse_number(&m, 37, 0, "the size of a group is 0");
    refuse_number(&m, 37, 7, "are no groups of 7");
    m.bin.data[36] = 2;
    refuse(&m, m.bin.len, "byte 36");
    free_model(&m);
    make_gpt2(&m, false, "bad", "bad.bin");
    refuse(&m, 1023, "ends within its header of 1024");
    refuse_number(&m, 4, 4, "version 4 of llm.c");
    refuse_number(&m, 28, VOCAB - 1, "rows for a vocabulary");
    refuse_number(&m, 24, 1 << 23, "the hidden width");
    free_model(&m);
    make_llama(&m, 0, true, "bad", "bad.bin");
    refuse_number(&m, 8, 1000, "the header asks for");
    free_model(&m);
}

/* A header that asks for more than there is costs no memory: four times the header at most. */
static void rejecting_is_cheap(void **state)
{
    BinFile b;
    Error err;
    Model m;
    const int32_t layers = 1000;
    (void)state;
    make_llama(&m, 1, true, "cheap", "cheap.bin");
    memcpy(m.bin.data + 16, &layers, sizeof layers);
    const uint64_t before = heap_bytes();
    assert_false(bin_file_parse((const uint8_t *)m.bin.data, m.bin.len, &b, &err));
    bin_file_close(&b);
    assert_true(!heap_is_counted() || heap_bytes() - before <= 4 * 256);
    free_model(&m);
}

/* A version 0 file is known by its size alone. */
static void kinds(void **state)
{
    char path[FAMILY_PATH];
    Error err;
    Model m;
    (void)state;
    make_llama(&m, 0, false, "kind", "kind.bin");
    family_path(path, family_root, "kind.bin");
    assert_int_equal(bin_file_kind(path), BIN_LLAMA_0);
    assert_true(file_replace(path, m.bin.data, m.bin.len - 4, &err));
    assert_int_equal(bin_file_kind(path), BIN_NONE);
    assert_true(file_replace(path, "{}", 2, &err));
    assert_int_equal(bin_file_kind(path), BIN_NONE);
    assert_int_equal(bin_file_kind("/nowhere"), BIN_NONE);
    free_model(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_files), cmocka_unit_test(gpt2_files),
        cmocka_unit_test(own_programs), cmocka_unit_test(bad_files), cmocka_unit_test(rejecting_is_cheap),
        cmocka_unit_test(kinds),
    };
    return cmocka_run_group_tests(tests, family_begin, family_end);
}
