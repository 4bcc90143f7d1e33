/* Counting log events as core's decoder does (src/flb_log_event_decoder.c): [ts, map]
 * or [[ts, meta], map]. */
#include <string.h>

#include "host.h"

enum kind { K_BAD, K_UINT, K_FLOAT, K_EXT, K_ARRAY, K_MAP, K_OTHER };

struct object {
    enum kind kind;
    size_t head;  /* bytes of type and length */
    size_t body;  /* bytes of data, none for arrays and maps */
    size_t count; /* elements of an array, pairs of a map */
    int ext_type;
};

static size_t big_endian(const unsigned char *p, int n)
{
    size_t v = 0;
    while (n-- > 0) {
        v = v << 8 | *p++;
    }
    return v;
}

/* Reads one type byte and its length; kind is K_BAD when the buffer
 * ends or the byte is 0xc1. */
static struct object peek(const unsigned char *p, size_t left)
{
    /* From 0xc4 on: bytes of length field, then fixed bytes of data; kinds follow the
     * table of the specification. */
    static const struct {
        unsigned char len, data;
        enum kind kind;
    } wide[] = {
        /* c4 bin  */ {1, 0, K_OTHER}, {2, 0, K_OTHER}, {4, 0, K_OTHER},
        /* c7 ext  */ {1, 1, K_EXT}, {2, 1, K_EXT}, {4, 1, K_EXT},
        /* ca f32  */ {0, 4, K_FLOAT}, {0, 8, K_FLOAT},
        /* cc uint */ {0, 1, K_UINT}, {0, 2, K_UINT}, {0, 4, K_UINT}, {0, 8, K_UINT},
        /* d0 int  */ {0, 1, K_OTHER}, {0, 2, K_OTHER}, {0, 4, K_OTHER}, {0, 8, K_OTHER},
        /* d4 fixext */ {0, 2, K_EXT}, {0, 3, K_EXT}, {0, 5, K_EXT}, {0, 9, K_EXT}, {0, 17, K_EXT},
        /* d9 str  */ {1, 0, K_OTHER}, {2, 0, K_OTHER}, {4, 0, K_OTHER},
        /* dc array */ {2, 0, K_ARRAY}, {4, 0, K_ARRAY},
        /* de map  */ {2, 0, K_MAP}, {4, 0, K_MAP},
    };
    struct object o = {K_BAD, 1, 0, 0, 0};
    unsigned char c;
    if (left == 0) {
        return o;
    }
    c = p[0];
    if (c < 0x80) {
        o.kind = K_UINT;
    }
    else if (c < 0x90) {
        o.kind = K_MAP;
        o.count = c & 15;
    }
    else if (c < 0xa0) {
        o.kind = K_ARRAY;
        o.count = c & 15;
    }
    else if (c < 0xc0) {
        o.kind = K_OTHER;
        o.body = c & 31;
    }
    else if (c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3) {
        o.kind = K_OTHER;
    }
    else if (c >= 0xc4) {
        int len = wide[c - 0xc4].len;
        size_t n;
        if (left < 1 + (size_t)len) {
            return o;
        }
        n = big_endian(p + 1, len);
        o.kind = wide[c - 0xc4].kind;
        o.head = 1 + (size_t)len;
        if (o.kind == K_ARRAY || o.kind == K_MAP) {
            o.count = n;
        }
        else {
            o.body = n + wide[c - 0xc4].data;
        }
        if (o.kind == K_EXT) {
            if (left <= o.head) {
                o.kind = K_BAD;
                return o;
            }
            o.ext_type = (signed char)p[o.head];
        }
    }
    if (o.body > left - o.head) {
        o.kind = K_BAD;
    }
    return o;
}

/* Length of the object at p with all it contains, 0 if it is cut short. Iterative: the
 * depth is the sender's choice. */
static size_t skip(const unsigned char *p, size_t left)
{
    size_t at = 0, todo = 1;
    while (todo > 0) {
        struct object o = peek(p + at, left - at);
        if (o.kind == K_BAD) {
            return 0;
        }
        at += o.head + o.body;
        todo += o.kind == K_MAP ? 2 * o.count : o.kind == K_ARRAY ? o.count : 0;
        todo--;
        if (todo > left) {
            return 0;
        }
    }
    return at;
}

static int is_timestamp(const unsigned char *p, struct object o)
{
    const unsigned char *data = p + o.head + 1;
    if (o.kind == K_UINT || o.kind == K_FLOAT) {
        return 1;
    }
    if (o.kind != K_EXT || o.ext_type != 0 || o.body != 9) {
        return 0;
    }
    /* 0xffffffff and 0xfffffffe mark groups, and only with 0 nanoseconds. */
    return big_endian(data, 4) < 0xfffffffe || big_endian(data + 4, 4) == 0;
}

static int is_event(const unsigned char *p, size_t size)
{
    struct object root = peek(p, size), o;
    size_t at = root.head;
    if (root.kind != K_ARRAY || root.count != 2) {
        return 0;
    }
    o = peek(p + at, size - at);
    if (o.kind == K_ARRAY) {
        if (o.count != 2) {
            return 0;
        }
        at += o.head;
        o = peek(p + at, size - at);
        if (!is_timestamp(p + at, o)) {
            return 0;
        }
        at += skip(p + at, size - at);
        if (peek(p + at, size - at).kind != K_MAP) {
            return 0;
        }
    }
    else if (!is_timestamp(p + at, o)) {
        return 0;
    }
    at += skip(p + at, size - at);
    return peek(p + at, size - at).kind == K_MAP;
}

size_t count_events(const unsigned char *buf, size_t size, size_t *valid)
{
    size_t n = 0;
    *valid = 0;
    while (*valid < size) {
        size_t len = skip(buf + *valid, size - *valid);
        if (len == 0 || !is_event(buf + *valid, len)) {
            break;
        }
        *valid += len;
        n++;
    }
    return n;
}
