// SPDX-License-Identifier: Apache-2.0
// The picture of a QR code, on libqrencode and libpng, in memory. Error level M, four modules of quiet zone.
#ifndef TILL_CHANNEL_QR_H
#define TILL_CHANNEL_QR_H

#include "base/buf.h"

#define QR_TEXT_MAX 512 // bytes

// Each appends to `out`. False when the text is empty, too long, or holds a zero byte, or when memory is out;
// then `out` is as it was. Thread-safe.
bool qr_png(struct str text, struct buf *out); // 1 bit a pixel, 300 to 400 pixels wide
bool qr_svg(struct str text, struct buf *out); // scales; 360 pixels wide where nobody says otherwise
// For a terminal: UTF-8 half blocks, two rows of modules a line. With `colour` black on white whatever the
// terminal's own colours (ANSI); without, the light modules are what is drawn, for light text on a dark
// ground.
bool qr_terminal(struct str text, bool colour, struct buf *out);

#endif
