/* The pipeline thread of one configuration context (src/flb_engine.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "host.h"

/* What an event of the engine's loop is about; an instance's own timer
 * carries the instance. */
static char tag_pipe, tag_drain, tag_flush, tag_shutdown;

struct context *context_create(struct instance **ins, int n)
{
    struct context *c = calloc(1, sizeof(*c));
    c->ins = ins;
    c->n = n;
    c->failed = -1;
    c->outputs_up = 1;
    c->ingestion_active = 1;
    c->evl = epoll_create1(EPOLL_CLOEXEC);
    sem_init(&c->started, 0, 0);
    if (c->evl < 0 || pipe(c->pipe) < 0) {
        abort();
    }
    return c;
}

static void listen_to(struct context *c, int fd, void *what)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = what};
    epoll_ctl(c->evl, EPOLL_CTL_ADD, fd, &ev);
}

static void prepare(struct context *c, struct instance *ins, int index)
{
    ins->context = c;
    ins->index = index;
    ins->timer_fd = -1;
    ins->ctx = trap_alloc("the context of an instance");
    ins->ctx->proxy = &c->lib.proxy;
    snprintf(ins->name, sizeof(ins->name), "%s.%d", c->lib.proxy.def->name, index);
    if (!ins->tag) {
        ins->tag = strdup(ins->name);
    }
    ring_init(&ins->ring, ins->capacity);
    sem_init(&ins->init_done, 0, 0);
    ins->evl = ins->threaded ? epoll_create1(EPOLL_CLOEXEC) : c->evl;
    if (ins->evl < 0 || pipe(ins->pipe) < 0) {
        abort();
    }
    instances_add(ins);
}

/* One after the other, each waited for: Inits never overlap. */
static int init_all(struct context *c)
{
    for (int i = 0; i < c->n; i++) {
        prepare(c, c->ins[i], i);
    }
    for (int i = 0; i < c->n; i++) {
        if (c->ins[i]->threaded) {
            instance_thread_start(c->ins[i]);
            sem_wait(&c->ins[i]->init_done);
        }
        else {
            instance_init(c->ins[i]);
        }
        if (c->ins[i]->init_result <= 0) {
            c->failed = i;
            core_log(LEVEL_ERROR, "[go proxy]: plugin '%s' failed to initialize", c->lib.proxy.def->name);
            return -1;
        }
    }
    return 0;
}

static void start_all(struct context *c)
{
    for (int i = 0; i < c->n; i++) {
        if (!c->ins[i]->threaded) {
            instance_pre_run(c->ins[i]);
        }
    }
    for (int i = 0; i < c->n; i++) {
        if (c->ins[i]->threaded) {
            message_send(c->ins[i]->pipe[1], MSG_START, 0);
        }
        else {
            collector_start(c->ins[i]);
        }
    }
}

static void drain(struct context *c)
{
    for (int i = 0; i < c->n; i++) {
        struct instance *ins = c->ins[i];
        struct node *n;
        while (!ins->over && (n = ring_pop(&ins->ring))) {
            append_now(ins, n->tag, n->tag ? strlen(n->tag) : 0, n->buf, n->size, 0);
            node_free(n);
        }
        ring_flushed(&ins->ring);
    }
}

static void release(struct context *c, struct instance *ins)
{
    if (ins->over && c->ingestion_active) {
        ins->over = 0;
        input_resume(ins);
    }
}

static void flush(struct context *c)
{
    if (!c->outputs_up) {
        chunks_lock();
        return;
    }
    chunks_deliver();
    for (int i = 0; i < c->n; i++) {
        if (!c->ins[i]->forced) {
            release(c, c->ins[i]);
        }
    }
}

static void pause_all(struct context *c)
{
    for (int i = 0; i < c->n; i++) {
        input_pause(c->ins[i]);
    }
}

static void shut_down(struct context *c)
{
    c->ingestion_active = 0;
    pause_all(c);
    for (int i = c->n - 1; i >= 0; i--) {
        struct instance *ins = c->ins[i];
        if (ins->threaded) {
            message_send(ins->pipe[1], MSG_EXIT, 0);
            pthread_join(ins->thread, NULL);
        }
        else {
            instance_exit(ins);
        }
        instances_remove(ins);
        trap_close(ins->ctx, "the context of an instance after Exit");
        if (c->lib.proxy.instance == ins) {
            /* Core would follow a freed pointer when an earlier instance
             * handles its Pause now. */
            c->lib.proxy.instance = NULL;
        }
    }
}

/* What core does after a failed Init: the unthreaded instances get Pause, then
 * PreExit and Exit in reverse order, those after the failed one included, which
 * never saw an Init; the failed one gets nothing. Threads wait for their START
 * and get nothing either. */
static void abandon(struct context *c)
{
    c->ingestion_active = 0;
    for (int i = 0; i < c->n; i++) {
        if (!c->ins[i]->threaded && i != c->failed) {
            input_pause(c->ins[i]);
        }
    }
    for (int i = c->n - 1; i >= 0; i--) {
        if (!c->ins[i]->threaded && i != c->failed) {
            instance_exit(c->ins[i]);
            instances_remove(c->ins[i]);
        }
    }
}

static void stop(struct context *c)
{
    if (c->shutting_down) {
        return;
    }
    c->shutting_down = 1;
    flush(c);
    c->ingestion_active = 0;
    core_log(LEVEL_INFO, "[engine] pausing all inputs..");
    pause_all(c);
    c->shutdown_fd = timer_create_aligned(settings.tick_ns);
    listen_to(c, c->shutdown_fd, &tag_shutdown);
}

static void stall(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

static void command(struct context *c)
{
    int arg = 0, m = message_recv(c->pipe[0], &arg);
    struct instance *ins = arg >= 0 && arg < c->n ? c->ins[arg] : NULL;
    if (m == MSG_STOP) {
        stop(c);
    }
    else if (m == MSG_DRAIN) {
        drain(c);
    }
    else if (m == MSG_OUTPUTS) {
        c->outputs_up = arg;
    }
    else if (m == MSG_STALL) {
        stall(arg);
    }
    else if (m == MSG_LIMIT && ins && !ins->over) {
        ins->forced = 1;
        input_pause(ins);
        ins->over = 1;
    }
    else if (m == MSG_RELEASE && ins) {
        ins->forced = 0;
        release(c, ins);
    }
}

/* Returns 1 when the engine is done: nothing pending, or the time of grace is over. */
static int shutdown_check(struct context *c, int *count)
{
    int pending;
    ++*count;
    pending = chunks_pending();
    if (pending > 0 && (settings.grace == -1 || *count < settings.grace)) {
        core_log(LEVEL_INFO, "[engine] pending chunk count: %d; grace_timer=%d", pending, *count);
        flush(c);
        return 0;
    }
    return 1;
}

static void loop(struct context *c, int drain_fd, int flush_fd)
{
    struct epoll_event got[64];
    int grace = 0;
    for (;;) {
        int n = epoll_wait(c->evl, got, 64, -1), has_command = 0;
        for (int i = 0; i < n; i++) {
            void *what = got[i].data.ptr;
            if (what == &tag_pipe) {
                has_command = 1;
            }
            else if (what == &tag_drain) {
                timer_consume(drain_fd);
                drain(c);
            }
            else if (what == &tag_flush) {
                timer_consume(flush_fd);
                flush(c);
            }
            else if (what == &tag_shutdown) {
                timer_consume(c->shutdown_fd);
                if (shutdown_check(c, &grace)) {
                    return;
                }
            }
            else {
                struct instance *ins = what;
                if (ins->timer_fd >= 0) { /* a Pause handled in this round may have stopped it */
                    timer_consume(ins->timer_fd);
                    collect(ins);
                }
            }
        }
        if (has_command) {
            command(c);
        }
    }
}

static void *thread_main(void *arg)
{
    struct context *c = arg;
    int drain_fd, flush_fd;
    prctl(PR_SET_NAME, "flb-pipeline");
    worker_thread = 1;
    if (init_all(c) < 0) {
        abandon(c);
        sem_post(&c->started);
        return NULL;
    }
    start_all(c);
    drain_fd = timer_create_aligned(settings.tick_ns / 4);
    flush_fd = timer_create_aligned(settings.tick_ns);
    listen_to(c, c->pipe[0], &tag_pipe);
    listen_to(c, drain_fd, &tag_drain);
    listen_to(c, flush_fd, &tag_flush);
    sem_post(&c->started);
    loop(c, drain_fd, flush_fd);
    shut_down(c);
    chunks_deliver(); /* what is left stays in its file: storage_backlog finds it at the next start */
    return NULL;
}

int context_run(struct context *c)
{
    if (pthread_create(&c->thread, NULL, thread_main, c) != 0) {
        abort();
    }
    sem_wait(&c->started);
    return c->failed < 0 ? 0 : -1;
}

void context_join(struct context *c) { pthread_join(c->thread, NULL); }
