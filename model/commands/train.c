/* train.c: `coca train`: from captioned photographs to a model folder. What it is put together from is train_prepare.c's; train.h
 * does the work. */
#include <stdarg.h>
#include <stdlib.h>

#include "model/commands/commands.h"
#include "model/commands/train_run.h"
#include "model/train/report.h"
#include "schema/base/embed.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_train, "model/commands/train.txt");

void train_say(const struct run *run, const char *format, ...)
{
	va_list list;

	if (run->cli->quiet)
		return;
	va_start(list, format);
	vfprintf(run->cli->log, format, list);
	va_end(list);
	fputc('\n', run->cli->log);
	fflush(run->cli->log);
}

static void say_plan(const struct run *run)
{
	const struct train_options *o = &run->options;
	size_t trained, all = train_parameters(run->train, &trained), samples = o->batch * o->accumulate;

	train_say(run, "%.2f million parameters, %s; %zu samples a step, %llu steps (%.3g epochs)", (double)all / 1e6,
	    trained == all ? "all trained" : "some frozen", samples, (unsigned long long)o->optimizer.steps,
	    (double)o->optimizer.steps * (double)samples / (double)dataset_epoch_samples(run->data));
	if (train_steps(run->train))
		train_say(run, "going on behind step %llu", (unsigned long long)train_steps(run->train));
}

static void say_step(const struct run *run, const struct train_row *row, const struct train_measure *held_out)
{
	train_say(run, "step %llu  epoch %.2f  loss %.4f (contrastive %.4f, caption %.4f)  %.0f samples/s%s", (unsigned long long)row->step,
	    row->epoch, row->loss, row->contrastive, row->caption, row->samples_per_second, held_out ? "" : "  saved");
	if (held_out)
		train_say(run, "    held out: contrastive %.4f, caption %.4f; recall at 1, 5, 10 in percent: text to image %.1f %.1f %.1f, "
		    "image to text %.1f %.1f %.1f", held_out->contrastive, held_out->caption, held_out->text_to_image[0],
		    held_out->text_to_image[1], held_out->text_to_image[2], held_out->image_to_text[0],
		    held_out->image_to_text[1], held_out->image_to_text[2]);
}

/* What is due behind a step: a measure, a checkpoint. */
static enum status look_up(struct run *run, const struct train_row *row, struct err *err)
{
	struct train_measure measure;
	size_t count = 0;
	bool last = row->step == run->options.optimizer.steps, save = last || row->step % run->save_every == 0;
	enum status status = STATUS_OK;

	if (last || row->step % run->eval_every == 0)
		status = train_measure_held_out(run->train, &measure, &count, err);
	if (status == STATUS_OK && count)
		status = train_save_best(run->train, err);
	if (status == STATUS_OK && save)
		status = train_save(run->train, err);
	if (status == STATUS_OK && (count || save)) {
		if (run->cli->progress)
			fputs("\r\033[K", run->cli->log);
		say_step(run, row, count ? &measure : NULL);
	}
	return status;
}

static enum status train_all(struct run *run, struct err *err)
{
	uint64_t steps = run->options.optimizer.steps, first = train_steps(run->train);
	size_t samples = run->options.batch * run->options.accumulate;
	struct progress progress;
	struct train_row row;
	char verb[96] = "training";
	enum status status = STATUS_OK;

	progress_start(&progress, &run->cli->listener, verb, "samples");
	while (train_steps(run->train) < steps && status == STATUS_OK && !*run->cli->interrupted) {
		status = train_step(run->train, &row, err);
		if (status != STATUS_OK)
			break;
		snprintf(verb, sizeof verb, "step %llu of %llu  loss %.3f (contrastive %.3f, caption %.3f)", (unsigned long long)row.step,
			 (unsigned long long)steps, row.loss, row.contrastive, row.caption);
		progress_show(&progress, (row.step - first) * samples, (steps - first) * samples);
		status = look_up(run, &row, err);
	}
	progress_end(&progress);
	bool stopped = train_steps(run->train) < steps;
	if (status == STATUS_OK && stopped)
		status = train_save(run->train, err);
	if (status == STATUS_OK && stopped)
		status = err_set(err, STATUS_INTERRUPTED,
				 "stopped and saved at step %llu of %llu; hint: coca train --out '%s' --resume goes on",
				 (unsigned long long)train_steps(run->train), (unsigned long long)steps, run->line->out);
	return status;
}

static void finish(const struct run *run)
{
	char example[256], memory[16];
	size_t failed = train_failed(run->train, example);

	if (failed)
		train_say(run, "%zu times a photograph could not be decoded and another took its place; the first: %s", failed, example);
	const struct train_log *log = train_history(run->train);
	const struct train_row *best = train_report_best(log);
	size_t samples = run->options.batch * run->options.accumulate;
	char time[16];
	train_say(run, "%zu steps, %zu samples in %s", log->count, log->count * samples,
	    cli_duration(train_report_seconds(log, samples), time));
	if (best)
		train_say(run, "best recall at 10: text to image %.1f, image to text %.1f at step %llu", best->held_out.text_to_image[2],
		    best->held_out.image_to_text[2], (unsigned long long)best->step);
	train_say(run, "%s of memory for parameters and activations", cli_bytes((double)train_memory(run->train), memory));
}

static void release(struct run *run)
{
	train_free(run->train);
	tokenizer_close(run->tokenizer);
	coca_close(run->from);
	dataset_free(run->data);
	for (size_t i = 0; i < run->source_count; i++)
		free(run->sources[i].path);
	free(run->sources);
	buffer_release(&run->note);
}

static int train(struct cli *cli, const struct arguments *args, bool resume)
{
	struct run run = {.cli = cli, .args = args, .line = args->options, .resume = resume};
	struct err err;
	enum status status = train_prepare(&run, &err);

	if (status == STATUS_OK) {
		say_plan(&run);
		status = train_all(&run, &err);
		finish(&run);
	}
	if (status == STATUS_OK && !cli->quiet)
		fprintf(cli->out, "%s\n", run.line->out);
	release(&run);
	return status == STATUS_OK ? EXIT_DONE : cli_fail(cli, &err);
}

static int resume_run(struct cli *cli, const struct arguments *args)
{
	const char *out = ((const struct train_line *)args->options)->out;
	char *note = NULL;
	struct buffer storage = {0};
	struct arguments merged = {0};
	struct err err;
	size_t size = 0;
	enum status status = out ? train_note_read(out, &note, &size, &err)
				 : err_set(&err, STATUS_USAGE, "--resume needs the folder of the run: --out DIR");

	if (status == STATUS_OK)
		status = train_note_merge(note, size, args, &storage, &merged, &err);
	int code = status == STATUS_OK ? train(cli, &merged, true) : cli_fail(cli, &err);
	arguments_release(&merged);
	buffer_release(&storage);
	free(note);
	return code;
}

/* ---- reports ---------------------------------------------------------------------------------------------------- */

static enum status report_one(const char *folder, struct buffer *out, struct err *err)
{
	char *note = NULL;
	struct buffer storage = {0}, words = {0};
	struct arguments none = {0}, args = {0};
	size_t size = 0;
	enum status status = train_note_read(folder, &note, &size, err);

	if (status == STATUS_OK)
		status = train_note_merge(note, size, &none, &storage, &args, err);
	if (status == STATUS_OK) {
		const struct train_options *o = &((const struct train_line *)args.options)->run;
		train_note_print(note, size, &words);
		status = words.failed ? err_memory(err, "a report")
				      : train_report_row(folder, o->batch * o->accumulate, words.data ? words.data : "", out, err);
	}
	arguments_release(&args);
	buffer_release(&storage);
	buffer_release(&words);
	free(note);
	return status;
}

static int report_runs(struct cli *cli, const struct arguments *args)
{
	struct buffer out = {0};
	struct err err;
	enum status status = args->count ? STATUS_OK : err_set(&err, STATUS_USAGE, "--report needs folders of runs");

	train_report_head(&out);
	for (size_t i = 0; i < args->count && status == STATUS_OK; i++)
		status = report_one(args->words[i], &out, &err);
	if (status == STATUS_OK && out.failed)
		status = err_memory(&err, "a report");
	if (status == STATUS_OK)
		fputs(out.data, cli->out);
	buffer_release(&out);
	return status == STATUS_OK ? EXIT_DONE : cli_fail(cli, &err);
}

static int run_train(struct cli *cli, const struct arguments *args)
{
	const struct train_line *line = args->options;

	if (line->report)
		return report_runs(cli, args);
	return line->resume ? resume_run(cli, args) : train(cli, args, false);
}

const struct command command_train = {
	.name = "train",
	.synopsis = "--out DIR --shards TAR...",
	.summary = "train a model on captioned photographs, or go on from one",
	.options = train_option_table,
	.options_size = sizeof(struct train_line),
	.details = help_train,
	.run = run_train,
	.handles_interrupt = true,
	.passive_threads = true,
};
