/* by_text.c: see by_text.h. */
#include "query/find/by_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "query/find/texts.h"
#include "schema/catalog/texts.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum {
	SAMPLE = 256,
	FEW = 64,       /* fewer tied texts are joined by the sentences below */
	CONTENTS_MOST = 1000, /* found by text at a time: of more that are wanted, nearly all are among those found by pixels */
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

void tied_moments(const double *x, size_t n, double *mean, double *deviation)
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
double tied_equivalent(const struct tied_scale *s, double cosine)
{
	if (!(s->text_deviation > 0) || !(s->photo_deviation > 0))
		return s->photo_mean + cosine - s->text_mean;
	return s->photo_mean + s->photo_deviation * (cosine - s->text_mean) / s->text_deviation;
}

static enum status photo_cosines(struct library *library, const float *query, double *cosines /* [SAMPLE] */, size_t *n, struct err *err)
{
	int64_t contents[SAMPLE];
	size_t count, E = library->engine.embed;
	bool found;
	float *embedding = mem_floats(E);
	enum status status = embedding ? catalog_contents_sample(library->catalog, SAMPLE, contents, &count, err) : err_memory(err, "an embedding");

	*n = 0;
	for (size_t i = 0; status == STATUS_OK && i < count; i++) {
		status = catalog_embedding_get(library->catalog, contents[i], library->row.id, embedding, E, &found, err);
		if (status == STATUS_OK && found)
			cosines[(*n)++] = engine_dot(query, embedding, E);
	}
	free(embedding);
	return status;
}

static enum status text_cosines(struct library *library, const float *query, double *cosines /* [SAMPLE] */, size_t *n, struct err *err)
{
	int64_t texts[SAMPLE];
	size_t count, E = library->engine.embed;
	bool found;
	float *embedding = mem_floats(E);
	enum status status = embedding ? catalog_texts_tied_sample(library->catalog, SAMPLE, texts, &count, err) : err_memory(err, "an embedding");

	*n = 0;
	for (size_t i = 0; status == STATUS_OK && i < count; i++) {
		status = catalog_text_embedding_get(library->catalog, texts[i], library->row.id, embedding, E, &found, err);
		if (status == STATUS_OK && found)
			cosines[(*n)++] = engine_dot(query, embedding, E);
	}
	free(embedding);
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

static enum status find_scale(struct library *library, const float *query, struct tied_scale *scale, struct err *err)
{
	double cosines[SAMPLE];
	size_t n;
	enum status status = photo_cosines(library, query, cosines, &n, err);

	if (status != STATUS_OK)
		return status;
	tied_moments(cosines, n, &scale->photo_mean, &scale->photo_deviation);
	status = text_cosines(library, query, cosines, &n, err);
	if (status == STATUS_OK && n < FEW)
		status = sentence_cosines(&library->engine, query, cosines, &n, err);
	tied_moments(cosines, n, &scale->text_mean, &scale->text_deviation);
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

static enum status take_content(void *context, const struct catalog_text *text, const float *embedding, struct err *err)
{
	(void)embedding;
	(void)err;
	*(int64_t *)context = text->photo_content;
	return STATUS_OK;
}

/* What the tied texts are listed for passes already; of all others a photograph must be there. */
static enum status is_there(const struct finding *f, int64_t content, bool *there, struct err *err)
{
	struct buffer path = {0};
	enum status status = f->passing->all ? library_path(f->library, content, NULL, &path, err) : STATUS_OK;

	*there = !f->passing->all || path.data;
	buffer_release(&path);
	return status;
}

/* The distinct contents of n texts, in their order, which have a photograph that is there and passes. */
static enum status collect(struct finding *f, const int64_t *texts, size_t n, struct err *err)
{
	f->count = 0;
	for (size_t i = 0; i < n && texts[i] && f->count < f->wanted; i++) {
		int64_t content = 0;
		size_t k = 0;
		bool there;
		enum status status = catalog_text_get(f->library->catalog, texts[i], take_content, &content, err);
		if (status != STATUS_OK && status != STATUS_NOT_FOUND)
			return status;
		while (k < f->count && f->contents[k] != content)
			k++;
		if (content == 0 || k < f->count)
			continue;
		status = is_there(f, content, &there, err);
		if (status != STATUS_OK)
			return status;
		if (there)
			f->contents[f->count++] = content;
	}
	return STATUS_OK;
}

/* Among all texts, tied or not, through the index. *enough: no tied text beyond those looked at can matter. */
static enum status search_index(struct finding *f, bool *enough, struct err *err)
{
	struct vectors_options options = {.set = VECTORS_TEXTS};
	struct vectors *vectors = NULL;
	float *scores = NULL;
	int64_t *texts = NULL;
	enum status status = vectors_open(f->library->catalog, &f->library->row, &options, &vectors, err);

	if (status != STATUS_OK)
		return status;
	size_t most = vectors_count(vectors), k = mem_product(f->wanted, OVERSIZE) < most ? f->wanted * OVERSIZE : most;
	scores = mem_floats(k);
	texts = mem_array(k, sizeof *texts);
	status = scores && texts ? vectors_search(vectors, f->query, 1, k, scores, texts, err) : err_memory(err, "the texts found");
	if (status == STATUS_OK)
		status = collect(f, texts, k, err);
	*enough = f->count == f->wanted || k == most;
	free(scores);
	free(texts);
	vectors_close(vectors);
	return status;
}

/* Among these texts, the best first; more of them as long as those looked at have too few contents. */
static enum status search_some(struct finding *f, struct vectors *vectors, const int64_t *texts, size_t n, struct err *err)
{
	size_t k = mem_product(f->wanted, OVERSIZE) < n ? f->wanted * OVERSIZE : n;
	enum status status = STATUS_OK;

	for (bool done = n == 0; !done && status == STATUS_OK; k = mem_product(k, OVERSIZE) < n ? k * OVERSIZE : n) {
		float *scores = mem_floats(k);
		int64_t *found = mem_array(k, sizeof *found);
		status = scores && found ? vectors_search_some(vectors, texts, n, f->query, 1, k, scores, found, err)
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
	struct vectors_options options = {.set = VECTORS_TEXTS};
	struct vectors *vectors = NULL;
	int64_t *texts = NULL;
	size_t n;
	enum status status = f->passing->all ? catalog_texts_tied(f->library->catalog, NULL, 0, &texts, &n, err)
					     : catalog_texts_tied(f->library->catalog, f->passing->contents, f->passing->count, &texts, &n, err);

	if (status == STATUS_OK)
		status = vectors_open(f->library->catalog, &f->library->row, &options, &vectors, err);
	if (status == STATUS_OK)
		status = search_some(f, vectors, texts, n, err);
	vectors_close(vectors);
	free(texts);
	return status;
}

/* ---- together --------------------------------------------------------------------------------------------------- */

struct best_text {
	const float *query;
	size_t E;
	int64_t text;
	double cosine;
};

static enum status compare_text(void *context, const struct catalog_text *text, const float *embedding, struct err *err)
{
	struct best_text *best = context;
	(void)err;

	if (!embedding)
		return STATUS_OK;
	double cosine = engine_dot(best->query, embedding, best->E);
	if (!best->text || cosine > best->cosine) {
		best->text = text->id;
		best->cosine = cosine;
	}
	return STATUS_OK;
}

static enum status lift(struct library *library, const struct tied_scale *scale, const float *query, struct candidate *c, struct err *err)
{
	struct best_text best = {.query = query, .E = library->engine.embed};
	enum status status = catalog_texts_of_content(library->catalog, c->content, library->row.id, best.E, compare_text, &best, err);

	if (status != STATUS_OK || !best.text)
		return status;
	double above = tied_equivalent(scale, best.cosine) - (double)c->similarity;
	if (above > 0) {
		c->text = best.text;
		c->text_similarity = (float)best.cosine;
		c->lift = (float)above;
		c->told = scale->photo_deviation > 0 ? (float)fmin(1, above / (TOLD * scale->photo_deviation)) : 1;
		c->score = (double)c->similarity + (double)c->lift;
	}
	return STATUS_OK;
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
	struct library *library = f->library;
	size_t nearest = *count, E = library->engine.embed;
	float *embedding = mem_floats(E);
	enum status status = embedding ? STATUS_OK : err_memory(err, "an embedding");
	bool found;

	for (size_t i = 0; i < f->count && status == STATUS_OK; i++) {
		size_t k = 0;
		while (k < nearest && candidates[k].content != f->contents[i])
			k++;
		if (k < nearest)
			continue;
		status = catalog_embedding_get(library->catalog, f->contents[i], library->row.id, embedding, E, &found, err);
		if (status != STATUS_OK || !found)
			continue;
		float similarity = (float)engine_dot(f->query, embedding, E);
		candidates[(*count)++] = (struct candidate){.content = f->contents[i], .similarity = similarity, .score = (double)similarity};
	}
	free(embedding);
	return status;
}

static enum status find_contents(struct finding *f, struct err *err)
{
	bool enough = false;
	enum status status = f->passing->all ? search_index(f, &enough, err) : STATUS_OK;

	return status == STATUS_OK && !enough ? search_tied(f, err) : status;
}

enum status tied_widen(struct library *library, const struct passing *passing, const float *embedding, size_t k,
		       struct candidate **candidates, size_t *count, struct err *err)
{
	struct finding f = {.library = library, .passing = passing, .query = embedding, .wanted = k < CONTENTS_MOST ? k : CONTENTS_MOST};
	struct tied_scale scale;
	bool any;
	enum status status = catalog_texts_any_tied(library->catalog, &any, err);

	if (status != STATUS_OK || !any)
		return status;
	status = texts_ready(library, err);
	if (status == STATUS_OK)
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
	for (size_t i = 0; i < *count && status == STATUS_OK; i++)
		status = lift(library, &scale, embedding, &(*candidates)[i], err);
	if (status == STATUS_OK)
		qsort(*candidates, *count, sizeof **candidates, by_score);
	*count = *count < k ? *count : k;
	for (size_t i = 0; i < *count; i++)
		(*candidates)[i].slot = i;
	free(f.contents);
	return status;
}
