/* catalog.c: opening the catalog's file, and its lock. The tables are in schema.sql, what is done with them in the
 * files beside this one.
 *
 * Writers hold an flock on PATH.lock, which the system drops when they die. Readers open the file for writing all the same
 * where they may: WAL needs its -shm file, and using tokens is noted. On a disk that is read only the file is opened as
 * immutable.
 */
#include "schema/catalog/catalog.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/catalog/internal.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* --- the writers' lock --- */

/* The process that holds the lock wrote its number into the file. */
static enum status lock_taken(struct catalog *catalog, int fd, struct err *err)
{
	char text[32] = "";
	ssize_t n = pread(fd, text, sizeof text - 1, 0);
	long pid = n > 0 ? strtol(text, NULL, 10) : 0;

	return err_set(err, STATUS_BUSY, "another coca (process %ld) is writing to the catalog '%s'; hint: wait until that `coca index` has ended",
		       pid, catalog->path);
}

static enum status lock_writer(struct catalog *catalog, struct err *err)
{
	struct buffer name = {0};
	char pid[32];
	enum status status = STATUS_OK;

	buffer_format(&name, "%s.lock", catalog->path);
	if (name.failed)
		return err_memory(err, "a file name");
	int fd = open(name.data, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0) {
		status = err_set(err, STATUS_IO, "cannot write to '%s': %s", name.data, strerror(errno));
	} else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		status = errno == EWOULDBLOCK ? lock_taken(catalog, fd, err)
					      : err_set(err, STATUS_IO, "cannot lock '%s': %s", name.data, strerror(errno));
		close(fd);
	} else {
		int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
		/* Only for the message above: a disk too full for it is no reason to stop. */
		if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)n, 0) != n)
			errno = 0;
		file_like(fd, catalog->path);
		catalog->lock = fd;
	}
	buffer_release(&name);
	return status;
}

static enum status make_folder_of(const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return STATUS_OK;
	char *folder = mem_copy(path, (size_t)(slash - path));
	enum status status = folder ? path_make_folder(folder, err) : err_memory(err, "a path");
	free(folder);
	return status;
}

/* --- opening --- */

/* What SQLite gets: never a name that it would take for a URI, unless immutable. NULL when out of memory. */
static char *database_name(const char *path, bool immutable)
{
	struct buffer name = {0};

	buffer_text(&name, immutable ? "file:" : "");
	buffer_text(&name, *path == '/' ? "" : "./");
	for (const char *p = path; *p; p++) {
		if (immutable && !isalnum((unsigned char)*p) && *p != '/')
			buffer_format(&name, "%%%02x", (unsigned char)*p);
		else
			buffer_append(&name, p, 1);
	}
	buffer_text(&name, immutable ? "?immutable=1" : "");
	if (name.failed)
		buffer_release(&name);
	return name.data;
}

static void close_database(struct catalog *catalog)
{
	while (catalog->kept_count)
		sqlite3_finalize(catalog->kept[--catalog->kept_count].statement);
	sqlite3_close(catalog->db);
	catalog->db = NULL;
}

/* Opens a connection and reads the first page, which is when SQLite finds out whether it can. salvaging: one that is cut off, or of which
 * a table's description is damaged, is read, too; that is what a writable schema means to SQLite, which is not written. */
static enum status connect_database(struct catalog *catalog, int flags, bool salvaging, struct err *err)
{
	char *name = database_name(catalog->path, flags & SQLITE_OPEN_URI);
	enum status status = STATUS_OK;

	if (!name)
		return err_memory(err, "a file name");
	int code = sqlite3_open_v2(name, &catalog->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
	free(name);
	if (!catalog->db)
		return err_memory(err, "the catalog");
	if (code != SQLITE_OK)
		status = catalog_failed(catalog, err);
	if (status == STATUS_OK) {
		sqlite3_busy_timeout(catalog->db, CATALOG_PATIENCE_MS);
		sqlite3_db_config(catalog->db, SQLITE_DBCONFIG_DEFENSIVE, !salvaging, NULL);
		sqlite3_db_config(catalog->db, SQLITE_DBCONFIG_WRITABLE_SCHEMA, salvaging, NULL);
		status = catalog_execute(catalog, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA foreign_keys = ON;"
						  "PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768;"
						  "SELECT count(*) FROM sqlite_schema",
					 err);
	}
	if (status != STATUS_OK)
		close_database(catalog);
	return status;
}

/* A reader that may write nothing at all. Changes that still lie in a write-ahead log cannot be seen that way, and the file
 * without them may be half of a change. */
static enum status connect_immutable(struct catalog *catalog, struct err *err)
{
	struct buffer wal = {0};
	struct stat st;

	buffer_format(&wal, "%s-wal", catalog->path);
	if (wal.failed)
		return err_memory(err, "a file name");
	bool pending = stat(wal.data, &st) == 0 && st.st_size > 0;
	buffer_release(&wal);
	if (pending)
		return err_set(err, STATUS_IO, "cannot open the catalog '%s': its last changes are in '%s-wal', which can only be read where "
			       "files can be written; hint: copy both files to another folder", catalog->path, catalog->path);
	return connect_database(catalog, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, false, err);
}

static enum status connect_reader(struct catalog *catalog, struct err *err)
{
	struct stat st;

	if (stat(catalog->path, &st) != 0)
		return err_set(err, errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND : STATUS_IO,
			       "cannot open the catalog '%s': %s; hint: `coca index DIR` makes it", catalog->path, strerror(errno));
	enum status status = connect_database(catalog, SQLITE_OPEN_READWRITE, false, err);
	/* A repair put another file in its place while this one was waited for. */
	for (int i = 0, moved = 0; i < 3 && status == STATUS_OK; i++) {
		if (sqlite3_file_control(catalog->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK || !moved)
			break;
		close_database(catalog);
		status = connect_database(catalog, SQLITE_OPEN_READWRITE, false, err);
	}
	return status == STATUS_IO ? connect_immutable(catalog, err) : status;
}

static enum status connect_writer(struct catalog *catalog, struct err *err)
{
	enum status status = make_folder_of(catalog->path, err);

	if (status == STATUS_OK)
		status = lock_writer(catalog, err);
	return status == STATUS_OK ? connect_database(catalog, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, false, err) : status;
}

/* Nothing of a file is touched before it is known to be ours. *version 0: it has no tables yet. */
static enum status identify(struct catalog *catalog, int64_t *version, struct err *err)
{
	int64_t application, tables;
	enum status status = catalog_number(catalog, "PRAGMA application_id", NO_VALUES, &application, err);

	if (status == STATUS_OK)
		status = catalog_number(catalog, "PRAGMA user_version", NO_VALUES, version, err);
	if (status == STATUS_OK)
		status = catalog_number(catalog, "SELECT count(*) FROM sqlite_schema", NO_VALUES, &tables, err);
	if (status != STATUS_OK)
		return status;
	if (application != CATALOG_APPLICATION && (application || *version || tables))
		return err_set(err, STATUS_FORMAT, "'%s' is no catalog of coca but another program's SQLite file", catalog->path);
	if (*version > CATALOG_VERSION)
		return err_set(err, STATUS_UNSUPPORTED, "the catalog '%s' has version %" PRId64 ", this program knows up to %d; hint: install a newer coca",
			       catalog->path, *version, CATALOG_VERSION);
	return STATUS_OK;
}

/* Pages of 8 KB hold several embeddings of up to 1,000 components each without overflow pages. */
#define PAGE_SIZE "PRAGMA page_size = 8192; "

static enum status prepare_writer(struct catalog *catalog, int64_t version, struct err *err)
{
	enum status status = catalog_execute(catalog, PAGE_SIZE "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 4000;"
						      "PRAGMA journal_size_limit = 67108864;"
						      /* A commit that returned survives a power cut. Commits are seconds apart. */
						      "PRAGMA synchronous = FULL", err);

	return status == STATUS_OK && version < CATALOG_VERSION ? catalog_migrate(catalog, err) : status;
}

static enum status prepare_reader(struct catalog *catalog, int64_t version, struct err *err)
{
	if (version == 0)
		return err_set(err, STATUS_NOT_FOUND, "the catalog '%s' is empty; hint: run `coca index DIR`", catalog->path);
	if (version < CATALOG_VERSION)
		return err_set(err, STATUS_UNSUPPORTED, "the catalog '%s' has the older version %" PRId64 "; hint: `coca index` brings it to version %d",
			       catalog->path, version, CATALOG_VERSION);
	return STATUS_OK;
}

static enum status read_uuid(struct catalog *catalog, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_prepare(catalog, "SELECT value FROM meta WHERE key = 'uuid'", &s, err);

	if (status == STATUS_OK)
		status = catalog_step(catalog, s, &row, err);
	if (status == STATUS_OK && (!row || sqlite3_column_bytes(s, 0) != (int)sizeof catalog->uuid - 1))
		status = err_set(err, STATUS_FORMAT, "the catalog '%s' is damaged: it has no uuid; hint: run `coca verify`", catalog->path);
	if (status == STATUS_OK)
		memcpy(catalog->uuid, sqlite3_column_text(s, 0), sizeof catalog->uuid - 1);
	catalog_done(catalog, s);
	return status;
}

/* By the name that links lead to: what lies beside the file has its name from there, above all the lock. */
static enum status new_catalog(const char *path, struct catalog **catalog, struct err *err)
{
	struct catalog *c = mem_array(1, sizeof *c);

	*catalog = NULL;
	if (!c || !(c->path = path_follow(path))) {
		free(c);
		return err_memory(err, "the catalog");
	}
	c->lock = -1;
	*catalog = c;
	return STATUS_OK;
}

static enum status opened(struct catalog **catalog, enum status status)
{
	if (status == STATUS_OK)
		return status;
	catalog_close(*catalog);
	*catalog = NULL;
	return status;
}

enum status catalog_open(const char *path, enum catalog_mode mode, struct catalog **catalog, struct err *err)
{
	int64_t version = 0;
	enum status status = new_catalog(path, catalog, err);
	struct catalog *c = *catalog;

	if (status == STATUS_OK)
		status = mode == CATALOG_WRITE ? connect_writer(c, err) : connect_reader(c, err);
	if (status == STATUS_OK)
		status = identify(c, &version, err);
	if (status == STATUS_OK)
		status = mode == CATALOG_WRITE ? prepare_writer(c, version, err) : prepare_reader(c, version, err);
	if (status == STATUS_OK)
		status = read_uuid(c, err);
	if (status == STATUS_OK)
		status = catalog_filter_register(c, err);
	return opened(catalog, status);
}

/* SQLite does not wait for readers before it gives up a log. */
static enum status shut_out_others(struct catalog *catalog, struct err *err)
{
	enum status status = STATUS_BUSY;

	sqlite3_busy_timeout(catalog->db, 0);
	for (int waited = 0; status == STATUS_BUSY && waited < CATALOG_PATIENCE_MS; waited += sqlite3_sleep(50))
		status = catalog_execute(catalog, "PRAGMA journal_mode = DELETE; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE", err);
	return status;
}

enum status catalog_open_alone(const char *path, struct catalog **catalog, struct err *err)
{
	int64_t version;
	enum status status = new_catalog(path, catalog, err);

	if (status == STATUS_OK)
		status = lock_writer(*catalog, err);
	if (status == STATUS_OK)
		status = connect_database(*catalog, SQLITE_OPEN_READWRITE, true, err);
	if (status == STATUS_OK)
		status = identify(*catalog, &version, err);
	if (status == STATUS_OK)
		status = shut_out_others(*catalog, err);
	return opened(catalog, status);
}

enum status catalog_open_fresh(const char *path, struct catalog **catalog, struct err *err)
{
	enum status status = new_catalog(path, catalog, err);

	if (status == STATUS_OK)
		status = connect_database(*catalog, SQLITE_OPEN_READWRITE, false, err);
	if (status == STATUS_OK)
		status = catalog_execute(*catalog, PAGE_SIZE "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF", err);
	if (status == STATUS_OK)
		status = catalog_migrate(*catalog, err);
	return opened(catalog, status);
}

void catalog_close(struct catalog *catalog)
{
	if (!catalog)
		return;
	if (catalog->db) {
		catalog_rollback(catalog);
		close_database(catalog);
	}
	if (catalog->lock >= 0)
		close(catalog->lock); /* after the last checkpoint */
	free(catalog->path);
	free(catalog);
}

const char *catalog_path(const struct catalog *catalog)
{
	return catalog->path;
}

const char *catalog_uuid(const struct catalog *catalog)
{
	return catalog->uuid;
}
