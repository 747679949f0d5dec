// SPDX-License-Identifier: Apache-2.0
#include "broker/body.h"

static void body(const uint8_t secret[ID_SECRET_SIZE], const char *id, const char *type, uint64_t order_key,
                 uint32_t sequence, int64_t amount_fen, enum cancel_reason reason, struct buf *out)
{
    char order[ID_TEXT_SIZE];
    id_format(secret, "ord_", order_key, order);
    json_open(out, '{');
    json_kz(out, "id", id);
    json_kz(out, "type", type);
    json_kz(out, "order", order);
    json_ki64(out, "sequence", sequence);
    json_ki64(out, "amount", amount_fen);
    if (reason != REASON_NONE) json_kz(out, "reason", cancel_reason_name(reason));
    json_close(out, '}');
}

void body_of_message(const uint8_t secret[ID_SECRET_SIZE], const char *id, const struct message *m, struct buf *out)
{
    body(secret, id, message_type_name(m->type), m->order_key, m->sequence, m->amount_fen, m->reason, out);
}

void body_of_event(const uint8_t secret[ID_SECRET_SIZE], uint64_t event_key, uint64_t order_key,
                   const struct public_event *e, struct buf *out)
{
    char id[ID_TEXT_SIZE];
    id_format(secret, "evt_", event_key, id);
    body(secret, id, event_type_name(e->type), order_key, e->sequence, e->amount_fen, e->reason, out);
}
