/* report.c: see report.h. */
#include "model/train/report.h"

#include <stdlib.h>

#include "model/files/config.h"
#include "schema/base/file.h"

#include "schema/base/banned.h"

static double mean_of(const struct train_row *row)
{
	return (row->held_out.text_to_image[2] + row->held_out.image_to_text[2]) / 2;
}

const struct train_row *train_report_best(const struct train_log *log)
{
	const struct train_row *best = NULL;

	for (size_t i = 0; i < log->count; i++)
		if (log->rows[i].measured && (!best || mean_of(&log->rows[i]) > mean_of(best)))
			best = &log->rows[i];
	return best;
}

double train_report_seconds(const struct train_log *log, size_t samples)
{
	double seconds = 0;

	for (size_t i = 0; i < log->count; i++)
		if (log->rows[i].samples_per_second > 0)
			seconds += (double)samples / log->rows[i].samples_per_second;
	return seconds;
}

void train_report_head(struct buffer *out)
{
	buffer_text(out, "| run | pixels | steps | samples | hours | best at step | text to image r1 r5 r10 | image to text r1 r5 r10 | "
			 "held-out losses | options |\n|---|---|---|---|---|---|---|---|---|---|\n");
}

static void print_best(const struct train_row *best, struct buffer *out)
{
	const struct train_measure *m = &best->held_out;

	buffer_format(out, " %llu | %.1f %.1f %.1f | %.1f %.1f %.1f | %.3f, %.3f |", (unsigned long long)best->step, m->text_to_image[0],
		      m->text_to_image[1], m->text_to_image[2], m->image_to_text[0], m->image_to_text[1], m->image_to_text[2],
		      m->contrastive, m->caption);
}

enum status train_report_row(const char *folder, size_t samples, const char *options, struct buffer *out, struct err *err)
{
	char *log_path = path_join(folder, "log.csv"), *config_path = path_join(folder, "open_clip_config.json");
	struct train_log log = {0};
	struct config config;
	enum status status = log_path && config_path ? config_read(config_path, &config, err) : err_memory(err, "a path");

	if (status == STATUS_OK)
		status = train_log_read(log_path, UINT64_MAX, &log, err);
	if (status == STATUS_OK && !log.count)
		status = err_set(err, STATUS_NOT_FOUND, "'%s' holds no steps of a run", log_path);
	if (status == STATUS_OK) {
		const struct train_row *best = train_report_best(&log);
		buffer_format(out, "| %s | %zu | %zu | %zu | %.2f |", folder, config.image_size, log.count, log.count * samples,
			      train_report_seconds(&log, samples) / 3600);
		if (best)
			print_best(best, out);
		else
			buffer_text(out, " | | | |");
		buffer_format(out, " `%s` |\n", options);
	}
	train_log_release(&log);
	free(log_path);
	free(config_path);
	return status;
}
