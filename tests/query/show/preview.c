/* Thumbnails for terminals: the bytes of tiny pictures, sixel decoded back, and which terminal gets what. */
#include "tests/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "query/show/preview.h"

#include "schema/base/banned.h"

static struct err err;

static void sixel_of_a_tiny_picture(void **state)
{
	/* red red red red red / blue red red red red */
	uint8_t rgb[2][5][3];
	struct buffer out = {0};

	(void)state;
	for (int i = 0; i < 10; i++)
		memcpy(rgb[i / 5][i % 5], (uint8_t[]){255, 0, 0}, 3);
	memcpy(rgb[1][0], (uint8_t[]){0, 0, 255}, 3);
	preview_sixel(&rgb[0][0][0], 5, 2, &out);
	assert_string_equal(out.data, "\033Pq\"1;1;5;2#5;2;0;0;100#180;2;100;0;0#5A$#180@!4B\033\\");
	buffer_release(&out);
}

static void kitty_of_a_tiny_picture(void **state)
{
	const uint8_t rgb[] = {1, 2, 3, 4, 5, 6};
	struct buffer out = {0};

	(void)state;
	preview_kitty(rgb, 2, 1, &out);
	assert_string_equal(out.data, "\033_Ga=T,q=2,f=24,s=2,v=1,m=0;AQIDBAUG\033\\");
	buffer_release(&out);
}

static void kitty_sends_pieces_of_4096_characters(void **state)
{
	static uint8_t rgb[3 * 2000];
	struct buffer out = {0};

	(void)state;
	preview_kitty(rgb, 2000, 1, &out);
	const char *first = strchr(out.data, ';'), *end = strstr(out.data, "\033\\");
	assert_non_null(strstr(out.data, "s=2000,v=1,m=1;"));
	assert_int_equal(end - first - 1, 4096);
	assert_int_equal(strncmp(end + 2, "\033_Gm=0;", 7), 0);
	assert_int_equal(strlen(end + 2 + 7), 8000 - 4096 + 2);
	buffer_release(&out);
}

static void iterm_of_a_tiny_file(void **state)
{
	struct buffer out = {0};

	(void)state;
	preview_iterm((const uint8_t *)"jpeg", 4, &out);
	assert_string_equal(out.data, "\033]1337;File=inline=1;size=4;preserveAspectRatio=1:anBlZw==\a");
	buffer_release(&out);
}

/* ---- sixel read back -------------------------------------------------------------------------------------------- */

static int number(const char **at)
{
	return (int)strtol(*at, (char **)at, 10);
}

/* A reader of its own: what preview_sixel writes, as a terminal would draw it. rgb[height,width,3], -1 where nothing is drawn. */
static void draw(const char *at, int width, int height, int *rgb)
{
	int palette[256][3] = {{0}}, colour = 0, x = 0, y = 0, w, h;

	for (int i = 0; i < 3 * width * height; i++)
		rgb[i] = -1;
	assert_int_equal(sscanf(at, "\033Pq\"1;1;%d;%d", &w, &h), 2);
	assert_int_equal(w, width);
	assert_int_equal(h, height);
	at = strchr(at, '#');
	while (*at != '\033') {
		int run = 1;
		if (*at == '#') {
			at++;
			colour = number(&at);
			assert_in_range(colour, 0, 255);
			if (*at == ';') {
				at++;
				assert_int_equal(number(&at), 2);
				for (int c = 0; c < 3; c++) {
					at++;
					palette[colour][c] = number(&at) * 255 / 100;
				}
			}
			continue;
		}
		if (*at == '$' || *at == '-') {
			x = 0;
			y += *at++ == '-' ? 6 : 0;
			continue;
		}
		if (*at == '!') {
			at++;
			run = number(&at);
		}
		assert_in_range(*at, '?', '~');
		for (; run > 0; run--, x++)
			for (int bit = 0; bit < 6; bit++)
				if ((*at - '?') >> bit & 1) {
					assert_true(x < width && y + bit < height);
					int *pixel = rgb + 3 * ((y + bit) * width + x);
					assert_int_equal(pixel[0], -1); /* drawn once */
					memcpy(pixel, palette[colour], 3 * sizeof *pixel);
				}
		at++;
	}
	assert_string_equal(at, "\033\\");
}

static void sixel_decodes_to_the_picture(void **state)
{
	enum { WIDTH = 37, HEIGHT = 23, PIXELS = WIDTH * HEIGHT }; /* no multiple of six */
	static uint8_t rgb[PIXELS * 3];
	static int drawn[PIXELS * 3];
	struct buffer out = {0};

	(void)state;
	for (int i = 0; i < PIXELS; i++) {
		rgb[3 * i] = (uint8_t)(i % WIDTH * 255 / (WIDTH - 1));
		rgb[3 * i + 1] = (uint8_t)(i / WIDTH * 255 / (HEIGHT - 1));
		rgb[3 * i + 2] = 100;
	}
	preview_sixel(rgb, WIDTH, HEIGHT, &out);
	draw(out.data, WIDTH, HEIGHT, drawn);
	buffer_release(&out);
	/* Dithering: every pixel is near, and the mean of blocks is much nearer. */
	for (int c = 0; c < 3; c++)
		for (int by = 0; by + 6 <= HEIGHT; by += 6)
			for (int bx = 0; bx + 6 <= WIDTH; bx += 6) {
				int sum = 0;
				for (int i = 0; i < 36; i++) {
					int at = 3 * ((by + i / 6) * WIDTH + bx + i % 6) + c;
					int off = drawn[at] - rgb[at];
					assert_true(abs(off) <= 60);
					sum += off;
				}
				assert_true(abs(sum) <= 36 * 10);
			}
}

/* ---- which ------------------------------------------------------------------------------------------------------ */

static const char *const variables[] = {"TMUX", "TERM", "KITTY_WINDOW_ID", "TERM_PROGRAM", "LC_TERMINAL", "KONSOLE_VERSION"};

static enum preview with(const char *name, const char *value, const char *other, const char *other_value)
{
	for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
		unsetenv(variables[i]);
	if (name)
		setenv(name, value, 1);
	if (other)
		setenv(other, other_value, 1);
	return preview_detect();
}

static void terminals_are_known_by_their_environment(void **state)
{
	(void)state;
	assert_int_equal(with(NULL, NULL, NULL, NULL), PREVIEW_NONE);
	assert_int_equal(with("TERM", "xterm-256color", NULL, NULL), PREVIEW_NONE);
	assert_int_equal(with("TERM", "xterm-256color", "KITTY_WINDOW_ID", "1"), PREVIEW_KITTY);
	assert_int_equal(with("TERM", "xterm-kitty", NULL, NULL), PREVIEW_KITTY);
	assert_int_equal(with("TERM", "xterm-256color", "TERM_PROGRAM", "iTerm.app"), PREVIEW_ITERM);
	assert_int_equal(with("TERM", "xterm-256color", "LC_TERMINAL", "iTerm2"), PREVIEW_ITERM);
	assert_int_equal(with("TERM", "foot", NULL, NULL), PREVIEW_SIXEL);
	assert_int_equal(with("TERM", "tmux-256color", "KITTY_WINDOW_ID", "1"), PREVIEW_NONE);
	assert_int_equal(with("TMUX", "/tmp/tmux", "TERM", "xterm-kitty"), PREVIEW_NONE);
}

static void nothing_is_drawn_where_no_terminal_is_unless_forced(void **state)
{
	enum preview preview;

	(void)state;
	with("TERM", "xterm-kitty", NULL, NULL);
	assert_ok(preview_choose("auto", false, &preview, &err), &err);
	assert_int_equal(preview, PREVIEW_NONE);
	assert_ok(preview_choose("auto", true, &preview, &err), &err);
	assert_int_equal(preview, PREVIEW_KITTY);
	assert_ok(preview_choose("sixel", false, &preview, &err), &err);
	assert_int_equal(preview, PREVIEW_SIXEL);
	assert_ok(preview_choose("none", true, &preview, &err), &err);
	assert_int_equal(preview, PREVIEW_NONE);
	assert_int_equal(preview_choose("ascii", true, &preview, &err), STATUS_USAGE);
}

static void a_photo_that_cannot_be_read_has_no_preview(void **state)
{
	const char *path = test_path(test_folder(), "broken.jpg");
	struct buffer out = {0};

	(void)state;
	test_write(path, "no picture", 10);
	preview_photo(PREVIEW_SIXEL, path, &out);
	preview_photo(PREVIEW_KITTY, "/nowhere/a.jpg", &out);
	assert_int_equal(out.size, 0);
}

TEST_MAIN(cmocka_unit_test(sixel_of_a_tiny_picture), cmocka_unit_test(kitty_of_a_tiny_picture),
	  cmocka_unit_test(kitty_sends_pieces_of_4096_characters), cmocka_unit_test(iterm_of_a_tiny_file),
	  cmocka_unit_test(sixel_decodes_to_the_picture), cmocka_unit_test(terminals_are_known_by_their_environment),
	  cmocka_unit_test(nothing_is_drawn_where_no_terminal_is_unless_forced),
	  cmocka_unit_test(a_photo_that_cannot_be_read_has_no_preview))
