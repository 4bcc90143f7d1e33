/* The parts of Fluent Bit's plugin interface that the probe uses, written down apart
 * from the host's own: a wrong offset in one of the two shows. */
#ifndef PROBE_ABI_H
#define PROBE_ABI_H

struct def {
    int type, proxy, flags;
    char *name, *description;
};

struct api {
    void *output_get_property;
    const char *(*get_property)(const char *key, void *ins);
    void *output_get_cmt_instance;
    void *(*get_cmt)(void *ins);
    void (*log_print)(int level, const char *file, int line, const char *fmt, ...);
    int (*log_check)(void *ins, int level);
};

struct context {
    int coll_fd;
    void *remote;
    void *proxy;
};

struct plugin {
    char *name;
    struct api *api;
    void *ins;
    struct context *context;
};

#endif
