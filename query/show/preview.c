/* preview.c: see preview.h. */
#include "query/show/preview.h"

#include <stdlib.h>
#include <string.h>

#include "query/show/base64.h"
#include "schema/base/file.h"

#include "schema/base/banned.h"

enum { WIDTH = 240, HEIGHT = 160, QUALITY = 80 };

/* ---- which ------------------------------------------------------------------------------------------------------ */

static bool variable_has(const char *name, const char *part)
{
	const char *value = getenv(name);
	return value && strstr(value, part);
}

enum preview preview_detect(void)
{
	if (variable_has("TMUX", "") || variable_has("TERM", "screen") || variable_has("TERM", "tmux"))
		return PREVIEW_NONE;
	if (variable_has("KITTY_WINDOW_ID", "") || variable_has("TERM", "kitty") || variable_has("TERM", "ghostty") ||
	    variable_has("TERM_PROGRAM", "ghostty"))
		return PREVIEW_KITTY;
	if (variable_has("TERM_PROGRAM", "iTerm") || variable_has("LC_TERMINAL", "iTerm") || variable_has("TERM_PROGRAM", "WezTerm"))
		return PREVIEW_ITERM;
	if (variable_has("TERM", "foot") || variable_has("TERM", "mlterm") || variable_has("TERM", "sixel") || variable_has("TERM", "yaft") ||
	    variable_has("TERM", "contour") || variable_has("TERM_PROGRAM", "mintty") || variable_has("KONSOLE_VERSION", ""))
		return PREVIEW_SIXEL;
	return PREVIEW_NONE;
}

enum status preview_choose(const char *name, bool terminal, enum preview *preview, struct err *err)
{
	static const char *const names[] = {"none", "kitty", "iterm", "sixel"};

	*preview = PREVIEW_NONE;
	if (strcmp(name, "auto") == 0) {
		*preview = terminal ? preview_detect() : PREVIEW_NONE;
		return STATUS_OK;
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0) {
			*preview = (enum preview)i;
			return STATUS_OK;
		}
	return err_set(err, STATUS_USAGE, "--preview takes auto, kitty, iterm, sixel or none, not '%s'", name);
}

/* ---- kitty, iTerm2 ---------------------------------------------------------------------------------------------- */

/* Base64 in pieces of at most 4,096 characters; all but the last say that more follows. */
void preview_kitty(const uint8_t *rgb, size_t width, size_t height, struct buffer *out)
{
	enum { PIECE = 4096 / 4 * 3 };
	size_t size = 3 * width * height;

	for (size_t at = 0; at < size; at += PIECE) {
		size_t n = size - at < PIECE ? size - at : PIECE;
		int more = at + n < size;
		if (at == 0)
			buffer_format(out, "\033_Ga=T,q=2,f=24,s=%zu,v=%zu,m=%d;", width, height, more);
		else
			buffer_format(out, "\033_Gm=%d;", more);
		base64_append(rgb + at, n, out);
		buffer_text(out, "\033\\");
	}
}

void preview_iterm(const uint8_t *jpeg, size_t size, struct buffer *out)
{
	buffer_format(out, "\033]1337;File=inline=1;size=%zu;preserveAspectRatio=1:", size);
	base64_append(jpeg, size, out);
	buffer_text(out, "\a");
}

/* ---- sixel ------------------------------------------------------------------------------------------------------ */

enum { LEVELS = 6, COLOURS = LEVELS * LEVELS * LEVELS, BAND = 6 };

static int clamp_byte(int x)
{
	return x < 0 ? 0 : x > 255 ? 255 : x;
}

/* One channel of one row: level of each pixel, the error going right and down. row, next: [width + 2] with a cell of margin */
static void dither_row(const uint8_t *rgb, size_t width, int *row, int *next, uint8_t *level)
{
	for (size_t x = 0; x < width; x++) {
		int wanted = clamp_byte(rgb[3 * x] + row[x + 1] / 16);
		int l = (wanted * (LEVELS - 1) + 127) / 255;
		int error = wanted - l * 255 / (LEVELS - 1);
		level[x] = (uint8_t)l;
		row[x + 2] += 7 * error;
		next[x] += 3 * error;
		next[x + 1] += 5 * error;
		next[x + 2] += error;
	}
}

/* colours[height,width] */
static bool dither(const uint8_t *rgb, size_t width, size_t height, uint8_t *colours)
{
	size_t room = width + 2;
	int *errors = mem_array(2 * room, sizeof *errors);
	uint8_t *level = mem_array(width, 1);

	if (errors && level) {
		memset(colours, 0, width * height);
		for (size_t c = 0; c < 3; c++) {
			memset(errors, 0, 2 * room * sizeof *errors);
			for (size_t y = 0; y < height; y++) {
				int *row = errors + y % 2 * room, *next = errors + (y + 1) % 2 * room;
				memset(next, 0, room * sizeof *next);
				dither_row(rgb + 3 * y * width + c, width, row, next, level);
				for (size_t x = 0; x < width; x++)
					colours[y * width + x] = (uint8_t)(colours[y * width + x] * LEVELS + level[x]);
			}
		}
	}
	bool done = errors && level;
	free(errors);
	free(level);
	return done;
}

static void put_run(char sixel, size_t n, struct buffer *out)
{
	if (n > 3) {
		buffer_format(out, "!%zu%c", n, sixel);
		return;
	}
	while (n--)
		buffer_append(out, &sixel, 1);
}

/* What one colour has in a band of up to six rows: one character a column, bit y for row y, runs shortened, empty ends left out. */
static void put_colour(const uint8_t *band, size_t width, size_t rows, uint8_t colour, struct buffer *out)
{
	char last = 0;
	size_t run = 0;

	buffer_format(out, "#%u", colour);
	for (size_t x = 0; x < width; x++) {
		int bits = 0;
		for (size_t y = 0; y < rows; y++)
			bits |= (band[y * width + x] == colour) << y;
		char sixel = (char)('?' + bits);
		if (run && sixel != last) {
			put_run(last, run, out);
			run = 0;
		}
		last = sixel;
		run++;
	}
	if (last != '?')
		put_run(last, run, out);
}

void preview_sixel(const uint8_t *rgb, size_t width, size_t height, struct buffer *out)
{
	uint8_t *colours = mem_array(width, height);
	bool used[COLOURS] = {false};

	if (!colours || !dither(rgb, width, height, colours)) {
		out->failed = true;
		free(colours);
		return;
	}
	for (size_t i = 0; i < width * height; i++)
		used[colours[i]] = true;
	buffer_format(out, "\033Pq\"1;1;%zu;%zu", width, height);
	for (int c = 0; c < COLOURS; c++)
		if (used[c])
			buffer_format(out, "#%d;2;%d;%d;%d", c, c / (LEVELS * LEVELS) * 20, c / LEVELS % LEVELS * 20, c % LEVELS * 20);
	for (size_t y = 0; y < height; y += BAND) {
		size_t rows = height - y < BAND ? height - y : BAND;
		const uint8_t *band = colours + y * width;
		bool first = true;
		buffer_text(out, y ? "-" : "");
		for (int c = 0; c < COLOURS; c++) {
			if (!used[c] || !memchr(band, c, rows * width))
				continue;
			buffer_text(out, first ? "" : "$");
			put_colour(band, width, rows, (uint8_t)c, out);
			first = false;
		}
	}
	buffer_text(out, "\033\\");
	free(colours);
}

/* ---- photographs ------------------------------------------------------------------------------------------------ */

enum status preview_thumbnail(const char *path, size_t width, size_t height, struct image *small, struct err *err)
{
	struct file_map map = {0};
	struct image image = {0};
	enum status status = file_map_open(path, &map, err);

	if (status == STATUS_OK)
		status = image_decode(map.data, map.size, width > height ? width : height, 0, &image, err);
	if (status == STATUS_OK)
		status = image_fit(&image, width, height, small, err);
	image_release(&image);
	file_map_close(&map);
	return status;
}

void preview_photo(enum preview preview, const char *path, struct buffer *out)
{
	struct image small = {0};
	uint8_t *jpeg = NULL;
	size_t size;

	if (preview == PREVIEW_NONE || preview_thumbnail(path, WIDTH, HEIGHT, &small, NULL) != STATUS_OK)
		goto out;
	if (preview == PREVIEW_KITTY)
		preview_kitty(small.rgb, small.width, small.height, out);
	else if (preview == PREVIEW_SIXEL)
		preview_sixel(small.rgb, small.width, small.height, out);
	else if (image_encode_jpeg(small.rgb, small.width, small.height, QUALITY, &jpeg, &size, NULL) == STATUS_OK)
		preview_iterm(jpeg, size, out);
	else
		goto out;
	buffer_text(out, "\n");
out:
	free(jpeg);
	image_release(&small);
}
