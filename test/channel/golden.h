// SPDX-License-Identifier: Apache-2.0
// One precreate, made outside of Till: the canonical text by hand, the signature by the openssl command line,
// the encoding by Python's urllib.
#ifndef TILL_TEST_CHANNEL_GOLDEN_H
#define TILL_TEST_CHANNEL_GOLDEN_H

// clang-format off
static const char GOLDEN_CANONICAL[] =
    "app_id=2021000000000001&biz_content={\"out_trade_no\":\"0rpgv5gymwqv0kj329159139epk9c\",\"total_"
    "amount\":\"12.34\",\"subject\":\"两杯 coffee\",\"time_expire\":\"2026-11-23 10:05:00\",\"qr_code_t"
    "imeout_express\":\"15m\"}&charset=utf-8&format=JSON&method=alipay.trade.precreate&notify_url=htt"
    "ps://shop.example/notify/alipay&sign_type=RSA2&timestamp=2026-11-23 09:50:00&version=1.0";

static const char GOLDEN_URL[] =
    "https://gateway.example/gateway.do?app_id=2021000000000001&charset=utf-8&format=JSON&method=alip"
    "ay.trade.precreate&notify_url=https%3A%2F%2Fshop.example%2Fnotify%2Falipay&sign_type=RSA2&timest"
    "amp=2026-11-23%2009%3A50%3A00&version=1.0&sign=M2WlYAFXJseelKXq9ZaOpq%2Fi9fDZazlknK02WHydkW7JXG0"
    "rhgd1AFxBpIfM%2Bbk2fYeJHAWarHnilNH6rTqcl1INVIG2FCcjtL%2BLYxU7%2FnebJJJMwmW0gfReLk4XtD6fQB%2Fo8%2"
    "BeLaCkXPSpmGVXO7np%2F5KVLLo8sZad9BDkwUYXSBq5uTsfSl9QEsivuXE1Gr1Ja%2BcfLTvfJw94JcQ%2BL2WJYzwm9Ih7"
    "WsiP5aFNE3%2FcVGF8WMWWW6S8Au%2FPT%2Ft9dM0iUvzbWtsqHFqDpObEV%2F3GwnUGIQL2onNckplQG2xSRHhXxwkp5EXo"
    "rnwK1fOA905RODG05b8lLDN3kjI3uyw%3D%3D";

static const char GOLDEN_BODY[] =
    "biz_content=%7B%22out_trade_no%22%3A%220rpgv5gymwqv0kj329159139epk9c%22%2C%22total_amount%22%3A%"
    "2212.34%22%2C%22subject%22%3A%22%E4%B8%A4%E6%9D%AF%20coffee%22%2C%22time_expire%22%3A%222026-11-"
    "23%2010%3A05%3A00%22%2C%22qr_code_timeout_express%22%3A%2215m%22%7D";
// clang-format on

#endif
