/* power_cut.c: what a power cut leaves. A disk of our own lies under SQLite: writes that were not synced are lost by chance,
 * sector by sector, and deleted files may be there again. What it would hold is put down at many moments of a run; from each the catalog
 * must come up sound, with every commit that had returned. The same for the vector file, which is synced before it gets its name. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "schema/catalog/catalog.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/maintenance.h"
#include "schema/catalog/photos.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/vectors/vectors.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { SECTOR = 512, FILES_MOST = 16, DIM = 32, COMMITS = 48, PHOTOS = 5 /* in a commit */, CUTS_MOST = 120 };

static struct err err;
static uint64_t random_state = 3;

/* --- a disk --- */

struct disk_file {
	char *path;
	struct buffer synced;      /* what is safe */
	struct operation {
		int64_t at;        /* -1: a truncation */
		int64_t size;
		char *bytes;
	} *pending;
	size_t count;
	bool deleted, gone; /* gone: it cannot come back */
};

static struct disk_file disk[FILES_MOST];
static size_t disk_count;
static size_t operations, next_cut;
static void (*on_cut)(void);

static struct disk_file *disk_find(const char *path)
{
	for (size_t i = 0; i < disk_count; i++)
		if (strcmp(disk[i].path, path) == 0)
			return &disk[i];
	assert_true(disk_count < FILES_MOST);
	disk[disk_count] = (struct disk_file){.path = strdup(path)};
	return &disk[disk_count++];
}

static void put(struct buffer *image, const struct operation *o, bool torn)
{
	static const char zeros[SECTOR];

	if (o->at < 0) {
		image->size = (size_t)o->size < image->size ? (size_t)o->size : image->size;
		return;
	}
	for (int64_t done = 0; done < o->size;) {
		int64_t at = o->at + done, n = SECTOR - at % SECTOR;
		n = n < o->size - done ? n : o->size - done;
		if (!torn || test_random(&random_state) % 2) {
			while ((int64_t)image->size < at + n)
				buffer_append(image, zeros, (size_t)(at + n - (int64_t)image->size < SECTOR ? at + n - (int64_t)image->size : SECTOR));
			memcpy(image->data + at, o->bytes + done, (size_t)n);
		}
		done += n;
	}
}

static void disk_sync(struct disk_file *f)
{
	for (size_t i = 0; i < f->count; i++) {
		put(&f->synced, &f->pending[i], false);
		free(f->pending[i].bytes);
	}
	f->count = 0;
}

static void disk_forget(struct disk_file *f)
{
	disk_sync(f);
	f->synced.size = 0;
	f->gone = true;
}

static void disk_note(struct disk_file *f, const void *bytes, int64_t size, int64_t at)
{
	f->pending = mem_resize(f->pending, f->count + 1, sizeof *f->pending);
	f->pending[f->count++] = (struct operation){at, size, bytes ? mem_copy(bytes, (size_t)size) : NULL};
	f->deleted = f->gone = false;
	if (++operations == next_cut)
		on_cut();
}

/* What the disk holds if the power goes now. */
static void disk_image(const char *folder)
{
	for (size_t i = 0; i < disk_count; i++) {
		struct disk_file *f = &disk[i];
		struct buffer image = {0};
		if (f->gone || (f->deleted && test_random(&random_state) % 2))
			continue;
		buffer_append(&image, f->synced.data ? f->synced.data : "", f->synced.size);
		unsigned kept = test_random(&random_state) % 3; /* none, about half, all of the unsynced writes */
		for (size_t o = 0; o < f->count; o++)
			if (kept == 2 || (kept == 1 && test_random(&random_state) % 2))
				put(&image, &f->pending[o], kept == 1);
		test_write(test_path(folder, strrchr(f->path, '/') + 1), image.data ? image.data : "", image.size);
		buffer_release(&image);
	}
}

/* --- SQLite's file system, with the disk beside the real one --- */

struct shim {
	sqlite3_file base;
	struct disk_file *disk;
	sqlite3_file *real; /* behind this */
	bool sync_folder;   /* as SQLite's own does with the first sync of a journal or log: what was deleted before stays so */
};
static sqlite3_vfs *unix_vfs;
static sqlite3_io_methods methods;

#define REAL(file) (((struct shim *)(file))->real)
#define CALL(file, method, ...) (REAL(file)->pMethods->method(REAL(file), __VA_ARGS__))

static int shim_close(sqlite3_file *f) { return REAL(f)->pMethods->xClose(REAL(f)); }
static int shim_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at) { return CALL(f, xRead, p, n, at); }
static int shim_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	disk_note(((struct shim *)f)->disk, p, n, at);
	return CALL(f, xWrite, p, n, at);
}
static int shim_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	disk_note(((struct shim *)f)->disk, NULL, size, -1);
	return CALL(f, xTruncate, size);
}
static int shim_sync(sqlite3_file *f, int flags)
{
	struct shim *shim = (struct shim *)f;

	disk_sync(shim->disk);
	for (size_t i = 0; i < disk_count && shim->sync_folder; i++)
		if (disk[i].deleted)
			disk_forget(&disk[i]);
	shim->sync_folder = false;
	if (++operations == next_cut)
		on_cut();
	(void)flags;
	return SQLITE_OK;
}
static int shim_size(sqlite3_file *f, sqlite3_int64 *size) { return CALL(f, xFileSize, size); }
static int shim_lock(sqlite3_file *f, int level) { return CALL(f, xLock, level); }
static int shim_unlock(sqlite3_file *f, int level) { return CALL(f, xUnlock, level); }
static int shim_reserved(sqlite3_file *f, int *out) { return CALL(f, xCheckReservedLock, out); }
static int shim_control(sqlite3_file *f, int op, void *p) { return CALL(f, xFileControl, op, p); }
static int shim_sector(sqlite3_file *f) { return REAL(f)->pMethods->xSectorSize(REAL(f)); }
static int shim_traits(sqlite3_file *f) { (void)f; return 0; /* no promise beyond a sector */ }
static int shim_map(sqlite3_file *f, int region, int size, int extend, void volatile **p) { return CALL(f, xShmMap, region, size, extend, p); }
static int shim_shm_lock(sqlite3_file *f, int offset, int n, int flags) { return CALL(f, xShmLock, offset, n, flags); }
static void shim_barrier(sqlite3_file *f) { REAL(f)->pMethods->xShmBarrier(REAL(f)); }
static int shim_unmap(sqlite3_file *f, int flag) { return CALL(f, xShmUnmap, flag); }

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	struct shim *shim = (struct shim *)file;

	(void)vfs;
	shim->real = (sqlite3_file *)(shim + 1);
	int code = unix_vfs->xOpen(unix_vfs, name, shim->real, flags, out);
	shim->base.pMethods = code == SQLITE_OK ? &methods : NULL;
	if (code == SQLITE_OK && name)
		shim->disk = disk_find(name);
	shim->sync_folder = (flags & SQLITE_OPEN_CREATE) && (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL));
	return code;
}

static int shim_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	(void)vfs;
	struct disk_file *f = disk_find(name);
	f->deleted = true;
	if (++operations == next_cut)
		on_cut();
	if (sync)
		disk_forget(f);
	return unix_vfs->xDelete(unix_vfs, name, sync);
}

static void shim_register(void)
{
	static sqlite3_vfs vfs;

	unix_vfs = sqlite3_vfs_find(NULL);
	methods = (sqlite3_io_methods){2, shim_close, shim_read, shim_write, shim_truncate, shim_sync, shim_size, shim_lock, shim_unlock,
				       shim_reserved, shim_control, shim_sector, shim_traits, shim_map, shim_shm_lock, shim_barrier, shim_unmap,
				       NULL, NULL};
	vfs = *unix_vfs;
	vfs.zName = "disk";
	vfs.szOsFile += (int)sizeof(struct shim);
	vfs.xOpen = shim_open;
	vfs.xDelete = shim_delete;
	sqlite3_vfs_register(&vfs, 1);
}

/* --- the catalog --- */

static size_t committed;
static struct {
	const char *folder;
	size_t committed;
} cuts[CUTS_MOST];
static size_t cut_count;

static void cut(void)
{
	if (cut_count < CUTS_MOST) {
		cuts[cut_count].folder = test_folder();
		cuts[cut_count].committed = committed;
		disk_image(cuts[cut_count++].folder);
	}
	next_cut = operations + 1 + test_random(&random_state) % 25;
}

static struct catalog_model some_model(void)
{
	return (struct catalog_model){.config_digest = "0123456789abcdef0123456789abcdef", .weights_digest = "0123456789abcdef0123456789abcdef",
				      .name = "test", .dim = DIM, .tokens = 1, .width = 1};
}

static void commit_photos(struct catalog *catalog, size_t number)
{
	struct catalog_model model = some_model();
	int64_t root, content;
	float embedding[DIM];
	char name[64];

	assert_ok(catalog_begin(catalog, &err), &err);
	assert_ok(catalog_model_put(catalog, &model, &err), &err);
	assert_ok(catalog_root_put(catalog, "/photos", &root, &err), &err);
	for (size_t i = 0; i < PHOTOS; i++) {
		uint8_t hash[CATALOG_HASH] = {(uint8_t)number, (uint8_t)i, 1};
		for (size_t d = 0; d < DIM; d++)
			embedding[d] = test_uniform(&random_state);
		assert_ok(catalog_content_put(catalog, hash, &content, &err), &err);
		assert_ok(catalog_embedding_put(catalog, content, model.id, embedding, DIM, &err), &err);
		snprintf(name, sizeof name, "/photos/%04zu-%zu.jpg", number, i);
		assert_ok(catalog_photo_put(catalog, &(struct photo){.root = root, .path = name, .path_size = strlen(name), .content = content,
			.orientation = 1, .taken_offset = CATALOG_NO_OFFSET}, &err), &err);
	}
	assert_ok(catalog_commit(catalog, &err), &err);
	committed++;
}

static void print_problem(void *context, const char *problem)
{
	(void)context;
	print_message("%s\n", problem);
}

/* Commits are whole, and come in their order: so their number says which there are. */
static void expect_commits(const char *path, size_t least, size_t most)
{
	struct catalog *catalog;
	struct catalog_counts counts;
	size_t problems;

	assert_ok(catalog_open(path, CATALOG_WRITE, &catalog, &err), &err);
	assert_ok(catalog_check(catalog, print_problem, NULL, &problems, &err), &err);
	assert_int_equal(problems, 0);
	assert_ok(catalog_count(catalog, 0, &counts, &err), &err);
	assert_int_equal(counts.photos % PHOTOS, 0);
	assert_int_equal(counts.embeddings, counts.photos);
	assert_in_range(counts.photos / PHOTOS, least, most);
	catalog_close(catalog);
}

static void a_power_cut_loses_no_commit_that_returned(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "library.db");
	struct catalog *catalog = NULL;

	shim_register();
	committed = 0;
	on_cut = cut;
	next_cut = 1;
	for (size_t i = 0; i < COMMITS; i++) {
		/* Closing writes the log back and deletes it: the most there is to go wrong. */
		if (i % 8 == 0) {
			catalog_close(catalog);
			assert_ok(catalog_open(path, CATALOG_WRITE, &catalog, &err), &err);
		}
		commit_photos(catalog, i);
	}
	catalog_close(catalog);
	next_cut = 0;
	sqlite3_vfs_register(unix_vfs, 1);
	for (size_t i = 0; i < cut_count; i++)
		expect_commits(test_path(cuts[i].folder, "library.db"), cuts[i].committed, cuts[i].committed + 1);
	print_message("%zu cuts in %zu operations of the disk\n", cut_count, operations);
	assert_true(cut_count > 20);
}

/* --- the vector file --- */

static bool watching;
static struct stat synced;
static size_t named;

int fsync(int fd)
{
	if (watching)
		assert_int_equal(fstat(fd, &synced), 0);
	return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return fsync(fd);
}

/* A file that gets its name must be on the disk, as it is. */
int rename(const char *from, const char *to)
{
	struct stat st;

	if (watching) {
		assert_int_equal(stat(from, &st), 0);
		assert_int_equal(st.st_ino, synced.st_ino);
		assert_int_equal(st.st_size, synced.st_size);
		assert_int_equal(st.st_mtim.tv_sec, synced.st_mtim.tv_sec);
		assert_int_equal(st.st_mtim.tv_nsec, synced.st_mtim.tv_nsec);
		named++;
	}
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

static void the_vector_file_is_on_the_disk_before_it_has_its_name(void **state)
{
	(void)state;
	struct catalog *catalog;
	struct catalog_model model = some_model();
	struct vectors *vectors;

	assert_ok(catalog_open(test_path(test_folder(), "library.db"), CATALOG_WRITE, &catalog, &err), &err);
	for (size_t i = 0; i < 3; i++) {
		commit_photos(catalog, i);
		assert_ok(catalog_model_put(catalog, &model, &err), &err);
		watching = true;
		named = 0;
		assert_ok(vectors_open(catalog, &model, NULL, &vectors, &err), &err);
		watching = false;
		assert_true(named >= 1);
		assert_true(vectors_rebuilt(vectors));
		vectors_close(vectors);
		/* Its folder's entry may be lost with the power: then the old file, of another generation, is there. */
		assert_ok(vectors_open(catalog, &model, NULL, &vectors, &err), &err);
		assert_false(vectors_rebuilt(vectors));
		vectors_close(vectors);
	}
	catalog_close(catalog);
}

TEST_MAIN(cmocka_unit_test(the_vector_file_is_on_the_disk_before_it_has_its_name),
	  cmocka_unit_test(a_power_cut_loses_no_commit_that_returned))
