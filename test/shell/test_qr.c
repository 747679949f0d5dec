// SPDX-License-Identifier: Apache-2.0
// What is drawn is read back by zbarimg (package zbar-tools), an independent reader: without it these tests
// fail.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "channel/qr.h"
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRID_MAX 128
#define SCALE    4

static const char ALIPAY[] = "https://qr.alipay.com/bax03431ljhokirwl38f00a7";
static const char WECHAT[] = "weixin://wxpay/bizpayurl?pr=AbCd12Ezz";

struct grid {
    int width, height;
    bool dark[GRID_MAX][GRID_MAX];
};

// Decodes a picture. The reader's exit status and text; the text without the line end zbarimg adds.
static void assert_picture_reads(struct str picture, const char *name, struct str expected)
{
    char path[64], text[QR_TEXT_MAX + 16];
    int out[2], status;
    pid_t pid;
    (void)snprintf(path, sizeof path, "/tmp/till-qr-%ld-%s", (long)getpid(), name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(picture.p, 1, picture.n, f), picture.n);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(pipe(out), 0);
    char *argv[] = {"zbarimg", "--raw", "-q", "-Sdisable", "-Sqrcode.enable", path, NULL};
    char *envp[] = {"PATH=/usr/bin:/bin:/usr/local/bin", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_addclose(&actions, out[0]);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0); // it misses a bus we do not need
    if (posix_spawnp(&pid, "zbarimg", &actions, NULL, argv, envp) != 0)
        fail_msg("zbarimg is needed to read the codes back: install zbar-tools");
    posix_spawn_file_actions_destroy(&actions);
    (void)close(out[1]);
    size_t n = 0;
    for (ssize_t got; n < sizeof text && (got = read(out[0], text + n, sizeof text - n)) > 0;)
        n += (size_t)got;
    (void)close(out[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)unlink(path);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("zbarimg found no code in the %s", name);
    assert_int_equal(n, expected.n + 1);
    assert_memory_equal(text, expected.p, expected.n);
}

// A grid of modules as a picture any reader knows.
static void assert_grid_reads(const struct grid *g, const char *name, struct str expected)
{
    struct buf pgm = {0};
    buf_printf(&pgm, "P5 %d %d 255\n", g->width * SCALE, g->height * SCALE);
    for (int y = 0; y < g->height * SCALE; y++)
        for (int x = 0; x < g->width * SCALE; x++)
            buf_char(&pgm, g->dark[y / SCALE][x / SCALE] ? 0 : (char)0xff);
    assert_picture_reads(buf_view(&pgm), name, expected);
    buf_free(&pgm);
}

static void assert_png_reads(struct str text)
{
    struct buf png = {0};
    assert_true(qr_png(text, &png));
    assert_picture_reads(buf_view(&png), "code.png", text);
    buf_free(&png);
}

static void a_png_is_read_back(void **state)
{
    (void)state;
    assert_png_reads(str_of(ALIPAY));
    assert_png_reads(str_of(WECHAT));
    assert_png_reads(STR("http://127.0.0.1:8080/pay/ord_0123456789abcdefghjkmnpqrstvw"));
    assert_png_reads(STR("x"));
}

static void the_longest_text_is_read_back_and_one_byte_more_refused(void **state)
{
    (void)state;
    char text[QR_TEXT_MAX + 1];
    struct buf out = {0};
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i * 7 % 26);
    assert_png_reads((struct str){text, QR_TEXT_MAX});
    assert_false(qr_png((struct str){text, QR_TEXT_MAX + 1}, &out));
    assert_false(qr_svg((struct str){text, QR_TEXT_MAX + 1}, &out));
    assert_false(qr_terminal((struct str){text, QR_TEXT_MAX + 1}, false, &out));
    assert_int_equal(out.n, 0);
    buf_free(&out);
}

static void nothing_and_zero_bytes_are_refused(void **state)
{
    (void)state;
    struct buf out = {0};
    buf_z(&out, "kept");
    assert_false(qr_png(STR(""), &out));
    assert_false(qr_svg(STR("a\0b"), &out));
    assert_false(qr_terminal((struct str){NULL, 0}, true, &out));
    assert_int_equal(out.n, 4);
    buf_free(&out);
}

static unsigned be32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (unsigned)u[0] << 24 | (unsigned)u[1] << 16 | (unsigned)u[2] << 8 | u[3];
}

static void a_png_is_300_to_400_pixels_of_one_bit(void **state)
{
    (void)state;
    char text[QR_TEXT_MAX];
    memset(text, 'a', sizeof text);
    for (size_t n = 1; n <= sizeof text; n += 7) {
        struct buf png = {0};
        assert_true(qr_png((struct str){text, n}, &png));
        assert_memory_equal(png.p, "\x89PNG\r\n\x1a\n", 8);
        assert_memory_equal(png.p + 12, "IHDR", 4);
        assert_in_range(be32(png.p + 16), 300, 400);
        assert_int_equal(be32(png.p + 20), be32(png.p + 16));
        assert_int_equal(png.p[24], 1); // bits
        assert_int_equal(png.p[25], 0); // grey
        assert_memory_equal(png.p + png.n - 8, "IEND", 4);
        buf_free(&png);
    }
}

static int number_after(const char *svg, const char *what)
{
    const char *at = strstr(svg, what);
    assert_non_null(at);
    return (int)strtol(at + strlen(what), NULL, 10);
}

// Draws the path "Mx y.5hn..." of the picture; anything else in it is a failure.
static void draw_svg(const char *svg, struct grid *g)
{
    char *p = strstr(svg, "stroke=\"#000\" d=\"");
    assert_non_null(p);
    g->width = g->height = number_after(svg, "viewBox=\"0 0 ");
    for (p += strlen("stroke=\"#000\" d=\""); *p != '"';) {
        assert_int_equal(*p, 'M');
        long x = strtol(p + 1, &p, 10), y = strtol(p, &p, 10);
        assert_memory_equal(p, ".5h", 3);
        long n = strtol(p + 3, &p, 10);
        assert_true(x >= 4 && y >= 4 && n >= 1 && x + n <= g->width - 4 && y < g->height - 4);
        for (long i = x; i < x + n; i++)
            g->dark[y][i] = true;
    }
}

static void an_svg_is_read_back(void **state)
{
    (void)state;
    struct buf svg = {0};
    struct grid g = {0};
    assert_true(qr_svg(str_of(ALIPAY), &svg));
    buf_char(&svg, 0);
    draw_svg(svg.p, &g);
    assert_grid_reads(&g, "code.svg", str_of(ALIPAY));
    assert_true(svg.n < 8192);
    buf_free(&svg);
}

// Lines of half blocks, as a terminal shows them: what is drawn is light.
static void draw_blocks(struct str text, struct grid *g)
{
    int x = 0;
    while (text.n > 0) {
        size_t n = str_utf8_len(text);
        assert_true(n > 0);
        struct str c = {text.p, n};
        text.p += n;
        text.n -= n;
        if (str_eq(c, STR("\n"))) {
            assert_true(g->width == 0 || g->width == x);
            g->width = x;
            g->height += 2;
            x = 0;
            continue;
        }
        bool upper = str_eq(c, STR("\u2580")), lower = str_eq(c, STR("\u2584")), both = str_eq(c, STR("\u2588"));
        assert_true(upper || lower || both || str_eq(c, STR(" ")));
        assert_true(x < GRID_MAX && g->height + 1 < GRID_MAX);
        g->dark[g->height][x] = !upper && !both;
        g->dark[g->height + 1][x++] = !lower && !both;
    }
    assert_int_equal(x, 0);
}

static void terminal_blocks_are_read_back(void **state)
{
    (void)state;
    struct buf out = {0};
    struct grid g = {0};
    assert_true(qr_terminal(str_of(WECHAT), false, &out));
    draw_blocks(buf_view(&out), &g);
    assert_grid_reads(&g, "blocks", str_of(WECHAT));
    buf_free(&out);
}

static void colour_only_adds_escapes(void **state)
{
    (void)state;
    struct buf plain = {0}, coloured = {0}, stripped = {0};
    assert_true(qr_terminal(str_of(WECHAT), false, &plain));
    assert_true(qr_terminal(str_of(WECHAT), true, &coloured));
    assert_null(memchr(plain.p, '\033', plain.n));
    for (size_t i = 0; i < coloured.n; i++) {
        if (coloured.p[i] != '\033')
            buf_char(&stripped, coloured.p[i]);
        else
            while (coloured.p[i] != 'm')
                i++;
    }
    assert_true(coloured.n > plain.n);
    assert_int_equal(stripped.n, plain.n);
    assert_memory_equal(stripped.p, plain.p, plain.n);
    buf_free(&plain);
    buf_free(&coloured);
    buf_free(&stripped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_png_is_read_back),
        cmocka_unit_test(the_longest_text_is_read_back_and_one_byte_more_refused),
        cmocka_unit_test(nothing_and_zero_bytes_are_refused),
        cmocka_unit_test(a_png_is_300_to_400_pixels_of_one_bit),
        cmocka_unit_test(an_svg_is_read_back),
        cmocka_unit_test(terminal_blocks_are_read_back),
        cmocka_unit_test(colour_only_adds_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
