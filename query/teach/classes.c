/* classes.c: see classes.h. */
#include "query/teach/classes.h"

#include <stdlib.h>
#include <string.h>

#include "model/math/normalise.h"
#include "model/words/names.h"
#include "model/words/prompts.h"
#include "schema/base/memory.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

/* ---- embedding -------------------------------------------------------------------------------------------------- */

/* All prompts of one class as one batch. */
static enum status embed_class(struct engine *engine, const char *name, const struct prompts *t, struct coca_text *texts,
			       int32_t **ids, float *each /* [templates,E] */, float *embedding /* [E] */, struct err *err)
{
	enum status status = STATUS_OK;
	bool cut;

	for (size_t i = 0; i < t->count && status == STATUS_OK; i++) {
		char *prompt = prompts_fill(t->lines[i], name);
		status = prompt ? engine_text_ids(engine, prompt, strlen(prompt), &ids[i], &texts[i], &cut, err)
				: err_memory(err, "a prompt");
		free(prompt);
	}
	if (status == STATUS_OK)
		status = coca_encode_texts(engine->model, engine->state, texts, t->count, each, NULL, err);
	for (size_t i = 0; i < t->count; i++) {
		free(ids[i]);
		ids[i] = NULL;
	}
	if (status != STATUS_OK)
		return status;
	memset(embedding, 0, engine->embed * sizeof *embedding);
	for (size_t i = 0; i < t->count * engine->embed; i++)
		embedding[i % engine->embed] += each[i];
	normalise_rows(embedding, 1, engine->embed, embedding, NULL);
	return STATUS_OK;
}

enum status classes_embed(const struct listener *listener, struct engine *engine, const char *const *names, size_t n, const char *templates,
			  float *embeddings, struct err *err)
{
	struct prompts t = {0};
	struct coca_text *texts = NULL;
	int32_t **ids = NULL;
	float *each = NULL; /* [templates,E] */
	struct progress progress;
	enum status status = prompts_read(templates, &t, err);

	if (status == STATUS_OK) {
		texts = mem_array(t.count, sizeof *texts);
		ids = mem_array(t.count, sizeof *ids);
		each = mem_floats(mem_product(t.count, engine->embed));
		status = texts && ids && each ? STATUS_OK : err_memory(err, "prompts");
	}

	progress_start(&progress, listener, "encoding", "classes");
	for (size_t c = 0; c < n && status == STATUS_OK; c++) {
		status = embed_class(engine, names[c], &t, texts, ids, each, embeddings + c * engine->embed, err);
		progress_show(&progress, c + 1, n);
	}
	progress_end(&progress);
	prompts_release(&t);
	free(texts);
	free(ids);
	free(each);
	return status;
}

enum status classes_recall(const struct listener *listener, struct engine *engine, const struct evalset *set, const char *templates,
			   size_t *classes, struct recall *recall, struct err *err)
{
	struct ranking ranking = {0};
	const char **names = NULL;
	uint32_t *owner = mem_array(set->photos, sizeof *owner), *first = mem_array(set->photos, sizeof *first);
	float *embeddings = NULL;
	enum status status = owner && first ? STATUS_OK : err_memory(err, "classes");

	if (status == STATUS_OK)
		status = names_number((const char *const *)set->first, set->photos, owner, first, classes, err);
	if (status == STATUS_OK) {
		embeddings = mem_floats(mem_product(*classes, engine->embed));
		names = mem_array(*classes, sizeof *names);
		status = embeddings && names ? STATUS_OK : err_memory(err, "embeddings");
	}
	for (size_t c = 0; status == STATUS_OK && c < *classes; c++)
		names[c] = prompts_name(set->first[first[c]]);
	if (status == STATUS_OK)
		status = classes_embed(listener, engine, names, *classes, templates, embeddings, err);
	if (status == STATUS_OK)
		status = ranking_make(set->photo_features, owner, set->photos, embeddings, NULL, *classes, engine->embed, 0,
				      &ranking, err);
	if (status == STATUS_OK)
		*recall = recall_of(ranking.place, set->photos);
	ranking_release(&ranking);
	free(names);
	free(embeddings);
	free(owner);
	free(first);
	return status;
}
