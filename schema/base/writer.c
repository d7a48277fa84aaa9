/* writer.c: files that are whole or not there, see file.h; git's tempfile.c has the idea.
 *
 * A temporary, PATH.tmp.coca.N with the first N that is free, is created with O_EXCL and held by an flock for as long as its writer lives.
 * So whoever finds one that can be locked knows that its writer is dead, also in another container, and removes it. A process that exits,
 * or is ended by a signal that it handles, removes its own. The folder is not read: a folder of n files takes n looks, not n * n.
 */
#include "schema/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { LIVE_MOST = 32, NAMES_MOST = 1000, SWEPT = 4 /* names, whether one of them is taken or not */ };

/* --- what goes when the process ends --- */

/* Whoever takes a name out of its place owns it: a signal may come while a writer is being released. */
static _Atomic(char *) live[LIVE_MOST];
static atomic_long live_process;

void file_writers_remove(void)
{
	if (atomic_load(&live_process) != getpid())
		return; /* forked: they are the parent's */
	for (size_t i = 0; i < LIVE_MOST; i++) {
		const char *name = atomic_exchange(&live[i], NULL);
		if (name)
			unlink(name);
	}
}

/* Where there is no place it is swept later. */
static void enlist(struct file_writer *w)
{
	if (atomic_exchange(&live_process, getpid()) == 0)
		atexit(file_writers_remove);
	for (int i = 0; i < LIVE_MOST && w->place < 0; i++) {
		char *none = NULL;
		if (atomic_compare_exchange_strong(&live[i], &none, w->temporary))
			w->place = i;
	}
}

static void writer_release(struct file_writer *w)
{
	if (w->stream)
		fclose(w->stream);
	if (!w->temporary || w->place < 0 || atomic_exchange(&live[w->place], NULL))
		free(w->temporary);
	free(w->path);
	free(w->target);
	*w = (struct file_writer){.place = -1};
}

/* --- temporaries --- */

/* A file system without locks has none that are held, and none that are swept. */
static bool hold(int fd)
{
	struct stat st;

	return (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) && fstat(fd, &st) == 0 && st.st_nlink;
}

/* The name may lead to another's file by now: only who holds a file may take its name away. */
static void sweep(const char *name)
{
	int fd = open(name, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	struct stat held, named;

	if (fd < 0)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &held) == 0 && S_ISREG(held.st_mode) && stat(name, &named) == 0 &&
	    held.st_ino == named.st_ino && held.st_dev == named.st_dev)
		unlink(name);
	close(fd);
}

/* Only root may give a file to another owner; the group is kept where it may be. A file system without modes has none to keep. */
static void pass_on(int fd, const struct stat *old)
{
	if (fchown(fd, old->st_uid, old->st_gid) == 0 || fchown(fd, (uid_t)-1, old->st_gid) == 0 || errno)
		fchmod(fd, old->st_mode & 0777);
}

void file_like(int fd, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return;
	st.st_mode |= 0600;
	pass_on(fd, &st);
}

/* old: what is there, if anything. -1, and errno: it cannot be made. */
static int open_temporary(struct file_writer *w, const struct stat *old)
{
	int fd = -1, reason = EEXIST;

	for (int i = 0; i < SWEPT || (fd < 0 && reason == EEXIST && i < NAMES_MOST); i++) {
		struct buffer name = {0};
		buffer_format(&name, "%s.tmp.coca.%d", w->target, i);
		if (name.failed) {
			reason = ENOMEM;
			break;
		}
		sweep(name.data);
		if (fd < 0) {
			fd = open(name.data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, old ? 0600 : 0666);
			reason = errno;
			if (fd >= 0 && hold(fd)) {
				w->temporary = name.data;
				enlist(w);
				continue;
			}
			if (fd >= 0) { /* another process sweeps it already */
				close(fd);
				fd = -1;
				reason = EEXIST;
			}
		}
		buffer_release(&name);
	}
	if (fd >= 0 && old)
		pass_on(fd, old);
	errno = reason;
	return fd;
}

/* --- writing --- */

enum status file_writer_open(const char *path, struct file_writer *w, struct err *err)
{
	struct stat st;
	int fd = -1, descriptor;

	*w = (struct file_writer){.path = mem_copy(path, strlen(path)), .target = path_follow(path), .place = -1};
	if (!w->path || !w->target) {
		writer_release(w);
		return err_memory(err, "a file name");
	}
	bool there = stat(path, &st) == 0;
	if ((descriptor = path_descriptor(w->target)) >= 0)
		fd = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
	else if (there && !S_ISREG(st.st_mode))
		fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	else if (there || errno == ENOENT)
		fd = open_temporary(w, there ? &st : NULL);
	if (fd >= 0)
		w->stream = fdopen(fd, w->temporary ? "w+b" : "wb");
	if (w->stream)
		return STATUS_OK;
	enum status status = err_set(err, STATUS_IO, "cannot create '%s': %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	file_writer_abort(w);
	return status;
}

/* Makes a rename survive a power cut. A file system that cannot sync folders is not an error. */
static void sync_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = !slash ? mem_copy(".", 1) : mem_copy(path, slash == path ? 1 : (size_t)(slash - path));
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(folder);
}

/* What came to stand there meanwhile is not renamed over, either. The lock is held until the name is gone. */
static bool put_in_place(struct file_writer *w)
{
	struct stat st;

	if (fsync(fileno(w->stream)) != 0)
		return false;
	if (lstat(w->target, &st) == 0 && !S_ISREG(st.st_mode)) {
		errno = EEXIST;
		return false;
	}
	if (rename(w->temporary, w->target) != 0)
		return false;
	sync_folder_of(w->target);
	return true;
}

enum status file_writer_commit(struct file_writer *w, struct err *err)
{
	bool ok = fflush(w->stream) == 0 && !ferror(w->stream) && (!w->temporary || put_in_place(w));
	enum status status = ok ? STATUS_OK : err_set(err, STATUS_IO, "cannot write '%s': %s", w->path, strerror(errno));

	if (ok)
		writer_release(w);
	else
		file_writer_abort(w);
	return status;
}

void file_writer_abort(struct file_writer *w)
{
	if (w->temporary)
		unlink(w->temporary);
	writer_release(w);
}
