// SPDX-License-Identifier: Apache-2.0
// Texts made outside of Till, from WeChat Pay's documents: put together by hand, signed and sealed by Python's
// cryptography with the keys of keys.h.
#ifndef TILL_TEST_CHANNEL_WECHATPAY_GOLDEN_H
#define TILL_TEST_CHANNEL_WECHATPAY_GOLDEN_H

// clang-format off
#define GOLDEN_NONCE "593BEC0C930BF1AFEB40B4A08C8FB242"

static const char GOLDEN_BODY[] =
    "{\"appid\":\"wx0123456789abcdef\",\"mchid\":\"1900000001\",\"description\":\"两杯 coffee\",\"out_t"
    "rade_no\":\"0rpgv5gymwqv0kj329159139epk9c\",\"time_expire\":\"2026-11-23T10:05:00+08:00\",\"noti"
    "fy_url\":\"https://shop.example/notify/wechatpay\",\"amount\":{\"total\":1234,\"currency\":\"CNY"
    "\"}}";

static const char GOLDEN_CANONICAL[] =
    "POST\n/v3/pay/transactions/native\n1795398600\n593BEC0C930BF1AFEB40B4A08C8FB242\n{\"appid\":\"wx"
    "0123456789abcdef\",\"mchid\":\"1900000001\",\"description\":\"两杯 coffee\",\"out_trade_no\":\"0rp"
    "gv5gymwqv0kj329159139epk9c\",\"time_expire\":\"2026-11-23T10:05:00+08:00\",\"notify_url\":\"http"
    "s://shop.example/notify/wechatpay\",\"amount\":{\"total\":1234,\"currency\":\"CNY\"}}\n";

static const char GOLDEN_SIGNATURE[] =
    "YUDnRS2NENMYUx4NM11+KZOmsN42D2NXyi1wWNLktNfzbccMS7D3QFfXWWGqKTPlfoHq6pc81LlugMcPXfPac4r2F+uzYIhO"
    "nh1fWImy446tQBCMU0dLsd/4SbF8RoaFX9WlX2PFYmXJ6zAKT6S13iEWOLrwIXkDlVPCSgxLzHaXH+n5zwsQvCRQTdGKly4O"
    "W8WQpXjQtkOX54RMrsnj+6CfQCb+OeDWXSX9EeIsDAGmrLftwy/aOwTEDEPP4lU/R1Ap0tGxxvRZW8rKYQ7D1rkF/pbQHewG"
    "UnNsJ6S8xR6TcXdCRBuxvWdgpsD0AdPSeW8QTLT1u25iwJVUpfXg5w==";

static const char GOLDEN_PAY_SIGN[] =
    "g4z//l05ZY1ffG9qWlgZGH69EUhT82C++n61JB2rvfst41wC3mKUrF7XmjuQrnFwqN9UGSvwvKmhQfuqcgnd8Xj0h+X3h9qr"
    "TY14JkDbTfw8Gq05tqpttCh/Ee3oZewh7H6chHP0NCJuhwweKPBXPjw6SjbEpp7sSxPcCgC5by8jJJq6Ax6ZtUc32Ww3jB3R"
    "hoHRU1Mh8+x6G9fR/P78USWakTBZBefo4D0U0OWlxx6RMEFfMiIkHQDlX+NuftExQNAHmlYdMZ8f5RVLvBe5+0pD8VLMZGRz"
    "v2S9Lyu0tK0cx4ZuGexC4jyzR2XUdLWeYaFEoCyzDKFAWPcLnp4nDg==";

static const char GOLDEN_PAYMENT[] =
    "{\"mchid\":\"1900000001\",\"appid\":\"wx0123456789abcdef\",\"out_trade_no\":\"0rpgv5gymwqv0kj329"
    "159139epk9c\",\"transaction_id\":\"4200000000202611230000000001\",\"trade_type\":\"NATIVE\",\"tr"
    "ade_state\":\"SUCCESS\",\"bank_type\":\"OTHERS\",\"success_time\":\"2026-11-23T09:49:58+08:00\","
    "\"payer\":{\"openid\":\"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o\"},\"amount\":{\"total\":1234,\"payer_total"
    "\":1000,\"currency\":\"CNY\",\"payer_currency\":\"CNY\"}}";

static const char GOLDEN_NOTICE[] =
    "{\"id\":\"EV-2026112309500012345\",\"create_time\":\"2026-11-23T09:49:59+08:00\",\"resource_type"
    "\":\"encrypt-resource\",\"event_type\":\"TRANSACTION.SUCCESS\",\"summary\":\"支付成功\",\"resource\""
    ":{\"original_type\":\"transaction\",\"algorithm\":\"AEAD_AES_256_GCM\",\"ciphertext\":\"bz1kVndY"
    "kCFlgKSe7VZeuBxCb6jr2XsCUhw9dEHzO9M6s3sDzzzxv/dMlMb1b/HE3EsbFiP7HsHKfJhCIMNmvF5niGYfX1nxqlGq1dum"
    "Q+RMJIWMnm/N1CUBPKcUy5ByMUBTe62CfveaovE8hXqeu3cb7dYtQJMrZtXELko2/oTcNgM+EOYRwNCdDvjDaNDnSqSQ0Pdu"
    "YMhbnuimbGquI0tbLu+lPE7gzWFtQgoEupHo2hBaNtxVRfMI2xx/HhyEp6ztdQTUZ9YThcRNORSgDht8NLLDROLRur8CqrCg"
    "O+VeN0eLB8IRh3dLlmOE+zyqbQHRh3x65mMpTD5k1ConmutxLuvRFp1nkPAgXa8DPcOjm979DsUnzIqgmWssCaSeZFQ18iWz"
    "EzP+BJ4aqRE7adgquevGAEdtUf3JZY9PbZOzhWkxqnxdQcLg+xfspd2wJcbZE0qOxZS74OHKQWoO+iuymWlD+60iGJdLAysc"
    "y20DwMN+mGBVuZ92u58iFxTCnC4Ut20+qoxoxX12xaqSkG3neTWk\",\"associated_data\":\"transaction\",\"non"
    "ce\":\"fdasflkja484\"}}";

static const char GOLDEN_NOTICE_SIGNATURE[] =
    "n3g/1yZB5ju/ttMhrmVflW8NtlAAwquP+naT10VcWPhrySXrqGTpRfGR3maY625I/aIirF4Fp9w1cPI+vu2MNqCZgTLgr2k7"
    "EypK8bi72hz1WwbTI3ZVjqyP5X9ZjI3YJd+NHh/izQI72LoYZ1mvqtLnsxEgVJm4VxtyGo4On24ugAHWzipJeiTdqbCRhvyu"
    "NTLlKb0Kwz9cRH+JPbJAsK37IQA2Z07SHA9xYUPlLw53oY8klwWenjzwyxA4yrqAi3ISgYHRLzN+kUu6eCtd5KH1NCYCO8Sc"
    "0NvnhjykVNdPnGF5AWdmDXl2rswLAzNDMejZR0olk3B74fiX6NsKsg==";

// clang-format on

#endif
