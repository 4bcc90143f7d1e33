/* The least an input can do in Fluent Bit: on its first tick it appends a file of
 * finished events, whole events of at most 1 MB at a time, and nothing after that. The
 * file is a sequence of {uint32 length, little endian; events}. What a process with
 * this input needs at its peak is what Fluent Bit itself needs to keep the same events.
 * Structures: see plugin/boundary.h. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct registration {
    int type, proxy, flags;
    char *name, *description;
};

struct api {
    const char *(*output_get_property)(const char *, void *);
    const char *(*input_get_property)(const char *, void *);
};

struct context {
    int coll_fd;
    void *remote_context;
    void *proxy;
};

struct input {
    char *name;
    struct api *api;
    void *instance;
    struct context *context;
};

struct job {
    void *instance;
    FILE *events;
};

int flb_input_log_append(void *instance, const char *tag, size_t tag_len, const void *buf, size_t size);

int FLBPluginRegister(struct registration *r)
{
    r->type = 1;  /* input */
    r->proxy = 11; /* golang */
    r->name = strdup("bare");
    r->description = strdup("appends a file of events");
    return 0;
}

void FLBPluginUnregister(struct registration *r)
{
    free(r->name);
    free(r->description);
}

int FLBPluginInit(struct input *in)
{
    struct job *j = malloc(sizeof *j);
    const char *path = in->api->input_get_property("events", in->instance);

    j->instance = in->instance;
    j->events = path ? fopen(path, "rb") : NULL;
    in->context->remote_context = j;
    return j->events ? 1 : 0;
}

int FLBPluginInputCallbackCtx(void *context, void **data, size_t *size)
{
    struct job *j = context;
    static char buf[4 << 20];
    uint32_t n;

    *data = NULL;
    *size = 0;
    while (j->events && fread(&n, sizeof n, 1, j->events) == 1 && n <= sizeof buf && fread(buf, 1, n, j->events) == n) {
        flb_input_log_append(j->instance, NULL, 0, buf, n);
    }
    if (j->events) {
        fclose(j->events);
        j->events = NULL;
    }
    return 1;
}

int FLBPluginInputCallback(void **data, size_t *size)
{
    *data = NULL;
    *size = 0;
    return 1;
}

int FLBPluginInputCleanupCallbackCtx(void *context, void *data) { (void) context; (void) data; return 1; }
int FLBPluginInputCleanupCallback(void *data) { (void) data; return 1; }
void FLBPluginInputPause(void) {}
void FLBPluginInputResume(void) {}
int FLBPluginExit(void) { return 1; }
