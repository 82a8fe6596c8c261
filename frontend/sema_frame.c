/* Frames: the names of one run of a body, kept for the next run once it is over. */
#include "frontend/sema.h"

#include "base/check.h"

Frame *frame_push(Sema *s)
{
    Frame *f = s->free_frames;
    if (f) {
        s->free_frames = f->caller;
        NameMap names = f->names;
        name_map_clear(&names);
        *f = (Frame){ .names = names, .locals = f->locals, .cap_locals = f->cap_locals };
    } else {
        f = arena_alloc(s->arena, sizeof *f);
    }
    f->caller = s->frame;
    f->path = s->frame ? s->frame->path : "";
    s->frame = f;
    return f;
}

void frame_pop(Sema *s)
{
    Frame *f = s->frame;
    CHECK(f, "no frame to pop");
    s->frame = f->caller;
    f->caller = s->free_frames;
    s->free_frames = f;
}

Val *frame_find(Frame *f, const char *name)
{
    for (; f; f = f->parent) {
        uint32_t i;
        if (name_map_get(&f->names, name, &i))
            return &f->locals[i].value;
    }
    return NULL;
}

void frame_set(Sema *s, Frame *f, const char *name, Val v)
{
    uint32_t i;
    if (name_map_get(&f->names, name, &i)) {
        f->locals[i].value = v;
        return;
    }
    Local local = { name, v };
    name_map_set(&f->names, s->arena, name, f->n_locals);
    ARENA_PUSH(s->arena, f->locals, f->n_locals, f->cap_locals, local);
}
