/* weights.c: tests of model/files/weights.c. */
#include "model/files/weights_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

static struct config read_config(const char *path)
{
	struct config config;
	struct err err;

	assert_ok(config_read(path, &config, &err), &err);
	return config;
}

static struct checkpoint *open_checkpoint(const char *path)
{
	struct checkpoint *checkpoint;
	struct err err;

	assert_ok(checkpoint_open(path, &checkpoint, &err), &err);
	return checkpoint;
}

/* ---- names, shapes and order ---- */

struct comparison {
	const struct checkpoint *checkpoint;
	size_t next;
};

static enum status compare_one(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct comparison *c = context;

	assert_non_null(slot);
	if (c->next >= checkpoint_count(c->checkpoint))
		return err_set(err, STATUS_FAILED, "'%s' is too many", info->name);
	const struct tensor *t = checkpoint_at(c->checkpoint, c->next++);
	bool same = strcmp(t->name, info->name) == 0 && t->dims == info->dims && t->count == info->count;
	for (int i = 0; same && i < t->dims; i++)
		same = t->shape[i] == info->shape[i];
	return same ? STATUS_OK : err_set(err, STATUS_FAILED, "'%s' stands where the file has '%s'", info->name, t->name);
}

static void assert_same_table(const char *config_path, const char *weights_path)
{
	struct config config = read_config(config_path);
	struct comparison c = {open_checkpoint(weights_path), 0};
	struct weights weights;
	struct err err;

	assert_ok(weights_init(&weights, &config, &err), &err);
	assert_ok(weights_visit(&weights, &config, compare_one, &c, &err), &err);
	assert_int_equal(c.next, checkpoint_count(c.checkpoint));
	size_t count = 0;
	for (size_t i = 0; i < c.next; i++)
		count += checkpoint_at(c.checkpoint, i)->count;
	assert_int_equal(weights_count(&config), count);
	weights_release(&weights);
	checkpoint_close((struct checkpoint *)c.checkpoint);
}

static void the_table_is_openclips_for_every_reference(void **state)
{
	(void)state;
	static const char *const names[] = {"tiny", "tiny-cascade", "tiny-parallel", "tiny-nopool", "tiny-quickgelu", "tiny-layerscale",
					    "tiny-defaults"};
	char config[128], weights[128];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(config, sizeof config, "tests/data/configs/%s.json", names[i]);
		snprintf(weights, sizeof weights, "reference/%s/open_clip_model.safetensors", names[i]);
		const char *path = test_shared(weights);
		if (!path)
			skip();
		assert_same_table(config, path);
	}
}

/* What the reference's files have, spelled out for the forms that differ. */
struct seen {
	char (*names)[sizeof((struct weight_info *)0)->name];
	size_t (*shapes)[4];
	size_t count;
};

static enum status see_one(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct seen *s = context;

	(void)slot;
	(void)err;
	assert_true(s->count < 1000);
	memcpy(s->names[s->count], info->name, sizeof info->name);
	memcpy(s->shapes[s->count++], info->shape, sizeof info->shape);
	return STATUS_OK;
}

static struct seen see(const char *name)
{
	char path[128];
	struct weights weights;
	struct err err;
	struct seen s = {mem_array(1000, sizeof *s.names), mem_array(1000, sizeof *s.shapes), 0};

	snprintf(path, sizeof path, "tests/data/configs/%s.json", name);
	struct config config = read_config(path);
	assert_ok(weights_init(&weights, &config, &err), &err);
	assert_ok(weights_visit(&weights, &config, see_one, &s, &err), &err);
	weights_release(&weights);
	return s;
}

static void unsee(struct seen *s)
{
	free(s->names);
	free(s->shapes);
}

/* Whether a tensor of that name, and of a x b, was seen once. */
static bool has(const struct seen *s, const char *name, size_t a, size_t b)
{
	size_t times = 0;

	for (size_t i = 0; i < s->count; i++)
		times += strcmp(s->names[i], name) == 0 && s->shapes[i][0] == a && s->shapes[i][1] == b;
	return times == 1;
}

static void a_pooler_of_another_width_has_three_projections(void **state)
{
	(void)state;
	struct seen s = see("tiny");

	assert_int_equal(s.count, 141);
	assert_string_equal(s.names[0], "logit_scale");
	assert_true(has(&s, "visual.attn_pool.attn.q_proj_weight", 48, 48));
	assert_true(has(&s, "visual.attn_pool.attn.k_proj_weight", 48, 64));
	assert_true(has(&s, "visual.attn_pool.ln_k.weight", 64, 1));
	assert_true(has(&s, "visual.proj", 48, 48));
	assert_true(has(&s, "text_decoder.text_projection", 48, 600));
	assert_true(has(&s, "text_decoder.cross_attn.1.ln_1_kv.bias", 48, 1));
	assert_false(has(&s, "text_decoder.resblocks.1.ln_1_kv.bias", 48, 1));
	unsee(&s);
}

static void poolers_of_equal_width_have_one_projection(void **state)
{
	(void)state;
	struct seen s = see("tiny-cascade");

	assert_int_equal(s.count, 148);
	assert_true(has(&s, "visual.attn_pool.attn.in_proj_weight", 144, 48));
	assert_true(has(&s, "visual.attn_pool.query", 8, 48));
	assert_true(has(&s, "visual.attn_pool_contrastive.query", 1, 48));
	unsee(&s);
}

static void no_pooler_has_no_pooler(void **state)
{
	(void)state;
	struct seen s = see("tiny-nopool");

	assert_int_equal(s.count, 130);
	for (size_t i = 0; i < s.count; i++)
		assert_null(strstr(s.names[i], "attn_pool"));
	unsee(&s);
}

static void layer_scale_adds_two_vectors_a_block(void **state)
{
	(void)state;
	struct seen s = see("tiny-layerscale");

	assert_int_equal(s.count, 141 + 2 * (3 + 2 + 2 + 2));
	assert_true(has(&s, "text_decoder.cross_attn.0.ls_2.gamma", 48, 1));
	unsee(&s);
}

static void no_ln_pre_leaves_it_out(void **state)
{
	(void)state;
	struct config with = read_config("tests/data/configs/tiny.json"), without = with;

	without.no_ln_pre = true;
	assert_int_equal(weights_count(&with) - weights_count(&without), 2 * with.vision.width);
}

/* ---- loading ---- */

#define FOLDER "tests/data/checkpoint/"

static enum status load(const struct config *config, const char *path, struct err *err)
{
	struct checkpoint *checkpoint = open_checkpoint(path);
	struct weights weights;
	struct weights_storage *storage;

	assert_ok(weights_init(&weights, config, err), err);
	enum status status = weights_load(&weights, config, checkpoint, &storage, err);
	weights_storage_free(storage);
	weights_release(&weights);
	checkpoint_close(checkpoint);
	return status;
}

static void f32_stays_in_the_file_and_f16_is_converted(void **state)
{
	(void)state;
	struct config config = read_config(FOLDER "open_clip_config.json");
	struct checkpoint *full = open_checkpoint(FOLDER "open_clip_model.safetensors"), *half = open_checkpoint(FOLDER "half.pt");
	struct weights a, b;
	struct weights_storage *a_storage, *b_storage;
	struct err err;

	assert_ok(weights_init(&a, &config, &err), &err);
	assert_ok(weights_init(&b, &config, &err), &err);
	assert_ok(weights_load(&a, &config, full, &a_storage, &err), &err);
	assert_ok(weights_load(&b, &config, half, &b_storage, &err), &err);
	for (enum weights_part part = 0; part < WEIGHTS_PARTS; part++) {
		assert_true(weights_made(a_storage, part));
		assert_false(weights_made(b_storage, part));
		weights_make(b_storage, part);
		assert_true(weights_made(b_storage, part));
	}
	assert_ptr_equal(a.token_embedding, checkpoint_find(full, "text.token_embedding.weight")->data);
	assert_int_equal((uintptr_t)b.token_embedding % 64, 0);
	assert_true(test_close("token_embedding", a.token_embedding, b.token_embedding, 30 * 8, 1e-4f));
	assert_true(test_close("c_fc", a.cross[0].fc_weight, b.cross[0].fc_weight, 32 * 8, 1e-3f));
	assert_ptr_equal(a.text[0].attn.k_weight, a.text[0].attn.in_weight + 64);
	assert_null(a.pool.attn.in_weight);
	assert_non_null(a.pool.attn.v_weight);
	weights_storage_free(a_storage);
	weights_storage_free(b_storage);
	weights_release(&a);
	weights_release(&b);
	checkpoint_close(full);
	checkpoint_close(half);
}

/* The small model, changed by edit, is written and loaded with the configuration. */
static void assert_edited_is_refused(size_t (*edit)(struct named_floats *tensors, size_t n), const char *message)
{
	struct checkpoint *c = open_checkpoint(FOLDER "open_clip_model.safetensors");
	struct config config = read_config(FOLDER "open_clip_config.json");
	size_t n = checkpoint_count(c);
	struct named_floats *tensors = mem_array(n + 1, sizeof *tensors);
	const char *path = test_path(test_folder(), "edited.safetensors");
	struct err err;

	assert_non_null(tensors);
	for (size_t i = 0; i < n; i++) {
		const struct tensor *t = checkpoint_at(c, i);
		tensors[i] = (struct named_floats){.name = t->name, .dims = t->dims, .data = t->data};
		memcpy(tensors[i].shape, t->shape, sizeof t->shape);
	}
	n = edit(tensors, n);
	assert_ok(checkpoint_write(path, tensors, n, DTYPE_F32, NULL, 0, &err), &err);
	enum status status = load(&config, path, &err);
	if (message) {
		assert_int_equal(status, STATUS_FORMAT);
		if (!strstr(err.text, message))
			fail_msg("wanted '%s', got '%s'", message, err.text);
	} else {
		assert_ok(status, &err);
	}
	free(tensors);
	checkpoint_close(c);
}

static struct named_floats *named(struct named_floats *tensors, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(tensors[i].name, name) == 0)
			return &tensors[i];
	fail_msg("no tensor '%s'", name);
	return NULL;
}

static size_t drop_last(struct named_floats *tensors, size_t n)
{
	(void)tensors;
	return n - 1;
}

static size_t add_unknown(struct named_floats *tensors, size_t n)
{
	tensors[n] = tensors[1];
	tensors[n].name = "visual.wings";
	return n + 1;
}

static size_t add_buffer(struct named_floats *tensors, size_t n)
{
	tensors[n] = tensors[1];
	tensors[n].name = "text.attn_mask";
	return n + 1;
}

static size_t shorten_positions(struct named_floats *tensors, size_t n)
{
	named(tensors, n, "visual.positional_embedding")->shape[0]--;
	return n;
}

static size_t shorten_context(struct named_floats *tensors, size_t n)
{
	named(tensors, n, "text.positional_embedding")->shape[0]--;
	return n;
}

static size_t transpose_projection(struct named_floats *tensors, size_t n)
{
	struct named_floats *t = named(tensors, n, "text_decoder.text_projection");
	t->shape[0] = 30;
	t->shape[1] = 8;
	return n;
}

static size_t lengthen_scale(struct named_floats *tensors, size_t n)
{
	struct named_floats *t = named(tensors, n, "logit_scale");
	t->dims = 1;
	t->shape[0] = 1;
	return n;
}

static void a_missing_tensor_is_named(void **state)
{
	(void)state;
	assert_edited_is_refused(drop_last, "no tensor 'text_decoder.ln_final.bias'");
}

static void an_unknown_tensor_is_named(void **state)
{
	(void)state;
	assert_edited_is_refused(add_unknown, "no tensor 'visual.wings'");
}

static void a_buffer_is_passed_over(void **state)
{
	(void)state;
	assert_edited_is_refused(add_buffer, NULL);
}

static size_t square_scale(struct named_floats *tensors, size_t n)
{
	struct named_floats *t = named(tensors, n, "logit_scale");
	t->dims = 2;
	t->shape[0] = t->shape[1] = 1;
	return n;
}

static void a_scale_in_a_row_is_a_scalar_and_a_matrix_is_none(void **state)
{
	(void)state;
	assert_edited_is_refused(lengthen_scale, NULL);
	assert_edited_is_refused(square_scale, "'logit_scale' has the shape [1,1]");
}

static void a_misshaped_tensor_is_named_with_both_shapes(void **state)
{
	(void)state;
	assert_edited_is_refused(transpose_projection, "'text_decoder.text_projection' has the shape [30,8], the configuration needs [8,30]");
}

static void positions_of_another_image_size_are_refused(void **state)
{
	(void)state;
	assert_edited_is_refused(shorten_positions, "it was trained with another image_size");
	assert_edited_is_refused(shorten_context, "it was trained with another context_length");
}

/* Though no tensor of a type other than F32 is converted before it is used. */
static void integers_are_refused_at_once(void **state)
{
	(void)state;
	static const char header[] = "\"text.cls_emb\":{\"dtype\":\"F32\"";
	struct config config = read_config(FOLDER "open_clip_config.json");
	const char *path = test_path(test_folder(), "integers.safetensors");
	struct file_map map;
	struct err err;

	assert_ok(file_map_open(FOLDER "open_clip_model.safetensors", &map, &err), &err);
	char *bytes = mem_copy(map.data, map.size), *at = memmem(bytes, map.size, header, sizeof header - 1);
	assert_non_null(at);
	at[sizeof header - 5] = 'I';
	test_write(path, bytes, map.size);
	free(bytes);
	file_map_close(&map);
	assert_int_equal(load(&config, path, &err), STATUS_UNSUPPORTED);
	assert_non_null(strstr(err.text, "cannot use the weights '"));
	assert_non_null(strstr(err.text, "the tensor 'text.cls_emb' is of the type I32, not of floating point"));
}

static void what_is_saved_loads_back_equal(void **state)
{
	(void)state;
	struct config config = read_config(FOLDER "open_clip_config.json");
	struct checkpoint *from = open_checkpoint(FOLDER "open_clip_model.safetensors");
	const char *path = test_path(test_folder(), "saved.safetensors");
	struct weights weights;
	struct weights_storage *storage;
	struct err err;

	assert_ok(weights_init(&weights, &config, &err), &err);
	assert_ok(weights_load(&weights, &config, from, &storage, &err), &err);
	assert_ok(weights_save(&weights, &config, path, DTYPE_F32, &err), &err);
	struct checkpoint *to = open_checkpoint(path);
	assert_int_equal(checkpoint_count(to), checkpoint_count(from));
	for (size_t i = 0; i < checkpoint_count(from); i++) {
		const struct tensor *a = checkpoint_at(from, i), *b = checkpoint_find(to, a->name);
		assert_non_null(b);
		assert_int_equal(a->size, b->size);
		assert_memory_equal(a->data, b->data, a->size);
	}
	weights_storage_free(storage);
	weights_release(&weights);
	checkpoint_close(from);
	checkpoint_close(to);
}

TEST_MAIN(cmocka_unit_test(a_pooler_of_another_width_has_three_projections),
	  cmocka_unit_test(poolers_of_equal_width_have_one_projection), cmocka_unit_test(no_pooler_has_no_pooler),
	  cmocka_unit_test(layer_scale_adds_two_vectors_a_block), cmocka_unit_test(no_ln_pre_leaves_it_out),
	  cmocka_unit_test(f32_stays_in_the_file_and_f16_is_converted), cmocka_unit_test(a_missing_tensor_is_named),
	  cmocka_unit_test(an_unknown_tensor_is_named), cmocka_unit_test(a_buffer_is_passed_over),
	  cmocka_unit_test(a_scale_in_a_row_is_a_scalar_and_a_matrix_is_none), cmocka_unit_test(a_misshaped_tensor_is_named_with_both_shapes),
	  cmocka_unit_test(positions_of_another_image_size_are_refused), cmocka_unit_test(integers_are_refused_at_once),
	  cmocka_unit_test(what_is_saved_loads_back_equal),
	  cmocka_unit_test(the_table_is_openclips_for_every_reference))
