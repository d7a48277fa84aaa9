/* tune.c: coca tune: a head is taught on photographs with labels, or on questions with answers, and told how well it does.
 *
 *     sources -> lesson (tokens, once) -> learning, early stopping -> measured on what is held out -> file, catalog
 */
#include "query/commands/commands.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "query/session/library.h"
#include "query/show/format.h"
#include "query/teach/labelling.h"
#include "query/teach/teach.h"
#include "schema/base/json.h"
#include "schema/base/embed.h"
#include "schema/base/clock.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_tune, "query/commands/tune.txt");

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
	OPTION_REAL(struct options, learn.balance, "balance", 0, "X", 0, 1, 0.5,
		    "0: every photo counts alike, 1: every label does (default %)"),
	OPTION_NUMBER(struct options, learn.seed, "seed", 0, "N", 0, SIZE_MAX, 1, "of everything random (default %)"),
	OPTION_SIZE(struct options, budget, "encoder-budget", 0, "SIZE", (size_t)1 << 30,
		    "keep at most this much of the encoder's tokens in the catalog (default %)"),
	OPTION_CHOICE(struct options, format, "format", 0, "FORMAT", format_names, FORMAT_JSON, FORMAT_TEXT, "text or json (one line)"),
	{0},
};

struct tuning {
	struct cli *cli;
	const struct arguments *args;
	const struct options *given;
	struct library *library;
	struct lesson lesson;
	struct query filters;        /* of --pick and --rest */
	struct teach_options how;
	bool answers;
	double looking;              /* seconds */
	struct buffer table;         /* of --compare */
};

/* ---- options ---------------------------------------------------------------------------------------------------- */

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

/* What is not given is as tune_defaults has it, which the table repeats; a linear head has defaults of its own. */
static void choose_learning(struct tuning *t)
{
	const struct options *given = t->given;
	const struct tune_options *usual = given->linear ? &tune_linear_defaults : &tune_defaults;

	t->how = (struct teach_options){
		.kind = t->answers ? HEAD_ANSWERS : given->linear ? HEAD_LINEAR : HEAD_POOLER, .queries = given->queries,
		.own_start = !given->from_scratch, .fixed_epochs = OPTION_GIVEN(t->args, struct options, learn.epochs),
		.fixed_batch = OPTION_GIVEN(t->args, struct options, learn.batch)};
#define CHOOSE(member) t->how.learn.member = OPTION_GIVEN(t->args, struct options, learn.member) ? given->learn.member : usual->member
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
	t->how.learn.stopped = after_epoch;
	t->how.learn.context = t;
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
	const struct options *given = t->given;
	const char *what = args->count ? args->words[0] : "";

	t->answers = strcmp(what, "answers") == 0;
	if (!t->answers && strcmp(what, "labels") != 0)
		return err_set(err, STATUS_USAGE, "coca tune takes `labels` or `answers` first%s%s%s", *what ? ", not '" : "", what,
			       *what ? "'" : "");
	choose_learning(t);
	if (t->answers && (given->linear || given->compare || given->rest || has_pick(&given->sources)))
		return err_set(err, STATUS_USAGE, "--linear, --compare, --pick and --rest go with coca tune labels");
	if (given->linear && OPTION_GIVEN(args, struct options, queries))
		return err_set(err, STATUS_USAGE, "--linear has no queries");
	if (given->holdout == 1)
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
		return lesson_pick(&t->lesson, source->value, &t->filters.filter, t->given->pick_count, err);
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
	const struct options *given = t->given;
	size_t sources = 0;
	double start = clock_now();

	t->lesson.limit = given->limit;
	enum status status = lesson_open(&t->lesson, given->budget, err);
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
		status = lesson_finish(&t->lesson, given->holdout, err);
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
			       "all photographs have the label '%s': there is nothing to tell apart; hint: --rest adds others",
			       l->labels[0]);
	if (l->counts[LESSON_TRAIN] < 2)
		return err_set(err, STATUS_USAGE, "%zu photographs are too few to learn from", l->count);
	return STATUS_OK;
}

static void describe_lesson(struct tuning *t)
{
	const struct lesson *l = &t->lesson;

	listener_note(&t->cli->listener, "%zu %s, %zu %s%s; %zu with stored tokens, %zu looked at now (%.1f s)", l->count,
		      t->answers ? "questions" : "photos", l->label_count, t->answers ? "answers" : "labels",
		      lesson_is_single(l) ? "" : ", of which a photo may have several or none", l->stored, l->encoded, t->looking);
	listener_note(&t->cli->listener, "learning from %zu, %zu say when to stop, %zu are held out%s", l->counts[LESSON_TRAIN],
		      l->counts[LESSON_STOP], l->counts[LESSON_HELD_OUT],
		      l->counts[LESSON_LEFT_OUT] ? "; copies of these are left out" : "");
}

/* ---- learning --------------------------------------------------------------------------------------------------- */

static enum status teach(struct tuning *t, const struct teach_options *how, struct taught *taught, struct err *err)
{
	enum status status = teach_head(&t->lesson, how, taught, err);

	if (t->cli->progress)
		fprintf(t->cli->log, "\r\033[K");
	return status;
}

static void compare_line(struct tuning *t, const char *method, const struct grades *m, double seconds)
{
	if (t->given->format == FORMAT_JSON)
		buffer_format(&t->table, "%s{\"method\":\"%s\",\"accuracy\":%.4f,\"top5\":%.4f,\"balanced\":%.4f,\"seconds\":%.1f}",
			      t->table.size ? "," : "", method, m->accuracy, m->top5, m->balanced, seconds);
	else
		buffer_format(&t->table, "%-14s  %6.2f  %6.2f  %8.2f  %7.1f\n", method, 100 * m->accuracy, 100 * m->top5, 100 * m->balanced,
			      seconds);
}

static enum status compare(struct tuning *t, struct err *err)
{
	struct teach_options linear = t->how;
	struct taught probe = {0};
	struct grades words = {0};
	double start = clock_now();
	enum status status;

	if (!lesson_is_single(&t->lesson) || t->lesson.counts[LESSON_HELD_OUT] == 0)
		return err_set(err, STATUS_USAGE, "--compare wants one label for each photograph, and some that are held out");
	if (t->given->format != FORMAT_JSON)
		buffer_format(&t->table, "%-14s  %6s  %6s  %8s  %7s\n", "in percent", "top 1", "top 5", "balanced", "seconds");
	status = teach_nothing(&t->lesson, &words, err);
	if (status == STATUS_OK) {
		compare_line(t, "zero-shot", &words, clock_now() - start);
		linear.kind = HEAD_LINEAR;
		linear.learn = tune_linear_defaults;
		linear.learn.stopped = after_epoch;
		linear.learn.context = t;
		status = teach(t, &linear, &probe, err);
	}
	if (status == STATUS_OK)
		compare_line(t, "linear probe", &probe.grades, probe.seconds);
	grades_release(&words);
	taught_release(&probe);
	return status;
}

/* ---- results ---------------------------------------------------------------------------------------------------- */

static enum status print(struct tuning *t, const struct taught *taught, struct err *err)
{
	const struct lesson *l = &t->lesson;
	struct buffer out = {0};

	if (t->given->format == FORMAT_JSON) {
		buffer_format(&out, "{\"kind\":\"%s\",\"photos\":%zu,\"several\":%s,\"learned_from\":%zu,\"epochs\":%zu,\"best\":%zu,"
				    "\"seconds\":%.2f,\"looking\":%.2f,", head_kind_name(taught->head.kind), l->count,
			      taught->head.several ? "true" : "false", taught->head.photos, taught->result.epochs, taught->result.best,
			      taught->seconds, t->looking);
		if (t->given->compare)
			buffer_format(&out, "\"compared\":[%s],", t->table.data);
		if (taught->grades.photos)
			grades_json(&taught->grades, &out);
		else
			buffer_text(&out, "\"held_out\":0");
		buffer_text(&out, "}\n");
	} else {
		if (t->given->compare)
			buffer_format(&out, "%s\n", t->table.data);
		if (taught->grades.photos)
			grades_text(&taught->grades, &out);
	}
	return format_print(t->cli->out, &out, err);
}

/* Writes and installs what was taught, as was asked for. */
static enum status keep(struct tuning *t, struct head *head, struct err *err)
{
	const struct options *given = t->given;
	enum status status = given->out ? head_save(head, given->out, err) : STATUS_OK;

	if (status == STATUS_OK && given->name)
		status = library_write(t->library, t->cli->database, err);
	if (status == STATUS_OK && given->name)
		status = labelling_install(t->library, given->name, head, err);
	if (!given->out && !given->name && !given->compare)
		listener_note(&t->cli->listener, "the head is not kept; hint: --name NAME installs it, --out FILE writes it");
	return status;
}

static enum status tune(struct tuning *t, struct taught *taught, struct err *err)
{
	enum status status;

	t->lesson = (struct lesson){.listener = &t->cli->listener, .library = t->library, .answers = t->answers};
	status = read_lesson(t, err);
	if (status == STATUS_OK)
		status = check_lesson(t, err);
	if (status != STATUS_OK)
		return status;
	describe_lesson(t);
	if (t->given->compare)
		status = compare(t, err);
	if (status == STATUS_OK)
		status = teach(t, &t->how, taught, err);
	if (status != STATUS_OK)
		return status;
	if (t->given->compare)
		compare_line(t, t->given->linear ? "linear probe" : "frozen pooler", &taught->grades, taught->seconds);
	listener_note(&t->cli->listener, "taught in %.1f s: %zu epochs, the best was number %zu", taught->seconds, taught->result.epochs,
		      taught->result.best);
	if (!taught->grades.photos)
		listener_note(&t->cli->listener,
			      "nothing is held out, so nobody knows how well it does; hint: ten photographs or more of a label");
	status = print(t, taught, err);
	return status == STATUS_OK ? keep(t, &taught->head, err) : status;
}

static enum status check(struct cli *cli, const struct arguments *args, struct err *err)
{
	struct tuning t = {.cli = cli, .args = args, .given = args->options};
	enum status status = parse(&t, err);

	query_release(&t.filters);
	return status;
}

static int run(struct cli *cli, const struct arguments *args)
{
	struct tuning t = {.cli = cli, .args = args, .given = args->options, .library = cli->library};
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
	taught_release(&taught);
	buffer_release(&t.table);
	lesson_release(&t.lesson);
	query_release(&t.filters);
	return code;
}

const struct command command_tune = {
	.name = "tune",
	.synopsis = "labels|answers [FOLDER|TAR|FILE.tsv]...",
	.summary = "teach labels, or answers to questions, on top of the model",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_tune,
	.needs = NEEDS_LIBRARY_OR_NONE,
	.check = check,
	.run = run,
	.handles_interrupt = true,
	.passive_threads = true,
};
