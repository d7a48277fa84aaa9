/* prompts.c: see prompts.h. */
#include "model/words/prompts.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { BYTES_MOST = 1 << 20 };

static const char *const built_in[] = {
	"a photo of a {}.", "a photo of the {}.", "a photo of one {}.", "a close-up photo of a {}.", "a good photo of a {}.",
	"a picture of a {}.", "{}.", "{}", "a photo of a {}", "a small {}.", "a large {}.", "there is a {} here.",
};

void prompts_release(struct prompts *p)
{
	free(p->bytes);
	free(p->lines);
	*p = (struct prompts){0};
}

enum status prompts_read(const char *path, struct prompts *p, struct err *err)
{
	size_t size = 0, n = sizeof built_in / sizeof *built_in;
	char *rest = NULL;
	enum status status = STATUS_OK;

	*p = (struct prompts){0};
	if (path) {
		status = file_read_text(path, BYTES_MOST, &p->bytes, &size, err);
		if (status != STATUS_OK)
			return status;
		n = size / 2 + 1; /* a line and its end are at least two characters */
	}
	p->lines = mem_array(n, sizeof *p->lines);
	if (!p->lines)
		status = err_memory(err, "prompts");
	if (status == STATUS_OK && !path) {
		memcpy(p->lines, built_in, sizeof built_in);
		p->count = n;
	}
	for (char *line = status == STATUS_OK && path ? strtok_r(p->bytes, "\r\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\r\n", &rest)) {
		if (line[strspn(line, " \t")] == '\0')
			continue;
		if (!strstr(line, "{}"))
			status = err_set(err, STATUS_USAGE, "'%s': the line '%s' has no {} where the class would stand", path, line);
		p->lines[p->count++] = line;
	}
	if (status == STATUS_OK && !p->count)
		status = err_set(err, STATUS_USAGE, "'%s' holds no template", path);
	if (status != STATUS_OK)
		prompts_release(p);
	return status;
}

char *prompts_fill(const char *prompt, const char *name)
{
	struct buffer text = {0};
	const char *at = prompt, *hole;

	while ((hole = strstr(at, "{}"))) {
		buffer_append(&text, at, (size_t)(hole - at));
		buffer_text(&text, name);
		at = hole + 2;
	}
	buffer_text(&text, at);
	if (text.failed) {
		buffer_release(&text);
		return NULL;
	}
	return text.data;
}

const char *prompts_name(const char *caption)
{
	static const char start[] = "a photo of ", *const articles[] = {"a ", "an ", "the "};

	if (strncasecmp(caption, start, sizeof start - 1) == 0 && caption[sizeof start - 1])
		caption += sizeof start - 1;
	for (size_t i = 0; i < sizeof articles / sizeof *articles; i++) {
		size_t n = strlen(articles[i]);
		if (strncasecmp(caption, articles[i], n) == 0 && caption[n])
			return caption + n;
	}
	return caption;
}
