/* eval.c: coca eval: recall on captioned photographs, both ways, before and after reranking; or zero-shot classes. */
#include "query/commands/commands.h"

#include <stdlib.h>
#include <string.h>

#include "query/teach/classes.h"
#include "query/measure/likelihoods.h"
#include "query/show/format.h"
#include "query/session/library.h"
#include "query/measure/pairs.h"
#include "query/measure/sweep.h"
#include "schema/base/memory.h"
#include "schema/base/embed.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_eval, "query/commands/eval.txt");

enum { HELD_OUT_EVERY = 10, HELD_OUT_OFFSET = 9, EVERY_MOST = 1000000 };

struct options {
	struct evalchoice choice;
	struct option_list shards;
	size_t depth;
	const char *templates;
	bool no_rerank, heldout, sweep;
	enum format format;
};

static const struct option_spec options[] = {
	OPTION_LIST(struct options, shards, "shards", 0, "TAR...", OPTION_MANY | OPTION_FILE, 0,
		    "WebDataset tars with photographs and captions, plain or .gz"),
	OPTION_CHOICE(struct options, format, "format", 0, "FORMAT", format_names, FORMAT_JSON, FORMAT_TEXT, "text or json (one line)"),
	OPTION_FLAG(struct options, no_rerank, "no-rerank", 0, "similarity only"),
	OPTION_NUMBER(struct options, depth, "rerank-depth", 0, "N", 1, 100000, SCORE_DEPTH, "rerank the best N (default %)"),
	OPTION_FLAG(struct options, choice.classes, "classes", 0, "zero-shot: each distinct first caption is a class"),
	OPTION_TEXT(struct options, templates, "templates", 0, "FILE", OPTION_FILE,
		    "with --classes: prompts, one a line, {} for the class"),
	OPTION_FLAG(struct options, choice.pairs, "pairs", 0, "captions of the same words in another order: samples X-a and X-b"),
	OPTION_NUMBER(struct options, choice.limit, "limit", 0, "N", 1, UINT32_MAX, 0, "the first N photographs only"),
	OPTION_NUMBER(struct options, choice.every, "every", 0, "K", 1, EVERY_MOST, 1, "of each shard, every K-th sample only"),
	OPTION_NUMBER(struct options, choice.offset, "offset", 0, "J", 0, EVERY_MOST - 1, 0, "with --every: from sample J (from 0)"),
	OPTION_FLAG(struct options, heldout, "heldout", 0, "the tenth that tuning and training leave aside: --every 10 --offset 9"),
	OPTION_FLAG(struct options, sweep, "sweep", 0,
		    "recall for other weights of the reranking score, shard by shard, and which weights cost nothing"),
	{0},
};

struct evaluation {
	const char *const *shards;
	size_t shard_count, depth;
	struct evalchoice choice;
	enum format format;
	bool sweep;
};

struct directions {
	struct recall text_to_image, image_to_text;
};

static void recall_json(const char *name, const struct recall *r, struct buffer *out)
{
	buffer_format(out, "\"%s\":{\"r1\":%.2f,\"r5\":%.2f,\"r10\":%.2f}", name, r->r1, r->r5, r->r10);
}

static void directions_json(const struct directions *d, struct buffer *out)
{
	recall_json("text_to_image", &d->text_to_image, out);
	buffer_text(out, ",");
	recall_json("image_to_text", &d->image_to_text, out);
}

static void print_recalls(const struct evaluation *e, const struct evalset *set, const struct directions *before,
			  const struct directions *after, struct buffer *out)
{
	if (e->format == FORMAT_JSON) {
		buffer_format(out, "{\"photos\":%zu,\"texts\":%zu,", set->photos, set->texts);
		directions_json(before, out);
		if (after) {
			buffer_text(out, ",\"reranked\":{");
			directions_json(after, out);
			buffer_text(out, "}");
		}
		buffer_text(out, "}\n");
		return;
	}
	buffer_format(out, "%zu photos, %zu texts; recall in percent\n%-28s %6s %6s %6s\n", set->photos, set->texts, "", "at 1", "5", "10");
	const struct {
		const char *name;
		const struct recall *recall;
	} rows[] = {
		{"text to image", &before->text_to_image},
		{"text to image, reranked", after ? &after->text_to_image : NULL},
		{"image to text", &before->image_to_text},
		{"image to text, reranked", after ? &after->image_to_text : NULL},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].recall)
			buffer_format(out, "%-28s %6.2f %6.2f %6.2f\n", rows[i].name, rows[i].recall->r1, rows[i].recall->r5,
				      rows[i].recall->r10);
}

/* ---- reranking -------------------------------------------------------------------------------------------------- */

struct rescoring {
	double logit_scale;
	const struct nulls *nulls;
};

static double photo_score(void *context, size_t query, const struct shortlisted *item)
{
	const struct rescoring *r = context;
	(void)query;
	return score_photo(r->logit_scale, (double)item->cosine, (double)item->likelihood);
}

static double text_score(void *context, size_t query, const struct shortlisted *item)
{
	const struct rescoring *r = context;
	return score_text(r->logit_scale, (double)item->cosine, (double)item->likelihood, nulls_prior(r->nulls, item->item, query));
}

static enum status reordered(const struct ranking *ranking, ranking_score score, struct rescoring *r, struct recall *recall,
			     struct err *err)
{
	uint32_t *place = mem_array(ranking->queries, sizeof *place);

	if (!place)
		return err_memory(err, "a ranking");
	ranking_reorder(ranking, score, r, place);
	*recall = recall_of(place, ranking->queries);
	free(place);
	return STATUS_OK;
}

static enum status rerank_both(struct cli *cli, struct engine *engine, const struct evalset *set, struct ranking *photos,
			       struct ranking *texts, struct directions *after, struct err *err)
{
	struct nulls nulls = {0};
	struct rescoring r = {(double)coca_logit_scale(engine->model), &nulls};
	enum status status = likelihoods_fill(&cli->listener, engine, set, photos, true, err);

	if (status == STATUS_OK)
		status = likelihoods_fill(&cli->listener, engine, set, texts, false, err);
	if (status == STATUS_OK)
		status = nulls_make(&cli->listener, engine, set, SCORE_NULLS, &nulls, err);
	if (status == STATUS_OK)
		status = reordered(photos, photo_score, &r, &after->text_to_image, err);
	if (status == STATUS_OK)
		status = reordered(texts, text_score, &r, &after->image_to_text, err);
	nulls_release(&nulls);
	return status;
}

static enum status eval_recalls(struct cli *cli, struct engine *engine, const struct evaluation *e, const struct evalset *set,
				struct buffer *out, struct err *err)
{
	struct ranking photos = {0}, texts = {0};
	struct directions before, after;
	enum status status = ranking_make(set->text_features, set->text_owner, set->texts, set->photo_features, NULL, set->photos,
					  engine->embed, e->depth, &photos, err);

	if (status == STATUS_OK)
		status = ranking_make(set->photo_features, NULL, set->photos, set->text_features, set->text_owner, set->texts,
				      engine->embed, e->depth, &texts, err);
	if (status == STATUS_OK) {
		before = (struct directions){recall_of(photos.place, set->texts), recall_of(texts.place, set->photos)};
		/* Ten of N photos drawn blindly hold the right one in 1000/N percent of the cases. */
		if (set->photos >= 100 && before.text_to_image.r10 < 2000 / (double)set->photos)
			listener_note(&cli->listener,
				      "warning: the embeddings of this model retrieve next to nothing; hint: it may be made for captions "
				      "only: embed with another --model, and give this one as --rerank-model");
	}
	if (status == STATUS_OK && e->depth)
		status = rerank_both(cli, engine, set, &photos, &texts, &after, err);
	if (status == STATUS_OK)
		print_recalls(e, set, &before, e->depth ? &after : NULL, out);
	ranking_release(&photos);
	ranking_release(&texts);
	return status;
}

/* ---- command ---------------------------------------------------------------------------------------------------- */

static enum status parse_choice(const struct arguments *args, struct evalchoice *choice, struct err *err)
{
	const struct options *given = args->options;

	*choice = given->choice;
	if (choice->offset >= choice->every)
		return err_set(err, STATUS_USAGE, "--offset takes a whole number from 0 to %zu, not '%zu'", choice->every - 1,
			       choice->offset);
	if (given->heldout) {
		if (OPTION_GIVEN(args, struct options, choice.every) || OPTION_GIVEN(args, struct options, choice.offset))
			return err_set(err, STATUS_USAGE, "--heldout stands for --every %d --offset %d: give one or the other",
				       HELD_OUT_EVERY, HELD_OUT_OFFSET);
		choice->every = HELD_OUT_EVERY;
		choice->offset = HELD_OUT_OFFSET;
	}
	return STATUS_OK;
}

/* Shards are the values of --shards and the words, so that "--shards A B C" means what it seems to. */
static enum status parse_shards(const struct arguments *args, const struct option_list *given, struct evaluation *e, struct err *err)
{
	size_t n = 0;
	const char **shards = mem_array(given->count + args->count, sizeof *shards);

	if (!shards)
		return err_memory(err, "the command line");
	for (size_t i = 0; i < given->count; i++)
		shards[n++] = given->items[i].value;
	for (size_t i = 0; i < args->count; i++)
		shards[n++] = args->words[i];
	e->shards = shards;
	e->shard_count = n;
	return n ? STATUS_OK : err_set(err, STATUS_USAGE, "no shards are given; hint: coca eval --shards FILE.tar");
}

static enum status parse(const struct arguments *args, struct evaluation *e, struct err *err)
{
	const struct options *given = args->options;
	struct evalchoice *choice = &e->choice;
	enum status status = parse_shards(args, &given->shards, e, err);

	if (status == STATUS_OK)
		status = parse_choice(args, choice, err);
	if (status != STATUS_OK)
		return status;
	e->format = given->format;
	e->sweep = given->sweep;
	e->depth = given->no_rerank || choice->classes ? 0 : given->depth;
	choice->tokens = e->depth > 0;
	if (choice->pairs &&
	    (choice->classes || e->sweep || given->no_rerank || OPTION_GIVEN(args, struct options, depth) || choice->every > 1))
		return err_set(err, STATUS_USAGE,
			       "--pairs contradicts --classes, --sweep, --no-rerank, --rerank-depth, --every and --heldout");
	if (e->sweep && (given->no_rerank || choice->classes))
		return err_set(err, STATUS_USAGE, "--sweep contradicts --no-rerank and --classes");
	if (!choice->classes && given->templates)
		return err_set(err, STATUS_USAGE, "--templates goes with --classes");
	return STATUS_OK;
}

static enum status eval_classes(struct cli *cli, struct engine *engine, const struct evaluation *e, const struct evalset *set,
				const char *templates, struct buffer *out, struct err *err)
{
	struct recall recall;
	size_t classes;
	enum status status = classes_recall(&cli->listener, engine, set, templates, &classes, &recall, err);

	if (status == STATUS_OK)
		buffer_format(out,
			      e->format == FORMAT_JSON ? "{\"photos\":%zu,\"classes\":%zu,\"top1\":%.2f,\"top5\":%.2f}\n"
						       : "%zu photos, %zu classes; right in percent\ntop 1 %.2f\ntop 5 %.2f\n",
			      set->photos, classes, recall.r1, recall.r5);
	return status;
}

static void pairs_json(const char *name, const struct pairs_right *r, const char *end, struct buffer *out)
{
	buffer_format(out, "\"%s\":{\"caption\":%.2f,\"picture\":%.2f,\"both\":%.2f}%s", name, r->caption, r->picture, r->both, end);
}

/* *nothing: why there is no result, where there is none. */
static enum status eval_pairs(struct cli *cli, struct engine *engine, const struct evaluation *e, const struct evalset *set,
			      struct buffer *out, const char **nothing, struct err *err)
{
	struct pairs_result result;
	enum status status = pairs_measure(&cli->listener, engine, set, &result, err);

	if (status != STATUS_OK)
		return status;
	if (result.alone)
		listener_note(&cli->listener, "%zu samples are no pair, named X-a and X-b: left out", result.alone);
	if (!result.pairs) {
		*nothing = "the shards hold no pair; hint: its samples are named X-a and X-b and follow each other";
		return STATUS_OK;
	}
	if (e->format == FORMAT_JSON) {
		buffer_format(out, "{\"pairs\":%zu,", result.pairs);
		pairs_json("similarity", &result.similarity, ",", out);
		pairs_json("likelihood", &result.likelihood, ",", out);
		pairs_json("combined", &result.combined, "}\n", out);
		return STATUS_OK;
	}
	buffer_format(out, "%zu pairs; right in percent\n%-28s %8s %8s %8s\n", result.pairs, "", "caption", "picture", "both");
	const struct {
		const char *name;
		const struct pairs_right *right;
	} rows[] = {
		{"similarity", &result.similarity},
		{"likelihood", &result.likelihood},
		{"reranked: both of them", &result.combined},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		buffer_format(out, "%-28s %8.2f %8.2f %8.2f\n", rows[i].name, rows[i].right->caption, rows[i].right->picture,
			      rows[i].right->both);
	return STATUS_OK;
}

static enum status check(struct cli *cli, const struct arguments *args, struct err *err)
{
	struct evaluation e = {0};
	enum status status = parse(args, &e, err);

	(void)cli;
	free((void *)e.shards);
	return status;
}

static int run(struct cli *cli, const struct arguments *args)
{
	struct evaluation e = {0};
	struct engine *engine = &cli->library->engine;
	struct evalset set = {0};
	struct buffer out = {0};
	struct err err;
	const char *nothing = NULL;
	int code = EXIT_DONE;
	enum status status = parse(args, &e, &err);

	if (status == STATUS_OK && e.sweep)
		status = sweep_print(&cli->listener, engine, e.shards, e.shard_count, &e.choice, e.depth, e.format == FORMAT_JSON, &out,
				     &set.skipped, &err);
	else if (status == STATUS_OK)
		status = evalset_load(&cli->listener, engine, e.shards, e.shard_count, &e.choice, &set, &err);
	if (status != STATUS_OK || e.sweep)
		; /* all is said */
	else if (set.photos == 0)
		nothing = "the shards hold no sample with an image that can be read and a caption";
	else if (e.choice.classes)
		status = eval_classes(cli, engine, &e, &set, ((const struct options *)args->options)->templates, &out, &err);
	else if (e.choice.pairs)
		status = eval_pairs(cli, engine, &e, &set, &out, &nothing, &err);
	else
		status = eval_recalls(cli, engine, &e, &set, &out, &err);
	if (status == STATUS_OK)
		status = format_print(cli->out, &out, &err);
	if (status != STATUS_OK) {
		code = cli_fail(cli, &err);
	} else if (nothing) {
		fprintf(cli->log, "coca: %s\n", nothing);
		code = EXIT_NO_RESULT;
	} else if (set.skipped) {
		code = EXIT_SKIPPED;
	}
	buffer_release(&out);
	evalset_release(&set);
	free((void *)e.shards);
	return code;
}

const struct command command_eval = {
	.name = "eval",
	.synopsis = "--shards TAR...",
	.summary = "measure recall at 1, 5 and 10, both ways, with and without reranking",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_eval,
	.needs = NEEDS_MODEL,
	.check = check,
	.run = run,
	.passive_threads = true, /* waiting threads that spin cost ten times the latency on a busy machine */
};
