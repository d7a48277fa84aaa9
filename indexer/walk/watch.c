/* watch.c: see watch.h. Each root has an inotify instance of its own, so that no table of watches is needed: whatever is read from it
 * concerns that root. When what is watched may be wrong (a folder was moved away, events were lost, a drive came), the instance is
 * thrown away, and the next walk fills another. */
#include "indexer/walk/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "indexer/walk/path.h"
#include "schema/base/clock.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* Seconds. A copy in progress is let finish, but not one that never does. */
static const double quiet = 1, patience = 30, look = 1, minute = 60, retry = 5;
/* At most a tenth of the time goes into looking. */
static const double rest = 9;

static const uint32_t changes = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE |
				IN_DELETE_SELF | IN_MOVE_SELF | IN_EXCL_UNLINK;

struct watched {
	const char *path;
	int fd;               /* -1: none could be had */
	bool renew;           /* fd is to be thrown away at the next begin */
	bool limited;         /* not all folders are watched */
	bool changed;
	double first, last;   /* event that nobody has looked after yet */
	double finished, took; /* the last run */
	bool there;
	dev_t device;
	ino_t inode;
	uint64_t mounts;      /* hash of the mounts on it and above it */
};

struct watch {
	struct watched *roots;
	size_t count;
	struct watch_options options;
	int mountinfo;        /* -1: not to be had */
	double looked;
	bool said;
	char notice[256];
};

static void change(struct watched *root, bool renew)
{
	double now = clock_now();

	if (!root->changed)
		root->first = now;
	root->changed = true;
	root->renew |= renew;
	root->last = now;
}

/* --- mounts --- */

/* The n-th of a line's words, its octal escapes undone, cut to size. */
static void word_of(const char *line, size_t n, char *word, size_t size)
{
	size_t used = 0;

	while (n-- && *line)
		line += strcspn(line, " ") + (line[strcspn(line, " ")] == ' ');
	for (; *line && *line != ' ' && used + 1 < size; line++) {
		char c = *line;
		if (c == '\\' && line[1] >= '0' && line[1] <= '7' && line[2] && line[3]) {
			c = (char)((line[1] - '0') << 6 | (line[2] - '0') << 3 | (line[3] - '0'));
			line += 3;
		}
		word[used++] = c;
	}
	word[used] = '\0';
}

static uint64_t hash_mounts(const char *path)
{
	uint64_t hash = 0;
	char *line = NULL, folder[4096];
	size_t capacity = 0;
	FILE *file = fopen("/proc/self/mountinfo", "re");

	while (file && getline(&line, &capacity, file) > 0) {
		word_of(line, 4, folder, sizeof folder);
		if (path_below(path, folder) || path_below(folder, path))
			hash = XXH3_64bits_withSeed(line, strlen(line), hash);
	}
	free(line);
	if (file)
		fclose(file);
	return hash;
}

/* Remembers what the root is; true if it is another than before. */
static bool look_at(struct watched *root, bool mounts)
{
	struct stat st = {0};
	bool there = stat(root->path, &st) == 0;
	uint64_t hash = mounts ? hash_mounts(root->path) : root->mounts;
	bool other = there != root->there || st.st_dev != root->device || st.st_ino != root->inode || hash != root->mounts;

	root->there = there;
	root->device = st.st_dev;
	root->inode = st.st_ino;
	root->mounts = hash;
	return other;
}

/* --- events --- */

/* Whether the event is about the library, not about our own catalog in it. */
static bool counts(const struct watch *watch, const struct inotify_event *event)
{
	const char *not = watch->options.not_name;

	return !(event->mask & IN_IGNORED) && !(event->len && not && *not && strncmp(event->name, not, strlen(not)) == 0);
}

static void read_events(struct watch *watch, struct watched *root)
{
	_Alignas(struct inotify_event) char bytes[65536];
	ssize_t n;

	while ((n = read(root->fd, bytes, sizeof bytes)) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *event = (const void *)(bytes + at);
			at += (ssize_t)(sizeof *event + event->len);
			/* A folder that left takes its watches along. */
			bool left = (event->mask & IN_MOVED_FROM) && (event->mask & IN_ISDIR);
			if (counts(watch, event))
				change(root, left || (event->mask & (IN_Q_OVERFLOW | IN_UNMOUNT | IN_MOVE_SELF)));
		}
	}
}

static bool is_due(const struct watch *watch, const struct watched *root)
{
	double now = clock_now(), every = watch->options.every;

	if (now - root->finished < rest * root->took)
		return false;
	if (!every && root->limited)
		every = minute;
	if (every && now - root->finished >= every)
		return true;
	return root->changed && (now - root->last >= quiet || now - root->first >= patience);
}

static void wait_for_events(struct watch *watch)
{
	struct pollfd *fds = mem_array(watch->count + 1, sizeof *fds);
	const int ms = 200;

	if (!fds) {
		usleep(1000 * ms);
		return;
	}
	for (size_t i = 0; i < watch->count; i++)
		fds[i] = (struct pollfd){.fd = watch->roots[i].fd, .events = POLLIN};
	fds[watch->count] = (struct pollfd){.fd = watch->mountinfo, .events = POLLPRI};
	if (poll(fds, watch->count + 1, ms) < 0)
		goto out;
	bool mounts = fds[watch->count].revents != 0, time = clock_now() - watch->looked >= look;
	for (size_t i = 0; i < watch->count; i++) {
		struct watched *root = &watch->roots[i];
		if (fds[i].revents)
			read_events(watch, root);
		if ((mounts || time) && look_at(root, mounts || watch->mountinfo < 0))
			change(root, true);
	}
	if (time)
		watch->looked = clock_now();
out:
	free(fds);
}

enum status watch_wait(struct watch *watch, const volatile sig_atomic_t *interrupted, bool *due, struct err *err)
{
	for (;;) {
		bool any = false;
		if (interrupted && *interrupted)
			return err_set(err, STATUS_INTERRUPTED, "interrupted");
		wait_for_events(watch);
		for (size_t i = 0; i < watch->count; i++)
			any |= due[i] = is_due(watch, &watch->roots[i]);
		if (any)
			return STATUS_OK;
	}
}

/* --- runs --- */

static void limit(struct watch *watch, struct watched *root, const char *reason)
{
	root->limited = true;
	if (!*watch->notice && !watch->said)
		snprintf(watch->notice, sizeof watch->notice, "not every folder can be watched: %s; so all are looked through every %g s; "
			 "hint: sysctl fs.inotify.max_user_watches=1000000", reason, watch->options.every ? watch->options.every : minute);
}

void watch_begin(struct watch *watch, const bool *due)
{
	for (size_t i = 0; i < watch->count; i++) {
		struct watched *root = &watch->roots[i];
		if (!due[i])
			continue;
		root->changed = false;
		if (root->fd >= 0 && !root->renew && !root->limited)
			continue;
		if (root->fd >= 0)
			close(root->fd);
		root->renew = root->limited = false;
		root->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		if (root->fd < 0)
			limit(watch, root, strerror(errno));
		/* Before it is read: what becomes of the root itself, a single photograph too. */
		watch_folder(watch, root->path);
	}
}

void watch_folder(void *context, const char *path)
{
	struct watch *watch = context;

	for (size_t i = 0; i < watch->count; i++) {
		struct watched *root = &watch->roots[i];
		if (root->fd < 0 || !path_below(root->path, path))
			continue;
		if (inotify_add_watch(root->fd, path, changes) < 0 && (errno == ENOSPC || errno == ENOMEM))
			limit(watch, root, errno == ENOSPC ? "the system's limit is reached" : strerror(errno));
	}
}

void watch_done(struct watch *watch, const bool *due, double seconds, bool failed)
{
	for (size_t i = 0; i < watch->count; i++) {
		struct watched *root = &watch->roots[i];
		if (!due[i])
			continue;
		root->finished = clock_now();
		root->took = seconds;
		if (failed) {
			change(root, false);
			root->took = seconds > retry / rest ? seconds : retry / rest;
		}
	}
}

const char *watch_notice(struct watch *watch)
{
	if (!*watch->notice || watch->said)
		return NULL;
	watch->said = true;
	return watch->notice;
}

enum status watch_open(const char *const *folders, size_t count, const struct watch_options *options, struct watch **watch,
		       struct err *err)
{
	struct watch *w = mem_array(1, sizeof *w);

	*watch = NULL;
	if (!w || !(w->roots = mem_array(count, sizeof *w->roots))) {
		free(w);
		return err_memory(err, "a watch");
	}
	w->options = *options;
	w->count = count;
	w->mountinfo = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < count; i++) {
		w->roots[i] = (struct watched){.path = folders[i], .fd = -1};
		look_at(&w->roots[i], true);
	}
	*watch = w;
	return STATUS_OK;
}

void watch_close(struct watch *watch)
{
	if (!watch)
		return;
	for (size_t i = 0; i < watch->count; i++)
		if (watch->roots[i].fd >= 0)
			close(watch->roots[i].fd);
	if (watch->mountinfo >= 0)
		close(watch->mountinfo);
	free(watch->roots);
	free(watch);
}
