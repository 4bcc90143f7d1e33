/* The ring buffer of a threaded input: a bounded FIFO of copies. Core's is lock-free; a
 * lock shows the same to a plugin. */
#include <stdlib.h>
#include <string.h>

#include "host.h"

#define WINDOW 5 /* FLB_INPUT_RING_BUFFER_WINDOW: percent of the ring from which on the engine is told at once */

void ring_init(struct ring *r, size_t capacity)
{
    pthread_mutex_init(&r->lock, NULL);
    r->slot = calloc(capacity, sizeof(*r->slot));
    r->capacity = capacity;
    r->first = r->count = 0;
}

int ring_push(struct ring *r, struct node *n, int *wake)
{
    int ret = -1;
    *wake = 0;
    pthread_mutex_lock(&r->lock);
    if (r->count < r->capacity) {
        r->slot[(r->first + r->count++) % r->capacity] = n;
        ret = 0;
        if (!r->flush_pending && r->count * sizeof(void *) >= r->capacity * sizeof(void *) * WINDOW / 100) {
            r->flush_pending = *wake = 1;
        }
    }
    pthread_mutex_unlock(&r->lock);
    return ret;
}

void ring_flushed(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    r->flush_pending = 0;
    pthread_mutex_unlock(&r->lock);
}

struct node *ring_pop(struct ring *r)
{
    struct node *n = NULL;
    pthread_mutex_lock(&r->lock);
    if (r->count > 0) {
        n = r->slot[r->first];
        r->first = (r->first + 1) % r->capacity;
        r->count--;
    }
    pthread_mutex_unlock(&r->lock);
    return n;
}

struct node *node_copy(const char *tag, size_t tag_len, const void *buf, size_t size)
{
    struct node *n = calloc(1, sizeof(*n));
    n->buf = malloc(size);
    memcpy(n->buf, buf, size);
    n->size = size;
    n->tag = tag && tag_len > 0 ? strndup(tag, tag_len) : NULL;
    return n;
}

void node_free(struct node *n)
{
    free(n->tag);
    free(n->buf);
    free(n);
}
