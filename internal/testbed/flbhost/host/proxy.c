/* Loading and unloading the .so (src/flb_plugin_proxy.c, src/proxy/go/go.c). */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

/* dlsym gives data pointers; the union is the conversion to a function
 * pointer that ISO C allows. */
#define SYM(field, name)                              \
    do {                                              \
        union { void *p; __typeof__(field) f; } u_;   \
        u_.p = dlsym(lib->proxy.dso, name);           \
        (field) = u_.f;                               \
    } while (0)

static void called(const char *fn, int arg, int ret)
{
    struct line l;
    line_begin(&l, "call");
    line_str(&l, "fn", fn);
    line_int(&l, "ins", -1);
    line_int(&l, "arg", arg);
    line_int(&l, "ret", ret);
    line_send(&l);
}

int load(struct loaded *lib, const char *path, int hot)
{
    int (*pre_register)(int);
    int (*reg)(struct plugin_def *);
    struct go_plugin *plug;
    struct plugin_def *def;
    int ret;

    memset(lib, 0, sizeof(*lib));
    lib->proxy.dso = dlopen(path, RTLD_LAZY);
    if (!lib->proxy.dso) {
        core_log(LEVEL_ERROR, "[proxy] error opening plugin %s: '%s'", path, dlerror());
        return -1;
    }
    def = calloc(1, sizeof(*def));
    SYM(pre_register, "FLBPluginPreRegister");
    SYM(reg, "FLBPluginRegister");
    if (pre_register) {
        ret = pre_register(hot);
        called("PreRegister", hot, ret);
        if (ret == -1) {
            free(def);
            return -1;
        }
    }
    if (!reg) {
        violation("FLBPluginRegister is not exported");
        free(def);
        return -1;
    }
    ret = reg(def);
    called("Register", 0, ret);
    if (ret == -1) {
        free(def);
        return -1;
    }
    if (def->type != FLB_PROXY_INPUT || def->proxy != FLB_PROXY_GOLANG || !def->name) {
        violation("Register set type %d, proxy %d, name %s", def->type, def->proxy, def->name ? def->name : "NULL");
        return -1;
    }
    lib->proxy.def = def;
    lib->proxy.api = api_create();
    lib->proxy.data = plug = trap_alloc("the argument of FLBPluginInit");
    plug->name = strdup(def->name);
    SYM(plug->cb_init, "FLBPluginInit");
    SYM(plug->cb_collect, "FLBPluginInputCallback");
    SYM(plug->cb_cleanup, "FLBPluginInputCleanupCallback");
    if (!settings.no_ctx) {
        SYM(plug->cb_collect_ctx, "FLBPluginInputCallbackCtx");
        SYM(plug->cb_cleanup_ctx, "FLBPluginInputCleanupCallbackCtx");
    }
    SYM(plug->cb_exit, "FLBPluginExit");
    SYM(lib->pre_run, "FLBPluginInputPreRun");
    SYM(lib->pause, "FLBPluginInputPause");
    SYM(lib->resume, "FLBPluginInputResume");
    SYM(lib->pre_exit, "FLBPluginInputPreExit");
    SYM(lib->unregister, "FLBPluginUnregister");
    lib->exit = plug->cb_exit;
    if (!plug->cb_init || (!plug->cb_collect && !plug->cb_collect_ctx)) {
        violation("FLBPluginInit or FLBPluginInputCallback is not exported");
        return -1;
    }
    return 0;
}

void unload(struct loaded *lib)
{
    api_poison(lib->proxy.api);
    if (lib->unregister) {
        lib->unregister(lib->proxy.def);
        called("Unregister", 0, 0);
    }
    trap_close(lib->proxy.data, "the argument of FLBPluginInit after Unregister");
    free(lib->proxy.def);
    dlclose(lib->proxy.dso);
}
