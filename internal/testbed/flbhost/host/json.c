/* The steering protocol: events leave as JSON objects, commands arrive as JSON arrays
 * of strings, one a line. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int event_fd = 1;

void events_to(int fd) { event_fd = fd; }

static void put(struct line *l, char c)
{
    /* Room is kept for the closing quote, brace and newline. */
    if (l->len < sizeof(l->buf) - 256) {
        l->buf[l->len++] = c;
    }
}

static void put_string(struct line *l, const char *s)
{
    put(l, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') {
            put(l, '\\');
            put(l, (char)c);
        }
        else if (c < 0x20) {
            char hex[8];
            snprintf(hex, sizeof(hex), "\\u%04x", c);
            for (char *h = hex; *h; h++) {
                put(l, *h);
            }
        }
        else {
            put(l, (char)c);
        }
    }
    l->buf[l->len++] = '"';
}

static void put_key(struct line *l, const char *key)
{
    if (l->len > 1) {
        put(l, ',');
    }
    put_string(l, key);
    put(l, ':');
}

void line_begin(struct line *l, const char *event)
{
    l->len = 0;
    put(l, '{');
    line_str(l, "event", event);
}

void line_str(struct line *l, const char *key, const char *value)
{
    put_key(l, key);
    put_string(l, value ? value : "");
}

void line_int(struct line *l, const char *key, long long value)
{
    char digits[32];
    put_key(l, key);
    snprintf(digits, sizeof(digits), "%lld", value);
    for (char *d = digits; *d; d++) {
        put(l, *d);
    }
}

void line_send(struct line *l)
{
    size_t done = 0;
    l->buf[l->len++] = '}';
    l->buf[l->len++] = '\n';
    pthread_mutex_lock(&lock);
    while (done < l->len) {
        ssize_t n = write(event_fd, l->buf + done, l->len - done);
        if (n <= 0) {
            break;
        }
        done += (size_t)n;
    }
    pthread_mutex_unlock(&lock);
}

void violation(const char *fmt, ...)
{
    struct line l;
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    line_begin(&l, "violation");
    line_str(&l, "text", text);
    line_send(&l);
}

void core_log(int level, const char *fmt, ...)
{
    struct line l;
    char text[1024];
    va_list args;
    if (level > settings.log_level) {
        return;
    }
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    line_begin(&l, "log");
    line_int(&l, "level", level);
    line_int(&l, "core", 1);
    line_str(&l, "text", text);
    line_send(&l);
}

static int hex4(const char *s, unsigned *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        unsigned d;
        if (c >= '0' && c <= '9') {
            d = (unsigned)(c - '0');
        }
        else if (c >= 'a' && c <= 'f') {
            d = (unsigned)(c - 'a') + 10;
        }
        else if (c >= 'A' && c <= 'F') {
            d = (unsigned)(c - 'A') + 10;
        }
        else {
            return -1;
        }
        *out = *out * 16 + d;
    }
    return 0;
}

/* Unescapes one string in place; s stands behind the opening quote. Returns the place
 * behind the closing one. */
static char *unescape(char *s)
{
    char *w = s;
    unsigned u;
    for (; *s && *s != '"'; s++) {
        if (*s != '\\') {
            *w++ = *s;
            continue;
        }
        switch (*++s) {
        case 'n': *w++ = '\n'; break;
        case 't': *w++ = '\t'; break;
        case 'r': *w++ = '\r'; break;
        case 'b': *w++ = '\b'; break;
        case 'f': *w++ = '\f'; break;
        case 'u':
            /* The driver escapes only control characters and a few separators: no
             * surrogate pairs come. */
            if (hex4(s + 1, &u) < 0) {
                return NULL;
            }
            s += 4;
            if (u < 0x80) {
                *w++ = (char)u;
            }
            else if (u < 0x800) {
                *w++ = (char)(0xc0 | (u >> 6));
                *w++ = (char)(0x80 | (u & 0x3f));
            }
            else {
                *w++ = (char)(0xe0 | (u >> 12));
                *w++ = (char)(0x80 | ((u >> 6) & 0x3f));
                *w++ = (char)(0x80 | (u & 0x3f));
            }
            break;
        case 0: return NULL;
        default: *w++ = *s;
        }
    }
    if (*s != '"') {
        return NULL;
    }
    *w = 0;
    return s + 1;
}

int parse_strings(char *s, char **out, int max)
{
    int n = 0;
    if (*s++ != '[') {
        return -1;
    }
    while (*s == '"') {
        if (n == max) {
            return -1;
        }
        out[n++] = s + 1;
        s = unescape(s + 1);
        if (!s) {
            return -1;
        }
        if (*s == ',') {
            s++;
        }
    }
    return *s == ']' ? n : -1;
}
