/* train.c: see train.h. */
#include "model/train/train.h"

#include <math.h>
#include <stdlib.h>

#include "model/data/batches.h"
#include "model/train/held_out.h"
#include "model/train/network.h"
#include "model/train/parameters.h"
#include "model/train/report.h"
#include "model/train/state.h"
#include "schema/base/clock.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

struct train {
	struct train_options options;
	struct config config;
	const struct dataset *data;
	struct parameters parameters;
	struct network *network;
	struct batches *batches;
	struct batches_place place;   /* where the batches begin, until they are opened */
	struct batch_part *parts; /* [accumulate] */
	struct held_out *held_out;
	bool held_out_tried;
	struct train_log log;
	uint64_t steps;
};

enum status train_new(const struct train_options *options, const struct config *config, const struct dataset *data, struct train **train,
		      struct err *err)
{
	struct train *t = mem_array(1, sizeof *t);
	enum status status;

	*train = NULL;
	if (!t)
		return err_memory(err, "a training run");
	t->options = *options;
	t->config = *config;
	t->data = data;
	t->parts = mem_array(options->accumulate, sizeof *t->parts);
	status = t->parts ? parameters_init(&t->parameters, config, err) : err_memory(err, "a training run");
	if (status == STATUS_OK && options->freeze)
		status = parameters_freeze(&t->parameters, options->freeze, err);
	if (status == STATUS_OK)
		status = network_new(config, &t->network, err);
	if (status != STATUS_OK) {
		train_free(t);
		return status;
	}
	parameters_random(&t->parameters, options->seed);
	*train = t;
	return STATUS_OK;
}

void train_free(struct train *t)
{
	if (!t)
		return;
	batches_close(t->batches);
	held_out_free(t->held_out);
	network_free(t->network);
	parameters_release(&t->parameters);
	train_log_release(&t->log);
	free(t->parts);
	free(t);
}

enum status train_from(struct train *t, const struct weights *weights, const struct config *config, struct err *err)
{
	return parameters_copy(&t->parameters, weights, config, err);
}

uint64_t train_steps(const struct train *t)
{
	return t->steps;
}

size_t train_parameters(const struct train *t, size_t *trained)
{
	size_t all = 0;

	*trained = 0;
	for (size_t i = 0; i < t->parameters.count; i++) {
		all += t->parameters.list[i].info.count;
		*trained += t->parameters.list[i].frozen ? 0 : t->parameters.list[i].info.count;
	}
	return all;
}

size_t train_memory(const struct train *t)
{
	return network_memory(t->network) + 5 * t->parameters.floats * sizeof(float);
}

const struct train_log *train_history(const struct train *t)
{
	return &t->log;
}

size_t train_failed(const struct train *t, char example[256])
{
	example[0] = '\0';
	return t->batches ? batches_failed(t->batches, example) : 0;
}

/* ---- a step ----------------------------------------------------------------------------------------------------- */

static enum status open_batches(struct train *t, struct err *err)
{
	const struct batches_options options = {
		.data = t->data,
		.config = &t->config,
		.augment = t->options.augment,
		.mix = t->options.mix,
		.forget = t->options.forget,
		.together = t->options.together,
		.batch = t->options.batch,
		.parts = t->options.accumulate,
		.seed = t->options.seed,
		.place = t->place,
		.threads = t->options.decoders,
	};
	return t->batches ? STATUS_OK : batches_open(&options, &t->batches, err);
}

/* The first parameter that holds a value that is not finite in a row of all; NULL: none. */
static const char *first_not_finite(const struct parameters *p, const float *row)
{
	for (size_t i = 0; i < p->count; i++)
		for (size_t j = 0; j < p->list[i].info.count; j++)
			if (!isfinite(row[p->list[i].offset + j]))
				return p->list[i].info.name;
	return NULL;
}

/* Weights that are not finite are the cause where there are any; otherwise the arithmetic overflowed. */
static enum status blame(const struct train *t, const struct losses *losses, struct err *err)
{
	const char *weight = first_not_finite(&t->parameters, t->parameters.value);
	const char *gradient = first_not_finite(&t->parameters, t->parameters.gradient);
	char cause[192] = "";

	if (weight)
		return err_set(err, STATUS_FAILED, "stopped at step %llu: '%s' holds a value that is not finite",
			       (unsigned long long)(t->steps + 1), weight);
	if (gradient)
		snprintf(cause, sizeof cause, ", and the gradient of '%s' is not finite; hint: a lower --lr, a longer --warmup", gradient);
	return err_set(err, STATUS_FAILED, "stopped at step %llu: the loss is %g (contrastive %g, caption %g)%s",
		       (unsigned long long)(t->steps + 1), losses->total, losses->contrastive, losses->caption, cause);
}

enum status train_step(struct train *t, struct train_row *row, struct err *err)
{
	const struct train_options *o = &t->options;
	double started = clock_now();
	struct losses losses;
	enum status status = open_batches(t, err);

	*row = (struct train_row){0};
	if (status == STATUS_OK)
		status = batches_next(t->batches, t->parts, err);
	if (status == STATUS_OK)
		status = objective_gradient(&o->objective, t->network, &t->parameters, t->parts, o->accumulate, &losses, err);
	if (status == STATUS_OK && !isfinite(losses.total))
		status = blame(t, &losses, err);
	if (status == STATUS_OK)
		status = optimizer_step(&o->optimizer, &t->parameters, t->steps, &row->norm, err);
	if (status != STATUS_OK)
		return status;
	size_t samples = o->batch * o->accumulate;
	row->rate = optimizer_rate(&o->optimizer, t->steps);
	t->place = batches_place(t->batches);
	row->step = ++t->steps;
	row->epoch = (double)t->steps * (double)samples / (double)dataset_epoch_samples(t->data);
	row->loss = losses.total;
	row->contrastive = losses.contrastive;
	row->caption = losses.caption;
	row->scale = exp((double)*t->parameters.weights.logit_scale);
	row->samples_per_second = (double)samples / fmax(clock_now() - started, 1e-9);
	return train_log_add(&t->log, row, err);
}

enum status train_measure_held_out(struct train *t, struct train_measure *measure, size_t *count, struct err *err)
{
	enum status status = STATUS_OK;

	*count = 0;
	if (!t->held_out_tried) {
		status = held_out_new(t->data, &t->config, t->options.held_out_most, &t->held_out, err);
		t->held_out_tried = status == STATUS_OK;
	}
	if (status != STATUS_OK || !t->held_out)
		return status;
	status = held_out_measure(t->held_out, &t->options.objective, t->network, &t->parameters.averages, t->options.batch, measure, err);
	if (status != STATUS_OK)
		return status;
	*count = held_out_count(t->held_out);
	if (t->log.count) {
		t->log.rows[t->log.count - 1].measured = true;
		t->log.rows[t->log.count - 1].held_out = *measure;
	}
	return STATUS_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static enum status write_config(const struct train *t, const char *path, struct err *err)
{
	char *json = config_write(&t->config);
	struct file_writer writer;
	enum status status = json ? file_writer_open(path, &writer, err) : err_memory(err, "a configuration");

	if (status == STATUS_OK) {
		fputs(json, writer.stream);
		status = file_writer_commit(&writer, err);
	}
	free(json);
	return status;
}

/* One of the folder's files by one of the functions below. */
enum { FILE_CONFIG, FILE_WEIGHTS, FILE_LOG, FILE_CURVES, FILE_STATE, FILES };
static const char *const file_names[FILES] = {"open_clip_config.json", "open_clip_model.safetensors", "log.csv", "curves.svg",
					      "train_state.bin"};

static enum status write_file(struct train *t, int which, const char *path, struct err *err)
{
	const struct train_state state = {.step = t->steps, .seed = t->options.seed, .data = dataset_digest(t->data), .place = t->place,
					  .note = t->options.note, .note_size = t->options.note_size};

	switch (which) {
	case FILE_CONFIG:
		return write_config(t, path, err);
	case FILE_WEIGHTS:
		return weights_save(&t->parameters.averages, &t->config, path, t->options.store, err);
	case FILE_LOG:
		return train_log_write(&t->log, path, err);
	case FILE_CURVES:
		return train_log_draw(&t->log, path, err);
	default:
		return train_state_write(path, &state, &t->parameters, err);
	}
}

enum status train_save(struct train *t, struct err *err)
{
	enum status status = STATUS_OK;

	for (int which = 0; which < FILES && status == STATUS_OK; which++) {
		char *path = path_join(t->options.folder, file_names[which]);
		status = path ? write_file(t, which, path, err) : err_memory(err, "a path");
		free(path);
	}
	return status;
}

enum status train_save_best(struct train *t, struct err *err)
{
	if (!t->log.count || train_report_best(&t->log) != &t->log.rows[t->log.count - 1])
		return STATUS_OK;
	char *path = path_join(t->options.folder, "best.safetensors");
	enum status status = err_memory(err, "a path");

	if (path)
		status = weights_save(&t->parameters.averages, &t->config, path, t->options.store, err);
	free(path);
	return status;
}

enum status train_resume(struct train *t, bool *same, struct err *err)
{
	char *state_path = path_join(t->options.folder, file_names[FILE_STATE]);
	char *log_path = path_join(t->options.folder, file_names[FILE_LOG]);
	struct train_state state;
	enum status status = state_path && log_path ? train_state_read(state_path, &state, &t->parameters, err) : err_memory(err, "a path");

	if (status == STATUS_OK)
		status = train_log_read(log_path, state.step, &t->log, err);
	if (status == STATUS_OK) {
		*same = state.data == dataset_digest(t->data) && state.seed == t->options.seed;
		t->place = *same ? state.place : (struct batches_place){state.place.epoch + 1, 0};
		t->steps = state.step;
	}
	free(state_path);
	free(log_path);
	return status;
}
