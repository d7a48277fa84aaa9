/* random_model.c: writes a model folder with random weights, for tests and benchmarks at full size.
 *
 *     build/tests/tools/random_model CONFIG.json OUTDIR [f32|f16] [SEED]
 *
 * Weights are spread as OpenCLIP's initialisation spreads them, but norms and biases are not left at 1 and 0, where they
 * could hide a mistake. The same configuration and seed give the same file, whatever the number of threads. There is no
 * tokenizer in the folder. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/files/weights.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

struct filling {
	const struct config *config;
	float *next;
	uint64_t seed;
};

/* Close to a normal deviate of mean 0 and deviation 1: four uniform numbers of 16 bits, added. */
static float deviate(uint64_t seed)
{
	uint64_t bits = test_random(&seed);
	float sum = 0;

	for (int i = 0; i < 4; i++)
		sum += (float)(bits >> (16 * i) & 0xffff) / 65536.0f - 0.5f;
	return sum * 1.7320508f;
}

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);
	return n >= m && strcmp(name + n - m, end) == 0;
}

/* Mean and deviation of a parameter, by its name and shape. */
static void spread(const struct weight_info *info, float *mean, float *deviation)
{
	bool is_norm = strstr(info->name, "ln_") != NULL;
	bool from_rows = ends_with(info->name, "text_projection") || ends_with(info->name, ".proj"); /* [in,out] */
	size_t in = from_rows ? info->shape[0] : info->count / (info->dims ? info->shape[0] : 1);

	*mean = 0;
	if (info->dims == 0) {
		*mean = logf(1 / 0.07f);
		*deviation = 0;
	} else if (ends_with(info->name, "gamma")) {
		*deviation = 0.1f;
	} else if (info->dims == 1) {
		*mean = is_norm && ends_with(info->name, "weight") ? 1 : 0;
		*deviation = 0.05f;
	} else if (strstr(info->name, "embedding") || ends_with(info->name, "query")) {
		*deviation = 0.02f;
	} else {
		*deviation = 1 / sqrtf((float)in);
	}
}

static enum status fill(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct filling *f = context;
	float mean, deviation, *values = f->next;

	(void)err;
	spread(info, &mean, &deviation);
	uint64_t seed = test_random(&f->seed);
	#pragma omp parallel for schedule(static) if (info->count > 1 << 16)
	for (size_t i = 0; i < info->count; i++)
		values[i] = mean + deviation * deviate(seed + i);
	*slot = values;
	f->next += info->count;
	return STATUS_OK;
}

static enum status write_text(const char *path, const char *text, struct err *err)
{
	struct file_writer writer;

	enum status status = file_writer_open(path, &writer, err);
	if (status != STATUS_OK)
		return status;
	fputs(text, writer.stream);
	return file_writer_commit(&writer, err);
}

static enum status make_model(const struct config *config, const char *folder, enum dtype store, uint64_t seed, struct err *err)
{
	struct weights weights = {0};
	float *values = mem_floats(weights_count(config));
	char *json = config_write(config), *json_path = path_join(folder, "open_clip_config.json");
	char *weights_path = path_join(folder, "open_clip_model.safetensors");
	struct filling f = {config, values, seed};
	enum status status;

	if (!values || !json || !json_path || !weights_path) {
		status = err_memory(err, "the model");
		goto out;
	}
	status = weights_init(&weights, config, err);
	if (status == STATUS_OK)
		status = weights_visit(&weights, config, fill, &f, err);
	if (status == STATUS_OK)
		status = path_make_folder(folder, err);
	if (status == STATUS_OK)
		status = write_text(json_path, json, err);
	if (status == STATUS_OK)
		status = weights_save(&weights, config, weights_path, store, err);
out:
	weights_release(&weights);
	free(weights_path);
	free(json_path);
	free(json);
	free(values);
	return status;
}

int main(int argc, char **argv)
{
	struct config config;
	struct err err;
	bool half = argc > 3 && strcmp(argv[3], "f16") == 0;

	if (argc < 3 || argc > 5 || (argc > 3 && !half && strcmp(argv[3], "f32") != 0)) {
		fprintf(stderr, "usage: random_model CONFIG.json OUTDIR [f32|f16] [SEED]\n");
		return 2;
	}
	enum status status = config_read(argv[1], &config, &err);
	if (status == STATUS_OK)
		status = make_model(&config, argv[2], half ? DTYPE_F16 : DTYPE_F32, argc > 4 ? strtoull(argv[4], NULL, 10) : 1, &err);
	if (status != STATUS_OK) {
		fprintf(stderr, "random_model: %s\n", err.text);
		return 1;
	}
	printf("%s: %.2f M parameters\n", argv[2], (double)weights_count(&config) / 1e6);
	return 0;
}
