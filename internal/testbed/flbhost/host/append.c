/* flb_input_log_append and the pause it may cause
 * (src/flb_input_chunk.c, src/flb_input.c). */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

_Thread_local struct instance *collecting;
_Thread_local long long append_ns;

/* Exported to the plugin unless the host is built without -rdynamic. */
int flb_input_log_append(void *i_ins, const char *tag, size_t tag_len, const void *buf, size_t size);

static int is_over(struct instance *ins) { return ins->limit > 0 && ins->pending >= ins->limit; }

void input_pause(struct instance *ins)
{
    if (ins->over) {
        return; /* already paused by a limit: core does not say it again, not even at shutdown */
    }
    if (ins->threaded) {
        message_send(ins->pipe[1], MSG_PAUSE, 0);
        return;
    }
    core_log(LEVEL_INFO, "[input] pausing %s", ins->name);
    plugin_pause(ins);
}

void input_resume(struct instance *ins)
{
    if (ins->threaded) {
        message_send(ins->pipe[1], MSG_RESUME, 0);
        return;
    }
    core_log(LEVEL_INFO, "[input] resume %s", ins->name);
    plugin_resume(ins);
}

static void report(struct instance *ins, const char *tag, size_t tag_len, size_t size,
                   size_t events, int direct, int ret)
{
    struct line l;
    char *copy = strndup(tag, tag_len);
    line_begin(&l, "append");
    line_int(&l, "ins", ins->index);
    line_str(&l, "tag", copy);
    line_int(&l, "bytes", (long long)size);
    line_int(&l, "events", (long long)events);
    line_int(&l, "direct", direct);
    line_int(&l, "ret", ret);
    line_send(&l);
    free(copy);
}

int append_now(struct instance *ins, const char *tag, size_t tag_len, const void *buf, size_t size, int direct)
{
    size_t valid, events;
    int ret = -1;
    if (ins->over) {
        core_log(LEVEL_DEBUG, "[input chunk] %s is paused, cannot append records", ins->name);
    }
    else if (size > 0) {
        ret = 0;
    }
    if (!tag || tag_len == 0) {
        tag = ins->tag;
        tag_len = strlen(tag);
    }
    events = count_events(buf, size, &valid);
    if (ret == 0 && valid < size) {
        violation("%s: %zu of %zu bytes after event %zu are no event: every output loses them in silence", ins->name,
                  size - valid, size, events);
    }
    if (ret == 0) {
        ret = chunk_write(ins, tag, tag_len, buf, size);
    }
    report(ins, tag, tag_len, size, events, direct, ret);
    if (ret == 0) {
        reach("append");
    }
    if (ret == 0 && is_over(ins)) {
        core_log(LEVEL_WARN, "[input] %s paused (mem buf overlimit - event of size %zuB exceeded limit %zu to %zuB)",
                 ins->name, size, ins->limit, ins->pending);
        input_pause(ins); /* unthreaded: FLBPluginInputPause runs here, inside the plugin's own append */
        ins->over = 1;
    }
    return ret;
}

static int append_ring(struct instance *ins, const char *tag, size_t tag_len, const void *buf, size_t size, int direct)
{
    struct line l;
    struct node *n;
    size_t valid;
    int wake;
    if (size == 0) {
        return -1;
    }
    n = node_copy(tag, tag_len, buf, size);
    for (int i = 0; i < 10; i++) {
        if (ring_push(&ins->ring, n, &wake) == 0) {
            if (wake) {
                message_send(ins->context->pipe[1], MSG_DRAIN, 0);
            }
            return 0;
        }
        usleep((useconds_t)(settings.tick_ns / 10000)); /* 100 ms at core's tick of 1 s */
    }
    node_free(n);
    core_log(LEVEL_ERROR, "[%s] could not enqueue records into the ring buffer", ins->name);
    if (direct) { /* the plugin knows: nothing is lost */
        report(ins, tag ? tag : ins->tag, tag ? tag_len : strlen(ins->tag), size,
               count_events(buf, size, &valid), 1, -1);
        return -1;
    }
    line_begin(&l, "lost");
    line_int(&l, "ins", ins->index);
    line_str(&l, "where", "full ring");
    line_int(&l, "bytes", (long long)size);
    line_send(&l);
    return -1;
}

int append(struct instance *ins, const char *tag, size_t tag_len, const void *buf, size_t size, int direct)
{
    long long start = clock_ns();
    int ret = ins->threaded ? append_ring(ins, tag, tag_len, buf, size, direct)
                            : append_now(ins, tag, tag_len, buf, size, direct);
    append_ns += clock_ns() - start;
    return ret;
}

int flb_input_log_append(void *i_ins, const char *tag, size_t tag_len, const void *buf, size_t size)
{
    struct instance *ins = collecting;
    int told;
    if (!ins || i_ins != ins) {
        violation("flb_input_log_append called outside the collect callback of its own instance");
        return -1;
    }
    told = ins->told_pause;
    int ret = append(ins, tag, tag_len, buf, size, 1);
    if (told && ret == 0) {
        violation("%s: appended between Pause and Resume", ins->name);
    }
    return ret;
}
