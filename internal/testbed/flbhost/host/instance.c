/* One input instance: its Init, its collector, its thread (src/flb_input_thread.c,
 * src/flb_plugin_proxy.c). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "host.h"

/* Reports a callback of the plugin: which, for whom, on which thread, how long. */
static void called(struct instance *ins, const char *fn, int arg, int ret, long long ns)
{
    struct line l;
    char name[16] = "";
    prctl(PR_GET_NAME, name);
    line_begin(&l, "call");
    line_str(&l, "fn", fn);
    line_int(&l, "ins", ins->index);
    line_str(&l, "thread", name);
    line_int(&l, "tid", syscall(SYS_gettid));
    line_int(&l, "arg", arg);
    line_int(&l, "ret", ret);
    line_int(&l, "ns", ns);
    line_send(&l);
}

/* Nanoseconds this thread stood ready without a processor: on a loaded machine they
 * are not the plugin's. */
static long long run_delay(void)
{
    static _Thread_local int fd = -2;
    char buf[128];
    long long run, delay;
    ssize_t n;
    if (fd == -2) {
        fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    }
    n = fd < 0 ? -1 : pread(fd, buf, sizeof(buf) - 1, 0);
    if (n <= 0) {
        return 0;
    }
    buf[n] = 0;
    return sscanf(buf, "%lld %lld", &run, &delay) == 2 ? delay : 0;
}

static void check_context(struct instance *ins)
{
    if (ins->ctx->coll_fd != 0 || ins->ctx->proxy != &ins->context->lib.proxy) {
        violation("%s: the plugin overwrote core's part of its context", ins->name);
        ins->ctx->coll_fd = 0;
        ins->ctx->proxy = &ins->context->lib.proxy;
    }
}

void instance_init(struct instance *ins)
{
    struct proxy *proxy = &ins->context->lib.proxy;
    struct go_plugin *plug = proxy->data;
    long long start = clock_ns();
    void *poison = trap_alloc("i_ins or context read through the argument of FLBPluginInit after Init");

    worker_thread = 1;
    proxy->instance = ins;
    plug->api = proxy->api;
    plug->i_ins = ins;
    plug->context = ins->ctx;
    ins->init_result = plug->cb_init(plug);
    called(ins, "Init", 0, ins->init_result, clock_ns() - start);
    trap_close(poison, "i_ins or context read through the argument of FLBPluginInit after Init");
    plug->i_ins = poison;
    plug->context = poison;
    if (ins->init_result > 0) {
        ins->alive = 1;
        ins->ctx->coll_fd = 0;
    }
}

void instance_pre_run(struct instance *ins)
{
    long long start = clock_ns();
    if (ins->context->lib.pre_run) {
        int ret = ins->context->lib.pre_run(settings.hot_reload);
        called(ins, "PreRun", settings.hot_reload, ret, clock_ns() - start);
    }
}

void collector_start(struct instance *ins)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = ins};
    ins->timer_fd = timer_create_aligned(settings.tick_ns);
    epoll_ctl(ins->evl, EPOLL_CTL_ADD, ins->timer_fd, &ev);
}

static void collector_pause(struct instance *ins)
{
    int fd = atomic_exchange(&ins->timer_fd, -1);
    if (fd >= 0) {
        close(fd); /* takes it out of the event loop as well, whichever thread waits there */
    }
}

static void collector_resume(struct instance *ins)
{
    if (ins->timer_fd >= 0) {
        core_log(LEVEL_ERROR, "[input] cannot resume collector %s:0, already running", ins->name);
        return;
    }
    if (ins->context->ingestion_active) {
        collector_start(ins);
    }
}

/* The instance whose collector core stops: the one initialised last, not
 * the one that is paused. */
static struct instance *pause_target(struct instance *ins)
{
    return settings.fix_pause ? ins : ins->context->lib.proxy.instance;
}

void plugin_pause(struct instance *ins)
{
    long long start = clock_ns();
    if (ins->context->lib.pause) {
        ins->told_pause = 1;
        ins->context->lib.pause();
        called(ins, "Pause", 0, 0, clock_ns() - start);
        reach("pause");
    }
    if (pause_target(ins)) {
        collector_pause(pause_target(ins));
    }
}

void plugin_resume(struct instance *ins)
{
    long long start = clock_ns();
    if (ins->context->lib.resume) {
        ins->context->lib.resume();
        ins->told_pause = 0;
        called(ins, "Resume", 0, 0, clock_ns() - start);
    }
    if (pause_target(ins)) {
        collector_resume(pause_target(ins));
    }
}

/* What came back of one callback: data is set when there is something to append. */
static int call_back(struct instance *ins, void **data, size_t *len)
{
    struct go_plugin *plug = ins->context->lib.proxy.data;
    long long delay = run_delay(), start = clock_ns(), took;
    int ret;

    collecting = ins;
    append_ns = 0;
    if (plug->cb_collect_ctx) {
        ret = plug->cb_collect_ctx(ins->ctx->remote_context, data, len);
    }
    else {
        ret = plug->cb_collect(data, len);
    }
    collecting = NULL;
    took = clock_ns() - start - append_ns - (run_delay() - delay);
    called(ins, "Callback", (int)*len, ret, took);
    if (settings.callback_ns > 0 && took > settings.callback_ns) {
        violation("%s: the callback took %lld ms", ins->name, took / 1000000);
    }
    check_context(ins);
    return ret;
}

static void clean_up(struct instance *ins, void *data)
{
    struct go_plugin *plug = ins->context->lib.proxy.data;
    long long start = clock_ns();
    int ret = 0, freed;

    watch_free(data);
    if (plug->cb_cleanup_ctx) {
        ret = plug->cb_cleanup_ctx(ins->ctx->remote_context, data);
    }
    else if (plug->cb_cleanup) {
        ret = plug->cb_cleanup(data);
    }
    else {
        free(data);
    }
    freed = watch_was_freed();
    called(ins, "Cleanup", freed, ret, clock_ns() - start);
}

void collect(struct instance *ins)
{
    void *data = NULL;
    size_t len = 0;
    int told = ins->told_pause, ret;

    ret = call_back(ins, &data, &len);
    reach("callback");
    if (len == 0) {
        if (data) {
            violation("%s: returned a buffer with length 0: core leaks it", ins->name);
        }
        return;
    }
    if (ret == -1) {
        violation("%s: returned -1 with %zu bytes: core leaks and drops them", ins->name, len);
        return;
    }
    if (told) {
        violation("%s: returned %zu bytes between Pause and Resume", ins->name, len);
    }
    append(ins, NULL, 0, data, len, 0);
    reach("before_cleanup");
    clean_up(ins, data);
    reach("after_cleanup");
}

void instance_exit(struct instance *ins)
{
    struct loaded *lib = &ins->context->lib;
    long long start = clock_ns(), took;
    struct line l;
    struct node *n;
    size_t bytes = 0;
    int count = 0;

    if (lib->pre_exit) {
        lib->pre_exit(ins->context->by_reload);
        called(ins, "PreExit", ins->context->by_reload, 0, clock_ns() - start);
    }
    if (lib->exit) {
        int ret = lib->exit();
        took = clock_ns() - start;
        called(ins, "Exit", 0, ret, took);
        if (settings.exit_ns > 0 && took > settings.exit_ns) {
            violation("%s: PreExit and Exit took %lld ms", ins->name, took / 1000000);
        }
    }
    ins->alive = 0;
    while ((n = ring_pop(&ins->ring))) {
        count++;
        bytes += n->size;
        node_free(n);
    }
    if (count > 0) {
        line_begin(&l, "lost");
        line_int(&l, "ins", ins->index);
        line_str(&l, "where", "ring at exit");
        line_int(&l, "bytes", (long long)bytes);
        line_send(&l);
    }
}

static int handle_message(struct instance *ins)
{
    int arg;
    switch (message_recv(ins->pipe[0], &arg)) {
    case MSG_PAUSE: plugin_pause(ins); break;
    case MSG_RESUME: plugin_resume(ins); break;
    case MSG_EXIT: return 0;
    default: break;
    }
    return 1;
}

static void *thread_main(void *arg)
{
    struct instance *ins = arg;
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL}, got[4];
    char name[160];
    int message, running = 1;

    snprintf(name, sizeof(name), "flb-in-%s-w0", ins->name);
    prctl(PR_SET_NAME, name); /* the kernel keeps 15 characters */
    instance_init(ins);
    sem_post(&ins->init_done);
    if (ins->init_result <= 0 || message_recv(ins->pipe[0], &message) != MSG_START) {
        return NULL;
    }
    epoll_ctl(ins->evl, EPOLL_CTL_ADD, ins->pipe[0], &ev);
    collector_start(ins);
    instance_pre_run(ins);
    while (running) {
        int n = epoll_wait(ins->evl, got, 4, -1);
        message = 0;
        for (int i = 0; i < n; i++) { /* the timer first, then one message: as observed in core */
            if (got[i].data.ptr == ins && ins->timer_fd >= 0) {
                timer_consume(ins->timer_fd);
                collect(ins);
            }
            else if (!got[i].data.ptr) {
                message = 1;
            }
        }
        if (message) {
            running = handle_message(ins);
        }
    }
    instance_exit(ins);
    return NULL;
}

void instance_thread_start(struct instance *ins)
{
    if (pthread_create(&ins->thread, NULL, thread_main, ins) != 0) {
        abort();
    }
}
