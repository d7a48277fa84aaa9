/* walk.c: see walk.h. Folders wait in a list, not on the stack, and are opened one at a time: neither depth nor a limit of
 * open files matters. Followed links wait until all real folders of the root were walked, so that a photograph is known by
 * its real path rather than by a link's. A folder's photographs are listed only when all of its names were read and their stamp is not the
 * one that is known: then nothing needs to be known of each. */
#include "indexer/walk/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "indexer/walk/ignore.h"
#include "model/image/image.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

static const char *const unsupported_names[] = {
	"jxl", "jp2", "jpx", "crw", "srf", "x3f", "3fr", "erf", "kdc", "dcr", "mrw", "mef", "mos", "iiq", "rwl", "raw", "psd",
};
_Static_assert(sizeof unsupported_names / sizeof *unsupported_names <= WALK_FORMATS, "walk.h has room for too few formats");

/* What cameras, file systems, network drives and photo programs keep beside photographs. */
static const char *const never_wanted[] = {
	"._*", "@eaDir", ".@__thumb", "@Recycle", "#recycle", "#snapshot", ".thumbnails", ".trash", ".Trash*", "$RECYCLE.BIN",
	"System Volume Information", "lost+found",
};

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

bool walk_below(const char *folder, const char *path)
{
	size_t n = strlen(folder);

	if (n && folder[n - 1] == '/')
		n--;
	return strncmp(folder, path, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

char *walk_resolve(const char *path)
{
	char *head = *path == '/' ? mem_copy(path, strlen(path)) : path_join(".", path), *real = NULL, *whole = NULL;
	size_t size = head ? strlen(head) : 0;

	/* What exists is resolved; the rest is appended as it stands. */
	while (head && !(real = realpath(head, NULL)) && errno != ENOMEM) {
		char *slash = strrchr(head, '/');
		if (!slash)
			break;
		*slash = '\0';
		if (slash == head) {
			real = mem_copy("/", 1);
			break;
		}
	}
	if (real) {
		size_t n = strlen(head);
		for (size_t i = n; i < size; i++)
			if (!head[i])
				head[i] = '/';
		while (size > n + 1 && head[size - 1] == '/')
			head[--size] = '\0';
		whole = n < size ? path_join(real, head + n + 1) : real;
	}
	if (whole != real)
		free(real);
	free(head);
	return whole;
}

int64_t walk_mtime(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

int64_t walk_ctime(const struct stat *st)
{
	return (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
}

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

/* Patterns that hold for a walk of root, whatever its folders say: the command line's. */
static enum status read_excludes(const struct walk_options *options, const char *root, struct ignore **excludes, struct err *err)
{
	*excludes = ignore_new(NULL, root);
	if (!*excludes)
		return err_memory(err, "patterns");
	for (size_t i = 0; i < options->exclude_count; i++) {
		const char *pattern = options->excludes[i];
		/* An absolute path that points into the root is as good as a relative one. */
		if (*pattern == '/' && walk_below(root, pattern) && strlen(pattern) > strlen(root) + 1)
			pattern += strlen(root) - (root[1] == '\0');
		if (!ignore_add_pattern(*excludes, pattern, strlen(pattern)))
			return err_memory(err, "patterns");
	}
	return STATUS_OK;
}

/* ignore: the levels of the folders above. */
static bool left_out(const struct walk_options *options, const struct ignore *excludes, const struct ignore *ignore, const char *path,
		     const char *name, bool folder)
{
	enum ignore_verdict verdict = ignore_verdict(excludes, path, folder);

	if (verdict == IGNORE_NOTHING)
		verdict = ignore_verdict(ignore, path, folder);
	if (verdict == IGNORE_OUT)
		return true;
	/* "!*.jpg" is meant to take back a "*", not AppleDouble's "._a.jpg". */
	if (verdict == IGNORE_IN_NAMED)
		return false;
	if (*name == '.' && !options->hidden)
		return true;
	for (size_t i = 0; i < sizeof never_wanted / sizeof *never_wanted; i++)
		if (*name == *never_wanted[i] && ignore_match(never_wanted[i], name)) /* none begins with a wildcard */
			return true;
	return false;
}

/* Levels of .cocaignore files, freed together. */
struct levels {
	struct ignore **items;
	size_t count;
};

static void levels_release(struct levels *levels)
{
	while (levels->count)
		ignore_free(levels->items[--levels->count]);
	free(levels->items);
}

/* *ignore: in, what holds above the folder; out, what holds in it. */
static enum status enter(struct levels *levels, int fd, const char *folder, const struct ignore **ignore, struct err *err)
{
	struct ignore *level;
	enum status status = ignore_read(*ignore, fd, folder, &level, err);

	if (status != STATUS_OK || !level)
		return status;
	struct ignore **items = mem_resize(levels->items, levels->count + 1, sizeof *items);
	if (!items) {
		ignore_free(level);
		return err_memory(err, "patterns");
	}
	levels->items = items;
	levels->items[levels->count++] = level;
	*ignore = level;
	return STATUS_OK;
}

/* enter for a folder that is not open. One that cannot be read is the walk's to report. */
static enum status enter_path(struct levels *levels, const char *folder, const struct ignore **ignore, struct err *err)
{
	int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return STATUS_OK;
	enum status status = enter(levels, fd, folder, ignore, err);
	close(fd);
	return status == STATUS_IO ? STATUS_OK : status;
}

/* What the folders above root say of what is below it. */
static enum status enter_above(struct levels *levels, const char *root, const struct ignore **ignore, struct err *err)
{
	char folder[PATH_MAX] = "/";
	enum status status = root[1] ? enter_path(levels, "/", ignore, err) : STATUS_OK;

	for (const char *slash = root; status == STATUS_OK && (slash = strchr(slash + 1, '/'));) {
		if ((size_t)(slash - root) >= sizeof folder)
			break;
		memcpy(folder, root, (size_t)(slash - root));
		folder[slash - root] = '\0';
		status = enter_path(levels, folder, ignore, err);
	}
	return status;
}

bool walk_leaves_out(const char *root, const char *path, const struct walk_options *options)
{
	char part[PATH_MAX];
	size_t start = strlen(root) + (root[1] != '\0'), size = strlen(path);
	struct ignore *excludes = NULL;
	struct levels levels = {0};
	const struct ignore *ignore = NULL;
	bool out = size >= sizeof part;

	if (out || read_excludes(options, root, &excludes, NULL) != STATUS_OK || enter_above(&levels, root, &ignore, NULL) != STATUS_OK)
		goto done;
	memcpy(part, path, size + 1);
	while (start < size) {
		char border = part[start - 1];
		part[start - 1] = '\0';
		if (enter_path(&levels, start > 1 ? part : "/", &ignore, NULL) != STATUS_OK)
			break;
		part[start - 1] = border;
		char *slash = strchr(part + start, '/');
		if (slash)
			*slash = '\0';
		out = left_out(options, excludes, ignore, part, part + start, slash != NULL);
		if (out || !slash)
			break;
		start = (size_t)(slash - part) + 1;
		*slash = '/';
	}
done:
	levels_release(&levels);
	ignore_free(excludes);
	return out;
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
	struct ignore *excludes;
	struct levels levels;
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
	if (path && pending->count == pending->capacity) {
		size_t capacity = pending->capacity ? 2 * pending->capacity : 64;
		struct pending_folder *items = mem_resize(pending->items, capacity, sizeof *items);
		if (items) {
			pending->items = items;
			pending->capacity = capacity;
		}
	}
	if (!path || pending->count == pending->capacity) {
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
	if (walk->count == walk->capacity) {
		size_t capacity = walk->capacity ? walk->capacity + walk->capacity / 2 : 1024;
		struct walk_photo *photos = mem_resize(walk->photos, capacity, sizeof *photos);
		if (!photos) {
			free(path);
			return err_memory(err, "the list of photographs");
		}
		walk->photos = photos;
		walk->capacity = capacity;
	}
	walk->photos[walk->count++] = (struct walk_photo){
		.path = path,
		.path_size = strlen(path),
		.root = root,
		.size = st->st_size,
		.mtime_ns = walk_mtime(st),
		.ctime_ns = walk_ctime(st),
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
	if (w->entry_count == w->entry_capacity) {
		size_t capacity = w->entry_capacity ? 2 * w->entry_capacity : 256;
		struct entry *entries = mem_resize(w->entries, capacity, sizeof *entries);
		if (!entries)
			return err_memory(err, "the list of photographs");
		w->entries = entries;
		w->entry_capacity = capacity;
	}
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
	bool photo = image_named(name), beside = !photo && sidecar_is(name);
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
	if (left_out(w->options, w->excludes, ignore, path, name, S_ISDIR(st.st_mode)))
		return STATUS_OK;
	bool link = S_ISLNK(st.st_mode);
	if (link && !w->options->follow) {
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
	uint64_t sum[4] = {0, 0, w->entry_count, PROBE_VERSION}; /* a program that reads more of a file looks at it again */
	XXH128_canonical_t canonical;

	for (size_t i = 0; i < w->entry_count; i++) {
		const struct entry *entry = &w->entries[i];
		const char *name = w->names.data + entry->name;
		int64_t values[] = {entry->photo, entry->st.st_size, walk_mtime(&entry->st), entry->photo ? walk_ctime(&entry->st) : 0};
		XXH128_hash_t hash = XXH3_128bits_withSeed(name, strlen(name), XXH3_64bits(values, sizeof values));
		sum[0] += hash.low64;
		sum[1] += hash.high64;
	}
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(sum, sizeof sum));
	memcpy(stamp, canonical.digest, CATALOG_STAMP);
}

static int compare_known(const void *path, const void *known)
{
	return strcmp(path, ((const struct walk_known *)known)->path);
}

static enum status add_folder(struct walk *walk, const struct walk_folder *folder, struct err *err)
{
	if (walk->folder_count == walk->folder_capacity) {
		size_t capacity = walk->folder_capacity ? 2 * walk->folder_capacity : 256;
		struct walk_folder *folders = mem_resize(walk->folders, capacity, sizeof *folders);
		if (!folders)
			return err_memory(err, "the list of folders");
		walk->folders = folders;
		walk->folder_capacity = capacity;
	}
	char *path = mem_copy(folder->path, strlen(folder->path));
	if (!path)
		return err_memory(err, "the list of folders");
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
		if (!copy)
			status = err_memory(err, "the list of photographs");
		else if (entry->photo)
			status = add_photo(w->walk, copy, w->number, &entry->st, err);
		else
			status = sidecars_add(&w->walk->sidecars, copy, entry->st.st_size, walk_mtime(&entry->st), err);
	}
	return status;
}

/* All names of the folder were read, or whole is false. */
static enum status finish_folder(struct walker *w, const char *path, bool whole, struct err *err)
{
	const struct walk_options *options = w->options;
	const struct walk_known *known = NULL;
	struct walk_folder folder = {.path = (char *)path, .stampable = whole};

	if (options->known)
		known = bsearch(path, options->known, options->known_count, sizeof *known, compare_known);
	for (size_t i = 0; i < w->entry_count; i++) {
		folder.photos += w->entries[i].photo;
		folder.stampable &= S_ISREG(w->entries[i].st.st_mode) != 0;
	}
	if (folder.stampable)
		stamp_folder(w, folder.stamp);
	folder.same = known && known->stamped && folder.stampable && memcmp(known->stamp, folder.stamp, CATALOG_STAMP) == 0;
	enum status status = folder.photos || known ? add_folder(w->walk, &folder, err) : STATUS_OK;
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
		options->folder(options->context, folder);
	enum status status = enter(&w->levels, dirfd(dir), folder, &ignore, &trouble);
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
	if (w->options->follow && fstat(fd, &st) == 0)
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
		if (sidecar_is(entry->d_name) && fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
			struct buffer path = {0};
			buffer_text(&path, folder);
			buffer_text(&path, entry->d_name);
			status = sidecars_add(&walk->sidecars, path.failed ? NULL : path.data, st.st_size, walk_mtime(&st), err);
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
	const struct ignore *above = NULL;
	char *path = mem_copy(root, strlen(root));
	if (!S_ISDIR(st.st_mode)) {
		status = path ? add_photo(walk, path, number, &st, err) : err_memory(err, "a path");
		return status == STATUS_OK ? add_beside(walk, root, err) : status;
	}
	status = push(&w.folders, path, NULL, err);
	if (status == STATUS_OK)
		status = read_excludes(options, root, &w.excludes, err);
	if (status == STATUS_OK)
		status = enter_above(&w.levels, root, &above, err);
	if (status == STATUS_OK)
		w.folders.items[0].ignore = above;
	while (status == STATUS_OK && (w.folders.count || w.links.count)) {
		bool link = !w.folders.count;
		struct pending_folder folder = link ? take_first(&w.links) : w.folders.items[--w.folders.count];
		status = visit_folder(&w, folder.path, folder.ignore, link, err);
		free(folder.path);
	}
	pending_release(&w.folders);
	pending_release(&w.links);
	levels_release(&w.levels);
	ignore_free(w.excludes);
	buffer_release(&w.path);
	buffer_release(&w.names);
	free(w.entries);
	free(w.seen);
	return status;
}

static int compare_folders(const void *a, const void *b)
{
	return strcmp(((const struct walk_folder *)a)->path, ((const struct walk_folder *)b)->path);
}

static int compare_photos(const void *a, const void *b)
{
	const struct walk_photo *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	return order ? order : (x->root > y->root) - (x->root < y->root);
}

void walk_finish(struct walk *walk)
{
	size_t kept = 0;

	sidecars_sort(&walk->sidecars);
	if (walk->folder_count)
		qsort(walk->folders, walk->folder_count, sizeof *walk->folders, compare_folders);
	if (!walk->count)
		return;
	qsort(walk->photos, walk->count, sizeof *walk->photos, compare_photos);
	for (size_t i = 0; i < walk->count; i++) {
		if (kept && strcmp(walk->photos[i].path, walk->photos[kept - 1].path) == 0)
			free(walk->photos[i].path);
		else
			walk->photos[kept++] = walk->photos[i];
	}
	walk->count = kept;
}

void walk_release(struct walk *walk)
{
	for (size_t i = 0; i < walk->count; i++)
		free(walk->photos[i].path);
	for (size_t i = 0; i < walk->trouble_count; i++) {
		free(walk->troubles[i].path);
		free(walk->troubles[i].reason);
	}
	for (size_t i = 0; i < walk->folder_count; i++)
		free(walk->folders[i].path);
	free(walk->folders);
	free(walk->photos);
	free(walk->troubles);
	sidecars_release(&walk->sidecars);
	*walk = (struct walk){0};
}

const struct walk_photo *walk_find(const struct walk *walk, const char *path)
{
	size_t low = 0, high = walk->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(path, walk->photos[middle].path);
		if (order == 0)
			return &walk->photos[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

struct piece {
	const char *path;
	size_t size;
};

static int compare_piece(const void *a, const void *b)
{
	const struct piece *piece = a;
	const char *path = ((const struct walk_folder *)b)->path;
	int order = strncmp(piece->path, path, piece->size);

	return order ? order : -(path[piece->size] != '\0');
}

struct walk_folder *walk_folder_find(const struct walk *walk, const char *path)
{
	struct piece piece = {path, strlen(path)};
	return walk->folders ? bsearch(&piece, walk->folders, walk->folder_count, sizeof *walk->folders, compare_piece) : NULL;
}

struct walk_folder *walk_folder_of(const struct walk *walk, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct piece piece = {path, slash > path ? (size_t)(slash - path) : 1};
	return walk->folders ? bsearch(&piece, walk->folders, walk->folder_count, sizeof *walk->folders, compare_piece) : NULL;
}
