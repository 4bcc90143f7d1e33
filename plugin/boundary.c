#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "boundary.h"

const char *dfn_property(struct dfn_api *api, void *i_ins, const char *key)
{
    return api->input_get_property(key, i_ins);
}

int dfn_log_check(struct dfn_api *api, void *i_ins, int level)
{
    return api->input_log_check(i_ins, level);
}

void dfn_log(struct dfn_api *api, int level, const char *text)
{
    api->log_print(level, NULL, 0, "%s", text);
}

void dfn_set_handle(struct dfn_context *context, uintptr_t handle)
{
    context->remote_context = (void *) handle;
}

dfn_append_fn dfn_find_append(void)
{
    return (dfn_append_fn) dlsym(RTLD_DEFAULT, "flb_input_log_append");
}

int dfn_append(dfn_append_fn append, void *i_ins, const char *tag, size_t tag_len, const void *buf, size_t size)
{
    return append(i_ins, tag, tag_len, buf, size);
}

void dfn_thread_name(char *name, size_t size)
{
    if (pthread_getname_np(pthread_self(), name, size) != 0) {
        name[0] = '\0';
    }
}

uint64_t dfn_thread(void)
{
    return (uint64_t) pthread_self();
}

/* What one copy of this file has registered. Every copy of the file in the process has
 * a table of its own, which the others find by its name; so its layout never changes.
 * All of it is touched on Fluent Bit's main thread only, except that dfn_started also
 * runs on input threads, while the main thread waits for them. */
struct dfn_loads {
    int running;      /* registrations of the configuration that runs */
    int fresh;        /* registrations of a configuration that is being read */
    time_t fresh_at;  /* when the newest of those began */
};

__attribute__((visibility("default"))) struct dfn_loads dfn_loads_v1;

/* A configuration is read within this many seconds; a registration that is older
 * belongs to the running one. */
#define DFN_READ_TIME 10

/* The names of all loaded objects. They are collected before any of them is opened,
 * since dl_iterate_phdr holds a lock. */
struct dfn_names {
    char **list;
    size_t count;
};

static int dfn_note(struct dl_phdr_info *info, size_t size, void *data)
{
    struct dfn_names *names = data;
    char **longer;
    char *name;

    (void) size;
    if (info->dlpi_name == NULL || info->dlpi_name[0] == '\0') {
        return 0;
    }
    name = strdup(info->dlpi_name);
    longer = realloc(names->list, (names->count + 1) * sizeof(char *));
    if (longer != NULL) {
        names->list = longer;
    }
    if (longer == NULL || name == NULL) {
        free(name);
        return 0;
    }
    names->list[names->count++] = name;
    return 0;
}

/* Reports whether a loaded object is a copy of this file that the configuration
 * being read has registered. */
static int dfn_registered(const char *name, int hot_reloading)
{
    struct dfn_loads *loads;
    void *object = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);

    if (object == NULL) {
        return 0;
    }
    loads = dlsym(object, "dfn_loads_v1");
    dlclose(object);
    if (loads == NULL) {
        return 0;
    }
    return (hot_reloading == 0 && loads->running > 0) ||
           (loads->fresh > 0 && time(NULL) - loads->fresh_at < DFN_READ_TIME);
}

void dfn_warn(const char *text)
{
    void (*print)(int, const char *, int, const char *, ...) = dlsym(RTLD_DEFAULT, "flb_log_print");

    if (print != NULL) {
        print(2, NULL, 0, "%s", text);
    }
    else {
        fprintf(stderr, "%s\n", text);
    }
}

int dfn_admit(int hot_reloading, char *first, char *second, size_t size)
{
    struct dfn_names names = {NULL, 0};
    Dl_info own;
    size_t i;
    int found = 0;

    dl_iterate_phdr(dfn_note, &names);
    for (i = 0; i < names.count; i++) {
        if (!found && dfn_registered(names.list[i], hot_reloading)) {
            snprintf(first, size, "%s", names.list[i]);
            found = 1;
        }
        free(names.list[i]);
    }
    free(names.list);

    if (found) {
        snprintf(second, size, "%s", dladdr(&dfn_loads_v1, &own) != 0 ? own.dli_fname : first);
        return -1;
    }

    if (hot_reloading == 0) {
        dfn_loads_v1.running++;
    }
    else {
        dfn_started();
        dfn_loads_v1.fresh = 1;
        dfn_loads_v1.fresh_at = time(NULL);
    }
    return 0;
}

void dfn_started(void)
{
    dfn_loads_v1.running += dfn_loads_v1.fresh;
    dfn_loads_v1.fresh = 0;
}

void dfn_ended(void)
{
    dfn_started();
    if (dfn_loads_v1.running > 0) {
        dfn_loads_v1.running--;
    }
}
