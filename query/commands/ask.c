/* ask.c: coca ask: a question about photographs, answered by a head that was taught the answers, or by which of some choices the
 * model finds likeliest.
 *
 *     with a head   image tokens, question -> decoder's states -> head -> a probability for each answer it knows
 *     choices       log p("question answer" | photo) - log p("question answer"), as score.h has it, softmax over the choices
 */
#include "model/net/likelihood.h"
#include "query/commands/commands.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "query/session/library.h"
#include "model/net/answer_states.h"
#include "query/teach/choices.h"
#include "query/show/format.h"
#include "query/teach/labelling.h"
#include "query/find/match.h"
#include "query/session/score.h"
#include "query/session/tokens.h"
#include "schema/catalog/texts.h"
#include "schema/base/packed.h"
#include "schema/base/embed.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_ask, "query/commands/ask.txt");

struct options {
	const char *head, *choices;
	size_t limit;
	enum format format;
};

static const struct option_spec options[] = {
	OPTION_TEXT(struct options, head, "head", 0, "HEAD", OPTION_FILE,
		    "a head that was taught answers (coca tune answers): its file, or its name"),
	OPTION_TEXT(struct options, choices, "choices", 0, "A,B,C", 0, "answers to choose from, without a head"),
	OPTION_NUMBER(struct options, limit, "limit", 'n', "N", 1, 1000000, 5, "show the best N answers (default %)"),
	OPTION_CHOICE(struct options, format, "format", 0, "FORMAT", format_names, FORMAT_JSON, FORMAT_TEXT,
		      "text or json (one object a line)"),
	{0},
};

struct asking {
	struct cli *cli;
	struct library *library;
	const char *question;
	struct choices choices;
	struct head head;
	struct head_pass *pass;       /* NULL: choices */
	struct coca_text *texts;      /* [choices] question and answer; of a head: the question alone */
	size_t text_count;
	double *prior;                /* [choices] */
	int64_t *nulls;               /* [null_count] contents, for the priors; noise where there are fewer */
	size_t null_count;
	float *tokens;                /* [1 + SCORE_NULLS,N,W]: the photograph's, then the nulls' */
	float *states, *p;
	float *sums;                  /* [choices * (1 + SCORE_NULLS)] */
	struct coca_pair *pairs;
	struct ranked_choice *ranked;
	size_t answers, limit, done, failed;
	enum format format;
	bool several;
};

/* ---- choices ---------------------------------------------------------------------------------------------------- */

/* "what is it?" and "a dog": "what is it? a dog". */
static enum status add_text(struct asking *a, const char *answer, struct err *err)
{
	struct buffer text = {0};
	struct coca_text *to = &a->texts[a->text_count];
	int32_t *ids;
	bool cut;

	buffer_format(&text, answer ? "%s %s" : "%s", a->question, answer);
	enum status status = text.failed ? err_memory(err, "a question")
					 : engine_text_ids(&a->library->engine, text.data, text.size, &ids, to, &cut, err);
	buffer_release(&text);
	if (status != STATUS_OK)
		return status;
	a->text_count++;
	if (cut)
		listener_note(&a->cli->listener, "the question%s is longer than the model's %zu ids: what is behind them is not used",
		     answer ? " with its answer" : "", coca_config(a->library->engine.model)->context_length);
	return STATUS_OK;
}

/* Tokens of the pictures that say how likely each text is anyway: photographs of the library, or noise. */
static enum status load_nulls(struct asking *a, int64_t asked, size_t *count, struct err *err)
{
	size_t each = a->library->engine.tokens * a->library->engine.width, n = 0;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < a->null_count && n < SCORE_NULLS && status == STATUS_OK; i++) {
		enum tokens_found found = TOKENS_AWAY;
		if (a->nulls[i] != asked)
			status = tokens_of_content(a->library, TOKENS_IMAGE, a->nulls[i], a->tokens + (1 + n) * each, &found, err);
		n += found != TOKENS_AWAY;
	}
	for (size_t number = 1; n < SCORE_NULLS && status == STATUS_OK; number++, n++)
		status = match_noise(&a->library->engine, number, a->tokens + (1 + n) * each, err);
	*count = n;
	return status;
}

static enum status rank_choices(struct asking *a, int64_t content, struct err *err)
{
	size_t n, C = a->text_count, P = 0;
	double most = -INFINITY, sum = 0;
	enum status status = load_nulls(a, content, &n, err);

	for (size_t c = 0; c < C; c++)
		for (size_t i = 0; i <= n; i++)
			a->pairs[P++] = (struct coca_pair){i, c};
	if (status == STATUS_OK)
		status = coca_likelihood(a->library->engine.model, a->library->engine.state, a->tokens, 1 + n, a->texts, C, a->pairs, P,
					 a->sums, NULL, err);
	if (status != STATUS_OK)
		return status;
	for (size_t c = 0; c < C; c++) {
		const float *own = a->sums + c * (1 + n);
		double score = (double)own[0] - SCORE_TEXT_PRIOR * score_log_mean(own + 1, n);
		a->p[c] = (float)score;
		most = fmax(most, score);
	}
	for (size_t c = 0; c < C; c++)
		sum += exp((double)a->p[c] - most);
	for (size_t c = 0; c < C; c++)
		a->p[c] = (float)(exp((double)a->p[c] - most) / sum);
	choices_sort(a->p, C, a->ranked);
	return STATUS_OK;
}

/* ---- a head ----------------------------------------------------------------------------------------------------- */

/* Tokens and states are rounded as those it learned from. */
static enum status rank_answers(struct asking *a, struct err *err)
{
	size_t n = a->texts[0].count, W = a->library->engine.width, size = packed_tokens_size(n, W);
	void *blob = mem_array(size, 1);
	enum status status = blob ? STATUS_OK : err_memory(err, "an answer");

	if (status == STATUS_OK)
		status = answer_states_make(a->library->engine.model, a->library->engine.state, a->tokens, a->texts, a->states, err);
	if (status == STATUS_OK) {
		packed_tokens_write(a->states, n, W, blob);
		status = packed_tokens_read(blob, size, n, W, a->states, err);
	}
	if (status == STATUS_OK)
		choices_sort(head_read(a->pass, a->states, n), a->answers, a->ranked);
	free(blob);
	return status;
}

/* ---- a photograph ----------------------------------------------------------------------------------------------- */

static enum status print(struct asking *a, const char *path, struct err *err)
{
	struct choices_said said = {a->format, path, strlen(path), a->question, a->several};
	struct buffer out = {0};

	choices_format(&said, a->pass ? (const char *const *)a->head.labels : a->choices.names, a->ranked, a->limit, &out);
	a->done++;
	return format_print(a->cli->out, &out, err);
}

static enum status ask(struct asking *a, const char *path, struct err *err)
{
	int64_t content;
	enum status status = tokens_of_file(a->library, path, TOKENS_IMAGE, a->tokens, NULL, &content, err);

	if (status != STATUS_OK && status != STATUS_MEMORY) {
		cli_fail(a->cli, err);
		a->failed++;
		return STATUS_OK;
	}
	if (status == STATUS_OK)
		status = a->pass ? rank_answers(a, err) : rank_choices(a, content, err);
	if (status != STATUS_OK)
		return status;
	return print(a, path, err);
}

/* ---- command ---------------------------------------------------------------------------------------------------- */

static enum status check(struct cli *cli, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;

	(void)cli;
	if (args->count < 2)
		return err_set(err, STATUS_USAGE, "coca ask takes photographs and, last, a question");
	if (!given->choices == !given->head)
		return err_set(err, STATUS_USAGE, "coca ask takes --head HEAD, which was taught answers, or --choices A,B,C, one of them");
	if (!*args->words[args->count - 1])
		return err_set(err, STATUS_USAGE, "the question is empty");
	return STATUS_OK;
}

static enum status parse(const struct arguments *args, struct asking *a, struct err *err)
{
	const struct options *given = args->options;

	a->question = args->words[args->count - 1];
	a->several = args->count > 2;
	a->limit = given->limit;
	a->format = given->format;
	return given->choices ? choices_split(given->choices, &a->choices, err) : STATUS_OK;
}

static enum status prepare_nulls(struct asking *a, struct err *err)
{
	enum { SPARE = 8 }; /* one is asked about, some may be away */
	size_t most = SCORE_NULLS + SPARE;

	a->nulls = mem_array(most, sizeof *a->nulls);
	if (!a->nulls)
		return err_memory(err, "photographs");
	if (!a->library->catalog || !a->library->row.id)
		return STATUS_OK;
	return catalog_contents_sample(a->library->catalog, most, a->nulls, &a->null_count, err);
}

static enum status prepare(struct asking *a, const char *head, struct err *err)
{
	const struct engine *engine = &a->library->engine;
	enum status status = STATUS_OK;

	if (head)
		status = labelling_find(a->library, head, true, &a->head, err);
	if (status == STATUS_OK && head)
		status = head_pass_new(&a->head, 1, coca_config(engine->model)->context_length, &a->pass, err);
	if (status == STATUS_OK && !head)
		status = prepare_nulls(a, err);
	if (status != STATUS_OK)
		return status;
	size_t C = a->answers = head ? a->head.labels_count : a->choices.count, n = coca_config(engine->model)->context_length;
	size_t pairs = mem_product(head ? 1 : C, 1 + SCORE_NULLS);
	a->limit = a->limit < C ? a->limit : C;
	a->texts = mem_array(head ? 1 : C, sizeof *a->texts);
	a->tokens = mem_floats(mem_product(head ? 1 : 1 + SCORE_NULLS, engine->tokens * engine->width));
	a->states = mem_floats(mem_product(n, engine->width));
	a->p = mem_floats(C);
	a->ranked = mem_array(C, sizeof *a->ranked);
	a->sums = mem_floats(pairs);
	a->pairs = mem_array(pairs, sizeof *a->pairs);
	if (!a->texts || !a->tokens || !a->states || !a->p || !a->ranked || !a->sums || !a->pairs)
		return err_memory(err, "a question");
	for (size_t c = 0; c < C && status == STATUS_OK && !head; c++)
		status = add_text(a, a->choices.names[c], err);
	return status == STATUS_OK && head ? add_text(a, NULL, err) : status;
}

static void release(struct asking *a)
{
	for (size_t i = 0; i < a->text_count; i++)
		free((void *)a->texts[i].ids);
	free(a->texts);
	free(a->nulls);
	free(a->tokens);
	free(a->states);
	free(a->p);
	free(a->ranked);
	free(a->sums);
	free(a->pairs);
	head_pass_free(a->pass);
	head_release(&a->head);
	choices_release(&a->choices);
}

static int run(struct cli *cli, const struct arguments *args)
{
	struct asking a = {.cli = cli, .library = cli->library};
	struct err err;
	int code = EXIT_DONE;
	enum status status = parse(args, &a, &err);

	if (status == STATUS_OK)
		status = prepare(&a, ((const struct options *)args->options)->head, &err);
	for (size_t i = 0; i + 1 < args->count && status == STATUS_OK; i++)
		status = ask(&a, args->words[i], &err);
	if (status != STATUS_OK)
		code = cli_fail(cli, &err);
	else if (a.failed)
		code = a.done ? EXIT_SKIPPED : EXIT_FAILED;
	release(&a);
	return code;
}

const struct command command_ask = {
	.name = "ask",
	.synopsis = "FILE... QUESTION",
	.summary = "ask a question about photographs",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_ask,
	.needs = NEEDS_LIBRARY_OR_NONE,
	.check = check,
	.run = run,
	.passive_threads = true,
};
