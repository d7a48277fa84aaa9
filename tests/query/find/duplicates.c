/* Pairs of photographs that look alike are found as if each had been compared with every other one. */
#include "tests/made_up.h"

#include "query/find/duplicates.h"
#include "query/session/engine.h"

#include "schema/catalog/contents.h"
#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"
#include "schema/base/banned.h"

enum { PHOTOS = 3000, DIM = 16 };

struct one {
	uint64_t hash;
	int64_t content;
	size_t group;
	float vector[DIM];
};

static struct catalog *catalog;
static struct catalog_model model;

static int make_library(void **state)
{
	(void)state;
	return made_up_open(PHOTOS, DIM, &model, &catalog);
}

static int close_library(void **state)
{
	catalog_close(catalog);
	return test_folders_remove(state);
}

static enum status take(void *context, const struct photo *photo, struct err *err)
{
	struct one **next = context, *one = (*next)++;
	bool found;

	one->content = photo->content;
	assert_ok(catalog_hash_get(catalog, photo->content, &one->hash, &found, err), err);
	assert_ok(catalog_embedding_get(catalog, photo->content, model.id, one->vector, DIM, &found, err), err);
	assert_true(found);
	return STATUS_OK;
}

/* How many photos are in groups, and how many groups there are, by comparing all with all. */
static void plain(const struct duplicates_options *options, size_t *photos, size_t *groups)
{
	struct err err;
	struct one *all = mem_array(PHOTOS, sizeof *all), *next = all;
	size_t *sizes = mem_array(PHOTOS, sizeof *sizes);

	assert_ok(catalog_photos_of_root(catalog, 1, take, &next, &err), &err);
	for (size_t i = 0; i < PHOTOS; i++) {
		all[i].group = i;
		for (size_t j = 0; j < i; j++) {
			bool near = (unsigned)__builtin_popcountll(all[i].hash ^ all[j].hash) <= options->bits &&
				    engine_dot(all[i].vector, all[j].vector, DIM) >= options->similarity;
			if ((all[i].content != all[j].content && !near) || all[i].group == all[j].group)
				continue;
			for (size_t k = 0, from = all[i].group; k <= i; k++)
				if (all[k].group == from)
					all[k].group = all[j].group;
		}
	}
	*photos = *groups = 0;
	for (size_t i = 0; i < PHOTOS; i++)
		sizes[all[i].group]++;
	for (size_t i = 0; i < PHOTOS; i++) {
		*groups += sizes[i] > 1;
		*photos += sizes[i] > 1 ? sizes[i] : 0;
	}
	free(sizes);
	free(all);
}

static void pairs_are_those_that_comparing_all_with_all_finds(void **state)
{
	/* Embeddings that nearly all pass leave it to the hashes, and the other way round. */
	static const struct duplicates_options options[] = {
		{.bits = 10, .similarity = 0.9}, {.bits = 0, .similarity = 0.5}, {.bits = 3, .similarity = -1}, {.bits = 16, .similarity = -1},
		{.bits = 10, .similarity = 1.1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		struct err err;
		struct duplicates found;
		size_t photos, groups;
		assert_ok(duplicates_find(catalog, &model, &options[i], &found, &err), &err);
		plain(&options[i], &photos, &groups);
		print_message("bits %u, similarity %g: %zu photos in %zu groups\n", options[i].bits, options[i].similarity, photos, groups);
		assert_true(groups > 10);
		assert_int_equal(found.group_count, groups);
		assert_int_equal(found.count, photos);
		duplicates_release(&found);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(pairs_are_those_that_comparing_all_with_all_finds)};

	return cmocka_run_group_tests(tests, make_library, close_library) ? 1 : 0;
}
