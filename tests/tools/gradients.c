/* gradients.c: compares both losses and every parameter's gradient with the reference's.
 *
 *     build/tests/tools/gradients DIR            # open_clip_config.json, open_clip_model.safetensors, expected.safetensors,
 *                                                # expected_losses.json; expected_grads.safetensors, or else
 *                                                # expected_grads_sample.safetensors, where there is one
 *     build/tests/tools/gradients DIR OUT        # writes that sample of DIR's expected_grads.safetensors
 *
 * Losses must agree within 1e-5 (relative), each tensor's gradient within 1e-4 (norm of the difference over the norm of the
 * expected one) and each of its values within 1e-4 of its size plus 3e-5 of the tensor's root mean square. Every parameter
 * must have an expectation and every expectation a parameter. Exit code 0 only then.
 *
 * A sample has for each parameter a tensor of its name: at most 128 of the values, the kth of them from place 7919 k modulo
 * their number, and behind them the norm of all.
 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/files/checkpoint.h"
#include "model/net/coca.h"
#include "model/train/objective.h"
#include "schema/base/blas.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { SAMPLED = 128, STRIDE = 7919, SAMPLE_MOST = SAMPLED + 1 };
static const char whole_name[] = "expected_grads.safetensors", sample_name[] = "expected_grads_sample.safetensors";
static const double LOSS_TOLERANCE = 1e-5, NORM_TOLERANCE = 1e-4, VALUE_TOLERANCE = 1e-4, VALUE_FLOOR = 3e-5;

/* The batch of expected.safetensors: pixels as they are, texts cut where their padding begins. */
struct oracle_batch {
	struct batch_part part;
	float *pixels;
	int32_t *ids;
	size_t *begin;
	struct batch_sample *samples;
};

static enum status open_beside(const char *folder, const char *name, struct checkpoint **checkpoint, struct err *err)
{
	char *path = path_join(folder, name);
	enum status status = path ? checkpoint_open(path, checkpoint, err) : err_memory(err, "a path");

	free(path);
	return status;
}

static int64_t id_at(const struct tensor *text, size_t i)
{
	int64_t id;
	memcpy(&id, (const char *)text->data + i * sizeof id, sizeof id);
	return id;
}

static void cut_texts(struct oracle_batch *b, const struct tensor *text, size_t B, size_t C)
{
	for (size_t i = 0; i < B; i++) {
		size_t n = C;
		while (n > 1 && id_at(text, i * C + n - 1) == 0)
			n--;
		b->begin[i + 1] = b->begin[i] + n;
		for (size_t j = 0; j < n; j++)
			b->ids[b->begin[i] + j] = (int32_t)id_at(text, i * C + j);
		b->samples[i] = (struct batch_sample){.photo = i, .caption = i, .share = 1};
	}
}

static enum status read_batch(const char *folder, const struct config *config, struct oracle_batch *b, struct err *err)
{
	struct checkpoint *expected = NULL;
	enum status status = open_beside(folder, "expected.safetensors", &expected, err);
	size_t C = config->context_length, S = config->image_size;

	if (status != STATUS_OK)
		return status;
	const struct tensor *pixels = checkpoint_find(expected, "pixels"), *text = checkpoint_find(expected, "text");
	if (!pixels || !text || pixels->dims != 4 || pixels->shape[2] != S || pixels->count != text->shape[0] * 3 * S * S ||
	    text->dims != 2 || text->shape[1] != C || text->dtype != DTYPE_I64) {
		status = err_set(err, STATUS_FORMAT, "expected.safetensors: 'pixels' or 'text' is missing or has another shape");
		goto out;
	}
	size_t B = text->shape[0];
	b->pixels = mem_floats(pixels->count);
	b->ids = mem_array(text->count, sizeof *b->ids);
	b->begin = mem_array(B + 1, sizeof *b->begin);
	b->samples = mem_array(B, sizeof *b->samples);
	if (!b->pixels || !b->ids || !b->begin || !b->samples) {
		status = err_memory(err, "the batch");
		goto out;
	}
	status = tensor_floats(pixels, b->pixels, err);
	cut_texts(b, text, B, C);
	b->part = (struct batch_part){{B, b->pixels, NULL, b->ids, b->begin, NULL}, b->samples};
out:
	checkpoint_close(expected);
	return status;
}

static bool check_number(const cJSON *json, const char *name, double ours)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);

	if (!cJSON_IsNumber(item)) {
		printf("%-60s missing in expected_losses.json\n", name);
		return false;
	}
	double error = fabs(ours - item->valuedouble) / fmax(fabs(item->valuedouble), 1e-9);
	bool good = error <= LOSS_TOLERANCE;
	printf("%-60s %.9g expected %.9g, relative error %.2e%s\n", name, ours, item->valuedouble, error, good ? "" : "  WRONG");
	return good;
}

static enum status check_losses(const char *folder, const struct objective *o, const struct losses *losses, float log_scale, bool *good,
				struct err *err)
{
	char *path = path_join(folder, "expected_losses.json");
	uint8_t *bytes = NULL;
	size_t size;
	cJSON *json = NULL;
	enum status status = path ? file_read(path, 1 << 20, &bytes, &size, err) : err_memory(err, "a path");

	if (status != STATUS_OK)
		goto out;
	json = cJSON_ParseWithLength((const char *)bytes, size);
	if (!json) {
		status = err_set(err, STATUS_FORMAT, "cannot read '%s': not JSON", path);
		goto out;
	}
	double contrastive = (double)o->contrastive_weight * losses->contrastive, caption = (double)o->caption_weight * losses->caption;
	*good &= check_number(json, "contrastive_loss", contrastive);
	*good &= check_number(json, "caption_loss", caption);
	*good &= check_number(json, "loss", contrastive + caption);
	*good &= check_number(json, "logit_scale", exp((double)log_scale));
out:
	cJSON_Delete(json);
	free(bytes);
	free(path);
	return status;
}

static double norm_of(const float *x, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)x[i] * (double)x[i];
	return sqrt(sum);
}

static size_t sample_size(size_t count)
{
	return count < SAMPLED ? count : SAMPLED;
}

/* The sample of a gradient; returns how many floats. */
static size_t take_sample(const float *gradient, size_t count, float sample[SAMPLE_MOST])
{
	size_t n = sample_size(count);

	for (size_t k = 0; k < n; k++)
		sample[k] = gradient[k * STRIDE % count];
	sample[n] = (float)norm_of(gradient, count);
	return n + 1;
}

/* The first of n values that is too far off; n if none. rms: of the tensor that they are from. */
static size_t first_off(const float *ours, const float *expected, size_t n, double rms)
{
	size_t i = 0;

	while (i < n && fabs((double)ours[i] - (double)expected[i]) <= VALUE_TOLERANCE * fabs((double)expected[i]) + VALUE_FLOOR * rms)
		i++;
	return i;
}

/* Relative error by norm of ours against expected, whose norm is given. */
static double error_of(const float *ours, const float *expected, size_t n, double norm)
{
	double difference = 0;

	for (size_t i = 0; i < n; i++)
		difference += pow((double)ours[i] - (double)expected[i], 2);
	return norm > 0 ? sqrt(difference) / norm : difference > 0 ? INFINITY : 0;
}

/* A sample's last value is the norm, which is held against ours by itself. */
static bool compare(const char *name, const float *ours, const float *expected, size_t n, size_t count, bool sampled)
{
	size_t values = sampled ? n - 1 : n;
	double norm = sampled ? (double)expected[values] : norm_of(expected, n), error = error_of(ours, expected, values, norm);
	size_t off = first_off(ours, expected, values, norm / sqrt((double)count));

	if (sampled)
		error = fmax(error, error_of(ours + values, expected + values, 1, norm));
	bool fine = error <= NORM_TOLERANCE && off == values;
	printf("%-60s %.2e%s\n", name, error, fine ? "" : "  WRONG");
	if (off < values)
		printf("    value %zu is %.9g, expected %.9g\n", off, (double)ours[off], (double)expected[off]);
	return fine;
}

static enum status check_tensor(const struct parameters *p, size_t which, const struct checkpoint *expected, bool sampled, bool *good,
				struct err *err)
{
	const struct parameter *parameter = &p->list[which];
	const struct tensor *t = checkpoint_find(expected, parameter->info.name);
	const float *ours = p->gradient + parameter->offset;
	size_t count = parameter->info.count;
	float sample[SAMPLE_MOST];

	if (!t || t->count != (sampled ? sample_size(count) + 1 : count)) {
		printf("%-60s missing or of another size in %s  WRONG\n", parameter->info.name, sampled ? sample_name : whole_name);
		*good = false;
		return STATUS_OK;
	}
	float *floats = mem_floats(t->count);
	if (!floats)
		return err_memory(err, "a gradient");
	enum status status = tensor_floats(t, floats, err);
	if (sampled)
		take_sample(ours, count, sample);
	if (status == STATUS_OK)
		*good &= compare(parameter->info.name, sampled ? sample : ours, floats, t->count, count, sampled);
	free(floats);
	return status;
}

static enum status check_gradients(const char *folder, const struct parameters *p, bool *good, struct err *err)
{
	struct checkpoint *expected = NULL;
	enum status status = open_beside(folder, whole_name, &expected, err);
	bool sampled = status == STATUS_NOT_FOUND;

	if (sampled)
		status = open_beside(folder, sample_name, &expected, err);
	if (status == STATUS_NOT_FOUND) {
		printf("no %s here: losses alone\n", whole_name);
		return STATUS_OK;
	}
	for (size_t i = 0; i < p->count && status == STATUS_OK; i++)
		status = check_tensor(p, i, expected, sampled, good, err);
	if (status == STATUS_OK && checkpoint_count(expected) != p->count) {
		printf("%zu expected gradients for %zu parameters  WRONG\n", checkpoint_count(expected), p->count);
		*good = false;
	}
	checkpoint_close(expected);
	return status;
}

static enum status write_sample(const char *folder, const char *path, struct err *err)
{
	struct checkpoint *whole = NULL;
	float (*samples)[SAMPLE_MOST] = NULL;
	struct named_floats *list = NULL;
	enum status status = open_beside(folder, whole_name, &whole, err);
	size_t n = status == STATUS_OK ? checkpoint_count(whole) : 0;

	if (status == STATUS_OK) {
		samples = mem_array(n, sizeof *samples);
		list = mem_array(n, sizeof *list);
		status = samples && list ? STATUS_OK : err_memory(err, "a sample");
	}
	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		const struct tensor *t = checkpoint_at(whole, i);
		float *floats = mem_floats(t->count);
		status = floats ? tensor_floats(t, floats, err) : err_memory(err, "a gradient");
		if (status == STATUS_OK)
			list[i] = (struct named_floats){.name = t->name, .dims = 1, .data = samples[i],
							.shape = {take_sample(floats, t->count, samples[i])}};
		free(floats);
	}
	if (status == STATUS_OK)
		status = checkpoint_write(path, list, n, DTYPE_F32, NULL, 0, err);
	free(samples);
	free(list);
	checkpoint_close(whole);
	return status;
}

static enum status run(const char *folder, bool *good, struct err *err)
{
	const struct objective objective = {1, 2};
	struct coca *model = NULL;
	struct network *network = NULL;
	struct parameters p = {0};
	struct oracle_batch batch = {0};
	struct losses losses;
	enum status status = coca_open(folder, &model, err);

	if (status == STATUS_OK)
		status = parameters_init(&p, coca_config(model), err);
	if (status == STATUS_OK)
		status = parameters_copy(&p, coca_weights(model), coca_config(model), err);
	if (status == STATUS_OK)
		status = network_new(coca_config(model), &network, err);
	if (status == STATUS_OK)
		status = read_batch(folder, coca_config(model), &batch, err);
	if (status == STATUS_OK)
		status = objective_gradient(&objective, network, &p, &batch.part, 1, &losses, err);
	if (status == STATUS_OK)
		status = check_losses(folder, &objective, &losses, *p.weights.logit_scale, good, err);
	if (status == STATUS_OK)
		status = check_gradients(folder, &p, good, err);
	free(batch.pixels);
	free(batch.ids);
	free(batch.begin);
	free(batch.samples);
	network_free(network);
	parameters_release(&p);
	coca_close(model);
	return status;
}

int main(int argc, char **argv)
{
	struct err err;
	bool good = true;

	blas_guard(argv, false);
	if (argc != 2 && argc != 3) {
		fprintf(stderr, "usage: gradients DIR [OUT]\n");
		return 2;
	}
	if ((argc == 3 ? write_sample(argv[1], argv[2], &err) : run(argv[1], &good, &err)) != STATUS_OK) {
		fprintf(stderr, "gradients: %s\n", err.text);
		return 1;
	}
	if (argc == 2)
		printf("%s: %s\n", argv[1], good ? "within tolerance" : "WRONG");
	return good ? 0 : 1;
}
