/* teach.c: see teach.h. */
#include "query/teach/teach.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "query/teach/classes.h"
#include "schema/base/clock.h"

#include "schema/base/banned.h"

enum { EPOCHS_WITHOUT_STOP = 20 };

/* ---- grading ---------------------------------------------------------------------------------------------------- */

/* "a photo of a cat", "a photo of a dog": labels that begin with the same words are captions, and need no prompt around them. */
static bool are_captions(const char *const *labels, size_t n)
{
	size_t shared = strlen(labels[0]), words = 0;

	for (size_t i = 1; i < n; i++) {
		size_t k = 0;
		while (k < shared && labels[i][k] == labels[0][k])
			k++;
		shared = k;
	}
	for (size_t k = 0; k < shared; k++)
		words += labels[0][k] == ' ';
	return words >= 2;
}

static enum status embed_names(const struct lesson *l, float *names, struct err *err)
{
	struct engine *engine = &l->library->engine;
	enum status status = STATUS_OK;
	bool cut;

	if (!are_captions(l->labels, l->label_count))
		return classes_embed(l->listener, engine, l->labels, l->label_count, NULL, names, err);
	for (size_t c = 0; c < l->label_count && status == STATUS_OK; c++)
		status = engine_embed_text(engine, l->labels[c], strlen(l->labels[c]), names + c * engine->embed, &cut, err);
	return status;
}

/* p[n,C]: the labels' names as zero-shot classification has them; the softmax is left out, as it changes no order. */
static enum status by_words(const struct lesson *l, const struct tune_item *items, size_t n, float *p, struct err *err)
{
	size_t C = l->label_count, E = l->library->engine.embed;
	float *names = mem_floats(mem_product(C, E));
	enum status status = names ? embed_names(l, names, err) : err_memory(err, "probabilities");

	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		for (size_t c = 0; c < C; c++)
			p[i * C + c] = (float)engine_dot(items[i].embedding, names + c * E, E);
	free(names);
	return status;
}

/* What is held out, by the head, or by words where there is none. */
static enum status grade(const struct lesson *l, const struct head *head, struct grades *grades, struct err *err)
{
	struct tune_item *items = NULL;
	float *p = NULL;
	size_t n;
	enum status status = lesson_part(l, LESSON_HELD_OUT, &items, &n, err);

	*grades = (struct grades){0};
	if (status == STATUS_OK && n) {
		p = mem_floats(mem_product(n, l->label_count));
		if (!p)
			status = err_memory(err, "probabilities");
		else
			status = head ? tune_measure(head, items, n, p, err) : by_words(l, items, n, p, err);
		if (status == STATUS_OK)
			status = grades_make(l->labels, l->label_count, !lesson_is_single(l), items, p, n, grades, err);
	}
	free(items);
	free(p);
	return status;
}

enum status teach_nothing(const struct lesson *lesson, struct grades *grades, struct err *err)
{
	return grade(lesson, NULL, grades, err);
}

/* ---- teaching --------------------------------------------------------------------------------------------------- */

static enum status make_head(const struct lesson *l, const struct teach_options *options, struct head *head, struct err *err)
{
	const struct coca *model = l->library->engine.model;
	const struct config *config = coca_config(model);
	enum head_kind kind = options->kind;
	bool answers = kind == HEAD_ANSWERS;
	size_t D = kind == HEAD_LINEAR ? config->embed_dim : answers ? config->decoder.width : config->vision.width;
	size_t E = answers ? config->decoder.width : config->embed_dim;
	size_t heads = answers ? config->decoder.heads : config->pooling == POOL_NONE ? config->vision.heads : config->pool_heads;
	time_t now = time(NULL);
	struct tm date = {0};

	if (kind == HEAD_POOLER && config->pooling == POOL_NONE)
		E = D;
	enum status status = head_init(head, kind, l->labels, l->label_count, D, E, heads, options->queries, err);
	if (status == STATUS_OK)
		status = library_digests(l->library, head->config_digest, head->weights_digest, err);
	if (status != STATUS_OK)
		return status;
	snprintf(head->model, sizeof head->model, "%s", l->library->model);
	gmtime_r(&now, &date);
	strftime(head->made, sizeof head->made, "%Y-%m-%dT%H:%M:%SZ", &date);
	head->several = !lesson_is_single(l);
	head->photos = l->counts[LESSON_TRAIN] + l->counts[LESSON_STOP];
	head->held_out = l->counts[LESSON_HELD_OUT];
	bool own = options->own_start && kind == HEAD_POOLER && config->pooling != POOL_NONE;
	return tune_start(head, own ? coca_weights(model) : NULL, config, options->learn.seed, err);
}

static enum status learn(const struct lesson *l, const struct teach_options *options, struct taught *taught, struct err *err)
{
	struct tune_options learn = options->learn;
	struct tune_item *train = NULL, *stop = NULL;
	size_t n, m;
	enum status status = lesson_part(l, LESSON_TRAIN, &train, &n, err);

	if (status == STATUS_OK)
		status = lesson_part(l, LESSON_STOP, &stop, &m, err);
	if (status == STATUS_OK) {
		if (!m && !options->fixed_epochs)
			learn.epochs = EPOCHS_WITHOUT_STOP;
		/* A few photographs make more than one step, too. */
		while (learn.batch > 4 && n / learn.batch < 8 && !options->fixed_batch)
			learn.batch /= 2;
		status = tune_head(&taught->head, train, n, stop, m, &learn, &taught->result, err);
	}
	free(train);
	free(stop);
	return status;
}

enum status teach_head(const struct lesson *lesson, const struct teach_options *options, struct taught *taught, struct err *err)
{
	struct buffer bytes = {0};
	double start = clock_now();

	*taught = (struct taught){0};
	enum status status = make_head(lesson, options, &taught->head, err);
	if (status == STATUS_OK)
		status = learn(lesson, options, taught, err);
	if (status == STATUS_OK)
		status = head_bytes(&taught->head, &bytes, err); /* what is measured is what is stored */
	taught->seconds = clock_now() - start;
	if (status == STATUS_OK)
		status = grade(lesson, &taught->head, &taught->grades, err);
	if (status == STATUS_OK && taught->grades.photos)
		taught->head.accuracy = taught->grades.accuracy;
	buffer_release(&bytes);
	return status;
}

void taught_release(struct taught *taught)
{
	grades_release(&taught->grades);
	head_release(&taught->head);
}
