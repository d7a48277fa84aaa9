/* config.c: tests of model/files/config.c. */
#include "model/files/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/files/weights.h"
#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

#define TEXT "\"text_cfg\":{\"context_length\":9,\"vocab_size\":50,\"width\":16,\"heads\":2,\"layers\":1,\"embed_cls\":true%s}"
#define VISION "\"vision_cfg\":{\"image_size\":16,\"patch_size\":8,\"width\":32,\"head_width\":8,\"layers\":2,\"attentional_pool\":true%s}"
#define DECODER "\"multimodal_cfg\":{\"width\":16,\"heads\":2,\"layers\":1%s}"

struct result {
	enum status status;
	struct err err;
	struct config config;
};

static struct result parse(const char *json)
{
	struct result r = {.err = {0}};
	r.status = config_parse(json, strlen(json), "x.json", &r.config, &r.err);
	return r;
}

/* A small configuration with something put behind each section's options (",\"a\":1") and behind the sections. */
static struct result parse_with(const char *vision, const char *text, const char *decoder, const char *model, const char *preprocess)
{
	struct buffer b = {0};

	buffer_format(&b, "{\"model_cfg\":{\"embed_dim\":16," VISION "," TEXT "," DECODER "%s}%s}", vision, text, decoder, model, preprocess);
	assert_false(b.failed);
	struct result r = parse(b.data);
	buffer_release(&b);
	return r;
}

static void assert_refused(struct result r, enum status status, const char *what)
{
	if (r.status != status || !strstr(r.err.text, what))
		fail_msg("wanted status %d and '%s', got %d and '%s'", status, what, r.status, r.status ? r.err.text : "");
	assert_non_null(strstr(r.err.text, "'x.json'"));
}

static struct config read_config(const char *name)
{
	struct config config;
	struct err err;
	char path[256];

	snprintf(path, sizeof path, "tests/data/configs/%s.json", name);
	assert_ok(config_read(path, &config, &err), &err);
	return config;
}

static void published_vit_b_32_has_its_size(void **state)
{
	(void)state;
	struct config c = read_config("coca_ViT-B-32");

	assert_int_equal(weights_count(&c), 253560065);
	assert_int_equal(c.image_tokens, 255);
	assert_int_equal(c.patches, 49);
	assert_int_equal(c.vision.heads, 12);
	assert_int_equal(c.context_length, 76);
	assert_int_equal(c.vocab_size, 49408);
	assert_true(c.mean[0] > 0.4814 && c.mean[0] < 0.4815);
}

static void published_vit_l_14_has_its_size(void **state)
{
	(void)state;
	struct config c = read_config("coca_ViT-L-14");

	assert_int_equal(weights_count(&c), 638450177);
	assert_int_equal(c.image_tokens, 255);
	assert_int_equal(c.vision.heads, 16);
	assert_int_equal(c.decoder.heads, 12);
}

static void each_pooling_is_read(void **state)
{
	(void)state;
	assert_int_equal(read_config("tiny").pooling, POOL_SINGLE);
	assert_int_equal(read_config("tiny").image_tokens, 8);
	assert_int_equal(read_config("tiny-cascade").pooling, POOL_CASCADE);
	assert_int_equal(read_config("tiny-cascade").image_tokens, 8);
	assert_int_equal(read_config("tiny-parallel").pooling, POOL_PARALLEL);
	assert_int_equal(read_config("tiny-nopool").pooling, POOL_NONE);
	assert_int_equal(read_config("tiny-nopool").image_tokens, 9);
}

static void quick_gelu_and_layer_scale_are_read(void **state)
{
	(void)state;
	assert_true(read_config("tiny-quickgelu").quick_gelu);
	assert_false(read_config("tiny").quick_gelu);
	struct config c = read_config("tiny-layerscale");
	assert_true(c.vision.layer_scale && c.text.layer_scale && c.decoder.layer_scale);
	assert_true(c.text.layer_scale_init == 0.1f);
	assert_false(read_config("tiny").vision.layer_scale);
}

static void defaults_are_openclips(void **state)
{
	(void)state;
	struct config c = read_config("tiny-defaults");

	assert_int_equal(c.vision.heads, 2);
	assert_int_equal(c.vision.hidden, 512);
	assert_int_equal(c.pool_queries, 256);
	assert_int_equal(c.pool_heads, 8);
	assert_int_equal(c.text.heads, 8);
	assert_int_equal(c.decoder.heads, 8);
}

static void assert_same_tower(struct tower a, struct tower b)
{
	assert_int_equal(a.layers, b.layers);
	assert_int_equal(a.width, b.width);
	assert_int_equal(a.heads, b.heads);
	assert_int_equal(a.hidden, b.hidden);
	assert_int_equal(a.layer_scale, b.layer_scale);
	assert_true(a.layer_scale_init == b.layer_scale_init);
}

static void assert_same_config(const struct config *a, const struct config *b)
{
	assert_same_tower(a->vision, b->vision);
	assert_same_tower(a->text, b->text);
	assert_same_tower(a->decoder, b->decoder);
	assert_int_equal(a->embed_dim, b->embed_dim);
	assert_int_equal(a->image_size, b->image_size);
	assert_int_equal(a->patch_size, b->patch_size);
	assert_int_equal(a->patches, b->patches);
	assert_int_equal(a->stem_layers, b->stem_layers);
	for (size_t l = 0; l < a->stem_layers; l++) {
		assert_int_equal(a->stem[l].width, b->stem[l].width);
		assert_int_equal(a->stem[l].stride, b->stem[l].stride);
	}
	assert_int_equal(a->pooling, b->pooling);
	assert_int_equal(a->pool_queries, b->pool_queries);
	assert_int_equal(a->pool_heads, b->pool_heads);
	assert_int_equal(a->image_tokens, b->image_tokens);
	assert_int_equal(a->no_ln_pre, b->no_ln_pre);
	assert_int_equal(a->context_length, b->context_length);
	assert_int_equal(a->vocab_size, b->vocab_size);
	assert_int_equal(a->decoder_pool_heads, b->decoder_pool_heads);
	assert_int_equal(a->quick_gelu, b->quick_gelu);
	assert_memory_equal(a->mean, b->mean, sizeof a->mean);
	assert_memory_equal(a->std, b->std, sizeof a->std);
}

static void assert_round_trip(const struct config *config)
{
	char *json = config_write(config);

	assert_non_null(json);
	struct result again = parse(json);
	free(json);
	assert_ok(again.status, &again.err);
	assert_same_config(config, &again.config);
}

static void what_is_written_reads_back_equal(void **state)
{
	(void)state;
	static const char *const names[] = {"tiny", "tiny-cascade", "tiny-parallel", "tiny-nopool", "tiny-quickgelu",
					    "tiny-layerscale", "tiny-defaults", "coca_ViT-B-32", "coca_ViT-L-14"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct config c = read_config(names[i]);
		assert_round_trip(&c);
	}
}

static void a_stem_reads_back_equal(void **state)
{
	(void)state;
	struct result r = parse_with(",\"stem\":[[8,2],[16,1],[24,2]]", "", "", "", "");

	assert_ok(r.status, &r.err);
	assert_int_equal(r.config.stem_layers, 3);
	assert_int_equal(r.config.stem[2].width, 24);
	assert_int_equal(r.config.stem[2].stride, 2);
	assert_round_trip(&r.config);
}

static void a_stem_that_does_not_fit_is_refused(void **state)
{
	(void)state;
	assert_refused(parse_with(",\"stem\":4", "", "", "", ""), STATUS_FORMAT, "vision_cfg.stem is not a list");
	assert_refused(parse_with(",\"stem\":[[8,2],[8]]", "", "", "", ""), STATUS_FORMAT, "[width, stride]");
	assert_refused(parse_with(",\"stem\":[[0,2]]", "", "", "", ""), STATUS_FORMAT, "vision_cfg.stem");
	assert_refused(parse_with(",\"stem\":[[8,5]]", "", "", "", ""), STATUS_FORMAT, "vision_cfg.stem");
	assert_refused(parse_with(",\"stem\":[[8,3]]", "", "", "", ""), STATUS_UNSUPPORTED, "no multiple of the stem's strides");
	assert_refused(parse_with(",\"stem\":[[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1]]", "", "", "", ""), STATUS_FORMAT,
		       "at most 8");
}

static void odd_mlp_ratios_read_back_equal(void **state)
{
	(void)state;
	struct config c = read_config("tiny");

	c.mean[1] = 0.1f;
	for (c.vision.hidden = 1; c.vision.hidden < 700; c.vision.hidden++)
		assert_round_trip(&c);
}

static void harmless_options_are_accepted(void **state)
{
	(void)state;
	struct result r = parse_with(",\"patch_dropout\":0.5,\"timm_model_name\":null,\"timm_pool\":\"avg\",\"act_kwargs\":{},"
				     "\"norm_kwargs\":{\"eps\":1e-5},\"block_type\":\"default\",\"pool_type\":\"tok\"",
				     ",\"hf_model_name\":null,\"eos_id\":2,\"pad_id\":0,\"ls_init_value\":null,\"output_tokens\":true",
				     ",\"dim_head\":64,\"n_queries\":256,\"mlp_ratio\":2,\"embed_cls\":false",
				     ",\"init_logit_scale\":2.6,\"custom_text\":true",
				     ",\"preprocess_cfg\":{\"size\":[16,16],\"mode\":\"RGB\",\"interpolation\":\"bicubic\",\"mean\":0.5,"
				     "\"std\":[0.5,0.5,0.5],\"resize_mode\":\"shortest\",\"fill_color\":0}");
	assert_ok(r.status, &r.err);
	assert_true(r.config.mean[2] == 0.5f);
	assert_int_equal(r.config.decoder.hidden, 64);
}

static void options_that_change_the_network_are_refused_by_name(void **state)
{
	(void)state;
	static const char *const vision[][2] = {
		{",\"timm_model_name\":\"vit\"", "vision_cfg.timm_model_name is \"vit\""},
		{",\"block_type\":\"custom\"", "vision_cfg.block_type"}, {",\"qk_norm\":true", "vision_cfg.qk_norm"},
		{",\"scale_fc\":true", "vision_cfg.scale_fc"}, {",\"global_average_pool\":true", "vision_cfg.global_average_pool"},
		{",\"input_patchnorm\":true", "vision_cfg.input_patchnorm"}, {",\"pool_type\":\"avg\"", "vision_cfg.pool_type"},
		{",\"pos_embed_type\":\"sin_cos_2d\"", "vision_cfg.pos_embed_type"},
		{",\"final_ln_after_pool\":true", "vision_cfg.final_ln_after_pool"},
		{",\"act_kwargs\":{\"approximate\":\"tanh\"}", "vision_cfg.act_kwargs"},
		{",\"norm_kwargs\":{\"eps\":1e-6}", "vision_cfg.norm_kwargs"},
	};
	static const char *const text[][2] = {
		{",\"hf_model_name\":\"roberta-base\"", "text_cfg.hf_model_name is \"roberta-base\""},
		{",\"hf_tokenizer_name\":\"t5\"", "text_cfg.hf_tokenizer_name"}, {",\"no_causal_mask\":true", "text_cfg.no_causal_mask"},
		{",\"correct_cls_mask\":true", "text_cfg.correct_cls_mask"}, {",\"pool_type\":\"last\"", "text_cfg.pool_type"},
		{",\"proj_type\":\"none\"", "text_cfg.proj_type"}, {",\"proj_bias\":true", "text_cfg.proj_bias"},
		{",\"pad_id\":1", "text_cfg.pad_id"}, {",\"tokenizer_kwargs\":{\"clean\":\"lower\"}", "text_cfg.tokenizer_kwargs"},
		{",\"scaled_cosine_attn\":true", "text_cfg.scaled_cosine_attn"},
	};

	for (size_t i = 0; i < sizeof vision / sizeof *vision; i++)
		assert_refused(parse_with(vision[i][0], "", "", "", ""), STATUS_UNSUPPORTED, vision[i][1]);
	for (size_t i = 0; i < sizeof text / sizeof *text; i++)
		assert_refused(parse_with("", text[i][0], "", "", ""), STATUS_UNSUPPORTED, text[i][1]);
	assert_refused(parse_with("", "", ",\"qk_norm\":true", "", ""), STATUS_UNSUPPORTED, "multimodal_cfg.qk_norm");
	assert_refused(parse_with("", "", "", ",\"init_logit_bias\":-10", ""), STATUS_UNSUPPORTED, "init_logit_bias");
	assert_refused(parse_with("", "", "", ",\"custom_text\":false", ""), STATUS_UNSUPPORTED, "custom_text");
}

static void unknown_options_are_refused_by_name(void **state)
{
	(void)state;
	assert_refused(parse_with(",\"wings\":2", "", "", "", ""), STATUS_UNSUPPORTED, "vision_cfg.wings is unknown");
	assert_refused(parse_with("", ",\"wings\":2", "", "", ""), STATUS_UNSUPPORTED, "text_cfg.wings is unknown");
	assert_refused(parse_with("", "", ",\"wings\":2", "", ""), STATUS_UNSUPPORTED, "multimodal_cfg.wings is unknown");
	assert_refused(parse_with("", "", "", ",\"audio_cfg\":{}", ""), STATUS_UNSUPPORTED, "audio_cfg is unknown");
	assert_refused(parse_with("", "", "", "", ",\"wings\":{}"), STATUS_UNSUPPORTED, "wings is unknown");
	assert_refused(parse_with("", "", "", "", ",\"preprocess_cfg\":{\"blur\":1}"), STATUS_UNSUPPORTED, "preprocess_cfg.blur is unknown");
	assert_refused(parse_with("", "", "", "", ",\"model_cfg\":{}"), STATUS_FORMAT, "model_cfg is given twice");
}

static void a_transform_that_is_not_ours_is_refused(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"\"interpolation\":\"bilinear\"", "preprocess_cfg.interpolation is \"bilinear\""},
		{"\"resize_mode\":\"squash\"", "preprocess_cfg.resize_mode"}, {"\"mode\":\"L\"", "preprocess_cfg.mode"},
		{"\"size\":224", "preprocess_cfg.size is 224"}, {"\"size\":[16,8]", "preprocess_cfg.size is 16 x 8"},
	};
	char text[128];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		snprintf(text, sizeof text, ",\"preprocess_cfg\":{%s}", cases[i][0]);
		assert_refused(parse_with("", "", "", "", text), STATUS_UNSUPPORTED, cases[i][1]);
	}
	assert_refused(parse_with("", "", "", "", ",\"preprocess_cfg\":{\"std\":[1,0,1]}"), STATUS_FORMAT, "preprocess_cfg.std");
	assert_refused(parse_with("", "", "", "", ",\"preprocess_cfg\":{\"mean\":[1,2]}"), STATUS_FORMAT, "preprocess_cfg.mean");
}

/* A bare model of these sections. */
static struct result parse_sections(const char *vision, const char *text, const char *decoder)
{
	struct buffer b = {0};

	buffer_format(&b, "{\"embed_dim\":16,\"vision_cfg\":{%s},\"text_cfg\":{%s},\"multimodal_cfg\":{%s}}", vision, text, decoder);
	struct result r = parse(b.data);
	buffer_release(&b);
	return r;
}

static const char good_vision[] = "\"image_size\":16,\"patch_size\":8,\"width\":32,\"head_width\":8,\"attentional_pool\":true";
static const char good_text[] = "\"width\":16,\"heads\":2,\"embed_cls\":true";
static const char good_decoder[] = "\"width\":16,\"heads\":2";

static void numbers_that_make_no_sense_are_refused(void **state)
{
	(void)state;
	static const char *const values[] = {"-1", "0", "3.5", "1e300", "1e999", "\"8\"", "null", "true", "[]", "99999999999"};
	char vision[256], text[256];

	assert_int_equal(parse_sections(good_vision, good_text, good_decoder).status, STATUS_OK);
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		snprintf(vision, sizeof vision, "\"image_size\":16,\"patch_size\":8,\"attentional_pool\":true,\"width\":%s", values[i]);
		assert_refused(parse_sections(vision, good_text, good_decoder), STATUS_FORMAT, "vision_cfg.width");
		snprintf(text, sizeof text, "\"width\":16,\"heads\":2,\"embed_cls\":true,\"vocab_size\":%s", values[i]);
		assert_refused(parse_sections(good_vision, text, good_decoder), STATUS_FORMAT, "text_cfg.vocab_size");
	}
	assert_refused(parse_with(",\"mlp_ratio\":1e9", "", "", "", ""), STATUS_FORMAT, "vision_cfg.mlp_ratio");
	assert_refused(parse_with(",\"mlp_ratio\":-1", "", "", "", ""), STATUS_FORMAT, "vision_cfg.mlp_ratio");
	assert_refused(parse_with(",\"ls_init_value\":\"a\"", "", "", "", ""), STATUS_FORMAT, "vision_cfg.ls_init_value");
}

static void towers_that_do_not_fit_together_are_refused(void **state)
{
	(void)state;
	assert_refused(parse_sections("\"image_size\":17,\"patch_size\":8,\"width\":32,\"head_width\":8,\"attentional_pool\":true", good_text,
				      good_decoder), STATUS_UNSUPPORTED, "no multiple of patch_size");
	assert_refused(parse_sections("\"image_size\":[16,24],\"patch_size\":8", good_text, good_decoder), STATUS_UNSUPPORTED, "16 x 24");
	assert_refused(parse_sections("\"width\":32,\"head_width\":10", good_text, good_decoder), STATUS_FORMAT, "vision_cfg.head_width");
	assert_refused(parse_sections("\"width\":32,\"head_width\":64", good_text, good_decoder), STATUS_FORMAT, "vision_cfg.head_width");
	assert_refused(parse_sections("\"layers\":[3,4,6,3]", good_text, good_decoder), STATUS_UNSUPPORTED, "ResNet");
	assert_refused(parse_sections(good_vision, "\"width\":16,\"heads\":3,\"embed_cls\":true", good_decoder), STATUS_FORMAT, "text_cfg.heads");
	assert_refused(parse_sections(good_vision, "\"width\":16,\"heads\":2", good_decoder), STATUS_UNSUPPORTED, "text_cfg.embed_cls");
	assert_refused(parse_sections(good_vision, "\"width\":24,\"heads\":2,\"embed_cls\":true", good_decoder), STATUS_UNSUPPORTED,
		       "text_cfg.width 24");
	assert_refused(parse_sections(good_vision, "\"width\":24,\"heads\":2,\"embed_cls\":true", "\"width\":24,\"heads\":2"), STATUS_UNSUPPORTED,
		       "embed_dim 16");
	assert_refused(parse_with("", "", ",\"vocab_size\":51", "", ""), STATUS_UNSUPPORTED, "multimodal_cfg.vocab_size");
	assert_refused(parse_with("", "", ",\"context_length\":10", "", ""), STATUS_UNSUPPORTED, "multimodal_cfg.context_length");
	assert_refused(parse_with(",\"attn_pooler_heads\":3", "", "", "", ""), STATUS_FORMAT, "attn_pooler_heads");
	assert_refused(parse_with(",\"attn_pooler_queries\":1", "", "", "", ""), STATUS_FORMAT, "attn_pooler_queries");
}

static void poolings_that_need_equal_widths_say_so(void **state)
{
	(void)state;
	static const char *const poolings[] = {"false", "\"cascade\"", "\"parallel\""};
	char vision[256];

	for (size_t i = 0; i < 3; i++) {
		snprintf(vision, sizeof vision, "\"image_size\":16,\"patch_size\":8,\"width\":32,\"head_width\":8,\"attentional_pool\":%s",
			 poolings[i]);
		assert_refused(parse_sections(vision, good_text, good_decoder), STATUS_UNSUPPORTED, "vision_cfg.width is 32");
	}
	assert_refused(parse_sections("\"width\":64,\"attentional_pool\":\"serial\"", good_text, good_decoder), STATUS_UNSUPPORTED, "\"serial\"");
}

static void what_is_no_coca_is_refused(void **state)
{
	(void)state;
	assert_refused(parse("{\"embed_dim\":8,\"vision_cfg\":{\"width\":64},\"text_cfg\":{\"embed_cls\":true}}"), STATUS_UNSUPPORTED,
		       "no multimodal_cfg");
	assert_refused(parse("{}"), STATUS_FORMAT, "embed_dim");
	assert_refused(parse("[]"), STATUS_FORMAT, "not a JSON object");
	assert_refused(parse("{\"model_cfg\":3}"), STATUS_FORMAT, "model_cfg is not an object");
	assert_refused(parse("{\"embed_dim\":8,\"vision_cfg\":[]}"), STATUS_FORMAT, "vision_cfg is not an object");
}

static void malformed_json_is_refused(void **state)
{
	(void)state;
	static const char *const texts[] = {"", "{", "{\"embed_dim\":", "{\"embed_dim\":NaN}", "{\"embed_dim\":-}", "{} {}", "nul",
					    "{\"a\":\"\\u12"};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_refused(parse(texts[i]), STATUS_FORMAT, "not JSON");
}

static void deep_nesting_is_refused(void **state)
{
	(void)state;
	enum { DEPTH = 200000 };
	char *text = mem_array(DEPTH + 1, 1);

	assert_non_null(text);
	memset(text, '[', DEPTH);
	assert_refused(parse(text), STATUS_FORMAT, "not JSON");
	free(text);
}

/* Every prefix of a good configuration is an error, and never more than that. */
static void every_truncation_is_refused(void **state)
{
	(void)state;
	struct config c = read_config("tiny-layerscale");
	char *json = config_write(&c);
	struct err err;

	assert_non_null(json);
	for (size_t n = 0; n + 1 < strlen(json); n++) { /* the last byte is a line feed */
		char *copy = mem_copy(json, n);
		assert_non_null(copy);
		assert_int_equal(config_parse(copy, n, "cut", &c, &err), STATUS_FORMAT);
		free(copy);
	}
	free(json);
}

static void a_missing_file_is_not_found(void **state)
{
	(void)state;
	struct config c;
	struct err err;

	assert_int_equal(config_read("tests/data/configs/none.json", &c, &err), STATUS_NOT_FOUND);
}

TEST_MAIN(cmocka_unit_test(published_vit_b_32_has_its_size), cmocka_unit_test(published_vit_l_14_has_its_size),
	  cmocka_unit_test(each_pooling_is_read), cmocka_unit_test(quick_gelu_and_layer_scale_are_read),
	  cmocka_unit_test(defaults_are_openclips), cmocka_unit_test(what_is_written_reads_back_equal),
	  cmocka_unit_test(a_stem_reads_back_equal), cmocka_unit_test(a_stem_that_does_not_fit_is_refused),
	  cmocka_unit_test(odd_mlp_ratios_read_back_equal), cmocka_unit_test(harmless_options_are_accepted),
	  cmocka_unit_test(options_that_change_the_network_are_refused_by_name), cmocka_unit_test(unknown_options_are_refused_by_name),
	  cmocka_unit_test(a_transform_that_is_not_ours_is_refused), cmocka_unit_test(numbers_that_make_no_sense_are_refused),
	  cmocka_unit_test(towers_that_do_not_fit_together_are_refused), cmocka_unit_test(poolings_that_need_equal_widths_say_so),
	  cmocka_unit_test(what_is_no_coca_is_refused), cmocka_unit_test(malformed_json_is_refused),
	  cmocka_unit_test(deep_nesting_is_refused), cmocka_unit_test(every_truncation_is_refused),
	  cmocka_unit_test(a_missing_file_is_not_found))
