/* config_options.c: see config_options.h. */
#include "model/files/config_options.h"

#include <stdio.h>
#include <string.h>

#include "schema/base/banned.h"

/* Attention blocks of another make, in both CLIPVisionCfg and CLIPTextCfg. */
#define CUSTOM_BLOCKS                                                                                     \
	{"block_type", ONLY_NULL, "default"}, {"qk_norm", ONLY_FALSE, NULL},                              \
	{"scaled_cosine_attn", ONLY_FALSE, NULL}, {"scale_heads", ONLY_FALSE, NULL},                      \
	{"scale_attn_inner", ONLY_FALSE, NULL}, {"scale_attn", ONLY_FALSE, NULL}, {"scale_fc", ONLY_FALSE, NULL}

const struct config_option config_file_options[] = {
	{"model_cfg", USED, NULL},
	{"preprocess_cfg", USED, NULL},
	{NULL, USED, NULL},
};

const struct config_option config_model_options[] = {
	{"embed_dim", USED, NULL},
	{"vision_cfg", USED, NULL},
	{"text_cfg", USED, NULL},
	{"multimodal_cfg", USED, NULL},
	{"quick_gelu", USED, NULL},
	{"custom_text", ONLY_TRUE, NULL},
	{"init_logit_scale", ANY, NULL}, /* the checkpoint's logit_scale replaces it */
	{"init_logit_bias", ONLY_NULL, NULL},
	{"nonscalar_logit_scale", ANY, NULL}, /* a shape of [1] instead of [] */
	{"cast_dtype", ONLY_NULL, NULL},
	{"output_dict", ANY, NULL},
	{"pad_id", ONLY_ZERO, NULL},
	{NULL, USED, NULL},
};

const struct config_option config_vision_options[] = {
	{"layers", USED, NULL},
	{"width", USED, NULL},
	{"head_width", USED, NULL},
	{"mlp_ratio", USED, NULL},
	{"patch_size", USED, NULL},
	{"image_size", USED, NULL},
	{"ls_init_value", USED, NULL},
	{"attentional_pool", USED, NULL},
	{"attn_pooler_queries", USED, NULL},
	{"attn_pooler_heads", USED, NULL},
	{"no_ln_pre", USED, NULL},
	{"stem", USED, NULL}, /* ours */
	{"patch_dropout", ANY, NULL}, /* training only */
	{"output_tokens", ANY, NULL}, /* a CoCa always needs them */
	{"input_patchnorm", ONLY_FALSE, NULL},
	{"global_average_pool", ONLY_FALSE, NULL},
	{"pos_embed_type", ONLY_TEXT, "learnable"},
	{"pool_type", ONLY_TEXT, "tok"},
	{"final_ln_after_pool", ONLY_FALSE, NULL},
	{"act_kwargs", ONLY_EMPTY, NULL},
	{"norm_kwargs", ONLY_EMPTY, NULL},
	CUSTOM_BLOCKS,
	{"timm_model_name", ONLY_NULL, NULL},
	{"timm_model_pretrained", ANY, NULL}, /* these say how to make a timm tower, and there is none */
	{"timm_pool", ANY, NULL},
	{"timm_proj", ANY, NULL},
	{"timm_proj_bias", ANY, NULL},
	{"timm_drop", ANY, NULL},
	{"timm_drop_path", ANY, NULL},
	{NULL, USED, NULL},
};

/* CLIPTextCfg, which MultimodalCfg extends. */
#define TEXT_OPTIONS                                                                                      \
	{"context_length", USED, NULL}, {"vocab_size", USED, NULL}, {"width", USED, NULL},                \
	{"heads", USED, NULL}, {"layers", USED, NULL}, {"ls_init_value", USED, NULL},                     \
	{"mlp_ratio", USED, NULL}, {"output_tokens", ANY, NULL},                                          \
	{"hf_tokenizer_name", ONLY_NULL, NULL}, {"tokenizer_mode", ONLY_NULL, NULL},                      \
	{"tokenizer_kwargs", ONLY_EMPTY, NULL}, {"act_kwargs", ONLY_EMPTY, NULL},                         \
	{"norm_kwargs", ONLY_EMPTY, NULL}, {"pad_id", ONLY_ZERO, NULL}, {"eos_id", ANY, NULL},            \
	{"no_causal_mask", ONLY_FALSE, NULL}, {"use_pad_mask", ONLY_FALSE, NULL},                         \
	{"correct_cls_mask", ONLY_FALSE, NULL}, {"final_ln_after_pool", ONLY_FALSE, NULL},                \
	{"pool_type", ONLY_TEXT, "argmax"}, {"proj_bias", ONLY_FALSE, NULL},                              \
	{"proj_type", ONLY_TEXT, "linear"}, CUSTOM_BLOCKS, {"hf_model_name", ONLY_NULL, NULL},            \
	{"hf_model_pretrained", ANY, NULL}, {"hf_proj_type", ANY, NULL}, {"hf_pooler_type", ANY, NULL}

const struct config_option config_text_options[] = {
	TEXT_OPTIONS,
	{"embed_cls", USED, NULL},
	{NULL, USED, NULL},
};

const struct config_option config_multimodal_options[] = {
	TEXT_OPTIONS,
	{"attn_pooler_heads", USED, NULL},
	{"embed_cls", ANY, NULL}, /* what follows is not handed to OpenCLIP's decoder */
	{"dim_head", ANY, NULL},
	{"n_queries", ANY, NULL},
	{NULL, USED, NULL},
};

const struct config_option config_preprocess_options[] = {
	{"mean", USED, NULL},
	{"std", USED, NULL},
	{"size", USED, NULL},
	{"interpolation", USED, NULL},
	{"mode", ONLY_TEXT, "RGB"},
	{"resize_mode", ONLY_TEXT, "shortest"},
	{"fill_color", ANY, NULL}, /* of padding, which "shortest" has none of */
	{NULL, USED, NULL},
};

/* {"eps": 1e-5} and {"approximate": "none"} are what LayerNorm and GELU take without being told. */
static bool is_default_kwargs(const cJSON *item)
{
	const cJSON *child;

	if (cJSON_IsNull(item))
		return true;
	if (!cJSON_IsObject(item))
		return false;
	cJSON_ArrayForEach(child, item) {
		if (strcmp(child->string, "eps") == 0 && cJSON_IsNumber(child) && child->valuedouble == 1e-5)
			continue;
		if (strcmp(child->string, "approximate") == 0 && cJSON_IsString(child) && strcmp(child->valuestring, "none") == 0)
			continue;
		return false;
	}
	return true;
}

bool config_option_obeyed(const struct config_option *option, const cJSON *item)
{
	bool is_text = option->text && cJSON_IsString(item) && strcmp(item->valuestring, option->text) == 0;

	switch (option->rule) {
	case ONLY_NULL: return cJSON_IsNull(item) || is_text;
	case ONLY_FALSE: return cJSON_IsFalse(item);
	case ONLY_TRUE: return cJSON_IsTrue(item);
	case ONLY_ZERO: return cJSON_IsNumber(item) && item->valuedouble == 0;
	case ONLY_TEXT: return is_text;
	case ONLY_EMPTY: return is_default_kwargs(item);
	case USED:
	case ANY: break;
	}
	return true;
}

const char *config_option_rule(const struct config_option *option, char text[80])
{
	switch (option->rule) {
	case ONLY_NULL: return "null";
	case ONLY_FALSE: return "false";
	case ONLY_TRUE: return "true";
	case ONLY_ZERO: return "0";
	case ONLY_TEXT: snprintf(text, 80, "\"%s\"", option->text); return text;
	default: return "the default";
	}
}
