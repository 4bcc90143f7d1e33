/* Pages that end the process when a plugin touches what it must not keep, and the
 * signal handlers of core. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host.h"

#define PAGE 4096
#define MAX_PAGES 4096

int signal_pipe[2];

static struct {
    char *page;
    const char *label;
} pages[MAX_PAGES];
static atomic_int n_pages;

void *trap_alloc(const char *label)
{
    void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int i;
    if (p == MAP_FAILED) {
        abort();
    }
    i = atomic_fetch_add(&n_pages, 1);
    if (i < MAX_PAGES) {
        pages[i].page = p;
        pages[i].label = label;
    }
    return p;
}

void trap_close(void *page, const char *label)
{
    for (int i = 0; i < n_pages && i < MAX_PAGES; i++) {
        if (pages[i].page == page) {
            pages[i].label = label;
        }
    }
    mprotect(page, PAGE, PROT_NONE);
}

/* As flb_signal_handler (src/fluent-bit.c): it re-installs all handlers, which
 * takes SIGSEGV away from the Go runtime after the first SIGHUP or SIGCONT, and a
 * fault ends in abort(). */
static void on_signal(int sig, siginfo_t *info, void *unused)
{
    int saved = errno;
    char c = (char)sig;
    (void)unused;
    install_signals();
    if (sig == SIGSEGV || sig == SIGFPE) {
        char *at = info->si_addr;
        for (int i = 0; i < n_pages && i < MAX_PAGES; i++) {
            if (at >= pages[i].page && at < pages[i].page + PAGE) {
                violation("plugin touched %s", pages[i].label);
                abort();
            }
        }
        violation("crash: signal %d at %p", sig, (void *)at);
        abort();
    }
    if (write(signal_pipe[1], &c, 1) < 0) {
        abort();
    }
    errno = saved;
}

void install_signals(void)
{
    static const int all[] = {SIGINT, SIGQUIT, SIGHUP, SIGCONT, SIGTERM, SIGSEGV, SIGFPE};
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_sigaction = on_signal;
    sa.sa_flags = SA_SIGINFO | SA_RESTART; /* signal() of glibc restarts; there is no SA_ONSTACK, as in core */
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        sigaction(all[i], &sa, NULL);
    }
}
