// SPDX-License-Identifier: Apache-2.0
#include "channel/qr.h"
#include <png.h>
#include <qrencode.h>

#define QUIET     4 // modules
#define WIDTH_MAX 400
#define SVG_WIDTH 360

// NULL when the text is not allowed or memory is out.
static QRcode *encode(struct str text)
{
    char z[QR_TEXT_MAX + 1];
    if (text.n == 0 || text.n > QR_TEXT_MAX || memchr(text.p, 0, text.n)) return NULL;
    memcpy(z, text.p, text.n);
    z[text.n] = 0;
    return QRcode_encodeString(z, 0, QR_ECLEVEL_M, QR_MODE_8, 1);
}

static int width_with_quiet(const QRcode *code)
{
    return code->width + 2 * QUIET;
}

// Modules counted from the corner of the quiet zone; whatever is outside the code is light.
static bool is_dark(const QRcode *code, int x, int y)
{
    x -= QUIET;
    y -= QUIET;
    return x >= 0 && y >= 0 && x < code->width && y < code->width && (code->data[y * code->width + x] & 1);
}

// True when everything went into `out`; otherwise what was appended is taken back.
static bool finish(QRcode *code, size_t before, bool good, struct buf *out)
{
    QRcode_free(code);
    good = good && !out->failed;
    if (!good && out->n > before) out->n = before;
    return good;
}

// --- PNG

static void png_to_buf(png_structp png, png_bytep p, png_size_t n)
{
    struct buf *out = png_get_io_ptr(png);
    buf_add(out, p, n);
    if (out->failed) png_error(png, "out of memory");
}

static void png_flush_nothing(png_structp png)
{
    (void)png;
}

static void png_stay_quiet(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

// A row of pixels, 1 bit each, light is 1.
static void fill_row(const QRcode *code, int y, int scale, png_byte *row)
{
    int n = width_with_quiet(code) * scale;
    memset(row, 0, (size_t)(n + 7) / 8);
    for (int x = 0; x < n; x++)
        if (!is_dark(code, x / scale, y)) row[x / 8] = (png_byte)(row[x / 8] | 0x80 >> x % 8);
}

// libpng leaves by longjmp: nothing here may change between the setjmp and the end but what it points to.
static bool write_png(const QRcode *code, png_structp png, png_infop info, png_byte *row, struct buf *out)
{
    const int modules = width_with_quiet(code), scale = WIDTH_MAX / modules;
    const png_uint_32 pixels = (png_uint_32)(modules * scale);
    if (setjmp(png_jmpbuf(png))) return false;
    png_set_write_fn(png, out, png_to_buf, png_flush_nothing);
    png_set_IHDR(png, info, pixels, pixels, 1, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE);
    png_write_info(png, info);
    for (int y = 0; y < modules * scale; y++) {
        if (y % scale == 0) fill_row(code, y / scale, scale, row);
        png_write_row(png, row);
    }
    png_write_end(png, info);
    return true;
}

bool qr_png(struct str text, struct buf *out)
{
    const size_t before = out->n;
    png_byte row[WIDTH_MAX / 8 + 1];
    QRcode *code = encode(text);
    if (!code) return false;
    // Errors are answered by the jump; the default handlers would write to stderr.
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, png_stay_quiet);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool good = info && width_with_quiet(code) <= WIDTH_MAX && write_png(code, png, info, row, out);
    png_destroy_write_struct(&png, &info);
    return finish(code, before, good, out);
}

// --- SVG

// A stroke for each run of dark modules, all in one path: small, and no seams between neighbours.
static void add_runs(const QRcode *code, struct buf *out)
{
    int n = width_with_quiet(code);
    for (int y = 0; y < n; y++)
        for (int x = 0, run; x < n; x += run) {
            bool dark = is_dark(code, x, y);
            for (run = 1; x + run < n && is_dark(code, x + run, y) == dark;)
                run++;
            if (dark) buf_printf(out, "M%d %d.5h%d", x, y, run);
        }
}

bool qr_svg(struct str text, struct buf *out)
{
    size_t before = out->n;
    QRcode *code = encode(text);
    if (!code) return false;
    int n = width_with_quiet(code);
    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
               "shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h%dv%dH0z\"/><path stroke=\"#000\" d=\"",
               SVG_WIDTH, SVG_WIDTH, n, n, n, n);
    add_runs(code, out);
    buf_z(out, "\"/></svg>\n");
    return finish(code, before, true, out);
}

// --- terminal

bool qr_terminal(struct str text, bool colour, struct buf *out)
{
    // What is drawn is light: upper half, lower half, both.
    static const char *const blocks[] = {" ", "\u2580", "\u2584", "\u2588"};
    size_t before = out->n;
    QRcode *code = encode(text);
    if (!code) return false;
    int n = width_with_quiet(code);
    for (int y = 0; y < n; y += 2) {
        if (colour) buf_z(out, "\033[40;97m");
        for (int x = 0; x < n; x++) {
            int upper = !is_dark(code, x, y), lower = !is_dark(code, x, y + 1);
            buf_z(out, blocks[upper | lower << 1]);
        }
        buf_z(out, colour ? "\033[0m\n" : "\n");
    }
    return finish(code, before, true, out);
}
