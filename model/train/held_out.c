/* held_out.c: see held_out.h. */
#include "model/train/held_out.h"

#include <stdlib.h>
#include <string.h>

#include "model/data/recall.h"
#include "model/image/image.h"
#include "model/math/normalise.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

struct held_out {
	const struct dataset *data;
	size_t E, image, context;
	size_t count;           /* photographs */
	uint32_t *samples;      /* [count] */
	uint8_t *rgb;           /* [count,S,S,3] */
	size_t texts;
	uint32_t *photo_of;     /* [texts], ascending: captions of a photograph follow each other */
	uint32_t *caption_of;   /* [texts]: which of its captions */
};

static bool crop(const struct dataset *data, size_t sample, size_t side, uint8_t *rgb)
{
	const uint8_t *bytes;
	size_t size;
	void *owned;
	struct image image = {0};
	struct err err;
	bool good = dataset_bytes(data, DATASET_HELD_OUT, sample, &bytes, &size, &owned, &err) == STATUS_OK &&
		    image_decode(bytes, size, 0, 0, &image, &err) == STATUS_OK && image_crop(&image, side, rgb, &err) == STATUS_OK;

	image_release(&image);
	free(owned);
	return good;
}

/* At most `most` of the samples, in order; returns how many. */
static size_t choose(const struct dataset *data, size_t samples, size_t most, uint32_t *chosen)
{
	size_t n = 0;

	for (size_t i = 0; i < samples; i++) {
		const struct dataset_source *source = dataset_source(data, DATASET_HELD_OUT, i);
		if (!source->classes && !source->whole)
			chosen[n++] = (uint32_t)i;
	}
	if (n == 0)
		while (n < samples) {
			chosen[n] = (uint32_t)n;
			n++;
		}
	size_t count = n < most ? n : most;
	for (size_t i = 0; i < count; i++)
		chosen[i] = chosen[i * n / count];
	return count;
}

/* Crops them all; keeps those that could be decoded, in order. */
static enum status crop_all(struct held_out *h, size_t side, struct err *err)
{
	bool *good = mem_array(h->count, sizeof *good);
	size_t kept = 0;

	if (!good)
		return err_memory(err, "the held-out samples");
#pragma omp parallel for schedule(dynamic)
	for (size_t i = 0; i < h->count; i++) {
		good[i] = crop(h->data, h->samples[i], side, h->rgb + i * h->image);
	}
	for (size_t i = 0; i < h->count; i++)
		if (good[i]) {
			if (kept != i)
				memcpy(h->rgb + kept * h->image, h->rgb + i * h->image, h->image);
			h->samples[kept++] = h->samples[i];
		}
	h->count = kept;
	free(good);
	return STATUS_OK;
}

static enum status list_texts(struct held_out *h, struct err *err)
{
	for (size_t i = 0; i < h->count; i++)
		h->texts += dataset_captions(h->data, DATASET_HELD_OUT, h->samples[i]);
	h->photo_of = mem_array(h->texts, sizeof *h->photo_of);
	h->caption_of = mem_array(h->texts, sizeof *h->caption_of);
	if (!h->photo_of || !h->caption_of)
		return err_memory(err, "the held-out captions");
	size_t t = 0;
	for (size_t i = 0; i < h->count; i++)
		for (size_t c = 0; c < dataset_captions(h->data, DATASET_HELD_OUT, h->samples[i]); c++, t++) {
			h->photo_of[t] = (uint32_t)i;
			h->caption_of[t] = (uint32_t)c;
		}
	return STATUS_OK;
}

enum status held_out_new(const struct dataset *data, const struct config *config, size_t most, struct held_out **held, struct err *err)
{
	struct dataset_counts counts;

	*held = NULL;
	dataset_count(data, &counts);
	if (!counts.held_out)
		return STATUS_OK;
	struct held_out *h = mem_array(1, sizeof *h);
	if (!h)
		return err_memory(err, "the held-out samples");
	h->data = data;
	h->E = config->embed_dim;
	h->image = 3 * config->image_size * config->image_size;
	h->context = config->context_length;
	h->samples = mem_array(counts.held_out, sizeof *h->samples);
	if (h->samples)
		h->count = choose(data, counts.held_out, most, h->samples);
	h->rgb = mem_array(h->count, h->image);
	enum status status = err_memory(err, "the held-out samples");
	if (h->samples && h->rgb)
		status = crop_all(h, config->image_size, err);
	if (status == STATUS_OK)
		status = list_texts(h, err);
	if (status == STATUS_OK && h->count)
		*held = h;
	else
		held_out_free(h);
	return status;
}

void held_out_free(struct held_out *h)
{
	if (!h)
		return;
	free(h->samples);
	free(h->rgb);
	free(h->photo_of);
	free(h->caption_of);
	free(h);
}

size_t held_out_count(const struct held_out *h)
{
	return h ? h->count : 0;
}

/* ---- features --------------------------------------------------------------------------------------------------- */

struct measuring {
	const struct held_out *held;
	const struct objective *objective;
	struct network *network;
	const struct weights *weights;
	float *images, *texts;  /* [count,E] [texts,E], normalised */
	int32_t *ids;           /* of one batch */
	size_t *begin;
	struct batch_sample *samples;
};

/* Puts one caption's ids into place i of the batch. */
static void put_text(struct measuring *m, size_t i, uint32_t photo, uint32_t which)
{
	size_t count, at = i ? m->begin[i] : 0;
	const int32_t *ids = dataset_ids(m->held->data, DATASET_HELD_OUT, m->held->samples[photo], which, &count);

	m->begin[0] = 0;
	memcpy(m->ids + at, ids, count * sizeof *ids);
	m->begin[i + 1] = at + count;
	m->samples[i] = (struct batch_sample){
		.photo = dataset_photo(m->held->data, DATASET_HELD_OUT, m->held->samples[photo]),
		.caption = dataset_text(m->held->data, DATASET_HELD_OUT, m->held->samples[photo], which),
		.share = 1,
	};
}

/* Photographs with their first captions: image features and losses. */
static enum status measure_images(struct measuring *m, size_t batch, struct train_measure *measure, struct err *err)
{
	const struct held_out *h = m->held;
	size_t counted = 0, done = 0;

	for (size_t from = 0; from < h->count; from += batch) {
		size_t n = h->count - from < batch ? h->count - from : batch;
		struct losses losses;
		for (size_t i = 0; i < n; i++)
			put_text(m, i, (uint32_t)(from + i), 0);
		struct batch_part part = {
			.batch = {n, NULL, h->rgb + from * h->image, m->ids, m->begin, NULL},
			.samples = m->samples,
		};
		enum status status = objective_losses(m->objective, m->network, m->weights, &part, &losses, err);
		if (status != STATUS_OK)
			return status;
		normalise_rows(network_image_features(m->network), n, h->E, m->images + from * h->E, NULL);
		measure->contrastive += losses.contrastive * (double)n;
		measure->caption += losses.caption * (double)losses.counted;
		counted += losses.counted;
		done += n;
	}
	measure->contrastive /= (double)done;
	measure->caption /= counted ? (double)counted : 1;
	return STATUS_OK;
}

static enum status measure_texts(struct measuring *m, size_t batch, struct err *err)
{
	const struct held_out *h = m->held;

	for (size_t from = 0; from < h->texts; from += batch) {
		size_t n = h->texts - from < batch ? h->texts - from : batch;
		for (size_t i = 0; i < n; i++)
			put_text(m, i, h->photo_of[from + i], h->caption_of[from + i]);
		struct batch_inputs texts = {n, NULL, NULL, m->ids, m->begin, NULL};
		enum status status = network_forward(m->network, m->weights, &texts, NETWORK_CONTRASTIVE, err);
		if (status != STATUS_OK)
			return status;
		normalise_rows(network_text_features(m->network), n, h->E, m->texts + from * h->E, NULL);
	}
	return STATUS_OK;
}

/* ---- recall ----------------------------------------------------------------------------------------------------- */

/* Each caption is a query for its photograph among all, each photograph one for any of its captions. */
static enum status measure_recall(const struct measuring *m, struct train_measure *measure, struct err *err)
{
	const struct held_out *h = m->held;
	struct ranking photos = {0}, texts = {0};
	enum status status = ranking_make(m->texts, h->photo_of, h->texts, m->images, NULL, h->count, h->E, 0, &photos, err);

	if (status == STATUS_OK)
		status = ranking_make(m->images, NULL, h->count, m->texts, h->photo_of, h->texts, h->E, 0, &texts, err);
	if (status == STATUS_OK) {
		struct recall by_text = recall_of(photos.place, h->texts), by_photo = recall_of(texts.place, h->count);
		memcpy(measure->text_to_image, (double[]){by_text.r1, by_text.r5, by_text.r10}, sizeof measure->text_to_image);
		memcpy(measure->image_to_text, (double[]){by_photo.r1, by_photo.r5, by_photo.r10}, sizeof measure->image_to_text);
	}
	ranking_release(&photos);
	ranking_release(&texts);
	return status;
}

enum status held_out_measure(const struct held_out *h, const struct objective *objective, struct network *network,
			     const struct weights *weights, size_t batch, struct train_measure *measure, struct err *err)
{
	struct measuring m = {.held = h, .objective = objective, .network = network, .weights = weights};
	enum status status = STATUS_OK;

	*measure = (struct train_measure){0};
	m.images = mem_floats(mem_product(h->count, h->E));
	m.texts = mem_floats(mem_product(h->texts, h->E));
	m.ids = mem_array(mem_product(batch, h->context), sizeof *m.ids);
	m.begin = mem_array(batch + 1, sizeof *m.begin);
	m.samples = mem_array(batch, sizeof *m.samples);
	if (!m.images || !m.texts || !m.ids || !m.begin || !m.samples)
		status = err_memory(err, "the held-out features");
	if (status == STATUS_OK)
		status = measure_images(&m, batch, measure, err);
	if (status == STATUS_OK)
		status = measure_texts(&m, batch, err);
	if (status == STATUS_OK)
		status = measure_recall(&m, measure, err);
	free(m.images);
	free(m.texts);
	free(m.ids);
	free(m.begin);
	free(m.samples);
	return status;
}
