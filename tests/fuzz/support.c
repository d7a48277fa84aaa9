/* support.c: see fuzz.h. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "indexer/facts/probe.h"
#include "model/files/checkpoint.h"
#include "model/image/image.h"
#include "schema/base/utf8.h"
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

_Noreturn void fuzz_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
	abort();
}

void fuzz_touch(const void *bytes, size_t size)
{
	static volatile uint8_t sum;
	const uint8_t *at = bytes;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + at[i]);
}

const char *fuzz_file(const void *data, size_t size)
{
	static char path[64];
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("fuzz", 0);
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	}
	fuzz_check(fd >= 0);
	fuzz_check(ftruncate(fd, 0) == 0);
	fuzz_check(pwrite(fd, data, size, 0) == (ssize_t)size);
	return path;
}

/* ---- gzip ------------------------------------------------------------------------------------------------------- */

/* The plain bytes, at most room of them; 0 if it is no gzip file or is larger. */
static size_t unpack(const uint8_t *data, size_t size, uint8_t *plain, size_t room)
{
	z_stream z = {.next_in = (Bytef *)data, .avail_in = (uInt)size, .next_out = plain, .avail_out = (uInt)room};

	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return 0;
	int code = inflate(&z, Z_FINISH);
	size_t n = z.total_out;
	inflateEnd(&z);
	return code == Z_STREAM_END ? n : 0;
}

static size_t pack(const uint8_t *plain, size_t size, uint8_t *data, size_t room)
{
	z_stream z = {.next_in = (Bytef *)plain, .avail_in = (uInt)size, .next_out = data, .avail_out = (uInt)room};

	if (deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	int code = deflate(&z, Z_FINISH);
	size_t n = z.total_out;
	deflateEnd(&z);
	return code == Z_STREAM_END ? n : 0;
}

size_t fuzz_mutate_gzip(uint8_t *data, size_t size, size_t capacity, unsigned seed, fuzz_mend mend)
{
	enum { ROOM = 1 << 16 };
	static uint8_t plain[ROOM];
	/* One in eight is left as it comes: the checks of the outer layer want visitors, too. */
	bool raw = seed % 8 == 0;
	size_t n = raw ? 0 : unpack(data, size, plain, ROOM / 2);

	if (!n) {
		size = LLVMFuzzerMutate(data, size, capacity);
		return mend && !raw ? mend(data, size, capacity) : size;
	}
	n = LLVMFuzzerMutate(plain, n, ROOM);
	n = mend ? mend(plain, n, ROOM) : n;
	size_t packed = pack(plain, n, data, capacity);
	return packed ? packed : size;
}

/* ---- readers that several targets share ------------------------------------------------------------------------- */

void fuzz_checkpoint(const uint8_t *data, size_t size)
{
	enum { FLOATS_MOST = 1 << 16 };
	static float floats[FLOATS_MOST];
	struct checkpoint *checkpoint;
	struct err err;

	if (checkpoint_open(fuzz_file(data, size), &checkpoint, &err) != STATUS_OK)
		return;
	for (size_t i = 0; i < checkpoint_count(checkpoint) && i < 100; i++) {
		const struct tensor *t = checkpoint_at(checkpoint, i);
		fuzz_check(t->size <= size && t->dims >= 0 && t->dims <= 8);
		fuzz_check(checkpoint_find(checkpoint, t->name) == t);
		fuzz_touch(t->data, t->size);
		if (t->count <= FLOATS_MOST && tensor_floats(t, floats, &err) == STATUS_OK)
			fuzz_touch(floats, t->count * sizeof *floats);
	}
	checkpoint_close(checkpoint);
}

static void check_field(const char *text, size_t size)
{
	fuzz_check(memchr(text, '\0', size));
	for (; *text; text++)
		fuzz_check((unsigned char)*text >= ' ');
}

void fuzz_check_probe(struct probe *probe)
{
	check_field(probe->camera, sizeof probe->camera);
	check_field(probe->lens, sizeof probe->lens);
	fuzz_check(!probe->has_position || (fabs(probe->latitude) <= 90 && fabs(probe->longitude) <= 180));
	for (int kind = 0; kind < PROBE_TEXTS; kind++) {
		const struct buffer *texts = &probe->texts[kind];
		fuzz_check(!texts->size || texts->data[texts->size - 1] == '\0');
		for (size_t i = 0, n; i < texts->size; i += n)
			fuzz_check(utf8_next(texts->data + i, texts->size - i, &n));
	}
	probe_release(probe);
}

void fuzz_image(const uint8_t *data, size_t size)
{
	enum { SIDE = 16, PIXELS_MOST = 1 << 18 };
	struct image_info info;
	struct image_said said;
	struct image image;
	uint8_t crop[SIDE * SIDE * 3];
	struct err err;

	enum status status = image_probe_said(data, size, &info, &said, &err);
	for (size_t i = 0; i < said.count; i++)
		fuzz_touch(said.blocks[i].bytes, said.blocks[i].size);
	image_said_release(&said);
	if (status != STATUS_OK) {
		fuzz_check(image_decode(data, size, 0, PIXELS_MOST, &image, &err) != STATUS_OK);
		return;
	}
	fuzz_check(info.width && info.height && info.orientation >= 1 && info.orientation <= 8);
	for (size_t least = 0; least <= SIDE; least += SIDE) {
		if (image_decode(data, size, least, PIXELS_MOST, &image, &err) != STATUS_OK)
			continue;
		fuzz_check(image.width * image.height <= PIXELS_MOST);
		fuzz_check(least || (image.width == info.width && image.height == info.height));
		fuzz_touch(image.rgb, image.width * image.height * 3);
		if (image_crop(&image, SIDE, crop, &err) == STATUS_OK)
			fuzz_touch(crop, sizeof crop);
		image_release(&image);
	}
}
