/* ignore.h: patterns that leave files out, read as .gitignore reads them: from .cocaignore files and from --exclude.
 *
 *     struct ignore *top = ignore_new(NULL, "/home/ann/Pictures");          // a level: its patterns are relative to this folder
 *     ignore_add(top, "*.png\n!keep.png\n", 18);
 *     struct ignore *sub = ignore_read(top, fd, "/home/ann/Pictures/raw");  // fd's .cocaignore; top if there is none
 *     switch (ignore_verdict(sub, "/home/ann/Pictures/raw/a.png", false)) ...
 *
 * Within a level the last pattern that matches decides; the deepest level that has one decides over those above it. A slash at a
 * pattern's end restricts it to folders; one at its beginning or in its middle ties it to the level's folder, else it matches a
 * name in any folder below; "**" stands for any number of folders; "!" takes back; "#" begins a comment; a backslash takes
 * the next character as it is. What is below a folder that is left out cannot be taken back: it is never asked about.
 */
#ifndef INDEXER_WALK_IGNORE_H
#define INDEXER_WALK_IGNORE_H

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/status.h"

#define IGNORE_FILE ".cocaignore"

struct ignore; /* a level and, behind it, those above */

enum ignore_verdict {
	IGNORE_NOTHING,   /* no pattern matches */
	IGNORE_OUT,
	IGNORE_IN,        /* taken back by a "!" */
	IGNORE_IN_NAMED,  /* by one whose last part has no wildcard: who writes it means this very name */
};

/* above may be NULL; it stays the caller's and must outlive the level. folder is copied. NULL when out of memory. */
struct ignore *ignore_new(const struct ignore *above, const char *folder);
void ignore_free(struct ignore *ignore); /* this level only; takes NULL */

/* Lines of patterns, as in a file; false when out of memory. */
bool ignore_add(struct ignore *ignore, const char *text, size_t size);
/* One pattern as it stands: "#" begins no comment, blanks at its end belong to it. */
bool ignore_add_pattern(struct ignore *ignore, const char *pattern, size_t size);

/* The level of a folder's .cocaignore, *level NULL if it has none. fd: the folder. STATUS_IO: there is one that cannot be read. */
enum status ignore_read(const struct ignore *above, int fd, const char *folder, struct ignore **level, struct err *err);

/* path: absolute, below every level's folder. ignore may be NULL. */
enum ignore_verdict ignore_verdict(const struct ignore *ignore, const char *path, bool folder);

/* One pattern against a whole relative path or, without a slash in it, a name: bytes, '*' and '?' stop at '/'. */
bool ignore_match(const char *pattern, const char *text);

#endif
