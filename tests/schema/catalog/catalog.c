/* The catalog: every function of catalog.h, what survives a kill, what is refused, and what damage looks like. */
#include "tests/last_model.h"
#include "tests/support.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "schema/catalog/catalog.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/filter.h"
#include "schema/catalog/maintenance.h"
#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"
#include "schema/catalog/texts.h"
#include "schema/catalog/tokens.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"

#include "schema/base/banned.h"

enum { DIM = 8, TOKENS = 4, WIDTH = 6, TOKEN_BYTES = 12 + TOKENS * 4 + TOKENS * WIDTH, NOT_FOR_NOBODY = 77 };

/* A catalog in a folder of its own, with a model and a root. */
struct library {
	const char *path;
	struct catalog *catalog;
	struct catalog_model model;
	int64_t root;
};

static struct err err;

static struct catalog_model some_model(char digit)
{
	struct catalog_model model = {.name = "/models/tiny", .dim = DIM, .tokens = TOKENS, .width = WIDTH};

	memset(model.config_digest, digit, 32);
	memset(model.weights_digest, digit, 32);
	return model;
}

static struct library library_new(void)
{
	struct library l = {.path = test_path(test_folder(), "library.db"), .model = some_model('a')};

	assert_ok(catalog_open(l.path, CATALOG_WRITE, &l.catalog, &err), &err);
	assert_ok(catalog_model_put(l.catalog, &l.model, &err), &err);
	assert_ok(catalog_root_put(l.catalog, "/photos", &l.root, &err), &err);
	return l;
}

static void reopen(struct library *l, enum catalog_mode mode)
{
	catalog_close(l->catalog);
	assert_ok(catalog_open(l->path, mode, &l->catalog, &err), &err);
}

static int64_t put_content(struct library *l, unsigned number)
{
	uint8_t hash[CATALOG_HASH] = {(uint8_t)number, (uint8_t)(number >> 8), 1};
	float embedding[DIM] = {0};
	int64_t content;

	embedding[number % DIM] = 1;
	embedding[(number / DIM) % DIM] += 0.5f;
	assert_ok(catalog_content_put(l->catalog, hash, &content, &err), &err);
	assert_ok(catalog_embedding_put(l->catalog, content, l->model.id, embedding, DIM, &err), &err);
	return content;
}

static struct photo some_photo(struct library *l, const char *path, int64_t content)
{
	return (struct photo){.root = l->root, .path = path, .path_size = strlen(path), .size = 100, .mtime_ns = 5, .content = content,
			      .format = "jpeg", .width = 40, .height = 30, .orientation = 1, .taken_offset = CATALOG_NO_OFFSET};
}

/* A ready photo with a content of its own; returns its id. */
static int64_t put_photo(struct library *l, const char *path, unsigned number)
{
	struct photo photo = some_photo(l, path, put_content(l, number));

	assert_ok(catalog_photo_put(l->catalog, &photo, &err), &err);
	return photo.id;
}

static int64_t content_of(struct library *l, const char *path)
{
	struct photo_known known;
	bool found;

	assert_ok(catalog_photo_known(l->catalog, path, strlen(path), l->model.id, &known, &found, &err), &err);
	assert_true(found);
	return known.content;
}

static int64_t generation(struct library *l)
{
	int64_t number;

	assert_ok(catalog_generation(l->catalog, l->model.id, &number, &err), &err);
	return number;
}

static enum status count_embedding(void *context, int64_t content, const float *embedding, struct err *e)
{
	(void)content;
	(void)embedding;
	(void)e;
	++*(size_t *)context;
	return STATUS_OK;
}

static size_t embedded(struct library *l)
{
	size_t n = 0;

	assert_ok(catalog_embeddings_each(l->catalog, l->model.id, DIM, count_embedding, &n, &err), &err);
	return n;
}

/* The last photo visited, its strings copied, and how many there were. */
struct visited {
	size_t n;
	struct photo photo;
	char path[256], error[64], camera[64], lens[64], format[16];
};

static const char *copied(char *to, size_t size, const char *from)
{
	if (!from)
		return NULL;
	snprintf(to, size, "%s", from);
	return to;
}

static enum status visit_photo(void *context, const struct photo *photo, struct err *e)
{
	struct visited *v = context;

	(void)e;
	v->n++;
	v->photo = *photo;
	assert_int_equal(photo->path[photo->path_size], 0);
	v->photo.path = copied(v->path, sizeof v->path, photo->path);
	v->photo.error = copied(v->error, sizeof v->error, photo->error);
	v->photo.camera = copied(v->camera, sizeof v->camera, photo->camera);
	v->photo.lens = copied(v->lens, sizeof v->lens, photo->lens);
	v->photo.format = copied(v->format, sizeof v->format, photo->format);
	return STATUS_OK;
}

/* SQL past the catalog's interface: what another version, or damage, would have done. */
static void sql(const char *path, const char *statement)
{
	sqlite3 *db;
	char *message = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, statement, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", statement, message);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void keep_problem(void *context, const char *problem)
{
	struct buffer *text = context;

	assert_null(strchr(problem, '\n'));
	buffer_text(text, problem);
	buffer_text(text, "\n");
}

/* What catalog_check says, the caller's to free. */
static char *problems_of(struct catalog *catalog, size_t *problems)
{
	struct buffer text = {0};

	assert_ok(catalog_check(catalog, keep_problem, &text, problems, &err), &err);
	buffer_text(&text, "");
	return text.data;
}

static void assert_sound(struct catalog *catalog)
{
	size_t problems;
	char *text = problems_of(catalog, &problems);

	if (problems)
		fail_msg("%s", text);
	free(text);
}

/* --- opening --- */

static void reader_does_not_find_a_missing_catalog(void **state)
{
	(void)state;
	struct catalog *catalog;

	assert_int_equal(catalog_open(test_path(test_folder(), "none.db"), CATALOG_READ, &catalog, &err), STATUS_NOT_FOUND);
	assert_null(catalog);
	assert_non_null(strstr(err.text, "coca index"));
	catalog_close(NULL);
}

static void writer_makes_the_folders_and_the_uuid_stays(void **state)
{
	(void)state;
	char uuid[33];
	struct library l = {.path = test_path(test_folder(), "a/b c/100%/file:library?.db")};

	assert_ok(catalog_open(l.path, CATALOG_WRITE, &l.catalog, &err), &err);
	assert_string_equal(catalog_path(l.catalog), l.path);
	assert_int_equal(strlen(catalog_uuid(l.catalog)), 32);
	snprintf(uuid, sizeof uuid, "%s", catalog_uuid(l.catalog));
	reopen(&l, CATALOG_READ);
	assert_string_equal(catalog_uuid(l.catalog), uuid);
	assert_sound(l.catalog);
	catalog_close(l.catalog);
}

static void second_writer_is_told_that_it_is_busy(void **state)
{
	(void)state;
	struct library l = library_new();
	struct catalog *second;
	char pid[32];

	assert_int_equal(catalog_open(l.path, CATALOG_WRITE, &second, &err), STATUS_BUSY);
	snprintf(pid, sizeof pid, "process %ld", (long)getpid());
	assert_non_null(strstr(err.text, pid));
	reopen(&l, CATALOG_WRITE);
	catalog_close(l.catalog);
}

static void reader_sees_the_state_before_a_writers_open_transaction(void **state)
{
	(void)state;
	struct library l = library_new(), reader = l;

	put_photo(&l, "/photos/1.jpg", 1);
	assert_ok(catalog_begin(l.catalog, &err), &err);
	put_photo(&l, "/photos/2.jpg", 2);
	assert_ok(catalog_open(l.path, CATALOG_READ, &reader.catalog, &err), &err);
	assert_int_equal(embedded(&reader), 1);
	assert_ok(catalog_commit(l.catalog, &err), &err);
	assert_int_equal(embedded(&reader), 2);
	catalog_close(reader.catalog);
	catalog_close(l.catalog);
}

static void newer_version_is_refused_and_left_as_it_is(void **state)
{
	(void)state;
	struct library l = library_new();
	char known[32];

	catalog_close(l.catalog);
	sql(l.path, "PRAGMA user_version = 1007");
	for (int mode = CATALOG_READ; mode <= CATALOG_WRITE; mode++) {
		assert_int_equal(catalog_open(l.path, mode, &l.catalog, &err), STATUS_UNSUPPORTED);
		assert_non_null(strstr(err.text, "version 1007"));
		snprintf(known, sizeof known, "up to %d", CATALOG_VERSION);
		assert_non_null(strstr(err.text, known));
	}
}

static void what_is_no_catalog_is_refused_and_left_as_it_is(void **state)
{
	(void)state;
	const char *folder = test_folder(), *text = test_path(folder, "notes.txt"), *other = test_path(folder, "other.db");
	char noise[9000];
	struct catalog *catalog;
	uint8_t *bytes;
	size_t size;

	memset(noise, 'x', sizeof noise);
	test_write(text, noise, sizeof noise);
	sql(other, "CREATE TABLE recipes (name)");
	for (int mode = CATALOG_READ; mode <= CATALOG_WRITE; mode++) {
		assert_int_equal(catalog_open(text, mode, &catalog, &err), STATUS_FORMAT);
		assert_non_null(strstr(err.text, "coca verify"));
		assert_int_equal(catalog_open(other, mode, &catalog, &err), STATUS_FORMAT);
		assert_non_null(strstr(err.text, "another program"));
	}
	assert_ok(file_read(text, 1 << 20, &bytes, &size, &err), &err);
	assert_int_equal(size, sizeof noise);
	assert_memory_equal(bytes, noise, size);
	free(bytes);
}

static void truncated_file_is_a_format_error_or_found_by_the_check(void **state)
{
	(void)state;
	struct library l = library_new();
	struct stat st;

	catalog_close(l.catalog);
	assert_int_equal(stat(l.path, &st), 0);
	assert_int_equal(truncate(l.path, st.st_size / 2 / 8192 * 8192), 0);
	enum status status = catalog_open(l.path, CATALOG_READ, &l.catalog, &err);
	if (status == STATUS_OK) {
		size_t problems;
		free(problems_of(l.catalog, &problems));
		assert_true(problems > 0);
	} else {
		assert_int_equal(status, STATUS_FORMAT);
	}
	catalog_close(l.catalog);
}

/* Root may write everywhere, so the child becomes nobody first. */
static void read_only_folder_can_be_read(void **state)
{
	(void)state;
	struct library l = library_new();
	char *folder = mem_copy(l.path, (size_t)(strrchr(l.path, '/') - l.path));

	put_photo(&l, "/photos/1.jpg", 1);
	catalog_close(l.catalog);
	assert_int_equal(chmod(l.path, 0444), 0);
	assert_int_equal(chmod(folder, 0555), 0);
	pid_t child = fork();
	if (child == 0) {
		if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0))
			_exit(3);
		if (access(l.path, R_OK) != 0)
			_exit(NOT_FOR_NOBODY);
		size_t n = 0;
		bool read = catalog_open(l.path, CATALOG_READ, &l.catalog, &err) == STATUS_OK &&
			    catalog_embeddings_each(l.catalog, l.model.id, DIM, count_embedding, &n, &err) == STATUS_OK && n == 1;
		if (!read)
			fprintf(stderr, "%s\n", err.text);
		int64_t content = 1;
		catalog_tokens_touch(l.catalog, &content, read, l.model.id);
		catalog_close(l.catalog);
		bool refused = catalog_open(l.path, CATALOG_WRITE, &l.catalog, &err) == STATUS_IO;
		_exit(!read ? 1 : !refused ? 2 : 0);
	}
	int code;
	assert_int_equal(waitpid(child, &code, 0), child);
	assert_int_equal(chmod(folder, 0700), 0);
	free(folder);
	assert_true(WIFEXITED(code));
	if (WEXITSTATUS(code) == NOT_FOR_NOBODY)
		skip(); /* the folder for temporary files is root's own */
	assert_int_equal(WEXITSTATUS(code), 0);
}

static void killed_writer_loses_only_its_open_transaction(void **state)
{
	(void)state;
	struct library l = library_new();

	catalog_close(l.catalog);
	pid_t child = fork();
	if (child == 0) {
		if (catalog_open(l.path, CATALOG_WRITE, &l.catalog, &err) != STATUS_OK)
			_exit(1);
		catalog_begin(l.catalog, &err);
		for (unsigned i = 0; i < 50; i++)
			put_photo(&l, test_path("/photos", (char[]){(char)('A' + i / 26), (char)('A' + i % 26), 0}), i);
		catalog_commit(l.catalog, &err);
		catalog_begin(l.catalog, &err);
		for (unsigned i = 50; i < 5000; i++) {
			char path[64];
			snprintf(path, sizeof path, "/photos/more/%u.jpg", i);
			put_photo(&l, path, i);
		}
		_exit(0);
	}
	int code;
	assert_int_equal(waitpid(child, &code, 0), child);
	assert_true(WIFEXITED(code) && WEXITSTATUS(code) == 0);
	assert_ok(catalog_open(l.path, CATALOG_WRITE, &l.catalog, &err), &err);
	assert_int_equal(embedded(&l), 50);
	assert_sound(l.catalog);
	catalog_close(l.catalog);
}

/* tests/data/catalog-v1.db was written by version 1: it must always open and say the same. */
static void file_of_version_1_opens(void **state)
{
	(void)state;
	struct library l = {.path = test_path(test_folder(), "old.db"), .model = some_model('a')};
	struct visited v = {0};
	struct catalog_counts counts;
	uint8_t *bytes;
	size_t size;

	assert_ok(file_read("tests/data/catalog-v1.db", 1 << 20, &bytes, &size, &err), &err);
	test_write(l.path, bytes, size);
	free(bytes);
	assert_ok(catalog_open(l.path, CATALOG_WRITE, &l.catalog, &err), &err);
	assert_sound(l.catalog);
	assert_string_equal(catalog_uuid(l.catalog), "0dbaadaabf6ea6b0b31950c04934ea5c");
	assert_ok(catalog_model_put(l.catalog, &l.model, &err), &err);
	assert_int_equal(l.model.id, 1);
	assert_int_equal(embedded(&l), 2);
	assert_ok(catalog_photo_by_path(l.catalog, "/photos/b\xff\n.jpg", visit_photo, &v, &err), &err);
	assert_string_equal(v.photo.camera, "Lumix");
	assert_int_equal(v.photo.taken_at, 1000000000);
	assert_ok(catalog_count(l.catalog, 0, &counts, &err), &err);
	assert_int_equal(counts.photos, 3);
	assert_int_equal(counts.failed, 1);
	assert_int_equal(counts.token_rows, 1);
	assert_int_equal(counts.texts, 1);
	catalog_close(l.catalog);
}

/* --- transactions --- */

static void rolled_back_changes_are_gone(void **state)
{
	(void)state;
	struct library l = library_new();
	int64_t before = generation(&l);

	assert_ok(catalog_begin(l.catalog, &err), &err);
	assert_int_equal(catalog_begin(l.catalog, &err), STATUS_FAILED);
	put_photo(&l, "/photos/1.jpg", 1);
	assert_int_equal(embedded(&l), 1);
	catalog_rollback(l.catalog);
	assert_int_equal(embedded(&l), 0);
	assert_int_equal(generation(&l), before);
	assert_int_not_equal(catalog_commit(l.catalog, &err), STATUS_OK);
	catalog_rollback(l.catalog);
	assert_ok(catalog_begin(l.catalog, &err), &err);
	put_photo(&l, "/photos/1.jpg", 1);
	reopen(&l, CATALOG_READ); /* close rolls back */
	assert_int_equal(embedded(&l), 0);
	catalog_close(l.catalog);
}

/* A limit on the file's size stands for a full disk. */
static void full_disk_is_an_io_error_and_nothing_of_the_transaction_stays(void **state)
{
	(void)state;
	struct library l = library_new();
	static char blob[1 << 20];

	int64_t content = put_content(&l, 1);
	catalog_close(l.catalog);
	pid_t child = fork();
	if (child == 0) {
		enum status status = catalog_open(l.path, CATALOG_WRITE, &l.catalog, &err);
		signal(SIGXFSZ, SIG_IGN);
		if (status != STATUS_OK || setrlimit(RLIMIT_FSIZE, &(struct rlimit){4 << 20, 4 << 20}) != 0)
			_exit(1);
		status = catalog_begin(l.catalog, &err);
		for (unsigned i = 0; i < 64 && status == STATUS_OK; i++)
			status = catalog_tokens_put(l.catalog, put_content(&l, 2 + i), l.model.id, blob, sizeof blob, &err);
		if (status == STATUS_OK)
			status = catalog_commit(l.catalog, &err);
		_exit(status == STATUS_IO && catalog_commit(l.catalog, &err) != STATUS_OK ? 0 : 2);
	}
	int code;
	assert_int_equal(waitpid(child, &code, 0), child);
	assert_true(WIFEXITED(code));
	assert_int_equal(WEXITSTATUS(code), 0);
	assert_ok(catalog_open(l.path, CATALOG_WRITE, &l.catalog, &err), &err);
	struct catalog_counts counts;
	assert_ok(catalog_count(l.catalog, 0, &counts, &err), &err);
	assert_int_equal(counts.contents, 1);
	assert_int_equal(content, 1);
	assert_sound(l.catalog);
	catalog_close(l.catalog);
}

/* --- models, digests, roots --- */

static void model_is_found_by_its_digests(void **state)
{
	(void)state;
	struct library l = library_new();
	struct catalog_model same = some_model('a'), other = some_model('b'), seen = {0};

	snprintf(same.name, sizeof same.name, "/elsewhere/tiny");
	assert_ok(catalog_model_put(l.catalog, &same, &err), &err);
	assert_int_equal(same.id, l.model.id);
	assert_ok(last_model(l.path, &seen, &err), &err);
	assert_string_equal(seen.name, "/elsewhere/tiny");
	assert_string_equal(seen.weights_digest, same.weights_digest);
	assert_int_equal(seen.dim, DIM);
	same.dim = DIM + 1;
	assert_int_equal(catalog_model_put(l.catalog, &same, &err), STATUS_FORMAT);
	reopen(&l, CATALOG_READ);
	assert_ok(catalog_model_put(l.catalog, &l.model, &err), &err);
	assert_int_equal(catalog_model_put(l.catalog, &other, &err), STATUS_NOT_FOUND);
	catalog_close(l.catalog);
}

static void digest_is_remembered_by_all_that_tells_a_file(void **state)
{
	(void)state;
	struct library l = library_new();
	const struct digested_file file = {"/m/w\xff", 10, 20, 30, 40}, others[] = {
		{"/m/w\xff", 11, 20, 30, 40}, {"/m/w\xff", 10, 21, 30, 40}, {"/m/w\xff", 10, 20, 31, 40}, {"/m/w\xff", 10, 20, 30, 41}};
	char digest[33] = "";
	bool found;

	assert_ok(catalog_digest_put(l.catalog, &file, "0123456789abcdef0123456789abcdef", &err), &err);
	assert_ok(catalog_digest_get(l.catalog, &file, digest, &found, &err), &err);
	assert_true(found);
	assert_string_equal(digest, "0123456789abcdef0123456789abcdef");
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		assert_ok(catalog_digest_get(l.catalog, &others[i], digest, &found, &err), &err);
		assert_false(found);
	}
	assert_ok(catalog_digest_put(l.catalog, &others[0], "f", &err), &err);
	assert_ok(catalog_digest_get(l.catalog, &file, digest, &found, &err), &err);
	assert_false(found);
	reopen(&l, CATALOG_READ);
	assert_ok(catalog_digest_put(l.catalog, &file, "f", &err), &err); /* best effort */
	catalog_close(l.catalog);
}

static enum status visit_root(void *context, const struct catalog_root *root, struct err *e)
{
	(void)e;
	snprintf(context, 64, "%s at %d", root->path, (int)root->indexed_at);
	return STATUS_OK;
}

static void root_keeps_its_id_and_remembers_its_last_run(void **state)
{
	(void)state;
	struct library l = library_new();
	char text[64];
	int64_t again;

	assert_ok(catalog_root_put(l.catalog, "/photos//", &again, &err), &err);
	assert_int_equal(again, l.root);
	assert_ok(catalog_roots_each(l.catalog, visit_root, text, &err), &err);
	assert_string_equal(text, "/photos at 0");
	assert_ok(catalog_root_finished(l.catalog, l.root, 1234, &err), &err);
	assert_ok(catalog_roots_each(l.catalog, visit_root, text, &err), &err);
	assert_string_equal(text, "/photos at 1234");
	catalog_close(l.catalog);
}

/* --- photographs --- */

static void photo_comes_back_as_it_was_put(void **state)
{
	(void)state;
	struct library l = library_new();
	struct visited v = {0};
	const char *path = "/photos/new\nline \xff\xfe 'quote'.jpg";
	struct photo photo = some_photo(&l, path, put_content(&l, 1));

	photo.has_taken = photo.has_position = true;
	photo.taken_at = 1700000000;
	photo.taken_offset = -90;
	photo.latitude = 48.2;
	photo.longitude = -16.3;
	photo.camera = "Canon";
	photo.lens = "50 mm";
	photo.orientation = 6;
	assert_ok(catalog_photo_put(l.catalog, &photo, &err), &err);
	assert_ok(catalog_photo_by_path(l.catalog, path, visit_photo, &v, &err), &err);
	assert_int_equal(v.n, 1);
	assert_int_equal(v.photo.id, photo.id);
	assert_int_equal(v.photo.root, l.root);
	assert_string_equal(v.photo.path, path);
	assert_int_equal(v.photo.size, 100);
	assert_int_equal(v.photo.mtime_ns, 5);
	assert_int_equal(v.photo.content, photo.content);
	assert_int_equal(v.photo.state, PHOTO_READY);
	assert_null(v.photo.error);
	assert_string_equal(v.photo.format, "jpeg");
	assert_int_equal(v.photo.width, 40);
	assert_int_equal(v.photo.height, 30);
	assert_int_equal(v.photo.orientation, 6);
	assert_true(v.photo.has_taken && v.photo.has_position);
	assert_int_equal(v.photo.taken_at, 1700000000);
	assert_int_equal(v.photo.taken_offset, -90);
	assert_true(v.photo.latitude == 48.2 && v.photo.longitude == -16.3);
	assert_string_equal(v.photo.camera, "Canon");
	assert_string_equal(v.photo.lens, "50 mm");
	catalog_close(l.catalog);
}

static void photo_put_again_keeps_its_id_and_replaces_all_else(void **state)
{
	(void)state;
	struct library l = library_new();
	struct visited v = {0};
	struct photo photo = some_photo(&l, "/photos/1.jpg", put_content(&l, 1));

	photo.has_taken = photo.has_position = true;
	photo.camera = "Canon";
	assert_ok(catalog_photo_put(l.catalog, &photo, &err), &err);
	struct photo failed = {.root = l.root, .path = "/photos/1.jpg", .path_size = 13, .size = 7, .state = PHOTO_FAILED, .error = "no JPEG"};
	assert_ok(catalog_photo_put(l.catalog, &failed, &err), &err);
	assert_int_equal(failed.id, photo.id);
	assert_ok(catalog_photos_failed(l.catalog, visit_photo, &v, &err), &err);
	assert_int_equal(v.n, 1);
	assert_string_equal(v.photo.error, "no JPEG");
	assert_int_equal(v.photo.size, 7);
	assert_int_equal(v.photo.content, 0);
	assert_false(v.photo.has_taken || v.photo.has_position);
	assert_int_equal(v.photo.taken_offset, CATALOG_NO_OFFSET);
	assert_null(v.photo.camera);
	assert_null(v.photo.format);
	assert_int_equal(embedded(&l), 0);
	catalog_close(l.catalog);
}

static void known_photo_says_whether_a_model_has_embedded_the_content(void **state)
{
	(void)state;
	struct library l = library_new();
	struct catalog_model other = some_model('b');
	struct photo_known known;
	bool found;
	int64_t id = put_photo(&l, "/photos/1.jpg", 1);

	assert_ok(catalog_model_put(l.catalog, &other, &err), &err);
	assert_ok(catalog_photo_gone(l.catalog, id, 77, &err), &err);
	assert_ok(catalog_photo_known(l.catalog, "/photos/1.jpg", 13, l.model.id, &known, &found, &err), &err);
	assert_true(found && known.embedded);
	assert_int_equal(known.id, id);
	assert_int_equal(known.size, 100);
	assert_int_equal(known.mtime_ns, 5);
	assert_int_equal(known.gone_since, 77);
	assert_int_equal(known.state, PHOTO_READY);
	assert_true(known.content > 0);
	assert_ok(catalog_photo_known(l.catalog, "/photos/1.jpg", 13, other.id, &known, &found, &err), &err);
	assert_true(found && !known.embedded);
	assert_ok(catalog_photo_known(l.catalog, "/photos/1.jpg", 12, l.model.id, &known, &found, &err), &err);
	assert_false(found);
	catalog_close(l.catalog);
}

static void photos_are_visited_by_root_content_and_path(void **state)
{
	(void)state;
	struct library l = library_new();
	struct visited v = {0};
	int64_t first = put_photo(&l, "/photos/1.jpg", 1);
	int64_t copy = put_photo(&l, "/photos/copy.jpg", 1);

	assert_int_equal(content_of(&l, "/photos/1.jpg"), content_of(&l, "/photos/copy.jpg"));
	put_photo(&l, "/photos/2.jpg", 2);
	assert_ok(catalog_photos_of_root(l.catalog, l.root, visit_photo, &v, &err), &err);
	assert_int_equal(v.n, 3);
	assert_string_equal(v.photo.path, "/photos/2.jpg");
	v.n = 0;
	assert_ok(catalog_photo_gone(l.catalog, copy, 5, &err), &err);
	assert_ok(catalog_photos_of_content(l.catalog, content_of(&l, "/photos/1.jpg"), false, visit_photo, &v, &err), &err);
	assert_int_equal(v.n, 1);
	assert_int_equal(v.photo.id, first);
	v.n = 0;
	assert_ok(catalog_photos_of_content(l.catalog, content_of(&l, "/photos/1.jpg"), true, visit_photo, &v, &err), &err);
	assert_int_equal(v.n, 2);
	assert_int_equal(v.photo.gone_since, 5);
	assert_int_equal(catalog_photo_by_path(l.catalog, "/photos/3.jpg", visit_photo, &v, &err), STATUS_NOT_FOUND);
	catalog_close(l.catalog);
}

static enum status visit_again(void *context, const struct photo *photo, struct err *e)
{
	struct library *l = context;
	struct visited v = {0};

	/* The same statement while it is being visited, then a change of the row under it. */
	enum status status = catalog_photos_of_root(l->catalog, photo->root, visit_photo, &v, e);
	assert_int_equal(v.n, 2);
	return status == STATUS_OK ? catalog_photo_gone(l->catalog, photo->id, 9, e) : status;
}

static enum status visit_stops(void *context, const struct photo *photo, struct err *e)
{
	(void)photo;
	++*(int *)context;
	return err_set(e, STATUS_INTERRUPTED, "enough");
}

static void visitor_may_use_the_catalog_and_may_stop(void **state)
{
	(void)state;
	struct library l = library_new();
	int visits = 0;

	put_photo(&l, "/photos/1.jpg", 1);
	put_photo(&l, "/photos/2.jpg", 2);
	assert_int_equal(catalog_photos_of_root(l.catalog, l.root, visit_stops, &visits, &err), STATUS_INTERRUPTED);
	assert_int_equal(visits, 1);
	assert_string_equal(err.text, "enough");
	assert_ok(catalog_photos_of_root(l.catalog, l.root, visit_again, &l, &err), &err);
	assert_int_equal(embedded(&l), 0);
	catalog_close(l.catalog);
}

/* --- what can be searched, and its generation --- */

static void generation_follows_what_can_be_searched(void **state)
{
	(void)state;
	struct library l = library_new();
	assert_int_equal(generation(&l), 0);
	int64_t id = put_photo(&l, "/photos/1.jpg", 1), g = generation(&l), h;

	assert_true(g > 0);
	assert_int_equal(embedded(&l), 1);
	assert_ok(catalog_photo_gone(l.catalog, id, 5, &err), &err);
	assert_int_equal(embedded(&l), 0);
	assert_true((h = generation(&l)) > g);
	assert_ok(catalog_photo_gone(l.catalog, id, 0, &err), &err);
	assert_int_equal(embedded(&l), 1);
	assert_true((g = generation(&l)) > h);
	put_content(&l, 1); /* embedded anew */
	assert_true((h = generation(&l)) > g);
	struct photo changed = some_photo(&l, "/photos/1.jpg", put_content(&l, 2));
	g = generation(&l);
	assert_ok(catalog_photo_put(l.catalog, &changed, &err), &err);
	assert_true((h = generation(&l)) > g);
	assert_int_equal(embedded(&l), 1);
	changed.state = PHOTO_FAILED;
	changed.error = "no JPEG";
	assert_ok(catalog_photo_put(l.catalog, &changed, &err), &err);
	assert_true((g = generation(&l)) > h);
	assert_int_equal(embedded(&l), 0);
	changed.state = PHOTO_READY;
	assert_ok(catalog_photo_put(l.catalog, &changed, &err), &err);
	assert_true((h = generation(&l)) > g);
	assert_ok(catalog_photo_delete(l.catalog, id, &err), &err);
	assert_true(generation(&l) > h);
	assert_int_equal(embedded(&l), 0);
	catalog_close(l.catalog);
}

static void generation_stays_when_nothing_searchable_changes(void **state)
{
	(void)state;
	struct library l = library_new();
	struct catalog_model other = some_model('b');
	struct photo_known known;
	bool found;
	int64_t id = put_photo(&l, "/photos/1.jpg", 1), content = content_of(&l, "/photos/1.jpg"), unread;
	size_t contents;

	assert_ok(catalog_model_put(l.catalog, &other, &err), &err);
	int64_t g = generation(&l);
	assert_ok(catalog_photo_known(l.catalog, "/photos/1.jpg", 13, l.model.id, &known, &found, &err), &err);
	assert_ok(catalog_root_finished(l.catalog, l.root, 3, &err), &err);
	struct photo same = some_photo(&l, "/photos/1.jpg", content), copy = some_photo(&l, "/photos/copy.jpg", content);
	same.mtime_ns = 6;
	assert_ok(catalog_photo_put(l.catalog, &same, &err), &err);
	/* A moved file: the new path comes, the old one goes. */
	assert_ok(catalog_photo_put(l.catalog, &copy, &err), &err);
	assert_ok(catalog_photo_gone(l.catalog, id, 5, &err), &err);
	assert_ok(catalog_photo_delete(l.catalog, id, &err), &err);
	assert_ok(catalog_purge(l.catalog, &contents, &err), &err);
	assert_int_equal(contents, 0);
	assert_int_equal(embedded(&l), 1);
	struct photo failed = {.root = l.root, .path = "/photos/x.jpg", .path_size = 13, .state = PHOTO_FAILED, .error = "no JPEG"};
	assert_ok(catalog_photo_put(l.catalog, &failed, &err), &err);
	assert_int_equal(generation(&l), g);
	assert_ok(catalog_generation(l.catalog, other.id, &unread, &err), &err);
	assert_int_equal(unread, 0);
	catalog_close(l.catalog);
}

static enum status check_ascending(void *context, int64_t content, const float *embedding, struct err *e)
{
	int64_t *last = context;

	(void)e;
	assert_true(content > *last);
	assert_true(embedding[content % DIM] != 0);
	*last = content;
	return STATUS_OK;
}

static void embeddings_come_ascending_and_exact_to_half_precision(void **state)
{
	(void)state;
	struct library l = library_new();
	float in[DIM] = {0.1f, -1, 65504, 6.1e-5f, 0, 1 / 3.f, -0.25f, 2}, out[DIM], expected[DIM];
	uint8_t halves[2 * DIM];
	int64_t last = 0, content;
	bool found;

	for (unsigned i = 20; i-- > 1;) {
		char path[64];
		snprintf(path, sizeof path, "/photos/%u.jpg", i);
		put_photo(&l, path, 20 - i);
	}
	assert_ok(catalog_embeddings_each(l.catalog, l.model.id, DIM, check_ascending, &last, &err), &err);
	assert_int_equal(last, 19);
	content = content_of(&l, "/photos/3.jpg");
	assert_ok(catalog_embedding_put(l.catalog, content, l.model.id, in, DIM, &err), &err);
	assert_ok(catalog_embedding_get(l.catalog, content, l.model.id, out, DIM, &found, &err), &err);
	assert_true(found);
	packed_to_half(in, halves, DIM);
	packed_from_half(halves, expected, DIM);
	assert_memory_equal(out, expected, sizeof out);
	assert_int_equal(catalog_embedding_get(l.catalog, content, l.model.id, out, DIM - 1, &found, &err), STATUS_FORMAT);
	assert_ok(catalog_embedding_get(l.catalog, 999, l.model.id, out, DIM, &found, &err), &err);
	assert_false(found);
	in[3] = NAN;
	assert_int_equal(catalog_embedding_put(l.catalog, content, l.model.id, in, DIM, &err), STATUS_FORMAT);
	in[3] = 65520;
	assert_int_equal(catalog_embedding_put(l.catalog, content, l.model.id, in, DIM, &err), STATUS_FORMAT);
	catalog_close(l.catalog);
}

/* --- forgetting --- */

static void forgetting_a_folder_stops_at_a_components_border(void **state)
{
	(void)state;
	struct library l = library_new();
	size_t photos;

	put_photo(&l, "/photos/a/1.jpg", 1);
	put_photo(&l, "/photos/a/b/2.jpg", 2);
	put_photo(&l, "/photos/ab/3.jpg", 3);
	put_photo(&l, "/photos/a.jpg", 4);
	put_photo(&l, "/photos/a%/5.jpg", 5);
	put_photo(&l, "/photos/a\xff/6.jpg", 6);
	assert_int_equal(catalog_forget(l.catalog, "/photos/_", &photos, &err), STATUS_NOT_FOUND);
	assert_int_equal(catalog_forget(l.catalog, "/phot", &photos, &err), STATUS_NOT_FOUND);
	int64_t g = generation(&l);
	assert_ok(catalog_forget(l.catalog, "/photos/a/", &photos, &err), &err);
	assert_int_equal(photos, 2);
	assert_true(generation(&l) > g);
	assert_int_equal(embedded(&l), 4);
	assert_ok(catalog_forget(l.catalog, "/photos", &photos, &err), &err);
	assert_int_equal(photos, 4);
	assert_int_equal(embedded(&l), 0);
	struct catalog_counts counts;
	assert_ok(catalog_count(l.catalog, l.model.id, &counts, &err), &err);
	assert_int_equal(counts.roots, 0);
	assert_int_equal(counts.contents, 6); /* until they are purged */
	catalog_close(l.catalog);
}

static void purging_drops_what_no_photo_has(void **state)
{
	(void)state;
	struct library l = library_new();
	struct catalog_counts counts;
	size_t contents, left;
	static uint8_t blob[TOKEN_BYTES];
	static float tokens[TOKENS * WIDTH];
	int64_t first = put_photo(&l, "/photos/1.jpg", 1), second = put_photo(&l, "/photos/2.jpg", 2), third = put_photo(&l, "/photos/3.jpg", 3);
	int64_t noted = content_of(&l, "/photos/3.jpg");
	struct catalog_text note = {.collection = "notes", .photo_content = noted, .text = "Bob", .text_size = 3};

	packed_tokens_write(tokens, TOKENS, WIDTH, blob);
	assert_ok(catalog_tokens_put(l.catalog, content_of(&l, "/photos/1.jpg"), l.model.id, blob, sizeof blob, &err), &err);
	assert_ok(catalog_text_put(l.catalog, &note, &err), &err);
	assert_ok(catalog_photo_gone(l.catalog, first, 10, &err), &err);
	assert_ok(catalog_photo_gone(l.catalog, second, 20, &err), &err);
	assert_ok(catalog_photo_gone(l.catalog, third, 10, &err), &err);
	int64_t g = generation(&l);
	assert_ok(catalog_photo_delete(l.catalog, first, &err), &err);
	assert_ok(catalog_photo_delete(l.catalog, third, &err), &err);
	assert_ok(catalog_purge(l.catalog, &contents, &err), &err);
	assert_int_equal(contents, 1); /* the one with a note stays, without its embedding */
	assert_int_equal(generation(&l), g);
	assert_ok(catalog_count(l.catalog, l.model.id, &counts, &err), &err);
	assert_int_equal(counts.photos, 1);
	assert_int_equal(counts.gone, 1);
	assert_int_equal(counts.contents, 2);
	assert_int_equal(counts.embeddings, 1);
	assert_int_equal(counts.token_rows, 0);
	assert_ok(catalog_tokens_trim(l.catalog, 0, &left, &err), &err);
	assert_int_equal(left, 0);
	assert_sound(l.catalog);
	catalog_close(l.catalog);
}

/* --- image tokens --- */

static void tokens_are_kept_within_their_budget_the_least_recently_used_out_first(void **state)
{
	(void)state;
	struct library l = library_new();
	struct catalog_counts counts;
	uint8_t blob[100];
	void *got;
	size_t size, left;

	for (unsigned i = 1; i <= 4; i++) {
		memset(blob, (int)i, sizeof blob);
		assert_int_equal(put_content(&l, i), i);
		assert_ok(catalog_tokens_put(l.catalog, i, l.model.id, blob, sizeof blob, &err), &err);
	}
	catalog_tokens_touch(l.catalog, (int64_t[]){1}, 1, l.model.id);
	assert_ok(catalog_tokens_put(l.catalog, 2, l.model.id, blob, 50, &err), &err); /* replaced: used, too */
	assert_ok(catalog_tokens_trim(l.catalog, 350, &left, &err), &err);
	assert_int_equal(left, 350);
	assert_ok(catalog_tokens_trim(l.catalog, 249, &left, &err), &err);
	assert_int_equal(left, 150);
	for (int64_t i = 1; i <= 4; i++) {
		assert_ok(catalog_tokens_get(l.catalog, i, l.model.id, &got, &size, &err), &err);
		assert_int_equal(size, i == 1 ? 100 : i == 2 ? 50 : 0);
		assert_int_equal(got != NULL, size > 0);
		if (got)
			assert_int_equal(*(uint8_t *)got, i == 1 ? 1 : 4);
		free(got);
	}
	assert_ok(catalog_count(l.catalog, 0, &counts, &err), &err);
	assert_int_equal(counts.token_rows, 2);
	assert_int_equal(counts.token_bytes, 150);
	catalog_close(l.catalog);
}

/* SQLite waits by this, and nothing else here does. */
static size_t waits;

int usleep(useconds_t microseconds)
{
	waits++;
	return nanosleep(&(struct timespec){.tv_nsec = 1000 * (long)microseconds}, NULL);
}

static void touching_tokens_does_not_wait_for_a_writer(void **state)
{
	(void)state;
	struct library l = library_new();
	struct catalog *reader;
	int64_t content = put_content(&l, 1);

	assert_ok(catalog_tokens_put(l.catalog, content, l.model.id, "x", 1, &err), &err);
	assert_ok(catalog_open(l.path, CATALOG_READ, &reader, &err), &err);
	assert_ok(catalog_begin(l.catalog, &err), &err);
	put_photo(&l, "/photos/1.jpg", 1);
	waits = 0;
	catalog_tokens_touch(reader, &content, 1, l.model.id);
	assert_int_equal(waits, 0);
	assert_ok(catalog_commit(l.catalog, &err), &err);
	catalog_close(reader);
	catalog_close(l.catalog);
}

/* --- filters --- */

static size_t passing(struct library *l, const struct photo_filter *filter)
{
	int64_t *contents;
	size_t n;

	assert_ok(catalog_filter(l->catalog, filter, &contents, &n, &err), &err);
	for (size_t i = 1; i < n; i++)
		assert_true(contents[i] > contents[i - 1]);
	free(contents);
	return n;
}

static void filter_by_folder_compares_bytes_at_components_borders(void **state)
{
	(void)state;
	struct library l = library_new();

	put_photo(&l, "/photos/a/1.jpg", 1);
	put_photo(&l, "/photos/a/copy.jpg", 1);
	put_photo(&l, "/photos/ab/2.jpg", 2);
	put_photo(&l, "/photos/a\xff/3.jpg", 3);
	assert_true(photo_filter_empty(&(struct photo_filter){0}));
	assert_false(photo_filter_empty(&(struct photo_filter){.in = "/"}));
	assert_int_equal(passing(&l, &(struct photo_filter){0}), 3);
	assert_int_equal(passing(&l, &(struct photo_filter){.in = "/"}), 3);
	assert_int_equal(passing(&l, &(struct photo_filter){.in = "/photos/a"}), 1);
	assert_int_equal(passing(&l, &(struct photo_filter){.in = "/photos/a\xff/"}), 1);
	assert_int_equal(passing(&l, &(struct photo_filter){.in = "/photos/ab/2.jpg"}), 1);
	assert_int_equal(passing(&l, &(struct photo_filter){.in = "/photos/%"}), 0);
	assert_int_equal(passing(&l, &(struct photo_filter){.in = "/PHOTOS"}), 0);
	catalog_close(l.catalog);
}

static void filter_by_date_takes_since_and_leaves_until(void **state)
{
	(void)state;
	struct library l = library_new();
	struct photo photo = some_photo(&l, "/photos/1.jpg", put_content(&l, 1));

	put_photo(&l, "/photos/undated.jpg", 2);
	photo.has_taken = true;
	photo.taken_at = -1000; /* 1969 */
	assert_ok(catalog_photo_put(l.catalog, &photo, &err), &err);
	assert_int_equal(passing(&l, &(struct photo_filter){.has_since = true, .since = -1000}), 1);
	assert_int_equal(passing(&l, &(struct photo_filter){.has_since = true, .since = -999}), 0);
	assert_int_equal(passing(&l, &(struct photo_filter){.has_until = true, .until = -1000}), 0);
	assert_int_equal(passing(&l, &(struct photo_filter){.has_until = true, .until = -999}), 1);
	catalog_close(l.catalog);
}

static void filter_by_camera_folds_ascii_case_and_looks_at_the_lens(void **state)
{
	(void)state;
	struct library l = library_new();
	struct photo photo = some_photo(&l, "/photos/1.jpg", put_content(&l, 1));

	put_photo(&l, "/photos/unknown.jpg", 2);
	photo.camera = "NIKON D750";
	photo.lens = "Sigma 35%";
	assert_ok(catalog_photo_put(l.catalog, &photo, &err), &err);
	assert_int_equal(passing(&l, &(struct photo_filter){.camera = "nikon d7"}), 1);
	assert_int_equal(passing(&l, &(struct photo_filter){.camera = "sIGMA"}), 1);
	assert_int_equal(passing(&l, &(struct photo_filter){.camera = "5%"}), 1);
	assert_int_equal(passing(&l, &(struct photo_filter){.camera = "D%0"}), 0);
	assert_int_equal(passing(&l, &(struct photo_filter){.camera = "canon"}), 0);
	catalog_close(l.catalog);
}

static void filter_by_place_measures_across_the_date_line(void **state)
{
	(void)state;
	struct library l = library_new();
	struct photo fiji = some_photo(&l, "/photos/1.jpg", put_content(&l, 1)), vienna = some_photo(&l, "/photos/2.jpg", put_content(&l, 2));

	fiji.has_position = vienna.has_position = true;
	fiji.latitude = -17;
	fiji.longitude = 179.9;
	vienna.latitude = 48.2082;
	vienna.longitude = 16.3738;
	assert_ok(catalog_photo_put(l.catalog, &fiji, &err), &err);
	assert_ok(catalog_photo_put(l.catalog, &vienna, &err), &err);
	put_photo(&l, "/photos/nowhere.jpg", 3);
	/* 0.2 degrees of longitude at 17 degrees south are 21.3 km; Vienna to Bratislava (48.1486, 17.1077) are 55 km. */
	assert_int_equal(passing(&l, &(struct photo_filter){.has_near = true, .latitude = -17, .longitude = -179.9, .km = 22}), 1);
	assert_int_equal(passing(&l, &(struct photo_filter){.has_near = true, .latitude = -17, .longitude = -179.9, .km = 21}), 0);
	assert_int_equal(passing(&l, &(struct photo_filter){.has_near = true, .latitude = 48.1486, .longitude = 17.1077, .km = 56}), 1);
	assert_int_equal(passing(&l, &(struct photo_filter){.has_near = true, .latitude = 48.1486, .longitude = 17.1077, .km = 54}), 0);
	assert_int_equal(passing(&l, &(struct photo_filter){.has_near = true, .latitude = 0, .longitude = 0, .km = 20100}), 2);
	int64_t *contents;
	size_t n;
	assert_int_equal(catalog_filter(l.catalog, &(struct photo_filter){.has_near = true, .latitude = NAN}, &contents, &n, &err), STATUS_USAGE);
	catalog_close(l.catalog);
}

static void filter_by_text_wants_every_word_whole_in_one_text(void **state)
{
	(void)state;
	struct library l = library_new();
	put_photo(&l, "/photos/1.jpg", 1);
	int64_t content = content_of(&l, "/photos/1.jpg");
	const char *texts[] = {"Die G\xc3\x84NSE am See, 2019", "another cat\xff", "loose words: dog"};

	for (size_t i = 0; i < 3; i++) {
		struct catalog_text text = {.collection = "notes", .photo_content = i < 2 ? content : 0, .text = texts[i], .text_size = strlen(texts[i])};
		assert_ok(catalog_text_put(l.catalog, &text, &err), &err);
	}
	assert_int_equal(passing(&l, &(struct photo_filter){.text = "g\xc3\xa4nse"}), 1);
	assert_int_equal(passing(&l, &(struct photo_filter){.text = " see\tdie 2019"}), 1);
	assert_int_equal(passing(&l, &(struct photo_filter){.text = "ns"}), 0);
	assert_int_equal(passing(&l, &(struct photo_filter){.text = "gans"}), 0);
	assert_int_equal(passing(&l, &(struct photo_filter){.text = "see another"}), 0);
	assert_int_equal(passing(&l, &(struct photo_filter){.text = "ANOTHER"}), 1);
	assert_int_equal(passing(&l, &(struct photo_filter){.text = "dog"}), 0);
	assert_int_equal(passing(&l, &(struct photo_filter){.text = "%"}), 0);
	catalog_close(l.catalog);
}

static void filter_tells_copies_apart_and_leaves_out_what_is_gone(void **state)
{
	(void)state;
	struct library l = library_new();
	struct photo_filter filter = {.in = "/photos/a"};
	int64_t inside = put_photo(&l, "/photos/a/1.jpg", 1), outside = put_photo(&l, "/photos/b/1.jpg", 1);
	bool passes;

	assert_ok(catalog_filter_photo(l.catalog, &filter, inside, &passes, &err), &err);
	assert_true(passes);
	assert_ok(catalog_filter_photo(l.catalog, &filter, outside, &passes, &err), &err);
	assert_false(passes);
	assert_int_equal(passing(&l, &filter), 1);
	assert_ok(catalog_photo_gone(l.catalog, inside, 5, &err), &err);
	assert_int_equal(passing(&l, &filter), 0);
	assert_int_equal(passing(&l, &(struct photo_filter){0}), 1);
	catalog_close(l.catalog);
}

static void negation_tells_copies_apart_and_leaves_out_what_is_gone_or_failed(void **state)
{
	(void)state;
	struct library l = library_new();
	const struct photo_filter b = {.in = "/photos/b"}, a_and_b = {.in = "/photos/a", .except = &b}, a = {.in = "/photos/a"};
	struct photo failed = some_photo(&l, "/photos/d/3.jpg", put_content(&l, 3));

	failed.state = PHOTO_FAILED;
	failed.error = "no JPEG";
	put_photo(&l, "/photos/a/1.jpg", 1);
	int64_t copy = put_photo(&l, "/photos/b/1.jpg", 1);
	put_photo(&l, "/photos/c/2.jpg", 2);
	assert_ok(catalog_photo_put(l.catalog, &failed, &err), &err);
	assert_int_equal(passing(&l, &(struct photo_filter){.except = &a}), 2);
	assert_int_equal(passing(&l, &(struct photo_filter){.except = &a_and_b}), 1);
	assert_ok(catalog_photo_gone(l.catalog, copy, 5, &err), &err);
	assert_int_equal(passing(&l, &(struct photo_filter){.except = &a}), 1);
	assert_int_equal(passing(&l, &(struct photo_filter){.except = &b}), 2);
	catalog_close(l.catalog);
}

/* --- texts --- */

struct seen_texts {
	size_t n, with_embedding;
	char last[64];
};

static enum status visit_text(void *context, const struct catalog_text *text, const float *embedding, struct err *e)
{
	struct seen_texts *seen = context;

	(void)e;
	seen->n++;
	seen->with_embedding += embedding && embedding[1] == 0.5f;
	snprintf(seen->last, sizeof seen->last, "%s:%.*s", text->collection, (int)text->text_size, text->text);
	return STATUS_OK;
}

static void texts_keep_their_ids_and_are_visited_by_collection(void **state)
{
	(void)state;
	struct library l = library_new();
	struct seen_texts seen = {0};
	float embedding[DIM] = {0, 0.5f};
	struct catalog_text a = {.collection = "one\xff.tsv", .text = "a\xfe" "b", .text_size = 3};
	struct catalog_text tied = a, same = a, other = {.collection = "two", .text = "", .text_size = 0};
	size_t n;

	tied.photo_content = put_content(&l, 1);
	assert_ok(catalog_text_put(l.catalog, &a, &err), &err);
	assert_ok(catalog_text_put(l.catalog, &tied, &err), &err);
	assert_ok(catalog_text_put(l.catalog, &same, &err), &err);
	assert_ok(catalog_text_put(l.catalog, &other, &err), &err);
	assert_int_equal(same.id, a.id);
	assert_int_not_equal(tied.id, a.id);
	assert_ok(catalog_text_embedding_put(l.catalog, a.id, l.model.id, embedding, DIM, &err), &err);
	assert_ok(catalog_text_embedding_put(l.catalog, a.id, l.model.id, embedding, DIM, &err), &err);
	assert_ok(catalog_texts_each(l.catalog, l.model.id, DIM, NULL, visit_text, &seen, &err), &err);
	assert_int_equal(seen.n, 3);
	assert_int_equal(seen.with_embedding, 1);
	assert_string_equal(seen.last, "two:");
	seen = (struct seen_texts){0};
	assert_ok(catalog_texts_each(l.catalog, l.model.id, DIM, "one\xff.tsv", visit_text, &seen, &err), &err);
	assert_int_equal(seen.n, 2);
	assert_string_equal(seen.last, "one\xff.tsv:a\xfe" "b");
	assert_ok(catalog_texts_forget(l.catalog, "one\xff.tsv", &n, &err), &err);
	assert_int_equal(n, 2);
	assert_sound(l.catalog);
	catalog_close(l.catalog);
}

/* --- counting and checking --- */

static void counts_are_of_one_model_or_of_all(void **state)
{
	(void)state;
	struct library l = library_new();
	struct catalog_model other = some_model('b');
	struct catalog_counts counts;
	float embedding[DIM] = {1};
	struct photo failed = {.root = l.root, .path = "/photos/x.jpg", .path_size = 13, .state = PHOTO_FAILED, .error = "no JPEG"};

	assert_ok(catalog_model_put(l.catalog, &other, &err), &err);
	put_photo(&l, "/photos/1.jpg", 1);
	int64_t gone = put_photo(&l, "/photos/2.jpg", 2);
	assert_ok(catalog_photo_gone(l.catalog, gone, 1, &err), &err);
	assert_ok(catalog_photo_put(l.catalog, &failed, &err), &err);
	assert_ok(catalog_embedding_put(l.catalog, content_of(&l, "/photos/1.jpg"), other.id, embedding, DIM, &err), &err);
	assert_ok(catalog_count(l.catalog, l.model.id, &counts, &err), &err);
	assert_int_equal(counts.photos, 3);
	assert_int_equal(counts.failed, 1);
	assert_int_equal(counts.gone, 1);
	assert_int_equal(counts.contents, 2);
	assert_int_equal(counts.embeddings, 2);
	assert_int_equal(counts.roots, 1);
	assert_ok(catalog_count(l.catalog, 0, &counts, &err), &err);
	assert_int_equal(counts.embeddings, 3);
	catalog_close(l.catalog);
}

static void check_finds_what_breaks_our_own_rules(void **state)
{
	(void)state;
	struct library l = library_new();
	size_t problems;
	static uint8_t blob[TOKEN_BYTES];
	static float tokens[TOKENS * WIDTH];

	put_photo(&l, "/photos/1\n.jpg", 1);
	put_photo(&l, "/photos/2.jpg", 2);
	put_photo(&l, "/photos/3.jpg", 3);
	packed_tokens_write(tokens, TOKENS, WIDTH, blob);
	for (int64_t i = 1; i <= 3; i++)
		assert_ok(catalog_tokens_put(l.catalog, i, l.model.id, blob, sizeof blob, &err), &err);
	assert_sound(l.catalog);
	catalog_close(l.catalog);
	sql(l.path, "PRAGMA foreign_keys = OFF; DELETE FROM embeddings WHERE content = 1; UPDATE embeddings SET vector = x'0011' WHERE content = 2;"
		    "UPDATE embeddings SET vector = x'007e007e007e007e007e007e007e007e' WHERE content = 3; UPDATE photos SET root = 99 WHERE id = 2;"
		    "UPDATE token_blobs SET blob = x'00' WHERE id = 1; UPDATE image_tokens SET bytes = 1 WHERE id = 1;"
		    "UPDATE token_blobs SET blob = zeroblob(52) WHERE id = 2; DELETE FROM token_blobs WHERE id = 3; DELETE FROM index_state");
	assert_ok(catalog_open(l.path, CATALOG_READ, &l.catalog, &err), &err);
	char *text = problems_of(l.catalog, &problems);
	assert_non_null(strstr(text, "no embedding of any model: '/photos/1\\x0a.jpg'"));
	assert_non_null(strstr(text, "the embedding of content 2"));
	assert_non_null(strstr(text, "the embedding of content 3 has a component that is not a number"));
	assert_non_null(strstr(text, "photos row 2 -> roots"));
	assert_non_null(strstr(text, "content 1: "));
	assert_non_null(strstr(text, "content 2: "));
	assert_non_null(strstr(text, "without their blob, for content '3'"));
	assert_non_null(strstr(text, "no generation for model '1'"));
	assert_int_equal(problems, 8);
	free(text);
	catalog_close(l.catalog);
}

static void check_finds_a_corrupt_page(void **state)
{
	(void)state;
	struct library l = library_new();
	char noise[4096];
	size_t problems, size;
	uint8_t *bytes;

	assert_ok(catalog_begin(l.catalog, &err), &err);
	for (unsigned i = 0; i < 3000; i++) {
		char path[64];
		snprintf(path, sizeof path, "/photos/%u.jpg", i);
		put_photo(&l, path, i);
	}
	assert_ok(catalog_commit(l.catalog, &err), &err);
	catalog_close(l.catalog);
	assert_ok(file_read(l.path, 1 << 26, &bytes, &size, &err), &err);
	const uint8_t *at = memmem(bytes, size, "/photos/1500.jpg", 16);
	assert_non_null(at);
	memset(noise, 0xa5, sizeof noise);
	memcpy(bytes + (size_t)(at - bytes) / 8192 * 8192, noise, sizeof noise);
	test_write(l.path, bytes, size);
	free(bytes);
	assert_ok(catalog_open(l.path, CATALOG_READ, &l.catalog, &err), &err);
	free(problems_of(l.catalog, &problems));
	assert_true(problems > 0);
	catalog_close(l.catalog);
}

TEST_MAIN(cmocka_unit_test(reader_does_not_find_a_missing_catalog), cmocka_unit_test(writer_makes_the_folders_and_the_uuid_stays),
	  cmocka_unit_test(second_writer_is_told_that_it_is_busy), cmocka_unit_test(reader_sees_the_state_before_a_writers_open_transaction),
	  cmocka_unit_test(newer_version_is_refused_and_left_as_it_is), cmocka_unit_test(what_is_no_catalog_is_refused_and_left_as_it_is),
	  cmocka_unit_test(truncated_file_is_a_format_error_or_found_by_the_check), cmocka_unit_test(read_only_folder_can_be_read),
	  cmocka_unit_test(file_of_version_1_opens), cmocka_unit_test(rolled_back_changes_are_gone),
	  cmocka_unit_test(model_is_found_by_its_digests), cmocka_unit_test(digest_is_remembered_by_all_that_tells_a_file),
	  cmocka_unit_test(root_keeps_its_id_and_remembers_its_last_run), cmocka_unit_test(photo_comes_back_as_it_was_put),
	  cmocka_unit_test(photo_put_again_keeps_its_id_and_replaces_all_else),
	  cmocka_unit_test(known_photo_says_whether_a_model_has_embedded_the_content), cmocka_unit_test(photos_are_visited_by_root_content_and_path),
	  cmocka_unit_test(visitor_may_use_the_catalog_and_may_stop), cmocka_unit_test(generation_follows_what_can_be_searched),
	  cmocka_unit_test(generation_stays_when_nothing_searchable_changes),
	  cmocka_unit_test(embeddings_come_ascending_and_exact_to_half_precision),
	  cmocka_unit_test(forgetting_a_folder_stops_at_a_components_border), cmocka_unit_test(purging_drops_what_no_photo_has),
	  cmocka_unit_test(tokens_are_kept_within_their_budget_the_least_recently_used_out_first),
	  cmocka_unit_test(touching_tokens_does_not_wait_for_a_writer), cmocka_unit_test(filter_by_folder_compares_bytes_at_components_borders),
	  cmocka_unit_test(filter_by_date_takes_since_and_leaves_until), cmocka_unit_test(filter_by_camera_folds_ascii_case_and_looks_at_the_lens),
	  cmocka_unit_test(filter_by_place_measures_across_the_date_line), cmocka_unit_test(filter_by_text_wants_every_word_whole_in_one_text),
	  cmocka_unit_test(filter_tells_copies_apart_and_leaves_out_what_is_gone),
	  cmocka_unit_test(negation_tells_copies_apart_and_leaves_out_what_is_gone_or_failed),
	  cmocka_unit_test(texts_keep_their_ids_and_are_visited_by_collection),
	  cmocka_unit_test(counts_are_of_one_model_or_of_all), cmocka_unit_test(check_finds_what_breaks_our_own_rules),
	  cmocka_unit_test(killed_writer_loses_only_its_open_transaction),
	  cmocka_unit_test(full_disk_is_an_io_error_and_nothing_of_the_transaction_stays), cmocka_unit_test(check_finds_a_corrupt_page))
