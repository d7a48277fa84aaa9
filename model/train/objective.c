/* objective.c: see objective.h. */
#include "model/train/objective.h"

#include <stdlib.h>
#include <string.h>

#include "model/train/loss.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* What the contrastive loss needs of all parts together. */
struct gathered {
	size_t N, E;
	float *memory, *image, *text, *dimage, *dtext; /* [N,E], in memory */
	struct batch_sample *samples;         /* [N] */
};

static enum status gathered_init(struct gathered *g, const struct batch_part *parts, size_t count, size_t E, struct err *err)
{
	*g = (struct gathered){.E = E};
	for (size_t k = 0; k < count; k++)
		g->N += parts[k].batch.B;
	g->memory = mem_floats(mem_product(mem_product(4, g->N), E));
	g->samples = mem_array(g->N, sizeof *g->samples);
	if (!g->memory || !g->samples)
		return err_memory(err, "the features of a batch");
	g->image = g->memory;
	g->text = g->image + g->N * E;
	g->dimage = g->text + g->N * E;
	g->dtext = g->dimage + g->N * E;
	for (size_t k = 0, at = 0; k < count; at += parts[k++].batch.B)
		for (size_t i = 0; i < parts[k].batch.B; i++) {
			g->samples[at + i] = parts[k].samples[i];
			g->samples[at + i].partner += (uint32_t)at;
		}
	return STATUS_OK;
}

static void gathered_release(struct gathered *g)
{
	free(g->memory);
	free(g->samples);
}

static enum network_want wanted(const struct objective *o)
{
	return (o->contrastive_weight != 0 ? NETWORK_CONTRASTIVE : 0) | (o->caption_weight != 0 ? NETWORK_CAPTION : 0);
}

static enum status contrastive(const struct objective *o, struct gathered *g, const struct weights *weights, float *dlog_scale,
			       struct losses *losses, struct err *err)
{
	const struct loss_pairs pairs = {g->N, g->E, g->image, g->text, g->samples};
	return loss_contrastive(&pairs, *weights->logit_scale, o->contrastive_weight, g->dimage, g->dtext, dlog_scale,
				&losses->contrastive, err);
}

static void take_features(struct gathered *g, const struct network *network, size_t at, size_t B)
{
	memcpy(g->image + at * g->E, network_image_features(network), B * g->E * sizeof(float));
	memcpy(g->text + at * g->E, network_text_features(network), B * g->E * sizeof(float));
}

/* gradients NULL: the losses alone. */
static enum status run(const struct objective *o, struct network *network, const struct weights *weights, const struct weights *gradients,
		       const struct batch_part *parts, size_t count, struct losses *losses, struct err *err)
{
	enum network_want want = wanted(o);
	struct gathered g;
	double caption_sum = 0;
	enum status status = gathered_init(&g, parts, count, network_embed_dim(network), err);

	*losses = (struct losses){0};
	size_t at = 0;
	for (size_t k = 0; k < count && status == STATUS_OK; at += parts[k++].batch.B) {
		losses->counted += network_counted(&parts[k].batch);
		/* Features of all but the last part need no decoder; of a lone caption loss nothing is needed beforehand. */
		bool last = k + 1 == count;
		if (!last && !(want & NETWORK_CONTRASTIVE))
			continue;
		status = network_forward(network, weights, &parts[k].batch, last ? want : NETWORK_CONTRASTIVE, err);
		if (status == STATUS_OK && want & NETWORK_CONTRASTIVE)
			take_features(&g, network, at, parts[k].batch.B);
	}
	if (status == STATUS_OK && want & NETWORK_CONTRASTIVE)
		status = contrastive(o, &g, weights, gradients ? gradients->logit_scale : NULL, losses, err);
	float each = losses->counted ? o->caption_weight / (float)losses->counted : 0;
	for (size_t k = count; k-- > 0 && status == STATUS_OK;) {
		double sum;
		at -= parts[k].batch.B;
		if (k + 1 < count)
			status = network_forward(network, weights, &parts[k].batch, want, err);
		if (status != STATUS_OK)
			break;
		network_backward(network, weights, gradients, g.dimage + at * g.E, g.dtext + at * g.E, each, &sum);
		caption_sum += sum;
	}
	losses->caption = losses->counted ? caption_sum / (double)losses->counted : 0;
	losses->total = (double)o->contrastive_weight * losses->contrastive + (double)o->caption_weight * losses->caption;
	gathered_release(&g);
	return status;
}

enum status objective_gradient(const struct objective *o, struct network *network, struct parameters *p, const struct batch_part *parts,
			       size_t count, struct losses *losses, struct err *err)
{
	return run(o, network, &p->weights, &p->gradients, parts, count, losses, err);
}

enum status objective_losses(const struct objective *o, struct network *network, const struct weights *weights,
			     const struct batch_part *part, struct losses *losses, struct err *err)
{
	return run(o, network, weights, NULL, part, 1, losses, err);
}
