/* labelling.c: see labelling.h. */
#include "query/teach/labelling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/heads/tune.h"
#include "query/session/tokens.h"
#include "schema/base/packed.h"
#include "schema/catalog/heads.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

enum { GROUP = 256 /* photographs labelled, and written, together */ };

/* ---- heads ------------------------------------------------------------------------------------------------------ */

static enum status parse_head(void *context, const struct catalog_head *row, struct err *err)
{
	return head_parse(row->bytes, row->size, row->name, context, err);
}

static enum status check_sort(const struct head *head, const char *name, bool answers, struct err *err)
{
	bool is = head->kind == HEAD_ANSWERS;

	if (is == answers)
		return STATUS_OK;
	return err_set(err, STATUS_USAGE,
		       is ? "the head '%s' answers questions, it does not label; hint: coca ask FILE QUESTION --head %s"
			  : "the head '%s' labels photographs, it does not answer; hint: coca classify FILE --head %s", name, name);
}

enum status labelling_find(struct library *library, const char *name, bool answers, struct head *head, struct err *err)
{
	char config[33], weights[33];
	struct stat st;
	enum status status;

	*head = (struct head){0};
	if (stat(name, &st) == 0 && S_ISREG(st.st_mode))
		status = head_open(name, head, err);
	else if (library->catalog && !strchr(name, '/'))
		status = catalog_heads_each(library->catalog, name, parse_head, head, err);
	else
		status = err_set(err, STATUS_NOT_FOUND, "there is no head '%s': no such file%s", name,
				 library->catalog ? "" : ", and no catalog; hint: coca tune labels teaches one");
	if (status == STATUS_NOT_FOUND)
		err->status = status = STATUS_USAGE;
	if (status == STATUS_OK)
		status = check_sort(head, name, answers, err);
	if (status == STATUS_OK)
		status = library_digests(library, config, weights, err);
	if (status == STATUS_OK)
		status = head_check(head, name, config, weights,
				    library->row.id ? library->row.name : coca_weights_path(library->engine.model), err);
	if (status != STATUS_OK)
		head_release(head);
	return status;
}

/* ---- labelling -------------------------------------------------------------------------------------------------- */

struct labelled {
	size_t stored, encoded, away; /* photographs: by stored tokens; encoded again; neither can be had */
};

struct group {
	struct tune_item items[GROUP];
	int64_t contents[GROUP];
	size_t count;
	float *embeddings;        /* [GROUP,D] of linear heads */
	float *p;                 /* [GROUP,C] */
	bool *has;                /* [C] */
};

static void release_items(struct group *g)
{
	for (size_t i = 0; i < g->count; i++)
		free((void *)g->items[i].blob);
	g->count = 0;
}

/* A linear head reads embeddings. */
static enum status load_embeddings(struct library *library, const int64_t *contents, size_t n, size_t D, struct group *g,
				   struct labelled *done, struct err *err)
{
	bool found[GROUP];
	enum status status = store_embeddings(library->store, STORE_PHOTOS, contents, n, g->embeddings, found, err);

	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		if (found[i]) {
			g->contents[g->count] = contents[i];
			g->items[g->count++] = (struct tune_item){.embedding = g->embeddings + i * D};
			done->stored++;
		}
	return status;
}

/* Others read what the encoder made: stored, or encoded again. */
static enum status load_tokens(struct library *library, const int64_t *contents, size_t n, struct group *g, struct labelled *done,
			       struct err *err)
{
	enum tokens_found found[GROUP];
	void *blobs[GROUP];
	size_t tokens, width;
	enum status status = tokens_get(&library->engine, library->store, TOKENS_ENCODER, contents, n, blobs, found, err);

	tokens_shape(&library->engine, TOKENS_ENCODER, &tokens, &width);
	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		done->stored += found[i] == TOKENS_STORED;
		done->encoded += found[i] == TOKENS_ENCODED;
		done->away += found[i] == TOKENS_AWAY;
		if (!blobs[i])
			continue;
		g->contents[g->count] = contents[i];
		g->items[g->count++] = (struct tune_item){.blob = blobs[i], .size = packed_tokens_size(tokens, width)};
	}
	return status;
}

static enum status label_group(struct library *library, int64_t id, const struct head *head, const int64_t *contents, size_t n,
			       struct group *g, struct labelled *done, struct err *err)
{
	enum status status = head->kind == HEAD_LINEAR ? load_embeddings(library, contents, n, head->D, g, done, err)
						       : load_tokens(library, contents, n, g, done, err);

	if (status == STATUS_OK)
		status = tune_measure(head, g->items, g->count, g->p, err);
	if (status == STATUS_OK)
		status = catalog_begin(library->catalog, err);
	if (status == STATUS_OK) {
		for (size_t i = 0; i < g->count && status == STATUS_OK; i++) {
			const float *p = g->p + i * head->labels_count;
			head_decide(head, p, g->has);
			status = catalog_scores_put(library->catalog, id, g->contents[i], p, g->has, head->labels_count, err);
		}
		if (status == STATUS_OK)
			status = catalog_commit(library->catalog, err);
		else
			catalog_rollback(library->catalog);
	}
	release_items(g);
	return status;
}

static void report(const struct library *library, const char *name, const struct labelled *done)
{
	if (done->encoded)
		listener_note(library->listener,
			      "%zu of %zu photos had no stored tokens for the head '%s' and were encoded again; hint: coca index has "
			      "--encoder-budget", done->encoded, done->stored + done->encoded, name);
	if (done->away)
		listener_note(library->listener,
			      "%zu photos are not labelled by '%s': they have no stored tokens, and their files are away",
			      done->away, name);
}

/* Labels what the installed head was not asked about yet. */
static enum status label_library(struct library *library, int64_t id, const struct head *head, struct labelled *done, struct err *err)
{
	struct group *g = mem_array(1, sizeof *g);
	size_t C = head->labels_count, n = 0;
	int64_t *contents = NULL;
	struct progress progress;
	enum status status = g ? catalog_unscored(library->catalog, id, library->row.id, &contents, &n, err) : err_memory(err, "labels");

	*done = (struct labelled){0};
	if (status != STATUS_OK)
		goto out;
	g->p = mem_floats(mem_product(GROUP, C));
	g->has = mem_array(C, sizeof *g->has);
	g->embeddings = mem_floats(head->kind == HEAD_LINEAR ? mem_product(GROUP, head->D) : 1);
	if (!g->p || !g->has || !g->embeddings)
		status = err_memory(err, "labels");
	progress_start(&progress, library->listener, "labelling", "photos");
	for (size_t at = 0; at < n && status == STATUS_OK; at += GROUP) {
		status = label_group(library, id, head, contents + at, n - at < GROUP ? n - at : GROUP, g, done, err);
		progress_show(&progress, at + GROUP < n ? at + GROUP : n, n);
	}
	progress_end(&progress);
out:
	if (g) {
		free(g->p);
		free(g->has);
		free(g->embeddings);
	}
	free(g);
	free(contents);
	return status;
}

enum status labelling_install(struct library *library, const char *name, struct head *head, struct err *err)
{
	struct labelled done;
	struct buffer bytes = {0};
	enum status status = head_bytes(head, &bytes, err);
	struct catalog_head row = {.model = library->row.id, .name = name, .bytes = bytes.data, .size = bytes.size};

	if (status == STATUS_OK && (!*name || strlen(name) > 255 || strchr(name, '/')))
		status = err_set(err, STATUS_USAGE, "'%s' is no name for a head: it is 1 to 255 bytes without a slash", name);
	if (status == STATUS_OK)
		status = head_check(head, name, library->row.config_digest, library->row.weights_digest, library->row.name, err);
	if (status == STATUS_OK)
		status = catalog_head_put(library->catalog, &row, (const char *const *)head->labels,
					  head->kind == HEAD_ANSWERS ? 0 : head->labels_count, err);
	buffer_release(&bytes);
	if (status != STATUS_OK || head->kind == HEAD_ANSWERS)
		return status;
	status = label_library(library, row.id, head, &done, err);
	if (status == STATUS_OK) {
		listener_note(library->listener,
			      "'%s' is installed; %zu photos of the library are labelled; hint: coca search label:%s", name,
			      done.stored + done.encoded, head->labels[0]);
		report(library, name, &done);
	}
	return status;
}

/* ---- queries ---------------------------------------------------------------------------------------------------- */

struct named_head {
	int64_t id;
	struct head *head;
	char name[256];
};

static enum status take_head(void *context, const struct catalog_head *row, struct err *err)
{
	struct named_head *wanted = context;

	if (row->id != wanted->id)
		return STATUS_OK;
	snprintf(wanted->name, sizeof wanted->name, "%s", row->name);
	return head_parse(row->bytes, row->size, row->name, wanted->head, err);
}

/* Labels what the head was not asked about; only its own model can. */
static enum status complete(struct library *library, const struct catalog_label *label, struct err *err)
{
	struct head head = {0};
	struct named_head named = {.id = label->head, .head = &head};
	struct labelled done;
	size_t missing;
	enum status status = catalog_unscored_count(library->catalog, label->head, label->model, &missing, err);

	if (status != STATUS_OK || missing == 0)
		return status;
	status = catalog_heads_each(library->catalog, NULL, take_head, &named, err);
	if (status == STATUS_OK)
		status = library_engine(library, err);
	if (status == STATUS_OK && library->row.id != label->model) {
		listener_note(library->listener,
			      "%zu photos are not labelled by '%s' yet, as it belongs to the model '%s'; hint: --model %s",
			      missing, named.name, head.model, head.model);
	} else if (status == STATUS_OK) {
		status = label_library(library, label->head, &head, &done, err);
		if (status == STATUS_OK)
			report(library, named.name, &done);
	}
	head_release(&head);
	return status;
}

static enum status resolve(struct library *library, struct photo_filter *filter, struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < filter->label_count && status == STATUS_OK; i++) {
		struct catalog_label label;
		status = store_label_find(library->store, filter->labels[i].name, &label, err);
		if (status != STATUS_OK)
			break;
		filter->labels[i].id = label.id;
		status = complete(library, &label, err);
	}
	return status;
}

enum status labelling_resolve(struct library *library, struct query *query, struct err *err)
{
	enum status status = resolve(library, &query->filter, err);

	for (size_t i = 0; i < query->except_count && status == STATUS_OK; i++)
		status = resolve(library, &query->except[i], err);
	return status;
}

enum status labelling_list(struct library *library, const struct photo_filter *filter, size_t limit, struct results *results,
			   struct err *err)
{
	int64_t *contents = NULL;
	double *probabilities = NULL;
	struct candidate *candidates = NULL;
	size_t n;
	enum status status =
		store_label_contents(library->store, filter->labels[0].id, filter->labels[0].least, &contents, &probabilities, &n, err);

	*results = (struct results){0};
	if (status == STATUS_OK && !(candidates = mem_array(n, sizeof *candidates)))
		status = err_memory(err, "the candidates");
	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		candidates[i] = (struct candidate){
			.content = contents[i], .similarity = NAN, .slot = i, .match = probabilities[i], .score = (double)NAN};
	if (status == STATUS_OK)
		status = search_photos(library->store, filter, candidates, n, NULL, limit, results, err);
	free(contents);
	free(probabilities);
	free(candidates);
	return status;
}
