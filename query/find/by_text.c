/* by_text.c: see by_text.h. */
#include "query/find/by_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "query/find/texts.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum {
	SAMPLE = 256,
	FEW = 64,       /* fewer tied texts are joined by the sentences below */
	CONTENTS_MOST = 1000, /* found by text at a time: of more that are wanted, nearly all are among those found by pixels */
	LIFTED = 500,  /* candidates whose texts are in memory at the same time */
	OVERSIZE = 8,   /* texts looked at for each photo wanted, as several may be tied to one */
	TOLD = 2        /* deviations of a text above the pixels from which on it alone is believed */
};

static const char *const sentences[] = {
	"a dog lies on the grass", "two people walk along a beach", "a plate of food on a wooden table", "a red car parked in the street",
	"mountains with snow under a blue sky", "a child plays with a ball", "an old house with a garden", "a cat sleeps on a sofa",
	"a group of friends at a party", "a river in a forest", "a man rides a bicycle", "a woman reads a book", "flowers in a vase",
	"a boat on a lake at sunset", "a crowded city square at night", "a birthday cake with candles", "a train at a station",
	"a football match in a stadium", "a bird on a branch", "the interior of a church", "a laptop and a cup of coffee on a desk",
	"a bridge over the water", "a horse in a field", "fireworks", "a receipt", "a wedding couple", "a baby in a cradle",
	"an airplane in the sky", "a map of the town", "a portrait of an old man", "a kitchen with white cupboards", "rain on a window",
};
enum { SENTENCES = sizeof sentences / sizeof *sentences };

/* ---- scale ------------------------------------------------------------------------------------------------------ */

void by_text_moments(const double *x, size_t n, double *mean, double *deviation)
{
	double sum = 0, square = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i];
	*mean = n ? sum / (double)n : 0;
	for (size_t i = 0; i < n; i++)
		square += (x[i] - *mean) * (x[i] - *mean);
	*deviation = n > 1 ? sqrt(square / (double)(n - 1)) : 0;
}

/* A collection too small to have a deviation takes the other's. */
double by_text_equivalent(const struct by_text_scale *s, double cosine)
{
	if (!(s->text_deviation > 0) || !(s->photo_deviation > 0))
		return s->photo_mean + cosine - s->text_mean;
	return s->photo_mean + s->photo_deviation * (cosine - s->text_mean) / s->text_deviation;
}

/* Of a sample, those that are embedded. */
static enum status sample_cosines(struct library *library, enum store_sample kind, const float *query, double *cosines /* [SAMPLE] */, size_t *n,
				  struct err *err)
{
	int64_t ids[SAMPLE];
	bool found[SAMPLE];
	size_t count = 0, E = library->engine.embed;
	float *embeddings = mem_floats(mem_product(SAMPLE, E));
	enum status status = embeddings ? store_sample(library->store, kind, SAMPLE, ids, &count, err) : err_memory(err, "embeddings");

	*n = 0;
	if (status == STATUS_OK)
		status = store_embeddings(library->store, kind == STORE_TIED ? STORE_TEXTS : STORE_PHOTOS, ids, count, embeddings, found, err);
	for (size_t i = 0; status == STATUS_OK && i < count; i++)
		if (found[i])
			cosines[(*n)++] = engine_dot(query, embeddings + i * E, E);
	free(embeddings);
	return status;
}

/* The cosines of the everyday sentences, behind the n that are there. */
static enum status sentence_cosines(struct engine *engine, const float *query, double *cosines, size_t *n, struct err *err)
{
	struct coca_text texts[SENTENCES];
	int32_t *ids[SENTENCES] = {0};
	float *embeddings = mem_floats(mem_product(SENTENCES, engine->embed));
	enum status status = embeddings ? STATUS_OK : err_memory(err, "embeddings");
	bool cut;

	for (size_t i = 0; i < SENTENCES && status == STATUS_OK; i++)
		status = engine_text_ids(engine, sentences[i], strlen(sentences[i]), &ids[i], &texts[i], &cut, err);
	if (status == STATUS_OK)
		status = coca_encode_texts(engine->model, engine->state, texts, SENTENCES, embeddings, NULL, err);
	for (size_t i = 0; i < SENTENCES; i++) {
		if (status == STATUS_OK)
			cosines[(*n)++] = engine_dot(query, embeddings + i * engine->embed, engine->embed);
		free(ids[i]);
	}
	free(embeddings);
	return status;
}

static enum status find_scale(struct library *library, const float *query, struct by_text_scale *scale, struct err *err)
{
	double cosines[SAMPLE];
	size_t n;
	enum status status = sample_cosines(library, STORE_THERE, query, cosines, &n, err);

	if (status != STATUS_OK)
		return status;
	by_text_moments(cosines, n, &scale->photo_mean, &scale->photo_deviation);
	status = sample_cosines(library, STORE_TIED, query, cosines, &n, err);
	if (status == STATUS_OK && n < FEW)
		status = sentence_cosines(&library->engine, query, cosines, &n, err);
	by_text_moments(cosines, n, &scale->text_mean, &scale->text_deviation);
	return status;
}

/* ---- contents by text ------------------------------------------------------------------------------------------- */

struct finding {
	struct library *library;
	const struct passing *passing;
	const float *query;
	size_t wanted;               /* distinct contents */
	int64_t *contents;           /* [wanted] */
	size_t count;
};

static bool is_among(const int64_t *contents, size_t n, int64_t content)
{
	size_t k = 0;

	while (k < n && contents[k] != content)
		k++;
	return k < n;
}

/* Keeps those of n contents that have a photograph which is there. */
static enum status keep_there(struct store *store, int64_t *contents, size_t *n, struct err *err)
{
	struct store_photos photos;
	size_t kept = 0;
	enum status status = store_photos(store, contents, *n, NULL, &photos, err);

	for (size_t i = 0, k = 0; status == STATUS_OK && i < photos.count; i++)
		if (!kept || contents[kept - 1] != photos.rows[i].content) { /* rows come in the order of the contents */
			while (contents[k] != photos.rows[i].content)
				k++;
			contents[kept++] = contents[k];
		}
	store_photos_release(&photos);
	*n = kept;
	return status;
}

/* The distinct contents of n texts, in their order, which have a photograph that is there and passes: what the tied texts are listed for
 * passes already; of all others a photograph must be there. */
static enum status collect(struct finding *f, const int64_t *texts, size_t n, struct err *err)
{
	enum status status = STATUS_OK;

	f->count = 0;
	while (n && texts[n - 1] == 0)
		n--;
	for (size_t at = 0; at < n && f->count < f->wanted && status == STATUS_OK; at += f->wanted) {
		struct store_texts found;
		size_t before = f->count, more = 0;
		int64_t *contents = mem_array(f->wanted, sizeof *contents);
		status = contents ? store_texts(f->library->store, texts + at, n - at < f->wanted ? n - at : f->wanted, &found, err)
				  : err_memory(err, "the photos found");
		for (size_t i = 0; status == STATUS_OK && i < found.count; i++) {
			int64_t content = found.rows[i].photo_content;
			if (content && !is_among(f->contents, before, content) && !is_among(contents, more, content))
				contents[more++] = content;
		}
		if (contents)
			store_texts_release(&found);
		if (status == STATUS_OK && f->passing->all)
			status = keep_there(f->library->store, contents, &more, err);
		for (size_t i = 0; status == STATUS_OK && i < more && f->count < f->wanted; i++)
			f->contents[f->count++] = contents[i];
		free(contents);
	}
	return status;
}

/* Among all texts, tied or not, through the index. *enough: no tied text beyond those looked at can matter. */
static enum status search_index(struct finding *f, bool *enough, struct err *err)
{
	struct store *store = f->library->store;
	size_t most = 0, k = 0;
	float *scores = NULL;
	int64_t *texts = NULL;
	enum status status = store_count(store, STORE_TEXTS, &most, err);

	if (status == STATUS_OK) {
		k = mem_product(f->wanted, OVERSIZE) < most ? f->wanted * OVERSIZE : most;
		scores = mem_floats(k);
		texts = mem_array(k, sizeof *texts);
		status = scores && texts ? store_nearest(store, STORE_TEXTS, f->query, NULL, 0, k, scores, texts, err)
					 : err_memory(err, "the texts found");
	}
	if (status == STATUS_OK)
		status = collect(f, texts, k, err);
	*enough = f->count == f->wanted || k == most;
	free(scores);
	free(texts);
	return status;
}

/* Among these texts, the best first; more of them as long as those looked at have too few contents. */
static enum status search_some(struct finding *f, const int64_t *texts, size_t n, struct err *err)
{
	size_t k = mem_product(f->wanted, OVERSIZE) < n ? f->wanted * OVERSIZE : n;
	enum status status = STATUS_OK;

	for (bool done = n == 0; !done && status == STATUS_OK; k = mem_product(k, OVERSIZE) < n ? k * OVERSIZE : n) {
		float *scores = mem_floats(k);
		int64_t *found = mem_array(k, sizeof *found);
		status = scores && found ? store_nearest(f->library->store, STORE_TEXTS, f->query, texts, n, k, scores, found, err)
					 : err_memory(err, "the texts found");
		if (status == STATUS_OK)
			status = collect(f, found, k, err);
		done = k == n || f->count == f->wanted;
		free(scores);
		free(found);
	}
	return status;
}

/* Exactly, among the tied texts that pass. */
static enum status search_tied(struct finding *f, struct err *err)
{
	const struct passing *passing = f->passing;
	int64_t *texts = NULL;
	size_t n;
	enum status status =
		store_texts_tied(f->library->store, passing->all ? NULL : passing->contents, passing->all ? 0 : passing->count, &texts, &n, err);

	if (status == STATUS_OK)
		status = search_some(f, texts, n, err);
	free(texts);
	return status;
}

/* ---- together --------------------------------------------------------------------------------------------------- */

/* By the best of its texts, if that is above its pixels. */
static void lift(const struct by_text_scale *scale, int64_t text, double cosine, struct candidate *c)
{
	double above = by_text_equivalent(scale, cosine) - (double)c->similarity;

	if (!(above > 0))
		return;
	c->text = text;
	c->text_similarity = (float)cosine;
	c->lift = (float)above;
	c->told = scale->photo_deviation > 0 ? (float)fmin(1, above / (TOLD * scale->photo_deviation)) : 1;
	c->score = (double)c->similarity + (double)c->lift;
}

static enum status lift_some(struct library *library, const struct by_text_scale *scale, const float *query, struct candidate *candidates, size_t n,
			     struct err *err)
{
	int64_t contents[LIFTED];
	struct store_texts texts;
	size_t t = 0, E = library->engine.embed;

	for (size_t i = 0; i < n; i++)
		contents[i] = candidates[i].content;
	enum status status = store_texts_of(library->store, contents, n, true, &texts, err);
	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		int64_t text = 0;
		double cosine = 0;
		for (; t < texts.count && texts.rows[t].photo_content == contents[i]; t++) {
			double its = texts.embedded[t] ? engine_dot(query, texts.embeddings + t * E, E) : 0;
			if (texts.embedded[t] && (!text || its > cosine)) {
				text = texts.rows[t].id;
				cosine = its;
			}
		}
		if (text)
			lift(scale, text, cosine, &candidates[i]);
	}
	store_texts_release(&texts);
	return status;
}

static int by_score(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return (x->content > y->content) - (x->content < y->content);
}

/* The contents found by text that pixels did not find, with their similarity, behind the candidates. */
static enum status append(const struct finding *f, struct candidate *candidates, size_t *count, struct err *err)
{
	size_t nearest = *count, n = 0, E = f->library->engine.embed;
	int64_t *contents = mem_array(f->count, sizeof *contents);
	float *embeddings = mem_floats(mem_product(f->count, E));
	bool *found = mem_array(f->count, sizeof *found);
	enum status status = contents && embeddings && found ? STATUS_OK : err_memory(err, "the photos found");

	for (size_t i = 0; i < f->count && status == STATUS_OK; i++) {
		size_t k = 0;
		while (k < nearest && candidates[k].content != f->contents[i])
			k++;
		if (k == nearest)
			contents[n++] = f->contents[i];
	}
	if (status == STATUS_OK && n)
		status = store_embeddings(f->library->store, STORE_PHOTOS, contents, n, embeddings, found, err);
	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		if (!found[i])
			continue;
		float similarity = (float)engine_dot(f->query, embeddings + i * E, E);
		candidates[(*count)++] = (struct candidate){.content = contents[i], .similarity = similarity, .score = (double)similarity};
	}
	free(contents);
	free(embeddings);
	free(found);
	return status;
}

static enum status find_contents(struct finding *f, struct err *err)
{
	bool enough = false;
	enum status status = f->passing->all ? search_index(f, &enough, err) : STATUS_OK;

	return status == STATUS_OK && !enough ? search_tied(f, err) : status;
}

enum status by_text_ready(struct library *library, struct err *err)
{
	bool any;
	enum status status = store_any_tied(library->store, &any, err);

	return status == STATUS_OK && any ? texts_ready(library, err) : status;
}

enum status by_text_widen(struct library *library, const struct passing *passing, const float *embedding, size_t k,
			  struct candidate **candidates, size_t *count, struct err *err)
{
	struct finding f = {.library = library, .passing = passing, .query = embedding, .wanted = k < CONTENTS_MOST ? k : CONTENTS_MOST};
	struct by_text_scale scale;
	bool any;
	enum status status = store_any_tied(library->store, &any, err);

	if (status != STATUS_OK || !any)
		return status;
	status = find_scale(library, embedding, &scale, err);
	if (status != STATUS_OK)
		return status;
	f.contents = mem_array(f.wanted, sizeof *f.contents);
	status = f.contents ? find_contents(&f, err) : err_memory(err, "the photos found");
	if (status == STATUS_OK) {
		struct candidate *wider = mem_resize(*candidates, *count + f.count, sizeof *wider);
		*candidates = wider ? wider : *candidates;
		status = wider ? append(&f, wider, count, err) : err_memory(err, "the photos found");
	}
	for (size_t i = 0; i < *count && status == STATUS_OK; i += LIFTED)
		status = lift_some(library, &scale, embedding, *candidates + i, *count - i < LIFTED ? *count - i : LIFTED, err);
	if (status == STATUS_OK)
		qsort(*candidates, *count, sizeof **candidates, by_score);
	*count = *count < k ? *count : k;
	for (size_t i = 0; i < *count; i++)
		(*candidates)[i].slot = i;
	free(f.contents);
	return status;
}
