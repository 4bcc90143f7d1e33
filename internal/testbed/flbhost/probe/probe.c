/* A Fluent Bit input plugin for the tests of the conformance host: it emits numbered
 * events, notes each callback with its thread, and misbehaves on request. Built as a
 * shared object; the interface is that of a Go input plugin.
 *
 * Properties: instance_id; count (events per tick); limit (stop after so many events);
 * mode (return, append); append_tag (tag for mode append); appends (how many a tick in
 * that mode); state (file with the number of the next event: what was delivered is not
 * emitted again); trace (file with a line per callback) and trace_ticks (how many
 * collect callbacks it shows); fault (see the code). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "abi.h"

struct probe {
    struct api *api;
    void *ins;
    struct context *context;
    struct plugin *plugin; /* must not be used after Init: fault keep_ins */
    char id[64], mode[16], fault[32], state[512], trace[512], append_tag[64];
    long count, limit, next, given, trace_ticks, appends;
    int paused, ticks;
    long tid;
};

#define MAX 64
static struct probe *probes[MAX];
static int n_probes;

typedef int (*append_fn)(void *ins, const char *tag, size_t tag_len, const void *buf, size_t size);

static void get(struct probe *p, const char *key, char *out, size_t size, const char *def)
{
    const char *v = p->api->get_property(key, p->ins);
    snprintf(out, size, "%s", v ? v : def);
}

static long get_long(struct probe *p, const char *key, long def)
{
    const char *v = p->api->get_property(key, p->ins);
    return v && *v ? atol(v) : def;
}

static void trace_to(const char *path, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void trace_to(const char *path, const char *fmt, ...)
{
    char line[256], name[16] = "";
    va_list args;
    int fd, n;
    if (!*path) {
        return;
    }
    prctl(PR_GET_NAME, name);
    va_start(args, fmt);
    n = vsnprintf(line, sizeof(line) - 32, fmt, args);
    va_end(args);
    n += snprintf(line + n, 32, " %s\n", name);
    fd = open(path, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, line, (size_t)n) != n) {
        abort();
    }
    close(fd);
}

static int is_fault(struct probe *p, const char *name) { return strcmp(p->fault, name) == 0; }

static long load_state(struct probe *p)
{
    char text[32] = "";
    int fd = *p->state ? open(p->state, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return 0;
    }
    if (read(fd, text, sizeof(text) - 1) < 0) {
        text[0] = 0;
    }
    close(fd);
    return atol(text);
}

static void save_state(struct probe *p, long n)
{
    char text[32], tmp[600];
    int fd, len = snprintf(text, sizeof(text), "%ld", n);
    if (!*p->state) {
        return;
    }
    snprintf(tmp, sizeof(tmp), "%s.new", p->state);
    fd = open(tmp, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, text, (size_t)len) != len || close(fd) < 0 || rename(tmp, p->state) < 0) {
        abort();
    }
}

/* [[EventTime, {}], {"id": "<instance>-<n>", "n": n}] */
static size_t encode(struct probe *p, unsigned char *out, long n)
{
    unsigned char *w = out;
    char id[96];
    int len = snprintf(id, sizeof(id), "%s-%ld", p->id, n);
    time_t now = time(NULL);
    static const unsigned char head[] = {0x92, 0x92, 0xd7, 0x00};
    memcpy(w, head, 4);
    w += 4;
    for (int i = 3; i >= 0; i--) {
        *w++ = (unsigned char)(now >> (8 * i));
    }
    memset(w, 0, 4);
    w += 4;
    *w++ = 0x80; /* {} */
    *w++ = 0x82;
    memcpy(w, "\xa2id\xd9", 4);
    w += 4;
    *w++ = (unsigned char)len;
    memcpy(w, id, (size_t)len);
    w += len;
    memcpy(w, "\xa1n\xce", 3);
    w += 3;
    for (int i = 3; i >= 0; i--) {
        *w++ = (unsigned char)(n >> (8 * i));
    }
    return (size_t)(w - out);
}

int FLBPluginPreRegister(int hot)
{
    (void)hot;
    return 0;
}

int FLBPluginRegister(struct def *def)
{
    const char *refuse = getenv("PROBE_REFUSE_REGISTER");
    def->type = 1;
    def->proxy = 11;
    def->flags = 0;
    def->name = strdup("probe");
    def->description = strdup("numbered events");
    return refuse ? -1 : 0;
}

/* Where a callback is written down that no instance on this thread is left for. */
static char last_trace[512];

int FLBPluginInit(struct plugin *plugin)
{
    struct probe *p = calloc(1, sizeof(*p));
    p->api = plugin->api;
    p->ins = plugin->ins;
    p->context = plugin->context;
    p->plugin = plugin;
    p->tid = syscall(SYS_gettid);
    get(p, "instance_id", p->id, sizeof(p->id), "p");
    get(p, "mode", p->mode, sizeof(p->mode), "return");
    get(p, "fault", p->fault, sizeof(p->fault), "");
    get(p, "state", p->state, sizeof(p->state), "");
    get(p, "trace", p->trace, sizeof(p->trace), "");
    get(p, "append_tag", p->append_tag, sizeof(p->append_tag), "");
    p->count = get_long(p, "count", 3);
    p->limit = get_long(p, "limit", -1);
    p->appends = get_long(p, "appends", 1);
    p->trace_ticks = get_long(p, "trace_ticks", 2);
    p->next = load_state(p);
    trace_to(p->trace, "Init %s", p->id);
    memcpy(last_trace, p->trace, sizeof(last_trace));
    if (p->api->log_check(p->ins, 3)) {
        p->api->log_print(3, __FILE__, __LINE__, "[input:probe:%s] starts at %ld", p->id, p->next);
    }
    if (is_fault(p, "init_fail")) {
        p->api->log_print(1, __FILE__, __LINE__, "%s", "[input:probe] told to fail");
        return 0;
    }
    if (is_fault(p, "overwrite_context")) {
        *(void **)plugin->context = p; /* fluent-bit-go's idea of the layout */
    }
    plugin->context->remote = p;
    if (n_probes < MAX) {
        probes[n_probes++] = p;
    }
    return 1;
}

static struct probe *mine(void)
{
    long tid = syscall(SYS_gettid);
    for (int i = n_probes - 1; i >= 0; i--) {
        if (probes[i] && probes[i]->tid == tid) {
            return probes[i];
        }
    }
    return NULL;
}

static const char *my_trace(void) { return mine() ? mine()->trace : last_trace; }

int FLBPluginInputPreRun(int hot)
{
    trace_to(my_trace(), "PreRun %d", hot);
    return 0;
}

/* Misbehaviour of the callback; returns 1 when it has decided what to return. */
static int misbehave(struct probe *p, void **data, size_t *len, int *ret)
{
    *ret = 1;
    if (is_fault(p, "block")) {
        usleep(120000);
        return 1;
    }
    if (is_fault(p, "minus_one")) {
        *data = malloc(8);
        *len = 8;
        *ret = -1;
        return 1;
    }
    if (is_fault(p, "empty_buffer")) {
        *data = malloc(8);
        *len = 0;
        return 1;
    }
    if (is_fault(p, "bad_msgpack")) {
        *data = malloc(128);
        *len = encode(p, *data, 1);
        memcpy((char *)*data + *len, "\x81\xa1x\x01", 4); /* a bare map */
        *len += 4;
        return 1;
    }
    if (is_fault(p, "keep_ins")) {
        p->api->get_property("x", p->plugin->ins);
    }
    if (is_fault(p, "keep_context")) {
        volatile int *fd = &p->plugin->context->coll_fd;
        *ret = *fd;
    }
    if (is_fault(p, "overwrite_context")) {
        *(void **)p->context = p;
    }
    return 0;
}

static void append_all(struct probe *p, const void *buf, size_t size, long n)
{
    union {
        void *p;
        append_fn f;
    } sym = {dlsym(RTLD_DEFAULT, "flb_input_log_append")};
    const char *tag = *p->append_tag ? p->append_tag : NULL;
    if (!sym.p) {
        p->api->log_print(1, __FILE__, __LINE__, "%s", "[input:probe] no direct append");
        return;
    }
    if (is_fault(p, "foreign_append")) {
        sym.f((char *)p->ins + 8, tag, tag ? strlen(tag) : 0, buf, size);
    }
    if (sym.f(p->ins, tag, tag ? strlen(tag) : 0, buf, size) == 0) {
        p->next += n;
        save_state(p, p->next);
    }
}

/* Encodes the next events. Returns how many; 0 when there are none to emit now. */
static long next_batch(struct probe *p, unsigned char **buf, size_t *size)
{
    long n = p->count;
    if (p->limit >= 0 && p->next + n > p->limit) {
        n = p->limit - p->next;
    }
    if (n <= 0 || (p->paused && !is_fault(p, "ignore_pause"))) {
        return 0;
    }
    *buf = malloc((size_t)n * 160);
    *size = 0;
    for (long i = 0; i < n; i++) {
        *size += encode(p, *buf + *size, p->next + i);
    }
    return n;
}

int FLBPluginInputCallbackCtx(void *remote, void **data, size_t *len)
{
    struct probe *p = remote;
    unsigned char *buf;
    size_t size;
    long n;
    int ret;
    if (p->ticks++ < p->trace_ticks) {
        trace_to(p->trace, "Callback %s", p->id);
    }
    if (misbehave(p, data, len, &ret)) {
        return ret;
    }
    if (strcmp(p->mode, "append") == 0) {
        for (long i = 0; i < p->appends && (n = next_batch(p, &buf, &size)) > 0; i++) {
            append_all(p, buf, size, n);
            free(buf);
        }
        return 1;
    }
    n = next_batch(p, &buf, &size);
    if (n > 0) {
        *data = buf;
        *len = size;
        p->given = n;
    }
    return 1;
}

int FLBPluginInputCallback(void **data, size_t *len) { return FLBPluginInputCallbackCtx(mine(), data, len); }

int FLBPluginInputCleanupCallbackCtx(void *remote, void *data)
{
    struct probe *p = remote;
    if (!is_fault(p, "no_free")) {
        free(data);
    }
    p->next += p->given;
    p->given = 0;
    save_state(p, p->next);
    return 0;
}

int FLBPluginInputCleanupCallback(void *data) { return FLBPluginInputCleanupCallbackCtx(mine(), data); }

/* All instances of this thread: in unthreaded mode they cannot be told apart here. */
static void set_paused(int paused)
{
    long tid = syscall(SYS_gettid);
    for (int i = 0; i < n_probes; i++) {
        if (probes[i] && probes[i]->tid == tid) {
            probes[i]->paused = paused;
        }
    }
    trace_to(my_trace(), "%s", paused ? "Pause" : "Resume");
}

void FLBPluginInputPause(void) { set_paused(1); }
void FLBPluginInputResume(void) { set_paused(0); }

void FLBPluginInputPreExit(int reload)
{
    trace_to(my_trace(), "PreExit %d", reload);
}

static struct api *kept_api;
static void *kept_ins;

int FLBPluginExit(void)
{
    struct probe *p = mine();
    trace_to(my_trace(), "Exit %s", p ? p->id : "of nobody");
    if (!p) {
        return 0;
    }
    if (is_fault(p, "slow_exit")) {
        usleep(150000);
    }
    if (is_fault(p, "api_after_exit")) {
        kept_api = p->api;
        kept_ins = p->ins;
    }
    for (int i = 0; i < n_probes; i++) {
        if (probes[i] == p) {
            probes[i] = NULL;
        }
    }
    free(p);
    return 0;
}

void FLBPluginUnregister(struct def *def)
{
    free(def->name);
    free(def->description);
    if (kept_api) {
        kept_api->log_check(kept_ins, 3);
    }
}
