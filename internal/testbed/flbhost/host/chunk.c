/* Chunk files. What an append accepts is in a file before the append returns, so it
 * survives SIGKILL as core's mmap'ed chunks do. As in core the length is written after
 * the data: an append that was cut by a kill does not exist. File: "FLBHOST1", length
 * of data (8 bytes little-endian), length of tag (4), tag, data. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"

#define LOCK_SIZE 2048000 /* FLB_INPUT_CHUNK_FS_MAX_SIZE: a larger chunk takes no more appends */
#define HEADER 20

struct chunk {
    struct chunk *next;
    struct instance *ins;
    char *tag;
    int fd;
    int locked;
    uint64_t size;
    off_t start;
};

atomic_int disk_full;
static struct chunk *chunks; /* not delivered yet */
static char *directory;
static unsigned sequence;

int chunks_open(const char *dir)
{
    struct dirent *e;
    unsigned n;
    DIR *d;
    mkdir(dir, 0777);
    d = opendir(dir);
    if (!d) {
        return -1;
    }
    while ((e = readdir(d))) {
        if (sscanf(e->d_name, "%u.chunk", &n) == 1 && n > sequence) {
            sequence = n;
        }
    }
    closedir(d);
    directory = strdup(dir);
    return 0;
}

static struct chunk *chunk_create(struct instance *ins, const char *tag, size_t tag_len)
{
    char path[4096];
    unsigned char header[HEADER] = "FLBHOST1";
    struct chunk *c = calloc(1, sizeof(*c));
    uint32_t n = (uint32_t)tag_len;

    memcpy(header + 16, &n, sizeof(n));
    snprintf(path, sizeof(path), "%s/%010u.chunk", directory, ++sequence);
    c->fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
    if (c->fd < 0 || pwrite(c->fd, header, HEADER, 0) != HEADER ||
        pwrite(c->fd, tag, tag_len, HEADER) != (ssize_t)tag_len) {
        core_log(LEVEL_ERROR, "[storage] cannot create %s", path);
        if (c->fd >= 0) {
            close(c->fd);
        }
        free(c);
        return NULL;
    }
    c->ins = ins;
    c->tag = strndup(tag, tag_len);
    c->start = (off_t)(HEADER + tag_len);
    c->next = chunks;
    chunks = c;
    return c;
}

static struct chunk *chunk_find(struct instance *ins, const char *tag, size_t tag_len)
{
    for (struct chunk *c = chunks; c; c = c->next) {
        if (c->ins == ins && !c->locked && strlen(c->tag) == tag_len && memcmp(c->tag, tag, tag_len) == 0) {
            return c;
        }
    }
    return NULL;
}

/* What core leaves of an append on a full disk: two lines where a chunk is open, else
 * three lines and an empty file. */
static void chunk_refuse(struct instance *ins, const char *tag, size_t tag_len)
{
    char path[4096];
    int fd;
    if (chunk_find(ins, tag, tag_len)) {
        core_log(LEVEL_ERROR, "[storage] [cio_file] error setting new file size on write");
        core_log(LEVEL_ERROR, "[input chunk] error writing data from %s instance", ins->name);
        return;
    }
    snprintf(path, sizeof(path), "%s/%010u.chunk", directory, ++sequence);
    fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
    if (fd >= 0) {
        close(fd);
    }
    core_log(LEVEL_ERROR, "[storage] cannot adjust chunk size '%s'", path);
    core_log(LEVEL_ERROR, "[input chunk] could not create chunk file: %s", ins->name);
    core_log(LEVEL_ERROR, "[input chunk] no available chunk");
}

int chunk_write(struct instance *ins, const char *tag, size_t tag_len, const void *buf, size_t size)
{
    struct chunk *c;
    size_t done = 0;
    uint64_t total;
    if (disk_full) {
        chunk_refuse(ins, tag, tag_len);
        return -1;
    }
    c = chunk_find(ins, tag, tag_len);
    if (!c) {
        c = chunk_create(ins, tag, tag_len);
    }
    if (!c) {
        return -1;
    }
    while (done < size) {
        ssize_t n = pwrite(c->fd, (const char *)buf + done, size - done, c->start + (off_t)(c->size + done));
        if (n <= 0) {
            core_log(LEVEL_ERROR, "[input chunk] error writing data from %s instance", ins->name);
            return -1;
        }
        done += (size_t)n;
    }
    total = c->size + size;
    if (pwrite(c->fd, &total, sizeof(total), 8) != sizeof(total)) {
        return -1;
    }
    c->size = total;
    c->locked = total > LOCK_SIZE;
    ins->pending += size;
    return 0;
}

int chunks_pending(void)
{
    int n = 0;
    for (struct chunk *c = chunks; c; c = c->next) {
        n++;
    }
    return n;
}

void chunks_lock(void)
{
    for (struct chunk *c = chunks; c; c = c->next) {
        c->locked = 1;
    }
}

void chunks_deliver(void)
{
    while (chunks) {
        struct chunk *c = chunks;
        chunks = c->next;
        c->ins->pending -= c->size;
        close(c->fd);
        free(c->tag);
        free(c);
    }
}
