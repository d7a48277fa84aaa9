/* report.h: what became of training runs, for model cards and for whoever compares them. */
#ifndef MODEL_TRAIN_REPORT_H
#define MODEL_TRAIN_REPORT_H

#include "model/train/log.h"
#include "schema/base/memory.h"

/* The measured row with the best mean of both ways' recall at 10; NULL: nothing was measured. */
const struct train_row *train_report_best(const struct train_log *log);

/* Seconds that all steps took, without measuring and saving. */
double train_report_seconds(const struct train_log *log, size_t samples /* of a step */);

/* The head of a Markdown table, and a row of it for the run in a folder (log.csv, open_clip_config.json). options: how it was
 * started, for the last column. */
void train_report_head(struct buffer *out);
enum status train_report_row(const char *folder, size_t samples, const char *options, struct buffer *out, struct err *err);

#endif
