/* Which file a user means by the folder of a run or of a published model. */
#include "runtime/weights.h"

#include "base/file.h"
#include "runtime/hub/weights_index.h"

#include <string.h>
#include <sys/stat.h>

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool weights_path(const char *where, char out[CHECKPOINT_PATH], Error *err)
{
    if (is_directory(where) && checkpoint_file(where, WEIGHTS_INDEX, out, NULL) && file_exists(out))
        return true;
    if (is_directory(where))
        return checkpoint_file(where, "model.safetensors", out, err);
    if (strlen(where) >= CHECKPOINT_PATH)
        return error_set(err, "%.200s...: the path is too long", where);
    strcpy(out, where);
    return true;
}

bool weights_beside(const char *where, const char *name, char out[CHECKPOINT_PATH])
{
    char dir[CHECKPOINT_PATH];
    if (strlen(where) >= sizeof dir)
        return false;
    strcpy(dir, where);
    char *slash = strrchr(dir, '/');
    if (!is_directory(where))
        strcpy(slash ? slash + 1 : dir, slash ? "" : ".");
    return checkpoint_file(dir, name, out, NULL) && file_exists(out);
}
