/* config.h: a CoCa's shape, as open_clip_config.json writes it.
 *
 *     struct config config;
 *     if (config_read(path, &config, err) != STATUS_OK) ...
 *
 * Every option of OpenCLIP's CLIPVisionCfg, CLIPTextCfg and MultimodalCfg is known here: those that change the network are
 * honoured or refused by name, and an option that we have never heard of is refused too (STATUS_UNSUPPORTED).
 * Defaults are OpenCLIP's. One option is ours: vision_cfg.stem, a list of [width, stride], puts convolutions before the patches.
 */
#ifndef MODEL_FILES_CONFIG_H
#define MODEL_FILES_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/status.h"

enum pooling {
	POOL_NONE,      /* attentional_pool false: class token and patch tokens after ln_post */
	POOL_SINGLE,    /* true: one pooler of n queries, query 0 is the embedding, the rest image tokens (OpenCLIP's) */
	POOL_PARALLEL,  /* "parallel": a generative and a contrastive pooler, both on the encoder's tokens */
	POOL_CASCADE,   /* "cascade": the contrastive pooler attends to the generative one's output (the paper's) */
};

struct tower {
	size_t layers, width, heads;
	size_t hidden;          /* of the MLP */
	bool layer_scale;       /* ls_init_value is given: ls_1 and ls_2 follow each branch */
	float layer_scale_init; /* its value, for training from scratch */
};

/* One convolution of the stem (stem.h). */
struct stem_layer {
	size_t width, stride;   /* channels that it makes; 1 to 4 */
};
enum { STEM_MOST = 8 };

struct config {
	size_t embed_dim;       /* E */

	struct tower vision;
	size_t image_size;      /* S: photographs are S x S */
	size_t patch_size;
	size_t patches;         /* (S / patch)^2; the encoder sees 1 + patches positions */
	size_t stem_layers;     /* 0: OpenCLIP's, the patches are cut from the pixels */
	struct stem_layer stem[STEM_MOST];
	enum pooling pooling;
	size_t pool_queries;    /* attn_pooler_queries as configured */
	size_t pool_heads;
	size_t image_tokens;    /* N: what the decoder attends to: queries - 1, queries, or patches */
	bool no_ln_pre;

	struct tower text;
	size_t context_length;  /* C: ids of a text, start and end included; the class embedding has position C */
	size_t vocab_size;      /* V */
	int pad_id;             /* 0 */

	struct tower decoder;   /* multimodal: layers of (self block, cross block); its width W is E and the text tower's */
	size_t decoder_pool_heads; /* unused by the network, kept for writing */

	bool quick_gelu;        /* x * sigmoid(1.702 x) instead of the exact GELU */
	float mean[3], std[3];  /* of the pixels in 0..1, RGB */
};

/* ---- the stem's shapes ---- */

/* Of the map that layer l takes; l = stem_layers: of the one that conv1 takes. */
size_t config_stem_side(const struct config *config, size_t l);
size_t config_stem_channels(const struct config *config, size_t l);
/* Side of conv1's kernel, and columns of its matrix. */
size_t config_patch_side(const struct config *config);
size_t config_patch_inputs(const struct config *config);
bool config_stem_keeps(const struct config *config, size_t l); /* layer l adds its input */

/* ---- files ---- */

/* Reads and validates a whole file. STATUS_FORMAT or STATUS_UNSUPPORTED names the option. */
enum status config_read(const char *path, struct config *config, struct err *err);

/* The same from text; name stands in messages. */
enum status config_parse(const char *json, size_t size, const char *name, struct config *config, struct err *err);

/* The configuration as OpenCLIP's JSON, the caller's to free; NULL when out of memory. config_parse reads it back equal. */
char *config_write(const struct config *config);

#endif
