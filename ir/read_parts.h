/* The parts of the reader of graph text, for one another: read.c knows the lines, read_node.c those of nodes.
 *
 * All of them return false when the text is wrong, with the message in the scan. */
#ifndef IR_READ_PARTS_H
#define IR_READ_PARTS_H

#include "ir/graph.h"
#include "ir/scan.h"

typedef struct NamedStorage {
    const char *name;
    StorageId id;
} NamedStorage;

typedef struct Reader {
    Scan scan;
    Graph *g;
    uint32_t cap_files;
    NamedStorage *by_name;              /* sorted, once all are there */
    bool indexed;
} Reader;

/* Before the first line that may name a storage: none comes behind it. */
bool read_index(Reader *r);
/* A storage that a line above has declared. */
bool read_storage_name(Reader *r, StorageId *out);
bool read_bool(Reader *r, int64_t *out);
bool read_dtype(Reader *r, int64_t *out);
bool need_key(Reader *r, const char *key);

/* A value of a node above. */
bool read_value(Reader *r, ValueId *out);
bool read_node(Reader *r);

#endif
