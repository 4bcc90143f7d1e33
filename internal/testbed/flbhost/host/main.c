/* The main thread: commands of the driver, signals, start, reload, end. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

#define MAX_WORDS 1024

struct settings settings = {.log_level = LEVEL_INFO, .grace = 5, .tick_ns = 1000000000L};

static struct instance **staged; /* of the next start or reload */
static int n_staged;
static int refuse_reload;
static struct context *current;

static void say(const char *event, const char *key, long long value)
{
    struct line l;
    line_begin(&l, event);
    if (key) {
        line_int(&l, key, value);
    }
    line_send(&l);
}

static void configure(char **w, int n)
{
    for (int i = 1; i + 1 < n; i += 2) {
        const char *key = w[i], *value = w[i + 1];
        long long number = atoll(value);
        if (!strcmp(key, "plugin")) settings.plugin = strdup(value);
        else if (!strcmp(key, "storage")) settings.storage = strdup(value);
        else if (!strcmp(key, "log_level")) settings.log_level = (int)number;
        else if (!strcmp(key, "hot_reload")) settings.hot_reload = (int)number;
        else if (!strcmp(key, "grace")) settings.grace = (int)number;
        else if (!strcmp(key, "fix_pause")) settings.fix_pause = (int)number;
        else if (!strcmp(key, "daemon")) settings.daemon = (int)number;
        else if (!strcmp(key, "no_ctx")) settings.no_ctx = (int)number;
        else if (!strcmp(key, "tick_ns")) settings.tick_ns = (long)number;
        else if (!strcmp(key, "callback_ns")) settings.callback_ns = (long)number;
        else if (!strcmp(key, "exit_ns")) settings.exit_ns = (long)number;
        else violation("unknown setting %s", key);
    }
}

/* ["instance", tag, threaded, capacity, limit, log_level, key, value, ...] */
static void stage(char **w, int n)
{
    struct instance *ins;
    if (n < 6) {
        violation("instance line with %d words", n);
        return;
    }
    ins = calloc(1, sizeof(*ins));
    ins->tag = *w[1] ? strdup(w[1]) : NULL;
    ins->threaded = atoi(w[2]);
    ins->capacity = (size_t)atoll(w[3]);
    ins->limit = (size_t)atoll(w[4]);
    ins->log_level = *w[5] ? atoi(w[5]) : settings.log_level;
    ins->props = calloc((size_t)n, sizeof(*ins->props));
    for (int i = 6; i + 1 < n; i += 2) {
        ins->props[ins->n_props].key = strdup(w[i]);
        ins->props[ins->n_props++].value = strdup(w[i + 1]);
    }
    staged = realloc(staged, (size_t)(n_staged + 1) * sizeof(*staged));
    staged[n_staged++] = ins;
}

static struct context *take_staged(void)
{
    struct context *c = context_create(staged, n_staged);
    staged = NULL;
    n_staged = 0;
    return c;
}

static void run(struct context *c)
{
    current = c;
    if (context_run(c) == 0) {
        say("started", NULL, 0);
        return;
    }
    say("init_failed", "ins", c->failed);
    sleep(1); /* as core does before it leaves: goroutines go on meanwhile */
    unload(&c->lib);
    say("exit", "code", 255);
    exit(255);
}

/* As "Daemon On": core forks after the plugins are loaded, so none of their threads
 * lives in the process that goes on. Here the parent stays: it hands its signals on
 * through the pipe that both have, and the child dies with it. */
static void become_daemon(void)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        return;
    }
    if (child < 0 || waitpid(child, &status, 0) < 0) {
        _exit(2);
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void start(void)
{
    struct context *c = take_staged();
    if (chunks_open(settings.storage) < 0 || load(&c->lib, settings.plugin, 0) < 0) {
        say("load_failed", NULL, 0);
        exit(255);
    }
    if (settings.daemon) {
        become_daemon();
    }
    run(c);
}

static void reload(void)
{
    struct context *next, *old = current;
    if (!settings.hot_reload || !current) {
        core_log(LEVEL_ERROR, "[reload] hot reloading is not enabled");
        say("reload_refused", NULL, 0);
        return;
    }
    signal(SIGPIPE, SIG_IGN);
    next = take_staged();
    if (load(&next->lib, settings.plugin, 1) < 0 || refuse_reload) {
        refuse_reload = 0;
        if (next->lib.proxy.def) {
            unload(&next->lib); /* the old instances keep running */
        }
        old->by_reload = 1; /* core forgets to take it back: a later SIGTERM passes it to PreExit */
        core_log(LEVEL_ERROR, "[reload] reloaded config is invalid. Reloading is halted");
        say("reload_refused", NULL, 0);
        return;
    }
    old->by_reload = 1;
    message_send(old->pipe[1], MSG_STOP, 0);
    context_join(old);
    unload(&old->lib);
    run(next);
    say("reloaded", NULL, 0);
}

static void stop(void)
{
    message_send(current->pipe[1], MSG_STOP, 0);
    context_join(current);
    unload(&current->lib);
    say("exit", "code", 0);
    exit(0);
}

static void to_engine(enum message m, const char *arg)
{
    if (current) {
        message_send(current->pipe[1], m, atoi(arg));
    }
}

static void command(char *text)
{
    static char *w[MAX_WORDS];
    int n = parse_strings(text, w, MAX_WORDS);
    const char *arg = n > 1 ? w[1] : "";
    if (n < 1) violation("the driver sent a line that is no array of strings");
    else if (!strcmp(w[0], "config")) configure(w, n);
    else if (!strcmp(w[0], "instance")) stage(w, n);
    else if (!strcmp(w[0], "start")) start();
    else if (!strcmp(w[0], "limit")) to_engine(MSG_LIMIT, arg);
    else if (!strcmp(w[0], "resume")) to_engine(MSG_RELEASE, arg);
    else if (!strcmp(w[0], "outputs")) to_engine(MSG_OUTPUTS, arg);
    else if (!strcmp(w[0], "stall")) to_engine(MSG_STALL, arg);
    else if (!strcmp(w[0], "disk_full")) disk_full = atoi(arg);
    else if (!strcmp(w[0], "refuse_reload")) refuse_reload = 1;
    else if (!strcmp(w[0], "kill_at") && n == 3) kill_at(w[1], atoi(w[2]));
    else if (!strcmp(w[0], "ping")) say("pong", NULL, 0);
    else violation("unknown command %s", w[0]);
}

static void on_signal(char sig)
{
    if (sig == SIGHUP) {
        reload();
    }
    else if (sig == SIGCONT) {
        core_log(LEVEL_INFO, "[engine] caught signal (SIGCONT)");
    }
    else {
        if (!current) {
            exit(0);
        }
        stop();
    }
}

/* Commands are split from the bytes by hand: poll() and stdio's
 * buffer do not go together. */
static void read_commands(void)
{
    static char *buf;
    static size_t len, room;
    char *end;
    ssize_t n;
    if (room - len < 65536) {
        room = room * 2 + 131072;
        buf = realloc(buf, room);
    }
    n = read(0, buf + len, room - len - 1);
    if (n <= 0) {
        _exit(3); /* the driver is gone */
    }
    len += (size_t)n;
    while ((end = memchr(buf, '\n', len))) {
        size_t used = (size_t)(end - buf) + 1;
        *end = 0;
        command(buf);
        memmove(buf, buf + used, len - used);
        len -= used;
    }
}

int main(void)
{
    struct pollfd fds[2] = {{.fd = 0, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    int out = dup(1);
    char sig;

    /* What the plugin prints must not stand between the events. */
    if (out < 0 || dup2(2, 1) < 0 || pipe(signal_pipe) < 0) {
        return 2;
    }
    events_to(out);
    install_signals(); /* before the plugin is loaded, as in core */
    fds[1].fd = signal_pipe[0];
    say("ready", "pid", getpid());
    for (;;) {
        if (poll(fds, 2, -1) < 0) {
            continue;
        }
        if (fds[1].revents && read(signal_pipe[0], &sig, 1) == 1) {
            on_signal(sig);
        }
        else if (fds[0].revents) {
            read_commands();
        }
    }
}
