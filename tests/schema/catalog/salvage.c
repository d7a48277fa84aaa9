/* salvage.c: a catalog with damaged pages gives what the others hold; and what its indexes know of the rest. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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

/* Photographs of as many contents; the catalog is the caller's to close. */
static struct catalog *fill_catalog(const char *path, uint32_t photos)
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
	for (uint32_t i = 0; i < photos; i++) {
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
	return catalog;
}

static void make_catalog(const char *path)
{
	catalog_close(fill_catalog(path, PHOTOS));
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

/* What a damaged page costs at most: its rows, and of photos less than these: their paths are in an index. The page at the top of a table
 * leads to all others of it, but embeddings are found on them all the same. */
static void every_page_may_be_damaged(void **state)
{
	(void)state;
	const char *folder = test_folder();
	const char *sound = test_path(folder, "sound.db"), *path = test_path(folder, "library.db");
	uint64_t random = 5;
	uint8_t *bytes;
	size_t size, least = PHOTOS, unreadable = 0, tried = 0, lost = 0;

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
		enum status status = catalog_salvage(path, &saved, &err);
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
		least = saved.embeddings < least ? saved.embeddings : least;
		lost += saved.unread != 0;
		assert_int_equal(saved.photos, PHOTOS);
		assert_true(saved.embeddings > PHOTOS - PAGE / (2 * DIM));
		assert_true(saved.embeddings == PHOTOS || saved.unread == PHOTOS - saved.embeddings);
		assert_int_equal(access(saved.kept, F_OK), 0);
		catalog_close(catalog);
		unlink(saved.kept);
	}
	print_message("of %zu pages %zu damaged one at a time: %zu leave nothing, %zu photos to be read again; all save %zu of %d embeddings at"
		      " least\n", pages, tried, unreadable, lost, least, PHOTOS);
	assert_true(unreadable <= 4 && tried > 15 && lost > 2);
	free(bytes);
}

static void execute(const char *path, const char *sql, int (*row)(void *, int, char **, char **), void *context)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, row, context, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static int note_row(void *context, int columns, char **values, char **names)
{
	(void)columns;
	(void)names;
	buffer_format(context, "%s;", values[0]);
	return 0;
}

/* Tables and the number of their rows, but for what is made again; all of them have some. */
static void note_tables(const char *path, struct buffer *noted)
{
	struct buffer sql = {0};

	execute(path, "SELECT printf('SELECT ''%w '' || count(*) FROM %w', name, name) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE"
		      " 'sqlite_%' AND name NOT IN ('weight_digests', 'scored', 'label_scores', 'walks', 'folders') ORDER BY name", note_row, &sql);
	execute(path, sql.data, note_row, noted);
	assert_null(strstr(noted->data, " 0;"));
	buffer_release(&sql);
}

static const char other_rows[] =
	"INSERT INTO texts (collection, content, text) SELECT 'said', id, 'text ' || id FROM contents;"
	"INSERT INTO text_embeddings SELECT 1, id, zeroblob(128) FROM texts;"
	"INSERT INTO text_nulls SELECT 1, id, n, -2.5 FROM texts, (SELECT 0 n UNION SELECT 1 UNION SELECT 2);"
	"INSERT INTO captions SELECT 1, content, id, -1.5 FROM texts;"
	"INSERT INTO photo_texts SELECT p.id, t.id, 1 FROM photos p JOIN texts t ON t.content = p.content;"
	"INSERT INTO encoder_tokens (content, model, bytes, used_at) SELECT id, 1, 8, 1 FROM contents;"
	"INSERT INTO encoder_blobs SELECT id, zeroblob(8) FROM encoder_tokens;"
	"INSERT INTO heads (model, name, bytes) VALUES (1, 'pets', x'00');"
	"INSERT INTO labels (head, place, name) VALUES (1, 0, 'cat'), (1, 1, 'dog');";

static void a_sound_catalog_comes_out_whole(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "library.db");
	struct catalog_salvage saved;
	struct catalog_counts before, after;
	struct catalog *catalog;
	struct buffer tables = {0}, tables_after = {0};
	char uuid[33];

	make_catalog(path);
	execute(path, other_rows, NULL, NULL);
	note_tables(path, &tables);
	assert_ok(catalog_open(path, CATALOG_READ, &catalog, &err), &err);
	assert_ok(catalog_count(catalog, 0, &before, &err), &err);
	snprintf(uuid, sizeof uuid, "%s", catalog_uuid(catalog));
	catalog_close(catalog);
	assert_ok(catalog_salvage(path, &saved, &err), &err);
	assert_int_equal(saved.photos, PHOTOS);
	assert_int_equal(saved.unread, 0);
	assert_ok(catalog_open(path, CATALOG_READ, &catalog, &err), &err);
	assert_ok(catalog_count(catalog, 0, &after, &err), &err);
	assert_memory_equal(&before, &after, sizeof before);
	note_tables(path, &tables_after);
	assert_string_equal(tables.data, tables_after.data);
	buffer_release(&tables);
	buffer_release(&tables_after);
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
	assert_int_equal(catalog_salvage(path, &saved, &err), STATUS_FORMAT);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_size, after.st_size);
	assert_int_not_equal(access(saved.kept, F_OK), 0);
}

static void one_that_was_cut_off_gives_what_is_left(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "library.db");
	struct catalog_salvage saved;
	struct catalog *catalog;
	struct stat st;

	make_catalog(path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size / 2), 0);
	assert_ok(catalog_salvage(path, &saved, &err), &err);
	assert_in_range(saved.photos, PHOTOS / 4, PHOTOS - 1);
	assert_in_range(saved.embeddings, PHOTOS / 4, PHOTOS - 1);
	assert_ok(catalog_open(path, CATALOG_READ, &catalog, &err), &err);
	assert_int_equal(problems_of(catalog), 0);
	catalog_close(catalog);
}

/* A byte of a column's name on the page where tables are described. */
static void a_damaged_description_costs_nothing_else(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "library.db");
	struct catalog_salvage saved;
	uint8_t *bytes;
	size_t size;

	make_catalog(path);
	assert_ok(file_read(path, 1 << 28, &bytes, &size, &err), &err);
	uint8_t *name = memmem(bytes, size, "taken_offset INTEGER", 20);
	assert_non_null(name);
	name[2] = 0xc4; /* still a name */
	test_write(path, bytes, size);
	free(bytes);
	assert_ok(catalog_salvage(path, &saved, &err), &err);
	assert_int_equal(saved.photos, PHOTOS);
	assert_int_equal(saved.embeddings, PHOTOS);
	assert_int_equal(saved.unread, 0);
}

static void another_programs_file_is_left_alone(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "bookmarks.sqlite");
	struct catalog_salvage saved;
	uint8_t *before, *after;
	size_t size, size_after;

	execute(path, "CREATE TABLE bookmarks (place, name); INSERT INTO bookmarks VALUES ('here', 'there')", NULL, NULL);
	assert_ok(file_read(path, 1 << 20, &before, &size, &err), &err);
	assert_int_equal(catalog_salvage(path, &saved, &err), STATUS_FORMAT);
	assert_ok(file_read(path, 1 << 20, &after, &size_after, &err), &err);
	assert_int_equal(size, size_after);
	assert_memory_equal(before, after, size);
	free(before);
	free(after);
}

static void a_repair_drops_damaged_blobs_and_no_others(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "library.db");
	struct catalog_repairs done;
	struct catalog_counts counts;
	struct catalog *catalog;

	make_catalog(path);
	execute(path, "UPDATE embeddings SET vector = zeroblob(126) WHERE content = 1;"
		      "UPDATE embeddings SET vector = CAST(x'007e' || zeroblob(126) AS BLOB) WHERE content = 2;" /* not a number */
		      "UPDATE token_blobs SET blob = zeroblob(length(blob)) WHERE id = 3; DELETE FROM token_blobs WHERE id = 4", NULL, NULL);
	assert_ok(catalog_open(path, CATALOG_WRITE, &catalog, &err), &err);
	assert_ok(catalog_repair(catalog, &done, &err), &err);
	assert_int_equal(done.embeddings, 2);
	assert_int_equal(done.tokens, 2);
	assert_int_equal(done.text_embeddings, 0);
	assert_ok(catalog_count(catalog, 0, &counts, &err), &err);
	assert_int_equal(counts.embeddings, PHOTOS - 2);
	assert_int_equal(counts.token_rows, PHOTOS - 2);
	catalog_close(catalog);
}

static void a_catalog_in_use_is_left_alone(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "library.db");
	struct catalog_salvage saved;
	struct catalog *catalog;

	assert_ok(catalog_open(path, CATALOG_WRITE, &catalog, &err), &err);
	assert_int_equal(catalog_salvage(path, &saved, &err), STATUS_BUSY);
	catalog_close(catalog);
}

/* --- what fails in the midst of it --- */

/* The calls by which files come to be: the at-th of them fails, or is where the process is killed. */
static struct {
	int calls, at;
	bool kill;
	const char *onto; /* on_rename is called before a rename to it */
	void (*on_rename)(void);
} fault;

static bool fails(void)
{
	if (++fault.calls != fault.at)
		return false;
	if (fault.kill)
		raise(SIGKILL);
	errno = ENOSPC;
	return true;
}

int rename(const char *from, const char *to)
{
	if (fault.on_rename && strcmp(to, fault.onto) == 0)
		fault.on_rename();
	return fails() ? -1 : (int)syscall(SYS_rename, from, to);
}

int link(const char *from, const char *to)
{
	return fails() ? -1 : (int)syscall(SYS_link, from, to);
}

int fsync(int fd)
{
	return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

static ssize_t failing_pwrite(int fd, const void *bytes, size_t size, off_t at)
{
	return fails() ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, bytes, size, at);
}

static int failing_ftruncate(int fd, off_t size)
{
	return fails() ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

static void put_under_sqlite(bool failing)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	static const struct {
		const char *name;
		sqlite3_syscall_ptr call;
	} calls[] = {{"pwrite", (sqlite3_syscall_ptr)failing_pwrite}, {"pwrite64", (sqlite3_syscall_ptr)failing_pwrite},
		     {"ftruncate", (sqlite3_syscall_ptr)failing_ftruncate}};

	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		assert_int_equal(vfs->xSetSystemCall(vfs, calls[i].name, failing ? calls[i].call : NULL), SQLITE_OK);
}

static size_t photos_of(const char *path)
{
	struct catalog *catalog;
	struct catalog_counts counts = {0};

	if (catalog_open(path, CATALOG_READ, &catalog, &err) == STATUS_OK)
		assert_ok(catalog_count(catalog, 0, &counts, &err), &err);
	catalog_close(catalog);
	return (size_t)counts.photos;
}

/* How many files there are; they are gone then. */
static size_t clear(const char *folder)
{
	struct dirent **names;
	int n = scandir(folder, &names, NULL, NULL), fd = open(folder, O_RDONLY | O_DIRECTORY);
	size_t files = 0;

	for (int i = 0; i < n; i++) {
		files += unlinkat(fd, names[i]->d_name, 0) == 0;
		free(names[i]);
	}
	free(names);
	close(fd);
	return files;
}

/* A catalog whose rows lie in its log, as a killed writer leaves it. */
enum { LOGGED = 20 };
static void make_logged(const char *path)
{
	pid_t child = fork();

	if (child == 0) {
		fill_catalog(path, LOGGED);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &(int){0}, 0), child);
}

static enum status salvage_failing_at(const char *path, int at, bool kill)
{
	struct catalog_salvage saved;
	enum status status = STATUS_FAILED;
	int result;
	pid_t child = fork();

	if (child == 0) {
		fault.calls = 0, fault.at = at, fault.kill = kill;
		put_under_sqlite(true);
		_exit((int)catalog_salvage(path, &saved, &err));
	}
	assert_int_equal(waitpid(child, &result, 0), child);
	if (WIFEXITED(result))
		status = (enum status)WEXITSTATUS(result);
	return status;
}

/* Whichever write, sync, link or rename fails or is the last thing that happens: all that there was is there under the name. */
static void nothing_is_lost_whatever_fails(void **state)
{
	(void)state;
	const char *folder = test_folder(), *path = test_path(folder, "library.db");
	struct catalog_salvage saved;
	int failed = 0;

	make_logged(path);
	fault.calls = fault.at = 0;
	put_under_sqlite(true);
	assert_ok(catalog_salvage(path, &saved, &err), &err);
	put_under_sqlite(false);
	int calls = fault.calls;
	clear(folder);
	for (int at = 1; at <= calls; at += at + 8 < calls ? 7 : 1)
		for (int kill = 0; kill < 2; kill++) {
			make_logged(path);
			enum status status = salvage_failing_at(path, at, kill);
			/* The last one syncs the folder; before it come a rename, a sync and the link, in whose place there is a rename. */
			assert_true(status != STATUS_OK || at == calls || at == calls - 3);
			failed += status != STATUS_OK;
			assert_int_equal(photos_of(path), LOGGED);
			assert_ok(catalog_salvage(path, &saved, &err), &err);
			assert_int_equal(saved.photos, LOGGED);
			assert_int_equal(saved.embeddings, LOGGED);
			/* It, its lock, the damaged one, maybe by two names. */
			assert_in_range(clear(folder), 3, 3 + (kill || status == STATUS_OK));
		}
	print_message("at %d calls %d salvages failed or were killed\n", calls, failed);
	assert_true(failed > 20);
}

static int go[2];

static void let_reader_go(void)
{
	fault.on_rename = NULL;
	assert_int_equal(write(go[1], "", 1), 1);
	usleep(200000); /* it waits at the lock, or has read */
}

static int send_uuid(const char *path, int to)
{
	struct catalog *catalog;

	return catalog_open(path, CATALOG_READ, &catalog, &err) == STATUS_OK && write(to, catalog_uuid(catalog), 33) == 33 ? 0 : 1;
}

/* One that had the old file open would empty the new one's log into it in the end. */
static void who_opens_in_the_midst_opens_the_new_catalog(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "library.db");
	struct catalog *catalog;
	struct catalog_salvage saved;
	int told[2];
	char byte, uuid[33];

	make_logged(path);
	assert_int_equal(pipe(go) | pipe(told), 0);
	pid_t reader = fork();
	if (reader == 0)
		_exit(read(go[0], &byte, 1) == 1 ? send_uuid(path, told[1]) : 1);
	fault.onto = path;
	fault.on_rename = let_reader_go;
	assert_ok(catalog_salvage(path, &saved, &err), &err);
	assert_int_equal(waitpid(reader, &(int){0}, 0), reader);
	close(told[1]);
	assert_int_equal(read(told[0], uuid, sizeof uuid), sizeof uuid);
	assert_ok(catalog_open(path, CATALOG_READ, &catalog, &err), &err);
	assert_string_equal(uuid, catalog_uuid(catalog));
	catalog_close(catalog);
	assert_int_equal(photos_of(path), LOGGED);
}

/* One that reads on has the log open by its name, which would soon be the new catalog's. */
static void a_reader_is_waited_for(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "library.db");
	struct catalog_salvage saved;
	int told[2];
	char byte;

	make_logged(path);
	assert_int_equal(pipe(told), 0);
	pid_t child = fork();
	if (child == 0) {
		struct catalog *catalog;
		struct catalog_counts counts = {0};
		bool ok = catalog_open(path, CATALOG_READ, &catalog, &err) == STATUS_OK && write(told[1], "", 1) == 1;
		usleep(300000);
		struct stat now;
		ok = ok && stat(path, &now) == 0 && catalog_count(catalog, 0, &counts, &err) == STATUS_OK && counts.photos == LOGGED;
		_exit(ok ? (int)(now.st_ino % 251) : 255);
	}
	struct stat before;
	int result;
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(read(told[0], &byte, 1), 1);
	assert_ok(catalog_salvage(path, &saved, &err), &err);
	assert_int_equal(waitpid(child, &result, 0), child);
	assert_int_equal(WEXITSTATUS(result), (int)(before.st_ino % 251)); /* it was still the old file's name then */
}

static void a_link_stays_and_the_file_keeps_its_mode(void **state)
{
	(void)state;
	const char *folder = test_folder(), *path = test_path(folder, "real.db"), *name = test_path(folder, "link.db");
	struct catalog_salvage saved;
	struct catalog *catalog, *other;
	struct stat before, after;

	make_catalog(path);
	assert_int_equal(symlink("real.db", name), 0);
	assert_int_equal(chmod(path, 0600), 0);
	assert_true(chown(path, 12345, 12346) == 0 || errno == EPERM);
	assert_int_equal(stat(path, &before), 0);
	assert_ok(catalog_salvage(name, &saved, &err), &err);
	assert_int_equal(lstat(name, &after), 0);
	assert_true(S_ISLNK(after.st_mode));
	assert_int_equal(stat(path, &after), 0);
	assert_int_not_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_mode, after.st_mode);
	assert_int_equal(before.st_uid, after.st_uid);
	assert_int_equal(before.st_gid, after.st_gid);
	assert_int_equal(strncmp(saved.kept, path, strlen(path)), 0);
	/* The lock, too: who may write the catalog must be able to lock it, whoever did so first. */
	assert_int_equal(stat(test_path(folder, "real.db.lock"), &after), 0);
	assert_int_equal(before.st_mode, after.st_mode);
	assert_int_equal(before.st_uid, after.st_uid);
	/* One lock by either name. */
	assert_ok(catalog_open(name, CATALOG_WRITE, &catalog, &err), &err);
	assert_string_equal(catalog_path(catalog), path);
	assert_int_equal(catalog_open(path, CATALOG_WRITE, &other, &err), STATUS_BUSY);
	catalog_close(catalog);
}

TEST_MAIN(cmocka_unit_test(a_catalog_in_use_is_left_alone), cmocka_unit_test(another_programs_file_is_left_alone),
	  cmocka_unit_test(a_repair_drops_damaged_blobs_and_no_others),
	  cmocka_unit_test(without_its_first_page_nothing_is_changed),
	  cmocka_unit_test(a_sound_catalog_comes_out_whole), cmocka_unit_test(one_that_was_cut_off_gives_what_is_left),
	  cmocka_unit_test(a_damaged_description_costs_nothing_else),
	  cmocka_unit_test(a_link_stays_and_the_file_keeps_its_mode), cmocka_unit_test(who_opens_in_the_midst_opens_the_new_catalog),
	  cmocka_unit_test(a_reader_is_waited_for), cmocka_unit_test(nothing_is_lost_whatever_fails),
	  cmocka_unit_test(every_page_may_be_damaged))
