/* walk.c: see walk.h. Folders wait in a list, not on the stack, and are opened one at a time: neither depth nor a limit of
 * open files matters. Followed links wait until all real folders of the root were walked, so that a photograph is known by
 * its real path rather than by a link's. */
#include "indexer/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schema/file.h"
#include "schema/memory.h"

#include "schema/banned.h"

static const char *const photo_names[] = {"jpg", "jpeg", "jpe", "jfif", "png", "webp"};

static const char *const unsupported_names[] = {
	"heic", "heif", "avif", "gif", "tif", "tiff", "bmp", "jxl", "jp2", "jpx", "dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "srf",
	"sr2", "raf", "orf", "rw2", "pef", "srw", "x3f", "3fr", "erf", "kdc", "dcr", "mrw", "mef", "mos", "iiq", "rwl", "raw",
};
_Static_assert(sizeof unsupported_names / sizeof *unsupported_names <= WALK_FORMATS, "walk.h has room for too few formats");

/* What cameras, file systems, network drives and photo programs keep beside photographs. */
static const char *const never_wanted[] = {
	"._*", "@eaDir", ".@__thumb", "@Recycle", "#recycle", "#snapshot", ".thumbnails", ".trash", ".Trash*", "$RECYCLE.BIN",
	"System Volume Information", "lost+found",
};

struct strings {
	char **items;
	size_t count, capacity;
};

struct seen {
	dev_t device;
	ino_t inode;
	bool used;
};

/* One walk_root. */
struct walker {
	struct walk *walk;
	const struct walk_options *options;
	const char *root;
	size_t number;
	struct strings folders; /* still to be walked */
	struct strings links;   /* links to folders, followed when folders is empty */
	struct seen *seen;      /* folders walked: kept only when links are followed; open addressing */
	size_t seen_count, seen_capacity;
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

const char *walk_format_name(size_t i)
{
	return i < sizeof unsupported_names / sizeof *unsupported_names ? unsupported_names[i] : NULL;
}

/* Index of name's extension in names, or count. */
static size_t find_extension(const char *name, const char *const *names, size_t count)
{
	const char *dot = strrchr(name, '.');
	size_t i = 0;

	if (!dot || dot == name)
		return count;
	while (i < count && strcasecmp(dot + 1, names[i]) != 0)
		i++;
	return i;
}

static bool is_photo_name(const char *name)
{
	size_t n = sizeof photo_names / sizeof *photo_names;
	return find_extension(name, photo_names, n) < n;
}

/* The first component of path as a string in name; returns what follows its slash, NULL if nothing does. A component that is
 * too long for name matches nothing. */
static const char *split(const char *path, char name[NAME_MAX + 1])
{
	const char *slash = strchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : strlen(path);

	if (n > NAME_MAX)
		n = 0;
	memcpy(name, path, n);
	name[n] = '\0';
	return slash ? slash + 1 : NULL;
}

/* glob against path, component by component; after a mismatch the last "**" takes one folder more. */
static bool match_components(const char *glob, const char *path)
{
	const char *retry_glob = NULL, *retry_path = NULL;
	char pattern[NAME_MAX + 1], name[NAME_MAX + 1];

	while (path) {
		const char *next_glob = NULL, *next_path = split(path, name);
		if (glob) {
			next_glob = split(glob, pattern);
			if (strcmp(pattern, "**") == 0) {
				if (!next_glob)
					return true;
				retry_glob = glob = next_glob;
				retry_path = path;
				continue;
			}
		}
		if (glob && fnmatch(pattern, name, 0) == 0) {
			glob = next_glob;
			path = next_path;
		} else if (retry_path) {
			split(retry_path, name);
			retry_path = path = strchr(retry_path, '/') ? strchr(retry_path, '/') + 1 : NULL;
			glob = retry_glob;
		} else {
			return false;
		}
	}
	return !glob || strcmp(glob, "**") == 0;
}

/* relative: below root, "a/b.jpg"; name: its last component. */
static bool excluded_by(const char *glob, const char *root, const char *relative, const char *name, bool folder)
{
	char pattern[PATH_MAX];
	size_t n = strlen(glob);

	if (n && glob[n - 1] == '/') {
		if (!folder)
			return false;
		n--;
	}
	if (n == 0 || n >= sizeof pattern)
		return false;
	memcpy(pattern, glob, n);
	pattern[n] = '\0';
	if (!strchr(pattern, '/'))
		return fnmatch(pattern, name, 0) == 0;
	/* An absolute path that points into the root is as good as a relative one. */
	if (*pattern == '/' && walk_below(root, pattern) && strlen(pattern) > strlen(root) + 1)
		return match_components(pattern + strlen(root) + (root[1] != '\0'), relative);
	return match_components(*pattern == '/' ? pattern + 1 : pattern, relative);
}

static bool left_out(const struct walk_options *options, const char *root, const char *path, const char *name, bool folder)
{
	const char *relative = path + strlen(root) + (root[1] != '\0');

	if (*name == '.' && !options->hidden)
		return true;
	for (size_t i = 0; i < sizeof never_wanted / sizeof *never_wanted; i++)
		if (fnmatch(never_wanted[i], name, 0) == 0)
			return true;
	for (size_t i = 0; i < options->exclude_count; i++)
		if (excluded_by(options->excludes[i], root, relative, name, folder))
			return true;
	return false;
}

bool walk_leaves_out(const char *root, const char *path, const struct walk_options *options)
{
	char part[PATH_MAX];
	size_t start = strlen(root) + (root[1] != '\0'), size = strlen(path);

	if (size >= sizeof part)
		return true;
	memcpy(part, path, size + 1);
	while (start < size) {
		char *slash = strchr(part + start, '/');
		if (slash)
			*slash = '\0';
		if (left_out(options, root, part, part + start, slash != NULL))
			return true;
		if (!slash)
			break;
		start = (size_t)(slash - part) + 1;
		*slash = '/';
	}
	return false;
}

/* --- lists --- */

/* Takes path over, also when it fails. */
static enum status push(struct strings *strings, char *path, struct err *err)
{
	if (path && strings->count == strings->capacity) {
		size_t capacity = strings->capacity ? 2 * strings->capacity : 64;
		char **items = mem_resize(strings->items, capacity, sizeof *items);
		if (items) {
			strings->items = items;
			strings->capacity = capacity;
		}
	}
	if (!path || strings->count == strings->capacity) {
		free(path);
		return err_memory(err, "the list of folders");
	}
	strings->items[strings->count++] = path;
	return STATUS_OK;
}

static void strings_release(struct strings *strings)
{
	while (strings->count)
		free(strings->items[--strings->count]);
	free(strings->items);
}

/* Takes the path that comes first out of links: which of two links to the same folder is followed does not depend on the
 * order in which the file system lists them. */
static char *take_first(struct strings *links)
{
	size_t first = 0;

	for (size_t i = 1; i < links->count; i++)
		if (strcmp(links->items[i], links->items[first]) < 0)
			first = i;
	char *path = links->items[first];
	links->items[first] = links->items[--links->count];
	return path;
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

/* One name of a folder. fd: the folder. */
static enum status visit_entry(struct walker *w, int fd, const char *folder, const char *name, struct err *err)
{
	size_t formats = sizeof unsupported_names / sizeof *unsupported_names;
	size_t format = find_extension(name, unsupported_names, formats);
	struct stat st;
	enum status status = STATUS_OK;
	char *path = path_join(folder, name);

	if (!path)
		return err_memory(err, "a path");
	if (strlen(path) >= PATH_MAX) {
		status = add_trouble(w->walk, folder, "a path below it is too long", err);
		goto out;
	}
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		if (errno != ENOENT)
			status = add_trouble(w->walk, path, strerror(errno), err);
		goto out;
	}
	if (left_out(w->options, w->root, path, name, S_ISDIR(st.st_mode)))
		goto out;
	bool link = S_ISLNK(st.st_mode);
	if (link && !w->options->follow) {
		w->walk->links += is_photo_name(name);
		goto out;
	}
	if (link && fstatat(fd, name, &st, 0) != 0) {
		/* A link to nowhere is a photograph that cannot be opened, if it is named like one. */
		if (is_photo_name(name))
			st.st_mode = S_IFREG;
		else
			goto out;
	}
	if (S_ISDIR(st.st_mode)) {
		status = push(link ? &w->links : &w->folders, path, err);
		path = NULL;
	} else if (is_photo_name(name)) {
		status = add_photo(w->walk, path, w->number, &st, err);
		path = NULL;
	} else if (format < formats && S_ISREG(st.st_mode)) {
		w->walk->unsupported[format]++;
	}
out:
	free(path);
	return status;
}

static enum status read_entries(struct walker *w, DIR *dir, const char *folder, struct err *err)
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
			status = visit_entry(w, dirfd(dir), folder, entry->d_name, err);
	}
	return status;
}

static enum status visit_folder(struct walker *w, const char *folder, bool link, struct err *err)
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
		status = read_entries(w, dir, folder, err);
	closedir(dir);
	if (w->options->tick)
		w->options->tick(w->options->context, w->walk->count);
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
	if (!S_ISDIR(st.st_mode))
		status = path ? add_photo(walk, path, number, &st, err) : err_memory(err, "a path");
	else
		status = push(&w.folders, path, err);
	while (status == STATUS_OK && (w.folders.count || w.links.count)) {
		bool link = !w.folders.count;
		char *folder = link ? take_first(&w.links) : w.folders.items[--w.folders.count];
		status = visit_folder(&w, folder, link, err);
		free(folder);
	}
	strings_release(&w.folders);
	strings_release(&w.links);
	free(w.seen);
	return status;
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
	free(walk->photos);
	free(walk->troubles);
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
