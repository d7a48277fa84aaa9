/* rules.c: see rules.h. */
#include "indexer/walk/rules.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "indexer/walk/path.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* What cameras, file systems, network drives and photo programs keep beside photographs. */
static const char *const never_wanted[] = {
	"._*", "@eaDir", ".@__thumb", "@Recycle", "#recycle", "#snapshot", ".thumbnails", ".trash", ".Trash*", "$RECYCLE.BIN",
	"System Volume Information", "lost+found",
};

bool rules_leave_out(const struct rules_of_root *of, const struct ignore *ignore, const char *path, const char *name, bool folder)
{
	enum ignore_verdict verdict = ignore_verdict(of->excludes, path, folder);

	if (verdict == IGNORE_NOTHING)
		verdict = ignore_verdict(ignore, path, folder);
	if (verdict == IGNORE_OUT)
		return true;
	/* "!*.jpg" is meant to take back a "*", not AppleDouble's "._a.jpg". */
	if (verdict == IGNORE_IN_NAMED)
		return false;
	if (*name == '.' && !of->rules->hidden)
		return true;
	for (size_t i = 0; i < sizeof never_wanted / sizeof *never_wanted; i++)
		if (*name == *never_wanted[i] && ignore_match(never_wanted[i], name)) /* none begins with a wildcard */
			return true;
	return false;
}

enum status rules_enter(struct rules_of_root *of, int fd, const char *folder, const struct ignore **ignore, struct err *err)
{
	struct ignore *level;
	enum status status = ignore_read(*ignore, fd, folder, &level, err);

	if (status != STATUS_OK || !level)
		return status;
	struct ignore **levels = mem_resize(of->levels, of->level_count + 1, sizeof *levels);
	if (!levels) {
		ignore_free(level);
		return err_memory(err, "patterns");
	}
	of->levels = levels;
	of->levels[of->level_count++] = level;
	*ignore = level;
	return STATUS_OK;
}

/* rules_enter for a folder that is not open. One that cannot be read is the walk's to report. */
static enum status enter_path(struct rules_of_root *of, const char *folder, const struct ignore **ignore, struct err *err)
{
	int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return STATUS_OK;
	enum status status = rules_enter(of, fd, folder, ignore, err);
	close(fd);
	return status == STATUS_IO ? STATUS_OK : status;
}

/* Patterns that hold for a walk of root, whatever its folders say: the command line's. */
static enum status read_excludes(struct rules_of_root *of, const char *root, struct err *err)
{
	of->excludes = ignore_new(NULL, root);
	if (!of->excludes)
		return err_memory(err, "patterns");
	for (size_t i = 0; i < of->rules->exclude_count; i++) {
		const char *pattern = of->rules->excludes[i];
		/* An absolute path that points into the root is as good as a relative one. */
		if (*pattern == '/' && path_below(root, pattern) && strlen(pattern) > strlen(root) + 1)
			pattern += strlen(root) - (root[1] == '\0');
		if (!ignore_add_pattern(of->excludes, pattern, strlen(pattern)))
			return err_memory(err, "patterns");
	}
	return STATUS_OK;
}

enum status rules_open(struct rules_of_root *of, const struct rules *rules, const char *root, struct err *err)
{
	char folder[PATH_MAX] = "/";

	of->rules = rules;
	enum status status = read_excludes(of, root, err);
	if (status == STATUS_OK && root[1])
		status = enter_path(of, "/", &of->above, err);
	for (const char *slash = root; status == STATUS_OK && (slash = strchr(slash + 1, '/'));) {
		if ((size_t)(slash - root) >= sizeof folder)
			break;
		memcpy(folder, root, (size_t)(slash - root));
		folder[slash - root] = '\0';
		status = enter_path(of, folder, &of->above, err);
	}
	return status;
}

void rules_release(struct rules_of_root *of)
{
	while (of->level_count)
		ignore_free(of->levels[--of->level_count]);
	free(of->levels);
	ignore_free(of->excludes);
}

bool rules_pass_over(const struct rules *rules, const char *root, const char *path)
{
	char part[PATH_MAX];
	size_t start = strlen(root) + (root[1] != '\0'), size = strlen(path);
	struct rules_of_root of = {0};
	bool out = size >= sizeof part;

	if (out || rules_open(&of, rules, root, NULL) != STATUS_OK)
		goto done;
	const struct ignore *ignore = of.above;
	memcpy(part, path, size + 1);
	while (start < size) {
		char border = part[start - 1];
		part[start - 1] = '\0';
		if (enter_path(&of, start > 1 ? part : "/", &ignore, NULL) != STATUS_OK)
			break;
		part[start - 1] = border;
		char *slash = strchr(part + start, '/');
		if (slash)
			*slash = '\0';
		out = rules_leave_out(&of, ignore, part, part + start, slash != NULL);
		if (out || !slash)
			break;
		start = (size_t)(slash - part) + 1;
		*slash = '/';
	}
done:
	rules_release(&of);
	return out;
}
