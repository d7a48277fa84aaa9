/* classify.c: see classify.h. */
#include "query/teach/classify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "query/session/engine.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { LABELS_BYTES = 16 << 20 };

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum status check_distinct(const struct labels *labels, struct err *err)
{
	const char **sorted = mem_array(labels->count, sizeof *sorted);
	enum status status = sorted ? STATUS_OK : err_memory(err, "labels");

	if (status == STATUS_OK && labels->count) {
		memcpy(sorted, labels->names, labels->count * sizeof *sorted);
		qsort(sorted, labels->count, sizeof *sorted, by_name);
	}
	for (size_t i = 1; status == STATUS_OK && i < labels->count; i++)
		if (strcmp(sorted[i - 1], sorted[i]) == 0)
			status = err_set(err, STATUS_USAGE, "the label '%s' is given twice", sorted[i]);
	free(sorted);
	return status;
}

/* Cuts labels->bytes, which has a NUL behind it, at any of `ends`. */
static enum status cut(struct labels *labels, size_t size, const char *ends, struct err *err)
{
	char *rest = NULL;

	labels->names = mem_array(size / 2 + 1, sizeof *labels->names);
	if (!labels->names)
		return err_memory(err, "labels");
	for (char *name = strtok_r(labels->bytes, ends, &rest); name; name = strtok_r(NULL, ends, &rest)) {
		name += strspn(name, " \t\r");
		size_t n = strlen(name);
		while (n && strchr(" \t\r", name[n - 1]))
			name[--n] = '\0';
		if (n)
			labels->names[labels->count++] = name;
	}
	if (labels->count == 0)
		return err_set(err, STATUS_USAGE, "no label is given");
	return check_distinct(labels, err);
}

enum status labels_split(const char *list, struct labels *labels, struct err *err)
{
	*labels = (struct labels){.bytes = mem_copy(list, strlen(list))};
	enum status status = labels->bytes ? cut(labels, strlen(list), ",", err) : err_memory(err, "labels");

	if (status != STATUS_OK)
		labels_release(labels);
	return status;
}

enum status labels_read(const char *path, struct labels *labels, struct err *err)
{
	size_t size;

	*labels = (struct labels){0};
	enum status status = file_read_text(path, LABELS_BYTES, &labels->bytes, &size, err);
	if (status != STATUS_OK)
		return status;
	status = cut(labels, size, "\n", err);
	if (status != STATUS_OK) {
		err_prefix(err, "'%s'", path);
		labels_release(labels);
	}
	return status;
}

void labels_release(struct labels *labels)
{
	free(labels->names);
	free(labels->bytes);
	*labels = (struct labels){0};
}

static int by_probability(const void *a, const void *b)
{
	const struct ranked_label *x = a, *y = b;

	if (x->probability != y->probability)
		return x->probability > y->probability ? -1 : 1;
	return (x->label > y->label) - (x->label < y->label);
}

void classify(const float *photo, const float *labels, size_t count, size_t E, double logit_scale, struct ranked_label *ranked)
{
	double most = -INFINITY, sum = 0;

	for (size_t i = 0; i < count; i++) {
		double cosine = engine_dot(photo, labels + i * E, E);
		ranked[i] = (struct ranked_label){i, logit_scale * cosine, (float)cosine};
		most = fmax(most, ranked[i].probability);
	}
	for (size_t i = 0; i < count; i++)
		sum += exp(ranked[i].probability - most);
	for (size_t i = 0; i < count; i++)
		ranked[i].probability = exp(ranked[i].probability - most) / sum;
	qsort(ranked, count, sizeof *ranked, by_probability);
}

void classify_sort(const float *p, size_t count, struct ranked_label *ranked)
{
	for (size_t i = 0; i < count; i++)
		ranked[i] = (struct ranked_label){i, (double)p[i], NAN};
	qsort(ranked, count, sizeof *ranked, by_probability);
}
