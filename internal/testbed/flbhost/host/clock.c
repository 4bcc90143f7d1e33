/* Timers aligned as core's event loop aligns them, messages between threads, and the
 * places where the driver kills. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "host.h"

#define SECOND 1000000000LL

long long clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

/* Expires first at the next whole multiple of the interval on CLOCK_MONOTONIC, so all
 * instances tick at the same instant (mk_event_epoll.c); late ticks coalesce. */
int timer_create_aligned(long interval_ns)
{
    struct itimerspec its;
    long long first = (clock_ns() / interval_ns + 1) * interval_ns;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    its.it_interval.tv_sec = interval_ns / SECOND;
    its.it_interval.tv_nsec = interval_ns % SECOND;
    its.it_value.tv_sec = first / SECOND;
    its.it_value.tv_nsec = first % SECOND;
    if (fd < 0 || timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL) < 0) {
        abort();
    }
    return fd;
}

void timer_consume(int fd)
{
    uint64_t n;
    /* The other end of a race with a pause: nothing to read is fine. */
    if (read(fd, &n, sizeof(n)) < 0) {
        return;
    }
}

void message_send(int fd, enum message m, int arg)
{
    uint64_t v = (uint64_t)(uint32_t)arg << 32 | (uint32_t)m;
    if (write(fd, &v, sizeof(v)) != sizeof(v)) {
        abort();
    }
}

int message_recv(int fd, int *arg)
{
    uint64_t v;
    if (read(fd, &v, sizeof(v)) != sizeof(v)) {
        return -1;
    }
    *arg = (int)(v >> 32);
    return (int)(v & 0xffffffff);
}

static char kill_point[32];
static atomic_int kill_count;

void kill_at(const char *point, int count)
{
    strncpy(kill_point, point, sizeof(kill_point) - 1);
    kill_count = count;
}

void reach(const char *point)
{
    if (kill_count > 0 && strcmp(point, kill_point) == 0 && atomic_fetch_sub(&kill_count, 1) == 1) {
        kill(getpid(), SIGKILL);
        pause();
    }
}
