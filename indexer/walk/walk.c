/* walk.c: see walk.h. Folders wait in a list, not on the stack, and are opened one at a time: neither depth nor a limit of
 * open files matters. Followed links wait until all real folders of the root were walked, so that a photograph is known by
 * its real path rather than by a link's. A folder's photographs are listed only when all of its names were read and their stamp is not
 * that of the folder's record: then nothing needs to be known of each. */
#include "indexer/walk/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "indexer/walk/path.h"
#include "model/image/image.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

static const char *const unsupported_names[] = {
	"jxl", "jp2", "jpx", "crw", "srf", "x3f", "3fr", "erf", "kdc", "dcr", "mrw", "mef", "mos", "iiq", "rwl", "raw", "psd",
};
_Static_assert(sizeof unsupported_names / sizeof *unsupported_names <= WALK_FORMATS, "walk.h has room for too few formats");

/* Folders still to be walked, each with the patterns that hold in the folder it lies in. */
struct pending {
	struct pending_folder {
		char *path;
		const struct ignore *ignore;
	} *items;
	size_t count, capacity;
};

struct seen {
	dev_t device;
	ino_t inode;
	bool used;
};

/* --- names --- */

const char *walk_format_name(size_t i)
{
	return i < sizeof unsupported_names / sizeof *unsupported_names ? unsupported_names[i] : NULL;
}

/* A picture that the index does not take is counted by what it is called. */
static void count_unsupported(struct walk *walk, const char *name)
{
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && dot != name && i < sizeof unsupported_names / sizeof *unsupported_names; i++)
		if (strcasecmp(dot + 1, unsupported_names[i]) == 0)
			walk->unsupported[i]++;
}

/* --- lists --- */

/* A photograph, or what may lie beside one, of the folder that is being read. */
struct entry {
	size_t name;            /* its place in names */
	bool photo;
	struct stat st;
};

/* One walk_root. */
struct walker {
	struct walk *walk;
	const struct walk_options *options;
	const char *root;
	size_t number;
	struct pending folders;
	struct pending links;   /* links to folders, followed when folders is empty */
	struct rules_of_root rules;
	struct buffer path;     /* of the name that is being looked at: folder_size bytes of its folder's, with the slash, before it */
	size_t folder_size;
	struct entry *entries;
	size_t entry_count, entry_capacity;
	struct buffer names;
	struct seen *seen;      /* folders walked: kept only when links are followed; open addressing */
	size_t seen_count, seen_capacity;
};

/* Takes path over, also when it fails. */
static enum status push(struct pending *pending, char *path, const struct ignore *ignore, struct err *err)
{
	if (!path || !mem_grow(&pending->items, &pending->capacity, pending->count + 1, sizeof *pending->items)) {
		free(path);
		return err_memory(err, "the list of folders");
	}
	pending->items[pending->count++] = (struct pending_folder){path, ignore};
	return STATUS_OK;
}

static void pending_release(struct pending *pending)
{
	while (pending->count)
		free(pending->items[--pending->count].path);
	free(pending->items);
}

/* Takes the path that comes first out of links: which of two links to the same folder is followed does not depend on the
 * order in which the file system lists them. */
static struct pending_folder take_first(struct pending *links)
{
	size_t first = 0;

	for (size_t i = 1; i < links->count; i++)
		if (strcmp(links->items[i].path, links->items[first].path) < 0)
			first = i;
	struct pending_folder folder = links->items[first];
	links->items[first] = links->items[--links->count];
	return folder;
}

static enum status add_trouble(struct walk *walk, const char *path, const char *reason, struct err *err)
{
	struct walk_trouble *troubles = mem_resize(walk->troubles, walk->trouble_count + 1, sizeof *troubles);
	struct walk_trouble trouble = {mem_copy(path, strlen(path)), mem_copy(reason, strlen(reason))};

	if (troubles)
		walk->troubles = troubles;
	if (!troubles || !trouble.path || !trouble.reason) {
		free(trouble.path);
		free(trouble.reason);
		return err_memory(err, "the list of folders");
	}
	walk->troubles[walk->trouble_count++] = trouble;
	return STATUS_OK;
}

/* Takes path over, also when it fails. */
static enum status add_photo(struct walk *walk, char *path, size_t root, const struct stat *st, struct err *err)
{
	if (!path || !mem_grow(&walk->photos, &walk->capacity, walk->count + 1, sizeof *walk->photos)) {
		free(path);
		return err_memory(err, "the list of photographs");
	}
	walk->photos[walk->count++] = (struct walk_photo){
		.path = path,
		.path_size = strlen(path),
		.root = root,
		.size = st->st_size,
		.mtime_ns = file_mtime(st),
		.ctime_ns = file_ctime(st),
		.device = st->st_dev,
		.inode = st->st_ino,
		.regular = S_ISREG(st->st_mode),
	};
	return STATUS_OK;
}

/* --- folders --- */

static size_t seen_slot(const struct seen *seen, size_t capacity, dev_t device, ino_t inode)
{
	uint64_t hash = ((uint64_t)device * 0x9e3779b97f4a7c15u ^ (uint64_t)inode) * 0xbf58476d1ce4e5b9u;
	size_t i = (size_t)(hash >> 20) & (capacity - 1);

	while (seen[i].used && (seen[i].device != device || seen[i].inode != inode))
		i = (i + 1) & (capacity - 1);
	return i;
}

/* Whether the folder was walked before; from now on it was. */
static enum status see(struct walker *w, const struct stat *st, bool *before, struct err *err)
{
	if (2 * w->seen_count >= w->seen_capacity) {
		size_t capacity = w->seen_capacity ? 2 * w->seen_capacity : 256;
		struct seen *seen = mem_array(capacity, sizeof *seen);
		if (!seen)
			return err_memory(err, "the list of folders");
		for (size_t i = 0; i < w->seen_capacity; i++)
			if (w->seen[i].used)
				seen[seen_slot(seen, capacity, w->seen[i].device, w->seen[i].inode)] = w->seen[i];
		free(w->seen);
		w->seen = seen;
		w->seen_capacity = capacity;
	}
	struct seen *slot = &w->seen[seen_slot(w->seen, w->seen_capacity, st->st_dev, st->st_ino)];
	*before = slot->used;
	w->seen_count += !slot->used;
	*slot = (struct seen){st->st_dev, st->st_ino, true};
	return STATUS_OK;
}

static enum status keep_entry(struct walker *w, const char *name, bool photo, const struct stat *st, struct err *err)
{
	if (!mem_grow(&w->entries, &w->entry_capacity, w->entry_count + 1, sizeof *w->entries))
		return err_memory(err, "the list of photographs");
	w->entries[w->entry_count++] = (struct entry){w->names.size, photo, *st};
	buffer_append(&w->names, name, strlen(name) + 1);
	return w->names.failed ? err_memory(err, "the list of photographs") : STATUS_OK;
}

/* w->path becomes the path of a name. */
static const char *path_of(struct walker *w, const char *name)
{
	w->path.size = w->folder_size;
	buffer_text(&w->path, name);
	return w->path.failed ? NULL : w->path.data;
}

/* What a link leads to. A link to nowhere is a photograph that cannot be opened, if it is named like one. */
static bool follow_link(struct walker *w, int fd, const char *name, bool photo, struct stat *st)
{
	w->walk->stats++;
	if (fstatat(fd, name, st, 0) == 0)
		return true;
	st->st_mode = S_IFREG;
	return photo;
}

/* One name of a folder. fd: the folder. Only what is needed is asked of the file system: of a photograph all, of a folder nothing. */
static enum status visit_entry(struct walker *w, int fd, const char *folder, const struct ignore *ignore, const struct dirent *dirent,
			       struct err *err)
{
	const char *name = dirent->d_name, *path = path_of(w, name);
	bool photo = image_named(name), beside = !photo && sidecar_kind(name) != SIDECAR_NONE;
	struct stat st = {.st_mode = DTTOIF(dirent->d_type)};

	if (!path)
		return err_memory(err, "a path");
	if (w->path.size >= PATH_MAX)
		return add_trouble(w->walk, folder, "a path below it is too long", err);
	if (dirent->d_type == DT_UNKNOWN || ((photo || beside) && dirent->d_type != DT_DIR)) {
		w->walk->stats++;
		if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			return errno == ENOENT ? STATUS_OK : add_trouble(w->walk, path, strerror(errno), err);
	}
	if (rules_leave_out(&w->rules, ignore, path, name, S_ISDIR(st.st_mode)))
		return STATUS_OK;
	bool link = S_ISLNK(st.st_mode);
	if (link && !w->options->rules.follow) {
		w->walk->links += photo;
		return STATUS_OK;
	}
	if (link && !follow_link(w, fd, name, photo, &st))
		return STATUS_OK;
	if (S_ISDIR(st.st_mode))
		return push(link ? &w->links : &w->folders, mem_copy(path, w->path.size), ignore, err);
	if (photo || (beside && S_ISREG(st.st_mode)))
		return keep_entry(w, name, photo, &st, err);
	if (!beside && S_ISREG(st.st_mode))
		count_unsupported(w->walk, name);
	return STATUS_OK;
}

/* The sum of what is hashed of each name, so that the order in which the file system lists them does not matter. */
static void stamp_folder(const struct walker *w, uint8_t stamp[CATALOG_STAMP])
{
	uint64_t sum[4] = {0, 0, w->entry_count, w->options->version};
	XXH128_canonical_t canonical;

	for (size_t i = 0; i < w->entry_count; i++) {
		const struct entry *entry = &w->entries[i];
		const char *name = w->names.data + entry->name;
		int64_t values[] = {entry->photo, entry->st.st_size, file_mtime(&entry->st), file_ctime(&entry->st)};
		XXH128_hash_t hash = XXH3_128bits_withSeed(name, strlen(name), XXH3_64bits(values, sizeof values));
		sum[0] += hash.low64;
		sum[1] += hash.high64;
	}
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(sum, sizeof sum));
	memcpy(stamp, canonical.digest, CATALOG_STAMP);
}

static int compare_record(const void *path, const void *record)
{
	return strcmp(path, ((const struct record *)record)->path);
}

static enum status add_folder(struct walk *walk, const struct walk_folder *folder, struct err *err)
{
	char *path = mem_copy(folder->path, strlen(folder->path));

	if (!path || !mem_grow(&walk->folders, &walk->folder_capacity, walk->folder_count + 1, sizeof *walk->folders)) {
		free(path);
		return err_memory(err, "the list of folders");
	}
	walk->folders[walk->folder_count] = *folder;
	walk->folders[walk->folder_count++].path = path;
	return STATUS_OK;
}

/* Those of the folder into the walk's lists. */
static enum status list_entries(struct walker *w, struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < w->entry_count && status == STATUS_OK; i++) {
		const struct entry *entry = &w->entries[i];
		const char *path = path_of(w, w->names.data + entry->name);
		char *copy = path ? mem_copy(path, w->path.size) : NULL;
		if (entry->photo)
			status = add_photo(w->walk, copy, w->number, &entry->st, err);
		else
			status = sidecars_add(&w->walk->sidecars, copy, entry->st.st_size, file_mtime(&entry->st), file_ctime(&entry->st), err);
	}
	return status;
}

/* All names of the folder were read, or whole is false. */
static enum status finish_folder(struct walker *w, const char *path, bool whole, struct err *err)
{
	const struct walk_options *options = w->options;
	const struct record *record = NULL;
	struct walk_folder folder = {.path = (char *)path, .stampable = whole};

	if (options->records)
		record = bsearch(path, options->records, options->record_count, sizeof *record, compare_record);
	for (size_t i = 0; i < w->entry_count; i++) {
		folder.photos += w->entries[i].photo;
		folder.stampable &= S_ISREG(w->entries[i].st.st_mode) != 0;
	}
	if (folder.stampable)
		stamp_folder(w, folder.stamp);
	folder.same = record && record->stamped && folder.stampable && memcmp(record->stamp, folder.stamp, CATALOG_STAMP) == 0;
	enum status status = folder.photos || record ? add_folder(w->walk, &folder, err) : STATUS_OK;
	if (folder.same)
		w->walk->same += folder.photos;
	return status == STATUS_OK && !folder.same ? list_entries(w, err) : status;
}

static enum status read_names(struct walker *w, DIR *dir, const char *folder, const struct ignore *ignore, struct err *err)
{
	const struct walk_options *options = w->options;
	enum status status = STATUS_OK;

	while (status == STATUS_OK) {
		errno = 0;
		const struct dirent *entry = readdir(dir);
		if (!entry)
			return errno ? add_trouble(w->walk, folder, strerror(errno), err) : STATUS_OK;
		if (options->interrupted && *options->interrupted)
			return err_set(err, STATUS_INTERRUPTED, "interrupted");
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			status = visit_entry(w, dirfd(dir), folder, ignore, entry, err);
	}
	return status;
}

static enum status read_entries(struct walker *w, DIR *dir, const char *folder, const struct ignore *ignore, struct err *err)
{
	const struct walk_options *options = w->options;
	struct err trouble;

	if (options->folder)
		options->folder(options->folder_context, folder);
	enum status status = rules_enter(&w->rules, dirfd(dir), folder, &ignore, &trouble);
	if (status == STATUS_IO) {
		/* What it leaves out is not known: nothing of the folder is taken, nothing of it is gone. */
		err_prefix(&trouble, "its " IGNORE_FILE);
		return add_trouble(w->walk, folder, trouble.text, err);
	}
	if (status != STATUS_OK) {
		*err = trouble;
		return status;
	}
	size_t troubles = w->walk->trouble_count;
	w->entry_count = w->names.size = w->path.size = 0;
	buffer_text(&w->path, folder);
	buffer_text(&w->path, folder[1] ? "/" : "");
	w->folder_size = w->path.size;
	status = read_names(w, dir, folder, ignore, err);
	return status == STATUS_OK ? finish_folder(w, folder, w->walk->trouble_count == troubles, err) : status;
}

static enum status visit_folder(struct walker *w, const char *folder, const struct ignore *ignore, bool link, struct err *err)
{
	struct stat st;
	bool before = false;
	enum status status = STATUS_OK;
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (link ? 0 : O_NOFOLLOW));
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (!dir) {
		if (errno != ENOENT)
			status = add_trouble(w->walk, folder, strerror(errno), err);
		if (fd >= 0)
			close(fd);
		return status;
	}
	if (w->options->rules.follow && fstat(fd, &st) == 0)
		status = see(w, &st, &before, err);
	if (status == STATUS_OK && !before)
		status = read_entries(w, dir, folder, ignore, err);
	closedir(dir);
	if (w->options->tick)
		w->options->tick(w->options->context, w->walk->count + w->walk->same);
	return status;
}

/* What lies beside a single photograph: its folder is not walked. One that cannot be listed has nothing to say. */
static enum status add_beside(struct walk *walk, const char *photo, struct err *err)
{
	char *folder = mem_copy(photo, (size_t)(strrchr(photo, '/') - photo) + 1);
	DIR *dir = folder ? opendir(folder) : NULL;
	const struct dirent *entry;
	enum status status = folder ? STATUS_OK : err_memory(err, "a path");
	struct stat st;

	while (status == STATUS_OK && dir && (entry = readdir(dir)))
		if (sidecar_kind(entry->d_name) != SIDECAR_NONE && fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode)) {
			struct buffer path = {0};
			buffer_text(&path, folder);
			buffer_text(&path, entry->d_name);
			status = sidecars_add(&walk->sidecars, path.failed ? NULL : path.data, st.st_size, file_mtime(&st), file_ctime(&st), err);
		}
	if (dir)
		closedir(dir);
	free(folder);
	return status;
}

enum status walk_root(struct walk *walk, const char *root, size_t number, const struct walk_options *options, struct err *err)
{
	struct walker w = {.walk = walk, .options = options, .root = root, .number = number};
	struct stat st;
	enum status status;

	if (stat(root, &st) != 0 || (S_ISDIR(st.st_mode) && eaccess(root, R_OK | X_OK) != 0))
		return err_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "cannot read '%s': %s", root, strerror(errno));
	char *path = mem_copy(root, strlen(root));
	if (!S_ISDIR(st.st_mode)) {
		status = add_photo(walk, path, number, &st, err);
		return status == STATUS_OK ? add_beside(walk, root, err) : status;
	}
	status = push(&w.folders, path, NULL, err);
	if (status == STATUS_OK)
		status = rules_open(&w.rules, &options->rules, root, err);
	if (status == STATUS_OK)
		w.folders.items[0].ignore = w.rules.above;
	while (status == STATUS_OK && (w.folders.count || w.links.count)) {
		bool link = !w.folders.count;
		struct pending_folder folder = link ? take_first(&w.links) : w.folders.items[--w.folders.count];
		status = visit_folder(&w, folder.path, folder.ignore, link, err);
		free(folder.path);
	}
	pending_release(&w.folders);
	pending_release(&w.links);
	rules_release(&w.rules);
	buffer_release(&w.path);
	buffer_release(&w.names);
	free(w.entries);
	free(w.seen);
	return status;
}
