/* Sees whether the plugin's Cleanup frees the buffer it returned: this free() stands
 * before libc's in symbol lookup. */
#include "host.h"

extern void __libc_free(void *);
void free(void *p);

static _Thread_local void *watched;
static _Thread_local int freed;

void watch_free(void *p)
{
    watched = p;
    freed = 0;
}

int watch_was_freed(void)
{
    watched = NULL;
    return freed;
}

void free(void *p)
{
    if (p && p == watched) {
        freed = 1;
    }
    __libc_free(p);
}
