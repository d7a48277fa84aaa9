/* preview.h: thumbnails in terminals that can show pictures: kitty's graphics protocol, iTerm2's inline images, sixel.
 *
 *     preview_choose("auto", isatty(1), &preview, err);
 *     preview_photo(preview, path, &out);          // nothing for a photo that cannot be read
 *
 * A terminal is known by its environment. Inside tmux and screen pictures do not get through, so that nothing is tried there.
 */
#ifndef QUERY_SHOW_PREVIEW_H
#define QUERY_SHOW_PREVIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/image/image.h"
#include "schema/base/memory.h"
#include "schema/base/status.h"

enum preview { PREVIEW_NONE, PREVIEW_KITTY, PREVIEW_ITERM, PREVIEW_SIXEL };

/* What the terminal of this environment understands, as far as is known. */
enum preview preview_detect(void);

/* name: kitty, iterm, sixel or none is taken as it is; auto is what is detected, on a terminal. STATUS_USAGE for others. */
enum status preview_choose(const char *name, bool terminal, enum preview *preview, struct err *err);

/* Appends the picture and a line feed; nothing if the photo cannot be read. */
void preview_photo(enum preview preview, const char *path, struct buffer *out);

/* A photo scaled to fit within width x height; image_release it. */
enum status preview_thumbnail(const char *path, size_t width, size_t height, struct image *small, struct err *err);

/* The encoders. rgb[height,width,3]. */
void preview_kitty(const uint8_t *rgb, size_t width, size_t height, struct buffer *out);
void preview_iterm(const uint8_t *jpeg, size_t size, struct buffer *out);
/* 6 x 6 x 6 colours, with the error of each pixel spread over its neighbours (Floyd and Steinberg). */
void preview_sixel(const uint8_t *rgb, size_t width, size_t height, struct buffer *out);

#endif
