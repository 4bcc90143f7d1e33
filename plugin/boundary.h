/* The structures that Fluent Bit hands to a Go input, as they are in memory (64 bit),
 * and the few C calls that cgo cannot make. Sources:
 * include/fluent-bit/flb_plugin_proxy.h, flb_api.h and src/proxy/go/go.h of Fluent Bit
 * v5.1.1. fluent-bit-go declares an input's context as {void *remote_context;}: writing
 * through that would overwrite coll_fd. */
#ifndef DEFENDER_BOUNDARY_H
#define DEFENDER_BOUNDARY_H

#include <stddef.h>
#include <stdint.h>

struct dfn_api {
    const char *(*output_get_property)(const char *, void *);
    const char *(*input_get_property)(const char *, void *);
    void *output_get_cmt_instance;
    void *input_get_cmt_instance;
    void (*log_print)(int, const char *, int, const char *, ...);
    int (*input_log_check)(void *, int);
};

struct dfn_context {
    int coll_fd;
    void *remote_context;
    void *proxy;
};

/* The argument of FLBPluginInit: shared by all instances and overwritten for each, so
 * nothing of it is kept but copies. */
struct dfn_input {
    char *name;
    struct dfn_api *api;
    void *i_ins;
    struct dfn_context *context;
};

typedef int (*dfn_append_fn)(void *ins, const char *tag, size_t tag_len, const void *buf, size_t size);

const char *dfn_property(struct dfn_api *api, void *i_ins, const char *key);
int dfn_log_check(struct dfn_api *api, void *i_ins, int level);
void dfn_log(struct dfn_api *api, int level, const char *text);
void dfn_set_handle(struct dfn_context *context, uintptr_t handle);
dfn_append_fn dfn_find_append(void);
int dfn_append(dfn_append_fn append, void *i_ins, const char *tag, size_t tag_len, const void *buf, size_t size);
/* Counts a registration that is about to begin, and refuses a second one of the same
 * configuration: core would start every [INPUT] twice and crash. Returns 0 if the
 * registration may go on, and -1 if it is refused; then first is the file that is
 * already registered, and second this one. */
int dfn_admit(int hot_reloading, char *first, char *second, size_t size);
/* Prints a warning while there is no instance yet that could log it. */
void dfn_warn(const char *text);
/* A registration has ended, or an instance has started: what is registered now belongs
 * to the running configuration. */
void dfn_ended(void);
void dfn_started(void);
/* Writes the name of the calling thread to name, which has at least 16 bytes. */
void dfn_thread_name(char *name, size_t size);
/* Returns a number that identifies the calling thread. */
uint64_t dfn_thread(void);

#endif
