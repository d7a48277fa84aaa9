/* tune.c: coca tune: a head is taught on photographs with labels, or on questions with answers, and told how well it does.
 *
 *     sources -> lesson (tokens, once) -> learning, early stopping -> measured on what is held out -> file, catalog
 */
#include "query/commands/commands.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "query/commands/open.h"
#include "query/teach/classes.h"
#include "query/show/format.h"
#include "query/teach/labelling.h"
#include "query/teach/lesson.h"
#include "query/teach/grades.h"
#include "schema/base/json.h"
#include "schema/base/embed.h"
#include "schema/base/clock.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_tune, "query/commands/tune.txt");

enum { EPOCHS_WITHOUT_STOP = 20 };

enum source { SOURCE_TABLE, SOURCE_SHARD, SOURCE_PICK };

struct options {
	struct tune_options learn;
	struct option_list sources, filters;
	const char *out, *name;
	size_t limit, pick_count, queries, holdout, budget;
	size_t rest;                 /* 0: none; REST_USUAL: as many as is usual */
	bool linear, from_scratch, compare;
	enum format format;
};
#define REST_USUAL SIZE_MAX

static const struct option_spec options[] = {
	OPTION_TEXT(struct options, out, "out", 'o', "FILE", OPTION_FILE, "write the head to a file"),
	OPTION_TEXT(struct options, name, "name", 0, "NAME", 0,
		    "install the head in the catalog under this name, and label the library with it"),
	OPTION_LIST(struct options, sources, "tsv", 0, "FILE", OPTION_MANY | OPTION_FILE, SOURCE_TABLE,
		    "lines of path, tab, label [tab label...]; of answers: path, tab, question, tab, answer"),
	OPTION_LIST(struct options, sources, "shards", 0, "TAR", OPTION_MANY | OPTION_FILE, SOURCE_SHARD,
		    "a WebDataset tar, plain or .gz: the first caption is the label (of answers: question, tab, answer)"),
	OPTION_NUMBER(struct options, limit, "limit", 0, "N", 1, SIZE_MAX, 0, "the first N photos of each shard only"),
	OPTION_LIST(struct options, sources, "pick", 0, "LABEL=WHAT", OPTION_MANY, SOURCE_PICK,
		    "photos of the library: at or below the path WHAT, or nearest to the words WHAT; nothing: all that pass the filters"),
	OPTION_NUMBER(struct options, pick_count, "pick-count", 0, "N", 1, 1000000, 50, "how many are nearest to words (default %)"),
	OPTION_BARE_NUMBER(struct options, rest, "rest", 0, "N", 1, 10000000, 0, REST_USUAL,
			   "N other photos of the library, without a label (default: three times as many, at least 50)"),
	FILTER_OPTIONS(struct options, filters),
	OPTION_NUMBER(struct options, queries, "queries", 0, "N", 1, 64, 1, "queries of the pooler (default %)"),
	OPTION_FLAG(struct options, linear, "linear", 0, "a linear map on the embedding instead of a pooler on the encoder's tokens"),
	OPTION_FLAG(struct options, from_scratch, "from-scratch", 0, "start the pooler from random values, not from the model's own"),
	OPTION_FLAG(struct options, compare, "compare", 0,
		    "also measure zero-shot classification and a linear probe on the same photos"),
	OPTION_NUMBER(struct options, holdout, "holdout", 0, "N", 0, 1000000, 10,
		      "keep every Nth photo of a label, or of a shard, aside to measure on; 0: none (default %)"),
	OPTION_NUMBER(struct options, learn.epochs, "epochs", 0, "N", 1, 100000, 40,
		      "how often to go through the photos at most (default %; linear 100)"),
	OPTION_NUMBER(struct options, learn.patience, "patience", 0, "N", 0, 100000, 6,
		      "stop after N epochs without a lower loss on a tenth that is not learned from (default %)"),
	OPTION_NUMBER(struct options, learn.batch, "batch", 0, "N", 1, 4096, 32, "photos of a step (default %, fewer of few)"),
	OPTION_REAL(struct options, learn.rate, "lr", 0, "X", 0, 1e3, 1e-3, "highest learning rate (default %)"),
	OPTION_REAL(struct options, learn.weight_decay, "weight-decay", 0, "X", 0, 100, 0.05, "of matrices (default %)"),
	OPTION_REAL(struct options, learn.drop, "drop", 0, "X", 0, 0.9, 0.3, "share of a photo's tokens left out of each step (default %)"),
	OPTION_REAL(struct options, learn.smoothing, "smoothing", 0, "X", 0, 0.9, 0.1,
		    "share of the target that all labels have in equal parts (default %)"),
	OPTION_REAL(struct options, learn.balance, "balance", 0, "X", 0, 1, 0.5, "0: every photo counts alike, 1: every label does (default %)"),
	OPTION_NUMBER(struct options, learn.seed, "seed", 0, "N", 0, SIZE_MAX, 1, "of everything random (default %)"),
	OPTION_SIZE(struct options, budget, "encoder-budget", 0, "SIZE", (size_t)1 << 30,
		    "keep at most this much of the encoder's tokens in the catalog (default %)"),
	OPTION_CHOICE(struct options, format, "format", 0, "FORMAT", format_names, FORMAT_JSON, FORMAT_TEXT, "text or json (one line)"),
	{0},
};

struct tuning {
	struct cli *cli;
	const struct arguments *args;
	struct library library;
	struct lesson lesson;
	struct query filters;        /* of --pick and --rest */
	struct tune_options options;
	const char *out, *name;
	size_t queries, holdout, budget, pick_count;
	bool answers, linear, compare, own_start;
	enum format format;
	char config_digest[33], weights_digest[33];
	double looking;              /* seconds */
	struct buffer table;         /* of --compare */
};

struct taught {
	struct head head;
	struct tune_result result;
	struct grades grades;
	double seconds;
};

/* ---- options ---------------------------------------------------------------------------------------------------- */

/* What is not given is as tune_defaults has it, which the table repeats; a linear head has defaults of its own. */
static void choose_learning(struct tuning *t, const struct options *given)
{
	const struct tune_options *usual = t->linear ? &tune_linear_defaults : &tune_defaults;

#define CHOOSE(member) t->options.member = OPTION_GIVEN(t->args, struct options, learn.member) ? given->learn.member : usual->member
	CHOOSE(epochs);
	CHOOSE(patience);
	CHOOSE(batch);
	CHOOSE(rate);
	CHOOSE(weight_decay);
	CHOOSE(drop);
	CHOOSE(smoothing);
	CHOOSE(balance);
	CHOOSE(seed);
#undef CHOOSE
}

static bool has_pick(const struct option_list *sources)
{
	for (size_t i = 0; i < sources->count; i++)
		if (sources->items[i].tag == SOURCE_PICK)
			return true;
	return false;
}

static enum status parse(struct tuning *t, struct err *err)
{
	const struct arguments *args = t->args;
	const struct options *given = args->options;
	const char *what = args->count ? args->words[0] : "";

	t->answers = strcmp(what, "answers") == 0;
	if (!t->answers && strcmp(what, "labels") != 0)
		return err_set(err, STATUS_USAGE, "coca tune takes `labels` or `answers` first%s%s%s", *what ? ", not '" : "", what,
			       *what ? "'" : "");
	t->linear = given->linear;
	t->compare = given->compare;
	t->own_start = !given->from_scratch;
	t->out = given->out;
	t->name = given->name;
	t->queries = given->queries;
	t->holdout = given->holdout;
	t->budget = given->budget;
	t->pick_count = given->pick_count;
	t->format = given->format;
	choose_learning(t, given);
	if (t->answers && (t->linear || t->compare || given->rest || has_pick(&given->sources)))
		return err_set(err, STATUS_USAGE, "--linear, --compare, --pick and --rest go with coca tune labels");
	if (t->linear && OPTION_GIVEN(args, struct options, queries))
		return err_set(err, STATUS_USAGE, "--linear has no queries");
	if (t->holdout == 1)
		return err_set(err, STATUS_USAGE, "--holdout 1 keeps every photograph aside: nothing is left to learn from");
	return query_parse_filters(&given->filters, &t->filters, err);
}

/* ---- the lesson ------------------------------------------------------------------------------------------------- */

static enum status take_source(struct tuning *t, const struct option_item *source, struct err *err)
{
	switch (source->tag) {
	case SOURCE_TABLE:
		return lesson_table(&t->lesson, source->value, err);
	case SOURCE_SHARD:
		return lesson_shard(&t->lesson, source->value, err);
	default:
		return lesson_pick(&t->lesson, source->value, &t->filters.filter, t->pick_count, err);
	}
}

static enum status take_rest(struct tuning *t, size_t n, struct err *err)
{
	size_t usual = 3 * t->lesson.count > 50 ? 3 * t->lesson.count : 50;

	return lesson_rest(&t->lesson, &t->filters.filter, n == REST_USUAL ? usual : n, err);
}

static enum status read_lesson(struct tuning *t, struct err *err)
{
	const struct arguments *args = t->args;
	const struct options *given = args->options;
	size_t sources = 0;
	double start = clock_now();

	t->lesson.limit = given->limit;
	enum status status = lesson_open(&t->lesson, t->budget, err);
	for (; sources < given->sources.count && status == STATUS_OK; sources++)
		status = take_source(t, &given->sources.items[sources], err);
	/* Behind --shards the shell gives the others as words. */
	for (size_t i = 1; i < args->count && status == STATUS_OK; i++, sources++) {
		size_t n = strlen(args->words[i]);
		const char *end = args->words[i] + n;
		bool tar = (n > 4 && strcmp(end - 4, ".tar") == 0) || (n > 7 && strcmp(end - 7, ".tar.gz") == 0);
		if (tar)
			status = lesson_shard(&t->lesson, args->words[i], err);
		else if (t->answers)
			status = lesson_table(&t->lesson, args->words[i], err);
		else
			status = lesson_folder(&t->lesson, args->words[i], err);
	}
	if (status == STATUS_OK && !sources)
		status = err_set(err, STATUS_USAGE,
				 t->answers ? "coca tune answers needs questions: FILE.tsv or --shards TAR"
					    : "coca tune labels needs photographs: FOLDER, --tsv FILE, --shards TAR or --pick LABEL=WHAT");
	if (status == STATUS_OK && given->rest)
		status = take_rest(t, given->rest, err);
	if (status == STATUS_OK)
		status = lesson_finish(&t->lesson, t->holdout, err);
	t->looking = clock_now() - start;
	return status;
}

static enum status check_lesson(const struct tuning *t, struct err *err)
{
	const struct lesson *l = &t->lesson;
	bool single = lesson_is_single(l);

	if (l->count == 0)
		return err_set(err, STATUS_NOT_FOUND, "there is no photograph to learn from");
	if (l->label_count == 0)
		return err_set(err, STATUS_USAGE, "no photograph has a label");
	if (single && l->label_count < 2)
		return err_set(err, STATUS_USAGE,
			       "all photographs have the label '%s': there is nothing to tell apart; hint: --rest adds others", l->labels[0]);
	if (l->counts[LESSON_TRAIN] < 2)
		return err_set(err, STATUS_USAGE, "%zu photographs are too few to learn from", l->count);
	return STATUS_OK;
}

static void describe_lesson(struct tuning *t)
{
	const struct lesson *l = &t->lesson;

	listener_note(&t->cli->listener, "%zu %s, %zu %s%s; %zu with stored tokens, %zu looked at now (%.1f s)", l->count, t->answers ? "questions" : "photos",
	     l->label_count, t->answers ? "answers" : "labels", lesson_is_single(l) ? "" : ", of which a photo may have several or none",
	     l->stored, l->encoded, t->looking);
	listener_note(&t->cli->listener, "learning from %zu, %zu say when to stop, %zu are held out%s", l->counts[LESSON_TRAIN], l->counts[LESSON_STOP],
	     l->counts[LESSON_HELD_OUT], l->counts[LESSON_LEFT_OUT] ? "; copies of these are left out" : "");
}

/* ---- learning --------------------------------------------------------------------------------------------------- */

static bool after_epoch(void *context, size_t epoch, double train_loss, double stop_loss)
{
	struct tuning *t = context;

	if (t->cli->progress) {
		fprintf(t->cli->log, "\r\033[Kepoch %zu  loss %.4f", epoch, train_loss);
		if (isfinite(stop_loss))
			fprintf(t->cli->log, ", of those that say when to stop %.4f", stop_loss);
		fflush(t->cli->log);
	}
	return *t->cli->interrupted;
}

static enum status make_head(struct tuning *t, enum head_kind kind, struct head *head, struct err *err)
{
	const struct coca *model = t->library.engine.model;
	const struct config *config = coca_config(model);
	const struct lesson *l = &t->lesson;
	bool answers = kind == HEAD_ANSWERS;
	size_t D = kind == HEAD_LINEAR ? config->embed_dim : answers ? config->decoder.width : config->vision.width;
	size_t E = answers ? config->decoder.width : config->embed_dim;
	size_t heads = answers ? config->decoder.heads : config->pooling == POOL_NONE ? config->vision.heads : config->pool_heads;
	time_t now = time(NULL);
	struct tm date = {0};

	if (kind == HEAD_POOLER && config->pooling == POOL_NONE)
		E = D;
	enum status status = head_init(head, kind, l->labels, l->label_count, D, E, heads, t->queries, err);
	if (status != STATUS_OK)
		return status;
	snprintf(head->config_digest, sizeof head->config_digest, "%s", t->config_digest);
	snprintf(head->weights_digest, sizeof head->weights_digest, "%s", t->weights_digest);
	snprintf(head->model, sizeof head->model, "%s", t->cli->model);
	gmtime_r(&now, &date);
	strftime(head->made, sizeof head->made, "%Y-%m-%dT%H:%M:%SZ", &date);
	head->several = !lesson_is_single(l);
	head->photos = l->counts[LESSON_TRAIN] + l->counts[LESSON_STOP];
	head->held_out = l->counts[LESSON_HELD_OUT];
	bool own = t->own_start && kind == HEAD_POOLER && config->pooling != POOL_NONE;
	return tune_start(head, own ? coca_weights(model) : NULL, config, t->options.seed, err);
}

/* Measures probabilities p of what is held out. */
static enum status grade(struct tuning *t, const struct head *head, float *(*probabilities)(struct tuning *, const struct head *,
			const struct tune_item *, size_t, struct err *), struct grades *grades, struct err *err)
{
	struct tune_item *items = NULL;
	size_t n;
	enum status status = lesson_part(&t->lesson, LESSON_HELD_OUT, &items, &n, err);

	*grades = (struct grades){0};
	if (status == STATUS_OK && n) {
		float *p = probabilities(t, head, items, n, err);
		status = p ? grades_make(t->lesson.labels, t->lesson.label_count, !lesson_is_single(&t->lesson), items, p, n, grades, err)
			   : err->status;
		free(p);
	}
	free(items);
	return status;
}

static float *by_head(struct tuning *t, const struct head *head, const struct tune_item *items, size_t n, struct err *err)
{
	float *p = mem_floats(mem_product(n, head->labels_count));

	(void)t;
	if (!p)
		err_memory(err, "probabilities");
	if (p && tune_measure(head, items, n, p, err) == STATUS_OK)
		return p;
	free(p);
	return NULL;
}

static enum status teach(struct tuning *t, enum head_kind kind, const struct tune_options *how, struct taught *taught, struct err *err)
{
	struct tune_options own = *how;
	struct tune_item *train = NULL, *stop = NULL;
	struct buffer bytes = {0};
	size_t n, m;
	double start = clock_now();
	enum status status = make_head(t, kind, &taught->head, err);

	if (status == STATUS_OK)
		status = lesson_part(&t->lesson, LESSON_TRAIN, &train, &n, err);
	if (status == STATUS_OK)
		status = lesson_part(&t->lesson, LESSON_STOP, &stop, &m, err);
	if (status == STATUS_OK) {
		own.stopped = after_epoch;
		own.context = t;
		if (!m && !OPTION_GIVEN(t->args, struct options, learn.epochs))
			own.epochs = EPOCHS_WITHOUT_STOP;
		/* A few photographs make more than one step, too. */
		while (own.batch > 4 && n / own.batch < 8 && !OPTION_GIVEN(t->args, struct options, learn.batch))
			own.batch /= 2;
		status = tune_head(&taught->head, train, n, stop, m, &own, &taught->result, err);
		if (t->cli->progress)
			fprintf(t->cli->log, "\r\033[K");
	}
	if (status == STATUS_OK)
		status = head_bytes(&taught->head, &bytes, err); /* what is measured is what is stored */
	taught->seconds = clock_now() - start;
	if (status == STATUS_OK)
		status = grade(t, &taught->head, by_head, &taught->grades, err);
	if (status == STATUS_OK && taught->grades.photos)
		taught->head.accuracy = taught->grades.accuracy;
	buffer_release(&bytes);
	free(train);
	free(stop);
	return status;
}

/* ---- comparing -------------------------------------------------------------------------------------------------- */

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

static enum status embed_names(struct tuning *t, float *names, struct err *err)
{
	const struct lesson *l = &t->lesson;
	enum status status = STATUS_OK;
	bool cut;

	if (!are_captions(l->labels, l->label_count))
		return classes_embed(&t->cli->listener, &t->library.engine, l->labels, l->label_count, NULL, names, err);
	for (size_t c = 0; c < l->label_count && status == STATUS_OK; c++)
		status = engine_embed_text(&t->library.engine, l->labels[c], strlen(l->labels[c]), names + c * t->library.engine.embed, &cut,
					   err);
	return status;
}

/* The labels' names as zero-shot classification has them; the softmax is left out, as it changes no order. */
static float *by_words(struct tuning *t, const struct head *head, const struct tune_item *items, size_t n, struct err *err)
{
	const struct lesson *l = &t->lesson;
	size_t C = l->label_count, E = t->library.engine.embed;
	float *p = mem_floats(mem_product(n, C)), *names = mem_floats(mem_product(C, E));

	(void)head;
	if (!p || !names)
		err_memory(err, "probabilities");
	enum status status = p && names ? embed_names(t, names, err) : STATUS_MEMORY;
	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		for (size_t c = 0; c < C; c++)
			p[i * C + c] = (float)engine_dot(items[i].embedding, names + c * E, E);
	free(names);
	if (status == STATUS_OK)
		return p;
	free(p);
	return NULL;
}

static void compare_line(struct tuning *t, const char *method, const struct grades *m, double seconds)
{
	if (t->format == FORMAT_JSON)
		buffer_format(&t->table, "%s{\"method\":\"%s\",\"accuracy\":%.4f,\"top5\":%.4f,\"balanced\":%.4f,\"seconds\":%.1f}",
			      t->table.size ? "," : "", method, m->accuracy, m->top5, m->balanced, seconds);
	else
		buffer_format(&t->table, "%-14s  %6.2f  %6.2f  %8.2f  %7.1f\n", method, 100 * m->accuracy, 100 * m->top5, 100 * m->balanced,
			      seconds);
}

static enum status compare(struct tuning *t, struct err *err)
{
	struct taught probe = {0};
	struct grades words = {0};
	double start = clock_now();
	enum status status;

	if (!lesson_is_single(&t->lesson) || t->lesson.counts[LESSON_HELD_OUT] == 0)
		return err_set(err, STATUS_USAGE, "--compare wants one label for each photograph, and some that are held out");
	if (t->format != FORMAT_JSON)
		buffer_format(&t->table, "%-14s  %6s  %6s  %8s  %7s\n", "in percent", "top 1", "top 5", "balanced", "seconds");
	status = grade(t, NULL, by_words, &words, err);
	if (status == STATUS_OK) {
		compare_line(t, "zero-shot", &words, clock_now() - start);
		status = teach(t, HEAD_LINEAR, &tune_linear_defaults, &probe, err);
	}
	if (status == STATUS_OK)
		compare_line(t, "linear probe", &probe.grades, probe.seconds);
	grades_release(&words);
	grades_release(&probe.grades);
	head_release(&probe.head);
	return status;
}

/* ---- results ---------------------------------------------------------------------------------------------------- */

static enum status print(struct tuning *t, const struct taught *taught, struct err *err)
{
	const struct lesson *l = &t->lesson;
	struct buffer out = {0};

	if (t->format == FORMAT_JSON) {
		buffer_format(&out, "{\"kind\":\"%s\",\"photos\":%zu,\"several\":%s,\"learned_from\":%zu,\"epochs\":%zu,\"best\":%zu,"
				    "\"seconds\":%.2f,\"looking\":%.2f,", head_kind_name(taught->head.kind), l->count,
			      taught->head.several ? "true" : "false", taught->head.photos, taught->result.epochs, taught->result.best, taught->seconds, t->looking);
		if (t->compare)
			buffer_format(&out, "\"compared\":[%s],", t->table.data);
		if (taught->grades.photos)
			grades_json(&taught->grades, &out);
		else
			buffer_text(&out, "\"held_out\":0");
		buffer_text(&out, "}\n");
	} else {
		if (t->compare)
			buffer_format(&out, "%s\n", t->table.data);
		if (taught->grades.photos)
			grades_text(&taught->grades, &out);
	}
	return format_print(t->cli->out, &out, err);
}

static enum status tune(struct tuning *t, struct taught *taught, struct err *err)
{
	enum head_kind kind = t->answers ? HEAD_ANSWERS : t->linear ? HEAD_LINEAR : HEAD_POOLER;
	enum status status = open_library(t->cli, LIBRARY_READ_OR_EMPTY, &t->library, err);

	if (status == STATUS_OK)
		status = coca_digest(t->library.engine.model, t->config_digest, t->weights_digest, err);
	t->lesson = (struct lesson){.listener = &t->cli->listener, .library = &t->library, .answers = t->answers};
	if (status == STATUS_OK)
		status = read_lesson(t, err);
	if (status == STATUS_OK)
		status = check_lesson(t, err);
	if (status != STATUS_OK)
		return status;
	describe_lesson(t);
	if (t->compare)
		status = compare(t, err);
	if (status == STATUS_OK)
		status = teach(t, kind, &t->options, taught, err);
	if (status != STATUS_OK)
		return status;
	if (t->compare)
		compare_line(t, t->linear ? "linear probe" : "frozen pooler", &taught->grades, taught->seconds);
	listener_note(&t->cli->listener, "taught in %.1f s: %zu epochs, the best was number %zu", taught->seconds, taught->result.epochs, taught->result.best);
	if (!taught->grades.photos)
		listener_note(&t->cli->listener, "nothing is held out, so nobody knows how well it does; hint: ten photographs or more of a label");
	status = print(t, taught, err);
	if (status == STATUS_OK && t->out)
		status = head_save(&taught->head, t->out, err);
	if (status == STATUS_OK && t->name)
		status = library_write(&t->library, t->cli->database, err);
	if (status == STATUS_OK && t->name)
		status = labelling_install(&t->library, t->name, &taught->head, err);
	if (status == STATUS_OK && !t->out && !t->name && !t->compare)
		listener_note(&t->cli->listener, "the head is not kept; hint: --name NAME installs it, --out FILE writes it");
	return status;
}

static int run(struct cli *cli, const struct arguments *args)
{
	struct tuning t = {.cli = cli, .args = args};
	struct taught taught = {0};
	struct err err;
	enum status status = parse(&t, &err);
	int code = EXIT_DONE;

	if (status == STATUS_OK)
		status = tune(&t, &taught, &err);
	if (status != STATUS_OK)
		code = cli_fail(cli, &err);
	else if (t.lesson.skipped)
		code = EXIT_SKIPPED;
	grades_release(&taught.grades);
	head_release(&taught.head);
	buffer_release(&t.table);
	lesson_release(&t.lesson);
	query_release(&t.filters);
	library_close(&t.library);
	return code;
}

const struct command command_tune = {
	.name = "tune",
	.synopsis = "labels|answers [FOLDER|TAR|FILE.tsv]...",
	.summary = "teach labels, or answers to questions, on top of the model",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_tune,
	.run = run,
	.handles_interrupt = true,
	.passive_threads = true,
};
