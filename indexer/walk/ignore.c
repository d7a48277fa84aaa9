/* ignore.c: see ignore.h. Matching takes no longer than pattern times path, whatever the pattern: of several "*" in a component
 * and of several "**" in a path only the last one ever needs another try. */
#include "indexer/walk/ignore.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* A longer file is no list of patterns that a person wrote. */
enum { FILE_MOST = 1 << 20 };

struct rule {
	char *pattern;     /* without "!", the slash at its end and the one at its beginning */
	bool back, folder; /* had a "!"; had a slash at its end */
	bool anchored;     /* had another slash */
	bool named;        /* its last part has no wildcard */
};

struct ignore {
	const struct ignore *above;
	char *folder;
	size_t folder_size;
	struct rule *rules;
	size_t count;
};

/* --- matching --- */

static bool in_class(const char *name, size_t size, unsigned char c)
{
	static const struct {
		const char *name;
		int (*is)(int);
	} classes[] = {
		{"alnum", isalnum}, {"alpha", isalpha}, {"blank", isblank}, {"cntrl", iscntrl}, {"digit", isdigit}, {"graph", isgraph},
		{"lower", islower}, {"print", isprint}, {"punct", ispunct}, {"space", isspace}, {"upper", isupper}, {"xdigit", isxdigit},
	};

	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if (strlen(classes[i].name) == size && memcmp(classes[i].name, name, size) == 0)
			return c < 128 && classes[i].is(c);
	return false;
}

/* p: behind "[". Returns what follows "]", NULL if it is never closed. */
static const char *match_set(const char *p, unsigned char c, bool *matches)
{
	bool negated = *p == '!' || *p == '^', found = false;
	const char *first = p += negated;

	for (; *p != ']' || p == first; p++) {
		const char *end;
		if (!*p)
			return NULL;
		if (p[0] == '[' && p[1] == ':' && (end = strstr(p + 2, ":]"))) {
			found |= in_class(p + 2, (size_t)(end - p - 2), c);
			p = end + 1;
			continue;
		}
		if (*p == '\\' && !*++p)
			return NULL;
		unsigned char low = (unsigned char)*p, high = low;
		if (p[1] == '-' && p[2] && p[2] != ']') {
			p += 2;
			if (*p == '\\' && !*++p)
				return NULL;
			high = (unsigned char)*p;
		}
		found |= low <= c && c <= high;
	}
	*matches = c != '/' && found != negated;
	return p + 1;
}

/* One character of the text against one element of the pattern, which is no "*". Returns what follows the element, NULL if they
 * differ. */
static const char *match_one(const char *p, char c)
{
	bool matches = false;

	switch (*p) {
	case '?':
		return c != '/' ? p + 1 : NULL;
	case '[':
		p = match_set(p + 1, (unsigned char)c, &matches);
		return matches ? p : NULL;
	case '\\':
		p++;
		break;
	}
	return *p && *p == c ? p + 1 : NULL;
}

bool ignore_match(const char *pattern, const char *text)
{
	const char *p = pattern, *t = text;
	const char *star = NULL, *star_text = NULL;    /* behind the last "*" of this component, and how far it reaches */
	const char *stars = NULL, *stars_text = NULL;  /* behind the last "**", a component's begin */

	for (;;) {
		if (*p == '*') {
			bool begins = p == pattern || p[-1] == '/';
			const char *end = p + strspn(p, "*");
			if (begins && end > p + 1 && !*end)
				return *t != '\0';
			if (begins && end > p + 1 && *end == '/') {
				stars = p = end + 1;
				stars_text = t;
				star = NULL;
			} else {
				star = p = end;
				star_text = t;
			}
			continue;
		}
		if (!*p && !*t)
			return true;
		const char *next = *p && *t ? match_one(p, *t) : NULL;
		if (next) {
			if (*t == '/')
				star = NULL;
			p = next;
			t++;
		} else if (star && *star_text && *star_text != '/') {
			p = star;
			t = ++star_text;
		} else if (stars && (stars_text = strchr(stars_text, '/'))) {
			p = stars;
			t = ++stars_text;
			star = NULL;
		} else {
			return false;
		}
	}
}

static bool rule_matches(const struct rule *rule, const char *relative, bool folder)
{
	const char *slash = strrchr(relative, '/');

	if (rule->folder && !folder)
		return false;
	return ignore_match(rule->pattern, rule->anchored || !slash ? relative : slash + 1);
}

enum ignore_verdict ignore_verdict(const struct ignore *ignore, const char *path, bool folder)
{
	for (; ignore; ignore = ignore->above) {
		const char *relative = path + ignore->folder_size;
		relative += *relative == '/';
		for (size_t i = ignore->count; i-- > 0;) {
			const struct rule *rule = &ignore->rules[i];
			if (rule_matches(rule, relative, folder))
				return !rule->back ? IGNORE_OUT : rule->named ? IGNORE_IN_NAMED : IGNORE_IN;
		}
	}
	return IGNORE_NOTHING;
}

/* --- reading --- */

/* Length of a line without the blanks at its end; one behind a backslash stays. */
static size_t trimmed(const char *line, size_t size)
{
	size_t end = 0;

	for (size_t i = 0; i < size; i++) {
		if (line[i] == '\\' && i + 1 < size)
			end = ++i + 1;
		else if (line[i] != ' ')
			end = i + 1;
	}
	return end;
}

bool ignore_add_pattern(struct ignore *ignore, const char *line, size_t size)
{
	struct rule rule = {0};

	if (size && *line == '!') {
		rule.back = true;
		line++;
		size--;
	}
	if (size && line[size - 1] == '/') {
		rule.folder = true;
		size--;
	}
	rule.anchored = memchr(line, '/', size) != NULL;
	if (size && *line == '/') {
		line++;
		size--;
	}
	/* A NUL ends a pattern for git, too. */
	if (!size || !*line)
		return true;
	struct rule *rules = mem_resize(ignore->rules, ignore->count + 1, sizeof *rules);
	if (!rules)
		return false;
	ignore->rules = rules;
	rule.pattern = mem_copy(line, size);
	if (!rule.pattern)
		return false;
	const char *slash = strrchr(rule.pattern, '/');
	rule.named = !strpbrk(slash ? slash + 1 : rule.pattern, "*?[");
	rules[ignore->count++] = rule;
	return true;
}

bool ignore_add(struct ignore *ignore, const char *text, size_t size)
{
	static const char mark[] = "\xef\xbb\xbf";
	const char *end = text + size;

	if (size >= 3 && memcmp(text, mark, 3) == 0)
		text += 3;
	while (text < end) {
		const char *feed = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((feed ? feed : end) - text);
		size_t kept = n && text[n - 1] == '\r' ? n - 1 : n;
		if (kept && *text != '#' && !ignore_add_pattern(ignore, text, trimmed(text, kept)))
			return false;
		text += n + 1;
	}
	return true;
}

struct ignore *ignore_new(const struct ignore *above, const char *folder)
{
	struct ignore *ignore = mem_array(1, sizeof *ignore);

	if (!ignore || !(ignore->folder = mem_copy(folder, strlen(folder)))) {
		free(ignore);
		return NULL;
	}
	ignore->above = above;
	ignore->folder_size = strlen(folder);
	return ignore;
}

void ignore_free(struct ignore *ignore)
{
	if (!ignore)
		return;
	while (ignore->count)
		free(ignore->rules[--ignore->count].pattern);
	free(ignore->rules);
	free(ignore->folder);
	free(ignore);
}

static enum status read_patterns(int fd, struct ignore *ignore, struct err *err)
{
	struct stat st;
	enum status status = STATUS_OK;
	size_t size = 0;
	ssize_t got = 1;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MOST)
		return err_set(err, STATUS_IO, "it is no regular file of at most %d bytes", FILE_MOST);
	char *text = malloc(FILE_MOST);
	if (!text)
		return err_memory(err, "patterns");
	while (size < FILE_MOST && (got = read(fd, text + size, FILE_MOST - size)) > 0)
		size += (size_t)got;
	if (got < 0)
		status = err_set(err, STATUS_IO, "%s", strerror(errno));
	else if (!ignore_add(ignore, text, size))
		status = err_memory(err, "patterns");
	free(text);
	return status;
}

enum status ignore_read(const struct ignore *above, int fd, const char *folder, struct ignore **level, struct err *err)
{
	/* As git, not through a link: a library must not lead us out of itself. */
	int file = openat(fd, IGNORE_FILE, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);

	*level = NULL;
	if (file < 0)
		return errno == ENOENT ? STATUS_OK : err_set(err, STATUS_IO, "%s", strerror(errno));
	struct ignore *ignore = ignore_new(above, folder);
	enum status status = ignore ? read_patterns(file, ignore, err) : err_memory(err, "patterns");
	close(file);
	if (status == STATUS_OK)
		*level = ignore;
	else
		ignore_free(ignore);
	return status;
}
