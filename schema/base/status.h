/* status.h: how every function below the front door says that it failed.
 *
 *     enum status photo_open(const char *path, struct err *err)
 *     {
 *         if (...)
 *             return err_set(err, STATUS_IO, "cannot open '%s': %s", path, strerror(errno));
 *         return STATUS_OK;
 *     }
 *
 * A message says what failed first, quotes the subject, and ends in "; hint: ..." where there is one.
 * Library code neither prints nor exits; only coca.c does.
 */
#ifndef SCHEMA_BASE_STATUS_H
#define SCHEMA_BASE_STATUS_H

enum status {
	STATUS_OK = 0,
	STATUS_FAILED,       /* a library said no without a reason that fits below */
	STATUS_IO,           /* the operating system said no */
	STATUS_FORMAT,       /* input that is damaged, truncated or contradicts itself */
	STATUS_UNSUPPORTED,  /* input that is well formed, but that this version does not handle */
	STATUS_MEMORY,       /* allocation failed, or a size would overflow or pass a limit */
	STATUS_USAGE,        /* the caller's words are wrong: exit code 2 */
	STATUS_NOT_FOUND,    /* nothing there: exit code 3 where it is the answer to a question */
	STATUS_BUSY,         /* another process holds the lock */
	STATUS_INTERRUPTED,  /* Ctrl-C: what was done is kept */
};

struct err {
	enum status status;
	char text[1024]; /* one line, NUL-terminated, no line feed at the end */
};

/* Fills err (which may be NULL) and returns status, so that it can stand behind return. Control characters
 * in what the format inserts come out as \xNN: a path cannot forge a line. */
enum status err_set(struct err *err, enum status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "context: " before the text that is there and returns err's status. */
enum status err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Out of memory while making `what`. */
enum status err_memory(struct err *err, const char *what);

#endif
