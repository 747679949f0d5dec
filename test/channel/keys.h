// SPDX-License-Identifier: Apache-2.0
// Two key pairs made for these tests and used nowhere else. Fixed, because golden signatures need a fixed key
// (PKCS#1 v1.5 signatures of one text by one key are always the same).
#ifndef TILL_TEST_CHANNEL_KEYS_H
#define TILL_TEST_CHANNEL_KEYS_H

// clang-format off
static const char APP_PRIVATE_PEM[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC27XOpXHeHS3Fp\n"
    "q5jia/sjJkhYYBGbZsnsSP/03OR9nXdPZ5FG9T+0ox2kw1fnUmgU2eCzEvImWlRL\n"
    "nvY9651hfsNlMuUJmXXH22JAyJT4RKsOgEj2tPxRN92Pvq33UdSi+Ow2afHOwdNP\n"
    "cSDoVHirv75zpLmt/8qiWRjWZgRgp8cccbfLPOzH/qiNkVtoZVbSe6siPA3f0Koa\n"
    "4R+T1bmwOaPKTw5PCtth8ZlJkQFdeVFkcVri0YfzBrNqypbC/JXWUr34zwr81kWo\n"
    "yXFv++mgL2KaYhQZTYy62v521qOpfDOTd4c9hcB43mLkwZ2Qr/UR0xS08/8Z07SQ\n"
    "Bun2jxSlAgMBAAECggEACUC7j/6IYUSUqQawBgv2ORHvqOC7I0QwxI3wvH8L47q6\n"
    "VT7k31T6cvWpQzNKV/4YG63lqskzjHMXPnf89qbbYBocYhsP8MtdZM2ZC7PZrTE0\n"
    "AdjFWA1Rkf4ka+f2PsNZ4SB8OkhjndS6DpOnWXkkXXOme40Cg2Wj51BgbD/eytC7\n"
    "v5pEZiM9RnkSM2YLqd0QEBff1pbwLiBiSzLS6ZYDPbWjspyKPEH2MVIlAGgWtjfN\n"
    "O+suqe2UmRMWE28bUUStjCyftB9g0um5HxvSMbF6rcKrDbevU1cF1uCYdDT02d2x\n"
    "+jgMPQCQaAe3UOcM3VtQLqsxU9A9eba5RVwQlD0zJQKBgQDxzKi4PHcEGFryXkon\n"
    "w1BkG9NgM3jKz/LjCKJ3Gm/9Pgj0iuJ4Q0ZtsVN/x3/32w71xEaYwAxiymYbnFRv\n"
    "2fsk8xgdxMFvVwoJezDje2Qk4pvVkF3k39TkryBXlkAX7UEMqmpLskft9NTJovnH\n"
    "piKoAeV0yVXpwucsVhJhRlYT/wKBgQDBq65uzqp2VqZczKSjjO5+8QtM09QdXw4q\n"
    "QpQPYhTRZTnEAHe34tKuJpdHagrtYD4Sv0GmLASpFc8SFx2r8H8tU883MoCZikN3\n"
    "p3YC/QkbDy0Wi+21cG2tOkMVF54cATpQiobThLFRqLW0s4EdoGcIfPDKjEdCrI0B\n"
    "ngM2HJYHWwKBgAnazHmNxU/+ah58p0sNk8YwuCGwl1i0tvJ31J9EDZJlp9nHm0lJ\n"
    "fKJV2tBXYijI3cg4cqQhF6AjHZw8d9iDKtArtCzqavPNuVP/mFN9IOy765v9oUYF\n"
    "tViIpqnLLtuKyN7qRyDEqFfTZaS+Jq3zYHA2e5KR7hVz4xYUf/VE95cjAoGAAnYt\n"
    "LGliD0kAqlNLkGydJ23m594VZx4rLuxTt3JWs2am+k/LNcIjTWVeLOEzLFs5zsEx\n"
    "k2whzwhg7mjuzp2q8CeNjbUNn2X7f4zYWidfM0HZH909cz3vlvETozP+pXp6hEWO\n"
    "eyfHnTMYxCg37ul4BcqYwOpRiY5p6GhawBhS69sCgYEAnQsHd7GwdpQVvo/xicf8\n"
    "KC9AHm2U26sNQLREdyS+jbWv5w1a7WWGWCzhxg54M7reESpyK8TvpNFqa5NiiU+0\n"
    "JLE8iQfDnVm2nWB7GsgMS0NEl6O+ryzEwZN74LE6OC68+2Az11eFIi1V8YhJNp7W\n"
    "8Kp9pB6HG9WSDopbS1sRZuY=\n"
    "-----END PRIVATE KEY-----\n";

static const char APP_PUBLIC_PEM[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAtu1zqVx3h0txaauY4mv7\n"
    "IyZIWGARm2bJ7Ej/9NzkfZ13T2eRRvU/tKMdpMNX51JoFNngsxLyJlpUS572Peud\n"
    "YX7DZTLlCZl1x9tiQMiU+ESrDoBI9rT8UTfdj76t91HUovjsNmnxzsHTT3Eg6FR4\n"
    "q7++c6S5rf/KolkY1mYEYKfHHHG3yzzsx/6ojZFbaGVW0nurIjwN39CqGuEfk9W5\n"
    "sDmjyk8OTwrbYfGZSZEBXXlRZHFa4tGH8wazasqWwvyV1lK9+M8K/NZFqMlxb/vp\n"
    "oC9immIUGU2Mutr+dtajqXwzk3eHPYXAeN5i5MGdkK/1EdMUtPP/GdO0kAbp9o8U\n"
    "pQIDAQAB\n"
    "-----END PUBLIC KEY-----\n";

static const char ALIPAY_PRIVATE_PEM[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDbZE/lp2Dq9vt5\n"
    "giUdh9V4ZCQ7a4/NZdLnZXcffC7jC5sKLUafyvTHdq/hOtivDKisFfIq2DyOqf8N\n"
    "qjidKn5MZ07QVLr8sEQOjCtcviBdMWR1jwev6onYmhDWnm0iigveaCEV04LNOZ0H\n"
    "Ab4wSR3Y4xyApA7t50s5Q6qN0PNF1HVJ7uqqAcw/qdbmAX1s7Uaj6igxbNvPsHo0\n"
    "SepXeP/05M8SbhSFxMSZLGIjMVo9ueAoY6BiBaXVQcsgKuX92uJeL3dRSsmHZHjT\n"
    "WtbecvIucR1d7OmRO4YU2018xuaCGnFCHWK/TsqD+VBhzgHXNwU4ZJGSn4KSt3rQ\n"
    "X08JrfZXAgMBAAECggEAFuTt7YI8++gQMArjwqQlI64XldfQpteEXb9Z4gA8iFby\n"
    "s+orn4s3ZgU9r1xLtmC0zVhw8AWmtCCLTCrCQ6xmh6SUNetRpALk5zu7Xq88g10f\n"
    "JaFqZPIttlvFfBAGRX9wY6IsKbHryWzEtTF6XmGS6sowdEAqiqsDT5N/HdN7P4MN\n"
    "zxLttr3cuxzA9FAoaIRafKtKm+K5/Sp8AsGiNlbpSvQTdaNh6PuG/87D+PIJh+he\n"
    "KUztmuVPHKlq4dXKzYBz9BkeZVP/ypkvMDZo2NzaVZUIuOyerEz6yYWxQWn4ajd5\n"
    "Q2926JKH53pqUxFpw611nJf6mTS2zWSYwmEz2CK7cQKBgQDv2+D4R2LI7uUtc5ri\n"
    "PSLJmeD2Jkezj5AvJQzNeQxxxXUCsxtvifdzOc0go61a0akQaRndVfwETZ3jnaTE\n"
    "1Sy3ldtQ7pIcUK4rlwsY4SdZT0V3BbljJXbkhMD3KAXVwE8f2hqgihLf2al4cPzO\n"
    "9l/dyhjd/tdN7VKPI9ABKagajwKBgQDqJ9dXRx/M0J56d3zGzrzc5xUWrIDonpZ1\n"
    "6RvC/qYQt5B/ryJyz4DOiKs24M1PV6GigP9P/Is4uGUSjDGVVoaCWolvZkM/LXec\n"
    "RyT9/RT5176/Y2sNZ7NyRFv26XbrF9FmyJizKKPsYwdYKnkNQV7CvFuHNoa8clvk\n"
    "yZJAwtdruQKBgQCXedi9cvejxZrd9WAe+FT71D4JtWsartNzsoY/TO7a+sRGjC4L\n"
    "ZqnrDtnIfxV/gWCviHBZI3Agl5PapzfjRm0TE4SJu+ByGVGlHaJYd/iNok5QOEE3\n"
    "p/VJo7zpWVE2CFjv2KFwOUJqM9+evFwrp9QrEPJbYBFAmVvGIeu+kDwlaQKBgHhG\n"
    "FK9pAiWTNwQS4g3AXXReYg+uddyGsSRJo4/qe2R01Y0waVJt0WzE+KUMnYjWq1is\n"
    "R/hO8TgmRwxa5JEfy6GjXZrR/VKzSRAF3zNzTtXygrEOIQvWq27TPCW8z+974XyZ\n"
    "Jw5HnsOqLjiUQG+Vl1YRqDXwxQ6A80C2ZSBMtJhJAoGBAIr+aAkCX0rnBkLgY+Rj\n"
    "f14xhmG+IoxwC9r0RYukFw481XlBWtzoAdQrp1wyaZ/Ogw3AS3bUdjm35YRAhtNf\n"
    "tvgx3h/kXVsFqRt/3PRGjM3wkclJ9v0VyVQezBCWeIC2zF5Q9sEn5MsCLsVx37n1\n"
    "wAa0MbXu5G7alvuMyVs3RxuX\n"
    "-----END PRIVATE KEY-----\n";

static const char ALIPAY_PUBLIC_PEM[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA22RP5adg6vb7eYIlHYfV\n"
    "eGQkO2uPzWXS52V3H3wu4wubCi1Gn8r0x3av4TrYrwyorBXyKtg8jqn/Dao4nSp+\n"
    "TGdO0FS6/LBEDowrXL4gXTFkdY8Hr+qJ2JoQ1p5tIooL3mghFdOCzTmdBwG+MEkd\n"
    "2OMcgKQO7edLOUOqjdDzRdR1Se7qqgHMP6nW5gF9bO1Go+ooMWzbz7B6NEnqV3j/\n"
    "9OTPEm4UhcTEmSxiIzFaPbngKGOgYgWl1UHLICrl/driXi93UUrJh2R401rW3nLy\n"
    "LnEdXezpkTuGFNtNfMbmghpxQh1iv07Kg/lQYc4B1zcFOGSRkp+Ckrd60F9PCa32\n"
    "VwIDAQAB\n"
    "-----END PUBLIC KEY-----\n";
// clang-format on

#endif
