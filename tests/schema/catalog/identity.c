/* identity.c: a model's row is found by its files' digests, and these are computed once. */
#include "schema/catalog/models.h"
#include "schema/catalog/identity.h"

#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/file.h"
#include "tests/support.h"

#include "schema/base/banned.h"

static int computed;

/* The model is its weights' letter. */
static enum status digest(const void *model, char config[33], char weights[33], struct err *err)
{
	(void)err;
	computed++;
	snprintf(config, 33, "%032d", 7);
	memset(weights, *(const char *)model, 32);
	weights[32] = '\0';
	return STATUS_OK;
}

struct place {
	const char *folder, *weights;
	struct catalog *catalog;
};

static struct place open_place(void)
{
	struct place p = {.folder = test_folder()};
	struct err err;

	p.weights = test_path(p.folder, "weights.bin");
	test_write(p.weights, "a", 1);
	test_write(test_path(p.folder, "config.json"), "{}", 2);
	assert_ok(catalog_open(test_path(p.folder, "library.db"), CATALOG_WRITE, &p.catalog, &err), &err);
	return p;
}

static int64_t identify(const struct place *p, const char *weights, const char *model)
{
	struct identity_source source = {weights, "config.json", digest, model};
	struct catalog_model row = {.dim = 4, .tokens = 2, .width = 3};
	struct err err;

	assert_ok(identity_of_model(p->catalog, &source, &row, &err), &err);
	assert_int_equal(row.weights_digest[0], *model);
	return row.id;
}

static void digests_are_computed_once(void **state)
{
	(void)state;
	struct place p = open_place();

	computed = 0;
	int64_t id = identify(&p, p.weights, "a");
	assert_int_equal(computed, 1);
	assert_int_equal(identify(&p, p.weights, "a"), id);
	assert_int_equal(computed, 1);
	catalog_close(p.catalog);
}

/* The weights alone do not make a model. */
static void a_changed_configuration_is_looked_at(void **state)
{
	(void)state;
	struct place p = open_place();

	identify(&p, p.weights, "a");
	test_write(test_path(p.folder, "config.json"), "{ }", 3);
	computed = 0;
	identify(&p, p.weights, "a");
	assert_int_equal(computed, 1);
	catalog_close(p.catalog);
}

/* Replaced by others of the same size, their time put back. */
static void weights_of_the_same_size_and_time_are_another_model(void **state)
{
	(void)state;
	struct place p = open_place();
	int64_t id = identify(&p, p.weights, "a");
	const struct timespec long_ago[2] = {{1000, 0}, {1000, 0}};

	assert_int_equal(utimensat(AT_FDCWD, p.weights, long_ago, 0), 0);
	assert_int_equal(identify(&p, p.weights, "a"), id);
	test_write(p.weights, "b", 1);
	assert_int_equal(utimensat(AT_FDCWD, p.weights, long_ago, 0), 0);
	assert_int_not_equal(identify(&p, p.weights, "b"), id);
	catalog_close(p.catalog);
}

static void changed_weights_are_another_model(void **state)
{
	(void)state;
	struct place p = open_place();
	int64_t id = identify(&p, p.weights, "a");

	test_write(p.weights, "bb", 2);
	computed = 0;
	assert_int_not_equal(identify(&p, p.weights, "b"), id);
	assert_int_equal(computed, 1);
	catalog_close(p.catalog);
}

/* Download caches keep links to files of other names and in other folders. */
static void linked_weights_have_their_configuration_beside_the_link(void **state)
{
	(void)state;
	struct place p = open_place();
	const char *blobs = test_folder(), *blob = test_path(blobs, "0123abcd");

	test_write(blob, "a", 1);
	assert_int_equal(unlink(p.weights), 0);
	assert_int_equal(symlink(blob, p.weights), 0);
	assert_true(identify(&p, p.weights, "a") > 0);
	catalog_close(p.catalog);
}

static void weights_are_known_under_every_name(void **state)
{
	(void)state;
	struct place p = open_place();
	const char *link = test_path(test_folder(), "link");

	assert_int_equal(symlink(p.folder, link), 0);
	int64_t id = identify(&p, p.weights, "a");
	computed = 0;
	assert_int_equal(identify(&p, test_path(link, "weights.bin"), "a"), id);
	assert_int_equal(computed, 0);
	catalog_close(p.catalog);
}

static void missing_weights_are_named(void **state)
{
	(void)state;
	struct place p = open_place();
	struct identity_source source = {test_path(p.folder, "none"), "config.json", digest, "a"};
	struct catalog_model row = {.dim = 4};
	struct err err;

	assert_int_equal(identity_of_model(p.catalog, &source, &row, &err), STATUS_NOT_FOUND);
	assert_non_null(strstr(err.text, "none"));
	catalog_close(p.catalog);
}

/* A search before the first index: there is nothing to be found, and that is what it hears. */
static void a_reader_is_told_of_an_unknown_model(void **state)
{
	(void)state;
	struct place p = open_place();
	struct identity_source source = {p.weights, "config.json", digest, "a"};
	struct catalog_model row = {.dim = 4, .tokens = 2, .width = 3};
	struct catalog *reader;
	struct err err;

	assert_ok(catalog_open(catalog_path(p.catalog), CATALOG_READ, &reader, &err), &err);
	assert_int_equal(identity_of_model(reader, &source, &row, &err), STATUS_NOT_FOUND);
	catalog_close(reader);
	catalog_close(p.catalog);
}

TEST_MAIN(cmocka_unit_test(digests_are_computed_once), cmocka_unit_test(changed_weights_are_another_model), cmocka_unit_test(a_changed_configuration_is_looked_at), cmocka_unit_test(weights_of_the_same_size_and_time_are_another_model),
	  cmocka_unit_test(linked_weights_have_their_configuration_beside_the_link), cmocka_unit_test(weights_are_known_under_every_name),
	  cmocka_unit_test(missing_weights_are_named), cmocka_unit_test(a_reader_is_told_of_an_unknown_model))
