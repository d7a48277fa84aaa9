/* salvage.c: a catalog with damaged pages gives what the others hold; and what its indexes know of the rest. */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/catalog/catalog.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/maintenance.h"
#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"
#include "schema/catalog/tokens.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { PHOTOS = 2000, DIM = 64, TOKENS = 2, WIDTH = 8, PAGE = 8192 };

static struct err err;

static struct catalog_model some_model(void)
{
	return (struct catalog_model){.config_digest = "0123456789abcdef0123456789abcdef", .weights_digest = "0123456789abcdef0123456789abcdef",
				      .name = "test", .dim = DIM, .tokens = TOKENS, .width = WIDTH};
}

static void embedding_of(int64_t i, float embedding[DIM])
{
	for (size_t d = 0; d < DIM; d++)
		embedding[d] = (float)((i * 31 + (int64_t)d * 7) % 101) / 128;
}

/* 2,000 photographs of as many contents. */
static void make_catalog(const char *path)
{
	struct catalog *catalog;
	struct catalog_model model = some_model();
	int64_t root, content;
	char name[64];
	float embedding[DIM], tokens[TOKENS * WIDTH] = {0.5f};
	uint8_t blob[1024];

	assert_true(packed_tokens_size(TOKENS, WIDTH) <= sizeof blob);
	packed_tokens_write(tokens, TOKENS, WIDTH, blob);
	assert_ok(catalog_open(path, CATALOG_WRITE, &catalog, &err), &err);
	assert_ok(catalog_begin(catalog, &err), &err);
	assert_ok(catalog_model_put(catalog, &model, &err), &err);
	assert_ok(catalog_root_put(catalog, "/photos", &root, &err), &err);
	for (uint32_t i = 0; i < PHOTOS; i++) {
		uint8_t hash[CATALOG_HASH] = {(uint8_t)(i * 37), (uint8_t)(i >> 8), (uint8_t)i, 1};
		embedding_of(i, embedding);
		assert_ok(catalog_content_put(catalog, hash, &content, &err), &err);
		assert_ok(catalog_embedding_put(catalog, content, model.id, embedding, DIM, &err), &err);
		assert_ok(catalog_tokens_put(catalog, content, model.id, blob, packed_tokens_size(TOKENS, WIDTH), &err), &err);
		snprintf(name, sizeof name, "/photos/%05u.jpg", i);
		assert_ok(catalog_photo_put(catalog, &(struct photo){.root = root, .path = name, .path_size = strlen(name), .size = 100,
			.mtime_ns = 5, .ctime_ns = 6, .content = content, .orientation = 1, .taken_offset = CATALOG_NO_OFFSET}, &err), &err);
	}
	assert_ok(catalog_commit(catalog, &err), &err);
	catalog_close(catalog);
}

static void ignore_line(void *context, const char *line)
{
	(void)context;
	(void)line;
}

static void print_line(void *context, const char *line)
{
	(void)context;
	print_message("%s\n", line);
}

static size_t problems_of(struct catalog *catalog)
{
	size_t problems;

	assert_ok(catalog_check(catalog, print_line, NULL, &problems, &err), &err);
	return problems;
}

/* Every embedding that is there is its content's own. */
static enum status check_embedding(void *context, int64_t content, const float *embedding, struct err *e)
{
	float expected[DIM];
	size_t *n = context;

	(void)e;
	embedding_of(content - 1, expected);
	for (size_t d = 0; d < DIM; d++)
		assert_true(embedding[d] == expected[d]);
	++*n;
	return STATUS_OK;
}

/* What a damaged page costs at most: its rows. The page at the top of a table leads to all others of it, but
 * embeddings are found on them all the same. */
static void every_page_may_be_damaged(void **state)
{
	(void)state;
	const char *folder = test_folder();
	const char *sound = test_path(folder, "sound.db"), *path = test_path(folder, "library.db");
	uint64_t random = 5;
	uint8_t *bytes;
	size_t size, least = PHOTOS, unreadable = 0, tops = 0, tried = 0;

	make_catalog(sound);
	assert_ok(file_read(sound, 1 << 28, &bytes, &size, &err), &err);
	size_t pages = size / PAGE, step = pages / 12 + 1;
	for (size_t page = 1; page < pages; page += page < 24 ? 1 : step) {
		struct catalog_salvage saved;
		struct catalog *catalog;
		struct catalog_model model = some_model();
		uint8_t *copy = mem_array(size, 1);
		size_t embeddings = 0;

		memcpy(copy, bytes, size);
		for (size_t i = 0; i < PAGE; i++)
			copy[page * PAGE + i] = (uint8_t)test_random(&random);
		test_write(path, copy, size);
		free(copy);
		enum status status = catalog_salvage(path, ignore_line, NULL, &saved, &err);
		if (status == STATUS_FORMAT) { /* where the tables are described */
			unreadable++;
			continue;
		}
		assert_ok(status, &err);
		tried++;
		assert_ok(catalog_open(path, CATALOG_WRITE, &catalog, &err), &err);
		assert_int_equal(problems_of(catalog), 0);
		assert_ok(catalog_model_put(catalog, &model, &err), &err);
		assert_int_equal(model.id, 1);
		assert_ok(catalog_embeddings_each(catalog, model.id, DIM, check_embedding, &embeddings, &err), &err);
		/* Of the one table or of the other. */
		least = saved.embeddings < least ? saved.embeddings : least;
		tops += !saved.photos;
		assert_true(saved.photos == PHOTOS || saved.embeddings == PHOTOS);
		assert_true(saved.embeddings > PHOTOS - PAGE / (2 * DIM));
		assert_true(!saved.photos || saved.photos > PHOTOS - PAGE / 40);
		assert_int_equal(access(saved.kept, F_OK), 0);
		catalog_close(catalog);
		unlink(saved.kept);
	}
	print_message("of %zu pages %zu damaged one at a time: %zu leave nothing, %zu lose the rows of photos; all others save %zu of %d"
		      " embeddings at least\n",
		      pages, tried, unreadable, tops, least, PHOTOS);
	assert_true(unreadable <= 4 && tops <= 2 && tried > 15);
	free(bytes);
}

static void a_sound_catalog_comes_out_whole(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "library.db");
	struct catalog_salvage saved;
	struct catalog_counts before, after;
	struct catalog *catalog;
	char uuid[33];

	make_catalog(path);
	assert_ok(catalog_open(path, CATALOG_READ, &catalog, &err), &err);
	assert_ok(catalog_count(catalog, 0, &before, &err), &err);
	snprintf(uuid, sizeof uuid, "%s", catalog_uuid(catalog));
	catalog_close(catalog);
	assert_ok(catalog_salvage(path, print_line, NULL, &saved, &err), &err);
	assert_int_equal(saved.photos, PHOTOS);
	assert_int_equal(saved.photos_lost + saved.unread, 0);
	assert_ok(catalog_open(path, CATALOG_READ, &catalog, &err), &err);
	assert_ok(catalog_count(catalog, 0, &after, &err), &err);
	assert_memory_equal(&before, &after, sizeof before);
	assert_int_equal(problems_of(catalog), 0);
	/* Another uuid: no vector file of the damaged catalog is taken for one of this. */
	assert_string_not_equal(uuid, catalog_uuid(catalog));
	catalog_close(catalog);
}

static void without_its_first_page_nothing_is_changed(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "library.db");
	struct catalog_salvage saved;
	struct stat before, after;
	uint8_t *bytes;
	size_t size;

	make_catalog(path);
	assert_ok(file_read(path, 1 << 28, &bytes, &size, &err), &err);
	memset(bytes, 0x5a, PAGE);
	test_write(path, bytes, size);
	free(bytes);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(catalog_salvage(path, print_line, NULL, &saved, &err), STATUS_FORMAT);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_size, after.st_size);
	assert_int_not_equal(access(saved.kept, F_OK), 0);
}

static void a_catalog_in_use_is_left_alone(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "library.db");
	struct catalog_salvage saved;
	struct catalog *catalog;

	assert_ok(catalog_open(path, CATALOG_WRITE, &catalog, &err), &err);
	assert_int_equal(catalog_salvage(path, print_line, NULL, &saved, &err), STATUS_BUSY);
	catalog_close(catalog);
}

TEST_MAIN(cmocka_unit_test(a_catalog_in_use_is_left_alone), cmocka_unit_test(without_its_first_page_nothing_is_changed),
	  cmocka_unit_test(a_sound_catalog_comes_out_whole), cmocka_unit_test(every_page_may_be_damaged))
