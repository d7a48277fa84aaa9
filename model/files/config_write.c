/* config_write.c: a configuration as OpenCLIP's JSON: see config.h. */
#include "model/files/config.h"

#include <math.h>

#include "schema/base/json.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* A ratio of which width * ratio, cut to a whole number, is hidden again. */
static double ratio_of(const struct tower *tower)
{
	double ratio = (double)tower->hidden / (double)tower->width;
	return (size_t)((double)tower->width * ratio) < tower->hidden ? nextafter(ratio, INFINITY) : ratio;
}

static void write_layer_scale(struct buffer *b, const struct tower *tower)
{
	if (!tower->layer_scale)
		return;
	buffer_text(b, ",\n\t\t\t\"ls_init_value\": ");
	json_number(b, (double)tower->layer_scale_init);
}

static void write_channels(struct buffer *b, const char *key, const float values[3])
{
	buffer_format(b, "\t\t\"%s\": [", key);
	for (int c = 0; c < 3; c++) {
		buffer_text(b, c ? ", " : "");
		json_number(b, (double)values[c]);
	}
	buffer_text(b, "]");
}

static void write_vision(struct buffer *b, const struct config *c)
{
	static const char *const poolings[] = {
		[POOL_NONE] = "false", [POOL_SINGLE] = "true", [POOL_PARALLEL] = "\"parallel\"", [POOL_CASCADE] = "\"cascade\""};

	buffer_format(b, "\t\t\"vision_cfg\": {\n\t\t\t\"image_size\": %zu,\n\t\t\t\"patch_size\": %zu,\n\t\t\t\"layers\": %zu,\n"
		      "\t\t\t\"width\": %zu,\n\t\t\t\"head_width\": %zu,\n\t\t\t\"mlp_ratio\": %.17g,\n", c->image_size, c->patch_size,
		      c->vision.layers, c->vision.width, c->vision.width / c->vision.heads, ratio_of(&c->vision));
	buffer_format(b, "\t\t\t\"attentional_pool\": %s,\n\t\t\t\"attn_pooler_queries\": %zu,\n\t\t\t\"attn_pooler_heads\": %zu,\n"
		      "\t\t\t\"no_ln_pre\": %s,\n\t\t\t\"output_tokens\": true", poolings[c->pooling], c->pool_queries, c->pool_heads,
		      c->no_ln_pre ? "true" : "false");
	write_layer_scale(b, &c->vision);
	for (size_t l = 0; l < c->stem_layers; l++)
		buffer_format(b, "%s[%zu, %zu]%s", l ? ", " : ",\n\t\t\t\"stem\": [", c->stem[l].width, c->stem[l].stride,
			      l + 1 == c->stem_layers ? "]" : "");
	buffer_text(b, "\n\t\t},\n");
}

char *config_write(const struct config *c)
{
	struct buffer b = {0};

	buffer_format(&b, "{\n\t\"model_cfg\": {\n\t\t\"embed_dim\": %zu,\n", c->embed_dim);
	write_vision(&b, c);
	buffer_format(&b, "\t\t\"text_cfg\": {\n\t\t\t\"context_length\": %zu,\n\t\t\t\"vocab_size\": %zu,\n\t\t\t\"width\": %zu,\n"
		      "\t\t\t\"heads\": %zu,\n\t\t\t\"layers\": %zu,\n\t\t\t\"mlp_ratio\": %.17g,\n\t\t\t\"embed_cls\": true,\n"
		      "\t\t\t\"output_tokens\": true", c->context_length, c->vocab_size, c->text.width, c->text.heads, c->text.layers,
		      ratio_of(&c->text));
	write_layer_scale(&b, &c->text);
	buffer_format(&b, "\n\t\t},\n\t\t\"multimodal_cfg\": {\n\t\t\t\"context_length\": %zu,\n\t\t\t\"vocab_size\": %zu,\n"
		      "\t\t\t\"width\": %zu,\n\t\t\t\"heads\": %zu,\n\t\t\t\"layers\": %zu,\n\t\t\t\"attn_pooler_heads\": %zu",
		      c->context_length, c->vocab_size, c->decoder.width, c->decoder.heads, c->decoder.layers, c->decoder_pool_heads);
	write_layer_scale(&b, &c->decoder);
	buffer_format(&b, "\n\t\t},\n\t\t\"custom_text\": true,\n\t\t\"quick_gelu\": %s\n\t},\n\t\"preprocess_cfg\": {\n",
		      c->quick_gelu ? "true" : "false");
	write_channels(&b, "mean", c->mean);
	buffer_text(&b, ",\n");
	write_channels(&b, "std", c->std);
	buffer_text(&b, "\n\t}\n}\n");
	if (b.failed)
		buffer_release(&b);
	return b.data;
}
