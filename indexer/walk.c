/* walk.c: see walk.h. Folders wait in a list, not on the stack, and are opened one at a time: neither depth nor a limit of
 * open files matters. Followed links wait until all real folders of the root were walked, so that a photograph is known by
 * its real path rather than by a link's. */
#include "indexer/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "indexer/ignore.h"
#include "schema/file.h"
#include "schema/memory.h"

#include "schema/banned.h"

static const char *const photo_names[] = {
	"jpg", "jpeg", "jpe", "jfif", "png", "webp", "heic", "heif", "hif", "avif", "gif", "tif", "tiff", "bmp",
	"cr2", "cr3", "nef", "nrw", "arw", "sr2", "dng", "orf", "rw2", "raf", "pef", "srw",
};

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
		if (ignore_match(never_wanted[i], name))
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

/* One name of a folder. fd: the folder. */
static enum status visit_entry(struct walker *w, int fd, const char *folder, const struct ignore *ignore, const char *name,
			       struct err *err)
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
	if (left_out(w->options, w->excludes, ignore, path, name, S_ISDIR(st.st_mode)))
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
		status = push(link ? &w->links : &w->folders, path, ignore, err);
		path = NULL;
	} else if (is_photo_name(name)) {
		status = add_photo(w->walk, path, w->number, &st, err);
		path = NULL;
	} else if (sidecar_is(name) && S_ISREG(st.st_mode)) {
		status = sidecars_add(&w->walk->sidecars, path, st.st_size, walk_mtime(&st), err);
		path = NULL;
	} else if (format < formats && S_ISREG(st.st_mode)) {
		w->walk->unsupported[format]++;
	}
out:
	free(path);
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
	while (status == STATUS_OK) {
		errno = 0;
		const struct dirent *entry = readdir(dir);
		if (!entry)
			return errno ? add_trouble(w->walk, folder, strerror(errno), err) : STATUS_OK;
		if (options->interrupted && *options->interrupted)
			return err_set(err, STATUS_INTERRUPTED, "interrupted");
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			status = visit_entry(w, dirfd(dir), folder, ignore, entry->d_name, err);
	}
	return status;
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
		w->options->tick(w->options->context, w->walk->count);
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

	sidecars_sort(&walk->sidecars);
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
