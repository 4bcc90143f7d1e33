/* Loads copies of the plugin and registers them as Fluent Bit does, step by step as the arguments say:
 *   A0  load file A at the start     A1  load it at a reload     A-  end its oldest registration     +N  N seconds pass
 * A is the file named by the first argument, B the second. Prints what became of each loading: ok or refused. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static time_t now = 1000000;

/* The plugin's clock: symbols of the program come first. */
time_t time(time_t *t)
{
    if (t != NULL) {
        *t = now;
    }
    return now;
}

/* Fluent Bit's log, which the plugin looks up. */
void flb_log_print(int type, const char *file, int line, const char *format, const char *text)
{
    (void) file;
    (void) line;
    (void) format;
    fprintf(stderr, "%d %s\n", type, text);
}

static void *symbol(void *handle, const char *name)
{
    void *s = dlsym(handle, name);

    if (s == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
    return s;
}

int main(int argc, char **argv)
{
    int i;

    for (i = 3; i < argc; i++) {
        const char *step = argv[i];
        void *handle;

        if (step[0] == '+') {
            now += atoi(step + 1);
            continue;
        }
        handle = dlopen(argv[1 + step[0] - 'A'], RTLD_LAZY);
        if (handle == NULL) {
            fprintf(stderr, "%s\n", dlerror());
            return 2;
        }
        if (step[1] == '-') {
            ((void (*)(void *)) symbol(handle, "FLBPluginUnregister"))(calloc(1, 48));
            continue;
        }
        if (((int (*)(int)) symbol(handle, "FLBPluginPreRegister"))(step[1] - '0') == -1) {
            printf("refused ");
            continue;
        }
        ((int (*)(void *)) symbol(handle, "FLBPluginRegister"))(calloc(1, 48));
        printf("ok ");
    }
    return 0;
}
