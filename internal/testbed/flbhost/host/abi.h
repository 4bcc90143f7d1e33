/* The structures Fluent Bit v5.1.1 shares with a Go input plugin. They
 * are part of the binary interface, so the offsets are checked here:
 * include/fluent-bit/flb_plugin_proxy.h, flb_api.h and
 * src/proxy/go/go.h of that version. */
#ifndef HOST_ABI_H
#define HOST_ABI_H

#include <stddef.h>

#define FLB_PROXY_INPUT 1  /* plugin_def.type */
#define FLB_PROXY_GOLANG 11 /* plugin_def.proxy */

struct plugin_def {
    int type;
    int proxy;
    int flags;
    char *name;
    char *description;
    int event_type;
    void *config_map;
};

struct api_table {
    void *output_get_property;
    const char *(*input_get_property)(const char *key, void *i_ins);
    void *output_get_cmt_instance;
    void *(*input_get_cmt_instance)(void *i_ins);
    void (*log_print)(int level, const char *file, int line, const char *fmt, ...);
    int (*input_log_check)(void *i_ins, int level);
    void *output_log_check;
    void *custom_get_property;
    void *custom_log_check;
};

/* One per .so and configuration context, shared by all its instances. */
struct proxy {
    struct plugin_def *def;
    struct api_table *api;
    void *instance; /* the instance initialised last: the root of the pause fault */
    void *dso;
    void *data; /* struct go_plugin */
};

/* One per instance. remote_context is not the first field. */
struct input_ctx {
    int coll_fd;
    void *remote_context;
    struct proxy *proxy;
};

/* The argument of FLBPluginInit: the same pointer for every instance of a context. */
struct go_plugin {
    char *name;
    void *api;
    void *i_ins;
    void *context;
    int (*cb_init)(struct go_plugin *);
    int (*cb_collect)(void **data, size_t *len);
    int (*cb_collect_ctx)(void *ctx, void **data, size_t *len);
    int (*cb_cleanup)(void *data);
    int (*cb_cleanup_ctx)(void *ctx, void *data);
    int (*cb_exit)(void);
};

_Static_assert(sizeof(struct plugin_def) == 48, "flb_plugin_proxy_def");
_Static_assert(offsetof(struct plugin_def, name) == 16, "def.name");
_Static_assert(offsetof(struct plugin_def, event_type) == 32, "def.event_type");
_Static_assert(offsetof(struct plugin_def, config_map) == 40, "def.config_map");
_Static_assert(sizeof(struct api_table) == 72, "flb_api");
_Static_assert(offsetof(struct api_table, input_get_property) == 8, "api.input_get_property");
_Static_assert(offsetof(struct api_table, log_print) == 32, "api.log_print");
_Static_assert(offsetof(struct api_table, input_log_check) == 40, "api.input_log_check");
_Static_assert(sizeof(struct input_ctx) == 24, "flb_plugin_input_proxy_context");
_Static_assert(offsetof(struct input_ctx, remote_context) == 8, "context.remote_context");
_Static_assert(sizeof(struct go_plugin) == 80, "flbgo_input_plugin");
_Static_assert(offsetof(struct go_plugin, i_ins) == 16, "plugin.i_ins");
_Static_assert(offsetof(struct go_plugin, cb_init) == 32, "plugin.cb_init");

#endif
