// SPDX-License-Identifier: Apache-2.0
// Signed by the providers' SDKs, and by the openssl command line, with the keys of keys.h; written by
// test/conformance/golden.py. Alipay's side has ALIPAY_PRIVATE_PEM, and so has WeChat Pay's.
#ifndef TILL_TEST_CHANNEL_SDK_GOLDEN_H
#define TILL_TEST_CHANNEL_SDK_GOLDEN_H

// clang-format off
// alipay-sdk-java, over the parameters of golden.h
static const char SDK_PRECREATE_SIGN[] =
     "M2WlYAFXJseelKXq9ZaOpq/i9fDZazlknK02WHydkW7JXG0rhgd1AFxBpIfM+bk2fYeJHAWarHnilNH6rTqcl1INVIG2FCcjtL+L"
     "YxU7/nebJJJMwmW0gfReLk4XtD6fQB/o8+eLaCkXPSpmGVXO7np/5KVLLo8sZad9BDkwUYXSBq5uTsfSl9QEsivuXE1Gr1Ja+cfL"
     "TvfJw94JcQ+L2WJYzwm9Ih7WsiP5aFNE3/cVGF8WMWWW6S8Au/PT/t9dM0iUvzbWtsqHFqDpObEV/3GwnUGIQL2onNckplQG2xSR"
     "HhXxwkp5EXornwK1fOA905RODG05b8lLDN3kjI3uyw==";

// As they left npm alipay-sdk and alipay-sdk-java: with and without notify_url.
static const struct {
    const char *query, *body;
} SDK_ALIPAY_REQUESTS[] = {
    {"method=alipay.trade.precreate&app_id=2021000000000001&charset=utf-8&version=1.0&sign_type=RSA2&times"
     "tamp=2026-11-26+14%3A52%3A27&notify_url=https%3A%2F%2Fshop.example%2Fnotify%3Fa%3Db%26c%3Dd&sign=qon"
     "m7L6M5WdxAOleC2eDcw%2FWxgXg2rHKC3nGaVuKINlnUz5c5mmQN05k5vU8hg35kB4RlEKTu%2FG2PILIHURXxKZjxK4wdQoRvsq"
     "6v26WFtVDxwbq%2Bup0213oAY%2FSUqoXVhhKBp%2BjlwTCEHCa2svTp9WoExYrSBgZDzf3PyUkx9FqhfMrvAcusolpMi%2FViZy"
     "%2FrlOv1dXH4a73d6%2FfBlxUb%2FRyEIptCDockuFVCsExbi5GLmFNIv9YFaHBnoR6hoQGC5eKXlx%2BSyzC6YZA%2BdMwb9vLJ"
     "1RnbSrWS%2FD9L7nU1g5nnp6hdqUWBLCQBoFIOyceeBEm3ljNu9vNZE4WrGhW3w%3D%3D",
     "biz_content=%7B%22out_trade_no%22%3A%220rpgv5gymwqv0kj329159139epk9c%22%2C%22total_amount%22%3A%2212"
     ".34%22%2C%22subject%22%3A%22%E7%BB%BF%E8%8C%B6+100%25+%2B+1+%5C%22%C3%A9%5C%22+%5C%5C+%F0%9F%8D%B5%2"
     "2%7D"},
    {"method=alipay.trade.precreate&app_id=2021000000000001&charset=utf-8&version=1.0&sign_type=RSA2&times"
     "tamp=2026-11-26+14%3A52%3A27&sign=dhQmyrrvBbZYj1%2F05V7B5UvERGSph5AX2ypxK%2BZpW0zyttNel98wDql2%2Bd9T"
     "beNTmBcgwISqTS2UMQA1%2BzkEArp%2BNgAtIi%2FxvKQEkk4%2B2ziZ3AwRF7wFENkGK%2BPNhGiKhYvq8%2B%2FhvrOh1Q0l3H"
     "NPXt05EYkwIVYhBhrKWzac%2B7MKBdbPHgT6Fzo6cXsOtIKkABAm05XreHRVmJqHrN40XyNLCfSQMdUo7PcHfJjebLJz%2B6mNAH"
     "jI6US9V4BlddryHcjaVF7DVGzQN1w6CigYWu7yTkH8zqCWhk36eDumQFTT4zoJWyVRRBFHkECyYO4cOvq3sHasN1DDeSZnecF27Q"
     "%3D%3D",
     "biz_content=%7B%22out_trade_no%22%3A%220rpgv5gymwqv0kj329159139epk9c%22%2C%22total_amount%22%3A%2212"
     ".34%22%2C%22subject%22%3A%22%E7%BB%BF%E8%8C%B6+100%25+%2B+1+%5C%22%C3%A9%5C%22+%5C%5C+%F0%9F%8D%B5%2"
     "2%7D"},
    {"charset=UTF-8&method=alipay.trade.precreate&sign=k%2BNuuqUrxgAJ4cwiNzkP%2FXbjE3swlXA%2BVWObfvA%2F5Un"
     "5xNBOvEDk4abbJJGrR2Y%2FOWxeaVx%2B8B5Xkv6bpf%2FkIOo4Sdz8CjERwjFrTrZXzz68rVMT5rrhDfEkxV8%2FeL50ggcaXNc"
     "fFOJ%2FxYlOfGZxSm%2FJ0auYMKoY6X36HK0CpS2sEJN6IQ8Om93Ph4VXbhk8c4fpq8m0TjvS8eCzl1y4LPUAHeGES299htvIIne"
     "UoUBRywUUkGkG0RdjYpZE5MGXJpkNh0lRZKUTh2ocs48dY7JKw5mPgIKV%2Bv0rE4OG8tbiGMLqVEIXHVasFFd1HyMrz%2FoBxE%"
     "2BdBuE3ENxJbjI0jg%3D%3D&notify_url=https%3A%2F%2Fshop.example%2Fnotify%3Fa%3Db%26c%3Dd&version=1.0&a"
     "pp_id=2021000000000001&sign_type=RSA2&timestamp=2026-11-26+14%3A52%3A27&alipay_sdk=alipay-sdk-java-4"
     ".40.734.ALL&format=json",
     "biz_content=%7B%22out_trade_no%22%3A%220rpgv5gymwqv0kj329159139epk9c%22%2C%22total_amount%22%3A%2212"
     ".34%22%2C%22subject%22%3A%22%E7%BB%BF%E8%8C%B6+100%25+%2B+1+%5C%22%C3%A9%5C%22+%5C%5C+%F0%9F%8D%B5%2"
     "2%7D"},
    {"charset=UTF-8&method=alipay.trade.precreate&sign=nn6SNCh0CGigNSJkafKm5cTdPgSc%2FDDnl6ayKQjBpqE5EGef1"
     "mIVsrBhIfrYnBaRlAlKmtce24URwdCCRhHxHzCGS%2BKq38kDV4uwVr6GcT2D0fVw%2FHCyELFER0Gwr2VSBYK1GS%2FIgayysK%"
     "2F%2BuQdnpA281IkrY4Q5kK6Ig%2FLnDjEoDag8BnPu6H1IzaseqRVKc79uMNaVihZ5QMm6h9rsmK4bWTxijVDZ3qnlpNgR%2B2f"
     "qpsk4XwTPmusg2689dD22dX%2FjWaoei%2FYrJhnODUkHX1ScPF2sE2l%2FRyCtS1qs4yOrb8ig5rgSHCf6rm86eHfNbDbEevhmx"
     "YwFxspXQjAc%2BQ%3D%3D&version=1.0&app_id=2021000000000001&sign_type=RSA2&timestamp=2026-11-26+14%3A5"
     "2%3A28&alipay_sdk=alipay-sdk-java-4.40.734.ALL&format=json",
     "biz_content=%7B%22out_trade_no%22%3A%220rpgv5gymwqv0kj329159139epk9c%22%2C%22total_amount%22%3A%2212"
     ".34%22%2C%22subject%22%3A%22%E7%BB%BF%E8%8C%B6+100%25+%2B+1+%5C%22%C3%A9%5C%22+%5C%5C+%F0%9F%8D%B5%2"
     "2%7D"},
};

// alipay-sdk-java: one answer, tight, wide, and with its slashes escaped after it was signed.
static const struct {
    const char *body;
} SDK_ALIPAY_ANSWERS[] = {
    {"{\"alipay_trade_query_response\":{\"code\":\"10000\",\"msg\":\"Success\",\"out_trade_no\":\"0rpgv5gymwqv0kj329159"
     "139epk9c\",\"trade_no\":\"2026112322001400123456789012\",\"trade_status\":\"TRADE_SUCCESS\",\"total_amount\":\"1"
     "2.34\",\"subject\":\"绿茶 100% + 1 \\\"é\\\" \\\\ 🍵 }],{\\\"sign\\\":\\\"\",\"store\":\"a/b\"},\"sign\":\"lupTqhc/mtc3MlEo1wGs"
     "ogrclaKX6FYjN1jrUqMIW2/N1PKFqFrYgI+CHitxKEvU/EKp1CkE1MPIoj9gCcWyPQ0F3u/vqfcAxaisOP6p7V9RcyIrowAkDI1c"
     "dGNglcUKz0R08EHlYTRw8vfa3uNa+jWQF8hfPNr+v4jCwthJ+V0YN9BEToNWmYWml24hWfX5BtttcSFXNnwbVKgw1B0qgALtYw4P"
     "eLRK650H2IkKfXoa+FRRCrDI7dN6aPtoAsYAGdU7W9rxCZ12RAJdV0cqCVRReBcbAukyPuwu/M2uebPnDFEWsJfSGsPaf3GA+KOl"
     "3YQPhLf9yxf0ciVWTO1HBQ==\"}"},
    {"{\"alipay_trade_query_response\":{\n  \"code\": \"10000\",\n  \"msg\": \"Success\",\n  \"out_trade_no\": \"0rpgv5gym"
     "wqv0kj329159139epk9c\",\n  \"trade_no\": \"2026112322001400123456789012\",\n  \"trade_status\": \"TRADE_SUCCES"
     "S\",\n  \"total_amount\": \"12.34\",\n  \"subject\": \"\\u7eff\\u8336 100% + 1 \\\"\\u00e9\\\" \\\\ \\ud83c\\udf75 }],{\\\""
     "sign\\\":\\\"\",\n  \"store\": \"a/b\"\n},\"sign\":\"m4VwtwdGJNDS52v+FkeDzgeZn4i5HxO+zRKzgMPmuUEMOZieKdBu8v6YHkBXK"
     "17XQC+ODTLexQbpR6sriH/WYk58zdrwM/RQnkwlKhlg3L7syRs9Yq8CzvBodXCnQAOypdTiQxAy/pFSWvQG3ZLwVi5bIFfih2mCP"
     "7QJnQhHsHlvTzrZxs2Jr6FL/z1KHcuSGPJrJyhyKfM9S5+G4yb9KF3NZZsmhxiCfOBv0HekoDXJCzc5yAvyEFZTUPPC6+dmyRSmZ"
     "9ZuKNdNULNiCuRsrlFOReMiZT82nSnKKmdWwbLuqb6FcfQFclxDYCdA8TTvCbWURf8f8ng8BSIx0IpIbQ==\"}"},
    {"{\"alipay_trade_query_response\":{\"code\":\"10000\",\"msg\":\"Success\",\"out_trade_no\":\"0rpgv5gymwqv0kj329159"
     "139epk9c\",\"trade_no\":\"2026112322001400123456789012\",\"trade_status\":\"TRADE_SUCCESS\",\"total_amount\":\"1"
     "2.34\",\"subject\":\"绿茶 100% + 1 \\\"é\\\" \\\\ 🍵 }],{\\\"sign\\\":\\\"\",\"store\":\"a\\/b\"},\"sign\":\"lupTqhc/mtc3MlEo1wG"
     "sogrclaKX6FYjN1jrUqMIW2/N1PKFqFrYgI+CHitxKEvU/EKp1CkE1MPIoj9gCcWyPQ0F3u/vqfcAxaisOP6p7V9RcyIrowAkDI1"
     "cdGNglcUKz0R08EHlYTRw8vfa3uNa+jWQF8hfPNr+v4jCwthJ+V0YN9BEToNWmYWml24hWfX5BtttcSFXNnwbVKgw1B0qgALtYw4"
     "PeLRK650H2IkKfXoa+FRRCrDI7dN6aPtoAsYAGdU7W9rxCZ12RAJdV0cqCVRReBcbAukyPuwu/M2uebPnDFEWsJfSGsPaf3GA+KO"
     "l3YQPhLf9yxf0ciVWTO1HBQ==\"}"},
};

// alipay-sdk-java: signed without sign_type (V1), and with it (V2).
static const struct {
    const char *body;
} SDK_ALIPAY_NOTICES[] = {
    {"notify_time=2026-11-23+10%3A04%3A05&notify_type=trade_status_sync&notify_id=2026112300222100405&char"
     "set=utf-8&version=1.0&sign_type=RSA2&app_id=2021000000000001&auth_app_id=2021000000000001&seller_id="
     "2088000000000007&out_trade_no=0rpgv5gymwqv0kj329159139epk9c&trade_no=2026112322001400123456789012&tr"
     "ade_status=TRADE_SUCCESS&total_amount=12.34&buyer_pay_amount=2.34&gmt_payment=2026-11-23+10%3A04%3A0"
     "4&subject=%E7%BB%BF%E8%8C%B6+100%25+%2B+1+%22%C3%A9%22+%5C+%F0%9F%8D%B5&fund_bill_list=%5B%7B%22amou"
     "nt%22%3A%2212.34%22%2C%22fundChannel%22%3A%22ALIPAYACCOUNT%22%7D%5D&sign=D0gNNQZdsTPzudFoks1Ay%2BAIb"
     "TDt00edMDaaEOvhDx%2F%2BAhXpSlJL6Ig7VWxCG49ovUPE91OkML%2BNtReErxXvitstBLAw7%2Fx2U%2FiLRT1z9Fpr9cdJ04W"
     "57xUdH%2BKfC4LbwF9puBElvp8uN13w9z7Yv5eSqiC%2FXLA%2Fz1TnWFfvqzmgKdutmieokcPjoK%2FIeWMnVdI4KoF4XUnBct%"
     "2B%2FK14j5xSES1mPrH9Y7OPjP3%2FaA7nFGNThX5TA0O%2F%2Fr%2BJs1F5ZzM0QmB72tCaXfadBONhz8L37PC7WseapHN5Tokr"
     "rQ%2Fc4UA04BkGd6chAu0Mj8JIlvoMzZKhDOyI3CWkFcbqeWQ%3D%3D"},
    {"notify_time=2026-11-23+10%3A04%3A05&notify_type=trade_status_sync&notify_id=2026112300222100405&char"
     "set=utf-8&version=1.0&sign_type=RSA2&app_id=2021000000000001&auth_app_id=2021000000000001&seller_id="
     "2088000000000007&out_trade_no=0rpgv5gymwqv0kj329159139epk9c&trade_no=2026112322001400123456789012&tr"
     "ade_status=TRADE_SUCCESS&total_amount=12.34&buyer_pay_amount=2.34&gmt_payment=2026-11-23+10%3A04%3A0"
     "4&subject=%E7%BB%BF%E8%8C%B6+100%25+%2B+1+%22%C3%A9%22+%5C+%F0%9F%8D%B5&fund_bill_list=%5B%7B%22amou"
     "nt%22%3A%2212.34%22%2C%22fundChannel%22%3A%22ALIPAYACCOUNT%22%7D%5D&sign=qQrBIQ6z6ql7yL2rBZ4%2BkHDcA"
     "SqBAJUb0eC9pnJHvVZ99tSfWTrC04%2Bc4dmjAYphmDIw7j4OlzwtzATqhm2Wd7I0bNOOYT9ZlbbIH4nlY3S5WeEZp5CVk1KQaXV"
     "GX4PZtv1tJNZauB9tRmKpG7fqW%2FJiEEO2yGLT8MVmxEcOOLodaHNFqtlZWkkGsB03w%2FN%2FMtXK8g6ymGlV%2FVmiurYNe11"
     "kzLIyt4ixqkzUWwJtOYMJaaq%2Bf7XXsPBJVv2fKvEtVyo4udhfMkXtCiDrXxYs0sPSgMeH0KgfNkiHasufE00u8qMDrx08ZtUkx"
     "tLD4C5JGL9%2BnT0oSjtQWHYwx2i2zw%3D%3D"},
};

// As they left npm alipay-sdk's curl(), and at last alipay-sdk-java-v3.
static const struct {
    const char *method, *target, *authorization, *app_auth_token, *body;
} SDK_V3_REQUESTS[] = {
    {"POST",
     "/v3/alipay/trade/precreate",
     "ALIPAY-SHA256withRSA app_id=2021000000000001,nonce=f12ddcdd-d3da-4002-b52b-691b36f700e8,timestamp=17"
     "95675952333,sign=UjcuzswvZU3WLb3MKoln8wWo3C96S5O7vEjOKsxQaG7ahZorXskuIuir3z+NnN3rgFXN848oPBtIYyUgPx9"
     "yKAwxXDhjiDw/T4e7bwQe2FZMlfdC2TyefFlUgoEnSgb4tCitySNCq/pk8U5WCeLdAvF2uIXj63UtBtIVoa8jQeh3SvqQn8NSUfb"
     "400+gcr9tzAePzquA7HsQwiFimKBIOvovXCC/eSDgcEOFr9i0sgMTXJmJGVCx03POT3xRQTI+PLXApKHJEi4vAyP6WhsADM4JkCz"
     "E0Zu2gzCr06ZHZO7OpvqW+yoPkQvNExOhUy0qiD8RFK1T+3HykHMJTuqnbA==",
     "",
     "{\"out_trade_no\":\"0rpgv5gymwqv0kj329159139epk9c\",\"total_amount\":\"12.34\",\"subject\":\"绿茶 100% + 1 \\\"é\\\" "
     "\\\\ 🍵\"}"},
    {"POST",
     "/v3/alipay/trade/query",
     "ALIPAY-SHA256withRSA app_id=2021000000000001,nonce=87def7ba-309d-4260-ba21-540971ad6998,timestamp=17"
     "95675952362,sign=r9strulpZ2MKBSdoON3QBH9lme9+oIA7Lvav1QT3d1P0Lym872d/QdV7j8/dlu2X3HeYVbKWDrdof9T1V9e"
     "mwiGNp/Zkt6BRGc6jdyd/IalS5rkhj4LSDlZYwomzCgThZEeg6QceuLo9ngyKbn/6g0IhTuTGsFvWMHsuQNw/vQkH6PbZvMfMPhp"
     "fK2E8Yu+QGA/p77zcsRiM349n0TuKR8Al/v/4SNxkSYLnp9As6+iafDhZYivI4A8CJNtJh9wtmfNn8NU2dOBHvcaP1KJPBmNSeXe"
     "ydzihhVHVQL2ikq42g7H04s9/ieRTXA/mf+1InGISSjvNr676WDBDcxu1Zw==",
     "202611BBtoken",
     "{\"out_trade_no\":\"0rpgv5gymwqv0kj329159139epk9c\"}"},
    {"GET",
     "/v3/alipay/trade/query?out_trade_no=0rpgv5gymwqv0kj329159139epk9c&x=a+b%2Bc%2F%C3%A9",
     "ALIPAY-SHA256withRSA app_id=2021000000000001,nonce=b3849bca-0fd6-48a4-a93a-9ae9151a9f8b,timestamp=17"
     "95675952379,sign=qLNfIWXS98PLmJTpcDsfpEE35E+uLEqysModuz7DrTrCtH4UTo8tRYBywBV3ewf+OE+So8fi9OBoKWGf8uK"
     "8l/dUDXIDyt4aH+iveHPRolh8xxeUKjzuQTHrdNiXcTvILiPXWfRPUmyAsPutXnPKM5JHYeJSkTyHQQTqYPxk68h40DitqiXNBbv"
     "MmDbQFR0OxqVbVEZKzbPc1uFmxm8d7IHhCqWwf3jDEf3Rsk1mqAlSfDSLh4kkEXDl/y0gD0qMfmbsK4C4KQZOERyutZp1BfawbSj"
     "D/rF2rV/0oxS/vJdCl/UtB46dbI8Bmq7UCeGqu21rXuYS3vPZr7snVGkrCA==",
     "",
     ""},
    {"POST",
     "/v3/alipay/trade/precreate",
     "ALIPAY-SHA256withRSA app_id=2021000000000001,nonce=3be6bdb9-53e8-4396-83f9-7cf61c6a8636,timestamp=17"
     "95675956296,sign=eNryCADQSYJxSrNsjbQUauf4tKuV4OKQYZ+Sn6dIRdmgJl2UQvmkVmFavd84R6+vktCAqKvuDlb6hWozDc0"
     "o0Jfv/y60MjogBFnpp+GclT//YHVtZNuxxdE1gX6WvBKXs87/lHvxSiQJXdsV16vJ/7GwkFWxtWgXqJ7QS/19f4UZhdC/dEgH2qK"
     "e050d1JSLDLKvHeVopC9/V1uLOEBo9/DYjrZvh8x1PGckgP8MNbU8hxFMLaPNbV28xjSvVhL8cY/WFx73DItMeE3g0r+LURHEodX"
     "9iCsWUGcoQCt4y7I3NLjUwxovxLe2vrS9W1oSHUjtPAeBXjTQy/FAQ9WJFg==",
     "",
     "{\"out_trade_no\":\"0rpgv5gymwqv0kj329159139epk9c\",\"subject\":\"绿茶 100% + 1 \\\"é\\\" \\\\ 🍵\",\"total_amount\":\"1"
     "2.34\"}"},
};

// openssl
static const struct {
    const char *timestamp, *nonce, *body, *signature;
} SDK_V3_ANSWERS[] = {
    {"1795398600123",
     "8ca2b1b3d0f14ee8b1d0a96c4f6bf3a7",
     "{\n \"qr_code\": \"https://qr.alipay.com/bax1\", \"x\": \"茶\"}",
     "PqlT+B0E+va7xEsYMKNiqLbnSzgGibc1DlKfAenwA3b67lbA4oafNf1oKMaIuBAC62Yd62jsjAX9sNeckRtxDHIUMazbO1eByTlk"
     "IwZwNT526FNKj01YLaxKoIM+Zkx+xV5CL0taSbc+x42W+08gzvf5XXzD/CkXEYJdjXt3YgicNSaAObDjxCXRjYFIAtJ0ud9Az2IX"
     "/jftzcpzGq5wwI1doPX2iQg/unc+GVoIzrDfNy9qPugyerNi4+Lf9efn67aC2/OEPwAPpDUKOWxlyycDcMWH12MYteQIFNbGzfpm"
     "3sffjCbb5YRpk/5M/qUXHH4YvkYW4Edk1VGh4DIJ4Q=="},
};

// As they left wechatpay-axios-plugin.
static const struct {
    const char *method, *target, *timestamp, *nonce, *signature, *authorization, *body;
} SDK_WECHAT_REQUESTS[] = {
    {"POST",
     "/v3/pay/transactions/native",
     "1795675957",
     "YUZN1GfmqlPs08qs6FyhEVYzd10yq4W0",
     "cA/XqGFv4rATCYUcZkNy+HBNAPtfJGP+Ah6l6vXJLpbsflkBhCv1LmaRPZM48TYZm/RVicehz6ipffgkdQGuAYO5m2OO6h/6VYRl"
     "THuOA6hp77gI/b+Yx1LnfLd/yrGWguPoZlDyhsPhiBup/HVdPVI6ZJ8yLmmcf0iUjYN0YR/1KaQ3UpfhAxskeCsUjGrvs3qXAljX"
     "2FuBfryq5+Tosf3xKvfGjs7NJMIvylFL52KwV8p0/b5e2P5EAF9NRKkMgk0JCurCZNCCc/DvwxJ2OiB+3tCLwMbAl75yExKmFiEw"
     "Hoto58AdM2vPuWAPsl2yG1cJnQOFk3FsHJJIY/7pkw==",
     "WECHATPAY2-SHA256-RSA2048 mchid=\"1900000001\",serial_no=\"5157F09EFDC096DE15EBE81A47057A7232F1B8E1\",ti"
     "mestamp=\"1795675957\",nonce_str=\"YUZN1GfmqlPs08qs6FyhEVYzd10yq4W0\",signature=\"cA/XqGFv4rATCYUcZkNy+HB"
     "NAPtfJGP+Ah6l6vXJLpbsflkBhCv1LmaRPZM48TYZm/RVicehz6ipffgkdQGuAYO5m2OO6h/6VYRlTHuOA6hp77gI/b+Yx1LnfLd"
     "/yrGWguPoZlDyhsPhiBup/HVdPVI6ZJ8yLmmcf0iUjYN0YR/1KaQ3UpfhAxskeCsUjGrvs3qXAljX2FuBfryq5+Tosf3xKvfGjs7"
     "NJMIvylFL52KwV8p0/b5e2P5EAF9NRKkMgk0JCurCZNCCc/DvwxJ2OiB+3tCLwMbAl75yExKmFiEwHoto58AdM2vPuWAPsl2yG1c"
     "JnQOFk3FsHJJIY/7pkw==\"",
     "{\"appid\":\"wx0123456789abcdef\",\"mchid\":\"1900000001\",\"description\":\"绿茶 100% + 1 \\\"é\\\" \\\\ 🍵\",\"out_trade"
     "_no\":\"0rpgv5gymwqv0kj329159139epk9c\",\"amount\":{\"total\":1234,\"currency\":\"CNY\"}}"},
    {"GET",
     "/v3/pay/transactions/out-trade-no/0rpgv5gymwqv0kj329159139epk9c?mchid=1900000001",
     "1795675957",
     "anWMuajgtCNwe6NddPCdIUNTrLN1Hyk1",
     "StkfijRs9M2l2wp8h5S5f7SeGVGKMCruBayukb0ueWujKjWIZp6ZGWLlT0OF95xcQKGUL6pjfoWUnKuf888IDQFBoMV/qYUe7w1p"
     "UfzAWBAe6CfskIBtPim6ygJd8TTMnwltTA2OWuaURzM33YLKUuM5MahspDo0v5altwySXr0pgxTZGjQxxPjgH6RsUxbdh4Tegr+d"
     "uzJmGLER8u5BIA/0SlifW9q6+mZSRg20sDqD7nJ8B7dX82e13OouQB92Rzr5RxTzn2j5pMEiHvvHu02RPqtGa1mLMrmp9zJUoR2V"
     "fC/FNwrD1XJbIiM5bpF5t3i4qeuNQekn+gaFxvJK9g==",
     "WECHATPAY2-SHA256-RSA2048 mchid=\"1900000001\",serial_no=\"5157F09EFDC096DE15EBE81A47057A7232F1B8E1\",ti"
     "mestamp=\"1795675957\",nonce_str=\"anWMuajgtCNwe6NddPCdIUNTrLN1Hyk1\",signature=\"StkfijRs9M2l2wp8h5S5f7S"
     "eGVGKMCruBayukb0ueWujKjWIZp6ZGWLlT0OF95xcQKGUL6pjfoWUnKuf888IDQFBoMV/qYUe7w1pUfzAWBAe6CfskIBtPim6ygJ"
     "d8TTMnwltTA2OWuaURzM33YLKUuM5MahspDo0v5altwySXr0pgxTZGjQxxPjgH6RsUxbdh4Tegr+duzJmGLER8u5BIA/0SlifW9q"
     "6+mZSRg20sDqD7nJ8B7dX82e13OouQB92Rzr5RxTzn2j5pMEiHvvHu02RPqtGa1mLMrmp9zJUoR2VfC/FNwrD1XJbIiM5bpF5t3i"
     "4qeuNQekn+gaFxvJK9g==\"",
     ""},
};

// wechatpay-axios-plugin: an answer, an empty one, a notification.
static const struct {
    const char *timestamp, *nonce, *signature, *body;
} SDK_WECHAT_MESSAGES[] = {
    {"1795675957",
     "W0FzZ1pZsYppkHkxDSNRhZB82Tcu16Vf",
     "K8p8M5PdIAO9sOUw12PR9lVYFC1V/ffBztBZD/raMCpR4B9sS2x4l2q6gH0rSKgd1k9vVd54B0FUcDTq87ZvnmnRU0XocjSEUVOA"
     "B97DKwipudhXKH0TQsDllgGTNYZGFJsHVcQ8ljq/E3sG1ag3rk2pzV/RNu85EKskvoil/kmLyl1IgVjiXw8CILfbSBzH+JCwWiKO"
     "l/ovLgVj1rsBYJV29cc5sJSLDqL3wWsXhBJX9IUUSDkspscE141NnUyII+n5ONoRV7tAhSCFJdkO/uhs//kZQYBEaDFlZjpBJg3h"
     "7suMwinDwWUjJPSywWicgjctdVmzkAfhaHmsOOGDmw==",
     "{\n \"appid\": \"wx0123456789abcdef\",\n \"mchid\": \"1900000001\",\n \"out_trade_no\": \"0rpgv5gymwqv0kj329159139"
     "epk9c\",\n \"transaction_id\": \"4200000000202611230000000001\",\n \"trade_state\": \"SUCCESS\",\n \"trade_state_"
     "desc\": \"支付成功 </>\",\n \"success_time\": \"2026-11-23T09:49:58+08:00\",\n \"amount\": {\n  \"total\": 1234,\n  \"pa"
     "yer_total\": 1000,\n  \"currency\": \"CNY\"\n }\n}"},
    {"1795675957",
     "iSNDEaBOSVjYvRjREqcfvepiF7XR63ug",
     "CKnnn77noveVEhuEM6X/+qPw7dJCZ2goiLCKA7WaepiDfemZ4HMVQxBp++y/igihcpr+lw/6gReHnn1fzjZRECoDBA+WDwZ93VqM"
     "bGzOgUueczMf+qwR9sCx/KGf4WSyIqHGIv1iNw9KSbBknPCPv2vLvWy2lU8Y8BfqPusexbnqZIPyWvAL7JiPQb31+q3wfCYM0zqP"
     "LC4TNOUTKuSDpnRUo97cG416FT0+BK99+Zn4or1hbn49amM5Fu5nRz7ipZZbfrUoRAVfQNkyCL+AShEW6coQGd2J+NOAX9qxGeCu"
     "Akq7T/Ar8IbWSkkFm1T3IByb7uyg+Yl1USIk1RzACA==",
     ""},
    {"1795675957",
     "mQ8EIomiDXevzwvwy5OOkTtCifFkezPt",
     "Gea50/DStoh/xsCF4tZRQvLh5OHkaT9fQhP0wY2kHYTdSQDvIu1Nht3iF69b+ltMN0AYgMOMjM3QZK9WPuYFsIC9cWHOosP5xUgR"
     "HlwC5XH8MRPnDWb5v3Ii3lHEXN55UOXecY24CRT/6jCmhcKq3zh6OjcvUtAs3ugxUU+PNx9228pzW9f/uAhusEbtS9Abebj4jTZf"
     "Zg9uFI/tlVJz+ISRqCath3xbBjn1KMSRkz/IHXYA4STRnUG7eFrq4yhQJIAG4N9QRojtcNP3MAUk7l663y8ywPwdhvL3PgaCvmRQ"
     "BOytZ+31l3tuUWFpcmtvhD1eI1XUaZhZ1kjWdpXlAA==",
     "{\"id\": \"EV-1\", \"create_time\": \"2026-11-23T09:49:59+08:00\", \"event_type\": \"TRANSACTION.SUCCESS\", \"res"
     "ource_type\": \"encrypt-resource\", \"summary\": \"支付成功\", \"resource\": {\"original_type\": \"transaction\", \"al"
     "gorithm\": \"AEAD_AES_256_GCM\", \"nonce\": \"fdasflkja484\", \"associated_data\": \"transaction\", \"ciphertext"
     "\": \"bz1oRW9YkCFlgrfQpVZfuh9Gaq/+zWACQA8wdQXrNYRg7ilZlWzms+BWnJ6nPKWRilkHBW6iSrzRe415Me5ptxkCxDlPFR6l"
     "r0Sj39riUq1KOcfIlzWS3iYLNPddkZoodhwaNrzBPKTZtfc0hGegsWdQuJpGG8c5bMXWKkg2/ITeMAI/EucRwtacD/rAaNDmWLiC"
     "lLU/NY8oyrOieynwZFppDseHHE72zzdMdi0ioLHPmUgfNpIFd8IuxypYLErN2qrpaAypKY9BvJNBLmmSGisaAvTXOuSS6+1XhbbK"
     "fbVVclmeG9INlWMV0jHKrHyNAkyC3iBi6XsgTjZs0jc0h+QzfMaEXYVp0uh6FeFdbJ2xkd6+e5cAmZCYgl5EfNuodFAi5HWOCHOQ"
     "X/tMzgt0adVn4u/ZMEZsUb6fPJcbM9fi2WcruS0bB5yn5RXs4pXPc+rjKwTRgiPaKV8W4KYzVGhrpvncj8Y=\"}}"},
};

// clang-format on

#endif
