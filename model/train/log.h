/* log.h: what happened at each step of a run: log.csv, one line a step, and curves.svg, drawn from it. */
#ifndef MODEL_TRAIN_LOG_H
#define MODEL_TRAIN_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/status.h"

/* Recall at 1, 5 and 10, in percent, and the losses on what is held out. */
struct train_measure {
	double contrastive, caption;
	double text_to_image[3], image_to_text[3];
};

struct train_row {
	uint64_t step;           /* steps done, this one included */
	double epoch;            /* samples seen over samples of an epoch */
	double rate;             /* learning rate */
	double loss, contrastive, caption;
	double norm;             /* of the gradient before clipping */
	double scale;            /* exp(logit_scale) after the step */
	double samples_per_second;
	bool measured;
	struct train_measure held_out;
};

struct train_log {
	struct train_row *rows;
	size_t count, room;
};

void train_log_release(struct train_log *log);
enum status train_log_add(struct train_log *log, const struct train_row *row, struct err *err);

/* Reads rows up to a step; a missing file is an empty log. */
enum status train_log_read(const char *path, uint64_t upto, struct train_log *log, struct err *err);
/* Both atomic. */
enum status train_log_write(const struct train_log *log, const char *path, struct err *err);
enum status train_log_draw(const struct train_log *log, const char *path, struct err *err);

#endif
