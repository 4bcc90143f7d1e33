/* What the files of the conformance host share. Each file has one
 * purpose, named at its top. */
#ifndef HOST_H
#define HOST_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>

#include "abi.h"

enum level { LEVEL_OFF, LEVEL_ERROR, LEVEL_WARN, LEVEL_INFO, LEVEL_DEBUG, LEVEL_TRACE };

/* settings.c: what the driver's "config" line says, read by everyone after the start. */
struct settings {
    char *plugin;
    char *storage;
    int log_level;
    int hot_reload;
    int grace;         /* seconds (ticks) to wait for undelivered chunks; -1 = for ever */
    int fix_pause;     /* 1: pause the right instance, which v5.1.1 does not */
    int daemon;        /* 1: fork after the plugin is loaded */
    int no_ctx;        /* 1: behave as a core before v4.1.0, without the Ctx callbacks */
    long tick_ns;      /* 1 s in core */
    long callback_ns;  /* a callback that takes longer is a violation */
    long exit_ns;      /* likewise for FLBPluginExit */
};
extern struct settings settings;

/* json.c: the two directions of the steering protocol. */
struct line {
    char buf[40960];
    size_t len;
};
void line_begin(struct line *l, const char *event);
void line_str(struct line *l, const char *key, const char *value);
void line_int(struct line *l, const char *key, long long value);
void line_send(struct line *l);
void events_to(int fd);
void violation(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void core_log(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Splits a JSON array of strings in place. Returns the number of strings, -1 if the
 * line is something else. */
int parse_strings(char *line, char **out, int max);

/* msgpack.c */
/* Counts the log events a Fluent Bit output would find, and the bytes they take. It
 * stops at the first bad one, as core's decoder does; *valid < size means that the rest
 * is lost there without a message. */
size_t count_events(const unsigned char *buf, size_t size, size_t *valid);

/* ring.c: the bounded queue between an input thread and the engine. */
struct node {
    char *tag;
    void *buf;
    size_t size;
};
struct ring {
    pthread_mutex_t lock;
    struct node **slot;
    size_t capacity, first, count;
    int flush_pending; /* the engine was told that the window is used up */
};
void ring_init(struct ring *r, size_t capacity);
int ring_push(struct ring *r, struct node *n, int *wake); /* -1 when full; *wake: the engine should drain now */
struct node *ring_pop(struct ring *r);
void ring_flushed(struct ring *r);
struct node *node_copy(const char *tag, size_t tag_len, const void *buf, size_t size);
void node_free(struct node *n);

/* trap.c: memory that must not be touched (any more), and the signals of the process. */
void *trap_alloc(const char *label);  /* one zeroed page */
void trap_close(void *page, const char *label); /* from now on each access is a violation */
void install_signals(void);
extern int signal_pipe[2];

/* watch.c: was the buffer that the plugin returned freed by its Cleanup? */
void watch_free(void *p);
int watch_was_freed(void);

struct context;

struct property {
    char *key, *value;
};

struct instance {
    int index;
    char name[128];
    char *tag;
    int threaded;
    size_t capacity;
    size_t limit; /* bytes of undelivered chunks that pause the input (mem_buf_limit); 0 = none */
    int log_level;
    struct property *props;
    int n_props;

    struct context *context;
    struct input_ctx *ctx;
    struct ring ring;
    pthread_t thread;
    int evl;
    int pipe[2];
    int init_result;
    sem_t init_done;

    atomic_int timer_fd;   /* -1: the collector is stopped */
    atomic_int over;       /* core's mem_buf_status / storage_buf_status */
    atomic_int told_pause; /* the plugin got Pause and no Resume since */
    atomic_int alive;      /* between Init and Exit */
    atomic_int forced;     /* paused by the driver; a delivery does not end it */
    size_t pending;        /* bytes in undelivered chunks; engine thread only */
};

/* proxy.c */
struct loaded {
    struct proxy proxy; /* the plugin sees it through context->proxy: must be first */
    int (*pre_run)(int);
    void (*pause)(void);
    void (*resume)(void);
    void (*pre_exit)(int);
    int (*exit)(void);
    void (*unregister)(struct plugin_def *);
};
int load(struct loaded *lib, const char *path, int hot);
void unload(struct loaded *lib);

/* api.c */
struct api_table *api_create(void);
void api_poison(struct api_table *api);
void instances_add(struct instance *ins);
void instances_remove(struct instance *ins);
extern _Thread_local int worker_thread; /* 1 on threads that have core's log queue */

/* instance.c */
void instance_init(struct instance *ins);
void instance_thread_start(struct instance *ins);
void instance_pre_run(struct instance *ins);
void instance_exit(struct instance *ins);
void collect(struct instance *ins);
void plugin_pause(struct instance *ins);
void plugin_resume(struct instance *ins);
void collector_start(struct instance *ins);
enum message {
    MSG_START = 1, MSG_PAUSE, MSG_RESUME, MSG_EXIT, MSG_STOP,
    MSG_LIMIT, MSG_RELEASE, MSG_OUTPUTS, MSG_STALL, MSG_DRAIN,
};
void message_send(int fd, enum message m, int arg);
int message_recv(int fd, int *arg);
long long clock_ns(void);
int timer_create_aligned(long interval_ns);
void timer_consume(int fd);
void reach(const char *point); /* dies here by SIGKILL if the driver said so */
void kill_at(const char *point, int count);

/* append.c: flb_input_log_append and what stands behind it. */
extern _Thread_local struct instance *collecting; /* the instance whose callback runs on this thread */
extern _Thread_local long long append_ns;         /* host's own share of that callback's time */
int append(struct instance *ins, const char *tag, size_t tag_len, const void *buf, size_t size, int direct);
int append_now(struct instance *ins, const char *tag, size_t tag_len, const void *buf, size_t size, int direct);
void input_pause(struct instance *ins);
void input_resume(struct instance *ins);

/* chunk.c: chunk files, written at append time; engine thread only. */
extern atomic_int disk_full;
int chunks_open(const char *dir);
int chunk_write(struct instance *ins, const char *tag, size_t tag_len, const void *buf, size_t size);
int chunks_pending(void);
void chunks_deliver(void); /* every chunk reaches the outputs */
void chunks_lock(void);    /* a flush while the outputs are down: no more appends to these */

/* engine.c: one configuration context and its pipeline thread. */
struct context {
    struct loaded lib;
    struct instance **ins;
    int n;
    int evl;
    int pipe[2];
    int outputs_up;
    int shutting_down;
    int shutdown_fd;
    atomic_int ingestion_active;
    atomic_int by_reload;
    int failed; /* index of the instance whose Init failed, else -1 */
    pthread_t thread;
    sem_t started;
};
struct context *context_create(struct instance **ins, int n);
int context_run(struct context *c);
void context_join(struct context *c);

#endif
