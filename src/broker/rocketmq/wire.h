// SPDX-License-Identifier: Apache-2.0
// RocketMQ's remoting frames, both ways: a header in JSON or in the binary form called ROCKETMQ, then a body.
//
//     total int32 | kind int8, header length int24 | header | body          (big-endian; total counts what follows it)
//
// A header is code, language, version, opaque, flag, remark and "extension fields", a flat map of text to text.
// Binary is cheaper, but its code has 16 bits: the POP family (200050...) does not fit. A server answers in its own
// form whatever it was asked in, so both are read. Source: RemotingCommand, RocketMQSerializable (Apache RocketMQ 5.5).
//
// Nothing here allocates except through the caller's buf; a parsed frame borrows the bytes it was parsed from, which
// are changed by it (JSON texts are unescaped in place).
#ifndef TILL_BROKER_ROCKETMQ_WIRE_H
#define TILL_BROKER_ROCKETMQ_WIRE_H

#include "base/buf.h"

#define WIRE_FRAME_MAX  (16 * 1024 * 1024) // the server's limit, with the length word
#define WIRE_HEADER_MAX (64 * 1024)        // properties have at most 32767 bytes; escaped in JSON a little more
#define WIRE_FIELDS_MAX 48
#define WIRE_VERSION    513 // what we say we are: 5.5.0 (above 475: "go away" instead of silence at shutdown)
#define WIRE_LANGUAGE   1   // CPP; OTHER is unknown to old brokers

enum wire_kind { WIRE_JSON = 0, WIRE_BINARY = 1 };

enum wire_flag { WIRE_RESPONSE = 1, WIRE_ONEWAY = 2 };

enum wire_code {
    WIRE_CREATE_TOPIC = 17,
    WIRE_HEARTBEAT = 34,
    WIRE_END_TRANSACTION = 37,
    WIRE_CHECK_TRANSACTION = 39,
    WIRE_GET_ROUTE = 105,
    WIRE_GET_CLUSTER = 106,
    WIRE_SEND_V2 = 310,
    WIRE_SEND_BATCH = 320,
    WIRE_RECALL = 370,
    WIRE_POP = 200050,
    WIRE_ACK = 200051,
    WIRE_CHANGE_INVISIBLE = 200053,
};

enum wire_answer {
    WIRE_OK = 0,
    WIRE_SYSTEM_ERROR = 1,
    WIRE_BUSY = 2,
    WIRE_NOT_SUPPORTED = 3,
    WIRE_FLUSH_DISK_TIMEOUT = 10,
    WIRE_SLAVE_NOT_AVAILABLE = 11,
    WIRE_FLUSH_SLAVE_TIMEOUT = 12,
    WIRE_SERVICE_NOT_AVAILABLE = 14,
    WIRE_NO_PERMISSION = 16,
    WIRE_TOPIC_NOT_EXIST = 17,
    WIRE_PULL_NOT_FOUND = 19,
    WIRE_PULL_RETRY = 20,
    WIRE_NO_MESSAGE = 208,
    WIRE_POLLING_FULL = 209,
    WIRE_POLLING_TIMEOUT = 210,
    WIRE_NOT_LEADER = 501,
    WIRE_GO_AWAY = 1500,
};

struct wire_field {
    struct str key, value;
};

// --- Out

// Who signs (acl.c). NULL where no access key is set.
struct acl;

// The extension fields of one request: keys are literals, values are borrowed or lie in `numbers`.
struct wire_request {
    int code;
    int32_t opaque;
    enum wire_kind kind; // JSON for every code above 32767
    bool is_oneway;
    unsigned n_fields;
    unsigned n_numbers;
    struct wire_field fields[32];
    char numbers[12][24];
    struct str body;
};

void wire_request_init(struct wire_request *r, int code, enum wire_kind kind, int32_t opaque);
void wire_put(struct wire_request *r, const char *key, struct str value); // an empty value is left out
void wire_put_i64(struct wire_request *r, const char *key, int64_t value);
// Appends the whole frame to `out`, signed by `acl` unless that is NULL. False when it is too long for a frame or
// memory is out; `out` is then as before, with `failed` untouched or set.
bool wire_encode(struct wire_request *r, struct acl *acl, struct buf *out);
// An answer to a request of the server's.
bool wire_encode_answer(int32_t opaque, int code, struct str remark, struct buf *out);

// --- In

struct wire_frame {
    int32_t code, opaque, flag;
    int32_t version;
    struct str remark;
    struct str body;
    unsigned n_fields;
    struct wire_field fields[WIRE_FIELDS_MAX];
};

// The length of the frame `bytes` begins with, length word included: 0 while it cannot be told yet, -1 when no frame
// begins like this or it is longer than WIRE_FRAME_MAX. Looks at the first 8 bytes only.
int64_t wire_frame_len(const char *bytes, size_t n);
// `frame` is exactly one frame, as long as wire_frame_len() said. False when it is none: nothing of `out` may be used.
bool wire_parse(char *frame, size_t n, struct wire_frame *out);
// {NULL, 0} when absent. A field that is there twice: the last one counts, as in Java.
struct str wire_field_of(const struct wire_frame *f, const char *key);
// False when absent or no integer.
bool wire_field_i64(const struct wire_frame *f, const char *key, int64_t *out);

// --- Properties: name 0x01 value 0x02, repeated, in one string

void wire_property_add(struct buf *out, struct str name, struct str value);
// The value of the last property of that name, {NULL, 0} when absent.
struct str wire_property(struct str properties, struct str name);
// Neither 0x01 nor 0x02 in it: it can be the value of a property.
bool wire_property_fits(struct str value);

// --- Numbers as text

bool wire_i64(struct str text, int64_t *out); // whole text, decimal
bool wire_hex_i64(struct str text, int64_t *out);

static inline int32_t wire_get32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (int32_t)((uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3]);
}

static inline int32_t wire_get16(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (int16_t)(u[0] << 8 | u[1]);
}

static inline int64_t wire_get64(const char *p)
{
    return (int64_t)((uint64_t)(uint32_t)wire_get32(p) << 32 | (uint32_t)wire_get32(p + 4));
}

static inline void wire_set32(char *p, uint32_t v)
{
    p[0] = (char)(v >> 24);
    p[1] = (char)(v >> 16);
    p[2] = (char)(v >> 8);
    p[3] = (char)v;
}

static inline void wire_set16(char *p, uint32_t v)
{
    p[0] = (char)(v >> 8);
    p[1] = (char)v;
}

// --- Signing

// Borrowed texts are copied. NULL when memory is out or OpenSSL lacks HMAC-SHA1.
struct acl *acl_new(struct str access_key, struct str secret_key);
void acl_free(struct acl *a); // NULL is allowed
// Adds AccessKey and Signature to the request's fields: HMAC-SHA1, in base64, over the values of all fields in the byte
// order of their keys, then the body. The texts live in `a` until the next call: encode the request at once. One
// thread.
bool acl_sign(struct acl *a, struct wire_request *r);

#endif
