/* The functions core offers to a plugin (src/flb_api.c), with checks that it is
 * allowed to call them now. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "host.h"

#define MAX_INSTANCES 1024

_Thread_local int worker_thread;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct instance *known[MAX_INSTANCES];
static int n_known;

void instances_add(struct instance *ins)
{
    pthread_mutex_lock(&lock);
    if (n_known < MAX_INSTANCES) {
        known[n_known++] = ins;
    }
    pthread_mutex_unlock(&lock);
}

void instances_remove(struct instance *ins)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < n_known; i++) {
        if (known[i] == ins) {
            known[i] = known[--n_known];
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

static struct instance *find(void *i_ins, const char *fn)
{
    struct instance *ins = NULL;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < n_known; i++) {
        if (known[i] == i_ins) {
            ins = known[i];
        }
    }
    pthread_mutex_unlock(&lock);
    if (!ins) {
        violation("%s called with an i_ins that is no live instance", fn);
    }
    return ins;
}

static const char *get_property(const char *key, void *i_ins)
{
    struct instance *ins = find(i_ins, "input_get_property");
    for (int i = 0; ins && i < ins->n_props; i++) {
        if (strcasecmp(ins->props[i].key, key) == 0) {
            return ins->props[i].value;
        }
    }
    return NULL;
}

static void *get_cmt_instance(void *i_ins)
{
    find(i_ins, "input_get_cmt_instance");
    return NULL;
}

static int log_check(void *i_ins, int level)
{
    struct instance *ins = find(i_ins, "input_log_check");
    return ins && ins->log_level >= level;
}

static void log_print(int level, const char *file, int line, const char *fmt, ...)
{
    struct line l;
    char text[4096];
    va_list args;
    (void)file;
    (void)line;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    line_begin(&l, "log");
    line_int(&l, "level", level);
    /* Without a worker context core writes to stderr, past log_file. */
    line_int(&l, "worker", worker_thread);
    line_str(&l, "text", text);
    line_send(&l);
}

static void die(const char *fn)
{
    violation("%s called after FLBPluginExit", fn);
    abort();
}

static const char *dead_property(const char *key, void *i_ins)
{
    (void)key;
    (void)i_ins;
    die("input_get_property");
    return NULL;
}

static void *dead_cmt(void *i_ins)
{
    (void)i_ins;
    die("input_get_cmt_instance");
    return NULL;
}

static void dead_print(int level, const char *file, int line, const char *fmt, ...)
{
    (void)level;
    (void)file;
    (void)line;
    (void)fmt;
    die("log_print");
}

static int dead_check(void *i_ins, int level)
{
    (void)i_ins;
    (void)level;
    die("input_log_check");
    return 0;
}

struct api_table *api_create(void)
{
    /* Never freed: a call after the end must be seen as such, not crash at random. */
    struct api_table *api = calloc(1, sizeof(*api));
    api->input_get_property = get_property;
    api->input_get_cmt_instance = get_cmt_instance;
    api->log_print = log_print;
    api->input_log_check = log_check;
    return api;
}

void api_poison(struct api_table *api)
{
    api->input_get_property = dead_property;
    api->input_get_cmt_instance = dead_cmt;
    api->log_print = dead_print;
    api->input_log_check = dead_check;
}
