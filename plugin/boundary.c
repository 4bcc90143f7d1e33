#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

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
