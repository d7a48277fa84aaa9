/* choices.c: see choices.h. */
#include "query/teach/choices.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/words/names.h"
#include "query/session/engine.h"
#include "schema/base/file.h"
#include "schema/base/json.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { LABELS_BYTES = 16 << 20 };

/* Cuts choices->bytes, which has a NUL behind it, at any of `ends`. */
static enum status cut(struct choices *c, size_t size, const char *ends, struct err *err)
{
	char *rest = NULL;

	c->names = mem_array(size / 2 + 1, sizeof *c->names);
	if (!c->names)
		return err_memory(err, "labels");
	for (char *name = strtok_r(c->bytes, ends, &rest); name; name = strtok_r(NULL, ends, &rest)) {
		name += strspn(name, " \t\r");
		size_t n = strlen(name);
		while (n && strchr(" \t\r", name[n - 1]))
			name[--n] = '\0';
		if (n)
			c->names[c->count++] = name;
	}
	if (c->count == 0)
		return err_set(err, STATUS_USAGE, "no label is given");
	const char *twice;
	enum status status = names_repeated(c->names, c->count, &twice, err);
	if (status == STATUS_OK && twice)
		return err_set(err, STATUS_USAGE, "the label '%s' is given twice", twice);
	return status;
}

enum status choices_split(const char *list, struct choices *c, struct err *err)
{
	*c = (struct choices){.bytes = mem_copy(list, strlen(list))};
	enum status status = c->bytes ? cut(c, strlen(list), ",", err) : err_memory(err, "labels");

	if (status != STATUS_OK)
		choices_release(c);
	return status;
}

enum status choices_read(const char *path, struct choices *c, struct err *err)
{
	size_t size;

	*c = (struct choices){0};
	enum status status = file_read_text(path, LABELS_BYTES, &c->bytes, &size, err);
	if (status != STATUS_OK)
		return status;
	status = cut(c, size, "\n", err);
	if (status != STATUS_OK) {
		err_prefix(err, "'%s'", path);
		choices_release(c);
	}
	return status;
}

void choices_release(struct choices *c)
{
	free(c->names);
	free(c->bytes);
	*c = (struct choices){0};
}

static int by_probability(const void *a, const void *b)
{
	const struct ranked_choice *x = a, *y = b;

	if (x->probability != y->probability)
		return x->probability > y->probability ? -1 : 1;
	return (x->which > y->which) - (x->which < y->which);
}

void choices_rank(const float *photo, const float *names, size_t count, size_t E, double logit_scale,
		  struct ranked_choice *ranked)
{
	double most = -INFINITY, sum = 0;

	for (size_t i = 0; i < count; i++) {
		double cosine = engine_dot(photo, names + i * E, E);
		ranked[i] = (struct ranked_choice){i, logit_scale * cosine, (float)cosine};
		most = fmax(most, ranked[i].probability);
	}
	for (size_t i = 0; i < count; i++)
		sum += exp(ranked[i].probability - most);
	for (size_t i = 0; i < count; i++)
		ranked[i].probability = exp(ranked[i].probability - most) / sum;
	qsort(ranked, count, sizeof *ranked, by_probability);
}

void choices_sort(const float *p, size_t count, struct ranked_choice *ranked)
{
	for (size_t i = 0; i < count; i++)
		ranked[i] = (struct ranked_choice){i, (double)p[i], NAN};
	qsort(ranked, count, sizeof *ranked, by_probability);
}

/* ---- showing ---------------------------------------------------------------------------------------------------- */

static void format_json(const struct choices_said *said, const char *const *names, const struct ranked_choice *ranked, size_t n,
			struct buffer *out)
{
	buffer_text(out, "{\"path\":");
	json_string(out, said->path, said->path_size);
	if (said->question) {
		buffer_text(out, ",\"question\":");
		json_string(out, said->question, strlen(said->question));
	}
	buffer_text(out, said->question ? ",\"answers\":[" : ",\"labels\":[");
	for (size_t i = 0; i < n; i++) {
		const char *name = names[ranked[i].which];
		buffer_text(out, i ? "," : "");
		buffer_text(out, said->question ? "{\"answer\":" : "{\"label\":");
		json_string(out, name, strlen(name));
		buffer_text(out, ",\"probability\":");
		json_number(out, ranked[i].probability);
		if (isfinite(ranked[i].similarity)) {
			buffer_text(out, ",\"similarity\":");
			json_number(out, (double)ranked[i].similarity);
		}
		buffer_text(out, "}");
	}
	buffer_text(out, "]}\n");
}

void choices_format(const struct choices_said *said, const char *const *names, const struct ranked_choice *ranked, size_t n,
		    struct buffer *out)
{
	if (said->format == FORMAT_JSON) {
		format_json(said, names, ranked, n, out);
		return;
	}
	if (said->headed) {
		format_visible(said->path, said->path_size, out);
		buffer_text(out, "\n");
	}
	for (size_t i = 0; i < n; i++) {
		const char *name = names[ranked[i].which];
		buffer_format(out, "%3zu  %6.2f %%  ", i + 1, 100 * ranked[i].probability);
		format_visible(name, strlen(name), out);
		buffer_text(out, "\n");
	}
}
