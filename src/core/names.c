// SPDX-License-Identifier: Apache-2.0
// The texts of the stored numbers, from the lists in order.h, and the traits of the channels. A number that is not of
// the list reads "?".
#include "core/order.h"

#define X_CASE(constant, text, ...)                                                                                    \
    case constant:                                                                                                     \
        return text;
#define NAME_FUNCTION(function, type, LIST)                                                                            \
    const char *function(enum type v)                                                                                  \
    {                                                                                                                  \
        switch ((unsigned)v) {                                                                                         \
            LIST(X_CASE)                                                                                               \
        }                                                                                                              \
        return "?";                                                                                                    \
    }

NAME_FUNCTION(order_state_name, order_state, ORDER_STATES)
NAME_FUNCTION(cancel_reason_name, cancel_reason, CANCEL_REASONS)
NAME_FUNCTION(channel_name, channel_id, CHANNELS)
NAME_FUNCTION(product_name, product, PRODUCTS)
NAME_FUNCTION(payment_state_name, payment_state, PAYMENT_STATES)
NAME_FUNCTION(proof_name, proof, PROOFS)
NAME_FUNCTION(refund_state_name, refund_state, REFUND_STATES)
NAME_FUNCTION(refund_cause_name, refund_cause, REFUND_CAUSES)
NAME_FUNCTION(event_type_name, event_type, EVENT_TYPES)
NAME_FUNCTION(call_method_name, call_method, CALL_METHODS)
NAME_FUNCTION(outcome_name, outcome, OUTCOMES)
NAME_FUNCTION(fact_name, fact, FACTS)
NAME_FUNCTION(trace_kind_name, trace_kind, TRACE_KINDS)
NAME_FUNCTION(topic_name, topic, TOPICS)
NAME_FUNCTION(message_type_name, message_type, MESSAGE_TYPES)
NAME_FUNCTION(half_state_name, half_state, HALF_STATES)

#define X_TRAITS(constant, text, ...) [constant] = {__VA_ARGS__},
const struct channel_traits *channel_traits(enum channel_id v)
{
    static const struct channel_traits traits[] = {CHANNELS(X_TRAITS)};
    return &traits[v];
}
